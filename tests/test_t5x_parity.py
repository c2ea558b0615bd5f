# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One training step in both engines: loss, gradients, Adafactor, checkpoints.

T5X's side is its own: EncoderDecoderModel.loss_fn, trainer.train_with_lr, its
optimizers and its checkpointers.
"""

import functools
import os
import subprocess
import sys
import types
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import genret.gin_configs
from genret import path_optimizer
from genret.corpus import load_collection
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models import checkpoints, t5
from genret.objectives import Consistency, CrossEntropy, InBatchSoftmax
from genret.t5x_optimizer import placeable
from genret.t5x_training import trained_by
from genret.tools import convert
from genret.tools import train as train_tool
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
    from t5x import (
      adafactor,
      checkpoints,
      models,
      optimizers,
      partitioning,
      train_state,
      trainer,
    )
    from t5x.examples.t5 import network
  return types.SimpleNamespace(
    adafactor=adafactor,
    checkpoints=checkpoints,
    models=models,
    optimizers=optimizers,
    partitioning=partitioning,
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


def optimizer_of(name):
  """The default, and one with a schedule and states of several kinds."""
  if name == 'default':
    return optax.adafactor(RATE)
  schedule = optax.linear_schedule(RATE, RATE / 10, 4)
  # With its usual eps Adam's first step is as long for the rounding errors of a
  # gradient as for a gradient.
  adamw = optax.adamw(schedule, eps=1e-4)
  return path_optimizer.by_path(
    {
      'decoder': optax.adafactor(schedule),
      '': optax.chain(optax.clip_by_global_norm(1.0), adamw),
    }
  )


def optimizer_def_of(t5x, name):
  """For T5X: as runs/t5x_train.gin has them, and its own Adafactor."""
  if name != 'own':
    return t5x.optimizers.OptaxWrapper(placeable(optimizer_of(name)))
  # As T5X's models/t5_1_1 have it.
  return t5x.adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=t5x.adafactor.standard_logical_factor_rules(),
  )


@functools.cache
def our_step(name):
  return make_step(
    start('v1.1')[0], optimizer_of(name), CrossEntropy(z_loss=Z_LOSS)
  )


def our_state(name):
  params = jax.tree.map(jnp.copy, start('v1.1')[1]['params'])
  return params, jax.jit(optimizer_of(name).init)(params)


def go_on(name, state, first, last):
  """genret train's state after steps first + 1 to last."""
  for number in range(first + 1, last + 1):
    key = jax.random.fold_in(KEY, number)
    state, losses = our_step(name)(state, batch_of(number), key)
  return state, float(losses.loss / losses.weight)


@pytest.fixture(scope='module')
def their_step(t5x):
  """T5X's compiled step by the name of an optimizer, and its first state."""

  @functools.cache
  def make(name):
    module, variables = start('v1.1')
    optimizer_def = optimizer_def_of(t5x, name)
    model = make_model(t5x, module, optimizer_def=optimizer_def)
    step = functools.partial(
      t5x.trainer.train_with_lr, model=model, num_microbatches=None
    )
    state = t5x.train_state.FlaxOptimTrainState.create(
      optimizer_def, flax.core.freeze(variables)
    )
    return jax.jit(step), state

  return make


def they_go_on(their_step, name, state, first, last):
  """The same of T5X."""
  step, _ = their_step(name)
  for number in range(first + 1, last + 1):
    key = jax.random.fold_in(KEY, number)
    state, metrics = step(state, batch_of(number), jnp.float32(RATE), key)
  assert state.step == last
  return state, float(metrics['loss'].total)


def close_updates(params, expected):
  """Equal beside how far training has moved them."""
  before = start('v1.1')[1]['params']
  params, expected = map(flax.core.unfreeze, (params, expected))
  assert jax.tree.structure(params) == jax.tree.structure(expected)
  for (path, first), found, wanted in zip(
    jax.tree.leaves_with_path(before),
    jax.tree.leaves(params),
    jax.tree.leaves(expected),
    strict=True,
  ):
    moved = np.abs(np.asarray(wanted) - np.asarray(first)).max()
    # A thousandth of a parameter moves, and so little is rounded to its last bits.
    bit = np.spacing(np.abs(wanted).max())
    np.testing.assert_allclose(
      found, wanted, rtol=0, atol=2e-4 * moved + bit, err_msg=str(path)
    )


@pytest.mark.parametrize('name', ['default', 'scheduled'])
def test_same_steps_of_optax(their_step, name):
  ours, theirs = our_state(name), their_step(name)[1]
  for first, last in ((0, 1), (1, 3)):
    ours, loss = go_on(name, ours, first, last)
    theirs, their_loss = they_go_on(their_step, name, theirs, first, last)
    np.testing.assert_allclose(loss, their_loss, rtol=1e-5)
    close_updates(ours[0], theirs.params)
    state = flax.core.unfreeze(theirs.param_states)
    for found, wanted in zip(
      jax.tree.leaves(ours[1]), jax.tree.leaves(state), strict=True
    ):
      close(found, wanted, 1e-4)


def test_same_steps_of_adafactor_as_t5x_has_it(their_step):
  """Of its own make, at our rate.

  No parameter of T5 has more than two axes, where T5X's rules of what is a row
  give way to the sizes, as in optax.
  """
  ours, theirs = our_state('default'), their_step('own')[1]
  for first, last in ((0, 1), (1, 3)):
    ours, _ = go_on('default', ours, first, last)
    theirs, _ = they_go_on(their_step, 'own', theirs, first, last)
    close_updates(ours[0], theirs.params)
    assert ours[1][0].count == last
    shapes = set()
    for name in ('v_row', 'v_col', 'v'):
      moments = getattr(ours[1][0], name)
      wanted = jax.tree.map(
        lambda leaf, name=name: getattr(leaf, name),
        flax.core.unfreeze(theirs.param_states),
        is_leaf=lambda node: hasattr(node, 'v_row'),
      )
      close(moments, wanted, 1e-4)
      shapes |= {x.shape for x in jax.tree.leaves(moments)}
    # Moments of factored parameters, and of others.
    assert {(128,), (130,), (160,), (1,), (2, 32)} <= shapes


@pytest.mark.parametrize(
  'objective',
  [Consistency(cross_entropy=CrossEntropy(z_loss=Z_LOSS)), InBatchSoftmax()],
  ids=lambda objective: type(objective).__name__,
)
def test_same_step_of_another_objective(t5x, objective, tmp_path):
  save_identifiers(tmp_path)
  module, variables = start('v1.1')
  optimizer_def = optimizer_def_of(t5x, 'default')
  model = trained_by(
    make_model(t5x, module, optimizer_def=optimizer_def),
    objective,
    docids=tmp_path,
    task_feature_lengths={'inputs': 7, 'targets': 5},
    model_dir=tmp_path,
  )
  step = make_step(module, optimizer_of('default'), objective)
  (params, _), losses = step(our_state('default'), batch_of(1), KEY)
  state, metrics = jax.jit(
    functools.partial(
      t5x.trainer.train_with_lr, model=model, num_microbatches=None
    )
  )(
    t5x.train_state.FlaxOptimTrainState.create(
      optimizer_def, flax.core.freeze(variables)
    ),
    batch_of(1),
    jnp.float32(RATE),
    KEY,
  )
  loss = metrics['loss'].total
  np.testing.assert_allclose(loss, losses.loss / losses.weight, rtol=1e-5)
  accuracy = metrics['accuracy'].compute()
  np.testing.assert_allclose(accuracy, losses.correct / losses.weight)
  close_updates(params, state.params)
  # Without dropout, and so the same each time.
  calm = t5.Transformer(module.config.replace(dropout_rate=0.0))
  expected = objective(
    calm, variables['params'], batch_of(1), jax.random.key(0)
  )
  for _ in range(2):
    found, _ = model.eval_fn(variables['params'], batch_of(1))
    np.testing.assert_allclose(
      found, expected.loss / expected.weight, rtol=1e-5
    )
  assert abs(float(found) - float(loss)) > 1e-4


def save_identifiers(folder):
  tokens_DxL = np.array([[3, 4, 5, 6]], np.int32)
  table = DocidTable(['a'], tokens_DxL, np.array([4]), vocab_size=130)
  table.save(folder)


@pytest.fixture(scope='module')
def partitioner(t5x):
  return t5x.partitioning.PjitPartitioner(
    num_partitions=1,
    logical_axis_rules=t5x.partitioning.standard_logical_axis_rules(),
  )


@pytest.mark.parametrize('name', ['default', 'scheduled'])
def test_t5x_goes_on_from_our_checkpoint(
  t5x, their_step, partitioner, name, tmp_path
):
  run, copy = tmp_path / 'run', tmp_path / 't5x'
  state, _ = go_on(name, our_state(name), 0, 2)
  checkpoints.save_config(run, start('v1.1')[0].config)
  with checkpoints.checkpoint_manager(run) as manager:
    checkpoints.save_step(manager, 2, *state)
  words = ['--from', str(run), '--to', str(copy), '--format', 't5x']
  assert convert.main(words) == 0
  nothing = jax.tree.map(jnp.zeros_like, their_step(name)[1])
  manager = t5x.checkpoints.OrbaxCheckpointManagerInterface(
    str(copy), nothing, partitioner
  )
  theirs = manager.restore(path=str(copy / 'checkpoint_2'))
  manager.close()
  theirs, their_loss = they_go_on(their_step, name, theirs, 2, 3)
  (params, _), loss = go_on(name, state, 2, 3)
  np.testing.assert_allclose(their_loss, loss, rtol=1e-5)
  close_updates(theirs.params, params)


@pytest.mark.parametrize(
  ('name', 'layout'),
  [('default', 'older'), ('scheduled', 'orbax'), ('own', 'orbax')],
)
def test_we_go_on_from_a_checkpoint_of_t5x(
  t5x, their_step, partitioner, name, layout, tmp_path
):
  theirs, run = tmp_path / 't5x', tmp_path / 'run'
  theirs.mkdir()
  state, _ = they_go_on(their_step, name, their_step(name)[1], 0, 2)
  if layout == 'older':
    t5x.checkpoints.Checkpointer(state, partitioner, str(theirs)).save(state)
  else:
    manager = t5x.checkpoints.OrbaxCheckpointManagerInterface(
      str(theirs), state, partitioner
    )
    manager.save(state)
    manager.wait_until_finished()
    manager.close()
  words = ['--from', str(theirs), '--to', str(run), '--format', 'run']
  assert convert.main(words) == 0
  ours = 'default' if name == 'own' else name
  like = jax.tree.map(jnp.zeros_like, our_state(ours))
  with checkpoints.checkpoint_manager(run) as manager:
    assert manager.latest_step() == 2
    found = checkpoints.restore_step(manager, 2, *like)
  (params, _), loss = go_on(ours, found, 2, 3)
  state, their_loss = they_go_on(their_step, name, state, 2, 3)
  np.testing.assert_allclose(loss, their_loss, rtol=1e-5)
  close_updates(params, state.params)


def bindings(folder, run, steps):
  """An experiment whose batches are all alike, in whatever order they come."""
  values = {
    'CORPUS': str(folder / 'corpus'),
    'DOCIDS': str(folder / 'docids'),
    'MODEL_DIR': str(run),
    'TRAIN_STEPS': steps,
    'BATCH_SIZE': 8,
    'CHECKPOINT_PERIOD': 100,
    'DROPOUT_RATE': 0.0,
    'retrieval.mixture.rates': {'retrieval': 1},
    # Not by where training stops.
    'optax.cosine_onecycle_schedule.transition_steps': 10,
    't5.T5Config.emb_dim': 128,
    't5.T5Config.num_heads': 2,
    't5.T5Config.mlp_dim': 160,
  }
  return [
    '--gin_file=experiments/quickstart.gin',
    *(f'--gin.{name}={value!r}' for name, value in values.items()),
  ]


@pytest.mark.slow
@pytest.mark.optax
def test_a_run_goes_on_in_the_other_engine_and_returns(t5x, tmp_path):
  """genret train, python -m t5x.train, genret train; beside genret train."""
  tiny.write_collection(tmp_path / 'corpus')
  qrels = tmp_path / 'corpus' / 'qrels' / 'train.tsv'
  lines = qrels.read_text().splitlines(keepends=True)
  qrels.write_text(''.join(lines[:2]))
  build.build(
    load_collection(tmp_path / 'corpus'),
    tmp_path / 'docids',
    vocabulary_size=100,
    dimensions=128,
  )

  def train(run, steps):
    words = ['--gin_file=runs/genret_train.gin', '--gin.EVAL_PERIOD=0']
    assert train_tool.main([*words, *bindings(tmp_path, run, steps)]) == 0

  def convert_to(run, target, kind):
    words = ['--from', str(run), '--to', str(target), '--format', kind]
    assert convert.main(words) == 0

  alone, theirs, back = (tmp_path / name for name in ('alone', 't5x', 'back'))
  train(alone, 2)
  convert_to(alone, theirs, 't5x')
  configs = next(iter(genret.gin_configs.__path__))
  done = subprocess.run(
    [
      *(sys.executable, '-m', 't5x.train', '--gin_file=runs/t5x_train.gin'),
      f'--gin_search_paths={configs}',
      *bindings(tmp_path, theirs, 4),
      '--gin.__main__.train.train_eval_dataset_cfg=None',
      '--gin.__main__.train.infer_eval_dataset_cfg=None',
    ],
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  train(alone, 4)
  start = checkpoints.load_model(alone, step=0)[1]
  convert_to(theirs, back, 'run')
  for steps in (4, 6):
    if steps == 6:
      train(alone, 6)
      train(back, 6)
    expected, found = (checkpoints.load_model(run)[1] for run in (alone, back))
    moved, wanted = (
      jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), tree, start)
      for tree in (found, expected)
    )
    close(moved, wanted, 2e-4)
    (last, state), (_, wanted) = (
      checkpoints.load_optimizer(run) for run in (back, alone)
    )
    assert last == steps
    for a, b in zip(
      jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True
    ):
      close(a, b, 1e-4)
