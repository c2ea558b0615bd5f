# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Queries for documents: draws, what is left of them, and the command."""

import collections
import json

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_collection

from genret import pseudo_queries, query_generation, tools, vocabulary
from genret.corpus import load_collection
from genret.models import weights
from genret.models.t5 import Transformer
from genret.query_generation import distinct, found_again, generate_queries
from genret.runs import Hit

pieces = tiny_collection.pieces
DOCUMENTS = tiny_collection.documents()[:5]
SIZES = {'input_length': 12, 'output_length': 6, 'batch_size': 2}


@pytest.fixture(scope='module')
def model():
  """Random weights, and logits that are far apart."""
  return tiny.model(256)


def draws(model, documents=DOCUMENTS, **options):
  return list(generate_queries(*model, pieces(), documents, **SIZES | options))


def greedy(model, document, prefix=''):
  """The most probable token again and again, without any cache."""
  module, params = model
  text = f'{prefix}{document.title} {document.text}'.strip()
  source = jnp.asarray(vocabulary.encode(pieces(), [text], max_length=12))
  written = []
  for _ in range(6):
    logits = module.apply(
      {'params': params},
      source,
      jnp.asarray([[0, *written]]),
      jnp.ones((1, len(written) + 1), jnp.int32),
      enable_dropout=False,
    )
    legal = np.asarray(logits)[0, -1, : pieces().get_piece_size()]
    written.append(int(legal.argmax()))
    if written[-1] == vocabulary.EOS_ID:
      return distinct([pieces().decode([t for t in written if t > 2])])
  return []


@pytest.mark.parametrize('prefix', ['', 'ship '])
def test_the_best_token_alone_is_a_greedy_search(model, prefix):
  found = draws(model, count=2, top_k=1, prefix=prefix)
  assert found == [(d.doc_id, greedy(model, d, prefix)) for d in DOCUMENTS]


def ending(model):
  """The same model, but eos is likely, so that draws have ends."""
  module, params = model
  params = jax.tree.map(np.array, params)
  params['decoder']['logits_dense']['kernel'] *= 0.05
  return module, params


def test_draws_are_of_the_model(model):
  # With nearly even logits nearly every piece begins some query.
  found = dict(draws(ending(model), count=400, top_k=0, output_length=60))
  for queries in found.values():
    assert len(queries) == len(set(queries)) > 20
  again = dict(draws(ending(model), count=400, top_k=0, output_length=60))
  assert again == found
  other = dict(
    draws(ending(model), count=400, top_k=0, output_length=60, seed=1)
  )
  assert all(other[doc_id] != found[doc_id] for doc_id in found)
  few = dict(draws(ending(model), count=400, top_k=2, output_length=60))
  assert sum(map(len, few.values())) < sum(map(len, found.values()))


def test_a_run_goes_on_from_any_batch(model):
  whole = draws(ending(model), count=9, top_k=0, output_length=60)
  for start in (0, 2, 4):
    rest = draws(ending(model), count=9, top_k=0, output_length=60, start=start)
    assert rest == whole[start:]
  assert draws(model, documents=[]) == []


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'count': 0}, 'Expected count of at least 1, got 0'),
    ({'batch_size': 0}, 'Expected batch_size of at least 1, got 0'),
    ({'start': 3}, 'Expected start to be a multiple of batch_size=2, got 3'),
    ({'start': -2}, 'Expected start to be a multiple of batch_size=2, got -2'),
    ({'input_length': 0}, 'Expected max_length of at least 1, got 0'),
    ({'temperature': 0.0}, 'temperature'),
  ],
)
def test_numbers_that_cannot_be(model, options, message):
  with pytest.raises(ValueError, match=message):
    draws(model, **options)
  small = Transformer(tiny.config(8)), None
  with pytest.raises(
    ValueError, match='Expected a vocabulary of at most 8 piece'
  ):
    draws(small)


@hypothesis.given(st.lists(st.text('aA b', max_size=4)))
def test_equal_queries_count_once(queries):
  expected, seen = [], set()
  for query in queries:
    folded = ' '.join(query.lower().split())
    if folded and folded not in seen:
      expected.append(query.strip())
    seen.add(folded)
  assert distinct(queries) == expected


@hypothesis.given(
  st.dictionaries(
    st.sampled_from('abc'), st.lists(st.sampled_from('xyz'), max_size=3)
  ),
  st.dictionaries(
    st.sampled_from('xyz'), st.permutations('abc').map(lambda p: p[:2])
  ),
  st.integers(1, 3),
)
def test_queries_that_find_their_document(queries_of, hits, depth):
  asked = []

  def search(texts, k):
    asked.append(k)
    return {
      qid: [Hit(doc_id, 1.0) for doc_id in hits.get(text, '')]
      for qid, text in texts.items()
    }

  expected = {
    doc_id: [q for q in queries if doc_id in hits.get(q, '')[:depth]]
    for doc_id, queries in queries_of.items()
  }
  assert found_again(queries_of, search, depth) == expected
  assert set(asked) <= {depth}
  with pytest.raises(ValueError, match='Expected depth of at least 1, got 0'):
    found_again(queries_of, search, 0)


# --- The command.


@pytest.fixture(scope='module')
def folder(model, tmp_path_factory):
  folder = tmp_path_factory.mktemp('generate')
  tiny_collection.write(folder / 'corpus', count=5)
  module, params = ending(model)
  weights.save_model(folder / 'model', module.config, params)
  vocabulary.train_vocabulary(
    [f'{d.title} {d.text}' for d in DOCUMENTS], folder / 'own.model', size=150
  )
  return folder


@pytest.fixture
def generate(folder, tmp_path, capsys):
  def call(*more, output=None):
    words = ['generate-queries', '--checkpoint', str(folder / 'model')]
    words += ['--vocabulary', str(folder / 'own.model')]
    words += ['--corpus', str(folder / 'corpus')]
    words += ['--output', str(output or tmp_path / 'q.jsonl')]
    words += ['--count', '6', '--batch-size', '2', '--top-k', '0']
    words += ['--output-length', '40']
    status = tools.main([*words, *more])
    said = capsys.readouterr()
    return status, said.out, said.err

  return call


def rows_of(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_command(generate, folder, tmp_path):
  status, out, _ = generate()
  assert status == 0
  rows = rows_of(tmp_path / 'q.jsonl')
  assert [row['doc_id'] for row in rows] == [d.doc_id for d in DOCUMENTS]
  distinct_queries = sum(len(row['queries']) for row in rows)
  assert out.startswith(
    f'30 draws for 5 documents, {distinct_queries} distinct'
  )
  assert [p.name for p in tmp_path.iterdir()] == ['q.jsonl']
  collection = load_collection(folder / 'corpus')
  read = pseudo_queries.read_pseudo_queries(tmp_path / 'q.jsonl', collection)
  assert read == {
    row['doc_id']: row['queries'] for row in rows if row['queries']
  }


def test_a_killed_run_goes_on(generate, tmp_path, monkeypatch):
  assert generate()[0] == 0
  expected = (tmp_path / 'q.jsonl').read_bytes()
  (tmp_path / 'q.jsonl').unlink()
  whole = generate_queries
  written = collections.Counter()

  def killed(*arguments, **options):
    for number, row in enumerate(whole(*arguments, **options)):
      if number == 3:
        raise KeyboardInterrupt
      yield row

  def counted(*arguments, **options):
    for row in whole(*arguments, **options):
      written['rows'] += 1
      yield row

  monkeypatch.setattr(query_generation, 'generate_queries', killed)
  assert generate()[0] == 130
  part = tmp_path / 'q.jsonl.part'
  full = part.read_text()
  assert len(full.splitlines()) == 4
  monkeypatch.setattr(query_generation, 'generate_queries', counted)
  lines = full.splitlines(True)
  for text, left in (
    (full, 3),  # One batch of two is whole.
    (full[:-1], 3),
    (''.join(lines[:2]), 5),
    (lines[0][:20], 5),
    ('', 5),
    (lines[0] + lines[2], 5),  # Not the first document.
  ):
    part.write_text(text)
    written.clear()
    status, _, err = generate()
    assert status == 0
    assert written['rows'] == left
    assert ('2 of 5 documents are done' in err) == (left == 3)
    assert (tmp_path / 'q.jsonl').read_bytes() == expected
    assert not part.exists()


def test_another_run_does_not_go_on(generate, tmp_path, monkeypatch):
  part = tmp_path / 'q.jsonl.part'
  part.write_text('{"corpus": "another"}\n')
  status, _, err = generate()
  assert status == 2
  assert 'to be of this corpus, model and settings, it is of others' in err
  assert generate('--restart')[0] == 0

  # All is drawn, and the end was not reached.
  def fail(*_, **__):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(query_generation, 'found_again', fail)
    assert generate('--round-trip', 'bm25')[0] == 130
  assert len(part.read_text().splitlines()) == 6
  assert generate('--seed', '1')[0] == 2
  monkeypatch.setattr(
    query_generation, 'generate_queries', lambda *_, **__: 1 / 0
  )
  assert generate()[0] == 0


def test_the_round_trip(generate, tmp_path):
  # Documents of what random pieces spell often enough.
  (tmp_path / 'corpus').mkdir()
  texts = ['name', 'mark', 'r', 'c', 's']
  (tmp_path / 'corpus' / 'corpus.jsonl').write_text(
    '\n'.join(json.dumps({'_id': t, 'text': t}) for t in texts)
  )
  many = ['--count', '60', '--corpus', str(tmp_path / 'corpus')]
  assert generate(*many, output=tmp_path / 'all.jsonl')[0] == 0
  flags = [*many, '--round-trip', 'bm25', '--round-trip-depth', '1']
  status, out, _ = generate(*flags)
  assert status == 0
  kept, drawn = (
    [row['queries'] for row in rows_of(tmp_path / name)]
    for name in ('q.jsonl', 'all.jsonl')
  )
  assert 0 < sum(map(len, kept)) < sum(map(len, drawn))
  for some, every in zip(kept, drawn, strict=True):
    assert set(some) <= set(every)
  assert f'{sum(map(len, kept))} of them find their document again' in out


def test_where_nothing_can_be_written(generate, tmp_path):
  for output in (tmp_path, tmp_path / 'none' / 'q.jsonl'):
    status, _, err = generate(output=output)
    assert status == 2
    assert 'Expected --output to be a file in a folder that is there' in err
