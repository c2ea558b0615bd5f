# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Exact log-probabilities of many n-grams, the n-grams of a query as one tree.

SEAL (Bevilacqua et al., 2022) scores all candidates of every step of a beam
search once more, with another input of the encoder. They share their beginnings:
the distinct prefixes that any of 300 candidates continues are about beams x steps
= 150, against 3,000 positions where each candidate is decoded on its own. So they
are the nodes of a tree, and the decoder reads all of them as one row: a node
attends to itself and to the nodes above it, its position is its depth, and the
row shares the keys of the encoded query. This is the "tree attention" of
SpecInfer (Miao et al., ASPLOS 2024), with T5's relative positions.

An edge is a node and a token that follows it; its log-probability is that of
the token at that node, and an n-gram's the sum along its path. Values are those
of cached decoding: token 0 is a token like others behind the start.

Letters in names: R rows (a query under one input), T encoder length, M nodes of a
row, N = nodes of all rows, X edges, P n-grams, L their length, E model width, V
vocabulary.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genret.models.t5 import Transformer

# Logits [N, V] of all nodes would be gigabytes (24 rows of 192 nodes over 32,128
# tokens: 0.6 GB), so they are made in slices of so many bytes, of which XLA holds
# one at a time, two or three at worst. The 261 nodes of a slice over T5's tokens
# are enough for its matrix product to run at full speed.
_SLICE_BYTES = 1 << 25
# Rows are decoded in groups whose attention weights [R, H, M, M] take so much.
_GROUP_BYTES = 1 << 24


class Tree(NamedTuple):
  """The n-grams of one row; node 0 is the start, parents come before children.

  Attributes:
    token_M: int32, the last token of each node's prefix; 0 of the start.
    parent_M: int32, the node above; of the start, itself.
    depth_M: int32, tokens of the prefix.
    node_X: int32, the node each edge leaves.
    edge_token_X: int32, the token it writes.
    path_PxL: int32, the edges of each n-gram, then -1.
  """

  token_M: np.ndarray
  parent_M: np.ndarray
  depth_M: np.ndarray
  node_X: np.ndarray
  edge_token_X: np.ndarray
  path_PxL: np.ndarray


class Scores(NamedTuple):
  """What `log_probabilities` finds.

  Attributes:
    log_probabilities: of each row, float32 [P], in the order of its n-grams.
    first_step: float32 [U, V], the log-probability of every token as the first
      one in the rows that were asked for; None if none were.
  """

  log_probabilities: list[np.ndarray]
  first_step: np.ndarray | None


class _Batch(NamedTuple):
  """The trees of R rows, padded; compiled programs differ in these shapes.

  Attributes:
    token_RxM: nodes; a padded one is a start of its own that nobody asks about.
    parent_RxM: as in `Tree`.
    depth_RxM: as in `Tree`.
    node_N: the nodes but those of the padding, as numbers in [R * M]; then 0.
    real: how many these are.
    place_X: for each edge the place in node_N of the node it leaves; padded with
      a place behind them all.
    edge_token_X: its token.
  """

  token_RxM: jax.Array | np.ndarray
  parent_RxM: jax.Array | np.ndarray
  depth_RxM: jax.Array | np.ndarray
  node_N: jax.Array | np.ndarray
  real: jax.Array | np.ndarray
  place_X: jax.Array | np.ndarray
  edge_token_X: jax.Array | np.ndarray


def build(ngrams: Sequence[Sequence[int]]) -> Tree:
  """The tree of some n-grams, by one sort.

  Args:
    ngrams: non-empty, of any length, in any order; equal ones share a path.

  Raises:
    ValueError: an n-gram is empty or has a negative token.
  """
  length_P = np.fromiter(map(len, ngrams), np.int64, len(ngrams))
  if length_P.size and not length_P.min():
    raise ValueError(
      f'Expected n-grams of one token or more, got an empty one at '
      f'{int(np.argmin(length_P))}; leave it out.'
    )
  width = int(length_P.max(initial=1))
  inside_PxL = np.arange(width)[None] < length_P[:, None]
  token_PxL = np.full(inside_PxL.shape, -1, np.int32)
  token_PxL[inside_PxL] = [token for ngram in ngrams for token in ngram]
  if (token_PxL[inside_PxL] < 0).any():
    raise ValueError(
      f'Expected tokens of at least 0 in n-grams, got '
      f'{int(token_PxL[inside_PxL].min())}; leave padding out.'
    )
  order_P = np.lexsort(token_PxL.T[::-1])
  sorted_PxL, within_PxL = token_PxL[order_P], inside_PxL[order_P]
  differs_PxL = np.ones(sorted_PxL.shape, bool)
  differs_PxL[1:] = sorted_PxL[1:] != sorted_PxL[:-1]
  # A prefix is new where it, or a part of it, differs from the row before.
  is_new_PxL = np.logical_or.accumulate(differs_PxL, axis=1) & within_PxL
  # Prefixes are numbered from 1 in order, 0 is the empty one.
  number_PxL = np.cumsum(is_new_PxL).reshape(is_new_PxL.shape)
  number_PxL = np.where(is_new_PxL, number_PxL, 0)
  number_PxL = np.maximum.accumulate(number_PxL, axis=0)
  above_PxL = np.pad(number_PxL, ((0, 0), (1, 0)))[:, :-1]
  above_X = above_PxL[is_new_PxL]

  is_node = np.zeros(len(above_X) + 1, bool)
  is_node[above_X] = True
  is_node[0] = True
  node_of = np.cumsum(is_node) - 1
  token = np.append(0, sorted_PxL[is_new_PxL])
  parent = np.append(0, node_of[above_X])
  depth = np.append(0, np.nonzero(is_new_PxL)[1] + 1)
  path_PxL = np.empty_like(token_PxL)
  path_PxL[order_P] = np.where(within_PxL, number_PxL - 1, -1)
  return Tree(
    token_M=token[is_node].astype(np.int32),
    parent_M=parent[is_node].astype(np.int32),
    depth_M=depth[is_node].astype(np.int32),
    node_X=parent[1:].astype(np.int32),
    edge_token_X=token[1:].astype(np.int32),
    path_PxL=path_PxL,
  )


def log_probabilities(
  module: Transformer,
  params: Any,
  inputs_RxT: np.ndarray,
  trees: Sequence[Tree],
  *,
  first_steps: int = 0,
  batch_size: int | None = None,
  min_nodes: int = 32,
) -> Scores:
  """The log-probability of every n-gram of every row's tree, in one program.

  Programs are compiled for sizes of trees that grow by a third or a half, and
  for numbers of edges that double; with a `batch_size` and enough `min_nodes`
  there is one for all batches.

  Args:
    module: the model.
    params: its parameters.
    inputs_RxT: int32, what the encoder reads, padded with 0.
    trees: one for each row; a row without n-grams has the tree of none.
    first_steps: U, how many of the first rows to return the first step of.
    batch_size: fill up with empty rows to so many.
    min_nodes: make room for so many nodes in a row.

  Raises:
    ValueError: if there are not as many inputs as trees, or more than
      `batch_size`, or a token is not in the model's vocabulary.
  """
  count = len(trees)
  rows = count if batch_size is None else batch_size
  if not len(inputs_RxT) == count <= rows:
    raise ValueError(
      f'Expected as many inputs as trees, at most batch_size={batch_size}, got '
      f'{len(inputs_RxT)} and {count}; score them in batches.'
    )
  most = max((int(t.edge_token_X.max(initial=0)) for t in trees), default=0)
  if most >= module.config.vocab_size:
    raise ValueError(
      f'Expected tokens below vocab_size={module.config.vocab_size} in n-grams, '
      f'got {most}; use the vocabulary of the model.'
    )
  if not count:
    nothing = np.zeros((0, module.config.vocab_size), np.float32)
    return Scores([], nothing if first_steps else None)
  filled_RxT = np.zeros((rows, inputs_RxT.shape[1]), np.int32)
  filled_RxT[:count] = inputs_RxT
  value_X, first_UxV = jax.device_get(
    _score(
      module, params, filled_RxT, _pad(trees, rows, min_nodes), first_steps
    )
  )
  found, before = [], 0
  for tree in trees:
    edges = len(tree.node_X)
    # Summed in double precision, path by path; a 0 stands where a path has ended.
    value_X1 = np.append(value_X[before : before + edges], 0).astype(np.float64)
    found.append(value_X1[tree.path_PxL].sum(axis=1).astype(np.float32))
    before += edges
  return Scores(found, first_UxV[:count] if first_steps else None)


def bucket(size: int, least: int = 32) -> int:
  """The size that is compiled for: of `least`, in eights, and of 2^n and
  3 * 2^(n-1) above it the smallest that is not below `size`."""
  least = -(-least // 8) * 8
  size = max(size, 1)
  if size <= least:
    return least
  power = 1 << (size - 1).bit_length()
  return power * 3 // 4 if power >= 4 and size <= power * 3 // 4 else power


def _pad(trees: Sequence[Tree], rows: int, min_nodes: int) -> _Batch:
  """The trees side by side, filled up to `rows` and to a size of `bucket`."""
  nodes = bucket(max(len(tree.token_M) for tree in trees), min_nodes)
  node_RxM = np.zeros((3, rows, nodes), np.int32)
  # A padded node is its own parent, at depth 0.
  node_RxM[1] = np.arange(nodes)
  nodes_of, places, tokens, before = [], [], [], 0
  for row, tree in enumerate(trees):
    size = len(tree.token_M)
    node_RxM[:, row, :size] = tree.token_M, tree.parent_M, tree.depth_M
    nodes_of.append(row * nodes + np.arange(size))
    places.append(before + tree.node_X)
    tokens.append(tree.edge_token_X)
    before += size
  # A search keeps twice as many candidates as beams, so edges are about twice
  # the nodes.
  edges = max(sum(map(len, tokens)), 2 * rows * nodes)
  width = 1 << (edges - 1).bit_length()
  return _Batch(
    token_RxM=node_RxM[0],
    parent_RxM=node_RxM[1],
    depth_RxM=node_RxM[2],
    node_N=_filled(nodes_of, rows * nodes, 0),
    real=np.array(before, np.int32),
    place_X=_filled(places, width, rows * nodes),
    edge_token_X=_filled(tokens, width, 0),
  )


def _filled(parts: list[np.ndarray], width: int, value: int) -> np.ndarray:
  row = np.full(width, value, np.int32)
  joined = np.concatenate(parts)
  row[: len(joined)] = joined
  return row


@functools.partial(jax.jit, static_argnums=(0, 4))
def _score(
  module: Transformer,
  params: Any,
  inputs_RxT: jax.Array,
  batch: _Batch,
  first_steps: int,
) -> tuple[jax.Array, jax.Array | None]:
  """Log-probabilities of edges [X], and of all first tokens [U, V]."""
  state_RxMxE = _states(module, params, inputs_RxT, batch)
  logits = functools.partial(module.apply, {'params': params}, method='logits')
  width = min(
    max(_SLICE_BYTES // (4 * module.config.vocab_size), 1), len(batch.node_N)
  )
  state_NxE = state_RxMxE.reshape(-1, state_RxMxE.shape[-1])
  node_N = jnp.pad(batch.node_N, (0, -len(batch.node_N) % width))

  def add_slice(i: jax.Array, value_X: jax.Array) -> jax.Array:
    node_S = lax.dynamic_slice_in_dim(node_N, i * width, width)
    logits_SxV = logits(state_NxE[node_S][None])[0]
    place_X = batch.place_X - i * width
    here_X = (place_X >= 0) & (place_X < width)
    place_X = jnp.where(here_X, place_X, 0)
    total_S = jax.nn.logsumexp(logits_SxV, axis=1)
    value = logits_SxV[place_X, batch.edge_token_X] - total_S[place_X]
    return jnp.where(here_X, value, value_X)

  # As many slices as there are nodes, whatever the padding.
  slices = (batch.real + width - 1) // width
  nothing_X = jnp.zeros(len(batch.place_X), jnp.float32)
  value_X = lax.fori_loop(0, slices, add_slice, nothing_X)
  if not first_steps:
    return value_X, None
  first_UxV = logits(state_RxMxE[:first_steps, 0][None])[0]
  return value_X, jax.nn.log_softmax(first_UxV)


def _states(
  module: Transformer, params: Any, inputs_RxT: jax.Array, batch: _Batch
) -> jax.Array:
  """`Transformer.states` at every node [R, M, E], in groups of rows."""
  rows, nodes = batch.token_RxM.shape
  bytes_of_row = 4 * module.config.num_heads * nodes * nodes
  most = max(min(_GROUP_BYTES // bytes_of_row, rows), 1)
  group = next(size for size in range(most, 0, -1) if rows % size == 0)

  def decode(arrays: tuple[jax.Array, ...]) -> Any:
    input_GxT, token_GxM, parent_GxM, depth_GxM = arrays
    return module.apply(
      {'params': params},
      *(input_GxT, token_GxM, depth_GxM, _above(parent_GxM, depth_GxM)),
      method=_decode,
    )

  arrays = (inputs_RxT, batch.token_RxM, batch.parent_RxM, batch.depth_RxM)
  split = [x.reshape(rows // group, group, -1) for x in arrays]
  return lax.map(decode, tuple(split)).reshape(rows, nodes, -1)


def _decode(
  model: Transformer,
  input_GxT: jax.Array,
  token_GxM: jax.Array,
  depth_GxM: jax.Array,
  above_GxMxM: jax.Array,
) -> jax.Array:
  """The decoder over trees, as a method of the model."""
  encoded_GxTxE = model.encode(input_GxT, enable_dropout=False)
  return model.states(
    token_GxM,
    model.cross_keys_values(encoded_GxTxE),
    (above_GxMxM[:, None], (input_GxT > 0)[:, None, None, :]),
    length=token_GxM.shape[1],
    positions=depth_GxM,
    deterministic=True,
    decode=False,
  )


def _above(parent_GxM: jax.Array, depth_GxM: jax.Array) -> jax.Array:
  """Whether a node (row) is the other (column) or below it, bool [G, M, M]."""
  node_1xM = jnp.arange(parent_GxM.shape[1], dtype=jnp.int32)[None]
  itself_GxM = jnp.broadcast_to(node_1xM, parent_GxM.shape)

  def climb(
    _: jax.Array, carry: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    at_GxM, above_GxMxM = carry
    at_GxM = jnp.take_along_axis(parent_GxM, at_GxM, axis=1)
    return at_GxM, above_GxMxM | (at_GxM[:, :, None] == node_1xM[:, None])

  start = itself_GxM, itself_GxM[:, :, None] == node_1xM[:, None]
  return lax.fori_loop(0, depth_GxM.max(), climb, start)[1]
