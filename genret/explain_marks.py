# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A document's text with its n-grams marked, as HTML.

The stronger the colour of a mark, the more its n-gram adds to the score. What
lies far from all that counted is folded away, in its place and in order, so
that the text of a passage is there once and whole.
"""

import html
import itertools
import math
import re
from collections.abc import Iterator, Sequence

from genret.explain import Segment, segments, share
from genret.runs import Hit

LEVELS = 5
# Characters kept around a mark, around how many marks, and the fewest that are
# worth folding.
_AROUND, _WINDOWS, _FOLDED = 140, 6, 240
# What no HTML file may hold.
_NO_TEXT = re.compile(
  '[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]'
)


def level(contribution: float, greatest: float) -> int:
  """How strongly to mark what adds `contribution`, in 1 to LEVELS.

  By the square root, since contributions of n-grams are far apart.
  """
  if not (contribution > 0 and greatest > 0):
    return 1
  part = min(1.0, math.sqrt(contribution / greatest))
  return max(1, math.ceil(part * LEVELS))


class Marks:
  """The marks of one hit, and which of its n-grams have been linked to."""

  def __init__(self, name: str, hit: Hit) -> None:
    self.name = name
    self.hit = hit
    self.greatest = max((m.contribution for m in hit.matches), default=0.0)
    self.linked: set[int] = set()

  def level(self, number: int) -> int:
    """How strongly to mark this n-gram."""
    return level(self.hit.matches[number].contribution, self.greatest)

  def says(self, number: int) -> str:
    """What the pointer tells of an n-gram."""
    match = self.hit.matches[number]
    return (
      f'{one_line(match.text)}: adds {match.contribution:,.2f} '
      f'({share(match.contribution, self.hit.score)}), {match.count:,} in the '
      'corpus'
    )

  def mark(self, text: str, found: Sequence[Segment]) -> str:
    """A marked piece of a text.

    Args:
      text: the whole text.
      found: neighbours of one strongest n-gram; the others that lie over
        parts of it have elements of their own within its mark.
    """
    lead = found[0].matches[0]
    link, inner = self._link(lead), []
    for start, end, (_, *others) in found:
      piece = escape(text[start:end])
      for number in others:
        piece = f'<span data-m="{number}"{self._link(number)}>{piece}</span>'
      inner.append(piece)
    return (
      f'<mark class="s{self.level(lead)}" data-m="{lead}"{link} '
      f'title="{escape(self.says(lead))}">{"".join(inner)}</mark>'
    )

  def _link(self, number: int) -> str:
    """The id by which the table links to an n-gram, at its first mark."""
    if number in self.linked:
      return ''
    self.linked.add(number)
    return f' id="{self.name}m{number}"'

  def pieces(self, text: str, found: Sequence[Segment]) -> str:
    """Text and marks of these segments of it."""
    return ''.join(
      self.mark(text, part)
      if part[0].matches
      else escape(text[part[0].start : part[-1].end])
      for part in _by_strongest(found)
    )

  def text(self, text: str, view: str) -> str:
    """A whole text, marked."""
    return self.pieces(text, segments(len(text), self.hit.matches, view))

  def folded(self, text: str) -> str:
    """A body, marked, what lies far from all that counts folded away."""
    found = segments(len(text), self.hit.matches, 'body')
    parts, at = [], 0
    for start, end in _gaps(text, self.windows(text, found)):
      parts.append(self.pieces(text, cut(found, at, start)))
      parts.append(
        '<details class="gap"><summary title="show">&#8230; '
        f'{end - start:,} characters &#8230;</summary>'
        f'{self.pieces(text, cut(found, start, end))}</details>'
      )
      at = end
    return ''.join([*parts, self.pieces(text, cut(found, at, len(text)))])

  def windows(
    self, text: str, found: Sequence[Segment]
  ) -> list[tuple[int, int]]:
    """What of a body to show: around the strongest marks, or the start."""
    marked = [part for part in _by_strongest(found) if part[0].matches]
    marked.sort(
      key=lambda part: (
        -self.hit.matches[part[0].matches[0]].contribution,
        part[0].start,
      )
    )
    shown = sorted((p[0].start, p[-1].end) for p in marked[:_WINDOWS])
    return [
      (start - _AROUND, end + _AROUND)
      for start, end in shown or [(0, 2 * _AROUND)]
    ]


def _by_strongest(found: Sequence[Segment]) -> list[list[Segment]]:
  """Neighbours of one strongest n-gram together: what one mark holds."""
  return [
    list(group)
    for _, group in itertools.groupby(found, lambda s: s.matches[:1])
  ]


def _gaps(
  text: str, windows: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
  """Ranges outside the windows that are worth folding, ends between words."""
  at = 0
  for start, end in [*windows, (len(text), len(text))]:
    first, last = _word_start(text, at), _word_start(text, start)
    if last - first >= _FOLDED:
      yield first, last
    at = max(at, end)


def _word_start(text: str, place: int) -> int:
  """The first place from here on where a word begins, if one is near."""
  place = min(max(place, 0), len(text))
  if place in (0, len(text)):
    return place
  space = re.compile(r'\s+').search(text, max(place - 1, 0), place + 40)
  return space.end() if space else place


def cut(found: Sequence[Segment], start: int, end: int) -> list[Segment]:
  """What of these segments lies in a range."""
  return [
    Segment(max(s.start, start), min(s.end, end), s.matches)
    for s in found
    if s.start < end and s.end > start
  ]


def one_line(text: str) -> str:
  """A text without breaks of lines."""
  return ' '.join(text.split())


def escape(text: str) -> str:
  """Text as HTML, a character for a character."""
  text = text.replace('\r', ' ').replace('\x0c', ' ')
  return html.escape(_NO_TEXT.sub('\ufffd', text))
