# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret bench docids` in miniature: no figure is asserted, answers are."""

import json

import pytest
import tiny_collection

from genret import tools
from genret.docids import build
from genret.tools import bench_docids


def figures(tmp_path, *words):
  path = tmp_path / 'figures.json'
  small = ('--dimensions', '5', '--rq-vae-steps', '3')
  words = ['bench', 'docids', *small, *words, '--json', str(path)]
  assert tools.main(words) == 0
  return json.loads(path.read_text(encoding='utf-8'))['lines']


def test_every_scheme_of_synthetic_documents(tmp_path):
  lines = figures(tmp_path, '--documents', '200')
  named = [line for line in lines if line['unit'] == 's']
  schemes = {line['work'].partition(':')[0] for line in named}
  assert schemes == {*build.schemes(), 'rq-kmeans sinkhorn'} - {'description'}
  for line in named:
    assert '180 documents' in line['work']
    assert line['answers'] == 'same'
    assert line['peer_value'] > 0


def test_a_corpus(tmp_path, capsys):
  tiny_collection.write(tmp_path / 'corpus')
  words = ('--vocabulary-size', '120', '--schemes', 'naive', 'url', 'rq-kmeans')
  lines = figures(tmp_path, '--corpus', str(tmp_path / 'corpus'), *words)
  works = {line['work'].partition(':')[0] for line in lines}
  assert {'naive', 'rq-kmeans'} < works
  assert (
    "url is skipped: Expected a url of every document, 'd0' has none"
    in capsys.readouterr().err
  )
  folded = next(line for line in lines if line['ours'] == 'fold in')
  assert folded['answers'] == 'same'


def test_too_few_documents(capsys):
  assert tools.main(['bench', 'docids', '--documents', '9']) == 2
  assert 'Expected 10 documents or more, got 9;' in capsys.readouterr().err


def test_synthetic_vectors_have_neighbours():
  given = bench_docids.synthetic(3000, 40, seed=0)
  assert given.vector_DxE.shape == (3000, 40)
  near = (given.vector_DxE[:50] @ given.vector_DxE.T > 0.6).sum(1)
  assert near.min() >= 1
  assert near.mean() == pytest.approx(3, abs=1.5)  # itself and its place's
