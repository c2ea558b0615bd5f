# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Ranked documents per query, and run files as TREC's tools exchange them.

A line is `qid Q0 docid rank score tag`. trec_eval ignores the rank: it orders
a query's documents by score, descending, and equal scores by document id,
descending. It also keeps scores in single precision, so that two scores which
differ in their tenth digit are equal to it. Files written here therefore carry
strictly decreasing single-precision scores, and every tool sees our order.
`run_formats` has the formats of BEIR and KILT.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from genret.text_files import PathLike, read_lines, write_text


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
  """Where an n-gram stands in a document.

  Attributes:
    view: 'title', 'body' or 'query' (a pseudo-query).
    start: first character in the text of that view.
    end: behind the last one.
    offset: first token in the document's row of the index.
  """

  view: str
  start: int
  end: int
  offset: int


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
  """An n-gram that speaks for a document: a part of why it was found.

  Attributes:
    text: the n-gram in words; marks of views are left out.
    tokens: its token ids.
    count: how often the corpus has it.
    log_probability: what the model gives it for the query.
    contribution: what it adds to the score; those of a hit sum to its score.
    spans: where the document has it.
  """

  text: str
  tokens: tuple[int, ...]
  count: int
  log_probability: float
  contribution: float
  spans: tuple[Span, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
  """One retrieved document.

  Attributes:
    doc_id: the document.
    score: larger is better.
    text: what to show a person, for example the title; may be empty.
    matches: the n-grams that it was found by, greatest contribution first;
      none where the model writes identifiers.
  """

  doc_id: str
  score: float
  text: str = ''
  matches: tuple[Match, ...] = ()

  @property
  def docid(self) -> str:
    """`doc_id`, under the name that Pyserini's programs use."""
    return self.doc_id


def trec_scores(
  run: Mapping[str, Sequence[Hit]],
) -> dict[str, dict[str, float]]:
  """Returns the scores that `write_trec` prints, strictly decreasing.

  A score is rounded to single precision; one that is not below the score
  before it becomes the next single-precision number below that one. The order
  of the hits is thus kept, at a change far below any that matters.

  Args:
    run: `{query_id: [Hit, ...]}`, best first (scores may be equal).

  Returns:
    `{query_id: {doc_id: score}}` in the same order, as `read_trec` reads it.

  Raises:
    ValueError: for hits that are not sorted, a document twice in one query,
      and a score that is not finite.
  """
  return {
    query_id: _query_scores(query_id, hits) for query_id, hits in run.items()
  }


def write_trec(
  path: PathLike, run: Mapping[str, Sequence[Hit]], tag: str = 'genret'
) -> None:
  """Writes a run atomically; scores as `trec_scores` gives them.

  A query without hits has no line: the format cannot say it. Measures count
  it all the same, since they start from the judged queries.

  Raises:
    ValueError: as `trec_scores`; also for an empty tag or identifier and for
      one that contains white space, which would shift the columns.
  """
  _check_word(tag, 'tag')
  lines = []
  for query_id, scores in trec_scores(run).items():
    _check_word(query_id, 'query id')
    for rank, (doc_id, score) in enumerate(scores.items(), start=1):
      _check_word(doc_id, 'document id')
      lines.append(f'{query_id} Q0 {doc_id} {rank} {score!r} {tag}\n')
  write_text(path, ''.join(lines))


def read_trec(path: PathLike) -> dict[str, dict[str, float]]:
  """Reads a run, plain or `.gz`, as `{query_id: {doc_id: score}}`.

  Raises:
    ValueError: naming file and line, for a line without six columns, a score
      that is not a finite number, and a document twice in one query.
  """
  run: dict[str, dict[str, float]] = {}
  for place, line in read_lines(path):
    cells = line.split()
    try:
      query_id, _, doc_id, _, score_text, _ = cells
      score = float(score_text)
    except ValueError:
      score = math.nan
    if not math.isfinite(score):
      raise ValueError(
        f'{place}: expected qid Q0 docid rank score tag, with a finite score, '
        f'found {line!r}; correct the line.'
      )
    scores = run.setdefault(query_id, {})
    if doc_id in scores:
      raise ValueError(
        f'{place}: document {doc_id!r} was already listed for query '
        f'{query_id!r}; list each document once.'
      )
    scores[doc_id] = score
  return run


def _query_scores(query_id: str, hits: Sequence[Hit]) -> dict[str, float]:
  """`trec_scores` of one query."""
  scores = [hit.score for hit in hits]
  for better, worse in itertools.pairwise(scores):
    if worse > better:
      raise ValueError(
        f'query {query_id!r}: expected hits best first, found score {worse} '
        f'after {better}; sort them by score, descending.'
      )
  with np.errstate(over='ignore'):
    single = np.asarray(scores, np.float32)
  if not np.all(np.diff(single) < 0):
    for i in range(1, len(single)):
      if single[i] >= single[i - 1]:
        single[i] = np.nextafter(single[i - 1], np.float32(-np.inf))
  if not np.all(np.isfinite(single)):
    raise ValueError(
      f'query {query_id!r}: expected scores that are finite in single '
      f'precision, found {_first_bad(single, scores)}; drop hypotheses that '
      'are not legal before writing.'
    )
  _check_unique(query_id, (hit.doc_id for hit in hits))
  # The shortest text of a single-precision number reads back as that number.
  return {
    hit.doc_id: float(str(score))
    for hit, score in zip(hits, single, strict=True)
  }


def _first_bad(single: np.ndarray, scores: list[float]) -> float:
  return scores[int(np.flatnonzero(~np.isfinite(single))[0])]


def _check_unique(query_id: str, doc_ids: Iterable[str]) -> None:
  seen: set[str] = set()
  for doc_id in doc_ids:
    if doc_id in seen:
      raise ValueError(
        f'query {query_id!r}: document {doc_id!r} is listed twice; keep its '
        'best hit only.'
      )
    seen.add(doc_id)


def _check_word(word: str, what: str) -> None:
  if word.split() != [word]:
    raise ValueError(
      f'expected a {what} without white space for a TREC run, found {word!r}; '
      'replace the spaces, for example by underscores.'
    )
