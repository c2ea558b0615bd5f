# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret evaluate --gold`: guesses against a task file of KILT."""

import argparse
import os
import re
from typing import Any

from genret import kilt_metrics, report


def evaluate(
  args: argparse.Namespace, gold: str, run: str
) -> kilt_metrics.KiltEvaluation:
  """Measures a file of --run against one of --gold.

  Raises:
    ValueError: for options that belong to --qrels, and as
      `kilt_metrics.evaluate` does.
    FileNotFoundError: there is no such file.
  """
  if args.format != 'kilt':
    raise ValueError(
      f'expected --format kilt with --gold, found {args.format}; give both, or '
      '--qrels in place of --gold.'
    )
  for name in ('qrels', 'baseline', 'measures', 'unseen_share'):
    if getattr(args, name):
      flag = name.replace('_', '-')
      raise ValueError(
        f'expected --gold without --{flag}, found both; KILT has measures of '
        'its own, --qrels has the others.'
      )
  for flag, path in (('--run', run), ('--gold', gold)):
    if not os.path.isfile(path):
      raise FileNotFoundError(
        f'expected {flag} to be a file of KILT records, found no file {path}; '
        'check the path.'
      )
  return kilt_metrics.evaluate(
    gold, run, ks=_cut_offs(args.ks), level=args.level
  )


def as_json(
  args: argparse.Namespace, found: kilt_metrics.KiltEvaluation
) -> dict[str, Any]:
  """The measures under the names of KILT's program, and the counts."""
  return {
    'run': args.run,
    'gold': args.gold,
    'level': args.level,
    'records': len(found.per_record),
    'kilt': dict(found.kilt),
    'downstream': dict(found.downstream),
    'retrieval': dict(found.retrieval),
    'unjudged_guesses': found.unjudged,
    'guesses_without_provenance': found.without_provenance,
    'records_without_evidence': found.without_evidence,
  }


def as_text(
  args: argparse.Namespace, found: kilt_metrics.KiltEvaluation
) -> str:
  """Tables for a person: whole rankings, cut-offs, answers."""
  cuts = sorted({int(n.split('@')[1]) for n in found.retrieval if '@' in n})
  rows = {
    measure: {
      f'@{k}': found.retrieval[f'{measure}@{k}']
      for k in cuts
      if f'{measure}@{k}' in found.retrieval
    }
    for measure in _AT_K
  }
  whole = {n: v for n, v in found.retrieval.items() if '@' not in n}
  tables = [
    report.format_table({f'{args.level} level': whole}),
    report.format_table(rows),
  ]
  if found.downstream:
    kilt = {
      name.removeprefix('KILT-'): value for name, value in found.kilt.items()
    }
    tables.append(
      report.format_table({'answers': found.downstream, 'KILT': kilt})
    )
  lines = [f'{len(found.per_record):,} records']
  for what, count in (
    ('guesses without provenance, each scored 0', found.without_provenance),
    ('gold records that name no page', found.without_evidence),
    ('guesses of other records, left out', found.unjudged),
  ):
    if count:
      lines.append(f'{what}: {count:,}')
  if not found.downstream:
    lines.append('the guesses have no answers: retrieval alone')
  return '\n\n'.join([*tables, '\n'.join(lines)])


# precision first, for it has every column: the next two have none at 1.
_AT_K = (
  'precision',
  'recall',
  'success_rate',
  'answer_in_context',
  'entity_in_context',
  'answer_and_ent_in_context',
)


def _cut_offs(text: str) -> list[int]:
  if not re.fullmatch(r'\s*[0-9]+(\s*,\s*[0-9]+)*\s*', text):
    raise ValueError(
      f'expected --ks of positive integers such as 1,5,20, found {text!r}; '
      'separate them by commas.'
    )
  return [int(k) for k in text.split(',')]
