# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Documents with queries behind them."""

import hypothesis
import pytest
from hypothesis import strategies as st

from genret.baselines.bm25 import BM25
from genret.baselines.expansion import expanded
from genret.corpus import Document


@hypothesis.given(
  st.dictionaries(
    st.sampled_from('abc'), st.lists(st.text('xy', min_size=1), max_size=3)
  ),
  st.none() | st.integers(0, 4),
)
def test_the_first_queries_follow_the_text(queries_of, count):
  documents = [Document('c', 'T', 'u', 'at'), Document('a'), Document('b')]
  found = expanded(iter(documents), queries_of, count)
  for document, other in zip(documents, found, strict=True):
    queries = queries_of.get(document.doc_id, [])
    kept = [q for i, q in enumerate(queries) if count is None or i < count]
    assert other.text.split() == document.text.split() + kept
    assert (other.doc_id, other.title, other.url) == (
      document.doc_id,
      document.title,
      document.url,
    )


def test_a_document_is_found_by_its_queries():
  documents = [Document('a', '', 'violin'), Document('b', '', 'piano')]
  queries = {'q': 'instrument with keys'}
  assert BM25(documents).search(queries) == {'q': []}
  more = expanded(documents, {'b': ['keys', 'an instrument']})
  (hit,) = BM25(more).search(queries)['q']
  assert hit.doc_id == 'b'


def test_what_cannot_be():
  with pytest.raises(ValueError, match='at least 0 queries, got -1'):
    expanded([], {}, -1)
  with pytest.raises(ValueError, match="of 2 others, first 'x'"):
    expanded([Document('a')], {'y': [], 'x': []})
