# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What a model that writes identifiers may write: one of them, or several joined."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import sentencepiece

from genret.constraints import protocol
from genret.constraints.repeated import ambiguous_identifier, repeated
from genret.constraints.trie import Trie
from genret.decoding.options import DecodingOptions
from genret.docids.table import DocidTable
from genret.vocabulary import separator_tokens


@dataclasses.dataclass(frozen=True)
class Answers:
  """All that may be written.

  Attributes:
    constraint: what allows it and no more, or everything.
    separator: the tokens between two identifiers; none where one is an answer.
    max_length: the most tokens of an answer, its end-of-sequence included.
  """

  constraint: protocol.SupportsConstraint
  separator: list[int]
  max_length: int


def answers_of(
  table: DocidTable,
  trie: Trie,
  vocabulary: sentencepiece.SentencePieceProcessor,
  options: DecodingOptions,
) -> Answers:
  """What options allow.

  Args:
    table: the identifiers.
    trie: of them.
    vocabulary: that cuts the separator.
    options: how identifiers are decoded.

  Raises:
    ValueError: if the separator is in an identifier.

  Warns:
    UserWarning: if answers are too short for some identifiers.
  """
  separator: list[int] = []
  constraint: protocol.SupportsConstraint = trie
  if options.max_titles > 1:
    separator = separator_tokens(vocabulary, options.separator)
    _check_separator(table, trie, options.separator, separator)
    constraint = repeated(trie, separator, options.max_titles)
  if not options.constrained:
    constraint = protocol.unconstrained(table.vocab_size)
  longest = int(table.lengths_D.max(initial=0))
  # Answers end with eos, which counts.
  length = options.max_titles * (longest + len(separator)) - len(separator)
  length = min(length + 1, options.max_length or length + 1)
  cut = int(np.count_nonzero(table.lengths_D >= length))
  if cut:
    warnings.warn(
      f'Expected room for every identifier and its end, {cut} of {len(table)} '
      f'are longer than max_length={length} and will not be found; raise it.',
      stacklevel=3,
    )
  return Answers(constraint, separator, length)


def _check_separator(
  table: DocidTable, trie: Trie, text: str, separator: Sequence[int]
) -> None:
  wrong = ambiguous_identifier(trie, separator)
  if wrong is not None:
    (named,) = table.documents(np.array([wrong]), np.array([len(wrong)]))
    raise ValueError(
      f'Expected identifiers without the separator {text!r}, that of document '
      f'{table.doc_ids[named[0]]!r} has its tokens; choose another separator, '
      'or max_titles of 1.'
    )
