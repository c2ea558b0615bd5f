# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""genret index: a folder of identifiers, and what a person reads of it."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tiny_collection

from genret import embeddings, ngram_index, tools, views, vocabulary
from genret.constraints.fm_index import FMIndex
from genret.constraints.trie import Trie
from genret.corpus import load_collection
from genret.docids import build, codes
from genret.docids.table import DocidTable


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
  folder = tmp_path_factory.mktemp('index') / 'corpus'
  return folder, tiny_collection.write(folder)


def index(corpus, output, *words, scheme='atomic') -> int:
  folder, _ = corpus
  return tools.main(
    [
      *('index', 'docids', '--corpus', str(folder), '--output', str(output)),
      *('--scheme', scheme, '--vocabulary-size', '120', '--dimensions', '8'),
      *words,
    ]
  )


@pytest.fixture(scope='module')
def addressed(tmp_path_factory):
  """The same documents with addresses, and a pseudo-query of each."""
  folder = tmp_path_factory.mktemp('addressed')
  collection = tiny_collection.write(folder / 'corpus')
  corpus, queries = [], []
  for document in collection.documents:
    fields = dataclasses.asdict(document)
    url = f'https://x/{document.doc_id}'
    corpus.append(
      json.dumps({'_id': fields.pop('doc_id'), **fields, 'url': url})
    )
    asked = {'doc_id': document.doc_id, 'queries': [document.text]}
    queries.append(json.dumps(asked))
  (folder / 'corpus' / 'corpus.jsonl').write_text('\n'.join(corpus))
  (folder / 'queries.jsonl').write_text('\n'.join(queries))
  return folder


@pytest.mark.parametrize('scheme', build.schemes())
def test_every_scheme_is_built_as_by_the_library(addressed, tmp_path, scheme):
  corpus = addressed / 'corpus', load_collection(addressed / 'corpus')
  options, words = {}, ['--seed', '2']
  if scheme == 'description':
    options['queries'] = str(addressed / 'queries.jsonl')
    words += ['--option', f'queries={options["queries"]}']
  assert index(corpus, tmp_path / 'a', *words, scheme=scheme) == 0
  expected = build.build(
    corpus[1],
    tmp_path / 'b',
    scheme=scheme,
    vocabulary_size=120,
    dimensions=8,
    seed=2,
    options=options,
  )
  table = DocidTable.load(tmp_path / 'a')
  assert (table.hash, table.meta) == (expected.hash, expected.meta)
  for a, b in zip(
    embeddings.load(tmp_path / 'a'),
    embeddings.load(tmp_path / 'b'),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)


def test_every_flag_arrives(corpus, tmp_path):
  _, collection = corpus
  size = len(collection.documents)
  vectors = np.random.default_rng(0).normal(size=(size, 3)).astype(np.float32)
  np.save(tmp_path / 'vectors.npy', vectors)
  own = tmp_path / 'own.model'
  vocabulary.train_vocabulary(['abcdefghijklmnopqrstuvwxyz sea'], own)
  arguments = {
    'scheme': 'hierarchical-kmeans',
    'vocabulary': own,
    'text_tokens': 150,
    'queries_split': 'train',
    'dimensions': 6,
    'seed': 5,
  }
  flags = [
    word
    for name, value in arguments.items()
    if name != 'scheme'
    for word in (f'--{name.replace("_", "-")}', str(value))
  ]
  flags += ['--embeddings', str(tmp_path / 'vectors.npy')]
  flags += ['--option', 'k=3', '--option', 'c=2']
  assert index(corpus, tmp_path / 'a', *flags, scheme=arguments['scheme']) == 0
  expected = build.build(
    collection,
    tmp_path / 'b',
    vectors=vectors,
    options={'k': 3, 'c': 2},
    **arguments,
  )
  table = DocidTable.load(tmp_path / 'a')
  assert (table.hash, table.meta) == (expected.hash, expected.meta)
  idf_V, other_V = (embeddings.load(tmp_path / x).idf_V for x in 'ab')
  np.testing.assert_array_equal(idf_V, other_V)
  # The flags that change no identifier were heard as well.
  build.build(collection, tmp_path / 'c', **arguments | {'queries_split': None})
  assert not np.array_equal(idf_V, embeddings.load(tmp_path / 'c').idf_V)


def test_options_are_words_and_numbers(corpus, tmp_path, capsys):
  words = ['levels=2', 'k=3', 'collisions=share']
  flags = [part for word in words for part in ('--option', word)]
  assert index(corpus, tmp_path, *flags, scheme='rq-kmeans') == 0
  table = DocidTable.load(tmp_path)
  assert table.meta['options'] == {
    'levels': 2,
    'k': 3,
    'collisions': 'share',
  }
  assert set(table.lengths_D) == {2}
  out = capsys.readouterr().out
  assert re.search(r'used \(perplexity\)  3 \(\d\.\d\) [123] \(\d', out)
  assert f'collision rate  {table.collision_rate:.4f}' in out
  assert index(corpus, tmp_path, '--option', 'rotate=false', scheme='pq') == 0
  assert DocidTable.load(tmp_path).meta['options'] == {'rotate': False}


def test_the_summary_is_read_by_a_person(corpus, tmp_path, capsys):
  assert index(corpus, tmp_path, scheme='naive') == 0
  lines = capsys.readouterr().out.splitlines()
  table = DocidTable.load(tmp_path)
  found = dict(re.split(r'  +', line.strip(), maxsplit=1) for line in lines)
  lengths = table.lengths_D
  assert float(found.pop('seconds')) >= 0
  assert found == {
    'documents': str(tiny_collection.SIZE),
    'scheme': 'naive',
    'text tokens': f'{table.meta["text_tokens"]} ({table.meta["pieces"]} pieces: '
    'the corpus has no 120 as was asked for)',
    'vocabulary': '128',
    'tokens per identifier': f'{min(lengths)} to {max(lengths)}, mean '
    f'{sum(lengths) / len(lengths):.2f}',
    'used (perplexity)': ' '.join(
      f'{used} ({perplexity:.1f})' for used, perplexity in codes.usage(table)
    ),
    'collision rate': '0.0000',
    'trie': f'{Trie.from_table(table).nbytes:,} bytes',
    'hash': table.hash[:16],
    'folder': str(tmp_path),
  }


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['--option', 'k'], r"Expected --option NAME=VALUE, got 'k'\."),
    (['--option', 'k='], r"Expected --option NAME=VALUE, got 'k='\."),
    (['--option', '=5'], r"Expected --option NAME=VALUE, got '=5'\."),
    (
      ['--option', 'k=5'],
      r'Expected options of the scheme atomic \(it has none\), got k=5\.',
    ),
    (
      ['--scheme', 'rq-kmeans', '--option', 'x=y'],
      r"Expected options of .* \(levels, k, collisions\), got x='y'\.",
    ),
    (
      ['--scheme', 'rq-kmeans', '--option', 'k=1.5'],
      r'Expected k of rq-kmeans to be of type int, got 1\.5\.',
    ),
    (
      ['--scheme', 'rq-kmeans', '--option', 'k=true'],
      r'Expected k of rq-kmeans to be of type int, got True\.',
    ),
    (
      ['--scheme', 'rq-kmeans', '--option', 'collisions=none'],
      r"Expected collisions of token, share, sinkhorn, got 'none'.*",
    ),
    (
      ['--queries-split', 'test'],
      r"Expected one of the splits .* got 'test'\.",
    ),
    (
      ['--embeddings', 'gone.npy'],
      r'Expected document vectors in an \.npy file, found no gone\.npy; check .*',
    ),
    (['--vocabulary', 'gone'], 'Expected a SentencePiece model at gone, .*'),
    (['--scheme', 'best'], r"Expected one of the schemes atomic, .*'best'\."),
  ],
)
def test_a_mistake_gets_one_sentence(corpus, tmp_path, capsys, words, message):
  assert index(corpus, tmp_path / 'out', *words) == 2
  captured = capsys.readouterr()
  assert captured.out == ''
  assert re.fullmatch(rf'(genret[^:]*: )?{message}\n', captured.err), (
    captured.err
  )
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('seed', ['-1', '4294967296'])
def test_a_seed_that_no_generator_takes_is_refused(
  corpus, tmp_path, capsys, seed
):
  with pytest.raises(SystemExit):
    index(corpus, tmp_path / 'out', f'--seed={seed}')
  assert f'from 0 to 4294967295 but got {seed}' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', r'in an \.npy file of numbers, .* is none \(.*\); write it with'),
    (b'1 2 3\n', r'in an \.npy file of numbers, .* is none \(.*\); write'),
    (np.array([{}]), r'in an \.npy file of numbers, .* \(.*Python objects.*\); wri'),
    (np.ones((3, 2))[:-1].tobytes(), r'in an \.npy file of numbers'),
    (np.ones(tiny_collection.SIZE), r'of real numbers \[.* shape \(30,\) in '),
    (np.full((30, 2), 'x'), r'of real numbers .*, got <U1 of shape \(30, 2\)'),
    (np.ones((30, 2), bool), r'of real numbers .*, got bool of shape'),
    (np.diag([0, np.nan]), r'of finite numbers, row 1 of .* has others; embed'),
    (np.diag([np.inf, 0]), r'of finite numbers, row 0 of .* has others; embed'),
    (np.ones((3, 2)), r'\[30, any\], .* got shape \(3, 2\); embed the'),
  ],
)  # fmt: skip
def test_wrong_vectors_get_one_sentence(
  corpus, tmp_path, capsys, content, message
):
  path = tmp_path / 'vectors.npy'
  if isinstance(content, bytes):
    path.write_bytes(content)
  else:
    np.save(path, content)
  assert index(corpus, tmp_path / 'out', '--embeddings', str(path)) == 2
  error = capsys.readouterr().err
  assert re.match(
    rf'genret index: Expected (document )?(vectors )?{message}', error
  ), error
  assert error.count('\n') == 1
  assert not (tmp_path / 'out').exists()


def test_the_help_lists_schemes_and_an_example(capsys):
  with pytest.raises(SystemExit) as stop:
    tools.main(['index', 'docids', '--help'])
  assert stop.value.code == 0
  text = capsys.readouterr().out
  assert 'genret index docids --scheme atomic --corpus' in text
  for scheme in build.schemes():
    assert scheme in text


def extend(old, corpus, output, *words) -> int:
  """genret index docids --extend."""
  return tools.main(
    [
      *('index', 'docids', '--extend', str(old), '--corpus', str(corpus)),
      *('--output', str(output), *words),
    ]
  )


@pytest.fixture
def few(corpus, tmp_path):
  """The first twenty documents, and vectors of all."""
  lines = (corpus[0] / 'corpus.jsonl').read_text().splitlines()
  (tmp_path / 'few').mkdir()
  (tmp_path / 'few' / 'corpus.jsonl').write_text('\n'.join(lines[:20]))
  size = len(lines)
  vectors = np.random.default_rng(0).normal(size=(size, 3)).astype(np.float32)
  np.save(tmp_path / 'vectors.npy', vectors)
  np.save(tmp_path / 'vectors_of_few.npy', vectors[:20])
  return tmp_path / 'few', None


def test_documents_are_added(corpus, few, tmp_path, capsys):
  given = ('--embeddings', str(tmp_path / 'vectors_of_few.npy'))
  options = ('--option', 'k=4', '--option', 'levels=2')
  old, new = tmp_path / 'old', tmp_path / 'new'
  assert index(few, old, *given, *options, scheme='rq-kmeans') == 0
  capsys.readouterr()
  given = ('--embeddings', str(tmp_path / 'vectors.npy'))
  assert extend(old, corpus[0], new, *given) == 0
  table = DocidTable.load(new)
  vectors = np.load(tmp_path / 'vectors.npy')
  expected = build.extend(old, corpus[1], tmp_path / 'b', vectors=vectors)
  assert (table.hash, table.meta) == (expected.hash, expected.meta)
  width = DocidTable.load(old).token_rows_DxL.shape[1]
  np.testing.assert_array_equal(
    DocidTable.load(old).token_rows_DxL, table.token_rows_DxL[:20, :width]
  )
  shown = capsys.readouterr().out
  assert re.search(r'added  10\n +documents  30\n +scheme  rq-kmeans\n', shown)


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    ((), r'Expected vectors of 3 numbers, as .* got no vectors; new docu'),
    (('--seed', '3'), r'Expected no --seed beside --extend, got 3; it is'),
    (('--vocabulary-size', '9'), 'Expected no --vocabulary-size beside'),
    (('--dimensions', '9'), 'Expected no --dimensions beside --extend'),
    (('--queries-split', 'x'), 'Expected no --queries-split beside'),
    (('--text-tokens', '9'), 'Expected no --text-tokens beside'),
    (('--vocabulary', 'x'), 'Expected no --vocabulary beside'),
    (('--option', 'k=3'), r'that name files \(there are none\), got k; the'),
  ],
)
def test_what_the_old_identifiers_settle(
  corpus, few, tmp_path, capsys, words, message
):
  given = ('--embeddings', str(tmp_path / 'vectors_of_few.npy'))
  old = tmp_path / 'old'
  assert index(few, old, *given, scheme='rq-kmeans') == 0
  capsys.readouterr()
  assert extend(old, corpus[0], tmp_path / 'new', *words) == 2
  error = capsys.readouterr().err
  assert re.match(rf'genret index: .*{message}', error), error
  assert error.count('\n') == 1
  assert not (tmp_path / 'new').exists()


def test_either_a_scheme_or_old_identifiers(corpus, tmp_path, capsys):
  words = ('index', 'docids', '--corpus', str(corpus[0]), '--output', 'x')
  for more in ((), ('--scheme', 'atomic', '--extend', 'y')):
    with pytest.raises(SystemExit) as stop:
      tools.main([*words, *more])
    assert stop.value.code == 2
    assert '--extend' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('scheme', 'options', 'warned'),
  [
    (
      'rq-kmeans',
      ['k=30'],
      'k=30 is not below the 30 documents: a single code',
    ),
    ('rq-kmeans', [], 'k=256 is not below the 30 documents'),
    ('pq', [], 'k=256 is not below'),
    ('hierarchical-kmeans', ['k=40', 'c=5'], 'k=40 is not below'),
    ('rq-kmeans', ['k=29'], ''),
    ('hierarchical-kmeans', ['k=40', 'c=30'], ''),
    ('random-codes', [], ''),
    ('atomic', [], ''),
  ],
)
def test_codes_that_say_nothing(
  corpus, tmp_path, capsys, scheme, options, warned
):
  words = [word for option in options for word in ('--option', option)]
  assert index(corpus, tmp_path, *words, scheme=scheme) == 0
  shown = capsys.readouterr().out
  assert bool(warned) == ('warning' in shown)
  assert build.degenerate(DocidTable.load(tmp_path)).startswith(warned)
  if warned:
    assert re.search(rf'warning  {warned}.*; take a smaller k\.\n', shown)
    assert 'k' in build.options_of(scheme)


def test_as_many_pieces_as_were_asked_for(corpus, tmp_path, capsys):
  assert index(corpus, tmp_path, '--vocabulary-size', '45') == 0
  assert re.search(r'text tokens  45\n', capsys.readouterr().out)
  model = str(tmp_path / vocabulary.VOCABULARY_FILE)
  other = tmp_path / 'other'
  assert index(corpus, other, '--vocabulary', model) == 0
  assert re.search(r'text tokens  45\n', capsys.readouterr().out)


def test_bytes_in_place_of_pieces(corpus, tmp_path, capsys):
  """As ByT5: 259 of its 384 rows are text, identifiers come behind them."""
  folder = tmp_path / 'docids'
  words = ['--vocabulary', vocabulary.BYTES]
  assert index(corpus, folder, *words, '--text-tokens', '384') == 0
  assert re.search(r'text tokens  384\n', capsys.readouterr().out)
  table = DocidTable.load(folder)
  assert vocabulary.load_vocabulary(folder, table.meta).encode('a') == [100]
  assert np.asarray(table.token_rows_DxL).min() >= 384
  words = ('index', 'fm', '--corpus', str(corpus[0]), *words)
  assert tools.main([*words, '--output', str(tmp_path / 'fm')]) == 0
  found = FMIndex.load(tmp_path / 'fm')
  title = corpus[1].documents[0].title.encode()
  assert found.count([byte + 3 for byte in title]) >= 1


def test_fm_holds_the_documents(corpus, tmp_path, capsys):
  folder, collection = corpus
  words = ('index', 'fm', '--corpus', str(folder), '--vocabulary-size', '120')
  output = tmp_path / 'fm'
  assert tools.main([*words, '--output', str(output), '--shards', '2']) == 0
  index = FMIndex.load(output)
  assert index.labels == [d.doc_id for d in collection.documents]
  assert len(index.segments) == 2
  pieces = vocabulary.load_vocabulary(
    output / vocabulary.VOCABULARY_FILE, index.meta
  )
  assert index.meta['corpus_hash'] == collection.hash
  marks = views.markers(pieces.get_piece_size())
  rows = views.document_rows(collection.documents, pieces, marks)
  for number, row in enumerate(rows):
    assert index.document(number).tolist() == row.tolist()
  shown = capsys.readouterr().out
  assert re.search(rf'documents  {len(index):,}\n', shown)
  assert re.search(r'bytes to decode  [\d,]+ \(\d+\.\d\d a token\)', shown)
  # With the vocabulary of the first, and the train queries as a third view.
  again = ('--vocabulary', str(output / vocabulary.VOCABULARY_FILE))
  again += ('--pseudo-queries', 'train', '--dimensions', '8')
  assert tools.main([*words, *again, '--output', str(tmp_path / 'b')]) == 0
  other = ngram_index.load(tmp_path / 'b')
  assert other.meta['vocabulary_hash'] == index.meta['vocabulary_hash']
  assert other.hash != index.meta['hash']
  asked = collection.queries_by_document('train')
  for number, document in enumerate(collection.documents):
    written = other.fm.document(number).tolist()
    for query in asked[document.doc_id]:
      key = [marks.query, *pieces.encode(query), marks.end]
      assert other.fm.count(key) >= 1
      assert any(written[i : i + len(key)] == key for i in range(len(written)))
  initial = embeddings.load(tmp_path / 'b')
  assert initial.output_VxE.shape == (other.vocab_size, 8)
  assert re.search(r'pseudo-queries  [1-9]', capsys.readouterr().out)


def test_fm_spares_what_is_no_index(corpus, tmp_path, capsys):
  (tmp_path / 'spiece.model').write_bytes(b'mine')
  words = ('index', 'fm', '--corpus', str(corpus[0]))
  for output in (tmp_path, tmp_path / 'spiece.model'):
    assert tools.main([*words, '--output', str(output)]) == 2
    assert 'holds something else; give another path' in capsys.readouterr().err
  assert (tmp_path / 'spiece.model').read_bytes() == b'mine'
