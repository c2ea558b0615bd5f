# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Several constraints in one batch, one for each query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genret.constraints import protocol
from genret.constraints.protocol import Constraint, State, SupportsConstraint


class _Choice(NamedTuple):
  constraints: tuple[Constraint, ...]
  which_B: jax.Array


class _ChoiceState(NamedTuple):
  states: tuple[State, ...]  # One a constraint; only the chosen one counts.
  which_N: jax.Array


def side_by_side(
  constraints: Sequence[SupportsConstraint], which: Any
) -> Constraint:
  """Searches query b under constraints[which[b]].

  Every constraint walks with every beam, so this costs as much as all of them;
  where only prefixes, ends or lengths differ, `combine` gives them a row a query
  and walks once. Where constraints end answers with different tokens, each
  query ends with its own, and one that names none with the search's eos.

  Args:
    constraints: at least one.
    which: int [B].

  Raises:
    ValueError: there are no constraints, or `which` has another shape or names
      one that is not there.
  """
  inner = tuple(c.constraint() for c in constraints)
  which_B = jnp.asarray(which)
  if which_B.ndim != 1 or not jnp.issubdtype(which_B.dtype, jnp.integer):
    raise ValueError(
      'Expected which constraint each query uses as integers of shape [B] but '
      f'got {which_B.dtype} of shape {which_B.shape}; give one number a query.'
    )
  if not isinstance(which_B, jax.core.Tracer):
    wrong = np.unique(which_B[(which_B < 0) | (which_B >= len(inner))])
    if len(wrong) or not inner:
      raise ValueError(
        f'Expected numbers below {len(inner)}, the number of constraints, but '
        f'got {wrong.tolist()}; pass every constraint that queries use.'
      )
  eos_ids = {c.eos_id for c in inner if c.eos_id is not None}
  differ = len(eos_ids) > 1 or any(c.eos is not None for c in inner)
  limits = [c.list_limit for c in inner if c.list_limit is not None]
  sizes = [c.vocab_size for c in inner if c.vocab_size is not None]
  return Constraint(
    _Choice(inner, which_B.astype(jnp.int32)),
    _start,
    _probe,
    _children,
    _slots,
    _total,
    _accepts,
    _finishes if any(c.finishes is not None for c in inner) else None,
    eos=_eos if differ else None,
    max_slots=max(c.max_slots for c in inner),
    unsorted_slots=any(c.unsorted_slots for c in inner),
    list_limit=min(limits) if limits else None,
    vocab_size=max(sizes) if len(sizes) == len(inner) else None,
    eos_id=eos_ids.pop() if len(eos_ids) == 1 else None,
    batch_size=protocol.same_batch(
      len(which_B), *(c.batch_size for c in inner)
    ),
  )


def _start(arrays: _Choice, n: int) -> _ChoiceState:
  query_N = protocol.query_of_rows(len(arrays.which_B), n)
  return _ChoiceState(
    tuple(c.start(c.arrays, n) for c in arrays.constraints),
    arrays.which_B[query_N],
  )


def _pick(which_N: jax.Array, answers: Sequence[jax.Array]) -> jax.Array:
  """Of each row, the answer of its own constraint."""
  picked = answers[0]
  for i, answer in enumerate(answers[1:], 1):
    picked = protocol.choose(which_N == i, answer, picked)
  return picked


def _of_state(name: str, arrays: _Choice, state_N: _ChoiceState) -> jax.Array:
  """What each row's constraint says of its state."""
  answers = [
    getattr(c, name)(c.arrays, state)
    for c, state in zip(arrays.constraints, state_N.states, strict=True)
  ]
  return _pick(state_N.which_N, answers)


def _probe(
  arrays: _Choice, state_N: _ChoiceState, token_NxT: jax.Array
) -> tuple[jax.Array, _ChoiceState]:
  masses, states = zip(
    *(
      c.probe(c.arrays, state, token_NxT)
      for c, state in zip(arrays.constraints, state_N.states, strict=True)
    ),
    strict=True,
  )
  which_NxT = protocol.repeat(state_N.which_N, token_NxT.shape[1])
  return _pick(state_N.which_N, masses), _ChoiceState(states, which_NxT)


def _children(
  arrays: _Choice, state_N: _ChoiceState, offset: jax.Array | int, width: int
) -> tuple[jax.Array, _ChoiceState, jax.Array]:
  tokens, states, legals = zip(
    *(
      c.children(c.arrays, state, offset, width)
      for c, state in zip(arrays.constraints, state_N.states, strict=True)
    ),
    strict=True,
  )
  which_N = state_N.which_N
  state_NxW = _ChoiceState(states, protocol.repeat(which_N, width))
  return _pick(which_N, tokens), state_NxW, _pick(which_N, legals)


def _slots(arrays: _Choice, state_N: _ChoiceState) -> jax.Array:
  return _of_state('slots', arrays, state_N)


def _total(arrays: _Choice, state_N: _ChoiceState) -> jax.Array:
  return _of_state('total', arrays, state_N)


def _accepts(arrays: _Choice, state_N: _ChoiceState) -> jax.Array:
  return _of_state('accepts', arrays, state_N)


def _finishes(arrays: _Choice, state_N: _ChoiceState) -> jax.Array:
  nowhere_N = jnp.zeros(len(state_N.which_N), bool)
  answers = [
    c.finishes(c.arrays, state) if c.finishes is not None else nowhere_N
    for c, state in zip(arrays.constraints, state_N.states, strict=True)
  ]
  return _pick(state_N.which_N, answers)


def _eos(
  arrays: _Choice, state_N: _ChoiceState, eos_id: int | jax.Array
) -> jax.Array:
  answers = [
    protocol.eos_tokens(c, state, eos_id if c.eos_id is None else c.eos_id)
    for c, state in zip(arrays.constraints, state_N.states, strict=True)
  ]
  return _pick(state_N.which_N, answers)
