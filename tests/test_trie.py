# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The trie as a structure, against a dictionary of prefixes."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import array_folder
from genret.constraints.trie import Trie, children_at, rank_of
from genret.docids.table import DocidTable

EOS = 1


def children_of(sequences):
  """Prefix -> its next tokens, eos among them."""
  children = {(): set()}
  for sequence in sequences:
    tokens = (*sequence, EOS)
    for depth, token in enumerate(tokens):
      children.setdefault(tokens[:depth], set()).add(token)
      children.setdefault(tokens[: depth + 1], set())
  return children


def walk(trie):
  """The same read from the arrays, checking that each state is met once."""
  token, first = np.asarray(trie.token_E), np.asarray(trie.first_edge_S1)
  children, seen, stack = {}, [], [((), 0)]
  while stack:
    prefix, state = stack.pop()
    seen.append(state)
    edges = range(first[state], first[state + 1])
    tokens = [int(token[edge]) for edge in edges]
    assert tokens == sorted(set(tokens))
    assert len(tokens) <= trie.max_children
    children[prefix] = set(tokens)
    stack += [((*prefix, int(token[edge])), edge + 1) for edge in edges]
  assert sorted(seen) == list(range(len(first) - 1))
  return children


@hypothesis.settings(max_examples=100)
@hypothesis.given(
  st.lists(st.lists(st.sampled_from([0, 2, 3, 99]), max_size=4), max_size=40)
)
def test_holds_exactly_the_prefixes(sequences):
  trie = Trie.from_sequences(sequences, 100)
  assert walk(trie) == children_of(sequences)
  assert trie.num_identifiers == len(set(map(tuple, sequences)))


def test_states_are_numbered_level_by_level():
  trie = Trie.from_sequences([[5, 2], [3], [5], [5, 2]], 6)
  #       root   3    5      3,1  5,1 5,2  5,2,1
  assert np.asarray(trie.token_E).tolist() == [3, 5, 1, 1, 2, 1]
  first = np.asarray(trie.first_edge_S1).tolist()
  assert first == [0, 2, 3, 5, 5, 5, 6, 6]


def test_large_vocabulary_and_size():
  rng = np.random.default_rng(0)
  rows = rng.integers(2, 2**31 - 1, size=(20000, 3))
  trie = Trie.from_sequences(rows.tolist(), 2**31 - 1)
  edges = trie.token_E.shape[0]
  assert trie.num_identifiers == 20000
  assert trie.nbytes == 8 * edges + 8
  assert trie.max_children == 32768
  low = np.sort(np.unique(rows[:, 0]))
  np.testing.assert_array_equal(trie.token_E[: len(low)], low)


def test_from_table_is_from_its_sequences():
  table = DocidTable(
    ['a', 'b', 'c'],
    np.array([[2, 3], [2, 0], [0, 0]]),
    np.array([2, 1, 1]),
    vocab_size=5,
    eos_id=4,
  )
  trie = Trie.from_table(table)
  same = Trie.from_sequences([[2, 3], [2], [0]], 5, eos_id=4)
  np.testing.assert_array_equal(trie.token_E, same.token_E)
  np.testing.assert_array_equal(trie.first_edge_S1, same.first_edge_S1)
  assert (trie.eos_id, trie.vocab_size) == (4, 5)
  assert trie.table_hash == table.hash


def test_is_a_pytree_of_two_arrays():
  trie = Trie.from_sequences([[2, 3]], 5)
  leaves, structure = jax.tree.flatten(trie)
  assert len(leaves) == 2
  assert jax.tree.unflatten(structure, leaves).vocab_size == 5
  # The table it came from is no reason to compile again.
  table = DocidTable(['a'], np.array([[2, 3]]), np.array([2]), vocab_size=5)
  assert jax.tree.structure(Trie.from_table(table)) == structure


@pytest.mark.parametrize('sequences', [[], [[]], [[2, 3], [2], [4, 4, 4]]])
def test_round_trip(tmp_path, sequences):
  trie = Trie.from_sequences(sequences, 5)
  trie.save(tmp_path / 't')
  loaded = Trie.load(tmp_path / 't')
  assert jax.tree.structure(loaded) == jax.tree.structure(trie)
  np.testing.assert_array_equal(loaded.token_E, trie.token_E)
  np.testing.assert_array_equal(loaded.first_edge_S1, trie.first_edge_S1)


def test_another_table_is_refused(tmp_path):
  tables = [
    DocidTable(['a'], np.array([[token]]), np.array([1]), vocab_size=5)
    for token in (2, 3)
  ]
  Trie.from_table(tables[0]).save(tmp_path / 't')
  assert Trie.load(tmp_path / 't', tables[0]).table_hash == tables[0].hash
  with pytest.raises(
    ValueError, match=f'table {tables[1].hash[:12]} .* {tables[0].hash[:12]}; b'
  ):
    Trie.load(tmp_path / 't', tables[1])
  Trie.from_sequences([[2]], 5).save(tmp_path / 'u')
  with pytest.raises(ValueError, match=r'/u was built from no table; build'):
    Trie.load(tmp_path / 'u', tables[0])


@pytest.mark.parametrize(
  ('name', 'index', 'value'),
  [
    ('token', 0, 5),
    ('first_edge', 1, 9),
    ('first_edge', 0, 1),
    ('first_edge', -1, 3),
  ],
)
def test_contradictions_are_refused(tmp_path, name, index, value):
  Trie.from_sequences([[2], [3]], 5).save(tmp_path / 't')
  arrays, meta = array_folder.load(tmp_path / 't', kind='trie', version=2)
  arrays = {key: np.array(array) for key, array in arrays.items()}
  arrays[name][index] = value
  array_folder.save(
    tmp_path / 't', kind='trie', version=2, arrays=arrays, meta=meta
  )
  with pytest.raises(ValueError, match=r'/t but they contradict each other; b'):
    Trie.load(tmp_path / 't')


def test_large_files_are_read_only_where_asked_for(tmp_path, monkeypatch):
  Trie.from_sequences([[2], [3]], 5).save(tmp_path / 't')
  arrays, meta = array_folder.load(tmp_path / 't', kind='trie', version=2)
  arrays = {**arrays, 'token': np.array([2, 9, 1, 1], np.uint16)}
  array_folder.save(
    tmp_path / 't', kind='trie', version=2, arrays=arrays, meta=meta
  )
  monkeypatch.setattr(array_folder, 'LARGE', 0)
  assert np.asarray(Trie.load(tmp_path / 't').token_E).tolist() == [2, 9, 1, 1]
  with pytest.raises(ValueError, match=r'/t but they contradict each other; b'):
    Trie.load(tmp_path / 't', every_byte=True)


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='devices copy')
def test_an_opened_trie_is_its_files(tmp_path):
  Trie.from_sequences([[2], [3]], 5).save(tmp_path / 't')
  trie = Trie.load(tmp_path / 't')
  mapped = np.load(tmp_path / 't' / 'token.npy', mmap_mode='r+')
  mapped[1] = 4
  mapped.flush()
  constraint = trie.constraint()
  token_NxT = jnp.array([[2, 3, 4]])
  mass, _ = constraint.probe(trie, constraint.start(trie, 1), token_NxT)
  assert mass.tolist() == [[1, 0, 1]]


def test_ranks_are_those_of_the_lists():
  rng = np.random.default_rng(0)
  lengths = rng.integers(0, 4, 40)
  sequences = [rng.choice([0, 2, 3, 5], n).tolist() for n in lengths]
  trie = Trie.from_sequences(sequences, 8)
  children, constraint = children_of(sequences), trie.constraint()
  prefixes = list(children)
  state = constraint.start(trie, len(prefixes))
  for depth in range(4):
    token = jnp.array([[(*p, *[7] * 4)[depth]] for p in prefixes])
    _, after = constraint.probe(trie, state, token)
    going = jnp.array([len(p) > depth for p in prefixes])
    state = jnp.where(going, after[:, 0], state)
  token_NxT = jnp.broadcast_to(jnp.arange(8), (len(prefixes), 8))
  for below in (None, 7):
    rank, found = rank_of(trie, state, token_NxT, below=below)
    for row, prefix in enumerate(prefixes):
      listed = sorted(children[prefix])
      assert found[row].tolist() == [t in listed for t in range(8)]
      expected = [sum(t < token for t in listed) for token in range(8)]
      assert rank[row].tolist() == expected
  _, found = rank_of(trie, state, token_NxT[:, :3], below=2)
  expected = [[t in children[p] for t in range(3)] for p in prefixes]
  assert found.tolist() == expected
  rank_NxW = jnp.broadcast_to(jnp.arange(-1, 6), (len(prefixes), 7))
  token, after, legal = children_at(trie, state, rank_NxW)
  _, probed = constraint.probe(trie, state, token)
  for row, prefix in enumerate(prefixes):
    listed = np.asarray(legal[row])
    count = len(children[prefix])
    assert listed.tolist() == [0 <= rank < count for rank in range(-1, 6)]
    assert token[row][listed].tolist() == sorted(children[prefix])
    np.testing.assert_array_equal(after[row][listed], probed[row][listed])
    assert (after[row][~listed] == -1).all()


@pytest.mark.parametrize(
  ('vocab_size', 'dtype'), [(1 << 16, np.uint16), ((1 << 16) + 1, np.int32)]
)
def test_tokens_are_as_wide_as_the_vocabulary(tmp_path, vocab_size, dtype):
  sequences = [[vocab_size - 1, 0], [40_000], [vocab_size - 1]]
  trie = Trie.from_sequences(sequences, vocab_size)
  assert trie.token_E.dtype == dtype
  _, token = trie.allowed_tokens(np.zeros((1, 0), np.int64))
  assert token.tolist() == [40_000, vocab_size - 1]
  constraint = trie.constraint()
  tokens = jnp.array([[vocab_size - 1, 40_000, 0]])
  mass, _ = constraint.probe(trie, constraint.start(trie, 1), tokens)
  assert mass.tolist() == [[1, 1, 0]]
  trie.save(tmp_path / 't')
  array_folder.save(
    tmp_path / 't',
    kind='trie',
    version=2,
    arrays={
      'token': np.asarray(trie.token_E).astype(np.int64),
      'first_edge': np.asarray(trie.first_edge_S1),
    },
    meta=array_folder.load(tmp_path / 't', kind='trie', version=2)[1],
  )
  with pytest.raises(ValueError, match=r'/t but they contradict each other; b'):
    Trie.load(tmp_path / 't')


@pytest.mark.parametrize(
  ('sequences', 'vocab_size', 'message'),
  [
    ([[2], [], [3, 1]], 5, r'other than eos_id=1 but sequence 2 has 1; leave'),
    ([[2, 5]], 5, r'from 0 to 4 other .* but sequence 0 has 5; '),
    ([[], [-1]], 5, r'sequence 1 has -1; '),
    ([[2]], 1, r'eos_id=1 and vocab_size=1; correct one of them'),
  ],
)
def test_bad_sequences_are_refused(sequences, vocab_size, message):
  with pytest.raises(ValueError, match=message):
    Trie.from_sequences(sequences, vocab_size)


def test_an_illegal_token_leaves_no_continuation():
  trie = Trie.from_sequences([[2, 3], [0]], 5)
  constraint = trie.constraint()
  token = np.array([[3, -1, 5, 0]])
  mass, state = constraint.probe(trie, constraint.start(trie, 1), token)
  assert mass.tolist() == [[0, 0, 0, 1]]
  dead = state[0, :3]
  assert constraint.slots(trie, dead).tolist() == [0, 0, 0]
  every = np.tile(np.arange(5), (3, 1))
  assert not constraint.probe(trie, dead, every)[0].any()
  assert not constraint.children(trie, dead, 0, 2)[2].any()
