# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A folder of public files under the names that they were published with."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

from tqdm import tqdm

from genret.text_files import PathLike, read_lines


@dataclasses.dataclass(frozen=True)
class PublicFiles:
  """Where the files of a data set are.

  Attributes:
    folder: holds them under their own names, plain or .gz.
    progress: show a bar for each file that is read.
  """

  folder: PathLike
  progress: bool = False

  def find(self, *patterns: str) -> list[pathlib.Path]:
    """The files of the one pattern that some file has a name of, by name.

    Args:
      *patterns: of names under the folder, such as 'nq-train-??.jsonl'; a name
        may end in .gz as well.

    Raises:
      FileNotFoundError: no file fits.
      ValueError: files fit several patterns, or one is there twice, plain and
        compressed.
    """
    folder = pathlib.Path(self.folder)
    if not folder.is_dir():
      raise FileNotFoundError(
        f'Expected a folder with the public files, found no folder {folder}; '
        'check the path.'
      )
    found = [
      files
      for pattern in patterns
      if (files := [*folder.glob(pattern), *folder.glob(f'{pattern}.gz')])
    ]
    names = ' or '.join(patterns)
    if not found:
      raise FileNotFoundError(
        f'Expected {names} (plain or .gz) in {folder}, found neither; '
        'docs/corpora.md says what to download.'
      )
    files = sorted(file for group in found for file in group)
    plain = {file.with_name(file.name.removesuffix('.gz')) for file in files}
    if len(found) > 1 or len(plain) < len(files):
      raise ValueError(
        f'Expected one of {names} in {folder}, plain or .gz, found '
        f'{", ".join(file.name for file in files)}; move the others away.'
      )
    return files

  def lines(self, *patterns: str) -> Iterator[tuple[str, str]]:
    """Yields (place, line) of the files that `find` finds.

    Raises:
      ValueError: as `find` and `read_lines` do, and for a file without lines.
    """
    for file in self.find(*patterns):
      size, some = file.stat().st_size, False
      with tqdm(
        desc=file.name,
        total=size,
        unit='B',
        unit_scale=True,
        disable=not self.progress,
      ) as bar:
        advance = functools.partial(_advance, bar)
        for place, line in read_lines(file, on_position=advance):
          some = True
          yield place, line
      if not some:
        raise ValueError(
          f'{file}: expected lines, found an empty file; download it again.'
        )

  def cells(
    self, columns: str, *patterns: str
  ) -> Iterator[tuple[str, list[str]]]:
    """Yields (place, cells) of files of tab-separated lines.

    Args:
      columns: their names, such as 'qid<TAB>query'.
      *patterns: as for `find`.

    Raises:
      ValueError: as `lines`, and for another number of cells or an empty first
        one.
    """
    count = len(columns.split('<TAB>'))
    for place, line in self.lines(*patterns):
      cells = line.split('\t')
      if len(cells) != count or not cells[0].strip():
        raise ValueError(
          f'{place}: expected {columns}, found {len(cells)} '
          f'column{"s" * (len(cells) != 1)} that begin with '
          f'{cells[0][:40]!r}; download the file again.'
        )
      yield place, cells


def _advance(bar: tqdm, position: int) -> None:
  bar.update(position - bar.n)
