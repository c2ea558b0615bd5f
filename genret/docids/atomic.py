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
from genret.docids.table import DocidTable


def atomic(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  vectors: Callable[[], np.ndarray] | None = None,
  seed: int = 0,
) -> DocidTable:
  """Names document i by token `text pieces + i`.

  Args:
    documents: D documents.
    vocabulary: the text pieces that come before the identifier tokens.
    vectors: not used.
    seed: not used.
  """
  del vectors, seed
  pieces = vocabulary.get_piece_size()
  token_Dx1 = pieces + np.arange(len(documents), dtype=np.int32)[:, None]
  return DocidTable(
    [document.doc_id for document in documents],
    token_Dx1,
    np.ones(len(documents), np.int32),
    vocabulary_lib.joint_size(pieces, len(documents)),
  )


SCHEMES = {'atomic': atomic}
