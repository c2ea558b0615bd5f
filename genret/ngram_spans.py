# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Spans of a passage, drawn for training n-gram retrievers.

A span for a query starts where the passage is worded like the query (SEAL,
Bevilacqua et al., NeurIPS 2022). Let the n-grams of a text be those of `window`
words (fewer at its end) from each word. A start that is no stop word is drawn
with probability softmax(s / temperature), s being the sum over the n-grams of
the query of their similarity in characters with the n-gram that starts there,
between 0 and 1 (the normalised indel similarity).

W is the number of words of a passage.
"""

import bisect
from collections.abc import Collection, Sequence

import numpy as np

# The list of NLTK, which the released programs use.
from bm25s.stopwords import STOPWORDS_EN_PLUS

STOP_WORDS = frozenset(STOPWORDS_EN_PLUS)


def span_starts(
  query: str,
  words: Sequence[str],
  *,
  window: int = 3,
  temperature: float = 1.0,
  stop_words: Collection[str] = STOP_WORDS,
) -> np.ndarray:
  """How likely a span starts at each word of a passage, float64 [W].

  Where no word can start a span, or none shares a character with the query, the
  first word does.

  Args:
    query: in words.
    words: W words of the passage, at least one.
    window: words of the n-grams that are compared.
    temperature: divides the sums of similarities.
    stop_words: in lower case, words that no span starts with; a set is fastest.
  """
  # Of the extra [train], which the rest of this module can do without.
  from rapidfuzz import fuzz, process

  lower = [word.lower() for word in words]
  starts = [i for i, word in enumerate(lower) if word not in stop_words]
  asked = query.lower().split()
  probability_W = np.zeros(len(words))
  similarity = np.zeros(len(starts))
  if starts and asked:
    similarity = process.cdist(
      [' '.join(asked[i : i + window]) for i in range(len(asked))],
      [' '.join(lower[i : i + window]) for i in starts],
      scorer=fuzz.ratio,
      dtype=np.float64,
    ).sum(0)
  if not similarity.any():
    probability_W[0] = 1.0
    return probability_W
  logit = similarity / (100 * temperature)
  weight = np.exp(logit - logit.max())
  probability_W[starts] = weight / weight.sum()
  return probability_W


def spans_for(
  query: str,
  words: Sequence[str],
  count: int,
  rng: np.random.Generator,
  *,
  min_words: int,
  max_words: int,
  window: int,
  temperature: float,
  stop_words: Collection[str] = STOP_WORDS,
) -> list[str]:
  """Spans of a passage for a query, drawn with replacement.

  Args:
    query: in words.
    words: those of the passage; none give no spans.
    count: how many spans.
    rng: what draws.
    min_words: of a span; fewer only where the passage ends.
    max_words: the most.
    window: as for `span_starts`.
    temperature: likewise.
    stop_words: likewise.
  """
  if not words or not count:
    return []
  probability_W = span_starts(
    query,
    words,
    window=window,
    temperature=temperature,
    stop_words=stop_words,
  )
  cumulative_W = np.cumsum(probability_W)
  # Divided by its end, so that no draw falls behind the last possible start.
  starts = np.searchsorted(
    cumulative_W / cumulative_W[-1], rng.random(count), side='right'
  ).tolist()
  lengths = rng.integers(min_words, max_words + 1, size=count).tolist()
  return [
    ' '.join(words[start : start + length])
    for start, length in zip(starts, lengths, strict=True)
  ]


def good_starts(
  words: Sequence[str], stop_words: Collection[str] = STOP_WORDS
) -> list[int]:
  """Where a span may start that is worth writing by itself, ascending.

  Not at a stop word (in lower case), at what ends a sentence or opens a bracket, and not at what
  has neither letter nor digit.
  """
  return [
    i
    for i, word in enumerate(words)
    if word.lower() not in stop_words
    and word[-1] not in '.?!'
    and word[0] not in '(['
    and any(map(str.isalnum, word))
  ]


def span_from(
  words: Sequence[str],
  starts: Sequence[int],
  lengths: tuple[int, int],
  rng: np.random.Generator,
) -> tuple[int, str]:
  """Draws a span; one that starts at a given place, and ends within the passage.

  Args:
    words: those of the passage.
    starts: possible starts, ascending; of a passage that is shorter than the
      span, only the first word may be one.
    lengths: fewest and most words, all as likely.
    rng: what draws.

  Returns:
    Where it starts, and the span; '' if it can start nowhere.
  """
  length = int(rng.integers(lengths[0], lengths[1] + 1))
  possible = bisect.bisect_right(starts, max(0, len(words) - length))
  if not possible:
    return 0, ''
  start = starts[int(rng.integers(possible))]
  return start, ' '.join(words[start : start + length])
