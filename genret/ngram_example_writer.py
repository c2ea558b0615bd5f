# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes the training examples of a corpus to a folder, with several processes.

The corpus is read twice and streamed; held in memory are the queries, the
documents that the split judges, pseudo-queries, and the shards in work. A run
that was killed goes on where it was. The files depend on the corpus and on the
settings, not on the number of processes; `ngram_example_files` has their format.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import multiprocessing
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tqdm

from genret import corpus as corpus_lib
from genret import ngram_example_files as files
from genret import ngram_examples, unseen
from genret.corpus import Collection, Document
from genret.ngram_examples import Supervised, Unsupervised
from genret.pseudo_queries import read_pseudo_queries
from genret.text_files import PathLike

# Of each kind that is wanted, in the order of `ngram_example_files.KINDS`.
_Options = Mapping[str, Supervised | Unsupervised]
_Shards = dict[str, dict[str, Any]]


class Summary(NamedTuple):
  """What is in a folder, and what it was made from.

  Attributes:
    counts: examples by kind, view and grade: {'supervised body gold': 10}.
    written: examples that were not there before.
    missing: examples that the options ask for and that a document or pair does
      not give, for want of a title, a text or a pseudo-query.
    documents: of the corpus.
    untitled: those without a title.
    empty: those without a text.
    pairs: of a query and a relevant document.
    unknown: relevant judgements whose query or document is not there.
  """

  counts: dict[str, int]
  written: int
  missing: int
  documents: int
  untitled: int
  empty: int
  pairs: int
  unknown: int
  of_unseen: int


class _Row(NamedTuple):
  """What examples are made of: a document, and a query that asks for it."""

  document: Document
  pseudo_queries: Sequence[str]
  query_id: str = ''
  query: str = ''


class _Shard(NamedTuple):
  """A file to write."""

  path: pathlib.Path
  kind: str
  rows: list[_Row]


class _Survey(NamedTuple):
  """A corpus after one reading.

  Attributes:
    counts: of documents, those that are untitled and those that are empty.
    relevant: judgements of the split, as (query id, document id).
    pairs: those of them whose query and document are there.
    collection: the queries, and the documents that are judged.
    queries_of: pseudo-queries by document id.
    of_unseen: how many judgements were left out, of unseen documents.
  """

  counts: Mapping[str, int]
  relevant: list[tuple[str, str]]
  pairs: list[tuple[str, str]]
  collection: Collection
  queries_of: Mapping[str, Sequence[str]]
  of_unseen: int


def write_examples(
  corpus: PathLike,
  output: PathLike,
  *,
  supervised: Supervised | None = ngram_examples.SUPERVISED,
  unsupervised: Unsupervised | None = ngram_examples.UNSUPERVISED,
  split: str = 'train',
  pseudo_queries: PathLike | None = None,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  jobs: int = 1,
  shard_size: int = 10_000,
  seed: int = 0,
  progress: bool = False,
) -> Summary:
  """Writes a folder of examples, or what is missing in it.

  Args:
    corpus: a BEIR folder, or anything `corpus.load_collection` reads.
    output: a new folder, or one that was written with the same arguments.
    supervised: what pairs give; None for no such examples.
    unsupervised: what documents give; None for no such examples.
    split: whose relevant documents make pairs.
    pseudo_queries: as `read_pseudo_queries` takes them.
    unseen_share: keep the pairs of so many documents out (`genret.unseen`), and
      the pseudo-queries that are those of a split.
    unseen_seed: which ones.
    jobs: processes.
    shard_size: pairs or documents of a file.
    seed: of the draws.
    progress: show how far it is.

  Raises:
    ValueError: for options, a split or numbers that cannot be, nothing to make
      examples of, or a folder of something else.
  """
  for name, number in (('jobs', jobs), ('shard_size', shard_size)):
    if number < 1:
      raise ValueError(f'Expected {name} of at least 1, got {number}.')
  chosen = zip(files.KINDS, (supervised, unsupervised), strict=True)
  options = {kind: of for kind, of in chosen if of is not None}
  if pseudo_queries is None and any(o.needs_queries for o in options.values()):
    raise ValueError(
      'Expected pseudo_queries, which these options make examples from, got '
      'none; name a file or a split.'
    )
  withheld = {'unseen_share': unseen_share, 'unseen_seed': unseen_seed}
  survey = _survey(
    corpus,
    split if supervised is not None else None,
    pseudo_queries,
    withheld,
    progress=progress,
  )
  rows = {kind: _count(survey, kind) for kind in options}
  shards = _planned_shards(rows, shard_size)
  settings = _settings(survey, options, shard_size=shard_size, seed=seed)
  if unseen_share:  # folders without it are as they were
    settings |= withheld
  output = pathlib.Path(output)
  shards = files.open_folder(output, settings, shards)
  todo = [name for name, shard in shards.items() if 'counts' not in shard]
  with tqdm.tqdm(
    desc='writing', total=len(todo), unit='shard', disable=not progress
  ) as bar:
    for name, counts in _in_processes(
      functools.partial(_write_shard, options=options, seed=seed),
      _shards(corpus, survey, output, shards, shard_size),
      jobs,
    ):
      shards[name]['counts'] = counts
      files.write_header(output, settings, shards)
      bar.update()
  wanted = sum(rows[kind] * of.examples for kind, of in options.items())
  return _summary(survey, shards, todo, wanted)


def _survey(
  corpus: PathLike,
  split: str | None,
  pseudo_queries: PathLike | None,
  withheld: Mapping[str, Any],
  *,
  progress: bool,
) -> _Survey:
  """Reads the documents once, and all of the rest that is needed."""
  judged = _judgements(corpus)
  if split is not None and split not in judged:
    raise ValueError(
      f'Expected one of the splits {", ".join(judged) or "(none)"}, got '
      f'{split!r}; name one of them, or ask for unsupervised examples only.'
    )
  splits = [name for name in judged if name in (split, str(pseudo_queries))]
  qrels = {name: corpus_lib.read_qrels(judged[name]) for name in splits}
  queries = {}
  if qrels:
    read_queries = corpus_lib.read_queries(corpus)
    queries = {query.query_id: query.text for query in read_queries}
  relevant = [
    (query_id, doc_id)
    for query_id, documents in qrels.get(split or '', {}).items()
    for doc_id, relevance in documents.items()
    if relevance > 0
  ]
  hidden = unseen.unseen_documents(
    {doc_id for _, doc_id in relevant},
    withheld['unseen_share'],
    withheld['unseen_seed'],
  )
  of_unseen = sum(doc_id in hidden for _, doc_id in relevant)
  relevant = [pair for pair in relevant if pair[1] not in hidden]
  wanted = {doc_id for _, doc_id in relevant}
  named = {d for split in qrels.values() for of in split.values() for d in of}
  kept: list[Document] = []
  counts = collections.Counter(documents=0, untitled=0, empty=0)

  def documents() -> Iterator[Document]:
    read = corpus_lib.read_documents(corpus)
    for document in tqdm.tqdm(
      read, 'reading documents', unit='doc', disable=not progress
    ):
      counts['documents'] += 1
      counts['untitled'] += not document.title.strip()
      counts['empty'] += not document.text.strip()
      if document.doc_id in wanted:
        kept.append(document)
      elif document.doc_id in named:
        kept.append(Document(document.doc_id))
      yield document

  digest = corpus_lib.documents_hash(documents())
  collection = Collection('', kept, queries, qrels, digest)
  known = {document.doc_id for document in kept}
  return _Survey(
    counts=counts,
    relevant=relevant,
    pairs=[(q, d) for q, d in relevant if q in queries and d in known],
    collection=collection,
    queries_of=read_pseudo_queries(pseudo_queries, collection, **withheld),
    of_unseen=of_unseen,
  )


def _judgements(corpus: PathLike) -> dict[str, PathLike]:
  """What `read_qrels` takes for each split of a corpus."""
  path = corpus_lib.resolve(corpus)
  if str(path).startswith(corpus_lib.IR_DATASETS):
    name = pathlib.PurePosixPath(str(path)).name
    return {name if name in ('train', 'dev', 'test') else 'test': path}
  found: dict[str, PathLike] = {}
  for file in sorted((pathlib.Path(path) / 'qrels').glob('*.tsv*')):
    split, _, ending = file.name.partition('.')
    if ending in ('tsv', 'tsv.gz'):
      found[split] = file
  return found


def _count(survey: _Survey, kind: str) -> int:
  """Pairs or documents that there are for a kind of examples."""
  if kind == 'supervised':
    return len(survey.pairs)
  return survey.counts['documents']


def _settings(
  survey: _Survey, options: _Options, *, shard_size: int, seed: int
) -> dict[str, Any]:
  """All that the files depend on."""
  queries = survey.collection.queries
  pairs = ((q, queries[q], d) for q, d in survey.pairs)
  settings = {
    'version': files.VERSION,
    'corpus_hash': survey.collection.hash,
    'pairs_hash': _hash(pairs),
    'pseudo_queries_hash': _hash(survey.queries_of.items()),
    'shard_size': shard_size,
    'seed': seed,
  } | {kind: dataclasses.asdict(of) for kind, of in options.items()}
  # As a header says it, which has lists and no tuples.
  found: dict[str, Any] = json.loads(json.dumps(settings))
  return found


def _hash(items: Iterable[Any]) -> str:
  digest = hashlib.sha256()
  for item in items:
    digest.update(json.dumps(item).encode() + b'\n')
  return digest.hexdigest()


def _planned_shards(rows: Mapping[str, int], shard_size: int) -> _Shards:
  """The files that there will be, as `write_header` takes them."""
  shards: _Shards = {}
  for kind, count in rows.items():
    if not count:
      raise ValueError(
        f'Expected something to make {kind} examples of, the corpus has none; '
        'check its documents and judgements.'
      )
    names = files.shard_names(kind, -(-count // shard_size))
    shards |= {name: {'kind': kind} for name in names}
  return shards


def _shards(
  corpus: PathLike,
  survey: _Survey,
  output: pathlib.Path,
  shards: _Shards,
  shard_size: int,
) -> Iterator[_Shard]:
  """The shards that are not complete, with what goes into them."""
  rows = {
    'supervised': lambda: _pair_rows(survey),
    'unsupervised': lambda: _document_rows(corpus, survey),
  }
  for kind, rows_of_kind in rows.items():
    names = [name for name in shards if shards[name]['kind'] == kind]
    if all('counts' in shards[name] for name in names):
      continue
    left = rows_of_kind()
    for name in sorted(names):
      part = list(itertools.islice(left, shard_size))
      if 'counts' not in shards[name]:
        yield _Shard(output / name, kind, part)


def _pair_rows(survey: _Survey) -> Iterator[_Row]:
  collection = survey.collection
  by_id = {document.doc_id: document for document in collection.documents}
  for query_id, doc_id in survey.pairs:
    pseudo_queries = survey.queries_of.get(doc_id, ())
    query = collection.queries[query_id]
    yield _Row(by_id[doc_id], pseudo_queries, query_id, query)


def _document_rows(corpus: PathLike, survey: _Survey) -> Iterator[_Row]:
  for document in corpus_lib.read_documents(corpus):
    yield _Row(document, survey.queries_of.get(document.doc_id, ()))


def _write_shard(
  shard: _Shard, *, options: _Options, seed: int
) -> tuple[str, dict[str, int]]:
  """Writes one file; returns its name and counts."""
  of_kind = options[shard.kind]
  found = []
  for row in shard.rows:
    if isinstance(of_kind, Supervised):
      examples = ngram_examples.supervised_examples(
        row.query,
        row.document,
        queries=row.pseudo_queries,
        options=of_kind,
        seed=seed,
        query_id=row.query_id,
      )
    else:
      examples = ngram_examples.unsupervised_examples(
        row.document, queries=row.pseudo_queries, options=of_kind, seed=seed
      )
    found += [(row.query_id, row.document.doc_id, e) for e in examples]
  counts = files.write_shard(shard.path, found, seed=seed)
  return shard.path.name, counts


def _in_processes(
  work: Callable[[_Shard], tuple[str, dict[str, int]]],
  shards: Iterator[_Shard],
  jobs: int,
) -> Iterator[tuple[str, dict[str, int]]]:
  """Results of `work` as they come, few shards being in memory at a time."""
  if jobs == 1:
    yield from map(work, shards)
    return
  # JAX and TensorFlow, where they are loaded, do not survive a fork.
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
    pending: set[concurrent.futures.Future] = set()
    try:
      for shard in shards:
        pending.add(pool.submit(work, shard))
        if len(pending) > jobs:
          done, pending = concurrent.futures.wait(
            pending, return_when=concurrent.futures.FIRST_COMPLETED
          )
          yield from (future.result() for future in done)
      for future in concurrent.futures.as_completed(pending):
        yield future.result()
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      raise


def _summary(
  survey: _Survey, shards: _Shards, written: Sequence[str], wanted: int
) -> Summary:
  """What to tell when all shards are complete."""
  counts = collections.Counter[str]()
  for shard in shards.values():
    for name, count in shard['counts'].items():
      counts[f'{shard["kind"]} {name}'] += count
  return Summary(
    counts=dict(sorted(counts.items())),
    written=sum(sum(shards[name]['counts'].values()) for name in written),
    missing=wanted - counts.total(),
    documents=survey.counts['documents'],
    untitled=survey.counts['untitled'],
    empty=survey.counts['empty'],
    pairs=len(survey.pairs),
    unknown=len(survey.relevant) - len(survey.pairs),
    of_unseen=survey.of_unseen,
  )
