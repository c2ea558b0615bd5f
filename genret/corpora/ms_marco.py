# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""MS MARCO (Bajaj et al., 2016): passages and documents, whole and in part.

| file | line |
|---|---|
| collection.tsv | `pid<TAB>passage` |
| queries.train.tsv, queries.dev.small.tsv | `qid<TAB>query` |
| qrels.train.tsv, qrels.dev.small.tsv | `qid 0 pid 1` |
| msmarco-docs.tsv | `docid<TAB>url<TAB>title<TAB>body` |
| msmarco-doctrain-queries.tsv, msmarco-docdev-queries.tsv | `qid<TAB>query` |
| msmarco-doctrain-qrels.tsv, msmarco-docdev-qrels.tsv | `qid 0 docid 1` |

Only queries with a judgement are written. Documents keep the identifiers and the
order that they have in their file, whatever was drawn.
"""

import array
import itertools
import random
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from genret import qrels_reader
from genret.corpora.beir_writer import DEV, TRAIN, Judgement, Record
from genret.corpora.public_files import PublicFiles
from genret.corpus import Document, Query

PASSAGES = 'collection.tsv'
DOCUMENTS = 'msmarco-docs.tsv'

_PASSAGE_FILES = {
  TRAIN: ('queries.train.tsv', 'qrels.train.tsv'),
  DEV: ('queries.dev.small.tsv', 'qrels.dev.small.tsv'),
}
_DOCUMENT_FILES = {
  TRAIN: ('msmarco-doctrain-queries.tsv', 'msmarco-doctrain-qrels.tsv'),
  DEV: ('msmarco-docdev-queries.tsv', 'msmarco-docdev-qrels.tsv'),
}


class _Pair(NamedTuple):
  """A line of the judgements."""

  query_id: str
  doc_id: str


def passages(files: PublicFiles, *, seed: int = 0) -> Iterator[Record]:
  """All 8,841,823 passages with the judgements of train and of the small dev set.

  Args:
    files: the six files of passages.
    seed: not used; nothing is drawn.
  """
  del seed
  for split, names in _PASSAGE_FILES.items():
    yield from _judged(files, split, names, _pairs(files, names[1]))
  for pid, text in _passages(files):
    yield Document(pid, text=text)


def passage_sample(
  files: PublicFiles,
  *,
  seed: int = 313,
  train: int = 93_020,
  dev: int = 6_980,
) -> Iterator[Record]:
  """MS MARCO 100K of DSI-QG (Zhuang et al., 2022), as its released script draws it.

  Passages that answer training queries are shuffled and the first `train` taken;
  where there are fewer, random passages fill up. Then come `dev` shuffled passages
  that answer dev queries and no training query. Of the queries that a passage
  answers the first one is kept. The same seed gives the same draws as the script's
  under CPython, for files in the same order; only its random fill, which could take
  a passage twice, takes others.

  Args:
    files: the six files of passages; collection.tsv is read twice.
    seed: of the draws.
    train: passages that answer training queries, with the random ones.
    dev: passages that answer dev queries; all where there are fewer.

  Raises:
    ValueError: there are fewer passages in all.
  """
  pairs = {split: _pairs(files, n[1]) for split, n in _PASSAGE_FILES.items()}
  first_query = {split: _first_query(of) for split, of in pairs.items()}
  generator = random.Random(seed)
  # The order of the draws is the script's: all passages, train, dev.
  places = _places(files, {**first_query[TRAIN], **first_query[DEV]})
  order = _shuffled(places.total, generator)
  chosen = list(first_query[TRAIN])
  generator.shuffle(chosen)
  chosen = chosen[:train]
  answers = _unseen_in_script_order(first_query[DEV], first_query[TRAIN])
  generator.shuffle(answers)
  answers = answers[:dev]
  for split, doc_ids in ((TRAIN, chosen), (DEV, answers)):
    yield from _judged(
      files,
      split,
      _PASSAGE_FILES[split],
      [_Pair(first_query[split][doc_id], doc_id) for doc_id in doc_ids],
    )
  total = train + len(answers)
  yield from _filled(files, places, {*chosen, *answers}, order, total)


def passage_subset(
  files: PublicFiles, *, seed: int = 313, total: int = 1_000_000
) -> Iterator[Record]:
  """Every passage that answers some query, and random ones up to a number.

  MS MARCO 1M of Pradeep et al. (EMNLP 2023). Their draws are not public.

  Args:
    files: the six files of passages; collection.tsv is read twice.
    seed: of the random passages.
    total: passages in all.

  Raises:
    ValueError: there are fewer passages, or more that answer queries.
  """
  chosen: set[str] = set()
  for split, names in _PASSAGE_FILES.items():
    pairs = _pairs(files, names[1])
    chosen.update(pair.doc_id for pair in pairs)
    yield from _judged(files, split, names, pairs)
  if len(chosen) > total:
    raise ValueError(
      f'Expected a total of at least {len(chosen)}, the passages that answer '
      f'queries, got {total}.'
    )
  places = _places(files, chosen)
  order = _shuffled(places.total, random.Random(seed))
  yield from _filled(files, places, chosen, order, total)


def documents(files: PublicFiles, *, seed: int = 0) -> Iterator[Record]:
  """All 3,213,835 documents with the judgements of train and dev.

  Args:
    files: the five files of documents.
    seed: not used; nothing is drawn.
  """
  del seed
  for split, names in _DOCUMENT_FILES.items():
    yield from _judged(files, split, names, _pairs(files, names[1]))
  yield from _documents(files)


def document_sample(
  files: PublicFiles,
  *,
  seed: int = 0,
  train: int = 96_948,
  dev: int = 3_000,
) -> Iterator[Record]:
  """Random pairs of both splits, and the documents that they name.

  The 10K and 100K of SE-DSI (Tang et al., KDD 2023), by its numbers of queries; its
  draws are not public, so the number of documents differs a little.

  Args:
    files: the five files of documents.
    seed: of the draws.
    train: training pairs.
    dev: dev pairs.

  Raises:
    ValueError: there are fewer pairs.
  """
  generator = random.Random(seed)
  chosen: set[str] = set()
  counts = {TRAIN: train, DEV: dev}
  for split, names in _DOCUMENT_FILES.items():
    pairs = _pairs(files, names[1])
    if len(pairs) < counts[split]:
      raise ValueError(
        f'Expected {counts[split]} pairs of the split {split}, the judgements '
        f'have {len(pairs)}; lower the option {split}.'
      )
    drawn = sorted(generator.sample(range(len(pairs)), counts[split]))
    pairs = [pairs[index] for index in drawn]
    chosen.update(pair.doc_id for pair in pairs)
    yield from _judged(files, split, names, pairs)
  for document in _documents(files):
    if document.doc_id in chosen:
      yield document


def _pairs(files: PublicFiles, name: str) -> list[_Pair]:
  """The relevant pairs of a file of judgements, once each, in its order."""
  (path,) = files.find(name)
  found = dict.fromkeys(
    _Pair(query_id, doc_id)
    for _, query_id, doc_id, relevance in qrels_reader.rows(path)
    if relevance > 0
  )
  if not found:
    raise ValueError(
      f'{path}: expected judgements, found none; download the file again.'
    )
  return list(found)


def _first_query(pairs: Sequence[_Pair]) -> dict[str, str]:
  """The first query of each document that answers one."""
  found: dict[str, str] = {}
  for query_id, doc_id in pairs:
    found.setdefault(doc_id, query_id)
  return found


def _unseen_in_script_order(
  dev: Mapping[str, str], train: Mapping[str, str]
) -> list[str]:
  """Passages of dev alone, in the order in which a set of their numbers runs.

  The released script shuffles such a set, so its order is part of the draw.
  """
  try:
    numbers = set(map(int, dev)).difference(set(map(int, train)))
  except ValueError as error:
    raise ValueError(
      f'Expected passages with numbers for names, found another ({error}); '
      'check that qrels.train.tsv and qrels.dev.small.tsv are of the passages.'
    ) from error
  return list(map(str, numbers))


def _judged(
  files: PublicFiles,
  split: str,
  names: tuple[str, str],
  pairs: Sequence[_Pair],
) -> Iterator[Record]:
  """The judgements of a split, and the queries that they name."""
  wanted = {pair.query_id for pair in pairs}
  for _, (query_id, text) in files.cells('qid<TAB>query', names[0]):
    if query_id in wanted:
      yield Query(query_id, text)
  for query_id, doc_id in pairs:
    yield Judgement(split, query_id, doc_id)


def _passages(files: PublicFiles) -> Iterator[tuple[str, str]]:
  for _, (pid, text) in files.cells('pid<TAB>passage', PASSAGES):
    yield pid, text


class _Places(NamedTuple):
  """Where passages stand in their file.

  Attributes:
    total: how many there are.
    place_of: the number, from 0, of each that was asked for.
  """

  total: int
  place_of: dict[str, int]


def _places(files: PublicFiles, wanted: Container[str]) -> _Places:
  place, place_of = -1, {}
  for place, (pid, _) in enumerate(_passages(files)):
    if pid in wanted:
      place_of[pid] = place
  return _Places(place + 1, place_of)


def _shuffled(count: int, generator: random.Random) -> Sequence[int]:
  """Numbers from 0 in random order, 8 bytes each."""
  order = array.array('q', range(count))
  generator.shuffle(order)
  return order


def _filled(
  files: PublicFiles,
  places: _Places,
  chosen: Set[str],
  order: Sequence[int],
  total: int,
) -> Iterator[Document]:
  """The chosen passages and the first others of an order, `total` in all."""
  if total > places.total:
    raise ValueError(
      f'Expected {total} passages, {PASSAGES} has {places.total}; ask for '
      'fewer.'
    )
  taken = {places.place_of[pid] for pid in chosen if pid in places.place_of}
  others = (place for place in order if place not in taken)
  fill = set(itertools.islice(others, total - len(chosen)))
  for place, (pid, text) in enumerate(_passages(files)):
    if pid in chosen or place in fill:
      yield Document(pid, text=text)


def _documents(files: PublicFiles) -> Iterator[Document]:
  columns = 'docid<TAB>url<TAB>title<TAB>body'
  for _, (doc_id, url, title, body) in files.cells(columns, DOCUMENTS):
    yield Document(doc_id, title, body, url)
