# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5: the whole encoder-decoder, for training and for beam search.

The transformer of Raffel et al. (2020, https://arxiv.org/abs/1910.10683) in its
first form (relu, tied embeddings) and as T5 1.1 (Shazeer, 2020, https://
arxiv.org/abs/2002.05202: gated gelu, an output layer of its own). Parameters,
their initial values, their logical axes and the arguments of `Transformer` are
those of T5X's T5, so that checkpoints and jobs move between the two unchanged.

Letters in names: B batch, K beams, N = B * K, L decoder length, T encoder
length, E model width, H heads, D head width, V vocabulary. Token 0 is padding
and starts the decoder.
"""
# ruff: noqa: D102 (setup and __call__ of a layer: its class says what it does)

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from genret.models import adapters, pawa
from genret.models.layers import (
  MLP,
  Attention,
  Dense,
  Embedding,
  Initializer,
  KeysValues,
  RelativePositionBias,
  RMSNorm,
  dense_init,
  dropout,
)

Array = jax.Array
Masks = tuple[Array | None, Array | None]  # of self- and of cross-attention
_static = functools.partial(struct.field, pytree_node=False)

# What the forward pass keeps of a layer, besides what goes in, for the gradients.
_REMAT_POLICIES = {
  # The products with weights, though not those of attention.
  'minimal': jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
  'full': jax.checkpoint_policies.nothing_saveable,
}


@struct.dataclass
class T5Config:
  """Sizes of a T5, under T5X's names; every field is static under jit.

  `dtype` is that of activations; parameters are float32. `mlp_activations` are
  names of `flax.linen` functions or 'linear', two of them for a gated layer:
  ('gelu', 'linear') in T5 1.1, ('relu',) in T5 1.0. `logits_via_embedding` ties
  the output layer to the token embedding and divides logits by sqrt(emb_dim),
  as T5 1.0 does. The initializers (key, shape, dtype) -> array replace T5X's:
  normal(1) for the embedding, truncated normal for the output layer. With
  `near_identity` a fresh model adds 0 in every residual branch, but for the
  decoder's attention to the encoder, whose values and output are the identity:
  of one layer, it scores tokens against the mean of the input's embeddings.
  With `relative_bias_per_layer` every layer has attention biases of its own, as in
  umT5 (Chung et al., 2023, https://arxiv.org/abs/2304.09151); otherwise those of a
  stack share one table.
  With `pawa_layers` (0 for none) tokens from `pawa_first_token` on are scored by
  weights that depend on the prefix: `genret.models.pawa`. With `adapter_dim` (0 for
  none) a bottleneck of so many dimensions is behind each feed-forward block of the
  encoder and the decoder: `genret.models.adapters`.
  `remat_policy` saves memory in training: with 'minimal' the gradients compute
  anew what a layer makes of its products with weights, with 'full' the whole layer
  (Chen et al., 2016, https://arxiv.org/abs/1604.06174); 'none' keeps everything.
  """

  vocab_size: int = _static()
  dtype: Any = _static(default=jnp.float32)
  emb_dim: int = _static(default=512)
  num_heads: int = _static(default=8)
  num_encoder_layers: int = _static(default=6)
  num_decoder_layers: int = _static(default=6)
  head_dim: int = _static(default=64)
  mlp_dim: int = _static(default=2048)
  mlp_activations: Sequence[str] = _static(default=('gelu', 'linear'))
  dropout_rate: float = _static(default=0.1)
  logits_via_embedding: bool = _static(default=False)
  float32_attention_logits: bool = _static(default=False)
  embedding_init: Initializer | None = _static(default=None)
  logits_init: Initializer | None = _static(default=None)
  near_identity: bool = _static(default=False)
  relative_bias_per_layer: bool = _static(default=False)
  pawa_layers: int = _static(default=0)
  pawa_first_token: int = _static(default=0)
  adapter_dim: int = _static(default=0)
  remat_policy: str = _static(default='none')

  def __post_init__(self) -> None:
    if self.remat_policy not in ('none', *_REMAT_POLICIES):
      raise ValueError(
        f'Expected a remat_policy of none, {", ".join(_REMAT_POLICIES)}, got '
        f'{self.remat_policy!r}; choose one.'
      )
    try:
      jnp.dtype(self.dtype)
    except TypeError:
      raise ValueError(
        f'Expected a dtype such as float32 or bfloat16, got {self.dtype!r}; '
        'choose one.'
      ) from None
    if self.adapter_dim < 0:
      raise ValueError(
        f'Expected adapter_dim of at least 0, got {self.adapter_dim}; 0 is for a '
        'model without adapters.'
      )
    if self.pawa_layers and not 0 <= self.pawa_first_token < self.vocab_size:
      raise ValueError(
        f'Expected pawa_first_token from 0 to below vocab_size='
        f'{self.vocab_size}, got {self.pawa_first_token}; give the first token '
        'that only identifiers have.'
      )
    # A list, as a gin file may give, would make the module unhashable.
    object.__setattr__(self, 'mlp_activations', tuple(self.mlp_activations))


def _attention(
  cfg: T5Config, name: str | None = None, *, near_identity: str = 'silent'
) -> Attention:
  sizes = cfg.emb_dim, cfg.num_heads, cfg.head_dim
  numerics = cfg.dropout_rate, cfg.dtype, cfg.float32_attention_logits
  start = near_identity if cfg.near_identity else 'random'
  return Attention(*sizes, *numerics, start, name=name)


def _mlp(cfg: T5Config, name: str | None = None) -> MLP:
  sizes = cfg.mlp_dim, tuple(cfg.mlp_activations), cfg.dropout_rate
  return MLP(*sizes, cfg.dtype, cfg.near_identity, name=name)


def _position_biases(
  cfg: T5Config,
  num_layers: int,
  length: int,
  positions: Array | None = None,
  *,
  bidirectional: bool,
) -> list[Array]:
  """The attention biases of each layer of a stack; mostly one array for all."""
  names = ['relpos_bias']
  if cfg.relative_bias_per_layer:
    names = [f'relpos_bias_{i}' for i in range(num_layers)]
  biases = [
    RelativePositionBias(cfg.num_heads, bidirectional, cfg.dtype, name=name)(
      length, positions
    )
    for name in names
  ]
  return biases if cfg.relative_bias_per_layer else biases * num_layers


def _feed(
  mlp: MLP, adapter: adapters.Adapter | None, deterministic: bool
) -> Callable[[Array], Array]:
  """The feed-forward block, and the adapter behind it where there is one."""

  def feed(y: Array) -> Array:
    y = mlp(y, deterministic=deterministic)
    return y if adapter is None else adapter(y)

  return feed


def _adapter(cfg: T5Config, name: str | None = None) -> adapters.Adapter | None:
  if not cfg.adapter_dim:
    return None
  return adapters.Adapter(cfg.adapter_dim, cfg.dtype, name=name)


def _residual(
  cfg: T5Config,
  norm_name: str,
  x: Array,
  block: Callable[[Array], Array],
  deterministic: bool,
) -> Array:
  """The step that layers are made of: norm, block, dropout, sum."""
  y = block(RMSNorm(cfg.dtype, name=norm_name)(x))
  return x + dropout(cfg.dropout_rate)(y, deterministic=deterministic)


def _call(
  cfg: T5Config, layer: nn.Module, *arguments: Any, **mode: Any
) -> Array:
  """A layer's output; what `remat_policy` does not keep is computed again."""

  def call(layer: Any, *arguments: Any) -> Array:
    return layer(*arguments, **mode)

  if cfg.remat_policy == 'none' or mode.get('decode'):
    return call(layer, *arguments)
  policy = _REMAT_POLICIES[cfg.remat_policy]
  return nn.remat(call, policy=policy)(layer, *arguments)


class EncoderLayer(nn.Module):
  """Self-attention and a feed-forward block."""

  config: T5Config

  @nn.compact
  def __call__(
    self, x: Array, mask: Array, bias: Array, *, deterministic: bool
  ) -> Array:
    cfg = self.config
    mode: dict[str, Any] = {'deterministic': deterministic}
    attention, mlp = _attention(cfg, name='attention'), _mlp(cfg, name='mlp')
    adapter = _adapter(cfg, name=adapters.NAME)

    def attend(y: Array) -> Array:
      return attention(y, attention.keys_values(y), mask, bias, **mode)

    x = _residual(cfg, 'pre_attention_layer_norm', x, attend, deterministic)
    feed = _feed(mlp, adapter, deterministic)
    return _residual(cfg, 'pre_mlp_layer_norm', x, feed, deterministic)


class Encoder(nn.Module):
  """The encoder's layers over embedded tokens [B, T, E]."""

  config: T5Config

  @nn.compact
  def __call__(self, x: Array, mask: Array, *, deterministic: bool) -> Array:
    cfg = self.config
    mode: dict[str, Any] = {'deterministic': deterministic}
    layers = cfg.num_encoder_layers
    biases = _position_biases(cfg, layers, x.shape[1], bidirectional=True)
    x = dropout(cfg.dropout_rate)(x, **mode)
    for i, bias in enumerate(biases):
      layer = EncoderLayer(cfg, name=f'layers_{i}')
      x = _call(cfg, layer, x, mask, bias, **mode)
    x = RMSNorm(cfg.dtype, name='encoder_norm')(x)
    # The one dropout that T5X draws for each position on its own.
    return nn.Dropout(rate=cfg.dropout_rate)(x, **mode)


class DecoderLayer(nn.Module):
  """Self-attention, attention to the encoder and a feed-forward block."""

  config: T5Config

  def setup(self) -> None:
    self.self_attention = _attention(self.config)
    self.encoder_decoder_attention = _attention(
      self.config, near_identity='identity'
    )
    self.mlp = _mlp(self.config)
    self.adapter = _adapter(self.config)

  def cross_keys_values(self, encoded_BxTxE: Array) -> KeysValues:
    return self.encoder_decoder_attention.keys_values(encoded_BxTxE)

  @nn.compact
  def __call__(
    self,
    x: Array,
    cross: KeysValues,
    masks: Masks,
    bias: Array,
    *,
    deterministic: bool,
    decode: bool,
  ) -> Array:
    cfg = self.config
    mode: dict[str, Any] = {'deterministic': deterministic}

    def attend(y: Array) -> Array:
      attention = self.self_attention
      own = attention.keys_values(y)
      return attention(y, own, masks[0], bias, decode=decode, **mode)

    def attend_encoder(y: Array) -> Array:
      # The beams of a query become positions of one row: they share its keys.
      y = y.reshape(cross[0].shape[0], -1, cfg.emb_dim)
      y = self.encoder_decoder_attention(y, cross, masks[1], **mode)
      return y.reshape(x.shape)

    step = functools.partial(_residual, cfg, deterministic=deterministic)
    x = step('pre_self_attention_layer_norm', x, attend)
    x = step('pre_cross_attention_layer_norm', x, attend_encoder)
    feed = _feed(self.mlp, self.adapter, deterministic)
    return step('pre_mlp_layer_norm', x, feed)


class Decoder(nn.Module):
  """The decoder's layers, from embedded tokens to states, both [B, L, E].

  `logits_dense` scores states, unless embeddings are tied. `positions` [B, L] of
  the tokens are 0 to length - 1 where not given.
  """

  config: T5Config

  def setup(self) -> None:
    cfg = self.config
    self.layers = [DecoderLayer(cfg) for _ in range(cfg.num_decoder_layers)]
    if not cfg.logits_via_embedding:
      # Logits are float32 whatever the activations are, for a stable loss.
      init, axes = cfg.logits_init or dense_init, ('embed', 'vocab')
      self.logits_dense = Dense(cfg.vocab_size, axes, init, jnp.float32)

  def cross_keys_values(self, encoded_BxTxE: Array) -> list[KeysValues]:
    return [layer.cross_keys_values(encoded_BxTxE) for layer in self.layers]

  @nn.compact
  def __call__(
    self,
    x: Array,
    cross: Sequence[KeysValues],
    masks: Masks,
    *,
    length: int,
    deterministic: bool,
    decode: bool,
    positions: Array | None = None,
  ) -> Array:
    cfg = self.config
    mode: dict[str, Any] = {'deterministic': deterministic}
    biases = _position_biases(
      cfg, cfg.num_decoder_layers, length, positions, bidirectional=False
    )
    x = dropout(cfg.dropout_rate)(x, **mode)
    for layer, keys_values, bias in zip(
      self.layers, cross, biases, strict=True
    ):
      arguments = (x, keys_values, masks, bias)
      x = _call(cfg, layer, *arguments, decode=decode, **mode)
    x = RMSNorm(cfg.dtype, name='decoder_norm')(x)
    return dropout(cfg.dropout_rate)(x, **mode)


def _mask(
  query_BxL: Array, key_BxT: Array, query_segments: Any, key_segments: Any
) -> Array:
  """Boolean mask [B, 1, L, T] of real pairs that belong to one example."""
  mask = query_BxL[:, :, None] & key_BxT[:, None, :]
  if key_segments is not None:
    mask &= query_segments[:, :, None] == key_segments[:, None, :]
  return mask[:, None]


class Transformer(nn.Module):
  """The model; tokens are integers [batch, length], padded with 0.

  Where several examples are packed in a row, segment ids number them. Positions
  are accepted for T5X's sake and ignored, being relative. Dropout needs the
  random stream 'dropout'.
  """

  config: T5Config

  def setup(self) -> None:
    cfg = self.config
    init = cfg.embedding_init or nn.initializers.normal(stddev=1.0)
    self.token_embedder = Embedding(
      cfg.vocab_size, cfg.emb_dim, init, cfg.dtype
    )
    self.encoder = Encoder(self.config)
    self.decoder = Decoder(self.config)
    if cfg.pawa_layers:
      self.prefix_decoder = Decoder(
        dataclasses.replace(
          cfg,
          num_decoder_layers=cfg.pawa_layers,
          logits_via_embedding=True,  # it has no output layer
          near_identity=False,
          pawa_layers=0,
          adapter_dim=0,
        )
      )
      self.prefix_map = pawa.PrefixMap(
        cfg.emb_dim, cfg.vocab_size - cfg.pawa_first_token, cfg.dtype
      )

  def encode(
    self,
    encoder_input_tokens: Array,
    encoder_segment_ids: Array | None = None,
    enable_dropout: bool = True,
  ) -> Array:
    """Encodes tokens [B, T] into [B, T, E]."""
    real, segments = encoder_input_tokens > 0, encoder_segment_ids
    mask = _mask(real, real, segments, segments)
    x = self.token_embedder(encoder_input_tokens)
    return self.encoder(x, mask, deterministic=not enable_dropout)

  def cross_keys_values(self, encoded: Array) -> list[KeysValues]:
    """Keys and values of `encoded` [B, T, E] in every decoder layer."""
    return self.decoder.cross_keys_values(encoded)

  def decode(
    self,
    encoded: Array | list[KeysValues],
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
    """Logits [B, L, V] of targets whose inputs are they, moved right by one.

    `encoded` [B, T, E] is what `encode` returned, or `cross_keys_values` of it;
    with the latter, decoder tokens may have N = B * K rows. Encoder and target
    tokens tell the padding. With `decode`, the first call makes an empty
    collection 'cache' for this batch and length, each later one adds one token
    a row to it; `max_decode_length` then repeats the cache's length.
    """
    keys, real = encoder_input_tokens > 0, decoder_target_tokens > 0
    segments = decoder_segment_ids
    masks: Masks
    if decode:
      if encoder_segment_ids is not None or segments is not None:
        raise ValueError(
          'Cached decoding takes one example a row, got segment ids; leave them '
          'out and do not pack the batch.'
        )
      masks = None, keys[:, None, None, :]
    else:
      masks = (
        jnp.tril(_mask(real, real, segments, segments)),
        _mask(real, keys, segments, encoder_segment_ids),
      )
    if not isinstance(encoded, list):
      encoded = self.decoder.cross_keys_values(encoded)
    length = (decode and max_decode_length) or decoder_input_tokens.shape[1]
    mode: Any = {'deterministic': not enable_dropout, 'decode': decode}
    tokens = decoder_input_tokens
    return self.logits(
      self.states(tokens, encoded, masks, length=length, **mode)
    )

  def states(
    self, tokens: Array, cross: list[KeysValues], masks: Masks, **mode: Any
  ) -> Array:
    """What `logits` reads at tokens [B, L]: the decoder's states [B, L, E].

    With PAWA they are [B, L, 2 E], those of the prefix decoder behind. `mode` is
    what a `Decoder` is called with.
    """
    x = self.token_embedder(tokens)
    states = self.decoder(x, cross, masks, **mode)
    if not self.config.pawa_layers:
      return states
    cross = self.prefix_decoder.cross_keys_values(self.prefix_map.attended())
    prefix = self.prefix_decoder(x, cross, (masks[0], None), **mode)
    return jnp.concatenate([states, prefix], axis=-1)

  def logits(self, states: Array) -> Array:
    """Logits [B, L, V] of what `states` returned."""
    cfg = self.config
    states, prefix = states[..., : cfg.emb_dim], states[..., cfg.emb_dim :]
    if cfg.logits_via_embedding:
      logits = self.token_embedder.logits(states)
      scaled = states.astype(jnp.float32) / math.sqrt(cfg.emb_dim)
    else:
      logits, scaled = self.decoder.logits_dense(states), states
    if not cfg.pawa_layers:
      return logits
    adapted = self.prefix_map(scaled, prefix)
    return logits.at[..., cfg.pawa_first_token :].add(adapted)

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
    """Logits [B, L, V] of targets [B, L] for inputs [B, T]."""
    return self.decode(
      self.encode(encoder_input_tokens, encoder_segment_ids, enable_dropout),
      encoder_input_tokens,
      decoder_input_tokens,
      decoder_target_tokens,
      encoder_segment_ids,
      decoder_segment_ids,
      enable_dropout=enable_dropout,
      decode=decode,
    )


def initial_params(module: Transformer, key: Array) -> Any:
  """The parameters that training starts with, at random; to be jitted.

  Args:
    module: the model.
    key: of the random numbers.
  """
  tokens = jnp.ones((1, 1), jnp.int32)
  return module.init(key, tokens, tokens, tokens, enable_dropout=False)[
    'params'
  ]


def start_decoding(
  module: Transformer,
  params: Any,
  encoder_input_tokens_BxT: Array,
  *,
  num_beams: int,
  max_length: int,
) -> tuple[Callable[[Array, Any], tuple[Array, Any]], Any]:
  """Encodes queries once and returns the step of a beam search over them.

  What decoder layers read of the encoder is projected once for each query and
  shared by its K beams; nothing is tiled. Call this and the search in one jit
  with `params` among its arguments, or the weights become constants of the
  program; `num_beams` (K) and `max_length` are static. A query of padding alone
  gives finite logits.

  Returns:
    tokens_to_logits: (token_N, cache) -> (logits_NxV, cache), N = B * K, beams
      of a query side by side, first tokens 0; for up to `max_length` calls.
    cache: leaves have N rows, to be reordered with the beams, or no axes (the
      position, which all rows share).
  """
  cfg, tokens_BxT = module.config, encoder_input_tokens_BxT
  apply = functools.partial(module.apply, {'params': params})
  encoded = apply(tokens_BxT, enable_dropout=False, method='encode')
  cross = apply(encoded, method='cross_keys_values')
  rows = tokens_BxT.shape[0] * num_beams
  zeros = jnp.zeros((rows, cfg.num_heads, max_length, cfg.head_dim), cfg.dtype)
  cache = {'cached_key': zeros, 'cached_value': zeros, 'cache_index': 0}

  def tokens_to_logits(token_N: Array, cache: Any) -> tuple[Array, Any]:
    token_Nx1 = token_N[:, None]
    logits_Nx1xV, state = module.apply(
      {'params': params, 'cache': cache},
      *(cross, tokens_BxT, token_Nx1, token_Nx1),
      enable_dropout=False,
      decode=True,
      max_decode_length=max_length,
      method='decode',
      mutable=['cache'],
    )
    return logits_Nx1xV[:, 0], state['cache']

  layers = {'decoder': cfg.num_decoder_layers}
  if cfg.pawa_layers:
    layers['prefix_decoder'] = cfg.pawa_layers
  first = {
    name: {f'layers_{i}': {'self_attention': cache} for i in range(count)}
    for name, count in layers.items()
  }
  return tokens_to_logits, jax.tree.map(jnp.asarray, first)


def with_pawa(
  module: Transformer, *, first_token: int, num_layers: int = 4
) -> Transformer:
  """The same model with a prefix-aware output, for gin files to bind.

  Args:
    module: any sizes.
    first_token: the first that only identifiers have (`identifiers.first_token`).
    num_layers: of the prefix decoder; NCI has 4, and 2 for its large model.

  Raises:
    ValueError: there is no such token, or no layer.
  """
  if num_layers < 1:
    raise ValueError(
      f'Expected num_layers of at least 1, got {num_layers}; for a plain model '
      'leave PAWA out.'
    )
  return Transformer(
    dataclasses.replace(
      module.config, pawa_layers=num_layers, pawa_first_token=first_token
    )
  )


def with_adapters(module: Transformer, *, adapter_dim: int = 64) -> Transformer:
  """The same model with adapters, for gin files to bind.

  Args:
    module: any sizes.
    adapter_dim: dimensions of their bottlenecks.

  Raises:
    ValueError: there are none.
  """
  if adapter_dim < 1:
    raise ValueError(
      f'Expected adapter_dim of at least 1, got {adapter_dim}; for a plain model '
      'leave adapters out.'
    )
  return Transformer(
    dataclasses.replace(module.config, adapter_dim=adapter_dim)
  )
