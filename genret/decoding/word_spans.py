# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""n-grams of words of a query, which SEAL looks for in the corpus as well.

A word is letters and digits with the apostrophes between them; any other
character but white space is a word for itself. A span is a piece of the text,
as that spaces and joins its words. SEAL (Bevilacqua et al., NeurIPS 2022) takes
the words of spaCy's English tokenizer, which also splits "don't", and joins them
by single spaces.
"""

from __future__ import annotations

import itertools
import re

# The second apostrophe is the typographic one.
_WORD = re.compile("[^\\W_]+(?:['\u2019][^\\W_]+)*|[^\\w\\s]|_")


def cased_spans(text: str, longest: int) -> list[str]:
  """Spans of words of a text, every first letter in upper and in lower case.

  Args:
    text: any text.
    longest: the most words of a span.

  Returns:
    Distinct spans, by their first word, then their last.
  """
  words = list(_WORD.finditer(text))
  found: dict[str, None] = {}
  for i, first in enumerate(words):
    # What stands before each word, then the word in both cases.
    parts: list[tuple[str, ...]] = []
    end = first.start()
    for word in words[i : i + longest]:
      letter, rest = word[0][0], word[0][1:]
      parts.append((text[end : word.start()],))
      parts.append((letter.upper() + rest, letter.lower() + rest))
      end = word.end()
      found.update(dict.fromkeys(map(''.join, itertools.product(*parts))))
  return list(found)
