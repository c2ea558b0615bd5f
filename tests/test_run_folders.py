# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Run folders: one run each, a log that a kill does not break."""

import json

import numpy as np
import pytest

from genret import run_folders
from genret.docids.table import DocidTable


def table(*names, vocabulary_hash='v'):
  return DocidTable(
    names,
    np.arange(2, 2 + len(names), dtype=np.int32)[:, None],
    np.ones(len(names), np.int32),
    vocab_size=16,
    meta={'vocabulary_hash': vocabulary_hash},
  )


def test_a_folder_is_claimed_once(tmp_path):
  run_folders.claim(tmp_path, {'seed': 0, 'lengths': (1, 2)})
  run_folders.claim(tmp_path, {'seed': 0, 'lengths': [1, 2]})
  with pytest.raises(ValueError, match=r'Expected seed=0, as .*, got 1; train'):
    run_folders.claim(tmp_path, {'seed': 1, 'lengths': [1, 2]})
  with pytest.raises(ValueError, match=r'Expected seed=0, as .*, got None'):
    run_folders.claim(tmp_path, {'lengths': [1, 2]})


def test_log_drops_what_is_run_again(tmp_path):
  path = tmp_path / 'log.jsonl'
  lines = [json.dumps({'step': s, 'seconds': s / 2}) + '\n' for s in range(5)]
  path.write_text(''.join(lines) + '{"step": 5, "sec')  # killed while writing
  log, kept = run_folders.open_log(path, 3)
  with log:
    log.write('new\n')
  assert kept == [json.loads(line) for line in lines[:4]]
  assert path.read_text() == ''.join(lines[:4]) + 'new\n'


def test_log_of_a_run_without_a_checkpoint_starts_anew(tmp_path):
  path = tmp_path / 'log.jsonl'
  path.write_text('{"step": 0, "seconds": 1.0}\n')
  log, kept = run_folders.open_log(path, 0)
  log.close()
  assert (kept, path.read_text()) == ([], '')


def test_scores_of_a_log_are_of_one_split_and_the_same_queries():
  lines = [
    {'step': 0, 'dev/Success@10': 0.25},  # does not tell of how many
    {'step': 5, 'loss': 1.0},
    {'step': 5, 'dev/Success@10': 0.5, 'dev/queries': 8},
    {'step': 6, 'test/Success@10': 1.0, 'test/queries': 9},
  ]
  scores = {0: 0.25, 5: 0.5}
  for queries in (8, None):
    found = run_folders.logged_scores(lines, 'dev', queries=queries)
    assert found == scores
  with pytest.raises(ValueError, match=r'on 8 queries of dev, .* got 7; the'):
    run_folders.logged_scores(lines, 'dev', queries=7)


def test_identifiers_are_copied_once(tmp_path):
  source, target = tmp_path / 'docids', tmp_path / 'run' / 'docids'
  table('a', 'b').save(source)
  (source / 'tfds').mkdir()
  target.parent.mkdir()
  run_folders.copy_docids(source, target)
  assert DocidTable.load(target).hash == table('a', 'b').hash
  assert not (target / 'tfds').exists()
  run_folders.copy_docids(source, target)  # the same again is fine
  run_folders.copy_docids(target, target)
  for other in (table('a', 'c'), table('a', 'b', vocabulary_hash='w')):
    other.save(source)
    with pytest.raises(ValueError, match='train into another folder'):
      run_folders.copy_docids(source, target)


def test_a_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
  source, target = tmp_path / 'docids', tmp_path / 'run' / 'docids'
  table('a', 'b').save(source)
  target.parent.mkdir()

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(run_folders, '_link', full)
  with pytest.raises(OSError, match='No space left'):
    run_folders.copy_docids(source, target)
  assert not list(target.parent.iterdir())


def test_the_last_step_of_a_log(tmp_path):
  assert run_folders.last_logged_step(tmp_path) == 0
  log = tmp_path / 'log.jsonl'
  for text, step in (
    ('', 0),
    ('{"step": 50}\n', 50),
    ('{"step": 50}\n{"step": 100', 50),  # still being written
    ('{"step": 50}\n{"step": 100}\n', 100),
  ):
    log.write_text(text)
    assert run_folders.last_logged_step(tmp_path) == step
