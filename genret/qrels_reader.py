# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows of files of judgements: BEIR's with a header, TREC's, and KILT's tasks."""

import pathlib
from collections.abc import Iterator

from genret.kilt_records import parse_record
from genret.text_files import PathLike, read_lines


def rows(path: PathLike) -> Iterator[tuple[str, str, str, int]]:
  """Yields (place, query_id, doc_id, relevance); finds the format itself.

  Raises:
    ValueError: for a folder and for a bad line, naming it.
    FileNotFoundError: where there is no such file.
  """
  if pathlib.Path(path).is_dir():
    raise ValueError(
      f'{path}: expected a file of judgements, found a folder; name the file, '
      'such as qrels/test.tsv of a BEIR folder.'
    )
  if not pathlib.Path(path).exists():
    raise FileNotFoundError(
      f'{path}: expected a file of judgements, found no such file; check the '
      'path.'
    )
  beir = None
  for place, line in read_lines(path):
    if beir is None and line.lstrip().startswith('{'):
      record = parse_record(place, line)
      for page in record.page_ids:
        yield place, record.record_id, page, 1
      continue
    if beir is None:
      cells = line.split('\t')
      beir = len(cells) == 3 and not _is_integer(cells[2])
      if beir:
        continue
    if beir:
      cells, expected = line.split('\t'), 'query-id<TAB>corpus-id<TAB>score'
      query_id, doc_id, relevance = cells if len(cells) == 3 else ('', '', '')
    else:
      # Two tabs: BEIR without its header, whose ids may contain spaces.
      cells = [] if line.count('\t') == 2 else line.split()
      expected = 'qid 0 docid relevance (or the BEIR header query-id<TAB>'
      expected += 'corpus-id<TAB>score in the first line)'
      query_id, _, doc_id, relevance = cells if len(cells) == 4 else [''] * 4
    if not (query_id.strip() and doc_id.strip() and _is_integer(relevance)):
      raise ValueError(
        f'{place}: expected {expected} with an integer at the end, found '
        f'{line!r}; correct the line.'
      )
    yield place, query_id, doc_id, int(relevance)


def _is_integer(text: str) -> bool:
  return text.strip().removeprefix('-').removeprefix('+').isdecimal()
