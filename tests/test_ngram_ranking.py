# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Ranking by n-grams, by hand: each rule by itself."""

import dataclasses
import math

import numpy as np
import pytest

from genret import FMIndex
from genret.ranking.ngrams import Evidence, NgramScorer, Scoring

A, B, C, D, E, F = range(10, 16)
VOCAB = 20

# Weights are what log-probabilities have above -10: no corpus is asked. The
# filler sets the floor.
HAND = Scoring(frequencies=False, alpha=1.0)
FILLER = ((0,), -9.9)


def rank(rows, weights, k=10, *, unigrams=None, scoring=HAND, **options):
  """Ranks rows by keys of these weights."""
  index = FMIndex.build(rows, VOCAB)
  scorer = NgramScorer(index, dataclasses.replace(scoring, **options))
  log_prob_V = None
  if unigrams is not None:
    log_prob_V = np.full(VOCAB, -math.inf)
    for token, value in unigrams.items():
      log_prob_V[token] = value - 10
  keys = [(key, value - 10) for key, value in weights.items()] + [FILLER]
  return scorer.score(*zip(*keys, strict=True), log_prob_V, k)


def parts(document):
  """{key: (contribution, offsets)} of a document's evidence."""
  return {
    e.tokens: (pytest.approx(e.contribution), e.offsets)
    for e in document.evidence
  }


# By hand.


def test_the_heavier_of_two_that_overlap_stands():
  (found,) = rank([[A, B, C]], {(A, B): 3, (B, C): 2})
  assert parts(found) == {(A, B): (3, (0,))}
  # Where the other stands free too, it counts there: B was had, C not.
  (found,) = rank([[A, B, C, B, C]], {(A, B): 3, (B, C): 2})
  assert parts(found) == {(A, B): (3, (0,)), (B, C): (2 * 0.6, (3,))}
  assert found.score == pytest.approx(4.2)
  assert found.evidence[0] == Evidence((A, B), -7.0, 1, pytest.approx(3), (0,))


def test_a_key_that_comes_again_takes_its_places_and_adds_nothing():
  (found,) = rank([[A, B, A, B]], {(A, B): 3, (B, A): 2, (B,): 1})
  assert parts(found) == {(A, B): (3, (0, 2))}


def test_what_overlaps_itself_is_taken_from_the_front():
  (found,) = rank([[A, A, A, A, A]], {(A, A): 3, (A,): 1})
  assert parts(found) == {(A, A): (3, (0, 2)), (A,): (pytest.approx(0.2), (4,))}


def test_tokens_that_were_had_count_for_less():
  rows = [[A, B, D, B, C, D, C, C, A]]
  (found,) = rank(rows, {(A, B): 4, (B, C): 2, (C, C, A): 1}, beta=0.5)
  # B of two was had; then both of C and A.
  assert parts(found) == {
    (A, B): (4, (0,)),
    (B, C): (2 * 0.75, (3,)),
    (C, C, A): (0.5, (6,)),
  }


def test_with_full_discount_what_was_had_does_not_even_take_places():
  rows = [[A, B, D, B, A, E]]
  weights = {(A, B): 4, (B, A): 3, (A, E): 2}
  (found,) = rank(rows, weights, beta=1.0)
  assert parts(found) == {(A, B): (4, (0,)), (A, E): (1, (4,))}


def test_alpha_one_and_no_discount_sum_what_does_not_overlap():
  rows = [[A, B, C, D, A, B], [C, D, A, B, C], [E]]
  weights = {(A, B): 3, (C, D): 2.5, (B, C): 2, (A,): 1}
  found = rank(rows, weights, beta=0.0)
  assert [(d.document, d.score) for d in found] == [
    (0, pytest.approx(5.5)),
    (1, pytest.approx(5.5)),
  ]
  found = rank([*rows, [B, C, A]], weights, beta=0.0)
  assert [d.document for d in found] == [0, 1, 3]
  assert found[2].score == pytest.approx(3)


def test_stage_one_counts_a_place_once():
  # By all their keys the first would have 5, but (B,) has no place there.
  rows = [[A, B], [B, D, C]]
  weights = {(A, B): 3, (B,): 2, (C,): 1.5}
  chosen = rank(rows, weights, beta=0.0, fully_scored=1)
  assert [(d.document, d.score) for d in chosen] == [(1, pytest.approx(3.5))]
  both = rank(rows, weights, beta=0.0)
  assert [d.score for d in both] == pytest.approx([3.5, 3])


def test_stage_one_takes_nothing_for_what_it_does_not_count():
  # (B, C) finds B taken, and leaves C to (C,).
  rows = [[A, B, C], [E]]
  weights = {(A, B): 3, (E,): 3.5, (B, C): 2, (C,): 1}
  assert rank(rows, weights, beta=0.0, fully_scored=1)[0].document == 0


def test_stage_one_discounts_tokens_that_were_had():
  # 3 + 2 * .2 against 3.5: without a discount the first has 5.
  rows = [[A, B, D, B, A], [C, D]]
  weights = {(A, B): 3, (B, A): 2, (C,): 3.4001}
  assert rank(rows, weights, fully_scored=1)[0].document == 1
  assert rank(rows, weights, beta=0.0, fully_scored=1)[0].document == 0
  # A key counts once however often it stands there.
  rows = [[A, B, D, A, B], [C, D]]
  assert rank(rows, {(A, B): 3, (C,): 3.1}, fully_scored=1)[0].document == 1


def test_frequent_keys_find_nothing_and_count_in_what_is_read():
  rows = [[A, B], [A, C], [A], [D]]
  found = rank(rows, {(A,): 3, (B,): 1, (D,): 2}, max_occurrences=2)
  assert [(d.document, d.score) for d in found] == [
    (0, pytest.approx(4)),
    (3, pytest.approx(2)),
  ]
  assert not rank(rows, {(A,): 3}, max_occurrences=2)
  # What is more frequent still is left out.
  found = rank(rows, {(A,): 3, (B,): 1}, max_occurrences=2, max_count=2)
  assert [d.score for d in found] == pytest.approx([1])


def test_tokens_at_free_places_add_their_own_weight():
  rows = [[A, B, C, C, A, D]]
  unigrams = {A: 1.0, C: 2.0, D: 0.5, E: 3.0}
  options = {'unigrams': unigrams, 'add_best_unigrams': False, 'beta': 0.75}
  (found,) = rank(rows, {(A, B): 4}, **options)
  # C is new, at both places once; A was had; D is new.
  assert parts(found) == {
    (A, B): (4, (0,)),
    (C,): (2, (2, 3)),
    (A,): (0.25, (4,)),
    (D,): (0.5, (5,)),
  }
  assert found.score == pytest.approx(6.75)
  # They do not count as had for each other; keys of one token have no other
  # weight, even where they are out of use.
  (found,) = rank(rows, {(A, B): 4, (C,): 1.0}, **options, max_count=1)
  assert parts(found).keys() == {(A, B), (A,), (D,)}
  # With the full discount what was had adds nothing.
  (found,) = rank(rows, {(A, B): 4}, **{**options, 'beta': 1.0})
  assert parts(found).keys() == {(A, B), (C,), (D,)}


def test_no_document_is_found_by_tokens_that_are_no_keys():
  options = {'unigrams': {B: 2.0}, 'beta': 0.0}
  rows = [[A, B], [B]]
  (found,) = rank(rows, {(A,): 4}, **options, add_best_unigrams=False)
  assert found.document == 0
  # The best one goes with the keys: here two, the filler among them.
  found = rank(rows, {(A,): 4}, **options)
  assert [(d.document, d.score) for d in found] == [
    (0, pytest.approx(6)),
    (1, pytest.approx(2)),
  ]


def test_as_many_tokens_become_keys_as_there_are_keys():
  rows = [[A], [B], [C], [D], [E, F]]
  unigrams = {A: 1.0, B: 2.0, C: 2.0, D: 3.0}
  found = rank(rows, {(E, F): 4}, unigrams=unigrams)
  # Two, with the filler; of equal ones the lower id.
  assert [d.document for d in found] == [4, 3, 1]
  index = FMIndex.build(rows, VOCAB)
  scorer = NgramScorer(index, HAND, ignored=[D])
  log_prob_V = np.full(VOCAB, -math.inf)
  log_prob_V[list(unigrams)] = np.array(list(unigrams.values())) - 10
  keys = [(E, F), (E, F), (0,), ()]
  found = scorer.score(keys, [-6, -7, -9.9, -9.9], log_prob_V, 10)
  assert [d.document for d in found] == [4, 1, 2]


def test_the_share_of_the_best_key_alone():
  rows = [[A, B], [A, C], [B, C]]
  weights = {(A,): 3, (B,): 2, (C,): 2.5}
  found = rank(rows, weights, single_key=0.25, beta=0.0)
  assert [(d.document, d.score) for d in found] == [
    (1, pytest.approx(0.75 * 5.5 + 0.25 * 3)),
    (0, pytest.approx(0.75 * 5 + 0.25 * 3)),
    (2, pytest.approx(0.75 * 4.5 + 0.25 * 2.5)),
  ]
  assert parts(found[1]) == {(A,): (3, (0,)), (B,): (1.5, (1,))}
  found = rank(rows, weights, single_key=1.0, fully_scored=2)
  assert [d.score for d in found] == pytest.approx([3, 3])
  # Stage 1 goes by the greatest weight, too, which is not that of the last key.
  found = rank(rows, weights, single_key=1.0, beta=0.0, fully_scored=1)
  assert found[0].document == 0


def test_many_keys_that_begin_alike():
  pairs = [(first, second) for first in (0, 1) for second in range(2, 400)]
  rows = [[token for pair in pairs for token in pair]]
  index = FMIndex.build(rows, 400)
  scorer = NgramScorer(index, dataclasses.replace(HAND, beta=0.0))
  log_probs = [-1.0 - i / 1000 for i in range(len(pairs))]
  (found,) = scorer.score(pairs, log_probs, None, 1)
  assert [e.tokens for e in found.evidence] == pairs
  assert [e.log_probability for e in found.evidence] == log_probs
  assert [e.offsets for e in found.evidence] == [
    (2 * i,) for i in range(len(pairs))
  ]


def test_alpha_is_of_keys_and_not_of_tokens():
  scoring = Scoring(add_best_unigrams=False)
  weight = math.log(9)  # Odds of 1, against (1 + 5) / (55 + 5).
  rows = [[A, B], *[[C] * 53]]
  log_prob_V = np.full(VOCAB, math.log(0.5))

  def scores(**options):
    index = FMIndex.build(rows, VOCAB)
    scorer = NgramScorer(index, dataclasses.replace(scoring, **options))
    (found,) = scorer.score([(A,)], [math.log(0.5)], log_prob_V, 1)
    return {e.tokens: e.contribution for e in found.evidence}

  assert scores() == pytest.approx({(A,): weight**2, (B,): weight})
  assert scores(alpha=3.0, unigram_alpha=2.0) == pytest.approx(
    {(A,): weight**3, (B,): weight**2}
  )


def test_the_best_key_alone():
  rows = [[A, B, A, B], [B], [C, A, B], [D]]
  index = FMIndex.build(rows, VOCAB)
  keys = [(A, B), (B,), (D,), (C,), (E,)]
  log_probs = [-2.0, -1.0, -5.0, -math.inf, -0.1]

  def found(**options):
    scorer = NgramScorer(index, Scoring(**options))
    return scorer.score(keys, log_probs, np.full(VOCAB, -1.0), 10)

  lm = found(mode='lm')
  assert [(d.document, d.score) for d in lm] == [
    *[(0, -1.0), (1, -1.0), (2, -1.0), (3, -5.0)]
  ]
  assert lm[0].evidence == (Evidence((B,), -1.0, 4, -1.0, (1, 3)),)
  # (A, B) has half of its log-probability.
  lm = found(mode='lm', gamma=0.6, single_key=0.5)
  assert [d.score for d in lm] == pytest.approx([-0.8, -0.8, -1.0, -5.0])
  assert lm[1].evidence == (
    Evidence((A, B), -2.0, 3, pytest.approx(-0.8), (1,)),
  )
  # Documents come from rare keys.
  rare = found(mode='lm', max_occurrences=3)
  assert [d.document for d in rare] == [0, 2, 3]
  assert [d.evidence[0].tokens for d in rare] == [(A, B), (A, B), (D,)]


def test_the_best_weight_alone():
  rows = [[A, B, A, B], [B], [C, A, B], [D]]
  scoring = Scoring(mode='lm+fm', frequencies=False, alpha=3.0, single_key=0.5)
  scorer = NgramScorer(FMIndex.build(rows, VOCAB), scoring)
  # Of 9 tokens, (A, B) is the rarer; the model is less sure of D than the
  # corpus is.
  keys = [(A, B), (B,), (D,)]
  found = scorer.score(keys, [-0.2, -0.2, -1.0], np.full(VOCAB, -0.1), 10)

  def odds(p):
    return math.log(p / (1 - p))

  best = pytest.approx(odds(math.exp(-0.2)) - odds(8 / 14))
  other = pytest.approx(odds(math.exp(-0.2)) - odds(9 / 14))
  assert [(d.document, d.score) for d in found] == [
    *[(0, best), (2, best), (1, other)]
  ]
  assert found[0].evidence == (Evidence((A, B), -0.2, 3, best, (0, 2)),)
  assert found[0].evidence[0].contribution == found[0].score


def test_equal_scores_stand_by_number_and_are_cut_so():
  rows = [[A], [B], [A, A], [B, C]]
  weights = {(B,): 2, (A,): 2}
  assert [d.document for d in rank(rows, weights)] == [0, 1, 2, 3]
  assert [d.document for d in rank(rows, weights, fully_scored=3)] == [0, 1, 2]
  assert [d.document for d in rank(rows, weights, 2)] == [0, 1]
  # (C,) is frequent: stage 1 finds the second better. As released, it stays so.
  rows, weights = [[A, C], [B], [C], [C]], {(A,): 1, (C,): 2, (B,): 3}
  options = {'beta': 0.0, 'max_occurrences': 2}
  found = rank(rows, weights, **options)
  assert found[0].score == found[1].score
  assert [d.document for d in found] == [0, 1]
  found = rank(rows, weights, **options, as_released=True)
  assert [d.document for d in found] == [1, 0]


def test_as_released_ties_fall_as_keys_arrive():
  rows = [[A], [B]]
  for keys in ([(A,), (B,)], [(B,), (A,)]):
    scorer = NgramScorer(
      FMIndex.build(rows, VOCAB), dataclasses.replace(HAND, as_released=True)
    )
    found = scorer.score(keys, [-1.0, -1.0], None, 2)
    assert [d.evidence[0].tokens for d in found] == keys
  # And what arrives last counts, at the first place.
  found = scorer.score([(A,), (B,), (A,)], [-1.0, -2.0, -2.0], None, 2)
  assert [d.evidence[0].log_probability for d in found] == [-2.0, -2.0]
  assert [d.document for d in found] == [0, 1]


def test_as_released_takes_places_beside_the_occurrence():
  # Behind the mark A: (B,) takes the place behind itself, so (B, C) is free.
  rows = [[A, B, C], [A, E]]
  weights = {(B,): 3, (B, C): 2, (E,): 4.9}
  for as_released, first in ((False, 1), (True, 0)):
    found = rank(
      rows, weights, beta=0.0, fully_scored=1, as_released=as_released
    )
    assert [d.document for d in found] == [first]
