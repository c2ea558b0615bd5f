# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The part of a mixture that has a split, for T5X to evaluate or decode.

Most tasks of a mixture are to train on and have no other split; T5X's infer.py
decodes every one of them and stops at the first without, its train.py stops
where none has one.
"""

from typing import Any

import seqio
from absl import logging


def where_held(dataset_cfg: Any) -> Any | None:
  """What T5X evaluates on in training; None, with a warning, where nothing is.

  Examples that are written to files are only to train on, as those of SEAL are,
  and collections such as BEIR's may have judged queries of 'test' alone.

  Args:
    dataset_cfg: T5X's `DatasetConfig`: a mixture or task, and its split.
  """
  provider = seqio.get_mixture_or_task(dataset_cfg.mixture_or_task_name)
  if dataset_cfg.split in provider.splits:
    return dataset_cfg
  logging.warning(
    'Nothing is evaluated in training: no task of %s has the split %r, they have '
    '%s; set EVAL_SPLIT to one of these to evaluate on it.',
    dataset_cfg.mixture_or_task_name,
    dataset_cfg.split,
    ', '.join(sorted(provider.splits)),
  )
  return None


def tasks_with(mixture_or_task_name: str, split: str) -> str:
  """Registers the mixture of those tasks that have a split; returns its name.

  Args:
    mixture_or_task_name: a name in seqio's registries.
    split: such as 'test'.

  Raises:
    ValueError: none has it.
  """
  provider = seqio.get_mixture_or_task(mixture_or_task_name)
  tasks = [t for t in seqio.get_subtasks(provider) if split in t.splits]
  if not tasks:
    splits = ', '.join(sorted(provider.splits))
    raise ValueError(
      f'Expected a split of {mixture_or_task_name}, which has {splits}, got '
      f'{split!r}; choose one of these.'
    )
  name = f'{mixture_or_task_name}_with_{split}'
  seqio.MixtureRegistry.remove(name)
  seqio.MixtureRegistry.add(name, [(task.name, 1.0) for task in tasks])
  return name
