# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench constraints` in miniature: no figure is asserted, answers are."""

import collections
import functools
import itertools
import json
import math
import sys

import jax
import numpy as np
import pytest

from genret import FMIndex, tools
from genret.constraints import protocol
from genret.tools import (
  _measure,
  _measure_fulltext,
  _measure_plain,
  _measure_sizes,
  _measure_trie,
)

SMALL = (
  *('--num-tokens', '2000', '--vocab-size', '80', '--batch-size', '2'),
  *('--num-beams', '3', '--identifiers', '60', '--trie-vocab-size', '20'),
  *('--trie-beams', '4', '--repeats', '1', '--build-repeats', '1'),
)
PEERS = 'seal', 'seal.index', 'seal.beam_search', 'static_decoding'


@pytest.fixture
def alone(monkeypatch):
  """No peer can be imported."""
  for name in PEERS:
    monkeypatch.setitem(sys.modules, name, None)


class FakeSeal:
  """Answers like SEAL's index, with eos behind documents; slowly."""

  def __init__(self, tokens, eos_id):
    self.documents = [d.tolist() + [eos_id] for d in tokens.documents()]
    lengths = list(map(len, self.documents))
    self.beginnings = [0, *itertools.accumulate(lengths)]
    self.ranges = {}
    self.places = []

  def size(self):
    return self.beginnings[-1]

  def get_range(self, ngram):
    if tuple(ngram) not in self.ranges:
      first = len(self.places)
      for number, document in enumerate(self.documents):
        for at in range(len(document) - len(ngram) + 1):
          if document[at : at + len(ngram)] == list(ngram):
            self.places.append((number, at + len(ngram)))
      self.ranges[tuple(ngram)] = first, len(self.places)
    return self.ranges[tuple(ngram)]

  def get_distinct_count_multi(self, lows, highs):
    if (lows[0], highs[0]) == (0, self.size()):
      everything = collections.Counter(itertools.chain(*self.documents))
      counts = [everything] * len(lows)
    else:
      counts = [
        collections.Counter(self.documents[d][i] for d, i in self.places[a:b])
        for a, b in zip(lows, highs, strict=True)
      ]
    return [(list(c), list(c.values())) for c in counts]

  def get_distinct(self, low, high):
    return self.get_distinct_count_multi([low], [high])[0][0]

  def get_continuations(self, ngram):
    return self.get_distinct(*self.get_range(ngram))

  def locate(self, row):
    number, end = self.places[row]
    return self.beginnings[number + 1] - end

  def get_doc_index(self, position):
    return int(np.searchsorted(self.beginnings, position, 'right')) - 1

  def get_doc(self, number):
    return self.documents[number]


def setup_with(seal_class, tokens):
  index = FMIndex.build(tokens.documents(), tokens.vocab_size)
  seal = seal_class(tokens, 1)
  return _measure_fulltext.Setup(tokens, index, seal, None, 2, 3, 1, 1)


def test_every_line_without_peers(alone, tmp_path, capsys):
  path = tmp_path / 'figures.json'
  status = tools.main(['bench', 'constraints', *SMALL, '--json', str(path)])
  said = capsys.readouterr()
  assert status == 0, said.err
  assert 'building with SEAL is skipped: no seal.index (' in said.err
  assert 'STATIC is skipped: no static_decoding' in said.err
  assert 'step 9: list all that may follow, with counts, 6 beams' in said.out
  figures = json.loads(path.read_text(encoding='utf-8'))
  assert figures['settings']['num_tokens'] == 2000
  assert {line['answers'] for line in figures['lines']} == {'same', 'below', ''}
  for line in figures['lines']:
    assert 0 < line['ours_value'] < math.inf, line
    assert line['ratio'] == line['peer_value'] / line['ours_value']
  assert sum(line['answers'] == 'same' for line in figures['lines']) == 10


def test_real_tokens_and_parts(alone, tmp_path, capsys):
  tokens = _measure.synthetic_tokens(1000, 50)
  np.save(tmp_path / 'tokens.npy', tokens.token_T)
  np.save(tmp_path / 'starts.npy', tokens.start_D1)
  words = ['bench', 'constraints', *SMALL, '--parts', 'locate', '--tokens']
  words += [str(tmp_path / 'tokens.npy')]
  assert tools.main(words) == 2
  assert 'Expected --tokens and --starts together' in capsys.readouterr().err
  words += ['--starts', str(tmp_path / 'starts.npy')]
  assert tools.main(words) == 0
  assert tools.main([*words, '--vocab-size', '9']) == 2
  assert 'Expected tokens below --vocab-size 9' in capsys.readouterr().err
  assert tools.main([*words, '--eos-id', str(tokens.token_T[0])]) == 2
  assert 'a token that does not occur' in capsys.readouterr().err
  np.save(tmp_path / 'starts.npy', tokens.start_D1[::-1])
  assert tools.main(words) == 2
  assert 'Expected ascending starts' in capsys.readouterr().err


def test_a_peer_is_compared_and_its_mistakes_are_told():
  tokens = _measure.synthetic_tokens(1500, 60)

  class Wrong(FakeSeal):
    def get_distinct_count_multi(self, lows, highs):
      found = super().get_distinct_count_multi(lows, highs)
      return [([*t, 0], [*c, 1]) for t, c in found]

    def get_doc(self, number):
      return [0, *super().get_doc(number)]

    def locate(self, row):
      return super().locate(row) - 1

  answers = {}
  for kind in (FakeSeal, Wrong):
    setup = setup_with(kind, tokens)
    lines = [
      *_measure_fulltext.continuation_lines(setup),
      *_measure_fulltext.locate_lines(setup),
    ]
    found = [line for line in lines if line.peer.startswith('SEAL')]
    answers[kind] = [line.answers for line in found]
  assert answers[FakeSeal] == ['same'] * 12
  assert set(answers[Wrong][:8]) == {'6 of 6 beams differ'}
  assert all(a.endswith('n-grams differ') for a in answers[Wrong][8:11])
  assert answers[Wrong][11] == '500 of 500 documents differ'


@pytest.mark.parametrize('vocab_size', [30, 70000])
def test_sorted_positions_are_the_plain_answer(vocab_size):
  tokens = _measure.synthetic_tokens(600, 30)._replace(vocab_size=vocab_size)
  plain = _measure_plain.SortedPositions(tokens, 4)
  counts = collections.Counter()
  for document in map(np.ndarray.tolist, tokens.documents()):
    for n in range(1, 5):
      counts.update(
        tuple(document[i : i + n]) for i in range(len(document) - n + 1)
      )
  for length in range(4):
    prefix_NxP = _measure.prefixes(tokens, length, 5)
    token_NxT = np.tile(np.arange(30), (5, 1))
    expected = [
      [counts[(*prefix, token)] for token in range(30)]
      for prefix in prefix_NxP.tolist()
    ]
    assert plain.masses(prefix_NxP, token_NxT).tolist() == expected
    for prefix, row in zip(prefix_NxP, expected, strict=True):
      listed = {t: n for t, n in enumerate(row) if n}
      assert plain.listing(prefix) == listed


def test_plain_searches_of_identifiers_agree_with_enumeration():
  row_DxL = _measure_trie.identifiers(200, 6)
  logits_LxV = np.random.default_rng(3).standard_normal((8, 6))
  log_prob_LxV = np.array(jax.nn.log_softmax(logits_LxV, axis=1))
  scores = {
    row: sum(log_prob_LxV[i, t] for i, t in enumerate(row))
    for row in map(tuple, row_DxL.tolist())
  }
  best = sorted(scores, key=lambda row: -scores[row])
  root = _measure_plain.dictionary(row_DxL)
  for allowed in (
    functools.partial(_measure_plain.walk, root),
    functools.partial(_measure_plain.look_up, row_DxL),
  ):
    found = _measure_plain.plain_search(logits_LxV, 500, allowed)
    assert found == best
    first = _measure_plain.plain_search(logits_LxV, 3, allowed)
    assert len(first) == 3
    assert set(first) <= set(best)


def test_synthetic_tokens_repeat_and_keep_out_of_the_special_ones():
  tokens = _measure.synthetic_tokens(20_000, 500)
  assert len(tokens.token_T) == tokens.start_D1[-1] == 20_000
  assert tokens.token_T.min() >= 2
  assert tokens.token_T.max() < 500
  length_D = np.diff(tokens.start_D1)
  assert length_D.min() > 0
  assert 90 < length_D.mean() < 110
  again = _measure.synthetic_tokens(20_000, 500)
  assert (again.token_T == tokens.token_T).all()
  with pytest.raises(ValueError, match='Expected documents of more than 200 '):
    _measure.prefixes(tokens, 200, 1)


def test_sizes_are_measured_once(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(_measure_sizes, 'VOCAB_SIZE', 100)
  monkeypatch.setattr(_measure_sizes, 'BATCH_SIZE', 2)
  monkeypatch.setattr(_measure_sizes, 'NUM_BEAMS', 3)
  results, image = tmp_path / 'new' / 'sizes.json', tmp_path / 'sizes.png'
  words = ['bench', 'constraints', '--sizes', '--repeats', '1']
  words += ['--results', str(results), '--image', str(image)]
  words += ['--trie-sizes', '1e2', '--fm-sizes']
  assert tools.main([*words, '2e3']) == 0
  first = json.loads(results.read_text(encoding='utf-8'))
  assert [(r['kind'], r['size']) for r in first] == [
    ('fm', 2000),
    ('trie', 100),
  ]
  assert image.read_bytes()[:4] == b'\x89PNG'
  capsys.readouterr()
  assert tools.main([*words, '1e3', '2e3']) == 0
  said = capsys.readouterr()
  assert f'fm of 2,000: in {results} already' in said.err
  assert said.out.count('built in') == 3
  rows = json.loads(results.read_text(encoding='utf-8'))
  assert [r['size'] for r in rows] == [1000, 2000, 100]
  assert rows[1] in first


def test_a_table_to_read():
  lines = [
    _measure.Line('search', 'peer', 1234.5, 'ours', 0.01234, 'same'),
    _measure.Line(
      'search', 'other', 5, 'ours', 0, '1 of 2 beams differ', 'of 8'
    ),
  ]
  assert _measure.table(lines) == (
    '  peer              ours                ratio  answers\n'
    'search\n'
    '  peer    1,234 ms  ours  0.0123 ms  100,041x  same\n'
    '  other  5.00 of 8  ours     0 of 8            1 of 2 beams differ'
  )
  assert _measure.same(0, 9, 'beams') == 'same'


def test_turns_alternate():
  calls = []
  times = _measure.alternate(
    {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}, 2
  )
  assert calls == ['a', 'b'] * 3
  assert times['a'].best <= times['a'].median


def test_states_and_best_of_no_constraint():
  free = protocol.unconstrained(7)
  prefix_NxP = np.zeros((4, 2), np.int32)
  state_N = _measure_fulltext.states_after(free, jax.numpy.asarray(prefix_NxP))
  logits_NxV = np.random.default_rng(0).standard_normal((4, 7), np.float32)
  scored = _measure_fulltext.scorer(
    free, state_N, jax.numpy.asarray(logits_NxV)
  )
  found = _measure_fulltext.best(
    free, state_N, scored, num_beams=2, num_probes=3
  )
  log_prob_NxV = np.array(jax.nn.log_softmax(logits_NxV, axis=1))
  expected = np.sort(log_prob_NxV.reshape(2, -1), axis=1)[:, :-3:-1]
  np.testing.assert_allclose(found.key_BxC, expected, rtol=1e-5)
