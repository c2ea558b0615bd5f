# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The tasks of a mixture that have a split."""

import types

import pytest
import seqio
import tensorflow as tf

from genret.tasks.splits import tasks_with, where_held


def add_task(name, splits):
  seqio.TaskRegistry.remove(name)
  seqio.TaskRegistry.add(
    name,
    source=seqio.FunctionDataSource(
      lambda split, shuffle_files=False, seed=None: (
        tf.data.Dataset.from_tensor_slices({'targets': [[2, 1]]})
      ),
      splits=splits,
    ),
    preprocessors=[],
    output_features={
      'targets': seqio.Feature(seqio.PassThroughVocabulary(9, 1))
    },
  )


@pytest.fixture
def mixture():
  names = {
    'split_a': ['train', 'dev'],
    'split_b': ['train'],
    'split_c': ['dev'],
  }
  for name, splits in names.items():
    add_task(name, splits)
  seqio.MixtureRegistry.remove('split_all')
  seqio.MixtureRegistry.add('split_all', [(name, 2.0) for name in names])
  return 'split_all'


@pytest.mark.parametrize(
  ('split', 'expected'),
  [('train', ['split_a', 'split_b']), ('dev', ['split_a', 'split_c'])],
)
def test_those_with_the_split_are_left(mixture, split, expected):
  for _ in range(2):  # again is free
    found = seqio.get_mixture_or_task(tasks_with(mixture, split))
    assert sorted(t.name for t in seqio.get_subtasks(found)) == expected
  everything = seqio.get_subtasks(seqio.get_mixture_or_task(mixture))
  assert len(everything) == 3


def test_a_task_is_a_mixture_of_one(mixture):
  found = seqio.get_mixture_or_task(tasks_with('split_b', 'train'))
  assert [t.name for t in seqio.get_subtasks(found)] == ['split_b']


def test_a_split_that_none_has_is_refused(mixture):
  with pytest.raises(
    ValueError, match=r"split_all, which has dev, train, got 'test'; choose"
  ):
    tasks_with(mixture, 'test')


def test_nothing_is_evaluated_where_no_task_has_the_split(mixture, caplog):
  def config(name, split):  # what T5X's DatasetConfig has
    return types.SimpleNamespace(mixture_or_task_name=name, split=split)

  for name, split in ((mixture, 'dev'), ('split_b', 'train')):
    held = config(name, split)
    assert where_held(held) is held
  assert where_held(config('split_b', 'dev')) is None
  assert where_held(config(mixture, 'test')) is None
  told = [record.getMessage() for record in caplog.records]
  assert [line.partition(';')[0] for line in told] == [
    f'Nothing is evaluated in training: no task of {name} has the split '
    f'{split!r}, they have {splits}'
    for name, split, splits in (
      ('split_b', 'dev', 'train'),
      ('split_all', 'test', 'dev, train'),
    )
  ]
