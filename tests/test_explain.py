# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Why a hit was found, as text, as JSON, and as a page that HTML allows."""

import base64
import hashlib
import html.parser
import itertools
import json
import math
import os
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from genret import explain, explain_page
from genret.explain_marks import LEVELS, level
from genret.explain_style import SCRIPT
from genret.runs import Hit, Match, Span

VIEWS = ('title', 'body', 'query')
NASTY = '</mark></script><script>alert(1)</script><!-- " \' & &amp; \x00\x1b'


def match(text='of the', contribution=1.0, *spans, count=3, logp=-1.5):
  return Match(
    text, (1, 2), count, logp, contribution, tuple(Span(*s, 0) for s in spans)
  )


# Segments.

SPANS = st.lists(
  st.builds(
    Span,
    st.sampled_from(VIEWS),
    st.integers(-3, 30),
    st.integers(-3, 30),
    st.just(0),
  ),
  max_size=4,
)
MATCHES = st.lists(
  st.builds(
    Match,
    st.text('ab <&"\x00\n\u202eé', max_size=6),
    st.just((1,)),
    st.integers(0, 10**7),
    st.floats(-20, 0),
    # Ties, nothing and less than nothing, too.
    st.sampled_from([3.0, 2.0, 2.0, 1e-3, 0.0, -1.0, 400.0]),
    SPANS.map(tuple),
  ),
  max_size=5,
).map(tuple)


def covering(length, matches, view):
  """Which matches lie over each character."""
  return [
    {
      number
      for number, m in enumerate(matches)
      if any(s.view == view and s.start <= i < s.end for s in m.spans)
    }
    for i in range(length)
  ]


@hypothesis.given(st.integers(0, 30), MATCHES, st.sampled_from(VIEWS))
@hypothesis.settings(max_examples=300)
def test_segments_are_the_text_and_name_who_lies_over_it(length, matches, view):
  found = explain.segments(length, matches, view)
  expected = covering(length, matches, view)
  assert ''.join('x' * (s.end - s.start) for s in found) == 'x' * length
  at = 0
  for segment in found:
    assert segment.start == at < segment.end
    at = segment.end
    for i in range(segment.start, segment.end):
      assert set(segment.matches) == expected[i]
    adds = [matches[n].contribution for n in segment.matches]
    assert adds == sorted(adds, reverse=True)
  assert all(a.matches != b.matches for a, b in itertools.pairwise(found))


def test_segments_of_nothing():
  assert explain.segments(0, [match('x', 1.0, ('body', 0, 3))], 'body') == []
  assert explain.segments(4, [], 'body') == [(0, 4, ())]


# Text.


def test_a_table_that_a_person_reads():
  hit = Hit(
    'd1',
    30.0,
    'A title | and a text',
    (
      match('of the', 3.0, ('body', 0, 6), ('body', 10, 16), count=12345),
      match('museum', 26.5, ('title', 4, 10), logp=-0.25),
      match('a', 0.5, *(('body', i, i + 1) for i in range(5))),
    ),
  )
  assert explain.line(7, hit) == '  7    30.000  d1  A title | and a text'
  assert explain.table(hit) == (
    '      adds   share   count  log p  n-gram            where\n'
    '     26.50   88.3%       3  -0.25  museum            title 4-10\n'
    '      3.00   10.0%  12,345  -1.50  of the            body 0-6, 10-16\n'
    '      0.50    1.7%       3  -1.50  a                 body 0-1, 1-2, 2-3 (+2)'
    '\n'
    '     30.00  100.0%                 sum of 3 n-grams'
  )
  assert explain.table(hit, limit=1).splitlines()[2:] == [
    '      3.50   11.7%                2 more',
    '     30.00  100.0%                sum of 3 n-grams',
  ]


def test_tables_of_odd_hits():
  nothing = explain.table(Hit('d', 0.0, '', (match('', 0.0),)))
  assert nothing.splitlines()[1:] == [
    '     0.00      -      3  -1.50                   -',
    '     0.00      -                sum of 1 n-gram',
  ]
  # Two columns a character: what stands behind them is in line.
  wide = explain.table(
    Hit('d', 3.0, '', (match('東京', 2, ('body', 0, 2)), match('e\u0301', 1)))
  ).splitlines()
  assert wide[1].endswith('  東京              body 0-2')
  assert wide[2].endswith('  e\u0301                 -')
  assert '-inf' in explain.table(Hit('d', 1, '', (match(logp=-math.inf),)))


def test_what_is_printed_plays_no_tricks():
  assert explain.printable('a\x1b[31m\r\nb\u202ec\x9b  d ') == 'a [31m b c d'
  assert explain.printable('x' * 50, 10) == 'xxxxxxx...'
  assert explain.printable('東' * 50, 10) == '東東東...'
  assert explain.printable('abc   ' * 9, 10) == 'abc abc...'
  hit = Hit('d\x07', 1.0, 'a\nb' * 90)
  assert '\x07' not in explain.line(1, hit)
  assert explain.line(1, hit).count('\n') == 0


@pytest.mark.parametrize(
  ('contribution', 'score', 'expected'),
  [
    (1, 3, '33.3%'),
    (0, 3, '0.0%'),
    (1, 0, '-'),
    (math.inf, 1, '-'),
    (1, math.nan, '-'),
  ],
)
def test_shares(contribution, score, expected):
  assert explain.share(contribution, score) == expected


# JSON.


def test_evidence_is_a_line_a_hit(tmp_path):
  path = tmp_path / 'o.jsonl'
  hits = [
    Hit('d1', 1.25, 'not kept', (match('x\n', 1.25, ('body', 3, 4)),)),
    Hit('d2', 0.5, '', (match('y', 0.5, logp=-math.inf),)),
    Hit('d3', 0.25),
  ]
  explain.write_evidence(path, [('q 1', hits), ('none', []), ('q2', hits[2:])])
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  assert [(r['qid'], r['rank'], r['docid'], r['score']) for r in rows] == [
    ('q 1', 1, 'd1', 1.25),
    ('q 1', 2, 'd2', 0.5),
    ('q 1', 3, 'd3', 0.25),
    ('q2', 1, 'd3', 0.25),
  ]
  assert rows[0]['matches'] == [
    {
      'text': 'x\n',
      'tokens': [1, 2],
      'count': 3,
      'log_probability': -1.5,
      'contribution': 1.25,
      'spans': [{'view': 'body', 'start': 3, 'end': 4, 'offset': 0}],
    }
  ]
  assert rows[1]['matches'][0]['log_probability'] is None
  assert rows[2]['matches'] == []
  assert os.listdir(tmp_path) == ['o.jsonl']


def test_evidence_is_written_whole_or_not(tmp_path):
  path = tmp_path / 'o.jsonl'
  path.write_text('before')

  def failing():
    yield 'q', [Hit('d', 1.0)]
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    explain.write_evidence(path, failing())
  assert path.read_text() == 'before'
  assert os.listdir(tmp_path) == ['o.jsonl']


# The page.

VOID = {'meta', 'col'}
# What may stand where: the parents that HTML allows for some elements.
PARENTS = {
  'li': {'ol', 'ul'},
  'tr': {'thead', 'tbody', 'tfoot'},
  'td': {'tr'},
  'th': {'tr'},
  'col': {'colgroup'},
  'tbody': {'table'},
  'summary': {'details'},
  'article': {'li'},
  'section': {'main'},
}
INLINE = {'mark', 'span', 'a', 'code', 'bdi', 'i', 'h1', 'h2', 'h3', 'h4', 'p'}


class Element:
  def __init__(self, tag, attributes, parent):
    self.tag, self.attributes, self.parent = tag, attributes, parent
    self.children = []
    if parent is not None:
      parent.children.append(self)

  @property
  def classes(self):
    return self.attributes.get('class', '').split()

  @property
  def numbers(self):
    return {int(n) for n in self.attributes.get('data-m', '').split()}

  def all(self, tag=None, name=None):
    for child in self.children:
      if isinstance(child, Element):
        if tag in (None, child.tag) and (name is None or name in child.classes):
          yield child
        yield from child.all(tag, name)

  def characters(self):
    """(character, the elements around it) of what it says, in order."""
    for child in self.children:
      if isinstance(child, str):
        yield from ((c, [self]) for c in child)
      elif child.tag != 'summary':
        yield from ((c, [self, *around]) for c, around in child.characters())

  @property
  def text(self):
    return ''.join(c for c, _ in self.characters())


class Reader(html.parser.HTMLParser):
  """Reads a page and refuses what a validator would."""

  def __init__(self, page):
    super().__init__(convert_charrefs=True)
    self.root = self.here = Element('root', {}, None)
    self.declarations = []
    self.feed(page)
    self.close()
    assert self.here is self.root, self.here.tag

  def handle_decl(self, decl):
    self.declarations.append(decl)

  def handle_starttag(self, tag, attrs):
    names = [name for name, _ in attrs]
    assert len(set(names)) == len(names), attrs
    assert self.here.tag in PARENTS.get(tag, {self.here.tag}), (
      tag,
      self.here.tag,
    )
    if self.here.tag in INLINE:
      assert tag in INLINE - {'h1', 'h2', 'h3', 'h4', 'p'}, (tag, self.here.tag)
    element = Element(tag, {n: v or '' for n, v in attrs}, self.here)
    if tag not in VOID:
      self.here = element

  def handle_endtag(self, tag):
    assert tag == self.here.tag
    self.here = self.here.parent

  def handle_data(self, data):
    if self.here.tag in ('root', 'html', 'ol', 'ul', 'table', 'tr', 'tbody'):
      assert not data.strip(), data
    self.here.children.append(data)

  def handle_comment(self, data):
    raise AssertionError(data)

  unknown_decl = handle_pi = handle_comment


def read(answers, texts=None, **options):
  """The page of answers, checked for what every page must be."""
  texts = texts or {}
  page = explain_page.page(answers, lambda d: texts.get(d, {}), **options)
  page.encode('utf-8')
  assert not re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]', page)
  reader = Reader(page)
  root = reader.root
  assert reader.declarations == ['DOCTYPE html']
  assert [e.tag for e in root.children if isinstance(e, Element)] == ['html']
  # Nothing from elsewhere, and no script but ours.
  for e in root.all():
    assert not {'src', 'srcset', 'data', 'action'} & set(e.attributes), e.tag
    assert not [name for name in e.attributes if name.startswith('on')], e.tag
    assert e.attributes.get('href', '#').startswith('#')
  assert 'url(' not in page
  assert '@import' not in page
  (script,) = root.all('script')
  assert script.children == [SCRIPT]
  digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
  (policy,) = [e for e in root.all('meta') if 'http-equiv' in e.attributes]
  assert f"'sha256-{digest}'" in policy.attributes['content']
  # Every link leads somewhere.
  ids = [e.attributes['id'] for e in root.all() if 'id' in e.attributes]
  assert len(set(ids)) == len(ids)
  assert {e.attributes['href'][1:] for e in root.all('a')} <= set(ids)
  return root


def as_shown(text):
  """What a page shows of a text, a character for a character."""
  text = re.sub('[\r\x0c]', ' ', text)
  return re.sub(
    '[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]',
    '\ufffd',
    text,
  )


def check_marks(element, text, matches, view, start=0):
  """The element says `text`, and its marks stand where they should."""
  characters = list(element.characters())
  assert ''.join(c for c, _ in characters) == as_shown(text)
  expected = covering(start + len(text), matches, view)[start:]
  greatest = max((m.contribution for m in matches), default=0)
  for (_, around), numbers in zip(characters, expected, strict=True):
    marks = [e for e in around if e.tag == 'mark']
    named = [n for e in around for n in e.numbers]
    assert set(named) == numbers
    assert len(marks) == bool(numbers)
    if marks:
      best = max(matches[n].contribution for n in numbers)
      (lead,) = marks[0].numbers
      assert matches[lead].contribution == best
      assert marks[0].classes == [f's{level(best, greatest)}']
      assert f'adds {best:,.2f}' in marks[0].attributes['title']


def check_table(article, matches, score):
  """All n-grams are there, greatest first, and the sum is that of all."""
  rows = [row for body in article.all('tbody') for row in body.all('tr')]
  assert len(rows) == len(matches)
  order = sorted(
    range(len(matches)), key=lambda n: (-matches[n].contribution, n)
  )
  for row, number in zip(rows, order, strict=True):
    assert row.numbers == {number}
    cells = [cell.text for cell in row.all('td')]
    m = matches[number]
    (shown,) = row.all(name='s')
    assert shown.text == (' '.join(as_shown(m.text).split()) or '\xa0')
    assert cells[1:] == [
      f'{m.contribution:,.2f}',
      explain.share(m.contribution, score),
      f'{m.count:,}',
      f'{m.log_probability:,.2f}',
    ]
    # A link wherever there is a mark to lead to.
    marked = any(number in e.numbers for e in article.all('mark'))
    marked |= any(
      number in e.numbers for m in article.all('mark') for e in m.all('span')
    )
    assert bool(list(row.all('a'))) == marked
  total = sum(m.contribution for m in matches)
  feet = [cell.text for foot in article.all('tfoot') for cell in foot.all('td')]
  assert feet == (
    [
      f'sum of {len(matches)}',
      f'{total:,.2f}',
      explain.share(total, score),
      '',
      '',
    ]
    if matches
    else []
  )


LETTERS = st.text('ab \n<>&"\'\x00\r\ud800\u202e東', max_size=30)


@hypothesis.given(MATCHES, LETTERS, LETTERS, LETTERS, st.integers(0, 20))
@hypothesis.settings(max_examples=200)
def test_any_hit_is_a_page(matches, title, body, queries, repeat):
  # Long enough to fold, now and then.
  body = body + 'word ' * (30 * repeat) + body
  hit = Hit(NASTY, sum(m.contribution for m in matches), '', matches)
  texts = {NASTY: {'title': title, 'body': body, 'query': queries}}
  root = read([(NASTY, title, [hit])], texts, source=NASTY)
  (article,) = root.all('article')
  if title:
    check_marks(
      next(iter(article.all('h3'))).children[0], title, matches, 'title'
    )
  if body:
    (element,) = article.all(name='text')
    check_marks(element, body, matches, 'body')
  expected, at = [], 0
  for query in queries.split('\n'):
    if query:
      expected.append((query, at))
    at += len(query) + 1
  rows = {
    row.text: row
    for part in article.all(name='asked')
    for row in part.all('li')
  }
  if queries:
    assert rows.keys() == {as_shown(query) for query, _ in expected}
  if len(rows) == len(expected):
    for query, at in expected:
      check_marks(rows[as_shown(query)], query, matches, 'query', at)
  check_table(article, matches, hit.score)


def test_long_texts_are_shown_around_what_counts():
  body = 'alpha ' * 300 + 'the needle itself ' + 'omega ' * 300
  start = body.index('needle')
  # What adds little does not keep its surroundings where six others add more.
  hit = Hit(
    'd',
    7.5,
    '',
    (
      match('needle', 5.0, ('body', start, start + 6)),
      *(match('x', 0.4, ('body', start + i, start + i + 1)) for i in range(5)),
      match('alpha', 0.5, *(('body', i, i + 5) for i in (0, 60))),
    ),
  )
  root = read([('', 'q', [hit])], {'d': {'title': 't', 'body': body}})
  (element,) = root.all(name='text')
  check_marks(element, body, hit.matches, 'body')
  folds = list(element.all('details'))
  shown = element.text
  for fold in folds:
    assert 'open' not in fold.attributes
    says = ''.join(next(iter(fold.all('summary'))).children)
    assert says == f'… {len(fold.text):,} characters …'
    assert len(fold.text) >= 240
    # Words are whole.
    assert re.match(r'\S', fold.text)
    assert fold.text.endswith(' ')
    shown = shown.replace(fold.text, '', 1)
  assert 'the needle itself' in shown
  assert shown.startswith('alpha alpha')
  assert 300 < len(shown) < 900
  assert len(folds) == 2


@pytest.mark.parametrize('length', [0, 1, 300, 10_000])
def test_texts_without_a_match_show_their_beginning(length):
  body = ('word ' * length)[:length]
  root = read([('', 'q', [Hit('d', -1.0)])], {'d': {'title': '', 'body': body}})
  if not length:
    assert 'no text' in next(iter(root.all(name='empty'))).text
    return
  (element,) = root.all(name='text')
  assert element.text == body
  folded = sum(len(fold.text) for fold in element.all('details'))
  assert length - folded == min(length, 420)


def test_n_grams_over_each_other_have_a_mark_each():
  spans = [('body', 0, 5), ('body', 0, 5), ('body', 0, 5), ('body', 3, 9)]
  matches = tuple(match('x', 2.0 - n / 4, span) for n, span in enumerate(spans))
  root = read(
    [('', 'q', [Hit('d', 6.5, '', matches)])], {'d': {'body': 'a' * 9}}
  )
  (element,) = root.all(name='text')
  check_marks(element, 'a' * 9, matches, 'body')
  assert [mark.text for mark in element.all('mark')] == ['aaaaa', 'aaaa']
  assert sorted(e.attributes['href'] for e in root.all('a')) == [
    f'#q1d1m{n}' for n in range(4)
  ]


def test_pseudo_queries_have_their_block():
  texts = {'d': {'title': 'T', 'body': 'b', 'query': 'who is\nwhat is\nwhere'}}
  hit = Hit('d', 3.0, '', (match('what is', 3.0, ('query', 7, 14)),))
  root = read([('', 'q', [hit])], texts)
  (block,) = root.all(name='asked')
  lists = [[row.text for row in part.all('li')] for part in block.all('ul')]
  assert lists == [['what is'], ['who is', 'where']]
  assert [mark.text for mark in block.all('mark')] == ['what is']
  (fold,) = block.all('summary')
  assert fold.children == ['2 pseudo-queries without a match']
  # Where their text is not at hand, the n-grams themselves stand there.
  root = read([('', 'q', [hit])], {'d': {'title': 'T', 'body': 'b'}})
  (block,) = root.all(name='asked')
  assert [mark.text for mark in block.all('mark')] == ['what is']
  root = read(
    [('', 'q', [Hit('d', 1.0, '', (match(),))])], {'d': {'body': 'b'}}
  )
  assert list(root.all(name='asked')) == []


def test_many_n_grams_are_folded_and_all_there():
  matches = tuple(match(f'n{i}', 100.0 - i) for i in range(40))
  hit = Hit('d', sum(m.contribution for m in matches), '', matches)
  root = read([('', 'q', [hit])])
  (article,) = root.all('article')
  check_table(article, matches, hit.score)
  (fold,) = article.all(name='more')
  assert len(list(fold.all('tr'))) == 32
  adds = sum(m.contribution for m in matches[8:])
  assert next(iter(fold.all('summary'))).children == [
    f'32 more add {adds:,.2f}'
  ]


def test_bars_are_in_proportion():
  hits = [
    Hit('a', 8.0, '', (match('x', 6.0), match('y', 2.0), match('z', 0.0))),
    Hit('b', 2.0, '', (match('x', 2.0),)),
  ]
  root = read([('', 'q', hits)])
  bars = [bar.children[0] for bar in root.all(name='bar')]
  assert [bar.attributes['style'] for bar in bars] == [
    'width:100.00%',
    'width:25.00%',
  ]
  assert [part.attributes['style'] for part in bars[0].children] == [
    'flex-grow:6',
    'flex-grow:2',
  ]
  # Log-probabilities: their ratio.
  root = read([('', 'q', [Hit('a', -1.0), Hit('b', -2.0)])])
  bars = [bar.children[0] for bar in root.all(name='bar')]
  assert [bar.attributes['style'] for bar in bars] == [
    'width:100.00%',
    'width:36.79%',
  ]
  for scores in ([0.0, 0.0], [1.0, 0.0, -1.0], [-900.0, -1e9]):
    read([('', 'q', [Hit(f'd{i}', s) for i, s in enumerate(scores)])])


def test_several_queries_are_listed():
  hits = [Hit(f'd{i}', 9.0 - i) for i in range(9)]
  answers = [
    ('q1', 'first <b>', hits),
    ('q2', ' ', []),
    (NASTY, NASTY, hits[:1]),
  ]
  root = read(answers, max_hits=4)
  (contents,) = root.all('nav')
  links = [(e.attributes['href'], e.text) for e in contents.all('a')]
  assert links == [
    ('#q1', 'first <b>'),
    ('#q2', '(empty query)'),
    ('#q3', as_shown(NASTY)),
  ]
  sections = list(root.all('section'))
  assert [len(list(s.all('article'))) for s in sections] == [4, 0, 1]
  said = [next(iter(s.all(name='meta'))).text for s in sections]
  assert said == [
    'q1 · 9 documents, the first 4 shown',
    'q2 · 0 documents',
    f'{as_shown(NASTY)} · 1 document',
  ]
  # One query needs no list, and names the page.
  root = read([('', 'only\none', hits)])
  assert list(root.all('nav')) == []
  assert next(iter(root.all('title'))).text == 'only one - genret search'
  assert list(read([]).all('article')) == []


def test_the_key_is_there_where_there_are_marks():
  hit = Hit('d', 1.0, '', (match(),))
  assert list(read([('', 'q', [hit])]).all(name='key'))
  assert not list(read([('', 'q', [Hit('d', 1.0)])]).all(name='key'))


@pytest.mark.parametrize(
  ('contribution', 'greatest', 'expected'),
  [
    (4.0, 4.0, LEVELS),
    (1.0, 4.0, 3),
    (0.16, 4.0, 1),
    (0.17, 4.0, 2),
    (0.0, 4.0, 1),
    (-1.0, 4.0, 1),
    (0.0, 0.0, 1),
    (5.0, 4.0, LEVELS),
    (math.nan, 4.0, 1),
  ],
)
def test_levels(contribution, greatest, expected):
  assert level(contribution, greatest) == expected
