# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Times millions of titles: tokenising, tables, tries, steps under them.

The titles are made of the words of a corpus's titles, with its lengths, all
distinct and the same for the same seed; one in a hundred names a second document,
too. Memory is by how much the process grew at most; that of a trie which is
opened is a process's of its own. Nothing is kept.

Example:
  genret bench titles --corpus kilt --count 6000000 --json titles.json
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from genret import vocabulary as vocabulary_lib
from genret.corpus import read_documents
from genret.tools import _arguments, _measure, _measure_titles

SIZES = (10_000, 100_000, 1_000_000)


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  real = [document.title for document in read_documents(args.corpus)]
  _measure.say(f'making {args.count:,} titles of {len(real):,}')
  titles = _measure_titles.synthetic_titles(real, args.count, args.seed)
  with tempfile.TemporaryDirectory(prefix='genret-titles-') as folder:
    if args.vocabulary is not None:
      vocabulary = vocabulary_lib.load_vocabulary(args.vocabulary)
    else:
      vocabulary = vocabulary_lib.train_vocabulary(
        real, Path(folder) / 'spiece.model', size=args.vocabulary_size
      )
  figures, steps = _measure_titles.measure(
    titles,
    vocabulary,
    duplicates=args.count // 100,
    sizes=[*(size for size in SIZES if size < args.count), args.count],
    batch_size=args.batch_size,
    num_beams=args.num_beams,
    repeats=args.repeats,
  )
  print(f'genret bench titles\n{_measure.machine()}\n')
  print(f'{args.count:,} titles, such as {titles[0]!r} and {titles[-1]!r}\n')
  print(_figures(figures, args.count))
  print()
  print(_steps(steps, args.batch_size * args.num_beams))
  if args.json:
    found = {
      'title': 'genret bench titles',
      'machine': _measure.machine(),
      'settings': vars(args),
      'figures': [figure._asdict() for figure in figures],
      'steps': [step._asdict() for step in steps],
    }
    _measure.write_json(args.json, found)
  return 0


def _figures(figures: Sequence[_measure_titles.Figure], count: int) -> str:
  lines = [
    '| | time | memory | size | bytes a title | |',
    '|---|---|---|---|---|---|',
  ]
  for figure in figures:
    cells = [
      figure.what,
      _seconds(figure.seconds),
      _megabytes(figure.peak_bytes),
      _megabytes(figure.bytes),
      '' if figure.bytes is None else f'{figure.bytes / count:.1f}',
      figure.note,
    ]
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines)


def _steps(steps: Sequence[_measure_titles.Step], beams: int) -> str:
  lines = [
    (
      f'| titles | edges | probe {_measure_titles.PROBES} tokens of {beams} beams |'
      ' list what follows | best continuations | of several titles |'
    ),
    '|---|---|---|---|---|---|',
  ]
  for step in steps:
    times = (step.probe, step.children, step.best, step.best_repeated)
    cells = [f'{step.titles:,}', f'{step.edges:,}']
    cells += [f'{_measure.significant(ms)} ms' for ms in times]
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines)


def _seconds(seconds: float | None) -> str:
  if seconds is None:
    return ''
  if seconds < 1:
    return f'{_measure.significant(seconds * 1e3)} ms'
  return f'{_measure.significant(seconds)} s'


def _megabytes(size: int | None) -> str:
  return '' if size is None else f'{size / 1e6:,.0f} MB'


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench titles',
    description=__doc__,
    formatter_class=_measure.Help,
  )
  add = parser.add_argument
  add(
    '--corpus',
    required=True,
    metavar='CORPUS',
    help='whose titles to take words from',
  )
  add(
    '--count',
    type=_arguments.at_least_one,
    default=6_000_000,
    help='titles to make',
  )
  add('--seed', type=_arguments.seed, default=0, help='of the titles')
  add(
    '--vocabulary',
    metavar='FILE',
    help='a spiece.model (default: one trained on the titles of the corpus)',
  )
  add(
    '--vocabulary-size',
    type=_arguments.at_least_one,
    default=8000,
    help='pieces of the one that is trained',
  )
  add('--batch-size', type=_arguments.at_least_one, default=20, help='queries')
  add(
    '--num-beams',
    type=_arguments.at_least_one,
    default=15,
    help='of each query',
  )
  add(
    '--repeats', type=_arguments.at_least_one, default=10, help='turns of each'
  )
  add('--json', default='', metavar='FILE', help='write the figures, too')
  return parser.parse_args(argv)
