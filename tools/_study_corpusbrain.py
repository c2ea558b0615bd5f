# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pre-training on a corpus of linked pages, with and without queries after it.

CorpusBrain's tasks (genret.corpusbrain) alone and together, each zero-shot and, with
'+ fine-tuning', trained on questions behind it; 'nothing' is the model before.
Measured by KILT's R-precision and recall@5 of pages, beside BM25.

The corpus is a KILT folder whose task files are TASK-train-kilt.jsonl and one for the
split, or, with --questions, a file of pages and a BEIR folder whose documents have the
ids of the pages. A query that was cut from a page may tell it by `source` in its
record's meta or in queries.jsonl: this page is left out of every ranking, and
what was cut is left out of pre-training.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genret import corpus as corpus_lib
from genret import kilt_pages, kilt_records
from genret.baselines.bm25 import BM25
from genret.corpus import Document
from genret.docids import on_demand
from genret.models import checkpoints, weights
from genret.runs import Hit
from genret.searcher import Searcher
from genret.text_files import read_lines, write_text
from genret.tools import _corpusbrain_page
from genret.tools import train as train_tool
from genret.tools._studies import Judged, Rows, load_judged

# What a model is pre-trained on: mixing rates of tasks.corpusbrain.
ALL, NOTHING = 'all', 'nothing'
PRETRAINING: dict[str, dict[str, float]] = {
  ALL: {'lps': 1, 'iss': 1, 'hip': 1},
  'hip': {'hip': 1},
  'iss': {'iss': 1},
  'lps': {'lps': 1},
  NOTHING: {},
}
FINE_TUNED = ' + fine-tuning'

# Ranks are noted down to this depth.
DEPTH = 20

# Of BM25's second reading of a page: CorpusBrain's queries are about pages, and
# their beginnings are what is mostly asked for.
LEAD_PARAGRAPHS = 3


class Cell(NamedTuple):
  """One model of the study.

  Attributes:
    pretraining: one of PRETRAINING.
    fine_tuned: whether it is trained on questions behind that.
  """

  pretraining: str
  fine_tuned: bool

  @property
  def name(self) -> str:
    """How rows, folders and --only call it."""
    return self.pretraining + (FINE_TUNED if self.fine_tuned else '')


def grid() -> list[Cell]:
  """What the study trains, the cells that say most first."""
  cells = [Cell(name, False) for name in PRETRAINING]
  cells += [Cell(name, True) for name in (ALL, NOTHING)]
  return cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What this study alone takes."""
  add = parser.add_argument
  add(
    '--questions',
    metavar='FOLDER',
    help='a BEIR folder whose documents have the ids of the pages; without one '
    '--corpus has task files',
  )
  add(
    '--task',
    default='hip',
    help='whose training file is tuned on, and the prefix of --split [hip]',
  )
  add(
    '--tuning-steps',
    type=int,
    help='of fine-tuning; as many as --steps where absent',
  )
  add(
    '--only',
    default='*',
    metavar='PATTERN',
    help="cells by name, such as 'hip*' [all]",
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
  questions: str | None,
  task: str,
  tuning_steps: int | None,
  only: str,
) -> None:
  """Trains and measures what is not there yet, then writes the page.

  Args:
    corpora: one, of pages with links.
    seeds: of the models.
    steps: of pre-training; the experiment's own number where None.
    split: whose queries to search, without the task.
    limit: how many of them, from the first; None for all.
    work: folder of identifiers, runs and rows; what is there is not done again.
    docs: where corpusbrain.md, results/ and images/ are.
    command: what to note in new rows as the command that made them.
    questions: a BEIR folder, or None where the corpus has task files.
    task: of the questions.
    tuning_steps: of fine-tuning; `steps` where None.
    only: which cells, by a pattern of their names.

  Raises:
    ValueError: for several corpora.
  """
  if len(corpora) != 1:
    raise ValueError(
      f'Expected one --corpus, got {len(corpora)}; make a study of each.'
    )
  folder = corpora[0]
  if questions is not None:
    folder = str(kilt_folder(folder, questions, task, work / 'kilt'))
  judged = load_judged(folder, f'{task}-{split}', limit, command)
  of = _Corpus(judged, folder, task, work)
  rows = Rows(docs / 'results' / 'corpusbrain.json', work / 'rows')
  for name, paragraphs in _bm25_rows().items():
    rows.make(judged, name, 0, functools.partial(_bm25, of, paragraphs))
  rows.publish()
  for seed, cell in itertools.product(seeds, grid()):
    if fnmatch.fnmatchcase(cell.name, only):
      row = functools.partial(
        _trained, of, cell, seed, steps, tuning_steps or steps
      )
      wanted = (tuning_steps or steps) if cell.fine_tuned else steps
      untrained = cell == Cell(NOTHING, False)
      rows.make(
        judged, cell.name, seed, row, steps=None if untrained else wanted
      )
      rows.publish()
  print(_corpusbrain_page.write(rows.publish(), docs))


def kilt_folder(pages: str, questions: str, task: str, output: Path) -> Path:
  """Writes pages and questions as a KILT folder, unless it is there.

  Each document that is judged relevant is a gold output of its own: any of them
  answers.

  Args:
    pages: a file of pages, or a folder with one.
    questions: a BEIR folder whose documents are these pages, by id.
    task: what the task files are called.
    output: the folder; the pages in it are a link.

  Raises:
    ValueError: for pages that are not found, and judgements of other ids.
  """
  source = kilt_pages.find_pages(pages)
  if source is None:
    raise ValueError(
      f'Expected pages in {pages}, found none of '
      f'{", ".join(kilt_pages.PAGE_FILES)}; name the folder that has them.'
    )
  link = output / ('kilt.jsonl' + ('.gz' if source.suffix == '.gz' else ''))
  if link.exists():
    return output
  output.mkdir(parents=True, exist_ok=True)
  titles = {p.page_id: p.title for p in kilt_pages.read_pages(source)}
  judged = corpus_lib.load_collection(questions)
  sources = _sources(questions)
  for split, qrels in judged.qrels.items():
    lines = []
    for query_id, relevant in qrels.items():
      gold = [doc_id for doc_id, relevance in relevant.items() if relevance > 0]
      unknown = [doc_id for doc_id in gold if doc_id not in titles]
      if unknown:
        raise ValueError(
          f'Expected judgements of pages in {source}, query {query_id!r} has '
          f'{unknown[0]!r}; name the pages that {questions} was made of.'
        )
      record = {
        'id': query_id,
        'input': judged.queries[query_id],
        'output': [
          {'provenance': [{'wikipedia_id': page, 'title': titles[page]}]}
          for page in gold
        ],
        'meta': {'source': sources[query_id]} if query_id in sources else {},
      }
      if gold:
        lines.append(json.dumps(record, ensure_ascii=False) + '\n')
    write_text(output / f'{task}-{split}-kilt.jsonl', ''.join(lines))
  link.symlink_to(source.resolve())
  return output


def _sources(questions: str) -> dict[str, str]:
  """The page that each question was cut from, where its line tells."""
  files = [
    path
    for name in ('queries.jsonl', 'queries.jsonl.gz')
    if (path := Path(questions) / name).exists()
  ]
  found = {}
  for file in files:
    for _, line in read_lines(file):
      fields = json.loads(line)
      if fields.get('source') is not None:
        found[str(fields['_id'])] = str(fields['source'])
  return found


class _Corpus(NamedTuple):
  """Pages, and the questions about them."""

  judged: Judged
  folder: str
  task: str
  work: Path

  def task_file(self, split: str) -> Path:
    """The task file of a split, such as `nq-dev`."""
    for file in corpus_lib.task_files(self.folder):
      if file.name.startswith(f'{split}-kilt.jsonl'):
        return file
    raise ValueError(
      f'Expected {split}-kilt.jsonl in {self.folder}, found none; name another '
      '--task or --split.'
    )

  def sources(self) -> dict[str, str]:
    """The page that each query of the measured split was cut from."""
    records = kilt_records.read_records(self.task_file(self.judged.split))
    return {
      record.record_id: str(record.meta['source'])
      for record in records
      if 'source' in record.meta
    }

  def docids(self) -> str:
    """Titles as identifiers, made unless they are there."""
    return on_demand.from_corpus(
      self.folder,
      self.work / f'{self.judged.collection.name}.title',
      scheme='title',
      options={'max_tokens': 8},
      dimensions=256,
    )


def _bm25_rows() -> dict[str, int | None]:
  return {
    'BM25, whole pages': None,
    f'BM25, title and {LEAD_PARAGRAPHS} paragraphs': LEAD_PARAGRAPHS,
  }


def _bm25(of: _Corpus, paragraphs: int | None) -> dict[str, Any]:
  documents = [
    Document(d.doc_id, d.title, '\n'.join(d.text.split('\n')[:paragraphs]))
    for d in of.judged.collection.documents
  ]
  ranker = BM25(documents)
  start = time.perf_counter()
  found = ranker.search(of.judged.queries, DEPTH + 1)
  seconds = time.perf_counter() - start
  return {
    **_measured(of, {'titles': found}),
    'queries_per_second': len(of.judged.queries) / seconds,
  }


def _trained(
  of: _Corpus,
  cell: Cell,
  seed: int,
  steps: int | None,
  tuning_steps: int | None,
) -> dict[str, Any]:
  """Trains a cell, what comes before it too, and measures it."""
  name = of.judged.collection.name
  # Untrained is a model at the first step of any training.
  pretraining = ALL if cell.pretraining == NOTHING else cell.pretraining
  folder = of.work / f'{name}.{pretraining}.{seed}'
  step = 0 if cell.pretraining == NOTHING else None
  bindings = {
    'corpusbrain.mixture.rates': PRETRAINING[pretraining],
    'corpusbrain.mixture.queries': of.folder,
    'corpusbrain.mixture.query_splits': sorted(
      {of.judged.split, f'{of.task}-dev'} & set(of.judged.collection.qrels)
    ),
  }
  log = _run(of, 'pretrain', folder, bindings, seed, steps)
  if step == 0:
    log = []
  if cell.fine_tuned:
    before = folder
    if step == 0:
      before = folder.with_name(f'{name}.{NOTHING}.{seed}')
      _save_untrained(folder, before)
    folder, step = of.work / f'{name}.{cell.name}.{seed}', None
    bindings = {'INITIAL_CHECKPOINT_PATH': str(before)}
    log = _run(of, 'finetune', folder, bindings, seed, tuning_steps)
  searcher = Searcher.load(folder, step=step)
  assert isinstance(searcher, Searcher)  # titles are identifiers
  queries = of.judged.queries
  searcher.batch_search(list(queries.values())[: searcher.batch_size], k=DEPTH)
  start = time.perf_counter()
  found, rates = searcher.measured(queries, DEPTH + 1, progress=True)
  seconds = time.perf_counter() - start
  speeds = [r['examples_per_second'] for r in log if 'loss' in r]
  return {
    'pretraining': cell.pretraining,
    'fine_tuned': cell.fine_tuned,
    'steps': log[-1]['step'] if log else 0,
    'device': jax.devices()[0].device_kind,
    **_measured(of, {'titles': found}),
    'rates': rates,
    'queries_per_second': len(queries) / seconds,
    **({'examples_per_second': float(np.median(speeds))} if speeds else {}),
    'docids_hash': searcher.docids_hash,
  }


def _save_untrained(run_folder: Path, output: Path) -> None:
  """Writes what a run started with as a folder that another starts from."""
  if not (output / checkpoints.CONFIG_FILE).exists():
    weights.save_model(output, *checkpoints.load_model(run_folder, step=0))


def _run(
  of: _Corpus,
  experiment: str,
  folder: Path,
  bindings: Mapping[str, Any],
  seed: int,
  steps: int | None,
) -> list[dict[str, Any]]:
  """Trains an experiment unless it is trained; its log."""
  bindings = {
    'CORPUS': of.folder,
    'DOCIDS': of.docids(),
    'MODEL_DIR': str(folder),
    'SEED': seed,
    'EVAL_PERIOD': 0,
    **({} if steps is None else {'TRAIN_STEPS': steps}),
    **bindings,
  }
  train_tool.parse_config(
    [
      'runs/genret_train.gin',
      f'experiments/corpusbrain_wikispeedia_{experiment}.gin',
    ],
    [f'{key} = {value!r}' for key, value in bindings.items()],
  )
  train_tool.run()
  lines = (folder / 'log.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def _measured(
  of: _Corpus, kinds: Mapping[str, Mapping[str, Sequence[Hit]]]
) -> dict[str, Any]:
  """Measures of rankings without the pages that queries were cut from.

  Ranks are noted of each relevant page, joined by +, in the order of the queries;
  0 is beyond DEPTH.
  """
  sources = of.sources()
  systems, ranks = {}, {}
  for kind, found in kinds.items():
    noted = []
    for query_id in of.judged.queries:
      pages = [hit.doc_id for hit in found[query_id]]
      if sources.get(query_id) in pages:
        pages.remove(sources[query_id])
      place = {page: rank for rank, page in enumerate(pages[:DEPTH], 1)}
      relevant = [p for p, r in of.judged.qrels[query_id].items() if r > 0]
      noted.append('+'.join(str(place.get(page, 0)) for page in relevant))
    ranks[kind] = ' '.join(noted)
    systems[kind] = {
      measure: float(values.mean())
      for measure, values in _corpusbrain_page.values(ranks[kind]).items()
    }
  return {'systems': systems, 'ranks': ranks}
