# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Vectors of texts from the encoder of a T5.

The mean of the encoder's states over the tokens of a text, of unit length: the
Sentence-T5 of Ni et al. (Findings of ACL 2022) without its projection. What
documents are clustered by, in place of the latent semantic analysis.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sentencepiece
from tqdm import tqdm

from genret import vocabulary as vocabulary_lib
from genret.embeddings import unit_rows
from genret.models.t5 import Transformer

# The shortest rows that a program is compiled for; others are twice as long as
# the next, so that there are few programs and little padding.
_SHORTEST = 16


@functools.partial(jax.jit, static_argnames='module')
def mean_states(
  module: Transformer, params: Any, token_BxT: jax.Array
) -> jax.Array:
  """The mean of the encoder's states, float32 [B, E].

  Args:
    module: the model.
    params: its parameters.
    token_BxT: int32, padded with 0; rows of padding alone give 0.
  """
  state_BxTxE: Any = module.apply(
    {'params': params}, token_BxT, enable_dropout=False, method='encode'
  )
  real_BxTx1 = (token_BxT > 0)[..., None]
  sum_BxE = jnp.where(real_BxTx1, state_BxTxE.astype(jnp.float32), 0.0).sum(1)
  return sum_BxE / jnp.maximum(real_BxTx1.sum(1), 1).astype(jnp.float32)


def text_vectors(
  module: Transformer,
  params: Any,
  vocabulary: sentencepiece.SentencePieceProcessor,
  texts: Sequence[str],
  *,
  max_length: int = 128,
  batch_size: int = 32,
  progress: bool = False,
) -> np.ndarray:
  """Encodes texts, those of about one length together.

  Args:
    module: the model.
    params: its parameters.
    vocabulary: the text pieces of the model.
    texts: N strings; an empty one is encoded as the end-of-sequence.
    max_length: tokens that are read of a text, end-of-sequence included.
    batch_size: texts at a time.
    progress: show a progress bar on standard error.

  Returns:
    float32 [N, E], rows of unit length, in the order of the texts.

  Raises:
    ValueError: if a number is below 1, or the vocabulary is larger than the
      model's.
  """
  if batch_size < 1:
    raise ValueError(f'Expected batch_size of at least 1, got {batch_size}.')
  vocabulary_lib.check_rows(vocabulary, module.config.vocab_size)
  # Checks max_length, and finds where each text belongs.
  vocabulary_lib.encode(vocabulary, [], max_length=max_length)
  size_N = np.array(
    [min(len(row) + 1, max_length) for row in vocabulary.encode(list(texts))],
    np.int64,
  )
  width_N = np.minimum(
    2 ** np.ceil(np.log2(np.maximum(size_N, _SHORTEST))).astype(int), max_length
  )
  vector_NxE = np.zeros((len(texts), module.config.emb_dim), np.float32)
  with tqdm(
    total=len(texts), desc='embed', unit='text', disable=not progress
  ) as bar:
    for width in np.unique(width_N):
      rows = np.flatnonzero(width_N == width)
      for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        token_BxT = vocabulary_lib.encode(
          vocabulary, [texts[i] for i in batch], max_length=int(width)
        )
        token_BxT = np.pad(token_BxT, ((0, batch_size - len(batch)), (0, 0)))
        mean_BxE = mean_states(module, params, token_BxT)
        vector_NxE[batch] = np.asarray(mean_BxE)[: len(batch)]
        bar.update(len(batch))
  return unit_rows(vector_NxE)
