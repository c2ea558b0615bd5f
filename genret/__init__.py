# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Generative retrieval: a model that writes the identifiers of documents.

The names below are what other programs rely on. Each is imported when it is
first used (PEP 562), so `import genret` itself costs nothing and needs neither
JAX nor NumPy.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = '0.1.0'

if TYPE_CHECKING:
  from genret.constraints.combine import (
    end_at,
    limit_length,
    start_after,
    with_prefix,
  )
  from genret.constraints.fm_index import FMIndex
  from genret.constraints.repeated import repeated
  from genret.constraints.side_by_side import side_by_side
  from genret.constraints.trie import Trie
  from genret.decoding.beam import beam_search
  from genret.decoding.sample import constrained_sample
  from genret.docids.table import DocidTable
  from genret.searcher import Searcher

_MODULE_OF = {
  'DocidTable': 'genret.docids.table',
  'FMIndex': 'genret.constraints.fm_index',
  'Searcher': 'genret.searcher',
  'Trie': 'genret.constraints.trie',
  'beam_search': 'genret.decoding.beam',
  'constrained_sample': 'genret.decoding.sample',
  'end_at': 'genret.constraints.combine',
  'limit_length': 'genret.constraints.combine',
  'repeated': 'genret.constraints.repeated',
  'side_by_side': 'genret.constraints.side_by_side',
  'start_after': 'genret.constraints.combine',
  'with_prefix': 'genret.constraints.combine',
}

__all__ = [
  'DocidTable',
  'FMIndex',
  'Searcher',
  'Trie',
  '__version__',
  'beam_search',
  'constrained_sample',
  'end_at',
  'limit_length',
  'repeated',
  'side_by_side',
  'start_after',
  'with_prefix',
]


def __getattr__(name: str) -> Any:
  """Imports a public name on first use and keeps it for the next."""
  if name not in _MODULE_OF:
    raise AttributeError(
      f'module genret has no attribute {name!r}; its public names are '
      f'{", ".join(sorted(_MODULE_OF))}.'
    )
  value = getattr(importlib.import_module(_MODULE_OF[name]), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return list(__all__)
