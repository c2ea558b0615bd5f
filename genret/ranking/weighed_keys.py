# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Keys as they arrive, and as they are scored: distinct, weighed, best first.

K keys, S segments of the index, V tokens of the vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genret.ranking import ngram_reading
from genret.ranking.ngram_places import Rows
from genret.ranking.ngram_reading import Keys

Tokens = tuple[int, ...]


class WeighedKeys(NamedTuple):
  """Distinct keys that weigh something, best first, and the single tokens.

  Attributes:
    tokens: of each key.
    log_prob_K: as the caller gave them.
    count_K: in the corpus.
    weight_K: by which keys are ordered, then by tokens.
    arrival_K: when each arrived, counting from 0.
    rows: of the index.
    unigram_V: what single tokens weigh.
    unigram_log_prob_V: what the model gave them; anything where they weigh 0.
    unigram_count_V: how often the corpus has them.
  """

  tokens: list[Tokens]
  log_prob_K: np.ndarray
  count_K: np.ndarray
  weight_K: np.ndarray
  arrival_K: np.ndarray
  rows: Rows
  unigram_V: np.ndarray
  unigram_log_prob_V: np.ndarray
  unigram_count_V: np.ndarray

  @property
  def length_K(self) -> np.ndarray:
    """Tokens of each, int64."""
    return np.fromiter(map(len, self.tokens), np.int64, len(self.tokens))

  def take(self, which: np.ndarray) -> WeighedKeys:
    """Those at some places, in that order."""
    return self._replace(
      tokens=[self.tokens[i] for i in which.tolist()],
      log_prob_K=self.log_prob_K[which],
      count_K=self.count_K[which],
      weight_K=self.weight_K[which],
      arrival_K=self.arrival_K[which],
      rows=Rows(*(array[:, which] for array in self.rows)),
    )

  def for_kernels(self) -> Keys:
    """As loops want them."""
    token, start_K1 = flat(self.tokens)
    distinct = ngram_reading.distinct_tokens(token, start_K1)
    return Keys(token, start_K1, *distinct, self.weight_K)

  def described(self, key: int) -> tuple[Tokens, float, int]:
    """Tokens, log-probability and count of a key, or of the token -1 - key."""
    if key >= 0:
      log_prob, count = self.log_prob_K[key], self.count_K[key]
      return self.tokens[key], float(log_prob), int(count)
    token = -1 - key
    log_prob, count = (
      self.unigram_log_prob_V[token],
      self.unigram_count_V[token],
    )
    return (token,), float(log_prob), int(count)

  def with_tokens(
    self,
    token_X: np.ndarray,
    log_prob_X: np.ndarray,
    count_X: np.ndarray,
    weight_X: np.ndarray,
    rows: Rows,
  ) -> WeighedKeys:
    """These, and single tokens that arrive after them."""
    both = zip(self.rows, rows, strict=True)
    return self._replace(
      tokens=self.tokens + [(token,) for token in token_X.tolist()],
      log_prob_K=np.append(self.log_prob_K, log_prob_X),
      count_K=np.append(self.count_K, count_X),
      weight_K=np.append(self.weight_K, weight_X),
      arrival_K=np.arange(len(self.tokens) + len(token_X)),
      rows=Rows(*(np.concatenate(pair, axis=1) for pair in both)),
    )

  def in_order(self, live_K: np.ndarray) -> WeighedKeys:
    """Those that live, by falling weight, then by tokens.

    What arrives again keeps its place among arrivals and its last weight.
    """
    first: dict[Tokens, int] = {}
    last: dict[Tokens, int] = {}
    for i in np.flatnonzero(live_K).tolist():
      first.setdefault(self.tokens[i], i)
      last[self.tokens[i]] = i
    weights = (-self.weight_K).tolist()
    order = sorted(last, key=lambda tokens: (weights[last[tokens]], tokens))
    found = self.take(np.array([last[t] for t in order], np.int64))
    return found._replace(
      arrival_K=np.array([first[t] for t in order], np.int64)
    )


def arrived(
  keys: Sequence[Sequence[int] | np.ndarray],
  log_probabilities: Sequence[float] | np.ndarray,
) -> tuple[list[Tokens], np.ndarray]:
  """Keys of at least one token, and their log-probabilities.

  Raises:
    ValueError: for other than a number for each key, and for NaN.
  """
  log_prob_K = np.asarray(log_probabilities, np.float64)
  if log_prob_K.shape != (len(keys),):
    raise ValueError(
      f'Expected a log-probability for each of {len(keys)} keys, got shape '
      f'{log_prob_K.shape}; pass as many as keys.'
    )
  if np.isnan(log_prob_K).any():
    raise ValueError(
      f'Expected log-probabilities, got NaN for key '
      f'{int(np.isnan(log_prob_K).argmax())}; look for non-finite logits of the '
      'model.'
    )
  tokens = [
    tuple(key.tolist() if isinstance(key, np.ndarray) else key) for key in keys
  ]
  kept = [i for i, key in enumerate(tokens) if key]
  return [tokens[i] for i in kept], log_prob_K[kept]


def without_repeats(
  tokens: list[Tokens], log_prob_K: np.ndarray
) -> tuple[list[Tokens], np.ndarray]:
  """Each key once, with its greatest log-probability."""
  best: dict[Tokens, float] = {}
  for key, log_prob in zip(tokens, log_prob_K.tolist(), strict=True):
    if key not in best or log_prob > best[key]:
      best[key] = log_prob
  return list(best), np.array(list(best.values()), np.float64)


def flat(tokens: list[Tokens]) -> tuple[np.ndarray, np.ndarray]:
  """Tokens of all keys, int64, and where each begins, with the end.

  Raises:
    ValueError: they are not integers.
  """
  start_K1 = np.zeros(len(tokens) + 1, np.int64)
  np.cumsum([len(key) for key in tokens], out=start_K1[1:])
  token = np.array(list(itertools.chain.from_iterable(tokens)))
  if len(token) and token.dtype.kind not in 'iu':
    raise ValueError(
      f'Expected keys of integers, got {token.dtype}; pass token ids.'
    )
  return token.astype(np.int64), start_K1
