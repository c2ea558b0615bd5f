# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5X's checkpoints: both layouts are read or refused, one is written."""

import collections
import functools
import os
import re
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore
from flax import serialization

from genret.models import t5, t5x_checkpoints

SIZES = {
  'vocab_size': 50,
  'emb_dim': 16,
  'num_heads': 3,
  'num_encoder_layers': 2,
  'num_decoder_layers': 3,
  'head_dim': 8,
  'mlp_dim': 24,
}
FORMS = {
  'v1.0': {'mlp_activations': ('relu',), 'logits_via_embedding': True},
  'v1.1': {},
  'umt5': {'relative_bias_per_layer': True},
}


def make_params(config, seed=0):
  tokens = jnp.ones((1, 1), jnp.int32)
  init = functools.partial(t5.Transformer(config).init, enable_dropout=False)
  params = jax.jit(init)(jax.random.key(seed), tokens, tokens, tokens)['params']
  return jax.tree.map(np.asarray, params)


def state_of(params):
  """What T5X keeps beside the parameters, in its names."""
  return {'step': np.int32(7), 'param_states': {'v': {'a': np.ones((4, 4))}}}


def write_older(folder, params, *, cloud=False, dtype=np.float32):
  """The layout of t5x.checkpoints.Checkpointer, written out by hand."""
  folder.mkdir(parents=True)
  tree = {'target': params, 'state': state_of(params)}
  leaves = {}
  for path, leaf in flax.traverse_util.flatten_dict(tree).items():
    name = '.'.join(path)
    if leaf.size < 100:  # as small ones are, within the file
      leaves[path] = leaf.astype(dtype)
      continue
    tensorstore.open(
      {
        'driver': 'zarr',
        'kvstore': {'driver': 'file', 'path': str(folder / name)},
        'metadata': {'shape': leaf.shape, 'dtype': np.dtype(dtype).str},
        'create': True,
      }
    ).result().write(leaf.astype(dtype)).result()
    file = {'driver': 'file', 'path': name}
    bucket = {'driver': 'gcs', 'bucket': 't5x-dummy-bucket'}
    leaves[path] = {'driver': 'zarr', 'dtype': np.dtype(dtype).name} | (
      {'kvstore': bucket, 'path': name} if cloud else {'kvstore': file}
    )
  content = {
    'version': 3,
    'optimizer': flax.traverse_util.unflatten_dict(leaves),
  }
  (folder / 'checkpoint').write_bytes(serialization.to_bytes(content))


def write_orbax(folder, params):
  """The layout of t5x.checkpoints.OrbaxCheckpointManagerInterface."""
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    checkpointer.save(
      folder / 'state', {'target': params, 'state': state_of(params)}
    )


WRITERS = {
  'older': write_older,
  'older, gs': functools.partial(write_older, cloud=True),
  'orbax': write_orbax,
}


@pytest.mark.parametrize('layout', WRITERS)
@pytest.mark.parametrize('form', FORMS)
def test_the_newest_step_is_read_with_its_sizes(tmp_path, layout, form):
  config = t5.T5Config(**SIZES | FORMS[form])
  for seed, step in enumerate((9, 100, 20)):
    write = WRITERS[layout]
    write(tmp_path / f'checkpoint_{step}', make_params(config, seed))
  found, params = t5x_checkpoints.load_t5x(tmp_path)
  assert found == config
  jax.tree.map(np.testing.assert_array_equal, params, make_params(config, 1))
  _, params = t5x_checkpoints.load_t5x(tmp_path / 'checkpoint_20')
  jax.tree.map(np.testing.assert_array_equal, params, make_params(config, 2))


def stack(params):
  """Parameters as T5X has them of layers that it scans over."""
  stacked, layers = {}, collections.defaultdict(list)
  for path, leaf in flax.traverse_util.flatten_dict(params).items():
    heads = SIZES['num_heads'], SIZES['head_dim']
    if path[-2] in ('query', 'key', 'value'):
      leaf = leaf.reshape(-1, *heads)
    elif path[-2] == 'out':
      leaf = leaf.reshape(*heads, -1)
    if found := re.fullmatch(r'(layers|relpos_bias)_(\d+)', path[1]):
      within = path[2:] if found[1] == 'layers' else ('relpos_bias', *path[2:])
      layers[path[0], path[0], *within].append((int(found[2]), leaf))
    else:
      stacked[path] = leaf
  for path, leaves in layers.items():
    leaves = [leaf for _, leaf in sorted(leaves, key=lambda pair: pair[0])]
    stacked[path] = np.stack(leaves, axis=1)
  return flax.traverse_util.unflatten_dict(stacked)


@pytest.mark.parametrize('layout', WRITERS)
def test_layers_that_t5x_scans_over_are_taken_apart(tmp_path, layout):
  config = t5.T5Config(
    **SIZES | FORMS['umt5'] | {'num_decoder_layers': 11}  # 10 is behind 9
  )
  params = make_params(config)
  WRITERS[layout](tmp_path / 'checkpoint_1', stack(params))
  found, loaded = t5x_checkpoints.load_t5x(tmp_path)
  assert found == config
  jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_what_an_optimizer_remembers_of_scanned_layers_is_refused(tmp_path):
  params = stack(make_params(t5.T5Config(**SIZES | FORMS['umt5'])))
  for step, state in enumerate((params, [None, {'v': params}])):
    t5x_checkpoints.save_t5x(tmp_path, step, params, state)
    with pytest.raises(ValueError, match=r'T5X scans over, .* \(--format gen'):
      t5x_checkpoints.load_t5x_optimizer(tmp_path)


def test_half_precision_and_what_a_checkpoint_does_not_tell(tmp_path):
  config = t5.T5Config(**SIZES)
  write_older(tmp_path / 'checkpoint_1', make_params(config), dtype=np.float16)
  found, params = t5x_checkpoints.load_t5x(
    tmp_path, gate='silu', dropout_rate=0.0
  )
  assert found == config.replace(
    mlp_activations=('silu', 'linear'), dropout_rate=0.0
  )
  for ours, theirs in zip(
    jax.tree.leaves(params), jax.tree.leaves(make_params(config)), strict=True
  ):
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs.astype(np.float16))


def test_what_is_no_checkpoint_is_refused(tmp_path):
  read = t5x_checkpoints.load_t5x
  for place in (tmp_path, tmp_path / 'nowhere'):
    with pytest.raises(FileNotFoundError, match='name the folder of a run or'):
      read(place)
  folder = tmp_path / 'checkpoint_1'
  folder.mkdir()
  with pytest.raises(FileNotFoundError, match='found none; name the folder'):
    t5x_checkpoints.find_step(folder)
  file = folder / 'checkpoint'
  file.write_bytes(b'\xc1')
  with pytest.raises(ValueError, match=r'a whole checkpoint of T5X in .*ch'):
    read(tmp_path)
  for content in ({'optimizer': {'state': {}}}, {'version': 3}, np.ones(2)):
    file.write_bytes(serialization.to_bytes(content))
    with pytest.raises(ValueError, match='parameters under optimizer/target'):
      read(tmp_path)
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    checkpointer.save(tmp_path / 'other' / 'state', {'params': np.ones(2)})
  with pytest.raises(ValueError, match=r'under target in .*, found params; is'):
    read(tmp_path / 'other')


@pytest.mark.parametrize('layout', ['older', 'orbax'])
def test_other_models_are_refused_by_name(tmp_path, layout):
  params = make_params(t5.T5Config(**SIZES))
  write = WRITERS[layout]

  def changed(change):
    flat = flax.traverse_util.flatten_dict(params, sep='/')
    change(flat)
    return flax.traverse_util.unflatten_dict(flat, sep='/')

  scale = 'decoder/layers_2/pre_mlp_layer_norm/scale'
  scanned = {'encoder': {'encoder': {'attention': {'scale': np.ones(2)}}}}
  for number, (tree, message) in enumerate(
    [
      (
        scanned,
        'axis of layers behind the first in encoder/encoder/attention/scale',
      ),
      (
        {'encoder': {'layers': params['encoder']}},
        'Expected token_embedder/embedding, a matrix, in .* found none',
      ),
      (
        changed(lambda flat: flat.pop(scale)),
        f"the parameter '{scale}' in .* found none",
      ),
      (
        changed(lambda flat: flat.update({'adapter/scale': np.ones(2)})),
        "no parameter 'adapter/scale' in .* found one",
      ),
      (
        changed(lambda flat: flat.update({scale: np.ones(2)})),
        rf'{scale} of shape \(16,\) in .*, got \(2,\)',
      ),
    ]
  ):
    folder = tmp_path / str(number)
    write(folder, tree)
    with pytest.raises(ValueError, match=message):
      t5x_checkpoints.load_t5x(folder)


def test_an_array_that_is_gone_is_named(tmp_path):
  write_older(tmp_path / 'checkpoint_1', make_params(t5.T5Config(**SIZES)))
  gone = tmp_path / 'checkpoint_1' / 'target.token_embedder.embedding'
  (gone / '.zarray').unlink()
  message = 'Expected the array of token_embedder/embedding in .* copy the'
  with pytest.raises(ValueError, match=message):
    t5x_checkpoints.load_t5x(tmp_path)


def test_a_part_of_an_array_that_is_gone_is_no_zeros(tmp_path):
  write_older(tmp_path / 'checkpoint_1', make_params(t5.T5Config(**SIZES)))
  (tmp_path / 'checkpoint_1/target.token_embedder.embedding/0.0').unlink()
  with pytest.raises(ValueError, match='array of token_embedder/embedding in'):
    t5x_checkpoints.load_t5x(tmp_path)


@pytest.mark.parametrize('layout', ['older', 'orbax'])
def test_a_relative_path_is_read(tmp_path, layout, monkeypatch):
  config = t5.T5Config(**SIZES)
  WRITERS[layout](tmp_path / 'checkpoint_1', make_params(config))
  monkeypatch.chdir(tmp_path)
  assert t5x_checkpoints.load_t5x('checkpoint_1')[0] == config


def test_an_orbax_tree_with_a_hole_is_told(tmp_path):
  write_orbax(tmp_path / 'checkpoint_1', make_params(t5.T5Config(**SIZES)))
  (tmp_path / 'checkpoint_1' / 'state' / '_METADATA').unlink()
  message = r'whole checkpoint in .*state, it cannot be .* copy it again'
  with pytest.raises(ValueError, match=message):
    t5x_checkpoints.load_t5x(tmp_path)


def test_a_checkpoint_is_written_once_and_whole(tmp_path):
  params = make_params(t5.T5Config(**SIZES))
  moments = {'count': np.int32(3), 'v': params}
  # What a killed writer of the same number leaves.
  (tmp_path / f'.checkpoint_3.{os.getpid()}').mkdir()
  written = t5x_checkpoints.save_t5x(tmp_path, 3, params, [None, moments])
  assert [path.name for path in tmp_path.iterdir()] == ['checkpoint_3']
  assert t5x_checkpoints.find_step(tmp_path) == written
  config, found = t5x_checkpoints.load_t5x(written)
  assert config == t5.T5Config(**SIZES)
  jax.tree.map(np.testing.assert_array_equal, found, params)
  step, state = t5x_checkpoints.load_t5x_optimizer(written)
  assert step == 3
  jax.tree.map(np.testing.assert_array_equal, state, {'0': {}, '1': moments})
  with pytest.raises(
    ValueError, match=r'no .*checkpoint_3, found one; name ano'
  ):
    t5x_checkpoints.save_t5x(tmp_path, 3, params, None)


def test_momentum_of_adafactor_is_refused(tmp_path):
  params = make_params(t5.T5Config(**SIZES))

  def save(step, size):
    moments = {name: np.zeros(1) for name in ('v_row', 'v_col', 'v')}
    tree = jax.tree.map(lambda _: {**moments, 'm': np.zeros(size)}, params)
    t5x_checkpoints.save_t5x(tmp_path, step, params, tree)

  save(4, 2)
  with pytest.raises(ValueError, match=r'Adafactor without momentum in .*_4'):
    t5x_checkpoints.load_t5x_optimizer(tmp_path)
  save(5, 1)
  step, state = t5x_checkpoints.load_t5x_optimizer(tmp_path)
  assert step == state['0']['count'] == 5
  assert jax.tree.structure(state['0']['v']) == jax.tree.structure(params)


@pytest.mark.t5x
# T5X leaves an event loop open.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('layout', ['older', 'orbax'])
def test_reads_what_t5x_writes(tmp_path, layout):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    why = 'T5X is not installed (it is on no package index)'
    pytest.importorskip('t5x', reason=why)
    from t5x import adafactor, checkpoints, partitioning, train_state
  config = t5.T5Config(**SIZES)
  module = t5.Transformer(config)
  tokens = jnp.ones((1, 4), jnp.int32)
  with jax.numpy_dtype_promotion('standard'):
    variables = module.init(
      jax.random.key(0), tokens, tokens, tokens, enable_dropout=False
    )
    rules = adafactor.standard_logical_factor_rules()
    optimizer = adafactor.Adafactor(1e-3, logical_factor_rules=rules)
    state = train_state.FlaxOptimTrainState.create(optimizer, variables)
    partitioner = partitioning.PjitPartitioner(
      num_partitions=1,
      logical_axis_rules=partitioning.standard_logical_axis_rules(),
    )
    make = {
      'older': checkpoints.Checkpointer,
      'orbax': checkpoints.OrbaxCheckpointManagerInterface,
    }[layout]
    if layout == 'older':
      writer = make(state, partitioner, str(tmp_path))
      writer.save(state)
    else:
      writer = make(str(tmp_path), state, partitioner)
      writer.save(state)
      writer.wait_until_finished()
      writer.close()
  found, params = t5x_checkpoints.load_t5x(tmp_path)
  assert found == config
  jax.tree.map(np.testing.assert_array_equal, params, dict(variables['params']))


@pytest.mark.t5x
@pytest.mark.parametrize('layout', ['older', 'orbax'])
@pytest.mark.parametrize(
  ('form', 'theirs'),
  [
    ('v1.0', {'logits_via_embedding': True}),
    ('v1.1', {'mlp_activations': ('gelu', 'linear')}),
    ('umt5', {'mlp_activations': ('gelu', 'linear'), 'scan_layers': True}),
    ('umt5', {'mlp_activations': ('gelu', 'linear'), 'scan_layers': False}),
  ],
)
def test_answers_as_t5xs_own_models(tmp_path, form, theirs, layout):
  """Prints the greatest difference of logits, and the greatest logit."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    why = 'T5X is not installed (it is on no package index)'
    pytest.importorskip('t5x', reason=why)
    from t5x.examples.scalable_t5 import network as scalable
    from t5x.examples.t5 import network
  network = scalable if form == 'umt5' else network
  config = t5.T5Config(**SIZES | FORMS[form])
  module = network.Transformer(network.T5Config(**SIZES | theirs))
  rng = np.random.default_rng(0)
  inputs, targets = rng.integers(2, 50, (2, 8, 32)).astype(np.int32)
  inputs[1, 6:] = 0
  tokens = inputs, targets, targets
  with (
    jax.numpy_rank_promotion('allow'),
    jax.numpy_dtype_promotion('standard'),
    warnings.catch_warnings(),
  ):
    warnings.simplefilter('ignore')
    init = functools.partial(module.init, enable_dropout=False)
    params = jax.jit(init)(jax.random.key(0), *tokens)['params']
    expected = module.apply({'params': params}, *tokens, enable_dropout=False)
  tree = jax.tree.map(np.asarray, flax.core.unfreeze(params))
  WRITERS[layout](tmp_path / 'checkpoint_1', tree)
  found, loaded = t5x_checkpoints.load_t5x(tmp_path)
  assert found == config
  logits = t5.Transformer(found).apply(
    {'params': loaded}, *tokens, enable_dropout=False
  )
  difference = np.abs(logits - expected).max()
  print(f'{form}: {difference:.1e} of up to {np.abs(expected).max():.1f}')
  assert difference < 1e-5
