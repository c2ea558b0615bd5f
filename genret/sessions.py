# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A corpus that comes in parts: a base, and sessions that add documents to it.

CorpusBrain++ (Guo et al., 2024, https://arxiv.org/abs/2402.16767) splits the pages
of KILT 60/10/10/10/10, with seed 42. Session 0 is the base; after session t the
documents of sessions 0 to t are searched. Its released program shuffles the list of
pages and cuts it. Here a hash of seed and id decides each document by itself: it
stays where it is whatever the order and however the corpus grows, and so the shares
hold in expectation. `listed` takes the lists of the release.
"""

import bisect
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence

from genret import unseen
from genret.text_files import PathLike, read_lines

SHARES = (0.6, 0.1, 0.1, 0.1, 0.1)
SEED = 42


@dataclasses.dataclass(frozen=True)
class Sessions:
  """Which session each document belongs to.

  Attributes:
    count: of the sessions, the base among them.
    of: the session of a document id, 0 for the base; None for no document.
  """

  count: int
  of: Callable[[str], int | None]


def drawn(shares: Sequence[float] = SHARES, *, seed: int = SEED) -> Sessions:
  """Sessions by a hash of the id.

  Args:
    shares: of the base and of each later session; any id belongs to one.
    seed: another one draws other documents.

  Raises:
    ValueError: for shares that are no numbers above 0 that add up to 1.
  """
  if not all(share > 0 for share in shares) or not math.isclose(
    math.fsum(shares), 1, abs_tol=1e-6
  ):
    raise ValueError(
      'Expected shares above 0 that add up to 1, got '
      f'{", ".join(map(str, shares)) or "none"}; give the base and each session '
      'one.'
    )
  bounds = list(itertools.accumulate(shares))[:-1]

  def of(doc_id: str) -> int:
    part = unseen.fraction('session', seed, doc_id)
    return bisect.bisect_right(bounds, part)

  return Sessions(len(shares), of)


def listed(lists: Iterable[Iterable[str]]) -> Sessions:
  """Sessions by lists of ids, the base's first.

  Raises:
    ValueError: there is no list, or an id stands in two.
  """
  found: dict[str, int] = {}
  count = 0
  for number, doc_ids in enumerate(lists):
    count += 1
    for doc_id in doc_ids:
      if found.setdefault(doc_id, number) != number:
        raise ValueError(
          f'Expected each document in one session, {doc_id!r} is listed in '
          f'{found[doc_id]} and {number}; keep one of them.'
        )
  if not count:
    raise ValueError('Expected a list of ids for each session, got none.')
  return Sessions(count, found.get)


def read_list(path: PathLike) -> list[str]:
  """The ids of a file, one a line, plain or as JSON strings or integers.

  Raises:
    ValueError: naming file and line, for a line of several words.
    OSError: the file cannot be read.
  """
  found = []
  for place, line in read_lines(path):
    name = line.strip()
    if name.startswith('"'):
      try:
        name = str(json.loads(name)).strip()
      except ValueError:
        name = ''
    if len(name.split()) != 1:
      raise ValueError(
        f'{place}: expected one document id, found {line!r:.60}; write one a '
        'line.'
      )
    found.append(name)
  return found


def of_query(sessions: Sessions, doc_ids: Iterable[str]) -> int | None:
  """The session that a query belongs to: the latest of its gold documents'.

  From then on all of its evidence is searched. Where a query has several outputs,
  the evidence of all of them counts, as in the released program: one that could be
  answered earlier by one of its outputs waits for the others.

  Args:
    sessions: of the documents.
    doc_ids: of the evidence of all outputs; those in no session do not count.

  Returns:
    None for a query without evidence in any session.
  """
  found = (sessions.of(doc_id) for doc_id in doc_ids)
  return max(
    (session for session in found if session is not None), default=None
  )
