# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Queries for documents, sampled from a doc-to-query model.

What DSI-QG (Zhuang et al., 2022), NCI (Wang et al., NeurIPS 2022) and the scaling
study of Pradeep et al. (EMNLP 2023) train on: a T5 that learned to write the query
for a document (docT5query, Nogueira and Lin, 2019) draws several, each token among
the best k.

Draws depend on the seed and on the place of a document in the corpus and in its
batch, so that a run that was interrupted can go on and end the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import sentencepiece

from genret import vocabulary as vocabulary_lib
from genret.constraints import protocol
from genret.corpus import Document
from genret.decoding.generate import generate_samples
from genret.models.t5 import Transformer
from genret.runs import Hit

# Tokens that stand for nothing a person would read.
_NO_TEXT = (vocabulary_lib.PAD_ID, vocabulary_lib.EOS_ID, vocabulary_lib.UNK_ID)


def generate_queries(
  module: Transformer,
  params: Any,
  vocabulary: sentencepiece.SentencePieceProcessor,
  documents: Sequence[Document],
  *,
  count: int = 20,
  prefix: str = '',
  input_length: int = 256,
  output_length: int = 32,
  temperature: float = 1.0,
  top_k: int = 10,
  top_p: float = 1.0,
  batch_size: int = 8,
  seed: int = 0,
  start: int = 0,
) -> Iterator[tuple[str, list[str]]]:
  """Samples queries for each document, batch by batch.

  Args:
    module: the model, one that writes text.
    params: its parameters.
    vocabulary: the text pieces; nothing else is written.
    documents: D documents; a model reads prefix, title and text.
    count: draws for each; equal ones (but for case and spaces), empty ones and
      those that have no end within output_length are left out, so that fewer
      may come. Padding and unknown pieces are dropped from a query.
    prefix: what the model was trained to see before a document.
    input_length: tokens that are read, end-of-sequence included.
    output_length: the most tokens of a query, end-of-sequence included.
    temperature: as `constrained_sample` takes it, and the two that follow.
    top_k: likewise.
    top_p: likewise.
    batch_size: documents at a time.
    seed: of the draws.
    start: begin with this document, the first one of a batch.

  Yields:
    Document id and queries in the order drawn, for each document from start on.

  Raises:
    ValueError: at the first document, for numbers out of range, a start within
      a batch, or a vocabulary that is larger than the model's.
  """
  for name, number in (('count', count), ('batch_size', batch_size)):
    if number < 1:
      raise ValueError(f'Expected {name} of at least 1, got {number}.')
  if start < 0 or start % batch_size:
    raise ValueError(
      f'Expected start to be a multiple of batch_size={batch_size}, got {start}.'
    )
  vocabulary_lib.check_rows(vocabulary, module.config.vocab_size)
  for first in range(start, len(documents), batch_size):
    batch = documents[first : first + batch_size]
    token_BxT = vocabulary_lib.encode(
      vocabulary,
      [document.read_with(prefix) for document in batch],
      max_length=input_length,
    )
    output = generate_samples(
      module,
      params,
      np.pad(token_BxT, ((0, batch_size - len(batch)), (0, 0))),
      protocol.unconstrained(vocabulary.get_piece_size()),
      jax.random.fold_in(jax.random.key(seed), first // batch_size),
      num_samples=count,
      max_length=output_length,
      temperature=temperature,
      top_k=top_k,
      top_p=top_p,
    )
    token_BxSxL, length_BxS, legal_BxS = jax.device_get(
      (output.tokens, output.lengths, output.legal)
    )
    for number, document in enumerate(batch):
      drawn = [
        [t for t in row[:length].tolist() if t not in _NO_TEXT]
        for row, length, legal in zip(
          token_BxSxL[number],
          length_BxS[number],
          legal_BxS[number],
          strict=True,
        )
        if legal and vocabulary_lib.EOS_ID in row[:length]
      ]
      yield document.doc_id, distinct(vocabulary.decode(drawn))


def distinct(queries: Sequence[str]) -> list[str]:
  """The first of equal queries, but for case and spaces; no empty ones."""
  found: dict[str, str] = {}
  for query in queries:
    found.setdefault(' '.join(query.casefold().split()), query.strip())
  found.pop('', None)
  return list(found.values())


def found_again(
  queries_of: Mapping[str, Sequence[str]],
  search: Callable[[Mapping[str, str], int], Mapping[str, Sequence[Hit]]],
  depth: int,
) -> dict[str, list[str]]:
  """Round-trip filtering: keeps queries that find their document again.

  As Alberti et al. (ACL 2019) filter generated questions; DSI-QG has a ranking
  model do it.

  Args:
    queries_of: queries by document id.
    search: (texts by query id, k) -> hits by query id, of any retriever.
    depth: a query is kept whose document is among so many hits.

  Returns:
    Queries by document id, of every document, in their order.

  Raises:
    ValueError: if depth is below 1.
  """
  if depth < 1:
    raise ValueError(f'Expected depth of at least 1, got {depth}.')
  flat = [(doc_id, q) for doc_id, of in queries_of.items() for q in of]
  texts = {str(number): query for number, (_, query) in enumerate(flat)}
  run = search(texts, depth) if texts else {}
  kept: dict[str, list[str]] = {doc_id: [] for doc_id in queries_of}
  for number, (doc_id, query) in enumerate(flat):
    hits = run.get(str(number), ())[:depth]
    if any(hit.doc_id == doc_id for hit in hits):
      kept[doc_id].append(query)
  return kept
