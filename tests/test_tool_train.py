# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""genret train: what gin files and bindings get wrong, in one sentence."""

import json

import gin
import pytest
import tiny

from genret import evaluate, unseen
from genret.corpus import load_collection
from genret.docids import build
from genret.tools import main as genret_main
from genret.tools import train as train_tool

pytestmark = pytest.mark.optax

FILES = [
  '--gin_file=runs/genret_train.gin',
  '--gin_file=experiments/quickstart.gin',
]


@pytest.fixture(autouse=True)
def clear_gin():
  yield
  with gin.unlock_config():
    gin.clear_config()


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      ['--gin.MODEL_DIR=runs/mine'],
      'strings are quoted, as in --gin.MODEL_DIR=',
    ),
    (['--gin_file=nowhere.gin'], 'Expected gin files in the current folder'),
    (['--gin.train.train.stpes=3'], "doesn't have a parameter"),
    ([], 'Expected MODEL_DIR to be set, got nothing'),
    (
      ['--gin.MODEL_DIR="x"', '--gin.DOCIDS="y"', '--gin.TRAINSTEPS=3'],
      'a macro that the experiment reads, got TRAINSTEPS; perhaps TRAIN_STEPS',
    ),
  ],
)
def test_mistakes_are_one_sentence(arguments, message, capsys):
  assert genret_main(['train', *FILES, *arguments]) == 2
  error = capsys.readouterr().err.strip()
  assert error.startswith('genret train: ')
  assert message in error
  assert '\n' not in error


def test_words_that_are_no_bindings(capsys):
  with pytest.raises(SystemExit) as exit_:
    train_tool.main([*FILES, 'stray'])
  assert exit_.value.code == 2
  assert 'expected --gin.NAME=VALUE, got stray' in capsys.readouterr().err
  with pytest.raises(SystemExit) as exit_:
    train_tool.main([*FILES, '--pseudo-queries', 'train'])
  assert exit_.value.code == 2
  assert 'expected --report with --pseudo-queries' in capsys.readouterr().err


def test_trains_and_reports(tmp_path, capsys):
  tiny.write_collection(tmp_path / 'corpus')
  build.build(
    load_collection(tmp_path / 'corpus'),
    tmp_path / 'docids',
    vocabulary_size=100,
    dimensions=32,
  )
  bindings = {
    'CORPUS': repr(str(tmp_path / 'corpus')),
    'DOCIDS': repr(str(tmp_path / 'docids')),
    'MODEL_DIR': repr(str(tmp_path / 'run')),
    'TRAIN_STEPS': 3,
    'BATCH_SIZE': 16,
    'CHECKPOINT_PERIOD': 1,
    'KEEP_CHECKPOINTS': 2,
    'UNSEEN_SHARE': 0.5,
    't5.T5Config.emb_dim': 32,
    't5.T5Config.num_heads': 2,
    't5.T5Config.head_dim': 16,
    't5.T5Config.mlp_dim': 32,
  }
  words = [f'--gin.{name}={value}' for name, value in bindings.items()]
  words += ['--report', 'test', '--pseudo-queries', 'train']
  assert train_tool.main([*FILES, *words]) == 0
  assert {f.name for f in (tmp_path / 'run' / 'checkpoints').iterdir()} == {
    *'023'
  }
  shown = capsys.readouterr().out
  assert 'genret, unseen' in shown
  report = json.loads((tmp_path / 'run' / 'report.json').read_text())
  assert report['systems']['genret']['legal_rate'] == 1.0
  assert report['seconds']['train'] > 0
  # Seen and unseen documents apart, in the report and along the way.
  assert (report['unseen_share'], report['unseen_seed']) == (0.5, 0)
  collection = load_collection(tmp_path / 'corpus')
  parts = unseen.split_queries(collection.qrels['test'], 0.5)
  assert report['part_queries'] == {p: len(of) for p, of in parts.items()}
  assert f'{len(parts["unseen"])} queries for unseen documents' in shown
  # The baseline has been shown no more than the model.
  expected = [
    evaluate.evaluate_baselines(
      collection, *evaluate.split_queries(collection, 'test'), **how
    )['docT5query']
    for how in (
      {'pseudo_queries': 'train', 'unseen_share': 0.5},
      {'pseudo_queries': 'train'},
    )
  ]
  found = report['systems']['docT5query']
  assert found == pytest.approx(expected[0].evaluation.mean)
  assert found != pytest.approx(expected[1].evaluation.mean)
  for name, means in report['systems'].items():
    sums = [
      len(of) * report['parts'][f'{name}, {part}']['RR@10']
      for part, of in parts.items()
    ]
    assert sum(sums) / report['queries'] == pytest.approx(means['RR@10'])
  lines = (tmp_path / 'run' / 'log.jsonl').read_text().splitlines()
  log = [json.loads(line) for line in lines]
  assert {'dev/seen/Success@1', 'dev/unseen/Success@1'} <= set(log[0])
  run = json.loads((tmp_path / 'run' / 'run.json').read_text())
  assert run['unseen_share'] == 0.5
  assert 'TRAIN_STEPS = 3' in (tmp_path / 'run' / 'config.gin').read_text()
  # A loss that is not finite is one sentence, too.
  capsys.readouterr()
  rate = '--gin.optax.cosine_onecycle_schedule.peak_value=1e30'
  words += ['--gin.TRAIN_STEPS=5', rate]
  assert genret_main(['train', *FILES, *words]) == 2
  error = capsys.readouterr().err.splitlines()[-1]
  assert 'finite' in error
  assert error.endswith('training goes on from the last checkpoint.')
