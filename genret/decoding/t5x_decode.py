# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The constrained beam search in the shape of a T5X `decode_fn`.

A gin file joins the two, for T5X's own search takes no constraint:

  models.EncoderDecoderModel.decode_fn = @constrained_beam_decode
  constrained_beam_decode.constraint = @Trie.load()

or, with the identifiers and the options of an experiment (`decode_fn`):

  models.EncoderDecoderModel.decode_fn = @decode_fn()
  decode_fn.docids = %DOCIDS

T5X gives a decode_fn no way to receive arrays as arguments of jit; the constraint's
are made some by `genret.jit_arguments`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genret import identifiers, jit_arguments
from genret.constraints.protocol import SupportsConstraint
from genret.constraints.trie import Trie
from genret.decoding import beam
from genret.decoding.answers import answers_of
from genret.decoding.ngram_keys import KeyOptions, body_constraint
from genret.decoding.options import DecodingOptions, from_fields
from genret.docids.table import DocidTable
from genret.vocabulary import load_vocabulary

# Leaves of a T5X cache that all rows of a batch share, by their last name.
_SHARED = ('cache_index', 'cached_bias', 'position_embedder_index')


class DecodingState(NamedTuple):
  """What T5X's model reads at a step; N = batch size * num_decodes.

  Attributes:
    cur_index: scalar, tokens written so far.
    cur_token: int32 [N, 1], the tokens written last.
    cache: the model's cache.
  """

  cur_index: jax.Array
  cur_token: jax.Array
  cache: Any


class _Cache(NamedTuple):
  """A T5X cache as `beam_search` takes it: rows first, then a counter."""

  leaves: list[jax.Array]
  cur_index: jax.Array


def decode_fn(
  docids: str | os.PathLike[str],
  decoding: Mapping[str, Any] | None = None,
  keys: Mapping[str, Any] | None = None,
) -> Callable[..., tuple[jax.Array, jax.Array]]:
  """The search that writes what names documents, as a run's searcher decodes it.

  Where n-grams name documents, it writes some of the body, of body_length tokens,
  whatever view an input asks for: to find documents by them takes `generate_keys`,
  with its titles, queries, numbers of beams and rescoring.

  Args:
    docids: folder of the identifiers, or of an index of n-grams.
    decoding: how identifiers are decoded: fields of `DecodingOptions`, by name.
    keys: where n-grams name documents: fields of `KeyOptions`, by name.

  Raises:
    ValueError: as `identifiers.load` and `answers_of` do, or for other fields.
  """
  how = from_fields(DecodingOptions, decoding or {})
  ngrams = from_fields(KeyOptions, keys or {})
  found = identifiers.load(docids)
  if not isinstance(found, DocidTable):
    return functools.partial(
      constrained_beam_decode,
      constraint=body_constraint(found.fm, ngrams, found.vocab_size),
      max_length=ngrams.body_length,
      num_groups=ngrams.num_groups,
      diversity_penalty=ngrams.diversity_penalty,
    )
  answers = answers_of(
    found, Trie.from_table(found), load_vocabulary(docids, found.meta), how
  )
  return functools.partial(
    constrained_beam_decode,
    constraint=answers.constraint,
    max_length=answers.max_length,
    normalize=how.normalize,
    length_penalty=how.length_penalty,
    alpha=how.alpha,
  )


def constrained_beam_decode(
  *,
  inputs: jax.Array,
  cache: Any,
  tokens_to_logits: Callable[[DecodingState], tuple[jax.Array, Any]],
  eos_id: int = 1,
  num_decodes: int = 4,
  decode_rng: jax.Array | None = None,
  cache_offset: int = 0,
  constraint: SupportsConstraint | None = None,
  max_length: int | None = None,
  normalize: str = 'vocabulary',
  length_penalty: str = 'none',
  alpha: float = 1.0,
  num_groups: int = 1,
  diversity_penalty: float = 0.5,
) -> tuple[jax.Array, jax.Array]:
  """Decodes as `genret.beam_search` does, called as T5X calls a decode_fn.

  Args:
    inputs: int32 [B, L], zeros: L is the most tokens an answer may have. A
      prompt is not supported; where inputs are traced, so that no error can be
      raised, the scores of a query with a prompt are NaN and its tokens 0.
    cache: the model's cache, with B rows along axis cache_offset.
    tokens_to_logits: one step of the model, on N rows.
    eos_id: the token that ends an answer.
    num_decodes: K, the number of beams.
    decode_rng: not used; nothing here is random.
    cache_offset: 1 if the layers are scanned, and so the first axis; else 0.
    constraint: see `beam_search`. Under jit its arrays become arguments of the
      program, wherever they come from.
    max_length: the most tokens of an answer; L where None.
    normalize: see `beam_search`, as for the others.
    length_penalty: 'gnmt' compares answers as T5X's own search does.
    alpha: exponent of the length penalty.
    num_groups: groups of diverse beam search.
    diversity_penalty: what a token costs that earlier groups chose.

  Returns:
    Tokens [B, K, L] and scores [B, K], the best last. Where fewer than K
    answers exist, the first have tokens 0 and score -inf.

  Raises:
    ValueError: there is a prompt, the cache does not have B rows, or max_length
      is more than L.
  """
  del decode_rng
  batch_size, room = inputs.shape
  max_length = room if max_length is None else max_length
  if max_length > room:
    raise ValueError(
      f'Expected room for answers of {max_length} tokens, end-of-sequence '
      f"included, got {room}; set TASK_FEATURE_LENGTHS['targets'] to "
      f'{max_length}.'
    )
  _refuse_prompt(inputs)
  paths_leaves, structure = jax.tree_util.tree_flatten_with_path(cache)
  shared = [_is_shared(path) for path, _ in paths_leaves]

  def to_rows(leaf: jax.Array, is_shared: bool, repeats: int) -> jax.Array:
    if is_shared:
      return _spread(leaf, batch_size * num_decodes)
    return jnp.repeat(jnp.moveaxis(leaf, cache_offset, 0), repeats, axis=0)

  def from_rows(leaf: jax.Array, is_shared: bool) -> jax.Array:
    if is_shared:
      return leaf if not leaf.ndim else leaf[0]
    return jnp.moveaxis(leaf, 0, cache_offset)

  def step(token_N: jax.Array, cache: _Cache) -> tuple[jax.Array, _Cache]:
    leaves = map(from_rows, cache.leaves, shared)
    logits_NxV, new_cache = tokens_to_logits(
      DecodingState(
        cache.cur_index,
        token_N[:, None],
        jax.tree_util.tree_unflatten(structure, leaves),
      )
    )
    # By leaves: a FrozenDict may have come back as a dict.
    rows = [
      to_rows(leaf, is_shared, 1)
      for leaf, is_shared in zip(
        jax.tree.leaves(new_cache), shared, strict=True
      )
    ]
    return logits_NxV, _Cache(rows, cache.cur_index + 1)

  if constraint is not None:
    constraint = _arguments_of(constraint)
  for path, leaf in paths_leaves:
    _check_rows(path, leaf, batch_size, cache_offset)
  rows = [
    to_rows(leaf, is_shared, num_decodes)
    for (_, leaf), is_shared in zip(paths_leaves, shared, strict=True)
  ]
  out = beam.beam_search(
    step,
    _Cache(rows, jnp.zeros((), jnp.int32)),
    batch_size=batch_size,
    num_beams=num_decodes,
    max_length=max_length,
    constraint=constraint,
    eos_id=eos_id,
    normalize=normalize,
    length_penalty=length_penalty,
    alpha=alpha,
    num_groups=num_groups,
    diversity_penalty=diversity_penalty,
  )
  prompted_B = jnp.any(inputs != 0, axis=1)
  tokens = jnp.where(prompted_B[:, None, None], 0, out.tokens)
  tokens = jnp.pad(tokens, ((0, 0), (0, 0), (0, room - max_length)))
  scores = jnp.where(prompted_B[:, None], jnp.nan, out.scores)
  return jnp.flip(tokens, axis=1), jnp.flip(scores, axis=1)


def _arguments_of(constraint: SupportsConstraint) -> SupportsConstraint:
  leaves = jax.tree.leaves(constraint)
  if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
    return constraint  # they are arguments
  with jax.ensure_compile_time_eval():
    automaton = constraint.constraint()
  return jit_arguments.as_arguments(automaton)


def _spread(leaf: jax.Array, count: int) -> jax.Array:
  """A shared leaf as equal rows; a scalar stays one."""
  if not leaf.ndim:
    return leaf
  return jnp.broadcast_to(leaf[None], (count, *leaf.shape))


def _is_shared(path: tuple) -> bool:
  return bool(path) and getattr(path[-1], 'key', None) in _SHARED


def _check_rows(
  path: tuple, leaf: jax.Array, batch_size: int, cache_offset: int
) -> None:
  if _is_shared(path):
    return
  if leaf.ndim <= cache_offset or leaf.shape[cache_offset] != batch_size:
    raise ValueError(
      f'Expected {batch_size} rows along axis {cache_offset} of '
      f'cache{jax.tree_util.keystr(path)} but got shape {leaf.shape}; pass the '
      'cache before it is expanded for the beams, and the cache_offset of the '
      'model.'
    )


def _refuse_prompt(inputs: jax.Array) -> None:
  if isinstance(inputs, jax.core.Tracer):
    return
  if bool(jnp.any(inputs != 0)):
    raise ValueError(
      'Expected inputs of zeros but got a prompt; constrained decoding starts '
      'at the root: set prompt_with_targets=False.'
    )
