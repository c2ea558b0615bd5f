# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What names documents: a table of identifiers, or an index of n-grams.

Both are folders with a vocabulary beside their arrays, made by `genret index`;
gin files call them DOCIDS.
"""

import os

from genret import array_folder, ngram_index
from genret.constraints import fm_files
from genret.docids.table import DocidTable
from genret.ngram_index import NgramIndex

Identifiers = DocidTable | NgramIndex


def load(folder: str | os.PathLike[str]) -> Identifiers:
  """Opens whichever `genret index` wrote.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: it is damaged, or holds something else.
  """
  if are_ngrams(folder):
    return ngram_index.load(folder)
  return DocidTable.load(folder)


def are_ngrams(docids: str | os.PathLike[str]) -> bool:
  """Whether a folder holds an index of n-grams, and not a table."""
  return array_folder.read_meta(docids)[0] == fm_files.KIND


def vocab_size(docids: str | os.PathLike[str]) -> int:
  """Tokens of a model for the identifiers in a folder; bind it from gin."""
  return int(array_folder.read_meta(docids)[1]['vocab_size'])


def first_token(docids: str | os.PathLike[str]) -> int:
  """The first token that only identifiers have; bind it from gin.

  Raises:
    ValueError: the identifiers in the folder are written in text alone.
  """
  found = load(docids)
  first = int(found.meta.get('text_tokens', 0))
  if isinstance(found, NgramIndex) or found.token_rows_DxL.max() < first:
    raise ValueError(
      f'Expected identifiers with tokens of their own in {docids}, got text; '
      'use another scheme, such as hierarchical-kmeans-2d, or no PAWA.'
    )
  return first
