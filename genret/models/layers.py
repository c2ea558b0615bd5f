# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The blocks T5 is made of: linear, norm, embedding, feed-forward, attention.

Follows Raffel et al. (2020, https://arxiv.org/abs/1910.10683, section 2.1):
norms without mean and bias, attention biased by relative position and without
1 / sqrt(D) in its logits. Keys and values are projected apart from queries, so
that those of an encoded text are computed once for many steps and beams.

Letters in names: B batch, L length, T length attended to, E model width, H
heads, D head width.
"""
# ruff: noqa: D102 (setup and __call__ of a layer: its class says what it does)

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import partitioning
from flax.linen.spmd import with_logical_constraint as constrain
from jax import lax

Array = jax.Array
Initializer = Callable[..., Array]  # (key, shape, dtype) -> array
KeysValues = tuple[Array, Array]  # [B, H, T, D] each

_NUM_BUCKETS = 32
_MAX_DISTANCE = 128
_MASKED = -1e10  # finite, so that a row with every key masked stays finite

_scaled = nn.initializers.variance_scaling
dense_init = _scaled(1.0, 'fan_in', 'truncated_normal')


def identity_init(
  key: Array, shape: Sequence[int], dtype: Any = jnp.float32
) -> Array:
  """The identity matrix; where the sides differ, padded with 0 or cut."""
  del key
  return jnp.eye(shape[0], shape[1], dtype=dtype)


def param(
  name: str, init: Initializer, shape: Sequence[int], axes: tuple[str, ...]
) -> Array:
  """A float32 parameter of the module being called, with its logical axes."""
  return partitioning.param_with_axes(name, init, shape, jnp.float32, axes=axes)


@jax.custom_vjp
def linear(x_BxLxE: Array, w_ExF: Array) -> Array:
  """The product [B, L, F], with a weight gradient laid out for CPUs.

  JAX's own rule multiplies the transposed cotangent by x, and XLA then copies
  the wider of the two column by column: 2 to 4 times slower for wide layers.
  """
  return jnp.dot(x_BxLxE, w_ExF)


def _linear_forward(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
  return jnp.dot(x, w), (x, w)


def _linear_backward(
  saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
  x, w = saved
  return jnp.dot(g, w.T), jnp.tensordot(x, g, axes=((0, 1), (0, 1)))


linear.defvjp(_linear_forward, _linear_backward)


class Dense(nn.Module):
  """A linear layer without bias over the last axis."""

  features: int
  axes: tuple[str, str]
  kernel_init: Initializer
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (x.shape[-1], self.features)
    kernel = param('kernel', self.kernel_init, shape, self.axes)
    return linear(x.astype(self.dtype), kernel.astype(self.dtype))


def dropout(rate: float) -> nn.Dropout:
  """Dropout with one draw for all positions of a row, as T5 has it."""
  return nn.Dropout(rate=rate, broadcast_dims=(-2,))


class RMSNorm(nn.Module):
  """Division by the root mean square, in float32, then a scale."""

  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    ones = nn.initializers.ones
    scale = param('scale', ones, (x.shape[-1],), ('embed',))
    x = x.astype(jnp.float32)
    x = x * lax.rsqrt(jnp.mean(lax.square(x), axis=-1, keepdims=True) + 1e-6)
    scale = jnp.expand_dims(scale.astype(self.dtype), range(x.ndim - 1))
    return x.astype(self.dtype) * scale


class Embedding(nn.Module):
  """The token table: its rows embed tokens and may score them."""

  vocab_size: int
  emb_dim: int
  embedding_init: Initializer
  dtype: Any

  def setup(self) -> None:
    shape, axes = (self.vocab_size, self.emb_dim), ('vocab', 'embed')
    self.embedding = param('embedding', self.embedding_init, shape, axes)

  def __call__(self, tokens_BxL: Array) -> Array:
    # A token outside the vocabulary gives NaN, which stops a training run;
    # clamped to the last row, it would train the wrong one in silence.
    tokens_BxL = tokens_BxL.astype(jnp.int32)
    x = jnp.take(self.embedding, tokens_BxL, axis=0, mode='fill')
    return constrain(x.astype(self.dtype), ('batch', 'length', 'embed'))

  def logits(self, x_BxLxE: Array) -> Array:
    x_BxLxE = x_BxLxE.astype(jnp.float32) / math.sqrt(self.emb_dim)
    return linear(x_BxLxE, self.embedding.T)


class MLP(nn.Module):
  """The feed-forward block, gated where there are two activations."""

  mlp_dim: int
  activations: tuple[str, ...]
  dropout_rate: float
  dtype: Any
  silent: bool = False  # starts by adding 0

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    axes, hidden = ('embed', 'mlp'), []
    for i, activation in enumerate(self.activations):
      name = 'wi' if len(self.activations) == 1 else f'wi_{i}'
      y = Dense(self.mlp_dim, axes, dense_init, self.dtype, name=name)(x)
      hidden.append(y if activation == 'linear' else getattr(nn, activation)(y))
    y = functools.reduce(jnp.multiply, hidden)
    y = dropout(self.dropout_rate)(y, deterministic=deterministic)
    y = constrain(y, ('batch', 'length', 'mlp'))
    init = nn.initializers.zeros if self.silent else dense_init
    out = Dense(x.shape[-1], axes[::-1], init, self.dtype, name='wo')
    return out(y)


def relative_position_buckets(
  length: int, *, bidirectional: bool
) -> np.ndarray:
  """Buckets of (key position - query position), int32 [query, key].

  Half of the buckets hold one distance each, the others grow by a constant
  factor up to distance 128, and the last holds all beyond. `bidirectional`
  gives half of the buckets to keys after the query; otherwise those are all in
  bucket 0.
  """
  relative = np.arange(length)[None, :] - np.arange(length)[:, None]
  buckets = _NUM_BUCKETS // 2 if bidirectional else _NUM_BUCKETS
  offset = np.where(relative > 0, buckets, 0) if bidirectional else 0
  distance = np.abs(relative) if bidirectional else np.maximum(-relative, 0)
  exact = buckets // 2
  # The small term keeps a bound between two buckets in the upper one.
  growth = np.log(np.maximum(distance, 1) / exact + 1e-7)
  growth = growth / np.log(_MAX_DISTANCE / exact) * (buckets - exact)
  far = np.minimum(exact + growth.astype(np.int32), buckets - 1)
  return (offset + np.where(distance < exact, distance, far)).astype(np.int32)


class RelativePositionBias(nn.Module):
  """Attention biases [1, H, query, key] that depend on distance alone.

  Of positions 0 to length - 1, or [B, H, M, M] of the positions [B, M] given.
  """

  num_heads: int
  bidirectional: bool
  dtype: Any

  @nn.compact
  def __call__(self, length: int, position_BxM: Array | None = None) -> Array:
    shape, axes = (self.num_heads, _NUM_BUCKETS), ('heads', 'relpos_buckets')
    init = _scaled(1.0, 'fan_avg', 'uniform')
    table = param('rel_embedding', init, shape, axes).astype(self.dtype)
    bucketed = functools.partial(
      relative_position_buckets, bidirectional=self.bidirectional
    )
    if position_BxM is None:
      return table[None, :, bucketed(length)]
    # A row that holds every bucket: distances beyond share those of its ends.
    far = _MAX_DISTANCE
    bucket_R = jnp.asarray(bucketed(2 * far + 1)[far])
    relative_BxMxM = position_BxM[:, None, :] - position_BxM[:, :, None]
    bucket_BxMxM = bucket_R[jnp.clip(relative_BxMxM, -far, far) + far]
    return jnp.moveaxis(table[:, bucket_BxMxM], 0, 1)


class Attention(nn.Module):
  """Multi-head attention to keys and values that were projected before.

  Logits are not divided by sqrt(D): the query's initial values are.
  """

  emb_dim: int
  num_heads: int
  head_dim: int
  dropout_rate: float
  dtype: Any
  float32_logits: bool
  start: str = (
    'random'  # or 'identity' (passes values on), or 'silent' (adds 0)
  )

  def setup(self) -> None:
    width, axes = self.num_heads * self.head_dim, ('embed', 'joined_kv')
    init = functools.partial(_scaled, mode='fan_in', distribution='normal')
    value: Initializer = init(1.0)
    out: Initializer = init(1.0)
    if self.start == 'identity':
      value = out = identity_init
    elif self.start == 'silent':
      out = nn.initializers.zeros
    self.query = Dense(width, axes, init(1.0 / self.head_dim), self.dtype)
    self.key = Dense(width, axes, init(1.0), self.dtype)
    self.value = Dense(width, axes, value, self.dtype)
    self.out = Dense(self.emb_dim, axes[::-1], out, self.dtype)

  def _split_heads(self, x: Array) -> Array:
    x = x.reshape(*x.shape[:2], self.num_heads, self.head_dim)
    return constrain(x.swapaxes(1, 2), ('batch', 'heads', 'length', 'kv'))

  def keys_values(self, x: Array) -> KeysValues:
    return self._split_heads(self.key(x)), self._split_heads(self.value(x))

  @nn.compact
  def __call__(
    self,
    x: Array,
    keys_values: KeysValues,
    mask: Array | None,
    bias: Array | None = None,
    *,
    deterministic: bool,
    decode: bool = False,
  ) -> Array:
    query, (key, value) = self._split_heads(self.query(x)), keys_values
    if decode:
      key, value, mask, bias = self._with_cache(key, value, mask, bias)
    if self.float32_logits:
      query, key = query.astype(jnp.float32), key.astype(jnp.float32)
    logits = jnp.einsum('bhqd,bhkd->bhqk', query, key)
    if bias is not None:
      logits = logits + bias.astype(logits.dtype)
    if mask is not None:
      low = max(_MASKED, float(jnp.finfo(logits.dtype).min))
      logits = jnp.where(mask, logits, jnp.asarray(low, logits.dtype))
    weights = jax.nn.softmax(logits).astype(self.dtype)
    if not deterministic and self.dropout_rate > 0.0:
      # One draw for all queries of a row, as T5 drops along the length.
      keep = 1.0 - self.dropout_rate
      shape = (*weights.shape[:2], 1, weights.shape[3])
      kept = jax.random.bernoulli(self.make_rng('dropout'), keep, shape)
      weights = weights * (kept.astype(self.dtype) / keep)
    y = jnp.einsum('bhqk,bhkd->bqhd', weights, value)
    return self.out(y.reshape(*x.shape[:2], -1))

  def _with_cache(self, key: Array, value: Array, mask: Any, bias: Any) -> Any:
    """Adds a position to the cache; the first call only makes it, of zeros."""
    started = self.has_variable('cache', 'cached_key')
    keys = self.variable('cache', 'cached_key', jnp.zeros_like, key)
    values = self.variable('cache', 'cached_value', jnp.zeros_like, value)
    index = self.variable('cache', 'cache_index', jnp.zeros, (), jnp.int32)
    if not started:
      return key, value, mask, bias
    at, length = index.value, keys.value.shape[2]
    if (key.shape[2], bias.shape[2]) != (1, length):
      raise ValueError(
        'Expected 1 token for a step of cached decoding and max_decode_length='
        f'{length}, that of its cache, got {key.shape[2]} and {bias.shape[2]}; '
        'pass these.'
      )
    keys.value = lax.dynamic_update_slice_in_dim(keys.value, key, at, axis=2)
    values.value = lax.dynamic_update_slice_in_dim(
      values.value, value, at, axis=2
    )
    index.value = at + 1
    mask = (jnp.arange(length) <= at)[None, None, None, :]
    bias = lax.dynamic_slice_in_dim(bias, at, 1, axis=2)
    return keys.value, values.value, mask, bias
