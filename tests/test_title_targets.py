# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Tokens of one title, and of several with a separator between them."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import vocabulary
from genret.docids.table import DocidTable
from genret.title_targets import SEPARATOR, TitleTargets

SIZE = 6


def table_of(rows):
  width = max(map(len, rows), default=0)
  return DocidTable(
    [f'd{number}' for number in range(len(rows))],
    np.array(
      [[*row, *[0] * (width - len(row))] for row in rows], np.int32
    ).reshape(len(rows), width),
    np.array([len(row) for row in rows], np.int32),
    vocab_size=SIZE,
  )


tokens_of = st.lists(st.integers(2, SIZE - 1), min_size=1, max_size=4)


def is_found_early(row, separator):
  """Whether the separator is seen before the place where it is put."""
  text = [*row, *separator]
  size = len(separator)
  return any(text[i : i + size] == separator for i in range(len(row)))


@hypothesis.settings(max_examples=150)
@hypothesis.given(
  rows=st.lists(tokens_of, min_size=1, max_size=6),
  separator=st.lists(st.integers(2, SIZE - 1), min_size=1, max_size=2),
  chosen=st.lists(st.integers(0, 5), min_size=1, max_size=4),
  room=st.integers(0, 14) | st.none(),
)
def test_titles_are_put_together_token_by_token(rows, separator, chosen, room):
  table = table_of(rows)
  if any(is_found_early(row, separator) for row in rows):
    with pytest.raises(ValueError, match='without the separator'):
      TitleTargets(table, separator=separator)
    return
  targets = TitleTargets(table, separator=separator)
  wanted = [c % len(rows) for c in chosen]
  expected, kept = [], 0
  for number in wanted:
    part = [*(separator if kept else []), *rows[number]]
    if room is not None and len(expected) + len(part) > room:
      break
    expected += part
    kept += 1
  names = [f'd{number}' for number in wanted]
  seen = []
  for number in wanted:
    if all(rows[number] != rows[earlier] for earlier in seen):
      seen.append(number)
  assert targets.distinct(names) == tuple(f'd{number}' for number in seen)
  if not kept:
    with pytest.raises(ValueError, match='Expected room for a title'):
      targets.tokens(names, max_tokens=room)
    return
  tokens, count = targets.tokens(names, max_tokens=room)
  assert tokens.dtype == np.int32
  assert (tokens.tolist(), count) == (expected, kept)


def test_what_cannot_be():
  table = table_of([[2, 3], [4]])
  targets = TitleTargets(table)
  assert targets.identifier('d0').tolist() == [2, 3]
  assert targets.tokens(['d1'])[0].tolist() == [4]
  for pages, message in (
    ([], 'at least one page, got none'),
    (['d0', 'd1'], 'one page without a separator, got 2'),
    (['d2'], "a page of the table, got the id 'd2'"),
  ):
    with pytest.raises(ValueError, match=message):
      targets.tokens(pages)
  with pytest.raises(ValueError, match=r"document 'd0' is \[2, 3\]"):
    TitleTargets(table, separator=[3])
  assert len(TitleTargets(table_of([]), separator=[2]).separator) == 1


def test_a_separator_is_encoded_by_itself(tmp_path):
  pieces = vocabulary.train_vocabulary(
    ['a title | another one | and more'] * 9, tmp_path / 'm', size=32
  )
  tokens = vocabulary.separator_tokens(pieces, SEPARATOR)
  assert pieces.decode(tokens) == SEPARATOR.strip()
  for separator in ('', ' ; ', '|é'):
    with pytest.raises(ValueError, match='separator that the vocabulary can'):
      vocabulary.separator_tokens(pieces, separator)
