# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Measures of continual learning against the formulas, one number at a time."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from genret import continual_metrics as metrics

NAN = float('nan')


def mean(values):
  values = list(values)
  return sum(values) / len(values) if values else NAN


def by_formula(p, before):
  """The table of the module, term by term; None is a value that is not known."""
  last = len(p) - 1

  def best(i):
    known = [p[t][i] for t in range(last) if p[t][i] is not None]
    return max(known)

  later = range(1, last + 1)
  ahead = [p[i - 1][i] for i in later]
  return metrics.ContinualScores(
    average_performance=mean(p[last]),
    backward_transfer=mean(p[last][i] - p[i][i] for i in range(last)),
    forgetting=mean(best(i) - p[last][i] for i in range(last)),
    forward_transfer=NAN
    if None in ahead
    else mean(p[i - 1][i] - before[i] for i in later),
    learning_performance=mean(p[i][i] for i in later),
  )


@st.composite
def matrices(draw):
  """P, of which some values above the diagonal are not known, and before."""
  count = draw(st.integers(1, 6))
  value = st.floats(0, 1)
  whole = draw(st_numpy.arrays(np.float64, (count, count), elements=value))
  unknown = draw(st_numpy.arrays(bool, (count, count)))
  whole[np.triu(unknown, 1)] = NAN
  return whole, draw(st_numpy.arrays(np.float64, count, elements=value))


@hypothesis.given(matrices())
@hypothesis.settings(max_examples=200, deadline=None)
def test_measures_are_their_formulas(drawn):
  whole, before = drawn
  scores = metrics.evaluate(whole, before)
  assert len(scores) == len(whole)
  for count, found in enumerate(scores, start=1):
    rows = [
      [None if math.isnan(x) else x for x in row[:count]]
      for row in whole[:count]
    ]
    expected = by_formula(rows, before)
    np.testing.assert_allclose(found, expected, atol=1e-12)
  assert scores[-1].average_performance == metrics.average_performance(whole)
  np.testing.assert_equal(
    scores[-1].forward_transfer, metrics.forward_transfer(whole, before)
  )


def test_by_hand():
  p = [[0.8, 0.1, NAN], [0.9, 0.6, 0.3], [0.5, 0.7, 0.4]]
  assert metrics.average_performance(p) == pytest.approx(1.6 / 3)
  # -0.3 and +0.1; what was best came after the base's own session.
  assert metrics.backward_transfer(p) == pytest.approx(-0.1)
  assert metrics.forgetting(p) == pytest.approx((0.4 - 0.1) / 2)
  assert metrics.learning_performance(p) == pytest.approx(0.5)
  assert metrics.forward_transfer(p) == pytest.approx(0.2)
  assert metrics.forward_transfer(p, [9, 0.05, 0.1]) == pytest.approx(0.125)


def test_of_one_session_there_is_nothing_to_transfer():
  (found,) = metrics.evaluate([[0.25]])
  assert found.average_performance == 0.25
  assert all(math.isnan(value) for value in found[1:])


@pytest.mark.parametrize(
  ('performance', 'message'),
  [
    ([], r'one or more sessions, got shape \(0,\)'),
    ([[]], r'got shape \(1, 0\)'),
    ([[1.0, 2.0]], r'got shape \(1, 2\)'),
    ([[1.0, 0.0], [NAN, 1.0]], 'queries of session 0 after session 1, got nan'),
    ([[math.inf]], 'session 0 after session 0, got inf; measure it'),
  ],
)
def test_what_is_no_matrix_is_refused(performance, message):
  for measure in (
    metrics.average_performance,
    metrics.backward_transfer,
    metrics.forgetting,
    metrics.forward_transfer,
    metrics.learning_performance,
    metrics.evaluate,
  ):
    with pytest.raises(ValueError, match=message):
      measure(performance)


def test_values_before_are_one_a_session():
  for measure in (metrics.forward_transfer, metrics.evaluate):
    with pytest.raises(ValueError, match=r'of 1 sessions, got shape \(2,\)'):
      measure([[1.0]], [0.0, 0.0])
