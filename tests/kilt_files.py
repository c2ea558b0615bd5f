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
