# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench parity`: what it measures of each kind, and of a folder."""

import json

import pytest

from genret.tools import bench_parity


@pytest.mark.parametrize('kind', ['T5 1.0', 'umT5'])
def test_models_that_transformers_made_agree(tmp_path, kind, capsys):
  pytest.importorskip('torch', reason='torch is not installed')
  pytest.importorskip('transformers', reason='transformers is not installed')
  folder = dict(bench_parity._made(tmp_path, [kind]))[kind]
  words = ['--from', str(folder), '--batch', '2', '--length', '6']
  words += ['--beams', '3', '--steps', '3', '--json', str(tmp_path / 'f.json')]
  assert bench_parity.main(words) == 0
  printed = capsys.readouterr().out
  assert '100%' in printed
  assert kind in printed
  (row,) = json.loads((tmp_path / 'f.json').read_text())
  assert row['greedy equal'] == row['beams equal'] == 1
  for name in ('encoder', 'logits', 'loss', 'beams score'):
    assert row[name] < 1e-4
  assert row['largest logit'] > 0.1
