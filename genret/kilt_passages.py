# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Passages of KILT's pages: windows of 100 words, and where each stands."""

import dataclasses
import re
from collections.abc import Iterator

from genret.kilt_pages import Page
from genret.kilt_records import Span

WORDS = 100  # a passage of DPR (Karpukhin et al., 2020) and of KILT

_WORD = re.compile(r'\S+')


@dataclasses.dataclass(frozen=True, slots=True)
class Passage:
  """Some words of a page in a row.

  Attributes:
    page_id: wikipedia_id of the page.
    title: of the page.
    section: that its first word stands in, see `Page.sections`.
    text: the words, with single blanks.
    start_paragraph_id: the paragraph of the first word.
    start_character: where the word begins in it.
    end_paragraph_id: the paragraph of the last word.
    end_character: where the word ends in it, exclusive.
  """

  page_id: str
  title: str
  section: str
  text: str
  start_paragraph_id: int
  start_character: int
  end_paragraph_id: int
  end_character: int

  @property
  def passage_id(self) -> str:
    """PAGE-PARAGRAPH:CHARACTER-PARAGRAPH:CHARACTER, its own within KILT.

    `run_formats.passage` makes a provenance of it.
    """
    return (
      f'{self.page_id}-{self.start_paragraph_id}:{self.start_character}'
      f'-{self.end_paragraph_id}:{self.end_character}'
    )

  def overlaps(self, span: Span) -> bool:
    """Whether it shares a character with a part of a page."""
    if span.page_id != self.page_id or span.start is None or span.end is None:
      return False
    return (self.start_paragraph_id, self.start_character) < span.end and (
      span.start < (self.end_paragraph_id, self.end_character)
    )


def passages(
  page: Page, *, words: int = WORDS, across_sections: bool = False
) -> Iterator[Passage]:
  """Cuts a page into windows that do not overlap.

  A word is what stands between blanks. Titles, headings and marks of lists are no
  words of any passage; everything else is in one. Windows run over paragraphs;
  the last of a section, or of the page, is shorter.

  Args:
    page: with its paragraphs.
    words: of a window, 1 or more.
    across_sections: windows run over headings too, as DPR's do; otherwise they
      end there, as in KILT's own script.

  Raises:
    ValueError: for less than a word.
  """
  if words < 1:
    raise ValueError(
      f'Expected passages of a word or more, got {words}; choose 100, say.'
    )
  window: list[tuple[int, int, int]] = []
  sections = page.sections()
  for number, paragraph in enumerate(page.paragraphs):
    if page.is_title(number):
      continue
    if page.is_heading(number):
      if window and not across_sections:
        yield _passage(page, sections, window)
        window = []
      continue
    for found in _WORD.finditer(paragraph, page.text_from(number)):
      window.append((number, found.start(), found.end()))
      if len(window) == words:
        yield _passage(page, sections, window)
        window = []
  if window:
    yield _passage(page, sections, window)


def _passage(
  page: Page, sections: list[str], window: list[tuple[int, int, int]]
) -> Passage:
  first, last = window[0], window[-1]
  return Passage(
    page_id=page.page_id,
    title=page.title,
    section=sections[first[0]],
    text=' '.join(page.paragraphs[n][start:end] for n, start, end in window),
    start_paragraph_id=first[0],
    start_character=first[1],
    end_paragraph_id=last[0],
    end_character=last[2],
  )
