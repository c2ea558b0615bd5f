# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""n-grams as identifiers: the folder that `genret index fm` writes.

An FM-index over the rows of `views.document_rows`, and beside it all that
training needs of the corpus: the text vocabulary (spiece.model) and, where a
model is to start from them, latent vectors of the words. What a `DocidTable` and
its folder are to identifiers of one name a document, this is to SEAL
(Bevilacqua et al., NeurIPS 2022) and MINDER (Li et al., ACL 2023).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from genret import array_folder, embeddings, views
from genret import vocabulary as vocabulary_lib
from genret.constraints import fm_files
from genret.constraints.fm_index import FMIndex
from genret.corpus import Collection, Document

_FIELDS = ('hash', 'corpus_hash', 'text_tokens', vocabulary_lib.HASH_FIELD)


@dataclasses.dataclass(frozen=True)
class NgramIndex:
  """The n-grams of a corpus, in the words of a vocabulary.

  Attributes:
    fm: the index; its labels are the ids of the documents.
    pieces: the text vocabulary.
    marks: the marks of the views.
  """

  fm: FMIndex
  pieces: sentencepiece.SentencePieceProcessor
  marks: views.Markers

  @property
  def hash(self) -> str:
    """What tells this index from others: documents, queries, vocabulary."""
    return str(self.fm.meta['hash'])

  @property
  def meta(self) -> Mapping[str, Any]:
    """What the builder noted, see `load_meta`."""
    return self.fm.meta

  @property
  def vocab_size(self) -> int:
    """Tokens of a model for it, marks included."""
    return self.fm.vocab_size


def build(
  collection: Collection,
  output: str | os.PathLike[str],
  *,
  vocabulary: str | os.PathLike[str] | None = None,
  vocabulary_size: int = 8000,
  text_tokens: int | None = None,
  pseudo_queries: Mapping[str, Sequence[str]] | None = None,
  queries_split: str | None = None,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  dimensions: int = 0,
  shards: int = 1,
  sample_rate: int = 1,
  seed: int = 0,
  progress: bool = False,
) -> NgramIndex:
  """Indexes the n-grams of a collection and writes the folder.

  Args:
    collection: the corpus.
    output: the folder; an index there is replaced.
    vocabulary: a SentencePiece model with T5's ids, or 'bytes' for those of ByT5;
      where None, one of `vocabulary_size` pieces is trained on the corpus.
    vocabulary_size: pieces to train.
    text_tokens: ids that text takes, where the marks of the views shall stand
      behind more than the pieces of the vocabulary.
    pseudo_queries: the third view (MINDER), by document id.
    queries_split: count the queries of this split as text of the documents that
      they ask for, in the vocabulary and in the latent vectors. Name training
      queries only.
    unseen_share: leave out the queries of so many documents (`genret.unseen`), as
      the caller did where pseudo_queries are those of a split.
    unseen_seed: which ones.
    dimensions: E, the width of a model that starts from latent vectors of the
      words; 0 for none.
    shards: as `FMIndex.build` takes it.
    sample_rate: likewise; 1 costs 4 bytes a token and locates at once what
      scoring asks for most.
    seed: of the latent vectors.
    progress: show how far it is.

  Raises:
    ValueError: for no documents, an unknown split or document, a folder of
      something else, or numbers out of range.
  """
  fm_files.check_output(output)
  documents = collection.documents
  if not documents:
    raise ValueError(
      f'Expected documents to index, {collection.name} has none; check its '
      'corpus.jsonl.'
    )
  if dimensions < 0 or dimensions == 1:
    raise ValueError(f'Expected 0, 2 or more dimensions, got {dimensions}.')
  pseudo_queries = dict(pseudo_queries or {})
  _check_known(pseudo_queries, documents)
  asked = collection.queries_by_document(
    queries_split, unseen_share=unseen_share, unseen_seed=unseen_seed
  )
  texts: list[str] = []
  if vocabulary is None or dimensions:  # Or not a copy of the whole corpus.
    texts = [
      '\n'.join([d.title, d.text, *pseudo_queries.get(d.doc_id, ()), *of])
      for d, of in zip(documents, asked.values(), strict=True)
    ]
  with tempfile.TemporaryDirectory() as folder:
    if vocabulary is None:
      vocabulary = Path(folder) / vocabulary_lib.VOCABULARY_FILE
      vocabulary_lib.train_vocabulary(texts, vocabulary, size=vocabulary_size)
    pieces = vocabulary_lib.load_vocabulary(vocabulary)
    size = pieces.get_piece_size()
    text_tokens = size if text_tokens is None else text_tokens
    if text_tokens < size:
      raise ValueError(
        f'Expected text_tokens of at least {size}, the pieces of the '
        f'vocabulary, got {text_tokens}.'
      )
    marks = views.markers(text_tokens)
    meta: dict[str, Any] = {
      'corpus_hash': collection.hash,
      'text_tokens': text_tokens,
      'pseudo_queries': sum(map(len, pseudo_queries.values())),
      vocabulary_lib.HASH_FIELD: vocabulary_lib.vocabulary_hash(vocabulary),
    }
    meta['hash'] = _hash(meta, pseudo_queries)
    # For those who withhold queries; the same n-grams are the same index.
    meta |= {
      'queries_split': queries_split,
      'unseen_share': unseen_share,
      'unseen_seed': unseen_seed,
    }
    index = FMIndex.build(
      views.document_rows(documents, pieces, marks, queries=pseudo_queries),
      views.vocab_size(text_tokens),
      labels=[document.doc_id for document in documents],
      meta=meta,
      shards=shards,
      sample_rate=sample_rate,
      progress=progress,
    )
    # An index without its own vocabulary does not load; a vocabulary without an
    # index would keep a build from being started again.
    embeddings.remove(output)
    index.save(output)
    vocabulary_lib.copy_vocabulary(
      vocabulary, Path(output) / vocabulary_lib.VOCABULARY_FILE
    )
    if dimensions:
      space = embeddings.latent_semantic_analysis(
        pieces.encode(texts), size, dimensions=dimensions - 1, seed=seed
      )
      text = np.concatenate([segment.text for segment in index.segments])
      initial = embeddings.initial_text_embeddings(
        space,
        index.vocab_size,
        np.bincount(text, minlength=index.vocab_size),
      )
      embeddings.save(output, initial, meta['hash'])
  return NgramIndex(index, pieces, marks)


def load(path: str | os.PathLike[str]) -> NgramIndex:
  """Opens what `build` wrote, the arrays mapped into memory.

  Raises:
    FileNotFoundError: there is no such folder, or no vocabulary in it.
    ValueError: the folder is damaged, foreign, or an index without views.
  """
  meta = load_meta(path)
  return NgramIndex(
    FMIndex.load(path),
    vocabulary_lib.load_vocabulary(path, meta),
    views.markers(meta['text_tokens']),
  )


def load_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
  """What the builder noted: hash, corpus_hash, text_tokens, vocabulary_hash."""
  kind, meta = array_folder.read_meta(path)
  noted = meta.get('meta', {})
  if kind != fm_files.KIND or any(name not in noted for name in _FIELDS):
    raise ValueError(
      f'Expected an index of n-grams with the views of documents in {path}, '
      f'found {kind!r} without; make one with `genret index fm`.'
    )
  return noted


def _check_known(
  queries: Mapping[str, Sequence[str]], documents: Sequence[Document]
) -> None:
  unknown = sorted(set(queries) - {d.doc_id for d in documents})
  if unknown:
    raise ValueError(
      f'Expected pseudo-queries of documents of the corpus, {len(unknown)} are '
      f'of others, first {unknown[0]!r}; generate them for this corpus.'
    )


def _hash(meta: Mapping[str, Any], queries: Mapping[str, Sequence[str]]) -> str:
  text = json.dumps(
    [dict(meta), sorted((k, list(v)) for k, v in queries.items())]
  )
  return hashlib.sha256(text.encode()).hexdigest()
