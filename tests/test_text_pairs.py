# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Tasks with text on both sides, read through seqio as the trainer reads them."""

import json
import shutil

import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import seqio
import tiny_collection

from genret import features, vocabulary
from genret.tasks import text_pairs
from genret.unseen import unseen_documents

LENGTHS = {'inputs': 9, 'targets': 7}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """The corpus, a vocabulary in a folder, and the collection itself."""
  root = tmp_path_factory.mktemp('pairs')
  collection = tiny_collection.write(root / 'corpus', count=8)
  vocabulary.train_vocabulary(
    [f'which {d.title} has {d.text}' for d in collection.documents],
    root / 'pieces' / vocabulary.VOCABULARY_FILE,
    size=120,
  )
  return root / 'corpus', root / 'pieces', collection


def examples(name, split='train'):
  task = seqio.get_mixture_or_task(name)
  found = task.get_dataset(LENGTHS, split, shuffle=False, num_epochs=1)
  return {row['query_id'].decode(): row for row in found.as_numpy_iterator()}


def register(folders, **options):
  corpus, pieces, _ = folders
  return text_pairs.task(
    **{'name': 'pairs', 'corpus': corpus, 'vocabulary': pieces} | options
  )


@pytest.mark.parametrize('inputs', ['document', 'query'])
@pytest.mark.parametrize('prefixes', [('', ''), ('which ', 'sea: ')])
def test_each_side_is_the_text_of_a_pair(folders, inputs, prefixes):
  _, pieces, collection = folders
  name = register(
    folders,
    inputs=inputs,
    query_prefix=prefixes[0],
    passage_prefix=prefixes[1],
  )
  model = vocabulary.load_vocabulary(pieces)
  documents = {d.doc_id: d for d in collection.documents}
  assert set(seqio.get_mixture_or_task(name).splits) == {'train', 'dev'}
  for split in ('train', 'dev'):
    found = examples(name, split)
    assert set(found) == set(collection.qrels[split])
    for query_id, row in found.items():
      (doc_id,) = collection.qrels[split][query_id]
      document = documents[doc_id].read_with(prefixes[1])
      query = collection.queries[query_id]
      texts = [document, query]  # what is written has no prefix
      if inputs == 'query':
        texts = [prefixes[0] + query, document]
      for side, text in zip(('inputs', 'targets'), texts, strict=True):
        (row_T,) = vocabulary.encode(model, [text], max_length=LENGTHS[side])
        assert row[side].tolist() == row_T[row_T > 0].tolist()
      assert row['doc_id'].decode() == doc_id


def test_pairs_of_unseen_documents_are_not_trained_on(folders):
  *_, collection = folders
  split_of = {
    split: {doc_id for judged in qrels.values() for doc_id in judged}
    for split, qrels in collection.qrels.items()
  }
  ids = [document.doc_id for document in collection.documents]
  hidden = unseen_documents(ids, 0.5, 3)
  assert hidden & split_of['train']
  assert hidden & split_of['dev']
  name = register(folders, inputs='query', unseen_share=0.5, unseen_seed=3)
  for split, expected in (
    ('train', split_of['train'] - hidden),
    ('dev', split_of['dev']),
  ):
    found = {row['doc_id'].decode() for row in examples(name, split).values()}
    assert found == expected


def test_registering_again(folders, tmp_path):
  corpus, pieces, _ = folders
  name = register(folders, inputs='query')
  task = seqio.get_mixture_or_task(name)
  assert register(folders, inputs='query') == name
  assert seqio.get_mixture_or_task(name) is task
  # A folder's vocabulary by its own name is another place for the same.
  register(
    folders, inputs='query', vocabulary=pieces / vocabulary.VOCABULARY_FILE
  )
  assert seqio.get_mixture_or_task(name) is task
  for change in (
    {'inputs': 'document'},
    {'query_prefix': 'a'},
    {'unseen_share': 0.5},
    {'unseen_share': 0.5, 'unseen_seed': 1},
  ):
    register(folders, **{'inputs': 'query'} | change)
    assert seqio.get_mixture_or_task(name) is not task
    task = seqio.get_mixture_or_task(name)
  # The corpus may change in its place.
  other = tmp_path / 'corpus'
  shutil.copytree(corpus, other)
  elsewhere = {'corpus': other, 'data_dir': tmp_path / 'tfds'}
  register(folders, inputs='query', **elsewhere)
  before = examples(name)
  with (other / 'queries.jsonl').open('a') as file:
    file.write('\n' + json.dumps({'_id': 'new', 'text': 'rose'}))
  with (other / 'qrels' / 'train.tsv').open('a') as file:
    file.write('\nnew\td5\t1')
  register(folders, inputs='query', **elsewhere)
  assert set(examples(name)) - set(before) == {'new'}
  assert (tmp_path / 'tfds').is_dir()


def test_what_cannot_be(folders, tmp_path):
  corpus, _, _ = folders
  with pytest.raises(ValueError, match="'document' or 'query', got 'both'"):
    register(folders, inputs='both')
  with pytest.raises(ValueError, match="'document' or 'query', got 'both'"):
    features.text_pair_examples(None, inputs='both')
  features.check_inputs('query')
  with pytest.raises(FileNotFoundError, match='SentencePiece model at'):
    register(folders, inputs='query', vocabulary=tmp_path)
  for split in ('train.tsv', 'dev.tsv'):
    other = tmp_path / split
    shutil.copytree(corpus, other)
    (other / 'qrels' / 'train.tsv').unlink()
    if split == 'train.tsv':
      (other / 'qrels' / 'dev.tsv').unlink()
    with pytest.raises(ValueError, match=r'judged pairs to train on, .* none'):
      register(folders, inputs='query', corpus=other, data_dir=tmp_path / 'x')
