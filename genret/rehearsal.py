# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Rehearsal contents: parts of a document that a model learns its identifier from.

SE-DSI (Tang et al., KDD 2023, https://arxiv.org/abs/2305.15115) trains on the
document, on some of its passages and on some of its sentences. Which ones is the
`choice`: `leading`, the first; `summary`, the best by TextRank (Mihalcea and Tarau,
EMNLP 2004); `random`, its control.
"""

import hashlib
import re
from collections.abc import Collection, Sequence

import numpy as np

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
# abbreviation ends a sentence, too.
_END = re.compile(
  '(?<=[.!?\u2026\u3002\uff01\uff1f])["\'\u201d\u2019)\\]]*\\s+'
)
_WORD = re.compile(r'\w+')
_DAMPING = 0.85


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


def contents(
  text: str,
  kind: str,
  choice: str,
  *,
  key: str = '',
  stop_words: Collection[str] = frozenset(),
) -> list[str]:
  """The passages or sentences of a document to rehearse, in text order.

  As many as the paper has: 3 leading passages (1 where there are fewer), 1 by
  summary or at random, and 6 sentences; fewer where the document has fewer.

  Args:
    text: of the document.
    kind: one of KINDS.
    choice: one of CHOICES.
    key: what the random choice depends on besides the text, such as the id.
    stop_words: words in lower case that TextRank does not see.

  Raises:
    ValueError: for another kind or choice.
  """
  if (choice, kind) not in _COUNTS:
    raise ValueError(
      f'Expected one of {", ".join(CHOICES)} of {" or ".join(KINDS)}, got '
      f'{choice!r} of {kind!r}.'
    )
  units = sentences(text)
  if kind == 'passages':
    units = passages(units)
  count = _COUNTS[choice, kind]
  if choice == 'leading':
    few = kind == 'passages' and len(units) < count
    return units[: 1 if few else count]
  if choice == 'summary':
    score_U = textrank(units, stop_words)
  else:
    digest = hashlib.sha256(f'{key} {text}'.encode()).digest()
    seed = int.from_bytes(digest[:8], 'big')
    score_U = np.random.default_rng(seed).random(len(units))
  best = np.argsort(-score_U, kind='stable')[:count]
  return [units[i] for i in sorted(best)]


def textrank(
  units: Sequence[str], stop_words: Collection[str] = frozenset()
) -> np.ndarray:
  """PageRank of sentences or passages, float64 [U], summing to 1.

  Two units are as near as they have words in common, over the sum of the
  logarithms of how many words each has; one without neighbours passes its rank
  to all alike.

  Args:
    units: texts.
    stop_words: words in lower case that do not count.
  """
  count = len(units)
  if not count:
    return np.zeros(0)
  words = [
    sorted(set(_WORD.findall(unit.lower())) - set(stop_words)) for unit in units
  ]
  number_of: dict[str, int] = {}
  for of in words:
    for word in of:
      number_of.setdefault(word, len(number_of))
  has_UxW = np.zeros((count, len(number_of)))
  for row, of in enumerate(words):
    has_UxW[row, [number_of[word] for word in of]] = 1
  size_U = np.log(np.maximum(has_UxW.sum(1), 1))
  # Where both have one word the logarithms vanish; one counts as two then.
  scale_UxU = np.maximum(size_U[:, None] + size_U[None], np.log(2))
  near_UxU = has_UxW @ has_UxW.T / scale_UxU
  np.fill_diagonal(near_UxU, 0)
  total_U = near_UxU.sum(1)
  step_UxU = np.where(
    total_U[:, None] > 0,
    near_UxU / np.maximum(total_U[:, None], 1e-300),
    1 / count,
  )
  rank_U = np.full(count, 1 / count)
  # 0.85^200 is below 1e-14: what is left of the start.
  for _ in range(200):
    rank_U = (1 - _DAMPING) / count + _DAMPING * rank_U @ step_UxU
  return rank_U
