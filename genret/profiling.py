# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A profile of some training steps, for XProf, TensorBoard's profile plugin or Perfetto."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax


class Window:
  """Traces the steps from one to another, both included, into a folder.

  Args:
    folder: where the trace goes, under plugins/profile/<time>/.
    steps: the first and the last step; None to trace nothing.
    total: steps of the training.

  Raises:
    ValueError: for anything but two steps of the training in order.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    steps: Sequence[int] | None,
    total: int,
  ):
    if steps is not None and not (
      isinstance(steps, Sequence)
      and len(steps) == 2
      and 1 <= steps[0] <= steps[1] <= total
    ):
      raise ValueError(
        f'Expected the first and the last step to profile, from 1 to {total}, '
        f'got {steps}; give two steps, such as (10, 14).'
      )
    self._folder, self._steps = os.fspath(folder), steps
    self._running = False

  def begin(self, step: int) -> None:
    """To be called before a step; starts with the first that is wanted.

    A training that goes on within the window traces the rest of it.
    """
    if (
      self._steps is not None
      and not self._running
      and self._steps[0] <= step <= self._steps[1]
    ):
      jax.profiler.start_trace(self._folder)
      self._running = True

  def end(self, step: int, results: Any) -> None:
    """To be called behind a step; waits for its results where it is the last."""
    if self._running and self._steps is not None and step == self._steps[1]:
      jax.block_until_ready(results)
      self.close()

  def close(self) -> None:
    """Writes what was traced; nothing where nothing is."""
    if self._running:
      self._running = False
      jax.profiler.stop_trace()
