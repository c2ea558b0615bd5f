# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Semantic identifiers by residual k-means (RQ-k-means).

Each level names the centroid that is nearest to what the levels before left of
the document's vector, so that documents alike share the beginnings of their
identifiers. Penha et al. (RecSys 2025) and GRID (snap-research) find it as good as
the RQ-VAE of TIGER (Rajput et al., NeurIPS 2023) or better, and faster.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import sentencepiece

from genret.corpus import Document
from genret.docids import codes, quantise
from genret.docids.table import DocidTable

COLLISIONS = (*codes.COLLISIONS, 'sinkhorn')


def residual_codebooks(
  vector_DxE: np.ndarray, *, levels: int = 3, k: int = 256, seed: int = 0
) -> list[np.ndarray]:
  """Fits one level after the other: arrays [K, E].

  Args:
    vector_DxE: document vectors.
    levels: how many.
    k: centroids of each; fewer where there are fewer distinct residuals.
    seed: of k-means.

  Raises:
    ValueError: if levels or k is below 1.
  """
  if levels < 1:
    raise ValueError(f'Expected levels of at least 1, got {levels}.')
  some = quantise.sample_rows(len(vector_DxE), seed)
  # Rows that are chosen are a copy.
  left_DxE = np.asarray(vector_DxE[some], np.float32)
  found = []
  for level in range(levels):
    centroid_KxE = quantise.kmeans_centroids(left_DxE, k, seed=seed + level)
    left_DxE -= centroid_KxE[quantise.nearest(left_DxE, centroid_KxE)]
    found.append(centroid_KxE)
  return found


def rq_kmeans(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  old: DocidTable | None = None,
  levels: int = 3,
  k: int = 256,
  collisions: str = 'token',
) -> DocidTable:
  """Identifiers of `levels` codes.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: gives the document vectors [D, E].
    seed: of k-means.
    old: the table that the documents are added to.
    levels: of the quantisation.
    k: centroids of each level.
    collisions: `token` or `share` (see `codes`), or `sinkhorn`: the last code
      gives way, and what is equal even then is shared.
  """
  del vocabulary
  codes.check_choice('collisions', collisions, COLLISIONS)
  vector_DxE = vectors()
  if old is None:
    codebooks = residual_codebooks(vector_DxE, levels=levels, k=k, seed=seed)
  else:
    codebooks = [old.state[f'codebook_{level}'] for level in range(levels)]
  return residual_table(
    documents,
    vector_DxE,
    codebooks,
    first_token=first_token,
    collisions=collisions,
    old=old,
  )


def residual_table(
  documents: Sequence[Document],
  vector_DxE: np.ndarray,
  codebooks: Sequence[np.ndarray],
  *,
  first_token: int,
  collisions: str,
  old: DocidTable | None = None,
  state: Mapping[str, np.ndarray] | None = None,
) -> DocidTable:
  """The table of residual codes under any of COLLISIONS.

  Args:
    documents: D documents.
    vector_DxE: what the codebooks quantise.
    codebooks: of each level, [K, E].
    first_token: the first id that is free for identifiers.
    collisions: one of COLLISIONS.
    old: the table that the documents are added to.
    state: what the table keeps beside the codebooks.
  """
  sizes = [len(centroid_KxE) for centroid_KxE in codebooks]
  code_DxL = quantise.residual_codes(vector_DxE, codebooks)
  collided = None
  if collisions == 'sinkhorn':
    taken_MxL = codes.codes_of(old, sizes, first_token)
    collided = codes.collision_rate(np.concatenate([taken_MxL, code_DxL]))
    code_DxL = quantise.sinkhorn_codes(
      vector_DxE, codebooks, taken_MxL=taken_MxL
    )
    collisions = 'share'
  kept = {f'codebook_{level}': array for level, array in enumerate(codebooks)}
  return codes.code_table(
    documents,
    code_DxL,
    sizes,
    first_token=first_token,
    collisions=collisions,
    old=old,
    state={**kept, **(state or {})},
    collided=collided,
  )


SCHEMES = {'rq-kmeans': rq_kmeans}
