# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Keys occur in the corpus and have the log-probabilities of teacher forcing."""

import dataclasses
import functools
import itertools
import re

import numpy as np
import pytest
import reference_beam
import teacher_forcing
import tiny
import tiny_collection
from hypothesis import given
from hypothesis import strategies as st

from genret import views
from genret.constraints.fm_index import FMIndex
from genret.decoding import generate as generate_lib
from genret.decoding import ngram_keys, score_tree
from genret.decoding.beam import BeamSearchOutput
from genret.decoding.ngram_keys import KeyOptions, generate_keys
from genret.decoding.word_spans import cased_spans

PIECES = tiny_collection.pieces()
MARKS = views.markers(PIECES.vocab_size())
V, T, WIDTH = views.vocab_size(PIECES.vocab_size()), 12, 16
SOME = {f'd{i}': [f'which has name{i}', 'ship'] for i in range(0, 6, 2)}
QUERIES = [
  'which garden has name1',
  '',
  'Rose soil, "seed"? a zebra-rose',
  'ship sail name0',
  'opera',
]
SMALL = {'body_beams': 4, 'title_beams': 6, 'body_length': 4, 'title_length': 9}
EVERYTHING = KeyOptions(views=('body', 'title', 'query'), **SMALL)
MODULE, PARAMS = teacher_forcing.model(tiny.config(V))


@functools.cache
def rows(count=6):
  """Documents with titles, some of them with queries, as tuples of tokens."""
  found = views.document_rows(
    tiny_collection.documents()[:count], PIECES, MARKS, queries=SOME
  )
  return [tuple(row.tolist()) for row in found]


@functools.cache
def index(count=6):
  return FMIndex.build(rows(count), V)


def find(options, queries=QUERIES, batch_size=3, fm=None, **changes):
  return generate_keys(
    MODULE,
    changes.get('params', PARAMS),
    fm or index(),
    changes.get('marks', MARKS),
    PIECES,
    queries,
    options=options,
    input_length=T,
    batch_size=batch_size,
  )


@functools.cache
def everything():
  return find(EVERYTHING)


def find_one(query, **changes):
  """Keys of the body alone for one query, by programs of `everything`."""
  options = dataclasses.replace(
    EVERYTHING, views=('body',), query_ngrams=0, **changes
  )
  return find(options, [query])


def occurs(key, texts):
  return any(
    row[i : i + len(key)] == key
    for row in texts
    for i in range(len(row) - len(key) + 1)
  )


def of_view(found, view):
  return [
    key for key, v in zip(found.keys, found.views, strict=True) if v == view
  ]


def whole(texts, begin):
  """What stands between a mark and the end mark, both included."""
  return {
    row[i : row.index(MARKS.end, i) + 1]
    for row in texts
    for i, token in enumerate(row)
    if token == begin
  }


def marked(query, view=None, grade=None):
  row = views.mark_inputs(
    PIECES.encode(query), MARKS, view=view, grade=grade, max_length=T
  )
  return np.pad(row, (0, T - len(row)))


def naive(query, key, view=None, grade=None):
  return teacher_forcing.log_probability(
    MODULE, PARAMS, marked(query, view, grade), key, WIDTH
  )


def occurring_words(query, longest=3):
  """Every n-gram of a query's words that the corpus has, by brute force."""
  words = list(re.finditer(r'[A-Za-z0-9]+|[^\sA-Za-z0-9]', query))
  found = set()
  for i, first in enumerate(words):
    for last in words[i : i + longest]:
      text = query[first.start() : last.end()]
      starts = [
        w.start() - first.start()
        for w in words
        if first.start() <= w.start() < last.end()
      ]
      for cases in itertools.product(
        (str.upper, str.lower), repeat=len(starts)
      ):
        letters = list(text)
        for start, case in zip(starts, cases, strict=True):
          letters[start] = case(letters[start])
        key = tuple(PIECES.encode(''.join(letters)))
        if key and PIECES.unk_id() not in key and occurs(key, rows()):
          found.add(key)
  return found


def test_batches_are_filled_up_and_compile_once(monkeypatch):
  """Batches of other sizes and contents; each query has what it has alone."""
  calls = []
  for module, name in (
    (generate_lib, 'start_decoding'),
    (score_tree, '_states'),
  ):
    function = getattr(module, name)

    def counted(*args, function=function, name=name, **kwargs):
      calls.append(name)
      return function(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
  together = everything()
  # Not more: titles and queries share a program. (Fewer if others came first.)
  assert len(calls) <= 3
  calls.clear()
  alone = [find(EVERYTHING, [query])[0] for query in QUERIES]
  find(EVERYTHING, ['some', 'other words', 'of the sea', 'or another'])
  assert not calls
  for a, b in zip(together, alone, strict=True):
    assert a.keys == b.keys
    assert a.views == b.views
    for x, y in ((a[1], b[1]), (a[3], b[3])):
      np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
  assert find(EVERYTHING, []) == []


@pytest.mark.parametrize('number', range(len(QUERIES)))
def test_keys_are_of_the_corpus_and_of_their_view(number):
  found = everything()[number]
  assert len(found.keys) == len(found.log_probabilities) == len(found.views)
  assert len(set(found.keys)) == len(found.keys)
  assert set(found.views) == {'body', 'title', 'query'}
  for key in found.keys:
    assert all(isinstance(token, int) for token in key)
    assert occurs(key, rows())
  for key in of_view(found, 'body'):
    assert not set(key) & set(MARKS.ids)
  # Those that are longer than a search may write are of the query's words.
  words = occurring_words(QUERIES[number])
  assert words <= set(found.keys)
  longer = {key for key in of_view(found, 'body') if len(key) > 4}
  assert longer <= words
  # Beams cover all of the three titles and the four queries.
  assert set(of_view(found, 'title')) == whole(rows(), MARKS.title)
  assert set(of_view(found, 'query')) == whole(rows(), MARKS.query)
  assert found.log_probabilities.dtype == np.float32
  assert (found.log_probabilities < 0).all()


@pytest.mark.parametrize('number', range(len(QUERIES)))
def test_values_are_those_of_teacher_forcing(number):
  """Each under its own input; marks before titles and queries cost nothing."""
  query, found = QUERIES[number], everything()[number]
  words = occurring_words(query)
  written = set(find_one(query)[0].keys)
  for key, view, value in zip(
    found.keys, found.views, found.log_probabilities, strict=True
  ):
    if view != 'body':
      expected = naive(query, key[1:], view, 'gold')
    elif key in written:
      expected = naive(query, key)
    else:
      assert key in words
      expected = naive(query, key, 'body', 'gold')
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)
  expected = teacher_forcing.log_softmax(
    MODULE, PARAMS, marked(query, 'body', 'gold'), (), WIDTH
  )
  np.testing.assert_allclose(
    found.unigram_log_probabilities, expected, rtol=1e-5, atol=1e-4
  )


def test_the_inputs_differ():
  """Otherwise the test above would tell little."""
  key = everything()[0].keys[0]
  inputs = [(), ('body', 'gold'), ('title', 'gold'), ('body', 'silver')]
  values = [naive(QUERIES[0], key, *wanted) for wanted in inputs]
  assert np.abs(np.diff(sorted(values))).min() > 1e-3


def test_keys_are_all_candidates_of_every_step():
  """Those of a plain search: 8 at each of 4 steps, but for marks."""
  ngrams = {
    row[i:j]
    for row in rows()
    for i in range(len(row))
    for j in range(i + 1, len(row) + 1)
  }
  legal = reference_beam.Plain(
    lambda prefix: {t for t in range(V) if (*prefix, t) in ngrams},
    lambda _: True,
  )
  for query in (QUERIES[0], QUERIES[4]):
    steps = []
    reference_beam.beam_search(
      functools.partial(
        teacher_forcing.log_softmax,
        MODULE,
        PARAMS,
        marked(query, 'body', 'gold'),
        width=WIDTH,
      ),
      legal,
      num_beams=4,
      max_length=4,
      steps=steps,
    )
    expected = {
      key: score
      for step in steps
      for key, score in step[:8]
      if not set(key) & set(MARKS.ids)
    }
    (rescored,) = find_one(query)
    assert set(rescored.keys) == set(expected)
    # Without re-scoring, values are those of the search.
    (found,) = find_one(query, rescore=False)
    assert found.keys == rescored.keys
    np.testing.assert_allclose(
      found.log_probabilities,
      [expected[key] for key in found.keys],
      rtol=1e-5,
      atol=1e-4,
    )
    assert (
      np.abs(found.log_probabilities - rescored.log_probabilities).max() > 1
    )


def test_beams_that_cover_everything_find_everything():
  """The word of the query among them, which has the value of a body's key."""
  options = KeyOptions(views=('body',), body_length=2, body_beams=90)
  texts, query = rows(3), 'sea'
  (found,) = find(options, [query], batch_size=1, fm=index(3))
  ngrams = {
    row[i : i + length]
    for row in texts
    for length in (1, 2)
    for i in range(len(row) - length + 1)
  }
  expected = {key for key in ngrams if not set(key) & set(MARKS.ids)}
  assert 100 < len(expected) < len(ngrams) <= 180
  assert set(found.keys) == expected
  word = tuple(PIECES.encode(query))
  assert word in expected
  value = found.log_probabilities[found.keys.index(word)]
  np.testing.assert_allclose(value, naive(query, word), rtol=1e-5, atol=1e-4)
  assert abs(value - naive(query, word, 'body', 'gold')) > 1e-2


@given(
  text=st.text(st.sampled_from(list('aB2é\'\u2019 _-"\n')), max_size=12),
  longest=st.integers(1, 3),
)
def test_spans_are_all_pieces_of_a_text_from_word_to_word(text, longest):
  words, i = [], 0  # (start, end) of each, letter by letter.
  while i < len(text):
    end = i + 1
    if text[i].isalnum():
      while end < len(text) and (
        text[end].isalnum()
        or (
          text[end] in "'\u2019"
          and end + 1 < len(text)
          and text[end + 1].isalnum()
        )
      ):
        end += 1
    if not text[i].isspace():
      words.append((i, end))
    i = end
  expected = set()
  for first in range(len(words)):
    for last in range(first, min(first + longest, len(words))):
      starts = [start for start, _ in words[first : last + 1]]
      for upper in itertools.product((True, False), repeat=len(starts)):
        letters = list(text)
        for start, is_upper in zip(starts, upper, strict=True):
          letter = letters[start]
          letters[start] = letter.upper() if is_upper else letter.lower()
        expected.add(''.join(letters[words[first][0] : words[last][1]]))
  found = cased_spans(text, longest)
  assert len(found) == len(set(found))
  assert set(found) == expected


def test_spans_of_a_sentence():
  assert cased_spans("don't  stop", 2) == [
    "Don't",
    "don't",
    "Don't  Stop",
    "Don't  stop",
    "don't  Stop",
    "don't  stop",
    'Stop',
    'stop',
  ]
  assert cased_spans('', 3) == cased_spans(' \n', 3) == []


def test_words_of_the_query_are_kept_where_they_occur(monkeypatch):
  """Case is folded by this vocabulary; z and the quotes are unknown."""

  def score(module, params, inputs, trees, **_):
    found = [np.zeros(len(tree.path_PxL), np.float32) for tree in trees]
    return score_tree.Scores(found, None)

  monkeypatch.setattr(score_tree, 'log_probabilities', score)
  for longest in (1, 2, 3):
    options = KeyOptions(views=(), query_ngrams=longest, unigrams=False)
    for query, found in zip(QUERIES, find(options), strict=True):
      assert set(found.keys) == occurring_words(query, longest)
      assert set(found.views) <= {'body'}
  # Even where the corpus has an unknown piece as well.
  fm = FMIndex.build([PIECES.encode('a zebra at sea')], V)
  found = find(options, ['', 'zebra', 'sea zebra'], fm=fm)
  assert [set(f.keys) for f in found] == [
    set(),
    set(),
    {tuple(PIECES.encode('sea'))},
  ]
  of_two = find(dataclasses.replace(options, min_length=2))
  for query, found in zip(QUERIES, of_two, strict=True):
    assert set(found.keys) == {k for k in occurring_words(query) if len(k) == 2}


FREE = KeyOptions(
  constrained=False,
  query_ngrams=0,
  body_length=2,
  body_beams=24,
  title_length=3,
  title_beams=2,
)


def test_without_constraint_what_does_not_occur_is_dropped():
  found = find(FREE)
  assert any(of_view(keys, 'body') for keys in found)
  for query, keys in zip(QUERIES, found, strict=True):
    for key, view, value in zip(
      keys.keys, keys.views, keys.log_probabilities, strict=True
    ):
      assert occurs(key, rows())
      assert view == 'body'  # This model writes no titles of itself.
      assert not set(key) & {0, 1, *MARKS.ids}
      expected = naive(query, key)
      np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)


def test_what_is_no_key(monkeypatch):
  """Of a search that writes padding, eos, marks and half of a title."""
  (_, *title, end), _, _ = sorted(whole(rows(), MARKS.title), key=len)
  body = list(rows()[1][-4:])
  written = {
    'body': [body, body[:2], [*body[:2], 1], [0, *body[:1]], [title[-1], end]],
    'title': [[*title, end], title, [MARKS.title, *title, end], [*body, end]],
  }
  written['title'] += [[0, *title, end], [*title, 0, end], [*title, end, end]]

  def generate(module, params, inputs, constraint, *, eos_id, **_):
    found = written['title' if eos_id == MARKS.end else 'body']
    return BeamSearchOutput(
      tokens=np.array([[row + [0] * (8 - len(row)) for row in found]] * 3),
      scores=-np.arange(1, len(found) + 1, dtype=np.float32)[None].repeat(3, 0),
      lengths=np.array([[len(row) for row in found]] * 3),
      legal=np.array([[row != body[:2] for row in found]] * 3),
    )

  monkeypatch.setattr(ngram_keys, 'generate', generate)
  options = dataclasses.replace(
    FREE, keep_all=False, rescore=False, unigrams=False
  )
  (found,) = find(options, ['ship'])
  assert found.keys == [tuple(body), (MARKS.title, *title, end)]
  assert found.views == ['body', 'title']
  assert found.log_probabilities.tolist() == [-1, -1]


def test_last_beams_alone():
  """eos is by far the likeliest token of this model, and still a search without
  constraint has n-grams of two tokens, for it may not write eos before."""
  kernel = PARAMS['decoder']['logits_dense']['kernel'].copy()
  kernel[:, 1] *= 100
  decoder = {**PARAMS['decoder'], 'logits_dense': {'kernel': kernel}}
  params = {**PARAMS, 'decoder': decoder}
  options = dataclasses.replace(FREE, views=('body',), keep_all=False)
  assert any(found.keys for found in find(options, params=params))
  found = find(options)
  assert 0 < max(len(keys.keys) for keys in found) <= 24
  searched = find(dataclasses.replace(options, rescore=False))
  for query, a, b in zip(QUERIES, found, searched, strict=True):
    assert a.keys == b.keys
    assert {len(key) for key in a.keys} <= {2}
    # Without re-scoring, values are those of the search.
    for key, x, y in zip(
      a.keys, a.log_probabilities, b.log_probabilities, strict=True
    ):
      np.testing.assert_allclose(x, naive(query, key), rtol=1e-5, atol=1e-4)
      expected = naive(query, key, 'body', 'gold')
      np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-4)


def test_keys_of_one_length():
  found = find(dataclasses.replace(EVERYTHING, min_length=3))
  for of_length, of_all in zip(found, everything(), strict=True):
    assert of_length.keys == [
      key
      for key, view in zip(of_all.keys, of_all.views, strict=True)
      if view != 'body' or len(key) == 3
    ]


def test_without_marks_all_are_scored_under_the_bare_query():
  options = dataclasses.replace(EVERYTHING, use_markers=False, grade=None)
  for query, found in zip(QUERIES, find(options), strict=True):
    for key, view, value in zip(
      found.keys, found.views, found.log_probabilities, strict=True
    ):
      expected = naive(query, key if view == 'body' else key[1:])
      np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)


def test_options_of_the_search_are_passed_on(monkeypatch):
  asked = []

  def generate(*arguments, **options):
    asked.append((arguments, options))
    raise InterruptedError

  monkeypatch.setattr(ngram_keys, 'generate', generate)
  options = KeyOptions(stop_count=3, num_groups=5, diversity_penalty=2.0)
  with pytest.raises(InterruptedError):
    find(options)
  ((arguments, options),) = asked
  assert arguments[3].arrays.stop_count == 3
  assert arguments[3].finishes is not None
  assert options == {
    'num_beams': 15,
    'max_length': 10,
    'eos_id': 1,
    'keep_candidates': 30,
    'num_groups': 5,
    'diversity_penalty': 2.0,
  }


def test_a_corpus_without_titles_has_no_keys_of_titles():
  """As one whose titles have another mark."""
  marks = dataclasses.replace(MARKS, title=MARKS.silver)
  options = dataclasses.replace(EVERYTHING, views=('title',), query_ngrams=0)
  for found in find(options, marks=marks):
    assert found.keys == []
    assert found.log_probabilities.shape == (0,)
    assert found.unigram_log_probabilities.shape == (V,)


def test_nothing_to_score_needs_no_pass(monkeypatch):
  (expected,) = find_one(QUERIES[0])
  monkeypatch.setattr(score_tree, 'log_probabilities', None)
  (found,) = find_one(QUERIES[0], rescore=False, unigrams=False)
  assert found.keys == expected.keys
  assert found.unigram_log_probabilities is None


def test_a_long_query_is_cut_but_not_its_words():
  (found,) = find(EVERYTHING, [' '.join(['ship'] * 30 + ['name0'])])
  assert tuple(PIECES.encode('name0')) in found.keys


def test_options_are_hashable_whatever_gin_gives():
  options = KeyOptions(views=['title'])
  assert options == KeyOptions(views=('title',))
  assert hash(options) == hash(KeyOptions(views=('title',)))


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (
      lambda: KeyOptions(views=('text',)),
      r"views to be one of body, title, query but got 'text'; choose",
    ),
    (lambda: KeyOptions(body_length=0), r'body_length of at least 1 but got 0'),
    (lambda: KeyOptions(query_ngrams=-1), r'query_ngrams of at least 0 but'),
    (lambda: find(EVERYTHING, batch_size=0), r'batch_size of at least 1 but'),
    (
      lambda: find(dataclasses.replace(EVERYTHING, grade='best')),
      r"Expected a view .* or a grade .* got 'best'",
    ),
    (
      lambda: generate_keys(
        MODULE,
        PARAMS,
        index(),
        views.markers(V),
        PIECES,
        QUERIES,
        options=EVERYTHING,
        input_length=T,
        batch_size=2,
      ),
      rf'rows for the marks, up to {V + 6}, got vocab_size={V}; see views',
    ),
  ],
)
def test_errors_name_what_came(make, message):
  with pytest.raises(ValueError, match=message):
    make()
