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

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from genret import vocabulary as vocabulary_lib
from genret.corpus import Document
from genret.docids import growth
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
  old: DocidTable | None = None,
  state: Mapping[str, np.ndarray] | None = None,
  collided: float | None = None,
) -> DocidTable:
  """Codes as tokens, from `first_token` on.

  Args:
    documents: D documents.
    code_DxL: int, the code of each position, column l in [0, sizes[l]).
    sizes: how many codes each position has.
    first_token: the first id that is free for identifiers.
    collisions: one of COLLISIONS.
    old: a table of such codes that the documents are added to; under `token`
      their numbers go on behind those of its documents.
    state: as `growth.table` takes it.
    collided: likewise; that of the codes as they are where None.

  Raises:
    ValueError: for codes that do not fit, or an unknown rule.
  """
  check_choice('collisions', collisions, COLLISIONS)
  code_DxL = np.asarray(code_DxL, np.int64)
  sizes = list(sizes)
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
  taken_NxL = codes_of(old, sizes, first_token)
  if collided is None:
    collided = collision_rate(np.concatenate([taken_NxL, code_DxL]))
  if collisions == 'token':
    number_D = numbers_of_equals(np.concatenate([taken_NxL, code_DxL]))
    number_D = number_D[len(taken_NxL) :]
    code_DxL = np.column_stack([code_DxL, number_D])
    sizes.append(int(number_D.max(initial=0)) + 1)
  token_DxL = (first_token + _offsets(sizes) + code_DxL).astype(np.int32)
  return growth.table(
    documents,
    token_DxL,
    np.full(len(documents), len(sizes), np.int32),
    vocabulary_lib.joint_size(first_token, sum(sizes)),
    old=old,
    state=state,
    collided=collided,
  )


def collision_rate(row_DxL: np.ndarray) -> float:
  """The share of rows that are equal to another one, 0 where there are none."""
  if not len(row_DxL):
    return 0.0
  counts = np.bincount(groups_of_equals(row_DxL))
  return float(counts[counts > 1].sum() / len(row_DxL))


def codes_of(
  table: DocidTable | None, sizes: Sequence[int], first_token: int
) -> np.ndarray:
  """The codes that `code_table` made a table of, int64 [D, L], without numbers.

  Args:
    table: None stands for one of no documents.
    sizes: as `code_table` had them.
    first_token: likewise.
  """
  if table is None:
    return np.zeros((0, len(sizes)), np.int64)
  token_DxL = table.token_rows_DxL[:, : len(sizes)].astype(np.int64)
  return np.asarray(token_DxL - first_token - _offsets(sizes))


def _offsets(sizes: Sequence[int]) -> np.ndarray:
  """Where the codes of each position begin, int64 [L]."""
  return np.cumsum([0, *sizes], dtype=np.int64)[: len(sizes)]


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
  """A number for each row, the same for equal rows, int64 [D].

  Rows are numbered in the order of their values.
  """
  group_D = np.zeros(len(row_DxL), np.int64)
  # Column by column: sorting numbers is ten times as fast as sorting rows.
  for column_D in row_DxL.T:
    _, value_D = np.unique(column_D, return_inverse=True)
    joint_D = group_D * (int(value_D.max(initial=0)) + 1) + value_D
    _, group_D = np.unique(joint_D, return_inverse=True)
  return group_D.astype(np.int64)


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
