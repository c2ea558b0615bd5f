# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Vectors of texts: against the encoder, text by text, and the command."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_collection

from genret import text_vectors, tools, vocabulary
from genret.models import pooling, weights
from genret.models.t5 import Transformer

pieces = tiny_collection.pieces


@pytest.fixture(scope='module')
def model():
  return tiny.model(256)


def alone(model, text, max_length):
  """One text without padding."""
  module, params = model
  tokens = [*pieces().encode(text)[: max_length - 1], vocabulary.EOS_ID]
  states = module.apply(
    {'params': params},
    jnp.asarray([tokens]),
    enable_dropout=False,
    method='encode',
  )
  mean = np.asarray(states, np.float64)[0].mean(0)
  return mean / np.linalg.norm(mean)


TEXTS = [
  '',
  'ship',
  'sail harbour ' * 5,
  'rose',
  'violin song ' * 40,
  'sea ' * 9,
]


@pytest.mark.parametrize('max_length', [1, 5, 20, 64])
@pytest.mark.parametrize('batch_size', [1, 4])
def test_each_vector_is_that_of_its_text_alone(model, max_length, batch_size):
  found = text_vectors.text_vectors(
    *model, pieces(), TEXTS, max_length=max_length, batch_size=batch_size
  )
  expected = [alone(model, text, max_length) for text in TEXTS]
  np.testing.assert_allclose(found, expected, atol=2e-5)
  assert found.dtype == np.float32


def test_no_texts_and_numbers_that_cannot_be(model):
  assert text_vectors.text_vectors(*model, pieces(), []).shape == (0, 32)
  with pytest.raises(
    ValueError, match='Expected batch_size of at least 1, got 0'
  ):
    text_vectors.text_vectors(*model, pieces(), ['a'], batch_size=0)
  with pytest.raises(
    ValueError, match='Expected max_length of at least 1, got 0'
  ):
    text_vectors.text_vectors(*model, pieces(), ['a'], max_length=0)
  small = Transformer(tiny.config(8))
  with pytest.raises(
    ValueError, match='Expected a vocabulary of at most 8 piece'
  ):
    text_vectors.text_vectors(small, None, pieces(), ['a'])


def test_rows_of_padding_are_zero(model):
  tokens = np.zeros((2, 4), np.int32)
  tokens[0, 0] = 5
  found = pooling.unit_vectors(*model, tokens)
  assert float((found[0] ** 2).sum()) == pytest.approx(1, abs=1e-6)
  assert not np.abs(found[1]).any()


def test_few_programs(model):
  text_vectors.text_vectors(*model, pieces(), TEXTS, max_length=64)
  before = text_vectors._unit_vectors._cache_size()
  more = [' '.join(['ship'] * n) for n in range(60)]
  text_vectors.text_vectors(*model, pieces(), more, max_length=64)
  assert text_vectors._unit_vectors._cache_size() <= before + 1


def test_the_command(model, tmp_path, capsys):
  collection = tiny_collection.write(tmp_path / 'corpus')
  module, params = model
  weights.save_model(tmp_path / 'model', module.config, params)
  own = tmp_path / 'own.model'
  vocabulary.train_vocabulary(['ship rose violin 0123456789 abc'], own)
  words = ['embed', '--checkpoint', str(tmp_path / 'model')]
  words += ['--vocabulary', str(own), '--corpus', str(tmp_path / 'corpus')]
  output = tmp_path / 'vectors.npy'
  arguments = [*words, '--output', str(output), '--prefix', 'a: ']
  assert tools.main([*arguments, '--max-length', '9']) == 0
  said = capsys.readouterr().out
  assert said.startswith('30 documents of 32 dimensions in ')
  texts = [f'a: {d.title} {d.text}' for d in collection.documents]
  expected = text_vectors.text_vectors(
    *model, vocabulary.load_vocabulary(own), texts, max_length=9
  )
  np.testing.assert_allclose(np.load(output), expected, atol=1e-6)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'corpus',
    'model',
    'own.model',
    'vectors.npy',
  ]
  assert tools.main([*words, '--output', str(tmp_path / 'vectors')]) == 2
  assert 'Expected --output to be an .npy file in a folder' in (
    capsys.readouterr().err
  )
