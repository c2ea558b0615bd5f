# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Which texts hold a query that is kept for testing, or a long run of its words.

Examples that are made from the text of a corpus may be test queries with their
answers, where queries were taken from that text. The rule is the one that the
training data of language models are cleaned by: a shared run of 13 words (Brown
et al., NeurIPS 2020, appendix C). A shorter query counts where all of it stands in
a text. A sentence that was cut elsewhere is still found, unless less than such a
run of it is left.
"""

import hashlib
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from genret import corpus
from genret.text_files import PathLike

RUN = 13

# Names and phrases of fewer words stand in many texts that tell nothing.
LEAST = 5

_WORD = re.compile(r'\w+')


class WithheldQueries:
  """Runs of words of queries.

  Words are runs of letters, digits and underscores in Unicode's form NFKC, case
  folded: punctuation, marks of lists and white space do not count.

  Attributes:
    queries: how many there are.
    short: those of fewer than LEAST words, which no text is tested for.
    hash: sha256 (hex) of their words.
  """

  def __init__(self, texts: Iterable[str]) -> None:
    self.queries = self.short = 0
    digest = hashlib.sha256()
    self._runs: dict[int, set[tuple[str, ...]]] = {}
    for text in texts:
      words = _words(text)
      digest.update(f'{" ".join(words)}\n'.encode())
      self.queries += 1
      self.short += len(words) < LEAST
      if len(words) >= LEAST:
        length = min(len(words), RUN)
        self._runs.setdefault(length, set()).update(_runs(words, length))
    self.hash = digest.hexdigest()
    # Most texts hold not even the first words of a run: one test for all.
    self._starts = {run[:LEAST] for of in self._runs.values() for run in of}

  def found_in(self, text: str) -> bool:
    """Whether a text has a run of RUN words of a query, or a whole shorter one."""
    if not self._starts:
      return False
    words = _words(text)
    if self._starts.isdisjoint(_runs(words, LEAST)):
      return False
    return any(
      not runs.isdisjoint(_runs(words, length))
      for length, runs in self._runs.items()
    )


def read_withheld(
  path: PathLike | None, splits: Sequence[str] = ()
) -> WithheldQueries:
  """The queries of some splits.

  Args:
    path: a BEIR folder, or one with task files of KILT (then 'nq-dev' is the
      split of nq-dev-kilt.jsonl), whose documents are not read; or a file of
      queries, all of which are meant; None for no queries.
    splits: of a folder.

  Raises:
    ValueError: for a split that is not there, none for a folder, some for a file.
  """
  return WithheldQueries(_texts(path, splits))


def _texts(path: PathLike | None, splits: Sequence[str]) -> list[str]:
  if path is None:
    return []
  folder = pathlib.Path(corpus.resolve(path))
  if folder.is_dir() != bool(splits):
    raise ValueError(
      f'Expected a folder and splits of it, or a file of queries alone, got {path} '
      f'and the splits {list(splits)}; name the queries to withhold.'
    )
  if not splits:
    return [query.text for query in corpus.read_queries(folder)]
  found = []
  for split in splits:
    file = _split_file(folder, split)
    if file.parent == folder:  # a task file of KILT, which is its own queries
      found += [query.text for query in corpus.read_queries(file)]
    else:
      judged = corpus.read_qrels(file)
      queries = corpus.read_queries(folder)
      found += [query.text for query in queries if query.query_id in judged]
  return found


def _split_file(folder: pathlib.Path, split: str) -> pathlib.Path:
  """The judgements of a split, or its task file."""
  names = (f'qrels/{split}.tsv', f'{split}-kilt.jsonl')
  for name in names:
    for ending in ('', '.gz'):
      if (file := folder / f'{name}{ending}').is_file():
        return file
  raise ValueError(
    f'Expected {" or ".join(names)} (plain or .gz) in {folder}, found neither; '
    'name a split that is there.'
  )


def _words(text: str) -> list[str]:
  return _WORD.findall(unicodedata.normalize('NFKC', text).casefold())


def _runs(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
  return zip(*(words[start:] for start in range(length)), strict=False)
