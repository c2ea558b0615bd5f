# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Random identifiers: the control that every semantic scheme has to beat.

They have the form of residual codes and say nothing of the document, so that what
a scheme gains over them is due to its meaning and not to its length or branching.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret.corpus import Document
from genret.docids import codes
from genret.docids.table import DocidTable


def random_codes(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  levels: int = 3,
  k: int = 256,
) -> DocidTable:
  """Distinct identifiers of `levels` codes, all equally likely.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: not used.
    seed: of the draw.
    levels: codes of an identifier.
    k: codes of each position.

  Raises:
    ValueError: if there are fewer identifiers than documents.
  """
  del vocabulary, vectors
  if k < 1 or levels < 1:
    raise ValueError(
      f'Expected levels and k of at least 1, got levels={levels}, k={k}.'
    )
  if k**levels < len(documents):
    raise ValueError(
      f'Expected k^levels of at least {len(documents)} documents, got '
      f'{k}^{levels}; take more codes or levels.'
    )
  code_DxL = _distinct(len(documents), levels, k, np.random.default_rng(seed))
  return codes.code_table(
    documents,
    code_DxL,
    [k] * levels,
    first_token=first_token,
    collisions='share',
  )


def _distinct(
  count: int, levels: int, k: int, generator: np.random.Generator
) -> np.ndarray:
  """Rows without equals, in random order, int64 [count, levels]."""
  if k**levels <= 4 * count:  # Few are left over: draw from all of them.
    number = generator.permutation(k**levels)[:count]
    return np.stack(np.unravel_index(number, [k] * levels), 1)
  row_DxL = generator.integers(k, size=(count, levels))
  while len(again := np.flatnonzero(codes.numbers_of_equals(row_DxL))):
    row_DxL[again] = generator.integers(k, size=(len(again), levels))
  return row_DxL


SCHEMES = {'random-codes': random_codes}
