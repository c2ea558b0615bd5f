# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret evaluate` of several runs: what is kept and lost over sessions."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genret import continual_metrics, kilt_records, metrics, report
from genret.corpus import Qrels
from genret.tools import _evaluate_kilt

# Of each session's judgements by each session's run; {} where that is not known.
_Measured = list[list[Mapping[str, float]]]


def of_kilt(args: argparse.Namespace) -> _Measured:
  """Guesses after each session against the records of each.

  Args:
    args: with as many of `gold` as of `run`.

  Raises:
    ValueError: for other numbers of files, and as `_evaluate_kilt.evaluate`.
  """
  _check_numbers(args.gold, args.run, '--gold')
  gold = [{r.key for r in kilt_records.read_records(g)} for g in args.gold]
  rows = []
  for run in args.run:
    guessed = {r.key for r in kilt_records.read_records(run)}
    rows.append(
      [
        {}
        if guessed.isdisjoint(keys)
        else _evaluate_kilt.evaluate(args, path, run).retrieval
        for path, keys in zip(args.gold, gold, strict=True)
      ]
    )
  return rows


def of_runs(
  args: argparse.Namespace,
  runs: Sequence[Mapping[str, Mapping[str, float]]],
  qrels: Sequence[Qrels],
) -> _Measured:
  """Runs after each session against the judgements of each.

  Args:
    args: with the names of both.
    runs: one a session, of the queries of any sessions.
    qrels: of each session.

  Raises:
    ValueError: for other numbers of files, and measures that are not known.
  """
  _check_numbers(args.qrels, args.run, '--qrels')
  return [
    [
      {}
      if set(run).isdisjoint(of)
      else metrics.evaluate(run, of, args.measures).mean
      for of in qrels
    ]
    for run in runs
  ]


def as_json(args: argparse.Namespace, measured: _Measured) -> dict[str, Any]:
  """By measure, P of `continual_metrics` and the scores after each session."""
  return {
    'runs': args.run,
    'judgements': args.gold or args.qrels,
    'measures': {
      name: {
        'performance': [[_or_none(v) for v in row] for row in matrix.tolist()],
        'after_each_session': [
          {k: _or_none(v) for k, v in scores._asdict().items()}
          for scores in continual_metrics.evaluate(matrix)
        ],
      }
      for name, matrix in _matrices(measured).items()
    },
  }


def as_text(measured: _Measured, names: Sequence[str]) -> str:
  """Two tables of each of the measures that are named."""
  tables = []
  for name, matrix in _matrices(measured).items():
    if name not in names:
      continue
    on = {
      f'{name} after session {after}': {
        f'on {session}': value
        for session, value in enumerate(row)
        if not math.isnan(value)
      }
      for after, row in enumerate(matrix.tolist())
    }
    scores = {
      f'to session {after}': {
        key.replace('_', ' '): value
        for key, value in found._asdict().items()
        if not math.isnan(value)
      }
      for after, found in enumerate(continual_metrics.evaluate(matrix))
    }
    tables += [report.format_table(on), report.format_table(scores)]
  return '\n\n'.join(tables)


def _matrices(measured: _Measured) -> dict[str, np.ndarray]:
  """P of each measure."""
  names = dict.fromkeys(name for row in measured for of in row for name in of)
  if not names:
    raise ValueError(
      'expected runs of the judged queries, found none of these in any; give '
      'the runs of these sessions.'
    )
  return {
    name: np.array([[m.get(name, math.nan) for m in row] for row in measured])
    for name in names
  }


def _check_numbers(
  judgements: Sequence[str], runs: Sequence[str], flag: str
) -> None:
  if len(judgements) != len(runs):
    raise ValueError(
      f'expected as many runs as {flag} for what is kept over sessions, found '
      f'{len(runs)} and {len(judgements)}; give those of each session, in order.'
    )


def _or_none(value: float) -> float | None:
  return None if math.isnan(value) else value
