# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The formulas of SEAL's weights, against figures worked out by hand."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from genret.ranking import ngram_weights


def weight(log_prob, count, *, length=1, num_tokens=95, **options):
  options = {
    'smoothing': 5.0,
    'gamma': 0.0,
    'frequencies': True,
    **options,
  }
  return float(
    ngram_weights.key_weights(
      np.array([log_prob]),
      np.array([length]),
      np.array([count]),
      num_tokens=num_tokens,
      **options,
    )[0]
  )


def test_the_log_odds_of_the_model_over_the_corpus():
  # 1/2 has odds 1; (5 + 5) / (95 + 5) = 1/10 has odds 1/9.
  assert weight(math.log(0.5), 5) == pytest.approx(math.log(9))
  # 4/5 has odds 4.
  assert weight(math.log(0.8), 5) == pytest.approx(math.log(36))


def test_what_the_corpus_finds_as_likely_weighs_nothing():
  assert weight(math.log(0.1), 5) == pytest.approx(0.0, abs=1e-9)
  assert weight(math.log(0.05), 5) == 0.0


def test_without_smoothing_the_corpus_is_its_frequency():
  # 19 of 95 is 1/5, with odds 1/4.
  assert weight(math.log(0.5), 19, smoothing=0.0) == pytest.approx(math.log(4))


def test_what_does_not_occur_or_cannot_be_weighs_nothing():
  assert weight(math.log(0.5), 0) == 0.0
  assert weight(-math.inf, 5) == 0.0


def test_a_certain_key_has_a_finite_weight():
  # Odds of about 1e10.
  expected = -math.log(1e-10) + math.log(9)
  for log_prob in (0.0, 1e-7, 3.0):
    assert weight(log_prob, 5) == pytest.approx(expected)


def test_a_corpus_of_one_token_type_is_certain():
  assert weight(math.log(0.5), 95) == 0.0
  assert weight(0.0, 95) == 0.0


def test_long_keys_look_more_probable_with_gamma():
  # Three tokens: log-probabilities times (1 - 0.5)^2.
  assert weight(math.log(0.0625), 5, length=3, gamma=0.5) == pytest.approx(
    math.log(9)
  )
  assert weight(-1e300, 5, length=3, gamma=0.9) == 0.0
  assert math.isfinite(weight(0.0, 5, length=400, gamma=0.5))


def test_weights_that_do_not_ask_the_corpus():
  weight_K = ngram_weights.key_weights(
    np.array([-1.0, -3.0, -2.0, -math.inf, -5.0]),
    np.array([1, 1, 3, 1, 1]),
    np.array([1, 70, 2, 4, 0]),
    num_tokens=95,
    smoothing=5.0,
    gamma=0.5,
    frequencies=False,
  )
  # The floor is 0.1 below -5, though that key does not occur.
  np.testing.assert_allclose(weight_K, [4.1, 2.1, 3.1 / 4, 0.0, 0.0])


def test_no_floor_without_a_probable_key():
  nothing = np.zeros(0)
  assert ngram_weights.floor_of(nothing) == -math.inf
  floor = ngram_weights.floor_of(np.array([-math.inf]))
  weight_K = ngram_weights.floor_weights(np.array([-1.0]), np.array([3]), floor)
  assert weight_K.tolist() == [0.0]


@pytest.mark.parametrize('log_prob', [-1e-9, -1e-3, -0.5, -5.0, -50.0])
def test_the_formula_word_for_word(log_prob):
  for count, num_tokens in ((1, 10), (7, 1000), (999, 1000), (3, 10**9)):
    lp = log_prob - 1e-10
    lu = math.log((count + 5) / (num_tokens + 5))
    expected = (lp + math.log(1 - math.exp(lu))) - (
      lu + math.log(1 - math.exp(lp))
    )
    # Written so, 1 - e^x has lost its digits near 0.
    near = 1e-6 if log_prob > -1e-6 else 1e-12
    assert weight(log_prob, count, num_tokens=num_tokens) == pytest.approx(
      max(expected, 0.0), rel=near, abs=1e-12
    )


@hypothesis.given(st.floats(-700, 1), st.floats(-700, 1), st.integers(1, 50))
def test_weights_are_finite_and_rise_with_the_probability(one, other, count):
  less, more = weight(min(one, other), count), weight(max(one, other), count)
  assert math.isfinite(more)
  assert less <= more * (1 + 1e-12)


def unigrams(log_prob_V, count_V, **options):
  options = {
    'without': np.zeros(0, np.int64),
    'limit': 5000,
    'floor': None,
    'num_tokens': 95,
    'smoothing': 5.0,
    'exponent': 1.0,
    **options,
  }
  return ngram_weights.unigram_weights(
    np.array(log_prob_V), np.array(count_V), **options
  )


def test_tokens_weigh_as_keys_do():
  log_prob_V = np.log([0.5, 0.8, 0.05, 0.5, 0.5])
  weight_V = unigrams(log_prob_V, [5, 5, 5, 0, 5], without=np.array([4]))
  np.testing.assert_allclose(
    weight_V, [math.log(9), math.log(36), 0, 0, 0], rtol=1e-9
  )
  squared_V = unigrams(log_prob_V, [5] * 5, exponent=2.0)
  assert squared_V[0] == pytest.approx(math.log(9) ** 2)
  # A token gets no 1e-10, and is kept that far from 0.
  assert unigrams([-1e-9], [5])[0] == pytest.approx(
    math.log(9) - math.log(1e-9)
  )
  assert unigrams([0.5], [5])[0] == pytest.approx(math.log(9) - math.log(1e-10))


def test_tokens_without_the_corpus_stand_above_the_floor_of_keys():
  weight_V = unigrams([-1.0, -3.0, -2.0], [1, 1, 0], floor=-2.5, exponent=2.0)
  np.testing.assert_allclose(weight_V, [2.25, 0, 0])


def test_only_the_most_probable_tokens_weigh():
  log_prob_V = np.log([0.5, 0.8, 0.5, 0.5])
  for limit, expected in (
    (0, []),
    (1, [1]),
    (2, [0, 1]),  # Of equal ones the lower ids.
    (3, [0, 1, 2]),
    (4, [0, 1, 2, 3]),
    (9, [0, 1, 2, 3]),
  ):
    weight_V = unigrams(log_prob_V, [5] * 4, limit=limit)
    assert np.flatnonzero(weight_V).tolist() == expected
  # A token that weighs nothing takes a place all the same.
  weight_V = unigrams(log_prob_V, [5] * 4, limit=1, without=np.array([1]))
  assert not weight_V.any()


@hypothesis.given(
  st.lists(st.sampled_from([-math.inf, -2.0, -1.0, 0.0])), st.integers(-1, 12)
)
def test_best_ids_are_those_of_a_stable_sort(values, limit):
  best = ngram_weights.best_ids(np.array(values), limit)
  order = sorted(range(len(values)), key=lambda i: -values[i])
  assert best.tolist() == sorted(order[: max(limit, 0)])
