# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From a collection to a folder of identifiers."""

import contextlib
import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest
import tiny_collection

from genret import embeddings, identifiers, vocabulary
from genret.corpus import Document
from genret.docids import build, clusters, growth
from genret.docids.table import DocidTable

SIZE = tiny_collection.SIZE


@pytest.fixture(scope='module')
def collection(tmp_path_factory):
  return tiny_collection.write(tmp_path_factory.mktemp('build') / 'corpus')


def make(collection, folder, **kwargs):
  defaults = {'vocabulary_size': 120, 'dimensions': 8}
  return build.build(collection, folder, **defaults | kwargs)


def options_of(scheme, documents, folder):
  """What a scheme cannot do without."""
  if scheme != 'description':
    return {}
  rows = [{'doc_id': d.doc_id, 'queries': [d.text]} for d in documents]
  file = folder / 'queries.jsonl'
  file.write_text('\n'.join(map(json.dumps, rows)))
  return {'queries': str(file), 'collisions': 'token'}


def contents(folder):
  return {
    path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in folder.rglob('*')
    if path.is_file()
  }


@pytest.mark.parametrize('scheme', build.schemes())
def test_the_folder_holds_what_training_needs(collection, tmp_path, scheme):
  documents = [
    dataclasses.replace(d, url=f'https://x/{d.doc_id}')
    for d in collection.documents
  ]
  collection = dataclasses.replace(collection, documents=documents)
  (tmp_path / 'more').mkdir()
  options = options_of(scheme, documents, tmp_path / 'more')
  arguments = {'scheme': scheme, 'seed': 3, 'options': options}
  table = make(collection, tmp_path / 'a', **arguments)
  found = dict(table.meta)
  settings = found.pop('settings')
  assert 0 <= found.pop(growth.COLLIDED, 0) <= 1
  assert settings['vocabulary_size'] == 120
  assert set(settings['files']) == set(options) & {'queries'}
  assert found == {
    'scheme': scheme,
    'options': options,
    'seed': 3,
    'corpus_hash': collection.hash,
    'text_tokens': vocabulary.load_vocabulary(tmp_path / 'a').get_piece_size(),
    'pieces': vocabulary.load_vocabulary(tmp_path / 'a').get_piece_size(),
    'vocabulary_hash': hashlib.sha256(
      (tmp_path / 'a' / 'spiece.model').read_bytes()
    ).hexdigest(),
  }
  loaded = DocidTable.load(tmp_path / 'a')
  assert (loaded.hash, loaded.meta) == (table.hash, table.meta)
  assert loaded.doc_ids == tuple(d.doc_id for d in collection.documents)
  assert identifiers.vocab_size(tmp_path / 'a') == table.vocab_size
  initial = embeddings.load(tmp_path / 'a')
  assert initial.input_VxE.shape == (table.vocab_size, 8)
  # The same again, to the last byte.
  make(collection, tmp_path / 'b', **arguments)
  assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
  assert {path.name for path in tmp_path.iterdir()} == {'a', 'b', 'more'}


def test_identifiers_have_tokens_of_their_own_or_are_text(collection, tmp_path):
  table = make(collection, tmp_path / 'a', scheme='atomic')
  assert identifiers.first_token(tmp_path / 'a') == table.token_rows_DxL.min()
  make(collection, tmp_path / 'b', scheme='naive')
  with pytest.raises(ValueError, match='got text; use another scheme, such as'):
    identifiers.first_token(tmp_path / 'b')


def test_the_latent_vectors_are_those_of_the_corpus(collection, tmp_path):
  table = make(collection, tmp_path)
  pieces = vocabulary.load_vocabulary(tmp_path)
  space = embeddings.latent_semantic_analysis(
    pieces.encode([f'{d.title}\n{d.text}' for d in collection.documents]),
    pieces.get_piece_size(),
    dimensions=7,
  )
  expected = embeddings.initial_embeddings(space, table)
  for a, b in zip(embeddings.load(tmp_path), expected, strict=True):
    np.testing.assert_array_equal(a, b)


def test_queries_of_a_split_count_as_text_of_what_they_ask_for(tmp_path):
  documents = [Document('a', '', 'one two'), Document('b', '', 'three four')]
  collection = dataclasses.replace(
    tiny_collection.write(tmp_path / 'corpus', count=2),
    documents=documents,
    queries={'q': 'zebra', 'r': 'yak', 's': 'xylophone'},
    qrels={
      'train': {'q': {'b': 2, 'gone': 1}, 'r': {'a': 0}, 'gone': {'a': 1}},
      'dev': {'s': {'a': 1}},
    },
  )
  for split, seen in (
    (None, {'zebra': False, 'yak': False, 'xylophone': False}),
    ('train', {'zebra': True, 'yak': False, 'xylophone': False}),
    ('dev', {'zebra': False, 'yak': False, 'xylophone': True}),
  ):
    make(collection, tmp_path / 'docids', queries_split=split)
    pieces = vocabulary.load_vocabulary(tmp_path / 'docids')
    idf_V = embeddings.load(tmp_path / 'docids').idf_V
    for word, expected in seen.items():
      row = pieces.encode(word)
      # A word that is not in the text has letters that are in no piece.
      assert (vocabulary.UNK_ID not in row) == expected
      assert not expected or idf_V[row].all()
  by_document = collection.queries_by_document('train')
  assert by_document == {'a': [], 'b': ['zebra']}


@pytest.mark.parametrize('as_folder', [True, False])
def test_a_given_vocabulary_is_taken_along(collection, tmp_path, as_folder):
  path = tmp_path / 'own' / vocabulary.VOCABULARY_FILE
  vocabulary.train_vocabulary(['seven seas abcdefghijklmnopqrstuvwxyz'], path)
  given = path.parent if as_folder else str(path)
  table = make(collection, tmp_path / 'docids', vocabulary=given)
  copied = tmp_path / 'docids' / vocabulary.VOCABULARY_FILE
  assert copied.read_bytes() == path.read_bytes()
  size = vocabulary.load_vocabulary(path).get_piece_size()
  assert table.token_rows_DxL.min() == table.meta['text_tokens'] == size


def test_text_may_take_more_rows_than_it_has_pieces(collection, tmp_path):
  table = make(collection, tmp_path, text_tokens=300)
  assert table.token_rows_DxL[:, 0].tolist() == list(range(300, 300 + SIZE))
  assert table.vocab_size == 384
  with pytest.raises(
    ValueError, match=r'text_tokens of at least \d+, the pieces .* got 12\.'
  ):
    make(collection, tmp_path, text_tokens=12)


def test_given_vectors_are_clustered(collection, tmp_path):
  """Two far groups that the text does not tell."""
  vectors = np.arange(SIZE)[:, None] * np.ones((1, 3)) + 1000 * (
    np.arange(SIZE) % 2
  ).reshape(-1, 1)
  table = make(
    collection,
    tmp_path,
    scheme='hierarchical-kmeans',
    vectors=vectors,
    options={'k': 2, 'c': 20},
    seed=1,
  )
  first = table.token_rows_DxL[:, 0]
  assert len(set(first[::2])) == len(set(first[1::2])) == 1
  assert first[0] != first[1]
  digit_DxL, _ = clusters.hierarchical_clusters(vectors, k=2, c=20, seed=1)
  assert table.lengths_D.tolist() == (digit_DxL >= 0).sum(1).tolist()
  assert table.meta['options'] == {'k': 2, 'c': 20}


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      {'scheme': 'best'},
      r"one of the schemes atomic, description, .*, got 'best'\.",
    ),
    (
      {'options': {'k': 3}},
      r'options of the scheme atomic \(it has none\), got k=3\.',
    ),
    (
      {'options': {'seed': 3}},
      r'options of the scheme atomic \(it has none\), got seed=3',
    ),
    (
      {'scheme': 'hierarchical-kmeans', 'options': {'k': 1}},
      'Expected k >= 2 and c >= 1, got k=1, c=100',
    ),
    (
      {'vectors': np.ones((3, 2))},
      rf'vectors \[{SIZE}, any\], .*, got shape \(3, 2\); embed the corpus',
    ),
    ({'vectors': np.ones(SIZE)}, rf'got shape \({SIZE},\); embed'),
    ({'dimensions': 1}, r'Expected 2 dimensions or more, got 1\.'),
    ({'queries_split': 'test'}, r"the splits (train|dev), \w+, got 'test'\."),
    ({'vocabulary_size': 3}, 'at least 16 pieces'),
  ],
)
def test_a_mistake_leaves_the_folder_as_it_was(
  collection, tmp_path, arguments, message
):
  folder = tmp_path / 'docids'
  make(collection, folder)
  before = contents(tmp_path)
  with pytest.raises(ValueError, match=message):
    make(collection, folder, **{'vocabulary_size': 45} | arguments)
  assert contents(tmp_path) == before
  with pytest.raises(ValueError, match=message):
    make(collection, tmp_path / 'new', **arguments)
  assert not (tmp_path / 'new').exists()


def test_a_collection_without_documents(collection, tmp_path):
  empty = dataclasses.replace(collection, documents=[])
  with pytest.raises(
    ValueError, match=r'documents to name, corpus has none; check its corpus\.j'
  ):
    make(empty, tmp_path / 'docids')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('scheme', build.schemes())
def test_few_and_equal_documents(collection, tmp_path, scheme, count):
  few = dataclasses.replace(
    collection,
    documents=[Document(f'e{i}', *['same'] * 3) for i in range(count)],
  )
  options = options_of(scheme, few.documents, tmp_path)
  table = make(few, tmp_path, scheme=scheme, options=options)
  assert len(DocidTable.load(tmp_path)) == len(table) == count
  assert table.collision_rate == 0
  assert np.isfinite(embeddings.load(tmp_path).input_VxE).all()


def test_the_control_is_another_build_where_its_table_is(collection, tmp_path):
  options = {'like': str(tmp_path / 'like')}
  hashes = []
  for k in (3, 5):
    make(
      collection, tmp_path / 'like', scheme='pq', options={'k': k, 'parts': 2}
    )
    table = make(
      collection,
      tmp_path / str(k),
      scheme='random-codes',
      options=options,
      vocabulary=tmp_path / 'like' / 'spiece.model',
    )
    assert set(table.meta['settings']['files']) == {'like'}
    hashes.append(table.meta['settings']['files']['like'])
    like = DocidTable.load(tmp_path / 'like')
    assert sorted(table.token_rows_DxL.tolist()) == sorted(
      like.token_rows_DxL.tolist()
    )
  assert hashes[0] != hashes[1]


def test_a_folder_is_replaced_and_other_files_in_it_stay(collection, tmp_path):
  make(collection, tmp_path)
  (tmp_path / 'notes.txt').write_text('mine')
  few = dataclasses.replace(collection, documents=collection.documents[:4])
  table = make(few, tmp_path, scheme='naive', dimensions=5)
  assert DocidTable.load(tmp_path).hash == table.hash
  assert embeddings.load(tmp_path).input_VxE.shape == (table.vocab_size, 5)
  assert (tmp_path / 'notes.txt').read_text() == 'mine'
  arrays = [p.name for p in tmp_path.glob('*.npy')]
  assert len(arrays) == 4, arrays


@pytest.mark.parametrize('stage', ['table', 'latent'])
def test_an_interrupted_build_leaves_nothing_that_loads(
  collection, tmp_path, monkeypatch, stage
):
  def interrupt(*_, **__):
    raise KeyboardInterrupt

  if stage == 'table':
    monkeypatch.setattr(DocidTable, 'save', interrupt)
  else:
    monkeypatch.setattr(embeddings, 'save', interrupt)
  with pytest.raises(KeyboardInterrupt):
    make(collection, tmp_path)
  with pytest.raises(
    (ValueError, FileNotFoundError), match=re.escape(str(tmp_path))
  ):
    embeddings.load(tmp_path)


def text_of(folder):
  meta = DocidTable.load(folder).meta
  return meta, vocabulary.load_vocabulary(folder, meta).serialized_model_proto()


def latent_of(folder):
  return [array.tobytes() for array in embeddings.load(folder)]


def parts_that_load(folder):
  """What the checked readers make of a folder."""
  found = {}
  for name, read in (('text', text_of), ('latent', latent_of)):
    with contextlib.suppress(ValueError, FileNotFoundError):
      found[name] = read(folder)
  return found


@pytest.mark.parametrize('stage', ['vocabulary', 'table', 'latent'])
def test_an_interrupted_build_into_a_folder_leaves_no_mixture(
  collection, tmp_path, monkeypatch, stage
):
  """Both builds give the same identifiers, to their words alone they differ."""
  kwargs = {'text_tokens': 128, 'scheme': 'atomic'}
  old, new = tmp_path / 'docids', tmp_path / 'whole'
  hashes = {
    make(collection, old, vocabulary_size=120, **kwargs).hash,
    make(collection, new, vocabulary_size=45, **kwargs).hash,
  }
  assert len(hashes) == 1
  whole = [parts_that_load(folder) for folder in (old, new)]
  assert [set(parts) for parts in whole] == [{'text', 'latent'}] * 2

  def interrupt(*_, **__):
    raise KeyboardInterrupt

  target, name = {
    'vocabulary': (vocabulary, 'copy_vocabulary'),
    'table': (DocidTable, 'save'),
    'latent': (embeddings, 'save'),
  }[stage]
  with monkeypatch.context() as patched:
    patched.setattr(target, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
      make(collection, old, vocabulary_size=45, **kwargs)
  left = parts_that_load(old)
  assert left in (
    {key: parts[key] for key in chosen}
    for parts in whole
    for chosen in ((), ('text',), ('text', 'latent'))
  )
  # A build that ends makes it whole again.
  make(collection, old, vocabulary_size=45, **kwargs)
  assert set(parts_that_load(old)) == {'text', 'latent'}


def test_vectors_of_somebody_else_stay(collection, tmp_path):
  (tmp_path / 'latent').mkdir()
  (tmp_path / 'latent' / 'mine.txt').write_text('mine')
  make(collection, tmp_path)
  assert (tmp_path / 'latent' / 'mine.txt').read_text() == 'mine'
