# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What training refuses: settings that do not fit, and numbers that are not finite."""

import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.docids.table import DocidTable
from genret.identifiers import Identifiers
from genret.losses import TokenLosses
from genret.models.t5 import T5Config


def check_model(
  config: T5Config,
  found: Identifiers,
  task_feature_lengths: Mapping[str, int],
  *,
  writes: bool,
) -> None:
  """Compares a model with the identifiers that it is to learn.

  Args:
    config: its sizes.
    found: the identifiers.
    task_feature_lengths: 'inputs' and 'targets', in tokens.
    writes: whether identifiers are what targets hold.

  Raises:
    ValueError: if the targets are shorter, or the vocabulary is another.
  """
  needed = 2  # a token and end-of-sequence
  if writes and isinstance(found, DocidTable):
    needed = int(found.lengths_D.max(initial=0)) + 1
  if task_feature_lengths.get('targets', 0) < needed:
    raise ValueError(
      f"Expected task_feature_lengths['targets'] of at least {needed}, got "
      f'{task_feature_lengths.get("targets")}; the longest identifier and its '
      'end-of-sequence must fit.'
    )
  if config.vocab_size != found.vocab_size:
    raise ValueError(
      f'Expected a model over the {found.vocab_size} tokens of the '
      f'identifiers, got vocab_size={config.vocab_size}; set it to '
      f'{found.vocab_size}.'
    )


def check_folder(run_folder: Path, docids: str | os.PathLike[str]) -> None:
  """Refuses to train in a folder that is something else.

  Raises:
    ValueError: if it is that of the identifiers, or a run of T5X.
  """
  if run_folder.resolve() == Path(docids).resolve():
    raise ValueError(
      f'Expected a run folder other than the identifiers, got {run_folder} for '
      'both; train into another folder.'
    )
  theirs = sorted(run_folder.glob('checkpoint_*'))
  if theirs:
    raise ValueError(
      f'Expected a run of genret train in {run_folder}, found {theirs[-1].name}, '
      'which T5X wrote; convert it with genret convert --format run, or train '
      'into another folder.'
    )


def check_batch(batch_size: int, microbatches: int) -> None:
  """Refuses a batch that neither devices nor microbatches divide.

  Raises:
    ValueError: naming a number that it must be a multiple of.
  """
  devices = jax.local_device_count()
  if batch_size < 1 or batch_size % (devices * microbatches):
    raise ValueError(
      f'Expected a batch size that {devices} devices divide, and {microbatches} '
      f'microbatches on each, got {batch_size}; set a multiple of '
      f'{devices * microbatches}.'
    )


def check_numbers(
  *,
  seed: int,
  train_steps: int,
  log_period: int,
  checkpoint_period: int,
  eval_period: int,
  keep_checkpoints: int,
  keep_best: int,
) -> None:
  """Refuses numbers of `train.train` that mean nothing.

  Raises:
    ValueError: naming the first of them.
  """
  if not 0 <= seed < 2**32:
    raise ValueError(
      f'Expected a seed from 0 to 4294967295, got {seed}; set another.'
    )
  for name, number, least in (
    ('train_steps', train_steps, 0),
    ('log_period', log_period, 1),
    ('checkpoint_period', checkpoint_period, 1),
    ('eval_period', eval_period, 0),
    ('keep_checkpoints', keep_checkpoints, 1),
    ('keep_best', keep_best, 0),
  ):
    if not isinstance(number, numbers.Integral) or number < least:
      raise ValueError(
        f'Expected {name} to be a whole number of at least {least}, got '
        f'{number}; set another.'
      )
  if keep_best and not eval_period:
    raise ValueError(
      f'Expected an eval_period above 0 with keep_best={keep_best}, got 0; the '
      'best step is found by evaluations.'
    )


def finite_losses(pending: Sequence[TokenLosses], step: int) -> np.ndarray:
  """Fetches the losses of steps, of which the last was `step`.

  Returns:
    Sums of loss, right tokens and weights, [steps, 3], float64.

  Raises:
    FloatingPointError: naming the first step whose loss is not finite.
  """
  if not pending:
    return np.zeros((0, 3))
  values = np.array(jax.device_get(pending), np.float64)
  for offset, loss in enumerate(values[:, 0]):
    if not np.isfinite(loss):
      raise FloatingPointError(
        f'Expected a finite loss, got {loss} at step '
        f'{step - len(values) + 1 + offset}; lower the learning rate, and '
        'start again: training goes on from the last checkpoint.'
      )
  return values


def check_finite_state(state: Any, step: int) -> None:
  """Refuses parameters or moments that a step with a finite loss has spoilt.

  Args:
    state: (parameters, state of the optimizer).
    step: that they are of.

  Raises:
    FloatingPointError: naming the first such array.
  """
  spoilt = jax.tree.leaves_with_path(jax.device_get(_spoilt(state)))
  for path, here in spoilt:
    if here:
      name = jax.tree_util.keystr(path[1:], simple=True, separator='/')
      raise FloatingPointError(
        f'Expected finite {("parameters", "moments")[path[0].idx]}, got others '
        f'in {name} after step {step}; lower the learning rate, and start again: '
        'training goes on from the last checkpoint.'
      )


@jax.jit
def _spoilt(state: Any) -> Any:
  """Of each array, whether it holds anything that is not finite."""
  return jax.tree.map(
    lambda x: jnp.issubdtype(x.dtype, jnp.inexact) & ~jnp.isfinite(x).all(),
    state,
  )
