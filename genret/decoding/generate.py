# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From queries to beams: the model and the search in one compiled program."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from genret.decoding.beam import BeamSearchOutput, beam_search
from genret.decoding.sample import constrained_sample
from genret.models.t5 import Transformer, start_decoding
from genret.vocabulary import EOS_ID


@functools.partial(
  jax.jit,
  static_argnames=(
    'module',
    'num_beams',
    'max_length',
    'eos_id',
    'normalize',
    'length_penalty',
    'alpha',
    'keep_candidates',
    'num_groups',
    'diversity_penalty',
  ),
)
def generate(
  module: Transformer,
  params: Any,
  query_BxT: jax.Array,
  constraint: Any,
  *,
  num_beams: int,
  max_length: int,
  eos_id: int = EOS_ID,
  normalize: str = 'vocabulary',
  length_penalty: str = 'none',
  alpha: float = 1.0,
  keep_candidates: int = 0,
  num_groups: int = 1,
  diversity_penalty: float = 0.5,
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
    eos_id: the token that ends an answer, such as the mark behind a title.
    normalize: as `beam_search` takes it, and so the others.
    length_penalty: how answers of several lengths compare.
    alpha: exponent of the length penalty.
    keep_candidates: how many continuations of each step to return as well.
    num_groups: groups of diverse beam search.
    diversity_penalty: what a token costs that earlier groups chose.

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
    eos_id=eos_id,
    normalize=normalize,
    length_penalty=length_penalty,
    alpha=alpha,
    keep_candidates=keep_candidates,
    num_groups=num_groups,
    diversity_penalty=diversity_penalty,
  )


@functools.partial(
  jax.jit,
  static_argnames=(
    'module',
    'num_samples',
    'max_length',
    'temperature',
    'top_k',
    'top_p',
  ),
)
def generate_samples(
  module: Transformer,
  params: Any,
  query_BxT: jax.Array,
  constraint: Any,
  rng: jax.Array,
  *,
  num_samples: int,
  max_length: int,
  temperature: float = 1.0,
  top_k: int = 0,
  top_p: float = 1.0,
) -> BeamSearchOutput:
  """Draws answers to a batch of queries; see `constrained_sample`.

  Compiled once per shape, as `generate` is.

  Args:
    module: the model.
    params: its parameters.
    query_BxT: int32 token ids, padded with 0.
    constraint: as `beam_search` takes it.
    rng: a key of jax.random.
    num_samples: S, answers to each query.
    max_length: L, the longest output, end-of-sequence included.
    temperature: logits are divided by this.
    top_k: how many legal tokens to draw from; 0 for all.
    top_p: what the probabilities of those to draw from add up to.

  Returns:
    S answers per query, in the order drawn.
  """
  step, cache = start_decoding(
    module, params, query_BxT, num_beams=num_samples, max_length=max_length
  )
  return constrained_sample(
    step,
    cache,
    rng=rng,
    batch_size=query_BxT.shape[0],
    num_samples=num_samples,
    max_length=max_length,
    constraint=constraint,
    temperature=temperature,
    top_k=top_k,
    top_p=top_p,
  )


def generate_batches(
  module: Transformer,
  params: Any,
  query_QxT: np.ndarray,
  constraint: Any,
  *,
  batch_size: int,
  **options: Any,
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
    **options: what `generate` takes by name, num_beams and max_length among
      them.

  Yields:
    The beams of each batch in order, as NumPy arrays of at most B rows.
  """
  for first in range(0, len(query_QxT), batch_size):
    batch = query_QxT[first : first + batch_size]
    filled = np.zeros((batch_size, query_QxT.shape[1]), np.int32)
    filled[: len(batch)] = batch
    output = generate(module, params, filled, constraint, **options)
    yield _first_rows(output, len(batch))


def _first_rows(output: BeamSearchOutput, count: int) -> BeamSearchOutput:
  return jax.tree.map(lambda x: np.asarray(x)[:count], output)
