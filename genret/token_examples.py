# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Examples as files of tokens: training without seqio or TensorFlow.

`genret examples tokens` writes the tasks of an experiment where seqio is; what is
here reads them with NumPy alone, from files that stay mapped. No batch needs those
before it, so that a run goes on at once, however many steps it had.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from genret import array_folder
from genret.objectives import Batch, teacher_forcing_batch

_KIND = 'token examples'
_VERSION = 1

# So many batches draw their tasks together; part of the order.
_BLOCK = 256


@dataclasses.dataclass(frozen=True)
class TokenExamples:
  """The examples of a mixture, task by task.

  Attributes:
    name: of the mixture or task.
    tasks: names of the T tasks.
    rates: how often each is drawn, in proportion; [T].
    task_feature_lengths: 'inputs' and 'targets', to which examples were cut.
    first_T1: int64 [T + 1]: where the examples of each task begin, and the end.
    input_tokens: all inputs, one after another.
    input_start_N1: int64 [N + 1]: where each of the N begins, and the end.
    target_tokens: all targets.
    target_start_N1: likewise.
    hash: of all this.
    made_for: what else the examples depend on: 'docids', the hash of the
      identifiers, and 'unseen_share' and 'unseen_seed' where queries were
      withheld; nothing where files do not tell.
  """

  name: str
  tasks: tuple[str, ...]
  rates: tuple[float, ...]
  task_feature_lengths: Mapping[str, int]
  first_T1: np.ndarray
  input_tokens: np.ndarray
  input_start_N1: np.ndarray
  target_tokens: np.ndarray
  target_start_N1: np.ndarray
  hash: str
  made_for: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return len(self.input_start_N1) - 1

  @property
  def described(self) -> str:
    """What a run notes as the data that it was trained on."""
    return f'{self.name}, tokens {self.hash[:12]}'

  def check_made_for(self, wanted: Mapping[str, Any]) -> None:
    """Refuses examples of other identifiers, or with what is to be withheld.

    Args:
      wanted: as `made_for` has it.

    Raises:
      ValueError: naming what differs.
    """
    for name in sorted({*wanted, *self.made_for}):
      told = self.made_for.get(name)
      if told != wanted.get(name) and not (name == 'docids' and told is None):
        raise ValueError(
          f'Expected examples that were written with {name}='
          f'{wanted.get(name)}, got {name}={told}; write them again with the '
          'macros of this run.'
        )

  def training_batches(
    self,
    task_feature_lengths: Mapping[str, int],
    batch_size: int,
    *,
    seed: int,
    skip: int = 0,
  ) -> Iterator[Batch]:
    """Endless batches, in an order that the seed fixes.

    The task of each example is drawn by the rates; those of a task come in
    another order each time that all have been seen.

    Args:
      task_feature_lengths: those that were written; 'targets' may be longer.
      batch_size: B, examples of each.
      seed: of the order.
      skip: batches to leave out, in microseconds each.

    Returns:
      Batches as `seqio.EncDecFeatureConverter` makes them, int32 [B, T] and
      [B, L].

    Raises:
      ValueError: for other lengths.
    """
    ours, given = dict(self.task_feature_lengths), dict(task_feature_lengths)
    if (
      given.get('inputs') != ours['inputs']
      or given.get('targets', 0) < ours['targets']
    ):
      raise ValueError(
        f'Expected the task_feature_lengths that the examples were cut to, '
        f'{ours}, or longer targets, got {given}; write the examples again with '
        'yours.'
      )
    lengths = given['inputs'], given['targets']
    return self._batches(lengths, batch_size, seed, skip)

  def _batches(
    self, lengths: tuple[int, int], batch_size: int, seed: int, skip: int
  ) -> Iterator[Batch]:
    order = _Order(self.first_T1, self.rates, seed)
    block, skipped = divmod(skip, _BLOCK)
    shape = _BLOCK, batch_size
    for earlier in range(block):
      order.pass_over(order.tasks_of(earlier, shape))
    while True:
      for number, task_B in enumerate(order.tasks_of(block, shape)):
        if skipped > number:
          order.pass_over(task_B)
          continue
        yield self._batch(order.examples_of(task_B), *lengths)
      block, skipped = block + 1, 0

  def _batch(
    self, example_B: np.ndarray, input_length: int, target_length: int
  ) -> Batch:
    input_BxT = _rows(
      self.input_tokens, self.input_start_N1, example_B, input_length
    )
    target_BxL = _rows(
      self.target_tokens, self.target_start_N1, example_B, target_length
    )
    return teacher_forcing_batch(input_BxT, target_BxL)


class _Order:
  """Which example comes next; knows how many of each task have come."""

  def __init__(
    self, first_T1: np.ndarray, rates: tuple[float, ...], seed: int
  ) -> None:
    self._first_T, self._size_T = first_T1[:-1], np.diff(first_T1)
    self._share_T = np.array(rates, np.float64) / np.sum(rates)
    self._seed = seed
    self._seen_T = np.zeros(len(rates), np.int64)
    self._permutations: dict[int, tuple[int, np.ndarray]] = {}

  def tasks_of(self, block: int, shape: tuple[int, int]) -> np.ndarray:
    """The tasks of a block of batches: [batches, B]."""
    rng = np.random.default_rng([self._seed, 0, block])
    return rng.choice(len(self._share_T), shape, p=self._share_T)

  def pass_over(self, task_: np.ndarray) -> None:
    """Counts examples as seen."""
    self._seen_T += np.bincount(task_.ravel(), minlength=len(self._seen_T))

  def examples_of(self, task_B: np.ndarray) -> np.ndarray:
    """The next example of each task, which counts as seen: int64 [B]."""
    example_B = np.zeros(len(task_B), np.int64)
    for task in np.unique(task_B):
      of_task_B = task_B == task
      place_b = self._seen_T[task] + np.arange(of_task_B.sum())
      time_b, place_b = np.divmod(place_b, self._size_T[task])
      found_b = np.zeros(len(time_b), np.int64)
      for time in np.unique(time_b):
        now_b = time_b == time
        found_b[now_b] = self._permutation(task, time)[place_b[now_b]]
      example_B[of_task_B] = self._first_T[task] + found_b
    self.pass_over(task_B)
    return example_B

  def _permutation(self, task: int, time: int) -> np.ndarray:
    """The order of a task's examples, the `time`-th time that all come."""
    if self._permutations.get(task, (-1,))[0] != time:
      rng = np.random.default_rng([self._seed, 1, task, time])
      self._permutations[task] = time, rng.permutation(self._size_T[task])
    return self._permutations[task][1]


def _rows(
  tokens: np.ndarray, start_N1: np.ndarray, example_B: np.ndarray, length: int
) -> np.ndarray:
  """Examples [B, length], padded with 0."""
  start_Bx1 = start_N1[example_B][:, None]
  place_BxL = start_Bx1 + np.arange(length)
  inside_BxL = place_BxL < start_N1[example_B + 1][:, None]
  row_BxL = np.zeros(place_BxL.shape, np.int32)
  row_BxL[inside_BxL] = tokens[place_BxL[inside_BxL]]
  return row_BxL


def save(
  folder: str | os.PathLike[str],
  name: str,
  examples: Mapping[str, Iterable[Mapping[str, np.ndarray]]],
  rates: Mapping[str, float],
  task_feature_lengths: Mapping[str, int],
  *,
  made_for: Mapping[str, Any] | None = None,
) -> TokenExamples:
  """Writes examples, which are held in memory until all are there.

  Args:
    folder: to write; one of this kind is replaced.
    name: of the mixture or task.
    examples: of each task, 'inputs' and 'targets' as they are trained on:
      tokens, the end-of-sequence among them, without padding.
    rates: of the same tasks, above 0.
    task_feature_lengths: to which they were cut.
    made_for: as `TokenExamples` has it.

  Raises:
    ValueError: for a task without examples, or a rate that is not above 0.
  """
  first = [0]
  tokens: dict[str, list[np.ndarray]] = {'inputs': [], 'targets': []}
  for task, of_task in examples.items():
    if not rates[task] > 0:
      raise ValueError(
        f'Expected a rate above 0 for {task}, got {rates[task]}; leave the task '
        'out.'
      )
    for example in of_task:
      for part, rows in tokens.items():
        rows.append(np.asarray(example[part], np.int32))
    first.append(len(tokens['inputs']))
    if first[-1] == first[-2]:
      raise ValueError(
        f'Expected training examples of {task}, got none; leave that task out of '
        'the mixture (a rate of 0), or check its corpus.'
      )
  arrays: dict[str, np.ndarray] = {'first': np.array(first, np.int64)}
  for part, rows in tokens.items():
    start_N1 = np.zeros(len(rows) + 1, np.int64)
    start_N1[1:] = np.cumsum([len(row) for row in rows])
    joined = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    small = joined.max(initial=0) < 1 << 16
    arrays[f'{part}_tokens'] = joined.astype(np.uint16) if small else joined
    arrays[f'{part}_start'] = start_N1
  meta: dict[str, Any] = {
    'name': name,
    'tasks': list(examples),
    'rates': [float(rates[task]) for task in examples],
    'task_feature_lengths': dict(task_feature_lengths),
    'made_for': dict(made_for or {}),
  }
  digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
  for array in arrays.values():
    digest.update(array.tobytes())
  meta['hash'] = digest.hexdigest()
  array_folder.save(
    folder, kind=_KIND, version=_VERSION, arrays=arrays, meta=meta
  )
  return load(folder)


def load(folder: str | os.PathLike[str]) -> TokenExamples:
  """Opens what `save` wrote; the tokens stay in their files.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if it holds something else, or is damaged.
  """
  arrays, meta = array_folder.load(folder, kind=_KIND, version=_VERSION)
  return TokenExamples(
    name=meta['name'],
    tasks=tuple(meta['tasks']),
    rates=tuple(meta['rates']),
    task_feature_lengths=meta['task_feature_lengths'],
    first_T1=arrays['first'],
    input_tokens=arrays['inputs_tokens'],
    input_start_N1=arrays['inputs_start'],
    target_tokens=arrays['targets_tokens'],
    target_start_N1=arrays['targets_start'],
    hash=meta['hash'],
    made_for=meta.get('made_for', {}),
  )


def made_for(
  docids_hash: str, *, unseen_share: float = 0.0, unseen_seed: int = 0
) -> dict[str, Any]:
  """What examples depend on, as `TokenExamples` has it."""
  withheld = {'unseen_share': unseen_share, 'unseen_seed': unseen_seed}
  return {'docids': docids_hash, **(withheld if unseen_share else {})}


def is_folder(name: str | os.PathLike[str]) -> bool:
  """Whether this is a folder of such examples, and no name of a task."""
  return os.path.isfile(os.path.join(name, array_folder.HEADER))
