# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Where keys occur in the segments of an FM-index, all at once.

What `FMIndex.count_batch` and `locate_batch` answer, in a form for scoring: one
backward search serves both, and nothing is put in order that scoring puts in an
order of its own. An index that keeps every position (sample_rate=1) has the
occurrences of an n-gram side by side, and they are read and not searched for.

A slot is a document by its place in the segments, removed ones included. S
segments, D documents of one, K keys, Y occurrences, V tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pydivsufsort

from genret.constraints import fm_kernels
from genret.constraints.fm_index import FMIndex
from genret.constraints.fm_segment import Segment
from genret.ranking import ngram_kernels


class Rows(NamedTuple):
  """The rows of keys in each segment: low_SxK to high_SxK, int64."""

  low_SxK: np.ndarray
  high_SxK: np.ndarray


class Occurrences(NamedTuple):
  """Where keys begin: the key, the document's slot, the offset; int32 [Y]."""

  key_Y: np.ndarray
  slot_Y: np.ndarray
  offset_Y: np.ndarray

  def take(self, which: np.ndarray) -> Occurrences:
    """Those at some places."""
    return Occurrences(*(array_Y[which] for array_Y in self))


class Places:
  """The segments of an index, as they are now.

  Attributes:
    segments: of the index.
    num_tokens: N, of documents that are there.
    count_V: how often each token occurs in them, int64.
    first_slot_S1: the slot of the first document of each segment, and the end.
  """

  def __init__(self, index: FMIndex) -> None:
    self.segments = index.segments
    self.num_tokens = index.num_tokens
    self.count_V = index.count_batch(np.arange(index.vocab_size)[:, None])
    self.first_slot_S1 = np.cumsum(
      [0, *(len(s.number_D) for s in self.segments)]
    )
    self._block_documents = list(map(_block_documents, self.segments))

  def rows(self, token: np.ndarray, start_K1: np.ndarray) -> Rows:
    """The rows of keys, flat; see `fm_text.flat_ngrams`. None is empty."""
    shape = len(self.segments), len(start_K1) - 1
    rows = Rows(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    for s, segment in enumerate(self.segments):
      rows.low_SxK[s], rows.high_SxK[s] = fm_kernels.intervals(
        segment.block_LxBx32,
        segment.shift_A,
        segment.first_row_A1,
        segment.alphabet_T,
        token,
        start_K1,
      )
    return rows

  def counts(self, rows: Rows) -> np.ndarray:
    """How often keys occur in documents that are there, int64 [K]."""
    count_K = np.zeros(rows.low_SxK.shape[1], np.int64)
    for segment, low_K, high_K in zip(self.segments, *rows, strict=True):
      count_K += fm_kernels.live(segment.removed_Mx8, low_K, high_K)
    return count_K

  def locate(self, rows: Rows, length_K: np.ndarray) -> Occurrences:
    """Where keys occur in documents that are there, by document, key, offset.

    Args:
      rows: of the keys.
      length_K: tokens of each.
    """
    parts = []
    for s, segment in enumerate(self.segments):
      interval = rows.low_SxK[s], rows.high_SxK[s], length_K
      if len(segment.sample_X) == int(segment.first_row_A1[-1]):
        key_Y, document_Y, offset_Y = ngram_kernels.places(
          segment.sample_X,
          segment.start_D1,
          segment.removed_D,
          self._block_documents[s],
          *interval,
        )
      else:
        key_Y, document_Y, offset_Y = fm_kernels.locate(
          segment.block_LxBx32,
          segment.shift_A,
          segment.start_D1,
          segment.last_D,
          segment.mark_Mx8,
          segment.sample_X,
          segment.removed_Mx8,
          *interval,
        )
      slot_Y = document_Y + np.int32(self.first_slot_S1[s])
      parts.append((key_Y, slot_Y, offset_Y))
    if not parts:
      return Occurrences(*np.zeros((3, 0), np.int32))
    found = Occurrences(*map(_joined, zip(*parts, strict=True)))
    return found.take(ngram_kernels.order_by_document(*found))

  def numbers(self, slot_X: np.ndarray) -> np.ndarray:
    """The numbers of documents in the index, int64."""
    number_X = np.zeros(len(slot_X), np.int64)
    for s, mine, document_X in self.by_segment(slot_X):
      number_X[mine] = self.segments[s].number_D[document_X]
    return number_X

  def by_segment(
    self, slot_X: np.ndarray
  ) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Slots apart: the segment, the places of its slots, their documents."""
    segment_X = np.searchsorted(self.first_slot_S1, slot_X, 'right') - 1
    parts = []
    for s in np.unique(segment_X).tolist():
      mine = np.flatnonzero(segment_X == s)
      parts.append((s, mine, slot_X[mine] - self.first_slot_S1[s]))
    return parts


class ReleasedOrder:
  """Where SEAL's released code finds and claims occurrences.

  It lays documents out one after the other, each reversed, its mark (a row's
  first token) before its last token, and visits the occurrences of a key by the
  order of suffixes from the key's last token on. It takes for the place of an
  occurrence not its tokens but as many places just before its last token, which
  are of what follows it in the document, or of the document laid out before.

  Attributes:
    begin_S1: where the document of each slot begins, one of no tokens where it
      was removed, and the end.
    rank_N: the order of the suffixes at each place.
  """

  def __init__(self, places: Places) -> None:
    self._length = np.concatenate(
      [np.zeros(0, np.int64)]
      + [np.diff(s.start_D1) * ~s.removed_D for s in places.segments]
    )
    self.begin_S1 = np.append(0, np.cumsum(self._length))
    parts = [
      np.append(row[:1], row[:0:-1])
      for segment in places.segments
      for row in _rows(segment)
    ]
    token_N = np.concatenate([np.zeros(0, np.int32), *parts]).astype('>i4')
    self.rank_N = np.zeros(len(token_N), np.int64)
    if len(token_N):
      # Bytes are sorted, high ones first; suffixes inside of a token go.
      order = pydivsufsort.divsufsort(token_N.view(np.uint8))
      order = order[order % token_N.itemsize == 0] // token_N.itemsize
      self.rank_N[order] = np.arange(len(order))

  def fresh(
    self, found: Occurrences, length_K: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Which occurrences find their places free, and how they are visited.

    Args:
      found: keys are visited in ascending order.
      length_K: tokens of each.

    Returns:
      fresh_Y: bool.
      visit_Y: int64; the turn of each occurrence.
    """
    length_Y = length_K[found.key_Y]
    last_Y = found.offset_Y + length_Y - 1
    from_end_Y = np.where(last_Y, self._length[found.slot_Y] - last_Y, 0)
    place_Y = self.begin_S1[found.slot_Y] + from_end_Y
    order_Y = np.lexsort((self.rank_N[place_Y], found.key_Y))
    room = int(length_K.max(initial=0))  # Some lie before the first document.
    place_Y = place_Y + room
    fresh_Y = ngram_kernels.claim_globally(order_Y, place_Y - length_Y, place_Y)
    visit_Y = np.empty(len(order_Y), np.int64)
    visit_Y[order_Y] = np.arange(len(order_Y))
    return fresh_Y, visit_Y


def _block_documents(segment: Segment) -> np.ndarray:
  """The document of every position that the stride divides, int32."""
  documents = len(segment.number_D)
  border_D = segment.start_D1[:-1] + np.arange(documents)
  rows = int(segment.first_row_A1[-1])
  position_B = np.arange(0, rows, ngram_kernels.STRIDE)
  return (np.searchsorted(border_D, position_B, 'right') - 1).astype(np.int32)


def _rows(segment: Segment) -> Iterator[np.ndarray]:
  """The tokens of each document that is there."""
  for document in np.flatnonzero(~segment.removed_D).tolist():
    first, last = segment.start_D1[document : document + 2].tolist()
    yield segment.text[first:last]


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
  """Arrays one after the other, int32; one alone is not copied."""
  first = parts[0] if len(parts) == 1 else np.concatenate(parts)
  return first.astype(np.int32, copy=False)
