# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Documents, queries and judgements, read from the formats in use.

| source               | documents                        | queries           |
|----------------------|----------------------------------|-------------------|
| BEIR folder          | `corpus.jsonl[.gz]`              | `queries.jsonl`   |
| `.jsonl[.gz]`        | `{_id or id or doc_id, title, text, url}` | `{_id ..., text}` |
| `.tsv[.gz]`          | `docid<TAB>title<TAB>text`       | `qid<TAB>text`    |
| `ir_datasets:NAME`   | `docs_iter()`                    | `queries_iter()`  |
| `genret:NAME`        | a BEIR folder that comes with genret | |
| KILT folder          | pages of `kilt_knowledgesource.json` or `kilt.jsonl[.gz]` | `*-kilt.jsonl[.gz]` |
| KILT file            | pages, see `kilt_pages`          | `{id, input, output}` |

Readers stream, keep the order of the file, and name file and line of whatever
is wrong. A document or query without words is kept, and counted by
`Collection`: an identifier must exist for every document.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from genret import (
  genre,
  ir_datasets_reader,
  kilt_pages,
  kilt_records,
  qrels_reader,
  unseen,
)
from genret.text_files import PathLike, read_lines

Qrels = dict[str, dict[str, int]]

IR_DATASETS = ir_datasets_reader.PREFIX
# SQuADShifts New-Wiki: 1,581 Wikipedia paragraphs, 7,737 human questions.
SQUADSHIFTS_WIKI = pathlib.Path(__file__).parent / 'data' / 'squadshifts_wiki'

# What a record of KILT is as a query: its input, or what `genre.input_text` makes
# of it. Queries of other formats are their text in either form.
QUERY_FORMS = ('input', 'genre')

_TASK_FILE = '-kilt.jsonl'
_TASK_ENDINGS = (_TASK_FILE, f'{_TASK_FILE}.gz')

_ID_FIELDS = ('_id', 'id', 'doc_id', 'query_id', 'wikipedia_id')


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
  """One retrievable text; all but `doc_id` may be empty."""

  doc_id: str
  title: str = ''
  text: str = ''
  url: str = ''

  def read_with(self, prefix: str) -> str:
    """What a model reads of it: prefix, title and text."""
    return f'{prefix}{self.title} {self.text}'.strip()


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
  """One information need in words."""

  query_id: str
  text: str = ''


@dataclasses.dataclass(frozen=True)
class Collection:
  """A corpus with its queries and judgements, in memory.

  Attributes:
    name: last part of the path or data set name.
    documents: in file order; a document's index is its place here.
    queries: `{query_id: text}`, in file order.
    qrels: `{split: {query_id: {doc_id: relevance}}}`.
    hash: sha256 (hex) over the documents, see `documents_hash`.
  """

  name: str
  documents: list[Document]
  queries: dict[str, str]
  qrels: dict[str, Qrels]
  hash: str

  @property
  def empty_documents(self) -> int:
    """Documents with neither a title nor a text."""
    return sum(not (d.title + d.text).strip() for d in self.documents)

  @property
  def empty_queries(self) -> int:
    """Queries without any text."""
    return sum(not text.strip() for text in self.queries.values())

  def unknown_judgements(self, split: str) -> int:
    """Judgements whose query or document this collection does not hold."""
    known = {document.doc_id for document in self.documents}
    return sum(
      query_id not in self.queries or doc_id not in known
      for query_id, judged in self.qrels[split].items()
      for doc_id in judged
    )

  def queries_by_document(
    self,
    split: str | None,
    *,
    unseen_share: float = 0.0,
    unseen_seed: int = 0,
  ) -> dict[str, list[str]]:
    """For each document id the queries of the split that it answers.

    Args:
      split: name of a file in qrels/; None for no queries at all.
      unseen_share: so many documents get none (`genret.unseen`).
      unseen_seed: which ones.

    Raises:
      ValueError: there is no such split.
    """
    found: dict[str, list[str]] = {d.doc_id: [] for d in self.documents}
    withheld = unseen.unseen_documents(found, unseen_share, unseen_seed)
    if split is None:
      return found
    if split not in self.qrels:
      raise ValueError(
        f'Expected one of the splits {", ".join(self.qrels)}, got {split!r}.'
      )
    for query_id, judgements in self.qrels[split].items():
      if query_id not in self.queries:
        continue  # counted by `unknown_judgements`
      for doc_id, relevance in judgements.items():
        if relevance > 0 and doc_id in found and doc_id not in withheld:
          found[doc_id].append(self.queries[query_id])
    return found


def resolve(path: PathLike) -> PathLike:
  """Gives the folder of a collection that comes with genret, by name.

  Args:
    path: `genret:NAME`, such as 'genret:squadshifts_wiki'; anything else is
      returned as it is.

  Raises:
    ValueError: for a name that genret does not ship.
  """
  prefix, _, name = str(path).partition(':')
  if prefix != 'genret':
    return path
  shipped = sorted(p.name for p in SQUADSHIFTS_WIKI.parent.iterdir())
  if name not in shipped:
    raise ValueError(
      f'{path}: expected one of the shipped collections '
      f'{", ".join(shipped)}; choose one, or give a folder.'
    )
  return SQUADSHIFTS_WIKI.parent / name


def read_documents(path: PathLike) -> Iterator[Document]:
  """Streams documents of a BEIR or KILT folder, a file, or a named collection.

  A page of KILT is a document with the page's id, title and text; passages are
  made by `genret corpus kilt-passages`.

  Raises:
    ValueError: for a bad line or a repeated identifier, naming the place.
    FileNotFoundError: where there is no such folder or file.
  """
  path = resolve(path)
  if str(path).startswith(IR_DATASETS):
    rows = ir_datasets_reader.documents(str(path))
    records = ((place, Document(*fields)) for place, *fields in rows)
    return _unique(records, 'document')
  read = {
    '.tsv': _tsv_document,
    '.jsonl': _json_document,
    '.json': _kilt_document,
  }
  return _unique(_records(path, 'corpus', read), 'document')


def read_queries(path: PathLike, *, form: str = 'input') -> Iterator[Query]:
  """Streams queries; sources and errors as for `read_documents`.

  Args:
    path: the source.
    form: one of QUERY_FORMS, that of records of KILT.

  Raises:
    ValueError: for another form, too.
  """
  check_query_form(form)
  path = resolve(path)
  if str(path).startswith(IR_DATASETS):
    rows = ir_datasets_reader.queries(str(path))
    records = ((place, Query(*fields)) for place, *fields in rows)
    return _unique(records, 'query')
  read: dict[str, Callable[[str, str], Query]] = {
    '.tsv': _tsv_query,
    '.jsonl': functools.partial(_json_query, form=form),
  }
  if _beir_file(path, 'queries') is None:
    tasks = task_files(path)
    if tasks:
      found = (row for file in tasks for row in _records(file, 'queries', read))
      return _unique(found, 'query')
  return _unique(_records(path, 'queries', read), 'query')


def check_query_form(form: str) -> None:
  """Refuses what is none of QUERY_FORMS."""
  if form not in QUERY_FORMS:
    raise ValueError(
      f'Expected queries in the form {" or ".join(QUERY_FORMS)}, got {form!r}; '
      'choose one.'
    )


def read_qrels(path: PathLike) -> Qrels:
  """Reads judgements: BEIR (header, 3 columns), TREC (4) or KILT, by content.

  A task file of KILT judges every page that some output names 1.

  Args:
    path: a file, plain or .gz, `ir_datasets:NAME`, or `genret:NAME/SPLIT` for
      judgements that come with genret, such as 'genret:squadshifts_wiki/test'.

  Returns:
    `{query_id: {doc_id: relevance}}`. Relevance is an integer of any sign.

  Raises:
    ValueError: for a bad line, naming it, for a pair judged twice with
      different relevance (a repeated equal line is harmless), and for a folder.
    FileNotFoundError: where there is no such file.
  """
  qrels: Qrels = {}
  if str(path).startswith('genret:'):
    path = _shipped_qrels(str(path))
  if str(path).startswith(IR_DATASETS):
    rows = ir_datasets_reader.qrels(str(path))
  else:
    rows = qrels_reader.rows(path)
  for place, query_id, doc_id, relevance in rows:
    judged = qrels.setdefault(query_id, {})
    if judged.setdefault(doc_id, relevance) != relevance:
      raise ValueError(
        f'{place}: query {query_id!r} and document {doc_id!r} were already '
        f'judged {judged[doc_id]}, now {relevance}; keep one of the two lines.'
      )
  return qrels


def load_collection(path: PathLike, *, query_form: str = 'input') -> Collection:
  """Reads a whole collection into memory.

  Args:
    path: a BEIR folder (queries and `qrels/<split>.tsv[.gz]` are optional), a
      document file (then without queries), a KILT folder, where 'nq-dev' is the
      split of nq-dev-kilt.jsonl (one without any page is none), or `ir_datasets:NAME`, whose
      judgements become one split, named after the last part of NAME where
      that is train, dev or test, else 'test'.
    query_form: as `read_queries` takes it.
  """
  path = resolve(path)
  documents = list(read_documents(path))
  queries: list[Query] = []
  qrels: dict[str, Qrels] = {}
  name = pathlib.Path(path).resolve().name
  if str(path).startswith(IR_DATASETS):
    dataset = ir_datasets_reader.load(str(path))
    if dataset.has_queries():
      queries = list(read_queries(path, form=query_form))
    if dataset.has_qrels():
      split = name if name in ('train', 'dev', 'test') else 'test'
      qrels[split] = read_qrels(path)
  elif pathlib.Path(path).is_dir():
    tasks = task_files(path)
    if _beir_file(path, 'queries') is not None or tasks:
      queries = list(read_queries(path, form=query_form))
    for file in tasks:
      judged = read_qrels(file)
      if judged:
        qrels[file.name.partition(_TASK_FILE)[0]] = judged
    for file in sorted((pathlib.Path(path) / 'qrels').glob('*.tsv*')):
      split, _, ending = file.name.partition('.')
      if ending in ('tsv', 'tsv.gz'):
        qrels[split] = read_qrels(file)
  return Collection(
    name=name,
    documents=documents,
    queries={query.query_id: query.text for query in queries},
    qrels=qrels,
    hash=documents_hash(documents),
  )


def task_files(folder: PathLike) -> list[pathlib.Path]:
  """The task files of a KILT folder by name, `*-kilt.jsonl[.gz]`.

  Raises:
    ValueError: a file is there twice, plain and compressed.
  """
  found = sorted(pathlib.Path(folder).glob(f'*{_TASK_FILE}*'))
  files = [file for file in found if file.name.endswith(_TASK_ENDINGS)]
  for first, second in itertools.pairwise(files):
    if second.name == f'{first.name}.gz':
      raise ValueError(
        f'{folder}: expected each task file once, found {first.name} and '
        f'{second.name}; move one away.'
      )
  return files


def documents_hash(documents: Iterable[Document]) -> str:
  """Returns sha256 over (doc_id, title, text) of the documents in order.

  Each field is preceded by its length, so that no two corpora share a stream;
  the file format and compression do not matter.
  """
  digest = hashlib.sha256()
  for document in documents:
    for field in (document.doc_id, document.title, document.text):
      data = field.encode()
      digest.update(len(data).to_bytes(8, 'little'))
      digest.update(data)
    if document.url:
      data = document.url.encode()
      digest.update(b'\xff' * 8)  # a length that no field has
      digest.update(len(data).to_bytes(8, 'little'))
      digest.update(data)
  return digest.hexdigest()


def _unique(records: Iterator[tuple[str, Any]], kind: str) -> Iterator[Any]:
  """Passes records on; refuses the second with the same identifier."""
  seen: dict[str, str] = {}
  for place, record in records:
    name = record.doc_id if kind == 'document' else record.query_id
    first = seen.setdefault(name, place)
    if first is not place:
      raise ValueError(
        f'{place}: {kind} id {name!r} was already used in {first}; give each '
        f'{kind} its own id.'
      )
    yield record


def _shipped_qrels(path: str) -> pathlib.Path:
  """The file of `genret:NAME/SPLIT`."""
  name, _, split = path.partition('/')
  folder = pathlib.Path(resolve(name)) / 'qrels'
  splits = sorted(file.stem for file in folder.glob('*.tsv'))
  if split not in splits:
    raise ValueError(
      f'{path}: expected {name}/SPLIT with one of the splits '
      f'{", ".join(splits)}, found {split!r}; name one of them.'
    )
  return folder / f'{split}.tsv'


def _beir_file(folder: PathLike, stem: str) -> pathlib.Path | None:
  """Returns `<stem>.jsonl` of a BEIR folder, else the `.gz`, else None."""
  for ending in ('.jsonl', '.jsonl.gz'):
    file = pathlib.Path(folder) / f'{stem}{ending}'
    if file.is_file():
      return file
  return None


def _records(
  path: PathLike, stem: str, parsers: Mapping[str, Callable[[str, str], Any]]
) -> Iterator[tuple[str, Any]]:
  """Yields (place, record) of a BEIR folder's file or of a single file."""
  file = pathlib.Path(path)
  if file.is_dir():
    found = _beir_file(path, stem)
    if found is None and stem == 'corpus':
      found = kilt_pages.find_pages(path)
    if found is None:
      raise FileNotFoundError(
        f'{path}: expected a BEIR folder with {stem}.jsonl or '
        f'{stem}.jsonl.gz, or a KILT folder, found neither; check the folder.'
      )
    file = found
  if not file.exists():
    raise FileNotFoundError(
      f'{path}: expected a BEIR folder, a .tsv or a .jsonl file, found no such '
      'file or folder; check the path.'
    )
  ending = pathlib.Path(file.name.removesuffix('.gz')).suffix
  if ending not in parsers:
    raise ValueError(
      f'{path}: expected a BEIR folder, a .tsv or a .jsonl file (plain or '
      f'.gz) or {IR_DATASETS}NAME, found a name that ends in {ending!r}; '
      'rename or convert it.'
    )
  for place, line in read_lines(file):
    yield place, parsers[ending](place, line)


def _json_fields(place: str, line: str) -> tuple[str, dict[str, Any]]:
  """Returns (identifier, fields) of one JSON object."""
  try:
    fields = json.loads(line)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f'{place}: expected one JSON object, found text that does not parse '
      f'({error}); write one object a line.'
    ) from error
  if not isinstance(fields, dict):
    raise ValueError(
      f'{place}: expected a JSON object, found {type(fields).__name__}; write '
      'an object with _id and text.'
    )
  identifier = next((fields[key] for key in _ID_FIELDS if key in fields), None)
  if isinstance(identifier, int) and not isinstance(identifier, bool):
    identifier = str(identifier)
  if not isinstance(identifier, str) or not identifier.strip():
    raise ValueError(
      f'{place}: expected an identifier (a string or an integer) under _id, id '
      f'or doc_id, found {identifier!r} among {sorted(fields)}; add one.'
    )
  # JSON can spell half a surrogate pair, which no UTF-8 file can hold.
  if '\\ud' in line.lower():
    try:
      json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
      raise ValueError(
        f'{place}: found half of a surrogate pair (\\ud8xx or \\udcxx), which '
        'is no character; remove it.'
      ) from error
  return identifier, fields


def _json_text(place: str, fields: dict[str, Any], key: str) -> str:
  """Returns a text field; null or a missing field is the empty text."""
  value = fields.get(key)
  if value is None:
    return ''
  if not isinstance(value, str):
    raise ValueError(
      f'{place}: expected a string under {key}, found '
      f'{type(value).__name__}; write the text itself.'
    )
  return value


def page_document(page: kilt_pages.Page) -> Document:
  """The document that a page of KILT is."""
  return Document(page.page_id, page.title, page.text())


def _kilt_document(place: str, line: str) -> Document:
  return page_document(kilt_pages.parse_page(place, line))


def _json_document(place: str, line: str) -> Document:
  doc_id, fields = _json_fields(place, line)
  if kilt_pages.is_page(fields):
    return page_document(kilt_pages.page_of(place, fields))
  if 'title' not in fields and 'text' not in fields:
    raise ValueError(
      f'{place}: expected title or text, found only {sorted(fields)}; rename '
      'the field that holds the text.'
    )
  # BEIR keeps what is neither title nor text in an object of its own.
  extra = fields.get('metadata')
  if 'url' not in fields and isinstance(extra, dict):
    fields = {**fields, 'url': extra.get('url')}
  names = ('title', 'text', 'url')
  return Document(doc_id, *(_json_text(place, fields, name) for name in names))


def _json_query(place: str, line: str, *, form: str) -> Query:
  query_id, fields = _json_fields(place, line)
  if 'text' not in fields and 'input' in fields:
    record = kilt_records.parse_record(place, line)
    text = record.question() if form == 'input' else genre.input_text(record)
    return Query(record.record_id, text)
  if 'text' not in fields:
    raise ValueError(
      f'{place}: expected text, found only {sorted(fields)}; rename the field '
      'that holds the query.'
    )
  return Query(query_id, _json_text(place, fields, 'text'))


def _columns(place: str, line: str, names: str) -> list[str]:
  """Splits a TSV line; tabs beyond the last column belong to the text."""
  count = len(names.split('<TAB>'))
  columns = line.split('\t', count - 1)
  if len(columns) != count:
    raise ValueError(
      f'{place}: expected {names}, found {len(columns)} column'
      f'{"s" * (len(columns) != 1)}; separate the columns by single tabs.'
    )
  if not columns[0].strip():
    raise ValueError(
      f'{place}: expected {names}, found an empty identifier; add one.'
    )
  return columns


def _tsv_document(place: str, line: str) -> Document:
  return Document(*_columns(place, line, 'docid<TAB>title<TAB>text'))


def _tsv_query(place: str, line: str) -> Query:
  return Query(*_columns(place, line, 'qid<TAB>text'))
