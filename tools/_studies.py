# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What studies share: judged queries, rows that are kept, paired comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genret import metrics
from genret.corpus import Collection, load_collection
from genret.evaluate import split_queries
from genret.report import write_report


class Judged(NamedTuple):
  """A collection and the queries to search."""

  collection: Collection
  split: str
  queries: dict[str, str]
  qrels: dict[str, dict[str, int]]
  command: str

  def facts(self) -> dict[str, Any]:
    """For a row: what was measured on what."""
    return {
      'collection': self.collection.name,
      'corpus_hash': self.collection.hash,
      'documents': len(self.collection.documents),
      'split': self.split,
      'queries': len(self.queries),
      'command': self.command,
    }


def load_judged(
  corpus: str, split: str, limit: int | None, command: str
) -> Judged:
  """Loads a collection and the first `limit` queries of a split."""
  collection = load_collection(corpus)
  queries, qrels = split_queries(collection, split, limit=limit)
  return Judged(collection, split, queries, qrels, command)


def row_path(work: Path, judged: Judged, name: str) -> Path:
  """Where a row for these queries is kept."""
  of = f'{judged.collection.name}.{judged.split}.{len(judged.queries)}'
  return work / 'rows' / f'{of}.{name}.json'


def kept(
  work: Path,
  judged: Judged,
  name: str,
  row: Callable[..., dict[str, Any]],
  *arguments: Any,
) -> None:
  """Makes a row for these queries unless it is there."""
  path = row_path(work, judged, name)
  if not path.exists():
    write_report(path, row(judged, *arguments))


def compare(
  ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
  """The mean difference of each measure, and p of the paired randomisation test.

  Args:
    ours: values per query (means over seeds) of each measure.
    theirs: those of the other system, queries in the same order.
  """
  return {
    'difference': {m: float((a - theirs[m]).mean()) for m, a in ours.items()},
    'p': {
      m: metrics.paired_randomization_test(a, theirs[m])
      for m, a in ours.items()
    },
  }
