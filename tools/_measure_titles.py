# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Titles by the million: how long a table and a trie of them take, and how large.

Run as a module it opens a saved trie in a process of its own and prints, as JSON,
how long that takes and what memory the process has then.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import sentencepiece

from genret import DocidTable, Trie, repeated
from genret import vocabulary as vocabulary_lib
from genret.constraints import protocol
from genret.constraints.repeated import ambiguous_identifier
from genret.docids.text import token_rows
from genret.tools import _measure, _measure_fulltext

PROBES = 64
MAX_TITLES = 5
_STATUS = pathlib.Path('/proc/self/status')
_CLEAR = pathlib.Path('/proc/self/clear_refs')


class Figure(NamedTuple):
  """A row of a table: what was measured, and its figures."""

  what: str
  seconds: float | None = None
  peak_bytes: int | None = None
  bytes: int | None = None
  note: str = ''


class Step(NamedTuple):
  """One step of B x K beams that have written two tokens, in milliseconds."""

  titles: int
  edges: int
  probe: float
  children: float
  best: float
  best_repeated: float


def synthetic_titles(
  titles: Sequence[str], count: int, seed: int = 0
) -> list[str]:
  """Distinct titles made of the words of others.

  Each has as many words as one of the given titles; the first is the first of
  some title and the others are any that are not first (or any at all, if there
  are none). What is there already gets one more word in brackets, as Wikipedia
  tells pages apart.

  Args:
    titles: what to take words from; at least one with a word.
    count: how many to make.
    seed: of the draws.

  Raises:
    ValueError: no title has a word.
  """
  rows = [title.split() for title in titles if title.split()]
  if not rows:
    raise ValueError('Expected titles with words, got none; name a corpus.')
  rng = np.random.default_rng(seed)
  length_T = np.array([len(row) for row in rows])
  first_words = [row[0] for row in rows]
  words = [word for row in rows for word in row[1:]] or first_words
  found: dict[str, None] = {}
  # Rounds are whole, so that fewer titles are the first ones of more.
  for block in _blocks(count):
    length_X = rng.choice(length_T, block)
    start_X = np.cumsum(length_X) - length_X
    first_X = rng.integers(len(first_words), size=block).tolist()
    word_W = rng.integers(len(words), size=int(length_X.sum())).tolist()
    for first, start, length in zip(
      first_X, start_X.tolist(), length_X.tolist(), strict=True
    ):
      others = [words[i] for i in word_W[start : start + length - 1]]
      title = ' '.join([first_words[first], *others])
      while title in found:
        title = f'{title} ({words[int(rng.integers(len(words)))]})'
      found[title] = None
      if len(found) == count:
        return list(found)
  return list(found)


def _blocks(count: int, block: int = 1 << 16) -> Iterator[int]:
  for _ in range(0, count, block):
    yield block


def measure(
  titles: Sequence[str],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  duplicates: int,
  sizes: Sequence[int],
  batch_size: int,
  num_beams: int,
  repeats: int,
) -> tuple[list[Figure], list[Step]]:
  """All figures of these titles.

  Args:
    titles: distinct.
    vocabulary: the text pieces.
    duplicates: how many of the titles are given to a second document, too.
    sizes: of the tries whose steps are timed, of the first titles.
    batch_size: B, queries.
    num_beams: K, beams of each.
    repeats: turns of what is fast.

  Raises:
    AssertionError: an answer is wrong.
  """
  names = [*titles, *titles[:duplicates]]
  # One token more than pieces at least: the last is in no title.
  vocab_size = vocabulary_lib.joint_size(vocabulary.get_piece_size(), 1)
  figures = []

  def timed(what: str, run: Callable[..., Any], *arguments: Any) -> Any:
    _measure.say(what)
    result, seconds, peak = _peak(lambda: run(*arguments))
    figures.append(Figure(what, seconds, peak))
    return result

  token_DxL, lengths_D = timed('tokenise', token_rows, names, vocabulary)
  figures[-1] = figures[-1]._replace(
    note=f'{lengths_D.mean():.1f} tokens a title, {token_DxL.shape[1]} at most'
  )
  doc_ids = [str(number) for number in range(len(names))]
  table = timed(
    'identifier table: make and check',
    DocidTable,
    doc_ids,
    token_DxL,
    lengths_D,
    vocab_size,
  )
  timed('identifier table: hash', getattr, table, 'hash')
  trie = timed('trie: build', Trie.from_table, table)
  figures[-1] = figures[-1]._replace(
    bytes=trie.nbytes,
    note=f'{len(trie.token_E):,} edges, {trie.num_identifiers:,} identifiers',
  )
  with tempfile.TemporaryDirectory(prefix='genret-titles-') as folder:
    place = pathlib.Path(folder)
    timed('trie: save', trie.save, place / 'trie')
    figures[-1] = figures[-1]._replace(bytes=_size(place / 'trie'))
    figures += _opened(place / 'trie')
    timed('identifier table: save', table.save, place / 'table')
    figures[-1] = figures[-1]._replace(bytes=_size(place / 'table'))
    table = timed('identifier table: load', DocidTable.load, place / 'table')
    timed('identifier table: first look-up', _look_up, table, 1, 0)
    chosen = _look_up(table, batch_size * num_beams, seed=1)
    ms = _measure.best_ms({'look up': chosen.run}, repeats)['look up']
    _check(table, chosen, duplicates)
    figures.append(
      Figure(
        f'identifier table: look up {batch_size} x {num_beams} beams',
        ms / 1e3,
        note=f'{table.collision_rate:.1%} of documents share an identifier',
      )
    )
    separator = vocab_size - 1
    wrong = timed(
      'several titles: look for the separator',
      ambiguous_identifier,
      trie,
      [separator],
    )
    assert wrong is None
    steps = [
      _step(
        table,
        min(size, len(titles)),
        batch_size=batch_size,
        num_beams=num_beams,
        repeats=repeats,
      )
      for size in sorted({min(size, len(titles)) for size in sizes})
    ]
  return figures, steps


class _Chosen(NamedTuple):
  """Beams that are identifiers of documents chosen at random."""

  document_N: np.ndarray
  run: Callable[[], list[np.ndarray]]


def _look_up(table: DocidTable, count: int, seed: int) -> _Chosen:
  rng = np.random.default_rng(seed)
  document_N = rng.integers(len(table), size=count)
  token_NxL = table.token_rows_DxL[document_N]
  length_N = table.lengths_D[document_N]

  def run() -> list[np.ndarray]:
    return table.documents(token_NxL, length_N)

  run()
  return _Chosen(document_N, run)


def _check(table: DocidTable, chosen: _Chosen, duplicates: int) -> None:
  """Documents are found by their identifiers, and so are those that share."""
  for document, found in zip(
    chosen.document_N.tolist(), chosen.run(), strict=True
  ):
    assert document in found
  first = len(table) - duplicates
  if duplicates:
    (found,) = table.documents(
      table.token_rows_DxL[first : first + 1], table.lengths_D[first:][:1]
    )
    assert {0, first} <= set(found.tolist())


def _step(
  table: DocidTable,
  size: int,
  *,
  batch_size: int,
  num_beams: int,
  repeats: int,
) -> Step:
  """A step of a trie of the first titles."""
  _measure.say(f'a step under {size:,} titles')
  token_DxL, lengths_D = table.token_rows_DxL[:size], table.lengths_D[:size]
  trie = Trie.from_sequences(
    token_DxL, table.vocab_size, table.eos_id, lengths=lengths_D
  )
  rng = np.random.default_rng(0)
  count = batch_size * num_beams
  long_X = np.flatnonzero(lengths_D >= 2)
  prefix_NxP = token_DxL[rng.choice(long_X, count)][:, :2]
  token_NxT = jnp.asarray(
    rng.integers(table.vocab_size, size=(count, PROBES)), jnp.int32
  )
  automaton = trie.constraint()
  several = repeated(trie, [table.vocab_size - 1], MAX_TITLES)
  logits_NxV = jnp.asarray(
    rng.standard_normal((count, table.vocab_size), np.float32)
  )
  runs: dict[str, Callable[[], Any]] = {}
  for name, one in (('best', automaton), ('best_repeated', several)):
    state_N = _measure_fulltext.states_after(one, jnp.asarray(prefix_NxP))
    scored = _measure_fulltext.scorer(one, state_N, logits_NxV)

    def best(
      one: protocol.Constraint = one,
      state_N: Any = state_N,
      scored: Any = scored,
    ) -> Any:
      return jax.block_until_ready(
        _measure_fulltext.best(
          one, state_N, scored, num_beams=num_beams, num_probes=PROBES
        )
      )

    runs[name] = best
  state_N = _measure_fulltext.states_after(automaton, jnp.asarray(prefix_NxP))
  slots_N = automaton.slots(automaton.arrays, state_N)
  width = 1 << max(int(slots_N.max()) - 1, 0).bit_length()
  listing = jax.jit(automaton.children, static_argnums=3)
  runs |= {
    'probe': lambda: jax.block_until_ready(
      _measure_fulltext.probe(automaton, state_N, token_NxT)
    ),
    'children': lambda: jax.block_until_ready(
      listing(automaton.arrays, state_N, 0, width)
    ),
  }
  _, _, legal_NxW = listing(automaton.arrays, state_N, 0, width)
  assert (legal_NxW.sum(axis=1) == slots_N).all()
  assert (slots_N > 0).all()
  ms = _measure.best_ms(runs, repeats)
  return Step(size, len(trie.token_E), **ms)


def _peak(run: Callable[[], Any]) -> tuple[Any, float, int | None]:
  """A result, seconds, and by how much memory grew at most meanwhile."""
  try:
    _CLEAR.write_text('5')  # Forgets the greatest size so far.
    before = _memory('VmRSS')
  except OSError:
    before = None
  began = time.perf_counter()
  result = run()
  seconds = time.perf_counter() - began
  after = _memory('VmHWM')
  if before is None or after is None:
    return result, seconds, None
  return result, seconds, max(after - before, 0)


def _memory(key: str) -> int | None:
  """Bytes, from the process's own status."""
  try:
    status = _STATUS.read_text(encoding='ascii')
  except OSError:
    return None
  for line in status.splitlines():
    if line.startswith(f'{key}:'):
      return int(line.split()[1]) * 1024
  return None


def _size(folder: pathlib.Path) -> int:
  return sum(path.stat().st_size for path in folder.iterdir())


def _opened(folder: pathlib.Path) -> list[Figure]:
  """What another process needs to open a trie and to take a step under it."""
  ran = subprocess.run(
    [sys.executable, '-m', __name__, str(folder)],
    capture_output=True,
    text=True,
    check=True,
  )
  rows = json.loads(ran.stdout.splitlines()[-1])
  return [Figure(**row) for row in rows]


def _open(folder: str) -> list[dict[str, Any]]:
  """What `_opened` gets of it."""
  jnp.zeros(1).block_until_ready()
  keys = ('RssAnon', 'RssFile')

  def memory() -> tuple[int, int]:
    own, mapped = (_memory(key) or 0 for key in keys)
    return own, mapped

  own, mapped = memory()

  def grown() -> str:
    now_own, now_mapped = memory()
    return (
      f'{(now_own - own) / 1e6:.0f} MB of its own and '
      f'{(now_mapped - mapped) / 1e6:.0f} MB of the mapped files resident'
    )

  began = time.perf_counter()
  trie = Trie.load(folder)
  seconds = time.perf_counter() - began
  rows = [Figure('trie: open, mapped from disk', seconds, note=grown())]
  automaton = trie.constraint()
  state_N = automaton.start(trie, 300)
  token_NxT = jnp.arange(300 * PROBES, dtype=jnp.int32).reshape(300, PROBES)
  token_NxT %= trie.vocab_size
  began = time.perf_counter()
  jax.block_until_ready(_measure_fulltext.probe(automaton, state_N, token_NxT))
  seconds = time.perf_counter() - began
  rows.append(Figure('trie: first probe, compiled', seconds, note=grown()))
  return [row._asdict() for row in rows]


if __name__ == '__main__':
  print(json.dumps(_open(sys.argv[1])))
