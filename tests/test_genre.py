# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What GENRE learns from KILT: windows, titles and pairs."""

import gzip
import html
import itertools
import json
import random
import re

import hypothesis
import kilt_files
import pytest
from hypothesis import strategies as st

from genret import genre, kilt_pages, kilt_records

PAGES = [
  ('7', 'Homer'),
  ('12', 'Troy'),
  ('13', 'Paris, Texas'),
  ('14', 'AT&T'),
  ('20', 'IPod'),
  ('21', 'iPod'),
  ('30', 'Troy'),
]


def record(**fields):
  return kilt_records.parse_record(
    'f, line 1', json.dumps({'id': '1'} | fields)
  )


def output(*provenance, **fields):
  return {'answer': 'x', 'provenance': list(provenance)} | fields


def titled(*titles):
  return [output(*({'title': title} for title in titles))]


def mention(left, words, right, **meta):
  meta |= {'left_context': left, 'mention': words, 'right_context': right}
  return record(
    input=f'{left} [START_ENT] {words} [END_ENT] {right}',
    output=titled('Homer'),
    meta=meta,
  )


def numbered(name, count):
  return [f'{name}{number}' for number in range(count)]


# Windows around mentions.


@pytest.mark.parametrize(
  ('left', 'right', 'expected'),
  [
    # All fit; the lengths add up to the window.
    ('a b', 'c d e f', 'a b|c d e f'),
    # Each is longer than its half.
    ('a b c d e', 'f g h i', 'c d e|f g h'),
    # What one is short of its half, the other has.
    ('a', 'f g h i j k', 'a|f g h i j'),
    ('a b c d e f g', 'h i', 'd e f g|h i'),
    # Exactly a half is not short.
    ('a b c', 'd e f g', 'a b c|d e f'),
    # No context at all is one word of no letters.
    ('', 'a b c d e f', '|a b c d e'),
    ('a b c d e f', '', 'b c d e f|'),
    ('', '', '|'),
    # Two blanks have a word between them; an end of a line parts no words.
    ('a  b\nc d', '1 2 3 4', ' b\nc d|1 2 3'),
  ],
)
def test_six_words_around_a_mention(left, right, expected):
  before, behind = expected.split('|')
  found = genre.mark_mention(left, 'the  poet', right, words=6)
  assert found == f'{before} [START_ENT] the  poet [END_ENT] {behind}'


def test_small_windows():
  marked = [
    genre.mark_mention('a b', 'm', 'c d', words=words) for words in range(5)
  ]
  assert marked == [
    ' [START_ENT] m [END_ENT] ',
    'b [START_ENT] m [END_ENT] ',
    'b [START_ENT] m [END_ENT] c',
    'a b [START_ENT] m [END_ENT] c',
    'a b [START_ENT] m [END_ENT] c d',
  ]
  with pytest.raises(ValueError, match='at least 0, got -1'):
    genre.mark_mention('a', 'm', 'b', words=-1)
  with pytest.raises(ValueError, match="a mention with words, got ' '"):
    genre.mark_mention('a', ' ', 'b')


@pytest.mark.parametrize(
  ('left', 'right', 'kept'),
  [
    (100, 283, (100, 283)),
    (1000, 1000, (192, 192)),
    (100, 1000, (100, 284)),
    (1000, 100, (284, 100)),
    (192, 193, (192, 192)),
    (193, 192, (192, 192)),
    (1000, 1, (383, 1)),
  ],
)
def test_384_words_as_published(left, right, kept):
  left, right = numbered('l', left), numbered('r', right)
  text = genre.mark_mention(' '.join(left), 'Homer', ' '.join(right)).split(' ')
  start, end = text.index(genre.START_MENTION), text.index(genre.END_MENTION)
  assert text[:start] == left[len(left) - kept[0] :]
  assert text[end + 1 :] == right[: kept[1]]
  assert text[start + 1 : end] == ['Homer']


def slow_window(left, right, words):
  """Of all windows: the most words, then the most even, then more of the left."""
  before, behind = left.split(' '), right.split(' ')
  sizes = itertools.product(range(len(before) + 1), range(len(behind) + 1))
  n, m = max(
    (size for size in sizes if sum(size) <= words),
    key=lambda size: (sum(size), -abs(size[0] - size[1]), size[0]),
  )
  return ' '.join(before[len(before) - n :]), ' '.join(behind[:m])


contexts = st.text('ab \n', max_size=24)


@hypothesis.given(contexts, contexts, st.integers(0, 30))
def test_a_window_is_the_best_of_all(left, right, words):
  before, behind = slow_window(left, right, words)
  assert genre.mark_mention(left, 'm', right, words=words) == (
    f'{before} [START_ENT] m [END_ENT] {behind}'
  )


# Inputs.


def test_inputs_of_tasks():
  def of(text, **meta):
    return genre.input_text(record(input=text, meta=meta))

  assert of('who wrote the Iliad') == 'who wrote the Iliad'
  assert of('Homer [SEP] notable work') == 'Homer [SEP] notable work'
  assert of('Hi.\nI like Homer.\r\nWho?') == 'Hi.>>I like Homer.>>>>Who?'
  assert of('AT&amp;T &lt;b&gt;') == 'AT&T <b>'
  assert of('a&#10;b') == 'a>>b'
  assert of('') == ''
  assert genre.one_line('\na\n') == '>>a>>'
  with pytest.raises(ValueError, match="input of record '1', found none"):
    genre.input_text(record(output=titled('Homer')))


def test_inputs_of_entity_linking():
  text = genre.input_text(mention('a b c', 'Q&amp;A', 'd\ne f g'), words=4)
  assert text == 'b c [START_ENT] Q&A [END_ENT] d>>e f'
  # References count as they are written: a blank among them parts no words.
  text = genre.input_text(mention('a b&#32;c d', 'm', 'e f'), words=4)
  assert text == 'b c d [START_ENT] m [END_ENT] e f'
  # The input is not read, not even where there is none.
  odd = record(meta={'left_context': '', 'mention': 'm', 'right_context': 'r'})
  assert genre.input_text(odd) == ' [START_ENT] m [END_ENT] r'
  long = mention('w ' * 500 + 'a', 'm', 'z' + ' w' * 500)
  assert genre.input_text(long).split(' ').index('[START_ENT]') == 192
  assert len(genre.input_text(long).split(' ')) == 384 + 3


def test_what_is_no_mention():
  for meta in (
    {'left_context': '', 'mention': '', 'right_context': ''},
    {'left_context': 'a', 'mention': 'm'},
    {'left_context': 'a', 'mention': 'm', 'right_context': None},
  ):
    assert genre.input_text(record(input='as it is', meta=meta)) == 'as it is'
  with pytest.raises(ValueError, match="f, line 1: record '1': expected a men"):
    genre.input_text(mention('a', ' ', 'b'))
  with pytest.raises(ValueError, match='a string under right_context, found 7'):
    genre.input_text(mention('a', 'm', 7))


def test_template_questions():
  def of(value):
    return genre.template_questions(record(meta={'template_questions': value}))

  asked = ['Who wrote it?', 'By whom\nwas it?', 'Who wrote it?', 'A&amp;B?']
  assert of(asked) == (
    'Who wrote it?', 'By whom>>was it?', 'Who wrote it?', 'A&amp;B?'
  )  # fmt: skip
  assert of([]) == of(None) == genre.template_questions(record()) == ()
  for wrong in ('Who?', [1], {'a': 'b'}):
    with pytest.raises(ValueError, match='list of strings under template_que'):
      of(wrong)


# Titles.


def test_titles_and_their_spellings():
  titles = genre.Titles(PAGES)
  assert len(titles) == 7
  for name in ('Paris, Texas', 'paris,_Texas', ' Paris,  Texas\n'):
    assert titles.resolve(name) == 'Paris, Texas'
  for name in ('Paris', 'paris, texas', '', ' ', 'HOMER'):
    assert titles.resolve(name) is None
  assert (titles.of_page('13'), titles.of_page('99')) == ('Paris, Texas', None)
  # Composed and decomposed letters are the same.
  assert genre.Titles([('1', 'Zürich')]).resolve('Zu\u0308rich') == 'Zürich'


def test_titles_of_several_pages():
  titles = genre.Titles(PAGES)
  assert titles.duplicates() == {'IPod': ['20', '21'], 'Troy': ['12', '30']}
  assert titles.resolve('iPod') == 'iPod'
  assert titles.resolve('IPod') == 'IPod'
  assert titles.resolve('iPod ') == 'IPod'  # the first
  assert genre.Titles(PAGES[::-1]).resolve('iPod ') == 'iPod'
  assert titles.resolve('Troy') == titles.of_page('30') == 'Troy'
  # Which one, the spelling tells or else the id, which goes before.
  assert titles.page('iPod') == '21'
  assert titles.page('iPod', '20') == titles.page('IPod', '13') == '20'
  assert [titles.page('Troy', p) for p in (None, '30')] == ['12', '30']
  assert titles.page('Nowhere', '30') is None
  assert genre.Titles([]).duplicates() == {}


def test_redirects_chains_and_circles():
  titles = genre.Titles(
    PAGES,
    {
      'the_Poet': 'Homer',
      'Bard': 'The Poet#Life',
      'Homer': 'Troy',  # a page: no alias
      'Nowhere': 'Atlantis',
      'A': 'b',
      'B': 'C',
      'c': 'A',
      'Into': 'A',
      'Self': 'self',
      'I pod': 'iPod',
    },
  )
  assert titles.resolve('The Poet') == titles.resolve('bard') == 'Homer'
  assert titles.resolve('Homer') == 'Homer'
  for name in ('Nowhere', 'A', 'B', 'C', 'Into', 'Self', 'Bard#Life'):
    assert titles.resolve(name) is None, name
  assert titles.resolve('I pod') == 'IPod'
  assert len(titles) == len(PAGES)


def test_titles_that_are_refused():
  for pages, redirects, message in [
    ([('1', 'A'), ('1', 'B')], {}, "every page once, got '1' twice"),
    ([('1', ' _')], {}, "a title of page '1' with words, got ' _'"),
    ([], {'': 'A'}, "an alias of 'A' with words"),
    ([], {'A': '#Life'}, "a title behind 'A' with words, got ''"),
    ([], {'a': 'B', 'A': 'C'}, "one title behind 'A', got 'B' and 'C'"),
  ]:
    with pytest.raises(ValueError, match=message):
      genre.Titles(pages, redirects)
  assert genre.Titles([('1', 'B')], {'a': 'B', 'A': 'b'}).resolve('a') == 'B'


names = st.sampled_from('ABCDEFG')


@hypothesis.given(
  st.lists(names, unique=True), st.dictionaries(names, names), names
)
def test_redirects_are_what_is_within_reach(pages, redirects, name):
  """Walks of every length, without a thought of circles."""
  walk = [name]
  for _ in range(10):
    walk += [redirects[at] for at in walk[-1:] if at in redirects]
  expected = next((at for at in walk if at in pages), None)
  titles = genre.Titles([(title.lower(), title) for title in pages], redirects)
  assert titles.resolve(name) == expected


# Pairs.

NATURAL_QUESTION = {
  'id': '-3',
  'input': 'who wrote the Iliad',
  'output': [
    {'answer': 'Homer'},
    {'answer': 'Homer', 'provenance': []},
    {
      'provenance': [
        {'wikipedia_id': '12', 'title': 'Troy', 'bleu_score': 0.5,
         'start_paragraph_id': 1, 'start_character': 0, 'end_paragraph_id': 1,
         'end_character': 9, 'section': 'Section::::Abstract.'},
        {'wikipedia_id': '7', 'title': 'Homer', 'bleu_score': 0.51},
        {'wikipedia_id': '13', 'title': 'Paris, Texas'},
        {'wikipedia_id': '7', 'title': 'Homer', 'bleu_score': 1},
      ]
    },
    {'answer': 'a poet', 'provenance': [
      {'wikipedia_id': '14', 'title': 'AT&T', 'bleu_score': None},
      {'wikipedia_id': '13', 'title': 'Paris, Texas', 'bleu_score': 0},
    ]},
  ],
}  # fmt: skip


def test_evidence_with_a_low_score_is_left_out():
  gold = record(**NATURAL_QUESTION)
  kept = ('Homer', 'Paris, Texas', 'AT&T')
  assert genre.gold_titles(gold) == kept
  assert genre.gold_titles(gold, bleu=-1) == ('Troy', *kept)
  assert genre.gold_titles(gold, bleu=0.51) == ('Paris, Texas', 'Homer', 'AT&T')
  assert genre.training_pairs(gold) == [
    genre.Pair('who wrote the Iliad', title) for title in kept
  ]
  assert len(genre.training_pairs(gold, bleu=0.51)) == 3
  assert len(genre.training_pairs(gold, bleu=-1)) == 4
  for score in ('0.9', True, [1], float('nan')):
    wrong = record(output=[output({'title': 'A', 'bleu_score': score})])
    with pytest.raises(ValueError, match='expected a number under bleu_score'):
      genre.gold_titles(wrong)


def test_pairs_of_slot_filling():
  asked = ['What did Homer write?', 'Whose work is it?']
  gold = record(
    input='Homer [SEP] notable work',
    output=titled('Homer', 'Troy'),
    meta={'template_questions': asked, 'subj_aliases': [], 'mention': ''},
  )
  assert genre.training_pairs(gold) == [
    (text, title)
    for title in ('Homer', 'Troy')
    for text in ('Homer [SEP] notable work', *asked)
  ]
  assert genre.training_pairs(gold, templates=False) == [
    ('Homer [SEP] notable work', 'Homer'),
    ('Homer [SEP] notable work', 'Troy'),
  ]


def test_pairs_have_no_ends_of_lines():
  gold = record(input='a\nb', output=titled('Ho\nmer'))
  assert genre.training_pairs(gold) == [('a>>b', 'Ho>>mer')]


def test_pairs_of_entity_linking():
  pairs = genre.training_pairs(mention('a b', 'he', 'c d'), words=2)
  assert pairs == [('b [START_ENT] he [END_ENT] c', 'Homer')]


def test_records_without_titles_have_no_pairs():
  for outputs in (
    [],
    [{'answer': 'x'}],
    [output(), {'answer': 'y'}],
    [output({'title': 'A', 'bleu_score': 0.2})],
  ):
    # Nothing else is read: TriviaQA's lines have no input.
    assert genre.training_pairs(record(output=outputs)) == []
  with pytest.raises(ValueError, match='expected the input'):
    genre.training_pairs(record(output=titled('Homer')))


def test_targets_are_titles_of_the_corpus():
  titles = genre.Titles(PAGES, {'Ilion': 'Troy'})
  gold = record(
    input='q',
    output=[
      output({'title': 'homer'}, {'title': 'Ilion'}, {'title': 'Troy'}),
      # By their ids: no title, one without words, an unknown one.
      output({'wikipedia_id': 14}, {'wikipedia_id': ' 21\n', 'title': ' '}),
      output({'wikipedia_id': '13', 'title': 'Paris (Texas)'}),
      # The title counts before the id.
      output({'wikipedia_id': '13', 'title': 'Homer'}),
    ],
  )
  expected = ('Homer', 'Troy', 'AT&T', 'iPod', 'Paris, Texas')
  assert genre.gold_titles(gold, titles=titles) == expected
  pages = genre.gold_pages(gold, titles=titles)
  assert tuple(map(titles.of_page, pages)) == expected
  pairs = genre.training_pairs(gold, titles=titles)
  assert pairs == [('q', title) for title in expected]


def test_unknown_titles_are_refused_or_counted():
  entries = [{'title': 'Atlantis', 'wikipedia_id': '99'}, {'title': 'Homer'}]
  gold = record(input='q', output=[output(*entries, {'wikipedia_id': '98'})])
  titles = genre.Titles(PAGES)
  with pytest.raises(ValueError, match="record '1': expected the title of a p"):
    genre.training_pairs(gold, titles=titles)
  seen = []
  pairs = genre.training_pairs(
    gold, titles=titles, on_unknown=lambda *found: seen.append(found)
  )
  assert pairs == [('q', 'Homer')]
  assert seen == [(gold, entries[0]), (gold, {'wikipedia_id': '98'})]
  # Without a corpus every title is taken, and one has to be there.
  seen.clear()
  found = genre.gold_titles(gold, on_unknown=lambda *found: seen.append(found))
  assert found == ('Atlantis', 'Homer')
  assert seen == [(gold, {'wikipedia_id': '98'})]
  with pytest.raises(ValueError, match="'title': None, 'wikipedia_id': '98'"):
    genre.gold_titles(gold)
  with pytest.raises(ValueError, match="'title': ' ', 'wikipedia_id': None"):
    genre.gold_titles(record(output=titled(' ')))


def slow_pairs(fields, titles_of, aliases):
  """The same from the plain JSON, by lists."""
  found = []
  for output in fields['output']:
    for entry in output.get('provenance') or []:
      score = entry.get('bleu_score')
      if score is not None and score <= 0.5:
        continue
      name = kilt_pages.canonical_title(entry.get('title') or '')
      name = aliases.get(name, name)
      page = str(entry.get('wikipedia_id')).strip()
      match = [t for t in titles_of.values() if t == name]
      match += [t for p, t in titles_of.items() if p == page]
      if match and match[0] not in found:
        found.append(match[0])
  text = re.sub(r'[\r\n]', '>>', html.unescape(fields['input']))
  asked = fields.get('meta', {}).get('template_questions', [])
  return [(way, title) for title in found for way in [text, *asked]]


@hypothesis.given(st.integers(0, 10**6))
def test_pairs_of_random_files(seed):
  rng = random.Random(seed)
  fields = kilt_files.gold_record(rng, 'q')
  for output in fields['output']:
    for entry in output.get('provenance', []):
      if rng.random() < 0.5:
        entry['bleu_score'] = rng.choice([0, 0.2, 0.5, 0.500001, 1.0, None])
  fields['input'] += rng.choice(['', '\nyes', '&amp;', '\r'])
  if rng.random() < 0.5:
    asked = [f'Who {number}?' for number in range(rng.randint(0, 2))]
    fields['meta'] = {'template_questions': asked}
  names = ['Homer', 'Paris', 'Paris, Texas', 'Y', 'Z']
  titles_of = {str(n): name for n, name in enumerate(names, start=3)}
  aliases = {'River': 'Homer'}
  titles = genre.Titles(titles_of.items(), aliases)
  unknown = []
  gold = record(**fields)
  pairs = genre.training_pairs(
    gold, titles=titles, on_unknown=lambda *found: unknown.append(found)
  )
  assert pairs == slow_pairs(fields, titles_of, aliases)
  # Nothing is lost: without a limit every entry is in a title or unknown.
  taken = genre.gold_titles(
    gold, titles=titles, bleu=-1, on_unknown=lambda *found: None
  )
  known = {titles.resolve(e.get('title') or '') or
           titles.of_page(str(e.get('wikipedia_id')).strip())
           for o in gold.outputs for e in o.provenance or ()}  # fmt: skip
  assert set(taken) == known - {None}


def test_redirects_of_a_file(tmp_path):
  expected = {'Big Apple': 'New York', 'NYC': 'New York#History', ' é': 'É'}
  tsv = ''.join(f'{alias}\t{title}\n' for alias, title in expected.items())
  (tmp_path / 'r.tsv').write_text(f'{tsv}\nNYC\tNew York#History\n')
  (tmp_path / 'r.json').write_text(json.dumps(expected, indent=1))
  with gzip.open(tmp_path / 'r.json.gz', 'wt') as file:
    json.dump(expected, file)
  for name in ('r.tsv', 'r.json', 'r.json.gz'):
    assert genre.read_redirects(tmp_path / name) == expected
  for name, text, message in (
    ('a.tsv', 'x\ty\nx\tz\n', r"line 2: expected one title behind 'x', found"),
    ('a.tsv', 'x\ty\tz\n', 'line 1: expected alias<TAB>title, found 3'),
    (
      'a.json',
      '{"x": "y", "x": "z"}',
      "one title behind 'x', found 'y' and 'z'",
    ),
    ('a.json', '{"x": 3}', "title behind 'x' as text, found 3"),
    ('a.json', '{"x": {"y": "z"}}', "title behind 'x' as text"),
    ('a.json', '["x"]', 'one JSON object of redirects, found list'),
    ('a.json', '{"x":', 'found text that does not parse'),
    ('a.json', '', 'found text that does not parse'),
    ('a.csv', 'x,y', r'in a \.json or a \.tsv file, found another name'),
  ):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
      genre.read_redirects(tmp_path / name)


def test_questions_are_the_inputs_of_pairs():
  record = kilt_records.parse_record(
    'f',
    json.dumps(
      {
        'id': 1,
        'input': 'a [SEP] b',
        'output': [{'provenance': [{'title': 'T'}, {'title': 'U'}]}],
        'meta': {'template_questions': ['what is a?', 'which\nis a?']},
      }
    ),
  )
  asked = genre.questions(record)
  assert asked == ['a [SEP] b', 'what is a?', 'which>>is a?']
  assert genre.questions(record, templates=False) == asked[:1]
  pairs = genre.training_pairs(record)
  assert pairs == [genre.Pair(text, title) for title in 'TU' for text in asked]
