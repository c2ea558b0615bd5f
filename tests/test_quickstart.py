# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The main job in miniature: the shipped collection, a few steps."""

import json

import pytest

from genret import Searcher
from genret.tools import quickstart, search

pytestmark = pytest.mark.optax


@pytest.fixture(scope='module')
def quickstart_run(tmp_path_factory):
  folder = tmp_path_factory.mktemp('quickstart') / 'run'
  arguments = ['--output', str(folder), '--steps', '12']
  assert quickstart.main(arguments) == 0
  return folder, arguments


def test_report(quickstart_run):
  folder, _ = quickstart_run
  report = json.loads((folder / 'report.json').read_text())
  assert report['collection'] == 'squadshifts_wiki'
  assert (report['queries'], report['documents']) == (1579, 1581)
  systems = report['systems']
  # The latent start alone; a few steps must not break it.
  assert systems['genret, untrained']['Success@10'] > 0.9
  assert systems['genret']['Success@10'] > 0.9
  assert systems['genret']['legal_rate'] == 1.0
  assert systems['genret']['collision_rate'] == 0.0
  assert systems['bm25']['Success@10'] == pytest.approx(0.949, abs=0.002)
  assert systems['random']['Success@10'] < 0.02
  assert report['command'].startswith('genret quickstart --output')


def test_what_is_left_behind(quickstart_run):
  folder, _ = quickstart_run
  assert (folder / 'report.png').read_bytes().startswith(b'\x89PNG')
  for system in ('genret', 'genret_untrained', 'bm25', 'random'):
    lines = (folder / f'test.{system}.trec').read_text().splitlines()
    assert len({line.split()[0] for line in lines}) >= 1570
  log = [
    json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()
  ]
  assert [line['step'] for line in log] == [0, 12, 12]


def test_search_answers_from_the_run(quickstart_run, capsys):
  folder, _ = quickstart_run
  question = 'what does the monastic brotherhood consist of'
  assert search.main(['--run', str(folder), question, '-k', '3']) == 0
  assert ' p0 ' in capsys.readouterr().out
  hits = Searcher.load(folder).search(question, k=3)
  assert hits[0].text.startswith('Armenian Apostolic Church | The Monastic')


def test_started_again_it_goes_on(quickstart_run, capsys):
  folder, arguments = quickstart_run
  before = json.loads((folder / 'report.json').read_text())
  assert quickstart.main(arguments) == 0
  after = json.loads((folder / 'report.json').read_text())
  assert after['systems'] == before['systems']
  assert 'Success@10' in capsys.readouterr().out


def test_pretrained_folder_without_vocabulary(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'copy the spiece\.model'):
    quickstart.main(
      ['--pretrained', str(tmp_path), '--output', str(tmp_path / 'run')]
    )
