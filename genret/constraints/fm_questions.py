# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Questions to an FM-index: what its segments answer, put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genret.constraints import fm_kernels
from genret.constraints.fm_segment import Segment

_Flat = tuple[np.ndarray, np.ndarray, np.ndarray]


def count(
  segments: Sequence[Segment], token: np.ndarray, start_X1: np.ndarray
) -> np.ndarray:
  """How often n-grams occur, int64; see `fm_text.flat_ngrams`."""
  count_X = np.zeros(len(start_X1) - 1, np.int64)
  empty_X = start_X1[1:] == start_X1[:-1]
  for segment in segments:
    low_X, high_X = _intervals(segment, token, start_X1)
    live_X = _live(segment, low_X, high_X)
    # Of all rows, one a document is that of its border.
    live_X[empty_X] -= int((~segment.removed_D).sum())
    count_X += live_X
  return count_X


def continuations(
  segments: Sequence[Segment], token: np.ndarray, start_X1: np.ndarray
) -> _Flat:
  """What follows n-grams: n-gram, token and how often, in ascending order."""
  parts = []
  for segment in segments:
    low_X, high_X = _intervals(segment, token, start_X1)
    parts.append(_following(segment, low_X, high_X))
  return _added_up(parts)


def locate(
  segments: Sequence[Segment],
  token: np.ndarray,
  start_X1: np.ndarray,
  limit: int | None,
) -> _Flat:
  """Where n-grams begin: n-gram, document number and offset, ascending.

  Of each n-gram the first `limit` places only, if it is not None.
  """
  length_X = np.diff(start_X1)
  parts = [_located(s, token, start_X1, length_X) for s in segments]
  ngram_Y, number_Y, offset_Y = _joined(parts)
  if len(ngram_Y) < 2 and limit != 0:
    return ngram_Y, number_Y, offset_Y
  order = np.lexsort((offset_Y, number_Y, ngram_Y))
  ngram_Y = ngram_Y[order]
  if limit is not None:
    first_X = np.searchsorted(ngram_Y, np.arange(len(length_X)))
    kept = np.arange(len(ngram_Y)) - first_X[ngram_Y] < limit
    order, ngram_Y = order[kept], ngram_Y[kept]
  return ngram_Y, number_Y[order], offset_Y[order]


def _located(
  segment: Segment,
  token: np.ndarray,
  start_X1: np.ndarray,
  length_X: np.ndarray,
) -> _Flat:
  """Where n-grams begin in live documents: n-gram, document number, offset."""
  low_X, high_X = _intervals(segment, token, start_X1)
  ngram_Y, document_Y, offset_Y = _places(segment, low_X, high_X, length_X)
  # The empty n-gram has a row at the end of each document, too.
  start_D1 = segment.start_D1
  inside = offset_Y < start_D1[document_Y + 1] - start_D1[document_Y]
  document_Y = document_Y[inside]
  return ngram_Y[inside], segment.number_D[document_Y], offset_Y[inside]


def _added_up(parts: list[_Flat]) -> _Flat:
  """Continuations in several segments as those in all."""
  if len(parts) == 1:
    return parts[0]
  ngram_Y, token_Y, count_Y = _joined(parts)
  order = np.lexsort((token_Y, ngram_Y))
  ngram_Y, token_Y = ngram_Y[order], token_Y[order]
  new_Y = np.ones(len(order), bool)
  new_Y[1:] = (np.diff(ngram_Y) != 0) | (np.diff(token_Y) != 0)
  first = np.flatnonzero(new_Y)
  counts = np.add.reduceat(count_Y[order], first) if len(first) else count_Y
  return ngram_Y[first], token_Y[first], counts


def _joined(parts: list[_Flat]) -> _Flat:
  """What segments answer, one after the other."""
  if len(parts) == 1:
    return parts[0]
  nothing = np.zeros(0, np.int64)
  first, second, third = map(
    np.concatenate, zip([nothing] * 3, *parts, strict=True)
  )
  return first, second, third


def _intervals(
  segment: Segment, token: np.ndarray, start_X1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The rows of many n-grams: low_X and high_X, equal where there are none.

  Args:
    segment: where to look.
    token: int64 tokens of all n-grams.
    start_X1: int64; where each begins in token, and the end. The empty n-gram
      has all rows.
  """
  return fm_kernels.intervals(
    segment.block_LxBx32,
    segment.shift_A,
    segment.first_row_A1,
    segment.alphabet_T,
    token,
    start_X1,
  )


def _live(
  segment: Segment, low_X: np.ndarray, high_X: np.ndarray
) -> np.ndarray:
  """How many rows of each range belong to documents that were not removed."""
  return fm_kernels.live(segment.removed_Mx8, low_X, high_X)


def _following(
  segment: Segment, low_X: np.ndarray, high_X: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Tokens that follow in live documents: range, token and how often, flat.

  Ranges in order, and tokens ascending within a range; int64.
  """
  rows, symbols, counts = fm_kernels.continuations(
    segment.block_LxBx32,
    segment.shift_A,
    segment.removed_Mx8,
    low_X,
    high_X,
  )
  return rows, segment.alphabet_T[symbols - 1].astype(np.int64), counts


def _places(
  segment: Segment, low_X: np.ndarray, high_X: np.ndarray, length_X: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Where n-grams of these rows and lengths begin in live documents.

  Returns:
    range, document of the segment, offset: int64, flat, ranges in order.
  """
  return fm_kernels.locate(
    segment.block_LxBx32,
    segment.shift_A,
    segment.start_D1,
    segment.last_D,
    segment.mark_Mx8,
    segment.sample_X,
    segment.removed_Mx8,
    low_X,
    high_X,
    length_X,
  )
