# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pages of KILT's knowledge source (Petroni et al., NAACL 2021), as a stream.

A line is a page:

    {"wikipedia_id": "12", "wikipedia_title": "Anarchism", "text": ["Anarchism\\n",
     "Anarchism is ...\\n", "Section::::History.\\n", "BULLET::::- ...\\n", ...],
     "anchors": [{"text": "...", "href": "Self-governance", "paragraph_id": 1,
     "start": 9, "end": 24}, ...], "categories": "Anarchism,Political culture"}

Paragraph 0 is the title; a paragraph that begins with `Section::::` is a heading.
The published file has 5.9 million of these in 35 GB: nothing here keeps a page.
"""

import dataclasses
import json
import pathlib
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from genret.text_files import START, Cursor, PathLike, read_lines

# The names that a folder may have the pages under, plain or .gz.
PAGE_FILES = ('kilt_knowledgesource.json', 'kilt.jsonl')

ABSTRACT = 'Abstract'  # what KILT calls the section before the first heading

_HEADING = 'Section::::'
_BULLET = re.compile(r'BULLET::::(?:- ?)?')


class Anchor(NamedTuple):
  """A link from a page to another.

  Attributes:
    text: the words that carry it.
    href: its target as the file writes it, percent-encoded.
    paragraph_id: of the paragraph that it stands in.
    start: its first character there.
    end: behind its last one.
  """

  text: str
  href: str
  paragraph_id: int
  start: int
  end: int

  @property
  def title(self) -> str:
    """The title of the target, see `canonical_title`; '' within the page."""
    return canonical_title(urllib.parse.unquote(self.href.partition('#')[0]))


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
  """One page.

  Attributes:
    page_id: wikipedia_id, which provenances name.
    title: as the file has it.
    paragraphs: as the file has them; provenances count them from 0.
    anchors: the links of the page.
    categories: their names. The file joins them by commas, so that one with a
      comma in its name comes in two.
  """

  page_id: str
  title: str
  paragraphs: tuple[str, ...]
  anchors: tuple[Anchor, ...] = ()
  categories: tuple[str, ...] = ()

  def is_title(self, paragraph_id: int) -> bool:
    """Whether the paragraph repeats the title, as number 0 does."""
    return (
      paragraph_id == 0 and self.paragraphs[0].strip() == self.title.strip()
    )

  def is_heading(self, paragraph_id: int) -> bool:
    """Whether the paragraph is the heading of a section."""
    return self.paragraphs[paragraph_id].startswith(_HEADING)

  def sections(self) -> list[str]:
    """The section of each paragraph, 'History.:Antiquity.' where nested."""
    found, section = [], ABSTRACT
    for number, paragraph in enumerate(self.paragraphs):
      if self.is_heading(number):
        section = paragraph.removeprefix(_HEADING).strip()
      found.append(section)
    return found

  def text_from(self, paragraph_id: int) -> int:
    """Where the words of a paragraph begin, behind a mark of a list."""
    mark = _BULLET.match(self.paragraphs[paragraph_id])
    return mark.end() if mark else 0

  def text(self) -> str:
    """All words: a line a paragraph, without the title and KILT's marks.

    Of a nested heading the last one is left.
    """
    lines = []
    for number, paragraph in enumerate(self.paragraphs):
      if self.is_heading(number):
        paragraph = paragraph.removeprefix(_HEADING).rpartition('.:')[2]
      if not self.is_title(number):
        lines.append(paragraph[self.text_from(number) :].strip())
    return '\n'.join(line for line in lines if line)


def read_pages(
  path: PathLike,
  *,
  start: Cursor = START,
  on_cursor: Callable[[Cursor], object] | None = None,
  on_position: Callable[[int], object] | None = None,
) -> Iterator[Page]:
  """Streams the pages of a knowledge source; constant memory.

  Args:
    path: the file, plain or .gz, or a folder with one of PAGE_FILES.
    start: go on from here, a cursor that `on_cursor` was given.
    on_cursor: called before each page with the cursor behind it; keep it when
      the page is done with, to go on there later.
    on_position: called before each page with the bytes of the file that were
      read, for a progress bar.

  Raises:
    ValueError: for a bad page, naming file and line, and for a bad start.
    FileNotFoundError: there is no such file.
  """
  file = find_pages(path)
  if file is None:
    raise FileNotFoundError(
      f'{path}: expected a knowledge source of KILT or a folder with '
      f'{" or ".join(PAGE_FILES)} (plain or .gz), found none; check the path.'
    )
  lines = read_lines(
    file, start=start, on_cursor=on_cursor, on_position=on_position
  )
  for place, line in lines:
    yield parse_page(place, line)


def find_pages(path: PathLike) -> pathlib.Path | None:
  """The file of pages at a path or in a folder; None where there is none."""
  file = pathlib.Path(path)
  if not file.is_dir():
    return file if file.is_file() else None
  for name in PAGE_FILES:
    for ending in ('', '.gz'):
      if (file / f'{name}{ending}').is_file():
        return file / f'{name}{ending}'
  return None


def is_page(fields: Any) -> bool:
  """Whether a JSON value is a page, rather than a document of another format."""
  return isinstance(fields, dict) and 'wikipedia_title' in fields


def parse_page(place: str, line: str) -> Page:
  """Reads one line.

  Args:
    place: file and line, for messages.
    line: a JSON object.

  Raises:
    ValueError: naming the place, for text that does not parse, and as `page_of`.
  """
  try:
    fields = json.loads(line)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f'{place}: expected one JSON object, found text that does not parse '
      f'({error}); write one page a line.'
    ) from error
  return page_of(place, fields)


def page_of(place: str, fields: Any) -> Page:
  """Makes a page of the JSON value of a line.

  Args:
    place: file and line, for messages.
    fields: what the line says.

  Raises:
    ValueError: naming the place, for a missing field or another type.
  """
  if not is_page(fields):
    found = sorted(fields) if isinstance(fields, dict) else repr(fields)[:40]
    raise ValueError(
      f'{place}: expected a page with wikipedia_id, wikipedia_title and text, '
      f'found {found}; name the knowledge source of KILT.'
    )
  name = fields.get('wikipedia_id', fields.get('_id'))
  if isinstance(name, int) and not isinstance(name, bool):
    name = str(name)
  if not isinstance(name, str) or not name.strip():
    raise ValueError(
      f'{place}: expected a wikipedia_id (a string or an integer), found '
      f'{name!r}; add one.'
    )
  where, title = f'{place}: page {name!r}', fields['wikipedia_title']
  if not isinstance(title, str):
    raise ValueError(
      f'{where}: expected a string under wikipedia_title, found '
      f'{type(title).__name__}; write the title.'
    )
  text = fields.get('text')
  if not isinstance(text, list) or not all(isinstance(p, str) for p in text):
    raise ValueError(
      f'{where}: expected a list of paragraphs under text, found '
      f'{text!r:.60}; write one string a paragraph.'
    )
  categories = fields.get('categories') or ''
  if not isinstance(categories, str):
    raise ValueError(
      f'{where}: expected a string under categories, found '
      f'{type(categories).__name__}; join them by commas.'
    )
  anchors = fields.get('anchors') or []
  if not isinstance(anchors, list):
    raise ValueError(
      f'{where}: expected a list under anchors, found '
      f'{type(anchors).__name__}; write one object a link.'
    )
  return Page(
    page_id=name.strip(),
    title=title,
    paragraphs=tuple(text),
    anchors=tuple(_anchor(where, n, a) for n, a in enumerate(anchors, start=1)),
    categories=tuple(c for c in categories.split(',') if c),
  )


def canonical_title(text: str) -> str:
  """One spelling of a title: links, provenances and pages agree in it.

  As MediaWiki reads titles: underscores are blanks, blanks are single, the first
  letter is a capital, characters are composed (NFC).
  """
  text = unicodedata.normalize('NFC', ' '.join(text.replace('_', ' ').split()))
  return text[:1].upper() + text[1:]


def pages_by_title(pages: Iterable[Page]) -> dict[str, list[str]]:
  """The ids of the pages of each canonical title, mostly one.

  It is what turns a written title into the wikipedia_id of a provenance, and an
  anchor into the page that it leads to.
  """
  found: dict[str, list[str]] = {}
  for page in pages:
    found.setdefault(canonical_title(page.title), []).append(page.page_id)
  return found


def _anchor(where: str, number: int, fields: Any) -> Anchor:
  kinds = {
    'text': str,
    'href': str,
    'paragraph_id': int,
    'start': int,
    'end': int,
  }
  for name, kind in kinds.items():
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
      raise ValueError(
        f'{where}, anchor {number}: expected text, href, paragraph_id, start and '
        f'end, found {fields!r:.80}; correct {name}.'
      )
  return Anchor(*(fields[name] for name in kinds))
