# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of what searches are called with."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from genret.constraints import protocol
from genret.constraints.protocol import SupportsConstraint


def automaton_of(
  constraint: SupportsConstraint | None, eos_id: int, batch_size: int
) -> protocol.Constraint | None:
  """The constraint with arrays of JAX; None if there is none.

  Raises:
    ValueError: it is no constraint, or for another eos or batch.
  """
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


def check_at_least(**bounds: tuple[float, float]) -> None:
  """Refuses values below their bounds: name=(value, bound)."""
  for name, (value, least) in bounds.items():
    if not value >= least:
      raise ValueError(
        f'Expected {name} of at least {least} but got {value}; pass a greater '
        'number.'
      )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
  """Refuses what is not among the choices."""
  if value not in choices:
    raise ValueError(
      f'Expected {name} to be one of {", ".join(choices)} but got {value!r}; '
      'choose one of them.'
    )


def check_cache(cache: Any, count: int) -> None:
  """Refuses a cache that cannot be reordered with the beams."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(cache):
    if leaf.ndim and leaf.shape[0] != count:
      raise ValueError(
        f'Expected {count} rows (batch_size * num_beams) or a scalar in '
        f'cache{jax.tree_util.keystr(path)} but got shape {leaf.shape}; repeat '
        'its rows for the beams of a query, or let tokens_to_logits close over '
        'what beams share.'
      )


def check_logits(
  logits_NxV: jax.Array,
  count: int,
  automaton: protocol.Constraint | None,
  eos_id: int,
) -> int:
  """The size of the vocabulary; refuses logits that are too few."""
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
