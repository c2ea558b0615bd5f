# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Searcher: a query goes in, ranked documents come out.

The walk of a query: tokenise, encode once, beam search under the trie of the
corpus's identifiers, map beams to documents. Where documents are named by their
n-grams the walk is that of `ngram_searcher.NgramSearcher`, and of a dual encoder
that of `dense_searcher.DenseSearcher`, which answer to the same methods;
`Searcher.load` opens any.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import sentencepiece
from tqdm import tqdm

from genret import identifiers as identifiers_lib
from genret import metrics, train_log
from genret import vocabulary as vocabulary_lib
from genret.constraints.trie import Trie
from genret.corpus import Document, documents_hash, read_documents
from genret.decoding.answers import answers_of
from genret.decoding.beam import BeamSearchOutput
from genret.decoding.generate import generate_batches
from genret.decoding.options import DecodingOptions, from_fields
from genret.docids.table import DocidTable
from genret.models import checkpoints
from genret.models.t5 import Transformer
from genret.ranking.documents import are_identifiers, rank_documents, to_hits
from genret.run_folders import DOCIDS_FOLDER
from genret.runs import Hit
from genret.text_files import write_text

if TYPE_CHECKING:
  from genret.dense_searcher import DenseSearcher
  from genret.ngram_searcher import NgramSearcher

# What a run folder holds; `genret train` writes it.
SETTINGS_FILE = 'searcher.json'
_SETTINGS = ('corpus', 'input_length', 'num_beams', 'query_prefix')
# How an index of n-grams is searched: `ngram_keys.KeyOptions` and
# `ngrams.Scoring`, by the names of their fields.
_NGRAM_SETTINGS = ('keys', 'scoring')
# How identifiers are decoded: fields of `DecodingOptions`.
_DECODING = 'decoding'
# Of a run that retrieves by other means than by what its model writes: how, and
# what is read of a document.
VECTORS = 'vectors'
_VECTOR_SETTINGS = ('retriever', 'document_length', 'passage_prefix')
# Which documents' queries training withheld (`genret.unseen`).
_UNSEEN_SETTINGS = ('unseen_share', 'unseen_seed')
# What records of KILT are as queries: one of `corpus.QUERY_FORMS`.
_QUERY_FORM = 'query_form'


class Searcher:
  """Generative search over one corpus.

  Holds what the walk of a query needs and nothing else. Compiles once per
  pair of (number of queries decoded at a time, number of beams).
  """

  def __init__(
    self,
    module: Transformer,
    params: Any,
    *,
    vocabulary: sentencepiece.SentencePieceProcessor,
    table: DocidTable,
    documents: Sequence[Document] | None = None,
    input_length: int = 32,
    num_beams: int = 10,
    batch_size: int = 32,
    query_prefix: str = '',
    decoding: DecodingOptions | None = None,
  ):
    """Puts the parts together; `Searcher.load` reads them from a run folder.

    Args:
      module: the model.
      params: its parameters.
      vocabulary: the text pieces of the model.
      table: identifiers of the corpus.
      documents: the corpus, in any order, for the text of hits; None for hits
        without text.
      input_length: longest query in tokens, end-of-sequence included.
      num_beams: K, beams kept per query; raised where more hits are wanted.
      batch_size: queries decoded at a time by `batch_search`.
      query_prefix: what training put before a query.
      decoding: how identifiers are decoded; the defaults where None.

    Raises:
      ValueError: if the identifiers are of another vocabulary than the model, or
        the separator is in one.

    Warns:
      UserWarning: if decoding allows answers too short for some identifiers.
    """
    if table.vocab_size != module.config.vocab_size:
      raise ValueError(
        f'Expected identifiers over the {module.config.vocab_size} tokens of '
        f'the model, got a table over {table.vocab_size}; use the table that '
        'the model was trained with.'
      )
    self.module = module
    self.params = params
    self.vocabulary = vocabulary
    self.table = table
    self.trie = Trie.from_table(table)
    self.input_length = input_length
    self.num_beams = num_beams
    self.batch_size = batch_size
    self.query_prefix = query_prefix
    self.decoding = decoding or DecodingOptions()
    self._documents = {d.doc_id: d for d in documents or ()}
    self._texts = [self._text(doc_id) for doc_id in table.doc_ids]

  @classmethod
  def load(
    cls, run_folder: str | os.PathLike[str], *, step: int | None = None
  ) -> Searcher | NgramSearcher | DenseSearcher:
    """Opens what `genret train` left.

    Args:
      run_folder: with searcher.json, docids/ and checkpoints/ in it.
      step: of the checkpoint; the newest where None.

    Raises:
      FileNotFoundError: if the folder is no run folder or has no checkpoint.
      ValueError: if something in it is damaged or the corpus is another one.

    Warns:
      UserWarning: if the corpus is gone; hits then come without text, and a
        dual encoder is not opened. And if the model is the untrained one,
        where the run's log says that it was trained.
    """
    folder = Path(run_folder)
    settings = _run_settings(folder)
    config, params = checkpoints.load_model(folder, step=step)
    if step is None and not checkpoints.newest_step(folder):
      logged = train_log.last_logged_step(folder)
      if logged:
        warnings.warn(
          f'{folder} has no checkpoint but that of step 0, the untrained model, '
          f'though its log reaches step {logged}; it was copied in part, or is '
          'being trained.',
          stacklevel=2,
        )
    found = identifiers_lib.load(folder / DOCIDS_FOLDER)
    return make_searcher(
      Transformer(config),
      params,
      folder / DOCIDS_FOLDER,
      settings,
      documents=_documents(settings['corpus'], found),
    )

  @property
  def decoding(self) -> DecodingOptions:
    """How identifiers are decoded; may be set, and is refused as at first."""
    return self._decoding

  @decoding.setter
  def decoding(self, options: DecodingOptions) -> None:
    self._answers = answers_of(self.table, self.trie, self.vocabulary, options)
    self._decoding = options

  @property
  def separator(self) -> list[int]:
    """The tokens between two identifiers of an answer; none where it is one."""
    return self._answers.separator

  @property
  def output_length(self) -> int:
    """The most tokens of an answer, its end-of-sequence included."""
    return self._answers.max_length

  @property
  def doc_ids(self) -> Sequence[str]:
    """The ids of all documents."""
    return self.table.doc_ids

  @property
  def docids_hash(self) -> str:
    """The hash of the identifiers."""
    return self.table.hash

  @property
  def fingerprint(self) -> str:
    """What determines the answers: model, identifiers, settings (SHA-256).

    Reads all weights.
    """
    return fingerprint(
      self.module,
      self.params,
      self.table.hash,
      [
        self.input_length,
        self.num_beams,
        self.batch_size,
        self.query_prefix,
        dataclasses.asdict(self.decoding),
      ],
    )

  def search(self, query: str, k: int = 10) -> list[Hit]:
    """Finds the k best documents for one query.

    Args:
      query: any text; an empty one is answered too, by what the model prefers.
      k: number of hits wanted; fewer come where the corpus or the beams hold
        fewer documents.

    Returns:
      Hits, best first; scores are log-probabilities of identifiers.

    Raises:
      ValueError: if k is below 1.
    """
    check_hits(k)
    output = self._decode([query], max(k, self.num_beams), batch_size=1)
    return self.rank(output, [''], k)['']

  def batch_search(
    self,
    queries: Sequence[str],
    qids: Sequence[str] | None = None,
    k: int = 10,
    *,
    progress: bool = False,
  ) -> dict[str, list[Hit]]:
    """Finds the k best documents for each query.

    Args:
      queries: texts.
      qids: their distinct ids; '0', '1', ... where None.
      k: number of hits wanted.
      progress: show a progress bar on standard error.

    Returns:
      Hits, best first, by query id, in the order of the queries.

    Raises:
      ValueError: if ids and queries differ in number, an id comes twice, or k
        is below 1.
    """
    return dict(self.search_stream(queries, qids, k, progress=progress))

  def search_stream(
    self,
    queries: Sequence[str],
    qids: Sequence[str] | None = None,
    k: int = 10,
    *,
    progress: bool = False,
  ) -> Iterator[tuple[str, list[Hit]]]:
    """As `batch_search`, a query at a time as batches are done, in order."""
    check_hits(k)
    num_beams = max(k, self.num_beams)

    def answer(batch: Sequence[str]) -> list[list[Hit]]:
      output = self._decode(batch, num_beams, batch_size=self.batch_size)
      names = [str(i) for i in range(len(batch))]
      return list(self.rank(output, names, k).values())

    return stream(
      answer, queries, qids, batch_size=self.batch_size, progress=progress
    )

  def measured(
    self, queries: Mapping[str, str], k: int | None, *, progress: bool = False
  ) -> tuple[dict[str, list[Hit]], dict[str, float]]:
    """Searches queries by id, and tells how the decoding went.

    Args:
      queries: texts by query id.
      k: hits, and beams; the searcher's own number of beams where None.
      progress: show a progress bar.

    Returns:
      The run; legal_rate, dead_end_rate and collision_rate.
    """
    k = k or self.num_beams
    output = self.decode(list(queries.values()), k, progress=progress)
    legal = are_identifiers(
      output.tokens, output.lengths, self.table, separator=self.separator
    )
    number = self.trie.num_identifiers
    answers = sum(number ** (i + 1) for i in range(self.decoding.max_titles))
    rates = {
      'legal_rate': metrics.legal_rate(legal, output.legal),
      'dead_end_rate': metrics.dead_end_rate(output.legal, answers),
      'collision_rate': self.table.collision_rate,
    }
    return self.rank(output, list(queries), k), rates

  def doc(self, doc_id: str) -> Document:
    """The document of an id.

    Raises:
      KeyError: if the searcher has no text of such a document.
    """
    if doc_id not in self._documents:
      raise KeyError(
        f'Expected one of {len(self._documents)} document ids, got {doc_id!r}.'
      )
    return self._documents[doc_id]

  def _text(self, doc_id: str) -> str:
    return shown_text(self._documents.get(doc_id))

  def decode(
    self, queries: Sequence[str], num_beams: int, *, progress: bool = False
  ) -> BeamSearchOutput:
    """Decodes queries to beams, before any ranking.

    Args:
      queries: Q texts.
      num_beams: K.
      progress: show a progress bar.

    Returns:
      NumPy arrays [Q, K, ...].
    """
    return self._decode(
      queries, num_beams, batch_size=self.batch_size, progress=progress
    )

  def _decode(
    self,
    queries: Sequence[str],
    num_beams: int,
    *,
    batch_size: int,
    progress: bool = False,
  ) -> BeamSearchOutput:
    query_QxT = vocabulary_lib.encode(
      self.vocabulary,
      [self.query_prefix + query for query in queries],
      max_length=self.input_length,
    )
    how = self.decoding
    batches = []
    bar = tqdm(
      total=len(queries), desc='search', unit='query', disable=not progress
    )
    with bar:
      for batch in generate_batches(
        self.module,
        self.params,
        query_QxT,
        self._answers.constraint,
        batch_size=batch_size,
        num_beams=num_beams,
        max_length=self.output_length,
        normalize=how.normalize,
        length_penalty=how.length_penalty,
        alpha=how.alpha,
      ):
        batches.append(batch)
        bar.update(len(batch.tokens))
    if not batches:
      shape = (0, num_beams)
      return BeamSearchOutput(
        tokens=np.zeros((*shape, self.output_length), np.int32),
        scores=np.zeros(shape, np.float32),
        lengths=np.zeros(shape, np.int32),
        legal=np.zeros(shape, bool),
      )
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)

  def rank(
    self, output: BeamSearchOutput, qids: Sequence[str], k: int
  ) -> dict[str, list[Hit]]:
    """Maps what `decode` gave to the k best documents of each query."""
    rankings = rank_documents(
      output.tokens,
      output.scores,
      output.lengths,
      output.legal,
      self.table,
      limit=k,
      separator=self.separator,
    )
    return to_hits(rankings, qids, self.table.doc_ids, texts=self._texts)


def make_searcher(
  module: Transformer,
  params: Any,
  docids: str | os.PathLike[str],
  settings: Mapping[str, Any],
  *,
  documents: Sequence[Document] | None = None,
) -> Searcher | NgramSearcher | DenseSearcher:
  """The searcher that a run's settings ask for.

  They name a retriever, or the identifiers in the folder decide.

  Args:
    module: the model.
    params: its parameters.
    docids: a folder of `genret index docids` or `genret index fm`.
    settings: as `write_settings` writes them.
    documents: the corpus, for the text of hits and the vectors of a dual
      encoder.

  Raises:
    ValueError: for an unknown retriever, or vectors of no documents.
  """
  found = identifiers_lib.load(docids)
  retriever = settings.get('retriever')
  if retriever == VECTORS:
    from genret import dense_searcher

    return dense_searcher.from_settings(
      module,
      params,
      vocabulary_lib.load_vocabulary(docids, found.meta),
      found,
      settings,
      documents=documents,
    )
  if retriever is not None:
    raise ValueError(
      f'Expected the retriever {VECTORS!r}, or none, got {retriever!r}; was the '
      'run made by a newer genret?'
    )
  if isinstance(found, DocidTable):
    return Searcher(
      module,
      params,
      vocabulary=vocabulary_lib.load_vocabulary(docids, found.meta),
      table=found,
      documents=documents,
      input_length=settings['input_length'],
      num_beams=settings['num_beams'],
      query_prefix=settings['query_prefix'],
      decoding=from_fields(DecodingOptions, settings.get(_DECODING, {})),
    )
  from genret import ngram_searcher

  return ngram_searcher.from_settings(
    module, params, found, settings, documents=documents
  )


def stream(
  answer: Callable[[Sequence[str]], list[list[Hit]]],
  queries: Sequence[str],
  qids: Sequence[str] | None,
  *,
  batch_size: int,
  progress: bool = False,
) -> Iterator[tuple[str, list[Hit]]]:
  """Answers queries batch by batch, in order.

  Args:
    answer: hits for each query of a batch.
    queries: texts.
    qids: their distinct ids; '0', '1', ... where None.
    batch_size: queries at a time.
    progress: show a progress bar on standard error.

  Raises:
    ValueError: at once, if ids and queries differ in number or an id comes
      twice.
  """
  names = [str(i) for i in range(len(queries))] if qids is None else list(qids)
  if len(names) != len(queries) or len(set(names)) != len(names):
    raise ValueError(
      f'Expected {len(queries)} distinct query ids, got {len(names)} of '
      f'which {len(set(names))} distinct.'
    )

  def answers() -> Iterator[tuple[str, list[Hit]]]:
    bar = tqdm(
      total=len(queries), desc='search', unit='query', disable=not progress
    )
    with bar:
      for first in range(0, len(queries), batch_size):
        batch = queries[first : first + batch_size]
        found = answer(batch)
        bar.update(len(batch))
        yield from zip(names[first : first + batch_size], found, strict=True)

  return answers()


def query_form(run_folder: str | os.PathLike[str]) -> str:
  """The form in which a run reads records of KILT, as `read_queries` takes it.

  Args:
    run_folder: as `Searcher.load` takes it.

  Raises:
    FileNotFoundError: if the folder is no run folder.
    ValueError: if its settings are damaged.
  """
  return _run_settings(Path(run_folder)).get(_QUERY_FORM, 'input')


def check_hits(k: int) -> None:
  """Refuses to look for no documents."""
  if k < 1:
    raise ValueError(f'Expected k of at least 1 hit, got {k}; ask for more.')


def shown_text(document: Document | None) -> str:
  """What a hit shows of a document."""
  parts = (document.title, document.text) if document else ()
  return ' | '.join(part for part in parts if part)


def fingerprint(
  module: Transformer, params: Any, identity: str, settings: Any
) -> str:
  """SHA-256 (hex) of a model, the name of its identifiers and settings."""
  digest = hashlib.sha256()
  fields = checkpoints.config_fields(module.config)
  digest.update(json.dumps([fields, identity, settings]).encode())
  for array in jax.tree.leaves(params):
    digest.update(np.ascontiguousarray(array).data)
  return digest.hexdigest()


def check_corpus(
  documents: Sequence[Document], found: identifiers_lib.Identifiers, corpus: str
) -> None:
  """Refuses documents that are not those of the identifiers.

  Args:
    documents: the corpus.
    found: the identifiers.
    corpus: where it comes from.
  """
  expected = found.meta.get('corpus_hash')
  hashed = documents_hash(documents)
  if expected is not None and expected != hashed:
    raise ValueError(
      f'Expected the corpus that the identifiers name (hash '
      f'{expected[:12]}), {corpus} has hash {hashed[:12]}; put the old one '
      f'back, or set corpus to "" in {SETTINGS_FILE} for hits without text.'
    )


def _documents(
  corpus: str | None, found: identifiers_lib.Identifiers
) -> list[Document] | None:
  """The corpus of the identifiers, or None where there is none to read."""
  if not corpus:
    return None
  try:
    documents = list(read_documents(corpus))
  except FileNotFoundError:
    warnings.warn(
      f'Expected the corpus at {corpus}, found none: hits come without text; '
      f"put it back, or write its new place into the run's {SETTINGS_FILE}.",
      stacklevel=3,
    )
    return None
  check_corpus(documents, found, corpus)
  return documents


def _run_settings(folder: Path) -> dict[str, Any]:
  path = folder / SETTINGS_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f'Expected a run folder with {SETTINGS_FILE}, found none in {folder}; '
      'make one with `genret train` or `genret quickstart`.'
    )
  try:
    settings = json.loads(path.read_bytes())
  except ValueError:
    settings = None
  if not isinstance(settings, dict):
    raise ValueError(
      f'Expected a JSON object in {path}, found something else; train again, '
      'or copy the file from the machine that trained.'
    )
  needed: tuple[str, ...] = _SETTINGS
  if 'retriever' in settings:
    needed = (*_SETTINGS, *_VECTOR_SETTINGS)
  missing = [name for name in needed if name not in settings]
  if missing:
    raise ValueError(
      f'Expected {", ".join(needed)} in {path}, {missing[0]} is missing; '
      'train again, or copy the file from the machine that trained.'
    )
  return settings


def write_settings(
  run_folder: str | os.PathLike[str], settings: Mapping[str, Any]
) -> None:
  """Writes the searcher.json that `Searcher.load` reads.

  Args:
    run_folder: an existing folder.
    settings: corpus (folder, or '' for hits without text), input_length,
      num_beams and query_prefix; for identifiers also decoding, for n-grams
      keys and scoring; of a dual encoder retriever, document_length and
      passage_prefix; where queries were withheld unseen_share and unseen_seed;
      query_form, 'input' where there is none.
  """
  more = {
    _DECODING,
    _QUERY_FORM,
    *_NGRAM_SETTINGS,
    *_UNSEEN_SETTINGS,
    *_VECTOR_SETTINGS,
  }
  assert set(settings) - more == set(_SETTINGS)
  write_text(
    Path(run_folder) / SETTINGS_FILE,
    json.dumps(dict(settings), indent=2) + '\n',
  )
