# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Rehearsal contents: windows by hand, TextRank against its linear equations."""

import collections
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret import rehearsal
from genret.baselines.bm25 import ENGLISH_STOP_WORDS


def numbered(count):
  return [f'Sentence {i} is here.' for i in range(count)]


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', []),
    (' \n ', []),
    ('No end', ['No end']),
    ('One.  Two!\nThree? Four', ['One.', 'Two!', 'Three?', 'Four']),
    ('He said "yes." Then (no!) Why', ['He said "yes."', 'Then (no!)', 'Why']),
    ('Version 3.5 is out. ok', ['Version 3.5 is out.', 'ok']),
    ('A heading\n\nIts text. More', ['A heading', 'Its text.', 'More']),
    ('A line\nthat goes on.', ['A line that goes on.']),
    ('\u597d\u3002 \u662f\uff01 end', ['\u597d\u3002', '\u662f\uff01', 'end']),
  ],
)
def test_sentences(text, expected):
  assert rehearsal.sentences(text) == expected


@pytest.mark.parametrize(
  ('count', 'windows'),
  [
    (0, []),
    (1, [(0, 1)]),
    (2, [(0, 2)]),
    (5, [(0, 5)]),
    (6, [(0, 5)]),
    (11, [(0, 5)]),
    (12, [(0, 5), (7, 12)]),
    (20, [(0, 5), (7, 12), (14, 19)]),
  ],
)
def test_windows_of_passages(count, windows):
  of = numbered(count)
  expected = [' '.join(of[a:b]) for a, b in windows]
  assert rehearsal.passages(of) == expected
  text = ' '.join(of)
  leading = rehearsal.contents(text, 'passages', 'leading')
  assert leading == expected[: 3 if len(expected) >= 3 else 1]
  assert rehearsal.contents(text, 'sentences', 'leading') == of[:6]
  for choice in ('summary', 'random'):
    (*found,) = rehearsal.contents(text, 'passages', choice)
    assert len(found) == min(1, len(expected))
    assert set(found) <= set(expected)
    parts = rehearsal.contents(text, 'sentences', choice)
    assert len(parts) == min(6, count)
    assert [s for s in of if s in parts] == parts  # in text order


def test_a_random_choice_depends_on_text_and_key():
  text = ' '.join(numbered(40))
  found = {
    tuple(rehearsal.contents(text, 'sentences', 'random', key=str(key)))
    for key in range(5)
  }
  assert len(found) == 5
  again = rehearsal.contents(text, 'sentences', 'random', key='0')
  assert tuple(again) in found


def test_a_summary_is_what_the_text_is_about():
  text = (
    'The weather was fine. A cathedral stands in the old town. The cathedral '
    'of the town has an old tower. Lunch is at noon. The tower of the '
    'cathedral is old. Nobody came.'
  )
  units = rehearsal.sentences(text)
  score = rehearsal.textrank(units, ENGLISH_STOP_WORDS)
  assert set(np.argsort(-score)[:3]) == {1, 2, 4}


@given(
  st.lists(
    st.lists(st.sampled_from(['a', 'b', 'c', 'd', 'the']), max_size=5),
    max_size=7,
  )
)
def test_textrank_solves_its_equations(rows):
  units = [' '.join(row).upper() for row in rows]
  found = rehearsal.textrank(units, {'the'})
  words = [set(row) - {'the'} for row in rows]
  count = len(units)
  weights = collections.defaultdict(float)
  for i in range(count):
    for j in range(count):
      common = len(words[i] & words[j])
      if i != j and common:
        size = math.log(len(words[i])) + math.log(len(words[j]))
        weights[i, j] = common / max(size, math.log(2))
  matrix = np.eye(count)
  for i in range(count):
    total = sum(weights[i, j] for j in range(count))
    for j in range(count):
      share = weights[i, j] / total if total else 1 / count
      matrix[j, i] -= 0.85 * share
  expected = (
    np.linalg.solve(matrix, np.full(count, 0.15 / count)) if count else []
  )
  np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_what_cannot_be_chosen():
  with pytest.raises(ValueError, match="got 'best' of 'sentences'"):
    rehearsal.contents('x', 'sentences', 'best')
  with pytest.raises(ValueError, match="got 'leading' of 'words'"):
    rehearsal.contents('x', 'words', 'leading')
