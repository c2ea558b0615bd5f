# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Optax's optimizers in a form that T5X can place on its devices.

T5X decides by the type of an optax state how to split it over devices. It knows
those that repeat the shapes of the parameters, such as Adam's, and refuses the
factored moments of Adafactor, which have shapes of their own. A gin file joins
the two:

  optimizers.OptaxWrapper.optax_optimizer = @t5x_optimizer.placeable()
  t5x_optimizer.placeable.optimizer = %OPTIMIZER
"""

from typing import Any, NamedTuple

import jax
import optax


class FactoredMoments(NamedTuple):
  """What `optax.FactoredState` holds.

  T5X takes a named tuple for a state by the end of its name; this one is a tree
  of arrays to it, and every device gets a copy of each.
  """

  count: Any
  v_row: Any
  v_col: Any
  v: Any


def placeable(
  optimizer: optax.GradientTransformation, *, microbatches: int = 1
) -> optax.GradientTransformation:
  """The same optimizer, with a state that T5X's `OptaxWrapper` takes.

  Factored moments are copied to every device: of a matrix they hold a row and a
  column. All other states are left as they are, for T5X to split.

  T5X adds up the mean gradients of a batch's parts; here the sum is divided, so
  that a rate or a clipping norm means the same for any number of parts. Unlike in
  `genret train`, parts of few target tokens count as much as others.

  Args:
    optimizer: any of optax.
    microbatches: T5X's `num_microbatches`.

  Raises:
    ValueError: there are none.
  """
  if microbatches < 1:
    raise ValueError(
      f'Expected microbatches of at least 1, got {microbatches}; 1 is the whole '
      'batch.'
    )

  def init(params: Any) -> Any:
    return _replace(
      optax.FactoredState, FactoredMoments, optimizer.init(params)
    )

  def update(updates: Any, state: Any, params: Any = None) -> Any:
    state = _replace(FactoredMoments, optax.FactoredState, state)
    if microbatches > 1:
      updates = jax.tree.map(lambda x: x / microbatches, updates)
    updates, state = optimizer.update(updates, state, params)
    return updates, _replace(optax.FactoredState, FactoredMoments, state)

  return optax.GradientTransformation(init, update)


def _replace(old: Any, new: Any, state: Any) -> Any:
  """Rebuilds every `old` in a tree as a `new` of the same fields."""

  def is_old(node: Any) -> bool:
    return isinstance(node, old)

  return jax.tree.map(
    lambda node: new(*node) if is_old(node) else node, state, is_leaf=is_old
  )
