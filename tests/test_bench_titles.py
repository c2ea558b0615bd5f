# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench titles` in miniature: no figure is asserted, answers are."""

import json

import hypothesis
import numpy as np
import pytest
import tiny
from hypothesis import strategies as st

from genret import DocidTable, Trie, tools
from genret.tools import _measure_titles
from genret.tools._measure_titles import synthetic_titles

REAL = ['Paris', 'Paris Texas', 'Battle of Hastings', 'Åland', '']


def test_every_line(tmp_path, capsys):
  tiny.write_collection(tmp_path / 'corpus', titles=True)
  path = tmp_path / 'figures.json'
  words = ['--corpus', str(tmp_path / 'corpus'), '--count', '300']
  words += ['--batch-size', '2', '--num-beams', '3', '--repeats', '1']
  words += ['--vocabulary-size', '60', '--json', str(path)]
  status = tools.main(['bench', 'titles', *words])
  said = capsys.readouterr()
  assert status == 0, said.err
  assert '| trie: open, mapped from disk |' in said.out
  found = json.loads(path.read_text(encoding='utf-8'))
  figures = {figure['what']: figure for figure in found['figures']}
  assert len(figures) == len(found['figures'])
  assert all(figure['seconds'] > 0 for figure in figures.values())
  assert '300 identifiers' in figures['trie: build']['note']
  assert figures['identifier table: save']['bytes'] > 300
  # Three of 303 documents have the title of another.
  assert figures['identifier table: look up 2 x 3 beams']['note'] == (
    '2.0% of documents share an identifier'
  )
  (step,) = found['steps']
  assert step['titles'] == 300
  assert min(step.values()) > 0


@hypothesis.given(
  real=st.lists(st.sampled_from(REAL), min_size=1).filter(any),
  count=st.integers(1, 200),
  seed=st.integers(0, 9),
)
def test_titles_are_distinct_and_of_real_words(real, count, seed):
  titles = synthetic_titles(real, count, seed)
  assert len(titles) == len(set(titles)) == count
  assert titles == synthetic_titles(real, count, seed)
  words = {word for title in real for word in title.split()}
  lengths = {len(title.split()) for title in real if title}
  firsts = {title.split()[0] for title in real if title}
  for title in titles:
    own = [word for word in title.split() if word[0] != '(']
    added = [word[1:-1] for word in title.split() if word[0] == '(']
    assert {*own, *added} <= words
    assert own[0] in firsts
    assert len(own) in lengths


def test_fewer_titles_are_the_first_of_more():
  # More than a block, so that draws of one do not depend on the number.
  many = synthetic_titles(REAL, 70_000)
  assert many[:300] == synthetic_titles(REAL, 300)
  with pytest.raises(ValueError, match='Expected titles with words, got none'):
    synthetic_titles(['', ' '], 3)


def test_wrong_answers_are_told():
  rows = np.array([[5, 6], [5, 0], [5, 6]])
  table = DocidTable(['a', 'b', 'c'], rows, np.array([2, 1, 2]), 9)
  chosen = _measure_titles._look_up(table, 20, seed=0)
  _measure_titles._check(table, chosen, 1)
  with pytest.raises(AssertionError):
    _measure_titles._check(table, chosen, 2)
  wrong = chosen._replace(document_N=(chosen.document_N + 1) % 3)
  with pytest.raises(AssertionError):
    _measure_titles._check(table, wrong, 0)


def test_another_process_opens_a_trie(tmp_path):
  Trie.from_sequences([[5, 6]], 9).save(tmp_path / 'trie')
  opened, probed = _measure_titles._opened(tmp_path / 'trie')
  assert opened.seconds > 0
  assert probed.what == 'trie: first probe, compiled'
  assert 'of the mapped files resident' in probed.note
