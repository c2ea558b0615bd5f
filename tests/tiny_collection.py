# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A collection of a few dozen short documents, the same every time."""

import functools
import json
import pathlib
import tempfile

import numpy as np
import sentencepiece

from genret import vocabulary
from genret.corpus import Collection, Document, load_collection

SIZE = 30

_TOPICS = {
  'sea': 'ship sail harbour wave anchor captain island storm',
  'garden': 'rose soil seed flower tree water bee leaf',
  'music': 'violin song piano chord opera singer rhythm drum',
}


@functools.cache
def documents() -> tuple[Document, ...]:
  """Documents of three topics, with two words of their own each."""
  rng = np.random.default_rng(0)
  found = []
  for i in range(SIZE):
    title = list(_TOPICS)[i % len(_TOPICS)]
    words = list(rng.choice(_TOPICS[title].split(), 10))
    words.insert(3, f'name{i}')
    found.append(Document(f'd{i}', title, ' '.join([*words, f'mark{i}'])))
  return tuple(found)


def write(folder: pathlib.Path, count: int = SIZE) -> Collection:
  """Writes the first documents, with queries, as a BEIR folder.

  Query i asks for document i; even ones train, odd ones are in `dev`.
  """
  (folder / 'qrels').mkdir(parents=True)
  chosen = documents()[:count]
  corpus = [
    json.dumps({'_id': d.doc_id, 'title': d.title, 'text': d.text})
    for d in chosen
  ]
  queries = [
    json.dumps({'_id': f'q{i}', 'text': f'which {d.title} has name{i}'})
    for i, d in enumerate(chosen)
  ]
  (folder / 'corpus.jsonl').write_text('\n'.join(corpus))
  (folder / 'queries.jsonl').write_text('\n'.join(queries))
  for remainder, split in enumerate(('train', 'dev')):
    rows = [f'q{i}\td{i}\t1' for i in range(remainder, count, 2)]
    (folder / 'qrels' / f'{split}.tsv').write_text(
      '\n'.join(['query-id\tcorpus-id\tscore', *rows])
    )
  return load_collection(folder)


@functools.cache
def pieces() -> sentencepiece.SentencePieceProcessor:
  """A vocabulary of the documents' words."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / vocabulary.VOCABULARY_FILE
    texts = [f'which {d.title} has {d.text}' for d in documents()]
    return vocabulary.train_vocabulary(texts, path, size=120)
