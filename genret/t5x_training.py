# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5X's model, as it trains an experiment of ours.

T5X has one loss, cross-entropy; an experiment may have another of
`genret.objectives`. A gin file joins the two, and what does not fit is refused
before anything is trained, as `genret train` does:

  train_script.train.model = @t5x_training.trained_by()
  t5x_training.trained_by.model = @models.EncoderDecoderModel()
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from genret import identifiers, run_folders, train_checks
from genret.models.t5 import Transformer
from genret.objectives import Batch, CrossEntropy, Objective
from genret.train_step import check_microbatches


def trained_by(
  model: Any,
  objective: Objective | None = None,
  *,
  docids: str | os.PathLike[str],
  task_feature_lengths: Mapping[str, int],
  model_dir: str | os.PathLike[str],
  microbatches: int = 1,
) -> Any:
  """The model with the loss of an objective in place of its own.

  Cross-entropy is left to T5X, which has `label_smoothing` and `z_loss` of its
  own. Other objectives are means over the whole batch, or over each of its
  microbatches; T5X's evaluation sees them without dropout. Of T5X's metrics
  those of logits tell what an objective counts as right.

  Args:
    model: T5X's `EncoderDecoderModel` with a module of ours.
    objective: one of `genret.objectives`; cross-entropy where None.
    docids: folder of the identifiers, or of an index of n-grams.
    task_feature_lengths: 'inputs' and 'targets', in tokens.
    model_dir: where T5X is to train.
    microbatches: T5X's `num_microbatches`.

  Raises:
    ValueError: if model_dir is a run of `genret train`, targets are shorter than identifiers, the model is of another
      vocabulary, or the objective takes no microbatches.
  """
  if os.path.isfile(os.path.join(model_dir, run_folders.RUN_FILE)):
    raise ValueError(
      f'Expected a run of T5X in {model_dir}, found one of genret train; convert '
      'it with genret convert --format t5x, or train into another folder.'
    )
  train_checks.check_model(
    model.module.config,
    identifiers.load(docids),
    task_feature_lengths,
    writes=not hasattr(objective, 'retriever'),
  )
  check_microbatches(microbatches, objective)
  if objective is None or isinstance(objective, CrossEntropy):
    return model
  calm = Transformer(model.module.config.replace(dropout_rate=0.0))

  def loss_fn(
    params: Any, batch: Batch, dropout_rng: jax.Array | None
  ) -> tuple[jax.Array, Any]:
    module = calm if dropout_rng is None else model.module
    key = jax.random.key(0) if dropout_rng is None else dropout_rng
    losses = objective(module, params, batch, key)
    weight = jnp.maximum(losses.weight, 1.0)
    loss = losses.loss / weight
    targets_BxL = jnp.asarray(batch['decoder_target_tokens'])
    metrics = model._compute_metrics(
      logits=jnp.zeros((*targets_BxL.shape, 1)),  # of no token: see accuracy
      targets=targets_BxL,
      mask=jnp.asarray(batch['decoder_loss_weights']),
      loss=loss,
    )
    accuracy = dataclasses.replace(
      metrics['accuracy'], total=losses.correct, count=weight
    )
    return loss, {**metrics, 'accuracy': accuracy}

  model.loss_fn = loss_fn
  return model
