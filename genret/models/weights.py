# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Weights that come from elsewhere: read, given more tokens, kept as ours."""

import dataclasses
from typing import Any

import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
from scipy import sparse

from genret.models import checkpoints, t5
from genret.models.hugging_face import (
  Params,
  PathLike,
  load_hugging_face,
  save_hugging_face,
)

__all__ = [
  'add_identifiers',
  'extend_vocabulary',
  'load_hugging_face',
  'save_hugging_face',
  'save_model',
]


def save_model(
  folder: PathLike,
  config: t5.T5Config,
  params: Params,
  *,
  step: int = 0,
  optimizer: Any = None,
) -> None:
  """Writes a model as a step of a run: `checkpoints.load_model` reads it.

  Args:
    folder: without checkpoints as yet.
    config: the sizes.
    params: the parameters.
    step: how long it has been trained.
    optimizer: what `checkpoints.load_optimizer` has, for a run that is to go on.

  Raises:
    ValueError: where the folder holds checkpoints already.
  """
  items = {'params': params}
  if optimizer is not None:
    items['optimizer'] = optimizer
  with checkpoints.checkpoint_manager(folder, keep=None) as manager:
    if manager.all_steps():
      raise ValueError(
        f'Expected a folder without checkpoints, got {folder}; name another, or '
        'remove them.'
      )
    # Sizes first: parameters without them are of no use to a reader.
    checkpoints.save_config(folder, config)
    arrays = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    manager.save(step, args=ocp.args.Composite(**arrays))


def extend_vocabulary(
  params: Params,
  config: t5.T5Config,
  vocab_size: int,
  key: jax.Array,
  *,
  embedding_rows_XxE: np.ndarray | None = None,
  logits_rows_XxE: np.ndarray | None = None,
) -> tuple[t5.T5Config, Params]:
  """Adds tokens at the end of the vocabulary.

  New rows are drawn around the mean of the old ones with their spread in each
  coordinate, so that new tokens start no likelier than others (Hewitt, 2021,
  https://nlp.stanford.edu/~johnhew/vocab-expansion.html).

  Args:
    params: of a model with `config`.
    config: with the old vocab_size.
    vocab_size: the new one, X more.
    key: of the random rows.
    embedding_rows_XxE: rows of the token embedding to add instead.
    logits_rows_XxE: rows of the untied output layer to add instead; where it is
      tied to the embedding there are none.

  Returns:
    The new config and parameters; what did not grow is shared with `params`.
  """
  count = vocab_size - config.vocab_size
  if count < 0:
    raise ValueError(
      f'Expected vocab_size of at least {config.vocab_size}, as it is, got '
      f'{vocab_size}; tokens cannot be taken away.'
    )
  given = {
    'token_embedder/embedding': embedding_rows_XxE,
    'decoder/logits_dense/kernel': logits_rows_XxE,
  }
  if config.logits_via_embedding:
    del given['decoder/logits_dense/kernel']
    if logits_rows_XxE is not None:
      raise ValueError(
        'Expected no logits_rows_XxE for an output layer that is tied to the '
        'embedding, got some; give embedding_rows_XxE alone.'
      )
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  for subkey, (path, rows) in zip(
    jax.random.split(key), given.items(), strict=False
  ):
    old = np.asarray(flat[path])
    old = old.T if path.endswith('kernel') else old
    if rows is None:
      noise = np.asarray(jax.random.normal(subkey, (count, config.emb_dim)))
      rows = old.mean(axis=0) + noise * old.std(axis=0)
    if np.shape(rows) != (count, config.emb_dim):
      raise ValueError(
        f'Expected {count} rows of {config.emb_dim} of {path} for vocab_size '
        f'{vocab_size}, got shape {np.shape(rows)}; give one row per new token.'
      )
    new = np.concatenate([old, np.asarray(rows, old.dtype)])
    flat[path] = new.T if path.endswith('kernel') else new
  if config.pawa_layers:
    # New tokens start unadapted, as all tokens did.
    kernel = np.asarray(flat['prefix_map/kernel'])
    flat['prefix_map/kernel'] = np.pad(kernel, ((0, 0), (0, 0), (0, count)))
  config = dataclasses.replace(config, vocab_size=vocab_size)
  return config, flax.traverse_util.unflatten_dict(flat, sep='/')


def add_identifiers(
  params: Params,
  config: t5.T5Config,
  vocab_size: int,
  words_VxV: sparse.csr_matrix,
) -> tuple[t5.T5Config, Params]:
  """Adds identifier tokens that start at the centroids of their words.

  A new row is the weighted mean of the rows of words, less the mean of all
  rows, stretched to the typical length; in the embedding and, where it is not
  tied, in the output layer. So a fresh identifier is likely where its
  document's words are.

  Args:
    params: of a model with `config`.
    config: with the old vocab_size.
    vocab_size: the new one.
    words_VxV: `embeddings.identifier_words`, over the new vocabulary.

  Returns:
    The new config and parameters.

  Raises:
    ValueError: if the words are over another vocabulary, or it is smaller.
  """
  old = config.vocab_size
  if vocab_size < old or words_VxV.shape != (vocab_size, vocab_size):
    raise ValueError(
      f'Expected words over a vocabulary of {old} or more, got vocab_size '
      f'{vocab_size} and words of shape {words_VxV.shape}; index the corpus '
      f'with --text-tokens {old}.'
    )
  words_XxV = words_VxV[old:, :old]

  def rows(table_VxE: np.ndarray) -> np.ndarray:
    centred_VxE = table_VxE - table_VxE.mean(0)
    new_XxE = words_XxV @ centred_VxE
    length_X = np.linalg.norm(new_XxE, axis=1, keepdims=True)
    typical = np.median(np.linalg.norm(centred_VxE, axis=1))
    return new_XxE * (typical / np.where(length_X > 0, length_X, np.inf))

  embedding_VxE = np.asarray(params['token_embedder']['embedding'])
  kernel = params['decoder'].get('logits_dense')
  return extend_vocabulary(
    params,
    config,
    vocab_size,
    jax.random.key(0),
    embedding_rows_XxE=rows(embedding_VxE),
    logits_rows_XxE=(
      None if kernel is None else rows(np.asarray(kernel['kernel']).T)
    ),
  )
