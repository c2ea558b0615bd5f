# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Why a document was found, in text: its n-grams and what each adds.

A hit of a model that writes n-grams (SEAL, Bevilacqua et al., NeurIPS 2022)
carries them as evidence, and what they contribute sums to its score. `table`
shows that to a person in a terminal, `write_evidence` to a program, and
`explain_page` in a browser.
"""

import itertools
import json
import math
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from genret.runs import Hit, Match, Span
from genret.text_files import PathLike

# Characters that move the cursor, or turn round what is written behind them.
_CONTROLS = re.compile('[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]+')
_HEADINGS = ('adds', 'share', 'count', 'log p', 'n-gram', 'where')


class Segment(NamedTuple):
  """A piece of a text and the matches that cover it, by number, best first."""

  start: int
  end: int
  matches: tuple[int, ...]


def segments(length: int, matches: Sequence[Match], view: str) -> list[Segment]:
  """Cuts a text where matches begin and end.

  Spans that reach out of the text are cut, empty ones are left out; where
  several lie over each other each of their pieces names all that cover it.

  Args:
    length: of the text, in characters.
    matches: their spans may overlap and repeat.
    view: which spans count, such as 'body'.

  Returns:
    Pieces that together are the text, neighbours of different matches.
  """
  # At each place, who begins there and who ends.
  changes: dict[int, list[tuple[int, int]]] = {0: [], length: []}
  for number, match in enumerate(matches):
    for span in match.spans:
      start, end = max(span.start, 0), min(span.end, length)
      if span.view == view and start < end:
        changes.setdefault(start, []).append((number, 1))
        changes.setdefault(end, []).append((number, -1))
  places = sorted(changes)
  found: list[Segment] = []
  open_spans: dict[int, int] = {}
  for start, end in itertools.pairwise(places):
    for number, change in changes[start]:
      open_spans[number] = open_spans.get(number, 0) + change
    covering = [number for number, count in open_spans.items() if count]
    covering.sort(key=lambda number: (-matches[number].contribution, number))
    if found and found[-1].matches == tuple(covering):
      start = found.pop().start
    found.append(Segment(start, end, tuple(covering)))
  return found


def share(contribution: float, score: float) -> str:
  """What part of a score that is, in percent; a dash where there is none."""
  if not (math.isfinite(contribution) and math.isfinite(score) and score):
    return '-'
  return f'{100 * contribution / score:.1f}%'


def places(spans: Sequence[Span], limit: int = 3) -> str:
  """Where spans lie, such as `title 0-12, body 40-52 (+2)`."""
  found, last = [], None
  for span in spans[:limit]:
    view = '' if span.view == last else f'{span.view} '
    found.append(f'{view}{span.start}-{span.end}')
    last = span.view
  more = f' (+{len(spans) - limit})' if len(spans) > limit else ''
  return ', '.join(found) + more


def printable(text: str, width: int | None = None) -> str:
  """A text in one line, without what would play tricks on a terminal.

  Args:
    text: any text.
    width: columns it may take; what is longer ends with '...'.
  """
  text = ' '.join(_CONTROLS.sub(' ', text).split())
  if width is None or _columns(text) <= width:
    return text
  while text and _columns(text) > width - 3:
    text = text[:-1]
  return text.rstrip() + '...'


def line(rank: int, hit: Hit) -> str:
  """A hit in one line: rank, score, document, text."""
  text = printable(hit.text, 100)
  return f'{rank:>3}  {hit.score:8.3f}  {printable(hit.doc_id)}  {text}'


def table(hit: Hit, limit: int = 20) -> str:
  """The n-grams of a hit as a table, greatest contribution first.

  Args:
    hit: with its matches; without any the table is empty.
    limit: rows; the others are summed up in one.
  """
  matches = sorted(hit.matches, key=lambda match: -match.contribution)
  rows = [_HEADINGS]
  for match in matches[:limit]:
    rows.append(
      (
        f'{match.contribution:.2f}',
        share(match.contribution, hit.score),
        f'{match.count:,}',
        f'{match.log_probability:.2f}',
        printable(match.text, 48),
        places(match.spans) or '-',
      )
    )
  rest, total = matches[limit:], contributions(matches)
  if rest:
    adds = contributions(rest)
    rows.append(
      (f'{adds:.2f}', share(adds, hit.score), '', '', f'{len(rest)} more', '')
    )
  number = f'sum of {len(matches)} n-gram{"s" * (len(matches) > 1)}'
  rows.append((f'{total:.2f}', share(total, hit.score), '', '', number, ''))
  return _aligned(rows, numbers=4)


def contributions(matches: Iterable[Match]) -> float:
  """What matches add together."""
  return sum(match.contribution for match in matches)


def evidence(query_id: str, rank: int, hit: Hit) -> dict[str, Any]:
  """A hit and its n-grams as JSON has them; null for what is not finite."""
  return {
    'qid': query_id,
    'rank': rank,
    'docid': hit.doc_id,
    'score': _finite(hit.score),
    'matches': [
      {
        'text': match.text,
        'tokens': [int(token) for token in match.tokens],
        'count': int(match.count),
        'log_probability': _finite(match.log_probability),
        'contribution': _finite(match.contribution),
        'spans': [
          {
            'view': span.view,
            'start': int(span.start),
            'end': int(span.end),
            'offset': int(span.offset),
          }
          for span in match.spans
        ],
      }
      for match in hit.matches
    ],
  }


def write_evidence(
  path: PathLike, answers: Iterable[tuple[str, Sequence[Hit]]]
) -> None:
  """Writes a JSON line a hit, as `evidence` has it; atomically.

  Args:
    path: the file; its folder exists.
    answers: query ids and hits, best first; read once, one query in memory.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  try:
    with open(temporary, 'w', encoding='utf-8', newline='') as file:
      for query_id, hits in answers:
        for rank, hit in enumerate(hits, start=1):
          row = evidence(query_id, rank, hit)
          file.write(json.dumps(row, separators=(',', ':')) + '\n')
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def _finite(number: float) -> float | None:
  return float(number) if math.isfinite(number) else None


def _aligned(rows: Sequence[Sequence[str]], numbers: int) -> str:
  """Rows in columns, the first `numbers` of them to the right."""
  width_C = [
    max(_columns(cell) for cell in column) for column in zip(*rows, strict=True)
  ]
  lines = []
  for row in rows:
    cells = []
    for place, (cell, width) in enumerate(zip(row, width_C, strict=True)):
      space = ' ' * (width - _columns(cell))
      cells.append(space + cell if place < numbers else cell + space)
    lines.append(('     ' + '  '.join(cells)).rstrip())
  return '\n'.join(lines)


def _columns(text: str) -> int:
  """How wide a terminal shows a text: some characters take two columns."""
  return sum(
    0
    if unicodedata.combining(character)
    else 1 + (unicodedata.east_asian_width(character) in 'WF')
    for character in text
  )
