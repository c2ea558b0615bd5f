# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5X's commands over our run files: over devices, and behind a checkpoint."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny

import genret.gin_configs
from genret.constraints.trie import Trie
from genret.corpus import load_collection
from genret.decoding.generate import generate
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models.t5 import Transformer
from genret.models.t5x_checkpoints import load_t5x

pytestmark = [
  pytest.mark.t5x,
  pytest.mark.skipif(
    importlib.util.find_spec('t5x') is None,
    reason='T5X is not installed (it is on no package index)',
  ),
]

FOLDER = pathlib.Path(next(iter(genret.gin_configs.__path__)))
BEAMS = 3


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('prepared')
  tiny.write_collection(folder / 'corpus')
  collection = load_collection(folder / 'corpus')
  options = {'vocabulary_size': 100, 'dimensions': 32}
  build.build(collection, folder / 'docids', queries_split='train', **options)
  return folder


def run(command, prepared, devices=1, **macros):
  """On CPUs T5X splits the model over all devices, whatever NUM_PARTITIONS is."""
  macros = {
    'CORPUS': str(prepared / 'corpus'),
    'DOCIDS': str(prepared / 'docids'),
    'BATCH_SIZE': 8,
    't5.T5Config.emb_dim': 32,
    't5.T5Config.num_heads': 4,
    't5.T5Config.head_dim': 8,
    't5.T5Config.mlp_dim': 64,
    'NUM_DECODES': BEAMS,
    **macros,
  }
  done = subprocess.run(
    [
      *(sys.executable, '-m', f't5x.{command}'),
      f'--gin_file=runs/t5x_{command}.gin',
      '--gin_file=experiments/quickstart.gin',
      f'--gin_search_paths={FOLDER}',
      *(f'--gin.{name}={value!r}' for name, value in macros.items()),
    ],
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]


def train(prepared, folder, **macros):
  run(
    'train',
    prepared,
    MODEL_DIR=str(folder),
    TRAIN_STEPS=2,
    LOG_PERIOD=1,
    **{
      'train.train_eval_dataset_cfg': None,
      'train.infer_eval_dataset_cfg': None,
    },
    **macros,
  )
  found = []
  for path in (folder / 'train').glob('events.*'):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      event = tf.compat.v1.Event.FromString(record)
      for value in event.summary.value:
        if value.tag == 'loss':
          found.append((event.step, float(tf.make_ndarray(value.tensor))))
  losses = dict(found)
  assert len(losses) >= 2
  return losses


@pytest.fixture(scope='module')
def trained(prepared):
  """A run on one device and its losses."""
  return prepared / 'run', train(prepared, prepared / 'run')


@pytest.mark.parametrize('partitions', [2, 4])
def test_partitions_change_no_loss(prepared, trained, partitions):
  _, expected = trained
  found = train(
    prepared,
    prepared / f'run{partitions}',
    devices=partitions,
    NUM_PARTITIONS=partitions,
  )
  assert found.keys() == expected.keys()
  for step, loss in found.items():
    assert loss == pytest.approx(expected[step], rel=1e-4)


@pytest.mark.parametrize('partitions', [1, 4])
def test_what_t5x_decodes_is_what_we_decode(prepared, trained, partitions):
  checkpoint = trained[0] / 'checkpoint_2'
  output = prepared / f'decoded{partitions}'
  run(
    'infer',
    prepared,
    devices=partitions,
    CHECKPOINT_PATH=str(checkpoint),
    OUTPUT_DIR=str(output),
    NUM_PARTITIONS=partitions,
  )
  name = 'quickstart_retrieval-predict_with_aux.jsonl-00000-of-00001'
  lines = (output / name).read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  queries = [row['inputs'] for row in rows]
  judged = (prepared / 'corpus' / 'qrels' / 'test.tsv').read_text()
  expected = [line.split('\t')[:2] for line in judged.splitlines()[1:]]
  assert sorted([q['query_id'], q['doc_id']] for q in queries) == sorted(
    expected
  )
  config, params = load_t5x(checkpoint)
  table = DocidTable.load(prepared / 'docids')
  query_BxT = np.zeros((len(rows), 32), np.int32)
  for row, query in zip(query_BxT, queries, strict=True):
    row[: len(query['inputs'])] = query['inputs']
  out = generate(
    Transformer(config),
    params,
    query_BxT,
    Trie.from_table(table),
    num_beams=BEAMS,
    max_length=2,
  )
  tokens = np.array([row['prediction'] for row in rows])
  scores = np.array([row['aux']['scores'] for row in rows])
  np.testing.assert_array_equal(tokens[:, ::-1], out.tokens)
  np.testing.assert_allclose(scores[:, ::-1], out.scores, rtol=1e-4)

  if partitions == 1:
    # T5X's own measure of the same checkpoint.
    measures = prepared / 'measured'
    run(
      'eval',
      prepared,
      CHECKPOINT_PATH=str(checkpoint),
      OUTPUT_DIR=str(measures),
    )
    text = measures / 'inference_eval' / 'quickstart_retrieval-metrics.jsonl'
    measured = json.loads(text.read_text())
    row_of = {doc_id: i for i, doc_id in enumerate(table.doc_ids)}
    right = [
      table.token_rows_DxL[row_of[query['doc_id']], 0] == best[-1, 0]
      for query, best in zip(queries, tokens, strict=True)
    ]
    assert measured == {'step': 2, 'Success@1': np.mean(right)}
