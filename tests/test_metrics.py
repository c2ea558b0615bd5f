# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import itertools
import json
import math
import sys

import hypothesis
import numpy as np
import pytest
import pytrec_eval
from hypothesis import strategies as st

from genret import corpus, metrics, report, runs

# The run of each case lists documents in an order that is not the ranking.
CASES = [
  # The relevant document is second.
  ('q 0 d1 1', 'q Q0 d2 1 9 t\nq Q0 d1 2 8 t', 'RR@10', 1 / 2),
  ('q 0 d1 1', 'q Q0 d2 1 9 t\nq Q0 d1 2 8 t', 'Success@1', 0),
  ('q 0 d1 1', 'q Q0 d2 1 9 t\nq Q0 d1 2 8 t', 'Success@10', 1),
  # The rank column counts for nothing.
  ('q 0 d1 1', 'q Q0 d2 1 8 t\nq Q0 d1 2 9 t', 'Success@1', 1),
  # A tie: the larger document id is first, in every measure.
  ('q 0 d1 1', 'q Q0 d1 1 9 t\nq Q0 d2 2 9 t', 'Success@1', 0),
  ('q 0 d2 1', 'q Q0 d1 1 9 t\nq Q0 d2 2 9 t', 'Success@1', 1),
  ('q 0 d1 1', 'q Q0 d1 1 9 t\nq Q0 d2 2 9 t', 'RR@10', 1 / 2),
  ('q 0 d2 1', 'q Q0 d1 1 9 t\nq Q0 d2 2 9 t', 'RR@10', 1),
  ('q 0 d10 1', 'q Q0 d10 1 9 t\nq Q0 d9 2 9 t', 'RR@10', 1 / 2),
  # Scores equal in single precision are a tie too.
  ('q 0 d1 1', 'q Q0 d1 1 1.00000001 t\nq Q0 d2 2 1 t', 'RR@10', 1 / 2),
  # Two relevant documents, one found at rank 2; linear gain.
  (
    'q 0 d1 3\nq 0 d3 1',
    'q Q0 d2 1 9 t\nq Q0 d1 2 8 t',
    'nDCG@10',
    (3 / math.log2(3)) / (3 + 1 / math.log2(3)),
  ),
  ('q 0 d1 1\nq 0 d3 1', 'q Q0 d2 1 9 t\nq Q0 d1 2 8 t', 'R@100', 1 / 2),
  # Every judged query counts; p is absent from the run.
  ('q 0 d1 1\np 0 d1 1', 'q Q0 d1 1 9 t', 'Success@1', 1 / 2),
  ('q 0 d1 1\np 0 d1 1', 'q Q0 d1 1 9 t', 'RR@10', 1 / 2),
  ('q 0 d1 1\np 0 d1 1', 'q Q0 d1 1 9 t', 'nDCG@10', 1 / 2),
  ('q 0 d1 1\np 0 d1 1', 'x Q0 d1 1 9 t', 'R@100', 0),
  # Judged, but nothing relevant: it counts, with 0.
  ('q 0 d1 1\np 0 d1 0', 'q Q0 d1 1 9 t\np Q0 d1 1 9 t', 'RR@10', 1 / 2),
  ('q 0 d1 1\np 0 d1 0', 'q Q0 d1 1 9 t\np Q0 d1 1 9 t', 'Success@1', 1 / 2),
  # Parameters reach the measure.
  ('q 0 d1 1\nq 0 d2 2', 'q Q0 d1 1 9 t\nq Q0 d2 2 8 t', 'RR(rel=2)@10', 1 / 2),
  ('q 0 d1 1\nq 0 d2 2', 'q Q0 d1 1 9 t\nq Q0 d2 2 8 t', 'P(rel=2)@1', 0),
]


@pytest.mark.parametrize(('qrels', 'run', 'measure', 'expected'), CASES)
def test_hand_worked_cases(tmp_path, qrels, run, measure, expected):
  (tmp_path / 'qrels').write_text(qrels)
  (tmp_path / 'run').write_text(run)
  found = metrics.evaluate(
    runs.read_trec(tmp_path / 'run'),
    corpus.read_qrels(tmp_path / 'qrels'),
    [measure],
  )
  assert found.mean == {measure: pytest.approx(expected)}


def test_what_does_not_match_is_reported():
  run = {'q': {'d': 1.0}, 'x': {'d': 1.0}, 'e': {}}
  qrels = {'q': {'d': 1}, 'p': {'d': 1}, 'e': {'d': 1}}
  found = metrics.evaluate(run, qrels)
  assert found.missing == ['p', 'e']
  assert found.unjudged == ['x']
  assert list(found.mean) == list(metrics.MEASURES)
  for values in found.per_query.values():
    assert values == {'q': 1.0, 'p': 0.0, 'e': 0.0}
  assert found.mean == pytest.approx(dict.fromkeys(metrics.MEASURES, 1 / 3))


DOCS = [f'd{i}' for i in range(6)]
QUERIES = ['q1', 'q2', 'q3']
RUNS = st.dictionaries(
  st.sampled_from(QUERIES),
  # Few values, so that there are many ties.
  st.dictionaries(
    st.sampled_from(DOCS),
    st.sampled_from([0.0, 1.0, 1.00000001, -2.0]),
    min_size=1,
  ),
  min_size=1,
)
QRELS = st.dictionaries(
  st.sampled_from(QUERIES),
  st.dictionaries(st.sampled_from(DOCS), st.integers(0, 2), min_size=1),
  min_size=1,
)


@hypothesis.given(run=RUNS, qrels=QRELS)
@hypothesis.settings(max_examples=60)
def test_random_runs_agree_with_trec_eval(run, qrels):
  names = {
    'Success@1': 'success_1',
    'R@2': 'recall_2',
    'nDCG@3': 'ndcg_cut_3',
    'AP': 'map',
    'RR@10': 'recip_rank',  # no run is longer than ten
  }
  found = metrics.evaluate(run, qrels, list(names))
  official = pytrec_eval.RelevanceEvaluator(qrels, set(names.values()))
  values = official.evaluate(run)
  for ours, theirs in names.items():
    expected = {q: values.get(q, {}).get(theirs, 0.0) for q in qrels}
    assert found.per_query[ours] == pytest.approx(expected), ours
    mean = sum(expected.values()) / len(expected)
    assert found.mean[ours] == pytest.approx(mean), ours
  for query in run:
    order = metrics.trec_order(run[query])
    # The order itself, from trec_eval: one relevant document at a time.
    for rank, doc_id in enumerate(order, start=1):
      one = pytrec_eval.RelevanceEvaluator({query: {doc_id: 1}}, {'recip_rank'})
      reciprocal = one.evaluate({query: run[query]})[query]['recip_rank']
      assert reciprocal == pytest.approx(1 / rank)


@pytest.mark.parametrize(
  'name',
  [
    'Hits@1', 'P@0', 'P(rel=0)@1', 'nDCG@x', 'nDCG@-1', 'R', 'RR(foo=2)', '',
    'P@1.5', '__import__("os")', 'recall_10',
  ],
)  # fmt: skip
def test_unknown_measures_are_refused(name):
  with pytest.raises(ValueError, match=r'such as Success@1, .*found ') as error:
    metrics.evaluate({'q': {'d': 1.0}}, {'q': {'d': 1}}, [name])
  assert repr(name) in str(error.value)


def test_empty_qrels_are_refused():
  with pytest.raises(ValueError, match='expected judged queries, found none'):
    metrics.evaluate({'q': {'d': 1.0}}, {})


def test_the_missing_library_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'ir_measures', None)
  with pytest.raises(ImportError, match=r"pip install 'genret\[eval\]'"):
    metrics.evaluate({}, {'q': {'d': 1}})


def test_rates():
  identifier = np.array([[True, True, False], [True, False, False]])
  flagged = np.array([[True, True, True], [True, False, False]])
  assert metrics.legal_rate(identifier, flagged) == 3 / 4
  assert metrics.legal_rate(identifier) == 3 / 6
  # An identifier that was not flagged is not among what was returned.
  assert metrics.legal_rate(identifier, ~identifier) == 0.0
  assert metrics.legal_rate(np.zeros((2, 0), bool)) == 1.0
  # Row 0 has 3 legal beams, row 1 only one.
  assert metrics.dead_end_rate(flagged, num_identifiers=100) == 1 / 2
  assert metrics.dead_end_rate(flagged, num_identifiers=1) == 0.0
  assert metrics.dead_end_rate(flagged, num_identifiers=2) == 1 / 2
  assert metrics.dead_end_rate(np.zeros((0, 3), bool), 5) == 0.0


def exact_p(a, b) -> float:
  """All 2^Q exchanges, one by one."""
  difference = np.subtract(a, b)
  observed = abs(difference.sum())
  sums = [
    abs(np.dot(signs, difference))
    for signs in itertools.product([1, -1], repeat=len(difference))
  ]
  return np.mean([s >= observed - 1e-12 for s in sums])


@hypothesis.given(
  pairs=st.lists(
    st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 0.25, 1])),
    min_size=1,
    max_size=7,
  )
)
@hypothesis.settings(max_examples=40)
def test_few_queries_get_the_exact_p(pairs):
  a, b = zip(*pairs, strict=True)
  p = metrics.paired_randomization_test(a, b)
  assert p == pytest.approx(exact_p(a, b))
  assert metrics.paired_randomization_test(b, a) == pytest.approx(p)


def test_many_queries_get_a_sampled_p():
  rng = np.random.default_rng(0)
  a = rng.random(12)
  b = a + rng.normal(0.1, 0.2, 12)
  sampled = metrics.paired_randomization_test(a, b, permutations=4000)
  assert sampled == pytest.approx(exact_p(a, b), abs=0.03)
  again = metrics.paired_randomization_test(a, b, permutations=4000)
  other = metrics.paired_randomization_test(a, b, permutations=4000, seed=1)
  assert again == sampled != other
  # Far apart: small, and never 0.
  tiny = metrics.paired_randomization_test(np.ones(50), np.zeros(50))
  assert 0 < tiny < 0.001
  assert metrics.paired_randomization_test(a, a) == 1.0
  # Of many queries three differ: exact again.
  few = np.concatenate([a, a, [1, 1, 1]]), np.concatenate([a, a, [0, 0, 0]])
  assert metrics.paired_randomization_test(*few) == 2 / 2**3
  assert metrics.paired_randomization_test([], []) == 1.0
  with pytest.raises(ValueError, match=r'found shapes \(12,\) and \(11,\)'):
    metrics.paired_randomization_test(a, b[:-1])


def test_significance_aligns_queries():
  qrels = {f'q{i}': {'d': 1} for i in range(10)}
  good = {query: {'d': 1.0} for query in qrels}
  bad = {query: {'e': 1.0} for query in reversed(qrels)}
  one = metrics.evaluate(good, qrels, ['RR@10', 'R@100'])
  two = metrics.evaluate(bad, dict(reversed(qrels.items())), ['RR@10'])
  assert metrics.significance(one, two) == {'RR@10': pytest.approx(2 / 2**10)}
  assert metrics.significance(one, one) == {'RR@10': 1.0, 'R@100': 1.0}
  # Values must meet by query, not by place: here 4 of 10 differ, all one way.
  first = metrics.evaluate({q: good[q] for q in list(qrels)[:5]}, qrels)
  most = {q: good[q] for q in list(qrels)[:9]}
  second = metrics.evaluate(most, dict(reversed(qrels.items())), ['RR@10'])
  assert metrics.significance(first, second) == {'RR@10': 2 / 2**4}
  few = metrics.evaluate(good, {'q0': {'d': 1}}, ['RR@10'])
  with pytest.raises(ValueError, match='same judged queries, found 10 and 1'):
    metrics.significance(one, few)


def test_reports_are_json_and_whole(tmp_path):
  path = tmp_path / 'runs' / 'report.json'
  content = {'systems': {'naïve': {'RR@10': 0.5}}, 'seed': 1}
  report.write_report(path, content)
  assert json.loads(path.read_text()) == content
  bad = {'systems': [{'RR@10': 1.0}, {'RR@10': float('nan')}]}
  with pytest.raises(
    ValueError, match=r"\['systems'\]\[1\]\['RR@10'\] = nan; "
  ):
    report.write_report(path, bad)
  with pytest.raises(ValueError, match=r"report\['x'\] = inf"):
    report.write_report(path, {'x': float('inf')})
  assert json.loads(path.read_text()) == content


def test_tables_are_aligned():
  systems = {'genret': {'RR@10': 0.5, 'R@100': 1.0}, 'bm25': {'RR@10': 0.25}}
  assert report.format_table(systems) == (
    '         RR@10   R@100\n'
    '----------------------\n'
    'genret  0.5000  1.0000\n'
    'bm25    0.2500       -'
  )
  marked = report.format_table(
    systems, {'genret': {'RR@10': 0.004, 'R@100': 1}}
  )
  assert marked == (
    '           RR@10     R@100\n'
    '--------------------------\n'
    'genret  0.5000**  1.0000\n'
    'bm25    0.2500         -'
  )
  marked = report.format_table(systems, {'genret': {'RR@10': 0.04}})
  assert 'genret  0.5000*   1.0000' in marked
