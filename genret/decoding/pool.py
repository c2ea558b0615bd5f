# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The pool of finished answers of a beam search."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from genret.decoding.scores import top_k


class Pool(NamedTuple):
  """Finished answers, best first; key_BxK is -inf where there is none."""

  tokens_BxKxL: jax.Array
  key_BxK: jax.Array
  lengths_BxK: jax.Array


def empty_pool(batch_size: int, num_beams: int, max_length: int) -> Pool:
  """A pool without answers."""
  shape = (batch_size, num_beams)
  return Pool(
    jnp.zeros((*shape, max_length), jnp.int32),
    jnp.full(shape, -jnp.inf, jnp.float32),
    jnp.zeros(shape, jnp.int32),
  )


def add_answers(
  pool: Pool,
  tokens_BxKxL: jax.Array,
  key_BxK: jax.Array,
  length: jax.Array | int,
) -> Pool:
  """Keeps the best K of the pool and of new answers; of equals the earlier.

  Args:
    pool: the answers so far.
    tokens_BxKxL: new ones, all of this length.
    key_BxK: their keys, -inf for what is no answer.
    length: a scalar.
  """
  keys = jnp.concatenate([pool.key_BxK, key_BxK], axis=1)
  tokens = jnp.concatenate([pool.tokens_BxKxL, tokens_BxKxL], axis=1)
  new_lengths = jnp.full_like(pool.lengths_BxK, length)
  lengths = jnp.concatenate([pool.lengths_BxK, new_lengths], axis=1)
  best_BxK, index_BxK = top_k(keys, key_BxK.shape[1])
  return Pool(
    jnp.take_along_axis(tokens, index_BxK[..., None], axis=1),
    best_BxK,
    jnp.take_along_axis(lengths, index_BxK, axis=1),
  )
