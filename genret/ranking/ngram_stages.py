# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The two stages of intersective scoring; see `ngrams` for what they compute.

K keys, Y occurrences of them, X documents, E pieces of evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genret.ranking import ngram_kernels, ngram_reading, ngram_weights
from genret.ranking.ngram_places import Places, ReleasedOrder
from genret.ranking.weighed_keys import WeighedKeys


class Reading(NamedTuple):
  """Documents that were read whole, best first, and what was found in them.

  Attributes:
    slot_X: the documents, see `ngram_places`.
    score_X: of each.
    best_X: the greatest weight of a key in each.
    begin_X, end_X: where the evidence of each is in the following.
    key_E, start_E, gain_E: see `ngram_reading.read_documents`.
  """

  slot_X: np.ndarray
  score_X: np.ndarray
  best_X: np.ndarray
  begin_X: np.ndarray
  end_X: np.ndarray
  key_E: np.ndarray
  start_E: np.ndarray
  gain_E: np.ndarray

  def contributions(
    self, x: int, single_key: float
  ) -> list[tuple[int, float, tuple[int, ...]]]:
    """What adds up to the score of the x-th document: key, gain, offsets.

    Args:
      x: its place.
      single_key: share of the best key alone.
    """
    mine = slice(int(self.begin_X[x]), int(self.end_X[x]))
    gains: dict[int, float] = {}
    offsets: dict[int, list[int]] = {}
    for key, start, gain in zip(
      self.key_E[mine].tolist(),
      self.start_E[mine].tolist(),
      self.gain_E[mine].tolist(),
      strict=True,
    ):
      gains.setdefault(key, gain)
      offsets.setdefault(key, []).append(start)
    if single_key:
      gains = {key: (1.0 - single_key) * gain for key, gain in gains.items()}
      # The best key comes first: nothing stands in its way.
      gains[next(iter(gains))] += single_key * float(self.best_X[x])
    return [(key, gain, tuple(offsets[key])) for key, gain in gains.items()]


def choose(
  places: Places,
  rare: WeighedKeys,
  *,
  beta: float,
  single_key: float,
  limit: int,
  released: ReleasedOrder | None,
) -> np.ndarray:
  """Stage 1: the documents that are worth to be read.

  Args:
    places: the index.
    rare: the keys whose occurrences are visited.
    beta: see `ngrams.Scoring`, as is single_key.
    single_key: share of the best key alone.
    limit: the most documents.
    released: to visit occurrences as SEAL's released code does.

  Returns:
    Slots, int64, best first.
  """
  if released is not None:  # Of equal weights, those that arrived first.
    rare = rare.take(np.lexsort((rare.arrival_K, -rare.weight_K)))
  length_K = rare.length_K
  found = places.locate(rare.rows, length_K)
  if released is None:
    fresh_Y = ngram_kernels.claim(*found, length_K)
  else:
    fresh_Y, visit_Y = released.fresh(found, length_K)
  slot_X, sum_X, best_X = ngram_reading.first_stage(
    rare.for_kernels(),
    found.key_Y,
    found.slot_Y,
    fresh_Y,
    beta,
    len(places.count_V),
  )
  score_X = (1.0 - single_key) * sum_X + single_key * best_X
  if released is not None and len(slot_X):
    # Of equal scores those that were visited first, not the least numbers.
    first_X = np.searchsorted(found.slot_Y, slot_X)
    order = np.argsort(np.minimum.reduceat(visit_Y, first_X))
    slot_X, score_X = slot_X[order], score_X[order]
  chosen = ngram_weights.best_ids(score_X, limit)
  return slot_X[chosen[np.argsort(-score_X[chosen], kind='stable')]]


def read(
  places: Places,
  weighed: WeighedKeys,
  slot_X: np.ndarray,
  *,
  beta: float,
  single_key: float,
  keep_order: bool,
) -> Reading:
  """Stage 2: scores documents by all that stands in them.

  Args:
    places: the index.
    weighed: all keys.
    slot_X: the documents.
    beta: see `ngrams.Scoring`, as is single_key.
    single_key: share of the best key alone.
    keep_order: equal scores stay in the order of slot_X; else, of slots.
  """
  keys = weighed.for_kernels()
  trie = ngram_reading.build_trie(
    keys.token, keys.start_K1, len(weighed.unigram_V)
  )
  sum_X, best_X = np.zeros((2, len(slot_X)))
  begin_X, end_X = np.zeros((2, len(slot_X)), np.int64)
  nothing = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)]
  parts, behind = [nothing], 0
  for s, mine, document_X in places.by_segment(slot_X):
    segment = places.segments[s]
    sum_X[mine], best_X[mine], end_Z, *part = ngram_reading.read_documents(
      segment.text,
      segment.start_D1,
      document_X,
      keys,
      trie,
      weighed.unigram_V,
      beta,
    )
    end_X[mine] = behind + end_Z
    begin_X[mine] = behind + np.append(0, end_Z[:-1])
    parts.append(part)
    behind += len(part[0])
  found = map(np.concatenate, zip(*parts, strict=True))
  score_X = (1.0 - single_key) * sum_X + single_key * best_X
  tie_X = np.arange(len(slot_X)) if keep_order else slot_X
  order = np.lexsort((tie_X, -score_X))
  columns = slot_X, score_X, best_X, begin_X, end_X
  return Reading(*(column[order] for column in columns), *found)


def best_key(places: Places, rare: WeighedKeys) -> Reading:
  """Documents by the best key that each has, as if they had been read.

  Args:
    places: the index.
    rare: the keys, by falling score.
  """
  found = places.locate(rare.rows, rare.length_K)
  # The best key of a document comes first in it: a run of occurrences.
  slot_X, begin_X = np.unique(found.slot_Y, return_index=True)
  changes = (np.diff(found.slot_Y) != 0) | (np.diff(found.key_Y) != 0)
  run = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(found.slot_Y)]])
  end_X = run[np.searchsorted(run, begin_X) + 1]
  score_X = rare.weight_K[found.key_Y[begin_X]]
  gain_Y = np.zeros(len(found.slot_Y))
  gain_Y[begin_X] = score_X
  order = np.lexsort((slot_X, -score_X))
  return Reading(
    slot_X[order],
    score_X[order],
    score_X[order],
    begin_X[order],
    end_X[order],
    found.key_Y,
    found.offset_Y,
    gain_Y,
  )
