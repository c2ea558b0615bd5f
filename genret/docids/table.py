# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The identifier table: which tokens name which document."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from genret import array_folder

KIND = 'docid_table'
VERSION = 1

# What the arrays of `state` are called in a folder begins with this.
_STATE = 'state_'

_BLOCK = 1 << 16  # Rows at a time, so that masks of them stay small.

# A row is hashed as a polynomial in this odd number modulo 2^64 (odd, so that
# no token is lost); a hit is always compared token by token.
_HASH_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True, eq=False)
class DocidTable:
  """Identifiers of D documents, in corpus order.

  Several documents may share an identifier (a collision).

  Attributes:
    doc_ids: D distinct document ids.
    token_rows_DxL: int32 identifiers without eos, padded with 0.
    lengths_D: int32 tokens in each row.
    vocab_size: number of tokens, V.
    eos_id: the token that ends an identifier; it is in no row.
    meta: how the table was made; anything JSON can hold.
    state: what the scheme needs to name more documents, arrays by name.
  """

  doc_ids: Sequence[str]
  token_rows_DxL: np.ndarray
  lengths_D: np.ndarray
  vocab_size: int
  eos_id: int = 1
  meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  state: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    set_field = functools.partial(object.__setattr__, self)
    set_field('doc_ids', tuple(self.doc_ids))
    set_field('token_rows_DxL', _int32('token_rows_DxL', self.token_rows_DxL))
    set_field('lengths_D', _int32('lengths_D', self.lengths_D))
    set_field('vocab_size', int(self.vocab_size))
    set_field('eos_id', int(self.eos_id))
    set_field('meta', dict(self.meta))
    set_field('state', dict(self.state))
    _check_shapes(self)
    _check_documents(self)
    _check_tokens(self)

  def __len__(self) -> int:
    return len(self.doc_ids)

  def __repr__(self) -> str:
    return (
      f'DocidTable({len(self)} documents, {self.token_rows_DxL.shape[1]} '
      f'tokens at most, vocab_size={self.vocab_size}, eos_id={self.eos_id})'
    )

  @functools.cached_property
  def hash(self) -> str:
    """SHA-256 (hex) of documents and identifiers, and of nothing else."""
    digest = hashlib.sha256()
    digest.update(f'{self.vocab_size} {self.eos_id} {len(self)}\n'.encode())
    text, offsets = array_folder.pack_text(self.doc_ids)
    digest.update(offsets.astype('<i8').tobytes())
    digest.update(text.tobytes())
    digest.update(self.lengths_D.astype('<i4').tobytes())
    for block in _blocks(len(self)):
      rows_XxL = self.token_rows_DxL[block]
      tokens = rows_XxL[_inside(rows_XxL, self.lengths_D[block])]
      digest.update(tokens.astype('<i4').tobytes())
    return digest.hexdigest()

  @property
  def collision_rate(self) -> float:
    """Share of the documents whose identifier also names another document."""
    if not len(self):
      return 0.0
    sizes_G = np.diff(self._groups.starts_G1)
    return float(sizes_G[sizes_G > 1].sum() / len(self))

  def documents(
    self, tokens_XxL: np.ndarray, lengths_X: np.ndarray
  ) -> list[np.ndarray]:
    """Looks identifiers up.

    Args:
      tokens_XxL: one identifier a row; what follows its length is ignored.
      lengths_X: tokens in each row, with or without a closing eos.

    Returns:
      For each row the indices of the documents it names, in table order; empty
      where it names none.
    """
    tokens_XxL = np.asarray(tokens_XxL)
    lengths_X = np.asarray(lengths_X).astype(np.int64)
    if tokens_XxL.ndim != 2 or lengths_X.shape != tokens_XxL.shape[:1]:
      raise ValueError(
        'Expected tokens [X, L] and lengths [X] but got '
        f'{tokens_XxL.shape} and {lengths_X.shape}; give one length a row.'
      )
    if np.any((lengths_X < 0) | (lengths_X > tokens_XxL.shape[1])):
      raise ValueError(
        f'Expected lengths from 0 to {tokens_XxL.shape[1]} but got '
        f'{lengths_X.min()} to {lengths_X.max()}; count the tokens of each row.'
      )
    lengths_X = _without_eos(tokens_XxL, lengths_X, self.eos_id)
    groups = self._groups
    group_X = groups.find(tokens_XxL, lengths_X)
    nothing = np.zeros(0, np.int64)
    return [
      groups.order_D[groups.starts_G1[g] : groups.starts_G1[g + 1]]
      if g >= 0
      else nothing
      for g in group_X
    ]

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the table to a folder; see `genret.array_folder.save`."""
    text, offsets = array_folder.pack_text(self.doc_ids)
    array_folder.save(
      path,
      kind=KIND,
      version=VERSION,
      arrays={
        'doc_id_bytes': text,
        'doc_id_offsets': offsets,
        'token_rows': self.token_rows_DxL,
        'lengths': self.lengths_D,
        **{f'{_STATE}{name}': array for name, array in self.state.items()},
      },
      meta={
        'vocab_size': self.vocab_size,
        'eos_id': self.eos_id,
        'hash': self.hash,
        'meta': self.meta,
      },
    )

  @classmethod
  def load(cls, path: str | os.PathLike[str]) -> DocidTable:
    """Reads a table written by `save`; refuses a damaged or foreign folder."""
    arrays, meta = array_folder.load(path, kind=KIND, version=VERSION)
    table = cls(
      array_folder.unpack_text(
        arrays['doc_id_bytes'], arrays['doc_id_offsets']
      ),
      arrays['token_rows'],
      arrays['lengths'],
      vocab_size=meta['vocab_size'],
      eos_id=meta['eos_id'],
      meta=meta['meta'],
      state={
        name.removeprefix(_STATE): array
        for name, array in arrays.items()
        if name.startswith(_STATE)
      },
    )
    if table.hash != meta['hash']:
      raise ValueError(
        f'Expected the identifier table in {path} to have hash {meta["hash"]} '
        f'but its content has {table.hash}; build the table again.'
      )
    return table

  @functools.cached_property
  def _groups(self) -> _Groups:
    return _Groups.build(self.token_rows_DxL, self.lengths_D)


@dataclasses.dataclass(frozen=True)
class _Groups:
  """Documents grouped by identifier: group g is order_D[starts[g]:starts[g+1]].

  Attributes:
    rows_DxL: the identifiers of the table.
    lengths_D: tokens in each.
    order_D: documents by the hash of their identifier, then so that equal ones
      stand together, in table order.
    starts_G1: first position of each of G groups, and D.
    hash_G: hashes of the identifiers, ascending.
  """

  rows_DxL: np.ndarray
  lengths_D: np.ndarray
  order_D: np.ndarray
  starts_G1: np.ndarray
  hash_G: np.ndarray

  @classmethod
  def build(cls, rows_DxL: np.ndarray, lengths_D: np.ndarray) -> _Groups:
    count = len(rows_DxL)
    hash_D = np.empty(count, np.uint64)
    for block in _blocks(count):
      hash_D[block] = _hash_rows(_marked(rows_DxL[block], lengths_D[block]))
    order_D = np.argsort(hash_D, kind='stable')
    sorted_D = hash_D[order_D]
    (again,) = np.nonzero(sorted_D[1:] == sorted_D[:-1])
    equal = _rows_equal(rows_DxL, lengths_D, order_D[again], order_D[again + 1])
    if not equal.all():  # Different identifiers with one hash.
      marked_DxL = _marked(rows_DxL, lengths_D)
      order_D = np.lexsort([*marked_DxL.T[::-1], hash_D])
      sorted_D = hash_D[order_D]
      again = np.arange(count - 1)
      equal = _rows_equal(rows_DxL, lengths_D, order_D[:-1], order_D[1:])
    first_D = np.ones(count, bool)
    first_D[again[equal] + 1] = False
    starts_G = np.flatnonzero(first_D)
    return cls(
      rows_DxL,
      lengths_D,
      order_D,
      np.append(starts_G, count),
      sorted_D[starts_G],
    )

  def find(self, tokens_XxL: np.ndarray, lengths_X: np.ndarray) -> np.ndarray:
    """The group of each identifier, -1 where there is none."""
    width = self.rows_DxL.shape[1]
    rows_XxL = np.full((len(tokens_XxL), width), -1, np.int64)
    shared = min(width, tokens_XxL.shape[1])
    rows_XxL[:, :shared] = _marked(tokens_XxL[:, :shared], lengths_X)
    group_X = np.full(len(tokens_XxL), -1)
    if not len(self.hash_G) or not len(tokens_XxL):
      return group_X
    hash_X = _hash_rows(rows_XxL)
    position_X = np.searchsorted(self.hash_G, hash_X)
    # Different identifiers with one hash stand side by side: try each.
    while True:
      clipped_X = np.minimum(position_X, len(self.hash_G) - 1)
      same_X = (position_X < len(self.hash_G)) & (
        self.hash_G[clipped_X] == hash_X
      )
      open_X = same_X & (group_X < 0) & (lengths_X <= width)
      if not open_X.any():
        return group_X
      document_X = self.order_D[self.starts_G1[clipped_X]]
      named_XxL = _marked(self.rows_DxL[document_X], self.lengths_D[document_X])
      equal_X = np.all(named_XxL == rows_XxL, axis=1)
      group_X = np.where(open_X & equal_X, clipped_X, group_X)
      position_X = position_X + 1


def _blocks(count: int) -> Iterator[slice]:
  for first in range(0, count, _BLOCK):
    yield slice(first, min(first + _BLOCK, count))


def _marked(rows_XxL: np.ndarray, lengths_X: np.ndarray) -> np.ndarray:
  """Rows with -1 behind their tokens."""
  return np.where(_inside(rows_XxL, lengths_X), rows_XxL, -1)


def _rows_equal(
  rows_DxL: np.ndarray,
  lengths_D: np.ndarray,
  one_X: np.ndarray,
  other_X: np.ndarray,
) -> np.ndarray:
  """Whether two documents have one identifier, for X pairs of them."""
  equal_X = np.empty(len(one_X), bool)
  for block in _blocks(len(one_X)):
    one_YxL, other_YxL = (
      _marked(rows_DxL[which_X[block]], lengths_D[which_X[block]])
      for which_X in (one_X, other_X)
    )
    equal_X[block] = np.all(one_YxL == other_YxL, axis=1)
  return equal_X


def _hash_rows(rows_XxL: np.ndarray) -> np.ndarray:
  hash_X = np.zeros(len(rows_XxL), np.uint64)
  for column_X in rows_XxL.T:
    # +2: padding (-1) and token 0 must count as well.
    hash_X = hash_X * _HASH_BASE + (column_X + 2).astype(np.uint64)
  return hash_X


def _inside(rows_DxL: np.ndarray, lengths_D: np.ndarray) -> np.ndarray:
  return np.arange(rows_DxL.shape[1]) < np.asarray(lengths_D)[:, None]


def _without_eos(
  tokens_XxL: np.ndarray, lengths_X: np.ndarray, eos_id: int
) -> np.ndarray:
  if not tokens_XxL.shape[1]:
    return lengths_X
  last_X = np.maximum(lengths_X - 1, 0)
  ends_X = tokens_XxL[np.arange(len(tokens_XxL)), last_X] == eos_id
  return lengths_X - (ends_X & (lengths_X > 0))


def _int32(name: str, values: Any) -> np.ndarray:
  array = np.asarray(values)
  if array.size == 0:
    return array.astype(np.int32)
  if array.dtype.kind not in 'iu':
    raise ValueError(
      f'Expected whole numbers in {name} but got dtype {array.dtype}; convert '
      'them to int32.'
    )
  if array.dtype == np.int32:
    return array
  limits = np.iinfo(np.int32)
  if array.min() < limits.min or array.max() > limits.max:
    raise ValueError(
      f'Expected {name} to fit 32 bits but got {array.min()} to {array.max()}; '
      'use smaller numbers.'
    )
  return array.astype(np.int32, copy=False)


def _check_shapes(table: DocidTable) -> None:
  rows, lengths, count = table.token_rows_DxL, table.lengths_D, len(table)
  if rows.ndim != 2 or len(rows) != count or lengths.shape != (count,):
    raise ValueError(
      f'Expected token rows [{count}, L] and lengths [{count}] for {count} '
      f'documents but got {list(rows.shape)} and {list(lengths.shape)}; give '
      'one row and one length for each document.'
    )
  if not 0 <= table.eos_id < table.vocab_size:
    raise ValueError(
      f'Expected eos_id from 0 to vocab_size - 1 but got eos_id={table.eos_id} '
      f'and vocab_size={table.vocab_size}; correct one of them.'
    )


def _check_documents(table: DocidTable) -> None:
  if {*map(type, table.doc_ids)} <= {str} and (
    len({*table.doc_ids}) == len(table)
  ):
    return
  seen: dict[str, int] = {}
  for index, doc_id in enumerate(table.doc_ids):
    if not isinstance(doc_id, str):
      raise ValueError(
        f'Expected text as document id {index} but got {doc_id!r}; convert the '
        'ids with str().'
      )
    first = seen.setdefault(doc_id, index)
    if first != index:
      raise ValueError(
        f'Expected distinct document ids but {doc_id!r} is both document '
        f'{first} and {index}; remove one of them.'
      )


def _check_tokens(table: DocidTable) -> None:
  lengths_D, width = table.lengths_D, table.token_rows_DxL.shape[1]

  def refuse(bad_X: Any, first: int, expected: str, advice: str) -> None:
    if np.any(bad_X):
      index = first + int(np.argmax(bad_X))
      raise ValueError(
        f'Expected {expected} but document {table.doc_ids[index]!r} has length '
        f'{lengths_D[index]} and tokens '
        f'{table.token_rows_DxL[index].tolist()}; {advice}.'
      )

  refuse(
    (lengths_D < 0) | (lengths_D > width),
    0,
    f'lengths up to the {width} columns',
    'count the tokens of each row',
  )
  refuse(
    lengths_D == 0, 0, 'no empty identifier', 'give every document a token'
  )
  for block in _blocks(len(table)):
    rows_XxL = table.token_rows_DxL[block]
    inside_XxL = _inside(rows_XxL, lengths_D[block])
    outside_XxL = (rows_XxL < 0) | (rows_XxL >= table.vocab_size)
    refuse(
      (inside_XxL & outside_XxL).any(axis=1),
      block.start,
      f'tokens from 0 to {table.vocab_size - 1}',
      'correct the tokens or vocab_size',
    )
    refuse(
      (inside_XxL & (rows_XxL == table.eos_id)).any(axis=1),
      block.start,
      f'identifiers without eos_id={table.eos_id}',
      'leave it out: a trie ends each identifier with it',
    )
    refuse(
      (~inside_XxL & (rows_XxL != 0)).any(axis=1),
      block.start,
      'padding with 0',
      'set what follows the length to 0',
    )
