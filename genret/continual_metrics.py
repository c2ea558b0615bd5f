# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What a retriever keeps, gains and loses as documents come in sessions.

All is told from a matrix: P[t, i] is some measure (R-precision, say) on the queries
of session i, `sessions.of_query`, after training session t. T is their number, and
they are counted from 0, the base. P is known for i <= t; what stands above the
diagonal may be NaN. It is known where documents can be named before they are
trained on, as titles can.

| measure | of sessions 0 to T - 1 | source |
|---|---|---|
| average performance | mean over i of P[T-1, i] | ACC of Lopez-Paz & Ranzato; A_k of Chaudhry et al. |
| backward transfer | mean over i < T - 1 of P[T-1, i] - P[i, i] | BWT of Lopez-Paz & Ranzato |
| forgetting | mean over i < T - 1 of max over t < T - 1 of P[t, i] - P[T-1, i] | F_k of Chaudhry et al. |
| forward transfer | mean over i > 0 of P[i-1, i] - before[i] | FWT of Lopez-Paz & Ranzato |
| learning performance | mean over i > 0 of P[i, i] | LA of DSI++ (Mehta et al.) |

Lopez-Paz & Ranzato, NeurIPS 2017 (GEM), https://arxiv.org/abs/1706.08840; Chaudhry et
al., ECCV 2018, https://arxiv.org/abs/1801.10112; Mehta et al., EMNLP 2023,
https://arxiv.org/abs/2212.09744. CorpusBrain++ (Guo et al., 2024, https://arxiv.org/
abs/2402.16767) reports an average performance and both transfers; its formulas were
not at hand, so that its figures may be of other definitions than these. Forgetting
is 0 or more only where something was lost: a session that got better has a negative
one, as in its paper.

A mean over no session is NaN: of one session there is nothing to forget.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class ContinualScores(NamedTuple):
  """The measures of the table, NaN where there is none.

  Attributes:
    average_performance: on all sessions, now.
    backward_transfer: what later sessions changed for earlier ones.
    forgetting: how far earlier ones are below their best.
    forward_transfer: what earlier sessions gave one before it was trained on.
    learning_performance: on each later session, right after it.
  """

  average_performance: float
  backward_transfer: float
  forgetting: float
  forward_transfer: float
  learning_performance: float


def average_performance(performance_TxT: ArrayLike) -> float:
  """The mean over sessions after the last one.

  Args:
    performance_TxT: P, see above; higher is better.

  Raises:
    ValueError: it is no square matrix of numbers on and below the diagonal. So
      do all measures.
  """
  return _mean(_checked(performance_TxT)[-1])


def backward_transfer(performance_TxT: ArrayLike) -> float:
  """How much sessions are better after the last one than after their own.

  Args:
    performance_TxT: P.
  """
  performance_TxT = _checked(performance_TxT)
  own_T = performance_TxT.diagonal()
  return _mean((performance_TxT[-1] - own_T)[:-1])


def forgetting(performance_TxT: ArrayLike) -> float:
  """How much sessions were better at their best than after the last one.

  Args:
    performance_TxT: P; what stands above the diagonal counts where it is known.
  """
  performance_TxT = _checked(performance_TxT)
  earlier_SxT = performance_TxT[:-1]
  best_T = np.fmax.reduce(earlier_SxT, axis=0, initial=-np.inf)
  return _mean((best_T - performance_TxT[-1])[:-1])


def forward_transfer(
  performance_TxT: ArrayLike, before_T: ArrayLike | None = None
) -> float:
  """How much better a session is found before it is trained on than by no training.

  Args:
    performance_TxT: P, with P[i-1, i]: after session i - 1 the documents of session
      i can be found, and were not trained on.
    before_T: of a model before any training; None for 0, as a random one has about
      that.

  Returns:
    NaN where P[i-1, i] is not known for some i.

  Raises:
    ValueError: also for another number of values before.
  """
  performance_TxT = _checked(performance_TxT)
  count = len(performance_TxT)
  before_T = np.asarray(np.zeros(count) if before_T is None else before_T)
  if before_T.shape != (count,):
    raise ValueError(
      f'Expected a value before training for each of {count} sessions, got '
      f'shape {before_T.shape}; give one a session.'
    )
  return _mean(performance_TxT.diagonal(1) - before_T[1:])


def learning_performance(performance_TxT: ArrayLike) -> float:
  """The mean over later sessions, each right after it was trained on.

  Args:
    performance_TxT: P.
  """
  return _mean(_checked(performance_TxT).diagonal()[1:])


def evaluate(
  performance_TxT: ArrayLike, before_T: ArrayLike | None = None
) -> list[ContinualScores]:
  """All measures after each session: those of the first sessions alone.

  Args:
    performance_TxT: P.
    before_T: as for `forward_transfer`.

  Raises:
    ValueError: as each measure.
  """
  performance_TxT = _checked(performance_TxT)
  forward_transfer(performance_TxT, before_T)  # checks that they fit
  before_T = None if before_T is None else np.asarray(before_T)
  found = []
  for count in range(1, len(performance_TxT) + 1):
    part = performance_TxT[:count, :count]
    start = None if before_T is None else before_T[:count]
    found.append(
      ContinualScores(
        average_performance(part),
        backward_transfer(part),
        forgetting(part),
        forward_transfer(part, start),
        learning_performance(part),
      )
    )
  return found


def _checked(performance_TxT: ArrayLike) -> np.ndarray:
  found = np.asarray(performance_TxT, np.float64)
  if found.ndim != 2 or not found.size or found.shape[0] != found.shape[1]:
    raise ValueError(
      'Expected a row and a column for each of one or more sessions, got shape '
      f'{found.shape}; give P[t, i] for the session t and the queries i.'
    )
  row, column = np.nonzero(~np.isfinite(np.tril(found)))
  if len(row):
    raise ValueError(
      f'Expected a number for the queries of session {column[0]} after session '
      f'{row[0]}, got {found[row[0], column[0]]}; measure it.'
    )
  return found


def _mean(values: np.ndarray) -> float:
  return float(values.mean()) if len(values) else float('nan')
