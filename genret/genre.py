# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What GENRE learns from KILT: a text, and the title of a page that answers it.

De Cao et al., Autoregressive Entity Retrieval, ICLR 2021. The paper fixes that a
page is named by its title, that titles are generated from the text of a task, and
that a mention to be linked stands between two marks. How KILT's records become
text is the released program's (facebookresearch/GENRE at 08af8d0, `create_input`
and `convert_kilt_to_fairseq`). Where this differs from that program:

* Titles come in the order of the file; there in an order that varies by run.
* Contexts are cut by their own length, see `mark_mention`.
* Where the three fields of a mention are empty, there is none: exports of KILT to
  one table give every task these fields.
* A score of null is none; there it is an error.
* With `Titles`, targets are the titles of a corpus in its own spelling; there they
  are whatever the provenance says, in the trie or not.
"""

import functools
import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from genret import kilt_pages
from genret.kilt_records import KiltRecord
from genret.text_files import PathLike, read_lines

START_MENTION = '[START_ENT]'
END_MENTION = '[END_ENT]'
CONTEXT_WORDS = 384  # around a mention
BLEU = 0.5  # evidence counts above it
END_OF_LINE = '>>'  # of a turn of a dialogue, for one

_MENTION_FIELDS = ('left_context', 'mention', 'right_context')


class Pair(NamedTuple):
  """An example to train on.

  Attributes:
    input: what the model reads, on one line.
    title: what it is to write.
  """

  input: str
  title: str


class Titles:
  """The titles of a corpus, and other names that lead to them.

  That names are unique and that a page has one is GENRE's assumption (De Cao et
  al., ICLR 2021), which Wikipedia's titles meet but for case and blanks. Names are
  compared as `kilt_pages.canonical_title` spells them. Redirects of Wikipedia are
  used by the released program for links of free text alone, one step, and at most
  ten by mGENRE's; how they are followed here is ours:

  * A page's title is no alias: where a name is both, the page counts.
  * A chain is followed to the first name that is a page's.
  * A chain that ends in no page, or in a circle, leads nowhere.

  The identifiers of `docids.text.title` give the bare form of a title that several
  pages have to the first of them, in the order of the corpus, and number the others
  (or share it, with `collisions='share'`), so that a title by itself means the
  first; the id of a page tells them apart. Pages whose titles differ in nothing but
  what `canonical_title` evens out ('IPod' and 'iPod') keep both: a name that is
  spelled as one of them means it, any other spelling the first.

  Args:
    pages: page id and title of each page, in the order of the corpus.
    redirects: alias -> title or alias; a '#' in the latter begins the name of a
      section, and is dropped with it.

  Raises:
    ValueError: for an id that comes twice, a title or name without words, and two
      spellings of an alias that lead to different names.
  """

  def __init__(
    self,
    pages: Iterable[tuple[str, str]],
    redirects: Mapping[str, str] | None = None,
  ):
    self._title: dict[str, str] = {}  # of a page id
    self._first: dict[str, str] = {}  # page id of a canonical title
    self._pages: dict[str, list[str]] = {}  # likewise, where there are several
    for page_id, title in pages:
      if page_id in self._title:
        raise ValueError(
          f'Expected every page once, got {page_id!r} twice; keep one of them.'
        )
      name = _canonical(title, f'a title of page {page_id!r}')
      self._title[page_id] = title
      first = self._first.setdefault(name, page_id)
      if first is not page_id:
        self._pages.setdefault(name, [first]).append(page_id)
    self._redirects: dict[str, str] = {}
    for alias, title in (redirects or {}).items():
      name = _canonical(alias, f'an alias of {title!r}')
      target = _canonical(title.partition('#')[0], f'a title behind {alias!r}')
      if self._redirects.setdefault(name, target) != target:
        raise ValueError(
          f'Expected one title behind {name!r}, got {self._redirects[name]!r} '
          f'and {target!r}; keep one of these redirects.'
        )

  def __len__(self) -> int:
    """How many pages there are."""
    return len(self._title)

  def duplicates(self) -> dict[str, list[str]]:
    """The pages, two or more, of each canonical title that is not unique."""
    return {name: list(pages) for name, pages in self._pages.items()}

  def of_page(self, page_id: str) -> str | None:
    """The title of a page as the corpus spells it; None for no page."""
    return self._title.get(page_id)

  def resolve(self, name: str) -> str | None:
    """The title that a name stands for, as the corpus spells it.

    Args:
      name: a title or an alias, in any spelling that `canonical_title` evens out.

    Returns:
      None for a name that leads to no page.
    """
    page = self.page(name)
    return None if page is None else self._title[page]

  def page(self, name: str, page_id: str | None = None) -> str | None:
    """The id of the page that a name stands for.

    Args:
      name: as for `resolve`.
      page_id: tells which one, where several pages have that title.

    Returns:
      None for a name that leads to no page.
    """
    key = kilt_pages.canonical_title(name)
    passed = set()
    while key not in self._first:
      if key in passed or key not in self._redirects:
        return None
      passed.add(key)
      key = self._redirects[key]
    pages = self._pages.get(key, [self._first[key]])
    if page_id in pages:
      return page_id
    spelled = [page for page in pages if self._title[page] == name]
    return (spelled or pages)[0]


def read_redirects(path: PathLike) -> dict[str, str]:
  """Redirects for `Titles`, {alias: title}, from a file.

  Args:
    path: `.tsv[.gz]` with a line `alias<TAB>title` each, or `.json[.gz]` with one
      object.

  Raises:
    ValueError: for a file of another form, and an alias with two titles.
  """
  found: dict[str, str] = {}

  def keep(place: str, pairs: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    for alias, title in pairs:
      if not isinstance(title, str):
        raise ValueError(
          f'{place}: expected the title behind {alias!r} as text, found '
          f'{title!r:.60}; write {{alias: title}}.'
        )
      if found.setdefault(alias, title) != title:
        raise ValueError(
          f'{place}: expected one title behind {alias!r}, found '
          f'{found[alias]!r} and {title!r}; keep one of them.'
        )
    return found

  name = str(path).removesuffix('.gz')
  if name.endswith('.tsv'):
    for place, line in read_lines(path):
      columns = line.split('\t')
      if len(columns) != 2:
        raise ValueError(
          f'{place}: expected alias<TAB>title, found {len(columns)} columns; '
          'write two.'
        )
      keep(place, [(columns[0], columns[1])])
    return found
  if not name.endswith('.json'):
    raise ValueError(
      f'{path}: expected redirects in a .json or a .tsv file, found another '
      'name; rename the file.'
    )
  text = '\n'.join(line for _, line in read_lines(path))
  try:
    read = json.loads(text, object_pairs_hook=lambda p: keep(str(path), p))
  except json.JSONDecodeError as error:
    raise ValueError(
      f'{path}: expected one JSON object of redirects, found text that does '
      f'not parse ({error}); write {{alias: title}}.'
    ) from error
  if read is not found:
    raise ValueError(
      f'{path}: expected one JSON object of redirects, found '
      f'{type(read).__name__}; write {{alias: title}}.'
    )
  return found


def mark_mention(
  left: str, mention: str, right: str, *, words: int = CONTEXT_WORDS
) -> str:
  """A mention between marks, with the words around it.

  The marks are the paper's (De Cao et al., ICLR 2021), that 384 words stay is the
  released program's. A word there is what stands between two single blanks: a
  context without text is one word, of no letters, and two blanks have another one
  between them. Neither the mention nor the marks count. Where there are more words
  than `words`,

  * half are the last of the left context, half the first of the right one;
  * what one of them is short of its half, the other one has in addition.

  So `words` of them stay, on both sides as many as the contexts allow; of an odd
  number, the left half has one more.

  The program asks first whether the record's `input` has at most 384 words, and
  then keeps both contexts. Where `input` is the contexts and the mention, that is
  the same. But KILT's own program has cut `input` to 256 words and left the
  contexts whole, so that for its tasks nothing is cut before the model's own limit,
  which may cut the mention away. Here they are cut; a very large number keeps all.

  The mention stays whole, and an empty context leaves the blank that parts it from
  the mark. Marks that a context has of its own stay.

  Args:
    left: the text before the mention.
    mention: the words to link.
    right: the text behind it.
    words: of both contexts that stay at most, 0 or more.

  Raises:
    ValueError: for a negative number, and a mention without words.
  """
  if words < 0:
    raise ValueError(
      f'Expected words of at least 0, got {words}; give the words to keep.'
    )
  if not mention.strip():
    raise ValueError(
      f'Expected a mention with words, got {mention!r}; give the text to link.'
    )
  before, behind = left.split(' '), right.split(' ')
  half = words // 2
  kept_before = max(words - half, words - len(behind))
  kept_behind = max(half, words - len(before))
  before = before[max(len(before) - kept_before, 0) :]
  behind = behind[:kept_behind]
  return (
    f'{" ".join(before)} {START_MENTION} {mention} {END_MENTION} '
    f'{" ".join(behind)}'
  )


def one_line(text: str) -> str:
  """The text with '>>' for each end of a line, as the released program has it.

  It parts the turns of a dialogue. A carriage return counts by itself, so that the
  two characters of '\\r\\n' become four.
  """
  return text.replace('\r', END_OF_LINE).replace('\n', END_OF_LINE)


def input_text(record: KiltRecord, *, words: int = CONTEXT_WORDS) -> str:
  """What GENRE reads of a record, in training as in search.

  The paper (De Cao et al., ICLR 2021) marks a mention and else takes the input of
  KILT as it is. The released program does the former where `meta` has left_context,
  mention and right_context (none of them null, here, nor all of them empty), see
  `mark_mention`; the input is not read then. It replaces character references of
  HTML after cutting. In its files for training alone it then writes '>>' between
  lines (of a dialogue, see `one_line`), here in searches too, so that a model reads
  what it has learned. Slot filling keeps KILT's 'subject [SEP] relation'.

  Args:
    record: of any task.
    words: as for `mark_mention`.

  Raises:
    ValueError: naming the record, for one without input, contexts without a
      mention, and a field that is no text.
  """
  fields = [record.meta.get(name) for name in _MENTION_FIELDS]
  if any(field is None for field in fields) or not any(fields):
    return one_line(html.unescape(record.question()))
  left, mention, right = (
    _text(record, name, field)
    for name, field in zip(_MENTION_FIELDS, fields, strict=True)
  )
  if not mention.strip():
    raise ValueError(
      f'{_where(record)}: expected a mention between the contexts, found '
      f'{mention!r}; write the words to link.'
    )
  return one_line(
    html.unescape(mark_mention(left, mention, right, words=words))
  )


def template_questions(record: KiltRecord) -> tuple[str, ...]:
  """Questions that ask for what a record of slot filling does.

  KILT keeps those of zero-shot relation extraction (Levy et al., CoNLL 2017) in
  `meta`, and the released program of GENRE (De Cao et al., ICLR 2021) trains on
  them. They come as they are, references of HTML and repeats too, on one line
  each; null and an empty list are none.

  Raises:
    ValueError: naming the record, for anything but a list of strings.
  """
  found = record.meta.get('template_questions')
  if found is None:
    return ()
  if not isinstance(found, list) or not all(isinstance(q, str) for q in found):
    raise ValueError(
      f'{_where(record)}: expected a list of strings under template_questions, '
      f'found {found!r:.60}; write one string a question.'
    )
  return tuple(one_line(question) for question in found)


def questions(
  record: KiltRecord, *, words: int = CONTEXT_WORDS, templates: bool = True
) -> list[str]:
  """Each way to ask for what a record does: its input, then its templates.

  As the released program of GENRE (De Cao et al., ICLR 2021) has them for training.

  Args:
    record: of any task.
    words: as for `mark_mention`.
    templates: whether template questions come, too.

  Raises:
    ValueError: as `input_text` and `template_questions`.
  """
  own = input_text(record, words=words)
  return [own, *(template_questions(record) if templates else ())]


def gold_titles(
  record: KiltRecord,
  *,
  titles: Titles | None = None,
  bleu: float = BLEU,
  on_unknown: Callable[[KiltRecord, Mapping[str, Any]], object] | None = None,
) -> tuple[str, ...]:
  """The titles of the pages that answer a record, each once.

  The paper (De Cao et al., ICLR 2021) has a title a page. The released program has
  the limit: it takes the evidence of all outputs whose `bleu_score` is above 0.5,
  which KILT wrote where it had to look for the evidence again in its own snapshot,
  and evidence without a score. The limit is on each provenance, not on an output.

  Args:
    record: a gold record.
    titles: those of the corpus, which a title or alias leads to, or, where the
      title is missing or leads nowhere, the page id; without it titles are taken
      as they stand.
    bleu: the score that evidence has to be above; below 0 takes all.
    on_unknown: called with the record and the provenance where that leads to no
      title; the others are taken.

  Returns:
    In the order of the file; none for a record without outputs, without
    provenance, and whose evidence has low scores.

  Raises:
    ValueError: naming the record, for a score that is no number, and without
      `on_unknown` for evidence that leads to no title.
  """
  of = _named if titles is None else functools.partial(_title, titles)
  return _gold(record, of, bleu, on_unknown)


def gold_pages(
  record: KiltRecord,
  *,
  titles: Titles,
  bleu: float = BLEU,
  on_unknown: Callable[[KiltRecord, Mapping[str, Any]], object] | None = None,
) -> tuple[str, ...]:
  """The ids of the pages that answer a record, each once.

  The pages of `gold_titles`; of several pages with one title, that which the
  evidence names by its id.

  Args:
    record: a gold record.
    titles: those of the corpus.
    bleu: as for `gold_titles`.
    on_unknown: as for `gold_titles`.

  Raises:
    ValueError: as `gold_titles`.
  """
  return _gold(record, functools.partial(_page, titles), bleu, on_unknown)


def _gold(
  record: KiltRecord,
  of: Callable[[Mapping[str, Any]], str | None],
  bleu: float,
  on_unknown: Callable[[KiltRecord, Mapping[str, Any]], object] | None,
) -> tuple[str, ...]:
  """What `of` makes of the evidence, each once, in the order of the file."""
  found: dict[str, None] = {}
  for provenance in _evidence(record, bleu):
    gold = of(provenance)
    if gold is not None:
      found[gold] = None
    elif on_unknown is not None:
      on_unknown(record, provenance)
    else:
      shown = {name: provenance.get(name) for name in ('title', 'wikipedia_id')}
      raise ValueError(
        f'{_where(record)}: expected the title of a page of the corpus, found '
        f'{shown}; add the page or a redirect, or count them by on_unknown.'
      )
  return tuple(found)


def training_pairs(
  record: KiltRecord,
  *,
  titles: Titles | None = None,
  words: int = CONTEXT_WORDS,
  bleu: float = BLEU,
  templates: bool = True,
  on_unknown: Callable[[KiltRecord, Mapping[str, Any]], object] | None = None,
) -> list[Pair]:
  """What GENRE learns from a record: for each title, each way to ask for it.

  That a text is paired with one title at a time is the paper's loss (De Cao et al.,
  ICLR 2021), and the released program's files have a line a pair: the input and a
  title, then its template questions and this title, then the next title.
  CorpusBrain joins the titles of a record instead.

  Args:
    record: a gold record.
    titles: as for `gold_titles`.
    words: as for `mark_mention`.
    bleu: as for `gold_titles`.
    templates: whether template questions come, too.
    on_unknown: as for `gold_titles`.

  Returns:
    None for a record without titles, whether it has an input or not.

  Raises:
    ValueError: as `gold_titles`, `input_text` and `template_questions`.
  """
  found = gold_titles(record, titles=titles, bleu=bleu, on_unknown=on_unknown)
  if not found:
    return []
  asked = questions(record, words=words, templates=templates)
  return [Pair(text, one_line(title)) for title in found for text in asked]


def _evidence(record: KiltRecord, bleu: float) -> Iterator[Mapping[str, Any]]:
  """The provenances of all outputs whose score is above the limit."""
  for output in record.outputs:
    for provenance in output.provenance or ():
      score = provenance.get('bleu_score')
      if score is None:
        yield provenance
        continue
      is_number = isinstance(score, int | float) and not isinstance(score, bool)
      if not is_number or score != score:
        raise ValueError(
          f'{_where(record)}: expected a number under bleu_score, found '
          f'{score!r:.60}; write it as KILT does.'
        )
      if score > bleu:
        yield provenance


def _named(provenance: Mapping[str, Any]) -> str | None:
  """The title that a provenance has, None for none."""
  name = provenance.get('title')
  return None if name is None or not name.strip() else name


def _page(titles: Titles, provenance: Mapping[str, Any]) -> str | None:
  """The id of the page that a provenance leads to, None for none."""
  name, number = _named(provenance), provenance.get('wikipedia_id')
  page_id = None if number is None else str(number).strip()
  page = None if name is None else titles.page(name, page_id)
  if page is None and page_id is not None and titles.of_page(page_id):
    return page_id
  return page


def _title(titles: Titles, provenance: Mapping[str, Any]) -> str | None:
  """Likewise the title of that page."""
  page = _page(titles, provenance)
  return None if page is None else titles.of_page(page)


def _canonical(text: str, what: str) -> str:
  name = kilt_pages.canonical_title(text)
  if not name:
    raise ValueError(f'Expected {what} with words, got {text!r}; write it.')
  return name


def _text(record: KiltRecord, name: str, field: Any) -> str:
  if not isinstance(field, str):
    raise ValueError(
      f'{_where(record)}: expected a string under {name}, found '
      f'{field!r:.60}; write the text itself.'
    )
  return field


def _where(record: KiltRecord) -> str:
  return f'{record.place}: record {record.record_id!r}'
