# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constrained sampling inside jit: independent draws of legal answers.

Without top-k and nucleus, adding Gumbel noise to the logits and taking the best
legal token draws from the softmax over the legal ones, so no list of them is
needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from genret.constraints import protocol
from genret.constraints.protocol import SupportsConstraint
from genret.decoding import arguments
from genret.decoding.beam import BeamSearchOutput
from genret.decoding.candidates import Continuations, best_continuations
from genret.decoding.scores import Scorer, score_of_key, scorer_of


class _Sampling(NamedTuple):
  """What one step hands to the next; N = B * S."""

  step: jax.Array
  token_N: jax.Array  # Drawn last.
  tokens_NxL: jax.Array
  key_N: jax.Array
  lengths_N: jax.Array  # 0 while an answer is not finished.
  alive_N: jax.Array
  state_N: protocol.State
  cache: Any


def constrained_sample(
  tokens_to_logits: Callable[[jax.Array, Any], tuple[jax.Array, Any]],
  cache: Any,
  *,
  rng: jax.Array,
  batch_size: int,
  num_samples: int,
  max_length: int,
  constraint: SupportsConstraint | None = None,
  eos_id: int = 1,
  start_id: int = 0,
  temperature: float = 1.0,
  top_k: int = 0,
  top_p: float = 1.0,
) -> BeamSearchOutput:
  """Draws S answers to each of B queries, with replacement.

  Every token is drawn from the softmax of the model's logits over the legal
  tokens, eos among them; what ends an answer is as in `beam_search`. A draw that
  comes to where nothing is legal, or to max_length in a state that the
  constraint does not accept, is no answer.

  Args:
    tokens_to_logits: as in `beam_search`, for N = B * S rows.
    cache: likewise.
    rng: a key of jax.random.
    batch_size: B.
    num_samples: S.
    max_length: L, the most tokens an answer may have, eos included.
    constraint: a trie, an index or a `Constraint`; None allows everything.
    eos_id: the token that ends an answer.
    start_id: the first token given to the model.
    temperature: logits are divided by this; above 0.
    top_k: draw from the k best legal tokens only; 0 for all. Of equals, the
      lower tokens count as better.
    top_p: draw from the fewest best tokens, of those that top_k leaves, whose
      probabilities add up to this (nucleus sampling; Holtzman et al., 2020).

  Returns:
    Answers in the order they were drawn. Scores are sums of log-probabilities
    over the whole vocabulary, at temperature 1; where a draw is no answer,
    legal is False and the score -inf.

  Raises:
    ValueError: as `beam_search`, or a temperature, top_k or top_p is out of
      range.
  """
  _check(batch_size, num_samples, max_length, temperature, top_k, top_p)
  count = batch_size * num_samples
  cache = jax.tree.map(jnp.asarray, cache)
  arguments.check_cache(cache, count)
  automaton = arguments.automaton_of(constraint, eos_id, batch_size)
  start = automaton or protocol.unconstrained(0)
  sampling = _Sampling(
    step=jnp.zeros((), jnp.int32),
    token_N=jnp.full(count, start_id, jnp.int32),
    tokens_NxL=jnp.zeros((count, max_length), jnp.int32),
    key_N=jnp.zeros(count, jnp.float32),
    lengths_N=jnp.zeros(count, jnp.int32),
    alive_N=jnp.ones(count, bool),
    state_N=start.start(start.arrays, count),
    cache=cache,
  )

  def advance(sampling: _Sampling) -> _Sampling:
    logits_NxV, cache = tokens_to_logits(sampling.token_N, sampling.cache)
    size = arguments.check_logits(logits_NxV, count, automaton, eos_id)
    live = automaton or protocol.unconstrained(size)
    logits_NxV = logits_NxV.astype(jnp.float32)
    drawn = _draw(
      jax.random.fold_in(rng, sampling.step),
      Scorer.of_logits(logits_NxV / temperature, sampling.alive_N),
      live,
      sampling.state_N,
      top_k=top_k,
      top_p=top_p,
    )
    return _extend(
      sampling._replace(cache=cache), live, eos_id, logits_NxV, drawn
    )

  if count:
    sampling = lax.while_loop(
      lambda s: (s.step < max_length) & s.alive_N.any(), advance, sampling
    )
  accepted_N = start.accepts(start.arrays, sampling.state_N) & sampling.alive_N
  lengths_N = jnp.where(accepted_N, max_length, sampling.lengths_N)
  legal_N = lengths_N > 0
  shape = (batch_size, num_samples)
  tokens_NxL = jnp.where(legal_N[:, None], sampling.tokens_NxL, 0)
  scores_N = jnp.where(legal_N, score_of_key(sampling.key_N), -jnp.inf)
  return BeamSearchOutput(
    tokens=tokens_NxL.reshape(*shape, max_length),
    scores=scores_N.reshape(shape),
    lengths=lengths_N.reshape(shape),
    legal=legal_N.reshape(shape),
  )


def _draw(
  rng: jax.Array,
  scorer: Scorer,
  automaton: protocol.Constraint,
  state_N: protocol.State,
  *,
  top_k: int,
  top_p: float,
) -> Continuations:
  """One continuation of each row, [N, 1]."""
  count, vocab_size = scorer.logits_NxV.shape
  none_N = jnp.full(count, -1, jnp.int32)  # eos is drawn as others are.
  if not top_k and top_p == 1:
    noise_NxV = jax.random.gumbel(rng, (count, vocab_size))
    return best_continuations(
      scorer._replace(logits_NxV=scorer.logits_NxV + noise_NxV),
      automaton,
      state_N,
      none_N,
      num_beams=1,
      keep=1,
      num_probes=64,
      list_limit=None,
    )
  most = min(automaton.max_slots, vocab_size)
  best = best_continuations(
    scorer,
    automaton,
    state_N,
    none_N,
    num_beams=1,
    keep=min(top_k, most) if top_k else most,
    num_probes=max(2 * top_k, 64),
    list_limit=None if top_k else automaton.max_slots,
  )
  key_NxC = jnp.where(_nucleus(best.key_BxC, top_p), best.key_BxC, -jnp.inf)
  noise_NxC = jax.random.gumbel(rng, key_NxC.shape)
  column_Nx1 = jnp.argmax(key_NxC + noise_NxC, axis=1)[:, None]
  row_Nx1 = jnp.arange(count)[:, None]
  return jax.tree.map(lambda leaf: leaf[row_Nx1, column_Nx1], best)


def _nucleus(key_NxC: jax.Array, top_p: float) -> jax.Array:
  """Which of these keys, best first, are needed for a mass of top_p."""
  if top_p == 1:
    return jnp.ones(key_NxC.shape, bool)
  legal_NxC = key_NxC > -jnp.inf
  top_Nx1 = jnp.where(legal_NxC[:, :1], key_NxC[:, :1], 0.0)
  mass_NxC = jnp.exp(key_NxC - top_Nx1)
  mass_NxC /= jnp.maximum(mass_NxC.sum(axis=1, keepdims=True), 1.0)
  before_NxC = jnp.cumsum(mass_NxC, axis=1) - mass_NxC
  first_1xC = jnp.arange(key_NxC.shape[1])[None] == 0
  return (before_NxC < top_p) | first_1xC


def _extend(
  sampling: _Sampling,
  automaton: protocol.Constraint,
  eos_id: int,
  logits_NxV: jax.Array,
  drawn: Continuations,
) -> _Sampling:
  """Writes what was drawn and takes out the answers that it finishes."""
  key_N = jnp.where(sampling.alive_N, sampling.key_N, -jnp.inf)
  scorer = scorer_of(
    logits_NxV, key_N, automaton, sampling.state_N, 'vocabulary'
  )
  found_N = drawn.key_BxC[:, 0] > -jnp.inf
  token_N = drawn.token_BxC[:, 0]
  new_key_N = scorer.key_of(token_N[:, None], found_N[:, None])[:, 0]
  eos_N = protocol.eos_tokens(automaton, sampling.state_N, eos_id)
  state_N = jax.tree.map(lambda leaf: leaf[:, 0], drawn.state_BxC)
  done_N = token_N == eos_N
  if automaton.finishes is not None:
    done_N |= automaton.finishes(automaton.arrays, state_N)
  done_N &= found_N
  length = sampling.step + 1
  return _Sampling(
    step=length,
    token_N=token_N,
    tokens_NxL=sampling.tokens_NxL.at[:, sampling.step].set(token_N),
    key_N=jnp.where(found_N, new_key_N, sampling.key_N),
    lengths_N=jnp.where(done_N, length, sampling.lengths_N),
    alive_N=found_N & ~done_N,
    state_N=state_N,
    cache=sampling.cache,
  )


def _check(
  batch_size: int,
  num_samples: int,
  max_length: int,
  temperature: float,
  top_k: int,
  top_p: float,
) -> None:
  arguments.check_at_least(
    batch_size=(batch_size, 0),
    num_samples=(num_samples, 1),
    max_length=(max_length, 1),
    top_k=(top_k, 0),
  )
  if not 0 < temperature < float('inf'):
    raise ValueError(
      f'Expected a temperature above 0 but got {temperature}; for the best '
      'token at each step, pass top_k=1.'
    )
  if not 0 < top_p <= 1:
    raise ValueError(
      f'Expected top_p above 0 and at most 1 but got {top_p}; 1 takes all.'
    )
