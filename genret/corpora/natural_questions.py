# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Natural Questions (Kwiatkowski et al., TACL 2019) as retrieval corpora.

An example is a question and the Wikipedia page that was shown to the annotator.
Read are the simplified format ({example_id, question_text, document_text,
document_url, annotations}; tokens of document_text are separated by single spaces
and include HTML tags, whose own spaces are underscores) and the original one
(document_tokens [{token, html_token}] and document_title in place of
document_text), line by line.

Whether an annotator found an answer plays no part unless `answered` asks for it:
DSI and NCI take every page with its question.
"""

import html
import json
import random
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

from genret.corpora.beir_writer import DEV, TRAIN, Judgement, Record
from genret.corpora.public_files import PublicFiles
from genret.corpus import Document, Query

TRAIN_FILES = (
  'v1.0-simplified_simplified-nq-train.jsonl',
  'simplified-nq-train.jsonl',
  'nq-train-??.jsonl',
)
DEV_FILES = (
  'v1.0-simplified_nq-dev-all.jsonl',
  'nq-dev-all.jsonl',
  'nq-dev-??.jsonl',
)

# A tag as a token of its own; spaces inside a tag have become underscores.
_TAG = re.compile(r'(?<!\S)</?[A-Za-z][^\s<>]*>(?!\S)')
_HEADING = re.compile(r'(?<!\S)<H1>(?!\S)(.*?)</H1>(?!\S)', re.I | re.S)
_PARAGRAPH = re.compile(r'(?<!\S)<P>(?!\S)(.*?)</P>(?!\S)', re.I | re.S)
_END_OF_LIST = re.compile(r'(?<!\S)</Ul>(?!\S)', re.I)


class Example(NamedTuple):
  """A question with its page.

  Attributes:
    example_id: the question's.
    question: its text.
    url: of the page, of the revision that was shown.
    title: of the page: its first heading, else document_title, else what the
      address says.
    page: the tokens of the page, HTML tags too, separated by spaces.
    answered: some annotator marked a long answer, which all answers have.
  """

  example_id: str
  question: str
  url: str
  title: str
  page: str
  answered: bool


def nq_pages(
  files: PublicFiles,
  *,
  seed: int = 0,
  revisions: str = 'distinct',
  answered: bool = False,
) -> Iterator[Record]:
  """All pages and questions of both official splits: DSI's NQ320K.

  Tay et al. (NeurIPS 2022): 307,373 pairs to train on and 7,830 to validate, about
  228,000 pages. A page's text is what follows its first heading, without tags.

  Args:
    files: the official train and dev files.
    seed: not used; nothing is drawn.
    revisions: 'distinct', where two revisions of a page are two documents, as in
      DSI; or 'merged', where the first revision that comes stands for all.
    answered: only questions that an annotator found an answer to.
  """
  del seed
  pages = _Pages(_key_of(revisions), plain_text)
  for split, patterns in ((TRAIN, TRAIN_FILES), (DEV, DEV_FILES)):
    for _, example in read_examples(files, *patterns):
      if example.answered or not answered:
        yield from pages.records(example, split)


def nq_sample(
  files: PublicFiles,
  *,
  seed: int = 0,
  train: int = 8_000,
  dev: int = 2_000,
  revisions: str = 'distinct',
) -> Iterator[Record]:
  """A random part of the training pairs, with a random part to validate.

  NQ10K and NQ100K of Tay et al. (NeurIPS 2022). The draws of the paper are not
  public. The corpus is the pages of the pairs.

  Args:
    files: the official train file; it is read twice.
    seed: of both draws.
    train: pairs to train on.
    dev: pairs to validate.
    revisions: as for `nq_pages`.

  Raises:
    ValueError: there are fewer pairs.
  """
  total = sum(1 for _ in files.lines(*TRAIN_FILES))
  if train + dev > total:
    raise ValueError(
      f'Expected {train + dev} training pairs or more, the file has {total}; '
      'lower the options train and dev.'
    )
  chosen = random.Random(seed).sample(range(total), train + dev)
  split_of = {
    line: TRAIN if place < train else DEV for place, line in enumerate(chosen)
  }
  pages = _Pages(_key_of(revisions), plain_text)
  for number, example in read_examples(files, *TRAIN_FILES, only=split_of):
    yield from pages.records(example, split_of[number])


def nq_titles(files: PublicFiles, *, seed: int = 0) -> Iterator[Record]:
  """All pages and questions, one document a title: NCI's NQ320K.

  Wang et al. (NeurIPS 2022) keep the first page of those whose titles are equal in
  lower case, 109,739 in their release. A page's text is its first paragraph and
  what follows it up to the last but one list, without tags.

  Titles are compared as BERT's uncased pieces spell them in theirs: without accents,
  and with spaces around punctuation. Theirs also makes every character that those
  pieces lack equal; and it gives a page without a paragraph the body of the page
  before it, where this one takes all that follows the heading.

  Args:
    files: the official train and dev files.
    seed: not used; nothing is drawn.
  """
  del seed
  pages = _Pages(title_key, abstract_and_body)
  for split, patterns in ((TRAIN, TRAIN_FILES), (DEV, DEV_FILES)):
    for _, example in read_examples(files, *patterns):
      yield from pages.records(example, split)


def read_examples(
  files: PublicFiles, *patterns: str, only: Container[int] | None = None
) -> Iterator[tuple[int, Example]]:
  """Yields (number from 0, example) of every line, or of those in `only`.

  Raises:
    ValueError: for a line that is no example of either format, naming it.
  """
  for number, (place, line) in enumerate(files.lines(*patterns)):
    if only is None or number in only:
      yield number, _example(place, line)


def plain_text(example: Example) -> str:
  """What follows the first heading of a page, without tags."""
  heading = _HEADING.search(example.page)
  return _untagged(example.page[heading.end() if heading else 0 :])


def abstract_and_body(example: Example) -> str:
  """The first paragraph of a page, and the rest without its last two lists."""
  page, heading = example.page, _HEADING.search(example.page)
  paragraph = _PARAGRAPH.search(page)
  abstract, start = '', heading.end() if heading else 0
  if paragraph:
    abstract, start = paragraph[1], paragraph.end()
  ends = [found.start() for found in _END_OF_LIST.finditer(page)]
  end = ends[max(len(ends) - 2, 0)] if ends else len(page)
  return _untagged(f'{abstract} {page[start:end]}')


def title_key(example: Example) -> str:
  """What titles that count as equal have in common."""
  letters = (
    f' {c} ' if unicodedata.category(c).startswith('P') else c
    for c in unicodedata.normalize('NFD', example.title.lower())
    if unicodedata.category(c) != 'Mn'
  )
  return ' '.join(''.join(letters).split()) or example.url


def page_title(url: str) -> str:
  """The title that an address of Wikipedia names; '' where it names none."""
  parts = urllib.parse.urlsplit(html.unescape(url))
  named = urllib.parse.parse_qs(parts.query).get('title')
  last = urllib.parse.unquote(parts.path.rpartition('/')[2])
  return (named[0] if named else last).replace('_', ' ')


class _Pages:
  """Gives each page its number as it first comes."""

  def __init__(
    self, key: Callable[[Example], str], text: Callable[[Example], str]
  ):
    self._key, self._text = key, text
    self._number: dict[str, int] = {}

  def records(self, example: Example, split: str) -> Iterator[Record]:
    key = self._key(example)
    if key not in self._number:
      self._number[key] = len(self._number)
      doc_id = str(self._number[key])
      yield Document(doc_id, example.title, self._text(example), example.url)
    yield Query(example.example_id, example.question)
    yield Judgement(split, example.example_id, str(self._number[key]))


def _key_of(revisions: str) -> Callable[[Example], str]:
  keys: dict[str, Callable[[Example], str]] = {
    'distinct': lambda example: example.url,
    'merged': lambda example: page_title(example.url) or example.url,
  }
  if revisions not in keys:
    raise ValueError(
      f'Expected revisions to be one of {", ".join(keys)}, got {revisions!r}.'
    )
  return keys[revisions]


def _untagged(page: str) -> str:
  return ' '.join(_TAG.sub(' ', page).split())


def _example(place: str, line: str) -> Example:
  """Reads a line of either format."""
  try:
    fields = json.loads(line)
    text = fields.get('document_text')
    page = _simplified(fields['document_tokens']) if text is None else text
    heading = _HEADING.search(page)
    title = _untagged(heading[1]) if heading else fields.get('document_title')
    return Example(
      example_id=str(fields['example_id']),
      question=_string(fields['question_text']),
      url=_string(fields['document_url']),
      title=_string(title or page_title(fields['document_url'])),
      page=_string(page),
      # Short and yes/no answers come with a long one.
      answered=any(
        annotation['long_answer']['start_token'] >= 0
        for annotation in fields['annotations']
      ),
    )
  except (ValueError, TypeError, KeyError, AttributeError) as error:
    raise ValueError(
      f'{place}: expected an example of Natural Questions with example_id, '
      'question_text, document_url, annotations, and document_text or '
      f'document_tokens, found another ({type(error).__name__}: {error}); '
      'download the file again.'
    ) from error


def _string(value: Any) -> str:
  if not isinstance(value, str):
    raise TypeError(f'{type(value).__name__} where a text belongs')
  return value


def _simplified(tokens: list[dict[str, Any]]) -> str:
  """document_text of document_tokens."""
  return ' '.join(token['token'].replace(' ', '_') for token in tokens)
