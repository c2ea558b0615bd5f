# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What training keeps in a run folder besides checkpoints and log, safe to be killed."""

import contextlib
import difflib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genret import identifiers, process_locks
from genret.text_files import write_text
from genret.vocabulary import HASH_FIELD, VOCABULARY_FILE

# The identifiers of a run, with their vocabulary.
DOCIDS_FOLDER = 'docids'
# What makes it this run.
RUN_FILE = 'run.json'


def claim(run_folder: Path, identity: Mapping[str, Any]) -> None:
  """Writes down what a run is, or refuses another run in the same folder."""
  path = run_folder / RUN_FILE
  identity = json.loads(json.dumps(identity))
  if not path.is_file():
    write_text(path, json.dumps(identity, indent=2) + '\n')
    return
  known = json.loads(path.read_text())
  for name in {**identity, **known}:  # some are only written where they are set
    if known.get(name) != identity.get(name):
      raise ValueError(
        f'Expected {name}={known.get(name)}, as {run_folder} was trained '
        f'with, got {identity.get(name)}; train into another folder.'
      )


@contextlib.contextmanager
def alone(run_folder: Path) -> Iterator[None]:
  """Keeps other processes of this machine from training in the same folder.

  Two of them would take away each other's checkpoints and log.

  Raises:
    ValueError: if another process is at it.
  """
  with process_locks.only_process(run_folder, wait=False) as mine:
    if not mine:
      raise ValueError(
        f'Expected to train in {run_folder} alone, another process is at it; '
        'wait until it has ended, or train into another folder.'
      )
    yield


def leave_texts(
  run_folder: Path, texts: Mapping[str, str], *, step: int
) -> list[str]:
  """Writes files into a run folder; what an earlier part had stays beside.

  Args:
    run_folder: that may have them from an earlier part of the run.
    texts: by names of files.
    step: that the run goes on from.

  Returns:
    Sentences and lines that say what an earlier part had of other lines.
  """
  told = []
  for name, text in texts.items():
    path = run_folder / name
    earlier = path.read_text(encoding='utf-8') if path.is_file() else text
    changed = [
      line
      for line in difflib.ndiff(earlier.splitlines(), text.splitlines())
      if line[0] in '+-' and line[2:].strip()
    ]
    if changed:
      kept = path.with_name(f'{path.stem}.until-{step}{path.suffix}')
      path.replace(kept)
      told += [f'{name} differs from that until step {step}, {kept.name}:']
      told += changed
    write_text(path, text)
  return told


def copy_docids(source: Path, target: Path) -> None:
  """Puts identifiers and vocabulary into the run folder, whole or not at all.

  Files are linked where the file system can: an index may be larger than all
  else of a run, and none is ever written in place.
  """
  if source.absolute() == target.absolute():
    return
  if target.is_dir():
    if _name(target) == _name(source):
      return
    raise ValueError(
      f'Expected the identifiers that {target.parent} was trained with, got '
      f'others in {source}; train into another folder.'
    )
  temporary = target.with_name(f'.{target.name}.{os.getpid()}')
  shutil.rmtree(temporary, ignore_errors=True)
  try:
    shutil.copytree(
      source,
      temporary,
      ignore=shutil.ignore_patterns('tfds'),
      copy_function=_link,
    )
    os.replace(temporary, target)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _name(folder: Path) -> tuple[str, str | None]:
  """What tells identifiers and their vocabulary from others."""
  found = identifiers.load(folder)
  return found.hash, found.meta.get(HASH_FIELD)


def _link(source: str, target: str) -> None:
  try:
    os.link(source, target)
  except OSError:  # another file system, or one without links
    shutil.copy2(source, target)


def vocabulary_file(
  checkpoint: str | os.PathLike[str], given: str | os.PathLike[str] | None
) -> Path:
  """The SentencePiece model of a checkpoint: the given one, or that of a run.

  Args:
    checkpoint: a run, or a folder of `genret convert`.
    given: a SentencePiece model or None.

  Raises:
    ValueError: if none is given and the folder has none.
  """
  if given is not None:
    return Path(given)
  path = find_vocabulary(checkpoint)
  if path is None:
    raise ValueError(
      f'Expected --vocabulary for {checkpoint}, which has no '
      f'{DOCIDS_FOLDER}/{VOCABULARY_FILE} as a run has; give the SentencePiece '
      'model of the checkpoint.'
    )
  return path


def find_vocabulary(checkpoint: str | os.PathLike[str]) -> Path | None:
  """The SentencePiece model in a run, or beside a model; None if there is none."""
  for folder in (Path(checkpoint) / DOCIDS_FOLDER, Path(checkpoint)):
    if (folder / VOCABULARY_FILE).is_file():
      return folder / VOCABULARY_FILE
  return None
