# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A corpus that a model of a few thousand weights learns in seconds."""

import json
import pathlib

import jax
import numpy as np

from genret.models.t5 import T5Config, Transformer, initial_params

WORDS = [f'{a}{b}' for a in 'bdfgklmnprst' for b in ('ada', 'ilo', 'uke')]


def write_collection(
  folder: pathlib.Path, *, documents: int = 24, titles: bool = False
) -> None:
  """Writes a BEIR folder: documents of six words, queries of three of them.

  A title repeats the first two words.
  """
  generator = np.random.default_rng(0)
  (folder / 'qrels').mkdir(parents=True)
  corpus, queries, train, dev = [], [], [], []
  for number in range(documents):
    words = generator.choice(WORDS, 6, replace=False)
    text = ' '.join(words)
    title = ' '.join(words[:2]) if titles else ''
    corpus.append({'_id': f'd{number}', 'title': title, 'text': text})
    for start in range(4):
      query_id = f'q{number}_{start}'
      text = ' '.join(words[start : start + 3])
      queries.append({'_id': query_id, 'text': text})
      (dev if start == 2 else train).append(f'{query_id}\td{number}\t1')
  for name, rows in (('corpus', corpus), ('queries', queries)):
    lines = [json.dumps(row) + '\n' for row in rows]
    (folder / f'{name}.jsonl').write_text(''.join(lines))
  for split, rows in (('train', train), ('dev', dev), ('test', dev)):
    lines = ['query-id\tcorpus-id\tscore', *rows]
    (folder / 'qrels' / f'{split}.tsv').write_text('\n'.join(lines) + '\n')


def config(vocab_size: int, **changes) -> T5Config:
  """Sizes of a T5 that compiles and trains in seconds."""
  sizes = {
    'emb_dim': 32,
    'num_heads': 2,
    'head_dim': 16,
    'num_encoder_layers': 1,
    'num_decoder_layers': 1,
    'mlp_dim': 64,
    'dropout_rate': 0.0,
  }
  return T5Config(vocab_size=vocab_size, **(sizes | changes))


def model(vocab_size: int, *, seed: int = 1, **changes):
  """Such a T5 with random weights: (module, params)."""
  module = Transformer(config(vocab_size, **changes))
  return module, initial_params(module, jax.random.key(seed))
