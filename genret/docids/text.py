# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers that are text: written in the pieces of the text vocabulary."""

import dataclasses
import re
import urllib.parse
from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids import codes
from genret.docids.table import DocidTable


def text_table(
  documents: Sequence[Document],
  names: Sequence[str],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  text_tokens: int,
) -> DocidTable:
  """The table of the documents under the given names, one string each.

  Args:
    documents: D documents.
    names: D strings.
    vocabulary: the text pieces.
    text_tokens: ids that text takes, at least the pieces.

  Raises:
    ValueError: if a name has a piece that the vocabulary does not know.
  """
  rows = vocabulary.encode(list(names))
  for document, name, row in zip(documents, names, rows, strict=True):
    if vocabulary_lib.UNK_ID in row:
      raise ValueError(
        f'Expected names that the vocabulary can spell, it has no piece for '
        f'a part of {name!r} (document {document.doc_id!r}); train the '
        'vocabulary on the names too.'
      )
  lengths_D = np.array([len(row) for row in rows], np.int32)
  token_DxL = np.zeros((len(rows), max(lengths_D, default=1)), np.int32)
  token_DxL[np.arange(token_DxL.shape[1]) < lengths_D[:, None]] = [
    token for row in rows for token in row
  ]
  return DocidTable(
    [document.doc_id for document in documents],
    token_DxL,
    lengths_D,
    vocabulary_lib.joint_size(text_tokens, 0),
  )


def naive(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
) -> DocidTable:
  """DSI's naively structured strings (Tay et al., NeurIPS 2022).

  Document i is named by the decimal spelling of an arbitrary integer, here of
  a random permutation of 0..D-1 so that no order of the corpus leaks.

  Args:
    documents: D documents.
    vocabulary: the text pieces; the digits must be among them.
    first_token: ids below it are text.
    vectors: not used.
    seed: of the permutation.
  """
  del vectors
  numbers_D = np.random.default_rng(seed).permutation(len(documents))
  names = [str(number) for number in numbers_D]
  return text_table(documents, names, vocabulary, text_tokens=first_token)


def title(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  max_tokens: int = 0,
  collisions: str = 'token',
) -> DocidTable:
  """Titles, as GENRE names pages (De Cao et al., ICLR 2021).

  Args:
    documents: D documents.
    vocabulary: the text pieces; it must spell all titles.
    first_token: ids below it are text.
    vectors: not used.
    seed: not used.
    max_tokens: pieces that are kept of a title; 0 for all.
    collisions: what becomes of documents whose titles are equal in pieces:
      `token`, the first keeps the bare title and each other one has a number
      behind it, so that documents can be added without renaming any; `share`,
      they have one identifier.

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
  )


def url(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  max_tokens: int = 0,
  collisions: str = 'token',
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
) -> DocidTable:
  """The table of documents under names that may be equal.

  Args:
    documents: D documents.
    names: D strings.
    field: what the names are, for errors.
    vocabulary: the text pieces; it must spell all names.
    first_token: ids below it are text.
    max_tokens: pieces that are kept of a name; 0 for all.
    collisions: as `title` takes it.

  Raises:
    ValueError: for a name that is empty or cannot be spelled.
  """
  codes.check_choice('collisions', collisions, codes.COLLISIONS)
  for document, name in zip(documents, names, strict=True):
    if not vocabulary.encode(name):
      raise ValueError(
        f'Expected a {field} of every document, {document.doc_id!r} has none; '
        'add it to the corpus, or choose another scheme.'
      )
  table = text_table(documents, names, vocabulary, text_tokens=first_token)
  row_DxL, lengths_D = table.token_rows_DxL, table.lengths_D
  if max_tokens > 0:
    row_DxL = row_DxL[:, :max_tokens]
    lengths_D = np.minimum(lengths_D, max_tokens)
  number_D = codes.numbers_of_equals(row_DxL)
  if collisions == 'share' or not number_D.any():
    return dataclasses.replace(
      table, token_rows_DxL=row_DxL, lengths_D=lengths_D
    )
  row_DxL = np.pad(row_DxL, ((0, 0), (0, 1)))
  again = np.flatnonzero(number_D)
  row_DxL[again, lengths_D[again]] = first_token + number_D[again] - 1
  return dataclasses.replace(
    table,
    token_rows_DxL=row_DxL,
    lengths_D=lengths_D + (number_D > 0),
    vocab_size=vocabulary_lib.joint_size(first_token, int(number_D.max())),
  )


SCHEMES = {'naive': naive, 'title': title, 'url': url}
