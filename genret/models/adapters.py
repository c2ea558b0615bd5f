# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Adapters: small layers to train inside a model whose own weights stay.

Bottleneck adapters (Houlsby et al., ICML 2019, https://arxiv.org/abs/1902.00751):
down to a few dimensions, a relu, up again, and the input is added. CorpusBrain++ (Guo
et al., 2024, https://arxiv.org/abs/2402.16767) trains one set of them for each task
on new pages, with the backbone frozen. Its file of their sizes and places is not
public; ours are one behind each feed-forward block, before the residual sum (the
place of Pfeiffer et al., EACL 2021, https://arxiv.org/abs/2005.00247; Houlsby et al.
have another one behind attention), without biases, as T5 has none.

The way up starts at 0: a fresh model is the plain one, and gradients reach the way
down from the second step on.
"""
# ruff: noqa: D102 (__call__ of a layer: its class says what it does)

from typing import Any

import jax
from flax import linen as nn

from genret.models.layers import Dense, dense_init

Array = jax.Array

# What an adapter is called in the tree of parameters, in every layer.
NAME = 'adapter'


class Adapter(nn.Module):
  """x + up(relu(down(x))), of x [B, L, E]."""

  adapter_dim: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    # 'kv' is on no axis of devices: few dimensions, which need not divide.
    axes, zeros = ('embed', 'kv'), nn.initializers.zeros
    down = Dense(self.adapter_dim, axes, dense_init, self.dtype, name='down')
    up = Dense(x.shape[-1], axes[::-1], zeros, self.dtype, name='up')
    return x + up(nn.relu(down(x)))


def is_adapters(path: tuple[str, ...]) -> bool:
  """Whether a path in the tree of parameters leads to an adapter's."""
  return NAME in path
