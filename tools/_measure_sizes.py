# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Time, memory and building against the size of a corpus or a collection."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret import FMIndex, Trie
from genret.constraints import protocol
from genret.decoding.scores import top_k
from genret.tools import _measure, _measure_fulltext, _measure_trie

VOCAB_SIZE = 32128
BATCH_SIZE, NUM_BEAMS = 20, 15
STEPS = (1, 3)

Row = dict[str, Any]


def measure(
  results: str,
  image: str,
  *,
  fm_sizes: Sequence[int],
  trie_sizes: Sequence[int],
  repeats: int,
) -> None:
  """Measures the sizes that `results` lacks, writes it and draws `image`."""
  path = pathlib.Path(results)
  rows: list[Row] = []
  if path.exists():
    rows = json.loads(path.read_text(encoding='utf-8'))
  known = {(row['kind'], row['size']) for row in rows}
  kinds = (('fm', fm_sizes, _fm_row), ('trie', trie_sizes, _trie_row))
  for kind, sizes, measured in kinds:
    for size in sorted(sizes):
      if (kind, size) in known:
        _measure.say(f'{kind} of {size:,}: in {results} already')
        continue
      _measure.say(f'{kind} of {size:,}')
      row = {'kind': kind, 'size': size, **measured(size, repeats)}
      rows.append({**row, 'machine': _measure.machine()})
      rows.sort(key=lambda row: (row['kind'], row['size']))
      _measure.write_json(path, rows)
  print(_text(rows))
  draw(rows, image)
  _measure.say(f'wrote {results} and {image}')


def _fm_row(size: int, repeats: int) -> Row:
  """An FM-index of `size` tokens; times are those of a step of 300 beams."""
  tokens = _measure.synthetic_tokens(size, VOCAB_SIZE)
  FMIndex.build([np.arange(2, 9)], VOCAB_SIZE)  # Loads what Numba compiled.
  index, seconds = _measure_trie.timed(
    lambda: FMIndex.build(tokens.documents(), VOCAB_SIZE, progress=True)
  )
  automaton = index.constraint()
  count = BATCH_SIZE * NUM_BEAMS
  rng = np.random.default_rng(0)
  random_NxV = rng.standard_normal((count, VOCAB_SIZE), np.float32)
  row: Row = {}
  for step in STEPS:
    prefix_NxP = _measure.prefixes(tokens, step - 1, count)
    logits_NxV = jnp.asarray(
      _measure_fulltext.trained(index, prefix_NxP, random_NxV)
    )
    times = _step(automaton, prefix_NxP, logits_NxV, repeats)
    row |= {f'step{step}_{name}_ms': ms for name, ms in times.items()}
  free = protocol.unconstrained(VOCAB_SIZE)
  times = _step(free, prefix_NxP, logits_NxV, repeats)
  return {
    **row,
    'unconstrained_best_ms': times['best'],
    'build_seconds': seconds,
    'bytes': index.nbytes,
    'decoding_bytes': index.decoding_nbytes,
  }


def _step(
  automaton: protocol.Constraint,
  prefix_NxP: np.ndarray,
  logits_NxV: jax.Array,
  repeats: int,
) -> dict[str, float]:
  """Milliseconds that beams of these prefixes take."""
  state_N = _measure_fulltext.states_after(automaton, jnp.asarray(prefix_NxP))
  scored = _measure_fulltext.scorer(automaton, state_N, logits_NxV)
  probes = _measure_fulltext.PROBES
  _, token_NxT = jax.jit(top_k, static_argnums=1)(logits_NxV, probes)

  def probe() -> Any:
    return jax.block_until_ready(
      _measure_fulltext.probe(automaton, state_N, token_NxT)
    )

  def best() -> Any:
    return jax.block_until_ready(
      _measure_fulltext.best(
        automaton, state_N, scored, num_beams=NUM_BEAMS, num_probes=probes
      )
    )

  return _measure.best_ms({'probe': probe, 'best': best}, repeats)


def _trie_row(size: int, repeats: int) -> Row:
  """A trie of `size` identifiers; the time is a ninth of a search."""
  vocab_size = 2048
  row_DxL = _measure_trie.identifiers(size, vocab_size)
  trie, seconds = _measure_trie.timed(
    lambda: Trie.from_sequences(row_DxL, vocab_size + 1, vocab_size)
  )
  run = _measure_trie.searches(trie, vocab_size, 2, 70)
  ms = _measure.best_ms({'search': lambda: run(0)}, repeats)
  return {
    'step_ms': ms['search'] / (_measure_trie.LENGTH + 1),
    'build_seconds': seconds,
    'bytes': trie.nbytes,
    'decoding_bytes': trie.nbytes,
  }


def _text(rows: Sequence[Row]) -> str:
  """The rows to read."""
  lines = []
  for row in rows:
    times = ', '.join(
      f'{name.removesuffix("_ms")} {_measure.significant(value)} ms'
      for name, value in row.items()
      if name.endswith('_ms')
    )
    lines.append(
      f'{row["kind"]:<4} {row["size"]:>11,}: {times}; built in '
      f'{_measure.significant(row["build_seconds"])} s, '
      f'{row["bytes"] / row["size"]:.1f} bytes each '
      f'({row["decoding_bytes"] / row["size"]:.1f} to decode)'
    )
  return '\n'.join(lines)


def draw(rows: Sequence[Row], image: str) -> None:
  """Time a step and seconds to build against size."""
  import matplotlib.figure

  figure = matplotlib.figure.Figure(figsize=(10, 4), layout='constrained')
  steps, builds = figure.subplots(1, 2)
  curves = {
    'FM-index, first step': ('fm', 'step1_best_ms'),
    'FM-index, third step': ('fm', 'step3_best_ms'),
    'FM-index, third step, probe alone': ('fm', 'step3_probe_ms'),
    'no constraint, same logits': ('fm', 'unconstrained_best_ms'),
    'trie, 140 beams of 2,048 tokens': ('trie', 'step_ms'),
  }
  for label, (kind, name) in curves.items():
    _curve(steps, rows, kind, name, label)
  for label, kind in (
    ('FM-index (tokens)', 'fm'),
    ('trie (identifiers)', 'trie'),
  ):
    _curve(builds, rows, kind, 'build_seconds', label)
  steps.set(
    xscale='log',
    yscale='log',
    xlabel='tokens or identifiers',
    ylabel='milliseconds a step',
    title=f'{BATCH_SIZE * NUM_BEAMS} beams, {VOCAB_SIZE:,} tokens',
  )
  builds.set(
    xscale='log',
    yscale='log',
    xlabel='tokens or identifiers',
    ylabel='seconds to build',
    title='building',
  )
  for axes in (steps, builds):
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
  path = pathlib.Path(image)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{os.getpid()}.{path.name}')
  figure.savefig(temporary, dpi=120, format='png')
  os.replace(temporary, path)


def _curve(
  axes: Any, rows: Sequence[Row], kind: str, name: str, label: str
) -> None:
  points = [(r['size'], r[name]) for r in rows if r['kind'] == kind]
  if points:
    axes.plot(*zip(*points, strict=True), marker='o', label=label)
