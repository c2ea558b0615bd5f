# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches of queries decode as each query does alone, compiled once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.constraints.trie import Trie
from genret.decoding import generate as generate_lib
from genret.decoding.generate import (
  generate,
  generate_batches,
  generate_samples,
)
from genret.models.t5 import T5Config, Transformer

V, T, K, L = 20, 5, 3, 4
CONFIG = T5Config(
  vocab_size=V,
  emb_dim=8,
  num_heads=2,
  head_dim=4,
  num_encoder_layers=1,
  num_decoder_layers=1,
  mlp_dim=8,
)
MODULE = Transformer(CONFIG)
TRIE = Trie.from_sequences(
  [[5], [5, 6], [5, 6, 7], [8, 9], [9, 8, 7], [10]], vocab_size=V
)
OPTIONS = {'num_beams': K, 'max_length': L}


@pytest.fixture(scope='module')
def params():
  tokens = jnp.ones((1, 1), jnp.int32)
  init = jax.jit(functools.partial(MODULE.init, enable_dropout=False))
  return init(jax.random.key(0), tokens, tokens, tokens)['params']


def draw(count, seed=0):
  """Queries of every length from nothing on."""
  rng = np.random.default_rng(seed)
  rows = rng.integers(2, V, (count, T)).astype(np.int32)
  return rows * (np.arange(T) < (np.arange(count) % (T + 1))[:, None])


@pytest.mark.parametrize('count', [0, 1, 3, 4, 7])
def test_batches_decode_as_single_queries_do(params, count):
  queries = draw(count)
  found = list(
    generate_batches(MODULE, params, queries, TRIE, batch_size=3, **OPTIONS)
  )
  sizes = [len(batch.tokens) for batch in found]
  assert sizes == [min(3, count - first) for first in range(0, count, 3)]
  i = 0
  for batch in found:
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(batch))
    for row in range(len(batch.tokens)):
      alone = generate(MODULE, params, queries[i : i + 1], TRIE, **OPTIONS)
      np.testing.assert_array_equal(batch.tokens[row], alone.tokens[0])
      np.testing.assert_array_equal(batch.lengths[row], alone.lengths[0])
      np.testing.assert_array_equal(batch.legal[row], alone.legal[0])
      np.testing.assert_allclose(batch.scores[row], alone.scores[0], rtol=1e-5)
      i += 1
  assert i == count


def decoded(params, queries):
  """All batches side by side; one shape, so that nothing compiles again."""
  found = generate_batches(
    MODULE, params, queries, TRIE, batch_size=3, **OPTIONS
  )
  return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def test_queries_differ(params):
  """Otherwise the test above would tell little."""
  out = decoded(params, draw(7))
  assert len({scores.tobytes() for scores in out.scores}) > 3
  assert out.tokens.shape == (7, K, L)
  assert (np.diff(out.scores, axis=1) <= 0).all()


def test_scores_are_those_of_the_whole_pass(params):
  """The sum of log-probabilities, from one pass over the finished answer."""
  queries = draw(6)
  out = decoded(params, queries)
  target = out.tokens.reshape(-1, L)
  apply = jax.jit(functools.partial(MODULE.apply, enable_dropout=False))
  logits = apply(
    {'params': params},
    np.repeat(queries[1:], K, axis=0),
    np.pad(target, ((0, 0), (1, 0)))[K:, :-1],
    target[K:],
  )
  log_probs = np.asarray(jax.nn.log_softmax(logits))
  taken = np.take_along_axis(log_probs, target[K:, :, None], 2)[..., 0]
  expected = (taken * (target[K:] > 0)).sum(1).reshape(-1, K)
  np.testing.assert_allclose(out.scores[1:], expected, rtol=1e-4)


def test_several_batches_trace_once(params, monkeypatch):
  calls = []
  start = generate_lib.start_decoding

  def counted(*args, **kwargs):
    calls.append(args)
    return start(*args, **kwargs)

  monkeypatch.setattr(generate_lib, 'start_decoding', counted)
  # A shape that no other test has.
  queries = np.pad(draw(9), ((0, 0), (0, 1)))
  options = {'batch_size': 4, 'num_beams': 2, 'max_length': L}
  found = list(generate_batches(MODULE, params, queries, TRIE, **options))
  assert [len(batch.tokens) for batch in found] == [4, 4, 1]
  assert len(calls) == 1
  # Nor do new weights or other identifiers of as many states compile again.
  doubled = jax.tree.map(lambda x: x + x, params)
  list(generate_batches(MODULE, doubled, queries, TRIE, **options))
  other = Trie.from_sequences(
    [[4], [4, 6], [4, 6, 7], [8, 9], [9, 8, 7], [10]], vocab_size=V
  )
  changed = list(generate_batches(MODULE, params, queries, other, **options))
  assert len(calls) == 1
  assert 4 in np.concatenate([batch.tokens for batch in changed])
  assert 5 not in np.concatenate([batch.tokens[..., 0] for batch in changed])


def test_normalisation_is_passed_on(params):
  legal, whole = (
    next(
      generate_batches(
        MODULE, params, draw(3), TRIE, batch_size=3, normalize=name, **OPTIONS
      )
    )
    for name in ('legal', 'vocabulary')
  )
  assert (legal.scores > whole.scores + 0.1).all()


@pytest.mark.parametrize(
  'options',
  [
    {'length_penalty': 'length', 'alpha': 2.0},
    {'num_groups': 3, 'diversity_penalty': 2.0},
  ],
)
def test_options_are_passed_on(params, options):
  changed, plain = (
    next(
      generate_batches(
        MODULE, params, draw(3), TRIE, batch_size=3, **more, **OPTIONS
      )
    )
    for more in (options, {})
  )
  assert (changed.scores != plain.scores).any()
  assert changed.legal.all()


def test_candidates_are_cut_to_the_batch(params):
  (batch,) = generate_batches(
    MODULE, params, draw(2), TRIE, batch_size=3, keep_candidates=4, **OPTIONS
  )
  assert batch.candidates.tokens.shape == (2, L, 4, L)
  assert batch.candidates.legal[:, 0].all()


def test_samples_are_identifiers_with_the_scores_of_beams(params):
  queries = draw(3)
  beams = generate(MODULE, params, queries, TRIE, num_beams=6, max_length=L)
  score_of = [
    {tuple(t): s for t, s in zip(tokens.tolist(), scores, strict=True)}
    for tokens, scores in zip(
      np.asarray(beams.tokens), beams.scores, strict=True
    )
  ]
  out = generate_samples(
    MODULE,
    params,
    queries,
    TRIE,
    jax.random.key(0),
    num_samples=20,
    max_length=L,
    temperature=2.0,
  )
  drawn = set()
  for query in range(3):
    for tokens, score in zip(
      np.asarray(out.tokens[query]).tolist(), out.scores[query], strict=True
    ):
      np.testing.assert_allclose(
        score, score_of[query][tuple(tokens)], rtol=1e-4
      )
      drawn.add(tuple(tokens))
  assert len(drawn) == 6
  best = generate_samples(
    MODULE,
    params,
    queries,
    TRIE,
    jax.random.key(0),
    num_samples=20,
    max_length=L,
    top_k=1,
  )
  assert (best.tokens == best.tokens[:, :1]).all()
