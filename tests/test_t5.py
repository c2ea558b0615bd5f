# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5: steps with a cache equal the whole pass, and nothing leaks anywhere."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.models import layers, t5

V, B, T, L = 40, 2, 7, 5
CONFIGS = {
  'v1.0': t5.T5Config(
    vocab_size=V,
    emb_dim=16,
    num_heads=4,
    num_encoder_layers=1,
    num_decoder_layers=2,
    head_dim=8,
    mlp_dim=24,
    mlp_activations=['relu'],
    dropout_rate=0.3,
    logits_via_embedding=True,
  ),
}
CONFIGS['v1.1'] = CONFIGS['v1.0'].replace(
  mlp_activations=('gelu', 'linear'), logits_via_embedding=False
)


def make_tokens(seed, shape):
  rng = np.random.default_rng(seed)
  return rng.integers(2, V, shape).astype(np.int32)


def shift(targets):
  return np.pad(targets, ((0, 0), (1, 0)))[:, :-1]


def test_initial_params_are_those_of_the_module():
  module, params = tiny.model(9, seed=3)
  key, tokens = jax.random.key(3), np.ones((2, 3), np.int32)
  expected = module.init(key, *[tokens] * 3, enable_dropout=False)['params']
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  jitted = jax.jit(functools.partial(t5.initial_params, module))(key)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), jitted, expected
  )


class Model:
  """A module with parameters that make every path matter, jitted once."""

  def __init__(self, config):
    self.config = config
    self.module = t5.Transformer(config)
    tokens = np.ones((1, 3), np.int32)
    shapes = jax.eval_shape(
      lambda key: self.module.init(
        key, tokens, tokens, tokens, enable_dropout=False
      ),
      jax.random.key(0),
    )['params']
    # Drawn here: initial biases and scales are too even to show a mistake.
    rng = np.random.default_rng(0)

    def draw(leaf):
      spread = leaf.shape[0] ** -0.5 if len(leaf.shape) == 2 else 0.3
      mean = float(len(leaf.shape) == 1)
      return rng.normal(mean, spread, leaf.shape).astype(np.float32)

    self.params = jax.tree.map(draw, shapes)
    self._apply = jax.jit(self.module.apply, static_argnames='enable_dropout')

  def __call__(self, encoder, targets, *segments, rng=None):
    logits = self._apply(
      {'params': self.params},
      encoder,
      shift(targets),
      targets,
      *segments,
      enable_dropout=rng is not None,
      rngs=None if rng is None else {'dropout': jax.random.key(rng)},
    )
    return np.asarray(logits)


@functools.cache
def make_model(name):
  return Model(CONFIGS[name])


@pytest.fixture(params=list(CONFIGS))
def model(request):
  return make_model(request.param)


@functools.cache
def make_stepwise(module, num_beams):
  @jax.jit
  def run(params, encoder, inputs_NxL):
    step, cache = t5.start_decoding(
      module, params, encoder, num_beams=num_beams, max_length=L
    )
    logits = []
    for i in range(L):
      logits_NxV, cache = step(inputs_NxL[:, i], cache)
      logits.append(logits_NxV)
    return jnp.stack(logits, axis=1)

  return run


def decode_stepwise(model, encoder, inputs_NxL, num_beams):
  """Logits [N, L, V] of the given inputs, a token a step."""
  run = make_stepwise(model.module, num_beams)
  return np.asarray(run(model.params, encoder, inputs_NxL))


@pytest.mark.parametrize('num_beams', [1, 3])
def test_steps_equal_the_whole_pass(model, num_beams):
  encoder = make_tokens(0, (B, T))
  encoder[1, 4:] = 0
  targets = make_tokens(1, (B * num_beams, L))
  steps = decode_stepwise(model, encoder, shift(targets), num_beams)
  whole = model(np.repeat(encoder, num_beams, axis=0), targets)
  assert steps.shape == (B * num_beams, L, V)
  np.testing.assert_allclose(steps, whole, atol=1e-4)
  assert np.ptp(whole, axis=0).max(axis=-1).min() > 0.01  # rows do differ


def test_reordered_cache_continues_the_other_beam(model):
  encoder = make_tokens(0, (1, T))
  targets = make_tokens(1, (3, L))
  order = np.array([2, 0, 0])
  step, cache = t5.start_decoding(
    model.module, model.params, encoder, num_beams=3, max_length=L
  )
  step = jax.jit(step)
  for i in range(3):
    _, cache = step(shift(targets)[:, i], cache)
  cache = jax.tree.map(lambda x: x[order] if x.ndim else x, cache)
  rows = {x.shape[0] for x in jax.tree.leaves(cache) if x.ndim}
  assert rows == {3}
  logits, _ = step(shift(targets)[order, 3], cache)
  whole = model(np.repeat(encoder, 3, axis=0), targets[order])
  np.testing.assert_allclose(logits, whole[:, 3], atol=1e-4)


def test_keys_of_a_query_are_shared_by_its_beams(model):
  num_beams = 3
  encoder = make_tokens(0, (B, T))
  step, cache = t5.start_decoding(
    model.module, model.params, encoder, num_beams=num_beams, max_length=L
  )
  program = jax.make_jaxpr(step)(jnp.zeros(B * num_beams, jnp.int32), cache)
  shapes = {var.aval.shape for eqn in program.jaxpr.eqns for var in eqn.outvars}
  assert (B, model.config.num_heads, num_beams, T) in shapes
  tiled = [s for s in shapes if s[:1] == (B * num_beams,) and T in s]
  assert not tiled


def test_search_compiles_once(model):
  traces = []

  @jax.jit
  def first_logits(params, encoder):
    traces.append(encoder.shape)
    step, cache = t5.start_decoding(
      model.module, params, encoder, num_beams=2, max_length=L
    )
    return step(jnp.zeros(2 * len(encoder), jnp.int32), cache)[0]

  assert hash(model.module) == hash(t5.Transformer(model.config))
  for seed in range(3):
    first_logits(model.params, make_tokens(seed, (B, T)))
  assert traces == [(B, T)]


@settings(max_examples=15)
@given(seed=st.integers(0, 99), length=st.integers(1, T))
def test_length_of_padding_changes_nothing(seed, length):
  model = make_model('v1.1')
  targets = make_tokens(seed, (1, L))
  encoder = make_tokens(seed + 1, (1, T))
  encoder[:, length:] = 0
  longer = np.pad(encoder, ((0, 0), (0, 6)))
  np.testing.assert_allclose(
    model(encoder, targets), model(longer, targets), atol=1e-4
  )


def test_logits_depend_on_earlier_targets_alone(model):
  encoder, targets = make_tokens(0, (1, T)), make_tokens(1, (1, L))
  before = model(encoder, targets)
  for i in range(1, L):
    changed = targets.copy()
    changed[0, i - 1] = (targets[0, i - 1] + 1) % (V - 2) + 2
    moved = np.abs(model(encoder, changed) - before).max(axis=-1)[0]
    assert moved[:i].max() == 0.0
    assert moved[i:].min() > 1e-4


def test_packed_examples_do_not_see_each_other():
  model = make_model('v1.1')
  encoder, targets = make_tokens(0, (2, 3)), make_tokens(1, (2, 2))
  apart = model(encoder, targets)
  decoder_input = shift(targets).reshape(1, -1)
  packed = jax.jit(model.module.apply, static_argnames='enable_dropout')(
    {'params': model.params},
    encoder.reshape(1, -1),
    decoder_input,
    targets.reshape(1, -1),
    np.array([[1, 1, 1, 2, 2, 2]]),
    np.array([[1, 1, 2, 2]]),
    enable_dropout=False,
  )
  np.testing.assert_allclose(packed.reshape(2, 2, V), apart, atol=1e-4)


def test_empty_query_gives_finite_logits(model):
  encoder = np.zeros((B, T), np.int32)
  encoder[1] = make_tokens(0, T)
  targets = make_tokens(1, (B, L))
  assert np.isfinite(model(encoder, targets)).all()
  steps = decode_stepwise(model, encoder, shift(targets), 1)
  assert np.isfinite(steps).all()


def test_half_precision_of_a_masked_row_is_finite():
  config = CONFIGS['v1.1'].replace(dtype='float16', num_decoder_layers=1)
  logits = Model(config)(np.zeros((1, T), np.int32), make_tokens(1, (1, L)))
  assert logits.dtype == jnp.float32
  assert np.isfinite(logits).all()


def test_dropout_is_random_only_where_it_is_on():
  model = make_model('v1.1')
  encoder, targets = make_tokens(0, (B, T)), make_tokens(1, (B, L))
  off = model(encoder, targets)
  np.testing.assert_array_equal(off, model(encoder, targets))
  on = model(encoder, targets, rng=0)
  np.testing.assert_array_equal(on, model(encoder, targets, rng=0))
  assert np.abs(on - model(encoder, targets, rng=1)).max() > 1e-2
  assert np.abs(on - off).max() > 1e-2


def test_token_outside_the_vocabulary_is_not_read_as_another(model):
  encoder, targets = make_tokens(0, (B, T)), make_tokens(1, (B, L))
  encoder[0, 2] = V
  logits = model(encoder, targets)
  assert np.isnan(logits[0]).all()
  assert np.isfinite(logits[1]).all()


def slow_bucket(relative, bidirectional):
  """A distance's bucket, from the definition: 16 exact ones, then by factor."""
  buckets, offset = 32, 0
  if bidirectional:
    buckets, offset = 16, 16 if relative > 0 else 0
    relative = -abs(relative)
  distance = max(-relative, 0)
  exact = buckets // 2
  if distance < exact:
    return offset + distance
  share = math.log2(distance / exact) / math.log2(128 / exact)
  return offset + min(exact + int(share * exact), buckets - 1)


@pytest.mark.parametrize('bidirectional', [True, False])
def test_relative_position_buckets(bidirectional):
  length = 150
  buckets = layers.relative_position_buckets(
    length, bidirectional=bidirectional
  )
  expected = [
    [slow_bucket(key - query, bidirectional) for key in range(length)]
    for query in range(length)
  ]
  np.testing.assert_array_equal(buckets, expected)
  assert buckets.max() == 31


def test_linear_has_the_gradients_of_a_product():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4))
  w = jax.random.normal(jax.random.key(1), (4, 5))
  for argument in (0, 1):
    ours, plain = (
      jax.grad(lambda x, w, f=f: jnp.sum(jnp.sin(f(x, w))), argument)(x, w)
      for f in (layers.linear, jnp.dot)
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


def test_initializers_can_be_given():
  config = CONFIGS['v1.1'].replace(
    num_decoder_layers=1,
    embedding_init=jax.nn.initializers.constant(2.0),
    logits_init=jax.nn.initializers.constant(3.0),
  )
  tokens = np.ones((1, 3), np.int32)
  init = jax.jit(t5.Transformer(config).init, static_argnames='enable_dropout')
  params = init(
    jax.random.key(0), tokens, tokens, tokens, enable_dropout=False
  )['params']
  assert (params['token_embedder']['embedding'] == 2.0).all()
  assert (params['decoder']['logits_dense']['kernel'] == 3.0).all()


def test_a_step_of_another_length_than_its_cache_is_refused(model):
  encoder, token = make_tokens(0, (1, T)), np.zeros((1, 1), np.int32)
  _, cache = t5.start_decoding(
    model.module, model.params, encoder, num_beams=1, max_length=L
  )
  with pytest.raises(ValueError, match=r'1 token for .* max_decode_length=5'):
    model.module.apply(
      {'params': model.params, 'cache': cache},
      jnp.zeros((1, T, 16)),
      *(encoder, token, token),
      enable_dropout=False,
      decode=True,
      max_decode_length=L + 1,
      method='decode',
      mutable=['cache'],
    )


def test_cached_decoding_of_packed_rows_is_refused(model):
  tokens = make_tokens(0, (1, T))
  with pytest.raises(ValueError, match='one example a row, got segment ids'):
    model.module.apply(
      {'params': model.params},
      *(tokens, tokens, tokens, tokens, tokens),
      enable_dropout=False,
      decode=True,
      mutable=['cache'],
    )


def test_identity_start_is_an_identity_matrix():
  for shape in ((3, 3), (2, 4), (4, 2)):
    array = layers.identity_init(jax.random.key(0), shape)
    np.testing.assert_array_equal(array, np.eye(*shape, dtype=np.float32))


def test_an_unknown_dtype_is_refused():
  assert t5.T5Config(vocab_size=3, dtype='bfloat16').dtype == 'bfloat16'
  with pytest.raises(ValueError, match="or bfloat16, got 'bf16'; choose one"):
    t5.T5Config(vocab_size=3, dtype='bf16')
