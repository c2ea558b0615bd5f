# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Random identifiers: the control that every semantic scheme has to beat.

They say nothing of the document, so that what a scheme gains over them is due to its
meaning and not to its length or branching: they have the form of residual codes or,
with `like`, are the identifiers of another table dealt to its documents anew.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids import codes, growth
from genret.docids.table import DocidTable


def random_codes(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  old: DocidTable | None = None,
  levels: int = 3,
  k: int = 256,
  like: str = '',
) -> DocidTable:
  """Distinct identifiers of `levels` codes, all equally likely; or see `like`.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: not used.
    seed: of the draw.
    old: the table that the documents are added to, under codes that are free.
    levels: codes of an identifier.
    k: codes of each position.
    like: a folder of identifiers of the same documents, whose rows these get in
      random order, collisions and all; `levels` and `k` are not used then.

  Raises:
    ValueError: if there are fewer identifiers than documents; for a folder of
      other documents or beside other text, and one to which some are added.
  """
  del vectors
  if like:
    return _dealt(documents, like, vocabulary, first_token, seed, old)
  if k < 1 or levels < 1:
    raise ValueError(
      f'Expected levels and k of at least 1, got levels={levels}, k={k}.'
    )
  sizes = [k] * levels
  taken_NxL = codes.codes_of(old, sizes, first_token)
  count = len(taken_NxL) + len(documents)
  if k**levels < count:
    raise ValueError(
      f'Expected k^levels of at least {count} documents, got {k}^{levels}; '
      'index from scratch with more codes or levels.'
    )
  # Documents that are added must not draw what the first ones drew.
  generator = np.random.default_rng([seed, count] if old is not None else seed)
  return codes.code_table(
    documents,
    _distinct(len(documents), taken_NxL, k, generator),
    sizes,
    first_token=first_token,
    collisions='share',
    old=old,
  )


def _dealt(
  documents: Sequence[Document],
  like: str,
  vocabulary: sentencepiece.SentencePieceProcessor,
  first_token: int,
  seed: int,
  old: DocidTable | None,
) -> DocidTable:
  """The identifiers of another table, each document's given to another one."""
  if old is not None:
    raise ValueError(
      f'Expected no documents to add to identifiers like those of {like}, got '
      f'{len(documents)}; index the larger corpus from scratch.'
    )
  table = DocidTable.load(like)
  if sorted(table.doc_ids) != sorted(d.doc_id for d in documents):
    raise ValueError(
      f'Expected identifiers of the same documents in {like}, got others; '
      'index this corpus there.'
    )
  theirs = vocabulary_lib.load_vocabulary(like, table.meta)
  if (
    table.meta.get('text_tokens') != first_token
    or theirs.serialized_model_proto() != vocabulary.serialized_model_proto()
  ):
    raise ValueError(
      f'Expected identifiers beside the same text in {like}, it has another '
      f'vocabulary; give --vocabulary {like}/{vocabulary_lib.VOCABULARY_FILE}.'
    )
  order_D = np.random.default_rng(seed).permutation(len(table))
  return growth.table(
    documents,
    table.token_rows_DxL[order_D],
    table.lengths_D[order_D],
    table.vocab_size,
    collided=table.meta.get(growth.COLLIDED),
  )


def _distinct(
  count: int, taken_NxL: np.ndarray, k: int, generator: np.random.Generator
) -> np.ndarray:
  """Rows without equals, none of them taken, in random order, int64 [D, L]."""
  taken, levels = taken_NxL.shape
  sizes = [k] * levels
  # Few are left over: draw from all that are free.
  if k**levels <= 4 * (taken + count):
    number = generator.permutation(k**levels)
    gone = np.ravel_multi_index(tuple(taken_NxL.T), sizes)
    number = number[~np.isin(number, gone)][:count]
    return np.stack(np.unravel_index(number, sizes), 1)
  row_DxL = generator.integers(k, size=(count, levels))
  while True:
    all_XxL = np.concatenate([taken_NxL, row_DxL])
    again = np.flatnonzero(codes.numbers_of_equals(all_XxL)[taken:])
    if not len(again):
      return row_DxL
    row_DxL[again] = generator.integers(k, size=(len(again), levels))


SCHEMES = {'random-codes': random_codes}
