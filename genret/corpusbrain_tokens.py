# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""CorpusBrain's pre-training examples as tokens: text in, identifiers out.

A target is made of rows of the table of identifiers, never of the spelling of its
titles, so that a trie over the table can write it token by token:

* The page's own title is the row of that page, by its id. Of pages with equal
  titles the later ones have a number behind the title, which no text spells.
* The title of a linked page is a name that may be that of several pages, and
  nothing tells which is meant. It is the shortest row among theirs, the first of
  them: the bare title, without a number.
* Several titles are their rows with the pieces of the separator between them.
  Pieces do not cross blanks, so that for the scheme `title` this is also how the
  text 'A | B' is cut, where no row has a number.

Besides CorpusBrain's own tasks a recipe may have the styles of CorpusBrain++
(`pseudo_inputs`), each as a task of its name.

A trie of single rows does not accept the separator: either decode with a
constraint that starts again behind it, or train with `multi_title=False`, on the
page's own title alone.
"""

import collections
import copy
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genret import (
  corpusbrain,
  kilt_records,
  kilt_survey,
  pseudo_inputs,
  sessions,
  title_targets,
  withheld_queries,
)
from genret import vocabulary as vocabulary_lib
from genret.corpusbrain import Example
from genret.docids.table import DocidTable
from genret.kilt_pages import Page
from genret.kilt_records import KiltRecord
from genret.kilt_survey import Survey
from genret.text_files import read_lines

TASKS = (*corpusbrain.TASKS, *pseudo_inputs.STYLES)
# Their target is the page that a link leads to, not the example's own.
_OF_LINKS = ('hip', 'entity_linking')

# Of `Maker.skipped`: a page that is not among the `only` ones.
OTHER_PAGE = 'page: of another session'

# What `Row.example` leaks besides `corpusbrain.LEAKS`.
QUERY = 'query'


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Which examples, and what is left out.

  Attributes:
    reading: one of `corpusbrain.READINGS`.
    options: changes to its `corpusbrain.Options`, by name.
    tasks: some of TASKS.
    multi_title: keep the titles that are listed behind the page's own.
    withhold: task files of KILT; see `drop`.
    drop: which of `corpusbrain.LEAKS` of their evidence leave an example out;
      others are counted.
    queries: a folder, or a file of queries; an example whose source has a long
      run of words of one of them is left out, see `withheld_queries`.
    query_splits: of a folder.
    seed: of the draws.
    relations: task files of slot filling, whose relations `slot_filling` asks
      for.
    only: files of page ids, one a line; no other pages give examples. None for
      all pages.
  """

  reading: str = 'paper'
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  tasks: Sequence[str] = corpusbrain.TASKS
  multi_title: bool = True
  withhold: Sequence[str] = ()
  drop: Sequence[str] = ('text',)
  queries: str | None = None
  query_splits: Sequence[str] = ()
  seed: int = 0
  relations: Sequence[str] = ()
  only: Sequence[str] | None = None

  def __post_init__(self) -> None:
    for name, known in (
      ('tasks', TASKS),
      ('drop', corpusbrain.LEAKS),
    ):
      given = getattr(self, name)
      if isinstance(given, str) or not set(given) <= set(known):
        raise ValueError(
          f'Expected {name} to be some of {", ".join(known)}, got {given!r}; '
          'choose among them.'
        )
    if not self.tasks:
      raise ValueError('Expected at least one task, got none; name some.')
    if ('slot_filling' in self.tasks) != bool(self.relations):
      raise ValueError(
        "Expected the task 'slot_filling' and relations together, got tasks "
        f'{", ".join(self.tasks)} and relations {list(self.relations)}; give both '
        'or neither.'
      )
    if self.reading not in corpusbrain.READINGS:
      raise ValueError(
        f'Expected reading to be {" or ".join(corpusbrain.READINGS)}, got '
        f'{self.reading!r}; choose one.'
      )
    names = [f.name for f in dataclasses.fields(corpusbrain.Options)]
    if unknown := sorted(set(self.options) - set(names)):
      raise ValueError(
        f'Expected options of {", ".join(names)}, got {unknown[0]!r}; correct '
        'its name.'
      )
    self.resolved()  # refuses values that cannot be

  def resolved(self) -> corpusbrain.Options:
    """The reading with its changes."""
    changes: dict[str, Any] = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in self.options.items()
    }
    return dataclasses.replace(corpusbrain.READINGS[self.reading], **changes)

  def identity(self, table: DocidTable) -> dict[str, Any]:
    """What the examples of a corpus depend on besides its pages; JSON.

    Args:
      table: the identifiers, which know the hash of the corpus.
    """
    options = dataclasses.asdict(self.resolved())
    return {
      'corpus_hash': table.meta.get('corpus_hash'),
      'docids_hash': table.hash,
      'vocabulary_hash': table.meta.get(vocabulary_lib.HASH_FIELD),
      'options': {
        k: list(v) if isinstance(v, tuple) else v for k, v in options.items()
      },
      'multi_title': self.multi_title,
      'withheld': _hash_of_lines(self.withhold),
      'drop': sorted(self.drop) if self.withhold else [],
      'queries': _queries(self).hash,
      'seed': self.seed,
      'relations': _hash_of_lines(self.relations),
      'only': None if self.only is None else _hash_of_lines(self.only),
    }


class Row(NamedTuple):
  """An example with its tokens, both without end-of-sequence."""

  example: Example
  inputs: list[int]
  targets: list[int]


class Maker:
  """Makes the rows of pages, and counts what it does.

  Attributes:
    skipped: see `corpusbrain.page_examples`.
    leaks: each leak of each example of the tasks that are wanted, dropped or not,
      as 'iss: text' or 'hip: query'.
    examples: of each task, without those that were dropped.
    anchors: `lps` and `iss` examples by how many titles they list, as
      `corpusbrain.anchor_histogram`; without `multi_title` none.
  """

  skipped: collections.Counter[str]
  leaks: collections.Counter[str]
  examples: collections.Counter[str]
  anchors: collections.Counter[int]

  def __init__(
    self,
    recipe: Recipe,
    docids: str,
    titles: Sequence[tuple[str, str]],
  ) -> None:
    """Reads what all pages share.

    Args:
      recipe: which examples.
      docids: a folder of `genret index docids`.
      titles: ids and titles of all pages of the corpus.

    Raises:
      ValueError: for a page that the table does not name, and a separator that
        the vocabulary cannot spell or that would not part titles.
    """
    self._recipe = recipe
    self._options = recipe.resolved()
    if not recipe.multi_title:  # then no title is listed, nor has to be parted
      self._options = dataclasses.replace(
        self._options, title_probabilities=(1.0,)
      )
    self._table = DocidTable.load(docids)
    self._pieces = vocabulary_lib.load_vocabulary(docids, self._table.meta)
    self._titles = corpusbrain.corpus_titles(kilt_survey.titled(titles))
    self._row_of_page = {
      page_id: row for row, page_id in enumerate(self._table.doc_ids)
    }
    self._row_of_title = self._rows_of_titles(titles)
    self._separator: list[int] = []
    if any(self._options.title_probabilities[1:]):
      corpusbrain.check_separator(
        (title for of in self._titles.values() for title in of),
        self._options.separator,
      )
      self._separator = self._checked_separator()
    self._evidence = corpusbrain.withheld(
      _records(recipe.withhold), kilt_survey.titled(titles)
    )
    self._queries = _queries(recipe)
    self._only = None
    if recipe.only is not None:
      self._only = {i for file in recipe.only for i in sessions.read_list(file)}
    self._relations = pseudo_inputs.relations(_records(recipe.relations))
    self._count_anew()

  def fresh(self) -> 'Maker':
    """The same with counts of its own; what all pages share is not read again."""
    other = copy.copy(self)
    other._count_anew()
    return other

  @property
  def tasks(self) -> tuple[str, ...]:
    """Those that are wanted."""
    return tuple(self._recipe.tasks)

  @property
  def seed(self) -> int:
    """That of the recipe."""
    return self._recipe.seed

  @property
  def short_queries(self) -> int:
    """Withheld queries of too few words to look for."""
    return self._queries.short

  @property
  def missing_evidence(self) -> int:
    """Pages of the evidence that are not in the corpus."""
    return len(self._evidence.missing)

  def rows(self, page: Page) -> list[Row]:
    """The rows of a page, in the order of `page_examples`: tasks, then styles."""
    if self._only is not None and page.page_id not in self._only:
      self.skipped[OTHER_PAGE] += 1
      return []
    made = corpusbrain.page_examples(
      page,
      self._titles,
      options=self._options,
      seed=self._recipe.seed,
      skipped=self.skipped,
    )
    wanted = [e for e in made if e.task in self._recipe.tasks]
    styles = [s for s in pseudo_inputs.STYLES if s in self._recipe.tasks]
    if styles:
      counted: collections.Counter[str] = collections.Counter()
      wanted += pseudo_inputs.page_examples(
        page,
        self._titles,
        relations=self._relations,
        styles=styles,
        options=pseudo_inputs.Options(
          passages=pseudo_inputs.passages(self._options)
        ),
        seed=self._recipe.seed,
        skipped=counted,
      )
      # Pages and links are counted above.
      self.skipped.update(
        {k: n for k, n in counted.items() if k.split(':')[0] in styles}
      )
    kept = []
    for example in corpusbrain.without_leaks(
      wanted, self._evidence, drop=self._recipe.drop, found=self.leaks
    ):
      if self._queries.found_in(example.source):
        self.leaks[f'{example.task}: {QUERY}'] += 1
      else:
        kept.append(example)
    self.examples.update(example.task for example in kept)
    self.anchors.update(
      corpusbrain.anchor_histogram(
        e for e in kept if e.task in corpusbrain.TASKS
      )
    )
    # One thread: many would start and end for each page.
    sources = self._pieces.encode([e.source for e in kept], num_threads=1)
    return [
      Row(example, source, self._target(example))
      for example, source in zip(kept, sources, strict=True)
    ]

  def _count_anew(self) -> None:
    self.skipped = collections.Counter()
    self.leaks = collections.Counter()
    self.examples = collections.Counter()
    self.anchors = collections.Counter()

  def _target(self, example: Example) -> list[int]:
    titles = example.titles
    if example.task in _OF_LINKS:
      tokens = self._tokens(self._row_of_title[titles[0]])
    else:
      tokens = self._tokens(self._row_of_page[example.page_id])
    for title in titles[1:]:
      tokens += self._separator + self._tokens(self._row_of_title[title])
    return tokens

  def _tokens(self, row: int) -> list[int]:
    length = self._table.lengths_D[row]
    return self._table.token_rows_DxL[row, :length].tolist()

  def _rows_of_titles(
    self, titles: Iterable[tuple[str, str]]
  ) -> dict[str, int]:
    """The row that each title stands for."""
    found: dict[str, int] = {}
    lengths = self._table.lengths_D.tolist()
    for page_id, title in titles:
      row = self._row_of_page.get(page_id)
      if row is None:
        raise ValueError(
          f'Expected identifiers of all pages, page {page_id!r} ({title!r}) has '
          'none; run `genret index docids` on this corpus.'
        )
      known = found.setdefault(' '.join(title.split()), row)
      if lengths[row] < lengths[known]:
        found[' '.join(title.split())] = row
    return found

  def _checked_separator(self) -> list[int]:
    separator = self._options.separator
    tokens = self._pieces.encode(separator)
    advice = (
      'choose another separator, a vocabulary that knows it, or '
      'multi_title=False.'
    )
    if not tokens or vocabulary_lib.UNK_ID in tokens:
      raise ValueError(
        f'Expected a separator that the vocabulary can spell, it cannot spell '
        f'{separator!r}; {advice}'
      )
    row = title_targets.row_with_separator(self._table, tokens)
    if row is not None:
      raise ValueError(
        f'Expected identifiers without the pieces of the separator '
        f'{separator!r}, document {self._table.doc_ids[row]!r} has them; '
        f'{advice}'
      )
    return tokens


def check_corpus(found: Survey, docids: str) -> None:
  """Refuses identifiers of another corpus.

  Raises:
    ValueError: where the hashes differ; a table of one's own has none.
  """
  expected = DocidTable.load(docids).meta.get('corpus_hash')
  if expected is not None and expected != found.hash:
    raise ValueError(
      f'Expected the corpus that the identifiers name (hash {expected[:12]}), '
      f'the pages have hash {found.hash[:12]}; run `genret index docids` on '
      'them.'
    )


def _records(files: Iterable[str]) -> Iterable[KiltRecord]:
  return (r for file in files for r in kilt_records.read_records(file))


def _queries(recipe: Recipe) -> withheld_queries.WithheldQueries:
  return withheld_queries.read_withheld(recipe.queries, recipe.query_splits)


def _hash_of_lines(files: Iterable[str]) -> str:
  """Of what text files say, however they are called and compressed."""
  digests = []
  for file in files:
    digest = hashlib.sha256()
    for _, line in read_lines(pathlib.Path(file)):
      digest.update(f'{line}\n'.encode())
    digests.append(digest.hexdigest())
  return hashlib.sha256(' '.join(sorted(digests)).encode()).hexdigest()
