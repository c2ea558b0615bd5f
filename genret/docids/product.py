# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers by product quantisation (Jegou et al., PAMI 2011).

The vector is cut into parts, and each position names the centroid nearest to one
part. Positions stand side by side: a beginning says nothing of the whole, unlike
that of residual codes. Ultron (Zhou et al., 2022) names documents this way.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import sentencepiece
from scipy.stats import ortho_group

from genret.corpus import Document
from genret.docids import codes, quantise
from genret.docids.table import DocidTable


class ProductQuantiser(NamedTuple):
  """What `fit` gives.

  Attributes:
    rotation_ExE: float32, what vectors are multiplied by first.
    centroids: for each of P parts float32 [K, F]; the widths F add up to E.
  """

  rotation_ExE: np.ndarray
  centroids: list[np.ndarray]

  @property
  def sizes(self) -> list[int]:
    """How many codes each position has."""
    return [len(centroid_KxF) for centroid_KxF in self.centroids]

  def encode(self, vector_DxE: np.ndarray) -> np.ndarray:
    """The codes of vectors, int64 [D, P]."""
    parts = len(self.centroids)
    code_DxP = np.zeros((len(vector_DxE), parts), np.int64)
    for rows in quantise.blocks(len(vector_DxE), vector_DxE.shape[1]):
      turned_BxE = np.asarray(vector_DxE[rows], np.float32) @ self.rotation_ExE
      for part, part_BxF in enumerate(np.array_split(turned_BxE, parts, 1)):
        code_DxP[rows, part] = quantise.nearest(part_BxF, self.centroids[part])
    return code_DxP


def fit(
  vector_DxE: np.ndarray,
  *,
  parts: int = 4,
  k: int = 256,
  rotate: bool = True,
  seed: int = 0,
) -> ProductQuantiser:
  """Fits centroids of parts of the vectors.

  Args:
    vector_DxE: document vectors.
    parts: P, positions; the dimensions are dealt to them as evenly as may be.
    k: centroids of each; fewer where there are fewer distinct parts.
    rotate: turn the vectors by a random rotation first: the dimensions of a
      latent space are sorted by what they explain, and the last part would say
      next to nothing.
    seed: of rotation and k-means.

  Raises:
    ValueError: if there are more parts than dimensions, or k is below 1.
  """
  width = vector_DxE.shape[1]
  if not 1 <= parts <= width:
    raise ValueError(
      f'Expected 1 to {width} parts, as many as dimensions, got {parts}.'
    )
  rotation_ExE = np.eye(width, dtype=np.float32)
  if rotate and width > 1:
    rotation_ExE = ortho_group(width, seed=seed).rvs().astype(np.float32)
  some = quantise.sample_rows(len(vector_DxE), seed)
  turned_DxE = np.asarray(vector_DxE[some], np.float32) @ rotation_ExE
  centroids = [
    quantise.kmeans_centroids(part_DxF, k, seed=seed + part)
    for part, part_DxF in enumerate(np.array_split(turned_DxE, parts, axis=1))
  ]
  return ProductQuantiser(rotation_ExE, centroids)


def pq(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  old: DocidTable | None = None,
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
    old: the table that the documents are added to.
    parts: as `fit` takes it, and the two that follow.
    k: likewise.
    rotate: likewise.
    collisions: one of `codes.COLLISIONS`.
  """
  del vocabulary
  vector_DxE = vectors()
  if old is None:
    found = fit(vector_DxE, parts=parts, k=k, rotate=rotate, seed=seed)
  else:
    found = ProductQuantiser(
      old.state['rotation'],
      [old.state[f'centroids_{part}'] for part in range(parts)],
    )
  return codes.code_table(
    documents,
    found.encode(vector_DxE),
    found.sizes,
    first_token=first_token,
    collisions=collisions,
    old=old,
    state={
      'rotation': found.rotation_ExE,
      **{f'centroids_{i}': array for i, array in enumerate(found.centroids)},
    },
  )


SCHEMES = {'pq': pq}
