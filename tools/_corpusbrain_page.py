# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What the study of CorpusBrain shows: its results file, table and picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret.tools import _tables
from genret.tools._studies import by_part, compare, write_results

Row = Mapping[str, Any]

MEASURES = ('R-precision', 'recall@5')
_DEPTH_OF_RECALL = 5

# Pairs of rows that are compared, better first as CorpusBrain has it.
PAIRS = (
  ('all', 'nothing'),
  ('all', 'hip'),
  ('all', 'iss'),
  ('all', 'lps'),
  ('all + fine-tuning', 'nothing + fine-tuning'),
  ('all + fine-tuning', 'all'),
  ('all + fine-tuning', 'BM25, title and 3 paragraphs'),
  ('all + fine-tuning', 'BM25, whole pages'),
  ('all', 'BM25, title and 3 paragraphs'),
  ('all', 'BM25, whole pages'),
)


def values(ranks: str) -> dict[str, np.ndarray]:
  """KILT's measures of each query, from the ranks of its pages.

  Each page is an evidence set of its own: R-precision is 1 where one of them is
  the first guess, and recall@5 the share of them among five.

  Args:
    ranks: of each query, its pages' joined by +; 0 for a page that is not found.
  """
  found = [np.array(query.split('+'), np.int64) for query in ranks.split()]
  return {
    'R-precision': np.array([float((rank == 1).any()) for rank in found]),
    'recall@5': np.array(
      [((rank > 0) & (rank <= _DEPTH_OF_RECALL)).mean() for rank in found]
    ),
  }


def write(rows: Sequence[Row], docs: Path) -> str:
  """Writes results/corpusbrain.json, corpusbrain.md and images/corpusbrain.png.

  Args:
    rows: of the study.
    docs: the folder.

  Returns:
    The tables, as Markdown.
  """
  found = comparisons(rows)
  write_results(docs / 'results' / 'corpusbrain.json', rows, found)
  (docs / 'images').mkdir(parents=True, exist_ok=True)
  plot(rows, docs / 'images' / 'corpusbrain.png')
  text = '\n'.join(_lines(rows, found))
  _tables.write(docs / 'corpusbrain.md', text)
  return text


def comparisons(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Each pair that has both sides; measures of a query are means over seeds."""
  found = []
  for part, mine in by_part(rows):
    for pair in PAIRS:
      both = [_mean_values(mine, name) for name in pair]
      if both[0] and both[1]:
        found.append(
          {'part': part, 'pair': list(pair), **compare(both[0], both[1])}
        )
  return found


def _mean_values(rows: Sequence[Row], name: str) -> dict[str, np.ndarray]:
  found = [
    values(row['ranks']['titles']) for row in rows if row['name'] == name
  ]
  if not found or not len(found[0]['recall@5']):
    return {}
  return {m: np.mean([of[m] for of in found], axis=0) for m in MEASURES}


_COLUMNS = (
  'pre-training',
  'seeds',
  'steps',
  'device',
  *MEASURES,
  'examples/s',
  'queries/s',
)


def _lines(rows: Sequence[Row], found: Sequence[Row]) -> Iterator[str]:
  for part, mine in by_part(rows):
    first = mine[0]
    yield f'### {part}'
    yield ''
    yield (
      f'{first["documents"]:,} pages; corpus hash '
      f'`{first["corpus_hash"][:12]}`.'
    )
    yield ''
    yield f'| {" | ".join(_COLUMNS)} |'
    yield '|---' * len(_COLUMNS) + '|'
    for name in dict.fromkeys(row['name'] for row in _in_order(mine)):
      yield _line(name, [row for row in mine if row['name'] == name])
    yield ''
    compared = [row for row in found if row['part'] == part]
    if compared:
      yield f'| difference | {" | ".join(MEASURES)} |'
      yield '|---' * (1 + len(MEASURES)) + '|'
    for row in compared:
      cells = [
        f'{row["difference"][m]:+.3f} (p = {row["p"][m]:.4f})' for m in MEASURES
      ]
      yield f'| {" less ".join(row["pair"])} | {" | ".join(cells)} |'
    yield ''


def _line(name: str, group: Sequence[Row]) -> str:
  cells = [name, str(len(group))]
  cells += [_tables.distinct(group, field) for field in ('steps', 'device')]
  cells += [
    _tables.mean_and_spread([r['systems']['titles'][m] for r in group])
    for m in MEASURES
  ]
  for field in ('examples_per_second', 'queries_per_second'):
    speeds = [row[field] for row in group if field in row]
    cells.append(f'{np.median(speeds):,.0f}' if speeds else '')
  return f'| {" | ".join(cells)} |'


def _in_order(rows: Sequence[Row]) -> list[Row]:
  """Baselines, then the models from the worst to the best."""
  means: dict[str, list[float]] = {}
  for row in rows:
    means.setdefault(row['name'], []).append(
      row['systems']['titles']['R-precision']
    )
  return sorted(
    rows,
    key=lambda row: ('pretraining' in row, float(np.mean(means[row['name']]))),
  )


def plot(rows: Sequence[Row], path: Path) -> None:
  """Draws both measures of every row, the range of its seeds, BM25 as lines."""
  import matplotlib.figure

  parts = list(by_part(rows))
  most = max(len({r['name'] for r in mine}) for _, mine in parts)
  figure = matplotlib.figure.Figure(
    figsize=(7.5 * len(parts), 1.6 + 0.32 * most), layout='constrained'
  )
  many = figure.subplots(1, len(parts), squeeze=False)[0]
  colors = ('tab:blue', 'tab:orange')
  for axes, (part, mine) in zip(many, parts, strict=True):
    names = list(dict.fromkeys(row['name'] for row in _in_order(mine)))
    for place, name in enumerate(names):
      for measure, color in zip(MEASURES, colors, strict=True):
        of = [
          row['systems']['titles'][measure]
          for row in mine
          if row['name'] == name
        ]
        axes.plot([min(of), max(of)], [place, place], color=color, lw=1.5)
        label = measure if place == 0 else None
        axes.plot(float(np.mean(of)), place, 'o', color=color, label=label)
    baselines = [row for row in mine if 'pretraining' not in row]
    for measure, color in zip(MEASURES, colors, strict=True):
      if baselines:
        best = max(row['systems']['titles'][measure] for row in baselines)
        axes.axvline(
          best, color=color, ls=':', lw=1, label=f'BM25, {measure}, the better'
        )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlim=(0, 1), title=part)
    axes.grid(alpha=0.3)
  figure.legend(
    *many[0].get_legend_handles_labels(), loc='outside lower center', ncols=2
  )
  temporary = path.with_name(f'.{os.getpid()}.{path.name}')
  figure.savefig(temporary, dpi=110, format='png')
  os.replace(temporary, path)
