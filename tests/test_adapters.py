# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Adapters against their formula and the plain T5 they start as; training them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import teacher_forcing
import tiny
from flax import traverse_util
from test_pawa import draw_tokens, logits_of, shapes_of, shift, stepwise

from genret import objectives, path_optimizer
from genret.models import adapters, checkpoints, t5, weights
from genret.train_step import make_step

V, B, T, L, A = 24, 2, 6, 4, 5
PLAIN = {
  'v1.1': tiny.config(V),
  'v1.0': tiny.config(V, mlp_activations=('relu',), logits_via_embedding=True),
}
ADAPTED = {name: PLAIN[name].replace(adapter_dim=A) for name in PLAIN}
names = pytest.mark.parametrize('name', PLAIN)


def flatten(tree):
  return traverse_util.flatten_dict(tree)


def parts_of(params):
  """What is an adapter's and what is not, both by path."""
  flat = flatten(params)
  mine = {k: v for k, v in flat.items() if adapters.is_adapters(k)}
  return mine, {k: v for k, v in flat.items() if k not in mine}


def fresh(name):
  """A model whose adapters are as they start, and the plain parameters in it."""
  module, params = teacher_forcing.model(ADAPTED[name])
  mine, plain = parts_of(params)
  mine = {k: 0 * v if 'up' in k else v for k, v in mine.items()}
  whole = traverse_util.unflatten_dict(plain | mine)
  return module, whole, traverse_util.unflatten_dict(plain)


@names
def test_a_fresh_model_is_the_plain_one(name):
  module, params, plain = fresh(name)
  tokens = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  found = logits_of(module, params, *tokens)
  expected = logits_of(t5.Transformer(PLAIN[name]), plain, *tokens)
  np.testing.assert_array_equal(found, expected)


def test_an_adapter_is_its_formula_and_starts_at_nothing():
  module = adapters.Adapter(3, jnp.float32)
  x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
  params = module.init(jax.random.key(0), x)['params']
  assert not np.any(params['up']['kernel'])
  assert np.all(params['down']['kernel'])
  np.testing.assert_array_equal(module.apply({'params': params}, x), x)
  up = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
  params = {**params, 'up': {'kernel': up}}
  hidden = np.maximum(np.float64(x) @ params['down']['kernel'], 0)
  assert (hidden == 0).any()
  np.testing.assert_allclose(
    module.apply({'params': params}, x), x + hidden @ up, rtol=1e-5, atol=1e-5
  )


@names
def test_they_are_behind_the_feed_forward_blocks(name):
  """With relu(y) - relu(-y) = y an adapter is a matrix, to multiply wo by."""
  width = PLAIN[name].emb_dim
  module, params = teacher_forcing.model(
    PLAIN[name].replace(adapter_dim=2 * width)
  )
  rng = np.random.default_rng(0)
  mine, plain = parts_of(params)
  for path in [path for path in mine if 'up' in path]:
    matrix = rng.normal(0, width**-0.5, (width, width)).astype(np.float32)
    layer, eye = path[:-3], np.eye(width, dtype=np.float32)
    mine[(*layer, 'adapter', 'down', 'kernel')] = np.hstack([eye, -eye])
    mine[(*layer, 'adapter', 'up', 'kernel')] = np.vstack([matrix, -matrix])
    wo = (*layer, 'mlp', 'wo', 'kernel')
    folded = np.float64(params[layer[0]][layer[1]]['mlp']['wo']['kernel'])
    mine[wo] = plain[wo]
    plain[wo] = np.float32(folded @ (eye + matrix))
  tokens = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  found = logits_of(module, traverse_util.unflatten_dict(plain | mine), *tokens)
  expected = logits_of(
    t5.Transformer(PLAIN[name]), traverse_util.unflatten_dict(plain), *tokens
  )
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_plain_model_has_nothing_of_them():
  plain = shapes_of(PLAIN['v1.1'])[0]
  params, axes = shapes_of(ADAPTED['v1.1'])
  assert all(params[path] == leaf for path, leaf in plain.items())
  assert params.keys() - plain.keys() == {
    f'{stack}/layers_0/adapter/{way}/kernel'
    for stack in ('encoder', 'decoder')
    for way in ('down', 'up')
  }
  for path in params.keys() - plain.keys():
    found = axes[f'{path}_axes'].names
    assert len(found) == params[path].ndim == len(set(found)), path
  # The prefix decoder of PAWA has none.
  both = ADAPTED['v1.1'].replace(pawa_layers=1, pawa_first_token=9)
  found = {p for p in shapes_of(both)[0] if adapters.is_adapters(p.split('/'))}
  assert found == params.keys() - plain.keys()


def test_steps_equal_the_whole_pass():
  module, params = teacher_forcing.model(ADAPTED['v1.1'])
  encoder, targets = draw_tokens(0, (B, T)), draw_tokens(1, (B, L))
  whole = logits_of(module, params, encoder, targets)
  order_LxN = np.tile(np.arange(B), (L, 1))
  found = stepwise(module, params, encoder, shift(targets).T, order_LxN)
  np.testing.assert_allclose(found.swapaxes(0, 1), whole, atol=1e-3)
  _, plain = parts_of(params)
  plain = traverse_util.unflatten_dict(plain)
  other = logits_of(t5.Transformer(PLAIN['v1.1']), plain, encoder, targets)
  assert np.abs(other - whole).max() > 0.1


def test_a_model_starts_from_any_plainer_one(tmp_path):
  pawa = {'pawa_layers': 1, 'pawa_first_token': 9}
  configs = {
    'plain': PLAIN['v1.1'],
    'adapters': ADAPTED['v1.1'],
    'pawa': PLAIN['v1.1'].replace(**pawa),
    'both': ADAPTED['v1.1'].replace(**pawa),
  }
  saved = {name: teacher_forcing.model(of)[1] for name, of in configs.items()}
  for name, params in saved.items():
    weights.save_model(tmp_path / name, configs[name], params)
    config, again = checkpoints.load_model(tmp_path / name)
    assert config == configs[name]
    jax.tree.map(np.testing.assert_array_equal, again, params)
  for source, target in (
    ('plain', 'adapters'),
    ('adapters', 'adapters'),
    ('plain', 'both'),
    ('pawa', 'both'),
    ('adapters', 'both'),
  ):
    old, start = flatten(saved[source]), flatten(saved[target])
    start = {path: leaf + 1 for path, leaf in start.items()}
    found = checkpoints.load_params_like(
      tmp_path / source, traverse_util.unflatten_dict(start)
    )
    expected = traverse_util.unflatten_dict(start | old)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
  for source, target in (('adapters', 'plain'), ('both', 'adapters')):
    with pytest.raises(ValueError, match='of the shapes of the model'):
      checkpoints.load_params_like(tmp_path / source, saved[target])
  wider = teacher_forcing.model(PLAIN['v1.1'].replace(adapter_dim=A + 1))[1]
  with pytest.raises(ValueError, match='of the shapes of the model'):
    checkpoints.load_params_like(tmp_path / 'adapters', wider)


def test_any_model_can_have_them():
  module = t5.with_adapters(t5.Transformer(PLAIN['v1.1']), adapter_dim=A)
  assert module.config == ADAPTED['v1.1']
  with pytest.raises(ValueError, match='adapter_dim of at least 1, got 0; for'):
    t5.with_adapters(module, adapter_dim=0)
  with pytest.raises(ValueError, match='adapter_dim of at least 0, got -1'):
    tiny.config(V, adapter_dim=-1)


@pytest.mark.optax
def test_training_them_changes_no_bit_of_the_backbone():
  module, params, _ = fresh('v1.1')
  params = jax.tree.map(np.array, params)
  params['encoder']['encoder_norm']['scale'][:2] = -0.0, 0.0
  before = jax.tree.map(np.array, params)
  # Decay and momentum would move what has no gradient, too.
  optimizer = path_optimizer.only(
    optax.adamw(1e-2, weight_decay=0.5), name=adapters.NAME
  )
  step_fn = make_step(module, optimizer, objectives.CrossEntropy())
  target = draw_tokens(1, (B, L))
  batch = {
    'encoder_input_tokens': draw_tokens(0, (B, T)),
    'decoder_input_tokens': shift(target),
    'decoder_target_tokens': target,
    'decoder_loss_weights': np.ones((B, L), np.float32),
  }
  state = jax.tree.map(jnp.asarray, (params, optimizer.init(params)))
  losses = []
  for step in range(3):
    state, found = step_fn(state, batch, jax.random.key(step))
    losses.append(float(found.loss))
    mine, others = parts_of(jax.tree.map(np.asarray, state[0]))
    old_mine, old_others = parts_of(before)
    for path, leaf in others.items():
      assert leaf.tobytes() == old_others[path].tobytes(), path
    moved = {path for path in mine if np.any(mine[path] != old_mine[path])}
    assert {path for path in mine if 'up' in path} <= moved
  assert moved == mine.keys()
  assert losses[2] < losses[0]
  # Two moments of the adapters, and counts.
  held = sum(leaf.size for leaf in jax.tree.leaves(state[1]) if leaf.ndim)
  assert held == 2 * sum(leaf.size for leaf in mine.values())
  assert held < 0.1 * sum(leaf.size for leaf in others.values())
