# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From a corpus to a folder of identifiers, by the name of a scheme.

A scheme is a function that a module of this folder lists in its `SCHEMES`:

    def scheme(
      documents, vocabulary, *, first_token, vectors, seed, old=None, **options
    ) -> DocidTable

Ids below `first_token` are text; `vectors()` gives document vectors to those
that want them, and a scheme that clusters has no default for it. With `old`, a
table of the same scheme and options, the documents are added: the result has the
rows of the old table first, as they are, and new tokens behind all old ones. What
that takes, such as centroids, a scheme leaves as `state` of its table. One without
`old` names a corpus once and for all. Adding a scheme is adding a module; nothing
else names it.

`build` names a corpus and `extend` adds documents; `on_demand` builds what is not
there yet, for experiment files.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret import docids as docids_package
from genret import embeddings
from genret import vocabulary as vocabulary_lib
from genret.corpus import Collection, Document
from genret.docids import corpus_texts, identity
from genret.docids.table import DocidTable
from genret.text_files import PathLike


def schemes() -> dict[str, Callable[..., DocidTable]]:
  """Every identifier scheme by name."""
  found: dict[str, Callable[..., DocidTable]] = {}
  for module in pkgutil.iter_modules(docids_package.__path__):
    loaded = importlib.import_module(f'{docids_package.__name__}.{module.name}')
    found.update(getattr(loaded, 'SCHEMES', {}))
  return dict(sorted(found.items()))


def options_of(scheme: str) -> dict[str, Any]:
  """The options of a scheme with their defaults.

  Raises:
    ValueError: for an unknown scheme.
  """
  known = schemes()
  if scheme not in known:
    raise ValueError(
      f'Expected one of the schemes {", ".join(known)}, got {scheme!r}.'
    )
  return {
    name: parameter.default
    for name, parameter in inspect.signature(known[scheme]).parameters.items()
    if name != 'seed' and parameter.default not in (parameter.empty, None)
  }


def degenerate(table: DocidTable) -> str:
  """What is wrong with codes that say nothing; empty where nothing is.

  Args:
    table: with the metadata of `build`.
  """
  scheme = table.meta['scheme']
  # Schemes that cluster have no default of vectors.
  needed = inspect.signature(schemes()[scheme]).parameters['vectors']
  k = {**options_of(scheme), **table.meta['options']}.get('k', 0)
  if needed.default is not needed.empty or k < len(table):
    return ''
  if table.lengths_D.max(initial=0) < 2:
    return ''
  return (
    f'k={k} is not below the {len(table):,} documents: a single code names a '
    'document, and the others say nothing; take a smaller k.'
  )


def build(
  collection: Collection,
  output: PathLike,
  *,
  scheme: str = 'atomic',
  vocabulary: PathLike | None = None,
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
    vocabulary: a SentencePiece model with T5's ids, or 'bytes' for those of ByT5;
      where None, one of `vocabulary_size` pieces is trained on the corpus.
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
  documents = collection.documents
  options = dict(options or {})
  check_options(scheme, options)
  if not documents:
    raise ValueError(
      f'Expected documents to name, {collection.name} has none; check its '
      'corpus.jsonl.'
    )
  _check_vectors(vectors, len(documents))
  if dimensions < 2:
    raise ValueError(f'Expected 2 dimensions or more, got {dimensions}.')
  queries = list(
    collection.queries_by_document(
      queries_split, unseen_share=unseen_share, unseen_seed=unseen_seed
    ).values()
  )
  known = identity.of_build(
    collection,
    scheme=scheme,
    vocabulary=vocabulary,
    vocabulary_size=vocabulary_size,
    text_tokens=text_tokens,
    queries_split=queries_split,
    unseen_share=unseen_share,
    unseen_seed=unseen_seed,
    dimensions=dimensions,
    vectors=vectors,
    seed=seed,
    options=options,
  )
  with tempfile.TemporaryDirectory() as folder:
    if vocabulary is None:
      vocabulary = Path(folder) / vocabulary_lib.VOCABULARY_FILE
      vocabulary_lib.train_vocabulary(
        corpus_texts.vocabulary_texts(documents, queries, seed),
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
    space = corpus_texts.latent_space(
      pieces, documents, queries, dimensions=dimensions, seed=seed
    )
    table = schemes()[scheme](
      documents,
      pieces,
      first_token=first_token,
      vectors=lambda: space.document_DxE if vectors is None else vectors,
      seed=seed,
      **options,
    )
    meta = {
      **known,
      'text_tokens': first_token,
      'pieces': pieces.get_piece_size(),
      vocabulary_lib.HASH_FIELD: vocabulary_lib.vocabulary_hash(vocabulary),
    }
    table = dataclasses.replace(table, meta={**table.meta, **meta})
    initial = embeddings.initial_embeddings(space, table)
    _write(output, vocabulary, table, initial)
  return table


def extend(
  old: PathLike,
  collection: Collection,
  output: PathLike,
  *,
  vectors: np.ndarray | None = None,
  options: Mapping[str, Any] | None = None,
) -> DocidTable:
  """Names the documents that a collection has beyond those of a folder.

  Documents are known by their ids. Those of the folder keep their identifiers,
  even where their text has changed, and none may be missing. New ones are named
  by what the scheme learned of the old corpus, in the old vocabulary.

  Args:
    old: a folder of `build` or `extend`.
    collection: the old documents and new ones, in any order, which is that of the
      new table; with the split of queries that the old build counted as text.
    output: another folder; an existing one is replaced.
    vectors: where the old build was given some, those of all documents, [D, any],
      by what embedded the old ones; otherwise None, and new documents are folded
      into the old latent space.
    options: of those that name files, what has changed.

  Raises:
    ValueError: if the scheme cannot add documents, old ones are missing, or
      vectors or options do not fit.
  """
  if Path(old).resolve() == Path(output).resolve():
    raise ValueError(
      f'Expected another folder than {old} for the new identifiers, got the '
      'same; name another.'
    )
  table = DocidTable.load(old)
  settings = table.meta.get('settings')
  if settings is None:
    raise ValueError(
      f'Expected identifiers that can be extended, those in {old} are of an '
      'older version of genret; index the corpus from scratch.'
    )
  scheme, seed = table.meta['scheme'], table.meta['seed']
  fixed = sorted(set(options or {}) - set(settings['files']))
  if fixed:
    raise ValueError(
      f'Expected options of {scheme} that name files '
      f'({", ".join(settings["files"]) or "there are none"}), got {fixed[0]}; '
      'the others are those of the old identifiers.'
    )
  options = {**table.meta['options'], **(options or {})}
  check_options(scheme, options)
  if 'old' not in inspect.signature(schemes()[scheme]).parameters:
    raise ValueError(
      f'Expected a scheme that can add documents, {scheme} cannot; index the '
      'larger corpus from scratch.'
    )
  documents = collection.documents
  new = _new_rows(table, documents, old)
  _check_vectors(vectors, len(documents))
  width = None if vectors is None else int(vectors.shape[1])
  if width != settings['vector_width']:
    raise ValueError(
      f'Expected {_described(settings["vector_width"])}, as {old} was built '
      f'with, got {_described(width)}; new documents must be in the space of '
      'the old ones.'
    )
  queries = list(
    collection.queries_by_document(
      settings['queries_split'],
      unseen_share=settings['unseen_share'],
      unseen_seed=settings['unseen_seed'],
    ).values()
  )
  pieces = vocabulary_lib.load_vocabulary(old, table.meta)
  space = corpus_texts.folded(
    embeddings.latent_space(embeddings.load(old), pieces.get_piece_size()),
    pieces,
    documents,
    queries,
  )
  grown = schemes()[scheme](
    [documents[row] for row in new],
    pieces,
    first_token=table.meta['text_tokens'],
    vectors=lambda: (space.document_DxE if vectors is None else vectors)[new],
    seed=seed,
    old=table,
    **options,
  )
  place = {doc_id: row for row, doc_id in enumerate(grown.doc_ids)}
  order = [place[document.doc_id] for document in documents]
  known = identity.of_build(
    collection,
    scheme=scheme,
    vocabulary=Path(old) / vocabulary_lib.VOCABULARY_FILE,
    vocabulary_size=settings['vocabulary_size'],
    text_tokens=settings['text_tokens'],
    queries_split=settings['queries_split'],
    unseen_share=settings['unseen_share'],
    unseen_seed=settings['unseen_seed'],
    dimensions=settings['dimensions'],
    vectors=vectors,
    seed=seed,
    options=options,
    extends=table.hash,
  )
  grown = dataclasses.replace(
    grown,
    doc_ids=[document.doc_id for document in documents],
    token_rows_DxL=grown.token_rows_DxL[order],
    lengths_D=grown.lengths_D[order],
    meta={**table.meta, **grown.meta, **known},
  )
  initial = embeddings.initial_embeddings(space, grown)
  _write(output, old, grown, initial)
  return grown


def _new_rows(
  table: DocidTable, documents: Sequence[Document], old: PathLike
) -> np.ndarray:
  """Which documents the table does not name; refuses to lose any that it does."""
  missing = set(table.doc_ids) - {document.doc_id for document in documents}
  if missing:
    first = next(doc_id for doc_id in table.doc_ids if doc_id in missing)
    raise ValueError(
      f'Expected all documents of {old} in the larger corpus, {len(missing)} '
      f'are missing, first {first!r}; keep them, or index from scratch.'
    )
  known = set(table.doc_ids)
  return np.array(
    [row for row, d in enumerate(documents) if d.doc_id not in known], np.int64
  )


def _described(width: int | None) -> str:
  return 'no vectors' if width is None else f'vectors of {width} numbers'


def _check_vectors(vectors: np.ndarray | None, count: int) -> None:
  if vectors is not None and (np.ndim(vectors) != 2 or len(vectors) != count):
    raise ValueError(
      f'Expected vectors [{count}, any], one for each document, got shape '
      f'{np.shape(vectors)}; embed the corpus in its own order.'
    )


def check_options(scheme: str, options: Mapping[str, Any]) -> None:
  """Options that the scheme does not take are the user's error.

  Raises:
    ValueError: naming those that it takes.
  """
  defaults = options_of(scheme)
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


def _write(
  output: PathLike,
  vocabulary: PathLike,
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
