# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches of a seqio task or mixture, in an order that can be gone on with."""

from collections.abc import Iterator, Mapping

import seqio
import tensorflow as tf

from genret.objectives import Batch


def training_batches(
  mixture_or_task_name: str,
  task_feature_lengths: Mapping[str, int],
  batch_size: int,
  *,
  seed: int,
  skip: int = 0,
  use_cached: bool = False,
  prefetch: int = 8,
) -> Iterator[Batch]:
  """Endless batches of the training split, in an order that the seed fixes.

  Args:
    mixture_or_task_name: a name in seqio's registries.
    task_feature_lengths: 'inputs' and 'targets', in tokens.
    batch_size: B, examples of each.
    seed: of the order, of what a task draws and of the mixture.
    skip: batches to leave out, which are made for nothing.
    use_cached: read the tasks from seqio's cache folders.
    prefetch: batches that are made ahead, in threads of tf.data; 0 for none.

  Returns:
    Batches as `seqio.EncDecFeatureConverter` makes them, int32 [B, T] and [B, L].

  Raises:
    ValueError: at iteration, where a task has no examples.
  """
  tf.config.set_visible_devices([], 'GPU')  # the accelerator is JAX's
  dataset = seqio.get_dataset(
    mixture_or_task_name,
    dict(task_feature_lengths),
    dataset_split='train',
    shuffle=True,
    num_epochs=None,
    feature_converter=seqio.EncDecFeatureConverter(pack=False),
    use_cached=use_cached,
    seed=seed,
  )
  dataset = dataset.batch(batch_size, drop_remainder=True).skip(skip)
  if prefetch:  # tf.data takes 0 for a number of its own choice
    dataset = dataset.prefetch(prefetch)
  return _endless(dataset, mixture_or_task_name)


def _endless(dataset: tf.data.Dataset, name: str) -> Iterator[Batch]:
  yield from dataset.as_numpy_iterator()
  raise ValueError(
    f'Expected training examples without end, got no more from {name}: one of '
    'its tasks has none in its training split; leave that task out of the '
    'mixture (a rate of 0), or check its corpus.'
  )
