# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: clocks, tables, peers that may be absent, corpora.

Figures move with the machine, so what is compared runs in one process, turn by
turn, and the best of several turns counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class Line(NamedTuple):
  """A row of the table: a peer and ours at the same work.

  Attributes:
    work: what both did.
    peer: who else did it.
    peer_value: what it took it, in `unit`.
    ours: which part of genret did it.
    ours_value: what it took that.
    answers: 'same', or how the answers of the two differ.
    unit: 'ms' for milliseconds, or another.
  """

  work: str
  peer: str
  peer_value: float
  ours: str
  ours_value: float
  answers: str
  unit: str = 'ms'

  @property
  def ratio(self) -> float:
    """How many times as much it took the peer."""
    if not self.ours_value:
      return math.inf if self.peer_value else math.nan
    return self.peer_value / self.ours_value


class Times(NamedTuple):
  """Of several turns, in seconds."""

  best: float
  median: float


class Help(
  argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter
):
  """Keeps the lines of a description and shows defaults."""


def alternate(
  runs: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, Times]:
  """Times functions turn by turn (A B A B), after one call of each."""
  for run in runs.values():
    run()
  seconds: dict[str, list[float]] = {name: [] for name in runs}
  for _ in range(repeats):
    for name, run in runs.items():
      began = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - began)
  return {n: Times(min(s), statistics.median(s)) for n, s in seconds.items()}


def best_ms(
  runs: Mapping[str, Callable[[], Any]], repeats: int
) -> dict[str, float]:
  """As `alternate`, the best turn of each in milliseconds."""
  return {n: t.best * 1e3 for n, t in alternate(runs, repeats).items()}


def peer(module: str, wanted_for: str) -> Any:
  """A module of another project, or None and a word on stderr without it."""
  try:
    return importlib.import_module(module)
  except Exception as error:  # A project's own import may fail in any way.
    why = str(error).partition('\n')[0]
    say(f'{wanted_for} is skipped: no {module} ({why})')
    return None


def say(text: str) -> None:
  """A line on stderr, where progress goes."""
  print(text, file=sys.stderr, flush=True)


def same(differing: int, of: int, what: str) -> str:
  """The word for `Line.answers`."""
  return f'{differing:,} of {of:,} {what} differ' if differing else 'same'


def report(
  title: str, lines: Sequence[Line], settings: Mapping[str, Any], path: str
) -> None:
  """Prints the table, and writes the figures as JSON where path is not ''."""
  print(f'{title}\n{machine()}\n')
  print(table(lines))
  if path:
    found = {
      'title': title,
      'machine': machine(),
      'settings': dict(settings),
      'lines': [
        # JSON has no infinity.
        {
          **line._asdict(),
          'ratio': line.ratio if math.isfinite(line.ratio) else None,
        }
        for line in lines
      ],
    }
    write_json(path, found)


def table(lines: Sequence[Line]) -> str:
  """Lines as text; what a work is called stands once, above its lines."""
  rows = [('peer', '', 'ours', '', 'ratio', 'answers')]
  rows += [
    (
      line.peer,
      f'{significant(line.peer_value)} {line.unit}',
      line.ours,
      f'{significant(line.ours_value)} {line.unit}',
      f'{significant(line.ratio)}x' if math.isfinite(line.ratio) else '',
      line.answers,
    )
    for line in lines
  ]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  right = (1, 3, 4)
  texts = [
    '  '.join(
      cell.rjust(width) if i in right else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in rows
  ]
  out, work = [f'  {texts[0]}'], ''
  for line, text in zip(lines, texts[1:], strict=True):
    if line.work != work:
      work = line.work
      out.append(work)
    out.append(f'  {text}')
  return '\n'.join(out)


def significant(value: float) -> str:
  """Three digits that count, and no exponent."""
  if value == 0 or not math.isfinite(value):
    return f'{value:g}'
  places = max(2 - int(np.floor(np.log10(abs(value)))), 0)
  return f'{value:,.{places}f}'


def machine() -> str:
  """The machine, in a few words."""
  device = jax.devices()[0]
  return (
    f'{os.cpu_count()} CPU cores ({platform.machine()}), JAX {jax.__version__} '
    f'on {device.platform}'
  )


def write_json(path: str | os.PathLike[str], found: Any) -> None:
  """Writes by way of a temporary file."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{os.getpid()}.{path.name}')
  temporary.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
  os.replace(temporary, path)


class Tokens(NamedTuple):
  """A corpus: document d has tokens token_T[start_D1[d] : start_D1[d + 1]]."""

  token_T: np.ndarray
  start_D1: np.ndarray
  vocab_size: int

  def documents(self) -> Iterator[np.ndarray]:
    """The tokens of each document."""
    for first, last in zip(
      self.start_D1[:-1].tolist(), self.start_D1[1:].tolist(), strict=True
    ):
      yield self.token_T[first:last]


def read_tokens(
  token_file: str, start_file: str, vocab_size: int, most: int
) -> Tokens:
  """The first documents of a corpus of up to `most` tokens.

  Raises:
    ValueError: the files do not fit each other or the vocabulary.
  """
  token_T = np.load(token_file, mmap_mode='r')
  start_D1 = np.load(start_file).astype(np.int64)
  sound = (
    token_T.ndim == start_D1.ndim == 1
    and len(start_D1) > 1
    and start_D1[0] == 0
    and (np.diff(start_D1) >= 0).all()
    and start_D1[-1] <= len(token_T)
  )
  if not sound:
    raise ValueError(
      f'Expected ascending starts from 0 to at most {len(token_T)}, the number '
      f'of tokens, but {start_file} has others; give one for each document and '
      'the end of the last.'
    )
  kept = max(int(np.searchsorted(start_D1, most, 'right')), 2)
  start_D1 = start_D1[:kept]
  token_T = np.array(token_T[: start_D1[-1]])
  if len(token_T) and not 0 <= token_T.min() <= token_T.max() < vocab_size:
    raise ValueError(
      f'Expected tokens below --vocab-size {vocab_size} but {token_file} has '
      f'{token_T.min()} to {token_T.max()}; pass a greater --vocab-size.'
    )
  return Tokens(_narrow(token_T, vocab_size), start_D1, vocab_size)


def synthetic_tokens(count: int, vocab_size: int, seed: int = 0) -> Tokens:
  """A corpus of Zipf's law in which n-grams repeat.

  Seven tokens of ten are one of 64 likely successors of the token before, the
  others are drawn by frequency rank. Documents have 50 to 150 tokens, none of
  them 0 or 1.
  """
  rng = np.random.default_rng(seed)
  weight_V = 1.0 / np.arange(1, vocab_size - 1)
  cumulative_V = np.cumsum(weight_V / weight_V.sum())

  def draw(*shape: int) -> np.ndarray:
    rank = np.searchsorted(cumulative_V, rng.random(shape, np.float32))
    return 2 + np.minimum(rank, vocab_size - 3)

  dtype = np.uint16 if vocab_size <= 1 << 16 else np.int32
  successor_Vx64 = draw(vocab_size, 64).astype(dtype)
  rows = count // 100 + 1
  token_Rx100 = np.empty((rows, 100), dtype)
  last_R = draw(rows)
  for column in range(100):
    # The cube makes the first successors the likely ones.
    place_R = (64 * rng.random(rows, np.float32) ** 3).astype(np.int64)
    last_R = np.where(
      rng.random(rows, np.float32) < 0.7,
      successor_Vx64[last_R, place_R],
      draw(rows),
    )
    token_Rx100[:, column] = last_R
  length_D = rng.integers(50, 151, count // 50 + 2)
  start_D1 = np.minimum(np.append(0, np.cumsum(length_D)), count)
  start_D1 = start_D1[: int(np.searchsorted(start_D1, count)) + 1]
  return Tokens(
    token_Rx100.reshape(-1)[:count], start_D1.astype(np.int64), vocab_size
  )


def _narrow(token_T: np.ndarray, vocab_size: int) -> np.ndarray:
  return token_T.astype(np.uint16 if vocab_size <= 1 << 16 else np.int32)


def prefixes(
  tokens: Tokens, length: int, count: int, seed: int = 0
) -> np.ndarray:
  """n-grams drawn from the corpus, followed by a token of their document.

  Returns:
    [count, length] int32.

  Raises:
    ValueError: no document is long enough.
  """
  length_D = np.diff(tokens.start_D1)
  if length_D.max(initial=0) <= length:
    raise ValueError(
      f'Expected documents of more than {length} tokens but the longest has '
      f'{length_D.max(initial=0)}; give a corpus of longer ones.'
    )
  rng = np.random.default_rng(seed)
  found: list[np.ndarray] = []
  while len(found) < count:
    at = int(rng.integers(len(tokens.token_T)))
    document = np.searchsorted(tokens.start_D1, at, 'right')
    if at + length < tokens.start_D1[document]:
      found.append(tokens.token_T[at : at + length])
  return np.array(found, np.int32).reshape(count, length)
