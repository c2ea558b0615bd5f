# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes CorpusBrain's examples as tasks that seqio reads from its cache.

The pages are read twice: first by one process, for their titles and their hash, then
part by part, by any number. A part writes shards of its own for each task, so that
nothing is held in memory but what all pages share and a buffer of each task; the
files do not depend on who works on which part. `corpusbrain_cache` has the folder.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import seqio
import tensorflow as tf
from tqdm import tqdm

from genret import corpusbrain_cache as cache_lib
from genret import corpusbrain_tokens, features, kilt_survey, text_files
from genret.corpusbrain_cache import Counts
from genret.corpusbrain_tokens import Maker, Recipe
from genret.docids.table import DocidTable
from genret.kilt_survey import Survey
from genret.text_files import PathLike

# Examples of a task that are mixed at a time: those of one page follow each other.
_BUFFER = 8192

# Works on parts, by their numbers: (cache, name, numbers).
Run = Callable[[str, str, Sequence[int]], object]


class Summary(NamedTuple):
  """What is in a folder.

  Attributes:
    counts: of all pages.
    pages: that were read now, rather than in an earlier run.
    survey_seconds: that the first reading took; 0 where it was done before.
    seconds: that the parts took, by the clock.
    short_queries, missing_evidence: see `corpusbrain_tokens.Maker`.
  """

  counts: Counts
  pages: int
  survey_seconds: float
  seconds: float
  short_queries: int
  missing_evidence: int


class Job(NamedTuple):
  """What all parts share.

  Attributes:
    survey: the pages.
    maker: makes their rows.
  """

  survey: Survey
  maker: Maker


def write_examples(
  corpus: Sequence[PathLike],
  docids: PathLike,
  output: PathLike,
  *,
  name: str = 'corpusbrain',
  recipe: Recipe | None = None,
  shards: int = 64,
  run: Run | None = None,
  progress: bool = False,
) -> Summary:
  """Writes the tasks of a corpus, or what is missing of them.

  Args:
    corpus: KILT folders or files of pages that are the corpus together.
    docids: a folder that `genret index docids` wrote for it.
    output: the folder, which is to be given to `corpusbrain.mixture.cache`.
    name: of the mixture.
    recipe: which examples; the paper's where None.
    shards: files of each task, about.
    run: works on parts; one after the other in this process where None.
      `corpusbrain_beam.run_parts` takes many.
    progress: show how far it is.

  Raises:
    ValueError: for a name that cannot be, identifiers of another corpus, examples
      of other settings in the folder, and a task without examples.
  """
  recipe = recipe or Recipe()
  if not name.isidentifier():
    raise ValueError(
      f'Expected a name of letters, digits and underscores, got {name!r}; choose '
      'another.'
    )
  if shards < 1:
    raise ValueError(f'Expected at least 1 shard, got {shards}; ask for some.')
  output = str(output)
  files = kilt_survey.page_files(corpus)
  settings = {
    'identity': recipe.identity(DocidTable.load(docids)),
    'recipe': {
      key: list(value) if isinstance(value, tuple) else value
      for key, value in dataclasses.asdict(recipe).items()
    },
    'docids': str(docids),
    'files': [list(text_files.file_state(file)) for file in files],
    'shards': shards,
  }
  start = time.perf_counter()
  found = cache_lib.open_work(output, name, settings)
  surveyed = 0.0
  if found is None:
    with tqdm(desc='titles', unit='page', disable=not progress) as bar:
      found = kilt_survey.survey(
        files, shards=shards, on_pages=lambda _: bar.update()
      )
    corpusbrain_tokens.check_corpus(found, str(docids))
    cache_lib.save_survey(output, name, found)
    surveyed = time.perf_counter() - start
  # What cannot be is found here, not by many processes.
  maker = Maker(recipe, str(docids), found.titles)
  todo = [
    number
    for number in range(len(found.parts))
    if cache_lib.read_counts(output, name, number) is None
  ]
  start = time.perf_counter()
  if todo:
    here = functools.partial(_run_here, job=Job(found, maker))
    with _shown(output, name, todo, len(found.titles), progress):
      (run or here)(output, name, todo)
  seconds = time.perf_counter() - start
  counts = [
    cache_lib.read_counts(output, name, number)
    for number in range(len(found.parts))
  ]
  if None in counts:
    raise ValueError(
      f'Expected {len(counts)} parts in {output}, {counts.count(None)} are not '
      'done; run the same again, it goes on where it was.'
    )
  done = [part for part in counts if part is not None]
  _complete(output, name, recipe, cache_lib.total(done), found)
  return Summary(
    counts=cache_lib.total(done),
    pages=sum(done[number].pages for number in todo),
    survey_seconds=surveyed,
    seconds=seconds,
    short_queries=maker.short_queries,
    missing_evidence=maker.missing_evidence,
  )


def load_job(cache: str, name: str) -> Job:
  """What a process needs that works on parts.

  Args:
    cache: a folder that `write_examples` has begun.
    name: of the mixture.
  """
  settings = cache_lib.read_settings(cache, name)
  if settings is None:
    raise FileNotFoundError(
      f'Expected examples named {name} in {cache}, found none; give all workers '
      'the same folders under the same paths.'
    )
  found = cache_lib.load_survey(cache, name)
  recipe = Recipe(**settings['recipe'])
  return Job(found, Maker(recipe, settings['docids'], found.titles))


def write_part(cache: str, name: str, number: int, job: Job) -> Counts:
  """Writes the shards of a part, each at once and whole, then its counts.

  Args:
    cache: the folder.
    name: of the mixture.
    number: of the part.
    job: what all parts share.
  """
  part, maker, counts = job.survey.parts[number], job.maker.fresh(), Counts()
  firsts = cache_lib.first_shards(job.survey)
  names = [
    cache_lib.shard_name(shard, firsts[-1])
    for shard in range(firsts[number], firsts[number + 1])
  ]
  start = time.process_time()
  with contextlib.ExitStack() as stack:
    writers = {
      task: stack.enter_context(
        _shards(
          cache_lib.task_folder(cache, name, task),
          names,
          random.Random(f'{maker.seed} {number} {task}'),
        )
      )
      for task in maker.tasks
    }
    for page in kilt_survey.read_part(part):
      counts.pages += 1
      for example, inputs, targets in maker.rows(page):
        writers[example.task](_record(inputs, targets, example.page_id))
        counts.count_tokens(f'{example.task} inputs', len(inputs))
        counts.count_tokens(f'{example.task} targets', len(targets))
  counts = dataclasses.replace(
    counts,
    examples=dict(maker.examples),
    skipped=dict(maker.skipped),
    leaks=dict(maker.leaks),
    anchors={str(titles): n for titles, n in sorted(maker.anchors.items())},
    seconds=time.process_time() - start,
  )
  cache_lib.write_counts(cache, name, number, counts)
  return counts


def _run_here(cache: str, name: str, numbers: Sequence[int], job: Job) -> None:
  for number in numbers:
    write_part(cache, name, number, job)


def _record(
  inputs: Sequence[int], targets: Sequence[int], page_id: str
) -> bytes:
  feature = tf.train.Feature
  return tf.train.Example(
    features=tf.train.Features(
      feature={
        'inputs': feature(int64_list=tf.train.Int64List(value=inputs)),
        'targets': feature(int64_list=tf.train.Int64List(value=targets)),
        features.DOC_ID: feature(
          bytes_list=tf.train.BytesList(value=[page_id.encode()])
        ),
      }
    )
  ).SerializeToString(deterministic=True)


@contextlib.contextmanager
def _shards(
  folder: pathlib.Path, names: Sequence[str], rng: random.Random
) -> Iterator[Callable[[bytes], None]]:
  """Gives a function that writes a record to one of some files, after a while.

  Records are mixed within a buffer and spread over the files. The files appear
  under their names at the end, unless there was an error.
  """
  folder.mkdir(parents=True, exist_ok=True)
  # Another worker may write the same part, where one was thought to be lost.
  attempt = uuid.uuid4().hex
  temporary = [folder / f'.{name}.{attempt}' for name in names]
  waiting: list[bytes] = []
  with contextlib.ExitStack() as stack:
    for file in temporary:
      stack.callback(file.unlink, missing_ok=True)
    with contextlib.ExitStack() as writing:
      files = [
        writing.enter_context(tf.io.TFRecordWriter(str(file)))
        for file in temporary
      ]

      def write(record: bytes) -> None:
        if len(waiting) < _BUFFER:
          waiting.append(record)
          return
        place = rng.randrange(_BUFFER)
        rng.choice(files).write(waiting[place])
        waiting[place] = record

      yield write
      rng.shuffle(waiting)
      for record in waiting:
        rng.choice(files).write(record)
    for file, name in zip(temporary, names, strict=True):
      os.replace(file, folder / name)


@contextlib.contextmanager
def _shown(
  cache: str, name: str, todo: Sequence[int], pages: int, progress: bool
) -> Iterator[None]:
  """A bar of pages, by the parts that are done, whoever works on them."""
  if not progress:
    yield
    return
  stop = threading.Event()
  with tqdm(total=pages, desc='examples', unit='page') as bar:

    def watch() -> None:
      left = list(todo)
      # Those of an earlier run, in the end.
      while left:
        ended = stop.wait(0.5)
        for number in list(left):
          if (done := cache_lib.read_counts(cache, name, number)) is not None:
            bar.update(done.pages)
            left.remove(number)
        if ended:
          return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
      yield
    finally:
      stop.set()
      watching.join()


def _complete(
  cache: str, name: str, recipe: Recipe, counts: Counts, found: Survey
) -> None:
  """Makes what is written loadable."""
  for task in recipe.tasks:
    if not counts.examples.get(task):
      raise ValueError(cache_lib.none_of(task))
  sequence = {'shape': [None], 'dtype': 'int32'}
  info: dict[str, Any] = {
    'num_shards': cache_lib.first_shards(found)[-1],
    'features': {
      'inputs': sequence,
      'targets': sequence,
      features.DOC_ID: {'shape': [], 'dtype': 'string'},
    },
    'seqio_version': seqio.__version__,
  }
  for task in recipe.tasks:
    stats = {'examples': counts.examples[task]}
    for side in ('inputs', 'targets'):
      stats[f'{side}_tokens'] = counts.tokens[f'{task} {side}']
      stats[f'{side}_max_tokens'] = counts.most_tokens[f'{task} {side}']
    cache_lib.complete(cache, name, task, info=info, stats=stats)
