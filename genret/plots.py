# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genret.text_files import PathLike


def plot_run(run_folder: PathLike, path: PathLike | None = None) -> Path:
  """Draws how a run learned and how it compares.

  Left: the evaluations of log.jsonl against training steps. Right: Success@1
  and Success@10 of every system of report.json.

  Args:
    run_folder: with log.jsonl and report.json.
    path: the PNG to write; report.png in the folder where None.

  Returns:
    The path of the picture.

  Raises:
    FileNotFoundError: if the run has no report.
    ImportError: without matplotlib.
  """
  import matplotlib.figure

  folder = Path(run_folder)
  path = Path(path) if path is not None else folder / 'report.png'
  report = json.loads((folder / 'report.json').read_text(encoding='utf-8'))
  log_file = folder / 'log.jsonl'
  lines = log_file.read_text(encoding='utf-8').splitlines()
  log = [json.loads(line) for line in lines]
  figure = matplotlib.figure.Figure(figsize=(10, 4), layout='constrained')
  learning, comparison = figure.subplots(1, 2)
  _draw_learning(learning, log)
  _draw_comparison(comparison, report)
  temporary = path.with_name(f'.{os.getpid()}.{path.name}')
  figure.savefig(temporary, dpi=120, format='png')
  os.replace(temporary, path)
  return path


def _draw_learning(axes: Any, log: list[Mapping[str, float]]) -> None:
  curves: dict[str, list[tuple[float, float]]] = {}
  for line in log:
    for name, value in line.items():
      if name.endswith(('/Success@1', '/Success@10')):
        curves.setdefault(name, []).append((line['step'], value))
  for name, points in curves.items():
    axes.plot(*zip(*points, strict=True), marker='o', markersize=3, label=name)
  axes.set(
    xlabel='training step', xlim=(0, None), ylim=(0, 1), title='while training'
  )
  axes.grid(alpha=0.3)
  if curves:
    axes.legend(loc='lower right')


def _draw_comparison(axes: Any, report: Mapping[str, Any]) -> None:
  systems = report['systems']
  measures = ('Success@1', 'Success@10')
  width = 0.8 / len(measures)
  for i, measure in enumerate(measures):
    places = [place + i * width for place in range(len(systems))]
    values = [system.get(measure, 0.0) for system in systems.values()]
    bars = axes.bar(places, values, width, label=measure)
    axes.bar_label(bars, fmt='%.3f', fontsize=8)
  middles = [p + width * (len(measures) - 1) / 2 for p in range(len(systems))]
  axes.set_xticks(middles, [name.replace(', ', ',\n') for name in systems])
  axes.set(
    ylim=(0, 1),
    title=f'{report["queries"]:,} {report["split"]} queries, '
    f'{report["documents"]:,} documents',
  )
  axes.legend(loc='upper right', ncols=2, bbox_to_anchor=(1, -0.15))
