# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The loss against T5X's formula, written out over one-hot targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.losses import (
  TokenLosses,
  in_batch_losses,
  symmetric_kl,
  token_losses,
)

B, L, V = 2, 3, 7


def dense_loss(logits_BxLxV, target_BxL, weight_BxL, smoothing, z_loss):
  """Cross-entropy with the whole target distribution, differentiable."""
  high, low = 1 - smoothing, smoothing / (V - 1)
  targets = jax.nn.one_hot(target_BxL, V) * (high - low) + low
  entropy = -(high * jnp.log(high) + (V - 1) * low * jnp.log(low + 1e-20))
  log_z = jnp.log(jnp.exp(logits_BxLxV).sum(-1, keepdims=True))
  loss = -(targets * (logits_BxLxV - log_z)).sum(-1) - entropy
  loss = loss + z_loss * log_z[..., 0] ** 2
  return (loss * weight_BxL).sum()


DENSE = jax.jit(jax.value_and_grad(dense_loss))
OURS = {
  (smoothing, z_loss): jax.jit(
    jax.value_and_grad(
      lambda *a, s=smoothing, z=z_loss: (
        (out := token_losses(*a, label_smoothing=s, z_loss=z)).loss,
        out,
      ),
      has_aux=True,
    )
  )
  for smoothing, z_loss in ((0.0, 0.0), (0.0, 1e-4), (0.1, 0.0), (0.5, 0.3))
}


def draw(seed, spread):
  rng = np.random.default_rng(seed)
  logits = (spread * rng.normal(size=(B, L, V))).astype(np.float32)
  target = rng.integers(0, V, (B, L)).astype(np.int32)
  weight = rng.choice([0, 1, 0.5, 2], (B, L)).astype(np.float32)
  return logits, target, weight


@settings(max_examples=25)
@given(
  st.integers(0, 99), st.sampled_from([0.01, 1, 8]), st.sampled_from(list(OURS))
)
def test_loss_and_gradient_are_those_of_one_hot_targets(seed, spread, options):
  logits, target, weight = draw(seed, spread)
  expected, expected_grad = DENSE(logits, target, weight, *options)
  (loss, out), grad = OURS[options](logits, target, weight)
  np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(grad, expected_grad, rtol=1e-4, atol=1e-5)
  right = logits.argmax(-1) == target
  np.testing.assert_allclose(out.correct, (right * weight).sum(), rtol=1e-6)
  np.testing.assert_allclose(out.weight, weight.sum(), rtol=1e-6)
  assert isinstance(out, TokenLosses)
  assert {x.dtype for x in out} == {np.dtype(np.float32)}


@pytest.mark.parametrize('options', OURS)
def test_tokens_without_weight_do_not_count(options):
  logits, target, _ = draw(0, 3.0)
  (loss, out), grad = OURS[options](logits, target, np.zeros((B, L), 'float32'))
  assert (float(loss), float(out.correct), float(out.weight)) == (0, 0, 0)
  assert not np.asarray(grad).any()
  # Nor does what they would have been.
  weight = np.ones((B, L), np.float32)
  weight[1] = 0
  changed = logits.copy()
  changed[1] = -99
  first, second = (
    OURS[options](x, target, weight)[0][0] for x in (logits, changed)
  )
  assert float(first) == float(second)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_a_perfect_model_has_no_loss(smoothing):
  _, target, weight = draw(1, 1.0)
  low = smoothing / (V - 1)
  ideal = np.where(np.eye(V)[target] > 0, 1 - smoothing, max(low, 1e-30))
  (loss, out), grad = OURS[smoothing, 0.0](
    np.log(ideal).astype(np.float32), target, weight
  )
  np.testing.assert_allclose(loss, 0, atol=1e-4)
  np.testing.assert_allclose(grad, 0, atol=1e-6)
  assert float(out.correct) == weight.sum()


def test_an_even_model_has_the_logarithm_of_the_vocabulary():
  _, target, _ = draw(2, 1.0)
  (loss, _), _ = OURS[0.0, 0.0](
    np.zeros((B, L, V), np.float32), target, np.ones((B, L), np.float32)
  )
  np.testing.assert_allclose(loss, B * L * np.log(V), rtol=1e-6)


def test_half_precision_is_computed_in_full():
  logits, target, weight = draw(3, 20.0)
  half = jnp.asarray(logits, jnp.bfloat16)
  out = token_losses(half, target, weight.astype(np.int32), z_loss=1e-4)
  full = np.asarray(half.astype(jnp.float32))
  whole = weight.astype(np.int32).astype(np.float32)
  expected, _ = DENSE(full, target, whole, 0.0, 1e-4)
  np.testing.assert_allclose(out.loss, expected, rtol=1e-5)
  assert out.loss.dtype == jnp.float32


IN_BATCH = jax.jit(
  jax.value_and_grad(
    lambda *arguments: in_batch_losses(*arguments)[:2], has_aux=True
  )
)


@settings(max_examples=40)
@given(
  seed=st.integers(0, 2**30),
  names=st.lists(st.integers(0, 3), min_size=4, max_size=4),
  weights=st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=4, max_size=4),
)
def test_a_pair_among_those_of_its_batch(seed, names, weights):
  logits = np.random.default_rng(seed).normal(0, 3, (4, 4))
  loss, correct, gradient = 0.0, 0.0, np.zeros((4, 4))
  for i in range(4):
    rivals = [
      j for j in range(4) if j == i or (names[j] != names[i] and weights[j])
    ]
    shares = np.exp(logits[i, rivals]) / np.exp(logits[i, rivals]).sum()
    loss -= weights[i] * np.log(shares[rivals.index(i)])
    correct += weights[i] * (logits[i, i] == logits[i, rivals].max())
    gradient[i, rivals] = weights[i] * shares
    gradient[i, i] -= weights[i]
  names = np.array(names)
  (found_loss, found_correct), found_gradient = IN_BATCH(
    jnp.asarray(logits, jnp.float32),
    jnp.asarray(names[:, None] == names[None]),
    jnp.asarray(weights, jnp.float32),
  )
  assert float(found_loss) == pytest.approx(loss, rel=1e-4, abs=1e-4)
  assert float(found_correct) == correct
  np.testing.assert_allclose(found_gradient, gradient, atol=1e-4)


KL = jax.jit(jax.value_and_grad(symmetric_kl, argnums=(0, 1)))


def plain_kl(p, q):
  """Of two distributions, term by term."""
  return sum(a * (np.log(a) - np.log(b)) for a, b in zip(p, q, strict=True))


@settings(max_examples=25)
@given(st.integers(0, 99), st.sampled_from([0.01, 1, 8]))
def test_two_predictions_are_apart_by_both_divergences(seed, spread):
  logits, _, weight = draw(seed, spread)
  other, _, _ = draw(seed + 100, spread)
  found, grads = KL(logits, other, weight)
  expected = 0.0
  for a, b, w in zip(
    logits.reshape(-1, V), other.reshape(-1, V), weight.ravel(), strict=True
  ):
    p, q = (np.exp(np.float64(x)) / np.exp(np.float64(x)).sum() for x in (a, b))
    expected += w * (plain_kl(p, q) + plain_kl(q, p)) / 2
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
  swapped, swapped_grads = KL(other, logits, weight)
  np.testing.assert_allclose(found, swapped, rtol=1e-6)
  np.testing.assert_allclose(grads[0], swapped_grads[1], rtol=1e-5, atol=1e-7)
  assert (np.abs(grads[0]).max(-1) > 0)[weight > 0].all()
  assert not np.any(np.where(weight[..., None] > 0, 0, grads[0]))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('spread', [0.0, 1.0, 1e4, 1e30])
def test_a_prediction_is_not_apart_from_itself_and_never_nan(spread, dtype):
  logits, _, weight = draw(0, spread)
  logits = jnp.asarray(logits, dtype)
  found, grads = KL(logits, logits, weight)
  assert float(found) == 0
  assert not any(np.any(x) for x in grads)
  found, grads = KL(logits, -logits, weight)
  assert np.isfinite(found)
  assert all(np.isfinite(x).all() for x in grads)
  assert (float(found) > 0) == (spread > 0)
  assert found.dtype == jnp.float32
