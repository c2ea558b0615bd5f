# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Search with a trained run: one query, a file of queries, or interactively.

example:
  genret search --run runs/quickstart "who founded the british museum"
  genret search --run runs/quickstart --queries queries.jsonl --output RUN.trec
  genret search --run runs/quickstart

A file of queries is a BEIR folder, .jsonl or .tsv. Without a query and without
a file, queries are read line by line.
"""

import argparse
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from genret.corpus import read_queries
from genret.runs import write_trec
from genret.searcher import Searcher


def main(argv: Sequence[str]) -> int:
  """Runs `genret search`."""
  parser = argparse.ArgumentParser(
    prog='genret search',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('query', nargs='?', help='one query')
  parser.add_argument('--run', required=True, help='folder of a trained run')
  parser.add_argument('--queries', help='a file of queries')
  parser.add_argument('--output', help='the TREC run file to write')
  parser.add_argument('-k', '--hits', type=int, default=None, metavar='K')
  parser.add_argument('--tag', default='genret', help='name in the run file')
  arguments = parser.parse_args(list(argv))
  if (arguments.queries is None) != (arguments.output is None):
    parser.error('expected --queries and --output together, got one of them.')
  if arguments.query is not None and arguments.queries is not None:
    parser.error('expected a query or --queries, got both.')
  if arguments.hits is not None and arguments.hits < 1:
    parser.error(f'expected --hits of at least 1, got {arguments.hits}.')
  queries = list(read_queries(arguments.queries)) if arguments.queries else []
  if arguments.queries:
    # Now, and not when everything is decoded.
    _check_words([arguments.tag], 'tag')
    _check_words((query.query_id for query in queries), 'query id')
    _check_output(Path(arguments.output))
  searcher = Searcher.load(arguments.run)
  if arguments.queries:
    _check_words(searcher.table.doc_ids, 'document id')
    run = searcher.batch_search(
      [query.text for query in queries],
      [query.query_id for query in queries],
      arguments.hits or 100,
      progress=True,
    )
    write_trec(arguments.output, run, arguments.tag)
    print(f'{len(run):,} queries -> {arguments.output}')
  elif arguments.query is not None:
    _show(searcher, arguments.query, arguments.hits or 5)
  else:
    _converse(searcher, arguments.hits or 5)
  return 0


def _check_words(words: Iterable[str], what: str) -> None:
  """Refuses what a TREC run cannot hold."""
  for word in words:
    if word.split() != [word]:
      raise ValueError(
        f'Expected a {what} without white space for a TREC run, got {word!r}; '
        'replace the spaces, for example by underscores.'
      )


def _check_output(path: Path) -> None:
  """Makes the folder of a run file and refuses one that takes no files."""
  if path.is_dir():
    raise ValueError(
      f'Expected a file name for --output, got the folder {path}; add a name.'
    )
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent):
      pass
  except OSError as error:
    raise ValueError(
      f'Expected --output in a folder that takes files, {path.parent} does not '
      f'({error.strerror}); give another one.'
    ) from error


def _converse(searcher: Searcher, hits: int) -> None:
  """Answers queries from standard input until it ends."""
  interactive = sys.stdin.isatty()
  while True:
    if interactive:
      print('query (empty to leave)> ', end='', flush=True)
    line = sys.stdin.readline()
    if not line.strip():
      if interactive or not line:
        return
      continue
    _show(searcher, line.strip(), hits)


def _show(searcher: Searcher, query: str, hits: int) -> None:
  for rank, hit in enumerate(searcher.search(query, hits), start=1):
    text = textwrap.shorten(hit.text, 100, placeholder=' ...')
    print(f'{rank:>3}  {hit.score:8.3f}  {hit.doc_id}  {text}')
