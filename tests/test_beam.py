# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Beam search against a plain one, and against enumeration."""

import dataclasses
import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam
from hypothesis import strategies as st
from reference_beam import Plain
from table_model import (
  ROWS,
  B,
  L,
  V,
  answers_of,
  check,
  logits_of,
  model_step,
  padded,
  random_table,
  run,
)

from genret.constraints.protocol import UNKNOWN, unconstrained
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search

FAST = hypothesis.settings(max_examples=12)

sequences_of = st.lists(
  st.lists(st.integers(2, V - 1), max_size=L - 1), max_size=25
)


# Listing all children, probing with one token a beam (so that blocks of
# children are listed as well).
WAYS = {
  'list': (('list_limit', V),),
  'probe': (('list_limit', 0), ('num_probes', 1)),
}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('num_beams', [1, 3, 30])
@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_equals_plain_beam_search(way, num_beams, sequences, seed):
  trie, table = Trie.from_sequences(sequences, V), random_table(seed)
  out = run(table, padded(trie), num_beams=num_beams, options=WAYS[way])
  check(out, table, reference_beam.legal_in(sequences), num_beams)


def unknown_total(trie, state_N):
  return jnp.full(len(state_N), UNKNOWN)


def heavy_probe(trie, state_N, token_NxT):
  mass_NxT, state_NxT = Trie.constraint(trie).probe(trie, state_N, token_NxT)
  return mass_NxT * (UNKNOWN // 2), state_NxT


@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_masses_that_tell_nothing(sequences, seed):
  """Whose sum would even overflow."""
  trie, table = padded(Trie.from_sequences(sequences, V)), random_table(seed)
  vague = dataclasses.replace(
    trie.constraint(), total=unknown_total, probe=heavy_probe
  )
  out = run(table, vague, num_beams=3, options=WAYS['probe'])
  check(out, table, reference_beam.legal_in(sequences), 3)


@pytest.mark.parametrize('way', ['list', 'probe'])
@pytest.mark.parametrize('normalize', ['legal', 'none'])
@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_normalize(way, normalize, sequences, seed):
  trie, table = Trie.from_sequences(sequences, V), random_table(seed)
  options = (*WAYS[way], ('normalize', normalize))
  out = run(table, padded(trie), num_beams=4, options=options)
  check(
    out,
    table,
    reference_beam.legal_in(sequences),
    4,
    normalize=normalize,
    exact=normalize == 'none',
  )


@pytest.mark.parametrize('way', ['list', 'probe'])
@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_ties_go_to_the_earlier_beam_then_the_lower_token(way, sequences, seed):
  rng = np.random.default_rng(seed)
  table = rng.integers(0, 2, size=(ROWS, V)).astype(np.float32)
  table *= rng.choice(np.float32([-1, 1]), size=table.shape)
  options = (*WAYS[way], ('normalize', 'none'))
  trie = padded(Trie.from_sequences(sequences, V))
  out = run(table, trie, num_beams=4, options=options)
  legal = reference_beam.legal_in(sequences)
  check(out, table, legal, 4, normalize='none', exact=True)


@pytest.mark.parametrize('way', WAYS)
def test_of_equals_the_first_beam_wins_though_another_was_found_first(way):
  sequences = [[2, 5], [2, 6], [3, 0], [3, 2]]
  options = (*WAYS[way], ('normalize', 'none'))
  trie = padded(Trie.from_sequences(sequences, V))
  # Probing finds 0 and 2 only, which just the second beam may write.
  table = np.zeros((ROWS, V), np.float32)
  out = run(table, trie, num_beams=2, max_length=3, options=options)
  assert out.tokens[0].tolist() == [[2, 5, 1], [2, 6, 1]]


@pytest.mark.parametrize('list_limit', [0, 31, 32, 256, None])
def test_states_of_any_number_of_children(list_limit):
  """The last child is the best: a listing that is too narrow misses it."""
  vocab_size, num_beams = 400, 3

  @jax.jit
  def search(logits_V, trie):
    def step(token_N, cache):
      return jnp.broadcast_to(logits_V[None], (num_beams, vocab_size)), cache

    return beam_search(
      step,
      {},
      batch_size=1,
      num_beams=num_beams,
      max_length=3,
      constraint=trie,
      normalize='none',
      num_probes=1,
      list_limit=list_limit,
    )

  for count in (1, 2, 31, 32, 33, 256, 257, 390):
    trie = Trie.from_sequences([[2, 2 + i] for i in range(count)], vocab_size)
    trie = dataclasses.replace(padded(trie, 1000), max_children=512)
    logits_V = np.arange(vocab_size, dtype=np.float32)
    logits_V[count + 2 :] += 100  # The best of all are illegal.
    out = search(logits_V, trie)
    best = [[2, 1 + count - i, 1] for i in range(min(count, num_beams))]
    assert np.asarray(out.tokens[0])[out.legal[0]].tolist() == best


@pytest.mark.parametrize('num_beams', [1, 12])
def test_unconstrained(num_beams):
  table = random_table(1)
  for constraint in (None, unconstrained(V)):
    out = run(table, constraint, num_beams=num_beams, max_length=3)
    everything = Plain(lambda _: set(range(V)), lambda _: True)
    check(out, table, everything, num_beams, 3)


@pytest.mark.parametrize('way', WAYS)
def test_enough_beams_are_exhaustive(way):
  rng = np.random.default_rng(4)
  # Prefixes of one another, among them the empty one, and a duplicate.
  sequences = [[], [2], [2, 3], [2, 3, 4], [2, 3]] + [
    rng.integers(2, V, size=rng.integers(1, 4)).tolist() for _ in range(15)
  ]
  table = random_table(5)
  trie = padded(Trie.from_sequences(sequences, V))
  out = run(table, trie, num_beams=70, options=WAYS[way])
  for query in range(B):
    expected = reference_beam.enumerate_all(
      logits_of(table, query),
      reference_beam.legal_in(sequences),
      vocab_size=V,
      max_length=4,
    )
    found = answers_of(out, query)
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose(
      [score for _, score in found],
      [score for _, score in expected],
      rtol=1e-5,
    )


@pytest.mark.parametrize('way', WAYS)
def test_mass_on_illegal_tokens(way):
  sequences = [[2], [2, 3], [4, 4, 4], [5, 2]]
  table = random_table(2)
  table[:, [0, 6, 7, 8]] += 60.0  # In no identifier.
  trie = padded(Trie.from_sequences(sequences, V))
  out = run(table, trie, num_beams=30, options=WAYS[way])
  check(out, table, reference_beam.legal_in(sequences), 30)
  assert (np.asarray(out.legal).sum(axis=1) == 4).all()


@pytest.mark.parametrize('bad', [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize('normalize', ['vocabulary', 'legal', 'none'])
def test_bad_logits_give_no_illegal_answer(bad, normalize):
  sequences = [[2], [2, 3], [4, 4, 4], [5, 2]]
  table = np.full((ROWS, V), bad, np.float32)
  options = (*WAYS['probe'], ('normalize', normalize))
  trie = padded(Trie.from_sequences(sequences, V))
  out = run(table, trie, num_beams=30, options=options)
  for query in range(B):
    found = {tokens for tokens, _ in answers_of(out, query)}
    assert found == {(2, 1), (2, 3, 1), (4, 4, 4, 1), (5, 2, 1)}


def test_forbidden_by_the_model_but_legal_comes_last():
  table = random_table(3)
  table[:, 2] = -np.inf
  trie = padded(Trie.from_sequences([[2], [3]], V))
  out = run(table, trie, num_beams=3)
  for query in range(B):
    (best, score), (last, last_score) = answers_of(out, query)
    assert (best, last) == ((3, 1), (2, 1))
    assert np.isfinite(score)
    assert last_score == -np.inf


def test_single_child_costs_only_in_the_full_vocabulary():
  table = random_table(6)
  trie = padded(Trie.from_sequences([[2, 3, 4]], V))
  whole = run(table, trie, num_beams=2)
  assert (np.asarray(whole.scores[:, 0]) < 0).all()
  options = (('normalize', 'legal'),)
  assert (
    run(table, trie, num_beams=2, options=options).scores[:, 0] == 0
  ).all()


@pytest.mark.parametrize('max_length', [1, 2])
def test_answers_that_do_not_fit_are_dropped(max_length):
  sequences = [[], [2], [3], [2, 3]]
  table = random_table(7)
  trie = padded(Trie.from_sequences(sequences, V))
  out = run(table, trie, num_beams=3, max_length=max_length)
  check(out, table, reference_beam.legal_in(sequences), 3, max_length)
  assert out.tokens.shape == (B, 3, max_length)


def test_empty_batch_runs_no_model():
  out = beam_search(
    None,
    {},
    batch_size=0,
    num_beams=2,
    max_length=3,
    constraint=Trie.from_sequences([[2]], V),
  )
  assert out.tokens.shape == (0, 2, 3)
  assert out.scores.shape == out.lengths.shape == out.legal.shape == (0, 2)


def test_stops_when_nothing_can_improve():
  steps = []

  def step(token_N, cache):
    jax.debug.callback(lambda: steps.append(1))
    return jnp.zeros((len(token_N), V)), cache

  out = beam_search(
    step,
    {},
    batch_size=1,
    num_beams=2,
    max_length=50,
    constraint=Trie.from_sequences([[2], [3], [2, 4, 5, 6, 7, 8]], V),
  )
  jax.effects_barrier()
  assert out.tokens[0, :, 0].tolist() == [2, 3]
  assert len(steps) == 2


def test_sums_of_logits_may_rise_again():
  def step(token_N, depth):
    ends = jnp.arange(V) == 1
    logits_V = jnp.where(ends, jnp.where(depth == 0, 0.0, 5.0), -1.0)
    return jnp.broadcast_to(logits_V[None], (1, V)), depth + 1

  out = beam_search(
    step,
    jnp.zeros((), jnp.int32),
    batch_size=1,
    num_beams=1,
    max_length=3,
    constraint=Trie.from_sequences([[], [2]], V),
    normalize='none',
  )
  assert out.tokens[0, 0].tolist() == [2, 1, 0]
  assert out.scores[0, 0] == 4


def test_without_jit_the_answer_is_the_same():
  table = jnp.asarray(random_table(8))
  trie = padded(Trie.from_sequences([[2, 3], [4], [5, 6, 7]], V))
  trie = jax.tree.map(np.asarray, trie)
  plain, jitted = (f(table, trie, num_beams=2) for f in (run.__wrapped__, run))
  for a, b in zip(plain, jitted, strict=True):
    np.testing.assert_array_equal(a, b)


def test_one_trace_for_batches_and_tries_of_one_shape():
  traces = []

  @jax.jit
  def search(table, trie, row_N):
    def step(token_N, cache):
      traces.append(1)
      return model_step(table, token_N, cache)

    cache = {'row': row_N, 'step': jnp.zeros((), jnp.int32)}
    return beam_search(
      step, cache, batch_size=2, num_beams=3, max_length=3, constraint=trie
    )

  outputs = [
    search(random_table(seed), Trie.from_sequences([ids], V), jnp.full(6, seed))
    for seed, ids in enumerate([[2, 3], [4, 5], [2, 7]])
  ]
  assert len(traces) == 1
  best = [tuple(out.tokens[0, 0].tolist()) for out in outputs]
  assert best == [(2, 3, 1), (4, 5, 1), (2, 7, 1)]


def test_arrays_are_arguments_and_no_host_is_called():
  rng = np.random.default_rng(0)
  small, large = (
    Trie.from_sequences(rng.integers(2, V, size=(count, 4)).tolist(), V)
    for count in (10, 2000)
  )
  texts = [
    jax.jit(functools.partial(run.__wrapped__, num_beams=3))
    .lower(random_table(9), trie)
    .as_text()
    for trie in (small, large)
  ]
  # Captured, the larger trie would add some 8 bytes an edge.
  assert abs(len(texts[0]) - len(texts[1])) < 2000
  assert 'callback' not in texts[0]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'num_beams': 0}, r'Expected num_beams of at least 1 but got 0; '),
    ({'max_length': 0}, r'Expected max_length of at least 1 but got 0; '),
    ({'batch_size': -1}, r'Expected batch_size of at least 0 but got -1; '),
    ({'normalize': 'all'}, r"one of vocabulary, legal, none but got 'all'; "),
    ({'eos_id': 2}, r'Expected eos_id=1, .* but got eos_id=2; pass the same'),
    ({'constraint': [[2]]}, r'Expected constraint=None, .* but got list; '),
    (
      {'constraint': Trie.from_sequences([[V]], V + 1)},
      r'Expected logits of at least 10 tokens.* but got 9; ',
    ),
    (
      {'cache': {'row': jnp.zeros(B, jnp.int32)}},
      r"Expected 6 rows .* in cache\['row'\] but got shape \(3,\); ",
    ),
  ],
)
def test_errors_name_what_came(changes, message):
  arguments = {
    'cache': {
      'row': jnp.zeros(2 * B, jnp.int32),
      'step': jnp.zeros((), jnp.int32),
    },
    'batch_size': B,
    'num_beams': 2,
    'max_length': 3,
    'constraint': Trie.from_sequences([[2]], V),
  } | changes
  step = functools.partial(model_step, jnp.asarray(random_table(0)))
  with pytest.raises(ValueError, match=message):
    beam_search(step, arguments.pop('cache'), **arguments)


def test_logits_of_the_wrong_shape_are_refused():
  def step(token_N, cache):
    return jnp.zeros((1, len(token_N), V)), cache

  with pytest.raises(ValueError, match=r'shape \(2, V\) .* got \(1, 2, 9\); '):
    beam_search(step, {}, batch_size=1, num_beams=2, max_length=2)
