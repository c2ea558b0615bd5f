# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks over a small folder, read through seqio as the trainers read them."""

import dataclasses
import json
import re
import shutil
import socket

import numpy as np
import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import seqio
import tensorflow as tf
import tiny_collection

from genret import corpus as corpus_lib
from genret import identifiers, rehearsal, vocabulary
from genret.baselines.bm25 import ENGLISH_STOP_WORDS
from genret.docids import build
from genret.docids.table import DocidTable
from genret.seqio_batches import SeqioExamples
from genret.tasks import beir_folder, retrieval, text_pairs
from genret.unseen import unseen_documents

LENGTHS = {'inputs': 6, 'targets': 4}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Any attempt to connect is an error, whatever would catch it."""

  def refuse(*_):
    pytest.fail('tried to use the network')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """The corpus, its identifiers, and the collection itself."""
  root = tmp_path_factory.mktemp('retrieval')
  collection = tiny_collection.write(root / 'corpus')
  for name, seed in (('docids', 0), ('others', 1)):
    build.build(
      collection,
      root / name,
      scheme='naive',
      vocabulary_size=120,
      queries_split='train',
      dimensions=8,
      seed=seed,
    )
  return root / 'corpus', root / 'docids', collection


def register(folders, name, **kwargs):
  corpus, docids, _ = folders
  return retrieval.mixture(
    **{'name': name, 'corpus': corpus, 'docids': docids} | kwargs
  )


def examples(name, split='train', lengths=LENGTHS, **kwargs):
  task = seqio.get_mixture_or_task(name)
  found = task.get_dataset(
    lengths, split, **{'shuffle': False, 'num_epochs': 1, 'seed': 0} | kwargs
  )
  return list(found.as_numpy_iterator())


def rows_of(docids):
  """{doc_id: its identifier and the end} as lists."""
  table = retrieval.DocidTable.load(docids)
  rows = zip(table.token_rows_DxL.tolist(), table.lengths_D, strict=True)
  return {
    doc_id: [*row[:length], vocabulary.EOS_ID]
    for doc_id, (row, length) in zip(table.doc_ids, rows, strict=True)
  }


def test_queries_and_identifiers_are_those_of_the_vocabulary_and_the_table(
  folders,
):
  name = register(folders, 'plain', query_prefix='ship ')
  _, docids, collection = folders
  pieces, rows = vocabulary.load_vocabulary(docids), rows_of(docids)
  task = seqio.get_mixture_or_task(f'{name}_retrieval')
  assert set(task.splits) == {'train', 'dev'}
  for split in ('train', 'dev'):
    found = {
      row['query_id'].decode(): row for row in examples(task.name, split)
    }
    assert set(found) == set(collection.qrels[split])
    for query_id, row in found.items():
      (doc_id,) = collection.qrels[split][query_id]
      query = 'ship ' + collection.queries[query_id]
      expected = vocabulary.encode(pieces, [query], max_length=6)[0]
      assert row['inputs'].tolist() == expected[expected > 0].tolist()
      assert row['targets'].tolist() == rows[doc_id]
      assert row['doc_id'].decode() == doc_id


def test_documents_come_in_windows_and_in_keywords(folders):
  name = register(
    folders,
    'documents',
    rates={'chunks': 1, 'keywords': 1},
    chunk_lengths=[2, 4],
    keyword_lengths=(3, 3),
    passage_prefix='which ',
  )
  _, docids, collection = folders
  pieces, rows = vocabulary.load_vocabulary(docids), rows_of(docids)
  idf_V = retrieval.embeddings.load(docids).idf_V
  texts = {
    d.doc_id: pieces.encode(f'{d.title} {d.text}') for d in collection.documents
  }
  prefix = pieces.encode('which ')
  lengths, rarity = set(), []
  for task in ('chunks', 'keywords'):
    full = seqio.get_mixture_or_task(f'{name}_{task}')
    assert set(full.splits) == {'train'}
    found = examples(full.name, lengths={'inputs': 20, 'targets': 9})
    assert {row['doc_id'].decode() for row in found} == set(texts)
    for row in found:
      doc_id = row['doc_id'].decode()
      tokens = texts[doc_id]
      *inputs, end = row['inputs'].tolist()
      assert end == vocabulary.EOS_ID
      assert inputs[: len(prefix)] == prefix
      inputs = inputs[len(prefix) :]
      assert row['targets'].tolist() == rows[doc_id]
      if task == 'chunks':
        assert any(
          tokens[i : i + len(inputs)] == inputs for i in range(len(tokens))
        )
        lengths.add(len(inputs))
      else:
        rest = iter(tokens)
        assert len(inputs) == 3
        assert all(token in rest for token in inputs)
        rarity.append(idf_V[inputs].mean() - idf_V[tokens].mean())
  assert lengths == {2, 3, 4}
  assert np.mean(rarity) > 0  # rare words are salient


def test_documents_come_as_their_beginnings_and_as_sets(folders):
  name = register(
    folders, 'whole', rates={'first': 1, 'set': 1}, first_length=3
  )
  _, docids, collection = folders
  pieces, rows = vocabulary.load_vocabulary(docids), rows_of(docids)
  documents = {d.doc_id: d for d in collection.documents}
  texts = {
    d.doc_id: pieces.encode(f'{d.title} {d.text}') for d in collection.documents
  }
  for task in ('first', 'set'):
    task = seqio.get_mixture_or_task(f'{name}_{task}')
    found = list(
      task.get_dataset(
        {'inputs': 100, 'targets': 9}, 'train', shuffle=False, num_epochs=1
      ).as_numpy_iterator()
    )
    assert {row['doc_id'].decode() for row in found} == set(texts)
    for row in found:
      tokens = texts[row['doc_id'].decode()]
      *inputs, _ = row['inputs'].tolist()
      assert row['targets'].tolist() == rows[row['doc_id'].decode()]
      if task.name.endswith('first'):
        assert inputs == tokens[:3]
      else:
        document = documents[row['doc_id'].decode()]
        words = dict.fromkeys(f'{document.title} {document.text}'.split())
        kept = [w for w in words if w.lower() not in ENGLISH_STOP_WORDS]
        assert inputs == pieces.encode(' '.join(kept))
        assert len(kept) < len(texts[document.doc_id])


@pytest.mark.parametrize('from_file', [True, False])
def test_pseudo_queries_ask_for_their_documents(folders, tmp_path, from_file):
  _, docids, collection = folders
  pieces, rows = vocabulary.load_vocabulary(docids), rows_of(docids)
  if from_file:
    source = tmp_path / 'queries.jsonl'
    expected = {'d3': ['a rose', 'rose'], 'd1': ['violin']}
    source.write_text(
      '\n'.join(
        json.dumps({'doc_id': doc_id, 'queries': queries})
        for doc_id, queries in expected.items()
      )
    )
  else:
    source = 'train'
    expected = {
      doc_id: queries
      for doc_id, queries in collection.queries_by_document('train').items()
      if queries
    }
  name = register(
    folders,
    'generated',
    rates={'generated': 1},
    pseudo_queries=source,
    query_prefix='ship ',
  )
  found = [
    (row['inputs'].tolist(), row['targets'].tolist())
    for row in examples(f'{name}_generated')
  ]
  wanted = []
  for doc_id, queries in expected.items():
    for query in queries:
      tokens = vocabulary.encode(pieces, [f'ship {query}'], max_length=6)[0]
      wanted.append((tokens[tokens > 0].tolist(), rows[doc_id]))
  assert sorted(found) == sorted(wanted)
  if from_file:  # Another file of the name is read anew.
    source.write_text('{"doc_id": "d2", "queries": ["sea"]}')
    arguments = {'rates': {'generated': 1}, 'pseudo_queries': source}
    register(folders, 'generated', **arguments)
    assert len(examples(f'{name}_generated')) == 1
    source.write_text('')
    with pytest.raises(ValueError, match='Expected pseudo-queries in '):
      register(folders, 'generated', **arguments)


def test_pseudo_queries_and_their_rate_come_together(folders):
  for arguments in (
    {'rates': {'generated': 1}},
    {'rates': {'first': 1}, 'pseudo_queries': 'train'},
  ):
    with pytest.raises(
      ValueError, match="for 'generated' and pseudo_queries tog"
    ):
      register(folders, 'wrong', **arguments)


def test_every_pass_draws_anew(folders):
  name = register(folders, 'passes', chunk_lengths=(3, 3))
  found = examples(f'{name}_chunks', num_epochs=4)
  drawn = {}
  for row in found:
    drawn.setdefault(row['doc_id'], set()).add(tuple(row['inputs']))
  assert len(found) == 4 * tiny_collection.SIZE
  assert np.mean([len(windows) for windows in drawn.values()]) > 2
  again = examples(f'{name}_chunks', num_epochs=4)
  assert [r['inputs'].tolist() for r in again] == [
    r['inputs'].tolist() for r in found
  ]


@pytest.mark.parametrize(
  'rates',
  [None, {'retrieval': 3, 'keywords': 1}, {'retrieval': 1, 'chunks': 0}],
)
def test_examples_come_in_proportion_to_the_rates(folders, rates):
  name = register(
    folders,
    'mixed',
    rates=rates,
    passage_prefix='storm ',
    chunk_lengths=(99, 99),
  )
  rates = rates or {'retrieval': 1, 'chunks': 1}
  mixture = seqio.get_mixture_or_task(name)
  assert isinstance(mixture, seqio.Mixture)
  assert {task.name for task in mixture.tasks} == {
    f'{name}_{task}' for task, rate in rates.items() if rate
  }
  count = 1000
  found = mixture.get_dataset(
    {'inputs': 99, 'targets': 4}, 'train', num_epochs=None, seed=0
  )
  found = list(found.take(count).as_numpy_iterator())
  _, docids, _ = folders
  (which,) = vocabulary.load_vocabulary(docids).encode(['which'])
  queries = sum(row['inputs'][: len(which)].tolist() == which for row in found)
  share = rates['retrieval'] / sum(rates.values())
  assert (
    abs(queries - share * count) <= 4 * (share * (1 - share) * count) ** 0.5
  )


def test_batches_of_the_mixture_fit_the_model(folders):
  found = seqio.get_dataset(
    register(folders, 'batches'),
    LENGTHS,
    dataset_split='train',
    shuffle=True,
    feature_converter=seqio.EncDecFeatureConverter(pack=False),
    seed=0,
  )
  batch = next(found.batch(5).as_numpy_iterator())
  assert batch['encoder_input_tokens'].shape == (5, 6)
  target = batch['decoder_target_tokens']
  np.testing.assert_array_equal(
    batch['decoder_input_tokens'], np.pad(target, ((0, 0), (1, 0)))[:, :-1]
  )
  np.testing.assert_array_equal(batch['decoder_loss_weights'], target > 0)
  assert (target == vocabulary.EOS_ID).any(1).all()


def test_registering_again_does_nothing(folders, monkeypatch):
  name = register(folders, 'again', rates={'retrieval': 2})
  task = seqio.get_mixture_or_task(f'{name}_retrieval')
  monkeypatch.setattr(retrieval, 'add_task', lambda *_, **__: 1 / 0)
  assert register(folders, 'again', rates={'retrieval': 2}) == name == 'again'
  assert seqio.get_mixture_or_task(f'{name}_retrieval') is task


def test_registering_reads_the_collection_once(folders, monkeypatch):
  register(folders, 'prepared')  # the TFDS copy is there from now on
  read = []
  load = corpus_lib.load_collection
  monkeypatch.setattr(
    corpus_lib, 'load_collection', lambda path: read.append(path) or load(path)
  )
  register(folders, 'once', rates={'retrieval': 1, 'chunks': 1, 'keywords': 1})
  assert read == [folders[0]]


def test_the_vocabularies_are_those_of_the_folder(folders):
  _, docids, collection = folders
  pieces, table = vocabulary.load_vocabulary(docids), rows_of(docids)
  given = retrieval.input_vocabulary(docids)
  assert given.vocab_size == pieces.get_piece_size()
  assert (given.pad_id, given.eos_id, given.unk_id) == (0, 1, 2)
  text = collection.documents[0].text
  assert given.encode(text) == pieces.encode(text)
  found = retrieval.output_vocabulary(docids)
  assert found.vocab_size == identifiers.vocab_size(docids)
  assert found.eos_id == vocabulary.EOS_ID
  for row in table.values():
    assert found.encode(row) == found.decode(row) == row


def test_another_vocabulary_is_refused(folders, tmp_path):
  _, docids, _ = folders
  copy = tmp_path / 'docids'
  shutil.copytree(docids, copy)
  register(folders, 'mixed', docids=copy)
  text = 'ship sail harbour wave which'
  vocabulary.train_vocabulary([text], copy / vocabulary.VOCABULARY_FILE)
  with pytest.raises(ValueError, match='run `genret index docids` again'):
    register(folders, 'mixed', docids=copy, query_prefix='new ')


def test_other_arguments_replace_what_was_registered(folders):
  _, docids, collection = folders
  first = examples(f'{register(folders, "changing")}_retrieval')
  name = register(folders, 'changing', query_prefix='ship ')
  second = examples(f'{name}_retrieval')
  assert first[0]['query_id'] == second[0]['query_id']
  assert first[0]['inputs'].tolist() != second[0]['inputs'].tolist()
  register(folders, 'changing', docids=docids.parent / 'others')
  rows = rows_of(docids.parent / 'others')
  assert rows != rows_of(docids)
  for row in examples(f'{name}_retrieval'):
    assert row['targets'].tolist() == rows[row['doc_id'].decode()]
  # Nothing of the first mixture is left over.
  register(folders, 'changing', rates={'keywords': 1})
  mixture = seqio.get_mixture_or_task('changing')
  assert [task.name for task in mixture.tasks] == ['changing_keywords']
  assert len(collection.documents) == len(examples('changing_keywords'))


def test_the_same_identifiers_beside_other_words_replace_it(folders, tmp_path):
  _, _, collection = folders
  sizes, hashes = [], set()
  for size in (45, 120):
    docids = tmp_path / str(size)
    table = build.build(
      collection, docids, vocabulary_size=size, text_tokens=128, dimensions=8
    )
    hashes.add(table.hash)
    register(folders, 'words', docids=docids)
    task = seqio.get_mixture_or_task('words_retrieval')
    sizes.append(task.output_features['inputs'].vocabulary.vocab_size)
  assert len(hashes) == 1
  assert sizes[0] < sizes[1]


def test_arguments_that_cannot_work(folders, tmp_path):
  for rates in ({'chunks': 1, 'title': 1}, {'chunks': 0}, {'retrieval': -1}):
    with pytest.raises(
      ValueError,
      match='Expected rates above 0 for some of retrieval, generated, passages, sentences, first, set, '
      'chunks, keywords, '
      f'got {re.escape(str(rates))}; name the tasks to mix',
    ):
      register(folders, 'wrong', rates=rates)
  with pytest.raises(ValueError, match='wrong'):
    seqio.get_mixture_or_task('wrong')
  tiny_collection.write(tmp_path / 'corpus', count=5)
  with pytest.raises(
    ValueError,
    match=r'corpus that the identifiers name \(hash [0-9a-f]{12}\), .* has hash '
    r'[0-9a-f]{12}; run `genret index docids` on it',
  ):
    register(folders, 'wrong', corpus=tmp_path / 'corpus')


@pytest.mark.parametrize(
  ('targets', 'predictions', 'expected'),
  [
    ([], [], 0.0),
    ([[5, 6]], [[5, 6, 1, 0, 0]], 1.0),
    ([[5, 6]], [[5, 6]], 1.0),
    ([[5, 6]], [[5, 1, 6]], 0.0),
    ([[5], [6], [7], [8]], [[5, 1], [7, 1], [], [8, 0]], 0.5),
  ],
)
def test_the_metric(targets, predictions, expected):
  found = retrieval.identifier_accuracy(targets, predictions)
  assert found == {'Success@1': expected}
  assert isinstance(found['Success@1'], float)


def test_targets_are_compared_without_their_end(folders):
  task = seqio.get_mixture_or_task(f'{register(folders, "ends")}_retrieval')
  for is_target, expected in ((True, [5, 6]), (False, [5, 6, 1, 0])):
    found = task.postprocess_fn([5, 6, 1, 0], example={}, is_target=is_target)
    assert found == expected


def test_seqio_evaluates_the_task(folders):
  """Predictions that are right for every other query, through the evaluator."""
  name = register(folders, 'evaluated')
  evaluator = seqio.Evaluator(
    f'{name}_retrieval',
    feature_converter=seqio.EncDecFeatureConverter(pack=False),
    eval_split='dev',
    sequence_length={'inputs': 9, 'targets': 4},
  )

  def predict(dataset, model_feature_shapes=None):
    del model_feature_shapes
    rows = dataset.as_numpy_iterator()
    return [
      (i, (row['decoder_target_tokens'] * (i % 2)).tolist()) for i, row in rows
    ]

  metrics, _ = evaluator.evaluate(
    compute_metrics=True, predict_fn=predict, score_fn=None
  )
  found = metrics.result()[f'{name}_retrieval']
  assert abs(found['Success@1'] - 7 / 15) < 1e-6


def write_cache(task, folder, change):
  """What seqio's caching script leaves for a task, without Apache Beam."""
  found = task.source.get_dataset('train', shuffle=False)
  rows = [
    change(row) for row in task.preprocess_precache(found).as_numpy_iterator()
  ]

  def feature(value):
    if isinstance(value, bytes):
      return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

  folder.mkdir(parents=True)
  name = str(folder / 'train.tfrecord-00000-of-00001')
  with tf.io.TFRecordWriter(name) as writer:
    for row in rows:
      fields = {key: feature(value) for key, value in row.items()}
      example = tf.train.Example(features=tf.train.Features(feature=fields))
      writer.write(example.SerializeToString())
  features = {
    key: {'shape': [], 'dtype': 'string'}
    if isinstance(value, bytes)
    else {'shape': [None], 'dtype': 'int32'}
    for key, value in rows[0].items()
  }
  info = {
    'num_shards': 1,
    'features': features,
    'seqio_version': seqio.__version__,
  }
  (folder / 'info.train.json').write_text(json.dumps(info))
  (folder / 'stats.train.json').write_text(json.dumps({'examples': len(rows)}))
  (folder / 'COMPLETED').write_text('')


def test_a_cached_task_still_draws_anew(folders, tmp_path):
  name = register(folders, 'cached', chunk_lengths=(3, 3))
  task = seqio.get_mixture_or_task(f'{name}_chunks')
  assert task.supports_caching
  assert not task.requires_caching
  data = SeqioExamples(task.name, use_cached=True, cache_dirs=(str(tmp_path),))
  with pytest.raises(
    ValueError, match=f'a cache of {task.name}, found none .in .*{tmp_path}'
  ):
    data.check()
  # Reversed on disk, so that one sees where examples come from.
  write_cache(
    task,
    tmp_path / task.name,
    lambda row: {**row, 'inputs': row['inputs'][::-1]},
  )
  data.check()
  found = examples(task.name, use_cached=True, num_epochs=5)
  _, docids, collection = folders
  pieces, rows = vocabulary.load_vocabulary(docids), rows_of(docids)
  texts = {
    d.doc_id: pieces.encode(f'{d.title} {d.text}')[::-1]
    for d in collection.documents
  }
  drawn = set()
  for row in found:
    doc_id = row['doc_id'].decode()
    *inputs, end = row['inputs'].tolist()
    tokens = texts[doc_id]
    assert end == vocabulary.EOS_ID
    assert len(inputs) == 3
    assert any(tokens[i : i + 3] == inputs for i in range(len(tokens)))
    assert row['targets'].tolist() == rows[doc_id]
    drawn.add((doc_id, *inputs))
  assert len(found) == 5 * len(texts)
  assert len(drawn) > 2 * len(texts)


def test_32_documents_for_a_question(folders):
  """DSI's mixture: examples come in proportion to the rates."""
  name = register(
    folders,
    'ratio',
    rates={'first': 32, 'retrieval': 1},
    query_prefix='which ',
    passage_prefix='sea ',
  )
  pieces = vocabulary.load_vocabulary(folders[1])
  starts = [pieces.encode(word)[:1] for word in ('which', 'sea')]
  assert starts[0] != starts[1]
  task = seqio.get_mixture_or_task(name)
  dataset = task.get_dataset(LENGTHS, 'train', seed=0).take(10_000)
  found = [row['inputs'][:1].tolist() for row in dataset.as_numpy_iterator()]
  questions = found.count(starts[0])
  assert questions + found.count(starts[1]) == 10_000
  assert abs(questions / 10_000 - 1 / 33) < 0.01


def test_pairs_of_unseen_documents_are_not_trained_on(folders, tmp_path):
  corpus, _, collection = folders
  unseen = unseen_documents([d.doc_id for d in collection.documents], 0.5, 1)
  assert 0 < len(unseen) < len(collection.documents)
  share = {'unseen_share': 0.5, 'unseen_seed': 1}
  # Every query names its document by a word of its own.
  tables = {}
  for name, more in (('some', share), ('all', {})):
    tables[name] = build.build(
      collection,
      tmp_path / name,
      vocabulary_size=120,
      queries_split='train',
      dimensions=8,
      **more,
    )
  assert tables['some'].meta['settings']['unseen_share'] == 0.5
  assert (
    retrieval.embeddings.load(tmp_path / 'some').output_VxE
    != retrieval.embeddings.load(tmp_path / 'all').output_VxE
  ).any()
  with pytest.raises(
    ValueError, match=r'built with 0\.0 and 0; run `genret index docids`'
  ):
    register(folders, 'unseen', docids=tmp_path / 'all', **share)
  name = register(folders, 'unseen', docids=tmp_path / 'some', **share)
  for split, left in (('train', unseen), ('dev', set())):
    found = examples(f'{name}_retrieval', split)
    assert {row['doc_id'].decode() for row in found} == {
      doc_id for of in collection.qrels[split].values() for doc_id in of
    } - set(left)
  # The documents themselves are read.
  assert {row['doc_id'].decode() for row in examples(f'{name}_chunks')} == {
    d.doc_id for d in collection.documents
  }
  # A split as pseudo-queries brings nothing back.
  rates = {'generated': 1}
  name = register(
    folders,
    'unseen_split',
    docids=tmp_path / 'some',
    rates=rates,
    pseudo_queries='train',
    **share,
  )
  assert {row['doc_id'].decode() for row in examples(f'{name}_generated')} == {
    doc_id for of in collection.qrels['train'].values() for doc_id in of
  } - unseen
  # Back to all pairs, under the same name.
  register(folders, 'unseen', docids=tmp_path / 'some')
  assert len(examples('unseen_retrieval')) == len(collection.qrels['train'])
  pairs = text_pairs.task(
    name='unseen_pairs',
    inputs='query',
    corpus=corpus,
    vocabulary=tmp_path / 'some',
    **share,
  )
  assert len(examples(pairs)) == sum(
    not unseen.issuperset(of) for of in collection.qrels['train'].values()
  )
  with pytest.raises(ValueError, match=r'all to know no query of the unseen'):
    text_pairs.task(
      name='unseen_pairs',
      inputs='query',
      corpus=corpus,
      vocabulary=tmp_path / 'all',
      **share,
    )


def test_a_build_that_withheld_more_will_do(folders, tmp_path):
  collection = folders[2]
  build.build(
    collection,
    tmp_path,
    vocabulary_size=120,
    queries_split='train',
    dimensions=8,
    unseen_share=0.5,
    unseen_seed=1,
  )
  beir_folder.check_withheld(tmp_path, 0.25, 1)
  for share, seed in ((0.75, 1), (0.25, 2)):
    with pytest.raises(
      ValueError, match=rf'--unseen-share {share} --unseen-se'
    ):
      beir_folder.check_withheld(tmp_path, share, seed)
  beir_folder.check_withheld(folders[1], 0.0, 0)  # nothing to withhold
  beir_folder.check_withheld(tmp_path / 'spiece.model', 0.5, 0)  # no vectors
  # A table of one's own knows no queries; an older genret's may.
  table = DocidTable.load(tmp_path)
  dataclasses.replace(table, meta={}).save(tmp_path / 'own')
  beir_folder.check_withheld(tmp_path / 'own', 0.5, 0)
  dataclasses.replace(table, meta={'scheme': 'atomic'}).save(tmp_path / 'older')
  with pytest.raises(ValueError, match='older to know no query of the unseen'):
    beir_folder.check_withheld(tmp_path / 'older', 0.5, 0)


@pytest.mark.parametrize('choice', rehearsal.CHOICES)
def test_parts_of_documents_are_rehearsed(folders, choice, monkeypatch):
  name = register(
    folders,
    f'rehearsal_{choice}',
    rates={'passages': 1, 'sentences': 2},
    rehearsal=choice,
    passage_prefix='which ',
  )
  _, docids, collection = folders
  pieces, rows = vocabulary.load_vocabulary(docids), rows_of(docids)
  for kind in ('passages', 'sentences'):
    expected = sorted(
      (
        vocabulary.encode(pieces, [f'which {part}'], max_length=6)[0].tolist(),
        rows[document.doc_id],
      )
      for document in collection.documents
      for part in rehearsal.contents(
        document.text,
        kind,
        choice,
        key=document.doc_id,
      )
    )
    found = examples(f'{name}_{kind}')
    assert expected == sorted(
      (
        np.pad(row['inputs'], (0, 6 - len(row['inputs']))).tolist(),
        row['targets'].tolist(),
      )
      for row in found
    )
  # They are found once: another process reads what is there.
  monkeypatch.setattr(rehearsal, 'contents', lambda *_, **__: 1 / 0)
  monkeypatch.setattr(retrieval, '_REGISTERED', {})
  register(folders, name, rates={'passages': 1}, rehearsal=choice)
  assert len(examples(f'{name}_passages')) == len(collection.documents)
  with pytest.raises(ValueError, match="got 'best' of 'passages'"):
    register(folders, name, rates={'passages': 1}, rehearsal='best')
