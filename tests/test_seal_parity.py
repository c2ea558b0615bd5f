# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`Scoring.as_released` against SEAL's released code, and figures of that.

The figures in testdata/seal_scores.json are what `seal.keys.aggregate_evidence`
says of small random corpora; `python tests/test_seal_parity.py` writes them, and
they change only if the corpora here do. Where `seal.keys` can be imported, many
more corpora are compared.

A document is `[mark] tokens` here and `tokens [mark]` there, where the mark also
stands for the one that begins a title: an n-gram that begins with it is found
before the tokens of each document but the last, which is therefore empty.
"""

import json
import math
import pathlib

import numpy as np
import pytest

from genret import FMIndex
from genret.ranking.ngrams import NgramScorer, Scoring
from genret.tools import bench_ngrams

PATH = pathlib.Path(__file__).parent / 'testdata' / 'seal_scores.json'
MARK = bench_ngrams.MARK
GOLDEN = 12


def random_case(seed, *, documents=40, length=30, keys=40):
  """A corpus, keys and options, as JSON can hold them."""
  rng = np.random.default_rng(seed)
  vocab_size = int(rng.integers(4, 30))
  weight_V = 1 / np.arange(1, vocab_size - 2)
  texts = [
    3
    + rng.choice(
      vocab_size - 3, rng.integers(length), p=weight_V / weight_V.sum()
    )
    for _ in range(rng.integers(1, documents))
  ]
  if rng.random() < 0.3:  # Alike.
    texts += texts[:3]
  rows = [[MARK, *text.tolist()] for text in texts] + [[MARK]]
  found = set()
  for _ in range(rng.integers(1, keys)):
    size = int(rng.integers(1, 6))
    if rng.random() < 0.85:
      row = rows[rng.integers(len(rows))]
      start = 0 if rng.random() < 0.2 else int(rng.integers(len(row)))
      found.add(tuple(row[start : start + size]))
    else:
      found.add(tuple((3 + rng.integers(0, vocab_size - 3, size)).tolist()))
  found = sorted(found)
  rng.shuffle(found)
  coarse = rng.random() < 0.5  # Ties.
  if coarse:
    log_probs = -rng.integers(1, 6, len(found)) / 2
  else:
    log_probs = -rng.gamma(2.0, 1.0, len(found)) - 1e-3
  unigrams = None
  if rng.random() < 0.7:
    unigrams = np.log(rng.dirichlet(np.full(vocab_size, 0.3)) + 1e-12)
    unigrams = np.minimum(unigrams, -0.01)
    if coarse:
      unigrams = np.round(unigrams * 2) / 2 - 0.01
    unigrams = unigrams.tolist()
  return {
    'vocab_size': vocab_size,
    'rows': rows,
    'keys': [list(map(int, key)) for key in found],
    'log_probabilities': log_probs.tolist(),
    'unigrams': unigrams,
    'options': {
      'alpha': float(rng.choice([1.0, 2.0, 3.0])),
      'beta': float(rng.choice([0.0, 0.3, 0.8, 1.0])),
      'gamma': float(rng.choice([0.0, 0.1, 0.5])),
      'smoothing': float(rng.choice([1.0, 5.0])),
      'single_key': float(rng.choice([0.0, 0.0, 0.3, 1.0])),
      'max_occurrences': int(rng.choice([3, 8, 1500])),
      'max_count': int(rng.choice([20, 10_000_000])),
      'fully_scored': int(rng.choice([3, 10, 1500])),
      'unigram_limit': int(rng.choice([3, 5000])),
      'add_best_unigrams': bool(rng.random() < 0.6),
      'frequencies': bool(rng.random() < 0.7),
    },
  }


def released_answers(seal, case):
  """[document, score, [[key, contribution], ...]] of SEAL's code."""
  index = bench_ngrams.exact_index(seal.FMIndex)()
  index.initialize([[*row[1:], MARK] for row in case['rows']], in_memory=True)
  options = case['options']
  results, _ = seal.aggregate_evidence(
    list(zip(case['keys'], case['log_probabilities'], strict=True)),
    case['unigrams'],
    index,
    max_occurrences_1=options['max_occurrences'],
    max_occurrences_2=options['max_count'],
    n_docs_complete_score=options['fully_scored'],
    alpha=options['alpha'],
    beta=options['beta'],
    length_penalty=options['gamma'],
    use_fm_index_frequency=options['frequencies'],
    add_best_unigrams_to_ngrams=options['add_best_unigrams'],
    use_top_k_unigrams=options['unigram_limit'],
    smoothing=options['smoothing'],
    single_key=options['single_key'],
  )
  share = options['single_key']
  answers = []
  for document, (score, ngrams, _, _, best) in results.items():
    evidence = [[list(key), (1 - share) * gain] for key, gain in ngrams]
    evidence[0][1] += share * best[1]
    answers.append([document, score, sorted(evidence)])
  return answers


def our_answers(case, **build):
  index = FMIndex.build(case['rows'], case['vocab_size'], **build)
  scoring = Scoring(**case['options'], as_released=True)
  scorer = NgramScorer(index, scoring, ignored=bench_ngrams.SPECIAL)
  return scorer.score(
    case['keys'], case['log_probabilities'], case['unigrams'], 10**6
  )


def assert_same(found, expected):
  assert [d.document for d in found] == [number for number, _, _ in expected]
  for document, (_, score, evidence) in zip(found, expected, strict=True):
    assert math.isclose(document.score, score, rel_tol=1e-9, abs_tol=1e-12)
    mine = sorted([list(e.tokens), e.contribution] for e in document.evidence)
    assert [key for key, _ in mine] == [key for key, _ in evidence]
    np.testing.assert_allclose(
      [gain for _, gain in mine],
      [gain for _, gain in evidence],
      rtol=1e-9,
      atol=1e-12,
    )


def golden():
  return json.loads(PATH.read_text(encoding='utf-8'))


@pytest.mark.parametrize('at', range(GOLDEN))
def test_figures_of_the_released_code(at):
  case = golden()[at]
  assert case['answers']
  assert_same(our_answers(case, sample_rate=1 + at % 2), case['answers'])


def test_the_figures_cover_the_options():
  cases = golden()
  assert len(cases) == GOLDEN
  for name in cases[0]['options']:
    assert len({case['options'][name] for case in cases}) > 1, name
  assert {case['unigrams'] is None for case in cases} == {False, True}


@pytest.fixture(scope='module')
def seal():
  return pytest.importorskip('seal.keys', exc_type=ImportError)


@pytest.mark.parametrize('first', range(0, 300, 50))
def test_random_corpora(seal, first):
  for seed in range(first, first + 50):
    case = random_case(seed)
    found = our_answers(
      case, sample_rate=1 + 2 * (seed % 2), shards=1 + seed % 3
    )
    assert_same(found, released_answers(seal, case))


def test_figures_are_still_those_of_the_released_code(seal):
  for case in golden():
    found = released_answers(seal, case)
    assert json.loads(json.dumps(found)) == case['answers']


def write_golden():
  """Writes small cases in which stages, ties and claims matter."""
  import seal.keys

  cases = []
  for seed in range(10_000):
    case = random_case(seed, documents=10, length=12, keys=14)
    answers = released_answers(seal.keys, case)
    usual = NgramScorer(
      FMIndex.build(case['rows'], case['vocab_size']),
      Scoring(**case['options']),
      ignored=bench_ngrams.SPECIAL,
    ).score(case['keys'], case['log_probabilities'], case['unigrams'], 99)
    # Every other case tells the released code from the rules of `ngrams`.
    differs = [d.document for d in usual] != [n for n, _, _ in answers]
    if len(answers) > 2 and differs == bool(len(cases) % 2):
      cases.append({**case, 'answers': answers})
    if len(cases) == GOLDEN:
      break
  PATH.parent.mkdir(exist_ok=True)
  text = ',\n'.join(json.dumps(case) for case in cases)
  PATH.write_text(f'[{text}]\n', encoding='utf-8')


if __name__ == '__main__':
  write_golden()
