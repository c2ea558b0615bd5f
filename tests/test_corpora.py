# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The corpora of the literature, from files in their public formats."""

import collections
import dataclasses
import gzip
import json
import random
import unicodedata

import public_data
import pytest
from public_data import DEV_PAIRS, PASSAGES, TRAIN_PAIRS, Page, passage

from genret import tools
from genret.corpora import beir_writer, natural_questions, recipes
from genret.corpora.beir_writer import Judgement, write_collection
from genret.corpora.public_files import PublicFiles
from genret.corpus import Document, Query, load_collection
from genret.text_files import read_lines


def body_of(page):
  """A page's text after its first heading, told from its parts."""
  parts = ['Jump to : search', page.abstract, page.body, *page.lists, 'the end']
  return ' '.join(part for part in parts if part)


def pages(count):
  return [
    Page(f'Page {i}', f'Abstract {i}', f'Body {i}', question=f'question {i}')
    for i in range(count)
  ]


def built(name, folder, output, **arguments):
  options = arguments.pop('options', None)
  summary = recipes.build(name, folder, output, options=options, **arguments)
  collection = load_collection(output)
  assert summary.corpus_hash == collection.hash
  assert summary.documents == len(collection.documents)
  assert summary.queries == len(collection.queries)
  return collection, summary


def by_document(collection, split):
  """{query text: set of texts that answer it}."""
  documents = {d.doc_id: d for d in collection.documents}
  return {
    collection.queries[query_id]: {documents[d].text for d in judged}
    for query_id, judged in collection.qrels[split].items()
  }


# ---- Natural Questions -------------------------------------------------------


@pytest.mark.parametrize('ending', ['.jsonl', '.jsonl.gz'])
def test_nq320k_of_dsi(tmp_path, ending):
  train, dev = pages(5), [Page('Late Page', question='late'), *pages(2)]
  train.append(dataclasses.replace(train[1], revision=2, question='again'))
  public_data.write_nq(tmp_path, train, dev, ending)
  found, summary = built('nq320k-dsi', tmp_path, tmp_path / 'out')
  shown = {p.url: p for p in [*train, *dev]}  # in order of appearance
  assert found.documents == [
    Document(str(i), p.title.lower(), body_of(p).lower(), p.url)
    for i, p in enumerate(shown.values())
  ]
  places = list(shown)
  for split, rows, name in (
    ('train', train, lambda i: str(100 + i)),
    ('dev', dev, lambda i: str(-i - 1)),
  ):
    assert found.qrels[split] == {
      name(i): {str(places.index(p.url)): 1} for i, p in enumerate(rows)
    }
    for i, page in enumerate(rows):
      assert found.queries[name(i)] == page.question
  assert summary.pairs == {'train': 6, 'dev': 3}
  assert summary.judged == {'train': 6, 'dev': 3}
  assert (summary.dropped, summary.unjudged) == (0, 0)


def test_revisions_of_a_page_are_merged(tmp_path):
  train = [Page('A'), Page('B'), Page('A', body='newer', revision=7)]
  public_data.write_nq(tmp_path, train, [Page('B', body='old', revision=0)])
  found, _ = built(
    'nq320k-dsi', tmp_path, tmp_path / 'out', options={'revisions': 'merged'}
  )
  assert [d.url for d in found.documents] == [train[0].url, train[1].url]
  assert 'newer' not in found.documents[0].text
  assert found.qrels['train'] == {
    '100': {'0': 1}, '101': {'1': 1}, '102': {'0': 1}
  }  # fmt: skip
  assert found.qrels['dev'] == {'-1': {'1': 1}}
  apart, _ = built('nq320k-dsi', tmp_path, tmp_path / 'apart')
  assert len(apart.documents) == 4
  assert apart.hash != found.hash


def test_questions_without_an_answer_may_be_left_out(tmp_path):
  answers = ['none', 'long', 'short', 'yes']  # the last two are long as well
  train = [Page(f'T{a}', question=a, answer=a) for a in answers]
  dev = [Page(f'D{a}', question=f'dev {a}', answer=a) for a in answers]
  public_data.write_nq(tmp_path, train, dev)
  found, _ = built('nq320k-dsi', tmp_path, tmp_path / 'all')
  assert len(found.queries) == len(found.documents) == 8
  found, _ = built(
    'nq320k-dsi', tmp_path, tmp_path / 'some', options={'answered': True}
  )
  kept = [*answers[1:], *[f'dev {a}' for a in answers[1:]]]
  assert list(found.queries.values()) == kept
  assert len(found.documents) == 6


@pytest.mark.parametrize('name', ['nq10k', 'nq100k'])
def test_samples_of_nq(tmp_path, name):
  train = [*pages(30), *pages(30)]  # every page twice
  public_data.write_nq(tmp_path, train)
  options = {'train': 20, 'dev': 5, 'seed': 3}
  found, summary = built(name, tmp_path, tmp_path / 'a', options=options)
  assert summary.pairs == {'train': 20, 'dev': 5}
  for split in found.qrels:
    for query_id, judged in found.qrels[split].items():
      page = train[int(query_id) - 100]
      (doc_id,) = judged
      document = found.documents[int(doc_id)]
      assert document.text == body_of(page).lower()
      assert document.url == page.url
  assert not set(found.qrels['train']) & set(found.qrels['dev'])
  judged = {d for of in found.qrels.values() for q in of.values() for d in q}
  assert judged == {d.doc_id for d in found.documents}
  again, _ = built(name, tmp_path, tmp_path / 'b', options=options)
  assert again == dataclasses.replace(found, name='b')
  options['seed'] = 4
  other, _ = built(name, tmp_path, tmp_path / 'c', options=options)
  assert other.hash != found.hash


def test_a_sample_is_even(tmp_path):
  public_data.write_nq(tmp_path, pages(20))
  drawn = collections.Counter()
  for seed in range(60):
    options = {'train': 5, 'dev': 5, 'seed': seed}
    out = tmp_path / str(seed)
    recipes.build('nq10k', tmp_path, out, options=options, compress=False)
    rows = (out / 'qrels' / 'dev.tsv').read_text().splitlines()[1:]
    drawn.update(row.split('\t')[0] for row in rows)
  assert len(drawn) == 20  # 15 of each expected
  assert max(drawn.values()) < 30


def test_sizes_of_the_samples_are_those_of_the_papers(tmp_path):
  sizes = {
    name: {k: v for k, v in recipes.options_of(name).items() if k != 'seed'}
    for name in recipes.RECIPES
  }
  assert sizes['nq10k'] == {
    'train': 8_000, 'dev': 2_000, 'revisions': 'distinct'
  }  # fmt: skip
  assert sizes['nq100k'] == sizes['nq10k'] | {'train': 80_000, 'dev': 20_000}
  assert sizes['msmarco-100k'] == {'train': 93_020, 'dev': 6_980}
  assert sizes['msmarco-1m'] == {'total': 1_000_000}
  assert sizes['msmarco-doc-10k'] == {'train': 14_763, 'dev': 1_330}
  assert sizes['msmarco-doc-100k'] == {'train': 96_948, 'dev': 3_000}
  assert recipes.options_of('msmarco-100k')['seed'] == 313


def test_nq320k_of_nci(tmp_path):
  train = [
    Page('Émile Zola', 'a writer', 'of books', question='one'),
    Page('emile zola', 'other', 'revision', question='two', revision=2),
    Page('No lists', lists=(), question='three'),
    Page('One list', lists=('only',), question='four'),
    Page('No abstract', abstract='', question='five'),
    Page('No heading', heading=False, question='six'),
  ]
  dev = [
    Page('EMILE  ZOLA', 'third', question='seven'),
    Page("Zola's dog", question='eight'),
    Page("zola 's DOG", question='nine'),
  ]
  public_data.write_nq(tmp_path, train, dev)
  found, summary = built('nq320k-nci', tmp_path, tmp_path / 'out')
  assert [(d.title, d.text) for d in found.documents] == [
    ('Émile Zola', 'a writer of books see also references'),
    ('No lists', f'{train[2].abstract} {train[2].body} the end'),
    ('One list', f'{train[3].abstract} {train[3].body} only'),
    ('No abstract', f'Jump to : search {train[4].body} see also references'),
    ('No heading', f'{train[5].abstract} {train[5].body} see also references'),
    ("Zola's dog", f'{dev[1].abstract} {dev[1].body} see also references'),
  ]
  answers = {
    found.queries[query_id]: doc_id
    for split in ('train', 'dev')
    for query_id, (doc_id,) in found.qrels[split].items()
  }
  assert answers == {
    'one': '0', 'two': '0', 'three': '1', 'four': '2', 'five': '3',
    'six': '4', 'seven': '0', 'eight': '5', 'nine': '5',
  }  # fmt: skip
  assert summary.judged == {'train': 5, 'dev': 2}


@pytest.mark.parametrize(
  ('url', 'title'),
  [
    ('https://x//w/index.php?title=A_B&amp;oldid=3', 'A B'),
    ('https://x//w/index.php?oldid=3&title=Caf%C3%A9', 'Café'),
    ('http://www.wikipedia.org/Google', 'Google'),
    ('http://x/wiki/AC%2FDC', 'AC/DC'),
    ('', ''),
  ],
)
def test_titles_in_addresses(url, title):
  assert natural_questions.page_title(url) == title


def example(**changes):
  fields = Page('A title', heading=False).simplified(5)
  line = json.dumps({k: v for k, v in (fields | changes).items() if v != 'no'})
  return natural_questions._example('here', line)


def test_a_title_comes_from_somewhere():
  assert example().title == 'A title'
  assert example(document_title='Another').title == 'Another'
  assert example(document_text='<h1> a <i> b </i> </h1> c').title == 'a b'
  untitled = example(document_url='http://x/')
  assert untitled.title == ''
  assert natural_questions.title_key(untitled) == 'http://x/'
  assert natural_questions.title_key(example()) == 'a title'


def test_text_without_tags():
  texts = {
    'a <P> b </P> c': 'a b c',
    'x < 3 > y <3 a<b>c </Th_colspan="2"> .': 'x < 3 > y <3 a<b>c .',
    '<H1> t </H1> <P> </P> 0': '0',
    '': '',
  }
  for page, text in texts.items():
    found = natural_questions.plain_text(example(document_text=page))
    assert found == text
  page = '<P> first </P> <P> second </P>'
  assert (
    natural_questions.abstract_and_body(example(document_text=page))
    == 'first second'
  )


def test_a_list_before_the_abstract_ends_nothing_but_the_text():
  page = '<H1> t </H1> <Ul> u </Ul> <Ul> v </Ul> <P> abstract </P> rest'
  found = natural_questions.abstract_and_body(example(document_text=page))
  assert found == 'abstract'  # as the released notebook slices


@pytest.mark.parametrize(
  'changes',
  [
    {'example_id': 'no'},
    {'question_text': 'no'},
    {'question_text': None},
    {'document_url': 'no'},
    {'document_text': 'no'},
    {'document_text': 3},
    {'annotations': 'no'},
    {'annotations': [{}]},
  ],
)
def test_a_line_that_is_no_example_is_named(tmp_path, changes):
  public_data.write_nq(tmp_path, pages(3), pages(1), '.jsonl')
  path = tmp_path / 'v1.0-simplified_simplified-nq-train.jsonl'
  lines = path.read_text().splitlines()
  fields = json.loads(lines[1]) | changes
  lines[1] = json.dumps({k: v for k, v in fields.items() if v != 'no'})
  path.write_text('\n'.join(lines))
  with pytest.raises(ValueError, match=r'nq-train\.jsonl, line 2: expected an'):
    recipes.build('nq320k-dsi', tmp_path, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
  assert not list(tmp_path.glob('.out*'))


@pytest.mark.parametrize('line', ['{', '[]', 'null', '3'])
def test_a_line_that_is_no_object_is_named(tmp_path, line):
  path = tmp_path / 'nq-train-00.jsonl'
  path.write_text(json.dumps(Page('A').original(1)) + f'\n{line}\n')
  with pytest.raises(ValueError, match=r'train-00\.jsonl, line 2: expected'):
    recipes.build(
      'nq10k', tmp_path, tmp_path / 'out', options={'train': 1, 'dev': 1}
    )


def test_shards_of_the_original_format(tmp_path):
  shown = pages(7)
  for shard, some in enumerate((shown[:3], shown[3:6])):
    rows = [json.dumps(p.original(100 * shard + i)) for i, p in enumerate(some)]
    name = f'nq-train-0{shard}.jsonl.gz'
    public_data.write(tmp_path / name, '\n'.join(rows))
  rows = [json.dumps(shown[6].original(900))]
  public_data.write(tmp_path / 'nq-dev-00.jsonl', '\n'.join(rows))
  found, _ = built('nq320k-dsi', tmp_path, tmp_path / 'out', lower_case=False)
  assert [d.title for d in found.documents] == [p.title for p in shown]
  assert [d.text for d in found.documents] == [body_of(p) for p in shown]
  assert list(found.qrels['train']) == ['0', '1', '2', '100', '101', '102']


def test_fewer_pairs_than_a_sample_takes(tmp_path):
  public_data.write_nq(tmp_path, pages(4))
  with pytest.raises(ValueError, match='Expected 10000 training pairs or more'):
    recipes.build('nq10k', tmp_path, tmp_path / 'out')
  with pytest.raises(ValueError, match='revisions to be one of distinct, merg'):
    recipes.build(
      'nq320k-dsi', tmp_path, tmp_path / 'out', options={'revisions': 'all'}
    )


# ---- MS MARCO ----------------------------------------------------------------


def drawn_by_the_script(train, dev, seed=313):
  """The draws of DSI-QG, written down once more: {split: [(query, pid)]}."""
  generator = random.Random(seed)
  corpus = list(range(PASSAGES))
  generator.shuffle(corpus)
  queries_of = {'train': {}, 'dev': {}}
  for split, pairs in (('train', TRAIN_PAIRS), ('dev', DEV_PAIRS)):
    for query, pid in pairs:
      queries_of[split].setdefault(pid, []).append(query)
  chosen = list(queries_of['train'])
  generator.shuffle(chosen)
  chosen = chosen[:train]
  answers = list(set(queries_of['dev']).difference(set(queries_of['train'])))
  generator.shuffle(answers)
  answers = answers[:dev]
  fill = [p for p in corpus if p not in chosen and p not in answers]
  fill = fill[: train - len(chosen)]
  pairs = {
    split: {(str(queries_of[split][p][0]), str(p)) for p in pids}
    for split, pids in (('train', chosen), ('dev', answers))
  }
  return pairs, sorted({*chosen, *answers, *fill})


def pairs_of(collection, split):
  return {(q, d) for q, of in collection.qrels[split].items() for d in of}


@pytest.mark.parametrize(('train', 'dev'), [(8, 5), (20, 9), (40, 9), (0, 1)])
@pytest.mark.parametrize('ending', ['', '.gz'])
def test_msmarco_100k(tmp_path, train, dev, ending):
  public_data.write_ms_marco(tmp_path, ending)
  options = {'train': train, 'dev': dev}
  found, summary = built(
    'msmarco-100k', tmp_path, tmp_path / 'out', options=options
  )
  pairs, pids = drawn_by_the_script(train, dev)
  assert len(found.documents) == train + dev
  assert found.documents == [
    Document(str(pid), '', passage(pid)) for pid in pids
  ]
  for split in found.qrels:
    assert pairs_of(found, split) == pairs[split]
  asked = {q for of in pairs.values() for q, _ in of}
  assert found.queries == {
    q: f'query {q}' for q in sorted(asked)
  }  # train comes first, and its ids are lower
  assert not pairs['dev'] & {('2000', '0')}  # a passage of train
  assert summary.unjudged == 0


def test_msmarco_1m(tmp_path):
  public_data.write_ms_marco(tmp_path)
  answers = {p for _, p in [*TRAIN_PAIRS, *DEV_PAIRS]}
  total = len(answers) + 5
  found = {}
  for seed in (1, 1, 2):
    out = tmp_path / f'{len(found)}_{seed}'
    options = {'total': total, 'seed': seed}
    collection, _ = built('msmarco-1m', tmp_path, out, options=options)
    assert len(collection.documents) == total
    pids = [int(d.doc_id) for d in collection.documents]
    assert pids == sorted(pids)
    assert answers < set(pids)
    assert [d.text for d in collection.documents] == [passage(p) for p in pids]
    for split, pairs in (('train', TRAIN_PAIRS), ('dev', DEV_PAIRS)):
      assert pairs_of(collection, split) == {(str(q), str(p)) for q, p in pairs}
    found.setdefault(seed, set()).add(collection.hash)
  assert {seed: len(of) for seed, of in found.items()} == {1: 1, 2: 1}
  assert found[1] != found[2]
  whole, _ = built(
    'msmarco-1m', tmp_path, tmp_path / 'w', options={'total': PASSAGES}
  )
  full, _ = built('msmarco-full', tmp_path, tmp_path / 'full')
  assert whole.hash == full.hash
  assert whole.qrels == full.qrels
  for wrong in (len(answers) - 1, PASSAGES + 1):
    with pytest.raises(ValueError, match=f'got {wrong}|Expected {wrong} pass'):
      recipes.build(
        'msmarco-1m', tmp_path, tmp_path / 'x', options={'total': wrong}
      )


def test_msmarco_full(tmp_path):
  public_data.write_ms_marco(tmp_path)
  found, summary = built('msmarco-full', tmp_path, tmp_path / 'out')
  assert found.documents == [
    Document(str(pid), '', passage(pid)) for pid in range(PASSAGES)
  ]
  assert '9000' not in found.queries
  assert len(found.queries) == 20 + 12
  assert summary.pairs == {'train': len(TRAIN_PAIRS), 'dev': len(DEV_PAIRS)}


def test_more_passages_than_there_are(tmp_path):
  public_data.write_ms_marco(tmp_path)
  options = {'train': 8, 'dev': 99}
  found, _ = built('msmarco-100k', tmp_path, tmp_path / 'out', options=options)
  pairs, pids = drawn_by_the_script(8, 99)
  assert [d.doc_id for d in found.documents] == list(map(str, pids))
  assert pairs_of(found, 'dev') == pairs['dev']
  assert 0 < len(pairs['dev']) < 99
  with pytest.raises(
    ValueError, match=r'Expected 70 passages, collection\.tsv h'
  ):
    recipes.build(
      'msmarco-100k', tmp_path, tmp_path / 'x', options={'train': 65, 'dev': 5}
    )
  public_data.write_rows(tmp_path / 'qrels.train.tsv', [(1, 0, 'D7', 1)])
  with pytest.raises(
    ValueError, match='Expected passages with numbers for nam'
  ):
    recipes.build('msmarco-100k', tmp_path, tmp_path / 'x', options={'dev': 1})


def test_msmarco_documents(tmp_path):
  public_data.write_ms_marco_documents(tmp_path)
  found, summary = built('msmarco-doc-full', tmp_path, tmp_path / 'full')
  assert found.documents == [
    Document(
      f'D{d}', f'title {d}', f'body {d}' if d else '', f'http://site/{d}'
    )
    for d in range(50)
  ]
  assert pairs_of(found, 'train') == {
    (f't{q}', f'D{q % 40}') for q in range(45)
  }
  assert pairs_of(found, 'dev') == {(f'd{q}', f'D{q}') for q in range(9)}
  assert found.queries['t3'] == 'train query 3'
  assert summary.judged == {'train': 40, 'dev': 9}


@pytest.mark.parametrize('name', ['msmarco-doc-10k', 'msmarco-doc-100k'])
def test_samples_of_msmarco_documents(tmp_path, name):
  public_data.write_ms_marco_documents(tmp_path, '')
  found = []
  for seed in (5, 5, 6):
    options = {'train': 12, 'dev': 3, 'seed': seed}
    out = tmp_path / f'out{len(found)}'
    collection, summary = built(name, tmp_path, out, options=options)
    assert summary.pairs == {'train': 12, 'dev': 3}
    for split in ('train', 'dev'):
      for query_id, doc_id in pairs_of(collection, split):
        assert query_id[0] == split[0]
        assert doc_id == f'D{int(query_id[1:]) % 40}'
    judged = {d for s in collection.qrels for _, d in pairs_of(collection, s)}
    numbers = [int(d.doc_id[1:]) for d in collection.documents]
    assert numbers == sorted(numbers)
    assert {f'D{n}' for n in numbers} == judged
    found.append((collection.hash, collection.qrels))
  assert found[0] == found[1]
  assert found[0][1] != found[2][1]
  with pytest.raises(ValueError, match='Expected 46 pairs of the split train'):
    recipes.build(name, tmp_path, tmp_path / 'x', options={'train': 46})


@pytest.mark.parametrize(
  ('file', 'line', 'match'),
  [
    ('collection.tsv', 'no tab', 'line 61: expected pid<TAB>passage, found 1 c'),
    ('collection.tsv', '1\ta\tb', 'line 61: .* found 3 columns'),
    ('collection.tsv', '\ttext', 'line 61: expected pid<TAB>passage, found 2'),
    ('queries.train.tsv', '5', 'line 22: expected qid<TAB>query'),
    ('qrels.train.tsv', '5\t0\t7\tyes', 'line 25: expected'),
    ('qrels.dev.small.tsv', '5 0 7', 'line 17: expected'),
    ('collection.tsv', '59\tagain', "Expected each document once, .* '59'"),
    ('queries.train.tsv', '1000\tagain', "Expected each query once, .* '1000'"),
    ('qrels.train.tsv', '5\t0\t7\t1', "Expected the query '5' that a judgement"),
    ('qrels.dev.small.tsv', '2000\t0\t99\t1', "document '99' that answers the "),
  ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path, file, line, match):
  public_data.write_ms_marco(tmp_path)
  with open(tmp_path / file, 'a') as to:
    to.write(f'{line}\n')
  with pytest.raises(ValueError, match=match):
    recipes.build('msmarco-full', tmp_path, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_judgements_of_missing_passages_are_dropped_on_demand(tmp_path):
  public_data.write_ms_marco(tmp_path)
  rows = [*TRAIN_PAIRS, (1000, 99), (1001, 98)]
  rows = [(q, 0, pid, 1) for q, pid in rows]
  public_data.write_rows(tmp_path / 'qrels.train.tsv', rows)
  with pytest.raises(ValueError, match=r"'99' .* '1000' of the split train"):
    recipes.build('msmarco-full', tmp_path, tmp_path / 'out')
  found, summary = built(
    'msmarco-full', tmp_path, tmp_path / 'out', drop_missing=True
  )
  assert summary.dropped == 2
  assert pairs_of(found, 'train') == {(str(q), str(p)) for q, p in TRAIN_PAIRS}


@pytest.mark.parametrize(
  'file', ['collection.tsv', 'queries.train.tsv', 'qrels.train.tsv']
)
def test_an_empty_file_is_named(tmp_path, file):
  public_data.write_ms_marco(tmp_path)
  (tmp_path / file).write_text('')
  with pytest.raises(ValueError, match=f'{file}: expected .* found '):
    recipes.build('msmarco-full', tmp_path, tmp_path / 'out')


# ---- TriviaQA ----------------------------------------------------------------

EVIDENCE = {
  'England.txt': 'England is\n\na country.\n',
  'Abba_(band).txt': 'A band',
  unicodedata.normalize('NFD', 'Café.txt'): 'Coffee',
  '1.txt': 'One',
  'Nobody_asks.txt': '',
}
QUESTIONS = {
  'train': [
    ('tc_1', 'Which country?', ['England.txt', 'Abba_(band).txt']),
    ('tc_2', 'Which drink?', [unicodedata.normalize('NFC', 'Café.txt')] * 2),
    ('tc_3', 'Nothing?', []),
  ],
  'dev': [('tc_4', 'Which number?', ['1.txt'])],
  'test-without-answers': [('tc_5', 'Where?', ['England.txt'])],
}


def test_triviaqa(tmp_path):
  public_data.write_trivia_qa(tmp_path, EVIDENCE, QUESTIONS)
  found, summary = built('triviaqa', tmp_path, tmp_path / 'out')
  names = sorted(EVIDENCE)
  assert found.documents == [
    Document(
      str(i),
      name.removesuffix('.txt').replace('_', ' '),
      EVIDENCE[name].replace('\n\n', ' ').strip(),
    )
    for i, name in enumerate(names)
  ]
  number = {
    unicodedata.normalize('NFC', name): str(i) for i, name in enumerate(names)
  }
  assert found.qrels == {
    'train': {
      'tc_1': {number['England.txt']: 1, number['Abba_(band).txt']: 1},
      'tc_2': {number['Café.txt']: 1},
    },
    'dev': {'tc_4': {number['1.txt']: 1}},
    'test': {'tc_5': {number['England.txt']: 1}},
  }
  assert found.queries == {
    query_id: text for of in QUESTIONS.values() for query_id, text, _ in of
  }
  assert summary.pairs == {'train': 3, 'dev': 1, 'test': 1}
  assert summary.unjudged == 1
  assert summary.empty_documents == 0  # it has a title
  with pytest.raises(ValueError, match='without a test split'):
    recipes.build('triviaqa', tmp_path, tmp_path / 'x', hold_out=1)


def test_a_missing_page_of_evidence_is_named(tmp_path):
  missing = [('tc_9', 'What?', ['2.txt', 'England.txt'])]
  public_data.write_trivia_qa(tmp_path, EVIDENCE, QUESTIONS | {'dev': missing})
  match = "document 'evidence/wikipedia/2.txt' that answers the query 'tc_9'"
  with pytest.raises(ValueError, match=match):
    recipes.build('triviaqa', tmp_path, tmp_path / 'out')
  _, summary = built('triviaqa', tmp_path, tmp_path / 'out', drop_missing=True)
  assert summary.dropped == 1


@pytest.mark.parametrize(
  ('text', 'match'),
  [
    ('{"Data": [{"Question": "x", "EntityPages": []}]}', 'question 1: expected'),
    ('{"Data": [{"QuestionId": 3, "Question": "", "EntityPages": []}]}', 'q.* 1'),
    ('{"Data": [{"QuestionId": "a", "Question": "", "EntityPages": [{}]}]}', '1'),
    ('{"Data": [{"QuestionId": "a"', 'does not parse'),
    ('{"Data": []}', 'expected questions under Data, found none'),
    ('{"Other": [{}]}', 'expected questions under Data, found none'),
    ('', 'does not parse'),
  ],
)  # fmt: skip
def test_questions_that_are_none(tmp_path, text, match):
  public_data.write_trivia_qa(tmp_path, EVIDENCE, QUESTIONS)
  (tmp_path / 'qa' / 'wikipedia-dev.json').write_text(text)
  with pytest.raises(ValueError, match=rf'wikipedia-dev\.json.*{match}'):
    recipes.build('triviaqa', tmp_path, tmp_path / 'out')


def test_evidence_that_is_not_utf8(tmp_path):
  public_data.write_trivia_qa(tmp_path, EVIDENCE, QUESTIONS)
  (tmp_path / 'evidence' / 'wikipedia' / '1.txt').write_bytes(b'a\xff')
  with pytest.raises(ValueError, match=r'1\.txt: expected UTF-8, .* 0xff'):
    recipes.build('triviaqa', tmp_path, tmp_path / 'out')


# ---- Files, folders, the command ---------------------------------------------


def test_files_are_found_by_their_public_names(tmp_path):
  files = PublicFiles(tmp_path)
  with pytest.raises(FileNotFoundError, match=r'a\.tsv or b\.tsv .* neither'):
    files.find('a.tsv', 'b.tsv')
  (tmp_path / 'a.tsv').write_text('1\n')
  assert files.find('a.tsv', 'b.tsv') == [tmp_path / 'a.tsv']
  for name in ('b.tsv', 'a.tsv.gz'):
    (tmp_path / name).write_bytes(gzip.compress(b'1\n'))
    with pytest.raises(ValueError, match=rf'found a\.tsv, {name}; move the'):
      files.find('a.tsv', 'b.tsv')
    (tmp_path / name).unlink()
  with pytest.raises(FileNotFoundError, match='found no folder'):
    PublicFiles(tmp_path / 'gone').find('a.tsv')
  (tmp_path / 'c.gz').write_bytes(b'none')
  with pytest.raises(ValueError, match='the gzip data are damaged'):
    list(files.lines('c'))


@pytest.mark.parametrize('ending', ['', '.gz'])
def test_a_bar_reaches_the_end_of_a_file(tmp_path, ending):
  path = tmp_path / f'many.tsv{ending}'
  public_data.write_rows(path, [(i, 'text') for i in range(5000)])
  positions = []
  lines = list(read_lines(path, on_position=positions.append))
  assert len(positions) == len(lines) == 5000
  assert positions == sorted(positions)
  assert positions[0] > 0
  assert positions[-1] == path.stat().st_size


def records(count=4):
  for i in range(count):
    yield Query(f'q{i}', f'Query {i}')
    yield Document(f'd{i}', 'Title', f'Text É {i}', 'http://X')
    split = 'dev' if i == count - 1 else 'train'
    yield Judgement(split, f'q{i}', f'd{i}')


def test_a_folder_is_written_in_the_same_bytes(tmp_path):
  for name in ('a', 'b'):
    write_collection(records(), tmp_path / name, meta={'name': 'x'})
  files = sorted(p for p in (tmp_path / 'a').rglob('*') if p.is_file())
  assert [str(p.relative_to(tmp_path / 'a')) for p in files] == [
    'corpus.jsonl.gz',
    'meta.json',
    'qrels/dev.tsv',
    'qrels/train.tsv',
    'queries.jsonl',
  ]
  for path in files:
    other = tmp_path / 'b' / path.relative_to(tmp_path / 'a')
    assert path.read_bytes() == other.read_bytes()
  assert (tmp_path / 'a' / 'qrels' / 'dev.tsv').read_text() == (
    'query-id\tcorpus-id\tscore\nq3\td3\t1\n'
  )
  write_collection(records(), tmp_path / 'plain', compress=False)
  plain = (tmp_path / 'plain' / 'corpus.jsonl').read_bytes()
  packed = (tmp_path / 'a' / 'corpus.jsonl.gz').read_bytes()
  assert gzip.decompress(packed) == plain
  assert packed[4:8] == bytes(4)  # no time
  meta = json.loads((tmp_path / 'a' / 'meta.json').read_text())
  assert meta['name'] == 'x'
  assert meta['documents'] == 4
  assert meta['corpus_hash'] == load_collection(tmp_path / 'plain').hash


def test_lower_case(tmp_path):
  write_collection(records(), tmp_path / 'out', lower_case=True)
  found = load_collection(tmp_path / 'out')
  assert found.documents[2] == Document('d2', 'title', 'text é 2', 'http://X')
  assert found.queries['q2'] == 'query 2'


def test_queries_are_held_out(tmp_path):
  found = {}
  for seed in range(20):
    out = tmp_path / str(seed)
    summary = write_collection(records(9), out, hold_out=3, seed=seed)
    assert summary.pairs == {'train': 5, 'dev': 3, 'test': 1}
    qrels = load_collection(out).qrels
    assert qrels['test'] == {'q8': {'d8': 1}}
    assert not set(qrels['dev']) & set(qrels['train'])
    found[seed] = frozenset(qrels['dev'])
  assert len(set(found.values())) > 10
  write_collection(records(9), tmp_path / 'again', hold_out=3, seed=7)
  assert set(load_collection(tmp_path / 'again').qrels['dev']) == found[7]
  for wrong in (8, 99, -1):
    with pytest.raises(ValueError, match=f'fewer than the 8 .* got {wrong}'):
      write_collection(records(9), tmp_path / 'x', hold_out=wrong)


def test_a_folder_that_is_there_is_kept(tmp_path):
  (tmp_path / 'out').mkdir()
  write_collection(records(), tmp_path / 'out')  # empty: taken
  before = load_collection(tmp_path / 'out')
  with pytest.raises(
    FileExistsError, match=r'--output to be a new folder, .*out'
  ):
    write_collection(records(2), tmp_path / 'out')
  assert load_collection(tmp_path / 'out') == before
  with pytest.raises(ValueError, match=r'Expected documents, .* gave none'):
    write_collection([Query('q')], tmp_path / 'none')
  assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_what_is_empty_is_counted(tmp_path):
  rows = [
    Document('a', ' '),
    Document('b', 'x'),
    Query('q', ''),
    Query('r', 'x'),
  ]
  summary = write_collection(rows, tmp_path / 'out')
  assert summary == beir_writer.Summary(
    documents=2,
    empty_documents=1,
    queries=2,
    empty_queries=1,
    pairs={},
    judged={},
    dropped=0,
    unjudged=2,
    corpus_hash=load_collection(tmp_path / 'out').hash,
  )


def test_options_are_checked(tmp_path):
  with pytest.raises(
    ValueError, match='Expected one of the corpora nq320k-dsi,'
  ):
    recipes.build('nq', tmp_path, tmp_path / 'out')
  for wrong, match in (
    (
      {'size': 3},
      r'options of nq10k \(seed, train, dev, revisions\), got size',
    ),
    ({'train': '3'}, 'train of nq10k to be of type int'),
    ({'train': -1}, 'not negative, got -1'),
    ({'seed': True}, 'seed of nq10k to be of type int'),
  ):
    with pytest.raises(ValueError, match=match):
      recipes.build('nq10k', tmp_path, tmp_path / 'out', options=wrong)


def test_the_command(tmp_path, capsys):
  public_data.write_nq(tmp_path, pages(8), pages(2))
  command = ['corpus', 'nq320k-dsi', '--input', str(tmp_path), '--output']
  words = ['--hold-out', '3', '--option', 'answered=false', '--plain']
  assert tools.main([*command, str(tmp_path / 'out'), *words]) == 0
  found = load_collection(tmp_path / 'out')
  out = dict(
    line.strip().split('  ', 1) for line in capsys.readouterr().out.splitlines()
  )
  assert out['documents'] == '8 (0 without words)'
  assert out['queries'] == '10 (0 without words, 0 without a judgement)'
  assert out['train pairs'] == '5 of 5 documents (62.5%)'
  assert out['dev pairs'] == '3 of 3 documents (37.5%)'
  assert out['test pairs'] == '2 of 2 documents (25.0%)'
  assert out['judgements dropped'] == '0'
  assert out['corpus hash'] == found.hash
  meta = json.loads((tmp_path / 'out' / 'meta.json').read_text())
  assert meta['options'] == {
    'seed': 0, 'revisions': 'distinct', 'answered': False
  }  # fmt: skip
  assert meta['lower_case']
  assert found.documents[0].title == 'page 0'
  kept = [*command, str(tmp_path / 'kept'), '--no-lower-case']
  assert tools.main(kept) == 0
  assert load_collection(tmp_path / 'kept').documents[0].title == 'Page 0'


@pytest.mark.parametrize(
  ('name', 'words', 'said'),
  [
    ('nq', [], 'Expected one of the corpora nq320k-dsi, nq10k'),
    (
      'nq10k',
      ['--option', 'k=1'],
      'with one of seed, train, dev, revisions for',
    ),
    ('nq10k', ['--option', 'train=x'], "train to be of type int, got 'x'"),
    ('nq320k-dsi', ['--option', 'answered=1'], 'answered to be of type bool'),
    (
      'nq10k',
      [],
      'Expected v1.0-simplified_simplified-nq-train.jsonl or simpl',
    ),
  ],
)
def test_wrong_arguments_are_one_sentence(tmp_path, capsys, name, words, said):
  command = ['corpus', name, '--input', str(tmp_path), '--output']
  assert tools.main([*command, str(tmp_path / 'out'), *words]) == 2
  error = capsys.readouterr().err
  assert said in error
  assert error.count('\n') == 1


def test_help_lists_the_corpora(capsys):
  with pytest.raises(SystemExit):
    tools.main(['corpus', '--help'])
  out = capsys.readouterr().out
  names = [*recipes.RECIPES, recipes.SESSIONS]
  assert all(f'\n  {name} ' in out for name in names)
