# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What a search found and why, as one HTML page that needs nothing else.

Each query has its documents, best first. A document shows its title, the parts
of its text around what counted, its n-grams marked (the stronger the colour,
the more one adds to the score), and a table of them, whose sum is the score.
All text is escaped, and a content security policy lets a browser run nothing
but the script of the page.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

from genret.explain import Segment, contributions, segments, share
from genret.explain_marks import LEVELS, Marks, cut, escape, one_line
from genret.explain_style import SCRIPT, STYLE
from genret.runs import Hit, Match

# The text of each view of a document, by the names that spans use; pseudo-
# queries one under the other, as spans count.
Texts = Mapping[str, str]

_ROWS = 8


def page(
  answers: Sequence[tuple[str, str, Sequence[Hit]]],
  texts: Callable[[str], Texts],
  *,
  source: str = '',
  max_hits: int | None = None,
) -> str:
  """Renders answers.

  Args:
    answers: of each query its id (may be empty), its text and its hits.
    texts: gives the views of a document by its id; those that it lacks are
      shown by what the matches say.
    source: what was searched, such as the folder of the run.
    max_hits: hits shown of each query; all where None.
  """
  title = 'genret search'
  if len(answers) == 1:
    title = f'{one_line(answers[0][1])} - {title}'
  digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
  policy = (
    f"default-src 'none'; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
  )
  found = any(hit.matches for _, _, hits in answers for hit in hits)
  head = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
  )
  parts = [
    head,
    _top(len(answers), source, with_key=found),
    _contents(answers) if len(answers) > 1 else '',
    '<main>\n',
  ]
  for number, (query_id, query, hits) in enumerate(answers, start=1):
    parts.append(_query(f'q{number}', query_id, query, hits, texts, max_hits))
  parts.append(f'</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n')
  return ''.join(parts)


def _top(queries: int, source: str, *, with_key: bool) -> str:
  steps = ''.join(f'<i class="s{n}"></i>' for n in range(1, LEVELS + 1))
  key = (
    f'<span class="key">n-grams that add less <span class="steps">{steps}'
    '</span> more</span>'
    if with_key
    else ''
  )
  what = f'{queries:,} queries' if queries != 1 else ''
  return (
    '<div class="top"><h1>genret search</h1>'
    + (f'<span><bdi>{escape(source)}</bdi></span>' if source else '')
    + (f'<span>{what}</span>' if what else '')
    + f'{key}</div>\n'
  )


def _contents(answers: Sequence[tuple[str, str, Sequence[Hit]]]) -> str:
  """Links to the queries."""
  rows = [
    f'<li><a href="#q{number}" dir="auto">{escape(_shown(query))}</a></li>\n'
    for number, (_, query, _) in enumerate(answers, start=1)
  ]
  is_open = ' open' if len(answers) <= 20 else ''
  return (
    f'<nav aria-label="Queries"><details{is_open}><summary>Queries</summary>'
    f'\n<ol>\n{"".join(rows)}</ol></details></nav>\n'
  )


def _query(
  name: str,
  query_id: str,
  query: str,
  hits: Sequence[Hit],
  texts: Callable[[str], Texts],
  max_hits: int | None,
) -> str:
  """A query with its documents; `name` is what links call it."""
  shown = hits[:max_hits]
  count = f'{len(hits):,} document{"s" * (len(hits) != 1)}'
  if len(shown) < len(hits):
    count += f', the first {len(shown)} shown'
  best = max((hit.score for hit in hits), default=0.0)
  rows = [
    f'<li>{_hit(f"{name}d{rank}", rank, hit, best, texts(hit.doc_id))}</li>\n'
    for rank, hit in enumerate(shown, start=1)
  ]
  code = f'<code><bdi>{escape(query_id)}</bdi></code> &#183; '
  return (
    f'<section class="query" id="{name}">\n'
    f'<h2 dir="auto">{escape(_shown(query))}</h2>\n'
    f'<p class="meta">{code if query_id else ""}{count}</p>\n'
    + (f'<ol class="hits">\n{"".join(rows)}</ol>\n' if rows else '')
    + '</section>\n'
  )


def _shown(query: str) -> str:
  return query if query.strip() else '(empty query)'


def _hit(name: str, rank: int, hit: Hit, best: float, texts: Texts) -> str:
  """One document."""
  marks = Marks(name, hit)
  title = texts.get('title', '')
  heading = marks.text(title, 'title') if title else escape(hit.doc_id)
  code = f'<code><bdi>{escape(hit.doc_id)}</bdi></code>' if title else ''
  body = texts.get('body', '')
  left = (
    f'<div class="text" dir="auto">{marks.folded(body)}</div>\n'
    if body
    else '<p class="empty">(no text)</p>\n'
  ) + _asked(marks, texts.get('query', ''))
  right = _table(marks) if hit.matches else ''
  return (
    f'<article class="hit" id="{name}">\n<header><span class="rank">{rank}'
    f'</span><h3><span dir="auto">{heading}</span>{code}</h3>'
    f'<span class="score" title="score">{hit.score:,.2f}</span>'
    f'{_bar(marks, best)}</header>\n'
    f'<div class="parts{" both" if right else ""}">\n<div>\n{left}</div>\n'
    f'{right}</div>\n</article>'
  )


def _asked(marks: Marks, text: str) -> str:
  """The pseudo-queries of a document: those that counted, the rest folded."""
  matches = marks.hit.matches
  counted: list[str] = []
  others: list[str] = []
  if text:
    found = segments(len(text), matches, 'query')
    at = 0
    for line in text.split('\n'):
      pieces = cut(found, at, at + len(line))
      row = f'<li dir="auto">{marks.pieces(text, pieces)}</li>\n'
      if line:
        (counted if any(s.matches for s in pieces) else others).append(row)
      at += len(line) + 1
  else:
    # Their text is not at hand, but what matched is a query, or a part of one.
    for number, match in enumerate(matches):
      if any(span.view == 'query' for span in match.spans):
        whole = Segment(0, len(match.text), (number,))
        row = marks.mark(match.text, [whole])
        counted.append(f'<li dir="auto">{row}</li>\n')
  if not counted and not others:
    return ''
  rest = (
    f'<details><summary>{len(others)} pseudo-quer'
    f'{"ies" if len(others) != 1 else "y"} without a match</summary>\n<ul>\n'
    f'{"".join(others)}</ul></details>\n'
    if others
    else ''
  )
  shown = (
    f'<h4>Pseudo-queries</h4>\n<ul>\n{"".join(counted)}</ul>\n'
    if counted
    else ''
  )
  return f'<div class="asked">{shown}{rest}</div>\n'


def _bar(marks: Marks, best: float) -> str:
  """The score beside the best one, in the colours of what adds up to it."""
  hit = marks.hit
  if hit.score < 0 or best <= 0:
    part = math.exp(min(0.0, hit.score - best))  # log-probabilities
  else:
    part = hit.score / best
  slices = [
    f'<i class="s{marks.level(n)}" data-m="{n}" '
    f'style="flex-grow:{match.contribution:.4g}"></i>'
    for n, match in enumerate(hit.matches)
    if match.contribution > 0
  ]
  return (
    f'<div class="bar"><span style="width:{100 * part:.2f}%">'
    f'{"".join(slices) or "<i></i>"}</span></div>'
  )


def _table(marks: Marks) -> str:
  """The n-grams of a hit; those that add little are folded."""
  matches = marks.hit.matches
  order = sorted(
    range(len(matches)), key=lambda n: (-matches[n].contribution, n)
  )
  rows = [_row(marks, number) for number in order]
  shown = len(rows) if len(rows) <= _ROWS + 2 else _ROWS
  rest = [matches[number] for number in order[shown:]]
  total = contributions(matches)
  foot = (
    f'<tfoot><tr><td>sum of {len(matches)}</td><td>{total:,.2f}</td>'
    f'<td>{share(total, marks.hit.score)}</td><td></td><td></td></tr></tfoot>'
  )
  columns = '<colgroup><col><col class="n"><col class="n"><col class="c">'
  columns += '<col class="p"></colgroup>'
  head = (
    '<thead><tr><th scope="col">n-gram</th>'
    '<th scope="col" title="what it adds to the score">adds</th>'
    '<th scope="col" title="of the score">share</th>'
    '<th scope="col" title="how often the corpus has it">count</th>'
    '<th scope="col" title="its log-probability, given the query">log p</th>'
    '</tr></thead>'
  )
  folded = (
    f'<details class="more"><summary>{len(rest)} more add '
    f'{contributions(rest):,.2f}</summary>\n<table>{columns}\n<tbody>\n'
    f'{"".join(rows[shown:])}</tbody></table></details>\n'
    if rest
    else ''
  )
  return (
    f'<div>\n<table>{columns}\n{head}\n<tbody>\n{"".join(rows[:shown])}'
    f'</tbody>\n{foot}</table>\n{folded}</div>\n'
  )


def _row(marks: Marks, number: int) -> str:
  match = marks.hit.matches[number]
  text = escape(one_line(match.text)) or '&#160;'
  style = f's s{marks.level(number)}'
  shown = (
    f'<a class="{style}" href="#{marks.name}m{number}" dir="auto">{text}</a>'
    if number in marks.linked
    else f'<span class="{style}" dir="auto">{text}</span>'
  )
  views = _views(match)
  where = f' <span class="view">{views}</span>' if views else ''
  return (
    f'<tr data-m="{number}"><td>{shown}{where}</td>'
    f'<td>{match.contribution:,.2f}</td>'
    f'<td>{share(match.contribution, marks.hit.score)}</td>'
    f'<td>{match.count:,}</td><td>{match.log_probability:,.2f}</td></tr>\n'
  )


def _views(match: Match) -> str:
  """Where it stands, unless that is once in the text."""
  count = {
    name: sum(span.view == view for span in match.spans)
    for view, name in (
      ('title', 'title'),
      ('body', 'text'),
      ('query', 'pseudo-query'),
    )
  }
  words = [
    f'{name} &#215;{n}' if n > 1 else name for name, n in count.items() if n
  ]
  return '' if words == ['text'] else ', '.join(words)
