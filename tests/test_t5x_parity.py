# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One training step in both engines: loss, gradients, Adafactor, checkpoints.

T5X's side is its own: EncoderDecoderModel.loss_fn, trainer.train_with_lr, its
optimizers and its checkpointers.
"""

import functools
import types
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization

from genret.models import t5
from genret.objectives import CrossEntropy
from genret.t5x_optimizer import placeable
from genret.train_step import make_step

pytestmark = [pytest.mark.t5x, pytest.mark.filterwarnings('ignore')]

# Adafactor factors matrices of at least 128 x 128.
SIZES = {
  'vocab_size': 130,
  'emb_dim': 128,
  'num_heads': 2,
  'num_encoder_layers': 1,
  'num_decoder_layers': 1,
  'head_dim': 64,
  'mlp_dim': 160,
  'dropout_rate': 0.1,
}
FORMS = {
  'v1.0': {'mlp_activations': ('relu',), 'logits_via_embedding': True},
  'v1.1': {'mlp_activations': ('gelu', 'linear')},
}
RATE = 1e-3  # of genret train and of runs/t5x_train.gin where none is set
Z_LOSS = 1e-4
KEY = jax.random.key(7)


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
    from t5x import adafactor, models, optimizers, train_state, trainer
    from t5x.examples.t5 import network
  return types.SimpleNamespace(
    adafactor=adafactor,
    models=models,
    optimizers=optimizers,
    train_state=train_state,
    trainer=trainer,
    network=network,
  )


def batch_of(seed):
  """Rows of several lengths, one of them without a target."""
  rng = np.random.default_rng(seed)
  encoder_BxT = rng.integers(2, 130, (4, 7)).astype(np.int32)
  encoder_BxT[1, 4:] = 0
  target_BxL = rng.integers(2, 130, (4, 5)).astype(np.int32)
  target_BxL[2, 3:] = 0
  target_BxL[3] = 0
  return {
    'encoder_input_tokens': encoder_BxT,
    'decoder_input_tokens': np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
    'decoder_target_tokens': target_BxL,
    'decoder_loss_weights': (target_BxL > 0).astype(np.int32),
  }


@functools.cache
def start(form):
  """Our module and its variables."""
  module = t5.Transformer(t5.T5Config(**SIZES | FORMS[form]))
  batch = batch_of(0)
  del batch['decoder_loss_weights']
  init = functools.partial(module.init, enable_dropout=False)
  return module, jax.jit(init)(jax.random.key(0), **batch)


def make_model(t5x, module, *, optimizer_def=None, label_smoothing=0.0):
  """T5X's model, as runs/t5x_train.gin has it."""
  vocabulary = types.SimpleNamespace(eos_id=1)
  return t5x.models.EncoderDecoderModel(
    module,
    vocabulary,
    vocabulary,
    optimizer_def=optimizer_def,
    label_smoothing=label_smoothing,
    z_loss=Z_LOSS,
    loss_normalizing_factor='NUM_REAL_TARGET_TOKENS',
  )


def remembers_gradients():
  """An optimizer whose state is the last gradient."""

  def update(updates, state, params=None):
    del state, params
    return jax.tree.map(jnp.zeros_like, updates), updates

  return optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params), update
  )


def close(found, wanted, tolerance):
  """Equal beside the largest number of each array."""
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  for (path, a), b in zip(
    jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), strict=True
  ):
    np.testing.assert_allclose(
      a, b, atol=tolerance * float(np.abs(b).max()), err_msg=str(path)
    )


@pytest.mark.parametrize(
  ('form', 'label_smoothing'), [('v1.0', 0.0), ('v1.1', 0.1)]
)
def test_same_loss_and_gradients(t5x, form, label_smoothing):
  """The step of genret train, and T5X's loss of its own network."""
  module, variables = start(form)
  params, batch = variables['params'], batch_of(1)
  recorder = remembers_gradients()
  step = make_step(
    module,
    recorder,
    CrossEntropy(label_smoothing=label_smoothing, z_loss=Z_LOSS),
  )
  state = (jax.tree.map(jnp.copy, params), recorder.init(params))
  (_, grads), losses = step(state, batch, KEY)
  network = t5x.network.Transformer(t5x.network.T5Config(**SIZES | FORMS[form]))
  model = make_model(t5x, network, label_smoothing=label_smoothing)
  loss_fn = functools.partial(model.loss_fn, batch=batch, dropout_rng=KEY)
  (loss, _), expected = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(
    params
  )
  assert losses.weight == 13  # tokens that are no padding
  np.testing.assert_allclose(losses.loss / losses.weight, loss, rtol=1e-6)
  close(grads, expected, 1e-5)


def our_steps(optimizer, steps):
  """States of genret train after these steps."""
  module, variables = start('v1.1')
  step = make_step(module, optimizer, CrossEntropy(z_loss=Z_LOSS))
  params = jax.tree.map(jnp.copy, variables['params'])
  state, found = (params, jax.jit(optimizer.init)(params)), {}
  for number in range(1, max(steps) + 1):
    key = jax.random.fold_in(KEY, number)
    state, _ = step(state, batch_of(number), key)
    if number in steps:
      found[number] = jax.tree.map(jnp.copy, state)
  return found


def their_steps(t5x, optimizer_def, steps):
  """Likewise of T5X, from the same parameters."""
  module, variables = start('v1.1')
  model = make_model(t5x, module, optimizer_def=optimizer_def)
  state = t5x.train_state.FlaxOptimTrainState.create(optimizer_def, variables)
  step = jax.jit(
    functools.partial(
      t5x.trainer.train_with_lr, model=model, num_microbatches=None
    )
  )
  found = {}
  for number in range(1, max(steps) + 1):
    key = jax.random.fold_in(KEY, number)
    state, _ = step(state, batch_of(number), jnp.float32(RATE), key)
    if number in steps:
      found[number] = state
  return found


def close_updates(params, expected):
  """Equal beside how far training has moved them."""
  before = start('v1.1')[1]['params']
  moved, wanted = (
    jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), tree, before)
    for tree in (params, expected)
  )
  close(moved, wanted, 2e-4)


@pytest.fixture(scope='module')
def adafactor_steps():
  with jax.numpy_dtype_promotion('standard'):
    return our_steps(optax.adafactor(RATE), (1, 3))


def test_same_steps_of_adafactor_as_our_gin_file_has_it(t5x, adafactor_steps):
  optimizer_def = t5x.optimizers.OptaxWrapper(placeable(optax.adafactor(RATE)))
  theirs = their_steps(t5x, optimizer_def, (1, 3))
  for number, (params, state) in adafactor_steps.items():
    assert theirs[number].step == number
    close_updates(params, theirs[number].params)
    close(
      serialization.to_state_dict(state),
      serialization.to_state_dict(theirs[number].param_states),
      1e-4,
    )


def test_same_steps_of_adafactor_as_t5x_has_it(t5x, adafactor_steps):
  """T5X's own implementation, as its models/t5_1_1 have it, at a fixed rate.

  No parameter of T5 has more than two axes, where T5X's rules of what is a row
  give way to the sizes, as in optax.
  """
  optimizer_def = t5x.adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=t5x.adafactor.standard_logical_factor_rules(),
  )
  theirs = their_steps(t5x, optimizer_def, (1, 3))
  factored = 0
  for number, (params, state) in adafactor_steps.items():
    assert theirs[number].step == state[0].count == number
    close_updates(params, theirs[number].params)
    for name in ('v_row', 'v_col', 'v'):
      moments = flax.traverse_util.flatten_dict(getattr(state[0], name))
      their_moments = flax.traverse_util.flatten_dict(
        jax.tree.map(
          lambda leaf, name=name: getattr(leaf, name),
          theirs[number].param_states,
          is_leaf=lambda node: hasattr(node, 'v_row'),
        )
      )
      close(moments, their_moments, 1e-4)
      factored += sum(x.shape == (1,) for x in moments.values())
  assert factored  # and not all of them
