# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The study of CorpusBrain: its folder, its measures, its page."""

import json

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from genret import corpus, kilt_metrics, kilt_records, tools
from genret.tools import _corpusbrain_page, _study_corpusbrain


@given(st.data())
def test_measures_of_ranks_are_those_of_kilt(data):
  pages = [f'p{number}' for number in range(12)]
  guessed = data.draw(st.permutations(pages))[: data.draw(st.integers(0, 12))]
  gold = data.draw(
    st.lists(st.sampled_from(pages), min_size=1, max_size=4, unique=True)
  )
  record = kilt_records.KiltRecord(
    place='here',
    record_id='q',
    input='x',
    meta={},
    outputs=tuple(
      kilt_records.Output(None, ({'wikipedia_id': page},)) for page in gold
    ),
  )
  guess = kilt_records.Output(
    None, tuple({'wikipedia_id': page} for page in guessed)
  )
  official = kilt_metrics.retrieval_measures(guess, record)
  ranks = '+'.join(
    str(guessed.index(page) + 1 if page in guessed else 0) for page in gold
  )
  found = _corpusbrain_page.values(ranks)
  assert found['R-precision'].tolist() == [official['Rprec']]
  assert found['recall@5'].tolist() == [pytest.approx(official['recall@5'])]


def test_no_queries_have_no_values():
  assert {len(v) for v in _corpusbrain_page.values('').values()} == {0}


def test_pages_and_questions_are_one_folder(tmp_path):
  tiny.write_collection(tmp_path / 'toy', documents=4, titles=True)
  (tmp_path / 'toy' / 'qrels' / 'test.tsv').unlink()  # the same as dev
  documents = list(corpus.read_documents(tmp_path / 'toy'))
  pages = tmp_path / 'kilt.jsonl'
  pages.write_text(
    ''.join(
      json.dumps(
        {
          'wikipedia_id': d.doc_id,
          'wikipedia_title': d.title,
          'text': [d.title, d.text],
          'anchors': [],
          'categories': '',
        }
      )
      + '\n'
      for d in documents
    )
  )
  queries = tmp_path / 'toy' / 'queries.jsonl'
  lines = [json.loads(line) for line in queries.read_text().splitlines()]
  lines[0]['source'] = 'd3'
  queries.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  folder = _study_corpusbrain.kilt_folder(
    str(pages), str(tmp_path / 'toy'), 'toy', tmp_path / 'folder'
  )
  found = corpus.load_collection(folder)
  before = corpus.load_collection(tmp_path / 'toy')
  assert [d.title for d in found.documents] == [d.title for d in documents]
  assert found.queries == before.queries
  assert found.qrels == {f'toy-{s}': q for s, q in before.qrels.items()}
  records = kilt_records.read_records(folder / 'toy-train-kilt.jsonl')
  assert [r.meta for r in records][:2] == [{'source': 'd3'}, {}]
  (tmp_path / 'toy' / 'qrels' / 'test.tsv').write_text(
    'query-id\tcorpus-id\tscore\nq0_2\td9\t1\n'
  )
  with pytest.raises(ValueError, match="query 'q0_2' has 'd9'; name the pages"):
    _study_corpusbrain.kilt_folder(
      str(pages), str(tmp_path / 'toy'), 'toy', tmp_path / 'other'
    )
  with pytest.raises(ValueError, match='found none of kilt_knowledge'):
    _study_corpusbrain.kilt_folder(
      str(tmp_path / 'toy'), str(tmp_path / 'toy'), 'toy', tmp_path / 'third'
    )


def row(name, seed, ranks):
  """What the study notes, of ranks."""
  means = _corpusbrain_page.values(ranks)
  trained = {} if 'BM25' in name else {'pretraining': name, 'steps': 2000}
  return {
    'name': name,
    'seed': seed,
    'collection': 'toy',
    'documents': 9,
    'queries': 4,
    'split': 'toy-test',
    'corpus_hash': 'f' * 64,
    'systems': {'titles': {m: float(v.mean()) for m, v in means.items()}},
    'ranks': {'titles': ranks},
    'queries_per_second': 90.0,
    **trained,
  }


def test_the_page_has_rows_and_comparisons(tmp_path):
  rows = [
    row('all', 0, '1 1 1+6 0'),
    row('all', 1, '1 1 2+0 0'),
    row('nothing', 0, '0 6 0 0'),
    row('BM25, whole pages', 0, '1 2 3+4 20'),
  ]
  text = _corpusbrain_page.write(rows, tmp_path)
  assert '| all | 2 | 2,000 |  | 0.625 ± 0.177 | 0.625 ± 0.000 |' in text
  assert '| BM25, whole pages | 1 |  |  | 0.250 | 0.750 |' in text
  assert text.index('| BM25') < text.index('| nothing') < text.index('| all')
  # Two queries differ by 1 and one by 0.5: a quarter of the exchanges are as far.
  assert '| all less nothing | +0.625 (p = 0.2500) |' in text
  found = json.loads((tmp_path / 'results' / 'corpusbrain.json').read_text())
  assert found['rows'] == rows
  differences = {
    tuple(c['pair']): c['difference'] for c in found['comparisons']
  }
  ours = np.mean([[1, 1, 0.5, 0], [1, 1, 0.5, 0]], axis=0)
  theirs = np.array([0, 0, 0, 0])
  assert differences['all', 'nothing']['recall@5'] == (ours - theirs).mean()
  assert (tmp_path / 'images' / 'corpusbrain.png').stat().st_size > 10_000
  assert text.rstrip() in (tmp_path / 'corpusbrain.md').read_text()


def write_linked(folder):
  """Twelve pages of 150 words that link to each other, and questions."""
  rng = np.random.default_rng(0)
  titles = [f'{a} {b}' for a, b in zip(tiny.WORDS, tiny.WORDS[12:24])]
  pages, questions = [], []
  for number, title in enumerate(titles):
    paragraphs, anchors = [title], []
    for paragraph in range(1, 6):
      words = [str(word) for word in rng.choice(tiny.WORDS, 30)]
      target = titles[(number + paragraph) % len(titles)]
      before = ' '.join(words[:12])
      # The separator of titles must be in the text to be in the vocabulary.
      paragraphs.append(f'{before} {target} | {" ".join(words[12:])}.')
      anchors.append(
        {
          'text': target,
          'href': target,
          'paragraph_id': paragraph,
          'start': len(before) + 1,
          'end': len(before) + 1 + len(target),
        }
      )
    fields = {'wikipedia_id': str(number), 'wikipedia_title': title}
    fields |= {'text': paragraphs, 'anchors': anchors, 'categories': ''}
    pages.append(fields)
    questions.append((str(number), paragraphs[3], str((number + 3) % 12)))
  (folder / 'pages').mkdir(parents=True)
  text = ''.join(json.dumps(page) + '\n' for page in pages)
  (folder / 'pages' / 'kilt.jsonl').write_text(text)
  beir = folder / 'questions'
  (beir / 'qrels').mkdir(parents=True)
  (beir / 'corpus.jsonl').write_text(
    ''.join(
      json.dumps({'_id': p['wikipedia_id'], 'title': '', 'text': 'x'}) + '\n'
      for p in pages
    )
  )
  (beir / 'queries.jsonl').write_text(
    ''.join(
      json.dumps({'_id': f'q{n}', 'text': text, 'source': n}) + '\n'
      for n, text, _ in questions
    )
  )
  for part, split in enumerate(('train', 'dev', 'test')):
    rows = [f'q{n}\t{page}\t1' for n, _, page in questions[part::3]]
    lines = ['query-id\tcorpus-id\tscore', *rows]
    (beir / 'qrels' / f'{split}.tsv').write_text('\n'.join(lines) + '\n')


@pytest.mark.slow
@pytest.mark.optax
def test_a_study_runs_once(tmp_path, capsys):
  write_linked(tmp_path)
  words = ['study', 'corpusbrain', '--corpus', str(tmp_path / 'pages')]
  words += ['--questions', str(tmp_path / 'questions'), '--seeds', '0']
  words += ['--steps', '2', '--tuning-steps', '3']
  words += ['--work', str(tmp_path / 'work'), '--docs', str(tmp_path / 'docs')]
  assert tools.main(words) == 0
  first = capsys.readouterr().out
  found = json.loads(
    (tmp_path / 'docs' / 'results' / 'corpusbrain.json').read_text()
  )
  rows = {row['name']: row for row in found['rows']}
  trained = {cell.name: cell for cell in _study_corpusbrain.grid()}
  assert set(rows) == {*trained, *_study_corpusbrain._bm25_rows()}
  for name, cell in trained.items():
    untrained = cell == ('nothing', False)
    steps = 3 if cell.fine_tuned else 0 if untrained else 2
    assert rows[name]['steps'] == steps
    assert rows[name]['rates']['legal_rate'] == 1.0
    assert len(rows[name]['ranks']['titles'].split()) == 4
  assert tools.main(words) == 0
  assert capsys.readouterr().out == first
  assert tools.main([*words, '--steps', '5', '--only', 'hip']) == 2
  assert 'Expected rows of 5 steps' in capsys.readouterr().err
