# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Inputs in the style of KILT's tasks, by hand and for random pages."""

import collections
import dataclasses
import itertools
import random
import re

import hypothesis
import pytest
from hypothesis import strategies as st
from test_corpusbrain import OTHERS, PAGE, TITLES, TROY, random_corpus

from genret import corpusbrain, genre, pseudo_inputs
from genret.kilt_pages import Anchor, Page
from genret.kilt_records import Span, parse_record
from genret.pseudo_inputs import QUESTION_WORDS, STYLES, Options, page_examples

# Without limits, so that pages can be small; no titles of other pages.
PASSAGES = dataclasses.replace(
  pseudo_inputs.PASSAGES,
  min_title_characters=1,
  min_page_words=0,
  min_words=1,
  title_probabilities=(1.0,),
)
SMALL = Options(PASSAGES, words=3)
RELATIONS = {'founded by': 2, 'country': 5, 'never': 0}


def made(page=PAGE, titles=TITLES, *, options=SMALL, **arguments):
  arguments = {'relations': RELATIONS} | arguments
  return page_examples(page, titles, options=options, **arguments)


def of(style, **arguments):
  found = made(styles=[style], **arguments)
  assert {example.task for example in found} <= {style}
  return found


PARAGRAPHS = [' '.join(TROY[number].split()) for number in (1, 3, 5, 7)]


def runs(text, count):
  words = text.split()
  return {' '.join(words[i : i + count]) for i in range(len(words) - count + 1)}


def test_claims_and_questions_by_hand():
  claims, questions = of('fact_checking'), of('question_answering')
  assert len(claims) == len(questions) == 3
  for claim, question in zip(claims, questions, strict=True):
    assert claim.target == question.target == 'Troy'
    assert claim.titles == question.titles == ('Troy',)
    assert claim.spans == question.spans
    ((_, (number, _), _),) = claim.spans
    passage = ' '.join(TROY[number].split())
    title, words = claim.source.split(' ', 1)
    assert title == 'Troy'
    assert words in runs(passage, 3)
    wh, title, *words, mark = question.source.split(' ')
    assert wh in QUESTION_WORDS
    assert (title, mark) == ('Troy', '?')
    assert ' '.join(words) in runs(passage, 3)
  # The first paragraph and two of the others.
  numbers = [claim.spans[0].start[0] for claim in claims]
  assert numbers[0] == 1
  assert set(numbers[1:]) < {3, 5, 7}


def test_all_that_can_be_drawn_is():
  sources, words = collections.Counter(), collections.Counter()
  for seed in range(400):
    first, *_ = of('question_answering', seed=seed)
    wh, _, rest = first.source.split(' ', 2)
    sources[rest.removesuffix(' ?')] += 1
    words[wh] += 1
  assert sources.keys() == runs(PARAGRAPHS[0], 3)
  assert min(sources.values()) > 400 / len(sources) / 2
  assert words.keys() == set(QUESTION_WORDS)


def test_a_passage_with_few_words_is_taken_whole():
  options = Options(PASSAGES, words=99)
  assert of('fact_checking', options=options)[0].source == (
    f'Troy {PARAGRAPHS[0]}'
  )


def test_slots_by_hand():
  found = of('slot_filling')
  assert sorted(example.source for example in found) == [
    'Troy [SEP] country',
    'Troy [SEP] founded by',
  ]
  for example in found:
    assert (example.target, example.titles) == ('Troy', ('Troy',))
    assert example.spans == ()
  options = dataclasses.replace(SMALL, relations=1)
  drawn = collections.Counter(
    of('slot_filling', options=options, seed=seed)[0].source
    for seed in range(400)
  )
  assert 0.6 < drawn['Troy [SEP] country'] / 400 < 0.82  # 5 of 7
  reordered = dict(reversed(RELATIONS.items()))
  assert of('slot_filling', relations=reordered) == found


def test_mentions_by_hand():
  found = of('entity_linking')
  texts = [(example.source, example.target) for example in found]
  assert texts == [
    ('Troy was a city. It stood in [START_ENT] Asia [END_ENT] .', 'Asia'),
    (
      ' [START_ENT] Homer [END_ENT] sang of it. Helen was taken there.',
      'Homer',
    ),
    (
      'Homer sang of it. [START_ENT] Helen [END_ENT] was taken there.',
      'Helen',
    ),
    ('Greeks came. They won the [START_ENT] war [END_ENT] .', 'Trojan War'),
    ('Homer [START_ENT] sang [END_ENT] of it. Helen was taken there.', 'Homer'),
  ]
  assert found[1].spans == (Span('7', (3, 0), (3, len(TROY[3]))),)
  short = dataclasses.replace(SMALL, context_words=2)
  assert of('entity_linking', options=short)[0].source == genre.mark_mention(
    'in', 'Asia', '.', words=2
  )
  one = dataclasses.replace(SMALL, mentions=1)
  drawn = {of('entity_linking', options=one, seed=s)[0] for s in range(60)}
  assert drawn == set(found)
  none = dataclasses.replace(SMALL, mentions=0)
  assert of('entity_linking', options=none) == []


def test_links_without_a_mention_are_counted():
  text = ['Troy\n', 'Section::::Asia.\n', 'BULLET::::- Asia and more\n', ' \n']
  anchors = [
    Anchor('Asia', 'Asia', 1, 11, 15),
    Anchor('Asia', 'Asia', 2, 12, 16),
    Anchor('- ', 'Asia', 2, 10, 12),
    Anchor(' ', 'Asia', 3, 0, 1),
    Anchor('x', 'Asia', 9, 0, 1),
    Anchor('Asia', 'Asia', 2, 13, 99),
    Anchor('Asia', 'Nobody', 2, 12, 16),
    Anchor('Asia', 'Troy', 2, 12, 16),
  ]
  page = Page('7', 'Troy', (*text, *TROY[1:2]), tuple(anchors))
  skipped = collections.Counter()
  found = of('entity_linking', page=page, skipped=skipped)
  assert [e.source for e in found] == [' [START_ENT] Asia [END_ENT] and more']
  assert found[0].spans == (Span('7', (2, 12), (2, len(text[2]))),)
  assert skipped == {
    'entity_linking: in a heading': 1,
    'entity_linking: offsets do not match': 4,
    'link: not in the corpus': 1,
    'link: within the page': 1,
  }


def test_dialogue_by_hand():
  (found,) = of('dialogue')
  assert found.source == ' '.join(PARAGRAPHS[:3])
  assert found.target == 'Troy'
  page = Page('7', 'Troy', tuple(TROY[:4]))
  (found,) = of('dialogue', page=page)
  assert found.source == PARAGRAPHS[0]


def test_targets_list_linked_pages_as_corpusbrain_does():
  listing = dataclasses.replace(
    PASSAGES, title_probabilities=(0.0, 0.0, 1.0), separator=' ; '
  )
  for example in made(options=dataclasses.replace(SMALL, passages=listing)):
    listed = 0 if example.task in ('slot_filling', 'entity_linking') else 2
    assert len(example.titles) == 1 + listed
    assert example.target == ' ; '.join(example.titles)


def test_pages_that_corpusbrain_leaves_out():
  skipped = collections.Counter()
  assert made(options=None, skipped=skipped) == []
  assert skipped == {'page: few words': 1}
  empty = Page('7', 'Troy', ('Troy\n',), PAGE.anchors)
  assert made(page=empty) == []
  # Without a lead there are no passages, whatever its links give.
  links = dataclasses.replace(PASSAGES, lead=9, context_examples=3)
  assert corpusbrain.page_examples(PAGE, TITLES, options=links)
  assert made(options=dataclasses.replace(SMALL, passages=links)) == []


@hypothesis.given(st.integers(0, 2**32), st.integers(0, 9), st.randoms())
@hypothesis.settings(max_examples=60, deadline=None)
def test_examples_are_of_their_page_whatever_the_order(corpus, seed, shuffle):
  pages = random_corpus(corpus)
  titles = corpusbrain.corpus_titles(pages)
  arguments = {'relations': RELATIONS, 'options': SMALL, 'seed': seed}
  found = list(pseudo_inputs.examples(pages, titles, **arguments))
  apart = {
    page.page_id: page_examples(page, titles, **arguments) for page in pages
  }
  assert found == list(itertools.chain.from_iterable(apart.values()))
  mixed = shuffle.sample(pages, len(pages))
  again = pseudo_inputs.examples(mixed, titles, **arguments)
  expected = [example for page in mixed for example in apart[page.page_id]]
  assert list(again) == expected
  for page in pages:
    mine = apart[page.page_id]
    # A style does not depend on which others are made, nor on their order.
    for style in STYLES:
      alone = page_examples(page, titles, styles=[style], **arguments)
      assert alone == [e for e in mine if e.task == style]
    for example in mine:
      check(example, page, titles)
    sources = [(e.task, e.source) for e in mine]
    assert len(set(sources)) == len(sources)


def check(example, page, titles):
  """What holds of every example, told from the page's text."""
  text = {
    i: ' '.join(paragraph.split())
    for i, paragraph in enumerate(page.paragraphs)
  }
  assert example.page_id == page.page_id
  assert '\n' not in example.source
  numbers = [span.start[0] for span in example.spans]
  if example.task == 'entity_linking':
    (number,) = numbers
    plain = re.sub(r'\[(START|END)_ENT\]', '', example.source)
    cut = text[number].removeprefix('BULLET::::- ')
    assert plain.replace(' ', '') == cut.replace(' ', '')
    assert any(example.target in spellings for spellings in titles.values())
    return
  assert example.titles[0] == page.title
  body = ' '.join(text[number] for number in numbers)
  if example.task == 'dialogue':
    assert example.source == body
  elif example.task == 'slot_filling':
    assert example.source.removeprefix(f'{page.title} [SEP] ') in RELATIONS
  else:
    source = example.source
    if example.task == 'question_answering':
      word, source = source.removesuffix(' ?').split(' ', 1)
      assert word in QUESTION_WORDS
    words = source.removeprefix(f'{page.title} ')
    count = min(3, len(body.split()))
    assert words in runs(body, count)


def test_seeds_differ():
  first, other = made(seed=0), made(seed=1)
  assert first == made(seed=0)
  assert first != other


def test_pages_of_the_same_text_differ_in_what_is_drawn():
  one = dataclasses.replace(SMALL, relations=1, mentions=1)
  drawn = {style: set() for style in STYLES}
  for page_id in '1234567':
    page = dataclasses.replace(PAGE, page_id=page_id)
    for style in STYLES:
      first, *_ = of(style, page=page, options=one)
      drawn[style].add(first.source)
  assert [len(drawn[style]) > 1 for style in STYLES] == [True] * 4 + [False]


def test_relations_of_records():
  rows = ['{"id": "1", "input": "A [SEP] country"}']
  rows += ['{"id": "2", "input": "B [SEP] c [SEP]  founded by "}']
  rows += ['{"id": "3", "input": "C[SEP]country"}']
  records = [parse_record(f'f, line {i}', row) for i, row in enumerate(rows)]
  found = pseudo_inputs.relations(records)
  assert list(found.items()) == [('country', 2), ('founded by', 1)]
  for text in ('who wrote it', 'A [SEP] ', ' [SEP] country'):
    record = dataclasses.replace(records[0], input=text)
    with pytest.raises(
      ValueError, match=r'line 0: expected subject \[SEP\] re'
    ):
      pseudo_inputs.relations([record])


@pytest.mark.parametrize('relations', [None, {}, {'x': 0}])
def test_slots_need_relations(relations):
  with pytest.raises(ValueError, match='relations for slot_filling, got none'):
    made(relations=relations)
  assert made(relations=relations, styles=['dialogue'])


def test_what_is_refused():
  with pytest.raises(ValueError, match="got 'dialog'; choose another"):
    made(styles=['dialog'])
  for name in ('words', 'relations'):
    with pytest.raises(ValueError, match=f'{name} of at least 1, got 0'):
      Options(**{name: 0})
  for name in ('mentions', 'context_words'):
    with pytest.raises(ValueError, match=f'{name} of at least 0, got -1'):
      Options(**{name: -1})
  pages = [PAGE, *OTHERS, Page('9', 'A | B', ('x',))]
  titles = corpusbrain.corpus_titles(pages)
  with pytest.raises(ValueError, match=r"without the separator ' \| ', got"):
    next(pseudo_inputs.examples([], titles, styles=['dialogue']), None)


def test_leaks_are_found_in_them():
  evidence = corpusbrain.Withheld(
    titles=frozenset(), spans={'7': (Span('7', (1, 4), (1, 8)),)}
  )
  kept = list(corpusbrain.without_leaks(made(), evidence))
  assert kept
  assert not [e for e in kept if any(s.start[0] == 1 for s in e.spans)]
  assert len(kept) < len(made())


def test_random_corpora_give_every_style():
  found = collections.Counter()
  for corpus in range(20):
    pages = random_corpus(random.Random(corpus).randrange(2**32))
    for example in pseudo_inputs.examples(
      pages,
      corpusbrain.corpus_titles(pages),
      relations=RELATIONS,
      options=SMALL,
    ):
      found[example.task] += 1
  assert min(found[style] for style in STYLES) >= 10
