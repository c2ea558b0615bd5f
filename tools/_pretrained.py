# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretrained weights with rows for the tokens of identifiers."""

from pathlib import Path
from typing import Any

from genret import embeddings
from genret import vocabulary as vocabulary_lib
from genret.corpus import Collection
from genret.docids.table import DocidTable
from genret.models import weights
from genret.models.t5 import T5Config


def save_initial(
  model: tuple[T5Config, Any],
  collection: Collection,
  docids: Path,
  output: Path,
) -> None:
  """Writes a folder that training may start from.

  An identifier's token starts as the mean of its documents' words in the model's
  own embeddings, inputs and outputs alike.

  Args:
    model: sizes and parameters, of `weights.load_hugging_face`.
    collection: the documents that are named.
    docids: their identifiers, behind the vocabulary of the model.
    output: the folder.
  """
  config, params = model
  table = DocidTable.load(docids)
  words = embeddings.identifier_words(
    table,
    vocabulary_lib.load_vocabulary(docids).encode(
      [f'{d.title}\n{d.text}' for d in collection.documents]
    ),
    embeddings.load(docids).idf_V,
  )
  config, params = weights.add_identifiers(
    params, config, table.vocab_size, words
  )
  weights.save_model(output, config, params)
