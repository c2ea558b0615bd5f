# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Optax's optimizers for T5X: the same updates, states that it can place."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from genret.t5x_optimizer import FactoredMoments, placeable

pytestmark = pytest.mark.optax

# optax factors matrices of at least 128 x 128.
PARAMS = {'kernel': jnp.ones((130, 140)), 'scale': jnp.ones(8)}
OPTIMIZERS = {
  'adafactor': functools.partial(optax.adafactor, 1e-2),
  'multi_step': lambda: optax.MultiSteps(
    optax.adafactor(1e-2), 2
  ).gradient_transformation(),
  'adamw': functools.partial(optax.adamw, 1e-2),
}


def run(optimizer, steps=3):
  params, state = PARAMS, jax.jit(optimizer.init)(PARAMS)
  update = jax.jit(optimizer.update)
  for step in range(steps):
    grads = jax.tree.map(
      lambda x, step=step: jax.random.normal(jax.random.key(step), x.shape),
      params,
    )
    updates, state = update(grads, state, params)
    params = optax.apply_updates(params, updates)
  return params, state


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_same_updates_and_moments(name):
  optimizer = OPTIMIZERS[name]()
  expected, expected_state = run(optimizer)
  params, state = run(placeable(optimizer))
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  assert (params['kernel'] != PARAMS['kernel']).any()
  fresh = placeable(optimizer).init(PARAMS)
  assert jax.tree.structure(state) == jax.tree.structure(fresh)
  for found, wanted in zip(
    jax.tree.leaves(state), jax.tree.leaves(expected_state), strict=True
  ):
    np.testing.assert_array_equal(found, wanted)


def test_a_sum_over_parts_is_their_mean():
  """By plain descent, whose steps have the scale of the gradients."""
  grads = jax.tree.map(lambda x: 3 * x, PARAMS)
  sgd = optax.sgd(0.5)
  state = sgd.init(PARAMS)
  expected, _ = sgd.update(PARAMS, state)
  updates, _ = placeable(sgd, microbatches=3).update(grads, state)
  jax.tree.map(np.testing.assert_allclose, updates, expected)
  with pytest.raises(ValueError, match='of at least 1, got 0'):
    placeable(sgd, microbatches=0)


def test_factored_moments_alone_change_their_type():
  def is_factored(node):
    return isinstance(node, optax.FactoredState | FactoredMoments)

  state = placeable(optax.adafactor(1e-2)).init(PARAMS)
  types = [
    type(node)
    for node in jax.tree.leaves(state, is_leaf=is_factored)
    if is_factored(node)
  ]
  assert types == [FactoredMoments]
  adam = optax.adam(1e-2)
  assert jax.tree.structure(placeable(adam).init(PARAMS)) == (
    jax.tree.structure(adam.init(PARAMS))
  )


@pytest.mark.t5x
@pytest.mark.parametrize('name', ['adafactor', 'adamw'])
def test_t5x_places_the_state(name):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    why = 'T5X is not installed (it is on no package index)'
    pytest.importorskip('t5x', reason=why)
    from t5x import optimizers
  wrapped = optimizers.OptaxWrapper(placeable(OPTIMIZERS[name]()))
  axes = {'kernel': PartitionSpec('embed', 'mlp'), 'scale': PartitionSpec()}
  placed = wrapped.derive_logical_axes(wrapped.create(PARAMS), axes)
  assert placed.target == axes
  first = placed.state.param_states[0]
  if name == 'adamw':
    assert first.mu == axes
  else:
    assert first.v_row == {'kernel': None, 'scale': None}
    plain = optimizers.OptaxWrapper(OPTIMIZERS[name]())
    with pytest.raises(ValueError, match='unregistered optax state'):
      plain.derive_logical_axes(plain.create(PARAMS), axes)
