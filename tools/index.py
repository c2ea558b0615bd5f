# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Prepare a corpus: name its documents, or index the n-grams that they hold.

`docids` writes identifiers, their vocabulary and latent vectors, and with --extend
those of a corpus that has grown, the old ones as they are; `fm` writes an
FM-index of each document's title and text (and of queries that it answers, where
these are given), with the vocabulary beside it.

example:
  genret index docids --scheme atomic --corpus my_beir_folder --output docids
  genret index docids --scheme hierarchical-kmeans --option k=10 --option c=100 \\
    --corpus genret:squadshifts_wiki --queries-split train --output docids
  genret index docids --scheme rq-kmeans --option collisions=sinkhorn \\
    --embeddings vectors.npy --corpus my_beir_folder --output docids
  genret index docids --extend docids --corpus larger_folder --output larger
  genret index fm --corpus my_beir_folder --vocabulary spiece.model --output fm
  genret index fm --corpus my_beir_folder --dimensions 512 --output fm
"""

import argparse
import re
import time
from collections.abc import Sequence

from genret import ngram_index, vector_files
from genret.constraints import fm_files
from genret.constraints.trie import Trie
from genret.corpus import load_collection
from genret.docids import build, codes, growth
from genret.docids.table import DocidTable
from genret.pseudo_queries import read_pseudo_queries
from genret.tools import _arguments

# Defaults of identifiers.
_VOCABULARY_SIZE = 8000
_DIMENSIONS = 512


def main(argv: Sequence[str]) -> int:
  """Runs `genret index`."""
  parser = argparse.ArgumentParser(
    prog='genret index',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  kinds = parser.add_subparsers(dest='kind', required=True, metavar='docids|fm')
  _add_docids(
    kinds.add_parser(
      'docids',
      help='name every document of a corpus',
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )
  )
  _add_fm(
    kinds.add_parser(
      'fm',
      help='index the n-grams of a corpus',
      description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )
  )
  arguments = parser.parse_args(list(argv))
  start = time.perf_counter()
  rows = _docids(arguments) if arguments.kind == 'docids' else _fm(arguments)
  rows |= {
    'seconds': f'{time.perf_counter() - start:.1f}',
    'folder': arguments.output,
  }
  for name, value in rows.items():
    print(f'{name:>21}  {value}')
  return 0


def _add_docids(docids: argparse.ArgumentParser) -> None:
  add = docids.add_argument
  either = docids.add_mutually_exclusive_group(required=True)
  either.add_argument('--scheme', help=', '.join(build.schemes()))
  either.add_argument(
    '--extend',
    metavar='FOLDER',
    help='name the documents that --corpus has beyond those of this folder, as '
    'it names them; the old ones keep their identifiers',
  )
  add(
    '--corpus',
    required=True,
    help='a BEIR or KILT folder, a file, genret:NAME or ir_datasets:NAME',
  )
  add(
    '--output',
    required=True,
    help='the folder to write; identifiers in it are replaced',
  )
  add(
    '--vocabulary',
    help="a SentencePiece model, or `bytes` for ByT5's; default: train one",
  )
  add(
    '--vocabulary-size',
    type=int,
    default=_VOCABULARY_SIZE,
    help='pieces to train (default %(default)s)',
  )
  add('--text-tokens', type=int, help='rows of the model that text takes')
  add('--queries-split', help="count this split's queries as document text")
  add(
    '--unseen-share',
    type=float,
    default=0.0,
    help='withhold the queries of so many documents [0]',
  )
  add('--unseen-seed', type=int, default=0, help='which documents [0]')
  add(
    '--embeddings',
    metavar='FILE',
    help='.npy file of the vectors of all documents, to cluster',
  )
  add(
    '--dimensions',
    type=int,
    default=_DIMENSIONS,
    help='of the latent vectors (default %(default)s)',
  )
  add(
    '--option',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='an argument of the scheme, such as k=10 or collisions=share',
  )
  add(
    '--seed',
    type=_arguments.seed,
    default=0,
    help='of latent vectors, clusters and draws [0]',
  )


def _add_fm(fm: argparse.ArgumentParser) -> None:
  add = fm.add_argument
  add(
    '--corpus',
    required=True,
    help='a BEIR or KILT folder, a file, genret:NAME or ir_datasets:NAME',
  )
  add(
    '--output',
    required=True,
    help='the folder to write; an index in it is replaced',
  )
  add(
    '--vocabulary',
    help="a SentencePiece model, or `bytes` for ByT5's; default: train one",
  )
  add(
    '--vocabulary-size',
    type=int,
    default=8000,
    help='pieces to train (default %(default)s)',
  )
  add(
    '--text-tokens',
    type=int,
    help='rows of the model that text takes; default: the pieces',
  )
  add(
    '--pseudo-queries',
    metavar='FILE or SPLIT',
    help='a third view of the documents (MINDER): .jsonl of {"doc_id": ..., '
    '"queries": [...]}, or the queries of a split',
  )
  add(
    '--queries-split',
    help="count this split's queries as document text in the vocabulary and "
    'in the latent vectors',
  )
  add(
    '--unseen-share',
    type=float,
    default=0.0,
    help='withhold the queries of so many documents, where they are those of a '
    'split [0]',
  )
  add('--unseen-seed', type=int, default=0, help='which documents [0]')
  add(
    '--dimensions',
    type=int,
    default=0,
    help='of latent vectors for a model to start from (default: none)',
  )
  add(
    '--shards',
    type=int,
    default=1,
    help='segments to spread over devices (default %(default)s)',
  )
  add(
    '--sample-rate',
    type=int,
    default=1,
    help='one position of so many keeps its place: 4 bytes each, and the time '
    'of scoring grows with it (default %(default)s)',
  )
  add('--seed', type=_arguments.seed, default=0, help='of the latent vectors')


def _docids(arguments: argparse.Namespace) -> dict[str, str]:
  options = dict(map(_option, arguments.option))
  vectors = None
  if arguments.embeddings is not None:
    vectors = vector_files.read(arguments.embeddings)
  collection = load_collection(arguments.corpus)
  if arguments.extend is not None:
    _check_extension(arguments)
    table = build.extend(
      arguments.extend,
      collection,
      arguments.output,
      vectors=vectors,
      options=options,
    )
    old = len(DocidTable.load(arguments.extend))
    return {'added': f'{len(table) - old:,}', **_summary(table)}
  table = build.build(
    collection,
    arguments.output,
    scheme=arguments.scheme,
    vocabulary=arguments.vocabulary,
    vocabulary_size=arguments.vocabulary_size,
    text_tokens=arguments.text_tokens,
    queries_split=arguments.queries_split,
    unseen_share=arguments.unseen_share,
    unseen_seed=arguments.unseen_seed,
    dimensions=arguments.dimensions,
    vectors=vectors,
    seed=arguments.seed,
    options=options,
  )
  rows = _summary(table)
  silent = sum(not d.read_with('') for d in collection.documents)
  if silent:
    rows['documents'] += f' ({silent:,} without title and text)'
  return rows


def _check_extension(arguments: argparse.Namespace) -> None:
  """Refuses what the old identifiers have settled."""
  settled = {
    'vocabulary': None,
    'vocabulary_size': _VOCABULARY_SIZE,
    'text_tokens': None,
    'queries_split': None,
    'unseen_share': 0.0,
    'unseen_seed': 0,
    'dimensions': _DIMENSIONS,
    'seed': 0,
  }
  for name, default in settled.items():
    if getattr(arguments, name) != default:
      raise ValueError(
        f'Expected no --{name.replace("_", "-")} beside --extend, got '
        f'{getattr(arguments, name)}; it is that of {arguments.extend}.'
      )


def _summary(table: DocidTable) -> dict[str, str]:
  """What a person reads of a table."""
  lengths_D = table.lengths_D
  trie = Trie.from_table(table)
  used = [f'{u.used:,} ({u.perplexity:,.1f})' for u in codes.usage(table)]
  shown = [*used[:8], '...'] if len(used) > 8 else used
  rows = {
    'documents': f'{len(table):,}',
    'scheme': table.meta['scheme'],
    'text tokens': f'{table.meta["text_tokens"]:,}',
    'vocabulary': f'{table.vocab_size:,}',
    'tokens per identifier': f'{lengths_D.min()} to {lengths_D.max()}, mean '
    f'{lengths_D.mean():.2f}',
    'used (perplexity)': ' '.join(shown),
    'collision rate': f'{table.collision_rate:.4f}'
    + (
      f', {table.meta[growth.COLLIDED]:.4f} before the rule'
      if growth.COLLIDED in table.meta
      else ''
    ),
    'trie': f'{trie.nbytes:,} bytes',
    'hash': table.hash[:16],
  }
  asked = table.meta['settings']['vocabulary_size']
  pieces = table.meta['pieces']
  if asked is not None and pieces < asked:
    rows['text tokens'] += (
      f' ({pieces:,} pieces: the corpus has no {asked:,} as was asked for)'
    )
  warning = build.degenerate(table)
  return {**rows, 'warning': warning} if warning else rows


def _fm(arguments: argparse.Namespace) -> dict[str, str]:
  fm_files.check_output(arguments.output)
  collection = load_collection(arguments.corpus)
  withheld = {
    'unseen_share': arguments.unseen_share,
    'unseen_seed': arguments.unseen_seed,
  }
  queries = read_pseudo_queries(
    arguments.pseudo_queries, collection, **withheld
  )
  found = ngram_index.build(
    collection,
    arguments.output,
    vocabulary=arguments.vocabulary,
    vocabulary_size=arguments.vocabulary_size,
    text_tokens=arguments.text_tokens,
    pseudo_queries=queries,
    queries_split=arguments.queries_split,
    **withheld,
    dimensions=arguments.dimensions,
    shards=arguments.shards,
    sample_rate=arguments.sample_rate,
    seed=arguments.seed,
    progress=True,
  )
  index = found.fm
  tokens = max(index.num_tokens, 1)
  return {
    'documents': f'{len(index):,}',
    'without a title': f'{sum(not d.title for d in collection.documents):,}',
    'without words': f'{collection.empty_documents:,}',
    'pseudo-queries': f'{sum(map(len, queries.values())):,}',
    'tokens': f'{index.num_tokens:,}',
    'vocabulary': f'{index.vocab_size:,}',
    'segments': str(len(index.segments)),
    'bytes to decode': f'{index.decoding_nbytes:,} '
    f'({index.decoding_nbytes / tokens:.2f} a token)',
    'bytes in all': f'{index.nbytes:,} ({index.nbytes / tokens:.2f} a token)',
    'hash': found.hash[:16],
  }


def _option(text: str) -> tuple[str, int | float | bool | str]:
  """NAME=VALUE; a value that is no number, true or false is a word."""
  name, _, value = text.partition('=')
  if not re.fullmatch(r'\w+', name) or not value:
    raise ValueError(f'Expected --option NAME=VALUE, got {text!r}.')
  if re.fullmatch('-?[0-9]+', value):
    return name, int(value)
  if value.lower() in ('true', 'false'):
    return name, value.lower() == 'true'
  try:
    return name, float(value)
  except ValueError:
    return name, value
