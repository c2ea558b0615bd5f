# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genret import fairseq_optimizer

pytestmark = pytest.mark.optax


def updates(gradient, param, count, **options):
  """What a parameter is changed by at each step, for one gradient."""
  optimizer = fairseq_optimizer.clipped_adamw(
    learning_rate=0.1, train_steps=10, warmup_steps=4, **options
  )
  params = {'x': jnp.full(4, param)}
  state, found = optimizer.init(params), []
  for _ in range(count):
    update, state = optimizer.update(
      {'x': jnp.full(4, gradient)}, state, params
    )
    found.append(float(update['x'][0]))
  return np.array(found)


def test_the_rate_rises_and_falls_in_lines():
  # Adam changes a parameter by the rate where the gradient stays the same.
  rates = -updates(0.01, 0.0, 11)
  rising, falling = np.arange(4) / 4, 1 - np.arange(7) / 6
  expected = 0.1 * np.concatenate([rising, falling])
  np.testing.assert_allclose(rates, expected, atol=1e-6)


def test_weights_decay_with_the_rate():
  plain = updates(0.01, 0.0, 6)
  decayed = updates(0.01, 2.0, 6, weight_decay=0.5)
  rates = -plain
  np.testing.assert_allclose(decayed, plain - rates * 0.5 * 2.0, atol=1e-6)


def test_gradients_are_clipped_by_their_norm():
  optimizer = fairseq_optimizer.clipped_adamw(
    learning_rate=1.0, train_steps=2, warmup_steps=0, clip_norm=0.1
  )
  params = {'x': jnp.zeros(2), 'y': jnp.zeros(2)}
  _, state = optimizer.update(
    {'x': jnp.array([3.0, 0.0]), 'y': jnp.array([0.0, 4.0])},
    optimizer.init(params),
    params,
  )
  moments = optax.tree_utils.tree_get(state, 'mu')
  np.testing.assert_allclose(moments['x'], [0.1 * 0.1 * 0.6, 0], rtol=1e-5)
  np.testing.assert_allclose(moments['y'], [0, 0.1 * 0.1 * 0.8], rtol=1e-5)


def test_a_warm_up_longer_than_the_training():
  with pytest.raises(ValueError, match='from 0 to train_steps=3, got 4'):
    fairseq_optimizer.clipped_adamw(
      learning_rate=1.0, train_steps=3, warmup_steps=4
    )
