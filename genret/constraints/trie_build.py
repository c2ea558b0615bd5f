# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds the arrays of a trie; NumPy only, no loop over identifiers.

Identifiers are sorted a chunk of columns at a time: as many tokens as fit 64
bits behind the number of the state their row has reached. What has ended is
left behind, so memory follows the number of tokens, not the longest identifier.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

# States, the root among them, are numbered with int32.
MAX_EDGES = np.iinfo(np.int32).max - 1

_BLOCK = 1 << 20  # Rows packed at a time, so that temporaries stay small.


class Rows(NamedTuple):
  """D sequences of tokens without eos, of any lengths, in one array.

  Attributes:
    tokens: integers [T].
    start_D: int64; where each sequence begins in `tokens`.
    length_D: integers; tokens in each.
  """

  tokens: np.ndarray
  start_D: np.ndarray
  length_D: np.ndarray


def rows_of(
  sequences: Sequence[Sequence[int]] | np.ndarray,
  lengths: Sequence[int] | np.ndarray | None = None,
) -> Rows:
  """Sequences of tokens in one of three forms; arrays are not copied.

  Args:
    sequences: a list of sequences, or rows [D, L], or with `lengths` all
      tokens of all sequences one after another.
    lengths: tokens in each sequence; for rows, what follows is ignored.

  Raises:
    ValueError: an array is not of whole numbers or lengths do not fit it.
  """
  if lengths is None and not hasattr(sequences, 'ndim'):
    return _rows_of_lists(sequences)
  tokens = _whole('tokens', sequences)
  if lengths is None and tokens.ndim != 2:
    raise ValueError(
      f'Expected a list of sequences or rows [D, L] but got shape {tokens.shape}'
      '; give `lengths` with tokens that follow one another.'
    )
  if lengths is None:
    length_D = np.full(len(tokens), tokens.shape[1], np.int32)
  else:
    length_D = _whole('lengths', lengths)
  if tokens.ndim == 1 and length_D.ndim == 1:
    start_D = np.cumsum(length_D, dtype=np.int64)
    total = int(start_D[-1]) if len(start_D) else 0
    start_D -= length_D
    fits = total == len(tokens) and length_D.min(initial=0) >= 0
  else:
    fits = tokens.ndim == 2 and length_D.shape == (len(tokens),)
    if fits:
      start_D = np.arange(len(tokens)) * tokens.shape[1]
      fits = length_D.min(initial=0) >= 0
      fits &= length_D.max(initial=0) <= tokens.shape[1]
  if not fits:
    raise ValueError(
      'Expected lengths that add up to the number of tokens, or one for each '
      f'row and no greater than it, but got tokens {list(tokens.shape)} and '
      f'lengths {list(length_D.shape)} with sum {length_D.sum()}; count the '
      'tokens of each sequence.'
    )
  return Rows(tokens.reshape(-1), start_D, length_D)


def _rows_of_lists(sequences: Sequence[Sequence[int]]) -> Rows:
  length_D = np.fromiter(map(len, sequences), np.int64, len(sequences))
  start_D = np.cumsum(length_D) - length_D
  if len(sequences) and all(isinstance(row, np.ndarray) for row in sequences):
    tokens = np.concatenate(sequences)
  else:
    tokens = _whole_numbers(sequences, length_D.sum())
  return Rows(_whole('tokens', tokens), start_D, length_D)


def _whole_numbers(
  sequences: Sequence[Sequence[int]], count: int
) -> np.ndarray:
  every = itertools.chain.from_iterable(sequences)
  try:  # operator.index refuses what would lose its fraction.
    return np.fromiter(map(operator.index, every), np.int64, count)
  except TypeError as error:
    raise ValueError(
      f'Expected whole numbers as tokens but {error}; convert them to int.'
    ) from error


def _whole(name: str, values: Any) -> np.ndarray:
  array = np.asarray(values)
  if array.size and array.dtype.kind not in 'iu':
    raise ValueError(
      f'Expected whole numbers as {name} but got dtype {array.dtype}; convert '
      'them to int32.'
    )
  return array if array.size else array.astype(np.int32)


def check_tokens(rows: Rows, vocab_size: int, eos_id: int) -> None:
  """Refuses sequences with eos or a token outside the vocabulary."""
  if not 0 <= eos_id < vocab_size <= 2**31:
    raise ValueError(
      'Expected eos_id from 0 to vocab_size - 1 and a vocab_size that fits 32 '
      f'bits but got eos_id={eos_id} and vocab_size={vocab_size}; correct one '
      'of them.'
    )
  tokens = rows.tokens
  bad = (tokens < 0) | (tokens >= vocab_size) | (tokens == eos_id)
  bad_X = np.flatnonzero(bad)
  sequence_X = np.searchsorted(rows.start_D, bad_X, side='right') - 1
  inside_X = bad_X - rows.start_D[sequence_X] < rows.length_D[sequence_X]
  if inside_X.any():
    first = int(np.argmax(inside_X))
    raise ValueError(
      f'Expected tokens from 0 to {vocab_size - 1} other than eos_id={eos_id} '
      f'but sequence {sequence_X[first]} has {tokens[bad_X[first]]}; leave eos '
      'out (it is added) or correct vocab_size.'
    )


class _Level(NamedTuple):
  """The edges that leave the states of one depth.

  Attributes:
    token_E: their tokens, by state and then ascending.
    count_S: how many leave each state.
  """

  token_E: np.ndarray
  count_S: np.ndarray


def build(
  rows: Rows, vocab_size: int, eos_id: int
) -> tuple[np.ndarray, np.ndarray]:
  """The arrays of a trie.

  Args:
    rows: the identifiers, in any order; equal ones count once.
    vocab_size: all tokens are below.
    eos_id: ends each identifier.

  Returns:
    token_E, first_edge_S1: see `Trie`.

  Raises:
    ValueError: the trie has more states than int32 can number.
  """
  if not len(rows.tokens):  # There must be one to read beside what is inside.
    rows = rows._replace(tokens=np.zeros(1, np.int32))
  levels = functools.partial(_levels, rows, vocab_size, eos_id)
  most = int(rows.length_D.sum(dtype=np.int64)) + len(rows.length_D)
  if most > MAX_EDGES:  # Unless they share prefixes: count before storing.
    most = sum(len(level.token_E) for level in levels())
    if most > MAX_EDGES:
      raise ValueError(
        f'Expected a trie of fewer than 2^31 states but got {most + 1}; split '
        'the identifiers over several tries.'
      )
  # Pages that are never written cost no memory; resize gives them back.
  token_E = np.empty(max(most, 1), np.int32)
  first_edge_S1 = np.empty(most + 2, np.int32)
  token_E[0] = 0  # JAX cannot index an empty array.
  first_edge_S1[0] = 0
  edges, states = 0, 0
  for level in levels():
    token_E[edges : edges + len(level.token_E)] = level.token_E
    edges += len(level.token_E)
    first_edge_S1[1 + states : 1 + states + len(level.count_S)] = level.count_S
    states += len(level.count_S)
  first_edge_S1[1 + states : edges + 2] = 0  # After eos.
  token_E.resize(max(edges, 1), refcheck=False)
  first_edge_S1.resize(edges + 2, refcheck=False)
  np.cumsum(first_edge_S1, dtype=np.int32, out=first_edge_S1)
  return token_E, first_edge_S1


def _levels(rows: Rows, vocab_size: int, eos_id: int) -> Iterator[_Level]:
  """The edges of the trie, level by level."""
  bits = max((vocab_size - 1).bit_length(), 1)
  count = len(rows.length_D)
  row_A = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
  state_A = np.zeros(count, np.int32)  # Rank among the states of this depth.
  states, depth = 1, 0
  while len(row_A):
    width = (64 - (states - 1).bit_length()) // bits
    key_A = _keys(rows, row_A, state_A, depth, width, bits, eos_id)
    if states < len(row_A):  # Else each state is of one row, so all are sorted.
      order_A = np.argsort(key_A)  # Any order of equals will do.
      key_A, row_A = key_A[order_A], row_A[order_A]
      del order_A
    last_A = rows.length_D[row_A]  # The column of eos.
    for column in range(width):
      shift = np.uint64(bits * (width - 1 - column))
      new_A = np.ones(len(key_A), bool)
      prefix_A = key_A >> shift
      np.not_equal(prefix_A[1:], prefix_A[:-1], out=new_A[1:])
      new_A &= last_A >= depth
      mask = np.uint64((1 << bits) - 1)
      token_E = (prefix_A[new_A] & mask).astype(np.int32)
      del prefix_A
      if not len(token_E):
        return
      yield _Level(token_E, np.bincount(state_A[new_A], minlength=states))
      np.cumsum(new_A, out=state_A)
      state_A -= 1
      states, depth = len(token_E), depth + 1
    going_A = last_A >= depth
    row_A, state_A = row_A[going_A], state_A[going_A]


def _keys(
  rows: Rows,
  row_A: np.ndarray,
  state_A: np.ndarray,
  depth: int,
  width: int,
  bits: int,
  eos_id: int,
) -> np.ndarray:
  """The state of each row, then `width` of its tokens, packed into uint64.

  Behind its last token a row has eos, behind that zeros.
  """
  key_A = state_A.astype(np.uint64)
  for first in range(0, len(row_A), _BLOCK):
    block = slice(first, first + _BLOCK)
    key_X, row_X = key_A[block], row_A[block]
    left_X = rows.length_D[row_X] - depth
    position_X = rows.start_D[row_X] + depth
    for column in range(width):
      key_X <<= np.uint64(bits)
      inside_X = left_X > column
      token_X = rows.tokens[np.where(inside_X, position_X + column, 0)]
      token_X = np.where(inside_X, token_X, eos_id * (left_X == column))
      key_X |= token_X.astype(np.uint64)
  return key_A
