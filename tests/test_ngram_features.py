# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Examples as seqio preprocessors: texts before the cache, marks behind it."""

import inspect

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import tensorflow as tf

from genret import ngram_example_files, ngram_examples, ngram_features, views
from genret.corpus import Document
from genret.ngram_examples import Supervised, Unsupervised

MARKS = views.markers(50)
EOS = 1
DOCUMENTS = [
  Document('d0', 'Blue whale', 'krill feeds the größte blue whale ' * 4),
  Document('d1', '', 'a title is missing here , is it not so ? ' * 2),
  Document('d2', '', ''),
  Document('d3', 'Only a title', ''),
]
QUERIES = {'d0': ['what eats krill', 'größte'], 'd3': ['one query']}
MINDER = ngram_examples.RECIPES['minder']


def dataset(rows):
  columns = {name: [row[name] for row in rows] for name in rows[0]}
  return tf.data.Dataset.from_tensor_slices(columns)


def document_rows(documents=DOCUMENTS):
  return [
    {'doc_id': d.doc_id, 'title': d.title, 'text': d.text} for d in documents
  ]


def pair_rows():
  return [
    {'query_id': f'q{i}', 'query': f'whale {row["doc_id"]}', **row}
    for i, row in enumerate(document_rows())
  ]


def texts(found):
  return [
    {name: value.decode() for name, value in row.items()}
    for row in found.as_numpy_iterator()
  ]


def expected_rows(examples, query_id, doc_id):
  return [
    {
      'inputs': e.source,
      'targets': e.target,
      'view': e.view,
      'grade': e.grade,
      'query_id': query_id,
      'doc_id': doc_id,
    }
    for e in examples
  ]


@pytest.mark.parametrize('options', [Supervised(spans=2), MINDER[0]])
def test_pairs_become_their_examples_in_order(options):
  found = ngram_features.supervised(
    dataset(pair_rows()), options=options, queries_of=QUERIES, seed=3
  )
  expected = []
  for i, document in enumerate(DOCUMENTS):
    examples = ngram_examples.supervised_examples(
      f'whale {document.doc_id}',
      document,
      queries=QUERIES.get(document.doc_id, ()),
      options=options,
      seed=3,
      query_id=f'q{i}',
    )
    expected += expected_rows(examples, f'q{i}', document.doc_id)
  assert len(expected) >= 10
  assert texts(found) == expected
  assert texts(found) == expected  # A second pass.
  for name, spec in found.element_spec.items():
    assert (spec.dtype, spec.shape.rank) == (tf.string, 0), name


@pytest.mark.parametrize('options', [Unsupervised(), MINDER[1]])
def test_documents_become_their_examples_in_order(options):
  found = ngram_features.unsupervised(
    dataset(document_rows()), options=options, queries_of=QUERIES, seed=3
  )
  expected = []
  for document in DOCUMENTS:
    examples = ngram_examples.unsupervised_examples(
      document,
      queries=QUERIES.get(document.doc_id, ()),
      options=options,
      seed=3,
    )
    expected += expected_rows(examples, '', document.doc_id)
  assert len(expected) > 5
  assert texts(found) == expected


def test_order_and_shards_do_not_matter():
  rows = document_rows()
  whole = texts(ngram_features.unsupervised(dataset(rows)))
  parts = [
    texts(ngram_features.unsupervised(dataset(part)))
    for part in (rows[2:], rows[1:2], rows[:1])
  ]
  key = ngram_example_files.COLUMNS

  def ordered(found):
    return sorted([row[name] for name in key] for row in found)

  assert ordered([row for part in parts for row in part]) == ordered(whole)
  backwards = texts(ngram_features.unsupervised(dataset(rows[::-1])))
  assert ordered(backwards) == ordered(whole)


def test_no_examples_at_all():
  found = ngram_features.unsupervised(dataset(document_rows(DOCUMENTS[2:])))
  assert texts(found) == []


def test_lines_of_written_examples_are_read():
  cells = ['body', 'gold', 'q 1', 'd', 'was ist größer', 'ein "Wal"']
  lines = tf.data.Dataset.from_tensor_slices(['\t'.join(cells)] * 2)
  expected = dict(zip(ngram_example_files.COLUMNS, cells, strict=True))
  assert texts(ngram_features.parse_lines(lines)) == [expected] * 2
  wrong = tf.data.Dataset.from_tensor_slices(['body\tgold'])
  with pytest.raises(
    tf.errors.InvalidArgumentError, match='Expected lines of 6 columns'
  ):
    texts(ngram_features.parse_lines(wrong))


# --- Marks.


def tokenised(inputs, targets, view='body', grade='gold'):
  example = {
    'inputs': tf.constant(inputs, tf.int32),
    'targets': tf.constant(targets, tf.int32),
    'view': tf.constant(view),
    'grade': tf.constant(grade),
    'doc_id': tf.constant('d'),
  }
  return tf.data.Dataset.from_tensors(example)


def marked(*args, lengths=None, marks=MARKS, view='body', grade='gold', **kw):
  example = tokenised(*args, view, grade)
  (row,) = ngram_features.mark(
    example, lengths, marks=marks, **kw
  ).as_numpy_iterator()
  assert row['inputs'].dtype == row['targets'].dtype == np.int32
  assert (row['view'], row['grade']) == (view.encode(), grade.encode())
  assert row['doc_id'] == b'd'
  return row['inputs'].tolist(), row['targets'].tolist()


@pytest.mark.parametrize('view', views.VIEWS)
@pytest.mark.parametrize('grade', views.GRADES)
def test_marks_of_every_view_and_grade(view, grade):
  inputs, targets = marked([7, 8], [9], view=view, grade=grade)
  tail = [getattr(MARKS, view), getattr(MARKS, grade), EOS]
  assert inputs == [7, 8, *tail]
  assert targets == ([9, EOS] if view == 'body' else [9, MARKS.end, EOS])


TOKENS = st.lists(st.integers(3, 49), max_size=8)


@hypothesis.settings(max_examples=25)
@hypothesis.given(
  TOKENS,
  TOKENS.filter(bool),
  st.sampled_from(views.VIEWS),
  st.sampled_from(views.GRADES),
  st.booleans(),
  st.booleans(),
  st.integers(0, 4),
  st.integers(2, 9),
)
def test_cuts_and_marks_are_those_of_decoding(
  inputs, targets, view, grade, use_markers, use_grades, room, length
):
  most = room + 1 + use_markers + use_grades
  found = marked(
    inputs,
    targets,
    view=view,
    grade=grade,
    lengths={'inputs': most, 'targets': length},
    use_markers=use_markers,
    use_grades=use_grades,
  )
  expected = views.mark_inputs(
    inputs,
    MARKS,
    view=view if use_markers else None,
    grade=grade if use_grades else None,
    max_length=most,
  )
  assert found[0] == expected.tolist()
  end = [EOS] if view == 'body' else [MARKS.end, EOS]
  assert found[1] == targets[: length - len(end)] + end


def test_nothing_is_cut_without_lengths():
  long = list(range(3, 50))
  for lengths in (None, {}, {'inputs': None, 'targets': None}):
    inputs, targets = marked(long, long, lengths=lengths)
    assert inputs[:-3] == targets[:-1] == long


def test_targets_without_a_token_are_left_out():
  rows = tokenised([7], [])
  assert not list(ngram_features.mark(rows, marks=MARKS))
  assert marked([], [7])[0] == [MARKS.body, MARKS.gold, EOS]


def test_seqio_hands_the_lengths_over():
  parameters = inspect.signature(ngram_features.mark).parameters
  assert list(parameters)[:2] == ['dataset', 'sequence_length']


@pytest.mark.parametrize(
  ('lengths', 'message'),
  [
    ({'inputs': 2}, 'room for 3 tokens of marks and end-of-sequence in inputs'),
    ({'targets': 1}, r'in targets, got a length of 1; raise it\.'),
  ],
)
def test_no_room_for_marks(lengths, message):
  with pytest.raises(ValueError, match=message):
    ngram_features.mark(tokenised([], [7]), lengths, marks=MARKS)


@pytest.mark.parametrize(
  ('view', 'grade', 'names'),
  [('code', 'gold', views.VIEWS), ('body', '+', views.GRADES)],
)
def test_views_and_grades_that_there_are_not(view, grade, names):
  with pytest.raises(
    tf.errors.InvalidArgumentError, match=f'Expected one of {", ".join(names)}'
  ):
    marked([7], [8], view=view, grade=grade)
