# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench ngrams` in miniature: no figure is asserted, answers are."""

import json
import math
import sys
import types

import numpy as np
import pytest

from genret import FMIndex, tools
from genret.ranking.ngrams import NgramScorer, Scoring
from genret.tools import _measure, bench_ngrams
from genret.vocabulary import train_vocabulary

SMALL = (
  *('--num-tokens', '3000', '--vocab-size', '60', '--queries', '2'),
  *('--keys', '20', '--documents', '5', '--repeats', '1'),
)


@pytest.fixture
def alone(monkeypatch):
  """No peer can be imported."""
  for name in ('seal', 'seal.keys'):
    monkeypatch.setitem(sys.modules, name, None)


def test_every_line_without_a_peer(alone, tmp_path, capsys):
  path = tmp_path / 'figures.json'
  status = tools.main(['bench', 'ngrams', *SMALL, '--json', str(path)])
  said = capsys.readouterr()
  assert status == 0, said.err
  assert "SEAL's scoring is skipped: no seal.keys (" in said.err
  assert '3,0' in said.err  # tokens, marks included
  figures = json.loads(path.read_text(encoding='utf-8'))
  stages = ['count and weigh keys', 'stage 1', 'of it, locating', 'stage 2']
  stages.append('evidence')
  assert [line['ours'] for line in figures['lines']] == [
    *['sample_rate=1', *stages, *stages]
  ]
  for line in figures['lines']:
    assert 0 < line['ours_value'] < math.inf, line
  assert 'stages, sample_rate=8: ' in said.out


def test_a_corpus_of_words(alone, tmp_path, capsys):
  texts = [f'the {i} dogs and {i % 7} cats of house {i}' for i in range(40)]
  with open(tmp_path / 'corpus.jsonl', 'w', encoding='utf-8') as file:
    for i, text in enumerate(texts):
      line = {'_id': str(i), 'title': f'title {i}', 'text': text}
      file.write(json.dumps(line) + '\n')
  train_vocabulary(texts, tmp_path / 'spiece.model', size=60)
  words = ['bench', 'ngrams', *SMALL, '--corpus', str(tmp_path)]
  assert tools.main(words) == 2
  assert 'Expected --corpus and --vocabulary together' in (
    capsys.readouterr().err
  )
  words += ['--vocabulary', str(tmp_path / 'spiece.model')]
  words += ['--sample-rates', '2']
  assert tools.main(words) == 0
  said = capsys.readouterr()
  assert '40 documents' in said.err
  assert tools.main([*words, '--num-tokens', '50']) == 0
  assert ' documents' in capsys.readouterr().err
  assert tools.main([*words, '--keys', '5000']) == 2
  assert 'Expected 5000 distinct n-grams' in capsys.readouterr().err


def test_queries_are_about_neighbours():
  tokens = _measure.synthetic_tokens(4000, 100)
  rows = list(bench_ngrams._rows(tokens))
  assert all(row[0] == bench_ngrams.MARK for row in rows)
  assert min(row[1:].min() for row in rows) > bench_ngrams.MARK
  queries = bench_ngrams.make_queries(rows, 101, count=2, keys=30, seed=1)
  index = FMIndex.build(rows, 101)
  for query in queries:
    assert len(set(query.keys)) == 30
    assert (index.count_batch(query.keys) > 0).all()
    assert max(map(len, query.keys)) <= 10
    assert max(query.log_probabilities) < 0
    assert np.exp(query.unigram_log_probabilities).sum() == pytest.approx(1)
  with pytest.raises(ValueError, match=r'Expected 30 distinct .* found 0'):
    bench_ngrams.make_queries([np.array([2])], 9, count=1, keys=30, seed=1)


@pytest.mark.parametrize('error', [0.0, 1e-6])
def test_a_peer_is_compared_and_its_mistakes_are_told(
  monkeypatch, capsys, error
):
  class Index:
    def initialize(self, sequences, in_memory):
      assert in_memory
      self.rows = [[row[-1], *row[:-1]] for row in sequences]

  def aggregate_evidence(ngrams_and_scores, unigram_scores, index, **options):
    assert options['max_occurrences_1'] == options['n_docs_complete_score']
    vocab_size = len(unigram_scores)
    scorer = NgramScorer(
      FMIndex.build(index.rows, vocab_size),
      Scoring(as_released=True),
      ignored=bench_ngrams.SPECIAL,
    )
    keys, log_probs = zip(*ngrams_and_scores, strict=True)
    found = scorer.score(keys, log_probs, np.array(unigram_scores), 1500)
    return {d.document: [d.score * (1 + error)] for d in found}, None

  peer = types.SimpleNamespace(
    FMIndex=Index, aggregate_evidence=aggregate_evidence
  )
  monkeypatch.setattr(_measure, 'peer', lambda *_: peer)
  assert tools.main(['bench', 'ngrams', *SMALL]) == 0
  said = capsys.readouterr().out
  assert 'SEAL aggregate_evidence' in said
  assert ('2 of 2 queries differ' in said) == bool(error)


def test_an_index_that_counts_exactly():
  class Index:
    """Rows of a single document `13 12 12`, and one row too many."""

    def size(self):
      return 5

    def backward_search_step(self, token, low, high):
      assert high < 5
      assert token == 12
      return 1, 2

  assert bench_ngrams.exact_index(Index)().get_range([2]) == (1, 3)
