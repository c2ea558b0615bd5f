# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Ends work at a point of its own choosing when the machine is taken away.

Preemptible machines send SIGTERM and leave a process some seconds.
"""

import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# What a shell reports of a process that SIGTERM ended. Not 0: a script must not
# go on as if the work were done, and a scheduler is to start it again.
STATUS = 128 + signal.SIGTERM


class Stopped(BaseException):
  """SIGTERM, where nothing must be finished before the end."""


@dataclasses.dataclass
class Stop:
  """Whether the process was asked to end."""

  requested: bool = False
  _breaks: bool = False

  @contextlib.contextmanager
  def at_once(self) -> Iterator[None]:
    """Lets SIGTERM break off what is done within.

    Raises:
      Stopped: as it comes, or at the start where it came before.
    """
    try:
      self._breaks = True
      if self.requested:
        raise Stopped
      yield
    finally:
      self._breaks = False

  def request(self) -> None:
    """What SIGTERM does."""
    self.requested = True
    if self._breaks:
      raise Stopped


@contextlib.contextmanager
def noticed() -> Iterator[Stop]:
  """Notes SIGTERM in place of dying of it; what handled it comes back after.

  Outside the main thread, where Python has no handlers, and where a handler was
  put that is not Python's, it is left alone and nothing is ever requested.
  """
  stop = Stop()

  def note(number: int, frame: FrameType | None) -> None:
    stop.request()

  earlier = signal.getsignal(signal.SIGTERM)
  in_main = threading.current_thread() is threading.main_thread()
  if not in_main or earlier is None:
    yield stop
    return
  signal.signal(signal.SIGTERM, note)
  try:
    yield stop
  finally:
    signal.signal(signal.SIGTERM, earlier)


def leave(sentence: str) -> NoReturn:
  """Ends the process with a sentence on standard error and `STATUS`."""
  print(sentence, file=sys.stderr, flush=True)
  raise SystemExit(STATUS)
