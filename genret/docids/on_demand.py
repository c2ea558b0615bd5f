# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifiers that an experiment file describes: built unless they are there."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from genret import (
  array_folder,
  embeddings,
  process_locks,
  text_files,
  vector_files,
)
from genret import vocabulary as vocabulary_lib
from genret.corpus import load_collection, resolve
from genret.docids import build, identity
from genret.docids import table as table_lib
from genret.docids.table import DocidTable
from genret.text_files import PathLike

# The state in which `from_corpus` found or left each folder.
_FOUND: dict[str, str] = {}


def from_corpus(
  corpus: PathLike,
  output: PathLike,
  *,
  scheme: str = 'atomic',
  vocabulary: PathLike | None = None,
  vocabulary_size: int = 8000,
  text_tokens: int | None = None,
  queries_split: str | None = None,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  dimensions: int = 512,
  vectors: PathLike | None = None,
  seed: int = 0,
  options: Mapping[str, Any] | None = None,
) -> str:
  """The folder of a corpus's identifiers, which are built unless they are there.

  For experiment files, where it may be called at every use of a macro:

      DOCIDS = @on_demand.from_corpus()
      on_demand.from_corpus:
        corpus = %CORPUS
        output = 'docids/mine'
        scheme = 'rq-kmeans'

  A build that was interrupted is done again. Processes of one machine wait for
  the one that builds; on several machines build beforehand.

  Args:
    corpus: as `corpus.load_collection` takes it.
    output: the folder.
    scheme: as `build.build` takes it, and all others but vectors.
    vocabulary: likewise.
    vocabulary_size: likewise.
    text_tokens: likewise.
    queries_split: likewise.
    unseen_share: likewise.
    unseen_seed: likewise.
    dimensions: likewise.
    vectors: an .npy file of document vectors.
    seed: likewise.
    options: likewise.

  Returns:
    `output`.

  Raises:
    ValueError: if the folder holds another build, which is left as it is, and as
      `build.build` does.
  """
  options = dict(options or {})
  arguments: dict[str, Any] = {
    'scheme': scheme,
    'vocabulary': vocabulary,
    'vocabulary_size': vocabulary_size,
    'text_tokens': text_tokens,
    'queries_split': queries_split,
    'unseen_share': unseen_share,
    'unseen_seed': unseen_seed,
    'dimensions': dimensions,
    'seed': seed,
    'options': options,
  }
  output = os.fspath(output)

  def state() -> str:
    """What changes when the arguments, or the files they name, do."""
    files = [*_corpus_files(corpus), vocabulary, vectors, *options.values()]
    files.append(Path(output) / array_folder.HEADER)
    return repr((arguments, [text_files.file_state(file) for file in files]))

  if _FOUND.get(output) == state():
    return output
  collection = load_collection(corpus)
  arguments['vectors'] = None if vectors is None else vector_files.read(vectors)
  build.check_options(scheme, options)
  with process_locks.only_process(output):
    if not _is_built(output, identity.of_build(collection, **arguments)):
      build.build(collection, output, **arguments)
  del arguments['vectors']
  _FOUND[output] = state()
  return output


def _corpus_files(corpus: PathLike) -> list[Path]:
  """The files that a collection is read from; none where it is no path."""
  path = Path(resolve(corpus))
  if path.is_dir():
    return sorted(file for file in path.rglob('*') if file.is_file())
  return [path]


def _is_built(output: str, wanted: Mapping[str, Any]) -> bool:
  """Whether a folder holds the whole of a build; refuses another build."""
  if not (Path(output) / array_folder.HEADER).exists():
    return False
  kind, header = array_folder.read_meta(output)
  known = header['meta'] if kind == table_lib.KIND else {}
  identity.check_same(known, wanted, output)
  with suppress(ValueError, FileNotFoundError):
    table = DocidTable.load(output)
    vocabulary_lib.load_vocabulary(output, table.meta)
    embeddings.load(output)
    return True
  return False
