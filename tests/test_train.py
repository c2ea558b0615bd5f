# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The trainer: it learns, stops on nonsense, and survives being killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from genret import identifiers, ngram_index, preemption, process_locks
from genret import train as train_lib
from genret.corpus import load_collection
from genret.docids import build
from genret.evaluate import evaluate_searcher, split_queries
from genret.models import checkpoints
from genret.models.t5 import Transformer
from genret.objectives import InBatchSoftmax
from genret.searcher import Searcher
from genret.tasks import ngrams, retrieval, text_pairs

pytestmark = pytest.mark.optax

LENGTHS = {'inputs': 20, 'targets': 8}


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
  folder = tmp_path_factory.mktemp('corpus') / 'tiny'
  tiny.write_collection(folder)
  return folder


@pytest.fixture(scope='module')
def docids(corpus, tmp_path_factory):
  """The folder of a scheme's identifiers, made once."""
  made = {}

  def folder_of(scheme, **options):
    if scheme not in made:
      made[scheme] = tmp_path_factory.mktemp('docids') / scheme
      build.build(
        load_collection(corpus),
        made[scheme],
        scheme=scheme,
        vocabulary_size=100,
        dimensions=32,
        options=options,
      )
    return made[scheme]

  return folder_of


BOTH = {'retrieval': 1, 'chunks': 1}


def train(
  corpus, docids, folder, *, name='tiny', rates=BOTH, config=None, **changes
):
  mixture = changes.get('mixture_or_task_name') or retrieval.mixture(
    name=name, corpus=corpus, docids=docids, rates=rates, chunk_lengths=(2, 8)
  )
  settings = {
    'module': Transformer(
      tiny.config(identifiers.vocab_size(docids), **(config or {}))
    ),
    'mixture_or_task_name': mixture,
    'task_feature_lengths': LENGTHS,
    'train_steps': 4,
    'batch_size': 16,
    'model_dir': folder,
    'corpus': corpus,
    'docids': docids,
    'optimizer': optax.adam(3e-3),
    'eval_period': 0,
    'progress': False,
  }
  return train_lib.train(**(settings | changes))


def read_log(folder):
  lines = (folder / 'log.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def losses(folder):
  return {
    line['step']: line['loss'] for line in read_log(folder) if 'loss' in line
  }


@pytest.mark.parametrize(
  ('scheme', 'options'),
  [('atomic', {}), ('naive', {}), ('hierarchical-kmeans', {'k': 3, 'c': 4})],
)
def test_every_scheme_is_learned(scheme, options, corpus, docids, tmp_path):
  """The toy target: nearly every training query finds its document."""
  folder = train(
    corpus,
    docids(scheme, **options),
    tmp_path / 'run',
    name=f'learn_{scheme.replace("-", "_")}',
    rates={'retrieval': 1},
    train_steps=300,
    batch_size=32,
  )
  searcher = Searcher.load(folder)
  queries, qrels = split_queries(load_collection(corpus), 'train')
  system = evaluate_searcher(searcher, queries, qrels)
  assert system.evaluation.mean['Success@1'] > 0.95
  assert system.rates['legal_rate'] == 1.0
  untrained = Searcher.load(folder, step=0)
  start = evaluate_searcher(untrained, queries, qrels)
  assert start.evaluation.mean['Success@1'] < 0.5


def test_a_dual_encoder_is_learned(corpus, docids, tmp_path):
  """The dev queries, words of documents too, find them as well."""
  task = text_pairs.task(
    name='tiny_pairs', inputs='query', corpus=corpus, vocabulary=docids('naive')
  )
  folder = train(
    corpus,
    docids('naive'),
    tmp_path / 'run',
    mixture_or_task_name=task,
    task_feature_lengths={'inputs': 20, 'targets': 30},
    objective=InBatchSoftmax(0.05),
    # So few dimensions that random vectors of words do not tell texts apart.
    config={'emb_dim': 8},
    train_steps=200,
    log_period=200,
    eval_period=200,
  )
  start, last, end = read_log(folder)
  assert start['dev/Success@1'] < 0.4
  assert end['dev/Success@1'] > 0.65
  assert 0.7 < last['token_accuracy'] <= 1
  # What was measured along the way is what the run does.
  queries, qrels = split_queries(load_collection(corpus), 'dev')
  for step, logged in ((0, start), (200, end)):
    searcher = Searcher.load(folder, step=step)
    assert searcher.document_length == 30
    mean = evaluate_searcher(searcher, queries, qrels).evaluation.mean
    assert {f'dev/{name}': value for name, value in mean.items()} == {
      name: logged[name] for name in logged if name.startswith('dev/')
    }
  with pytest.raises(ValueError, match='Expected passage_prefix=, as'):
    train(
      corpus,
      docids('naive'),
      folder,
      mixture_or_task_name=task,
      task_feature_lengths={'inputs': 20, 'targets': 30},
      objective=InBatchSoftmax(0.05),
      config={'emb_dim': 8},
      passage_prefix='bada ',
    )


def test_a_dual_encoder_writes_no_identifiers(corpus, docids, tmp_path):
  settings = {
    'mixture_or_task_name': text_pairs.task(
      name='tiny_pairs',
      inputs='query',
      corpus=corpus,
      vocabulary=docids('naive'),
    ),
    # The longest identifier has more tokens.
    'task_feature_lengths': {'inputs': 20, 'targets': 2},
    'train_steps': 0,
  }
  with pytest.raises(ValueError, match=r"\['targets'\] of at least"):
    train(corpus, docids('naive'), tmp_path / 'run', **settings)
  settings['objective'] = InBatchSoftmax()
  folder = train(corpus, docids('naive'), tmp_path / 'run', **settings)
  assert Searcher.load(folder).document_length == 2
  # What it retrieves are texts, so that these must be the right ones.
  tiny.write_collection(tmp_path / 'other', documents=3)
  with pytest.raises(ValueError, match='corpus that the identifiers name'):
    train(
      tmp_path / 'other',
      docids('naive'),
      tmp_path / 'new',
      eval_period=1,
      **settings,
    )
  assert not (tmp_path / 'new').exists()


def test_log_evaluation_and_events(corpus, docids, tmp_path):
  folder = train(
    corpus,
    docids('atomic'),
    tmp_path / 'run',
    log_period=2,
    eval_period=4,
    eval_queries=5,
  )
  log = read_log(folder)
  assert [line['step'] for line in log] == [0, 2, 4, 4]
  assert log[1]['examples_per_second'] > 0
  assert 0 <= log[0]['dev/Success@10'] <= log[3]['dev/R@100'] <= 1
  assert log[3]['dev/legal_rate'] == 1.0
  assert any((folder / 'tensorboard').iterdir())


def test_some_steps_are_traced(corpus, docids, tmp_path):
  def traces(folder):
    return list((folder / 'profile').rglob('*.xplane.pb'))

  folder = tmp_path / 'run'
  train(corpus, docids('atomic'), folder, train_steps=3)
  assert not traces(folder)
  # From within the window, as after an interruption.
  train(corpus, docids('atomic'), folder, train_steps=6, profile_steps=[2, 5])
  (trace,) = traces(folder)
  assert b'jit' in trace.read_bytes()
  for steps in ([0, 1], [3, 2], [2, 7], [2]):
    with pytest.raises(
      ValueError, match=r'from 1 to 6, got .*; give two steps'
    ):
      train(
        corpus,
        docids('atomic'),
        tmp_path / 'x',
        train_steps=6,
        profile_steps=steps,
      )
  assert not (tmp_path / 'x').exists()


def test_in_two_parts_as_in_one(corpus, docids, tmp_path):
  settings = {
    'log_period': 1,
    'checkpoint_period': 3,
    'config': {'dropout_rate': 0.1},
  }
  whole = train(
    corpus, docids('atomic'), tmp_path / 'a', train_steps=6, **settings
  )
  parts = tmp_path / 'b'
  train(corpus, docids('atomic'), parts, train_steps=3, **settings)
  train(corpus, docids('atomic'), parts, train_steps=6, **settings)
  assert losses(parts) == losses(whole)
  trees = [checkpoints.load_model(folder)[1] for folder in (whole, parts)]
  jax.tree.map(np.testing.assert_array_equal, *trees)
  # Nothing left to do is nothing done.
  train(corpus, docids('atomic'), parts, train_steps=6, **settings)
  assert losses(parts) == losses(whole)


def test_another_seed_is_another_run(corpus, docids, tmp_path):
  a = train(corpus, docids('atomic'), tmp_path / 'a', log_period=1)
  b = train(corpus, docids('atomic'), tmp_path / 'b', log_period=1, seed=1)
  assert losses(a) != losses(b)


COMMAND = """
import sys, optax, test_train
corpus, docids, folder, checkpoint_period = sys.argv[1:]
test_train.train(
  corpus, docids, folder, name='killed', train_steps=120, log_period=1,
  checkpoint_period=int(checkpoint_period), config={'dropout_rate': 0.1},
)
"""
# The same, killed as step 8 is evaluated.
EVALUATED = """
import os, signal, test_train
evaluate = test_train.train_lib.evaluate_searcher
def first_alone(*args):
  test_train.train_lib.evaluate_searcher = killed
  return evaluate(*args)
def killed(*_):
  os.kill(os.getpid(), signal.SIGKILL)
test_train.train_lib.evaluate_searcher = first_alone
""" + COMMAND.replace(
  'log_period=1,', 'log_period=1, eval_period=8, eval_queries=3,'
)


def test_killed_or_stopped_and_started_again(corpus, docids, tmp_path):
  """kill -9 in an evaluation and anywhere, and SIGTERM: the same in the end."""
  whole = train(
    corpus,
    docids('atomic'),
    tmp_path / 'whole',
    name='killed',
    train_steps=120,
    log_period=1,
    checkpoint_period=5,
    config={'dropout_rate': 0.1},
  )
  folder = tmp_path / 'run'
  command = [
    sys.executable,
    '-c',
    COMMAND,
    str(corpus),
    str(docids('atomic')),
    str(folder),
  ]
  environment = os.environ | {'PYTHONPATH': os.path.dirname(__file__)}
  process = subprocess.run(
    [sys.executable, '-c', EVALUATED, *command[3:], '5'],
    env=environment,
    capture_output=True,
    check=False,
  )
  assert process.returncode == -signal.SIGKILL, process.stderr
  reached = (folder / 'log.jsonl').read_text().count('\n')
  assert reached == 9  # one line for each step, and one of step 0's evaluation
  # SIGTERM saves a checkpoint where there would be none before the end.
  for at_least, number, period in (
    (30, signal.SIGTERM, '1000'),
    (60, signal.SIGKILL, '5'),
  ):
    process = subprocess.Popen(
      [*command, period],
      env=environment,
      stderr=subprocess.PIPE,
      text=True,
    )
    limit = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < limit:
      if (folder / 'log.jsonl').exists():
        lines = (folder / 'log.jsonl').read_text().count('\n')
        if lines >= at_least:
          break
      time.sleep(0.005)
    process.send_signal(number)
    _, error = process.communicate()
    killed_at = (folder / 'log.jsonl').read_text().count('\n')
    assert reached < killed_at < 120, 'the kill came too late to test anything'
    reached = killed_at
    if number == signal.SIGTERM:
      assert process.returncode == preemption.STATUS == 143, error
      assert error.splitlines()[-1] == (
        f'Stopped by SIGTERM after step {reached} of 120, which is saved in '
        f'{folder}; start the same command again to go on.'
      )
      with checkpoints.checkpoint_manager(folder, keep=None) as manager:
        assert manager.latest_step() == reached
  subprocess.run(
    [*command, '5'], env=environment, check=True, capture_output=True
  )
  assert losses(folder) == losses(whole)
  trees = [checkpoints.load_model(each)[1] for each in (whole, folder)]
  jax.tree.map(np.testing.assert_array_equal, *trees)


MANY = """
import sys, optax, test_train
corpus, docids, folder = sys.argv[1:]
test_train.train(corpus, docids, folder, name='killed', **test_train.LONG)
"""
LONG = {
  'train_steps': 4000,
  'log_period': 1,
  'checkpoint_period': 7,
  'eval_period': 50,
  'eval_queries': 8,
  'config': {'dropout_rate': 0.1},
}


@pytest.mark.slow
def test_killed_twenty_times_at_random(corpus, docids, tmp_path):
  """In steps, saves and evaluations; prints where each kill came."""
  whole = train(
    corpus, docids('atomic'), tmp_path / 'whole', name='killed', **LONG
  )
  folder = tmp_path / 'run'
  words = [str(corpus), str(docids('atomic')), str(folder)]
  command = [sys.executable, '-c', MANY, *words]
  environment = os.environ | {'PYTHONPATH': os.path.dirname(__file__)}
  rng = random.Random(0)
  log = folder / 'log.jsonl'

  def reached():
    lines = log.read_text().split('\n')[:-1] if log.exists() else []
    return json.loads(lines[-1])['step'] if lines else 0

  kills = []
  for _ in range(20):
    before = kills[-1][0] if kills else 0
    process = subprocess.Popen(
      command, env=environment, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and reached() <= before:
      time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.8))
    assert process.poll() is None, 'it ended before it was killed'
    process.kill()
    process.wait()
    names = [path.name for path in (folder / 'checkpoints').iterdir()]
    unfinished = [name for name in names if not name.isdigit()]
    kills.append((reached(), len(unfinished)))
  print('step and unfinished checkpoints at each kill:', kills)
  assert sorted({step for step, _ in kills}) == [step for step, _ in kills]
  subprocess.run(command, env=environment, check=True, capture_output=True)
  assert losses(folder) == losses(whole)
  assert [line for line in read_log(folder) if 'dev/Success@10' in line] == [
    {**line, 'seconds': pytest.approx(line['seconds'], abs=1e9)}
    for line in read_log(whole)
    if 'dev/Success@10' in line
  ]
  trees = [checkpoints.load_model(each)[1] for each in (whole, folder)]
  jax.tree.map(np.testing.assert_array_equal, *trees)


def test_what_a_stop_leaves_out_is_made_up_for(corpus, docids, tmp_path):
  """The losses since the last line, and the evaluation of the step."""
  earlier = signal.getsignal(signal.SIGTERM)
  settings = {
    'train_steps': 2,
    'log_period': 4,
    'eval_period': 1,
    'eval_queries': 3,
  }
  draw = optax.adam(3e-3)

  def ended(updates, state, params=None):  # SIGTERM as step 1 is compiled
    os.kill(os.getpid(), signal.SIGTERM)
    return draw.update(updates, state, params)

  folder = tmp_path / 'run'
  with pytest.raises(SystemExit) as exit_:
    train(
      corpus,
      docids('atomic'),
      folder,
      optimizer=optax.GradientTransformation(draw.init, ended),
      **settings,
    )
  assert exit_.value.code == preemption.STATUS
  assert signal.getsignal(signal.SIGTERM) is earlier
  assert [line['step'] for line in read_log(folder)] == [0, 1]
  assert 1 in losses(folder)
  train(corpus, docids('atomic'), folder, **settings)
  lines = read_log(folder)
  assert [line['step'] for line in lines] == [0, 1, 1, 2, 2]
  assert 'dev/Success@10' in lines[2]


@pytest.mark.parametrize('period', [1, 5])
def test_an_evaluation_is_broken_off(
  corpus, docids, tmp_path, monkeypatch, period
):
  """Its step is saved, then if not before, and measured once the run goes on."""
  settings = {
    'train_steps': 3,
    'eval_period': 2,
    'eval_queries': 3,
    'checkpoint_period': period,
    'log_period': 3,
  }
  folder, steps = tmp_path / 'run', []

  def ended(searcher, queries, qrels):  # SIGTERM as step 2 is measured
    steps.append(len(steps))
    if steps[-1]:
      signal.raise_signal(signal.SIGTERM)
      pytest.fail('it went on')
    return evaluate_searcher(searcher, queries, qrels)

  with monkeypatch.context() as patch:
    patch.setattr(train_lib, 'evaluate_searcher', ended)
    with pytest.raises(SystemExit) as exit_:
      train(corpus, docids('atomic'), folder, **settings)
  assert exit_.value.code == preemption.STATUS
  with checkpoints.checkpoint_manager(folder, keep=None) as manager:
    assert manager.all_steps() == [0, 2]
  assert [line['step'] for line in read_log(folder)] == [0, 2]
  train(corpus, docids('atomic'), folder, **settings)
  lines = read_log(folder)
  assert [line['step'] for line in lines] == [0, 2, 2, 3, 3]
  assert 'dev/Success@10' in lines[2]
  assert list(losses(folder)) == [2, 3]


def test_what_has_changed_is_told_where_a_run_goes_on(
  corpus, docids, tmp_path, capsys
):
  folder = tmp_path / 'run'
  for steps in (1, 2, 2):
    train(
      corpus,
      docids('atomic'),
      folder,
      train_steps=steps,
      texts={'config.gin': f'TRAIN_STEPS = {steps}\n'},
    )
  told = f'{folder} goes on from step %s, with its parameters.'
  assert capsys.readouterr().err.splitlines() == [
    told % 1,
    'config.gin differs from that until step 1, config.until-1.gin:',
    '- TRAIN_STEPS = 1',
    '+ TRAIN_STEPS = 2',
    told % 2,
  ]


def test_the_best_is_kept_and_told(corpus, docids, tmp_path):
  """A rate far too high spoils what follows, before and after a new start."""
  folder = tmp_path / 'run'
  settings = {
    'optimizer': optax.adam(lambda count: jnp.where(count < 10, 3e-3, 1.0)),
    'log_period': 20,
    'eval_period': 10,
    'keep_best': 1,
  }
  for train_steps in (20, 30):
    train(
      corpus,
      docids('atomic'),
      folder,
      train_steps=train_steps,
      **settings,
    )
  lines = [line for line in read_log(folder) if 'dev/best_step' in line]
  scores = {line['step']: line['dev/Success@10'] for line in lines}
  assert list(scores) == [0, 10, 20, 30]
  best = max(scores, key=scores.get)  # the first of equals
  assert best == 10, 'others are kept anyway, or were measured anew'
  assert lines[-1]['dev/best_step'] == best
  with checkpoints.checkpoint_manager(folder, keep=None) as manager:
    assert set(manager.all_steps()) == {0, best, 30}
  queries, qrels = split_queries(load_collection(corpus), 'dev')
  found = evaluate_searcher(Searcher.load(folder, step=best), queries, qrels)
  assert found.evaluation.mean['Success@10'] == scores[best]
  with pytest.raises(ValueError, match=r'on 24 queries of dev, .* got 5; the'):
    train(
      corpus,
      docids('atomic'),
      folder,
      train_steps=40,
      eval_queries=5,
      **settings,
    )
  for keep_best, message in (
    (1, 'eval_period above 0 with keep_best=1, got 0; the'),
    (-1, 'keep_best to be a whole number of at least 0, got -1'),
  ):
    with pytest.raises(ValueError, match=message):
      train(corpus, docids('atomic'), folder, keep_best=keep_best)


def test_stops_on_a_loss_that_is_not_finite(corpus, docids, tmp_path):
  with pytest.raises(
    FloatingPointError, match=r'finite loss, got nan at step 2'
  ):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'run',
      optimizer=optax.sgd(float('nan')),
    )


def test_starts_from_another_run(corpus, docids, tmp_path):
  first = train(corpus, docids('atomic'), tmp_path / 'a')
  second = train(
    corpus,
    docids('atomic'),
    tmp_path / 'b',
    train_steps=1,
    optimizer=optax.sgd(0.0),
    initial_checkpoint_path=first,
  )
  trees = [checkpoints.load_model(folder)[1] for folder in (first, second)]
  jax.tree.map(np.testing.assert_array_equal, *trees)
  with pytest.raises(ValueError, match='Expected parameters of the shapes'):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'c',
      config={'mlp_dim': 32},
      initial_checkpoint_path=first,
    )


def test_what_does_not_fit_is_refused(corpus, docids, tmp_path):
  with pytest.raises(ValueError, match=r"\['targets'\] of at least 2, got 1"):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'a',
      task_feature_lengths={'inputs': 12, 'targets': 1},
    )
  with pytest.raises(ValueError, match='set it to 128'):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'a',
      module=Transformer(tiny.config(999)),
    )
  for name in ('decoding', 'keys', 'scoring'):
    with pytest.raises(ValueError, match=r'got wide; correct the settings'):
      train(corpus, docids('atomic'), tmp_path / 'a', **{name: {'wide': 1}})
  assert not (tmp_path / 'a').exists()  # refused before anything is written
  train(corpus, docids('atomic'), tmp_path / 'b', train_steps=1)
  with pytest.raises(ValueError, match='train into another folder'):
    train(corpus, docids('naive'), tmp_path / 'b', train_steps=1)


def test_a_folder_is_one_run(corpus, docids, tmp_path):
  folder = train(corpus, docids('atomic'), tmp_path / 'run')
  kept = (folder / 'model.json').read_text()
  for changes, message in (
    (
      {'seed': 1},
      r'Expected seed=0, as .* was trained with, got 1; train into',
    ),
    ({'config': {'mlp_dim': 32}}, r'Expected model=\{.*train into another'),
    ({'train_steps': 3}, r'train_steps of at least 4, .* got 3; train into'),
  ):
    with pytest.raises(ValueError, match=message):
      train(corpus, docids('atomic'), folder, **changes)
  assert (folder / 'model.json').read_text() == kept
  assert Searcher.load(folder).search('bada', k=1)


def test_what_is_not_finite_is_not_kept(corpus, docids, tmp_path):
  """A checkpoint between two lines of the log is checked too."""
  with pytest.raises(FloatingPointError, match='at step 2;'):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'run',
      optimizer=optax.sgd(float('nan')),
      checkpoint_period=2,
    )
  with checkpoints.checkpoint_manager(tmp_path / 'run') as manager:
    assert manager.all_steps() == [0]


@pytest.mark.parametrize(
  ('spoilt', 'message'),
  [
    (
      'parameters',
      r'finite parameters, got others in decoder/.* after step 1;',
    ),
    ('moments', r'finite moments, got others in 0 after step 1; lower the'),
  ],
)
def test_what_a_finite_loss_has_spoilt_is_not_kept(
  spoilt, message, corpus, docids, tmp_path
):
  """Its checkpoint would end every later start at the next step."""

  def update(updates, state, params=None):
    nan = jnp.float32(jnp.nan)
    if spoilt == 'moments':
      return updates, (nan, state[1])
    return jax.tree.map(lambda x: x * nan, updates), state

  with pytest.raises(FloatingPointError, match=message):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'run',
      optimizer=optax.GradientTransformation(
        lambda params: (jnp.float32(0), jnp.int32(0)), update
      ),
      checkpoint_period=1,
    )
  with checkpoints.checkpoint_manager(tmp_path / 'run') as manager:
    assert manager.all_steps() == [0]


def test_one_process_trains_in_a_folder(corpus, docids, tmp_path):
  """Another would replace its log and take its checkpoints away."""
  folder = train(corpus, docids('atomic'), tmp_path / 'run', train_steps=1)
  files = {
    name: (folder / name).read_bytes()
    for name in ('log.jsonl', 'searcher.json')
  }
  with (
    process_locks.only_process(folder),
    pytest.raises(
      ValueError, match=r'run alone, another process is at it; wait'
    ),
  ):
    train(corpus, docids('atomic'), folder, num_beams=3)
  for name, content in files.items():
    assert (folder / name).read_bytes() == content
  train(corpus, docids('atomic'), folder, num_beams=3)
  assert (folder / 'searcher.json').read_bytes() != files['searcher.json']


def test_restarted_before_a_checkpoint_the_log_starts_anew(
  corpus, docids, tmp_path
):
  settings = {'eval_period': 5, 'eval_queries': 3, 'log_period': 1}
  folder = train(
    corpus, docids('atomic'), tmp_path / 'run', train_steps=0, **settings
  )
  train(corpus, docids('atomic'), folder, **settings)
  lines = read_log(folder)
  assert [line['step'] for line in lines] == [0, 1, 2, 3, 4, 4]
  seconds = [line['seconds'] for line in lines]
  assert seconds == sorted(seconds)


def test_a_split_that_is_missing_is_told_before_anything(
  corpus, docids, tmp_path
):
  with pytest.raises(ValueError, match=r"splits dev, test, train .* got 'x'"):
    train(
      corpus,
      docids('atomic'),
      tmp_path / 'run',
      eval_period=1,
      eval_split='x',
    )
  assert not (tmp_path / 'run').exists()


def test_batch_is_split_over_devices(corpus, docids, tmp_path):
  """Two devices, each in two parts, give the losses of one."""
  script = COMMAND.replace('120', '3').replace("'dropout_rate': 0.1", '')
  found = []
  for devices in (1, 2):
    folder = tmp_path / str(devices)
    subprocess.run(
      [
        sys.executable,
        '-c',
        script.replace('log_period=1', f'log_period=1, microbatches={devices}'),
        str(corpus),
        str(docids('atomic')),
        str(folder),
        '5',
      ],
      env=os.environ
      | {
        'PYTHONPATH': os.path.dirname(__file__),
        'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
      },
      check=True,
      capture_output=True,
    )
    found.append(list(losses(folder).values()))
  np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_a_mixture_with_an_empty_task_says_so(tmp_path):
  # Six words and no title: there are no two spans of ten words.
  tiny.write_collection(tmp_path / 'corpus')
  index = ngram_index.build(
    load_collection(tmp_path / 'corpus'),
    tmp_path / 'index',
    vocabulary_size=100,
  )
  name = ngrams.mixture(
    name='empty_task', corpus=tmp_path / 'corpus', index=tmp_path / 'index'
  )
  with pytest.raises(ValueError, match='no more from empty_task: one of its'):
    train_lib.train(
      module=Transformer(tiny.config(index.vocab_size)),
      mixture_or_task_name=name,
      task_feature_lengths=LENGTHS,
      train_steps=1,
      batch_size=4,
      model_dir=tmp_path / 'run',
      corpus=tmp_path / 'corpus',
      docids=tmp_path / 'index',
      eval_period=0,
      progress=False,
    )


def test_a_task_without_training_queries_is_refused(corpus, docids, tmp_path):
  """seqio would leave it out, and the model would see no query."""
  folder = docids('atomic')
  without = tmp_path / 'corpus'
  shutil.copytree(corpus, without)
  (without / 'qrels' / 'train.tsv').unlink()
  with pytest.raises(
    ValueError, match=r"split 'train' of none_retrieval, found dev.*a rate of 0"
  ):
    train(without, folder, tmp_path / 'run', name='none')
  train(without, folder, tmp_path / 'run2', name='some', rates={'chunks': 1})


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'batch_size': 0}, 'Expected a batch size that 1 devices divide.*got 0'),
    ({'seed': -1}, 'Expected a seed from 0 to 4294967295, got -1'),
    ({'profile_steps': 3}, 'step to profile, from 1 to 4, got 3'),
  ],
)
def test_numbers_that_cannot_be_are_refused(
  corpus, docids, tmp_path, change, message
):
  with pytest.raises(ValueError, match=message):
    train(corpus, docids('atomic'), tmp_path / 'run', **change)
  assert not (tmp_path / 'run').exists()


def test_a_run_copied_in_part_is_told(corpus, docids, tmp_path):
  folder = train(corpus, docids('atomic'), tmp_path / 'run', name='copied')
  Searcher.load(folder)
  for step in (folder / 'checkpoints').iterdir():
    if step.name != '0':
      shutil.rmtree(step)
  with pytest.warns(UserWarning, match='the untrained model, though its log'):
    Searcher.load(folder)
  Searcher.load(folder, step=0)  # as asked for
