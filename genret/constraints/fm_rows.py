# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Questions to one segment of an FM-index, on the host, many at a time.

Scalar loops over rows, compiled by numba: a row is found by following bits, and
where it leads depends on what was read before.
"""

from __future__ import annotations

import numba
import numpy as np

from genret.constraints import wavelet
from genret.constraints.fm_segment import MARK_BITS, Segment, pack_marks


def intervals(
  segment: Segment, token: np.ndarray, start_X1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The rows of many n-grams: low_X and high_X, equal where there are none.

  Args:
    segment: where to look.
    token: int64 tokens of all n-grams.
    start_X1: int64; where each begins in token, and the end. The empty n-gram
      has all rows.
  """
  return _intervals(*segment[:4], token, start_X1)


def live(segment: Segment, low_X: np.ndarray, high_X: np.ndarray) -> np.ndarray:
  """How many rows of each range belong to documents that were not removed."""
  return _live(segment.removed_Mx8, low_X, high_X)


def continuations(
  segment: Segment, low_X: np.ndarray, high_X: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Tokens that follow in live documents: range, token and how often, flat.

  Ranges in order, and tokens ascending within a range; int64.
  """
  rows, symbols, counts = _continuations(
    segment.block_LxBx32,
    segment.shift_A,
    segment.removed_Mx8,
    low_X,
    high_X,
  )
  return rows, segment.alphabet_T[symbols - 1].astype(np.int64), counts


def locate(
  segment: Segment, low_X: np.ndarray, high_X: np.ndarray, length_X: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Where n-grams of these rows and lengths begin in live documents.

  Returns:
    range, document of the segment, offset: int64, flat, ranges in order.
  """
  return _locate(
    segment.block_LxBx32,
    segment.shift_A,
    segment.start_D1,
    segment.last_D,
    segment.mark_Mx8,
    segment.sample_X,
    segment.removed_Mx8,
    low_X,
    high_X,
    length_X,
  )


def remove(segment: Segment, documents: np.ndarray) -> Segment:
  """The segment with these of its documents marked as removed."""
  removed_D = segment.removed_D.copy()
  removed_D[documents] = True
  rows = int(segment.first_row_A1[-1])
  marked_R = np.zeros(rows, bool)
  if len(segment.removed_Mx8):
    bits = np.unpackbits(
      np.ascontiguousarray(segment.removed_Mx8[:, 1:]).view(np.uint8),
      axis=1,
      bitorder='little',
    )
    marked_R[:] = bits.reshape(-1)[:rows]
  _mark_documents(
    segment.block_LxBx32,
    segment.shift_A,
    segment.border_row_D,
    np.asarray(documents, np.int64),
    marked_R,
  )
  return segment._replace(removed_Mx8=pack_marks(marked_R), removed_D=removed_D)


@numba.njit(cache=True)
def _symbol_of(alphabet_T, token):  # type: ignore[no-untyped-def]
  """The symbol of a token, or -1."""
  low, high = 0, len(alphabet_T)
  while low < high:
    middle = (low + high) // 2
    if np.int64(alphabet_T[middle]) < token:
      low = middle + 1
    else:
      high = middle
  found = low < len(alphabet_T) and np.int64(alphabet_T[low]) == token
  return low + 1 if found else -1


@numba.njit(cache=True)
def _intervals(
  block_LxBx32, shift_A, first_row_A1, alphabet_T, token, start_X1
):  # type: ignore[no-untyped-def]
  count = len(start_X1) - 1
  low_X, high_X = np.zeros(count, np.int64), np.zeros(count, np.int64)
  for x in range(count):
    low, high = np.int64(0), np.int64(first_row_A1[-1])
    for i in range(start_X1[x], start_X1[x + 1]):
      symbol = _symbol_of(alphabet_T, token[i])
      if symbol < 0:
        high = low
      elif i == start_X1[x]:
        low = np.int64(first_row_A1[symbol])
        high = np.int64(first_row_A1[symbol + 1])
      else:
        shift = np.int64(shift_A[symbol])
        low = wavelet.sorted_position(block_LxBx32, symbol, low) + shift
        high = wavelet.sorted_position(block_LxBx32, symbol, high) + shift
      if low >= high:
        low = high
        break
    low_X[x], high_X[x] = low, high
  return low_X, high_X


@numba.njit(cache=True)
def _marks_before(mark_Mx8, row):  # type: ignore[no-untyped-def]
  block = min(row // MARK_BITS, len(mark_Mx8) - 1)
  bits = row - MARK_BITS * block
  total = np.int64(mark_Mx8[block, 0])
  word = 1
  while bits > 0 and word < 8:
    here = np.int64(mark_Mx8[block, word])
    if bits < 32:
      here &= (np.int64(1) << bits) - 1
    total += wavelet.popcount(here)
    word += 1
    bits -= 32
  return total


@numba.njit(cache=True)
def _is_marked(mark_Mx8, row):  # type: ignore[no-untyped-def]
  block = min(row // MARK_BITS, len(mark_Mx8) - 1)
  bit = (row - MARK_BITS * block) % MARK_BITS
  return (np.int64(mark_Mx8[block, 1 + bit // 32]) >> (bit % 32)) & 1 == 1


@numba.njit(cache=True)
def _live_between(removed_Mx8, low, high):  # type: ignore[no-untyped-def]
  if len(removed_Mx8) == 0 or low >= high:
    return high - low
  before = _marks_before(removed_Mx8, low)
  return high - low - (_marks_before(removed_Mx8, high) - before)


@numba.njit(cache=True)
def _live(removed_Mx8, low_X, high_X):  # type: ignore[no-untyped-def]
  live_X = np.empty(len(low_X), np.int64)
  for x in range(len(low_X)):
    live_X[x] = _live_between(removed_Mx8, low_X[x], high_X[x])
  return live_X


@numba.njit(cache=True)
def _continuations(block_LxBx32, shift_A, removed_Mx8, low_X, high_X):  # type: ignore[no-untyped-def]
  size, found = 1024, 0
  out_Yx3 = np.empty((size, 3), np.int64)
  for x in range(len(low_X)):
    symbols, lows, highs = wavelet.distinct(block_LxBx32, low_X[x], high_X[x])
    while found + len(symbols) > size:
      size *= 2
      larger_Yx3 = np.empty((size, 3), np.int64)
      larger_Yx3[:found] = out_Yx3[:found]
      out_Yx3 = larger_Yx3
    for y in range(len(symbols)):
      if symbols[y] == 0:  # the end of a document
        continue
      shift = np.int64(shift_A[symbols[y]])
      count = _live_between(removed_Mx8, lows[y] + shift, highs[y] + shift)
      if count > 0:
        out_Yx3[found, 0], out_Yx3[found, 1] = x, symbols[y]
        out_Yx3[found, 2] = count
        found += 1
  return out_Yx3[:found, 0], out_Yx3[:found, 1], out_Yx3[:found, 2]


@numba.njit(cache=True)
def _document_at(start_D1, position):  # type: ignore[no-untyped-def]
  """The document whose border or tokens are at a position of the layout."""
  low, high = 0, len(start_D1) - 1
  while low < high:
    middle = (low + high) // 2
    if start_D1[middle] + middle <= position:
      low = middle + 1
    else:
      high = middle
  return low - 1


@numba.njit(cache=True)
def _locate(  # type: ignore[no-untyped-def]
  block_LxBx32,
  shift_A,
  start_D1,
  last_D,
  mark_Mx8,
  sample_X,
  removed_Mx8,
  low_X,
  high_X,
  length_X,
):
  total = 0
  for x in range(len(low_X)):
    total += max(high_X[x] - low_X[x], 0)
  range_Y = np.empty(total, np.int64)
  document_Y = np.empty(total, np.int64)
  offset_Y = np.empty(total, np.int64)
  found = 0
  for x in range(len(low_X)):
    for start in range(low_X[x], high_X[x]):
      if len(removed_Mx8) > 0 and _is_marked(removed_Mx8, start):
        continue
      row, steps, document = np.int64(start), 0, -1
      position = np.int64(0)
      while document < 0:
        if _is_marked(mark_Mx8, row):
          position = np.int64(sample_X[_marks_before(mark_Mx8, row)]) - steps
          document = _document_at(start_D1, position)
          break
        symbol, after = wavelet.symbol_at(block_LxBx32, row)
        row = after + np.int64(shift_A[symbol])
        if symbol == 0:
          document = np.int64(last_D[row])
          position = start_D1[document + 1] + document - steps
        steps += 1
      range_Y[found], document_Y[found] = x, document
      first = start_D1[document] + document + 1
      offset_Y[found] = position - first - length_X[x] + 1
      found += 1
  return range_Y[:found], document_Y[:found], offset_Y[:found]


@numba.njit(cache=True)
def _mark_documents(block_LxBx32, shift_A, border_row_D, documents, marked_R):  # type: ignore[no-untyped-def]
  for document in documents:
    row = np.int64(border_row_D[document])
    while True:
      marked_R[row] = True
      symbol, after = wavelet.symbol_at(block_LxBx32, row)
      if symbol == 0:
        break
      row = after + np.int64(shift_A[symbol])
