# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Vectors of texts from the encoder of a T5.

What documents are clustered by, in place of the latent semantic analysis, and what
a dual encoder searches (`models.pooling` says what a vector is).
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import sentencepiece
from tqdm import tqdm

from genret import vocabulary as vocabulary_lib
from genret.models import pooling
from genret.models.t5 import Transformer

# The shortest rows that a program is compiled for; others are twice as long as
# the next, so that there are few programs and little padding.
_SHORTEST = 16


# One program for each shape of a batch.
_unit_vectors = jax.jit(pooling.unit_vectors, static_argnames='module')


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
        vector_BxE = _unit_vectors(module, params, token_BxT)
        vector_NxE[batch] = np.asarray(vector_BxE)[: len(batch)]
        bar.update(len(batch))
  return vector_NxE
