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
import logging
from collections.abc import Sequence
from pathlib import Path

import gin

import genret.gin_configs
from genret import train as trainer
from genret.text_files import write_text


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
    ValueError: for a file that does not exist or a binding that is wrong.
  """
  own = str(Path(next(iter(genret.gin_configs.__path__))))
  for path in ['', *search_paths, own]:
    gin.add_config_file_search_path(path)
  try:
    # gin logs an error for each folder that lacks a file before it looks in
    # the next one.
    logging.disable(logging.ERROR)
    with gin.unlock_config():
      gin.clear_config()
      gin.parse_config_files_and_bindings(list(gin_files), list(bindings))
  except OSError as error:
    raise ValueError(
      f'Expected gin files in the current folder, in --gin_search_paths or '
      f'in {own}: {" ".join(str(error).split())}.'
    ) from error
  finally:
    logging.disable(logging.NOTSET)


def run(model_dir: str | None = None) -> Path:
  """Runs `genret.train.train` as the parsed configuration has it."""
  folder = Path(model_dir or gin.query_parameter('%MODEL_DIR'))
  folder.mkdir(parents=True, exist_ok=True)
  write_text(folder / 'config.gin', gin.config_str())
  return gin.get_configurable(trainer.train)()


def main(argv: Sequence[str]) -> int:
  """Runs `genret train`."""
  parser = argparse.ArgumentParser(
    prog='genret train',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--gin_file', action='append', required=True, help='may be repeated'
  )
  parser.add_argument(
    '--gin_search_paths', default='', help='folders, separated by commas'
  )
  parser.add_argument(
    '--gin.NAME=VALUE',
    dest='binding',
    help='binds a macro or a parameter; may be repeated',
  )
  arguments, rest = parser.parse_known_args(list(argv))
  bindings = []
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
  print(f'Trained: {run()}')
  return 0
