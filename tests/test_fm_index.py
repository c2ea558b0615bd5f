# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The FM-index against looking at every position of every document."""

import collections
import json
import pathlib
import tempfile

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

import genret
from genret.constraints import fm_text
from genret.constraints.fm_index import FMIndex


def places(documents: dict[int, list[int]], ngram) -> list[tuple[int, int]]:
  """(document, offset) of each occurrence."""
  size = len(ngram)
  return [
    (number, i)
    for number, document in documents.items()
    for i in range(len(document))
    if document[i : i + size] == list(ngram)
  ]


def following(documents: dict[int, list[int]], ngram) -> list[tuple[int, int]]:
  """(token, how often) of each token that follows, ascending."""
  counts = collections.Counter(
    documents[number][i + len(ngram)]
    for number, i in places(documents, ngram)
    if i + len(ngram) < len(documents[number])
  )
  return sorted(counts.items())


def some_ngrams(documents, vocab_size, rng, count=12) -> list[tuple[int, ...]]:
  """The empty one, some that occur, and some with tokens that do not exist."""
  ngrams = [()]
  texts = [text for text in documents.values() if text]
  for _ in range(count):
    size = int(rng.integers(1, 5))
    ngrams.append(tuple(rng.integers(-1, vocab_size + 2, size).tolist()))
    if texts:
      text = texts[rng.integers(len(texts))]
      first = int(rng.integers(len(text)))
      ngrams.append(tuple(text[first : first + size]))
  return ngrams


def check(index: FMIndex, documents: dict[int, list[int]], rng) -> None:
  """Every question, one at a time and all at once."""
  assert len(index) == len(documents)
  assert index.num_tokens == sum(map(len, documents.values()))
  assert index.numbers().tolist() == list(documents)
  ngrams = some_ngrams(documents, index.vocab_size, rng)
  expected = [places(documents, ngram) for ngram in ngrams]
  assert index.count_batch(ngrams).tolist() == [len(x) for x in expected]
  for ngram, found in zip(ngrams, expected, strict=True):
    assert index.count(ngram) == len(found)
    assert index.locate(ngram) == found
    assert index.locate(ngram, limit=2) == found[:2]
    tokens, counts = index.continuations(ngram)
    assert list(zip(tokens.tolist(), counts.tolist(), strict=True)) == (
      following(documents, ngram)
    )
  flat = np.stack(index.locate_batch(ngrams), axis=1).tolist()
  assert flat == [[i, *p] for i, ps in enumerate(expected) for p in ps]
  flat = np.stack(index.locate_batch(ngrams, 1), axis=1).tolist()
  assert flat == [[i, *p] for i, ps in enumerate(expected) for p in ps[:1]]
  flat = np.stack(index.continuations_batch(ngrams), axis=1).tolist()
  assert flat == [
    [i, *c] for i, n in enumerate(ngrams) for c in following(documents, n)
  ]
  texts = index.document_batch(documents)
  assert [text.tolist() for text in texts] == list(documents.values())


DOCUMENTS = st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=6)


@hypothesis.settings(max_examples=80)
@hypothesis.given(
  DOCUMENTS, st.integers(1, 9), st.integers(1, 4), st.integers(1, 40)
)
def test_all_questions(documents, sample_rate, shards, segment_tokens):
  index = FMIndex.build(
    documents,
    5,
    sample_rate=sample_rate,
    shards=shards,
    segment_tokens=segment_tokens,
  )
  check(index, dict(enumerate(documents)), np.random.default_rng(0))


@pytest.mark.parametrize('vocab_size', [1 << 16, 70_000, 1 << 31])
def test_large_vocabularies(vocab_size):
  rng = np.random.default_rng(0)
  tokens = [0, 7, 65_535, vocab_size - 1]
  documents = [rng.choice(tokens, size).tolist() for size in (40, 0, 300)]
  index = FMIndex.build([np.array(d, np.int64) for d in documents], vocab_size)
  check(index, dict(enumerate(documents)), rng)


def test_many_distinct_tokens_and_long_documents():
  rng = np.random.default_rng(0)
  documents = [
    np.minimum(rng.zipf(1.2, size), 999).tolist() for size in (2000, 1, 700)
  ]
  check(FMIndex.build(documents, 1000), dict(enumerate(documents)), rng)


@pytest.mark.parametrize(
  'documents', [[], [[]], [[], []], [[3]], [[3, 3, 3, 3]], [[0], []]]
)
def test_degenerate_corpora(documents):
  index = FMIndex.build(documents, 5)
  check(index, dict(enumerate(documents)), np.random.default_rng(0))
  index.add([[3, 0]])
  documents = {**dict(enumerate(documents)), len(documents): [3, 0]}
  check(index, documents, np.random.default_rng(0))


def test_ngrams_as_rows_of_an_array():
  index = FMIndex.build([[1, 2, 3, 1, 2]], 5)
  ngrams = np.array([[1, 2], [2, 3], [3, 3]], np.uint16)
  assert index.count_batch(ngrams).tolist() == [2, 1, 0]
  assert index.count_batch(ngrams[:0]).tolist() == []
  assert index.count_batch(ngrams[:, :0]).tolist() == [5, 5, 5]
  row, token = index.allowed_tokens(ngrams)
  assert (row.tolist(), token.tolist()) == ([0, 1], [3, 1])


class Growing(stateful.RuleBasedStateMachine):
  """An index that grows and shrinks against the documents that it should have."""

  def __init__(self):
    super().__init__()
    self.index = FMIndex.build([], 5, labels=[], segment_tokens=25)
    self.documents: dict[int, list[int]] = {}
    self.labels: dict[int, str] = {}
    self.added = 0

  @stateful.rule(documents=DOCUMENTS)
  def add(self, documents):
    labels = [f'd{self.added + i}' for i in range(len(documents))]
    numbers = self.index.add(documents, labels=labels)
    assert list(numbers) == list(range(self.added, self.added + len(documents)))
    self.documents |= dict(zip(numbers, documents, strict=True))
    self.labels |= dict(zip(numbers, labels, strict=True))
    self.added += len(documents)

  @stateful.rule(data=st.data())
  def remove(self, data):
    numbers = data.draw(st.sets(st.sampled_from([-1, *self.documents])))
    numbers -= {-1}
    self.index.remove(self.labels[number] for number in numbers)
    for number in numbers:
      del self.documents[number]

  @stateful.rule()
  def compact(self):
    self.index.compact()
    assert not any(s.removed_D.any() for s in self.index.segments)

  @stateful.rule()
  def save_and_load(self):
    with tempfile.TemporaryDirectory() as folder:
      self.index.save(folder + '/index')
      self.index = FMIndex.load(folder + '/index')
      # Not from files that are gone.
      self.index.compact()

  @stateful.invariant()
  def answers_are_those_of_the_documents(self):
    rng = np.random.default_rng(len(self.documents))
    check(self.index, self.documents, rng)
    rebuilt = FMIndex.build(self.documents.values(), 5)
    ngrams = some_ngrams(self.documents, 5, rng)
    np.testing.assert_array_equal(
      self.index.count_batch(ngrams), rebuilt.count_batch(ngrams)
    )


Growing.TestCase.settings = hypothesis.settings(
  max_examples=25, stateful_step_count=12
)
TestGrowing = Growing.TestCase


def test_segments_stay_few_and_removed_documents_go():
  index = FMIndex.build([], 100)
  rng = np.random.default_rng(0)
  for _ in range(100):
    index.add([rng.integers(0, 100, 10)])
  assert len(index.segments) <= 5
  tokens = sum(len(segment.text) for segment in index.segments)
  index.remove(range(90))
  # Of each segment at least half is there.
  assert sum(len(s.text) for s in index.segments) <= 2 * index.num_tokens
  assert sum(len(s.text) for s in index.segments) < tokens
  assert index.numbers().tolist() == list(range(90, 100))


def test_shards_have_like_sizes_and_stay_shards():
  documents = np.random.default_rng(0).integers(0, 9, (64, 25))
  index = FMIndex.build(list(documents), 9, shards=4)
  assert [len(s.text) for s in index.segments] == [400] * 4
  index.add([[1, 2, 3]])
  index.compact()
  assert 2 <= len(index.segments) <= 5


def test_joined():
  parts = [[[1, 2], [3]], [], [[2, 1, 2]]]
  names = [['a', 'b'], [], ['c']]
  indexes = [
    FMIndex.build(part, 5, labels=labels)
    for part, labels in zip(parts, names, strict=True)
  ]
  indexes[0].remove(['b'])
  joined = FMIndex.join(indexes)
  check(joined, {0: [1, 2], 2: [2, 1, 2]}, np.random.default_rng(0))
  joined.remove(['c'])
  check(joined, {0: [1, 2]}, np.random.default_rng(0))
  with pytest.raises(ValueError, match='share one; rename it'):
    FMIndex.join([indexes[0], indexes[0]])
  with pytest.raises(ValueError, match='of one vocabulary but got sizes 5 and'):
    FMIndex.join([indexes[0], FMIndex.build([], 6, labels=[])])
  with pytest.raises(ValueError, match='in all indexes or in none'):
    FMIndex.join([indexes[0], FMIndex.build([], 5)])
  with pytest.raises(ValueError, match='at least one index but got none'):
    FMIndex.join([])


def test_labels():
  index = FMIndex.build([[1], [2]], 5, labels=['x', 'y'])
  assert (index.number_of('x'), index.number_of('y')) == (0, 1)
  with pytest.raises(
    ValueError, match=r"several documents .* 'x'; put it in a"
  ):
    index.remove('x')
  index.remove(['x'])
  with pytest.raises(ValueError, match="got 'x', which the index does not"):
    index.remove(['y', 'x'])
  assert index.numbers().tolist() == [1]
  assert list(index.add([[3]], labels=['x'])) == [2]  # The name is free again.
  assert index.labels == ['x', 'y', 'x']
  index.remove(['x'])
  assert index.numbers().tolist() == [1]


def test_streams_are_read_once_and_copied():
  row = np.array([1, 2, 3], np.uint16)
  index = FMIndex.build((row for _ in range(3)), 5)
  row[:] = 0
  assert index.count([1, 2, 3]) == 3


def test_chunks_of_documents(monkeypatch):
  monkeypatch.setattr(fm_text, '_CHUNK_DOCUMENTS', 2)
  monkeypatch.setattr(fm_text, '_CHUNK_TOKENS', 5)
  documents = [[1, 2, 3, 4], [1], [], [2, 2], [3] * 9, [], [1]]
  text, start = fm_text.read_documents(iter(documents), 5)
  assert text.tolist() == [token for row in documents for token in row]
  assert start.tolist() == [0, 4, 5, 5, 7, 16, 16, 17]
  with pytest.raises(ValueError, match='but document 5 has 5; correct'):
    fm_text.read_documents([*documents[:5], [5]], 5)


@pytest.mark.parametrize(
  ('documents', 'options', 'message'),
  [
    ([[0, 5]], {}, 'from 0 to 4 but document 0 has 5; correct vocab_size'),
    ([[], [-1]], {}, 'from 0 to 4 but document 1 has -1'),
    ([[0.5]], {}, 'one row of integers for document 0 but got float64'),
    ([[[1]]], {}, 'one row of integers for document 0 .* shape'),
    ([1], {}, 'a row of tokens for document 0 but got 1; pass'),
    ([[1]], {'labels': 'a'}, "sequence of labels but got the text 'a'"),
    ([[1]], {'labels': []}, 'label for each of 1 documents but got 0'),
    ([[1]], {'labels': [3]}, 'text as label but got 3; convert'),
    ([[1], [2]], {'labels': ['a', 'a']}, "labels but 'a' comes twice"),
    ([[1]], {'shards': 0}, 'shards of at least 1 but got 0'),
    ([[1]], {'sample_rate': 0}, 'sample_rate of at least 1 but got 0'),
    ([[1]], {'segment_tokens': 0}, 'segment_tokens of at least 1 but got 0'),
  ],
)
def test_refusals(documents, options, message):
  with pytest.raises(ValueError, match=message):
    FMIndex.build(documents, 5, **options)


@pytest.mark.parametrize('vocab_size', [0, 2**31 + 1, 16.0, '16'])
def test_vocabulary_out_of_range(vocab_size):
  with pytest.raises(ValueError, match='vocab_size from 1 to 2\\^31 but got'):
    FMIndex.build([], vocab_size)


def test_refused_questions_leave_the_index_as_it_was():
  index = FMIndex.build([[1, 2], [3]], 5)
  for number, why in ((2, 'never was'), (-1, 'never was')):
    with pytest.raises(ValueError, match=f'{number}, which {why}; see numbers'):
      index.document(number)
  with pytest.raises(ValueError, match='which never was'):
    index.remove([0, 7])
  with pytest.raises(ValueError, match='labels of no new documents'):
    index.add([[1]], labels=['a'])
  with pytest.raises(ValueError, match='document 0 has 9'):
    index.add([[9]])
  with pytest.raises(ValueError, match="but got 'a', and the index has no lab"):
    index.remove(['a'])
  with pytest.raises(ValueError, match='limit of at least 0 but got -1'):
    index.locate([1], -1)
  check(index, {0: [1, 2], 1: [3]}, np.random.default_rng(0))
  index.remove([1])
  with pytest.raises(ValueError, match='1, which was removed'):
    index.document(1)
  labelled = FMIndex.build([[1]], 5, labels=['a'])
  with pytest.raises(ValueError, match='labels for new documents'):
    labelled.add([[1]])
  with pytest.raises(ValueError, match="'a' comes twice"):
    labelled.add([[1]], labels=['a'])
  check(labelled, {0: [1]}, np.random.default_rng(0))


def test_compact_keeps_the_shards():
  rows = np.random.default_rng(0).integers(0, 9, (16, 10))
  for shards in (1, 2, 8):
    index = FMIndex.build(list(rows), 9, shards=shards)
    index.add([[1, 2, 3]])
    index.remove([0])
    index.compact()
    assert len(index.segments) == shards
    documents = {i: row.tolist() for i, row in enumerate(rows) if i}
    check(index, {**documents, 16: [1, 2, 3]}, np.random.default_rng(0))


def test_an_index_is_an_argument_of_jit_or_captured_by_it():
  index = FMIndex.build([[4, 3, 2], [4, 2, 3]], 5)
  traces = []

  @jax.jit
  def mass(constraint):
    traces.append(1)
    automaton = constraint.constraint()
    state = automaton.start(automaton.arrays, 1)
    return automaton.probe(automaton.arrays, state, jnp.arange(5)[None])[0]

  expected = [[0, 0, 2, 2, 2]]
  assert mass(index).tolist() == expected
  assert mass(FMIndex.build([[1, 3, 2], [1, 2, 3]], 5)).tolist() == [
    [0, 2, 2, 2, 0]
  ]
  assert len(traces) == 1
  fresh = FMIndex.build([[4, 3, 2], [4, 2, 3]], 5)
  for _ in range(2):  # What the first leaves behind is of no trace.
    assert jax.jit(lambda: mass(fresh))().tolist() == expected
  assert mass(fresh).tolist() == expected


def test_refused_constraints():
  index = FMIndex.build([[1, 2]], 5)
  with pytest.raises(
    ValueError, match='eos_id or end_id but got both, 3 and 2'
  ):
    index.constraint(eos_id=3, end_id=2)
  with pytest.raises(ValueError, match='not occur in the corpus but 1 does'):
    index.constraint(eos_id=1)
  for name in ('eos_id', 'end_id'):
    for token in (-1, 5):
      with pytest.raises(
        ValueError, match=f'{name} from 0 to 4 but got {token}'
      ):
        index.constraint(**{name: token})
  with pytest.raises(ValueError, match='stop_count of at least 0 but got -1'):
    index.constraint(stop_count=-1)


def test_files_are_checked(tmp_path):
  index = genret.FMIndex.build([[1, 2, 3], [2]], 5, labels=['a', 'b'])
  index.save(tmp_path / 'index')
  loaded = genret.FMIndex.load(tmp_path / 'index')
  assert repr(loaded) == repr(index)
  assert loaded.labels == ['a', 'b']
  assert loaded.nbytes == index.nbytes > loaded.decoding_nbytes
  text = tmp_path / 'index' / 'segment0_text.npy'
  sound = text.read_bytes()
  text.write_bytes(sound[:-1])
  with pytest.raises(ValueError, match=r'segment0_text.npy .* truncated'):
    FMIndex.load(tmp_path / 'index')
  text.write_bytes(sound[:-1] + b'\7')
  with pytest.raises(ValueError, match=r'segment0_text.npy .* damaged'):
    FMIndex.load(tmp_path / 'index')
  text.unlink()
  with pytest.raises(ValueError, match=r'segment0_text.npy but it is missing'):
    FMIndex.load(tmp_path / 'index')
  with pytest.raises(FileNotFoundError, match='there is none; check the path'):
    FMIndex.load(tmp_path / 'nowhere')
  genret.Trie.from_sequences([[2]], 5).save(tmp_path / 'trie')
  with pytest.raises(ValueError, match=r"kind 'fm_index' but .* holds 'trie'"):
    FMIndex.load(tmp_path / 'trie')


def test_arrays_that_contradict_each_other(tmp_path):
  index = FMIndex.build([[1, 2, 3], [2]], 5)
  (segment,) = index.segments
  for name, array in segment._asdict().items():
    if name in ('alphabet_T', 'removed_Mx8'):
      continue  # Their lengths follow from nothing else alone.
    index.segments = (segment._replace(**{name: array[:-1]}),)
    index.save(tmp_path / 'index')
    with pytest.raises(ValueError, match='contradict each other; build'):
      FMIndex.load(tmp_path / 'index')


def test_header_says_what_there_is(tmp_path: pathlib.Path):
  FMIndex.build([[1]], 5).save(tmp_path / 'index')
  header = json.loads((tmp_path / 'index' / 'header.json').read_text())
  assert header['kind'] == 'fm_index'
  assert header['meta']['vocab_size'] == 5


def test_progress_and_estimate(capsys):
  FMIndex.build([[1, 2]] * 3, 5, shards=3, progress=True)
  shown = capsys.readouterr().err
  assert 'reading documents' in shown
  assert '3 documents, 6 tokens, 3 segments: needs about' in shown
  assert shown.count('sorting 2 tokens of 1 documents') == 3
