# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From queries to beams: the model and the search in one compiled program."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from genret.decoding.beam import BeamSearchOutput, beam_search
from genret.models.t5 import Transformer, start_decoding


@functools.partial(
  jax.jit, static_argnames=('module', 'num_beams', 'max_length', 'normalize')
)
def generate(
  module: Transformer,
  params: Any,
  query_BxT: jax.Array,
  constraint: Any,
  *,
  num_beams: int,
  max_length: int,
  normalize: str = 'vocabulary',
) -> BeamSearchOutput:
  """Decodes a batch of queries under a constraint.

  Compiled once per shape; parameters and constraint are arguments of the
  compiled program, so new weights or identifiers do not compile again.

  Args:
    module: the model.
    params: its parameters.
    query_BxT: int32 token ids, padded with 0.
    constraint: as `beam_search` takes it.
    num_beams: K.
    max_length: L, the longest output, end-of-sequence included.
    normalize: as `beam_search` takes it.

  Returns:
    K hypotheses per query, best first.
  """
  step, cache = start_decoding(
    module, params, query_BxT, num_beams=num_beams, max_length=max_length
  )
  return beam_search(
    step,
    cache,
    batch_size=query_BxT.shape[0],
    num_beams=num_beams,
    max_length=max_length,
    constraint=constraint,
    normalize=normalize,
  )


def generate_batches(
  module: Transformer,
  params: Any,
  query_QxT: np.ndarray,
  constraint: Any,
  *,
  batch_size: int,
  num_beams: int,
  max_length: int,
  normalize: str = 'vocabulary',
) -> Iterator[BeamSearchOutput]:
  """Decodes any number of queries in batches of one shape.

  The last batch is filled up with empty queries, whose beams are cut off
  again, so that nothing compiles a second time.

  Args:
    module: the model.
    params: its parameters.
    query_QxT: int32 token ids, padded with 0.
    constraint: as `beam_search` takes it.
    batch_size: B, queries decoded at a time.
    num_beams: K.
    max_length: L.
    normalize: as `beam_search` takes it.

  Yields:
    The beams of each batch in order, as NumPy arrays of at most B rows.
  """
  for first in range(0, len(query_QxT), batch_size):
    batch = query_QxT[first : first + batch_size]
    filled = np.zeros((batch_size, query_QxT.shape[1]), np.int32)
    filled[: len(batch)] = batch
    output = generate(
      module,
      params,
      filled,
      constraint,
      num_beams=num_beams,
      max_length=max_length,
      normalize=normalize,
    )
    yield _first_rows(output, len(batch))


def _first_rows(output: BeamSearchOutput, count: int) -> BeamSearchOutput:
  return jax.tree.map(lambda x: np.asarray(x)[:count], output)
