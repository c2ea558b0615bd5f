# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""One process of a machine at a time: at a folder, a file, a piece of work."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_process(
  of: str | os.PathLike[str], *, wait: bool = True
) -> Iterator[bool]:
  """Lets one process of a machine at a time at a path.

  The system frees the lock of a process that is killed.

  Args:
    of: the path; nothing need be there.
    wait: for the process that has it; without, the block runs at once.

  Yields:
    Whether this process has it: always, where it waits.
  """
  name = hashlib.sha256(os.path.realpath(of).encode()).hexdigest()[:16]
  path = Path(tempfile.gettempdir()) / f'genret-{os.getuid()}-{name}.lock'
  with path.open('w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
      yield False
    else:
      yield True
