# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What training makes small: the objectives of the embedded trainer.

An objective is a frozen dataclass of numbers that is called with the model and a
batch. Its fields say which run a run is (`describe`), so that a run folder is not
gone on with under another objective. One whose model retrieves by other means than
by what it writes says so by an attribute `retriever`, as searcher.json has it; one
whose losses of an example depend on the others of its batch by `compares_examples`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genret.losses import (
  TokenLosses,
  in_batch_losses,
  symmetric_kl,
  token_losses,
)
from genret.models import pooling
from genret.models.t5 import Transformer
from genret.vocabulary import EOS_ID

Batch = Mapping[str, Any]  # arrays [batch, length], as seqio's converter names


def teacher_forcing_batch(
  input_BxT: np.ndarray, target_BxL: np.ndarray
) -> Batch:
  """Rows as a batch, as seqio's converter makes it.

  Args:
    input_BxT: tokens of the encoder, padded with 0.
    target_BxL: what to write behind them, likewise; padding has no weight.
  """
  return {
    'encoder_input_tokens': input_BxT,
    'decoder_target_tokens': target_BxL,
    'decoder_input_tokens': np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1],
    'decoder_loss_weights': (target_BxL > 0).astype(np.int32),
  }


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
    inputs_BxT = batch['encoder_input_tokens']
    return self.of(_logits(module, params, inputs_BxT, batch, key), batch)

  def of(self, logits: jax.Array, batch: Batch) -> TokenLosses:
    """The same of logits [B, L, V] that were computed."""
    return token_losses(
      logits,
      batch['decoder_target_tokens'],
      batch['decoder_loss_weights'],
      label_smoothing=self.label_smoothing,
      z_loss=self.z_loss,
    )


@dataclasses.dataclass(frozen=True)
class Consistency:
  """Cross-entropy, and agreement of two views of each example, as NCI has it.

  The mean cross-entropy of the views, plus alpha [KL(p1||p2) + KL(p2||p1)] / 2 of
  what they predict (NCI: Wang et al., NeurIPS 2022, https://arxiv.org/abs/
  2206.02743; R-Drop: Liang et al., NeurIPS 2021). The views differ by dropout;
  some queries lose tokens in the second one besides. Gradients pass through both.

  The divergence is over the whole vocabulary and, like the cross-entropy, a mean
  over target tokens. The released code divides both sums over the batch, padding
  included, by twice the length of the targets alone, so that its alpha of 0.15
  (0.1 for the large model) is about 0.15 B here. The first version of the paper
  has two passes of one query (drop_probability=0) and an alpha of 0.015. The
  released code drops in both views, of whole batches, and leaves padding where a
  token was.

  A step costs twice that of cross-entropy, and the logits of both views.

  Attributes:
    alpha: weight of the divergence.
    drop_probability: that a query loses tokens in its second view.
    drop_rate: share of its tokens that it then loses, each by itself.
    cross_entropy: the loss of each view.
  """

  alpha: float = 0.15
  drop_probability: float = 0.5
  drop_rate: float = 0.1
  cross_entropy: CrossEntropy = dataclasses.field(default_factory=CrossEntropy)

  def __post_init__(self) -> None:
    for name in ('drop_probability', 'drop_rate'):
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(
          f'Expected {name} from 0 to 1, got {getattr(self, name)}.'
        )
    if self.alpha < 0:
      raise ValueError(
        f'Expected an alpha of at least 0, got {self.alpha}; below 0 views '
        'would be driven apart.'
      )

  def __call__(
    self, module: Transformer, params: Any, batch: Batch, key: jax.Array
  ) -> TokenLosses:
    """As `Objective` has it."""
    drop_key, *dropout_keys = jax.random.split(key, 3)
    query_BxT = jnp.asarray(batch['encoder_input_tokens'])
    other_BxT = drop_tokens(
      query_BxT,
      drop_key,
      probability=self.drop_probability,
      rate=self.drop_rate,
    )
    # Side by side on an axis of their own, rows stay on the devices they are on.
    logits_2xBxLxV = jax.vmap(
      lambda token_BxT, key: _logits(module, params, token_BxT, batch, key)
    )(jnp.stack([query_BxT, other_BxT]), jnp.stack(dropout_keys))
    one, other = logits_2xBxLxV[0], logits_2xBxLxV[1]
    apart = symmetric_kl(one, other, batch['decoder_loss_weights'])
    views = [self.cross_entropy.of(logits, batch) for logits in (one, other)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *views)
    return mean._replace(loss=mean.loss + self.alpha * apart)


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
  compares_examples: ClassVar[bool] = True

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


def _logits(
  module: Transformer,
  params: Any,
  input_BxT: jax.Array,
  batch: Batch,
  key: jax.Array,
) -> jax.Array:
  """Logits [B, L, V] of a batch's targets under dropout."""
  logits: Any = module.apply(
    {'params': params},
    input_BxT,
    batch['decoder_input_tokens'],
    batch['decoder_target_tokens'],
    enable_dropout=True,
    rngs={'dropout': key},
  )
  return logits


def drop_tokens(
  token_BxT: jax.Array, key: jax.Array, *, probability: float, rate: float
) -> jax.Array:
  """Takes tokens out of some rows and closes the gaps.

  End-of-sequence and padding stay.

  Args:
    token_BxT: padded with 0 behind.
    key: of what is taken.
    probability: that a row loses tokens.
    rate: that a token of such a row is taken.
  """
  row_key, token_key = jax.random.split(key)
  chosen_Bx1 = jax.random.bernoulli(
    row_key, float(probability), (token_BxT.shape[0], 1)
  )
  taken_BxT = jax.random.bernoulli(token_key, float(rate), token_BxT.shape)
  taken_BxT &= chosen_Bx1 & (token_BxT > EOS_ID)
  order_BxT = jnp.argsort(taken_BxT, axis=1, stable=True)
  return jnp.take_along_axis(jnp.where(taken_BxT, 0, token_BxT), order_BxT, 1)


def describe(objective: Any) -> dict[str, Any]:
  """The name and the numbers of an objective, as JSON has them."""
  return {
    'name': type(objective).__name__,
    **dataclasses.asdict(objective),
  }
