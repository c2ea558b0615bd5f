# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Searcher: equal to scoring every identifier, whatever the batch."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
import tiny

from genret import Searcher, tools
from genret import vocabulary as vocabulary_lib
from genret.corpus import load_collection
from genret.decoding.options import DecodingOptions, from_fields
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models import weights
from genret.models.t5 import Transformer
from genret.searcher import write_settings
from genret.tools import search as search_tool

SETTINGS = {
  'corpus': '',
  'input_length': 12,
  'num_beams': 4,
  'query_prefix': '',
}


@pytest.fixture(scope='module')
def run_folder(tmp_path_factory):
  """A run with random weights and semantic identifiers of several lengths."""
  folder = tmp_path_factory.mktemp('run')
  tiny.write_collection(folder / 'corpus')
  table = build.build(
    load_collection(folder / 'corpus'),
    folder / 'docids',
    scheme='hierarchical-kmeans',
    vocabulary_size=100,
    dimensions=32,
    options={'k': 3, 'c': 3},
  )
  assert len(set(table.lengths_D.tolist())) > 1
  module, params = tiny.model(table.vocab_size)
  weights.save_model(folder, module.config, params)
  write_settings(folder, SETTINGS | {'corpus': str(folder / 'corpus')})
  return folder


@pytest.fixture(scope='module')
def searcher(run_folder):
  return Searcher.load(run_folder)


def exhaustive(searcher, query, *, raw=False):
  """log p(identifier | query) of every document, by teacher forcing.

  With `raw`, the sum of the logits instead.
  """
  table = searcher.table
  input_1xT = vocabulary_lib.encode(searcher.vocabulary, [query], max_length=12)
  target_DxL = np.zeros((len(table), table.token_rows_DxL.shape[1] + 1), int)
  target_DxL[:, :-1] = table.token_rows_DxL
  target_DxL[np.arange(len(table)), table.lengths_D] = table.eos_id
  shifted_DxL = np.pad(target_DxL, ((0, 0), (1, 0)))[:, :-1]
  logits = searcher.module.apply(
    {'params': searcher.params},
    np.repeat(input_1xT, len(table), 0),
    shifted_DxL,
    target_DxL,
    enable_dropout=False,
  )
  logs = np.asarray(logits if raw else jax.nn.log_softmax(logits), np.float64)
  picked = np.take_along_axis(logs, target_DxL[..., None], -1)[..., 0]
  return (picked * (target_DxL > 0)).sum(1)


@pytest.mark.parametrize('query', ['bada dilo', 'puke', ''])
def test_all_documents_ranked_as_by_exhaustive_scoring(searcher, query):
  score_D = exhaustive(searcher, query)
  hits = searcher.search(query, k=100)
  assert len(hits) == len(searcher.table)
  expected = [searcher.table.doc_ids[i] for i in np.argsort(-score_D)]
  assert [hit.doc_id for hit in hits] == expected
  np.testing.assert_allclose(
    [hit.score for hit in hits], np.sort(score_D)[::-1], rtol=1e-4
  )


@pytest.mark.parametrize(
  ('options', 'kind'),
  [
    ({'normalize': 'none'}, 'raw'),
    ({'length_penalty': 'length', 'alpha': 0.8}, 'length'),
    # GENRE: the mean over tokens, the end among them.
    ({'length_penalty': 'length', 'alpha': 1.0}, 'mean'),
    ({'length_penalty': 'gnmt', 'alpha': 2.0}, 'gnmt'),
  ],
)
def test_decoding_options_rank_as_exhaustive_scoring(
  run_folder, searcher, options, kind
):
  changed = Searcher.load(run_folder)
  changed.decoding = DecodingOptions(**options)
  assert changed.fingerprint != searcher.fingerprint
  length_D = searcher.table.lengths_D + 1.0  # with the end
  divisor_D = {
    'raw': np.ones(len(length_D)),
    'length': length_D**0.8,
    'mean': length_D,
    'gnmt': ((5 + length_D) / 6) ** 2.0,
  }[kind]
  rankings = []
  for query in ('bada dilo', 'puke', ''):
    score_D = exhaustive(searcher, query, raw=kind == 'raw') / divisor_D
    hits = changed.search(query, k=100)
    expected = [searcher.table.doc_ids[i] for i in np.argsort(-score_D)]
    assert [hit.doc_id for hit in hits] == expected
    np.testing.assert_allclose(
      [hit.score for hit in hits], np.sort(score_D)[::-1], rtol=1e-4, atol=1e-4
    )
    rankings.append(expected != [h.doc_id for h in searcher.search(query, 100)])
  # A log-softmax or a lost divisor would go unnoticed if rankings were equal.
  assert any(rankings)


def test_without_constraint_only_identifiers_become_hits(run_folder, tmp_path):
  table = build.build(
    load_collection(run_folder / 'corpus'),
    tmp_path / 'docids',
    vocabulary_size=100,
    dimensions=32,
  )
  module, params = tiny.model(table.vocab_size)
  free = Searcher(
    module,
    params,
    vocabulary=vocabulary_lib.load_vocabulary(tmp_path / 'docids'),
    table=table,
    input_length=12,
    batch_size=3,
    decoding=DecodingOptions(constrained=False),
  )
  queries = {str(i): f'{word} dilo' for i, word in enumerate(tiny.WORDS[:3])}
  run, rates = free.measured(queries, 4000)
  assert 0 < rates['legal_rate'] < 0.5
  assert 0 < sum(map(len, run.values())) < len(queries) * len(free.table)
  for qid, hits in run.items():
    scores = dict(zip(free.table.doc_ids, exhaustive(free, queries[qid])))
    for hit in hits:
      assert hit.score == pytest.approx(scores[hit.doc_id], rel=1e-4)


def test_decoding_options_come_from_the_settings(run_folder, tmp_path):
  shutil.copytree(run_folder, tmp_path / 'run')
  settings = json.loads((tmp_path / 'run' / 'searcher.json').read_text())
  write_settings(tmp_path / 'run', settings | {'decoding': {'alpha': 0.5}})
  found = Searcher.load(tmp_path / 'run')
  assert found.decoding == DecodingOptions(alpha=0.5)
  write_settings(tmp_path / 'run', settings | {'decoding': {'beta': 0.5}})
  with pytest.raises(ValueError, match=r'fields of DecodingOptions \(constr'):
    Searcher.load(tmp_path / 'run')
  with pytest.raises(ValueError, match="none but got 'softmax'; choose"):
    DecodingOptions(normalize='softmax')
  with pytest.raises(ValueError, match="length but got 'nci'; choose"):
    DecodingOptions(length_penalty='nci')
  with pytest.raises(ValueError, match="true or false, got 'no'"):
    DecodingOptions(constrained='no')
  for alpha in ('1', float('nan'), float('inf')):
    with pytest.raises(ValueError, match='alpha to be a number, got'):
      DecodingOptions(alpha=alpha)
  assert from_fields(DecodingOptions, {}) == DecodingOptions()


@pytest.fixture(scope='module')
def titles_run(tmp_path_factory):
  """A run with random weights that writes up to two of six titles."""
  folder = tmp_path_factory.mktemp('titles')
  tiny.write_collection(folder / 'corpus', documents=6, titles=True)
  table = build.build(
    load_collection(folder / 'corpus'),
    folder / 'docids',
    scheme='title',
    vocabulary_size=60,
    dimensions=32,
  )
  module, params = tiny.model(table.vocab_size)
  weights.save_model(folder, module.config, params)
  decoding = {
    'max_titles': 2,
    'separator': '7',
    'length_penalty': 'length',
    'alpha': 1.0,
  }
  write_settings(
    folder,
    SETTINGS
    | {'corpus': str(folder / 'corpus'), 'num_beams': 64}
    | {'decoding': decoding},
  )
  return folder


def plain_several(searcher, query):
  """Documents and means of log-probabilities, by scoring all answers."""
  separator = searcher.vocabulary.encode('7')
  rows = [
    row[:n].tolist()
    for row, n in zip(
      searcher.table.token_rows_DxL, searcher.table.lengths_D, strict=True
    )
  ]
  answers = {(i,): row for i, row in enumerate(rows)}
  answers |= {
    (i, j): [*a, *separator, *b]
    for i, a in enumerate(rows)
    for j, b in enumerate(rows)
  }
  lengths = np.array([len(row) for row in answers.values()])
  flat = DocidTable(
    [str(pair) for pair in answers],
    np.array([[*r, *[0] * (lengths.max() - len(r))] for r in answers.values()]),
    lengths,
    searcher.table.vocab_size,
  )
  every = Searcher(
    searcher.module,
    searcher.params,
    vocabulary=searcher.vocabulary,
    table=flat,
  )
  mean_A = exhaustive(every, query) / (lengths + 1)
  found = {}
  for number in np.argsort(-mean_A):
    for document in list(answers)[number]:
      found.setdefault(searcher.table.doc_ids[document], mean_A[number])
  return found


def test_several_titles_rank_as_exhaustive_scoring(titles_run):
  searcher = Searcher.load(titles_run)
  assert len(searcher.separator) == 2
  longest = int(searcher.table.lengths_D.max())
  assert searcher.output_length == 2 * longest + 3
  orders = set()
  for query in ('bada dilo', 'puke', ''):
    hits = searcher.search(query, k=6)
    expected = plain_several(searcher, query)
    assert [hit.doc_id for hit in hits] == list(expected)
    np.testing.assert_allclose(
      [hit.score for hit in hits], list(expected.values()), rtol=1e-4
    )
    orders.add(len({hit.score for hit in hits}))
  assert min(orders) < 6  # Some documents have one answer's score.
  run, rates = searcher.measured({'a': 'bada', 'b': 'puke'}, 64)
  assert rates['legal_rate'] == 1
  assert rates['dead_end_rate'] == 0  # All 6 + 36 answers of 64 beams.
  assert [h.doc_id for h in run['a']] == list(plain_several(searcher, 'bada'))


def test_several_titles_from_the_command_line(titles_run, tmp_path, capsys):
  queries, output = tmp_path / 'queries.jsonl', tmp_path / 'run.trec'
  shutil.copy(titles_run / 'corpus' / 'queries.jsonl', queries)
  words = ['--run', titles_run, '--queries', queries, '--output', output]
  assert tools.main(['search', *map(str, words), '-k', '6']) == 0
  capsys.readouterr()
  qrels = titles_run / 'corpus' / 'qrels' / 'test.tsv'
  words = ['--run', output, '--qrels', qrels, '--measures', 'RR@10', '--json']
  assert tools.main(['evaluate', *map(str, words)]) == 0
  found = json.loads(capsys.readouterr().out)
  searcher = Searcher.load(titles_run)
  texts = {
    row['_id']: row['text']
    for row in map(json.loads, queries.read_text().splitlines())
  }
  judged = [line.split('\t')[:2] for line in qrels.read_text().splitlines()[1:]]
  places = [
    list(plain_several(searcher, texts[query])).index(document) + 1
    for query, document in judged
  ]
  mean = np.mean([1 / place for place in places])
  assert found['measures']['RR@10'] == pytest.approx(mean)


def test_settings_of_several_titles(titles_run):
  searcher = Searcher.load(titles_run)
  before = searcher.fingerprint
  with pytest.warns(
    UserWarning, match=r'of 6 are longer than max_length=2 and'
  ):
    searcher.decoding = DecodingOptions(max_length=2)
  assert searcher.output_length == 2
  assert searcher.separator == []
  assert searcher.fingerprint != before
  searcher.decoding = DecodingOptions(max_length=1000)
  assert searcher.output_length == searcher.table.lengths_D.max() + 1
  title = searcher.doc('d3').title
  with pytest.raises(
    ValueError, match=r"separator '.*', that of document 'd3'"
  ):
    searcher.decoding = DecodingOptions(max_titles=2, separator=title)
  with pytest.raises(
    ValueError, match=r"can spell, got ' \| '; choose another"
  ):
    searcher.decoding = DecodingOptions(max_titles=2)
  with pytest.raises(ValueError, match='max_titles of at least 1 but got 0'):
    DecodingOptions(max_titles=0)
  with pytest.raises(ValueError, match='max_length of at least 0 but got -1'):
    DecodingOptions(max_length=-1)
  with pytest.raises(ValueError, match='separator to be text, got 3'):
    DecodingOptions(separator=3)


def test_batches_do_not_change_hits(searcher):
  queries = [f'{a} {b}' for a in tiny.WORDS[:6] for b in tiny.WORDS[:6]]
  assert len(queries) > searcher.batch_size
  run = searcher.batch_search(queries, k=3)
  assert list(run) == [str(i) for i in range(len(queries))]
  for i in (0, 17, 35):
    alone = searcher.search(queries[i], k=3)
    assert [h.doc_id for h in run[str(i)]] == [h.doc_id for h in alone]
    np.testing.assert_allclose(
      [h.score for h in run[str(i)]], [h.score for h in alone], rtol=1e-5
    )


def test_hits_carry_text_and_documents(searcher):
  hit = searcher.search('bada', k=1)[0]
  document = searcher.doc(hit.docid)
  assert hit.text == document.text != ''
  with pytest.raises(
    KeyError, match="Expected one of 24 document ids, got 'x'"
  ):
    searcher.doc('x')


def test_no_queries(searcher):
  assert searcher.batch_search([], []) == {}


def test_query_ids_must_be_distinct(searcher):
  with pytest.raises(
    ValueError, match='Expected 2 distinct query ids, got 2 of'
  ):
    searcher.batch_search(['a', 'b'], ['q', 'q'])
  with pytest.raises(ValueError, match='got 1 of which 1 distinct'):
    searcher.batch_search(['a', 'b'], ['q'])


def test_prefix_is_part_of_the_query(run_folder, searcher):
  prefixed = Searcher.load(run_folder)
  prefixed.query_prefix = 'bada '
  ours = prefixed.search('dilo', k=5)
  assert ours == searcher.search('bada dilo', k=5)


def test_folders_that_are_no_run(run_folder, tmp_path):
  with pytest.raises(FileNotFoundError, match='make one with `genret train`'):
    Searcher.load(tmp_path)
  with pytest.raises(FileNotFoundError, match='checkpoint of step 7'):
    Searcher.load(run_folder, step=7)
  (tmp_path / 'searcher.json').write_text(json.dumps({'corpus': ''}))
  with pytest.raises(ValueError, match='input_length is missing'):
    Searcher.load(tmp_path)


def copy_of(run_folder, tmp_path, **settings):
  """The run elsewhere, with other settings."""
  folder = tmp_path / 'copy'
  shutil.copytree(run_folder, folder)
  stored = json.loads((folder / 'searcher.json').read_text())
  write_settings(folder, stored | settings)
  return folder


@pytest.mark.parametrize('text', [b'', b'{"corpus"', b'[]', b'\xff', b'null'])
def test_settings_that_are_none(tmp_path, text):
  path = tmp_path / 'searcher.json'
  path.write_bytes(text)
  with pytest.raises(
    ValueError,
    match=rf'^Expected a JSON object in {re.escape(str(path))}, found something'
    r' else; train again, or .*\.$',
  ):
    Searcher.load(tmp_path)


@pytest.mark.parametrize('k', [0, -3])
def test_hits_are_asked_for(searcher, k):
  message = rf'^Expected k of at least 1 hit, got {k}; ask for more\.$'
  with pytest.raises(ValueError, match=message):
    searcher.search('bada', k=k)
  with pytest.raises(ValueError, match=message):
    searcher.batch_search(['bada'], k=k)


@pytest.mark.parametrize('name', ['gone', 'gone.jsonl', 'docids'])
def test_without_its_corpus_a_run_still_answers(
  run_folder, searcher, tmp_path, name
):
  # A folder without corpus.jsonl is as good as none.
  folder = copy_of(run_folder, tmp_path, corpus=str(run_folder / name))
  with pytest.warns(
    UserWarning,
    match=rf'^Expected the corpus at {re.escape(str(run_folder / name))}, found '
    r"none: hits come without text; put it back, or .* the run's searcher\.json"
    r'\.$',
  ) as warned:
    bare = Searcher.load(folder)
  assert [warning.filename for warning in warned] == [__file__]
  hits = bare.search('bada', k=3)
  expected = searcher.search('bada', k=3)
  assert [(h.doc_id, h.score) for h in hits] == [
    (h.doc_id, h.score) for h in expected
  ]
  assert {hit.text for hit in hits} == {''}
  # Without a corpus by intent there is nothing to warn of.
  assert Searcher.load(copy_of(run_folder, tmp_path / 'b', corpus='')).trie


def test_another_corpus_is_refused(run_folder, tmp_path):
  other = tmp_path / 'other'
  tiny.write_collection(other, documents=12)
  folder = copy_of(run_folder, tmp_path, corpus=str(other))
  with pytest.raises(
    ValueError,
    match=r'^Expected the corpus that the identifiers name \(hash [0-9a-f]{12}\)'
    rf', {re.escape(str(other))} has hash [0-9a-f]{{12}}; put the old one back,',
  ):
    Searcher.load(folder)
  # Identifiers made by hand do not tell, and are believed.
  table = DocidTable.load(folder / 'docids')
  dataclasses.replace(table, meta={}).save(folder / 'docids')
  assert len(Searcher.load(folder).search('bada', k=24)) == 24


def test_another_vocabulary_is_refused(run_folder, tmp_path):
  folder = copy_of(run_folder, tmp_path)
  vocabulary_lib.train_vocabulary(
    ['another text'], folder / 'docids' / 'spiece.model'
  )
  with pytest.raises(ValueError, match='run `genret index docids` again'):
    Searcher.load(folder)


def test_identifiers_of_another_model(searcher):
  with pytest.raises(
    ValueError, match='Expected identifiers over the 64 tokens'
  ):
    Searcher(
      Transformer(tiny.config(64)),
      {},
      vocabulary=searcher.vocabulary,
      table=searcher.table,
    )


def test_command_answers_and_writes_runs(run_folder, tmp_path, capsys):
  assert search_tool.main(['--run', str(run_folder), 'bada', '-k', '2']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 2
  assert lines[0].split()[0] == '1'
  output = tmp_path / 'run.trec'
  queries = run_folder / 'corpus' / 'queries.jsonl'
  arguments = ['--queries', str(queries), '--output', str(output), '-k', '5']
  assert search_tool.main(['--run', str(run_folder), *arguments]) == 0
  rows = [line.split() for line in output.read_text().splitlines()]
  assert len(rows) == 24 * 4 * 5
  assert {row[1] for row in rows} == {'Q0'}


@pytest.mark.parametrize(
  ('query_id', 'output', 'words', 'message'),
  [
    (
      'q 1',
      'o',
      [],
      r"Expected a query id without white space .*, got 'q 1'; replace .*\.",
    ),
    ('q', 'o', ['--tag', 'a b'], "Expected a tag without .*, got 'a b'; .*"),
    (
      'q',
      '',
      [],
      r'Expected a file name for --output, got the folder .*name\.',
    ),
    (
      'q',
      'queries.jsonl/deep/o',
      [],
      r'Expected --output in a folder that .*deep does not \(.*\); give .*\.',
    ),
  ],
)
def test_command_checks_before_it_decodes(
  tmp_path, tmp_path_factory, capsys, query_id, output, words, message
):
  queries = tmp_path / 'queries.jsonl'
  queries.write_text(json.dumps({'_id': query_id, 'text': 'bada'}))
  # There are settings alone: nothing else of the run was opened.
  run = tmp_path_factory.mktemp('run')
  write_settings(run, SETTINGS | {'corpus': ''})
  arguments = ['--run', str(run), '--queries', str(queries), *words]
  arguments += ['--output', str(tmp_path / output)]
  assert tools.main(['search', *arguments]) == 2
  assert re.fullmatch(f'genret search: {message}\n', capsys.readouterr().err)
  assert [path.name for path in tmp_path.iterdir()] == ['queries.jsonl']


def test_command_checks_document_ids(run_folder, tmp_path, monkeypatch, capsys):
  folder = copy_of(run_folder, tmp_path, corpus='')
  table = DocidTable.load(folder / 'docids')
  doc_ids = ['d 0', *table.doc_ids[1:]]
  dataclasses.replace(table, doc_ids=doc_ids).save(folder / 'docids')
  monkeypatch.setattr(Searcher, 'batch_search', lambda *_, **__: 1 / 0)
  queries = str(run_folder / 'corpus')
  arguments = ['--queries', queries, '--output', str(tmp_path / 'o')]
  assert tools.main(['search', '--run', str(folder), *arguments]) == 2
  assert (
    "Expected a document id without white space for a TREC run, got 'd 0'"
    in (capsys.readouterr().err)
  )


def test_command_reads_lines(run_folder, capsys, monkeypatch):
  monkeypatch.setattr('sys.stdin', __import__('io').StringIO('bada\n\ndilo\n'))
  assert search_tool.main(['--run', str(run_folder), '-k', '1']) == 0
  assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--queries', 'q.jsonl'], 'expected --queries and --output together'),
    (['x', '--queries', 'q', '--output', 'o'], 'expected a query or --queries'),
    (['x', '-k', '0'], 'expected --hits of at least 1, got 0'),
  ],
)
def test_command_refuses(arguments, message, capsys):
  with pytest.raises(SystemExit) as error:
    search_tool.main(['--run', 'nowhere', *arguments])
  assert error.value.code == 2
  assert message in capsys.readouterr().err
