# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Views: rows of documents, marked inputs, and where tokens stand in text."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import views, vocabulary
from genret.corpus import Document
from genret.runs import Span
from genret.text_spans import DocumentText

WORDS = [
  'alpha',
  'beta',
  'gamma',
  'delta',
  'Épsilon',
  'zeta',
  'eta',
  'theta',
  'iota',
  'kappa',
]


@pytest.fixture(scope='module')
def pieces(tmp_path_factory):
  path = tmp_path_factory.mktemp('pieces') / 'spiece.model'
  texts = [' '.join(WORDS[i:] + WORDS[:i]) for i in range(10)]
  return vocabulary.train_vocabulary(texts, path, size=60)


@pytest.fixture(scope='module')
def marks(pieces):
  return views.markers(pieces.get_piece_size())


def test_marks_stand_behind_the_text():
  marks = views.markers(32000)
  assert marks.ids == tuple(range(32000, 32007))
  assert views.vocab_size(32000) == 32128  # T5's own rows
  assert views.vocab_size(250100) == 250112  # mT5's


def test_a_row_has_its_views_in_order(pieces, marks):
  documents = [
    Document('a', 'alpha beta', 'gamma'),
    Document('b', '', 'delta'),
    Document('c', 'eta', ''),
    Document('d'),
  ]
  queries = {'a': ['zeta', '', 'theta iota'], 'd': ['kappa']}
  rows = [
    row.tolist()
    for row in views.document_rows(
      documents, pieces, marks, queries=queries, chunk=3
    )
  ]
  text = pieces.encode
  m = marks
  assert rows == [
    [m.title, *text('alpha beta'), m.end, *text('gamma')]
    + [m.query, *text('zeta'), m.end, m.query, *text('theta iota'), m.end],
    text('delta'),
    [m.title, *text('eta'), m.end],
    [m.query, *text('kappa'), m.end],
  ]
  assert list(views.document_rows([], pieces, marks)) == []


def test_a_query_is_cut_and_its_marks_are_not(marks):
  m = marks
  found = views.mark_inputs(
    [5, 6, 7], m, view='title', grade='gold', max_length=5
  )
  assert found.tolist() == [5, 6, m.title, m.gold, 1]
  assert found.dtype == np.int32
  assert views.mark_inputs([5, 6], m, max_length=9).tolist() == [5, 6, 1]
  assert views.mark_inputs([], m, view='body', max_length=2).tolist() == [
    m.body,
    1,
  ]


def test_marks_that_there_are_not(marks):
  with pytest.raises(ValueError, match=r"Expected a view \(body.*got 'end'"):
    views.mark_inputs([5], marks, view='end', max_length=5)
  with pytest.raises(ValueError, match='room for 3 tokens of marks'):
    views.mark_inputs([5], marks, view='body', grade='gold', max_length=2)


@hypothesis.given(st.data())
def test_spans_are_where_the_words_are(pieces, marks, data):
  def words(least):
    some = st.lists(st.sampled_from(WORDS), min_size=least, max_size=5)
    return '  '.join(data.draw(some))

  document = Document('d', words(0), words(1))
  queries = [words(1) for _ in range(data.draw(st.integers(0, 2)))]
  (row,) = views.document_rows(
    [document], pieces, marks, queries={'d': queries}
  )
  known = data.draw(st.booleans())
  found = DocumentText.of('d', row, pieces, marks, document if known else None)
  if known:
    assert found.document is document
  texts = {
    'title': found.document.title,
    'body': found.document.text,
    'query': '\n'.join(found.queries),
  }
  start = data.draw(st.integers(0, len(row) - 1))
  length = data.draw(st.integers(1, len(row) - start))
  spelled = []
  for span in found.spans(start, length):
    assert span.offset == start
    spelled.append(texts[span.view][span.start : span.end])
  expected = pieces.decode(
    [int(t) for t in row[start : start + length] if t < marks.end]
  )
  assert ''.join(pieces.normalize(' '.join(spelled)).split('▁')).replace(
    ' ', ''
  ) == expected.replace(' ', '')


def test_an_n_gram_over_the_border_has_two_spans(pieces, marks):
  document = Document('d', 'alpha', 'beta gamma')
  (row,) = views.document_rows([document], pieces, marks)
  text = DocumentText.of('d', row, pieces, marks, document)
  spans = text.spans(0, len(row))
  assert spans == [Span('title', 0, 5, 0), Span('body', 0, 10, 0)]
  assert text.spans(0, 1) == []  # the mark alone
