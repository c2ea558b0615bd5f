# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Documents that are added: the old keep their names, the new ones fit in."""

import dataclasses
import json
import re

import numpy as np
import pytest
import threadpoolctl
import tiny_collection
from hypothesis import given, settings
from hypothesis import strategies as st

from genret import embeddings, vocabulary
from genret.corpus import Document, documents_hash
from genret.docids import (
  build,
  clusters,
  codes,
  corpus_texts,
  growth,
  quantise,
)
from genret.docids.table import DocidTable

SCHEMES = build.schemes()
FIRST = 200
# Arguments under which a small corpus is large, and documents collide.
SMALL = {
  'hierarchical-kmeans': {'k': 3, 'c': 2},
  'hierarchical-kmeans-2d': {'k': 3, 'c': 2},
  'pq': {'parts': 2, 'k': 3},
  'random-codes': {'levels': 3, 'k': 5},
  'rq-kmeans': {'levels': 2, 'k': 3},
  'rq-vae': {'levels': 2, 'k': 3, 'width': 2, 'steps': 3, 'batch_size': 9},
}
CLUSTERED = sorted(set(SMALL) - {'random-codes'})
TREES = ['hierarchical-kmeans', 'hierarchical-kmeans-2d']


@pytest.fixture(autouse=True, scope='module')
def one_thread():
  """The machine may be shared, and k-means waits for its slowest thread."""
  with threadpoolctl.threadpool_limits(1):
    yield


def draw(count, seed=0):
  vectors = np.random.default_rng(seed).normal(size=(count, 4))
  return vectors.astype(np.float32)


def documents(first, count):
  """Some have equal titles and addresses."""
  return [
    Document(f'd{i}', str(i % 7), 'word', f'http://{i % 7}')
    for i in range(first, first + count)
  ]


@pytest.fixture(scope='module')
def queries(tmp_path_factory):
  """A file of pseudo-queries, some of which are equal."""
  file = tmp_path_factory.mktemp('queries') / 'queries.jsonl'
  rows = [{'doc_id': f'd{i}', 'queries': [str(i % 5)]} for i in range(60)]
  file.write_text('\n'.join(map(json.dumps, rows)))
  return str(file)


def name(scheme, some, vectors_DxE, queries=None, old=None, **options):
  if scheme == 'description':
    known = {d.doc_id for d in some} | set(old.doc_ids if old else ())
    lines = [
      line
      for line in open_lines(queries)
      if json.loads(line)['doc_id'] in known
    ]
    file = f'{queries}.{len(known)}'
    with open(file, 'w') as out:
      out.write('\n'.join(lines))
    options = {'queries': file, 'collisions': 'token', **options}
  return SCHEMES[scheme](
    some,
    tiny_collection.pieces(),
    first_token=FIRST,
    vectors=lambda: vectors_DxE,
    old=old,
    **options,
  )


def open_lines(path):
  with open(path) as file:
    return file.read().splitlines()


def identifiers(table):
  rows = zip(table.token_rows_DxL.tolist(), table.lengths_D, strict=True)
  return [tuple(row[:length]) for row, length in rows]


def pairs(old, new):
  """(identifiers, numbers and all; lengths) of the old documents in both."""
  return identifiers(old), identifiers(new)[: len(old)]


@pytest.mark.parametrize('scheme', sorted(SCHEMES))
@pytest.mark.parametrize('corpus', ['drawn', 'equal'])
def test_contract(scheme, corpus, queries):
  """Three times documents come, once none."""
  vectors = draw(40) if corpus == 'drawn' else np.ones((40, 4), np.float32)
  options = SMALL.get(scheme, {})
  table, end = None, 0
  for count in (20, 13, 0, 7):
    some = documents(end, count)
    old, rows = table, slice(end, end + count)
    table = name(scheme, some, vectors[rows], queries, old, **options)
    end += count
    assert table.doc_ids == tuple(f'd{i}' for i in range(end))
    assert table.collision_rate == 0
    assert table.token_rows_DxL.max() < table.vocab_size
    assert table.vocab_size % 128 == 0
    if old is None:
      continue
    before, after = pairs(old, table)
    assert after == before
    assert table.vocab_size >= old.vocab_size
    # The same again.
    again = name(scheme, some, vectors[rows], queries, old, **options)
    assert again.hash == table.hash
    if not count:
      assert table.hash == old.hash
  found = table.documents(table.token_rows_DxL, table.lengths_D)
  assert [hits.tolist() for hits in found] == [[i] for i in range(40)]


@pytest.mark.parametrize('scheme', ['atomic', 'title', 'url', 'description'])
def test_added_later_or_at_once(scheme, queries):
  """Where names follow the order of the corpus, it makes no difference."""
  vectors = draw(30)
  whole = name(scheme, documents(0, 30), vectors, queries)
  table = name(scheme, documents(0, 11), vectors[:11], queries)
  for first, last in ((11, 12), (12, 30)):
    some = documents(first, last - first)
    table = name(scheme, some, vectors[first:last], queries, table)
  assert table.hash == whole.hash


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(0, 30), st.integers(0, 2))
def test_naive_numbers_go_on(count, more, seed):
  table = name('naive', documents(0, count), draw(count), seed=seed)
  table = name('naive', documents(count, more), draw(more), old=table)
  spelled = tiny_collection.pieces().decode(list(map(list, identifiers(table))))
  numbers = list(map(int, spelled))
  assert sorted(numbers[:count]) == list(range(count))
  assert sorted(numbers[count:]) == list(range(count, count + more))


@pytest.mark.parametrize('scheme', CLUSTERED)
def test_what_is_equal_goes_the_same_way(scheme):
  """A copy of a document differs in its number alone."""
  vectors, options = draw(30), SMALL[scheme]
  old = name(scheme, documents(0, 30), vectors, **options)
  order = np.random.default_rng(1).permutation(30)
  copies = name(scheme, documents(30, 30), vectors[order], old=old, **options)
  found = identifiers(copies)
  for row, number in enumerate(order):
    assert found[30 + row][:-1] == found[number][:-1]
    assert len(found[30 + row]) == len(found[number])


@pytest.mark.parametrize('collisions', ['share', 'sinkhorn'])
def test_codes_may_be_shared(collisions):
  vectors = draw(40)
  options = {'levels': 2, 'k': 4, 'collisions': collisions}
  old = name('rq-kmeans', documents(0, 20), vectors[:20], **options)
  table = name('rq-kmeans', documents(20, 20), vectors[20:], old=old, **options)
  before, after = pairs(old, table)
  assert before == after
  books = [old.state[f'codebook_{level}'] for level in range(2)]
  plain = quantise.residual_codes(vectors[20:], books)
  code = codes.codes_of(table, [4, 4], FIRST)[20:]
  taken = codes.codes_of(old, [4, 4], FIRST).tolist()
  if collisions == 'share':
    assert code.tolist() == plain.tolist()
    return
  assert code[:, 0].tolist() == plain[:, 0].tolist()
  assert any(row in taken for row in plain.tolist())
  for first in range(4):
    mine = code[code[:, 0] == first].tolist()
    closed = [row for row in taken if row[0] == first]
    free = 4 - len({row[1] for row in closed})
    # All that is free is used before anything is shared.
    apart = {tuple(row) for row in mine if row not in closed}
    assert len(apart) == min(free, len(mine))


def test_one_that_gives_way_takes_the_nearest_free_code():
  books = [np.zeros((1, 1), np.float32), np.arange(5, dtype='f4')[:, None]]
  taken = np.array([[0, 2], [0, 3]])
  vectors = np.array([[2.2], [4.1]], np.float32)
  found = quantise.sinkhorn_codes(vectors, books, taken_MxL=taken)
  assert found.tolist() == [[0, 1], [0, 4]]


@pytest.mark.parametrize('scheme', TREES)
def test_a_tree_is_descended_by_the_nearest_centroids(scheme):
  vectors = draw(90)
  old = name(scheme, documents(0, 50), vectors[:50], k=3, c=4)
  table = name(scheme, documents(50, 40), vectors[50:], old=old, k=3, c=4)
  tree = clusters.Tree(*(old.state[field] for field in clusters._KEPT))
  step = int(old.state['sizes'][0]) if scheme.endswith('2d') else 0
  seen = [
    tuple(token - FIRST - step * i for i, token in enumerate(row[:-1]))
    for row in identifiers(old)
  ]
  for vector, row in zip(vectors[50:], identifiers(table)[50:], strict=True):
    group, path = 0, ()
    while group >= 0:
      parts = range(tree.first_M1[group], tree.first_M1[group + 1])
      part = min(
        parts,
        key=lambda i: ((vector - tree.centroid_CxE[i]) ** 2).sum(),
      )
      path += (int(tree.digit_C[part]),)
      group = tree.group_C[part]
    found = tuple(token - FIRST - step * i for i, token in enumerate(row[:-1]))
    assert found == path
    number = row[-1] - FIRST - step * len(path)
    # Beyond the old digits a position of its own has tokens behind all others.
    assert number == seen.count(path) or (step and seen.count(path) >= step)
    seen.append(path)
  assert max(seen.count(path) for path in seen) > 4


def test_digits_of_positions_stay_apart():
  vectors = np.repeat(draw(3), 30, 0)[np.random.default_rng(0).permutation(90)]
  table, end = None, 0
  for count in (12, 40, 38):
    table = name(
      'hierarchical-kmeans-2d',
      documents(end, count),
      vectors[end : end + count],
      old=table,
      k=3,
      c=4,
    )
    end += count
  rows = identifiers(table)
  longest = max(map(len, rows))
  seen = [{row[i] for row in rows if len(row) > i} for i in range(longest)]
  for i in range(longest):
    assert not any(seen[i] & seen[j] for j in range(i))
  assert len(table.state['later']) > 10
  assert len(np.unique(table.state['later'], axis=0)) == len(
    table.state['later']
  )


def test_random_codes_run_out():
  table = name('random-codes', documents(0, 6), draw(6), levels=2, k=3)
  full = name(
    'random-codes', documents(6, 3), draw(3), old=table, levels=2, k=3
  )
  assert len(set(identifiers(full))) == 9
  with pytest.raises(
    ValueError, match=r'at least 10 documents, got 3\^2; index from scratch wi'
  ):
    name('random-codes', documents(6, 4), draw(4), old=table, levels=2, k=3)


def test_random_codes_are_drawn_again_where_they_are_taken():
  options = {'levels': 2, 'k': 30}
  drawn = name('random-codes', documents(0, 150), draw(150), **options)
  table = name(
    'random-codes', documents(150, 60), draw(60), old=drawn, **options
  )
  assert len(set(identifiers(table))) == 210
  # Without the first ones some would have been theirs.
  none = DocidTable([], np.zeros((0, 2), int), [], 384)
  alone = name(
    'random-codes', documents(150, 60), draw(60), old=none, **options
  )
  assert len(set(identifiers(drawn)) | set(identifiers(alone))) < 210


def test_a_state_comes_back_from_its_folder(tmp_path):
  vectors, options = draw(60), SMALL['rq-vae']
  old = name('rq-vae', documents(0, 40), vectors[:40], **options)
  old.save(tmp_path)
  loaded = DocidTable.load(tmp_path)
  assert loaded.state.keys() == old.state.keys()
  for key, array in old.state.items():
    np.testing.assert_array_equal(loaded.state[key], array)
  tables = [
    name('rq-vae', documents(40, 20), vectors[40:], old=table, **options)
    for table in (old, loaded)
  ]
  assert tables[0].hash == tables[1].hash


def test_rows_under_each_other():
  above, below = np.array([[5, 2]]), np.array([[3], [4]])
  assert growth.stacked(above, below, -1).tolist() == [[5, 2], [3, -1], [4, -1]]
  found = growth.table([Document('a')], below[:1], np.array([1]), 128)
  grown = growth.table(
    [Document('b')], above, np.array([2]), 6, old=found, state={'x': above}
  )
  assert identifiers(grown) == [(3,), (5, 2)]
  assert grown.vocab_size == 128
  assert grown.state.keys() == {'x'}


# --- Folders.


@pytest.fixture(scope='module')
def collection(tmp_path_factory):
  return tiny_collection.write(tmp_path_factory.mktemp('extend') / 'corpus')


def part(collection, rows):
  chosen = [collection.documents[i] for i in rows]
  return dataclasses.replace(
    collection, documents=chosen, hash=documents_hash(chosen)
  )


def make(collection, folder, **kwargs):
  """The first twenty documents."""
  defaults = {'vocabulary_size': 120, 'dimensions': 8, 'text_tokens': 200}
  return build.build(part(collection, range(20)), folder, **defaults | kwargs)


ARGUMENTS = {
  'scheme': 'rq-kmeans',
  'options': {'levels': 2, 'k': 4},
  'seed': 3,
  'queries_split': 'train',
}


def test_a_folder_grows(collection, tmp_path):
  old = make(collection, tmp_path / 'old', **ARGUMENTS)
  order = np.random.default_rng(0).permutation(30)
  larger = part(collection, order)
  # A document that has changed keeps its name.
  larger.documents[int(np.flatnonzero(order == 4)[0])] = Document('d4', 'new')
  table = build.extend(tmp_path / 'old', larger, tmp_path / 'new')
  assert table.doc_ids == tuple(d.doc_id for d in larger.documents)
  names = dict(zip(table.doc_ids, identifiers(table), strict=True))
  for doc_id, row in zip(old.doc_ids, identifiers(old), strict=True):
    assert names[doc_id] == row
  assert table.collision_rate == 0
  assert table.meta['corpus_hash'] == larger.hash
  assert table.meta['settings']['extends'] == old.hash
  assert table.meta['scheme'] == 'rq-kmeans'
  loaded = DocidTable.load(tmp_path / 'new')
  assert (loaded.hash, loaded.meta) == (table.hash, table.meta)
  # The words are the old ones, and so is what they mean.
  pieces = vocabulary.load_vocabulary(tmp_path / 'new', loaded.meta)
  first, last = (embeddings.load(tmp_path / x) for x in ('old', 'new'))
  size = pieces.get_piece_size()
  np.testing.assert_allclose(
    first.input_VxE[:size], last.input_VxE[:size], atol=1e-6
  )
  np.testing.assert_array_equal(first.idf_V[:size], last.idf_V[:size])
  assert len(last.input_VxE) == table.vocab_size
  # New documents stand where their words are: codes by hand.
  space = embeddings.latent_space(first, size)
  queries = larger.queries_by_document('train')
  new = [d for d in larger.documents if d.doc_id not in old.doc_ids]
  texts = ['\n'.join([d.title, d.text, *queries[d.doc_id]]) for d in new]
  books = [old.state[f'codebook_{level}'] for level in range(2)]
  code = quantise.residual_codes(
    embeddings.fold_in(space.token_VxE, pieces.encode(texts)), books
  )
  for document, row in zip(new, code, strict=True):
    tokens = [200 + row[0], 200 + len(books[0]) + row[1]]
    assert list(names[document.doc_id][:2]) == tokens
  # Once more, from what has grown, by nothing.
  again = build.extend(tmp_path / 'new', larger, tmp_path / 'again')
  assert again.hash == table.hash


def test_texts_fold_in_where_they_were(collection, monkeypatch):
  pieces = tiny_collection.pieces()
  rows = pieces.encode([d.text for d in collection.documents])
  space = embeddings.latent_semantic_analysis(
    [*rows, []], pieces.get_piece_size(), dimensions=6
  )
  for block in (10_000, 7):
    monkeypatch.setattr(embeddings, '_BLOCK', block)
    folded = embeddings.fold_in(space.token_VxE, [*rows, []])
    np.testing.assert_allclose(folded, space.document_DxE, atol=1e-5)
  # The space is what a model's start keeps.
  table = name('atomic', documents(0, 31), draw(31))
  initial = embeddings.initial_embeddings(space, table)
  kept = embeddings.latent_space(initial, len(space.token_VxE))
  np.testing.assert_allclose(kept.token_VxE, space.token_VxE, atol=1e-6)
  np.testing.assert_array_equal(kept.idf_V, space.idf_V)


def test_given_vectors_go_on(collection, tmp_path):
  vectors = draw(30)
  make(collection, tmp_path / 'old', vectors=vectors[:20], **ARGUMENTS)
  table = build.extend(
    tmp_path / 'old', collection, tmp_path / 'new', vectors=vectors
  )
  books = [table.state[f'codebook_{level}'] for level in range(2)]
  expected = quantise.residual_codes(vectors, books)
  sizes = list(map(len, books))
  assert codes.codes_of(table, sizes, 200).tolist() == expected.tolist()
  for wrong, message in (
    (None, 'Expected vectors of 4 numbers, .* got no vectors; new documents'),
    (vectors[:, :3], 'Expected vectors of 4 numbers, .*, got vectors of 3'),
    (vectors[:9], r'vectors \[30, any\], one for each document, got shape'),
  ):
    with pytest.raises(ValueError, match=message):
      build.extend(tmp_path / 'old', collection, tmp_path / 'x', vectors=wrong)
  make(collection, tmp_path / 'latent', **ARGUMENTS)
  with pytest.raises(ValueError, match=r'Expected no vectors, as .* was built'):
    build.extend(
      tmp_path / 'latent', collection, tmp_path / 'x', vectors=vectors
    )
  assert not (tmp_path / 'x').exists()


def test_a_file_of_queries_may_be_another(collection, tmp_path):
  rows = [
    json.dumps({'doc_id': d.doc_id, 'queries': [d.title]})
    for d in collection.documents
  ]
  files = [tmp_path / 'few.jsonl', tmp_path / 'all.jsonl']
  for file, count in zip(files, (20, 30), strict=True):
    file.write_text('\n'.join(rows[:count]))
  few, every = map(str, files)
  arguments = {'scheme': 'description', 'options': {'queries': few}}
  old = make(collection, tmp_path / 'old', **arguments)
  with pytest.raises(ValueError, match="10 have none, first 'd20'; draw more"):
    build.extend(tmp_path / 'old', collection, tmp_path / 'new')
  table = build.extend(
    tmp_path / 'old', collection, tmp_path / 'new', options={'queries': every}
  )
  before, after = pairs(old, table)
  assert before == after
  assert table.meta['options'] == {'queries': every}
  with pytest.raises(
    ValueError, match=r'name files \(queries\), got max_tokens; the others are'
  ):
    build.extend(
      tmp_path / 'old',
      collection,
      tmp_path / 'new',
      options={'max_tokens': 3},
    )


def test_what_cannot_be_extended(collection, tmp_path, monkeypatch):
  folder = tmp_path / 'old'
  table = make(collection, folder)

  def extended(message, corpus=collection, output='new'):
    with pytest.raises(ValueError, match=message):
      build.extend(folder, corpus, tmp_path / output)
    assert not (tmp_path / 'new').exists()
    assert DocidTable.load(folder).hash == table.hash

  few = part(collection, [*range(3, 10), *range(12, 30)])
  extended(
    r"in the larger corpus, 5 are missing, first 'd0'; keep them, or index",
    few,
  )
  extended('Expected another folder than', output='old')

  def fixed(documents, vocabulary, *, first_token, vectors, seed):
    raise AssertionError

  with monkeypatch.context() as patched:
    patched.setattr(build, 'schemes', lambda: {'atomic': fixed})
    extended('a scheme that can add documents, atomic cannot; index the larger')
  meta = {k: v for k, v in table.meta.items() if k != 'settings'}
  dataclasses.replace(table, meta=meta).save(folder)
  extended('are of an older version of genret; index the corpus from scratch')
  table.save(folder)
  initial = embeddings.load(folder)
  embeddings.save(folder, initial._replace(norm_V=None), table.hash)
  extended('of an older version of genret, or of n-grams; index from scratch')
  embeddings.save(folder, initial, table.hash)
  assert len(build.extend(folder, collection, tmp_path / 'new')) == 30


# --- Much at a time.


@pytest.mark.parametrize('scheme', CLUSTERED)
def test_blocks_change_nothing(scheme, monkeypatch, tmp_path):
  """Of vectors in memory, or in a file a few at a time."""
  vectors, options = draw(60), SMALL[scheme]
  whole = name(scheme, documents(0, 60), vectors, **options)
  added = name(scheme, documents(60, 60), vectors, old=whole, **options)
  np.save(tmp_path / 'vectors.npy', vectors)
  mapped = np.load(tmp_path / 'vectors.npy', mmap_mode='r')
  monkeypatch.setattr(quantise, '_DISTANCES', 30)
  assert len(list(quantise.blocks(60, 4))) == 9
  table = name(scheme, documents(0, 60), mapped, **options)
  assert table.hash == whole.hash
  grown = name(scheme, documents(60, 60), mapped, old=table, **options)
  assert grown.hash == added.hash


@pytest.mark.parametrize('scheme', CLUSTERED)
def test_centroids_of_a_sample(scheme, monkeypatch):
  monkeypatch.setattr(quantise, '_SAMPLE', 25)
  vectors, options = draw(60), SMALL[scheme]
  seen, fit = [], quantise.kmeans_centroids

  def spied(vector_NxE, k, **arguments):
    seen.append(len(vector_NxE))
    return fit(vector_NxE, k, **arguments)

  monkeypatch.setattr(quantise, 'kmeans_centroids', spied)
  table = name(scheme, documents(0, 60), vectors, **options)
  assert table.collision_rate == 0
  assert max(seen) == 25


def test_rows_of_a_sample():
  assert quantise.sample_rows(5).tolist() == [0, 1, 2, 3, 4]
  some = quantise.sample_rows(100, 1, most=10)
  assert len(set(some.tolist())) == 10
  assert (np.diff(some) > 0).all()
  assert some.tolist() != quantise.sample_rows(100, 2, most=10).tolist()


def test_a_corpus_beyond_the_sample_folds_in(collection, tmp_path, monkeypatch):
  monkeypatch.setattr(quantise, '_SAMPLE', 20)
  table = build.build(
    collection, tmp_path, vocabulary_size=120, dimensions=8, scheme='atomic'
  )
  pieces = vocabulary.load_vocabulary(tmp_path)
  rows = pieces.encode([f'{d.title}\n{d.text}' for d in collection.documents])
  some = quantise.sample_rows(30, 0)
  space = embeddings.latent_semantic_analysis(
    [rows[i] for i in some], pieces.get_piece_size(), dimensions=7
  )
  expected = embeddings.fold_in(space.token_VxE, rows)
  tokens = table.token_rows_DxL[:, 0]
  found = embeddings.load(tmp_path).output_VxE[tokens, :-1]
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_vocabulary_is_trained_on_a_sample(monkeypatch):
  some = documents(0, 30)
  queries = [[f'query {i}'] for i in range(30)]
  for most, rows in ((30, range(30)), (4, quantise.sample_rows(30, 1, most=4))):
    monkeypatch.setattr(corpus_texts, '_VOCABULARY_SAMPLE', most)
    assert list(corpus_texts.vocabulary_texts(some, queries, 1)) == [
      *(f'{some[i].title}\nword' for i in rows),
      *(some[i].url for i in rows),
      *(f'query {i}' for i in rows),
    ]


def test_a_message_is_one_sentence():
  with pytest.raises(ValueError) as caught:
    name('random-codes', documents(0, 9), draw(9), levels=1, k=3)
  assert re.fullmatch(r'Expected [^\n]*\.', str(caught.value))
