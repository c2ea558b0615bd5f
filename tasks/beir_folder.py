# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Any BEIR folder as a TFDS data set, and from there as a seqio source.

Configurations:

| name        | splits                   | features                             |
|-------------|--------------------------|--------------------------------------|
| `documents` | `corpus`                 | doc_id, title, text                  |
| `pairs`     | one per `qrels/*.tsv`    | query_id, query, doc_id, title, text, relevance |

| `<choice>_<kind>` | `train`              | query_id, query, doc_id              |

The last ones are parts of documents (`genret.rehearsal`), in the place of queries.
A pair is a query and a document judged relevant to it (relevance above 0).
Examples are stored in an order that is random but the same every time, since
seqio shuffles only within a window. Nothing is ever fetched.

    import seqio
    from genret.tasks import beir_folder
    seqio.TaskRegistry.add(
      'my_pairs', source=beir_folder.source('my_folder', 'pairs', '/tmp/tfds'),
      ...)
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from genret import array_folder, corpus, rehearsal, unseen
from genret.docids import table as table_lib
from genret.text_files import PathLike

VERSION = '1.0.0'
DOCUMENTS, PAIRS = 'documents', 'pairs'
# Behind the names of these is what is rehearsed.
_PARTS = {
  f'{choice}_{kind}': (kind, choice)
  for choice in rehearsal.CHOICES
  for kind in rehearsal.KINDS
}

# The split whose pairs are trained on.
TRAIN = 'train'

_NO_QUERIES: dict[str, Any] = {'queries_split': None}

# Documents and seconds; above them a progress bar is welcome.
_QUIET_BELOW, _BAR_AFTER = 100_000, 2


class BeirFolder(tfds.core.GeneratorBasedBuilder):
  """Documents or query-document pairs of one BEIR folder."""

  VERSION = tfds.core.Version(VERSION)
  BUILDER_CONFIGS = [  # noqa: RUF012, TFDS's own way
    tfds.core.BuilderConfig(name=DOCUMENTS, description='The documents.'),
    tfds.core.BuilderConfig(name=PAIRS, description='Judged pairs.'),
    *(
      tfds.core.BuilderConfig(name=name, description='Parts of documents.')
      for name in _PARTS
    ),
  ]

  # TFDS looks beside the code for checksums of downloads; there are none.
  code_path = None

  def __init__(self, *, folder: str | None = None, **kwargs: Any):
    """Makes a builder.

    Args:
      folder: the BEIR folder; needed to prepare, not to read what is prepared.
      **kwargs: those of every TFDS builder.
    """
    self._folder = folder
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    names = ['doc_id', 'title', 'text', 'query_id', 'query']
    if self.builder_config.name == DOCUMENTS:
      names = names[:3]
    elif self.builder_config.name in _PARTS:
      names = ['doc_id', 'query_id', 'query']
    features = {name: tfds.features.Text() for name in names}
    if self.builder_config.name == PAIRS:
      features['relevance'] = tfds.features.Scalar(np.int32)
    return tfds.core.DatasetInfo(
      builder=self,
      description='A BEIR folder, read by genret.',
      features=tfds.features.FeaturesDict(features),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Iterator[tuple[str, dict]]]:
    del dl_manager  # nothing is fetched
    if self._folder is None:
      raise ValueError(
        'expected folder=<a BEIR folder> to prepare beir_folder, found none; '
        'pass it to the builder, or call beir_folder.prepare.'
      )
    if self.builder_config.name in _PARTS:
      documents = list(corpus.read_documents(self._folder))
      return {TRAIN: _parts(documents, *_PARTS[self.builder_config.name])}
    collection = corpus.load_collection(self._folder)
    if self.builder_config.name == DOCUMENTS:
      return {'corpus': _document_examples(collection)}
    pairs = {split: _pairs(collection, split) for split in collection.qrels}
    return {
      split_name(split): _pair_examples(collection, found)
      for split, found in pairs.items()
      if found
    }

  def _generate_examples(self, **kwargs: Any) -> None:
    raise NotImplementedError  # _split_generators returns the generators


def prepare(folder: PathLike, data_dir: PathLike) -> pathlib.Path:
  """Writes both configurations of a BEIR folder, unless they are there.

  The name of the result holds the hash of the content: a folder that changed
  is prepared anew beside the old one, which running programs may still read.
  The result appears under its name only when complete.

  Args:
    folder: a BEIR folder, or anything `corpus.load_collection` reads.
    data_dir: where to keep prepared folders.

  Returns:
    The folder to give to TFDS or seqio as its data_dir.

  Raises:
    ValueError: for a collection without documents; also as the readers do.
  """
  collection = corpus.load_collection(folder)
  if not collection.documents:
    raise ValueError(f'{folder}: expected documents, found none; add some.')
  data_dir = pathlib.Path(data_dir).absolute()
  name = re.sub(r'\W+', '_', collection.name)
  final = data_dir / f'{name}_{_content_hash(collection)[:16]}'
  if final.is_dir():
    return final
  _report_unknown(folder, collection)
  has_pairs = any(_pairs(collection, split) for split in collection.qrels)

  def fill(temporary: pathlib.Path) -> None:
    for config in (DOCUMENTS, PAIRS) if has_pairs else (DOCUMENTS,):
      builder = BeirFolder(
        folder=str(folder), config=config, data_dir=str(temporary)
      )
      write(builder, quiet=len(collection.documents) < _QUIET_BELOW)

  write_once(final, fill)
  return final


def write_once(
  final: pathlib.Path, fill: Callable[[pathlib.Path], None]
) -> None:
  """Writes a folder of TFDS that appears under its name only when complete.

  Args:
    final: the folder.
    fill: writes everything into the folder that it is given.
  """
  final.parent.mkdir(parents=True, exist_ok=True)
  temporary = tempfile.mkdtemp(prefix=f'.{final.name}_', dir=final.parent)
  try:
    fill(pathlib.Path(temporary))
    shutil.rmtree(pathlib.Path(temporary) / 'downloads', ignore_errors=True)
    os.chmod(temporary, 0o755)  # mkdtemp makes private folders
    try:
      os.rename(temporary, final)
    except OSError:
      if not final.is_dir():  # otherwise another program was faster
        raise
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def write(builder: tfds.core.DatasetBuilder, *, quiet: bool) -> None:
  """Lets TFDS write its files, without its announcements on stdout."""
  if quiet:
    tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
      )
  finally:
    if quiet:
      tfds.enable_progress_bar()


def source(
  folder: PathLike,
  config: str,
  data_dir: PathLike,
  *,
  splits: Mapping[str, str] | Sequence[str] | None = None,
) -> seqio.TfdsDataSource:
  """Prepares a BEIR folder and returns it as a seqio source.

  Args:
    folder: a BEIR folder.
    config: 'documents' or 'pairs'.
    data_dir: where to keep prepared folders.
    splits: which splits to offer, or `{name for seqio: split}`, for example
      `{'validation': 'dev'}`; None for all under their own names.
  """
  if config not in (DOCUMENTS, PAIRS):
    raise ValueError(
      f'expected the configuration {DOCUMENTS} or {PAIRS}, found {config!r}; '
      'choose one of them.'
    )
  return prepared_source(prepare(folder, data_dir), config, splits=splits)


def prepared_source(
  prepared: PathLike,
  config: str,
  *,
  splits: Mapping[str, str] | Sequence[str] | None = None,
) -> seqio.TfdsDataSource:
  """A folder that `prepare` returned, as a seqio source; as `source` else."""
  return seqio.TfdsDataSource(
    tfds_name=f'beir_folder/{config}:{VERSION}',
    tfds_data_dir=str(prepared),
    splits=splits,
    # Otherwise seqio asks tfds.load to look in the public bucket first.
    read_only=True,
  )


def pairs_source(
  prepared: PathLike,
  folder: PathLike,
  *,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
) -> seqio.TfdsDataSource:
  """The judged pairs, with those of unseen documents left out of training.

  Args:
    prepared: what `prepare` returned.
    folder: the BEIR folder that it prepared.
    unseen_share: of the documents (`genret.unseen`).
    unseen_seed: which ones.
  """
  documents = corpus.read_documents(folder) if unseen_share else ()
  withheld = unseen.unseen_documents(
    (document.doc_id for document in documents), unseen_share, unseen_seed
  )
  return _SeenPairs(prepared, withheld)


def rehearsal_source(
  prepared: PathLike, folder: PathLike, kind: str, choice: str
) -> seqio.TfdsDataSource:
  """Parts of all documents, `{query_id: '', query: part, doc_id}`.

  They are found once, with a progress bar, and kept with what is prepared.

  Args:
    prepared: what `prepare` returned.
    folder: the BEIR folder that it prepared.
    kind: one of `rehearsal.KINDS`.
    choice: one of `rehearsal.CHOICES`.

  Raises:
    ValueError: for another kind or choice, or documents without text.
  """
  rehearsal.check(kind, choice)
  config = f'{choice}_{kind}'
  final = pathlib.Path(prepared) / 'beir_folder' / config / VERSION
  if not final.is_dir():
    documents = corpus.read_documents(folder)
    if not any(rehearsal.sentences(document.text) for document in documents):
      raise ValueError(
        f'Expected documents with text, {folder} has none to rehearse; leave '
        f"'{kind}' out of the rates."
      )
    builder = BeirFolder(
      folder=str(folder), config=config, data_dir=str(prepared)
    )
    try:
      write(builder, quiet=True)  # it has a bar of its own
    except OSError:
      if not final.is_dir():  # otherwise another program was faster
        raise
  return prepared_source(prepared, config)


def check_withheld(folder: PathLike, share: float, seed: int) -> None:
  """Refuses a build that knows queries which are to be withheld.

  At a greater share of the same seed more documents are unseen, and none is seen
  again, so a build that withheld more is as good.

  Args:
    folder: of `genret index`; a vocabulary alone knows nothing.
    share: of unseen documents.
    seed: which ones.

  Raises:
    ValueError: naming how to build it.
  """
  if not share or not (pathlib.Path(folder) / array_folder.HEADER).is_file():
    return
  kind, header = array_folder.read_meta(folder)
  known, command = header.get('meta', {}), 'genret index fm'
  if kind == table_lib.KIND:
    # A table of one's own has no scheme; one with, but without settings, is of
    # an older genret that did not tell.
    known = known.get('settings', {} if 'scheme' in known else _NO_QUERIES)
    command = 'genret index docids'
  if known.get('queries_split', '') is None and not known.get('pseudo_queries'):
    return
  check_share(folder, known, share, seed, command)


def check_share(
  folder: PathLike,
  known: Mapping[str, Any],
  share: float,
  seed: int,
  command: str,
) -> None:
  """Refuses what was made of queries that are to be withheld.

  Args:
    folder: what was made.
    known: how: its unseen_share and unseen_seed, absent for none.
    share: of unseen documents.
    seed: which ones.
    command: that makes it.
  """
  found = (known.get('unseen_share', 0.0), known.get('unseen_seed', 0))
  if share and (found[0] < share or found[1] != seed):
    raise ValueError(
      f'Expected {folder} to know no query of the unseen documents '
      f'(unseen_share={share}, unseen_seed={seed}), it was built with {found[0]} '
      f'and {found[1]}; run `{command}` with --unseen-share {share} '
      f'--unseen-seed {seed}.'
    )


class _SeenPairs(seqio.TfdsDataSource):
  """Pairs of a folder; those of some documents are kept out of training."""

  def __init__(self, prepared: PathLike, withheld: frozenset[str]):
    self._withheld = sorted(withheld)
    super().__init__(
      tfds_name=f'beir_folder/{PAIRS}:{VERSION}',
      tfds_data_dir=str(prepared),
      read_only=True,
    )

  def get_dataset(
    self, split: str = TRAIN, *arguments: Any, **options: Any
  ) -> tf.data.Dataset:
    """As seqio has it."""
    dataset = super().get_dataset(split, *arguments, **options)
    if split != TRAIN or not self._withheld:
      return dataset
    table = tf.lookup.StaticHashTable(
      tf.lookup.KeyValueTensorInitializer(
        tf.constant(self._withheld), tf.ones(len(self._withheld), tf.int32)
      ),
      default_value=0,
    )
    return dataset.filter(lambda pair: table.lookup(pair['doc_id']) < 1)


def split_name(split: str) -> str:
  """The TFDS name of `qrels/<split>.tsv`: letters, digits and underscores."""
  return re.sub(r'\W+', '_', split)


def _document_examples(
  collection: corpus.Collection,
) -> Iterator[tuple[str, dict]]:
  for document in collection.documents:
    yield document.doc_id, _document_fields(document)


def _parts(
  documents: Sequence[corpus.Document], kind: str, choice: str
) -> Iterator[tuple[str, dict]]:
  bar: Iterable[corpus.Document] = tqdm(
    documents, desc=f'{choice} {kind}', unit='doc', delay=_BAR_AFTER
  )
  for document in bar:
    doc_id = document.doc_id
    found = rehearsal.contents(document.text, kind, choice, key=doc_id)
    for number, part in enumerate(found):
      fields = {'query_id': '', 'query': part, 'doc_id': doc_id}
      yield f'{doc_id}\t{number}', fields


def _document_fields(document: corpus.Document) -> dict[str, str]:
  return {
    'doc_id': document.doc_id,
    'title': document.title,
    'text': document.text,
  }


def _pairs(
  collection: corpus.Collection, split: str
) -> list[tuple[str, str, int]]:
  """Returns (query_id, doc_id, relevance) of known, relevant pairs."""
  known = {document.doc_id for document in collection.documents}
  return [
    (query_id, doc_id, relevance)
    for query_id, judged in collection.qrels[split].items()
    if query_id in collection.queries
    for doc_id, relevance in judged.items()
    if relevance > 0 and doc_id in known
  ]


def _pair_examples(
  collection: corpus.Collection, pairs: list[tuple[str, str, int]]
) -> Iterator[tuple[str, dict]]:
  by_id = {document.doc_id: document for document in collection.documents}
  for query_id, doc_id, relevance in pairs:
    yield (
      f'{query_id}\t{doc_id}',
      {
        'query_id': query_id,
        'query': collection.queries[query_id],
        'relevance': relevance,
        **_document_fields(by_id[doc_id]),
      },
    )


def _content_hash(collection: corpus.Collection) -> str:
  """sha256 over documents, queries and judgements."""
  content = [VERSION, collection.hash, collection.queries, collection.qrels]
  return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _report_unknown(folder: PathLike, collection: corpus.Collection) -> None:
  """Says how many judgements cannot become pairs."""
  for split in collection.qrels:
    unknown = collection.unknown_judgements(split)
    if unknown:
      logging.warning(
        '%s: %d judgements of the split %s name a query or document that the '
        'folder does not hold; they are left out.',
        folder,
        unknown,
        split,
      )
