# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What a training measures: a line of log.jsonl each time, and TensorBoard's events."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from genret import event_files

LOG_FILE = 'log.jsonl'


class TrainLog:
  """The log of a run folder, as `opened` has it.

  Attributes:
    earlier: the lines that it had, {'step': ..., 'seconds': ..., ...} each.
  """

  def __init__(
    self,
    file: TextIO,
    events: event_files.EventFile,
    earlier: list[dict[str, float]],
  ) -> None:
    """Counts seconds on from the last of the earlier lines."""
    self._file, self._events, self.earlier = file, events, earlier
    seconds = earlier[-1]['seconds'] if earlier else 0.0
    self._start = time.perf_counter() - seconds

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Adds what was measured after a step, at once.

    Args:
      step: counted from 0, the untrained model.
      scalars: by the names that are shown.
    """
    self._events.write(step, scalars)
    seconds = time.perf_counter() - self._start
    line = {'step': step, 'seconds': seconds, **scalars}
    self._file.write(json.dumps(line) + '\n')
    self._file.flush()

  def scores(self, split: str, *, queries: int | None) -> dict[int, float]:
    """Success@10 of the steps that earlier lines tell, {step: score}.

    Args:
      split: that was evaluated on.
      queries: how many there must have been, where a line tells; None for any.

    Raises:
      ValueError: if there were others: such scores do not compare.
    """
    scores = {}
    for line in self.earlier:
      if f'{split}/Success@10' not in line:
        continue
      told = line.get(f'{split}/queries')
      if None not in (told, queries) and told != queries:
        raise ValueError(
          f'Expected an evaluation on {told} queries of {split}, as the run '
          f'had, got {queries}; the best step would be chosen among scores that '
          'do not compare, so set eval_queries as before.'
        )
      scores[int(line['step'])] = line[f'{split}/Success@10']
    return scores


@contextmanager
def opened(
  run_folder: str | os.PathLike[str], first_step: int
) -> Iterator[TrainLog]:
  """Opens the log of a run that goes on, without the steps that are run again.

  Args:
    run_folder: that has one, or is to.
    first_step: that training goes on from; 0 drops all lines.
  """
  path = Path(run_folder) / LOG_FILE
  kept = []
  if path.is_file() and first_step:
    lines = path.read_text().splitlines(keepends=True)
    # A line without an end was being written when the run was killed.
    found = [(json.loads(line), line) for line in lines if line.endswith('\n')]
    kept = [pair for pair in found if pair[0]['step'] <= first_step]
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  temporary.write_text(''.join(line for _, line in kept))
  temporary.replace(path)
  events = event_files.EventFile(Path(run_folder) / 'tensorboard')
  try:
    with path.open('a') as file:
      yield TrainLog(file, events, [fields for fields, _ in kept])
  finally:
    events.close()


def last_logged_step(run_folder: str | os.PathLike[str]) -> int:
  """The last step in the log of a run; 0 where it has no log."""
  try:
    text = (Path(run_folder) / LOG_FILE).read_text(encoding='utf-8')
  except FileNotFoundError:
    return 0
  whole = text.split('\n')[
    :-1
  ]  # A line that is being written has no end as yet.
  return int(json.loads(whole[-1])['step']) if whole else 0
