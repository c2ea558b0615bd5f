# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Optimizers by the part of the model, put together for gin files to bind.

NCI (Wang et al., NeurIPS 2022, https://arxiv.org/abs/2206.02743) trains its
pretrained encoder, and the embeddings that it shares, at 2e-4 and its new decoder
at 1e-4:

  OPTIMIZER = @path_optimizer.by_path()
  path_optimizer.by_path.optimizers = {
    'encoder': @encoder/optax.adamw(),
    'token_embedder': @encoder/optax.adamw(),
    '': @decoder/optax.adamw(),
  }
  encoder/optax.adamw.learning_rate = 2e-4
  decoder/optax.adamw.learning_rate = 1e-4
  optax.adamw.weight_decay = 1e-4
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax


def by_path(
  optimizers: Mapping[str, optax.GradientTransformation],
) -> optax.GradientTransformation:
  """Each parameter's own optimizer, that of the longest path around it.

  One that looks at all gradients, such as a clip by their norm, sees those of its
  own parameters (`fairseq_optimizer.clipped_adamw` may be one of them).

  Args:
    optimizers: by paths in the tree of parameters, whole names joined by '/':
      'decoder/layers_0', or '' for what no other path holds.

  Raises:
    ValueError: where parameters are seen, if one has no optimizer, or a path but
      '' holds none.
  """

  def labels(params: Any) -> Any:
    names = jax.tree_util.tree_map_with_path(
      lambda path, _: jax.tree_util.keystr(path, simple=True, separator='/'),
      params,
    )
    found = jax.tree.map(lambda name: _path_of(name, optimizers), names)
    idle = sorted(set(optimizers) - set(jax.tree.leaves(found)) - {''})
    if idle:
      raise ValueError(
        f'Expected paths of parameters, got {", ".join(map(repr, idle))} that '
        f'hold none; the model has {", ".join(sorted(params))}.'
      )
    return found

  return optax.multi_transform(dict(optimizers), labels)


def only(
  optimizer: optax.GradientTransformation, *, name: str
) -> optax.GradientTransformation:
  """Trains the parameters under a name; no bit of the others changes.

  A frozen backbone with adapters (Houlsby et al., ICML 2019): the optimizer sees
  the gradients of the adapters alone, and has no state for the backbone.

  Args:
    optimizer: of what is trained.
    name: in the tree of parameters, at any depth: 'adapter', or 'decoder'.

  Raises:
    ValueError: where parameters are seen, if nothing has that name.
  """

  def labels(params: Any) -> Any:
    found = jax.tree_util.tree_map_with_path(
      lambda path, _: (
        'trained'
        if name
        in jax.tree_util.keystr(path, simple=True, separator='/').split('/')
        else 'frozen'
      ),
      params,
    )
    if 'trained' not in jax.tree.leaves(found):
      raise ValueError(
        f'Expected parameters named {name!r} to train, the model has none; with '
        'models/adapters.gin behind it, it has adapters.'
      )
    return found

  # To add 0 would make a 0 of -0.
  frozen = optax.stateless(
    lambda updates, _: jax.tree.map(lambda x: jnp.full_like(x, -0.0), updates)
  )
  return optax.multi_transform({'trained': optimizer, 'frozen': frozen}, labels)


def _path_of(name: str, paths: Mapping[str, Any]) -> str:
  """The longest of the paths that holds a parameter."""
  around = [p for p in paths if not p or f'{name}/'.startswith(f'{p}/')]
  if not around:
    raise ValueError(
      f'Expected an optimizer for {name}, got those of '
      f"{', '.join(map(repr, sorted(paths)))}; give one for ''."
    )
  return max(around, key=len)
