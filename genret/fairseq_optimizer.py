# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The optimizer of fairseq's recipes, put together for gin files to bind.

Optax's own chain takes its parts one after the other, which gin cannot bind.
"""

from __future__ import annotations

import optax


def clipped_adamw(
  *,
  learning_rate: float,
  train_steps: int,
  warmup_steps: int = 500,
  weight_decay: float = 0.01,
  clip_norm: float = 0.1,
  b2: float = 0.999,
) -> optax.GradientTransformation:
  """AdamW as BART is fine-tuned in fairseq: GENRE, SEAL, MINDER, CorpusBrain.

  A linear warm-up, then a linear fall to 0 (fairseq's polynomial decay), after
  gradients of a greater norm are scaled down.

  Args:
    learning_rate: the greatest.
    train_steps: at which it has fallen to 0.
    warmup_steps: at which it is greatest.
    weight_decay: of every parameter.
    clip_norm: the greatest norm of the gradients.
    b2: the decay of squared gradients.

  Raises:
    ValueError: the warm-up is longer than the training.
  """
  if not 0 <= warmup_steps <= train_steps:
    raise ValueError(
      f'Expected warmup_steps from 0 to train_steps={train_steps}, got '
      f'{warmup_steps}; shorten the warm-up.'
    )
  up = optax.linear_schedule(0.0, learning_rate, max(warmup_steps, 1))
  down = optax.linear_schedule(
    learning_rate, 0.0, max(train_steps - warmup_steps, 1)
  )
  return optax.chain(
    optax.clip_by_global_norm(clip_norm),
    optax.adamw(
      optax.join_schedules([up, down], [warmup_steps]),
      b2=b2,
      weight_decay=weight_decay,
    ),
  )
