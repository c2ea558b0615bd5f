# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""How much an n-gram says: the weights of SEAL (Bevilacqua et al., 2022).

A key n of |n| tokens has the log-probability lp that the model gives it for the
query, and occurs c times in a corpus of N tokens. With smoothing s and length
penalty gamma:

  lp'  = (lp - 1e-10) * (1 - gamma)^(|n| - 1)
  lu   = log((c + s) / (N + s))
  w(n) = max(0, log-odds(lp') - log-odds(lu)),  log-odds(x) = x - log(1 - e^x)

which is how much more likely the model finds it than the corpus does; what does
not occur has weight 0. The 1e-10 keeps lp' below 0. Weights that do not ask the
corpus are w(n) = max(0, lp - floor) * (1 - gamma)^(|n| - 1), where the floor lies
0.1 below the least probable key.

A token has such a weight, too, without a length to penalise or the 1e-10 (it is
only kept that far from 0).

Where the paper and the code released with it differ, these are the code's: the
paper has s = 0.

K keys, V tokens of the vocabulary.
"""

from __future__ import annotations

import numpy as np

# Log-probabilities stay this far below 0: a certain key has finite log-odds.
NEAREST = 1e-10
# What lies below the least probable key, where the corpus is not asked.
BELOW_LEAST = 0.1


def penalised(
  log_prob_K: np.ndarray, length_K: np.ndarray, gamma: float
) -> np.ndarray:
  """Log-probabilities (or weights) times (1 - gamma)^(length - 1)."""
  return log_prob_K * (1.0 - gamma) ** (length_K - 1.0)


def log_odds_weights(
  log_prob_K: np.ndarray, count_K: np.ndarray, num_tokens: int, smoothing: float
) -> np.ndarray:
  """w of log-probabilities below 0: log-odds of the model over the corpus.

  Args:
    log_prob_K: of the model, below 0; -inf has weight 0.
    count_K: how often each occurs; 0 has weight 0.
    num_tokens: N.
    smoothing: s.
  """
  weight_K = np.zeros(len(log_prob_K))
  live_K = (count_K > 0) & (log_prob_K > -np.inf)
  model_X = log_prob_K[live_K]
  corpus_X = np.log((count_K[live_K] + smoothing) / (num_tokens + smoothing))
  # A corpus of one token type has c = N: it is certain, and nothing tops that.
  with np.errstate(divide='ignore'):
    model_X = model_X + _log_complement(corpus_X)
    corpus_X = corpus_X + _log_complement(log_prob_K[live_K])
  weight_K[live_K] = np.maximum(model_X - corpus_X, 0.0)
  return weight_K


def floor_of(log_prob_K: np.ndarray) -> float:
  """What a log-probability must exceed to weigh, where no corpus is asked."""
  finite_X = log_prob_K[log_prob_K > -np.inf]
  return float(finite_X.min()) - BELOW_LEAST if len(finite_X) else -np.inf


def floor_weights(
  log_prob_K: np.ndarray, count_K: np.ndarray, floor: float
) -> np.ndarray:
  """w without the corpus: how far log-probabilities lie above a floor."""
  live_K = (count_K > 0) & (log_prob_K > -np.inf) & np.isfinite(floor)
  weight_K = np.zeros(len(log_prob_K))
  weight_K[live_K] = np.maximum(log_prob_K[live_K] - floor, 0.0)
  return weight_K


def key_weights(
  log_prob_K: np.ndarray,
  length_K: np.ndarray,
  count_K: np.ndarray,
  *,
  num_tokens: int,
  smoothing: float,
  gamma: float,
  frequencies: bool,
) -> np.ndarray:
  """w of keys, not yet raised to alpha; see the module docstring.

  Args:
    log_prob_K: of the model; above 0 counts as 0.
    length_K: |n|, at least 1.
    count_K: how often each occurs.
    num_tokens: N.
    smoothing: s.
    gamma: length penalty.
    frequencies: ask the corpus.
  """
  if not frequencies:
    weight_K = floor_weights(log_prob_K, count_K, floor_of(log_prob_K))
    return penalised(weight_K, length_K, gamma)
  below_K = np.minimum(log_prob_K, 0.0) - NEAREST
  below_K = penalised(below_K, length_K, gamma)
  return log_odds_weights(below_K, count_K, num_tokens, smoothing)


def unigram_weights(
  log_prob_V: np.ndarray,
  count_V: np.ndarray,
  *,
  without: np.ndarray,
  limit: int,
  floor: float | None,
  num_tokens: int,
  smoothing: float,
  exponent: float,
) -> np.ndarray:
  """What each token of the vocabulary says, float64 [V].

  Args:
    log_prob_V: of the model; the first token of a key.
    count_V: how often each occurs in the corpus.
    without: tokens that weigh nothing: marks, and keys of one token.
    limit: only so many weigh: the most probable, of equal ones the lower ids.
    floor: of the keys, where the corpus is not asked; None to ask it.
    num_tokens: N.
    smoothing: s.
    exponent: weights are raised to it.
  """
  best_X = best_ids(log_prob_V, limit)
  best_X = best_X[~np.isin(best_X, without)]
  log_prob_X, count_X = log_prob_V[best_X], count_V[best_X]
  if floor is None:
    log_prob_X = np.minimum(log_prob_X, -NEAREST)
    weight_X = log_odds_weights(log_prob_X, count_X, num_tokens, smoothing)
  else:
    weight_X = floor_weights(log_prob_X, count_X, floor)
  weight_V = np.zeros(len(log_prob_V))
  weight_V[best_X] = weight_X**exponent
  return weight_V


def best_ids(value_V: np.ndarray, limit: int) -> np.ndarray:
  """Places of the greatest values, ascending; of equal values the first."""
  count = len(value_V)
  if limit >= count:
    return np.arange(count)
  if limit <= 0:
    return np.zeros(0, np.int64)
  least = np.partition(value_V, count - limit)[count - limit]
  above = np.flatnonzero(value_V > least)
  equal = np.flatnonzero(value_V == least)[: limit - len(above)]
  return np.sort(np.concatenate([above, equal]))


def _log_complement(x: np.ndarray) -> np.ndarray:
  """log(1 - e^x) of x <= 0, exact near 0 and far from it (Maechler, 2012)."""
  near = x > -np.log(2.0)
  out = np.empty_like(x)
  out[near] = np.log(-np.expm1(x[near]))
  out[~near] = np.log1p(-np.exp(x[~near]))
  return out
