# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench decode` in miniature: no figure is asserted, answers are."""

import json
import sys

import numpy as np
import pytest

from genret import tools
from genret.tools import bench_decode

TINY = (
  *('--batch-size', '2', '--query-length', '5', '--num-beams', '3'),
  *('--steps', '4', '--identifiers', '50', '--num-tokens', '2000'),
  *('--vocab-size', '300', '--emb-dim', '16', '--num-heads', '2'),
  *('--num-layers', '1', '--mlp-dim', '32', '--repeats', '1'),
)
PRICES = ['ours, trie', 'ours, its own words', 'ours, other words']


def run(tmp_path, capsys):
  path = tmp_path / 'figures.json'
  assert tools.main(['bench', 'decode', *TINY, '--json', str(path)]) == 0
  said = capsys.readouterr()
  assert '2 queries of 5 tokens, 3 beams, 4 steps: the price' in said.out
  return said.err, json.loads(path.read_text(encoding='utf-8'))['lines']


def test_without_peers(tmp_path, capsys, monkeypatch):
  for name in ('t5x', 't5x.models', 'transformers'):
    monkeypatch.setitem(sys.modules, name, None)
  said, lines = run(tmp_path, capsys)
  assert 'T5X is skipped: no t5x.models (' in said
  assert 'transformers is skipped: no transformers (' in said
  assert [line['peer'] for line in lines] == PRICES
  assert [line['answers'] for line in lines] == ['0 of 6 illegal'] * 3


def test_transformers_finds_the_same(tmp_path, capsys, monkeypatch):
  pytest.importorskip('transformers')
  monkeypatch.setitem(sys.modules, 't5x.models', None)
  _, lines = run(tmp_path, capsys)
  assert [line['answers'] for line in lines[3:]] == ['same'] * 4


@pytest.mark.t5x
def test_t5x_finds_the_same(tmp_path, capsys):
  pytest.importorskip('t5x.models', reason='T5X is not installed')
  _, lines = run(tmp_path, capsys)
  (line,) = [
    line for line in lines if line['peer'] == 'T5X' and line['answers']
  ]
  assert line['answers'] == 'same'


def test_other_answers_are_told(monkeypatch):
  args = bench_decode._parse(list(TINY))
  work = bench_decode._work(args)
  row_QxKxL = np.tile(np.array([2, 3, 4, 5]), (2, 3, 1))
  row_QxKxL[1, 2] = 0
  found = {name: lambda: row_QxKxL for name in ('ours', *PRICES)}
  found['T5X'] = lambda: row_QxKxL + 1
  ms = dict.fromkeys(found, 1.0)
  other = bench_decode.FMIndex.build([[2, 3, 4, 5, 6, 7]], 300)
  none = bench_decode.FMIndex.build([[5, 4, 3, 2]], 300)
  indexes = dict(zip(PRICES[1:], (other, none), strict=True))
  lines = bench_decode._lines(work, indexes, found, ms)
  assert [line.answers for line in lines] == [
    '5 of 5 illegal',
    '0 of 5 illegal',
    '5 of 5 illegal',
    '6 of 6 beams differ',
    '',
    '',
  ]
  assert {line.ratio for line in lines} == {1.0}


@pytest.mark.parametrize('bench', ['decode', 'constraints'])
def test_nothing_to_measure_is_refused(bench, capsys):
  with pytest.raises(SystemExit) as stopped:
    tools.main(['bench', bench, '--batch-size', '0'])
  assert stopped.value.code == 2
  assert 'expected at least 1 but got 0' in capsys.readouterr().err
