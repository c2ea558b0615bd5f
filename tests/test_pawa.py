# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""PAWA against its formula, and against the plain T5 that it starts as."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import teacher_forcing
import tiny

from genret.decoding import score_tree
from genret.models import checkpoints, pawa, t5, weights

V, FIRST, B, T, L = 24, 17, 2, 6, 4
PLAIN = {
  'v1.1': tiny.config(V),
  'v1.0': tiny.config(
    V, mlp_activations=('relu',), logits_via_embedding=True, near_identity=True
  ),
}
PAWA = {
  name: PLAIN[name].replace(pawa_layers=layers, pawa_first_token=FIRST)
  for name, layers in (('v1.1', 2), ('v1.0', 1))
}
names = pytest.mark.parametrize('name', PLAIN)


def draw_tokens(seed, shape):
  rng = np.random.default_rng(seed)
  return rng.integers(2, V, shape).astype(np.int32)


def shift(target_BxL):
  return np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1]


@functools.partial(jax.jit, static_argnames='module')
def logits_of(module, params, encoder_BxT, target_BxL):
  inputs = jnp.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1]
  return module.apply(
    {'params': params}, encoder_BxT, inputs, target_BxL, enable_dropout=False
  )


@functools.partial(jax.jit, static_argnames='module')
def states_of(module, params, encoder_BxT, target_BxL):
  """The decoder's states and the prefix decoder's, both [B, L, E]."""

  def states(model, encoder_BxT, target_BxL):
    encoded = model.encode(encoder_BxT, enable_dropout=False)
    return model.states(
      jnp.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
      model.cross_keys_values(encoded),
      (jnp.tri(L, dtype=bool)[None, None], (encoder_BxT > 0)[:, None, None]),
      length=L,
      deterministic=True,
      decode=False,
    )

  found = module.apply(
    {'params': params}, encoder_BxT, target_BxL, method=states
  )
  return jnp.split(found, 2, axis=-1)


def fresh(name):
  """A model whose map is as it starts, and the plain parameters in it."""
  module, params = teacher_forcing.model(PAWA[name])
  prefix_map = params['prefix_map']
  prefix_map = {**prefix_map, 'kernel': 0 * prefix_map['kernel']}
  plain = {k: v for k, v in params.items() if k not in pawa.PARAMETERS}
  return module, {**params, 'prefix_map': prefix_map}, plain


@functools.cache
def shapes_of(config):
  """Of the initial variables, by path."""
  token = np.ones((1, 1), np.int32)
  found = jax.eval_shape(
    functools.partial(t5.Transformer(config).init, enable_dropout=False),
    jax.random.key(0),
    *(token, token, token),
  )
  flatten = functools.partial(flax.traverse_util.flatten_dict, sep='/')
  return flatten(found['params']), flatten(found['params_axes'])


@names
def test_a_fresh_model_is_the_plain_one(name):
  module, params, plain = fresh(name)
  tokens = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  found = logits_of(module, params, *tokens)
  expected = logits_of(t5.Transformer(PLAIN[name]), plain, *tokens)
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(found, expected)


def test_the_map_starts_at_nothing():
  module, x = pawa.PrefixMap(3, 2, jnp.float32), jnp.ones((1, 1, 3))
  params = module.init(jax.random.key(0), x, x)['params']
  assert params['kernel'].shape == (3, 3, 2)
  assert not np.any(params['kernel'])
  assert np.all(params['vector'])


@names
def test_a_plain_model_has_nothing_of_it(name):
  plain, adapted = shapes_of(PLAIN[name])[0], shapes_of(PAWA[name])[0]
  added = {path.split('/')[0] for path in adapted.keys() - plain.keys()}
  assert added == set(pawa.PARAMETERS)
  assert all(adapted[path] == leaf for path, leaf in plain.items())


def test_every_parameter_names_its_axes():
  params, axes = shapes_of(PAWA['v1.1'])
  assert {f'{path}_axes' for path in params} == set(axes)
  for path, leaf in params.items():
    found = axes[f'{path}_axes'].names
    assert len(found) == leaf.ndim == len(set(found)), path
  assert axes['prefix_map/kernel_axes'].names == ('kv', 'embed', 'vocab')


@pytest.mark.parametrize(
  ('width', 'tokens', 'rows'), [(1, 1, 1), (24, 5, 0), (128, 3, 2), (192, 2, 1)]
)
def test_the_map_is_the_product_with_a_whole_matrix(width, tokens, rows):
  rng = np.random.default_rng(0)
  h, a = rng.normal(size=(2, rows, 3, width)).astype(np.float32)
  params = {
    'kernel': rng.normal(size=(width, width, tokens)).astype(np.float32),
    'vector': np.zeros(width, np.float32),
  }
  module = pawa.PrefixMap(width, tokens, jnp.float32)
  found = module.apply({'params': params}, h, a)
  weights_BxLxExX = np.tensordot(np.float64(a), params['kernel'], axes=1)
  expected = (h[..., None] * weights_BxLxExX).sum(-2)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3 * width)
  assert found.shape == (rows, 3, tokens)


def test_no_matrix_of_every_position_is_held():
  width, tokens, rows, length = 256, 16, 32, 16
  module = pawa.PrefixMap(width, tokens, jnp.float32)
  h = a = jax.ShapeDtypeStruct((rows, length, width), jnp.float32)
  params = {
    'kernel': jax.ShapeDtypeStruct((width, width, tokens), jnp.float32),
    'vector': jax.ShapeDtypeStruct((width,), jnp.float32),
  }

  def loss(params, h, a):
    return jnp.sum(jnp.sin(module.apply({'params': params}, h, a)))

  program = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(params, h, a)
  held = program.compile().memory_analysis().temp_size_in_bytes
  kernels = 3 * 4 * width * width * tokens
  assert held - kernels < 4 * rows * length * width * tokens / 2


@names
def test_logits_are_the_formula(name):
  """h (E + W(r)), W(r) put together for every position."""
  module, params = teacher_forcing.model(PAWA[name])
  encoder, target = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  h, a = map(np.float64, states_of(module, params, encoder, target))
  if module.config.logits_via_embedding:
    plain_ExV = np.float64(params['token_embedder']['embedding']).T
    h = h / np.sqrt(module.config.emb_dim)
  else:
    plain_ExV = np.float64(params['decoder']['logits_dense']['kernel'])
  adapted_BxLxExX = np.tensordot(a, params['prefix_map']['kernel'], axes=1)
  weights_BxLxExV = np.pad(
    adapted_BxLxExX, ((0, 0), (0, 0), (0, 0), (FIRST, 0))
  )
  expected = (h[..., None] * (plain_ExV + weights_BxLxExV)).sum(-2)
  found = logits_of(module, params, encoder, target)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
  plain = (h[..., None] * plain_ExV).sum(-2)
  assert np.abs(found - plain)[..., FIRST:].min() > 1e-4
  np.testing.assert_allclose(found[..., :FIRST], plain[..., :FIRST], atol=1e-4)


def test_the_prefix_decoder_is_a_decoder_of_the_vector():
  """A plain T5 that reads the vector as a text of one token."""
  module, params = teacher_forcing.model(PAWA['v1.1'])
  encoder, target = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  _, a = states_of(module, params, encoder, target)
  plain = t5.Transformer(
    PLAIN['v1.1'].replace(num_decoder_layers=2, logits_via_embedding=True)
  )
  vector = params['prefix_map']['vector']
  logits = plain.apply(
    {
      'params': {
        'token_embedder': params['token_embedder'],
        'decoder': params['prefix_decoder'],
      }
    },
    np.broadcast_to(vector, (B, 1, len(vector))),
    *(np.ones((B, 1), np.int32), shift(target), target),
    enable_dropout=False,
    method='decode',
  )
  embedding = np.float64(params['token_embedder']['embedding'])
  expected = np.float64(a) @ embedding.T / np.sqrt(len(vector))
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_weights_depend_on_the_prefix_and_on_nothing_else():
  module, params = teacher_forcing.model(PAWA['v1.1'])
  encoder, target = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  state, prefix = states_of(module, params, encoder, target)
  other_state, same = states_of(module, params, encoder[::-1], target)
  assert np.abs(state - other_state).max(-1).min() > 0.01
  np.testing.assert_array_equal(prefix, same)
  for i in range(L):
    changed = target.copy()
    changed[:, i] = (target[:, i] + 1) % (V - 2) + 2
    _, moved = states_of(module, params, encoder, changed)
    difference = np.abs(moved - prefix).max(-1)
    assert difference[:, : i + 1].max() == 0
    if i + 1 < L:
      assert difference[:, i + 1 :].min() > 1e-3
      # With the decoder's state held, identifier tokens alone notice.
      a, b = (
        module.apply(
          {'params': params}, jnp.concatenate([state, x], -1), method='logits'
        )
        for x in (prefix, moved)
      )
      assert np.abs(a - b)[:, i + 1 :, FIRST:].max(-1).min() > 1e-3
      np.testing.assert_array_equal(a[..., :FIRST], b[..., :FIRST])


@functools.partial(jax.jit, static_argnames='module')
def stepwise(module, params, encoder_BxT, inputs_LxN, order_LxN):
  """Logits [L, N, V] of steps, before each of which beams trade places."""
  step, cache = t5.start_decoding(
    module,
    params,
    encoder_BxT,
    num_beams=inputs_LxN.shape[1] // len(encoder_BxT),
    max_length=L,
  )

  def reordered(cache, xs):
    token_N, order_N = xs
    cache = jax.tree.map(lambda x: x[order_N] if x.ndim else x, cache)
    return step(token_N, cache)[::-1]

  return jax.lax.scan(reordered, cache, (inputs_LxN, order_LxN))[1]


@pytest.mark.parametrize(
  ('name', 'dtype', 'near'),
  [
    ('v1.1', 'float32', 1e-3),
    ('v1.0', 'bfloat16', 0.1),
  ],
)
def test_steps_equal_the_whole_pass(name, dtype, near):
  module, params = teacher_forcing.model(PAWA[name].replace(dtype=dtype))
  encoder = draw_tokens(0, (B, T))
  encoder[1, 4:] = 0
  targets = draw_tokens(1, (3 * B, L))
  whole = logits_of(module, params, np.repeat(encoder, 3, axis=0), targets)
  # The last step goes on from other beams of the same query.
  order_LxN = np.tile(np.arange(3 * B), (L, 1))
  order_LxN[-1] = 2, 0, 0, 3, 5, 4
  inputs_LxN = np.take_along_axis(shift(targets).T, order_LxN, axis=1)
  found = stepwise(module, params, encoder, inputs_LxN, order_LxN)
  expected = np.take_along_axis(
    whole.swapaxes(0, 1), order_LxN[..., None], axis=1
  )
  np.testing.assert_allclose(found, expected, atol=near)
  # Rows do differ, and by more than what passes for equal.
  assert np.ptp(whole[:, 1:], axis=0).max(axis=-1).min() > 4 * near


def test_trees_of_ngrams_are_scored_with_it():
  module, params = teacher_forcing.model(PAWA['v1.1'])
  ngrams = [(18, 19), (18, 20, 21), (18,), (3, 18)]
  inputs = draw_tokens(0, (1, T))
  found = score_tree.log_probabilities(
    module, params, inputs, [score_tree.build(ngrams)]
  ).log_probabilities[0]
  expected = [
    teacher_forcing.log_probability(module, params, inputs[0], ngram, 3)
    for ngram in ngrams
  ]
  np.testing.assert_allclose(found, expected, atol=1e-3)


def test_gradients_reach_the_map_and_then_the_prefix_decoder():
  module, params, _ = fresh('v1.1')
  encoder, target = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))

  @jax.jit
  @jax.grad
  def gradient(params):
    log_probs = jax.nn.log_softmax(logits_of(module, params, encoder, target))
    return -jnp.take_along_axis(log_probs, target[..., None], -1).mean()

  first = gradient(params)
  assert np.abs(first['prefix_map']['kernel']).max() > 0
  assert not any(np.any(x) for x in jax.tree.leaves(first['prefix_decoder']))
  params = jax.tree.map(lambda x, g: x - 0.1 * g, params, first)
  second = flax.traverse_util.flatten_dict(gradient(params), sep='/')
  for path, leaf in second.items():
    if path.startswith(pawa.PARAMETERS):
      # One key has all the attention, whatever asks for it.
      unasked = 'encoder_decoder_attention/query', 'attention/key', 'pre_cross'
      idle = 'encoder_decoder' in path and any(x in path for x in unasked)
      idle = idle or 'pre_cross' in path
      assert np.any(leaf) == (not idle), path


def test_a_model_is_written_and_read_again(tmp_path):
  config = PAWA['v1.1']
  checkpoints.save_config(tmp_path / 'config', config)
  assert checkpoints.load_config(tmp_path / 'config') == config
  _, params = teacher_forcing.model(config)
  weights.save_model(tmp_path / 'model', config, params)
  found_config, found = checkpoints.load_model(tmp_path / 'model')
  assert found_config == config
  jax.tree.map(np.testing.assert_array_equal, found, params)


def test_a_model_starts_from_a_plain_one(tmp_path):
  _, plain = teacher_forcing.model(PLAIN['v1.1'])
  _, adapted = teacher_forcing.model(PAWA['v1.1'])
  weights.save_model(tmp_path / 'plain', PLAIN['v1.1'], plain)
  weights.save_model(tmp_path / 'adapted', PAWA['v1.1'], adapted)
  _, params, _ = fresh('v1.1')
  found = checkpoints.load_params_like(tmp_path / 'plain', params)
  expected = {**plain, **{name: params[name] for name in pawa.PARAMETERS}}
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  found = checkpoints.load_params_like(tmp_path / 'adapted', params)
  jax.tree.map(np.testing.assert_array_equal, found, adapted)
  with pytest.raises(ValueError, match='of the shapes of the model'):
    checkpoints.load_params_like(tmp_path / 'adapted', plain)


def test_new_tokens_are_not_adapted():
  module, params = teacher_forcing.model(PAWA['v1.1'])
  config, grown = weights.extend_vocabulary(
    params, module.config, V + 3, jax.random.key(0)
  )
  kernel = grown['prefix_map']['kernel']
  np.testing.assert_array_equal(
    kernel[..., : V - FIRST], params['prefix_map']['kernel']
  )
  assert not np.any(kernel[..., V - FIRST :])
  flat = flax.traverse_util.flatten_dict(grown, sep='/')
  assert {k: v.shape for k, v in flat.items()} == {
    k: v.shape for k, v in shapes_of(config)[0].items()
  }


def test_any_model_can_have_it():
  module = t5.with_pawa(
    t5.Transformer(PLAIN['v1.1']), first_token=FIRST, num_layers=2
  )
  assert module.config == PAWA['v1.1']
  with pytest.raises(ValueError, match='num_layers of at least 1, got 0; for'):
    t5.with_pawa(module, first_token=FIRST, num_layers=0)
  with pytest.raises(ValueError, match='below vocab_size=24, got 24; give'):
    t5.with_pawa(module, first_token=V)
