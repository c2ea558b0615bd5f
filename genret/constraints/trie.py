# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A trie over identifiers as flat arrays: NumPy builds it, JAX walks it.

States are numbered level by level, so edge e leads to state e + 1 and no child
pointer is stored: an edge costs 6 bytes, its token and where the edges of the
state it leads to begin, or 8 if the vocabulary has more than 65,536 tokens.
Compressed sparse rows as in STATIC (Su et al., 2026), with eos as an ordinary
edge instead of a fixed length, and no dense levels.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genret import array_folder
from genret.constraints import (
  protocol,
  torch_adapters,
  trie_build,
  trie_host,
)
from genret.docids.table import DocidTable

KIND = 'trie'
VERSION = 2


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['token_E', 'first_edge_S1'],
  meta_fields=['vocab_size', 'eos_id', 'max_children'],
  drop_fields=['table_hash'],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Trie:
  """The prefixes of a set of identifiers; a pytree, to be passed to jit.

  Attributes:
    token_E: token of each edge, ascending among the edges of a state, uint16
      if the vocabulary allows and else int32. A trie of no identifiers has one
      edge that no state owns.
    first_edge_S1: int32; state s owns edges first_edge[s] to
      first_edge[s + 1]; state 0 is the root and edge e leads to state e + 1.
    vocab_size: number of tokens, V.
    eos_id: the token that ends each identifier.
    max_children: a power of two that no state has more edges than; rounded so
      that tries of like shape share one compilation.
    table_hash: hash of the identifier table this was built from, or ''; lost
      on the way through jit.
  """

  token_E: jax.Array
  first_edge_S1: jax.Array
  vocab_size: int
  eos_id: int
  max_children: int
  table_hash: str = ''

  @classmethod
  def from_table(cls, table: DocidTable) -> Trie:
    """The trie of a table's identifiers, each ended with eos."""
    rows = trie_build.rows_of(table.token_rows_DxL, table.lengths_D)
    arrays = trie_build.build(rows, table.vocab_size, table.eos_id)
    return _trie(*arrays, table.vocab_size, table.eos_id, table.hash)

  @classmethod
  def from_sequences(
    cls,
    sequences: Sequence[Sequence[int]] | np.ndarray,
    vocab_size: int,
    eos_id: int = 1,
    *,
    lengths: Sequence[int] | np.ndarray | None = None,
  ) -> Trie:
    """The trie of token sequences without eos; an empty one is allowed.

    Args:
      sequences: a list of sequences; rows [D, L] of tokens; or, with lengths,
        all tokens [T] one sequence after another. Millions of identifiers are
        best given as an array.
      vocab_size: number of tokens, V.
      eos_id: the token that ends each identifier.
      lengths: [D] tokens in each sequence; where rows are given, what follows
        its length is ignored.

    Raises:
      ValueError: a sequence has eos or a token outside the vocabulary; lengths
        do not fit; or there are 2^31 prefixes.
    """
    rows = trie_build.rows_of(sequences, lengths)
    trie_build.check_tokens(rows, vocab_size, eos_id)
    arrays = trie_build.build(rows, vocab_size, eos_id)
    return _trie(*arrays, vocab_size, eos_id)

  @property
  def num_identifiers(self) -> int:
    """Number of distinct identifiers."""
    token_E = np.asarray(self.token_E)[: int(self.first_edge_S1[-1])]
    return int((token_E == self.eos_id).sum())

  @property
  def nbytes(self) -> int:
    """Bytes of the arrays."""
    return self.token_E.nbytes + self.first_edge_S1.nbytes

  def __repr__(self) -> str:
    return (
      f'Trie({self.token_E.shape[0]} edges, vocab_size={self.vocab_size}, '
      f'eos_id={self.eos_id}, max_children={self.max_children})'
    )

  def constraint(self) -> protocol.Constraint:
    """This trie for `genret.beam_search`."""
    return protocol.Constraint(
      arrays=self,
      start=_start,
      probe=_probe,
      children=_children,
      slots=_count,
      total=_count,
      accepts=_accepts,
      max_slots=self.max_children,
      vocab_size=self.vocab_size,
      eos_id=self.eos_id,
    )

  def allowed_tokens(
    self, prefix_NxP: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Lists on the host what may follow each prefix.

    Args:
      prefix_NxP: integers, the tokens written so far; P may be 0.

    Returns:
      row_A, token_A: A pairs of a row and a token that may follow it, eos where
      an identifier is complete, by row and then ascending. A row that has ended
      or is no prefix has none.
    """
    # JAX keeps the host's copy.
    return trie_host.allowed_tokens(
      np.asarray(self.token_E),
      np.asarray(self.first_edge_S1),
      np.asarray(prefix_NxP),
    )

  def as_prefix_allowed_tokens_fn(
    self, *, num_skipped: int = 1
  ) -> Callable[[int, Any], list[int]]:
    """For transformers: see `torch_adapters.prefix_allowed_tokens_fn`."""
    return torch_adapters.prefix_allowed_tokens_fn(
      self, eos_id=self.eos_id, num_skipped=num_skipped
    )

  def as_logits_processor(
    self, num_beams: int = 1, *, num_skipped: int = 1
  ) -> torch_adapters.LogitsProcessor:
    """For transformers: see `torch_adapters.logits_processor`."""
    return torch_adapters.logits_processor(
      self,
      eos_id=self.eos_id,
      num_beams=num_beams,
      num_skipped=num_skipped,
    )

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the trie to a folder; see `genret.array_folder.save`."""
    array_folder.save(
      path,
      kind=KIND,
      version=VERSION,
      arrays={
        'token': np.asarray(self.token_E),
        'first_edge': np.asarray(self.first_edge_S1),
      },
      meta={
        'vocab_size': self.vocab_size,
        'eos_id': self.eos_id,
        'max_children': self.max_children,
        'table_hash': self.table_hash,
      },
    )

  @classmethod
  def load(
    cls,
    path: str | os.PathLike[str],
    table: DocidTable | None = None,
    *,
    every_byte: bool = False,
  ) -> Trie:
    """Opens a trie written by `save`; large arrays stay mapped from its files.

    Args:
      path: the folder.
      table: the identifier table it must have been built from, if given.
      every_byte: check files above 64 MiB whole; else samples of them.

    Raises:
      ValueError: the folder is damaged or foreign, or of another table.
    """
    arrays, meta = array_folder.load(
      path, kind=KIND, version=VERSION, every_byte=every_byte
    )
    if table is not None and meta['table_hash'] != table.hash:
      raise ValueError(
        f'Expected a trie of the identifier table {table.hash[:12]} but {path} '
        f'was built from {meta["table_hash"][:12] or "no table"}; build the '
        'trie again from this table.'
      )
    whole = every_byte or arrays['first_edge'].nbytes <= array_folder.LARGE
    _check_arrays(path, arrays['token'], arrays['first_edge'], meta, whole)
    # Unlike jnp.asarray, this leaves what is mapped on the host where it is.
    return cls(
      jax.device_put(arrays['token']),
      jax.device_put(arrays['first_edge']),
      **meta,
    )


def _trie(
  token_E: np.ndarray,
  first_edge_S1: np.ndarray,
  vocab_size: int,
  eos_id: int,
  table_hash: str = '',
) -> Trie:
  most = int(np.diff(first_edge_S1).max())
  return Trie(
    jnp.asarray(token_E.astype(_token_type(vocab_size), copy=False)),
    jnp.asarray(first_edge_S1),
    int(vocab_size),
    int(eos_id),
    max_children=1 << max(most - 1, 0).bit_length(),
    table_hash=table_hash,
  )


def _token_type(vocab_size: int) -> type:
  return np.uint16 if vocab_size <= 1 << 16 else np.int32


def _check_arrays(
  path: str | os.PathLike[str],
  token_E: np.ndarray,
  first_edge_S1: np.ndarray,
  meta: dict,
  whole: bool,
) -> None:
  """Refuses arrays of no trie; reads all of them only if `whole`."""
  edges = int(first_edge_S1[-1])
  sound = (
    len(token_E) == max(edges, 1)
    and len(first_edge_S1) == edges + 2
    and first_edge_S1[0] == 0
    and token_E.dtype == _token_type(meta['vocab_size'])
  )
  if sound and whole:
    sound = (
      np.diff(first_edge_S1).min() >= 0
      and np.diff(first_edge_S1).max() <= meta['max_children']
      and token_E.min() >= 0
      and token_E.max() < meta['vocab_size']
    )
  if not sound:
    raise ValueError(
      f'Expected the arrays of a trie in {path} but they contradict each other; '
      'build the trie again.'
    )


# The constraint functions; a state is a number of the trie, -1 after an illegal
# token.


def _start(trie: Trie, n: int) -> jax.Array:
  del trie
  return jnp.zeros(n, jnp.int32)


def _token(trie: Trie, edge: jax.Array) -> jax.Array:
  return trie.token_E[edge].astype(jnp.int32)


def _edges(trie: Trie, state_N: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The range of edges each state owns; empty for state -1."""
  safe_N = jnp.maximum(state_N, 0)
  first_N = trie.first_edge_S1[safe_N]
  last_N = trie.first_edge_S1[safe_N + 1]
  return first_N, jnp.where(state_N < 0, first_N, last_N)


def _count(trie: Trie, state_N: jax.Array) -> jax.Array:
  first_N, last_N = _edges(trie, state_N)
  return last_N - first_N


def _accepts(trie: Trie, state_N: jax.Array) -> jax.Array:
  """An identifier ends with eos or not at all."""
  del trie
  return jnp.zeros(len(state_N), bool)


def _children(
  trie: Trie, state_N: jax.Array, offset: jax.Array | int, width: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  rank_NxW = protocol.slot_numbers(len(state_N), offset, width)
  return children_at(trie, state_N, rank_NxW)


def children_at(
  trie: Trie, state_N: jax.Array, rank_NxW: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The edges of states by their ranks, as `Constraint.children` has them."""
  first_N, last_N = _edges(trie, state_N)
  legal_NxW = (rank_NxW >= 0) & (rank_NxW < (last_N - first_N)[:, None])
  edge_NxW = jnp.where(legal_NxW, first_N[:, None] + rank_NxW, 0)
  return (
    _token(trie, edge_NxW),
    jnp.where(legal_NxW, edge_NxW + 1, -1),
    legal_NxW,
  )


def _probe(
  trie: Trie, state_N: jax.Array, token_NxT: jax.Array
) -> tuple[jax.Array, jax.Array]:
  rank_NxT, legal_NxT = rank_of(trie, state_N, token_NxT)
  first_N, _ = _edges(trie, state_N)
  state_NxT = jnp.where(legal_NxT, first_N[:, None] + rank_NxT + 1, -1)
  return legal_NxT.astype(jnp.int32), state_NxT


def rank_of(
  trie: Trie,
  state_N: jax.Array,
  token_NxT: jax.Array,
  *,
  below: int | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Binary search for each token among the edges of its state.

  Args:
    trie: the identifiers.
    state_N: states, -1 for none.
    token_NxT: any tokens.
    below: tokens are no greater than this. Speed only: of small ones there are
      but few edges before.

  Returns:
    int32 [N, T] how many edges have lesser tokens; bool whether one has it.
  """
  first_N, last_N = _edges(trie, state_N)
  low_NxT = jnp.broadcast_to(first_N[:, None], token_NxT.shape)
  most = trie.max_children
  if below is not None:
    most = min(most, below + 1)
  size_N = jnp.minimum(last_N - first_N, most)
  size_NxT = jnp.broadcast_to(size_N[:, None], token_NxT.shape)

  def halve(
    _: jax.Array, range_NxT: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    low_NxT, size_NxT = range_NxT
    half_NxT = size_NxT // 2
    # Gathers clamp: the edge after the last one is read but never used.
    less_NxT = (size_NxT > 0) & (_token(trie, low_NxT + half_NxT) < token_NxT)
    return (
      jnp.where(less_NxT, low_NxT + half_NxT + 1, low_NxT),
      jnp.where(less_NxT, size_NxT - half_NxT - 1, half_NxT),
    )

  # A loop and not unrolled: XLA's fusion of chained gathers grows exponentially.
  low_NxT, _ = lax.fori_loop(0, most.bit_length(), halve, (low_NxT, size_NxT))
  found_NxT = _token(trie, low_NxT) == token_NxT
  return low_NxT - first_N[:, None], (low_NxT < last_N[:, None]) & found_NxT
