# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One vector of a text from the states of T5's encoder.

Their mean over the tokens, of unit length: the Sentence-T5 of Ni et al. (Findings
of ACL 2022) without its projection.
"""

from typing import Any

import jax
import jax.numpy as jnp

from genret.models.t5 import Transformer

# Of squared lengths; shorter vectors are taken for 0, which has no direction.
_TINY = 1e-18


def unit_vectors(
  module: Transformer,
  params: Any,
  token_BxT: jax.Array,
  dropout_key: jax.Array | None = None,
) -> jax.Array:
  """Vectors of texts, float32 [B, E], of unit length.

  Args:
    module: the model.
    params: its parameters.
    token_BxT: int32, padded with 0; rows of padding alone give 0.
    dropout_key: of the dropout of training; None for none.
  """
  state_BxTxE: Any = module.apply(
    {'params': params},
    token_BxT,
    enable_dropout=dropout_key is not None,
    rngs=None if dropout_key is None else {'dropout': dropout_key},
    method='encode',
  )
  real_BxTx1 = (token_BxT > 0)[..., None]
  sum_BxE = jnp.where(real_BxTx1, state_BxTxE.astype(jnp.float32), 0.0).sum(1)
  mean_BxE = sum_BxE / jnp.maximum(real_BxTx1.sum(1), 1).astype(jnp.float32)
  square_Bx1 = jnp.square(mean_BxE).sum(1, keepdims=True)
  return mean_BxE * jax.lax.rsqrt(jnp.maximum(square_Bx1, _TINY))
