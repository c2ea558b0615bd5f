# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Latent semantic analysis: document and token vectors without any weights.

The default source of document vectors for clustering, and a start for a
model's embedding table in the same space (see `initial_embeddings`).
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from genret import array_folder
from genret.docids.table import DocidTable

# Texts that are folded in at a time.
_BLOCK = 10_000


class LatentSpace(NamedTuple):
  """Vectors of a truncated SVD, both float32."""

  token_VxE: np.ndarray  # idf-weighted right singular vectors; 0 where unseen
  idf_V: np.ndarray  # inverse document frequency; 0 where unseen
  document_DxE: np.ndarray  # projected tf-idf rows, of unit length or 0


def latent_semantic_analysis(
  token_lists: Sequence[Sequence[int] | np.ndarray],
  vocab_size: int,
  *,
  dimensions: int = 256,
  seed: int = 0,
) -> LatentSpace:
  """Latent semantic analysis (Deerwester et al., JASIS 1990) of a corpus.

  Rows are log-scaled term frequencies times smoothed inverse document
  frequencies, of unit length. A text folds in as the sum of its token vectors.

  Args:
    token_lists: D documents as token ids in [0, vocab_size); may be empty.
    vocab_size: V.
    dimensions: E; where the corpus has a lower rank the rest is zero.
    seed: of the randomised solver.

  Returns:
    The vectors of tokens and documents.

  Raises:
    ValueError: if there are no documents, or a token lies outside [0, V).
  """
  if not len(token_lists):
    raise ValueError('Expected documents to analyse, got none.')
  counts_DxV = _counts(token_lists, vocab_size)
  documents_V = np.bincount(counts_DxV.indices, minlength=vocab_size)
  idf_V = np.log((1 + len(token_lists)) / (1 + documents_V)) + 1
  weights_DxV = counts_DxV.copy()
  weights_DxV.data = (1 + np.log(counts_DxV.data)) * idf_V[counts_DxV.indices]
  norms_D = np.sqrt(weights_DxV.multiply(weights_DxV).sum(1).A1)
  weights_DxV = sparse.diags(1 / np.maximum(norms_D, 1e-12)) @ weights_DxV

  rank = min(dimensions, min(weights_DxV.shape) - 1)
  document_DxE = np.zeros((len(token_lists), dimensions), np.float32)
  token_VxE = np.zeros((vocab_size, dimensions), np.float32)
  if rank > 0 and weights_DxV.nnz:
    svd = TruncatedSVD(rank, random_state=seed)
    with np.errstate(invalid='ignore'):  # equal documents have no variance
      document_DxE[:, :rank] = svd.fit_transform(weights_DxV)
    token_VxE[:, :rank] = svd.components_.T * idf_V[:, None]
    token_VxE[documents_V == 0] = 0
  idf_V = np.where(documents_V > 0, idf_V, 0).astype(np.float32)
  return LatentSpace(token_VxE, idf_V, unit_rows(document_DxE))


def fold_in(
  token_VxE: np.ndarray, token_lists: Sequence[Sequence[int] | np.ndarray]
) -> np.ndarray:
  """Vectors of texts in a latent space, float32 [D, E], of unit length or 0.

  Texts that the space was made of get the vectors that they have there.

  Args:
    token_VxE: of a `LatentSpace`.
    token_lists: D texts as token ids in [0, V).
  """
  vector_DxE = np.zeros((len(token_lists), token_VxE.shape[1]), np.float32)
  for first in range(0, len(token_lists), _BLOCK):
    rows = slice(first, first + _BLOCK)
    count_BxV = _counts(token_lists[rows], len(token_VxE))
    count_BxV.data = 1 + np.log(count_BxV.data)
    vector_DxE[rows] = unit_rows(count_BxV @ token_VxE)
  return vector_DxE


def _counts(
  token_lists: Sequence[Sequence[int] | np.ndarray], vocab_size: int
) -> sparse.csr_matrix:
  """How often each text has each token, float32 [D, V] sparse."""
  lengths_D = [len(tokens) for tokens in token_lists]
  tokens = np.concatenate([np.asarray(t, np.int64) for t in token_lists])
  if tokens.size and (tokens.min() < 0 or tokens.max() >= vocab_size):
    raise ValueError(
      f'Expected tokens in [0, {vocab_size}), got {tokens.min()} to '
      f'{tokens.max()}; use the vocabulary that the text was encoded with.'
    )
  rows = np.repeat(np.arange(len(lengths_D)), lengths_D)
  return sparse.coo_matrix(
    (np.ones(len(tokens), np.float32), (rows, tokens)),
    shape=(len(lengths_D), vocab_size),
  ).tocsr()


def unit_rows(x_NxE: np.ndarray) -> np.ndarray:
  """Scales rows to unit length; rows of (nearly) zero stay zero."""
  norm_Nx1 = np.linalg.norm(x_NxE, axis=1, keepdims=True)
  return (x_NxE / np.where(norm_Nx1 > 1e-9, norm_Nx1, np.inf)).astype(
    np.float32
  )


class InitialEmbeddings(NamedTuple):
  """A start for a model: words and identifiers in one latent space.

  Kept beside the identifiers by `genret index docids`.
  """

  input_VxE: np.ndarray  # float32, unit rows: what a token means
  output_VxE: np.ndarray  # float32, unit rows; 0 off identifiers and eos
  idf_V: np.ndarray  # float32, inverse document frequency; 0 off the text
  # float32, lengths of the tokens' vectors in the latent space; 0 off the text.
  # Vectors of older builds, and of n-grams, have none.
  norm_V: np.ndarray | None = None


def latent_space(initial: InitialEmbeddings, pieces: int) -> LatentSpace:
  """The space that `initial_embeddings` took words from, without documents.

  Args:
    initial: the vectors that a model starts from.
    pieces: V, tokens of the text.

  Raises:
    ValueError: if the lengths of the tokens' vectors were not kept.
  """
  if initial.norm_V is None:
    raise ValueError(
      'Expected latent vectors that documents can be folded into, these are of '
      'an older version of genret, or of n-grams; index from scratch.'
    )
  token_VxE = initial.input_VxE[:pieces, :-1] * initial.norm_V[:pieces, None]
  nothing_0xE = np.zeros((0, token_VxE.shape[1]), np.float32)
  return LatentSpace(token_VxE, initial.idf_V[:pieces], nothing_0xE)


def initial_embeddings(
  space: LatentSpace, table: DocidTable
) -> InitialEmbeddings:
  """Puts the tokens of identifiers into the latent space of the words.

  Text pieces enter a model as their latent vectors. As an output, an identifier
  token is the mean vector of the documents whose identifiers hold it: a
  cluster's token stands at the cluster's centroid, an atomic identifier at its
  document. It enters the same way, except where it completes an identifier:
  then it enters as the unit vector of one more dimension, which is also the
  output of end-of-sequence, so that an identifier ends where it should.
  All else, padding among it, is 0.

  Args:
    space: token vectors of the text pieces and vectors of the documents, in
      the table's order, of E - 1 dimensions.
    table: the identifiers.

  Raises:
    ValueError: if the space is of other documents or of more tokens.
  """
  pieces, dimensions = space.token_VxE.shape
  if len(space.document_DxE) != len(table) or pieces > table.vocab_size:
    raise ValueError(
      f'Expected vectors of {len(table)} documents and at most '
      f'{table.vocab_size} tokens, got {len(space.document_DxE)} and '
      f'{pieces}; analyse the corpus that the identifiers name.'
    )
  document_DxE = np.pad(space.document_DxE, ((0, 0), (0, 1)))
  end_E = np.eye(dimensions + 1, dtype=np.float32)[-1]
  position_L = np.arange(table.token_rows_DxL.shape[1])
  used_DxL = position_L < table.lengths_D[:, None]
  last_DxL = position_L == table.lengths_D[:, None] - 1
  document, _ = np.nonzero(used_DxL)
  token = table.token_rows_DxL[used_DxL]
  output_VxE = np.zeros((table.vocab_size, dimensions + 1), np.float32)
  np.add.at(output_VxE, token, document_DxE[document])
  output_VxE = unit_rows(output_VxE)
  output_VxE[table.eos_id] = end_E
  input_VxE = np.zeros_like(output_VxE)
  np.add.at(
    input_VxE,
    token,
    np.where(last_DxL[used_DxL][:, None], end_E, document_DxE[document]),
  )
  seen_V = space.token_VxE.any(1)
  input_VxE[:pieces][seen_V] = np.pad(space.token_VxE[seen_V], ((0, 0), (0, 1)))
  idf_V, norm_V = np.zeros((2, table.vocab_size), np.float32)
  idf_V[:pieces] = space.idf_V
  norm_V[:pieces] = np.linalg.norm(space.token_VxE, axis=1)
  return InitialEmbeddings(unit_rows(input_VxE), output_VxE, idf_V, norm_V)


# A fresh writer of n-grams: how much of a word's unit vector says nothing but
# that it is a word, and how strongly topic and frequency speak. With these, spans
# of the shipped collection start at 6.4 nats a token, where frequencies alone
# give 6.7.
_CONSTANT, _TOPIC, _PRIOR = 0.2, 0.4, 0.05


def initial_text_embeddings(
  space: LatentSpace, vocab_size: int, count_V: np.ndarray
) -> InitialEmbeddings:
  """The start of a model that writes n-grams of the corpus.

  A text piece enters as its latent vector, and as a constant in one more
  dimension; it leaves as its latent vector, and with the logarithm of how often
  the corpus has it in that dimension. So a fresh model writes the frequent words
  of the query's topic: a unigram model whose words are weighed by their latent
  similarity to the query.

  Args:
    space: token vectors of the text pieces, of E - 1 dimensions.
    vocab_size: V of the model, marks of the views included.
    count_V: how often the indexed text has each token.
  """
  pieces, dimensions = space.token_VxE.shape
  unit_PxE = unit_rows(space.token_VxE)
  input_VxE = np.zeros((vocab_size, dimensions + 1), np.float32)
  input_VxE[:pieces, :-1] = unit_PxE * np.sqrt(1 - _CONSTANT**2)
  input_VxE[:pieces, -1] = _CONSTANT
  log_V = np.log(count_V + 1.0)
  output_VxE = np.zeros_like(input_VxE)
  output_VxE[:pieces, :-1] = unit_PxE * _TOPIC
  output_VxE[:, -1] = (log_V - log_V[:pieces].mean()) * _PRIOR
  idf_V = np.zeros(vocab_size, np.float32)
  idf_V[:pieces] = space.idf_V
  return InitialEmbeddings(unit_rows(input_VxE), output_VxE, idf_V)


def save(
  docids: str | os.PathLike[str], initial: InitialEmbeddings, identity: str
) -> None:
  """Writes the vectors to the folder `latent` beside the identifiers.

  Args:
    docids: the folder of a table or an index.
    initial: the vectors.
    identity: its hash.
  """
  arrays = {k: v for k, v in initial._asdict().items() if v is not None}
  array_folder.save(
    Path(docids) / 'latent',
    kind='genret.latent',
    version=1,
    arrays=arrays,
    meta={'docids_hash': identity},
  )


def remove(docids: str | os.PathLike[str]) -> None:
  """Removes vectors that `save` wrote, before other identifiers come."""
  latent = Path(docids) / 'latent'
  with contextlib.suppress(OSError, ValueError):  # nothing that would load
    array_folder.load(latent, kind='genret.latent', version=1)
    shutil.rmtree(latent)


def load(docids: str | os.PathLike[str]) -> InitialEmbeddings:
  """Reads what `save` wrote; refuses vectors of other identifiers."""
  arrays, meta = array_folder.load(
    Path(docids) / 'latent', kind='genret.latent', version=1
  )
  _, known = array_folder.read_meta(docids)
  # A table has its hash here, an index among what its builder noted.
  if meta['docids_hash'] != known.get('hash', known['meta'].get('hash')):
    raise ValueError(
      f'Expected vectors of the identifiers in {docids}, found those of '
      'others; run `genret index docids` again.'
    )
  return InitialEmbeddings(**arrays)


@dataclasses.dataclass(frozen=True)
class LatentInit:
  """A flax initializer that reads `InitialEmbeddings`; bind it from gin.

  Attributes:
    docids: the folder of the identifiers.
    side: 'input' for the token embedding [V, E], rows scaled to a root mean
      square of 1 as T5 draws them; 'output' for the logits kernel [E, V],
      columns as they are kept.
    scale: of the values. Small inputs leave the decoder's first state to the
      query, which attention adds to what was written last.
  """

  docids: str
  side: str
  scale: float = 1.0

  def __call__(
    self, key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32
  ) -> jax.Array:
    """Gives the array; the key is not used.

    Raises:
      ValueError: if the model is of another shape, or the side is unknown.
    """
    del key
    initial = load(self.docids)
    if self.side == 'input':
      values = initial.input_VxE * np.sqrt(initial.input_VxE.shape[1])
    elif self.side == 'output':
      values = initial.output_VxE.T
    else:
      raise ValueError(f"Expected side 'input' or 'output', got {self.side!r}.")
    if values.shape != tuple(shape):
      raise ValueError(
        f'Expected {self.side} embeddings of shape {tuple(shape)}, the latent '
        f'vectors in {self.docids} have {values.shape}; run `genret index` '
        "again with --dimensions equal to the model's emb_dim, or set that, as "
        'in --gin.t5.T5Config.emb_dim=64.'
      )
    return jnp.asarray(values * self.scale, dtype)


def identifier_words(
  table: DocidTable,
  token_lists: Sequence[Sequence[int] | np.ndarray],
  idf_V: np.ndarray,
) -> sparse.csr_matrix:
  """How much each word says about each identifier token.

  Term frequencies times idf of the documents whose identifiers hold the token,
  scaled to sum to 1: with the embeddings of a pretrained model on its right the
  product is a start for the rows of the identifier tokens.

  Args:
    table: the identifiers, over V tokens.
    token_lists: the documents as text tokens, in the table's order.
    idf_V: inverse document frequencies, 0 off the text.

  Returns:
    float32 [V, V] sparse; the rows of tokens in no identifier are empty.
  """
  lengths_D = [len(tokens) for tokens in token_lists]
  words = np.concatenate([np.asarray(t, np.int64) for t in token_lists])
  documents = np.repeat(np.arange(len(token_lists)), lengths_D)
  size = table.vocab_size
  weight_DxV = sparse.coo_matrix(
    (idf_V[words], (documents, words)), shape=(len(table), size)
  ).tocsr()
  longest = table.token_rows_DxL.shape[1]
  used_DxL = np.arange(longest) < table.lengths_D[:, None]
  document, _ = np.nonzero(used_DxL)
  token = table.token_rows_DxL[used_DxL]
  holds_VxD = sparse.coo_matrix(
    (np.ones(len(token), np.float32), (token, document)),
    shape=(size, len(table)),
  ).tocsr()
  weight_VxV = (holds_VxD @ weight_DxV).tocsr()
  sums_V = np.asarray(weight_VxV.sum(1)).ravel()
  scale_V = 1 / np.where(sums_V > 0, sums_V, 1)
  return (sparse.diags(scale_V) @ weight_VxV).astype(np.float32).tocsr()
