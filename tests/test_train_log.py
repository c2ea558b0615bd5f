# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The log of a run: a kill breaks it not, and nothing stands in it twice."""

import json

import pytest

from genret import train_log


def read(folder):
  lines = (folder / train_log.LOG_FILE).read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_log_drops_what_is_run_again(tmp_path):
  path = tmp_path / train_log.LOG_FILE
  lines = [{'step': s, 'seconds': 100.0 * s} for s in range(5)]
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  path.write_text(text + '{"step": 5, "sec')  # killed while writing
  with train_log.opened(tmp_path, 3) as log:
    assert log.earlier == lines[:4]
    log.write(4, {'loss': 0.5})
    *earlier, last = read(tmp_path)  # at once
  assert earlier == lines[:4]
  seconds = last.pop('seconds')
  assert last == {'step': 4, 'loss': 0.5}
  assert 300 <= seconds < 400
  (events,) = (tmp_path / 'tensorboard').iterdir()
  assert b'loss' in events.read_bytes()


def test_log_of_a_run_without_a_checkpoint_starts_anew(tmp_path):
  (tmp_path / train_log.LOG_FILE).write_text('{"step": 0, "seconds": 1.0}\n')
  with train_log.opened(tmp_path, 0) as log:
    assert (log.earlier, read(tmp_path)) == ([], [])


def test_scores_of_a_log_are_of_one_split_and_the_same_queries(tmp_path):
  lines = [
    {'step': 0, 'dev/Success@10': 0.25},  # does not tell of how many
    {'step': 5, 'loss': 1.0},
    {'step': 5, 'dev/Success@10': 0.5, 'dev/queries': 8},
    {'step': 6, 'test/Success@10': 1.0, 'test/queries': 9},
  ]
  with train_log.opened(tmp_path, 0) as log:
    for line in lines:
      log.write(line.pop('step'), line)
  with train_log.opened(tmp_path, 9) as log:
    for queries in (8, None):
      assert log.scores('dev', queries=queries) == {0: 0.25, 5: 0.5}
    with pytest.raises(ValueError, match=r'on 8 queries of dev, .* got 7; the'):
      log.scores('dev', queries=7)


def test_the_last_step_of_a_log(tmp_path):
  assert train_log.last_logged_step(tmp_path) == 0
  log = tmp_path / train_log.LOG_FILE
  for text, step in (
    ('', 0),
    ('{"step": 50}\n', 50),
    ('{"step": 50}\n{"step": 100', 50),  # still being written
    ('{"step": 50}\n{"step": 100}\n', 100),
  ):
    log.write_text(text)
    assert train_log.last_logged_step(tmp_path) == step


def test_a_log_without_lines_counts_from_zero(tmp_path):
  with train_log.opened(tmp_path, 0) as log:
    assert isinstance(log, train_log.TrainLog)
    log.write(0, {})
  ((_, step), (_, seconds)) = read(tmp_path)[0].items()
  assert step == 0
  assert 0 <= seconds < 100
