# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifier tokens that start at the centroids of their words."""

import numpy as np
import pytest
from scipy import sparse

from genret.models.t5 import T5Config
from genret.models.weights import add_identifiers

OLD, NEW, E = 6, 10, 4


def model(tied):
  rng = np.random.default_rng(0)
  config = T5Config(vocab_size=OLD, emb_dim=E, logits_via_embedding=tied)
  embedding = rng.normal(2, 1, (OLD, E)).astype(np.float32)
  kernel = rng.normal(-1, 3, (E, OLD)).astype(np.float32)
  decoder = {} if tied else {'logits_dense': {'kernel': kernel}}
  params = {
    'token_embedder': {'embedding': embedding},
    'decoder': {'decoder_norm': {'scale': np.ones(E, np.float32)}, **decoder},
  }
  return config, params


def words():
  """Tokens 6 and 7 have words, 8 has but text of no weight, 9 is not used."""
  weight = np.zeros((NEW, NEW), np.float32)
  weight[6, [1, 2]] = 0.25, 0.75
  weight[7, 5] = 1
  weight[2, 3] = 1  # a text token keeps its row all the same
  return sparse.csr_matrix(weight)


def plain_rows(table_VxE):
  """A row at a time."""
  centred = [row - table_VxE.mean(0) for row in table_VxE]
  typical = np.median([np.linalg.norm(row) for row in centred])
  mean = 0.25 * centred[1] + 0.75 * centred[2]
  zero = np.zeros(E)
  rows = [mean, centred[5]]
  rows = [row * typical / np.linalg.norm(row) for row in rows]
  return np.array([*rows, zero, zero])


@pytest.mark.parametrize('tied', [True, False])
def test_new_rows_stand_where_their_words_do(tied):
  config, params = model(tied)
  grown, found = add_identifiers(params, config, NEW, words())
  assert grown == config.replace(vocab_size=NEW)
  old = params['token_embedder']['embedding']
  new = found['token_embedder']['embedding']
  assert new.dtype == old.dtype
  np.testing.assert_array_equal(new[:OLD], old)
  np.testing.assert_allclose(new[OLD:], plain_rows(old), rtol=1e-5)
  assert found['decoder']['decoder_norm'] == params['decoder']['decoder_norm']
  assert ('logits_dense' in found['decoder']) == (not tied)
  if not tied:
    old = params['decoder']['logits_dense']['kernel']
    new = found['decoder']['logits_dense']['kernel']
    np.testing.assert_array_equal(new[:, :OLD], old)
    np.testing.assert_allclose(new[:, OLD:].T, plain_rows(old.T), rtol=1e-5)


def test_no_identifiers_change_nothing():
  config, params = model(False)
  none = sparse.csr_matrix((OLD, OLD), dtype=np.float32)
  grown, found = add_identifiers(params, config, OLD, none)
  assert grown == config
  np.testing.assert_array_equal(
    found['token_embedder']['embedding'], params['token_embedder']['embedding']
  )


@pytest.mark.parametrize(('size', 'words_size'), [(5, 5), (10, 9)])
def test_words_of_another_vocabulary_are_refused(size, words_size):
  config, params = model(False)
  none = sparse.csr_matrix((words_size, words_size), dtype=np.float32)
  with pytest.raises(
    ValueError,
    match=rf'of 6 or more, got vocab_size {size} and words of shape '
    rf'\({words_size}, {words_size}\); index the corpus with --text-tokens 6',
  ):
    add_identifiers(params, config, size, none)
