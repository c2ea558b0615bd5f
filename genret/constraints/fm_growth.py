# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""How an FM-index is cut into segments, and how these grow, shrink and merge.

Segments are never changed, only replaced. A new one takes in those before it
that are not much larger, so a document is sorted again a logarithmic number of
times and there are logarithmically many segments (O'Neil et al., 1996).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

import numpy as np

from genret.constraints import fm_kernels, fm_segment
from genret.constraints.fm_segment import Segment, pack_marks

# A new segment takes in those before it that are less than this times its size.
_GROWTH = 4


def split(
  text: np.ndarray,
  start_D1: np.ndarray,
  *,
  vocab_size: int,
  shards: int = 1,
  segment_tokens: int,
  sample_rate: int,
  first_number: int = 0,
  progress: bool = False,
) -> list[Segment]:
  """The segments of new documents, each of whole documents.

  Args:
    text: tokens of all documents.
    start_D1: where each begins, and their number.
    vocab_size: number of tokens, to estimate the memory.
    shards: the number of segments of like size to make.
    segment_tokens: cut further where a segment has more tokens.
    sample_rate: see `fm_segment.build`.
    first_number: of the first document.
    progress: print what is done, and how much memory it takes.
  """
  ranges = _ranges(start_D1, shards, segment_tokens)
  if progress:
    _print_estimate(start_D1, ranges, vocab_size)
  segments = []
  for first, last in ranges:
    start = start_D1[first : last + 1]
    if progress:
      _print(
        f'sorting {start[-1] - start[0]:,} tokens of {last - first:,} documents'
      )
    segments.append(
      fm_segment.build(
        text[start[0] : start[-1]],
        start - start[0],
        np.arange(first_number + first, first_number + last),
        sample_rate=sample_rate,
      )
    )
  return segments


def added(
  segments: Sequence[Segment],
  new: Sequence[Segment],
  *,
  segment_tokens: int,
  sample_rate: int,
) -> list[Segment]:
  """Segments and new ones, merged with their neighbours as they grow."""
  result = list(segments)
  for segment in new:
    result.append(segment)
    while len(result) > 1:
      older, newer = (len(s.text) for s in result[-2:])
      if older >= _GROWTH * max(newer, 1) or older + newer > segment_tokens:
        break
      result[-2:] = [merged(result[-2:], sample_rate)]
  return result


def removed(
  segments: Sequence[Segment], number_X: np.ndarray, *, sample_rate: int
) -> list[Segment]:
  """Segments without these documents: marked, or built again where half is gone."""
  result = []
  for segment in segments:
    gone = np.flatnonzero(np.isin(segment.number_D, number_X))
    if len(gone):
      segment = _marked(segment, gone)
      length_D = np.diff(segment.start_D1)
      if 2 * length_D[segment.removed_D].sum() >= length_D.sum():
        segment = merged([segment], sample_rate)
    if len(segment.number_D):
      result.append(segment)
  return result


def compacted(
  segments: Sequence[Segment],
  *,
  wanted: int,
  segment_tokens: int,
  sample_rate: int,
) -> list[Segment]:
  """At most `wanted` segments, if the limit allows, without removal marks.

  Of neighbours, those that are smallest together are merged first.
  """
  groups = [[segment] for segment in segments]
  tokens = [_live_tokens(segment) for segment in segments]
  while len(groups) > wanted:
    sums = [a + b for a, b in itertools.pairwise(tokens)]
    least = min(range(len(sums)), key=sums.__getitem__)
    if wanted == 1 and sums[least] > segment_tokens:
      break
    groups[least : least + 2] = [groups[least] + groups[least + 1]]
    tokens[least : least + 2] = [sums[least]]
  result = [
    merged(group, sample_rate)
    if len(group) > 1 or group[0].removed_D.any()
    else group[0]
    for group in groups
  ]
  return [segment for segment in result if len(segment.number_D)]


def _live_tokens(segment: Segment) -> int:
  return int(np.diff(segment.start_D1)[~segment.removed_D].sum())


def merged(segments: Sequence[Segment], sample_rate: int) -> Segment:
  """One segment of the documents that are left in several."""
  texts, lengths, numbers = [], [], []
  for segment in segments:
    kept_D, length_D = ~segment.removed_D, np.diff(segment.start_D1)
    texts.append(segment.text[np.repeat(kept_D, length_D)])
    lengths.append(length_D[kept_D])
    numbers.append(segment.number_D[kept_D])
  number_D = np.concatenate(numbers)
  start_D1 = np.zeros(len(number_D) + 1, np.int64)
  np.cumsum(np.concatenate(lengths), out=start_D1[1:])
  return fm_segment.build(
    np.concatenate(texts), start_D1, number_D, sample_rate=sample_rate
  )


def _ranges(
  start_D1: np.ndarray, shards: int, segment_tokens: int
) -> list[tuple[int, int]]:
  """Ranges of documents: shards of like size, cut where they are too large."""
  cut = np.arange(shards + 1) * int(start_D1[-1]) // shards
  bounds = np.searchsorted(start_D1, cut)
  bounds[0], bounds[-1] = 0, len(start_D1) - 1
  ranges = []
  for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
    while first < end:
      limit = start_D1[first] + segment_tokens
      last = int(np.searchsorted(start_D1, limit, side='right')) - 1
      last = min(max(last, first + 1), end)
      ranges.append((first, last))
      first = last
  return ranges


def _print_estimate(
  start_D1: np.ndarray, ranges: Sequence[tuple[int, int]], vocab_size: int
) -> None:
  tokens, documents = int(start_D1[-1]), len(start_D1) - 1
  peak = max(
    (
      fm_segment.bytes_to_build(
        int(start_D1[last] - start_D1[first]), last - first, vocab_size
      )
      for first, last in ranges
    ),
    default=0,
  )
  _print(
    f'{documents:,} documents, {tokens:,} tokens, {len(ranges)} segments: needs '
    f'about {(peak + 4 * tokens) / 1e6:,.0f} MB of memory'
  )


def _print(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _marked(segment: Segment, documents: np.ndarray) -> Segment:
  """The segment with these of its documents marked as removed."""
  removed_D = segment.removed_D.copy()
  removed_D[documents] = True
  rows = int(segment.first_row_A1[-1])
  marked_R = np.zeros(rows, bool)
  if len(segment.removed_Mx8):
    bits = np.unpackbits(
      np.ascontiguousarray(segment.removed_Mx8[:, 1:]).view(np.uint8),
      axis=1,
      bitorder='little',
    )
    marked_R[:] = bits.reshape(-1)[:rows]
  fm_kernels.mark_documents(
    segment.block_LxBx32,
    segment.shift_A,
    segment.border_row_D,
    np.asarray(documents, np.int64),
    marked_R,
  )
  return segment._replace(removed_Mx8=pack_marks(marked_R), removed_D=removed_D)
