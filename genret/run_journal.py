# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A journal of answers: a search that was killed goes on where it stopped.

A file of JSON lines beside the output. The first line says of which search it
is; each other line is one whole batch, `{"first": 64, "answers": [[qid, [hit,
...]], ...]}`, `first` the number of queries before it. A line that is cut short
or damaged ends what is done: it and all behind it are searched again. Only whole
batches count, since what a query is decoded with may show in the last digits of
its scores; a search that goes on forms the batches that it would have formed.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO

from genret.corpus import Query
from genret.runs import Hit, Match, Span
from genret.text_files import PathLike

VERSION = 1

# How a message calls what two searches may differ in.
_WORDS = {
  'journal': 'version of genret',
  'fingerprint': 'run',
  'queries': 'queries',
  'number': 'queries',
  'k': 'number of hits',
  'batch_size': 'size of batches',
  'evidence': 'use of --explain or --html',
  'keys': '--beams or --option keys',
  'scoring': '--option scoring',
}

Answer = tuple[str, list[Hit]]


def header(
  fingerprint: str,
  queries: Sequence[Query],
  *,
  k: int,
  batch_size: int,
  options: Mapping[str, int | str | None] | None = None,
) -> dict[str, Any]:
  """What tells one search from another.

  Args:
    fingerprint: of model, index and settings, such as `Searcher.fingerprint`.
    queries: in the order of the search.
    k: hits wanted.
    batch_size: queries decoded at a time.
    options: whatever else the answers depend on, by the name a user knows.
  """
  digest = hashlib.sha256()
  for query in queries:
    for field in (query.query_id, query.text):
      data = field.encode('utf-8', 'surrogatepass')
      digest.update(len(data).to_bytes(8, 'little'))
      digest.update(data)
  return {
    'journal': VERSION,
    'fingerprint': fingerprint,
    'queries': digest.hexdigest(),
    'number': len(queries),
    'k': k,
    'batch_size': batch_size,
    **(options or {}),
  }


class Journal:
  """An open journal, which no other process can open meanwhile.

  Texts of hits are not kept, since the documents have them; everything else
  comes back as it was.

  Attributes:
    path: the file.
    done: answers that it holds.
  """

  def __init__(
    self, path: PathLike, header: Mapping[str, Any], *, restart: bool = False
  ) -> None:
    """Opens the journal of a search, or starts one.

    Args:
      path: the file; its folder exists.
      header: of the search, from `header`.
      restart: drop what a file of that name holds.

    Raises:
      ValueError: where the file belongs to another search, is no journal, or
        is being written by another process.
    """
    self.path = pathlib.Path(path)
    self.done = 0
    self._header = dict(header)
    self._file = open(self.path, 'a+b')  # noqa: SIM115, closed by `close`
    try:
      _lock(self._file, self.path)
      if restart:
        self._file.truncate(0)
      self._resume()
    except BaseException:
      self._file.close()
      raise

  def __enter__(self) -> Journal:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.close()

  def close(self) -> None:
    """Lets go of the file."""
    self._file.close()

  def remove(self) -> None:
    """Deletes the file, once what it was kept for is written."""
    self.path.unlink(missing_ok=True)
    self.close()

  def record(self, answers: Iterable[Answer]) -> None:
    """Writes answers as they come, batch by batch.

    Args:
      answers: to the queries from number `done` on, in order.

    Raises:
      ValueError: if there are fewer or more than the search has queries.
    """
    answers = iter(answers)
    while batch := list(itertools.islice(answers, self._batch_at(self.done))):
      rows = [[qid, [_hit_row(hit) for hit in hits]] for qid, hits in batch]
      self._append({'first': self.done, 'answers': rows})
      self.done += len(batch)
    if self.done != self._header['number'] or next(answers, None) is not None:
      raise ValueError(
        f'Expected answers to {self._header["number"]} queries, got '
        f'{"more" if self.done == self._header["number"] else self.done}; '
        'search each query once.'
      )

  def answers(self) -> Iterator[Answer]:
    """Reads what is there, one batch in memory at a time."""
    with open(self.path, 'rb') as lines:
      next(lines, None)
      done = 0
      for line in lines:
        rows = _batch(line, done, self._batch_at(done))
        if rows is None:
          return
        done += len(rows)
        for query_id, hits in rows:
          yield query_id, [_hit(row) for row in hits]

  def _batch_at(self, first: int) -> int:
    """Queries in the batch that begins with number `first`."""
    left = self._header['number'] - first
    return int(min(self._header['batch_size'], left))

  def _append(self, row: Mapping[str, Any]) -> None:
    self._file.write(json.dumps(row, separators=(',', ':')).encode() + b'\n')
    self._file.flush()

  def _resume(self) -> None:
    """Checks whose journal this is, and cuts off what is not whole."""
    self._file.seek(0)
    first = self._file.readline()
    ours = json.dumps(self._header, separators=(',', ':')).encode() + b'\n'
    if first != ours:
      # Killed within its first line, it says nothing yet.
      if not ours.startswith(first):
        raise ValueError(_of_another(self.path, first, self._header))
      self._file.truncate(0)
      self._append(self._header)
      return
    whole = len(first)
    for line in self._file:
      rows = _batch(line, self.done, self._batch_at(self.done))
      if rows is None:
        break
      self.done += len(rows)
      whole += len(line)
    self._file.truncate(whole)


def _batch(line: bytes, first: int, size: int) -> list[Any] | None:
  """The rows of a whole line, or None for one that cannot be believed."""
  if not line.endswith(b'\n'):
    return None
  try:
    row = json.loads(line)
    rows = row['answers']
    if row['first'] != first or not 0 < len(rows) == size:
      return None
  except (ValueError, TypeError, KeyError, RecursionError):
    return None
  return rows if isinstance(rows, list) else None


def _of_another(
  path: pathlib.Path, line: bytes, ours: Mapping[str, Any]
) -> str:
  """What to say of a file that begins with another header than ours."""
  try:
    theirs = json.loads(line)
  except ValueError:
    theirs = None
  if not isinstance(theirs, dict) or 'journal' not in theirs:
    return (
      f'Expected the journal of an interrupted search in {path}, found '
      'something else; move the file away, or drop it with --restart.'
    )
  names = [
    _WORDS.get(name, f'--{name}')
    for name in {**ours, **theirs}
    if ours.get(name) != theirs.get(name)
  ]
  what = ' and '.join(dict.fromkeys(names)) or 'header'
  return (
    f'Expected {path} to be of this search, it is of one with another {what}; '
    'finish that one as it was begun, or drop what it found with --restart.'
  )


def _lock(file: BinaryIO, path: pathlib.Path) -> None:
  """Keeps other processes out until the file is closed, where that works."""
  try:
    import fcntl
  except ImportError:  # not POSIX
    return
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    # Some network file systems have no locks.
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
      raise ValueError(
        f'Expected to write {path} alone, another process is at it; wait for '
        'that search, or give another --output.'
      ) from error


def _hit_row(hit: Hit) -> list[Any]:
  return [hit.doc_id, float(hit.score), [_match_row(m) for m in hit.matches]]


def _match_row(match: Match) -> list[Any]:
  return [
    match.text,
    [int(token) for token in match.tokens],
    int(match.count),
    float(match.log_probability),
    float(match.contribution),
    [[s.view, int(s.start), int(s.end), int(s.offset)] for s in match.spans],
  ]


def _hit(row: list[Any]) -> Hit:
  doc_id, score, matches = row
  return Hit(doc_id, score, matches=tuple(_match(match) for match in matches))


def _match(row: list[Any]) -> Match:
  text, tokens, count, log_probability, contribution, spans = row
  return Match(
    text,
    tuple(tokens),
    count,
    log_probability,
    contribution,
    tuple(Span(*span) for span in spans),
  )
