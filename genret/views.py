# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The views of a document, and the marks that tell them apart.

n-grams name a document by what stands in one of its views (SEAL, Bevilacqua et
al., NeurIPS 2022, has the first two; MINDER, Li et al., ACL 2023, the third):

| view    | what                                     | a key of it is        |
|---------|------------------------------------------|-----------------------|
| `body`  | the text                                 | any n-gram            |
| `title` | the title                                | the whole title       |
| `query` | queries that somebody might find it with | the whole query       |

A document is one row of tokens, `<title> title <end> body`, then `<query> query
<end>` for each of its queries; a document without a title or queries has none of
their marks. The marks are tokens of their own behind the text pieces (with T5's
vocabulary of 32,000 pieces, its sentinels), so no text can look like one. SEAL
writes them as text (`@@`, `||`), which another vocabulary splits as it likes.

The input of the model says which view is wanted and how sure the example was:
`query <view> <grade>`; see `mark_inputs`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import sentencepiece

from genret.corpus import Document
from genret.vocabulary import EOS_ID, joint_size

VIEWS = ('body', 'title', 'query')
# How sure a training example was: judged relevant, retrieved by another system
# (SEAL's '+' and '?'), or made from a document alone ('p').
GRADES = ('gold', 'silver', 'unsupervised')


@dataclasses.dataclass(frozen=True)
class Markers:
  """Token ids of the marks.

  Attributes:
    end: behind a title and a query (SEAL's '@@').
    title: before a title, and in inputs that ask for one.
    query: before a query, and in inputs that ask for one.
    body: in inputs that ask for an n-gram of the text.
    gold: in inputs, the first grade; and so the others.
  """

  end: int
  title: int
  query: int
  body: int
  gold: int
  silver: int
  unsupervised: int

  @property
  def ids(self) -> tuple[int, ...]:
    """All of them."""
    return dataclasses.astuple(self)


def markers(text_tokens: int) -> Markers:
  """The marks behind the text pieces.

  Args:
    text_tokens: ids that text takes, such as the pieces of the vocabulary.
  """
  count = len(dataclasses.fields(Markers))
  return Markers(*range(text_tokens, text_tokens + count))


def vocab_size(text_tokens: int) -> int:
  """Rows of a model over text and marks, a multiple of 128."""
  return joint_size(text_tokens, len(dataclasses.fields(Markers)))


def mark_inputs(
  pieces: Sequence[int],
  marks: Markers,
  *,
  view: str | None = None,
  grade: str | None = None,
  max_length: int,
) -> np.ndarray:
  """A query as the encoder reads it: `query [<view>] [<grade>] eos`, int32.

  The query is cut where it does not fit, the marks never.

  Args:
    pieces: the query as text tokens.
    marks: the ids of the marks.
    view: one of VIEWS; None for the bare query, with which SEAL re-scores.
    grade: one of GRADES, or None.
    max_length: the most tokens, eos included.

  Raises:
    ValueError: for an unknown view or grade, or no room for the marks.
  """
  names = [name for name in (view, grade) if name is not None]
  for name in names:
    if name not in VIEWS + GRADES:
      raise ValueError(
        f'Expected a view ({", ".join(VIEWS)}) or a grade '
        f'({", ".join(GRADES)}), got {name!r}.'
      )
  tail = [*(getattr(marks, name) for name in names), EOS_ID]
  if max_length < len(tail):
    raise ValueError(
      f'Expected room for {len(tail)} tokens of marks and end-of-sequence, got '
      f'max_length={max_length}; raise it.'
    )
  return np.array([*pieces[: max_length - len(tail)], *tail], np.int32)


def document_rows(
  documents: Sequence[Document],
  pieces: sentencepiece.SentencePieceProcessor,
  marks: Markers,
  *,
  queries: Mapping[str, Sequence[str]] | None = None,
  chunk: int = 1000,
) -> Iterator[np.ndarray]:
  """The row of each document, int32, in order.

  Args:
    documents: the corpus.
    pieces: the text vocabulary.
    marks: the ids of the marks.
    queries: of each document, by its id; none for those that are not named.
    chunk: documents tokenised at a time.
  """
  queries = queries or {}
  for first in range(0, len(documents), chunk):
    part = documents[first : first + chunk]
    titles = pieces.encode([d.title for d in part])
    bodies = pieces.encode([d.text for d in part])
    for document, title, body in zip(part, titles, bodies, strict=True):
      row = [marks.title, *title, marks.end] if title else []
      row += body
      for query in pieces.encode(list(queries.get(document.doc_id, ()))):
        row += [marks.query, *query, marks.end] if query else []
      yield np.array(row, np.int32)
