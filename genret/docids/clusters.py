# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Semantic identifiers by hierarchical k-means.

DSI's semantically structured identifiers (Tay et al., NeurIPS 2022): cluster
the document vectors into k groups, name a document by its group's digit, and
recurse into groups of more than c documents; the documents of a smaller group
are numbered. Siblings share prefixes.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids.table import DocidTable

# Above this many documents a group is clustered in mini-batches.
_MINI_BATCH_FROM = 20_000


def hierarchical_digits(
  vectors_DxE: np.ndarray, *, k: int = 10, c: int = 100, seed: int = 0
) -> list[list[int]]:
  """The digits of each document, of varying number.

  Cluster digits lie in [0, k), the last digit in [0, c). A group that k-means
  cannot split (equal vectors) is cut into k runs of its order instead, so
  the recursion always ends.

  Args:
    vectors_DxE: document vectors.
    k: groups per level, at least 2.
    c: the largest group that is numbered instead of split, at least 1.
    seed: of k-means.

  Raises:
    ValueError: if k or c is too small.
  """
  if k < 2 or c < 1:
    raise ValueError(f'Expected k >= 2 and c >= 1, got k={k}, c={c}.')
  digits: list[list[int]] = [[] for _ in vectors_DxE]
  groups = [np.arange(len(vectors_DxE))]
  while groups:
    group = groups.pop()
    if len(group) <= c:
      for number, document in enumerate(group):
        digits[document].append(number)
      continue
    label = _split(vectors_DxE[group], k, seed)
    for document, cluster in zip(group, label, strict=True):
      digits[document].append(int(cluster))
    groups += [group[label == cluster] for cluster in np.unique(label)]
  return digits


def _split(vectors_NxE: np.ndarray, k: int, seed: int) -> np.ndarray:
  """k-means labels in [0, k); at least two differ."""
  n = len(vectors_NxE)
  distinct = len(np.unique(vectors_NxE, axis=0)) if n < _MINI_BATCH_FROM else n
  if distinct > 1:
    solver = KMeans if n < _MINI_BATCH_FROM else MiniBatchKMeans
    with warnings.catch_warnings():
      # Vectors equal up to rounding give fewer groups; that is no concern.
      warnings.simplefilter('ignore', ConvergenceWarning)
      label_N = solver(
        min(k, distinct), n_init=3, random_state=seed
      ).fit_predict(vectors_NxE)
    if len(np.unique(label_N)) > 1:
      return label_N
  return np.arange(n) * k // n


def digits_table(
  documents: Sequence[Document],
  digits: Sequence[Sequence[int]],
  *,
  first_token: int,
  position_aware: bool,
) -> DocidTable:
  """Digits as tokens of their own, from `first_token` on.

  Args:
    documents: D documents.
    digits: D rows of non-negative digits.
    first_token: the first id that is free for identifiers.
    position_aware: give each position its own tokens (NCI's two-dimensional
      codes, Wang et al., NeurIPS 2022: token = position * width + digit)
      instead of sharing the digits between positions.
  """
  lengths_D = np.array([len(row) for row in digits], np.int32)
  longest = max(lengths_D, default=1)
  token_DxL = np.zeros((len(digits), longest), np.int32)
  used_DxL = np.arange(longest) < lengths_D[:, None]
  token_DxL[used_DxL] = [digit for row in digits for digit in row]
  width = int(token_DxL.max(initial=0)) + 1
  if position_aware:
    token_DxL += width * np.arange(longest, dtype=np.int32)
  return DocidTable(
    [document.doc_id for document in documents],
    np.where(used_DxL, first_token + token_DxL, 0).astype(np.int32),
    lengths_D,
    vocabulary_lib.joint_size(
      first_token, width * (longest if position_aware else 1)
    ),
  )


def hierarchical_kmeans(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  k: int = 10,
  c: int = 100,
) -> DocidTable:
  """DSI's identifiers: digits are shared by all positions.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: gives the document vectors [D, E] to cluster.
    seed: of k-means.
    k: groups per level.
    c: the largest group that is numbered instead of split.
  """
  del vocabulary
  digits = hierarchical_digits(vectors(), k=k, c=c, seed=seed)
  return digits_table(
    documents, digits, first_token=first_token, position_aware=False
  )


def hierarchical_kmeans_2d(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  k: int = 30,
  c: int = 30,
) -> DocidTable:
  """NCI's identifiers: every position has digits of its own.

  Takes the arguments of `hierarchical_kmeans`.
  """
  del vocabulary
  digits = hierarchical_digits(vectors(), k=k, c=c, seed=seed)
  return digits_table(
    documents, digits, first_token=first_token, position_aware=True
  )


SCHEMES = {
  'hierarchical-kmeans': hierarchical_kmeans,
  'hierarchical-kmeans-2d': hierarchical_kmeans_2d,
}
