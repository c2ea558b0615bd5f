# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The tasks that CorpusBrain is pre-trained on, over a KILT corpus.

| task         | inputs -> targets                                           |
|--------------|-------------------------------------------------------------|
| `<name>_lps` | how a page begins -> its identifier, and some it links to   |
| `<name>_iss` | something from inside a page -> the same                    |
| `<name>_hip` | what stands around a link -> the identifier of its target   |
| `<name>_<style>` | an input like a query of a task of KILT, see `genret.pseudo_inputs` (CorpusBrain++) |
| `<name>`     | the mixture                                                 |

All have the split `train` alone. `genret.corpusbrain` says which examples these are
(Chen et al., CIKM 2022), `genret.corpusbrain_tokens` which tokens; identifiers are
the paper's titles (`genret index docids --scheme title`), or any other.

    MIXTURE_OR_TASK_NAME = @corpusbrain.mixture()
    corpusbrain.mixture:
      name = 'corpusbrain'
      corpus = %CORPUS
      docids = %DOCIDS
      cache = 'examples'
    USE_CACHED_TASKS = True

Without `cache` the examples are made in memory as the first is asked for, a page
after the other. `genret examples corpusbrain` writes them with any number of
processes; `cache` names its folder, and USE_CACHED_TASKS reads it.
"""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from genret import (
  corpusbrain_cache,
  corpusbrain_tokens,
  features,
  kilt_survey,
)
from genret import vocabulary as vocabulary_lib
from genret.corpusbrain import TASKS
from genret.corpusbrain_tokens import TASKS as KNOWN
from genret.corpusbrain_tokens import Maker, Recipe
from genret.docids.table import DocidTable
from genret.tasks import retrieval

TRAIN = corpusbrain_cache.SPLIT

# What each registered name stands for, so that registering again is free.
_REGISTERED: dict[str, Any] = {}


def mixture(
  *,
  name: str,
  corpus: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
  docids: str | os.PathLike[str],
  cache: str | os.PathLike[str] | None = None,
  rates: Mapping[str, float] | None = None,
  reading: str = 'paper',
  options: Mapping[str, Any] | None = None,
  multi_title: bool = True,
  withhold: Sequence[str | os.PathLike[str]] = (),
  drop: Sequence[str] = ('text',),
  queries: str | os.PathLike[str] | None = None,
  query_splits: Sequence[str] = (),
  seed: int = 0,
  relations: Sequence[str | os.PathLike[str]] = (),
  only: Sequence[str | os.PathLike[str]] | None = None,
) -> str:
  """Registers the tasks and their mixture, and returns the mixture's name.

  Registering the same again does nothing; other arguments or other identifiers
  under a known name replace it.

  Args:
    name: of the mixture; letters, digits and underscores.
    corpus: a KILT folder, a file of pages, or several that are the corpus
      together. With `cache` it is not read.
    docids: a folder that `genret index docids` wrote for this corpus.
    cache: a folder that `genret examples corpusbrain` wrote with the same name,
      identifiers and options; it joins the folders where seqio looks for tasks.
    rates: mixing rates of 'lps', 'iss', 'hip' and of styles; examples come in
      proportion to them, absent means 0. Default: the first three, in proportion
      to how many there are, as when all go to one file.
    reading: which examples, 'paper' or 'released'.
    options: changes to the reading: fields of `genret.corpusbrain.Options`.
    multi_title: whether targets keep the titles that are listed behind the
      page's own; a trie of single identifiers does not accept them.
    withhold: task files of KILT. Examples whose source shares a character with
      their evidence are left out.
    drop: 'text', as said; 'page': those with a title of a page of the evidence
      in the target; none: only counted, as nothing is left out.
    queries: a folder of queries, or a file; examples whose source has a long
      run of words of one are left out (`genret.withheld_queries`).
    query_splits: of the folder.
    seed: of the draws.
    relations: with the style 'slot_filling': task files of slot filling, whose
      relations it asks for.
    only: files of page ids, one a line: pages of a session, and old ones to learn
      again. No other pages of the corpus give examples.

  Raises:
    ValueError: for rates that are no tasks or not above 0, options that cannot
      be, and examples in the cache that were made of something else; when they
      are made, also as `corpusbrain_tokens.Maker`.
    FileNotFoundError: for a cache that is not there or not complete.
  """
  if rates is not None and (
    not set(rates) <= set(KNOWN) or not any(rate > 0 for rate in rates.values())
  ):
    raise ValueError(
      f'Expected rates above 0 for some of {", ".join(KNOWN)}, got '
      f'{dict(rates)}; name the tasks to mix.'
    )
  used: dict[str, Any] = {
    task: rate for task, rate in (rates or {}).items() if rate > 0
  } or dict.fromkeys(TASKS, seqio.mixing_rate_num_examples)
  paths = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
  files = tuple(str(path) for path in paths)
  recipe = Recipe(
    reading=reading,
    options=dict(options or {}),
    tasks=tuple(used),
    multi_title=multi_title,
    withhold=tuple(str(file) for file in withhold),
    drop=tuple(drop),
    queries=None if queries is None else str(queries),
    query_splits=tuple(query_splits),
    seed=seed,
    relations=tuple(str(file) for file in relations),
    only=None if only is None else tuple(str(file) for file in only),
  )
  table = DocidTable.load(docids)
  identity = recipe.identity(table)
  signature = (files, str(docids), str(cache), used, identity)
  if _REGISTERED.get(name) == signature:
    return name
  vocabulary_lib.load_vocabulary(docids, table.meta)
  if cache is not None:
    for task in used:
      corpusbrain_cache.check(cache, name, task, identity)
    seqio.add_global_cache_dirs([str(cache)])
  examples = _Examples(files, str(docids), recipe)
  for task in used:
    seqio.TaskRegistry.remove(f'{name}_{task}')
    seqio.TaskRegistry.add(
      f'{name}_{task}',
      source=_Source(examples, task),
      preprocessors=[
        seqio.CacheDatasetPlaceholder(),
        seqio.preprocessors.append_eos_after_trim,
      ],
      output_features=output_features(docids),
      metric_fns=[],
    )
  seqio.MixtureRegistry.remove(name)
  seqio.MixtureRegistry.add(
    name, [(f'{name}_{task}', rate) for task, rate in used.items()]
  )
  _REGISTERED[name] = signature
  return name


def output_features(
  docids: str | os.PathLike[str],
) -> dict[str, seqio.Feature]:
  """Inputs in the text pieces, targets in the identifiers, of a folder."""
  return {
    'inputs': seqio.Feature(retrieval.input_vocabulary(docids), add_eos=True),
    'targets': seqio.Feature(retrieval.output_vocabulary(docids), add_eos=True),
  }


class _Column(NamedTuple):
  """The examples of a task: tokens without end, and where each begins."""

  inputs_X: np.ndarray
  inputs_start_N1: np.ndarray
  targets_Y: np.ndarray
  targets_start_N1: np.ndarray
  page_ids: list[str]


class _Examples:
  """What all tasks read, made once."""

  def __init__(self, files: Sequence[str], docids: str, recipe: Recipe):
    self._files, self._docids, self._recipe = files, docids, recipe

  @functools.cached_property
  def columns(self) -> dict[str, _Column]:
    """The examples by task."""
    found = kilt_survey.survey(self._files)
    corpusbrain_tokens.check_corpus(found, self._docids)
    maker = Maker(self._recipe, self._docids, found.titles)
    rows: dict[str, tuple[list, list, list]] = {
      task: ([], [], []) for task in self._recipe.tasks
    }
    for part in found.parts:
      for page in kilt_survey.read_part(part):
        for example, inputs, targets in maker.rows(page):
          of = rows[example.task]
          of[0].append(np.array(inputs, np.int32))
          of[1].append(np.array(targets, np.int32))
          of[2].append(example.page_id)
    for task, (inputs, _, _) in rows.items():
      if not inputs:
        raise ValueError(corpusbrain_cache.none_of(task))
    return {
      task: _Column(*_joined(inputs), *_joined(targets), page_ids)
      for task, (inputs, targets, page_ids) in rows.items()
    }


def _joined(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  starts = np.cumsum([0, *(len(row) for row in rows)])
  return np.concatenate(rows), starts


class _Source(seqio.DataSource):
  """The examples of a task, made when they are asked for.

  In an order that is random but the same every time, since seqio shuffles only
  within a window.
  """

  def __init__(self, examples: _Examples, task: str):
    self._examples, self._task = examples, task
    super().__init__(splits=[TRAIN])

  @property
  def supports_arbitrary_sharding(self) -> bool:
    """Whether parts of it can be read alone: no, all are made at once."""
    return False

  def list_shards(self, split: str) -> Sequence[str]:
    """The names of its shards, one."""
    return [split]

  def num_input_examples(self, split: str) -> int:
    """How many there are."""
    return len(self._examples.columns[self._task].page_ids)

  def get_dataset(
    self,
    split: str = TRAIN,
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
    *,
    sequence_length: Mapping[str, int] | None = None,
    use_cached: bool = False,
    num_epochs: int | None = 1,
  ) -> tf.data.Dataset:
    """As seqio has it."""
    # Of one shard, seqio cuts out what each of several readers gets.
    del (
      split,
      shuffle,
      seed,
      shard_info,
      sequence_length,
      use_cached,
      num_epochs,
    )
    tokens = tf.TensorSpec([None], tf.int32)
    return tf.data.Dataset.from_generator(
      self._rows,
      output_signature={
        'inputs': tokens,
        'targets': tokens,
        features.DOC_ID: tf.TensorSpec([], tf.string),
      },
    )

  def _rows(self) -> Iterator[dict[str, Any]]:
    of = self._examples.columns[self._task]
    for n in np.random.default_rng(0).permutation(len(of.page_ids)).tolist():
      inputs, targets = of.inputs_start_N1[n:], of.targets_start_N1[n:]
      yield {
        'inputs': of.inputs_X[inputs[0] : inputs[1]],
        'targets': of.targets_Y[targets[0] : targets[1]],
        features.DOC_ID: of.page_ids[n],
      }
