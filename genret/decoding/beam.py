# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constrained beam search inside jit, exact and deterministic.

Nothing of size beams by vocabulary is ever built from the constraint. Where its
states have few children, the search lists them and looks their logits up; where
they have many, it probes the best tokens of the whole vocabulary and lists only
for the beams that found too few legal ones. All ways give the same beams.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from genret.constraints import protocol

NORMALIZE = ('vocabulary', 'legal', 'none')

# The search orders by keys: scores, with these bounds in place of infinite ones
# so that -inf can say "not allowed", whatever the model's logits are.
_LOWEST = float(jnp.finfo(jnp.float32).min)
_HIGHEST = float(jnp.finfo(jnp.float32).max)


class SupportsConstraint(Protocol):
  """A constraint, or a trie or index that can act as one."""

  def constraint(self) -> protocol.Constraint:
    """The automaton that `beam_search` walks."""
    ...


class BeamSearchOutput(NamedTuple):
  """The K best answers to each query, best first.

  Attributes:
    tokens: int32 [B, K, L], without the start id, with eos where there was one,
      padded with 0.
    scores: float32 [B, K], sums of log-probabilities (of logits for
      normalize='none'); -inf where there is no answer.
    lengths: int32 [B, K], tokens in each answer, eos included.
    legal: bool [B, K], False only where fewer than K answers were found.
  """

  tokens: jax.Array
  scores: jax.Array
  lengths: jax.Array
  legal: jax.Array


class _Pool(NamedTuple):
  """Finished answers, best first; key_BxK is -inf where there is none."""

  tokens_BxKxL: jax.Array
  key_BxK: jax.Array
  lengths_BxK: jax.Array


class _Search(NamedTuple):
  """What one step hands to the next."""

  step: jax.Array
  token_N: jax.Array  # Written last.
  tokens_BxKxL: jax.Array
  key_BxK: jax.Array  # -inf where the beam is dead.
  state_N: protocol.State
  cache: Any
  pool: _Pool


class _Scorer(NamedTuple):
  """Turns logits into keys: ((logit - shift) - logsum) + score."""

  logits_NxV: jax.Array
  shift_N: jax.Array
  logsum_N: jax.Array
  score_N: jax.Array
  alive_N: jax.Array

  def key(self, logit_NxC: jax.Array, legal_NxC: jax.Array) -> jax.Array:
    log_prob_NxC = (logit_NxC - self.shift_N[:, None]) - self.logsum_N[:, None]
    return _key(
      self.score_N[:, None] + log_prob_NxC, legal_NxC & self.alive_N[:, None]
    )

  def key_of(self, token_NxC: jax.Array, legal_NxC: jax.Array) -> jax.Array:
    logit_NxC = jnp.take_along_axis(self.logits_NxV, token_NxC, axis=1)
    return self.key(logit_NxC, legal_NxC)


class _Candidates(NamedTuple):
  """Continuations; of equal keys, those of a row stand in order of token."""

  key_NxC: jax.Array
  token_NxC: jax.Array
  state_NxC: protocol.State


def beam_search(
  tokens_to_logits: Callable[[jax.Array, Any], tuple[jax.Array, Any]],
  cache: Any,
  *,
  batch_size: int,
  num_beams: int,
  max_length: int,
  constraint: SupportsConstraint | None = None,
  eos_id: int = 1,
  start_id: int = 0,
  normalize: str = 'vocabulary',
  num_probes: int | None = None,
  list_limit: int | None = None,
) -> BeamSearchOutput:
  """Finds the K best legal answers to each of B queries.

  At each step every legal eos continuation of the K live beams enters the pool
  of finished answers, which keeps the K best, and the K best other legal
  continuations become the live beams. Candidates are ordered by score, then by
  beam, then by token id; the pool by score, then by when they finished. At
  max_length, live beams enter the pool if the constraint is open-ended and are
  dropped otherwise. The search ends early once no live beam can improve the
  pool. So where K covers all legal prefixes, the answer is that of exhaustive
  enumeration.

  Call it inside jit with the constraint and the model's parameters as arguments
  of the jitted function: that compiles once a shape and captures no array.

  Args:
    tokens_to_logits: (token_N, cache) -> (logits_NxV, cache), one step of the
      model; N = B * K and the beams of a query are side by side.
    cache: a pytree; leaves with N rows are reordered with the beams, scalars
      are shared.
    batch_size: B.
    num_beams: K.
    max_length: L, the most tokens an answer may have, eos included.
    constraint: a trie, an index or a `Constraint`; None allows everything.
    eos_id: the token that ends an answer.
    start_id: the first token given to the model.
    normalize: 'vocabulary' takes log-probabilities over the whole vocabulary
      (GENRE, SEAL), 'legal' over the legal tokens only, eos among them, and
      'none' sums raw logits (RIPOR). NaN counts as -inf.
    num_probes: tokens probed for each beam. Speed only.
    list_limit: list the children of states that have no more than this instead
      of probing. Speed only.

  Returns:
    See `BeamSearchOutput`.

  Raises:
    ValueError: an argument is out of range, or the constraint, the cache or the
      logits do not fit the others.
  """
  _check_arguments(batch_size, num_beams, max_length, normalize)
  if batch_size == 0:
    return _output(_empty_pool(0, num_beams, max_length))
  count = batch_size * num_beams
  cache = jax.tree.map(jnp.asarray, cache)
  _check_cache(cache, count)
  automaton = _automaton(constraint, eos_id)

  def unfinished(search: _Search) -> jax.Array:
    best_B = search.key_BxK[:, 0]
    going_B = best_B > -jnp.inf
    if normalize != 'none':  # Scores only fall: can one still enter the pool?
      going_B &= best_B > search.pool.key_BxK[:, -1]
    return (search.step < max_length) & going_B.any()

  def advance(search: _Search) -> _Search:
    logits_NxV, cache = tokens_to_logits(search.token_N, search.cache)
    vocab_size = _check_logits(logits_NxV, count, automaton, eos_id)
    live = automaton or protocol.unconstrained(vocab_size)
    scorer = _scorer(search, logits_NxV, live, normalize)
    pool = _finish(search, scorer, live, eos_id)
    key_BxK, parent_N, token_N, state_N = _continue(
      scorer,
      live,
      search.state_N,
      eos_id,
      num_beams,
      num_probes or max(2 * num_beams, 64),
      vocab_size // 4 if list_limit is None else list_limit,
    )
    tokens_NxL = search.tokens_BxKxL.reshape(count, max_length)
    tokens_NxL = tokens_NxL[parent_N].at[:, search.step].set(token_N)
    return _Search(
      step=search.step + 1,
      token_N=token_N,
      tokens_BxKxL=tokens_NxL.reshape(search.tokens_BxKxL.shape),
      key_BxK=key_BxK,
      state_N=state_N,
      cache=_reorder(cache, parent_N, num_beams),
      pool=pool,
    )

  start = automaton or protocol.unconstrained(0)
  pool = _empty_pool(batch_size, num_beams, max_length)
  first_K = jnp.where(jnp.arange(num_beams) == 0, 0.0, -jnp.inf)
  search = _Search(
    step=jnp.zeros((), jnp.int32),
    token_N=jnp.full(count, start_id, jnp.int32),
    tokens_BxKxL=pool.tokens_BxKxL,
    key_BxK=jnp.broadcast_to(first_K, pool.key_BxK.shape).astype(jnp.float32),
    state_N=start.start(start.arrays, count),
    cache=cache,
    pool=pool,
  )
  search = lax.while_loop(unfinished, advance, search)
  pool = search.pool
  if start.open_ended:
    ran_out = search.step == max_length
    pool = _merge(
      pool,
      search.tokens_BxKxL,
      jnp.where(ran_out, search.key_BxK, -jnp.inf),
      max_length,
    )
  return _output(pool)


def _continue(
  scorer: _Scorer,
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
  widths = [w for w in (32, 256, 2048, 16384) if w < min(most, list_limit)]
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
  scorer: _Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  offset: jax.Array | int,
  width: int,
) -> _Candidates:
  """A block of each beam's legal continuations but eos."""
  token_NxW, state_NxW, legal_NxW = automaton.children(
    automaton.arrays, state_N, offset, width
  )
  key_NxW = scorer.key_of(token_NxW, legal_NxW & (token_NxW != eos_id))
  return _Candidates(key_NxW, token_NxW, state_NxW)


def _probe(
  scorer: _Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  num_beams: int,
  num_probes: int,
) -> _Candidates:
  """Up to K of each beam's best legal continuations; enough to be exact.

  Tests the best tokens of the vocabulary. A beam is settled if K of them are
  legal, or all that it allows are among them, or the worst of them is beaten by
  K continuations of its query; the children of other beams are listed.
  """
  vocab_size = scorer.logits_NxV.shape[1]
  num_probes = min(max(num_probes, num_beams), vocab_size)
  keep = min(num_beams, num_probes)
  wanted_V = jnp.arange(vocab_size) != eos_id
  key_NxV = scorer.key(scorer.logits_NxV, wanted_V[None])
  key_NxT, token_NxT = _top_k(key_NxV, num_probes)
  legal_NxT, state_NxT = automaton.probe(automaton.arrays, state_N, token_NxT)
  legal_NxT &= token_NxT != eos_id
  legal_key_NxT = jnp.where(legal_NxT, key_NxT, -jnp.inf)
  probed = _top(_Candidates(legal_key_NxT, token_NxT, state_NxT), keep)

  found_N = legal_NxT.sum(axis=1, dtype=jnp.int32)
  eos_legal_N, _ = _probe_eos(automaton, state_N, eos_id)
  count_N = automaton.count(automaton.arrays, state_N)
  key_BxC = probed.key_NxC.reshape(-1, num_beams * keep)
  kth_B = _top_k(key_BxC, num_beams)[0][:, -1]
  open_N = (
    scorer.alive_N
    & (found_N < num_beams)
    & (found_N < count_N - eos_legal_N.astype(jnp.int32))
    & (key_NxT[:, -1] >= jnp.repeat(kth_B, num_beams))
  )
  if num_probes == vocab_size:
    return probed
  return _list_open(scorer, automaton, state_N, eos_id, open_N, count_N, probed)


def _list_open(
  scorer: _Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  eos_id: int,
  open_N: jax.Array,
  count_N: jax.Array,
  probed: _Candidates,
) -> _Candidates:
  """Lists all children of the open beams, block by block."""
  keep = probed.key_NxC.shape[1]
  width = min(automaton.max_children, 1024)
  limit = jnp.max(jnp.where(open_N, count_N, 0))

  def more(carry: tuple[jax.Array, _Candidates]) -> jax.Array:
    return carry[0] < limit

  def block(
    carry: tuple[jax.Array, _Candidates],
  ) -> tuple[jax.Array, _Candidates]:
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


def _top(candidates: _Candidates, keep: int) -> _Candidates:
  """The best of each row; equal keys keep their order."""
  key_NxR, index_NxR = _top_k(candidates.key_NxC, keep)
  row_Nx1 = jnp.arange(len(key_NxR))[:, None]

  def take(leaf: jax.Array) -> jax.Array:
    return leaf[row_Nx1, index_NxR]

  return _Candidates(
    key_NxR,
    take(candidates.token_NxC),
    jax.tree.map(take, candidates.state_NxC),
  )


def _best(
  candidates: _Candidates, num_beams: int
) -> tuple[jax.Array, jax.Array, jax.Array, protocol.State]:
  """The best K of each query's candidates: key, parent, token, state."""
  width = candidates.key_NxC.shape[1]
  key_BxK, index_BxK = _top_k(
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


def _finish(
  search: _Search,
  scorer: _Scorer,
  automaton: protocol.Constraint,
  eos_id: int,
) -> _Pool:
  """Moves every legal eos continuation to the pool."""
  legal_N, eos_Nx1 = _probe_eos(automaton, search.state_N, eos_id)
  key_N = scorer.key_of(eos_Nx1, legal_N[:, None])[:, 0]
  return _merge(
    search.pool,
    search.tokens_BxKxL.at[:, :, search.step].set(eos_id),
    key_N.reshape(search.key_BxK.shape),
    search.step + 1,
  )


def _probe_eos(
  automaton: protocol.Constraint, state_N: protocol.State, eos_id: int
) -> tuple[jax.Array, jax.Array]:
  count = len(jax.tree.leaves(state_N)[0])
  eos_Nx1 = jnp.full((count, 1), eos_id, jnp.int32)
  legal_Nx1, _ = automaton.probe(automaton.arrays, state_N, eos_Nx1)
  return legal_Nx1[:, 0], eos_Nx1


def _merge(
  pool: _Pool,
  tokens_BxKxL: jax.Array,
  key_BxK: jax.Array,
  length: jax.Array | int,
) -> _Pool:
  """Keeps the best K of the pool and of new answers; of equals the earlier."""
  keys = jnp.concatenate([pool.key_BxK, key_BxK], axis=1)
  tokens = jnp.concatenate([pool.tokens_BxKxL, tokens_BxKxL], axis=1)
  new_lengths = jnp.full_like(pool.lengths_BxK, length)
  lengths = jnp.concatenate([pool.lengths_BxK, new_lengths], axis=1)
  best_BxK, index_BxK = _top_k(keys, key_BxK.shape[1])
  return _Pool(
    jnp.take_along_axis(tokens, index_BxK[..., None], axis=1),
    best_BxK,
    jnp.take_along_axis(lengths, index_BxK, axis=1),
  )


def _scorer(
  search: _Search,
  logits_NxV: jax.Array,
  automaton: protocol.Constraint,
  normalize: str,
) -> _Scorer:
  logits_NxV = logits_NxV.astype(jnp.float32)
  key_N = search.key_BxK.reshape(-1)
  alive_N = key_N > -jnp.inf
  if normalize == 'vocabulary':
    shift_N = logits_NxV.max(axis=1)
    logsum_N = jnp.log(jnp.exp(logits_NxV - shift_N[:, None]).sum(axis=1))
  elif normalize == 'legal':
    shift_N, logsum_N = _legal_logsum(
      automaton, search.state_N, alive_N, logits_NxV
    )
  else:
    shift_N = logsum_N = jnp.zeros_like(key_N)
  return _Scorer(logits_NxV, shift_N, logsum_N, _score(key_N), alive_N)


def _legal_logsum(
  automaton: protocol.Constraint,
  state_N: protocol.State,
  alive_N: jax.Array,
  logits_NxV: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Greatest legal logit and log of the sum of exp(logit - greatest)."""
  width = max(min(automaton.max_children, 1024), 1)
  count_N = automaton.count(automaton.arrays, state_N)
  limit = jnp.max(jnp.where(alive_N, count_N, 0))

  def block(carry: tuple[jax.Array, jax.Array, jax.Array]):
    offset, top_N, sum_N = carry
    token_NxW, _, legal_NxW = automaton.children(
      automaton.arrays, state_N, offset, width
    )
    logit_NxW = jnp.take_along_axis(logits_NxV, token_NxW, axis=1)
    logit_NxW = jnp.where(legal_NxW, _key(logit_NxW, True), -jnp.inf)
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


def _top_k(key: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """The k greatest of each row, of equals the first.

  The barrier keeps XLA from merging a slice of the result into it, which on CPU
  turns the selection into a sort that is 30 times as slow.
  """
  return lax.optimization_barrier(tuple(lax.top_k(key, k)))


def _key(score: jax.Array, legal: jax.Array | bool) -> jax.Array:
  """Scores as numbers that sort: no NaN, no -0, -inf only for illegal."""
  score = jnp.where(jnp.isnan(score), _LOWEST, score)
  score = jnp.clip(score, _LOWEST, _HIGHEST)
  score = jnp.where(score == 0, 0.0, score)
  return jnp.where(legal, score, -jnp.inf)


def _score(key: jax.Array) -> jax.Array:
  return jnp.where(key <= _LOWEST, -jnp.inf, key)


def _reorder(cache: Any, parent_N: jax.Array, num_beams: int) -> Any:
  if num_beams == 1:
    return cache
  return jax.tree.map(lambda x: x[parent_N] if x.ndim else x, cache)


def _empty_pool(batch_size: int, num_beams: int, max_length: int) -> _Pool:
  shape = (batch_size, num_beams)
  return _Pool(
    jnp.zeros((*shape, max_length), jnp.int32),
    jnp.full(shape, -jnp.inf, jnp.float32),
    jnp.zeros(shape, jnp.int32),
  )


def _output(pool: _Pool) -> BeamSearchOutput:
  legal_BxK = pool.key_BxK > -jnp.inf
  return BeamSearchOutput(
    tokens=jnp.where(legal_BxK[..., None], pool.tokens_BxKxL, 0),
    scores=_score(pool.key_BxK),
    lengths=jnp.where(legal_BxK, pool.lengths_BxK, 0),
    legal=legal_BxK,
  )


def _automaton(
  constraint: SupportsConstraint | None, eos_id: int
) -> protocol.Constraint | None:
  if constraint is None:
    return None
  if not hasattr(constraint, 'constraint'):
    raise ValueError(
      'Expected constraint=None, a Constraint, or an object with a '
      f'constraint() method but got {type(constraint).__name__}; build a Trie '
      'from it.'
    )
  automaton = constraint.constraint()
  if automaton.eos_id not in (None, eos_id):
    raise ValueError(
      f'Expected eos_id={automaton.eos_id}, which the constraint was built '
      f'with, but got eos_id={eos_id}; pass the same.'
    )
  arrays = jax.tree.map(jnp.asarray, automaton.arrays)
  return dataclasses.replace(automaton, arrays=arrays)


def _check_arguments(
  batch_size: int, num_beams: int, max_length: int, normalize: str
) -> None:
  for name, value, least in (
    ('batch_size', batch_size, 0),
    ('num_beams', num_beams, 1),
    ('max_length', max_length, 1),
  ):
    if value < least:
      raise ValueError(
        f'Expected {name} of at least {least} but got {value}; pass a greater '
        'number.'
      )
  if normalize not in NORMALIZE:
    raise ValueError(
      f'Expected normalize to be one of {", ".join(NORMALIZE)} but got '
      f'{normalize!r}; choose one of them.'
    )


def _check_cache(cache: Any, count: int) -> None:
  for path, leaf in jax.tree_util.tree_leaves_with_path(cache):
    if leaf.ndim and leaf.shape[0] != count:
      raise ValueError(
        f'Expected {count} rows (batch_size * num_beams) or a scalar in '
        f'cache{jax.tree_util.keystr(path)} but got shape {leaf.shape}; repeat '
        'its rows for the beams of a query, or let tokens_to_logits close over '
        'what beams share.'
      )


def _check_logits(
  logits_NxV: jax.Array,
  count: int,
  automaton: protocol.Constraint | None,
  eos_id: int,
) -> int:
  if logits_NxV.ndim != 2 or len(logits_NxV) != count:
    raise ValueError(
      f'Expected logits of shape ({count}, V) from tokens_to_logits but got '
      f'{logits_NxV.shape}; return one row for each token it is given.'
    )
  vocab_size = logits_NxV.shape[1]
  needed = max(eos_id + 1, (automaton and automaton.vocab_size) or 0)
  if vocab_size < needed:
    raise ValueError(
      f'Expected logits of at least {needed} tokens, as the constraint and eos '
      f'need, but got {vocab_size}; use the vocabulary of the model.'
    )
  return vocab_size
