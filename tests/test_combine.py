# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Combined constraints, with something else for each query, as beams.

Their contract is tested row by row in test_constraints.py.
"""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_beam
from hypothesis import strategies as st
from reference_beam import EOS, Plain, ending, limited, prefixed
from table_model import L, V, check, padded, random_table, run

from genret.constraints.combine import (
  end_at,
  limit_length,
  start_after,
  with_prefix,
)
from genret.constraints.fm_index import FMIndex
from genret.constraints.protocol import Constraint, unconstrained
from genret.constraints.side_by_side import side_by_side
from genret.constraints.trie import Trie
from genret.decoding.beam import beam_search

FAST = hypothesis.settings(max_examples=8)
WAYS = {
  'list': (('list_limit', V),),
  'probe': (('list_limit', 0), ('num_probes', 1)),
}
EVERYTHING = Plain(lambda _: set(range(V)), lambda _: True)
sequences_of = st.lists(
  st.lists(st.integers(2, V - 1), max_size=L - 1), min_size=3, max_size=25
)


def trie_of(sequences) -> tuple[Constraint, Plain]:
  trie = padded(Trie.from_sequences(sequences, V)).constraint()
  return trie, Plain(reference_beam.legal_in(sequences))


def prefixes_of(sequences) -> list[list[int]]:
  """For each query one: of a sequence, of none, and of none at all."""
  longest = max(sequences, key=len)
  return [longest[:2], [], [V - 1, *longest[:1]]]


def rows(prefixes, width=L):
  return np.array([[*p, *[-1] * (width - len(p))] for p in prefixes])


@pytest.mark.parametrize('way', WAYS)
@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_each_query_has_its_prefix(way, sequences, seed):
  trie, plain = trie_of(sequences)
  table, prefixes = random_table(seed), prefixes_of(sequences)
  constraint = with_prefix(trie, rows(prefixes))
  out = run(table, constraint, num_beams=4, options=WAYS[way])
  check(out, table, [prefixed(plain, p) for p in prefixes], 4)


def test_an_empty_prefix_is_none():
  table = random_table(0)
  expected = run(table, TRIE, num_beams=3)
  found = run(table, with_prefix(TRIE, []), num_beams=3)
  np.testing.assert_array_equal(found.tokens, expected.tokens)


def test_a_prefix_that_is_not_allowed_has_no_answers():
  trie, plain = trie_of([[2, 3], [4]])
  table, prefixes = random_table(0), [[2, 4], [4], [2, 3, 5]]
  constraint = with_prefix(trie, rows(prefixes))
  out = run(table, constraint, num_beams=4, options=WAYS['list'])
  check(out, table, [prefixed(plain, p) for p in prefixes], 4)
  assert np.asarray(out.legal).sum(axis=1).tolist() == [0, 1, 0]


def following(plain: Plain, tokens) -> Plain:
  """What `start_after` promises."""
  tokens = tuple(tokens)
  allowed = all(t in plain.legal(tokens[:i]) for i, t in enumerate(tokens))
  return Plain(
    lambda p: plain.legal((*tokens, *p)) if allowed else set(),
    lambda p: allowed and plain.accepts((*tokens, *p)),
    lambda p: allowed and plain.finishes((*tokens, *p)),
    lambda p: plain.eos((*tokens, *p)),
  )


@pytest.mark.parametrize('way', WAYS)
@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_each_query_starts_after_its_prefix(way, sequences, seed):
  trie, plain = trie_of(sequences)
  table, prefixes = random_table(seed), prefixes_of(sequences)
  out = run(
    table,
    start_after(trie, rows(prefixes)),
    num_beams=4,
    options=WAYS[way],
  )
  check(out, table, [following(plain, p) for p in prefixes], 4)


def test_start_after_one_prefix_is_a_trie_of_what_follows():
  sequences = [[2, 3], [2, 3, 4], [2, 5], [6], [2, 3, 4, 4]]
  table = random_table(7)
  out = run(table, start_after(trie_of(sequences)[0], [2, 3]), num_beams=6)
  rest, _ = trie_of([s[2:] for s in sequences if s[:2] == [2, 3]])
  expected = run(table, rest, num_beams=6)
  assert np.asarray(out.legal).sum(axis=1).tolist() == [3, 3, 3]
  np.testing.assert_array_equal(out.tokens, expected.tokens)
  np.testing.assert_array_equal(out.scores, expected.scores)


def test_to_start_after_nothing_changes_nothing():
  table = random_table(8)
  found = run(table, start_after(TRIE, []), num_beams=3)
  expected = run(table, TRIE, num_beams=3)
  np.testing.assert_array_equal(found.tokens, expected.tokens)
  np.testing.assert_array_equal(found.scores, expected.scores)


def test_after_a_prefix_that_is_not_allowed_nothing_is_an_answer():
  """Whatever its tokens: what is over the vocabulary, or ends answers, too;
  [4, 2] is wrong at its second token, and 2 may follow the start again."""
  trie, plain = trie_of([[2, 3], [4]])
  table, prefixes = random_table(0), [[4, 2], [V + 3], [EOS]]
  out = run(table, start_after(trie, rows(prefixes)), num_beams=4)
  check(out, table, [following(plain, p) for p in prefixes], 4)
  assert not np.asarray(out.legal).any()
  # Nor is what a constraint accepts anywhere.
  constraint = start_after(unconstrained(V), [V])
  state = constraint.start(constraint.arrays, 2)
  assert constraint.slots(constraint.arrays, state).tolist() == [0, 0]
  assert constraint.total(constraint.arrays, state).tolist() == [0, 0]
  assert not constraint.accepts(constraint.arrays, state).any()
  tokens = jnp.tile(jnp.arange(V), (2, 1))
  assert not constraint.probe(constraint.arrays, state, tokens)[0].any()
  assert not constraint.children(constraint.arrays, state, 0, V)[2].any()


def test_lengths_are_counted_where_they_are_limited():
  """Inside of start_after with the prefix, outside of it without."""
  table, two = random_table(9), {'min_length': 2, 'max_length': 3}
  trie, plain = trie_of([[2], [2, 3], [2, 3, 4], [2, 3, 4, 5], [2, 6, 7]])
  inside = start_after(limit_length(trie, **two), [2])
  outside = limit_length(start_after(trie, [2]), **two)
  assert outside.eos_id == inside.eos_id == EOS
  found, wanted = run(table, inside, num_beams=12), limited(plain, 2, 3)
  check(found, table, following(wanted, [2]), 12)
  found = run(table, outside, num_beams=12)
  check(found, table, limited(following(plain, [2]), 2, 3), 12)


def test_start_after_and_with_prefix_nest():
  trie, plain = trie_of([[2, 3, 4], [2, 3, 5, 6], [2, 4, 5], [3, 4]])
  table = random_table(10)
  for constraint, expected in (
    (
      with_prefix(start_after(trie, [2]), [3]),
      prefixed(following(plain, [2]), [3]),
    ),
    (
      start_after(with_prefix(trie, [2, 3]), [2]),
      following(prefixed(plain, [2, 3]), [2]),
    ),
  ):
    check(run(table, constraint, num_beams=4), table, expected, 4)


@pytest.mark.parametrize('way', WAYS)
@FAST
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_each_query_has_its_lengths(way, sequences, seed):
  trie, plain = trie_of(sequences)
  table, least, most = random_table(seed), [0, 2, 3], [2, 4, 3]
  constraint = limit_length(
    trie, min_length=np.array(least), max_length=jnp.array(most)
  )
  out = run(table, constraint, num_beams=4, options=WAYS[way])
  plains = [limited(plain, *bounds) for bounds in zip(least, most, strict=True)]
  check(out, table, plains, 4)


def test_at_the_greatest_length_what_is_accepted_is_an_answer():
  table, most = random_table(1), [1, 2, 4]
  constraint = limit_length(unconstrained(V), max_length=np.array(most))
  out = run(table, constraint, num_beams=12)
  check(out, table, [limited(EVERYTHING, 0, m) for m in most], 12)
  assert np.asarray(out.lengths).max(axis=1).tolist() == most


def test_least_length_of_what_has_no_eos_of_its_own():
  table = random_table(2)
  constraint = limit_length(unconstrained(V), min_length=3, eos_id=EOS)
  out = run(table, constraint, num_beams=12)
  check(out, table, limited(EVERYTHING, 3, None), 12)


@pytest.mark.parametrize('way', WAYS)
def test_each_query_ends_with_its_token(way):
  table, ends = random_table(3), [EOS, 4, -1]
  out = run(
    table, end_at(unconstrained(V), ends), num_beams=12, options=WAYS[way]
  )
  plains = [ending(EVERYTHING, end) for end in ends]
  check(out, table, plains, 12)
  same = run(table, end_at(unconstrained(V), 4), num_beams=12)
  check(same, table, plains[1], 12)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('marks', [False, True])
@FAST
@hypothesis.given(
  first=sequences_of, second=sequences_of, seed=st.integers(0, 1000)
)
def test_each_query_has_its_constraint(way, marks, first, second, seed):
  """With marks, the second trie ends answers with 3, and the third query with
  nothing."""
  (a, plain_a), (b, plain_b) = trie_of(first), trie_of(second)
  third, plain_third = unconstrained(V), EVERYTHING
  if marks:
    b = end_at(b, 3)
    plain_b = ending(plain_b, 3)
    third = end_at(third, -1)
    plain_third = ending(EVERYTHING, -1)
  table = random_table(seed)
  constraint = side_by_side([third, a, b], np.array([1, 2, 0]))
  out = run(table, constraint, num_beams=4, options=WAYS[way])
  check(out, table, [plain_a, plain_b, plain_third], 4)


def test_constraints_that_end_with_different_tokens():
  """The third names none, so the search's eos ends it."""
  first, second = [[2], [2, 3], [4, 5]], [[2], [3, 2], [1, 4]]
  table = random_table(5)
  other = padded(Trie.from_sequences(second, V, eos_id=8))
  constraint = side_by_side(
    [other, trie_of(first)[0], unconstrained(V)], [1, 0, 2]
  )
  out = run(table, constraint, num_beams=4, options=WAYS['list'])
  ended = {(*sequence, 8) for sequence in second}
  plain_other = Plain(
    lambda p: {s[len(p)] for s in ended if s[: len(p)] == p and s != p},
    eos=lambda _: 8,
  )
  check(out, table, [trie_of(first)[1], plain_other, EVERYTHING], 4)


def titles_and_texts() -> tuple[list[list[int]], FMIndex, Plain]:
  """Documents in which a title stands between 2 and 3, before the text."""
  rng = np.random.default_rng(0)
  documents = [
    [2, *rng.integers(4, V, 1 + i % 3).tolist(), 3, *rng.integers(4, V, 6)]
    for i in range(12)
  ]
  ngrams = {
    tuple(map(int, document[i:j]))
    for document in documents
    for i in range(len(document))
    for j in range(i + 1, len(document) + 1)
  }
  plain = Plain(
    lambda prefix: {t for t in range(V) if (*prefix, t) in ngrams},
    lambda _: True,
  )
  return documents, FMIndex.build(documents, V), plain


@pytest.mark.parametrize('way', WAYS)
def test_titles_are_constrained_from_their_mark_on(way):
  """As `decoding.ngram_keys` decodes them: they are written without the mark,
  and 3 ends them; beams that cover them all find them all."""
  documents, index, plain = titles_and_texts()
  table = random_table(11)
  constraint = start_after(index.constraint(end_id=3), [2])
  options = (*WAYS[way], ('eos_id', 3))
  out = run(table, constraint, num_beams=16, options=options)
  check(out, table, following(ending(plain, 3), [2]), 16)
  titles = {tuple(d[1 : d.index(3) + 1]) for d in documents}
  for query in range(3):
    found = [
      tuple(tokens[:length].tolist())
      for tokens, length in zip(
        np.asarray(out.tokens[query]), out.lengths[query], strict=True
      )
    ]
    assert set(found[: len(titles)]) == titles
    assert int(np.asarray(out.legal[query]).sum()) == len(titles)


def test_each_query_starts_where_it_likes_in_an_index():
  """After a mark, in the midst of a text, or after what does not occur."""
  documents, index, plain = titles_and_texts()
  prefixes = [[2], documents[3][-4:-2], [3, 2]]
  constraint = limit_length(
    start_after(end_at(index.constraint(), [3, -1, 3]), rows(prefixes)),
    max_length=np.array([4, 2, 4]),
  )
  table = random_table(12)
  out = run(table, constraint, num_beams=5)
  plains = [
    limited(following(ending(plain, 3), prefixes[0]), 0, 4),
    limited(following(ending(plain, -1), prefixes[1]), 0, 2),
    limited(following(ending(plain, 3), prefixes[2]), 0, 4),
  ]
  check(out, table, plains, 5)
  legal = np.asarray(out.legal)
  assert legal[0].all()
  assert legal[1].any()
  assert not legal[2].any()


@pytest.mark.parametrize('way', WAYS)
def test_titles_and_ngrams_of_one_index(way):
  """As SEAL decodes them."""
  _, index, plain = titles_and_texts()
  constraint = limit_length(
    with_prefix(
      end_at(index.constraint(), [3, -1, 3]), [[2, -1], [-1, -1], [2, 4]]
    ),
    max_length=np.array([5, 3, 4]),
  )
  table = random_table(6)
  out = run(table, constraint, num_beams=5, options=WAYS[way])
  plains = [
    limited(prefixed(ending(plain, 3), [2]), 0, 5),
    limited(ending(plain, -1), 0, 3),
    limited(prefixed(ending(plain, 3), [2, 4]), 0, 4),
  ]
  check(out, table, plains, 5)
  assert np.asarray(out.legal[:2]).all()


def test_all_at_once():
  """Titles that end at a mark after a prefix, n-grams of a fixed length, and
  identifiers, as a search of an index would have them."""
  sequences = [[2, 3], [2, 3, 4], [5, 6, 7, 8], [2, 8]]
  trie, plain = trie_of(sequences)
  table = random_table(4)
  titles = with_prefix(end_at(unconstrained(V), [8, -1, -1]), [2, 3])
  ngrams = limit_length(unconstrained(V), max_length=np.array([5, 3, 5]))
  constraint = limit_length(
    side_by_side([titles, end_at(ngrams, -1), trie], [0, 1, 2]),
    min_length=[4, 0, 3],
    eos_id=EOS,
  )
  out = run(table, constraint, num_beams=6, options=WAYS['probe'])
  plains = [
    limited(prefixed(ending(EVERYTHING, 8), [2, 3]), 4, None),
    limited(ending(EVERYTHING, -1), 0, 3),
    limited(plain, 3, None),
  ]
  check(out, table, plains, 6)
  assert {tuple(t[:2].tolist()) for t in np.asarray(out.tokens[0])} == {(2, 3)}
  assert (np.asarray(out.lengths[1]) == 3).all()


def indifferent(token_N, cache):
  return jnp.zeros((len(token_N), V)), cache


def test_one_trace_for_contents_of_one_shape():
  traces = []

  @jax.jit
  def search(trie, before, prefix, least, which):
    traces.append(1)
    after = start_after(trie, before)
    constraint = side_by_side(
      [limit_length(with_prefix(after, prefix), min_length=least), trie], which
    )
    return beam_search(
      indifferent,
      {},
      batch_size=2,
      num_beams=2,
      max_length=4,
      constraint=constraint,
    )

  found = [
    search(
      padded(Trie.from_sequences([[t], [t, t], [8, 7, t]], V)),
      jnp.array([[8], [8]]),
      jnp.array([7]),
      jnp.array(least),
      jnp.array(which),
    )
    .tokens[:, 0]
    .tolist()
    for t, least, which in ((2, 1, [0, 1]), (3, 4, [1, 0]))
  ]
  assert len(traces) == 1
  assert found == [[[7, 2, 1, 0], [2, 1, 0, 0]], [[3, 1, 0, 0], [0, 0, 0, 0]]]


TRIE = Trie.from_sequences([[2]], V)


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: with_prefix(TRIE, 2), r'shape \[P\] or .* int32 of shape \(\); '),
    (lambda: with_prefix(TRIE, [0.5]), r'of integers .* got float32 of shape'),
    (lambda: with_prefix(TRIE, [2, -1, 3]), r'got a token behind a -1; move'),
    (lambda: with_prefix(TRIE, [[2], [2, 3]]), r'rows of different lengths; f'),
    (lambda: with_prefix(TRIE, [-2]), r'a prefix of at least -1 but got -2; p'),
    (lambda: start_after(TRIE, [[2], [2, 3]]), r'rows of different lengths; f'),
    (lambda: start_after(TRIE, [-1, 3]), r'got a token behind a -1; move'),
    (lambda: start_after(TRIE, [-2]), r'a prefix of at least -1 but got -2; p'),
    (
      lambda: start_after(end_at(TRIE, [1, 2]), np.zeros((3, 1), int)),
      r'as many queries each but got 2 and 3; ',
    ),
    (lambda: limit_length(TRIE, min_length=-5), r'at least 0 but got -5; pass'),
    (lambda: end_at(TRIE, [[1]]), r'eos_id to be .* shape \(1, 1\); give'),
    (
      lambda: limit_length(TRIE, min_length=[0.5]),
      r'min_length to be an integer .* got float32 ',
    ),
    (
      lambda: limit_length(TRIE, min_length=[1, 3], max_length=2),
      r'min_length=\[1, 3\] and max_length=2; raise max_length',
    ),
    (
      lambda: limit_length(TRIE, max_length=0),
      r'of at least 1 .* max_length=0; raise',
    ),
    (
      lambda: limit_length(unconstrained(V), min_length=2),
      r'got eos_id=None, and .* is None; pass eos_id',
    ),
    (
      lambda: limit_length(TRIE, min_length=2, eos_id=3),
      r"got eos_id=3, and the constraint's is 1; pass",
    ),
    (lambda: side_by_side([TRIE], [[0]]), r'shape \[B\] but got .* \(1, 1\)'),
    (lambda: side_by_side([TRIE], [0, 1, 2]), r'below 1, .* got \[1, 2\]; '),
    (lambda: side_by_side([], [0]), r'below 0, the number of constraints'),
    (
      lambda: limit_length(end_at(TRIE, [1, 2]), max_length=[2, 3, 4]),
      r'as many queries each but got 2 and 3; ',
    ),
    (
      lambda: run(random_table(0), end_at(TRIE, [1, 2]), num_beams=2),
      r'Expected a constraint for 3 queries but got one for 2; ',
    ),
  ],
)
def test_errors_name_what_came(make, message):
  with pytest.raises(ValueError, match=message):
    make()
