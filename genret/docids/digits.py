# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Digits of varying number as tokens: shared by all positions, or of each its own.

D is the number of documents, L of positions, X of digits that came later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids import codes, growth
from genret.docids.table import DocidTable


def digits_table(
  documents: Sequence[Document],
  digit_DxL: np.ndarray,
  *,
  first_token: int,
  position_aware: bool,
  old: DocidTable | None = None,
  state: Mapping[str, np.ndarray] | None = None,
) -> DocidTable:
  """Digits as tokens of their own, from `first_token` on.

  Args:
    documents: D documents.
    digit_DxL: non-negative digits, padded with -1.
    first_token: the first id that is free for identifiers.
    position_aware: give each position its own tokens (NCI's two-dimensional
      codes, Wang et al., NeurIPS 2022: token = position * width + digit)
      instead of sharing the digits between positions. Digits that the first
      documents did not have stand behind all others.
    old: the table that the documents are added to.
    state: as `growth.table` takes it.
  """
  numbering = _numbering_of(digit_DxL, first_token, position_aware, old)
  token_DxL, numbering = numbering.encode(digit_DxL)
  size = numbering.width * max(numbering.positions, 1) + len(
    numbering.later_Xx2
  )
  if not numbering.positions:
    size = max(size, int(digit_DxL.max(initial=0)) + 1)
  kept = {
    'sizes': np.array([numbering.width, numbering.positions]),
    'later': numbering.later_Xx2,
  }
  return growth.table(
    documents,
    token_DxL.astype(np.int32),
    (digit_DxL >= 0).sum(1).astype(np.int32),
    vocabulary_lib.joint_size(first_token, size),
    old=old,
    state={**(state or {}), **kept},
  )


def starts(table: DocidTable, first_token: int) -> np.ndarray:
  """Digits of a table without the last of each row, padded with -1.

  Args:
    table: one of `digits_table`.
    first_token: as it was made with.
  """
  width, positions = table.state['sizes'].tolist()
  position_L = np.arange(table.token_rows_DxL.shape[1])
  step = width if positions else 0
  digit_DxL = table.token_rows_DxL - first_token - step * position_L
  inside_DxL = position_L < table.lengths_D[:, None] - 1
  return np.where(inside_DxL, digit_DxL, -1)


class _Numbering(NamedTuple):
  """Which token stands for which digit at which position.

  Attributes:
    first_token: of the first digit.
    width: digits of a position.
    positions: how many have digits of their own; 0 where all share them.
    later_Xx2: (position, digit) of tokens behind all others: of digits beyond
      the width, which came with documents that were added.
  """

  first_token: int
  width: int
  positions: int
  later_Xx2: np.ndarray

  def encode(self, digit_NxL: np.ndarray) -> tuple[np.ndarray, _Numbering]:
    """Tokens of digits, padded with 0, and the numbering with what is new."""
    used_NxL = digit_NxL >= 0
    if not self.positions:
      return np.where(used_NxL, self.first_token + digit_NxL, 0), self
    position_L = np.arange(digit_NxL.shape[1])
    token_NxL = self.first_token + self.width * position_L + digit_NxL
    row, position = np.nonzero(digit_NxL >= self.width)
    pair_Yx2 = np.stack([position, digit_NxL[row, position]], 1)
    all_Zx2 = np.concatenate([self.later_Xx2, pair_Yx2])
    group_Z = codes.groups_of_equals(all_Zx2)
    # Pairs in the order in which they were first seen.
    _, first_G = np.unique(group_Z, return_index=True)
    later_Xx2 = all_Zx2[np.sort(first_G)]
    rank_G = np.argsort(np.argsort(first_G))
    token_NxL[row, position] = (
      self.first_token
      + self.width * self.positions
      + rank_G[group_Z[len(self.later_Xx2) :]]
    )
    found = self._replace(later_Xx2=later_Xx2)
    return np.where(used_NxL, token_NxL, 0), found


def _numbering_of(
  digit_DxL: np.ndarray,
  first_token: int,
  position_aware: bool,
  old: DocidTable | None,
) -> _Numbering:
  """How an old table numbers its tokens, or one of these digits would."""
  if old is not None:
    width, positions = old.state['sizes'].tolist()
    return _Numbering(
      first_token, width, positions, np.array(old.state['later'])
    )
  width = int(digit_DxL.max(initial=0)) + 1
  positions = digit_DxL.shape[1] if position_aware else 0
  return _Numbering(first_token, width, positions, np.zeros((0, 2), np.int64))
