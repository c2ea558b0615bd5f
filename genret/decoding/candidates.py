# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Candidates of a beam search: the best legal continuations of each query.

Nothing of size beams by vocabulary is ever built from the constraint. Where its
states have few children, they are listed and their logits looked up; where they
have many, the best tokens of the whole vocabulary are probed, and children are
listed only for the beams that found too few legal ones. All ways give the same
beams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genret.constraints import protocol
from genret.decoding.scores import Scorer, top_k


class Candidates(NamedTuple):
  """Continuations; of equal keys, those of a row stand in order of token."""

  key_NxC: jax.Array
  token_NxC: jax.Array
  state_NxC: protocol.State


def best_continuations(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  num_beams: int,
  num_probes: int,
  list_limit: int,
) -> tuple[jax.Array, jax.Array, jax.Array, protocol.State]:
  """The K best legal continuations of each query: key, parent, token, state."""

  def listing(width: int) -> Callable[[], tuple]:
    return lambda: _best(
      _list(scorer, automaton, state_N, eos_id, 0, width), num_beams
    )

  def probing() -> tuple:
    return _best(
      _probe(scorer, automaton, state_N, eos_id, num_beams, num_probes),
      num_beams,
    )

  most = automaton.max_children
  widths = [w for w in (32, 256, 2048, 16384) if w < most and w <= list_limit]
  if 0 < most <= list_limit:
    widths.append(most)
  ways = [listing(width) for width in widths]
  if most > list_limit or not ways:
    ways.append(probing)
  count_N = automaton.count(automaton.arrays, state_N)
  most_now = jnp.max(jnp.where(scorer.alive_N, count_N, 0))
  way = sum((most_now > width).astype(jnp.int32) for width in widths)
  return lax.switch(way, ways) if len(ways) > 1 else ways[0]()


def _list(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  offset: jax.Array | int,
  width: int,
) -> Candidates:
  """A block of each beam's legal continuations but eos."""
  token_NxW, state_NxW, legal_NxW = automaton.children(
    automaton.arrays, state_N, offset, width
  )
  key_NxW = scorer.key_of(token_NxW, legal_NxW & (token_NxW != eos_id))
  return Candidates(key_NxW, token_NxW, state_NxW)


def _probe(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  num_beams: int,
  num_probes: int,
) -> Candidates:
  """Up to K of each beam's best legal continuations; enough to be exact.

  Tests the best tokens of the vocabulary. A beam is settled if K of them are
  legal, or all that it allows are among them, or the worst of them is beaten by
  K continuations of its query; the children of other beams are listed.
  """
  vocab_size = scorer.logits_NxV.shape[1]
  num_probes = min(max(num_probes, num_beams), vocab_size)
  keep = min(num_beams, num_probes)
  # The key of eos is -inf, so it is never found.
  wanted_V = jnp.arange(vocab_size) != eos_id
  key_NxV = scorer.key(scorer.logits_NxV, wanted_V[None])
  key_NxT, token_NxT = top_k(key_NxV, num_probes)
  legal_NxT, state_NxT = automaton.probe(automaton.arrays, state_N, token_NxT)
  legal_key_NxT = jnp.where(legal_NxT, key_NxT, -jnp.inf)
  probed = _top(Candidates(legal_key_NxT, token_NxT, state_NxT), keep)
  if num_probes == vocab_size:
    return probed

  found_N = legal_NxT.sum(axis=1, dtype=jnp.int32)
  eos_legal_N, _ = probe_eos(automaton, state_N, eos_id)
  count_N = automaton.count(automaton.arrays, state_N)
  key_BxC = probed.key_NxC.reshape(-1, num_beams * keep)
  kth_B = top_k(key_BxC, num_beams)[0][:, -1]
  open_N = (
    scorer.alive_N
    & (found_N < num_beams)
    & (found_N < count_N - eos_legal_N.astype(jnp.int32))
    & (key_NxT[:, -1] >= jnp.repeat(kth_B, num_beams))
  )
  return _list_open(scorer, automaton, state_N, eos_id, open_N, count_N, probed)


def _list_open(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  open_N: jax.Array,
  count_N: jax.Array,
  probed: Candidates,
) -> Candidates:
  """Lists all children of the open beams, block by block."""
  keep = probed.key_NxC.shape[1]
  width = min(automaton.max_children, 1024)
  limit = jnp.max(jnp.where(open_N, count_N, 0))

  def more(carry: tuple[jax.Array, Candidates]) -> jax.Array:
    return carry[0] < limit

  def block(
    carry: tuple[jax.Array, Candidates],
  ) -> tuple[jax.Array, Candidates]:
    offset, best = carry
    listed = _list(scorer, automaton, state_N, eos_id, offset, width)
    # Later blocks hold greater tokens, so ties stay in order of token.
    both = jax.tree.map(
      lambda a, b: jnp.concatenate([a, b.astype(a.dtype)], axis=1), best, listed
    )
    return offset + width, _top(both, keep)

  nothing = probed._replace(key_NxC=jnp.full_like(probed.key_NxC, -jnp.inf))
  offset = jnp.zeros((), jnp.int32)
  _, listed = lax.while_loop(more, block, (offset, nothing))
  return jax.tree.map(
    lambda a, b: jnp.where(open_N.reshape(-1, *[1] * (a.ndim - 1)), a, b),
    listed,
    probed,
  )


def _top(candidates: Candidates, keep: int) -> Candidates:
  """The best of each row; equal keys keep their order."""
  key_NxR, index_NxR = top_k(candidates.key_NxC, keep)
  row_Nx1 = jnp.arange(len(key_NxR))[:, None]

  def take(leaf: jax.Array) -> jax.Array:
    return leaf[row_Nx1, index_NxR]

  return Candidates(
    key_NxR,
    take(candidates.token_NxC),
    jax.tree.map(take, candidates.state_NxC),
  )


def _best(
  candidates: Candidates, num_beams: int
) -> tuple[jax.Array, jax.Array, jax.Array, protocol.State]:
  """The best K of each query's candidates: key, parent, token, state."""
  width = candidates.key_NxC.shape[1]
  key_BxK, index_BxK = top_k(
    candidates.key_NxC.reshape(-1, num_beams * width), num_beams
  )
  first_B = jnp.arange(len(index_BxK), dtype=jnp.int32) * num_beams
  parent_N = (first_B[:, None] + index_BxK // width).reshape(-1)
  column_N = (index_BxK % width).reshape(-1)

  def take(leaf: jax.Array) -> jax.Array:
    return leaf[parent_N, column_N]

  token_N = take(candidates.token_NxC)
  dead_N = (key_BxK == -jnp.inf).reshape(-1)
  token_N = jnp.where(dead_N, 0, token_N).astype(jnp.int32)
  return key_BxK, parent_N, token_N, jax.tree.map(take, candidates.state_NxC)


def probe_eos(
  automaton: protocol.Constraint, state_N: protocol.State, eos_id: int
) -> tuple[jax.Array, jax.Array]:
  """Which beams may end: legal_N, and the eos tokens [N, 1] asked about."""
  count = len(jax.tree.leaves(state_N)[0])
  eos_Nx1 = jnp.full((count, 1), eos_id, jnp.int32)
  legal_Nx1, _ = automaton.probe(automaton.arrays, state_N, eos_Nx1)
  return legal_Nx1[:, 0], eos_Nx1
