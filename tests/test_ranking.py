# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import metrics
from genret.docids.table import DocidTable
from genret.ranking import documents
from genret.runs import Hit, trec_scores

# d1 and d3 share an identifier; that of d2 is a prefix of theirs.
ROWS = [[5, 0, 0], [6, 7, 0], [6, 0, 0], [6, 7, 0], [8, 8, 8]]
TABLE = DocidTable(
  [f'd{i}' for i in range(5)], np.array(ROWS), np.array([1, 2, 1, 2, 3]), 16
)


def rank(beams, *, limit=None, table=TABLE, width=4, separator=()):
  """beams: per query a list of (tokens, score, legal), as many for each."""
  tokens = [
    [list(t) + [0] * (width - len(t)) for t, _, _ in row] for row in beams
  ]
  lengths = [[len(t) for t, _, _ in row] for row in beams]
  scores = [[s for _, s, _ in row] for row in beams]
  legal = [[ok for _, _, ok in row] for row in beams]
  shape = (len(beams), len(beams[0]) if beams else 0)
  return documents.rank_documents(
    np.array(tokens, int).reshape(*shape, width),
    np.array(scores, np.float32).reshape(shape),
    np.array(lengths, int).reshape(shape),
    np.array(legal, bool).reshape(shape),
    table,
    limit=limit,
    separator=separator,
  )


def as_lists(rankings):
  return [(d.tolist(), s.tolist()) for d, s in rankings]


def test_the_rule_by_hand():
  found = rank(
    [
      [
        ([6, 7, 1], -0.5, True),  # shared: d1 and d3, in table order
        ([6, 1], -1.0, True),
        ([8, 8, 8, 1], -2.0, False),  # not legal
        ([6, 7, 9, 1], -3.0, True),  # no identifier
      ],
      [
        ([5, 1], -4.0, True),
        ([5], -2.0, True),  # the same document without eos, better
        ([8, 8, 8, 1], -2.0, True),  # equal score, later hypothesis
        ([6, 1], -np.inf, True),
      ],
      [([], -np.inf, False)] * 4,
    ]
  )
  assert as_lists(found) == [
    ([1, 3, 2], [-0.5, -0.5, -1.0]),
    ([0, 4], [-2.0, -2.0]),
    ([], []),
  ]


def test_the_limit_counts_documents():
  beams = [[([6, 1], -1.0, True), ([6, 7, 1], -0.5, True)]]
  assert as_lists(rank(beams, limit=1)) == [([1], [-0.5])]
  assert as_lists(rank(beams, limit=2)) == [([1, 3], [-0.5, -0.5])]
  assert as_lists(rank(beams, limit=9)) == [([1, 3, 2], [-0.5, -0.5, -1.0])]
  assert as_lists(rank(beams, limit=0)) == [([], [])]


def test_no_queries_and_no_beams():
  assert rank([]) == []
  assert as_lists(rank([[], []])) == [([], []), ([], [])]


# The four identifiers, the beginning of one, nothing, a stranger.
NAMES = [[5], [6, 7], [6], [8, 8, 8], [8, 8], [], [9]]


@pytest.mark.parametrize('seed', range(60))
def test_random_beams_agree_with_a_loop(seed):
  rng = np.random.default_rng(seed)
  batch, beams = rng.integers(0, 9), rng.integers(1, 6)
  limit = [None, 1, 3][seed % 3]
  queries = [
    [
      (
        NAMES[rng.integers(len(NAMES))] + [1] * rng.integers(2),
        rng.choice([-0.5, -1.0, -np.inf]),
        rng.random() < 0.8,
      )
      for _ in range(beams)
    ]
    for _ in range(batch)
  ]
  names = [tuple(r[:n]) for r, n in zip(ROWS, [1, 2, 1, 2, 3], strict=True)]
  expected = []
  for row in queries:
    ranked = []
    # Python's sort is stable: equal scores keep the order of hypotheses.
    for tokens, score, legal in sorted(row, key=lambda beam: -beam[1]):
      identifier = tuple(t for t in tokens if t != 1)
      if legal and score > -np.inf:
        for index, name in enumerate(names):
          if name == identifier and index not in [i for i, _ in ranked]:
            ranked.append((index, score))
    ranked = ranked[:limit]
    expected.append(([i for i, _ in ranked], [s for _, s in ranked]))
  assert as_lists(rank(queries, limit=limit)) == expected


def test_identifiers_are_told_from_the_rest():
  tokens = np.array([[[6, 7, 1], [6, 7, 8]], [[5, 0, 0], [7, 1, 0]]])
  known = documents.are_identifiers(tokens, np.array([[3, 3], [1, 2]]), TABLE)
  assert known.tolist() == [[True, False], [True, False]]


def test_several_identifiers_by_hand():
  found = rank(
    [
      [
        ([8, 8, 8, 4, 9, 6, 7, 4, 9, 5, 1], -0.5, True),
        ([6, 4, 9, 6, 7, 1], -0.5, True),  # as good: behind the first one's
        ([9, 4, 9, 6, 1], -1.0, True),  # a stranger, then one that was found
      ],
    ],
    separator=[4, 9],
    width=12,
  )
  assert as_lists(found) == [([4, 1, 3, 0, 2], [-0.5] * 5)]
  run = documents.to_hits(found, ['q'], TABLE.doc_ids)
  assert metrics.trec_order(trec_scores(run)['q']) == [
    hit.doc_id for hit in run['q']
  ]


def parts_of(tokens, separator):
  """A row cut at each separator from the left."""
  parts, i = [[]], 0
  while i < len(tokens):
    if tokens[i : i + len(separator)] == separator:
      parts.append([])
      i += len(separator)
    else:
      parts[-1].append(tokens[i])
      i += 1
  return [tuple(part) for part in parts]


beams_of = st.lists(
  st.tuples(
    st.lists(st.sampled_from([[5], [6, 7], [6], [8, 8, 8], [4], [4, 3], []])),
    st.booleans(),
    st.sampled_from([-0.5, -1.0, -np.inf]),
    st.booleans(),
  ),
  min_size=1,
  max_size=5,
)


@hypothesis.given(
  queries=st.lists(beams_of, max_size=4),
  separator=st.sampled_from([[4], [4, 3], [4, 4], [6], [8, 8, 6]]),
  limit=st.sampled_from([None, 2]),
)
def test_several_identifiers_agree_with_a_loop(queries, separator, limit):
  beams = max(map(len, queries), default=0)
  rows = [
    [
      ([t for part in parts for t in part] + [1] * ended, score, legal)
      for parts, ended, score, legal in row
    ]
    + [([], -np.inf, False)] * (beams - len(row))
    for row in queries
  ]
  width = max((len(t) for row in rows for t, _, _ in row), default=0) + 1
  names = [tuple(r[:n]) for r, n in zip(ROWS, [1, 2, 1, 2, 3], strict=True)]
  expected, known = [], []
  for row in rows:
    found = {}
    for tokens, score, legal in sorted(row, key=lambda beam: -beam[1]):
      for part in parts_of([t for t in tokens if t != 1], separator):
        for index, name in enumerate(names):
          if legal and score > -np.inf and name == part:
            found.setdefault(index, score)
    ranked = list(found.items())[:limit]
    expected.append(([i for i, _ in ranked], [s for _, s in ranked]))
    for tokens, _, _ in row:
      parts = parts_of([t for t in tokens if t != 1], separator)
      known.append(all(part in names for part in parts))
  found = rank(rows, limit=limit, width=width, separator=separator)
  assert as_lists(found) == expected
  padded = np.array(
    [[*t, *[0] * (width - len(t))] for row in rows for t, _, _ in row], int
  )
  identified = documents.are_identifiers(
    padded.reshape(len(rows), beams, width),
    np.array([[len(t) for t, _, _ in row] for row in rows], int).reshape(
      len(rows), beams
    ),
    TABLE,
    separator=separator,
  )
  assert identified.ravel().tolist() == known


def test_hits_carry_names_and_texts():
  rankings = rank([[([6, 7, 1], -0.5, True)], [([9, 1], -0.5, True)]])
  found = documents.to_hits(rankings, ['q1', 'q2'], TABLE.doc_ids)
  assert found == {'q1': [Hit('d1', -0.5), Hit('d3', -0.5)], 'q2': []}
  assert isinstance(found['q1'][0].score, float)
  texts = ['a', 'b', 'c', 'd', 'e']
  found = documents.to_hits(rankings, ['q1', 'q2'], TABLE.doc_ids, texts=texts)
  assert [hit.text for hit in found['q1']] == ['b', 'd']
  with pytest.raises(ValueError, match='zip'):
    documents.to_hits(rankings, ['q1'], TABLE.doc_ids)


def test_wrong_shapes_and_nan_are_refused():
  tokens, scores = np.zeros((2, 3, 4), int), np.zeros((2, 3))
  lengths, legal = np.ones((2, 3), int), np.ones((2, 3), bool)
  with pytest.raises(ValueError, match=r'found \(2, 3, 4\), \(2, 2\), '):
    documents.rank_documents(tokens, scores[:, :2], lengths, legal, TABLE)
  with pytest.raises(ValueError, match=r'expected tokens \[B, K, L\]'):
    documents.rank_documents(tokens[0], scores, lengths, legal, TABLE)
  scores[1, 1] = np.nan
  with pytest.raises(ValueError, match='found NaN for a legal hypothesis'):
    documents.rank_documents(tokens, scores, lengths, legal, TABLE)
  legal[1, 1] = False
  documents.rank_documents(tokens, scores, lengths, legal, TABLE)


def test_a_negative_limit_is_refused():
  rows = [[([6, 7, 1], -0.5, True)]]
  assert as_lists(rank(rows, limit=0)) == [([], [])]
  with pytest.raises(
    ValueError, match=r'^expected a limit of 0 or more documents, found -1; '
  ):
    rank(rows, limit=-1)
