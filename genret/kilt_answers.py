# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""How well an answer in words fits a gold answer, as KILT measures it.

The figures are those of KILT's own program (Petroni et al., NAACL 2021), which
took normalisation, exact match and F1 from SQuAD (Rajpurkar et al., 2016) and
ROUGE-L from the package rouge. That package comes with `genret[eval]`.
"""

import collections
import re
import string
import sys
from collections.abc import Callable, Collection
from typing import Any

_ARTICLES = re.compile(r'\b(a|an|the)\b')
_NO_PUNCTUATION = str.maketrans('', '', string.punctuation)


def normalise_answer(text: str) -> str:
  """Lower case without ASCII punctuation, a, an, the, and repeated blanks.

  Punctuation goes before articles, so that 'the-end' becomes 'theend'. Other
  punctuation and accents stay.
  """
  text = text.lower().translate(_NO_PUNCTUATION)
  return ' '.join(_ARTICLES.sub(' ', text).split())


def exact_match(guess: str, gold: str) -> float:
  """Whether both are the same when normalised."""
  return float(normalise_answer(guess) == normalise_answer(gold))


def token_f1(guess: str, gold: str) -> float:
  """F1 of the normalised words, counted with repeats.

  It is 0 where no word is shared, and so where both have no words ('the' and
  'A'), though these match exactly.
  """
  guessed = normalise_answer(guess).split()
  wanted = normalise_answer(gold).split()
  shared = collections.Counter(guessed) & collections.Counter(wanted)
  count = shared.total()
  if not count:
    return 0.0
  precision, recall = count / len(guessed), count / len(wanted)
  return 2 * precision * recall / (precision + recall)


def rouge_l(guess: str, gold: str) -> float:
  """F of ROUGE-L as the package rouge has it, which KILT uses.

  Sentences end at every full stop; each distinct word counts once; nothing is
  normalised; equal texts have 0.999999995, for 1e-8 is added to the divisor. A
  text without anything but full stops has 0.

  Raises:
    ImportError: the package rouge is missing.
  """
  if not guess.replace('.', '') or not gold.replace('.', ''):
    return 0.0
  # The package walks a table by recursion, one call a word of both texts.
  limit = sys.getrecursionlimit()
  needed = limit + len(guess.split()) + len(gold.split())
  sys.setrecursionlimit(needed)
  try:
    scores = _rouge().get_scores(guess, gold)
  finally:
    sys.setrecursionlimit(limit)
  return float(scores[0]['rouge-l']['f'])


def best_of(
  measure: Callable[[str, str], float], guess: str, golds: Collection[str]
) -> float:
  """The greatest value of a measure over several gold answers."""
  return max(measure(guess, gold) for gold in golds)


def _rouge() -> Any:
  try:
    import rouge
  except ImportError as error:
    raise ImportError(
      'Expected the package rouge for ROUGE-L, found none; run pip install '
      "'genret[eval]'."
    ) from error
  return rouge.Rouge(metrics=['rouge-l'])
