# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One corpus in one segment, in several, and spread over eight devices."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.constraints import fm_shards
from genret.constraints.fm_index import FMIndex
from genret.decoding.beam import beam_search

V, LENGTH, BEAMS, QUERIES = 40, 5, 6, 3


def documents() -> list[np.ndarray]:
  rng = np.random.default_rng(0)
  sizes = [0, 1, 30, 200, 7, 90, 45, 300, 0, 12, 60, 60, 60, 33]
  return [np.minimum(rng.zipf(1.4, size), V - 1) for size in sizes]


def search(constraint, **options):
  table = np.random.default_rng(1).normal(size=(QUERIES, V, V)) * 2

  def step(token_N, query_N):
    return jnp.asarray(table, jnp.float32)[query_N, token_N], query_N

  query_N = jnp.repeat(jnp.arange(QUERIES), BEAMS)
  return beam_search(
    step,
    query_N,
    batch_size=QUERIES,
    num_beams=BEAMS,
    max_length=LENGTH,
    constraint=constraint,
    **options,
  )


OPTIONS = [{}, {'list_limit': 0, 'num_probes': 8}]


def beams(index: FMIndex, options, mesh=None, **constraint_options):
  constraint = index.constraint(mesh=mesh, **constraint_options)
  eos_id = constraint_options.get('eos_id', 1)
  out = jax.jit(lambda c: search(c, eos_id=eos_id, **options))(constraint)
  return [np.asarray(x).tolist() for x in out[:4]]


# Run in a process of its own, which sees eight devices.
SPREAD = """
import json, sys
import jax, numpy as np
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_numpy_dtype_promotion', 'strict')
from test_fm_shards import FMIndex, OPTIONS, beams, documents, V
mesh = jax.make_mesh((8,), ('shards',))
results = []
for shards, removed in ((11, [3, 7]), (3, [])):
  index = FMIndex.build(documents(), V, shards=shards)
  index.remove(removed)
  for options in OPTIONS:
    results.append(beams(index, options, mesh, eos_id=0, stop_count=1))
  array = index.constraint(mesh=mesh).arrays.corpus.shards.block_LxBx32
  assert len(array.sharding.device_set) == 8
  shares = {s.data.shape[0] for s in array.addressable_shards}
  assert shares == {array.shape[0] // 8}, shares
json.dump(results, sys.stdout)
"""


def test_eight_devices():
  environment = {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    'PYTHONPATH': os.path.dirname(__file__),
  }
  process = subprocess.run(
    [sys.executable, '-c', SPREAD],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 0, process.stderr
  found = iter(json.loads(process.stdout))
  for removed in ([3, 7], []):
    index = FMIndex.build(documents(), V)
    index.remove(removed)
    index.compact()
    for options in OPTIONS:
      expected = beams(index, options, eos_id=0, stop_count=1)
      assert next(found) == json.loads(json.dumps(expected))


@pytest.mark.parametrize('options', OPTIONS)
def test_segments_on_one_device(options):
  index = FMIndex.build(documents(), V, shards=5)
  assert len(index.segments) == 5
  whole = FMIndex.build(documents(), V)
  assert beams(index, options) == beams(whole, options)


def test_a_mesh_of_two_axes_is_refused():
  mesh = jax.make_mesh((1, 1), ('a', 'b'))
  with pytest.raises(ValueError, match=r"one axis but got .*'a', 'b'"):
    fm_shards.put(FMIndex.build([[1]], V).segments, V, mesh)


def test_slots_are_not_listed_twice_where_rows_overflow():
  """Rows of shards add up to 2^32 and more; the arrays need not be as long."""
  index = FMIndex.build([[1, 2, 3, 2]] * 3, 5, shards=3)
  corpus = index.constraint().arrays.corpus
  low = jnp.zeros((1, 3), jnp.int32)
  high = jnp.array([[2**31 - 3, 2**31 - 3, 10]])
  slot = jnp.full((1, 12), -1)
  token, mass, _, _ = fm_shards.children(
    corpus.shards, None, low, high, slot, slot
  )
  assert (token == -1).all()
  assert not mass.any()


def test_counts_saturate():
  count = jnp.array([[2**31 - 1, 2**31 - 1], [2**31 - 2, 1], [5, 7]])
  total = fm_shards._sum_over(count, None)
  assert total.tolist() == [2**31 - 1, 2**31 - 1, 12]
