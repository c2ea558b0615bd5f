# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Every identifier scheme keeps one contract; some promise more."""

import atexit
import functools
import json
import pathlib
import tempfile

import numpy as np
import pytest
import threadpoolctl
import tiny_collection
from hypothesis import given, settings
from hypothesis import strategies as st

from genret import vocabulary
from genret.corpus import Document
from genret.docids import atomic, build, clusters, digits, quantise, text
from genret.docids.table import DocidTable

SCHEMES = build.schemes()
# Schemes that write identifiers in the pieces of the text vocabulary.
TEXT_SCHEMES = {'description', 'naive', 'title', 'url'}
# Schemes under which several documents may share an identifier.
MAY_COLLIDE: set[str] = set()
# Arguments under which a small corpus is large.
SMALL = {
  'hierarchical-kmeans': {'k': 3, 'c': 2},
  'hierarchical-kmeans-2d': {'k': 3, 'c': 2},
  'pq': {'parts': 2, 'k': 3, 'rotate': False},
  'random-codes': {'levels': 3, 'k': 5},
  'rq-kmeans': {'levels': 2, 'k': 3},
  'rq-vae': {'levels': 2, 'k': 3, 'width': 2, 'steps': 3, 'batch_size': 9},
}
# Where the defaults take too long, or want more dimensions, for a test.
DEFAULTS = {'pq': {'parts': 2}, 'rq-vae': {'steps': 20}}
FIRST = 200  # text ends below it; more than the vocabulary's pieces

every_scheme = pytest.mark.parametrize('scheme', sorted(SCHEMES))


@pytest.fixture(autouse=True, scope='module')
def one_thread():
  """The machine may be shared, and k-means waits for its slowest thread."""
  with threadpoolctl.threadpool_limits(1):
    yield


def make(scheme, vectors_DxE, seed=0, **options) -> DocidTable:
  if scheme == 'description':
    options = {'queries': described(len(vectors_DxE)), **options}
  documents = [
    Document(f'd{i}', str(i), 'word', f'http://{i}')
    for i in range(len(vectors_DxE))
  ]
  return SCHEMES[scheme](
    documents,
    tiny_collection.pieces(),
    first_token=FIRST,
    vectors=lambda: vectors_DxE,
    seed=seed,
    **options,
  )


@functools.cache
def described(count) -> str:
  """A file of pseudo-queries of so many documents."""
  folder = tempfile.TemporaryDirectory()
  atexit.register(folder.cleanup)
  file = pathlib.Path(folder.name) / 'queries.jsonl'
  rows = [{'doc_id': f'd{i}', 'queries': [str(i)]} for i in range(count)]
  file.write_text('\n'.join(map(json.dumps, rows)))
  return str(file)


def draw(count, seed=0):
  vectors = np.random.default_rng(seed).normal(size=(count, 4))
  return vectors.astype(np.float32)


def identifiers(table) -> list[tuple[int, ...]]:
  rows = zip(table.token_rows_DxL.tolist(), table.lengths_D, strict=True)
  return [tuple(row[:length]) for row, length in rows]


def test_the_schemes_are_those_that_the_command_promises():
  assert {
    'atomic',
    'naive',
    'hierarchical-kmeans',
    'hierarchical-kmeans-2d',
    'pq',
    'random-codes',
    'rq-kmeans',
    'rq-vae',
    'title',
    'url',
    'description',
  } <= set(SCHEMES)
  assert list(SCHEMES) == sorted(SCHEMES)
  assert SCHEMES['atomic'] is atomic.atomic


CORPORA = {
  'no documents': draw(0),
  'one document': draw(1),
  'two equal documents': np.ones((2, 4), np.float32),
  'vectors of zero': np.zeros((7, 4), np.float32),
  'equal up to rounding': np.repeat(draw(2), 6, 0) + 1e-8 * draw(12, seed=1),
  'thirty-five documents': draw(35),
  # More than the groups of a level and the numbers of a group.
  'more equal documents than digits': np.ones((120, 2), np.float32),
}


@every_scheme
@pytest.mark.parametrize('corpus', CORPORA)
@pytest.mark.parametrize('size', ['default', 'small'])
def test_contract(scheme, corpus, size, tmp_path):
  vectors_DxE = CORPORA[corpus]
  options = (SMALL if size == 'small' else DEFAULTS).get(scheme, {})
  table = make(scheme, vectors_DxE, **options)
  found = identifiers(table)
  # One row a document, in the corpus's order.
  assert table.doc_ids == tuple(f'd{i}' for i in range(len(vectors_DxE)))
  # Distinct, or the collisions are stated.
  shared = sum(found.count(row) > 1 for row in found)
  assert table.collision_rate == shared / max(len(found), 1)
  assert scheme in MAY_COLLIDE or not shared
  # Text and identifiers keep to their own ids, and the model has rows for both.
  tokens = [token for row in found for token in row]
  if scheme in TEXT_SCHEMES:
    size = tiny_collection.pieces().get_piece_size()
    assert all(2 < token < size for token in tokens)
  else:
    assert all(token >= FIRST for token in tokens)
  assert max(tokens, default=0) < table.vocab_size
  assert table.vocab_size >= FIRST
  assert table.vocab_size % 128 == 0
  # The same again, and from a file.
  assert make(scheme, vectors_DxE, **options).hash == table.hash
  table.save(tmp_path)
  assert DocidTable.load(tmp_path).hash == table.hash


@every_scheme
def test_a_name_finds_its_document(scheme):
  table = make(scheme, draw(35), **DEFAULTS.get(scheme, {}))
  found = table.documents(table.token_rows_DxL, table.lengths_D)
  assert [rows.tolist() for rows in found] == [[i] for i in range(35)]


def test_atomic_names_are_consecutive():
  table = make('atomic', draw(5))
  assert identifiers(table) == [(FIRST + i,) for i in range(5)]
  assert table.vocab_size == 256


@settings(max_examples=15)
@given(st.integers(0, 130), st.integers(0, 3))
def test_naive_names_spell_a_permutation(count, seed):
  table = make('naive', np.zeros((count, 1)), seed=seed)
  names = tiny_collection.pieces().decode([list(r) for r in identifiers(table)])
  assert sorted(map(int, names)) == list(range(count))
  assert all(name == str(int(name)) for name in names)


def test_naive_names_do_not_follow_the_corpus():
  orders = [identifiers(make('naive', draw(50), seed=seed)) for seed in (0, 1)]
  assert orders[0] != orders[1]
  assert sorted(orders[0]) == sorted(orders[1])
  names = tiny_collection.pieces().decode([list(row) for row in orders[0]])
  assert list(map(int, names)) != list(range(50))


def named(*titles, scheme='title', **options):
  field = scheme
  return SCHEMES[scheme](
    [Document(f'd{i}', **{field: name}) for i, name in enumerate(titles)],
    tiny_collection.pieces(),
    first_token=FIRST,
    **options,
  )


@pytest.mark.parametrize('scheme', ['title', 'url'])
def test_equal_names_are_numbered_behind_the_first(scheme):
  table = named('12', '3', '12', ' 12 ', '123', scheme=scheme)
  spelled = [
    tuple(tiny_collection.pieces().encode(name)) for name in ('12', '3', '123')
  ]
  one, two, three = spelled
  assert identifiers(table) == [
    one,
    two,
    (*one, FIRST),
    (*one, FIRST + 1),
    three,
  ]
  assert table.vocab_size == 256
  # A document more renames nobody.
  more = named('12', '3', '12', ' 12 ', '123', '3', scheme=scheme)
  assert identifiers(more)[:5] == identifiers(table)
  assert identifiers(more)[5] == (*two, FIRST)


def test_equal_names_may_share():
  table = named('12', '3', '12', collisions='share')
  assert table.collision_rate == pytest.approx(2 / 3)
  assert identifiers(table)[0] == identifiers(table)[2]


def test_long_names_are_cut():
  whole = named('1234', '1235', '7')
  table = named('1234', '1235', '7', max_tokens=3)
  assert identifiers(table) == [
    identifiers(whole)[0][:3],
    (*identifiers(whole)[0][:3], FIRST),
    identifiers(whole)[2],
  ]
  assert identifiers(named('12', max_tokens=9)) == identifiers(named('12'))
  table = text.named_table(
    [Document('d0')],
    ['1234'],
    'name',
    tiny_collection.pieces(),
    first_token=FIRST,
    max_tokens=3,
    collisions='share',
  )
  assert identifiers(table) == [identifiers(whole)[0][:3]]


def test_an_address_is_read():
  plain = named('12 3', scheme='url')
  for address in ('https://1%32%203', 'ftp://12 3', '12 3'):
    assert named(address, scheme='url').hash == plain.hash


def test_a_description_is_the_first_query(tmp_path):
  file = tmp_path / 'queries.jsonl'
  documents = [Document(f'd{i}') for i in range(3)]

  def described(*firsts, **options):
    rows = [
      {'doc_id': f'd{i}', 'queries': [first, '9'] if first else []}
      for i, first in enumerate(firsts)
    ]
    file.write_text('\n'.join(map(json.dumps, rows)))
    return SCHEMES['description'](
      documents,
      tiny_collection.pieces(),
      first_token=FIRST,
      queries=str(file),
      **options,
    )

  table = described('12', '3', '12')
  titles = named('12', '3', '12', collisions='share')
  assert identifiers(table) == identifiers(titles)
  assert table.collision_rate == pytest.approx(2 / 3)
  apart = described('12', '3', '12', collisions='token')
  assert identifiers(apart) == identifiers(named('12', '3', '12'))
  long = described('1' * 40, '3', '4')
  assert identifiers(long)[0] == identifiers(named('1' * 40))[0][:20]
  for rows in (['1', '2'], ['1', '2', None]):
    with pytest.raises(
      ValueError, match=r"1 have none, first 'd2'; draw more .`genret generate-"
    ):
      described(*rows)
  with pytest.raises(
    ValueError, match='Expected the option queries, a file of'
  ):
    SCHEMES['description'](
      documents, tiny_collection.pieces(), first_token=FIRST
    )


@pytest.mark.parametrize('scheme', ['title', 'url'])
def test_documents_without_a_name(scheme):
  with pytest.raises(
    ValueError, match=f"Expected a {scheme} of every document, 'd1' has none;"
  ):
    named('1', '  ', scheme=scheme)
  with pytest.raises(
    ValueError, match='Expected collisions of token, share, g'
  ):
    named('1', scheme=scheme, collisions='x')


def test_a_name_without_pieces_is_refused():
  with pytest.raises(
    ValueError,
    match=r"a part of 1 of 2, first 'Ж' \(document 'd1'\); give .*unknown=keep",
  ):
    text.text_table(
      [Document('d0'), Document('d1')],
      ['1', 'Ж'],
      tiny_collection.pieces(),
      text_tokens=FIRST,
    )
  with pytest.raises(ValueError, match=r'unknown of refuse, keep, got .drop.;'):
    named('1', unknown='drop')


@pytest.mark.parametrize('scheme', ['title', 'url'])
def test_a_name_may_keep_what_has_no_piece(scheme):
  table = named('1Ж2', '12', 'Ж', '1Щ2', 'Щ', scheme=scheme, unknown='keep')
  pieces = tiny_collection.pieces()
  kept, alone = (tuple(pieces.encode(name)) for name in ('1Ж2', 'Ж'))
  assert vocabulary.UNK_ID in kept
  assert identifiers(table) == [
    kept,
    tuple(pieces.encode('12')),
    alone,
    (*kept, FIRST),
    (*alone, FIRST),
  ]
  assert table.collision_rate == 0


def clustered(vectors_DxE, **options):
  """The digits of each document as a list."""
  digit_DxL, _ = clusters.hierarchical_clusters(vectors_DxE, **options)
  return [[digit for digit in row if digit >= 0] for row in digit_DxL.tolist()]


def groups_of(digits):
  """{prefix: the documents below it} for every prefix, from empty on."""
  groups = {}
  for document, row in enumerate(digits):
    for length in range(len(row) + 1):
      groups.setdefault(tuple(row[:length]), []).append(document)
  return groups


@settings(max_examples=25)
@given(
  st.integers(0, 60),
  st.integers(2, 5),
  st.integers(1, 9),
  st.sampled_from([1, 3, 1000]),
)
def test_depth_grows_only_while_a_group_is_large(count, k, c, distinct):
  # Of all documents, of a few points, or of one point.
  vectors = draw(count)[np.arange(count) % distinct]
  digits = clustered(vectors, k=k, c=c)
  groups = groups_of(digits)
  names = {tuple(row) for row in digits}
  assert len(names) == len(digits) == count
  for prefix, members in groups.items():
    children = {row for row in groups if row[:-1] == prefix and row}
    if prefix in names:
      # A name is nobody's prefix: what it names is alone.
      assert not children
      assert len(members) == 1
    elif len(members) <= c:
      # A small group is numbered from 0, in the corpus's order.
      assert [digits[i] for i in members] == [
        [*prefix, number] for number in range(len(members))
      ]
    else:
      # A large one is split in two or more, by digits below k.
      assert len(children) >= 2
      assert all(row[-1] < k and row not in names for row in children)


def test_documents_that_cannot_be_told_apart_keep_their_order():
  for count in (7, 50):
    digits = clustered(np.ones((count, 2)), k=3, c=4)
    assert digits == sorted(digits)


def test_siblings_share_prefixes():
  # Three far places, each of two near ones, each of three documents.
  far = np.array([[0, 0], [900, 0], [0, 900]])
  near = np.array([[0, 0], [30, 0]])
  close = np.array([[0, 0], [1, 0], [0, 1]])
  places = [(a, b, c) for a in range(3) for b in range(2) for c in range(3)]
  order = np.random.default_rng(0).permutation(len(places))
  places = [places[i] for i in order]
  vectors = np.array([far[a] + near[b] + close[c] for a, b, c in places])
  digits = clustered(vectors.astype(float), k=3, c=3)
  for place, row in zip(places, digits, strict=True):
    for other_place, other_row in zip(places, digits, strict=True):
      assert (place[0] == other_place[0]) == (row[0] == other_row[0])
      if place[:2] == other_place[:2] and row[:2] == other_row[:2]:
        # k = 3 splits a place of 6 in two or three; what is together is near.
        assert len(row) == len(other_row)
  groups = groups_of(digits)
  for prefix, members in groups.items():
    if len(prefix) == 2 and len(members) > 1:
      assert len({places[i][:2] for i in members}) == 1


@pytest.mark.parametrize(('k', 'c'), [(1, 5), (0, 5), (2, 0)])
def test_sizes_that_cannot_work(k, c):
  with pytest.raises(
    ValueError, match=f'Expected k >= 2 and c >= 1, got k={k}, c={c}'
  ):
    clustered(draw(9), k=k, c=c)


def test_a_large_group_is_clustered_in_mini_batches(monkeypatch):
  monkeypatch.setattr(quantise, '_MINI_BATCH_FROM', 20)
  used, solver = [], quantise.MiniBatchKMeans
  monkeypatch.setattr(
    quantise,
    'MiniBatchKMeans',
    lambda *a, **kw: used.append(1) or solver(*a, **kw),
  )
  for vectors in (draw(40), np.ones((40, 2), np.float32)):
    digits = clustered(vectors, k=3, c=9)
    assert len(set(map(tuple, digits))) == 40
    assert digits == clustered(vectors, k=3, c=9)
    assert used


@pytest.mark.parametrize('options', [{}, {'k': 3, 'c': 2}])
def test_positions_have_tokens_of_their_own_where_asked(options):
  aware = make('hierarchical-kmeans-2d', draw(40), **options)
  seen = [
    {row[i] for row in identifiers(aware) if len(row) > i} for i in range(9)
  ]
  for i in range(9):
    for j in range(i):
      assert not seen[i] & seen[j]
  options = options or {'k': 30, 'c': 30}
  shared = make('hierarchical-kmeans', draw(40), **options)
  digits = clustered(draw(40), **options)
  assert identifiers(shared) == [
    tuple(FIRST + digit for digit in row) for row in digits
  ]
  width = 1 + max(map(max, digits))
  assert identifiers(aware) == [
    tuple(FIRST + width * i + digit for i, digit in enumerate(row))
    for row in digits
  ]


def test_every_digit_has_a_row_of_the_model():
  documents = [Document('a'), Document('b')]
  for aware, last, size in ((False, 299, 384), (True, 399, 512)):
    table = digits.digits_table(
      documents,
      np.array([[7, -1], [0, 99]]),
      first_token=FIRST,
      position_aware=aware,
    )
    assert identifiers(table) == [(FIRST + 7,), (FIRST, last)]
    assert table.vocab_size == size


def test_padding_takes_no_token():
  table = make('hierarchical-kmeans-2d', draw(40), k=3, c=2)
  assert len(set(table.lengths_D.tolist())) > 1
  inside = np.arange(table.token_rows_DxL.shape[1]) < table.lengths_D[:, None]
  assert not table.token_rows_DxL[~inside].any()


def test_names_become_pieces_a_block_at_a_time(monkeypatch):
  names = [d.text for d in tiny_collection.documents()[:7]] + ['sea', 'name1']
  vocabulary = tiny_collection.pieces()
  expected = [vocabulary.encode(name) for name in names]
  monkeypatch.setattr(text, '_BLOCK', 3)
  for count in (9, 3, 1, 0):
    token_DxL, lengths_D = text.token_rows(names[:count], vocabulary)
    rows = [
      row[:n].tolist() for row, n in zip(token_DxL, lengths_D, strict=True)
    ]
    assert rows == expected[:count]
    assert token_DxL.shape[1] == max(map(len, rows), default=1)
    assert token_DxL.dtype == lengths_D.dtype == np.int32
    assert not token_DxL[
      np.arange(token_DxL.shape[1]) >= lengths_D[:, None]
    ].any()
