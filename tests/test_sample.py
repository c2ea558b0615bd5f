# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constrained samples, against the distribution by enumeration."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam
import scipy.stats
from reference_beam import (
  EOS,
  Plain,
  ending,
  limited,
  normalized,
  prefixed,
)
from table_model import (
  B,
  L,
  V,
  first_rows,
  logits_of,
  model_step,
  padded,
  random_table,
)

from genret.constraints.combine import end_at, limit_length, with_prefix
from genret.constraints.protocol import unconstrained
from genret.constraints.trie import Trie
from genret.decoding.sample import constrained_sample

SAMPLES = 4000
SEQUENCES = [[2], [2, 3], [2, 3, 4], [4, 4, 4], [5, 2], [6], [7, 7], [8, 2, 5]]
EVERYTHING = Plain(lambda _: set(range(V)), lambda _: True)


@functools.partial(
  jax.jit, static_argnames=('num_samples', 'max_length', 'options')
)
def draw(
  table, constraint, seed, *, num_samples=SAMPLES, max_length=L, options=()
):
  cache = {
    'row': jnp.repeat(jnp.asarray(first_rows()), num_samples),
    'step': jnp.zeros((), jnp.int32),
  }
  return constrained_sample(
    functools.partial(model_step, table),
    cache,
    rng=jax.random.key(seed),
    batch_size=B,
    num_samples=num_samples,
    max_length=max_length,
    constraint=constraint,
    **dict(options),
  )


def probabilities(logits, plain, max_length, temperature, top_k, top_p):
  """{answer: probability}, None for draws that are no answer."""
  found = collections.Counter()

  def walk(prefix, probability):
    tokens = sorted(plain.legal(prefix)) if len(prefix) < max_length else []
    if not tokens:
      accepted = len(prefix) == max_length and plain.accepts(prefix)
      found[prefix if accepted else None] += probability
      return
    x = logits(prefix).astype(float) / temperature
    tokens.sort(key=lambda token: -x[token])
    tokens = tokens[: top_k or None]
    mass = np.exp(x[tokens] - x[tokens].max())
    mass /= mass.sum()
    kept = int((np.cumsum(mass) - mass < top_p).sum())
    mass = mass[:kept] / mass[:kept].sum()
    for token, share in zip(tokens, mass, strict=False):
      answer = (*prefix, token)
      if token == plain.eos(prefix) or plain.finishes(answer):
        found[answer] += probability * share
      else:
        walk(answer, probability * share)

  walk((), 1.0)
  return found


def score_of(logits, answer):
  return sum(
    normalized(logits(answer[:i]), set(), 'vocabulary')[token]
    for i, token in enumerate(answer)
  )


def check(out, table, plain, max_length=L, **how):
  how = {'temperature': 1.0, 'top_k': 0, 'top_p': 1.0} | how
  for query in range(B):
    logits = logits_of(table, query)
    expected = probabilities(logits, plain, max_length, **how)
    assert abs(sum(expected.values()) - 1) < 1e-9
    tokens, scores, lengths, legal = (
      np.asarray(leaf[query]) for leaf in out[:4]
    )
    counts = collections.Counter()
    for row, score, length, is_legal in zip(
      tokens, scores, lengths, legal, strict=True
    ):
      answer = tuple(row[:length].tolist()) if is_legal else None
      counts[answer] += 1
      assert not row[length:].any()
      assert (score > -np.inf) == is_legal == (length > 0)
      if is_legal and counts[answer] == 1:
        np.testing.assert_allclose(score, score_of(logits, answer), rtol=1e-5)
    assert set(counts) <= set(expected)
    often = [a for a, p in expected.items() if p * len(tokens) >= 5]
    observed = [counts[a] for a in often]
    wanted = [expected[a] * len(tokens) for a in often]
    observed.append(len(tokens) - sum(observed) + 1e-9)
    wanted.append(len(tokens) - sum(wanted) + 1e-9)
    p_value = scipy.stats.chisquare(observed, wanted).pvalue
    assert p_value > 1e-3, (query, counts, expected)


@pytest.mark.parametrize(
  'how',
  [
    {},
    {'temperature': 0.4},
    {'top_k': 2},
    {'top_p': 0.6},
    {'top_p': 0.8, 'temperature': 2.0},
    {'top_k': 3, 'top_p': 0.7},
  ],
)
def test_draws_from_the_restricted_distribution(how):
  table = random_table(1)
  table[:, 0] += 30.0  # Illegal.
  trie = padded(Trie.from_sequences(SEQUENCES, V))
  out = draw(table, trie, 0, options=tuple(how.items()))
  plain = Plain(reference_beam.legal_in(SEQUENCES))
  check(out, table, plain, **how)


@pytest.mark.parametrize('how', [{}, {'top_k': 3}, {'top_p': 0.7}])
def test_answers_that_finish_are_accepted_or_lost(how):
  table, options = random_table(2), tuple(how.items())
  trie = padded(Trie.from_sequences(SEQUENCES, V))
  plain = Plain(reference_beam.legal_in(SEQUENCES))
  lost = draw(table, trie, 1, max_length=2, options=options)
  assert not np.asarray(lost.legal).all()
  check(lost, table, plain, 2, **how)
  accepted = draw(table, unconstrained(V), 2, max_length=2, options=options)
  assert np.asarray(accepted.legal).all()
  check(accepted, table, EVERYTHING, 2, **how)
  constraint = limit_length(
    with_prefix(end_at(unconstrained(V), 4), [3]), max_length=2
  )
  finished = draw(table, constraint, 3, options=options)
  marked = ending(EVERYTHING, 4)
  check(finished, table, limited(prefixed(marked, [3]), 0, 2), **how)


def test_the_best_token_alone_is_greedy():
  table = random_table(3)
  trie = padded(Trie.from_sequences(SEQUENCES, V))
  legal = reference_beam.legal_in(SEQUENCES)
  for options in ((('top_k', 1),), (('top_p', 1e-6),)):
    out = draw(table, trie, 0, num_samples=2, options=options)
    for query in range(B):
      answer = ()
      while not answer or answer[-1] != EOS:
        logits = logits_of(table, query)(answer)
        answer += (max(sorted(legal(answer)), key=lambda t: logits[t]),)
      for row in range(2):
        length = out.lengths[query, row]
        assert tuple(out.tokens[query, row, :length].tolist()) == answer


def test_of_equals_the_lower_token():
  trie = padded(Trie.from_sequences([[5], [3], [4]], V))
  out = draw(np.zeros_like(random_table(0)), trie, 0, options=(('top_k', 2),))
  assert set(np.asarray(out.tokens[..., 0]).ravel().tolist()) == {3, 4}


@pytest.mark.parametrize('options', [(), (('top_k', 2),), (('top_p', 0.5),)])
@pytest.mark.parametrize('bad', [np.nan, -np.inf, np.inf])
def test_bad_logits_give_no_illegal_answer(bad, options):
  table = np.full_like(random_table(0), bad)
  trie = padded(Trie.from_sequences(SEQUENCES, V))
  out = draw(table, trie, 0, num_samples=40, options=options)
  ended = {(*sequence, EOS) for sequence in SEQUENCES}
  assert np.asarray(out.legal).all()
  for tokens, length in zip(
    np.asarray(out.tokens).reshape(-1, L),
    np.asarray(out.lengths).ravel(),
    strict=True,
  ):
    assert tuple(tokens[:length].tolist()) in ended


def test_where_nothing_is_legal_there_are_no_answers():
  for options in ((), (('top_k', 2),), (('top_p', 0.5),)):
    out = draw(
      random_table(0),
      Trie.from_sequences([], V),
      0,
      num_samples=2,
      options=options,
    )
    assert not np.asarray(out.legal).any()
    assert not np.asarray(out.tokens).any()
    assert (np.asarray(out.scores) == -np.inf).all()


def test_an_empty_batch_runs_no_model():
  out = constrained_sample(
    None, {}, rng=jax.random.key(0), batch_size=0, num_samples=2, max_length=3
  )
  assert out.tokens.shape == (0, 2, 3)


def test_one_trace_for_seeds_and_tries():
  traces = []

  @jax.jit
  def sample(trie, rng):
    def step(token_N, cache):
      traces.append(1)
      return jnp.zeros((len(token_N), V)), cache

    return constrained_sample(
      step,
      {},
      rng=rng,
      batch_size=1,
      num_samples=20,
      max_length=3,
      constraint=trie,
    ).tokens

  found = [
    sample(Trie.from_sequences([[2], [t]], V), jax.random.key(seed)).tolist()
    for t, seed in ((3, 0), (3, 1), (4, 0))
  ]
  assert len(traces) == 1
  assert found[0] != found[1]
  assert all(any(row[0] == 4 for row in rows) for rows in found[2])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'temperature': 0.0}, r'temperature above 0 but got 0\.0; '),
    ({'temperature': float('nan')}, r'temperature above 0 but got nan; '),
    ({'top_p': 0.0}, r'top_p above 0 and at most 1 but got 0\.0; '),
    ({'top_p': 1.1}, r'top_p above 0 and at most 1 but got 1\.1; '),
    ({'top_k': -1}, r'top_k of at least 0 but got -1; '),
    ({'num_samples': 0}, r'num_samples of at least 1 but got 0; '),
  ],
)
def test_errors_name_what_came(options, message):
  arguments = {'batch_size': 1, 'num_samples': 1, 'max_length': 2} | options
  with pytest.raises(ValueError, match=message):
    constrained_sample(None, {}, rng=jax.random.key(0), **arguments)
