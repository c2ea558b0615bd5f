# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Search by n-grams: SEAL (Bevilacqua et al., NeurIPS 2022), whole.

The walk of a query: the model writes n-grams and titles that occur in the
corpus (`decoding.ngram_keys`), the FM-index finds who has them and their scores
add up (`ranking.ngrams`), and hits say by which n-grams they were found. MINDER
(Li et al., ACL 2023) is the same with the view 'query' among `keys.views`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genret import searcher as searcher_lib
from genret.corpus import Document
from genret.decoding.ngram_keys import KeyOptions, QueryKeys, generate_keys
from genret.decoding.options import from_fields
from genret.models.t5 import Transformer
from genret.ngram_index import NgramIndex
from genret.ranking.ngrams import Evidence, NgramScorer, Scoring
from genret.runs import Hit, Match
from genret.text_spans import DocumentText
from genret.vocabulary import EOS_ID, PAD_ID, UNK_ID

# Documents ranked where nobody says how many.
DEPTH = 100


class NgramSearcher:
  """Search over one corpus by the n-grams of its documents.

  Compiles once for each kind of search; `batch_size` queries go together, and
  `search` has programs for one of its own.
  """

  def __init__(
    self,
    module: Transformer,
    params: Any,
    *,
    identifiers: NgramIndex,
    documents: Sequence[Document] | None = None,
    keys: KeyOptions | None = None,
    scoring: Scoring | None = None,
    input_length: int = 32,
    batch_size: int = 32,
  ):
    """Puts the parts together; `Searcher.load` reads them from a run folder.

    Args:
      module: the model.
      params: its parameters.
      identifiers: the n-grams of the corpus.
      documents: the corpus, for the text of hits and where n-grams stand in
        it; where None, it is read back from the index, as the vocabulary
        spells it.
      keys: how n-grams are decoded.
      scoring: how they score documents.
      input_length: longest input in tokens, marks and end-of-sequence included.
      batch_size: queries decoded at a time.

    Raises:
      ValueError: if the index is of another vocabulary than the model.
    """
    if identifiers.vocab_size != module.config.vocab_size:
      raise ValueError(
        f'Expected an index over the {module.config.vocab_size} tokens of the '
        f'model, got one over {identifiers.vocab_size}; use the index that the '
        'model was trained with.'
      )
    self.module = module
    self.params = params
    self.identifiers = identifiers
    self.keys = keys or KeyOptions()
    self.scorer = NgramScorer(
      identifiers.fm,
      scoring or Scoring(),
      ignored=[PAD_ID, EOS_ID, UNK_ID, *identifiers.marks.ids],
    )
    self.input_length = input_length
    self.batch_size = batch_size
    # Whether hits say by which n-grams they were found.
    self.explain = True
    self._documents = {d.doc_id: d for d in documents or ()}
    self._text = functools.lru_cache(maxsize=10_000)(self._read_text)

  @property
  def doc_ids(self) -> Sequence[str]:
    """The ids of all documents that there have been."""
    return self.identifiers.fm.labels or []

  @property
  def docids_hash(self) -> str:
    """The hash of the index."""
    return self.identifiers.hash

  @property
  def scoring(self) -> Scoring:
    """How n-grams score documents; may be set."""
    return self.scorer.scoring

  @scoring.setter
  def scoring(self, scoring: Scoring) -> None:
    self.scorer = NgramScorer(
      self.identifiers.fm, scoring, ignored=self.scorer.ignored
    )

  @property
  def fingerprint(self) -> str:
    """What determines the answers: model, index, settings (SHA-256).

    Reads all weights.
    """
    return searcher_lib.fingerprint(
      self.module,
      self.params,
      self.identifiers.hash,
      [
        dataclasses.asdict(self.keys),
        dataclasses.asdict(self.scoring),
        [self.input_length, self.batch_size],
      ],
    )

  def search(self, query: str, k: int = 10) -> list[Hit]:
    """Finds the k best documents for one query.

    Args:
      query: any text.
      k: number of hits wanted; fewer come where fewer documents have any of
        the n-grams.

    Returns:
      Hits, best first, with the n-grams they were found by.

    Raises:
      ValueError: if k is below 1.
    """
    searcher_lib.check_hits(k)
    return self.rank(self.generate([query], batch_size=1), k)[0]

  def batch_search(
    self,
    queries: Sequence[str],
    qids: Sequence[str] | None = None,
    k: int = 10,
    *,
    progress: bool = False,
  ) -> dict[str, list[Hit]]:
    """As `Searcher.batch_search`."""
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
    searcher_lib.check_hits(k)
    return searcher_lib.stream(
      lambda batch: self.rank(self.generate(batch), k),
      queries,
      qids,
      batch_size=self.batch_size,
      progress=progress,
    )

  def measured(
    self, queries: Mapping[str, str], k: int | None, *, progress: bool = False
  ) -> tuple[dict[str, list[Hit]], dict[str, float]]:
    """Searches queries by id, and tells how the decoding went.

    Returns:
      The run, hits without their n-grams; keys, the mean number of n-grams a
      query, and empty_rate, the share of queries that none was found for.
    """
    counts: list[int] = []

    def answer(batch: Sequence[str]) -> list[list[Hit]]:
      found = self.generate(batch)
      counts.extend(len(keys.keys) for keys in found)
      return self.rank(found, k or DEPTH)

    explain, self.explain = self.explain, False
    try:
      run = dict(
        searcher_lib.stream(
          answer,
          list(queries.values()),
          list(queries),
          batch_size=self.batch_size,
          progress=progress,
        )
      )
    finally:
      self.explain = explain
    number = max(len(run), 1)
    rates = {
      'keys': sum(counts) / number,
      'empty_rate': sum(not hits for hits in run.values()) / number,
    }
    return run, rates

  def doc(self, doc_id: str) -> Document:
    """The document of an id.

    Raises:
      KeyError: if the index has no such document.
    """
    if doc_id in self._documents:
      return self._documents[doc_id]
    try:
      number = self.identifiers.fm.number_of(doc_id)
    except ValueError as error:
      raise KeyError(str(error)) from error
    return self._text(number).document

  def generate(
    self, queries: Sequence[str], *, batch_size: int | None = None
  ) -> list[QueryKeys]:
    """The n-grams that the model writes for each query, with their scores.

    Args:
      queries: texts.
      batch_size: decoded at a time; the searcher's own number where None.
    """
    return generate_keys(
      self.module,
      self.params,
      self.identifiers.fm,
      self.identifiers.marks,
      self.identifiers.pieces,
      queries,
      options=self.keys,
      input_length=self.input_length,
      batch_size=batch_size or self.batch_size,
    )

  def rank(self, found: Sequence[QueryKeys], k: int) -> list[list[Hit]]:
    """Maps what `generate` gave to the k best documents of each query."""
    return [self._hits(keys, k) for keys in found]

  def _hits(self, keys: QueryKeys, k: int) -> list[Hit]:
    scored = self.scorer.score(
      keys.keys,
      keys.log_probabilities,
      keys.unigram_log_probabilities,
      k,
      evidence=self.explain,
    )
    labels = self.doc_ids
    hits = []
    for document in scored:
      doc_id, text = labels[document.document], ''
      matches: tuple[Match, ...] = ()
      if self.explain:
        found = self._text(document.document)
        text = searcher_lib.shown_text(found.document)
        matches = tuple(self._match(found, e) for e in document.evidence)
      elif doc_id in self._documents:
        text = searcher_lib.shown_text(self._documents[doc_id])
      hits.append(Hit(doc_id, document.score, text, matches))
    return hits

  def _match(self, text: DocumentText, evidence: Evidence) -> Match:
    marks = set(self.identifiers.marks.ids)
    words = [t for t in evidence.tokens if t not in marks]
    spans = [
      span
      for offset in evidence.offsets
      for span in text.spans(offset, len(evidence.tokens))
    ]
    return Match(
      self.identifiers.pieces.decode(words),
      evidence.tokens,
      evidence.count,
      evidence.log_probability,
      evidence.contribution,
      tuple(spans),
    )

  def _read_text(self, number: int) -> DocumentText:
    """What the views of a document say, and where its tokens stand in it."""
    doc_id = self.doc_ids[number]
    return DocumentText.of(
      doc_id,
      self.identifiers.fm.document(number),
      self.identifiers.pieces,
      self.identifiers.marks,
      self._documents.get(doc_id),
    )


def from_settings(
  module: Transformer,
  params: Any,
  identifiers: NgramIndex,
  settings: Mapping[str, Any],
  *,
  documents: Sequence[Document] | None,
) -> NgramSearcher:
  """A searcher with the keys and the scoring of a run's settings.

  Args:
    module: the model.
    params: its parameters.
    identifiers: the index.
    settings: of `searcher.write_settings`; 'keys' and 'scoring' hold fields of
      `KeyOptions` and `Scoring`.
    documents: the corpus, for the text of hits.

  Raises:
    ValueError: for an unknown field, or a prefix of queries: marks say what is
      wanted, and the words of a prefix would be n-grams of every query.
  """
  if settings['query_prefix']:
    raise ValueError(
      'Expected no query_prefix where n-grams name documents, got '
      f'{settings["query_prefix"]!r}; leave QUERY_PREFIX empty.'
    )
  return NgramSearcher(
    module,
    params,
    identifiers=identifiers,
    documents=documents,
    keys=from_fields(KeyOptions, settings.get('keys', {})),
    scoring=from_fields(Scoring, settings.get('scoring', {})),
    input_length=settings['input_length'],
  )
