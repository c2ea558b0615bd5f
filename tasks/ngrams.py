# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The tasks of an n-gram retriever over any BEIR folder, and their mixture.

| task                  | examples from                  | splits          |
|-----------------------|--------------------------------|-----------------|
| `<name>_supervised`   | queries and relevant documents | those of qrels/ |
| `<name>_unsupervised` | documents alone                | train           |
| `<name>`              | both, by rate                  | train           |

Which examples those are stands in `genret.ngram_examples`; in an experiment file
every number of it can be bound:

    MIXTURE_OR_TASK_NAME = @ngrams.mixture()
    ngrams.mixture:
      name = 'squadshifts_wiki'
      corpus = %CORPUS
      index = %DOCIDS
      supervised = @ngram_examples.Supervised()
    ngram_examples.Supervised.spans = 5

What `genret examples` wrote takes the place of the corpus with `examples`: for
corpora that should not be held in memory by each process that trains, and where
examples are wanted faster than one process writes them.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import seqio
import tensorflow as tf

from genret import (
  ngram_example_files,
  ngram_examples,
  ngram_features,
  ngram_index,
  text_files,
  views,
)
from genret import vocabulary as vocabulary_lib
from genret.corpus import Collection, load_collection
from genret.ngram_examples import Supervised, Unsupervised
from genret.pseudo_queries import read_pseudo_queries
from genret.tasks import beir_folder

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class _Part:
  """What one task reads, and how that becomes examples."""

  source: seqio.DataSource
  examples: Any
  count: int  # examples of the split train


# What each registered name stands for, so that registering again is free.
_REGISTERED: dict[str, tuple[Any, ...]] = {}


def mixture(
  *,
  name: str,
  index: PathLike,
  corpus: PathLike | None = None,
  examples: PathLike | None = None,
  supervised: Supervised | None = None,
  unsupervised: Unsupervised | None = None,
  pseudo_queries: PathLike | None = None,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  rates: Mapping[str, float] | None = None,
  use_markers: bool = True,
  use_grades: bool = True,
  shuffle_buffer: int = 20_000,
  seed: int = 0,
) -> str:
  """Registers the tasks and their mixture, and returns the mixture's name.

  Registering the same again does nothing; other arguments or another index
  under a known name replace it.

  Args:
    name: of the mixture; letters, digits and underscores.
    index: a folder that `genret index fm` wrote for this corpus. The TFDS copy
      of the corpus is kept in it too.
    corpus: a BEIR folder.
    examples: in its place, a folder that `genret examples` wrote; the options
      of examples and their pseudo-queries and seed are then those of the folder.
    supervised: how many examples a pair gives, and which.
    unsupervised: how many examples a document gives, and which.
    pseudo_queries: those of the documents, as `genret index fm` takes them: a
      file, or the name of a split.
    unseen_share: keep the training pairs of so many documents out
      (`genret.unseen`), and the pseudo-queries that are those of a split.
    unseen_seed: which ones.
    rates: mixing rates of 'supervised' and 'unsupervised'; examples come in
      proportion to them, absent means 0. Default: in proportion to how many
      there are, as when SEAL appends one file to the other.
    use_markers: say in the inputs which view is wanted.
    use_grades: say in the inputs how sure the example is.
    shuffle_buffer: examples that are shuffled at a time. Those of one document
      follow each other, so it should hold those of many.
    seed: of the draws.

  Raises:
    ValueError: for an unknown rate, an index of another corpus or beside
      another vocabulary, or one that knows the queries of unseen documents;
      for nothing to train on, or written examples of the queries of unseen
      documents.
  """
  meta = ngram_index.load_meta(index)
  signature = (
    (str(index), str(corpus), str(examples)),
    meta['hash'],
    tuple(o and dataclasses.astuple(o) for o in (supervised, unsupervised)),
    text_files.file_state(pseudo_queries),
    examples and text_files.file_state(Path(examples) / 'examples.json'),
    tuple(sorted((rates or {}).items())),
    (use_markers, use_grades, shuffle_buffer, seed),
    (unseen_share, unseen_seed),
  )
  if _REGISTERED.get(name) == signature:
    return name
  vocabulary_lib.load_vocabulary(index, meta)
  beir_folder.check_withheld(index, unseen_share, unseen_seed)
  if corpus is not None and examples is None:
    parts = _corpus_parts(
      corpus,
      index,
      meta,
      options=(
        supervised or ngram_examples.SUPERVISED,
        unsupervised or ngram_examples.UNSUPERVISED,
      ),
      pseudo_queries=pseudo_queries,
      withheld={'unseen_share': unseen_share, 'unseen_seed': unseen_seed},
      seed=seed,
    )
  elif examples is not None and corpus is None:
    if (supervised, unsupervised, pseudo_queries) != (None, None, None):
      raise ValueError(
        'Expected the options of examples beside a corpus, got them beside '
        f'written examples; write {examples} with these options.'
      )
    parts = _written_parts(examples, meta, unseen_share, unseen_seed)
  else:
    raise ValueError(
      'Expected a corpus, or the examples written from one, got '
      f'{"neither" if corpus is None else "both"}; name one of them.'
    )
  used = _used_rates(rates, parts)
  mark = functools.partial(
    ngram_features.mark,
    marks=views.markers(meta['text_tokens']),
    use_markers=use_markers,
    use_grades=use_grades,
  )
  for task in used:
    _add_task(
      f'{name}_{task}',
      parts[task],
      vocabulary=vocabulary(index),
      mark=mark,
      shuffle_buffer=shuffle_buffer,
    )
  seqio.MixtureRegistry.remove(name)
  seqio.MixtureRegistry.add(
    name, [(f'{name}_{task}', rate) for task, rate in used.items()]
  )
  _REGISTERED[name] = signature
  return name


def vocabulary(index: PathLike) -> seqio.Vocabulary:
  """The text pieces in a folder of an index; the marks are behind them.

  The marks are no pieces, so that no text becomes one; seqio shows them as
  unknown.
  """
  return seqio.SentencePieceVocabulary(
    str(Path(index) / vocabulary_lib.VOCABULARY_FILE), extra_ids=0
  )


def _corpus_parts(
  corpus: PathLike,
  index: PathLike,
  meta: Mapping[str, Any],
  *,
  options: tuple[Supervised, Unsupervised],
  pseudo_queries: PathLike | None,
  withheld: Mapping[str, Any],
  seed: int,
) -> dict[str, _Part]:
  """What the tasks read of a corpus."""
  if pseudo_queries is None and any(o.needs_queries for o in options):
    raise ValueError(
      'Expected pseudo_queries, which these options make examples from, got '
      'none; name a file or a split.'
    )
  collection = load_collection(corpus)
  _check_corpus(meta, collection.hash, corpus)
  queries_of = read_pseudo_queries(pseudo_queries, collection, **withheld)
  # The draws are meant to be the same in each epoch; seqio warns of an argument
  # `seed` before the cache, hence the lambdas.
  data_dir = beir_folder.prepare(corpus, Path(index) / 'tfds')
  parts = {
    'unsupervised': _Part(
      beir_folder.prepared_source(
        data_dir, beir_folder.DOCUMENTS, splits={'train': 'corpus'}
      ),
      lambda dataset: ngram_features.unsupervised(
        dataset, options=options[1], queries_of=queries_of, seed=seed
      ),
      len(collection.documents) * options[1].examples,
    )
  }
  if pairs := _training_pairs(collection, withheld):
    parts['supervised'] = _Part(
      beir_folder.pairs_source(data_dir, corpus, **withheld),
      lambda dataset: ngram_features.supervised(
        dataset, options=options[0], queries_of=queries_of, seed=seed
      ),
      pairs * options[0].examples,
    )
  return parts


def _written_parts(
  folder: PathLike, meta: Mapping[str, Any], share: float, seed: int
) -> dict[str, _Part]:
  """What the tasks read of written examples."""
  settings, _ = ngram_example_files.read_header(folder)
  _check_corpus(meta, settings['corpus_hash'], folder)
  beir_folder.check_share(folder, settings, share, seed, 'genret examples')
  parts = {}
  for kind, files in ngram_example_files.complete_shards(folder).items():
    count = sum(files.values())
    source = seqio.FileDataSource(
      functools.partial(tf.data.TextLineDataset, compression_type='GZIP'),
      {'train': list(files)},
      num_input_examples={'train': count},
    )
    parts[kind] = _Part(source, ngram_features.parse_lines, count)
  return parts


def _add_task(
  name: str,
  part: _Part,
  *,
  vocabulary: seqio.Vocabulary,
  mark: Any,
  shuffle_buffer: int,
) -> None:
  """Registers one task, in place of another of that name."""
  seqio.TaskRegistry.remove(name)
  seqio.TaskRegistry.add(
    name,
    source=part.source,
    preprocessors=[
      part.examples,
      seqio.preprocessors.tokenize,
      seqio.CacheDatasetPlaceholder(),
      mark,
    ],
    output_features={
      feature: seqio.Feature(vocabulary, add_eos=True)
      for feature in ('inputs', 'targets')
    },
    metric_fns=[],
    shuffle_buffer_size=shuffle_buffer,
  )


def _used_rates(
  rates: Mapping[str, float] | None, parts: Mapping[str, _Part]
) -> dict[str, float]:
  """The rates above 0, by task."""
  if rates is None:
    rates = {task: float(part.count) for task, part in parts.items()}
  used = {task: rate for task, rate in rates.items() if rate > 0}
  if not used or not set(rates) <= set(ngram_example_files.KINDS):
    raise ValueError(
      'Expected rates above 0 for some of '
      f'{", ".join(ngram_example_files.KINDS)}, got {dict(rates)}; name the '
      'tasks to mix.'
    )
  for task in used:
    if task not in parts or not parts[task].count:
      raise ValueError(
        f'Expected examples for the task {task}, found none; give it the rate '
        '0, or a corpus with judgements in qrels/train.tsv.'
      )
  return used


def _training_pairs(collection: Collection, withheld: Mapping[str, Any]) -> int:
  if 'train' not in collection.qrels:
    return 0
  of = collection.queries_by_document('train', **withheld)
  return sum(map(len, of.values()))


def _check_corpus(meta: Mapping[str, Any], found: str, where: PathLike) -> None:
  expected = meta['corpus_hash']
  if expected != found:
    raise ValueError(
      f'Expected the corpus that the index holds (hash {expected[:12]}), '
      f'{where} has hash {found[:12]}; run `genret index fm` on it.'
    )
