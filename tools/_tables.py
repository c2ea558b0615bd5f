# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The tables of a study, and the page that they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret.text_files import write_text

Row = Mapping[str, Any]

BEGIN, END = '<!-- study: begin -->', '<!-- study: end -->'


def tables(
  rows: Sequence[Row], comparisons: Sequence[Row], measures: Sequence[str]
) -> str:
  """What was measured, as Markdown: systems, differences and times.

  Args:
    rows: one for each model and seed, with 'systems' and 'seconds'.
    comparisons: pairs of systems, with 'difference' and 'p'.
    measures: the columns.
  """
  lines = []
  for part in dict.fromkeys(map(part_of, rows)):
    mine = [row for row in rows if part_of(row) == part]
    first = mine[0]
    lines += [
      f'### {part}',
      '',
      _collection_line(first),
      '',
      '| model | system | ' + ' | '.join(measures) + ' | n-grams a query |',
      '|---|---|' + '---|' * (len(measures) + 1),
    ]
    for model in dict.fromkeys(row['model'] for row in mine):
      group = [row for row in mine if row['model'] == model]
      for system in group[0]['systems']:
        lines.append(_line(group, model, system, measures))
    lines += ['', *_comparison_lines(comparisons, part, measures)]
    lines += ['', *_time_lines(mine), '']
  return '\n'.join(lines)


def part_of(row: Row) -> str:
  """The part of the page that a row stands in: what was searched."""
  return f'{row["collection"]}, {row["queries"]:,} {row["split"]} queries'


def distinct(rows: Sequence[Row], field: str) -> str:
  """What rows have in a field, each once."""
  found = dict.fromkeys(row[field] for row in rows if field in row)
  return '/'.join(f'{v:,}' if isinstance(v, int) else v for v in found)


def mean_and_spread(values: Sequence[float]) -> str:
  """The mean, and the sample standard deviation where there are several."""
  spread = f' ± {np.std(values, ddof=1):.3f}' if len(values) > 1 else ''
  return f'{np.mean(values):.3f}{spread}'


def _collection_line(row: Row) -> str:
  return (
    f'{row["documents"]:,} documents; corpus hash `{row["corpus_hash"][:12]}`.'
  )


def _line(
  group: Sequence[Row], model: str, system: str, measures: Sequence[str]
) -> str:
  cells = []
  for measure in measures:
    values = [row['systems'][system][measure] for row in group]
    cells.append(mean_and_spread(values))
  keys = [row['systems'][system].get('keys') for row in group]
  cells.append('' if None in keys else f'{np.mean(keys):.0f}')
  seeds = f', {len(group)} seeds' if len(group) > 1 else ''
  name = '' if model == 'BM25' else f'{model}{seeds}'
  return f'| {name} | {system} | ' + ' | '.join(cells) + ' |'


def _comparison_lines(
  comparisons: Sequence[Row], part: str, measures: Sequence[str]
) -> list[str]:
  mine = [c for c in comparisons if c['part'] == part]
  if not mine:
    return []
  lines = [
    '| model | difference | ' + ' | '.join(measures) + ' |',
    '|---|---|' + '---|' * len(measures),
  ]
  for row in mine:
    cells = [
      f'{row["difference"][m]:+.3f} (p = {row["p"][m]:.4f})' for m in measures
    ]
    pair = ' less '.join(row['pair'])
    lines.append(f'| {row["model"]} | {pair} | ' + ' | '.join(cells) + ' |')
  return lines


def _time_lines(rows: Sequence[Row]) -> list[str]:
  """Milliseconds a query of writing n-grams and of scoring them.

  Index and search is what the searches take without the model.
  """
  columns = (
    'model',
    'index built, s',
    'steps',
    'training, s',
    'n-grams, ms a query',
    'of which index and search',
    'without constraint',
    'scoring, ms a query',
    'index, search and scoring, share',
  )
  lines = [f'| {" | ".join(columns)} |', '|---' * len(columns) + '|']
  for model in dict.fromkeys(row['model'] for row in rows):
    group = [r for r in rows if r['model'] == model and r['model'] != 'BM25']
    if not group:
      continue

    def mean(name: str, group: Any = group) -> float:
      return float(np.mean([r['seconds'].get(name, np.nan) for r in group]))

    count = group[0]['queries']
    keys, free = mean('keys'), mean('keys, unconstrained')
    search, score = mean('search'), mean('score intersective')
    cells = [
      _number(mean('index'), '.0f'),
      '/'.join(dict.fromkeys(f'{row["steps"]:,}' for row in group)),
      _number(mean('train'), '.0f'),
      _number(1000 * keys / count, '.1f'),
      _number(1000 * search / count, '.1f'),
      _number(1000 * free / count, '.1f'),
      _number(1000 * score / count, '.2f'),
      _number((search + score) / (keys + score), '.1%'),
    ]
    lines.append(f'| {model} | ' + ' | '.join(cells) + ' |')
  return lines


def _number(value: float, form: str) -> str:
  """Empty for what nobody measured."""
  return '' if np.isnan(value) else format(value, form)


def write(path: Path, text: str) -> None:
  """Puts the tables between the marks of a page, which may be new."""
  new = f'# {path.stem}\n\n{BEGIN}\n{END}\n'
  found = path.read_text() if path.exists() else new
  if BEGIN not in found or END not in found:
    raise ValueError(
      f'Expected the lines {BEGIN} and {END} in {path}, found no pair; put '
      'them where the tables shall stand.'
    )
  before, rest = found.split(BEGIN, 1)
  _, after = rest.split(END, 1)
  write_text(path, f'{before}{BEGIN}\n{text.rstrip()}\n{END}{after}')
