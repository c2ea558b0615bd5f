# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret study`: rows that are kept, tables, and the page they stand in."""

import json

import pytest
import tiny

from genret import tools
from genret.tools import _study_seal, _tables, study

pytestmark = pytest.mark.optax


def row(model, seed, **systems):
  per_query = {
    name: {'Success@1': dict(zip('abcd', values, strict=True))}
    for name, values in systems.items()
  }
  return {
    'collection': 'toy',
    'model': model,
    'seed': seed,
    'documents': 9,
    'queries': 4,
    'split': 'test',
    'corpus_hash': 'f' * 64,
    'systems': {
      name: {'Success@1': sum(values) / 4, 'keys': 7.0}
      for name, values in systems.items()
    },
    'per_query': per_query,
    'steps': 1500,
    'seconds': {
      'index': 1.0,
      'train': 60.0,
      'keys': 3.0,
      'keys, unconstrained': 2.5,
      'search': 1.0,
      **{f'score {name}': 1.0 for name in systems},
    },
  }


def test_seeds_are_averaged_before_the_test():
  rows = [
    row('scratch', 0, **{'intersective': [1, 1, 1, 0], 'LM+FM': [0, 0, 0, 0]}),
    row('scratch', 1, **{'intersective': [1, 1, 0, 0], 'LM+FM': [0, 0, 0, 0]}),
    row('BM25', 0, BM25=[1, 1, 1, 1]),
  ]
  found = {tuple(c['pair']): c for c in _study_seal._comparisons(rows)}
  assert set(found) == {('intersective', 'LM+FM'), ('intersective', 'BM25')}
  better = found['intersective', 'LM+FM']
  assert better['seeds'] == 2
  assert better['difference'] == {'Success@1': pytest.approx(0.625)}
  # Three queries differ, by 1, 1 and 0.5: two of eight exchanges are as far.
  assert better['p'] == {'Success@1': pytest.approx(0.25)}
  assert found['intersective', 'BM25']['difference']['Success@1'] == (
    pytest.approx(-0.375)
  )


def test_tables_stand_between_the_marks(tmp_path):
  rows = [
    row('scratch', 0, intersective=[1, 1, 1, 0]),
    row('scratch', 1, intersective=[1, 1, 0, 0]),
  ]
  text = _tables.tables(rows, [], ['Success@1'])
  assert '| scratch, 2 seeds | intersective | 0.625 ± 0.177 | 7 |' in text
  # 3 s of keys, 1 of them without the model, and 1 s of scoring for 4 queries.
  line = '| scratch | 1 | 1,500 | 60 | 750.0 | 250.0 | 625.0 | 250.00 | 50.0% |'
  assert line in text
  for part in rows:
    del part['seconds']['index'], part['seconds']['search']
  text = _tables.tables(rows, [], ['Success@1'])
  assert '| scratch |  | 1,500 | 60 | 750.0 |  | 625.0 | 250.00 |  |' in text
  path = tmp_path / 'page.md'
  for _ in range(2):  # A page that is not there is made; then it is filled.
    _tables.write(path, text)
    assert path.read_text().count(text.rstrip()) == 1
  path.write_text(path.read_text().replace(_tables.END, ''))
  with pytest.raises(ValueError, match='found no pair; put them where'):
    _tables.write(path, text)


@pytest.mark.slow
def test_a_study_runs_once(tmp_path, capsys, monkeypatch):
  tiny.write_collection(tmp_path / 'toy', titles=True)
  made = []
  bm25 = _study_seal._bm25

  def counted(judged):
    made.append(judged.collection.name)
    return bm25(judged)

  monkeypatch.setattr(_study_seal, '_bm25', counted)
  words = ['study', 'seal', '--corpus', str(tmp_path / 'toy'), '--seeds', '0']
  words += ['--steps', '2', '--queries', '3', '--work', str(tmp_path / 'work')]
  words += ['--docs', str(tmp_path / 'docs')]
  assert tools.main(words) == 0
  first = capsys.readouterr().out
  found = json.loads((tmp_path / 'docs' / 'results' / 'seal.json').read_text())
  assert [r['model'] for r in found['rows']] == ['BM25', 'scratch']
  systems = found['rows'][1]['systems']
  assert {'LM, n = 5', 'LM+FM', 'intersective'} <= set(systems)
  assert {'intersective, unconstrained', 'intersective, untrained'} <= set(
    systems
  )
  assert all(0 <= s['Success@10'] <= 1 for s in systems.values())
  assert first.strip() in (tmp_path / 'docs' / 'seal.md').read_text()
  assert tools.main(words) == 0
  assert capsys.readouterr().out == first
  assert made == ['toy']


def test_studies_by_name(capsys):
  assert study.names() == ['corpusbrain', 'dsi', 'seal']
  with pytest.raises(SystemExit):
    tools.main(['study', 'nothing'])
  assert 'seal' in capsys.readouterr().err
  with pytest.raises(SystemExit):
    tools.main(['study', 'seal', '--trained', 'x'])
  assert 'NAME=RUN_FOLDER, got' in capsys.readouterr().err
