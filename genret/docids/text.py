# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers that are text: written in the pieces of the text vocabulary."""

from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
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


SCHEMES = {'naive': naive}
