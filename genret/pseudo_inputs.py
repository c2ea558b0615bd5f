# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Inputs in the style of KILT's tasks, made of a page alone.

CorpusBrain++ (Guo et al., 2024, https://arxiv.org/abs/2402.16767) learns new pages
by examples that look like the queries of each task:

| style | source | target |
|---|---|---|
| `fact_checking` | title, some words in a row from a passage | as CorpusBrain's for the passage |
| `question_answering` | a question word, title, some words in a row, ` ?` | likewise |
| `slot_filling` | `title [SEP] relation` | the title |
| `entity_linking` | a paragraph, a link in it between marks | the title of the link's page |
| `dialogue` | the lead text | as CorpusBrain's for it |

Passages are the first paragraph and two others, a lead text is the first three (the
first where there are fewer), all by `corpusbrain.page_examples`; so a target may list
titles of linked pages, and which pages are too short to learn is the same. Where the
released program (Sherlock-coder/CorpusBrainPlusPlus at 58901e3) differs:

* Its relations are predicted from a passage by a classifier of 154, which is not
  public; here they are drawn, as often as the task has them (`relations`).
* It asks a question about the lead text, too, for dialogue.
* It writes the examples of a passage several times; here each is given once.
* Its contexts of a mention are the whole paragraph with KILT's marks; here as
  `genre.mark_mention` cuts them, without marks. Headings have no mention here.
* It draws from one stream for all pages. Here an example depends on its page, the
  seed, the options and the titles of the corpus, as CorpusBrain's do.
"""

import collections
import dataclasses
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from genret import corpusbrain, genre
from genret.corpusbrain import Example
from genret.kilt_pages import Anchor, Page, canonical_title
from genret.kilt_records import KiltRecord, Span
from genret.ngram_examples import generator

STYLES = (
  'fact_checking',
  'question_answering',
  'slot_filling',
  'entity_linking',
  'dialogue',
)
# fmt: off
QUESTION_WORDS = (
  'What', 'Whose', 'Whom', 'Which', 'How', 'Where', 'When', 'Who', 'Why',
)
# fmt: on
SEPARATOR = '[SEP]'  # of subject and relation


def passages(options: corpusbrain.Options) -> corpusbrain.Options:
  """The same pages and titles of a target, but the passages that styles take."""
  return dataclasses.replace(
    options,
    inner='paragraphs',
    inner_examples=2,
    lead_windows=1,
    context_examples=0,
  )


PASSAGES = passages(corpusbrain.PAPER)


@dataclasses.dataclass(frozen=True)
class Options:
  """How inputs are made.

  Attributes:
    passages: which pages and passages are taken; the first window is the lead text.
    words: in a row, of a passage, in a question or a claim.
    relations: of a page, the most.
    mentions: of a page, the most; None for all.
    context_words: around a mention, see `genre.mark_mention`.
  """

  passages: corpusbrain.Options = PASSAGES
  words: int = 10
  relations: int = 3
  mentions: int | None = None
  context_words: int = genre.CONTEXT_WORDS

  def __post_init__(self) -> None:
    least = {'words': 1, 'relations': 1, 'mentions': 0, 'context_words': 0}
    for name, low in least.items():
      value = getattr(self, name)
      if value is not None and value < low:
        raise ValueError(
          f'Expected {name} of at least {low}, got {value}; choose another.'
        )


def relations(records: Iterable[KiltRecord]) -> dict[str, int]:
  """The relations that slot-filling records ask for, and how often, by name.

  Args:
    records: of files such as trex-train-kilt.jsonl, `subject [SEP] relation`.

  Raises:
    ValueError: naming a record of another form.
  """
  found: collections.Counter[str] = collections.Counter()
  for record in records:
    subject, mark, name = record.question().rpartition(SEPARATOR)
    if not (subject.strip() and mark and name.strip()):
      raise ValueError(
        f'{record.place}: expected subject {SEPARATOR} relation in record '
        f'{record.record_id!r}, found {record.input!r:.60}; give records of slot '
        'filling.'
      )
    found[' '.join(name.split())] += 1
  return dict(sorted(found.items()))


def examples(
  pages: Iterable[Page],
  titles: Mapping[str, Sequence[str]],
  *,
  relations: Mapping[str, int] | None = None,
  styles: Sequence[str] = STYLES,
  options: Options | None = None,
  seed: int = 0,
  skipped: collections.Counter[str] | None = None,
) -> Iterator[Example]:
  """What to learn from pages in the style of tasks, page by page; constant memory.

  Args:
    pages: those of a session, and old ones to learn again (`genret.replay`).
    titles: of the whole corpus, see `corpusbrain.corpus_titles`.
    relations: how often each is asked for, for `slot_filling`.
    styles: some of STYLES.
    options: how; None for `Options()`.
    seed: of the draws.
    skipped: see `page_examples`.

  Raises:
    ValueError: as `corpusbrain.check_separator`, before the first page, and as
      `page_examples`.
  """
  options = options or Options()
  for spellings in titles.values():
    corpusbrain.check_separator(spellings, options.passages.separator)
  for page in pages:
    yield from page_examples(
      page,
      titles,
      relations=relations,
      styles=styles,
      options=options,
      seed=seed,
      skipped=skipped,
    )


def page_examples(
  page: Page,
  titles: Mapping[str, Sequence[str]],
  *,
  relations: Mapping[str, int] | None = None,
  styles: Sequence[str] = STYLES,
  options: Options | None = None,
  seed: int = 0,
  skipped: collections.Counter[str] | None = None,
) -> list[Example]:
  """What to learn from a page, style by style, in the order of `styles`.

  Their `task` is the style. An input that a style has twice is given once.

  Args:
    page: with its paragraphs and links.
    titles: as for `examples`.
    relations: likewise.
    styles: likewise.
    options: likewise.
    seed: of the draws, with the id of the page and the style.
    skipped: counts what gives no example, as `corpusbrain.page_examples` does, and
      links that no mention is made of, as 'entity_linking: ...'.

  Raises:
    ValueError: for an unknown style, slot filling without relations, and as
      `corpusbrain.page_examples`.
  """
  options = options or Options()
  skipped = collections.Counter() if skipped is None else skipped
  if unknown := [style for style in styles if style not in STYLES]:
    raise ValueError(
      f'Expected styles of {", ".join(STYLES)}, got {unknown[0]!r}; choose '
      'another.'
    )
  if 'slot_filling' in styles and not _names(relations):
    raise ValueError(
      'Expected relations for slot_filling, got none; give some (of records, by '
      'pseudo_inputs.relations), or leave the style out.'
    )
  of_passages: collections.Counter[str] = collections.Counter()
  found = corpusbrain.page_examples(
    page, titles, options=options.passages, seed=seed, skipped=of_passages
  )
  skipped.update(  # its links are asked for mentions below
    {k: n for k, n in of_passages.items() if not k.startswith('hip: ')}
  )
  leading = [example for example in found if example.task == 'lps']
  passages = leading[:1] + [e for e in found if e.task == 'iss']
  made: list[Example] = []
  for style in styles if leading else ():
    rng = generator(seed, page.page_id, style)
    if style == 'dialogue':
      drafts = [e._replace(task=style) for e in leading[-1:]]
    elif style == 'entity_linking':
      drafts = _mentions(page, titles, options, rng, skipped)
    elif style == 'slot_filling':
      drafts = _slots(passages[0], relations or {}, options, rng)
    else:
      drafts = [_claim(style, e, options, rng) for e in passages]
    distinct: dict[str, Example] = {}
    for draft in drafts:
      distinct.setdefault(draft.source, draft)
    made += distinct.values()
  return made


def _claim(
  style: str, passage: Example, options: Options, rng: np.random.Generator
) -> Example:
  """The title and words of a passage, as a claim or a question."""
  words = passage.source.split()
  start = int(rng.integers(max(len(words) - options.words, 0) + 1))
  parts = [passage.titles[0], *words[start : start + options.words]]
  if style == 'question_answering':
    parts = [str(rng.choice(QUESTION_WORDS)), *parts, '?']
  return passage._replace(task=style, source=' '.join(parts))


def _slots(
  passage: Example,
  relations: Mapping[str, int],
  options: Options,
  rng: np.random.Generator,
) -> list[Example]:
  """The title and relations, likelier the more often they are asked for."""
  names, title = _names(relations), passage.titles[0]
  weight = np.array([relations[name] for name in names], float)
  count = min(options.relations, len(names))
  drawn = rng.choice(len(names), count, replace=False, p=weight / weight.sum())
  return [
    Example(
      task='slot_filling',
      source=f'{title} {SEPARATOR} {names[i]}',
      target=title,
      page_id=passage.page_id,
      titles=(title,),
      spans=(),
    )
    for i in drawn.tolist()
  ]


def _names(relations: Mapping[str, int] | None) -> list[str]:
  """The relations that may be drawn, whatever the order they came in."""
  return sorted(name for name, count in (relations or {}).items() if count > 0)


def _mentions(
  page: Page,
  titles: Mapping[str, Sequence[str]],
  options: Options,
  rng: np.random.Generator,
  skipped: collections.Counter[str],
) -> list[Example]:
  """Links to pages of the corpus, in the order of the page."""
  found = []
  for anchor in page.anchors:
    title = _target(anchor, page, titles)
    if title is None:  # counted among the links
      continue
    why = _no_mention(anchor, page)
    if why:
      skipped[f'entity_linking: {why}'] += 1
      continue
    paragraph = page.paragraphs[anchor.paragraph_id]
    first = page.text_from(anchor.paragraph_id)
    left, right = paragraph[first : anchor.start], paragraph[anchor.end :]
    source = genre.mark_mention(
      ' '.join(left.split()),
      ' '.join(anchor.text.split()),
      ' '.join(right.split()),
      words=options.context_words,
    )
    number = anchor.paragraph_id
    span = Span(page.page_id, (number, first), (number, len(paragraph)))
    found.append(
      Example(
        task='entity_linking',
        source=source,
        target=title,
        page_id=page.page_id,
        titles=(title,),
        spans=(span,),
      )
    )
  if options.mentions is None:
    return found
  chosen = rng.permutation(len(found))[: options.mentions]
  return [found[i] for i in sorted(chosen.tolist())]


def _target(
  anchor: Anchor, page: Page, titles: Mapping[str, Sequence[str]]
) -> str | None:
  """The title that a link leads to, as the corpus spells it."""
  spellings = titles.get(anchor.title)
  if not spellings or anchor.title == canonical_title(page.title):
    return None
  written = urllib.parse.unquote(anchor.href.partition('#')[0])
  written = ' '.join(written.replace('_', ' ').split())
  return written if written in spellings else spellings[0]


def _no_mention(anchor: Anchor, page: Page) -> str | None:
  """Why a link is no mention in a text."""
  number, start, end = anchor.paragraph_id, anchor.start, anchor.end
  if not 0 <= number < len(page.paragraphs):
    return 'offsets do not match'
  paragraph = page.paragraphs[number]
  if not 0 <= start < end <= len(paragraph):
    return 'offsets do not match'
  if paragraph[start:end] != anchor.text or not anchor.text.strip():
    return 'offsets do not match'
  if page.is_title(number) or page.is_heading(number):
    return 'in a heading'
  return 'offsets do not match' if start < page.text_from(number) else None
