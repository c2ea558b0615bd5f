# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The code in the documentation runs."""

import importlib.util
import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parent.parent / 'docs'


def blocks(page, language):
  """The fenced blocks of a page in one language."""
  text = (DOCS / page).read_text(encoding='utf-8')
  found = re.findall(rf'^```{language}\n(.*?)^```$', text, re.M | re.S)
  assert found, f'{page} has no block of {language}'
  return found


@pytest.mark.parametrize('page', ['constraints.md'])
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
  """All blocks in one namespace, as a reader would type them."""
  pytest.importorskip('torch', reason='torch is not installed')
  pytest.importorskip('transformers', reason='transformers is not installed')
  monkeypatch.chdir(tmp_path)
  namespace = {}
  for number, block in enumerate(blocks(page, 'python')):
    exec(compile(block, f'{page}, block {number}', 'exec'), namespace)


def test_what_the_transformers_example_says(capsys, tmp_path, monkeypatch):
  test_python_of_a_page_runs('constraints.md', tmp_path, monkeypatch)
  first, *_, last = capsys.readouterr().out.splitlines()
  assert first.split()[0] == '3'
  found = sorted(row[: row.index(1)] for row in eval(last))
  assert found == [[5], [5, 6], [5, 7, 2]]


@pytest.mark.t5x
@pytest.mark.filterwarnings('ignore')
@pytest.mark.skipif(
  importlib.util.find_spec('t5x') is None,
  reason='T5X is not installed (it is on no package index)',
)
def test_gin_of_constraints_binds(tmp_path):
  import gin
  from t5x import models

  from genret import Trie
  from genret.constraints import trie
  from genret.decoding import t5x_decode

  Trie.from_sequences([[2, 3]], 5).save(tmp_path / 'trie')
  (block,) = blocks('constraints.md', 'gin')
  block = block.replace('/data/my_trie', str(tmp_path / 'trie'))
  try:
    gin.parse_config(block)
    assert gin.get_bindings(models.DecoderParams) == {'num_decodes': 10}
    bound = gin.get_bindings(models.EncoderDecoderModel)['decode_fn']
    assert bound.__name__ == t5x_decode.constrained_beam_decode.__name__
    constraint = gin.get_bindings(t5x_decode.constrained_beam_decode)
    assert isinstance(constraint['constraint'], trie.Trie)
    assert constraint['constraint'].num_identifiers == 1
  finally:
    gin.clear_config()
