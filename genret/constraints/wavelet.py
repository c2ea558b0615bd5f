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
import numpy as np
from jax import lax

from genret.constraints import fm_kernels

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
    fm_kernels.fill_level(current_R, low_bit, block_LxBx32[level], next_R)
    spare = np.empty_like(symbol_R) if level == 0 else current_R
    current_R, next_R = next_R, spare
  start_A = np.empty(num_symbols, np.int32)
  fm_kernels.fill_starts(block_LxBx32, start_A)
  return block_LxBx32, start_A


# On the accelerator, for arrays of any shape; gathers clamp.


@jax.jit
def sorted_positions(
  block_LxBx32: jax.Array, symbol: jax.Array, position: jax.Array
) -> jax.Array:
  """Where the first such symbol at or after a position is, after the last level.

  The difference of two is the number of such symbols between two positions.
  int32 arrays that broadcast to one shape."""
  symbol, position = jnp.broadcast_arrays(symbol, position)
  levels = block_LxBx32.shape[0]

  def descend(level: jax.Array, position: jax.Array) -> jax.Array:
    digit = (symbol >> (DIGIT_BITS * (levels - 1 - level))) & 7
    return _sorted_by(block_LxBx32, level, digit, position)

  # A loop and not unrolled: XLA's fusion of chained gathers computes each of
  # them again wherever it is used.
  return lax.fori_loop(0, levels, descend, position)


@jax.jit
def symbols_at(
  block_LxBx32: jax.Array, position: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The symbols at int32 positions, and where they are after the last level."""
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
  return lax.fori_loop(0, levels, descend, carry)


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
