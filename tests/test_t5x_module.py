# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A module that starts from a folder, asked as T5X asks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from genret.models import weights
from genret.models.t5 import Transformer
from genret.models.t5x_module import start_from


def init(module, seed=0):
  tokens = jnp.ones((1, 2), jnp.int32)
  return module.init(
    jax.random.key(seed), tokens, tokens, tokens, enable_dropout=False
  )


@pytest.fixture
def folder(tmp_path):
  config = tiny.config(40)
  params = init(Transformer(config), seed=7)['params']
  weights.save_model(tmp_path / 'initial', config, params)
  return tmp_path / 'initial'


def test_init_gives_the_parameters_of_the_folder(folder):
  plain = Transformer(tiny.config(40))
  module = start_from(plain, folder)
  expected = init(plain, seed=7)
  shapes = jax.eval_shape(lambda: init(module))
  assert jax.tree.structure(shapes) == jax.tree.structure(expected)
  for found in (init(module), jax.jit(lambda: init(module))()):
    assert found['params_axes'] == expected['params_axes']
    jax.tree.map(
      np.testing.assert_array_equal, found['params'], expected['params']
    )


def test_the_parameters_are_arguments_of_the_program(folder):
  module = start_from(Transformer(tiny.config(40)), folder)
  params = init(module)['params']
  text = jax.jit(lambda: init(module)['params']).lower().as_text()
  # As constants they would be written down, two digits for each byte.
  assert len(text) < sum(x.nbytes for x in jax.tree.leaves(params))


def test_it_is_the_same_model(folder):
  plain = Transformer(tiny.config(40))
  variables = init(plain)
  tokens = jnp.arange(2, 10, dtype=jnp.int32).reshape(2, 4)
  logits = [
    module.apply(variables, tokens, tokens, tokens, enable_dropout=False)
    for module in (plain, start_from(plain, folder))
  ]
  np.testing.assert_array_equal(*logits)
  encoded = start_from(plain, folder).apply(
    variables, tokens, enable_dropout=False, method='encode'
  )
  assert encoded.shape == (2, 4, 32)


def test_without_a_folder_nothing_changes():
  module = Transformer(tiny.config(40))
  assert start_from(module, None) is module


def test_another_model_is_refused(folder):
  module = start_from(Transformer(tiny.config(41)), folder)
  with pytest.raises(ValueError, match='Expected parameters of the shapes'):
    init(module)
