# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Building a trie: every form of input, long rows, wide tokens, the limits."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret.constraints import trie_build
from genret.constraints.trie import Trie


def slow_arrays(sequences, eos_id):
  """The arrays by breadth-first search over a dictionary of prefixes."""
  children = {(): set()}
  for sequence in sequences:
    tokens = (*map(int, sequence), eos_id)
    for depth, token in enumerate(tokens):
      children.setdefault(tokens[:depth], set()).add(token)
      children.setdefault(tokens[: depth + 1], set())
  level, tokens, first = [()], [], [0]
  while level:
    following = []
    for prefix in level:
      tokens += sorted(children[prefix])
      first.append(len(tokens))
      following += [(*prefix, token) for token in sorted(children[prefix])]
    level = following
  return tokens or [0], first


def check(trie, sequences):
  token, first = slow_arrays(sequences, trie.eos_id)
  assert np.asarray(trie.token_E).tolist() == token
  assert np.asarray(trie.first_edge_S1).tolist() == first
  narrow = trie.vocab_size <= 1 << 16
  assert trie.token_E.dtype == (np.uint16 if narrow else np.int32)
  assert trie.first_edge_S1.dtype == np.int32


# Vocabularies of which 21, 2 and 1 tokens fit one key behind the state.
@hypothesis.settings(max_examples=60)
@hypothesis.given(
  st.sampled_from([8, 2**31 - 1, 2**31]),
  st.sampled_from([0, 1, 7]),
  st.data(),
)
def test_is_the_dictionary_of_prefixes(vocab_size, eos_id, data):
  allowed = {0, 1, 2, 3, 7, vocab_size - 1} - {eos_id}
  sequences = data.draw(
    st.lists(st.lists(st.sampled_from(sorted(allowed)), max_size=5))
  )
  trie = Trie.from_sequences(sequences, vocab_size, eos_id)
  check(trie, sequences)


@pytest.mark.parametrize('length', [20, 21, 22, 43])
def test_identifiers_that_end_where_a_key_ends(length):
  rng = np.random.default_rng(length)
  long = rng.integers(2, 8, size=length).tolist()
  sequences = [
    *(long[:end] for end in range(18, length + 1)),
    [*long[:-1], 0],
    [*long[:20], 0, 3],
    long,
  ]
  check(Trie.from_sequences(sequences, 8), sequences)


def test_many_rows_share_and_repeat(monkeypatch):
  monkeypatch.setattr(trie_build, '_BLOCK', 7)
  rng = np.random.default_rng(0)
  rows = rng.integers(2, 5, size=(500, 4))
  lengths = rng.integers(0, 5, size=500)
  sequences = [row[:n] for row, n in zip(rows, lengths, strict=True)]
  check(Trie.from_sequences(rows, 2**20, lengths=lengths), sequences)


@pytest.mark.parametrize('dtype', [np.uint16, np.int32, np.int64, np.uint64])
def test_every_form_of_input(dtype):
  sequences = [[2, 3], [], [2], [4, 0, 3], []]
  lengths = [len(sequence) for sequence in sequences]
  flat = np.array([t for sequence in sequences for t in sequence], dtype)
  # Padding may be anything: eos, tokens outside.
  rows = np.full((5, 4), 1, dtype)
  rows[:, 3] = 99
  for row, sequence in zip(rows, sequences, strict=True):
    row[: len(sequence)] = sequence
  for trie in (
    Trie.from_sequences(sequences, 5),
    Trie.from_sequences([np.array(s, dtype) for s in sequences], 5),
    Trie.from_sequences(flat, 5, lengths=lengths),
    Trie.from_sequences(rows, 5, lengths=np.array(lengths, np.uint8)),
    Trie.from_sequences(np.asfortranarray(rows), 5, lengths=lengths),
  ):
    check(trie, sequences)
  rows = np.array([[2, 3], [4, 0]], dtype)
  check(Trie.from_sequences(rows, 5), rows.tolist())


@pytest.mark.parametrize(
  ('sequences', 'lengths', 'expected'),
  [
    ([], None, []),
    (np.zeros((0, 3), np.int32), None, []),
    (np.zeros(0), [], []),
    ([[]], None, [()]),
    ([np.zeros(0)], None, [()]),
    (np.zeros((2, 0)), None, [()]),
    (np.zeros(0), [0, 0], [()]),
    (np.full((2, 3), 7), [0, 0], [()]),
  ],
)
def test_nothing_and_the_empty_identifier(sequences, lengths, expected):
  trie = Trie.from_sequences(sequences, 5, lengths=lengths)
  check(trie, expected)
  assert trie.num_identifiers == len(expected)


def test_inputs_are_not_changed_and_not_copied():
  rows = np.arange(2, 14, dtype=np.int32).reshape(4, 3)
  kept = rows.copy()
  assert np.shares_memory(trie_build.rows_of(rows).tokens, rows)
  Trie.from_sequences(rows, 14)
  np.testing.assert_array_equal(rows, kept)


def test_too_many_states_are_refused(monkeypatch):
  rows = np.array([[2, 3], [2, 3], [2, 4]])  # 5 edges: 2; 3, 4; eos, eos.
  monkeypatch.setattr(trie_build, 'MAX_EDGES', 5)
  check(Trie.from_sequences(rows, 5), rows.tolist())
  monkeypatch.setattr(trie_build, 'MAX_EDGES', 4)
  with pytest.raises(ValueError, match=r'fewer than 2\^31 states but got 6; s'):
    Trie.from_sequences(rows, 5)


@pytest.mark.parametrize(
  ('sequences', 'lengths', 'message'),
  [
    ([[2.0]], None, r'whole numbers as tokens but .*float.*; convert'),
    ([np.array([2.5])], None, r'whole numbers as tokens .* float64; convert'),
    (np.array([[2.5]]), None, r'whole numbers as tokens .* float64; convert'),
    (np.array([2]), [1.0], r'whole numbers as lengths .* float64; convert'),
    (np.array([2, 3]), None, r'rows \[D, L\] but got shape \(2,\); give `len'),
    (np.array([2, 3]), [1], r'tokens \[2\] and lengths \[1\] with sum 1; c'),
    (np.array([2, 3]), [3, -1], r'lengths \[2\] with sum 2; count the tokens'),
    (np.array([[2, 3]]), [3], r'tokens \[1, 2\] and lengths \[1\] with sum 3'),
    (np.array([[2, 3]]), [1, 1], r'tokens \[1, 2\] and lengths \[2\] with'),
    (np.array([[[2]]]), [1], r'tokens \[1, 1, 1\] and lengths \[1\]'),
  ],
)
def test_misfits_are_refused(sequences, lengths, message):
  with pytest.raises(ValueError, match=message):
    Trie.from_sequences(sequences, 5, lengths=lengths)


@pytest.mark.parametrize('vocab_size', [0, 1, 2**31 + 1])
def test_vocabularies_out_of_range_are_refused(vocab_size):
  with pytest.raises(ValueError, match=f'and vocab_size={vocab_size}; correct'):
    Trie.from_sequences([[]], vocab_size)


def test_the_sequence_of_a_bad_token_is_named():
  tokens, lengths = np.array([2, 3, 9, 4]), [0, 2, 0, 2]
  with pytest.raises(ValueError, match='but sequence 3 has 9; leave eos out'):
    Trie.from_sequences(tokens, 5, lengths=lengths)
  rows = np.array([[2, 9], [2, 1]])
  with pytest.raises(ValueError, match='but sequence 1 has 1; leave eos out'):
    Trie.from_sequences(rows, 5, lengths=[1, 2])
