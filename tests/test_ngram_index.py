# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The folder of an index of n-grams, and pseudo-queries from files."""

import dataclasses
import gzip
import json

import numpy as np
import pytest
import tiny_collection

from genret import (
  array_folder,
  embeddings,
  identifiers,
  ngram_index,
  run_folders,
  views,
  vocabulary,
)
from genret.constraints.fm_index import FMIndex
from genret.docids import build as docids_build
from genret.pseudo_queries import read_pseudo_queries


@pytest.fixture(scope='module')
def collection(tmp_path_factory):
  return tiny_collection.write(tmp_path_factory.mktemp('corpus') / 'tiny')


def make(collection, folder, **options):
  return ngram_index.build(
    collection, folder, **{'vocabulary_size': 120, **options}
  )


def test_an_index_is_opened_as_built(collection, tmp_path):
  built = make(collection, tmp_path / 'a', queries_split='train', dimensions=8)
  for found in (
    ngram_index.load(tmp_path / 'a'),
    identifiers.load(tmp_path / 'a'),
  ):
    assert found.hash == built.hash
    assert found.marks == views.markers(found.pieces.get_piece_size())
    assert found.fm.labels == [d.doc_id for d in collection.documents]
    assert (found.fm.document(0) == built.fm.document(0)).all()
  assert ngram_index.load_meta(tmp_path / 'a') == built.meta
  assert array_folder.read_meta(tmp_path / 'a')[0] == 'fm_index'
  assert identifiers.vocab_size(tmp_path / 'a') == built.vocab_size
  assert identifiers.are_ngrams(tmp_path / 'a')
  with pytest.raises(
    ValueError, match=r'with tokens of their own in .*, got te'
  ):
    identifiers.first_token(tmp_path / 'a')
  initial = embeddings.load(tmp_path / 'a')
  used = np.unique(np.concatenate(list(map(built.fm.document, range(3)))))
  used = used[used < built.marks.end]
  # A word enters as a unit vector and leaves in the same direction, but for the
  # last dimension, which enters as a constant and leaves by frequency.
  enters, leaves = initial.input_VxE[used], initial.output_VxE[used]
  assert np.allclose(np.linalg.norm(enters, axis=1), 1, atol=1e-5)
  topic = leaves[:, :-1] / np.linalg.norm(leaves[:, :-1], axis=1)[:, None]
  assert np.allclose(enters[:, :-1], topic * 0.96**0.5, atol=1e-5)
  counts = built.fm.count_batch(used[:, None])
  order = np.argsort(counts, kind='stable')
  assert (np.diff(leaves[order, -1]) >= 0).all()
  marks = list(built.marks.ids)
  assert not initial.input_VxE[marks].any()
  assert not initial.output_VxE[marks, :-1].any()


def test_a_fresh_writer_weighs_frequencies_by_topic():
  space = embeddings.LatentSpace(
    np.array([[3, 0], [0, 2], [0, 0]], np.float32),
    np.array([1, 2, 0], np.float32),
    np.zeros((1, 2), np.float32),
  )
  found = embeddings.initial_text_embeddings(
    space, 5, np.array([9, 0, 0, 4, 0])
  )
  constant, topic, prior = 0.2, 0.4, 0.05
  rest = (1 - constant**2) ** 0.5
  expected = [[rest, 0, constant], [0, rest, constant], [0, 0, 1]]
  assert np.allclose(found.input_VxE[:3], expected, atol=1e-6)
  assert not found.input_VxE[3:].any()
  logs = np.log([10, 1, 1, 5, 1])
  logs = (logs - logs[:3].mean()) * prior
  expected = [[topic, 0], [0, topic], [0, 0], [0, 0], [0, 0]]
  assert np.allclose(found.output_VxE, np.c_[expected, logs], atol=1e-6)
  assert found.idf_V.tolist() == [1, 2, 0, 0, 0]


def test_the_hash_tells_what_was_indexed(collection, tmp_path):
  first = make(collection, tmp_path / 'a')
  same = make(collection, tmp_path / 'b')
  assert first.hash == same.hash
  doc_id = collection.documents[0].doc_id
  more = make(collection, tmp_path / 'c', pseudo_queries={doc_id: ['one two']})
  other = make(collection, tmp_path / 'd', pseudo_queries={doc_id: ['two one']})
  wider = make(collection, tmp_path / 'e', text_tokens=500)
  assert wider.marks.end == 500
  assert len({x.hash for x in (first, more, other, wider)}) == 4


def test_latent_vectors_of_another_index_are_refused(collection, tmp_path):
  make(collection, tmp_path / 'a', dimensions=8)
  make(collection, tmp_path / 'b', text_tokens=500, dimensions=8)
  (tmp_path / 'a' / 'latent').rename(tmp_path / 'latent')
  (tmp_path / 'b' / 'latent').rename(tmp_path / 'a' / 'latent')
  with pytest.raises(ValueError, match='found those of others'):
    embeddings.load(tmp_path / 'a')
  # A new index takes the old vectors away.
  make(collection, tmp_path / 'a')
  assert not (tmp_path / 'a' / 'latent').exists()


def test_what_is_no_index_of_views(collection, tmp_path):
  docids_build.build(
    collection, tmp_path / 'table', vocabulary_size=120, dimensions=8
  )
  FMIndex.build([[3, 4]], 8).save(tmp_path / 'plain')
  for name, kind in (('table', 'docid_table'), ('plain', 'fm_index')):
    with pytest.raises(ValueError, match=f'found {kind!r} without; make one'):
      ngram_index.load(tmp_path / name)
  with pytest.raises(FileNotFoundError):
    identifiers.load(tmp_path / 'nothing')
  path = tmp_path / 'a' / vocabulary.VOCABULARY_FILE
  make(collection, tmp_path / 'a')
  vocabulary.train_vocabulary(['other words abc'], path, size=40)
  with pytest.raises(ValueError, match='Expected the vocabulary'):
    ngram_index.load(tmp_path / 'a')


def test_arguments_of_an_index(collection, tmp_path):
  for match, options in (
    ('Expected 0, 2 or more dimensions, got 1', {'dimensions': 1}),
    ('Expected text_tokens of at least', {'text_tokens': 3}),
    ("got 'nosplit'", {'queries_split': 'nosplit'}),
    ("1 are of others, first 'nobody'", {'pseudo_queries': {'nobody': ['a']}}),
  ):
    with pytest.raises(ValueError, match=match):
      make(collection, tmp_path / 'x', **options)
  with pytest.raises(ValueError, match='Expected documents to index'):
    make(dataclasses.replace(collection, documents=[]), tmp_path / 'x')
  assert not (tmp_path / 'x').exists()


def test_a_build_that_was_killed_starts_again(
  collection, tmp_path, monkeypatch
):
  with monkeypatch.context() as patched:
    patched.setattr(vocabulary, 'copy_vocabulary', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      make(collection, tmp_path / 'a')
  with pytest.raises(FileNotFoundError, match='Expected a SentencePiece model'):
    ngram_index.load(tmp_path / 'a')
  built = make(collection, tmp_path / 'a')
  assert ngram_index.load(tmp_path / 'a').hash == built.hash
  # Another index over it, killed likewise, is not taken for the old one.
  other = tmp_path / 'other.model'
  vocabulary.train_vocabulary(['some other words abc'], other, size=40)
  with monkeypatch.context() as patched:
    patched.setattr(vocabulary, 'copy_vocabulary', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      make(collection, tmp_path / 'a', vocabulary=other)
  with pytest.raises(ValueError, match='Expected the vocabulary'):
    ngram_index.load(tmp_path / 'a')


def test_a_run_takes_its_index_along(collection, tmp_path):
  index = make(collection, tmp_path / 'a', dimensions=8)
  run_folders.copy_docids(tmp_path / 'a', tmp_path / 'run')
  run_folders.copy_docids(tmp_path / 'a', tmp_path / 'run')
  assert identifiers.load(tmp_path / 'run').hash == index.hash
  # Building again beside it leaves the run's own as it was.
  other = make(collection, tmp_path / 'a', text_tokens=500)
  assert other.hash != index.hash
  assert identifiers.load(tmp_path / 'run').hash == index.hash
  with pytest.raises(ValueError, match='got others in'):
    run_folders.copy_docids(tmp_path / 'a', tmp_path / 'run')


def test_pseudo_queries_from_a_file_or_a_split(collection, tmp_path):
  one, two = (d.doc_id for d in collection.documents[:2])
  rows = [
    {'doc_id': one, 'queries': ['a', 'b']},
    {'doc_id': two, 'queries': []},
    {'doc_id': one, 'queries': ['c']},
  ]
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (tmp_path / 'q.jsonl').write_text(text)
  with gzip.open(tmp_path / 'q.jsonl.gz', 'wt') as file:
    file.write(text)
  for name in ('q.jsonl', 'q.jsonl.gz'):
    found = read_pseudo_queries(tmp_path / name, collection)
    assert found == {one: ['a', 'b', 'c']}
  assert read_pseudo_queries(None, collection) == {}
  found = read_pseudo_queries('train', collection)
  asked = collection.queries_by_document('train')
  assert found == {k: v for k, v in asked.items() if v}
  with pytest.raises(ValueError, match=r"or one of the splits .*, got 'nosp"):
    read_pseudo_queries('nosplit', collection)
  for line in ('{"doc_id": 1, "queries": []}', '{"doc_id": "a"}', '[]', 'x'):
    (tmp_path / 'bad.jsonl').write_text(text + line + '\n')
    with pytest.raises(ValueError, match=r'bad.jsonl.*4.*expected \{"doc_id"'):
      read_pseudo_queries(tmp_path / 'bad.jsonl', collection)
