# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A model split over eight devices by its logical axes, beside one device."""

import functools
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import core, linen
from flax.linen import partitioning
from jax.sharding import NamedSharding, PartitionSpec

from genret.constraints.fm_index import FMIndex
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search
from genret.models.t5 import Transformer, start_decoding
from genret.objectives import CrossEntropy

# What T5X's PjitPartitioner has for models of T5: batches over `data`, widths
# over `model`.
RULES = (
  ('batch', 'data'),
  ('vocab', 'model'),
  ('mlp', 'model'),
  ('heads', 'model'),
  ('joined_kv', 'model'),
  ('embed', None),
  ('kv', None),
  ('relpos_buckets', None),
  ('length', None),
)
DATA, MODEL = 2, 4  # devices
BATCH, INPUTS, TARGETS, BEAMS = 4, 6, 3, 5

# An atomic identifier for each of four million documents.
MILLIONS, WIDTH = 4_194_304, 64


def mesh_of_eight():
  auto = (jax.sharding.AxisType.Auto,) * 2
  return jax.make_mesh((DATA, MODEL), ('data', 'model'), axis_types=auto)


def module_of(vocab_size, **changes):
  sizes = {'num_heads': 4, 'head_dim': 8} | changes
  return Transformer(tiny.config(vocab_size, **sizes))


def init(module, key):
  token_1x1 = jnp.ones((1, 1), jnp.int32)
  tokens = (token_1x1, token_1x1, token_1x1)
  return module.init(key, *tokens, enable_dropout=False)


def shardings_of(module, mesh):
  """Where each parameter lives, by its logical axes."""
  shapes = jax.eval_shape(functools.partial(init, module), jax.random.key(0))
  axes = partitioning.get_axis_names(shapes['params_axes'])
  specs = linen.logical_to_mesh(axes, RULES)
  return core.unfreeze(
    jax.tree.map(
      lambda spec: NamedSharding(mesh, spec),
      specs,
      is_leaf=lambda leaf: isinstance(leaf, PartitionSpec),
    )
  )


def batch_of(vocab_size):
  rng = np.random.default_rng(0)
  target_BxL = rng.integers(2, vocab_size, (BATCH, TARGETS))
  target_BxL[1, 1:] = 0
  rows = {
    'encoder_input_tokens': rng.integers(2, vocab_size, (BATCH, INPUTS)),
    'decoder_input_tokens': np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
    'decoder_target_tokens': target_BxL,
    'decoder_loss_weights': target_BxL > 0,
  }
  return {name: x.astype(np.int32) for name, x in rows.items()}


def losses_and_grads(module, params, batch):
  def loss(params):
    objective = CrossEntropy(label_smoothing=0.1)
    losses = objective(module, params, batch, jax.random.key(3))
    return losses.loss, losses

  grads, losses = jax.grad(loss, has_aux=True)(params)
  return losses, grads


def answers(module, params, query_BxT, constraint):
  step, cache = start_decoding(
    module, params, query_BxT, num_beams=BEAMS, max_length=TARGETS
  )
  out = beam_search(
    step,
    cache,
    batch_size=BATCH,
    num_beams=BEAMS,
    max_length=TARGETS,
    constraint=constraint,
    list_limit=0,  # compiled in half the time, and run in any case
  )
  return out[:4]


def assert_close(found, expected):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
    found,
    expected,
  )


def check_losses():
  """The same loss and gradients, dropout included."""
  mesh, module = mesh_of_eight(), module_of(256, dropout_rate=0.3)
  params = init(module, jax.random.key(1))['params']
  batch = batch_of(256)
  call = functools.partial(losses_and_grads, module)
  expected = jax.jit(call)(params, batch)
  shardings = shardings_of(module, mesh)
  rows = NamedSharding(mesh, PartitionSpec('data'))
  with mesh, partitioning.axis_rules(RULES):
    found = jax.jit(
      call,
      in_shardings=(shardings, rows),
      out_shardings=(None, shardings),
    )(params, batch)
  assert_close(found, expected)
  table = found[1]['token_embedder']['embedding']
  assert {s.data.shape for s in table.addressable_shards} == {(64, 32)}


def check_beams():
  """Atomic identifiers, a table of which each device has a part."""
  vocab_size = 16_384  # from here on, selected from in blocks
  mesh = mesh_of_eight()
  module = module_of(vocab_size, logits_via_embedding=True)
  params = init(module, jax.random.key(1))['params']
  query_BxT = batch_of(vocab_size)['encoder_input_tokens']
  tokens_Dx1 = np.arange(8000, vocab_size)[:, None]
  call = functools.partial(answers, module)
  trie = Trie.from_sequences(tokens_Dx1, vocab_size)
  rows = NamedSharding(mesh, PartitionSpec('data'))
  split = jax.device_put(params, shardings_of(module, mesh))
  with mesh, partitioning.axis_rules(RULES):
    found = jax.jit(call)(split, jax.device_put(query_BxT, rows), trie)
  check_answers(found, jax.jit(call)(params, query_BxT, trie))


def check_shards():
  """A full-text index over all devices beside a model over them."""
  vocab_size = 256
  mesh, module = mesh_of_eight(), module_of(vocab_size)
  params = init(module, jax.random.key(1))['params']
  query_BxT = batch_of(vocab_size)['encoder_input_tokens']
  rng = np.random.default_rng(2)
  documents = [rng.integers(2, vocab_size, 60) for _ in range(16)]
  index = FMIndex.build(documents, vocab_size, shards=8)
  call = functools.partial(answers, module)
  devices = jax.sharding.Mesh(mesh.devices.reshape(-1), ('shards',))
  spread = index.constraint(mesh=devices)
  rows = NamedSharding(mesh, PartitionSpec('data'))
  split = jax.device_put(params, shardings_of(module, mesh))
  with mesh, partitioning.axis_rules(RULES):
    found = jax.jit(call, out_shardings=NamedSharding(mesh, PartitionSpec()))(
      split, jax.device_put(query_BxT, rows), spread
    )
  whole = FMIndex.build(documents, vocab_size)
  check_answers(found, jax.jit(call)(params, query_BxT, whole))


def check_answers(found, expected):
  tokens, scores, lengths, legal = expected
  assert legal.all()
  assert len(np.unique(scores)) == scores.size
  np.testing.assert_array_equal(found[0], tokens)
  np.testing.assert_allclose(found[1], scores, rtol=1e-5)
  np.testing.assert_array_equal(found[2], lengths)
  assert np.asarray(found[3]).all()


def compiled(call, mesh, *arguments, out_shardings=None):
  with mesh, partitioning.axis_rules(RULES):
    jitted = jax.jit(call, out_shardings=out_shardings)
    return jitted.lower(*arguments).compile()


def check_millions():
  """Two tables of a gigabyte, of which no device ever holds more than a part."""
  mesh, module = mesh_of_eight(), module_of(MILLIONS, emb_dim=WIDTH)
  shapes = jax.eval_shape(functools.partial(init, module), jax.random.key(0))
  params = jax.tree.map(
    lambda x, sharding: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=sharding
    ),
    shapes['params'],
    shardings_of(module, mesh),
  )
  rows = NamedSharding(mesh, PartitionSpec('data'))
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows),
    batch_of(MILLIONS),
  )
  table = 4 * MILLIONS * WIDTH
  logits = 4 * MILLIONS // MODEL * (BATCH // DATA) * TARGETS
  train = compiled(
    functools.partial(losses_and_grads, module),
    mesh,
    params,
    batch,
    out_shardings=(None, shardings_of(module, mesh)),
  )
  memory = train.memory_analysis()
  assert 2 * table / MODEL < memory.argument_size_in_bytes < 2.1 * table / MODEL
  # Two gradients before and after they are summed, and what becomes of logits.
  assert memory.temp_size_in_bytes < 4 * table / MODEL + 4 * logits
  edges = 2 * MILLIONS - 1  # a token and eos for each
  trie = Trie(
    jax.ShapeDtypeStruct((edges,), jnp.int32),
    jax.ShapeDtypeStruct((edges + 2,), jnp.int32),
    MILLIONS,
    eos_id=1,
    max_children=MILLIONS,
  )
  decode = compiled(
    functools.partial(answers, module),
    mesh,
    params,
    batch['encoder_input_tokens'],
    trie,
  )
  memory = decode.memory_analysis()
  beams = 4 * MILLIONS // MODEL * (BATCH // DATA) * BEAMS
  assert memory.temp_size_in_bytes < 4 * beams
  for program in (train, decode):
    whole = re.findall(rf'^.*[\[,]{MILLIONS}[,\]].*$', program.as_text(), re.M)
    assert not whole, whole[:3]


# What one process does, which sees eight devices.
CHECKS = {
  'training': (check_losses, check_millions),
  'decoding': (check_beams, check_shards),
}
PROGRAM = """
import sys
import jax
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_numpy_dtype_promotion', 'strict')
import test_partitioning
assert jax.device_count() == 8
for check in test_partitioning.CHECKS[sys.argv[1]]:
  check()
"""
# What is compiled here runs once.
FLAGS = (
  '--xla_force_host_platform_device_count=8',
  '--xla_backend_optimization_level=0',
  '--xla_cpu_multi_thread_eigen=false',
)


@pytest.mark.parametrize('work', CHECKS)
def test_eight_devices_do_what_one_does(work):
  process = subprocess.run(
    [sys.executable, '-W', 'ignore', '-c', PROGRAM, work],
    env={
      **os.environ,
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': ' '.join(FLAGS),
      'PYTHONPATH': os.path.dirname(__file__),
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 0, process.stderr[-4000:]
