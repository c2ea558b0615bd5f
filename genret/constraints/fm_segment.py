# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One immutable segment of an FM-index: its arrays, built and read on the host.

The documents are laid out as `border d0 border d1 ...`, the border being symbol
0 and the tokens that occur being symbols 1 and up in order; the segment indexes
this sequence reversed, so that adding a token on the right of an n-gram is one
step of backward search (Ferragina and Manzini, 2000; SEAL, Bevilacqua et al.,
2022). Its suffixes in order are the rows. A row stands for a position: an n-gram
has the interval of rows that stand for its last tokens, and the Burrows-Wheeler
symbol of a row is what follows there, the border at the end of a document.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
import pydivsufsort

from genret.constraints import fm_kernels, wavelet
from genret.constraints.fm_kernels import DENSE, MARK_BITS


class Segment(NamedTuple):
  """Arrays of a segment of D documents and R = tokens + D rows.

  Attributes:
    block_LxBx32: the wavelet matrix of the Burrows-Wheeler symbols.
    shift_A: int32; where the rows of a symbol begin, less where the symbol
      begins after the matrix' last level.
    first_row_A1: int32; where the rows of each symbol begin, and R.
    alphabet_T: int32 tokens that occur, ascending; token t is symbol 1 + rank.
    text: the tokens of all documents, uint16 or int32.
    start_D1: int64; where each document begins in text, and the tokens.
    number_D: int64, ascending; the number of each document in the index.
    border_row_D: int32; the row of the border before each document.
    last_D: int32; the documents in order of the rows of their ends.
    mark_Mx8: uint32; which rows have a sample, see `pack_marks`.
    sample_X: int32; of each such row, its position.
    removed_Mx8: uint32; which rows belong to removed documents; no rows if none.
    removed_D: bool.
  """

  block_LxBx32: np.ndarray
  shift_A: np.ndarray
  first_row_A1: np.ndarray
  alphabet_T: np.ndarray
  text: np.ndarray
  start_D1: np.ndarray
  number_D: np.ndarray
  border_row_D: np.ndarray
  last_D: np.ndarray
  mark_Mx8: np.ndarray
  sample_X: np.ndarray
  removed_Mx8: np.ndarray
  removed_D: np.ndarray


# What decoding reads; the rest is for locating, fetching and growing.
DECODING = ('block_LxBx32', 'shift_A', 'first_row_A1', 'alphabet_T')
MOST_ROWS = np.iinfo(np.int32).max


def build(
  text: np.ndarray,
  start_D1: np.ndarray,
  number_D: np.ndarray,
  *,
  sample_rate: int,
) -> Segment:
  """Builds a segment.

  Args:
    text: uint16 or int32 tokens of all documents.
    start_D1: int64; where each begins, and the number of tokens.
    number_D: int64, ascending; the number of each document in the index.
    sample_rate: every such position keeps its place in the text.

  Raises:
    ValueError: there are 2^31 rows or more.
  """
  documents, rows = len(number_D), len(text) + len(number_D)
  if rows > MOST_ROWS - wavelet.BLOCK:
    raise ValueError(
      f'Expected fewer than {MOST_ROWS - wavelet.BLOCK:,} tokens and documents '
      f'in a segment but got {rows:,}; choose a smaller segment_tokens.'
    )
  alphabet_T = _alphabet(text)
  num_symbols = len(alphabet_T) + 1
  width = symbol_bytes(num_symbols)
  symbol_R = np.zeros(rows, f'u{width}')
  fm_kernels.fill_reversed(text, start_D1, alphabet_T, symbol_R)
  position_R = _suffix_array(symbol_R)
  following_R = np.empty_like(symbol_R)
  sampled_R = np.empty(rows, bool)
  fm_kernels.follow(symbol_R, position_R, sample_rate, following_R, sampled_R)
  del symbol_R
  # Now positions count from the front of the layout. They are let go before the
  # matrix is built: memory is at its height while suffixes are sorted.
  sample_X = position_R[sampled_R].astype(np.int32)
  border_D = start_D1[:-1] + np.arange(documents)
  border_row_D = np.empty(documents, np.int32)
  border_row_D[np.searchsorted(border_D, position_R[:documents])] = np.arange(
    documents, dtype=np.int32
  )
  last_D = np.searchsorted(border_D, position_R[following_R == 0], 'right') - 1
  del position_R
  mark_Mx8 = pack_marks(sampled_R)
  first_row_A1 = _first_rows(following_R, num_symbols)
  block_LxBx32, after_A = wavelet.build(following_R, num_symbols)
  return read_only(
    Segment(
      block_LxBx32=block_LxBx32,
      shift_A=first_row_A1[:-1] - after_A,
      first_row_A1=first_row_A1,
      alphabet_T=alphabet_T,
      text=text,
      start_D1=start_D1,
      number_D=number_D,
      border_row_D=border_row_D,
      last_D=last_D.astype(np.int32),
      mark_Mx8=mark_Mx8,
      sample_X=sample_X,
      removed_Mx8=np.zeros((0, 8), np.uint32),
      removed_D=np.zeros(documents, bool),
    )
  )


def read_only(segment: Segment) -> Segment:
  """The same segment, as arrays that are mapped from files are: one compilation
  serves both."""
  arrays = [np.asarray(array).view() for array in segment]
  for array in arrays:
    array.flags.writeable = False
  return Segment(*arrays)


def bytes_to_build(tokens: int, documents: int, vocab_size: int) -> int:
  """An estimate of the memory that `build` takes beside its text, in bytes."""
  width = symbol_bytes(vocab_size + 1)
  count = (tokens + documents) * width
  # The symbols, and a suffix of each of their bytes.
  return count * (5 if count <= np.iinfo(np.int32).max else 9) + 24 * documents


def symbol_bytes(num_symbols: int) -> int:
  """Bytes of a symbol below num_symbols: 1, 2 or 4."""
  return 1 if num_symbols <= 1 << 8 else 2 if num_symbols <= 1 << 16 else 4


def _alphabet(text: np.ndarray) -> np.ndarray:
  """The distinct tokens, ascending, int32."""
  greatest = int(text.max(initial=0))
  if greatest >= DENSE:
    return np.unique(text).astype(np.int32)
  occurs = np.zeros(greatest + 1, bool)
  fm_kernels.mark_tokens(text, occurs)
  return np.flatnonzero(occurs).astype(np.int32)


def _suffix_array(symbol_R: np.ndarray) -> np.ndarray:
  """Positions of the suffixes in order, int32, or int64 above a gigabyte.

  divsufsort sorts bytes: symbols go in with their high byte first, and suffixes
  that begin inside a symbol are dropped again.
  """
  if not len(symbol_R):
    return np.zeros(0, np.int32)
  swapped = symbol_R.itemsize > 1 and sys.byteorder == 'little'
  if swapped:
    symbol_R.byteswap(inplace=True)
  position = pydivsufsort.divsufsort(symbol_R.view(np.uint8))
  if swapped:
    symbol_R.byteswap(inplace=True)
  if symbol_R.itemsize > 1:
    fm_kernels.keep_whole_symbols(position, symbol_R.itemsize)
  return position[: len(symbol_R)]


def _first_rows(following_R: np.ndarray, num_symbols: int) -> np.ndarray:
  # bincount wants int64: in pieces, not to hold all of them at once.
  count_A = np.zeros(num_symbols, np.int64)
  for first in range(0, len(following_R), 1 << 22):
    piece = following_R[first : first + (1 << 22)]
    count_A += np.bincount(piece, minlength=num_symbols)
  first_row_A1 = np.zeros(num_symbols + 1, np.int32)
  np.cumsum(count_A, out=first_row_A1[1:])
  return first_row_A1


def pack_marks(marked_R: np.ndarray) -> np.ndarray:
  """Bits with their counts: [M, 8], a counter and 224 bits in each row."""
  count = len(marked_R) // MARK_BITS + 1
  bits = np.zeros((count, MARK_BITS), bool)
  bits.reshape(-1)[: len(marked_R)] = marked_R
  mark_Mx8 = np.zeros((count, 8), np.uint32)
  mark_Mx8[1:, 0] = np.cumsum(bits.sum(axis=1))[:-1]
  packed = np.packbits(bits, axis=1, bitorder='little')
  mark_Mx8[:, 1:] = packed.view(np.uint32)
  return mark_Mx8
