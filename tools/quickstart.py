# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Watch a T5 learn to retrieve: the main job on the shipped collection.

Names the documents, trains, decodes the test questions under the trie of the
names, ranks, measures beside BM25 and a random order, and leaves a run folder
with report.json, report.png and run files. Interrupted, it goes on where it
stopped when started again.

example:
  genret quickstart
  genret quickstart --pretrained flan-t5-small --output runs/pretrained
"""

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genret import vocabulary as vocabulary_lib
from genret.corpus import SQUADSHIFTS_WIKI, Collection, load_collection
from genret.docids import build, on_demand
from genret.docids.table import DocidTable
from genret.models import checkpoints, weights
from genret.tools import _arguments
from genret.tools import train as train_tool
from genret.tools._pretrained import save_initial

_CORPUS = f'genret:{SQUADSHIFTS_WIKI.name}'


def main(argv: Sequence[str]) -> int:
  """Runs `genret quickstart`."""
  parser = argparse.ArgumentParser(
    prog='genret quickstart',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--output', help='run folder [runs/quickstart]')
  parser.add_argument(
    '--pretrained',
    metavar='FOLDER',
    help='start from these weights: a Hugging Face T5 with its spiece.model',
  )
  parser.add_argument('--steps', type=int, help='train so many steps')
  parser.add_argument('--seed', type=_arguments.seed, default=0)
  arguments = parser.parse_args(list(argv))
  name = 'quickstart_pretrained' if arguments.pretrained else 'quickstart'
  folder = Path(arguments.output or f'runs/{name}')

  collection = load_collection(_CORPUS)
  _tell(1, 'collection', _describe(collection))

  start = time.perf_counter()
  if arguments.pretrained:
    table = _start_from(Path(arguments.pretrained), collection, folder)
  else:
    table = DocidTable.load(
      on_demand.from_corpus(_CORPUS, folder / 'index', queries_split='train')
    )
  _tell(
    2,
    'identifiers',
    f'{table.meta["scheme"]}, {table.vocab_size:,} tokens in all '
    f'({time.perf_counter() - start:.0f} s)',
  )

  bindings = {
    'CORPUS': repr(_CORPUS),
    'DOCIDS': repr(str(folder / 'index')),
    'MODEL_DIR': repr(str(folder)),
    'SEED': arguments.seed,
  }
  if arguments.pretrained:
    bindings['INITIAL_CHECKPOINT_PATH'] = repr(str(folder / 'initial'))
  if arguments.steps is not None:
    bindings['TRAIN_STEPS'] = arguments.steps
  _tell(3, 'training', f'gin_configs/experiments/{name}.gin')
  train_tool.parse_config(
    ['runs/genret_train.gin', f'experiments/{name}.gin'],
    [f'{key} = {value}' for key, value in bindings.items()],
  )
  train_tool.run()

  _tell(4, 'measuring', 'the test questions, which no step has seen')
  report = train_tool.report(
    folder,
    _CORPUS,
    split='test',
    seed=arguments.seed,
    command=shlex.join(['genret', 'quickstart', *argv]),
  )
  print(_verdict(report))
  question = 'what is the highest mountain range outside asia'
  called = sys.argv[0] if Path(sys.argv[0]).name == 'genret' else 'genret'
  print(f'Ask it:  {called} search --run {folder} "{question}"')
  return 0


def _start_from(
  pretrained: Path, collection: Collection, folder: Path
) -> DocidTable:
  """Identifiers behind the vocabulary of a pretrained T5, and its weights."""
  if (folder / 'initial' / checkpoints.CONFIG_FILE).exists():
    return DocidTable.load(folder / 'index')
  spiece = pretrained / vocabulary_lib.VOCABULARY_FILE
  if not spiece.is_file():
    raise FileNotFoundError(
      f"Expected T5's SentencePiece model in {spiece}, found none; copy the "
      'spiece.model of the model into the folder.'
    )
  model = weights.load_hugging_face(pretrained)
  table = build.build(
    collection,
    folder / 'index',
    scheme='atomic',
    vocabulary=spiece,
    text_tokens=model[0].vocab_size,
    queries_split='train',
  )
  save_initial(model, collection, folder / 'index', folder / 'initial')
  return table


def _describe(collection: Collection) -> str:
  splits = ', '.join(
    f'{len(qrels):,} {split}' for split, qrels in collection.qrels.items()
  )
  return (
    f'{collection.name}: {len(collection.documents):,} Wikipedia paragraphs, '
    f'questions: {splits} (CC BY 4.0, text CC BY-SA)'
  )


def _verdict(report: Mapping[str, Any]) -> str:
  """One sentence that sets the run beside BM25."""
  difference = (
    report['systems']['genret']['RR@10'] - report['systems']['bm25']['RR@10']
  )
  p = report['p_values_against_bm25']['genret']['RR@10']
  return (
    f'After {report["seconds"]["train"]:.0f} s of training genret is '
    f'{abs(difference):.3f} RR@10 {"ahead of" if difference > 0 else "behind"} '
    f'BM25 (p = {p:.2f}).'
  )


def _tell(number: int, what: str, text: str) -> None:
  print(f'[{number}/4] {what}: {text}', flush=True, file=sys.stdout)
