# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Task files and guesses of KILT (Petroni et al., NAACL 2021), as a stream.

A line is a record:

    {"id": "...", "input": "...", "output": [{"answer": "...", "provenance":
      [{"wikipedia_id": "...", "title": "...", "start_paragraph_id": 1, ...}]}],
     "meta": {...}}

In a gold file the outputs are alternatives, each with evidence of its own; in a
file of guesses there is one output, whose provenance is the ranking.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from genret.text_files import PathLike, read_lines

# What a provenance may be told apart by, and the types that it may have.
_KEY_TYPES: Mapping[str, tuple[type, ...]] = {
  'wikipedia_id': (str, int),
  'title': (str,),
  'section': (str, int),
  'text': (str,),
  'start_paragraph_id': (str, int),
  'end_paragraph_id': (str, int),
  'start_character': (str, int),
  'end_character': (str, int),
}


class Span(NamedTuple):
  """A part of a page, or, where `start` is None, the page as such.

  Attributes:
    page_id: wikipedia_id, without blanks around it.
    start: paragraph and character where it begins.
    end: paragraph and character behind its end.
  """

  page_id: str
  start: tuple[int, int] | None = None
  end: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
  """One output of a record.

  Attributes:
    answer: its words; None where there are none (null, or no such field).
    provenance: where it stands, in the order of the file; None where the field
      is missing, which KILT's program tells from an empty list.
  """

  answer: str | None = None
  provenance: tuple[Mapping[str, Any], ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class KiltRecord:
  """One line of a task file, or of guesses.

  Attributes:
    record_id: as the file has it; a number is written out.
    input: the query; None where the file has none (TriviaQA as published,
      guesses of others).
    outputs: none in a test file without answers.
    meta: whatever else the task says.
    place: file and line, for messages.
  """

  record_id: str
  input: str | None
  outputs: tuple[Output, ...]
  meta: Mapping[str, Any]
  place: str

  @property
  def key(self) -> str:
    """What joins guesses and gold: the id without blanks around it."""
    return self.record_id.strip()

  def question(self) -> str:
    """The input.

    Raises:
      ValueError: there is none.
    """
    if self.input is None:
      raise ValueError(
        f'{self.place}: expected the input of record {self.record_id!r}, found '
        'none; TriviaQA is published without its questions, add them.'
      )
    return self.input

  @property
  def page_ids(self) -> tuple[str, ...]:
    """The pages that any output names, each once, in the order of the file."""
    found = (
      fields.get('wikipedia_id')
      for output in self.outputs
      for fields in output.provenance or ()
    )
    pages = (str(page).strip() for page in found if page is not None)
    return tuple(dict.fromkeys(pages))

  def spans(self) -> Iterator['Span']:
    """Where the provenances of all outputs stand, those that name a page."""
    for output in self.outputs:
      for fields in output.provenance or ():
        if fields.get('wikipedia_id') is not None:
          yield _span(self, fields)


def read_records(
  path: PathLike, *, on_position: Callable[[int], object] | None = None
) -> Iterator[KiltRecord]:
  """Streams the records of a task file or of guesses, plain or `.gz`.

  Args:
    path: the file.
    on_position: as for `text_files.read_lines`.

  Raises:
    ValueError: naming file and line, for a line that is no such record, an id
      that comes twice, and a field of another type.
    OSError: the file cannot be read.
  """
  seen: dict[str, str] = {}
  for place, line in read_lines(path, on_position=on_position):
    record = parse_record(place, line)
    first = seen.setdefault(record.record_id, place)
    if first is not place:
      raise ValueError(
        f'{place}: record {record.record_id!r} was already given in {first}; '
        'keep one line of each record.'
      )
    yield record


def parse_record(place: str, line: str) -> KiltRecord:
  """Reads one line.

  Args:
    place: file and line, for messages.
    line: a JSON object.

  Raises:
    ValueError: naming the place and, where it has one, the record.
  """
  try:
    fields = json.loads(line)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f'{place}: expected one JSON object, found text that does not parse '
      f'({error}); write one object a line.'
    ) from error
  if not isinstance(fields, dict):
    raise ValueError(
      f'{place}: expected a JSON object with id, input and output, found '
      f'{type(fields).__name__}; write one record a line.'
    )
  name = fields.get('id')
  if _is_not(name, (str, int)):
    raise ValueError(
      f'{place}: expected an id (a string or an integer), found {name!r} among '
      f'{sorted(fields)}; add one.'
    )
  record_id = str(name)
  where = f'{place}: record {record_id!r}'
  text = fields.get('input')
  if text is not None and not isinstance(text, str):
    raise ValueError(
      f'{where}: expected a string under input, found {type(text).__name__}; '
      'write the text itself.'
    )
  outputs = fields.get('output', [])
  if not isinstance(outputs, list):
    raise ValueError(
      f'{where}: expected a list under output, found {type(outputs).__name__}; '
      'write [{"answer": ..., "provenance": [...]}].'
    )
  meta = fields.get('meta')
  return KiltRecord(
    record_id=record_id,
    input=text,
    outputs=tuple(
      _output(f'{where}, output {number}', output)
      for number, output in enumerate(outputs, start=1)
    ),
    meta=meta if isinstance(meta, dict) else {},
    place=place,
  )


def only_output(guess: KiltRecord) -> Output:
  """The output of a guess.

  Raises:
    ValueError: naming the record, for none or several.
  """
  if len(guess.outputs) != 1:
    raise ValueError(
      f'{guess.place}: expected exactly one output of record '
      f'{guess.record_id!r}, found {len(guess.outputs)}; put the answer and the '
      'ranked provenance into one.'
    )
  return guess.outputs[0]


# Entity linking has no paragraphs; -1 stands for what was not found.
_END_OF_PARAGRAPH = 2**62


def _span(record: KiltRecord, fields: Mapping[str, Any]) -> Span:
  def number(name: str) -> int | None:
    value = fields.get(name)
    if value is None:
      return None
    try:
      return None if int(value) < 0 else int(value)
    except ValueError as error:
      raise ValueError(
        f'{record.place}: record {record.record_id!r}: expected an integer '
        f'under {name}, found {value!r:.60}; write it as KILT does.'
      ) from error

  page_id = str(fields['wikipedia_id']).strip()
  first, last = number('start_paragraph_id'), number('end_paragraph_id')
  start, end = number('start_character'), number('end_character')
  if first is None:
    return Span(page_id)
  if start is None or end is None:  # the paragraphs as a whole
    start, end = 0, _END_OF_PARAGRAPH
  return Span(page_id, (first, start), (first if last is None else last, end))


def _output(where: str, output: Any) -> Output:
  if not isinstance(output, dict):
    raise ValueError(
      f'{where}: expected an object with answer or provenance, found '
      f'{type(output).__name__}; write {{"answer": ..., "provenance": [...]}}.'
    )
  answer = output.get('answer')
  if answer is not None and _is_not(answer, (str, int, float)):
    raise ValueError(
      f'{where}: expected a string under answer, found '
      f'{type(answer).__name__}; write one answer in words.'
    )
  provenance = None
  if 'provenance' in output:
    provenance = _provenance(where, output['provenance'])
  return Output(None if answer is None else str(answer), provenance)


def _provenance(where: str, entries: Any) -> tuple[Mapping[str, Any], ...]:
  if not isinstance(entries, list):
    raise ValueError(
      f'{where}: expected a list under provenance, found '
      f'{type(entries).__name__}; write [{{"wikipedia_id": ...}}, ...].'
    )
  for number, entry in enumerate(entries, start=1):
    if not isinstance(entry, dict):
      raise ValueError(
        f'{where}, provenance {number}: expected an object with wikipedia_id, '
        f'found {type(entry).__name__}; write {{"wikipedia_id": ...}}.'
      )
    for key, types in _KEY_TYPES.items():
      value = entry.get(key)
      if value is not None and _is_not(value, types):
        names = ' or '.join(_TYPE_NAMES[kind] for kind in types)
        raise ValueError(
          f'{where}, provenance {number}: expected {names} under {key}, found '
          f'{value!r:.60}; write it as KILT does.'
        )
  return tuple(entries)


def _is_not(value: Any, types: tuple[type, ...]) -> bool:
  """Whether it is of none of the types; true and false are no numbers."""
  return isinstance(value, bool) or not isinstance(value, types)


_TYPE_NAMES = {str: 'a string', int: 'an integer'}
