# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The text of a corpus as tokens, as vocabulary and as latent space.

All of it a block of documents at a time, or of a sample where there are many.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import sentencepiece

from genret import embeddings
from genret.corpus import Document
from genret.docids import quantise

# More documents than these are not read to train a vocabulary.
_VOCABULARY_SAMPLE = 200_000
# Documents that are tokenised at a time.
_BLOCK = 10_000


def vocabulary_texts(
  documents: Sequence[Document], queries: Sequence[Sequence[str]], seed: int
) -> Iterator[str]:
  """What a vocabulary is trained on: documents, addresses, then queries.

  Args:
    documents: D documents.
    queries: of each, those that count as its text.
    seed: of the choice where there are many documents.
  """
  some = quantise.sample_rows(len(documents), seed, most=_VOCABULARY_SAMPLE)
  for row in some:
    yield f'{documents[row].title}\n{documents[row].text}'
  yield from (documents[row].url for row in some if documents[row].url)
  yield from (query for row in some for query in queries[row])


def latent_space(
  pieces: sentencepiece.SentencePieceProcessor,
  documents: Sequence[Document],
  queries: Sequence[Sequence[str]],
  *,
  dimensions: int,
  seed: int,
) -> embeddings.LatentSpace:
  """The analysis of the corpus; of a sample, into which the others fold.

  Args:
    pieces: the vocabulary.
    documents: D documents.
    queries: of each, those that count as its text.
    dimensions: E of a model that starts from it; the space has one less.
    seed: of the solver and the sample.
  """
  some = quantise.sample_rows(len(documents), seed)
  space = embeddings.latent_semantic_analysis(
    [
      row for part in _encoded(pieces, documents, queries, some) for row in part
    ],
    pieces.get_piece_size(),
    dimensions=dimensions - 1,  # the last one marks the end of identifiers
    seed=seed,
  )
  if len(some) == len(documents):
    return space
  return folded(space, pieces, documents, queries)


def folded(
  space: embeddings.LatentSpace,
  pieces: sentencepiece.SentencePieceProcessor,
  documents: Sequence[Document],
  queries: Sequence[Sequence[str]],
) -> embeddings.LatentSpace:
  """The space with the vectors of other documents.

  Args:
    space: of some corpus.
    pieces: the vocabulary of both.
    documents: D documents.
    queries: of each, those that count as its text.
  """
  rows = np.arange(len(documents))
  parts = [
    embeddings.fold_in(space.token_VxE, part)
    for part in _encoded(pieces, documents, queries, rows)
  ]
  return space._replace(document_DxE=np.concatenate(parts))


def _encoded(
  pieces: sentencepiece.SentencePieceProcessor,
  documents: Sequence[Document],
  queries: Sequence[Sequence[str]],
  rows: np.ndarray,
) -> Iterator[list[np.ndarray]]:
  """Documents with the queries that ask for them, as tokens, in blocks."""
  for first in range(0, len(rows), _BLOCK):
    found = pieces.encode(
      [
        '\n'.join([documents[i].title, documents[i].text, *queries[i]])
        for i in rows[first : first + _BLOCK]
      ]
    )
    yield [np.array(tokens, np.int32) for tokens in found]
