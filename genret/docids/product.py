# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers by product quantisation (Jegou et al., PAMI 2011).

The vector is cut into parts, and each position names the centroid nearest to one
part. Positions stand side by side: a beginning says nothing of the whole, unlike
that of residual codes. Ultron (Zhou et al., 2022) names documents this way.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece
from scipy.stats import ortho_group

from genret.corpus import Document
from genret.docids import codes, quantise
from genret.docids.table import DocidTable


def product_codes(
  vector_DxE: np.ndarray,
  *,
  parts: int = 4,
  k: int = 256,
  rotate: bool = True,
  seed: int = 0,
) -> tuple[np.ndarray, list[int]]:
  """Codes of product quantisation.

  Args:
    vector_DxE: document vectors.
    parts: P, positions; the dimensions are dealt to them as evenly as may be.
    k: centroids of each; fewer where there are fewer distinct parts.
    rotate: turn the vectors by a random rotation first: the dimensions of a
      latent space are sorted by what they explain, and the last part would say
      next to nothing.
    seed: of rotation and k-means.

  Returns:
    int64 [D, P], and how many codes each position has.

  Raises:
    ValueError: if there are more parts than dimensions, or k is below 1.
  """
  vector_DxE = np.asarray(vector_DxE, np.float32)
  width = vector_DxE.shape[1]
  if not 1 <= parts <= width:
    raise ValueError(
      f'Expected 1 to {width} parts, as many as dimensions, got {parts}.'
    )
  if rotate and width > 1:
    rotation_ExE = ortho_group(width, seed=seed).rvs()
    vector_DxE = vector_DxE @ rotation_ExE.astype(np.float32)
  columns, sizes = [], []
  for part, part_DxF in enumerate(np.array_split(vector_DxE, parts, axis=1)):
    centroid_KxF = quantise.kmeans_centroids(part_DxF, k, seed=seed + part)
    columns.append(quantise.nearest(part_DxF, centroid_KxF))
    sizes.append(len(centroid_KxF))
  return np.stack(columns, 1), sizes


def pq(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  parts: int = 4,
  k: int = 256,
  rotate: bool = True,
  collisions: str = 'token',
) -> DocidTable:
  """Identifiers of `parts` codes.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: gives the document vectors [D, E].
    seed: of rotation and k-means.
    parts: as `product_codes` takes it, and the two that follow.
    k: likewise.
    rotate: likewise.
    collisions: one of `codes.COLLISIONS`.
  """
  del vocabulary
  code_DxP, sizes = product_codes(
    vectors(), parts=parts, k=k, rotate=rotate, seed=seed
  )
  return codes.code_table(
    documents, code_DxP, sizes, first_token=first_token, collisions=collisions
  )


SCHEMES = {'pq': pq}
