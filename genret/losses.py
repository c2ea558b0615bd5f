# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Training losses: T5X's, without its [batch, length, vocabulary] targets.

And that of dual encoders, over the texts of a batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class TokenLosses(NamedTuple):
  """Sums over what a batch has to predict, float32 scalars.

  That is its target tokens; of a dual encoder, its pairs.
  """

  loss: jax.Array  # cross-entropy plus z-loss, in nats
  correct: jax.Array  # tokens whose target has the highest logit
  weight: jax.Array  # tokens counted


def token_losses(
  logits_BxLxV: jax.Array,
  target_BxL: jax.Array,
  weight_BxL: jax.Array,
  *,
  label_smoothing: float = 0.0,
  z_loss: float = 0.0,
) -> TokenLosses:
  """Cross-entropy with label smoothing and z-loss, as T5X computes them.

  With smoothing s the target distribution puts 1 - s on the target and
  s / (V - 1) on every other token; its entropy is subtracted, so that a
  perfect model has loss 0. The z-loss is z_loss * log(Z)^2, Z the partition
  function (Shazeer et al., Mesh TensorFlow; T5X's `losses.py`).

  Args:
    logits_BxLxV: any float type; computed in float32.
    target_BxL: token ids.
    weight_BxL: of each token; 0 leaves it out.
    label_smoothing: s in [0, 1).
    z_loss: the coefficient.
  """
  logits_BxLxV = logits_BxLxV.astype(jnp.float32)
  weight_BxL = weight_BxL.astype(jnp.float32)
  vocab_size = logits_BxLxV.shape[-1]
  log_z_BxL = jax.nn.logsumexp(logits_BxLxV, axis=-1)
  target_logit_BxL = jnp.take_along_axis(
    logits_BxLxV, target_BxL[..., None], axis=-1
  )[..., 0]
  loss_BxL = log_z_BxL - target_logit_BxL
  if label_smoothing:
    high = 1.0 - label_smoothing
    low = label_smoothing / (vocab_size - 1)
    entropy = -(
      high * np.log(high) + (vocab_size - 1) * low * np.log(low + 1e-20)
    )
    others_BxL = (
      vocab_size * log_z_BxL - logits_BxLxV.sum(-1)
    ) - loss_BxL  # -sum of the other tokens' log-probabilities
    loss_BxL = high * loss_BxL + low * others_BxL - entropy
  loss_BxL = loss_BxL + z_loss * jnp.square(log_z_BxL)
  correct_BxL = (jnp.argmax(logits_BxLxV, -1) == target_BxL).astype(jnp.float32)
  return TokenLosses(
    loss=(loss_BxL * weight_BxL).sum(),
    correct=(correct_BxL * weight_BxL).sum(),
    weight=weight_BxL.sum(),
  )


def symmetric_kl(
  logits_BxLxV: jax.Array, other_BxLxV: jax.Array, weight_BxL: jax.Array
) -> jax.Array:
  """How far two predictions are apart: [KL(p||q) + KL(q||p)] / 2, summed.

  That is sum (p - q) (log p - log q) / 2, of which no term is negative. It never
  divides, nor takes the logarithm of a probability: a token that is out of the
  question in both adds 0.

  Args:
    logits_BxLxV: of p, any float type; computed in float32.
    other_BxLxV: of q.
    weight_BxL: of each token; 0 leaves it out.

  Returns:
    The sum over tokens, in nats, a float32 scalar.
  """
  log_p, log_q = (
    jax.nn.log_softmax(x.astype(jnp.float32))
    for x in (logits_BxLxV, other_BxLxV)
  )
  apart_BxL = ((jnp.exp(log_p) - jnp.exp(log_q)) * (log_p - log_q)).sum(-1) / 2
  return (apart_BxL * weight_BxL.astype(jnp.float32)).sum()


def in_batch_losses(
  logits_BxB: jax.Array, same_BxB: jax.Array, weight_B: jax.Array
) -> TokenLosses:
  """Cross-entropy of each row's own column among the columns of the batch.

  Args:
    logits_BxB: of query i and document j, float32.
    same_BxB: whether columns i and j are one document: no negative of each other.
    weight_B: of each pair; one of 0 counts neither as a row nor as a column.
  """
  number = logits_BxB.shape[0]
  weight_B = weight_B.astype(jnp.float32)
  own_BxB = jnp.eye(number, dtype=bool)
  ignored_BxB = ~own_BxB & (same_BxB | (weight_B <= 0)[None, :])
  logits_BxB = jnp.where(ignored_BxB, -jnp.inf, logits_BxB)
  loss_B = jax.nn.logsumexp(logits_BxB, axis=-1) - jnp.diagonal(logits_BxB)
  correct_B = (jnp.argmax(logits_BxB, -1) == jnp.arange(number)).astype(
    jnp.float32
  )
  return TokenLosses(
    loss=(loss_B * weight_B).sum(),
    correct=(correct_B * weight_B).sum(),
    weight=weight_B.sum(),
  )
