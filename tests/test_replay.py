# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Old documents to learn again, against a plain draw one by one."""

import fractions

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import cluster as sklearn_cluster

from genret import replay

PLACES = np.array([[0, 0], [100, 0], [0, 100], [100, 100], [300, 300]])


@st.composite
def corpora(draw):
  """Vectors of old documents, some of them equal, and of new ones or None."""
  rng = np.random.default_rng(draw(st.integers(0, 2**32)))

  def drawn(least):
    count = draw(st.integers(least, 30))
    # On the real line, two that differ are not equally far from a third.
    vector = rng.choice(PLACES, count) + rng.normal(0, 9, (count, 2))
    copied = rng.integers(0, 1 + np.arange(count), count)
    where = np.where(rng.random(count) < 0.3, copied, np.arange(count))
    return vector[where].astype(np.float32)

  return drawn(1), drawn(0) if draw(st.booleans()) else None


def clusters_of(old_OxE, centroids, seed):
  """As scikit-learn has them; where vectors are few, each is its own centroid."""
  distinct = np.unique(old_OxE, axis=0)
  if len(distinct) <= centroids:
    return distinct
  fitted = sklearn_cluster.KMeans(centroids, n_init=1, random_state=seed)
  return fitted.fit(old_OxE).cluster_centers_.astype(np.float32)


def slow(old_OxE, new_NxE, budget, centroid_KxE, keys):
  """One document after another, by exact fractions."""

  def nearest(vector):
    away = ((centroid_KxE.astype(float) - vector) ** 2).sum(1)
    return int(away.argmin()), float(away.min())

  place = [nearest(vector) for vector in old_OxE.astype(float)]
  weight = [0] * len(centroid_KxE)
  if new_NxE is None:
    for k, _ in place:
      weight[k] += 1
  else:
    for vector in new_NxE.astype(float):
      weight[nearest(vector)[0]] += 1
  left = [[] for _ in centroid_KxE]
  for row, (k, away) in enumerate(place):
    left[k].append((away if keys is None else keys[row], row))
  left = [[row for _, row in sorted(rows)] for rows in left]
  if budget is None:
    return sorted(
      row for k, rows in enumerate(left) for row in rows[: weight[k]]
    )
  taken = [0] * len(left)
  found = []
  while len(found) < budget:
    open_ = [
      (-fractions.Fraction(2 * weight[k], 2 * taken[k] + 1), rows[taken[k]], k)
      for k, rows in enumerate(left)
      if weight[k] and taken[k] < len(rows)
    ]
    if not open_:
      break
    _, row, k = min(open_)
    found.append(row)
    taken[k] += 1
  return sorted(found)


@pytest.mark.parametrize('order', replay.ORDERS)
@hypothesis.given(
  corpus=corpora(),
  budget=st.none() | st.integers(0, 40),
  centroids=st.integers(1, 6),
  seed=st.integers(0, 3),
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_the_choice_is_the_plain_one(order, corpus, budget, centroids, seed):
  old_OxE, new_NxE = corpus
  hypothesis.assume(budget is not None or new_NxE is not None)
  found = replay.choose(
    old_OxE,
    new_NxE,
    budget=budget,
    centroids=centroids,
    order=order,
    seed=seed,
  )
  keys = np.random.default_rng(seed).random(len(old_OxE))
  expected = slow(
    old_OxE,
    new_NxE,
    budget,
    clusters_of(old_OxE, centroids, seed),
    keys if order == 'random' else None,
  )
  assert found.dtype == np.int64
  assert found.tolist() == expected


def test_as_many_as_new_ones_by_hand():
  old = np.float32(np.repeat(PLACES[:3], [4, 2, 3], axis=0))
  new = np.float32(np.repeat(PLACES[:3], [2, 5, 0], axis=0))
  found = replay.choose(old, new, centroids=3)
  assert (found < 4).sum() == 2
  assert found[2:].tolist() == [4, 5]
  drawn = {tuple(replay.choose(old, new, seed=s)[:2]) for s in range(60)}
  assert len(drawn) == 6  # any two of four
  with pytest.raises(ValueError, match='a budget or vectors of new documents'):
    replay.choose(old)


def test_shares_are_those_of_the_clusters():
  old = np.float32(np.repeat(PLACES[:3], [600, 300, 100], axis=0))
  place = np.repeat(np.arange(3), [600, 300, 100])
  for budget in (0, 10, 100, 999, 1000, 5000):
    found = replay.choose(old, budget=budget)
    shares = np.bincount(place[found], minlength=3)
    expected = np.array([0.6, 0.3, 0.1]) * min(budget, 1000)
    assert np.abs(shares - expected).max() <= 1
    assert len(found) == min(budget, 1000)
  # Where documents do not reach, the others of weight give more.
  new = np.float32(np.repeat(PLACES[1:3], [1, 9], axis=0))
  found = replay.choose(old, new, budget=250)
  assert np.bincount(place[found], minlength=3).tolist() == [0, 150, 100]


def test_a_larger_budget_holds_a_smaller_one():
  rng = np.random.default_rng(0)
  old = rng.normal(size=(60, 3)).astype(np.float32)
  before = set()
  for budget in range(0, 61, 6):
    found = set(replay.choose(old, budget=budget, centroids=7).tolist())
    assert before < found or not budget
    before = found
  assert before == set(range(60))


def test_no_documents():
  none, some = np.zeros((0, 2), np.float32), np.zeros((2, 2), np.float32)
  assert replay.choose(none, some, budget=3).tolist() == []
  assert replay.choose(some, none, budget=3).tolist() == []
  assert replay.choose(none, none, order='nearest').tolist() == []


@pytest.mark.parametrize(
  ('new', 'options', 'message'),
  [
    (np.zeros((2, 3)), {}, r'shapes \(4, 2\) and \(2, 3\); make both likewise'),
    (np.zeros(2), {}, r'shapes \(4, 2\) and \(2,\)'),
    (None, {'budget': -1}, 'a budget of at least 0, got -1'),
    (None, {'budget': 1, 'centroids': 0}, 'Expected k of at least 1, got 0'),
    (None, {'budget': 1, 'order': 'far'}, "random or nearest, got 'far'"),
  ],
)
def test_what_is_refused(new, options, message):
  with pytest.raises(ValueError, match=message):
    replay.choose(np.zeros((4, 2)), new, **options)
