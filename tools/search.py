# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Search with a trained run: one query, a file of queries, or interactively.

example:
  genret search --run runs/quickstart "who founded the british museum"
  genret search --run runs/seal --explain "who founded the british museum"
  genret search --run runs/seal --html why.html "who founded the museum"
  genret search --run runs/quickstart --queries queries.jsonl --output RUN.trec
  genret search --run runs/kilt --queries queries.jsonl \\
    --output RUN.jsonl --format kilt --passages
  genret search --run runs/seal --option scoring.mode=lm+fm "who wrote this"
  genret search --run runs/quickstart

A file of queries is a BEIR folder, .jsonl or .tsv. Without a query and without
a file, queries are read line by line.

A search of a file that was interrupted goes on where it stopped when the same
command is given again: OUTPUT.part keeps what is done until OUTPUT is written.
"""

import argparse
import dataclasses
import itertools
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from genret import explain, explain_page, run_formats, run_journal
from genret.corpus import Document, Query, read_queries
from genret.dense_searcher import DenseSearcher
from genret.runs import Hit
from genret.searcher import Searcher, query_form
from genret.text_files import write_text
from genret.text_spans import DocumentText

if TYPE_CHECKING:
  from genret.ngram_searcher import NgramSearcher

AnySearcher = Union[Searcher, DenseSearcher, 'NgramSearcher']

# What --option may change of a run by n-grams.
_NGRAM_OPTIONS = ('keys', 'scoring')

# Hits of a query unless --hits says otherwise, and those a page shows of each
# query of a file; and the queries that it shows.
_HITS, _FILE_HITS, _PAGE_HITS, _PAGE_QUERIES = 5, 100, 10, 20


def main(argv: Sequence[str]) -> int:
  """Runs `genret search`."""
  arguments = _parse(argv)
  if arguments.queries is not None:
    _search_file(arguments)
    return 0
  if arguments.html is not None:
    _check_output(Path(arguments.html), '--html')
  searcher = Searcher.load(arguments.run)
  _adjust(searcher, arguments)
  if arguments.query is not None and not arguments.query.strip():
    raise ValueError(
      'Expected a query, got none between the quotes; ask something.'
    )
  if arguments.query is None:
    _converse(searcher, arguments)
    return 0
  hits = _show(searcher, arguments.query, arguments)
  if arguments.html is not None:
    _write_page(searcher, [('', arguments.query, hits)], arguments)
  return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret search',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('query', nargs='?', help='one query')
  add('--run', required=True, help='folder of a trained run')
  add(
    '-k',
    '--hits',
    type=int,
    metavar='K',
    help=f'documents a query [{_HITS}; {_FILE_HITS} with --queries]',
  )
  add('--beams', type=int, metavar='N', help='beams kept [as the run says]')
  add(
    '--explain',
    action='store_true',
    help='show the n-grams that found each document; with --queries, write '
    'them to OUTPUT.evidence.jsonl',
  )
  add('--html', metavar='FILE', help='write a page with the n-grams marked')
  add(
    '--option',
    action='append',
    default=[],
    metavar='KIND.NAME=VALUE',
    help='changes how identifiers are decoded: a field of decoding '
    '(DecodingOptions), such as decoding.normalize=none; or how n-grams are '
    'found or scored: a field of keys '
    '(KeyOptions) or of scoring (Scoring), such as keys.constrained=false',
  )
  file = parser.add_argument_group('with a file of queries')
  add = file.add_argument
  add('--queries', metavar='FILE', help='the file')
  add('--output', metavar='FILE', help='the run file to write')
  add('--format', choices=run_formats.FORMATS, help='of the run file [trec]')
  add('--tag', help='name in a TREC run [genret]')
  add(
    '--passages',
    action='store_true',
    help='in a KILT run, take a document id as PAGE-PARAGRAPH or '
    'PAGE-FIRST-LAST: the page and its paragraphs, from 0',
  )
  add('--restart', action='store_true', help='drop what OUTPUT.part keeps')
  add(
    '--html-queries',
    type=int,
    metavar='N',
    help=f'queries on the page, from the first on [{_PAGE_QUERIES}]',
  )
  arguments = parser.parse_args(list(argv))
  problem = _problem(arguments)
  if problem:
    parser.error(problem)
  return arguments


def _problem(arguments: argparse.Namespace) -> str | None:
  """What is wrong with the words of the command, or None."""
  if (arguments.queries is None) != (arguments.output is None):
    return 'expected --queries and --output together, got one of them.'
  if arguments.query is not None and arguments.queries is not None:
    return 'expected a query or --queries, got both.'
  if arguments.queries is None:
    for name in ('format', 'restart', 'tag', 'passages', 'html_queries'):
      if getattr(arguments, name):
        return f'expected --queries with --{_flag(name)}, got none.'
    if arguments.query is None and arguments.html is not None:
      return 'expected a query or --queries with --html, got neither.'
  for name in ('hits', 'beams', 'html_queries'):
    number = getattr(arguments, name)
    if number is not None and number < 1:
      return f'expected --{_flag(name)} of at least 1, got {number}.'
  if arguments.tag is not None and _format(arguments) != 'trec':
    return f'expected --format trec with --tag, got {arguments.format}.'
  if arguments.passages and _format(arguments) != 'kilt':
    return f'expected --format kilt with --passages, got {_format(arguments)}.'
  if arguments.html_queries is not None and arguments.html is None:
    return 'expected --html with --html-queries, got none.'
  return None


def _flag(name: str) -> str:
  return name.replace('_', '-')


def _adjust(searcher: AnySearcher, arguments: argparse.Namespace) -> None:
  """Sets what the command says of the search.

  n-grams are traced where somebody asks for them.
  """
  beams = arguments.beams
  if isinstance(searcher, Searcher | DenseSearcher):
    by = 'identifiers' if isinstance(searcher, Searcher) else 'vectors'
    if arguments.explain:
      print(
        f'{arguments.run} finds documents by {by}: there are no n-grams to '
        'show.',
        file=sys.stderr,
      )
    if isinstance(searcher, Searcher):
      searcher.num_beams = beams or searcher.num_beams
      _set_options(searcher, arguments.option, ('decoding',))
    elif beams is not None or arguments.option:
      raise ValueError(
        'Expected a run that decodes with --beams or --option, '
        f'{arguments.run} compares vectors; leave these out.'
      )
    return
  searcher.explain = arguments.explain or arguments.html is not None
  if beams is not None:
    searcher.keys = dataclasses.replace(
      searcher.keys, body_beams=beams, title_beams=beams
    )
  _set_options(searcher, arguments.option, _NGRAM_OPTIONS)


def _set_options(
  searcher: 'Searcher | NgramSearcher',
  words: Sequence[str],
  kinds: Sequence[str],
) -> None:
  """Sets fields of the options that a searcher has, all of a kind at once."""
  changes: dict[str, dict[str, Any]] = {}
  for word in words:
    kind, name, value = _option(word, searcher, kinds)
    changes.setdefault(kind, {})[name] = value
  for kind, fields in changes.items():
    changed = dataclasses.replace(getattr(searcher, kind), **fields)
    setattr(searcher, kind, changed)


def _option(
  word: str, searcher: 'Searcher | NgramSearcher', kinds: Sequence[str]
) -> tuple[str, str, Any]:
  """Takes KIND.NAME=VALUE apart."""
  path, _, text = word.partition('=')
  known = {
    f'{kind}.{name}': value
    for kind in kinds
    for name, value in dataclasses.asdict(getattr(searcher, kind)).items()
  }
  if path not in known or not text:
    raise ValueError(
      f'Expected --option KIND.NAME=VALUE with one of {", ".join(known)}, got '
      f'{word!r}.'
    )
  kind, _, name = path.partition('.')
  value: Any = text
  if name == 'views':
    value = tuple(text.split(','))
  elif name == 'grade':
    value = None if text == 'none' else text
  elif not isinstance(known[path], str):
    expected = type(known[path])
    try:
      value = json.loads(text.lower() if expected is bool else text)
    except ValueError:
      value = None
    if expected is float and type(value) is int:
      value = float(value)
    if type(value) is not expected:
      form = {bool: 'true or false', int: 'a whole number', float: 'a number'}
      raise ValueError(
        f'Expected {form[expected]} for --option {path}, got {text!r}.'
      )
  return kind, name, value


def _search_file(arguments: argparse.Namespace) -> None:
  """Answers a file of queries, batch by batch, and writes what was asked."""
  output = Path(arguments.output)
  # Now, and not when everything is decoded.
  if _format(arguments) == 'trec':
    _check_words([arguments.tag or 'genret'], 'tag')
  _check_output(output, '--output')
  if arguments.html is not None:
    if Path(arguments.html).resolve() == output.resolve():
      raise ValueError(
        f'Expected two files for --output and --html, got {output} for both; '
        'rename one.'
      )
    _check_output(Path(arguments.html), '--html')
  form = query_form(arguments.run)
  queries = list(read_queries(arguments.queries, form=form))
  empty = sum(not query.text.strip() for query in queries)
  if empty:
    print(
      f'{empty:,} of {len(queries):,} queries are empty; what is found for them '
      'means nothing',
      file=sys.stderr,
    )
  if _format(arguments) == 'trec':
    _check_words((query.query_id for query in queries), 'query id')
  searcher = Searcher.load(arguments.run)
  if _format(arguments) == 'trec':
    _check_words(searcher.doc_ids, 'document id')
  if arguments.passages:
    for doc_id in searcher.doc_ids:
      run_formats.passage(doc_id)
  k = arguments.hits or _FILE_HITS
  # Of the run as it is: what the command changes has fields of its own.
  fingerprint = searcher.fingerprint
  _adjust(searcher, arguments)
  head = _header(searcher, fingerprint, queries, k)
  part = output.with_name(f'{output.name}.part')
  with run_journal.Journal(part, head, restart=arguments.restart) as journal:
    if journal.done:
      print(
        f'{journal.done:,} of {len(queries):,} queries are answered in {part}',
        file=sys.stderr,
      )
    left = queries[journal.done :]
    try:
      journal.record(
        searcher.search_stream(
          [query.text for query in left],
          [query.query_id for query in left],
          k,
          progress=True,
        )
      )
    except KeyboardInterrupt:
      print('the same command again goes on from here', file=sys.stderr)
      raise
    _write(searcher, journal, queries, arguments)
    journal.remove()


def _format(arguments: argparse.Namespace) -> str:
  return arguments.format or 'trec'


def _header(
  searcher: AnySearcher, fingerprint: str, queries: Sequence[Query], k: int
) -> Mapping[str, int | str]:
  """What makes a search another one than that of the journal."""
  options: dict[str, int | str | None] = {'evidence': False}
  if isinstance(searcher, Searcher):
    options['beams'] = searcher.num_beams
    options['decoding'] = json.dumps(dataclasses.asdict(searcher.decoding))
  elif not isinstance(searcher, DenseSearcher):
    options['evidence'] = searcher.explain
    for kind in _NGRAM_OPTIONS:
      fields = dataclasses.asdict(getattr(searcher, kind))
      options[kind] = json.dumps(fields)
  return run_journal.header(
    fingerprint, queries, k=k, batch_size=searcher.batch_size, options=options
  )


def _write(
  searcher: AnySearcher,
  journal: run_journal.Journal,
  queries: Sequence[Query],
  arguments: argparse.Namespace,
) -> None:
  """Writes everything that was asked for; the run file last."""
  text_of = {query.query_id: query.text for query in queries}
  if arguments.explain:
    path = f'{arguments.output}.evidence.jsonl'
    explain.write_evidence(path, journal.answers())
    print(f'evidence -> {path}')
  if arguments.html is not None:
    shown = arguments.html_queries or _PAGE_QUERIES
    first = itertools.islice(journal.answers(), shown)
    answers = [(qid, text_of[qid], hits) for qid, hits in first]
    _write_page(searcher, answers, arguments)
  run = {
    qid: [Hit(hit.doc_id, hit.score) for hit in hits]
    for qid, hits in journal.answers()
  }
  run_formats.write_run(
    arguments.output,
    run,
    _format(arguments),
    tag=arguments.tag or 'genret',
    queries=text_of,
    documents=lambda doc_id: _document(searcher, doc_id),
    passages=arguments.passages,
  )
  many = 'y' if len(run) == 1 else 'ies'
  print(f'{len(run):,} quer{many} -> {arguments.output}')


def _write_page(
  searcher: AnySearcher,
  answers: Sequence[tuple[str, str, Sequence[Hit]]],
  arguments: argparse.Namespace,
) -> None:
  page = explain_page.page(
    answers,
    lambda doc_id: _texts(searcher, doc_id),
    source=arguments.run,
    max_hits=None if arguments.queries is None else _PAGE_HITS,
  )
  write_text(arguments.html, page)
  print(f'page -> {arguments.html}')


def _document(searcher: AnySearcher, doc_id: str) -> Document:
  """The document, without title and text where the searcher has none."""
  try:
    return searcher.doc(doc_id)
  except KeyError:
    return Document(doc_id)


def _texts(searcher: AnySearcher, doc_id: str) -> explain_page.Texts:
  """The views of a document, as the spans of its matches count them."""
  document = _document(searcher, doc_id)
  texts = {'title': document.title, 'body': document.text}
  if not isinstance(searcher, Searcher | DenseSearcher):
    index = searcher.identifiers
    row = index.fm.document(index.fm.number_of(doc_id))
    found = DocumentText.of(doc_id, row, index.pieces, index.marks, document)
    texts['query'] = '\n'.join(found.queries)
  return texts


def _check_words(words: Iterable[str], what: str) -> None:
  """Refuses what a TREC run cannot hold."""
  for word in words:
    if word.split() != [word]:
      raise ValueError(
        f'Expected a {what} without white space for a TREC run, got {word!r}; '
        'replace the spaces, for example by underscores.'
      )


def _check_output(path: Path, flag: str) -> None:
  """Makes the folder of a file and refuses one that takes no files."""
  if path.is_dir():
    raise ValueError(
      f'Expected a file name for {flag}, got the folder {path}; add a name.'
    )
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent):
      pass
  except OSError as error:
    raise ValueError(
      f'Expected {flag} in a folder that takes files, {path.parent} does not '
      f'({error.strerror}); give another one.'
    ) from error


def _converse(searcher: AnySearcher, arguments: argparse.Namespace) -> None:
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
    _show(searcher, line.strip(), arguments)


def _show(
  searcher: AnySearcher, query: str, arguments: argparse.Namespace
) -> list[Hit]:
  """Prints the hits of a query, with their n-grams if asked to."""
  hits = searcher.search(query, arguments.hits or _HITS)
  for rank, hit in enumerate(hits, start=1):
    print(explain.line(rank, hit))
    if arguments.explain and hit.matches:
      print(explain.table(hit), end='\n\n')
  return hits
