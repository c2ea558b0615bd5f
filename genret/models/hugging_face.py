# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5s from Hugging Face: `config.json` and safetensors, read without torch.

A folder holds `model.safetensors`, or shards of it that
`model.safetensors.index.json` lists. Whatever is missing, left over or of
another shape is refused by name.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from genret.models import t5

Params = dict[str, Any]  # a tree of arrays, or {path: array}
PathLike = str | os.PathLike[str]

_ACTIVATIONS = {'relu': ('relu',), 'gated-gelu': ('gelu', 'linear')}
_SIZES = {
  'vocab_size': 'vocab_size',
  'd_model': 'emb_dim',
  'num_heads': 'num_heads',
  'num_layers': 'num_encoder_layers',
  'd_kv': 'head_dim',
  'd_ff': 'mlp_dim',
}
# What our model fixes, and what Hugging Face takes where a config is silent.
_FIXED = {
  'relative_attention_num_buckets': 32,
  'relative_attention_max_distance': 128,
  'layer_norm_epsilon': 1e-6,
}
# transformers writes these as copies of, or beside, what the model reads.
_EMBEDDING_COPIES = (
  'encoder.embed_tokens.weight',
  'decoder.embed_tokens.weight',
)
_NEVER_READ = (
  'decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight'
)


def load_hugging_face(folder: PathLike) -> tuple[t5.T5Config, Params]:
  """Reads a T5 1.0, T5 1.1 or Flan-T5 in Hugging Face's format.

  The output layer is untied where `lm_head.weight` differs from the embedding,
  whatever the config says, and logits are scaled by 1 / sqrt(d_model) where
  the config ties the two (or has `scale_decoder_outputs`), as transformers
  does.

  Args:
    folder: with `config.json` and safetensors of any float type.

  Returns:
    The config and the parameters, float32 NumPy arrays.

  Raises:
    ValueError: naming the setting, tensor or file that is not as expected.
    OSError: where a file is missing.
  """
  folder = pathlib.Path(folder)
  settings = _read_json(folder / 'config.json')
  tensors = _read_tensors(folder)
  kernel, tied = _output_layer(folder, settings, tensors)
  config = _config(folder, settings, tied)
  params: Params = {}
  for path, name, transpose in _names(config):
    tensor = _take(folder, tensors, name)
    params[path] = np.ascontiguousarray(tensor.T) if transpose else tensor
  if kernel is not None:
    params['decoder/logits_dense/kernel'] = kernel
  for name in _EMBEDDING_COPIES:
    copy = tensors.pop(name, params['token_embedder/embedding'])
    if not np.array_equal(copy, params['token_embedder/embedding']):
      raise ValueError(
        f'{folder}: {name} differs from shared.weight, which T5 shares; the '
        'folder holds another kind of model.'
      )
  tensors.pop(_NEVER_READ, None)
  if tensors:
    raise ValueError(
      f'{folder} has tensors that a T5 of this config.json does not use, '
      f'{len(tensors)} in all, first {min(tensors)!r}; check the config.'
    )
  _check_shapes(folder, config, params)
  return config, flax.traverse_util.unflatten_dict(params, sep='/')


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    content = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is not JSON ({error}); copy it again.') from None
  if not isinstance(content, dict):
    raise ValueError(
      f'{path} should hold a JSON object, got {type(content).__name__}; copy it '
      'again.'
    )
  return content


def _config(
  folder: pathlib.Path, settings: dict[str, Any], tied: bool
) -> t5.T5Config:
  if settings.get('model_type') != 't5':
    raise ValueError(
      f'{folder}/config.json should have model_type "t5", got '
      f'{settings.get("model_type")!r}; only T5 and Flan-T5 are read.'
    )
  for name, value in _FIXED.items():
    if not math.isclose(settings.get(name, value), value):
      raise ValueError(
        f'{folder}/config.json should have {name} {value}, got '
        f'{settings[name]!r}; our T5 has no other.'
      )
  activation = settings.get('feed_forward_proj', 'relu')
  if activation not in _ACTIVATIONS:
    raise ValueError(
      f'{folder}/config.json should have feed_forward_proj '
      f'{" or ".join(_ACTIVATIONS)}, got {activation!r}; our T5 has no other.'
    )
  missing = [name for name in _SIZES if name not in settings]
  if missing:
    raise ValueError(
      f'{folder}/config.json lacks {", ".join(missing)}; add them.'
    )
  layers = settings.get('num_decoder_layers') or settings['num_layers']
  return t5.T5Config(
    **{ours: settings[theirs] for theirs, ours in _SIZES.items()},
    num_decoder_layers=layers,
    mlp_activations=_ACTIVATIONS[activation],
    dropout_rate=settings.get('dropout_rate', 0.1),
    logits_via_embedding=tied,
  )


def _read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """All tensors of the folder, as float32."""
  index = folder / 'model.safetensors.index.json'
  files = ['model.safetensors']
  if index.exists():
    files = sorted(set(_read_json(index).get('weight_map', {}).values()))
  tensors = {}
  for file in files:
    path = folder / file
    if pathlib.PurePath(file).name != file:
      raise ValueError(
        f'{index} names {file!r} outside its folder; copy it again.'
      )
    if not path.exists():
      raise FileNotFoundError(
        f'{path} does not exist; save the model in safetensors format there.'
      )
    try:
      with safetensors.safe_open(path, framework='numpy') as opened:
        for name in opened.keys():  # noqa: SIM118 (it is no dict)
          tensors[name] = opened.get_tensor(name).astype(np.float32)
    except safetensors.SafetensorError as error:
      raise ValueError(
        f'{path} is not a whole safetensors file ({error}); copy it again.'
      ) from None
  return tensors


def _take(
  folder: pathlib.Path, tensors: dict[str, np.ndarray], name: str
) -> np.ndarray:
  if name not in tensors:
    raise ValueError(
      f'{folder} lacks the tensor {name!r}, which a T5 of this config.json '
      'needs; check the config and the files.'
    )
  return tensors.pop(name)


def _output_layer(
  folder: pathlib.Path, settings: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[np.ndarray | None, bool]:
  """The kernel [E, V] of the output layer, or None and True where tied."""
  says_tied = settings.get('tie_word_embeddings', True)
  # transformers 5 ties always and keeps the old meaning under this name.
  scaled = settings.get('scale_decoder_outputs', says_tied)
  if 'lm_head.weight' not in tensors and says_tied:
    if scaled:
      return None, True
    return np.ascontiguousarray(tensors['shared.weight'].T), False
  head = _take(folder, tensors, 'lm_head.weight')
  same = np.array_equal(head, tensors.get('shared.weight', 0))
  if same and scaled:
    return None, True
  kernel = np.ascontiguousarray(head.T)
  if settings.get('scale_decoder_outputs', False):
    kernel /= math.sqrt(kernel.shape[0])
  return kernel, False


def _names(config: t5.T5Config) -> Iterator[tuple[str, str, bool]]:
  """(our path, their tensor, whether it is transposed) of every parameter."""
  yield 'token_embedder/embedding', 'shared.weight', False
  parts: tuple[str, ...] = ('wi', 'wo')
  if len(config.mlp_activations) == 2:
    parts = ('wi_0', 'wi_1', 'wo')
  letters = {'query': 'q', 'key': 'k', 'value': 'v', 'out': 'o'}
  own, cross = 'self_attention', 'encoder_decoder_attention'
  stacks = {
    'encoder': (config.num_encoder_layers, {'attention': 'SelfAttention'}),
    'decoder': (
      config.num_decoder_layers,
      {own: 'SelfAttention', cross: 'EncDecAttention'},
    ),
  }
  norms = {cross: 'cross_attention'}
  for stack, (layers, attentions) in stacks.items():
    bias = f'{stack}.block.0.layer.0.SelfAttention.relative_attention_bias'
    yield f'{stack}/relpos_bias/rel_embedding', f'{bias}.weight', True
    norm = f'{stack}.final_layer_norm.weight'
    yield f'{stack}/{stack}_norm/scale', norm, False
    for i in range(layers):
      ours, theirs = f'{stack}/layers_{i}', f'{stack}.block.{i}.layer'
      for j, (name, block) in enumerate(attentions.items()):
        for part, letter in letters.items():
          tensor = f'{theirs}.{j}.{block}.{letter}.weight'
          yield f'{ours}/{name}/{part}/kernel', tensor, True
        scale = f'pre_{norms.get(name, name)}_layer_norm/scale'
        yield f'{ours}/{scale}', f'{theirs}.{j}.layer_norm.weight', False
      last = f'{theirs}.{len(attentions)}'
      for part in parts:
        tensor = f'{last}.DenseReluDense.{part}.weight'
        yield f'{ours}/mlp/{part}/kernel', tensor, True
      scale = f'{ours}/pre_mlp_layer_norm/scale'
      yield scale, f'{last}.layer_norm.weight', False


def _check_shapes(where: Any, config: t5.T5Config, params: Params) -> None:
  """Refuses parameters {path: array} that are not those of the config."""
  tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
  init = t5.Transformer(config).init
  variables = jax.eval_shape(
    lambda key, x: init(key, x, x, x, enable_dropout=False),
    jax.random.key(0),
    tokens,
  )
  expected = flax.traverse_util.flatten_dict(variables['params'], sep='/')
  odd = sorted(expected.keys() ^ params.keys())
  if odd:
    which = 'lacks' if odd[0] in expected else 'has no use for'
    raise ValueError(
      f'{where} {which} the parameter {odd[0]!r} with this config; check both.'
    )
  for path, leaf in expected.items():
    if params[path].shape != leaf.shape:
      raise ValueError(
        f'{where}: {path} should have shape {leaf.shape} with this config, got '
        f'{params[path].shape}; check the sizes in it.'
      )
