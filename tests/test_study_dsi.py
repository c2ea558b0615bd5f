# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The study of the DSI family: its grid, its rows, its comparisons, its page."""

import json

import numpy as np
import pytest
import tiny

from genret import metrics, tools
from genret.docids import build
from genret.tools import _dsi_page, _studies, _study_dsi

pytestmark = pytest.mark.optax


def row(name, seed, seen, unseen=(1,), free=None):
  """What the study notes, of ranks."""
  systems, ranks = {}, {}
  for system, ranks_seen in (('constrained', seen), ('unconstrained', free)):
    if ranks_seen is None:
      continue
    of = {'seen': ranks_seen, 'unseen': unseen}
    ranks[system] = {p: ' '.join(map(str, r)) for p, r in of.items()}
    systems[system] = {
      part: {m: float(v.mean()) for m, v in _dsi_page.values(text).items()}
      for part, text in ranks[system].items()
    } | {'legal_rate': 0.5, 'collision_rate': 0.25}
  return {
    'name': name,
    'seed': seed,
    'collection': 'toy',
    'documents': 9,
    'queries': 5,
    'split': 'test',
    'corpus_hash': 'f' * 64,
    'command': 'genret study dsi',
    'systems': systems,
    'ranks': ranks,
    'steps': 1000,
    'device': 'cpu' if seed == 0 else 'gpu',
    'examples_per_second': 250.0,
    'queries_per_second': 90.0,
  }


def test_measures_of_ranks_are_those_of_ir_measures():
  ranks = [1, 0, 3, 10, 2]
  run, qrels = {}, {}
  for number, rank in enumerate(ranks):
    hits = {f'd{place}': 20.0 - place for place in range(1, 13)}
    run[f'q{number}'] = hits
    qrels[f'q{number}'] = {f'd{rank or 12}': 1}
  found = metrics.evaluate(run, qrels, _dsi_page.MEASURES)
  values = _dsi_page.values(' '.join(map(str, ranks)))
  for measure, of in found.per_query.items():
    np.testing.assert_allclose(values[measure], list(of.values()))
  assert all(len(v) == 0 for v in _dsi_page.values('').values())


def test_claims_are_of_cells_that_there_are():
  names = {cell.name for cell in _study_dsi.grid()}
  assert len(names) == len(_study_dsi.grid())
  names |= {'BM25', 'docT5query', 'dual encoder'}
  for claim in _dsi_page.claims():
    assert claim.better in names
    assert claim.worse.removesuffix(_dsi_page.FREE) in names
  for scheme, options in _study_dsi.SCHEMES.values():
    assert scheme in build.schemes()
    assert isinstance(options, dict)


def test_seeds_are_averaged_before_the_test():
  rows = [
    row('semantic, all, words', 0, [1, 1, 1, 0]),
    row('semantic, all, words', 1, [1, 1, 0, 0]),
    row('naive, all, words', 0, [0, 0, 0, 0], free=[0, 0, 0, 1]),
    row('naive, all, words', 1, [0, 0, 0, 0], free=[0, 0, 0, 1]),
  ]
  found = {
    (c['better'], c['worse']): c
    for c in _dsi_page.comparisons(rows)
    if c['documents'] == 'seen'
  }
  pair = ('semantic, all, words', 'naive, all, words')
  free = ('naive, all, words', 'naive, all, words / unconstrained')
  assert set(found) == {pair, free}
  assert found[pair]['difference']['Success@1'] == pytest.approx(0.625)
  # Three queries differ, by 1, 1 and 0.5: two of eight exchanges are as far.
  assert found[pair]['p']['Success@1'] == pytest.approx(0.25)
  assert found[free]['difference']['Success@1'] == pytest.approx(-0.25)


def test_sides_are_compared_in_builds_that_both_have():
  """`row` makes seed 0 on a CPU and the others on a GPU."""
  rows = [
    row('semantic, all, words', 0, [1, 1]),
    row('semantic, all, words', 1, [0, 0]),
    row('naive, all, words', 1, [0, 0]),
    row('2d, all, words', 0, [1, 1]),
    row('2d, all, PAWA, words', 1, [0, 0]),
    row('atomic, all, words', 0, [1, 1]),
    row('atomic, all, words', 1, [1, 0]),
    {k: v for k, v in row('BM25', 0, [0, 1]).items() if k != 'device'},
  ]
  found = {
    (c['better'], c['worse']): (c['difference']['Success@1'], c['seeds'])
    for c in _dsi_page.comparisons(rows)
    if c['documents'] == 'seen'
  }
  pair = ('semantic, all, words', 'naive, all, words')
  assert found[pair] == (0, 1)  # seed 0 has no other side
  assert ('2d, all, PAWA, words', '2d, all, words') not in found
  assert found['atomic, all, words', 'BM25'] == (0.25, 2)
  # The same seed and device beside other text is another build.
  rows[1]['vocabulary_hash'], rows[2]['vocabulary_hash'] = 'a', 'b'
  names = {(c['better'], c['worse']) for c in _dsi_page.comparisons(rows)}
  assert pair not in names


def test_the_page_has_every_row_and_what_was_compared(tmp_path):
  rows = [
    row('BM25', 0, [1, 2]),
    row('semantic, all, words', 0, [1, 0], free=[0, 0]),
    row('semantic, all, words', 1, [1, 2], free=[0, 0]),
    row('naive, all, words', 0, [0, 0]),
  ]
  text = _dsi_page.write(rows, tmp_path)
  line = '| semantic, all, words | 2 | 1,000 | cpu/gpu | 0.500 ± 0.000 | 0.750 ± 0.354 |'
  assert line in text
  assert '| 0.500 | 0.250 | 250 | 90 |' in text
  assert '| BM25 | 1 | 1,000 | cpu | 0.500 | 1.000 | 0.750 |' in text
  assert (
    '| semantic, all, words less naive, all, words | 1 | seen | +0.500' in text
  )
  assert text.rstrip() in (tmp_path / 'dsi.md').read_text()
  results = json.loads((tmp_path / 'results' / 'dsi.json').read_text())
  assert results['rows'] == rows
  assert results['comparisons'] == _dsi_page.comparisons(rows)
  assert (tmp_path / 'images' / 'dsi.png').stat().st_size > 10_000


def test_rows_are_made_once_and_survive_the_work_folder(tmp_path):
  published = tmp_path / 'docs' / 'results' / 'dsi.json'
  made = []
  tiny.write_collection(tmp_path / 'toy')
  judged = _studies.load_judged(str(tmp_path / 'toy'), 'test', None, 'study')

  def make(rows, seed):
    rows.make(judged, 'x', seed, lambda: made.append(seed) or {'ranks': '1 2'})

  first = _studies.Rows(published, tmp_path / 'work')
  second = _studies.Rows(published, tmp_path / 'work')
  make(first, 0)
  make(second, 1)
  make(first, 1)
  assert made == [0, 1]
  # What another process is writing has another name until it is whole.
  (tmp_path / 'work' / '.toy.x.2.json.4f2').write_text('{')
  assert [r['seed'] for r in first.publish()] == [0, 1]
  elsewhere = _studies.Rows(published, tmp_path / 'elsewhere')
  for seed in (0, 1, 2):
    make(elsewhere, seed)
  assert made == [0, 1, 2]
  assert [r['seed'] for r in elsewhere.publish()] == [0, 1, 2]
  elsewhere.make(judged, 'x', 3, lambda: {'steps': 2}, steps=2)
  elsewhere.make(judged, 'x', 3, lambda: {'steps': 9})
  with pytest.raises(
    ValueError, match=r'rows of 5 steps, .* of seed 3 has one o'
  ):
    elsewhere.make(judged, 'x', 3, dict, steps=5)


def test_a_row_that_another_process_makes_is_left_to_it(tmp_path):
  published = tmp_path / 'docs' / 'results' / 'dsi.json'
  tiny.write_collection(tmp_path / 'toy')
  judged = _studies.load_judged(str(tmp_path / 'toy'), 'test', None, 'study')
  made = []
  one, other = (_studies.Rows(published, tmp_path / 'w') for _ in range(2))

  def meanwhile():
    other.make(judged, 'x', 0, lambda: made.append('x, too') or {})
    other.make(judged, 'y', 0, lambda: made.append('y') or {})
    return made.append('x') or {}

  one.make(judged, 'x', 0, meanwhile)
  one.make(judged, 'y', 0, lambda: made.append('y, too') or {})
  assert made == ['y', 'x']
  assert [r['name'] for r in one.publish()] == ['x', 'y']


@pytest.mark.slow
def test_a_study_runs_once(tmp_path, capsys):
  tiny.write_collection(tmp_path / 'toy', titles=True)
  words = ['study', 'dsi', '--corpus', str(tmp_path / 'toy'), '--seeds', '0']
  words += ['--steps', '2', '--work', str(tmp_path / 'work')]
  words += ['--docs', str(tmp_path / 'docs'), '--only', 'naive, *text, words']
  assert tools.main(words) == 0
  first = capsys.readouterr().out
  found = json.loads((tmp_path / 'docs' / 'results' / 'dsi.json').read_text())
  assert {r['name'] for r in found['rows']} == {
    'BM25',
    'naive, labelled + text, words',
    'naive, text, words',
  }
  ours = found['rows'][1]
  assert set(ours['systems']) == {'constrained', 'unconstrained'}
  assert ours['systems']['constrained']['legal_rate'] == 1.0
  number = sum(len(r.split()) for r in ours['ranks']['constrained'].values())
  assert number == ours['queries']
  assert tools.main(words) == 0
  assert capsys.readouterr().out == first
