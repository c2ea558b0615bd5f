# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Training examples of SEAL and MINDER, against hand-worked distributions."""

import collections
import dataclasses
import itertools
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

pytest.importorskip('rapidfuzz', reason='needs the extra [train]')

from genret import ngram_examples, ngram_spans
from genret.corpus import Document
from genret.ngram_examples import Example, Supervised, Unsupervised

PASSAGE = (
  'The blue whale is the largest animal that has ever lived on earth . It eats '
  '( mostly ) tiny krill and it can weigh as much as thirty elephants'
)
DOCUMENT = Document('d1', 'Blue whale', PASSAGE)
QUERIES = ('how heavy is a whale', 'what do whales eat', 'biggest animal')
MINDER = ngram_examples.RECIPES['minder']


def similarity(a: str, b: str) -> float:
  """2 * (longest common subsequence) / (characters of both)."""
  common = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
  for i, j in itertools.product(range(len(a)), range(len(b))):
    common[i + 1][j + 1] = (
      common[i][j] + 1
      if a[i] == b[j]
      else max(common[i][j + 1], common[i + 1][j])
    )
  return 2 * common[-1][-1] / (len(a) + len(b))


def starts(query, words, stop_words, *, window, temperature):
  """The definition, word by word."""

  def ngrams(text):
    lower = [word.lower() for word in text]
    return [' '.join(lower[i : i + window]) for i in range(len(lower))]

  sums = {
    i: sum(similarity(asked, found) for asked in ngrams(query.split()))
    for i, found in enumerate(ngrams(words))
    if words[i].lower() not in stop_words
  }
  if not any(sums.values()):
    return [1.0] + [0.0] * (len(words) - 1)
  weights = {i: math.exp(s / temperature) for i, s in sums.items()}
  total = sum(weights.values())
  return [weights.get(i, 0.0) / total for i in range(len(words))]


# --- Where spans start.


def test_starts_of_a_tiny_passage_by_hand():
  # Words are their own n-grams. 'ab' against 'ab', 'b', 'xy': 1, 2/3, 0;
  # 'the' is no start.
  found = ngram_spans.span_starts('ab', ['ab', 'the', 'b', 'xy'], window=1)
  weights = np.exp([1, -np.inf, 2 / 3, 0])
  np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-12)
  # Two query words add up: 'xy' against the same: 0, 0, 1.
  found = ngram_spans.span_starts(
    'AB Xy', ['ab', 'the', 'b', 'xy'], window=1, temperature=0.5
  )
  weights = np.exp(np.array([1, -np.inf, 2 / 3, 1]) / 0.5)
  np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-12)


def test_ngrams_reach_over_stop_words_and_shrink_at_the_end():
  # With a window of 2: passage n-grams 'ab the' and 'cd' (from its last word);
  # query n-grams 'cd ef' and 'ef'.
  found = ngram_spans.span_starts('cd ef', ['ab', 'the', 'cd'], window=2)
  sums = [
    similarity('cd ef', 'ab the') + similarity('ef', 'ab the'),
    -np.inf,
    similarity('cd ef', 'cd') + similarity('ef', 'cd'),
  ]
  assert sums[2] == pytest.approx(4 / 7)
  np.testing.assert_allclose(
    found, np.exp(sums) / np.exp(sums).sum(), rtol=1e-12
  )


WORDS = st.lists(
  st.sampled_from(['The', 'of', 'ab', 'abc', 'b', 'zz', 'é', 'a.', 'q']),
  max_size=7,
)


@hypothesis.given(
  WORDS, WORDS.filter(bool), st.integers(1, 4), st.sampled_from([0.2, 1.0, 5.0])
)
def test_starts_are_the_definition(query, words, window, temperature):
  found = ngram_spans.span_starts(
    ' '.join(query), words, window=window, temperature=temperature
  )
  expected = starts(
    ' '.join(query),
    words,
    {'the', 'of'},
    window=window,
    temperature=temperature,
  )
  assert found.dtype == np.float64
  np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
  ('query', 'words'),
  [
    ('whale', ['the', 'of', 'The']),  # nothing but stop words
    ('', ['blue', 'whale']),  # no query
    ('xyz', ['the', 'blue', 'whale']),  # not a character in common
  ],
)
def test_the_first_word_starts_where_nothing_else_can(query, words):
  found = ngram_spans.span_starts(query, words)
  assert found.tolist() == [1.0] + [0.0] * (len(words) - 1)


def test_draws_have_the_distribution_of_the_starts():
  query, words, count = 'which animal eats krill', PASSAGE.split(), 20_000
  spans = ngram_spans.spans_for(
    query,
    words,
    count,
    np.random.default_rng(0),
    min_words=2,
    max_words=4,
    window=3,
    temperature=0.3,
  )
  # No two spans of this passage are equal before their third word.
  firsts = {' '.join(words[i : i + 2]): i for i in range(len(words))}
  assert len(firsts) == len(words)
  drawn = collections.Counter(
    firsts[' '.join(span.split()[:2])] for span in spans
  )
  expected = ngram_spans.span_starts(query, words, temperature=0.3)
  for start, probability in enumerate(expected):
    error = 4 * math.sqrt(probability * (1 - probability) / count)
    assert abs(drawn[start] / count - probability) <= error
  lengths = collections.Counter(
    len(span.split())
    for span in spans
    if firsts[' '.join(span.split()[:2])] < len(words) - 4
  )
  assert set(lengths) == {2, 3, 4}
  for number in lengths.values():
    assert abs(number / lengths.total() - 1 / 3) < 0.03


def test_good_starts():
  text = 'The cat , (or Dog) of it. ran! [x] 7 " It\'s end?'
  words = text.split()
  found = [words[i] for i in ngram_spans.good_starts(words)]
  assert found == ['cat', 'Dog)', '7']
  assert ngram_spans.good_starts([]) == []


@hypothesis.given(
  st.integers(0, 8), st.sets(st.integers(0, 7)), st.integers(1, 9)
)
def test_spans_start_where_they_fit(count, possible, length):
  words = [f'w{i}' for i in range(count)]
  possible = sorted(i for i in possible if i < count)
  fits = [i for i in possible if i + length <= count or i == 0]
  seen = set()
  for seed in range(40):
    start, span = ngram_spans.span_from(
      words, possible, (length, length), np.random.default_rng(seed)
    )
    if not fits:
      assert (start, span) == (0, '')
    else:
      assert span == ' '.join(words[start : start + length])
      seen.add(start)
  assert seen <= set(fits)
  assert len(seen) >= min(len(fits), 3)


# --- Supervised examples.


def views(examples):
  return collections.Counter(example.view for example in examples)


def test_a_pair_gives_what_the_options_say():
  found = ngram_examples.supervised_examples('which whale', DOCUMENT)
  assert views(found) == {'body': 10, 'title': 3}
  words = PASSAGE.split()
  spans = [words[i : i + 10] for i in range(len(words))]
  for example in found:
    assert example.source == 'which whale'
    assert example.grade == 'gold'
    if example.view == 'title':
      assert example.target == 'Blue whale'
    else:
      assert example.target.split() in spans
  options = Supervised(
    spans=2, titles=1, min_words=3, max_words=3, grade='silver'
  )
  found = ngram_examples.supervised_examples(
    'which whale', DOCUMENT, options=options
  )
  assert views(found) == {'body': 2, 'title': 1}
  assert {example.grade for example in found} == {'silver'}
  assert options.examples == 3
  assert all(len(e.target.split()) <= 3 for e in found)


@pytest.mark.parametrize(
  ('document', 'query', 'expected'),
  [
    (Document('d', '', PASSAGE), 'whale', {'body': 10}),
    (Document('d', ' ', PASSAGE), 'whale', {'body': 10}),
    (Document('d', 'Whale', ' \n'), 'whale', {'title': 3}),
    (Document('d', '', ''), 'whale', {}),
    (DOCUMENT, ' ', {}),
    (Document('d', '', 'of the'), 'whale', {'body': 10}),
  ],
)
def test_what_is_missing_gives_no_examples(document, query, expected):
  found = ngram_examples.supervised_examples(query, document)
  assert views(found) == expected
  assert all(e.source and e.target for e in found)


def test_pseudo_queries_in_order_and_the_last_again():
  options = Supervised(spans=0, titles=0, queries=5)

  def targets(query, queries):
    found = ngram_examples.supervised_examples(
      query, DOCUMENT, queries=queries, options=options
    )
    assert all(e.view == 'query' and e.source == query for e in found)
    return [e.target for e in found]

  a, b, c = QUERIES
  assert targets('x', QUERIES) == [a, b, c, c, c]
  assert targets('x', [a]) == [a] * 5
  assert targets('x', [*'abcdefgh']) == [*'abcde']
  assert targets('x', []) == targets('x', [' ', '']) == []
  # Never the query itself, however it is written.
  assert targets(a, QUERIES) == [b, c, c, c, c]
  assert targets(f'{a.upper()}'.replace(' ', '  '), [a]) == []


def test_minder_without_queries_is_seal():
  minder = dataclasses.replace(MINDER[0], queries=0)
  assert minder == ngram_examples.SUPERVISED
  with_queries = ngram_examples.supervised_examples(
    'which whale', DOCUMENT, queries=QUERIES, options=MINDER[0]
  )
  without = ngram_examples.supervised_examples('which whale', DOCUMENT)
  assert with_queries[:-5] == without
  assert views(with_queries[-5:]) == {'query': 5}
  # And with a document that has none.
  assert (
    ngram_examples.supervised_examples(
      'which whale', DOCUMENT, options=MINDER[0]
    )
    == without
  )
  more = Unsupervised(queries=2)
  with_queries = ngram_examples.unsupervised_examples(
    DOCUMENT, queries=QUERIES, options=more
  )
  assert with_queries[:-2] == ngram_examples.unsupervised_examples(DOCUMENT)
  assert views(with_queries[-2:]) == {'query': 2}


def test_draws_depend_on_the_seed_and_both_ids_alone():
  def found(query_id='q', doc_id='d', seed=0):
    return ngram_examples.supervised_examples(
      'which whale',
      Document(doc_id, 'Blue whale', PASSAGE),
      query_id=query_id,
      seed=seed,
    )

  first = found()
  others = [found('r'), found(doc_id='e'), found(seed=1), found('qd', '')]
  assert found() == first
  assert all(other != first for other in others)
  assert all(a != b for a, b in itertools.combinations(others, 2))
  # The draws themselves, so that a change of them is seen: it makes all written
  # examples others, and `ngram_example_files.VERSION` says so.
  rng = ngram_examples.generator(0, 'q', 'd')
  assert rng.integers(1000, size=3).tolist() == [221, 302, 862]


# --- Unsupervised examples.


def many(document=DOCUMENT, *, count=300, **kwargs):
  """Unsupervised examples of a document, for many seeds."""
  return [
    ngram_examples.unsupervised_examples(document, seed=seed, **kwargs)
    for seed in range(count)
  ]


def test_a_document_gives_what_the_options_say():
  words = PASSAGE.split()
  spans = {' '.join(words[i : i + 10]): i for i in range(len(words) - 9)}
  lower = {span.lower(): i for span, i in spans.items()}
  good = [i for i in ngram_spans.good_starts(words) if i <= len(words) - 10]
  targets, sources, asked = set(), set(), collections.Counter()
  for found in many():
    assert len(found) == 5 == ngram_examples.UNSUPERVISED.examples
    whole, title, *rest = found
    assert whole.source.lower() == PASSAGE.lower()
    assert whole.target == 'Blue whale'
    asked[title.view] += 1
    if title.view == 'title':
      assert title.target == 'Blue whale'
      sources.add(lower[title.source.lower()])
    else:
      assert title.source.lower() == 'blue whale'
      assert spans[title.target] in good
    for example in rest:
      assert example.view == 'body'
      source, target = lower[example.source.lower()], spans[example.target]
      assert source != target
      targets.add(target)
      sources.add(source)
    assert {example.grade for example in found} == {'unsupervised'}
  assert targets == set(good)  # All of them, and no other.
  assert sources == set(spans.values())
  assert abs(asked['title'] - 150) < 4 * math.sqrt(300 / 4)


def test_every_pair_of_spans_is_as_likely():
  document = Document('d', '', 'w0 w1 w2 the w4')
  options = Unsupervised(
    spans=1000,
    min_source_words=2,
    max_source_words=2,
    min_words=2,
    max_words=2,
    lowercase=0,
  )
  found = ngram_examples.unsupervised_examples(document, options=options)
  drawn = collections.Counter((e.source[:2], e.target[:2]) for e in found)
  # Sources from w0, w1, w2 or 'the', targets not from 'the'.
  assert len(found) == 1000
  assert len(drawn) == 3 * 3
  assert all(abs(n / 1000 - 1 / 9) < 0.04 for n in drawn.values())


@pytest.mark.parametrize('share', [0.0, 0.1, 1.0])
def test_a_share_of_the_inputs_is_in_lower_case(share):
  document = Document('d', 'TITLE', ' '.join(['WORD'] * 30))
  options = Unsupervised(titles=4, spans=5, lowercase=share)
  found = [e for part in many(document, options=options) for e in part]
  assert len(found) == 3000
  lower = sum(e.source.islower() for e in found)
  assert abs(lower - share * 3000) <= 4 * math.sqrt(3000 * share * (1 - share))
  assert all(e.target.isupper() for e in found)


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_a_share_of_the_titles_is_read_and_not_written(share):
  options = Unsupervised(
    passages=0, spans=0, titles=4, title_sources=share, lowercase=0
  )
  found = [e for part in many(DOCUMENT, options=options) for e in part]
  read = sum(e.source == 'Blue whale' for e in found)
  assert read == sum(e.view == 'body' for e in found)
  sd = math.sqrt(len(found) * share * (1 - share))
  assert abs(read - share * len(found)) <= 4 * sd


def test_stop_words_of_another_language():
  words = ['Der', 'Wal', 'singt', 'und', 'die', 'See', 'schweigt']
  document = Document('d', 'Wal', ' '.join(words))
  lists = {'min_words': 1, 'max_words': 1, 'stop_words': ['der', 'Und', 'DIE']}
  wanted = {'Wal', 'singt', 'See', 'schweigt'}
  options = Supervised(spans=200, titles=0, **lists)
  assert hash(options) == hash(Supervised(spans=200, titles=0, **lists))
  found = ngram_examples.supervised_examples('die', document, options=options)
  assert {e.target for e in found} == wanted
  options = Unsupervised(passages=0, titles=0, spans=200, **lists)
  found = ngram_examples.unsupervised_examples(document, options=options)
  assert {e.target for e in found} == wanted
  # English ones otherwise, and none at all.
  read = {'min_source_words': 1, 'max_source_words': 1}
  for stop_words in (None, (), ['der']):
    options = dataclasses.replace(options, stop_words=stop_words, **read)
    found = ngram_examples.unsupervised_examples(document, options=options)
    assert ('Der' in {e.target for e in found}) == (stop_words != ['der'])


SHORT = 'blue whales sing'


@pytest.mark.parametrize(
  ('title', 'text', 'expected'),
  [
    ('', '', [set()]),
    ('Whale', '', [set()]),
    ('', SHORT, [set()]),  # One span only: there is no other.
    ('Same', ' Same ', [set()]),
    ('', PASSAGE, [{'body': 3}]),
    ('Whale', SHORT, [{'title': 2}, {'title': 1, 'body': 1}]),
    # No start is good enough to be a target.
    ('Whale', ' '.join(['the'] * 30), [{'title': 2}]),
  ],
)
def test_what_a_document_lacks_gives_no_examples(title, text, expected):
  found = {
    frozenset(views(examples).items())
    for examples in many(Document('d', title, text), count=50)
  }
  assert found == {frozenset(dict(e).items()) for e in expected}


def test_pseudo_queries_ask_for_one_another():
  options = Unsupervised(passages=0, titles=0, spans=0, queries=2, lowercase=0)
  a, b, c = QUERIES
  found = [
    (e.source, e.target)
    for part in many(options=options, queries=QUERIES)
    for e in part
  ]
  assert len(found) == 600
  assert set(found) == {(a, b), (b, a), (c, a)}
  one_query = [[], [a], [a, f' {a.upper()} ', '']]
  assert not any(
    examples
    for queries in one_query
    for examples in many(options=options, queries=queries, count=5)
  )


def test_minder_asks_with_pseudo_queries():
  words = PASSAGE.split()
  spans = {' '.join(words[i : i + 10]) for i in range(len(words))}
  queries = set()
  for found in many(queries=QUERIES, options=MINDER[1], count=100):
    title, *body, one, two = found
    assert title.view == 'title'
    assert title.target == 'Blue whale'
    assert [e.view for e in body] == ['body'] * 3
    assert {e.target for e in body} <= spans
    assert len({e.source.lower() for e in body}) == 1  # One for all spans.
    assert {one.view, two.view} == {'query'}
    queries |= {title.source.lower(), body[0].source.lower()}
  assert queries == set(QUERIES)
  assert many(options=MINDER[1], count=1) == [[]]
  (found,) = many(options=MINDER[1], queries=QUERIES[:1], count=1)
  assert views(found) == {'title': 1, 'body': 3}


def test_spans_for_pseudo_queries_are_drawn_as_for_queries():
  options = dataclasses.replace(
    MINDER[1], titles=0, queries=0, spans=20_000, temperature=0.3
  )
  found = ngram_examples.unsupervised_examples(
    DOCUMENT, queries=['eats krill'], options=options
  )
  words = PASSAGE.split()
  expected = ngram_spans.span_starts('eats krill', words, temperature=0.3)
  drawn = collections.Counter(e.target for e in found)
  likeliest = int(expected.argmax())
  count = drawn[' '.join(words[likeliest : likeliest + 10])]
  assert abs(count / 20_000 - expected[likeliest]) < 0.015


@hypothesis.given(
  st.text('the ab.([é', max_size=40),
  st.text('T ', max_size=3),
  st.lists(st.text('q ', max_size=3), max_size=3),
  st.sampled_from(['text', 'queries']),
  st.integers(0, 3),
)
def test_no_side_of_an_example_is_empty(text, title, queries, sources, seed):
  document = Document('d', title, text)
  options = Unsupervised(
    sources=sources, queries=2, min_words=1, max_words=3, max_source_words=12
  )
  found = ngram_examples.unsupervised_examples(
    document, queries=queries, options=options, seed=seed
  ) + ngram_examples.supervised_examples(
    'a b', document, queries=queries, options=MINDER[0], seed=seed
  )
  for example in found:
    assert isinstance(example, Example)
    for side in (example.source, example.target):
      assert side.strip() == side != ''


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (lambda: Supervised(spans=-1), 'Expected spans of at least 0, got -1.'),
    (lambda: Supervised(queries=-1), 'Expected queries of at least 0, got -1.'),
    (
      lambda: Supervised(min_words=11),
      r'Expected 1 <= min_words <= max_words, got \(11, 10\).',
    ),
    (lambda: Supervised(window=0), 'Expected a window of at least 1, got 0.'),
    (
      lambda: Supervised(temperature=0),
      'Expected a temperature above 0, got 0.',
    ),
    (
      lambda: Supervised(grade='+'),
      r"Expected a grade of gold, silver, unsupervised, got '\+'.",
    ),
    (
      lambda: Unsupervised(passages=-1),
      'Expected passages of at least 0, got -1.',
    ),
    (
      lambda: Unsupervised(sources='body'),
      "Expected sources of text or queries, got 'body'.",
    ),
    (
      lambda: Unsupervised(min_source_words=0),
      r'Expected 1 <= min_source_words <= max_source_words, got \(0, 10\).',
    ),
    (
      lambda: Unsupervised(lowercase=1.1),
      'Expected lowercase from 0 to 1, got 1.1.',
    ),
    (
      lambda: Unsupervised(title_sources=-0.1),
      'Expected title_sources from 0 to 1, got -0.1.',
    ),
    (
      lambda: Supervised(stop_words='the'),
      "Expected a list of stop_words, got 'the'.",
    ),
  ],
)
def test_options_that_cannot_be(options, message):
  with pytest.raises(ValueError, match=message):
    options()


def test_which_options_need_pseudo_queries():
  seal, minder = ngram_examples.RECIPES['seal'], MINDER
  assert [o.needs_queries for o in seal + minder] == [False, False, True, True]
  assert Unsupervised(sources='queries').needs_queries
