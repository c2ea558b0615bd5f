# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Training examples: seqio preprocessors from collections to (text, docid).

Two tasks make a retriever (DSI, Tay et al., NeurIPS 2022): *retrieval*, from
a query to the identifier of a relevant document, and *indexing*, from a
document's text to its own identifier. What stands for the document's text is
the choice that matters most; the preprocessors below offer the published ones.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from genret.docids.table import DocidTable

# The parts of an example on its way: what a collection gives, what a task
# gives. Named here because sources and preprocessors meet by these names.
DOC_ID = 'doc_id'
QUERY_ID = 'query_id'


def retrieval_examples(
  dataset: tf.data.Dataset, table: DocidTable, *, prefix: str = ''
) -> tf.data.Dataset:
  """Maps {query, query_id, doc_id} to {inputs, targets, query_id, doc_id}.

  Args:
    dataset: pairs of a query and a relevant document.
    table: the identifiers; `targets` is the int32 row of the document.
    prefix: put before the query, such as DSI's 'Question: '.

  Raises:
    ValueError: at iteration, for a document that the table does not name.
  """
  row_of = _row_lookup(table)
  return dataset.map(
    lambda example: {
      'inputs': tf.strings.join([prefix, example['query']]),
      'targets': row_of(example[DOC_ID]),
      QUERY_ID: example[QUERY_ID],
      DOC_ID: example[DOC_ID],
    },
    num_parallel_calls=tf.data.AUTOTUNE,
  )


def indexing_examples(
  dataset: tf.data.Dataset, table: DocidTable, *, prefix: str = ''
) -> tf.data.Dataset:
  """Maps {doc_id, title, text} to {inputs, targets, doc_id}.

  Args:
    dataset: documents.
    table: the identifiers; `targets` is the int32 row of the document.
    prefix: put before the title and the text, such as DSI's 'Passage: '.
  """
  row_of = _row_lookup(table)
  return dataset.map(
    lambda example: {
      'inputs': _document_text(example, prefix),
      'targets': row_of(example[DOC_ID]),
      DOC_ID: example[DOC_ID],
    },
    num_parallel_calls=tf.data.AUTOTUNE,
  )


def text_pair_examples(
  dataset: tf.data.Dataset,
  *,
  inputs: str,
  query_prefix: str = '',
  passage_prefix: str = '',
) -> tf.data.Dataset:
  """Maps {query, query_id, doc_id, title, text} to examples with text both sides.

  Args:
    dataset: pairs of a query and a relevant document.
    inputs: 'document', whose query is the target: what a doc-to-query model learns
      (docT5query, Nogueira and Lin, 2019); 'query', whose document is the target:
      the two texts of a dual encoder.
    query_prefix: put before queries that are inputs; what is written has none.
    passage_prefix: put before the title and the text.

  Raises:
    ValueError: for other inputs.
  """
  check_inputs(inputs)

  def example_of(pair: Mapping[str, Any]) -> dict[str, Any]:
    document = _document_text(pair, passage_prefix)
    query = tf.strings.join([query_prefix, pair['query']])
    texts = (query, document)
    if inputs == 'document':
      texts = (document, pair['query'])
    return {
      'inputs': texts[0],
      'targets': texts[1],
      QUERY_ID: pair[QUERY_ID],
      DOC_ID: pair[DOC_ID],
    }

  return dataset.map(example_of, num_parallel_calls=tf.data.AUTOTUNE)


def check_inputs(inputs: str) -> None:
  """Refuses a side of a pair that there is not."""
  if inputs not in ('document', 'query'):
    raise ValueError(
      f"Expected inputs to be 'document' or 'query', got {inputs!r}."
    )


def _document_text(example: Mapping[str, Any], prefix: str) -> tf.Tensor:
  """As `Document.read_with`."""
  return tf.strings.strip(
    tf.strings.join([prefix, example['title'], ' ', example['text']])
  )


def _row_lookup(table: DocidTable) -> Callable[[tf.Tensor], tf.Tensor]:
  """doc_id -> int32 identifier, as TensorFlow operations."""
  index = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant(list(table.doc_ids), tf.string),
      tf.range(len(table), dtype=tf.int32),
    ),
    default_value=-1,
  )
  token_DxL = tf.constant(np.asarray(table.token_rows_DxL), tf.int32)
  length_D = tf.constant(np.asarray(table.lengths_D), tf.int32)

  def row_of(doc_id: tf.Tensor) -> tf.Tensor:
    row = index.lookup(doc_id)
    known = tf.debugging.assert_greater_equal(
      row,
      0,
      message='Expected documents that the identifier table names, got '
      'another; index the corpus that the task reads.',
    )
    with tf.control_dependencies([known]):
      row = tf.identity(row)
    return token_DxL[row, : length_D[row]]

  return row_of


def first_tokens(
  dataset: tf.data.Dataset, *, length: int = 64
) -> tf.data.Dataset:
  """Keeps the first tokens of the input.

  DSI's direct indexing (Tay et al., NeurIPS 2022, 32 tokens) and FirstP of Pradeep
  et al. (EMNLP 2023, 64 tokens).

  Args:
    dataset: tokenised examples.
    length: tokens that are kept; a shorter document is kept whole.

  Raises:
    ValueError: if length is below 1.
  """
  _check_lengths(length, length)
  return dataset.map(
    lambda example: {**example, 'inputs': example['inputs'][:length]},
    num_parallel_calls=tf.data.AUTOTUNE,
  )


def word_set(
  dataset: tf.data.Dataset, stop_words: Collection[str] = ()
) -> tf.data.Dataset:
  """Keeps the first of equal words of the input text, and no stop words.

  DSI's set indexing (Tay et al., NeurIPS 2022). Words are what blanks part; case
  counts, but not for stop words.

  Args:
    dataset: examples whose inputs are text.
    stop_words: in lower case.
  """
  stop_S = tf.constant(sorted(stop_words), tf.string)

  def keep(example: Mapping[str, Any]) -> dict[str, Any]:
    word_T, _ = tf.unique(tf.strings.split(example['inputs']))
    lower_T = tf.strings.lower(word_T, encoding='utf-8')
    is_stop_T = tf.reduce_any(lower_T[:, None] == stop_S[None], axis=1)
    kept_T = tf.boolean_mask(word_T, ~is_stop_T)
    return {**example, 'inputs': tf.strings.reduce_join(kept_T, separator=' ')}

  return dataset.map(keep, num_parallel_calls=tf.data.AUTOTUNE)


def prepend_tokens(
  dataset: tf.data.Dataset, tokens: Sequence[int]
) -> tf.data.Dataset:
  """Puts the same tokens before every input: a prefix of what was cut before.

  Args:
    dataset: tokenised examples.
    tokens: of the prefix; none leaves all as it is.
  """
  prefix_P = tf.constant(list(tokens), tf.int32)
  return dataset.map(
    lambda example: {
      **example,
      'inputs': tf.concat([prefix_P, example['inputs']], axis=0),
    },
    num_parallel_calls=tf.data.AUTOTUNE,
  )


def random_chunk(
  dataset: tf.data.Dataset, *, min_length: int = 64, max_length: int = 64
) -> tf.data.Dataset:
  """Keeps a random window of consecutive input tokens, new at every pass.

  With 64 tokens: "document as query" (DaQ) of Pradeep et al. (EMNLP 2023) and
  DSI's inverted index; short windows look more like queries.

  Args:
    dataset: tokenised examples.
    min_length: of the window, in tokens.
    max_length: of the window; a shorter document is kept whole.

  Raises:
    ValueError: if not 1 <= min_length <= max_length.
  """
  _check_lengths(min_length, max_length)

  @seqio.map_over_dataset(num_seeds=2)
  def chunk(example: Mapping[str, Any], seeds: tf.Tensor) -> dict[str, Any]:
    tokens = example['inputs']
    length = tf.random.stateless_uniform(
      (), seeds[0], min_length, max_length + 1, tf.int32
    )
    last = tf.maximum(tf.size(tokens) - length, 0)
    start = tf.random.stateless_uniform((), seeds[1], 0, last + 1, tf.int32)
    return {**example, 'inputs': tokens[start : start + length]}

  return chunk(dataset)


def salient_tokens(
  dataset: tf.data.Dataset,
  weight_V: np.ndarray,
  *,
  min_length: int = 4,
  max_length: int = 24,
) -> tf.data.Dataset:
  """Keeps a random set of input tokens, drawn by weight, in text order.

  DSI's set indexing (see `word_set`) as a sample of pieces: with inverse document
  frequencies for weights the input looks like keywords somebody might search the
  document by, in part without their other pieces. Drawn without replacement
  (Gumbel top-k), new at every pass.

  Args:
    dataset: tokenised examples.
    weight_V: positive weight of each token id.
    min_length: of the sample, in tokens.
    max_length: of the sample; a shorter document is kept whole.

  Raises:
    ValueError: if not 1 <= min_length <= max_length.
  """
  _check_lengths(min_length, max_length)
  log_weight_V = tf.constant(np.log(np.maximum(weight_V, 1e-9)), tf.float32)

  @seqio.map_over_dataset(num_seeds=2)
  def sample(example: Mapping[str, Any], seeds: tf.Tensor) -> dict[str, Any]:
    tokens = example['inputs']
    length = tf.random.stateless_uniform(
      (), seeds[0], min_length, max_length + 1, tf.int32
    )
    uniform = tf.random.stateless_uniform(
      (tf.size(tokens),), seeds[1], 1e-9, 1.0
    )
    gumbel = -tf.math.log(-tf.math.log(uniform))
    scores = tf.gather(log_weight_V, tokens) + gumbel
    kept = tf.math.top_k(scores, tf.minimum(length, tf.size(tokens))).indices
    return {**example, 'inputs': tf.gather(tokens, tf.sort(kept))}

  return sample(dataset)


def _check_lengths(min_length: int, max_length: int) -> None:
  if not 1 <= min_length <= max_length:
    raise ValueError(
      f'Expected 1 <= min_length <= max_length, got {min_length} and '
      f'{max_length}.'
    )
