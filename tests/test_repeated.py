# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Several identifiers in one answer, against the list of all answers."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from table_model import B, L, V, answers_of, check, padded, random_table, run

from genret.constraints.combine import limit_length, with_prefix
from genret.constraints.repeated import ambiguous_identifier, repeated
from genret.constraints.trie import Trie

EOS = 1
FAST = hypothesis.settings(max_examples=40, deadline=None)
WAYS = {'list': (), 'probe': (('list_limit', 0), ('num_probes', 1))}
titles_of = st.lists(
  st.lists(st.integers(2, 6), max_size=3), min_size=1, max_size=8
)


def is_ambiguous(title, separator):
  """Whether the first separator of a title with one behind comes too early."""
  row = [*title, *separator]
  places = range(len(row) - len(separator) + 1)
  first = next(i for i in places if row[i : i + len(separator)] == separator)
  return first < len(title)


def legal_after(titles, separator, most):
  """Prefix -> what may follow, from all answers, as far as L tokens."""
  allowed = collections.defaultdict(set)
  todo = {((), 0)}
  while todo:
    before, number = todo.pop()
    for title in titles:
      answer = (*before, *title)
      ends = [(*answer, EOS)]
      if number + 1 < most:
        behind = (*answer, *separator)
        ends.append(behind)
        if len(behind) <= L:
          todo.add((behind, number + 1))
      for row in ends:
        for depth, token in enumerate(row):
          allowed[row[:depth]].add(token)
  return lambda prefix: allowed.get(prefix, set())


@pytest.mark.parametrize(
  ('way', 'size', 'num_beams'), [('list', 1, 40), ('probe', 2, 3)]
)
@FAST
@hypothesis.given(
  titles=titles_of,
  numbers=st.lists(st.integers(3, 7), min_size=2, max_size=2),
  most=st.sampled_from([1, 2, 5]),
  seed=st.integers(0, 1000),
)
def test_beams_are_those_of_all_answers(
  way, size, num_beams, titles, numbers, most, seed
):
  separator = numbers[:size]
  titles = [t for t in titles if not is_ambiguous(t, separator)]
  trie, table = padded(Trie.from_sequences(titles, V)), random_table(seed)
  constraint = repeated(trie, separator, most)
  out = run(table, constraint, num_beams=num_beams, options=WAYS[way])
  check(out, table, legal_after(titles, separator, most), num_beams)


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
  titles=st.lists(st.lists(st.integers(2, 4), max_size=5), max_size=6),
  separator=st.lists(st.integers(2, 4), min_size=1, max_size=4),
)
def test_identifiers_that_could_be_two_are_refused(titles, separator):
  wrong = [t for t in titles if is_ambiguous(t, separator)]
  trie = padded(Trie.from_sequences(titles, V))
  found = ambiguous_identifier(trie, separator)
  assert (found in wrong) if wrong else found is None
  if wrong:
    with pytest.raises(ValueError, match='of the separator but got') as error:
      repeated(trie, separator, 2)
    assert str(found) in str(error.value)
  else:
    repeated(trie, separator, 2)


def test_a_beginning_of_another_identifier():
  """Paris, and Paris, Texas: alone, and before and behind each other.

  What the length limit cuts is no answer, and there are fewer than beams.
  """
  titles = [(2,), (2, 3, 4), (5,)]
  trie = padded(Trie.from_sequences(titles, V))
  for most in (1, 2, 3):
    out = run(random_table(0), repeated(trie, [6], most), num_beams=40)
    answers, last = set(titles), titles
    for _ in range(most - 1):
      last = [(*a, 6, *b) for a in last for b in titles]
      answers.update(last)
    assert most == 1 or max(map(len, answers)) >= L
    expected = {(*a, EOS) for a in answers if len(a) < L}
    for query in range(B):
      assert {tokens for tokens, _ in answers_of(out, query)} == expected


def test_no_identifiers_no_answers():
  trie = padded(Trie.from_sequences([], V))
  constraint = repeated(trie, [2, 3], 3)
  out = run(random_table(0), constraint, num_beams=3, options=WAYS['probe'])
  assert not np.asarray(out.legal).any()


def test_goes_into_other_constraints():
  titles = [[2], [2, 3], [4]]
  table = random_table(7)
  constraint = repeated(Trie.from_sequences(titles, V), [6], 3)
  constraint = with_prefix(limit_length(constraint, max_length=4), [4, 6])
  out = run(table, constraint, num_beams=30)
  expected = {(4, 6, 2, EOS), (4, 6, 4, EOS)}
  assert {tokens for tokens, _ in answers_of(out, 0)} == expected


def test_wrong_arguments():
  trie = Trie.from_sequences([[2]], V)
  for separator in ([], [EOS], [3, V], [-1]):
    with pytest.raises(ValueError, match='Expected a separator of tokens from'):
      repeated(trie, separator, 2)
  with pytest.raises(ValueError, match='max_titles of at least 1 but got 0'):
    repeated(trie, [3], 0)
