# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Length penalties, against a plain search that never stops early."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam
from hypothesis import strategies as st
from reference_beam import Plain
from table_model import L, V, check, padded, random_table, run

from genret.constraints.protocol import unconstrained
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search
from genret.decoding.length_penalty import (
  LENGTH_PENALTIES,
  best_reachable,
  divisors,
  penalised,
)

DIVISORS = {
  'none': lambda alpha: lambda length: 1.0,
  'gnmt': lambda alpha: lambda length: ((5 + length) / 6) ** alpha,
  'length': lambda alpha: lambda length: length**alpha,
}
sequences_of = st.lists(
  st.lists(st.integers(2, V - 1), max_size=L - 1), max_size=25
)


@pytest.mark.parametrize('name', LENGTH_PENALTIES)
def test_divisors_by_hand(name):
  table = divisors(name, 0.5, 4)
  if name == 'none':
    assert table is None
  else:
    expected = [DIVISORS[name](0.5)(length) for length in range(1, 5)]
    np.testing.assert_allclose(table[1:], expected, rtol=1e-6)


# Where alpha is negative, long answers are punished.
@pytest.mark.parametrize('normalize', ['vocabulary', 'none'])
@pytest.mark.parametrize(
  ('name', 'alpha'), [('gnmt', 0.6), ('length', 2.0), ('length', -1.0)]
)
@hypothesis.settings(max_examples=10)
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_equals_plain_beam_search(name, alpha, normalize, sequences, seed):
  """Sums of logits are positive and negative, and may rise."""
  trie, table = padded(Trie.from_sequences(sequences, V)), random_table(seed)
  options = {'length_penalty': name, 'alpha': alpha, 'normalize': normalize}
  for num_beams in (1, 4):
    out = run(table, trie, num_beams=num_beams, options=tuple(options.items()))
    check(
      out,
      table,
      reference_beam.legal_in(sequences),
      num_beams,
      normalize=normalize,
      divisor=DIVISORS[name](alpha),
    )


@pytest.mark.parametrize('name', ['gnmt', 'length'])
def test_of_answers_without_eos(name):
  table = random_table(1)
  options = (('length_penalty', name), ('alpha', 1.5))
  out = run(table, unconstrained(V), num_beams=6, options=options)
  everything = Plain(lambda _: set(range(V)), lambda _: True)
  check(out, table, everything, 6, divisor=DIVISORS[name](1.5))


@hypothesis.given(
  score=st.floats(-50, 50, width=32),
  name=st.sampled_from(['gnmt', 'length']),
  alpha=st.floats(-2, 2),
  length=st.integers(1, 9),
)
def test_the_bound_holds_and_is_reached(score, name, alpha, length):
  table = divisors(name, alpha, 9)
  key = jnp.full((1,), score, jnp.float32)
  reachable = [float(penalised(key, table, n)[0]) for n in range(length, 10)]
  bound = float(best_reachable(key, table, jnp.asarray(length))[0])
  assert bound == max(reachable)


@pytest.mark.parametrize(('alpha', 'steps'), [(0.0, 1), (3.0, 5)])
def test_stops_as_soon_as_the_penalty_allows(alpha, steps):
  """One answer of 1 token and one of 5, whose sum is smaller."""
  called = []

  def step(token_N, cache):
    jax.debug.callback(lambda: called.append(1))
    return jnp.zeros((len(token_N), V)), cache

  trie = Trie.from_sequences([[], [3, 4, 5, 6]], V)
  out = beam_search(
    step,
    {},
    batch_size=1,
    num_beams=1,
    max_length=9,
    constraint=trie,
    length_penalty='length',
    alpha=alpha,
    list_limit=V,
  )
  jax.effects_barrier()
  assert out.lengths[0, 0] == (5 if alpha else 1)
  assert len(called) == steps


def test_errors_name_what_came():
  with pytest.raises(ValueError, match=r'one of none, gnmt, length but got'):
    divisors('brevity', 1.0, 4)
  for alpha in (float('nan'), 200.0):
    with pytest.raises(ValueError, match=r'finite divisors up to length 4 but'):
      divisors('length', alpha, 4)
