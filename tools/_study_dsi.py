# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The claims of the DSI family, checked: identifier schemes and training recipes.

Every cell of the grid is a scheme, what it is trained on, and an addition; it is
trained for each seed (experiments/dsi_squadshifts.gin, or the same from pretrained
weights) and measured on test queries of seen and of unseen documents apart. Half of
the documents, chosen by a hash, are unseen: none of their questions is trained on.

Rows are kept in the results file with the rank of the answer to each query, so a
study goes on from that file where its work folder is gone. Start the command several
times for as many processes that share its cells.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import functools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genret import metrics, runs
from genret import vocabulary as vocabulary_lib
from genret.baselines.bm25 import BM25
from genret.baselines.expansion import expanded
from genret.corpus import Collection
from genret.decoding.options import DecodingOptions
from genret.docids import on_demand
from genret.docids.table import DocidTable
from genret.evaluate import DEPTH
from genret.models import checkpoints, weights
from genret.models.t5 import T5Config
from genret.process_locks import only_process
from genret.pseudo_queries import read_pseudo_queries
from genret.searcher import Searcher
from genret.tools import _dsi_page
from genret.tools import train as train_tool
from genret.tools._pretrained import save_initial
from genret.tools._studies import Judged, Rows, load_judged
from genret.unseen import split_queries

UNSEEN_SHARE = 0.5

# How documents are named: a scheme of `genret index docids` and its options.
SCHEMES: dict[str, tuple[str, dict[str, Any]]] = {
  'atomic': ('atomic', {}),
  'naive': ('naive', {}),
  'semantic': ('hierarchical-kmeans', {'k': 10, 'c': 10}),
  '2d': ('hierarchical-kmeans-2d', {'k': 10, 'c': 10}),
  'rq': ('rq-kmeans', {'levels': 3, 'k': 16}),
  # The identifiers of `rq`, dealt to other documents.
  'shuffled': ('random-codes', {'like': 'rq'}),
  'title': ('title', {}),
  'description': ('description', {}),
}

# What a model is trained on: mixing rates of tasks.retrieval. 'text' are random
# windows of a document.
RECIPES: dict[str, dict[str, float]] = {
  'text': {'chunks': 1},
  'labelled': {'retrieval': 1},
  'labelled + text': {'retrieval': 1, 'chunks': 1},
  'generated': {'generated': 1},
  'labelled + generated': {'retrieval': 1, 'generated': 1},
  'all': {'retrieval': 1, 'chunks': 1, 'generated': 1},
}
# What a cell may have besides: gin files that go after the experiment.
ADDITIONS: dict[str, tuple[str, ...]] = {
  '': (),
  'PAWA': ('models/pawa.gin',),
  'consistency': ('recipes/consistency.gin',),
}

# What a model knows at first, and how its identifiers are built. 'words': latent
# vectors of words, all else at random; 'latent': identifiers stand where their
# documents are, too.
STARTS: dict[str, tuple[str, dict[str, Any]]] = {
  'words': (
    'dsi_squadshifts.gin',
    {'dimensions': 256, 'vocabulary_size': 6000},
  ),
  'latent': ('quickstart.gin', {}),
  'pretrained': ('dsi_squadshifts_pretrained.gin', {}),
}


@dataclasses.dataclass(frozen=True)
class Cell:
  """One experiment of the grid.

  Attributes:
    scheme: one of SCHEMES.
    recipe: one of RECIPES.
    addition: one of ADDITIONS.
    start: one of STARTS.
  """

  scheme: str
  recipe: str
  addition: str = ''
  start: str = 'words'

  @property
  def name(self) -> str:
    """How rows, folders and --only call it."""
    return ', '.join(
      filter(None, (self.scheme, self.recipe, self.addition, self.start))
    )


def grid() -> list[Cell]:
  """What the claims need, the cells that answer most first."""
  central = ('atomic', 'semantic', 'naive')
  cells = [
    Cell(scheme, recipe)
    for recipe in ('labelled + text', 'all', 'text')
    for scheme in central
  ]
  cells += [Cell(scheme, 'all') for scheme in SCHEMES if scheme not in central]
  cells += [Cell('2d', 'all', addition) for addition in ADDITIONS if addition]
  cells += [
    Cell(scheme, recipe)
    for recipe in ('generated', 'labelled', 'labelled + generated')
    for scheme in central
  ]
  cells += [Cell('atomic', 'all', start='latent')]
  cells += [
    Cell(scheme, recipe, start='pretrained')
    for scheme in ('atomic', 'semantic')
    for recipe in ('labelled + text', 'all')
  ]
  return cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What this study alone takes."""
  add = parser.add_argument
  add(
    '--pseudo-queries',
    action='append',
    default=[],
    metavar='FILE',
    help='of `genret generate-queries`, one for each --corpus in their order; '
    'without them, cells that need them are left out',
  )
  add(
    '--pretrained',
    metavar='FOLDER',
    help='a Hugging Face T5 with its spiece.model; without one, cells that start '
    'from it are left out',
  )
  add(
    '--only',
    default='*',
    metavar='PATTERN',
    help="cells by name, such as 'atomic, *' or '*, words'; none: no cell, but "
    'the page of the rows that there are [all]',
  )


def run(
  *,
  corpora: Sequence[str],
  seeds: Sequence[int],
  steps: int | None,
  split: str,
  limit: int | None,
  work: Path,
  docs: Path,
  command: str,
  pseudo_queries: Sequence[str],
  pretrained: str | None,
  only: str,
) -> None:
  """Trains and measures what is not there yet, then writes the page.

  Args:
    corpora: collections with training queries.
    seeds: of the models.
    steps: to train; the experiment's own number where None.
    split: whose queries to search.
    limit: how many of them, from the first; None for all.
    work: folder of identifiers, runs and rows; what is there is not done again.
    docs: where dsi.md, results/dsi.json and images/dsi.png are.
    command: what to note in new rows as the command that made them.
    pseudo_queries: a file for each corpus, or none at all.
    pretrained: folder of pretrained weights.
    only: which cells, by a pattern of their names.
  """
  if pseudo_queries and len(pseudo_queries) != len(corpora):
    raise ValueError(
      f'Expected --pseudo-queries for each of {len(corpora)} corpora, got '
      f'{len(pseudo_queries)}; give one file for each, or none.'
    )
  names = ['dual encoder', *(cell.name for cell in grid())]
  if only != 'none' and not fnmatch.filter(names, only):
    raise ValueError(
      f'Expected --only to match a cell, such as {names[1]!r}, or none, got '
      f'{only!r}; write another pattern.'
    )
  rows = Rows(docs / 'results' / 'dsi.json', work / 'rows')
  files: Sequence[str | None] = list(pseudo_queries) or [None] * len(corpora)
  studies = [
    _Corpus(
      load_judged(corpus, split, limit, command), corpus, file, pretrained, work
    )
    for corpus, file in zip(corpora, files, strict=True)
  ]
  for of in studies:
    for name in ('BM25', 'docT5query'):
      if name == 'BM25' or of.pseudo_queries:
        rows.make(of.judged, name, 0, functools.partial(_bm25, of, name))
    rows.publish()
  for seed in seeds:
    for of in studies:
      if fnmatch.fnmatchcase('dual encoder', only):
        rows.make(
          of.judged,
          'dual encoder',
          seed,
          functools.partial(_dual_encoder, of, seed, steps),
          steps=steps,
        )
      for cell in grid():
        if of.has(cell) and fnmatch.fnmatchcase(cell.name, only):
          rows.make(
            of.judged,
            cell.name,
            seed,
            functools.partial(_trained, of, cell, seed, steps),
            steps=steps,
          )
          rows.publish()
  print(_dsi_page.write(rows.publish(), docs))


@dataclasses.dataclass(frozen=True)
class _Corpus:
  """A collection of the study, and what is prepared of it."""

  judged: Judged
  corpus: str
  pseudo_queries: str | None
  pretrained: str | None
  work: Path

  @property
  def collection(self) -> Collection:
    """The documents and their questions."""
    return self.judged.collection

  @functools.cached_property
  def parts(self) -> dict[str, dict[str, dict[str, int]]]:
    """Judgements of queries for seen documents, and of those for unseen ones."""
    return split_queries(self.judged.qrels, UNSEEN_SHARE)

  def has(self, cell: Cell) -> bool:
    """Whether what the cell needs was given."""
    generated = 'generated' in RECIPES[cell.recipe]
    generated |= cell.scheme == 'description'
    return (self.pseudo_queries is not None or not generated) and (
      self.pretrained is not None or cell.start != 'pretrained'
    )

  def docids(self, scheme: str, start: str) -> Path:
    """The identifiers, made unless they are there."""
    name, options = SCHEMES[scheme]
    if scheme == 'description':
      options = options | {'queries': self.pseudo_queries}
    if 'like' in options:
      options = options | {'like': str(self.docids(options['like'], start))}
    _, arguments = STARTS[start]
    if start == 'pretrained':
      arguments = {
        'vocabulary': self._pretrained / vocabulary_lib.VOCABULARY_FILE,
        'text_tokens': self._model[0].vocab_size,
      }
    folder = on_demand.from_corpus(
      self.corpus,
      self.work / f'{self.collection.name}.{scheme}.{start}',
      scheme=name,
      options=options,
      queries_split='train',
      unseen_share=UNSEEN_SHARE,
      **arguments,
    )
    return Path(folder)

  def initial(self, docids: Path) -> Path:
    """The pretrained weights with rows for the tokens of identifiers."""
    folder = docids.with_suffix('.initial')
    with only_process(folder):
      if not (folder / checkpoints.CONFIG_FILE).exists():
        save_initial(self._model, self.collection, docids, folder)
    return folder

  @functools.cached_property
  def _model(self) -> tuple[T5Config, Any]:
    return weights.load_hugging_face(self._pretrained)

  @property
  def _pretrained(self) -> Path:
    if self.pretrained is None:
      raise ValueError('Expected --pretrained FOLDER, got none; give one.')
    return Path(self.pretrained)


def _bm25(of: _Corpus, name: str) -> dict[str, Any]:
  """BM25, over the documents alone or with their generated queries."""
  documents = of.collection.documents
  if name == 'docT5query':
    queries = read_pseudo_queries(of.pseudo_queries, of.collection)
    documents = expanded(documents, queries)
  ranker = BM25(documents)
  start = time.perf_counter()
  found = ranker.search(of.judged.queries, DEPTH)
  seconds = time.perf_counter() - start
  system, ranks = _measured(of, found)
  return {
    'systems': {'constrained': system},
    'ranks': {'constrained': ranks},
    'seconds': {'search': seconds},
    'queries_per_second': len(of.judged.queries) / seconds,
  }


def _dual_encoder(of: _Corpus, seed: int, steps: int | None) -> dict[str, Any]:
  docids = of.docids('atomic', 'latent')
  bindings = {
    'text_pairs.task.name': f'dual_encoder_{of.collection.name}',
  }
  return _run(
    of,
    'dual_encoder_squadshifts.gin',
    docids,
    of.work / f'{of.collection.name}.dual encoder.{seed}',
    bindings,
    seed,
    steps,
  )


def _trained(
  of: _Corpus, cell: Cell, seed: int, steps: int | None
) -> dict[str, Any]:
  """Trains a cell and measures it."""
  docids = of.docids(cell.scheme, cell.start)
  rates = RECIPES[cell.recipe]
  bindings: dict[str, Any] = {
    'retrieval.mixture.name': f'dsi_{of.collection.name}',
    'retrieval.mixture.rates': rates,
  }
  if 'generated' in rates:
    bindings['retrieval.mixture.pseudo_queries'] = of.pseudo_queries
  if cell.start == 'pretrained':
    bindings['INITIAL_CHECKPOINT_PATH'] = str(of.initial(docids))
  longest = int(DocidTable.load(docids).lengths_D.max()) + 1
  bindings['TASK_FEATURE_LENGTHS'] = {'inputs': 32, 'targets': longest}
  experiment, _ = STARTS[cell.start]
  row = _run(
    of,
    experiment,
    docids,
    of.work / f'{of.collection.name}.{cell.name}.{seed}',
    bindings,
    seed,
    steps,
    ADDITIONS[cell.addition],
  )
  return {**dataclasses.asdict(cell), **row}


def _run(
  of: _Corpus,
  experiment: str,
  docids: Path,
  folder: Path,
  bindings: Mapping[str, Any],
  seed: int,
  steps: int | None,
  additions: Sequence[str] = (),
) -> dict[str, Any]:
  """Trains an experiment unless it is trained, and measures it."""
  bindings = {
    'CORPUS': of.corpus,
    'DOCIDS': str(docids),
    'MODEL_DIR': str(folder),
    'SEED': seed,
    'EVAL_PERIOD': 0,
    'UNSEEN_SHARE': UNSEEN_SHARE,
    **({} if steps is None else {'TRAIN_STEPS': steps}),
    **bindings,
  }
  train_tool.parse_config(
    ['runs/genret_train.gin', f'experiments/{experiment}', *additions],
    [f'{key} = {value!r}' for key, value in bindings.items()],
  )
  train_tool.run()
  lines = (folder / 'log.jsonl').read_text().splitlines()
  log = [json.loads(line) for line in lines]
  searcher = Searcher.load(folder)
  queries = of.judged.queries
  kinds = {'constrained': True}
  if isinstance(searcher, Searcher):
    kinds['unconstrained'] = False
  systems: dict[str, Any] = {}
  ranks: dict[str, Any] = {}
  seconds = {'train': log[-1]['seconds']}
  for kind, constrained in kinds.items():
    if isinstance(searcher, Searcher):
      searcher.decoding = DecodingOptions(constrained=constrained)
    searcher.batch_search(list(queries.values())[: searcher.batch_size])
    start = time.perf_counter()
    found, rates = searcher.measured(queries, None, progress=True)
    seconds[kind] = time.perf_counter() - start
    systems[kind], ranks[kind] = _measured(of, found)
    systems[kind] |= rates
  return {
    'seed': seed,
    'steps': log[-1]['step'],
    'device': jax.devices()[0].device_kind,
    'systems': systems,
    'ranks': ranks,
    'seconds': seconds,
    'examples_per_second': float(
      np.median([r['examples_per_second'] for r in log if 'loss' in r])
    ),
    'queries_per_second': len(queries) / seconds['constrained'],
    'docids_hash': searcher.docids_hash,
    'vocabulary_hash': vocabulary_lib.vocabulary_hash(docids),
  }


def _measured(
  of: _Corpus, found: Mapping[str, Sequence[runs.Hit]]
) -> tuple[dict[str, Any], dict[str, str]]:
  """Measures of seen and unseen queries apart, and the ranks behind them.

  A rank is that of the first relevant document, 0 where it is beyond 10; they
  stand in the order of the queries.
  """
  run_ = runs.trec_scores(found)
  measured: dict[str, Any] = {}
  ranks = {}
  for part, qrels in of.parts.items():
    evaluation = metrics.evaluate(run_, qrels, _dsi_page.MEASURES)
    measured[part] = dict(evaluation.mean)
    reciprocal = evaluation.per_query['RR@10']
    ranks[part] = ' '.join(
      str(round(1 / r) if r else 0) for r in reciprocal.values()
    )
  return measured, ranks
