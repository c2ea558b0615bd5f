# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret search`: run files in every format, resumed searches, pages."""

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
import tiny

from genret import ngram_index, run_formats, tools, views
from genret.corpus import load_collection
from genret.docids import build
from genret.models import weights
from genret.models.t5 import Transformer
from genret.ngram_searcher import NgramSearcher
from genret.searcher import Searcher, write_settings
from genret.tools import search as search_tool

HITS = 3
# Words of a command that searches a file.
FILE = ['--queries', 'q', '--output', 'o']


def write_corpus(folder, doc_id=None):
  """The tiny collection, its documents with titles and other ids if asked."""
  tiny.write_collection(folder)
  lines = (folder / 'corpus.jsonl').read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  for number, row in enumerate(rows):
    row['title'] = f'<Title> {number}'
    if doc_id is not None:
      row['_id'] = doc_id(number, number + 1)
  (folder / 'corpus.jsonl').write_text(
    ''.join(json.dumps(row) + '\n' for row in rows)
  )


def write_run(folder, vocab_size, **settings):
  """A model with random weights, and how to search with it."""
  config = tiny.config(vocab_size)
  tokens = jnp.ones((1, 1), jnp.int32)
  params = Transformer(config).init(
    jax.random.key(1), tokens, tokens, tokens, enable_dropout=False
  )['params']
  weights.save_model(folder, config, params)
  common = {'input_length': 12, 'num_beams': 4, 'query_prefix': ''}
  corpus = {'corpus': str(folder / 'corpus')}
  write_settings(folder, corpus | common | settings)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run over two dozen documents that writes identifiers."""
  folder = tmp_path_factory.mktemp('run')
  write_identifiers(folder)
  return folder


def write_identifiers(folder, doc_id=None):
  write_corpus(folder / 'corpus', doc_id)
  if doc_id is not None:
    shutil.rmtree(folder / 'corpus' / 'qrels')
  table = build.build(
    load_collection(folder / 'corpus'),
    folder / 'docids',
    scheme='atomic',
    vocabulary_size=100,
    dimensions=8,
  )
  write_run(folder, table.vocab_size)


@pytest.fixture(scope='module')
def ngram_run(tmp_path_factory):
  """The same by n-grams of three views."""
  folder = tmp_path_factory.mktemp('ngrams')
  write_corpus(folder / 'corpus')
  collection = load_collection(folder / 'corpus')
  index = ngram_index.build(
    collection,
    folder / 'docids',
    vocabulary_size=100,
    pseudo_queries={d.doc_id: asked(d) for d in collection.documents},
  )
  keys = {
    # Words of the query are n-grams of the body without any search.
    'views': ['title', 'query'],
    'body_beams': 2,
    'title_length': 10,
    'title_beams': 3,
    'rescore': False,
    'unigrams': False,
  }
  # By log-probabilities alone, or no n-gram of these weights would count.
  scoring = {'frequencies': False}
  write_run(folder, index.vocab_size, keys=keys, scoring=scoring)
  return folder


def asked(document):
  """The pseudo-queries of a document."""
  words = document.text.split()
  return [' '.join(words[:2]), words[4]]


@pytest.fixture
def search(run, tmp_path, monkeypatch, capsys):
  """Runs `genret search` in an empty folder: status, output, errors."""
  monkeypatch.chdir(tmp_path)

  def call(*words, folder=run):
    status = tools.main(['search', '--run', str(folder), *map(str, words)])
    said = capsys.readouterr()
    # Progress bars rewrite their line.
    errors = [
      line
      for line in re.split('[\r\n]+', said.err)
      if line and not line.startswith('search: ')
    ]
    return status, said.out, '\n'.join(errors)

  return call


@pytest.fixture(scope='module')
def words(run):
  """What answers all 96 queries: three batches."""
  queries = run / 'corpus' / 'queries.jsonl'
  assert len(queries.read_text().splitlines()) == 96
  return ['--queries', queries, '-k', HITS]


def test_every_format_says_the_same(search, words, run, tmp_path):
  found = {}
  for name in run_formats.FORMATS:
    status, out, _ = search(*words, '--output', f'new/{name}', '--format', name)
    assert (status, out) == (0, f'96 queries -> new/{name}\n')
    found[name] = run_formats.read_run(tmp_path / 'new' / name, name)
  assert search(*words, '--output', 'new/trec', '--tag', 'mine')[0] == 0
  assert (tmp_path / 'new' / 'trec').read_text().endswith(' mine\n')
  assert found['trec'] == found['beir'] == found['kilt']
  assert {len(scores) for scores in found['trec'].values()} == {HITS}
  # No journal is left.
  assert sorted(os.listdir('new')) == sorted(run_formats.FORMATS)
  guess = json.loads((tmp_path / 'new' / 'kilt').read_text().splitlines()[7])
  collection = load_collection(run / 'corpus')
  assert guess['input'] == collection.queries[guess['id']]
  page = guess['output'][0]['provenance'][0]
  (document,) = [
    d for d in collection.documents if d.doc_id == page['wikipedia_id']
  ]
  assert (page['title'], page['text']) == (document.title, document.text)


def test_ids_that_trec_cannot_hold_are_fine_elsewhere(search, tmp_path):
  (tmp_path / 'q.tsv').write_text('q 1\tbada\n')
  words = ['--queries', 'q.tsv', '--output', 'o', '-k', 1]
  status, _, errors = search(*words)
  assert status == 2
  assert errors.startswith('genret search: Expected a query id without white ')
  assert search(*words, '--format', 'beir')[0] == 0
  assert list(run_formats.read_beir('o')) == ['q 1']


def test_no_queries(search, tmp_path):
  (tmp_path / 'q.jsonl').write_text('')
  for name, text in (('trec', ''), ('beir', '{\n\n}\n'), ('kilt', '')):
    words = ['--queries', 'q.jsonl', '--output', name, '--format', name]
    assert search(*words, '--html', 'page')[0] == 0
    assert (tmp_path / name).read_text() == text


def interrupted(search, words, tmp_path, name='o'):
  """The journal of the whole search, as if killed before its last act."""

  def fail(*_, **__):
    raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(run_formats, 'write_run', fail)
    status, _, errors = search(*words, '--output', name)
  assert status == 130
  assert errors.endswith('genret search: interrupted.')
  return (tmp_path / f'{name}.part').read_bytes()


def test_a_killed_search_goes_on_to_the_same_file(search, words, tmp_path):
  assert search(*words, '--output', 'whole')[0] == 0
  expected = (tmp_path / 'whole').read_bytes()
  full = interrupted(search, words, tmp_path)
  ends = [i + 1 for i, byte in enumerate(full) if byte == ord('\n')]
  assert len(ends) == 4
  (tmp_path / 'o').write_text('of an earlier search')
  for size, done in [
    (0, 0),
    (ends[0] // 2, 0),
    (ends[0], 0),
    (ends[1] - 1, 0),
    (ends[1], 32),
    (ends[2] + 7, 64),
    (len(full), 96),
  ]:
    (tmp_path / 'o.part').write_bytes(full[:size])
    status, _, errors = search(*words, '--output', 'o')
    assert status == 0
    assert (tmp_path / 'o').read_bytes() == expected
    assert not (tmp_path / 'o.part').exists()
    said = f'{done} of 96 queries are answered in o.part' if done else ''
    assert errors == said


_KILLED = """
import os, signal, sys
from genret import tools
from genret.searcher import Searcher
whole = Searcher.search_stream
def killed(*arguments, **options):
  for number, answer in enumerate(whole(*arguments, **options)):
    if number == 70:
      os.kill(os.getpid(), signal.SIGKILL)
    yield answer
Searcher.search_stream = killed
tools.main(sys.argv[1:])
"""


def test_killed_by_a_signal(search, words, run, tmp_path):
  arguments = [*map(str, words), '--output', 'o']
  ran = subprocess.run(
    [sys.executable, '-c', _KILLED, 'search', '--run', str(run), *arguments],
    capture_output=True,
    check=False,
  )
  assert ran.returncode == -signal.SIGKILL
  assert os.listdir() == ['o.part']
  status, _, errors = search(*arguments)
  assert (status, errors) == (0, '64 of 96 queries are answered in o.part')
  assert search(*words, '--output', 'whole')[0] == 0
  assert (tmp_path / 'o').read_bytes() == (tmp_path / 'whole').read_bytes()


def test_an_interrupt_says_how_to_go_on(search, words, monkeypatch):
  stream = Searcher.search_stream

  def interrupted(*arguments, **options):
    for number, answer in enumerate(stream(*arguments, **options)):
      if number == 40:
        raise KeyboardInterrupt
      yield answer

  with monkeypatch.context() as patch:
    patch.setattr(Searcher, 'search_stream', interrupted)
    status, _, errors = search(*words, '--output', 'o')
  assert status == 130
  assert errors.splitlines()[-2:] == [
    'the same command again goes on from here',
    'genret search: interrupted.',
  ]
  assert os.listdir() == ['o.part']
  assert '32 of 96' in search(*words, '--output', 'o')[2]


@pytest.mark.parametrize(
  ('changes', 'what'),
  [
    (['-k', '2'], 'number of hits'),
    (['--beams', '7'], '--beams'),
    (['--queries', 'other.tsv'], 'queries'),
  ],
)
def test_another_search_does_not_go_on(search, words, tmp_path, changes, what):
  (tmp_path / 'other.tsv').write_text('q\tbada\n')
  full = interrupted(search, words, tmp_path)
  again = [*words, '--output', 'o', *changes]
  status, _, errors = search(*again)
  message = (
    'genret search: Expected o.part to be of this search, it is of one with '
    f'another {what}; finish that one as it was begun, or drop what it found '
    'with --restart.'
  )
  assert (status, errors) == (2, message)
  assert (tmp_path / 'o.part').read_bytes() == full


def test_restart_begins_afresh(search, words, tmp_path):
  interrupted(search, words, tmp_path)
  again = [*words, '--output', 'o', '-k', 2]
  assert search(*again, '--restart') == (0, '96 queries -> o\n', '')
  assert len((tmp_path / 'o').read_text().splitlines()) == 96 * 2


def test_another_run_does_not_go_on(search, words, run, tmp_path):
  interrupted(search, words, tmp_path)
  settings = json.loads((run / 'searcher.json').read_text())
  other = tmp_path / 'other'
  other.mkdir()
  for name in os.listdir(run):
    (other / name).symlink_to(run / name)
  (other / 'searcher.json').unlink()
  write_settings(other, settings | {'query_prefix': 'bada '})
  status, _, errors = search(*words, '--output', 'o', folder=other)
  assert status == 2
  assert 'it is of one with another run; finish' in errors


def test_beams(search, monkeypatch):
  seen = []

  def spy(self, query, k):
    seen.append((self.num_beams, k))
    return []

  monkeypatch.setattr(Searcher, 'search', spy)
  search('bada')
  search('bada', '-k', 9, '--beams', 6)
  assert seen == [(4, 5), (6, 9)]


def test_identifiers_have_no_n_grams_to_explain(search, words, run, tmp_path):
  status, out, errors = search('bada', '-k', 2, '--explain')
  assert (status, errors) == (
    0,
    f'{run} finds documents by identifiers: there are no n-grams to show.',
  )
  assert len(out.splitlines()) == 2
  assert search(*words, '--output', 'o', '--explain')[0] == 0
  lines = (tmp_path / 'o.evidence.jsonl').read_text().splitlines()
  assert len(lines) == 96 * HITS
  row = json.loads(lines[HITS])
  assert (row['rank'], row['matches']) == (1, [])
  trec = (tmp_path / 'o').read_text().splitlines()[HITS].split()
  assert [row['qid'], row['docid']] == [trec[0], trec[2]]
  assert sorted(os.listdir()) == ['o', 'o.evidence.jsonl']


def test_a_page(search, words, tmp_path, monkeypatch):
  status, out, _ = search('who <b>', '-k', 2, '--html', 'new/page.html')
  assert status == 0
  assert out.splitlines()[-1] == 'page -> new/page.html'
  page = (tmp_path / 'new' / 'page.html').read_text()
  assert page.count('<article') == 2
  assert '<h2 dir="auto">who &lt;b&gt;</h2>' in page
  assert '&lt;Title&gt; ' in page
  assert search(*words, '--output', 'o', '--html', 'page.html')[0] == 0
  page = (tmp_path / 'page.html').read_text()
  assert (page.count('<section'), page.count('<article')) == (20, 20 * HITS)
  monkeypatch.setattr(search_tool, '_PAGE_HITS', 2)
  more = ['--html', 'page.html', '--html-queries', 2]
  assert search(*words, '--output', 'o', *more)[0] == 0
  page = (tmp_path / 'page.html').read_text()
  assert (page.count('<section'), page.count('<article')) == (2, 4)
  assert '3 documents, the first 2 shown' in page


def rows_of(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def few(ngram_run, tmp_path):
  """Forty queries: a whole batch and a part of one."""
  queries = ngram_run / 'corpus' / 'queries.jsonl'
  lines = queries.read_text().splitlines(keepends=True)[:40]
  (tmp_path / 'few.jsonl').write_text(''.join(lines))
  return ['--queries', 'few.jsonl', '--output', 'o', '-k', HITS]


def test_n_grams_are_explained(search, ngram_run, few, tmp_path):
  words = [*few, '--explain', '--html', 'page.html']
  assert search(*words, folder=ngram_run)[0] == 0
  rows = rows_of(tmp_path / 'o.evidence.jsonl')
  assert len(rows) == 40 * HITS
  scores = run_formats.read_run(tmp_path / 'o')
  collection = load_collection(ngram_run / 'corpus')
  documents = {d.doc_id: d for d in collection.documents}
  seen = set()
  for row in rows:
    written = scores[row['qid']][row['docid']]
    assert written == pytest.approx(row['score'], rel=1e-6)
    adds = [m['contribution'] for m in row['matches']]
    assert sum(adds) == pytest.approx(row['score'], rel=1e-6)
    document = documents[row['docid']]
    texts = {
      'title': document.title,
      'body': document.text,
      'query': '\n'.join(asked(document)),
    }
    for m in row['matches']:
      assert m['spans']
      for span in m['spans']:
        text = texts[span['view']][span['start'] : span['end']]
        # The vocabulary folds case.
        assert text.lower() == m['text'].strip()
        seen.add(span['view'])
  assert seen == set(views.VIEWS)
  # The page shows the same.
  page = (tmp_path / 'page.html').read_text()
  matches = sum(len(row['matches']) for row in rows[: 20 * HITS])
  assert page.count('<tr data-m=') == matches
  assert page.count('<h4>Pseudo-queries</h4>') > 10


def test_one_query_is_explained(search, ngram_run):
  status, out, errors = search('bada', '-k', 2, '--explain', folder=ngram_run)
  assert (status, errors) == (0, '')
  tables = out.split('\n\n')
  assert tables.pop() == ''
  assert len(tables) == 2
  for text in tables:
    hit, heading, *_, total = text.splitlines()
    assert heading.split()[:4] == ['adds', 'share', 'count', 'log']
    assert float(total.split()[0]) == pytest.approx(
      float(hit.split()[1]), abs=1
    )
    assert total.split()[1] == '100.0%'
    assert ' | ' in hit
  plain = search('bada', '-k', 2, folder=ngram_run)[1]
  assert plain.splitlines() == [text.splitlines()[0] for text in tables]


def test_evidence_survives_an_interrupt(search, ngram_run, few, tmp_path):
  words = [*few, '--explain', '--html', 'page.html', '--html-queries', 40]
  names = ['o', 'o.evidence.jsonl', 'page.html']
  assert search(*words, folder=ngram_run)[0] == 0
  expected = [(tmp_path / name).read_bytes() for name in names]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(run_formats, 'write_run', lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      search(*words, folder=ngram_run)
  part = (tmp_path / 'o.part').read_bytes()
  for size in (len(part), len(part) - 1, part.index(b'\n') + 20):
    (tmp_path / 'o.part').write_bytes(part[:size])
    assert search(*words, folder=ngram_run)[0] == 0
    assert [(tmp_path / name).read_bytes() for name in names] == expected
  # What was searched without n-grams cannot be explained afterwards.
  (tmp_path / 'o.part').write_bytes(part)
  status, _, errors = search(*few, folder=ngram_run)
  assert status == 2
  assert 'of one with another use of --explain or --html; finish' in errors


def test_beams_of_n_grams(search, ngram_run, monkeypatch):
  seen = []

  def spy(self, query, k):
    seen.append((self.keys.body_beams, self.keys.title_beams, self.explain))
    return []

  monkeypatch.setattr(NgramSearcher, 'search', spy)
  search('bada', folder=ngram_run)
  search('bada', '--beams', 6, '--explain', folder=ngram_run)
  search('bada', '--html', 'p', folder=ngram_run)
  assert seen == [(2, 3, False), (6, 6, True), (2, 3, True)]


def test_options_of_n_grams(search, ngram_run):
  words = ['bada', '-k', 3]
  plain = search(*words, folder=ngram_run)[1]
  same = ['--option', 'scoring.mode=intersective']
  assert search(*words, *same, folder=ngram_run)[1] == plain
  other = ['--option', 'scoring.mode=lm', '--option', 'keys.views=title']
  assert search(*words, *other, folder=ngram_run)[1] != plain


def test_what_an_option_sets(search, ngram_run, monkeypatch):
  seen = []

  def spy(self, query, k):
    seen.append((self.keys, self.scoring))
    return []

  monkeypatch.setattr(NgramSearcher, 'search', spy)
  search('bada', folder=ngram_run)
  words = [
    'keys.views=body,query',
    'keys.grade=none',
    'keys.constrained=false',
    'keys.body_length=4',
    'keys.diversity_penalty=2',
    'scoring.mode=lm+fm',
    'scoring.beta=0.5',
  ]
  flags = [part for word in words for part in ('--option', word)]
  assert search('bada', *flags, folder=ngram_run)[0] == 0
  (keys, scoring), changed = seen
  assert changed == (
    dataclasses.replace(
      keys,
      views=('body', 'query'),
      grade=None,
      constrained=False,
      body_length=4,
      diversity_penalty=2.0,
    ),
    dataclasses.replace(scoring, mode='lm+fm', beta=0.5),
  )


@pytest.mark.parametrize(
  ('word', 'message'),
  [
    ('mode=lm', 'Expected --option KIND.NAME=VALUE with one of keys.views'),
    ('keys.views', 'Expected --option KIND.NAME=VALUE with one of keys.views'),
    (
      'keys.body_beams=3.5',
      "Expected a whole number for --option keys.body_beams, got '3.5'.",
    ),
    (
      'keys.unigrams=1',
      "Expected true or false for --option keys.unigrams, got '1'.",
    ),
    (
      'scoring.alpha=x',
      "Expected a number for --option scoring.alpha, got 'x'.",
    ),
    ('scoring.mode=bm25', 'Expected a mode among'),
    ('keys.body_beams=0', 'body_beams'),
  ],
)
def test_options_that_cannot_be(search, ngram_run, word, message):
  status, out, errors = search('x', '--option', word, folder=ngram_run)
  assert (status, out) == (2, '')
  assert message in errors


def test_identifiers_have_no_such_options(search, run):
  status, _, errors = search('bada', '--option', 'scoring.mode=lm')
  assert status == 2
  assert errors == (
    'genret search: Expected --option KIND.NAME=VALUE with one of '
    'decoding.constrained, decoding.normalize, decoding.length_penalty, '
    'decoding.alpha, decoding.max_titles, decoding.separator, '
    "decoding.max_length, got 'scoring.mode=lm'."
  )


def test_options_of_identifiers(search, run):
  same = ['--option', 'decoding.normalize=vocabulary']
  assert search('bada', *same, folder=run) == search('bada', folder=run)
  raw = search('bada', '--option', 'decoding.normalize=none', folder=run)
  assert raw[0] == 0
  assert raw != search('bada', folder=run)


@pytest.mark.parametrize(
  ('changes', 'what'),
  [
    (['--beams', 4], '--beams or --option keys'),
    (['--option', 'scoring.beta=0.5'], '--option scoring'),
    (
      ['--option', 'keys.query_ngrams=1', '--explain'],
      'use of --explain or --html and --beams or --option keys',
    ),
  ],
)
def test_a_search_of_other_options_does_not_go_on(
  search, ngram_run, few, tmp_path, changes, what
):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(run_formats, 'write_run', lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      search(*few, folder=ngram_run)
  status, _, errors = search(*few, *changes, folder=ngram_run)
  assert status == 2
  assert f'it is of one with another {what}; finish' in errors
  assert search(*few, folder=ngram_run)[0] == 0


def test_names_that_are_no_passages(search, words):
  kilt = [*words, '--output', 'o', '--format', 'kilt']
  status, _, errors = search(*kilt, '--passages')
  assert status == 2
  assert errors == (
    'genret search: Expected the id of a passage, PAGE-PARAGRAPH or '
    "PAGE-FIRST-LAST, got 'd0'; rename the documents, or write their "
    'ids as those of pages.'
  )


def test_a_run_of_passages(search, words, tmp_path):
  folder = tmp_path / 'run'
  write_identifiers(folder, doc_id='7-{}-{}'.format)
  kilt = [*words, '--output', 'o', '--format', 'kilt']
  assert search(*kilt, '--passages', folder=folder)[0] == 0
  plain = [*words, '--output', 'plain', '--format', 'kilt']
  assert search(*plain, folder=folder)[0] == 0
  for line, same in zip(*map(rows_of, map(tmp_path.joinpath, ('o', 'plain')))):
    for found, whole in zip(
      line['output'][0]['provenance'], same['output'][0]['provenance']
    ):
      first, last = found['start_paragraph_id'], found['end_paragraph_id']
      assert found['wikipedia_id'] == '7'
      assert last == first + 1
      assert whole['wikipedia_id'] == f'7-{first}-{last}'
      assert found['title'] == whole['title'] == f'<Title> {first}'


def test_without_a_corpus(search, words, run, tmp_path):
  settings = json.loads((run / 'searcher.json').read_text())
  bare = tmp_path / 'bare'
  bare.mkdir()
  for name in os.listdir(run):
    (bare / name).symlink_to(run / name)
  (bare / 'searcher.json').unlink()
  write_settings(bare, settings | {'corpus': ''})
  options = ['--format', 'kilt', '--html', 'page.html']
  assert search(*words, '--output', 'o', *options, folder=bare)[0] == 0
  guess = json.loads((tmp_path / 'o').read_text().splitlines()[0])
  pages = guess['output'][0]['provenance']
  assert [sorted(page) for page in pages] == HITS * [['score', 'wikipedia_id']]
  assert '(no text)' in (tmp_path / 'page.html').read_text()


def test_lines_are_answered(search, monkeypatch):
  monkeypatch.setattr('sys.stdin', io.StringIO('bada\n\ndilo\n'))
  status, out, _ = search('-k', 2)
  assert status == 0
  alone = search('bada', '-k', 2)[1] + search('dilo', '-k', 2)[1]
  assert out == alone


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (
      ['--queries', 'q'],
      'expected --queries and --output together, got one of',
    ),
    (['--output', 'o'], 'expected --queries and --output together, got one of'),
    (
      ['x', '--queries', 'q', '--output', 'o'],
      'expected a query or --queries,',
    ),
    (['x', '-k', '0'], 'expected --hits of at least 1, got 0.'),
    (['x', '--beams', '-1'], 'expected --beams of at least 1, got -1.'),
    (
      [*FILE, '--html', 'p', '--html-queries', '0'],
      'expected --html-queries of at least 1, got',
    ),
    (['x', '--format', 'beir'], 'expected --queries with --format, got none.'),
    (['x', '--restart'], 'expected --queries with --restart, got none.'),
    (['x', '--tag', 't'], 'expected --queries with --tag, got none.'),
    (['x', '--passages'], 'expected --queries with --passages, got none.'),
    (
      [*FILE, '--format', 'beir', '--tag', 't'],
      'expected --format trec with --tag, got beir.',
    ),
    (
      [*FILE, '--passages'],
      'expected --format kilt with --passages, got trec.',
    ),
    (
      [*FILE, '--html-queries', '3'],
      'expected --html with --html-queries, got none.',
    ),
    (
      ['--html', 'p'],
      'expected a query or --queries with --html, got neither.',
    ),
    (['x', '--format', 'csv'], 'trec, beir, kilt'),
  ],
)
def test_what_does_not_fit_together_is_refused(arguments, message, capsys):
  with pytest.raises(SystemExit) as error:
    tools.main(['search', '--run', 'nowhere', *arguments])
  assert error.value.code == 2
  assert message in capsys.readouterr().err.replace("'", '')


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (
      ['--queries', 'q.tsv', '--output', 'o', '--html', './o'],
      'Expected two files for --output and --html, got o for both; rename one.',
    ),
    (['x', '--html', '.'], 'Expected a file name for --html, got the folder'),
    (
      ['--queries', 'q.tsv', '--output', 'o', '--html', 'q.tsv/p'],
      'Expected --html in a folder that takes files, q.tsv does not (',
    ),
    (['--queries', 'q.tsv', '--output', 'o'], 'Expected a run folder with'),
  ],
)
def test_errors_are_one_sentence(search, tmp_path, words, message):
  (tmp_path / 'q.tsv').write_text('q\tbada\n')
  status, out, errors = search(*words, folder='nowhere')
  assert (status, out) == (2, '')
  assert errors.startswith(f'genret search: {message}')
  assert errors.count('\n') == 0
  assert os.listdir() == ['q.tsv']


def test_empty_queries_are_told(search, run, tmp_path):
  status, out, errors = search(' ')
  assert (status, out) == (2, '')
  assert 'Expected a query, got none between the quotes' in errors
  (tmp_path / 'q.tsv').write_text('a\tbada\nb\t\n')
  words = ('--queries', str(tmp_path / 'q.tsv'), '--output', 'o.trec')
  status, _, errors = search(*words)
  assert status == 0
  assert '1 of 2 queries are empty' in errors


def test_help_shows_examples(capsys):
  with pytest.raises(SystemExit) as error:
    tools.main(['search', '--help'])
  assert error.value.code == 0
  out = capsys.readouterr().out
  assert '  genret search --run runs/seal --explain "who' in out
  for flag in ('--format {trec,beir,kilt}', '--restart', '--html-queries N'):
    assert flag in out
