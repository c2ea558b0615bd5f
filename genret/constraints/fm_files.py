# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""An FM-index as a folder of arrays, mapped into memory as it is opened."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genret import array_folder
from genret.constraints import fm_segment, wavelet
from genret.constraints.fm_kernels import MARK_BITS
from genret.constraints.fm_segment import Segment

KIND = 'fm_index'
VERSION = 1


def check_output(path: str | os.PathLike[str]) -> None:
  """Refuses a place where an index cannot go, before it is built.

  Raises:
    ValueError: there is a file, or a folder of something else.
  """
  folder = pathlib.Path(path)
  if not folder.exists():
    return
  if folder.is_dir() and not any(folder.iterdir()):
    return
  if not (folder / array_folder.HEADER).is_file():
    raise ValueError(
      f'Expected a new folder, or one of an index, but {path} holds something '
      'else; give another path.'
    )


def save(
  path: str | os.PathLike[str],
  segments: Sequence[Segment],
  labels: Sequence[str] | None,
  meta: Mapping[str, Any],
) -> None:
  """Writes segments, labels if there are any, and what JSON can hold."""
  arrays = {
    f'segment{i}_{name}': array
    for i, segment in enumerate(segments)
    for name, array in segment._asdict().items()
  }
  if labels is not None:
    text, offsets = array_folder.pack_text(labels)
    arrays |= {'label_bytes': text, 'label_offsets': offsets}
  array_folder.save(
    path,
    kind=KIND,
    version=VERSION,
    arrays=arrays,
    meta={**meta, 'num_segments': len(segments)},
  )


def load(
  path: str | os.PathLike[str], *, every_byte: bool = False
) -> tuple[list[Segment], list[str] | None, dict[str, Any]]:
  """Segments, labels and metadata of a folder written by `save`.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: the folder is damaged or foreign.
  """
  arrays, meta = array_folder.load(
    path, kind=KIND, version=VERSION, every_byte=every_byte
  )
  segments = []
  for i in range(meta.pop('num_segments')):
    names = [f'segment{i}_{name}' for name in Segment._fields]
    segment = Segment(*(arrays[name] for name in names))
    _check(segment, path)
    segments.append(fm_segment.read_only(segment))
  labels = None
  if 'label_bytes' in arrays:
    labels = array_folder.unpack_text(
      arrays['label_bytes'], arrays['label_offsets']
    )
  return segments, labels, meta


def _check(segment: Segment, path: str | os.PathLike[str]) -> None:
  """Refuses arrays that were read from a folder but are of no one segment."""
  levels, blocks, words = segment.block_LxBx32.shape
  symbols, documents = len(segment.alphabet_T) + 1, len(segment.number_D)
  rows = len(segment.text) + documents
  sound = (
    (levels, blocks, words)
    == (wavelet.num_levels(symbols), rows // wavelet.BLOCK + 1, wavelet.WORDS)
    and len(segment.shift_A) == symbols
    and len(segment.first_row_A1) == symbols + 1
    and segment.first_row_A1[-1] == rows
    and len(segment.start_D1) == documents + 1
    and segment.start_D1[-1] == len(segment.text)
    and len(segment.border_row_D) == documents
    and len(segment.last_D) == documents
    and len(segment.removed_D) == documents
    and (np.diff(segment.start_D1) >= 0).all()
    and (np.diff(segment.number_D) > 0).all()
    and (np.diff(segment.first_row_A1) >= 0).all()
    and segment.mark_Mx8.shape == (rows // MARK_BITS + 1, 8)
    and len(segment.sample_X) == _num_marks(segment.mark_Mx8)
    and segment.removed_Mx8.shape in ((0, 8), segment.mark_Mx8.shape)
  )
  if not sound:
    raise ValueError(
      f'Expected the arrays of an FM-index in {path} but they contradict each '
      'other; build the index again.'
    )


def _num_marks(mark_Mx8: np.ndarray) -> int:
  return int(mark_Mx8[-1, 0]) + int(np.bitwise_count(mark_Mx8[-1, 1:]).sum())
