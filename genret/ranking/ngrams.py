# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From n-grams to ranked documents, each with the n-grams that speak for it.

The scoring of SEAL (Bevilacqua et al., NeurIPS 2022). A model gives each of its
n-grams (keys) a log-probability; `ngram_weights` makes weights w of these, and
three modes make scores of documents:

| mode           | score of a document                                       |
|----------------|-----------------------------------------------------------|
| `lm`           | the log-probability of its best key                       |
| `lm+fm`        | w of its best key                                         |
| `intersective` | what all its keys add up to, in two stages; SEAL's best   |

*Stage 1* chooses documents. Rare keys, those with at most `max_occurrences`, are
visited by falling w^alpha. A key counts once in each document where one of its
occurrences has only tokens that no key before took, and takes these. It adds
w^alpha * cover, where

  cover = 1 - beta + beta * (its distinct tokens not yet counted) / (all of them)

and counted are the distinct tokens of the document's keys so far. *Stage 2* reads
the `fully_scored` best of them whole. Matches of all keys, frequent ones too, are
accepted by falling w^alpha where their tokens are free; a key that comes again
takes its tokens and adds nothing; cover is as above. Then each distinct token at
places that are still free adds its own weight times its cover, which now changes
no more. The score is (1 - single_key) * sum + single_key * (greatest w^alpha).

Everything is put in order by value, then by tokens or by the number of the
document: answers do not depend on the order in which keys arrive. SEAL's
released code differs in three ways, which `Scoring.as_released` brings back: ties
fall as keys and occurrences arrive; a key that arrives twice keeps the weight
that arrives last; and the places that stage 1 takes lie beside the occurrence,
see `ngram_places.ReleasedOrder`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genret.constraints.fm_index import FMIndex
from genret.ranking import ngram_stages, ngram_weights, weighed_keys
from genret.ranking.ngram_places import Places, ReleasedOrder
from genret.ranking.ngram_stages import Reading
from genret.ranking.weighed_keys import WeighedKeys

MODES = ('lm', 'lm+fm', 'intersective')

# Of what may not be any finite number of at least 0.
_RANGES = {
  'alpha': 'above 0',
  'unigram_alpha': 'above 0',
  'beta': 'from 0 to 1',
  'single_key': 'from 0 to 1',
  'gamma': 'from 0 to below 1',
}


@dataclasses.dataclass(frozen=True)
class Scoring:
  """How keys score documents; the defaults are SEAL's.

  Attributes:
    mode: one of MODES. The first two take no unigrams, and their documents come
      from rare keys only.
    alpha: exponent of the weights of keys.
    beta: discount, 0 to 1, of tokens that earlier keys of the document had.
    gamma: length penalty, 0 to below 1: log-probabilities are multiplied by
      (1 - gamma)^(length - 1), so that long keys look more probable.
    smoothing: what is added to the counts of the corpus; 0 in the paper.
    single_key: share, 0 to 1, of the best key alone in a score.
    max_occurrences: keys that occur more often find no documents.
    max_count: keys that occur more often are left out.
    fully_scored: documents that stage 2 reads.
    unigram_limit: the most probable tokens of the vocabulary, which may weigh.
    add_best_unigrams: take the weightiest tokens among the keys, too, as many
      as there are keys.
    frequencies: weigh by the corpus, see `ngram_weights`; if not, by the
      log-probability alone.
    unigram_alpha: exponent of the weights of tokens, which is 1 in SEAL's code
      and alpha in its paper; without frequencies, it is alpha in both.
    as_released: break ties and take places as SEAL's released code does; in
      mode 'intersective'. Takes some 30 bytes of memory a token of the corpus,
      and time in proportion to it at the first query.
  """

  mode: str = 'intersective'
  alpha: float = 2.0
  beta: float = 0.8
  gamma: float = 0.0
  smoothing: float = 5.0
  single_key: float = 0.0
  max_occurrences: int = 1500
  max_count: int = 10_000_000
  fully_scored: int = 1500
  unigram_limit: int = 5000
  add_best_unigrams: bool = True
  frequencies: bool = True
  unigram_alpha: float = 1.0
  as_released: bool = False

  def __post_init__(self) -> None:
    if self.mode not in MODES:
      raise ValueError(
        f'Expected a mode among {", ".join(MODES)}, got {self.mode!r}; choose '
        'one.'
      )
    limits = {'beta': 1.0, 'single_key': 1.0, 'gamma': math.nextafter(1.0, 0.0)}
    for name, value in dataclasses.asdict(self).items():
      if isinstance(value, str | bool):
        continue
      least = math.ulp(0.0) if name.endswith('alpha') else 0
      most = limits.get(name, math.inf)
      if not least <= value <= most or value == math.inf:
        raise ValueError(
          f'Expected {name} {_RANGES.get(name, "of at least 0")}, got {value}; '
          'see Scoring.'
        )


class Evidence(NamedTuple):
  """A key that speaks for a document.

  Attributes:
    tokens: of the key.
    log_probability: what the model gave it.
    count: how often the corpus has it.
    contribution: what it adds to the score.
    offsets: where the document has it: offsets of its first token in the row.
  """

  tokens: tuple[int, ...]
  log_probability: float
  count: int  # type: ignore[assignment]  # tuples count, too
  contribution: float
  offsets: tuple[int, ...]


class ScoredDocument(NamedTuple):
  """A document, by its number in the index.

  Attributes:
    document: the number.
    score: larger is better.
    evidence: greatest contribution first; contributions sum to the score.
  """

  document: int
  score: float
  evidence: tuple[Evidence, ...] = ()


class NgramScorer:
  """Ranks the documents of an index by the keys of a query.

  An index that keeps every position (`FMIndex.build(sample_rate=1)`) is many
  times as fast here. It may change between queries.
  """

  def __init__(
    self,
    index: FMIndex,
    scoring: Scoring | None = None,
    *,
    ignored: Sequence[int] = (),
  ) -> None:
    """Reads nothing yet.

    Args:
      index: the corpus.
      scoring: how keys score documents; None for SEAL's defaults.
      ignored: tokens that weigh nothing alone: marks, padding and the like.
    """
    self.index = index
    self.scoring = scoring or Scoring()
    self.ignored = tuple(ignored)
    self._places: Places | None = None
    self._released: ReleasedOrder | None = None

  def score(
    self,
    keys: Sequence[Sequence[int] | np.ndarray],
    log_probabilities: Sequence[float] | np.ndarray,
    unigram_log_probabilities: np.ndarray | None,
    k: int,
    *,
    evidence: bool = True,
  ) -> list[ScoredDocument]:
    """Ranks documents for one query.

    Args:
      keys: n-grams; empty ones say nothing, and one that comes twice counts
        with its greatest log-probability.
      log_probabilities: what the model gives each; against the corpus, what is
        above 0 counts as 0. A key of -inf says nothing.
      unigram_log_probabilities: [V], what the model gives each token as the
        first of a key; None for no weights of single tokens.
      k: the most documents to return. The mode 'intersective' returns no more
        than `fully_scored`.
      evidence: say by what each was found.

    Returns:
      Documents that have a rare key which weighs something, best first; equal
      scores in the order of their numbers.

    Raises:
      ValueError: for shapes that do not fit, a number that is NaN, keys that
        are not of integers and a negative k.
    """
    if k < 0:
      raise ValueError(
        f'Expected k of 0 or more documents, got {k}; pass how many you want.'
      )
    weighed = self.weigh(keys, log_probabilities, unigram_log_probabilities)
    if self.scoring.mode == 'intersective':
      reading = self.read(weighed, self.choose(weighed))
    else:
      weighed = self._rare(weighed)
      reading = ngram_stages.best_key(self._at_present(), weighed)
    return self.documents(weighed, reading, k, evidence=evidence)

  # The steps of `score`, apart for those who measure them.

  def weigh(
    self,
    keys: Sequence[Sequence[int] | np.ndarray],
    log_probabilities: Sequence[float] | np.ndarray,
    unigram_log_probabilities: np.ndarray | None,
  ) -> WeighedKeys:
    """Counts keys and gives them weights; the arguments are those of `score`."""
    scoring, places = self.scoring, self._at_present()
    tokens, log_prob_K = weighed_keys.arrived(keys, log_probabilities)
    log_prob_V = self._checked_unigrams(unigram_log_probabilities)
    if not scoring.as_released:
      tokens, log_prob_K = weighed_keys.without_repeats(tokens, log_prob_K)
    token, start_K1 = weighed_keys.flat(tokens)
    rows = places.rows(token, start_K1)
    count_K, length_K = places.counts(rows), np.diff(start_K1)
    weighed = WeighedKeys(
      tokens,
      log_prob_K,
      count_K,
      self._weights(log_prob_K, length_K, count_K),
      np.arange(len(tokens)),
      rows,
      unigram_V=np.zeros(self.index.vocab_size),
      unigram_log_prob_V=np.zeros(0) if log_prob_V is None else log_prob_V,
      unigram_count_V=places.count_V,
    )
    if scoring.mode == 'lm':
      live_K = (count_K > 0) & (log_prob_K > -np.inf)
    else:
      if log_prob_V is not None and scoring.mode == 'intersective':
        weighed = self._with_unigrams(weighed, log_prob_V)
      live_K = weighed.weight_K > 0
    return weighed.in_order(live_K & (weighed.count_K <= scoring.max_count))

  def choose(self, weighed: WeighedKeys) -> np.ndarray:
    """Stage 1: the documents to read, as `ngram_stages.choose` has them."""
    places = self._at_present()
    if self.scoring.as_released and self._released is None:
      self._released = ReleasedOrder(places)
    return ngram_stages.choose(
      places,
      self._rare(weighed),
      beta=self.scoring.beta,
      single_key=self.scoring.single_key,
      limit=self.scoring.fully_scored,
      released=self._released,
    )

  def read(self, weighed: WeighedKeys, slot_X: np.ndarray) -> Reading:
    """Stage 2: reads the documents that `choose` gave."""
    return ngram_stages.read(
      self._at_present(),
      weighed,
      slot_X,
      beta=self.scoring.beta,
      single_key=self.scoring.single_key,
      keep_order=self.scoring.as_released,
    )

  def documents(
    self, weighed: WeighedKeys, reading: Reading, k: int, *, evidence: bool
  ) -> list[ScoredDocument]:
    """The k best documents that were read, under their numbers."""
    numbers = self._at_present().numbers(reading.slot_X[:k]).tolist()
    scores = reading.score_X[:k].tolist()
    if not evidence:
      return list(map(ScoredDocument, numbers, scores))
    # A single best key is all of a score in the other modes.
    intersective = self.scoring.mode == 'intersective'
    share = self.scoring.single_key if intersective else 0.0
    return [
      ScoredDocument(number, score, _evidence(weighed, reading, x, share))
      for x, (number, score) in enumerate(zip(numbers, scores, strict=True))
    ]

  def _at_present(self) -> Places:
    """The index as it is now."""
    if self._places is None or self._places.segments is not self.index.segments:
      self._places, self._released = Places(self.index), None
    return self._places

  def _rare(self, weighed: WeighedKeys) -> WeighedKeys:
    rare_K = weighed.count_K <= self.scoring.max_occurrences
    return weighed.take(np.flatnonzero(rare_K))

  def _weights(
    self, log_prob_K: np.ndarray, length_K: np.ndarray, count_K: np.ndarray
  ) -> np.ndarray:
    """By what keys are ordered in this mode."""
    scoring = self.scoring
    if scoring.mode == 'lm':
      return ngram_weights.penalised(log_prob_K, length_K, scoring.gamma)
    weight_K = ngram_weights.key_weights(
      log_prob_K,
      length_K,
      count_K,
      num_tokens=self._at_present().num_tokens,
      smoothing=scoring.smoothing,
      gamma=scoring.gamma,
      frequencies=scoring.frequencies or scoring.mode == 'lm+fm',
    )
    return weight_K if scoring.mode == 'lm+fm' else weight_K**scoring.alpha

  def _with_unigrams(
    self, weighed: WeighedKeys, log_prob_V: np.ndarray
  ) -> WeighedKeys:
    """Keys and what single tokens weigh, the best of them as keys, too."""
    scoring, places = self.scoring, self._at_present()
    alone = [key[0] for key in weighed.tokens if len(key) == 1]
    floor = ngram_weights.floor_of(weighed.log_prob_K)
    unigram_V = ngram_weights.unigram_weights(
      log_prob_V,
      places.count_V,
      without=np.array([*self.ignored, *alone], np.int64),
      limit=scoring.unigram_limit,
      floor=None if scoring.frequencies else floor,
      num_tokens=places.num_tokens,
      smoothing=scoring.smoothing,
      exponent=scoring.unigram_alpha if scoring.frequencies else scoring.alpha,
    )
    weighed = weighed._replace(unigram_V=unigram_V)
    if not scoring.add_best_unigrams:
      return weighed
    best_X = np.flatnonzero(unigram_V)
    best_X = best_X[np.argsort(-unigram_V[best_X], kind='stable')]
    best_X = best_X[: len(weighed.tokens)]
    rows = places.rows(best_X, np.arange(len(best_X) + 1))
    return weighed.with_tokens(
      best_X,
      log_prob_V[best_X],
      places.count_V[best_X],
      unigram_V[best_X],
      rows,
    )

  def _checked_unigrams(
    self, log_prob_V: np.ndarray | None
  ) -> np.ndarray | None:
    if log_prob_V is None:
      return None
    log_prob_V = np.asarray(log_prob_V, np.float64)
    if log_prob_V.shape != (self.index.vocab_size,):
      raise ValueError(
        'Expected a log-probability for each of the '
        f'{self.index.vocab_size} tokens of the vocabulary, got shape '
        f'{log_prob_V.shape}; index and model must have one vocabulary.'
      )
    if np.isnan(log_prob_V).any():
      raise ValueError(
        'Expected log-probabilities of tokens, got NaN for token '
        f'{int(np.isnan(log_prob_V).argmax())}; look for non-finite logits of '
        'the model.'
      )
    return log_prob_V


def _evidence(
  weighed: WeighedKeys, reading: Reading, x: int, single_key: float
) -> tuple[Evidence, ...]:
  """What adds up to the score of the x-th document."""
  found = [
    Evidence(*weighed.described(key), gain, offsets)
    for key, gain, offsets in reading.contributions(x, single_key)
  ]
  return tuple(sorted(found, key=lambda e: (-e.contribution, e.tokens)))
