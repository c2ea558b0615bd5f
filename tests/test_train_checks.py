# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What training refuses, each by a sentence that names it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from genret import train_checks
from genret.docids.table import DocidTable
from genret.losses import TokenLosses

NUMBERS = {
  'seed': 0,
  'train_steps': 1,
  'log_period': 1,
  'checkpoint_period': 1,
  'eval_period': 0,
  'keep_checkpoints': 1,
  'keep_best': 0,
}


def losses(*values):
  return [
    TokenLosses(jnp.float32(v), jnp.ones(()), jnp.ones(())) for v in values
  ]


def test_a_model_must_fit_its_identifiers():
  tokens = np.array([[2, 3, 4]], np.int32)
  lengths = np.array([3], np.int32)
  table = DocidTable(['a'], tokens, lengths, vocab_size=16)

  def check(vocab_size, targets, *, writes=True):
    train_checks.check_model(
      tiny.config(vocab_size), table, {'targets': targets}, writes=writes
    )

  check(16, 4)
  check(16, 2, writes=False)
  with pytest.raises(
    ValueError, match='of at least 4, got 3; the longest iden'
  ):
    check(16, 3)
  with pytest.raises(
    ValueError, match='of at least 2, got 1; the longest iden'
  ):
    check(16, 1, writes=False)
  with pytest.raises(ValueError, match=r'over the 16 tokens .* vocab_size=17;'):
    check(17, 4)


def test_a_run_has_a_folder_of_its_own(tmp_path):
  run = tmp_path / 'run'
  train_checks.check_folder(run, tmp_path / 'docids')
  with pytest.raises(ValueError, match='other than the identifiers, got'):
    train_checks.check_folder(run, f'{tmp_path}/x/../run')
  (run / 'checkpoint_50').mkdir(parents=True)
  with pytest.raises(ValueError, match='found checkpoint_50, which T5X wrote'):
    train_checks.check_folder(run, tmp_path / 'docids')


def test_a_batch_must_be_dealt_out():
  devices = jax.local_device_count()
  train_checks.check_batch(6 * devices, 3)
  for size in (0, -3 * devices, 4 * devices):
    with pytest.raises(ValueError, match=f'got {size}; set a multiple of 3'):
      train_checks.check_batch(size, 3)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'seed': -1}, 'from 0 to 4294967295, got -1'),
    ({'seed': 2**32}, 'from 0 to 4294967295, got 4294967296'),
    ({'train_steps': 1.5}, 'train_steps to be a whole number .*, got 1.5'),
    ({'log_period': 0}, 'log_period to be a whole number of at least 1, got 0'),
    (
      {'checkpoint_period': 0},
      'checkpoint_period to be a whole number of at least 1, got 0',
    ),
    (
      {'eval_period': -1},
      'eval_period to be a whole number of at least 0, got -1',
    ),
    (
      {'keep_checkpoints': 0},
      'keep_checkpoints to be a whole number of at least 1, got 0',
    ),
    ({'keep_best': -1}, 'keep_best to be a whole number of at least 0, got -1'),
    ({'keep_best': 2}, 'eval_period above 0 with keep_best=2, got 0'),
  ],
)
def test_numbers_that_mean_nothing(changes, message):
  train_checks.check_numbers(**NUMBERS)
  with pytest.raises(ValueError, match=f'Expected .*{message}'):
    train_checks.check_numbers(**NUMBERS | changes)


def test_the_first_loss_that_is_not_finite_is_named():
  assert train_checks.finite_losses([], 5).shape == (0, 3)
  found = train_checks.finite_losses(losses(1, 2), 5)
  np.testing.assert_array_equal(found, [[1, 1, 1], [2, 1, 1]])
  with pytest.raises(
    FloatingPointError, match='loss, got nan at step 4; lower'
  ):
    train_checks.finite_losses(losses(1, np.nan, np.inf), 5)


def test_an_array_that_is_not_finite_is_named():
  state = ({'a': {'b': jnp.ones(3)}}, (jnp.int32(1), {'m': jnp.ones(2)}))
  train_checks.check_finite_state(state, 7)
  spoilt = ({'a': {'b': jnp.array([1, jnp.inf])}}, state[1])
  with pytest.raises(
    FloatingPointError, match='parameters, got others in a/b aft'
  ):
    train_checks.check_finite_state(spoilt, 7)
  spoilt = (state[0], (jnp.int32(1), {'m': jnp.array([jnp.nan])}))
  with pytest.raises(
    FloatingPointError, match=r'moments, .* in 1/m after step 7'
  ):
    train_checks.check_finite_state(spoilt, 7)
