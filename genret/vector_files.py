# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Vectors of documents in a file, as `numpy.save` writes them."""

import hashlib
from collections.abc import Iterator

import numpy as np

from genret.text_files import PathLike

# Bytes that are read at a time.
_BLOCK = 1 << 26


def read(path: PathLike) -> np.ndarray:
  """Vectors [D, any] of finite numbers, mapped from the file.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no .npy file, or of something else.
  """
  try:
    vector_DxE = np.lib.format.open_memmap(path, mode='r')
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f'Expected document vectors in an .npy file, found no {path}; check the '
      'path.'
    ) from error
  except (OSError, ValueError) as error:
    raise ValueError(
      f'Expected document vectors in an .npy file of numbers, {path} is none '
      f'({error}); write it with numpy.save.'
    ) from error
  if vector_DxE.ndim != 2 or vector_DxE.dtype.kind not in 'fiu':
    raise ValueError(
      'Expected document vectors of real numbers [documents, any], got '
      f'{vector_DxE.dtype} of shape {vector_DxE.shape} in {path}; write one '
      'row for each document.'
    )
  for first, block_BxE in _blocks(vector_DxE):
    finite_B = np.isfinite(block_BxE).all(1)
    if not finite_B.all():
      raise ValueError(
        'Expected document vectors of finite numbers, row '
        f'{first + int(finite_B.argmin())} of {path} has others; embed that '
        'document again.'
      )
  return vector_DxE


def content_hash(vector_DxE: np.ndarray) -> str:
  """SHA-256 (hex) of the numbers, their type and shape."""
  digest = hashlib.sha256(f'{vector_DxE.dtype} {vector_DxE.shape}'.encode())
  for _, block_BxE in _blocks(vector_DxE):
    digest.update(np.ascontiguousarray(block_BxE).tobytes())
  return digest.hexdigest()


def _blocks(vector_DxE: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
  """(first row, rows) of what fits in memory."""
  width = vector_DxE.shape[1] * vector_DxE.itemsize
  step = max(_BLOCK // max(width, 1), 1)
  for first in range(0, len(vector_DxE), step):
    yield first, vector_DxE[first : first + step]
