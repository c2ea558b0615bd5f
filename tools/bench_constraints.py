# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Times the constraints: building, asking, listing, locating.

A full-text index is measured against SEAL's and against a sorted array, a trie
against STATIC's, a dictionary and sorted rows. Peers that cannot be imported
(`seal.index`, `seal.beam_search`, `static_decoding`) are skipped. Figures are
the best of several turns; compare ratios, which move less than figures.

With --sizes, time and memory are measured against the size instead, on synthetic
data; each size is a row of --results, and what is there is not measured again.

Example:
  genret bench constraints --num-tokens 1000000 --json figures.json
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from typing import Any

from genret import FMIndex
from genret.tools import (
  _arguments,
  _measure,
  _measure_builds,
  _measure_fulltext,
  _measure_sizes,
  _measure_trie,
)

PARTS = ('build', 'continuations', 'locate', 'trie')


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  if args.sizes:
    _measure_sizes.measure(
      args.results,
      args.image,
      fm_sizes=args.fm_sizes,
      trie_sizes=args.trie_sizes,
      repeats=args.repeats,
    )
    return 0
  lines = []
  if set(args.parts) & set(PARTS[:3]):
    lines += _full_text(args)
  if 'trie' in args.parts:
    lines += _measure_trie.lines(
      args.identifiers,
      args.trie_vocab_size,
      batch_size=2,
      num_beams=args.trie_beams,
      repeats=3 * args.repeats,
    )
  _measure.report('genret bench constraints', lines, vars(args), args.json)
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench constraints',
    description=__doc__,
    formatter_class=_measure.Help,
  )
  add = parser.add_argument
  add('--parts', nargs='+', default=PARTS, choices=PARTS, help='what to time')
  add('--tokens', metavar='FILE', help='.npy, all tokens (default: synthetic)')
  add('--starts', metavar='FILE', help='.npy, where documents begin, and end')
  add(
    '--num-tokens',
    type=_arguments.at_least_one,
    default=4_440_000,
    help='of the corpus',
  )
  add(
    '--vocab-size',
    type=_arguments.at_least_one,
    default=32128,
    help='of the corpus',
  )
  add('--eos-id', type=int, default=1, help="SEAL's mark between documents")
  add('--batch-size', type=_arguments.at_least_one, default=20, help='queries')
  add(
    '--num-beams',
    type=_arguments.at_least_one,
    default=15,
    help='of each query',
  )
  add(
    '--identifiers',
    type=_arguments.at_least_one,
    default=1_000_000,
    help='of the trie',
  )
  add(
    '--trie-vocab-size',
    type=_arguments.at_least_one,
    default=2048,
    help='of identifiers',
  )
  add(
    '--trie-beams',
    type=_arguments.at_least_one,
    default=70,
    help='of each of two queries',
  )
  add(
    '--repeats', type=_arguments.at_least_one, default=10, help='turns of each'
  )
  add(
    '--build-repeats',
    type=_arguments.at_least_one,
    default=3,
    help='turns of each build',
  )
  add('--json', default='', metavar='FILE', help='write the figures, too')
  add('--sizes', action='store_true', help='measure against the size')
  add(
    '--fm-sizes',
    nargs='*',
    type=_whole,
    default=[10**6, 3 * 10**6, 10**7, 3 * 10**7, 10**8],
    metavar='N',
    help='tokens, such as 1e6',
  )
  add(
    '--trie-sizes',
    nargs='*',
    type=_whole,
    default=[10**4, 10**5, 10**6, 10**7],
    metavar='N',
    help='identifiers',
  )
  add(
    '--results',
    default='docs/results/constraints.json',
    metavar='FILE',
    help='of --sizes',
  )
  add(
    '--image',
    default='docs/images/constraints.png',
    metavar='FILE',
    help='of --sizes',
  )
  args = parser.parse_args(argv)
  if (args.tokens is None) != (args.starts is None):
    raise ValueError(
      'Expected --tokens and --starts together but got only one; pass both or '
      'none.'
    )
  return args


def _whole(text: str) -> int:
  return int(float(text))


def _full_text(args: argparse.Namespace) -> list[_measure.Line]:
  if args.tokens is None:
    tokens = _measure.synthetic_tokens(args.num_tokens, args.vocab_size)
  else:
    tokens = _measure.read_tokens(
      args.tokens, args.starts, args.vocab_size, args.num_tokens
    )
  if (tokens.token_T == args.eos_id).any():
    raise ValueError(
      f'Expected --eos-id to be a token that does not occur but {args.eos_id} '
      'does; pass another.'
    )
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    lines = _measure_builds.build_lines(
      tokens,
      folder,
      eos_id=args.eos_id,
      repeats=args.build_repeats if 'build' in args.parts else 1,
    )
    if 'build' not in args.parts:
      lines = []
    setup = _setup(args, tokens, folder)
    if 'continuations' in args.parts:
      lines += _measure_fulltext.continuation_lines(setup)
    if 'locate' in args.parts:
      lines += _measure_fulltext.locate_lines(setup)
  return lines


def _setup(
  args: argparse.Namespace, tokens: _measure.Tokens, folder: pathlib.Path
) -> _measure_fulltext.Setup:
  seal: Any = None
  processor = None
  if (folder / 'seal.index.fmi').exists():
    seal = _measure.peer('seal.index', 'SEAL').FMIndex.load(
      str(folder / 'seal.index')
    )
    beams = _measure.peer('seal.beam_search', "SEAL's mask")
    if beams is not None:
      processor = beams.IndexBasedLogitsProcessor(
        seal,
        num_beams=args.num_beams,
        pad_token_id=0,
        eos_token_id=args.eos_id,
      )
  return _measure_fulltext.Setup(
    tokens,
    FMIndex.load(folder / 'ours.index'),
    seal,
    processor,
    args.batch_size,
    args.num_beams,
    args.eos_id,
    args.repeats,
  )
