# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows of the data sets that the package ir_datasets knows by name.

ir_datasets comes with the extra `genret[eval]` and is imported where it is
used. It fetches a data set at its first use, and keeps it.
"""

from collections.abc import Iterator
from typing import Any

PREFIX = 'ir_datasets:'


def load(path: str) -> Any:
  """Returns the ir_datasets data set of 'ir_datasets:NAME'.

  Raises:
    ImportError: where the package is missing.
    ValueError: where it knows no such name.
  """
  name = path.removeprefix(PREFIX)
  try:
    import ir_datasets
  except ImportError as error:
    raise ImportError(
      f'{path}: reading it needs the package ir_datasets, which is not '
      "installed; run pip install 'genret[eval]'."
    ) from error
  try:
    return ir_datasets.load(name)
  except KeyError as error:
    raise ValueError(
      f'{path}: ir_datasets knows no data set named {name!r}; see its '
      'catalogue at https://ir-datasets.com.'
    ) from error


def documents(path: str) -> Iterator[tuple[str, str, str, str, str]]:
  """Yields (place, doc_id, title, text, url)."""
  dataset = load(path)
  if not dataset.has_docs():
    raise ValueError(f'{path}: this data set has no documents; name another.')
  for number, row in enumerate(dataset.docs_iter(), start=1):
    title, text = getattr(row, 'title', ''), getattr(row, 'text', None)
    if text is None:  # default_text() joins all fields, the title included
      title, text = '', row.default_text()
    url = getattr(row, 'url', '') or ''
    place = f'{path}, document {number}'
    yield place, row.doc_id, title or '', text or '', url


def queries(path: str) -> Iterator[tuple[str, str, str]]:
  """Yields (place, query_id, text)."""
  dataset = load(path)
  if not dataset.has_queries():
    raise ValueError(f'{path}: this data set has no queries; name another.')
  for number, row in enumerate(dataset.queries_iter(), start=1):
    yield f'{path}, query {number}', row.query_id, row.default_text() or ''


def qrels(path: str) -> Iterator[tuple[str, str, str, int]]:
  """Yields (place, query_id, doc_id, relevance)."""
  dataset = load(path)
  if not dataset.has_qrels():
    raise ValueError(f'{path}: this data set has no judgements; name another.')
  for number, row in enumerate(dataset.qrels_iter(), start=1):
    place = f'{path}, judgement {number}'
    yield place, row.query_id, row.doc_id, int(row.relevance)
