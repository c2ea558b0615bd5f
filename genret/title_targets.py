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
  """What a model writes for titles of a corpus.

  Of documents with one title (but for white space) the first is meant, which the
  scheme `title` gives the bare form.

  Attributes:
    separator: pieces of several titles, int32; None where there are none.

  Args:
    titles: of the documents, in the order of the table.
    table: their identifiers.
    separator: pieces of several titles, see `vocabulary.separator_tokens`; None where only
      single titles are wanted.

  Raises:
    ValueError: for another number of titles than documents, and for an identifier
      that has the separator in it.
  """

  def __init__(
    self,
    titles: Iterable[str],
    table: DocidTable,
    *,
    separator: Sequence[int] | None = None,
  ):
    self._table = table
    self.separator = (
      None if separator is None else np.array(separator, np.int32)
    )
    self._document: dict[str, int] = {}  # of a title
    count = 0
    for number, title in enumerate(titles):
      self._document.setdefault(_key(title), number)
      count = number + 1
    if count != len(table):
      raise ValueError(
        f'Expected the titles of the {len(table):,} documents of the table, got '
        f'{count:,}; give those of the corpus that it names, in its order.'
      )
    if self.separator is not None:
      _check_separator(table, self.separator)

  def document(self, title: str) -> int:
    """The index of the document that a title means.

    Raises:
      ValueError: no document has this title.
    """
    number = self._document.get(_key(title))
    if number is None:
      raise ValueError(
        f'Expected a title of the corpus, got {title!r}; look its spelling up '
        'with genre.Titles.'
      )
    return number

  def tokens(
    self, titles: Sequence[str], *, max_tokens: int | None = None
  ) -> tuple[np.ndarray, int]:
    """The tokens of some titles, one behind the other.

    Args:
      titles: at least one.
      max_tokens: most tokens; titles that do not fit whole are left out, and those
        behind them.

    Returns:
      int32 tokens without end-of-sequence, and how many titles they are.

    Raises:
      ValueError: for no title, an unknown one, several without a separator, and a
        first one that does not fit.
    """
    if not titles:
      raise ValueError('Expected at least one title, got none.')
    if len(titles) > 1 and self.separator is None:
      raise ValueError(
        f'Expected one title without a separator, got {len(titles)}; give the '
        'separator.'
      )
    parts: list[np.ndarray] = []
    length = 0
    for kept, title in enumerate(titles):
      number = self.document(title)
      row = self._table.token_rows_DxL[number, : self._table.lengths_D[number]]
      if self.separator is not None and parts:
        row = np.concatenate([self.separator, row])
      length += len(row)
      if max_tokens is not None and length > max_tokens:
        if not parts:
          raise ValueError(
            f'Expected room for a title, got {max_tokens} tokens for the '
            f'{len(row)} of {title!r}; allow more, or cut identifiers.'
          )
        return np.concatenate(parts), kept
      parts.append(row)
    return np.concatenate(parts), len(titles)


def _key(title: str) -> str:
  return ' '.join(title.split())


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
