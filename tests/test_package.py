# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What is installed: names, versions, extras, and the wheel by itself."""

import importlib
import importlib.metadata
import importlib.resources
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

import genret

ROOT = pathlib.Path(__file__).parent.parent


def test_public_names_are_there():
  assert genret.__all__ == sorted(genret.__all__)
  assert dir(genret) == genret.__all__
  for name in genret.__all__:
    value = getattr(genret, name)
    if name != '__version__':
      assert value.__name__ == name
      assert vars(genret)[name] is value  # the next use finds it at once


def test_an_unknown_name_lists_the_public_ones():
  with pytest.raises(AttributeError, match=r"'Tire'; .*Searcher, Trie, beam"):
    genret.Tire  # noqa: B018
  assert not hasattr(genret, 'FMIndexes')


def test_import_is_free():
  code = (
    'import sys, genret; genret.__version__; '
    'print({"jax", "numpy", "tensorflow", "torch"} & set(sys.modules))'
  )
  ran = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert ran.stdout == 'set()\n'


def test_installed_version_is_the_source_version():
  assert importlib.metadata.version('genret') == genret.__version__


BEAM_BOUND = 'sentencepiece<0.2.3; extra == "beam"'


def requirements() -> list[Requirement]:
  return [Requirement(r) for r in importlib.metadata.requires('genret')]


def wanted(requirement: Requirement, extra: str) -> bool:
  marker = requirement.marker
  return marker is None or marker.evaluate(
    {**default_environment(), 'extra': extra}
  )


def pins(name: str = 'constraints.txt') -> dict[str, str]:
  lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
  found = [line for line in lines if line and not line.startswith('#')]
  assert all(re.fullmatch(r'[\w.-]+==[\w.!]+', line) for line in found)
  pairs = [line.split('==') for line in found]
  return {re.sub(r'[-_.]+', '-', n).lower(): v for n, v in pairs}


def test_core_has_neither_tensorflow_nor_torch():
  core = {r.name for r in requirements() if wanted(r, '')}
  assert {'jax', 'flax', 'numpy'} <= core
  assert not {
    'clu', 'gin-config', 'seqio', 'tensorflow', 'tensorflow-cpu', 'torch'
  } & core  # fmt: skip


def test_requirements_are_lower_bounds_from_an_index():
  for requirement in requirements():
    assert requirement.url is None, requirement
    if str(requirement) == BEAM_BOUND:
      continue
    assert [s.operator for s in requirement.specifier] == ['>='], requirement


def test_every_requirement_is_pinned_above_its_bound():
  for requirement in requirements():
    only_beam = str(requirement.marker) == 'extra == "beam"'
    file = 'constraints-beam.txt' if only_beam else 'constraints.txt'
    pinned = pins(file)
    name = re.sub(r'[-_.]+', '-', requirement.name).lower()
    assert name in pinned, f'{name} has no pin in {file}'
    assert pinned[name] in requirement.specifier, requirement


def test_beam_is_tested_with_all_else_alike():
  usual, beam = pins(), pins('constraints-beam.txt')
  assert usual.keys() < beam.keys()
  assert {name for name in usual if usual[name] != beam[name]} == {
    'pillow', 'protobuf', 'pyarrow', 'python-dateutil', 'sentencepiece'
  }  # fmt: skip


def test_dev_contains_train_and_eval():
  def names(extra):
    return {r.name for r in requirements() if wanted(r, extra)}

  assert names('train') | names('eval') <= names('dev')
  assert names('train') < names('t5x')


def test_data_files_are_found_where_genret_is_imported_from():
  gin_files = importlib.resources.files('genret.gin_configs')
  assert list(pathlib.Path(str(gin_files)).rglob('*.gin'))
  assert (importlib.resources.files('genret') / 'data').is_dir()


# From here on: the wheel alone, with the core requirements, far from here.


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> pathlib.Path:
  """A wheel built from a source distribution, as a release is."""
  folder = tmp_path_factory.mktemp('dist')
  command = [sys.executable, '-m', 'build', '--outdir', str(folder), str(ROOT)]
  ran = subprocess.run(
    command, cwd=folder, capture_output=True, text=True, check=False
  )
  assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
  (path,) = folder.glob('*.whl')
  return path


@pytest.fixture(scope='module')
def clean(wheel, tmp_path_factory) -> pathlib.Path:
  """The `bin` of an environment that holds the wheel and the core only."""
  folder = tmp_path_factory.mktemp('clean')
  subprocess.run([sys.executable, '-m', 'venv', folder / 'venv'], check=True)
  python = folder / 'venv' / 'bin' / 'python'
  ran = subprocess.run(
    [
      python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
      '-c', ROOT / 'constraints.txt', wheel,
    ],
    cwd=folder, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert ran.returncode == 0, ran.stderr[-3000:]
  return python.parent


def run_clean(
  clean: pathlib.Path, command: str, *words: str, cwd: pathlib.Path
) -> subprocess.CompletedProcess[str]:
  env = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
  return subprocess.run(
    [clean / command, *words],
    cwd=cwd, env=env, capture_output=True, text=True, check=False,
  )  # fmt: skip


@pytest.mark.wheel
def test_wheel_holds_what_the_tree_holds(wheel):
  names = {
    n for n in zipfile.ZipFile(wheel).namelist() if '.dist-info' not in n
  }
  expected = set()
  for folder in ('genret', 'gin_configs', 'tasks', 'tools'):
    for path in (ROOT / folder).rglob('*'):
      inside = path.relative_to(ROOT)
      if path.is_dir() or '__pycache__' in inside.parts:
        continue
      if inside.parts[0] != 'genret':
        inside = 'genret' / inside
      expected.add(inside.as_posix())
  assert names == expected


_LIBRARY_LANE = """
import importlib, json, pkgutil, sys
blocked, experiment = json.loads(sys.argv[1])
for name in blocked:
  sys.modules[name] = None
import genret
assert 'site-packages' in genret.__file__, genret.__file__
count = 0
for info in pkgutil.walk_packages(genret.__path__, 'genret.'):
  lane = any(f'{info.name}.'.startswith(f'{e}.') for e in experiment)
  if not lane and info.name != 'genret.__main__':
    importlib.import_module(info.name)
    count += 1
print(count)
"""

_DECODE = """
import genret, jax.numpy as jnp
trie = genret.Trie.from_sequences([[2, 3], [2, 4, 5], [6]], 8)
def step(token_N, cache):
  return jnp.zeros((len(token_N), 8)) + jnp.arange(8.0), cache
out = genret.beam_search(
  step, {}, batch_size=2, num_beams=4, max_length=4, constraint=trie)
print(out.legal.tolist(), out.tokens[0, :3].tolist())
"""


@pytest.mark.wheel
def test_wheel_library_lane_needs_the_core_only(clean, tmp_path):
  from test_layers import EXPERIMENT_LANE, EXPERIMENT_LIBRARIES

  arguments = json.dumps([sorted(EXPERIMENT_LIBRARIES), EXPERIMENT_LANE])
  ran = run_clean(clean, 'python', '-c', _LIBRARY_LANE, arguments, cwd=tmp_path)
  assert ran.returncode == 0, ran.stderr
  assert int(ran.stdout) > 15


@pytest.mark.wheel
def test_wheel_decodes(clean, tmp_path):
  ran = run_clean(clean, 'python', '-c', _DECODE, cwd=tmp_path)
  assert ran.returncode == 0, ran.stderr
  legal, _, tokens = ran.stdout.strip().partition(']] ')
  assert legal == '[[True, True, True, False], [True, True, True, False'
  rows = {tuple(row) for row in json.loads(tokens)}
  assert rows == {(2, 3, 1, 0), (2, 4, 5, 1), (6, 1, 0, 0)}


@pytest.mark.wheel
def test_wheel_command(clean, tmp_path):
  ran = run_clean(clean, 'genret', '--help', cwd=tmp_path)
  assert ran.returncode == 0, ran.stderr
  for command in ('quickstart', 'train', 'index', 'search', 'evaluate'):
    assert f'\n  {command} ' in ran.stdout
  ran = run_clean(clean, 'python', '-m', 'genret', '--version', cwd=tmp_path)
  assert ran.stdout == f'genret {genret.__version__}\n'
  ran = run_clean(clean, 'genret', 'train', '--help', cwd=tmp_path)
  assert ran.returncode in (0, 2), ran.stderr
  if ran.returncode == 2:  # TensorFlow is named, not shown as a traceback
    assert "pip install 'genret[train]'" in ran.stderr
    assert ran.stderr.count('\n') == 1


@pytest.mark.wheel
def test_wheel_has_its_data(clean, tmp_path):
  code = (
    'import importlib.resources as r, pathlib; '
    'print(*pathlib.Path(str(r.files("genret.gin_configs"))).rglob("*.gin"))'
  )
  ran = run_clean(clean, 'python', '-c', code, cwd=tmp_path)
  here = sorted(p.name for p in (ROOT / 'gin_configs').rglob('*.gin'))
  assert sorted(pathlib.Path(p).name for p in ran.stdout.split()) == here
