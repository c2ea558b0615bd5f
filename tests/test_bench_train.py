# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench train` in miniature: no figure is asserted, parameters are."""

import json
import sys

import jax
import pytest

from genret import tools
from genret.tools import bench_train

pytestmark = pytest.mark.optax

TINY = {
  'vocab_size': 9600,
  'emb_dim': 16,
  'num_heads': 2,
  'num_encoder_layers': 1,
  'num_decoder_layers': 1,
  'head_dim': 8,
  'mlp_dim': 32,
}
WORDS = (
  *('--batch-size', '4', '--input-length', '8', '--target-length', '3'),
  *('--steps', '2', '--repeats', '1'),
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
  monkeypatch.setitem(bench_train.SHAPES, 'mini', TINY)


def run(tmp_path, *words):
  path = tmp_path / 'figures.json'
  command = ['bench', 'train', *WORDS, *words, '--json', str(path)]
  assert tools.main(command) == 0
  return json.loads(path.read_text(encoding='utf-8'))['lines']


def test_without_t5x(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 't5x.trainer', None)
  lines = run(tmp_path, '--batches', '2')
  assert [line['peer'].split(':')[0] for line in lines] == [
    *('without prefetch', 'files of tokens', 'one batch', 'nobody')
  ]
  assert all(line['ours_value'] > 0 for line in lines)


@pytest.mark.t5x
@pytest.mark.filterwarnings('ignore')
def test_t5x_learns_the_same(tmp_path):
  pytest.importorskip('t5x.trainer', reason='T5X is not installed')
  with jax.numpy_rank_promotion('allow'):  # T5X's own network needs it
    lines = run(tmp_path, '--batches', '0')
  assert [line['peer'] for line in lines] == ['T5X', 'T5X, its own network']
  assert lines[0]['answers'] == 'same'


def test_other_parameters_are_told():
  ours = {'a': bench_train.np.ones(3), 'b': bench_train.np.ones(2)}
  assert bench_train._compare(ours, ours) == 'same'
  other = ours | {'b': ours['b'] * 1.5}
  assert bench_train._compare(ours, other) == 'differ by up to 5.0e-01'
