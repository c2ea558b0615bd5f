# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Documents whose training queries are withheld: does a retriever generalise?

A generative retriever may remember which document a kind of query asks for. With
the queries of some documents kept out of training, what it finds of those documents
tells whether it also reads them (GenRet, Sun et al., NeurIPS 2023, and AutoTSG report
NQ320K this way, with half of the documents "unseen").
"""

import hashlib
from collections.abc import Iterable, Mapping


def unseen_documents(
  doc_ids: Iterable[str], share: float, seed: int = 0
) -> frozenset[str]:
  """The documents that are unseen, each decided by a hash of seed and id.

  A document stays what it is as the corpus grows, whatever the order; so the share
  holds in expectation.

  Args:
    doc_ids: of all documents.
    share: of the unseen ones, 0 to 1.
    seed: another one draws other documents.

  Raises:
    ValueError: if the share is no share.
  """
  if not 0 <= share <= 1:
    raise ValueError(
      f'Expected a share of unseen documents from 0 to 1, got {share}.'
    )
  return frozenset(
    doc_id for doc_id in doc_ids if fraction(seed, doc_id) < share
  )


def split_queries(
  qrels: Mapping[str, Mapping[str, int]], share: float, seed: int = 0
) -> dict[str, dict[str, dict[str, int]]]:
  """Judged queries for 'seen' documents, and those for 'unseen' ones.

  A query is unseen where every relevant document of it is; one without a relevant
  document is seen. The judgements tell which documents there are: others ask for
  nothing.

  Args:
    qrels: `{query_id: {doc_id: relevance}}`.
    share: as `unseen_documents` takes it.
    seed: likewise.

  Returns:
    Both parts, those without queries too; their queries in order.
  """
  unseen = unseen_documents(
    {d for of in qrels.values() for d in of}, share, seed
  )
  found: dict[str, dict[str, dict[str, int]]] = {'seen': {}, 'unseen': {}}
  for query_id, judged in qrels.items():
    relevant = [doc_id for doc_id, grade in judged.items() if grade > 0]
    hidden = bool(relevant) and unseen.issuperset(relevant)
    found['unseen' if hidden else 'seen'][query_id] = dict(judged)
  return found


def fraction(*parts: int | str) -> float:
  """A number in [0, 1) that looks random, of whatever the parts name."""
  digest = hashlib.sha256(' '.join(map(str, parts)).encode()).digest()
  return int.from_bytes(digest[:8], 'big') / 2**64
