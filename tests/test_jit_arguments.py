# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Arrays found by a function under jit are arguments of its program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.jit_arguments import as_arguments


@pytest.mark.parametrize('make', [np.asarray, jnp.asarray])
def test_what_is_found_is_an_argument(make):
  table = {
    'a': make(np.arange(10_000, dtype=np.int32)),
    'b': make(np.linspace(0, 1, 7, dtype=np.float32)),
  }

  def look(index, arrays):
    return {name: x[index] for name, x in arrays.items()}

  found = jax.jit(lambda index: look(index, as_arguments(table)))
  index = jnp.asarray(3)
  lowered = found.lower(index)
  assert len(lowered.as_text()) < 10_000
  taken = lowered.compile().memory_analysis().argument_size_in_bytes
  assert taken >= 40_000 + 28
  for _ in range(3):
    assert found(index) == look(index, table)
  given = jax.jit(lambda index, arrays: look(index, as_arguments(arrays)))
  assert given(index, table) == look(index, table)  # arguments already
  plain = as_arguments(table)  # outside jit
  jax.tree.map(np.testing.assert_array_equal, plain, table)
