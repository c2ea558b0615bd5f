# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""KILT in sessions: a KILT folder for the base, and one for each later session.

CorpusBrain++ (Guo et al., 2024, https://arxiv.org/abs/2402.16767) calls this KILT++.
Lines are copied as they are.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import TextIO

from genret import kilt_pages, sessions
from genret.corpora.beir_writer import new_folder, text_file
from genret.corpora.public_files import PublicFiles
from genret.corpus import task_files
from genret.kilt_records import parse_record
from genret.text_files import PathLike, write_text

META = 'sessions.json'


@dataclasses.dataclass(frozen=True)
class SessionSummary:
  """What was written.

  Attributes:
    pages: of each session, those that it adds.
    records: of each session, by task file.
    without_evidence: records that name no page of the corpus; they belong to the
      base, as in the released program.
    missing_pages: pages that records name and that are not there.
  """

  pages: tuple[int, ...]
  records: tuple[Mapping[str, int], ...]
  without_evidence: int
  missing_pages: int


def folder_of(output: PathLike, session: int) -> pathlib.Path:
  """The KILT folder of a session, 0 for the base, in what was written."""
  return pathlib.Path(output) / f'session_{session}'


def kilt_sessions(
  files: PublicFiles,
  output: PathLike,
  *,
  compress: bool,
  seed: int = sessions.SEED,
  shares: tuple[float, ...] = sessions.SHARES,
  lists: tuple[str, ...] = (),
  cumulative: bool = False,
) -> SessionSummary:
  """Writes session_0, session_1 and so on, and sessions.json.

  Each has pages, and of each task file the records that belong to the session, see
  `sessions.of_query`; a file without any is not written. Pages are streamed once,
  records twice; held in memory are the ids of the evidence, and the lists.

  Args:
    files: the knowledge source and the task files.
    output: a folder that is not there, or is empty.
    compress: write .gz.
    seed: of `sessions.drawn`.
    shares: likewise.
    lists: files of ids instead, one for each session, see `sessions.read_list`.
    cumulative: a folder has the pages of earlier sessions, too: the corpus that is
      searched after the session, in place of the pages to learn in it.

  Raises:
    ValueError: for a bad line, a page that no list has, a listed one that is not
      there, and a session without pages; as `sessions.drawn` and `sessions.listed`.
    FileNotFoundError: a file is not there.
    FileExistsError: output is there and not empty.
  """
  ids = [sessions.read_list(file) for file in lists]
  split = sessions.listed(ids) if ids else sessions.drawn(shares, seed=seed)
  wanted = {
    page_id
    for _, place, line in _task_lines(files)
    for page_id in parse_record(place, line).page_ids
  }
  with new_folder(output) as folder:
    pages, found = _write_pages(
      files, folder, split, compress, cumulative, wanted
    )
    if ids and sum(map(len, ids)) != sum(pages):
      raise ValueError(
        f'Expected the {sum(map(len, ids)):,} pages of the lists, each once, '
        f'found {sum(pages):,}; give the lists of this knowledge source.'
      )
    if 0 in pages:
      raise ValueError(
        f'Expected pages in every session, session {pages.index(0)} has none; '
        'choose other shares, or another seed.'
      )
    records, without = _write_records(files, folder, split, compress, found)
    summary = SessionSummary(
      pages=tuple(pages),
      records=tuple(records),
      without_evidence=without,
      missing_pages=len(wanted - found),
    )
    options = {
      'seed': seed, 'shares': shares, 'lists': lists, 'cumulative': cumulative
    }  # fmt: skip
    meta = {
      'name': 'kilt-sessions',
      'options': options,
      **dataclasses.asdict(summary),
    }
    write_text(folder / META, json.dumps(meta, indent=2) + '\n')
  return summary


def _task_lines(files: PublicFiles) -> Iterator[tuple[str, str, str]]:
  """(file name without .gz, place, line) of every record."""
  for file in task_files(files.folder):
    name = file.name.removesuffix('.gz')
    for place, line in files.lines(name):
      yield name, place, line


def _write_pages(
  files: PublicFiles,
  folder: pathlib.Path,
  split: sessions.Sessions,
  compress: bool,
  cumulative: bool,
  wanted: set[str],
) -> tuple[list[int], set[str]]:
  """How many pages each session adds, and those of the wanted ones that came."""
  counts, found = [0] * split.count, set[str]()
  with _Writers(folder, compress) as writers:
    for place, line in files.lines(*kilt_pages.PAGE_FILES):
      page_id = kilt_pages.parse_page(place, line).page_id
      session = split.of(page_id)
      if session is None:
        raise ValueError(
          f'{place}: expected page {page_id!r} in one of the lists, found it in '
          'none; give the lists of this knowledge source.'
        )
      counts[session] += 1
      if page_id in wanted:
        found.add(page_id)
      last = split.count if cumulative else session + 1
      for number in range(session, last):
        writers.write(number, kilt_pages.PAGE_FILES[0], line)
  return counts, found


def _write_records(
  files: PublicFiles,
  folder: pathlib.Path,
  split: sessions.Sessions,
  compress: bool,
  found: set[str],
) -> tuple[list[dict[str, int]], int]:
  """How many records each session has of each file, and how many no evidence."""
  counts: list[dict[str, int]] = [{} for _ in range(split.count)]
  without = 0
  with _Writers(folder, compress) as writers:
    for name, place, line in _task_lines(files):
      evidence = found.intersection(parse_record(place, line).page_ids)
      session = sessions.of_query(split, evidence)
      without += session is None
      session = session or 0
      counts[session][name] = counts[session].get(name, 0) + 1
      writers.write(session, name, line)
  return counts, without


class _Writers(contextlib.ExitStack):
  """Files of sessions, each opened when it gets its first line."""

  def __init__(self, folder: pathlib.Path, compress: bool):
    super().__init__()
    self._folder, self._compress = folder, compress
    self._files: dict[tuple[int, str], TextIO] = {}

  def write(self, session: int, name: str, line: str) -> None:
    file = self._files.get((session, name))
    if file is None:
      path = folder_of(self._folder, session) / name
      path.parent.mkdir(exist_ok=True)
      file = self.enter_context(text_file(path, self._compress))
      self._files[session, name] = file
    file.write(f'{line}\n')
