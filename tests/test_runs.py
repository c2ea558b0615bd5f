# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import gzip
import json
import os

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import run_formats, runs
from genret.corpus import Document
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


# Any text names a query or a document there, half a surrogate pair included.
NAMES = st.text(st.characters(), max_size=5)
RUNS = st.dictionaries(
  NAMES,
  st.tuples(SCORES, st.lists(NAMES, max_size=12, unique=True)).map(
    lambda found: [
      Hit(name, score)
      for name, score in zip(
        found[1], sorted(found[0], reverse=True), strict=False
      )
    ]
  ),
  max_size=4,
)


@pytest.mark.parametrize('format', ['beir', 'kilt'])
@hypothesis.given(run=RUNS)
@hypothesis.settings(max_examples=100)
def test_what_is_written_is_read(tmp_path_factory, format, run):
  path = tmp_path_factory.getbasetemp() / 'any'
  queries = {query_id: f'<{query_id}>' for query_id in run}
  run_formats.write_run(path, run, format, queries=queries)
  read = run_formats.read_run(path, format)
  # Queries without hits too, in order, and scores as trec_eval must see them.
  expected = runs.trec_scores(run)
  assert [(q, list(s.items())) for q, s in read.items()] == [
    (q, list(s.items())) for q, s in expected.items()
  ]
  path.read_bytes().decode('ascii')


def test_the_beir_file_is_json(tmp_path):
  path = tmp_path / 'run.json'
  run = {'q 1': [Hit('d"9', 2.0), Hit('é', 2.0)], 'none': []}
  run_formats.write_run(path, run, 'beir')
  assert path.read_text() == (
    '{\n"q 1": {"d\\"9": 2.0, "\\u00e9": 1.9999999},\n"none": {}\n}\n'
  )
  run_formats.write_beir(path, {})
  assert json.loads(path.read_text()) == {}
  assert os.listdir(tmp_path) == ['run.json']


def test_pytrec_eval_takes_a_beir_run(tmp_path):
  pytrec_eval = pytest.importorskip('pytrec_eval')
  run = {'q': [Hit('a', 1.0), Hit('b', 1.0), Hit('c', 1.0)], 'none': []}
  run_formats.write_beir(tmp_path / 'run.json', run)
  evaluator = pytrec_eval.RelevanceEvaluator(
    {'q': {'b': 1}, 'none': {'b': 1}}, {'recip_rank'}
  )
  found = evaluator.evaluate(json.loads((tmp_path / 'run.json').read_text()))
  assert found == {'q': {'recip_rank': 0.5}, 'none': {'recip_rank': 0.0}}


def test_the_kilt_file_is_a_guess_a_query(tmp_path):
  path = tmp_path / 'run.jsonl'
  texts = {'7': Document('7', 'Title', 'Text'), '9': Document('9', '', 'Body')}
  run_formats.write_kilt(
    path,
    {'q': [Hit('7', 2.5, 'shown'), Hit('9', 1.0)], 'none': []},
    {'q': 'who?', 'none': '', 'other': 'x'},
    documents=texts.__getitem__,
  )
  assert [json.loads(line) for line in path.read_text().splitlines()] == [
    {
      'id': 'q',
      'input': 'who?',
      'output': [
        {
          'provenance': [
            {
              'wikipedia_id': '7',
              'title': 'Title',
              'text': 'Text',
              'score': 2.5,
            },
            {'wikipedia_id': '9', 'text': 'Body', 'score': 1.0},
          ]
        }
      ],
    },
    {'id': 'none', 'input': '', 'output': [{'provenance': []}]},
  ]
  with pytest.raises(
    ValueError,
    match=r"^Expected the text of query 'q' for a KILT run, got .*1 ",
  ):
    run_formats.write_run(path, {'q': []}, 'kilt', queries={'x': ''})


def kilt_line(query_id, *provenance):
  return json.dumps({'id': query_id, 'output': [{'provenance': provenance}]})


@pytest.mark.parametrize(
  ('doc_id', 'page', 'first', 'last'),
  [
    ('290-3', '290', 3, 3),
    ('290-3-12', '290', 3, 12),
    ('a-b-0', 'a-b', 0, 0),
    ('a-1-2-3', 'a-1', 2, 3),
  ],
)
def test_passages_of_pages(doc_id, page, first, last):
  assert run_formats.passage(doc_id) == {
    'wikipedia_id': page,
    'start_paragraph_id': first,
    'end_paragraph_id': last,
  }


@pytest.mark.parametrize('page', ['290', 'a-b', 'a-1-2', 'a-1:2'])
def test_passages_of_kilt_tell_their_characters(page):
  assert run_formats.passage(f'{page}-3:14-5:0') == {
    'wikipedia_id': page,
    'start_paragraph_id': 3,
    'start_character': 14,
    'end_paragraph_id': 5,
    'end_character': 0,
  }


@pytest.mark.parametrize(
  'doc_id', ['', '290', '290-', '-3', '290-x', '2-3 ', '2-3:', '2-3:1-:2']
)
def test_what_is_no_passage(doc_id):
  with pytest.raises(ValueError, match='Expected the id of a passage, PAGE-PA'):
    run_formats.passage(doc_id)


def test_kilt_guesses_of_others_are_read(tmp_path):
  path = tmp_path / 'run.jsonl.gz'
  page = [{'wikipedia_id': i} for i in (3, '1', 2)]
  lines = [
    # No scores, numbers as ids, a page twice, a provenance without a page.
    kilt_line(5, page[0], {'title': 'x'}, page[1], page[0], page[2]),
    # Scores that do not fall are no ranking: the order is.
    kilt_line('ties', page[0] | {'score': 1.0}, page[1] | {'score': 1}),
    kilt_line('close', page[0] | {'score': 1 + 1e-9}, page[1] | {'score': 1}),
    kilt_line('some', page[0] | {'score': 9}, page[1]),
    kilt_line('falling', page[0] | {'score': 9}, page[1] | {'score': -2.5}),
    json.dumps({'id': 'answer only', 'output': [{'answer': 'x'}]}),
  ]
  path.write_bytes(gzip.compress('\n'.join(lines).encode()))
  two = {'3': 2.0, '1': 1.0}
  assert run_formats.read_kilt(path) == {
    '5': {'3': 3.0, '1': 2.0, '2': 1.0},
    'ties': two,
    'close': two,
    'some': two,
    'falling': {'3': 9.0, '1': -2.5},
    'answer only': {},
  }


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('{', 'line 2: expected one JSON object, found text that does not parse'),
    ('[]', 'line 2: expected a JSON object with id, input and output, found'),
    ('{"id": 1}', "line 2: expected exactly one output of record '1', found 0"),
    ('{"output": [{}]}', 'line 2: expected an id'),
    ('{"id": 1, "output": []}', 'exactly one output'),
    ('{"id": 1, "output": [{}, {}]}', 'exactly one output'),
    ('{"id": 1, "output": ["x"]}', "record '1', output 1: expected an object"),
    ('{"id": 1, "output": [{"provenance": [3]}]}', 'provenance 1: expected an'),
    ('{"id": 0, "output": [{}]}', "line 2: record '0' was already given in"),
  ],
)
def test_bad_guesses_are_named(tmp_path, line, message):
  path = tmp_path / 'run.jsonl'
  path.write_text(f'{{"id": "0", "output": [{{}}]}}\n{line}\n')
  with pytest.raises(ValueError, match=message):
    run_formats.read_kilt(path)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'run.json: expected one JSON object .* does not parse'),
    ('[]', 'found list; write the run again'),
    ('{"q": [1]}', r"for query 'q', found \[1\]"),
    ('{"q": {"d": "1"}}', 'finite scores'),
    ('{"q": {"d": true}}', 'finite scores'),
    ('{"q": {"d": NaN}}', 'finite scores'),
    ('{"q": {"d": 1e39}}', 'finite scores'),
    ('{"q": {"d": 1, "d": 2}}', "'d' is listed twice"),
    ('{"q": {}, "p": {}, "q": {}}', "'q' is listed twice"),
  ],
)
def test_bad_beir_files_are_named(tmp_path, text, message):
  path = tmp_path / 'run.json'
  path.write_text(text)
  with pytest.raises(ValueError, match=message):
    run_formats.read_beir(path)


def test_formats_by_name(tmp_path):
  path = tmp_path / 'run'
  run = {'q': [Hit('a', 1.0)]}
  run_formats.write_run(path, run, tag='mine')
  assert path.read_text() == 'q Q0 a 1 1.0 mine\n'
  assert run_formats.read_run(path) == {'q': {'a': 1.0}}
  message = r"^Expected a format .*\(trec, beir, kilt\), got 'csv'; choose one"
  with pytest.raises(ValueError, match=message):
    run_formats.write_run(path, run, 'csv')
  with pytest.raises(ValueError, match=message):
    run_formats.read_run(path, 'csv')
