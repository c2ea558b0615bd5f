# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Run a study: train with several seeds, measure many systems, write its page.

A study is a module `_study_NAME.py` beside this one. It keeps what it has done
in its work folder and goes on there when started again; its table goes into
docs/results/NAME.json and, between two marks, into docs/NAME.md.

example:
  genret study seal
  genret study seal --corpus genret:squadshifts_wiki --corpus my_folder \\
    --seeds 0 1 2 --queries 500 --work runs/study_seal
"""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import genret.tools

_PREFIX = '_study_'


def names() -> list[str]:
  """The studies that there are."""
  modules = pkgutil.iter_modules(genret.tools.__path__)
  found = [module.name for module in modules]
  return [n.removeprefix(_PREFIX) for n in found if n.startswith(_PREFIX)]


def main(argv: Sequence[str]) -> int:
  """Runs `genret study`."""
  parser = argparse.ArgumentParser(
    prog='genret study',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  kinds = parser.add_subparsers(dest='name', required=True, metavar='NAME')
  studies = {
    name: importlib.import_module(f'{genret.tools.__name__}.{_PREFIX}{name}')
    for name in names()
  }
  for name, study in studies.items():
    _add_arguments(
      kinds.add_parser(
        name,
        help=(study.__doc__ or '').split('\n')[0],
        description=study.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
      ),
      name,
    )
    study.add_arguments(kinds.choices[name])
  arguments = vars(parser.parse_args(list(argv)))
  corpora = arguments.pop('corpus') or ['genret:squadshifts_wiki']
  studies[arguments.pop('name')].run(
    corpora=corpora,
    limit=arguments.pop('queries'),
    work=Path(arguments.pop('work')),
    docs=Path(arguments.pop('docs')),
    command=' '.join(['genret study', *argv]),
    **arguments,
  )
  return 0


def _add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
  """What every study takes."""
  add = parser.add_argument
  add(
    '--corpus',
    action='append',
    help='a BEIR folder with training queries; may be repeated '
    '(default: genret:squadshifts_wiki)',
  )
  add('--seeds', type=int, nargs='+', default=[0, 1, 2])
  add('--steps', type=int, help='train so many steps')
  add('--split', default='test', help='whose queries to search')
  add('--queries', type=int, help='take the first so many; default: all')
  add(
    '--work',
    default=f'runs/study_{name}',
    help='folder of indexes, runs and rows [%(default)s]',
  )
  add('--docs', default='docs', help='where the page and results/ are')
