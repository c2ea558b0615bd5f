# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What constraints are built with; their contract is in test_constraints.py."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from genret.constraints import protocol

ANY = protocol.unconstrained(5)


def test_rows_and_their_queries():
  state = {'a': jnp.zeros((6, 2)), 'b': jnp.zeros(6)}
  assert protocol.number_of_rows(state) == 6
  assert protocol.query_of_rows(2, 6).tolist() == [0, 0, 0, 1, 1, 1]
  assert protocol.query_of_rows(1, 2).tolist() == [0, 0]
  assert protocol.query_of_rows(0, 0).tolist() == []


def test_same_batch():
  assert protocol.same_batch() is None
  assert protocol.same_batch(None, 3, None, 3) == 3
  with pytest.raises(ValueError, match=r'as many queries .* got 2 and 3; '):
    protocol.same_batch(3, None, 2)


def test_states_are_spread_and_chosen():
  first, second = jnp.arange(3), 10 + jnp.arange(3)
  wide = protocol.repeat(first, 2)
  assert wide.tolist() == [[0, 0], [1, 1], [2, 2]]
  mask = jnp.array([True, False, True])
  chosen = protocol.choose(
    mask, (first, wide), (second, protocol.repeat(second, 2))
  )
  assert chosen[0].tolist() == [0, 11, 2]
  assert chosen[1].tolist() == [[0, 0], [11, 11], [2, 2]]


def eos_of_rows(arrays, state_N, eos_id):
  return jnp.array([eos_id, 9, -1])


def test_the_token_that_ends_a_beam_and_its_mass():
  state = ANY.start(ANY.arrays, 3)
  eos = protocol.eos_tokens(ANY, state, 1)
  assert eos.tolist() == [1, 1, 1]
  assert protocol.probe_eos(ANY, state, eos).tolist() == [1, 1, 1]
  own = dataclasses.replace(ANY, eos=eos_of_rows)
  eos = protocol.eos_tokens(own, state, 1)
  assert eos.tolist() == [1, 9, -1]
  # 9 is not in the vocabulary, -1 no token.
  assert protocol.probe_eos(own, state, eos).tolist() == [1, 0, 0]
  np.testing.assert_array_equal(protocol.UNKNOWN, np.iinfo(np.int32).max)
