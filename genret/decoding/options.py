# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""How identifiers are decoded: what a run may set of the beam search."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from genret.decoding import arguments
from genret.decoding.length_penalty import LENGTH_PENALTIES
from genret.decoding.scores import NORMALIZE

_Options = TypeVar('_Options')


@dataclasses.dataclass(frozen=True)
class DecodingOptions:
  """Settings of a searcher that writes identifiers; the defaults are GENRE's.

  Attributes:
    constrained: let the search write nothing but identifiers; else it writes
      anything, and what is no identifier is dropped.
    normalize: which scores add up: 'vocabulary' log-probabilities over the whole
      vocabulary, 'legal' over the legal tokens, 'none' the raw logits (RIPOR,
      Zeng et al., WWW 2024).
    length_penalty: how identifiers of several lengths compare, as `beam_search`
      takes it.
    alpha: its exponent (NCI, Wang et al., NeurIPS 2022: 0.8 with 'length';
      GENRE, De Cao et al., ICLR 2021: 1, fairseq's `lenpen`).
    max_titles: the most identifiers of an answer, with the separator between
      them (CorpusBrain, Chen et al., CIKM 2022).
    separator: their text, tokenised alone; not used where max_titles is 1.
    max_length: the most tokens of an answer, its end included (GENRE and
      CorpusBrain: 15); 0 for as many as max_titles identifiers may have.
  """

  constrained: bool = True
  normalize: str = 'vocabulary'
  length_penalty: str = 'none'
  alpha: float = 1.0
  max_titles: int = 1
  separator: str = ' | '
  max_length: int = 0

  def __post_init__(self) -> None:
    if not isinstance(self.constrained, bool):
      raise ValueError(
        f'Expected constrained to be true or false, got {self.constrained!r}.'
      )
    if isinstance(self.alpha, str) or not math.isfinite(self.alpha):
      raise ValueError(f'Expected alpha to be a number, got {self.alpha!r}.')
    arguments.check_at_least(
      max_titles=(self.max_titles, 1), max_length=(self.max_length, 0)
    )
    if not isinstance(self.separator, str):
      raise ValueError(
        f'Expected separator to be text, got {self.separator!r}.'
      )
    arguments.check_choice('normalize', self.normalize, NORMALIZE)
    arguments.check_choice(
      'length_penalty', self.length_penalty, LENGTH_PENALTIES
    )


def from_fields(kind: type[_Options], fields: Mapping[str, Any]) -> _Options:
  """A dataclass of options from the fields that a run's settings name.

  JSON's lists become tuples.

  Raises:
    ValueError: for an unknown field.
  """
  known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
  unknown = sorted(set(fields) - set(known))
  if unknown:
    raise ValueError(
      f'Expected fields of {kind.__name__} ({", ".join(known)}), got '
      f'{", ".join(unknown)}; correct the settings of the run.'
    )
  return kind(
    **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
  )
