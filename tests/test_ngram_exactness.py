# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Ranking by n-grams against the formulas in plain Python, on random corpora.

Scores that differ in their last digits only may stand in either order there, so
documents are compared as sets where neighbours are that near.
"""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import plain_ngrams
import pytest

from genret import FMIndex
from genret.ranking.ngram_places import Places
from genret.ranking.ngrams import MODES, NgramScorer, Scoring

VOCAB = 7
TOKENS = st.integers(0, VOCAB - 1)
LOG_PROBS = st.one_of(
  st.sampled_from([-0.25, -0.5, -1.0, -2.0, 0.0, 0.25, -math.inf]),
  st.floats(-2, -0.01),
  st.floats(-6, -0.01),
)

SCORINGS = st.builds(
  Scoring,
  mode=st.sampled_from([MODES[2], MODES[2], *MODES]),
  alpha=st.sampled_from([2.0, 1.0, 0.5]),
  beta=st.sampled_from([0.8, 0.0, 1.0]),
  gamma=st.sampled_from([0.0, 0.5]),
  smoothing=st.sampled_from([0.0, 1.0, 5.0]),
  single_key=st.sampled_from([0.0, 0.25, 1.0]),
  max_occurrences=st.sampled_from([1500, 8, 4, 2]),
  max_count=st.sampled_from([10_000_000, 12]),
  fully_scored=st.sampled_from([1500, 3, 2, 1]),
  unigram_limit=st.sampled_from([5000, 3, 0]),
  add_best_unigrams=st.booleans(),
  frequencies=st.booleans(),
  unigram_alpha=st.sampled_from([1.0, 2.0]),
)


@st.composite
def corpora(draw):
  """An index in some segments, and its documents by number."""
  documents = draw(
    st.lists(st.lists(TOKENS, max_size=12), min_size=4, max_size=9)
  )
  index = FMIndex.build(
    documents,
    VOCAB,
    shards=draw(st.integers(1, 3)),
    sample_rate=draw(st.sampled_from([1, 1, 3])),
    segment_tokens=draw(st.sampled_from([5, 1 << 29])),
  )
  later = draw(st.lists(st.lists(TOKENS, max_size=12), max_size=2))
  index.add(later)
  by_number = dict(enumerate(documents + later))
  if by_number:
    gone = draw(st.sets(st.sampled_from(sorted(by_number)), max_size=3))
    index.remove(gone)
    for number in gone:
      del by_number[number]
  return index, by_number


@st.composite
def queries(draw, documents):
  """Keys, mostly of the corpus, and log-probabilities."""
  keys = draw(st.lists(st.lists(TOKENS, max_size=3), max_size=3))
  spans = [
    document[i:j]
    for document in documents.values()
    for i in range(len(document))
    for j in range(i + 1, min(i + 5, len(document)) + 1)
  ]
  if spans:
    keys += draw(st.lists(st.sampled_from(spans), min_size=4, max_size=12))
  log_probs = draw(st.lists(LOG_PROBS, min_size=len(keys), max_size=len(keys)))
  unigrams = draw(
    st.none() | st.lists(LOG_PROBS, min_size=VOCAB, max_size=VOCAB)
  )
  return keys, log_probs, unigrams


def near(one, other):
  return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


@hypothesis.given(st.data())
def test_documents_scores_and_evidence_are_those_of_the_formulas(data):
  index, documents = data.draw(corpora())
  keys, log_probs, unigrams = data.draw(queries(documents))
  scoring = data.draw(SCORINGS)
  ignored = data.draw(st.lists(TOKENS, max_size=2))
  plain = plain_ngrams.PlainScorer(documents, VOCAB, scoring, ignored)
  expected = plain.score(keys, log_probs, unigrams, 10**6)
  hypothesis.assume(not plain.nearly_equal())
  scorer = NgramScorer(index, scoring, ignored=ignored)
  if scoring.mode == 'intersective':
    chosen = scorer.choose(scorer.weigh(keys, log_probs, unigrams))
    numbers = Places(index).numbers(chosen).tolist()
    assert numbers == plain.candidates[: scoring.fully_scored]
  found = scorer.score(keys, log_probs, unigrams, 10**6)
  assert len(found) == len(expected)
  assert [d.score for d in found] == pytest.approx(
    [score for _, score, _ in expected], rel=1e-9, abs=1e-9
  )
  by_number = {number: rest for number, *rest in expected}
  for i, document in enumerate(found):
    number, score, _ = expected[i]
    assert document.document == number or near(
      by_number[document.document][0], score
    )
    check_evidence(document, by_number[document.document][1])
  few = data.draw(st.integers(0, 4))
  assert scorer.score(keys, log_probs, unigrams, few) == found[:few]


def check_evidence(document, expected):
  assert math.fsum(e.contribution for e in document.evidence) == pytest.approx(
    document.score, rel=1e-12
  )
  order = [(-e.contribution, e.tokens) for e in document.evidence]
  assert order == sorted(order)
  found = {
    e.tokens: (e.log_probability, e.count, e.contribution, e.offsets)
    for e in document.evidence
  }
  assert len(found) == len(document.evidence)
  assert found.keys() == expected.keys()
  for key, (log_prob, count, gain, offsets) in expected.items():
    assert found[key] == (log_prob, count, found[key][2], offsets)
    assert near(found[key][2], gain)


@hypothesis.given(st.data())
def test_the_order_of_arrival_does_not_matter(data):
  index, documents = data.draw(corpora())
  keys, log_probs, unigrams = data.draw(queries(documents))
  scorer = NgramScorer(index, data.draw(SCORINGS))
  places = data.draw(st.permutations(range(len(keys))))
  expected = scorer.score(keys, log_probs, unigrams, 100)
  keys, log_probs = [keys[i] for i in places], [log_probs[i] for i in places]
  assert scorer.score(keys, log_probs, unigrams, 100) == expected


@hypothesis.given(st.data())
def test_segments_and_samples_do_not_matter(data):
  index, documents = data.draw(corpora())
  keys, log_probs, unigrams = data.draw(queries(documents))
  scoring = data.draw(SCORINGS)
  whole = FMIndex.build(list(documents.values()), VOCAB, sample_rate=1)
  numbers = dict(enumerate(documents))
  expected = NgramScorer(whole, scoring).score(keys, log_probs, unigrams, 100)
  assert NgramScorer(index, scoring).score(keys, log_probs, unigrams, 100) == [
    d._replace(document=numbers[d.document]) for d in expected
  ]


def test_large_counts_and_long_documents():
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, VOCAB, n).tolist() for n in (3000, 0, 1, 2500, 40)]
  index = FMIndex.build(rows, VOCAB, sample_rate=1)
  documents = dict(enumerate(rows))
  keys = [rows[0][i : i + 4] for i in range(0, 400, 3)] + [[0], [1, 2]]
  log_probs = (-rng.random(len(keys))).tolist()
  unigrams = np.log(rng.dirichlet(np.ones(VOCAB))).tolist()
  plain = plain_ngrams.PlainScorer(documents, VOCAB, Scoring(), [3])
  expected = plain.score(keys, log_probs, unigrams, 10)
  found = NgramScorer(index, ignored=[3]).score(keys, log_probs, unigrams, 10)
  assert [d.document for d in found] == [number for number, _, _ in expected]
  for document, (_, score, evidence) in zip(found, expected, strict=True):
    assert document.score == pytest.approx(score, rel=1e-9)
    check_evidence(document, evidence)
