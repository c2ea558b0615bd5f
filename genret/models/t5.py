# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5: the whole encoder-decoder, for training and for beam search.

The text-to-text transformer of Raffel et al. (2020, https://arxiv.org/abs/
1910.10683), in its first form (relu, tied embeddings) and as T5 1.1 (Shazeer,
2020, https://arxiv.org/abs/2002.05202: gated gelu, separate output layer).
Parameters, their initial values, their logical axes and the arguments of
`Transformer` are those of T5X's own T5, so a checkpoint or a training job
moves between the two unchanged.

Letters in names: B batch, K beams, N = B * K, L decoder length, T encoder
length, E model width, H heads, D head width, V vocabulary. Token 0 is padding
and starts the decoder.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any

from flax import linen as nn
from flax import struct
from flax.linen import partitioning
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Initializer = Callable[[Array, Sequence[int], Any], Array]
KeysValues = tuple[Array, Array]

_NUM_BUCKETS = 32
_MAX_DISTANCE = 128
_MASKED = -1e10  # finite, so that a row with every key masked stays finite

_attention_init = functools.partial(
  nn.initializers.variance_scaling, mode='fan_in', distribution='normal'
)
_dense_init = nn.initializers.variance_scaling(
  1.0, 'fan_in', 'truncated_normal'
)
_constrain = partitioning.with_sharding_constraint


@struct.dataclass
class T5Config:
  """Sizes of a T5, under T5X's names; every field is static under jit.

  Attributes:
    vocab_size: rows of the token embedding and width of the logits.
    dtype: type of activations; parameters are float32 always.
    mlp_activations: names of `flax.linen` activations or 'linear'; two of them
      make a gated layer: ('gelu', 'linear') is T5 1.1, ('relu',) T5 1.0.
    logits_via_embedding: tie the output layer to the token embedding, with
      logits divided by sqrt(emb_dim), as T5 1.0 does.
    float32_attention_logits: keep attention logits in float32 whatever `dtype`.
    embedding_init: initializer of the token embedding; None for normal(1).
    logits_init: initializer of the untied output layer; None for truncated
      normal with variance 1 / emb_dim.
  """

  vocab_size: int = struct.field(pytree_node=False)
  dtype: Any = struct.field(pytree_node=False, default=jnp.float32)
  emb_dim: int = struct.field(pytree_node=False, default=512)
  num_heads: int = struct.field(pytree_node=False, default=8)
  num_encoder_layers: int = struct.field(pytree_node=False, default=6)
  num_decoder_layers: int = struct.field(pytree_node=False, default=6)
  head_dim: int = struct.field(pytree_node=False, default=64)
  mlp_dim: int = struct.field(pytree_node=False, default=2048)
  mlp_activations: tuple[str, ...] = struct.field(
    pytree_node=False, default=('gelu', 'linear')
  )
  dropout_rate: float = struct.field(pytree_node=False, default=0.1)
  logits_via_embedding: bool = struct.field(pytree_node=False, default=False)
  float32_attention_logits: bool = struct.field(
    pytree_node=False, default=False
  )
  embedding_init: Initializer | None = struct.field(
    pytree_node=False, default=None
  )
  logits_init: Initializer | None = struct.field(
    pytree_node=False, default=None
  )

  def __post_init__(self):
    # A list, as gin may give, would make the module unhashable.
    object.__setattr__(self, 'mlp_activations', tuple(self.mlp_activations))


class Dense(nn.Module):
  """A linear layer without bias over the last axis."""

  features: int
  axes: tuple[str, str]
  kernel_init: Initializer
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kernel = partitioning.param_with_axes(
      'kernel',
      self.kernel_init,
      (x.shape[-1], self.features),
      jnp.float32,
      axes=self.axes,
    )
    return jnp.dot(x.astype(self.dtype), kernel.astype(self.dtype))


class RMSNorm(nn.Module):
  """Division by the root mean square, computed in float32, and a scale."""

  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    scale = partitioning.param_with_axes(
      'scale',
      nn.initializers.ones,
      (x.shape[-1],),
      jnp.float32,
      axes=('embed',),
    )
    x = x.astype(jnp.float32)
    mean_square = jnp.mean(lax.square(x), axis=-1, keepdims=True)
    x = (x * lax.rsqrt(mean_square + 1e-6)).astype(self.dtype)
    return x * scale.astype(self.dtype)


class Embedding(nn.Module):
  """The token table, read by row on the way in and by column on the way out."""

  config: T5Config

  def setup(self):
    cfg = self.config
    self.embedding = partitioning.param_with_axes(
      'embedding',
      cfg.embedding_init or nn.initializers.normal(stddev=1.0),
      (cfg.vocab_size, cfg.emb_dim),
      jnp.float32,
      axes=('vocab', 'embed'),
    )

  def __call__(self, tokens_BxL: Array) -> Array:
    # 'fill' turns a token outside the vocabulary into NaN, which stops a run;
    # clamping would train on the wrong row in silence.
    rows = jnp.take(
      self.embedding, tokens_BxL.astype(jnp.int32), axis=0, mode='fill'
    )
    return _constrain(
      rows.astype(self.config.dtype), ('batch', 'length', 'embed')
    )

  def logits(self, x_BxLxE: Array) -> Array:
    x_BxLxE = x_BxLxE.astype(jnp.float32) / np.sqrt(self.config.emb_dim)
    return jnp.einsum('ble,ve->blv', x_BxLxE, self.embedding)


def relative_position_buckets(
  query_length: int, key_length: int, *, bidirectional: bool
) -> np.ndarray:
  """Buckets of (key position - query position), [query, key], int32.

  Half of the buckets hold one distance each, the rest grow by a constant
  factor up to distance 128; all that is farther shares the last. Where
  `bidirectional`, half of the buckets are for keys after the query, and
  otherwise such keys count as distance 0.
  """
  relative = np.arange(key_length)[None, :] - np.arange(query_length)[:, None]
  buckets = _NUM_BUCKETS // 2 if bidirectional else _NUM_BUCKETS
  offset = np.where(relative > 0, buckets, 0) if bidirectional else 0
  distance = np.abs(relative) if bidirectional else np.maximum(-relative, 0)
  exact = buckets // 2
  # The small term keeps powers of the factor in the upper of two buckets.
  growth = np.log(np.maximum(distance, 1) / exact + 1e-7)
  growth = growth / np.log(_MAX_DISTANCE / exact) * (buckets - exact)
  far = np.minimum(exact + growth.astype(np.int32), buckets - 1)
  return (offset + np.where(distance < exact, distance, far)).astype(np.int32)


class RelativePositionBias(nn.Module):
  """Attention biases [1, H, query, key] that depend on distance only."""

  config: T5Config
  bidirectional: bool

  @nn.compact
  def __call__(self, query_length: int, key_length: int) -> Array:
    table_HxR = partitioning.param_with_axes(
      'rel_embedding',
      nn.initializers.variance_scaling(1.0, 'fan_avg', 'uniform'),
      (self.config.num_heads, _NUM_BUCKETS),
      jnp.float32,
      axes=('heads', 'relpos_buckets'),
    )
    buckets = relative_position_buckets(
      query_length, key_length, bidirectional=self.bidirectional
    )
    return table_HxR.astype(self.config.dtype)[:, buckets][None]


class Attention(nn.Module):
  """Attention with many heads over given keys and values, [B, H, T, D] each.

  Logits are not divided by sqrt(D): the query initializer is, instead.
  """

  config: T5Config

  def setup(self):
    cfg = self.config
    inner = cfg.num_heads * cfg.head_dim
    inward = functools.partial(
      Dense, inner, ('embed', 'joined_kv'), dtype=cfg.dtype
    )
    self.query = inward(kernel_init=_attention_init(1.0 / cfg.head_dim))
    self.key = inward(kernel_init=_attention_init(1.0))
    self.value = inward(kernel_init=_attention_init(1.0))
    self.out = Dense(
      cfg.emb_dim, ('joined_kv', 'embed'), _attention_init(1.0), cfg.dtype
    )

  def _split_heads(self, x_BxLxHD: Array) -> Array:
    cfg = self.config
    x = x_BxLxHD.reshape(*x_BxLxHD.shape[:2], cfg.num_heads, cfg.head_dim)
    return _constrain(x.swapaxes(1, 2), ('batch', 'heads', 'length', 'kv'))

  def keys_values(self, x_BxTxE: Array) -> KeysValues:
    """Projects what is attended to, once for any number of queries."""
    return (
      self._split_heads(self.key(x_BxTxE)),
      self._split_heads(self.value(x_BxTxE)),
    )

  @nn.compact
  def __call__(
    self,
    x_BxLxE: Array,
    keys_values: KeysValues,
    mask: Array | None,
    bias: Array | None = None,
    *,
    deterministic: bool,
    decode: bool = False,
  ) -> Array:
    cfg = self.config
    query, (key, value) = self._split_heads(self.query(x_BxLxE)), keys_values
    if decode:
      key, value, mask, bias = self._with_cache(key, value, mask, bias)
    if cfg.float32_attention_logits:
      query, key = query.astype(jnp.float32), key.astype(jnp.float32)
    logits = jnp.einsum('bhqd,bhkd->bhqk', query, key)
    if bias is not None:
      logits = logits + bias.astype(logits.dtype)
    if mask is not None:
      low = max(_MASKED, float(jnp.finfo(logits.dtype).min))
      logits = jnp.where(mask, logits, jnp.asarray(low, logits.dtype))
    weights = jax.nn.softmax(logits).astype(cfg.dtype)
    if not deterministic and cfg.dropout_rate > 0.0:
      # One draw for all queries of a row, as T5 drops along the length.
      keep = 1.0 - cfg.dropout_rate
      shape = (*weights.shape[:2], 1, weights.shape[3])
      kept = jax.random.bernoulli(self.make_rng('dropout'), keep, shape)
      weights = weights * (kept.astype(cfg.dtype) / keep)
    x = jnp.einsum('bhqk,bhkd->bqhd', weights, value)
    return self.out(x.reshape(*x_BxLxE.shape[:2], -1))

  def _with_cache(self, key, value, mask, bias):
    """Appends one position to the cache; makes an empty cache where none is.

    Returns keys, values, mask and bias of all positions of the cache.
    """
    filled = self.has_variable('cache', 'cached_key')
    keys = self.variable('cache', 'cached_key', jnp.zeros_like, key)
    values = self.variable('cache', 'cached_value', jnp.zeros_like, value)
    index = self.variable('cache', 'cache_index', jnp.zeros, (), jnp.int32)
    if not filled:
      return key, value, mask, bias
    length = keys.value.shape[2]
    if key.shape[2] != 1 or bias.shape[-1] != length:
      raise ValueError(
        f'cached decoding takes 1 position a call and max_decode_length='
        f'{length} as its cache was made, but got {key.shape[2]} and '
        f'{bias.shape[-1]}; make a cache of that length.'
      )
    at = index.value
    keys.value = lax.dynamic_update_slice_in_dim(keys.value, key, at, 2)
    values.value = lax.dynamic_update_slice_in_dim(values.value, value, at, 2)
    index.value = at + 1
    past = (jnp.arange(length) <= at)[None, None, None, :]
    bias = lax.dynamic_slice_in_dim(bias, at, 1, axis=2)
    return keys.value, values.value, past, bias


class MLP(nn.Module):
  """The feed-forward block, gated where there are two activations."""

  config: T5Config

  @nn.compact
  def __call__(self, x: Array, *, deterministic: bool) -> Array:
    cfg = self.config
    hidden = None
    for i, name in enumerate(cfg.mlp_activations):
      layer = 'wi' if len(cfg.mlp_activations) == 1 else f'wi_{i}'
      y = Dense(
        cfg.mlp_dim, ('embed', 'mlp'), _dense_init, cfg.dtype, name=layer
      )(x)
      y = y if name == 'linear' else getattr(nn, name)(y)
      hidden = y if hidden is None else hidden * y
    hidden = _dropout(cfg)(hidden, deterministic=deterministic)
    hidden = _constrain(hidden, ('batch', 'length', 'mlp'))
    return Dense(
      cfg.emb_dim, ('mlp', 'embed'), _dense_init, cfg.dtype, name='wo'
    )(hidden)


def _dropout(cfg: T5Config) -> nn.Dropout:
  """Dropout with one draw for all positions of a row."""
  return nn.Dropout(rate=cfg.dropout_rate, broadcast_dims=(-2,))


class EncoderLayer(nn.Module):
  """Self-attention and a feed-forward block, each normed before and added."""

  config: T5Config

  @nn.compact
  def __call__(self, x, mask, bias, *, deterministic: bool) -> Array:
    cfg = self.config
    attention = Attention(cfg, name='attention')
    y = RMSNorm(cfg.dtype, name='pre_attention_layer_norm')(x)
    y = attention(
      y, attention.keys_values(y), mask, bias, deterministic=deterministic
    )
    x = x + _dropout(cfg)(y, deterministic=deterministic)
    y = RMSNorm(cfg.dtype, name='pre_mlp_layer_norm')(x)
    y = MLP(cfg, name='mlp')(y, deterministic=deterministic)
    return x + _dropout(cfg)(y, deterministic=deterministic)


class Encoder(nn.Module):
  """The encoder's layers over embedded tokens [B, T, E]."""

  config: T5Config

  @nn.compact
  def __call__(self, x: Array, mask: Array, *, deterministic: bool) -> Array:
    cfg = self.config
    bias = RelativePositionBias(cfg, bidirectional=True, name='relpos_bias')(
      x.shape[1], x.shape[1]
    )
    x = _dropout(cfg)(x, deterministic=deterministic)
    for i in range(cfg.num_encoder_layers):
      layer = EncoderLayer(cfg, name=f'layers_{i}')
      x = layer(x, mask, bias, deterministic=deterministic)
    x = RMSNorm(cfg.dtype, name='encoder_norm')(x)
    # T5X draws the encoder's last dropout for each position on its own.
    return nn.Dropout(rate=cfg.dropout_rate)(x, deterministic=deterministic)


class DecoderLayer(nn.Module):
  """Self-attention, attention to the encoder, a feed-forward block."""

  config: T5Config

  def setup(self):
    self.self_attention = Attention(self.config)
    self.encoder_decoder_attention = Attention(self.config)

  def cross_keys_values(self, encoded_BxTxE: Array) -> KeysValues:
    return self.encoder_decoder_attention.keys_values(encoded_BxTxE)

  @nn.compact
  def __call__(
    self, x, cross: KeysValues, mask, cross_mask, bias, *, deterministic, decode
  ) -> Array:
    cfg = self.config
    y = RMSNorm(cfg.dtype, name='pre_self_attention_layer_norm')(x)
    y = self.self_attention(
      y,
      self.self_attention.keys_values(y),
      mask,
      bias,
      deterministic=deterministic,
      decode=decode,
    )
    x = x + _dropout(cfg)(y, deterministic=deterministic)
    y = RMSNorm(cfg.dtype, name='pre_cross_attention_layer_norm')(x)
    # Beams of one query become positions of one row: they share its keys.
    y = self.encoder_decoder_attention(
      y.reshape(cross[0].shape[0], -1, cfg.emb_dim),
      cross,
      cross_mask,
      deterministic=deterministic,
    ).reshape(x.shape)
    x = x + _dropout(cfg)(y, deterministic=deterministic)
    y = RMSNorm(cfg.dtype, name='pre_mlp_layer_norm')(x)
    y = MLP(cfg, name='mlp')(y, deterministic=deterministic)
    return x + _dropout(cfg)(y, deterministic=deterministic)


class Decoder(nn.Module):
  """The decoder's layers and output layer over embedded tokens [B, L, E].

  Returns logits [B, L, V], or the normed states [B, L, E] where the token
  embedding is the output layer.
  """

  config: T5Config

  def setup(self):
    cfg = self.config
    self.layers = [DecoderLayer(cfg) for _ in range(cfg.num_decoder_layers)]

  def cross_keys_values(self, encoded_BxTxE: Array) -> list[KeysValues]:
    return [layer.cross_keys_values(encoded_BxTxE) for layer in self.layers]

  @nn.compact
  def __call__(
    self,
    x: Array,
    cross: Sequence[KeysValues],
    mask: Array | None,
    cross_mask: Array,
    *,
    length: int,
    deterministic: bool,
    decode: bool,
  ) -> Array:
    cfg = self.config
    bias = RelativePositionBias(cfg, bidirectional=False, name='relpos_bias')(
      length, length
    )
    x = _dropout(cfg)(x, deterministic=deterministic)
    for layer, keys_values in zip(self.layers, cross, strict=True):
      x = layer(
        x,
        keys_values,
        mask,
        cross_mask,
        bias,
        deterministic=deterministic,
        decode=decode,
      )
    x = RMSNorm(cfg.dtype, name='decoder_norm')(x)
    x = _dropout(cfg)(x, deterministic=deterministic)
    if cfg.logits_via_embedding:
      return x
    # Logits stay float32 whatever the activations are, for a stable loss.
    init, axes = cfg.logits_init or _dense_init, ('embed', 'vocab')
    return Dense(cfg.vocab_size, axes, init, jnp.float32, name='logits_dense')(
      x
    )


def _pair_mask(query_BxL, key_BxT, pair=jnp.logical_and) -> Array:
  """Boolean mask [B, 1, L, T] of the pairs that may attend."""
  return pair(query_BxL[:, None, :, None], key_BxT[:, None, None, :])


class Transformer(nn.Module):
  """The model; tokens are integers [batch, length] with 0 for padding."""

  config: T5Config

  def setup(self):
    cfg = self.config
    self.token_embedder = Embedding(cfg)
    self.encoder = Encoder(cfg)
    self.decoder = Decoder(cfg)

  def encode(
    self,
    encoder_input_tokens: Array,
    encoder_segment_ids: Array | None = None,
    enable_dropout: bool = True,
  ) -> Array:
    """Encodes tokens [B, T] into [B, T, E]."""
    real = encoder_input_tokens > 0
    mask = _pair_mask(real, real)
    if encoder_segment_ids is not None:
      mask &= _pair_mask(encoder_segment_ids, encoder_segment_ids, jnp.equal)
    x = self.token_embedder(encoder_input_tokens)
    return self.encoder(x, mask, deterministic=not enable_dropout)

  def cross_keys_values(self, encoded: Array) -> list[KeysValues]:
    """Keys and values of `encoded` [B, T, E] in every decoder layer."""
    return self.decoder.cross_keys_values(encoded)

  def decode(
    self,
    encoded: Array,
    encoder_input_tokens: Array,
    decoder_input_tokens: Array,
    decoder_target_tokens: Array,
    encoder_segment_ids: Array | None = None,
    decoder_segment_ids: Array | None = None,
    decoder_positions: Array | None = None,
    enable_dropout: bool = True,
    decode: bool = False,
    max_decode_length: int | None = None,
  ) -> Array:
    """Logits [B, L, V] of the targets, given what `encode` returned.

    Args:
      encoded: [B, T, E].
      encoder_input_tokens: [B, T], read for its padding only.
      decoder_input_tokens: [B, L], the targets moved right by one; [B, 1] with
        `decode` and a cache.
      decoder_target_tokens: [B, L], read for its padding only.
      encoder_segment_ids: [B, T] number of each token's example, where
        several are packed in a row; not with `decode`.
      decoder_segment_ids: [B, L], likewise.
      decoder_positions: ignored, positions being relative.
      enable_dropout: needs the random stream 'dropout'.
      decode: use the collection 'cache': the first call makes an empty one
        with a row for each row of the batch, later ones add one position each.
      max_decode_length: positions of that cache.
    """
    del decoder_positions
    keys = encoder_input_tokens > 0
    if decode:
      if encoder_segment_ids is not None or decoder_segment_ids is not None:
        raise ValueError(
          'cached decoding takes one example a row, but got segment ids; leave '
          'them out and do not pack.'
        )
      mask = None
      cross_mask = keys[:, None, None, :]
    else:
      real = decoder_target_tokens > 0
      causal = jnp.tril(jnp.ones((real.shape[1], real.shape[1]), bool))
      mask = _pair_mask(real, real) & causal
      cross_mask = _pair_mask(real, keys)
      if decoder_segment_ids is not None:
        mask &= _pair_mask(decoder_segment_ids, decoder_segment_ids, jnp.equal)
      if encoder_segment_ids is not None:
        cross_mask &= _pair_mask(
          decoder_segment_ids, encoder_segment_ids, jnp.equal
        )
    return self._logits(
      decoder_input_tokens,
      self.cross_keys_values(encoded),
      mask,
      cross_mask,
      length=max_decode_length if decode else None,
      deterministic=not enable_dropout,
      decode=decode,
    )

  def decode_step(
    self, token_N: Array, cross, cross_mask: Array, *, max_length: int
  ) -> Array:
    """Logits [N, V] after one more token, with a cache and shared keys.

    Args:
      token_N: one token for each of the N = B * K rows of the cache.
      cross: what `cross_keys_values` returned, with B rows.
      cross_mask: [B, 1, 1, T].
      max_length: positions of the cache.
    """
    return self._logits(
      token_N[:, None],
      cross,
      None,
      cross_mask,
      length=max_length,
      deterministic=True,
      decode=True,
    )[:, 0]

  def _logits(self, tokens, cross, mask, cross_mask, *, length, **modes):
    x = self.decoder(
      self.token_embedder(tokens),
      cross,
      mask,
      cross_mask,
      length=length or tokens.shape[1],
      **modes,
    )
    if self.config.logits_via_embedding:
      return self.token_embedder.logits(x)
    return x

  def __call__(
    self,
    encoder_input_tokens: Array,
    decoder_input_tokens: Array,
    decoder_target_tokens: Array,
    encoder_segment_ids: Array | None = None,
    decoder_segment_ids: Array | None = None,
    encoder_positions: Array | None = None,
    decoder_positions: Array | None = None,
    *,
    enable_dropout: bool = True,
    decode: bool = False,
  ) -> Array:
    """Logits [B, L, V] of the targets; see `encode` and `decode`."""
    del encoder_positions
    encoded = self.encode(
      encoder_input_tokens, encoder_segment_ids, enable_dropout
    )
    return self.decode(
      encoded,
      encoder_input_tokens,
      decoder_input_tokens,
      decoder_target_tokens,
      encoder_segment_ids=encoder_segment_ids,
      decoder_segment_ids=decoder_segment_ids,
      decoder_positions=decoder_positions,
      enable_dropout=enable_dropout,
      decode=decode,
    )


def start_decoding(
  module: Transformer,
  params: Any,
  encoder_input_tokens_BxT: Array,
  *,
  num_beams: int,
  max_length: int,
) -> tuple[Callable[[Array, Any], tuple[Array, Any]], Any]:
  """Encodes queries once and returns a step for a beam search.

  The encoder, and each decoder layer's keys and values of what it returns, are
  computed here, once for each query; the K beams of a query share them, and
  nothing is tiled. Call it and the search inside one jit that takes `params` as
  an argument (`num_beams` and `max_length` are static), or the weights become
  constants of the program.

  Args:
    module: the model.
    params: its parameters.
    encoder_input_tokens_BxT: queries, padded with 0; a row may be all padding.
    num_beams: K; row b * K + k of the search is beam k of query b.
    max_length: tokens that will be decoded at most, steps past it are wrong.

  Returns:
    tokens_to_logits: (token_N, cache) -> (logits_NxV, cache), N = B * K; the
      first token of every row is 0.
    cache: its first cache; leaves have N rows, or no axes where all rows share
      them (the position), so reordering rows reorders beams.
  """
  cfg = module.config
  encoded = module.apply(
    {'params': params},
    encoder_input_tokens_BxT,
    enable_dropout=False,
    method='encode',
  )
  cross = module.apply({'params': params}, encoded, method='cross_keys_values')
  cross_mask = (encoder_input_tokens_BxT > 0)[:, None, None, :]
  rows = encoder_input_tokens_BxT.shape[0] * num_beams
  shape = (rows, cfg.num_heads, max_length, cfg.head_dim)
  cache = {
    f'layers_{i}': {
      'self_attention': {
        'cached_key': jnp.zeros(shape, cfg.dtype),
        'cached_value': jnp.zeros(shape, cfg.dtype),
        'cache_index': jnp.zeros((), jnp.int32),
      }
    }
    for i in range(cfg.num_decoder_layers)
  }

  def tokens_to_logits(token_N, cache):
    logits_NxV, variables = module.apply(
      {'params': params, 'cache': cache},
      token_N,
      cross,
      cross_mask,
      max_length=max_length,
      method='decode_step',
      mutable=['cache'],
    )
    return logits_NxV, variables['cache']

  return tokens_to_logits, {'decoder': cache}
