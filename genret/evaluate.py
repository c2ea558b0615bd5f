# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Decodes the queries of a split, ranks, measures, and compares with BM25."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genret import metrics, report, runs, unseen
from genret.baselines.bm25 import BM25, random_order
from genret.baselines.expansion import expanded
from genret.corpus import Collection, load_collection
from genret.models import checkpoints
from genret.pseudo_queries import read_pseudo_queries
from genret.searcher import SETTINGS_FILE, Searcher, query_form

if TYPE_CHECKING:
  from genret.dense_searcher import DenseSearcher
  from genret.ngram_searcher import NgramSearcher

# The baselines rank this many documents, as many as R@100 looks at.
DEPTH = 100


@dataclasses.dataclass(frozen=True)
class System:
  """One system's answers to the queries of a split.

  Attributes:
    run: hits by query id.
    evaluation: the measures of ir_measures.
    rates: legal_rate, dead_end_rate and collision_rate of a generative system.
    seconds: spent on searching all queries, compilation included.
  """

  run: Mapping[str, Sequence[runs.Hit]]
  evaluation: metrics.Evaluation
  rates: Mapping[str, float]
  seconds: float

  def parts(
    self,
    qrels: Mapping[str, Mapping[str, int]],
    unseen_share: float = 0.0,
    unseen_seed: int = 0,
  ) -> dict[str, dict[str, float]]:
    """The same measures on queries for seen and for unseen documents apart.

    Args:
      qrels: judgements of the queries.
      unseen_share: of the documents (`genret.unseen`); nothing is told apart
        where 0.
      unseen_seed: which ones.

    Returns:
      Means by 'seen' and 'unseen', of those that have queries.
    """
    if not unseen_share:
      return {}
    parts = unseen.split_queries(qrels, unseen_share, unseen_seed)
    return {
      part: metrics.evaluate(
        runs.trec_scores(self.run), of, list(self.evaluation.mean)
      ).mean
      for part, of in parts.items()
      if of
    }


def split_queries(
  collection: Collection, split: str, *, limit: int | None = None
) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
  """The judged queries of a split and their judgements.

  Args:
    collection: the corpus with its queries.
    split: name of a file in qrels/.
    limit: take the first so many queries only.

  Raises:
    ValueError: if there is no such split, or it judges a query that the
      collection lacks.
  """
  if split not in collection.qrels:
    raise ValueError(
      f'Expected one of the splits {", ".join(collection.qrels) or "(none)"} '
      f'of {collection.name}, got {split!r}.'
    )
  qrels = dict(list(collection.qrels[split].items())[:limit])
  lost = [qid for qid in qrels if qid not in collection.queries]
  if lost:
    raise ValueError(
      f'Expected the text of every judged query, {len(lost)} of split '
      f'{split!r} have none, first {lost[0]!r}; complete queries.jsonl.'
    )
  return {qid: collection.queries[qid] for qid in qrels}, qrels


def evaluate_searcher(
  searcher: Searcher | NgramSearcher | DenseSearcher,
  queries: Mapping[str, str],
  qrels: Mapping[str, Mapping[str, int]],
  *,
  depth: int | None = None,
  measures: Sequence[str] = metrics.MEASURES,
  progress: bool = False,
) -> System:
  """Searches all queries and measures the result.

  Args:
    searcher: the trained system.
    queries: texts by query id.
    qrels: their judgements.
    depth: documents ranked, the searcher's own number where None; of one that
      writes identifiers as many as beams. A measure at a deeper cut-off sees no
      more.
    measures: names of ir_measures.
    progress: show a progress bar.
  """
  start = time.perf_counter()
  run, rates = searcher.measured(queries, depth, progress=progress)
  seconds = time.perf_counter() - start
  evaluation = metrics.evaluate(runs.trec_scores(run), qrels, measures)
  return System(run, evaluation, rates, seconds)


def evaluate_baselines(
  collection: Collection,
  queries: Mapping[str, str],
  qrels: Mapping[str, Mapping[str, int]],
  *,
  measures: Sequence[str] = metrics.MEASURES,
  seed: int = 0,
  pseudo_queries: str | os.PathLike[str] | None = None,
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
) -> dict[str, System]:
  """BM25 and a random order on the same queries, and docT5query if asked for.

  Args:
    collection: the corpus.
    queries: texts by query id.
    qrels: their judgements.
    measures: names of ir_measures.
    seed: of the random order.
    pseudo_queries: of the documents, as `read_pseudo_queries` takes them: BM25
      over documents with all of these is the system 'docT5query'.
    unseen_share: those of a split are withheld from so many documents, as from
      the system that they stand beside.
    unseen_seed: which ones.
  """
  systems = {}
  rankers: dict[str, Callable[[], dict[str, list[runs.Hit]]]] = {
    'bm25': lambda: BM25(collection.documents).search(queries, DEPTH),
    'random': lambda: random_order(
      queries, [d.doc_id for d in collection.documents], k=DEPTH, seed=seed
    ),
  }
  if pseudo_queries is not None:
    documents = expanded(
      collection.documents,
      read_pseudo_queries(
        pseudo_queries,
        collection,
        unseen_share=unseen_share,
        unseen_seed=unseen_seed,
      ),
    )
    rankers['docT5query'] = lambda: BM25(documents).search(queries, DEPTH)
  for name, ranker in rankers.items():
    start = time.perf_counter()
    run = ranker()
    seconds = time.perf_counter() - start
    evaluation = metrics.evaluate(runs.trec_scores(run), qrels, measures)
    systems[name] = System(run, evaluation, {}, seconds)
  return systems


def write_report(
  run_folder: str | os.PathLike[str],
  *,
  corpus: str | os.PathLike[str],
  split: str = 'test',
  depth: int = DEPTH,
  measures: Sequence[str] = metrics.MEASURES,
  seed: int = 0,
  initial: bool = False,
  pseudo_queries: str | os.PathLike[str] | None = None,
  extra: Mapping[str, Any] | None = None,
  progress: bool = True,
) -> dict[str, Any]:
  """Measures a trained run beside BM25 and a random order, and writes it down.

  Writes `<split>.<system>.trec` and `report.json` into the run folder.

  Args:
    run_folder: what `genret train` left.
    corpus: the collection.
    split: whose queries to search.
    depth: documents ranked by the generative system; beams, too, where it
      writes identifiers.
    measures: names of ir_measures.
    seed: of the random order; also noted in the report.
    initial: measure the untrained model (the checkpoint of step 0) too.
    pseudo_queries: measure docT5query too, with these (`evaluate_baselines`).
    extra: entries to add to the report, such as the command; 'seconds' is
      merged into the report's own.
    progress: show progress bars.

  Returns:
    The report: per system its measures and rates, p-values of a paired
    randomisation test against BM25, seconds, and what was measured on what.

  Raises:
    ValueError: if the pseudo-queries are the queries that are asked.
  """
  if pseudo_queries is not None and str(pseudo_queries) == split:
    raise ValueError(
      f'Expected pseudo-queries other than those of the split {split!r}, which '
      'are asked; give a file of `genret generate-queries`, or train.'
    )
  folder = Path(run_folder)
  collection = load_collection(corpus, query_form=query_form(folder))
  queries, qrels = split_queries(collection, split)
  searcher = Searcher.load(folder)
  withheld = _withheld(folder)
  weights = {'genret': searcher.params}
  if initial:
    _, weights['genret, untrained'] = checkpoints.load_model(folder, step=0)
  systems = {}
  for name, params in weights.items():
    searcher.params = params
    systems[name] = evaluate_searcher(
      searcher,
      queries,
      qrels,
      depth=depth,
      measures=measures,
      progress=progress,
    )
  systems |= evaluate_baselines(
    collection,
    queries,
    qrels,
    measures=measures,
    seed=seed,
    pseudo_queries=pseudo_queries,
    **withheld,
  )
  for name, system in systems.items():
    tag = name.replace(', ', '_')
    runs.write_trec(folder / f'{split}.{tag}.trec', system.run, tag)
  seconds = {f'search {name}': s.seconds for name, s in systems.items()}
  extra = dict(extra or {})
  result = {
    'systems': {
      name: {**system.evaluation.mean, **system.rates}
      for name, system in systems.items()
    },
    'p_values_against_bm25': {
      name: metrics.significance(system.evaluation, systems['bm25'].evaluation)
      for name, system in systems.items()
      if name != 'bm25'
    },
    **_parts(withheld, systems, qrels),
    'collection': collection.name,
    'corpus_hash': collection.hash,
    'docids_hash': searcher.docids_hash,
    'split': split,
    'queries': len(queries),
    'documents': len(collection.documents),
    'depth': depth,
    'seed': seed,
    'seconds': {**extra.pop('seconds', {}), **seconds},
    **extra,
  }
  report.write_report(folder / 'report.json', result)
  return result


def _withheld(run_folder: Path) -> dict[str, Any]:
  """Which queries a run did not train on: unseen_share and unseen_seed, or none."""
  settings = json.loads((run_folder / SETTINGS_FILE).read_text())
  return {
    name: settings[name]
    for name in ('unseen_share', 'unseen_seed')
    if name in settings
  }


def _parts(
  withheld: Mapping[str, Any],
  systems: Mapping[str, System],
  qrels: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
  """For a report: seen and unseen documents apart, where the run has them."""
  if not withheld:
    return {}
  queries = unseen.split_queries(
    qrels, withheld['unseen_share'], withheld['unseen_seed']
  )
  return {
    **withheld,
    'part_queries': {part: len(of) for part, of in queries.items()},
    'parts': {
      f'{name}, {part}': means
      for name, system in systems.items()
      for part, means in system.parts(qrels, **withheld).items()
    },
  }
