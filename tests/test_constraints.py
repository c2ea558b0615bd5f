# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The contract of the constraint protocol, one row an implementation.

A row is a constraint over a vocabulary of V tokens and, by brute force, the
legal tokens after a prefix. A new constraint adds a row to ROWS.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam

from genret.constraints.protocol import Constraint, unconstrained
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
  legal: Callable[[tuple[int, ...]], set[int]]
  # The same kind and shape with other content: must not compile again.
  other: Constraint


def trie_row() -> Row:
  sequences = [[], [2], [2, 3], [2, 3, 4], [2, 3], [5, 0], [6, 6, 6], [5, 4]]
  others = [[], [3], [3, 2], [3, 2, 4], [3, 2], [4, 0], [6, 6, 6], [4, 5]]
  return Row(
    Trie.from_sequences(sequences, V).constraint(),
    reference_beam.legal_in(sequences),
    Trie.from_sequences(others, V).constraint(),
  )


def empty_trie_row() -> Row:
  trie = Trie.from_sequences([], V)
  return Row(trie.constraint(), lambda prefix: set(), trie.constraint())


def unconstrained_row() -> Row:
  constraint = unconstrained(V)
  return Row(constraint, lambda prefix: set(range(V)), constraint)


# A newcomer's constraint: an automaton as a dense table of next states, -1 where
# a token is illegal. Every prefix is an answer.


def dense_probe(next_SxV, state_N, token_NxT):
  state_NxT = next_SxV[state_N[:, None], token_NxT]
  return (state_NxT >= 0) & (state_N[:, None] >= 0), state_NxT


def dense_children(next_SxV, state_N, offset, width):
  # Legal tokens come first, ascending, as False sorts before True.
  token_NxV = jnp.argsort(next_SxV[state_N] < 0, axis=1, stable=True)
  token_NxV = jnp.pad(token_NxV.astype(jnp.int32), ((0, 0), (0, width)))
  start = jnp.minimum(jnp.asarray(offset, jnp.int32), V)
  token_NxW = jax.lax.dynamic_slice_in_dim(token_NxV, start, width, axis=1)
  _, state_NxW = dense_probe(next_SxV, state_N, token_NxW)
  rank_1xW = start + jnp.arange(width, dtype=jnp.int32)[None]
  return (
    token_NxW,
    state_NxW,
    rank_1xW < dense_count(next_SxV, state_N)[:, None],
  )


def dense_count(next_SxV, state_N):
  return (dense_probe(next_SxV, state_N, all_tokens(state_N))[0]).sum(
    axis=1, dtype=jnp.int32
  )


def all_tokens(state_N):
  return jnp.broadcast_to(jnp.arange(V), (len(state_N), V))


def dense_start(next_SxV, n):
  return jnp.zeros(n, jnp.int32)


def dense(next_SxV) -> Constraint:
  return Constraint(
    arrays=jnp.asarray(next_SxV, jnp.int32),
    start=dense_start,
    probe=dense_probe,
    children=dense_children,
    count=dense_count,
    max_children=V,
    open_ended=True,
  )


def automaton_row() -> Row:
  rng = np.random.default_rng(0)
  next_SxV, other = np.where(
    rng.random((2, 6, V)) < 0.5, rng.integers(0, 6, (2, 6, V)), -1
  )

  def legal(prefix):
    state = 0
    for token in prefix:
      state = next_SxV[state, token]
      if state < 0:
        return set()
    return set(np.flatnonzero(next_SxV[state] >= 0).tolist())

  return Row(dense(next_SxV), legal, dense(other))


ROWS = {
  'trie': trie_row,
  'empty trie': empty_trie_row,
  'unconstrained': unconstrained_row,
  'dense automaton': automaton_row,
}


@pytest.fixture(params=ROWS, name='row')
def row_fixture(request) -> Row:
  return ROWS[request.param]()


def legal_prefixes(row: Row) -> list[tuple[int, ...]]:
  return [
    prefix
    for prefix in PREFIXES
    if all(t in row.legal(prefix[:i]) for i, t in enumerate(prefix))
  ]


def states_after(row: Row, prefixes):
  """States of many legal prefixes at once: each walks, or waits if shorter."""
  constraint = row.constraint
  state = constraint.start(constraint.arrays, len(prefixes))
  for depth in range(max(map(len, prefixes), default=0)):
    going = jnp.array([len(prefix) > depth for prefix in prefixes])
    token = jnp.array([[*prefix, *[0] * DEPTH][depth] for prefix in prefixes])
    legal, after = constraint.probe(constraint.arrays, state, token[:, None])
    assert legal[going, 0].all()
    state = jax.tree.map(
      lambda new, old, going=going: jnp.where(
        going.reshape(-1, *[1] * (old.ndim - 1)), new[:, 0], old
      ),
      after,
      state,
    )
  return state


def test_probe_count_and_limits(row):
  constraint, prefixes = row.constraint, legal_prefixes(row)
  state = states_after(row, prefixes)
  token = jnp.broadcast_to(jnp.arange(V), (len(prefixes), V))
  legal, _ = constraint.probe(constraint.arrays, state, token)
  count = constraint.count(constraint.arrays, state)
  assert legal.shape == token.shape
  assert count.shape == (len(prefixes),)
  legal, count = np.asarray(legal), np.asarray(count)
  for prefix, mask, number in zip(prefixes, legal, count, strict=True):
    assert set(np.flatnonzero(mask).tolist()) == row.legal(prefix), prefix
    assert number == len(row.legal(prefix)) <= constraint.max_children
    assert max(row.legal(prefix), default=-1) < (constraint.vocab_size or V)


@pytest.mark.parametrize('width', [1, 3, V + 2])
def test_children_are_those_probed_in_order(row, width):
  constraint, prefixes = row.constraint, legal_prefixes(row)
  state = states_after(row, prefixes)
  found = [[] for _ in prefixes]
  list_block = jax.jit(constraint.children, static_argnums=3)
  for offset in range(0, V + width, width):
    token, after, legal = list_block(constraint.arrays, state, offset, width)
    assert token.shape == legal.shape == (len(prefixes), width)
    _, probed = constraint.probe(constraint.arrays, state, token)
    for a, b in zip(
      jax.tree.leaves(after), jax.tree.leaves(probed), strict=True
    ):
      assert a.shape == b.shape
      np.testing.assert_array_equal(a[legal], b[legal])
    token, legal = np.asarray(token), np.asarray(legal)
    for tokens, row_token, row_legal in zip(found, token, legal, strict=True):
      tokens += row_token[row_legal].tolist()
  assert found == [sorted(row.legal(prefix)) for prefix in prefixes]


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
      row.legal,
      num_beams=num_beams,
      max_length=DEPTH,
      open_ended=row.constraint.open_ended,
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
