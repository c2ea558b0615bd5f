# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A wavelet matrix of octal digits: rank over any alphabet in a few gathers.

A wavelet matrix (Claude, Navarro and Ordóñez, 2015) stores a sequence digit by
digit, the highest first; each level sorts the sequence, stably, by its digit. A
digit has three bits here, so 32,768 symbols take five levels instead of fifteen.
Wider digits need fewer dependent memory reads (Ceregini, Kurpicz and Venturini,
2024).

256 symbols of a level make a block of 32 words, two cache lines:

  words 0 to 7     how many symbols of the level come before this block, in the
                   order after sorting, for each digit: where the next one goes
  words 8 to 15    bit 0 of the 256 digits, 16 to 23 bit 1, 24 to 31 bit 2

So a level costs 4 bits a symbol, counters included, and a rank query on a level
reads one counter and at most 24 words of one block.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numba
import numpy as np
from jax import lax

DIGIT_BITS = 3
BLOCK = 256
WORDS = 32  # of a block


def num_levels(num_symbols: int) -> int:
  """Digits that a symbol below num_symbols has; at least one."""
  bits = max(num_symbols - 1, 1).bit_length()
  return -(-bits // DIGIT_BITS)


def build(
  symbol_R: np.ndarray, num_symbols: int
) -> tuple[np.ndarray, np.ndarray]:
  """Builds the matrix of a sequence.

  Args:
    symbol_R: unsigned integers below num_symbols, fewer than 2^31.
    num_symbols: size of the alphabet, A.

  Returns:
    block_LxBx32: uint32, the levels.
    start_A: int32, where the occurrences of each symbol begin in the order
      after the last level.
  """
  levels = num_levels(num_symbols)
  count = len(symbol_R)
  block_LxBx32 = np.zeros((levels, count // BLOCK + 1, WORDS), np.uint32)
  current_R, next_R = symbol_R, np.empty_like(symbol_R)
  for level in range(levels):
    low_bit = DIGIT_BITS * (levels - 1 - level)
    _fill_level(current_R, low_bit, block_LxBx32[level], next_R)
    spare = np.empty_like(symbol_R) if level == 0 else current_R
    current_R, next_R = next_R, spare
  start_A = np.empty(num_symbols, np.int32)
  _fill_starts(block_LxBx32, start_A)
  return block_LxBx32, start_A


@numba.njit(cache=True)
def _fill_level(symbol_R, low_bit, block_Bx32, next_R):  # type: ignore[no-untyped-def]
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
def _fill_starts(block_LxBx32, start_A):  # type: ignore[no-untyped-def]
  for symbol in range(len(start_A)):
    start_A[symbol] = sorted_position(block_LxBx32, symbol, 0)


# On the host, for one position at a time. Positions are clamped to the blocks
# there are, so that a damaged file cannot make these read elsewhere.


@numba.njit(cache=True, inline='always')
def popcount(word):  # type: ignore[no-untyped-def]
  """Set bits of a word of 32 bits, given as an int64."""
  word = word - ((word >> 1) & 0x55555555)
  word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
  word = (word + (word >> 4)) & 0x0F0F0F0F
  return ((word * 0x01010101) >> 24) & 0xFF


@numba.njit(cache=True, inline='always')
def _digit_rank(block_32, digit, offset):  # type: ignore[no-untyped-def]
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
    total += popcount(same)
    word += 1
    offset -= 32
  return total


@numba.njit(cache=True)
def sorted_position(block_LxBx32, symbol, position):  # type: ignore[no-untyped-def]
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
def symbol_at(block_LxBx32, position):  # type: ignore[no-untyped-def]
  """The symbol at a position, and where it is after the last level."""
  symbol = np.int64(0)
  levels, blocks, _ = block_LxBx32.shape
  for level in range(levels):
    block_32 = block_LxBx32[level, min(position >> 8, blocks - 1)]
    word, bit = (position & 255) >> 5, position & 31
    digit = (
      ((np.int64(block_32[8 + word]) >> bit) & 1)
      | (((np.int64(block_32[16 + word]) >> bit) & 1) << 1)
      | (((np.int64(block_32[24 + word]) >> bit) & 1) << 2)
    )
    symbol = (symbol << 3) | digit
    position = _digit_rank(block_32, digit, position & 255)
  return symbol, position


@numba.njit(cache=True)
def distinct(block_LxBx32, low, high):  # type: ignore[no-untyped-def]
  """The distinct symbols of a range, ascending, and their ranges when sorted.

  Returns:
    symbol_X, low_X, high_X: int64.
  """
  levels, blocks, _ = block_LxBx32.shape
  size = 16
  found_Xx3 = np.empty((size, 3), np.int64)
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
      if found == size:
        size *= 2
        larger_Xx3 = np.empty((size, 3), np.int64)
        larger_Xx3[:found] = found_Xx3
        found_Xx3 = larger_Xx3
      found_Xx3[found, 0] = prefix
      found_Xx3[found, 1], found_Xx3[found, 2] = low, high
      found += 1
      continue
    if high - low == 1:  # One symbol: follow it down.
      block_32 = block_LxBx32[level, min(low >> 8, blocks - 1)]
      word, bit = (low & 255) >> 5, low & 31
      digit = (
        ((np.int64(block_32[8 + word]) >> bit) & 1)
        | (((np.int64(block_32[16 + word]) >> bit) & 1) << 1)
        | (((np.int64(block_32[24 + word]) >> bit) & 1) << 2)
      )
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


# On the accelerator, for arrays of any shape; gathers clamp.


def sorted_positions(
  block_LxBx32: jax.Array, symbol: jax.Array, position: jax.Array
) -> jax.Array:
  """As `sorted_position`, for int32 arrays that broadcast to one shape."""
  shape = jnp.broadcast_shapes(symbol.shape, position.shape)
  levels = block_LxBx32.shape[0]

  def descend(level: jax.Array, position: jax.Array) -> jax.Array:
    digit = (symbol >> (DIGIT_BITS * (levels - 1 - level))) & 7
    return _sorted_by(block_LxBx32, level, digit, position)

  # A loop and not unrolled: XLA's fusion of chained gathers computes each of
  # them again wherever it is used.
  return lax.fori_loop(0, levels, descend, jnp.broadcast_to(position, shape))


def symbols_at(block_LxBx32: jax.Array, position: jax.Array) -> jax.Array:
  """The symbols at int32 positions."""
  levels = block_LxBx32.shape[0]

  def descend(
    level: jax.Array, carry: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    symbol, position = carry
    block, word = position // BLOCK, (position % BLOCK) // 32
    bit = (position % 32).astype(jnp.uint32)
    digit = jnp.zeros_like(symbol)
    for plane in range(DIGIT_BITS):
      bits = block_LxBx32[level, block, 8 * (plane + 1) + word]
      digit |= ((bits >> bit) & 1).astype(jnp.int32) << plane
    position = _sorted_by(block_LxBx32, level, digit, position)
    return (symbol << DIGIT_BITS) | digit, position

  carry = (jnp.zeros_like(position), position)
  return lax.fori_loop(0, levels, descend, carry)[0]


def _sorted_by(
  block_LxBx32: jax.Array,
  level: jax.Array,
  digit: jax.Array,
  position: jax.Array,
) -> jax.Array:
  """Where the first such digit at or after position goes on a level."""
  block, offset = position // BLOCK, position % BLOCK
  flips = [
    jnp.where((digit >> plane) & 1, jnp.uint32(0), jnp.uint32(0xFFFFFFFF))
    for plane in range(DIGIT_BITS)
  ]
  total = block_LxBx32[level, block, digit].astype(jnp.int32)
  for word in range(BLOCK // 32):
    same = flips[0] ^ block_LxBx32[level, block, 8 + word]
    same &= flips[1] ^ block_LxBx32[level, block, 16 + word]
    same &= flips[2] ^ block_LxBx32[level, block, 24 + word]
    total += lax.population_count(same & low_bits(offset - 32 * word)).astype(
      jnp.int32
    )
  return total


def low_bits(count: jax.Array) -> jax.Array:
  """Words whose lowest `count` bits are set, 0 to 32 after clamping."""
  kept = jnp.clip(count, 0, 31).astype(jnp.uint32)
  word = (jnp.uint32(1) << kept) - jnp.uint32(1)
  return jnp.where(count >= 32, jnp.uint32(0xFFFFFFFF), word)
