# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Documents under codes of a fixed number of positions, and what to do with equals.

Every position has tokens of its own. Documents with equal codes collide, and a
rule says what becomes of them:

| rule | |
|---|---|
| `token` | one more position numbers the documents of equal codes from 0, in the order of the corpus; it is there for all (TIGER, Rajput et al., NeurIPS 2023) |
| `share` | they keep one identifier; who finds it finds all, in the order of the corpus |

Residual codes have a third one, `sinkhorn`, in `residual`.

D is the number of documents, L of positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids.table import DocidTable

COLLISIONS = ('token', 'share')


class Usage(NamedTuple):
  """How evenly the tokens of a position are used.

  Attributes:
    used: tokens that some document has there.
    perplexity: exp of the entropy of the documents' tokens; `used` where all
      are as frequent, 1 where all documents have the same.
  """

  used: int
  perplexity: float


def code_table(
  documents: Sequence[Document],
  code_DxL: np.ndarray,
  sizes: Sequence[int],
  *,
  first_token: int,
  collisions: str = 'token',
) -> DocidTable:
  """Codes as tokens, from `first_token` on.

  Args:
    documents: D documents.
    code_DxL: int, the code of each position, column l in [0, sizes[l]).
    sizes: how many codes each position has.
    first_token: the first id that is free for identifiers.
    collisions: one of COLLISIONS.

  Raises:
    ValueError: for an unknown rule or codes out of range.
  """
  check_choice('collisions', collisions, COLLISIONS)
  code_DxL, sizes = np.asarray(code_DxL), list(sizes)
  if code_DxL.shape != (len(documents), len(sizes)):
    raise ValueError(
      f'Expected codes [{len(documents)}, {len(sizes)}], got '
      f'{list(code_DxL.shape)}; give a row for each document.'
    )
  if np.any((code_DxL < 0) | (code_DxL >= np.array(sizes, np.int64))):
    raise ValueError(
      f'Expected codes from 0 to below {sizes}, got {code_DxL.min(0)} to '
      f'{code_DxL.max(0)}; check how they were made.'
    )
  if collisions == 'token':
    number_D = numbers_of_equals(code_DxL)
    code_DxL = np.column_stack([code_DxL, number_D])
    sizes.append(int(number_D.max(initial=0)) + 1)
  offset_L = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, np.int64)
  token_DxL = (first_token + offset_L + code_DxL).astype(np.int32)
  return DocidTable(
    [document.doc_id for document in documents],
    token_DxL,
    np.full(len(documents), len(sizes), np.int32),
    vocabulary_lib.joint_size(first_token, sum(sizes)),
  )


def numbers_of_equals(row_DxL: np.ndarray) -> np.ndarray:
  """For each row, how many before it are equal to it, int64 [D]."""
  group_D = groups_of_equals(row_DxL)
  order_D = np.argsort(group_D, kind='stable')
  sorted_D = group_D[order_D]
  first_D = np.searchsorted(sorted_D, sorted_D, side='left')
  number_D = np.empty(len(group_D), np.int64)
  number_D[order_D] = np.arange(len(group_D)) - first_D
  return number_D


def groups_of_equals(row_DxL: np.ndarray) -> np.ndarray:
  """A number for each row, the same for equal rows, int64 [D]."""
  if not row_DxL.size:
    return np.zeros(len(row_DxL), np.int64)
  _, group_D = np.unique(row_DxL, axis=0, return_inverse=True)
  return group_D.reshape(-1).astype(np.int64)


def usage(table: DocidTable) -> list[Usage]:
  """How the tokens of each position of identifiers are used.

  A document whose identifier is shorter does not count at the positions behind
  its end.
  """
  found = []
  for position, token_D in enumerate(table.token_rows_DxL.T):
    inside_D = table.lengths_D > position
    counts = np.unique(token_D[inside_D], return_counts=True)[1]
    share = counts / max(counts.sum(), 1)
    entropy = -(share * np.log(share)).sum()
    found.append(Usage(len(counts), float(np.exp(entropy))))
  return found


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
  """Refuses what is no choice.

  Raises:
    ValueError: naming the choices.
  """
  if value not in choices:
    raise ValueError(
      f'Expected {name} of {", ".join(choices)}, got {value!r}; choose one.'
    )
