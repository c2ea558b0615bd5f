# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Events for TensorBoard, read back by its own reader."""

import sys

import pytest
from tensorboard.backend.event_processing import event_accumulator

from genret.event_files import EventFile


def test_scalars_are_those_that_tensorboard_reads(tmp_path):
  for steps in ((0, 50), (100,)):  # a run that is gone on with
    events = EventFile(tmp_path / 'run')
    for step in steps:
      events.write(step, {'loss': step / 4, 'dev/Success@10': 0.5})
    events.close()
  found = event_accumulator.EventAccumulator(str(tmp_path / 'run')).Reload()
  assert found.Tags()['scalars'] == ['loss', 'dev/Success@10']
  assert [(e.step, e.value) for e in found.Scalars('loss')] == [
    *((0, 0.0), (50, 12.5), (100, 25.0))
  ]


def test_its_absence_is_told(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'tensorboard.compat.proto', None)
  events = EventFile(tmp_path / 'run')
  events.write(1, {'loss': 1.0})
  events.close()
  assert 'TensorBoard are written: the package' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['tensorflow', 'clu'])
def test_neither_is_needed(tmp_path, monkeypatch, name):
  monkeypatch.setitem(sys.modules, name, None)
  EventFile(tmp_path).close()
  assert any(tmp_path.iterdir())
