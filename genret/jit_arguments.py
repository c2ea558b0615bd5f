# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Arrays that a function under jit finds, as arguments of its program.

What such a function does not get as an argument is written into its program, as
text and for every device in full, which takes minutes and gigabytes where arrays
are large, and fails above two gigabytes. References (`jax.new_ref`) alone are not:
jit passes them on as arguments, for they may change. So arrays are read from
references. It serves where somebody else, such as T5X, calls jit.
"""

from typing import Any, TypeVar

import jax

Tree = TypeVar('Tree')


def as_arguments(tree: Tree) -> Tree:
  """The same pytree, of arrays that the trace being made takes for arguments.

  Outside jit it is a copy. Arrays that are arguments already stay as they are.
  """
  with jax.ensure_compile_time_eval():
    references = jax.tree.map(_reference, tree)

  def read(leaf: Any) -> Any:
    return leaf if isinstance(leaf, jax.core.Tracer) else leaf[...]

  return jax.tree.map(read, references)


def _reference(leaf: Any) -> Any:
  return leaf if isinstance(leaf, jax.core.Tracer) else jax.new_ref(leaf)
