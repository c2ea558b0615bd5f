# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Measures: the standard ones by name, the rates of constrained decoding, tests.

The values come from ir_measures (trec_eval underneath), with two rules made
here and kept for every measure, whichever program computes it:

* every judged query counts; one that the run lacks scores 0;
* ties are broken as trec_eval does: single-precision score, descending, then
  document id, descending.

Names are those of ir_measures; Success@k is the literature's Hits@k. nDCG has
trec_eval's linear gain.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

MEASURES = ('Success@1', 'Success@10', 'RR@10', 'nDCG@10', 'R@100')


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Measures of one run.

  Attributes:
    mean: `{measure: value over all judged queries}`.
    per_query: `{measure: {query_id: value}}`, every judged query.
    missing: judged queries without a document in the run; each scored 0.
    unjudged: queries of the run without judgements; they count nowhere.
  """

  mean: dict[str, float]
  per_query: dict[str, dict[str, float]]
  missing: list[str]
  unjudged: list[str]


def evaluate(
  run: Mapping[str, Mapping[str, float]],
  qrels: Mapping[str, Mapping[str, int]],
  measures: Sequence[str] = MEASURES,
) -> Evaluation:
  """Scores a run.

  Args:
    run: `{query_id: {doc_id: score}}`, from `runs.read_trec` or
      `runs.trec_scores`.
    qrels: `{query_id: {doc_id: relevance}}`.
    measures: names of ir_measures, such as 'nDCG@10' or 'RR(rel=2)@10'.

  Raises:
    ImportError: where ir_measures is missing.
    ValueError: for an unknown measure and for qrels without a query.
  """
  if not qrels:
    raise ValueError('expected judged queries, found none; check the qrels.')
  parsed = {name: _parse(name) for name in measures}
  missing = [query_id for query_id in qrels if not run.get(query_id)]
  # Scores that fall by one per rank leave no ties for a provider to break: they
  # do not agree on them (the one that computes RR@10 takes docid ascending).
  ranked = {
    query_id: {
      doc_id: float(len(run[query_id]) - rank)
      for rank, doc_id in enumerate(trec_order(run[query_id]))
    }
    for query_id in qrels
    if run.get(query_id)
  }
  judged = {
    query_id: dict(judgements) for query_id, judgements in qrels.items()
  }
  per_query = {
    name: _values(name, measure, ranked, judged)
    for name, measure in parsed.items()
  }
  mean = {}
  for name, measure in parsed.items():
    aggregator = measure.aggregator()  # the mean, or the sum of a count
    for value in per_query[name].values():
      aggregator.add(value)
    mean[name] = float(aggregator.result())
  unjudged = [query_id for query_id in run if query_id not in qrels]
  return Evaluation(mean, per_query, missing, unjudged)


def trec_order(scores: Mapping[str, float]) -> list[str]:
  """Returns document ids as trec_eval ranks them, best first.

  Single-precision score, descending; equal scores by document id, descending.
  """
  return sorted(
    scores,
    key=lambda doc_id: (np.float32(scores[doc_id]), doc_id),
    reverse=True,
  )


def legal_rate(
  identifier_BxK: ArrayLike, flagged_BxK: ArrayLike | None = None
) -> float:
  """Share of the hypotheses returned as legal that are identifiers.

  Args:
    identifier_BxK: whether the tokens are an identifier of the table.
    flagged_BxK: what the search flagged legal; everything where None.

  Returns:
    In [0, 1]; 1.0 where nothing was returned, since nothing illegal was.
  """
  identifier_BxK = np.asarray(identifier_BxK, bool)
  if flagged_BxK is None:
    flagged_BxK = np.ones_like(identifier_BxK)
  flagged_BxK = np.asarray(flagged_BxK, bool)
  returned = np.count_nonzero(flagged_BxK)
  if not returned:
    return 1.0
  return float(np.count_nonzero(identifier_BxK & flagged_BxK) / returned)


def dead_end_rate(legal_BxK: ArrayLike, num_identifiers: int) -> float:
  """Share of queries with fewer than min(K, num_identifiers) legal hypotheses.

  0.0 for no queries.
  """
  legal_BxK = np.asarray(legal_BxK, bool)
  if not len(legal_BxK):
    return 0.0
  wanted = min(legal_BxK.shape[1], num_identifiers)
  return float(np.mean(np.count_nonzero(legal_BxK, axis=1) < wanted))


def paired_randomization_test(
  a_Q: ArrayLike,
  b_Q: ArrayLike,
  *,
  permutations: int = 10_000,
  seed: int = 0,
) -> float:
  """Two-sided p of the mean difference under random exchange of the systems.

  Fisher's randomization test as Smucker, Allan and Carterette (CIKM 2007)
  recommend for retrieval. With at most log2(permutations) queries that differ
  every exchange is tried and p is exact; otherwise p counts the observed
  assignment as one of the samples and is never 0.

  Args:
    a_Q: the measure of the first system on Q queries.
    b_Q: the second system, same queries in the same order.
    permutations: number of exchanges to try.
    seed: of the random exchanges.
  """
  from scipy import stats  # a second of import that reading a run can spare

  a_Q, b_Q = np.asarray(a_Q, float), np.asarray(b_Q, float)
  if a_Q.shape != b_Q.shape or a_Q.ndim != 1:
    raise ValueError(
      'expected one value per query of both systems, found shapes '
      f'{a_Q.shape} and {b_Q.shape}; align the queries first.'
    )
  # Exchanging equal values changes nothing, so such queries can be left out
  # of the resampling (the sum orders assignments as the mean does).
  difference = (a_Q - b_Q)[a_Q != b_Q]
  if len(difference) < 2:
    return 1.0
  result = stats.permutation_test(
    (difference,),
    lambda x, axis: np.sum(x, axis=axis),
    permutation_type='samples',
    vectorized=True,
    n_resamples=permutations,
    batch=max(1, 2_000_000 // len(difference)),
    rng=np.random.default_rng(seed),
  )
  return float(result.pvalue)


def significance(
  system: Evaluation, baseline: Evaluation, *, seed: int = 0
) -> dict[str, float]:
  """p of every measure that both evaluations have, on the same judged queries.

  Raises:
    ValueError: where the judged queries differ.
  """
  p_values = {}
  for name in system.per_query:
    if name not in baseline.per_query:
      continue
    a, b = system.per_query[name], baseline.per_query[name]
    if a.keys() != b.keys():
      raise ValueError(
        f'expected the same judged queries, found {len(a)} and {len(b)} that '
        'differ; evaluate both runs with the same qrels.'
      )
    p_values[name] = paired_randomization_test(
      list(a.values()), [b[query_id] for query_id in a], seed=seed
    )
  return p_values


def _parse(name: str) -> Any:
  """Returns the ir_measures measure of that name."""
  try:
    import ir_measures
  except ImportError as error:
    raise ImportError(
      'measures need the package ir_measures, which is not installed; run pip '
      "install 'genret[eval]'."
    ) from error
  # ast, names, parameters: each has its own exception there.
  try:
    measure = ir_measures.parse_measure(name)
    measure.validate_params()
    supported = ir_measures.DefaultPipeline.supports(measure)
  except (AssertionError, KeyError, NameError, TypeError, ValueError):
    supported = False
  # trec_eval ends the whole process at a cutoff or level below 1.
  if not supported or any(
    measure.params.get(key, 1) < 1 for key in ('cutoff', 'rel')
  ):
    raise ValueError(
      'expected the name of a measure that ir_measures can compute, such as '
      f'{", ".join(MEASURES)}, AP or P(rel=2)@5, found {name!r}; correct it.'
    )
  return measure


def _values(
  name: str,
  measure: Any,
  ranked: dict[str, dict[str, float]],
  qrels: dict[str, dict[str, int]],
) -> dict[str, float]:
  """Returns {query_id: value} of one measure for every judged query."""
  import subprocess

  import ir_measures

  values = dict.fromkeys(qrels, 0.0)
  try:
    for metric in ir_measures.iter_calc([measure], qrels, ranked):
      if metric.query_id in ranked:
        values[metric.query_id] = float(metric.value)
  except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
    raise ValueError(
      f'{name}: ir_measures could not compute it ({error}); '
      'choose another measure.'
    ) from error
  return values
