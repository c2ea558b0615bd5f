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
from genret.constraints.trie import Trie


class _Repeated(NamedTuple):
  inner: Constraint  # Of a trie: its state is a number, -1 where it is left.
  separator_S: jax.Array
  max_titles: jax.Array


class _RepeatedState(NamedTuple):
  """Where beams are in an identifier, in the separator, or in both.

  Attributes:
    inner_N: in the identifier; -1 where the tokens are of none.
    titles_N: complete identifiers before it.
    begun_NxP: bool; whether the p + 1 tokens written last are the separator's
      first ones behind a complete identifier, p from 0 to S - 2.
  """

  inner_N: jax.Array
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
      trie.constraint(),
      jnp.asarray(tokens, jnp.int32),
      jnp.asarray(max_titles, jnp.int32),
    ),
    _start,
    _probe,
    _children,
    _slots,
    _total,
    _accepts,
    max_slots=trie.max_children + len(tokens),
    unsorted_slots=True,
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


# The constraint functions. Slots are the trie's; where the separator allows tokens
# that the trie does not, one for each of its tokens comes before them.


def _start(arrays: _Repeated, n: int) -> _RepeatedState:
  return _RepeatedState(
    arrays.inner.start(arrays.inner.arrays, n),
    jnp.zeros(n, jnp.int32),
    jnp.zeros((n, len(arrays.separator_S) - 1), bool),
  )


def _offered(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  """Which of the separator's tokens may follow as such, bool [N, S]."""
  inner = arrays.inner
  eos_N = protocol.eos_tokens(inner, state_N.inner_N, inner.eos_id or 0)
  complete_N = protocol.probe_eos(inner, state_N.inner_N, eos_N) > 0
  begins_N = complete_N & (state_N.titles_N + 1 < arrays.max_titles)
  return jnp.concatenate([begins_N[:, None], state_N.begun_NxP], axis=1)


def _fresh(
  arrays: _Repeated, state_N: _RepeatedState, offered_NxS: jax.Array
) -> jax.Array:
  """Those that the trie does not allow, equal ones once, bool [N, S]."""
  inner, separator_S = arrays.inner, arrays.separator_S
  token_NxS = jnp.broadcast_to(separator_S[None], offered_NxS.shape)
  mass_NxS, _ = inner.probe(inner.arrays, state_N.inner_N, token_NxS)
  equal_SxS = separator_S[:, None] == separator_S[None]
  earlier_SxS = equal_SxS & jnp.tri(len(separator_S), k=-1, dtype=bool)
  again_NxS = (offered_NxS[:, None] & earlier_SxS[None]).any(axis=2)
  return offered_NxS & (mass_NxS == 0) & ~again_NxS


def _same(
  arrays: _Repeated, offered_NxS: jax.Array, token_NxT: jax.Array
) -> jax.Array:
  """Which of the separator's tokens each token is, bool [N, T, S]."""
  same_NxTxS = token_NxT[:, :, None] == arrays.separator_S[None, None]
  return same_NxTxS & offered_NxS[:, None]


def _after(
  arrays: _Repeated,
  state_N: _RepeatedState,
  offered_NxS: jax.Array,
  token_NxT: jax.Array,
  inner_NxT: jax.Array,
) -> _RepeatedState:
  """The states after tokens; inner_NxT is -1 where the trie allows none."""
  inner = arrays.inner
  same_NxTxS = _same(arrays, offered_NxS, token_NxT)
  done_NxT = same_NxTxS[:, :, -1]
  root_N = inner.start(inner.arrays, len(token_NxT))
  return _RepeatedState(
    jnp.where(done_NxT, root_N[:, None], inner_NxT),
    state_N.titles_N[:, None] + done_NxT.astype(jnp.int32),
    same_NxTxS[:, :, :-1] & ~done_NxT[:, :, None],
  )


def _probe(
  arrays: _Repeated, state_N: _RepeatedState, token_NxT: jax.Array
) -> tuple[jax.Array, _RepeatedState]:
  inner = arrays.inner
  mass_NxT, inner_NxT = inner.probe(inner.arrays, state_N.inner_N, token_NxT)
  offered_NxS = _offered(arrays, state_N)
  after = _after(arrays, state_N, offered_NxS, token_NxT, inner_NxT)
  separates_NxT = _same(arrays, offered_NxS, token_NxT).any(axis=2)
  return jnp.where(separates_NxT, 1, mass_NxT), after


def _children(
  arrays: _Repeated,
  state_N: _RepeatedState,
  offset: jax.Array | int,
  width: int,
) -> tuple[jax.Array, _RepeatedState, jax.Array]:
  inner, size = arrays.inner, len(arrays.separator_S)
  offered_NxS = _offered(arrays, state_N)
  fresh_NxS = _fresh(arrays, state_N, offered_NxS)
  before_Nx1 = _slots_before(fresh_NxS)[:, None]
  # The trie's slots below 0 mean nothing: the separator's stand there.
  token_NxW, inner_NxW, legal_NxW = inner.children(
    inner.arrays, state_N.inner_N, offset - before_Nx1, width
  )
  slot_NxW = protocol.slot_numbers(len(fresh_NxS), offset, width)
  is_before_NxW = slot_NxW < before_Nx1
  place_NxW = jnp.minimum(slot_NxW, size - 1)
  token_NxW = jnp.where(is_before_NxW, arrays.separator_S[place_NxW], token_NxW)
  legal_NxW = jnp.where(
    is_before_NxW, jnp.take_along_axis(fresh_NxS, place_NxW, 1), legal_NxW
  )
  inner_NxW = jnp.where(is_before_NxW, -1, inner_NxW)
  after = _after(arrays, state_N, offered_NxS, token_NxW, inner_NxW)
  return token_NxW, after, legal_NxW


def _slots_before(fresh_NxS: jax.Array) -> jax.Array:
  return jnp.where(fresh_NxS.any(axis=1), fresh_NxS.shape[1], 0)


def _slots(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  inner = arrays.inner
  fresh_NxS = _fresh(arrays, state_N, _offered(arrays, state_N))
  slots_N = inner.slots(inner.arrays, state_N.inner_N)
  return slots_N + _slots_before(fresh_NxS)


def _total(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  inner = arrays.inner
  fresh_NxS = _fresh(arrays, state_N, _offered(arrays, state_N))
  total_N = inner.total(inner.arrays, state_N.inner_N)
  return total_N + fresh_NxS.sum(axis=1, dtype=jnp.int32)


def _accepts(arrays: _Repeated, state_N: _RepeatedState) -> jax.Array:
  return arrays.inner.accepts(arrays.inner.arrays, state_N.inner_N)
