# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""SEAL's claims, checked: scoring, constraint, and how it compares with BM25.

For each collection and seed a model is trained from scratch
(experiments/seal_squadshifts.gin), writes n-grams for the test queries with and
without the constraint, and the same n-grams are scored in every mode. A row of
results is kept for each model; the page shows means over seeds, and p-values of
paired randomisation tests over queries, whose measures are means over seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from genret import metrics, ngram_index, runs
from genret.baselines.bm25 import BM25
from genret.constraints.combine import start_after
from genret.corpus import Collection
from genret.decoding.beam import beam_search
from genret.decoding.ngram_keys import QueryKeys
from genret.evaluate import DEPTH
from genret.models import checkpoints
from genret.ngram_searcher import NgramSearcher
from genret.ranking.ngrams import NgramScorer, Scoring
from genret.report import write_report
from genret.searcher import SETTINGS_FILE, Searcher
from genret.text_files import write_text
from genret.tools import _tables
from genret.tools import train as train_tool
from genret.tools._studies import Judged, compare, kept, load_judged
from genret.views import VIEWS
from genret.vocabulary import EOS_ID

MEASURES = ('Success@1', 'Success@10', 'RR@10', 'nDCG@10')
# The paper's "LM": n-grams of one length, each document by its best.
LENGTHS = (3, 4, 5)
# Which pairs the page compares.
PAIRS = (
  *(('LM+FM', f'LM, n = {n}') for n in LENGTHS),
  *(('LM+FM, text only', f'LM, n = {n}') for n in LENGTHS),
  ('intersective', 'LM+FM'),
  ('intersective', 'intersective, text only'),
  ('intersective', 'intersective, unconstrained'),
  ('intersective', 'BM25'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What this study alone takes."""
  parser.add_argument(
    '--trained',
    action='append',
    default=[],
    type=_named,
    metavar='NAME=RUN_FOLDER',
    help='measure a run that is trained already, too; may be repeated, with the '
    'same name for other seeds',
  )


def _named(text: str) -> tuple[str, str]:
  name, equals, folder = text.partition('=')
  if not name or not equals or not folder:
    raise argparse.ArgumentTypeError(
      f'Expected --trained NAME=RUN_FOLDER, got {text!r}.'
    )
  return name, folder


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
  trained: Sequence[tuple[str, str]],
) -> None:
  """Trains and measures what is not there yet, then writes the page.

  Args:
    corpora: collections with training queries.
    seeds: of the models that are trained from scratch.
    steps: to train; the experiment's own number where None.
    split: whose queries to search.
    limit: how many of them, from the first; None for all.
    work: folder of indexes, runs and rows; what is there is not done again.
    docs: where seal.md and results/seal.json are.
    command: what to note in new rows as the command that made them.
    trained: names and folders of other runs to measure; those of one name are
      seeds of one model.
  """
  (work / 'rows').mkdir(parents=True, exist_ok=True)
  for corpus in corpora:
    judged = load_judged(corpus, split, limit, command)
    name = judged.collection.name
    kept(work, judged, 'bm25', _bm25)
    index = work / f'{name}.index'
    seconds = _index(judged.collection, index)
    for seed in seeds:
      folder = work / f'{name}.seed{seed}'
      kept(
        work,
        judged,
        f'scratch.{seed}',
        _scratch,
        corpus,
        index,
        folder,
        seed,
        steps,
        {'index': seconds},
      )
  for model, run_folder in trained:
    folder = Path(run_folder)
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    seed = json.loads((folder / 'run.json').read_text())['seed']
    judged = load_judged(settings['corpus'], split, limit, command)
    kept(work, judged, 'bm25', _bm25)
    kept(work, judged, f'{model}.{seed}', _trained, folder, model, seed, {})
  rows = [
    json.loads(path.read_text()) for path in sorted((work / 'rows').glob('*'))
  ]
  shown = [{k: v for k, v in row.items() if k != 'per_query'} for row in rows]
  found = _comparisons(rows)
  write_report(
    docs / 'results' / 'seal.json',
    {'rows': shown, 'comparisons': found},
  )
  tables = _tables.tables(shown, found, MEASURES)
  _tables.write(docs / 'seal.md', tables)
  print(tables)


def _index(collection: Collection, folder: Path) -> float:
  """Builds the index unless it is there; the seconds that it took."""
  noted = folder / 'seconds.json'
  if not noted.exists():
    start = time.perf_counter()
    ngram_index.build(collection, folder, queries_split='train', dimensions=512)
    write_text(noted, json.dumps(time.perf_counter() - start))
  return float(json.loads(noted.read_text()))


def _bm25(judged: Judged) -> dict[str, Any]:
  start = time.perf_counter()
  ranker = BM25(judged.collection.documents)
  built = time.perf_counter() - start
  found = ranker.search(judged.queries, DEPTH)
  seconds = {'index': built, 'search': time.perf_counter() - start - built}
  measured = metrics.evaluate(runs.trec_scores(found), judged.qrels, MEASURES)
  return {
    'systems': {'BM25': dict(measured.mean)},
    'per_query': {'BM25': measured.per_query},
    'model': 'BM25',
    'seed': 0,
    'seconds': seconds,
    **judged.facts(),
  }


def _scratch(
  judged: Judged,
  corpus: str,
  index: Path,
  folder: Path,
  seed: int,
  steps: int | None,
  seconds: dict[str, float],
) -> dict[str, Any]:
  """Trains from scratch, and measures the model and its untrained start."""
  bindings = {
    'CORPUS': repr(corpus),
    'DOCIDS': repr(str(index)),
    'MODEL_DIR': repr(str(folder)),
    'SEED': seed,
    'EVAL_PERIOD': 0,
    'ngrams.mixture.name': repr(f'seal_{judged.collection.name}'),
  }
  if steps is not None:
    bindings['TRAIN_STEPS'] = steps
  train_tool.parse_config(
    ['runs/genret_train.gin', 'experiments/seal_squadshifts.gin'],
    [f'{key} = {value}' for key, value in bindings.items()],
  )
  train_tool.run()
  return _trained(judged, folder, 'scratch', seed, seconds, untrained=True)


def _trained(
  judged: Judged,
  folder: Path,
  model: str,
  seed: int,
  seconds: dict[str, float],
  *,
  untrained: bool = False,
) -> dict[str, Any]:
  """Measures a run; its steps and the time that they took are in its log."""
  log = (folder / 'log.jsonl').read_text().splitlines()
  last = json.loads(log[-1])
  return _measured(
    judged,
    folder,
    model,
    seed,
    {**seconds, 'train': last['seconds']},
    steps=last['step'],
    untrained=untrained,
  )


def _measured(
  judged: Judged,
  folder: Path,
  model: str,
  seed: int,
  seconds: dict[str, float],
  *,
  steps: int,
  untrained: bool,
) -> dict[str, Any]:
  """A row: every system of one trained model, and times without compilation."""
  queries = judged.queries
  searcher = Searcher.load(folder)
  if not isinstance(searcher, NgramSearcher):
    raise ValueError(
      f'Expected a run over an index of n-grams, {folder} has identifiers; '
      'train with an experiment of SEAL.'
    )
  kinds: dict[str, tuple[Any, bool]] = {
    '': (searcher.params, True),
    ', unconstrained': (searcher.params, False),
  }
  if untrained:
    _, start = checkpoints.load_model(folder, step=0)
    kinds[', untrained'] = (start, True)
  systems, per_query = {}, {}
  for kind, (params, constrained) in kinds.items():
    searcher.params = params
    searcher.keys = dataclasses.replace(searcher.keys, constrained=constrained)
    label = f'{judged.collection.name} {model} {seed}{kind}'
    texts = list(queries.values())
    searcher.generate(texts[: searcher.batch_size])  # Compiles.
    start_time = time.perf_counter()
    keys = list(_keys(searcher, texts, label))
    seconds[f'keys{kind}'] = time.perf_counter() - start_time
    if not kind:
      seconds['search'] = _search_seconds(searcher, keys)
    modes = _modes()
    if kind == ', untrained':
      modes = {'intersective': modes['intersective']}
    for name, (scoring, length, views) in modes.items():
      searcher.scoring = scoring
      scorer = searcher.scorer
      chosen = [_chosen(found, length, views) for found in keys]
      for found in chosen[:1]:
        _hits(scorer, searcher.doc_ids, found)  # Compiles.
      start_time = time.perf_counter()
      run_ = {
        qid: _hits(scorer, searcher.doc_ids, found)
        for qid, found in zip(queries, chosen, strict=True)
      }
      seconds[f'score {name}{kind}'] = time.perf_counter() - start_time
      measured = metrics.evaluate(
        runs.trec_scores(run_), judged.qrels, MEASURES
      )
      systems[name + kind] = {
        **measured.mean,
        'keys': float(np.mean([len(found.keys) for found in chosen])),
      }
      per_query[name + kind] = measured.per_query
  return {
    'systems': systems,
    'per_query': per_query,
    'model': model,
    'seed': seed,
    'steps': steps,
    'seconds': seconds,
    'docids_hash': searcher.docids_hash,
    **judged.facts(),
  }


def _keys(
  searcher: NgramSearcher, queries: Sequence[str], label: str
) -> Iterator[QueryKeys]:
  for first in tqdm(range(0, len(queries), searcher.batch_size), label):
    yield from searcher.generate(queries[first : first + searcher.batch_size])


def _search_seconds(
  searcher: NgramSearcher, found: Sequence[QueryKeys]
) -> float:
  """What the searches take where the model costs nothing.

  The same beams, steps and constraints, over the distribution of the first token
  of each query at every step: the time of the index and of the search itself.
  """
  index, marks, keys = (
    searcher.identifiers.fm,
    searcher.identifiers.marks,
    searcher.keys,
  )
  inside = index.constraint(end_id=marks.end)
  searches = [
    (index.constraint(), keys.body_beams, keys.body_length, EOS_ID),
    (
      start_after(inside, [marks.title]),
      keys.title_beams,
      keys.title_length,
      marks.end,
    ),
  ]
  rows = np.stack([np.asarray(of.unigram_log_probabilities) for of in found])
  size = searcher.batch_size
  batches = [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)]
  if not batches:  # Fewer queries than a batch has.
    batches = [np.resize(rows, (size, rows.shape[1]))]
  for timed in (False, True):  # Compiles first.
    start_time = time.perf_counter()
    for batch in batches if timed else batches[:1]:
      for constraint, num_beams, length, eos_id in searches:
        output = _search(
          batch,
          constraint,
          num_beams=num_beams,
          max_length=length,
          eos_id=eos_id,
        )
        jax.block_until_ready(output)
  seconds = time.perf_counter() - start_time
  return seconds / (len(batches) * size) * len(found)


@functools.partial(
  jax.jit, static_argnames=('num_beams', 'max_length', 'eos_id')
)
def _search(
  logits_BxV: jax.Array,
  constraint: Any,
  *,
  num_beams: int,
  max_length: int,
  eos_id: int,
) -> Any:
  logits_NxV = jnp.repeat(logits_BxV, num_beams, axis=0)
  return beam_search(
    lambda token_N, cache: (logits_NxV, cache),
    {},
    batch_size=len(logits_BxV),
    num_beams=num_beams,
    max_length=max_length,
    eos_id=eos_id,
    constraint=constraint,
    keep_candidates=2 * num_beams,
  )


class _Mode(NamedTuple):
  """A scoring, and which keys it sees."""

  scoring: Scoring
  length: int | None = None
  views: tuple[str, ...] = VIEWS


def _modes() -> dict[str, _Mode]:
  """Scorings by name."""
  text = ('body',)
  modes = {f'LM, n = {n}': _Mode(Scoring(mode='lm'), n, text) for n in LENGTHS}
  modes['LM+FM'] = _Mode(Scoring(mode='lm+fm'))
  modes['LM+FM, text only'] = _Mode(Scoring(mode='lm+fm'), views=text)
  modes['intersective'] = _Mode(Scoring())
  modes['intersective, text only'] = _Mode(Scoring(), views=text)
  return modes


def _chosen(
  found: QueryKeys, length: int | None, views: Sequence[str]
) -> QueryKeys:
  """The keys of these views with so many tokens, or with any number."""
  kept = [
    i
    for i, (key, view) in enumerate(zip(found.keys, found.views, strict=True))
    if view in views and length in (None, len(key))
  ]
  return found._replace(
    keys=[found.keys[i] for i in kept],
    log_probabilities=found.log_probabilities[kept],
    views=[found.views[i] for i in kept],
  )


def _hits(
  scorer: NgramScorer, doc_ids: Sequence[str], found: QueryKeys
) -> list[runs.Hit]:
  ranked = scorer.score(
    found.keys,
    found.log_probabilities,
    found.unigram_log_probabilities,
    DEPTH,
    evidence=False,
  )
  return [runs.Hit(doc_ids[d.document], d.score) for d in ranked]


def _comparisons(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Each of PAIRS, for each model of each collection, over all its seeds."""
  groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
  for row in rows:
    groups.setdefault((_tables.part_of(row), row['model']), []).append(row)
  found = []
  for (part, model), group in groups.items():
    if model == 'BM25':
      continue
    baseline = groups.get((part, 'BM25'), [])
    for better, worse in PAIRS:
      ours = _per_query(group, better)
      theirs = _per_query(baseline if worse == 'BM25' else group, worse)
      if ours is None or theirs is None:
        continue
      qids = list(next(iter(ours.values())))
      found.append(
        {
          'part': part,
          'model': model,
          'pair': [better, worse],
          'seeds': len(group),
          **compare(_values(ours, qids), _values(theirs, qids)),
        }
      )
  return found


def _per_query(
  rows: Sequence[Mapping[str, Any]], system: str
) -> dict[str, dict[str, float]] | None:
  """Means over rows of each measure on each query."""
  parts = [r['per_query'][system] for r in rows if system in r['per_query']]
  if not parts:
    return None
  return {
    measure: {
      qid: float(np.mean([part[measure][qid] for part in parts]))
      for qid in parts[0][measure]
    }
    for measure in parts[0]
  }


def _values(
  per_query: Mapping[str, Mapping[str, float]], qids: Sequence[str]
) -> dict[str, np.ndarray]:
  return {
    measure: np.array([of[qid] for qid in qids])
    for measure, of in per_query.items()
  }
