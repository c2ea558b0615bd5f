# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Write CorpusBrain's pre-training examples as tasks in seqio's cached format.

CORPUS has pages with links; TITLES is what `genret index docids --scheme title`
wrote for it. An experiment reads the folder with `corpusbrain.mixture.cache` and
USE_CACHED_TASKS. A run that was killed goes on where it was, and the files do not
depend on --workers. More workers than one need Apache Beam, pip install
'genret[beam]'; --beam-option takes them to other machines.

Example:
  genret index docids --scheme title --option unknown=keep --corpus kilt --output titles
  genret examples corpusbrain --corpus kilt --docids titles --output cache \\
    --workers 8 --withhold kilt/nq-dev-kilt.jsonl kilt/fever-dev-kilt.jsonl
  genret examples corpusbrain --corpus kilt --docids titles --output cache \\
    --name released --reading released --tasks lps hip --own-title-only
"""

import argparse
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from genret import corpusbrain, corpusbrain_tokens, pseudo_inputs
from genret import corpusbrain_writer as writer
from genret.corpusbrain_tokens import Recipe
from genret.tools import _arguments


def main(argv: Sequence[str]) -> int:
  """Runs `genret examples corpusbrain`."""
  arguments = _parser().parse_args(list(argv))
  found = writer.write_examples(
    arguments.corpus,
    arguments.docids,
    arguments.output,
    name=arguments.name,
    recipe=Recipe(
      reading=arguments.reading,
      options=_options(arguments.option),
      tasks=tuple(arguments.tasks),
      multi_title=not arguments.own_title_only,
      withhold=tuple(arguments.withhold),
      drop=tuple(arguments.drop),
      queries=arguments.queries,
      query_splits=tuple(arguments.query_splits),
      seed=arguments.seed,
      relations=tuple(arguments.relations),
      only=arguments.only and tuple(arguments.only),
    ),
    shards=arguments.shards,
    run=_run(arguments.workers, arguments.beam_option),
    progress=True,
  )
  print(_table(found, arguments.tasks))
  print(
    f'{found.pages:,} pages read in {found.seconds:.1f} s, before that the titles '
    f'in {found.survey_seconds:.1f} s; all pages took '
    f'{found.counts.seconds:.1f} s of processor time '
    f'({found.counts.pages / max(found.counts.seconds, 1e-9):,.0f} pages a '
    f'second and core); examples in {arguments.output}'
  )
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='genret examples corpusbrain',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--corpus',
    required=True,
    nargs='+',
    help='a KILT folder or a file of pages, or several that are the corpus '
    'together; plain files are cut into parts, a .gz is one',
  )
  add('--docids', required=True, help='the identifiers of its pages')
  add('--output', required=True, help='a new folder, or one to go on with')
  add(
    '--name',
    default='corpusbrain',
    help='of the mixture; its tasks are NAME_lps and so on (default '
    '%(default)s)',
  )
  add(
    '--reading',
    choices=sorted(corpusbrain.READINGS),
    default='paper',
    help='which examples (default %(default)s)',
  )
  add(
    '--option',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help='changes the reading, such as inner_examples=5 or separator=" ; "',
  )
  add(
    '--tasks',
    nargs='+',
    choices=corpusbrain_tokens.TASKS,
    default=list(corpusbrain.TASKS),
    metavar='TASK',
    help=f"{', '.join(corpusbrain.TASKS)} (the default), and CorpusBrain++'s "
    f'styles {", ".join(pseudo_inputs.STYLES)}',
  )
  add(
    '--relations',
    nargs='+',
    default=[],
    metavar='FILE',
    help='task files of slot filling, whose relations slot_filling asks for',
  )
  add(
    '--only',
    nargs='+',
    metavar='FILE',
    help='files of page ids, one a line; no other pages give examples',
  )
  add(
    '--own-title-only',
    action='store_true',
    help='targets without the titles of linked pages, as a trie accepts them',
  )
  add(
    '--withhold',
    nargs='+',
    default=[],
    metavar='FILE',
    help='task files of KILT whose evidence is kept out of sources',
  )
  add(
    '--drop',
    nargs='*',
    choices=corpusbrain.LEAKS,
    default=['text'],
    help='which examples --withhold leaves out: those with its text as a source, '
    'with its pages as a target (default: text)',
  )
  add(
    '--queries',
    metavar='FOLDER or FILE',
    help='leave out examples whose source has a run of '
    'words of one of these queries',
  )
  add(
    '--query-splits', nargs='+', default=[], help='of the folder of --queries'
  )
  add('--seed', type=_arguments.seed, default=0, help='of the draws')
  add(
    '--shards',
    type=int,
    default=64,
    help='files of each task, about (default %(default)s)',
  )
  add('--workers', type=int, default=1, help='processes (default %(default)s)')
  add(
    '--beam-option',
    action='append',
    default=[],
    metavar='NAME=VALUE',
    help="of Beam's pipeline, such as runner=FlinkRunner; in place of --workers",
  )
  return parser


def _run(workers: int, options: Sequence[str]) -> writer.Run | None:
  """Who works on the parts; None for this process."""
  if workers < 1 or (workers > 1 and options):
    raise ValueError(
      f'Expected at least 1 worker, and no number of them beside --beam-option, '
      f'got {workers}; leave one out.'
    )
  if workers == 1 and not options:
    return None
  from genret import corpusbrain_beam

  return functools.partial(
    corpusbrain_beam.run_parts,
    options=[f'--{option}' for option in options]
    or corpusbrain_beam.local_options(workers),
  )


def _options(words: Sequence[str]) -> dict[str, Any]:
  """The changes of --option, each of the type that it has in the paper's."""
  known = dataclasses.asdict(corpusbrain.PAPER)
  found: dict[str, Any] = {}
  for word in words:
    name, equals, text = word.partition('=')
    if not equals or name not in known:
      raise ValueError(
        f'Expected --option NAME=VALUE with one of {", ".join(known)}, got '
        f'{word!r}.'
      )
    try:
      found[name] = _value(text, type(known[name]))
    except (KeyError, ValueError):
      raise ValueError(
        f'Expected --option {name} to be of type {type(known[name]).__name__}, '
        f'got {text!r}.'
      ) from None
  return found


def _value(text: str, kind: type) -> Any:
  if kind is bool:
    return {'true': True, 'false': False}[text.lower()]
  if kind is tuple:
    return tuple(float(share) for share in text.split(','))
  return kind(text)


def _table(found: writer.Summary, tasks: Sequence[str]) -> str:
  """What was made, what was not and why, and what leaks."""
  counts = found.counts
  width = max(map(len, ('task', *tasks))) + 1
  lines = [
    f'{"task":<{width}}{"examples":>12}{"tokens in":>16}{"out":>14}'
    + ''.join(f'{kind:>12}' for kind in _KINDS)
  ]
  for task in tasks:
    leaks = (counts.leaks.get(f'{task}: {kind}', 0) for kind in _KINDS)
    lines.append(
      f'{task:<{width}}{counts.examples[task]:>12,}'
      f'{counts.tokens[f"{task} inputs"]:>16,}'
      f'{counts.tokens[f"{task} targets"]:>14,}'
      + ''.join(f'{number:>12,}' for number in leaks)
    )
  lines += ['', *_rows('linked titles of a target', counts.anchors)]
  lines += ['', *_rows('skipped', counts.skipped)]
  for number, text in (
    (found.short_queries, 'queries of too few words to look for'),
    (found.missing_evidence, 'pages of the evidence that are not there'),
  ):
    if number:
      lines += ['', f'{number:,} {text}']
  return '\n'.join(lines)


_KINDS = (*(f'{kind}' for kind in corpusbrain.LEAKS), corpusbrain_tokens.QUERY)


def _rows(title: str, counts: Mapping[str, int]) -> list[str]:
  rows = [f'{name:<30}{number:>12,}' for name, number in counts.items()]
  return [title, *(rows or ['nothing'])]
