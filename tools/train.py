# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Train a retriever that gin files describe.

example:
  genret train --gin_file=runs/genret_train.gin \\
    --gin_file=experiments/quickstart.gin \\
    --gin.DOCIDS=\\"docids\\" --gin.MODEL_DIR=\\"runs/mine\\"

Gin files are looked for in the current folder, in --gin_search_paths, and
among those that come with genret. The run file goes first. Start the same
command again to go on after an interruption.
"""

import argparse
import difflib
import json
import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin

import genret.gin_configs
from genret import evaluate, plots
from genret import train as trainer
from genret.report import format_table


def parse_config(
  gin_files: Sequence[str],
  bindings: Sequence[str],
  search_paths: Sequence[str] = (),
) -> None:
  """Parses gin files and bindings in place of what was parsed before.

  genret's own files are at hand.

  Args:
    gin_files: in order, the run file first.
    bindings: such as 'TRAIN_STEPS = 10'; they come last.
    search_paths: folders to look for gin files in.

  Raises:
    ValueError: for a file that does not exist, a binding that is wrong, or a
      macro among them that no setting reads.
  """
  own = str(Path(next(iter(genret.gin_configs.__path__))))
  folders = ['', *search_paths, own]
  for path in folders:
    gin.add_config_file_search_path(path)
  gin_files = [_found(name, folders) for name in gin_files]
  try:
    # gin logs an error for each folder that lacks a file before it looks in
    # the next one.
    logging.disable(logging.ERROR)
    with gin.unlock_config():
      gin.clear_config()
      gin.parse_config_files_and_bindings(list(gin_files), list(bindings))
  except OSError as error:
    missing = [name for name in gin_files if not Path(name).is_file()]
    raise ValueError(
      f'Expected gin files in the current folder, in --gin_search_paths or in '
      f'{own}, found no {" or ".join(missing or gin_files)}; correct the name.'
    ) from error
  except (SyntaxError, NameError, TypeError, ValueError) as error:
    raise ValueError(
      _unset_macro(error)
      or 'Expected gin files and bindings that parse (strings are quoted, as in '
      '--gin.MODEL_DIR=\\"runs/mine\\"), got '
      f'{" ".join(str(error).split())}.'
    ) from error
  finally:
    logging.disable(logging.NOTSET)
  _check_macros(bindings)


def _check_macros(bindings: Sequence[str]) -> None:
  """Refuses a misspelt macro: gin takes any name."""
  read = set(re.findall(r'%(\w+)', gin.config_str()))
  for binding in bindings:
    name = binding.partition('=')[0].strip()
    if re.fullmatch(r'\w+', name) and name not in read:
      near = difflib.get_close_matches(name, read, 3) or sorted(read)
      raise ValueError(
        f'Expected a macro that the experiment reads, got {name}; perhaps '
        f'{" or ".join(near)}.'
      )


def _found(name: str, folders: Sequence[str]) -> str:
  """The first such file, as gin would find it; the name where there is none.

  gin takes a folder `runs` of the current one for a package of Python, and
  fails, where that one is searched for modules.
  """
  paths = (Path(folder) / name for folder in folders)
  return next((str(path) for path in paths if path.is_file()), name)


def run() -> Path:
  """Runs `genret.train.train` as the parsed configuration has it.

  Returns:
    The run folder, with config.gin, the configuration, from the start.

  Raises:
    ValueError: if a macro is not set, or as training does.
    FloatingPointError: as training does.
  """
  try:
    train = gin.get_configurable(trainer.train)
    return train(texts={'config.gin': gin.config_str()})
  except (ValueError, OSError, FloatingPointError) as error:
    # gin appends where it was called from; the first line is what is wrong.
    text = str(error).split('\n  In call to configurable')[0].strip()
    if isinstance(error, FloatingPointError):
      raise FloatingPointError(text) from error
    raise ValueError(_unset_macro(error) or text) from error


def _unset_macro(error: Exception) -> str:
  """What to do about a macro that nothing sets; '' for other errors."""
  unset = re.match(r'(\w+)/macro.value set to', str(error))
  if unset is None:
    return ''
  return (
    f'Expected {unset[1]} to be set, got nothing; set it in the experiment '
    f'file, which goes after the run file, or with --gin.{unset[1]}=...'
  )


def report(
  folder: Path,
  corpus: str,
  *,
  split: str,
  seed: int = 0,
  command: str,
  pseudo_queries: str | None = None,
) -> dict[str, Any]:
  """Measures a run beside its untrained start, BM25 and a random order.

  Writes report.json, report.png and run files into the folder and prints the
  table.

  Args:
    folder: a run that is trained.
    corpus: its collection.
    split: whose queries to search.
    seed: of the random order.
    command: what to note as the command that made the run.
    pseudo_queries: measure docT5query too, with these.
  """
  log = (folder / 'log.jsonl').read_text().splitlines()
  found = evaluate.write_report(
    folder,
    corpus=corpus,
    split=split,
    seed=seed,
    initial=True,
    pseudo_queries=pseudo_queries,
    extra={
      'seconds': {'train': json.loads(log[-1])['seconds']},
      'command': command,
    },
  )
  picture = plots.plot_run(folder)
  print()
  print(format_table(found['systems'], found['p_values_against_bm25']))
  print('* p < 0.05, ** p < 0.01 against bm25 (paired randomisation).')
  if 'parts' in found:
    print()
    print(format_table(found['parts']))
    print(
      ', '.join(
        f'{count:,} queries for {part} documents'
        for part, count in found['part_queries'].items()
      )
    )
  print(
    f'Left behind: {folder}/report.json, {picture}, {folder}/{split}.*.trec'
  )
  return found


EPILOG = '--gin.NAME=VALUE binds a macro or a parameter; may be repeated.'


def add_gin_arguments(parser: argparse.ArgumentParser) -> None:
  """What names gin files; bindings are what the parser does not know."""
  parser.add_argument(
    '--gin_file', action='append', required=True, help='may be repeated'
  )
  parser.add_argument(
    '--gin_search_paths', default='', help='folders, separated by commas'
  )


def parse_words(
  parser: argparse.ArgumentParser,
  arguments: argparse.Namespace,
  rest: Sequence[str],
  defaults: Sequence[str] = (),
) -> None:
  """Parses the configuration that a command line asks for.

  Args:
    parser: ends the command where a word is no binding.
    arguments: with what `add_gin_arguments` adds.
    rest: the words that the parser did not know.
    defaults: bindings that come before these.
  """
  bindings = list(defaults)
  for word in rest:
    name, equals, value = word.removeprefix('--gin.').partition('=')
    if not word.startswith('--gin.') or not equals:
      parser.error(
        f'expected --gin.NAME=VALUE, got {word}; quote strings, as in '
        '--gin.MODEL_DIR=\\"runs/mine\\".'
      )
    bindings.append(f'{name} = {value}')
  paths = [path for path in arguments.gin_search_paths.split(',') if path]
  parse_config(arguments.gin_file, bindings, paths)


def main(argv: Sequence[str]) -> int:
  """Runs `genret train`."""
  parser = argparse.ArgumentParser(
    prog='genret train',
    description=__doc__,
    epilog=EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add_gin_arguments(parser)
  parser.add_argument(
    '--report',
    metavar='SPLIT',
    help='then measure the queries of this split beside BM25',
  )
  parser.add_argument(
    '--pseudo-queries',
    metavar='FILE',
    help='with --report: and beside docT5query, BM25 over documents with these '
    'queries, a file of `genret generate-queries` or the name of a split',
  )
  arguments, rest = parser.parse_known_args(list(argv))
  if arguments.pseudo_queries is not None and arguments.report is None:
    parser.error('expected --report with --pseudo-queries, got none.')
  parse_words(parser, arguments, rest)
  try:
    folder = run()
  except KeyboardInterrupt:
    print(
      'the same command again goes on from the last checkpoint', file=sys.stderr
    )
    raise
  if arguments.report is not None:
    report(
      folder,
      gin.query_parameter('%CORPUS'),
      split=arguments.report,
      command=shlex.join(['genret', 'train', *argv]),
      pseudo_queries=arguments.pseudo_queries,
    )
  print(f'Trained: {folder}')
  return 0
