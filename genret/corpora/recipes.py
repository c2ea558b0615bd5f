# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The corpora by the names that `genret corpus` has for them."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from genret.corpora import (
  kilt,
  ms_marco,
  natural_questions,
  session_folders,
  trivia_qa,
)
from genret.corpora.beir_writer import Record, Summary, write_collection
from genret.corpora.public_files import PublicFiles
from genret.text_files import PathLike


class Recipe(NamedTuple):
  """How a corpus is made.

  Attributes:
    about: what it is, in a line.
    records: a function of PublicFiles, `seed` and options.
    lower_case: whether its paper writes everything in lower case.
  """

  about: str
  records: Callable[..., Iterator[Record]]
  lower_case: bool = False


RECIPES: Mapping[str, Recipe] = {
  'nq320k-dsi': Recipe(
    'all pages of Natural Questions, revisions distinct (DSI)',
    natural_questions.nq_pages,
    lower_case=True,
  ),
  'nq10k': Recipe(
    '10,000 random training pairs, 2,000 of them to validate (DSI)',
    natural_questions.nq_sample,
    lower_case=True,
  ),
  'nq100k': Recipe(
    '100,000 random training pairs, 20,000 of them to validate (DSI)',
    functools.partial(natural_questions.nq_sample, train=80_000, dev=20_000),
    lower_case=True,
  ),
  'nq320k-nci': Recipe(
    'one page a title, abstract and body (NCI)', natural_questions.nq_titles
  ),
  'triviaqa': Recipe(
    'the Wikipedia evidence of TriviaQA', trivia_qa.evidence_pages
  ),
  'msmarco-100k': Recipe(
    '93,020 train and 6,980 dev passages (DSI-QG)', ms_marco.passage_sample
  ),
  'msmarco-1m': Recipe(
    'all judged passages and random ones, 1,000,000 (Pradeep et al.)',
    ms_marco.passage_subset,
  ),
  'msmarco-full': Recipe('all 8,841,823 passages', ms_marco.passages),
  'msmarco-doc-10k': Recipe(
    'the documents of 14,763 train and 1,330 dev pairs (SE-DSI)',
    functools.partial(ms_marco.document_sample, train=14_763, dev=1_330),
  ),
  'msmarco-doc-100k': Recipe(
    'the documents of 96,948 train and 3,000 dev pairs (SE-DSI)',
    ms_marco.document_sample,
  ),
  'msmarco-doc-full': Recipe('all 3,213,835 documents', ms_marco.documents),
  'kilt-pages': Recipe('all pages of KILT, 5,903,530', kilt.page_corpus),
  'kilt-passages': Recipe(
    'the pages of KILT in passages of 100 words', kilt.passage_corpus
  ),
}

# The one that is no BEIR folder: it stays in KILT's format.
SESSIONS = 'kilt-sessions'
ABOUT_SESSIONS = 'KILT in a base and later sessions (CorpusBrain++)'


def options_of(name: str) -> dict[str, Any]:
  """The options of a recipe with their defaults, the seed among them.

  Raises:
    ValueError: there is no such recipe.
  """
  if name == SESSIONS:
    function: Callable[..., object] = session_folders.kilt_sessions
  elif name in RECIPES:
    function = RECIPES[name].records
  else:
    raise ValueError(
      f'Expected one of the corpora {", ".join([*RECIPES, SESSIONS])}, got '
      f'{name!r}.'
    )
  parameters = inspect.signature(function).parameters.values()
  return {p.name: p.default for p in parameters if p.default is not p.empty}


def build(
  name: str,
  folder: PathLike,
  output: PathLike,
  *,
  options: Mapping[str, Any] | None = None,
  lower_case: bool | None = None,
  hold_out: int = 0,
  drop_missing: bool = False,
  compress: bool = True,
  progress: bool = False,
) -> Summary:
  """Builds a corpus from the public files of its data set.

  Args:
    name: one of RECIPES.
    folder: holds the files under the names that they were published with.
    output: the BEIR folder to write, a new one.
    options: of the recipe, see `options_of`.
    lower_case: None for what the recipe's paper does.
    hold_out: as for `write_collection`, and so are drop_missing and compress.
    drop_missing: leave out judgements of documents that are not there.
    compress: write corpus.jsonl.gz.
    progress: show bars.

  Raises:
    ValueError: for an unknown name or option or its type, and as the recipe and
      `write_collection` do.
    FileNotFoundError: a public file is not there.
  """
  chosen = _chosen(name, options)
  if name == SESSIONS:
    raise ValueError(
      f'Expected a corpus that becomes a BEIR folder, got {name}; call '
      'build_sessions.'
    )
  recipe = RECIPES[name]
  lower_case = recipe.lower_case if lower_case is None else lower_case
  return write_collection(
    recipe.records(PublicFiles(folder, progress), **chosen),
    output,
    lower_case=lower_case,
    hold_out=hold_out,
    drop_missing=drop_missing,
    compress=compress,
    seed=chosen['seed'],
    meta={
      'name': name,
      'options': chosen,
      'lower_case': lower_case,
      'hold_out': hold_out,
    },
  )


def build_sessions(
  folder: PathLike,
  output: PathLike,
  *,
  options: Mapping[str, Any] | None = None,
  compress: bool = True,
  progress: bool = False,
) -> session_folders.SessionSummary:
  """Splits a KILT folder into sessions, see `session_folders.kilt_sessions`.

  Args:
    folder: holds the knowledge source and any task files.
    output: the folder to write, a new one.
    options: see `options_of`.
    compress: write .gz.
    progress: show bars.

  Raises:
    ValueError: for an unknown option or its type, and as `kilt_sessions`.
    FileNotFoundError: a public file is not there.
  """
  return session_folders.kilt_sessions(
    PublicFiles(folder, progress),
    output,
    compress=compress,
    **_chosen(SESSIONS, options),
  )


def _chosen(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
  """The options of a recipe, checked, and the defaults of the others."""
  defaults = options_of(name)
  for key, value in (options or {}).items():
    if key not in defaults:
      raise ValueError(
        f'Expected options of {name} ({", ".join(defaults)}), got '
        f'{key}={value!r}.'
      )
    if type(value) is not type(defaults[key]) or (
      type(value) is int and value < 0
    ):
      raise ValueError(
        f'Expected {key} of {name} to be of type '
        f'{type(defaults[key]).__name__} and not negative, got {value!r}.'
      )
  return defaults | dict(options or {})
