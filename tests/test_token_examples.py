# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Examples as files of tokens: what is read, in which order, and training."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from genret import token_examples, tools
from genret.corpus import load_collection
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models import checkpoints
from genret.seqio_batches import SeqioExamples
from genret.tasks import retrieval

LENGTHS = {'inputs': 6, 'targets': 3}


def numbered(task, count, rng):
  """Examples that tell task and number, with inputs of some length."""
  return [
    {
      'inputs': np.append(rng.integers(2, 99, rng.integers(0, 6)), 1),
      'targets': np.array([2 + task, 2 + number]),
    }
    for number in range(count)
  ]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  rng = np.random.default_rng(0)
  examples = {'a': numbered(0, 5, rng), 'b': numbered(1, 17, rng)}
  folder = tmp_path_factory.mktemp('tokens') / 'made'
  rates = {'a': 3.0, 'b': 1.0}
  found = token_examples.save(folder, 'ab', examples, rates, LENGTHS)
  return examples, found, folder


def taken(found, number, size=4, **options):
  options = {'seed': 0} | options
  batches = found.training_batches(LENGTHS, size, **options)
  return list(itertools.islice(batches, number))


def test_what_examples_were_made_for_is_compared(tmp_path):
  rows = {'x': [{'inputs': np.array([2, 1]), 'targets': np.array([3, 1])}]}
  withheld = {'unseen_share': 0.5, 'unseen_seed': 2}

  def saved(made_for):
    return token_examples.save(
      tmp_path, 'x', rows, {'x': 1}, LENGTHS, made_for=made_for
    )

  one = token_examples.made_for('h')
  assert one == token_examples.made_for('h', unseen_seed=3) == {'docids': 'h'}
  both = token_examples.made_for('h', **withheld)
  assert both == {'docids': 'h', **withheld}
  for made in (one, both):
    assert saved(made).made_for == made
    saved(made).check_made_for(made)
  with pytest.raises(
    ValueError, match=r'docids=g, got docids=h; write them ag'
  ):
    saved(one).check_made_for(token_examples.made_for('g'))
  with pytest.raises(ValueError, match=r'unseen_seed=2, got unseen_seed=None'):
    saved(one).check_made_for(both)
  with pytest.raises(ValueError, match=r'unseen_seed=None, got unseen_seed=2'):
    saved(both).check_made_for(one)
  # What earlier versions wrote tells nothing.
  saved(None).check_made_for(one)
  with pytest.raises(ValueError, match='unseen_seed=2, got unseen_seed=None'):
    saved(None).check_made_for(both)


def test_rows_are_the_examples(made):
  examples, found, folder = made
  assert len(found) == 22
  assert found.tasks == ('a', 'b')
  assert token_examples.is_folder(folder)
  assert not token_examples.is_folder('ab')
  assert isinstance(found.input_tokens, np.memmap)
  for batch in taken(found, 30):
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
    targets_BxL = batch['decoder_target_tokens']
    assert batch['encoder_input_tokens'].shape == (4, 6)
    for row, (task, number, end) in zip(
      batch['encoder_input_tokens'], targets_BxL.tolist(), strict=True
    ):
      example = examples['ab'[task - 2]][number - 2]
      assert end == 0
      assert row[row > 0].tolist() == example['inputs'].tolist()
    np.testing.assert_array_equal(
      batch['decoder_input_tokens'],
      np.pad(targets_BxL, ((0, 0), (1, 0)))[:, :3],
    )
    np.testing.assert_array_equal(
      batch['decoder_loss_weights'], (targets_BxL > 0).astype(np.int32)
    )


@settings(max_examples=30)
@given(st.integers(0, 700), st.integers(1, 9), st.integers(0, 2**31))
def test_skipping_leaves_the_order(made, skip, size, seed):
  _, found, _ = made
  whole = taken(found, skip + 2, size, seed=seed)
  for ours, wanted in zip(
    taken(found, 2, size, seed=seed, skip=skip), whole[skip:], strict=True
  ):
    for name in wanted:
      np.testing.assert_array_equal(ours[name], wanted[name])


def test_every_example_comes_once_a_time_and_tasks_by_their_rates(made):
  examples, found, _ = made
  drawn = np.concatenate(
    [batch['decoder_target_tokens'] for batch in taken(found, 1000)]
  )
  for task, name in enumerate(examples):
    number_n = drawn[drawn[:, 0] == 2 + task, 1] - 2
    size = len(examples[name])
    times = len(number_n) // size
    orders = number_n[: times * size].reshape(times, size)
    np.testing.assert_array_equal(
      np.sort(orders, axis=1), np.tile(np.arange(size), (times, 1))
    )
    assert len(np.unique(orders, axis=0)) > min(times / 2, 100)  # of 120 at 5
  share = (drawn[:, 0] == 2).mean()
  assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / len(drawn))
  other = taken(found, 1, seed=1)[0]['decoder_target_tokens']
  assert (other != drawn[:4]).any()


def test_what_does_not_fit_is_refused(made, tmp_path):
  examples, found, _ = made
  for lengths in (
    {'inputs': 5, 'targets': 3},
    {'inputs': 7, 'targets': 3},
    {'inputs': 6, 'targets': 2},
    {'targets': 3},
  ):
    with pytest.raises(ValueError, match=r'that the examples were cut to, .*6'):
      found.training_batches(lengths, 4, seed=0)
  wider = next(found.training_batches(LENGTHS | {'targets': 5}, 4, seed=0))
  assert wider['decoder_target_tokens'].shape == (4, 5)
  for bad, rates, message in (
    ({'a': []}, {'a': 1}, 'training examples of a, got none; leave that'),
    ({'a': examples['a']}, {'a': 0}, 'a rate above 0 for a, got 0; leave'),
  ):
    with pytest.raises(ValueError, match=message):
      token_examples.save(tmp_path / 'bad', 'x', bad, rates, LENGTHS)
  assert not (tmp_path / 'bad').exists()


def test_large_tokens_keep_their_value(tmp_path):
  rows = [{'inputs': [70_000, 1], 'targets': [65_535, 1]}]
  found = token_examples.save(tmp_path, 'x', {'x': rows}, {'x': 1}, LENGTHS)
  assert found.target_tokens.dtype == np.uint16
  (batch,) = taken(found, 1, 1)
  assert batch['encoder_input_tokens'].tolist() == [[70_000, 1, 0, 0, 0, 0]]
  assert batch['decoder_target_tokens'].tolist() == [[65_535, 1, 0]]


# --- With the tasks of an experiment.

EXPERIMENT = """
from __gin__ import dynamic_registration
from genret.models import t5
from genret.tasks import retrieval

CORPUS = '{corpus}'
DOCIDS = '{docids}'
TASK_FEATURE_LENGTHS = {{'inputs': 20, 'targets': 2}}
TRAIN_STEPS = 4
BATCH_SIZE = 8
EVAL_PERIOD = 0
MODEL = @t5.Transformer()
t5.Transformer.config = @t5.T5Config()
t5.T5Config:
  vocab_size = {rows}
  emb_dim = 16
  num_heads = 2
  num_encoder_layers = 1
  num_decoder_layers = 1
  head_dim = 8
  mlp_dim = 32
MIXTURE_OR_TASK_NAME = @retrieval.mixture()
retrieval.mixture:
  name = 'test_token_examples'
  corpus = %CORPUS
  docids = %DOCIDS
  rates = {{'retrieval': 2, 'chunks': 1, 'keywords': 0}}
  chunk_lengths = (2, 4)
"""


@pytest.fixture(scope='module')
def experiment(tmp_path_factory):
  folder = tmp_path_factory.mktemp('experiment')
  tiny.write_collection(folder / 'corpus')
  build.build(
    load_collection(folder / 'corpus'),
    folder / 'docids',
    scheme='atomic',
    vocabulary_size=100,
    dimensions=16,
  )
  rows = DocidTable.load(folder / 'docids').vocab_size
  gin = EXPERIMENT.format(
    corpus=folder / 'corpus', docids=folder / 'docids', rows=rows
  )
  (folder / 'my.gin').write_text(gin)
  return folder


def test_an_experiment_is_written_pass_by_pass(experiment, capsys):
  folder = experiment
  words = ['--gin_file=runs/genret_train.gin', f'--gin_file={folder}/my.gin']
  command = ['examples', 'tokens', *words, '--output', str(folder / 'tokens')]
  assert tools.main([*command, '--passes', '3']) == 0
  printed = capsys.readouterr().out
  found = token_examples.load(folder / 'tokens')
  assert f'{len(found):,} examples written in' in printed
  hash_ = DocidTable.load(folder / 'docids').hash
  assert found.made_for == token_examples.made_for(hash_)
  name = retrieval.mixture(
    name='test_token_examples',
    corpus=str(folder / 'corpus'),
    docids=str(folder / 'docids'),
    rates={'retrieval': 2, 'chunks': 1, 'keywords': 0},
    chunk_lengths=(2, 4),
  )
  seqio_side = SeqioExamples(name)
  rates = seqio_side.rates()
  assert dict(zip(found.tasks, found.rates, strict=True)) == rates
  assert {name[-6:]: rate for name, rate in rates.items()} == {
    'rieval': 2,
    'chunks': 1,
  }
  lengths = {'inputs': 20, 'targets': 2}
  expected = seqio_side.passes(lengths, 3, seed=0)
  number = 0
  for of_task in expected.values():
    for example in of_task:
      for part, tokens, start in (
        ('inputs', found.input_tokens, found.input_start_N1),
        ('targets', found.target_tokens, found.target_start_N1),
      ):
        row = tokens[start[number] : start[number + 1]]
        assert row.tolist() == example[part].tolist()
      number += 1
  assert number == len(found)
  # A query is the same in each pass, a window of a document another.
  inputs = {}
  for task, name in enumerate(found.tasks):
    first, end = found.first_T1[task : task + 2].tolist()
    starts = found.input_start_N1[first : end + 1].tolist()
    inputs[name[-6:]] = [
      found.input_tokens[slice(*pair)].tolist()
      for pair in itertools.pairwise(starts)
    ]
  retrieved, windows = inputs['rieval'], inputs['chunks']
  assert retrieved[: len(retrieved) // 3] * 3 == retrieved
  assert windows[: len(windows) // 3] * 3 != windows
  assert checkpoints.load_config(folder / 'tokens').emb_dim == 16
  # Batches look as seqio's own.
  ours = next(found.training_batches(lengths, 8, seed=0))
  theirs = next(seqio_side.training_batches(lengths, 8, seed=0))
  assert {k: (v.shape, v.dtype) for k, v in ours.items()} == {
    k: (v.shape, v.dtype) for k, v in theirs.items()
  }


WITHOUT = """
import json, sys
for name in ('tensorflow', 'seqio', 'gin', 'clu', 'tensorboard'):
  sys.modules[name] = None
from genret import train
from genret.models import checkpoints, t5
folder, runs = sys.argv[1:]
for run, steps in (('whole', 4), ('parts', 2), ('parts', 4)):
  train.train(
    module=t5.Transformer(checkpoints.load_config(f'{folder}/tokens')),
    mixture_or_task_name=f'{folder}/tokens',
    task_feature_lengths={'inputs': 20, 'targets': 2},
    train_steps=steps, batch_size=8, model_dir=f'{runs}/{run}',
    corpus=f'{folder}/corpus', docids=f'{folder}/docids',
    log_period=1, eval_period=4, eval_queries=4, progress=False,
  )
"""


@pytest.mark.optax
def test_training_needs_no_tensorflow_and_goes_on(experiment, tmp_path):
  folder = experiment
  if not (folder / 'tokens').exists():
    words = ['--gin_file=runs/genret_train.gin', f'--gin_file={folder}/my.gin']
    tools.main(['examples', 'tokens', *words, '--output', f'{folder}/tokens'])
  ran = subprocess.run(
    [sys.executable, '-c', WITHOUT, folder, tmp_path],
    check=True,
    capture_output=True,
    text=True,
  )
  assert 'No events for TensorBoard are written: the package' in ran.stderr
  whole, parts = (
    [
      line['loss']
      for line in map(json.loads, log.splitlines())
      if 'loss' in line
    ]
    for log in (
      (tmp_path / name / 'log.jsonl').read_text() for name in ('whole', 'parts')
    )
  )
  assert whole == parts
  assert len(whole) == 4
  assert np.isfinite(whole).all()
