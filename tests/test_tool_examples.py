# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret examples`: what it writes, and that it goes on where it was."""

import dataclasses
import gzip
import json
import shutil

import pytest
import tiny_collection

pytest.importorskip('rapidfuzz', reason='needs the extra [train]')

from genret import ngram_example_files as files
from genret import ngram_example_writer as writer
from genret import ngram_examples
from genret.corpus import Document
from genret.ngram_examples import Example, Supervised, Unsupervised
from genret.tools import examples as tool
from genret.tools import main as genret_main
from genret.unseen import unseen_documents

SMALL = {'supervised': Supervised(spans=2, titles=1), 'shard_size': 8}


@pytest.fixture
def corpus(tmp_path):
  tiny_collection.write(tmp_path / 'corpus')
  return tmp_path / 'corpus'


def read(folder, kind):
  """The lines of a kind: {file: [cells]}."""
  return {
    path.name: [
      line.split('\t') for line in gzip.open(path, 'rt').read().splitlines()
    ]
    for path in sorted(folder.glob(f'{kind}-*.tsv.gz'))
  }


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def cells(query_id, doc_id, example):
  source, target, view, grade = example
  return [view, grade, query_id, doc_id, source, target]


def test_all_examples_are_written_once(corpus, tmp_path):
  collection = tiny_collection.load_collection(corpus)
  by_id = {d.doc_id: d for d in collection.documents}
  found = writer.write_examples(corpus, tmp_path / 'out', seed=3, **SMALL)
  expected = [
    cells(query_id, doc_id, example)
    for query_id, judged in collection.qrels['train'].items()
    for doc_id in judged
    for example in ngram_examples.supervised_examples(
      collection.queries[query_id],
      by_id[doc_id],
      query_id=query_id,
      options=SMALL['supervised'],
      seed=3,
    )
  ]
  shards = read(tmp_path / 'out', 'supervised')
  assert list(shards) == files.shard_names('supervised', 2)
  assert [len(lines) for lines in shards.values()] == [8 * 3, 7 * 3]
  lines = [line for shard in shards.values() for line in shard]
  assert sorted(lines) == sorted(expected)
  # Documents share shards, but their examples stand apart.
  first = shards[files.shard_names('supervised', 2)[0]]
  assert first != sorted(first)
  assert len({line[3] for line in first[:6]}) > 2
  expected = [
    cells('', document.doc_id, example)
    for document in collection.documents
    for example in ngram_examples.unsupervised_examples(document, seed=3)
  ]
  shards = read(tmp_path / 'out', 'unsupervised')
  assert list(shards) == files.shard_names('unsupervised', 4)
  lines = [line for shard in shards.values() for line in shard]
  assert sorted(lines) == sorted(expected)
  assert found == writer.Summary(
    counts={
      'supervised body gold': 30,
      'supervised title gold': 15,
      'unsupervised body unsupervised': sum(e[0] == 'body' for e in expected),
      'unsupervised title unsupervised': sum(e[0] == 'title' for e in expected),
    },
    written=45 + 150,
    missing=0,
    documents=30,
    untitled=0,
    empty=0,
    pairs=15,
    unknown=0,
    of_unseen=0,
  )
  assert files.complete_shards(tmp_path / 'out')['unsupervised'] == {
    str(tmp_path / 'out' / name): count
    for name, count in zip(
      files.shard_names('unsupervised', 4), (40, 40, 40, 30), strict=True
    )
  }


def test_processes_change_nothing(corpus, tmp_path):
  one = writer.write_examples(corpus, tmp_path / 'one', **SMALL)
  two = writer.write_examples(corpus, tmp_path / 'two', jobs=2, **SMALL)
  assert one == two
  assert contents(tmp_path / 'one') == contents(tmp_path / 'two')
  # Nor do the sizes of shards, but for where lines stand.
  writer.write_examples(
    corpus, tmp_path / 'whole', **SMALL | {'shard_size': 100}
  )
  for kind in files.KINDS:
    lines = [
      sorted(line for shard in read(folder, kind).values() for line in shard)
      for folder in (tmp_path / 'one', tmp_path / 'whole')
    ]
    assert lines[0] == lines[1]


def test_an_error_in_a_process_is_told(corpus, tmp_path, monkeypatch):
  # Nobody makes the folder that the processes write to.
  monkeypatch.setattr(files, 'open_folder', lambda _, __, shards: dict(shards))
  with pytest.raises(FileNotFoundError, match='partial'):
    writer.write_examples(corpus, tmp_path / 'none', jobs=2, **SMALL)


def test_a_killed_run_goes_on(corpus, tmp_path, monkeypatch):
  out = tmp_path / 'out'
  writer.write_examples(corpus, tmp_path / 'whole', **SMALL)
  # Killed in the middle of the third shard.
  write, done = files.write_shard, []

  def write_until_killed(path, *args, **kwargs):
    if len(done) == 2:
      path.with_name(f'.{path.name}.partial').write_bytes(b'half')
      raise KeyboardInterrupt
    done.append(path.name)
    return write(path, *args, **kwargs)

  monkeypatch.setattr(files, 'write_shard', write_until_killed)
  with pytest.raises(KeyboardInterrupt):
    writer.write_examples(corpus, out, **SMALL)
  assert len(list(out.glob('.*.partial'))) == 1
  with pytest.raises(ValueError, match=r'Expected 6 shards .*, 4 are not w'):
    files.complete_shards(out)
  kept = {name: (out / name).stat().st_mtime_ns for name in done}
  monkeypatch.setattr(files, 'write_shard', write)
  found = writer.write_examples(corpus, out, **SMALL)
  assert contents(out) == contents(tmp_path / 'whole')
  assert {name: (out / name).stat().st_mtime_ns for name in done} == kept
  assert found.written == sum(found.counts.values()) - 45
  # A shard that was removed, and one that was renamed but not counted.
  for kind in files.KINDS:
    (out / files.shard_names(kind, {'supervised': 2}.get(kind, 4))[1]).unlink()
  header = json.loads((out / 'examples.json').read_text())
  del header['shards']['unsupervised-00003-of-00004.tsv.gz']['counts']
  (out / 'examples.json').write_text(json.dumps(header))
  with pytest.raises(ValueError, match='3 are not written, first supervised-0'):
    files.complete_shards(out)
  wrote = []
  monkeypatch.setattr(
    files,
    'write_shard',
    lambda path, *a, **k: wrote.append(path.name) or write(path, *a, **k),
  )
  found = writer.write_examples(corpus, out, **SMALL)
  assert found.written == 7 * 3 + 40 + 30
  assert len(wrote) == 3
  assert contents(out) == contents(tmp_path / 'whole')
  # Complete: nothing is written, and documents are read once.
  monkeypatch.setattr(files, 'write_shard', lambda *_, **__: 1 / 0)
  assert writer.write_examples(corpus, out, **SMALL).written == 0


@pytest.mark.parametrize(
  ('change', 'names'),
  [
    ({'seed': 1}, 'seed'),
    ({'shard_size': 9}, 'shard_size'),
    ({'supervised': Supervised(spans=3)}, 'supervised'),
    ({'supervised': None}, 'pairs_hash, supervised'),
    ({'split': 'dev'}, 'pairs_hash'),
    ({'unsupervised': None}, 'unsupervised'),
    ({'pseudo_queries': 'train'}, 'pseudo_queries_hash'),
  ],
)
def test_a_folder_of_other_options_is_refused(corpus, tmp_path, change, names):
  out = tmp_path / 'out'
  writer.write_examples(corpus, out, **SMALL)
  before = contents(out)
  with pytest.raises(
    ValueError,
    match=r'Expected examples of the same corpus and options in .*, found '
    rf'others \({names}\); choose another folder',
  ):
    writer.write_examples(corpus, out, **SMALL | change)
  assert contents(out) == before


def test_a_list_of_stop_words_is_the_same_list_again(corpus, tmp_path):
  options = {'supervised': Supervised(stop_words=('a', 'the'))}
  for written in (True, False):
    found = writer.write_examples(corpus, tmp_path / 'out', **SMALL | options)
    assert (found.written > 0) == written
  options = {'supervised': Supervised(stop_words=('the',))}
  with pytest.raises(ValueError, match=r'others \(supervised\)'):
    writer.write_examples(corpus, tmp_path / 'out', **SMALL | options)


def test_another_corpus_or_another_folder_is_refused(corpus, tmp_path):
  out = tmp_path / 'out'
  writer.write_examples(corpus, out, **SMALL)
  with (corpus / 'corpus.jsonl').open('a') as file:
    file.write('\n{"_id": "new", "title": "sea", "text": "a wave"}')
  with pytest.raises(ValueError, match=r'others \(corpus_hash\)'):
    writer.write_examples(corpus, out, **SMALL)
  with pytest.raises(
    FileNotFoundError, match=r'Expected .*examples\.json, fou'
  ):
    writer.write_examples(corpus, corpus, **SMALL)
  (out / 'examples.json').write_text('{"settings": 1}')
  with pytest.raises(ValueError, match='Expected settings and shards of examp'):
    writer.write_examples(corpus, out, **SMALL)


def test_what_is_missing_is_counted(tmp_path):
  corpus = tmp_path / 'corpus'
  (corpus / 'qrels').mkdir(parents=True)
  text = 'a blue whale sings in the cold sea while another one sleeps'
  documents = [
    {'_id': 'd0', 'title': 'Whale', 'text': text},
    {'_id': 'd1', 'text': text},
    {'_id': 'd2', 'title': 'Only a title', 'text': ''},
  ]
  (corpus / 'corpus.jsonl').write_text('\n'.join(map(json.dumps, documents)))
  queries = [{'_id': f'q{i}', 'text': f'whale {i}'} for i in range(3)]
  (corpus / 'queries.jsonl').write_text('\n'.join(map(json.dumps, queries)))
  (corpus / 'qrels' / 'train.tsv').write_text(
    'query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t2\nq2\td2\t1\nq2\td0\t0\n'
    'q9\td0\t1\nq0\td9\t1\n'
  )
  (tmp_path / 'pseudo.jsonl').write_text(
    '{"doc_id": "d0", "queries": ["whale 0", "a song"]}\n'
    '{"doc_id": "d1", "queries": ["whale 1"]}\n'
  )
  found = writer.write_examples(
    corpus,
    tmp_path / 'out',
    supervised=Supervised(queries=2),
    unsupervised=Unsupervised(queries=1),
    pseudo_queries=tmp_path / 'pseudo.jsonl',
  )
  assert found.documents == 3
  assert (found.untitled, found.empty) == (1, 1)
  assert (found.pairs, found.unknown) == (3, 2)
  # d0: all; d1: no title, no other query; d2: no spans, no queries.
  assert found.counts['supervised body gold'] == 20
  assert found.counts['supervised title gold'] == 6
  assert found.counts['supervised query gold'] == 2
  assert found.counts['unsupervised query unsupervised'] == 1
  unsupervised = sum(
    count for name, count in found.counts.items() if name.startswith('u')
  )
  # d0: 1 + 1 + 3 + 1; d1: 3; d2: nothing.
  assert unsupervised == 6 + 3
  assert found.missing == 3 * 15 - 28 + 3 * 6 - 9


def test_pseudo_queries_of_a_split_are_those_in_memory(corpus, tmp_path):
  supervised, unsupervised = ngram_examples.RECIPES['minder']
  found = writer.write_examples(
    corpus,
    tmp_path / 'out',
    split='dev',
    pseudo_queries='train',
    supervised=supervised,
    unsupervised=unsupervised,
  )
  collection = tiny_collection.load_collection(corpus)
  queries_of = collection.queries_by_document('train')
  expected = [
    cells('', d.doc_id, example)
    for d in collection.documents
    for example in ngram_examples.unsupervised_examples(
      d, queries=queries_of[d.doc_id], options=unsupervised
    )
  ]
  (lines,) = read(tmp_path / 'out', 'unsupervised').values()
  assert sorted(lines) == sorted(expected)
  # Documents that dev asks for are not those that train does.
  assert found.counts == {
    'supervised body gold': 150,
    'supervised title gold': 45,
    'unsupervised body unsupervised': 45,
    'unsupervised title unsupervised': 15,
  }


def test_breaks_in_a_text_become_spaces(tmp_path):
  example = Example('a\tb\r\nc', 'd\ne', 'body', 'gold')
  path = tmp_path / 'supervised-00000-of-00001.tsv.gz'
  counts = files.write_shard(path, [('q\t1', 'd', example)])
  assert counts == {'body gold': 1}
  assert read(tmp_path, 'supervised')[path.name] == [
    ['body', 'gold', 'q 1', 'd', 'a b  c', 'd e']
  ]
  assert not list(tmp_path.glob('.*'))


def test_a_shard_of_nothing_is_a_file(tmp_path):
  path = tmp_path / 'unsupervised-00000-of-00001.tsv.gz'
  assert files.write_shard(path, []) == {}
  assert gzip.decompress(path.read_bytes()) == b''


def test_only_judged_documents_are_held(corpus, tmp_path, monkeypatch):
  held = []
  survey = writer._survey

  def look(*args, **kwargs):
    found = survey(*args, **kwargs)
    held.extend(found.collection.documents)
    return found

  monkeypatch.setattr(writer, '_survey', look)
  writer.write_examples(corpus, tmp_path / 'out', **SMALL)
  assert {d.doc_id for d in held} == {f'd{i}' for i in range(0, 30, 2)}
  held.clear()
  writer.write_examples(
    corpus, tmp_path / 'out2', **SMALL | {'pseudo_queries': 'dev'}
  )
  light = {d.doc_id for d in held if d == Document(d.doc_id)}
  assert light == {f'd{i}' for i in range(1, 30, 2)}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'jobs': 0}, 'Expected jobs of at least 1, got 0.'),
    ({'shard_size': 0}, 'Expected shard_size of at least 1, got 0.'),
    (
      {'split': 'tset'},
      "Expected one of the splits dev, train, got 'tset'; name one",
    ),
    (
      {'supervised': Supervised(queries=1)},
      'Expected pseudo_queries, which these options make examples from',
    ),
    (
      {'unsupervised': Unsupervised(sources='queries')},
      'Expected pseudo_queries, which these options make examples from',
    ),
    (
      {'pseudo_queries': 'none.jsonl'},
      r'as a \.jsonl file that is there, or one of',
    ),
  ],
)
def test_arguments_that_cannot_work(corpus, tmp_path, change, message):
  with pytest.raises(ValueError, match=message):
    writer.write_examples(corpus, tmp_path / 'out', **SMALL | change)
  assert not (tmp_path / 'out').exists()


def test_nothing_to_make_examples_of(corpus, tmp_path):
  (corpus / 'qrels' / 'train.tsv').write_text('q1 0 d99 1\n')
  with pytest.raises(ValueError, match='make supervised examples of, the corp'):
    writer.write_examples(corpus, tmp_path / 'out')
  shutil.rmtree(corpus / 'qrels')
  with pytest.raises(
    ValueError, match=r"splits \(none\), got 'train'; name one"
  ):
    writer.write_examples(corpus, tmp_path / 'out')
  found = writer.write_examples(corpus, tmp_path / 'out', supervised=None)
  assert found.written == 150
  assert found.pairs == 0
  (corpus / 'corpus.jsonl').write_text('')
  with pytest.raises(ValueError, match='make unsupervised examples of'):
    writer.write_examples(corpus, tmp_path / 'out2', supervised=None)


# --- The command.


def test_the_command_writes_and_tells(corpus, tmp_path, capsys):
  words = ['examples', '--corpus', str(corpus), '--output', f'{tmp_path}/out']
  words += ['--shard-size', '8', '--option', 'supervised.spans=2']
  words += ['--option', 'supervised.titles=1']
  assert genret_main(words) == 0
  writer.write_examples(corpus, tmp_path / 'same', **SMALL)
  assert contents(tmp_path / 'out') == contents(tmp_path / 'same')
  captured = capsys.readouterr()
  lines = captured.out.splitlines()
  assert lines[0].split() == ['kind', 'view', 'grade', 'examples']
  assert lines[1].split() == ['supervised', 'body', 'gold', '30']
  assert lines[2].split() == ['supervised', 'title', 'gold', '15']
  assert lines[5].startswith('30 documents (0 without a title, 0 without a te')
  assert lines[5].endswith(
    '15 pairs (0 more of a query or document that is not there, 0 of unseen '
    'documents)'
  )
  assert lines[6].startswith('0 examples left out for want of a title')
  assert lines[7].startswith('195 examples written in ')
  assert '6/6' in captured.err  # The progress bar.
  assert genret_main(words) == 0
  assert '0 examples written in ' in capsys.readouterr().out
  words[4] += '_half'
  assert genret_main([*words, '--unseen-share', '0.5']) == 0
  left_out = len(
    unseen_documents(
      {
        line[3]
        for lines in read(tmp_path / 'out', 'supervised').values()
        for line in lines
      },
      0.5,
    )
  )
  assert 0 < left_out < 15
  assert f'{15 - left_out} pairs (0 more' in (out := capsys.readouterr().out)
  assert f' {left_out} of unseen documents)' in out


def test_kinds_and_recipes(corpus, tmp_path):
  words = ['--corpus', str(corpus), '--output', str(tmp_path / 'a')]
  assert tool.main([*words, '--kinds', 'unsupervised']) == 0
  assert not read(tmp_path / 'a', 'supervised')
  words = ['--corpus', str(corpus), '--output', str(tmp_path / 'b')]
  words += ['--kinds', 'supervised', '--pseudo-queries', 'train', '--seed', '4']
  assert tool.main([*words, '--recipe', 'minder', '--split', 'dev']) == 0
  settings, _ = files.read_header(tmp_path / 'b')
  assert settings['seed'] == 4
  assert settings['supervised']['queries'] == 5
  assert 'unsupervised' not in settings


def test_options_change_a_recipe():
  found = tool._options(
    'minder',
    [
      'supervised.temperature=0.5',
      'supervised.grade=silver',
      'unsupervised.sources=text',
      'unsupervised.spans=7',
      'unsupervised.stop_words=der,die',
    ],
  )
  supervised, unsupervised = ngram_examples.RECIPES['minder']
  assert found == (
    dataclasses.replace(supervised, temperature=0.5, grade='silver'),
    dataclasses.replace(
      unsupervised, sources='text', spans=7, stop_words=('der', 'die')
    ),
  )


@pytest.mark.parametrize(
  ('word', 'message'),
  [
    (
      'spans=1',
      'Expected --option KIND.NAME=VALUE with one of supervised.span',
    ),
    ('supervised.spans', 'KIND.NAME=VALUE with one of'),
    ('supervised.words=1', 'KIND.NAME=VALUE with one of'),
    (
      'supervised.spans=ten',
      "Expected --option supervised.spans to be of type int, got 'ten'.",
    ),
    ('supervised.spans=-1', 'Expected spans of at least 0, got -1.'),
  ],
)
def test_options_that_there_are_not(word, message, corpus, tmp_path, capsys):
  words = ['examples', '--corpus', str(corpus), '--output', f'{tmp_path}/out']
  assert genret_main([*words, '--option', word]) == 2
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_help_has_an_example(capsys):
  with pytest.raises(SystemExit, match='0'):
    tool.main(['--help'])
  shown = capsys.readouterr().out
  assert 'genret examples --corpus my_beir_folder --output examples' in shown
