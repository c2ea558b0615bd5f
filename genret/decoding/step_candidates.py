# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The best legal continuations at every step of a beam search, kept as answers.

SEAL (Bevilacqua et al., 2022) takes its n-grams from all of them and not from
the last beams alone.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genret.decoding.candidates import Continuations
from genret.decoding.scores import score_of_key


class StepCandidates(NamedTuple):
  """The C best legal continuations of the live beams at each step.

  Attributes:
    tokens: int32 [B, L, C, L]; those of step t have t + 1 tokens, padded with 0.
    scores: float32 [B, L, C], sums without length penalty, best first; -inf
      where there is none.
    legal: bool [B, L, C], False where there were fewer than C.
  """

  tokens: jax.Array | np.ndarray
  scores: jax.Array | np.ndarray
  legal: jax.Array | np.ndarray


class Kept(NamedTuple):
  """The same during the search."""

  tokens_BxLxCxL: jax.Array
  key_BxLxC: jax.Array


def nothing_kept(batch_size: int, max_length: int, keep: int) -> Kept | None:
  """No candidates; None if none are to be kept."""
  if not keep:
    return None
  shape = (batch_size, max_length, keep)
  return Kept(
    jnp.zeros((*shape, max_length), jnp.int32),
    jnp.full(shape, -jnp.inf, jnp.float32),
  )


def keep_step(
  kept: Kept,
  step: jax.Array,
  tokens_BxKxL: jax.Array,
  best: Continuations,
  end_key_BxK: jax.Array,
  end_token_BxK: jax.Array,
) -> Kept:
  """Adds the candidates of a step.

  Args:
    kept: those of earlier steps.
    step: its number.
    tokens_BxKxL: what the live beams have written.
    best: the C best continuations but eos, or more.
    end_key_BxK: key of each beam with its eos.
    end_token_BxK: its eos.
  """
  count = kept.key_BxLxC.shape[2]
  queries, beams, length = tokens_BxKxL.shape
  row_BxK = jnp.arange(queries * beams, dtype=jnp.int32).reshape(queries, beams)
  # In order of key, then beam, then token.
  columns = (
    (-best.key_BxC[:, :count], -end_key_BxK),
    (best.parent_BxC[:, :count], row_BxK),
    (best.token_BxC[:, :count], end_token_BxK),
  )
  both = [jnp.concatenate(column, axis=1) for column in columns]
  sorted_columns = lax.sort(both, num_keys=3)
  key_BxC, row_BxC, token_BxC = (x[:, :count] for x in sorted_columns)
  key_BxC = -key_BxC
  tokens = tokens_BxKxL.reshape(-1, length)[row_BxC]
  tokens = tokens.at[:, :, step].set(token_BxC)
  tokens = jnp.where((key_BxC > -jnp.inf)[..., None], tokens, 0)
  return Kept(
    kept.tokens_BxLxCxL.at[:, step].set(tokens),
    kept.key_BxLxC.at[:, step].set(key_BxC),
  )


def step_candidates(kept: Kept | None) -> StepCandidates | None:
  """What the search returns."""
  if kept is None:
    return None
  legal = kept.key_BxLxC > -jnp.inf
  return StepCandidates(
    kept.tokens_BxLxCxL, score_of_key(kept.key_BxLxC), legal
  )
