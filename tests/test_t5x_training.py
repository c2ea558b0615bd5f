# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What T5X may not train, refused before it begins; its losses are in test_t5x_parity."""

import types

import numpy as np
import pytest
import tiny

from genret import run_folders
from genret.docids.table import DocidTable
from genret.models.t5 import Transformer
from genret.objectives import CrossEntropy, InBatchSoftmax
from genret.t5x_training import trained_by
from genret.train_step import check_microbatches


@pytest.fixture
def docids(tmp_path):
  tokens_DxL = np.array([[2, 3, 4]], np.int32)
  DocidTable(['a'], tokens_DxL, np.array([3]), vocab_size=16).save(tmp_path)
  return tmp_path


def model_of(vocab_size):
  """Of T5X's model, all that is read before training."""
  return types.SimpleNamespace(module=Transformer(tiny.config(vocab_size)))


def test_cross_entropy_is_left_to_t5x(docids):
  model = model_of(16)
  for objective in (None, CrossEntropy()):
    found = trained_by(
      model,
      objective,
      docids=docids,
      task_feature_lengths={'targets': 4},
      model_dir='gs://bucket/run',
      microbatches=2,
    )
    assert found is model
    assert not hasattr(model, 'loss_fn')


@pytest.mark.parametrize(
  ('vocab_size', 'changes', 'message'),
  [
    (
      16,
      {'task_feature_lengths': {'targets': 3}},
      'least 4, got 3; the longest',
    ),
    (17, {}, 'over the 16 tokens .* got vocab_size=17'),
    (16, {'microbatches': 0}, 'microbatches of at least 1, got 0'),
    (
      16,
      {'microbatches': 2, 'objective': InBatchSoftmax()},
      'microbatches=1 with InBatchSoftmax, .* got 2; parts',
    ),
  ],
)
def test_what_does_not_fit_is_refused(docids, vocab_size, changes, message):
  fitting = {
    'docids': docids,
    'task_feature_lengths': {'targets': 4},
    'model_dir': docids,
  }
  with pytest.raises(ValueError, match=f'Expected .*{message}'):
    trained_by(model_of(vocab_size), **fitting | changes)


def test_a_dual_encoder_writes_no_identifiers(docids):
  fitting = {
    'docids': docids,
    'task_feature_lengths': {'targets': 2},
    'model_dir': docids,
  }
  assert trained_by(model_of(16), InBatchSoftmax(), **fitting).loss_fn
  with pytest.raises(ValueError, match='of at least 4, got 2'):
    trained_by(model_of(16), **fitting)
  check_microbatches(1, InBatchSoftmax())


def test_a_run_of_ours_is_converted_first(docids):
  (docids / run_folders.RUN_FILE).write_text('{}')
  with pytest.raises(ValueError, match='found one of genret train; convert it'):
    trained_by(
      model_of(16),
      docids=docids,
      task_feature_lengths={'targets': 4},
      model_dir=docids,
    )
