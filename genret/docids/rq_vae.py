# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Semantic identifiers by a residual-quantised autoencoder (RQ-VAE).

As TIGER (Rajput et al., NeurIPS 2023) makes them, after Zeghidour et al. (2021): an
encoder takes the document's vector to a small one, which is quantised level after
level, and a decoder takes the sum of the centroids back to x'. The loss is that of the
reconstruction, ||x - x'||^2, and, at each level of residual r and centroid e,

    ||sg(r) - e||^2 + beta * ||r - sg(e)||^2,    sg: no gradient through it.

All three are sums over dimensions: with a mean in the first, the others win, and codes
say little of the vectors.

Left alone it collapses: a few centroids take everything. Three things against it,
none of which is optional: vectors are standardised in each dimension, codebooks
start from k-means of what the encoder gives, and a centroid that nothing was
nearest to for some time moves to a residual of the batch.

D is the number of documents, E of dimensions, B of a batch, C of the small vector,
K of centroids, L of levels.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sentencepiece

from genret.corpus import Document
from genret.docids import codes, quantise, residual
from genret.docids.table import DocidTable

# Vectors that the first codebooks are fitted to, at most.
_START_FROM = 20_000
# Steps in one call of the compiled program.
_CHUNK = 100


class Autoencoder(NamedTuple):
  """What training gives.

  Attributes:
    mean_E: of the vectors, to standardise them.
    scale_E: their standard deviations, 1 where nothing varies.
    params: {'encoder', 'decoder': layers of (weight, bias), 'codebooks': [L, K,
      C]}.
    losses: mean squared error of a dimension in each hundred steps; 1 says
      nothing of the vectors, 0 all.
  """

  mean_E: np.ndarray
  scale_E: np.ndarray
  params: Any
  losses: list[float]

  def encode(self, vector_DxE: np.ndarray) -> np.ndarray:
    """The small vectors, which the codebooks quantise, float32 [D, C]."""
    width = self.params['codebooks'].shape[-1]
    small_DxC = np.zeros((len(vector_DxE), width), np.float32)
    for first in range(0, len(vector_DxE), 8192):
      rows = slice(first, first + 8192)
      small_DxC[rows] = _encode(self.params, self.standardise(vector_DxE[rows]))
    return small_DxC

  def standardise(self, vector_DxE: np.ndarray) -> np.ndarray:
    """Vectors as the encoder reads them, float32."""
    vector_DxE = np.asarray(vector_DxE, np.float32)
    return np.asarray((vector_DxE - self.mean_E) / self.scale_E)

  @property
  def codebooks(self) -> list[np.ndarray]:
    """L arrays [K, C]."""
    return list(np.asarray(self.params['codebooks']))


def train(
  vector_DxE: np.ndarray,
  *,
  levels: int = 3,
  k: int = 256,
  hidden: Sequence[int] = (512, 256, 128),
  width: int = 32,
  beta: float = 0.25,
  steps: int = 2000,
  batch_size: int = 1024,
  learning_rate: float = 1e-3,
  reset_after: int = 50,
  seed: int = 0,
) -> Autoencoder:
  """Trains an autoencoder on all vectors, by AdamW.

  Args:
    vector_DxE: document vectors.
    levels: L.
    k: K, at each level.
    hidden: sizes of the encoder's layers, those of the decoder in reverse.
    width: C.
    beta: weight of the commitment of residuals to centroids.
    steps: batches; the vectors are taken in a new order again and again.
    batch_size: B; all vectors where there are fewer.
    learning_rate: of AdamW.
    reset_after: a centroid moves that was nearest to nothing for so many steps.
    seed: of weights, order and moves.

  Raises:
    ValueError: if a number is too small.
  """
  least = {
    'levels': levels,
    'k': k,
    'width': width,
    'steps': steps,
    'batch_size': batch_size,
    'reset_after': reset_after,
  }
  for name, number in least.items():
    if number < 1:
      raise ValueError(f'Expected {name} of at least 1, got {number}.')
  some = quantise.sample_rows(len(vector_DxE), seed)
  mean_E, scale_E = _standard(np.asarray(vector_DxE[some], np.float32))
  sizes = [vector_DxE.shape[1], *hidden, width]
  generator = np.random.default_rng(seed)
  params = {
    'encoder': _layers(sizes, generator),
    'decoder': _layers(sizes[::-1], generator),
    'codebooks': np.zeros((levels, k, width), np.float32),
  }
  model = Autoencoder(mean_E, scale_E, params, [])
  if not len(vector_DxE):
    return model
  some = generator.permutation(len(vector_DxE))[:_START_FROM]
  start = np.asarray(_encode(params, model.standardise(vector_DxE[some])))
  params['codebooks'] = _start(start, levels, k, generator, seed)
  params = jax.tree.map(jnp.asarray, params)
  optimizer = optax.adamw(learning_rate)
  state = (params, optimizer.init(params), jnp.zeros((levels, k), jnp.int32))
  batch_size = min(batch_size, len(vector_DxE))
  order = _order(len(vector_DxE), batch_size, generator)
  losses = []
  # Every call takes as many steps, so that there is one program.
  chunk = min(_CHUNK, steps)
  for first in range(0, steps, chunk):
    batches = np.stack([next(order) for _ in range(chunk)])
    state, loss_S = _steps(
      state,
      model.standardise(vector_DxE[batches]),
      jax.random.key(generator.integers(2**31)),
      np.arange(chunk) < steps - first,
      optimizer=optimizer,
      beta=beta,
      reset_after=reset_after,
    )
    losses.append(float(np.mean(loss_S[: steps - first])))
  return model._replace(params=jax.device_get(state[0]), losses=losses)


def _standard(vector_DxE: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation of each dimension."""
  if not len(vector_DxE):
    width = vector_DxE.shape[1]
    return np.zeros(width, np.float32), np.ones(width, np.float32)
  mean_E, scale_E = vector_DxE.mean(0), vector_DxE.std(0)
  # Below this a dimension varies by rounding only.
  flat_E = scale_E <= 1e-6 * np.abs(vector_DxE).max(0, initial=1e-12)
  return mean_E, np.where(flat_E, np.float32(1), scale_E)


def _layers(
  sizes: Sequence[int], generator: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Weights of He et al. (2015), biases of 0."""
  return [
    (
      generator.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)).astype('f4'),
      np.zeros(fan_out, np.float32),
    )
    for fan_in, fan_out in itertools.pairwise(sizes)
  ]


def _start(
  small_NxC: np.ndarray,
  levels: int,
  k: int,
  generator: np.random.Generator,
  seed: int,
) -> np.ndarray:
  """Codebooks of residual k-means; what is lacking is near what is there."""
  fitted = residual.residual_codebooks(small_NxC, levels=levels, k=k, seed=seed)
  filled = []
  for centroid_KxC in fitted:
    more = generator.integers(len(centroid_KxC), size=k - len(centroid_KxC))
    near = centroid_KxC[more] + generator.normal(
      0, 1e-3, (len(more), small_NxC.shape[1])
    )
    filled.append(np.concatenate([centroid_KxC, near.astype(np.float32)]))
  return np.stack(filled)


def _order(count: int, batch_size: int, generator: np.random.Generator) -> Any:
  """Batches of rows; each pass in an order of its own, its rest left out."""
  while True:
    order = generator.permutation(count)
    for first in range(0, count - batch_size + 1, batch_size):
      yield order[first : first + batch_size]


def _apply(layers: Any, x: jax.Array) -> jax.Array:
  """Linear layers with ReLU between them."""
  for weight, bias in layers[:-1]:
    x = jax.nn.relu(jnp.dot(x, weight) + bias[None])
  weight, bias = layers[-1]
  return jnp.dot(x, weight) + bias[None]


@jax.jit
def _encode(params: Any, standard_BxE: jax.Array) -> jax.Array:
  return _apply(params['encoder'], standard_BxE)


def _loss(
  params: Any, standard_BxE: jax.Array, beta: float
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
  """The loss; and the error a dimension, codes [L, B], residuals [L, B, C]."""
  small_BxC = _apply(params['encoder'], standard_BxE)
  left_BxC, sum_BxC = small_BxC, jnp.zeros_like(small_BxC)
  commitment = jnp.zeros((), jnp.float32)
  found, residuals = [], []
  for centroid_KxC in params['codebooks']:
    distance_BxK = (centroid_KxC**2).sum(-1)[None] - 2.0 * left_BxC @ (
      centroid_KxC.T
    )
    code_B = jax.lax.stop_gradient(distance_BxK).argmin(-1)
    chosen_BxC = centroid_KxC[code_B]
    fixed_BxC = jax.lax.stop_gradient(left_BxC)
    commitment += ((fixed_BxC - chosen_BxC) ** 2).sum(-1).mean()
    still_BxC = jax.lax.stop_gradient(chosen_BxC)
    commitment += beta * ((left_BxC - still_BxC) ** 2).sum(-1).mean()
    found.append(code_B)
    residuals.append(fixed_BxC)
    left_BxC = left_BxC - still_BxC
    sum_BxC = sum_BxC + still_BxC
  # The decoder reads the centroids, and its gradient goes to the encoder.
  read_BxC = small_BxC + jax.lax.stop_gradient(sum_BxC - small_BxC)
  back_BxE = _apply(params['decoder'], read_BxC)
  reconstruction = ((back_BxE - standard_BxE) ** 2).sum(-1).mean()
  error = reconstruction / standard_BxE.shape[1]
  return reconstruction + commitment, (
    error,
    jnp.stack(found),
    jnp.stack(residuals),
  )


@functools.partial(jax.jit, static_argnames=['optimizer', 'reset_after'])
def _steps(
  state: tuple[Any, Any, jax.Array],
  standard_SxBxE: jax.Array,
  key: jax.Array,
  wanted_S: jax.Array,
  *,
  optimizer: optax.GradientTransformation,
  beta: float,
  reset_after: int,
) -> tuple[tuple[Any, Any, jax.Array], jax.Array]:
  """S steps, those that are not wanted without effect; the losses."""

  def step(state: Any, xs: Any) -> Any:
    standard_BxE, key, wanted = xs
    params, moments, idle_LxK = state
    (_, (loss, code_LxB, residual_LxBxC)), gradient = jax.value_and_grad(
      _loss, has_aux=True
    )(params, standard_BxE, beta)
    # Optax multiplies step counts by rates, which a strict JAX refuses.
    with jax.numpy_dtype_promotion('standard'):
      updates, moments = optimizer.update(gradient, moments, params)
    params = optax.apply_updates(params, updates)
    levels, k = idle_LxK.shape
    used_LxK = jnp.zeros((levels, k), bool)
    used_LxK = used_LxK.at[jnp.arange(levels)[:, None], code_LxB].set(True)
    idle_LxK = jnp.where(used_LxK, 0, idle_LxK + 1)
    dead_LxK = idle_LxK >= reset_after
    drawn_LxK = jax.random.randint(key, (levels, k), 0, code_LxB.shape[1])
    moved_LxKxC = jnp.take_along_axis(
      residual_LxBxC, drawn_LxK[..., None], axis=1
    )
    params = params | {
      'codebooks': jnp.where(
        dead_LxK[..., None], moved_LxKxC, params['codebooks']
      )
    }
    new = (params, moments, jnp.where(dead_LxK, 0, idle_LxK))
    kept = jax.tree.map(lambda a, b: jnp.where(wanted, a, b), new, state)
    return kept, loss

  keys_S = jax.random.split(key, len(standard_SxBxE))
  return jax.lax.scan(step, state, (standard_SxBxE, keys_S, wanted_S))


def rq_vae(
  documents: Sequence[Document],
  vocabulary: sentencepiece.SentencePieceProcessor,
  *,
  first_token: int,
  vectors: Callable[[], np.ndarray],
  seed: int = 0,
  old: DocidTable | None = None,
  levels: int = 3,
  k: int = 256,
  width: int = 32,
  steps: int = 2000,
  batch_size: int = 1024,
  collisions: str = 'token',
) -> DocidTable:
  """Identifiers of `levels` codes.

  Args:
    documents: D documents.
    vocabulary: not used.
    first_token: the first id that is free for identifiers.
    vectors: gives the document vectors [D, E].
    seed: of everything random.
    old: the table that the documents are added to.
    levels: as `train` takes it, and the four that follow.
    k: likewise.
    width: likewise.
    steps: likewise.
    batch_size: likewise.
    collisions: one of `residual.COLLISIONS`.
  """
  del vocabulary
  codes.check_choice('collisions', collisions, residual.COLLISIONS)
  vector_DxE = vectors()
  if old is None:
    model = train(
      vector_DxE,
      levels=levels,
      k=k,
      width=width,
      steps=steps,
      batch_size=batch_size,
      seed=seed,
    )
  else:
    model = _restored(old.state)
  return residual.residual_table(
    documents,
    model.encode(vector_DxE),
    model.codebooks,
    first_token=first_token,
    collisions=collisions,
    old=old,
    state=_encoder_arrays(model),
  )


def _encoder_arrays(model: Autoencoder) -> dict[str, np.ndarray]:
  """What names documents; the codebooks are kept by the table of codes."""
  arrays = {'mean': model.mean_E, 'scale': model.scale_E}
  for layer, (weight, bias) in enumerate(model.params['encoder']):
    arrays[f'weight_{layer}'] = np.asarray(weight)
    arrays[f'bias_{layer}'] = np.asarray(bias)
  return arrays


def _restored(state: Mapping[str, np.ndarray]) -> Autoencoder:
  """An autoencoder that encodes and cannot decode."""

  def numbered(name: str) -> list[np.ndarray]:
    count = sum(key.startswith(name) for key in state)
    return [np.asarray(state[f'{name}{i}']) for i in range(count)]

  pairs = zip(numbered('weight_'), numbered('bias_'), strict=True)
  params = {
    'encoder': list(pairs),
    'codebooks': np.stack(numbered('codebook_')),
  }
  return Autoencoder(state['mean'], state['scale'], params, [])


SCHEMES = {'rq-vae': rq_vae}
