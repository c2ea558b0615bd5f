# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""docT5query: documents that hold queries which they answer, for BM25.

Nogueira and Lin (2019, "From doc2query to docTTTTTquery") append 40 sampled
queries to each passage and index the result as it is.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from genret.corpus import Document


def expanded(
  documents: Iterable[Document],
  queries_of: Mapping[str, Sequence[str]],
  count: int | None = None,
) -> list[Document]:
  """Documents with queries behind their texts.

  Args:
    documents: in any order, which is kept.
    queries_of: queries by document id; those without any stay as they are.
    count: append so many of each document's queries, the first ones; all where
      None.

  Raises:
    ValueError: for a negative count, or queries of a document that is not there.
  """
  if count is not None and count < 0:
    raise ValueError(f'Expected a count of at least 0 queries, got {count}.')
  documents = list(documents)
  unknown = set(queries_of) - {document.doc_id for document in documents}
  if unknown:
    raise ValueError(
      f'Expected queries of the {len(documents):,} documents, got some of '
      f'{len(unknown)} others, first {min(unknown)!r}; take those of this corpus.'
    )
  return [
    dataclasses.replace(
      document,
      text=' '.join(
        [document.text, *queries_of.get(document.doc_id, ())[:count]]
      ),
    )
    for document in documents
  ]
