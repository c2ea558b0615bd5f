# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks of n-gram retrievers over a small folder, as the trainers read them."""

import json
import re
import shutil
import socket

import numpy as np
import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import gin
import seqio
import tensorflow as tf
import tiny_collection

from genret import (
  ngram_example_writer,
  ngram_examples,
  ngram_index,
  views,
  vocabulary,
)
from genret.ngram_examples import Supervised, Unsupervised
from genret.tasks import ngrams
from genret.tools import index as index_tool
from genret.unseen import unseen_documents

LENGTHS = {'inputs': 12, 'targets': 8}
EOS = vocabulary.EOS_ID
SHORT = Unsupervised(max_words=4, min_words=2)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Any attempt to connect is an error, whatever would catch it."""

  def refuse(*_):
    pytest.fail('tried to use the network')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """The corpus, its index, written examples, and the collection itself."""
  root = tmp_path_factory.mktemp('ngrams')
  collection = tiny_collection.write(root / 'corpus')
  ngram_index.build(
    collection,
    root / 'index',
    vocabulary_size=120,
    text_tokens=130,
    queries_split='train',
  )
  ngram_example_writer.write_examples(
    root / 'corpus',
    root / 'examples',
    supervised=Supervised(spans=2),
    unsupervised=SHORT,
    shard_size=10,
    seed=5,
  )
  return root / 'corpus', root / 'index', root / 'examples', collection


def register(folders, name, **kwargs):
  corpus, index, _, _ = folders
  return ngrams.mixture(
    **{'name': name, 'corpus': corpus, 'index': index} | kwargs
  )


def examples(name, split='train', **kwargs):
  task = seqio.get_mixture_or_task(name)
  found = task.get_dataset(
    LENGTHS, split, **{'shuffle': False, 'num_epochs': 1, 'seed': 0} | kwargs
  )
  return list(found.as_numpy_iterator())


def expected_tokens(index, found, *, use_markers=True, use_grades=True):
  """Inputs and targets of examples, with the functions of decoding."""
  pieces = vocabulary.load_vocabulary(index)
  marks = views.markers(130)
  rows = []
  for example in found:
    inputs = views.mark_inputs(
      pieces.encode(example.source),
      marks,
      view=example.view if use_markers else None,
      grade=example.grade if use_grades else None,
      max_length=LENGTHS['inputs'],
    )
    end = [EOS] if example.view == 'body' else [marks.end, EOS]
    targets = pieces.encode(example.target)[: LENGTHS['targets'] - len(end)]
    rows.append((inputs.tolist(), targets + end))
  return rows


def pair_examples(collection, split, **kwargs):
  by_id = {d.doc_id: d for d in collection.documents}
  return [
    example
    for query_id, judged in collection.qrels[split].items()
    for doc_id in judged
    for example in ngram_examples.supervised_examples(
      collection.queries[query_id], by_id[doc_id], query_id=query_id, **kwargs
    )
  ]


def tokens_of(rows):
  return [(r['inputs'].tolist(), r['targets'].tolist()) for r in rows]


@pytest.mark.parametrize(
  'flags',
  [{}, {'use_markers': False, 'use_grades': False}, {'use_grades': False}],
)
def test_tasks_give_the_examples_with_their_marks(folders, flags):
  _, index, _, collection = folders
  name = register(
    folders,
    'plain',
    supervised=Supervised(spans=2, titles=1),
    unsupervised=SHORT,
    seed=7,
    **flags,
  )
  task = seqio.get_mixture_or_task(f'{name}_supervised')
  assert set(task.splits) == {'train', 'dev'}
  for split in task.splits:
    expected = pair_examples(
      collection, split, options=Supervised(spans=2, titles=1), seed=7
    )
    found = examples(task.name, split)
    assert len(found) == 3 * 15
    assert sorted(tokens_of(found)) == sorted(
      expected_tokens(index, expected, **flags)
    )
  expected = [
    example
    for document in collection.documents
    for example in ngram_examples.unsupervised_examples(
      document, options=SHORT, seed=7
    )
  ]
  found = examples(f'{name}_unsupervised')
  assert sorted(tokens_of(found)) == sorted(
    expected_tokens(index, expected, **flags)
  )
  assert set(seqio.get_mixture_or_task(f'{name}_unsupervised').splits) == {
    'train'
  }


def test_pseudo_queries_are_a_third_view(folders, tmp_path):
  _, index, _, collection = folders
  file = tmp_path / 'queries.jsonl'
  queries = {f'd{i}': [f'storm name{i}', f'rose mark{i}'] for i in range(30)}
  file.write_text(
    '\n'.join(
      json.dumps({'doc_id': doc_id, 'queries': of})
      for doc_id, of in queries.items()
    )
  )
  minder = ngram_examples.RECIPES['minder']
  arguments = {'supervised': minder[0], 'unsupervised': minder[1]}
  name = register(folders, 'minder', pseudo_queries=file, **arguments)
  by_id = {d.doc_id: d for d in collection.documents}
  expected = [
    example
    for query_id, judged in collection.qrels['train'].items()
    for doc_id in judged
    for example in ngram_examples.supervised_examples(
      collection.queries[query_id],
      by_id[doc_id],
      query_id=query_id,
      queries=queries[doc_id],
      options=minder[0],
    )
  ]
  found = examples(f'{name}_supervised')
  assert sorted(tokens_of(found)) == sorted(expected_tokens(index, expected))
  assert len(examples(f'{name}_unsupervised')) == 30 * 6
  # Another content of the file registers anew, and a split gives queries too.
  file.write_text(json.dumps({'doc_id': 'd0', 'queries': ['a', 'bb']}))
  register(folders, 'minder', pseudo_queries=file, **arguments)
  assert len(examples(f'{name}_unsupervised')) == 6
  register(folders, 'minder', pseudo_queries='train', **arguments)
  # Each document has the one query that asks for it.
  assert len(examples(f'{name}_unsupervised')) == 15 * 4
  assert len(examples(f'{name}_supervised')) == 15 * 13
  with pytest.raises(ValueError, match='Expected pseudo_queries, which these'):
    register(folders, 'minder', **arguments)


def test_epochs_are_the_same_and_shuffled(folders):
  name = register(folders, 'passes')
  once = examples(f'{name}_supervised')
  twice = examples(f'{name}_supervised', num_epochs=2)
  assert tokens_of(twice) == tokens_of(once) * 2
  shuffled = tokens_of(examples(f'{name}_supervised', shuffle=True))
  assert shuffled != tokens_of(once)
  assert sorted(shuffled) == sorted(tokens_of(once))


def test_shards_of_the_data_are_parts_of_it(folders):
  name = register(folders, 'hosts')
  parts = [
    examples(
      f'{name}_unsupervised', shard_info=seqio.ShardInfo(index=i, num_shards=3)
    )
    for i in range(3)
  ]
  assert all(parts)
  found = [row for part in parts for row in tokens_of(part)]
  assert sorted(found) == sorted(tokens_of(examples(f'{name}_unsupervised')))


def test_batches_of_the_mixture_fit_the_model(folders):
  found = seqio.get_dataset(
    register(folders, 'batches'),
    LENGTHS,
    dataset_split='train',
    shuffle=True,
    feature_converter=seqio.EncDecFeatureConverter(pack=False),
    seed=0,
  )
  marks = views.markers(130)
  targets, inputs = [], []
  for batch in found.batch(64).take(4).as_numpy_iterator():
    assert set(batch) == {
      'encoder_input_tokens',
      'decoder_input_tokens',
      'decoder_target_tokens',
      'decoder_loss_weights',
    }
    assert batch['encoder_input_tokens'].shape == (64, 12)
    target = batch['decoder_target_tokens']
    np.testing.assert_array_equal(
      batch['decoder_input_tokens'], np.pad(target, ((0, 0), (1, 0)))[:, :-1]
    )
    np.testing.assert_array_equal(batch['decoder_loss_weights'], target > 0)
    targets.append(target)
    inputs.append(batch['encoder_input_tokens'])
  target, inputs = np.concatenate(targets), np.concatenate(inputs)
  assert ((target == EOS).sum(1) == 1).all()
  # Titles end with their mark, and only they.
  titles = (inputs == marks.title).any(1)
  np.testing.assert_array_equal((target == marks.end).any(1), titles)
  assert 0 < titles.sum() < len(titles)
  assert max(target.max(), inputs.max()) < views.vocab_size(130)
  # Both tasks are there.
  assert (inputs == marks.gold).any()
  assert (inputs == marks.unsupervised).any()


def rates_of(name):
  found = seqio.get_mixture_or_task(name)
  return {task.name: found.get_rate(task) for task in found.tasks}


def test_rates(folders):
  name = register(folders, 'rates')
  expected = {'rates_supervised': 15 * 13.0, 'rates_unsupervised': 30 * 5.0}
  assert rates_of(name) == expected
  register(folders, 'rates', rates={'supervised': 2, 'unsupervised': 0})
  assert rates_of(name) == {'rates_supervised': 2}
  register(folders, 'rates', supervised=Supervised(spans=0, titles=0))
  assert rates_of(name) == {'rates_unsupervised': 150.0}


def test_a_corpus_without_judgements_trains_on_documents(tmp_path):
  collection = tiny_collection.write(tmp_path / 'corpus')
  shutil.rmtree(tmp_path / 'corpus' / 'qrels')
  ngram_index.build(collection, tmp_path / 'index', vocabulary_size=120)
  arguments = {
    'name': 'bare',
    'corpus': tmp_path / 'corpus',
    'index': tmp_path / 'index',
  }
  assert rates_of(ngrams.mixture(**arguments)) == {'bare_unsupervised': 150.0}
  with pytest.raises(
    ValueError, match='examples for the task supervised, found none; give it'
  ):
    ngrams.mixture(**arguments, rates={'supervised': 1})


def test_queries_of_unseen_documents_are_not_trained_on(folders, tmp_path):
  corpus, _, written, collection = folders
  unseen = unseen_documents([d.doc_id for d in collection.documents], 0.5, 1)
  share = {'unseen_share': 0.5, 'unseen_seed': 1}
  asked = [d for of in collection.qrels['train'].values() for d in of]
  seen = sorted(set(asked) - unseen)
  assert 0 < len(seen) < len(asked)
  with pytest.raises(
    ValueError, match=r'with 0\.0 and 0; run `genret index fm`'
  ):
    register(folders, 'unseen', **share)
  words = ['fm', '--corpus', str(corpus), '--output', str(tmp_path / 'index')]
  words += ['--vocabulary-size', '120', '--pseudo-queries', 'train']
  words += ['--queries-split', 'train']
  words += ['--unseen-share', '0.5', '--unseen-seed', '1']
  assert index_tool.main(words) == 0
  meta = ngram_index.load_meta(tmp_path / 'index')
  assert meta['pseudo_queries'] == len(seen)
  how = {
    'index': tmp_path / 'index',
    'pseudo_queries': 'train',
    'supervised': Supervised(spans=1, titles=0, queries=1),
    **share,
  }
  name = register(folders, 'unseen', **how)
  assert rates_of(name)[f'{name}_supervised'] == 2 * len(seen)
  found = examples(f'{name}_supervised')
  assert {row['doc_id'].decode() for row in found} == set(seen)
  # Nothing is withheld from others; an index without queries knows none.
  name = register(folders, 'seen', **how | {'unseen_share': 0.0})
  assert rates_of(name)[f'{name}_supervised'] == 2 * len(asked)
  ngram_index.build(collection, tmp_path / 'plain', vocabulary_size=120)
  register(folders, 'unseen', index=tmp_path / 'plain', **share)
  ours = {'corpus': None, 'examples': written, 'index': tmp_path / 'plain'}
  with pytest.raises(ValueError, match='0 and 0; run `genret examples` with'):
    register(folders, 'unseen', **ours, **share)
  ngram_example_writer.write_examples(
    corpus,
    tmp_path / 'half',
    supervised=how['supervised'],
    unsupervised=SHORT,
    pseudo_queries='train',
    **share,
  )
  ours['examples'] = tmp_path / 'half'
  for at_most in (0.5, 0.25):
    asked = share | {'unseen_share': at_most}
    name = register(folders, 'unseen', **ours, **asked)
    found = examples(f'{name}_supervised')
    assert {row['doc_id'].decode() for row in found} == set(seen)
  name = register(folders, 'other', **how | {'index': ours['index']})
  expected = examples(f'{name}_supervised')
  assert sorted(tokens_of(found)) == sorted(tokens_of(expected))
  with pytest.raises(ValueError, match=r'with 0\.5 and 1; run'):
    register(folders, 'unseen', **ours, unseen_share=0.5)


def test_registering_again_does_nothing(folders, monkeypatch):
  name = register(folders, 'again', supervised=Supervised(spans=1))
  task = seqio.get_mixture_or_task(f'{name}_supervised')
  monkeypatch.setattr(ngrams, '_add_task', lambda *_, **__: 1 / 0)
  again = register(folders, 'again', supervised=Supervised(spans=1))
  assert again == name == 'again'
  assert seqio.get_mixture_or_task(f'{name}_supervised') is task


@pytest.mark.parametrize(
  'change',
  [
    {'supervised': Supervised(spans=3)},
    {'unsupervised': Unsupervised(spans=1)},
    {'rates': {'supervised': 1, 'unsupervised': 2}},
    {'use_markers': False},
    {'use_grades': False},
    {'shuffle_buffer': 3},
    {'seed': 1},
  ],
)
def test_other_arguments_replace_what_was_registered(folders, change):
  name = register(folders, 'changing')
  before = seqio.get_mixture_or_task(name)
  register(folders, 'changing', **change)
  assert seqio.get_mixture_or_task(name) is not before


def test_the_seed_and_the_options_are_used(folders):
  name = register(folders, 'changing')
  found = {
    str(change): tokens_of(
      examples(f'{register(folders, name, **change)}_supervised')
    )
    for change in (
      {},
      {'seed': 1},
      {'supervised': Supervised(spans=3)},
      {'use_markers': False},
      {'use_grades': False},
    )
  }
  assert len({str(sorted(rows)) for rows in found.values()}) == len(found)


# --- Written examples.


def test_written_examples_are_those_of_the_corpus(folders):
  _, _, written, _ = folders
  name = register(
    folders,
    'from_corpus',
    supervised=Supervised(spans=2),
    unsupervised=SHORT,
    seed=5,
  )
  other = register(folders, 'from_files', corpus=None, examples=written)
  assert list(rates_of(other).values()) == list(rates_of(name).values())
  for task in ('supervised', 'unsupervised'):
    found = examples(f'{other}_{task}')
    expected = examples(f'{name}_{task}')
    assert sorted(tokens_of(found)) == sorted(tokens_of(expected))
    assert {row['doc_id'] for row in found} == {
      row['doc_id'] for row in expected
    }
    assert tokens_of(found) == tokens_of(examples(f'{other}_{task}'))
  task = seqio.get_mixture_or_task(f'{other}_unsupervised')
  assert len(task.source.list_shards('train')) == 3
  parts = [
    examples(task.name, shard_info=seqio.ShardInfo(index=i, num_shards=3))
    for i in range(3)
  ]
  assert sum(map(len, parts)) == len(examples(task.name))


def test_written_examples_that_cannot_be_read(folders, tmp_path):
  _, _, written, _ = folders
  copy = tmp_path / 'examples'
  shutil.copytree(written, copy)
  (copy / 'unsupervised-00001-of-00003.tsv.gz').unlink()
  with pytest.raises(
    ValueError,
    match=r'Expected 5 shards of examples in .*, 1 are not written, first '
    r'unsupervised-00001-of-00003\.tsv\.gz; run `genret examples` again',
  ):
    register(folders, 'broken', corpus=None, examples=copy)
  header = json.loads((copy / 'examples.json').read_text())
  header['settings']['corpus_hash'] = 'abc'
  (copy / 'examples.json').write_text(json.dumps(header))
  with pytest.raises(ValueError, match='Expected the corpus that the index'):
    register(folders, 'broken', corpus=None, examples=copy)
  with pytest.raises(ValueError, match='the options of examples beside a corp'):
    register(
      folders, 'broken', corpus=None, examples=written, supervised=Supervised()
    )


# --- Caches, gin, errors.


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


def test_a_cached_task_gives_the_same(folders, tmp_path):
  name = register(folders, 'cached')
  task = seqio.get_mixture_or_task(f'{name}_supervised')
  assert task.supports_caching
  assert not task.requires_caching
  write_cache(task, tmp_path / task.name, lambda row: row)
  seqio.add_global_cache_dirs([str(tmp_path)])
  uncached = examples(task.name)
  assert tokens_of(examples(task.name, use_cached=True)) == tokens_of(uncached)
  # Marks come behind the cache: other lengths and flags need no other.
  register(folders, 'cached', use_grades=False)
  found = examples(task.name, use_cached=True)
  assert tokens_of(found) == tokens_of(examples(task.name))
  assert tokens_of(found) != tokens_of(uncached)


def test_gin_binds_every_number(folders):
  corpus, index, _, _ = folders
  bindings = f"""
from __gin__ import dynamic_registration
from genret import ngram_examples
from genret.tasks import ngrams
ngrams.mixture:
  name = 'bound'
  corpus = '{corpus}'
  index = '{index}'
  supervised = @ngram_examples.Supervised()
  unsupervised = @ngram_examples.Unsupervised()
ngram_examples.Supervised.spans = 4
ngram_examples.Unsupervised.titles = 0
"""
  with gin.unlock_config():
    gin.clear_config()
    gin.parse_config(bindings)
  try:
    name = gin.get_configurable(ngrams.mixture)()
    task = seqio.get_mixture_or_task(f'{name}_supervised')
    assert gin.get_configurable(ngrams.mixture)() == name == 'bound'
    assert seqio.get_mixture_or_task(f'{name}_supervised') is task
  finally:
    gin.clear_config()
  assert rates_of(name) == {
    'bound_supervised': 15 * 7.0,
    'bound_unsupervised': 30 * 4.0,
  }


def test_the_vocabulary_is_that_of_the_folder(folders):
  _, index, _, collection = folders
  pieces = vocabulary.load_vocabulary(index)
  found = ngrams.vocabulary(index)
  assert found.vocab_size == pieces.get_piece_size()
  assert (found.pad_id, found.eos_id, found.unk_id) == (0, 1, 2)
  text = collection.documents[0].text
  assert found.encode(text) == pieces.encode(text)
  # A mark is no piece: shown as unknown, and no text becomes one.
  assert found.decode([*pieces.encode('ship'), 130]).startswith('ship')
  assert max(found.encode('<extra_id_0>')) < 130


def test_arguments_that_cannot_work(folders, tmp_path):
  _, index, written, _ = folders
  for rates in ({'supervised': 1, 'title': 1}, {'supervised': 0}, {}):
    shown = re.escape(str(rates))
    with pytest.raises(
      ValueError,
      match='Expected rates above 0 for some of supervised, unsupervised, got '
      f'{shown}; name the tasks to mix',
    ):
      register(folders, 'wrong', rates=rates)
  for arguments, what in (
    ({'corpus': None}, 'neither'),
    ({'examples': written}, 'both'),
  ):
    with pytest.raises(ValueError, match=f'written from one, got {what}; name'):
      register(folders, 'wrong', **arguments)
  tiny_collection.write(tmp_path / 'corpus', count=5)
  with pytest.raises(
    ValueError,
    match=r'Expected the corpus that the index holds \(hash [0-9a-f]{12}\), '
    r'.* has hash [0-9a-f]{12}; run `genret index fm` on it',
  ):
    register(folders, 'wrong', corpus=tmp_path / 'corpus')
  with pytest.raises(FileNotFoundError):
    register(folders, 'wrong', index=tmp_path / 'none')
  copy = tmp_path / 'index'
  shutil.copytree(index, copy)
  vocabulary.train_vocabulary(['ship sail'], copy / vocabulary.VOCABULARY_FILE)
  with pytest.raises(ValueError, match='is another one'):
    register(folders, 'wrong', index=copy)
  with pytest.raises(ValueError, match='wrong'):
    seqio.get_mixture_or_task('wrong')
  task = seqio.get_mixture_or_task(f'{register(folders, "r")}_supervised')
  with pytest.raises(ValueError, match='room for 3 tokens of marks'):
    task.get_dataset({'inputs': 2, 'targets': 4}, 'train')
