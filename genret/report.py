# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Results for programs (`report.json`) and for people (an aligned table)."""

import json
from collections.abc import Mapping
from typing import Any

from genret.text_files import PathLike, write_text


def write_report(path: PathLike, report: Mapping[str, Any]) -> None:
  """Writes a report as JSON, atomically.

  Raises:
    ValueError: for NaN or an infinity, which are not JSON.
    TypeError: for a value that is no JSON, such as an array.
  """
  try:
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
  except ValueError as error:
    raise ValueError(
      f'{path}: expected finite numbers in a report, found '
      f'{_not_finite(report)}; leave the entry out or find out where it comes from.'
    ) from error
  write_text(path, text + '\n')


def format_table(
  systems: Mapping[str, Mapping[str, float]],
  p_values: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
  """Returns systems as rows and measures as columns, for a person to read.

  Args:
    systems: `{system: {measure: value}}`; a missing value shows as '-'.
    p_values: `{system: {measure: p}}`; `*` marks p < 0.05, `**` p < 0.01.

  Returns:
    Lines without a final line feed. Every measure of any system has a column,
    in order of first appearance.
  """
  p_values = p_values or {}
  names = list(dict.fromkeys(name for row in systems.values() for name in row))
  rows = [['', *names]]
  for system, row in systems.items():
    cells = [system]
    for name in names:
      cell = f'{row[name]:.4f}' if name in row else '-'
      p = p_values.get(system, {}).get(name, 1.0)
      mark = '**' if p < 0.01 else '*' if p < 0.05 else ''
      # A column with marks keeps its digits aligned.
      width = 2 if any(name in marked for marked in p_values.values()) else 0
      cells.append(cell + mark.ljust(width))
    rows.append(cells)
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
    '  '.join(
      [row[0].ljust(widths[0])]
      + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
    ).rstrip()
    for row in rows
  ]
  lines.insert(1, '-' * max(map(len, lines)))
  return '\n'.join(lines)


def _not_finite(value: Any, place: str = 'report') -> str:
  """Names the first number that is not finite; '' where all are."""
  if isinstance(value, float):
    return f'{place} = {value}' if value - value != 0 else ''
  if isinstance(value, Mapping):
    items = ((f'{place}[{key!r}]', item) for key, item in value.items())
  elif isinstance(value, list | tuple):
    items = ((f'{place}[{i}]', item) for i, item in enumerate(value))
  else:
    return ''
  return next((t for p, item in items if (t := _not_finite(item, p))), '')
