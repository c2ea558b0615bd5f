# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import gzip
import json
import re

import numpy as np
import pytest
import pytrec_eval

from genret import metrics, run_formats, runs, tools
from genret.unseen import unseen_documents

QRELS = 'q1 0 d1 1\nq1 0 d2 2\nq2 0 d3 1\nq3 0 d4 1\n'
RUN = 'q1 Q0 d2 1 2.0 a\nq1 Q0 d1 2 1.0 a\nq2 Q0 d9 1 1.0 a\nq8 Q0 d1 1 1 a\n'
OTHER = 'q1 Q0 d9 1 2.0 b\nq1 Q0 d1 2 2.0 b\nq3 Q0 d4 1 1.0 b\n'


@pytest.fixture
def files(tmp_path):
  paths = {}
  for name, text in (('qrels', QRELS), ('mine', RUN), ('other', OTHER)):
    (tmp_path / name).write_text(text)
    paths[name] = str(tmp_path / name)
  return paths


def evaluate(*words) -> int:
  return tools.main(['evaluate', *words])


def test_the_table_is_read_by_a_person(files, capsys):
  assert evaluate('--run', files['mine'], '--qrels', files['qrels']) == 0
  assert capsys.readouterr().out == (
    '      Success@1  Success@10   RR@10  nDCG@10   R@100\n'
    '----------------------------------------------------\n'
    'mine     0.3333      0.3333  0.3333   0.3333  0.3333\n'
    '\n'
    '3 judged queries\n'
    'mine: judged queries without a document, each scored 0: 1\n'
    'mine: queries without judgements, left out: 1\n'
  )


def test_seen_and_unseen_documents_apart(files, capsys):
  share = ['--unseen-share', '0.5', '--unseen-seed', '8']
  words = ['--run', files['mine'], '--qrels', files['qrels'], *share]
  unseen = unseen_documents(['d1', 'd2', 'd3', 'd4'], 0.5, 8)
  assert {'d4'} < unseen < {'d1', 'd2', 'd3', 'd4'}
  hidden = {'q1': {'d1', 'd2'}, 'q2': {'d3'}, 'q3': {'d4'}}
  hidden = {qid for qid, of in hidden.items() if of <= unseen}
  assert evaluate(*words, '--measures', 'Success@1', '--json') == 0
  found = json.loads(capsys.readouterr().out)
  value = {'q1': 1.0, 'q2': 0.0, 'q3': 0.0}
  for part, qids in (('unseen', hidden), ('seen', set(value) - hidden)):
    assert found[part] == {
      'measures': {'Success@1': sum(value[q] for q in qids) / len(qids)},
      'judged_queries': len(qids),
    }
  assert evaluate(*words, '--baseline', files['other']) == 0
  shown = capsys.readouterr().out
  assert '\nmine, unseen  ' in shown
  assert f'{len(hidden)} of them for unseen documents' in shown


def test_every_format_of_runs(files, tmp_path, capsys):
  words = ['--qrels', files['qrels'], '--json']
  found = {}
  run = runs.read_trec(files['mine'])
  hits = {
    qid: [runs.Hit(d, s) for d, s in scores.items()]
    for qid, scores in run.items()
  }
  for name in run_formats.FORMATS:
    path = tmp_path / f'run.{name}'
    run_formats.write_run(path, hits, name, queries=dict.fromkeys(hits, 'q'))
    assert evaluate('--run', str(path), '--format', name, *words) == 0
    found[name] = json.loads(capsys.readouterr().out)['measures']
  assert found['trec'] == found['beir'] == found['kilt']
  assert found['trec']['RR@10'] == pytest.approx(1 / 3)


def test_json_has_the_same_and_more(files, capsys):
  words = ['--run', files['mine'], '--qrels', files['qrels'], '--json']
  words += ['--baseline', files['other'], '--measures', 'RR@10', 'P(rel=2)@1']
  assert evaluate(*words) == 0
  assert json.loads(capsys.readouterr().out) == {
    'run': files['mine'],
    'qrels': files['qrels'],
    'measures': {
      'RR@10': pytest.approx(1 / 3),
      'P(rel=2)@1': pytest.approx(1 / 3),
    },
    'judged_queries': 3,
    'missing_queries': 1,
    'unjudged_queries': 1,
    'baseline': files['other'],
    # The tie puts d9 before d1.
    'baseline_measures': {'RR@10': pytest.approx(0.5), 'P(rel=2)@1': 0.0},
    'baseline_missing_queries': 1,
    # Two queries differ, by 1/2 and by 1: every exchange is at least so far.
    'p_values': {'RR@10': pytest.approx(1.0), 'P(rel=2)@1': 1.0},
  }


def test_a_baseline_adds_a_row_and_p(files, tmp_path, capsys):
  words = ['--run', files['mine'], '--qrels', files['qrels']]
  assert evaluate(*words, '--baseline', files['other']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines[2:5]] == ['mine', 'other', 'p']
  assert lines[4].split()[1:] == ['1.0000'] * 5
  assert 'p: paired randomization test, two-sided' in lines
  assert 'other: judged queries without a document, each scored 0: 1' in lines
  # Files of one name are told apart by their folders; one file may meet itself.
  (tmp_path / 'b').mkdir()
  twin = tmp_path / 'b' / 'mine'
  twin.write_text(OTHER)
  assert evaluate(*words, '--baseline', str(twin)) == 0
  out = capsys.readouterr().out
  assert f'\n{files["mine"]} ' in out
  assert f'\n{twin} ' in out
  assert evaluate(*words, '--baseline', files['mine']) == 0
  assert 'mine (again)' in capsys.readouterr().out


def test_p_is_that_of_the_two_runs(tmp_path, capsys):
  for name, lines in (
    ('qrels', [f'q{i} 0 d 1' for i in range(8)]),
    ('mine', [f'q{i} Q0 d 1 1 t' for i in range(8)]),
    ('other', [f'q{i} Q0 e 1 1 t' for i in range(8)]),
  ):
    (tmp_path / name).write_text('\n'.join(lines))
  words = ['--run', str(tmp_path / 'mine'), '--qrels', str(tmp_path / 'qrels')]
  words += ['--baseline', str(tmp_path / 'other'), '--measures', 'RR@10']
  assert evaluate(*words, '--json') == 0
  found = json.loads(capsys.readouterr().out)
  assert found['p_values'] == {'RR@10': 2 / 2**8}
  assert evaluate(*words) == 0
  assert 'p      0.0078\n' in capsys.readouterr().out


def test_files_agree_with_trec_eval(tmp_path, capsys):
  """Random files with ties, read and scored by pytrec_eval on its own."""
  rng = np.random.default_rng(0)
  qrel_lines, run_lines = [], []
  for query in range(40):
    qrel_lines += [
      f'q{query} 0 d{doc} {rng.integers(0, 3)}'
      for doc in rng.choice(30, 4, replace=False)
    ]
    for rank, doc in enumerate(rng.choice(30, 20, replace=False)):
      if query % 7:  # the others are missing
        score = rng.integers(0, 5)
        run_lines.append(f'q{query} Q0 d{doc} {rank} {score} t')
  (tmp_path / 'qrels').write_text('\n'.join(qrel_lines))
  (tmp_path / 'run.gz').write_bytes(
    gzip.compress('\n'.join(run_lines).encode())
  )
  words = ['--run', str(tmp_path / 'run.gz'), '--qrels']
  assert evaluate(*words, str(tmp_path / 'qrels'), '--json') == 0
  ours = json.loads(capsys.readouterr().out)['measures']
  names = {
    'Success@1': 'success_1', 'Success@10': 'success_10',
    'RR@10': 'recip_rank', 'nDCG@10': 'ndcg_cut_10', 'R@100': 'recall_100',
  }  # fmt: skip
  with open(tmp_path / 'qrels') as file:
    qrels = pytrec_eval.parse_qrel(file)
  run = pytrec_eval.parse_run(run_lines)
  values = pytrec_eval.RelevanceEvaluator(qrels, set(names.values()))
  values = values.evaluate(run)
  assert list(ours) == list(names)
  for name, official in names.items():
    found = [values[q][official] if q in values else 0.0 for q in qrels]
    if name == 'RR@10':  # trec_eval's has no cut
      found = [value if value >= 1 / 10 else 0.0 for value in found]
    assert ours[name] == pytest.approx(np.mean(found)), name
  assert list(ours) == list(metrics.MEASURES)


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['--format', 'dpr'], "one of trec, beir, kilt, found 'dpr'"),
    (['--measures', 'Hits@1'], "such as Success@1, .*found 'Hits@1'"),
    (['--run', 'gone'], 'Expected a run file, found no file gone; check'),
    (['--run', '.'], 'Expected a run file, found no file \\.; check the'),
    (['--baseline', 'gone'], 'a run file, found no file gone; check the'),
    (['--qrels', 'gone'], 'gone: expected a file of judgements, found no such'),
    (['--qrels', '.'], 'expected a file of judgements, found a folder; name'),
    (['--qrels', 'genret:squadshifts_wiki'], 'expected genret:.*/SPLIT with'),
  ],
)  # fmt: skip
def test_user_errors_are_one_sentence(files, capsys, words, message):
  given = ['--run', files['mine'], '--qrels', files['qrels'], *words]
  assert evaluate(*given) == 2
  out, err = capsys.readouterr()
  assert out == ''
  assert err.startswith('genret evaluate: ')
  assert err.count('\n') == 1
  assert re.search(message, err)


def test_a_bad_line_is_named(files, capsys):
  with open(files['mine'], 'a') as file:
    file.write('q1 Q0 d5 0.5\n')
  assert evaluate('--run', files['mine'], '--qrels', files['qrels']) == 2
  assert 'mine, line 5: expected qid Q0 docid' in capsys.readouterr().err


def test_help_shows_an_example(capsys):
  with pytest.raises(SystemExit) as stopped:
    evaluate('--help')
  assert stopped.value.code == 0
  out = capsys.readouterr().out
  assert 'genret evaluate --run genret.trec --qrels qrels/test.tsv' in out
  assert 'default: Success@1 Success@10 RR@10 nDCG@10 R@100' in ' '.join(
    out.split()
  )


def test_ids_of_another_corpus_are_told(files, tmp_path, capsys):
  run = tmp_path / 'foreign'
  run.write_text(RUN.replace(' d', ' page'))
  assert evaluate('--run', str(run), '--qrels', files['qrels']) == 0
  assert 'No document of' in capsys.readouterr().err
  assert evaluate('--run', files['mine'], '--qrels', files['qrels']) == 0
  assert capsys.readouterr().err == ''


def test_a_part_of_which_nothing_is_found_is_no_other_corpus(tmp_path, capsys):
  unseen = unseen_documents([f'd{n}' for n in range(20)], 0.5, 0)
  seen = sorted({f'd{n}' for n in range(20)} - unseen)[0]
  qrels, run = tmp_path / 'qrels', tmp_path / 'run'
  qrels.write_text(f'q1 0 {seen} 1\nq2 0 {min(unseen)} 1\n')
  run.write_text(f'q1 Q0 {seen} 1 1.0 a\nq2 Q0 {seen} 1 1.0 a\n')
  words = ('--run', str(run), '--qrels', str(qrels), '--unseen-share', '0.5')
  assert evaluate(*words) == 0
  assert capsys.readouterr().err == ''


def session_files(tmp_path, write):
  """Three sessions of two queries; [after][of] the share found first."""
  share = [[1.0, 0.5, None], [0.5, 1.0, None], [0.0, 1.0, 0.5]]
  names = [
    f'{tmp_path}/{kind}{i}' for kind in ('gold', 'run') for i in (0, 1, 2)
  ]
  for session in range(3):
    write(names[session], [(f'q{session}{n}', 'right') for n in range(2)], True)
    guesses = [
      (f'q{of}{n}', 'right' if n < 2 * value else 'wrong')
      for of, value in enumerate(share[session])
      if value is not None
      for n in range(2)
    ]
    write(names[3 + session], guesses, False)
  return share, names[:3], names[3:]


def write_kilt(path, pairs, _):
  lines = [
    {'id': qid, 'input': 'q', 'output': [{'provenance': [{'wikipedia_id': p}]}]}
    for qid, p in pairs
  ]
  with open(path, 'w') as file:
    file.write(''.join(f'{json.dumps(line)}\n' for line in lines))


def write_trec(path, pairs, judged):
  form = '{} 0 {} 1\n' if judged else '{} Q0 {} 1 1.0 r\n'
  with open(path, 'w') as file:
    file.write(''.join(form.format(*pair) for pair in pairs))


@pytest.mark.parametrize(
  ('write', 'flag', 'more', 'measure'),
  [
    (write_kilt, '--gold', ['--format', 'kilt'], 'Rprec'),
    (write_trec, '--qrels', ['--measures', 'Success@1'], 'Success@1'),
  ],
)
def test_what_sessions_keep_and_lose(
  tmp_path, capsys, write, flag, more, measure
):
  share, judged, guesses = session_files(tmp_path, write)
  words = [flag, *judged, '--run', *guesses, *more]
  assert evaluate(*words, '--json') == 0
  found = json.loads(capsys.readouterr().out)
  of = found['measures'][measure]
  assert of['performance'] == share
  assert of['after_each_session'][0]['average_performance'] == 1
  assert of['after_each_session'][2] == {
    'average_performance': (0 + 1 + 0.5) / 3,
    'backward_transfer': ((0 - 1) + (1 - 1)) / 2,
    'forgetting': ((1 - 0) + (1 - 1)) / 2,
    'forward_transfer': None,  # no run was asked for session 2 before
    'learning_performance': (1 + 0.5) / 2,
  }
  assert evaluate(*words) == 0
  text = capsys.readouterr().out
  assert re.search(rf'{measure} after session 2 +0.0000 +1.0000 +0.5000', text)
  assert re.search(r'to session 2 +0.5000 +-0.5000 +0.5000 +- +0.7500', text)
  # A run that was not asked for its own session, and another number of files.
  assert evaluate(flag, *judged, '--run', *guesses[1:], guesses[0], *more) == 2
  assert 'queries of session 2 after session 2' in capsys.readouterr().err
  assert evaluate(flag, *judged[:2], '--run', *guesses, *more) == 2
  assert 'as many runs as' in capsys.readouterr().err
