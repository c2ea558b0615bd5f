# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import os

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import runs
from genret.runs import Hit


def test_the_file_is_trec_text(tmp_path):
  path = tmp_path / 'new' / 'run.trec'
  run = {
    'q2': [Hit('d9', 3.5, 'a title'), Hit('d1', 3.5), Hit('d2', 3.5)],
    'q1': [Hit('d1', -0.1)],
    'none': [],
  }
  runs.write_trec(path, run, 'mine')
  assert path.read_text() == (
    'q2 Q0 d9 1 3.5 mine\n'
    'q2 Q0 d1 2 3.4999998 mine\n'
    'q2 Q0 d2 3 3.4999995 mine\n'
    'q1 Q0 d1 1 -0.1 mine\n'
  )
  assert runs.read_trec(path) == {
    'q2': {'d9': 3.5, 'd1': 3.4999998, 'd2': 3.4999995},
    'q1': {'d1': -0.1},
  }
  assert os.listdir(path.parent) == ['run.trec']
  if os.name == 'posix':
    assert path.stat().st_mode & 0o077 == 0o066 & ~_umask() & 0o077


def _umask() -> int:
  mask = os.umask(0)
  os.umask(mask)
  return mask


SCORES = st.lists(
  st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-(2.0**100), 2.0**100, width=32),
    # Close together: equal in single precision, or to the last digit.
    st.integers(0, 5).map(lambda i: 1 + i * 1e-8),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 0.1, 1.0]),
  ),
  max_size=12,
)


@hypothesis.given(scores=SCORES)
@hypothesis.settings(max_examples=100)
def test_printed_scores_keep_the_order_in_single_precision(
  tmp_path_factory, scores
):
  path = tmp_path_factory.getbasetemp() / 'any.trec'
  scores = sorted(scores, reverse=True)
  # Ascending ids: any tie that survives would be turned round by trec_eval.
  run = {'q': [Hit(f'd{i:02}', score) for i, score in enumerate(scores)]}
  runs.write_trec(path, run, 't')
  read = runs.read_trec(path)
  assert read == {q: s for q, s in runs.trec_scores(run).items() if s}
  printed = list(read.get('q', {}).values())
  assert list(read.get('q', {})) == [hit.doc_id for hit in run['q']]
  assert np.all(np.diff(np.asarray(printed, np.float32)) < 0)
  # Each is its score, or one step below the one before where that is lower.
  bound = np.float32(np.inf)
  for score, text in zip(scores, printed, strict=True):
    bound = min(np.float32(score), np.nextafter(bound, np.float32(-np.inf)))
    assert np.float32(text) == bound


def test_scores_without_ties_are_not_moved():
  hits = [Hit('a', 3.0), Hit('b', 2.25), Hit('c', -7.0)]
  assert runs.trec_scores({'q': hits}) == {
    'q': {'a': 3.0, 'b': 2.25, 'c': -7.0}
  }


@pytest.mark.parametrize(
  ('run', 'tag', 'message'),
  [
    (
      {'q': [Hit('a', 1.0), Hit('b', 2.0)]},
      't',
      "query 'q': expected hits best",
    ),
    (
      {'q': [Hit('a', 1.0), Hit('a', 0.5)]},
      't',
      "document 'a' is listed twice",
    ),
    ({'q': [Hit('a', float('nan'))]}, 't', 'finite in single .*found nan'),
    ({'q': [Hit('a', 1.0), Hit('b', -np.inf)]}, 't', 'found -inf; drop'),
    ({'q': [Hit('a', 1e39)]}, 't', r'found 1e\+39'),
    ({'q': [Hit('a b', 1.0)]}, 't', "expected a document id .*found 'a b'"),
    (
      {'q': [Hit('a\u00a0b', 1.0)]},
      't',
      'expected a document id without white',
    ),
    ({'q': [Hit('', 1.0)]}, 't', "a document id without .*found ''"),
    ({'q 1': [Hit('a', 1.0)]}, 't', "expected a query id .*found 'q 1'"),
    ({}, 'my tag', "expected a tag without white space.*found 'my tag'"),
  ],
)
def test_what_cannot_be_written_is_refused(tmp_path, run, tag, message):
  path = tmp_path / 'run.trec'
  path.write_text('before')
  with pytest.raises(ValueError, match=message):
    runs.write_trec(path, run, tag)
  assert path.read_text() == 'before'
  assert os.listdir(tmp_path) == ['run.trec']


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'run.trec'
  path.write_text('before')

  def fail(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'fsync', fail)
  with pytest.raises(KeyboardInterrupt):
    runs.write_trec(path, {'q': [Hit('a', 1.0)]}, 't')
  assert path.read_text() == 'before'
  assert os.listdir(tmp_path) == ['run.trec']


def test_read_forms(tmp_path):
  path = tmp_path / 'run.trec'
  path.write_bytes(b'\xef\xbb\xbfq\tQ0\ta 1 1e-3 t\r\n\r\nq Q0 b 9 2 t')
  assert runs.read_trec(path) == {'q': {'a': 0.001, 'b': 2.0}}


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('q Q0 a 1 0.5', 'run.trec, line 2: expected qid Q0 docid rank score tag'),
    ('q Q0 a 1 0.5 t x', "found 'q Q0 a 1 0.5 t x'; correct"),
    ('q Q0 a 1 high t', 'line 2: '),
    ('q Q0 a 1 nan t', 'line 2: .*finite'),
    ('q Q0 a 1 inf t', 'line 2: .*finite'),
    ('q Q0 b 2 0.5 t', "line 2: document 'b' was already listed for query 'q'"),
  ],
)
def test_bad_lines_are_named(tmp_path, line, message):
  path = tmp_path / 'run.trec'
  path.write_text(f'q Q0 b 1 1.0 t\n{line}\n')
  with pytest.raises(ValueError, match=message):
    runs.read_trec(path)


def test_a_hit_answers_to_both_names():
  hit = Hit('d', 1.0, 'text')
  assert (hit.doc_id, hit.docid, hit.text) == ('d', 'd', 'text')
