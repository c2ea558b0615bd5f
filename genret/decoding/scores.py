# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Scores of a beam search: logits to sums of log-probabilities, and an order."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genret.constraints import protocol

NORMALIZE = ('vocabulary', 'legal', 'none')

# The search orders by keys: scores, with these bounds in place of infinite ones
# so that -inf can say "not allowed", whatever the model's logits are.
_LOWEST = float(jnp.finfo(jnp.float32).min)
_HIGHEST = float(jnp.finfo(jnp.float32).max)

# Rows from here on are selected from by blocks of this size.
_WIDE, _BLOCK = 16384, 16


class Scorer(NamedTuple):
  """Turns logits into keys: ((logit - shift) - logsum) + score."""

  logits_NxV: jax.Array
  shift_N: jax.Array
  logsum_N: jax.Array
  score_N: jax.Array
  alive_N: jax.Array

  @classmethod
  def of_logits(cls, logits_NxV: jax.Array, alive_N: jax.Array) -> Scorer:
    """Keys that are the logits themselves."""
    zeros_N = jnp.zeros(len(alive_N), jnp.float32)
    return cls(logits_NxV, zeros_N, zeros_N, zeros_N, alive_N)

  def key(self, logit_NxC: jax.Array, legal_NxC: jax.Array) -> jax.Array:
    """Keys of continuations with these logits."""
    log_prob_NxC = (logit_NxC - self.shift_N[:, None]) - self.logsum_N[:, None]
    return key_of_score(
      self.score_N[:, None] + log_prob_NxC, legal_NxC & self.alive_N[:, None]
    )

  def key_of(self, token_NxC: jax.Array, legal_NxC: jax.Array) -> jax.Array:
    """Keys of continuations by these tokens."""
    logit_NxC = jnp.take_along_axis(self.logits_NxV, token_NxC, axis=1)
    return self.key(logit_NxC, legal_NxC)

  def key_at(
    self, row_BxC: jax.Array, token_BxC: jax.Array, legal_BxC: jax.Array
  ) -> jax.Array:
    """Keys of continuations of these rows by these tokens."""
    log_prob_BxC = self.logits_NxV[row_BxC, token_BxC] - self.shift_N[row_BxC]
    log_prob_BxC -= self.logsum_N[row_BxC]
    return key_of_score(
      self.score_N[row_BxC] + log_prob_BxC, legal_BxC & self.alive_N[row_BxC]
    )


def scorer_of(
  logits_NxV: jax.Array,
  key_N: jax.Array,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  normalize: str,
) -> Scorer:
  """The scorer of one step, for beams with these keys and states."""
  logits_NxV = logits_NxV.astype(jnp.float32)
  alive_N = key_N > -jnp.inf
  if normalize == 'vocabulary':
    shift_N = logits_NxV.max(axis=1)
    logsum_N = jnp.log(jnp.exp(logits_NxV - shift_N[:, None]).sum(axis=1))
  elif normalize == 'legal':
    shift_N, logsum_N = _legal_logsum(automaton, state_N, alive_N, logits_NxV)
  else:
    shift_N = logsum_N = jnp.zeros_like(key_N)
  return Scorer(logits_NxV, shift_N, logsum_N, score_of_key(key_N), alive_N)


def _legal_logsum(
  automaton: protocol.Constraint,
  state_N: protocol.State,
  alive_N: jax.Array,
  logits_NxV: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Greatest legal logit and log of the sum of exp(logit - greatest)."""
  width = max(min(automaton.max_slots, 1024), 1)
  slots_N = automaton.slots(automaton.arrays, state_N)
  limit = jnp.max(jnp.where(alive_N, slots_N, 0))

  def block(
    carry: tuple[jax.Array, jax.Array, jax.Array],
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    offset, top_N, sum_N = carry
    token_NxW, _, legal_NxW = automaton.children(
      automaton.arrays, state_N, offset, width
    )
    logit_NxW = jnp.take_along_axis(logits_NxV, token_NxW, axis=1)
    logit_NxW = jnp.where(legal_NxW, key_of_score(logit_NxW, True), -jnp.inf)
    new_N = jnp.maximum(top_N, logit_NxW.max(axis=1))
    sum_N = sum_N * jnp.exp(top_N - new_N)
    return (
      offset + width,
      new_N,
      sum_N + jnp.exp(logit_NxW - new_N[:, None]).sum(axis=1),
    )

  top_N = jnp.full(alive_N.shape, _LOWEST)
  carry = (jnp.zeros((), jnp.int32), top_N, jnp.zeros_like(top_N))
  _, top_N, sum_N = lax.while_loop(lambda c: c[0] < limit, block, carry)
  return top_N, jnp.log(sum_N)


def key_of_score(score: jax.Array, legal: jax.Array | bool) -> jax.Array:
  """Scores as numbers that sort: no NaN, -inf only for what is illegal.

  A score is a sum that starts at 0.0, so it is never -0.0, which would sort
  below 0.0.
  """
  score = jnp.where(jnp.isnan(score), _LOWEST, score)
  score = jnp.clip(score, _LOWEST, _HIGHEST)
  return jnp.where(legal, score, -jnp.inf)


def score_of_key(key: jax.Array) -> jax.Array:
  """Keys as scores; -inf for what is not allowed, too."""
  return jnp.where(key <= _LOWEST, -jnp.inf, key)


def top_k(key: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """The k greatest of each row [N, V], of equals the first.

  Of a wide row, the k blocks of the greatest maxima, of equals the first, hold
  them all: each of the k maxima comes before whatever is in another block. So
  two narrow selections and one pass over the row take the place of a wide one.
  """
  width = key.shape[1]
  if width < _WIDE or 4 * _BLOCK * k > width:
    return _select(key, k)
  # Unlike a padded copy in blocks, windows take no memory of the row's size.
  top_NxX = lax.reduce_window(
    key,
    -jnp.inf,
    lax.max,
    window_dimensions=(1, _BLOCK),
    window_strides=(1, _BLOCK),
    padding=((0, 0), (0, -width % _BLOCK)),
  )
  block_Nxk = lax.sort(_select(top_NxX, k)[1], dimension=1)
  column_NxC = block_Nxk[:, :, None] * _BLOCK + jnp.arange(_BLOCK)[None, None]
  column_NxC = column_NxC.reshape(len(key), k * _BLOCK)
  found_NxC = jnp.take_along_axis(
    key, jnp.minimum(column_NxC, width - 1), axis=1
  )
  found_NxC = jnp.where(column_NxC < width, found_NxC, -jnp.inf)
  best_Nxk, place_Nxk = _select(found_NxC, k)
  return best_Nxk, jnp.take_along_axis(column_NxC, place_Nxk, axis=1)


def _select(key: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """The barriers keep XLA from merging a slice of the result into it, which on
  CPU turns the selection into a sort that is 30 times as slow. There are two
  since XLA's partitioner wants each result of a selection taken on its own.
  """
  best, index = lax.top_k(key, k)
  return lax.optimization_barrier(best), lax.optimization_barrier(index)
