# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import pathlib
import re
import sys

import hypothesis
import kilt_files
import pytest
from hypothesis import strategies as st

from genret import kilt_answers, kilt_metrics, kilt_records, tools

# What KILT's own program says; the file names its version.
OFFICIAL = json.loads(
  (pathlib.Path(__file__).parent / 'testdata/kilt_official.json').read_text()
)
CASES = ['hand', *OFFICIAL['random']]


def case(name, folder):
  """The two files of a case and what the official program says of them."""
  if name == 'hand':
    of = OFFICIAL['hand']
    gold, guesses = of['gold'], of['guesses']
  else:
    of = OFFICIAL['random'][name]
    gold, guesses = kilt_files.random_files(int(name), of['records'])
    drawn = hashlib.sha256(json.dumps([gold, guesses]).encode()).hexdigest()
    assert drawn == of['sha256'], 'other records are drawn than were measured'
  paths = [
    str(kilt_files.write(folder / name, records))
    for name, records in (('gold', gold), ('run', guesses))
  ]
  return *paths, of['expected']


@pytest.mark.parametrize('name', CASES)
def test_every_digit_is_that_of_kilts_program(name, tmp_path):
  gold, run, expected = case(name, tmp_path)
  for level, figures in expected['retrieval'].items():
    found = kilt_metrics.evaluate(gold, run, ks=OFFICIAL['ks'], level=level)
    assert found.retrieval == figures
    assert found.downstream == expected['downstream']
    assert found.kilt == expected['kilt']
  assert list(kilt_metrics.LEVELS) == list(expected['retrieval'])


def evaluate(*words) -> int:
  return tools.main(['evaluate', '--format', 'kilt', *words])


def test_the_command_says_the_same(tmp_path, capsys):
  gold, run, expected = case('0', tmp_path)
  words = ['--gold', gold, '--run', run, '--ks', '20,2']
  assert evaluate(*words, '--level', 'passage', '--json') == 0
  found = json.loads(capsys.readouterr().out)
  figures = expected['retrieval']['passage']
  assert found['retrieval'] == {
    name: value
    for name, value in figures.items()
    if name.partition('@')[2] in ('', '2', '20')
  }
  assert found['downstream'] == expected['downstream']
  assert found['kilt'] == expected['kilt']
  assert (found['level'], found['records']) == ('passage', 40)
  assert found['unjudged_guesses'] == 2


def test_the_table_is_read_by_a_person(tmp_path, capsys):
  gold, run, _ = case('hand', tmp_path)
  assert evaluate('--gold', gold, '--run', run, '--ks', '1,5') == 0
  assert capsys.readouterr().out == TABLE


TABLE = """\
             Rprec  entity_in_input
-----------------------------------
page level  0.7000           0.4000

                               @1      @5
-----------------------------------------
precision                  0.4000  0.2000
recall                          -  0.5000
success_rate                    -  0.6000
answer_in_context          0.2000  0.6000
entity_in_context          0.0000  0.4000
answer_and_ent_in_context  0.0000  0.4000

         accuracy      em      f1  rougel
-----------------------------------------
answers    0.2000  0.8000  0.6000  0.4000
KILT       0.2000  0.6000  0.4000  0.2000

5 records
gold records that name no page: 2
"""


def test_guesses_without_answers_are_measured_as_rankings(tmp_path, capsys):
  gold, run, expected = case('1', tmp_path)
  guesses = [json.loads(line) for line in open_lines(run)]
  for guess in guesses:
    guess['output'][0].pop('answer')
  kilt_files.write(pathlib.Path(run), guesses)
  found = kilt_metrics.evaluate(gold, run, ks=OFFICIAL['ks'])
  assert found.retrieval == expected['retrieval']['page']
  assert (found.downstream, found.kilt) == ({}, {})
  assert evaluate('--gold', gold, '--run', run) == 0
  out = capsys.readouterr().out
  assert 'the guesses have no answers: retrieval alone' in out
  assert 'rougel' not in out


def open_lines(path):
  return pathlib.Path(path).read_text().splitlines()


def gold_of(*evidence, **fields):
  """A gold record; evidence: pages of each output, None for no provenance."""
  outputs = [
    {'answer': 'x'}
    | (
      {}
      if pages is None
      else {'provenance': [{'wikipedia_id': page} for page in pages]}
    )
    for pages in evidence
  ]
  line = json.dumps({'id': 'q', 'input': 'i', 'output': outputs} | fields)
  return kilt_records.parse_record('gold, line 1', line)


def guess_of(*pages, **fields):
  provenance = tuple({'wikipedia_id': page} for page in pages)
  return kilt_records.Output(provenance=provenance, **fields)


@pytest.mark.parametrize(
  ('pages', 'evidence', 'ranked', 'sets', 'r_precision'),
  [
    ('ab', ['a'], [True, False], 1, 1.0),
    ('ba', ['a'], [False, True], 1, 0.0),
    # A pair stands where its second page does, and takes one place.
    ('axb', ['ab'], [False, True], 1, 0.5),
    ('abx', ['ab'], [True, False], 1, 1.0),
    # A repeated guess takes no second place; a repeated set is no second one.
    ('xxa', ['a', 'a'], [False, True], 1, 0.0),
    # A page of two sets takes two places.
    ('ab', ['ab', 'a'], [True, True], 2, 1.0),
    # An empty provenance is a set that nobody completes, a missing one is none.
    ('a', ['a', '', ''], [True], 2, 1.0),
    ('a', ['a', None], [True], 1, 1.0),
    ('a', [None], [False], 0, 0.0),
    ('', ['a'], [], 1, 0.0),
    # The best output counts.
    ('cxab', ['ab', 'c'], [True, False, True], 2, 1.0),
  ],
)
def test_rankings_worked_by_hand(pages, evidence, ranked, sets, r_precision):
  guess, gold = guess_of(*pages), gold_of(*evidence)
  assert kilt_metrics.evidence_ranking(guess, gold) == (ranked, sets)
  assert kilt_metrics.r_precision(guess, gold) == r_precision


PAGES = st.lists(st.sampled_from('abcde'), max_size=5)


@hypothesis.given(PAGES, st.lists(PAGES, min_size=1, max_size=4))
def test_complete_sets_are_counted_as_by_brute_force(pages, evidence):
  """However the places lie, each set that was guessed whole counts once."""
  ranked, count = kilt_metrics.evidence_ranking(
    guess_of(*pages), gold_of(*evidence)
  )
  sets = {frozenset(members) for members in evidence}
  assert count == len(sets)
  assert sum(ranked) == sum(s != set() and s <= set(pages) for s in sets)
  whole = kilt_metrics.retrieval_measures(
    guess_of(*pages), gold_of(*evidence), ks=[100]
  )
  assert whole['recall@100'] == sum(ranked) / count


@pytest.mark.parametrize(
  ('text', 'normal'),
  [
    ('The  Iliad!', 'iliad'),
    ('the-end of A-Z', 'theend of az'),
    ('an apple a day', 'apple day'),
    ('Été … «ok»', 'été … «ok»'),
    ('the', ''),
  ],
)
def test_answers_are_normalised_in_this_order(text, normal):
  assert kilt_answers.normalise_answer(text) == normal


def test_answers_measured_by_hand():
  assert kilt_answers.token_f1('the cat sat', 'a cat lay') == 0.5
  assert kilt_answers.token_f1('x x y', 'x') == pytest.approx(0.5)
  # Both empty when normalised: equal, and yet no word is shared.
  assert kilt_answers.exact_match('The', 'a') == 1
  assert kilt_answers.token_f1('The', 'a') == 0
  # Words b and c of three and of four, none of them normalised.
  expected = 2 * (2 / 3 * 2 / 4) / (2 / 3 + 2 / 4)
  assert kilt_answers.rouge_l('a b c', 'b x y c') == pytest.approx(expected)
  assert kilt_answers.rouge_l('A', 'a') == 0
  assert kilt_answers.rouge_l('...', 'a') == kilt_answers.rouge_l('a', '.') == 0
  best = kilt_answers.best_of(kilt_answers.token_f1, 'x y', ['z', 'x', 'x y'])
  assert best == 1


def test_a_long_answer_is_measured():
  """KILT's program stops here, its ROUGE recurses once a word."""
  text = ' '.join(f'w{i}' for i in range(sys.getrecursionlimit()))
  before = sys.getrecursionlimit()
  assert kilt_answers.rouge_l(text, text) == pytest.approx(1)
  assert sys.getrecursionlimit() == before


def test_gold_answers_are_stripped_and_distinct():
  outputs = [{'answer': t} for t in (' x', 'x', '', None, 'X')] + [{}]
  gold = gold_of(output=outputs)
  assert kilt_metrics.gold_answers(gold) == ['x', 'X']
  scores = kilt_metrics.answer_measures(guess_of(answer=' X '), gold)
  assert scores['accuracy'] == scores['em'] == scores['f1'] == 1
  assert scores['KILT-em'] == 0  # no page was asked for, none was found
  empty = kilt_metrics.answer_measures(guess_of(answer='  '), gold)
  assert set(empty.values()) == {0}


GOLD = {'id': 'q', 'input': 'i', 'output': [{'answer': 'x', 'provenance': []}]}
GUESS = {'id': 'q', 'output': [{'answer': 'x', 'provenance': []}]}
ONE = GUESS['output'][0]


@pytest.mark.parametrize(
  ('gold', 'run', 'message'),
  [
    ([GOLD], [], "a guess for each of the 1 records of .*, first 'q'"),
    ([], [GUESS], 'gold: expected records, found none'),
    (
      [GOLD],
      [GUESS, GUESS],
      "run, line 2: record 'q' was already given in .*run, line 1",
    ),
    ([GOLD, GOLD], [GUESS], "gold, line 2: record 'q' was already given"),
    (
      [GOLD],
      [GUESS | {'output': [ONE, ONE]}],
      "run, line 1: expected exactly one output of record 'q', found 2",
    ),
    ([GOLD], [GUESS | {'output': []}], "one output of record 'q', found 0"),
    ([GOLD], [{'id': 'q'}], "one output of record 'q', found 0"),
    (
      [GOLD],
      [GUESS | {'output': ONE}],
      "record 'q': expected a list under output, found dict",
    ),
    (
      [GOLD],
      [GUESS | {'output': ['x']}],
      "record 'q', output 1: expected an object with answer or provenance",
    ),
    (
      [GOLD],
      [GUESS | {'output': [ONE | {'answer': ['x']}]}],
      "'q', output 1: expected a string under answer, found list",
    ),
    (
      [GOLD],
      [GUESS | {'output': [ONE | {'answer': True}]}],
      'a string under answer, found bool',
    ),
    (
      [GOLD],
      [GUESS | {'output': [{'provenance': None}]}],
      'expected a list under provenance, found NoneType',
    ),
    (
      [GOLD],
      [GUESS | {'output': [{'provenance': [{}, '12']}]}],
      'output 1, provenance 2: expected an object with wikipedia_id, found str',
    ),
    (
      [GOLD],
      [GUESS | {'output': [{'provenance': [{'wikipedia_id': 1.5}]}]}],
      'expected a string or an integer under wikipedia_id, found 1.5',
    ),
    ([GOLD], [GUESS | {'id': None}], 'run, line 1: expected an id .* None'),
    ([GOLD], [GUESS | {'id': True}], 'run, line 1: expected an id .* True'),
    (
      [GOLD],
      [GUESS, GUESS | {'id': ' q'}],
      "run, line 2: record ' q' was already given with other blanks",
    ),
    (
      [GOLD, GOLD | {'id': 'q\n'}],
      [GUESS],
      r"gold, line 2: record 'q\\n' was already given with other blanks",
    ),
    ([GOLD], ['x'], 'run, line 1: expected a JSON object .*found str'),
    (
      [GOLD | {'output': []}],
      [GUESS],
      "gold, line 1: expected an output of record 'q' in the gold file",
    ),
    ([{'id': 'q', 'input': 'i'}], [GUESS], "an output of record 'q'"),
    ([GOLD | {'input': None}], [GUESS], "expected the input of record 'q'"),
    ([GOLD | {'input': 3}], [GUESS], 'a string under input, found int'),
    (
      [GOLD | {'output': [{'answer': None}]}],
      [GUESS],
      "gold, line 1: expected a gold answer for record 'q', whose guess has",
    ),
    (
      [GOLD, GOLD | {'id': 'r'}],
      [GUESS, {'id': 'r', 'output': [{'provenance': []}]}],
      "run, line 2: expected an answer for record 'r', as 'q' has one",
    ),
  ],
)
def test_what_is_wrong_is_named(gold, run, message, tmp_path):
  paths = [
    kilt_files.write(tmp_path / name, records)
    for name, records in (('gold', gold), ('run', run))
  ]
  with pytest.raises(ValueError, match=message):
    kilt_metrics.evaluate(*paths)


def test_a_line_that_is_no_json_is_named(tmp_path):
  gold = kilt_files.write(tmp_path / 'gold', [GOLD])
  (tmp_path / 'run').write_text('{"id": 1,\n')
  with pytest.raises(ValueError, match='run, line 1: expected one JSON object'):
    kilt_metrics.evaluate(gold, tmp_path / 'run')


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['--ks', '0,1'], r'expected cut-offs of 1 or more, got \[0, 1\]'),
    (['--ks', '1;5'], "expected --ks of positive integers .*'1;5'"),
    (['--format', 'trec'], 'expected --format kilt with --gold, found trec'),
    (['--qrels', 'q'], 'expected --gold without --qrels, found both'),
    (['--baseline', 'b'], 'expected --gold without --baseline'),
    (['--measures', 'RR@10'], 'expected --gold without --measures'),
    (['--unseen-share', '.5'], 'expected --gold without --unseen-share'),
    (['--gold', 'gone'], 'expected --gold to be a file .* no file gone'),
    (['--run', 'gone'], 'expected --run to be a file .* no file gone'),
  ],
)
def test_user_errors_are_one_sentence(words, message, tmp_path, capsys):
  gold, run, _ = case('hand', tmp_path)
  assert evaluate('--gold', gold, '--run', run, *words) == 2
  out, err = capsys.readouterr()
  assert out == ''
  assert err.count('\n') == 1
  assert re.search(message, err, re.IGNORECASE)
  assert tools.main(['evaluate', '--run', run]) == 2
  assert 'expected --qrels, or --gold with' in capsys.readouterr().err


def test_a_level_that_is_none_is_refused(tmp_path):
  gold, run, _ = case('hand', tmp_path)
  with pytest.raises(ValueError, match=r'page, passage, title\), got .url'):
    kilt_metrics.evaluate(gold, run, level='url')
