# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Builds of full-text indexes, each in a process that measures itself.

`python -m genret.tools._measure_builds KIND TOKENS STARTS VOCAB EOS OUTPUT`
builds one and prints a JSON object.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from genret.tools import _measure
from genret.tools._measure import Line, Tokens

KINDS = ('genret', 'genret, lists', 'SEAL in memory', 'SEAL by a file')


def build(
  kind: str, tokens: str, starts: str, vocab_size: int, eos_id: int, output: str
) -> dict[str, Any]:
  """Builds an index in a child process.

  Args:
    kind: one of KINDS.
    tokens: .npy file of all tokens.
    starts: .npy file of where documents begin, and the end of the last.
    vocab_size: V.
    eos_id: SEAL's mark between documents.
    output: where the index is saved.

  Returns:
    seconds; save_seconds; peak, bytes of memory above what the process had
    before, None where the system does not tell; disk, the bytes of each part.

  Raises:
    OSError: the process failed.
  """
  words = [kind, tokens, starts, str(vocab_size), str(eos_id), output]
  ran = subprocess.run(
    [sys.executable, '-m', __name__, *words],
    capture_output=True,
    text=True,
    check=False,
    # sdsl writes into the working folder.
    cwd=pathlib.Path(output).parent,
  )
  if ran.returncode:
    raise OSError(f'building with {kind} failed: {ran.stderr.strip()[-500:]}')
  return json.loads(ran.stdout.splitlines()[-1])


def build_lines(
  tokens: Tokens, folder: pathlib.Path, *, eos_id: int, repeats: int
) -> list[Line]:
  """Builds indexes, each in a process of its own, turn by turn.

  The folder has ours.index and, with SEAL, seal.index afterwards.
  """
  np.save(folder / 'tokens.npy', tokens.token_T)
  np.save(folder / 'starts.npy', tokens.start_D1)
  files = str(folder / 'tokens.npy'), str(folder / 'starts.npy')
  kinds: tuple[str, ...] = KINDS
  if _measure.peer('seal.index', 'building with SEAL') is None:
    kinds = kinds[:2]
  found: dict[str, dict[str, Any]] = {}
  for turn in range(repeats):
    for kind in kinds:
      _measure.say(f'build {turn + 1}/{repeats}: {kind}')
      output = str(
        folder / ('ours.index' if 'genret' in kind else 'seal.index')
      )
      one = build(kind, *files, tokens.vocab_size, eos_id, output)
      if kind not in found or one['seconds'] < found[kind]['seconds']:
        found[kind] = one
  return _build_lines(found, len(tokens.token_T))


def _build_lines(found: dict[str, dict[str, Any]], count: int) -> list[Line]:
  """Answers are compared by the lines that ask the indexes."""
  ours = found['genret']
  peers = {kind: peer for kind, peer in found.items() if kind != 'genret'}
  work = f'build an index of {count:,} tokens'
  lines = [
    Line(work, kind, peer['seconds'], 'genret', ours['seconds'], 'below', 's')
    for kind, peer in peers.items()
  ]
  lines += [
    Line(
      f'{work}: peak memory',
      kind,
      peer['peak'] / count,
      'genret',
      ours['peak'] / count,
      '',
      'B/token',
    )
    for kind, peer in peers.items()
    if peer['peak'] is not None and ours['peak'] is not None
  ]
  sizes = {'all': sum(ours['disk'].values()), **ours['disk']}
  for kind in peers.keys() & {KINDS[2]}:
    theirs = sum(peers[kind]['disk'].values()) / count
    lines += [
      Line(f'{work}: on disk', kind, theirs, p, n / count, '', 'B/token')
      for p, n in sizes.items()
    ]
  return lines


def main(words: list[str]) -> int:
  """Builds, measures and prints."""
  kind, token_file, start_file, vocab_size, eos_id, output = words
  tokens = Tokens(np.load(token_file), np.load(start_file), int(vocab_size))
  if kind.startswith('genret'):
    found = _genret(tokens, output, as_lists=kind.endswith('lists'))
  else:
    found = _seal(tokens, int(eos_id), output, in_memory='memory' in kind)
  print(json.dumps(found))
  return 0


def _genret(tokens: Tokens, output: str, *, as_lists: bool) -> dict[str, Any]:
  from genret import FMIndex
  from genret.constraints import fm_segment

  # Loads what Numba has compiled.
  FMIndex.build([np.arange(2, 9)] * 300, tokens.vocab_size)

  def run() -> FMIndex:
    documents: Any = tokens.documents()
    if as_lists:
      documents = (document.tolist() for document in documents)
    return FMIndex.build(documents, tokens.vocab_size)

  index, found = _measured(run)
  began = time.perf_counter()
  index.save(output)
  found['save_seconds'] = time.perf_counter() - began
  parts = {'decoding': 0, 'text': 0, 'samples and documents': 0}
  for segment in index.segments:
    for name, array in segment._asdict().items():
      part = 'samples and documents'
      if name in fm_segment.DECODING:
        part = 'decoding'
      elif name == 'text':
        part = 'text'
      parts[part] += array.nbytes
  return {**found, 'disk': parts}


def _seal(
  tokens: Tokens, eos_id: int, output: str, *, in_memory: bool
) -> dict[str, Any]:
  import importlib

  seal = importlib.import_module('seal.index')

  def run() -> Any:
    index = seal.FMIndex()
    index.initialize(
      ([*document.tolist(), eos_id] for document in tokens.documents()),
      in_memory=in_memory,
    )
    return index

  index, found = _measured(run)
  began = time.perf_counter()
  index.save(output)
  found['save_seconds'] = time.perf_counter() - began
  size = sum(os.path.getsize(output + end) for end in ('.fmi', '.oth'))
  return {**found, 'disk': {'all': size}}


def _measured(run: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
  before = _memory('VmRSS') if _forget_peak() else None
  began = time.perf_counter()
  result = run()
  seconds = time.perf_counter() - began
  peak = _memory('VmHWM')
  above = None if before is None or peak is None else peak - before
  return result, {'seconds': seconds, 'peak': above}


def _forget_peak() -> bool:
  """Linux forgets the greatest memory so far on this request."""
  try:
    pathlib.Path('/proc/self/clear_refs').write_text('5', encoding='ascii')
  except OSError:
    return False
  return True


def _memory(key: str) -> int | None:
  """Bytes, from the process's own status."""
  try:
    status = pathlib.Path('/proc/self/status').read_text(encoding='ascii')
  except OSError:
    return None
  for line in status.splitlines():
    if line.startswith(key):
      return int(line.split()[1]) * 1024
  return None


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
