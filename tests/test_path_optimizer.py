# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Every parameter is changed as its own optimizer changes it alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from genret.models import checkpoints
from genret.path_optimizer import by_path, only

pytestmark = pytest.mark.optax

PARAMS = {
  'encoder': {'layers_0': {'x': jnp.ones(3)}, 'norm': jnp.full(2, 2.0)},
  'encoder_b': jnp.full(2, 3.0),
  'decoder': {'layers_0': {'x': jnp.full(2, -1.0)}},
}


def pick_flat(tree, keys):
  """Some leaves by their paths."""
  flat = traverse_util.flatten_dict(tree, sep='/')
  return {key: flat[key] for key in keys}


FLAT = traverse_util.flatten_dict(PARAMS, sep='/')


def run(optimizer, params, pick=lambda tree: tree, steps=3):
  """Parameters after a few gradients, of which `pick` takes a part."""
  params, state = pick(params), optimizer.init(pick(params))
  for step in range(steps):
    grads = jax.tree.map(lambda x, step=step: x * (step - 0.5), PARAMS)
    updates, state = optimizer.update(pick(grads), state, params)
    params = optax.apply_updates(params, updates)
  return params


def test_each_path_has_its_own():
  optimizers = {
    'encoder': optax.adamw(2e-4, weight_decay=1e-4),
    'encoder/layers_0': optax.sgd(0.5),
    '': optax.adamw(1e-4, weight_decay=1e-4),
  }
  found = run(by_path(optimizers), PARAMS)
  parts = {
    '': lambda tree: [tree['encoder_b'], tree['decoder']],
    'encoder': lambda tree: tree['encoder']['norm'],
    'encoder/layers_0': lambda tree: tree['encoder']['layers_0'],
  }
  for path, pick in parts.items():
    expected = run(optimizers[path], PARAMS, pick)
    jax.tree.map(np.testing.assert_array_equal, pick(found), expected)
  moved = [
    np.abs(pick(found) - pick(PARAMS)).max()
    for pick in (lambda t: t['encoder']['norm'], lambda t: t['encoder_b'])
  ]
  assert moved[0] == pytest.approx(2 * moved[1], rel=0.1)


def test_a_clip_sees_its_own_part():
  clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
  optimizer = by_path({'encoder_b': clipped, '': optax.sgd(0.0)})
  params = run(optimizer, PARAMS, steps=1)
  np.testing.assert_allclose(
    params['encoder_b'] - PARAMS['encoder_b'], np.full(2, 0.5**0.5), rtol=1e-5
  )


def test_a_parameter_without_optimizer_is_named():
  optimizer = by_path({'encoder': optax.sgd(1.0), 'encoder_b': optax.sgd(1.0)})
  with pytest.raises(
    ValueError,
    match="for decoder/layers_0/x, got those of 'encoder', 'encoder_b'; give",
  ):
    optimizer.init(PARAMS)


def test_a_path_that_holds_nothing_is_named():
  optimizer = by_path({'encodr': optax.sgd(1.0), '': optax.sgd(1.0)})
  with pytest.raises(
    ValueError, match="got 'encodr' that hold none; the model has decoder, enc"
  ):
    optimizer.init(PARAMS)
  whole = {'encoder': 0, 'encoder_b': 0, 'decoder': 0, '': 0}
  by_path({name: optax.sgd(1.0) for name in whole}).init(PARAMS)


def test_its_state_is_kept_in_checkpoints(tmp_path):
  optimizer = by_path({'encoder': optax.adam(1e-3), '': optax.adafactor(1e-3)})
  state = optimizer.init(PARAMS)
  _, after = optimizer.update(PARAMS, state, PARAMS)
  with checkpoints.checkpoint_manager(tmp_path) as manager:
    checkpoints.save_step(manager, 1, PARAMS, after)
    manager.wait_until_finished()
    _, found = checkpoints.restore_step(manager, 1, PARAMS, state)
  assert jax.tree.structure(found) == jax.tree.structure(after)
  jax.tree.map(np.testing.assert_array_equal, found, after)
  assert any(
    np.any(a != b)
    for a, b in zip(*map(jax.tree.leaves, (state, after)), strict=True)
  )


@pytest.mark.parametrize('name', ['x', 'layers_0', 'encoder'])
def test_only_a_name_is_trained(name):
  inner = optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(1e-2))
  found = run(only(inner, name=name), PARAMS)
  paths = [path.split('/') for path in FLAT]
  mine = {
    key: FLAT[key]
    for key, path in zip(FLAT, paths, strict=True)
    if name in path
  }
  assert 0 < len(mine) < len(FLAT)
  expected = run(inner, PARAMS, lambda tree: pick_flat(tree, mine))
  for key, leaf in pick_flat(found, FLAT).items():
    np.testing.assert_array_equal(leaf, expected.get(key, FLAT[key]))
  for key in mine:
    assert np.any(expected[key] != FLAT[key])


def test_nothing_of_the_name_is_an_error():
  with pytest.raises(
    ValueError, match="named 'encode' to train, the model has"
  ):
    only(optax.sgd(1.0), name='encode').init(PARAMS)


def test_what_is_frozen_changes_no_bit():
  params = {'a': jnp.array([-0.0, 0.0, 1.0]), 'b': jnp.ones(2)}
  optimizer = only(optax.adamw(1.0), name='b')
  state = optimizer.init(params)
  updates, _ = optimizer.update(params, state, params)
  found = optax.apply_updates(params, updates)
  assert np.asarray(found['a']).tobytes() == np.asarray(params['a']).tobytes()
  assert np.all(found['b'] < 1)
  held = [leaf.shape for leaf in jax.tree.leaves(state) if leaf.ndim]
  assert held == [(2,), (2,)]
