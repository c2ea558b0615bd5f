# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""PAWA: an output matrix that depends on what was written so far.

The prefix-aware weight-adaptive decoder of NCI (Wang et al., NeurIPS 2022,
https://arxiv.org/abs/2206.02743). The same digit means different clusters under
different prefixes, so identifier tokens are scored by h (E + W(r)): h is the
decoder's state, E the usual output matrix and W(r) one that a second decoder
makes of the prefix r alone. This is the released "efficient" version, in which W
is added and linear in the second decoder's state a: W(r) = sum_i a_i M_i.

The second decoder is a T5 decoder of its own (theirs has absolute positions, none
in fact, and post-norms) over the same embedded tokens. In place of a query it
attends to one learned vector. The softmax over a single key is 1, so the vector
adds the same to every position, a bias of each layer; queries and keys of that
attention have no gradient.

Only identifier tokens are adapted, those from `pawa_first_token` to the end of
the vocabulary. That leaves nothing out: end-of-sequence, a piece of text, gains
on the others where they all lose.

Letters in names: B batch, L length, E model width, X adapted tokens, A of E
coordinates at once.
"""
# ruff: noqa: D102 (__call__ of a layer: its class says what it does)

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from genret.models.layers import param

Array = jax.Array

# The parameters that a Transformer with PAWA has and a plain one has not.
PARAMETERS = ('prefix_decoder', 'prefix_map')

# [B, L, A, X] is the most that is held at once; A = E would be W(r) itself.
_COORDINATES = 64


class PrefixMap(nn.Module):
  """The vector that the prefix decoder attends to, and M [E, E, X].

  M starts at 0: a fresh model is the plain one, and gradients reach the prefix
  decoder from the second step on.

  M has E^2 X weights, and a position costs 2 E^2 X operations, whatever the
  order: 177M and 0.35G for E = 768 and NCI's 300 tokens, half as much again as
  the decoder of T5 base; an atomic scheme of many documents is out of reach.
  Neither W(r) of all positions, E X numbers each, nor the outer products of
  a and h, E^2 each, are ever held: M is read 64 coordinates of a at a time, and
  again for the gradient.
  """

  emb_dim: int
  num_tokens: int
  dtype: Any

  def setup(self) -> None:
    width, axes = self.emb_dim, ('kv', 'embed', 'vocab')
    shape, zeros = (width, width, self.num_tokens), nn.initializers.zeros
    self.kernel = param('kernel', zeros, shape, axes)
    normal = nn.initializers.normal(stddev=1.0)
    self.vector = param('vector', normal, (width,), ('embed',))

  def attended(self) -> Array:
    """The vector as an encoded text of one token, [1, 1, E]."""
    return self.vector.astype(self.dtype)[None, None]

  def __call__(self, state_BxLxE: Array, prefix_BxLxE: Array) -> Array:
    """h W(r), float32 [B, L, X], of the states h and a at each position."""
    size = math.gcd(self.emb_dim, _COORDINATES)
    state_BxLxE = state_BxLxE.astype(self.dtype)
    groups = self.emb_dim // size
    kernel_GxAxExX = self.kernel.astype(self.dtype).reshape(
      groups, size, self.emb_dim, self.num_tokens
    )
    prefix_BxLxGxA = prefix_BxLxE.astype(jnp.float32).reshape(
      *prefix_BxLxE.shape[:2], groups, size
    )

    def add(sum_BxLxX: Array, block: tuple[Array, Array]) -> Any:
      kernel_AxExX, prefix_BxLxA = block
      part_BxLxAxX = jnp.einsum(
        'ble,aex->blax',
        state_BxLxE,
        kernel_AxExX,
        preferred_element_type=jnp.float32,
      )
      part_BxLxX = jnp.einsum('bla,blax->blx', prefix_BxLxA, part_BxLxAxX)
      return sum_BxLxX + part_BxLxX, None

    nothing = jnp.zeros((*state_BxLxE.shape[:2], self.num_tokens), jnp.float32)
    blocks = kernel_GxAxExX, jnp.moveaxis(prefix_BxLxGxA, 2, 0)
    return lax.scan(jax.checkpoint(add), nothing, blocks)[0]
