# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The tasks of KILT as a model that writes titles is fine-tuned on them.

| task            | inputs -> targets                               | splits     |
|-----------------|-------------------------------------------------|------------|
| `<name>_<data>` | a record as `genre.input_text` has it -> titles | train, dev |
| `<name>`        | the mixture of those with a rate above 0        | train      |

A data set is what stands before the split in the names of its files: `nq` of
`nq-train-kilt.jsonl` and `nq-dev-kilt.jsonl`. Its dev split is also there as `nq-dev`,
the name that a KILT folder gives it as a collection. Targets are those of GENRE
(De Cao et al., ICLR 2021), an example for each title of a record, or of CorpusBrain
(Chen et al., CIKM 2022), all its titles together. In an experiment file:

    MIXTURE_OR_TASK_NAME = @kilt.mixture()
    kilt.mixture:
      name = 'genre'
      corpus = %CORPUS
      docids = %DOCIDS

Examples are written once, in an order that is random but the same every time, beside
the identifiers, and read from there. Writing them holds the ids and titles of all
pages and the ids of a file's records, and streams the rest; training holds none of it.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from genret import (
  array_folder,
  genre,
  kilt_pages,
  text_files,
  unseen,
)
from genret import corpus as corpus_lib
from genret import vocabulary as vocabulary_lib
from genret.docids.table import DocidTable
from genret.kilt_records import KiltRecord, read_records
from genret.tasks import beir_folder, retrieval
from genret.title_targets import SEPARATOR, TitleTargets

PathLike = str | os.PathLike[str]

VERSION = '1.1.0'  # of 1.0 pages of one title were all the first of them
TARGETS = ('each', 'joined')
RATES = ('proportional', 'equal')

_COUNTS = 'counts.json'
_BAR_AFTER = 2  # seconds

# What is counted of a file, beside its records and examples, and told.
_UNKNOWN = 'pieces of evidence that lead to no page'
_SHORTENED = 'titles that do not fit into target_length'

# What each registered name stands for, so that registering again is free.
_REGISTERED: dict[str, tuple[Any, ...]] = {}


@dataclasses.dataclass(frozen=True)
class _File:
  """A task file."""

  data: str
  split: str
  path: pathlib.Path

  @property
  def tfds_split(self) -> str:
    return beir_folder.split_name(f'{self.data}_{self.split}')


@dataclasses.dataclass(frozen=True)
class _Options:
  """What decides which examples there are, but for the files."""

  targets: str
  templates: bool
  bleu: float
  separator: str
  target_length: int | None
  drop_unknown: bool
  unseen_share: float
  unseen_seed: int


class KiltExamples(tfds.core.GeneratorBasedBuilder):
  """Texts and tokens of titles; a split for each task file."""

  VERSION = tfds.core.Version(VERSION)

  # TFDS looks beside the code for checksums of downloads; there are none.
  code_path = None

  def __init__(
    self,
    *,
    examples: Mapping[str, Iterator[tuple[str, dict]]] | None = None,
    **kwargs: Any,
  ):
    """Makes a builder.

    Args:
      examples: of each split, needed to prepare, not to read what is prepared.
      **kwargs: those of every TFDS builder.
    """
    self._examples = examples
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Examples of KILT, made by genret.',
      features=tfds.features.FeaturesDict(
        {
          'inputs': tfds.features.Text(),
          'targets': tfds.features.Tensor(shape=(None,), dtype=np.int32),
          'query_id': tfds.features.Text(),
        }
      ),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Iterator[tuple[str, dict]]]:
    del dl_manager  # nothing is fetched
    if self._examples is None:
      raise ValueError(
        'Expected examples to prepare kilt_examples, got none; call '
        'kilt.mixture.'
      )
    return self._examples

  def _generate_examples(self, **kwargs: Any) -> None:
    raise NotImplementedError  # _split_generators returns the generators


def mixture(
  *,
  name: str,
  corpus: PathLike,
  docids: PathLike,
  targets: str = 'each',
  files: Sequence[PathLike] | None = None,
  redirects: PathLike | None = None,
  rates: str | Mapping[str, float] = 'proportional',
  templates: bool = True,
  bleu: float = genre.BLEU,
  separator: str = SEPARATOR,
  target_length: int | None = None,
  drop_unknown: bool = False,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
) -> str:
  """Registers a task for each data set and their mixture; returns its name.

  Registering the same again does nothing; other arguments, files or identifiers
  under a known name replace it. How many examples were made of each file, and what
  was left out, is logged.

  Args:
    name: of the mixture; letters, digits and underscores.
    corpus: a KILT folder, or its file of pages.
    docids: a folder that `genret index docids` wrote for it, of the scheme `title`
      in the papers. Examples are kept in it too.
    targets: 'each', an example for each title of a record (GENRE); 'joined', its
      titles in the order of the file with the separator between them (CorpusBrain).
    files: task files, `NAME-train-kilt.jsonl[.gz]`, `NAME-dev-...`; those of the
      folder where None.
    redirects: a file of other names of pages, as `genre.read_redirects` takes it.
    rates: of the data sets: 'proportional', to their examples, as where all are one
      file; 'equal'; or numbers by name, absent means 0.
    templates: whether the template questions of slot filling are inputs, too.
    bleu: the score that evidence has to be above, as for `genre.gold_titles`.
    separator: text between joined titles.
    target_length: tokens of a joined target with its end-of-sequence; titles that
      do not fit whole are left out, from the last, and counted. None for no limit.
    drop_unknown: leave out evidence that leads to no page of the corpus, and count
      it.
    unseen_share: keep examples whose target has one of so many documents out of
      training (`genret.unseen`).
    unseen_seed: which ones.

  Raises:
    ValueError: for unknown targets or rates, no examples to train on, identifiers
      of another corpus or beside another vocabulary or that know the queries of
      unseen documents, files whose names do not tell data set and split, and,
      without `drop_unknown`, evidence that leads to no page.
  """
  if targets not in TARGETS:
    raise ValueError(
      f'Expected targets of {" or ".join(TARGETS)}, got {targets!r}; choose one.'
    )
  options = _Options(
    targets=targets,
    templates=templates,
    bleu=bleu,
    separator=separator,
    target_length=target_length,
    drop_unknown=drop_unknown,
    unseen_share=unseen_share,
    unseen_seed=unseen_seed,
  )
  found = _files(corpus, files)
  pages = _pages_file(corpus)
  _, header = array_folder.read_meta(docids)
  signature = (
    header['hash'],
    dataclasses.astuple(options),
    [_state(path) for path in (pages, redirects)],
    [(file.data, file.split, _state(file.path)) for file in found],
  )
  registered = (str(docids), repr(rates), *signature)
  if _REGISTERED.get(name) == registered:
    return name
  vocabulary_lib.load_vocabulary(docids, header['meta'])
  beir_folder.check_withheld(docids, unseen_share, unseen_seed)
  key = hashlib.sha256(json.dumps([VERSION, *signature]).encode()).hexdigest()
  prepared = pathlib.Path(docids).absolute() / 'tfds' / f'kilt_{key[:16]}'
  if not prepared.is_dir():
    beir_folder.write_once(
      prepared,
      lambda folder: _write(folder, pages, docids, found, redirects, options),
    )
  counts = json.loads((prepared / _COUNTS).read_text())
  _report(found, counts)
  splits: dict[str, dict[str, str]] = {}
  for file in found:
    if counts[file.tfds_split]['examples']:
      of = splits.setdefault(file.data, {})
      of[file.split] = of[f'{file.data}-{file.split}'] = file.tfds_split
  trained = {
    data: float(counts[of['train']]['examples'])
    for data, of in splits.items()
    if 'train' in of
  }
  used = _used_rates(rates, trained, corpus)
  for data, of in splits.items():
    retrieval.add_task(
      f'{name}_{beir_folder.split_name(data)}',
      output_features={
        'inputs': seqio.Feature(
          retrieval.input_vocabulary(docids), add_eos=True
        ),
        'targets': seqio.Feature(
          retrieval.output_vocabulary(docids), add_eos=True
        ),
      },
      source=seqio.TfdsDataSource(
        tfds_name=f'kilt_examples:{VERSION}',
        tfds_data_dir=str(prepared),
        splits=of,
        read_only=True,
      ),
    )
  seqio.MixtureRegistry.remove(name)
  seqio.MixtureRegistry.add(
    name,
    [
      (f'{name}_{beir_folder.split_name(data)}', rate)
      for data, rate in used.items()
    ],
  )
  _REGISTERED[name] = registered
  return name


def _files(corpus: PathLike, files: Sequence[PathLike] | None) -> list[_File]:
  """The task files, with what their names tell."""
  if files is None:
    files = corpus_lib.task_files(corpus)
  found = []
  for path in map(pathlib.Path, files):
    match = re.fullmatch(r'(.+)-(train|dev|test)[-_.].*jsonl(\.gz)?', path.name)
    if match is None:
      raise ValueError(
        f'{path}: expected a name like NAME-train-kilt.jsonl with one of train, '
        'dev and test, found another; rename the file.'
      )
    found.append(_File(path.name[: match.end(1)], match[2], path))
  by_split = {file.tfds_split: file.path for file in found}
  for file in found:
    if by_split[file.tfds_split] != file.path:
      raise ValueError(
        f'Expected one file for each data set and split, got {file.path} and '
        f'{by_split[file.tfds_split]}; rename one of them.'
      )
  return found


def _pages_file(corpus: PathLike) -> pathlib.Path:
  file = kilt_pages.find_pages(corpus)
  if file is None:
    raise FileNotFoundError(
      f'{corpus}: expected a KILT folder with '
      f'{" or ".join(kilt_pages.PAGE_FILES)} (plain or .gz), or such a file, '
      'found none; check the path.'
    )
  return file


def _state(path: PathLike | None) -> tuple[str | int, ...] | None:
  """What changes when a file does, wherever it is."""
  if path is None:
    return None
  if not pathlib.Path(path).is_file():
    raise FileNotFoundError(f'Expected a file, found none at {path}.')
  _, *state = text_files.file_state(path)
  return (pathlib.Path(path).name, *state)


def _used_rates(
  rates: str | Mapping[str, float],
  trained: Mapping[str, float],
  corpus: PathLike,
) -> dict[str, float]:
  """The rates above 0, by data set."""
  if not trained:
    raise ValueError(
      f'Expected records with evidence to train on, {corpus} has none; add a '
      'file NAME-train-kilt.jsonl, or name it in files.'
    )
  if rates == 'proportional':
    return dict(trained)
  if rates == 'equal':
    return dict.fromkeys(trained, 1.0)
  if isinstance(rates, str):
    raise ValueError(
      f'Expected rates of {" or ".join(RATES)}, or numbers by name, got '
      f'{rates!r}.'
    )
  used = {data: rate for data, rate in rates.items() if rate > 0}
  if not used or not set(rates) <= set(trained):
    raise ValueError(
      f'Expected rates above 0 for some of {", ".join(trained)}, got '
      f'{dict(rates)}; name the data sets to mix.'
    )
  return used


def _report(
  files: Sequence[_File], counts: Mapping[str, Mapping[str, int]]
) -> None:
  """Says what was made of each file, louder where something was lost."""
  for file in files:
    of = counts[file.tfds_split]
    lost = [kind for kind in (_UNKNOWN, _SHORTENED) if of.get(kind)]
    logging.log(
      logging.WARNING if lost else logging.INFO,
      '%s: %s',
      file.path,
      ', '.join(f'{count:,} {kind}' for kind, count in of.items()),
    )


def _write(
  folder: pathlib.Path,
  pages: pathlib.Path,
  docids: PathLike,
  files: Sequence[_File],
  redirects: PathLike | None,
  options: _Options,
) -> None:
  """Makes the examples of all files, and counts them."""
  known = _Known.read(pages, docids, redirects, options)
  counts: dict[str, collections.Counter[str]] = {
    file.tfds_split: collections.Counter() for file in files
  }
  lost: list[str] = []  # the first evidence without a page, if any
  with contextlib.ExitStack() as closing:
    splits = {}
    for file in files:
      rows = _examples(file, known, options, counts[file.tfds_split], lost)
      closing.callback(rows.close)
      first = next(rows, None)
      if first is not None:  # TFDS has no splits without examples
        splits[file.tfds_split] = _behind(first, rows)
    if splits:
      builder = KiltExamples(examples=splits, data_dir=str(folder))
      beir_folder.write(builder, quiet=True)  # there is a bar of its own
  if lost and not options.drop_unknown:
    raise ValueError(
      f'Expected evidence of pages of the corpus, '
      f'{sum(of[_UNKNOWN] for of in counts.values()):,} pieces lead to none, '
      f'first {lost[0]}; add the pages or redirects, or set drop_unknown to '
      'leave them out.'
    )
  text = json.dumps({split: dict(of) for split, of in counts.items()})
  (folder / _COUNTS).write_text(text)


def _behind(
  first: tuple[str, dict], rows: Iterator[tuple[str, dict]]
) -> Iterator[tuple[str, dict]]:
  yield first
  yield from rows


@dataclasses.dataclass(frozen=True)
class _Known:
  """What examples are made with: the titles of the corpus and their tokens."""

  titles: genre.Titles
  targets: TitleTargets
  withheld: frozenset[str]

  @classmethod
  def read(
    cls,
    pages: pathlib.Path,
    docids: PathLike,
    redirects: PathLike | None,
    options: _Options,
  ) -> '_Known':
    """Reads all pages once."""
    table = DocidTable.load(docids)
    names: list[tuple[str, str]] = []

    def noted() -> Iterator[corpus_lib.Document]:
      read = corpus_lib.read_documents(pages)
      for document in tqdm(read, desc='titles', unit='page', delay=_BAR_AFTER):
        names.append((document.doc_id, document.title))
        yield document

    found = corpus_lib.documents_hash(noted())
    expected = table.meta.get('corpus_hash')
    if expected is not None and expected != found:
      raise ValueError(
        f'Expected the corpus that the identifiers name (hash '
        f'{expected[:12]}), {pages} has hash {found[:12]}; run `genret index '
        'docids` on it.'
      )
    separator = None
    if options.targets == 'joined':
      separator = vocabulary_lib.separator_tokens(
        vocabulary_lib.load_vocabulary(docids), options.separator
      )
    return cls(
      titles=genre.Titles(
        names, genre.read_redirects(redirects) if redirects else None
      ),
      targets=TitleTargets(table, separator=separator),
      withheld=unseen.unseen_documents(
        table.doc_ids, options.unseen_share, options.unseen_seed
      ),
    )


def _examples(
  file: _File,
  known: _Known,
  options: _Options,
  counts: collections.Counter[str],
  lost: list[str],
) -> Generator[tuple[str, dict]]:
  """The examples of one file, with keys of their own."""
  max_tokens = options.target_length and options.target_length - 1
  counts.update({'records': 0, 'examples': 0})
  for record in _records(file):
    counts['records'] += 1
    found = genre.gold_pages(
      record,
      titles=known.titles,
      bleu=options.bleu,
      on_unknown=functools.partial(_note_unknown, counts, lost),
    )
    if not found:
      continue
    asked = genre.questions(record, templates=options.templates)
    number = 0
    joined = options.targets == 'joined'
    found = known.targets.distinct(found)
    for pages in [found] if joined else [(page,) for page in found]:
      if file.split == 'train' and not known.withheld.isdisjoint(pages):
        continue
      tokens, kept = known.targets.tokens(pages, max_tokens=max_tokens)
      if kept < len(pages):
        counts[_SHORTENED] += len(pages) - kept
      for text in asked:
        counts['examples'] += 1
        yield (
          f'{record.record_id}\t{number}',
          {'inputs': text, 'targets': tokens, 'query_id': record.record_id},
        )
        number += 1


def _records(file: _File) -> Iterator[KiltRecord]:
  """The records of a file, with a bar."""
  with tqdm(
    total=file.path.stat().st_size,
    desc=file.path.name,
    unit='B',
    unit_scale=True,
    delay=_BAR_AFTER,
  ) as bar:

    def move(at: int) -> None:
      bar.update(at - bar.n)

    yield from read_records(file.path, on_position=move)


def _note_unknown(
  counts: collections.Counter[str],
  lost: list[str],
  record: KiltRecord,
  provenance: Mapping[str, Any],
) -> None:
  counts[_UNKNOWN] += 1
  shown = {name: provenance.get(name) for name in ('title', 'wikipedia_id')}
  if not lost:
    lost.append(f'{shown} of {record.place}')
