# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers that are text: written in the pieces of the text vocabulary."""

import itertools
import re
import urllib.parse
from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids import codes, growth
from genret.docids.table import DocidTable

_BLOCK = 1 << 17  # Names that are lists of pieces at a time.

# What becomes of characters that the vocabulary has no piece for.
UNKNOWN = ('refuse', 'keep')


def text_table(
  documents: Sequence[Document],
  names: Sequence[str],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  text_tokens: int,
  old: DocidTable | None = None,
  field: str = 'name',
  unknown: str = 'refuse',
) -> DocidTable:
  """The table of the documents under the given names, one string each.

  Args:
    documents: D documents.
    names: D strings.
    vocabulary: the text pieces.
    text_tokens: ids that text takes, at least the pieces.
    old: the table that the documents are added to.
    field: what the names are, for errors.
    unknown: one of UNKNOWN, see `title`.

  Raises:
    ValueError: if a name is empty, or has a character that the vocabulary has no
      piece for and `unknown` is 'refuse'.
  """
  codes.check_choice('unknown', unknown, UNKNOWN)
  token_DxL, lengths_D = token_rows(names, vocabulary)
  if not lengths_D.all():
    first = int(np.argmin(lengths_D))
    raise ValueError(
      f'Expected a {field} of every document, {documents[first].doc_id!r} has '
      'none; add it to the corpus, or choose another scheme.'
    )
  unknown_D = (token_DxL == vocabulary_lib.UNK_ID).any(axis=1)
  if unknown == 'refuse' and unknown_D.any():
    first = int(np.argmax(unknown_D))
    raise ValueError(
      f'Expected names that the vocabulary can spell, it has no piece for a '
      f'part of {unknown_D.sum():,} of {len(names):,}, first {names[first]!r} '
      f'(document {documents[first].doc_id!r}); give a vocabulary with all '
      'characters, or the option unknown=keep.'
    )
  return growth.table(
    documents,
    token_DxL,
    lengths_D,
    vocabulary_lib.joint_size(text_tokens, 0),
    old=old,
  )


def token_rows(
  names: Sequence[str], vocabulary: sentencepiece.SentencePieceProcessor
) -> tuple[np.ndarray, np.ndarray]:
  """The pieces of names, a block at a time: lists of millions take gigabytes.

  Args:
    names: D strings.
    vocabulary: the text pieces.

  Returns:
    int32 [D, L] padded with 0, at least one column; int32 [D] pieces in each.
  """
  lengths_D = np.zeros(len(names), np.int32)
  blocks = []
  for first in range(0, len(names), _BLOCK):
    rows = vocabulary.encode(list(names[first : first + _BLOCK]))
    lengths_D[first : first + _BLOCK] = [len(row) for row in rows]
    every = itertools.chain.from_iterable(rows)
    blocks.append(np.fromiter(every, np.int32, sum(map(len, rows))))
  width = int(lengths_D.max()) if len(names) else 1
  token_DxL = np.zeros((len(names), width), np.int32)
  for number, tokens in enumerate(blocks):
    block = slice(number * _BLOCK, (number + 1) * _BLOCK)
    inside_XxL = np.arange(width) < lengths_D[block, None]
    token_DxL[block][inside_XxL] = tokens
  return token_DxL, lengths_D


def naive(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  old: DocidTable | None = None,
) -> DocidTable:
  """DSI's naively structured strings (Tay et al., NeurIPS 2022).

  Document i is named by the decimal spelling of an arbitrary integer, here of
  a random permutation of 0..D-1 so that no order of the corpus leaks. Documents
  that are added take the numbers from D on, in random order, too.

  Args:
    documents: D documents.
    vocabulary: the text pieces; the digits must be among them.
    first_token: ids below it are text.
    vectors: not used.
    seed: of the permutation.
    old: the table that the documents are added to.
  """
  del vectors
  taken = 0 if old is None else len(old)
  generator = np.random.default_rng([seed, taken] if taken else seed)
  names = [str(taken + n) for n in generator.permutation(len(documents))]
  return text_table(
    documents, names, vocabulary, text_tokens=first_token, old=old
  )


def title(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  old: DocidTable | None = None,
  max_tokens: int = 0,
  collisions: str = 'token',
  unknown: str = 'refuse',
) -> DocidTable:
  """Titles, as GENRE names pages (De Cao et al., ICLR 2021).

  Args:
    documents: D documents.
    vocabulary: the text pieces.
    first_token: ids below it are text.
    vectors: not used.
    seed: not used.
    old: the table that the documents are added to; of equal titles, numbers go
      on.
    max_tokens: pieces that are kept of a title; 0 for all.
    collisions: what becomes of documents whose titles are equal in pieces:
      `token`, the first keeps the bare title and each other one has a number
      behind it, so that documents can be added without renaming any; `share`,
      they have one identifier.
    unknown: what becomes of characters that the vocabulary has no piece for:
      `refuse`, an error; `keep`, they are its piece for the unknown, as in all
      text that a model reads, and titles that are then equal collide. T5's own
      vocabulary lacks many of Wikipedia's, GENRE's (of bytes) none.

  Raises:
    ValueError: for a document without a title, or one that cannot be spelled.
  """
  del vectors, seed
  return named_table(
    documents,
    [document.title for document in documents],
    'title',
    vocabulary,
    first_token=first_token,
    max_tokens=max_tokens,
    collisions=collisions,
    unknown=unknown,
    old=old,
  )


def url(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  old: DocidTable | None = None,
  max_tokens: int = 0,
  collisions: str = 'token',
  unknown: str = 'refuse',
) -> DocidTable:
  """Addresses of documents, without `https://`, as SE-DSI's online system
  (Tang et al., KDD 2023) and Ultron (Zhou et al., 2022) name pages.

  Percent signs are decoded. Arguments and errors are those of `title`.
  """
  del vectors, seed
  names = [
    urllib.parse.unquote(re.sub(r'^[a-z][a-z0-9+.-]*://', '', document.url))
    for document in documents
  ]
  return named_table(
    documents,
    names,
    'url',
    vocabulary,
    first_token=first_token,
    max_tokens=max_tokens,
    collisions=collisions,
    unknown=unknown,
    old=old,
  )


def named_table(
  documents: Sequence[Document],
  names: Sequence[str],
  field: str,
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  max_tokens: int,
  collisions: str,
  unknown: str = 'refuse',
  old: DocidTable | None = None,
) -> DocidTable:
  """The table of documents under names that may be equal.

  Args:
    documents: D documents.
    names: D strings.
    field: what the names are, for errors.
    vocabulary: the text pieces.
    first_token: ids below it are text.
    max_tokens: pieces that are kept of a name; 0 for all.
    collisions: as `title` takes it.
    unknown: likewise.
    old: likewise.

  Raises:
    ValueError: for a name that is empty or cannot be spelled.
  """
  codes.check_choice('collisions', collisions, codes.COLLISIONS)
  found = text_table(
    documents,
    names,
    vocabulary,
    text_tokens=first_token,
    field=field,
    unknown=unknown,
  )
  row_DxL, lengths_D = found.token_rows_DxL, found.lengths_D
  if max_tokens > 0:
    row_DxL = row_DxL[:, :max_tokens]
    lengths_D = np.minimum(lengths_D, max_tokens)
  collided = codes.collision_rate(
    growth.stacked(_bare(old, first_token), row_DxL)
  )
  numbers = 0
  if collisions == 'token':
    row_DxL, lengths_D, numbers = _numbered(
      row_DxL, lengths_D, first_token, old
    )
  return growth.table(
    documents,
    row_DxL,
    lengths_D,
    vocabulary_lib.joint_size(first_token, numbers),
    old=old,
    collided=collided,
  )


def _bare(old: DocidTable | None, first_token: int) -> np.ndarray:
  """The rows of a table without numbers, padded with 0 in their place."""
  taken_NxL = np.zeros((0, 0), np.int32) if old is None else old.token_rows_DxL
  return np.where(taken_NxL < first_token, taken_NxL, 0)


def _numbered(
  row_DxL: np.ndarray,
  lengths_D: np.ndarray,
  first_token: int,
  old: DocidTable | None,
) -> tuple[np.ndarray, np.ndarray, int]:
  """Rows with a number behind all equals but the first, and the most numbers.

  Rows of the old table come before them.
  """
  bare_NxL = _bare(old, first_token)
  number_D = codes.numbers_of_equals(growth.stacked(bare_NxL, row_DxL))
  number_D = number_D[len(bare_NxL) :]
  again = np.flatnonzero(number_D)
  if not len(again):
    return row_DxL, lengths_D, 0
  row_DxL = np.pad(row_DxL, ((0, 0), (0, 1)))
  row_DxL[again, lengths_D[again]] = first_token + number_D[again] - 1
  return row_DxL, lengths_D + (number_D > 0), int(number_D.max())


SCHEMES = {'naive': naive, 'title': title, 'url': url}
