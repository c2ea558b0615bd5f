# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A T5 with parameters that make every path matter, and what it gives sequences.

Each is decoded on its own, all its tokens at once.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from genret.models.t5 import T5Config, Transformer


@functools.cache
def model(config: T5Config):
  """The module and its parameters, drawn wider than a fresh model's."""
  module = Transformer(config)
  tokens = np.ones((1, 3), np.int32)
  shapes = jax.eval_shape(
    functools.partial(module.init, enable_dropout=False),
    jax.random.key(0),
    *(tokens, tokens, tokens),
  )['params']
  rng = np.random.default_rng(0)

  def draw(leaf):
    spread = leaf.shape[0] ** -0.5 if len(leaf.shape) == 2 else 0.3
    mean = float(len(leaf.shape) == 1)
    return rng.normal(mean, spread, leaf.shape).astype(np.float32)

  return module, jax.tree.map(draw, shapes)


def configs(vocab_size: int) -> dict[str, T5Config]:
  """T5 1.1, and T5 1.0 with tied embeddings."""
  new = tiny.config(vocab_size, num_decoder_layers=2)
  old = new.replace(mlp_activations=('relu',), logits_via_embedding=True)
  return {'v1.1': new, 'v1.0': old}


@functools.partial(jax.jit, static_argnames='module')
def _log_probs(module, params, inputs, targets):
  logits = module.apply(
    {'params': params},
    *(inputs, jnp.pad(targets, ((0, 0), (1, 0)))[:, :-1], targets),
    enable_dropout=False,
  )
  return jax.nn.log_softmax(logits)


def log_softmax(module, params, input_T, prefix, width) -> np.ndarray:
  """Of the token behind a prefix [V]; rows have `width` positions."""
  # What stands at and behind a position does not change it.
  row = np.full(width, 3, np.int32)
  row[: len(prefix)] = prefix
  found = _log_probs(module, params, input_T[None], row[None])
  return np.asarray(found[0, len(prefix)])


def log_probability(module, params, input_T, tokens, width) -> float:
  """Of the tokens, as what is written for an input."""
  row = np.zeros(width, np.int32)
  row[: len(tokens)] = tokens
  found = np.asarray(_log_probs(module, params, input_T[None], row[None]))[0]
  return float(sum(found[i, token] for i, token in enumerate(tokens)))
