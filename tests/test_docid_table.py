# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The identifier table: validation, storage, look-up."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import array_folder
from genret.docids.table import DocidTable

V = 10


def table_of(identifiers, width=None, **options):
  width = width or max(map(len, identifiers), default=0)
  rows = [[*tokens, *[0] * (width - len(tokens))] for tokens in identifiers]
  return DocidTable(
    [f'd{i}' for i in range(len(identifiers))],
    np.array(rows, np.int32).reshape(len(identifiers), width),
    np.array([len(tokens) for tokens in identifiers], np.int32),
    **{'vocab_size': V, **options},
  )


identifiers_of = st.lists(
  st.lists(st.sampled_from([0, 2, 3, 9]), min_size=1, max_size=4), max_size=30
)


@hypothesis.settings(max_examples=100)
@hypothesis.given(identifiers=identifiers_of, queries=identifiers_of)
def test_look_up_and_collisions(identifiers, queries):
  table = table_of(identifiers)
  assert len(table) == len(identifiers)
  expected = [
    [i for i, tokens in enumerate(identifiers) if tokens == query]
    for query in queries
  ]
  for end in ([], [1]):
    ended = [[*query, *end] for query in queries]
    # What follows the length is ignored.
    rows = np.full((len(ended), 6), 7)
    for row, tokens in zip(rows, ended, strict=True):
      row[: len(tokens)] = tokens
    found = table.documents(rows, [len(tokens) for tokens in ended])
    assert [documents.tolist() for documents in found] == expected
  shared = sum(identifiers.count(tokens) > 1 for tokens in identifiers)
  assert table.collision_rate == pytest.approx(
    shared / max(len(identifiers), 1)
  )


def test_equal_hashes_are_told_apart(monkeypatch):
  monkeypatch.setattr(
    'genret.docids.table._hash_rows',
    lambda rows: np.zeros(len(rows), np.uint64),
  )
  table = table_of([[2], [3], [2, 3], [3]])
  found = table.documents([[3, 0], [2, 3], [4, 0]], [1, 2, 1])
  assert [documents.tolist() for documents in found] == [[1, 3], [2], []]


def test_blocks_of_rows_change_nothing(monkeypatch):
  rng = np.random.default_rng(0)
  identifiers = [
    rng.integers(2, 5, rng.integers(1, 5)).tolist() for _ in range(40)
  ]
  whole = table_of(identifiers)
  expected = whole.documents(whole.token_rows_DxL, whole.lengths_D)
  expected = [documents.tolist() for documents in expected]
  monkeypatch.setattr('genret.docids.table._BLOCK', 3)
  parts = table_of(identifiers)
  assert parts.hash == whole.hash
  assert parts.collision_rate == whole.collision_rate > 0.2
  found = parts.documents(parts.token_rows_DxL, parts.lengths_D)
  assert [documents.tolist() for documents in found] == expected
  with pytest.raises(ValueError, match=r"from 0 to 9 but document 'd39' has"):
    table_of([*identifiers[:39], [10]])


def test_look_up_of_nothing():
  table = table_of([[2], [3, 4]])
  assert table.documents(np.zeros((0, 3), int), []) == []
  (found,) = table.documents([[1, 0]], [1])  # eos alone
  assert not len(found)
  (found,) = table.documents([[0, 0]], [0])  # a beam that found nothing
  assert not len(found)
  (found,) = table.documents([[3, 4, 5, 6]], [4])  # longer than any
  assert not len(found)
  assert [len(f) for f in table_of([]).documents([[2]], [1])] == [0]


@pytest.mark.parametrize('lengths', [[3], [-1], [1, 1]])
def test_look_up_checks_lengths(lengths):
  with pytest.raises(ValueError, match=r'^Expected .* but got .*; '):
    table_of([[2]]).documents([[2, 3]], lengths)


def test_round_trip(tmp_path):
  table = DocidTable(
    ['ä', '', 'a\nb'],
    np.array([[2, 0], [2, 3], [0, 0]]),
    np.array([1, 2, 2]),
    vocab_size=V,
    eos_id=9,
    meta={'scheme': 'text', 'seed': 3},
  )
  table.save(tmp_path / 't')
  (tmp_path / 't' / 'spiece.model').write_bytes(b'x')
  table.save(tmp_path / 't')
  loaded = DocidTable.load(tmp_path / 't')
  assert loaded.doc_ids == table.doc_ids
  np.testing.assert_array_equal(loaded.token_rows_DxL, table.token_rows_DxL)
  np.testing.assert_array_equal(loaded.lengths_D, table.lengths_D)
  assert (loaded.vocab_size, loaded.eos_id) == (V, 9)
  assert loaded.meta == table.meta
  assert loaded.hash == table.hash
  assert (tmp_path / 't' / 'spiece.model').exists()


def test_empty_table(tmp_path):
  table_of([]).save(tmp_path / 't')
  loaded = DocidTable.load(tmp_path / 't')
  assert len(loaded) == 0
  assert loaded.collision_rate == 0.0


def test_foreign_content_is_refused(tmp_path):
  table = table_of([[2], [3]])
  table.save(tmp_path / 't')
  arrays, meta = array_folder.load(
    tmp_path / 't', kind='docid_table', version=1
  )
  arrays['lengths'], arrays['token_rows'] = (
    np.array([1, 1]),
    np.array([[2], [4]]),
  )
  array_folder.save(
    tmp_path / 't', kind='docid_table', version=1, arrays=arrays, meta=meta
  )
  with pytest.raises(ValueError, match=r'to have hash .* but its content has'):
    DocidTable.load(tmp_path / 't')


def test_hash_is_of_content_not_of_padding_or_meta():
  table = table_of([[2], [2, 3]])
  same = table_of([[2], [2, 3]], width=7, meta={'a': 1})
  assert same.hash == table.hash
  assert len(table.hash) == 64
  others = [
    table_of([[2, 2], [3]]),
    table_of([[2], [3, 2]]),
    table_of([[2], [2, 3]], vocab_size=11),
    table_of([[2], [2, 3]], eos_id=4),
    DocidTable(['d', '0d1'], table.token_rows_DxL, table.lengths_D, V),
  ]
  assert len({other.hash for other in (table, *others)}) == 6


@pytest.mark.parametrize(
  ('doc_ids', 'rows', 'lengths', 'message'),
  [
    (['a', 'b', 'a'], [[2]] * 3, [1] * 3, r"'a' is both document 0 and 2; rem"),
    ([7], [[2]], [1], r'text as document id 0 but got 7; convert'),
    (['a'], [[2]], [0], r"no empty identifier but document 'a' has length 0"),
    (['a'], [[2]], [2], r"up to the 1 columns but document 'a' has length 2"),
    (['a'], [[10]], [1], r"from 0 to 9 but document 'a' .* tokens \[10\]; "),
    (['a'], [[-2]], [1], r'tokens from 0 to 9 but'),
    (['b', 'a'], [[2, 0], [2, 1]], [1, 2], r"eos_id=1 but document 'a' has"),
    (['a'], [[2, 3]], [1], r"padding with 0 but document 'a' has length 1 and"),
    (['a'], [[2], [3]], [1], r'\[1, L\] and lengths \[1\] .* got \[2, 1\] and'),
    (['a'], [2], [1], r'Expected token rows \[1, L\]'),
    (['a'], [[2.5]], [1], r'whole numbers in token_rows_DxL but got dtype flo'),
    (['a'], [[2**40]], [1], r'to fit 32 bits but got 1099511627776 to'),
  ],
)
def test_bad_tables_are_refused(doc_ids, rows, lengths, message):
  with pytest.raises(ValueError, match=message):
    DocidTable(doc_ids, np.array(rows), np.array(lengths), vocab_size=V)


def test_eos_must_be_a_token():
  with pytest.raises(ValueError, match=r'eos_id=10 and vocab_size=10; correct'):
    table_of([[2]], eos_id=10)
