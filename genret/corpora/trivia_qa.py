# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""TriviaQA (Joshi et al., ACL 2017) over its Wikipedia evidence.

| file | holds |
|---|---|
| evidence/wikipedia/*.txt | a page each; the name is its title |
| qa/wikipedia-{train,dev,test-without-answers}.json | `{Data: [{QuestionId, Question, EntityPages: [{Filename}]}]}` |

or the questions of the unfiltered set, unfiltered-web-*.json, of the same form.
Reading them needs ijson, which comes with the extra `genret[eval]`.
"""

import gzip
import pathlib
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from tqdm import tqdm

from genret.corpora.beir_writer import DEV, TEST, TRAIN, Judgement, Record
from genret.corpora.public_files import PublicFiles
from genret.corpus import Document, Query

EVIDENCE = 'evidence/wikipedia/*.txt'

_QUESTIONS = {
  split: (f'qa/wikipedia-{name}.json', f'unfiltered-web-{name}.json')
  for split, name in (
    (TRAIN, 'train'),
    (DEV, 'dev'),
    (TEST, 'test-without-answers'),
  )
}


def evidence_pages(files: PublicFiles, *, seed: int = 0) -> Iterator[Record]:
  """All pages by name, and the questions of three splits with their pages.

  NCI (Wang et al., NeurIPS 2022) and Pradeep et al. (EMNLP 2023), who count about
  74,000 pages. NCI keeps one of pages with equal titles and cuts each at 10,240
  characters; here they are whole.

  A question without a page is written and has no judgement.

  Args:
    files: the folder that the archive unpacks to.
    seed: not used; nothing is drawn.
  """
  del seed
  paths = files.find(EVIDENCE)
  pages = _Pages({}, {})
  for number, path in enumerate(
    tqdm(paths, 'evidence', unit='page', disable=not files.progress)
  ):
    name = path.name.removesuffix('.gz')
    pages.by_name[name] = pages.by_letters[_letters(name)] = str(number)
    title = name.removesuffix('.txt').replace('_', ' ')
    yield Document(str(number), title, _text(path))
  for split, names in _QUESTIONS.items():
    for path in files.find(*names):
      yield from _questions(path, split, pages, files.progress)


class _Pages(NamedTuple):
  """Numbers of the pages by the names of their files.

  Archives and questions do not always encode accents alike.
  """

  by_name: dict[str, str]
  by_letters: dict[str, str]

  def doc_id(self, name: str) -> str:
    """The number of a page; of one that is not there its name, to report."""
    if name in self.by_name:
      return self.by_name[name]
    return self.by_letters.get(_letters(name), f'{EVIDENCE[:-5]}{name}')


def _letters(name: str) -> str:
  return unicodedata.normalize('NFC', name)


def _questions(
  path: pathlib.Path, split: str, pages: _Pages, progress: bool
) -> Iterator[Record]:
  bar = tqdm(desc=path.name, unit='question', disable=not progress)
  with bar:
    for number, fields in enumerate(_data(path), start=1):
      bar.update()
      try:
        query_id, text = fields['QuestionId'], fields['Question']
        names = [page['Filename'] for page in fields['EntityPages']]
        texts = [query_id, text, *names]
        if not all(isinstance(value, str) for value in texts):
          raise TypeError('what should be a text is none')
      except (KeyError, TypeError) as error:
        raise ValueError(
          f'{path}, question {number}: expected QuestionId, Question and '
          f'EntityPages with a Filename each, found others ({error!r}); unpack '
          'the file again.'
        ) from error
      yield Query(query_id, text)
      for doc_id in dict.fromkeys(map(pages.doc_id, names)):
        yield Judgement(split, query_id, doc_id)


def _data(path: pathlib.Path) -> Iterator[Any]:
  """Streams what is under Data."""
  import ijson

  some = False
  opener = gzip.open if path.name.endswith('.gz') else open
  try:
    with opener(path, 'rb') as file:
      for item in ijson.items(file, 'Data.item'):
        some = True
        yield item
  except (ijson.JSONError, EOFError, gzip.BadGzipFile) as error:
    raise ValueError(
      f'{path}: expected a JSON object with Data, found a file that does not '
      f'parse ({error}); unpack it again.'
    ) from error
  if not some:
    raise ValueError(
      f'{path}: expected questions under Data, found none; unpack the file '
      'again.'
    )


def _text(path: pathlib.Path) -> str:
  opener = gzip.open if path.name.endswith('.gz') else open
  with opener(path, 'rb') as file:
    data = file.read()
  try:
    return ' '.join(data.decode('utf-8').split())
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{path}: expected UTF-8, found the byte 0x{data[error.start]:02x}; '
      'unpack the file again.'
    ) from error
