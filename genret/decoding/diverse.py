# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Diverse beam search (Vijayakumar et al., 2016): groups that avoid each other.

The K beams of a query form G groups, which choose in order within a step: a
token costs a group the penalty for each beam of earlier groups that has chosen
it at this step (Hamming diversity). The penalty decides what is chosen; stored
scores are without it. End-of-sequence neither costs anything nor counts, for
every legal one is taken.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from genret.constraints import protocol
from genret.decoding.candidates import Continuations, best_continuations
from genret.decoding.pool import Pool
from genret.decoding.scores import Scorer, top_k


def diverse_continuations(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  *,
  num_beams: int,
  num_groups: int,
  diversity_penalty: float,
  num_probes: int,
  list_limit: int | None,
) -> Continuations:
  """The continuations each group chooses: [B * G, K / G].

  Args:
    scorer: gives keys to tokens.
    automaton: the constraint.
    state_N: its states, for N = B * K beams; those of a group are side by side.
    eos_N: the token to leave out.
    num_beams: K, a multiple of G.
    num_groups: G.
    diversity_penalty: what a token costs for each time it was chosen before.
    num_probes: see `best_continuations`.
    list_limit: see `best_continuations`.

  Returns:
    The best first, by score less penalty; keys are without it.
  """
  members = num_beams // num_groups
  queries = len(eos_N) // num_beams

  def split(leaf: jax.Array) -> jax.Array:  # [N, ...] to [G, B * K / G, ...]
    leaf = leaf.reshape(queries, num_groups, members, *leaf.shape[1:])
    leaf = jnp.moveaxis(leaf, 1, 0)
    return leaf.reshape(num_groups, queries * members, *leaf.shape[3:])

  def choose(
    count_BxV: jax.Array, group: tuple[Any, ...]
  ) -> tuple[jax.Array, Continuations]:
    number, scorer, state_M, eos_M = group
    cost_MxV = jnp.repeat(diversity_penalty * count_BxV, members, axis=0)
    best = best_continuations(
      scorer._replace(logits_NxV=scorer.logits_NxV - cost_MxV),
      automaton,
      state_M,
      eos_M,
      num_beams=members,
      keep=members,
      num_probes=num_probes,
      list_limit=list_limit,
    )
    chosen_BxR = best.key_BxC > -jnp.inf
    query_Bx1 = jnp.arange(queries, dtype=jnp.int32)[:, None]
    count_BxV = count_BxV.at[query_Bx1, best.token_BxC].add(
      chosen_BxR.astype(count_BxV.dtype)
    )
    key_BxR = scorer.key_at(best.parent_BxC, best.token_BxC, chosen_BxR)
    member_BxR = best.parent_BxC - query_Bx1 * members
    parent_BxR = query_Bx1 * num_beams + number * members + member_BxR
    return count_BxV, best._replace(key_BxC=key_BxR, parent_BxC=parent_BxR)

  nothing_BxV = jnp.zeros((queries, scorer.logits_NxV.shape[1]), jnp.float32)
  numbers = jnp.arange(num_groups, dtype=jnp.int32)
  groups = (numbers, *jax.tree.map(split, (scorer, state_N, eos_N)))
  _, chosen = lax.scan(choose, nothing_BxV, groups)
  return jax.tree.map(
    lambda leaf: jnp.moveaxis(leaf, 0, 1).reshape(
      queries * num_groups, members, *leaf.shape[3:]
    ),
    chosen,
  )


def join_groups(pool: Pool, num_groups: int) -> Pool:
  """The pools of all groups as one a query, best first; of equals, by group."""
  queries = len(pool.key_BxK) // num_groups

  def join(leaf: jax.Array) -> jax.Array:
    return leaf.reshape(queries, -1, *leaf.shape[2:])

  tokens, keys, lengths = map(join, pool)
  key_BxK, index_BxK = top_k(keys, keys.shape[1])
  return Pool(
    jnp.take_along_axis(tokens, index_BxK[..., None], axis=1),
    key_BxK,
    jnp.take_along_axis(lengths, index_BxK, axis=1),
  )
