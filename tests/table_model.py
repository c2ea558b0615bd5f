# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A model that is a table of logits, for tests of searches.

What it says depends on the query and on all tokens so far.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import reference_beam

from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search

B, L, V, ROWS = 3, 5, 9, 211


def padded(trie: Trie, edges: int = 128) -> Trie:
  """A trie with states nothing leads to, so that all share one compilation."""
  token = np.asarray(trie.token_E)
  first = np.asarray(trie.first_edge_S1)
  return dataclasses.replace(
    trie,
    token_E=jnp.asarray(np.pad(token, (0, edges - len(token)))),
    first_edge_S1=jnp.asarray(
      np.pad(first, (0, edges + 2 - len(first)), mode='edge')
    ),
    max_children=8,
  )


def next_row(row, token, step):
  """A row of the table of logits that depends on all tokens so far."""
  return (row * 31 + token * 7 + step + 5) % ROWS


def model_step(table_RxV, token_N, cache):
  row_N = next_row(cache['row'], token_N, cache['step'])
  return table_RxV[row_N], {'row': row_N, 'step': cache['step'] + 1}


def first_rows(batch_size: int = B) -> np.ndarray:
  return np.arange(batch_size, dtype=np.int32) * 17


def logits_of(table_RxV: np.ndarray, query: int):
  """The same model as a function of the prefix."""

  def logits(prefix):
    row = int(first_rows()[query])
    for step, token in enumerate((0, *prefix)):
      row = next_row(row, token, step)
    return table_RxV[row]

  return logits


@functools.partial(
  jax.jit, static_argnames=('num_beams', 'max_length', 'options')
)
def run(table_RxV, constraint, *, num_beams, max_length=L, options=()):
  cache = {
    'row': jnp.repeat(jnp.asarray(first_rows()), num_beams),
    'step': jnp.zeros((), jnp.int32),
  }
  return beam_search(
    functools.partial(model_step, table_RxV),
    cache,
    batch_size=B,
    num_beams=num_beams,
    max_length=max_length,
    constraint=constraint,
    **dict(options),
  )


def answers_of(out, query: int) -> list[tuple[tuple[int, ...], np.float32]]:
  """Legal answers of a query; checks what must hold of every output."""
  tokens, scores = np.asarray(out.tokens[query]), np.asarray(out.scores[query])
  lengths, legal = np.asarray(out.lengths[query]), np.asarray(out.legal[query])
  count = int(legal.sum())
  assert legal[:count].all()
  assert (scores[count:] == -np.inf).all()
  assert (lengths[count:] == 0).all()
  assert (scores[1:] <= scores[:-1]).all()
  for row, length in zip(tokens, lengths, strict=True):
    assert (row[length:] == 0).all()
  answers = [
    (tuple(row[:length].tolist()), score)
    for row, length, score in zip(tokens, lengths, scores, strict=True)
  ][:count]
  assert len({answer for answer, _ in answers}) == count
  return answers


def check(out, table, legal, num_beams, max_length=L, exact=False, **options):
  """Equals the plain search; legal may be a list with one a query."""
  for query in range(B):
    expected = reference_beam.beam_search(
      logits_of(table, query),
      legal[query] if isinstance(legal, list) else legal,
      num_beams=num_beams,
      max_length=max_length,
      **options,
    )
    found = answers_of(out, query)
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose(
      [score for _, score in found],
      [score for _, score in expected],
      rtol=0 if exact else 2e-6,
      atol=0 if exact else 2e-5,
    )


def random_table(seed: int, scale: float = 2.0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return (scale * rng.normal(size=(ROWS, V))).astype(np.float32)
