# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The folder that CorpusBrain's examples are written to, in seqio's cached format.

    <name>_lps/  <name>_iss/  <name>_hip/     a task each, as seqio reads it:
      train.tfrecord-00000-of-00064 ...       tf.train.Example, no end-of-sequence
      info.train.json, stats.train.json
      COMPLETED                               written last; seqio wants it first
    <name>.examples/                          what genret knows of them:
      settings.json                           what they are made of, and how
      pages/                                  titles, so that none is read twice
      part-00000.json ...                     parts that are done, with their counts

A run that was killed goes on with the parts that are not done.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from genret import array_folder
from genret.kilt_survey import Part, Survey
from genret.text_files import Cursor, PathLike, write_text

SPLIT = 'train'
COMPLETED = 'COMPLETED'

_SETTINGS = 'settings.json'
_KIND, _VERSION = 'kilt_survey', 1


@dataclasses.dataclass
class Counts:
  """What was made, of some pages or of all.

  Attributes:
    pages: that were read.
    tokens: by task and feature, `lps inputs`; without end-of-sequence.
    most_tokens: of an example, likewise.
    examples, skipped, leaks, anchors: see `corpusbrain_tokens.Maker`.
    seconds: of processor time.
  """

  pages: int = 0
  tokens: dict[str, int] = dataclasses.field(default_factory=dict)
  most_tokens: dict[str, int] = dataclasses.field(default_factory=dict)
  examples: dict[str, int] = dataclasses.field(default_factory=dict)
  skipped: dict[str, int] = dataclasses.field(default_factory=dict)
  leaks: dict[str, int] = dataclasses.field(default_factory=dict)
  anchors: dict[str, int] = dataclasses.field(default_factory=dict)
  seconds: float = 0.0

  def count_tokens(self, key: str, length: int) -> None:
    """Counts an example."""
    self.tokens[key] = self.tokens.get(key, 0) + length
    self.most_tokens[key] = max(self.most_tokens.get(key, 0), length)

  def __add__(self, other: 'Counts') -> 'Counts':
    result = Counts(
      pages=self.pages + other.pages, seconds=self.seconds + other.seconds
    )
    for field in dataclasses.fields(Counts):
      if isinstance(ours := getattr(self, field.name), dict):
        theirs = getattr(other, field.name)
        join = max if field.name == 'most_tokens' else int.__add__
        both = {
          key: join(ours.get(key, 0), theirs.get(key, 0))
          for key in sorted({*ours, *theirs})
        }
        setattr(result, field.name, both)
    return result


def total(of: Iterable[Counts]) -> Counts:
  """All counts together."""
  return sum(of, Counts())


def task_folder(cache: PathLike, name: str, task: str) -> pathlib.Path:
  """Where seqio looks for a task."""
  return pathlib.Path(cache) / f'{name}_{task}'


def work_folder(cache: PathLike, name: str) -> pathlib.Path:
  """Where genret keeps what it knows of the examples."""
  return pathlib.Path(cache) / f'{name}.examples'


def shard_name(number: int, shards: int) -> str:
  """The file of a shard, as seqio calls it."""
  return f'{SPLIT}.tfrecord-{number:05d}-of-{shards:05d}'


def none_of(task: str) -> str:
  """The error of a task without examples."""
  return (
    f'Expected examples of the task {task}, the pages give none; leave it out of '
    'the tasks, or lower the limits of the options.'
  )


def check(
  cache: PathLike, name: str, task: str, identity: Mapping[str, Any]
) -> None:
  """Refuses a cached task that is not there, not complete, or of other settings.

  Args:
    cache: the folder.
    name: of the mixture.
    task: one of `corpusbrain_tokens.TASKS`.
    identity: of the recipe that is wanted, see `Recipe.identity`.

  Raises:
    FileNotFoundError: it is not there or not complete.
    ValueError: it was made with other settings.
  """
  folder = task_folder(cache, name, task)
  if not (folder / COMPLETED).is_file():
    raise FileNotFoundError(
      f'Expected complete examples in {folder}, found none; write them with '
      f'`genret examples corpusbrain --output {cache} --name {name}`, which goes '
      'on where it was.'
    )
  settings = read_settings(cache, name)
  found = settings['identity'] if settings else {}
  if different := _different(found, identity):
    raise ValueError(
      f'Expected examples of the same corpus, identifiers and options in '
      f'{folder}, found others ({different}); write them again, or give the '
      'options that they were written with.'
    )


def open_work(
  cache: PathLike, name: str, settings: Mapping[str, Any]
) -> Survey | None:
  """Starts a folder, or finds one that was begun with the same settings.

  Args:
    cache: the folder; new, or with other examples in it.
    name: of the mixture.
    settings: what the examples are made of, and how; JSON.

  Returns:
    The survey of the pages, None where it is to be made.

  Raises:
    ValueError: examples of this name were begun with other settings.
  """
  known = read_settings(cache, name)
  if known is None:
    text = json.dumps(settings, indent=1, ensure_ascii=False)
    write_text(work_folder(cache, name) / _SETTINGS, f'{text}\n')
    return None
  if different := _different(known, settings):
    raise ValueError(
      f'Expected examples of the same pages and options in {cache}, found '
      f'others named {name} ({different}); choose another folder or name.'
    )
  pages = work_folder(cache, name) / 'pages'
  return load_survey(cache, name) if pages.is_dir() else None


def read_settings(cache: PathLike, name: str) -> dict[str, Any] | None:
  """What the examples of a name are made of; None where there are none."""
  path = work_folder(cache, name) / _SETTINGS
  return json.loads(path.read_text('utf-8')) if path.is_file() else None


def save_survey(cache: PathLike, name: str, found: Survey) -> None:
  """Keeps a survey for the processes that work on its parts."""
  arrays: dict[str, np.ndarray] = {}
  columns = zip(*found.titles, strict=True) if found.titles else ((), ())
  for column, texts in zip(('id', 'title'), columns, strict=True):
    packed, starts = array_folder.pack_text(list(texts))
    arrays |= {f'{column}_bytes': packed, f'{column}_starts': starts}
  array_folder.save(
    work_folder(cache, name) / 'pages',
    kind=_KIND,
    version=_VERSION,
    arrays=arrays,
    meta={'hash': found.hash, 'parts': [list(part) for part in found.parts]},
  )


def load_survey(cache: PathLike, name: str) -> Survey:
  """What `save_survey` kept."""
  arrays, meta = array_folder.load(
    work_folder(cache, name) / 'pages', kind=_KIND, version=_VERSION
  )
  ids, titles = (
    array_folder.unpack_text(arrays[f'{c}_bytes'], arrays[f'{c}_starts'])
    for c in ('id', 'title')
  )
  parts = [
    Part(file, Cursor(*start), stop, shards)
    for file, start, stop, shards in meta['parts']
  ]
  return Survey(list(zip(ids, titles, strict=True)), meta['hash'], parts)


def first_shards(found: Survey) -> list[int]:
  """The first shard of each part, and the number of all shards."""
  return list(itertools.accumulate((p.shards for p in found.parts), initial=0))


def write_counts(
  cache: PathLike, name: str, number: int, counts: Counts
) -> None:
  """Says that a part is done."""
  text = json.dumps(dataclasses.asdict(counts), indent=1)
  write_text(_part_file(cache, name, number), f'{text}\n')


def read_counts(cache: PathLike, name: str, number: int) -> Counts | None:
  """What a part gave; None where it is not done."""
  path = _part_file(cache, name, number)
  if not path.is_file():
    return None
  return Counts(**json.loads(path.read_text('utf-8')))


def complete(
  cache: PathLike,
  name: str,
  task: str,
  *,
  info: Mapping[str, Any],
  stats: Mapping[str, Any],
) -> None:
  """Makes a task whose shards are all written one that seqio reads.

  Args:
    cache: the folder.
    name: of the mixture.
    task: one of `corpusbrain_tokens.TASKS`.
    info: number of shards, shapes and types, as seqio wants them.
    stats: examples and tokens, likewise.
  """
  folder = task_folder(cache, name, task)
  for file, fields in (('info', info), ('stats', stats)):
    text = json.dumps(fields, indent=2, sort_keys=True)
    write_text(folder / f'{file}.{SPLIT}.json', f'{text}\n')
  write_text(folder / COMPLETED, '')


def _part_file(cache: PathLike, name: str, number: int) -> pathlib.Path:
  return work_folder(cache, name) / f'part-{number:05d}.json'


def _different(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
  return ', '.join(
    key
    for key in sorted({*found, *wanted})
    if found.get(key) != wanted.get(key)
  )
