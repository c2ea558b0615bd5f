# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""KILT (Petroni et al., NAACL 2021): pages or passages, with the tasks at hand.

| file | line |
|---|---|
| kilt_knowledgesource.json or kilt.jsonl | a page, see `kilt_pages` |
| `<task>-<split>-kilt.jsonl` | a record, see `kilt_records` |

All task files of the folder are taken, none has to be there. A record judges what
its provenance names, whichever output that stands in; KILT's own test files have no
outputs, and are queries alone. Records keep their ids.
"""

import collections
from collections.abc import Iterator
from typing import NamedTuple

from genret import kilt_pages
from genret.corpora.beir_writer import DEV, TEST, TRAIN, Judgement, Record
from genret.corpora.public_files import PublicFiles
from genret.corpus import Document, Query, page_document, task_files
from genret.kilt_passages import WORDS, Passage, passages
from genret.kilt_records import KiltRecord, Span, parse_record


class _Evidence(NamedTuple):
  """What a record says of a page."""

  split: str
  query_id: str
  span: Span


def page_corpus(files: PublicFiles, *, seed: int = 0) -> Iterator[Record]:
  """Every page as a document.

  Args:
    files: the knowledge source and the task files.
    seed: not used; nothing is drawn.

  Raises:
    ValueError: for a bad line, a record without its input, and a task file whose
      name has no split.
  """
  del seed
  for split, record in _task_records(files):
    yield Query(record.record_id, record.question())
    for page_id in record.page_ids:
      yield Judgement(split, record.record_id, page_id)
  for page in _pages(files):
    yield page_document(page)


def passage_corpus(
  files: PublicFiles,
  *,
  seed: int = 0,
  words: int = WORDS,
  across_sections: bool = False,
) -> Iterator[Record]:
  """Every page in passages, which `kilt_passages.passages` cuts.

  A passage answers a query if it shares a character with a span that some output
  names. A provenance without paragraphs, as entity linking has, names the first
  passage of its page. Evidence without any passage (a heading, a page that is not
  there) is a judgement of a document that does not come, which `write_collection`
  refuses or counts.

  Args:
    files: the knowledge source and the task files.
    seed: not used; nothing is drawn.
    words: of a passage.
    across_sections: as for `kilt_passages.passages`.

  Raises:
    ValueError: as `page_corpus`.
  """
  del seed
  wanted: dict[str, list[_Evidence]] = collections.defaultdict(list)
  for split, record in _task_records(files):
    yield Query(record.record_id, record.question())
    for span in record.spans():
      of = _Evidence(split, record.record_id, span)
      wanted[span.page_id].append(of)
  for page in _pages(files):
    cut = list(passages(page, words=words, across_sections=across_sections))
    for passage in cut:
      yield Document(passage.passage_id, passage.title, passage.text)
    yield from _judgements(page.page_id, cut, wanted.pop(page.page_id, []))
  for page_id, left in wanted.items():
    yield from _judgements(page_id, [], left)


def _judgements(
  page_id: str, cut: list[Passage], wanted: list[_Evidence]
) -> Iterator[Judgement]:
  """What is said of a page, each judgement once."""
  found: dict[Judgement, None] = {}
  for split, query_id, span in wanted:
    answering = cut[:1]
    if span.start is not None:
      answering = [passage for passage in cut if passage.overlaps(span)]
    for name in [passage.passage_id for passage in answering] or [page_id]:
      found[Judgement(split, query_id, name)] = None
  yield from found


def _task_records(files: PublicFiles) -> Iterator[tuple[str, KiltRecord]]:
  for file in task_files(files.folder):
    splits = [
      split for split in (TRAIN, DEV, TEST) if f'-{split}' in file.name.lower()
    ]
    if len(splits) != 1:
      raise ValueError(
        f'{file}: expected a name like TASK-dev-kilt.jsonl with one of train, '
        'dev and test, found another; rename the file.'
      )
    for place, line in files.lines(file.name.removesuffix('.gz')):
      yield splits[0], parse_record(place, line)


def _pages(files: PublicFiles) -> Iterator[kilt_pages.Page]:
  for place, line in files.lines(*kilt_pages.PAGE_FILES):
    yield kilt_pages.parse_page(place, line)
