# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Batches of a seqio task or mixture, in an order that can be gone on with."""

import dataclasses
from collections.abc import Iterator, Mapping

import seqio
import tensorflow as tf

from genret.objectives import Batch


@dataclasses.dataclass(frozen=True)
class SeqioExamples:
  """The training split of a task or mixture.

  Attributes:
    name: in seqio's registries.
    use_cached: read the tasks from seqio's cache folders.
    cache_dirs: more of those than seqio knows.
    prefetch: batches that are made ahead, in threads of tf.data; 0 for none.
  """

  name: str
  use_cached: bool = False
  cache_dirs: tuple[str, ...] = ()
  prefetch: int = 8

  def __post_init__(self) -> None:
    if self.cache_dirs:
      seqio.add_global_cache_dirs(list(self.cache_dirs))

  @property
  def described(self) -> str:
    """What a run notes as the data that it was trained on."""
    return self.name

  def training_batches(
    self,
    task_feature_lengths: Mapping[str, int],
    batch_size: int,
    *,
    seed: int,
    skip: int = 0,
  ) -> Iterator[Batch]:
    """Endless batches, in an order that the seed fixes.

    Args:
      task_feature_lengths: 'inputs' and 'targets', in tokens.
      batch_size: B, examples of each.
      seed: of the order, of what a task draws and of the mixture.
      skip: batches to leave out, which are made for nothing.

    Returns:
      Batches as `seqio.EncDecFeatureConverter` makes them, int32 [B, T] and
      [B, L].

    Raises:
      ValueError: for a task without a training split; at iteration, for one
        without examples.
    """
    self.check()
    tf.config.set_visible_devices([], 'GPU')  # the accelerator is JAX's
    dataset = seqio.get_dataset(
      self.name,
      dict(task_feature_lengths),
      dataset_split='train',
      shuffle=True,
      num_epochs=None,
      feature_converter=seqio.EncDecFeatureConverter(pack=False),
      use_cached=self.use_cached,
      seed=seed,
    )
    dataset = dataset.batch(batch_size, drop_remainder=True).skip(skip)
    if self.prefetch:  # tf.data takes 0 for a number of its own choice
      dataset = dataset.prefetch(self.prefetch)
    return _endless(dataset, self.name)

  def passes(
    self, task_feature_lengths: Mapping[str, int], number: int, *, seed: int
  ) -> dict[str, Iterator[Batch]]:
    """The examples of each task, as often as asked, without padding.

    What a task draws (windows of a document, say) it draws anew in each pass.

    Args:
      task_feature_lengths: 'inputs' and 'targets', in tokens.
      number: of passes over the data.
      seed: of what a task draws.

    Returns:
      By task, int32 'inputs' [at most T] and 'targets' [at most L].

    Raises:
      ValueError: for a task without a training split.
    """
    self.check()
    tf.config.set_visible_devices([], 'GPU')

    def of_task(task: seqio.Task) -> Iterator[Batch]:
      for turn in range(number):
        dataset = task.get_dataset(
          dict(task_feature_lengths),
          split='train',
          use_cached=self.use_cached,
          shuffle=False,
          seed=seed + turn,
          num_epochs=1,
        )
        yield from dataset.as_numpy_iterator()

    return {
      name: of_task(seqio.get_mixture_or_task(name)) for name in self.rates()
    }

  def rates(self) -> dict[str, float]:
    """How often each task is drawn, in proportion; tasks at 0 are left out."""
    found = seqio.get_mixture_or_task(self.name)
    if not isinstance(found, seqio.Mixture):
      return {found.name: 1.0}
    rates = {task.name: float(found.get_rate(task)) for task in found.tasks}
    return {name: rate for name, rate in rates.items() if rate}

  def check(self) -> None:
    """Refuses tasks that have nothing to train on.

    seqio leaves a task out of a mixture where it has no such split.

    Raises:
      ValueError: for a task without a training split, or that is not in the
        caches where these are to be read.
    """
    for name in self.rates():
      task = seqio.get_mixture_or_task(name)
      if self.use_cached and not task.cache_dir:
        searched = ', '.join(seqio.get_global_cache_dirs())
        raise ValueError(
          f'Expected a cache of {name}, found none '
          f'({f"in {searched}" if searched else "no folder is named"}); make it '
          'by seqio_cache_tasks (docs/experiments.md), name its folder in '
          'CACHE_DIRS, or read no cache.'
        )
      if 'train' not in task.splits:
        raise ValueError(
          f"Expected a split 'train' of {name}, found "
          f'{", ".join(task.splits) or "none"}; add training queries to the '
          'corpus, or leave that task out of the mixture (a rate of 0).'
        )


def _endless(dataset: tf.data.Dataset, name: str) -> Iterator[Batch]:
  yield from dataset.as_numpy_iterator()
  raise ValueError(
    f'Expected training examples without end, got no more from {name}: one of '
    'its tasks has none in its training split; leave that task out of the '
    'mixture (a rate of 0), or check its corpus.'
  )
