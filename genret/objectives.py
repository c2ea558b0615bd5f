# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What training makes small: the objectives of the embedded trainer.

An objective is a frozen dataclass of numbers that is called with the model and a
batch. Its fields say which run a run is (`describe`), so that a run folder is not
gone on with under another objective.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax

from genret.losses import TokenLosses, token_losses
from genret.models.t5 import Transformer

Batch = Mapping[str, Any]  # arrays [batch, length], as seqio's converter names


class Objective(Protocol):
  """Losses of a batch; training follows the gradient of loss / weight."""

  def __call__(
    self, module: Transformer, params: Any, batch: Batch, key: jax.Array
  ) -> TokenLosses:
    """Sums over the batch.

    Args:
      module: the model.
      params: its parameters.
      batch: encoder_input_tokens, decoder_input_tokens, decoder_target_tokens
        and decoder_loss_weights.
      key: of dropout.
    """


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
  """Teacher forcing: the cross-entropy of the target tokens.

  Attributes:
    label_smoothing: share of the target distribution spread over all tokens.
    z_loss: coefficient of log(Z)^2, as in T5X.
  """

  label_smoothing: float = 0.0
  z_loss: float = 1e-4

  def __call__(
    self, module: Transformer, params: Any, batch: Batch, key: jax.Array
  ) -> TokenLosses:
    """As `Objective` has it."""
    logits: Any = module.apply(
      {'params': params},
      batch['encoder_input_tokens'],
      batch['decoder_input_tokens'],
      batch['decoder_target_tokens'],
      enable_dropout=True,
      rngs={'dropout': key},
    )
    return token_losses(
      logits,
      batch['decoder_target_tokens'],
      batch['decoder_loss_weights'],
      label_smoothing=self.label_smoothing,
      z_loss=self.z_loss,
    )


def describe(objective: Any) -> dict[str, Any]:
  """The name and the numbers of an objective, as JSON has them."""
  return {
    'name': type(objective).__name__,
    **dataclasses.asdict(objective),
  }
