# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Folders of arrays: one `.npy` file an array and a checked JSON header.

Everything genret stores (identifier tables, tries, indexes) is such a folder.
The header names the kind of content, its format version, small metadata and,
for each array, its file, shape, dtype and checksum. A folder is only as good as
its header, and the header arrives last and whole: a save that is killed leaves
either what was there before or nothing that loads.

A file is checked as it is opened: its size, its shape and its checksum. Of files
above 64 MiB, which are mapped and may be larger than memory, only pages spread
over the whole file are read, unless all is asked for.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

HEADER = 'header.json'

# Larger files are sampled: so many pages of so many bytes.
LARGE = 64 << 20
_PAGES, _PAGE = 256, 4096


def save(
  path: str | os.PathLike[str],
  *,
  kind: str,
  version: int,
  arrays: Mapping[str, np.ndarray],
  meta: Mapping[str, Any],
) -> None:
  """Writes `arrays` and `meta` to the folder `path`.

  A folder of the same kind is replaced; its other files (a tokenizer beside an
  identifier table, say) stay. Files are staged in a sibling folder and moved in,
  the header last, so that readers never see a mixture.

  Args:
    path: folder to write; its parents are made.
    kind: what the folder holds, in one word; checked by `load`.
    version: format version of that kind; checked by `load`.
    arrays: named arrays of numbers.
    meta: what JSON can hold.

  Raises:
    ValueError: `path` holds something else, or an array is not of numbers.
  """
  path = pathlib.Path(path)
  old_files = _files_of_same_kind(path, kind)
  path.parent.mkdir(parents=True, exist_ok=True)
  staging = pathlib.Path(
    tempfile.mkdtemp(prefix=f'.{path.name}-', suffix='.tmp', dir=path.parent)
  )
  try:
    files = {name: _free_name(path, name) for name in arrays}
    entries = {
      name: _write_array(staging / files[name], name, np.asarray(array))
      for name, array in arrays.items()
    }
    body = {
      'kind': kind,
      'version': version,
      'meta': dict(meta),
      'arrays': entries,
    }
    header = json.dumps({**body, 'checksum': _checksum(body)}, indent=1)
    _write_bytes(staging / HEADER, header.encode())
    if path.exists():
      for file in files.values():
        os.replace(staging / file, path / file)
      _sync_folder(path)
      os.replace(staging / HEADER, path / HEADER)
      _sync_folder(path)
      for file in {*old_files, *_left_behind(path, arrays)} - {*files.values()}:
        (path / file).unlink(missing_ok=True)
    else:
      staging.chmod(0o777 & ~_umask())
      _sync_folder(staging)
      os.rename(staging, path)
    _sync_folder(path.parent)
  finally:
    shutil.rmtree(staging, ignore_errors=True)


def load(
  path: str | os.PathLike[str],
  *,
  kind: str,
  version: int,
  mmap: bool = True,
  every_byte: bool = False,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Returns the arrays and the metadata of a folder written by `save`.

  Args:
    path: the folder.
    kind: the kind it must hold.
    version: the format version it must have.
    mmap: map the arrays into memory, read-only, instead of copying them.
    every_byte: check large files whole, too, at the speed of the disk.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: the folder is foreign, damaged or of another version.
  """
  path = pathlib.Path(path)
  header = _read_header(path)
  if header['kind'] != kind:
    raise ValueError(
      f'Expected a folder of kind {kind!r} but {path} holds '
      f'{header["kind"]!r}; give the folder that {kind!r} was saved to.'
    )
  if header['version'] != version:
    raise ValueError(
      f'Expected format version {version} of {kind!r} but {path} has version '
      f'{header["version"]}; build it again with this version of genret.'
    )
  arrays = {
    name: _read_array(path / entry['file'], entry, mmap, every_byte)
    for name, entry in header['arrays'].items()
  }
  return arrays, header['meta']


def write_npy(path: str | os.PathLike[str], array: np.ndarray) -> None:
  """Writes one array as a .npy file that is whole or not there.

  Args:
    path: the file, in a folder that is there.
    array: of numbers.

  Raises:
    ValueError: if the array is not of numbers.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  try:
    _write_npy(temporary, path.stem, array)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def read_meta(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
  """What kind of content a folder holds, and its metadata; no array is read.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: it has no header, or a damaged one.
  """
  header = _read_header(pathlib.Path(path))
  return header['kind'], header['meta']


def pack_text(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
  """Texts as arrays: their UTF-8 bytes, and where each begins, with the end."""
  encoded = [text.encode('utf-8', 'surrogatepass') for text in texts]
  offsets = np.zeros(len(encoded) + 1, np.int64)
  offsets[1:] = np.cumsum([len(text) for text in encoded], dtype=np.int64)
  return np.frombuffer(b''.join(encoded), np.uint8), offsets


def unpack_text(text: np.ndarray, offsets: np.ndarray) -> list[str]:
  """The texts that `pack_text` packed."""
  joined = text.tobytes()
  return [
    joined[start:end].decode('utf-8', 'surrogatepass')
    for start, end in itertools.pairwise(offsets.tolist())
  ]


def _files_of_same_kind(path: pathlib.Path, kind: str) -> list[str]:
  """The array files that a new save to `path` makes useless."""
  if not path.exists():
    return []
  if not path.is_dir():
    raise ValueError(
      f'Expected a folder to save {kind!r} to but {path} is a file; give '
      'another path.'
    )
  if not (path / HEADER).exists():
    return []
  try:
    header = _read_header(path)
  except ValueError as error:
    raise ValueError(
      f'Expected a folder of kind {kind!r} to replace but {path} has an '
      f'unreadable {HEADER}; remove it or give another path.'
    ) from error
  if header['kind'] != kind:
    raise ValueError(
      f'Expected a folder of kind {kind!r} to replace but {path} holds '
      f'{header["kind"]!r}; give another path.'
    )
  return [entry['file'] for entry in header['arrays'].values()]


def _free_name(path: pathlib.Path, name: str) -> str:
  """`name.npy`, or `name.N.npy` while the folder still needs the first."""
  if not name.replace('_', '').isalnum():
    raise ValueError(
      f'Expected an array name of letters, digits and _ but got {name!r}; '
      'rename the array.'
    )
  file, number = f'{name}.npy', 0
  while (path / file).exists():
    number += 1
    file = f'{name}.{number}.npy'
  return file


def _left_behind(path: pathlib.Path, names: Iterable[str]) -> list[str]:
  """Numbered files of arrays of these names: who else writes such?"""
  ours = re.compile(rf'({"|".join(names)})\.[0-9]+\.npy')
  return [file for file in os.listdir(path) if ours.fullmatch(file)]


def _write_npy(file: pathlib.Path, name: str, array: np.ndarray) -> None:
  if array.dtype.kind not in 'biuf':
    raise ValueError(
      f'Expected numbers in array {name!r} but got dtype {array.dtype}; store '
      'text as bytes and offsets.'
    )
  with open(file, 'wb') as out:
    np.save(out, array, allow_pickle=False)
    out.flush()
    os.fsync(out.fileno())


def _write_array(
  file: pathlib.Path, name: str, array: np.ndarray
) -> dict[str, Any]:
  _write_npy(file, name, array)
  return {
    'file': file.name,
    'shape': list(array.shape),
    'dtype': array.dtype.str,
    'bytes': file.stat().st_size,
    'checksum': _file_checksum(file),
    'sample': _sample_checksum(file),
  }


def _read_array(
  file: pathlib.Path, entry: Mapping[str, Any], mmap: bool, every_byte: bool
) -> np.ndarray:
  if not file.exists():
    raise ValueError(
      f'Expected the array file {file} but it is missing; build the folder '
      'again.'
    )
  size = file.stat().st_size
  # A header of the first version has no sizes and no samples.
  whole = every_byte or size <= LARGE or 'sample' not in entry
  sound = size == entry.get('bytes', size) and (
    _file_checksum(file) == entry['checksum']
    if whole
    else _sample_checksum(file) == entry['sample']
  )
  if not sound:
    raise ValueError(
      f'Expected {file} to match the checksum in {HEADER} but it does not: it '
      'is damaged or truncated; build the folder again.'
    )
  # An empty file cannot be mapped.
  mapped = mmap and 0 not in entry['shape']
  array = np.load(file, mmap_mode='r' if mapped else None, allow_pickle=False)
  if list(array.shape) != entry['shape'] or array.dtype.str != entry['dtype']:
    raise ValueError(
      f'Expected {entry["dtype"]}{entry["shape"]} in {file} but found '
      f'{array.dtype.str}{list(array.shape)}; build the folder again.'
    )
  return array


def _read_header(path: pathlib.Path) -> dict[str, Any]:
  if not path.is_dir():
    raise FileNotFoundError(
      f'Expected a saved folder at {path} but there is none; check the path.'
    )
  if not (path / HEADER).exists():
    raise ValueError(
      f'Expected {HEADER} in {path} but there is none: it is not a genret '
      'folder or its build was interrupted; build it again.'
    )
  try:
    header = json.loads((path / HEADER).read_bytes())
    checksum = header.pop('checksum')
    damaged = checksum != _checksum(header)
  except (ValueError, KeyError, TypeError, AttributeError):
    damaged = True
  if damaged:
    raise ValueError(
      f'Expected a genret header in {path / HEADER} but it is foreign or '
      'damaged; build the folder again.'
    )
  return header


def _checksum(body: Mapping[str, Any]) -> str:
  text = json.dumps(body, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _file_checksum(file: pathlib.Path) -> str:
  with open(file, 'rb') as source:
    return hashlib.file_digest(source, 'sha256').hexdigest()


def _sample_checksum(file: pathlib.Path) -> str:
  """Of pages spread evenly from the first bytes to the last."""
  digest = hashlib.sha256()
  last = max(file.stat().st_size - _PAGE, 0)
  with open(file, 'rb') as source:
    for page in range(_PAGES):
      source.seek(last * page // (_PAGES - 1))
      digest.update(source.read(_PAGE))
  return digest.hexdigest()


def _write_bytes(file: pathlib.Path, content: bytes) -> None:
  with open(file, 'wb') as out:
    out.write(content)
    out.flush()
    os.fsync(out.fileno())


def _sync_folder(path: pathlib.Path) -> None:
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _umask() -> int:
  mask = os.umask(0)
  os.umask(mask)
  return mask
