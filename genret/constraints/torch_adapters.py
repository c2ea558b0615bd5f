# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constraints for the `generate` of PyTorch's transformers.

A constraint that lists its allowed tokens on the host is all they need. Beams
are told apart by what they have written, so nothing is kept between the steps
and any order of beams is fine.

transformers calls both adapters behind log_softmax in beam search: scores are
sums of log-probabilities over the whole vocabulary, as in `genret.beam_search`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class ListsAllowedTokens(Protocol):
  """What the adapters need of a constraint."""

  def allowed_tokens(
    self, prefix_NxP: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Lists what may follow each prefix.

    Args:
      prefix_NxP: integers, the tokens that N beams have written, start id left
        out; P may be 0, and any tokens may stand there.

    Returns:
      row_A, token_A: A pairs of a row and a token that may follow it, eos where
      it may, by row and then ascending. Rows that have ended or that the
      constraint does not know have none.
    """
    ...


def prefix_allowed_tokens_fn(
  constraint: ListsAllowedTokens, *, eos_id: int, num_skipped: int = 1
) -> Callable[[int, Any], list[int]]:
  """For `generate(prefix_allowed_tokens_fn=...)`: one beam at a time.

  Slower than `logits_processor`, and right wherever a function is asked for.

  Args:
    constraint: such as a trie.
    eos_id: the token to write where nothing may follow, as behind eos itself.
    num_skipped: how many tokens at the front of the decoder's input are not of
      the answer: 1, the start token, for an encoder-decoder model; the padded
      length of the prompt for a decoder-only model.

  Returns:
    (batch_id, input_ids of one beam) -> the tokens that may follow, ascending.
  """
  _check_skipped(num_skipped)

  def allowed(batch_id: int, input_ids: Any) -> list[int]:
    del batch_id  # One constraint for all queries.
    prefix_1xP = _to_numpy(input_ids)[None, num_skipped:]
    _, token_A = constraint.allowed_tokens(prefix_1xP)
    return token_A.tolist() or [eos_id]

  return allowed


def logits_processor(
  constraint: ListsAllowedTokens,
  *,
  eos_id: int,
  num_beams: int = 1,
  num_skipped: int = 1,
) -> LogitsProcessor:
  """For `generate(logits_processor=[...])`: all beams at once.

  Args:
    constraint: such as a trie.
    eos_id: see `prefix_allowed_tokens_fn`.
    num_beams: as transformers' own processor has it; any number will do, for
      each row is judged by what it has written.
    num_skipped: see `prefix_allowed_tokens_fn`.

  Raises:
    ImportError: PyTorch is not installed.
  """
  if num_beams < 1:
    raise ValueError(
      f'Expected num_beams of at least 1 but got {num_beams}; pass the number '
      'given to generate.'
    )
  _check_skipped(num_skipped)
  _torch()
  return LogitsProcessor(constraint, eos_id, num_skipped)


@dataclasses.dataclass(frozen=True, eq=False)
class LogitsProcessor:
  """Sets the scores of tokens that may not follow to -inf.

  Where no token may follow, as behind eos, only eos keeps its score, so that
  sampling has something to draw.

  Attributes:
    constraint: lists the allowed tokens.
    eos_id: the token that is left where nothing may follow.
    num_skipped: tokens of the decoder's input that are not of the answer.
  """

  constraint: ListsAllowedTokens
  eos_id: int
  num_skipped: int = 1

  def __call__(self, input_ids: Any, scores: Any) -> Any:
    """input_ids [N, P] and scores [N, V] -> new scores, of like dtype."""
    torch = _torch()
    prefix_NxP = _to_numpy(input_ids)[:, self.num_skipped :]
    # Beams that have written the same, such as nothing, are looked up once.
    prefix_UxP, row_N = _unique_rows(prefix_NxP)
    row_A, token_A = self.constraint.allowed_tokens(prefix_UxP)
    stuck_U = np.bincount(row_A, minlength=len(prefix_UxP)) == 0
    stuck_X = np.flatnonzero(stuck_U)
    row_A = np.concatenate([row_A, stuck_X])
    token_A = np.concatenate([token_A, np.full(len(stuck_X), self.eos_id)])
    _check_vocabulary(token_A, scores.shape[-1])

    def index(array: np.ndarray) -> Any:
      return torch.from_numpy(array.astype(np.int64)).to(scores.device)

    banned_UxV = scores.new_ones(
      (len(prefix_UxP), scores.shape[-1]), dtype=torch.bool
    )
    banned_UxV[index(row_A), index(token_A)] = False
    return scores.masked_fill(banned_UxV[index(row_N)], -float('inf'))


def _unique_rows(row_NxP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The distinct rows, and the number of each row among them."""
  if not row_NxP.size:  # np.unique wants columns.
    return row_NxP[:1], np.zeros(len(row_NxP), np.int64)
  row_UxP, number_N = np.unique(row_NxP, axis=0, return_inverse=True)
  return row_UxP, number_N.reshape(-1)


def _to_numpy(tensor: Any) -> np.ndarray:
  return tensor.detach().cpu().numpy()


def _check_skipped(num_skipped: int) -> None:
  if num_skipped < 0:
    raise ValueError(
      f'Expected num_skipped of at least 0 but got {num_skipped}; pass the '
      'number of tokens in front of the answer.'
    )


def _check_vocabulary(token_A: np.ndarray, vocab_size: int) -> None:
  if token_A.max(initial=0) >= vocab_size:
    raise ValueError(
      f'Expected scores of at least {token_A.max() + 1} tokens, as the '
      f'constraint needs, but got {vocab_size}; use the vocabulary of the model.'
    )


def _torch() -> Any:
  try:
    import torch
  except ImportError as error:
    raise ImportError(
      'Expected PyTorch for a logits processor but it is not installed; '
      'install torch.'
    ) from error
  return torch
