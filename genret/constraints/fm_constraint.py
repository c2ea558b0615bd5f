# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The constraint of an FM-index, inside jit: n-grams that occur in the corpus.

A state holds the rows of its n-gram in each segment. A token is allowed where
the rows after it, summed over the segments, are not empty; their number is its
mass. Spread over devices, each holds the segments and the columns of the states
that are its own, and what crosses the network at a step is one sum of counts for
the tokens that were asked about.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from genret.constraints import fm_segment, protocol, wavelet

# States of no more rows list the symbols of these rows; others, the alphabet.
_NARROW = 256
# Larger vocabularies are searched, smaller ones have a table by token.
_DENSE = 1 << 22
_MARK_BITS = fm_segment.MARK_BITS
_MOST = protocol.UNKNOWN


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=[
    'block_LxBx32',
    'shift_A',
    'first_row_A1',
    'alphabet_T',
    'symbol_V',
    'removed_Mx8',
  ],
  meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Shard:
  """A segment as decoding needs it; see `fm_segment.Segment`.

  Attributes:
    symbol_V: the symbol of each token, 0 if it does not occur; empty where the
      vocabulary is too large and tokens are searched in alphabet_T.
  """

  block_LxBx32: Any
  shift_A: Any
  first_row_A1: Any
  alphabet_T: Any
  symbol_V: Any
  removed_Mx8: Any


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['shards', 'token_U'],
  meta_fields=['vocab_size', 'mesh'],
)
@dataclasses.dataclass(frozen=True)
class Corpus:
  """All segments on their devices.

  Attributes:
    shards: a tuple of `Shard`, or, spread over a mesh, one `Shard` whose leaves
      have a leading axis of as many shards as there are segments.
    token_U: int32, the tokens that occur, ascending; one if there are none.
    vocab_size: V.
    mesh: None, or the mesh of one axis that the shards are spread over.
  """

  shards: Any
  token_U: Any
  vocab_size: int
  mesh: jax.sharding.Mesh | None


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['corpus', 'stop_count'],
  meta_fields=['eos_id', 'open_ended'],
)
@dataclasses.dataclass(frozen=True)
class _Ngrams:
  """A corpus, and how n-grams end."""

  corpus: Corpus
  stop_count: Any
  eos_id: int | None
  open_ended: bool


def put(
  segments: Sequence[fm_segment.Segment],
  vocab_size: int,
  mesh: jax.sharding.Mesh | None = None,
) -> Corpus:
  """Puts segments on one device, or spreads them over a mesh of one axis.

  Over a mesh, shards are padded to the size of the largest, and empty ones are
  added until each device has as many.
  """
  shards = [_shard(segment, vocab_size) for segment in segments]
  tokens = [segment.alphabet_T for segment in segments]
  token_U = np.unique(np.concatenate([np.zeros(0, np.int32), *tokens]))
  token_U = token_U if len(token_U) else np.zeros(1, np.int32)
  if mesh is None:
    shards = jax.tree.map(jnp.asarray, tuple(shards))
    return Corpus(shards, jnp.asarray(token_U), vocab_size, None)
  if len(mesh.axis_names) != 1:
    raise ValueError(
      f'Expected a mesh of one axis but got {mesh.axis_names}; shards are '
      'spread over one.'
    )
  missing = -len(shards) % mesh.size if shards else mesh.size
  shards += [_shard(_empty_segment(), vocab_size)] * missing
  stacked = jax.tree.map(lambda *leaves: _stack(leaves), *_same_levels(shards))
  spread = NamedSharding(mesh, P(mesh.axis_names[0]))
  return Corpus(
    jax.device_put(stacked, spread),
    jax.device_put(token_U, NamedSharding(mesh, P())),
    vocab_size,
    mesh,
  )


def constraint(
  corpus: Corpus,
  *,
  eos_id: int | None = None,
  stop_count: int = 0,
  end_id: int | None = None,
) -> protocol.Constraint:
  """See `FMIndex.constraint`."""
  return protocol.Constraint(
    arrays=_Ngrams(
      corpus,
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
    max_slots=len(corpus.token_U) + (eos_id is not None),
    vocab_size=corpus.vocab_size,
    eos_id=eos_id if end_id is None else end_id,
  )


def _shard(segment: fm_segment.Segment, vocab_size: int) -> Shard:
  symbol_V = np.zeros(vocab_size if vocab_size <= _DENSE else 0, np.int32)
  if len(symbol_V):
    symbol_V[segment.alphabet_T] = np.arange(1, len(segment.alphabet_T) + 1)
  alphabet_T = segment.alphabet_T
  return Shard(
    block_LxBx32=segment.block_LxBx32,
    shift_A=segment.shift_A,
    first_row_A1=segment.first_row_A1,
    # JAX cannot index an empty array.
    alphabet_T=alphabet_T if len(alphabet_T) else np.full(1, _MOST, np.int32),
    symbol_V=symbol_V,
    removed_Mx8=segment.removed_Mx8,
  )


def _empty_segment() -> fm_segment.Segment:
  return fm_segment.build(
    np.zeros(0, np.int32),
    np.zeros(1, np.int64),
    np.zeros(0, np.int64),
    sample_rate=1,
  )


def _same_levels(shards: Sequence[Shard]) -> list[Shard]:
  """Gives each matrix as many levels, by levels that put all symbols first.

  Such a level moves nothing: each symbol has digit 0 there.
  """
  most = max(len(shard.block_LxBx32) for shard in shards)
  marked = any(len(shard.removed_Mx8) for shard in shards)
  grown = []
  for shard in shards:
    levels, blocks, _ = shard.block_LxBx32.shape
    above = np.zeros((most - levels, blocks, wavelet.WORDS), np.uint32)
    above[:, :, 0] = np.arange(blocks, dtype=np.uint32) * wavelet.BLOCK
    block_LxBx32 = np.concatenate([above, shard.block_LxBx32])
    removed_Mx8 = shard.removed_Mx8
    if marked and not len(removed_Mx8):
      rows = blocks * wavelet.BLOCK
      removed_Mx8 = np.zeros((rows // _MARK_BITS + 1, 8), np.uint32)
    grown.append(
      dataclasses.replace(
        shard, block_LxBx32=block_LxBx32, removed_Mx8=removed_Mx8
      )
    )
  return grown


def _stack(leaves: Sequence[np.ndarray]) -> np.ndarray:
  """Pads with the last entries of each, so that ascending arrays stay so."""
  shape = np.max([leaf.shape for leaf in leaves], axis=0)
  return np.stack(
    [
      np.pad(
        leaf,
        [(0, n - m) for n, m in zip(shape, leaf.shape, strict=True)],
        'edge',
      )
      if leaf.size
      else np.zeros(shape, leaf.dtype)
      for leaf in leaves
    ]
  )


# What happens on each device, over the shards that it holds.


def _rows_after(
  shard: Shard, low: jax.Array, high: jax.Array, token: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The rows of n-grams, made longer by a token; equal if it does not follow."""
  if shard.symbol_V.shape[0]:
    inside = (token >= 0) & (token < shard.symbol_V.shape[0])
    symbol = jnp.where(inside, shard.symbol_V[token], 0)
  else:
    rank = jnp.searchsorted(shard.alphabet_T, token).astype(jnp.int32)
    symbol = jnp.where(shard.alphabet_T[rank] == token, rank + 1, 0)
  both = wavelet.sorted_positions(
    shard.block_LxBx32, symbol, jnp.stack(jnp.broadcast_arrays(low, high))
  )
  both = jnp.where((symbol > 0) & (low < high), both + shard.shift_A[symbol], 0)
  return both[0], both[1]


def _live(shard: Shard, low: jax.Array, high: jax.Array) -> jax.Array:
  """How many of these rows belong to documents that were not removed."""
  if not shard.removed_Mx8.shape[0]:
    return high - low
  removed = _marks_before(shard.removed_Mx8, jnp.stack([low, high]))
  return high - low - (removed[1] - removed[0])


def _marks_before(mark_Mx8: jax.Array, row: jax.Array) -> jax.Array:
  block, bits = row // _MARK_BITS, row % _MARK_BITS
  total = mark_Mx8[block, 0].astype(jnp.int32)
  for word in range(_MARK_BITS // 32):
    here = mark_Mx8[block, word + 1] & wavelet.low_bits(bits - 32 * word)
    total += lax.population_count(here).astype(jnp.int32)
  return total


def _shards_of(shards: Any) -> tuple[Shard, ...]:
  """Single shards of a tuple of them, or of one with a leading axis."""
  if isinstance(shards, tuple):
    return shards
  count = shards.shift_A.shape[0]
  return tuple(jax.tree.map(lambda x: x[i], shards) for i in range(count))  # noqa: B023


def _sum_over(count: jax.Array, axis: str | None) -> jax.Array:
  """Sums counts over the last axis, and over devices; saturates."""
  low, high = count & 0xFFFF, count >> 16
  low, high = low.sum(axis=-1), high.sum(axis=-1)
  if axis is not None:
    low, high = lax.psum((low, high), axis)
  high += low >> 16
  return jnp.where(high >= 1 << 15, _MOST, (high << 16) | (low & 0xFFFF))


def _over_shards(
  corpus: Corpus,
  function: Callable[..., Any],
  in_specs: str,
  out_specs: str,
  *arguments: jax.Array,
) -> Any:
  """Calls function(shards, axis, *arguments) on the device or on each.

  Args:
    corpus: the shards.
    function: what to call; axis is the name of the mesh's, or None.
    in_specs: for each argument, '-' if all devices get it whole, 's' if its
      last axis is that of the shards.
    out_specs: the same for the results.
    *arguments: arrays.
  """
  if corpus.mesh is None:
    return function(_shards_of(corpus.shards), None, *arguments)
  axis = corpus.mesh.axis_names[0]

  def spec(kind: str, ndim: int) -> P:
    return P(*[None] * (ndim - 1), axis) if kind == 's' else P()

  out_ndims = jax.eval_shape(
    lambda *a: function(_shards_of(corpus.shards), None, *a), *arguments
  )
  outs = tuple(
    spec(kind, out.ndim) for kind, out in zip(out_specs, out_ndims, strict=True)
  )
  return jax.shard_map(
    lambda shards, *a: function(_shards_of(shards), axis, *a),
    mesh=corpus.mesh,
    in_specs=(
      P(axis),
      *(
        spec(kind, argument.ndim)
        for kind, argument in zip(in_specs, arguments, strict=True)
      ),
    ),
    out_specs=outs,
  )(corpus.shards, *arguments)


def _probe_shards(
  shards: Sequence[Shard],
  axis: str | None,
  low_NxS: jax.Array,
  high_NxS: jax.Array,
  token_NxT: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  lows, highs, counts = [], [], []
  for s, shard in enumerate(shards):
    low_NxT, high_NxT = _rows_after(
      shard, low_NxS[:, s, None], high_NxS[:, s, None], token_NxT
    )
    lows.append(low_NxT)
    highs.append(high_NxT)
    counts.append(_live(shard, low_NxT, high_NxT))
  mass_NxT = _sum_over(jnp.stack(counts, axis=-1), axis)
  return mass_NxT, jnp.stack(lows, axis=-1), jnp.stack(highs, axis=-1)


def _count_shards(
  shards: Sequence[Shard],
  axis: str | None,
  low_NxS: jax.Array,
  high_NxS: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Rows, rows of documents that are there, and upper bound of what follows."""
  rows, lives, bounds = [], [], []
  for s, shard in enumerate(shards):
    low_N, high_N = low_NxS[:, s], high_NxS[:, s]
    live_N = _live(shard, low_N, high_N)
    bound_N = live_N
    if not shard.removed_Mx8.shape[0]:  # Those at the end of a document.
      both = wavelet.sorted_positions(
        shard.block_LxBx32,
        jnp.zeros_like(low_N),
        jnp.stack([low_N, high_N]),
      )
      bound_N = bound_N - (both[1] - both[0])
    rows.append(high_N - low_N)
    lives.append(live_N)
    bounds.append(bound_N)
  return tuple(
    _sum_over(jnp.stack(counts, axis=-1), axis)
    for counts in (rows, lives, bounds)
  )


def _list_shards(
  shards: Sequence[Shard],
  axis: str | None,
  low_NxS: jax.Array,
  high_NxS: jax.Array,
  slot_W: jax.Array,
) -> tuple[jax.Array]:
  """The token that follows the row of each slot, plus 1; 0 where none does.

  The rows of a state, one segment after the other, fill its slots.
  """
  size_NxS = high_NxS - low_NxS
  first_NxS = jnp.cumsum(size_NxS, axis=-1) - size_NxS
  if axis is not None:
    sizes_DxN = lax.all_gather(size_NxS.sum(axis=-1), axis)
    before = jnp.arange(sizes_DxN.shape[0])[:, None] < lax.axis_index(axis)
    first_NxS += jnp.where(before, sizes_DxN, 0).sum(axis=0)[:, None]
  token_NxW = jnp.zeros((len(low_NxS), len(slot_W)), jnp.int32)
  for s, shard in enumerate(shards):
    rank_NxW = slot_W[None] - first_NxS[:, s, None]
    here_NxW = (rank_NxW >= 0) & (rank_NxW < size_NxS[:, s, None])
    row_NxW = jnp.where(here_NxW, low_NxS[:, s, None] + rank_NxW, 0)
    symbol_NxW = wavelet.symbols_at(shard.block_LxBx32, row_NxW)
    here_NxW &= symbol_NxW > 0
    found_NxW = shard.alphabet_T[jnp.maximum(symbol_NxW - 1, 0)] + 1
    token_NxW += jnp.where(here_NxW, found_NxW, 0)
  if axis is not None:
    token_NxW = lax.psum(token_NxW, axis)
  return (token_NxW,)


# The constraint functions; a state is (low_NxS, high_NxS).

_State = tuple[jax.Array, jax.Array]


def _start(ngrams: _Ngrams, n: int) -> _State:
  corpus = ngrams.corpus
  if isinstance(corpus.shards, tuple):
    rows = [shard.first_row_A1[-1] for shard in corpus.shards]
    rows_S = jnp.stack(rows) if rows else jnp.zeros(1, jnp.int32)
  else:
    rows_S = corpus.shards.first_row_A1[:, -1]
  high_NxS = jnp.broadcast_to(rows_S, (n, len(rows_S)))
  return jnp.zeros_like(high_NxS), high_NxS


def _probe(
  ngrams: _Ngrams, state_N: _State, token_NxT: jax.Array
) -> tuple[jax.Array, _State]:
  mass_NxT, low_NxTxS, high_NxTxS = _over_shards(
    ngrams.corpus, _probe_shards, 'ss-', '-ss', *state_N, token_NxT
  )
  if ngrams.eos_id is not None:
    ends_NxT = (token_NxT == ngrams.eos_id) & _may_end(ngrams, state_N)[:, None]
    mass_NxT = jnp.where(ends_NxT, 1, mass_NxT)
  return mass_NxT, (low_NxTxS, high_NxTxS)


def _counts(
  ngrams: _Ngrams, state_N: _State
) -> tuple[jax.Array, jax.Array, jax.Array]:
  return _over_shards(ngrams.corpus, _count_shards, 'ss', '---', *state_N)


def _may_end(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  """Whether eos may follow: after one token of the corpus or more."""
  _, start_NxS = _start(ngrams, 1)
  is_start_N = (state_N[1] - state_N[0] == start_NxS).all(axis=-1)
  return ~is_start_N & (_counts(ngrams, state_N)[1] > 0)


def _total(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  total_N = _counts(ngrams, state_N)[2]
  if ngrams.eos_id is None:
    return total_N
  return jnp.minimum(total_N, _MOST - 1) + 1


def _accepts(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  return jnp.full(len(state_N[0]), ngrams.open_ended)


def _finishes(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  return _counts(ngrams, state_N)[1] <= ngrams.stop_count


def _is_narrow(ngrams: _Ngrams, rows_N: jax.Array) -> jax.Array:
  return rows_N <= min(_NARROW, len(ngrams.corpus.token_U))


def _slots(ngrams: _Ngrams, state_N: _State) -> jax.Array:
  rows_N = _counts(ngrams, state_N)[0]
  alphabet = len(ngrams.corpus.token_U)
  ends = int(ngrams.eos_id is not None)
  return jnp.where(_is_narrow(ngrams, rows_N), rows_N, alphabet) + ends


def _children(
  ngrams: _Ngrams, state_N: _State, offset: jax.Array | int, width: int
) -> tuple[jax.Array, _State, jax.Array]:
  """Slots are the tokens of the corpus; those of few rows, of these rows.

  The slots of a narrow state are all in the first block, which is wide enough
  wherever it is asked for one.
  """
  token_NxW = _alphabet_block(ngrams, offset, width)[None]
  rows_N = _counts(ngrams, state_N)[0]
  narrow_N = _is_narrow(ngrams, rows_N)
  listed_NxW = _rows_block(ngrams, state_N, rows_N, width)
  listed_NxW = jnp.where(offset == 0, listed_NxW, -1)
  token_NxW = jnp.where(narrow_N[:, None], listed_NxW, token_NxW)
  mass_NxW, state_NxW = _probe(ngrams, state_N, token_NxW)
  legal_NxW = (mass_NxW > 0) & (token_NxW >= 0)
  return jnp.maximum(token_NxW, 0), state_NxW, legal_NxW


def _alphabet_block(
  ngrams: _Ngrams, offset: jax.Array | int, width: int
) -> jax.Array:
  """The tokens of these slots of a state of many rows, -1 past the last."""
  token_U = ngrams.corpus.token_U
  slot_W = offset + jnp.arange(width, dtype=jnp.int32)
  if ngrams.eos_id is None:
    return jnp.where(slot_W < len(token_U), token_U[slot_W], -1)
  eos_slot = jnp.searchsorted(token_U, ngrams.eos_id).astype(jnp.int32)
  token_W = token_U[slot_W - (slot_W > eos_slot).astype(jnp.int32)]
  token_W = jnp.where(slot_W == eos_slot, ngrams.eos_id, token_W)
  return jnp.where(slot_W <= len(token_U), token_W, -1)


def _rows_block(
  ngrams: _Ngrams, state_N: _State, rows_N: jax.Array, width: int
) -> jax.Array:
  """The distinct tokens that follow in narrow states, ascending among -1."""
  used = min(width, _NARROW + 1)
  slot_W = jnp.arange(used, dtype=jnp.int32)
  (found_NxW,) = _over_shards(
    ngrams.corpus, _list_shards, 'ss-', '-', *state_N, slot_W
  )
  token_NxW = found_NxW - 1
  if ngrams.eos_id is not None:
    ends_NxW = (slot_W == rows_N[:, None]) & _may_end(ngrams, state_N)[:, None]
    token_NxW = jnp.where(ends_NxW, ngrams.eos_id, token_NxW)
  token_NxW = lax.sort(token_NxW, dimension=1)
  again_NxW = token_NxW[:, 1:] == token_NxW[:, :-1]
  token_NxW = token_NxW.at[:, 1:].set(
    jnp.where(again_NxW, -1, token_NxW[:, 1:])
  )
  return jnp.pad(token_NxW, ((0, 0), (0, width - used)), constant_values=-1)
