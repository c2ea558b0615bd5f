# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One reading of the pages of a KILT corpus: titles, hash, and parts to work on.

What is to be made of each page by many processes needs this of all pages first.
"""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from genret import corpus, kilt_pages
from genret.kilt_pages import Page
from genret.text_files import START, Cursor, PathLike


class Part(NamedTuple):
  """Some pages of a file, one after the other.

  Attributes:
    file: their file.
    start: where the first begins.
    stop: bytes before the next part; -1 where it is the last of the file.
    shards: files that what is made of it goes to.
  """

  file: str
  start: Cursor
  stop: int
  shards: int


class Survey(NamedTuple):
  """A corpus of pages.

  Attributes:
    titles: page ids and titles, in the order of the corpus.
    hash: as `corpus.documents_hash` of the pages as documents.
    parts: all pages, each in one of them.
  """

  titles: list[tuple[str, str]]
  hash: str
  parts: list[Part]


def page_files(paths: Sequence[PathLike]) -> list[pathlib.Path]:
  """The files of pages at paths, in their order.

  Raises:
    ValueError: for no paths, or a file twice.
    FileNotFoundError: as `kilt_pages.read_pages`.
  """
  files = []
  for path in paths:
    file = kilt_pages.find_pages(path)
    if file is None:
      raise FileNotFoundError(
        f'{path}: expected a file of KILT pages or a folder with '
        f'{" or ".join(kilt_pages.PAGE_FILES)} (plain or .gz), found none; '
        'check the path.'
      )
    files.append(file)
  if not files or len(set(files)) < len(files):
    raise ValueError(
      f'Expected files of pages, each once, got {[str(f) for f in files]}; name '
      'those that make up the corpus.'
    )
  return files


def survey(
  paths: Sequence[PathLike],
  *,
  shards: int = 1,
  on_pages: Callable[[int], object] | None = None,
) -> Survey:
  """Reads all pages once.

  Args:
    paths: files of pages that are the corpus together, in this order, or folders
      with such a file.
    shards: that all parts shall have together, about: files get them by their
      size, at least one. A plain file is cut into parts of one shard; a
      compressed one is one part, since nothing can begin in its middle.
    on_pages: called behind every page with the pages so far.

  Raises:
    ValueError: as `page_files` and `kilt_pages.read_pages`, and for a page that
      comes twice.
  """
  files = page_files(paths)
  sizes = [file.stat().st_size for file in files]
  wanted = [max(1, round(shards * size / max(1, sum(sizes)))) for size in sizes]
  titles: dict[str, str] = {}
  parts: list[Part] = []

  def documents() -> Iterator[corpus.Document]:
    for file, size, count in zip(files, sizes, wanted, strict=True):
      plain = file.suffix != '.gz'
      cuts = [size * n // count for n in range(1, count)] if plain else []
      starts = [START]
      for page, behind in _with_cursors(file, START):
        if page.page_id in titles:
          raise ValueError(
            f'{file}, line {behind.line}: expected page ids to differ, '
            f'{page.page_id!r} was given before; remove one of the pages.'
          )
        titles[page.page_id] = page.title
        if on_pages is not None:
          on_pages(len(titles))
        yield corpus.page_document(page)
        if cuts and behind.offset >= cuts[0]:
          cuts = [cut for cut in cuts if cut > behind.offset]
          starts.append(behind)
      stops = [start.offset for start in starts[1:]]
      for start, stop in zip(starts, [*stops, -1], strict=True):
        parts.append(Part(str(file), start, stop, 1 if plain else count))

  found = corpus.documents_hash(documents())
  return Survey(list(titles.items()), found, parts)


def read_part(part: Part) -> Iterator[Page]:
  """Streams the pages of a part."""
  for page, behind in _with_cursors(part.file, part.start):
    yield page
    if behind.offset == part.stop:
      return


def titled(titles: Iterable[tuple[str, str]]) -> Iterator[Page]:
  """Pages that have an id and a title and nothing else."""
  return (Page(page_id, title, ()) for page_id, title in titles)


def _with_cursors(
  file: PathLike, start: Cursor
) -> Iterator[tuple[Page, Cursor]]:
  """Pages, each with the cursor behind it."""
  behind: list[Cursor] = []
  for page in kilt_pages.read_pages(file, start=start, on_cursor=behind.append):
    yield page, behind.pop()
    behind.clear()  # those of blank lines
