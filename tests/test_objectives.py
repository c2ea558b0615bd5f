# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Objectives against the same losses computed step by step."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import seqio
import tensorflow as tf
import tiny

from genret import objectives

VOCAB_SIZE = 11


def batch_of(rows, targets):
  """A batch as seqio's converter makes it, of rows that are padded with 0."""
  width = max(map(len, targets))
  target_BxL = np.zeros((len(targets), width), np.int32)
  for row, target in zip(target_BxL, targets, strict=True):
    row[: len(target)] = target
  input_BxT = np.zeros((len(rows), max(map(len, rows))), np.int32)
  for row, tokens in zip(input_BxT, rows, strict=True):
    row[: len(tokens)] = tokens
  return {
    'encoder_input_tokens': input_BxT,
    'decoder_input_tokens': np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
    'decoder_target_tokens': target_BxL,
    'decoder_loss_weights': (target_BxL > 0).astype(np.int32),
  }


def test_a_batch_is_as_seqio_makes_it():
  rows, targets = [[5, 3, 1], [], [7]], [[4, 1], [9, 0, 8, 1], []]
  pairs = [
    {'inputs': np.array(a, np.int32), 'targets': np.array(b, np.int32)}
    for a, b in zip(rows, targets, strict=True)
  ]
  dataset = tf.data.Dataset.from_generator(
    lambda: iter(pairs),
    output_signature=dict.fromkeys(
      ('inputs', 'targets'), tf.TensorSpec([None], tf.int32)
    ),
  )
  converter = seqio.EncDecFeatureConverter(pack=False)
  converted = converter(dataset, {'inputs': 3, 'targets': 4}).batch(3)
  (expected,) = converted.as_numpy_iterator()
  padded = batch_of(rows, targets)
  found = objectives.teacher_forcing_batch(
    padded['encoder_input_tokens'], padded['decoder_target_tokens']
  )
  assert found.keys() == expected.keys()
  for name, array in expected.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


@pytest.fixture(scope='module')
def model():
  return tiny.model(VOCAB_SIZE)


@pytest.mark.parametrize('smoothing', [0.0, 0.2])
def test_cross_entropy_is_that_of_each_target_token(model, smoothing):
  module, params = model
  batch = batch_of([[3, 4, 1], [5, 1]], [[6, 7, 1], [8, 1]])
  found = objectives.CrossEntropy(smoothing, z_loss=0.01)(
    module, params, batch, jax.random.key(0)
  )
  logits = np.float64(
    module.apply(
      {'params': params},
      batch['encoder_input_tokens'],
      batch['decoder_input_tokens'],
      batch['decoder_target_tokens'],
      enable_dropout=False,
    )
  )
  expected = 0.0
  for row, targets in zip(logits, batch['decoder_target_tokens'], strict=True):
    for scores, target in zip(row, targets, strict=True):
      if not target:
        continue
      log_z = np.log(np.exp(scores).sum())
      wanted = np.full(VOCAB_SIZE, smoothing / (VOCAB_SIZE - 1))
      wanted[target] = 1 - smoothing
      entropy = -(wanted[wanted > 0] * np.log(wanted[wanted > 0])).sum()
      expected += -(wanted * (scores - log_z)).sum() - entropy
      expected += 0.01 * log_z**2
  assert float(found.loss) == pytest.approx(expected, rel=1e-5)
  assert float(found.weight) == 5


def direction(model, tokens):
  """The mean of the encoder's states of a text without padding, of length 1."""
  module, params = model
  states = module.apply(
    {'params': params},
    jnp.asarray([tokens]),
    enable_dropout=False,
    method='encode',
  )
  mean = np.float64(states)[0].mean(0)
  return mean / np.linalg.norm(mean)


# The first and the third document are one, and the last pair has no weight.
QUERIES = [[3, 4, 1], [5, 1], [6, 1], [2, 9, 9, 1], [7, 8, 1]]
DOCUMENTS = [[6, 7, 1], [8, 1], [6, 7, 1], [3, 1], [4, 4, 1]]
DISTINCT = [0, 1, 0, 2, 3]


def pairs(last_weight=0):
  batch = batch_of(QUERIES, DOCUMENTS)
  batch['decoder_loss_weights'][-1] *= last_weight
  return batch


@pytest.mark.parametrize('symmetric', [False, True])
@pytest.mark.parametrize('last_weight', [0, 1])
def test_in_batch_softmax_is_that_of_each_pair(model, symmetric, last_weight):
  number = 4 + last_weight
  objective = objectives.InBatchSoftmax(0.1, symmetric)
  found = objective(*model, pairs(last_weight), jax.random.key(0))
  query = [direction(model, tokens) for tokens in QUERIES[:number]]
  document = [direction(model, tokens) for tokens in DOCUMENTS[:number]]
  cosine = np.array(query) @ np.array(document).T
  expected = {'loss': 0.0, 'correct': 0}
  for i in range(number):
    others = [j for j in range(number) if j != i and DISTINCT[j] != DISTINCT[i]]
    rivals = cosine[i, others]
    scores = np.array([cosine[i, i], *rivals]) / 0.1
    loss = np.log(np.exp(scores).sum()) - scores[0]
    if symmetric:
      scores = np.array([cosine[i, i], *cosine[others, i]]) / 0.1
      loss = (loss + np.log(np.exp(scores).sum()) - scores[0]) / 2
    expected['loss'] += loss
    expected['correct'] += cosine[i, i] > rivals.max()
  assert float(found.loss) == pytest.approx(expected['loss'], rel=1e-4)
  assert float(found.correct) == expected['correct']
  assert float(found.weight) == number


def test_a_dual_encoder_leaves_the_decoder_alone(model):
  module, params = model
  objective = objectives.InBatchSoftmax()
  grads = jax.jit(
    jax.grad(lambda p: objective(module, p, pairs(), jax.random.key(0)).loss)
  )(params)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
  assert not any(np.asarray(x).any() for x in jax.tree.leaves(grads['decoder']))
  assert all(np.asarray(x).any() for x in jax.tree.leaves(grads['encoder']))


def test_a_dual_encoder_is_trained_with_dropout():
  module, params = tiny.model(VOCAB_SIZE, dropout_rate=0.3)
  objective = objectives.InBatchSoftmax()
  loss = {
    float(objective(module, params, pairs(), jax.random.key(seed)).loss)
    for seed in (0, 0, 1)
  }
  assert len(loss) == 2


@pytest.mark.parametrize('temperature', [0.0, -1.0, float('nan')])
def test_a_temperature_is_above_0(temperature):
  with pytest.raises(ValueError, match='Expected a temperature above 0, got'):
    objectives.InBatchSoftmax(temperature)


ON_TWO_DEVICES = """
import jax, numpy as np, test_objectives as t, tiny
from genret import objectives
from jax.sharding import NamedSharding, PartitionSpec
mesh = jax.make_mesh((2,), ('data',),
  axis_types=(jax.sharding.AxisType.Auto,))
batch = {k: v[:4] for k, v in t.pairs().items()}
split = jax.device_put(batch, NamedSharding(mesh, PartitionSpec('data')))
assert len(split['encoder_input_tokens'].sharding.device_set) == 2
module, params = tiny.model(t.VOCAB_SIZE)
objective = objectives.InBatchSoftmax(0.1)
key = jax.random.key(0)
whole = objective(module, params, batch, key)
found = jax.jit(lambda p, b, k: objective(module, p, b, k))(params, split, key)
np.testing.assert_allclose(found, whole, rtol=1e-5)
"""


def test_negatives_are_those_of_all_devices():
  subprocess.run(
    [sys.executable, '-c', ON_TWO_DEVICES],
    env=os.environ
    | {
      'PYTHONPATH': os.path.dirname(__file__),
      'XLA_FLAGS': '--xla_force_host_platform_device_count=2',
    },
    check=True,
    capture_output=True,
  )


def test_an_objective_says_what_it_is():
  described = objectives.describe(objectives.CrossEntropy(0.1))
  assert described == {
    'name': 'CrossEntropy',
    'label_smoothing': 0.1,
    'z_loss': 1e-4,
  }
  described = objectives.describe(objectives.InBatchSoftmax(0.05))
  assert described == {
    'name': 'InBatchSoftmax',
    'temperature': 0.05,
    'symmetric': False,
  }


BATCH = batch_of([[3, 4, 7, 1], [5, 1], [6, 9, 1]], [[6, 7, 1], [8, 1], [2, 1]])


def log_probs_of(model, inputs):
  """Of the batch's targets, where the encoder reads `inputs`."""
  module, params = model
  logits = module.apply(
    {'params': params},
    inputs,
    BATCH['decoder_input_tokens'],
    BATCH['decoder_target_tokens'],
    enable_dropout=False,
  )
  return np.float64(jax.nn.log_softmax(logits))


def test_consistency_is_cross_entropy_and_both_divergences(model):
  objective = objectives.Consistency(
    alpha=3.0,
    drop_probability=1,
    drop_rate=1,
    cross_entropy=objectives.CrossEntropy(z_loss=0.0),
  )
  found = jax.jit(objective, static_argnums=0)(*model, BATCH, jax.random.key(0))
  # The second view has lost all, and ends all the same.
  bare = np.zeros_like(BATCH['encoder_input_tokens'])
  bare[:, 0] = 1
  views = [
    log_probs_of(model, x) for x in (BATCH['encoder_input_tokens'], bare)
  ]
  expected, right = 0.0, 0
  for row, targets in enumerate(BATCH['decoder_target_tokens']):
    for i, target in enumerate(targets):
      if target:
        p, q = (log_probs[row, i] for log_probs in views)
        expected -= (p[target] + q[target]) / 2
        expected += 3.0 * (np.exp(p) * (p - q)).sum() / 2
        expected += 3.0 * (np.exp(q) * (q - p)).sum() / 2
        right += [np.argmax(p), np.argmax(q)].count(target)
  assert float(found.loss) == pytest.approx(expected, rel=1e-5)
  assert float(found.correct) == right / 2
  assert float(found.weight) == 7


def test_equal_views_leave_the_cross_entropy(model):
  plain = objectives.CrossEntropy(label_smoothing=0.1)
  objective = objectives.Consistency(
    alpha=1e6, drop_probability=0, cross_entropy=plain
  )
  found, expected = (
    jax.jit(f, static_argnums=0)(*model, BATCH, jax.random.key(0))
    for f in (objective, plain)
  )
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_views_differ_by_dropout():
  module, params = tiny.model(VOCAB_SIZE, dropout_rate=0.3)

  objective = objectives.Consistency(alpha=1e6, drop_probability=0)
  losses = [
    jax.jit(objective, static_argnums=0)(
      module, params, BATCH, jax.random.key(seed)
    ).loss
    for seed in range(2)
  ]
  assert min(losses) > 1e4  # the cross-entropy is about 20
  assert losses[0] != losses[1]


def test_tokens_are_dropped_at_their_rate():
  rng = np.random.default_rng(0)
  lengths = rng.integers(0, 13, 4000)
  tokens = np.arange(2, 14) * np.ones((4000, 1), np.int32)
  inside = np.arange(12) < lengths[:, None]
  rows = np.where(inside, tokens, 0).astype(np.int32)
  rows = np.pad(rows, ((0, 0), (0, 2)))
  rows[np.arange(4000), lengths] = 1
  found = np.asarray(
    objectives.drop_tokens(
      jnp.asarray(rows), jax.random.key(0), probability=0.5, rate=0.1
    )
  )
  assert found.dtype == np.int32
  lost = []
  for before, after in zip(rows.tolist(), found.tolist(), strict=True):
    kept = [token for token in after if token]
    assert kept == sorted(set(kept) - {1}) + [1]  # in order, eos last
    assert set(kept) <= set(before)
    assert after == kept + [0] * (len(after) - len(kept))
    lost.append(sum(map(bool, before)) - len(kept))
  lost = np.array(lost)
  assert lost.sum() / lengths.sum() == pytest.approx(0.05, abs=0.005)
  long = lengths == 12
  share = (
    lost[long] > 0
  ).mean()  # in a row of 12 that loses tokens, 1 - 0.9^12
  assert share == pytest.approx(0.5 * (1 - 0.9**12), abs=0.08)
  same = objectives.drop_tokens(
    jnp.asarray(rows), jax.random.key(0), probability=0, rate=1
  )
  np.testing.assert_array_equal(same, rows)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'alpha': -0.1}, 'alpha of at least 0, got -0.1'),
    ({'drop_rate': 1.5}, 'drop_rate from 0 to 1, got 1.5'),
    ({'drop_probability': -1}, 'drop_probability from 0 to 1, got -1'),
  ],
)
def test_consistency_of_wrong_numbers(fields, message):
  with pytest.raises(ValueError, match=message):
    objectives.Consistency(**fields)
