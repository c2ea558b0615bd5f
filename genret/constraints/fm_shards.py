# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The segments of an FM-index on one device, or spread over several.

Each device holds whole segments, and the rows that n-grams have in these; what
crosses the network is a sum of counts for each token asked about, and a few for
each beam.
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
from genret.constraints.fm_kernels import DENSE, MARK_BITS

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


def put(
  segments: Sequence[fm_segment.Segment],
  vocab_size: int,
  mesh: jax.sharding.Mesh | None = None,
) -> Corpus:
  """Puts segments on one device, or spreads them over a mesh of one axis.

  Over a mesh, shards are padded to the size of the largest, and empty ones are
  added until each device has as many.
  """
  segments = list(segments) or [_empty_segment()]
  shards = [_shard(segment, vocab_size) for segment in segments]
  token_U = np.unique(np.concatenate([s.alphabet_T for s in segments]))
  token_U = token_U if len(token_U) else np.zeros(1, np.int32)
  if mesh is None:
    shards = jax.tree.map(jnp.asarray, tuple(shards))
    return Corpus(shards, jnp.asarray(token_U), vocab_size, None)
  if len(mesh.axis_names) != 1:
    raise ValueError(
      f'Expected a mesh of one axis but got {mesh.axis_names}; shards are '
      'spread over one.'
    )
  # An axis that XLA looks after, whatever the caller chose for the rest.
  mesh = jax.sharding.Mesh(mesh.devices, mesh.axis_names)
  missing = -len(shards) % mesh.size
  shards += [_shard(_empty_segment(), vocab_size)] * missing
  stacked = jax.tree.map(lambda *leaves: _stack(leaves), *_same_levels(shards))
  spread = NamedSharding(mesh, P(mesh.axis_names[0]))
  return Corpus(
    jax.device_put(stacked, spread),
    jax.device_put(token_U, NamedSharding(mesh, P())),
    vocab_size,
    mesh,
  )


def _shard(segment: fm_segment.Segment, vocab_size: int) -> Shard:
  symbol_V = np.zeros(vocab_size if vocab_size <= DENSE else 0, np.int32)
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
      removed_Mx8 = np.zeros((rows // MARK_BITS + 1, 8), np.uint32)
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
  shift = shard.shift_A[symbol]
  found = (symbol > 0) & (low < high)
  return jnp.where(found, both[0] + shift, 0), jnp.where(
    found, both[1] + shift, 0
  )


def _live(shard: Shard, low: jax.Array, high: jax.Array) -> jax.Array:
  """How many of these rows belong to documents that were not removed."""
  if not shard.removed_Mx8.shape[0]:
    return high - low
  removed = _marks_before(shard.removed_Mx8, jnp.stack([low, high]))
  return high - low - (removed[1] - removed[0])


def _marks_before(mark_Mx8: jax.Array, row: jax.Array) -> jax.Array:
  block, bits = row // MARK_BITS, row % MARK_BITS
  total = mark_Mx8[block, 0].astype(jnp.int32)
  for word in range(MARK_BITS // 32):
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


def over_shards(
  corpus: Corpus,
  function: Callable[..., Any],
  in_axes: Sequence[int],
  out_axes: Sequence[int],
  *arguments: jax.Array,
) -> Any:
  """Calls function(shards, axis, *arguments) on the device, or on each.

  Args:
    corpus: the shards.
    function: what to call; axis is the name of the mesh's, or None.
    in_axes: for each argument, which of its axes is that of the shards; -1 if
      every device gets it whole.
    out_axes: the same for the results; those with -1 are equal on all devices.
    *arguments: arrays.
  """
  if corpus.mesh is None:
    return function(_shards_of(corpus.shards), None, *arguments)
  axis = corpus.mesh.axis_names[0]

  def spec(of: int) -> P:
    return P() if of < 0 else P(*[None] * of, axis)

  return jax.shard_map(
    lambda shards, *a: function(_shards_of(shards), axis, *a),
    mesh=corpus.mesh,
    in_specs=(P(axis), *map(spec, in_axes)),
    out_specs=tuple(map(spec, out_axes)),
  )(corpus.shards, *arguments)


def probe(
  shards: Sequence[Shard],
  axis: str | None,
  low_NxS: jax.Array,
  high_NxS: jax.Array,
  token_NxT: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """How often tokens follow, in live documents, and the rows after them."""
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


def count(
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
  return (
    _sum_over(jnp.stack(rows, axis=-1), axis),
    _sum_over(jnp.stack(lives, axis=-1), axis),
    _sum_over(jnp.stack(bounds, axis=-1), axis),
  )


def children(
  shards: Sequence[Shard],
  axis: str | None,
  low_NxS: jax.Array,
  high_NxS: jax.Array,
  slot_NxW: jax.Array,
  token_NxW: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """What follows the rows of states, which fill their slots in order.

  Args:
    shards: the shards.
    axis: the name of the mesh's, or None.
    low_NxS: the first rows of the states.
    high_NxS: the rows after their last.
    slot_NxW: which slots to list.
    token_NxW: where not -1, the token to take in place of that of the slot.

  Returns:
    token_NxW: -1 in slots that hold none.
    mass_NxW: how often it follows; 0 where it has been in an earlier slot.
    low_NxWxS, high_NxWxS: the rows after it.
  """
  size_NxS = high_NxS - low_NxS
  first_NxS = jnp.cumsum(size_NxS, axis=-1) - size_NxS
  if axis is not None:
    sizes_DxN = lax.all_gather(size_NxS.sum(axis=-1), axis)
    before = jnp.arange(len(sizes_DxN))[:, None] < lax.axis_index(axis)
    first_NxS += jnp.where(before, sizes_DxN, 0).sum(axis=0)[:, None]
  given_NxW = token_NxW >= 0
  ranks, owns, rows = [], [], []
  found_NxW = jnp.zeros_like(slot_NxW)  # Plus 1, so that they can be added up.
  for s, shard in enumerate(shards):
    rank_NxW = slot_NxW - first_NxS[:, s, None]
    # A sum of rows may have wrapped around, but not where there are slots.
    own_NxW = (
      ~given_NxW
      & (slot_NxW >= 0)
      & (rank_NxW >= 0)
      & (rank_NxW < size_NxS[:, s, None])
    )
    row_NxW = jnp.where(own_NxW, low_NxS[:, s, None] + rank_NxW, 0)
    symbol_NxW, after_NxW = wavelet.symbols_at(shard.block_LxBx32, row_NxW)
    own_NxW &= symbol_NxW > 0
    of_symbol_NxW = shard.alphabet_T[jnp.maximum(symbol_NxW - 1, 0)]
    found_NxW += jnp.where(own_NxW, of_symbol_NxW + 1, 0)
    ranks.append(rank_NxW)
    owns.append(own_NxW)
    rows.append(after_NxW + shard.shift_A[symbol_NxW])
  if axis is not None:
    found_NxW = lax.psum(found_NxW, axis)
  token_NxW = jnp.where(given_NxW, token_NxW, found_NxW - 1)
  mass_NxW, low_NxWxS, high_NxWxS = probe(
    shards, axis, low_NxS, high_NxS, token_NxW
  )
  # Of equal tokens the first counts: first in its segment, in no segment before.
  again_NxW = jnp.zeros_like(slot_NxW)
  for s, (rank_NxW, own_NxW, row_NxW) in enumerate(
    zip(ranks, owns, rows, strict=True)
  ):
    passed_NxW = ~given_NxW & (rank_NxW >= size_NxS[:, s, None])
    passed_NxW &= low_NxWxS[:, :, s] < high_NxWxS[:, :, s]
    later_NxW = own_NxW & (row_NxW > low_NxWxS[:, :, s])
    again_NxW += (passed_NxW | later_NxW).astype(jnp.int32)
  if axis is not None:
    again_NxW = lax.psum(again_NxW, axis)
  mass_NxW = jnp.where(again_NxW > 0, 0, mass_NxW)
  return token_NxW, mass_NxW, low_NxWxS, high_NxWxS
