# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Unseen documents: who they are, and which queries ask for them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.unseen import split_queries, unseen_documents

IDS = st.lists(st.text(max_size=4), unique=True, max_size=12)


@given(ids=IDS, share=st.floats(0, 1), seed=st.integers(0, 3))
def test_each_document_is_decided_by_itself(ids, share, seed):
  found = unseen_documents(ids, share, seed)
  assert found == {
    doc_id
    for doc_id in ids
    if int(hashlib.sha256(f'{seed} {doc_id}'.encode()).hexdigest()[:16], 16)
    < share * 2**64
  }
  for doc_id in ids:
    assert (doc_id in found) == bool(unseen_documents([doc_id], share, seed))


def test_the_share_holds_in_expectation():
  ids = [str(number) for number in range(20_000)]
  for share in (0.0, 0.1, 0.5, 1.0):
    found = unseen_documents(ids, share)
    # Four standard deviations of a binomial.
    deviation = (share * (1 - share) * len(ids)) ** 0.5
    assert abs(len(found) - share * len(ids)) <= 4 * deviation
  more = unseen_documents(ids, 0.5)
  assert unseen_documents(ids, 0.1) < more
  assert unseen_documents(ids, 0.5, seed=1) != more


def test_no_share():
  with pytest.raises(ValueError, match=r'from 0 to 1, got 1\.5'):
    unseen_documents(['a'], 1.5)
  with pytest.raises(ValueError, match='from 0 to 1, got nan'):
    unseen_documents([], float('nan'))


def test_a_query_is_unseen_where_all_its_documents_are():
  ids = [str(number) for number in range(40)]
  unseen = unseen_documents(ids, 0.5, 3)
  u, v = sorted(unseen)[:2]
  s = min(set(ids) - unseen)
  qrels = {
    'hidden': {u: 1},
    'both': {u: 1, v: 1},
    'mixed': {u: 1, s: 2},
    'open': {s: 1},
    'judged': {u: 2, s: 0},
    'nothing': {u: 0},
  }
  found = split_queries(qrels, 0.5, 3)
  assert list(found) == ['seen', 'unseen']
  assert list(found['unseen']) == ['hidden', 'both', 'judged']
  assert list(found['seen']) == ['mixed', 'open', 'nothing']
  assert found['unseen']['judged'] == qrels['judged']
  assert split_queries({}, 0.5) == {'seen': {}, 'unseen': {}}
  assert split_queries(qrels, 0.0) == {'seen': qrels, 'unseen': {}}
