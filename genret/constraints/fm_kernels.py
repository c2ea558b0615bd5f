# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Loops over rows and positions of an FM-index, compiled by numba.

Scalar loops: a row is found by following bits, and where it leads depends on
what was read before. Arguments are arrays of `fm_segment.Segment`, which must be
sound: numba checks no bounds.
"""

from __future__ import annotations

import numba
import numpy as np

MARK_BITS = 224  # rows in 8 words: one counts the marks before, seven hold them
DENSE = 1 << 22  # below, a table by token is small enough


@numba.njit(cache=True)
def fill_level(symbol_R, low_bit, block_Bx32, next_R):
  """Writes the blocks of one level and the sequence sorted by its digit."""
  count = len(symbol_R)
  at_8 = np.zeros(8, np.int64)
  for i in range(count):
    at_8[(np.int64(symbol_R[i]) >> low_bit) & 7] += 1
  before = np.int64(0)
  for digit in range(8):
    before, at_8[digit] = before + at_8[digit], before
  for i in range(count):
    block = i >> 8
    if i & 255 == 0:
      for digit in range(8):
        block_Bx32[block, digit] = np.uint32(at_8[digit])
    digit = (np.int64(symbol_R[i]) >> low_bit) & 7
    next_R[at_8[digit]] = symbol_R[i]
    at_8[digit] += 1
    word = (i & 255) >> 5
    bit = np.uint32(1) << np.uint32(i & 31)
    for plane in range(3):
      if (digit >> plane) & 1:
        block_Bx32[block, 8 * (plane + 1) + word] |= bit
  if count & 255 == 0:
    for digit in range(8):
      block_Bx32[count >> 8, digit] = np.uint32(at_8[digit])


@numba.njit(cache=True)
def fill_starts(block_LxBx32, start_A):
  """Where the occurrences of each symbol begin after the last level."""
  for symbol in range(len(start_A)):
    start_A[symbol] = sorted_position(block_LxBx32, symbol, 0)


@numba.njit(cache=True, inline='always')
def _popcount(word):
  """Set bits of a word of 32 bits, given as an int64."""
  word = word - ((word >> 1) & 0x55555555)
  word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
  word = (word + (word >> 4)) & 0x0F0F0F0F
  return ((word * 0x01010101) >> 24) & 0xFF


@numba.njit(cache=True, inline='always')
def _digit_rank(block_32, digit, offset):
  """Where the digit goes that is the first at or after an offset of a block."""
  total = np.int64(block_32[digit])
  flip_0 = np.int64(0) if digit & 1 else np.int64(0xFFFFFFFF)
  flip_1 = np.int64(0) if digit & 2 else np.int64(0xFFFFFFFF)
  flip_2 = np.int64(0) if digit & 4 else np.int64(0xFFFFFFFF)
  word = 0
  while offset > 0:
    same = (
      (np.int64(block_32[8 + word]) ^ flip_0)
      & (np.int64(block_32[16 + word]) ^ flip_1)
      & (np.int64(block_32[24 + word]) ^ flip_2)
    )
    if offset < 32:
      same &= (np.int64(1) << offset) - 1
    total += _popcount(same)
    word += 1
    offset -= 32
  return total


@numba.njit(cache=True, inline='always')
def _digit_at(block_32, offset):
  """The digit at an offset of a block."""
  word, bit = offset >> 5, offset & 31
  return (
    ((np.int64(block_32[8 + word]) >> bit) & 1)
    | (((np.int64(block_32[16 + word]) >> bit) & 1) << 1)
    | (((np.int64(block_32[24 + word]) >> bit) & 1) << 2)
  )


@numba.njit(cache=True)
def _with_room(row_Xx3, used, wanted):
  """Rows of which the first are used, with room for so many in all."""
  size = len(row_Xx3)
  if wanted <= size:
    return row_Xx3
  while size < wanted:
    size *= 2
  larger_Xx3 = np.empty((size, 3), np.int64)
  larger_Xx3[:used] = row_Xx3[:used]
  return larger_Xx3


@numba.njit(cache=True)
def sorted_position(block_LxBx32, symbol, position):
  """Where, after the last level, the first such symbol at or after position is.

  The difference of two is the number of such symbols between two positions.
  """
  levels, blocks, _ = block_LxBx32.shape
  for level in range(levels):
    digit = (symbol >> (3 * (levels - 1 - level))) & 7
    block = min(position >> 8, blocks - 1)
    position = _digit_rank(block_LxBx32[level, block], digit, position & 255)
  return position


@numba.njit(cache=True)
def symbol_at(block_LxBx32, position):
  """The symbol at a position, and where it is after the last level."""
  symbol = np.int64(0)
  levels, blocks, _ = block_LxBx32.shape
  for level in range(levels):
    block_32 = block_LxBx32[level, min(position >> 8, blocks - 1)]
    digit = _digit_at(block_32, position & 255)
    symbol = (symbol << 3) | digit
    position = _digit_rank(block_32, digit, position & 255)
  return symbol, position


@numba.njit(cache=True)
def distinct(block_LxBx32, low, high):
  """The distinct symbols of a range, ascending, and their ranges when sorted.

  Returns:
    symbol_X, low_X, high_X: int64.
  """
  levels, blocks, _ = block_LxBx32.shape
  found_Xx3 = np.empty((16, 3), np.int64)
  found = 0
  stack_Yx4 = np.empty((7 * levels + 2, 4), np.int64)
  stack_Yx4[0, 0], stack_Yx4[0, 1] = 0, 0
  stack_Yx4[0, 2], stack_Yx4[0, 3] = low, high
  depth = 1 if low < high else 0
  while depth > 0:
    depth -= 1
    level, prefix = stack_Yx4[depth, 0], stack_Yx4[depth, 1]
    low, high = stack_Yx4[depth, 2], stack_Yx4[depth, 3]
    if level == levels:
      found_Xx3 = _with_room(found_Xx3, found, found + 1)
      found_Xx3[found, 0] = prefix
      found_Xx3[found, 1], found_Xx3[found, 2] = low, high
      found += 1
      continue
    if high - low == 1:  # One symbol: follow it down.
      block_32 = block_LxBx32[level, min(low >> 8, blocks - 1)]
      digit = _digit_at(block_32, low & 255)
      new_low = _digit_rank(block_32, digit, low & 255)
      stack_Yx4[depth, 0], stack_Yx4[depth, 1] = (
        level + 1,
        (prefix << 3) | digit,
      )
      stack_Yx4[depth, 2], stack_Yx4[depth, 3] = new_low, new_low + 1
      depth += 1
      continue
    low_32 = block_LxBx32[level, min(low >> 8, blocks - 1)]
    high_32 = block_LxBx32[level, min(high >> 8, blocks - 1)]
    for digit in range(7, -1, -1):
      new_low = _digit_rank(low_32, digit, low & 255)
      new_high = _digit_rank(high_32, digit, high & 255)
      if new_low < new_high:
        stack_Yx4[depth, 0] = level + 1
        stack_Yx4[depth, 1] = (prefix << 3) | digit
        stack_Yx4[depth, 2], stack_Yx4[depth, 3] = new_low, new_high
        depth += 1
  return found_Xx3[:found, 0], found_Xx3[:found, 1], found_Xx3[:found, 2]


@numba.njit(cache=True)
def fill_reversed(text, start_D1, alphabet_T, reversed_R):
  """Writes the layout of a segment, see `fm_segment`, last position first."""
  dense = len(alphabet_T) > 0 and alphabet_T[-1] < DENSE
  symbol_of = np.zeros(alphabet_T[-1] + 1 if dense else 1, np.int64)
  if dense:
    for rank in range(len(alphabet_T)):
      symbol_of[alphabet_T[rank]] = rank + 1
  at = len(reversed_R)
  for document in range(len(start_D1) - 1):
    at -= 1
    reversed_R[at] = 0
    for i in range(start_D1[document], start_D1[document + 1]):
      at -= 1
      if dense:
        reversed_R[at] = symbol_of[text[i]]
      else:
        reversed_R[at] = np.searchsorted(alphabet_T, np.int32(text[i])) + 1


@numba.njit(cache=True)
def mark_tokens(text, occurs_V):
  """Marks the tokens that occur."""
  for i in range(len(text)):
    occurs_V[text[i]] = True


@numba.njit(cache=True)
def keep_whole_symbols(position, width):
  """Turns a suffix array of bytes into that of symbols of `width` bytes.

  In place: the suffixes of symbols come first, the rest means nothing.
  """
  kept = 0
  for i in range(len(position)):
    if position[i] % width == 0:
      position[kept] = position[i] // width
      kept += 1


@numba.njit(cache=True)
def follow(symbol_R, position_R, sample_rate, following_R, sampled_R):
  """The Burrows-Wheeler symbol of each row, and whether its position is kept.

  Turns positions of the reversed layout, in place, into those from its front.
  """
  rows = len(symbol_R)
  for i in range(rows):
    following_R[i] = symbol_R[position_R[i] - 1]
    position_R[i] = rows - 1 - position_R[i]
    sampled_R[i] = position_R[i] % sample_rate == 0


@numba.njit(cache=True)
def _symbol_of(alphabet_T, token):
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
def intervals(block_LxBx32, shift_A, first_row_A1, alphabet_T, token, start_X1):
  """The rows of n-grams: backward search; see `fm_questions`."""
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
        low = sorted_position(block_LxBx32, symbol, low) + shift
        high = sorted_position(block_LxBx32, symbol, high) + shift
      if low >= high:
        low = high
        break
    low_X[x], high_X[x] = low, high
  return low_X, high_X


@numba.njit(cache=True)
def _marks_before(mark_Mx8, row):
  block = min(row // MARK_BITS, len(mark_Mx8) - 1)
  bits = row - MARK_BITS * block
  total = np.int64(mark_Mx8[block, 0])
  word = 1
  while bits > 0 and word < 8:
    here = np.int64(mark_Mx8[block, word])
    if bits < 32:
      here &= (np.int64(1) << bits) - 1
    total += _popcount(here)
    word += 1
    bits -= 32
  return total


@numba.njit(cache=True)
def _is_marked(mark_Mx8, row):
  block = min(row // MARK_BITS, len(mark_Mx8) - 1)
  bit = (row - MARK_BITS * block) % MARK_BITS
  return (np.int64(mark_Mx8[block, 1 + bit // 32]) >> (bit % 32)) & 1 == 1


@numba.njit(cache=True)
def _live_between(removed_Mx8, low, high):
  if len(removed_Mx8) == 0 or low >= high:
    return high - low
  before = _marks_before(removed_Mx8, low)
  return high - low - (_marks_before(removed_Mx8, high) - before)


@numba.njit(cache=True)
def live(removed_Mx8, low_X, high_X):
  """How many rows of each range belong to documents that are there."""
  live_X = np.empty(len(low_X), np.int64)
  for x in range(len(low_X)):
    live_X[x] = _live_between(removed_Mx8, low_X[x], high_X[x])
  return live_X


@numba.njit(cache=True)
def continuations(block_LxBx32, shift_A, removed_Mx8, low_X, high_X):
  """Range, symbol and count of what follows in documents that are there."""
  out_Yx3 = np.empty((1024, 3), np.int64)
  found = 0
  for x in range(len(low_X)):
    symbols, lows, highs = distinct(block_LxBx32, low_X[x], high_X[x])
    out_Yx3 = _with_room(out_Yx3, found, found + len(symbols))
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
def _document_at(start_D1, position):
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
def locate(
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
  """Range, document and offset of each row of a document that is there."""
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
      row, steps, document = np.int64(start), 0, np.int64(-1)
      position = np.int64(0)
      while document < 0:
        if _is_marked(mark_Mx8, row):
          position = np.int64(sample_X[_marks_before(mark_Mx8, row)]) - steps
          document = _document_at(start_D1, position)
          break
        symbol, after = symbol_at(block_LxBx32, row)
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
def mark_documents(block_LxBx32, shift_A, border_row_D, documents, marked_R):
  """Marks the rows of documents, following each from its border to its end."""
  for document in documents:
    row = np.int64(border_row_D[document])
    while True:
      marked_R[row] = True
      symbol, after = symbol_at(block_LxBx32, row)
      if symbol == 0:
        break
      row = after + np.int64(shift_A[symbol])
