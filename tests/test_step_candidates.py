# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""What a search keeps of every step, against a plain search."""

import hypothesis
import jax
import numpy as np
import pytest
import reference_beam
from hypothesis import strategies as st
from reference_beam import Plain, ending
from table_model import B, L, V, check, logits_of, padded, random_table, run

from genret.constraints.combine import end_at
from genret.constraints.protocol import unconstrained
from genret.constraints.trie import Trie
from genret.decoding.step_candidates import StepCandidates

WAYS = {
  'list': (('list_limit', V),),
  'probe': (('list_limit', 0), ('num_probes', 1)),
}
sequences_of = st.lists(
  st.lists(st.integers(2, V - 1), max_size=L - 1), max_size=25
)


def check_steps(out, table, plain, num_beams, keep, normalize='vocabulary'):
  kept = jax.tree.map(np.asarray, out.candidates)
  assert isinstance(kept, StepCandidates)
  assert kept.tokens.shape == (B, L, keep, L)
  for query in range(B):
    steps = []
    reference_beam.beam_search(
      logits_of(table, query),
      plain,
      num_beams=num_beams,
      max_length=L,
      normalize=normalize,
      steps=steps,
    )
    for step, grown in enumerate(steps):
      expected = grown[:keep]
      count = len(expected)
      legal = kept.legal[query, step]
      assert legal.tolist() == [True] * count + [False] * (keep - count)
      tokens = kept.tokens[query, step]
      found = [tuple(row[: step + 1].tolist()) for row in tokens[:count]]
      assert found == [answer for answer, _ in expected]
      assert not tokens[:, step + 1 :].any()
      assert not tokens[count:].any()
      scores = kept.scores[query, step]
      np.testing.assert_allclose(
        scores[:count], [s for _, s in expected], rtol=2e-6, atol=2e-5
      )
      assert (scores[count:] == -np.inf).all()


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize(('num_beams', 'keep'), [(3, 1), (3, 6), (1, 40)])
@hypothesis.settings(max_examples=8)
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_are_the_best_of_every_step(way, num_beams, keep, sequences, seed):
  trie, table = padded(Trie.from_sequences(sequences, V)), random_table(seed)
  options = (*WAYS[way], ('keep_candidates', keep))
  out = run(table, trie, num_beams=num_beams, options=options)
  plain = Plain(reference_beam.legal_in(sequences))
  check_steps(out, table, plain, num_beams, keep)
  check(out, table, plain, num_beams)


@pytest.mark.parametrize('way', WAYS)
@hypothesis.settings(max_examples=8)
@hypothesis.given(sequences=sequences_of, seed=st.integers(0, 1000))
def test_of_equals_the_earlier_beam_then_the_lower_token(way, sequences, seed):
  rng = np.random.default_rng(seed)
  table = rng.integers(-1, 2, size=random_table(0).shape).astype(np.float32)
  options = (*WAYS[way], ('keep_candidates', 5), ('normalize', 'none'))
  trie = padded(Trie.from_sequences(sequences, V))
  out = run(table, trie, num_beams=3, options=options)
  plain = Plain(reference_beam.legal_in(sequences))
  check_steps(out, table, plain, 3, 5, normalize='none')


@pytest.mark.parametrize('end', [1, 4, -1])
def test_keep_eos_among_them(end):
  table = random_table(3)
  options = (*WAYS['probe'], ('keep_candidates', 12))
  constraint = end_at(unconstrained(V), end)
  out = run(table, constraint, num_beams=6, options=options)
  plain = ending(Plain(lambda _: set(range(V)), lambda _: True), end)
  check_steps(out, table, plain, 6, 12)


def test_nothing_is_kept_unless_asked_for():
  trie = padded(Trie.from_sequences([[2]], V))
  assert run(random_table(0), trie, num_beams=3).candidates is None
