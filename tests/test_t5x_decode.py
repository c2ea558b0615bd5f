# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The T5X decode_fn: caches of T5X's kinds, and T5X's own model."""

import functools
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.constraints.fm_index import FMIndex
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search
from genret.decoding.t5x_decode import constrained_beam_decode

B, K, L, V, LAYERS, ROWS = 2, 3, 4, 9, 5, 101
SEQUENCES = [[2], [2, 3], [4, 4, 4], [5, 2], [6]]
TABLE = np.random.default_rng(0).normal(size=(ROWS, V)).astype(np.float32)


def next_row(row_N, token_N, step):
  return (row_N * 31 + token_N * 7 + step + 5) % ROWS


def t5x_like(cache_offset: int):
  """A cache and a step with the shapes that T5X's decoder has."""
  row_B = jnp.arange(B, dtype=jnp.int32) * 17
  if cache_offset:
    key = jnp.broadcast_to(row_B[None, :, None], (LAYERS, B, 2))
    index = jnp.zeros(LAYERS, jnp.int32)
  else:
    key = jnp.broadcast_to(row_B[:, None], (B, 2))
    index = jnp.zeros((), jnp.int32)
  cache = {
    'decoder': {
      'attention': {'cached_key': key, 'cache_index': index},
      'cached_bias': jnp.full((1, 2), 3.0),
    }
  }

  def step(state):
    decoder = state.cache['decoder']
    key, index = (
      decoder['attention']['cached_key'],
      decoder['attention']['cache_index'],
    )
    assert state.cur_token.shape == (B * K, 1)
    assert index.ndim == cache_offset
    assert decoder['cached_bias'].shape == (1, 2)
    row_N = key[0, :, 0] if cache_offset else key[:, 0]
    number = index[0] if cache_offset else index
    row_N = next_row(row_N, state.cur_token[:, 0], number)
    row_NxX = jnp.broadcast_to(
      row_N[None, :, None] if cache_offset else row_N[:, None], key.shape
    )
    logits = jnp.asarray(TABLE)[row_N] * decoder['cached_bias'][0, 0]
    late = (state.cur_index - number).astype(jnp.float32)  # Zero.
    logits = logits.at[:, 2].add(late)
    attention = {'cached_key': row_NxX, 'cache_index': index + 1}
    new = {'decoder': {**decoder, 'attention': attention}}
    return logits, flax.core.freeze(new)  # Another mapping than it came in.

  return cache, step


def expected(**options):
  def step(token_N, cache):
    row_N, number = cache
    row_N = next_row(row_N, token_N, number)
    return jnp.asarray(TABLE)[row_N] * 3.0, (row_N, number + 1)

  return beam_search(
    step,
    (
      jnp.repeat(jnp.arange(B, dtype=jnp.int32) * 17, K),
      jnp.zeros((), jnp.int32),
    ),
    batch_size=B,
    num_beams=K,
    max_length=L,
    constraint=Trie.from_sequences(SEQUENCES, V),
    **options,
  )


def decode(inputs, cache_offset=0, num_decodes=K, **options):
  cache, step = t5x_like(cache_offset)
  return constrained_beam_decode(
    inputs=inputs,
    cache=cache,
    tokens_to_logits=step,
    eos_id=1,
    num_decodes=num_decodes,
    decode_rng=None,
    cache_offset=cache_offset,
    constraint=Trie.from_sequences(SEQUENCES, V),
    **options,
  )


@pytest.mark.parametrize('cache_offset', [0, 1])
def test_is_the_beam_search_with_the_best_last(cache_offset):
  tokens, scores = decode(jnp.zeros((B, L), jnp.int32), cache_offset)
  out = expected()
  assert np.asarray(out.legal).all()
  np.testing.assert_array_equal(tokens[:, ::-1], out.tokens)
  np.testing.assert_allclose(scores[:, ::-1], out.scores, rtol=1e-6)
  assert (scores[:, 1:] >= scores[:, :-1]).all()


@pytest.mark.parametrize(
  'options',
  [
    {'normalize': 'legal'},
    {'length_penalty': 'gnmt', 'alpha': 3.0},
    {'num_groups': 3, 'diversity_penalty': 3.0},
  ],
)
def test_options_are_those_of_the_beam_search(options):
  tokens, scores = decode(jnp.zeros((B, L), jnp.int32), **options)
  out, plain = expected(**options), expected()
  assert (out.scores != plain.scores).any()
  np.testing.assert_array_equal(tokens[:, ::-1], out.tokens)
  np.testing.assert_allclose(scores[:, ::-1], out.scores, atol=1e-6)


def test_a_prompt_is_refused():
  inputs = np.zeros((B, L), np.int32)
  inputs[1, 0] = 2
  with pytest.raises(
    ValueError, match=r'inputs of zeros but got a prompt; .*='
  ):
    decode(inputs)
  tokens, scores = jax.jit(decode)(inputs)
  out = expected()
  np.testing.assert_array_equal(tokens[0, ::-1], out.tokens[0])
  assert not tokens[1].any()
  assert np.isnan(scores[1]).all()


def test_a_cache_of_other_rows_is_refused():
  with pytest.raises(
    ValueError,
    match=r"Expected 3 rows along axis 0 .*\['cached_key'\] but got shape \(2, 2",
  ):
    decode(jnp.zeros((3, L), jnp.int32))


@pytest.mark.parametrize('kind', ['trie', 'index'])
def test_arrays_of_the_constraint_are_arguments_of_the_program(kind):
  rows = np.random.default_rng(0).integers(2, V, (100_000, 7))
  constraint = (
    Trie.from_sequences(rows, V) if kind == 'trie' else FMIndex.build(rows, V)
  )
  cache, step = t5x_like(0)

  def search(inputs, constraint=constraint):
    return constrained_beam_decode(
      inputs=inputs,
      cache=cache,
      tokens_to_logits=step,
      num_decodes=K,
      constraint=constraint,
    )

  search = jax.jit(search)
  inputs = jnp.zeros((B, 8), jnp.int32)
  text = search.lower(inputs).as_text()
  size = sum(x.nbytes for x in jax.tree.leaves(constraint.constraint()))
  assert len(text) < 2 * size  # two digits for each byte, were it written down
  if kind == 'trie':  # it runs, again and again
    expected = search(inputs, constraint)
    for _ in range(2):
      jax.tree.map(np.testing.assert_array_equal, search(inputs), expected)


@pytest.fixture(scope='module')
def t5x_model():
  """T5X's EncoderDecoderModel around its own network, and its parameters."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    why = 'T5X is not installed (it is on no package index)'
    pytest.importorskip('t5x', reason=why)
    import seqio
    from t5x import models
    from t5x.examples.t5 import network
  config = network.T5Config(
    vocab_size=50,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=16,
  )
  vocabulary = seqio.PassThroughVocabulary(50, eos_id=1)
  make = functools.partial(
    models.EncoderDecoderModel,
    network.Transformer(config),
    vocabulary,
    vocabulary,
    optimizer_def=None,
  )
  shapes = {
    'encoder_input_tokens': (B, 6),
    'decoder_input_tokens': (B, 5),
    'decoder_target_tokens': (B, 5),
  }
  with (
    jax.numpy_rank_promotion('allow'),
    jax.numpy_dtype_promotion('standard'),
    warnings.catch_warnings(),
  ):
    warnings.simplefilter('ignore')
    variables = make().get_initial_variables(jax.random.key(3), shapes)
    yield make, variables['params']


@pytest.mark.t5x
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('sequences', [SEQUENCES, [[7, 30], [8]]])
def test_t5x_predicts_with_it(t5x_model, sequences):
  make, params = t5x_model
  trie = Trie.from_sequences(sequences, 50)
  model = make(
    decode_fn=functools.partial(constrained_beam_decode, constraint=trie)
  )
  encoder_BxT = jnp.array([[3, 9, 4, 1, 0, 0], [11, 7, 2, 40, 5, 1]])
  batch = {
    'encoder_input_tokens': encoder_BxT,
    'decoder_input_tokens': jnp.zeros((B, 5), jnp.int32),
  }
  with (
    jax.numpy_rank_promotion('allow'),
    jax.numpy_dtype_promotion('standard'),
  ):
    tokens, aux = jax.jit(
      functools.partial(
        model.predict_batch_with_aux, return_all_decodes=True, num_decodes=K
      )
    )(params, batch)
    out = full_forward_search(model.module, params, encoder_BxT, trie)
  np.testing.assert_array_equal(tokens[:, ::-1], out.tokens)
  np.testing.assert_allclose(aux['scores'][:, ::-1], out.scores, rtol=1e-4)
  np.testing.assert_array_equal(
    out.legal.sum(axis=1), [min(K, len(sequences))] * 2
  )
  assert (np.asarray(aux['scores'][0]) != np.asarray(aux['scores'][1])).any()


def full_forward_search(module, params, encoder_BxT, trie):
  """Without T5X's cache: runs the whole prefix through the model each step."""
  encoder_NxT = jnp.repeat(encoder_BxT, K, axis=0)

  def step(token_N, cache):
    written_NxL, number = cache
    written_NxL = written_NxL.at[:, number].set(token_N)
    logits_NxLxV = module.apply(
      {'params': params},
      encoder_NxT,
      written_NxL,
      # Marks every position as one to attend to; later ones are masked.
      jnp.ones_like(written_NxL),
      enable_dropout=False,
    )
    return logits_NxLxV[:, number], (written_NxL, number + 1)

  return beam_search(
    step,
    (jnp.zeros((B * K, 5), jnp.int32), jnp.zeros((), jnp.int32)),
    batch_size=B,
    num_beams=K,
    max_length=5,
    constraint=trie,
  )
