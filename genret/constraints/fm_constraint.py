# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The constraint of an FM-index, inside jit: n-grams that occur in the corpus.

A state holds the rows of its n-gram in each segment. A token is allowed where
the rows after it, summed over the segments, are not empty; their number is its
mass.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.constraints import fm_shards, protocol
from genret.constraints.fm_shards import Corpus

# States of at most one row for so many tokens of the corpus list what follows
# the rows; others, the tokens.
_TOKENS_PER_ROW = 4
# A slot costs as much as three tokens that are probed, and probing needs no more
# than 64 of them and a selection among the vocabulary.
_LISTED = 64


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['corpus', 'token_U', 'stop_count'],
  meta_fields=['eos_id', 'open_ended'],
)
@dataclasses.dataclass(frozen=True)
class _Ngrams:
  """A corpus, and how n-grams end; token_U is that of the corpus with eos_id."""

  corpus: Corpus
  token_U: Any
  stop_count: Any
  eos_id: int | None
  open_ended: bool


def constraint(
  corpus: Corpus,
  *,
  eos_id: int | None = None,
  stop_count: int = 0,
  end_id: int | None = None,
) -> protocol.Constraint:
  """See `FMIndex.constraint`."""
  token_U = corpus.token_U
  if eos_id is not None:
    token_U = jnp.asarray(np.union1d(np.asarray(token_U), np.int32(eos_id)))
  return protocol.Constraint(
    arrays=_Ngrams(
      corpus,
      token_U,
      jnp.asarray(stop_count, jnp.int32),
      eos_id,
      open_ended=end_id is None,
    ),
    start=_start,
    probe=_probe,
    children=_children,
    slots=_slots,
    total=_total,
    accepts=_accepts,
    finishes=_finishes if stop_count else None,
    max_slots=len(token_U),
    unsorted_slots=True,
    list_limit=_LISTED,
    vocab_size=corpus.vocab_size,
    eos_id=eos_id if end_id is None else end_id,
  )


# The constraint functions; a state is (low_NxS, high_NxS).

_State = tuple[jax.Array, jax.Array]


def _start(ngrams: _Ngrams, n: int) -> _State:
  corpus = ngrams.corpus
  if isinstance(corpus.shards, tuple):
    rows_S = jnp.stack([shard.first_row_A1[-1] for shard in corpus.shards])
  else:
    rows_S = corpus.shards.first_row_A1[:, -1]
  high_NxS = jnp.broadcast_to(rows_S, (n, len(rows_S)))
  return jnp.zeros_like(high_NxS), high_NxS


@jax.jit
def _probe(
  ngrams: _Ngrams, state_N: _State, token_NxT: jax.Array
) -> tuple[jax.Array, _State]:
  mass_NxT, *state_NxT = fm_shards.over_shards(
    ngrams.corpus,
    fm_shards.probe,
    (1, 1, -1),
    (-1, 2, 2),
    *state_N,
    token_NxT,
  )
  if ngrams.eos_id is not None:
    ends_NxT = token_NxT == ngrams.eos_id
    may_end_Nx1 = _may_end(ngrams, state_N)[:, None].astype(jnp.int32)
    mass_NxT = jnp.where(ends_NxT, may_end_Nx1, mass_NxT)
    state_NxT = _without_rows(state_NxT, ends_NxT)
  return mass_NxT, tuple(state_NxT)


def _without_rows(state_NxT: _State, ended_NxT: jax.Array) -> _State:
  """States in which nothing follows where answers have ended."""
  low, high = (jnp.where(ended_NxT[..., None], 0, rows) for rows in state_NxT)
  return low, high


@jax.jit
def _counts(
  ngrams: _Ngrams, state_N: _State
) -> tuple[jax.Array, jax.Array, jax.Array]:
  return fm_shards.over_shards(
    ngrams.corpus, fm_shards.count, (1, 1), (-1, -1, -1), *state_N
  )


def _may_end(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  """Whether eos may follow: after one token of the corpus or more."""
  _, start_NxS = _start(ngrams, 1)
  is_start_N = (state_N[1] - state_N[0] == start_NxS).all(axis=-1)
  return ~is_start_N & (_counts(ngrams, state_N)[1] > 0)


def _total(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  total_N = _counts(ngrams, state_N)[2]
  if ngrams.eos_id is None:
    return total_N
  return jnp.minimum(total_N, protocol.UNKNOWN - 1) + 1


def _accepts(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  if not ngrams.open_ended:
    return jnp.zeros(len(state_N[0]), bool)
  return _counts(ngrams, state_N)[1] > 0


def _finishes(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  return _counts(ngrams, state_N)[1] <= ngrams.stop_count


def _ends(ngrams: _Ngrams) -> int:
  return int(ngrams.eos_id is not None)


def _most_narrow(ngrams: _Ngrams) -> int:
  return len(ngrams.token_U) // _TOKENS_PER_ROW


def _slots(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  rows_N = _counts(ngrams, state_N)[0]
  return jnp.where(
    rows_N <= _most_narrow(ngrams), rows_N + _ends(ngrams), len(ngrams.token_U)
  )


def _children(
  ngrams: _Ngrams, state_N: _State, offset: jax.Array | int, width: int
) -> tuple[jax.Array, _State, jax.Array]:
  """Slots are the tokens of the corpus; of few rows, what follows the rows."""
  token_U, most = ngrams.token_U, len(ngrams.token_U)
  rows_N = _counts(ngrams, state_N)[0]
  narrow_N = rows_N <= _most_narrow(ngrams)
  slot_NxW = protocol.slot_numbers(len(rows_N), offset, width)
  within_NxW = ~narrow_N[:, None] & (slot_NxW < most)
  token_NxW, mass_NxW, *state_NxW = fm_shards.over_shards(
    ngrams.corpus,
    fm_shards.children,
    (1, 1, -1, -1),
    (-1, -1, 2, 2),
    *state_N,
    jnp.where(narrow_N[:, None], slot_NxW, -1),
    jnp.where(within_NxW, token_U[slot_NxW], -1),
  )
  legal_NxW = mass_NxW > 0
  if ngrams.eos_id is not None:  # In its place, or behind the rows.
    last_NxW = narrow_N[:, None] & (slot_NxW == rows_N[:, None])
    ends_NxW = last_NxW | (within_NxW & (token_NxW == ngrams.eos_id))
    token_NxW = jnp.where(ends_NxW, ngrams.eos_id, token_NxW)
    may_end_Nx1 = _may_end(ngrams, state_N)[:, None]
    legal_NxW = jnp.where(ends_NxW, may_end_Nx1, legal_NxW)
    state_NxW = _without_rows(state_NxW, ends_NxW)
  return jnp.maximum(token_NxW, 0), tuple(state_NxW), legal_NxW
