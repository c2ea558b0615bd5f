# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""CorpusBrain's tasks: in memory, written by one process, and by Apache Beam."""

import collections
import gzip
import importlib.util
import json
import random
import shutil

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

pytest.importorskip('seqio', reason='needs the extra [train]')

import gin
import seqio

from genret import (
  corpus,
  corpusbrain,
  corpusbrain_cache,
  corpusbrain_writer,
  kilt_pages,
  kilt_survey,
  pseudo_inputs,
  title_targets,
  vocabulary,
)
from genret.corpusbrain_tokens import Maker, Recipe
from genret.docids import build
from genret.docids.table import DocidTable
from genret.tasks import corpusbrain as tasks
from genret.tools import examples as tool
from genret.tools import main as genret_main

EOS = vocabulary.EOS_ID

# Small pages give examples, and most targets list more than one title.
LOW = {
  'min_title_characters': 1,
  'min_page_words': 1,
  'min_words': 1,
  'title_probabilities': [0.3, 0.4, 0.3],
}
NAMES = ['Ash', 'Beech', 'Cedar', 'Elm', 'Fir', 'Oak', 'Pine', 'Yew']
WORDS = [
  'tall',
  'green',
  'tree',
  'leaf',
  'root',
  'bark',
  'seed',
  'wood',
  '|',
  'grows',
  'near',
  'water',
]

beam = pytest.mark.skipif(
  importlib.util.find_spec('apache_beam') is None,
  reason='needs the extra [beam]',
)


def page(rng, number, title, names):
  """Paragraphs of random sentences, with links in some of them."""
  text, anchors = [f'{title}\n'], []
  for paragraph in range(1, rng.randint(1, 6)):
    parts = []
    for _ in range(rng.randint(1, 4)):
      words = rng.choices(WORDS, k=rng.randint(1, 6))
      if rng.random() < 0.7:
        target = rng.choice(names)
        start = len(' '.join([*parts, *words])) + 1
        anchors.append((target, paragraph, start))
        words.append(target)
      parts.append(f'{" ".join(words)}.')
    text.append(' '.join(parts) + '\n')
  return {
    'wikipedia_id': str(number),
    'wikipedia_title': title,
    'text': text,
    'anchors': [
      {
        'text': target,
        'href': target,
        'paragraph_id': paragraph,
        'start': start,
        'end': start + len(target),
      }
      for target, paragraph, start in anchors
    ],
  }


def pages_of(seed, count=12):
  """Some titles stand twice, and some links lead nowhere."""
  rng = random.Random(seed)
  titles = [NAMES[n % len(NAMES)] for n in range(count)]
  return [
    page(rng, n, title, [*NAMES, 'Nowhere']) for n, title in enumerate(titles)
  ]


def write(file, pages):
  opened = gzip.open if file.suffix == '.gz' else open
  with opened(file, 'wt', encoding='utf-8') as out:
    for number, fields in enumerate(pages):
      out.write(
        json.dumps(fields, ensure_ascii=False) + '\n' * (number % 3 + 1)
      )


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A KILT folder and its titles."""
  root = tmp_path_factory.mktemp('corpusbrain')
  (root / 'kilt').mkdir()
  write(root / 'kilt' / 'kilt.jsonl', pages_of(0))
  build.build(
    corpus.load_collection(root / 'kilt'),
    root / 'titles',
    scheme='title',
    vocabulary_size=60,
    dimensions=4,
  )
  return root / 'kilt', root / 'titles'


def rows_of(name, task, **kwargs):
  found = seqio.get_mixture_or_task(f'{name}_{task}').get_dataset(
    None, 'train', **{'shuffle': False, 'num_epochs': 1, 'seed': 0} | kwargs
  )
  return [
    (tuple(row['inputs'].tolist()), tuple(row['targets'].tolist()))
    for row in found.as_numpy_iterator()
  ]


def counted(name, **kwargs):
  """Inputs and targets of each task, whatever their order."""
  return {
    task: collections.Counter(rows_of(name, task, **kwargs))
    for task in corpusbrain.TASKS
  }


def register(folders, name, **kwargs):
  kilt, titles = folders
  return tasks.mixture(
    **{'name': name, 'corpus': kilt, 'docids': titles, 'options': LOW} | kwargs
  )


# --- Tokens.


def test_tokens_are_those_of_the_table(folders):
  kilt, titles = folders
  table = DocidTable.load(titles)
  pieces = vocabulary.load_vocabulary(titles)
  pages = list(kilt_pages.read_pages(kilt))
  bare = {}  # of equal titles, the first has no number
  rows = dict(zip(table.doc_ids, table.token_rows_DxL, strict=True))
  rows = {i: row[row > 0].tolist() for i, row in rows.items()}
  for found in pages:
    bare.setdefault(found.title, rows[found.page_id])
  assert len(bare) < len(pages)
  separator = pieces.encode(' | ')
  expected = {task: collections.Counter() for task in corpusbrain.TASKS}
  options = Recipe(options=LOW).resolved()
  several = numbered = 0
  for example in corpusbrain.examples(
    pages, corpusbrain.corpus_titles(pages), options=options, seed=4
  ):
    own = rows[example.page_id]
    target = list(bare[example.titles[0]] if example.task == 'hip' else own)
    for title in example.titles[1:]:
      target += separator + bare[title]
    several += len(example.titles) > 1
    numbered += target != pieces.encode(example.target)
    expected[example.task][
      (*pieces.encode(example.source), EOS), (*target, EOS)
    ] += 1
  assert several
  assert numbered
  assert counted(register(folders, 'tokens', seed=4)) == expected
  # What is spelled alike is cut alike, where no title has a number.
  assert pieces.encode('Ash | Elm | Fir') == [
    *bare['Ash'], *separator, *bare['Elm'], *separator, *bare['Fir']
  ]  # fmt: skip


def test_styles_are_tasks_of_the_pages_that_are_wanted(folders, tmp_path):
  kilt, titles = folders
  table = DocidTable.load(titles)
  pieces = vocabulary.load_vocabulary(titles)
  pages = list(kilt_pages.read_pages(kilt))
  rows = dict(zip(table.doc_ids, table.token_rows_DxL, strict=True))
  rows = {i: row[row > 0].tolist() for i, row in rows.items()}
  bare = {}
  for found in pages:
    bare.setdefault(found.title, rows[found.page_id])
  slots = tmp_path / 'trex-train-kilt.jsonl'
  slots.write_text('{"id": "1", "input": "Ash [SEP] kind of", "output": []}')
  wanted = {found.page_id for found in pages[2:9]}
  only = tmp_path / 'only.txt'
  only.write_text('\n'.join(sorted(wanted)))
  separator = pieces.encode(' | ')
  options = pseudo_inputs.Options(
    passages=pseudo_inputs.passages(Recipe(options=LOW).resolved())
  )
  expected = {s: collections.Counter() for s in pseudo_inputs.STYLES}
  for example in pseudo_inputs.examples(
    [found for found in pages if found.page_id in wanted],
    corpusbrain.corpus_titles(pages),
    relations={'kind of': 1},
    options=options,
    seed=4,
  ):
    target = rows[example.page_id]
    if example.task == 'entity_linking':
      target = bare[example.titles[0]]
    target = list(target)
    for title in example.titles[1:]:
      target += separator + bare[title]
    expected[example.task][
      (*pieces.encode(example.source), EOS), (*target, EOS)
    ] += 1
  assert all(expected.values())
  name = register(
    folders,
    'styles',
    seed=4,
    rates=dict.fromkeys(pseudo_inputs.STYLES, 1),
    relations=[slots],
    only=[only],
  )
  for style in pseudo_inputs.STYLES:
    assert collections.Counter(rows_of(name, style)) == expected[style]
  for more in ({'relations': [slots]}, {'rates': {'slot_filling': 1}}):
    with pytest.raises(
      ValueError, match="'slot_filling' and relations together"
    ):
      register(folders, 'refused', **more)


def test_own_titles_are_rows_of_the_table(folders):
  table = DocidTable.load(folders[1])
  name = register(folders, 'own', multi_title=False)
  known = {
    tuple(row[:n])
    for row, n in zip(
      table.token_rows_DxL.tolist(), table.lengths_D, strict=True
    )
  }
  for task in corpusbrain.TASKS:
    for _, target in rows_of(name, task):
      assert target[:-1] in known


def test_lengths_are_cut_in_front_of_the_end(folders):
  name = register(folders, 'cut')
  found = seqio.get_mixture_or_task(f'{name}_lps').get_dataset(
    {'inputs': 5, 'targets': 3}, 'train', shuffle=False, num_epochs=1
  )
  whole = rows_of(name, 'lps')
  for row, (inputs, targets) in zip(
    found.as_numpy_iterator(), whole, strict=True
  ):
    assert row['inputs'].tolist() == [*inputs[:-1][:4], EOS]
    assert row['targets'].tolist() == [*targets[:-1][:2], EOS]


@pytest.mark.parametrize(
  ('separator', 'message'),
  [(' \u2603 ', 'cannot spell'), (' tall ', None), (' Elm ', 'document')],
)
def test_separators_that_do_not_part_are_refused(folders, separator, message):
  kilt, titles = folders
  found = kilt_survey.survey([kilt])
  options = LOW | {'separator': separator}
  if message is None:
    Maker(Recipe(options=options), titles, found.titles)
  else:
    with pytest.raises(ValueError, match=message):
      Maker(Recipe(options=options), titles, found.titles)
  # No title is listed: nothing has to be parted.
  for changes in (
    {'multi_title': False},
    {'options': options | {'title_probabilities': (1.0,)}},
  ):
    maker = Maker(
      Recipe(**{'options': options} | changes), titles, found.titles
    )
    made = [
      row for page in kilt_pages.read_pages(kilt) for row in maker.rows(page)
    ]
    assert made
    assert all(len(row.example.titles) == 1 for row in made)
    assert set(maker.anchors) == {0}


def test_a_separator_of_several_pieces_is_searched_for():
  rng = np.random.default_rng(0)
  found = 0
  for _ in range(300):
    lengths = rng.integers(1, 5, 3)
    rows = rng.integers(2, 4, (3, 4)) * (np.arange(4) < lengths[:, None])
    separator = rng.integers(2, 4, rng.integers(1, 4)).tolist()
    bad = None
    for number, (row, length) in enumerate(zip(rows.tolist(), lengths)):
      line = row[:length] + separator
      if any(line[i : i + len(separator)] == separator for i in range(length)):
        bad = number
        break
    table = DocidTable(['a', 'b', 'c'], rows, lengths, vocab_size=4)
    assert title_targets.row_with_separator(table, separator) == bad
    found += bad is not None
  assert 50 < found < 290


def test_the_bare_title_is_meant_wherever_its_page_stands(folders):
  kilt, titles = folders
  found = kilt_survey.survey([kilt])
  recipe = Recipe(options=LOW)
  makers = [
    Maker(recipe, titles, listed)
    for listed in (found.titles, found.titles[::-1])
  ]
  for of in kilt_pages.read_pages(kilt):
    first, second = (maker.rows(of) for maker in makers)
    assert first == second


# --- What is left out.


def test_evidence_and_queries_are_left_out_and_counted(folders, tmp_path):
  kilt, titles = folders
  pages = list(kilt_pages.read_pages(kilt))
  found = kilt_survey.survey([kilt])
  chosen = next(p for p in pages if len(p.paragraphs) > 3)
  record = {
    'id': '1',
    'input': 'x',
    'output': [
      {
        'provenance': [
          {
            'wikipedia_id': chosen.page_id,
            'start_paragraph_id': 2,
            'end_paragraph_id': 2,
            'start_character': 0,
            'end_character': 2,
          },
          {'wikipedia_id': 'gone'},
        ]
      }
    ],
  }
  file = tmp_path / 'nq-dev-kilt.jsonl'
  file.write_text(json.dumps(record))
  sentence = next(
    e.source
    for e in corpusbrain.examples(
      pages,
      corpusbrain.corpus_titles(pages),
      options=Recipe(options=LOW).resolved(),
    )
    if e.task == 'hip'
    and e.page_id != chosen.page_id
    and len(e.source.replace('|', '').split()) > 13
  )
  queries = tmp_path / 'queries.tsv'
  queries.write_text(f'a\t{sentence.upper()}\nb\ttree\n')

  def rows(**kwargs):
    maker = Maker(Recipe(options=LOW, **kwargs), titles, found.titles)
    made = [row for page in pages for row in maker.rows(page)]
    assert maker.examples == collections.Counter(r.example.task for r in made)
    return made, maker

  everything, plain = rows()
  assert not plain.leaks
  kept, maker = rows(withhold=(str(file),), queries=str(queries))
  overlapping = [
    row.example
    for row in everything
    if row.example.page_id == chosen.page_id
    and any(s.start < (2, 2) and s.end > (2, 0) for s in row.example.spans)
  ]
  sources = {row.example.source for row in kept}
  assert overlapping
  assert sentence not in sources
  gone = [r.example for r in everything if r not in kept]
  assert all(e in gone for e in overlapping)
  text = sum(n for kind, n in maker.leaks.items() if kind.endswith(' text'))
  by_query = sum(n for k, n in maker.leaks.items() if k.endswith(' query'))
  assert text == len(overlapping)
  assert len(gone) == text + by_query
  assert by_query >= 1
  assert (maker.short_queries, maker.missing_evidence) == (1, 1)
  counted_only, maker = rows(withhold=(str(file),), drop=())
  assert len(counted_only) == len(everything)
  assert maker.leaks
  assert maker.fresh().leaks == maker.fresh().examples == {}


# --- The folder, against the tasks in memory.


@pytest.mark.parametrize('packed', [False, True], ids=['plain', 'gz'])
@pytest.mark.parametrize('shards', [1, 5])
def test_written_examples_are_those_in_memory(
  folders, tmp_path, packed, shards, monkeypatch
):
  _, titles = folders
  if shards > 1:  # more examples than are mixed at a time
    monkeypatch.setattr(corpusbrain_writer, '_BUFFER', 2)
  names = ['a.jsonl.gz', 'b.jsonl'] if packed else ['a.jsonl', 'b.jsonl']
  halves = pages_of(0)[:5], pages_of(0)[5:]
  for name, half in zip(names, halves, strict=True):
    write(tmp_path / name, half)
  files = [tmp_path / name for name in names]
  name = f'written_{packed}_{shards}'
  recipe = Recipe(options=LOW, seed=shards)
  found = corpusbrain_writer.write_examples(
    files, titles, tmp_path / 'cache', name=name, recipe=recipe, shards=shards
  )
  expected = counted(register(folders, name, seed=shards))
  assert sum(map(len, expected.values())) > 20
  register(folders, name, corpus=files, cache=tmp_path / 'cache', seed=shards)
  assert counted(name, use_cached=True) == expected
  assert found.counts.examples == {
    task: sum(rows.values()) for task, rows in expected.items()
  }
  assert found.counts.pages == found.pages == 12
  for task, rows in expected.items():
    folder = corpusbrain_cache.task_folder(tmp_path / 'cache', name, task)
    stats = json.loads((folder / 'stats.train.json').read_text())
    sizes = [[len(side) - 1 for side in row] for row in rows.elements()]
    assert stats == {
      'examples': len(sizes),
      'inputs_tokens': sum(size[0] for size in sizes),
      'inputs_max_tokens': max(size[0] for size in sizes),
      'targets_tokens': sum(size[1] for size in sizes),
      'targets_max_tokens': max(size[1] for size in sizes),
    }
    written = sorted(path.name for path in folder.glob('*.tfrecord*'))
    count = json.loads((folder / 'info.train.json').read_text())['num_shards']
    assert written == [
      corpusbrain_cache.shard_name(number, count) for number in range(count)
    ]
    assert len(list(folder.iterdir())) == count + 3
  # Without rates, examples come as many as there are.
  mixture = seqio.MixtureRegistry.get(name)
  assert {task.name: mixture.get_rate(task) for task in mixture.tasks} == {
    f'{name}_{task}': sum(rows.values()) for task, rows in expected.items()
  }


def test_a_mixture_trains_from_the_cache(folders, tmp_path):
  kilt, titles = folders
  corpusbrain_writer.write_examples(
    [kilt], titles, tmp_path, name='trains', recipe=Recipe(options=LOW)
  )
  bindings = f"""
from __gin__ import dynamic_registration
from genret.tasks import corpusbrain
corpusbrain.mixture:
  name = 'trains'
  corpus = 'gone'
  docids = '{titles}'
  cache = '{tmp_path}'
  options = {LOW}
  rates = {{'lps': 1.0, 'hip': 2.0}}
"""
  with gin.unlock_config():
    gin.parse_config(bindings)
  try:
    name = gin.get_configurable(tasks.mixture)()
  finally:
    gin.clear_config()
  batches = seqio.get_dataset(
    name,
    {'inputs': 8, 'targets': 6},
    dataset_split='train',
    shuffle=True,
    num_epochs=None,
    feature_converter=seqio.EncDecFeatureConverter(pack=False),
    use_cached=True,
    seed=0,
  ).batch(4)
  batch = next(batches.as_numpy_iterator())
  assert batch['encoder_input_tokens'].shape == (4, 8)
  assert batch['decoder_target_tokens'].shape == (4, 6)
  mixture = seqio.MixtureRegistry.get(name)
  assert {t.name: mixture.get_rate(t) for t in mixture.tasks} == {
    'trains_lps': 1.0,
    'trains_hip': 2.0,
  }
  # Registering the same again is free, other options are not those written.
  with pytest.raises(ValueError, match=r'found others .options'):
    tasks.mixture(name=name, corpus='gone', docids=titles, cache=tmp_path)
  with pytest.raises(ValueError, match=r'found others .multi_title, seed'):
    register(folders, name, cache=tmp_path, multi_title=False, seed=1)
  with pytest.raises(FileNotFoundError, match='--name others'):
    register(folders, 'others', cache=tmp_path)


def test_a_stopped_run_goes_on_and_never_loads(folders, tmp_path):
  kilt, titles = folders
  common = {'name': 'stopped', 'recipe': Recipe(options=LOW), 'shards': 4}
  job = []

  def some(cache, name, numbers):
    job.append(corpusbrain_writer.load_job(cache, name))
    for number in numbers[:2]:
      corpusbrain_writer.write_part(cache, name, number, job[0])
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    corpusbrain_writer.write_examples(
      [kilt], titles, tmp_path / 'a', run=some, **common
    )
  with pytest.raises(FileNotFoundError, match='goes on where it was'):
    register(folders, 'stopped', cache=tmp_path / 'a')
  assert not list((tmp_path / 'a').rglob('COMPLETED'))
  # A worker that gives nothing back is found out.
  with pytest.raises(ValueError, match='2 are not done'):
    corpusbrain_writer.write_examples(
      [kilt], titles, tmp_path / 'a', run=lambda *_: None, **common
    )
  again = corpusbrain_writer.write_examples(
    [kilt], titles, tmp_path / 'a', **common
  )
  whole = corpusbrain_writer.write_examples(
    [kilt], titles, tmp_path / 'b', **common
  )
  assert again.survey_seconds == 0.0
  assert 0 < again.pages < whole.pages == 12
  for of in (again, whole):
    of.counts.seconds = 0.0
  assert again.counts == whole.counts
  files = [p.relative_to(tmp_path / 'b') for p in (tmp_path / 'b').rglob('*')]
  for path in files:
    if '.tfrecord' in path.name:
      assert (tmp_path / 'a' / path).read_bytes() == (
        tmp_path / 'b' / path
      ).read_bytes()
  # All is there: nothing is read again.
  found = corpusbrain_writer.write_examples(
    [kilt], titles, tmp_path / 'a', run=None, **common
  )
  assert found.pages == 0
  with pytest.raises(ValueError, match=r'others named stopped .shards'):
    corpusbrain_writer.write_examples(
      [kilt], titles, tmp_path / 'a', **common | {'shards': 3}
    )


def test_a_part_that_fails_leaves_nothing(folders, tmp_path):
  _, titles = folders
  file = tmp_path / 'pages.jsonl'
  write(file, pages_of(0))

  def spoilt(cache, name, numbers):
    job = corpusbrain_writer.load_job(cache, name)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(''.join(lines[:-3]) + 'no page\n' * 3)
    for number in numbers:
      corpusbrain_writer.write_part(cache, name, number, job)

  with pytest.raises(ValueError, match='does not parse'):
    corpusbrain_writer.write_examples(
      [file],
      titles,
      tmp_path / 'cache',
      name='failed',
      recipe=Recipe(options=LOW),
      shards=1,
      run=spoilt,
    )
  left = [path for path in (tmp_path / 'cache').rglob('*') if path.is_file()]
  assert {path.parts[-2] for path in left} == {'failed.examples', 'pages'}


def test_wrong_input_is_refused(folders, tmp_path):
  kilt, titles = folders
  write(tmp_path / 'other.jsonl', pages_of(1))
  with pytest.raises(ValueError, match='hash'):
    corpusbrain_writer.write_examples(
      [tmp_path / 'other.jsonl'], titles, tmp_path / 'cache'
    )
  with pytest.raises(ValueError, match='hash'):
    rows_of(register(folders, 'other', corpus=tmp_path / 'other.jsonl'), 'lps')
  with pytest.raises(ValueError, match="page '99'"):
    Maker(Recipe(), titles, [('99', 'Ash')])
  for kwargs, message in (
    ({'rates': {'lps': 0.0}}, 'rates above 0'),
    ({'rates': {'lsp': 1.0}}, 'rates above 0'),
    ({'reading': 'mine'}, 'paper or released'),
    ({'options': {'inner_example': 3}}, 'inner_example'),
    ({'drop': ('texts',)}, 'drop'),
    ({'queries': kilt}, 'splits'),
    ({'queries': kilt, 'query_splits': ['dev']}, 'dev-kilt.jsonl'),
  ):
    with pytest.raises(ValueError, match=message):
      register(folders, 'wrong', **kwargs)
  with pytest.raises(ValueError, match='tasks'):
    Recipe(tasks=('lsp',))
  with pytest.raises(ValueError, match='at least one'):
    Recipe(tasks=())
  for kwargs in ({'name': 'a-b'}, {'shards': 0}):
    with pytest.raises(ValueError, match='Expected'):
      corpusbrain_writer.write_examples([kilt], titles, tmp_path, **kwargs)
  # The limits of the paper leave nothing of so small pages.
  with pytest.raises(ValueError, match='lower the limits'):
    corpusbrain_writer.write_examples([kilt], titles, tmp_path / 'none')
  with pytest.raises(ValueError, match='lower the limits'):
    rows_of(register(folders, 'none', options={}), 'lps')


def test_readers_share_what_is_in_memory(folders):
  name = register(folders, 'shared')
  parts = [
    rows_of(name, 'iss', shard_info=seqio.ShardInfo(index, 2))
    for index in range(2)
  ]
  assert all(parts)
  assert sorted(parts[0] + parts[1]) == sorted(rows_of(name, 'iss'))


# --- Parts.


@hypothesis.settings(max_examples=40)
@hypothesis.given(
  sizes=st.lists(st.integers(0, 7), min_size=1, max_size=3),
  shards=st.integers(1, 9),
  packed=st.lists(st.booleans(), min_size=3, max_size=3),
  seed=st.integers(0, 3),
)
def test_every_page_is_in_one_part(
  tmp_path_factory, sizes, shards, packed, seed
):
  folder = tmp_path_factory.mktemp('parts')
  pages = pages_of(seed, sum(sizes))
  files, first = [], 0
  for number, (size, gz) in enumerate(zip(sizes, packed, strict=False)):
    files.append(folder / f'{number}.jsonl{".gz" * gz}')
    write(files[-1], pages[first : first + size])
    first += size
  found = kilt_survey.survey(files, shards=shards)
  expected = [page for file in files for page in kilt_pages.read_pages(file)]
  parts = [list(kilt_survey.read_part(part)) for part in found.parts]
  assert [page for part in parts for page in part] == expected
  assert found.titles == [(page.page_id, page.title) for page in expected]
  assert list(kilt_survey.titled(found.titles)) == [
    kilt_pages.Page(page.page_id, page.title, ()) for page in expected
  ]
  assert found.hash == corpus.documents_hash(
    map(corpus.page_document, expected)
  )
  for part in found.parts:
    assert part.shards == 1 or part.file.endswith('.gz')
  if len(files) == 1 and sizes[0] >= 2 * shards and not packed[0]:
    assert len(found.parts) > shards // 2
  shutil.rmtree(folder)


COUNTS = st.builds(
  corpusbrain_cache.Counts,
  pages=st.integers(0, 9),
  **{
    field: st.dictionaries(st.sampled_from('abc'), st.integers(1, 9))
    for field in ('tokens', 'most_tokens', 'examples', 'leaks', 'anchors')
  },
)


@hypothesis.given(of=st.lists(COUNTS, max_size=4))
def test_counts_add_up(of):
  found = corpusbrain_cache.total(of)
  assert found.pages == sum(counts.pages for counts in of)
  for field in ('tokens', 'most_tokens', 'examples', 'leaks', 'anchors'):
    join = max if field == 'most_tokens' else sum
    columns = [getattr(counts, field) for counts in of]
    assert getattr(found, field) == {
      key: join(column[key] for column in columns if key in column)
      for key in sorted({key for column in columns for key in column})
    }


def test_counts_are_kept(tmp_path):
  counts = corpusbrain_cache.Counts(pages=3, examples={'lps': 2}, seconds=0.5)
  assert corpusbrain_cache.read_counts(tmp_path, 'a', 7) is None
  corpusbrain_cache.write_counts(tmp_path, 'a', 7, counts)
  assert corpusbrain_cache.read_counts(tmp_path, 'a', 7) == counts
  assert corpusbrain_cache.read_counts(tmp_path, 'a', 8) is None


def test_surveys_are_kept(folders, tmp_path):
  for files in ([folders[0]], [write_empty(tmp_path)]):
    found = kilt_survey.survey(files, shards=3)
    corpusbrain_cache.save_survey(tmp_path, 'kept', found)
    assert corpusbrain_cache.load_survey(tmp_path, 'kept') == found


def write_empty(folder):
  write(folder / 'empty.jsonl', [])
  return folder / 'empty.jsonl'


def test_pages_are_given_once(folders, tmp_path):
  kilt, _ = folders
  with pytest.raises(ValueError, match='each once'):
    kilt_survey.page_files([kilt, kilt / 'kilt.jsonl'])
  with pytest.raises(ValueError, match='each once'):
    kilt_survey.page_files([])
  with pytest.raises(FileNotFoundError, match='gone'):
    kilt_survey.page_files([tmp_path / 'gone'])
  write(tmp_path / 'again.jsonl', pages_of(0)[3:4])
  with pytest.raises(ValueError, match=r"again.jsonl, line 1: .*'3'"):
    kilt_survey.survey([kilt, tmp_path / 'again.jsonl'])


# --- Apache Beam.


@beam
@pytest.mark.parametrize(
  'workers', [1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_beam_writes_the_same_files(folders, tmp_path, workers, capfd):
  kilt, titles = folders
  options = [f'{name}={value}' for name, value in LOW.items() if name[0] == 'm']
  words = [
    *('corpusbrain', '--corpus', str(kilt), '--docids', str(titles)),
    *('--name', 'beamed', '--shards', '4', '--seed', '2'),
    *(word for option in options for word in ('--option', option)),
    *('--option', 'title_probabilities=0.3,0.4,0.3'),
  ]
  assert tool.main([*words, '--output', str(tmp_path / 'plain')]) == 0
  plain = capfd.readouterr().out
  chosen = ['--workers', '2']
  if workers == 1:
    chosen = ['--beam-option', 'runner=DirectRunner']
  assert tool.main([*words, '--output', str(tmp_path / 'beam'), *chosen]) == 0
  assert capfd.readouterr().out.splitlines()[:-1] == plain.splitlines()[:-1]
  for path in (tmp_path / 'plain').rglob('*'):
    if path.is_file() and 'beamed.examples' not in str(path):
      other = tmp_path / 'beam' / path.relative_to(tmp_path / 'plain')
      assert other.read_bytes() == path.read_bytes()
  register(folders, 'beamed', seed=2)
  expected = counted('beamed')
  register(folders, 'beamed', seed=2, cache=tmp_path / 'beam')
  assert counted('beamed', use_cached=True) == expected


@beam
def test_beam_stops_where_a_part_fails(folders, tmp_path):
  from genret import corpusbrain_beam

  assert '--direct_num_workers=3' in corpusbrain_beam.local_options(3)
  with pytest.raises(Exception, match='under the same paths'):
    corpusbrain_beam.run_parts(
      str(tmp_path), 'gone', [0], options=['--runner=DirectRunner']
    )


@beam
def test_stats_and_info_are_those_of_seqio(folders, tmp_path):
  import apache_beam
  from seqio import beam_utils

  kilt, titles = folders
  corpusbrain_writer.write_examples(
    [kilt], titles, tmp_path, name='stats', recipe=Recipe(options=LOW)
  )
  register(folders, 'stats')
  task = seqio.get_mixture_or_task('stats_lps')
  rows = list(
    task.preprocess_precache(
      task.source.get_dataset('train')
    ).as_numpy_iterator()
  )
  assert rows
  with apache_beam.Pipeline() as pipeline:
    examples = pipeline | apache_beam.Create(rows)
    for label, transform in (
      ('info', beam_utils.GetInfo(64)),
      ('stats', beam_utils.GetStats(task.output_features)),
    ):
      _ = (
        examples
        | label >> transform
        | f'write {label}' >> beam_utils.WriteJson(str(tmp_path / label))
      )
  for label in ('info', 'stats'):
    path = tmp_path / 'stats_lps' / f'{label}.train.json'
    ours, theirs = (
      json.loads(file.read_text()) for file in (path, tmp_path / label)
    )
    ours.pop('num_shards', None)
    theirs.pop('num_shards', None)
    assert ours == theirs


# --- The command.


def test_the_command(folders, tmp_path, capsys):
  kilt, titles = folders
  words = ['--corpus', str(kilt), '--docids', str(titles)]
  options = [
    f'--option={name}={value}' for name, value in LOW.items() if name[0] == 'm'
  ]
  status = genret_main(
    ['examples', 'corpusbrain', *words, *options, '--tasks', 'lps', 'hip']
    + ['--output', str(tmp_path / 'cache'), '--own-title-only']
  )
  assert status == 0
  out = capsys.readouterr().out
  maker = Maker(
    Recipe(
      options={name: 1 for name in LOW if name[0] == 'm'},
      tasks=('lps', 'hip'),
      multi_title=False,
    ),
    titles,
    kilt_survey.survey([kilt]).titles,
  )
  for page_ in kilt_pages.read_pages(kilt):
    maker.rows(page_)
  lines = [line.split() for line in out.splitlines()]
  for task in ('lps', 'hip'):
    assert [task, str(maker.examples[task])] in [line[:2] for line in lines]
  for name, number in [*maker.anchors.items(), *maker.skipped.items()]:
    assert [*str(name).split(), str(number)] in lines
  assert '12 pages read' in out
  assert not (tmp_path / 'cache' / 'corpusbrain_iss').exists()
  register(
    folders,
    'corpusbrain',
    cache=tmp_path / 'cache',
    rates={'lps': 1, 'hip': 1},
    multi_title=False,
    options={name: 1 for name in LOW if name[0] == 'm'},
  )


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['--option', 'inner=words'], 'inner'),
    (['--option', 'lead=x'], '--option lead to be of type int'),
    (['--option', 'lead'], 'NAME=VALUE'),
    (['--workers', '0'], 'at least 1 worker'),
    (['--workers', '2', '--beam-option', 'a=b'], 'leave one out'),
  ],
)
def test_a_wrong_command_is_one_sentence(folders, capsys, words, message):
  kilt, titles = folders
  given = ['--corpus', str(kilt), '--docids', str(titles), '--output', 'x']
  assert genret_main(['examples', 'corpusbrain', *given, *words]) == 2
  assert message in capsys.readouterr().err


def test_help_has_an_example(capsys):
  with pytest.raises(SystemExit):
    tool.main(['corpusbrain', '--help'])
  assert 'genret examples corpusbrain --corpus kilt' in capsys.readouterr().out
