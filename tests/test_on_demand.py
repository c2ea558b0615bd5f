# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers that are built where they are not there, once."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import threading

import gin
import numpy as np
import pytest
import tiny
import tiny_collection

from genret import embeddings, vector_files, vocabulary
from genret.corpus import load_collection
from genret.docids import build, identity, on_demand
from genret.docids.table import DocidTable
from genret.tools import train as train_tool

SMALL = {'vocabulary_size': 120, 'dimensions': 8}


@pytest.fixture
def corpus(tmp_path):
  tiny_collection.write(tmp_path / 'corpus')
  return tmp_path / 'corpus'


@pytest.fixture
def builds(monkeypatch):
  """The folders that were built."""
  found, really = [], build.build

  def counted(collection, output, **arguments):
    found.append(str(output))
    return really(collection, output, **arguments)

  monkeypatch.setattr(build, 'build', counted)
  return found


def forget():
  """What another process would not know."""
  on_demand._FOUND.clear()


def contents(folder):
  return {
    path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in pathlib.Path(folder).rglob('*')
    if path.is_file()
  }


def test_it_is_built_once(corpus, tmp_path, builds, monkeypatch):
  output = tmp_path / 'docids'
  arguments = {'scheme': 'naive', 'seed': 2, 'queries_split': 'train', **SMALL}
  assert on_demand.from_corpus(corpus, output, **arguments) == str(output)
  expected = build.build(
    load_collection(corpus), tmp_path / 'expected', **arguments
  )
  assert DocidTable.load(output).hash == expected.hash
  assert DocidTable.load(output).meta == expected.meta
  assert contents(output) == contents(tmp_path / 'expected')
  builds.clear()
  # Another process looks at the corpus and at the folder.
  forget()
  assert on_demand.from_corpus(str(corpus), output, **arguments) == str(output)
  assert not builds
  # This one does not look again, however often a macro is used.
  with monkeypatch.context() as patched:
    patched.setattr(on_demand, 'load_collection', None)
    on_demand.from_corpus(str(corpus), output, **arguments)
  shutil.rmtree(output)
  on_demand.from_corpus(corpus, output, **arguments)
  assert builds == [str(output)]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'scheme': 'pq'}, "scheme='pq' in .*, it holds one of 'rq-kmean"),
    ({'seed': 1}, r'seed=1 in .*, it holds one of 0; name another folder, or'),
    ({'options': {'k': 4}}, "options={'k': 4} in .* one of {'k': 3}"),
    ({'dimensions': 9}, 'dimensions=9 in .* one of 8'),
    ({'text_tokens': 300}, 'text_tokens=300 in .* one of None'),
    ({'vocabulary_size': 119}, 'vocabulary_size=119 in .* one of 120'),
    ({'queries_split': None}, "queries_split=None in .* one of 'train'"),
    ({'vocabulary': 'docids'}, "vocabulary='[0-9a-f]{64}' in .* one of None"),
    ({'vectors': 'vectors.npy'}, "vectors='[0-9a-f]{64}' in .* one of None"),
  ],
)
def test_another_build_is_refused(
  corpus, tmp_path, monkeypatch, changes, message
):
  monkeypatch.chdir(tmp_path)
  np.save('vectors.npy', np.eye(30, dtype=np.float32))
  arguments = {'scheme': 'rq-kmeans', 'options': {'k': 3}, **SMALL}
  arguments['queries_split'] = 'train'
  on_demand.from_corpus(corpus, 'docids', **arguments)
  before = contents('docids')
  for _ in range(2):
    with pytest.raises(ValueError, match=f'Expected the build of {message}'):
      on_demand.from_corpus(corpus, 'docids', **arguments | changes)
    assert contents('docids') == before
    forget()


def test_a_corpus_that_changed_is_refused(corpus, tmp_path):
  output = tmp_path / 'docids'
  arguments = {'queries_split': 'train', **SMALL}
  on_demand.from_corpus(corpus, output, **arguments)
  for file in ('corpus.jsonl', 'queries.jsonl'):
    text = (corpus / file).read_text()
    (corpus / file).write_text(text.replace('name0', 'name00'))
    with pytest.raises(
      ValueError, match=r"build of (corpus_hash|queries)='[0-9a-f]{64}' in"
    ):
      on_demand.from_corpus(corpus, output, **arguments)
    (corpus / file).write_text(text)
    on_demand.from_corpus(corpus, output, **arguments)


def test_a_file_counts_by_its_content(corpus, tmp_path, builds):
  output = tmp_path / 'docids'
  rows = [
    json.dumps({'doc_id': f'd{i}', 'queries': [f'name{i}']}) for i in range(30)
  ]
  files = [tmp_path / name for name in ('a.jsonl', 'b.jsonl')]
  for file in files:
    file.write_text('\n'.join(rows))
    options = {'queries': str(file)}
    on_demand.from_corpus(
      corpus, output, scheme='description', options=options, **SMALL
    )
  assert len(builds) == 1
  files[1].write_text('\n'.join([*rows, rows[0]]))
  with pytest.raises(
    ValueError, match=r"Expected the build of files=\{'queries"
  ):
    on_demand.from_corpus(
      corpus, output, scheme='description', options=options, **SMALL
    )


@pytest.mark.parametrize('stage', ['vocabulary', 'table', 'latent'])
def test_an_interrupted_build_is_done_again(
  corpus, tmp_path, monkeypatch, stage
):
  def interrupt(*_, **__):
    raise KeyboardInterrupt

  output = tmp_path / 'docids'
  target, name = {
    'vocabulary': (vocabulary, 'copy_vocabulary'),
    'table': (DocidTable, 'save'),
    'latent': (embeddings, 'save'),
  }[stage]
  with monkeypatch.context() as patched:
    patched.setattr(target, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
      on_demand.from_corpus(corpus, output, **SMALL)
  on_demand.from_corpus(corpus, output, **SMALL)
  on_demand.from_corpus(corpus, tmp_path / 'whole', **SMALL)
  assert embeddings.load(output).input_VxE.any()
  tables = [DocidTable.load(tmp_path / x) for x in ('docids', 'whole')]
  assert tables[0].hash == tables[1].hash


def test_what_is_no_build_of_ours_is_refused(corpus, tmp_path):
  output = tmp_path / 'docids'
  on_demand.from_corpus(corpus, output, **SMALL)
  table = DocidTable.load(output)
  settings = table.meta['settings']
  grown = {**table.meta, 'settings': {**settings, 'extends': table.hash}}
  for meta, message in (
    (grown, "extends=None in .*, it holds one of '[0-9a-f]{64}'"),
    ({}, "scheme='atomic' in .*, it holds one of 'something else'"),
  ):
    dataclasses.replace(table, meta=meta).save(output)
    with pytest.raises(ValueError, match=f'Expected the build of {message}'):
      on_demand.from_corpus(corpus, output, **SMALL)
  with pytest.raises(ValueError, match='one of the schemes atomic,'):
    on_demand.from_corpus(corpus, tmp_path / 'x', scheme='best', **SMALL)
  with pytest.raises(FileNotFoundError, match='Expected a SentencePiece model'):
    on_demand.from_corpus(corpus, tmp_path / 'x', vocabulary='gone')
  assert not (tmp_path / 'x').exists()


def test_who_comes_second_waits(corpus, tmp_path, builds):
  output, found = tmp_path / 'docids', []

  def ask():
    found.append(on_demand.from_corpus(corpus, output, **SMALL))

  threads = [threading.Thread(target=ask) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert found == [str(output)] * 3
  assert builds == [str(output)]


def test_what_a_build_is_determined_by(corpus):
  arguments = {
    'scheme': 'atomic',
    'vocabulary': None,
    'vocabulary_size': 120,
    'text_tokens': None,
    'queries_split': None,
    'unseen_share': 0.0,
    'unseen_seed': 0,
    'dimensions': 8,
    'seed': 0,
    'options': {},
  }
  vectors = np.eye(30, dtype=np.float32)
  collection = load_collection(corpus)
  known, other = (
    identity.of_build(collection, vectors=v, **arguments)
    for v in (vectors, 2 * vectors)
  )
  identity.check_same(known, json.loads(json.dumps(known)), 'here')
  with pytest.raises(ValueError, match=r"of vectors='.*' in here, it holds"):
    identity.check_same(known, other, 'here')


def test_vectors_are_told_apart_by_their_numbers(tmp_path, monkeypatch):
  vectors = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
  np.save(tmp_path / 'vectors.npy', vectors)
  mapped = vector_files.read(tmp_path / 'vectors.npy')
  np.testing.assert_array_equal(mapped, vectors)
  whole = vector_files.content_hash(vectors)
  changed = vectors.copy()
  changed[8, 2] += 1
  assert vector_files.content_hash(changed) != whole
  assert vector_files.content_hash(vectors.reshape(3, 9)) != whole
  monkeypatch.setattr(vector_files, '_BLOCK', 30)
  assert vector_files.content_hash(mapped) == whole
  changed[7, 1] = np.nan
  np.save(tmp_path / 'vectors.npy', changed)
  with pytest.raises(ValueError, match=r'row 7 of .*vectors\.npy has others'):
    vector_files.read(tmp_path / 'vectors.npy')


EXPERIMENT = """
from __gin__ import dynamic_registration
from genret.docids import on_demand
include 'experiments/quickstart.gin'
on_demand.from_corpus:
  scheme = 'rq-kmeans'
  options = {'k': 4, 'levels': 2}
  vocabulary_size = 100
  dimensions = 32
TASK_FEATURE_LENGTHS = {'inputs': 32, 'targets': 4}
"""


@pytest.mark.optax
def test_an_experiment_names_its_scheme(tmp_path, monkeypatch, builds):
  monkeypatch.chdir(tmp_path)
  tiny.write_collection(tmp_path / 'corpus')
  (tmp_path / 'mine.gin').write_text(EXPERIMENT)
  values = {
    'CORPUS': 'corpus',
    'DOCIDS_FOLDER': 'names/mine',
    'MODEL_DIR': 'run',
    'TRAIN_STEPS': 1,
    'BATCH_SIZE': 8,
    'EVAL_PERIOD': 0,
    't5.T5Config.emb_dim': 32,
    't5.T5Config.num_heads': 2,
    't5.T5Config.head_dim': 16,
    't5.T5Config.mlp_dim': 32,
  }
  bindings = [f'{k} = {v!r}' for k, v in values.items()]
  files = ['runs/genret_train.gin', 'mine.gin']
  try:
    train_tool.parse_config(files, bindings)
    assert train_tool.run() == pathlib.Path('run')
    assert builds == ['names/mine']
    table = DocidTable.load('names/mine')
    assert table.meta['options'] == {'k': 4, 'levels': 2}
    assert DocidTable.load('run/docids').hash == table.hash
    # Others into the same folder.
    train_tool.parse_config(
      files, [*bindings, 'on_demand.from_corpus.seed = 1']
    )
    with pytest.raises(
      ValueError, match=r'build of seed=1 in names/mine, [^\n]*'
    ):
      train_tool.run()
  finally:
    with gin.unlock_config():
      gin.clear_config()
