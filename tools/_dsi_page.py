# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What the study of the DSI family shows: its results file, tables and picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genret.tools import _tables
from genret.tools._studies import by_part, compare, write_results

Row = Mapping[str, Any]

MEASURES = ('Success@1', 'Success@10', 'RR@10')
PARTS = ('seen', 'unseen')


class Claim(NamedTuple):
  """One of the field's claims: `better` less `worse`, by names of rows.

  A name that ends with ' / unconstrained' is that row decoded freely.
  """

  text: str
  better: str
  worse: str


_CENTRAL = ('atomic', 'semantic', 'naive')
FREE = ' / unconstrained'


def claims() -> list[Claim]:
  """What the page compares, in the order of the field's claims."""
  queries = 'generated queries matter most'
  found = [
    Claim(queries, f'{s}, all, words', f'{s}, labelled + text, words')
    for s in _CENTRAL
  ]
  found += [
    Claim(
      'generated queries in place of text',
      f'{s}, labelled + generated, words',
      f'{s}, labelled + text, words',
    )
    for s in _CENTRAL
  ]
  found += [
    Claim(
      'semantic over naive when supervised',
      'semantic, labelled + text, words',
      'naive, labelled + text, words',
    ),
    Claim(
      'semantic over naive when supervised',
      'semantic, all, words',
      'naive, all, words',
    ),
    Claim(
      'semantic over atomic when supervised',
      'semantic, all, words',
      'atomic, all, words',
    ),
    Claim(
      'atomic over semantic when not supervised',
      'atomic, text, words',
      'semantic, text, words',
    ),
    Claim(
      'atomic over naive when not supervised',
      'atomic, text, words',
      'naive, text, words',
    ),
    Claim('PAWA is worth little', '2d, all, PAWA, words', '2d, all, words'),
    Claim(
      'the consistency loss is worth little',
      '2d, all, consistency, words',
      '2d, all, words',
    ),
    Claim('random codes keep most', 'shuffled, all, words', 'rq, all, words'),
  ]
  found += [
    Claim(
      'the constraint is worth little',
      f'{s}, all, words',
      f'{s}, all, words{FREE}',
    )
    for s in (*_CENTRAL, 'rq', 'title', 'description')
  ]
  found += [
    Claim('beside BM25', name, 'BM25')
    for name in (
      'docT5query',
      'dual encoder',
      'atomic, all, words',
      'atomic, all, latent',
      'atomic, all, pretrained',
    )
  ]
  return found


def write(rows: Sequence[Row], docs: Path) -> str:
  """Writes docs/results/dsi.json, docs/dsi.md and docs/images/dsi.png.

  Args:
    rows: of the study.
    docs: the folder.

  Returns:
    The tables, as Markdown.
  """
  found = comparisons(rows)
  write_results(docs / 'results' / 'dsi.json', rows, found)
  (docs / 'images').mkdir(parents=True, exist_ok=True)
  plot(rows, docs / 'images' / 'dsi.png')
  text = '\n'.join(_lines(rows, found))
  _tables.write(docs / 'dsi.md', text)
  return text


def values(ranks: str) -> dict[str, np.ndarray]:
  """Measures of each query, from its rank; 0 is beyond 10."""
  rank_Q = np.array(ranks.split(), np.int64)
  found_Q = rank_Q > 0
  return {
    'Success@1': (rank_Q == 1).astype(float),
    'Success@10': found_Q.astype(float),
    'RR@10': np.where(found_Q, 1 / np.maximum(rank_Q, 1), 0.0),
  }


def comparisons(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Each claim on each collection that has both sides, seen and unseen apart.

  Measures of a query are means over the seeds that both sides have beside the same
  text vocabulary: on another machine one that is trained may come out differently,
  and identifiers with it. Rows that do not tell it are told apart by their device.
  What is not trained goes with all.
  """
  found = []
  for part, mine in by_part(rows):
    for claim in claims():
      builds = _common_builds(mine, claim)
      for seen in PARTS:
        ours = _mean_values(mine, claim.better, seen, builds)
        theirs = _mean_values(mine, claim.worse, seen, builds)
        if ours is None or theirs is None:
          continue
        found.append(
          {
            'part': part,
            'documents': seen,
            **claim._asdict(),
            'seeds': len({seed for seed, _ in builds}) or 1,
            **compare(ours, theirs),
          }
        )
  return found


Build = tuple[int, str]  # a seed, and what text is written in


def _build(row: Row) -> Build | None:
  """None for what is not trained."""
  if 'device' not in row:
    return None
  return row['seed'], row.get('vocabulary_hash', row['device'])


def _common_builds(rows: Sequence[Row], claim: Claim) -> set[Build]:
  """Those that both sides have; of one side where the other is not trained."""
  sides = [
    {
      build
      for row in rows
      if row['name'] == name.removesuffix(FREE) and (build := _build(row))
    }
    for name in (claim.better, claim.worse)
  ]
  return sides[0] & sides[1] if all(sides) else sides[0] | sides[1]


def _mean_values(
  rows: Sequence[Row], name: str, seen: str, builds: set[Build]
) -> dict[str, np.ndarray] | None:
  system = 'unconstrained' if name.endswith(FREE) else 'constrained'
  found = [
    values(row['ranks'][system][seen])
    for row in rows
    if row['name'] == name.removesuffix(FREE)
    and system in row['ranks']
    and _build(row) in (None, *builds)
  ]
  if not found or not len(found[0]['RR@10']):
    return None
  return {m: np.mean([of[m] for of in found], axis=0) for m in MEASURES}


def _lines(rows: Sequence[Row], found: Sequence[Row]) -> Iterator[str]:
  for part, mine in by_part(rows):
    first = mine[0]
    seen, unseen = (
      len(first['ranks']['constrained'][p].split()) for p in PARTS
    )
    yield f'### {part}'
    yield ''
    yield (
      f'{first["documents"]:,} documents; {seen:,} queries ask for seen '
      f'documents, {unseen:,} for unseen ones; corpus hash '
      f'`{first["corpus_hash"][:12]}`.'
    )
    yield ''
    yield from _table(mine)
    yield ''
    yield from _claim_lines([c for c in found if c['part'] == part])
    yield ''


_COLUMNS = (
  'identifiers, recipe, addition, start',
  'seeds',
  'steps',
  'device',
  *(f'{part}: {measure}' for part in PARTS for measure in MEASURES),
  'legal, unconstrained',
  'collisions',
  'examples/s',
  'queries/s',
)


def _table(rows: Sequence[Row]) -> Iterator[str]:
  yield f'| {" | ".join(_COLUMNS)} |'
  yield '|---' * len(_COLUMNS) + '|'
  names = list(dict.fromkeys(row['name'] for row in rows))
  for name in sorted(names, key=_order):
    group = [row for row in rows if row['name'] == name]
    cells = [name, str(len(group))]
    cells += [_tables.distinct(group, field) for field in ('steps', 'device')]
    for part in PARTS:
      for measure in MEASURES:
        found = [row['systems']['constrained'][part][measure] for row in group]
        cells.append(_tables.mean_and_spread(found))
    cells.append(_mean(group, 'unconstrained', 'legal_rate'))
    cells.append(_mean(group, 'constrained', 'collision_rate'))
    for field in ('examples_per_second', 'queries_per_second'):
      speeds = [row[field] for row in group if field in row]
      cells.append(f'{np.median(speeds):,.0f}' if speeds else '')
    yield f'| {" | ".join(cells)} |'


def _order(name: str) -> tuple[int, str]:
  """Baselines first, then what starts alike."""
  return (
    (name.count(','), name.rpartition(', ')[2]) if ',' in name else (0, name)
  )


def _mean(group: Sequence[Row], system: str, rate: str) -> str:
  found = [
    row['systems'][system][rate]
    for row in group
    if rate in row['systems'].get(system, {})
  ]
  return f'{np.mean(found):.3f}' if found else ''


def _claim_lines(found: Sequence[Row]) -> Iterator[str]:
  if not found:
    return
  columns = ('claim', 'difference', 'seeds', 'documents', *MEASURES)
  yield f'| {" | ".join(columns)} |'
  yield '|---' * len(columns) + '|'
  for row in found:
    cells = [
      f'{row["difference"][m]:+.3f} (p = {row["p"][m]:.4f})' for m in MEASURES
    ]
    pair = f'{row["better"]} less {row["worse"]}'
    yield (
      f'| {row["text"]} | {pair} | {row["seeds"]} | {row["documents"]} | '
      f'{" | ".join(cells)} |'
    )


def plot(rows: Sequence[Row], path: Path) -> None:
  """Draws Success@10 of every cell: seen filled, unseen hollow, BM25 as a line."""
  import matplotlib.figure

  parts = list(by_part(rows))
  most = max(len({r['name'] for r in mine}) for _, mine in parts)
  figure = matplotlib.figure.Figure(
    figsize=(7.5 * len(parts), 1.6 + 0.28 * most), layout='constrained'
  )
  many = figure.subplots(1, len(parts), squeeze=False)[0]
  for axes, (part, mine) in zip(many, parts, strict=True):
    names = sorted(dict.fromkeys(r['name'] for r in mine), key=_order)[::-1]
    for place, name in enumerate(names):
      group = [r for r in mine if r['name'] == name]
      for seen, color in zip(PARTS, ('tab:blue', 'white'), strict=True):
        of = [r['systems']['constrained'][seen]['Success@10'] for r in group]
        mean = float(np.mean(of))
        axes.plot([min(of), max(of)], [place, place], color='tab:blue', lw=1.5)
        axes.plot(
          mean,
          place,
          'o',
          color=color,
          markeredgecolor='tab:blue',
          label=f'{seen} documents' if place == 0 else None,
        )
    for seen, style in zip(PARTS, ('-', ':'), strict=True):
      bm25 = [r for r in mine if r['name'] == 'BM25']
      if bm25:
        axes.axvline(
          bm25[0]['systems']['constrained'][seen]['Success@10'],
          color='gray',
          ls=style,
          lw=1,
          label=f'BM25, {seen}',
        )
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlim=(0, 1), xlabel='Success@10', title=part)
    axes.grid(alpha=0.3)
  figure.legend(
    *many[0].get_legend_handles_labels(), loc='outside lower center', ncols=2
  )
  temporary = path.with_name(f'.{os.getpid()}.{path.name}')
  figure.savefig(temporary, dpi=110, format='png')
  os.replace(temporary, path)
