# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Write training examples: SEAL, MINDER, CorpusBrain, an experiment's tokens.

An experiment reads the folder in place of the corpus: `ngrams.mixture.examples`.
A run that was killed goes on where it was, and the files do not depend on --jobs.
`genret examples corpusbrain --help` tells of pre-training on pages with links,
`genret examples tokens --help` of examples for machines without TensorFlow.

Example:
  genret examples --corpus my_beir_folder --output examples --jobs 8
  genret examples --corpus my_beir_folder --output examples --recipe minder \\
    --pseudo-queries pseudo_queries.jsonl --option supervised.queries=8
  genret examples corpusbrain --corpus kilt --docids titles --output cache
  genret examples tokens --gin_file=runs/genret_train.gin \\
    --gin_file=experiments/quickstart.gin --output tokens
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from genret import ngram_example_files as files
from genret import ngram_example_writer as writer
from genret.ngram_examples import RECIPES, Supervised, Unsupervised
from genret.tools import _arguments


def main(argv: Sequence[str]) -> int:
  """Runs `genret examples`."""
  if list(argv[:1]) == ['corpusbrain']:
    # It needs TensorFlow, the others do not.
    from genret.tools import _examples_corpusbrain

    return _examples_corpusbrain.main(argv[1:])
  if list(argv[:1]) == ['tokens']:
    from genret.tools import _examples_tokens  # needs TensorFlow, too

    return _examples_tokens.main(argv[1:])
  arguments = _parser().parse_args(list(argv))
  supervised, unsupervised = _options(arguments.recipe, arguments.option)
  start = time.perf_counter()
  found = writer.write_examples(
    arguments.corpus,
    arguments.output,
    supervised=supervised if 'supervised' in arguments.kinds else None,
    unsupervised=unsupervised if 'unsupervised' in arguments.kinds else None,
    split=arguments.split,
    pseudo_queries=arguments.pseudo_queries,
    unseen_share=arguments.unseen_share,
    unseen_seed=arguments.unseen_seed,
    jobs=arguments.jobs,
    shard_size=arguments.shard_size,
    seed=arguments.seed,
    progress=True,
  )
  seconds = time.perf_counter() - start
  print(_table(found))
  print(
    f'{found.written:,} examples written in {seconds:.1f} s '
    f'({found.written / seconds:,.0f} a second) to {arguments.output}'
  )
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='genret examples',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--corpus',
    required=True,
    help='a BEIR or KILT folder, a file, genret:NAME or ir_datasets:NAME',
  )
  add('--output', required=True, help='a new folder, or one to go on with')
  add(
    '--recipe',
    choices=sorted(RECIPES),
    default='seal',
    help='how many examples of which kind (default %(default)s)',
  )
  add(
    '--option',
    action='append',
    default=[],
    metavar='KIND.NAME=VALUE',
    help='changes a setting of the recipe, such as supervised.spans=8 or '
    'supervised.stop_words=der,die,das',
  )
  add(
    '--kinds',
    nargs='+',
    choices=files.KINDS,
    default=list(files.KINDS),
    help='from pairs, from documents (default: both)',
  )
  add(
    '--split',
    default='train',
    help='judgements to make pairs of (default %(default)s)',
  )
  add(
    '--pseudo-queries',
    metavar='FILE or SPLIT',
    help='a third view of the documents (MINDER), as `genret index fm` takes '
    'it',
  )
  add(
    '--unseen-share',
    type=float,
    default=0.0,
    metavar='SHARE',
    help='leave the pairs of so many documents out, as UNSEEN_SHARE does [0]',
  )
  add('--unseen-seed', type=int, default=0, help='which documents [0]')
  add('--jobs', type=int, default=1, help='processes (default %(default)s)')
  add(
    '--shard-size',
    type=int,
    default=10_000,
    help='pairs or documents of a file (default %(default)s)',
  )
  add('--seed', type=_arguments.seed, default=0, help='of the draws')
  return parser


def _options(
  recipe: str, words: Sequence[str]
) -> tuple[Supervised, Unsupervised]:
  """A recipe with the changes of --option."""
  supervised, unsupervised = RECIPES[recipe]
  fields = (dataclasses.asdict(supervised), dataclasses.asdict(unsupervised))
  known: dict[str, Callable[[str], Any]] = {
    f'{kind}.{name}': _words if name == 'stop_words' else type(value)
    for kind, options in zip(files.KINDS, fields, strict=True)
    for name, value in options.items()
  }
  changes: dict[str, dict[str, Any]] = {kind: {} for kind in files.KINDS}
  for word in words:
    path, equals, text = word.partition('=')
    if not equals or path not in known:
      raise ValueError(
        f'Expected --option KIND.NAME=VALUE with one of {", ".join(known)}, got '
        f'{word!r}.'
      )
    kind, _, name = path.partition('.')
    try:
      changes[kind][name] = known[path](text)
    except ValueError:
      raise ValueError(
        f'Expected --option {path} to be of type {known[path].__name__}, got '
        f'{text!r}.'
      ) from None
  return (
    dataclasses.replace(supervised, **changes['supervised']),
    dataclasses.replace(unsupervised, **changes['unsupervised']),
  )


def _words(text: str) -> tuple[str, ...]:
  """A list in one argument."""
  return tuple(word for word in text.split(',') if word)


def _table(found: writer.Summary) -> str:
  """How many examples there are, and of what there are none."""
  lines = [f'{"kind":<14}{"view":<8}{"grade":<14}{"examples":>12}']
  for name, count in found.counts.items():
    kind, view, grade = name.split()
    lines.append(f'{kind:<14}{view:<8}{grade:<14}{count:>12,}')
  lines.append(
    f'{found.documents:,} documents ({found.untitled:,} without a title, '
    f'{found.empty:,} without a text), {found.pairs:,} pairs '
    f'({found.unknown:,} more of a query or document that is not there, '
    f'{found.of_unseen:,} of unseen documents)'
  )
  lines.append(
    f'{found.missing:,} examples left out for want of a title, text or '
    'pseudo-query'
  )
  return '\n'.join(lines)
