# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Tables that grow: documents are added, and nothing that had a name gets another.

D is the number of documents, N of those that are added.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from genret.corpus import Document
from genret.docids.table import DocidTable

# Of a table's metadata: the rate of collisions before any rule was applied.
COLLIDED = 'collision_rate_before'


def table(
  documents: Sequence[Document],
  token_NxL: np.ndarray,
  lengths_N: np.ndarray,
  vocab_size: int,
  *,
  old: DocidTable | None = None,
  state: Mapping[str, np.ndarray] | None = None,
  collided: float | None = None,
) -> DocidTable:
  """The table of the documents, behind those of an old one where there is one.

  Args:
    documents: N documents, none of which the old table names.
    token_NxL: their identifiers, padded with 0.
    lengths_N: tokens in each.
    vocab_size: tokens that these need; the old table's stay.
    old: the table that grows.
    state: what the scheme needs to name more documents; the old one's where
      None.
    collided: the share of all documents that shared an identifier before the
      scheme told them apart; kept in `meta` under COLLIDED.
  """
  meta = {} if collided is None else {COLLIDED: collided}
  doc_ids = [document.doc_id for document in documents]
  if old is None:
    return DocidTable(
      doc_ids,
      token_NxL,
      lengths_N,
      vocab_size,
      meta=meta,
      state=dict(state or {}),
    )
  return DocidTable(
    [*old.doc_ids, *doc_ids],
    stacked(old.token_rows_DxL, token_NxL),
    np.concatenate([old.lengths_D, lengths_N]),
    max(vocab_size, old.vocab_size),
    eos_id=old.eos_id,
    meta=meta,
    state=old.state if state is None else state,
  )


def stacked(
  above_DxL: np.ndarray, below_NxM: np.ndarray, padding: int = 0
) -> np.ndarray:
  """Rows of two arrays under each other, the shorter ones padded."""
  width = max(above_DxL.shape[1], below_NxM.shape[1])
  return np.concatenate(
    [
      np.pad(
        rows,
        ((0, 0), (0, width - rows.shape[1])),
        constant_values=padding,
      )
      for rows in (above_DxL, below_NxM)
    ]
  )
