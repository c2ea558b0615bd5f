# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constraints made of constraints: prefixes, ends and lengths.

| function | an answer is one of the constraint's that |
|---|---|
| `with_prefix` | begins with given tokens |
| `start_after` | begins with given tokens, which it leaves out |
| `end_at` | ends with a given token instead of the search's eos |
| `limit_length` | has a length within bounds |
| `side_by_side.side_by_side` | its query's own constraint allows |

They nest, and what they are given may differ from query to query. The inner
constraint travels among the arrays of the outer one, so its functions are static
and its arrays are arguments of jit. Titles and n-grams of one index in one batch:

  start_after(end_at(index, end_B), mark_BxP)

with -1 in both for the queries that ask for n-grams.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genret.constraints import protocol
from genret.constraints.protocol import Constraint, State, SupportsConstraint


class _Rules(NamedTuple):
  """A constraint and what else must hold; Q is 1, or B with a row a query.

  prefix_QxP ends with a column of -1.
  """

  inner: Constraint
  prefix_QxP: jax.Array | None = None
  before_QxP: jax.Array | None = None
  eos_Q: jax.Array | None = None
  shortest_Q: jax.Array | None = None
  longest_Q: jax.Array | None = None
  eos_id: jax.Array | None = None  # Which token `shortest_Q` keeps back.


class _RuledState(NamedTuple):
  inner: State
  query_N: jax.Array
  written_N: jax.Array  # Tokens so far; -1 where none may be.


def with_prefix(constraint: SupportsConstraint, prefix: Any) -> Constraint:
  """Lets every answer begin with these tokens.

  They count for the length, and their log-probabilities for the score, as the
  prefix tokens of fairseq do. eos is a token like others among them. A query
  whose prefix the constraint does not allow has no answers.

  Args:
    constraint: what must allow the prefix and what follows.
    prefix: int [P], or [B, P] with one row a query; -1 fills up shorter rows.

  Raises:
    ValueError: the prefix has another shape or type, or a gap.
  """
  inner = constraint.constraint()
  rows, batch_size = _prefix_rows(prefix)
  rows = jnp.pad(rows, ((0, 0), (0, 1)), constant_values=-1)
  rules = _Rules(inner, prefix_QxP=rows)
  return _ruled(rules, batch_size, eos_id=inner.eos_id)


def start_after(constraint: SupportsConstraint, prefix: Any) -> Constraint:
  """Lets answers be what may follow these tokens, which are not written.

  They count neither for the length nor for the score, and the model does not
  read them: titles, say, that stand behind a mark in an index of documents. A
  query whose prefix the constraint does not allow has no answers. A length
  that is limited within `constraint` includes the prefix.

  Args:
    constraint: what must allow the prefix and what follows.
    prefix: int [P], or [B, P] with one row a query; -1 fills up shorter rows.

  Raises:
    ValueError: the prefix has another shape or type, or a gap.
  """
  inner = constraint.constraint()
  rows, batch_size = _prefix_rows(prefix)
  rules = _Rules(inner, before_QxP=rows)
  return _ruled(rules, batch_size, eos_id=inner.eos_id)


def end_at(constraint: SupportsConstraint, eos_id: Any) -> Constraint:
  """Lets answers end with this token instead of the search's eos.

  It ends them wherever the constraint allows it: the mark behind a title, say,
  in an index of documents. What has not come to it at the length limit is no
  answer.

  Args:
    constraint: what must allow the tokens, this one among them.
    eos_id: a token, or int [B] with one a query; -1 where none ends answers.

  Raises:
    ValueError: eos_id has another shape.
  """
  eos_Q, batch_size = _one_or_each('eos_id', eos_id)
  return _ruled(_Rules(constraint.constraint(), eos_Q=eos_Q), batch_size)


def limit_length(
  constraint: SupportsConstraint,
  *,
  min_length: Any = 0,
  max_length: Any = None,
  eos_id: int | None = None,
) -> Constraint:
  """Bounds the lengths of answers; eos counts, as it does for the search.

  Before min_length neither eos nor the constraint finishes an answer. A beam of
  max_length tokens is an answer if the constraint accepts it, and lost if not.

  Args:
    constraint: what must allow the answers.
    min_length: a number, or int [B] with one a query.
    max_length: likewise; None for no bound but the search's.
    eos_id: the search's, where the constraint names none and min_length is used.

  Raises:
    ValueError: a bound has another shape, they exclude each other, or eos_id is
      missing or another than the constraint's.
  """
  inner = constraint.constraint()
  shortest_Q, first = _one_or_each('min_length', min_length)
  _check_least('min_length', shortest_Q, 0)
  longest_Q, second = None, None
  if max_length is not None:
    longest_Q, second = _one_or_each('max_length', max_length)
    wrong_Q = (longest_Q < shortest_Q) | (longest_Q < 1)
    if not isinstance(wrong_Q, jax.core.Tracer) and bool(wrong_Q.any()):
      raise ValueError(
        f'Expected max_length of at least 1 and min_length but got min_length='
        f'{min_length} and max_length={max_length}; raise max_length.'
      )
  if isinstance(min_length, int | np.integer) and min_length == 0:
    rules = _Rules(inner, longest_Q=longest_Q)
    return _ruled(rules, second, eos_id=inner.eos_id)
  known = inner.eos_id if eos_id is None else eos_id
  if known is None or inner.eos_id not in (None, known):
    raise ValueError(
      f"Expected the search's eos_id with min_length but got eos_id={eos_id}, "
      f"and the constraint's is {inner.eos_id}; pass eos_id to limit_length."
    )
  eos = jnp.asarray(known, jnp.int32)
  rules = _Rules(inner, shortest_Q=shortest_Q, longest_Q=longest_Q, eos_id=eos)
  return _ruled(rules, protocol.same_batch(first, second), eos_id=known)


def _prefix_rows(prefix: Any) -> tuple[jax.Array, int | None]:
  """Prefixes as int32 [Q, P], and B if there is one for each query."""
  try:
    prefix = np.asarray(prefix) if isinstance(prefix, list) else prefix
    prefix = jnp.asarray(prefix, None if np.size(prefix) else jnp.int32)
  except ValueError as error:
    raise ValueError(
      'Expected a prefix of shape [P] or [B, P] but got rows of different '
      'lengths; fill up shorter rows with -1.'
    ) from error
  if prefix.ndim not in (1, 2) or not jnp.issubdtype(prefix.dtype, jnp.integer):
    raise ValueError(
      'Expected a prefix of integers of shape [P] or [B, P] but got '
      f'{prefix.dtype} of shape {prefix.shape}; fill up shorter rows with -1.'
    )
  rows = jnp.atleast_2d(prefix.astype(jnp.int32))
  _check_least('a prefix', rows, -1)
  if not isinstance(rows, jax.core.Tracer) and bool(
    ((rows[:, :-1] < 0) & (rows[:, 1:] >= 0)).any()
  ):
    raise ValueError(
      'Expected -1 in a prefix only behind its tokens but got a token behind a '
      '-1; move the tokens to the front.'
    )
  return rows, len(rows) if prefix.ndim == 2 else None


def _one_or_each(name: str, value: Any) -> tuple[jax.Array, int | None]:
  """A number, or one for each query: int32 [Q], and B if there are so many."""
  table = jnp.asarray(value)
  if table.ndim > 1 or not jnp.issubdtype(table.dtype, jnp.integer):
    raise ValueError(
      f'Expected {name} to be an integer or integers of shape [B] but got '
      f'{table.dtype} of shape {table.shape}; give one number for each query.'
    )
  count = len(table) if table.ndim else None
  return table.astype(jnp.int32).reshape(-1), count


def _check_least(name: str, table: jax.Array, least: int) -> None:
  if isinstance(table, jax.core.Tracer) or not table.size:
    return
  if int(table.min()) < least:
    raise ValueError(
      f'Expected {name} of at least {least} but got {int(table.min())}; pass a '
      'greater number.'
    )


def _ruled(
  rules: _Rules, batch_size: int | None, eos_id: int | None = None
) -> Constraint:
  inner = rules.inner
  finishes = inner.finishes is not None or rules.longest_Q is not None
  changes_eos = rules.prefix_QxP is not None or rules.eos_Q is not None
  return Constraint(
    rules,
    _start,
    _probe,
    _children,
    _slots,
    _total,
    _accepts,
    _finishes if finishes else None,
    eos=_eos if changes_eos or inner.eos is not None else None,
    max_slots=max(inner.max_slots, 1),
    unsorted_slots=inner.unsorted_slots,
    list_limit=inner.list_limit,
    vocab_size=inner.vocab_size,
    eos_id=eos_id,
    batch_size=protocol.same_batch(batch_size, inner.batch_size),
  )


# The constraint functions. A beam is forced while its prefix is not written, over
# once it has its greatest length or where what must come before it is refused,
# early while eos must not come next.


def _start(rules: _Rules, n: int) -> _RuledState:
  inner = rules.inner
  tables = [x for x in rules[1:-1] if x is not None]
  state_N = _RuledState(
    inner.start(inner.arrays, n),
    protocol.query_of_rows(max(map(len, tables)), n),
    jnp.zeros(n, jnp.int32),
  )
  if rules.before_QxP is None:
    return state_N
  inner_N, written_N = state_N.inner, state_N.written_N
  for before_Q in rules.before_QxP.T:
    token_N = _look_up(before_Q, state_N)
    waits_N, token_Nx1 = token_N < 0, jnp.maximum(token_N, 0)[:, None]
    mass_Nx1, inner_Nx1 = inner.probe(inner.arrays, inner_N, token_Nx1)
    after_N = jax.tree.map(lambda leaf: leaf[:, 0], inner_Nx1)
    inner_N = protocol.choose(waits_N, inner_N, after_N)
    written_N = jnp.where(waits_N | (mass_Nx1[:, 0] > 0), written_N, -1)
  return state_N._replace(inner=inner_N, written_N=written_N)


def _look_up(table_Q: jax.Array, state_N: _RuledState) -> jax.Array:
  if len(table_Q) > 1:
    return table_Q[state_N.query_N]
  return jnp.broadcast_to(table_Q, state_N.query_N.shape)


def _forced(rules: _Rules, state_N: _RuledState) -> tuple[jax.Array, jax.Array]:
  """Whether beams must write a token, and which."""
  prefix_QxP = rules.prefix_QxP
  assert prefix_QxP is not None
  column_N = jnp.minimum(state_N.written_N, prefix_QxP.shape[1] - 1)
  row_N = state_N.query_N if len(prefix_QxP) > 1 else 0
  token_N = prefix_QxP[row_N, column_N]
  return token_N >= 0, jnp.maximum(token_N, 0)


def _is_over(rules: _Rules, state_N: _RuledState) -> jax.Array:
  over_N = state_N.written_N < 0
  if rules.longest_Q is not None:
    over_N |= state_N.written_N >= _look_up(rules.longest_Q, state_N)
  return over_N


def _early_eos(rules: _Rules, state_N: _RuledState) -> jax.Array:
  """The token that must not end beams yet; -1 if it may."""
  assert rules.shortest_Q is not None
  assert rules.eos_id is not None
  eos_N = protocol.eos_tokens(rules.inner, state_N.inner, rules.eos_id)
  early_N = state_N.written_N + 1 < _look_up(rules.shortest_Q, state_N)
  return jnp.where(early_N, eos_N, -1)


def _after(inner_NxT: State, state_N: _RuledState, width: int) -> _RuledState:
  return _RuledState(
    inner_NxT,
    protocol.repeat(state_N.query_N, width),
    protocol.repeat(state_N.written_N + 1, width),
  )


def _probe(
  rules: _Rules, state_N: _RuledState, token_NxT: jax.Array
) -> tuple[jax.Array, _RuledState]:
  inner = rules.inner
  mass_NxT, inner_NxT = inner.probe(inner.arrays, state_N.inner, token_NxT)
  refused_NxT = _is_over(rules, state_N)[:, None]
  if rules.shortest_Q is not None:
    refused_NxT |= token_NxT == _early_eos(rules, state_N)[:, None]
  if rules.prefix_QxP is not None:
    forced_N, wanted_N = _forced(rules, state_N)
    refused_NxT |= forced_N[:, None] & (token_NxT != wanted_N[:, None])
    mass_NxT = jnp.where(forced_N[:, None], jnp.minimum(mass_NxT, 1), mass_NxT)
  mass_NxT = jnp.where(refused_NxT, 0, mass_NxT)
  return mass_NxT, _after(inner_NxT, state_N, token_NxT.shape[1])


def _children(
  rules: _Rules, state_N: _RuledState, offset: jax.Array | int, width: int
) -> tuple[jax.Array, _RuledState, jax.Array]:
  inner = rules.inner
  token_NxW, inner_NxW, legal_NxW = inner.children(
    inner.arrays, state_N.inner, offset, width
  )
  legal_NxW &= ~_is_over(rules, state_N)[:, None]
  if rules.shortest_Q is not None:
    legal_NxW &= token_NxW != _early_eos(rules, state_N)[:, None]
  if rules.prefix_QxP is not None:  # In slot 0 of forced beams.
    forced_N, wanted_N = _forced(rules, state_N)
    forced_Nx1, wanted_Nx1 = forced_N[:, None], wanted_N[:, None]
    mass_Nx1, inner_Nx1 = inner.probe(inner.arrays, state_N.inner, wanted_Nx1)
    is_first_NxW = protocol.slot_numbers(len(forced_N), offset, width) == 0
    token_NxW = jnp.where(forced_Nx1, wanted_Nx1, token_NxW)
    inner_NxW = protocol.choose(forced_N, inner_Nx1, inner_NxW)
    legal_NxW = jnp.where(forced_Nx1, is_first_NxW & (mass_Nx1 > 0), legal_NxW)
  return token_NxW, _after(inner_NxW, state_N, width), legal_NxW


def _slots(rules: _Rules, state_N: _RuledState) -> jax.Array:
  slots_N = rules.inner.slots(rules.inner.arrays, state_N.inner)
  if rules.prefix_QxP is not None:
    slots_N = jnp.where(_forced(rules, state_N)[0], 1, slots_N)
  return jnp.where(_is_over(rules, state_N), 0, slots_N)


def _total(rules: _Rules, state_N: _RuledState) -> jax.Array:
  total_N = rules.inner.total(rules.inner.arrays, state_N.inner)
  if rules.shortest_Q is not None:
    eos_N = _early_eos(rules, state_N)
    mass_N = protocol.probe_eos(rules.inner, state_N.inner, eos_N)
    is_known_N = total_N < protocol.UNKNOWN
    total_N = jnp.where(is_known_N, total_N - mass_N, total_N)
  if rules.prefix_QxP is not None:
    total_N = jnp.where(_forced(rules, state_N)[0], 1, total_N)
  return jnp.where(_is_over(rules, state_N), 0, total_N)


def _accepts(rules: _Rules, state_N: _RuledState) -> jax.Array:
  accepted_N = rules.inner.accepts(rules.inner.arrays, state_N.inner)
  if rules.eos_Q is not None:
    accepted_N &= _look_up(rules.eos_Q, state_N) < 0
  return accepted_N & _is_whole(rules, state_N)


def _finishes(rules: _Rules, state_N: _RuledState) -> jax.Array:
  finished_N = _accepts(rules, state_N) & _is_over(rules, state_N)
  if rules.inner.finishes is not None:
    finished_N |= rules.inner.finishes(rules.inner.arrays, state_N.inner)
  return finished_N & _is_whole(rules, state_N)


def _is_whole(rules: _Rules, state_N: _RuledState) -> jax.Array:
  """Whether beams have their prefix and their least length."""
  whole_N = state_N.written_N >= 0
  if rules.shortest_Q is not None:
    whole_N &= state_N.written_N >= _look_up(rules.shortest_Q, state_N)
  if rules.prefix_QxP is not None:
    whole_N &= ~_forced(rules, state_N)[0]
  return whole_N


def _eos(
  rules: _Rules, state_N: _RuledState, eos_id: int | jax.Array
) -> jax.Array:
  if rules.eos_Q is None:
    eos_N = protocol.eos_tokens(rules.inner, state_N.inner, eos_id)
  else:
    eos_N = _look_up(rules.eos_Q, state_N)
  if rules.prefix_QxP is not None:
    eos_N = jnp.where(_forced(rules, state_N)[0], -1, eos_N)
  return eos_N
