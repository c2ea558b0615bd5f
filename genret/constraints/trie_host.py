# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A trie walked on the host with NumPy, for searches that are not ours."""

from __future__ import annotations

import numpy as np


def allowed_tokens(
  token_E: np.ndarray, first_edge_S1: np.ndarray, prefix_NxP: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Lists what may follow each prefix; no loop over prefixes or tokens.

  Args:
    token_E: see `Trie`.
    first_edge_S1: see `Trie`.
    prefix_NxP: integers, the tokens written so far.

  Returns:
    row_A, token_A: A pairs of a row and a token that may follow it, by row and
    then ascending. A row that has finished or left the trie has none.
  """
  state_N = np.zeros(len(prefix_NxP), np.int64)
  for token_N in prefix_NxP.T:
    state_N = _next_states(token_E, first_edge_S1, state_N, token_N)
  first_N, count_N = _edges(first_edge_S1, state_N)
  row_A = np.repeat(np.arange(len(count_N)), count_N)
  listed_N = np.cumsum(count_N) - count_N  # Edges of the rows before.
  edge_A = np.arange(len(row_A)) + np.repeat(first_N - listed_N, count_N)
  return row_A, token_E[edge_A].astype(np.int64)


def _edges(
  first_edge_S1: np.ndarray, state_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The first edge of each state and how many it has; none for state -1."""
  safe_N = np.maximum(state_N, 0)
  first_N = first_edge_S1[safe_N].astype(np.int64)
  count_N = first_edge_S1[safe_N + 1] - first_N
  return first_N, np.where(state_N < 0, 0, count_N)


def _next_states(
  token_E: np.ndarray,
  first_edge_S1: np.ndarray,
  state_N: np.ndarray,
  token_N: np.ndarray,
) -> np.ndarray:
  """Binary search for each token among its state's edges; -1: not there."""
  low_N, count_N = _edges(first_edge_S1, state_N)
  end_N = low_N + count_N
  last = len(token_E) - 1
  while count_N.any():
    half_N = count_N // 2
    middle_N = np.minimum(low_N + half_N, last)
    less_N = (count_N > 0) & (token_E[middle_N] < token_N)
    low_N = np.where(less_N, middle_N + 1, low_N)
    count_N = np.where(less_N, count_N - half_N - 1, half_N)
  found_N = (low_N < end_N) & (token_E[np.minimum(low_N, last)] == token_N)
  return np.where(found_N, low_N + 1, -1)
