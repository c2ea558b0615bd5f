# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Selection by blocks is that of `lax.top_k`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from genret.decoding import scores
from genret.decoding.scores import top_k


def check(key: np.ndarray, k: int) -> None:
  found = jax.jit(top_k, static_argnums=1)(key, k)
  expected = lax.top_k(key, k)
  for one, other in zip(found, expected, strict=True):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def rows(width: int) -> np.ndarray:
  """Rows with few ties, with many, with -inf, and of nothing else."""
  rng = np.random.default_rng(width)
  key = rng.standard_normal((8, width), np.float32)
  key[1] = rng.integers(0, 3, width)
  key[2] = 7.0
  key[3] = np.where(rng.random(width) < 0.99, -np.inf, key[3])
  key[4] = -np.inf
  key[5, :-1] = -np.inf
  key[6] = np.where(rng.random(width) < 0.9, -np.inf, key[1])
  key[7] = np.sort(key[7])
  return key


@pytest.mark.parametrize('width', [64, 100, 127, 128, 129, 1000])
def test_narrow_rows_by_blocks(width, monkeypatch):
  monkeypatch.setattr(scores, '_WIDE', 64)
  monkeypatch.setattr(scores, '_BLOCK', 4)
  for k in (1, 2, 3, width // 16, width // 16 + 1):
    check(rows(width), k)


@pytest.mark.parametrize('width', [16384, 32128, 32130, 40001])
def test_wide_rows(width):
  key = rows(width)
  for k in (1, 64, width // 64):
    check(key, k)


def test_wide_rows_are_selected_from_by_blocks():
  def sizes(width, k):
    jaxpr = jax.make_jaxpr(top_k, static_argnums=1)(jnp.zeros((2, width)), k)
    return [
      eqn.invars[0].aval.shape[1]
      for eqn in jaxpr.eqns
      if eqn.primitive.name == 'top_k'
    ]

  assert sizes(32128, 64) == [2008, 1024]
  assert sizes(32128, 503) == [32128]
  assert sizes(16000, 1) == [16000]
