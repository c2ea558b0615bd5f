# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Training in less memory: layers computed twice, activations in bfloat16."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from genret.models import checkpoints
from genret.objectives import CrossEntropy

VOCAB, BATCH, INPUTS, TARGETS = 64, 4, 24, 8
POLICIES = ('none', 'minimal', 'full')


def batch():
  rng = np.random.default_rng(0)
  target_BxL = rng.integers(2, VOCAB, (BATCH, TARGETS)).astype(np.int32)
  return {
    'encoder_input_tokens': rng.integers(2, VOCAB, (BATCH, INPUTS)),
    'decoder_input_tokens': np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
    'decoder_target_tokens': target_BxL,
    'decoder_loss_weights': np.ones_like(target_BxL),
  }


def mean_loss(module, params):
  losses = CrossEntropy()(module, params, batch(), jax.random.key(2))
  return losses.loss / losses.weight


def model(layers=1, **changes):
  sizes = {'num_encoder_layers': layers, 'num_decoder_layers': layers}
  return tiny.model(VOCAB, dropout_rate=0.2, **sizes, **changes)


def kept_bytes(module, params):
  """What the forward pass leaves for the gradients, parameters included.

  Of the program as it is written: on CPUs, XLA undoes what is computed twice.
  """

  def backward(params):
    return jax.vjp(functools.partial(mean_loss, module), params)[1]

  kept = jax.tree.leaves(jax.eval_shape(backward, params))
  return sum(
    x.size * x.dtype.itemsize
    for x in kept
    if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
  )


def test_less_is_kept_and_nothing_else_changes():
  kept, found = {}, {}
  for policy in POLICIES:
    kept[policy] = kept_bytes(*model(3, remat_policy=policy))
    module, params = model(remat_policy=policy)
    found[policy] = jax.jit(
      jax.value_and_grad(functools.partial(mean_loss, module))
    )(params)
  assert kept['full'] < kept['minimal'] / 1.5
  assert kept['minimal'] < kept['none'] / 2
  for policy in POLICIES[1:]:
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      found[policy],
      found['none'],
    )


def test_layers_are_computed_again_in_the_gradients():
  def products(policy):
    module, params = model(remat_policy=policy)
    grad = jax.grad(functools.partial(mean_loss, module))
    return jax.jit(grad).lower(params).as_text().count('dot_general')

  none, minimal, full = map(products, POLICIES)
  assert none < minimal < full


def test_a_policy_is_of_no_file_and_an_unknown_one_refused(tmp_path):
  module, _ = model(remat_policy='full')
  checkpoints.save_config(tmp_path, module.config)
  assert checkpoints.load_config(tmp_path).remat_policy == 'none'
  again = checkpoints.load_config(
    tmp_path, dtype='bfloat16', remat_policy='full'
  )
  assert again == module.config.replace(dtype=jnp.dtype('bfloat16'))
  with pytest.raises(ValueError, match="of none, minimal, full, got 'some'"):
    tiny.config(VOCAB, remat_policy='some')


def test_bfloat16_is_of_activations_alone():
  """Parameters, gradients, logits and the loss are float32."""
  exact, params = model()
  half, initial = model(dtype='bfloat16')
  assert {x.dtype for x in jax.tree.leaves(initial)} == {np.dtype('float32')}
  rows = batch()
  tokens = [
    rows[name]
    for name in (
      'encoder_input_tokens',
      'decoder_input_tokens',
      'decoder_target_tokens',
    )
  ]
  logits, state = jax.eval_shape(
    lambda: half.apply(
      {'params': params},
      *tokens,
      enable_dropout=False,
      capture_intermediates=True,
      mutable=['intermediates'],
    )
  )
  assert logits.dtype == jnp.float32
  inner = state['intermediates']
  for stack in ('encoder', 'decoder'):
    (output,) = inner[stack]['layers_0']['__call__']
    assert output.dtype == jnp.bfloat16
  (expected, grads), (loss, half_grads) = (
    jax.jit(jax.value_and_grad(functools.partial(mean_loss, module)))(params)
    for module in (exact, half)
  )
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, expected, rtol=1e-2)
  assert loss != expected
  for half_grad, grad in zip(
    jax.tree.leaves(half_grads), jax.tree.leaves(grads), strict=True
  ):
    assert half_grad.dtype == jnp.float32
    # In the same direction; entries differ by bfloat16's 8 bits and what adds up.
    cosine = (half_grad * grad).sum() / (
      jnp.linalg.norm(half_grad) * jnp.linalg.norm(grad)
    )
    assert cosine > 0.99
