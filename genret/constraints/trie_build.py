# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds the arrays of a trie; NumPy only, no loop over identifiers."""

from __future__ import annotations

import numpy as np


def build(
  rows_DxL: np.ndarray, lengths_D: np.ndarray, eos_id: int
) -> tuple[np.ndarray, np.ndarray]:
  """The arrays of a trie, from rows of tokens without eos.

  Sorts the rows; a row adds a state wherever it leaves the row before.

  Args:
    rows_DxL: tokens; what follows the length of a row is ignored.
    lengths_D: tokens in each row.
    eos_id: ends each row.

  Returns:
    token_E, first_edge_S1: see `Trie`.

  Raises:
    ValueError: the trie has more states than int32 can number.
  """
  rows_DxW, lengths_D = _sorted_with_eos(rows_DxL, lengths_D, eos_id)
  shared_D = _shared_with_previous(rows_DxW)
  token_levels, parent_levels = [], []
  state_D = np.zeros(len(rows_DxW), np.int64)  # The state each row is in.
  states = 1
  for level in range(rows_DxW.shape[1]):
    new_D = (shared_D <= level) & (level < lengths_D)
    token_levels.append(rows_DxW[new_D, level])
    parent_levels.append(state_D[new_D])
    state_D = states - 1 + np.cumsum(new_D)
    states += len(token_levels[-1])
  if states >= np.iinfo(np.int32).max:
    raise ValueError(
      f'Expected a trie of fewer than 2^31 states but got {states}; split the '
      'identifiers over several tries.'
    )
  parent_E = np.concatenate([np.zeros(0, np.int64), *parent_levels])
  count_S = np.bincount(parent_E, minlength=states)
  first_edge_S1 = np.zeros(states + 1, np.int32)
  first_edge_S1[1:] = np.cumsum(count_S)
  # JAX cannot index an empty array.
  token_E = np.concatenate(token_levels) if states > 1 else np.zeros(1)
  return token_E.astype(np.int32), first_edge_S1


def _sorted_with_eos(
  rows_DxL: np.ndarray, lengths_D: np.ndarray, eos_id: int
) -> tuple[np.ndarray, np.ndarray]:
  """Rows with eos at their end, padded with -1, in ascending order."""
  count, width = rows_DxL.shape
  rows_DxW = np.full((count, width + 1), -1, np.int32)
  inside = np.arange(width) < lengths_D[:, None]
  rows_DxW[:, :width][inside] = rows_DxL[inside]
  rows_DxW[np.arange(count), lengths_D] = eos_id
  order_D = np.lexsort(rows_DxW.T[::-1])
  return rows_DxW[order_D], lengths_D[order_D] + 1


def _shared_with_previous(rows_DxW: np.ndarray) -> np.ndarray:
  """How many leading tokens each row shares with the row before it."""
  shared_D = np.zeros(len(rows_DxW), np.int64)
  differs = rows_DxW[1:] != rows_DxW[:-1]
  shared_D[1:] = np.where(
    differs.any(axis=1), differs.argmax(axis=1), rows_DxW.shape[1]
  )
  return shared_D


def check_tokens(
  tokens: np.ndarray, lengths_D: np.ndarray, vocab_size: int, eos_id: int
) -> None:
  """Refuses sequences, given as one array, with eos or a foreign token."""
  if not 0 <= eos_id < vocab_size:
    raise ValueError(
      f'Expected eos_id from 0 to vocab_size - 1 but got eos_id={eos_id} and '
      f'vocab_size={vocab_size}; correct one of them.'
    )
  bad = (tokens < 0) | (tokens >= vocab_size) | (tokens == eos_id)
  if bad.any():
    first = int(np.argmax(bad))
    index = int(np.searchsorted(np.cumsum(lengths_D), first, side='right'))
    raise ValueError(
      f'Expected tokens from 0 to {vocab_size - 1} other than eos_id={eos_id} '
      f'but sequence {index} has {tokens[first]}; leave eos out (it is added) '
      'or correct vocab_size.'
    )
