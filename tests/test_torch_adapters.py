# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""A trie in the generate of transformers, against enumeration and our search."""

import sys

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from genret import FMIndex, Trie, beam_search
from genret.constraints import torch_adapters

torch = pytest.importorskip('torch', reason='torch is not installed')
transformers = pytest.importorskip(
  'transformers', reason='transformers is not installed'
)

V, EOS = 12, 1
# Prefixes of each other, one of a single token, one of tokens 0 and V - 1.
SEQUENCES = [(2,), (2, 3), (4, 4, 4), (5, 2), (6,), (2, 3, 0, 11), (4, 0)]
LONGEST = 5  # With eos.
QUERIES = np.array([[3, 4, 1, 0], [7, 2, 9, 1], [8, 1, 0, 0]])
ADAPTERS = {
  'function': lambda trie, beams: {
    'prefix_allowed_tokens_fn': trie.as_prefix_allowed_tokens_fn()
  },
  'processor': lambda trie, beams: {
    'logits_processor': [trie.as_logits_processor(beams)]
  },
}


@pytest.fixture(params=ADAPTERS)
def adapter(request):
  return ADAPTERS[request.param]


@pytest.fixture(scope='module')
def model():
  torch.manual_seed(0)
  made = transformers.T5ForConditionalGeneration(
    transformers.T5Config(
      vocab_size=V,
      d_model=16,
      d_kv=8,
      d_ff=24,
      num_layers=1,
      num_heads=2,
      decoder_start_token_id=0,
      pad_token_id=0,
      eos_token_id=EOS,
    )
  ).eval()
  for parameter in made.parameters():
    # Peaked: most of the mass is on illegal tokens.
    torch.nn.init.normal_(parameter, 0, 0.6)
  return made


def generate(model, **arguments):
  out = model.generate(
    torch.tensor(QUERIES),
    attention_mask=torch.tensor(QUERIES > 0),
    max_new_tokens=LONGEST,
    return_dict_in_generate=True,
    output_scores=True,
    **arguments,
  )
  assert (out.sequences[:, 0] == 0).all()
  return out


def identifiers(out):
  """What stands in front of eos in each row, by query."""
  found = []
  for row in out.sequences[:, 1:].tolist():
    assert EOS in row, row
    found.append(tuple(row[: row.index(EOS)]))
  size = len(found) // len(QUERIES)
  return [found[i : i + size] for i in range(0, len(found), size)]


def log_probs(model, query_NxT, written_NxP):
  """Of the next token at each of P + 1 places, over the whole vocabulary."""
  start = np.zeros((len(written_NxP), 1), np.int64)
  with torch.no_grad():
    logits = model(
      input_ids=torch.tensor(query_NxT),
      attention_mask=torch.tensor(query_NxT > 0),
      decoder_input_ids=torch.tensor(
        np.concatenate([start, written_NxP], axis=1)
      ),
    ).logits
  return logits.log_softmax(-1).numpy()


def enumerate_all(model, sequences):
  """Every identifier with its score, best first, by query."""
  ranking = []
  for query in QUERIES:
    scored = []
    for sequence in sequences:
      tokens = np.array([*sequence, EOS])
      scores = log_probs(model, query[None], tokens[None, :-1])[0]
      scored.append((scores[np.arange(len(tokens)), tokens].sum(), sequence))
    ranking.append(sorted(scored, reverse=True))
  return ranking


def search_with_jax(model, trie, num_beams):
  """genret.beam_search, whose steps call the torch model."""
  count = len(QUERIES) * num_beams
  query_NxT = np.repeat(QUERIES, num_beams, axis=0)

  def run(written_NxL, step):
    scores = log_probs(model, query_NxT, np.asarray(written_NxL, np.int64))
    return scores[:, int(step)]

  def step(token_N, cache):
    written_NxL, number = cache
    # The start token goes where the next step overwrites it.
    place = jnp.maximum(number - 1, 0)
    written_NxL = written_NxL.at[:, place].set(token_N)
    logits_NxV = jax.pure_callback(
      run,
      jax.ShapeDtypeStruct((count, V), np.float32),
      written_NxL,
      number,
    )
    return logits_NxV, (written_NxL, number + 1)

  return beam_search(
    step,
    (jnp.zeros((count, LONGEST), jnp.int32), jnp.zeros((), jnp.int32)),
    batch_size=len(QUERIES),
    num_beams=num_beams,
    max_length=LONGEST,
    constraint=trie,
  )


def test_beams_are_those_of_enumeration_and_of_beam_search(model, adapter):
  trie = Trie.from_sequences(SEQUENCES, V)
  num_beams = len(SEQUENCES)
  out = generate(
    model,
    num_beams=num_beams,
    num_return_sequences=num_beams,
    length_penalty=0.0,
    **adapter(trie, num_beams),
  )
  scores = out.sequences_scores.numpy().reshape(len(QUERIES), -1)
  expected = enumerate_all(model, SEQUENCES)
  ours = search_with_jax(model, trie, num_beams)
  assert np.asarray(ours.legal).all()
  for query, found in enumerate(identifiers(out)):
    assert found == [sequence for _, sequence in expected[query]]
    np.testing.assert_allclose(
      scores[query], [score for score, _ in expected[query]], rtol=1e-5
    )
    assert found == [
      tuple(row[: length - 1])
      for row, length in zip(
        ours.tokens[query].tolist(), ours.lengths[query].tolist(), strict=True
      )
    ]
  np.testing.assert_allclose(scores, ours.scores, rtol=1e-5)


@pytest.mark.parametrize(
  'how',
  [
    {'num_beams': 1},
    {'num_beams': 3, 'num_return_sequences': 3},
    {'num_beams': 9, 'num_return_sequences': 9},  # More than there are.
    {'do_sample': True, 'num_return_sequences': 8},
    {'do_sample': True, 'num_beams': 2, 'num_return_sequences': 2},
  ],
)
def test_every_output_is_an_identifier(model, adapter, how):
  torch.manual_seed(1)
  trie = Trie.from_sequences(SEQUENCES, V)
  out = generate(model, **how, **adapter(trie, how.get('num_beams', 1)))
  for found in identifiers(out):
    assert set(found) <= set(SEQUENCES)


def test_greedy_takes_the_best_allowed_token(model, adapter):
  trie = Trie.from_sequences(SEQUENCES, V)
  out = generate(model, **adapter(trie, 1))
  children = children_of(SEQUENCES)
  for query, (found,) in zip(QUERIES, identifiers(out), strict=True):
    written = ()
    while not written or written[-1] != EOS:
      scores = log_probs(model, query[None], np.array([written], np.int64))
      best = max(children[written], key=lambda token: scores[0, -1, token])
      written = (*written, best)
    assert found == written[:-1]


def test_of_no_identifiers_only_the_end_comes(model, adapter):
  trie = Trie.from_sequences([], V)
  out = generate(model, num_beams=2, **adapter(trie, 2))
  assert identifiers(out) == [[()]] * len(QUERIES)


def children_of(sequences):
  """A dictionary trie: prefix -> the tokens that may follow."""
  children = {}
  for sequence in sequences:
    tokens = (*sequence, EOS)
    for depth, token in enumerate(tokens):
      children.setdefault(tokens[:depth], set()).add(token)
  return children


@hypothesis.settings(max_examples=60)
@hypothesis.given(
  st.lists(st.lists(st.sampled_from([0, 2, 3, 11]), max_size=3), max_size=12),
  st.integers(0, 4),
  st.data(),
)
def test_allowed_tokens_are_those_of_a_dictionary(sequences, width, data):
  trie = Trie.from_sequences(sequences, V)
  token = st.sampled_from([0, EOS, 2, 3, 11, -1, V, 2**40])
  row = st.lists(token, min_size=width, max_size=width)
  rows = data.draw(st.lists(row, max_size=6))
  # Rows that stay inside for longer than chance would let them.
  ended = [(*s, EOS, 0, 0, 0, 0)[:width] for s in sequences]
  rows = [*rows, *ended]
  rows = np.array(rows, np.int64).reshape(len(rows), width)
  row_A, token_A = trie.allowed_tokens(rows)
  children = children_of(sequences)
  expected = [
    (number, token)
    for number, row in enumerate(rows.tolist())
    for token in sorted(children.get(tuple(row), ()))
  ]
  assert list(zip(row_A.tolist(), token_A.tolist(), strict=True)) == expected


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float32'])
@pytest.mark.parametrize('num_skipped', [0, 1, 3])
def test_the_processor_does_what_the_function_does(dtype, num_skipped):
  trie = Trie.from_sequences(SEQUENCES, V)
  generator = torch.Generator().manual_seed(0)
  # More columns than the trie has tokens; rows that are not K to a query; rows
  # that are equal, that ended and that the trie does not know.
  scores = torch.randn((7, V + 3), generator=generator).to(
    getattr(torch, dtype)
  )
  written = [[2, 3], [4, 4], [2, 3], [6, EOS], [EOS, 0], [9, 9], [4, 0]]
  prompt = torch.full((7, num_skipped), 5)
  input_ids = torch.cat([prompt, torch.tensor(written)], dim=1)
  kept = scores.clone()
  ours = trie.as_logits_processor(4, num_skipped=num_skipped)(input_ids, scores)
  function = trie.as_prefix_allowed_tokens_fn(num_skipped=num_skipped)
  theirs = transformers.PrefixConstrainedLogitsProcessor(function, 1)
  assert ours.dtype == scores.dtype
  assert torch.equal(ours, theirs(input_ids, scores))
  assert torch.equal(scores, kept)
  assert [(~row.isneginf()).nonzero()[:, 0].tolist() for row in ours] == [
    [0, EOS],
    [4],
    [0, EOS],
    [EOS],
    [EOS],
    [EOS],
    [EOS],
  ]


def test_the_functions_take_any_constraint_that_lists():
  class OnlyThrees:
    def allowed_tokens(self, prefix_NxP):
      row_A = np.flatnonzero(prefix_NxP.shape[1] < 2 + 0 * prefix_NxP[:, 0])
      return row_A, np.full(len(row_A), 3, np.int32)

  function = torch_adapters.prefix_allowed_tokens_fn(OnlyThrees(), eos_id=2)
  assert function(0, torch.tensor([0, 3])) == [3]
  assert function(5, torch.tensor([0, 3, 3])) == [2]
  processor = torch_adapters.logits_processor(OnlyThrees(), eos_id=2)
  assert isinstance(processor, torch_adapters.LogitsProcessor)
  out = processor(torch.tensor([[0, 3], [0, 3]]), torch.zeros(2, 4))
  assert (~out.isneginf()).nonzero().tolist() == [[0, 3], [1, 3]]


def test_scores_of_too_few_tokens_are_refused():
  trie = Trie.from_sequences(SEQUENCES, V)
  processor = trie.as_logits_processor()
  with pytest.raises(ValueError, match=r'least 7 tokens, .* but got 6; use'):
    processor(torch.zeros((1, 1), dtype=torch.int64), torch.zeros(1, 6))


@pytest.mark.parametrize(
  ('method', 'arguments', 'message'),
  [
    ('as_logits_processor', {'num_beams': 0}, 'num_beams of at least 1 but'),
    ('as_logits_processor', {'num_skipped': -1}, 'num_skipped of at least 0 '),
    (
      'as_prefix_allowed_tokens_fn',
      {'num_skipped': -1},
      'but got -1; pass the',
    ),
  ],
)
def test_numbers_out_of_range_are_refused(method, arguments, message):
  trie = Trie.from_sequences(SEQUENCES, V)
  with pytest.raises(ValueError, match=message):
    getattr(trie, method)(**arguments)


def test_without_torch_there_is_one_sentence(monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  trie = Trie.from_sequences(SEQUENCES, V)
  with pytest.raises(ImportError, match=r'PyTorch for .* installed; install'):
    trie.as_logits_processor(3)


@pytest.mark.parametrize('how', ADAPTERS)
def test_ngrams_of_an_index(model, how):
  documents = [[4, 3, 4, 2], [2, 2, 7], [9, 4, 3, 8]]
  index = FMIndex.build(documents, V)
  out = generate(model, num_beams=4, **ADAPTERS[how](index, 4))
  for row in out.sequences[:, 1:].tolist():
    ended = row.index(EOS) if EOS in row else len(row)
    # eos comes only where a document ends.
    assert index.count(row[:ended])
    assert EOS not in row or not len(index.continuations(row[:ended])[0])


def test_an_index_lists_tokens_after_any_row():
  index = FMIndex.build([[4, 3, 4, 2]], V)
  for prefix in ([[]], [[4, EOS]], [[4, EOS, 0]], [[-1]], [[V]], [[2]]):
    row, token = index.allowed_tokens(np.array(prefix, np.int64).reshape(1, -1))
    assert token.tolist() == ([2, 3, 4] if prefix == [[]] else [])
    assert len(row) == len(token)
