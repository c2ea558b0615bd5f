# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The picture of a run shows the figures of its files."""

import json

import matplotlib.figure
import matplotlib.image
import pytest

from genret import plots

REPORT = {
  'systems': {
    'genret': {'Success@1': 0.5, 'Success@10': 0.75},
    'bm25, tuned': {'Success@1': 0.25},
  },
  'queries': 1579,
  'documents': 1581,
  'split': 'test',
}
LOG = [
  {'step': 10, 'loss': 2.0},
  {'step': 20, 'loss': 1.0, 'dev/Success@1': 0.1, 'dev/RR@10': 0.2},
  {'step': 40, 'dev/Success@1': 0.4, 'dev/Success@10': 0.6},
]


@pytest.fixture
def run(tmp_path):
  def write(report=REPORT, log=LOG):
    (tmp_path / 'report.json').write_text(json.dumps(report))
    lines = [json.dumps(line) + '\n' for line in log]
    (tmp_path / 'log.jsonl').write_text(''.join(lines))
    return tmp_path

  return write


@pytest.fixture
def figures(monkeypatch):
  """The figures that are made, to be looked at."""
  made, figure = [], matplotlib.figure.Figure

  def make(*args, **kwargs):
    made.append(figure(*args, **kwargs))
    return made[-1]

  monkeypatch.setattr(matplotlib.figure, 'Figure', make)
  return made


def test_the_picture_is_a_png_beside_the_report(run, tmp_path):
  folder = run()
  assert plots.plot_run(folder) == folder / 'report.png'
  pixels = matplotlib.image.imread(folder / 'report.png')
  assert pixels.shape == (480, 1200, 4)
  assert {path.name for path in folder.iterdir()} == {
    'log.jsonl',
    'report.json',
    'report.png',
  }
  other = tmp_path / 'here.image'
  assert plots.plot_run(str(folder), str(other)) == other
  assert matplotlib.image.imread(other, 'png').shape == pixels.shape


def test_it_shows_the_figures_of_the_files(run, figures):
  plots.plot_run(run())
  learning, comparison = figures[0].axes
  curves = {
    line.get_label(): list(zip(*line.get_data(), strict=True))
    for line in learning.get_lines()
  }
  assert curves == {
    'dev/Success@1': [(20, 0.1), (40, 0.4)],
    'dev/Success@10': [(40, 0.6)],
  }
  bars = {
    bars.get_label(): [bar.get_height() for bar in bars]
    for bars in comparison.containers
    if hasattr(bars, 'patches')
  }
  # A measure that a system lacks is drawn as 0.
  assert bars == {'Success@1': [0.5, 0.25], 'Success@10': [0.75, 0.0]}
  assert [label.get_text() for label in comparison.get_xticklabels()] == [
    'genret',
    'bm25,\ntuned',
  ]
  assert comparison.get_title() == '1,579 test queries, 1,581 documents'


def test_bars_of_a_system_stand_around_its_name(run, figures):
  plots.plot_run(run())
  comparison = figures[0].axes[1]
  middles = [
    [bar.get_x() + bar.get_width() / 2 for bar in bars]
    for bars in comparison.containers
  ]
  for place, *around in zip(comparison.get_xticks(), *middles, strict=True):
    assert sum(around) / len(around) == pytest.approx(place)


@pytest.mark.parametrize('log', [[], LOG[:1]])
def test_a_run_without_evaluations(run, figures, log):
  assert plots.plot_run(run(log=log)).is_file()
  assert not figures[0].axes[0].get_lines()


def test_a_run_without_report(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'report\.json'):
    plots.plot_run(tmp_path)
  assert not list(tmp_path.iterdir())
