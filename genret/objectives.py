# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What training makes small: the objectives of the embedded trainer.

An objective is a frozen dataclass of numbers that is called with the model and a
batch. Its fields say which run a run is (`describe`), so that a run folder is not
gone on with under another objective. One whose model retrieves by other means than
by what it writes says so by an attribute `retriever`, as searcher.json has it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from genret.losses import TokenLosses, in_batch_losses, token_losses
from genret.models import pooling
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


@dataclasses.dataclass(frozen=True)
class InBatchSoftmax:
  """A dual encoder in one T5: each query's document among those of the batch.

  Queries are the inputs and documents the targets of a task (`tasks.text_pairs`);
  T5's encoder reads both (`models.pooling`), and the decoder is not trained. As
  Sentence-T5 (Ni et al., Findings of ACL 2022) and GTR (Ni et al., EMNLP 2022)
  are trained, without a projection. A document that comes twice in a batch, or
  another whose tokens are equal, is no negative of itself. Under jit the batch is
  that of all devices. What is counted are pairs, not tokens.

  Attributes:
    temperature: divides cosines.
    symmetric: each document's query among those of the batch too, half and half.
  """

  temperature: float = 0.01
  symmetric: bool = False

  # How the trained model finds documents.
  retriever: ClassVar[str] = 'vectors'

  def __post_init__(self) -> None:
    if not self.temperature > 0:
      raise ValueError(
        f'Expected a temperature above 0, got {self.temperature}; 0.01 is that '
        'of Sentence-T5.'
      )

  def __call__(
    self, module: Transformer, params: Any, batch: Batch, key: jax.Array
  ) -> TokenLosses:
    """As `Objective` has it."""
    query_BxT = jnp.asarray(batch['encoder_input_tokens'])
    document_BxL = jnp.asarray(batch['decoder_target_tokens'])
    query_BxE, document_BxE = (
      pooling.unit_vectors(module, params, token_BxT, dropout_key)
      for token_BxT, dropout_key in zip(
        (query_BxT, document_BxL), jax.random.split(key), strict=True
      )
    )
    # Differences of cosines count a hundredfold: no shorter floats here.
    logits_BxB = (
      jnp.matmul(query_BxE, document_BxE.T, precision='highest')
      / self.temperature
    )
    same_BxB = (document_BxL[:, None] == document_BxL[None]).all(-1)
    weight_B = (jnp.asarray(batch['decoder_loss_weights']) > 0).any(-1)
    found = in_batch_losses(logits_BxB, same_BxB, weight_B)
    if not self.symmetric:
      return found
    other = in_batch_losses(logits_BxB.T, same_BxB, weight_B)
    return found._replace(loss=(found.loss + other.loss) / 2)


def describe(objective: Any) -> dict[str, Any]:
  """The name and the numbers of an objective, as JSON has them."""
  return {
    'name': type(objective).__name__,
    **dataclasses.asdict(objective),
  }
