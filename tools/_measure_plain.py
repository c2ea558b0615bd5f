# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Plain answers: sorted n-grams, dictionaries, a beam search in Python."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from genret.tools._measure import Tokens


class SortedPositions:
  """Every position of a corpus, sorted by the tokens that stand there.

  Tokens are strings of bytes that compare as their numbers do, token t as
  t + 1, and 0 stands behind each document; so NumPy's own search finds n-grams.
  """

  def __init__(self, tokens: Tokens, length: int) -> None:
    """Sorts by `length` tokens; no n-gram may be longer."""
    self.length = length
    self.width = 2 if tokens.vocab_size < 65535 else 4
    documents = len(tokens.start_D1) - 1
    self.symbol_R = np.zeros(len(tokens.token_T) + documents, f'>u{self.width}')
    number_T = np.repeat(np.arange(documents), np.diff(tokens.start_D1))
    at_T = np.arange(len(tokens.token_T)) + number_T
    self.symbol_R[at_T] = tokens.token_T.astype(np.uint32) + 1
    padded = np.append(self.symbol_R, np.zeros(length, self.symbol_R.dtype))
    columns = [padded[at_T + i].astype(f'u{self.width}') for i in range(length)]
    order_T = np.lexsort(columns[::-1])
    self.position_T = at_T[order_T]
    symbol_TxP = np.stack([c[order_T] for c in columns], axis=1)
    self.string_T = self._strings(symbol_TxP)

  def _strings(self, symbol_NxP: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(symbol_NxP, f'>u{self.width}')
    return rows.view(f'S{rows.shape[1] * self.width}')[:, 0]

  def ranges(self, ngram_NxP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the positions of each n-gram begin and end."""
    count, length = ngram_NxP.shape
    greatest = np.iinfo(self.symbol_R.dtype).max
    last_NxL = np.full((count, self.length), greatest, np.uint32)
    last_NxL[:, :length] = ngram_NxP + 1
    first_NxL = last_NxL.copy()
    first_NxL[:, length:] = 0
    return (
      np.searchsorted(self.string_T, self._strings(first_NxL), 'left'),
      np.searchsorted(self.string_T, self._strings(last_NxL), 'right'),
    )

  def masses(self, prefix_NxP: np.ndarray, token_NxT: np.ndarray) -> np.ndarray:
    """How often each token follows each prefix, [N, T]."""
    count, probes = token_NxT.shape
    ngram_XxP = np.concatenate(
      [
        np.repeat(prefix_NxP, probes, axis=0),
        token_NxT.reshape(-1, 1).astype(prefix_NxP.dtype),
      ],
      axis=1,
    )
    low_X, high_X = self.ranges(ngram_XxP)
    return (high_X - low_X).reshape(count, probes)

  def listing(self, prefix_P: np.ndarray) -> dict[int, int]:
    """What follows a prefix and how often, counted in Python."""
    low, high = self.ranges(prefix_P[None])
    position_X = self.position_T[low[0] : high[0]] + len(prefix_P)
    following = self.symbol_R[position_X].tolist()
    found = collections.Counter(following)
    found.pop(0, None)
    return {symbol - 1: count for symbol, count in found.items()}


Allowed = Callable[[Sequence[int]], np.ndarray]


def plain_search(
  logits_LxV: np.ndarray, num_beams: int, allowed: Allowed
) -> list[tuple[int, ...]]:
  """A beam search in Python; all beams of a step have the same logits.

  Args:
    logits_LxV: of each step.
    num_beams: K.
    allowed: the tokens that may follow a prefix, ascending.

  Returns:
    The K best rows of L tokens, or fewer where there are no more.
  """
  shifted_LxV = logits_LxV - logits_LxV.max(axis=1, keepdims=True)
  log_prob_LxV = shifted_LxV - np.log(
    np.exp(shifted_LxV).sum(axis=1, keepdims=True)
  )
  beams: list[tuple[int, ...]] = [()]
  score_K = np.zeros(1, np.float32)
  for log_prob_V in log_prob_LxV:
    tokens = [allowed(beam) for beam in beams]
    parent_C = np.repeat(np.arange(len(beams)), list(map(len, tokens)))
    token_C = np.concatenate(tokens)
    score_C = score_K[parent_C] + log_prob_V[token_C]
    best_K = np.argsort(-score_C, kind='stable')[:num_beams]
    score_K = score_C[best_K]
    beams = [
      (*beams[p], t)
      for p, t in zip(
        parent_C[best_K].tolist(), token_C[best_K].tolist(), strict=True
      )
    ]
  return beams


def dictionary(row_DxL: np.ndarray) -> dict[int, Any]:
  """A trie as dictionaries of dictionaries."""
  root: dict[int, Any] = {}
  for row in row_DxL.tolist():
    node = root
    for token in row:
      node = node.setdefault(token, {})
  return root


def walk(root: dict[int, Any], prefix: Sequence[int]) -> np.ndarray:
  """What may follow in a dictionary."""
  for token in prefix:
    root = root[token]
  return np.array(sorted(root), np.int64)


def look_up(row_DxL: np.ndarray, prefix: Sequence[int]) -> np.ndarray:
  """What may follow among sorted rows."""
  low, high = 0, len(row_DxL)
  for column, token in enumerate(prefix):
    column_X = row_DxL[low:high, column]
    low, high = (
      low + int(np.searchsorted(column_X, token, 'left')),
      low + int(np.searchsorted(column_X, token, 'right')),
    )
  return np.unique(row_DxL[low:high, len(prefix)])
