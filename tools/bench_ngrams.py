# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Times the ranking of documents by n-grams: whole queries and their stages.

Queries are made from the corpus: each has n-grams of 1 to 10 tokens from a few
neighbouring documents, and log-probabilities of all tokens that favour theirs.
Ours is measured for indexes that keep every position and every few, SEAL's
aggregate_evidence where `seal.keys` can be imported, both with SEAL's settings.
Figures are the best of several turns; compare ratios, which move less.

Example:
  genret bench ngrams --corpus my_beir_folder --vocabulary spiece.model
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from genret import FMIndex, corpus
from genret.ranking.ngram_places import Places
from genret.ranking.ngrams import NgramScorer, ScoredDocument, Scoring
from genret.tools import _arguments, _measure
from genret.tools._measure import Line, Tokens
from genret.vocabulary import load_vocabulary

# Every document begins with a mark. SEAL takes 2 for its own, and stage 2 looks
# for that; the tokens of the text are moved behind it.
MARK = 2
SPECIAL = (0, 1, MARK)
LONGEST_KEY = 10
TOPIC = 20  # neighbouring documents that the keys of a query come from


class Query(NamedTuple):
  """What a model would give: keys, their log-probabilities, those of tokens."""

  keys: list[tuple[int, ...]]
  log_probabilities: list[float]
  unigram_log_probabilities: np.ndarray


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  tokens = _tokens(args)
  rows = list(_rows(tokens))
  vocab_size = tokens.vocab_size + 1
  queries = make_queries(
    rows, vocab_size, count=args.queries, keys=args.keys, seed=args.seed
  )
  _measure.say(
    f'{len(rows):,} documents, {sum(map(len, rows)):,} tokens, {args.queries} '
    f'queries of {args.keys} keys'
  )
  lines: list[Line] = []
  scorers = {}
  for rate in args.sample_rates:
    index = FMIndex.build(rows, vocab_size, sample_rate=rate)
    scorers[rate] = NgramScorer(index, Scoring(), ignored=SPECIAL)
  lines += query_lines(rows, scorers, queries, args)
  for rate, scorer in scorers.items():
    lines += stage_lines(f'sample_rate={rate}', scorer, queries, args)
  _measure.report('genret bench ngrams', lines, vars(args), args.json)
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench ngrams',
    description=__doc__,
    formatter_class=_measure.Help,
  )
  add = parser.add_argument
  add('--corpus', metavar='FOLDER', help='of documents (default: synthetic)')
  add('--vocabulary', metavar='FILE', help='SentencePiece model for --corpus')
  count = _arguments.at_least_one
  add('--num-tokens', type=count, default=5_000_000, help='of the corpus')
  add('--vocab-size', type=count, default=32000, help='of a synthetic corpus')
  add('--queries', type=count, default=10, help='to score')
  add('--keys', type=count, default=500, help='of each query')
  add('--documents', type=count, default=100, help='to return, with evidence')
  add(
    '--sample-rates',
    type=count,
    nargs='+',
    default=[1, 8],
    metavar='N',
    help='indexes that keep every Nth position',
  )
  add('--repeats', type=count, default=5, help='turns of each')
  add('--seal-queries', type=count, default=2, help="of SEAL's one turn")
  add('--seed', type=_arguments.seed, default=0, help='of the queries')
  add('--json', default='', metavar='FILE', help='write the figures, too')
  args = parser.parse_args(argv)
  if (args.corpus is None) != (args.vocabulary is None):
    raise ValueError(
      'Expected --corpus and --vocabulary together but got only one; pass both '
      'or none.'
    )
  return args


def _tokens(args: argparse.Namespace) -> Tokens:
  if args.corpus is None:
    return _measure.synthetic_tokens(args.num_tokens, args.vocab_size)
  pieces = load_vocabulary(args.vocabulary)
  rows: list[np.ndarray] = []
  total = 0
  for document in corpus.read_documents(args.corpus):
    text = f'{document.title} {document.text}'
    rows.append(np.array(pieces.encode(text), np.int32))
    total += len(rows[-1])
    if total >= args.num_tokens:
      break
  return Tokens(
    np.concatenate([np.zeros(0, np.int32), *rows]),
    np.append(0, np.cumsum(list(map(len, rows)))),
    pieces.get_piece_size(),
  )


def _rows(tokens: Tokens) -> Iterator[np.ndarray]:
  """Documents behind their mark, with the tokens of the text moved by one."""
  for document in tokens.documents():
    yield np.append(MARK, document.astype(np.int32) + 1)


def make_queries(
  rows: list[np.ndarray], vocab_size: int, *, count: int, keys: int, seed: int
) -> list[Query]:
  """Queries about neighbouring documents.

  Raises:
    ValueError: they have too few n-grams.
  """
  rng = np.random.default_rng(seed)
  corpus_V = np.bincount(np.concatenate(rows), minlength=vocab_size)
  queries = []
  for _ in range(count):
    first = int(rng.integers(max(len(rows) - TOPIC, 0) + 1))
    topic = [row for row in rows[first : first + TOPIC] if len(row) > 1]
    topic_V = np.bincount(
      np.concatenate([np.zeros(0, np.int64), *topic]), minlength=vocab_size
    )
    token_V = topic_V / max(topic_V.sum(), 1) + corpus_V / corpus_V.sum()
    unigram_V = np.log(token_V / token_V.sum() + 1e-12)
    found: dict[tuple[int, ...], float] = {}
    for _ in range(100 * keys):
      if len(found) == keys or not topic:
        break
      row = topic[rng.integers(len(topic))]
      begin = int(rng.integers(1, len(row)))
      key = tuple(
        row[begin : begin + rng.integers(1, LONGEST_KEY + 1)].tolist()
      )
      rest = np.log(rng.uniform(0.2, 0.95, len(key) - 1)).sum()
      found.setdefault(key, float(unigram_V[key[0]] + rest))
    if len(found) < keys:
      raise ValueError(
        f'Expected {keys} distinct n-grams in {TOPIC} documents but found '
        f'{len(found)}; pass fewer --keys or longer documents.'
      )
    queries.append(Query(list(found), list(found.values()), unigram_V))
  return queries


def query_lines(
  rows: list[np.ndarray],
  scorers: dict[int, NgramScorer],
  queries: list[Query],
  args: argparse.Namespace,
) -> list[Line]:
  """A whole query: SEAL's, and ours for each index."""

  def ours(scorer: NgramScorer) -> list[list[ScoredDocument]]:
    return [scorer.score(*query, args.documents) for query in queries]

  ms = _measure.best_ms(
    {str(rate): _bound(ours, scorer) for rate, scorer in scorers.items()},
    args.repeats,
  )
  each = {rate: ms[str(rate)] / len(queries) for rate in scorers}
  work = f'a query of {args.keys} keys, {args.documents} documents and evidence'
  peers = seal_line(rows, scorers, queries, args)
  slow = f'sample_rate={max(each)}'
  return [
    Line(work, peer, value, f'sample_rate={rate}', each[rate], answers)
    for peer, value, answers in [*peers, (slow, each[max(each)], '')]
    for rate in each
    if f'sample_rate={rate}' != peer or (len(each) == 1 and not peers)
  ]


def seal_line(
  rows: list[np.ndarray],
  scorers: dict[int, NgramScorer],
  queries: list[Query],
  args: argparse.Namespace,
) -> list[tuple[str, float, str]]:
  """SEAL's name, its milliseconds a query, how answers compare; if it is there."""
  seal = _measure.peer('seal.keys', "SEAL's scoring")
  if seal is None:
    return []
  few = queries[: args.seal_queries]
  theirs, seconds = seal_scores(seal, rows, few)
  index = next(iter(scorers.values())).index
  exact = NgramScorer(index, Scoring(as_released=True), ignored=SPECIAL)
  same = sum(
    agree(mine, exact.score(*query, args.documents))
    for mine, query in zip(theirs, few, strict=True)
  )
  answers = _measure.same(len(few) - same, len(few), 'queries')
  return [('SEAL aggregate_evidence', seconds * 1e3 / len(few), answers)]


def seal_scores(
  seal: Any, rows: list[np.ndarray], queries: list[Query]
) -> tuple[list[list[tuple[int, float]]], float]:
  """Documents and scores of SEAL's code, and its seconds for all queries."""
  _measure.say(
    f'building an index and scoring {len(queries)} queries with SEAL'
  )
  index = exact_index(seal.FMIndex)()
  index.initialize([[*row[1:].tolist(), MARK] for row in rows], True)
  scoring = Scoring()

  found = []
  began = time.perf_counter()
  for query in queries:
    results, _ = seal.aggregate_evidence(
      list(zip(map(list, query.keys), query.log_probabilities, strict=True)),
      query.unigram_log_probabilities.tolist(),
      index,
      max_occurrences_1=scoring.max_occurrences,
      n_docs_complete_score=scoring.fully_scored,
      alpha=scoring.alpha,
      beta=scoring.beta,
      add_best_unigrams_to_ngrams=scoring.add_best_unigrams,
      use_top_k_unigrams=scoring.unigram_limit,
      smoothing=scoring.smoothing,
    )
    found.append([(number, value[0]) for number, value in results.items()])
  return found, time.perf_counter() - began


def exact_index(kind: Any) -> Any:
  """SEAL's index with exact counts.

  Its search begins with one row more than there are, and so counts one n-gram
  too often where what lies behind the last row looks like its first token.
  """

  class Exact(kind):
    """The index."""

    def get_range(self, sequence: Iterable[int]) -> tuple[int, int]:
      """The rows of an n-gram."""
      low, high = 0, self.size() - 1
      for token in sequence:
        # It numbers tokens from 10.
        low, high = self.backward_search_step(token + 10, low, high)
      return low, high + 1

  return Exact


def agree(theirs: list[tuple[int, float]], ours: list[ScoredDocument]) -> bool:
  """Whether the best documents and their scores are the same."""
  return len(ours) <= len(theirs) and all(
    number == mine.document and math.isclose(score, mine.score, rel_tol=1e-9)
    for (number, score), mine in zip(theirs, ours, strict=False)
  )


def stage_lines(
  name: str,
  scorer: NgramScorer,
  queries: list[Query],
  args: argparse.Namespace,
) -> list[Line]:
  """What each stage takes of a query, in milliseconds."""
  places = Places(scorer.index)
  weighed = [scorer.weigh(*query) for query in queries]
  most = scorer.scoring.max_occurrences
  rare = [w.take(np.flatnonzero(w.count_K <= most)) for w in weighed]
  chosen = [scorer.choose(w) for w in weighed]
  read = [scorer.read(w, c) for w, c in zip(weighed, chosen, strict=True)]
  found = [places.locate(w.rows, w.length_K) for w in rare]
  stages = {
    'all': lambda: [scorer.score(*q, args.documents) for q in queries],
    'count and weigh keys': lambda: [scorer.weigh(*q) for q in queries],
    'stage 1': lambda: [scorer.choose(w) for w in weighed],
    'of it, locating': lambda: [
      places.locate(w.rows, w.length_K) for w in rare
    ],
    'stage 2': lambda: [
      scorer.read(w, c) for w, c in zip(weighed, chosen, strict=True)
    ],
    'evidence': lambda: [
      scorer.documents(w, r, args.documents, evidence=True)
      for w, r in zip(weighed, read, strict=True)
    ],
  }
  ms = _measure.best_ms(stages, args.repeats)
  number = len(queries)
  work = (
    f'stages, {name}: {sum(len(w.tokens) for w in weighed) // number:,} keys '
    f'that weigh, {sum(len(f.key_Y) for f in found) // number:,} occurrences, '
    f'{sum(map(len, chosen)) // number:,} documents read'
  )
  return [
    Line(work, 'a query', ms['all'] / number, stage, ms[stage] / number, '')
    for stage in stages
    if stage != 'all'
  ]


def _bound(function: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
  return lambda: function(value)
