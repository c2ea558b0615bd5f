# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The scorer of n-grams at its edges: nothing to say, changes, wrong arguments."""

import dataclasses
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from genret import FMIndex
from genret.ranking import ngram_kernels
from genret.ranking.ngrams import NgramScorer, ScoredDocument, Scoring

A, B, C, E = 10, 11, 12, 14
VOCAB = 20

# Weights are what log-probabilities have above the least one.
PLAIN = Scoring(frequencies=False, alpha=1.0)


def test_keys_that_say_nothing():
  rows = [[A, B], []]
  index = FMIndex.build(rows, VOCAB)
  scorer = NgramScorer(index, PLAIN)
  nothing = [(), (E,), (A, E), (-1,), (VOCAB,), (A, B, C), (B, A), (10**12,)]
  assert scorer.score(nothing, [-1.0] * len(nothing), None, 5) == []
  assert scorer.score([], [], None, 5) == []
  assert scorer.score([], [], np.full(VOCAB, -1.0), 5) == []
  assert scorer.score([(A,)], [-math.inf], np.full(VOCAB, -1.0), 5) == []
  assert scorer.score([(A,), (B,)], [-1, -2], None, 0) == []
  for mode in ('lm', 'lm+fm'):
    plain = NgramScorer(index, Scoring(mode=mode))
    assert plain.score(nothing, [-1.0] * len(nothing), None, 5) == []
    assert plain.score([], [], None, 5) == []
  # An array is a key, too; of two alike the more probable counts.
  keys = [np.array([A, B]), [A, B], (B,), np.zeros(0, int)]
  (found,) = scorer.score(keys, np.array([-3.0, -2.0, -4.0, 0.0]), None, 5)
  assert [e.tokens for e in found.evidence] == [(A, B)]
  assert found.score == pytest.approx(2.1)
  assert found.evidence[0].log_probability == -2.0


@pytest.mark.parametrize('rows', [[], [[]], [[], []]])
def test_an_index_of_nothing(rows):
  for scoring in (Scoring(), Scoring(as_released=True), Scoring(mode='lm')):
    scorer = NgramScorer(FMIndex.build(rows, VOCAB), scoring)
    assert scorer.score([(A,)], [-1.0], np.full(VOCAB, -1.0), 5) == []


def test_a_certain_key_gives_a_finite_score():
  rows = [[A, B], [C]]
  scorer = NgramScorer(FMIndex.build(rows, VOCAB))
  log_prob_V = np.full(VOCAB, -1.0)
  log_prob_V[B] = 0.0
  (found,) = scorer.score([(A,)], [1e-9], log_prob_V, 5)
  assert math.isfinite(found.score)
  assert math.fsum(e.contribution for e in found.evidence) == pytest.approx(
    found.score
  )


@pytest.mark.parametrize('as_released', [False, True])
def test_an_index_that_changes(as_released):
  index = FMIndex.build([[A, B], [A]], VOCAB)
  scoring = dataclasses.replace(PLAIN, as_released=as_released)
  scorer = NgramScorer(index, scoring)
  keys = [(A,), (B,)], [-1.0, -2.0]
  before = scorer.score(*keys, None, 5)
  assert [d.document for d in before] == [0, 1]
  assert before[0].evidence[0].count == 2
  index.add([[B, B, A]])
  # As released, the suffix `A B` of the last document comes first.
  order = [2, 0, 1] if as_released else [0, 2, 1]
  assert [d.document for d in scorer.score(*keys, None, 5)] == order
  index.remove([0])
  after = scorer.score(*keys, None, 5)
  assert [d.document for d in after] == [2, 1]
  assert [e.count for e in after[0].evidence] == [2, 2]


def test_scores_alone():
  index = FMIndex.build([[A, B], [A]], VOCAB)
  scorer = NgramScorer(index, PLAIN)
  keys = [(A,), (B,)], [-1.0, -2.0]
  plain = scorer.score(*keys, None, 5, evidence=False)
  assert plain == [
    ScoredDocument(d.document, d.score) for d in scorer.score(*keys, None, 5)
  ]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (([(A,)], [], None, 1), r'for each of 1 keys, got shape \(0,\)'),
    (([(A,)], [math.nan], None, 1), 'got NaN for key 0; look for'),
    (([(A,), (1.5,)], [-1, -1], None, 1), 'keys of integers, got float64'),
    (([(A,)], [-1], None, -1), 'k of 0 or more documents, got -1'),
    (([(A,)], [-1], np.zeros(3), 1), r'of the 20 tokens .* got shape \(3,\)'),
    (
      ([(A,)], [-1], np.full(VOCAB, np.nan), 1),
      'of tokens, got NaN for token 0',
    ),
  ],
)
def test_wrong_arguments(arguments, message):
  scorer = NgramScorer(FMIndex.build([[A]], VOCAB))
  with pytest.raises(ValueError, match=f'Expected .*{message}'):
    scorer.score(*arguments)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'mode': 'fm'}, "a mode among lm, lm\\+fm, intersective, got 'fm'"),
    ({'alpha': 0.0}, 'alpha above 0, got 0.0'),
    ({'unigram_alpha': -1.0}, 'unigram_alpha above 0, got -1.0'),
    ({'beta': 1.5}, 'beta from 0 to 1, got 1.5'),
    ({'single_key': -0.5}, 'single_key from 0 to 1, got -0.5'),
    ({'gamma': 1.0}, 'gamma from 0 to below 1, got 1.0'),
    ({'smoothing': -1.0}, 'smoothing of at least 0, got -1.0'),
    ({'smoothing': math.inf}, 'smoothing of at least 0, got inf'),
    ({'alpha': math.nan}, 'alpha above 0, got nan'),
    ({'fully_scored': -1}, 'fully_scored of at least 0, got -1'),
  ],
)
def test_wrong_options(options, message):
  with pytest.raises(ValueError, match=f'Expected {message}'):
    Scoring(**options)


@hypothesis.given(st.data())
def test_occurrences_are_sorted(data):
  size = data.draw(st.integers(0, 30))
  most = data.draw(st.sampled_from([2, 5000, 2**31 - 1]))
  columns = np.array(
    data.draw(
      st.lists(
        st.tuples(*[st.integers(0, most)] * 3), min_size=size, max_size=size
      )
    ),
    np.int32,
  ).reshape(size, 3)
  key_Y, document_Y, offset_Y = columns.T.copy()
  order = ngram_kernels.order_by_document(key_Y, document_Y, offset_Y)
  expected = np.lexsort((offset_Y, key_Y, document_Y))
  assert columns[order].tolist() == columns[expected].tolist()
