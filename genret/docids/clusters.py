# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Semantic identifiers by hierarchical k-means.

DSI's semantically structured identifiers (Tay et al., NeurIPS 2022): cluster
the document vectors into k groups, name a document by its group's digit, and
recurse into groups of more than c documents; the documents of a smaller group
are numbered. Siblings share prefixes.

The tree of clusters is kept: a document that is added goes down it by the nearest
centroids and takes the next number of its group, which may grow beyond c. Large
groups are clustered as `quantise` does it.

D is the number of documents, E of dimensions, M of the groups that are split, C of
their parts, L of positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import sentencepiece

from genret.corpus import Document
from genret.docids import codes, digits, growth, quantise
from genret.docids.table import DocidTable

# Under these names a table keeps the tree, field by field.
_KEPT = ('tree_first', 'tree_digit', 'tree_group', 'tree_centroid')


class Tree(NamedTuple):
  """Groups that are split, and their parts; the first is of all documents.

  Attributes:
    first_M1: the parts of group m are first[m] to first[m + 1].
    digit_C: the digit that names a part among its siblings.
    group_C: the group that a part is split as, -1 where its documents are
      numbered.
    centroid_CxE: float32.
  """

  first_M1: np.ndarray
  digit_C: np.ndarray
  group_C: np.ndarray
  centroid_CxE: np.ndarray

  def descend(self, vector_NxE: np.ndarray) -> np.ndarray:
    """Digits of the parts that vectors fall into, int64 [N, L], padded with -1."""
    group_N = np.full(len(vector_NxE), -1 if len(self.first_M1) < 2 else 0)
    columns = []
    while (group_N >= 0).any():
      column_N = np.full(len(vector_NxE), -1)
      next_N = np.full(len(vector_NxE), -1)
      for group, rows in _runs(group_N, np.flatnonzero(group_N >= 0)):
        parts = slice(self.first_M1[group], self.first_M1[group + 1])
        part_N = parts.start + _nearest(
          vector_NxE, rows, self.centroid_CxE[parts]
        )
        column_N[rows] = self.digit_C[part_N]
        next_N[rows] = self.group_C[part_N]
      columns.append(column_N)
      group_N = next_N
    return np.stack(columns, 1) if columns else np.zeros((len(group_N), 0), int)


def hierarchical_clusters(
  vector_DxE: np.ndarray, *, k: int = 10, c: int = 100, seed: int = 0
) -> tuple[np.ndarray, Tree]:
  """The digits of each document, of varying number.

  Cluster digits lie in [0, k), the last digit in [0, c). A group that k-means
  cannot split (equal vectors) is cut into k runs of its order instead, so
  the recursion always ends.

  Args:
    vector_DxE: document vectors.
    k: groups per level, at least 2.
    c: the largest group that is numbered instead of split, at least 1.
    seed: of k-means.

  Returns:
    int64 [D, L], padded with -1, and the tree.

  Raises:
    ValueError: if k or c is too small.
  """
  if k < 2 or c < 1:
    raise ValueError(f'Expected k >= 2 and c >= 1, got k={k}, c={c}.')
  first = [0]
  digit_of: list[int] = []
  group_of: list[int] = []
  centroids = [np.zeros((0, vector_DxE.shape[1]), np.float32)]
  columns: list[np.ndarray] = []
  # The documents of each group of a level, and which part of the tree it is.
  level: list[tuple[int | None, np.ndarray]] = [
    (None, np.arange(len(vector_DxE)))
  ]
  while level:
    column_D = np.full(len(vector_DxE), -1)
    below: list[tuple[int | None, np.ndarray]] = []
    for part, rows in level:
      if len(rows) <= c:
        column_D[rows] = np.arange(len(rows))
        continue
      if part is not None:
        group_of[part] = len(first) - 1
      label_N, centroid_KxE = _split(vector_DxE, rows, k, seed)
      column_D[rows] = label_N
      for digit, members in _runs(label_N, np.arange(len(rows))):
        below.append((len(digit_of), rows[members]))
        digit_of.append(digit)
        group_of.append(-1)
        centroids.append(centroid_KxE[digit][None])
      first.append(len(digit_of))
    columns.append(column_D)
    level = below
  tree = Tree(
    np.array(first, np.int64),
    np.array(digit_of, np.int32),
    np.array(group_of, np.int64),
    np.concatenate(centroids),
  )
  return np.stack(columns, 1), tree


def _runs(
  label_N: np.ndarray, rows: np.ndarray
) -> list[tuple[int, np.ndarray]]:
  """(label, those of the rows that have it, in order), labels ascending."""
  order = rows[np.argsort(label_N[rows], kind='stable')]
  bounds = np.flatnonzero(np.diff(label_N[order])) + 1
  return [
    (int(label_N[run[0]]), run) for run in np.split(order, bounds) if len(run)
  ]


def _split(
  vector_DxE: np.ndarray, rows: np.ndarray, k: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Labels in [0, k) of some vectors, at least two differ; and centroids."""
  some = rows[quantise.sample_rows(len(rows), seed)]
  sample_NxE = np.asarray(vector_DxE[some], np.float32)
  centroid_KxE = quantise.kmeans_centroids(sample_NxE, k, seed=seed, restarts=3)
  label_N = _nearest(vector_DxE, rows, centroid_KxE)
  if label_N.min() < label_N.max():
    return label_N, centroid_KxE
  mean_E = sample_NxE.mean(0)
  return np.arange(len(rows)) * k // len(rows), np.stack([mean_E] * k)


def _nearest(
  vector_DxE: np.ndarray, rows: np.ndarray, centroid_KxE: np.ndarray
) -> np.ndarray:
  """The nearest centroids of some vectors, which are not copied all at once."""
  found = [np.zeros(0, np.int64)]
  for block in quantise.blocks(len(rows), max(centroid_KxE.shape)):
    vector_BxE = np.asarray(vector_DxE[rows[block]], np.float32)
    found.append(quantise.nearest(vector_BxE, centroid_KxE))
  return np.concatenate(found)


def _clustered_table(
  documents: Sequence[Document],
  vector_DxE: np.ndarray,
  old: DocidTable | None,
  *,
  first_token: int,
  seed: int,
  k: int,
  c: int,
  position_aware: bool,
) -> DocidTable:
  """Both schemes."""
  if old is None:
    digit_DxL, tree = hierarchical_clusters(vector_DxE, k=k, c=c, seed=seed)
  else:
    tree = Tree(*(np.asarray(old.state[name]) for name in _KEPT))
    path_DxL = tree.descend(vector_DxE)
    # The number goes on behind those that go the same way.
    taken_NxL = digits.starts(old, first_token)
    number_D = codes.numbers_of_equals(growth.stacked(taken_NxL, path_DxL, -1))
    digit_DxL = np.pad(path_DxL, ((0, 0), (0, 1)), constant_values=-1)
    end_D = (path_DxL >= 0).sum(1)
    digit_DxL[np.arange(len(end_D)), end_D] = number_D[len(taken_NxL) :]
  return digits.digits_table(
    documents,
    digit_DxL,
    first_token=first_token,
    position_aware=position_aware,
    old=old,
    state=dict(zip(_KEPT, tree, strict=True)),
  )


def hierarchical_kmeans(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  old: DocidTable | None = None,
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
    old: the table that the documents are added to.
    k: groups per level.
    c: the largest group that is numbered instead of split.
  """
  del vocabulary
  return _clustered_table(
    documents,
    vectors(),
    old,
    first_token=first_token,
    seed=seed,
    k=k,
    c=c,
    position_aware=False,
  )


def hierarchical_kmeans_2d(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  old: DocidTable | None = None,
  k: int = 30,
  c: int = 30,
) -> DocidTable:
  """NCI's identifiers: every position has digits of its own.

  A document that is alone in a cluster has one more digit, 0, which NCI's program
  leaves out.

  Takes the arguments of `hierarchical_kmeans`.
  """
  del vocabulary
  return _clustered_table(
    documents,
    vectors(),
    old,
    first_token=first_token,
    seed=seed,
    k=k,
    c=c,
    position_aware=True,
  )


SCHEMES = {
  'hierarchical-kmeans': hierarchical_kmeans,
  'hierarchical-kmeans-2d': hierarchical_kmeans_2d,
}
