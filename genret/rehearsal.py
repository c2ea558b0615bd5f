# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Rehearsal contents: parts of a document that a model learns its identifier from.

SE-DSI (Tang et al., KDD 2023, https://arxiv.org/abs/2305.15115) trains on the
document, on some of its passages and on some of its sentences. Which ones is the
`choice`: `leading`, the first; `summary`, the best by TextRank (Mihalcea and Tarau,
EMNLP 2004); `random`, its control.
"""

import functools
import hashlib
import re
import string
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse

# A passage has so many sentences, and so many are skipped before the next one.
PASSAGE_SENTENCES, SKIPPED_SENTENCES = 5, 2

CHOICES = ('leading', 'summary', 'random')
KINDS = ('passages', 'sentences')

# SE-DSI: 3 leading passages and 6 leading sentences, 1 and 6 of a summary.
_COUNTS = {
  ('leading', 'passages'): 3,
  ('leading', 'sentences'): 6,
  ('summary', 'passages'): 1,
  ('summary', 'sentences'): 6,
  ('random', 'passages'): 1,
  ('random', 'sentences'): 6,
}

# What ends a sentence, with quotes and brackets that close behind it: the rule of
# spaCy's sentencizer, which the paper uses, without its tokenizer, so that an
# abbreviation ends a sentence, too. A trained splitter would cost more than the
# rest of the preparation, for parts that need not be well-formed.
_END = re.compile(
  '(?<=[.!?\u2026\u3002\uff01\uff1f])["\'\u201d\u2019)\\]]*\\s+'
)
_DIGITS = re.compile('[0-9]+')
_PUNCTUATION = re.compile(f'[{re.escape(string.punctuation)}]+')

_DAMPING = 0.85
# Far below what tells two units apart; 0.85^200 is below 1e-14, what is left of
# the start.
_TOLERANCE, _MOST_STEPS = 1e-12, 200


def sentences(text: str) -> list[str]:
  """The sentences of a text, none of them empty.

  A mark of sentence end that white space follows ends one, and so does a blank
  line.
  """
  found = []
  for block in re.split(r'\n\s*\n', text):
    start = 0
    for match in _END.finditer(block):
      closing = match.group().rstrip()
      found.append(block[start : match.start()] + closing)
      start = match.end()
    found.append(block[start:])
  return [s for s in (' '.join(part.split()) for part in found) if s]


def passages(of: Sequence[str]) -> list[str]:
  """Windows of PASSAGE_SENTENCES sentences with gaps of SKIPPED_SENTENCES.

  Whole windows only; sentences that make no whole window are one passage.

  Args:
    of: sentences in order.
  """
  if not of:
    return []
  step = PASSAGE_SENTENCES + SKIPPED_SENTENCES
  starts = range(0, max(len(of) - PASSAGE_SENTENCES, 0) + 1, step)
  return [' '.join(of[start : start + PASSAGE_SENTENCES]) for start in starts]


def check(kind: str, choice: str) -> None:
  """Refuses another kind than one of KINDS, or choice than one of CHOICES.

  Raises:
    ValueError: naming them.
  """
  if (choice, kind) not in _COUNTS:
    raise ValueError(
      f'Expected one of {", ".join(CHOICES)} of {" or ".join(KINDS)}, got '
      f'{choice!r} of {kind!r}.'
    )


def contents(text: str, kind: str, choice: str, *, key: str = '') -> list[str]:
  """The passages or sentences of a document to rehearse, in text order.

  As many as the paper has: 3 leading passages (1 where there are fewer), 1 by
  summary or at random, and 6 sentences; fewer where the document has fewer.

  Args:
    text: of the document.
    kind: one of KINDS.
    choice: one of CHOICES.
    key: what the random choice depends on besides the text, such as the id.

  Raises:
    ValueError: for another kind or choice.
  """
  check(kind, choice)
  units = sentences(text)
  if kind == 'passages':
    units = passages(units)
  count = _COUNTS[choice, kind]
  if choice == 'leading':
    few = kind == 'passages' and len(units) < count
    return units[: 1 if few else count]
  if len(units) <= count:
    return units
  if choice == 'summary':
    score_U = textrank(units)
  else:
    digest = hashlib.sha256(f'{key} {text}'.encode()).digest()
    seed = int.from_bytes(digest[:8], 'big')
    score_U = np.random.default_rng(seed).random(len(units))
  best = np.argsort(-score_U, kind='stable')[:count]
  return [units[i] for i in sorted(best)]


def textrank(units: Sequence[str]) -> np.ndarray:
  """PageRank of sentences or passages, float64 [U]: those of `summa`, to scale.

  The paper takes the library `summa`, so its words count, and how near units are:
  words in common over the sum of the logarithms of the numbers of words. Units of
  the same words are one, and one without neighbours passes its rank to all alike.
  Its ranks are found by powers of a sparse matrix here, since the library takes
  loops over pairs of units and all eigenvectors.

  Args:
    units: texts, in English.

  Returns:
    The ranks, which sum to 1 over units of distinct words.
  """
  words = [tuple(_words(unit)) for unit in units]
  number_of = {of: number for number, of in enumerate(dict.fromkeys(words))}
  distinct = list(number_of)
  rank = _ranks(_nearness(distinct))
  return rank[[number_of[of] for of in words]] if words else rank


def _words(unit: str) -> list[str]:
  """The stems of the words that count, in order."""
  stem, stop_words = _english()
  plain = _PUNCTUATION.sub(' ', _DIGITS.sub('', unit.lower()))
  return [stem(word) for word in plain.split() if word not in stop_words]


@functools.cache
def _english() -> tuple[Callable[[str], str], frozenset[str]]:
  """What makes a stem of a word, and the stop words of summa."""
  # Imported where it is needed: [train] brings it, which searching does without.
  from summa.preprocessing.snowball import SnowballStemmer
  from summa.preprocessing.stopwords import get_stopwords_by_language

  stem = functools.lru_cache(2**20)(SnowballStemmer('english').stem)
  return stem, frozenset(get_stopwords_by_language('english').split())


def _nearness(words: Sequence[Sequence[str]]) -> scipy.sparse.csr_array:
  """How near units of these words are, [U, U], 0 to itself."""
  number_of: dict[str, int] = {}
  rows, columns = [], []
  for row, of in enumerate(words):
    distinct = set(of)
    columns += [number_of.setdefault(word, len(number_of)) for word in distinct]
    rows += [row] * len(distinct)
  has_UxW = scipy.sparse.csr_array(
    (np.ones(len(rows)), (rows, columns)), shape=(len(words), len(number_of))
  )
  common = (has_UxW @ has_UxW.T).tocoo()
  # Where two are not the same, one of them has two words or more.
  other = common.row != common.col
  row, column = common.row[other], common.col[other]
  size_U = np.log([max(len(of), 1) for of in words])
  near = common.data[other] / (size_U[row] + size_U[column])
  return scipy.sparse.csr_array(
    (near, (row, column)), shape=(len(words), len(words))
  )


def _ranks(near_UxU: scipy.sparse.csr_array) -> np.ndarray:
  """The stationary distribution of a walk to near units, float64 [U]."""
  count = near_UxU.shape[0]
  if not count:
    return np.zeros(0)
  total_U = near_UxU.sum(axis=1)
  share_U = 1 / np.where(total_U > 0, total_U, 1.0)
  alone_U = total_U == 0
  rank_U = np.full(count, 1 / count)
  for _ in range(_MOST_STEPS):
    # Nearness is mutual, so its rows serve as columns.
    moved_U = near_UxU @ (rank_U * share_U) + rank_U[alone_U].sum() / count
    old_U, rank_U = rank_U, (1 - _DAMPING) / count + _DAMPING * moved_U
    if np.abs(rank_U - old_U).sum() < _TOLERANCE:
      break
  return rank_U
