# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Training examples of n-gram retrievers: what to write for which input.

The recipes are those of SEAL (Bevilacqua et al., NeurIPS 2022) and of MINDER (Li
et al., ACL 2023), which adds the view `query`. Here an example is plain text; the
marks that tell views and grades apart come later, see `ngram_features`.

| examples      | input -> target                             | SEAL | MINDER |
|---------------|---------------------------------------------|------|--------|
| supervised,   | query -> span of the text worded like it    | 10   | 10     |
| of a relevant | query -> title                              | 3    | 3      |
| document      | query -> pseudo-query                       | 0    | 5      |
| unsupervised, | whole text -> title                         | 1    | 0      |
| of a document | span -> title, or title -> span             | 1    |        |
|               | pseudo-query -> title                       |      | 1      |
|               | span -> another span                        | 3    |        |
|               | pseudo-query -> span of the text worded like it |  | 3      |
|               | pseudo-query -> another                     | 0    | 2      |

How a span worded like a query is drawn stands in `ngram_spans`.

Examples depend on the seed and on the ids of query and document alone: not on
their order, nor on how the work is shared, nor on other documents.

Where the released programs differ:

* The similarity is rounded to hundredths there; it is exact here.
* A passage that has no start at all (stop words only) gives one span there, and
  as many as any other here. A text, title or query that is empty gives empty
  examples there, none here.
* Only the first passage of each query is used there for DPR's files; which pairs
  to use is a choice of the caller here.
* Words that spans of the unsupervised part do not start with are a short list
  there, the stop words here; a start is drawn from those that remain at once,
  where the programs give up after ten failures.
* A query is never its own target here: where the pseudo-queries of documents
  are training queries, a model would learn to copy. (The target is among the
  n-grams of the index, and a query that is searched for is not.)
* Documents with a single pseudo-query are left out of all of MINDER's
  unsupervised examples there, here only of those that need two.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genret import ngram_spans
from genret.corpus import Document
from genret.views import GRADES

SOURCES = ('text', 'queries')

_Draft = tuple[str, str, str]  # source, target, view


def _check(right: bool, expected: str, found: object) -> None:
  if not right:
    raise ValueError(f'Expected {expected}, got {found!r}.')


def _check_numbers(options: Supervised | Unsupervised) -> None:
  """What holds for the numbers of both kinds of options."""
  for name in ('spans', 'titles', 'queries'):
    count = getattr(options, name)
    _check(count >= 0, f'{name} of at least 0', count)
  words = (options.min_words, options.max_words)
  _check(1 <= words[0] <= words[1], '1 <= min_words <= max_words', words)
  _check(options.window >= 1, 'a window of at least 1', options.window)
  _check(options.temperature > 0, 'a temperature above 0', options.temperature)
  if options.stop_words is not None:
    _check(
      not isinstance(options.stop_words, str),
      'a list of stop_words',
      options.stop_words,
    )
    # A list, as a gin file gives it, would make the options unhashable.
    folded = tuple(word.lower() for word in options.stop_words)
    object.__setattr__(options, 'stop_words', folded)


class Example(NamedTuple):
  """One thing to learn, without marks.

  Attributes:
    source: what the model reads.
    target: what it shall write.
    view: the view that the target stands in, one of `views.VIEWS`.
    grade: how sure it is, one of `views.GRADES`.
  """

  source: str
  target: str
  view: str
  grade: str


@dataclasses.dataclass(frozen=True)
class Supervised:
  """How many examples a query and a relevant document give, and which.

  Attributes:
    spans: of the text.
    titles: copies of the title.
    queries: of the document's pseudo-queries the first so many, the last again
      where there are fewer; MINDER takes 5, on MS MARCO 8 of these and 8 spans.
    min_words: of a span; fewer only where the text ends.
    max_words: the most; lengths between are equally likely.
    window: words of the n-grams that are compared.
    temperature: above 1, starts matter less.
    grade: 'gold' for judged pairs, 'silver' for pairs that another system found.
    stop_words: words that no span starts with; NLTK's English ones where None.
  """

  spans: int = 10
  titles: int = 3
  queries: int = 0
  min_words: int = 10
  max_words: int = 10
  window: int = 3
  temperature: float = 1.0
  grade: str = 'gold'
  stop_words: tuple[str, ...] | None = None

  def __post_init__(self) -> None:
    _check_numbers(self)
    _check(self.grade in GRADES, f'a grade of {", ".join(GRADES)}', self.grade)

  @property
  def examples(self) -> int:
    """What a pair gives that lacks nothing."""
    return self.spans + self.titles + self.queries

  @property
  def needs_queries(self) -> bool:
    """Whether some of them come from pseudo-queries."""
    return self.queries > 0


@dataclasses.dataclass(frozen=True)
class Unsupervised:
  """How many examples a document gives by itself, and which.

  Attributes:
    passages: whole text to title.
    titles: a span to the title or the title to a span.
    spans: a span to another.
    queries: a pseudo-query to the first other one; MINDER takes 2.
    sources: with 'queries', pseudo-queries ask for titles and spans (MINDER),
      not spans: one drawn for all spans, one for each title.
    min_source_words: of a span as input; fewer only in shorter texts.
    max_source_words: the most.
    min_words: of a span as target.
    max_words: the most.
    title_sources: the probability of the title as the input of these, not as the
      target.
    lowercase: share of the inputs that are put in lower case.
    window: as in `Supervised`, where pseudo-queries ask.
    temperature: likewise.
    stop_words: as in `Supervised`.
  """

  passages: int = 1
  titles: int = 1
  spans: int = 3
  queries: int = 0
  sources: str = 'text'
  min_source_words: int = 10
  max_source_words: int = 10
  min_words: int = 10
  max_words: int = 10
  title_sources: float = 0.5
  lowercase: float = 0.1
  window: int = 3
  temperature: float = 1.0
  stop_words: tuple[str, ...] | None = None

  def __post_init__(self) -> None:
    _check_numbers(self)
    _check(self.passages >= 0, 'passages of at least 0', self.passages)
    known = f'sources of {" or ".join(SOURCES)}'
    _check(self.sources in SOURCES, known, self.sources)
    words = (self.min_source_words, self.max_source_words)
    expected = '1 <= min_source_words <= max_source_words'
    _check(1 <= words[0] <= words[1], expected, words)
    for name in ('title_sources', 'lowercase'):
      share = getattr(self, name)
      _check(0 <= share <= 1, f'{name} from 0 to 1', share)

  @property
  def examples(self) -> int:
    """What a document gives that lacks nothing."""
    return self.passages + self.titles + self.spans + self.queries

  @property
  def needs_queries(self) -> bool:
    """Whether some of them come from pseudo-queries."""
    return self.queries > 0 or self.sources == 'queries'


SUPERVISED, UNSUPERVISED = Supervised(), Unsupervised()
RECIPES = {
  'seal': (SUPERVISED, UNSUPERVISED),
  'minder': (
    Supervised(queries=5),
    Unsupervised(passages=0, queries=2, sources='queries'),
  ),
}


def supervised_examples(
  query: str,
  document: Document,
  *,
  queries: Sequence[str] = (),
  options: Supervised = SUPERVISED,
  seed: int = 0,
  query_id: str = '',
) -> list[Example]:
  """What to learn from a query and a document that answers it.

  Args:
    query: in words.
    document: one without a text gives no spans, one without a title no titles.
    queries: pseudo-queries of the document; those that equal the query, but for
      case and spaces, are no targets.
    options: how many of which.
    seed: of the draws, with the ids of both.
    query_id: of the query.

  Returns:
    Examples by view: body, title, query; none for an empty query.
  """
  query = query.strip()
  if not query:
    return []
  rng = generator(seed, query_id, document.doc_id)
  targets = [
    ('body', span)
    for span in _spans_for(query, document.text.split(), options, rng)
  ]
  if title := document.title.strip():
    targets += [('title', title)] * options.titles
  if others := [q for q in _filled(queries) if _folded(q) != _folded(query)]:
    last = len(others) - 1
    targets += [('query', others[min(i, last)]) for i in range(options.queries)]
  return [Example(query, text, view, options.grade) for view, text in targets]


def unsupervised_examples(
  document: Document,
  *,
  queries: Sequence[str] = (),
  options: Unsupervised = UNSUPERVISED,
  seed: int = 0,
) -> list[Example]:
  """What to learn from a document by itself.

  Args:
    document: one whose title is all its text gives nothing.
    queries: its pseudo-queries.
    options: how many of which.
    seed: of the draws, with the id of the document.

  Returns:
    Examples as `Unsupervised` lists them, but those that lack a part: a title, a
    text, a second span, or a pseudo-query.
  """
  title, text = document.title.strip(), document.text.strip()
  if title == text:
    return []
  rng = generator(seed, document.doc_id)
  words, queries = text.split(), _filled(queries)
  whole = [(text, title, 'title')] * options.passages if title and text else []
  if options.sources == 'text':
    parts = _from_text(title, words, options, rng)
  else:
    parts = _from_queries(title, words, queries, options, rng)
  found = _finish(whole + parts, options, rng)
  # The view `query` draws last, so that the others are the same without it.
  asked = _other_queries(queries, options.queries, rng)
  return found + _finish(asked, options, rng)


def generator(*parts: int | str) -> np.random.Generator:
  """A generator of its own for what the parts name, the same everywhere."""
  name = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()
  return np.random.Generator(np.random.PCG64(int.from_bytes(name, 'little')))


def _finish(
  drafts: Sequence[_Draft], options: Unsupervised, rng: np.random.Generator
) -> list[Example]:
  """Puts a share of the inputs in lower case."""
  lower = rng.random(len(drafts)) < options.lowercase
  return [
    Example(source.lower() if low else source, target, view, 'unsupervised')
    for (source, target, view), low in zip(drafts, lower, strict=True)
  ]


def _from_text(
  title: str,
  words: Sequence[str],
  options: Unsupervised,
  rng: np.random.Generator,
) -> list[_Draft]:
  """Examples between spans of a text, and between its title and a span."""
  found: list[_Draft] = []
  read = (options.min_source_words, options.max_source_words)
  written = (options.min_words, options.max_words)
  every = range(len(words))
  good = ngram_spans.good_starts(words, _stop_words(options.stop_words))
  for _ in range(options.titles if title and words else 0):
    _, span = ngram_spans.span_from(words, good, written, rng)
    if rng.random() < options.title_sources and span:
      found.append((title, span, 'body'))
    else:
      _, span = ngram_spans.span_from(words, every, read, rng)
      found.append((span, title, 'title'))
  for _ in range(options.spans):
    start, span = ngram_spans.span_from(words, good, written, rng)
    others = [i for i in every if i != start]
    _, source = ngram_spans.span_from(words, others, read, rng)
    if source and span:
      found.append((source, span, 'body'))
  return found


def _from_queries(
  title: str,
  words: Sequence[str],
  queries: Sequence[str],
  options: Unsupervised,
  rng: np.random.Generator,
) -> list[_Draft]:
  """Examples from pseudo-queries to the title, and from one of them to spans."""
  if not queries:
    return []
  count = options.titles if title else 0
  found = [
    (queries[i], title, 'title') for i in rng.integers(len(queries), size=count)
  ]
  query = queries[int(rng.integers(len(queries)))]
  spans = _spans_for(query, words, options, rng)
  return found + [(query, span, 'body') for span in spans]


def _other_queries(
  queries: Sequence[str], count: int, rng: np.random.Generator
) -> list[_Draft]:
  """Examples from a pseudo-query to the first that differs from it."""
  found = []
  for _ in range(count if len(set(map(_folded, queries))) > 1 else 0):
    source = queries[int(rng.integers(len(queries)))]
    target = next(q for q in queries if _folded(q) != _folded(source))
    found.append((source, target, 'query'))
  return found


def _spans_for(
  query: str,
  words: Sequence[str],
  options: Supervised | Unsupervised,
  rng: np.random.Generator,
) -> list[str]:
  return ngram_spans.spans_for(
    query,
    words,
    options.spans,
    rng,
    min_words=options.min_words,
    max_words=options.max_words,
    window=options.window,
    temperature=options.temperature,
    stop_words=_stop_words(options.stop_words),
  )


@functools.lru_cache(maxsize=8)
def _stop_words(words: tuple[str, ...] | None) -> frozenset[str]:
  return ngram_spans.STOP_WORDS if words is None else frozenset(words)


def _filled(queries: Sequence[str]) -> list[str]:
  return [query.strip() for query in queries if query.strip()]


def _folded(text: str) -> str:
  """What is left of a query when case and spaces do not count."""
  return ' '.join(text.casefold().split())
