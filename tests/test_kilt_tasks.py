# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""KILT as tasks: which examples there are, and a model that learns from them."""

import collections
import functools
import json

import kilt_files
import optax
import pytest
import seqio
import tensorflow as tf
import tiny
from absl import logging

from genret import (
  corpus,
  evaluate,
  genre,
  identifiers,
  kilt_pages,
  kilt_records,
  searcher,
  tools,
  unseen,
  vocabulary,
)
from genret import train as train_lib
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models.t5 import Transformer
from genret.tasks import kilt

pytestmark = pytest.mark.optax


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  """Nothing asks for data sets elsewhere."""
  monkeypatch.setattr(tf.io.gfile, 'glob', _refuse_buckets(tf.io.gfile.glob))


def _refuse_buckets(call):
  def local(path, *arguments, **options):
    assert not str(path).startswith('gs://')
    return call(path, *arguments, **options)

  return local


def index(folder, output, **options):
  """Title identifiers, in pieces that spell the separator."""
  collection = corpus.load_collection(folder)
  model = output.with_name(f'{output.name}.model')
  texts = [f'{d.title} | {d.text}' for d in collection.documents]
  vocabulary.train_vocabulary(texts, model, size=120)
  build.build(
    collection,
    output,
    scheme='title',
    vocabulary=model,
    dimensions=32,
    options=options,
  )
  return output


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A KILT folder and its identifiers."""
  folder = tmp_path_factory.mktemp('kilt')
  kilt_files.learnable_folder(folder / 'kilt')
  return folder / 'kilt', index(folder / 'kilt', folder / 'docids')


def rows(name, split='train'):
  dataset = seqio.get_mixture_or_task(name).get_dataset(
    sequence_length=None, split=split, shuffle=False, num_epochs=1
  )
  return list(dataset.as_numpy_iterator())


def counted(name, docids, split='train'):
  """{(input text, tokens of the target): how often}."""
  pieces = vocabulary.load_vocabulary(docids)
  found = collections.Counter()
  for row in rows(name, split):
    text = row['inputs_pretokenized'].decode()
    assert row['inputs'].tolist() == [*pieces.encode(text), vocabulary.EOS_ID]
    found[text, tuple(row['targets'].tolist())] += 1
  return found


def expected_pairs(folder, docids, file, *, joined):
  """The same by hand: `genre.training_pairs` and the table."""
  table = DocidTable.load(docids)
  pieces = vocabulary.load_vocabulary(docids)
  pages = list(kilt_pages.read_pages(folder))
  titles = genre.Titles((page.page_id, page.title) for page in pages)

  def tokens(title):
    number = [page.title for page in pages].index(title)
    return table.token_rows_DxL[number, : table.lengths_D[number]].tolist()

  found = collections.Counter()
  for record in kilt_records.read_records(folder / f'{file}-kilt.jsonl'):
    pairs = genre.training_pairs(record, titles=titles)
    if joined:
      behind = collections.defaultdict(list)
      for text, title in pairs:
        behind[text].append(tokens(title))
      bar = pieces.encode(' | ')
      pairs = [
        (text, [t for row in of for t in [*bar, *row]][len(bar) :])
        for text, of in behind.items()
      ]
    else:
      pairs = [(text, tokens(title)) for text, title in pairs]
    for text, target in pairs:
      target = (*target, vocabulary.EOS_ID)
      found[text, target] += 1
  return found


@pytest.mark.parametrize('targets', kilt.TARGETS)
def test_examples_are_those_of_the_papers(folders, targets):
  folder, docids = folders
  joined = targets == 'joined'
  name = f'papers_{targets}'
  kilt.mixture(name=name, corpus=folder, docids=docids, targets=targets)
  for data, split in (
    ('el', 'train'), ('el', 'dev'), ('nq', 'train'), ('nq', 'dev'),
    ('zs', 'train'),
  ):  # fmt: skip
    expected = expected_pairs(folder, docids, f'{data}-{split}', joined=joined)
    assert expected
    assert counted(f'{name}_{data}', docids, split) == expected
    if split == 'dev':  # as the folder calls it, too
      assert counted(f'{name}_{data}', docids, f'{data}-dev') == expected
  # Contexts are read, not the input; a question of two pages is two or one.
  texts = collections.Counter(text for text, _ in counted(f'{name}_el', docids))
  assert all('[START_ENT]' in text for text in texts)
  asked = counted(f'{name}_nq', docids)
  assert sum(asked.values()) == 12 * (4 if joined else 5)
  assert sum(counted(f'{name}_zs', docids).values()) == 12 * 3


def test_rates(folders):
  folder, docids = folders

  def rates(**options):
    kilt.mixture(name='rates', corpus=folder, docids=docids, **options)
    mixture = seqio.get_mixture_or_task('rates')
    return {task.name: mixture.get_rate(task) for task in mixture.tasks}

  assert rates() == {'rates_el': 36, 'rates_nq': 60, 'rates_zs': 36}
  assert rates(templates=False)['rates_zs'] == 12
  assert set(rates(rates='equal').values()) == {1.0}
  assert rates(rates={'nq': 2, 'el': 0}) == {'rates_nq': 2}
  for wrong in ({'x': 1}, {'nq': 0}, {}, 'even'):
    with pytest.raises(ValueError, match='Expected rates'):
      rates(rates=wrong)


def write_pages(folder, titles, records, split='train'):
  kilt_files.write(
    folder / 'kilt.jsonl',
    [
      kilt_files.page(number, title, f'some words of {title} | and so on')
      for number, title in enumerate(titles)
    ],
  )
  kilt_files.write(folder / f'q-{split}-kilt.jsonl', records)


def record(name, *provenance, **fields):
  return {'id': name, 'input': f'query {name}'} | fields | {
    'output': [{'provenance': [{'title': title} for title in provenance]}]
  }  # fmt: skip


@pytest.fixture
def small(tmp_path):
  """Pages two of which have one title."""
  write_pages(
    tmp_path,
    ['Troy', 'Homer', 'Troy', 'Old Iliad'],
    [
      record('one', 'troy'),
      record('many', 'Iliad', 'Homer', 'Troy'),
      record('lost', 'Nowhere', 'Homer'),
      record('gone', 'Nowhere'),
    ],
  )
  (tmp_path / 'r.tsv').write_text('Iliad\tOld Iliad\n')
  return tmp_path, index(tmp_path, tmp_path / 'docids')


def targets_of(name):
  """{record: tokens}, without the end."""
  return {
    row['query_id'].decode(): row['targets'].tolist()[:-1]
    for row in rows(f'{name}_q')
  }


def test_titles_redirects_and_what_is_lost(small, caplog):
  folder, docids = small
  table = DocidTable.load(docids)
  troy, homer, other, iliad = (
    row[:length].tolist()
    for row, length in zip(table.token_rows_DxL, table.lengths_D, strict=True)
  )
  assert other[:-1] == troy  # numbered, and not what the title alone means
  bar = vocabulary.load_vocabulary(docids).encode(' | ')
  options = {
    'name': 'lost', 'corpus': folder, 'docids': docids, 'targets': 'joined',
    'redirects': folder / 'r.tsv',
  }  # fmt: skip
  with pytest.raises(
    ValueError,
    match=r"2 pieces lead to none, first \{'title': 'Nowhere'.*line 3; add",
  ):
    kilt.mixture(**options)
  caplog.set_level(logging.INFO)
  caplog.clear()
  kilt.mixture(**options, drop_unknown=True)
  assert targets_of('lost') == {
    'one': troy,
    'many': [*iliad, *bar, *homer, *bar, *troy],
    'lost': homer,
  }
  told = '4 records, 3 examples, 2 pieces of evidence that lead to no page'
  assert told in caplog.text
  # It is told again where nothing is made again.
  caplog.clear()
  kilt.mixture(**(options | {'name': 'again'}), drop_unknown=True)
  assert told in caplog.text
  # Titles that do not fit are left out whole, and counted.
  room = len(iliad) + len(bar) + len(homer) + 1
  kilt.mixture(**options, drop_unknown=True, target_length=room)
  assert targets_of('lost')['many'] == [*iliad, *bar, *homer]
  assert '1 titles that do not fit' in caplog.text
  with pytest.raises(ValueError, match='Expected room for a title, got 1'):
    kilt.mixture(**options, drop_unknown=True, target_length=2)
  # Without the redirect the title leads nowhere.
  with pytest.raises(ValueError, match=r"3 pieces .* first \{'title': 'Iliad'"):
    kilt.mixture(**(options | {'redirects': None}))


def test_of_pages_with_one_title_the_id_tells_which(small):
  folder, docids = small
  table = DocidTable.load(docids)
  troy, other = (
    table.token_rows_DxL[number, : table.lengths_D[number]].tolist()
    for number in (0, 2)
  )
  both, second = record('both', 'Troy', 'troy'), record('second', 'Troy')
  both['output'][0]['provenance'][1]['wikipedia_id'] = '2'
  second['output'][0]['provenance'][0]['wikipedia_id'] = 2
  kilt_files.write(folder / 'q-train-kilt.jsonl', [both, second])
  options = {'corpus': folder, 'docids': docids, 'targets': 'joined'}
  kilt.mixture(name='which', **options)
  bar = vocabulary.load_vocabulary(docids).encode(' | ')
  assert targets_of('which') == {
    'both': [*troy, *bar, *other],
    'second': other,
  }
  # Where they share an identifier there is one thing to write.
  shared = index(folder, folder / 'shared', collisions='share')
  kilt.mixture(name='shared', **(options | {'docids': shared}))
  assert len(set(map(tuple, targets_of('shared').values()))) == 1


def test_evidence_with_a_low_score_is_no_target(small):
  folder, docids = small
  some, none = record('some', 'Homer', 'Troy'), record('none', 'Homer')
  for of in (some, none):
    of['output'][0]['provenance'][0]['bleu_score'] = 0.3
  kilt_files.write(folder / 'q-train-kilt.jsonl', [some, none])
  options = {'name': 'scores', 'corpus': folder, 'docids': docids}
  for bleu, expected in ((0.5, ['some']), (0.2, ['none', 'some', 'some'])):
    kilt.mixture(**options, bleu=bleu)
    found = [row['query_id'].decode() for row in rows('scores_q')]
    assert sorted(found) == expected


def test_examples_of_unseen_documents_are_not_trained_on(folders):
  folder, docids = folders
  options = {'corpus': folder, 'docids': docids, 'targets': 'joined'}
  kilt.mixture(name='all', **options)
  kilt.mixture(name='seen', **options, unseen_share=0.5, unseen_seed=1)
  table = DocidTable.load(docids)
  withheld = unseen.unseen_documents(table.doc_ids, 0.5, 1)
  assert 0 < len(withheld) < len(table)
  for data in ('el', 'nq', 'zs'):
    every = counted(f'all_{data}', docids)
    file = folder / f'{data}-train-kilt.jsonl'
    kept = {
      record.record_id
      for record in kilt_records.read_records(file)
      if withheld.isdisjoint(record.page_ids)
    }
    found = [row['query_id'].decode() for row in rows(f'seen_{data}')]
    assert set(found) == kept
    assert 0 < len(found) < sum(every.values())
    assert counted(f'seen_{data}', docids) <= every
  dev = [counted(f'{name}_el', docids, 'dev') for name in ('all', 'seen')]
  assert dev[0] == dev[1]


def test_examples_are_written_once(folders, monkeypatch):
  folder, docids = folders
  read = []
  real = corpus.read_documents
  monkeypatch.setattr(
    corpus, 'read_documents', lambda path: read.append(path) or real(path)
  )
  options = {'corpus': folder, 'docids': docids, 'bleu': 0.25}
  kilt.mixture(name='once', **options)
  assert len(read) == 1
  registered = seqio.TaskRegistry.get('once_nq')
  kilt.mixture(name='once', **options)
  assert seqio.TaskRegistry.get('once_nq') is registered
  kilt.mixture(name='twice', **options, rates='equal')
  assert len(read) == 1
  kilt.mixture(name='once', **(options | {'templates': False}))
  assert len(read) == 2
  assert seqio.TaskRegistry.get('once_nq') is not registered
  # The order is not that of the file, and is the same each time.
  found = [row['query_id'] for row in rows('twice_nq')]
  assert found != sorted(found)
  assert found == [row['query_id'] for row in rows('twice_nq')]
  assert list(docids.glob('tfds/.*')) == []


def test_files_by_name(small, tmp_path):
  folder, docids = small
  other = kilt_files.write(
    tmp_path / 'Mine-dev-kilt.jsonl', [record('mine', 'Homer')]
  )
  (tmp_path / 'more').mkdir()
  train = kilt_files.write(
    tmp_path / 'more' / 'b-train-kilt.jsonl', [record('b', 'Troy')]
  )
  test = kilt_files.write(
    tmp_path / 'b-test_without_answers-kilt.jsonl', [{'id': 't', 'input': 'x'}]
  )
  options = {'name': 'named', 'corpus': folder, 'docids': docids}
  kilt.mixture(**options, files=[other, train, test])
  mixture = seqio.get_mixture_or_task('named')
  assert [task.name for task in mixture.tasks] == ['named_b']
  assert set(seqio.TaskRegistry.get('named_Mine').splits) == {'dev', 'Mine-dev'}
  assert set(seqio.TaskRegistry.get('named_b').splits) == {'train', 'b-train'}
  wrong = kilt_files.write(tmp_path / 'mine.jsonl', [])
  twice = tmp_path / 'more' / 'Mine-dev-kilt.jsonl'
  twice.write_text(other.read_text())
  for files, message in (
    ([wrong], 'expected a name like NAME-train-kilt.jsonl'),
    ([other, twice], 'one file for each data set and split'),
    ([other], 'records with evidence to train on'),
  ):
    with pytest.raises(ValueError, match=message):
      kilt.mixture(**options, files=files)
  for missing in (['no-train-kilt.jsonl'], None):
    with pytest.raises(FileNotFoundError):
      kilt.mixture(
        **(options | ({} if missing else {'corpus': tmp_path / 'more'})),
        files=missing,
      )


def test_what_is_refused(small, tmp_path):
  folder, docids = small
  options = {'name': 'refused', 'corpus': folder, 'docids': docids}
  with pytest.raises(ValueError, match="each or joined, got 'all'"):
    kilt.mixture(**options, targets='all')
  with pytest.raises(ValueError, match='separator that the vocabulary can'):
    kilt.mixture(**options, targets='joined', separator=' é ')
  twice = [record('same', 'Troy'), record('same', 'Homer')]
  kilt_files.write(folder / 'q-train-kilt.jsonl', twice)
  with pytest.raises(ValueError, match="record 'same' was already given"):
    kilt.mixture(**options)
  kilt_files.write(
    folder / 'q-train-kilt.jsonl', [record('x', 'Troy') | {'input': 3}]
  )
  with pytest.raises(ValueError, match=r'line 1: .*string under input'):
    kilt.mixture(**options)
  write_pages(folder, ['Troy', 'Homer', 'Troy', 'Iliad'], [record('x', 'Troy')])
  with pytest.raises(ValueError, match='the corpus that the identifiers name'):
    kilt.mixture(**options)
  assert list(docids.glob('tfds/*')) == []  # nothing half-written


def test_a_model_learns_to_link_and_is_measured(folders, tmp_path, capsys):
  """Train, `genret search`, `genret evaluate`: mentions are read all the way."""
  folder, docids = folders
  train = functools.partial(
    train_lib.train,
    module=Transformer(tiny.config(identifiers.vocab_size(docids))),
    mixture_or_task_name=kilt.mixture(
      name='learned', corpus=folder, docids=docids
    ),
    task_feature_lengths={'inputs': 32, 'targets': 12},
    train_steps=240,
    batch_size=32,
    model_dir=tmp_path / 'run',
    corpus=folder,
    docids=docids,
    decoding={'length_penalty': 'length'},
    optimizer=optax.adam(3e-3),
    eval_period=240,
    eval_split='el-train',
    progress=False,
  )
  run = train(query_form='genre')
  for form, message in (
    ('input', 'Expected query_form=genre, as .* got None'),
    ('seal', "form input or genre, got 'seal'"),
  ):
    with pytest.raises(ValueError, match=message):
      train(query_form=form)
  lines = (run / 'log.jsonl').read_text().splitlines()
  log = [json.loads(line) for line in lines]
  success = [line['el-train/Success@1'] for line in (log[0], log[-1])]
  assert success[0] < 0.5 < 0.9 < success[1]
  gold = folder / 'el-train-kilt.jsonl'

  def measured():
    guess = tmp_path / f'{searcher.query_form(run)}.jsonl'
    words = ['search', '--run', str(run), '--queries', str(gold), '-k', '5']
    words += ['--format', 'kilt', '--output', str(guess)]
    assert tools.main(words) == 0
    words = ['evaluate', '--run', str(guess), '--format', 'kilt', '--json']
    capsys.readouterr()
    assert tools.main([*words, '--gold', str(gold)]) == 0
    return json.loads(capsys.readouterr().out)['retrieval']['Rprec']

  assert searcher.query_form(run) == 'genre'
  assert measured() == success[1]
  report = evaluate.write_report(
    run, corpus=folder, split='el-train', depth=10, progress=False
  )
  assert report['systems']['genret']['Success@1'] == success[1]
  # A run that takes the input as it is has nothing to link by.
  settings = json.loads((run / 'searcher.json').read_text())
  del settings['query_form']
  searcher.write_settings(run, settings)
  assert searcher.query_form(run) == 'input'
  assert measured() < 0.2
