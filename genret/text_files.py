# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Lines in, text out: the two things every text format here relies on.

Reading reports the file and the line of whatever is wrong; writing is atomic,
so that an interrupted program never leaves half a file under the final name.
"""

import gzip
import os
import pathlib
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

PathLike = str | os.PathLike[str]


class Cursor(NamedTuple):
  """A place between two lines of a file, where reading can go on.

  Attributes:
    offset: bytes before it, of the text where the file is compressed.
    line: lines before it.
  """

  offset: int = 0
  line: int = 0


START = Cursor()


def read_lines(
  path: PathLike,
  *,
  on_position: Callable[[int], object] | None = None,
  start: Cursor = START,
  on_cursor: Callable[[Cursor], object] | None = None,
) -> Iterator[tuple[str, str]]:
  """Yields `(place, line)` for every line of a UTF-8 file that is not blank.

  Args:
    path: a text file; a name that ends in `.gz` is decompressed on the way.
    on_position: called before each line with the bytes of the file that were
      read, compressed ones where it is compressed, for a progress bar.
    start: a cursor of the same file to go on from. A compressed file is read
      through up to there.
    on_cursor: called before each line with the cursor behind it.

  Yields:
    `place`, '<path>, line <number from 1>', for error messages, and the line
    without its end (LF or CRLF); a byte-order mark at the start is dropped.
    Only line feeds end a line: other Unicode separators are text.

  Raises:
    ValueError: for bytes that are not UTF-8, for a damaged gzip file, and for
      a start that is not between two lines.
    OSError: where the file cannot be read.
  """
  compressed = str(path).endswith('.gz')
  offset, number = start
  try:
    with (
      open(path, 'rb') as file,
      gzip.open(file) if compressed else file as lines,
    ):
      _go_to(lines, start, path)
      for number, raw in enumerate(lines, start=start.line + 1):
        offset += len(raw)
        if on_position is not None:
          on_position(file.tell())
        if on_cursor is not None:
          on_cursor(Cursor(offset, number))
        place = f'{path}, line {number}'
        try:
          line = raw.decode('utf-8-sig' if number == 1 else 'utf-8')
        except UnicodeDecodeError as error:
          raise ValueError(
            f'{place}: expected UTF-8, found the byte '
            f'0x{raw[error.start]:02x}; convert the file to UTF-8.'
          ) from error
        line = line.removesuffix('\n').removesuffix('\r')
        if line.strip(' '):
          yield place, line
  except (gzip.BadGzipFile, EOFError, zlib.error) as error:
    raise ValueError(
      f'{path}: the gzip data are damaged or cut short after line {number} '
      f'({error}); fetch or write the file again.'
    ) from error


def _go_to(
  lines: BinaryIO | gzip.GzipFile, start: Cursor, path: PathLike
) -> None:
  if start == START:
    return
  lines.seek(max(start.offset - 1, 0))
  before = lines.read(1)
  if min(start) > 0 and (before == b'\n' or (before and not lines.read(1))):
    return  # behind a line, or behind the last one, which may lack its end
  raise ValueError(
    f'{path}: expected a start between two lines, found none at byte '
    f'{start.offset:,}, line {start.line:,}; take a cursor of the same file.'
  )


def file_state(path: PathLike | None) -> tuple[str | int, ...]:
  """What changes when a file does; what is no file has its name only."""
  file = pathlib.Path(str(path))
  if path is None or not file.is_file():
    return (str(path),)
  state = file.stat()
  return (str(path), state.st_size, state.st_mtime_ns)


def write_text(path: PathLike, text: str) -> None:
  """Writes `text` as UTF-8 under a temporary name, then renames it to `path`.

  The folder is made where it is missing. A reader sees the old file or the
  whole new one; an error leaves the old one as it was.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(handle, 'w', encoding='utf-8', newline='') as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    # mkstemp makes private files; give this one the ordinary permissions.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    os.replace(temporary, path)
  except BaseException:
    pathlib.Path(temporary).unlink(missing_ok=True)
    raise
