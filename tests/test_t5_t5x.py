# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Our T5 in T5X's place: the same tree, numbers, loss and beam search."""

import functools
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.models import t5

pytestmark = pytest.mark.t5x


@pytest.fixture(autouse=True)
def lenient_jax():
  # T5X broadcasts ranks and mixes types freely.
  with (
    jax.numpy_rank_promotion('allow'),
    jax.numpy_dtype_promotion('standard'),
    warnings.catch_warnings(),
  ):
    warnings.simplefilter('ignore')
    yield


@pytest.fixture(scope='module')
def t5x():
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    why = 'T5X is not installed (it is on no package index)'
    pytest.importorskip('t5x', reason=why)
    from t5x import models
    from t5x.examples.t5 import network
  return models, network


SIZES = {
  'vocab_size': 50,
  'emb_dim': 16,
  'num_heads': 3,
  'num_encoder_layers': 2,
  'num_decoder_layers': 2,
  'head_dim': 8,
  'mlp_dim': 24,
  'dropout_rate': 0.2,
}
FORMS = {
  'v1.0': {'mlp_activations': ('relu',), 'logits_via_embedding': True},
  'v1.1': {'mlp_activations': ('gelu', 'linear')},
}


@pytest.fixture(scope='module', params=list(FORMS))
def pair(request, t5x):
  sizes = SIZES | FORMS[request.param]
  ours = t5.Transformer(t5.T5Config(**sizes))
  return ours, t5x[1].Transformer(t5x[1].T5Config(**sizes))


def make_batch():
  rng = np.random.default_rng(0)
  encoder = rng.integers(2, 50, (3, 7)).astype(np.int32)
  encoder[1, 4:] = 0
  targets = rng.integers(2, 50, (3, 5)).astype(np.int32)
  targets[2, 3:] = 0
  return {
    'encoder_input_tokens': encoder,
    'decoder_input_tokens': np.pad(targets, ((0, 0), (1, 0)))[:, :-1],
    'decoder_target_tokens': targets,
    'decoder_loss_weights': (targets > 0).astype(np.float32),
  }


@functools.cache
def initialise(module):
  batch = make_batch()
  del batch['decoder_loss_weights']
  return module.init(jax.random.key(0), **batch, enable_dropout=False)


def make_model(t5x, module, **kwargs):
  models, _ = t5x
  vocabulary = type('Vocabulary', (), {'eos_id': 1})()
  return models.EncoderDecoderModel(
    module, vocabulary, vocabulary, optimizer_def=None, **kwargs
  )


def test_same_variables(pair):
  ours, theirs = map(initialise, pair)
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  assert ours['params_axes'] == theirs['params_axes']
  jax.tree.map(np.testing.assert_array_equal, ours['params'], theirs['params'])
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), ours['params'])
  assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), theirs['params'])


@pytest.mark.parametrize('dropout', [False, True])
def test_same_logits(pair, dropout):
  batch = make_batch()
  del batch['decoder_loss_weights']
  variables = initialise(pair[0])
  ours, theirs = (
    module.apply(
      variables,
      **batch,
      enable_dropout=dropout,
      rngs={'dropout': jax.random.key(1)},
    )
    for module in pair
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_same_logits_packed_in_bfloat16_and_with_float32_attention(t5x):
  rng = np.random.default_rng(0)
  tokens = rng.integers(2, 50, (2, 8)).astype(np.int32)
  segments = np.array([[1, 1, 1, 2, 2, 2, 2, 0], [1, 1, 2, 2, 3, 3, 0, 0]])
  tokens = tokens * (segments > 0)
  dtypes = {'dtype': 'bfloat16', 'float32_attention_logits': True}
  for extra in ({}, dtypes):
    sizes = SIZES | FORMS['v1.1'] | extra
    ours = t5.Transformer(t5.T5Config(**sizes))
    theirs = t5x[1].Transformer(t5x[1].T5Config(**sizes))
    variables = initialise(ours)
    logits = [
      module.apply(
        variables, *(tokens,) * 3, *(segments,) * 4, enable_dropout=False
      )
      for module in (ours, theirs)
    ]
    assert logits[0].dtype == logits[1].dtype == jnp.float32
    tolerance = 0.05 if extra else 1e-5
    np.testing.assert_allclose(*logits, atol=tolerance)


def test_same_loss_and_gradients_under_t5x(t5x, pair):
  batch, params = make_batch(), initialise(pair[0])['params']
  results = []
  for module in pair:
    model = make_model(t5x, module, z_loss=1e-4, label_smoothing=0.1)
    rng = jax.random.key(2)
    loss = functools.partial(model.loss_fn, batch=batch, dropout_rng=rng)
    results.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(params))
  (ours, _), our_grads = results[0]
  (theirs, _), their_grads = results[1]
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-4),
    our_grads,
    their_grads,
  )


def test_t5x_initialises_and_its_beam_search_drives_ours(t5x, pair):
  batch, params = make_batch(), initialise(pair[0])['params']
  results = []
  for module in pair:
    model = make_model(t5x, module)
    shapes = {name: x.shape for name, x in batch.items()}
    found = model.get_initial_variables(jax.random.key(0), shapes)
    found = flax.core.unfreeze(found['params'])
    jax.tree.map(np.testing.assert_array_equal, found, params)
    predict = functools.partial(
      model.predict_batch_with_aux, num_decodes=3, return_all_decodes=True
    )
    results.append(jax.jit(predict)(params, batch))
  (ours, our_aux), (theirs, their_aux) = results
  np.testing.assert_array_equal(ours, theirs)
  np.testing.assert_allclose(our_aux['scores'], their_aux['scores'], rtol=1e-4)
  assert len({tuple(row) for row in np.asarray(ours[0])}) == 3
