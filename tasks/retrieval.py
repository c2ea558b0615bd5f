# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The tasks of a retriever over any BEIR folder, and their mixture.

| task               | inputs -> targets                        | splits          |
|--------------------|------------------------------------------|-----------------|
| `<name>_retrieval` | query -> identifier                      | those of qrels/ |
| `<name>_generated` | pseudo-query of a document -> identifier | train           |
| `<name>_first`     | first tokens of a document -> identifier | train           |
| `<name>_set`       | its words, once each, no stop words -> identifier | train |
| `<name>_chunks`    | random window of a document -> identifier | train           |
| `<name>_keywords`  | salient words of a document -> identifier | train           |
| `<name>_passages`  | rehearsed passages of a document -> identifier | train      |
| `<name>_sentences` | rehearsed sentences of a document -> identifier | train     |
| `<name>`           | the mixture of those with a rate above 0 | train           |

In an experiment file the mixture is named by the call that registers it, so
that one gin file serves any corpus, under the embedded trainer and under T5X:

    MIXTURE_OR_TASK_NAME = @retrieval.mixture()
    retrieval.mixture:
      name = 'squadshifts_wiki'
      corpus = %CORPUS
      docids = %DOCIDS
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from genret import embeddings, features, identifiers, text_files
from genret import rehearsal as rehearsal_lib
from genret import vocabulary as vocabulary_lib
from genret.baselines.bm25 import ENGLISH_STOP_WORDS
from genret.corpus import documents_hash, load_collection, read_documents
from genret.docids.table import DocidTable
from genret.pseudo_queries import read_pseudo_queries
from genret.tasks import beir_folder

# What each registered name stands for, so that registering again is free.
_REGISTERED: dict[str, tuple[Any, ...]] = {}


def mixture(
  *,
  name: str,
  corpus: str | os.PathLike[str],
  docids: str | os.PathLike[str],
  rates: Mapping[str, float] | None = None,
  query_prefix: str = '',
  passage_prefix: str = '',
  pseudo_queries: str | os.PathLike[str] | None = None,
  rehearsal: str = 'summary',
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  first_length: int = 64,
  chunk_lengths: Sequence[int] = (64, 64),
  keyword_lengths: Sequence[int] = (4, 24),
) -> str:
  """Registers the tasks and their mixture, and returns the mixture's name.

  Registering the same again does nothing; other arguments or other identifiers
  under a known name replace it.

  Args:
    name: of the mixture; letters, digits and underscores.
    corpus: a BEIR folder.
    docids: a folder that `genret index docids` wrote for this corpus. The TFDS
      copy of the corpus is kept in it too.
    rates: mixing rates of the tasks, by their names without `<name>_`; examples
      come in proportion to them, absent means 0. Default: retrieval and chunks
      alike. DSI's best is 32 examples of a document for one of retrieval.
    query_prefix: put before queries, generated ones too.
    passage_prefix: put before documents and parts of them; 'first', 'chunks' and
      'keywords' count their own tokens alone.
    pseudo_queries: for 'generated', as `genret index fm` takes them: a file, or
      the name of a split.
    rehearsal: which 'passages' and 'sentences': one of `rehearsal.CHOICES`.
    unseen_share: keep the training pairs of so many documents out of
      'retrieval' (`genret.unseen`), and out of 'generated' where that is a split;
      all else of them is trained on.
    unseen_seed: which ones.
    first_length: of 'first', in tokens.
    chunk_lengths: shortest and longest window, in tokens.
    keyword_lengths: fewest and most salient words, in tokens.

  Raises:
    ValueError: for an unknown rate, identifiers of another corpus or beside
      another vocabulary, or that know the queries of unseen documents, no rate
      above 0, or 'generated' without pseudo-queries (or these without it).
  """
  rates = dict(rates or {'retrieval': 1.0, 'chunks': 1.0})
  table = DocidTable.load(docids)
  signature = (
    (str(corpus), str(docids)),
    table.hash,
    tuple(sorted(rates.items())),
    (query_prefix, passage_prefix),
    text_files.file_state(pseudo_queries),
    (rehearsal, unseen_share, unseen_seed),
    (first_length, tuple(chunk_lengths), tuple(keyword_lengths)),
  )
  if _REGISTERED.get(name) == signature:
    return name
  vocabulary_lib.load_vocabulary(docids, table.meta)
  _check_corpus(table, corpus)
  beir_folder.check_withheld(docids, unseen_share, unseen_seed)
  add = functools.partial(
    add_task,
    output_features={
      'inputs': seqio.Feature(input_vocabulary(docids), add_eos=True),
      'targets': seqio.Feature(output_vocabulary(docids), add_eos=True),
    },
  )
  prepared = beir_folder.prepare(corpus, Path(docids) / 'tfds')
  # Put before what is kept of a document, which may be another part each time.
  prefix = vocabulary_lib.load_vocabulary(docids).encode(passage_prefix)

  def documents(task: str, *, text: Any = None, augment: Any = None) -> None:
    """Adds a task from documents; `text` changes texts, `augment` tokens."""
    add(
      task,
      source=beir_folder.prepared_source(
        prepared, beir_folder.DOCUMENTS, splits={'train': 'corpus'}
      ),
      examples=_chained(
        functools.partial(features.indexing_examples, table=table), text
      ),
      augment=_chained(
        augment, functools.partial(features.prepend_tokens, tokens=prefix)
      ),
    )

  tasks: dict[str, Callable[[str], None]] = {
    'retrieval': lambda task: add(
      task,
      source=beir_folder.pairs_source(
        prepared, corpus, unseen_share=unseen_share, unseen_seed=unseen_seed
      ),
      examples=functools.partial(
        features.retrieval_examples, table=table, prefix=query_prefix
      ),
    ),
    'generated': lambda task: add(
      task,
      source=_generated_source(
        corpus,
        pseudo_queries,
        unseen_share=unseen_share,
        unseen_seed=unseen_seed,
      ),
      examples=functools.partial(
        features.retrieval_examples, table=table, prefix=query_prefix
      ),
    ),
    **{
      kind: functools.partial(
        lambda task, kind: add(
          task,
          source=beir_folder.rehearsal_source(
            prepared, corpus, kind, rehearsal
          ),
          examples=functools.partial(
            features.retrieval_examples, table=table, prefix=passage_prefix
          ),
        ),
        kind=kind,
      )
      for kind in rehearsal_lib.KINDS
    },
    'first': lambda task: documents(
      task,
      augment=functools.partial(features.first_tokens, length=first_length),
    ),
    'set': lambda task: documents(
      task,
      text=functools.partial(features.word_set, stop_words=ENGLISH_STOP_WORDS),
    ),
    'chunks': lambda task: documents(
      task,
      augment=functools.partial(
        features.random_chunk,
        min_length=chunk_lengths[0],
        max_length=chunk_lengths[1],
      ),
    ),
    'keywords': lambda task: documents(
      task,
      augment=functools.partial(
        features.salient_tokens,
        weight_V=_salience(docids),
        min_length=keyword_lengths[0],
        max_length=keyword_lengths[1],
      ),
    ),
  }
  unknown = sorted(set(rates) - set(tasks))
  if unknown or not any(rate > 0 for rate in rates.values()):
    raise ValueError(
      f'Expected rates above 0 for some of {", ".join(tasks)}, got {rates}; '
      'name the tasks to mix.'
    )
  used = {task: rate for task, rate in rates.items() if rate > 0}
  if ('generated' in used) != (pseudo_queries is not None):
    raise ValueError(
      "Expected a rate for 'generated' and pseudo_queries together, got rates "
      f'{rates} and pseudo_queries {pseudo_queries}; give both or neither.'
    )
  for task in used:
    tasks[task](f'{name}_{task}')
  seqio.MixtureRegistry.remove(name)
  seqio.MixtureRegistry.add(
    name, [(f'{name}_{task}', rate) for task, rate in used.items()]
  )
  _REGISTERED[name] = signature
  return name


def identifier_accuracy(
  targets: Sequence[Sequence[int]], predictions: Sequence[Sequence[int]]
) -> dict[str, float]:
  """seqio metric: share of queries whose best beam is the target identifier.

  Args:
    targets: identifiers, without end-of-sequence.
    predictions: decoded identifiers; what follows an end-of-sequence and
      padding is ignored.
  """
  right = [
    list(target) == _trim(prediction)
    for target, prediction in zip(targets, predictions, strict=True)
  ]
  return {'Success@1': float(np.mean(right)) if right else 0.0}


def input_vocabulary(docids: str | os.PathLike[str]) -> seqio.Vocabulary:
  """The text pieces in a folder of identifiers, or those of a spiece.model."""
  return seqio.SentencePieceVocabulary(
    str(vocabulary_lib.model_file(docids)), extra_ids=0
  )


def output_vocabulary(docids: str | os.PathLike[str]) -> seqio.Vocabulary:
  """The tokens of a folder of identifiers, as they are; of n-grams, the text's."""
  if identifiers.are_ngrams(docids):
    return input_vocabulary(docids)
  return seqio.PassThroughVocabulary(
    identifiers.vocab_size(docids), vocabulary_lib.EOS_ID
  )


def _trim(tokens: Sequence[int]) -> list[int]:
  """An identifier as the table has it: without eos and padding."""
  tokens = list(tokens)
  if vocabulary_lib.EOS_ID in tokens:
    tokens = tokens[: tokens.index(vocabulary_lib.EOS_ID)]
  return [int(token) for token in tokens if token != vocabulary_lib.PAD_ID]


def add_task(
  name: str,
  *,
  output_features: Mapping[str, seqio.Feature],
  source: seqio.DataSource,
  examples: Any = None,
  augment: Any = None,
) -> None:
  """Registers one task from a text to an identifier.

  Args:
    name: of the task; another one of that name is replaced.
    output_features: of the inputs and the targets.
    source: of what `examples` reads.
    examples: makes `inputs`, text, and `targets`, int32 tokens; None where the
      source has them.
    augment: what is drawn anew at every pass over the tokenised examples.
  """
  seqio.TaskRegistry.remove(name)
  seqio.TaskRegistry.add(
    name,
    source=source,
    preprocessors=[
      *([] if examples is None else [examples]),
      seqio.preprocessors.tokenize,
      seqio.CacheDatasetPlaceholder(),
      # Behind the cache, so that every pass over the data draws anew.
      *([] if augment is None else [augment]),
      seqio.preprocessors.append_eos_after_trim,
    ],
    output_features=output_features,
    postprocess_fn=lambda tokens, is_target, **_: (
      _trim(tokens) if is_target else tokens
    ),
    metric_fns=[identifier_accuracy],
  )


def _generated_source(
  corpus: str | os.PathLike[str],
  pseudo_queries: str | os.PathLike[str] | None,
  *,
  unseen_share: float,
  unseen_seed: int,
) -> seqio.DataSource:
  """Pairs of pseudo-queries and their documents."""
  queries_of = read_pseudo_queries(
    pseudo_queries,
    load_collection(corpus),
    unseen_share=unseen_share,
    unseen_seed=unseen_seed,
  )
  pairs = [(q, doc_id) for doc_id, of in queries_of.items() for q in of]
  if not pairs:
    raise ValueError(
      f'Expected pseudo-queries in {pseudo_queries}, found none; generate some.'
    )
  return _memory_source(pairs)


def _memory_source(pairs: Sequence[tuple[str, str]]) -> seqio.DataSource:
  """Texts and the ids of their documents.

  In an order that is random but the same every time, since seqio shuffles only
  within a window.
  """
  order = np.random.default_rng(0).permutation(len(pairs))
  columns = {
    'query': [pairs[i][0] for i in order],
    features.DOC_ID: [pairs[i][1] for i in order],
    features.QUERY_ID: [''] * len(pairs),
  }

  def read(
    split: str, shuffle_files: bool = False, seed: int | None = None
  ) -> tf.data.Dataset:
    del split, shuffle_files, seed
    return tf.data.Dataset.from_tensor_slices(columns)

  return seqio.FunctionDataSource(
    read, splits=['train'], num_input_examples={'train': len(pairs)}
  )


def _chained(*steps: Any) -> Any:
  """Preprocessors as one; those that are None are left out."""
  wanted = [step for step in steps if step is not None]
  return lambda dataset: functools.reduce(
    lambda found, step: step(found), wanted, dataset
  )


def _check_corpus(table: DocidTable, corpus: str | os.PathLike[str]) -> None:
  expected = table.meta.get('corpus_hash')
  found = documents_hash(list(read_documents(corpus)))
  if expected is not None and expected != found:
    raise ValueError(
      f'Expected the corpus that the identifiers name (hash '
      f'{expected[:12]}), {corpus} has hash {found[:12]}; run `genret index '
      'docids` on it.'
    )


def _salience(docids: str | os.PathLike[str]) -> np.ndarray:
  """Weights of the text pieces: squared inverse document frequencies."""
  return embeddings.load(docids).idf_V ** 2
