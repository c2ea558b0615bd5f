# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Objectives against the same losses computed step by step."""

import jax
import numpy as np
import pytest
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


def test_an_objective_says_what_it_is():
  described = objectives.describe(objectives.CrossEntropy(0.1))
  assert described == {
    'name': 'CrossEntropy',
    'label_smoothing': 0.1,
    'z_loss': 1e-4,
  }
