# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5X's own predict_batch beside our decoding, and T5X's own search beside ours.

T5X's search takes no constraint; here its model is masked with the table of a
dictionary trie, which is the constraint with normalize='legal'.
"""

import functools
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret import Trie
from genret.decoding.generate import generate
from genret.decoding.t5x_decode import constrained_beam_decode
from genret.models import t5

pytestmark = [pytest.mark.t5x, pytest.mark.filterwarnings('ignore')]

V, L, EOS = 50, 5, 1
SEQUENCES = [(2,), (2, 3), (4, 4, 4), (5, 2), (6,), (2, 3, 0, 49), (40, 7)]
SIZES = {
  'vocab_size': V,
  'emb_dim': 16,
  'num_heads': 2,
  'num_encoder_layers': 1,
  'num_decoder_layers': 2,
  'head_dim': 8,
  'mlp_dim': 24,
  'mlp_activations': ('gelu', 'linear'),
}
QUERIES = np.array([[3, 9, 4, 1, 0, 0], [11, 7, 2, 40, 5, 1]], np.int32)
BATCH = {
  'encoder_input_tokens': QUERIES,
  'decoder_input_tokens': np.zeros((len(QUERIES), L), np.int32),
}
MODULES = ['genret', 't5', 'scalable_t5']


@pytest.fixture(autouse=True)
def lenient_jax():
  # T5X broadcasts ranks and mixes types freely.
  with (
    jax.numpy_rank_promotion('allow'),
    jax.numpy_dtype_promotion('standard'),
  ):
    yield


@pytest.fixture(scope='module')
def t5x():
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    why = 'T5X is not installed (it is on no package index)'
    pytest.importorskip('t5x', reason=why)
    from t5x import decoding, models
    from t5x.examples.scalable_t5 import network as scalable
    from t5x.examples.t5 import network
  make = {
    'genret': lambda: t5.Transformer(t5.T5Config(**SIZES)),
    't5': lambda: network.Transformer(network.T5Config(**SIZES)),
    # Its layers are scanned: the first axis of its cache.
    'scalable_t5': lambda: scalable.Transformer(
      scalable.T5Config(**SIZES, remat_policy='none')
    ),
  }
  return types.SimpleNamespace(decoding=decoding, models=models, make=make)


def make_model(t5x, module, decode_fn):
  vocabulary = types.SimpleNamespace(eos_id=EOS)
  return t5x.models.EncoderDecoderModel(
    module, vocabulary, vocabulary, optimizer_def=None, decode_fn=decode_fn
  )


def initialise(t5x, module):
  shapes = {name: x.shape for name, x in BATCH.items()}
  shapes['decoder_target_tokens'] = shapes['decoder_input_tokens']
  model = make_model(t5x, module, constrained_beam_decode)
  params = model.get_initial_variables(jax.random.key(3), shapes)['params']
  # Greater than T5 starts with, so that the answers to queries differ.
  return jax.tree.map(lambda x: 2 * x, params)


def predict(model, params, num_decodes):
  call = functools.partial(
    model.predict_batch_with_aux,
    return_all_decodes=True,
    num_decodes=num_decodes,
  )
  tokens, aux = jax.jit(call)(params, BATCH)
  # T5X's order: the best last.
  return np.asarray(tokens[:, ::-1]), np.asarray(aux['scores'][:, ::-1])


def bound(trie, **options):
  return functools.partial(constrained_beam_decode, constraint=trie, **options)


@pytest.mark.parametrize(
  ('num_decodes', 'normalize'),
  [(1, 'vocabulary'), (3, 'legal'), (9, 'vocabulary')],
)
def test_predict_batch_is_our_generate(t5x, num_decodes, normalize):
  ours = t5x.make['genret']()
  params = initialise(t5x, ours)
  trie = Trie.from_sequences(SEQUENCES, V)
  with jax.numpy_rank_promotion('raise'):
    expected = generate(
      ours,
      params,
      QUERIES,
      trie,
      num_beams=num_decodes,
      max_length=L,
      normalize=normalize,
    )
  assert int(expected.legal.sum()) == 2 * min(num_decodes, len(SEQUENCES))
  for name in ('genret', 't5'):  # They share their tree of parameters.
    model = make_model(t5x, t5x.make[name](), bound(trie, normalize=normalize))
    tokens, scores = predict(model, params, num_decodes)
    np.testing.assert_array_equal(tokens, expected.tokens)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-4)
    # The plain call decodes with one beam and returns it alone.
    if num_decodes == 1:
      best = jax.jit(model.predict_batch)(params, BATCH)
      np.testing.assert_array_equal(best, expected.tokens[:, 0])


def table_of(sequences):
  """next[state, token] of a dictionary trie; the last state is a dead end."""
  number = {}
  for sequence in sequences:
    tokens = (*sequence, EOS)
    for end in range(len(tokens) + 1):
      number.setdefault(tokens[:end], len(number))
  table = np.full((len(number) + 1, V), len(number), np.int32)
  for prefix, state in number.items():
    if prefix:
      table[number[prefix[:-1]], prefix[-1]] = state
  return table


def masked_search(t5x, table):
  """T5X's beam search over a model that writes what the table allows only."""
  dead = len(table) - 1
  table = jnp.asarray(table)

  def decode(*, cache, tokens_to_logits, cache_offset, inputs, **options):
    def step(state):
      cache = dict(state.cache)
      row_N = cache.pop('trie')['row'].reshape(-1)
      token_N = state.cur_token[:, 0]
      first = state.cur_index == 0  # The start token is of no identifier.
      row_N = jnp.where(first, row_N, table[row_N, token_N])
      logits_NxV, new = tokens_to_logits(state.replace(cache=cache))
      shape = (1, -1) if cache_offset else (-1,)
      new = {**new, 'trie': {'row': row_N.reshape(shape)}}
      return jnp.where(table[row_N] == dead, -1e9, logits_NxV), new

    rows = jnp.zeros((1,) * cache_offset + (len(inputs),), jnp.int32)
    return t5x.decoding.beam_search(
      inputs=inputs,
      cache={**cache, 'trie': {'row': rows}},
      tokens_to_logits=step,
      cache_offset=cache_offset,
      alpha=0.0,
      **options,
    )

  return decode


@pytest.mark.parametrize('name', MODULES)
def test_our_search_is_the_search_of_t5x(t5x, name):
  module = t5x.make[name]()
  params = initialise(t5x, module)
  # Enough for all: with fewer beams T5X's search drops what has finished where
  # twice as many go on with better scores.
  beams = len(SEQUENCES)
  theirs = make_model(t5x, module, masked_search(t5x, table_of(SEQUENCES)))
  trie = Trie.from_sequences(SEQUENCES, V)
  ours = make_model(t5x, module, bound(trie, normalize='legal'))
  their_tokens, their_scores = predict(theirs, params, beams)
  tokens, scores = predict(ours, params, beams)
  np.testing.assert_array_equal(tokens, their_tokens)
  np.testing.assert_allclose(scores, their_scores, rtol=1e-4)
  for row in tokens:
    found = {tuple(r[: r.tolist().index(EOS)]) for r in row}
    assert found == set(SEQUENCES)
  assert (tokens[0] != tokens[1]).any()
