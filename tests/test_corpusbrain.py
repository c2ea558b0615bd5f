# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""CorpusBrain's examples, by hand and against the program told line by line."""

import collections
import dataclasses
import itertools
import json
import random
import urllib.parse

import hypothesis
import hypothesis.strategies as st
import pytest

from genret import corpusbrain, rehearsal
from genret.corpusbrain import PAPER, RELEASED, Example, Options, Withheld
from genret.kilt_pages import Anchor, Page
from genret.kilt_records import Span, parse_record

# Without limits, so that pages can be small.
SMALL = Options(min_title_characters=1, min_page_words=0, min_words=1)
SMALL_RELEASED = dataclasses.replace(
  RELEASED, min_title_characters=1, min_page_words=0, min_words=1
)
READINGS = pytest.mark.parametrize(
  'options', [SMALL, SMALL_RELEASED], ids=['paper', 'released']
)


def link(page_text: list[str], number: int, words: str, title: str) -> Anchor:
  """A link on the first place of some words in a paragraph."""
  start = page_text[number].index(words)
  href = urllib.parse.quote(title, safe='#')
  return Anchor(words, href, number, start, start + len(words))


TROY = [
  'Troy\n',
  'Troy was a city. It stood in Asia.\n',
  'Section::::Legend.\n',
  'Homer sang of it. Helen  was taken there.\n',
  'BULLET::::- A list of kings.\n',
  'Greeks came. They won the war.\n',
  'Section::::Today.\n',
  'A hill is left. Schliemann dug there.\n',
]
PAGE = Page(
  '7',
  'Troy',
  tuple(TROY),
  (
    link(TROY, 1, 'Asia', 'Asia'),
    link(TROY, 3, 'Homer', 'Homer'),
    link(TROY, 3, 'Helen', 'helen'),
    link(TROY, 5, 'war', 'Trojan_War#End'),
    link(TROY, 7, 'Schliemann', 'Nobody'),
    link(TROY, 7, 'hill', 'Troy#Hill'),
    Anchor('kings', 'Homer', 3, 0, 5),
    Anchor('A hill', 'Asia', -1, 0, 6),
    Anchor('sang', 'Homer', 3, 6, 10),
  ),
)
OTHERS = [
  Page(str(number), title, (f'{title}\n',))
  for number, title in enumerate(['Asia', 'Homer', 'Helen', 'Trojan War'])
]
TITLES = corpusbrain.corpus_titles([PAGE, *OTHERS])


def of_task(examples, task):
  return [example for example in examples if example.task == task]


# --- A page by hand.


def test_paper_by_hand():
  options = dataclasses.replace(
    SMALL, lead_windows=2, window_paragraphs=2, title_probabilities=(1.0,)
  )
  found = corpusbrain.page_examples(PAGE, TITLES, options=options)
  lead = 'Troy was a city. It stood in Asia.'
  second = 'Homer sang of it. Helen was taken there.'
  third = 'Greeks came. They won the war.'
  last = 'A hill is left. Schliemann dug there.'
  assert [e.source for e in of_task(found, 'lps')] == [
    lead,
    f'{lead} {second}',
    f'{third} {last}',
  ]
  inner = of_task(found, 'iss')
  assert [e.source for e in inner] == [
    'Homer sang of it.',
    'Helen was taken there.',
    'Greeks came.',
    'They won the war.',
    'A hill is left.',
    'Schliemann dug there.',
  ]
  assert {e.target for e in found if e.task != 'hip'} == {'Troy'}
  # Two blanks in a row are one in the source, not in where it stands.
  assert inner[1].spans == (Span('7', (3, 18), (3, 41)),)
  assert TROY[3][18:41] == 'Helen  was taken there.'
  # Two links of a sentence to one page are one example.
  hip = of_task(found, 'hip')
  assert len(hip) == 3
  assert {(e.source, e.target) for e in hip} == {
    ('It stood in Asia. Homer sang of it. Helen was taken there.', 'Homer'),
    ('Homer sang of it. Helen was taken there. Greeks came.', 'Helen'),
    ('Greeks came. They won the war. A hill is left.', 'Trojan War'),
  }


def test_released_by_hand():
  options = dataclasses.replace(
    SMALL_RELEASED,
    lead_windows=2,
    window_paragraphs=2,
    title_probabilities=(1.0,),
  )
  found = corpusbrain.page_examples(PAGE, TITLES, options=options)
  second = 'Homer sang of it. Helen was taken there.'
  third = 'Greeks came. They won the war.'
  last = 'A hill is left. Schliemann dug there.'
  # The lead is skipped; there is no second window of two.
  assert [e.source for e in of_task(found, 'lps')] == [
    second,
    f'{second} {third}',
  ]
  assert [e.source for e in of_task(found, 'iss')] == [third, last]
  # What stands before Homer and Helen is the lead; behind Schliemann is nothing.
  assert [tuple(e)[:5] for e in of_task(found, 'hip')] == [
    ('hip', f'{second} {third} {last}', 'Trojan War', '7', ('Trojan War',))
  ]
  assert of_task(found, 'hip')[0].spans == (
    Span('7', (3, 0), (3, 41)),
    Span('7', (5, 0), (5, 30)),
    Span('7', (7, 0), (7, 37)),
  )


def test_what_is_skipped_is_counted():
  skipped = collections.Counter()
  corpusbrain.page_examples(PAGE, TITLES, options=SMALL, skipped=skipped)
  assert skipped == {
    'link: not in the corpus': 1,
    'link: within the page': 1,
    'hip: in the lead': 1,
    'hip: offsets do not match': 2,
  }
  skipped.clear()
  corpusbrain.page_examples(
    PAGE, TITLES, options=SMALL_RELEASED, skipped=skipped
  )
  assert skipped['hip: no context'] == 3
  for options, reason in (
    (dataclasses.replace(SMALL, min_title_characters=5), 'page: short title'),
    (dataclasses.replace(SMALL, min_page_words=30), 'page: few words'),
  ):
    skipped.clear()
    found = corpusbrain.page_examples(
      PAGE, TITLES, options=options, skipped=skipped
    )
    assert (found, skipped) == ([], {reason: 1})
  # 8 + 8 + 6 + 7 words without title, headings and list.
  fits = dataclasses.replace(SMALL, min_page_words=29, min_title_characters=4)
  assert corpusbrain.page_examples(PAGE, TITLES, options=fits)


def test_a_list_item_is_no_text_for_hip():
  text = [*TROY[:4], 'BULLET::::- See Asia.\n', *TROY[5:]]
  page = Page('7', 'Troy', tuple(text), (link(text, 4, 'Asia', 'Asia'),))
  skipped = collections.Counter()
  found = corpusbrain.page_examples(
    page, TITLES, options=SMALL, skipped=skipped
  )
  assert not of_task(found, 'hip')
  assert skipped == {'hip: not in text': 1}


@READINGS
def test_pages_without_text_links_or_a_second_paragraph(options):
  skipped = collections.Counter()

  def found(*paragraphs, title='Troy'):
    return corpusbrain.page_examples(
      Page('7', title, paragraphs), TITLES, options=options, skipped=skipped
    )

  assert found() == found('Troy\n') == found('Troy', 'Section::::A.', ' ') == []
  assert found(title=' ') == []
  assert skipped == {'page: no text': 3, 'page: short title': 1}
  one = found('Troy', 'One paragraph. Only.')
  lead = Example(
    'lps',
    'One paragraph. Only.',
    'Troy',
    '7',
    ('Troy',),
    (Span('7', (1, 0), (1, 20)),),
  )
  assert one == ([lead] if options is SMALL else [])


def test_the_same_text_twice_is_one_example():
  page = Page('7', 'Troy', ('Troy', 'A b.', 'C d.', 'A b.', 'C d. C d.'))
  found = corpusbrain.page_examples(page, TITLES, options=SMALL)
  assert [(e.task, e.source) for e in found] == [
    ('lps', 'A b.'),
    ('lps', 'A b. C d. A b.'),
    ('iss', 'C d.'),
  ]


def test_the_unit_of_hip_is_the_one_in_which_the_link_begins():
  text = ['T', 'Lead.', 'He left. The U.S. Army came. So it was.']
  page = Page('7', 'Troy', tuple(text), (link(text, 2, 'U.S. Army', 'Asia'),))
  (found,) = of_task(
    corpusbrain.page_examples(page, TITLES, options=SMALL), 'hip'
  )
  assert found.source == 'He left. The U.S. Army came.'
  # One that ends behind the context is left out.
  long = link(text, 2, 'left. The U.S. Army', 'Asia')
  page = dataclasses.replace(page, anchors=(long,))
  skipped = collections.Counter()
  found = corpusbrain.page_examples(
    page, TITLES, options=SMALL, skipped=skipped
  )
  assert not of_task(found, 'hip')
  assert skipped == {'hip: no context': 1}


def test_limits_of_words_hold_for_sentences_and_paragraphs():
  page = Page(
    '7', 'Troy', ('Troy', 'A b.', 'C d e.', 'F g. H i j.', 'K l m n.')
  )
  options = dataclasses.replace(SMALL, min_words=3)
  found = corpusbrain.page_examples(page, TITLES, options=options)
  assert [(e.task, e.source) for e in found] == [
    ('lps', 'C d e.'),
    ('lps', 'C d e. F g. H i j. K l m n.'),
    ('iss', 'H i j.'),
    ('iss', 'K l m n.'),
  ]


# --- Titles.


def test_spellings_of_a_title_do_not_depend_on_the_order():
  pages = [
    Page(str(i), t, ()) for i, t in enumerate(['iPod', 'IPod', 'A  b', 'a b'])
  ]
  for order in itertools.permutations(pages):
    titles = corpusbrain.corpus_titles([*order, Page('9', ' ', ())])
    assert titles == {'IPod': ('IPod', 'iPod'), 'A b': ('A b', 'a b')}
  text = ['X', 'Lead.', 'One iPod here. More.', 'Last.']
  for written, target in [('iPod', 'iPod'), ('IPod', 'IPod'), ('a_b', 'a b')]:
    page = Page('7', 'X', tuple(text), (link(text, 2, 'iPod', written),))
    found = corpusbrain.page_examples(
      page, {**titles, 'X': ('X',)}, options=SMALL
    )
    assert [e.target for e in of_task(found, 'hip')] == [target]


@READINGS
def test_targets_join_titles(options):
  options = dataclasses.replace(options, title_probabilities=(0, 0, 0, 0, 1))
  found = corpusbrain.page_examples(PAGE, TITLES, options=options, seed=3)
  assert of_task(found, 'lps')
  for example in found:
    assert example.target.split(options.separator) == list(example.titles)
    if example.task != 'hip':
      assert example.titles[0] == 'Troy'
      assert set(example.titles[1:]) <= {'Asia', 'Homer', 'Helen', 'Trojan War'}
      assert len(set(example.titles)) == len(example.titles)
  listed = set(corpusbrain.anchor_histogram(found))
  # Of eight links two lead to Asia, three to Homer, one to nothing.
  assert (
    listed == {4} if options.title_source == 'pages' else listed <= {2, 3, 4}
  )


def test_separators_that_are_ambiguous_are_refused():
  corpusbrain.check_separator(['C|N>K', '|', '| A'], ' | ')
  for title in ('A | B', 'A |', ' | '):
    with pytest.raises(ValueError, match='without the separator'):
      corpusbrain.check_separator([title], ' | ')
  titles = {**TITLES, 'A | B': ('A | B',)}
  with pytest.raises(ValueError, match=r"got 'A \| B'; choose another"):
    next(corpusbrain.examples([], titles), None)


def test_a_page_that_is_not_in_the_corpus_is_refused():
  with pytest.raises(ValueError, match="with page '7', 'Troy', got some"):
    corpusbrain.page_examples(PAGE, {'Asia': ('Asia',)})


# --- How many titles are listed, and which inputs are drawn.


def many_links(words=200):
  text = ['Here', 'Lead one.', ' '.join(f's{i} t.' for i in range(words))]
  anchors = [link(text, 2, f's{i} ', f'P{i % 20}') for i in range(60)]
  titles = {f'P{i}': (f'P{i}',) for i in range(20)} | {'Here': ('Here',)}
  return Page('1', 'Here', tuple(text), tuple(anchors)), titles


def test_histogram_follows_the_published_probabilities():
  page, titles = many_links(3000)
  options = dataclasses.replace(SMALL, inner_examples=3000)
  page = dataclasses.replace(page, anchors=page.anchors[:20])
  found = corpusbrain.page_examples(page, titles, options=options)
  histogram = corpusbrain.anchor_histogram(found)
  total = sum(histogram.values())
  assert total == 3001
  for count, share in enumerate((0.70, 0.20, 0.05, 0.03, 0.02)):
    spread = (share * (1 - share) / total) ** 0.5
    assert abs(histogram[count] / total - share) < 4 * spread
  listed = collections.Counter(t for e in found for t in e.titles[1:])
  mean = sum(listed.values()) / 20
  assert len(listed) == 20
  assert all(abs(n - mean) < 4.5 * mean**0.5 for n in listed.values())


def test_histogram_of_the_program_lacks_what_repeats_or_is_not_there():
  page, titles = many_links(400)
  anchors = tuple(a._replace(href='P0') for a in page.anchors[:30])
  away = tuple(a._replace(href='Nowhere') for a in page.anchors[30:])
  page = dataclasses.replace(page, anchors=anchors + away)
  options = dataclasses.replace(
    SMALL,
    title_source='anchors',
    title_probabilities=(0, 0, 1),
    inner_examples=400,
  )
  found = corpusbrain.page_examples(page, titles, options=options)
  histogram = corpusbrain.anchor_histogram(found)
  # Nothing where both of two links drawn lead nowhere: 30/60 * 29/59.
  assert set(histogram) == {0, 1}
  nothing = 30 / 60 * 29 / 59
  total = sum(histogram.values())
  spread = (nothing * (1 - nothing) / total) ** 0.5
  assert abs(histogram[0] / total - nothing) < 4 * spread


def test_inner_sentences_and_links_are_drawn_evenly():
  page, titles = many_links(60)
  inner, linked = collections.Counter(), collections.Counter()
  seeds = 300
  for seed in range(seeds):
    found = corpusbrain.page_examples(page, titles, options=SMALL, seed=seed)
    inner.update(e.source for e in of_task(found, 'iss'))
    linked.update(e.source for e in of_task(found, 'hip'))
    assert len(of_task(found, 'iss')) == 11
    assert len(of_task(found, 'hip')) == 3
  assert len(inner) == 60
  # The last sentence has none behind it, so the link there is none.
  assert len(linked) == 59
  for counts, mean in ((inner, seeds * 11 / 60), (linked, seeds * 3 / 59)):
    assert all(abs(n - mean) < 4.5 * mean**0.5 for n in counts.values())


# --- Against the program, told line by line.


def program_may_give(page: Page, titles) -> tuple[list, set, set]:
  """`lps` inputs; all inputs that `iss` may draw; all pairs `hip` may draw."""
  plain = [
    ' '.join(p.split())
    for p in page.paragraphs[1:]
    if '::::' not in p and p.strip()
  ]
  lps = plain[1:2]
  for first in (1, 4, 7):
    if len(plain) > first + 2:
      lps.append(' '.join(plain[first : first + 3]))
  hip = set()
  for anchor in page.anchors:
    at, last = anchor.paragraph_id, len(page.paragraphs)
    if at < 2 or at >= last or '::::' in page.paragraphs[at]:
      continue
    left, right = at - 1, at + 1
    while '::::' in page.paragraphs[left] and left > 1:
      left -= 1
    while right < last and '::::' in page.paragraphs[right]:
      right += 1
    cut = page.paragraphs[at][anchor.start : anchor.end]
    if left == 1 or right == last or cut != anchor.text:
      continue
    for title in titles.get(anchor.title, ()):
      if title != page.title:
        around = ' '.join(page.paragraphs[i] for i in (left, at, right))
        hip.add((' '.join(around.split()), title))
  return lps, set(plain[2:]), hip


def random_page(rng: random.Random, number: int) -> Page:
  names = [f'Page {i}' for i in range(8)]
  text = [f'{names[number]}\n']
  for _ in range(rng.randrange(14)):
    words = [
      rng.choice(['Mr.', 'a', 'river', '"Oh!"', 'end.', 'Was', 'it?', ' '])
      for _ in range(rng.randint(1, 14))
    ]
    mark = rng.choice(['', '', '', '', 'Section::::', 'BULLET::::- '])
    text.append(f'{mark}x {" ".join(words)}\n')
  anchors = []
  for _ in range(rng.randrange(12)):
    at = rng.randrange(-1, len(text) + 1)
    words = text[at] if 0 <= at < len(text) else 'x'
    start = rng.randrange(len(words))
    end = rng.randint(start + 1, len(words))
    cut = 'elsewhere' if rng.random() < 0.1 else words[start:end]
    title = rng.choice([*names, 'Nowhere', '#Part'])
    anchors.append(Anchor(cut, title.replace(' ', '_'), at, start, end))
  return Page(str(number), names[number], tuple(text), tuple(anchors))


def random_corpus(seed: int) -> list[Page]:
  rng = random.Random(seed)
  return [random_page(rng, number) for number in range(rng.randint(1, 8))]


@hypothesis.given(st.integers(0, 2**32), st.integers(0, 9))
@hypothesis.settings(max_examples=60, deadline=None)
def test_released_reading_is_what_the_program_may_give(corpus, seed):
  pages = random_corpus(corpus)
  titles = corpusbrain.corpus_titles(pages)
  for page in pages:
    lps, iss, hip = program_may_give(page, titles)
    found = corpusbrain.page_examples(
      page, titles, options=SMALL_RELEASED, seed=seed
    )
    first = of_task(found, 'lps')
    assert [e.source for e in first] == list(dict.fromkeys(lps))
    inner = {e.source for e in of_task(found, 'iss')}
    assert inner <= iss
    # No fewer than the program, but for what it has twice.
    least = min(11, len(iss)) if len(page.paragraphs) < 12 else 0
    assert len(inner | set(lps) & iss) >= least
    linked = [(e.source, e.target) for e in of_task(found, 'hip')]
    assert set(linked) <= hip
    assert len(linked) >= min(3, len(hip))


# --- What holds for every corpus.


@READINGS
@hypothesis.given(corpus=st.integers(0, 2**32), seed=st.integers(0, 99))
@hypothesis.settings(max_examples=50, deadline=None)
def test_examples_are_of_their_page_whatever_the_order(options, corpus, seed):
  pages = random_corpus(corpus)
  titles = corpusbrain.corpus_titles(pages)
  found = list(corpusbrain.examples(pages, titles, options=options, seed=seed))
  mixed = random.Random(seed).sample(pages, len(pages))
  again = corpusbrain.examples(
    mixed, corpusbrain.corpus_titles(mixed), options=options, seed=seed
  )
  assert sorted(found) == sorted(again)
  by_id = {page.page_id: page for page in pages}
  for example in found:
    page = by_id[example.page_id]
    assert example.task in corpusbrain.TASKS
    assert {*example.titles} <= {page.title for page in pages}
    assert (page.title in example.titles) == (example.task != 'hip')
    assert example.target == options.separator.join(example.titles)
    parts = []
    for _, (number, start), (last, end) in example.spans:
      assert number == last
      assert '::::' not in page.paragraphs[number]
      parts += page.paragraphs[number][start:end].split()
    assert example.source == ' '.join(parts) != ''
    if options.inner == 'sentences' and example.task == 'iss':
      ((_, (number, _), _),) = example.spans
      assert example.source in rehearsal.sentences(page.paragraphs[number])
    if example.task == 'hip':
      assert any(
        anchor.title == example.target
        and ' '.join(anchor.text.split()) in example.source
        for anchor in page.anchors
      )


def test_seeds_differ():
  page, titles = many_links(60)
  runs = [
    corpusbrain.page_examples(page, titles, options=SMALL, seed=seed)
    for seed in (0, 0, 1)
  ]
  assert runs[0] == runs[1] != runs[2]


def test_pages_of_the_same_text_differ_in_what_is_drawn():
  page, titles = many_links(60)
  other = dataclasses.replace(page, page_id='2')
  drawn = [
    {
      task: [e.source for e in of_task(found, task)]
      for task in corpusbrain.TASKS
    }
    for found in (
      corpusbrain.page_examples(p, titles, options=SMALL) for p in (page, other)
    )
  ]
  assert drawn[0]['lps'] == drawn[1]['lps']
  assert drawn[0]['iss'] != drawn[1]['iss']
  assert drawn[0]['hip'] != drawn[1]['hip']


# --- Evidence of dev and test queries.


def record(name, *provenance):
  output = [{'answer': 'x', 'provenance': list(provenance)}]
  return parse_record('f:1', json.dumps({'id': name, 'output': output}))


def evidence(page, **place):
  return {'wikipedia_id': page, **place}


SENTENCE = {  # 'Greeks came.' of Troy
  'start_paragraph_id': 5,
  'start_character': 0,
  'end_paragraph_id': 5,
  'end_character': 12,
}


def test_withheld_evidence():
  found = corpusbrain.withheld(
    [
      record('a', evidence('7', **SENTENCE), evidence(1)),
      record('b', evidence('7', start_paragraph_id=1), evidence('999')),
    ],
    [PAGE, *OTHERS],
  )
  assert found.titles == {'Troy', 'Homer'}
  assert found.missing == {'999'}
  assert found.spans['7'][0] == Span('7', (5, 0), (5, 12))
  assert found.spans['7'][1].start == (1, 0)
  assert found.spans['1'] == ()


@READINGS
def test_examples_that_leak_are_dropped_and_counted(options):
  options = dataclasses.replace(options, title_probabilities=(1,))
  examples = corpusbrain.page_examples(PAGE, TITLES, options=options)
  held = corpusbrain.withheld(
    [record('a', evidence('7', **SENTENCE), evidence('2'))], [PAGE, *OTHERS]
  )
  # Where the sentence can be read, and where a title of Troy or Helen is.
  reads = [e for e in examples if 'Greeks came.' in e.source]
  names = [e for e in examples if {'Troy', 'Helen'} & {*e.titles}]
  assert reads
  for example in examples:
    expected = ['page'] * (example in names) + ['text'] * (example in reads)
    assert corpusbrain.leaks(example, held) == tuple(expected)
  found = collections.Counter()
  kept = list(corpusbrain.without_leaks(examples, held, found=found))
  assert kept == [e for e in examples if e not in reads]
  assert found == collections.Counter(
    [f'{e.task}: text' for e in reads] + [f'{e.task}: page' for e in names]
  )
  for drop, left in (
    ((), examples),
    (('page',), [e for e in examples if e not in names]),
  ):
    assert list(corpusbrain.without_leaks(examples, held, drop=drop)) == left
  with pytest.raises(ValueError, match='drop of page and text'):
    corpusbrain.without_leaks(examples, held, drop=('all',))


def test_evidence_ends_before_its_last_character():
  def leaks(start, end):
    example = Example('iss', 'x', 'T', '7', ('T',), (Span('7', start, end),))
    held = Withheld(frozenset(), {'7': (Span('7', (2, 10), (3, 5)),)})
    return corpusbrain.leaks(example, held)

  assert leaks((2, 0), (2, 10)) == leaks((3, 5), (3, 9)) == ()
  assert leaks((2, 0), (2, 11)) == leaks((3, 4), (3, 9)) == ('text',)
  assert leaks((2, 50), (2, 60)) == ('text',)


# --- Options.


def test_published_constants():
  assert corpusbrain.READINGS == {'paper': PAPER, 'released': RELEASED}
  for options in (PAPER, RELEASED):
    assert options.title_probabilities == (0.70, 0.20, 0.05, 0.03, 0.02)
    assert (options.min_title_characters, options.min_page_words) == (4, 128)
    assert (options.inner_examples, options.context_examples) == (11, 3)
  assert (PAPER.lead, RELEASED.lead) == (0, 1)
  assert hash(Options(title_probabilities=[0.5, 0.5]))


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'inner': 'words'}, 'inner of sentences or paragraphs'),
    ({'context': 'words'}, 'context of sentences or paragraphs'),
    ({'title_source': 'x'}, 'title_source of pages or anchors'),
    ({'title_probabilities': (0.5, 0.4)}, 'that add up to 1'),
    ({'title_probabilities': (1.5, -0.5)}, 'that add up to 1'),
    ({'title_probabilities': ()}, 'that add up to 1'),
    ({'lead': -1}, 'lead of at least 0'),
    ({'min_words': 0}, 'min_words of at least 1'),
    ({'window_paragraphs': 0}, 'window_paragraphs of at least 1'),
    ({'separator': ' '}, 'a separator with a character'),
    ({'separator': '|\n'}, 'a separator with a character'),
  ],
)
def test_bad_options(fields, message):
  with pytest.raises(ValueError, match=message):
    Options(**fields)
