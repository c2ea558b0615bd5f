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
from typing import Any

import seqio

from genret import features
from genret import vocabulary as vocabulary_lib
from genret.tasks import beir_folder, retrieval

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
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
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
    unseen_share: keep the training pairs of so many documents out
      (`genret.unseen`).
    unseen_seed: which ones.
    data_dir: where the TFDS copy of the corpus is kept; beside the vocabulary
      where None.

  Raises:
    ValueError: for other inputs, a corpus without pairs to train on, a
      vocabulary that is none, or vectors beside it that know the queries of
      unseen documents.
  """
  model = vocabulary_lib.model_file(vocabulary)
  vocabulary_lib.load_vocabulary(model)
  prepared = beir_folder.prepare(corpus, data_dir or model.parent / 'tfds')
  signature = (
    (str(prepared), str(model), vocabulary_lib.vocabulary_hash(model)),
    (inputs, query_prefix, passage_prefix, unseen_share, unseen_seed),
  )
  if _REGISTERED.get(name) == signature:
    return name
  features.check_inputs(inputs)
  beir_folder.check_withheld(vocabulary, unseen_share, unseen_seed)
  source = beir_folder.pairs_source(
    prepared, corpus, unseen_share=unseen_share, unseen_seed=unseen_seed
  )
  if not (prepared / 'beir_folder' / beir_folder.PAIRS).is_dir() or (
    beir_folder.TRAIN not in source.splits
  ):
    raise ValueError(
      f'Expected judged pairs to train on, {corpus} has none in '
      f'qrels/{beir_folder.TRAIN}.tsv; add some.'
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
