# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The journal of a search: whatever is cut off it, the end is the same."""

import json
import re
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import run_journal
from genret.corpus import Query
from genret.run_journal import Journal
from genret.runs import Hit, Match, Span

NUMBERS = st.floats(allow_nan=False)
INTEGERS = st.integers(-(2**40), 2**40)
TEXTS = st.text(st.characters(), max_size=8)
SPANS = st.builds(
  Span, st.sampled_from(['title', 'body', 'query']), *3 * [INTEGERS]
)
MATCHES = st.builds(
  Match,
  text=TEXTS,
  tokens=st.lists(INTEGERS, max_size=3).map(tuple),
  count=INTEGERS,
  log_probability=NUMBERS,
  contribution=NUMBERS,
  spans=st.lists(SPANS, max_size=2).map(tuple),
)
HITS = st.lists(
  st.builds(
    Hit,
    TEXTS,
    NUMBERS,
    matches=st.lists(MATCHES, max_size=2).map(tuple),
  ),
  max_size=3,
)

QUERIES = [Query(f'q{i}', f'text "{i}" \n\u2028 ü') for i in range(5)]
HEADER = run_journal.header('run', QUERIES, k=2, batch_size=2)


def answer(query: Query, batch: int) -> tuple[str, list[Hit]]:
  """Hits that depend on the query and, in the last digits, on its batch."""
  number = int(query.query_id[1:])
  if number == 3:
    return query.query_id, []
  match = Match('of\nthe', (7, 8), 3, -1.5, 0.25, (Span('body', 0, 6, 4),))
  score = 2 * number + batch * 1e-3
  return query.query_id, [
    Hit('ü', score, matches=(match, match)),
    Hit(f'd{number}', score),
  ]


def search(first: int, *, queries=None, batch_size: int = 2):
  """As a searcher does: batches are counted from what it is given."""
  queries = (QUERIES if queries is None else queries)[first:]
  for at in range(0, len(queries), batch_size):
    batch = queries[at : at + batch_size]
    # What tells batches apart is which queries are in it.
    for query in batch:
      yield answer(query, int(batch[0].query_id[1:]))


def whole(path):
  with Journal(path, HEADER) as journal:
    journal.record(search(journal.done))
    return list(journal.answers())


def test_a_journal_keeps_answers_in_order(tmp_path):
  path = tmp_path / 'run.part'
  expected = list(search(0))
  assert whole(path) == expected
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert lines[0] == HEADER
  assert [row['first'] for row in lines[1:]] == [0, 2, 4]
  with Journal(path, HEADER) as journal:
    assert journal.done == 5
    journal.record(search(5))
    assert list(journal.answers()) == expected
    journal.remove()
  assert list(tmp_path.iterdir()) == []


def test_killed_at_any_byte_it_ends_the_same(tmp_path):
  path = tmp_path / 'run.part'
  answers = whole(path)
  full = path.read_bytes()
  # Queries that are done when the journal has so many bytes.
  ends = [m.end() for m in re.finditer(b'\n', full)]
  done_at = dict(zip(ends, [0, 2, 4, 5], strict=True))
  done = 0
  for size in range(len(full) + 1):
    done = done_at.get(size, done)
    path.write_bytes(full[:size])
    with Journal(path, HEADER) as journal:
      assert journal.done == done
      journal.record(search(journal.done))
      found = list(journal.answers())
    assert path.read_bytes() == full
    assert found == answers


@pytest.mark.parametrize(
  'damage',
  [
    lambda line: b'\0' * (len(line) - 1) + b'\n',
    lambda line: line.replace(b'"first":2', b'"first":0'),
    lambda line: line.replace(b'"answers"', b'"answer"'),
    lambda line: line[:-10] + b'\n',
    lambda line: b'[]\n',
    lambda line: b'{"first":2,"answers":[]}\n',
    lambda line: b'{"first":2,"answers":{"a":1,"b":2}}\n',
    lambda line: b'{"first":2,"answers":3}\n',
    lambda line: line + line,
    lambda line: b'',
  ],
)
def test_from_a_damaged_line_on_all_is_searched_again(tmp_path, damage):
  path = tmp_path / 'run.part'
  answers = whole(path)
  full = path.read_bytes()
  lines = full.splitlines(keepends=True)
  lines[2] = damage(lines[2])
  path.write_bytes(b''.join(lines))
  with Journal(path, HEADER) as journal:
    assert journal.done == (
      4 if lines[2] == 2 * full.splitlines(True)[2] else 2
    )
    journal.record(search(journal.done))
    assert list(journal.answers()) == answers
  assert path.read_bytes() == full


def test_a_search_that_fails_leaves_its_whole_batches(tmp_path):
  path = tmp_path / 'run.part'

  def failing():
    for number, found in enumerate(search(0)):
      if number == 3:
        raise RuntimeError('out of memory')
      yield found

  with pytest.raises(RuntimeError, match='out of memory'):
    with Journal(path, HEADER) as journal:
      journal.record(failing())
  with Journal(path, HEADER) as journal:
    assert journal.done == 2
    assert list(journal.answers()) == list(search(0))[:2]


@hypothesis.given(hits=st.lists(HITS, max_size=5), batch_size=st.integers(1, 4))
@hypothesis.settings(max_examples=100)
def test_answers_come_back_as_they_were(tmp_path_factory, hits, batch_size):
  path = tmp_path_factory.getbasetemp() / 'any.part'
  answers = [(f'\ud800{i}\n', found) for i, found in enumerate(hits)]
  queries = [Query(name) for name, _ in answers]
  header = run_journal.header('f', queries, k=3, batch_size=batch_size)
  with Journal(path, header, restart=True) as journal:
    journal.record(answers)
    assert list(journal.answers()) == answers
  with Journal(path, header) as journal:
    assert journal.done == len(answers)
    assert list(journal.answers()) == answers


def test_numbers_of_numpy_are_kept_and_texts_are_not(tmp_path):
  match = Match(
    'x', (np.int32(3),), np.int64(2), np.float32(0.1), np.float64(1)
  )
  hit = Hit('d', np.float32(0.1), 'a long text', (match,))
  header = run_journal.header('f', [Query('q')], k=1, batch_size=8)
  with Journal(tmp_path / 'j', header) as journal:
    journal.record([('q', [hit])])
    ((_, (found,)),) = journal.answers()
  assert found == Hit('d', float(np.float32(0.1)), '', (match,))
  assert type(found.matches[0].tokens[0]) is int


@pytest.mark.parametrize(
  ('changes', 'what'),
  [
    ({'fingerprint': 'other'}, 'run'),
    ({'k': 3}, 'number of hits'),
    ({'batch_size': 3}, 'size of batches'),
    ({'queries': QUERIES[:4]}, 'queries'),
    ({'queries': [*QUERIES[1:], QUERIES[0]]}, 'queries'),
    ({'queries': [Query('q0', 'other'), *QUERIES[1:]]}, 'queries'),
    ({'queries': [Query('q', '0' + QUERIES[0].text), *QUERIES[1:]]}, 'queries'),
    ({'options': {'beams': 3}}, '--beams'),
    ({'options': {}}, '--beams'),
    ({'k': 3, 'fingerprint': 'x'}, 'run and number of hits'),
  ],
)
def test_a_journal_of_another_search_is_refused(tmp_path, changes, what):
  path = tmp_path / 'run.part'
  ours = {
    'fingerprint': 'run',
    'queries': QUERIES,
    'k': 2,
    'batch_size': 2,
    'options': {'beams': 2},
  }
  with Journal(path, run_journal.header(**ours)) as journal:
    journal.record(search(0))
  before = path.read_bytes()
  other = run_journal.header(**ours | changes)
  message = re.escape(
    f'Expected {path} to be of this search, it is of one with another {what}; '
    'finish that one as it was begun, or drop what it found with --restart.'
  )
  with pytest.raises(ValueError, match=f'^{message}$'):
    Journal(path, other)
  assert path.read_bytes() == before
  with Journal(path, other, restart=True) as journal:
    assert journal.done == 0
  assert json.loads(path.read_text()) == other


@pytest.mark.parametrize(
  'text', [b'q Q0 d 1 1.0 t\n', b'{}\n', b'[1]\n', b'\xff', b'{"journal":0']
)
def test_a_file_of_something_else_is_kept(tmp_path, text):
  path = tmp_path / 'run.part'
  path.write_bytes(text)
  with pytest.raises(
    ValueError,
    match='^Expected the journal of an interrupted search in .*run.part, found '
    r'something else; move the file away, or drop it with --restart\.$',
  ):
    Journal(path, HEADER)
  assert path.read_bytes() == text


def test_another_version_is_named(tmp_path):
  path = tmp_path / 'run.part'
  path.write_text(json.dumps(HEADER | {'journal': 99}) + '\n')
  with pytest.raises(ValueError, match='with another version of genret; '):
    Journal(path, HEADER)


@pytest.mark.parametrize(('number', 'got'), [(4, '4'), (6, 'more')])
def test_each_query_is_answered_once(tmp_path, number, got):
  answers = [(f'q{i}', []) for i in range(number)]
  with Journal(tmp_path / 'j', HEADER) as journal:
    with pytest.raises(
      ValueError, match=f'^Expected answers to 5 queries, got {got}; search '
    ):
      journal.record(answers)


def test_no_queries(tmp_path):
  header = run_journal.header('f', [], k=1, batch_size=8)
  for _ in range(2):
    with Journal(tmp_path / 'j', header) as journal:
      journal.record([])
      assert journal.done == 0
      assert list(journal.answers()) == []


def test_two_processes_do_not_write_one_journal(tmp_path):
  pytest.importorskip('fcntl')
  path = tmp_path / 'run.part'
  code = (
    'import sys; from genret.run_journal import Journal\n'
    'try: Journal(sys.argv[1], {"a": 1}, restart=True)\n'
    'except ValueError as error: print(error)'
  )

  def other() -> str:
    ran = subprocess.run(
      [sys.executable, '-c', code, path], capture_output=True, text=True
    )
    assert ran.stderr == ''
    return ran.stdout

  with Journal(path, HEADER) as journal:
    journal.record(search(0))
    assert other() == (
      f'Expected to write {path} alone, another process is at it; wait for '
      'that search, or give another --output.\n'
    )
    assert journal.done == 5
    assert list(journal.answers()) == list(search(0))
  assert other() == ''
