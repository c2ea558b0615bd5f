# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Work that one process of a machine does at a time."""

import signal
import subprocess
import sys

from genret import process_locks
from genret.process_locks import only_process

HOLD = """
import sys
from genret.process_locks import only_process
with only_process(sys.argv[1]) as mine:
  print(mine, flush=True)
  sys.stdin.read()
"""


def holding(path):
  """A process that has the lock, until its input ends."""
  process = subprocess.Popen(
    [sys.executable, '-c', HOLD, path],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'True\n'
  return process


def tries(path):
  with only_process(path, wait=False) as mine:
    return mine


def test_another_process_is_kept_out_and_paths_are_apart(tmp_path):
  assert process_locks.only_process is only_process
  with holding(tmp_path / 'row') as process:
    assert not tries(tmp_path / 'row')
    # The same path by another name.
    assert not tries(tmp_path / 'x' / '..' / 'row')
    assert tries(tmp_path / 'another')
    process.stdin.close()
    with only_process(tmp_path / 'row') as mine:  # waits for it
      assert mine
      assert not tries(tmp_path / 'row')
  assert tries(tmp_path / 'row')
  assert not (tmp_path / 'row').exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
  with holding(tmp_path / 'row') as process:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert tries(tmp_path / 'row')
