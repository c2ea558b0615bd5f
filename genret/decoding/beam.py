# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constrained beam search inside jit, exact and deterministic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genret.constraints import protocol
from genret.constraints.protocol import SupportsConstraint
from genret.decoding.candidates import best_continuations
from genret.decoding.pool import Pool, add_answers, empty_pool
from genret.decoding.scores import (
  NORMALIZE,
  Scorer,
  score_of_key,
  scorer_of,
)


class BeamSearchOutput(NamedTuple):
  """The K best answers to each query, best first.

  Arrays of JAX as `beam_search` returns them, of NumPy once fetched.

  Attributes:
    tokens: int32 [B, K, L], without the start id, with eos where there was one,
      padded with 0.
    scores: float32 [B, K], sums of log-probabilities (of logits for
      normalize='none'); -inf where there is no answer.
    lengths: int32 [B, K], tokens in each answer, eos included.
    legal: bool [B, K], False only where fewer than K answers were found.
  """

  tokens: jax.Array | np.ndarray
  scores: jax.Array | np.ndarray
  lengths: jax.Array | np.ndarray
  legal: jax.Array | np.ndarray


class _Search(NamedTuple):
  """What one step hands to the next."""

  step: jax.Array
  token_N: jax.Array  # Written last.
  tokens_BxKxL: jax.Array
  key_BxK: jax.Array  # -inf where the beam is dead.
  state_N: protocol.State
  cache: Any
  pool: Pool


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
    num_probes: tokens probed for each beam. Speed only.
    list_limit: list slots, instead of probing, where no beam has more than
      this. Speed only.

  Returns:
    See `BeamSearchOutput`.

  Raises:
    ValueError: an argument is out of range, or the constraint, the cache or the
      logits do not fit the others.
  """
  _check_arguments(batch_size, num_beams, max_length, normalize)
  if batch_size == 0:
    return _output(empty_pool(0, num_beams, max_length))
  count = batch_size * num_beams
  cache = jax.tree.map(jnp.asarray, cache)
  _check_cache(cache, count)
  automaton = _automaton(constraint, eos_id, batch_size)

  def unfinished(search: _Search) -> jax.Array:
    best_B = search.key_BxK.max(axis=1)
    going_B = best_B > -jnp.inf
    if normalize != 'none':  # Scores only fall: can one still enter the pool?
      going_B &= best_B > search.pool.key_BxK[:, -1]
    return (search.step < max_length) & going_B.any()

  def advance(search: _Search) -> _Search:
    logits_NxV, cache = tokens_to_logits(search.token_N, search.cache)
    vocab_size = _check_logits(logits_NxV, count, automaton, eos_id)
    live = automaton or protocol.unconstrained(vocab_size)
    scorer = scorer_of(
      logits_NxV, search.key_BxK.reshape(-1), live, search.state_N, normalize
    )
    eos_N = protocol.eos_tokens(live, search.state_N, eos_id)
    pool = _end(search, scorer, live, eos_N)
    best = best_continuations(
      scorer,
      live,
      search.state_N,
      eos_N,
      num_beams=num_beams,
      keep=num_beams,
      num_probes=num_probes or max(2 * num_beams, 64),
      list_limit=max(vocab_size // 2, 2048)
      if list_limit is None
      else list_limit,
    )
    parent_N, token_N = best.parent_BxC.reshape(-1), best.token_BxC.reshape(-1)
    tokens_NxL = search.tokens_BxKxL.reshape(count, max_length)
    tokens_NxL = tokens_NxL[parent_N].at[:, search.step].set(token_N)
    return _finish(
      _Search(
        step=search.step + 1,
        token_N=token_N,
        tokens_BxKxL=tokens_NxL.reshape(search.tokens_BxKxL.shape),
        key_BxK=best.key_BxC,
        state_N=jax.tree.map(
          lambda x: x.reshape(count, *x.shape[2:]), best.state_BxC
        ),
        cache=_reorder(cache, parent_N, num_beams),
        pool=pool,
      ),
      live,
    )

  start = automaton or protocol.unconstrained(0)
  pool = empty_pool(batch_size, num_beams, max_length)
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
  accepted_N = start.accepts(start.arrays, search.state_N)
  kept_N = accepted_N & (search.step == max_length)
  pool = add_answers(
    search.pool,
    search.tokens_BxKxL,
    _only(search.key_BxK, kept_N),
    max_length,
  )
  return _output(pool)


def _end(
  search: _Search,
  scorer: Scorer,
  automaton: protocol.Constraint,
  eos_N: jax.Array,
) -> Pool:
  """The pool with every legal eos continuation."""
  legal_N = protocol.probe_eos(automaton, search.state_N, eos_N) > 0
  token_Nx1 = jnp.maximum(eos_N, 0)[:, None]
  key_N = scorer.key_of(token_Nx1, legal_N[:, None])[:, 0]
  shape = search.key_BxK.shape
  return add_answers(
    search.pool,
    search.tokens_BxKxL.at[:, :, search.step].set(token_Nx1.reshape(shape)),
    key_N.reshape(shape),
    search.step + 1,
  )


def _finish(search: _Search, automaton: protocol.Constraint) -> _Search:
  """Moves the beams that are answers already to the pool."""
  if automaton.finishes is None:
    return search
  done_N = automaton.finishes(automaton.arrays, search.state_N)
  pool = add_answers(
    search.pool,
    search.tokens_BxKxL,
    _only(search.key_BxK, done_N),
    search.step,
  )
  return search._replace(pool=pool, key_BxK=_only(search.key_BxK, ~done_N))


def _only(key_BxK: jax.Array, wanted_N: jax.Array) -> jax.Array:
  return jnp.where(wanted_N.reshape(key_BxK.shape), key_BxK, -jnp.inf)


def _reorder(cache: Any, parent_N: jax.Array, num_beams: int) -> Any:
  if num_beams == 1:
    return cache
  return jax.tree.map(lambda x: x[parent_N] if x.ndim else x, cache)


def _output(pool: Pool) -> BeamSearchOutput:
  legal_BxK = pool.key_BxK > -jnp.inf
  return BeamSearchOutput(
    tokens=jnp.where(legal_BxK[..., None], pool.tokens_BxKxL, 0),
    scores=score_of_key(pool.key_BxK),
    lengths=jnp.where(legal_BxK, pool.lengths_BxK, 0),
    legal=legal_BxK,
  )


def _automaton(
  constraint: SupportsConstraint | None, eos_id: int, batch_size: int
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
  if automaton.batch_size not in (None, batch_size):
    raise ValueError(
      f'Expected a constraint for {batch_size} queries but got one for '
      f'{automaton.batch_size}; give it one row for each query.'
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
