# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What studies share: judged queries, rows that are kept, paired comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genret import metrics
from genret.corpus import Collection, load_collection
from genret.evaluate import split_queries
from genret.process_locks import only_process
from genret.report import write_report
from genret.text_files import write_text
from genret.tools._tables import part_of


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


def by_part(
  rows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
  """The rows of each part of a page: what was searched, and how much of it."""
  for part in dict.fromkeys(map(part_of, rows)):
    yield part, [row for row in rows if part_of(row) == part]


def write_results(
  path: Path,
  rows: Sequence[Mapping[str, Any]],
  comparisons: Sequence[Mapping[str, Any]],
) -> None:
  """Writes rows and comparisons, one a line."""
  parts = [
    f'"{name}": [\n' + ',\n'.join(json.dumps(one) for one in many) + '\n]'
    for name, many in (('rows', rows), ('comparisons', comparisons))
  ]
  path.parent.mkdir(parents=True, exist_ok=True)
  write_text(path, '{\n' + ',\n'.join(parts) + '\n}\n')


class Rows:
  """Rows by what they measured: those of the results file and newer ones.

  Each new row is a file of its own first, so that several processes may work on
  one study; what the last of them publishes is whole.

  Args:
    published: the results file.
    work: the folder of new rows.
  """

  def __init__(self, published: Path, work: Path):
    work.mkdir(parents=True, exist_ok=True)
    self._published, self._work = published, work

  def read(self) -> list[dict[str, Any]]:
    """All rows, in the order of the grid."""
    rows = []
    if self._published.exists():
      rows = json.loads(self._published.read_text())['rows']
    rows += [
      json.loads(p.read_text()) for p in sorted(self._work.glob('*.json'))
    ]
    by_key = {self._key(row): row for row in rows}
    return [by_key[key] for key in sorted(by_key)]

  def make(
    self,
    judged: Judged,
    name: str,
    seed: int,
    row: Callable[[], Mapping[str, Any]],
    *,
    steps: int | None = None,
  ) -> None:
    """Makes a row unless it is there, or another process is making it.

    Args:
      judged: what is searched.
      name: of the row.
      seed: likewise.
      row: makes it.
      steps: of its training; None for any.

    Raises:
      ValueError: for a row that is there with another number of steps.
    """
    made = {'name': name, 'seed': seed, **judged.facts()}
    key = self._key(made)
    slug = '.'.join(map(str, (*key[:3], name, seed)))
    path = self._work / f'{slug}.json'
    with only_process(path, wait=False) as mine:
      if not mine:
        return
      known = {self._key(row): row for row in self.read()}.get(key)
      if known and steps is not None and known.get('steps', steps) != steps:
        raise ValueError(
          f'Expected rows of {steps:,} steps, {name!r} of seed {seed} has one of '
          f'{known["steps"]:,}; name another --docs and --work, or leave --steps '
          'out.'
        )
      if known is None:
        text = json.dumps({**made, **row()}, allow_nan=False)
        write_text(path, text)

  def publish(self) -> list[dict[str, Any]]:
    """Writes the results file, a row a line; the page adds comparisons."""
    rows = self.read()
    write_results(self._published, rows, [])
    return rows

  @staticmethod
  def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ('collection', 'split', 'queries', 'name', 'seed', 'corpus_hash')
    return tuple(row[name] for name in names)
