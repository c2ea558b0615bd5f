# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From vectors to codes: the nearest of a few centroids, level after level.

N is the number of vectors, E their dimensions, K the centroids of a level, L the
levels. Nearest is by squared Euclidean distance, the first of equally near ones.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from genret.docids import codes

# Above this many vectors, k-means takes them in mini-batches.
_MINI_BATCH_FROM = 20_000
# Floats of distances that are held at a time.
_DISTANCES = 2**24


def kmeans_centroids(
  vector_NxE: np.ndarray, k: int, *, seed: int = 0
) -> np.ndarray:
  """Centroids of k-means, float32 [K, E].

  Args:
    vector_NxE: real numbers.
    k: how many; fewer where there are fewer distinct vectors, but at least one,
      which is 0 where there are no vectors.
    seed: of the solver.

  Raises:
    ValueError: if k is below 1.
  """
  if k < 1:
    raise ValueError(f'Expected k of at least 1, got {k}.')
  count, width = vector_NxE.shape
  if not count:
    return np.zeros((1, width), np.float32)
  vector_NxE = np.ascontiguousarray(vector_NxE, np.float32)
  solver = MiniBatchKMeans if count >= _MINI_BATCH_FROM else KMeans
  options = {'batch_size': 4096} if count >= _MINI_BATCH_FROM else {}
  if count < _MINI_BATCH_FROM:
    distinct_MxE = np.unique(vector_NxE, axis=0)
    if len(distinct_MxE) <= k:
      return distinct_MxE
  with warnings.catch_warnings():
    # Vectors equal up to rounding give fewer groups; that is no concern.
    warnings.simplefilter('ignore', ConvergenceWarning)
    fitted = solver(min(k, count), n_init=1, random_state=seed, **options).fit(
      vector_NxE
    )
  return np.asarray(fitted.cluster_centers_, np.float32)


def nearest(vector_NxE: np.ndarray, centroid_KxE: np.ndarray) -> np.ndarray:
  """The number of the nearest centroid of each vector, int64 [N]."""
  found = [np.zeros(0, np.int64)]
  step = max(_DISTANCES // len(centroid_KxE), 1)
  for first in range(0, len(vector_NxE), step):
    distance_NxK = squared_distances(
      vector_NxE[first : first + step], centroid_KxE
    )
    found.append(distance_NxK.argmin(1))
  return np.concatenate(found)


def squared_distances(
  vector_NxE: np.ndarray, centroid_KxE: np.ndarray
) -> np.ndarray:
  """Squared Euclidean distances less the squared norm of each vector, [N, K].

  What is left out is the same in a row, so that ranks in it are unchanged.
  """
  norm_K = np.einsum('ke,ke->k', centroid_KxE, centroid_KxE)
  return np.asarray(norm_K - 2 * vector_NxE @ centroid_KxE.T)


def residual_codes(
  vector_NxE: np.ndarray, codebooks: Sequence[np.ndarray]
) -> np.ndarray:
  """Codes of residual quantisation, int64 [N, L].

  The first level takes the nearest centroid, each other one that of what the
  levels before have left.

  Args:
    vector_NxE: real numbers.
    codebooks: L arrays [K, E].
  """
  left_NxE = np.array(vector_NxE, np.float32)
  columns = []
  for centroid_KxE in codebooks:
    columns.append(nearest(left_NxE, centroid_KxE))
    left_NxE -= centroid_KxE[columns[-1]]
  return np.stack(columns, 1)


def sinkhorn_codes(
  vector_NxE: np.ndarray,
  codebooks: Sequence[np.ndarray],
  *,
  epsilon: float = 0.003,
  rounds: int = 20,
) -> np.ndarray:
  """Residual codes, the last of which gives way where codes are equal.

  As LC-Rec (Zheng et al., ICDE 2024): vectors of equal codes are spread over the
  codes of the last level by a balanced transport plan, for several rounds. Each
  takes the code that the plan gives it most of; here no two of a round take the
  same while there are codes enough, so that equal vectors part as well. What is
  equal after the last round stays so.

  Args:
    vector_NxE: real numbers.
    codebooks: L arrays [K, E].
    epsilon: of the entropy in the plan, relative to the spread of distances.
    rounds: the most.

  Returns:
    int64 [N, L].
  """
  code_NxL = residual_codes(vector_NxE, codebooks)
  if not len(code_NxL):
    return code_NxL
  left_NxE = np.array(vector_NxE, np.float32)
  for level, centroid_KxE in enumerate(codebooks[:-1]):
    left_NxE -= centroid_KxE[code_NxL[:, level]]
  for _ in range(rounds):
    group_N = codes.groups_of_equals(code_NxL)
    order_N = np.argsort(group_N, kind='stable')
    bounds = np.flatnonzero(np.diff(group_N[order_N])) + 1
    equal = [rows for rows in np.split(order_N, bounds) if len(rows) > 1]
    if not equal:
      break
    for rows in equal:
      cost_NxK = squared_distances(left_NxE[rows], codebooks[-1])
      plan_NxK = transport_plan(cost_NxK, epsilon)
      # Rows beyond the codes stay where they are.
      chosen, code = linear_sum_assignment(-plan_NxK)
      code_NxL[rows[chosen], -1] = code
  return code_NxL


def transport_plan(
  cost_NxK: np.ndarray, epsilon: float, iterations: int = 50
) -> np.ndarray:
  """Sinkhorn's balanced plan: logarithms of shares, float64 [N, K].

  Rows sum to 1 / N and columns, as far as the iterations bring it, to 1 / K
  (Cuturi, NeurIPS 2013), in logarithms so that no epsilon is too small.

  Args:
    cost_NxK: what it costs to give a row a column; scaled to [-1, 1] first.
    epsilon: of the entropy.
    iterations: of the scaling of both sides.
  """
  count, width = cost_NxK.shape
  low, high = float(cost_NxK.min()), float(cost_NxK.max())
  scaled_NxK = (np.asarray(cost_NxK, np.float64) - (low + high) / 2) / max(
    (high - low) / 2, 1e-12
  )
  plan_NxK = -scaled_NxK / epsilon
  for _ in range(iterations):
    plan_NxK = plan_NxK - logsumexp(plan_NxK, 0, keepdims=True) - np.log(width)
    plan_NxK = plan_NxK - logsumexp(plan_NxK, 1, keepdims=True) - np.log(count)
  return plan_NxK
