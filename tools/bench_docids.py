# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Times the naming of documents: what all schemes share, then each scheme.

Of a corpus, the training of a vocabulary and the latent semantic analysis are
timed, and the vectors are those of the analysis; without one, vectors lie about a
thousand places, and schemes that read texts find synthetic ones. Each scheme names
nine documents of ten, and then adds the tenth to them. Memory is the most that a
scheme takes beyond what was there, where the system tells (Linux).

Example:
  genret bench docids --corpus my_beir_folder --schemes rq-kmeans pq
  genret bench docids --documents 1000000 --dimensions 64 --schemes rq-kmeans
"""

from __future__ import annotations

import argparse
import pathlib
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import sentencepiece

from genret import corpus
from genret.corpus import Document
from genret.docids import build, corpus_texts, growth
from genret.docids.table import DocidTable
from genret.tools import _arguments, _measure
from genret.tools._measure import Line
from genret.vocabulary import train_vocabulary

_PLACES = 1000  # that synthetic vectors lie about
# Variants of one scheme that differ in what they cost.
_VARIANTS = {'rq-kmeans sinkhorn': {'collisions': 'sinkhorn'}}
# It reads a file that only a model can write.
_NEEDS_A_FILE = {'description'}

T = TypeVar('T')


class Given(NamedTuple):
  """What schemes name: documents, their vectors, a vocabulary."""

  documents: list[Document]
  vector_DxE: np.ndarray
  pieces: sentencepiece.SentencePieceProcessor


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  lines: list[Line] = []
  if args.corpus is None:
    given = synthetic(args.documents, args.dimensions, args.seed)
  else:
    given, lines = prepared(args)
  for scheme in args.schemes:
    _measure.say(scheme)
    lines += scheme_lines(scheme, given, args)
  _measure.report('genret bench docids', lines, vars(args), args.json)
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench docids',
    description=__doc__,
    formatter_class=_measure.Help,
  )
  known = sorted({*build.schemes(), *_VARIANTS} - _NEEDS_A_FILE)
  add = parser.add_argument
  add('--corpus', metavar='FOLDER', help='of documents (default: synthetic)')
  count = _arguments.at_least_one
  add('--documents', type=count, default=100_000, help='at most')
  add('--dimensions', type=count, default=511, help='of the vectors')
  add('--vocabulary-size', type=count, default=8000, help='pieces to train')
  add(
    '--schemes',
    nargs='+',
    default=known,
    choices=known,
    metavar='NAME',
    help=', '.join(known),
  )
  add('--rq-vae-steps', type=count, default=2000, help='of its training')
  add('--seed', type=_arguments.seed, default=0, help='of everything random')
  add('--json', default='', metavar='FILE', help='write the figures, too')
  args = parser.parse_args(argv)
  if args.documents < 10:
    raise ValueError(
      f'Expected 10 documents or more, got {args.documents}; one of ten is '
      'added.'
    )
  return args


def synthetic(count: int, dimensions: int, seed: int) -> Given:
  """Documents with short texts, and vectors of unit length about some places."""
  rng = np.random.default_rng(seed)
  center_PxE = rng.normal(size=(_PLACES, dimensions)).astype(np.float32)
  vector_DxE = center_PxE[rng.integers(_PLACES, size=count)]
  for first in range(0, count, 10_000):
    block = vector_DxE[first : first + 10_000]
    block += 0.5 * rng.standard_normal(block.shape, np.float32)
  vector_DxE /= np.linalg.norm(vector_DxE, axis=1, keepdims=True)
  titles = rng.integers(count, size=count)  # some are equal
  documents = [
    Document(f'd{i}', f'{title}', '', f'https://x/{title}')
    for i, title in enumerate(titles.tolist())
  ]
  with tempfile.TemporaryDirectory() as folder:
    pieces = train_vocabulary(
      ['abcdefghijklmnopqrstuvwxyz/ 0 1 2 3 4 5 6 7 8 9'] * 9,
      pathlib.Path(folder) / 'spiece.model',
      size=60,
    )
  return Given(documents, vector_DxE, pieces)


def prepared(args: argparse.Namespace) -> tuple[Given, list[Line]]:
  """A corpus with its latent vectors, and what these took."""
  documents = []
  for document in corpus.read_documents(args.corpus):
    documents.append(document)
    if len(documents) == args.documents:
      break
  queries: list[Sequence[str]] = [[]] * len(documents)
  _measure.say(f'{len(documents):,} documents')
  texts = corpus_texts.vocabulary_texts(documents, queries, args.seed)
  with tempfile.TemporaryDirectory() as folder:
    pieces, train_s, train_mb = _timed(
      lambda: train_vocabulary(
        texts, pathlib.Path(folder) / 'spiece.model', size=args.vocabulary_size
      )
    )
  space, latent_s, latent_mb = _timed(
    lambda: corpus_texts.latent_space(
      pieces,
      documents,
      queries,
      dimensions=args.dimensions + 1,
      seed=args.seed,
    )
  )
  folded, fold_s, _ = _timed(
    lambda: corpus_texts.folded(space, pieces, documents, queries)
  )
  apart = np.abs(folded.document_DxE - space.document_DxE).max(1) > 1e-4
  work = f'{len(documents):,} documents of {args.corpus}'
  both = _measure.same(int(apart.sum()), len(apart), 'vectors')
  return Given(documents, space.document_DxE, pieces), [
    Line(work, 'train a vocabulary', train_s, 'analyse', latent_s, '', 's'),
    Line(work, 'analyse', latent_s, 'fold in', fold_s, both, 's'),
    Line(work, 'train a vocabulary', train_mb, 'analyse', latent_mb, '', 'MB'),
  ]


def scheme_lines(
  name: str, given: Given, args: argparse.Namespace
) -> list[Line]:
  """What a scheme takes: to name most documents, and to add the others."""
  scheme = name.partition(' ')[0]
  options: dict[str, Any] = dict(_VARIANTS.get(name, {}))
  if scheme == 'rq-vae':
    options['steps'] = args.rq_vae_steps
  count = len(given.documents)
  first = count - count // 10

  def run(rows: slice, old: DocidTable | None) -> DocidTable:
    return build.schemes()[scheme](
      given.documents[rows],
      given.pieces,
      first_token=given.pieces.get_piece_size(),
      vectors=lambda: given.vector_DxE[rows],
      seed=args.seed,
      **({} if old is None else {'old': old}),
      **options,
    )

  try:
    table, name_s, name_mb = _timed(lambda: run(slice(0, first), None))
  except ValueError as error:  # Not all documents have titles or addresses.
    _measure.say(f'{name} is skipped: {error}')
    return []
  grown, add_s, _ = _timed(lambda: run(slice(first, count), table))
  kept_DxL = growth.stacked(table.token_rows_DxL, grown.token_rows_DxL)
  same_D = (kept_DxL[:first] == kept_DxL[first : 2 * first]).all(1)
  answers = _measure.same(int((~same_D).sum()), first, 'old rows')
  vectors_mb = given.vector_DxE[:first].nbytes / 1e6
  work = (
    f'{name}: {first:,} documents, {100 * grown.collision_rate:.1f} % share'
  )
  return [
    Line(work, 'name them', name_s, 'add a tenth', add_s, answers, 's'),
    Line(work, 'their vectors', vectors_mb, 'on top', name_mb, '', 'MB'),
  ]


def _timed(run: Callable[[], T]) -> tuple[T, float, float]:
  """What a function gives, its seconds, and the megabytes that it took."""
  before = _resident(peak=False)
  began = time.perf_counter()
  found = run()
  seconds = time.perf_counter() - began
  return found, seconds, max(_resident(peak=True) - before, 0.0)


def _resident(*, peak: bool) -> float:
  """Megabytes of memory: the most since this was asked without `peak`."""
  try:
    if not peak:
      pathlib.Path('/proc/self/clear_refs').write_text('5')
    status = pathlib.Path('/proc/self/status').read_text()
  except OSError:
    return float('nan')
  name = 'VmHWM' if peak else 'VmRSS'
  found = re.search(rf'{name}:\s+(\d+) kB', status)
  return float(found[1]) / 1e3 if found else float('nan')
