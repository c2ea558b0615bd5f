# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import socket

import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
import tiny_collection
from absl import logging

from genret import corpus
from genret.tasks import beir_folder
from genret.unseen import unseen_documents

DOCUMENTS = {'d1': ('Iliad', 'An epic.'), 'd/2': ('', 'Ὅμηρος'), 'd3': ('', '')}
QUERIES = {'q1': 'who wrote it', 'q2': ''}
QRELS = {
  'train': [('q1', 'd1', 2), ('q1', 'd/2', 1), ('q1', 'd3', 0)],
  'dev': [('q2', 'd3', 1)],
  'by-hand': [('q2', 'd1', 1), ('q2', 'gone', 1), ('q7', 'd1', 1)],
  'nothing': [('q1', 'd1', 0)],
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Any attempt to connect is an error, whatever would catch it."""

  def refuse(*_):
    pytest.fail('tried to use the network')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(socket, 'getaddrinfo', refuse)


def write_folder(folder: pathlib.Path) -> pathlib.Path:
  (folder / 'qrels').mkdir(parents=True)
  with open(folder / 'corpus.jsonl', 'w') as file:
    for doc_id, (title, text) in DOCUMENTS.items():
      row = {'_id': doc_id, 'title': title, 'text': text}
      file.write(json.dumps(row) + '\n')
  with open(folder / 'queries.jsonl', 'w') as file:
    for query_id, text in QUERIES.items():
      file.write(json.dumps({'_id': query_id, 'text': text}) + '\n')
  for split, rows in QRELS.items():
    lines = [
      'query-id\tcorpus-id\tscore',
      *('\t'.join(map(str, r)) for r in rows),
    ]
    (folder / 'qrels' / f'{split}.tsv').write_text('\n'.join(lines))
  return folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp('beir') / 'tiny set')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('tfds')


def examples(source, split, **kwargs):
  """Examples as dictionaries of text, in the order they are served."""
  dataset = source.get_dataset(split, **{'shuffle': False} | kwargs)
  return [
    {k: v.decode() if isinstance(v, bytes) else int(v) for k, v in row.items()}
    for row in dataset.as_numpy_iterator()
  ]


def test_seqio_serves_documents(folder, data_dir, monkeypatch):
  # seqio's other way of reading, which looks in a public bucket first.
  monkeypatch.setattr(tfds, 'load', lambda *_, **__: pytest.fail('tfds.load'))
  source = beir_folder.source(folder, 'documents', data_dir)
  assert set(source.splits) == {'corpus'}
  assert source.num_input_examples('corpus') == 3
  served = examples(source, 'corpus')
  assert {row['doc_id']: (row['title'], row['text']) for row in served} == (
    DOCUMENTS
  )


def test_seqio_serves_pairs(folder, data_dir):
  source = beir_folder.source(folder, 'pairs', data_dir)
  # 'nothing' has no relevant pair; a dash is no character of a split's name.
  assert set(source.splits) == {'train', 'dev', 'by_hand'}
  served = examples(source, 'train')
  assert sorted(served, key=lambda row: row['doc_id']) == [
    {
      'query_id': 'q1',
      'query': 'who wrote it',
      'doc_id': doc_id,
      'title': DOCUMENTS[doc_id][0],
      'text': DOCUMENTS[doc_id][1],
      'relevance': relevance,
    }
    for doc_id, relevance in (('d/2', 1), ('d1', 2))
  ]
  assert [row['query_id'] for row in examples(source, 'dev')] == ['q2']
  # A query and a document that the folder lacks are left out.
  assert [row['doc_id'] for row in examples(source, 'by_hand')] == ['d1']


def test_what_is_prepared_is_served_alike(folder, data_dir):
  prepared = beir_folder.prepare(folder, data_dir)
  rows = examples(beir_folder.prepared_source(prepared, 'pairs'), 'train')
  assert rows == examples(
    beir_folder.source(folder, 'pairs', data_dir), 'train'
  )


def test_a_task_reads_it_under_other_split_names(folder, data_dir):
  source = beir_folder.source(
    folder, 'pairs', data_dir, splits={'validation': 'dev'}
  )
  assert set(source.splits) == {'validation'}
  task = seqio.Task(
    'beir_folder_test_task',
    source=source,
    preprocessors=[
      lambda ds: ds.map(
        lambda x: {'inputs': x['query'], 'targets': x['doc_id']}
      )
    ],
    output_features={
      name: seqio.Feature(
        seqio.PassThroughVocabulary(1), dtype=tf.string, rank=0
      )
      for name in ('inputs', 'targets')
    },
  )
  rows = list(
    task.get_dataset(None, 'validation', shuffle=False).as_numpy_iterator()
  )
  assert rows == [{'inputs': b'', 'targets': b'd3'}]


def test_what_is_prepared_is_read_without_the_folder(folder, data_dir):
  prepared = beir_folder.prepare(folder, data_dir)
  builder = tfds.builder_from_directory(
    prepared / 'beir_folder' / 'documents' / beir_folder.VERSION
  )
  assert builder.info.splits['corpus'].num_examples == 3
  builder = tfds.builder(
    f'beir_folder/pairs:{beir_folder.VERSION}', data_dir=prepared
  )
  assert builder.info.splits['train'].num_examples == 2


def test_preparing_again_does_nothing(folder, data_dir, monkeypatch):
  prepared = beir_folder.prepare(folder, data_dir)
  assert prepared.name.startswith('tiny_set_')
  before = {path: path.stat().st_mtime_ns for path in prepared.rglob('*')}
  monkeypatch.setattr(
    beir_folder.BeirFolder, 'download_and_prepare', lambda *_, **__: 1 / 0
  )
  assert beir_folder.prepare(folder, data_dir) == prepared
  assert {p: p.stat().st_mtime_ns for p in prepared.rglob('*')} == before


@pytest.mark.parametrize('file', ['corpus.jsonl', 'queries.jsonl', 'qrels'])
def test_a_change_is_prepared_anew_beside_the_old(tmp_path, data_dir, file):
  folder = write_folder(tmp_path / 'changing')
  old = beir_folder.prepare(folder, data_dir)
  if file == 'qrels':
    with open(folder / 'qrels' / 'dev.tsv', 'a') as lines:
      lines.write('\nq2\td1\t1')
  else:
    with open(folder / file, 'a') as lines:
      lines.write('{"_id": "new", "text": "new"}\n')
  new = beir_folder.prepare(folder, data_dir)
  assert new != old
  assert old.is_dir()
  count = {'corpus.jsonl': 4}.get(file, 3)
  source = beir_folder.source(folder, 'documents', data_dir)
  assert source.num_input_examples('corpus') == count
  source = beir_folder.source(folder, 'pairs', data_dir)
  assert source.num_input_examples('dev') == {'qrels': 2}.get(file, 1)


def test_an_interrupted_preparation_leaves_nothing(
  folder, tmp_path, monkeypatch
):
  write = beir_folder.write

  def fail(builder, **kwargs):
    if builder.builder_config.name == 'pairs':
      raise KeyboardInterrupt
    write(builder, **kwargs)

  monkeypatch.setattr(beir_folder, 'write', fail)
  with pytest.raises(KeyboardInterrupt):
    beir_folder.prepare(folder, tmp_path)
  assert os.listdir(tmp_path) == []
  monkeypatch.setattr(beir_folder, 'write', write)
  prepared = beir_folder.prepare(folder, tmp_path)
  assert os.listdir(tmp_path) == [prepared.name]
  assert os.listdir(prepared) == ['beir_folder']


def test_another_program_may_be_faster(folder, tmp_path, monkeypatch):
  rename = os.rename

  def late(source, target):
    if str(target).startswith(str(tmp_path / 'tiny_set_')):
      pathlib.Path(target, 'theirs').mkdir(parents=True)
    return rename(source, target)

  monkeypatch.setattr(os, 'rename', late)
  prepared = beir_folder.prepare(folder, tmp_path)
  assert os.listdir(prepared) == ['theirs']
  assert os.listdir(tmp_path) == [prepared.name]


def test_the_stored_order_is_random_and_always_the_same(tmp_path):
  folder = tmp_path / 'many'
  folder.mkdir()
  doc_ids = [f'd{i:03}' for i in range(200)]
  lines = [json.dumps({'_id': doc_id, 'text': 'x'}) for doc_id in doc_ids]
  (folder / 'corpus.jsonl').write_text('\n'.join(lines))
  orders = []
  for name in ('a', 'b'):
    source = beir_folder.source(folder, 'documents', tmp_path / name)
    orders.append([row['doc_id'] for row in examples(source, 'corpus')])
  assert orders[0] == orders[1] != doc_ids
  assert sorted(orders[0]) == doc_ids
  # Without judgements there are no pairs to prepare.
  prepared = beir_folder.prepare(folder, tmp_path / 'a')
  names = {path.name for path in (prepared / 'beir_folder').glob('[!.]*')}
  assert names == {'documents'}


def test_it_is_quiet_but_for_what_is_left_out(
  folder, tmp_path, capfd, monkeypatch
):
  said = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *args: said.append(text % args)
  )
  beir_folder.prepare(folder, tmp_path)
  out, err = capfd.readouterr()
  assert (out, err) == ('', '')
  (warning,) = said
  assert f'{folder}: 2 judgements of the split by-hand name a query' in warning


@pytest.mark.parametrize(
  ('split', 'expected'),
  [
    ('test', 'test'),
    ('dev-small', 'dev_small'),
    ('a. b', 'a_b'),
    ('x_1', 'x_1'),
  ],
)
def test_names_of_splits(split, expected):
  assert beir_folder.split_name(split) == expected


def test_user_errors(tmp_path, folder):
  with pytest.raises(ValueError, match="documents or pairs, found 'queries'"):
    beir_folder.source(folder, 'queries', tmp_path)
  (tmp_path / 'corpus.jsonl').write_text('')
  with pytest.raises(ValueError, match='expected documents, found none'):
    beir_folder.prepare(tmp_path, tmp_path)
  (tmp_path / 'corpus.jsonl').write_text('{')
  with pytest.raises(ValueError, match=r'corpus\.jsonl, line 1: '):
    beir_folder.prepare(tmp_path, tmp_path)
  builder = beir_folder.BeirFolder(config='documents', data_dir=tmp_path)
  with pytest.raises(ValueError, match='expected folder=<a BEIR folder>'):
    beir_folder.write(builder, quiet=True)


def test_the_shipped_collection(data_dir):
  source = beir_folder.source(corpus.SQUADSHIFTS_WIKI, 'pairs', data_dir)
  sizes = {split: source.num_input_examples(split) for split in source.splits}
  assert sizes == {'train': 5060, 'dev': 1098, 'test': 1579}


def test_training_pairs_of_unseen_documents_are_left_out(tmp_path):
  collection = tiny_collection.write(tmp_path / 'corpus')
  prepared = beir_folder.prepare(tmp_path / 'corpus', tmp_path / 'data')
  ids = [d.doc_id for d in collection.documents]
  for share in (0.0, 0.5, 1.0):
    source = beir_folder.pairs_source(
      prepared, tmp_path / 'corpus', unseen_share=share, unseen_seed=2
    )
    unseen = unseen_documents(ids, share, 2)
    for split, qrels in collection.qrels.items():
      left_out = unseen if split == 'train' else set()
      found = source.get_dataset(split, shuffle=False).as_numpy_iterator()
      assert sorted(row['doc_id'].decode() for row in found) == sorted(
        doc_id
        for of in qrels.values()
        for doc_id in of
        if doc_id not in left_out
      )


def test_parts_of_documents(tmp_path):
  of = [f'Sentence {number}.' for number in range(14)]
  texts = {'long': ' '.join(of), 'short': of[0], 'empty': ' '}
  (tmp_path / 'corpus').mkdir()
  file = tmp_path / 'corpus' / 'corpus.jsonl'
  lines = [json.dumps({'_id': k, 'text': v}) for k, v in texts.items()]
  file.write_text('\n'.join(lines))
  prepared = beir_folder.prepare(tmp_path / 'corpus', tmp_path / 'data')
  how = (prepared, tmp_path / 'corpus')
  source = beir_folder.rehearsal_source(*how, 'sentences', 'leading')
  rows = source.get_dataset('train', shuffle=False).as_numpy_iterator()
  found = sorted(
    (row['doc_id'].decode(), row['query'].decode(), row['query_id'].decode())
    for row in rows
  )
  assert found == [('long', part, '') for part in of[:6]] + [
    ('short', of[0], '')
  ]
  assert source.num_input_examples('train') == 7
  with pytest.raises(ValueError, match="got 'leading' of 'words'"):
    beir_folder.rehearsal_source(*how, 'words', 'leading')
  file.write_text(lines[-1])
  prepared = beir_folder.prepare(tmp_path / 'corpus', tmp_path / 'data')
  with pytest.raises(ValueError, match="none to rehearse; leave 'passages' ou"):
    beir_folder.rehearsal_source(
      prepared, tmp_path / 'corpus', 'passages', 'random'
    )


@pytest.mark.parametrize(
  ('known', 'share', 'seed', 'fits'),
  [
    ({}, 0.0, 0, True),
    ({}, 0.5, 0, False),
    ({'unseen_share': 0.5, 'unseen_seed': 0}, 0.0, 3, True),
    ({'unseen_share': 0.5, 'unseen_seed': 3}, 0.5, 3, True),
    ({'unseen_share': 0.5, 'unseen_seed': 3}, 0.25, 3, True),
    ({'unseen_share': 0.5, 'unseen_seed': 3}, 0.75, 3, False),
    ({'unseen_share': 0.5, 'unseen_seed': 3}, 0.5, 2, False),
  ],
)
def test_what_withholds_at_least_as_much_fits(known, share, seed, fits):
  if fits:
    beir_folder.check_share('x', known, share, seed, 'genret examples')
    return
  with pytest.raises(ValueError, match=f'--unseen-share {share} --unseen-seed'):
    beir_folder.check_share('x', known, share, seed, 'genret examples')
