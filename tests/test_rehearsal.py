# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Rehearsal contents: windows by hand, TextRank against summa and equations."""

import collections
import itertools
import math
import re

import numpy as np
import pytest

pytest.importorskip('summa', reason='needs the extra [train]')

from hypothesis import given
from hypothesis import strategies as st
from summa.summarizer import summarize

from genret import rehearsal
from genret.corpus import load_collection


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
    'cathedral is old. Nobody came. A tower, a town. The sea. A town, a ship.'
  )
  units = rehearsal.sentences(text)
  found = rehearsal.contents(text, 'sentences', 'summary')
  assert found == [units[i] for i in (0, 1, 2, 4, 6, 8)]


def test_the_ranks_are_those_of_summa():
  """The library that the paper takes, on pages of the shipped collection."""
  documents = load_collection('genret:squadshifts_wiki').documents
  for first in range(0, 400, 20):
    # Without ends of sentences, which it takes where ours does not.
    units = [
      ' '.join(re.split('[.!?]+', sentence))
      for document in documents[first : first + 4]
      for sentence in rehearsal.sentences(document.text)
    ]
    found = rehearsal.textrank(units)
    theirs = dict(
      summarize('\n'.join(units), ratio=1.0, split=True, scores=True)
    )
    assert set(theirs) <= set(units)
    score = np.array([theirs.get(unit, 0.0) for unit in units])
    # It leaves out units without words or neighbours, which are the last here.
    known = score > 0
    assert sum(known) > len(units) / 2 > 5
    np.testing.assert_allclose(
      found[known] / found[known].sum(), score[known] / score[known].sum(), 1e-9
    )
    np.testing.assert_allclose(found[~known], found.min(), 1e-9)


STEMS = {'Ships': 'ship', 'ship': 'ship', 'sea': 'sea', 'x-ray': 'x ray'}


@given(
  st.lists(
    st.lists(st.sampled_from([*STEMS, 'the', '1984', '(!)']), max_size=5),
    max_size=7,
  )
)
def test_the_ranks_solve_the_equations(rows):
  """Where summa takes another eigenvector than the first: graphs with a period."""
  found = rehearsal.textrank([' '.join(row) for row in rows])
  words = [tuple(' '.join(STEMS.get(w, '') for w in r).split()) for r in rows]
  distinct = list(dict.fromkeys(words))
  count = len(distinct)
  weights = collections.defaultdict(float)
  for i, j in itertools.permutations(range(count), 2):
    one, two = distinct[i], distinct[j]
    if common := len(set(one) & set(two)):
      weights[i, j] = common / (math.log(len(one)) + math.log(len(two)))
  matrix = np.eye(count)
  for i in range(count):
    total = sum(weights[i, j] for j in range(count))
    for j in range(count):
      share = weights[i, j] / total if total else 1 / count
      matrix[j, i] -= 0.85 * share
  expected = (
    np.linalg.solve(matrix, np.full(count, 0.15 / count)) if count else []
  )
  np.testing.assert_allclose(
    found, [expected[distinct.index(of)] for of in words], rtol=1e-9
  )


def test_what_cannot_be_chosen():
  with pytest.raises(ValueError, match="got 'best' of 'sentences'"):
    rehearsal.contents('x', 'sentences', 'best')
  with pytest.raises(ValueError, match="got 'leading' of 'words'"):
    rehearsal.contents('x', 'words', 'leading')
  with pytest.raises(ValueError, match="got 'leading' of 'words'"):
    rehearsal.check('words', 'leading')
  for kind in rehearsal.KINDS:
    for choice in rehearsal.CHOICES:
      rehearsal.check(kind, choice)
