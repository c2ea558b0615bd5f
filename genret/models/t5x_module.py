# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A model that T5X starts from weights of ours.

T5X reads its own checkpoints alone, but it asks the module for the initial
values of its parameters; here the module answers with those of a folder.
"""

import os
from typing import Any

import jax
from flax import linen as nn

from genret import jit_arguments
from genret.models import checkpoints
from genret.models.t5 import Transformer


def start_from(
  module: Transformer, folder: str | os.PathLike[str] | None
) -> Transformer:
  """The module, with initial parameters that a folder holds.

  Args:
    module: of the same sizes.
    folder: of `genret convert` or a run of `genret train`, whose newest
      checkpoint is taken; the module stays as it is where None.
  """
  return module if folder is None else _Started(module.config, str(folder))


class _Started(Transformer):
  """A Transformer whose `init` reads its parameters."""

  folder: str

  @nn.nowrap
  def init(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """As `Module.init`; inside jit the parameters become arguments.

    Raises:
      ValueError: if the parameters are of other shapes than the module's.
    """
    variables = Transformer(self.config).init(*args, **kwargs)
    with jax.ensure_compile_time_eval():  # T5X calls this inside jit
      params = checkpoints.load_params_like(self.folder, variables['params'])
    return {**variables, 'params': jit_arguments.as_arguments(params)}
