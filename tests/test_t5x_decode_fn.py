# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5X decodes what an experiment's identifiers and options say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from genret import ngram_index
from genret.constraints.protocol import unconstrained
from genret.constraints.trie import Trie
from genret.corpus import load_collection
from genret.decoding.answers import Answers, answers_of
from genret.decoding.beam import beam_search
from genret.decoding.ngram_keys import KeyOptions, body_constraint
from genret.decoding.options import DecodingOptions
from genret.decoding.t5x_decode import decode_fn
from genret.docids import build
from genret.docids.table import DocidTable
from genret.vocabulary import load_vocabulary

B, K, L, ROWS = 2, 3, 40, 101


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('decode_fn')
  tiny.write_collection(folder / 'corpus', documents=6, titles=True)
  collection = load_collection(folder / 'corpus')
  sizes = {'vocabulary_size': 60, 'dimensions': 8}
  build.build(collection, folder / 'title', scheme='title', **sizes)
  ngram_index.build(collection, folder / 'index', **sizes)
  return folder


@functools.cache
def table_of(vocab_size):
  rng = np.random.default_rng(0)
  return rng.normal(size=(ROWS, vocab_size)).astype(np.float32)


def next_row(row_N, token_N):
  return (row_N * 31 + token_N * 7 + 5) % ROWS


def decoded(fn, vocab_size, room=L):
  """As T5X calls it; the best first."""

  def step(state):
    row_N = next_row(state.cache['row'], state.cur_token[:, 0])
    return jnp.asarray(table_of(vocab_size))[row_N], {'row': row_N}

  tokens, scores = jax.jit(
    lambda inputs: fn(
      inputs=inputs,
      cache={'row': jnp.arange(B, dtype=jnp.int32) * 17},
      tokens_to_logits=step,
      num_decodes=K,
    )
  )(jnp.zeros((B, room), jnp.int32))
  return np.asarray(tokens)[:, ::-1], np.asarray(scores)[:, ::-1]


def expected(vocab_size, constraint, max_length, **options):
  def step(token_N, row_N):
    row_N = next_row(row_N, token_N)
    return jnp.asarray(table_of(vocab_size))[row_N], row_N

  out = beam_search(
    step,
    jnp.repeat(jnp.arange(B, dtype=jnp.int32) * 17, K),
    batch_size=B,
    num_beams=K,
    max_length=max_length,
    constraint=constraint,
    **options,
  )
  room = ((0, 0), (0, 0), (0, L - max_length))
  return np.pad(out.tokens, room), np.asarray(out.scores)


def same(found, wanted):
  np.testing.assert_array_equal(found[0], wanted[0])
  np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)
  assert np.isfinite(wanted[1]).any()


def test_identifiers_as_a_run_decodes_them(folder):
  table = DocidTable.load(folder / 'title')
  trie, longest = Trie.from_table(table), int(table.lengths_D.max())
  assert longest + 1 < L
  fn, size = decode_fn(folder / 'title'), table.vocab_size
  same(decoded(fn, size), expected(size, trie, longest + 1))
  how = {'length_penalty': 'length', 'alpha': 2.0, 'normalize': 'legal'}
  fn = decode_fn(folder / 'title', how)
  penalised = expected(size, trie, longest + 1, **how)
  same(decoded(fn, size), penalised)
  assert (penalised[0] != expected(size, trie, longest + 1)[0]).any()
  with pytest.warns(UserWarning, match='will not be found; raise it'):
    fn = decode_fn(
      folder / 'title', {'constrained': False, 'max_length': longest}
    )
  same(decoded(fn, size), expected(size, unconstrained(size), longest))


def test_several_titles(folder):
  table = DocidTable.load(folder / 'title')
  options = DecodingOptions(max_titles=2, separator='7')
  answers = answers_of(
    table,
    Trie.from_table(table),
    load_vocabulary(folder / 'title'),
    options,
  )
  assert isinstance(answers, Answers)
  longest = int(table.lengths_D.max())
  assert answers.max_length == 2 * longest + len(answers.separator) + 1
  fn = decode_fn(folder / 'title', {'max_titles': 2, 'separator': '7'})
  wanted = expected(table.vocab_size, answers.constraint, answers.max_length)
  same(decoded(fn, table.vocab_size), wanted)


def test_ngrams_of_the_body(folder):
  index = ngram_index.load(folder / 'index')
  fn = decode_fn(folder / 'index', keys={'body_length': 4, 'stop_count': 0})
  tokens, scores = decoded(fn, index.vocab_size)
  same((tokens, scores), expected(index.vocab_size, index.fm.constraint(), 4))
  assert (tokens[..., 4:] == 0).all()
  ngrams = [tuple(row[:4]) for row in tokens.reshape(-1, L).tolist()]
  assert (index.fm.count_batch(ngrams) > 0).all()
  anything = {'body_length': 4, 'constrained': False}
  free = decoded(decode_fn(folder / 'index', keys=anything), index.vocab_size)
  constraint = body_constraint(
    index.fm, KeyOptions(**anything), index.vocab_size
  )
  same(free, expected(index.vocab_size, constraint, 4))
  assert (free[1] > scores).all()
  assert (free[0][..., :3] > 1).all()  # eos ends nothing before


def test_options_and_lengths_that_do_not_fit(folder):
  with pytest.raises(
    ValueError, match=r'fields of DecodingOptions .* got beams'
  ):
    decode_fn(folder / 'title', {'beams': 3})
  with pytest.raises(ValueError, match=r'fields of KeyOptions .* got length'):
    decode_fn(folder / 'index', keys={'length': 3})
  longest = int(DocidTable.load(folder / 'title').lengths_D.max())
  message = (
    rf"of {longest + 1} tokens, .* got {longest}; set .*\['targets'\] to"
  )
  with pytest.raises(ValueError, match=message):
    decoded(decode_fn(folder / 'title'), 128, room=longest)
