# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Run files in every format that other programs ask for.

| format | what                                                                |
|--------|---------------------------------------------------------------------|
| `trec` | a line a hit, `qid Q0 docid rank score tag`; see `runs`             |
| `beir` | one JSON object `{qid: {docid: score}}`, which pytrec_eval takes    |
| `kilt` | a JSON object a query, as KILT (Petroni et al., NAACL 2021) guesses |

Scores are those of `runs.trec_scores` in all of them, strictly decreasing in
single precision, so that every tool sees our order.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from genret.corpus import Document
from genret.kilt_records import only_output, read_records
from genret.runs import Hit, read_trec, trec_scores, write_trec
from genret.text_files import PathLike, read_lines, write_text

FORMATS = ('trec', 'beir', 'kilt')

_PASSAGE = re.compile(
  '(.+?)-([0-9]+)(?::([0-9]+))?(?:-([0-9]+)(?::([0-9]+))?)?', re.DOTALL
)


def write_beir(path: PathLike, run: Mapping[str, Sequence[Hit]]) -> None:
  """Writes a run atomically as BEIR keeps it: `{qid: {docid: score}}` in JSON.

  Identifiers may be any text. A query without hits has an empty object.

  Raises:
    ValueError: as `trec_scores`, whose scores it has.
  """
  # A query a line: a large file can still be read by people and compared.
  rows = (
    f'{json.dumps(query_id)}: {json.dumps(scores)}'
    for query_id, scores in trec_scores(run).items()
  )
  write_text(path, '{\n' + ',\n'.join(rows) + '\n}\n')


def read_beir(path: PathLike) -> dict[str, dict[str, float]]:
  """Reads what `write_beir` writes, plain or `.gz`.

  Raises:
    ValueError: naming the file, for text that is no JSON object of objects of
      finite numbers, and for a query or a document that is listed twice.
  """
  text = '\n'.join(line for _, line in read_lines(path))
  try:
    run = json.loads(text, object_pairs_hook=_without_repeats)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f'{path}: expected one JSON object {{qid: {{docid: score}}}}, found text '
      f'that does not parse ({error}); write the run again.'
    ) from error
  if not isinstance(run, dict):
    raise ValueError(
      f'{path}: expected one JSON object {{qid: {{docid: score}}}}, found '
      f'{type(run).__name__}; write the run again.'
    )
  for query_id, scores in run.items():
    if not isinstance(scores, dict) or not all(
      _is_score(score) for score in scores.values()
    ):
      raise ValueError(
        f'{path}: expected {{docid: score}} with finite scores for query '
        f'{query_id!r}, found {str(scores)[:80]}; write the run again.'
      )
  return {
    query_id: {doc_id: float(score) for doc_id, score in scores.items()}
    for query_id, scores in run.items()
  }


def write_kilt(
  path: PathLike,
  run: Mapping[str, Sequence[Hit]],
  queries: Mapping[str, str],
  *,
  documents: Callable[[str], Document] | None = None,
  passages: bool = False,
) -> None:
  """Writes a run atomically as KILT's guesses: a JSON object a query.

  Each has one output, whose provenance lists the documents, best first; that of
  a query without hits is empty. KILT's own program wants the queries of the
  gold file in its order.

  Args:
    path: the file.
    run: `{query_id: [Hit, ...]}`, best first.
    queries: the text of each query of the run.
    documents: gives a document by its id, for title and text; both are left out
      where None, and where they are empty.
    passages: documents are passages of pages, named as `passage` reads them.

  Raises:
    ValueError: as `trec_scores`, whose scores it has; for a query without text;
      for a document that is no passage where they should be.
  """
  lines = []
  for query_id, scores in trec_scores(run).items():
    if query_id not in queries:
      raise ValueError(
        f'Expected the text of query {query_id!r} for a KILT run, got those of '
        f'{len(queries)} others; pass it too.'
      )
    provenance = []
    for doc_id, score in scores.items():
      document = Document(doc_id) if documents is None else documents(doc_id)
      fields = {'title': document.title, 'text': document.text}
      provenance.append(
        (passage(doc_id) if passages else {'wikipedia_id': doc_id})
        | {name: value for name, value in fields.items() if value}
        | {'score': score}
      )
    guess = {
      'id': query_id,
      'input': queries[query_id],
      'output': [{'provenance': provenance}],
    }
    lines.append(json.dumps(guess) + '\n')
  write_text(path, ''.join(lines))


def passage(doc_id: str) -> dict[str, str | int]:
  """Where a passage stands, as KILT says it.

  Args:
    doc_id: 'PAGE-PARAGRAPH' or 'PAGE-FIRST-LAST': a page, whose id may have
      hyphens, and its paragraphs, counted from 0; or with characters,
      'PAGE-FIRST:CHARACTER-LAST:CHARACTER', as `kilt_passages` names passages.

  Returns:
    wikipedia_id, start_paragraph_id and end_paragraph_id, and start_character
    and end_character where they are told.

  Raises:
    ValueError: for a name of another form.
  """
  found = _PASSAGE.fullmatch(doc_id)
  if found is None:
    raise ValueError(
      'Expected the id of a passage, PAGE-PARAGRAPH or PAGE-FIRST-LAST, got '
      f'{doc_id!r}; rename the documents, or write their ids as those of pages.'
    )
  page, first, start, last, end = found.groups()
  characters = {'start_character': start, 'end_character': end}
  return {
    'wikipedia_id': page,
    'start_paragraph_id': int(first),
    'end_paragraph_id': int(last or first),
  } | {name: int(at) for name, at in characters.items() if at is not None}


def read_kilt(path: PathLike) -> dict[str, dict[str, float]]:
  """Reads KILT's guesses, plain or `.gz`, as `{query_id: {doc_id: score}}`.

  The order of the provenance is the ranking. Scores are those of the file where
  they fall from each document to the next in single precision; otherwise (KILT
  asks for none) n, n - 1, ..., 1. A page in several places counts at its first,
  as KILT's R-precision has it, and a provenance without a page not at all.

  Raises:
    ValueError: as `kilt_records.read_records`, and for a query without exactly
      one output.
  """
  run: dict[str, dict[str, float]] = {}
  for record in read_records(path):
    scores: dict[str, Any] = {}
    for fields in only_output(record).provenance or ():
      page = fields.get('wikipedia_id')
      if page is not None:
        scores.setdefault(str(page), fields.get('score'))
    run[record.record_id] = _falling(scores)
  return run


def write_run(
  path: PathLike,
  run: Mapping[str, Sequence[Hit]],
  format: str = 'trec',
  *,
  tag: str = 'genret',
  queries: Mapping[str, str] | None = None,
  documents: Callable[[str], Document] | None = None,
  passages: bool = False,
) -> None:
  """Writes a run in one of FORMATS.

  Args:
    path: the file, replaced at once when everything is written.
    run: `{query_id: [Hit, ...]}`, best first.
    format: one of FORMATS.
    tag: the name of the run, which only `trec` keeps.
    queries: for `kilt`, as `write_kilt` takes it.
    documents: for `kilt`, as `write_kilt` takes it.
    passages: for `kilt`, as `write_kilt` takes it.

  Raises:
    ValueError: for an unknown format, and as the writer of the format.
  """
  _check_format(format)
  if format == 'trec':
    write_trec(path, run, tag)
  elif format == 'beir':
    write_beir(path, run)
  else:
    write_kilt(path, run, queries or {}, documents=documents, passages=passages)


def read_run(
  path: PathLike, format: str = 'trec'
) -> dict[str, dict[str, float]]:
  """Reads a run in one of FORMATS as `{query_id: {doc_id: score}}`.

  Raises:
    ValueError: for an unknown format, and as the reader of the format.
  """
  _check_format(format)
  return {'trec': read_trec, 'beir': read_beir, 'kilt': read_kilt}[format](path)


def _falling(scores: Mapping[str, Any]) -> dict[str, float]:
  """These scores if they fall in single precision, else n, n - 1, ..., 1."""
  if all(_is_score(score) for score in scores.values()):
    single = np.asarray(list(scores.values()), np.float32)
    if np.all(np.diff(single) < 0):
      return {doc_id: float(score) for doc_id, score in scores.items()}
  return {
    doc_id: float(len(scores) - rank) for rank, doc_id in enumerate(scores)
  }


def _is_score(score: Any) -> bool:
  """Whether it is a number that single precision can hold."""
  if isinstance(score, bool) or not isinstance(score, int | float):
    return False
  return abs(score) <= float(np.finfo(np.float32).max)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """The object of these pairs; JSON itself would keep the last of equal keys."""
  found = dict(pairs)
  if len(found) != len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f'{twice!r} is listed twice')
  return found


def _check_format(format: str) -> None:
  if format not in FORMATS:
    raise ValueError(
      f'Expected a format of run files ({", ".join(FORMATS)}), got {format!r}; '
      'choose one of these.'
    )
