# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretrained weights with rows for the tokens of identifiers."""

from typing import Any

import jax

from genret import embeddings
from genret import vocabulary as vocabulary_lib
from genret.corpus import Collection, documents_hash
from genret.docids.table import DocidTable
from genret.models import weights
from genret.models.t5 import T5Config
from genret.text_files import PathLike


def with_identifiers(
  model: tuple[T5Config, Any],
  docids: PathLike,
  collection: Collection | None,
) -> tuple[T5Config, Any]:
  """The model with rows for the tokens of identifiers that text does not have.

  Args:
    model: sizes and parameters.
    docids: the identifiers, behind the vocabulary of the model.
    collection: the documents that are named: an identifier's token starts as the
      mean of its documents' words in the model's own embeddings, inputs and
      outputs alike. Where None, new rows are drawn around the mean of all.

  Raises:
    ValueError: for identifiers behind another number of tokens than the model
      has, and documents that they do not name.
  """
  config, params = model
  table = DocidTable.load(docids)
  text = table.meta.get('text_tokens', config.vocab_size)
  if text != config.vocab_size:
    raise ValueError(
      f'Expected identifiers behind the {config.vocab_size:,} tokens of the model, '
      f'those in {docids} begin at {text:,}; index the corpus with --vocabulary '
      f'and --text-tokens {config.vocab_size}.'
    )
  if collection is None:
    return weights.extend_vocabulary(
      params, config, table.vocab_size, jax.random.key(0)
    )
  if documents_hash(collection.documents) != table.meta.get('corpus_hash'):
    raise ValueError(
      f'Expected the documents that {docids} names, {collection.name} has others; '
      'give the corpus that was indexed.'
    )
  words = embeddings.identifier_words(
    table,
    vocabulary_lib.load_vocabulary(docids).encode(
      [f'{d.title}\n{d.text}' for d in collection.documents]
    ),
    embeddings.load(docids).idf_V,
  )
  return weights.add_identifiers(params, config, table.vocab_size, words)


def save_initial(
  model: tuple[T5Config, Any],
  collection: Collection,
  docids: PathLike,
  output: PathLike,
) -> None:
  """Writes a folder that training may start from; see `with_identifiers`."""
  config, params = with_identifiers(model, docids, collection)
  weights.save_model(output, config, params)
