# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Folders of written training examples for n-gram retrievers.

`genret examples` writes them, `tasks.ngrams` reads them:

| file                                  | what                                 |
|---------------------------------------|--------------------------------------|
| `examples.json`                       | settings, and counts of each shard   |
| `supervised-00000-of-00003.tsv.gz`    | lines of COLUMNS, in a random order  |
| `unsupervised-00000-of-00002.tsv.gz`  | likewise                             |

A shard is complete when it is there and examples.json counts it. The same
settings give the same bytes. In a text, tabs and ends of lines become spaces,
which a text vocabulary reads as the same.
"""

import gzip
import json
import os
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from genret.ngram_examples import Example, generator
from genret.text_files import PathLike, write_text

COLUMNS = ('view', 'grade', 'query_id', 'doc_id', 'inputs', 'targets')
KINDS = ('supervised', 'unsupervised')
VERSION = 1  # of what the same settings give

_SETTINGS_FILE = 'examples.json'
_BREAKS = re.compile(r'[\t\n\r]')


def shard_names(kind: str, shards: int) -> list[str]:
  """The files of a kind of examples."""
  return [f'{kind}-{i:05}-of-{shards:05}.tsv.gz' for i in range(shards)]


def write_shard(
  path: PathLike,
  examples: Sequence[tuple[str, str, Example]],
  *,
  seed: int = 0,
) -> dict[str, int]:
  """Writes examples in a random order, under a temporary name first.

  Args:
    path: the file; its name and the seed fix the order.
    examples: (query id, document id, example).
    seed: of the order.

  Returns:
    How many there are of each view and grade, as `{'body gold': 10}`.
  """
  path = pathlib.Path(path)
  order = generator(seed, path.name).permutation(len(examples))
  # Fixed, so that what a killed run has left is written over.
  temporary = path.with_name(f'.{path.name}.partial')
  with open(temporary, 'wb') as file:
    with gzip.GzipFile('', 'wb', compresslevel=3, fileobj=file, mtime=0) as out:
      for i in order:
        out.write(_line(*examples[i]))
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)
  counts = Counter(f'{e.view} {e.grade}' for _, _, e in examples)
  return dict(sorted(counts.items()))


def open_folder(
  folder: PathLike,
  settings: Mapping[str, Any],
  shards: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
  """Starts a folder, or finds how far one is.

  Args:
    folder: of the examples; new, empty, or begun with the same settings.
    settings: what they are made from and how, as for `write_header`.
    shards: all files that there will be, likewise.

  Returns:
    The shards, those that are complete with their counts.

  Raises:
    FileNotFoundError: the folder has something else in it.
    ValueError: it has examples of other settings.
  """
  folder = pathlib.Path(folder)
  if not folder.exists() or not any(folder.iterdir()):
    write_header(folder, settings, shards)
    return {name: dict(shard) for name, shard in shards.items()}
  found, written = read_header(folder)
  different = sorted(
    name
    for name in {*found, *settings}
    if found.get(name) != settings.get(name)
  )
  if different:
    raise ValueError(
      f'Expected examples of the same corpus and options in {folder}, found '
      f'others ({", ".join(different)}); choose another folder.'
    )
  return {
    name: dict(
      written[name] if is_complete(folder, name, written[name]) else shard
    )
    for name, shard in shards.items()
  }


def write_header(
  folder: PathLike,
  settings: Mapping[str, Any],
  shards: Mapping[str, Mapping[str, Any]],
) -> None:
  """Writes examples.json.

  Args:
    folder: of the examples.
    settings: what they were made from and how; JSON.
    shards: of each file, complete or not: its 'kind', and, where complete, its
      'counts' by view and grade.
  """
  header = {'settings': dict(settings), 'shards': dict(sorted(shards.items()))}
  text = json.dumps(header, indent=1, ensure_ascii=False)
  write_text(pathlib.Path(folder) / _SETTINGS_FILE, text + '\n')


def read_header(
  folder: PathLike,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
  """Reads examples.json: settings and shards, as `write_header` takes them.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it is something else.
  """
  path = pathlib.Path(folder) / _SETTINGS_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f'Expected {path}, found no such file; write examples with `genret '
      'examples`.'
    )
  try:
    header = json.loads(path.read_text(encoding='utf-8'))
    settings, shards = header['settings'], header['shards']
    right = all(shard['kind'] in KINDS for shard in shards.values())
  except (ValueError, KeyError, TypeError, AttributeError):
    right = False
  if not right:
    raise ValueError(
      f'Expected settings and shards of examples in {path}, found something '
      'else; write the examples again with `genret examples`.'
    )
  return settings, shards


def complete_shards(folder: PathLike) -> dict[str, dict[str, int]]:
  """The files of each kind, with the number of examples in each.

  Raises:
    FileNotFoundError: there are no examples.
    ValueError: a shard is missing.
  """
  folder = pathlib.Path(folder)
  _, shards = read_header(folder)
  missing = [
    name for name in shards if not is_complete(folder, name, shards[name])
  ]
  if missing:
    raise ValueError(
      f'Expected {len(shards)} shards of examples in {folder}, {len(missing)} '
      f'are not written, first {missing[0]}; run `genret examples` again, it '
      'goes on where it was.'
    )
  found: dict[str, dict[str, int]] = {}
  for name, shard in shards.items():
    of_kind = found.setdefault(shard['kind'], {})
    of_kind[str(folder / name)] = sum(shard['counts'].values())
  return found


def is_complete(folder: PathLike, name: str, shard: Mapping[str, Any]) -> bool:
  """Whether a shard is there and counted."""
  return 'counts' in shard and (pathlib.Path(folder) / name).is_file()


def _line(query_id: str, doc_id: str, example: Example) -> bytes:
  cells = (
    example.view,
    example.grade,
    query_id,
    doc_id,
    example.source,
    example.target,
  )
  return ('\t'.join(_BREAKS.sub(' ', c) for c in cells) + '\n').encode()
