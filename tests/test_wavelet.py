# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The wavelet matrix against a sorted copy of the sequence."""

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from genret.constraints import fm_kernels, wavelet

SIZES = [0, 1, 31, 32, 33, 255, 256, 257, 511, 512, 513, 1024, 3000]


def sequence(size: int, num_symbols: int, seed: int, dtype=np.uint16):
  rng = np.random.default_rng(seed)
  # Few symbols often, many seldom, so that counters differ.
  wide = rng.integers(0, num_symbols, size)
  narrow = rng.integers(0, min(num_symbols, 3), size)
  return np.where(rng.random(size) < 0.5, wide, narrow).astype(dtype)


def rank(symbol_R, symbol: int, position: int) -> int:
  return int((symbol_R[:position] == symbol).sum())


@hypothesis.settings(max_examples=60)
@hypothesis.given(
  st.sampled_from(SIZES),
  st.sampled_from([1, 2, 8, 9, 64, 65, 513, 32129]),
  st.integers(0, 2**32 - 1),
)
def test_kernels_against_counting(size, num_symbols, seed):
  symbol_R = sequence(size, num_symbols, seed)
  block_LxBx32, start_A = wavelet.build(symbol_R, num_symbols)
  rng = np.random.default_rng(seed)
  for position in [0, size, *rng.integers(0, size + 1, 10).tolist()]:
    symbols = [rng.integers(num_symbols), *symbol_R[:3]]
    for symbol in map(int, symbols):
      found = fm_kernels.sorted_position(block_LxBx32, symbol, position)
      assert found - start_A[symbol] == rank(symbol_R, symbol, position)
    if position < size:
      symbol, after = fm_kernels.symbol_at(block_LxBx32, position)
      assert symbol == symbol_R[position]
      assert after - start_A[symbol] == rank(symbol_R, symbol, position)
    low = int(rng.integers(0, position + 1))
    symbols, lows, highs = fm_kernels.distinct(block_LxBx32, low, position)
    expected, counts = np.unique(symbol_R[low:position], return_counts=True)
    assert symbols.tolist() == expected.tolist()
    assert (highs - lows).tolist() == counts.tolist()
    for symbol, first in zip(symbols, lows, strict=True):
      assert first - start_A[symbol] == rank(symbol_R, symbol, low)


@pytest.mark.parametrize('size', [1, 256, 1000])
@pytest.mark.parametrize('num_symbols', [2, 600, 40000])
def test_on_the_accelerator_as_on_the_host(size, num_symbols):
  symbol_R = sequence(size, num_symbols, size)
  block_LxBx32, _ = wavelet.build(symbol_R, num_symbols)
  rng = np.random.default_rng(0)
  symbol = rng.integers(0, num_symbols, (50, 4)).astype(np.int32)
  symbol[:, 0] = rng.choice(symbol_R, 50)
  position = rng.integers(0, size + 1, (50, 1)).astype(np.int32)
  found = wavelet.sorted_positions(
    jnp.asarray(block_LxBx32), jnp.asarray(symbol), jnp.asarray(position)
  )
  for i, j in np.ndindex(symbol.shape):
    assert found[i, j] == fm_kernels.sorted_position(
      block_LxBx32, int(symbol[i, j]), int(position[i, 0])
    )
  inside = jnp.minimum(jnp.asarray(position), size - 1)
  symbols, after = wavelet.symbols_at(jnp.asarray(block_LxBx32), inside)
  np.testing.assert_array_equal(symbols, symbol_R[np.asarray(inside)])
  for i, position in enumerate(np.asarray(inside)[:, 0].tolist()):
    found = fm_kernels.symbol_at(block_LxBx32, position)
    assert found == (int(symbols[i, 0]), int(after[i, 0]))


def test_levels_and_bytes():
  assert [wavelet.num_levels(n) for n in (1, 2, 8, 9, 64, 65, 1 << 15)] == [
    1, 1, 1, 2, 2, 3, 5,
  ]  # fmt: skip
  symbol_R = sequence(100_000, 32_000, 0)
  block_LxBx32, _ = wavelet.build(symbol_R, 32_000)
  assert block_LxBx32.nbytes <= 2.51 * len(symbol_R)


@pytest.mark.parametrize('bits', range(33))
def test_low_bits(bits):
  assert int(wavelet.low_bits(jnp.asarray(bits))) == 2**bits - 1
  assert int(wavelet.low_bits(jnp.asarray(-bits))) == 0
  assert int(wavelet.low_bits(jnp.asarray(32 + bits))) == 2**32 - 1


def test_symbols_of_four_bytes():
  symbol_R = sequence(700, 1 << 20, 1, np.uint32)
  block_LxBx32, start_A = wavelet.build(symbol_R, 1 << 20)
  assert block_LxBx32.shape[0] == wavelet.num_levels(1 << 20) == 7
  symbol, after = fm_kernels.symbol_at(block_LxBx32, 699)
  assert symbol == symbol_R[699]
  assert after - start_A[symbol] == rank(symbol_R, int(symbol), 699)
