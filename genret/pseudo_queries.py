# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pseudo-queries: what somebody might search a document by, from a file.

The third view of MINDER (Li et al., ACL 2023) and what DSI-QG trains on: usually
written by a doc-to-query model, or the training queries of the collection.
"""

import json
import pathlib

from genret.corpus import Collection
from genret.text_files import PathLike, read_lines


def read_pseudo_queries(
  source: PathLike | None,
  collection: Collection,
  *,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
) -> dict[str, list[str]]:
  """Queries that documents answer, by document id: the third view of MINDER.

  Args:
    source: a `.jsonl[.gz]` file of `{"doc_id": ..., "queries": [...]}`, a
      document in several lines allowed; the name of a split, for its queries;
      None for none.
    collection: whose documents they are of.
    unseen_share: of a split, leave out the queries of so many documents
      (`genret.unseen`); a file is taken whole, since generated queries are part
      of a document.
    unseen_seed: which ones.

  Returns:
    Documents without any are left out.

  Raises:
    ValueError: naming file and line, for a line of another form or of a document
      that the collection lacks; for a name that is neither a file nor a split.
  """
  if source is None:
    return {}
  if str(source) in collection.qrels:
    of_split = collection.queries_by_document(
      str(source), unseen_share=unseen_share, unseen_seed=unseen_seed
    )
    return {doc_id: queries for doc_id, queries in of_split.items() if queries}
  if not pathlib.Path(source).is_file():
    raise ValueError(
      f'Expected pseudo-queries as a .jsonl file that is there, or one of the '
      f'splits {", ".join(collection.qrels) or "(none)"}, got {str(source)!r}.'
    )
  found: dict[str, list[str]] = {}
  known = {document.doc_id for document in collection.documents}
  for place, line in read_lines(source):
    try:
      fields = json.loads(line)
      doc_id, queries = fields['doc_id'], fields['queries']
    except (ValueError, KeyError, TypeError):
      doc_id, queries = None, None
    if not isinstance(queries, list) or not all(
      isinstance(text, str) for text in [doc_id, *queries]
    ):
      raise ValueError(
        f'{place}: expected {{"doc_id": text, "queries": [texts]}}, found '
        f'{line[:80]!r}; correct the line.'
      )
    if doc_id not in known:
      raise ValueError(
        f'{place}: expected one of the {len(known):,} documents of '
        f'{collection.name}, found {doc_id!r}; take the line out.'
      )
    found.setdefault(doc_id, []).extend(queries)
  return {doc_id: queries for doc_id, queries in found.items() if queries}
