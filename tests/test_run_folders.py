# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Run folders: one run each, a log that a kill does not break."""

import functools

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


def test_texts_are_left_and_changes_told(tmp_path):
  leave = functools.partial(run_folders.leave_texts, step=7)
  assert leave(tmp_path, {}) == []
  assert leave(tmp_path, {'config.gin': 'A = 1\nB = 2\n'}) == []
  assert leave(tmp_path, {'config.gin': 'A = 1\nB = 2\n'}) == []
  assert leave(tmp_path, {'config.gin': 'A = 3\n\nB = 2\n'}) == [
    'config.gin differs from that until step 7, config.until-7.gin:',
    '- A = 1',
    '+ A = 3',
  ]
  assert (tmp_path / 'config.until-7.gin').read_text() == 'A = 1\nB = 2\n'
  assert (tmp_path / 'config.gin').read_text() == 'A = 3\n\nB = 2\n'


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
