# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""T5s from and for Hugging Face: `config.json` and safetensors, without torch.

A folder holds `model.safetensors`, or shards of it that
`model.safetensors.index.json` lists. Whatever is missing, left over or of
another shape is refused by name.

| model_type | models                        | what is its own                       |
|------------|-------------------------------|---------------------------------------|
| `t5`       | T5 1.0, T5 1.1, Flan-T5, ByT5 | tied output layers are scaled         |
| `mt5`      | mT5                           | gated gelu where the config is silent |
| `umt5`     | umT5                          | likewise; attention biases a layer    |
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
import safetensors.numpy

from genret.models import t5
from genret.text_files import write_text

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
# Of each model_type: the feed-forward that a silent config means.
_KINDS = {'t5': 'relu', 'mt5': 'gated-gelu', 'umt5': 'gated-gelu'}
# What our model fixes, and what Hugging Face takes where a config is silent.
_FIXED = {
  'relative_attention_num_buckets': 32,
  'relative_attention_max_distance': 128,
  'layer_norm_epsilon': 1e-6,
}
_DTYPES = {
  'float32': np.float32,
  'float16': np.float16,
  'bfloat16': jnp.bfloat16,
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
  """Reads a T5, mT5 or umT5 in Hugging Face's format.

  The output layer is untied where `lm_head.weight` differs from the embedding,
  whatever the config says. Logits of a T5 are scaled by 1 / sqrt(d_model) where
  the config ties the two (or has `scale_decoder_outputs`), as transformers
  does. Those of mT5 and umT5 are not: the released models have output layers of
  their own. (transformers 5 writes that they are tied into every config, and
  scales those of umT5; where they really are, `scale_decoder_outputs` in
  config.json must say whether they are scaled.)

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
        f'Expected {name} in {folder} to be shared.weight, which T5 shares, got '
        'another; the folder holds another kind of model.'
      )
  tensors.pop(_NEVER_READ, None)
  if tensors:
    raise ValueError(
      f'Expected the tensors of a T5 of its config.json in {folder}, got '
      f'{len(tensors)} more, first {min(tensors)!r}; check the config.'
    )
  check_parameters(folder, config, params)
  return config, flax.traverse_util.unflatten_dict(params, sep='/')


def save_hugging_face(
  folder: PathLike,
  config: t5.T5Config,
  params: Params,
  *,
  dtype: str = 'float32',
) -> None:
  """Writes a model as transformers and `load_hugging_face` read it.

  Tokens of identifiers are rows of the embedding like all others. A tokenizer is
  not written: copy spiece.model beside it.

  Args:
    folder: to write `config.json` and `model.safetensors` into.
    config: of the model.
    params: its parameters.
    dtype: of the tensors: float32, float16 or bfloat16.

  Raises:
    ValueError: for parts that no T5 of Hugging Face has, parameters of another
      config, activations or a dtype without a name there, and a folder that
      has a model.
  """
  folder = pathlib.Path(folder)
  if config.pawa_layers or config.adapter_dim:
    raise ValueError(
      'Expected a T5 without PAWA and adapters, which no model of Hugging Face '
      f'has, got pawa_layers={config.pawa_layers} and '
      f'adapter_dim={config.adapter_dim}; only the plain model can be written.'
    )
  names = {v: k for k, v in _ACTIVATIONS.items()}
  activations = tuple(config.mlp_activations)
  if activations not in names:
    raise ValueError(
      f'Expected mlp_activations {" or ".join(map(str, names))}, got '
      f'{activations}; Hugging Face names no other.'
    )
  if dtype not in _DTYPES:
    raise ValueError(
      f'Expected a dtype of {", ".join(_DTYPES)}, got {dtype!r}; choose one.'
    )
  if (folder / 'config.json').exists():
    raise ValueError(
      f'Expected a folder without a model, got {folder}; name another.'
    )
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  check_parameters(f'the model for {folder}', config, flat)
  tensors = {}
  for path, name, transpose in _names(config):
    tensor = np.asarray(flat[path])
    tensors[name] = tensor.T if transpose else tensor
  # A copy where they are tied: transformers 4 wants to find both.
  tensors['lm_head.weight'] = tensors['shared.weight']
  if not config.logits_via_embedding:
    kernel = np.asarray(flat['decoder/logits_dense/kernel'])
    tensors['lm_head.weight'] = kernel.T
  umt5 = config.relative_bias_per_layer
  settings = {
    'architectures': [f'{"UMT5" if umt5 else "T5"}ForConditionalGeneration'],
    'model_type': 'umt5' if umt5 else 't5',
    **{theirs: getattr(config, ours) for theirs, ours in _SIZES.items()},
    'num_decoder_layers': config.num_decoder_layers,
    'feed_forward_proj': names[activations],
    'dropout_rate': config.dropout_rate,
    'tie_word_embeddings': config.logits_via_embedding,
    **_FIXED,
    'is_encoder_decoder': True,
    'decoder_start_token_id': 0,
    'pad_token_id': 0,
    'eos_token_id': 1,
    'dtype': dtype,
  }
  if umt5:
    settings['scale_decoder_outputs'] = config.logits_via_embedding
  folder.mkdir(parents=True, exist_ok=True)
  safetensors.numpy.save_file(
    {
      name: np.ascontiguousarray(tensor, _DTYPES[dtype])
      for name, tensor in tensors.items()
    },
    folder / 'model.safetensors',
    metadata={'format': 'pt'},  # transformers asks for it
  )
  # Last: a folder without it is refused.
  write_text(folder / 'config.json', json.dumps(settings, indent=2) + '\n')


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    content = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(
      f'Expected JSON in {path}, it cannot be read ({error}); copy it again.'
    ) from None
  if not isinstance(content, dict):
    raise ValueError(
      f'Expected a JSON object in {path}, got {type(content).__name__}; copy it '
      'again.'
    )
  return content


def _config(
  folder: pathlib.Path, settings: dict[str, Any], tied: bool
) -> t5.T5Config:
  kind = _kind(folder, settings)
  for name, value in _FIXED.items():
    if not math.isclose(settings.get(name, value), value):
      raise ValueError(
        f'Expected {name} {value} in {folder}/config.json, got '
        f'{settings[name]!r}; our T5 has no other.'
      )
  activation = settings.get('feed_forward_proj', _KINDS[kind])
  if activation not in _ACTIVATIONS:
    raise ValueError(
      f'Expected feed_forward_proj {" or ".join(_ACTIVATIONS)} in '
      f'{folder}/config.json, got {activation!r}; our T5 has no other.'
    )
  missing = [name for name in _SIZES if name not in settings]
  if missing:
    raise ValueError(
      f'Expected {", ".join(missing)} in {folder}/config.json, got none; add '
      'them.'
    )
  layers = settings.get('num_decoder_layers') or settings['num_layers']
  return t5.T5Config(
    **{ours: settings[theirs] for theirs, ours in _SIZES.items()},
    num_decoder_layers=layers,
    mlp_activations=_ACTIVATIONS[activation],
    dropout_rate=settings.get('dropout_rate', 0.1),
    logits_via_embedding=tied,
    relative_bias_per_layer=kind == 'umt5',
  )


def _kind(folder: pathlib.Path, settings: dict[str, Any]) -> str:
  """The model_type of a config, one of _KINDS."""
  kind = settings.get('model_type')
  if kind not in _KINDS:
    raise ValueError(
      f'Expected model_type {", ".join(_KINDS)} in {folder}/config.json, got '
      f'{kind!r}; no other models are read.'
    )
  return str(kind)


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
        f'Expected files beside it in {index}, got {file!r}; copy it again.'
      )
    if not path.exists():
      raise FileNotFoundError(
        f'Expected {path}, found no such file; save the model in safetensors '
        'format there.'
      )
    try:
      with safetensors.safe_open(path, framework='numpy') as opened:
        for name in opened.keys():  # noqa: SIM118 (it is no dict)
          tensors[name] = opened.get_tensor(name).astype(np.float32)
    except safetensors.SafetensorError as error:
      raise ValueError(
        f'Expected a whole safetensors file in {path}, it cannot be read '
        f'({error}); copy it again.'
      ) from None
  return tensors


def _take(
  folder: pathlib.Path, tensors: dict[str, np.ndarray], name: str
) -> np.ndarray:
  if name not in tensors:
    raise ValueError(
      f'Expected the tensor {name!r} in {folder}, which a T5 of its config.json '
      'needs, found none; check the config and the files.'
    )
  return tensors.pop(name)


def _output_layer(
  folder: pathlib.Path, settings: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[np.ndarray | None, bool]:
  """The kernel [E, V] of the output layer, or None and True where tied."""
  if _kind(folder, settings) != 't5':
    return _unscaled_output_layer(folder, settings, tensors)
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


def _unscaled_output_layer(
  folder: pathlib.Path, settings: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[np.ndarray | None, bool]:
  """As `_output_layer`, of an mT5 or umT5."""
  shared = tensors.get('shared.weight', np.zeros(0))
  head = tensors.pop('lm_head.weight', shared)
  scaled = settings.get('scale_decoder_outputs')
  tied = np.array_equal(head, shared)
  if tied and scaled is None:
    raise ValueError(
      f'Expected a lm_head.weight in {folder} that differs from shared.weight, as '
      'the released mT5 and umT5 have, got none; add "scale_decoder_outputs": true '
      'or false to config.json to say whether its logits are divided by '
      'sqrt(d_model).'
    )
  if tied and scaled:
    return None, True
  kernel = np.ascontiguousarray(head.T)
  return kernel / math.sqrt(kernel.shape[0]) if scaled else kernel, False


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
    for i in range(layers if config.relative_bias_per_layer else 1):
      bias = f'{stack}.block.{i}.layer.0.SelfAttention.relative_attention_bias'
      name = 'relpos_bias'
      if config.relative_bias_per_layer:
        name = f'relpos_bias_{i}'
      yield f'{stack}/{name}/rel_embedding', f'{bias}.weight', True
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


def check_parameters(where: Any, config: t5.T5Config, params: Params) -> None:
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
    missing = odd[0] in expected
    raise ValueError(
      f'Expected {"the" if missing else "no"} parameter {odd[0]!r} in {where} '
      f'with this config, found {"none" if missing else "one"}; check both.'
    )
  for path, leaf in expected.items():
    if params[path].shape != leaf.shape:
      raise ValueError(
        f'Expected {path} of shape {leaf.shape} in {where} with this config, got '
        f'{params[path].shape}; check the sizes in it.'
      )
