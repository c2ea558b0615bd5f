# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Run folders: what was saved is restored, and nothing incomplete is."""

import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.models import checkpoints
from genret.models.t5 import T5Config, Transformer

CONFIG = T5Config(
  vocab_size=16,
  emb_dim=8,
  num_heads=1,
  head_dim=8,
  num_encoder_layers=1,
  num_decoder_layers=1,
  mlp_dim=8,
  mlp_activations=('relu',),
  dropout_rate=0.25,
  dtype=jnp.bfloat16,
)


def parameters(seed):
  tokens = np.ones((1, 1), np.int32)
  shapes = jax.eval_shape(
    lambda key: Transformer(CONFIG).init(
      key, tokens, tokens, tokens, enable_dropout=False
    ),
    jax.random.key(0),
  )['params']
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes
  )


def assert_equal(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for a, b in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run of steps 0, 5, 7 and 9 that kept the newest two."""
  folder = tmp_path_factory.mktemp('run')
  checkpoints.save_config(folder, CONFIG)
  with checkpoints.checkpoint_manager(folder, keep=2) as manager:
    for step in (0, 5, 7, 9):
      optimizer = {'count': jnp.int32(step), 'moments': parameters(-step % 50)}
      checkpoints.save_step(manager, step, parameters(step), optimizer)
  return folder


@pytest.fixture
def copy(run, tmp_path):
  return pathlib.Path(shutil.copytree(run, tmp_path / 'copy'))


def test_the_untrained_and_the_newest_models_are_kept(run):
  with checkpoints.checkpoint_manager(run, keep=2) as manager:
    assert sorted(manager.all_steps()) == [0, 7, 9]
    assert manager.latest_step() == 9
  names = {path.name for path in (run / checkpoints.CHECKPOINTS).iterdir()}
  assert names == {'0', '7', '9'}


def beaten_by(step, saved, scores):
  """How many of the saved steps go before this one; more than all of unknown."""
  if step not in scores:
    return 99
  return sum(
    scores[other] > scores[step]
    or (scores[other] == scores[step] and other < step)
    for other in saved & scores.keys()
  )


@pytest.mark.parametrize(('keep', 'keep_best'), [(1, 1), (2, 2), (1, 0)])
def test_the_best_are_kept_across_managers(keep, keep_best, tmp_path):
  """Scores with ties come after the save; a manager lasts for some steps."""
  rng = np.random.default_rng(keep_best)
  scores, saved = {}, {0}
  for part in ([0, 1, 2, 3], [4], [5, 6, 7], [8, 9]):
    with checkpoints.checkpoint_manager(
      tmp_path, keep=keep, keep_best=keep_best, scores=scores
    ) as manager:
      for step in part:
        weights = {'w': jnp.ones(1)}
        checkpoints.save_step(manager, step, weights, weights)
        newest = sorted({*saved, step})[-keep:]
        best = [s for s in saved if beaten_by(s, saved, scores) < keep_best]
        saved = {0, *newest, *best}
        manager.wait_until_finished()
        assert set(manager.all_steps()) == saved
        if step % 4:  # some are never measured
          scores[step] = float(rng.integers(3))
  found = checkpoints.best_steps(scores, 1)[0]
  assert found == min(s for s in scores if scores[s] == max(scores.values()))


def test_parameters_and_optimizer_are_restored_equal(run):
  like = {'count': jnp.int32(0), 'moments': parameters(1)}
  with checkpoints.checkpoint_manager(run, keep=2) as manager:
    for step in (0, 7, 9):
      params, optimizer = checkpoints.restore_step(
        manager, step, parameters(1), like
      )
      assert_equal(params, parameters(step))
      expected = {'count': jnp.int32(step), 'moments': parameters(-step % 50)}
      assert_equal(optimizer, expected)


def test_another_optimizer_is_refused(run):
  advice = 'go on with the optimizer that wrote it'
  for like, message in (
    (
      {'count': jnp.int32(0)},
      r'Expected no moments/.* as the optimizer has it',
    ),
    (
      {'count': jnp.zeros(2), 'moments': parameters(1)},
      rf'Expected count of shape \(2,\) .*9/optimizer has \(\); {advice}',
    ),
  ):
    with checkpoints.checkpoint_manager(run, keep=2) as manager:
      with pytest.raises(ValueError, match=message):
        checkpoints.restore_step(manager, 9, parameters(1), like)


def test_an_optimizer_loads_without_knowing_it(run):
  step, state = checkpoints.load_optimizer(run)
  assert step == 9
  assert_equal(state, {'count': jnp.int32(9), 'moments': parameters(-9 % 50)})
  step, state = checkpoints.load_optimizer(run, step=7)
  assert (step, state['count']) == (7, 7)
  with pytest.raises(
    FileNotFoundError, match=r'state in step 8 of .* found no'
  ):
    checkpoints.load_optimizer(run, step=8)


def test_restored_arrays_may_be_donated(run):
  like = {'count': jnp.int32(0), 'moments': parameters(1)}
  with checkpoints.checkpoint_manager(run, keep=2) as manager:
    params, _ = checkpoints.restore_step(manager, 9, parameters(1), like)
  doubled = jax.jit(
    lambda tree: jax.tree.map(lambda x: x + x, tree), donate_argnums=0
  )(params)
  expected = jax.tree.map(lambda x: 2 * x, parameters(9))
  assert_equal(doubled, expected)


def test_a_model_loads_without_its_optimizer(run, copy):
  for step in (7, 9):
    shutil.rmtree(copy / checkpoints.CHECKPOINTS / str(step) / 'optimizer')
  config, params = checkpoints.load_model(copy)
  assert config == CONFIG
  assert_equal(params, parameters(9))
  _, params = checkpoints.load_model(str(run), step=0)
  assert_equal(params, parameters(0))


def test_initial_parameters_are_the_newest_and_fit(run):
  _, newest = checkpoints.load_model(run)
  assert_equal(checkpoints.load_params_like(run, parameters(3)), newest)
  wider = jax.tree.map(lambda x: np.zeros((*x.shape, 2)), newest)
  with pytest.raises(ValueError, match='Expected parameters of the shapes of'):
    checkpoints.load_params_like(run, wider)


def test_loading_writes_nothing(copy):
  def listing():
    return {
      path: path.stat().st_mtime_ns
      for path in copy.rglob('*')
      if path.is_file()
    }

  before = listing()
  checkpoints.load_model(copy)
  assert listing() == before


def test_missing_folders_and_steps(run, tmp_path):
  with pytest.raises(
    FileNotFoundError,
    match=r'sizes of a model in .*gone/model\.json, found no such file; give a ',
  ):
    checkpoints.load_model(tmp_path / 'gone')
  checkpoints.save_config(tmp_path, CONFIG)
  with pytest.raises(FileNotFoundError, match='found none; train first'):
    checkpoints.load_model(tmp_path)
  assert not (tmp_path / checkpoints.CHECKPOINTS).exists()
  (tmp_path / checkpoints.CHECKPOINTS).mkdir()
  with pytest.raises(FileNotFoundError, match='found steps none; choose one'):
    checkpoints.load_model(tmp_path)
  with pytest.raises(
    FileNotFoundError, match=r'step 5 in .*, found steps \[0, 7, 9\]; choose'
  ):
    checkpoints.load_model(run, step=5)


def test_sizes_reload_equal(tmp_path):
  checkpoints.save_config(tmp_path, CONFIG.replace(embedding_init=len))
  assert checkpoints.load_config(tmp_path) == CONFIG
  fields = json.loads((tmp_path / checkpoints.CONFIG_FILE).read_text())
  assert fields['dtype'] == 'bfloat16'
  assert fields['mlp_activations'] == ['relu']
  assert not {'embedding_init', 'logits_init'} & set(fields)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', r'JSON object in .*model\.json, found something else; write'),
    ('{"vocab_size": 1', 'Expected a JSON object'),
    ('3', 'Expected a JSON object'),
    ('["vocab_size"]', 'Expected a JSON object'),
    ('{}', r'T5Config in .*, got no vocab_size; was it written by a newer'),
    ('{"vocab_size": 9, "b": 1, "a": 1}', r"got \['a', 'b'\]; was it"),
  ],
)
def test_foreign_sizes(tmp_path, text, message):
  (tmp_path / checkpoints.CONFIG_FILE).write_text(text)
  with pytest.raises(ValueError, match=message):
    checkpoints.load_config(tmp_path)


def test_sizes_that_are_absent_are_the_usual_ones(tmp_path):
  (tmp_path / checkpoints.CONFIG_FILE).write_text('{"vocab_size": 9}')
  assert checkpoints.load_config(tmp_path) == T5Config(vocab_size=9)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      {'emb_dim': 16},
      r'decoder_norm/scale of shape \(16,\) as .*9/params has \(8,\); restore',
    ),
    ({'vocab_size': 32}, r'logits_dense/kernel of shape \(8, 32\)'),
    ({'num_decoder_layers': 2}, r'layers_1/.* of shape .* has none;'),
    ({'num_encoder_layers': 0}, r'Expected no encoder/layers_0/.* as in model'),
  ],
)
def test_parameters_of_another_model_are_refused(copy, change, message):
  checkpoints.save_config(copy, CONFIG.replace(**change))
  with pytest.raises(ValueError, match=message):
    checkpoints.load_model(copy)


# orbax leaves futures of what it was reading behind.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_damaged_checkpoint_is_told_in_a_sentence(copy):
  assert checkpoints.newest_step(copy) == 9
  shutil.rmtree(copy / checkpoints.CHECKPOINTS / '9' / 'params' / 'd')
  with pytest.raises(
    ValueError, match=r'whole checkpoint in .*/9, .*copy it again'
  ):
    checkpoints.load_model(copy)
  shutil.rmtree(copy / checkpoints.CHECKPOINTS / '9')
  assert checkpoints.newest_step(copy) == 7
  (copy / checkpoints.CHECKPOINTS / '8.orbax-checkpoint-tmp').mkdir()
  assert checkpoints.newest_step(copy) == 7


KILLED = """
import os, signal, sys
import jax.numpy as jnp
from genret.models import checkpoints

def die(*_, **__):  # instead of giving the step its name
  os.kill(os.getpid(), signal.SIGKILL)

with checkpoints.checkpoint_manager(sys.argv[1]) as manager:
  os.rename = os.replace = die
  checkpoints.save_step(manager, 10, {'w': jnp.ones(3)}, {'w': jnp.ones(3)})
print('finished')
"""


def test_a_save_that_is_killed_leaves_nothing_that_loads(copy):
  done = subprocess.run(
    [sys.executable, '-c', KILLED, copy],
    capture_output=True,
    text=True,
  )
  assert done.returncode == -signal.SIGKILL, done.stderr
  assert 'finished' not in done.stdout
  names = {path.name for path in (copy / checkpoints.CHECKPOINTS).iterdir()}
  assert {'7', '9'} < names  # something was begun
  assert '10' not in names
  config, params = checkpoints.load_model(copy)
  assert config == CONFIG
  assert_equal(params, parameters(9))
  # The next run clears it away and goes on.
  with checkpoints.checkpoint_manager(copy) as manager:
    assert manager.latest_step() == 9
    checkpoints.save_step(manager, 10, parameters(10), {'count': jnp.int32(1)})
  assert_equal(checkpoints.load_model(copy)[1], parameters(10))


def test_fields_of_a_config_are_json():
  config = T5Config(vocab_size=8, near_identity=True)
  fields = checkpoints.config_fields(config)
  assert json.loads(json.dumps(fields)) == fields
  assert (fields['vocab_size'], fields['near_identity']) == (8, True)
  assert not any(name.endswith('_init') for name in fields)


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'log.jsonl'),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    # As tensorstore has it, whom orbax leaves the writing to.
    ValueError(
      'RESOURCE_EXHAUSTED: Failed to write 9 bytes to file 17: No space '
      "left on device [os_error_code='28']"
    ),
  ],
)
def test_a_full_disk_is_told_in_a_sentence(tmp_path, error):
  message = (
    f'Expected room for what is written in {tmp_path}, .*; make some, and'
  )
  with (
    pytest.raises(OSError, match=message) as told,
    checkpoints.checkpoint_manager(tmp_path),
  ):
    raise error
  assert told.value.__cause__ is error
  for other in (OSError(errno.EACCES, 'x'), ValueError('y')):
    with (
      pytest.raises(type(other), match=r'^.*[xy]$'),
      checkpoints.checkpoint_manager(tmp_path),
    ):
      raise other


def test_what_orbax_raises_is_worded():
  message = 'whole checkpoint in here, it cannot be read (a b...); copy'
  with (
    pytest.raises(ValueError, match=re.escape(message)),
    checkpoints.whole('here'),
  ):
    raise RuntimeError('a\n b')
