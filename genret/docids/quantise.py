# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From vectors to codes: the nearest of a few centroids, level after level.

N is the number of vectors, E their dimensions, K the centroids of a level, L the
levels. Nearest is by squared Euclidean distance, the first of equally near ones.

Vectors may be mapped from a file (`numpy.load(..., mmap_mode='r')`): centroids are
fitted to a sample where there are many, as Pradeep et al. (EMNLP 2023) do above a
million, and codes are found a block at a time.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from genret.docids import codes

# Above this many vectors, k-means takes them in mini-batches.
_MINI_BATCH_FROM = 20_000
# More vectors than these are not looked at to fit centroids.
_SAMPLE = 1_000_000
# Floats of a block of vectors, or of its distances, that are held at a time.
_DISTANCES = 2**24


def sample_rows(
  count: int, seed: int = 0, most: int | None = None
) -> np.ndarray:
  """Those of `count` rows that are looked at: all, or some in order.

  Args:
    count: rows that there are.
    seed: of the choice.
    most: rows to choose; as many as centroids are fitted to where None.
  """
  most = _SAMPLE if most is None else most
  if count <= most:
    return np.arange(count)
  generator = np.random.default_rng(seed)
  return np.sort(generator.choice(count, most, replace=False))


def blocks(count: int, width: int) -> Iterator[slice]:
  """Runs of rows, of so many floats each that they fit in memory."""
  step = max(_DISTANCES // max(width, 1), 1)
  for first in range(0, count, step):
    yield slice(first, min(first + step, count))


def kmeans_centroids(
  vector_NxE: np.ndarray, k: int, *, seed: int = 0, restarts: int = 1
) -> np.ndarray:
  """Centroids of k-means, float32 [K, E].

  Args:
    vector_NxE: real numbers; all of them are read, so give `sample_rows`.
    k: how many; fewer where there are fewer distinct vectors, but at least one,
      which is 0 where there are no vectors.
    seed: of the solver.
    restarts: starts of the solver, of which the best counts.

  Raises:
    ValueError: if k is below 1.
  """
  if k < 1:
    raise ValueError(f'Expected k of at least 1, got {k}.')
  if not len(vector_NxE):
    return np.zeros((1, vector_NxE.shape[1]), np.float32)
  vector_NxE = np.ascontiguousarray(vector_NxE, np.float32)
  count = len(vector_NxE)
  solver = MiniBatchKMeans if count >= _MINI_BATCH_FROM else KMeans
  options = {'batch_size': 4096} if count >= _MINI_BATCH_FROM else {}
  if count < _MINI_BATCH_FROM and _distinct_at_most(vector_NxE, k):
    return np.unique(vector_NxE, axis=0)
  with warnings.catch_warnings():
    # Vectors equal up to rounding give fewer groups; that is no concern.
    warnings.simplefilter('ignore', ConvergenceWarning)
    fitted = solver(
      min(k, count), n_init=restarts, random_state=seed, **options
    ).fit(vector_NxE)
  return np.asarray(fitted.cluster_centers_, np.float32)


def _distinct_at_most(vector_NxE: np.ndarray, k: int) -> bool:
  """Whether there are at most k different vectors, float32."""
  if len(vector_NxE) <= k:
    return True
  # Equal rows have equal sums; sorting numbers is much faster than rows. Adding
  # 0 makes the two zeros one.
  bits_NxE = (vector_NxE + np.float32(0)).view(np.uint32).astype(np.uint64)
  weight_E = np.random.default_rng(0).integers(
    2**64, size=vector_NxE.shape[1], dtype=np.uint64
  )
  if len(np.unique((bits_NxE * weight_E).sum(1))) > k:
    return False
  return len(np.unique(vector_NxE, axis=0)) <= k


def nearest(vector_NxE: np.ndarray, centroid_KxE: np.ndarray) -> np.ndarray:
  """The number of the nearest centroid of each vector, int64 [N]."""
  found = [np.zeros(0, np.int64)]
  for rows in blocks(len(vector_NxE), max(centroid_KxE.shape)):
    distance_NxK = squared_distances(vector_NxE[rows], centroid_KxE)
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
  code_NxL = np.zeros((len(vector_NxE), len(codebooks)), np.int64)
  for rows in blocks(len(vector_NxE), vector_NxE.shape[1]):
    left_BxE = np.array(vector_NxE[rows], np.float32)
    for level, centroid_KxE in enumerate(codebooks):
      code_NxL[rows, level] = nearest(left_BxE, centroid_KxE)
      left_BxE -= centroid_KxE[code_NxL[rows, level]]
  return code_NxL


def sinkhorn_codes(
  vector_NxE: np.ndarray,
  codebooks: Sequence[np.ndarray],
  *,
  epsilon: float = 0.003,
  rounds: int = 20,
  taken_MxL: np.ndarray | None = None,
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
    taken_MxL: codes that other documents have for good; the vectors give way to
      them, and take none of them where others are free.

  Returns:
    int64 [N, L].
  """
  code_NxL = residual_codes(vector_NxE, codebooks)
  if taken_MxL is None:
    taken_MxL = np.zeros((0, len(codebooks)), np.int64)
  taken = len(taken_MxL)
  for _ in range(rounds):
    all_XxL = np.concatenate([taken_MxL, code_NxL])
    group_X = codes.groups_of_equals(all_XxL)
    size_G = np.bincount(group_X)
    group_N = group_X[taken:]
    moving_N = np.flatnonzero(size_G[group_N] > 1)
    if not len(moving_N):
      break
    closed_MxK = _closed(all_XxL, taken, moving_N, len(codebooks[-1]))
    _part(
      code_NxL,
      moving_N,
      group_N[moving_N],
      _residuals(vector_NxE, codebooks, code_NxL, moving_N),
      codebooks[-1],
      closed_MxK,
      epsilon,
    )
  return code_NxL


def _residuals(
  vector_NxE: np.ndarray,
  codebooks: Sequence[np.ndarray],
  code_NxL: np.ndarray,
  rows: np.ndarray,
) -> np.ndarray:
  """What all levels but the last leave of some vectors."""
  left_RxE = np.array(vector_NxE[rows], np.float32)
  for level, centroid_KxE in enumerate(codebooks[:-1]):
    left_RxE -= centroid_KxE[code_NxL[rows, level]]
  return left_RxE


def _closed(
  all_XxL: np.ndarray, taken: int, moving_N: np.ndarray, width: int
) -> np.ndarray:
  """Which last codes are taken for good beside others, bool [moving, K]."""
  start_X = codes.groups_of_equals(all_XxL[:, :-1])
  closed_MxK = np.zeros((len(moving_N), width), bool)
  if not taken:
    return closed_MxK
  order_T = np.argsort(start_X[:taken], kind='stable')
  start_T = start_X[:taken][order_T]
  mine_M = start_X[taken:][moving_N]
  low_M = np.searchsorted(start_T, mine_M, 'left')
  size_M = np.searchsorted(start_T, mine_M, 'right') - low_M
  row = np.repeat(np.arange(len(moving_N)), size_M)
  place = np.arange(len(row)) - np.repeat(np.cumsum(size_M) - size_M, size_M)
  closed_MxK[row, all_XxL[order_T[low_M[row] + place], -1]] = True
  return closed_MxK


def _part(
  code_NxL: np.ndarray,
  row_M: np.ndarray,
  group_M: np.ndarray,
  left_MxE: np.ndarray,
  centroid_KxE: np.ndarray,
  closed_MxK: np.ndarray,
  epsilon: float,
) -> None:
  """Gives the rows of each group different last codes, in place.

  Groups of one size are planned together.
  """
  order_M = np.argsort(group_M, kind='stable')
  _, first_G, size_G = np.unique(
    group_M[order_M], return_index=True, return_counts=True
  )
  width = len(centroid_KxE)
  for size in np.unique(size_G):
    member_GxS = order_M[
      first_G[size_G == size][:, None] + np.arange(size)[None]
    ]
    for some in blocks(len(member_GxS), size * max(centroid_KxE.shape)):
      member = member_GxS[some]
      cost = squared_distances(left_MxE[member.ravel()], centroid_KxE)
      cost = cost.reshape(-1, size, width)
      # The plan of one row is the same for all codes: it takes the nearest.
      plan = -cost if size == 1 else transport_plan(cost, epsilon)
      closed = closed_MxK[member]
      plan = np.where(closed, plan.min(initial=0) - 1e9, plan)
      for group, plan_SxK, closed_SxK in zip(member, plan, closed, strict=True):
        # Rows beyond the codes stay where they are.
        chosen, code = linear_sum_assignment(-plan_SxK)
        free = ~closed_SxK[chosen, code]
        code_NxL[row_M[group[chosen[free]]], -1] = code[free]


def transport_plan(
  cost_NxK: np.ndarray, epsilon: float, iterations: int = 50
) -> np.ndarray:
  """Sinkhorn's balanced plan: logarithms of shares, float64 [..., N, K].

  Rows sum to 1 / N and columns, as far as the iterations bring it, to 1 / K
  (Cuturi, NeurIPS 2013), in logarithms so that no epsilon is too small.

  Args:
    cost_NxK: what it costs to give a row a column, [..., N, K]; scaled to
      [-1, 1] first.
    epsilon: of the entropy.
    iterations: of the scaling of both sides.
  """
  count, width = cost_NxK.shape[-2:]
  cost_NxK = np.asarray(cost_NxK, np.float64)
  low = cost_NxK.min((-2, -1), keepdims=True)
  high = cost_NxK.max((-2, -1), keepdims=True)
  scaled_NxK = (cost_NxK - (low + high) / 2) / np.maximum(
    (high - low) / 2, 1e-12
  )
  plan_NxK = -scaled_NxK / epsilon
  for _ in range(iterations):
    plan_NxK = plan_NxK - _log_sum(plan_NxK, -2) - np.log(width)
    plan_NxK = plan_NxK - _log_sum(plan_NxK, -1) - np.log(count)
  return plan_NxK


def _log_sum(x: np.ndarray, axis: int) -> np.ndarray:
  """log(sum(exp(x))) along an axis, which stays."""
  most = x.max(axis, keepdims=True)
  return np.asarray(most + np.log(np.exp(x - most).sum(axis, keepdims=True)))
