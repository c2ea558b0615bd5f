# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The documents whose vectors have the largest inner products with a query's.

Exact: every document is scored, in float32. A block of documents at a time, so
that no [queries, documents] table is needed.
"""

import functools

import jax
import jax.numpy as jnp

# Documents whose scores are held at a time, for each query.
_BLOCK = 4096


@functools.partial(jax.jit, static_argnames=('k', 'block'))
def top_documents(
  query_QxE: jax.Array, document_DxE: jax.Array, *, k: int, block: int = _BLOCK
) -> tuple[jax.Array, jax.Array]:
  """The k best documents of each query.

  Args:
    query_QxE: float32.
    document_DxE: float32, of at least k documents.
    k: at least 1.
    block: documents that are scored at a time.

  Returns:
    Scores float32 [Q, k] and documents int32 [Q, k], largest first; equal scores
    in the order of the documents.
  """
  queries, documents = query_QxE.shape[0], document_DxE.shape[0]
  block = min(block, documents)

  def step(
    best: tuple[jax.Array, jax.Array], number: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    # The last block is moved back to where it is whole.
    first = jnp.minimum(number * block, documents - block)
    vector_NxE = jax.lax.dynamic_slice_in_dim(document_DxE, first, block)
    score_QxN = jnp.matmul(query_QxE, vector_NxE.T, precision='highest')
    document_N = first + jnp.arange(block)
    is_new_N = document_N >= number * block
    score_QxN = jnp.where(is_new_N[None], score_QxN, -jnp.inf)
    # Earlier documents stand before later ones, and top_k keeps the order of
    # equal scores.
    score_QxM = jnp.concatenate([best[0], score_QxN], axis=1)
    document_QxM = jnp.concatenate(
      [best[1], jnp.broadcast_to(document_N[None], score_QxN.shape)], axis=1
    )
    score_Qxk, place_Qxk = jax.lax.top_k(score_QxM, k)
    document_Qxk = jnp.take_along_axis(document_QxM, place_Qxk, axis=1)
    return (score_Qxk, document_Qxk), None

  nothing = (
    jnp.full((queries, k), -jnp.inf, jnp.float32),
    jnp.zeros((queries, k), jnp.int32),
  )
  best, _ = jax.lax.scan(
    step, nothing, jnp.arange(-(-documents // block), dtype=jnp.int32)
  )
  return best
