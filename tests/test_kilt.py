# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Pages, passages and task files of KILT, and the corpora made of them."""

import gzip
import json
import pathlib
import re
import tracemalloc

import hypothesis
import pytest
from hypothesis import strategies as st

from genret import (
  corpus,
  kilt_pages,
  kilt_passages,
  kilt_records,
  run_formats,
  runs,
  text_files,
  tools,
)
from genret.corpora import recipes

TEXT = (
  'Homer\n',
  'Homer was a poet of Ionia.\n',
  'BULLET::::- Iliad\n',
  'Section::::Works.\n',
  'The Iliad sings of Achilles.\n',
  'Section::::Works.:The  Odyssey.\n',
  'BULLET::::1. It sings of a man.\n',
  '\n',
)
ANCHORS = [
  {'text': 'Ionia', 'href': 'Ionia#Coast', 'paragraph_id': 1, 'start': 20,
   'end': 25},
  {'text': 'Achilles', 'href': 'achilles_%28hero%29', 'paragraph_id': 4,
   'start': 19, 'end': 27},
]  # fmt: skip


def page_fields(page_id='7', title='Homer', text=TEXT, **fields):
  return {
    'wikipedia_id': page_id,
    'wikipedia_title': title,
    'text': list(text),
  } | fields


HOMER = page_fields(anchors=ANCHORS, categories='Poets,Ionia', history={})
TROY = page_fields('12', 'Troy', ['Troy\n', 'Troy lies in Asia.\n'])
RECORDS = {
  'nq-train': [
    {'id': 1, 'input': 'who wrote it', 'output': [
      {'answer': 'Homer', 'provenance': [
        {'wikipedia_id': '7', 'title': 'Homer', 'start_paragraph_id': 1,
         'start_character': 12, 'end_paragraph_id': 1, 'end_character': 16},
        {'wikipedia_id': '12', 'start_paragraph_id': 1},
      ]},
      {'answer': 'Homer', 'provenance': [
        {'wikipedia_id': '7', 'start_paragraph_id': 4,
         'start_character': -1, 'end_paragraph_id': 6, 'end_character': -1},
      ]},
    ]},
    {'id': 'none', 'input': 'without evidence', 'output': [{'answer': 'x'}]},
  ],
  'aidayago2-dev': [
    {'id': '1163testa 1', 'input': '[START_ENT] he [END_ENT]',
     'output': [{'answer': 'Homer', 'provenance': [
       {'wikipedia_id': 7, 'title': 'Homer'}]}]},
  ],
  'nq-test_without_answers': [{'id': 't', 'input': 'a test query'}],
}  # fmt: skip


def write(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  data = ''.join(json.dumps(row) + '\n' for row in rows).encode()
  path.write_bytes(gzip.compress(data) if path.suffix == '.gz' else data)
  return path


def kilt_folder(folder, *, ending=''):
  write(folder / f'kilt_knowledgesource.json{ending}', [HOMER, TROY])
  for name, rows in RECORDS.items():
    write(folder / f'{name}-kilt.jsonl{ending}', rows)
  return folder


def page(**fields):
  return kilt_pages.page_of('x', page_fields(**fields))


def test_a_page_and_its_parts(tmp_path):
  write(tmp_path / 'kilt.jsonl.gz', [HOMER, TROY])
  homer, troy = kilt_pages.read_pages(tmp_path)
  assert (homer.page_id, homer.title, homer.paragraphs) == ('7', 'Homer', TEXT)
  assert homer.categories == ('Poets', 'Ionia')
  for anchor in homer.anchors:
    paragraph = homer.paragraphs[anchor.paragraph_id]
    assert paragraph[anchor.start : anchor.end] == anchor.text
  assert [a.title for a in homer.anchors] == ['Ionia', 'Achilles (hero)']
  works, odyssey = 'Works.', 'Works.:The  Odyssey.'
  assert homer.sections() == [
    *['Abstract'] * 3, works, works, *[odyssey] * 3
  ]  # fmt: skip
  assert homer.text() == (
    'Homer was a poet of Ionia.\nIliad\nWorks.\nThe Iliad sings of Achilles.\n'
    'The  Odyssey.\n1. It sings of a man.'
  )
  assert (troy.anchors, troy.categories) == ((), ())
  # Paragraph 0 is text where it is not the title; a page may have none.
  assert page(title='Other').text().startswith('Homer\nHomer was')
  assert page(text=()).text() == ''
  assert page(text=()).sections() == []


def test_a_line_is_a_page_or_none():
  assert kilt_pages.parse_page('f', json.dumps(HOMER)) == kilt_pages.page_of(
    'g', HOMER
  )
  assert kilt_pages.parse_page('f', json.dumps(page_fields(7))).page_id == '7'
  assert kilt_pages.is_page(HOMER)
  for other in ({'_id': '1', 'title': 't', 'text': 'x'}, [HOMER], None):
    assert not kilt_pages.is_page(other)
  with pytest.raises(ValueError, match='f, line 3: expected one JSON object'):
    kilt_pages.parse_page('f, line 3', '{"wikipedia_id": 7,')


def test_titles_have_one_spelling():
  for spelling in ('ada_Lovelace', ' Ada  Lovelace ', 'Ada Lovelace'):
    assert kilt_pages.canonical_title(spelling) == 'Ada Lovelace'
  assert kilt_pages.canonical_title('e\u0301tude') == '\u00c9tude'
  assert kilt_pages.canonical_title('') == ''
  pages = [page(page_id=i, title=t) for i, t in (('1', 'a b'), ('2', 'A_b'))]
  assert kilt_pages.pages_by_title([*pages, page()]) == {
    'A b': ['1', '2'],
    'Homer': ['7'],
  }


@pytest.mark.parametrize('name', ['kilt.jsonl', 'kilt.jsonl.gz'])
def test_reading_goes_on_from_every_page(tmp_path, name):
  """With blank lines, a byte-order mark, CRLF and no line feed at the end."""
  rows = [page_fields(str(i), f'Pagé {i}', ['é' * i]) for i in range(5)]
  text = '\ufeff' + '\r\n\n'.join(
    json.dumps(r, ensure_ascii=False) for r in rows
  )
  data = text.encode()
  path = tmp_path / name
  path.write_bytes(gzip.compress(data) if name.endswith('.gz') else data)
  cursors, positions = [text_files.START], []
  whole = list(
    kilt_pages.read_pages(
      path, on_cursor=cursors.append, on_position=positions.append
    )
  )
  assert [p.page_id for p in whole] == ['0', '1', '2', '3', '4']
  assert positions[-1] == path.stat().st_size
  assert cursors[-1] == (len(data), 9)
  for cursor in cursors:
    rest = list(kilt_pages.read_pages(path, start=cursor))
    done = sum(1 for line in data[: cursor.offset].splitlines() if line)
    assert rest == whole[done:]
  for bad in [
    (cursors[1].offset, 0),
    (0, 1),
    (3, 1),
    (len(data) + 1, 9),
    (len(data) - 1, 8),
  ]:
    with pytest.raises(ValueError, match='a start between two lines, found'):
      list(kilt_pages.read_pages(path, start=text_files.Cursor(*bad)))
  # The line of an error is that of the file.
  path.write_bytes(gzip.compress(b'\n{') if name.endswith('.gz') else b'\n{')
  with pytest.raises(ValueError, match=f'{name}, line 2: expected one JSON'):
    list(kilt_pages.read_pages(path, start=text_files.Cursor(1, 1)))
  with pytest.raises(ValueError, match='a start between two lines, found'):
    list(kilt_pages.read_pages(path, start=text_files.Cursor(0, 1)))


def test_memory_does_not_grow_with_the_file(tmp_path):
  peaks = []
  for count in (50, 1000):
    path = write(
      tmp_path / f'{count}.jsonl',
      [page_fields(str(i), text=['words ' * 500]) for i in range(count)],
    )
    tracemalloc.start()
    assert sum(1 for _ in kilt_pages.read_pages(path)) == count
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
  assert peaks[1] < 1.5 * peaks[0] < 1_000_000


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ([], r'line 2: expected a page with wikipedia_id.* found \[\];'),
    ({'id': '1', 'text': 'x'}, r"a page with .* found \['id', 'text'\]"),
    (page_fields(None), 'line 2: expected a wikipedia_id .* found None'),
    (page_fields(' '), "line 2: expected a wikipedia_id .* found ' '"),
    (page_fields(True), 'line 2: expected a wikipedia_id .* found True'),
    (page_fields(title=3), "line 2: page '7': expected a string under wikipe"),
    (page_fields() | {'text': 'x'}, "page '7': expected a list of paragraphs"),
    (page_fields(text=[1]), "'7': expected a list of paragraphs .* found .1"),
    (page_fields(categories=[1]), "'7': expected a string under categories"),
    (page_fields(anchors={'a': 1}), "'7': expected a list under anchors, fou"),
    (page_fields(anchors=[3]), "'7', anchor 1: expected text, href"),
    (
      page_fields(anchors=[*ANCHORS, ANCHORS[0] | {'start': '1'}]),
      "page '7', anchor 3: .* correct start",
    ),
    (page_fields(anchors=[ANCHORS[0] | {'href': None}]), 'correct href'),
  ],
)
def test_a_bad_page_is_named(tmp_path, fields, message):
  path = write(tmp_path / 'kilt.jsonl', [TROY, fields])
  with pytest.raises(ValueError, match=message):
    list(kilt_pages.read_pages(path))


def test_a_missing_knowledge_source_is_named(tmp_path):
  for path in (tmp_path, tmp_path / 'gone'):
    with pytest.raises(FileNotFoundError, match=r'kilt\.jsonl \(plain or \.gz'):
      list(kilt_pages.read_pages(path))


def test_passages_of_three_words():
  found = list(kilt_passages.passages(page(), words=3))
  assert [p.text for p in found] == [
    'Homer was a', 'poet of Ionia.', 'Iliad', 'The Iliad sings', 'of Achilles.',
    '1. It sings', 'of a man.',
  ]  # fmt: skip
  assert found[2].passage_id == '7-2:12-2:17'
  assert run_formats.passage(found[2].passage_id) == {
    'wikipedia_id': '7',
    'start_paragraph_id': 2,
    'start_character': 12,
    'end_paragraph_id': 2,
    'end_character': 17,
  }
  assert [p.section for p in found[2:6]] == [
    'Abstract', 'Works.', 'Works.', 'Works.:The  Odyssey.'
  ]  # fmt: skip
  across = list(kilt_passages.passages(page(), words=8, across_sections=True))
  assert [p.text for p in across] == [
    'Homer was a poet of Ionia. Iliad The',
    'Iliad sings of Achilles. 1. It sings of',
    'a man.',
  ]
  assert [p.section for p in across][:2] == ['Abstract', 'Works.']
  assert [p.text for p in kilt_passages.passages(page())] == [
    'Homer was a poet of Ionia. Iliad',
    'The Iliad sings of Achilles.',
    '1. It sings of a man.',
  ]
  assert list(kilt_passages.passages(page(text=()))) == []
  (other,) = kilt_passages.passages(
    page(title='Other', text=['Homer\n', 'is.'])
  )
  assert (other.text, other.passage_id) == ('Homer is.', '7-0:0-1:3')
  with pytest.raises(ValueError, match='of a word or more, got 0'):
    list(kilt_passages.passages(page(), words=0))


PARAGRAPHS = st.lists(
  st.text('ab \n', max_size=12)
  | st.sampled_from(['Section::::S.\n', 'BULLET::::- a b', 'BULLET::::']),
  max_size=6,
)


@hypothesis.given(PARAGRAPHS, st.integers(1, 4), st.booleans())
def test_passages_hold_every_word_where_they_say(text, words, across):
  of = page(text=['Homer', *text])
  found = list(kilt_passages.passages(of, words=words, across_sections=across))
  plain = [
    t.removeprefix('BULLET::::').removeprefix('- ')
    if t.startswith('BULLET')
    else t
    for t in text
    if not t.startswith('Section')
  ]
  assert ' '.join(p.text for p in found).split() == ' '.join(plain).split()
  for p in found:
    assert 1 <= len(p.text.split()) <= words
    # The span, put together again without the marks in it.
    parts = []
    for n in range(p.start_paragraph_id, p.end_paragraph_id + 1):
      start = p.start_character if n == p.start_paragraph_id else 0
      end = p.end_character if n == p.end_paragraph_id else None
      part = of.paragraphs[n][start:end]
      if start == 0:
        part = part.removeprefix('BULLET::::').removeprefix('- ')
      if not of.is_heading(n):
        parts += part.split()
    assert ' '.join(parts) == p.text
  assert len({p.passage_id for p in found}) == len(found)


POINT = st.tuples(st.integers(0, 2), st.integers(0, 3))


@hypothesis.given(POINT, POINT, POINT, POINT)
def test_overlaps_are_those_of_characters(a, b, c, d):
  """Against all characters of three paragraphs of four."""
  places = [(n, i) for n in range(3) for i in range(4)]
  (a, b), (c, d) = sorted([a, b]), sorted([c, d])
  hypothesis.assume(a < b and c < d and b[1] > 0 and d[1] > 0)
  one = kilt_passages.Passage('7', '', '', '', *a, *b)
  span = kilt_records.Span('7', c, d)
  shared = {p for p in places if a <= p < b} & {p for p in places if c <= p < d}
  assert one.overlaps(span) == bool(shared)
  assert not one.overlaps(span._replace(page_id='8'))
  assert not one.overlaps(kilt_records.Span('7'))


def test_records_and_their_spans(tmp_path):
  path = write(tmp_path / 'nq-train-kilt.jsonl.gz', RECORDS['nq-train'])
  positions = []
  first, second = kilt_records.read_records(path, on_position=positions.append)
  assert positions[-1] == path.stat().st_size
  assert (first.record_id, first.question()) == ('1', 'who wrote it')
  assert first.page_ids == ('7', '12')
  exact, bare, lost = first.spans()
  assert exact == ('7', (1, 12), (1, 16))
  assert (bare.start, bare.end[0]) == ((1, 0), 1)
  assert (lost.start, lost.end[0]) == ((4, 0), 6)
  assert second.outputs == (kilt_records.Output('x', None),)
  assert second.page_ids == ()
  entry = {'wikipedia_id': '7', 'start_paragraph_id': 'x'}
  record = kilt_records.parse_record(
    'f, line 1', json.dumps({'id': 'q', 'output': [{'provenance': [entry]}]})
  )
  with pytest.raises(ValueError, match="'q': expected an integer under start_"):
    list(record.spans())
  with pytest.raises(
    ValueError, match=r"f, line 1: expected the input of .*'q'"
  ):
    record.question()
  with pytest.raises(ValueError, match="exactly one output of record 'none'"):
    kilt_records.only_output(kilt_records.KiltRecord('none', '', (), {}, 'x'))


@pytest.mark.parametrize('ending', ['', '.gz'])
def test_a_kilt_folder_is_a_collection(tmp_path, ending):
  folder = kilt_folder(tmp_path / 'kilt', ending=ending)
  collection = corpus.load_collection(folder)
  homer = kilt_pages.page_of('x', HOMER)
  assert collection.documents == [
    corpus.Document('7', 'Homer', homer.text()),
    corpus.Document('12', 'Troy', 'Troy lies in Asia.'),
  ]
  assert collection.documents[0] == corpus.page_document(homer)
  assert collection.queries == {
    '1163testa 1': '[START_ENT] he [END_ENT]',
    't': 'a test query',
    '1': 'who wrote it',
    'none': 'without evidence',
  }
  assert collection.qrels == {
    'aidayago2-dev': {'1163testa 1': {'7': 1}},
    'nq-train': {'1': {'7': 1, '12': 1}},
  }
  assert [f.name.removesuffix('.gz') for f in corpus.task_files(folder)] == [
    'aidayago2-dev-kilt.jsonl',
    'nq-test_without_answers-kilt.jsonl',
    'nq-train-kilt.jsonl',
  ]
  file = kilt_pages.find_pages(folder)
  assert list(corpus.read_documents(file)) == collection.documents
  (query,) = corpus.read_queries(folder / f'aidayago2-dev-kilt.jsonl{ending}')
  assert query.query_id == '1163testa 1'


def test_queries_in_the_form_of_genre(tmp_path):
  folder = kilt_folder(tmp_path / 'kilt')
  mention = {'left_context': 'so', 'mention': 'he', 'right_context': 'said'}
  rows = [
    {'id': 'm', 'input': 'x', 'meta': mention},
    {'id': 'd', 'input': 'one\ntwo &amp; three'},
  ]
  file = write(folder / 'wow-dev-kilt.jsonl', rows)
  expected = {'m': 'so [START_ENT] he [END_ENT] said', 'd': 'one>>two & three'}
  plain = {row['id']: row['input'] for row in rows}
  for form, texts in (('genre', expected), ('input', plain)):
    found = {q.query_id: q.text for q in corpus.read_queries(file, form=form)}
    assert found == texts
    queries = corpus.load_collection(folder, query_form=form).queries
    assert texts.items() <= queries.items()
    assert queries['1'] == 'who wrote it'
  assert set(corpus.QUERY_FORMS) == {'genre', 'input'}
  # Queries of other formats are what they are.
  other = write(tmp_path / 'q.jsonl', [{'_id': 'q', 'text': 'a\nb &amp;'}])
  (query,) = corpus.read_queries(other, form='genre')
  assert query.text == 'a\nb &amp;'
  for path in (file, other):
    with pytest.raises(ValueError, match="form input or genre, got 'seal'"):
      corpus.read_queries(path, form='seal')
  corpus.check_query_form('genre')


def test_a_file_of_pages_is_a_corpus(tmp_path):
  path = write(tmp_path / 'pages.jsonl', [TROY])
  assert list(corpus.read_documents(path)) == [
    corpus.Document('12', 'Troy', 'Troy lies in Asia.')
  ]
  write(path, [TROY, TROY])
  with pytest.raises(ValueError, match=r"line 2: document id '12' was already"):
    list(corpus.read_documents(path))
  write(path, [TROY | {'text': 'x'}])
  with pytest.raises(ValueError, match="line 1: page '12': expected a list"):
    list(corpus.read_documents(path))


def test_folders_that_are_refused(tmp_path):
  folder = kilt_folder(tmp_path)
  write(folder / 'fever-dev-kilt.jsonl', [RECORDS['nq-train'][0]])
  with pytest.raises(
    ValueError, match=r"query id '1' was already used in .*fev"
  ):
    corpus.load_collection(folder)
  write(folder / 'fever-dev-kilt.jsonl', [{'id': 'q', 'input': None}])
  with pytest.raises(ValueError, match=r"line 1: expected the input of .*'q'"):
    corpus.load_collection(folder)
  write(folder / 'fever-dev-kilt.jsonl.gz', [])
  with pytest.raises(ValueError, match='each task file once, found fever-dev'):
    corpus.load_collection(folder)


def qrels_of(folder, split):
  return corpus.read_qrels(folder / 'qrels' / f'{split}.tsv')


def test_pages_with_all_tasks(tmp_path):
  kilt_folder(tmp_path / 'in')
  mine = {'id': 'mine', 'input': '', 'output': [
    {'provenance': [{'wikipedia_id': '12'}]}
  ]}  # fmt: skip
  write(tmp_path / 'in' / 'mine-test-kilt.jsonl', [mine])
  recipes.build('kilt-pages', tmp_path / 'in', tmp_path / 'out')
  direct = corpus.load_collection(tmp_path / 'in')
  built = corpus.load_collection(tmp_path / 'out')
  assert built.documents == direct.documents
  assert built.queries == direct.queries
  assert built.qrels == {
    'train': direct.qrels['nq-train'],
    'dev': direct.qrels['aidayago2-dev'],
    'test': {'mine': {'12': 1}},
  }


def test_passages_with_all_tasks(tmp_path):
  kilt_folder(tmp_path / 'in', ending='.gz')
  recipes.build(
    'kilt-passages', tmp_path / 'in', tmp_path / 'out', options={'words': 3}
  )
  expected = [
    corpus.Document(p.passage_id, p.title, p.text)
    for fields in (HOMER, TROY)
    for p in kilt_passages.passages(kilt_pages.page_of('x', fields), words=3)
  ]
  assert list(corpus.read_documents(tmp_path / 'out')) == expected
  text = {document.doc_id: document.text for document in expected}
  judged = qrels_of(tmp_path / 'out', 'train')
  assert [text[doc_id] for doc_id in judged.pop('1')] == [
    'poet of Ionia.',
    'The Iliad sings', 'of Achilles.', '1. It sings', 'of a man.',
    'Troy lies in', 'Asia.',
  ]  # fmt: skip
  assert judged == {}
  ((_, entity),) = qrels_of(tmp_path / 'out', 'dev').items()
  assert [text[doc_id] for doc_id in entity] == ['Homer was a']


@pytest.mark.parametrize(
  ('name', 'missing'), [('kilt-pages', '99'), ('kilt-passages', '99')]
)
def test_evidence_that_is_not_there_is_counted(tmp_path, name, missing):
  kilt_folder(tmp_path / 'in')
  record = {'id': 'q', 'input': 'x', 'output': [
    {'provenance': [{'wikipedia_id': missing}, {'wikipedia_id': '7'}]}
  ]}  # fmt: skip
  write(tmp_path / 'in' / 'fever-dev-kilt.jsonl', [record])
  with pytest.raises(ValueError, match="the document '99' that answers the"):
    recipes.build(name, tmp_path / 'in', tmp_path / 'out')
  found = recipes.build(
    name, tmp_path / 'in', tmp_path / 'out', drop_missing=True
  )
  assert found.dropped == 1
  assert found.pairs['dev'] == 2
  assert found.unjudged == 2  # of the test file, and without evidence


def test_a_task_file_without_a_split_is_named(tmp_path):
  kilt_folder(tmp_path / 'in')
  write(tmp_path / 'in' / 'mine-kilt.jsonl', [])
  with pytest.raises(ValueError, match=r'a name like TASK-dev-kilt\.jsonl'):
    recipes.build('kilt-pages', tmp_path / 'in', tmp_path / 'out')


def test_a_run_over_kilt_is_measured_both_ways(tmp_path, capsys):
  """What `genret search --format kilt` writes, against the task file."""
  folder = kilt_folder(tmp_path)
  gold = write(tmp_path / 'gold.jsonl', RECORDS['nq-train'])
  collection = corpus.load_collection(folder)
  run = {'1': [runs.Hit('12', 2.0), runs.Hit('7', 1.0)], 'none': []}
  run_formats.write_kilt(tmp_path / 'run.jsonl', run, collection.queries)
  words = ['evaluate', '--run', str(tmp_path / 'run.jsonl')]
  words += ['--format', 'kilt', '--json']
  assert tools.main([*words, '--gold', str(gold)]) == 0
  found = json.loads(capsys.readouterr().out)
  assert found['retrieval']['Rprec'] == 0.5
  assert found['records_without_evidence'] == 1
  # A task file is a file of judgements, too: the second query has none.
  words += ['--measures', 'R@2', 'P@1']
  assert tools.main([*words, '--qrels', str(gold)]) == 0
  found = json.loads(capsys.readouterr().out)
  assert found['measures'] == {'R@2': 1.0, 'P@1': 1.0}
  assert found['judged_queries'] == 1


PAGE = pathlib.Path(__file__).parent.parent / 'docs' / 'kilt.md'


def blocks(language):
  text = PAGE.read_text(encoding='utf-8')
  return re.findall(rf'^```{language}\n(.*?)^```$', text, re.M | re.S)


def test_the_example_of_the_page(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  for name, text in zip(('gold', 'guess'), blocks('jsonl'), strict=True):
    pathlib.Path(f'{name}.jsonl').write_text(text)
  (console,) = blocks('console')
  command, expected = console.split('\n', 1)
  assert command.startswith('$ genret ')
  assert tools.main(command.split()[2:]) == 0
  assert capsys.readouterr().out == expected


def test_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  kilt_folder(tmp_path / 'kilt')
  write(tmp_path / 'kilt' / 'nq-dev-kilt.jsonl', RECORDS['aidayago2-dev'])
  reading, pairing, pretraining, converting, *_ = blocks('python')
  namespace = {}
  exec(compile(reading, 'docs/kilt.md', 'exec'), namespace)
  out = capsys.readouterr().out
  assert '7-4:0-4:28 Works. The Iliad sings of Achilles.' in out
  assert 'Achilles -> Achilles (hero)' in out
  # The first page was done with: reading went on at the second one.
  assert namespace['titles'] == {'Troy': ['12']}
  assert "1163testa 1 [START_ENT] he [END_ENT] ('7',)" in out
  exec(compile(pairing, 'docs/kilt.md', 'exec'), namespace)
  assert capsys.readouterr().out == '[START_ENT] he [END_ENT] -> Homer\n'
  assert namespace['unknown'] == []
  exec(compile(pretraining, 'docs/kilt.md', 'exec'), namespace)
  # All pages here are too short to learn from.
  pages = list(kilt_pages.read_pages('kilt'))
  assert namespace['skipped'].total() == len(pages)
  assert capsys.readouterr().out == f'{namespace["skipped"]} Counter()\n'
  hip = pathlib.Path('hip')
  write(
    hip / 'queries.jsonl', [{'_id': 'a', 'text': 'a'}, {'_id': 'b', 'text': ''}]
  )
  (hip / 'qrels').mkdir()
  for split, rows in (('train', 'a\t7\t1\na\t12\t1\n'), ('dev', 'b\t7\t1\n')):
    file = hip / 'qrels' / f'{split}.tsv'
    file.write_text(f'query-id\tcorpus-id\tscore\n{rows}')
  exec(compile(converting, 'docs/kilt.md', 'exec'), namespace)
  pathlib.Path(
    'kilt/nq-dev-kilt.jsonl'
  ).unlink()  # has a record of another file
  collection = corpus.load_collection('kilt')
  assert collection.qrels['hip-train'] == {'a': {'7': 1, '12': 1}}
  assert collection.qrels['hip-dev'] == {'b': {'7': 1}}
  assert (collection.queries['a'], collection.queries['b']) == ('a', '')
