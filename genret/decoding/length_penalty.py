# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Length penalties: answers of several lengths compared by score / divisor.

| name | divisor | as in |
|---|---|---|
| none | 1 | GENRE's and SEAL's sums |
| gnmt | ((5 + length) / 6)^alpha | Wu et al., 2016; T5X |
| length | length^alpha | fairseq, transformers |
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding.scores import key_of_score, score_of_key

LENGTH_PENALTIES = ('none', 'gnmt', 'length')


def divisors(
  length_penalty: str, alpha: float, max_length: int
) -> np.ndarray | None:
  """float32 [L + 1], the divisor of each length; None if all are 1.

  Raises:
    ValueError: there is no such penalty, or alpha is too large or no number.
  """
  if length_penalty not in LENGTH_PENALTIES:
    raise ValueError(
      f'Expected length_penalty to be one of {", ".join(LENGTH_PENALTIES)} but '
      f'got {length_penalty!r}; choose one of them.'
    )
  if length_penalty == 'none':
    return None
  length = np.arange(max_length + 1, dtype=np.float64)
  length[0] = 1  # There are no answers of no tokens.
  base = (5 + length) / 6 if length_penalty == 'gnmt' else length
  with np.errstate(over='ignore', under='ignore'):
    table = (base**alpha).astype(np.float32)
  if not (np.isfinite(table) & (table > 0)).all():
    raise ValueError(
      f'Expected an alpha that gives finite divisors up to length {max_length} '
      f'but got {alpha}; it is about 0.6 to 1 as a rule.'
    )
  return table


def penalised(
  key: jax.Array, divisor: np.ndarray | None, length: jax.Array | int
) -> jax.Array:
  """Keys of answers of this length, divided."""
  if divisor is None:
    return key
  score = score_of_key(key) / jnp.asarray(divisor)[length]
  return key_of_score(score, key > -jnp.inf)


def best_reachable(
  key: jax.Array, divisor: np.ndarray | None, length: jax.Array
) -> jax.Array:
  """No answer of at least this length gets a greater key.

  Args:
    key: of sums that can only fall from here.
    divisor: as `divisors` gives it.
    length: a scalar.
  """
  if divisor is None:
    return key
  # A quotient is greatest at the least divisor or, if negative, the greatest.
  least = np.minimum.accumulate(divisor[::-1])[::-1]
  greatest = np.maximum.accumulate(divisor[::-1])[::-1]
  return jnp.maximum(
    penalised(key, least, length), penalised(key, greatest, length)
  )
