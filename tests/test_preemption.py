# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: noted in the main thread, left alone elsewhere, given back after."""

import os
import signal
import threading

import pytest

from genret import preemption


def _ask_twice(seen):
  with preemption.noticed() as stop:
    seen.append(stop.requested)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    seen.append(stop.requested)
    raise KeyError  # restored whatever happens


def test_sigterm_is_noted_and_given_back():
  heard, seen = [], []
  before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
  try:
    with pytest.raises(KeyError):
      _ask_twice(seen)
    assert (seen, heard) == ([False, True], [])
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]
  finally:
    signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_it_alone():
  before = signal.getsignal(signal.SIGTERM)
  found = []

  def work():
    with preemption.noticed() as stop:
      found.append((stop, signal.getsignal(signal.SIGTERM)))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert found == [(preemption.Stop(requested=False), before)]


def test_what_need_not_end_is_broken_off():
  with preemption.noticed() as stop:
    with stop.at_once():
      pass
    stop.request()  # only noted, outside
    with pytest.raises(preemption.Stopped), stop.at_once():
      pytest.fail('it was requested before')
  with preemption.noticed() as stop:
    with pytest.raises(preemption.Stopped), stop.at_once():
      signal.raise_signal(signal.SIGTERM)
    assert stop.requested


def test_leaving_is_a_sentence_and_a_status(capsys):
  with pytest.raises(SystemExit) as exit_:
    preemption.leave('Stopped; start again.')
  assert exit_.value.code == 143
  assert capsys.readouterr().err == 'Stopped; start again.\n'
