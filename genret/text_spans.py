# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Where the tokens of an indexed document stand in its text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import sentencepiece

from genret.corpus import Document
from genret.runs import Span
from genret.views import Markers


@dataclasses.dataclass(frozen=True)
class DocumentText:
  """A document with the place of each token of its row.

  Attributes:
    document: title and text; as the vocabulary spells them, where the corpus is
      not at hand.
    queries: its pseudo-queries.
    view_L: of each token of the row, 0 for a mark, else 1 + the number of its
      view in `views.VIEWS`.
    start_L: its first character in the text of the view.
    end_L: behind its last one.
  """

  document: Document
  queries: tuple[str, ...]
  view_L: np.ndarray
  start_L: np.ndarray
  end_L: np.ndarray

  @classmethod
  def of(
    cls,
    doc_id: str,
    row_L: np.ndarray,
    pieces: sentencepiece.SentencePieceProcessor,
    marks: Markers,
    document: Document | None = None,
  ) -> DocumentText:
    """Places the tokens of a row.

    Args:
      doc_id: of the document.
      row_L: its tokens, see `views.document_rows`.
      pieces: the text vocabulary.
      marks: the marks of the views.
      document: title and text as the corpus has them.
    """
    parts = _parts(row_L.tolist(), marks)
    view_L, start_L, end_L = (np.zeros(len(row_L), np.int64) for _ in range(3))
    texts: dict[str, list[str]] = {'title': [], 'body': [], 'query': []}
    for view, first, tokens in parts:
      known = None
      if document is not None and view != 'query':
        known = document.title if view == 'title' else document.text
      text, places_X = _places(tokens, pieces, known)
      here = slice(first, first + len(tokens))
      # Several queries stand one under the other.
      before = sum(len(query) + 1 for query in texts[view])
      view_L[here] = 1 + _VIEWS.index(view)
      start_L[here] = places_X[:, 0] + before
      end_L[here] = places_X[:, 1] + before
      texts[view].append(text)
    if document is None:
      document = Document(
        doc_id, ''.join(texts['title']), ''.join(texts['body'])
      )
    return cls(document, tuple(texts['query']), view_L, start_L, end_L)

  def spans(self, offset: int, length: int) -> list[Span]:
    """Where `length` tokens from `offset` on stand: a span for each view.

    Marks are left out; an n-gram over the border of two views has two spans.
    """
    found = []
    here = slice(offset, offset + length)
    views, starts, ends = (
      self.view_L[here],
      self.start_L[here],
      self.end_L[here],
    )
    for view in dict.fromkeys(views.tolist()):
      if view:
        of_view = views == view
        start, end = int(starts[of_view].min()), int(ends[of_view].max())
        found.append(Span(_VIEWS[view - 1], start, end, offset))
    return found


_VIEWS = ('body', 'title', 'query')


def _parts(
  row: Sequence[int], marks: Markers
) -> list[tuple[str, int, list[int]]]:
  """Views in a row: which, where its tokens begin, and they."""
  parts, at = [], 0
  while at < len(row):
    view = {marks.title: 'title', marks.query: 'query'}.get(row[at], 'body')
    first = at if view == 'body' else at + 1
    stops = (marks.query,) if view == 'body' else (marks.end,)
    last = first
    while last < len(row) and row[last] not in stops:
      last += 1
    parts.append((view, first, list(row[first:last])))
    at = last if view == 'body' else last + 1
  return parts


def _places(
  tokens: Sequence[int],
  pieces: sentencepiece.SentencePieceProcessor,
  known: str | None,
) -> tuple[str, np.ndarray]:
  """The text of tokens and where each stands in it, int64 [X, 2]."""
  if known is not None:
    found = pieces.encode(known, return_type='offset_mapping')
    if found['ids'] == list(tokens):
      places = [_words(known, *place) for place in found['offsets']]
      return known, np.array(places, np.int64).reshape(-1, 2)
  # Each piece ends where the text of the pieces up to it ends.
  ends = [len(pieces.decode(list(tokens[: i + 1]))) for i in range(len(tokens))]
  text = pieces.decode(list(tokens))
  places = [
    _words(text, start, end)
    for start, end in zip([0, *ends], ends, strict=False)
  ]
  return text, np.array(places, np.int64).reshape(-1, 2)


def _words(text: str, start: int, end: int) -> tuple[int, int]:
  """A range without the white space that a piece begins with."""
  while start < end and text[start].isspace():
    start += 1
  return start, end
