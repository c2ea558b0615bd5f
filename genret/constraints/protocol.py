# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The constraint protocol: which tokens may follow, as pure functions.

A constraint is an automaton. Its arrays are a pytree and travel as arguments of
jit; its state, one row a beam, is a pytree too, so the search reorders it just
as it reorders the model's cache. No function needs a table of beams by
vocabulary: a state is asked about some tokens (`probe`) or lists the tokens it
allows, in blocks (`children`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

State = Any  # A pytree whose leaves have one row a beam.


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['arrays'],
  meta_fields=[
    'start',
    'probe',
    'children',
    'count',
    'max_children',
    'vocab_size',
    'eos_id',
    'open_ended',
  ],
)
@dataclasses.dataclass(frozen=True)
class Constraint:
  """Which token may come next; functions are of module level, so jit can tell
  that two constraints differ in their arrays only.

  eos is a token like others: legal where an answer may end. What follows an
  illegal token is of no interest, but must not fail.

  Attributes:
    arrays: a pytree, given to each function.
    start: (arrays, n) -> the state of n beams that have written nothing.
    probe: (arrays, state_N, token_NxT) -> (legal_NxT, state_NxT): are these
      tokens allowed, and the states after them (leaves [N, T, ...]).
    children: (arrays, state_N, offset, width) -> (token_NxW, state_NxW,
      legal_NxW): from each beam's allowed tokens in ascending order, those of
      rank offset to offset + width; legal is False where there are none left.
      offset may be traced, width is a Python number.
    count: (arrays, state_N) -> how many tokens are allowed.
    max_children: no state allows more tokens than this.
    vocab_size: all allowed tokens are below; None if that is not known.
    eos_id: the token this constraint ends answers with; None if any will do.
    open_ended: whether a beam that has reached the length limit is an answer
      without eos (n-grams) or is lost (identifiers).
  """

  arrays: Any
  start: Callable[[Any, int], State]
  probe: Callable[[Any, State, jax.Array], tuple[jax.Array, State]]
  children: Callable[
    [Any, State, jax.Array | int, int], tuple[jax.Array, State, jax.Array]
  ]
  count: Callable[[Any, State], jax.Array]
  max_children: int
  vocab_size: int | None = None
  eos_id: int | None = None
  open_ended: bool = False

  def constraint(self) -> Constraint:
    """Itself; a trie or an index has this method as well."""
    return self


def unconstrained(vocab_size: int) -> Constraint:
  """Allows every token, eos included, anywhere."""
  return Constraint(
    arrays=jnp.asarray(vocab_size, jnp.int32),
    start=_any_start,
    probe=_any_probe,
    children=_any_children,
    count=_any_count,
    max_children=vocab_size,
    vocab_size=vocab_size,
    open_ended=True,
  )


def _any_start(vocab_size: jax.Array, n: int) -> State:
  del vocab_size
  return jnp.zeros(n, jnp.int32)  # Nothing to remember.


def _any_probe(
  vocab_size: jax.Array, state_N: State, token_NxT: jax.Array
) -> tuple[jax.Array, State]:
  legal_NxT = (token_NxT >= 0) & (token_NxT < vocab_size)
  return legal_NxT, jnp.broadcast_to(state_N[:, None], token_NxT.shape)


def _any_children(
  vocab_size: jax.Array, state_N: State, offset: jax.Array | int, width: int
) -> tuple[jax.Array, State, jax.Array]:
  token_1xW = offset + jnp.arange(width, dtype=jnp.int32)[None]
  shape = (len(state_N), width)
  token_NxW = jnp.broadcast_to(token_1xW, shape)
  state_NxW = jnp.broadcast_to(state_N[:, None], shape)
  return token_NxW, state_NxW, token_NxW < vocab_size


def _any_count(vocab_size: jax.Array, state_N: State) -> jax.Array:
  return jnp.broadcast_to(vocab_size, state_N.shape)
