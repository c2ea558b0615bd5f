# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Streams documents and n-grams, any sequences of tokens, into flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tqdm

_CHUNK_DOCUMENTS = 1 << 16
_CHUNK_TOKENS = 1 << 22


def read_documents(
  token_sequences: Iterable[np.ndarray | Sequence[int]],
  vocab_size: int,
  *,
  progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
  """Copies token sequences into one array; none is held as Python integers.

  Args:
    token_sequences: documents, each of integers from 0 to vocab_size - 1.
    vocab_size: at most 2^31.
    progress: show how many were read.

  Returns:
    text: uint16 where the vocabulary allows, else int32.
    start_D1: int64; where each document begins, and the number of tokens.

  Raises:
    ValueError: a document is not one row of integers, or has a token outside
      the vocabulary.
  """
  if not isinstance(vocab_size, int | np.integer) or not (
    1 <= vocab_size <= 1 << 31
  ):
    raise ValueError(
      f'Expected vocab_size from 1 to 2^31 but got {vocab_size!r}; pass the size '
      'of the vocabulary of the model.'
    )
  dtype = np.uint16 if vocab_size <= 1 << 16 else np.int32
  texts, lengths = [np.zeros(0, dtype)], [np.zeros(0, np.int64)]
  shown = tqdm.tqdm(
    token_sequences, 'reading documents', disable=not progress, unit='doc'
  )
  done = 0
  for chunk in _chunks(shown):
    arrays = [_as_row(row, done + i) for i, row in enumerate(chunk)]
    text = np.concatenate(arrays)
    length_C = np.fromiter(map(len, arrays), np.int64, len(arrays))
    _check_range(text, length_C, vocab_size, done)
    texts.append(text.astype(dtype, copy=False))
    lengths.append(length_C)
    done += len(arrays)
  start_D1 = np.zeros(done + 1, np.int64)
  np.cumsum(np.concatenate(lengths), out=start_D1[1:])
  return np.concatenate(texts), start_D1


def flat_ngrams(
  ngrams: Iterable[np.ndarray | Sequence[int]],
) -> tuple[np.ndarray, np.ndarray]:
  """n-grams as int64 tokens and where each begins, with the end.

  Any integer may stand in them: what is no token just does not occur.
  """
  if isinstance(ngrams, np.ndarray) and ngrams.ndim == 2 and ngrams.size:
    count, width = ngrams.shape
    flat = _as_row(ngrams.reshape(-1), 0)
    return flat.astype(np.int64, copy=False), np.arange(count + 1) * width
  arrays = [_as_row(row, i, 'n-gram') for i, row in enumerate(ngrams)]
  start_X1 = np.zeros(len(arrays) + 1, np.int64)
  np.cumsum([len(row) for row in arrays], out=start_X1[1:])
  tokens = np.concatenate([np.zeros(0, np.int64), *arrays])
  return tokens.astype(np.int64, copy=False), start_X1


def _chunks(rows: Iterable) -> Iterator[list]:
  chunk: list = []
  tokens = 0
  for index, row in enumerate(rows):
    if not hasattr(row, '__len__'):
      raise ValueError(
        f'Expected a row of tokens for document {index} but got {row!r}; pass '
        'one sequence for each document.'
      )
    chunk.append(row)
    tokens += len(row)
    if len(chunk) == _CHUNK_DOCUMENTS or tokens >= _CHUNK_TOKENS:
      yield chunk
      chunk, tokens = [], 0
  if chunk:
    yield chunk


def _as_row(
  row: np.ndarray | Sequence[int], index: int, what: str = 'document'
) -> np.ndarray:
  array = np.asarray(row)
  if array.ndim == 1 and not array.size:
    return np.zeros(0, np.int32)
  if array.ndim != 1 or array.dtype.kind not in 'iu':
    raise ValueError(
      f'Expected one row of integers for {what} {index} but got '
      f'{array.dtype} of shape {array.shape}; pass token ids.'
    )
  # NumPy would join unsigned and signed integers of 64 bits as floats.
  return array if array.dtype.itemsize < 8 else array.astype(np.int64)


def _check_range(
  text: np.ndarray, length_C: np.ndarray, vocab_size: int, first: int
) -> None:
  if not len(text) or (text.min() >= 0 and text.max() < vocab_size):
    return
  at = int(np.argmax((text < 0) | (text >= vocab_size)))
  index = int(np.searchsorted(np.cumsum(length_C), at, side='right'))
  raise ValueError(
    f'Expected tokens from 0 to {vocab_size - 1} but document {first + index} '
    f'has {text[at]}; correct vocab_size or the document.'
  )
