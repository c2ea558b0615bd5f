# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Search by n-grams, whole: trained, opened, searched and explained."""

import dataclasses
import json

import numpy as np
import optax
import pytest
import tiny_collection

from genret import ngram_index, ngram_searcher
from genret import train as train_lib
from genret.decoding.ngram_keys import KeyOptions
from genret.evaluate import evaluate_searcher, split_queries
from genret.models.t5 import T5Config, Transformer
from genret.ranking.ngrams import Scoring
from genret.searcher import SETTINGS_FILE, Searcher
from genret.tasks import ngrams

pytestmark = pytest.mark.optax

KEYS = {'body_length': 4, 'body_beams': 4, 'title_length': 6, 'title_beams': 3}
SCORING = {'beta': 0.7}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A small T5 that has learned to write n-grams for half a minute."""
  folder = tmp_path_factory.mktemp('seal')
  collection = tiny_collection.write(folder / 'corpus')
  index = ngram_index.build(
    collection, folder / 'index', vocabulary_size=150, pseudo_queries={}
  )
  name = ngrams.mixture(
    name='tiny_seal',
    corpus=folder / 'corpus',
    index=folder / 'index',
    rates={'supervised': 1},
  )
  train_lib.train(
    module=Transformer(
      T5Config(
        vocab_size=index.vocab_size,
        emb_dim=32,
        num_heads=2,
        head_dim=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
        mlp_dim=64,
        dropout_rate=0.0,
      )
    ),
    mixture_or_task_name=name,
    task_feature_lengths={'inputs': 24, 'targets': 12},
    train_steps=300,
    batch_size=32,
    model_dir=folder / 'run',
    corpus=folder / 'corpus',
    docids=folder / 'index',
    optimizer=optax.adam(5e-3),
    keys=KEYS,
    scoring=SCORING,
    eval_period=300,
    eval_split='train',
    checkpoint_period=300,
    progress=False,
  )
  return folder / 'run', collection


@pytest.fixture(scope='module')
def searcher(run):
  found = Searcher.load(run[0])
  assert isinstance(found, ngram_searcher.NgramSearcher)
  return found


def changed(searcher, **changes):
  """A searcher over the same model with other parts."""
  parts = {
    'identifiers': searcher.identifiers,
    'documents': list(searcher._documents.values()),
    'keys': searcher.keys,
    'scoring': searcher.scorer.scoring,
    'input_length': searcher.input_length,
    'batch_size': searcher.batch_size,
  }
  return ngram_searcher.NgramSearcher(
    searcher.module, searcher.params, **(parts | changes)
  )


def test_training_helps(run, searcher):
  folder, collection = run
  log = [json.loads(x) for x in (folder / 'log.jsonl').read_text().splitlines()]
  before, after = (x for x in log if 'train/Success@1' in x)
  assert before['step'] == 0
  assert after['step'] == 300
  # The untrained model has the query's own words for keys, too.
  assert after['train/Success@1'] >= before['train/Success@1'] + 0.3
  assert after['train/Success@1'] >= 0.6
  assert after['train/keys'] > 10
  assert after['train/empty_rate'] == 0
  queries, qrels = split_queries(collection, 'dev')
  system = evaluate_searcher(searcher, queries, qrels)
  assert system.evaluation.mean['Success@10'] >= 0.6
  assert list(system.run) == list(queries)
  assert all(not hit.matches for hits in system.run.values() for hit in hits)
  assert searcher.explain  # as it was


def test_hits_say_why(searcher):
  fm, marks = searcher.identifiers.fm, searcher.identifiers.marks
  assert searcher.scorer.scoring == Scoring(**SCORING)
  (hit, *others) = searcher.search('which garden has name4', k=5)
  assert hit.doc_id == 'd4'
  assert hit.text == ' | '.join(
    (searcher.doc('d4').title, searcher.doc('d4').text)
  )
  for found in (hit, *others):
    document = searcher.doc(found.doc_id)
    row = fm.document(fm.number_of(found.doc_id)).tolist()
    total = sum(match.contribution for match in found.matches)
    assert total == pytest.approx(found.score, rel=1e-9)
    values = [match.contribution for match in found.matches]
    assert values == sorted(values, reverse=True)
    for match in found.matches:
      assert match.count == fm.count(match.tokens) >= 1
      assert match.spans or set(match.tokens) <= set(marks.ids)
      for span in match.spans:
        end = span.offset + len(match.tokens)
        assert tuple(row[span.offset : end]) == match.tokens
        text = {'title': document.title, 'body': document.text}[span.view]
        words = text[span.start : span.end]
        assert words.replace(' ', '') in match.text.replace(' ', '')
  assert any('name4' in match.text for match in hit.matches)


def test_streams_batches_and_single_queries_agree(searcher):
  queries = [f'which sea has name{i}' for i in range(5)] + ['']
  small = changed(searcher, batch_size=4)
  streamed = list(small.search_stream(queries, None, 4))
  assert [qid for qid, _ in streamed] == [str(i) for i in range(6)]
  together = small.batch_search(queries, k=4)
  assert dict(streamed) == together
  for qid, hits in together.items():
    alone = small.search(queries[int(qid)], 4)
    assert [h.doc_id for h in alone] == [h.doc_id for h in hits]
    assert [h.score for h in alone] == pytest.approx(
      [h.score for h in hits], rel=1e-3
    )
  assert small.batch_search([], k=4) == {}
  with pytest.raises(ValueError, match='Expected k of at least 1 hit, got 0'):
    small.search('sea', 0)
  with pytest.raises(ValueError, match='2 of which 1 distinct'):
    small.batch_search(['a', 'b'], ['x', 'x'])


def test_documents_are_read_back_without_the_corpus(searcher):
  alone = changed(searcher, documents=None)
  known = searcher.search('which music has name2', k=3)
  found = alone.search('which music has name2', k=3)
  assert [(h.doc_id, h.score) for h in found] == [
    (h.doc_id, h.score) for h in known
  ]
  assert [h.text for h in found] == [h.text for h in known]  # lower case
  assert [h.matches for h in found] == [h.matches for h in known]
  assert alone.doc('d2') == searcher.doc('d2')
  for one in (alone, searcher):
    with pytest.raises(KeyError, match='nobody'):
      one.doc('nobody')


def test_minder_without_its_view_is_seal(searcher):
  views = dataclasses.replace(searcher.keys, views=('body', 'title', 'query'))
  minder = changed(searcher, keys=views)
  for query in ('which sea has name3', 'storm'):
    assert minder.search(query, 5) == searcher.search(query, 5)


def test_pseudo_queries_find_their_document(run, searcher, tmp_path):
  _, collection = run
  index = ngram_index.build(
    collection,
    tmp_path / 'index',
    vocabulary=run[0] / 'docids',
    pseudo_queries={'d7': ['which garden has name4']},
  )
  assert index.vocab_size == searcher.module.config.vocab_size
  keys = KeyOptions(
    views=('query',), title_length=40, query_ngrams=0, unigrams=False
  )
  # The model was not taught this view, and says less of it than its frequency.
  scoring = Scoring(frequencies=False)
  minder = changed(searcher, identifiers=index, keys=keys, scoring=scoring)
  (hit,) = minder.search('which garden has name4', 5)
  assert hit.doc_id == 'd7'
  (match,) = hit.matches
  assert match.tokens[0] == index.marks.query
  assert match.tokens[-1] == index.marks.end
  assert match.text == 'which garden has name4'
  (span,) = match.spans
  assert (span.view, span.start, span.end) == ('query', 0, len(match.text))


def test_modes_of_scoring(searcher):
  query = 'which garden has name4'
  for mode in ('lm', 'lm+fm', 'intersective'):
    hits = changed(searcher, scoring=Scoring(mode=mode)).search(query, 3)
    for hit in hits:
      assert len(hit.matches) >= 1
      if mode != 'intersective':
        (match,) = hit.matches
        assert match.contribution == hit.score
      if mode == 'lm':
        assert hit.score == pytest.approx(match.log_probability, abs=1e-6)


def test_the_fingerprint_tells_searchers_apart(searcher):
  same = changed(searcher)
  others = [
    changed(searcher, keys=KeyOptions(body_beams=3)),
    changed(searcher, scoring=Scoring(beta=0.5)),
    changed(searcher, batch_size=7),
  ]
  weights = changed(searcher)
  weights.params = {'x': np.zeros(3)}
  found = [x.fingerprint for x in (searcher, same, *others, weights)]
  assert found[0] == found[1]
  assert len(set(found)) == 5


def test_settings_that_do_not_fit(run, searcher, tmp_path):
  folder, _ = run
  path = folder / SETTINGS_FILE
  text = path.read_text()
  settings = json.loads(text)
  try:
    path.write_text(json.dumps({**settings, 'keys': {'beams': 3}}))
    with pytest.raises(ValueError, match=r'fields of KeyOptions .*got beams'):
      Searcher.load(folder)
    path.write_text(json.dumps({**settings, 'query_prefix': 'Question: '}))
    with pytest.raises(ValueError, match=r"no query_prefix .*got 'Question: '"):
      Searcher.load(folder)
  finally:
    path.write_text(text)
  module = Transformer(
    dataclasses.replace(searcher.module.config, vocab_size=9)
  )
  with pytest.raises(ValueError, match='over the 9 tokens of the model'):
    ngram_searcher.NgramSearcher(
      module, searcher.params, identifiers=searcher.identifiers
    )
