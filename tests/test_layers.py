# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Imports point down only, and decoding needs no TensorFlow.

A module of layer n imports modules of layers below n, or of its own folder (of
the modules right in genret/, those of the same layer).
The experiment lane alone may use TensorFlow, seqio, gin and clu; nothing uses
T5X, which gin files join from outside.
"""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# The layer of each module or folder of modules; the longest name that fits a
# module counts. A new module is added here. Between 0 and 1 stands what the
# folders of layer 1 hand to each other: the table of identifiers, and vectors.
LAYER_OF = {
  'genret.array_folder': 0,
  'genret.corpus': 0,
  'genret.genre': 0,
  'genret.ir_datasets_reader': 0,
  'genret.qrels_reader': 0,
  'genret.kilt_answers': 0,
  'genret.kilt_metrics': 0,
  'genret.kilt_pages': 0,
  'genret.kilt_passages': 0,
  'genret.kilt_records': 0,
  'genret.metrics': 0,
  'genret.plots': 0,
  'genret.rehearsal': 0,
  'genret.report': 0,
  'genret.runs': 0,
  'genret.sessions': 0,
  'genret.continual_metrics': 0,
  'genret.preemption': 0,
  'genret.profiling': 0,
  'genret.jit_arguments': 0,
  'genret.process_locks': 0,
  'genret.text_files': 0,
  'genret.unseen': 0,
  'genret.vocabulary': 0,
  'genret.corpora': 0.1,
  'genret.vector_files': 0.1,
  'genret.explain': 0.1,
  'genret.explain_marks': 0.2,
  'genret.explain_page': 0.3,
  'genret.explain_style': 0.1,
  'genret.pseudo_queries': 0.1,
  'genret.run_formats': 0.1,
  'genret.run_journal': 0.1,
  'genret.views': 0.2,
  'genret.ngram_spans': 0.1,
  'genret.text_spans': 0.3,
  'genret.ngram_examples': 0.3,
  'genret.ngram_example_files': 0.4,
  'genret.ngram_example_writer': 0.5,
  'genret.corpusbrain': 0.4,
  'genret.withheld_queries': 0.1,
  'genret.kilt_survey': 0.1,
  'genret.corpusbrain_cache': 0.2,
  'genret.corpusbrain_tokens': 0.5,
  'genret.corpusbrain_writer': 2.1,
  'genret.corpusbrain_beam': 2.2,
  'genret.pseudo_inputs': 0.45,
  'genret.docids.table': 0.4,
  'genret.title_targets': 0.45,
  'genret.embeddings': 0.6,
  'genret.constraints': 1,
  'genret.docids': 1,
  'genret.losses': 1,
  'genret.models': 1,
  'genret.fairseq_optimizer': 1,
  'genret.path_optimizer': 1,
  'genret.t5x_optimizer': 1,
  'genret.objectives': 1.1,
  'genret.replay': 1.1,
  'genret.ngram_index': 1.2,
  'genret.identifiers': 1.4,
  'genret.baselines': 2,
  'genret.decoding': 2,
  'genret.features': 2,
  'genret.ngram_features': 2.1,
  'genret.ranking': 2,
  'genret.run_folders': 2,
  'genret.query_generation': 2.2,
  'genret.text_vectors': 2,
  'genret.dense_searcher': 3,
  'genret.evaluate': 3,
  'genret.ngram_searcher': 3,
  'genret.searcher': 3,
  'genret.event_files': 0,
  'genret.seqio_batches': 2.2,
  'genret.token_examples': 2.2,
  'genret.train': 3,
  'genret.train_checks': 1.5,
  'genret.t5x_training': 2.1,
  'genret.train_log': 0.1,
  'genret.train_step': 1.2,
  'genret.gin_configs': 4,
  'genret.tasks': 4,
  'genret.tools': 4,
}
TOP_LAYER = 4  # may import everything

# These stand outside the layers: the lazy names, and `python -m genret`.
ENTRANCES = {'genret', 'genret.__main__'}

EXPERIMENT_LANE = (
  'genret.corpusbrain_beam',
  'genret.corpusbrain_writer',
  'genret.features',
  'genret.ngram_features',
  'genret.seqio_batches',
  'genret.tasks',
  'genret.tools._examples_corpusbrain',
  'genret.tools._examples_tokens',
  'genret.tools._study_corpusbrain',
  'genret.tools._study_dsi',
  'genret.tools._study_seal',
  'genret.tools.bench_train',
  'genret.tools.quickstart',
  'genret.tools.train',
)
EXPERIMENT_LIBRARIES = {
  'apache_beam',
  'clu',
  'gin',
  'seqio',
  't5',
  'tensorflow',
  'tensorflow_datasets',
  'tensorflow_text',
}
FORBIDDEN_LIBRARIES = {'t5x'}

NO_LAYER = 'has no layer; add it to LAYER_OF in tests/test_layers.py.'


def module_names() -> dict[str, pathlib.Path]:
  """Every module that is installed: {dotted name: its file}."""
  names = {}
  for folder in ('genret', 'gin_configs', 'tasks', 'tools'):
    for path in sorted((ROOT / folder).rglob('*.py')):
      parts = list(path.relative_to(ROOT).with_suffix('').parts)
      if parts[0] != 'genret':
        parts.insert(0, 'genret')
      if parts[-1] == '__init__':
        parts.pop()
      names['.'.join(parts)] = path
  return names


def is_in(name: str, folders) -> bool:
  return any(name == f or name.startswith(f'{f}.') for f in folders)


def longest(name: str, names) -> str | None:
  """The longest of `names` that is `name` or a package around it."""
  return max((n for n in names if is_in(name, [n])), key=len, default=None)


def imported(
  source: str, module: str, *, is_package: bool, known
) -> list[tuple[int, str]]:
  """(line, module) of each import; `known` tells modules from their names."""
  package = module if is_package else module.rpartition('.')[0]
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found += [(node.lineno, alias.name) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      origin = node.module or ''
      if node.level:
        above = package.split('.')[: len(package.split('.')) - node.level + 1]
        origin = '.'.join([*above, *filter(None, [node.module])])
      for alias in node.names:
        inner = f'{origin}.{alias.name}'
        found.append((node.lineno, inner if inner in known else origin))
  return found


def folder_of(name: str) -> str:
  """`genret.docids` of what is in that folder, `genret` of what is in none."""
  folder = '.'.join(name.split('.')[:2])
  return folder if (ROOT / folder.replace('.', '/')).is_dir() else 'genret'


def violations(
  source: str, module: str, *, is_package: bool = False, known=frozenset()
) -> list[str]:
  """What `source` may not do as the module of that name."""
  if module in ENTRANCES:
    return []
  key = longest(module, LAYER_OF)
  if key is None:
    return [f'{module} {NO_LAYER}']
  layer = LAYER_OF[key]
  problems = []
  for line, name in imported(
    source, module, is_package=is_package, known=known
  ):
    library = name.partition('.')[0]
    problem = None
    if library in FORBIDDEN_LIBRARIES:
      problem = '; nothing may, a gin file joins it.'
    elif library in EXPERIMENT_LIBRARIES and not is_in(module, EXPERIMENT_LANE):
      problem = '; only the experiment lane may.'
    elif library == 'genret' and layer < TOP_LAYER:
      problem = not_below(name, layer, folder_of(module))
    if problem:
      problems.append(f'{module}, line {line}: imports {name}{problem}')
  return problems


def not_below(name: str, layer: float, folder: str) -> str | None:
  """What is wrong with importing `name` from that layer and folder."""
  if name in ENTRANCES:
    return ', which has the public names; import their module.'
  key = longest(name, LAYER_OF)
  if key is None:
    return f', which {NO_LAYER}'
  other = LAYER_OF[key]
  same_folder = folder_of(name) == folder
  if other < layer or (same_folder and (folder != 'genret' or other == layer)):
    return None
  return (
    f' (layer {other}); layer {layer} may use only layers below and its own '
    'folder.'
  )


def test_imports_point_down():
  modules = module_names()
  problems = [
    problem
    for module, path in modules.items()
    for problem in violations(
      path.read_text(encoding='utf-8'),
      module,
      is_package=path.name == '__init__.py',
      known=modules.keys(),
    )
  ]
  assert not problems, '\n'.join(problems)


@pytest.mark.parametrize(
  ('module', 'source', 'message'),
  [
    ('genret.corpus', 'import genret.searcher', 'layer 3'),
    ('genret.corpus', 'from genret import docids', 'layer 1'),
    ('genret.corpus', 'from genret import Trie', 'public names'),
    ('genret.corpus', 'from .docids.table import DocidTable', 'layer 0.4'),
    ('genret.corpus', 'def f():\n  from genret import train', 'layer 3'),
    ('genret.docids.text', 'from ..constraints import trie', 'layer 1'),
    ('genret.docids.text', 'from . import table', None),
    ('genret.docids.text', 'from genret.docids.table import X', None),
    ('genret.docids.text', 'from genret import corpus', None),
    ('genret.decoding.beam', 'from genret.constraints import trie', None),
    ('genret.decoding.beam', 'import t5x.models', 'nothing may'),
    ('genret.tasks.beir', 'from t5x import decoding', 'nothing may'),
    ('genret.decoding.beam', 'import tensorflow as tf', 'experiment lane'),
    ('genret.evaluate', 'import gin', 'experiment lane'),
    ('genret.trainer', 'import seqio', 'has no layer'),
    ('genret.seqio_batches', 'import seqio', None),
    ('genret.seqio_batches', 'from clu import metrics', None),
    ('genret.tools.train', 'import gin\nfrom genret import train', None),
    ('genret.tools.evaluate', 'import gin', 'experiment lane'),
    ('genret.train', 'from genret.new_module import x', 'has no layer'),
    ('genret.metrics', 'from genret.runs import read_trec', None),
    ('genret.embeddings', 'from genret.docids.table import X', None),
    ('genret.embeddings', 'from genret.docids.text import X', 'layer 1'),
    ('genret.docids.table', 'from genret import array_folder', None),
    ('genret.docids.table', 'from genret import embeddings', 'layer 0.6'),
    ('genret.features', 'from genret.decoding import beam', 'layer 2'),
    ('genret.tools.search', 'from genret.tools import index', None),
  ],
)
def test_a_planted_violation_is_found(module, source, message):
  known = {*module_names(), 'genret.constraints.trie', 'genret.docids.table'}
  known |= {'genret.train', 'genret.searcher', 'genret.new_module'}
  known |= {'genret.embeddings', 'genret.decoding.beam', 'genret.corpus'}
  problems = violations(source, module, known=known)
  if message is None:
    assert problems == []
  else:
    assert len(problems) == 1, problems
    assert message in problems[0]


def test_every_layer_names_a_module():
  modules = module_names()
  gone = [n for n in LAYER_OF if longest(n, modules) != n]
  assert not gone, f'{gone} exist no more; remove them from LAYER_OF.'


_IMPORT_BLOCKED = """
import importlib, json, sys
blocked, names = json.loads(sys.stdin.read())
for name in blocked:
  sys.modules[name] = None
for name in names:
  importlib.import_module(name)
print(len(names))
"""


def test_library_lane_imports_without_tensorflow():
  names = [n for n in module_names() if not is_in(n, EXPERIMENT_LANE)]
  names.remove('genret.__main__')
  blocked = sorted(EXPERIMENT_LIBRARIES | FORBIDDEN_LIBRARIES)
  ran = subprocess.run(
    [sys.executable, '-c', _IMPORT_BLOCKED],
    input=json.dumps([blocked, names]),
    capture_output=True,
    text=True,
    check=False,
  )
  assert ran.returncode == 0, ran.stderr
  assert int(ran.stdout) == len(names)
