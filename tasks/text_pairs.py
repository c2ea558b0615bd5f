# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks with text on both sides, over any BEIR folder.

| inputs     | inputs -> targets         | trains                                |
|------------|---------------------------|---------------------------------------|
| `document` | document -> its query     | a doc-to-query model (docT5query), which `genret generate-queries` reads |
| `query`    | query -> its document     | a dual encoder, by `objectives.InBatchSoftmax` |

A pair is a query and a document judged relevant to it; the splits are those of
qrels/. A document is its title and its text. In an experiment file the task is
named by the call that registers it:

    MIXTURE_OR_TASK_NAME = @text_pairs.task()
    text_pairs.task:
      name = 'dual_encoder_squadshifts'
      inputs = 'query'
      corpus = %CORPUS
      vocabulary = %DOCIDS
"""

import functools
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import seqio
import tensorflow as tf

from genret import features
from genret import vocabulary as vocabulary_lib
from genret.tasks import beir_folder, retrieval

# The split whose pairs are trained on.
TRAIN = 'train'

# What each registered name stands for, so that registering again is free.
_REGISTERED: dict[str, tuple[Any, ...]] = {}


def task(
  *,
  name: str,
  inputs: str,
  corpus: str | os.PathLike[str],
  vocabulary: str | os.PathLike[str],
  query_prefix: str = '',
  passage_prefix: str = '',
  withheld: Collection[str] = (),
  data_dir: str | os.PathLike[str] | None = None,
) -> str:
  """Registers a task and returns its name.

  Registering the same again does nothing; other arguments, another vocabulary or
  another corpus under a known name replace it.

  Args:
    name: of the task; letters, digits and underscores.
    inputs: 'document' or 'query', which side a model reads first.
    corpus: a BEIR folder.
    vocabulary: a folder of `genret index`, or a spiece.model.
    query_prefix: put before queries that are inputs.
    passage_prefix: put before documents.
    withheld: ids of documents whose pairs are kept out of training.
    data_dir: where the TFDS copy of the corpus is kept; beside the vocabulary
      where None.

  Raises:
    ValueError: for other inputs, a corpus without pairs to train on, or a
      vocabulary that is none.
  """
  model = vocabulary_lib.model_file(vocabulary)
  vocabulary_lib.load_vocabulary(model)
  prepared = beir_folder.prepare(corpus, data_dir or model.parent / 'tfds')
  signature = (
    (str(prepared), str(model), vocabulary_lib.vocabulary_hash(model)),
    (inputs, query_prefix, passage_prefix, tuple(sorted(withheld))),
  )
  if _REGISTERED.get(name) == signature:
    return name
  features.check_inputs(inputs)
  source = _Pairs(prepared, withheld)
  if not (prepared / 'beir_folder' / beir_folder.PAIRS).is_dir() or (
    TRAIN not in source.splits
  ):
    raise ValueError(
      f'Expected judged pairs to train on, {corpus} has none in '
      f'qrels/{TRAIN}.tsv; add some.'
    )
  pieces = retrieval.input_vocabulary(model)
  seqio.TaskRegistry.remove(name)
  seqio.TaskRegistry.add(
    name,
    source=source,
    preprocessors=[
      functools.partial(
        features.text_pair_examples,
        inputs=inputs,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
      ),
      seqio.preprocessors.tokenize,
      seqio.CacheDatasetPlaceholder(),
      seqio.preprocessors.append_eos_after_trim,
    ],
    output_features={
      side: seqio.Feature(pieces, add_eos=True)
      for side in ('inputs', 'targets')
    },
    metric_fns=[],
  )
  _REGISTERED[name] = signature
  return name


class _Pairs(seqio.TfdsDataSource):
  """Pairs of a folder, those of withheld documents left out of training."""

  def __init__(self, prepared: Path, withheld: Collection[str]):
    self._withheld = sorted(withheld)
    super().__init__(
      tfds_name=f'beir_folder/{beir_folder.PAIRS}:{beir_folder.VERSION}',
      tfds_data_dir=str(prepared),
      read_only=True,
    )

  def get_dataset(
    self, split: str = TRAIN, *arguments: Any, **options: Any
  ) -> tf.data.Dataset:
    """As seqio has it."""
    dataset = super().get_dataset(split, *arguments, **options)
    if split != TRAIN or not self._withheld:
      return dataset
    table = tf.lookup.StaticHashTable(
      tf.lookup.KeyValueTensorInitializer(
        tf.constant(self._withheld), tf.ones(len(self._withheld), tf.int32)
      ),
      default_value=0,
    )
    return dataset.filter(lambda pair: table.lookup(pair[features.DOC_ID]) < 1)
