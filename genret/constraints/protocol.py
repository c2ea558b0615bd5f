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
from typing import Any, Protocol

import jax
import jax.numpy as jnp

State = Any  # A pytree whose leaves have one row a beam.

# A `total` that tells nothing; also where masses saturate.
UNKNOWN = 2**31 - 1


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['arrays'],
  meta_fields=[
    'start',
    'probe',
    'children',
    'slots',
    'total',
    'accepts',
    'finishes',
    'eos',
    'max_slots',
    'unsorted_slots',
    'list_limit',
    'vocab_size',
    'eos_id',
    'batch_size',
  ],
)
@dataclasses.dataclass(frozen=True)
class Constraint:
  """Which token may come next; functions are of module level, so jit can tell
  that two constraints differ in their arrays only.

  eos is a token like others: legal where an answer may end. What follows an
  illegal token is of no interest, but must not fail.

  A state's allowed tokens are listed in slots: each stands in exactly one, and
  they ascend with the slot; other slots are empty. A trie fills every slot; a
  full-text index has one for each symbol where it does not know them yet, and
  one for each occurrence, in any order, where there are few.

  Each allowed token has a mass, and a state has a total that the masses of its
  allowed tokens do not exceed. Once the masses of the tokens asked about add up
  to it, the search knows that there are no others. A trie counts tokens, an
  index occurrences.

  Attributes:
    arrays: a pytree, given to each function.
    start: (arrays, n) -> the state of n beams that have written nothing; beams
      of a query are side by side, as many for each.
    probe: (arrays, state_N, token_NxT) -> (mass_NxT, state_NxT): the masses of
      these tokens, int32 and 0 where a token is not allowed, and the states
      after them (leaves [N, T, ...]). Tokens out of range are not allowed.
    children: (arrays, state_N, offset, width) -> (token_NxW, state_NxW,
      legal_NxW): slots offset to offset + width. Empty slots are not legal and
      hold any token in range. offset is a number, which may be traced, or
      int32 [N, 1], one for each row; width is a Python number.
    slots: (arrays, state_N) -> how many slots hold all allowed tokens, int32.
    total: (arrays, state_N) -> int32, not less than the sum of the masses of
      all allowed tokens; `UNKNOWN` if no such number is known.
    accepts: (arrays, state_N) -> bool: whether a beam that has reached the
      length limit in this state is an answer without eos (n-grams) or is lost
      (identifiers).
    finishes: (arrays, state_N) -> bool: whether a beam that arrives in this
      state is an answer at once and is not continued; None if none ever is.
    eos: (arrays, state_N, eos_id) -> int32, the token that ends each beam, -1
      where none does; eos_id is the search's. None if that holds for all.
    max_slots: no state has more slots than this.
    unsorted_slots: whether tokens may stand in their slots in any order.
    list_limit: listing so many slots a beam is faster than probing; None if
      nothing is known of that. Speed only.
    vocab_size: all allowed tokens are below; None if that is not known.
    eos_id: the token this constraint ends answers with; None if any will do.
    batch_size: the number of queries it was made for; None if any will do.
  """

  arrays: Any
  start: Callable[[Any, int], State]
  probe: Callable[[Any, State, jax.Array], tuple[jax.Array, State]]
  children: Callable[
    [Any, State, jax.Array | int, int], tuple[jax.Array, State, jax.Array]
  ]
  slots: Callable[[Any, State], jax.Array]
  total: Callable[[Any, State], jax.Array]
  accepts: Callable[[Any, State], jax.Array]
  finishes: Callable[[Any, State], jax.Array] | None = None
  _: dataclasses.KW_ONLY
  eos: Callable[[Any, State, int | jax.Array], jax.Array] | None = None
  max_slots: int
  unsorted_slots: bool = False
  list_limit: int | None = None
  vocab_size: int | None = None
  eos_id: int | None = None
  batch_size: int | None = None

  def constraint(self) -> Constraint:
    """Itself; a trie or an index has this method as well."""
    return self


class SupportsConstraint(Protocol):
  """A constraint, or a trie or index that can act as one."""

  def constraint(self) -> Constraint:
    """The automaton that a search walks."""
    ...


def unconstrained(vocab_size: int) -> Constraint:
  """Allows every token, eos included, anywhere."""
  return Constraint(
    arrays=jnp.asarray(vocab_size, jnp.int32),
    start=_any_start,
    probe=_any_probe,
    children=_any_children,
    slots=_any_slots,
    total=_any_slots,
    accepts=_any_accepts,
    max_slots=vocab_size,
    vocab_size=vocab_size,
  )


def number_of_rows(state_N: State) -> int:
  """N, the number of beams that a state is of."""
  return jax.tree.leaves(state_N)[0].shape[0]


def eos_tokens(
  automaton: Constraint, state_N: State, eos_id: int | jax.Array
) -> jax.Array:
  """The token that ends each beam, int32 [N]; -1 where none does."""
  if automaton.eos is not None:
    return automaton.eos(automaton.arrays, state_N, eos_id)
  return jnp.full(number_of_rows(state_N), eos_id, jnp.int32)


def probe_eos(
  automaton: Constraint, state_N: State, eos_N: jax.Array
) -> jax.Array:
  """The mass of each beam's eos, int32 [N]; 0 where it must not end."""
  token_Nx1 = jnp.maximum(eos_N, 0)[:, None]
  mass_Nx1, _ = automaton.probe(automaton.arrays, state_N, token_Nx1)
  return jnp.where(eos_N < 0, 0, mass_Nx1[:, 0])


def query_of_rows(batch_size: int, n: int) -> jax.Array:
  """The query of each of n beams, int32; those of a query are side by side."""
  return jnp.arange(n, dtype=jnp.int32) // max(n // max(batch_size, 1), 1)


def same_batch(*sizes: int | None) -> int | None:
  """The one number of queries among these; None if there is none.

  Raises:
    ValueError: there are several.
  """
  known = sorted({size for size in sizes if size is not None})
  if len(known) > 1:
    raise ValueError(
      'Expected constraints for as many queries each but got '
      f'{" and ".join(map(str, known))}; give each a row for every query.'
    )
  return known[0] if known else None


def slot_numbers(n: int, offset: jax.Array | int, width: int) -> jax.Array:
  """Slots offset to offset + width of n states, int32 [n, width]."""
  slot_1xW = jnp.arange(width, dtype=jnp.int32)[None]
  return jnp.broadcast_to(offset + slot_1xW, (n, width))


def repeat(leaf_N: jax.Array, width: int) -> jax.Array:
  """[N] to [N, width], as part of the states after some tokens."""
  return jnp.broadcast_to(leaf_N[:, None], (len(leaf_N), width))


def choose(mask_N: jax.Array, first: Any, second: Any) -> Any:
  """Rows of the first pytree where the mask is true, of the second elsewhere."""

  def where(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(mask_N.reshape(-1, *[1] * (b.ndim - 1)), a, b)

  return jax.tree.map(where, first, second)


def _any_start(vocab_size: jax.Array, n: int) -> State:
  del vocab_size
  return jnp.zeros(n, jnp.int32)  # Nothing to remember.


def _any_probe(
  vocab_size: jax.Array, state_N: State, token_NxT: jax.Array
) -> tuple[jax.Array, State]:
  legal_NxT = (token_NxT >= 0) & (token_NxT < vocab_size)
  state_NxT = jnp.broadcast_to(state_N[:, None], token_NxT.shape)
  return legal_NxT.astype(jnp.int32), state_NxT


def _any_children(
  vocab_size: jax.Array, state_N: State, offset: jax.Array | int, width: int
) -> tuple[jax.Array, State, jax.Array]:
  token_NxW = slot_numbers(len(state_N), offset, width)
  legal_NxW = token_NxW < vocab_size
  token_NxW = jnp.minimum(token_NxW, vocab_size - 1)
  return token_NxW, repeat(state_N, width), legal_NxW


def _any_slots(vocab_size: jax.Array, state_N: State) -> jax.Array:
  return jnp.broadcast_to(vocab_size, state_N.shape)


def _any_accepts(vocab_size: jax.Array, state_N: State) -> jax.Array:
  del vocab_size
  return jnp.ones(len(state_N), bool)
