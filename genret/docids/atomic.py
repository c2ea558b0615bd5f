# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Atomic identifiers: one new token per document.

DSI's unstructured atomic identifiers (Tay et al., NeurIPS 2022): the model
gets one output row per document and decoding is a single step.
"""

from collections.abc import Callable, Sequence

import numpy as np
import sentencepiece

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids import growth
from genret.docids.table import DocidTable


def atomic(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
  old: DocidTable | None = None,
) -> DocidTable:
  """Names document i by token `first_token + i`.

  Documents that are added take the tokens that follow.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: not used.
    seed: not used.
    old: the table that the documents are added to.
  """
  del vocabulary, vectors, seed
  taken = 0 if old is None else len(old)
  number_D = np.arange(taken, taken + len(documents), dtype=np.int32)
  return growth.table(
    documents,
    first_token + number_D[:, None],
    np.ones(len(documents), np.int32),
    vocabulary_lib.joint_size(first_token, taken + len(documents)),
    old=old,
  )


SCHEMES = {'atomic': atomic}
