# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Scalars for TensorBoard, by its own package: TensorFlow is not needed."""

import os
import sys
import time
from collections.abc import Mapping


class EventFile:
  """A new file of events in a folder, or none without the package tensorboard."""

  def __init__(self, folder: str | os.PathLike[str]) -> None:
    """Makes the folder and opens the file; says so where it cannot.

    Args:
      folder: what `tensorboard --logdir` is given, or one below.
    """
    try:
      # Here, since it is one of the few parts of training that are optional.
      from tensorboard.compat.proto import event_pb2, summary_pb2
      from tensorboard.summary.writer import event_file_writer
    except ImportError:
      self._writer = None
      print(
        'No events for TensorBoard are written: the package tensorboard is not '
        'installed. log.jsonl has the same.',
        file=sys.stderr,
      )
      return
    self._event, self._summary = event_pb2.Event, summary_pb2.Summary
    self._writer = event_file_writer.EventFileWriter(os.fspath(folder))

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Adds scalars of a step.

    Args:
      step: counted from 0.
      scalars: by the names that TensorBoard is to show.
    """
    if self._writer is None:
      return
    values = [
      self._summary.Value(tag=name, simple_value=value)
      for name, value in scalars.items()
    ]
    summary = self._summary(value=values)
    self._writer.add_event(
      self._event(wall_time=time.time(), step=step, summary=summary)
    )

  def close(self) -> None:
    """Writes what is left."""
    if self._writer is not None:
      self._writer.close()
