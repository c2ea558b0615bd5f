# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Foreign weights: the logits of transformers, or one sentence of refusal."""

import functools
import json

import flax
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from genret.models import hugging_face, t5, weights

V, E = 37, 16
SETTINGS = {
  'model_type': 't5',
  'vocab_size': V,
  'd_model': E,
  'd_kv': 8,
  'd_ff': 24,
  'num_layers': 2,
  'num_decoder_layers': 1,
  'num_heads': 3,
  'feed_forward_proj': 'gated-gelu',
  'tie_word_embeddings': False,
}
TIED = {'feed_forward_proj': 'relu', 'tie_word_embeddings': True}


def make_tensors(settings):
  """Random tensors under Hugging Face's names, written out by hand."""
  rng = np.random.default_rng(0)
  inner = settings['num_heads'] * settings['d_kv']
  shapes = {'shared.weight': (V, E)}
  if not settings['tie_word_embeddings']:
    shapes['lm_head.weight'] = (V, E)
  gated = settings['feed_forward_proj'] == 'gated-gelu'
  for stack, attentions, layers in [
    ('encoder', ['SelfAttention'], settings['num_layers']),
    (
      'decoder',
      ['SelfAttention', 'EncDecAttention'],
      settings['num_decoder_layers'],
    ),
  ]:
    shapes[f'{stack}.final_layer_norm.weight'] = (E,)
    for i in range(layers if settings['model_type'] == 'umt5' else 1):
      bias = f'block.{i}.layer.0.SelfAttention.relative_attention_bias.weight'
      shapes[f'{stack}.{bias}'] = (32, settings['num_heads'])
    for i in range(layers):
      layer = f'{stack}.block.{i}.layer'
      for j, attention in enumerate(attentions):
        shapes[f'{layer}.{j}.layer_norm.weight'] = (E,)
        for letter in 'qkv':
          shapes[f'{layer}.{j}.{attention}.{letter}.weight'] = (inner, E)
        shapes[f'{layer}.{j}.{attention}.o.weight'] = (E, inner)
      layer = f'{layer}.{len(attentions)}'
      shapes[f'{layer}.layer_norm.weight'] = (E,)
      for name in ('wi_0', 'wi_1') if gated else ('wi',):
        shapes[f'{layer}.DenseReluDense.{name}.weight'] = (24, E)
      shapes[f'{layer}.DenseReluDense.wo.weight'] = (E, 24)
  return {
    name: rng.normal(len(shape) == 1, 0.3, shape).astype(np.float32)
    for name, shape in shapes.items()
  }


def write_folder(folder, settings, tensors):
  folder.mkdir(exist_ok=True)
  (folder / 'config.json').write_text(json.dumps(settings))
  save_file(tensors, folder / 'model.safetensors')
  return folder


@pytest.fixture
def folder(tmp_path):
  return write_folder(tmp_path / 'hf', SETTINGS, make_tensors(SETTINGS))


def apply(config, params, encoder, targets):
  """Encoder output and logits of our model."""
  module = t5.Transformer(config)
  inputs = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
  encode = functools.partial(
    module.apply, enable_dropout=False, method='encode'
  )
  encoded = jax.jit(encode)({'params': params}, encoder)
  whole = functools.partial(module.apply, enable_dropout=False)
  return encoded, jax.jit(whole)({'params': params}, encoder, inputs, targets)


def make_transformers_model(settings, tensors):
  torch = pytest.importorskip('torch', reason='torch is not installed')
  transformers = pytest.importorskip(
    'transformers', reason='transformers is not installed'
  )
  name = settings['model_type'].upper()
  settings = {k: v for k, v in settings.items() if k != 'model_type'}
  model = getattr(transformers, f'{name}ForConditionalGeneration')(
    getattr(transformers, f'{name}Config')(**settings, decoder_start_token_id=0)
  ).eval()
  if name == 'UMT5':
    # transformers 5 scales logits by this whatever the settings say.
    model.config.tie_word_embeddings = False
  if 'lm_head.weight' in tensors:
    # transformers 5 ties them whatever the settings say.
    model.lm_head.weight = torch.nn.Parameter(torch.empty(V, E))
  state = {name: torch.tensor(value) for name, value in tensors.items()}
  for copy in ('encoder.embed_tokens.weight', 'decoder.embed_tokens.weight'):
    state[copy] = state['shared.weight']
  state.setdefault('lm_head.weight', state['shared.weight'])
  model.load_state_dict(state)
  return torch, model


@pytest.mark.parametrize(
  'change',
  [{}, TIED, {'model_type': 'mt5'}, {'model_type': 'umt5'}],
  ids=['v1.1', 'v1.0', 'mt5', 'umt5'],
)
def test_same_numbers_as_transformers(tmp_path, change):
  settings = SETTINGS | change
  tensors = make_tensors(settings)
  torch, model = make_transformers_model(settings, tensors)
  rng = np.random.default_rng(1)
  encoder = rng.integers(2, V, (3, 20))
  encoder[1, 12:] = 0
  targets = rng.integers(2, V, (3, 19))
  with torch.no_grad():
    theirs = model(
      input_ids=torch.tensor(encoder),
      attention_mask=torch.tensor(encoder > 0),
      labels=torch.tensor(targets),
    )
  config, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', settings, tensors)
  )
  assert config.logits_via_embedding == (change == TIED)
  assert config.relative_bias_per_layer == (change == {'model_type': 'umt5'})
  encoded, logits = apply(
    config, params, encoder.astype(np.int32), targets.astype(np.int32)
  )
  real = encoder > 0
  np.testing.assert_allclose(
    encoded[real], theirs.encoder_last_hidden_state.numpy()[real], atol=1e-4
  )
  np.testing.assert_allclose(logits, theirs.logits.numpy(), atol=1e-4)
  picked = jnp.take_along_axis(
    jax.nn.log_softmax(logits), targets[..., None], axis=-1
  )
  np.testing.assert_allclose(-picked.mean(), theirs.loss.numpy(), atol=1e-4)


@pytest.mark.parametrize('kind', ['mt5', 'umt5'])
def test_output_layers_that_are_tied_say_whether_they_are_scaled(
  tmp_path, kind
):
  settings = SETTINGS | {'model_type': kind}
  del settings['feed_forward_proj']  # gated-gelu, for these
  tensors = make_tensors(settings | {'feed_forward_proj': 'gated-gelu'})
  del tensors['lm_head.weight']
  folder = write_folder(tmp_path / 'hf', settings, tensors)
  with pytest.raises(ValueError, match='add "scale_decoder_outputs": true or'):
    weights.load_hugging_face(folder)
  logits = {}
  tokens = np.arange(2, 8, dtype=np.int32)[None]
  for scaled in (True, False):
    write_folder(folder, settings | {'scale_decoder_outputs': scaled}, tensors)
    config, params = weights.load_hugging_face(folder)
    assert config.logits_via_embedding == scaled
    _, logits[scaled] = apply(config, params, tokens, tokens)
  np.testing.assert_allclose(
    logits[True] * E**0.5, logits[False], rtol=1e-4, atol=1e-4
  )


@pytest.mark.parametrize(
  'change',
  [{}, TIED, {'model_type': 'umt5'}],
  ids=['v1.1', 'v1.0', 'umt5'],
)
def test_transformers_reads_what_is_saved(tmp_path, change):
  transformers = pytest.importorskip(
    'transformers', reason='transformers is not installed'
  )
  torch = pytest.importorskip('torch', reason='torch is not installed')
  settings = SETTINGS | change
  config, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', settings, make_tensors(settings))
  )
  saved = tmp_path / 'saved'
  weights.save_hugging_face(saved, config, params)
  again_config, again = weights.load_hugging_face(saved)
  assert again_config == config
  jax.tree.map(np.testing.assert_array_equal, again, params)

  model = transformers.AutoModelForSeq2SeqLM.from_pretrained(saved).eval()
  if settings['model_type'] == 'umt5':
    model.config.tie_word_embeddings = False  # as above
  tokens = np.random.default_rng(1).integers(2, V, (2, 6))
  with torch.no_grad():
    theirs = model(input_ids=torch.tensor(tokens), labels=torch.tensor(tokens))
  tokens = tokens.astype(np.int32)
  _, logits = apply(config, params, tokens, tokens)
  np.testing.assert_allclose(logits, theirs.logits.numpy(), atol=1e-4)


def test_saved_in_half_precision(folder, tmp_path):
  config, params = weights.load_hugging_face(folder)
  for dtype in ('float16', 'bfloat16'):
    weights.save_hugging_face(tmp_path / dtype, config, params, dtype=dtype)
    _, read = weights.load_hugging_face(tmp_path / dtype)
    jax.tree.map(
      lambda ours, theirs, kind=dtype: np.testing.assert_array_equal(
        ours.astype(kind), theirs
      ),
      params,
      read,
    )


def test_parameters_are_checked_against_sizes(folder):
  config, params = weights.load_hugging_face(folder)
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  hugging_face.check_parameters('here', config, flat)
  with pytest.raises(ValueError, match=r'kernel of shape \(16, 38\) in here '):
    hugging_face.check_parameters('here', config.replace(vocab_size=38), flat)


def test_what_hugging_face_has_not_is_not_saved(folder, tmp_path):
  config, params = weights.load_hugging_face(folder)
  save = functools.partial(weights.save_hugging_face, tmp_path / 'new')
  for change, message in (
    ({'pawa_layers': 1}, 'without PAWA and adapters, .* pawa_layers=1'),
    ({'adapter_dim': 4}, 'without PAWA and adapters, .* adapter_dim=4'),
    ({'mlp_activations': ('silu', 'linear')}, "got .'silu', 'linear'"),
    ({'vocab_size': V + 1}, 'of shape'),
    ({'num_decoder_layers': 2}, "the parameter 'decoder/layers_1"),
  ):
    with pytest.raises(ValueError, match=message):
      save(config.replace(**change), params)
  with pytest.raises(ValueError, match="bfloat16, got 'int8'; choose one"):
    save(config, params, dtype='int8')
  assert not (tmp_path / 'new').exists()
  with pytest.raises(
    ValueError, match=r'without a model, got .*; name another'
  ):
    weights.save_hugging_face(folder, config, params)


@pytest.mark.parametrize('scaled', [True, False])
def test_reads_what_transformers_saves(tmp_path, scaled):
  settings = SETTINGS | {'tie_word_embeddings': scaled}
  tensors = make_tensors(settings | {'tie_word_embeddings': True})
  torch, model = make_transformers_model(settings, tensors)
  model.save_pretrained(tmp_path / 'saved')
  config, params = weights.load_hugging_face(tmp_path / 'saved')
  tokens = np.random.default_rng(1).integers(2, V, (1, 6))
  with torch.no_grad():
    theirs = model(input_ids=torch.tensor(tokens), labels=torch.tensor(tokens))
  tokens = tokens.astype(np.int32)
  _, logits = apply(config, params, tokens, tokens)
  np.testing.assert_allclose(logits, theirs.logits.numpy(), atol=1e-4)


def test_weights_win_over_the_setting_that_ties(tmp_path):
  tensors = make_tensors(SETTINGS)
  settings = SETTINGS | {'tie_word_embeddings': True}
  config, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', settings, tensors)
  )
  assert not config.logits_via_embedding
  kernel = params['decoder']['logits_dense']['kernel']
  np.testing.assert_array_equal(kernel, tensors['lm_head.weight'].T)
  tensors['lm_head.weight'] = tensors['shared.weight'].copy()
  config, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', settings, tensors)
  )
  assert config.logits_via_embedding
  assert 'logits_dense' not in params['decoder']


def test_scaled_logits_of_an_output_layer_of_its_own(tmp_path):
  tensors = make_tensors(SETTINGS)
  settings = SETTINGS | {'scale_decoder_outputs': True}
  _, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', settings, tensors)
  )
  kernel = params['decoder']['logits_dense']['kernel']
  np.testing.assert_allclose(kernel, tensors['lm_head.weight'].T / E**0.5)


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_read_as_float32(tmp_path, dtype):
  tensors = make_tensors(SETTINGS)
  half = {name: tensor.astype(dtype) for name, tensor in tensors.items()}
  config, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', SETTINGS, half)
  )
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype('float32')}
  np.testing.assert_array_equal(
    params['token_embedder']['embedding'],
    half['shared.weight'].astype(np.float32),
  )
  assert config.mlp_activations == ('gelu', 'linear')


def test_shards(folder):
  whole = weights.load_hugging_face(folder)
  tensors = load_file(folder / 'model.safetensors')
  (folder / 'model.safetensors').unlink()
  names = sorted(tensors)
  shards = {'a.safetensors': names[::2], 'b.safetensors': names[1::2]}
  index = {}
  for file, part in shards.items():
    save_file({name: tensors[name] for name in part}, folder / file)
    index |= dict.fromkeys(part, file)
  listing = folder / 'model.safetensors.index.json'
  listing.write_text(json.dumps({'weight_map': index}))
  parts = weights.load_hugging_face(folder)
  assert parts[0] == whole[0]
  jax.tree.map(np.testing.assert_array_equal, parts[1], whole[1])

  (folder / 'b.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match=r'b.safetensors, found no such'):
    weights.load_hugging_face(folder)
  listing.write_text(json.dumps({'weight_map': {'x': '../b.safetensors'}}))
  with pytest.raises(ValueError, match='Expected files beside it in'):
    weights.load_hugging_face(folder)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      {'model_type': 'bart'},
      "model_type t5, mt5, umt5 in .*config.json, got 'bart'",
    ),
    (
      {'feed_forward_proj': 'gated-silu'},
      "relu or gated-gelu in .*, got 'gated-silu'",
    ),
    ({'relative_attention_num_buckets': 64}, '_num_buckets 32 in .*, got 64'),
    (
      {'relative_attention_max_distance': 64},
      '_max_distance 128 in .*, got 64',
    ),
    ({'layer_norm_epsilon': 1e-5}, 'layer_norm_epsilon 1e-06 in .*, got 1e-05'),
    ({'vocab_size': 40}, r'kernel of shape \(16, 40\).*\(16, 37\)'),
    ({'num_layers': 3}, "the tensor 'encoder.block.2.layer.0.SelfA"),
    ({'num_layers': 1}, "got 9 more, first 'encoder.block.1"),
  ],
)
def test_unknown_settings_are_refused(folder, change, message):
  (folder / 'config.json').write_text(json.dumps(SETTINGS | change))
  with pytest.raises(ValueError, match=message):
    weights.load_hugging_face(folder)


def test_missing_settings_are_refused(folder):
  settings = {k: v for k, v in SETTINGS.items() if k not in ('d_ff', 'd_kv')}
  (folder / 'config.json').write_text(json.dumps(settings))
  with pytest.raises(
    ValueError, match=r'd_kv, d_ff in .*config.json, got none; add'
  ):
    weights.load_hugging_face(folder)
  (folder / 'config.json').write_text('{"d_ff":')
  with pytest.raises(ValueError, match=r'Expected JSON in .*config.json'):
    weights.load_hugging_face(folder)


def test_missing_unused_and_foreign_tensors_are_refused(folder):
  tensors = load_file(folder / 'model.safetensors')
  path = folder / 'model.safetensors'
  left = {k: v for k, v in tensors.items() if k != 'lm_head.weight'}
  save_file(left, path)
  with pytest.raises(ValueError, match=r"the tensor 'lm_head.weight' in"):
    weights.load_hugging_face(folder)
  save_file(tensors | {'adapter.weight': np.ones(2)}, path)
  with pytest.raises(ValueError, match=r"got 1 more, first 'adapter.weight'"):
    weights.load_hugging_face(folder)
  copy = 'encoder.embed_tokens.weight'
  save_file(tensors | {copy: tensors['shared.weight'].copy()}, path)
  weights.load_hugging_face(folder)
  save_file(tensors | {copy: tensors['shared.weight'] + 1}, path)
  with pytest.raises(
    ValueError, match=r'embed_tokens.weight in .* to be shared'
  ):
    weights.load_hugging_face(folder)
  path.write_bytes(path.read_bytes()[:-10])
  with pytest.raises(ValueError, match='a whole safetensors file in'):
    weights.load_hugging_face(folder)


def test_extended_vocabulary_keeps_the_old_rows(folder):
  config, params = weights.load_hugging_face(folder)
  larger, grown = weights.extend_vocabulary(
    params, config, V + 500, jax.random.key(0)
  )
  assert larger == config.replace(vocab_size=V + 500)
  old_E, new_E = (p['token_embedder']['embedding'] for p in (params, grown))
  old_L, new_L = (
    p['decoder']['logits_dense']['kernel'].T for p in (params, grown)
  )
  for old, new in ((old_E, new_E), (old_L, new_L)):
    assert new.shape == (V + 500, E)
    assert new.dtype == np.float32
    np.testing.assert_array_equal(new[:V], old)
    added = new[V:]
    np.testing.assert_allclose(added.mean(0), old.mean(0), atol=0.1)
    np.testing.assert_allclose(added.std(0), old.std(0), rtol=0.2)
    assert len(np.unique(added, axis=0)) == 500
  # The two tables are drawn apart.
  pair = np.corrcoef(new_E[V:].ravel(), new_L[V:].ravel())
  assert abs(pair[0, 1]) < 0.5
  assert params['token_embedder']['embedding'].shape == (V, E)

  tokens = np.arange(2, 8, dtype=np.int32)[None]
  _, before = apply(config, params, tokens, tokens)
  _, after = apply(larger, grown, tokens, tokens)
  np.testing.assert_allclose(after[..., :V], before, atol=1e-4)


def test_extended_vocabulary_takes_given_rows(tmp_path):
  settings = SETTINGS | TIED
  config, params = weights.load_hugging_face(
    write_folder(tmp_path / 'hf', settings, make_tensors(settings))
  )
  rows = np.random.default_rng(0).normal(size=(3, E)).astype(np.float32)
  extend = functools.partial(
    weights.extend_vocabulary, params, config, V + 3, jax.random.key(0)
  )
  _, grown = extend(embedding_rows_XxE=rows)
  np.testing.assert_array_equal(grown['token_embedder']['embedding'][V:], rows)
  with pytest.raises(ValueError, match=r'3 rows of 16 .* got shape \(2, 16\)'):
    extend(embedding_rows_XxE=rows[:2])
  with pytest.raises(ValueError, match='tied to the embedding'):
    extend(logits_rows_XxE=rows)
  with pytest.raises(
    ValueError, match=r'at least 37, .* got 36; tokens cannot'
  ):
    weights.extend_vocabulary(params, config, V - 1, jax.random.key(0))
