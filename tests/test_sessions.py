# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A corpus in sessions, and KILT folders of them."""

import collections
import gzip
import json
import math
import pathlib
import random
import re

import hypothesis
import kilt_files
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from genret import corpus, kilt_pages, kilt_records, sessions, tools, unseen
from genret.corpora import recipes, session_folders
from genret.corpora.beir_writer import new_folder, text_file
from genret.corpora.public_files import PublicFiles
from genret.docids.table import DocidTable

IDS = [str(number) for number in range(20_000)]


def test_shares_hold_in_expectation():
  split = sessions.drawn()
  assert split.count == 5
  counts = [0] * 5
  for name in IDS:
    counts[split.of(name)] += 1
  for count, share in zip(counts, sessions.SHARES, strict=True):
    spread = math.sqrt(len(IDS) * share * (1 - share))
    assert abs(count - share * len(IDS)) < 4 * spread


def test_fractions_look_uniform():
  found = [unseen.fraction('a', number) for number in range(2000)]
  assert min(found) >= 0
  assert max(found) < 1
  assert scipy.stats.kstest(found, 'uniform').pvalue > 0.01
  assert unseen.fraction('b', 0) != found[0]


def test_a_document_is_decided_by_seed_and_id_alone():
  first, other = sessions.drawn(), sessions.drawn(seed=43)
  found = {name: first.of(name) for name in IDS}
  assert {name: sessions.drawn().of(name) for name in reversed(IDS)} == found
  assert sum(found[name] != other.of(name) for name in IDS) > 0.4 * len(IDS)
  # Written down: another program or version shall find the same.
  assert [found[str(number)] for number in range(12)] == FIRST


FIRST = [0, 0, 4, 0, 0, 4, 0, 0, 4, 2, 3, 0]


@hypothesis.given(
  st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99)
)
@hypothesis.settings(deadline=None)
def test_every_id_is_in_a_session(parts, seed):
  shares = [part / sum(parts) for part in parts]
  split = sessions.drawn(shares, seed=seed)
  found = {split.of(name) for name in IDS[:300]}
  assert found <= set(range(len(parts)))
  if len(parts) == 1:
    assert found == {0}


@pytest.mark.parametrize('shares', [(), (0.5, 0.4), (1.0, 0.0), (1.5, -0.5)])
def test_bad_shares(shares):
  with pytest.raises(ValueError, match='Expected shares above 0 that add up'):
    sessions.drawn(shares)


def test_lists_of_sessions(tmp_path):
  (tmp_path / 'base').write_text('7\n"12"\n\n')
  (tmp_path / 'later').write_text('"a\\u00e9"\r\n 3 \n')
  ids = [sessions.read_list(tmp_path / name) for name in ('base', 'later')]
  assert ids == [['7', '12'], ['aé', '3']]
  split = sessions.listed(ids)
  assert split.count == 2
  assert [split.of(name) for name in ('7', '12', '3', 'x')] == [0, 0, 1, None]
  with pytest.raises(ValueError, match="'7' is listed in 0 and 1; keep"):
    sessions.listed([['7'], ['7']])
  with pytest.raises(ValueError, match='for each session, got none'):
    sessions.listed([])
  for line in ('two words', '"open', '""'):
    (tmp_path / 'base').write_text(f'7\n{line}\n')
    with pytest.raises(ValueError, match='base, line 2: expected one document'):
      sessions.read_list(tmp_path / 'base')


def test_a_query_belongs_to_the_latest_session_of_its_evidence():
  split = sessions.listed([['a', 'b'], ['c'], ['d']])
  for evidence, session in (
    (['a', 'b'], 0),
    (['c', 'a'], 1),
    (['d', 'x', 'c'], 2),
    (['x'], None),
    ([], None),
  ):
    assert sessions.of_query(split, evidence) == session


def write_kilt(folder, *, pages=80, records=200, words=3, ending=''):
  """Pages 0, 1 ..., and a task file of records with one to four of them."""
  folder.mkdir()
  rng = random.Random(0)
  rows = [
    {
      'wikipedia_id': str(number),
      'wikipedia_title': f'Tïtle {number}',
      'text': [f'Tïtle {number}\n', 'Words of it. ' * (words // 3) + '\n'],
    }
    for number in range(pages)
  ]
  tasks = []
  for number in range(records):
    outputs = [
      {
        'answer': 'x',
        'provenance': [
          {'wikipedia_id': str(rng.randrange(pages + 3))}
          for _ in range(rng.choice([0, 1, 2]))
        ],
      }
      for _ in range(rng.choice([0, 1, 2]))
    ]
    tasks.append({'id': f'q{number}', 'input': 'what', 'output': outputs})
  files = {'kilt_knowledgesource.json': rows, 'nq-dev-kilt.jsonl': tasks}
  files['wow-train-kilt.jsonl'] = [
    {**record, 'id': f'wow {record["id"]}'} for record in tasks[:7]
  ]
  for name, lines in files.items():
    path = kilt_files.write(folder / name, lines)
    if ending:
      path.with_name(f'{name}.gz').write_bytes(gzip.compress(path.read_bytes()))
      path.unlink()
  return rows, tasks, files['wow-train-kilt.jsonl']


def lines_of(path):
  if not path.exists():
    path = path.with_name(f'{path.name}.gz')
    return gzip.decompress(path.read_bytes()).decode().splitlines()
  return path.read_text().splitlines()


@pytest.mark.parametrize('cumulative', [False, True])
@pytest.mark.parametrize('ending', ['', '.gz'])
def test_folders_of_sessions(tmp_path, cumulative, ending):
  pages, records, wow = write_kilt(tmp_path / 'in', ending=ending)
  found = recipes.build_sessions(
    tmp_path / 'in',
    tmp_path / 'out',
    options={'cumulative': cumulative},
    compress=bool(ending),
  )
  split, own = sessions.drawn(), {}
  for page in pages:
    own.setdefault(split.of(page['wikipedia_id']), []).append(json.dumps(page))
  expected = [own[session] for session in range(5)]
  if cumulative:
    source = [json.dumps(page) for page in pages]
    expected = [
      [line for line in source if any(line in own[s] for s in range(t + 1))]
      for t in range(5)
    ]
  assert found.pages == tuple(len(own[session]) for session in range(5))
  known = {page['wikipedia_id'] for page in pages}
  without, missing, asked = 0, set(), [[] for _ in range(5)]
  for record in [*records, *wow]:
    named = [
      entry['wikipedia_id']
      for output in record['output']
      for entry in output['provenance']
    ]
    latest = [split.of(name) for name in named if name in known]
    missing |= set(named) - known
    without += not latest
    asked[max(latest, default=0)].append(json.dumps(record))
  assert found.missing_pages == len(missing) > 0
  assert found.without_evidence == without > 0
  for session in range(5):
    folder = session_folders.folder_of(tmp_path / 'out', session)
    assert lines_of(folder / 'kilt_knowledgesource.json') == expected[session]
    mine = [line for line in asked[session] if '"wow' not in line]
    assert lines_of(folder / 'nq-dev-kilt.jsonl') == mine
    counts = found.records[session]
    assert counts['nq-dev-kilt.jsonl'] == len(mine)
    others = len(asked[session]) - len(mine)
    assert counts.get('wow-train-kilt.jsonl', 0) == others
    assert bool(others) == bool(list(folder.glob('wow*')))
    # It is a corpus; with the pages before, all evidence is in it.
    collection = corpus.load_collection(folder)
    assert len(collection.documents) == len(expected[session])
    if cumulative:
      judged = {d for of in collection.qrels['nq-dev'].values() for d in of}
      ids = {document.doc_id for document in collection.documents}
      assert judged - ids <= missing
  meta = json.loads((tmp_path / 'out' / session_folders.META).read_text())
  assert meta['pages'] == list(found.pages)
  assert meta['options']['seed'] == 42


def test_records_of_a_session_are_read_again(tmp_path):
  write_kilt(tmp_path / 'in')
  session_folders.kilt_sessions(
    PublicFiles(tmp_path / 'in'), tmp_path / 'out', compress=False
  )
  split = sessions.drawn()
  for session in range(5):
    folder = session_folders.folder_of(tmp_path / 'out', session)
    for page in kilt_pages.read_pages(folder):
      assert split.of(page.page_id) == session
    present = {page.page_id for page in kilt_pages.read_pages(folder)}
    for record in kilt_records.read_records(folder / 'nq-dev-kilt.jsonl'):
      if session:
        assert present.intersection(record.page_ids)


def test_the_command_takes_lists(tmp_path, capsys):
  pages, *_ = write_kilt(tmp_path / 'in', pages=9)
  ids = [page['wikipedia_id'] for page in pages]
  (tmp_path / 'a').write_text('\n'.join(ids[:2]))
  (tmp_path / 'b').write_text('\n'.join(map(json.dumps, ids[2:])))
  command = ['corpus', 'kilt-sessions', '--input', str(tmp_path / 'in')]
  command += ['--option', f'lists={tmp_path / "a"},{tmp_path / "b"}']
  assert tools.main([*command, '--output', str(tmp_path / 'out')]) == 0
  out = capsys.readouterr().out
  assert 'session 0  2 new pages, ' in out
  assert 'session 1  7 new pages, ' in out
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
    'session_0',
    'session_1',
    'sessions.json',
  ]
  (tmp_path / 'b').write_text('\n'.join(ids[3:]))
  assert tools.main([*command, '--output', str(tmp_path / 'no')]) == 2
  assert "page '2' in one of the lists, found" in capsys.readouterr().err
  (tmp_path / 'b').write_text('\n'.join([*ids[2:], 'gone']))
  assert tools.main([*command, '--output', str(tmp_path / 'no')]) == 2
  assert 'the 10 pages of the lists, each once' in capsys.readouterr().err
  assert not list(tmp_path.glob('*no*'))


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    (['--option', 'shares=0.6,x'], 'shares to be of type tuple, got'),
    (['--option', 'shares=0.6,0.6'], 'Expected shares above 0 that add up'),
    (['--option', 'share=1'], 'one of seed, shares, lists, cumulative'),
    (['--option', 'shares=0.999999,0.000001'], 'every session, session 1 has'),
    (['--lower-case'], 'kilt-sessions without --lower-case: records are'),
    (['--hold-out', '3'], 'kilt-sessions without --hold-out'),
    (['--drop-missing'], 'kilt-sessions without --drop-missing'),
  ],
)
def test_wrong_arguments_are_one_sentence(tmp_path, capsys, words, said):
  write_kilt(tmp_path / 'in', pages=8)
  command = ['corpus', 'kilt-sessions', '--input', str(tmp_path / 'in')]
  command += ['--output', str(tmp_path / 'out'), *words]
  assert tools.main(command) == 2
  error = capsys.readouterr().err.splitlines()[-1]
  assert said in error
  assert not (tmp_path / 'out').exists()


def test_shares_of_the_command(tmp_path):
  write_kilt(tmp_path / 'in')
  command = ['corpus', 'kilt-sessions', '--input', str(tmp_path / 'in')]
  command += ['--output', str(tmp_path / 'out'), '--plain']
  command += ['--option', 'shares=0.5,0.5', '--option', 'cumulative=true']
  assert tools.main(command) == 0
  meta = json.loads((tmp_path / 'out' / session_folders.META).read_text())
  assert meta['options']['shares'] == [0.5, 0.5]
  last = tmp_path / 'out' / 'session_1' / 'kilt_knowledgesource.json'
  assert lines_of(last) == lines_of(tmp_path / 'in' / last.name)


def test_it_is_no_beir_folder(tmp_path):
  with pytest.raises(ValueError, match='got kilt-sessions; call build_sess'):
    recipes.build(recipes.SESSIONS, tmp_path, tmp_path / 'out')


def test_a_new_folder_is_whole_or_not_there(tmp_path):
  def fail():
    with new_folder(tmp_path / 'out') as folder:
      with text_file(folder / 'a', False) as file:
        file.write('x')
      raise KeyError

  with pytest.raises(KeyError):
    fail()
  assert not list(tmp_path.iterdir())
  with new_folder(tmp_path / 'out') as folder:
    with text_file(folder / 'a', True) as file:
      file.write('x')
  assert [path.name for path in (tmp_path / 'out').iterdir()] == ['a.gz']
  with pytest.raises(FileExistsError, match='Expected --output to be a new'):
    with new_folder(tmp_path / 'out'):
      pass


PAGE = pathlib.Path(__file__).parent.parent / 'docs' / 'kilt.md'


def test_the_section_of_the_page_runs(tmp_path, monkeypatch, capsys):
  text = PAGE.read_text(encoding='utf-8')
  section = text.split('## New pages (CorpusBrain++)')[1].split('\n## ')[0]
  blocks = re.findall(r'^```(\w*)\n(.*?)^```$', section, re.M | re.S)
  assert [name for name, _ in blocks] == ['', 'python', '', '', '', 'python']
  commands, learning, writing, flags, keeping, measuring = (
    block for _, block in blocks
  )
  monkeypatch.chdir(tmp_path)
  write_kilt(tmp_path / 'kilt', words=140)
  slots = [
    {
      'id': f'x{number}',
      'input': f'x [SEP] relation {number}',
      'output': [{'provenance': [{'wikipedia_id': str(number)}]}],
    }
    for number in range(80)
  ]
  kilt_files.write(tmp_path / 'kilt' / 'trex-train-kilt.jsonl', slots)
  for line in commands.replace('\\\n', ' ').splitlines():
    command, *words = line.split()
    assert command == 'genret'
    assert tools.main(words) == 0
  old, new = (DocidTable.load(f'titles_{number}') for number in range(2))
  named = [
    {
      name: row[:length].tolist()
      for name, row, length in zip(
        table.doc_ids, table.token_rows_DxL, table.lengths_D, strict=True
      )
    }
    for table in (old, new)
  ]
  assert named[0].items() < named[1].items()
  meta = json.loads(pathlib.Path('sessions/sessions.json').read_text())
  assert (len(old), len(new)) == (meta['pages'][0], sum(meta['pages'][:2]))
  for number in range(2):
    vectors = np.random.default_rng(number).normal(
      size=(meta['pages'][number], 3)
    )
    np.save(f'session_{number}.npy', vectors)
  capsys.readouterr()
  namespace = {}
  exec(compile(learning, 'docs/kilt.md', 'exec'), namespace)
  out = capsys.readouterr().out
  assert namespace['skipped'] == {}
  assert 0 < len(namespace['chosen']) <= meta['pages'][1]
  lines = collections.Counter(line.split()[0] for line in out.splitlines())
  pages = meta['pages'][1] + len(namespace['chosen'])
  assert lines['dialogue'] == pages
  assert lines['slot_filling'] == 3 * pages
  # The same pages and styles as tasks.
  of_session = kilt_pages.read_pages('sessions/session_1')
  new_pages = [page.page_id for page in of_session]
  pathlib.Path('new_and_old.txt').write_text('\n'.join(new_pages))
  words = writing.replace('\\\n', ' ').split()
  assert words[0] == 'genret'
  # These titles have no '|', which their vocabulary cannot spell, and the pages
  # no links.
  words.remove('entity_linking')
  assert tools.main([*words[1:], '--own-title-only']) == 0
  out = capsys.readouterr().out
  assert re.search(rf'slot_filling +{3 * len(new_pages):,}', out), out
  for file in re.findall(r'--gin_file=(\S+)', flags):
    assert (PAGE.parent.parent / 'gin_configs' / file).is_file()
  # Guesses after each session that are the same for session 0.
  guesses = []
  for number in range(2):
    gold = pathlib.Path(f'sessions/session_{number}/nq-dev-kilt.jsonl.gz')
    lines = gzip.decompress(gold.read_bytes()).splitlines()
    # KILT's own have outputs.
    records = [row for row in map(json.loads, lines) if row['output']]
    kilt_files.write(gold.with_suffix(''), records)
    gold.write_bytes(gzip.compress(gold.with_suffix('').read_bytes()))
    for row in records:
      pages = [p for o in row['output'] for p in o.get('provenance', ())]
      output = {'provenance': pages[:1]}
      guesses.append({'id': row['id'], 'output': [output]})
    kilt_files.write(tmp_path / f'after_{number}.jsonl', guesses)
  words = keeping.replace('\\\n', ' ').replace(
    'session_{0,1}/nq-dev-kilt.jsonl.gz',
    'session_0/nq-dev-kilt.jsonl.gz sessions/session_1/nq-dev-kilt.jsonl.gz',
  )
  assert tools.main(words.split()[1:]) == 0
  out = capsys.readouterr().out
  assert re.search(r'to session 1 +0\.\d+ +0\.0000 +0\.0000', out), out
  exec(compile(measuring, 'docs/kilt.md', 'exec'), namespace)
  out = capsys.readouterr().out.splitlines()
  assert len(out) == 3
  assert 'average_performance=0.6, backward_transfer=-0.15' in out[2]
