# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Write queries for the documents of a corpus, sampled from a doc-to-query model.

The file has a line {"doc_id": ..., "queries": [...]} a document, as the task
`generated`, the scheme `description` and `genret index fm --pseudo-queries` read it.
A run that was interrupted goes on where it stopped when the same command is given
again: OUTPUT.part keeps what is done until OUTPUT is written.

example:
  genret generate-queries --checkpoint runs/doct5query \\
    --corpus my_beir_folder --output queries.jsonl --count 20 --round-trip bm25
  genret generate-queries --checkpoint checkpoints/doct5query \\
    --vocabulary doct5query/spiece.model --corpus my_beir_folder \\
    --output queries.jsonl
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from genret import query_generation, run_folders, searcher
from genret import vocabulary as vocabulary_lib
from genret.baselines.bm25 import BM25
from genret.corpus import Document, documents_hash, read_documents
from genret.models import checkpoints
from genret.models.t5 import Transformer
from genret.runs import Hit
from genret.text_files import write_text
from genret.tools import _arguments


def main(argv: Sequence[str]) -> int:
  """Runs `genret generate-queries`."""
  arguments = _parser().parse_args(list(argv))
  output = Path(arguments.output)
  if output.is_dir() or not output.parent.is_dir():
    raise ValueError(
      f'Expected --output to be a file in a folder that is there, got {output}; '
      'correct the name, or make the folder.'
    )
  documents = list(read_documents(arguments.corpus))
  search = _search(arguments.round_trip, documents)
  queries_of = _generated(documents, output, arguments)
  drawn = sum(map(len, queries_of.values()))
  if search is not None:
    queries_of = query_generation.found_again(
      queries_of, search, arguments.round_trip_depth
    )
  rows = (
    json.dumps({'doc_id': doc_id, 'queries': queries}, ensure_ascii=False)
    for doc_id, queries in queries_of.items()
  )
  write_text(output, ''.join(f'{row}\n' for row in rows))
  _part(output).unlink(missing_ok=True)
  kept = sum(map(len, queries_of.values()))
  without = sum(not queries for queries in queries_of.values())
  draws, number = arguments.count * len(documents), len(documents)
  print(f'{draws:,} draws for {number:,} documents, {drawn:,} distinct')
  if search is not None:
    print(f'{kept:,} of them find their document again')
  print(f'{without:,} documents have none -> {output}')
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='genret generate-queries',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--checkpoint',
    required=True,
    help='a folder of `genret train` or `genret convert`',
  )
  add('--vocabulary', help='its SentencePiece model [that of a run]')
  add(
    '--corpus',
    required=True,
    help='a BEIR or KILT folder, a file, genret:NAME or ir_datasets:NAME',
  )
  add('--output', required=True, help='the .jsonl file to write')
  counts = _arguments.at_least_one
  for name, kind, default, text in (
    ('count', counts, 20, 'draws for each document'),
    ('input-length', counts, 256, 'tokens that are read of a document'),
    ('output-length', counts, 32, 'the most tokens of a query'),
    ('top-k', int, 10, 'draw among so many tokens; 0 for all'),
    ('batch-size', counts, 8, 'documents at a time'),
    ('seed', _arguments.seed, 0, 'of the draws'),
  ):
    add(f'--{name}', type=kind, default=default, help=f'{text} [{default}]')
  add('--temperature', type=float, default=1.0, help='of the draws [1]')
  add('--top-p', type=float, default=1.0, help='nucleus of the draws [1]')
  add('--prefix', default='', help='put before title and text')
  add(
    '--round-trip',
    metavar='bm25 or RUN',
    help='keep queries that find their document with BM25 or a trained run',
  )
  add(
    '--round-trip-depth',
    type=int,
    default=10,
    metavar='K',
    help='among so many hits [10]',
  )
  add('--restart', action='store_true', help='drop what OUTPUT.part keeps')
  return parser


# What the draws depend on, by the names of the arguments.
_SETTINGS = (
  'count',
  'prefix',
  'input_length',
  'output_length',
  'temperature',
  'top_k',
  'top_p',
  'batch_size',
  'seed',
)


def _generated(
  documents: Sequence[Document], output: Path, arguments: argparse.Namespace
) -> dict[str, list[str]]:
  """Queries of all documents; those that OUTPUT.part has are not drawn again."""
  path = run_folders.vocabulary_file(arguments.checkpoint, arguments.vocabulary)
  vocabulary = vocabulary_lib.load_vocabulary(path)
  config, params = checkpoints.load_model(arguments.checkpoint)
  module = Transformer(config)
  settings: dict[str, Any] = {n: getattr(arguments, n) for n in _SETTINGS}
  header = {
    'corpus': documents_hash(documents),
    'model': searcher.fingerprint(
      module, params, vocabulary_lib.vocabulary_hash(path), []
    ),
    **settings,
  }
  part = _part(output)
  if arguments.restart:
    part.unlink(missing_ok=True)
  found = _resumed(part, header, documents, arguments.batch_size)
  if found:
    print(
      f'{len(found):,} of {len(documents):,} documents are done in {part}',
      file=sys.stderr,
    )
  if len(found) == len(documents):
    return found
  draws = query_generation.generate_queries(
    module, params, vocabulary, documents, start=len(found), **settings
  )
  bar = tqdm(
    draws, 'generate', len(documents), initial=len(found), unit='document'
  )
  with open(part, 'a', encoding='utf-8') as file, bar:
    for doc_id, queries in bar:
      file.write(json.dumps([doc_id, queries]) + '\n')
      file.flush()
      found[doc_id] = queries
  return found


def _part(output: Path) -> Path:
  return output.with_name(f'{output.name}.part')


def _resumed(
  part: Path,
  header: Mapping[str, Any],
  documents: Sequence[Document],
  batch_size: int,
) -> dict[str, list[str]]:
  """What a file of an interrupted run holds, whole batches only.

  The file is cut to these, or begun.
  """
  first = json.dumps(header) + '\n'
  lines = (
    part.read_text(encoding='utf-8').splitlines(True) if (part.exists()) else []
  )
  if not lines or (lines[0] != first and first.startswith(lines[0])):
    lines = [first]  # Killed within its first line, it says nothing yet.
  if lines[0] != first:
    raise ValueError(
      f'Expected {part} to be of this corpus, model and settings, it is of '
      'others; finish that run as it was begun, or drop it with --restart.'
    )
  found: dict[str, list[str]] = {}
  for line, document in zip(lines[1:], documents, strict=False):
    try:
      doc_id, queries = json.loads(line)
    except ValueError:
      break
    if not line.endswith('\n') or doc_id != document.doc_id:
      break
    found[doc_id] = queries
  whole = len(found)
  if whole < len(documents):
    whole -= whole % batch_size
  write_text(part, ''.join(lines[: whole + 1]))
  return dict(list(found.items())[:whole])


def _search(
  name: str | None, documents: Sequence[Document]
) -> Callable[[Mapping[str, str], int], Mapping[str, Sequence[Hit]]] | None:
  """The retriever of the round trip, opened before anything is drawn."""
  if name is None:
    return None
  if name == 'bm25':
    return BM25(documents).search
  run = searcher.Searcher.load(name)
  lacking = {d.doc_id for d in documents} - set(run.doc_ids)
  if lacking:
    raise ValueError(
      f'Expected --round-trip with a run over this corpus, {name} lacks '
      f'{len(lacking)} of {len(documents)} documents, first {min(lacking)!r}; '
      'train one over it.'
    )
  return lambda texts, k: run.batch_search(
    list(texts.values()), list(texts), k, progress=True
  )
