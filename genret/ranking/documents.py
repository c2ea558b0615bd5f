# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From decoded identifiers to ranked documents.

The rule, for one query:

* a hypothesis that is not legal, has score -inf, or is no identifier of the
  table counts for nothing;
* an identifier that several documents share stands for all of them, in table
  order and with equal scores;
* a document that several hypotheses name keeps its best score;
* best score first; equal scores in the order of the hypotheses.

With a separator a hypothesis is several identifiers (CorpusBrain, Chen et al.,
CIKM 2022), read from the left: each ends where the next separator begins.

* Each of them stands for its documents, with the score of the hypothesis: the
  identifiers of a hypothesis come in the order they are written, before those of
  the next hypothesis.
* One that is no identifier counts for nothing, the others beside it count.

Documents of one hypothesis have so equal scores and an order; `runs.trec_scores`
sets them apart, so that a TREC run keeps it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from genret.docids.table import DocidTable
from genret.runs import Hit

# Document indices and their scores, best first.
Ranking = tuple[np.ndarray, np.ndarray]


def rank_documents(
  tokens_BxKxL: ArrayLike,
  scores_BxK: ArrayLike,
  lengths_BxK: ArrayLike,
  legal_BxK: ArrayLike,
  table: DocidTable,
  *,
  limit: int | None = None,
  separator: Sequence[int] = (),
) -> list[Ranking]:
  """Maps the hypotheses of B queries to documents.

  Args:
    tokens_BxKxL: identifiers, with or without a closing eos.
    scores_BxK: larger is better; hypotheses may stand in any order.
    lengths_BxK: tokens of each hypothesis, its eos included where there is one.
    legal_BxK: False where the search found no hypothesis.
    table: what the tokens name.
    limit: the most documents for one query; None for all.
    separator: tokens between the identifiers of a hypothesis; none where each
      is one identifier.

  Returns:
    Per query (int64 document indices, scores), each document once, best first;
    empty arrays where no hypothesis names a document.

  Raises:
    ValueError: for shapes that do not fit, a score that is NaN and a negative
      limit.
  """
  if limit is not None and limit < 0:
    raise ValueError(
      f'expected a limit of 0 or more documents, found {limit}; use None for '
      'all of them.'
    )
  tokens_BxKxL, scores_BxK = np.asarray(tokens_BxKxL), np.asarray(scores_BxK)
  lengths_BxK, legal_BxK = np.asarray(lengths_BxK), np.asarray(legal_BxK, bool)
  _check(tokens_BxKxL, scores_BxK, lengths_BxK, legal_BxK)
  query_R, beam_R = np.nonzero(legal_BxK & (scores_BxK > -np.inf))
  score_R = scores_BxK[query_R, beam_R]
  row_I, tokens_IxL, lengths_I = _identifiers(
    tokens_BxKxL[query_R, beam_R], lengths_BxK[query_R, beam_R], separator
  )
  documents = table.documents(tokens_IxL, lengths_I)
  # One row per (hypothesis, identifier, document), M in all.
  row_M = np.repeat(row_I, [len(d) for d in documents])
  document_M = np.concatenate([np.zeros(0, np.int64), *documents])
  query_M, score_M = query_R[row_M], score_R[row_M]
  # Stable: hypotheses, identifiers in them, then documents in table order break
  # ties.
  order_M = np.lexsort((-score_M, query_M))
  query_M, document_M = query_M[order_M], document_M[order_M]
  score_M = score_M[order_M]
  _, first = np.unique(query_M * len(table) + document_M, return_index=True)
  first.sort()
  query_M, document_M, score_M = (
    query_M[first],
    document_M[first],
    score_M[first],
  )
  ends_B = np.searchsorted(query_M, np.arange(len(tokens_BxKxL)), side='right')
  starts_B = np.concatenate([[0], ends_B[:-1]])
  if limit is not None:
    ends_B = np.minimum(ends_B, starts_B + limit)
  return [
    (document_M[start:end], score_M[start:end])
    for start, end in zip(starts_B, ends_B, strict=False)
  ]


def are_identifiers(
  tokens_BxKxL: ArrayLike,
  lengths_BxK: ArrayLike,
  table: DocidTable,
  *,
  separator: Sequence[int] = (),
) -> np.ndarray:
  """Returns bool [B, K]: whether each hypothesis is an identifier, complete.

  With a separator, whether it is nothing but such identifiers.
  """
  tokens_BxKxL, lengths_BxK = np.asarray(tokens_BxKxL), np.asarray(lengths_BxK)
  row_I, tokens_IxL, lengths_I = _identifiers(
    tokens_BxKxL.reshape(-1, tokens_BxKxL.shape[-1]),
    lengths_BxK.reshape(-1),
    separator,
  )
  found = table.documents(tokens_IxL, lengths_I)
  known_I = np.fromiter((len(d) > 0 for d in found), bool, len(found))
  wrong_R = np.bincount(row_I[~known_I], minlength=lengths_BxK.size) > 0
  return ~wrong_R.reshape(lengths_BxK.shape)


def _identifiers(
  tokens_RxL: np.ndarray, lengths_R: np.ndarray, separator: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Cuts hypotheses at the separator.

  Returns:
    row_I, tokens_IxL, lengths_I: by hypothesis, then as they are written; each
    hypothesis has one more than separators.
  """
  count, width = tokens_RxL.shape
  size = len(separator)
  if not size or not count or size > width:
    return np.arange(count), tokens_RxL, lengths_R
  windows_RxWxS = np.lib.stride_tricks.sliding_window_view(tokens_RxL, size, 1)
  place_W = np.arange(width - size + 1)
  is_here_RxW = (windows_RxWxS == np.asarray(separator)).all(axis=2)
  is_here_RxW &= place_W + size <= lengths_R[:, None]
  # The first separator at or behind each place; L where there is none.
  next_RxL = np.full((count, width + 1), width)
  next_RxL[:, place_W] = np.where(is_here_RxW, place_W, width)
  next_RxL = np.minimum.accumulate(next_RxL[:, ::-1], axis=1)[:, ::-1]
  # A round for each identifier of the longest hypothesis.
  row_R, start_R = np.arange(count), np.zeros(count, np.int64)
  rows, starts, ends = [], [], []
  while len(row_R):
    end_R = next_RxL[row_R, start_R]
    goes_on_R = end_R < width
    rows.append(row_R)
    starts.append(start_R)
    ends.append(np.where(goes_on_R, end_R, lengths_R[row_R]))
    row_R, start_R = row_R[goes_on_R], end_R[goes_on_R] + size
  row_I, start_I, end_I = map(np.concatenate, (rows, starts, ends))
  order_I = np.argsort(row_I, kind='stable')
  row_I, start_I, end_I = row_I[order_I], start_I[order_I], end_I[order_I]
  column_IxL = np.minimum(start_I[:, None] + np.arange(width), width - 1)
  return row_I, tokens_RxL[row_I[:, None], column_IxL], end_I - start_I


def to_hits(
  rankings: Sequence[Ranking],
  query_ids: Sequence[str],
  doc_ids: Sequence[str],
  *,
  texts: Sequence[str] | None = None,
) -> dict[str, list[Hit]]:
  """Names the documents of each ranking.

  Args:
    rankings: one per query, from `rank_documents`.
    query_ids: in the same order.
    doc_ids: by document index, such as `table.doc_ids`.
    texts: by document index, what to show; such as the titles.

  Returns:
    `{query_id: [Hit, ...]}`, a query without documents included. Equal scores
    stay equal here; `runs.write_trec` sets them apart.
  """
  return {
    query_id: [
      Hit(doc_ids[i], float(score), '' if texts is None else texts[i])
      for i, score in zip(*ranking, strict=True)
    ]
    for query_id, ranking in zip(query_ids, rankings, strict=True)
  }


def _check(
  tokens_BxKxL: np.ndarray,
  scores_BxK: np.ndarray,
  lengths_BxK: np.ndarray,
  legal_BxK: np.ndarray,
) -> None:
  shapes = {scores_BxK.shape, lengths_BxK.shape, legal_BxK.shape}
  if tokens_BxKxL.ndim != 3 or shapes != {tokens_BxKxL.shape[:2]}:
    raise ValueError(
      'expected tokens [B, K, L] and scores, lengths and legal [B, K], found '
      f'{tokens_BxKxL.shape}, {scores_BxK.shape}, {lengths_BxK.shape} and '
      f'{legal_BxK.shape}; pass the arrays of one search.'
    )
  if np.any(np.isnan(scores_BxK) & legal_BxK):
    raise ValueError(
      'expected scores, found NaN for a legal hypothesis; look for the '
      'non-finite logits of the model.'
    )
