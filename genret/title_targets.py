# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Titles as a model writes them: tokens of identifiers, one title or several.

GENRE (De Cao et al., ICLR 2021) writes one title; CorpusBrain (Chen et al., CIKM
2022) writes several with a separator between them. The tokens of a title are the
identifier of its page, so that what is trained is what a search can write. Several
titles are put together token by token: an identifier, the pieces of the separator, the
next identifier. Encoded as one text they might have other pieces where they meet.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from genret.docids.table import DocidTable

SEPARATOR = ' | '  # between titles, as CorpusBrain is fine-tuned

# Rows that are compared with a separator at a time.
_BLOCK = 1 << 16


class TitleTargets:
  """What a model writes for pages of a corpus.

  Attributes:
    separator: pieces of several titles, int32; None where there are none.

  Args:
    table: the identifiers of the pages.
    separator: pieces of several titles, see `vocabulary.separator_tokens`; None where only
      single titles are wanted.

  Raises:
    ValueError: for an identifier that has the separator in it.
  """

  def __init__(
    self,
    table: DocidTable,
    *,
    separator: Sequence[int] | None = None,
  ):
    self._table = table
    self.separator = (
      None if separator is None else np.array(separator, np.int32)
    )
    self._number = {doc_id: i for i, doc_id in enumerate(table.doc_ids)}
    if self.separator is not None:
      _check_separator(table, self.separator)

  def identifier(self, page_id: str) -> np.ndarray:
    """The int32 tokens of a page's identifier.

    Raises:
      ValueError: the table has no such page.
    """
    number = self._number.get(page_id)
    if number is None:
      raise ValueError(
        f'Expected a page of the table, got the id {page_id!r}; look it up '
        'with genre.Titles.'
      )
    return self._table.token_rows_DxL[number, : self._table.lengths_D[number]]

  def distinct(self, page_ids: Iterable[str]) -> tuple[str, ...]:
    """The pages without those whose identifier an earlier one has, too."""
    found: dict[bytes, str] = {}
    for page_id in page_ids:
      found.setdefault(self.identifier(page_id).tobytes(), page_id)
    return tuple(found.values())

  def tokens(
    self, page_ids: Sequence[str], *, max_tokens: int | None = None
  ) -> tuple[np.ndarray, int]:
    """The tokens of the titles of some pages, one behind the other.

    Args:
      page_ids: at least one.
      max_tokens: most tokens; titles that do not fit whole are left out, and those
        behind them.

    Returns:
      int32 tokens without end-of-sequence, and how many titles they are.

    Raises:
      ValueError: for no page, an unknown one, several without a separator, and a
        first one that does not fit.
    """
    if not page_ids:
      raise ValueError('Expected at least one page, got none.')
    if len(page_ids) > 1 and self.separator is None:
      raise ValueError(
        f'Expected one page without a separator, got {len(page_ids)}; give the '
        'separator.'
      )
    parts: list[np.ndarray] = []
    length = 0
    for kept, page_id in enumerate(page_ids):
      row = self.identifier(page_id)
      if self.separator is not None and parts:
        row = np.concatenate([self.separator, row])
      length += len(row)
      if max_tokens is not None and length > max_tokens:
        if not parts:
          raise ValueError(
            f'Expected room for a title, got {max_tokens} tokens for the '
            f'{len(row)} of page {page_id!r}; allow more, or cut identifiers.'
          )
        return np.concatenate(parts), kept
      parts.append(row)
    return np.concatenate(parts), len(page_ids)


def row_with_separator(
  table: DocidTable, separator: Sequence[int]
) -> int | None:
  """The first identifier behind which a separator is not found where it stands.

  It has the separator in it, or makes one together with the beginning of that
  which follows.

  Args:
    table: the identifiers.
    separator: its pieces, one or more.
  """
  size = len(separator)
  for start in range(0, len(table), _BLOCK):
    length_B = table.lengths_D[start : start + _BLOCK]
    row_BxL = np.pad(
      table.token_rows_DxL[start : start + _BLOCK], ((0, 0), (0, size))
    )
    behind_BxS = length_B[:, None] + np.arange(size)
    np.put_along_axis(row_BxL, behind_BxS, np.array(separator)[None], axis=1)
    found_BxL = np.logical_and.reduce(
      [
        row_BxL[:, i : row_BxL.shape[1] - size + 1 + i] == separator[i]
        for i in range(size)
      ]
    )
    wrong_B = found_BxL.argmax(axis=1) != length_B
    if wrong_B.any():
      return start + int(wrong_B.argmax())
  return None


def _check_separator(table: DocidTable, separator_S: np.ndarray) -> None:
  number = row_with_separator(table, separator_S.tolist())
  if number is not None:
    raise ValueError(
      f'Expected identifiers without the separator {separator_S.tolist()}, '
      f'that of document {table.doc_ids[number]!r} is '
      f'{table.token_rows_DxL[number, : table.lengths_D[number]].tolist()}; '
      'choose another separator.'
    )
