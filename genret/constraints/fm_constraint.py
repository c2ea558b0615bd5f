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
from jax import lax

from genret.constraints import fm_shards, protocol
from genret.constraints.fm_shards import Corpus

# States of no more rows list the symbols of these rows; others, the alphabet.
_NARROW = 256


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
  mass_NxT, low_NxTxS, high_NxTxS = fm_shards.over_shards(
    ngrams.corpus, fm_shards.probe, (1, 1, -1), (-1, 2, 2), *state_N, token_NxT
  )
  if ngrams.eos_id is not None:
    ends_NxT = (token_NxT == ngrams.eos_id) & _may_end(ngrams, state_N)[:, None]
    mass_NxT = jnp.where(ends_NxT, 1, mass_NxT)
  return mass_NxT, (low_NxTxS, high_NxTxS)


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
  return jnp.full(len(state_N[0]), ngrams.open_ended)


def _finishes(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  return _counts(ngrams, state_N)[1] <= ngrams.stop_count


def _ends(ngrams: _Ngrams) -> int:
  return int(ngrams.eos_id is not None)


def _most_narrow(ngrams: _Ngrams) -> int:
  return min(_NARROW, len(ngrams.token_U) - _ends(ngrams))


def _slots(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  rows_N = _counts(ngrams, state_N)[0]
  return jnp.where(
    rows_N <= _most_narrow(ngrams), rows_N + _ends(ngrams), len(ngrams.token_U)
  )


def _children(
  ngrams: _Ngrams, state_N: _State, offset: jax.Array | int, width: int
) -> tuple[jax.Array, _State, jax.Array]:
  """Slots are the tokens of the corpus; those of few rows, of these rows."""
  rows_N = _counts(ngrams, state_N)[0]
  token_NxW = jnp.where(
    (rows_N <= _most_narrow(ngrams))[:, None],
    _narrow_block(ngrams, state_N, rows_N, offset, width),
    _alphabet_block(ngrams, offset, width)[None],
  )
  mass_NxW, state_NxW = _probe(ngrams, state_N, token_NxW)
  return jnp.maximum(token_NxW, 0), state_NxW, mass_NxW > 0


def _alphabet_block(
  ngrams: _Ngrams, offset: jax.Array | int, width: int
) -> jax.Array:
  """The tokens of these slots of a state of many rows, -1 past the last."""
  slot_W = offset + jnp.arange(width, dtype=jnp.int32)
  return jnp.where(slot_W < len(ngrams.token_U), ngrams.token_U[slot_W], -1)


def _narrow_block(
  ngrams: _Ngrams,
  state_N: _State,
  rows_N: jax.Array,
  offset: jax.Array | int,
  width: int,
) -> jax.Array:
  """The tokens of these slots of states of few rows, -1 in those empty."""
  ends, most = _ends(ngrams), _most_narrow(ngrams)
  if isinstance(offset, int) and offset == 0 and width < most + ends:
    # Where no list goes on after this block, the others need not be read.
    fits = ((rows_N + ends <= width) | (rows_N > most)).all()
    return lax.cond(
      fits,
      lambda: _narrow_lists(ngrams, state_N, rows_N, width),
      lambda: _narrow_lists(ngrams, state_N, rows_N, most + ends)[:, :width],
    )
  slot_W = offset + jnp.arange(width, dtype=jnp.int32)
  token_NxC = _narrow_lists(ngrams, state_N, rows_N, most + ends)
  return jnp.where(slot_W[None] < most + ends, token_NxC[:, slot_W], -1)


def _narrow_lists(
  ngrams: _Ngrams, state_N: _State, rows_N: jax.Array, columns: int
) -> jax.Array:
  """The distinct tokens that follow, ascending, -1 for one again and at last."""
  slot_C = jnp.arange(columns, dtype=jnp.int32)
  (found_NxC,) = fm_shards.over_shards(
    ngrams.corpus, fm_shards.list_rows, (1, 1, -1), (-1,), *state_N, slot_C
  )
  token_NxC = found_NxC - 1
  if ngrams.eos_id is not None:
    ends_NxC = (slot_C[None] == rows_N[:, None]) & _may_end(ngrams, state_N)[
      :, None
    ]
    token_NxC = jnp.where(ends_NxC, ngrams.eos_id, token_NxC)
  # As unsigned numbers, -1 is the greatest.
  token_NxC = lax.sort(token_NxC.astype(jnp.uint32), dimension=1)
  token_NxC = token_NxC.astype(jnp.int32)
  again_NxC = token_NxC[:, 1:] == token_NxC[:, :-1]
  return token_NxC.at[:, 1:].set(jnp.where(again_NxC, -1, token_NxC[:, 1:]))
