# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Write an experiment's training examples as tokens, to train without seqio.

Takes the gin files and bindings of `genret train`. A machine that has neither seqio
nor TensorFlow then trains from the folder (docs/experiments.md, "Without TensorFlow"),
and so does `genret train --gin.MIXTURE_OR_TASK_NAME=FOLDER`, with less work for the
processor. Windows and other draws are repeated after --passes over the data.

Example:
  genret examples tokens --gin_file=runs/genret_train.gin \\
    --gin_file=experiments/quickstart.gin --output tokens --passes 10
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin
from tqdm import tqdm

from genret import identifiers, token_examples
from genret import train as trainer
from genret.models import checkpoints
from genret.seqio_batches import SeqioExamples
from genret.tools import _arguments
from genret.tools import train as train_tool


def main(argv: Sequence[str]) -> int:
  """Runs `genret examples tokens`."""
  parser = _parser()
  arguments, rest = parser.parse_known_args(list(argv))
  # Nothing is trained: a folder for it need not be named.
  train_tool.parse_words(parser, arguments, rest, ["MODEL_DIR = ''"])
  bound = gin.get_bindings(trainer.train)
  lengths = bound['task_feature_lengths']
  examples = SeqioExamples(
    bound['mixture_or_task_name'],
    bound['use_cached_tasks'],
    tuple(bound['cache_dirs']),
  )
  start = time.perf_counter()
  passes = examples.passes(lengths, arguments.passes, seed=bound['seed'])
  found = token_examples.save(
    arguments.output,
    examples.name,
    {name: _shown(name, of_task) for name, of_task in passes.items()},
    examples.rates(),
    lengths,
    made_for=token_examples.made_for(
      identifiers.load(bound['docids']).hash,
      unseen_share=bound['unseen_share'],
      unseen_seed=bound['unseen_seed'],
    ),
  )
  checkpoints.save_config(arguments.output, bound['module'].config)
  seconds = time.perf_counter() - start
  print(_table(found))
  print(
    f'{len(found):,} examples written in {seconds:.1f} s '
    f'({len(found) / seconds:,.0f} a second) to {arguments.output}, and the '
    'sizes of the model'
  )
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='genret examples tokens',
    description=__doc__,
    epilog=train_tool.EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  train_tool.add_gin_arguments(parser)
  add = parser.add_argument
  add('--output', required=True, help='the folder to write')
  add(
    '--passes',
    type=_arguments.at_least_one,
    default=1,
    help='over the data [%(default)s]',
  )
  return parser


def _shown(
  name: str, examples: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
  """The same, with progress: how many there will be is not known."""
  return iter(tqdm(examples, desc=name, unit=' examples'))


def _table(found: token_examples.TokenExamples) -> str:
  width = max(map(len, found.tasks))
  lines = [f'{"task":<{width}}  {"rate":>8}  {"examples":>12}  {"tokens":>14}']
  for number, (task, rate) in enumerate(
    zip(found.tasks, found.rates, strict=True)
  ):
    first, end = (int(n) for n in found.first_T1[number : number + 2])
    tokens = sum(
      int(start_N1[end] - start_N1[first])
      for start_N1 in (found.input_start_N1, found.target_start_N1)
    )
    lines.append(
      f'{task:<{width}}  {rate:>8g}  {end - first:>12,}  {tokens:>14,}'
    )
  return '\n'.join(lines)
