# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes documents, queries and judgements, as they come, to a BEIR folder."""

import collections
import contextlib
import dataclasses
import gzip
import io
import json
import pathlib
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TextIO

from genret.corpus import Document, Query, documents_hash
from genret.text_files import PathLike, write_text

TRAIN, DEV, TEST = 'train', 'dev', 'test'

_QRELS_HEADER = 'query-id\tcorpus-id\tscore\n'


class Judgement(NamedTuple):
  """A document that answers a query, in one of the splits."""

  split: str
  query_id: str
  doc_id: str
  relevance: int = 1


Record = Document | Query | Judgement


@dataclasses.dataclass(frozen=True)
class Summary:
  """What is in a folder that was written.

  Attributes:
    documents: how many there are.
    empty_documents: those without a title and a text.
    queries: how many there are.
    empty_queries: those without a text.
    pairs: judgements above 0, by split.
    judged: documents that these name, by split.
    dropped: judgements whose document is not there.
    unjudged: queries that no judgement names.
    corpus_hash: `corpus.documents_hash` of the documents.
  """

  documents: int
  empty_documents: int
  queries: int
  empty_queries: int
  pairs: Mapping[str, int]
  judged: Mapping[str, int]
  dropped: int
  unjudged: int
  corpus_hash: str


def write_collection(
  records: Iterable[Record],
  output: PathLike,
  *,
  lower_case: bool = False,
  hold_out: int = 0,
  drop_missing: bool = False,
  compress: bool = True,
  seed: int = 0,
  meta: Mapping[str, Any] | None = None,
) -> Summary:
  """Writes corpus.jsonl, queries.jsonl, qrels/<split>.tsv and meta.json.

  Texts are written as they come and not kept; identifiers and judgements are. The
  folder appears under its name when it is complete.

  Args:
    records: in any order; documents and queries are written in theirs.
    output: a folder that is not there, or is empty.
    lower_case: write titles, texts and queries in lower case, as DSI does.
    hold_out: so many training queries, drawn at random, become the split dev;
      what was dev becomes test.
    drop_missing: leave out and count judgements of documents that do not come,
      which are errors otherwise.
    compress: write corpus.jsonl.gz instead.
    seed: of the draw for hold_out.
    meta: what meta.json says before the counts.

  Raises:
    ValueError: there are no documents or an identifier comes twice; a judgement
      names what does not come; hold_out asks for more than there is.
    FileExistsError: output is there and not empty.
  """
  with new_folder(output) as folder:
    written = _Written(lower_case=lower_case)
    with (
      text_file(folder / 'corpus.jsonl', compress) as corpus,
      text_file(folder / 'queries.jsonl', False) as queries,
    ):
      corpus_hash = documents_hash(written.write(records, corpus, queries))
    if not written.doc_ids:
      raise ValueError(
        'Expected documents, the public files gave none; check that they are '
        'whole.'
      )
    judgements = _checked(written, drop_missing)
    dropped = len(written.judgements) - len(judgements)
    if hold_out:
      judgements = _held_out(judgements, hold_out, seed)
    _write_qrels(folder, judgements)
    summary = _summary(written, judgements, dropped, corpus_hash)
    write_text(
      folder / 'meta.json',
      json.dumps({**(meta or {}), **dataclasses.asdict(summary)}, indent=2),
    )
  return summary


@contextlib.contextmanager
def new_folder(output: PathLike) -> Iterator[pathlib.Path]:
  """A folder to write into, which appears under its name when that is done.

  Args:
    output: a folder that is not there, or is empty.

  Raises:
    FileExistsError: output is there and not empty.
  """
  output = pathlib.Path(output)
  if output.exists() and not (output.is_dir() and not any(output.iterdir())):
    raise FileExistsError(
      f'Expected --output to be a new folder, {output} is there; name another, '
      'or remove it.'
    )
  output.parent.mkdir(parents=True, exist_ok=True)
  folder = pathlib.Path(
    tempfile.mkdtemp(dir=output.parent, prefix=f'.{output.name}.')
  )
  try:
    yield folder
    folder.chmod(0o755)
    folder.replace(output)
  except BaseException:
    shutil.rmtree(folder, ignore_errors=True)
    raise


@dataclasses.dataclass
class _Written:
  """What has come so far."""

  lower_case: bool
  doc_ids: set[str] = dataclasses.field(default_factory=set)
  query_ids: set[str] = dataclasses.field(default_factory=set)
  judgements: list[Judgement] = dataclasses.field(default_factory=list)
  empty_documents: int = 0
  empty_queries: int = 0

  def write(
    self, records: Iterable[Record], corpus: TextIO, queries: TextIO
  ) -> Iterator[Document]:
    """Writes records to the two files and yields the documents as written."""
    for record in records:
      if isinstance(record, Judgement):
        self.judgements.append(record)
      elif isinstance(record, Query):
        self._write_query(record, queries)
      else:
        yield self._write_document(record, corpus)

  def _write_document(self, document: Document, file: TextIO) -> Document:
    _add(self.doc_ids, document.doc_id, 'document')
    if self.lower_case:
      document = dataclasses.replace(
        document, title=document.title.lower(), text=document.text.lower()
      )
    self.empty_documents += not (document.title + document.text).strip()
    row = {
      '_id': document.doc_id,
      'title': document.title,
      'text': document.text,
      **({'url': document.url} if document.url else {}),
    }
    file.write(json.dumps(row, ensure_ascii=False) + '\n')
    return document

  def _write_query(self, query: Query, file: TextIO) -> None:
    _add(self.query_ids, query.query_id, 'query')
    text = query.text.lower() if self.lower_case else query.text
    self.empty_queries += not text.strip()
    row = {'_id': query.query_id, 'text': text}
    file.write(json.dumps(row, ensure_ascii=False) + '\n')


def _add(known: set[str], name: str, kind: str) -> None:
  if name in known:
    raise ValueError(
      f'Expected each {kind} once, {kind} {name!r} comes twice; check that no '
      'public file is there in two copies.'
    )
  known.add(name)


@contextlib.contextmanager
def text_file(path: pathlib.Path, compress: bool) -> Iterator[TextIO]:
  """Opens a file to write, `path`.gz if compressed; equal texts, equal bytes."""
  if not compress:
    with open(path, 'w', encoding='utf-8', newline='\n') as file:
      yield file
    return
  with (
    open(f'{path}.gz', 'wb') as raw,
    gzip.GzipFile('', 'wb', 5, fileobj=raw, mtime=0) as packed,
    io.TextIOWrapper(packed, encoding='utf-8', newline='\n') as file,
  ):
    yield file


def _checked(written: _Written, drop_missing: bool) -> list[Judgement]:
  """The judgements whose document came; queries must have come."""
  for judgement in written.judgements:
    if judgement.query_id not in written.query_ids:
      raise ValueError(
        f'Expected the query {judgement.query_id!r} that a judgement of the '
        f'split {judgement.split} names, the files of queries lack it; check '
        'that they belong together.'
      )
    if judgement.doc_id not in written.doc_ids and not drop_missing:
      raise ValueError(
        f'Expected the document {judgement.doc_id!r} that answers the query '
        f'{judgement.query_id!r} of the split {judgement.split}, the corpus '
        'lacks it; check that its file is whole, or leave such judgements out '
        'with --drop-missing.'
      )
  return [j for j in written.judgements if j.doc_id in written.doc_ids]


def _held_out(
  judgements: list[Judgement], count: int, seed: int
) -> list[Judgement]:
  """Moves training queries to dev, and dev to test."""
  names = dict.fromkeys(j.query_id for j in judgements if j.split == TRAIN)
  if any(j.split == TEST for j in judgements):
    raise ValueError(
      'Expected a corpus without a test split to hold queries out, this one '
      'has one; use its dev split.'
    )
  if not 0 < count < len(names):
    raise ValueError(
      f'Expected to hold out fewer than the {len(names)} training queries, got '
      f'{count}.'
    )
  chosen = set(random.Random(seed).sample(list(names), count))

  def split(judgement: Judgement) -> str:
    if judgement.split == DEV:
      return TEST
    return DEV if judgement.query_id in chosen else judgement.split

  return [j._replace(split=split(j)) for j in judgements]


def _write_qrels(folder: pathlib.Path, judgements: list[Judgement]) -> None:
  rows = collections.defaultdict(list)
  for j in judgements:
    rows[j.split].append(f'{j.query_id}\t{j.doc_id}\t{j.relevance}\n')
  for split, lines in rows.items():
    path = folder / 'qrels' / f'{split}.tsv'
    write_text(path, ''.join([_QRELS_HEADER, *lines]))


def _summary(
  written: _Written,
  judgements: list[Judgement],
  dropped: int,
  corpus_hash: str,
) -> Summary:
  relevant = [j for j in judgements if j.relevance > 0]
  judged: dict[str, set[str]] = collections.defaultdict(set)
  for j in relevant:
    judged[j.split].add(j.doc_id)
  splits = sorted(judged, key=(TRAIN, DEV, TEST).index)
  pairs = collections.Counter(j.split for j in relevant)
  return Summary(
    documents=len(written.doc_ids),
    empty_documents=written.empty_documents,
    queries=len(written.query_ids),
    empty_queries=written.empty_queries,
    pairs={split: pairs[split] for split in splits},
    judged={split: len(judged[split]) for split in splits},
    dropped=dropped,
    unjudged=len(written.query_ids - {j.query_id for j in judgements}),
    corpus_hash=corpus_hash,
  )
