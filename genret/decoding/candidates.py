# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Candidates of a beam search: the best legal continuations of each query.

Nothing of size beams by vocabulary is ever built from the constraint. Where its
states have few slots, they are listed and their logits looked up; where they
have many, the best tokens of the whole vocabulary are probed, and slots are
listed only for the beams that found too few legal ones. All ways give the same
beams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genret.constraints import protocol
from genret.decoding.scores import Scorer, top_k

# Listed beside each other: beams that probing did not settle, and slots.
_GROUP, _BLOCK = 8, 1024


class Candidates(NamedTuple):
  """Continuations; of equal keys, those of a row stand in order of token."""

  key_NxC: jax.Array
  token_NxC: jax.Array
  state_NxC: protocol.State


class Continuations(NamedTuple):
  """Continuations of each query, best first: by key, then beam, then token.

  Attributes:
    key_BxC: -inf where there are no more; what else stands there means nothing.
    parent_BxC: int32, the row among N of the beam that is continued.
    token_BxC: int32, 0 where there is none.
    state_BxC: states after it.
  """

  key_BxC: jax.Array
  parent_BxC: jax.Array
  token_BxC: jax.Array
  state_BxC: protocol.State


def best_continuations(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  *,
  num_beams: int,
  keep: int,
  num_probes: int,
  list_limit: int,
) -> Continuations:
  """The best legal continuations of each query, eos left out.

  Args:
    scorer: gives keys to tokens.
    automaton: the constraint.
    state_N: its states, for N = B * K beams.
    eos_N: the token to leave out; -1 for none.
    num_beams: K.
    keep: C, how many continuations of each query to return.
    num_probes: tokens probed for each beam. Speed only.
    list_limit: list slots, instead of probing, where no beam has more than
      this. Speed only.
  """

  def listing(width: int) -> Callable[[], Continuations]:
    return lambda: _best(
      _list(scorer, automaton, state_N, eos_N, 0, width), num_beams, keep
    )

  def probing() -> Continuations:
    return _best(
      _probe(scorer, automaton, state_N, eos_N, num_beams, keep, num_probes),
      num_beams,
      keep,
    )

  most = automaton.max_slots
  widths = [w for w in (32, 256, 2048, 16384) if w < most and w <= list_limit]
  if 0 < most <= list_limit:
    widths.append(most)
  ways = [listing(width) for width in widths]
  if most > list_limit or not ways:
    ways.append(probing)
  slots_N = automaton.slots(automaton.arrays, state_N)
  most_now = jnp.max(jnp.where(scorer.alive_N, slots_N, 0))
  way = sum((most_now > width).astype(jnp.int32) for width in widths)
  return lax.switch(way, ways) if len(ways) > 1 else ways[0]()


def _list(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  offset: jax.Array | int,
  width: int,
) -> Candidates:
  """A block of each beam's legal continuations but eos."""
  token_NxW, state_NxW, legal_NxW = automaton.children(
    automaton.arrays, state_N, offset, width
  )
  wanted_NxW = legal_NxW & (token_NxW != eos_N[:, None])
  return Candidates(scorer.key_of(token_NxW, wanted_NxW), token_NxW, state_NxW)


def _probe(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  num_beams: int,
  keep: int,
  num_probes: int,
) -> Candidates:
  """Up to C of each beam's best legal continuations; enough to be exact.

  Tests the best tokens of the vocabulary. A beam is settled if C of them are
  legal, or all that it allows are among them, or the worst of them is beaten by
  C continuations of its query; the slots of other beams are listed.
  """
  vocab_size = scorer.logits_NxV.shape[1]
  num_probes = min(max(num_probes, keep), vocab_size)
  # The key of eos is -inf, so it is never found.
  wanted_NxV = jnp.arange(vocab_size)[None] != eos_N[:, None]
  key_NxV = scorer.key(scorer.logits_NxV, wanted_NxV)
  key_NxT, token_NxT = top_k(key_NxV, num_probes)
  mass_NxT, state_NxT = automaton.probe(automaton.arrays, state_N, token_NxT)
  legal_NxT = mass_NxT > 0
  legal_key_NxT = jnp.where(legal_NxT, key_NxT, -jnp.inf)
  probed = _top(Candidates(legal_key_NxT, token_NxT, state_NxT), keep)
  if num_probes == vocab_size:
    return probed

  kept = probed.key_NxC.shape[1]
  kth_B = top_k(probed.key_NxC.reshape(-1, num_beams * kept), keep)[0][:, -1]
  found_N = legal_NxT.sum(axis=1, dtype=jnp.int32)
  total_N = automaton.total(automaton.arrays, state_N)
  # Does not overflow where it counts: the sum of all is at most the total.
  seen_N = mass_NxT.sum(axis=1) + protocol.probe_eos(automaton, state_N, eos_N)
  open_N = (
    scorer.alive_N
    & (found_N < keep)
    & ((seen_N < total_N) | (total_N == protocol.UNKNOWN))
    & (key_NxT[:, -1] >= jnp.repeat(kth_B, num_beams))
  )
  return _list_open(scorer, automaton, state_N, eos_N, open_N, probed)


def _list_open(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  open_N: jax.Array,
  probed: Candidates,
) -> Candidates:
  """Lists all slots of the open beams in place of what probing found.

  A few beams at a time, so that it costs little where few are open.
  """
  count = len(open_N)
  group = min(_GROUP, count)

  def some(carry: tuple[jax.Array, Candidates]) -> tuple:
    open_N, best = carry
    (index_M,) = jnp.nonzero(open_N, size=group, fill_value=count)
    row_M = jnp.minimum(index_M, count - 1)
    scorer_M, state_M, eos_M = _rows((scorer, state_N, eos_N), row_M)
    scorer_M = scorer_M._replace(alive_N=index_M < count)
    listed = _list_all(scorer_M, automaton, state_M, eos_M, _rows(best, row_M))
    best = jax.tree.map(
      lambda a, b: a.at[index_M].set(b.astype(a.dtype), mode='drop'),
      best,
      listed,
    )
    return open_N.at[index_M].set(False, mode='drop'), best

  return lax.while_loop(lambda c: c[0].any(), some, (open_N, probed))[1]


def _list_all(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  shape_of: Candidates,
) -> Candidates:
  """The best of all slots of each beam, block by block."""
  keep = shape_of.key_NxC.shape[1]
  width = min(automaton.max_slots, _BLOCK)
  slots_N = automaton.slots(automaton.arrays, state_N)
  limit = jnp.max(jnp.where(scorer.alive_N, slots_N, 0))

  def block(
    carry: tuple[jax.Array, Candidates],
  ) -> tuple[jax.Array, Candidates]:
    offset, best = carry
    listed = _list(scorer, automaton, state_N, eos_N, offset, width)
    # Later blocks hold greater tokens, so ties stay in order of token.
    both = jax.tree.map(
      lambda a, b: jnp.concatenate([a, b.astype(a.dtype)], axis=1), best, listed
    )
    return offset + width, _top(both, keep)

  nothing = shape_of._replace(key_NxC=jnp.full_like(shape_of.key_NxC, -jnp.inf))
  carry = (jnp.zeros((), jnp.int32), nothing)
  return lax.while_loop(lambda c: c[0] < limit, block, carry)[1]


def _rows(tree: Any, row_M: jax.Array) -> Any:
  return jax.tree.map(lambda leaf: leaf[row_M], tree)


def _top(candidates: Candidates, keep: int) -> Candidates:
  """The best of each row; equal keys keep their order."""
  keep = min(keep, candidates.key_NxC.shape[1])
  key_NxR, index_NxR = top_k(candidates.key_NxC, keep)
  row_Nx1 = jnp.arange(len(key_NxR))[:, None]

  def take(leaf: jax.Array) -> jax.Array:
    return leaf[row_Nx1, index_NxR]

  return Candidates(
    key_NxR,
    take(candidates.token_NxC),
    jax.tree.map(take, candidates.state_NxC),
  )


def _best(candidates: Candidates, num_beams: int, keep: int) -> Continuations:
  """The best C of each query's candidates, filled up where there are fewer."""
  width = candidates.key_NxC.shape[1]
  key_BxR = candidates.key_NxC.reshape(-1, num_beams * width)
  missing = max(keep - num_beams * width, 0)
  key_BxR = jnp.pad(key_BxR, ((0, 0), (0, missing)), constant_values=-jnp.inf)
  key_BxC, index_BxC = top_k(key_BxR, keep)
  index_BxC = jnp.minimum(index_BxC, num_beams * width - 1)
  first_B = jnp.arange(len(index_BxC), dtype=jnp.int32) * num_beams
  parent_BxC = first_B[:, None] + index_BxC // width
  column_BxC = index_BxC % width

  def take(leaf: jax.Array) -> jax.Array:
    return leaf[parent_BxC, column_BxC]

  token_BxC = take(candidates.token_NxC).astype(jnp.int32)
  return Continuations(
    key_BxC,
    parent_BxC,
    jnp.where(key_BxC == -jnp.inf, 0, token_BxC),
    jax.tree.map(take, candidates.state_NxC),
  )
