# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Build a corpus of the literature from its public files.

--input is a folder with the files under the names that they were published with,
plain or .gz; docs/corpora.md has these names and how each corpus is made. --output
becomes a BEIR folder: corpus.jsonl.gz, queries.jsonl, qrels/ and meta.json. The
corpus hash that is printed tells corpora of one name apart. kilt-sessions stays in
KILT's format instead: --output gets a KILT folder for each session.

example:
  genret corpus nq320k-dsi --input natural_questions --output nq320k
  genret corpus nq320k-dsi --input natural_questions --output nq320k_merged \\
    --option revisions=merged
  genret corpus nq10k --input natural_questions --output nq10k --option seed=1
  genret corpus msmarco-100k --input ms_marco --output msmarco_100k
  genret corpus kilt-sessions --input kilt --output kilt_sessions \\
    --option shares=0.8,0.2
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from genret.corpora import recipes


def main(argv: Sequence[str]) -> int:
  """Runs `genret corpus`."""
  arguments = _parser().parse_args(list(argv))
  start = time.perf_counter()
  if arguments.name == recipes.SESSIONS:
    rows = _sessions(arguments)
  else:
    rows = _corpus(arguments)
  rows |= {
    'seconds': f'{time.perf_counter() - start:.1f}',
    'folder': arguments.output,
  }
  for name, value in rows.items():
    print(f'{name:>18}  {value}')
  return 0


def _corpus(arguments: argparse.Namespace) -> dict[str, str]:
  """Writes a BEIR folder, and says what is in it."""
  found = recipes.build(
    arguments.name,
    arguments.input,
    arguments.output,
    options=_options(arguments.name, arguments.option),
    lower_case=arguments.lower_case,
    hold_out=arguments.hold_out,
    drop_missing=arguments.drop_missing,
    compress=not arguments.plain,
    progress=True,
  )
  rows = {
    'documents': f'{found.documents:,} ({found.empty_documents:,} without words)',
    'queries': f'{found.queries:,} ({found.empty_queries:,} without words, '
    f'{found.unjudged:,} without a judgement)',
  }
  for split, pairs in found.pairs.items():
    share = found.judged[split] / found.documents
    rows[f'{split} pairs'] = (
      f'{pairs:,} of {found.judged[split]:,} documents ({share:.1%})'
    )
  rows |= {
    'judgements dropped': f'{found.dropped:,}',
    'corpus hash': found.corpus_hash,
  }
  return rows


def _sessions(arguments: argparse.Namespace) -> dict[str, str]:
  """Writes KILT folders, and says what is in them."""
  idle = {
    '--lower-case': arguments.lower_case is not None,
    '--hold-out': arguments.hold_out,
    '--drop-missing': arguments.drop_missing,
  }
  for name, given in idle.items():
    if given:
      raise ValueError(
        f'Expected {arguments.name} without {name}: records are copied as they '
        'are; leave it out.'
      )
  found = recipes.build_sessions(
    arguments.input,
    arguments.output,
    options=_options(arguments.name, arguments.option),
    compress=not arguments.plain,
    progress=True,
  )
  rows = {}
  for number, (pages, records) in enumerate(
    zip(found.pages, found.records, strict=True)
  ):
    count = sum(records.values())
    rows[f'session {number}'] = f'{pages:,} new pages, {count:,} records'
  rows['without evidence'] = f'{found.without_evidence:,} records'
  rows['missing'] = f'{found.missing_pages:,} pages that are evidence'
  return rows


def _parser() -> argparse.ArgumentParser:
  about = {name: of.about for name, of in recipes.RECIPES.items()}
  about[recipes.SESSIONS] = recipes.ABOUT_SESSIONS
  corpora = (f'  {name:<17} {text}' for name, text in about.items())
  parser = argparse.ArgumentParser(
    prog='genret corpus',
    description=__doc__,
    epilog='\n'.join(['corpora:', *corpora]),
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('name', metavar='NAME', help='of the corpus, see below')
  add('--input', required=True, help='the folder with the public files')
  add('--output', required=True, help='the folder to write, a new one')
  add(
    '--option',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='of the corpus, such as seed=1, revisions=merged or train=8000',
  )
  add(
    '--lower-case',
    action=argparse.BooleanOptionalAction,
    help="write texts and queries in lower case (default: as the corpus' "
    'paper does)',
  )
  add(
    '--hold-out',
    type=int,
    default=0,
    metavar='N',
    help='move N random training queries to dev, and what is dev to test',
  )
  add(
    '--drop-missing',
    action='store_true',
    help='leave out judgements of documents that are not there',
  )
  add('--plain', action='store_true', help='write corpus.jsonl, not .gz')
  return parser


def _options(name: str, words: Sequence[str]) -> dict[str, Any]:
  """The values of --option, of the types that the recipe has."""
  defaults, options = recipes.options_of(name), {}
  for word in words:
    key, equals, text = word.partition('=')
    if not equals or key not in defaults:
      raise ValueError(
        f'Expected --option NAME=VALUE with one of {", ".join(defaults)} for '
        f'{name}, got {word!r}.'
      )
    kind = type(defaults[key])
    try:
      options[key] = _value(defaults[key], text)
    except (KeyError, ValueError):
      raise ValueError(
        f'Expected --option {key} to be of type {kind.__name__}, got {text!r}.'
      ) from None
  return options


def _value(default: Any, text: str) -> Any:
  """A word as a value of the type of the default; commas part several."""
  if isinstance(default, bool):
    return _BOOLEANS[text]
  if isinstance(default, tuple):
    kind = type(default[0]) if default else str
    return tuple(kind(part) for part in text.split(','))
  return type(default)(text)


_BOOLEANS = {'true': True, 'false': False}
