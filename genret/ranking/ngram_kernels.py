# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Loops of `ngrams` over the occurrences of keys, compiled by numba.

Scalar loops: whether a key finds its places free depends on those before it.

K keys in order, Y occurrences, D documents of a segment, B blocks of positions,
X samples, L tokens of a document.
"""

from __future__ import annotations

import numba
import numpy as np

# A document is looked up by its position over this, and a short walk.
STRIDE = 64
_DIGIT = 11  # bits that a pass of sorting looks at


@numba.njit(cache=True)
def places(
  sample_X: np.ndarray,
  start_D1: np.ndarray,
  removed_D: np.ndarray,
  block_document_B: np.ndarray,
  low_K: np.ndarray,
  high_K: np.ndarray,
  length_K: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Key, document and offset of rows of a segment that keeps each position.

  As `fm_kernels.locate` answers, without following rows to the next sample.

  Args:
    sample_X: the position of each row in the segment's layout.
    start_D1: where documents begin.
    removed_D: which are not there.
    block_document_B: the document of every position that STRIDE divides.
    low_K: the first row of each key.
    high_K: behind the last one.
    length_K: tokens of each key.
  """
  total = 0
  for key in range(len(low_K)):
    total += high_K[key] - low_K[key]
  key_Y = np.empty(total, np.int32)
  document_Y = np.empty(total, np.int32)
  offset_Y = np.empty(total, np.int32)
  found = 0
  for key in range(len(low_K)):
    for row in range(low_K[key], high_K[key]):
      position = np.int64(sample_X[row])
      document = np.int64(block_document_B[position // STRIDE])
      # Each document has a border before it: see `fm_segment`.
      while start_D1[document + 1] + document + 1 <= position:
        document += 1
      if removed_D[document]:
        continue
      key_Y[found], document_Y[found] = key, document
      first = start_D1[document] + document + 1
      offset_Y[found] = position - first - length_K[key] + 1
      found += 1
  return key_Y[:found], document_Y[:found], offset_Y[:found]


@numba.njit(cache=True)
def order_by_document(
  key_Y: np.ndarray, document_Y: np.ndarray, offset_Y: np.ndarray
) -> np.ndarray:
  """Sorts occurrences by document, then by key, then by offset.

  Returns:
    int32 [Y], the places in order.
  """
  count = len(document_Y)
  order_Y, next_Y = np.empty(count, np.int32), np.empty(count, np.int32)
  order_Y[:] = np.arange(count)
  mask = (1 << _DIGIT) - 1
  at = np.empty(mask + 2, np.int64)
  for value_Y in (offset_Y, key_Y, document_Y):
    most = np.int64(value_Y.max() if count else 0)
    shift = 0
    while most >> shift:  # By digits, the lowest first, each pass stable.
      at[:] = 0
      for value in value_Y:
        at[((value >> shift) & mask) + 1] += 1
      for digit in range(mask):
        at[digit + 1] += at[digit]
      for y in order_Y:
        digit = (value_Y[y] >> shift) & mask
        next_Y[at[digit]] = y
        at[digit] += 1
      order_Y, next_Y = next_Y, order_Y
      shift += _DIGIT
  return order_Y


@numba.njit(cache=True)
def claim(
  key_Y: np.ndarray,
  document_Y: np.ndarray,
  offset_Y: np.ndarray,
  length_K: np.ndarray,
) -> np.ndarray:
  """Which occurrences find all their places free, and take them; bool [Y].

  They come by document, and then in the order in which they are to be visited.
  """
  fresh_Y = np.empty(len(key_Y), np.bool_)
  most = np.int64(0)
  for y in range(len(key_Y)):
    most = max(most, offset_Y[y] + length_K[key_Y[y]])
  taken_L = np.zeros(most, np.int32)  # By which visit of a document, from 1.
  visit = 0
  for y in range(len(key_Y)):
    if y == 0 or document_Y[y] != document_Y[y - 1]:
      visit += 1
    first, length = offset_Y[y], length_K[key_Y[y]]
    fresh = True
    for i in range(first, first + length):
      fresh &= taken_L[i] != visit
    fresh_Y[y] = fresh
    if fresh:
      for i in range(first, first + length):
        taken_L[i] = visit
  return fresh_Y


@numba.njit(cache=True)
def claim_globally(
  order_Y: np.ndarray, first_Y: np.ndarray, last_Y: np.ndarray
) -> np.ndarray:
  """As `claim` for places of the whole corpus, from 0; in a given order."""
  fresh_Y = np.zeros(len(order_Y), np.bool_)
  taken = np.zeros(last_Y.max() if len(last_Y) else 0, np.bool_)
  for y in order_Y:
    fresh_Y[y] = not taken[first_Y[y] : last_Y[y]].any()
    if fresh_Y[y]:
      taken[first_Y[y] : last_Y[y]] = True
  return fresh_Y
