# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""DenseSearcher: equal to comparing every pair of texts, one at a time."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_collection

from genret import Searcher, run_folders, tools
from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.dense_searcher import DenseSearcher
from genret.docids import build
from genret.models import weights
from genret.searcher import write_settings

# Short, so that texts are cut, and of prefixes of their own.
LENGTHS = {'input_length': 5, 'document_length': 9}
PREFIXES = {'query_prefix': 'sea ', 'passage_prefix': 'rose '}
SETTINGS = {
  'num_beams': 4,
  'retriever': 'vectors',
  **LENGTHS,
  **PREFIXES,
}


@pytest.fixture(scope='module')
def run_folder(tmp_path_factory):
  """A run with random weights."""
  folder = tmp_path_factory.mktemp('run')
  collection = tiny_collection.write(folder / 'corpus')
  table = build.build(
    collection, folder / 'docids', vocabulary_size=120, dimensions=32
  )
  module, params = tiny.model(table.vocab_size)
  weights.save_model(folder, module.config, params)
  write_settings(folder, SETTINGS | {'corpus': str(folder / 'corpus')})
  return folder


@pytest.fixture(scope='module')
def searcher(run_folder):
  return Searcher.load(run_folder)


def vector(searcher, text, max_length):
  """The mean of the states of one text without padding, of length 1."""
  tokens = searcher.vocabulary.encode(text)[: max_length - 1]
  states = searcher.module.apply(
    {'params': searcher.params},
    jnp.asarray([[*tokens, vocabulary_lib.EOS_ID]]),
    enable_dropout=False,
    method='encode',
  )
  mean = np.asarray(states, np.float64)[0].mean(0)
  return mean / np.linalg.norm(mean)


def cosines(searcher, query):
  """The cosine of every document, one pair at a time."""
  asked = vector(searcher, f'sea {query}', 5)
  return {
    d.doc_id: asked @ vector(searcher, f'rose {d.title} {d.text}', 9)
    for d in tiny_collection.documents()
  }


QUERIES = ['which sea has name3', '', 'violin ' * 9, 'rose name7 mark2', 'ship']


def test_finds_what_comparing_every_pair_finds(searcher):
  assert isinstance(searcher, DenseSearcher)
  for query in QUERIES:
    expected = cosines(searcher, query)
    hits = searcher.search(query, k=7)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(
      scores, sorted(expected.values(), reverse=True)[:7], atol=2e-5
    )
    np.testing.assert_allclose(
      scores, [expected[hit.doc_id] for hit in hits], atol=2e-5
    )
    assert len({hit.doc_id for hit in hits}) == 7
    for hit in hits:
      document = searcher.doc(hit.doc_id)
      assert hit.text == f'{document.title} | {document.text}'


def test_a_batch_as_one_by_one(searcher):
  searcher.batch_size = 2  # two that are full, and one that is not
  try:
    run = searcher.batch_search(QUERIES, list('abcde'), k=3)
    streamed = list(searcher.search_stream(QUERIES, k=3))
    measured, rates = searcher.measured(
      dict(zip('abcde', QUERIES, strict=True)), k=3
    )
  finally:
    searcher.batch_size = 32
  assert list(run) == list('abcde')
  assert [qid for qid, _ in streamed] == list('01234')
  assert rates == {}
  for query, hits, (_, others), more in zip(
    QUERIES, run.values(), streamed, measured.values(), strict=True
  ):
    alone = searcher.search(query, k=3)
    for found in (hits, others, more):
      assert [h.doc_id for h in found] == [h.doc_id for h in alone]
      np.testing.assert_allclose(
        [h.score for h in found], [h.score for h in alone], atol=1e-5
      )


def test_new_parameters_are_new_vectors(searcher):
  before, old = searcher.search('ship', k=3), searcher.params
  vectors, fingerprint = searcher.vectors, searcher.fingerprint
  try:
    searcher.params = jax.tree.map(lambda x: x[..., ::-1], old)
    assert np.abs(np.asarray(searcher.vectors - vectors)).max() > 0.01
    assert searcher.fingerprint != fingerprint
    for hit in searcher.search('ship', k=3):
      assert hit.score == pytest.approx(
        cosines(searcher, 'ship')[hit.doc_id], abs=2e-5
      )
  finally:
    searcher.params = old
  assert searcher.search('ship', k=3) == before
  assert searcher.fingerprint == fingerprint


def made(searcher, documents, **options):
  return DenseSearcher(
    searcher.module,
    searcher.params,
    vocabulary=searcher.vocabulary,
    documents=documents,
    **options,
  )


def test_equal_documents_rank_in_the_order_of_the_corpus(searcher):
  documents = [Document(name, '', 'ship sail') for name in 'zayb']
  found = made(searcher, documents)
  assert [hit.doc_id for hit in found.search('rose', k=9)] == list('zayb')
  assert len({hit.score for hit in found.search('rose', k=9)}) == 1


def test_few_documents_and_none(searcher):
  assert made(searcher, []).search('ship') == []
  assert made(searcher, []).batch_search(['ship', '']) == {'0': [], '1': []}
  (hit,) = made(searcher, [Document('only')]).search('ship', k=5)
  assert hit.doc_id == 'only'
  assert searcher.batch_search([]) == {}
  with pytest.raises(ValueError, match='Expected k of at least 1 hit, got 0'):
    searcher.search('ship', k=0)
  with pytest.raises(ValueError, match='Expected k of at least 1 hit, got 0'):
    searcher.search_stream(['ship'], k=0)
  with pytest.raises(KeyError, match="30 document ids, got 'no'"):
    searcher.doc('no')
  with pytest.raises(ValueError, match='2 documents with ids of their own'):
    made(searcher, [Document('a'), Document('a')])


def test_what_a_run_needs(run_folder, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(run_folder, folder)
  settings = SETTINGS | {'corpus': str(folder / 'corpus')}

  def refused(message, **changes):
    (folder / 'searcher.json').write_text(json.dumps(settings | changes))
    with pytest.raises(ValueError, match=message):
      Searcher.load(folder)

  refused("retriever 'vectors', or none, got 'words'", retriever='words')
  refused('Expected the corpus at .*, whose vectors are', corpus='')
  del settings['document_length']
  refused(r'document_length.* in .*, document_length is missing')
  settings['document_length'] = 9
  with (folder / 'corpus' / 'corpus.jsonl').open('a') as file:
    file.write('\n{"_id": "new", "title": "", "text": "ship"}\n')
  refused(r'Expected the corpus that the identifiers name \(hash')


def test_the_command_searches_and_embeds(
  run_folder, searcher, tmp_path, capsys
):
  run = ['--run', str(run_folder)]
  assert tools.main(['search', *run, '--explain', 'ship', '-k', '2']) == 0
  said = capsys.readouterr()
  assert 'finds documents by vectors: there are no n-grams' in said.err
  for hit in searcher.search('ship', k=2):
    assert hit.doc_id in said.out
  output = tmp_path / 'run.trec'
  words = ['--queries', str(run_folder / 'corpus'), '--output', str(output)]
  page = tmp_path / 'page.html'
  assert (
    tools.main(['search', *run, *words, '-k', '3', '--html', str(page)]) == 0
  )
  lines = [line.split() for line in output.read_text().splitlines()]
  assert len(lines) == 3 * tiny_collection.SIZE
  expected = searcher.search('which sea has name0', k=3)
  assert [line[2] for line in lines[:3]] == [hit.doc_id for hit in expected]
  for flags in (['--beams', '3'], ['--option', 'scoring.mode=lm']):
    capsys.readouterr()
    assert tools.main(['search', *run, 'ship', *flags]) == 2
    message = (
      r'a run that decodes with --beams or --option, .* compares vectors'
    )
    assert re.search(message, capsys.readouterr().err)

  vectors = tmp_path / 'vectors.npy'
  words = ['embed', '--checkpoint', str(run_folder), '--output', str(vectors)]
  words += ['--corpus', str(run_folder / 'corpus'), '--prefix', 'rose ']
  assert tools.main([*words, '--max-length', '9']) == 0
  np.testing.assert_allclose(np.load(vectors), searcher.vectors, atol=1e-6)


def test_the_vocabulary_of_a_run(run_folder, tmp_path):
  own = run_folders.vocabulary_file(run_folder, None)
  assert own == run_folder / 'docids' / 'spiece.model'
  assert run_folders.vocabulary_file(run_folder, 'x').name == 'x'
  with pytest.raises(ValueError, match='Expected --vocabulary for '):
    run_folders.vocabulary_file(tmp_path, None)
