# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""n-grams scored as a tree have the values of each one decoded on its own."""

import jax
import numpy as np
import pytest
import teacher_forcing
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding import score_tree
from genret.decoding.score_tree import bucket, build, log_probabilities

V, T = 40, 6
CONFIGS = teacher_forcing.configs(V)
ngrams_of = st.lists(
  st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple), max_size=30
)


def draw_inputs(count, seed=0):
  """Queries of every length from nothing on."""
  rng = np.random.default_rng(seed)
  rows = rng.integers(2, V, (count, T)).astype(np.int32)
  return rows * (np.arange(T) < (np.arange(count) % (T + 1))[:, None])


def draw_ngrams(count, seed=0, most=5, tokens=range(1, 6)):
  rng = np.random.default_rng(seed)
  return [
    tuple(rng.choice(tokens, rng.integers(1, most + 1)).tolist())
    for _ in range(count)
  ]


def naive(name, input_T, ngrams, width=5):
  module, params = teacher_forcing.model(CONFIGS[name])
  return [
    teacher_forcing.log_probability(module, params, input_T, ngram, width)
    for ngram in ngrams
  ]


def scored(name, inputs, ngrams, **options):
  module, params = teacher_forcing.model(CONFIGS[name])
  trees = [build(row) for row in ngrams]
  return log_probabilities(module, params, inputs, trees, **options)


def prefixes(ngrams):
  return {ngram[:i] for ngram in ngrams for i in range(1, len(ngram) + 1)}


@given(ngrams=ngrams_of)
def test_nodes_are_what_some_ngram_continues(ngrams):
  tree = build(ngrams)
  assert (tree.token_M[0], tree.parent_M[0], tree.depth_M[0]) == (0, 0, 0)
  assert (tree.parent_M[1:] < np.arange(1, len(tree.parent_M))).all()
  written = [()]
  for token, parent in zip(tree.token_M[1:], tree.parent_M[1:], strict=True):
    written.append((*written[parent], int(token)))
  assert tree.depth_M.tolist() == [len(prefix) for prefix in written]
  parents = {prefix[:-1] for prefix in prefixes(ngrams)} | {()}
  assert len(written) == len(parents)
  assert set(written) == parents
  # Edges are all prefixes, each once, and an n-gram's path are its own.
  edges = [
    (*written[node], int(token))
    for node, token in zip(tree.node_X, tree.edge_token_X, strict=True)
  ]
  assert len(edges) == len(prefixes(ngrams))
  assert set(edges) == prefixes(ngrams)
  assert len(tree.path_PxL) == len(ngrams)
  for path, ngram in zip(tree.path_PxL.tolist(), ngrams, strict=True):
    steps = [ngram[: i + 1] for i in range(len(ngram))]
    assert [edges[i] for i in path[: len(ngram)]] == steps
    assert set(path[len(ngram) :]) <= {-1}


@pytest.mark.parametrize('name', CONFIGS)
def test_values_are_those_of_each_ngram_alone(name):
  """Rows of many n-grams with repeated ones, of none, of one token each, of one
  that is longer than the others, and of one that is the beginning of another;
  the first query is empty."""
  inputs = draw_inputs(6)
  ngrams = [
    draw_ngrams(40),
    [],
    [(7,), (3,), (7,)],
    [(2,), (9, 8, 7, 6, 5), (2,)],
    [(4, 5), (4, 5, 6), (4,)],
    draw_ngrams(9, seed=1, tokens=range(V)),
  ]
  assert len(set(ngrams[0])) < 40
  found = scored(name, inputs, ngrams)
  assert found.first_step is None
  for row, values in enumerate(found.log_probabilities):
    assert values.dtype == np.float32
    expected = naive(name, inputs[row], ngrams[row])
    # Teacher forcing does not attend to token 0, which stands for padding.
    same = [0 not in ngram[:-1] for ngram in ngrams[row]]
    np.testing.assert_allclose(
      values[same], np.array(expected)[same], rtol=1e-5, atol=1e-5
    )
  assert np.ptp(found.log_probabilities[0]) > 1


def test_distances_beyond_the_exact_buckets():
  """Far ancestors share buckets, by their depth and not by their number."""
  rng = np.random.default_rng(0)
  long = rng.integers(1, V, 150).tolist()
  ngrams = [tuple(long), *(tuple(long[:i]) for i in range(1, 150, 7))]
  ngrams += [(*long[:20], t, *long[:10]) for t in range(1, 30)]
  inputs = draw_inputs(6)[5:]
  found = scored('v1.1', inputs, [ngrams]).log_probabilities[0]
  expected = naive('v1.1', inputs[0], ngrams, width=150)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_first_steps_are_those_of_the_first_rows():
  inputs, ngrams = draw_inputs(4), [draw_ngrams(5), [], [], [(1,)]]
  found = scored('v1.0', inputs, ngrams, first_steps=3, batch_size=4)
  assert found.first_step.shape == (3, V)
  module, params = teacher_forcing.model(CONFIGS['v1.0'])
  for row, values in zip(inputs[:3], found.first_step, strict=True):
    expected = teacher_forcing.log_softmax(module, params, row, (), 5)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
  # A batch that is filled up has as many as it has rows.
  found = scored('v1.0', inputs[:2], ngrams[:2], first_steps=3, batch_size=4)
  assert found.first_step.shape == (2, V)


@settings(max_examples=15)
@given(ngrams=st.lists(ngrams_of, max_size=3), seed=st.integers(0, 99))
def test_padding_changes_nothing(ngrams, seed):
  """Of rows and of nodes: a row alone has the values it has in a batch."""
  inputs = draw_inputs(3, seed)[: len(ngrams)]
  found = scored('v1.1', inputs, ngrams, batch_size=3, min_nodes=64)
  assert len(found.log_probabilities) == len(ngrams)
  for i, values in enumerate(found.log_probabilities):
    alone = scored('v1.1', inputs[i : i + 1], ngrams[i : i + 1], batch_size=3)
    np.testing.assert_allclose(
      values, alone.log_probabilities[0], rtol=1e-5, atol=1e-5
    )


@pytest.fixture
def fresh_programs():
  """Programs of this test alone, for it changes what they are made of."""
  score_tree._score.clear_cache()
  yield
  score_tree._score.clear_cache()


@pytest.mark.parametrize(('name', 'slice_nodes'), [('v1.0', 1), ('v1.1', 7)])
@pytest.mark.usefixtures('fresh_programs')
def test_slices_and_groups_change_nothing(monkeypatch, name, slice_nodes):
  inputs = draw_inputs(6)
  ngrams = [draw_ngrams(20 * i, seed=i) for i in range(6)]
  whole = scored(name, inputs, ngrams)
  score_tree._score.clear_cache()
  monkeypatch.setattr(score_tree, '_SLICE_BYTES', 4 * V * slice_nodes)
  # Groups of four rows would be, but they must divide six: of three.
  heads = CONFIGS[name].num_heads
  nodes = bucket(max(len(build(row).token_M) for row in ngrams))
  monkeypatch.setattr(score_tree, '_GROUP_BYTES', 16 * heads * nodes**2)
  sliced = scored(name, inputs, ngrams)
  for a, b in zip(
    whole.log_probabilities, sliced.log_probabilities, strict=True
  ):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_logits_of_all_nodes_are_never_there():
  """32 rows of 256 nodes over the vocabulary of T5 would be 1 GB of them."""
  module, params = teacher_forcing.model(tiny.config(32128, num_heads=1))
  trees = [build([(*range(1, 11), i) for i in range(30)])] * 32
  batch = score_tree._pad(trees, 32, 256)
  assert batch.token_RxM.shape == (32, 256)
  inputs = np.ones((32, T), np.int32)
  program = score_tree._score.lower(module, params, inputs, batch, 32).compile()
  assert program.memory_analysis().temp_size_in_bytes < 128 << 20


def test_trees_of_one_size_compile_once(monkeypatch):
  traces = []
  states = score_tree._states

  def counted(*arguments):
    traces.append(1)
    return states(*arguments)

  monkeypatch.setattr(score_tree, '_states', counted)
  # A shape that no other test has.
  options = {'batch_size': 5, 'first_steps': 2}
  for seed, rows in enumerate((5, 1, 3, 5)):
    ngrams = [draw_ngrams(3 * i + seed, seed=seed) for i in range(rows)]
    scored('v1.1', draw_inputs(rows, seed), ngrams, **options)
  assert len(traces) == 1
  # Nor do other parameters compile again.
  module, params = teacher_forcing.model(CONFIGS['v1.1'])
  doubled = jax.tree.map(lambda x: x + x, params)
  log_probabilities(module, doubled, draw_inputs(1), [build([(3,)])], **options)
  assert len(traces) == 1
  wide = [(i % V, i // V, 1) for i in range(90)]
  scored('v1.1', draw_inputs(1), [wide], **options)
  assert len(traces) == 2


def test_buckets_grow_by_a_third_or_a_half():
  sizes = sorted({bucket(size) for size in range(1, 700)})
  assert sizes == [32, 48, 64, 96, 128, 192, 256, 384, 512, 768]
  assert all(bucket(size) == size for size in sizes)
  assert [bucket(size) for size in (33, 49, 65)] == [48, 64, 96]
  assert [bucket(size, least=132) for size in (5, 136, 137)] == [136, 136, 192]
  assert [bucket(size, least=0) for size in range(8)] == [
    1,
    1,
    2,
    3,
    4,
    6,
    6,
    8,
  ]


def test_no_rows_have_no_values():
  found = scored('v1.1', np.zeros((0, T), np.int32), [], batch_size=4)
  assert found.log_probabilities == []
  assert found.first_step is None
  found = scored('v1.1', np.zeros((0, T), np.int32), [], first_steps=1)
  assert found.first_step.shape == (0, V)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: build([(1,), ()]), r'got an empty one at 1; leave it out'),
    (lambda: build([(1, -1)]), r'of at least 0 in n-grams, got -1; leave'),
    (
      lambda: scored('v1.1', draw_inputs(2), [[]]),
      r'as many inputs as trees, .* got 2 and 1; score them in batches',
    ),
    (
      lambda: scored('v1.1', draw_inputs(2), [[], []], batch_size=1),
      r'at most batch_size=1, got 2 and 2; score',
    ),
    (
      lambda: scored('v1.1', draw_inputs(1), [[(2, V)]]),
      r'below vocab_size=40 in n-grams, got 40; use the vocabulary',
    ),
  ],
)
def test_errors_name_what_came(make, message):
  with pytest.raises(ValueError, match=message):
    make()
