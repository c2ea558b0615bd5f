# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Several identifiers in one answer, with a separator between them.

CorpusBrain (Chen et al., CIKM 2022, https://arxiv.org/abs/2208.07652) writes
`title | title | title`, which no trie of single titles allows. Here the separator
may follow a complete identifier, and another identifier begins behind it.

An answer is the tokens of its parts one after another, each tokenised apart. It
is read in one way only, since identifiers that could be taken for two are
refused: the first separator in an answer ends the first identifier. While a
separator is not complete, both readings are followed: with the identifiers A and
AxB and the separator xy, Ax may go on to AxB or to Axy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genret.constraints import protocol
from genret.constraints.protocol import Constraint
from genret.constraints.trie import Trie, children_at, rank_of


class _Repeated(NamedTuple):
  trie: Trie
  separator_S: jax.Array
  max_titles: jax.Array


class _RepeatedState(NamedTuple):
  """Where beams are in an identifier, in the separator, or in both.

  Attributes:
    node_N: in the identifier, a state of the trie; -1 where it is left.
    titles_N: complete identifiers before it.
    begun_NxP: bool; whether the p + 1 tokens written last are the separator's
      first ones behind a complete identifier, p from 0 to S - 2.
  """

  node_N: jax.Array
  titles_N: jax.Array
  begun_NxP: jax.Array


def repeated(
  trie: Trie, separator: Sequence[int], max_titles: int
) -> Constraint:
  """Lets an answer be up to so many identifiers with a separator between them.

  eos may follow wherever an identifier is complete, and nowhere else: what the
  length limit cuts is no answer. An answer may have an identifier twice;
  `ranking.documents` takes its documents once.

  Args:
    trie: the identifiers.
    separator: its tokens, S of them; a separator that is text is tokenised alone.
    max_titles: the most identifiers in an answer; with 1, the trie's own answers.

  Raises:
    ValueError: the separator is empty or has eos or a token outside the
      vocabulary, max_titles is below 1, or the separator is in an identifier; the
      last is not checked inside jit.
  """
  tokens = [int(token) for token in separator]
  if not tokens or not all(
    0 <= token < trie.vocab_size and token != trie.eos_id for token in tokens
  ):
    raise ValueError(
      f'Expected a separator of tokens from 0 to {trie.vocab_size - 1} other '
      f'than eos_id={trie.eos_id} but got {tokens}; give one token at least.'
    )
  if max_titles < 1:
    raise ValueError(
      f'Expected max_titles of at least 1 but got {max_titles}; an answer has '
      'one identifier or more.'
    )
  if not isinstance(trie.token_E, jax.core.Tracer):
    wrong = ambiguous_identifier(trie, tokens)
    if wrong is not None:
      raise ValueError(
        f'Expected identifiers without the tokens {tokens} of the separator but '
        f'got {wrong}; choose another separator.'
      )
  return Constraint(
    _Repeated(
      trie,
      jnp.asarray(tokens, jnp.int32),
      jnp.asarray(max_titles, jnp.int32),
    ),
    _start,
    _probe,
    _children,
    _slots,
    _slots,
    _accepts,
    max_slots=trie.max_children + len(tokens),
    vocab_size=trie.vocab_size,
    eos_id=trie.eos_id,
  )


def ambiguous_identifier(
  trie: Trie, separator: Sequence[int]
) -> list[int] | None:
  """An identifier that has the separator in it, or would with it behind; or None.

  The rule of `corpusbrain.check_separator`, on tokens. No loop over identifiers:
  the separator is searched for in all of them at once, level by level.

  Args:
    trie: the identifiers.
    separator: at least one token.
  """
  token_E = np.asarray(trie.token_E)
  first_edge_S1 = np.asarray(trie.first_edge_S1)
  size = len(separator)
  kinds = sorted(set(separator))
  next_SxK = _matching(separator, kinds)
  # Whether an identifier that ends after so many tokens of the separator holds
  # it once it stands behind, and too early.
  early_S = np.zeros(size + 1, bool)
  for begun in range(1, size):
    matched = begun
    for token in separator[:-1]:
      matched = next_SxK[matched, kinds.index(token)]
      early_S[begun] |= matched == size
      if matched == size:
        break
  matched_X = np.zeros(1, next_SxK.dtype)
  first, last = 0, 1  # The states of a level.
  while first < last:
    edges = slice(int(first_edge_S1[first]), int(first_edge_S1[last]))
    before_X = np.repeat(matched_X, np.diff(first_edge_S1[first : last + 1]))
    token_X = token_E[edges]
    kind_X = np.full(len(token_X), len(kinds), np.int16)
    for kind, token in enumerate(kinds):
      kind_X[token_X == token] = kind
    matched_X = next_SxK[before_X, kind_X]
    wrong_X = np.where(
      token_X == trie.eos_id, early_S[before_X], matched_X == size
    )
    if wrong_X.any():
      edge = edges.start + int(np.argmax(wrong_X))
      return _identifier_with(token_E, first_edge_S1, edge, trie.eos_id)
    first, last = edges.start + 1, edges.stop + 1
  return None


def _matching(separator: Sequence[int], kinds: Sequence[int]) -> np.ndarray:
  """How much of the separator is matched after a token (Knuth, Morris, Pratt).

  Returns:
    int32 [S + 1, K + 1]: by what was matched before and the kind of the token, K
    being any that the separator does not have. A whole separator stays matched.
  """
  size = len(separator)
  next_SxK = np.zeros((size + 1, len(kinds) + 1), np.int32)
  next_SxK[size] = size
  for matched in range(size):
    for kind, token in enumerate(kinds):
      written = [*separator[:matched], token]
      next_SxK[matched, kind] = max(
        length
        for length in range(matched + 2)
        if list(separator[:length]) == written[len(written) - length :]
      )
  return next_SxK


def _identifier_with(
  token_E: np.ndarray, first_edge_S1: np.ndarray, edge: int, eos_id: int
) -> list[int]:
  """The first identifier that an edge is part of."""
  tokens = []
  state = edge + 1
  while state:
    edge = state - 1
    tokens.append(int(token_E[edge]))
    state = int(np.searchsorted(first_edge_S1, edge, side='right')) - 1
  tokens.reverse()
  state = _state_after(token_E, first_edge_S1, tokens)
  while tokens[-1] != eos_id:
    edge = int(first_edge_S1[state])
    tokens.append(int(token_E[edge]))
    state = edge + 1
  return tokens[:-1]


def _state_after(
  token_E: np.ndarray, first_edge_S1: np.ndarray, tokens: Sequence[int]
) -> int:
  state = 0
  for token in tokens:
    edges = slice(int(first_edge_S1[state]), int(first_edge_S1[state + 1]))
    state = edges.start + int(np.searchsorted(token_E[edges], token)) + 1
  return state


# The constraint functions. Slots are the trie's edges, with those tokens of the
# separator between them that the trie does not allow.


def _start(arrays: _Repeated, n: int) -> _RepeatedState:
  return _RepeatedState(
    jnp.zeros(n, jnp.int32),
    jnp.zeros(n, jnp.int32),
    jnp.zeros((n, len(arrays.separator_S) - 1), bool),
  )


def _offered(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  """Which of the separator's tokens may follow as such, bool [N, S]."""
  trie, node_N = arrays.trie, state_N.node_N
  eos_Nx1 = jnp.full((len(node_N), 1), trie.eos_id, jnp.int32)
  _, complete_Nx1 = rank_of(trie, node_N, eos_Nx1, below=trie.eos_id)
  more_N = state_N.titles_N + 1 < arrays.max_titles
  begins_Nx1 = complete_Nx1 & more_N[:, None]
  return jnp.concatenate([begins_Nx1, state_N.begun_NxP], axis=1)


def _fresh(
  arrays: _Repeated, state_N: _RepeatedState, offered_NxS: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Those that the trie does not allow, equal ones once.

  Returns:
    bool [N, S], and int32 [N, S]: the slot of each.
  """
  separator_S = arrays.separator_S
  token_NxS = jnp.broadcast_to(separator_S[None], offered_NxS.shape)
  rank_NxS, known_NxS = rank_of(arrays.trie, state_N.node_N, token_NxS)
  equal_SxS = separator_S[:, None] == separator_S[None]
  earlier_SxS = equal_SxS & jnp.tri(len(separator_S), k=-1, dtype=bool)
  again_NxS = (offered_NxS[:, None] & earlier_SxS[None]).any(axis=2)
  fresh_NxS = offered_NxS & ~known_NxS & ~again_NxS
  less_SxS = separator_S[None] < separator_S[:, None]
  before_NxS = (fresh_NxS[:, None] & less_SxS[None]).sum(2, dtype=jnp.int32)
  return fresh_NxS, rank_NxS + before_NxS


def _same(
  arrays: _Repeated, offered_NxS: jax.Array, token_NxT: jax.Array
) -> jax.Array:
  """Which of the separator's tokens each token is, bool [N, T, S]."""
  same_NxTxS = token_NxT[:, :, None] == arrays.separator_S[None, None]
  return same_NxTxS & offered_NxS[:, None]


def _after(
  state_N: _RepeatedState, same_NxTxS: jax.Array, node_NxT: jax.Array
) -> _RepeatedState:
  """The states after tokens; node_NxT is -1 where the trie allows none."""
  done_NxT = same_NxTxS[:, :, -1]
  return _RepeatedState(
    jnp.where(done_NxT, 0, node_NxT),
    state_N.titles_N[:, None] + done_NxT.astype(jnp.int32),
    same_NxTxS[:, :, :-1] & ~done_NxT[:, :, None],
  )


def _probe(
  arrays: _Repeated, state_N: _RepeatedState, token_NxT: jax.Array
) -> tuple[jax.Array, _RepeatedState]:
  inner = arrays.trie.constraint()
  mass_NxT, node_NxT = inner.probe(arrays.trie, state_N.node_N, token_NxT)
  same_NxTxS = _same(arrays, _offered(arrays, state_N), token_NxT)
  mass_NxT = jnp.where(same_NxTxS.any(axis=2), 1, mass_NxT)
  return mass_NxT, _after(state_N, same_NxTxS, node_NxT)


def _children(
  arrays: _Repeated,
  state_N: _RepeatedState,
  offset: jax.Array | int,
  width: int,
) -> tuple[jax.Array, _RepeatedState, jax.Array]:
  offered_NxS = _offered(arrays, state_N)
  fresh_NxS, slot_NxS = _fresh(arrays, state_N, offered_NxS)
  slot_NxW = protocol.slot_numbers(len(fresh_NxS), offset, width)
  slot_NxWx1, slot_Nx1xS = slot_NxW[:, :, None], slot_NxS[:, None]
  before_NxWxS = fresh_NxS[:, None] & (slot_Nx1xS < slot_NxWx1)
  here_NxWxS = fresh_NxS[:, None] & (slot_Nx1xS == slot_NxWx1)
  rank_NxW = slot_NxW - before_NxWxS.sum(axis=2, dtype=jnp.int32)
  token_NxW, node_NxW, legal_NxW = children_at(
    arrays.trie, state_N.node_N, rank_NxW
  )
  is_fresh_NxW = here_NxWxS.any(axis=2)
  fresh_NxW = arrays.separator_S[jnp.argmax(here_NxWxS, axis=2)]
  token_NxW = jnp.where(is_fresh_NxW, fresh_NxW, token_NxW)
  node_NxW = jnp.where(is_fresh_NxW, -1, node_NxW)
  same_NxWxS = _same(arrays, offered_NxS, token_NxW)
  after = _after(state_N, same_NxWxS, node_NxW)
  return token_NxW, after, legal_NxW | is_fresh_NxW


def _slots(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  """The number of all allowed tokens: no slot is empty."""
  inner = arrays.trie.constraint()
  fresh_NxS, _ = _fresh(arrays, state_N, _offered(arrays, state_N))
  slots_N = inner.slots(arrays.trie, state_N.node_N)
  return slots_N + fresh_NxS.sum(axis=1, dtype=jnp.int32)


def _accepts(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  inner = arrays.trie.constraint()
  return inner.accepts(arrays.trie, state_N.node_N)
