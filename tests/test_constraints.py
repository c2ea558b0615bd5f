# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The contract of the constraint protocol, one row an implementation.

A row is a constraint over a vocabulary of V tokens and, by brute force, what it
says of a prefix. A new constraint adds a row to ROWS.
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam
from reference_beam import Plain, ending, limited, prefixed

from genret.constraints.combine import end_at, limit_length, with_prefix
from genret.constraints.protocol import (
  UNKNOWN,
  Constraint,
  slot_numbers,
  unconstrained,
)
from genret.constraints.repeated import repeated
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search

V, DEPTH, EOS = 7, 3, 1
PREFIXES = [
  prefix
  for depth in range(DEPTH + 1)
  for prefix in itertools.product(range(V), repeat=depth)
]


@dataclasses.dataclass(frozen=True)
class Row:
  constraint: Constraint
  plain: Plain
  # The same kind and shape with other content: must not compile again.
  other: Constraint


EVERYTHING = Plain(lambda _: set(range(V)), lambda _: True)


def trie_row() -> Row:
  sequences = [[], [2], [2, 3], [2, 3, 4], [2, 3], [5, 0], [6, 6, 6], [5, 4]]
  others = [[], [3], [3, 2], [3, 2, 4], [3, 2], [4, 0], [6, 6, 6], [4, 5]]
  return Row(
    Trie.from_sequences(sequences, V).constraint(),
    Plain(reference_beam.legal_in(sequences)),
    Trie.from_sequences(others, V).constraint(),
  )


def empty_trie_row() -> Row:
  trie = Trie.from_sequences([], V)
  return Row(trie.constraint(), Plain(lambda _: set()), trie.constraint())


def unconstrained_row() -> Row:
  return Row(unconstrained(V), EVERYTHING, unconstrained(V))


def prefixed_row() -> Row:
  row = trie_row()
  return Row(
    with_prefix(row.constraint, [2, 3]),
    prefixed(row.plain, [2, 3]),
    with_prefix(row.other, [3, 2]),
  )


def prefix_with_eos_row() -> Row:
  return Row(
    with_prefix(unconstrained(V), [EOS, 2]),
    prefixed(EVERYTHING, [EOS, 2]),
    with_prefix(unconstrained(V), [3, EOS]),
  )


def limited_row() -> Row:
  row = trie_row()
  return Row(
    limit_length(row.constraint, min_length=2, max_length=3),
    limited(row.plain, 2, 3),
    limit_length(row.other, min_length=3, max_length=4),
  )


def nested_row() -> Row:
  """Ends at 3 or in a state of the automaton."""
  row = dense_row()
  first = row.plain.legal(())
  return Row(
    limit_length(
      with_prefix(end_at(row.constraint, 3), [min(first)]),
      min_length=2,
      max_length=2,
      eos_id=EOS,
    ),
    limited(prefixed(ending(row.plain, 3), [min(first)]), 2, 2),
    limit_length(
      with_prefix(end_at(row.other, 4), [max(first)]),
      min_length=1,
      max_length=3,
      eos_id=EOS,
    ),
  )


def repeated_row() -> Row:
  """The separator's first token also goes on with identifiers."""
  titles, others = [[2], [2, 3], [2, 3, 6], []], [[3], [3, 2], [3, 2, 6], []]
  return Row(
    repeated(Trie.from_sequences(titles, V), [3, 4], 3),
    Plain(reference_beam.legal_in(joined(titles, [3, 4], 3))),
    repeated(Trie.from_sequences(others, V), [2, 5], 2),
  )


def joined(titles, separator, most):
  """All answers of up to so many titles."""
  answers, last = [*titles], titles
  for _ in range(most - 1):
    last = [[*a, *separator, *title] for a in last for title in titles]
    answers += last
  return answers


# A newcomer's constraint: an automaton as a dense table of next states, -1 where
# a token is illegal. A slot for each token, most of them empty; tokens have
# masses, and a total is known of some states only, and of them not exactly.


def dense_probe(arrays, state_N, token_NxT):
  state_NxT = arrays['next_SxV'][state_N[:, None], token_NxT]
  legal_NxT = (state_NxT >= 0) & (state_N[:, None] >= 0)
  mass_NxT = arrays['mass_SxV'][state_N[:, None], token_NxT]
  return jnp.where(legal_NxT, mass_NxT, 0), state_NxT


def dense_children(arrays, state_N, offset, width):
  slot_NxW = slot_numbers(len(state_N), offset, width)
  token_NxW = jnp.minimum(slot_NxW, V - 1)
  mass_NxW, state_NxW = dense_probe(arrays, state_N, token_NxW)
  return token_NxW, state_NxW, (mass_NxW > 0) & (slot_NxW < V)


def dense_slots(arrays, state_N):
  # Not one more than needed: the last slot may be full.
  legal_NxV = arrays['next_SxV'][state_N] >= 0
  slot_1xV = jnp.arange(1, V + 1, dtype=jnp.int32)[None]
  last_N = jnp.where(legal_NxV, slot_1xV, 0).max(axis=1)
  return jnp.where(state_N < 0, 0, last_N)


def dense_total(arrays, state_N):
  return arrays['total_S'][state_N]


def dense_accepts(arrays, state_N):
  return arrays['accepts_S'][state_N]


def dense_finishes(arrays, state_N):
  return arrays['finishes_S'][state_N]


def dense_start(arrays, n):
  return jnp.zeros(n, jnp.int32)


def dense_tables(seed):
  """Six states, the first and the last of which never finish or end."""
  rng = np.random.default_rng(seed)
  next_SxV = np.where(
    rng.random((6, V)) < 0.6, rng.integers(0, 6, (6, V)), -1
  ).astype(np.int32)
  mass_SxV = rng.integers(1, 4, (6, V)).astype(np.int32)
  total_S = np.where(next_SxV < 0, 0, mass_SxV).sum(axis=1)
  total_S += rng.integers(0, 2, 6)
  return {
    'next_SxV': next_SxV,
    'mass_SxV': mass_SxV,
    'total_S': np.where(np.arange(6) == 3, UNKNOWN, total_S).astype(np.int32),
    'accepts_S': np.arange(6) % 3 != 2,
    'finishes_S': np.arange(6) == 4,
  }


def dense(arrays) -> Constraint:
  return Constraint(
    arrays=jax.tree.map(jnp.asarray, arrays),
    start=dense_start,
    probe=dense_probe,
    children=dense_children,
    slots=dense_slots,
    total=dense_total,
    accepts=dense_accepts,
    finishes=dense_finishes,
    max_slots=V,
  )


def dense_row() -> Row:
  arrays = dense_tables(0)

  def state_of(prefix):
    state = 0
    for token in prefix:
      state = arrays['next_SxV'][state, token]
      assert state >= 0
    return state

  def legal(prefix):
    return set(
      np.flatnonzero(arrays['next_SxV'][state_of(prefix)] >= 0).tolist()
    )

  plain = Plain(
    legal,
    lambda prefix: bool(arrays['accepts_S'][state_of(prefix)]),
    lambda prefix: bool(arrays['finishes_S'][state_of(prefix)]),
  )
  return Row(dense(arrays), plain, dense(dense_tables(1)))


ROWS = {
  'trie': trie_row,
  'empty trie': empty_trie_row,
  'unconstrained': unconstrained_row,
  'dense automaton': dense_row,
  'with_prefix': prefixed_row,
  'with_prefix and eos': prefix_with_eos_row,
  'limit_length': limited_row,
  'combined': nested_row,
  'repeated': repeated_row,
}


@pytest.fixture(params=ROWS, name='row')
def row_fixture(request) -> Row:
  return ROWS[request.param]()


def legal_prefixes(row: Row) -> list[tuple[int, ...]]:
  return [
    prefix
    for prefix in PREFIXES
    if all(t in row.plain.legal(prefix[:i]) for i, t in enumerate(prefix))
  ]


def test_rows_try_what_they_should():
  row = dense_row()
  prefixes = legal_prefixes(row)
  for truth in (row.plain.accepts, row.plain.finishes):
    assert {truth(prefix) for prefix in prefixes} == {True, False}


def states_after(row: Row, prefixes):
  """States of many legal prefixes at once: each walks, or waits if shorter."""
  constraint = row.constraint
  state = constraint.start(constraint.arrays, len(prefixes))
  for depth in range(max(map(len, prefixes), default=0)):
    going = jnp.array([len(prefix) > depth for prefix in prefixes])
    token = jnp.array([[*prefix, *[0] * DEPTH][depth] for prefix in prefixes])
    mass, after = constraint.probe(constraint.arrays, state, token[:, None])
    assert (mass[going, 0] > 0).all()
    state = jax.tree.map(
      lambda new, old, going=going: jnp.where(
        going.reshape(-1, *[1] * (old.ndim - 1)), new[:, 0], old
      ),
      after,
      state,
    )
  return state


def test_probe_and_limits(row):
  constraint, prefixes = row.constraint, legal_prefixes(row)
  state = states_after(row, prefixes)
  token = jnp.broadcast_to(jnp.arange(V), (len(prefixes), V))
  mass, _ = constraint.probe(constraint.arrays, state, token)
  total, slots, accepts = (
    function(constraint.arrays, state)
    for function in (constraint.total, constraint.slots, constraint.accepts)
  )
  assert mass.shape == token.shape
  assert mass.dtype == total.dtype == slots.dtype == jnp.int32
  assert total.shape == slots.shape == accepts.shape == (len(prefixes),)
  assert (np.asarray(mass).sum(axis=1) <= total).all()
  assert (np.asarray(mass) >= 0).all()
  for i, prefix in enumerate(prefixes):
    allowed = set(np.flatnonzero(np.asarray(mass[i])).tolist())
    assert allowed == row.plain.legal(prefix), prefix
    assert len(allowed) <= slots[i] <= constraint.max_slots
    assert max(allowed, default=-1) < (constraint.vocab_size or V)
  assert accepts.tolist() == [row.plain.accepts(prefix) for prefix in prefixes]
  finishes = [row.plain.finishes(prefix) for prefix in prefixes]
  if constraint.finishes is None:
    assert not any(finishes)
  else:
    found = constraint.finishes(constraint.arrays, state)
    assert found.tolist() == finishes


@pytest.mark.parametrize('width', [1, 3, V + 2])
def test_children_are_those_probed_in_order(row, width):
  constraint, prefixes = row.constraint, legal_prefixes(row)
  state = states_after(row, prefixes)
  found = [[] for _ in prefixes]
  list_block = jax.jit(constraint.children, static_argnums=3)
  slots = constraint.slots(constraint.arrays, state)
  for offset in range(0, constraint.max_slots + width, width):
    token, after, legal = list_block(constraint.arrays, state, offset, width)
    assert token.shape == legal.shape == (len(prefixes), width)
    _, probed = constraint.probe(constraint.arrays, state, token)
    for a, b in zip(
      jax.tree.leaves(after), jax.tree.leaves(probed), strict=True
    ):
      assert a.shape == b.shape
      np.testing.assert_array_equal(a[legal], b[legal])
    assert ((token >= 0) & (token < V)).all()
    beyond = offset + np.arange(width) >= np.asarray(slots)[:, None]
    assert not (np.asarray(legal) & beyond).any()
    token, legal = np.asarray(token), np.asarray(legal)
    for tokens, row_token, row_legal in zip(found, token, legal, strict=True):
      tokens += row_token[row_legal].tolist()
  if constraint.unsorted_slots:
    found = [sorted(tokens) for tokens in found]
  assert found == [sorted(row.plain.legal(prefix)) for prefix in prefixes]


def test_children_from_a_slot_of_each_row(row):
  constraint, prefixes = row.constraint, legal_prefixes(row)
  state = states_after(row, prefixes)
  offset = jnp.arange(len(prefixes), dtype=jnp.int32)[:, None] % 3
  listed = constraint.children(constraint.arrays, state, offset, 2)
  whole = constraint.children(constraint.arrays, state, 0, 4)
  row_Nx1 = jnp.arange(len(prefixes))[:, None]
  column_NxW = offset + jnp.arange(2)[None]
  wanted = jax.tree.map(lambda leaf: leaf[row_Nx1, column_NxW], whole)
  np.testing.assert_array_equal(listed[2], wanted[2])
  legal = np.asarray(listed[2])
  for a, b in zip(
    jax.tree.leaves(listed), jax.tree.leaves(wanted), strict=True
  ):
    np.testing.assert_array_equal(a[legal], b[legal])


def test_after_an_illegal_token_nothing_fails(row):
  constraint = row.constraint
  state = constraint.start(constraint.arrays, V)
  for _ in range(DEPTH):
    token = jnp.arange(V)[:, None]
    _, after = constraint.probe(constraint.arrays, state, token)
    state = jax.tree.map(lambda leaf: leaf[:, 0], after)
    token, _, legal = constraint.children(constraint.arrays, state, 0, 4)
    assert token.shape == legal.shape == (V, 4)


TABLE = np.random.default_rng(1).normal(size=(2, DEPTH, V)).astype(np.float32)
TABLE[:, :, 0] += 30.0  # Illegal nearly everywhere.


def logits_of(query):
  return lambda prefix: TABLE[query, len(prefix)] + np.float32(sum(prefix))


def search(constraint, num_beams, **options):
  """Two queries with other logits; the cache is (query, sum of tokens, step)."""

  def step(token_N, cache):
    query_N, total_N, depth = cache
    total_N += token_N
    logits = jnp.asarray(TABLE)[query_N, depth]
    logits += total_N[:, None].astype(jnp.float32)
    return logits, (query_N, total_N, depth + 1)

  query_N = jnp.repeat(jnp.arange(2), num_beams)
  return beam_search(
    step,
    (query_N, jnp.zeros_like(query_N), jnp.zeros((), jnp.int32)),
    batch_size=2,
    num_beams=num_beams,
    max_length=DEPTH,
    constraint=constraint,
    **options,
  )


@pytest.mark.parametrize('options', [{}, {'list_limit': 0, 'num_probes': 1}])
@pytest.mark.parametrize('num_beams', [2, 12])
def test_beams_are_those_of_a_plain_search(row, num_beams, options):
  out = jax.jit(lambda c: search(c, num_beams, **options))(row.constraint)
  for query in range(2):
    expected = reference_beam.beam_search(
      logits_of(query),
      row.plain,
      num_beams=num_beams,
      max_length=DEPTH,
    )
    legal = np.asarray(out.legal[query])
    assert legal.sum() == len(expected)
    found = [
      tuple(tokens[:length].tolist())
      for tokens, length in zip(
        np.asarray(out.tokens[query]), out.lengths[query], strict=True
      )
    ]
    assert found[: len(expected)] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose(
      out.scores[query][legal],
      [score for _, score in expected],
      rtol=1e-5,
      atol=1e-5,
    )
    assert (out.scores[query][~legal] == -np.inf).all()
    assert not out.tokens[query][~legal].any()


def test_arrays_are_arguments(row):
  traces = []

  def traced(constraint):
    traces.append(1)
    return search(constraint, 2).tokens

  jitted = jax.jit(traced)
  jitted(row.constraint)
  jitted(row.other)
  assert len(traces) == 1
  text = jax.jit(functools.partial(search, num_beams=2)).lower(row.constraint)
  assert 'callback' not in text.as_text()
