# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Scores a run file against judgements.

Every judged query counts, and one that the run lacks scores 0; ties are broken
as trec_eval does (score, then document id, both descending). With --baseline a
second run is scored too, and each measure gets the p of a paired randomization
test between the two.

With --format kilt and --gold, guesses of KILT are measured as KILT's own program
does: retrieval, and answers where the guesses have them (docs/kilt.md).

Example:
  genret evaluate --run genret.trec --qrels qrels/test.tsv \\
    --measures nDCG@10 R@100 --baseline bm25.trec
  genret evaluate --run seal.json --format beir --qrels qrels/test.tsv
  genret evaluate --run guess.jsonl --format kilt --gold nq-dev-kilt.jsonl \\
    --ks 1,5,20 --level page

Several runs and as many judgements are those of sessions, in order: what later
sessions changed for earlier ones is told (genret.continual_metrics).
  genret evaluate --format kilt --gold sessions/session_{0,1}/nq-dev-kilt.jsonl.gz \\
    --run after_0.jsonl after_1.jsonl
"""

import argparse
import json
import os
import sys
from typing import Any

from genret import corpus, kilt_metrics, metrics, report, unseen
from genret.run_formats import FORMATS, read_run
from genret.tools import _arguments, _evaluate_kilt, _evaluate_sessions

_NO_JUDGEMENTS = (
  'expected --qrels, or --gold with --format kilt, found neither; give the '
  'judgements.'
)

# {query_id: {doc_id: score}}
_Run = dict[str, dict[str, float]]


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  if args.format not in FORMATS:
    raise ValueError(
      f'expected --format to be one of {", ".join(FORMATS)}, found '
      f'{args.format!r}; choose one of these.'
    )
  if any(len(files or ()) > 1 for files in (args.run, args.gold, args.qrels)):
    return _sessions(args)
  for name in ('run', 'gold', 'qrels'):
    (value,) = getattr(args, name) or [None]
    setattr(args, name, value)
  if args.gold is not None:
    found = _evaluate_kilt.evaluate(args, args.gold, args.run)
    if args.json:
      print(json.dumps(_evaluate_kilt.as_json(args, found), indent=2))
    else:
      print(_evaluate_kilt.as_text(args, found))
    return 0
  if args.qrels is None:
    raise ValueError(_NO_JUDGEMENTS)
  qrels = corpus.read_qrels(args.qrels)
  args.measures = args.measures or list(metrics.MEASURES)
  run = _read(args.run, args.format, qrels)
  parts = _parts(args, run, qrels)
  result = metrics.evaluate(run, qrels, args.measures)
  baseline, p_values = None, {}
  if args.baseline is not None:
    baseline = metrics.evaluate(
      _read(args.baseline, args.format, qrels), qrels, args.measures
    )
    p_values = metrics.significance(result, baseline, seed=args.seed)
  if args.json:
    print(
      json.dumps(_as_json(args, result, parts, baseline, p_values), indent=2)
    )
  else:
    print(_as_text(args, result, parts, baseline, p_values))
  return 0


def _sessions(args: argparse.Namespace) -> int:
  """Measures the runs of several sessions, and what they kept."""
  if args.baseline is not None or args.unseen_share:
    raise ValueError(
      'expected the runs of sessions without --baseline and --unseen-share, '
      'found one of these; compare one run at a time.'
    )
  if args.gold is not None:
    measured, shown = _evaluate_sessions.of_kilt(args), ['Rprec']
  elif args.qrels is not None:
    args.measures = shown = args.measures or list(metrics.MEASURES)
    qrels = [corpus.read_qrels(path) for path in args.qrels]
    every = {query_id: of for part in qrels for query_id, of in part.items()}
    runs = [_read(path, args.format, every) for path in args.run]
    measured = _evaluate_sessions.of_runs(args, runs, qrels)
  else:
    raise ValueError(_NO_JUDGEMENTS)
  if args.json:
    print(json.dumps(_evaluate_sessions.as_json(args, measured), indent=2))
  else:
    print(_evaluate_sessions.as_text(measured, shown))
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret evaluate',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--run',
    required=True,
    nargs='+',
    metavar='RUN',
    help='run file, plain or .gz; one of each session',
  )
  add(
    '--qrels',
    nargs='+',
    metavar='QRELS',
    help='BEIR .tsv with header, TREC qrels, or genret:NAME/SPLIT',
  )
  add(
    '--measures',
    nargs='+',
    metavar='M',
    help=f'names of ir_measures (default: {" ".join(metrics.MEASURES)})',
  )
  add(
    '--unseen-share',
    type=float,
    default=0.0,
    help='tell apart queries for the documents whose training queries were '
    'withheld, this share of all',
  )
  add('--unseen-seed', type=int, default=0, help='which documents [0]')
  add('--baseline', metavar='RUN', help='run file to compare with')
  add(
    '--seed', type=_arguments.seed, default=0, help='of the randomization test'
  )
  add('--format', default='trec', help=f'of the runs: {", ".join(FORMATS)}')
  add(
    '--gold',
    nargs='+',
    metavar='GOLD',
    help='task file of KILT with outputs, in place of --qrels',
  )
  add(
    '--ks',
    default=','.join(map(str, kilt_metrics.KS)),
    metavar='K,K',
    help='with --gold: cut-offs (default %(default)s)',
  )
  add(
    '--level',
    default='page',
    choices=list(kilt_metrics.LEVELS),
    help='with --gold: what a provenance must agree in (default %(default)s)',
  )
  add('--json', action='store_true', help='print JSON instead of a table')
  return parser.parse_args(argv)


def _parts(
  args: argparse.Namespace, run: _Run, qrels: corpus.Qrels
) -> dict[str, metrics.Evaluation]:
  """The run on queries for seen and for unseen documents, where wanted."""
  if not args.unseen_share:
    return {}
  parts = unseen.split_queries(qrels, args.unseen_share, args.unseen_seed)
  return {
    part: metrics.evaluate(run, of, args.measures)
    for part, of in parts.items()
    if of
  }


def _read(path: str, format: str, qrels: corpus.Qrels) -> _Run:
  """A run; says so where its documents are none of those that are judged."""
  if not os.path.isfile(path):
    raise FileNotFoundError(
      f'Expected a run file, found no file {path}; check the path, or '
      'write one with `genret search --queries ... --output ...`.'
    )
  run = read_run(path, format)
  judged, found = (
    {doc_id for of in ids.values() for doc_id in of} for ids in (qrels, run)
  )
  if found and judged.isdisjoint(found):
    print(
      f'No document of {path} is judged: its ids are perhaps those of another '
      'corpus',
      file=sys.stderr,
    )
  return run


def _as_json(
  args: argparse.Namespace,
  result: metrics.Evaluation,
  parts: dict[str, metrics.Evaluation],
  baseline: metrics.Evaluation | None,
  p_values: dict[str, float],
) -> dict[str, Any]:
  found: dict[str, Any] = {
    'run': args.run,
    'qrels': args.qrels,
    'measures': result.mean,
    'judged_queries': _judged(result),
    'missing_queries': len(result.missing),
    'unjudged_queries': len(result.unjudged),
  }
  for part, of in parts.items():
    found[part] = {'measures': of.mean, 'judged_queries': _judged(of)}
  if baseline is not None:
    found |= {
      'baseline': args.baseline,
      'baseline_measures': baseline.mean,
      'baseline_missing_queries': len(baseline.missing),
      'p_values': p_values,
    }
  return found


def _as_text(
  args: argparse.Namespace,
  result: metrics.Evaluation,
  parts: dict[str, metrics.Evaluation],
  baseline: metrics.Evaluation | None,
  p_values: dict[str, float],
) -> str:
  systems, lines = {_name(args.run): result.mean}, []
  scored = {_name(args.run): result}
  if baseline is not None:
    name = _name(args.baseline)
    # Two files of one name in two folders: their paths tell them apart.
    if name in systems:
      systems, scored = {args.run: result.mean}, {args.run: result}
      name = args.baseline if args.baseline != args.run else f'{name} (again)'
    systems[name], scored[name] = baseline.mean, baseline
    systems['p'] = p_values
    lines.append('p: paired randomization test, two-sided')
  for part, of in parts.items():
    systems[f'{_name(args.run)}, {part}'] = of.mean
  lines.append(f'{_judged(result)} judged queries')
  for part, of in parts.items():
    lines.append(f'{_judged(of)} of them for {part} documents')
  for name, evaluation in scored.items():
    if evaluation.missing:
      lines.append(
        f'{name}: judged queries without a document, each scored 0: '
        f'{len(evaluation.missing)}'
      )
    if evaluation.unjudged:
      lines.append(
        f'{name}: queries without judgements, left out: '
        f'{len(evaluation.unjudged)}'
      )
  return '\n'.join([report.format_table(systems), '', *lines])


def _name(path: str) -> str:
  return os.path.basename(path)


def _judged(evaluation: metrics.Evaluation) -> int:
  return max((len(v) for v in evaluation.per_query.values()), default=0)
