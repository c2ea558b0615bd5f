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
import numpy as np
from jax import lax

from genret.constraints import protocol
from genret.decoding.scores import Scorer, top_k

# Listed beside each other: beams that probing did not settle, and slots.
_GROUP, _BLOCK = 8, 1024
# Tokens that are probed for beams which the first few did not settle.
_MORE_PROBES = 512
# Where there are few slots, those of a query stand in one row of so many; where
# there are many, each beam has a row. Each width is compiled; the first run that
# suffices.
_QUERY_WIDTHS = (64, 512, 4096)
_BEAM_WIDTHS = (128, 512, 2048, 16384)
# Tokens that are probed for beams which the first few did not settle.
_MORE_PROBES = 512
# Slots of a query: each width is compiled, the narrowest that suffices is run.
_WIDTHS = (64, 512, 4096, 16384, 40960, 98304, 262144)


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
  list_limit: int | None,
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
    list_limit: list slots, instead of probing, where the beams of no query
      have more than this on average; None for what the constraint suggests, or
      a part of the vocabulary. Speed only.
  """

  if list_limit is None:
    list_limit = automaton.list_limit
  if list_limit is None:
    list_limit = max(scorer.logits_NxV.shape[1] // 2, 2048)
  slots_N = automaton.slots(automaton.arrays, state_N)
  # So that those of a query can be added up.
  slots_N = jnp.minimum(slots_N, np.iinfo(np.int32).max // num_beams)
  slots_N = jnp.where(scorer.alive_N, slots_N, 0)
  end_BxK = jnp.cumsum(slots_N.reshape(-1, num_beams), axis=1)

  def of_queries(width: int) -> Callable[[], Continuations]:
    return lambda: _list_slots(
      scorer, automaton, state_N, eos_N, end_BxK, width, keep
    )

  def of_beams(width: int) -> Callable[[], Continuations]:
    def listing() -> Continuations:
      listed = _list(scorer, automaton, state_N, eos_N, 0, width)
      if automaton.unsorted_slots:
        listed = _by_token(listed)
      return _best(listed, num_beams, keep)

    return listing

  def probing() -> Continuations:
    return _best(
      _probe(scorer, automaton, state_N, eos_N, num_beams, keep, num_probes),
      num_beams,
      keep,
    )

  most, limit = automaton.max_slots, list_limit
  ways, suffices = [], []
  slots_now = jnp.max(end_BxK[:, -1])
  for width in _QUERY_WIDTHS:
    if width < most * num_beams and width <= limit * num_beams:
      ways.append(of_queries(width))
      suffices.append(slots_now <= width)
  slots_now = jnp.max(slots_N)
  for width in (*_BEAM_WIDTHS, most):
    is_wide = width * num_beams > _QUERY_WIDTHS[-1] or width == most
    if is_wide and 0 < width <= min(most, limit):
      ways.append(of_beams(width))
      suffices.append(slots_now <= width)
      if width == most:
        break
  if most > limit or not ways:
    ways.append(probing)
    suffices.append(jnp.asarray(True))
  if len(ways) == 1:
    return ways[0]()
  return lax.switch(jnp.argmax(jnp.stack(suffices)), ways)


def _list_slots(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  end_BxK: jax.Array,
  width: int,
  keep: int,
) -> Continuations:
  """The best of all slots of each query, the slots of its beams in one row.

  end_BxK counts the slots of a query up to each of its beams, that included;
  there are at most `width`.
  """
  batch_size, num_beams = end_BxK.shape
  slot_W = jnp.arange(width, dtype=jnp.int32)
  beam_BxW = jax.vmap(lambda end_K: _place(end_K, slot_W))(end_BxK)
  first_BxK = jnp.pad(end_BxK, ((0, 0), (1, 0)))[:, :-1]
  query_Bx1 = jnp.arange(batch_size, dtype=jnp.int32)[:, None]
  inside_BxW = slot_W[None] < end_BxK[:, -1:]
  row_P = (query_Bx1 * num_beams + beam_BxW).reshape(-1)
  offset_P = (slot_W[None] - first_BxK[query_Bx1, beam_BxW]).reshape(-1)
  token_Px1, state_Px1, legal_Px1 = automaton.children(
    automaton.arrays, _rows(state_N, row_P), offset_P[:, None], 1
  )
  token_P = token_Px1[:, 0]
  wanted_P = (
    legal_Px1[:, 0] & inside_BxW.reshape(-1) & (token_P != eos_N[row_P])
  )
  key_P = scorer.key_at(row_P, token_P, wanted_P)

  column_BxW = jnp.broadcast_to(slot_W[None], beam_BxW.shape)
  key_BxW, token_BxW = (x.reshape(-1, width) for x in (key_P, token_P))
  if automaton.unsorted_slots:
    beam_BxW, token_BxW, column_BxW, key_BxW = lax.sort(
      (beam_BxW, token_BxW, column_BxW, key_BxW), dimension=1, num_keys=2
    )
  key_BxC, index_BxC = _best_columns(key_BxW, keep)
  place_BxC = query_Bx1 * width + column_BxW[query_Bx1, index_BxC]
  token_BxC = token_BxW[query_Bx1, index_BxC]
  return Continuations(
    key_BxC,
    query_Bx1 * num_beams + beam_BxW[query_Bx1, index_BxC],
    jnp.where(key_BxC == -jnp.inf, 0, token_BxC),
    jax.tree.map(lambda leaf: leaf[place_BxC, 0], state_Px1),
  )


def _place(end_K: jax.Array, slot_W: jax.Array) -> jax.Array:
  """The beam that each slot belongs to; the last one past the end."""
  beam_W = jnp.searchsorted(end_K, slot_W, side='right')
  return jnp.minimum(beam_W.astype(jnp.int32), len(end_K) - 1)


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

  A beam is settled if C of the tokens probed are legal, or all that it allows
  are among them, or the worst of them is beaten by C continuations of its
  query. For the others more tokens are probed, and then all slots listed.
  """
  probed, worst_N = _probe_best(
    scorer, automaton, state_N, eos_N, keep, num_probes
  )
  return _settle(
    scorer, automaton, state_N, eos_N, num_beams, keep, worst_N, probed
  )


def _probe_best(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  keep: int,
  num_probes: int,
) -> tuple[Candidates, jax.Array]:
  """The C best legal ones among the best tokens of the vocabulary.

  Returns:
    the candidates, and for each beam the greatest key that a legal token may
    have that is not among them: -inf if there is none.
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
  found_N = legal_NxT.sum(axis=1, dtype=jnp.int32)
  total_N = automaton.total(automaton.arrays, state_N)
  # Does not overflow where it counts: the sum of all is at most the total.
  seen_N = mass_NxT.sum(axis=1) + protocol.probe_eos(automaton, state_N, eos_N)
  whole_N = (seen_N >= total_N) & (total_N != protocol.UNKNOWN)
  whole_N |= (found_N >= keep) | ~scorer.alive_N
  if num_probes == vocab_size:
    whole_N = jnp.ones_like(whole_N)
  return probed, jnp.where(whole_N, -jnp.inf, key_NxT[:, -1])


def _settle(
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_N: jax.Array,
  num_beams: int,
  keep: int,
  worst_N: jax.Array,
  probed: Candidates,
) -> Candidates:
  """Replaces what probing found for open beams by all that is needed of them.

  A beam is open while a token not probed may be among the best of its query. A
  few are settled at a time, the best of a query first: what is found for them
  may settle others.
  """
  count, kept = probed.key_NxC.shape
  group = min(_GROUP, count)

  def bar_of(best: Candidates) -> jax.Array:
    """The key of each query's C-th candidate so far, for each of its beams."""
    key_BxR = best.key_NxC.reshape(-1, num_beams * kept)
    if key_BxR.shape[1] < keep:
      return jnp.full(count, -jnp.inf)
    return jnp.repeat(top_k(key_BxR, keep)[0][:, -1], num_beams)

  def is_open(worst_N: jax.Array, bar_N: jax.Array) -> jax.Array:
    return (worst_N > -jnp.inf) & (worst_N >= bar_N)

  def some(carry: tuple[jax.Array, jax.Array, Candidates]) -> tuple:
    worst_N, bar_N, best = carry
    open_N = is_open(worst_N, bar_N)
    (index_M,) = jnp.nonzero(open_N, size=group, fill_value=count)
    row_M = jnp.minimum(index_M, count - 1)
    scorer_M, state_M, eos_M = _rows((scorer, state_N, eos_N), row_M)
    scorer_M = scorer_M._replace(alive_N=index_M < count)
    more, worst_M = _probe_best(
      scorer_M, automaton, state_M, eos_M, kept, _MORE_PROBES
    )
    open_M = is_open(worst_M, bar_N[row_M])
    scorer_M = scorer_M._replace(alive_N=open_M)
    found = lax.cond(
      open_M.any(),
      lambda: protocol.choose(
        open_M, _list_all(scorer_M, automaton, state_M, eos_M, more), more
      ),
      lambda: more,
    )
    best = jax.tree.map(
      lambda a, b: a.at[index_M].set(b.astype(a.dtype), mode='drop'),
      best,
      found,
    )
    worst_N = worst_N.at[index_M].set(-jnp.inf, mode='drop')
    return worst_N, bar_of(best), best

  return lax.while_loop(
    lambda carry: is_open(*carry[:2]).any(),
    some,
    (worst_N, bar_of(probed), probed),
  )[2]


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
    both = jax.tree.map(
      lambda a, b: jnp.concatenate([a, b.astype(a.dtype)], axis=1), best, listed
    )
    # Later blocks hold greater tokens, so ties stay in order of token.
    if automaton.unsorted_slots:
      both = _by_token(both)
    return offset + width, _top(both, keep)

  nothing = shape_of._replace(key_NxC=jnp.full_like(shape_of.key_NxC, -jnp.inf))
  carry = (jnp.zeros((), jnp.int32), nothing)
  return lax.while_loop(lambda c: c[0] < limit, block, carry)[1]


def _by_token(candidates: Candidates) -> Candidates:
  row_Nx1 = jnp.arange(len(candidates.token_NxC))[:, None]
  order_NxC = jnp.argsort(candidates.token_NxC, axis=1)
  return jax.tree.map(lambda leaf: leaf[row_Nx1, order_NxC], candidates)


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


def _best_columns(key_BxR: jax.Array, keep: int) -> tuple[jax.Array, jax.Array]:
  """The C greatest of each row and where they are, -inf where there are fewer."""
  width = key_BxR.shape[1]
  missing = max(keep - width, 0)
  key_BxR = jnp.pad(key_BxR, ((0, 0), (0, missing)), constant_values=-jnp.inf)
  key_BxC, index_BxC = top_k(key_BxR, keep)
  return key_BxC, jnp.minimum(index_BxC, width - 1)


def _best(candidates: Candidates, num_beams: int, keep: int) -> Continuations:
  """The best C of each query's candidates, filled up where there are fewer."""
  width = candidates.key_NxC.shape[1]
  key_BxC, index_BxC = _best_columns(
    candidates.key_NxC.reshape(-1, num_beams * width), keep
  )
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
