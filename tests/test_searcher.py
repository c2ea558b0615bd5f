# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Searcher: equal to scoring every identifier, whatever the batch."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from genret import Searcher
from genret import vocabulary as vocabulary_lib
from genret.corpus import load_collection
from genret.docids import build
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
  config = tiny.config(table.vocab_size)
  tokens = jnp.ones((1, 1), jnp.int32)
  params = Transformer(config).init(
    jax.random.key(1), tokens, tokens, tokens, enable_dropout=False
  )['params']
  weights.save_model(folder, config, params)
  write_settings(folder, SETTINGS | {'corpus': str(folder / 'corpus')})
  return folder


@pytest.fixture(scope='module')
def searcher(run_folder):
  return Searcher.load(run_folder)


def exhaustive(searcher, query):
  """log p(identifier | query) of every document, by teacher forcing."""
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
  logs = np.asarray(jax.nn.log_softmax(logits), np.float64)
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
