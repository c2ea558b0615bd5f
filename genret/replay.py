# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Which old documents to learn again beside the new ones of a session.

CorpusBrain++ (Guo et al., 2024, https://arxiv.org/abs/2402.16767) clusters the
vectors of the old pages (of their titles, by BERT) by k-means with 1,024 centroids,
and revisits old pages that are in the clusters of new ones: by its released program
(Sherlock-coder/CorpusBrainPlusPlus at 58901e3) as many as a cluster has new pages,
or all where it has fewer, drawn at random. The budget, the order by distance and
the weights without new documents are ours.

O is the number of old documents, N of new ones, E of dimensions, K of clusters.
"""

import numpy as np

from genret.docids import quantise

CENTROIDS = 1024
ORDERS = ('random', 'nearest')


def choose(
  old_OxE: np.ndarray,
  new_NxE: np.ndarray | None = None,
  *,
  budget: int | None = None,
  centroids: int = CENTROIDS,
  order: str = 'random',
  seed: int = 0,
) -> np.ndarray:
  """The rows of old documents to learn again, ascending, int64.

  A cluster weighs as much as it has new documents; without new ones, as much as it
  has old ones. It gives its documents in `order`:

  * without a budget, as many as it weighs, or all of them;
  * with one, clusters take turns by Webster's method: the next document is of the
    cluster with the greatest weight / (documents given + 1/2), the first in `order`
    (of equals the one with the lower row). So shares are proportional to weights as
    far as documents reach, and a larger budget holds all that a smaller one does.

  Equal rows, numbers and seed give the same choice.

  Args:
    old_OxE: vectors of the old documents, may be mapped from a file.
    new_NxE: those of the new documents, made likewise.
    budget: the most documents; fewer come only where clusters with weight have no
      more.
    centroids: of k-means over the old documents.
    order: 'random', or 'nearest' to the centroid first, of equally near ones the
      lower row.
    seed: of k-means and of the random order.

  Raises:
    ValueError: for vectors that do not fit, another order, a negative budget, and
      neither a budget nor new documents.
  """
  for vectors in (old_OxE, new_NxE):
    if vectors is not None and (
      vectors.ndim != 2 or vectors.shape[1] != old_OxE.shape[-1]
    ):
      raise ValueError(
        'Expected vectors of old and new documents with as many dimensions, got '
        f'shapes {old_OxE.shape} and {vectors.shape}; make both likewise.'
      )
  if order not in ORDERS:
    raise ValueError(
      f'Expected an order of {" or ".join(ORDERS)}, got {order!r}.'
    )
  if budget is None and new_NxE is None:
    raise ValueError(
      'Expected a budget or vectors of new documents, got neither; say how many '
      'documents to learn again.'
    )
  if budget is not None and budget < 0:
    raise ValueError(f'Expected a budget of at least 0, got {budget}.')
  some = quantise.sample_rows(len(old_OxE), seed)
  centroid_KxE = quantise.kmeans_centroids(old_OxE[some], centroids, seed=seed)
  cluster_O = quantise.nearest(old_OxE, centroid_KxE)
  if order == 'nearest':
    key_O = _distances(old_OxE, centroid_KxE, cluster_O)
  else:
    key_O = np.random.default_rng(seed).random(len(old_OxE))
  rank_O = _ranks(cluster_O, key_O)
  weighing = cluster_O
  if new_NxE is not None:
    weighing = quantise.nearest(new_NxE, centroid_KxE)
  weight_O = np.bincount(weighing, minlength=len(centroid_KxE))[cluster_O]
  if budget is None:
    return np.flatnonzero(rank_O < weight_O)
  row_C = np.flatnonzero(weight_O)
  priority_C = weight_O[row_C] / (rank_O[row_C] + 0.5)
  return np.sort(row_C[np.argsort(-priority_C, kind='stable')[:budget]])


def _distances(
  vector_OxE: np.ndarray, centroid_KxE: np.ndarray, cluster_O: np.ndarray
) -> np.ndarray:
  """Of each vector to its centroid, squared."""
  found = [np.zeros(0, np.float32)]
  for rows in quantise.blocks(len(vector_OxE), vector_OxE.shape[1]):
    away_BxE = vector_OxE[rows] - centroid_KxE[cluster_O[rows]]
    found.append(np.einsum('be,be->b', away_BxE, away_BxE))
  return np.concatenate(found)


def _ranks(cluster_O: np.ndarray, key_O: np.ndarray) -> np.ndarray:
  """The place of each row in its cluster, from 0, by key and then by row."""
  order_O = np.lexsort((key_O, cluster_O))
  sorted_O = cluster_O[order_O]
  rank_O = np.empty(len(order_O), np.int64)
  rank_O[order_O] = np.arange(len(order_O)) - np.searchsorted(
    sorted_O, sorted_O
  )
  return rank_O
