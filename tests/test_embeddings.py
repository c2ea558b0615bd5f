# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Latent vectors against a dense computation, and a model that starts as them."""

import collections
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_collection
from hypothesis import given, settings
from hypothesis import strategies as st

from genret import embeddings, vocabulary
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models.t5 import T5Config, Transformer

token_lists = st.lists(st.lists(st.integers(0, 11), max_size=9), min_size=1)


def plain_tf_idf(documents, vocab_size):
  """Rows of log-scaled counts times smoothed idf, of unit length or 0."""
  holds = collections.Counter(token for d in documents for token in set(d))
  idf = [math.log((1 + len(documents)) / (1 + holds[t])) + 1 for t in range(99)]
  rows = np.zeros((len(documents), vocab_size))
  for row, document in zip(rows, documents, strict=True):
    for token, count in collections.Counter(document).items():
      row[token] = (1 + math.log(count)) * idf[token]
    row /= np.linalg.norm(row) or 1.0
  return rows, np.array([idf[t] if holds[t] else 0 for t in range(vocab_size)])


@settings(max_examples=25)
@given(token_lists, st.integers(1, 8))
def test_latent_space_is_that_of_a_dense_svd(documents, dimensions):
  space = embeddings.latent_semantic_analysis(
    documents, 12, dimensions=dimensions
  )
  rows, idf = plain_tf_idf(documents, 12)
  np.testing.assert_allclose(space.idf_V, idf, rtol=1e-6)
  assert space.token_VxE.shape == (12, dimensions)
  assert space.document_DxE.shape == (len(documents), dimensions)
  assert {array.dtype for array in space} == {np.dtype(np.float32)}
  assert not space.token_VxE[idf == 0].any()
  rank = min(dimensions, len(documents) - 1, 11)
  _, values, right = np.linalg.svd(rows, full_matrices=False)
  if (
    rank
    and values[rank - 1] - (values[rank:] if rank < len(values) else [0])[0]
    < 1e-3
  ):
    return  # the subspace itself is not determined
  projected = rows @ right[:rank].T
  norms = np.linalg.norm(projected, axis=1, keepdims=True)
  unit = np.where(norms > 1e-3, projected / np.maximum(norms, 1e-9), np.nan)
  ours = space.document_DxE.astype(np.float64)
  defined = (norms > 1e-3) @ (norms > 1e-3).T
  np.testing.assert_allclose(
    (ours @ ours.T)[defined], (unit @ unit.T)[defined], atol=2e-3
  )
  # A text folds in as the sum of its token vectors.
  once = np.array([[token in d for token in range(12)] for d in documents])
  for i, document in enumerate(documents):
    if len(document) == len(set(document)) and norms[i] > 1e-3:
      folded = once[i].astype(float) @ space.token_VxE
      cosine = folded @ ours[i] / np.linalg.norm(folded)
      assert cosine > 1 - 1e-3


def test_the_seed_decides():
  rng = np.random.default_rng(0)
  documents = rng.integers(0, 50, (40, 6)).tolist()
  first, second = (
    embeddings.latent_semantic_analysis(documents, 50, dimensions=5)
    for _ in range(2)
  )
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(a, b)


def test_what_cannot_be_analysed():
  with pytest.raises(ValueError, match='Expected documents to analyse, got no'):
    embeddings.latent_semantic_analysis([], 5)
  for tokens in ([1, 5], [-1, 2]):
    with pytest.raises(ValueError, match=r'in \[0, 5\), got -?1 to .; use the'):
      embeddings.latent_semantic_analysis([[2], tokens], 5)
  # Nothing to tell documents apart by is no error: all vectors are zero.
  for documents in ([[]], [[], []], [[3]], [[3], []], [[3], [3]]):
    space = embeddings.latent_semantic_analysis(documents, 5, dimensions=4)
    assert np.isfinite(space.document_DxE).all()
    assert space.document_DxE.shape == (len(documents), 4)


def test_unit_rows():
  rows = embeddings.unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]))
  np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)
  assert rows.dtype == np.float32


def unit(vector):
  norm = np.linalg.norm(vector)
  return vector / norm if norm > 1e-6 else np.zeros_like(vector)


def plain_initial(space, table):
  """The same vectors, a token and a document at a time."""
  pieces, wide = space.token_VxE.shape[0], space.token_VxE.shape[1] + 1
  end = np.array([0.0] * (wide - 1) + [1.0])
  inputs, outputs = np.zeros((2, table.vocab_size, wide))
  for row, length, vector in zip(
    table.token_rows_DxL, table.lengths_D, space.document_DxE, strict=True
  ):
    for place in range(length):
      outputs[row[place], :-1] += vector
      if place == length - 1:
        inputs[row[place]] += end
      else:
        inputs[row[place], :-1] += vector
  for token in range(pieces):
    if np.any(space.token_VxE[token]):
      inputs[token] = [*space.token_VxE[token], 0]
  outputs = np.array([unit(row) for row in outputs])
  outputs[table.eos_id] = end
  return np.array([unit(row) for row in inputs]), outputs


@settings(max_examples=25)
@given(
  st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=3), max_size=6),
  st.integers(0, 9),
)
def test_initial_embeddings_are_means_over_documents(names, seed):
  lengths = np.array([len(name) for name in names], np.int32)
  rows = np.zeros((len(names), 3), np.int32)
  for row, name in zip(rows, names, strict=True):
    row[: len(name)] = name
  table = DocidTable([f'd{i}' for i in range(len(names))], rows, lengths, 10)
  rng = np.random.default_rng(seed)
  space = embeddings.LatentSpace(
    token_VxE=rng.normal(size=(6, 4)).astype(np.float32)
    * (rng.random((6, 1)) < 0.6),
    idf_V=rng.random(6).astype(np.float32),
    document_DxE=embeddings.unit_rows(rng.normal(size=(len(names), 4))),
  )
  initial = embeddings.initial_embeddings(space, table)
  expected_input, expected_output = plain_initial(space, table)
  np.testing.assert_allclose(initial.input_VxE, expected_input, atol=1e-5)
  np.testing.assert_allclose(initial.output_VxE, expected_output, atol=1e-5)
  np.testing.assert_array_equal(initial.idf_V, [*space.idf_V, 0, 0, 0, 0])
  assert not initial.input_VxE[0].any() or space.token_VxE[0].any()


def small_table(tokens=(3, 4)):
  ids = [f'd{i}' for i in range(len(tokens))]
  ones = np.ones(len(tokens), np.int32)
  return DocidTable(ids, np.array(tokens, np.int32)[:, None], ones, 6)


def small_space(documents=2, tokens=3):
  rng = np.random.default_rng(0)
  return embeddings.LatentSpace(
    *(rng.random(shape).astype(np.float32) for shape in ((tokens, 4), tokens)),
    embeddings.unit_rows(rng.random((documents, 4))),
  )


@pytest.mark.parametrize(('documents', 'tokens'), [(3, 3), (2, 7)])
def test_vectors_of_another_corpus_are_refused(documents, tokens):
  with pytest.raises(
    ValueError,
    match=f'of 2 documents and at most 6 tokens, got {documents} and {tokens};',
  ):
    embeddings.initial_embeddings(small_space(documents, tokens), small_table())


def test_vectors_reload_equal_and_only_beside_their_identifiers(tmp_path):
  table = small_table()
  initial = embeddings.initial_embeddings(small_space(), table)
  table.save(tmp_path)
  embeddings.save(tmp_path, initial, table.hash)
  loaded = embeddings.load(tmp_path)
  for a, b in zip(initial, loaded, strict=True):
    np.testing.assert_array_equal(a, b)
  small_table((4, 3)).save(tmp_path)
  with pytest.raises(
    ValueError, match='found those of others; run `genret ind'
  ):
    embeddings.load(tmp_path)


def test_initializers(tmp_path):
  table = small_table()
  initial = embeddings.initial_embeddings(small_space(), table)
  table.save(tmp_path)
  embeddings.save(tmp_path, initial, table.hash)
  key, folder = jax.random.key(0), str(tmp_path)
  read = embeddings.LatentInit(folder, 'input')(key, (6, 5), jnp.bfloat16)
  assert read.dtype == jnp.bfloat16
  read = np.asarray(embeddings.LatentInit(folder, 'input')(key, (6, 5)))
  # T5 draws rows of a root mean square of 1.
  np.testing.assert_allclose(read, initial.input_VxE * 5**0.5, rtol=1e-6)
  np.testing.assert_allclose(np.mean(read[4] ** 2), 1, rtol=1e-6)
  read = embeddings.LatentInit(folder, 'output')(key, (5, 6))
  np.testing.assert_array_equal(np.asarray(read), initial.output_VxE.T)
  with pytest.raises(ValueError, match="'input' or 'output', got 'both'"):
    embeddings.LatentInit(folder, 'both')(key, (6, 5))
  for side, shape in (('input', (6, 8)), ('output', (6, 5))):
    with pytest.raises(
      ValueError,
      match=rf'Expected {side} embeddings of shape \({shape[0]}, {shape[1]}\),'
      r' .* have .*; run `genret index` again with --dimensions equal to the m',
    ):
      embeddings.LatentInit(folder, side)(key, shape)


def words_of(table, documents, idf):
  """identifier_words, a token and a word at a time."""
  weight = np.zeros((table.vocab_size, table.vocab_size))
  for row, length, words in zip(
    table.token_rows_DxL, table.lengths_D, documents, strict=True
  ):
    for token in row[:length]:
      for word in words:
        weight[token, word] += idf[word]
  sums = weight.sum(1, keepdims=True)
  return weight / np.where(sums > 0, sums, 1)


def test_identifier_words():
  documents = [[2, 3, 3], [], [4, 2], [0]]
  rows = np.array([[6, 7], [6, 6], [7, 0], [8, 0]], np.int32)
  table = DocidTable(list('abcd'), rows, np.array([2, 2, 1, 1], np.int32), 10)
  idf = np.array([0, 0, 1.0, 2.0, 0.5, 0, 0, 0, 0, 0], np.float32)
  found = embeddings.identifier_words(table, documents, idf)
  assert found.shape == (10, 10)
  assert found.dtype == np.float32
  expected = words_of(table, documents, idf)
  np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
  assert expected[6].tolist() == [0, 0, 0.2, 0.8, 0, 0, 0, 0, 0, 0]
  assert not expected[8].any()  # its word weighs nothing


# A model that starts from the latent vectors is a latent semantic index.

DIMENSIONS = 16


@pytest.fixture(scope='module')
def latent_model(tmp_path_factory):
  """Atomic identifiers of the tiny collection and a fresh model over them."""
  folder = tmp_path_factory.mktemp('latent')
  collection = tiny_collection.write(folder / 'corpus')
  docids = folder / 'docids'
  table = build.build(
    collection, docids, vocabulary_size=120, dimensions=DIMENSIONS
  )
  config = T5Config(
    vocab_size=table.vocab_size,
    emb_dim=DIMENSIONS,
    num_heads=2,
    head_dim=DIMENSIONS // 2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    mlp_dim=24,
    embedding_init=embeddings.LatentInit(str(docids), 'input'),
    logits_init=embeddings.LatentInit(str(docids), 'output'),
    near_identity=True,
  )
  module = Transformer(config)
  tokens = jnp.ones((1, 1), jnp.int32)
  init = jax.jit(functools.partial(module.init, enable_dropout=False))
  params = init(jax.random.key(0), tokens, tokens, tokens)['params']
  pieces = vocabulary.load_vocabulary(docids)
  return module, params, table, pieces, docids


@functools.partial(jax.jit, static_argnums=0)
def forward(module, params, query_BxT, target_BxL):
  inputs_BxL = jnp.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1]
  return module.apply(
    {'params': params}, query_BxT, inputs_BxL, target_BxL, enable_dropout=False
  )


@pytest.fixture(scope='module')
def answers(latent_model):
  """Queries, and the logits before and after the name of document i % D."""
  module, params, table, pieces, _ = latent_model
  queries = [f'which {d.text}' for d in tiny_collection.documents()]
  queries += ['ship rose', 'name3', 'the song of a storm and a bee']
  query_BxT = vocabulary.encode(pieces, queries, max_length=24)
  name_B = table.token_rows_DxL[np.arange(len(queries)) % len(table), 0]
  target_BxL = np.stack([name_B, np.full_like(name_B, table.eos_id)], axis=1)
  logits = np.asarray(forward(module, params, query_BxT, target_BxL))
  return query_BxT, logits[:, 0], logits[:, 1]


def test_a_fresh_model_ranks_by_the_cosine_of_mean_word_vectors(
  latent_model, answers
):
  _, _, table, pieces, _ = latent_model
  query_BxT, logits_BxV, _ = answers
  text = [
    pieces.encode(f'{d.title}\n{d.text}') for d in tiny_collection.documents()
  ]
  space = embeddings.latent_semantic_analysis(
    text, pieces.get_piece_size(), dimensions=DIMENSIONS - 1
  )
  document = space.document_DxE.astype(np.float64)
  for row, logits_V in zip(query_BxT, logits_BxV, strict=True):
    vectors = [unit(space.token_VxE[token].astype(float)) for token in row]
    cosine = document @ unit(np.mean([v for v in vectors if v.any()], axis=0))
    # The decoder divides by the root mean square: its state is as long as the
    # root of the width.
    found = logits_V[table.token_rows_DxL[:, 0]]
    np.testing.assert_allclose(found, cosine * DIMENSIONS**0.5, atol=1e-4)
    assert np.argmax(found) == np.argmax(cosine)
    # No text, nor the end, is likelier than the best document.
    assert np.argmax(logits_V) == table.token_rows_DxL[np.argmax(cosine), 0]


def test_a_fresh_model_ends_an_atomic_identifier(latent_model, answers):
  table = latent_model[2]
  _, _, after_BxV = answers
  others_BxW = np.delete(after_BxV, table.eos_id, axis=1)
  assert (after_BxV[:, table.eos_id] > others_BxW.max(1) + 1).all()
