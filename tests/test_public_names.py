# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Every public function and class of genret/ is named by some test."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent

# Reached by a test under another name; say which.
EXEMPT: set[str] = set()


def public_names(source: str) -> set[str]:
  """The public functions and classes that a module defines at its top.

  A class that the same module uses, as a network uses its layers, is tested
  through what uses it and is left out.
  """
  body = ast.parse(source).body
  names = set()
  for node in body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      elsewhere = (
        n for other in body if other is not node for n in ast.walk(other)
      )
      used = {n.id for n in elsewhere if isinstance(n, ast.Name)}
      if isinstance(node, ast.FunctionDef) or node.name not in used:
        names.add(node.name)
  return {name for name in names if not name.startswith('_')}


def words_of_tests(folder: pathlib.Path) -> set[str]:
  """Every identifier that occurs in a test's code, comments left out."""
  words = set()
  for path in sorted(folder.rglob('test_*.py')):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.Name):
        words.add(node.id)
      elif isinstance(node, ast.Attribute):
        words.add(node.attr)
      elif isinstance(node, ast.alias):
        words.add(node.name)
      elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        words.update(re.findall(r'\w+', node.value))  # gin, code for processes
  return words


def test_every_public_name_is_tested():
  words = words_of_tests(ROOT / 'tests')
  untested = sorted(
    f'{path.relative_to(ROOT)}: {name}'
    for path in (ROOT / 'genret').rglob('*.py')
    for name in public_names(path.read_text(encoding='utf-8')) - words - EXEMPT
  )
  assert not untested, 'no test names\n' + '\n'.join(untested)


def test_an_untested_name_is_found(tmp_path):
  source = (
    'def used(): Layer()\ndef unused(): ...\ndef _own(): ...\n'
    'class A: ...\nclass Layer: ...\n'
  )
  (tmp_path / 'test_x.py').write_text(
    'from m import used\n# unused\ndef test(): used("A")\n', encoding='utf-8'
  )
  missing = public_names(source) - words_of_tests(tmp_path)
  assert missing == {'unused'}
