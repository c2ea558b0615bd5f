# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs of words that texts share with withheld queries, against a plain search."""

import gzip

import hypothesis
import hypothesis.strategies as st
import pytest

from genret.withheld_queries import LEAST, RUN, WithheldQueries, read_withheld

# Few words, so that runs repeat.
TEXTS = st.lists(st.sampled_from('ab'), max_size=24).map(' '.join)


def plain(queries, text):
  """The rule as a search for ' w w ... w ' in a text."""
  text = f' {text} '
  for query in queries:
    words = query.split()
    size = min(len(words), RUN)
    runs = (words[i : i + size] for i in range(len(words) - size + 1))
    if size >= LEAST and any(f' {" ".join(run)} ' in text for run in runs):
      return True
  return False


@hypothesis.settings(max_examples=300)
@hypothesis.given(queries=st.lists(TEXTS, max_size=3), text=TEXTS)
def test_against_a_plain_search(queries, text):
  withheld = WithheldQueries(queries)
  assert withheld.found_in(text) == plain(queries, text)
  assert withheld.queries == len(queries)
  assert withheld.short == sum(len(q.split()) < LEAST for q in queries)


def test_only_words_count():
  withheld = WithheldQueries(['* The Stra\u00dfe of \ufb01ve (old) houses.'])
  assert withheld.found_in('so: the STRASSE -- of five OLD  houses!')
  assert not withheld.found_in('the Strasse of five old house')
  assert not withheld.found_in('thestrasse of five old houses')


def test_half_a_query_is_found_by_a_long_run():
  words = [f'w{n}' for n in range(RUN + 5)]
  withheld = WithheldQueries([' '.join(words)])
  assert withheld.found_in(f'then {" ".join(words[3 : 3 + RUN])} and')
  assert not withheld.found_in(f'then {" ".join(words[3 : 2 + RUN])} and')


def test_hashes_tell_queries_apart():
  texts = ['a b', 'a b c', 'b a']
  hashes = {WithheldQueries([text]).hash for text in texts}
  assert len({*hashes, WithheldQueries([]).hash}) == 4
  assert WithheldQueries(['A, b']).hash == WithheldQueries(['a b']).hash


@pytest.fixture
def folder(tmp_path):
  """A BEIR folder beside a task file of KILT."""
  (tmp_path / 'qrels').mkdir()
  (tmp_path / 'queries.jsonl').write_text(
    '{"_id": "1", "text": "one a b c d"}\n{"_id": "2", "text": "two a b c d"}\n'
  )
  (tmp_path / 'qrels' / 'dev.tsv').write_text(
    'query-id\tcorpus-id\tscore\n1\td\t1\n'
  )
  with gzip.open(tmp_path / 'nq-test-kilt.jsonl.gz', 'wt') as file:
    file.write('{"id": "3", "input": "three a b c d", "output": []}\n')
  return tmp_path


def test_splits_are_read(folder):
  for splits, found in (
    (['dev'], [True, False, False]),
    (['nq-test'], [False, False, True]),
    (['dev', 'nq-test'], [True, False, True]),
  ):
    withheld = read_withheld(folder, splits)
    assert withheld.queries == sum(found)
    texts = [f'{number} a b c d' for number in ('one', 'two', 'three')]
    assert [withheld.found_in(text) for text in texts] == found
  assert read_withheld(folder / 'queries.jsonl').queries == 2
  assert read_withheld(None).queries == 0


def test_wrong_splits_are_refused(folder):
  with pytest.raises(ValueError, match=r'qrels/test.tsv or test-kilt.jsonl'):
    read_withheld(folder, ['test'])
  with pytest.raises(ValueError, match='splits of it'):
    read_withheld(folder)
  with pytest.raises(ValueError, match='queries alone'):
    read_withheld(folder / 'queries.jsonl', ['dev'])
  with pytest.raises(FileNotFoundError):
    read_withheld(folder / 'gone.jsonl')
