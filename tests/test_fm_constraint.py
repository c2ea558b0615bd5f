# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The contract of the constraint protocol, for n-grams of an FM-index."""

import pytest
from test_constraints import (
  EOS,
  Plain,
  Row,
  V,
  test_after_an_illegal_token_nothing_fails,
  test_arrays_are_arguments,
  test_beams_are_those_of_a_plain_search,
  test_children_are_those_probed_in_order,
  test_children_from_a_slot_of_each_row,
  test_probe_and_limits,
)

from genret.constraints.fm_index import FMIndex

# The contract's own tests, with the rows of this file.
__all__ = [
  'test_after_an_illegal_token_nothing_fails',
  'test_arrays_are_arguments',
  'test_beams_are_those_of_a_plain_search',
  'test_children_are_those_probed_in_order',
  'test_children_from_a_slot_of_each_row',
  'test_probe_and_limits',
]

DOCUMENTS = [[2, 3, 4, 2, 3], [], [6, 6, 6, 5], [2, 3, 5, 0, 2], [4, 2]]
OTHERS = [[3, 2, 4, 3, 2], [], [5, 5, 5, 6], [3, 2, 6, 0, 3], [4, 3]]


def count(documents, ngram) -> int:
  """How often an n-gram occurs, by looking everywhere."""
  size = len(ngram)
  return sum(
    tuple(document[i : i + size]) == ngram
    for document in documents
    for i in range(len(document) - size + 1)
  )


def plain(documents, ends=None, stop=0, open_ended=True) -> Plain:
  def legal(prefix):
    follow = {t for t in range(V) if count(documents, (*prefix, t))}
    if ends is not None and prefix and count(documents, prefix):
      follow.add(ends)
    return follow

  return Plain(
    legal,
    lambda prefix: open_ended and count(documents, prefix) > 0,
    lambda prefix: bool(stop) and count(documents, prefix) <= stop,
  )


def build(documents, **options) -> FMIndex:
  return FMIndex.build(documents, V, **options)


def row(documents, others, index_of=build, **options) -> Row:
  constraint_options = {
    'eos_id': options.get('ends'),
    'stop_count': options.get('stop', 0),
    'end_id': options.pop('end_id', None),
  }
  if constraint_options['end_id'] is not None:
    options['open_ended'] = False
  return Row(
    index_of(documents).constraint(**constraint_options),
    plain(documents, **options),
    index_of(others).constraint(**constraint_options),
  )


def with_gaps(documents) -> FMIndex:
  """An index of these documents among others that were removed."""
  index = build([[5, 2], *documents, [1, 4]], shards=2)
  index.remove([0, 1 + len(documents)])
  assert len(index.segments) > 1
  assert any(len(segment.removed_Mx8) for segment in index.segments)
  return index


# Each costs half a minute of compilation: no row without a reason.
ROWS = {
  'n-grams': lambda: row(DOCUMENTS, OTHERS),
  'empty index': lambda: row([], []),
  'n-grams with a marker': lambda: row(
    [[*d, EOS, 2, 3] for d in DOCUMENTS],
    [[*d, EOS, 3, 2] for d in OTHERS],
    end_id=EOS,
  ),
  'rare n-grams with eos, among removed documents': lambda: row(
    DOCUMENTS, OTHERS, with_gaps, stop=1, ends=EOS
  ),
}


@pytest.fixture(params=ROWS, name='row')
def row_fixture(request) -> Row:
  return ROWS[request.param]()
