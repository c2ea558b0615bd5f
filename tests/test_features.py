# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What the preprocessors draw, over many passes of small data sets."""

import collections

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import seqio
import tensorflow as tf

from genret import features
from genret.docids.table import DocidTable

TABLE = DocidTable(
  ['a', 'b/1', 'ç'],
  np.array([[7, 0, 0], [8, 9, 7], [9, 9, 0]], np.int32),
  np.array([1, 3, 2], np.int32),
  10,
)


def dataset(examples):
  """Dictionaries of equal keys as a data set."""
  signature = {
    key: tf.TensorSpec(
      (None,) if isinstance(value, list) else (),
      tf.int32 if isinstance(value, list) else tf.string,
    )
    for key, value in examples[0].items()
  }
  return tf.data.Dataset.from_generator(
    lambda: iter(examples), output_signature=signature
  )


def lists(found):
  return [row['inputs'].tolist() for row in found.as_numpy_iterator()]


def passes(count, tokens, step, *, seed=0):
  """The inputs that `count` passes over one document draw."""
  with seqio.utils.map_seed_manager(seed):
    found = step(dataset([{'inputs': tokens}]).repeat(count))
  return lists(found)


def test_a_query_becomes_the_identifier_of_its_document():
  pairs = [
    {'query': 'who', 'query_id': 'q1', 'doc_id': 'b/1', 'text': 'left out'},
    {'query': '', 'query_id': 'q2', 'doc_id': 'ç', 'text': ''},
  ]
  found = features.retrieval_examples(dataset(pairs), TABLE, prefix='Q: ')
  rows = list(found.as_numpy_iterator())
  assert [sorted(row) for row in rows] == [
    ['doc_id', 'inputs', 'query_id', 'targets']
  ] * 2
  assert [row['inputs'] for row in rows] == [b'Q: who', b'Q: ']
  assert [row['query_id'] for row in rows] == [b'q1', b'q2']
  assert [row['doc_id'].decode() for row in rows] == ['b/1', 'ç']
  assert [row['targets'].tolist() for row in rows] == [[8, 9, 7], [9, 9]]
  assert {row['targets'].dtype for row in rows} == {np.dtype(np.int32)}


@pytest.mark.parametrize(
  ('title', 'text', 'expected'),
  [
    ('Iliad', 'an epic', 'P: Iliad an epic'),
    ('', 'an epic', 'P:  an epic'),
    ('Iliad', '', 'P: Iliad'),
    ('', '', 'P:'),
  ],
)
def test_a_document_becomes_its_own_identifier(title, text, expected):
  rows = [{'doc_id': 'a', 'title': title, 'text': text}]
  found = features.indexing_examples(dataset(rows), TABLE, prefix='P: ')
  (row,) = found.as_numpy_iterator()
  assert sorted(row) == ['doc_id', 'inputs', 'targets']
  assert row['inputs'].decode() == expected
  assert row['targets'].tolist() == [7]
  (row,) = features.indexing_examples(dataset(rows), TABLE).as_numpy_iterator()
  assert row['inputs'].decode() == f'{title} {text}'.strip()


@pytest.mark.parametrize('which', ['retrieval', 'indexing'])
def test_a_document_without_identifier_stops_the_run(which):
  row = {'doc_id': 'gone', 'title': '', 'text': '', 'query': '', 'query_id': ''}
  make = getattr(features, f'{which}_examples')
  with pytest.raises(
    tf.errors.InvalidArgumentError,
    match='Expected documents that the identifier table names, got another; '
    'index the corpus that the task reads',
  ):
    list(make(dataset([row]), TABLE).as_numpy_iterator())


STEPS = {
  'chunk': lambda ds: features.random_chunk(ds, min_length=2, max_length=4),
  'salient': lambda ds: features.salient_tokens(
    ds, np.ones(100), min_length=2, max_length=4
  ),
}
DOCUMENT = list(range(10, 20))


@pytest.mark.parametrize('step', STEPS)
def test_every_pass_draws_anew_and_a_seed_repeats_it(step):
  first = passes(20, DOCUMENT, STEPS[step])
  assert len(set(map(tuple, first))) > 10
  assert passes(20, DOCUMENT, STEPS[step]) == first
  assert passes(20, DOCUMENT, STEPS[step], seed=1) != first


@pytest.mark.parametrize('step', STEPS)
def test_what_else_an_example_holds_is_kept(step):
  examples = [
    {'inputs': DOCUMENT, 'targets': [7], 'doc_id': 'a'},
    {'inputs': [], 'targets': [8], 'doc_id': 'b'},
  ]
  with seqio.utils.map_seed_manager(0):
    found = list(STEPS[step](dataset(examples)).as_numpy_iterator())
  assert [row['targets'].tolist() for row in found] == [[7], [8]]
  assert [row['doc_id'] for row in found] == [b'a', b'b']
  assert [len(row['inputs']) > 0 for row in found] == [True, False]
  assert {row['inputs'].dtype for row in found} == {np.dtype(np.int32)}


@pytest.mark.parametrize('size', [0, 1, 3, 5, 10])
def test_chunks_are_windows_of_every_place_and_length(size):
  document = DOCUMENT[:size]
  windows = {
    tuple(document[start : start + length])
    for length in (2, 3, 4)
    for start in range(max(size - length, 0) + 1)
  }
  found = passes(800, document, STEPS['chunk'])
  assert set(map(tuple, found)) == windows


def test_chunks_of_one_length_start_anywhere_alike():
  def step(ds):
    return features.random_chunk(ds, min_length=4, max_length=4)

  starts = collections.Counter(row[0] for row in passes(2100, DOCUMENT, step))
  assert sorted(starts) == list(range(10, 17))
  # 300 expected each; the standard deviation is 16.
  assert all(abs(count - 300) < 80 for count in starts.values())


def test_chunks_are_64_tokens_unless_told():
  found = passes(3, list(range(100)), features.random_chunk)
  assert {len(row) for row in found} == {64}


@pytest.mark.parametrize('size', [0, 1, 3, 10])
def test_salient_tokens_keep_their_order_and_number(size):
  document = (DOCUMENT[::-1] + [11, 11])[:size]
  found = passes(300, document, STEPS['salient'])
  lengths = {min(length, size) for length in (2, 3, 4)}
  assert {len(row) for row in found} == lengths
  for row in found:
    rest = iter(document)
    assert all(token in rest for token in row)  # a subsequence


def test_salient_tokens_repeat_only_as_the_document_does():
  def step(ds):
    return features.salient_tokens(ds, np.ones(9), min_length=3, max_length=3)

  assert passes(9, [5, 6, 5], step) == [[5, 6, 5]] * 9


def test_salient_tokens_are_drawn_by_weight():
  """Against draws one after another, in proportion to what is left."""
  weight = np.array([0, 1.0, 2.0, 4.0, 0.0, 8.0])
  document = [1, 2, 3, 4, 5]

  def step(ds):
    return features.salient_tokens(ds, weight, min_length=2, max_length=2)

  expected = collections.Counter()
  total = weight[document].sum()
  for a in document:
    for b in document:
      if a != b:
        chance = weight[a] / total * weight[b] / (total - weight[a])
        expected[tuple(sorted((a, b)))] += chance
  count = 3000
  found = collections.Counter(map(tuple, passes(count, document, step)))
  for pair, chance in expected.items():
    deviation = np.sqrt(count * chance * (1 - chance))
    assert abs(found[pair] - count * chance) <= 4 * deviation, pair
  # What weighs nothing comes last, but it comes.
  only = passes(2, [4, 0], step)
  assert only == [[4, 0]] * 2


@pytest.mark.parametrize('length', [1, 3, 64])
def test_the_first_tokens_are_kept(length):
  found = features.first_tokens(dataset([{'inputs': DOCUMENT}]), length=length)
  assert lists(found) == [DOCUMENT[:length]]
  with pytest.raises(ValueError, match='got 0 and 0'):
    features.first_tokens(dataset([{'inputs': DOCUMENT}]), length=0)


@hypothesis.settings(max_examples=20)
@hypothesis.given(
  st.lists(st.sampled_from(['a', 'A', 'The', 'the', 'Ä', 'ä', 'sea'])),
  st.sets(st.sampled_from(['a', 'the', 'ä'])),
)
def test_a_set_has_each_word_once_and_no_stop_words(words, stop):
  expected = [w for w in dict.fromkeys(words) if w.lower() not in stop]
  texts = tf.data.Dataset.from_tensors(
    {'inputs': '  '.join(words), 'targets': [7]}
  )
  (row,) = features.word_set(texts, stop).as_numpy_iterator()
  assert row['inputs'].decode() == ' '.join(expected)
  assert row['targets'].tolist() == [7]


def test_a_prefix_is_before_what_is_kept():
  found = features.prepend_tokens(
    features.first_tokens(dataset([{'inputs': DOCUMENT}]), length=2), [8, 9]
  )
  assert lists(found) == [[8, 9, *DOCUMENT[:2]]]
  found = features.prepend_tokens(dataset([{'inputs': DOCUMENT}]), [])
  assert lists(found) == [DOCUMENT]


def test_arguments_that_cannot_work():
  ds = dataset([{'inputs': DOCUMENT}])
  for low, high in ((0, 3), (4, 3)):
    for make in (
      lambda **kw: features.random_chunk(ds, **kw),
      lambda **kw: features.salient_tokens(ds, np.ones(9), **kw),
    ):
      with pytest.raises(
        ValueError,
        match=f'1 <= min_length <= max_length, got {low} and {high}',
      ):
        make(min_length=low, max_length=high)
