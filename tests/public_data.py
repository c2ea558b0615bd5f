# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Small files in the public formats that `genret corpus` reads."""

import dataclasses
import gzip
import json
import pathlib


def write(path: pathlib.Path, text: str) -> None:
  """Writes a file, compressed where its name says so; parents are made."""
  path.parent.mkdir(parents=True, exist_ok=True)
  data = text.encode()
  path.write_bytes(gzip.compress(data) if path.suffix == '.gz' else data)


def write_rows(path: pathlib.Path, rows, separator='\t') -> None:
  write(path, ''.join(separator.join(map(str, row)) + '\n' for row in rows))


@dataclasses.dataclass
class Page:
  """A page of Wikipedia, as tokens would spell it, and a question about it."""

  title: str
  abstract: str = 'what comes first'
  body: str = 'more < text > & so on'
  lists: tuple[str, ...] = ('see also', 'references', 'navigation')
  revision: int = 1
  question: str = 'who is it'
  answer: str = 'none'  # 'none', 'long', 'short' or 'yes'
  heading: bool = True

  @property
  def url(self) -> str:
    name = self.title.replace(' ', '_')
    return (
      f'https://en.wikipedia.org//w/index.php?title={name}&amp;'
      f'oldid={self.revision}'
    )

  @property
  def tokens(self) -> list[tuple[str, bool]]:
    """(token, is a tag) of the page."""
    found = [(t, False) for t in f'{self.title} - wikipedia'.split()]
    if self.heading:
      found += [('<H1>', True), *self._words(self.title), ('</H1>', True)]
    found += self._words('Jump to : search')
    if self.abstract:
      found += [('<P>', True), *self._words(self.abstract), ('</P>', True)]
    found += [('<Table>', True), ('<Th colspan="2">', True)]
    found += [*self._words(self.body), ('</Th>', True), ('</Table>', True)]
    for text in self.lists:
      found += [('<Ul>', True), ('<Li>', True), *self._words(text)]
      found += [('</Li>', True), ('</Ul>', True)]
    return [*found, *self._words('the end')]

  def _words(self, text):
    return [(word, False) for word in text.split()]

  @property
  def annotation(self) -> dict:
    long = {'start_token': -1, 'end_token': -1, 'candidate_index': -1}
    if self.answer != 'none':
      long = {'start_token': 5, 'end_token': 9, 'candidate_index': 0}
    short = [{'start_token': 6, 'end_token': 7}]
    return {
      'annotation_id': 1,
      'long_answer': long,
      'short_answers': short if self.answer == 'short' else [],
      'yes_no_answer': 'YES' if self.answer == 'yes' else 'NONE',
    }

  def simplified(self, example_id: int) -> dict:
    """An example of simplified-nq-train.jsonl."""
    return {
      'document_text': ' '.join(t.replace(' ', '_') for t, _ in self.tokens),
      'long_answer_candidates': [],
      'question_text': self.question,
      'annotations': [self.annotation],
      'document_url': self.url,
      'example_id': example_id,
    }

  def original(self, example_id: int) -> dict:
    """An example of nq-dev-all.jsonl, with five annotators."""
    tokens = [
      {'token': t, 'start_byte': 0, 'end_byte': 1, 'html_token': tag}
      for t, tag in self.tokens
    ]
    nobody = Page('').annotation
    return {
      'annotations': [*[nobody] * 4, self.annotation],
      'document_html': '<html></html>',
      'document_title': self.title,
      'document_tokens': tokens,
      'document_url': self.url,
      'example_id': example_id,
      'long_answer_candidates': [],
      'question_text': self.question,
      'question_tokens': self.question.split(),
    }


def write_nq(folder, train, dev=(), ending='.jsonl.gz') -> None:
  """Example i of train has the id 100 + i, of dev -i - 1."""
  rows = [json.dumps(p.simplified(100 + i)) for i, p in enumerate(train)]
  name = 'v1.0-simplified_simplified-nq-train'
  write(folder / f'{name}{ending}', ''.join(f'{row}\n' for row in rows))
  rows = [json.dumps(p.original(-i - 1)) for i, p in enumerate(dev)]
  name = 'v1.0-simplified_nq-dev-all'
  write(folder / f'{name}{ending}', ''.join(f'{row}\n' for row in rows))


# MS MARCO: 60 passages; training query q asks for passage 3 q, dev query q for
# the next one, and some for two.
PASSAGES = 60
TRAIN_PAIRS = [(1000 + q, 3 * q) for q in range(20)] + [(1000, 59)]
TRAIN_PAIRS.insert(4, (1019, 3))  # two queries for one passage
DEV_PAIRS = [(2000 + q, 3 * q + 1) for q in range(12)]
DEV_PAIRS += [(2000, 0), (2001, 50)]  # passage 0 answers a training query too


def passage(pid: int) -> str:
  return f'passage {pid} "quoted'


def write_ms_marco(folder, ending='') -> None:
  rows = [(pid, passage(pid)) for pid in range(PASSAGES)]
  write_rows(folder / f'collection.tsv{ending}', rows)
  for split, pairs in (('train', TRAIN_PAIRS), ('dev.small', DEV_PAIRS)):
    ids = sorted({q for q, _ in pairs}) + [9000]  # 9000 has no judgement
    rows = [(q, f'query {q}') for q in ids]
    write_rows(folder / f'queries.{split}.tsv{ending}', rows)
    rows = [(q, 0, pid, 1) for q, pid in pairs]
    rows += [rows[3], (pairs[0][0], 0, 29, 0)]  # said twice; judged irrelevant
    write_rows(folder / f'qrels.{split}.tsv{ending}', rows)


def write_ms_marco_documents(folder, ending='.gz') -> None:
  """50 documents; training query q asks for document q % 40."""
  rows = [
    (f'D{d}', f'http://site/{d}', f'title {d}', f'body {d}' if d else '')
    for d in range(50)
  ]
  write_rows(folder / f'msmarco-docs.tsv{ending}', rows)
  for split, count in (('train', 45), ('dev', 9)):
    rows = [(q, f'{split} query {q}') for q in range(count)]
    name = f'msmarco-doc{split}-queries.tsv{ending}'
    write_rows(folder / name, [(f'{split[0]}{q}', text) for q, text in rows])
    rows = [(f'{split[0]}{q}', 0, f'D{q % 40}', 1) for q in range(count)]
    name = f'msmarco-doc{split}-qrels.tsv{ending}'
    write_rows(folder / name, rows, separator=' ')


def write_trivia_qa(folder, pages, questions) -> None:
  """Pages {file name: text}; questions {split: [(id, text, file names)]}."""
  for name, text in pages.items():
    write(folder / 'evidence' / 'wikipedia' / name, text)
  for split, rows in questions.items():
    data = [
      {
        'Answer': {'Value': 'x', 'Aliases': ['x']},
        'EntityPages': [
          {'DocSource': 'TagMe', 'Filename': name, 'Title': name}
          for name in names
        ],
        'Question': text,
        'QuestionId': query_id,
        'SearchResults': [],
      }
      for query_id, text, names in rows
    ]
    content = {'Data': data, 'Domain': 'Wikipedia', 'Version': 1.0}
    write(folder / f'qa/wikipedia-{split}.json', json.dumps(content, indent=4))
