# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Search by vectors: a dual encoder in T5, the usual thing to compare with.

The walk of a query: tokenise, encode to a vector (`text_vectors`), and take the
documents whose vectors have the largest inner products with it, all of them
compared (`ranking.inner_products`). As Sentence-T5 (Ni et al., Findings of ACL
2022) and GTR (Ni et al., EMNLP 2022) retrieve.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sentencepiece

from genret import searcher as searcher_lib
from genret import text_vectors
from genret import vocabulary as vocabulary_lib
from genret.corpus import Document, documents_hash
from genret.identifiers import Identifiers
from genret.models.t5 import Transformer
from genret.ranking.inner_products import top_documents
from genret.runs import Hit

# Documents ranked where nobody says how many.
DEPTH = 100


class DenseSearcher:
  """Exact search over the vectors of one corpus.

  The corpus is encoded at the first search, and again once `params` are set:
  4 bytes a dimension and document stay on the device. Compiles once for each
  number of hits, and for few lengths of texts.
  """

  def __init__(
    self,
    module: Transformer,
    params: Any,
    *,
    vocabulary: sentencepiece.SentencePieceProcessor,
    documents: Sequence[Document],
    docids_hash: str = '',
    input_length: int = 32,
    document_length: int = 128,
    batch_size: int = 32,
    query_prefix: str = '',
    passage_prefix: str = '',
  ):
    """Puts the parts together; `Searcher.load` reads them from a run folder.

    Args:
      module: the model.
      params: its parameters.
      vocabulary: the text pieces of the model.
      documents: the corpus; equal scores rank in its order.
      docids_hash: the hash of the identifiers that the run keeps, if any.
      input_length: longest query in tokens, end-of-sequence included.
      document_length: tokens that are read of a document, likewise.
      batch_size: texts encoded and queries answered at a time.
      query_prefix: what training put before a query.
      passage_prefix: what training put before a document.

    Raises:
      ValueError: if the vocabulary has more pieces than the model, or two
        documents have one id.
    """
    vocabulary_lib.check_rows(vocabulary, module.config.vocab_size)
    self.module = module
    self.vocabulary = vocabulary
    self.docids_hash = docids_hash
    self.input_length = input_length
    self.document_length = document_length
    self.batch_size = batch_size
    self.query_prefix = query_prefix
    self.passage_prefix = passage_prefix
    self.doc_ids: Sequence[str] = [d.doc_id for d in documents]
    self._documents = {d.doc_id: d for d in documents}
    if len(self._documents) < len(self.doc_ids):
      raise ValueError(
        f'Expected {len(self.doc_ids)} documents with ids of their own, got '
        f'{len(self._documents)} ids.'
      )
    self._params = params
    self._vector_DxE: jax.Array | None = None

  @property
  def params(self) -> Any:
    """The parameters; may be set."""
    return self._params

  @params.setter
  def params(self, params: Any) -> None:
    self._params, self._vector_DxE = params, None

  @property
  def vectors(self) -> jax.Array:
    """The vectors of the documents, float32 [D, E], in their order."""
    return self._encode_documents()

  @property
  def fingerprint(self) -> str:
    """What determines the answers: model, corpus, settings (SHA-256).

    Reads all weights.
    """
    return searcher_lib.fingerprint(
      self.module,
      self.params,
      documents_hash(self._documents.values()),
      [
        [self.input_length, self.document_length, self.batch_size],
        [self.query_prefix, self.passage_prefix],
        self.docids_hash,
      ],
    )

  def search(self, query: str, k: int = 10) -> list[Hit]:
    """Finds the k best documents for one query.

    Args:
      query: any text.
      k: number of hits wanted; fewer come where the corpus is smaller.

    Returns:
      Hits, best first; scores are cosines, and equal ones rank in the order of
      the corpus.

    Raises:
      ValueError: if k is below 1.
    """
    searcher_lib.check_hits(k)
    return self.rank(self.encode([query], batch_size=1), k)[0]

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
    if queries:
      self._encode_documents(progress=progress)

    def answer(batch: Sequence[str]) -> list[list[Hit]]:
      # A batch that is not full has the program of one that is.
      lacking = self.batch_size - len(batch)
      vector_QxE = np.pad(self.encode(batch), ((0, lacking), (0, 0)))
      return self.rank(vector_QxE, k)[: len(batch)]

    return searcher_lib.stream(
      answer, queries, qids, batch_size=self.batch_size, progress=progress
    )

  def measured(
    self, queries: Mapping[str, str], k: int | None, *, progress: bool = False
  ) -> tuple[dict[str, list[Hit]], dict[str, float]]:
    """Searches queries by id; nothing is decoded, so there are no rates."""
    run = self.batch_search(
      list(queries.values()), list(queries), k or DEPTH, progress=progress
    )
    return run, {}

  def doc(self, doc_id: str) -> Document:
    """The document of an id.

    Raises:
      KeyError: if there is no such document.
    """
    if doc_id not in self._documents:
      raise KeyError(
        f'Expected one of {len(self._documents)} document ids, got {doc_id!r}.'
      )
    return self._documents[doc_id]

  def encode(
    self, queries: Sequence[str], *, batch_size: int | None = None
  ) -> np.ndarray:
    """The vectors of queries, float32 [Q, E].

    Args:
      queries: texts.
      batch_size: encoded at a time; the searcher's own number where None.
    """
    texts = [self.query_prefix + query for query in queries]
    return self._encode(texts, self.input_length, batch_size=batch_size)

  def rank(self, query_QxE: np.ndarray, k: int) -> list[list[Hit]]:
    """The k best documents of each vector that `encode` gave."""
    k = min(k, len(self.doc_ids))
    if not k:
      return [[] for _ in query_QxE]
    score_Qxk, document_Qxk = jax.device_get(
      top_documents(jnp.asarray(query_QxE), self.vectors, k=k)
    )
    return [
      [
        Hit(doc_id, score, searcher_lib.shown_text(self._documents[doc_id]))
        for doc_id, score in zip(
          (self.doc_ids[i] for i in document_k), score_k.tolist(), strict=True
        )
      ]
      for document_k, score_k in zip(document_Qxk, score_Qxk, strict=True)
    ]

  def _encode_documents(self, *, progress: bool = False) -> jax.Array:
    """The vectors of the documents, which are kept."""
    if self._vector_DxE is None:
      texts = [
        document.read_with(self.passage_prefix)
        for document in self._documents.values()
      ]
      self._vector_DxE = jnp.asarray(
        self._encode(texts, self.document_length, progress=progress)
      )
    return self._vector_DxE

  def _encode(
    self,
    texts: Sequence[str],
    max_length: int,
    *,
    batch_size: int | None = None,
    progress: bool = False,
  ) -> np.ndarray:
    return text_vectors.text_vectors(
      self.module,
      self.params,
      self.vocabulary,
      texts,
      max_length=max_length,
      batch_size=batch_size or self.batch_size,
      progress=progress,
    )


def from_settings(
  module: Transformer,
  params: Any,
  vocabulary: sentencepiece.SentencePieceProcessor,
  identifiers: Identifiers,
  settings: Mapping[str, Any],
  *,
  documents: Sequence[Document] | None,
) -> DenseSearcher:
  """A searcher with the lengths and the prefixes of a run's settings.

  Args:
    module: the model.
    params: its parameters.
    vocabulary: its text pieces.
    identifiers: what the run keeps beside them.
    settings: of `searcher.write_settings`.
    documents: the corpus, which must be that of the identifiers.

  Raises:
    ValueError: if there is no corpus.
  """
  if documents is None:
    raise ValueError(
      f'Expected the corpus at {settings["corpus"]!r}, whose vectors are '
      f"searched, got none; write its place into the run's "
      f'{searcher_lib.SETTINGS_FILE}.'
    )
  return DenseSearcher(
    module,
    params,
    vocabulary=vocabulary,
    documents=documents,
    docids_hash=identifiers.hash,
    input_length=settings['input_length'],
    document_length=settings['document_length'],
    query_prefix=settings['query_prefix'],
    passage_prefix=settings['passage_prefix'],
  )
