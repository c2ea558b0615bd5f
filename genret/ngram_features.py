# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Examples of n-gram retrievers as seqio preprocessors.

Before the cache, `supervised` and `unsupervised` write the texts of examples, or
`parse_lines` reads those that `genret examples` wrote; seqio tokenises; behind
the cache, `mark` puts the marks of views and grades to the tokens:

| view          | inputs                      | targets                |
|---------------|-----------------------------|------------------------|
| body          | query <body> <grade> eos    | n-gram eos             |
| title, query  | query <title> <grade> eos   | title <end> eos        |

The end mark tells a whole title or query from a part of one, as when these views
are decoded; the released programs of MINDER put it behind titles only.

An example on its way has the texts `inputs` and `targets`, `view` and `grade` by
name, and the ids `query_id` ('' where no query asks) and `doc_id`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from genret import ngram_examples, views
from genret.corpus import Document
from genret.features import DOC_ID, QUERY_ID
from genret.ngram_example_files import COLUMNS
from genret.ngram_examples import Example, Supervised, Unsupervised
from genret.vocabulary import EOS_ID


def supervised(
  dataset: tf.data.Dataset,
  *,
  options: Supervised = ngram_examples.SUPERVISED,
  queries_of: Mapping[str, Sequence[str]] | None = None,
  seed: int = 0,
) -> tf.data.Dataset:
  """Maps pairs {query, query_id, doc_id, title, text} to 0 or more examples.

  Args:
    dataset: pairs of a query and a relevant document.
    options: how many examples of which kind.
    queries_of: pseudo-queries by document id.
    seed: of the draws; every pass over the data has the same examples.
  """

  def examples(
    query: str, query_id: str, doc_id: str, title: str, text: str
  ) -> list[Example]:
    return ngram_examples.supervised_examples(
      query,
      Document(doc_id, title, text),
      queries=(queries_of or {}).get(doc_id, ()),
      options=options,
      seed=seed,
      query_id=query_id,
    )

  return _write(dataset, examples, ('query', QUERY_ID, DOC_ID, 'title', 'text'))


def unsupervised(
  dataset: tf.data.Dataset,
  *,
  options: Unsupervised = ngram_examples.UNSUPERVISED,
  queries_of: Mapping[str, Sequence[str]] | None = None,
  seed: int = 0,
) -> tf.data.Dataset:
  """Maps documents {doc_id, title, text} to 0 or more examples each.

  Args:
    dataset: documents.
    options: how many examples of which kind.
    queries_of: pseudo-queries by document id.
    seed: of the draws; every pass over the data has the same examples.
  """

  def examples(doc_id: str, title: str, text: str) -> list[Example]:
    return ngram_examples.unsupervised_examples(
      Document(doc_id, title, text),
      queries=(queries_of or {}).get(doc_id, ()),
      options=options,
      seed=seed,
    )

  return _write(dataset, examples, (DOC_ID, 'title', 'text'))


def parse_lines(dataset: tf.data.Dataset) -> tf.data.Dataset:
  """Maps lines of `genret examples` to examples."""

  def parse(line: tf.Tensor) -> dict[str, tf.Tensor]:
    cells = tf.strings.split(line, '\t')
    right = tf.debugging.assert_equal(
      tf.size(cells),
      len(COLUMNS),
      message=f'Expected lines of {len(COLUMNS)} columns, as `genret examples` '
      'writes them; write them again.',
    )
    with tf.control_dependencies([right]):
      return {name: cells[i] for i, name in enumerate(COLUMNS)}

  return dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def mark(
  dataset: tf.data.Dataset,
  sequence_length: Mapping[str, int] | None = None,
  *,
  marks: views.Markers,
  use_markers: bool = True,
  use_grades: bool = True,
) -> tf.data.Dataset:
  """Cuts tokens to length, and puts marks and end-of-sequence behind them.

  Only text is cut: inputs as in `views.mark_inputs`, and a title or query that
  is a target keeps its end mark. Examples are left out whose target has no token,
  such as one of characters that the vocabulary drops.

  Args:
    dataset: tokenised examples.
    sequence_length: the most `inputs` and `targets`; None cuts nothing.
    marks: the ids of the marks.
    use_markers: say in the inputs which view is wanted.
    use_grades: say in the inputs how sure the example is.

  Raises:
    ValueError: for no room for the marks.
  """
  lengths = sequence_length or {}
  input_room = _room(lengths, 'inputs', use_markers + use_grades + 1)
  # Even an end mark has room, so that any view can be the target.
  target_room = _room(lengths, 'targets', 2)

  def add(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    view, grade = example['view'], example['grade']
    tail = [_mark_of(view, views.VIEWS, marks)] if use_markers else []
    tail += [_mark_of(grade, views.GRADES, marks)] if use_grades else []
    in_body = tf.equal(view, 'body')
    # A span takes the place of the end mark that it has not.
    pieces = example['targets']
    if target_room is not None:
      pieces = pieces[: target_room + tf.cast(in_body, tf.int32)]
    end = tf.boolean_mask(_tokens([marks.end, EOS_ID]), [~in_body, True])
    return {
      **example,
      'inputs': tf.concat(
        [example['inputs'][:input_room], *tail, _tokens([EOS_ID])], 0
      ),
      'targets': tf.concat([pieces, end], 0),
    }

  filled = dataset.filter(lambda example: tf.size(example['targets']) > 0)
  return filled.map(add, num_parallel_calls=tf.data.AUTOTUNE)


def _write(
  dataset: tf.data.Dataset,
  examples: Callable[..., list[Example]],
  names: Sequence[str],
) -> tf.data.Dataset:
  """Maps rows to examples, in order; `examples` takes those columns as text."""

  def columns(*texts: bytes) -> list[np.ndarray]:
    found = examples(*(text.decode() for text in texts))
    cells = zip(*found, strict=True) if found else [()] * len(Example._fields)
    return [
      np.array([cell.encode() for cell in column], object) for column in cells
    ]

  def write(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    source, target, view, grade = tf.numpy_function(
      columns,
      [row[name] for name in names],
      [tf.string] * len(Example._fields),
      # So that a trainer can save where it is in the data.
      stateful=False,
    )
    found = {'inputs': source, 'targets': target, 'view': view, 'grade': grade}
    for column in found.values():
      column.set_shape([None])
    ids = {name: row.get(name, tf.constant('')) for name in (QUERY_ID, DOC_ID)}
    repeated = {
      name: tf.repeat(value, tf.size(source)) for name, value in ids.items()
    }
    return found | repeated

  return dataset.map(write, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def _mark_of(
  name: tf.Tensor, names: Sequence[str], marks: views.Markers
) -> tf.Tensor:
  """The mark of a view or grade, as a sequence of one token."""
  mark_M = _tokens([getattr(marks, known) for known in names])
  found = tf.boolean_mask(mark_M, tf.equal(tf.constant(names), name))
  known = tf.debugging.assert_equal(
    tf.size(found),
    1,
    message=f'Expected one of {", ".join(names)} in each example; write the '
    'examples again.',
  )
  with tf.control_dependencies([known]):
    return tf.identity(found)


def _tokens(ids: Sequence[int]) -> tf.Tensor:
  return tf.constant(ids, tf.int32)


def _room(lengths: Mapping[str, Any], name: str, taken: int) -> int | None:
  """Tokens of text that fit; None for any number."""
  length = lengths.get(name)
  if length is None:
    return None
  if length < taken:
    raise ValueError(
      f'Expected room for {taken} tokens of marks and end-of-sequence in '
      f'{name}, got a length of {length}; raise it.'
    )
  return int(length) - taken
