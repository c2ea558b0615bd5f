# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A trie of identifiers against STATIC's, a dictionary and sorted rows.

The model draws random logits, so the time is that of the search. Identifiers
have 8 tokens; ours writes eos behind them, a ninth step that the others lack.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret import Trie, beam_search
from genret.decoding.beam import BeamSearchOutput
from genret.tools import _measure, _measure_plain
from genret.tools._measure import Line

LENGTH = 8
TOKENS_PER_BEAM = 30  # STATIC's


def lines(
  count: int, vocab_size: int, *, batch_size: int, num_beams: int, repeats: int
) -> list[Line]:
  """Lines of `count` identifiers of 8 tokens below vocab_size."""
  row_DxL = identifiers(count, vocab_size)
  _measure.say(f'building tries of {count:,} identifiers')
  trie, seconds = timed(lambda: Trie.from_sequences(row_DxL, *_ids(vocab_size)))
  search = searches(trie, vocab_size, batch_size, num_beams)
  work = f'{LENGTH}-step search of {batch_size} x {num_beams} beams, {count:,} identifiers'
  found = []
  static = _Static.load(row_DxL, vocab_size, batch_size, num_beams)
  if static is not None:
    found += _static_lines(
      static, trie, seconds, search, row_DxL, work, repeats
    )
    found.append(_few_line(vocab_size))
  found += _plain_lines(row_DxL, vocab_size, search, work, repeats)
  return found


def identifiers(count: int, vocab_size: int, seed: int = 0) -> np.ndarray:
  """Random rows, sorted, int32 [count, 8]."""
  rng = np.random.default_rng(seed)
  row_DxL = rng.integers(0, vocab_size, (count, LENGTH), dtype=np.int32)
  return row_DxL[np.lexsort(row_DxL.T[::-1])]


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
  """A result, and the seconds that it took."""
  began = time.perf_counter()
  result = run()
  return result, time.perf_counter() - began


def _ids(vocab_size: int) -> tuple[int, int]:
  """The size of our vocabulary and its last token, eos."""
  return vocab_size + 1, vocab_size


@functools.partial(
  jax.jit,
  static_argnames=('vocab_size', 'batch_size', 'num_beams', 'alike', 'ends'),
)
def search(
  trie: Trie,
  key: jax.Array,
  *,
  vocab_size: int,
  batch_size: int,
  num_beams: int,
  alike: bool = False,
  ends: bool = True,
) -> BeamSearchOutput:
  """Beams under random logits, the same for all beams where `alike`.

  The last token ends identifiers, or the length does where not `ends`. Where
  beams are alike its logit is so low that it takes nothing from the others
  before they are complete.
  """
  rows = batch_size * num_beams
  constraint = trie.constraint()
  if not ends:
    constraint = dataclasses.replace(constraint, accepts=_any_state)

  def step(token_N: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    del token_N
    key, used = jax.random.split(key)
    if not alike:
      return jax.random.uniform(used, (rows, vocab_size + 1)), key
    logits_V = shared_logits(used, vocab_size)
    logits_V = jnp.append(logits_V, -100.0)
    return jnp.broadcast_to(logits_V, (rows, vocab_size + 1)), key

  return beam_search(
    step,
    key,
    batch_size=batch_size,
    num_beams=num_beams,
    max_length=LENGTH + ends,
    constraint=constraint,
    eos_id=vocab_size,
  )


def _any_state(trie: Trie, state_N: jax.Array) -> jax.Array:
  del trie
  return jnp.ones(len(state_N), bool)


@functools.partial(jax.jit, static_argnums=1)
def _draw(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
  """What the model of `search` does, step by step."""

  def step(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple:
    key, total_N = carry
    key, used = jax.random.split(key)
    return key, total_N + jax.random.uniform(used, shape).max(axis=1)

  carry = (key, jnp.zeros(shape[0], jnp.float32))
  return jax.lax.fori_loop(0, LENGTH + 1, step, carry)[1]


def shared_logits(key: jax.Array, vocab_size: int) -> jax.Array:
  """Of all beams at a step."""
  return 3 * jax.random.normal(key, (vocab_size,), jnp.float32)


def searches(
  trie: Trie, vocab_size: int, batch_size: int, num_beams: int
) -> Callable[..., BeamSearchOutput]:
  """`search` by the seed of its logits."""

  def run(
    seed: int, *, alike: bool = False, ends: bool = True
  ) -> BeamSearchOutput:
    return jax.block_until_ready(
      search(
        trie,
        jax.random.key(seed),
        vocab_size=vocab_size,
        batch_size=batch_size,
        num_beams=num_beams,
        alike=alike,
        ends=ends,
      )
    )

  return run


class _Alike:
  """A model for STATIC that gives all beams the same random logits."""

  def __init__(self, vocab_size: int) -> None:
    self.vocab_size = vocab_size

  def __call__(
    self, input_ids: jax.Array, key: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    key, used = jax.random.split(key)
    logits_V = shared_logits(used, self.vocab_size)
    shape = len(input_ids), 1, self.vocab_size
    return jnp.broadcast_to(logits_V, shape), key


class _Static:
  """STATIC's index and search."""

  def __init__(
    self,
    modules: tuple[Any, Any],
    row_DxL: np.ndarray,
    vocab_size: int,
    batch_size: int,
    num_beams: int,
  ) -> None:
    utils, self.decoding = modules
    self.vocab_size = vocab_size
    self.batch_size, self.num_beams = batch_size, num_beams
    self.models = {
      False: self.decoding.RandomModel(vocab_size),
      True: _Alike(vocab_size),
    }
    built, self.seconds = timed(
      lambda: utils.build_static_index(
        row_DxL, vocab_size, dense_lookup_layers=2
      )
    )
    packed, starts, branches, *dense = built
    self.branches = tuple(int(b) for b in branches)
    self.arrays = [jnp.asarray(a) for a in (packed, starts, *dense)]
    self.nbytes = sum(array.nbytes for array in self.arrays)

  @classmethod
  def load(cls, row_DxL: np.ndarray, *sizes: int) -> _Static | None:
    """None without STATIC."""
    names = 'static_decoding.csr_utils', 'static_decoding.decoding_jax'
    modules = tuple(_measure.peer(name, 'STATIC') for name in names)
    if None in modules:
      return None
    return cls(modules, row_DxL, *sizes)

  def run(self, seed: int, *, alike: bool = False) -> jax.Array:
    """Token rows [B, K, 8]."""
    vocab_size = self.vocab_size
    # STATIC mixes ranks and types.
    with (
      jax.numpy_rank_promotion('allow'),
      jax.numpy_dtype_promotion('standard'),
    ):
      return self.decoding.sparse_transition_jax(
        self.models[alike],
        jax.random.key(seed),
        self.batch_size,
        self.num_beams,
        min(TOKENS_PER_BEAM, vocab_size),
        0,
        LENGTH,
        vocab_size,
        self.branches,
        *self.arrays,
        d_dense=2,
      ).block_until_ready()


def _static_lines(
  static: _Static,
  trie: Trie,
  seconds: float,
  search: Callable[..., BeamSearchOutput],
  row_DxL: np.ndarray,
  work: str,
  repeats: int,
) -> list[Line]:
  _measure.say('searching: ours, STATIC')
  shape = static.batch_size * static.num_beams, static.vocab_size + 1
  runs = {
    'ours': lambda: search(0),
    'STATIC': lambda: static.run(0),
    'ours, no eos': lambda: search(0, ends=False),
    'model': lambda: _draw(jax.random.key(0), shape).block_until_ready(),
  }
  ms = _measure.best_ms(runs, repeats)
  theirs_BxKxL = np.asarray(static.run(0, alike=True))

  def answers(ends: bool) -> str:
    tokens_BxKxL = np.asarray(search(0, alike=True, ends=ends).tokens)
    differing = (tokens_BxKxL[:, :, :LENGTH] != theirs_BxKxL).any(axis=-1)
    return _measure.same(int(differing.sum()), differing.size, 'beams')

  of = f'trie of {len(row_DxL):,} identifiers'
  return [
    Line(work, 'STATIC', ms['STATIC'], 'Trie', ms['ours'], answers(True)),
    Line(
      work,
      'STATIC',
      ms['STATIC'],
      'Trie, 8 steps, no eos',
      ms['ours, no eos'],
      answers(False),
    ),
    Line(work, 'the random logits alone', ms['model'], 'Trie', ms['ours'], ''),
    Line(f'build a {of}', 'STATIC', static.seconds, 'Trie', seconds, '', 's'),
    Line(
      f'arrays of a {of}',
      'STATIC',
      static.nbytes / 1e6,
      'Trie',
      trie.nbytes / 1e6,
      '',
      'MB',
    ),
  ]


def _few_line(vocab_size: int) -> Line:
  """More beams than identifiers: what is no identifier among the answers."""
  row_DxL = identifiers(3, min(vocab_size, 70), seed=1)
  trie = Trie.from_sequences(row_DxL, *_ids(vocab_size))
  out = searches(trie, vocab_size, 1, 8)(0)
  kept = np.asarray(out.tokens)[np.asarray(out.legal)][:, :LENGTH]
  static = _Static.load(row_DxL, vocab_size, 1, 8)
  assert static is not None
  rows = np.asarray(static.run(0))[0]
  illegal, ours = _illegal(rows, row_DxL), _illegal(kept, row_DxL)
  return Line(
    '8 beams, 3 identifiers: answers that are none',
    'STATIC',
    illegal,
    'Trie',
    ours,
    f'{len(kept)} answers of ours',
    'of 8',
  )


def _illegal(found_KxL: np.ndarray, row_DxL: np.ndarray) -> int:
  known = set(map(tuple, row_DxL.tolist()))
  return sum(tuple(row) not in known for row in found_KxL.tolist())


def _plain_lines(
  row_DxL: np.ndarray,
  vocab_size: int,
  search: Callable[..., BeamSearchOutput],
  work: str,
  repeats: int,
) -> list[Line]:
  """The same search in Python, which is given log-probabilities; ours draws
  and normalizes the logits of each beam."""
  out = search(0, alike=True)
  batch_size, num_beams = out.scores.shape
  logits_LxV = _all_logits(vocab_size)
  _measure.say('building a dictionary of identifiers')
  root, seconds = timed(lambda: _measure_plain.dictionary(row_DxL))
  runs = {
    'ours': lambda: search(0, alike=True),
    'dictionary': lambda: [
      _measure_plain.plain_search(
        logits_LxV, num_beams, functools.partial(_measure_plain.walk, root)
      )
      for _ in range(batch_size)
    ],
    'binary search': lambda: [
      _measure_plain.plain_search(
        logits_LxV,
        num_beams,
        functools.partial(_measure_plain.look_up, row_DxL),
      )
      for _ in range(batch_size)
    ],
  }
  _measure.say('searching: ours, _measure_plain.dictionary, binary search')
  ms = _measure.best_ms(runs, max(repeats // 5, 1))
  names = {
    'dictionary': f'dictionary, logits given (built in {seconds:.1f} s)',
    'binary search': 'binary search of rows, logits given',
  }
  found = []
  for name, title in names.items():
    theirs_BxKxL = np.array(runs[name]())
    ours_BxKxL = np.asarray(out.tokens)[:, : theirs_BxKxL.shape[1], :LENGTH]
    differing = (ours_BxKxL != theirs_BxKxL).any(axis=-1)
    answers = _measure.same(int(differing.sum()), differing.size, 'beams')
    found.append(Line(work, title, ms[name], 'Trie', ms['ours'], answers))
  return found


def _all_logits(vocab_size: int) -> np.ndarray:
  """What `search` draws step by step where beams are alike."""
  key, rows = jax.random.key(0), []
  for _ in range(LENGTH):
    key, used = jax.random.split(key)
    rows.append(np.asarray(shared_logits(used, vocab_size)))
  return np.array(rows)
