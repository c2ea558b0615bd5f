# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Task files and guesses of KILT, drawn at random with every odd case in them."""

import json
import pathlib
import random

# fmt: off
WORDS = [
  'the', 'a', 'an', 'of', 'in', 'river', 'Paris', 'Homer', 'war', 'and',
  'Ilion', 'été', '1984', 'old-time', '"queen"', "it's", 'U.S.', 'end.', 'Mr.',
  'Zürich', 'x',
]
# fmt: on
PAGES = [str(number) for number in range(1, 13)]
TITLES = ['Paris', 'The', 'Paris, Texas', '!!!', ' Homer ', '', 'River', None]


def words(rng: random.Random, least: int, most: int) -> str:
  return ' '.join(rng.choices(WORDS, k=rng.randint(least, most)))


def provenance(rng: random.Random, *, ranked: bool) -> dict:
  """One entry; some lack a key, have null, a number, or blanks in its place."""
  page = rng.choice(PAGES)
  first = rng.randint(0, 2)
  entry = {
    'wikipedia_id': page,
    'title': rng.choice(TITLES),
    'start_paragraph_id': first,
    'end_paragraph_id': first + rng.randint(0, 1),
  }
  odd = rng.random()
  if odd < 0.05:
    entry['wikipedia_id'] = int(page)
  elif odd < 0.1:
    entry['wikipedia_id'] = f' {page}\n'
  elif odd < 0.13:
    entry['wikipedia_id'] = None
  elif odd < 0.2:
    del entry[rng.choice(list(entry))]
  elif odd < 0.22:
    entry['start_paragraph_id'] = None
  if ranked and rng.random() < 0.5:
    entry['text'] = words(rng, 0, 12)
    if rng.random() < 0.3:
      entry['text'] += f' {rng.choice(["Paris", "The River!", "homer"])}'
  return entry


def gold_record(rng: random.Random, name: str) -> dict:
  outputs = []
  for _ in range(rng.randint(1, 4)):
    output: dict = {'answer': words(rng, 1, 14)}
    odd = rng.random()
    if odd < 0.1:
      output['answer'] = rng.choice(['', ' ', None, '...', 'The', 'a.', '!'])
    elif odd < 0.15:
      del output['answer']
    if rng.random() < 0.9:
      entries = [
        provenance(rng, ranked=False)
        for _ in range(rng.choice([0, 1, 1, 2, 3]))
      ]
      output['provenance'] = entries + entries[: rng.randint(0, 1)]
    outputs.append(output)
  if rng.random() < 0.2:
    outputs.append(dict(outputs[0]))
  if not any((output.get('answer') or '').strip() for output in outputs):
    outputs[0]['answer'] = 'Homer'
  record = {'id': name, 'input': words(rng, 0, 8), 'output': outputs}
  if rng.random() < 0.3:
    record['meta'] = {'note': 'x'}
  return record


def guess_record(rng: random.Random, gold: dict) -> dict:
  """A guess near the gold: parts of its answers and of its provenance."""
  source = rng.choice(gold['output'])
  answer = rng.choice([source.get('answer') or '', words(rng, 0, 14), ''])
  if rng.random() < 0.3 and answer:
    cut = answer.split()[rng.randint(0, 1) :]
    answer = f' {" ".join(cut)}.'
  elif rng.random() < 0.05:
    answer = 1984
  entries = [
    provenance(rng, ranked=True) for _ in range(rng.choice([0, 1, 3, 8]))
  ]
  for output in rng.sample(gold['output'], rng.randint(0, len(gold['output']))):
    entries += [dict(entry) for entry in output.get('provenance', [])]
  if rng.random() < 0.7:
    rng.shuffle(entries)
  else:
    entries.reverse()
  output: dict = {'answer': answer, 'provenance': entries}
  if rng.random() < 0.05:
    del output['provenance']
  name = gold['id']
  if name.isdecimal() and rng.random() < 0.2:
    name = int(name)
  return {'id': name, 'input': 'x', 'output': [output]}


def random_files(seed: int, count: int) -> tuple[list[dict], list[dict]]:
  """Gold records, and guesses of these and of two others in another order."""
  rng = random.Random(seed)
  gold = [
    gold_record(rng, rng.choice([f'q {i}', f'{i}'])) for i in range(count)
  ]
  guesses = [guess_record(rng, record) for record in gold]
  guesses += [{**guesses[0], 'id': f'other {i}'} for i in range(2)]
  rng.shuffle(guesses)
  return gold, guesses


def write(path: pathlib.Path, records: list[dict]) -> pathlib.Path:
  path.write_text(''.join(json.dumps(record) + '\n' for record in records))
  return path


def page(number: int, title: str, *paragraphs: str, links: dict | None = None):
  """A page of the knowledge source; a link is its text and where it leads."""
  text = [f'{title}\n', *(f'{paragraph}\n' for paragraph in paragraphs)]
  anchors = [
    {'text': words, 'href': href, 'paragraph_id': at, 'start': start,
     'end': start + len(words)}
    for words, href in (links or {}).items()
    for at, paragraph in enumerate(text)
    if at and (start := paragraph.find(words)) >= 0
  ]  # fmt: skip
  return {
    'wikipedia_id': str(number),
    'wikipedia_title': title,
    'text': text,
    'anchors': anchors,
  }


def learnable_folder(folder: pathlib.Path, *, pages: int = 12) -> None:
  """Writes a KILT folder that a model of a few thousand weights learns.

  A page has its own words, two of which are its title, and links to the next one.
  Of each page `el` has mentions to link, whose `input` says nothing: what they are
  about stands in the contexts; `nq` has questions, the last ones with two pages;
  `zs` has questions in templates.
  """
  rng = random.Random(0)
  names = [f'{a}{b}' for a in 'bdfgklmnprst' for b in ('ada', 'ilo', 'uke')]
  rows: dict[str, list] = {'kilt': []}
  own = []
  for _ in range(pages):
    own.append(rng.sample(names, 6))
  titles = [' '.join(words[:2]).title() for words in own]
  for number, words in enumerate(own):
    title, text = titles[number], ' '.join(words)
    other = titles[(number + 1) % pages]
    # CorpusBrain reads pages of 128 words, and paragraphs of 11.
    text = [f'{text} {text}.', f'{text} {text} and {other}.']
    text = [*text, *text[:1] * 12]
    rows['kilt'].append(page(number, title, *text, links={other: other}))
  provenance = [
    {'wikipedia_id': fields['wikipedia_id'], 'title': fields['wikipedia_title']}
    for fields in rows['kilt']
  ]
  for number, words in enumerate(own):
    for turn in range(4):
      split = 'dev' if turn == 2 else 'train'
      a, b, c = words[turn : turn + 3]
      output = [{'answer': a, 'provenance': [provenance[number]]}]
      mention = {'left_context': f'the {a}', 'mention': b, 'right_context': c}
      rows.setdefault(f'el-{split}-kilt', []).append(
        {'id': f'el_{number}_{turn}', 'input': 'nothing', 'output': output,
         'meta': mention}
      )  # fmt: skip
      rows.setdefault(f'nq-{split}-kilt', []).append(
        {'id': f'nq {number} {turn}', 'input': f'{a} {b}\n{c}',
         'output': output}
      )  # fmt: skip
    both = [provenance[number], provenance[(number + 1) % pages]]
    rows['nq-train-kilt'].append(
      {'id': f'nq {number} both', 'input': f'{words[5]} and {words[0]}',
       'output': [{'provenance': both}]}
    )  # fmt: skip
    meta = {'template_questions': [f'what {w}?' for w in words[3:5]]}
    rows.setdefault('zs-train-kilt', []).append(
      {'id': f'zs {number}', 'input': f'{words[3]} [SEP] of',
       'output': [{'provenance': [provenance[number]]}], 'meta': meta}
    )  # fmt: skip
  folder.mkdir(parents=True)
  for name, of in rows.items():
    write(folder / f'{name}.jsonl', of)
