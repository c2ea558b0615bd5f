# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Elaborative descriptions: a document is named by a query that it answers.

SE-DSI (Tang et al., KDD 2023) takes the first query that a doc-to-query model
writes for a document. Some documents get the same one (5 % on MS MARCO in the
paper); there they come in random order where the description is found, here in
the order of the corpus.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret.corpus import Collection, Document
from genret.docids import text
from genret.docids.table import DocidTable
from genret.pseudo_queries import read_pseudo_queries


def description(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  old: DocidTable | None = None,
  queries: str = '',
  max_tokens: int = 20,
  collisions: str = 'share',
  unknown: str = 'refuse',
) -> DocidTable:
  """Identifiers that are the first pseudo-query of each document.

  Args:
    documents: D documents.
    vocabulary: the text pieces.
    first_token: ids below it are text.
    vectors: not used.
    seed: not used.
    old: as for `text.title`.
    queries: a file of pseudo-queries, `{"doc_id": ..., "queries": [...]}` a line,
      which may hold those of the old table's documents, too.
    max_tokens: pieces that are kept of a query; 0 for all.
    collisions: as for `text.title`.
    unknown: likewise.

  Raises:
    ValueError: without a file, for a document that has no query in it, and for a
      query that cannot be spelled.
  """
  del vectors, seed
  if not queries:
    raise ValueError(
      'Expected the option queries, a file of pseudo-queries, got none; '
      'generate some first.'
    )
  known = [Document(name) for name in ([] if old is None else old.doc_ids)]
  collection = Collection('the corpus', [*known, *documents], {}, {}, '')
  queries_of = read_pseudo_queries(queries, collection)
  without = [d.doc_id for d in documents if not queries_of.get(d.doc_id)]
  if without:
    raise ValueError(
      f'Expected a pseudo-query of every document in {queries}, {len(without)} '
      f'have none, first {without[0]!r}; draw more (`genret generate-queries '
      '--count`), or write one for each.'
    )
  names = [queries_of[d.doc_id][0] for d in documents]
  return text.named_table(
    documents,
    names,
    'pseudo-query',
    vocabulary,
    first_token=first_token,
    max_tokens=max_tokens,
    collisions=collisions,
    unknown=unknown,
    old=old,
  )


SCHEMES = {'description': description}
