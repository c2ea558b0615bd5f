# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The training step: a batch in parts gives the update of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from genret.objectives import CrossEntropy, InBatchSoftmax
from genret.train_step import make_step

pytestmark = pytest.mark.optax

RATE = 0.5


def batch_of(lengths, *, vocab_size=32):
  """Random texts; each target has a length of its own, 0 included."""
  rng = np.random.default_rng(0)
  number, longest = len(lengths), max(lengths)
  target_BxL = rng.integers(2, vocab_size, (number, longest))
  weight_BxL = np.arange(longest) < np.array(lengths)[:, None]
  target_BxL = np.where(weight_BxL, target_BxL, 0)
  return {
    'encoder_input_tokens': rng.integers(2, vocab_size, (number, 5)),
    'decoder_input_tokens': np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
    'decoder_target_tokens': target_BxL,
    'decoder_loss_weights': weight_BxL.astype(np.int32),
  }


def test_parts_give_the_update_of_the_whole():
  """Lengths differ between parts: a mean of their means is another update."""
  module, params = tiny.model(32)
  objective = CrossEntropy(label_smoothing=0.1)
  batch = batch_of([1, 9, 2, 0, 1, 8, 1, 2])
  key = jax.random.key(0)

  def mean(params):  # over tokens, written out
    losses = objective(module, params, batch, key)
    return losses.loss / 24, losses.loss

  grads, loss = jax.jit(jax.grad(mean, has_aux=True))(params)
  expected = jax.tree.map(lambda p, g: p - RATE * g, params, grads)
  optimizer = optax.sgd(RATE)
  for microbatches in (1, 4):
    step = make_step(module, optimizer, objective, microbatches=microbatches)
    state = (jax.tree.map(jnp.copy, params), optimizer.init(params))
    (found, _), losses = step(state, batch, key)
    np.testing.assert_allclose(losses.loss, loss, rtol=1e-5)
    assert losses.weight == 24
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      found,
      expected,
    )


def test_dropout_of_the_parts_differs():
  """Equal examples in equal parts: equal losses were the same dropout twice."""
  module, params = tiny.model(32, dropout_rate=0.5)
  rows = batch_of([4])
  batch = {name: np.repeat(x, 2, 0) for name, x in rows.items()}
  optimizer = optax.sgd(RATE)
  key = jax.random.key(0)
  step = make_step(module, optimizer, CrossEntropy(), microbatches=2)
  state = (jax.tree.map(jnp.copy, params), optimizer.init(params))
  _, losses = step(state, batch, key)
  loss_of = jax.jit(lambda part: CrossEntropy()(module, params, rows, part))
  singles = [loss_of(part).loss for part in jax.random.split(key)]
  assert abs(singles[0] - singles[1]) > 1e-3
  np.testing.assert_allclose(losses.loss, sum(singles), rtol=1e-5)


def test_what_cannot_be_split_is_refused():
  module, _ = tiny.model(32)
  with pytest.raises(ValueError, match='microbatches=1 with InBatchSoftmax,'):
    make_step(module, optax.sgd(RATE), InBatchSoftmax(), microbatches=2)
  make_step(module, optax.sgd(RATE), InBatchSoftmax())
  with pytest.raises(ValueError, match='of at least 1, got 0'):
    make_step(module, optax.sgd(RATE), CrossEntropy(), microbatches=0)
