# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The step of the embedded trainer: from a batch to other parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genret.losses import TokenLosses
from genret.models.t5 import Transformer
from genret.objectives import Batch, Objective


def make_step(
  module: Transformer,
  optimizer: optax.GradientTransformation,
  objective: Objective,
  *,
  microbatches: int = 1,
) -> Callable[[Any, Batch, jax.Array], tuple[Any, TokenLosses]]:
  """The compiled training step: (state, batch, key) -> (state, losses).

  The state, (params, optimizer state), is donated. The gradient is that of
  loss / weight over the whole batch however it is split: sums are accumulated
  and divided once, so that a token counts as much beside long targets as beside
  short ones. Dropout alone differs, for each part has a key of its own.

  Args:
    module: the model.
    optimizer: any of optax.
    objective: that gives the sums.
    microbatches: parts of the batch that are computed one after another, for
      less memory; they divide the batch that each device has.

  Raises:
    ValueError: if the objective compares the examples of a batch with each
      other, which parts of it cannot, or microbatches is below 1.
  """
  check_microbatches(microbatches, objective)

  def sums(params: Any, batch: Batch, key: jax.Array) -> Any:
    losses = objective(module, params, batch, key)
    return losses.loss, losses

  sums_and_grads = jax.grad(sums, has_aux=True)

  def accumulated(params: Any, batch: Batch, key: jax.Array) -> Any:
    if microbatches == 1:
      return sums_and_grads(params, batch, key)

    def add(total: Any, part: tuple[Batch, jax.Array]) -> Any:
      return jax.tree.map(jnp.add, total, sums_and_grads(params, *part)), None

    parts = jax.tree.map(functools.partial(_split, parts=microbatches), batch)
    keys = jax.random.split(key, microbatches)
    nothing = jax.tree.map(
      lambda x: jnp.zeros(x.shape, x.dtype),
      jax.eval_shape(
        sums_and_grads, params, jax.tree.map(lambda x: x[0], parts), key
      ),
    )
    return jax.lax.scan(add, nothing, (parts, keys))[0]

  @functools.partial(jax.jit, donate_argnums=0)
  def step_fn(state: Any, batch: Batch, key: jax.Array) -> Any:
    params, optimizer_state = state
    grads, losses = accumulated(params, batch, key)
    weight = jnp.maximum(losses.weight, 1.0)
    grads = jax.tree.map(lambda x: (x / weight).astype(x.dtype), grads)
    updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
    return (optax.apply_updates(params, updates), optimizer_state), losses

  return step_fn


def check_microbatches(
  microbatches: int, objective: Objective | None = None
) -> None:
  """Refuses parts of a batch that would be another objective.

  Raises:
    ValueError: if the objective compares the examples of a batch with each
      other, or there are no parts.
  """
  if microbatches < 1:
    raise ValueError(
      f'Expected microbatches of at least 1, got {microbatches}; 1 is the whole '
      'batch.'
    )
  if microbatches > 1 and getattr(objective, 'compares_examples', False):
    raise ValueError(
      f'Expected microbatches=1 with {type(objective).__name__}, which compares '
      f'the examples of a batch, got {microbatches}; parts of it would be '
      'another objective, so set 1 and a batch that fits.'
    )


def _split(x: jax.Array, *, parts: int) -> jax.Array:
  """Rows [B, ...] to [parts, B / parts, ...], each part from every device.

  Devices hold rows that are next to each other, so a part takes every n-th.
  """
  return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)
