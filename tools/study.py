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
  add = parser.add_argument
  add('name', choices=names(), help='which study')
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
    '--trained',
    action='append',
    default=[],
    metavar='NAME=RUN_FOLDER',
    help='measure a run that is trained already, too; may be repeated, with the '
    'same name for other seeds',
  )
  add('--work', help='folder of indexes, runs and rows [runs/study_NAME]')
  add('--docs', default='docs', help='where the page and results/ are')
  arguments = parser.parse_args(list(argv))
  study = importlib.import_module(
    f'{genret.tools.__name__}.{_PREFIX}{arguments.name}'
  )
  study.run(
    corpora=arguments.corpus or ['genret:squadshifts_wiki'],
    seeds=arguments.seeds,
    steps=arguments.steps,
    split=arguments.split,
    limit=arguments.queries,
    trained=list(map(_named, arguments.trained)),
    work=Path(arguments.work or f'runs/study_{arguments.name}'),
    docs=Path(arguments.docs),
    command=' '.join(['genret study', *argv]),
  )
  return 0


def _named(text: str) -> tuple[str, str]:
  name, equals, folder = text.partition('=')
  if not name or not equals or not folder:
    raise ValueError(f'Expected --trained NAME=RUN_FOLDER, got {text!r}.')
  return name, folder
