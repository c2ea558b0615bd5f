# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What tells a build of identifiers from others: its settings and its corpus."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genret import array_folder, vector_files
from genret import vocabulary as vocabulary_lib
from genret.corpus import Collection
from genret.text_files import PathLike


def of_build(
  collection: Collection,
  *,
  scheme: str,
  vocabulary: PathLike | None,
  vocabulary_size: int,
  text_tokens: int | None,
  queries_split: str | None,
  unseen_share: float,
  unseen_seed: int,
  dimensions: int,
  vectors: np.ndarray | None,
  seed: int,
  options: Mapping[str, Any],
  extends: str | None = None,
) -> dict[str, Any]:
  """What a build is determined by, for the metadata of its table.

  Args:
    collection: the corpus.
    scheme: as `build.build` takes it, and what follows.
    vocabulary: likewise.
    vocabulary_size: likewise.
    text_tokens: likewise.
    queries_split: likewise.
    unseen_share: likewise.
    unseen_seed: likewise.
    dimensions: likewise.
    vectors: likewise.
    seed: likewise.
    options: likewise; of files that they name, the content counts.
    extends: hash of the table that was extended.
  """
  if vocabulary is not None:
    vocabulary_lib.load_vocabulary(vocabulary)  # Or an error that says more.
  queries = collection.queries_by_document(
    queries_split, unseen_share=unseen_share, unseen_seed=unseen_seed
  )
  text = json.dumps(list(queries.items())) if queries_split else ''
  return {
    'scheme': scheme,
    'options': dict(options),
    'seed': seed,
    'corpus_hash': collection.hash,
    'settings': {
      'vocabulary': vocabulary and vocabulary_lib.vocabulary_hash(vocabulary),
      'vocabulary_size': vocabulary_size if vocabulary is None else None,
      'text_tokens': text_tokens,
      'queries_split': queries_split,
      'unseen_share': unseen_share,
      'unseen_seed': unseen_seed,
      'queries': text and hashlib.sha256(text.encode()).hexdigest(),
      'dimensions': dimensions,
      'vectors': None
      if vectors is None
      else vector_files.content_hash(vectors),
      'vector_width': None if vectors is None else int(vectors.shape[1]),
      'files': {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, value in options.items()
        if (path := _file_of(value)) is not None
      },
      'extends': extends,
    },
  }


def _file_of(value: Any) -> Path | None:
  """The file whose content an option stands for; of a folder its header."""
  if not isinstance(value, str) or not value:
    return None
  for path in (Path(value), Path(value) / array_folder.HEADER):
    if path.is_file():
      return path
  return None


def check_same(
  known: Mapping[str, Any], wanted: Mapping[str, Any], folder: PathLike
) -> None:
  """Refuses a folder that holds another build.

  Args:
    known: metadata of what the folder holds.
    wanted: what `of_build` gives.
    folder: for the error.

  Raises:
    ValueError: naming what differs.
  """
  known, wanted = _flat(known), _flat(wanted)
  for name, value in wanted.items():
    if name not in known or known[name] != value:
      raise ValueError(
        f'Expected the build of {name}={value!r} in {folder}, it holds one of '
        f'{known.get(name, "something else")!r}; name another folder, or remove '
        'it.'
      )


def _flat(meta: Mapping[str, Any]) -> dict[str, Any]:
  """What tells a build from others; of files the content, not the path."""
  if 'settings' not in meta:
    return {}
  meta = json.loads(json.dumps(meta))
  settings = meta['settings']
  options = meta['options']
  return {
    **{name: meta[name] for name in ('scheme', 'seed', 'corpus_hash')},
    'options': {k: v for k, v in options.items() if k not in settings['files']},
    **settings,
  }
