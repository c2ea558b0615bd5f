# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import gzip
import hashlib
import json
import os
import re
import sys
from typing import NamedTuple

import hypothesis
import ir_datasets
import pytest
from hypothesis import strategies as st

from genret import corpus
from genret.text_files import file_state

DOCUMENTS = [
  corpus.Document('d1', 'Iliad', 'An epic \u2028 poem.'),  # a separator is text
  corpus.Document('d2', '', 'Ὅμηρος 🏛'),
  corpus.Document('d3', 'Empty', ''),
  corpus.Document('d4', '', ' '),
  corpus.Document('d5', 'Title alone', ''),
]
QUERIES = [corpus.Query('q1', 'who wrote it'), corpus.Query('q2', '')]
TSV = ''.join(f'{d.doc_id}\t{d.title}\t{d.text}\n' for d in DOCUMENTS)


def jsonl(rows) -> str:
  return ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)


def beir_folder(path, *, compressed=False):
  """Writes DOCUMENTS and QUERIES with two splits."""

  def write(name, text):
    file = path / (name + '.gz' * compressed)
    file.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    file.write_bytes(gzip.compress(data) if compressed else data)

  write(
    'corpus.jsonl',
    jsonl(
      {'_id': d.doc_id, 'title': d.title, 'text': d.text} for d in DOCUMENTS
    ),
  )
  write(
    'queries.jsonl', jsonl({'_id': q.query_id, 'text': q.text} for q in QUERIES)
  )
  header = 'query-id\tcorpus-id\tscore\n'
  write('qrels/train.tsv', header + 'q1\td1\t2\nq1\tgone\t1\nq9\td1\t1\n')
  write('qrels/test.tsv', header + 'q2\td2\t0\n')
  return path


def documents_of(tmp_path, name, text):
  file = tmp_path / name
  data = text if isinstance(text, bytes) else text.encode()
  file.write_bytes(data)
  return list(corpus.read_documents(file))


@pytest.mark.parametrize('compressed', [False, True])
def test_a_beir_folder_reads_the_same_plain_and_compressed(
  tmp_path, compressed
):
  folder = beir_folder(tmp_path / 'tiny', compressed=compressed)
  collection = corpus.load_collection(folder)
  assert collection.name == 'tiny'
  assert collection.documents == DOCUMENTS
  assert collection.queries == {'q1': 'who wrote it', 'q2': ''}
  assert collection.qrels == {
    'test': {'q2': {'d2': 0}},
    'train': {'q1': {'d1': 2, 'gone': 1}, 'q9': {'d1': 1}},
  }
  assert collection.empty_documents == 1
  assert collection.empty_queries == 1
  assert collection.unknown_judgements('train') == 2
  assert collection.unknown_judgements('test') == 0
  assert list(corpus.read_queries(folder)) == QUERIES
  # The documented form, worked out here: each field after its length.
  fields = [f for d in DOCUMENTS for f in (d.doc_id, d.title, d.text)]
  stream = b''.join(
    len(f.encode()).to_bytes(8, 'little') + f.encode() for f in fields
  )
  assert collection.hash == hashlib.sha256(stream).hexdigest()


def test_the_hash_sees_order_and_borders_of_fields():
  hashes = {
    corpus.documents_hash(documents)
    for documents in (
      DOCUMENTS,
      DOCUMENTS[::-1],
      DOCUMENTS[:-1],
      [corpus.Document('ab', 'c', '')],
      [corpus.Document('a', 'bc', '')],
      [corpus.Document('a', 'b', 'c')],
    )
  }
  assert len(hashes) == 6


def test_the_plain_file_wins_over_the_compressed_one(tmp_path):
  beir_folder(tmp_path, compressed=True)
  (tmp_path / 'corpus.jsonl').write_text('{"_id": "x", "text": "y"}\n')
  documents = list(corpus.read_documents(tmp_path))
  assert documents == [corpus.Document('x', '', 'y')]


def test_a_document_file_is_a_collection_without_queries(tmp_path):
  (tmp_path / 'a.tsv').write_text(TSV)
  collection = corpus.load_collection(tmp_path / 'a.tsv')
  assert collection.documents == DOCUMENTS
  assert (collection.queries, collection.qrels) == ({}, {})


@pytest.mark.parametrize(
  ('name', 'text', 'expected'),
  [
    ('a.tsv', TSV, DOCUMENTS),
    ('a.tsv', TSV.replace('\n', '\r\n'), DOCUMENTS),
    ('a.tsv', '\ufeff' + TSV + '\n', DOCUMENTS),
    ('a.tsv', TSV.rstrip('\n'), DOCUMENTS),
    ('a.tsv.gz', gzip.compress(TSV.encode(), mtime=0), DOCUMENTS),
    ('a.tsv', 'd\tt\tx\ty', [corpus.Document('d', 't', 'x\ty')]),
    ('a.jsonl', '{"id": 7, "title": "t"}', [corpus.Document('7', 't')]),
    (
      'a.jsonl',
      '\ufeff{"doc_id": "d", "text": null, "title": null}\r\n\r\n',
      [corpus.Document('d')],
    ),
    (
      'a.jsonl',
      '\n{"_id": "d", "id": 3, "text": "\\ud83c\\udfdb"}\n  \n',
      [corpus.Document('d', '', '🏛')],
    ),
    ('a.jsonl', '', []),
  ],
)
def test_forms_of_document_files(tmp_path, name, text, expected):
  assert documents_of(tmp_path, name, text) == expected


GOOD = '{"_id": "a", "text": "x"}\n'


@pytest.mark.parametrize(
  ('name', 'text', 'message'),
  [
    (
      'a.jsonl',
      GOOD + '\n' + GOOD,
      r"a\.jsonl, line 3: document id 'a' was .* in .*a\.jsonl, line 1; give",
    ),
    ('a.tsv', 'a\tt\tx\nb\tt\tx\na\tt\ty\n', r'line 3: .* in .*a\.tsv, line 1'),
    ('a.jsonl', GOOD + '{"_id": "b", "te', 'line 2: expected one JSON object'),
    ('a.jsonl', GOOD + '[1]', 'line 2: expected a JSON object, found list'),
    ('a.jsonl', '{"text": "x"}', r"found None among \['text'\]"),
    ('a.jsonl', '{"_id": "", "text": "x"}', "line 1: .*identifier.*found ''"),
    ('a.jsonl', '{"_id": true, "text": "x"}', 'found True'),
    ('a.jsonl', '{"_id": "a", "text": [1]}', 'string under text, found list'),
    ('a.jsonl', '{"_id": "a", "body": "x"}', r"only \['_id', 'body'\]"),
    ('a.jsonl', '{"_id": "a", "text": "\\uD800"}', 'line 1: .*surrogate'),
    (
      'a.tsv',
      'a\tt\tx\nb\tx\n',
      'line 2: expected docid<TAB>.*found 2 columns',
    ),
    ('a.tsv', 'b\n', 'found 1 column;'),
    ('a.tsv', '\tt\tx\n', 'line 1: .*an empty identifier'),
    ('a.tsv', '\t\t\n', 'line 1: .*an empty identifier'),
    ('a.tsv', b'a\tt\tx\nb\tt\t\xff\n', 'line 2: expected UTF-8, .*0xff'),
    (
      'a.jsonl.gz',
      gzip.compress(GOOD.encode(), mtime=0)[:-9],
      r'a\.jsonl\.gz: the gzip data are damaged or cut short',
    ),
    ('a.tsv.gz', b'plain', r'a\.tsv\.gz: the gzip data are damaged'),
    ('a.csv', 'a,b', r"expected a BEIR folder.*found.*'\.csv'"),
  ],
)
def test_bad_documents_are_named(tmp_path, name, text, message):
  with pytest.raises(ValueError, match=message):
    documents_of(tmp_path, name, text)


def test_missing_files_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'neither; check the folder'):
    list(corpus.read_documents(tmp_path))
  # Whatever the name looks like: first it has to be there.
  for name in ('no.tsv', 'no.jsonl.gz', 'my_folder', 'no.txt', 'no.v2/'):
    for read in (corpus.read_documents, corpus.read_queries):
      with pytest.raises(
        FileNotFoundError,
        match=rf'{re.escape(name.strip("/"))}: expected a BEIR folder, a \.tsv '
        r'or a \.jsonl file, found no such file or folder; check the path\.$',
      ):
        list(read(tmp_path / name))
    with pytest.raises(
      FileNotFoundError, match='expected a file of judgements, found no such'
    ):
      corpus.read_qrels(tmp_path / name)
  with pytest.raises(ValueError, match=r'found a folder; name the file, such'):
    corpus.read_qrels(tmp_path)


def test_judgements_that_come_with_genret():
  found = corpus.read_qrels('genret:squadshifts_wiki/dev')
  folder = corpus.SQUADSHIFTS_WIKI
  assert found == corpus.load_collection(folder).qrels['dev']
  for path, split in (
    ('genret:squadshifts_wiki', "''"),
    ('genret:squadshifts_wiki/', "''"),
    ('genret:squadshifts_wiki/valid', "'valid'"),
    ('genret:squadshifts_wiki/../dev', "'../dev'"),
  ):
    with pytest.raises(
      ValueError,
      match=rf'{path}: expected genret:squadshifts_wiki/SPLIT with one of the '
      rf'splits dev, test, train, found {split}; name one of them\.$',
    ):
      corpus.read_qrels(path)
  with pytest.raises(ValueError, match='one of the shipped collections squad'):
    corpus.read_qrels('genret:other/test')


def test_query_files(tmp_path):
  (tmp_path / 'q.tsv').write_text('q1\twho\twrote\nq2\t\n')
  assert list(corpus.read_queries(tmp_path / 'q.tsv')) == [
    corpus.Query('q1', 'who\twrote'),
    corpus.Query('q2', ''),
  ]
  bad = tmp_path / 'q.jsonl'
  bad.write_text('{"_id": "q", "query": "x"}')
  with pytest.raises(ValueError, match='line 1: expected text, found only'):
    list(corpus.read_queries(bad))
  bad.write_text('{"_id": "q", "text": "x"}\n' * 2)
  with pytest.raises(ValueError, match="line 2: query id 'q' was already"):
    list(corpus.read_queries(bad))


@pytest.mark.parametrize(
  'text',
  [
    'query-id\tcorpus-id\tscore\nq1\td 1\t2\nq1\td2\t-1\nq2\td2\t0\n',
    '\ufeffqid\tdocid\trel\r\nq1\td 1\t2\r\nq1\td2\t-1\r\n\r\nq2\td2\t0',
    'q1 0 d_1 2\nq1\t0\td2\t-1\n\nq2 Q0  d2 0\nq2 0 d2 0\n',
  ],
)
def test_forms_of_qrels(tmp_path, text):
  file = tmp_path / 'qrels.tsv'
  file.write_text(text)
  first = 'd_1' if '_1' in text else 'd 1'
  expected = {'q1': {first: 2, 'd2': -1}, 'q2': {'d2': 0}}
  assert corpus.read_qrels(file) == expected


HEADER = 'query-id\tcorpus-id\tscore\n'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (HEADER + 'q\td\t1\nq\td\tx\n', 'line 3: expected query-id<TAB>corpus-id'),
    (HEADER + 'q d 1\n', 'line 2: expected query-id<TAB>'),
    (HEADER + 'q\td\t1.5\n', 'line 2: .*integer'),
    (HEADER + '\td\t1\n', 'line 2: '),
    ('q\td\t1\n', 'line 1: expected qid 0 docid .*or the BEIR header'),
    ('q\td 1\t2\n', 'line 1: expected qid 0 docid .*or the BEIR header'),
    ('q 0 d 1\nq 0 d\n', "line 2: expected qid 0 docid.*found 'q 0 d'"),
    ('q 0 d 1 x\n', 'line 1: '),
    ('q 0 d 1\nq 0 d 2\n', "line 2: query 'q' and document 'd' .* 1, now 2"),
  ],
)
def test_bad_judgements_are_named(tmp_path, text, message):
  file = tmp_path / 'qrels.tsv'
  file.write_text(text)
  with pytest.raises(ValueError, match=message):
    corpus.read_qrels(file)


# What a text field can hold: everything but the halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_categories=['Cs']), max_size=12)
IDS = TEXT.filter(str.strip)


@hypothesis.given(
  rows=st.lists(
    st.tuples(IDS, TEXT, TEXT), max_size=4, unique_by=lambda r: r[0]
  ),
  ascii_only=st.booleans(),
)
@hypothesis.settings(max_examples=30)
def test_any_text_survives_json(tmp_path_factory, rows, ascii_only):
  file = tmp_path_factory.mktemp('any') / 'a.jsonl'
  lines = [
    json.dumps({'_id': i, 'title': t, 'text': x}, ensure_ascii=ascii_only)
    for i, t, x in rows
  ]
  file.write_bytes('\n'.join(lines).encode())
  expected = [corpus.Document(*row) for row in rows]
  assert list(corpus.read_documents(file)) == expected


def test_the_shipped_collection():
  collection = corpus.load_collection(corpus.SQUADSHIFTS_WIKI)
  assert len(collection.documents) == 1581
  assert len(collection.queries) == 7737
  sizes = {split: len(q) for split, q in collection.qrels.items()}
  assert sizes == {'train': 5060, 'dev': 1098, 'test': 1579}
  assert (collection.empty_documents, collection.empty_queries) == (0, 0)
  assert {collection.unknown_judgements(split) for split in sizes} == {0}
  # No question is in two splits, and every document has training questions.
  splits = [set(queries) for queries in collection.qrels.values()]
  assert len(set.union(*splits)) == sum(map(len, splits))
  train = collection.qrels['train'].values()
  assert {d for judged in train for d in judged} == {
    document.doc_id for document in collection.documents
  }
  assert collection.documents[0].title == 'Armenian Apostolic Church'
  # Identifier tables and reports carry this: a change of the data shows.
  assert collection.hash.startswith('d15be299363c902d')
  notice = (corpus.SQUADSHIFTS_WIKI / 'NOTICE').read_text()
  assert 'CC BY 4.0' in notice
  assert 'CC BY-SA' in notice


class _Page(NamedTuple):
  doc_id: str
  title: str
  text: str


class _Parts(NamedTuple):
  doc_id: str
  headline: str
  body: str

  def default_text(self):
    return f'{self.headline} {self.body}'


class _Topic(NamedTuple):
  query_id: str
  title: str

  def default_text(self):
    return self.title


class _Judgement(NamedTuple):
  query_id: str
  doc_id: str
  relevance: int


class _FakeDataset:
  """The part of an ir_datasets data set that is read, in memory."""

  def __init__(self, docs=(), queries=(), qrels=()):
    self.rows = {'docs': docs, 'queries': queries, 'qrels': qrels}

  def __getattr__(self, name):
    if name.startswith('has_'):
      return lambda: bool(self.rows[name.removeprefix('has_')])
    if name.endswith('_iter'):
      return lambda: iter(self.rows[name.removesuffix('_iter')])
    raise AttributeError(name)


def test_ir_datasets_by_name(monkeypatch):
  known = {
    'tiny/dev': _FakeDataset(
      [_Page('d1', 'Iliad', 'epic'), _Parts('d2', 'Ody', 'ssey')],
      [_Topic('q1', 'who')],
      [_Judgement('q1', 'd1', 1)],
    ),
    'twice': _FakeDataset([_Page('d', '', ''), _Page('d', '', '')]),
    'topics': _FakeDataset(queries=[_Topic('q1', 'who')]),
  }
  for name, dataset in known.items():
    monkeypatch.setitem(ir_datasets.registry._registered, name, dataset)
  collection = corpus.load_collection('ir_datasets:tiny/dev')
  assert collection.name == 'dev'
  assert collection.documents == [
    corpus.Document('d1', 'Iliad', 'epic'),
    corpus.Document('d2', '', 'Ody ssey'),
  ]
  assert collection.queries == {'q1': 'who'}
  assert collection.qrels == {'dev': {'q1': {'d1': 1}}}
  with pytest.raises(ValueError, match="twice, document 2: document id 'd'"):
    list(corpus.read_documents('ir_datasets:twice'))
  with pytest.raises(ValueError, match='topics: this data set has no docum'):
    list(corpus.read_documents('ir_datasets:topics'))
  with pytest.raises(ValueError, match='twice: this data set has no queries'):
    list(corpus.read_queries('ir_datasets:twice'))
  with pytest.raises(ValueError, match='twice: this data set has no judgem'):
    corpus.read_qrels('ir_datasets:twice')
  with pytest.raises(ValueError, match="no data set named 'nothing'"):
    list(corpus.read_documents('ir_datasets:nothing'))
  monkeypatch.setitem(sys.modules, 'ir_datasets', None)
  with pytest.raises(ImportError, match=r"pip install 'genret\[eval\]'"):
    list(corpus.read_documents('ir_datasets:tiny/dev'))


def test_names_of_shipped_collections():
  shipped = corpus.SQUADSHIFTS_WIKI
  assert corpus.resolve('genret:squadshifts_wiki') == shipped
  assert corpus.resolve('squadshifts_wiki') == 'squadshifts_wiki'
  assert corpus.resolve(shipped) is shipped
  with pytest.raises(
    ValueError,
    match=r'^genret:x: expected one of the shipped collections '
    r'squadshifts_wiki; choose one, or give a folder\.$',
  ):
    corpus.resolve('genret:x')


def test_addresses_are_read(tmp_path):
  file = tmp_path / 'corpus.jsonl'
  rows = [
    {'_id': 'a', 'text': 'x', 'url': 'https://x/a'},
    {'_id': 'b', 'text': 'x', 'metadata': {'url': 'https://x/b'}},
    {'_id': 'c', 'text': 'x', 'metadata': {}},
    {'_id': 'd', 'text': 'x', 'url': None},
  ]
  file.write_text('\n'.join(map(json.dumps, rows)))
  found = list(corpus.read_documents(file))
  assert [d.url for d in found] == ['https://x/a', 'https://x/b', '', '']
  # They count in the hash where there are any.
  plain = [corpus.Document(d.doc_id, d.title, d.text) for d in found]
  hashes = {corpus.documents_hash(found), corpus.documents_hash(plain)}
  assert len(hashes) == 2
  file.write_text('{"_id": "a", "text": "x", "url": 3}')
  with pytest.raises(
    ValueError, match='expected a string under url, found int'
  ):
    list(corpus.read_documents(file))


def test_the_state_of_a_file_changes_with_it(tmp_path):
  file = tmp_path / 'a'
  assert file_state(None) == ('None',)
  assert file_state('train') == ('train',)
  assert file_state(file) == file_state(tmp_path / 'a')
  states = {file_state(file), file_state(tmp_path)}
  for text in ('x', 'xy'):
    file.write_text(text)
    states.add(file_state(file))
  os.utime(file, (1, 1))
  states.add(file_state(str(file)))
  assert len(states) == 5


def test_what_a_model_reads_of_a_document():
  document = corpus.Document('d', 'Iliad', 'an epic')
  assert document.read_with('') == 'Iliad an epic'
  assert document.read_with('passage: ') == 'passage: Iliad an epic'
  assert corpus.Document('d', '', 'an epic').read_with('') == 'an epic'
  assert corpus.Document('d').read_with('') == ''
