# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From a corpus to a folder of identifiers, by the name of a scheme.

A scheme is a function that a module of this folder lists in its `SCHEMES`:

    def scheme(
      documents, vocabulary, *, first_token, vectors, seed, **options
    ) -> DocidTable

Ids below `first_token` are text; `vectors()` gives document vectors to those
that want them. Adding a scheme is adding a module; nothing else names it.
"""

import dataclasses
import importlib
import inspect
import os
import pkgutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from genret import docids as docids_package
from genret import embeddings, unseen
from genret import vocabulary as vocabulary_lib
from genret.corpus import Collection, Document
from genret.docids.table import DocidTable


def schemes() -> dict[str, Callable[..., DocidTable]]:
  """Every identifier scheme by name."""
  found: dict[str, Callable[..., DocidTable]] = {}
  for module in pkgutil.iter_modules(docids_package.__path__):
    loaded = importlib.import_module(f'{docids_package.__name__}.{module.name}')
    found.update(getattr(loaded, 'SCHEMES', {}))
  return dict(sorted(found.items()))


def build(
  collection: Collection,
  output: str | os.PathLike[str],
  *,
  scheme: str = 'atomic',
  vocabulary: str | os.PathLike[str] | None = None,
  vocabulary_size: int = 8000,
  text_tokens: int | None = None,
  queries_split: str | None = None,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  dimensions: int = 512,
  vectors: np.ndarray | None = None,
  seed: int = 0,
  options: Mapping[str, Any] | None = None,
) -> DocidTable:
  """Names every document of a collection and writes the result to a folder.

  The folder holds the table, the text vocabulary (spiece.model) and the latent
  vectors that a model may start from: all that training needs of a corpus.

  Args:
    collection: the corpus.
    output: the folder; an existing one is replaced.
    scheme: one of `schemes()`.
    vocabulary: a SentencePiece model with T5's ids; where None, one of
      `vocabulary_size` pieces is trained on the corpus.
    vocabulary_size: pieces to train.
    text_tokens: ids that text takes in the model, where these are more than the
      pieces of the vocabulary (T5's own has 32,000 pieces and 32,128 rows).
    queries_split: count the queries of this split as text of the documents
      that they ask for, in the latent vectors and in the vocabulary. Name
      training queries only.
    unseen_share: leave out the queries of so many documents (`genret.unseen`),
      as the training that follows does.
    unseen_seed: which ones.
    dimensions: E, the width of a model that starts from the latent vectors.
    vectors: document vectors [D, any] for schemes that cluster; the latent
      vectors where None.
    seed: of everything random.
    options: further arguments of the scheme, such as k and c.

  Raises:
    ValueError: for an unknown scheme or option, no documents, vectors that do
      not fit, or an unknown split.
  """
  known = schemes()
  if scheme not in known:
    raise ValueError(
      f'Expected one of the schemes {", ".join(known)}, got {scheme!r}.'
    )
  documents = collection.documents
  if not documents:
    raise ValueError(
      f'Expected documents to name, {collection.name} has none; check its '
      'corpus.jsonl.'
    )
  if vectors is not None and (
    np.ndim(vectors) != 2 or len(vectors) != len(documents)
  ):
    raise ValueError(
      f'Expected vectors [{len(documents)}, any], one for each document, got '
      f'shape {np.shape(vectors)}; embed the corpus in its own order.'
    )
  if dimensions < 2:
    raise ValueError(f'Expected 2 dimensions or more, got {dimensions}.')
  withheld = unseen.unseen_documents(
    [d.doc_id for d in documents], unseen_share, unseen_seed
  )
  queries = list(
    collection.queries_by_document(queries_split, withheld=withheld).values()
  )
  texts = [f'{d.title}\n{d.text}' for d in documents]
  with tempfile.TemporaryDirectory() as folder:
    if vocabulary is None:
      vocabulary = Path(folder) / vocabulary_lib.VOCABULARY_FILE
      vocabulary_lib.train_vocabulary(
        [
          *texts,
          *(d.url for d in documents if d.url),
          *(q for of in queries for q in of),
        ],
        vocabulary,
        size=vocabulary_size,
      )
    pieces = vocabulary_lib.load_vocabulary(vocabulary)
    first_token = text_tokens or pieces.get_piece_size()
    if first_token < pieces.get_piece_size():
      raise ValueError(
        f'Expected text_tokens of at least {pieces.get_piece_size()}, the '
        f'pieces of the vocabulary, got {text_tokens}.'
      )
    space = embeddings.latent_semantic_analysis(
      pieces.encode(
        [
          '\n'.join([text, *of])
          for text, of in zip(texts, queries, strict=True)
        ]
      ),
      pieces.get_piece_size(),
      dimensions=dimensions - 1,  # the last one marks the end of identifiers
      seed=seed,
    )
    options = dict(options or {})
    table = _name(
      scheme,
      documents,
      pieces,
      options,
      first_token=first_token,
      vectors=lambda: space.document_DxE if vectors is None else vectors,
      seed=seed,
    )
    meta = {
      'scheme': scheme,
      'options': options,
      'seed': seed,
      'corpus_hash': collection.hash,
      **_queries_meta(queries_split, unseen_share, unseen_seed),
      'text_tokens': first_token,
      vocabulary_lib.HASH_FIELD: vocabulary_lib.vocabulary_hash(vocabulary),
    }
    table = dataclasses.replace(table, meta=meta)
    initial = embeddings.initial_embeddings(space, table)
    _write(output, vocabulary, table, initial)
  return table


def _queries_meta(
  split: str | None, unseen_share: float, unseen_seed: int
) -> dict[str, Any]:
  """Whose queries the table and its vectors know; nothing where none."""
  if split is None:
    return {}
  return {
    'queries_split': split,
    'unseen_share': unseen_share,
    'unseen_seed': unseen_seed,
  }


def _write(
  output: str | os.PathLike[str],
  vocabulary: str | os.PathLike[str],
  table: DocidTable,
  initial: embeddings.InitialEmbeddings,
) -> None:
  """Writes the three parts so that old and new ones never load together.

  The old latent vectors go first, since their header does not tell builds of
  equal identifiers apart; the table tells a vocabulary that is not its own.
  """
  embeddings.remove(output)
  vocabulary_lib.copy_vocabulary(
    vocabulary, Path(output) / vocabulary_lib.VOCABULARY_FILE
  )
  table.save(output)
  embeddings.save(output, initial, table.hash)


def _name(
  scheme: str,
  documents: Sequence[Document],
  pieces: sentencepiece.SentencePieceProcessor,
  options: Mapping[str, Any],
  **arguments: Any,
) -> DocidTable:
  """Calls the scheme; options that it does not take are the user's error."""
  function = schemes()[scheme]
  defaults = {
    name: parameter.default
    for name, parameter in inspect.signature(function).parameters.items()
    if name != 'seed' and parameter.default not in (parameter.empty, None)
  }
  for name, value in options.items():
    if name not in defaults:
      raise ValueError(
        f'Expected options of the scheme {scheme} '
        f'({", ".join(defaults) or "it has none"}), got {name}={value!r}.'
      )
    kind = type(defaults[name])
    if type(value) is not kind and not (kind is float and type(value) is int):
      raise ValueError(
        f'Expected {name} of {scheme} to be of type {kind.__name__}, got '
        f'{value!r}.'
      )
  return function(documents, pieces, **arguments, **options)
