# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Diverse beam search, against a plain one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_beam import Plain, limited
from table_model import B, L, V, logits_of, padded, random_table, run

from genret.constraints.combine import limit_length
from genret.constraints.protocol import unconstrained
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search

WAYS = {
  'list': (('list_limit', V),),
  'probe': (('list_limit', 0), ('num_probes', 1)),
}
sequences_of = st.lists(
  st.lists(st.integers(2, V - 1), min_size=1, max_size=L - 1),
  min_size=5,
  max_size=40,
)


def answers(out, query):
  return [
    (tuple(np.asarray(tokens)[:length].tolist()), float(score))
    for tokens, score, length, legal in zip(
      out.tokens[query],
      out.scores[query],
      out.lengths[query],
      out.legal[query],
      strict=True,
    )
    if legal
  ]


def check_groups(out, table, plain, num_beams, num_groups, penalty):
  for query in range(B):
    pools = reference_beam.diverse_beam_search(
      logits_of(table, query),
      plain,
      num_beams=num_beams,
      num_groups=num_groups,
      penalty=penalty,
      max_length=L,
    )
    expected = sorted(
      (answer for pool in pools for answer in pool), key=lambda a: -a[1]
    )
    found = answers(out, query)
    assert [t for t, _ in found] == [t for t, _ in expected]
    np.testing.assert_allclose(
      [s for _, s in found], [s for _, s in expected], rtol=2e-6, atol=2e-5
    )


def options_of(way, num_groups, penalty):
  return (
    *WAYS[way],
    ('num_groups', num_groups),
    ('diversity_penalty', penalty),
  )


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('num_groups', [2, 6])
@settings(max_examples=10)
@given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_equals_plain_search(way, num_groups, sequences, seed):
  trie, table = (
    padded(Trie.from_sequences(sequences, V), 256),
    random_table(seed),
  )
  options = options_of(way, num_groups, 0.7)
  out = run(table, trie, num_beams=6, options=options)
  plain = Plain(reference_beam.legal_in(sequences))
  check_groups(out, table, plain, 6, num_groups, 0.7)


def test_of_answers_that_finish_or_are_accepted():
  table = random_table(1)
  everything = Plain(lambda _: set(range(V)), lambda _: True)
  constraint = limit_length(unconstrained(V), max_length=3)
  options = options_of('probe', 3, 1.5)
  out = run(table, constraint, num_beams=6, options=options)
  check_groups(out, table, limited(everything, 0, 3), 6, 3, 1.5)


def sequences_and_table():
  rng = np.random.default_rng(0)
  return rng.integers(2, V, (60, 3)).tolist(), random_table(2)


def test_without_penalty_groups_are_copies():
  sequences, table = sequences_and_table()
  trie = Trie.from_sequences(sequences, V)
  out = run(table, trie, num_beams=6, options=options_of('list', 3, 0.0))
  small = run(table, trie, num_beams=2, options=WAYS['list'])
  for query in range(B):
    copies = [a for a in answers(small, query) for _ in range(3)]
    assert answers(out, query) == copies


def test_the_first_group_searches_as_if_alone_and_others_differ():
  sequences, table = sequences_and_table()
  trie = Trie.from_sequences(sequences, V)
  alone = run(table, trie, num_beams=2, options=WAYS['list'])
  out = run(table, trie, num_beams=6, options=options_of('list', 3, 50.0))
  for query in range(B):
    assert set(answers(alone, query)) <= set(answers(out, query))
    firsts = {tokens[0] for tokens, _ in answers(out, query)}
    assert len(firsts) >= 3  # No group begins as another did.


def test_candidates_are_those_of_all_groups():
  sequences, table = sequences_and_table()
  trie = Trie.from_sequences(sequences, V)
  options = (*options_of('list', 2, 0.0), ('keep_candidates', 6))
  twice = run(table, trie, num_beams=4, options=options).candidates
  options = (*WAYS['list'], ('keep_candidates', 3))
  once = run(table, trie, num_beams=2, options=options).candidates
  # Copies of beams have copies of candidates (but no query has many at a step).
  np.testing.assert_array_equal(twice.scores[:, 1:, ::2], once.scores[:, 1:])


def test_one_trace():
  traces = []

  @functools.partial(jax.jit, static_argnames='penalty')
  def search(logits_V, trie, penalty):
    def step(token_N, cache):
      traces.append(1)
      return jnp.broadcast_to(logits_V[None], (len(token_N), V)), cache

    return beam_search(
      step,
      {},
      batch_size=1,
      num_beams=4,
      max_length=3,
      constraint=trie,
      num_groups=2,
      diversity_penalty=penalty,
    )

  for token in (2, 3):
    trie = Trie.from_sequences([[token], [token, token]], V)
    out = search(jnp.arange(V, dtype=jnp.float32), trie, 0.5)
    assert out.tokens[0, 0, 0] == token
  assert len(traces) == 1


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ((('num_groups', 4),), r'divide num_beams=6 but got 4; choose'),
    ((('num_groups', 0),), r'num_groups of at least 1 but got 0; '),
    ((('diversity_penalty', -1.0),), r'diversity_penalty of at least 0 but'),
    (
      (('diversity_penalty', float('nan')),),
      r'diversity_penalty of at least 0 but got nan; ',
    ),
    ((('keep_candidates', -1),), r'keep_candidates of at least 0 but got -1'),
  ],
)
def test_errors_name_what_came(options, message):
  trie = Trie.from_sequences([[2]], V)
  with pytest.raises(ValueError, match=message):
    run(random_table(0), trie, num_beams=6, options=options)
