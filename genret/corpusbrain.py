# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pre-training examples of CorpusBrain from pages with links, without queries.

CorpusBrain (Chen et al., CIKM 2022, https://arxiv.org/abs/2208.07652) trains a
model that writes titles on three tasks before it sees a query:

* `lps`, lead paragraph selection: how a page begins -> its title;
* `iss`, inner sentence selection: something from further inside -> its title;
* `hip`, hyperlink identifier prediction: what stands around a link -> the title
  of the page that it leads to.

The targets of `lps` and `iss` also list titles of other pages that the page
links to, mostly none (`Options.title_probabilities`).

Paper and released program differ; `PAPER` and `RELEASED` are the two readings:

|                      | `PAPER`                    | `RELEASED`              |
|----------------------|----------------------------|-------------------------|
| input of `iss`       | a sentence                 | a whole paragraph       |
| lead paragraph       | the first one              | the second one [1]      |
| input of `hip`       | the sentence of the link, one before, one behind [2] | the same with paragraphs |
| the lead before a link | is context               | the link is left out    |
| titles that are listed | of distinct pages that are there | of links drawn; those that repeat, or lead nowhere, drop out |
| separator            | a bar between blanks, as in fine-tuning | a bar behind a blank |

[1] It counts as if the title line were still there, which its filter of short
lines has dropped before. [2] As others report the paper. The last three rows are
our reading of it, and so are its numbers: how many paragraphs it takes as leading
is not known to us, and all of them, like the windows of three paragraphs, are the
program's.

Here the examples of a page depend on the page, the seed and the options, and on
which titles the corpus has: not on other pages, nor on any order. Where the
released program differs from both readings:

* It draws from one stream for all pages, and puts listed titles in the order of
  a hash, which differs from run to run; here they are as drawn.
* The line of the title is part of a page's words there, and of its text where it
  has more than ten words; it is neither here. Words there are what single blanks
  separate, empty ones too.
* Links are resolved by the field wikipedia_title there, by title here, see
  `kilt_pages.canonical_title`; a link from a page to itself is none here.
* A link whose offsets do not cut its text from its paragraph gives no `hip`
  example here; there offsets are not read.
* White space in inputs is single blanks here.
"""

import collections
import dataclasses
import math
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from genret import rehearsal
from genret.kilt_pages import Anchor, Page, canonical_title
from genret.kilt_records import KiltRecord, Span
from genret.ngram_examples import generator

TASKS = ('lps', 'iss', 'hip')
UNITS = ('sentences', 'paragraphs')
TITLE_SOURCES = ('pages', 'anchors')
LEAKS = ('page', 'text')

# Headings and items of lists: the released program's test, anywhere in a line.
_MARK = '::::'
_WORD = re.compile(r'\S+')


def _check(right: bool, expected: str, found: object) -> None:
  if not right:
    raise ValueError(f'Expected {expected}, got {found!r}; choose another.')


@dataclasses.dataclass(frozen=True)
class Options:
  """Which examples a page gives.

  Attributes:
    min_title_characters: pages with a shorter title give none.
    min_page_words: pages with fewer words give none; headings, items of lists and
      the title are not counted.
    min_words: paragraphs with fewer are neither lead nor inside, and sentences
      with fewer are no inputs of `iss`; all are context of `hip`.
    inner: what an input of `iss` is, one of UNITS; from behind the lead paragraph.
    inner_examples: of `iss`, the most of a page.
    lead: number of the paragraph that counts as the lead, 0 the true one; of
      those with `min_words`.
    lead_windows: inputs of `lps` besides the lead: windows of paragraphs from the
      lead on that do not overlap, whole ones only.
    window_paragraphs: of a window.
    title_probabilities: that 0, 1, ... titles are listed behind that of the page.
    title_source: 'pages', of distinct pages that the page links to, each as likely
      as another, and fewer only where there are fewer; 'anchors', of links, so that
      a page is as likely as it has links, and of those drawn the ones that repeat
      or lead nowhere are not listed.
    context: what stands before and behind the link in `hip`, one of UNITS.
    context_examples: of `hip`, the most of a page.
    lead_context: the lead may stand before the link; otherwise what stands there
      is from paragraph 2 of the page on.
    separator: between titles of a target.
  """

  min_title_characters: int = 4
  min_page_words: int = 128
  min_words: int = 11
  inner: str = 'sentences'
  inner_examples: int = 11
  lead: int = 0
  lead_windows: int = 3
  window_paragraphs: int = 3
  title_probabilities: tuple[float, ...] = (0.70, 0.20, 0.05, 0.03, 0.02)
  title_source: str = 'pages'
  context: str = 'sentences'
  context_examples: int = 3
  lead_context: bool = True
  separator: str = ' | '

  def __post_init__(self) -> None:
    # A list, as a gin file gives it, would make the options unhashable.
    shares = tuple(float(share) for share in self.title_probabilities)
    object.__setattr__(self, 'title_probabilities', shares)
    least = {'min_words': 1, 'window_paragraphs': 1}
    for field in dataclasses.fields(self):
      value, low = getattr(self, field.name), least.get(field.name, 0)
      if field.type is int:
        _check(value >= low, f'{field.name} of at least {low}', value)
    for name, known in (
      ('inner', UNITS),
      ('context', UNITS),
      ('title_source', TITLE_SOURCES),
    ):
      value = getattr(self, name)
      _check(value in known, f'{name} of {" or ".join(known)}', value)
    _check(
      bool(shares)
      and all(0 <= share <= 1 for share in shares)
      and math.isclose(sum(shares), 1, abs_tol=1e-6),
      'title_probabilities that add up to 1',
      shares,
    )
    _check(
      bool(self.separator.strip()) and '\n' not in self.separator,
      'a separator with a character that is no blank, on one line',
      self.separator,
    )


PAPER = Options()
RELEASED = Options(
  inner='paragraphs',
  lead=1,
  title_source='anchors',
  context='paragraphs',
  lead_context=False,
  separator=' |',
)
READINGS = {'paper': PAPER, 'released': RELEASED}


class Example(NamedTuple):
  """One thing to learn.

  Attributes:
    task: one of TASKS.
    source: what the model reads, on one line.
    target: what it shall write: the titles with the separator between them.
    page_id: of the page that the source is from.
    titles: of the target; the page's own comes first in `lps` and `iss`.
    spans: where the source stands in the page, in order.
  """

  task: str
  source: str
  target: str
  page_id: str
  titles: tuple[str, ...]
  spans: tuple[Span, ...]


def corpus_titles(pages: Iterable[Page]) -> dict[str, tuple[str, ...]]:
  """The spellings of each canonical title of a corpus, mostly one; sorted.

  Links are resolved by it. All pages belong in it, those without examples, too;
  pages without a title are not in it.

  Args:
    pages: of the corpus, in any order.
  """
  found: dict[str, tuple[str, ...]] = {}
  for page in pages:
    title = _title(page)
    known = found.get(key := canonical_title(title), ())
    if key and title not in known:
      found[key] = tuple(sorted((*known, title)))
  return found


def check_separator(titles: Iterable[str], separator: str) -> None:
  """Refuses titles that could not be told apart in a target.

  Args:
    titles: any.
    separator: see `Options`.

  Raises:
    ValueError: naming the first title that has the separator in it, or would
      together with the separator behind it.
  """
  for title in titles:
    if f'{title}{separator}'.find(separator) != len(title):
      raise ValueError(
        f'Expected titles without the separator {separator!r}, got {title!r}; '
        'choose another separator.'
      )


def examples(
  pages: Iterable[Page],
  titles: Mapping[str, Sequence[str]],
  *,
  options: Options = PAPER,
  seed: int = 0,
  skipped: collections.Counter[str] | None = None,
) -> Iterator[Example]:
  """What to learn from pages, page by page; constant memory.

  Args:
    pages: all or some of the corpus.
    titles: of the whole corpus, see `corpus_titles`.
    options: which examples.
    seed: of the draws.
    skipped: see `page_examples`.

  Raises:
    ValueError: as `check_separator`, before the first page, and as
      `page_examples`.
  """
  for spellings in titles.values():
    check_separator(spellings, options.separator)
  for page in pages:
    yield from page_examples(
      page, titles, options=options, seed=seed, skipped=skipped
    )


def page_examples(
  page: Page,
  titles: Mapping[str, Sequence[str]],
  *,
  options: Options = PAPER,
  seed: int = 0,
  skipped: collections.Counter[str] | None = None,
) -> list[Example]:
  """What to learn from a page: first `lps`, then `iss`, then `hip`.

  An input that the page has twice in `lps` and `iss` is given once.

  Args:
    page: with its paragraphs and links.
    titles: of the whole corpus, see `corpus_titles`.
    options: which examples.
    seed: of the draws, with the id of the page.
    skipped: counts what gives no example, and why: 'page: ...', 'link: ...' for
      links that no task uses, 'hip: ...' for links that `hip` does not.

  Raises:
    ValueError: for a page whose title is not among the titles, and as
      `check_separator` where a target lists several.
  """
  if skipped is None:
    skipped = collections.Counter()
  title = _title(page)
  if title and title not in titles.get(canonical_title(title), ()):
    raise ValueError(
      f'Expected the titles of a corpus with page {page.page_id!r}, {title!r}, '
      'got some without it; give corpus_titles all pages.'
    )
  text = [
    _unit(number, paragraph)
    for number, paragraph in enumerate(page.paragraphs)
    if not (
      page.is_title(number) or _MARK in paragraph or not paragraph.strip()
    )
  ]
  if len(title) < options.min_title_characters:
    skipped['page: short title'] += 1
    return []
  if not text:
    skipped['page: no text'] += 1
    return []
  if sum(unit.words for unit in text) < options.min_page_words:
    skipped['page: few words'] += 1
    return []
  links = _links(page, titles, skipped)
  parts = {'paragraphs': text}
  if 'sentences' in (options.inner, options.context):
    parts['sentences'] = _sentences(page, text)
  return [
    *_from_text(page, parts, links, options, seed),
    *_from_links(page, parts, links, options, seed, skipped),
  ]


def anchor_histogram(of: Iterable[Example]) -> dict[int, int]:
  """How many `lps` and `iss` examples list 0, 1, ... titles of linked pages.

  On pages with enough links it follows `Options.title_probabilities`, with
  `title_source` 'anchors' as far as links do not repeat or lead nowhere.
  """
  counts = collections.Counter(
    len(example.titles) - 1 for example in of if example.task != 'hip'
  )
  return dict(sorted(counts.items()))


@dataclasses.dataclass(frozen=True)
class Withheld:
  """Evidence of dev and test queries.

  Attributes:
    titles: of its pages.
    spans: the parts of each page that are evidence, by page id; none where the
      page as such is.
    missing: ids of pages that are not in the corpus.
  """

  titles: frozenset[str]
  spans: Mapping[str, tuple[Span, ...]]
  missing: frozenset[str] = frozenset()


def withheld(records: Iterable[KiltRecord], pages: Iterable[Page]) -> Withheld:
  """What the provenances of records name.

  Args:
    records: of dev and test files.
    pages: of the whole corpus, to know the titles.
  """
  spans: dict[str, list[Span]] = collections.defaultdict(list)
  for record in records:
    for span in record.spans():
      spans[span.page_id].append(span)
  found = {p.page_id: _title(p) for p in pages if p.page_id in spans}
  return Withheld(
    titles=frozenset(found.values()),
    spans={
      page: tuple(span for span in of if span.start is not None)
      for page, of in spans.items()
    },
    missing=frozenset(spans.keys() - found.keys()),
  )


def leaks(example: Example, evidence: Withheld) -> tuple[str, ...]:
  """What an example tells of withheld evidence, some of LEAKS.

  'page': a title of its target is that of a page of the evidence. CorpusBrain
  learns such pages on purpose, as any page of the corpus that is searched.
  'text': its source shares a character with a part that is evidence. The same
  words elsewhere are not found.
  """
  found = []
  if not evidence.titles.isdisjoint(example.titles):
    found.append('page')
  parts = evidence.spans.get(example.page_id, ())
  if any(_overlap(a, b) for a in example.spans for b in parts):
    found.append('text')
  return tuple(found)


def without_leaks(
  of: Iterable[Example],
  evidence: Withheld,
  *,
  drop: Sequence[str] = ('text',),
  found: collections.Counter[str] | None = None,
) -> Iterator[Example]:
  """Leaves out examples that leak.

  Args:
    of: examples.
    evidence: of dev and test queries.
    drop: which of LEAKS; with none examples are only counted.
    found: counts each leak of each example, as 'iss: text'.

  Raises:
    ValueError: for an unknown leak.
  """
  _check(set(drop) <= set(LEAKS), f'drop of {" and ".join(LEAKS)}', drop)
  return _without_leaks(of, evidence, frozenset(drop), found)


def _without_leaks(
  of: Iterable[Example],
  evidence: Withheld,
  drop: frozenset[str],
  found: collections.Counter[str] | None,
) -> Iterator[Example]:
  for example in of:
    kinds = leaks(example, evidence)
    if found is not None:
      found.update(f'{example.task}: {kind}' for kind in kinds)
    if drop.isdisjoint(kinds):
      yield example


class _Unit(NamedTuple):
  """A paragraph or a sentence: where it stands, and its words."""

  paragraph_id: int
  start: int
  end: int
  text: str

  @property
  def words(self) -> int:
    return self.text.count(' ') + 1


class _Link(NamedTuple):
  anchor: Anchor
  title: str | None  # of the page that it leads to, None where it is not there


def _from_text(
  page: Page,
  parts: Mapping[str, Sequence[_Unit]],
  links: Sequence[_Link],
  options: Options,
  seed: int,
) -> list[Example]:
  """Examples of `lps` and `iss`."""
  usable = [
    unit for unit in parts['paragraphs'] if unit.words >= options.min_words
  ]
  leading = usable[options.lead :]
  width = options.window_paragraphs
  drafts = [('lps', leading[:1])] if leading else []
  for start in range(0, options.lead_windows * width, width):
    if len(window := leading[start : start + width]) == width:
      drafts.append(('lps', window))
  inner = {unit.paragraph_id for unit in leading[1:]}
  inside = [
    unit
    for unit in parts[options.inner]
    if unit.paragraph_id in inner and unit.words >= options.min_words
  ]
  rng = generator(seed, page.page_id, 'text')
  chosen = rng.permutation(len(inside))[: options.inner_examples]
  drafts += [('iss', [inside[i]]) for i in sorted(chosen.tolist())]
  distinct: dict[str, tuple[str, Sequence[_Unit]]] = {}
  for task, units in drafts:
    distinct.setdefault(_joined(units), (task, units))
  own = _title(page)
  listed = _listed(links, len(distinct), options, rng)
  return [
    _example(task, page, units, (own, *others), options)
    for (task, units), others in zip(distinct.values(), listed, strict=True)
  ]


def _listed(
  links: Sequence[_Link],
  examples: int,
  options: Options,
  rng: np.random.Generator,
) -> list[list[str]]:
  """The titles of linked pages that each of so many examples lists."""
  pool: list[str | None] = [link.title for link in links]
  if options.title_source == 'pages':
    pool = [title for title in dict.fromkeys(pool) if title is not None]
  shares = np.array(options.title_probabilities)
  counts = rng.choice(len(shares), size=examples, p=shares / shares.sum())
  found = []
  for count in np.minimum(counts, len(pool)).tolist():
    drawn = (
      rng.choice(len(pool), count, replace=False).tolist() if count else []
    )
    titles = dict.fromkeys(pool[i] for i in drawn)
    found.append([title for title in titles if title is not None])
  return found


def _from_links(
  page: Page,
  parts: Mapping[str, Sequence[_Unit]],
  links: Sequence[_Link],
  options: Options,
  seed: int,
  skipped: collections.Counter[str],
) -> list[Example]:
  """Examples of `hip`: links in a random order, the first that differ."""
  units = parts[options.context]
  lead = units[0].paragraph_id
  around: dict[int, list[int]] = collections.defaultdict(list)
  for number, unit in enumerate(units):
    around[unit.paragraph_id].append(number)
  candidates = []
  for anchor, title in links:
    if title is None:
      continue
    if not _stands(anchor, page):
      skipped['hip: offsets do not match'] += 1
    elif anchor.paragraph_id not in around:
      skipped['hip: not in text'] += 1
    elif anchor.paragraph_id == lead:
      skipped['hip: in the lead'] += 1
    else:
      # The last unit that begins no later than the link.
      here = around[anchor.paragraph_id]
      begun = [i for i in here if units[i].start <= anchor.start]
      number = begun[-1] if begun else here[0]
      if _has_context(anchor, units, number, options):
        candidates.append((title, number))
      else:
        skipped['hip: no context'] += 1
  order = generator(seed, page.page_id, 'hip').permutation(len(candidates))
  distinct = dict.fromkeys(candidates[i] for i in order.tolist())
  return [
    _example('hip', page, units[number - 1 : number + 2], (title,), options)
    for title, number in list(distinct)[: options.context_examples]
  ]


def _has_context(
  anchor: Anchor, units: Sequence[_Unit], number: int, options: Options
) -> bool:
  """Whether something stands around a unit, and the link ends in it.

  The lead stands before every unit of a link, where `lead_context` allows it.
  """
  if number == len(units) - 1:
    return False
  # 2: the program takes paragraph 1 of the page for the lead, 0 for the title.
  if not options.lead_context and units[number - 1].paragraph_id < 2:
    return False
  # A title with full stops in it may be cut into several sentences.
  last = units[number + 1]
  return last.paragraph_id != anchor.paragraph_id or anchor.end <= last.end


def _stands(anchor: Anchor, page: Page) -> bool:
  """Whether its offsets cut the text of a link from its paragraph."""
  if not 0 <= anchor.paragraph_id < len(page.paragraphs):
    return False
  paragraph = page.paragraphs[anchor.paragraph_id]
  return (
    0 <= anchor.start < anchor.end <= len(paragraph)
    and paragraph[anchor.start : anchor.end] == anchor.text
  )


def _links(
  page: Page,
  titles: Mapping[str, Sequence[str]],
  skipped: collections.Counter[str],
) -> list[_Link]:
  """The links to other pages, with the titles of those in the corpus."""
  own = canonical_title(page.title)
  found = []
  for anchor in page.anchors:
    key = anchor.title
    if key in ('', own):
      skipped['link: within the page'] += 1
      continue
    spellings = titles.get(key)
    if not spellings:
      skipped['link: not in the corpus'] += 1
      found.append(_Link(anchor, None))
      continue
    written = urllib.parse.unquote(anchor.href.partition('#')[0])
    written = ' '.join(written.replace('_', ' ').split())
    exact = written in spellings
    found.append(_Link(anchor, written if exact else spellings[0]))
  return found


def _sentences(page: Page, paragraphs: Iterable[_Unit]) -> list[_Unit]:
  """The sentences of paragraphs, see `rehearsal.sentences`."""
  found = []
  for number, *_ in paragraphs:
    paragraph, end = page.paragraphs[number], 0
    for text in rehearsal.sentences(paragraph):
      word = _WORD.search(paragraph, end)
      assert word  # the sentences have all words of a paragraph
      start, end = word.start(), word.start() + len(text)
      if not paragraph.startswith(text, start):  # white space was made single
        words = _WORD.finditer(paragraph, start)
        end = [next(words).end() for _ in text.split()][-1]
      found.append(_Unit(number, start, end, text))
  return found


def _unit(number: int, paragraph: str) -> _Unit:
  end = len(paragraph.rstrip())
  start = len(paragraph) - len(paragraph.lstrip())
  return _Unit(number, start, end, ' '.join(paragraph.split()))


def _example(
  task: str,
  page: Page,
  units: Sequence[_Unit],
  titles: tuple[str, ...],
  options: Options,
) -> Example:
  if len(titles) > 1:  # a title alone has no separator to be told from
    check_separator(titles, options.separator)
  return Example(
    task=task,
    source=_joined(units),
    target=options.separator.join(titles),
    page_id=page.page_id,
    titles=titles,
    spans=tuple(
      Span(page.page_id, (n, start), (n, end)) for n, start, end, _ in units
    ),
  )


def _joined(units: Iterable[_Unit]) -> str:
  return ' '.join(unit.text for unit in units)


def _overlap(a: Span, b: Span) -> bool:
  if a.start is None or a.end is None or b.start is None or b.end is None:
    return False
  return a.start < b.end and b.start < a.end


def _title(page: Page) -> str:
  return ' '.join(page.title.split())
