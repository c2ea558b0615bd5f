# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constrained beam search inside jit, exact and deterministic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genret.constraints import protocol
from genret.constraints.protocol import SupportsConstraint
from genret.decoding import arguments
from genret.decoding.candidates import (
  Continuations,
  best_continuations,
)
from genret.decoding.diverse import diverse_continuations, join_groups
from genret.decoding.length_penalty import (
  best_reachable,
  divisors,
  penalised,
)
from genret.decoding.pool import Pool, add_answers, empty_pool
from genret.decoding.scores import NORMALIZE, Scorer, score_of_key, scorer_of
from genret.decoding.step_candidates import (
  Kept,
  StepCandidates,
  keep_step,
  nothing_kept,
  step_candidates,
)


class BeamSearchOutput(NamedTuple):
  """The K best answers to each query, best first.

  Arrays of JAX as `beam_search` returns them, of NumPy once fetched.

  Attributes:
    tokens: int32 [B, K, L], without the start id, with eos where there was one,
      padded with 0.
    scores: float32 [B, K], sums of log-probabilities (of logits for
      normalize='none'), divided by the length penalty if there is one; -inf
      where there is no answer.
    lengths: int32 [B, K], tokens in each answer, eos included.
    legal: bool [B, K], False only where fewer than K answers were found.
    candidates: what keep_candidates asked for.
  """

  tokens: jax.Array | np.ndarray
  scores: jax.Array | np.ndarray
  lengths: jax.Array | np.ndarray
  legal: jax.Array | np.ndarray
  candidates: StepCandidates | None = None


class _Options(NamedTuple):
  """What does not change during a search; R = B * G rows of K / G beams."""

  batch_size: int
  num_beams: int
  max_length: int
  eos_id: int
  normalize: str
  num_probes: int | None
  list_limit: int | None
  divisor: np.ndarray | None
  keep_candidates: int
  num_groups: int
  diversity_penalty: float


class _Search(NamedTuple):
  """What one step hands to the next; N = B * K, M = K / G beams of a group."""

  step: jax.Array
  token_N: jax.Array  # Written last.
  tokens_RxMxL: jax.Array
  key_RxM: jax.Array  # -inf where the beam is dead.
  state_N: protocol.State
  cache: Any
  pool: Pool
  kept: Kept | None


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
  length_penalty: str = 'none',
  alpha: float = 1.0,
  keep_candidates: int = 0,
  num_groups: int = 1,
  diversity_penalty: float = 0.5,
  num_probes: int | None = None,
  list_limit: int | None = None,
) -> BeamSearchOutput:
  """Finds the K best legal answers to each of B queries.

  At each step every legal eos continuation of the K live beams enters the pool
  of finished answers, which keeps the K best, and the K best other legal
  continuations become the live beams. Candidates are ordered by score, then by
  beam, then by token id; the pool by score, then by when they finished. A live
  beam that arrives in a state which the constraint `finishes` enters the pool
  without eos and is not continued. At max_length, live beams enter the pool if
  the constraint `accepts` their states and are dropped otherwise. The search
  ends early once no live beam can improve the pool. So where K covers all legal
  prefixes, the answer is that of exhaustive enumeration.

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
    length_penalty: answers compare by their sums ('none'), or by these divided
      by ((5 + length) / 6)^alpha ('gnmt', as T5X) or by length^alpha ('length',
      as fairseq and transformers). Lengths count eos.
    alpha: its exponent.
    keep_candidates: C; if positive, `candidates` of the output holds the C best
      of all legal continuations at each step, eos among them (SEAL keeps 2K).
      The search then ends only when no beam lives or at max_length.
    num_groups: G, which divides K: diverse beam search (Vijayakumar et al.,
      2016) with K / G beams and a pool of K / G answers in each group.
    diversity_penalty: what a token costs a group for each beam of earlier
      groups that chose it at this step. Scores are without it.
    num_probes: tokens probed for each beam. Speed only.
    list_limit: list slots, instead of probing, where beams have no more than
      this. Speed only.

  Returns:
    See `BeamSearchOutput`.

  Raises:
    ValueError: an argument is out of range, or the constraint, the cache or the
      logits do not fit the others.
  """
  arguments.check_at_least(max_length=(max_length, 1))
  options = _Options(
    batch_size,
    num_beams,
    max_length,
    eos_id,
    normalize,
    num_probes,
    list_limit,
    divisors(length_penalty, alpha, max_length),
    keep_candidates,
    num_groups,
    diversity_penalty,
  )
  _check(options)
  if batch_size == 0:
    kept = nothing_kept(0, max_length, keep_candidates)
    return _output(empty_pool(0, num_beams, max_length), kept)
  count = batch_size * num_beams
  cache = jax.tree.map(jnp.asarray, cache)
  arguments.check_cache(cache, count)
  automaton = arguments.automaton_of(constraint, eos_id, batch_size)
  start = automaton or protocol.unconstrained(0)

  def advance(search: _Search) -> _Search:
    logits_NxV, cache = tokens_to_logits(search.token_N, search.cache)
    size = arguments.check_logits(logits_NxV, count, automaton, eos_id)
    live = automaton or protocol.unconstrained(size)
    return _advance(options, live, search._replace(cache=cache), logits_NxV)

  search = lax.while_loop(
    functools.partial(_unfinished, options),
    advance,
    _first(options, start, start_id, cache),
  )
  accepted_N = start.accepts(start.arrays, search.state_N)
  kept_N = accepted_N & (search.step == max_length)
  last = _only(search.key_RxM, kept_N)
  pool = _add(options, search.pool, search.tokens_RxMxL, last, max_length)
  return _output(join_groups(pool, num_groups), search.kept)


def _first(
  options: _Options,
  automaton: protocol.Constraint,
  start_id: int,
  cache: Any,
) -> _Search:
  """One live beam a group, which has written nothing."""
  count = options.batch_size * options.num_beams
  members = options.num_beams // options.num_groups
  rows = options.batch_size * options.num_groups
  pool = empty_pool(rows, members, options.max_length)
  first_M = jnp.where(jnp.arange(members) == 0, 0.0, -jnp.inf)
  return _Search(
    step=jnp.zeros((), jnp.int32),
    token_N=jnp.full(count, start_id, jnp.int32),
    tokens_RxMxL=pool.tokens_BxKxL,
    key_RxM=jnp.broadcast_to(first_M, (rows, members)).astype(jnp.float32),
    state_N=automaton.start(automaton.arrays, count),
    cache=cache,
    pool=pool,
    kept=nothing_kept(
      options.batch_size, options.max_length, options.keep_candidates
    ),
  )


def _unfinished(options: _Options, search: _Search) -> jax.Array:
  best_R = search.key_RxM.max(axis=1)
  going_R = best_R > -jnp.inf
  if options.normalize != 'none' and not options.keep_candidates:
    # Sums only fall: can one still enter the pool?
    bound_R = best_reachable(best_R, options.divisor, search.step + 1)
    going_R &= bound_R > search.pool.key_BxK[:, -1]
  return (search.step < options.max_length) & going_R.any()


def _advance(
  options: _Options,
  automaton: protocol.Constraint,
  search: _Search,
  logits_NxV: jax.Array,
) -> _Search:
  """One step, after the model's."""
  shape, count = search.key_RxM.shape, len(logits_NxV)
  scorer = scorer_of(
    logits_NxV,
    search.key_RxM.reshape(-1),
    automaton,
    search.state_N,
    options.normalize,
  )
  eos_N = protocol.eos_tokens(automaton, search.state_N, options.eos_id)
  legal_N = protocol.probe_eos(automaton, search.state_N, eos_N) > 0
  end_Nx1 = jnp.maximum(eos_N, 0)[:, None]
  end_key_N = scorer.key_of(end_Nx1, legal_N[:, None])[:, 0]
  ended = search.tokens_RxMxL.at[:, :, search.step].set(end_Nx1.reshape(shape))
  length = search.step + 1
  pool = _add(options, search.pool, ended, end_key_N.reshape(shape), length)

  best, kept = _choose(options, scorer, automaton, search, eos_N, end_key_N)
  parent_N, token_N = best.parent_BxC.reshape(-1), best.token_BxC.reshape(-1)
  tokens_NxL = search.tokens_RxMxL.reshape(count, options.max_length)
  tokens_NxL = tokens_NxL[parent_N].at[:, search.step].set(token_N)
  tokens_RxMxL = tokens_NxL.reshape(ended.shape)
  state_N = jax.tree.map(
    lambda x: x.reshape(count, *x.shape[2:]), best.state_BxC
  )
  key_RxM = best.key_BxC
  if automaton.finishes is not None:
    done_N = automaton.finishes(automaton.arrays, state_N)
    done_key_RxM = _only(key_RxM, done_N)
    pool = _add(options, pool, tokens_RxMxL, done_key_RxM, length)
    key_RxM = _only(key_RxM, ~done_N)
  cache = _reorder(search.cache, parent_N, options.num_beams)
  return _Search(
    length, token_N, tokens_RxMxL, key_RxM, state_N, cache, pool, kept
  )


def _choose(
  options: _Options,
  scorer: Scorer,
  automaton: protocol.Constraint,
  search: _Search,
  eos_N: jax.Array,
  end_key_N: jax.Array,
) -> tuple[Continuations, Kept | None]:
  """The next live beams [R, M], and the candidates with those of this step."""
  num_beams, keep = options.num_beams, options.keep_candidates
  most = max(num_beams, keep)
  num_probes = options.num_probes or max(2 * most, 64)
  diverse = options.num_groups > 1
  if keep or not diverse:
    widest = best_continuations(
      scorer,
      automaton,
      search.state_N,
      eos_N,
      num_beams=num_beams,
      keep=keep if diverse else most,
      num_probes=num_probes,
      list_limit=options.list_limit,
    )
  kept = search.kept
  if kept is not None:
    by_query = (-1, num_beams)
    kept = keep_step(
      kept,
      search.step,
      search.tokens_RxMxL.reshape(*by_query, options.max_length),
      widest,
      end_key_N.reshape(by_query),
      jnp.maximum(eos_N, 0).reshape(by_query),
    )
  if diverse:
    best = diverse_continuations(
      scorer,
      automaton,
      search.state_N,
      eos_N,
      num_beams=num_beams,
      num_groups=options.num_groups,
      diversity_penalty=options.diversity_penalty,
      num_probes=num_probes,
      list_limit=options.list_limit,
    )
    return best, kept
  return jax.tree.map(lambda x: x[:, :num_beams], widest), kept


def _add(
  options: _Options,
  pool: Pool,
  tokens_RxMxL: jax.Array,
  key_RxM: jax.Array,
  length: jax.Array | int,
) -> Pool:
  key_RxM = penalised(key_RxM, options.divisor, length)
  return add_answers(pool, tokens_RxMxL, key_RxM, length)


def _only(key_BxK: jax.Array, wanted_N: jax.Array) -> jax.Array:
  return jnp.where(wanted_N.reshape(key_BxK.shape), key_BxK, -jnp.inf)


def _reorder(cache: Any, parent_N: jax.Array, num_beams: int) -> Any:
  if num_beams == 1:
    return cache
  return jax.tree.map(lambda x: x[parent_N] if x.ndim else x, cache)


def _output(pool: Pool, kept: Kept | None) -> BeamSearchOutput:
  legal_BxK = pool.key_BxK > -jnp.inf
  return BeamSearchOutput(
    tokens=jnp.where(legal_BxK[..., None], pool.tokens_BxKxL, 0),
    scores=score_of_key(pool.key_BxK),
    lengths=jnp.where(legal_BxK, pool.lengths_BxK, 0),
    legal=legal_BxK,
    candidates=step_candidates(kept),
  )


def _check(options: _Options) -> None:
  arguments.check_at_least(
    batch_size=(options.batch_size, 0),
    num_beams=(options.num_beams, 1),
    keep_candidates=(options.keep_candidates, 0),
    num_groups=(options.num_groups, 1),
    diversity_penalty=(options.diversity_penalty, 0),
  )
  arguments.check_choice('normalize', options.normalize, NORMALIZE)
  if options.num_beams % options.num_groups:
    raise ValueError(
      f'Expected num_groups to divide num_beams={options.num_beams} but got '
      f'{options.num_groups}; choose a divisor.'
    )
