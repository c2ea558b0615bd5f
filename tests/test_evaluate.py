# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Evaluating a run: the figures are those of the run files it leaves."""

import json
import shutil

import pytest
import tiny

from genret import evaluate, metrics
from genret.corpus import load_collection, read_qrels
from genret.docids import build
from genret.models import weights
from genret.runs import read_trec
from genret.searcher import write_settings


@pytest.fixture(scope='module')
def run_folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run')
  tiny.write_collection(folder / 'corpus')
  table = build.build(
    load_collection(folder / 'corpus'),
    folder / 'docids',
    vocabulary_size=100,
    dimensions=32,
  )
  module, params = tiny.model(table.vocab_size)
  weights.save_model(folder, module.config, params)
  settings = {
    'corpus': str(folder / 'corpus'),
    'input_length': 12,
    'num_beams': 4,
    'query_prefix': '',
  }
  write_settings(folder, settings)
  return folder


@pytest.fixture(scope='module')
def report(run_folder):
  return evaluate.write_report(
    run_folder,
    corpus=run_folder / 'corpus',
    depth=30,
    initial=True,
    extra={'command': 'a test', 'seconds': {'train': 1.5}},
    progress=False,
  )


def test_report_is_written_as_returned(run_folder, report):
  written = json.loads((run_folder / 'report.json').read_text())
  assert written == report
  assert set(report['systems']) == {
    'genret',
    'genret, untrained',
    'bm25',
    'random',
  }
  assert report['seconds']['train'] == 1.5
  assert set(report['seconds']) > {'search genret', 'search bm25'}
  assert report['command'] == 'a test'
  assert (report['queries'], report['documents']) == (24, 24)
  assert report['corpus_hash'] == load_collection(run_folder / 'corpus').hash


def test_figures_are_those_of_the_run_files(run_folder, report):
  qrels = read_qrels(run_folder / 'corpus' / 'qrels' / 'test.tsv')
  for name, file in (
    ('genret', 'genret'),
    ('genret, untrained', 'genret_untrained'),
    ('bm25', 'bm25'),
    ('random', 'random'),
  ):
    run = read_trec(run_folder / f'test.{file}.trec')
    again = metrics.evaluate(run, qrels).mean
    for measure, value in again.items():
      assert report['systems'][name][measure] == pytest.approx(value, abs=1e-12)


def test_more_beams_than_identifiers_find_everything(report):
  ours = report['systems']['genret']
  assert ours['R@100'] == 1.0  # 30 beams, 24 documents
  assert ours['legal_rate'] == 1.0
  assert ours['dead_end_rate'] == 0.0
  assert report['systems']['bm25']['Success@1'] > 0.8  # queries quote documents


def test_untrained_equals_trained_by_no_steps(report):
  systems = report['systems']
  assert systems['genret'] == systems['genret, untrained']
  p_values = report['p_values_against_bm25']
  assert p_values['genret']['Success@1'] < 0.05  # random weights lose


def test_splits(run_folder):
  collection = load_collection(run_folder / 'corpus')
  queries, qrels = evaluate.split_queries(collection, 'train', limit=5)
  assert list(queries) == list(qrels) == list(collection.qrels['train'])[:5]
  with pytest.raises(
    ValueError, match="splits dev, test, train of corpus, got 'x'"
  ):
    evaluate.split_queries(collection, 'x')
  del collection.queries[next(iter(qrels))]
  with pytest.raises(ValueError, match="1 of split 'train' have none"):
    evaluate.split_queries(collection, 'train')


def test_baselines_rank_their_own_documents(run_folder):
  collection = load_collection(run_folder / 'corpus')
  queries, qrels = evaluate.split_queries(collection, 'dev')
  systems = evaluate.evaluate_baselines(collection, queries, qrels, seed=3)
  hits = systems['random'].run[next(iter(queries))]
  assert sorted(h.doc_id for h in hits) == sorted(
    d.doc_id for d in collection.documents
  )
  assert systems['bm25'].evaluation.mean['Success@10'] > 0.9


def test_doct5query_is_bm25_over_more_text(run_folder, tmp_path):
  collection = load_collection(run_folder / 'corpus')
  queries, qrels = evaluate.split_queries(collection, 'test')
  # One document has a word that no text has, and every query asks for it.
  lucky = collection.documents[3].doc_id
  pseudo_queries = tmp_path / 'queries.jsonl'
  pseudo_queries.write_text(json.dumps({'doc_id': lucky, 'queries': ['zzz']}))
  asked = dict.fromkeys(queries, 'zzz')
  systems = evaluate.evaluate_baselines(
    collection, asked, qrels, pseudo_queries=pseudo_queries
  )
  assert list(systems) == ['bm25', 'random', 'docT5query']
  assert not any(systems['bm25'].run.values())
  for hits in systems['docT5query'].run.values():
    assert [hit.doc_id for hit in hits] == [lucky]


def test_a_report_with_doct5query(run_folder, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(run_folder, folder)
  arguments = {'corpus': run_folder / 'corpus', 'split': 'dev', 'depth': 4}
  found = evaluate.write_report(
    folder, **arguments, pseudo_queries='train', progress=False
  )
  assert set(found['systems']) == {'genret', 'bm25', 'random', 'docT5query'}
  assert set(found['p_values_against_bm25']) == {
    'genret',
    'random',
    'docT5query',
  }
  assert len(read_trec(folder / 'dev.docT5query.trec')) == 24
  with pytest.raises(ValueError, match="other than those of the split 'dev'"):
    evaluate.write_report(
      folder, **arguments, pseudo_queries='dev', progress=False
    )
