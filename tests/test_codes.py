# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Codes of documents: quantisers against plain ones, and the rules of equals."""

import collections
import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest
import threadpoolctl
import tiny_collection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genret import vocabulary
from genret.corpus import Document
from genret.docids import (
  codes,
  growth,
  product,
  quantise,
  random_codes,
  residual,
  rq_vae,
)

FIRST = 100


@pytest.fixture(autouse=True, scope='module')
def one_thread():
  """The machine may be shared, and k-means waits for its slowest thread."""
  with threadpoolctl.threadpool_limits(1):
    yield


def documents(count):
  return [Document(f'd{i}') for i in range(count)]


def draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rows(table):
  return [tuple(row) for row in table.token_rows_DxL.tolist()]


few_codes = hnp.arrays(
  np.int64,
  st.tuples(st.integers(0, 12), st.integers(0, 3)),
  elements=st.integers(0, 2),
)


# --- Equal codes.


@given(few_codes)
def test_equals_are_numbered_in_order(code_DxL):
  seen, expected = collections.Counter(), []
  for row in map(tuple, code_DxL):
    expected.append(seen[row])
    seen[row] += 1
  found = codes.numbers_of_equals(code_DxL)
  assert found.tolist() == expected
  group = codes.groups_of_equals(code_DxL)
  for (i, a), (j, b) in itertools.product(enumerate(code_DxL), repeat=2):
    assert (group[i] == group[j]) == (a == b).all()


@given(few_codes)
def test_a_token_tells_equals_apart(code_DxL):
  count, length = code_DxL.shape
  table = codes.code_table(
    documents(count), code_DxL, [3] * length, first_token=FIRST
  )
  assert table.collision_rate == 0
  assert len(set(rows(table))) == count
  numbers = codes.numbers_of_equals(code_DxL)
  for row, code, number in zip(rows(table), code_DxL, numbers, strict=True):
    tokens = [FIRST + 3 * i + c for i, c in enumerate(code)]
    assert row == (*tokens, FIRST + 3 * length + number)
  assert (table.lengths_D == length + 1).all()
  sizes = collections.Counter(map(tuple, code_DxL))
  equal = sum(size for size in sizes.values() if size > 1)
  assert table.meta[growth.COLLIDED] == equal / max(count, 1)


@given(few_codes)
def test_equals_may_share(code_DxL):
  if not code_DxL.shape[1]:
    return
  count, length = code_DxL.shape
  table = codes.code_table(
    documents(count),
    code_DxL,
    [3] * length,
    first_token=FIRST,
    collisions='share',
  )
  sizes = collections.Counter(map(tuple, code_DxL))
  shared = sum(size for size in sizes.values() if size > 1)
  assert table.collision_rate == shared / max(count, 1)
  found = table.documents(table.token_rows_DxL, table.lengths_D)
  for row, hits in zip(map(tuple, code_DxL), found, strict=True):
    assert hits.tolist() == [
      i for i, other in enumerate(map(tuple, code_DxL)) if other == row
    ]


def test_codes_that_cannot_be():
  with pytest.raises(
    ValueError, match='Expected collisions of token, share, g'
  ):
    codes.code_table(
      documents(1), np.zeros((1, 1)), [1], first_token=FIRST, collisions='none'
    )
  with pytest.raises(
    ValueError, match=r'Expected codes \[2, 1\], got \[1, 1\]'
  ):
    codes.code_table(documents(2), np.zeros((1, 1)), [1], first_token=FIRST)
  with pytest.raises(
    ValueError, match=r'from 0 to below \[2\], got \[0\] to \[2'
  ):
    codes.code_table(documents(2), np.array([[0], [2]]), [2], first_token=FIRST)


def test_usage_of_positions():
  table = codes.code_table(
    documents(4),
    np.array([[0, 0], [0, 1], [1, 2], [1, 3]]),
    [2, 5],
    first_token=FIRST,
  )
  even, all_used, alone = codes.usage(table)
  assert even == (2, pytest.approx(2))
  assert all_used == (4, pytest.approx(4))
  assert alone == (1, pytest.approx(1))
  skewed = codes.code_table(
    documents(4), np.array([[0], [0], [0], [1]]), [2], first_token=FIRST
  )
  entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
  assert codes.usage(skewed)[0] == (2, pytest.approx(math.exp(entropy)))


# --- Quantisers.


@settings(max_examples=25)
@given(
  st.integers(0, 20), st.integers(1, 6), st.integers(1, 3), st.integers(1, 4)
)
def test_residual_codes_are_those_of_a_plain_search(count, k, levels, width):
  vectors = draw(count, width)
  codebooks = [draw(k, width, seed=level + 1) for level in range(levels)]
  expected = []
  for vector in vectors.astype(np.float64):
    row, left = [], vector.copy()
    for centroids in codebooks:
      distances = [((left - centroid) ** 2).sum() for centroid in centroids]
      row.append(int(np.argmin(distances)))
      left = left - centroids[row[-1]]
    expected.append(row)
  found = quantise.residual_codes(vectors, codebooks)
  assert found.shape == (count, levels)
  assert found.tolist() == expected


def test_the_first_of_equally_near_centroids():
  centroids = np.array([[1, 0], [-1, 0], [1, 0]], np.float32)
  found = quantise.nearest(np.array([[2, 0], [0, 5]], np.float32), centroids)
  assert found.tolist() == [0, 0]


def test_distances_lack_the_norm_of_the_vector():
  vectors, centroids = draw(6, 3), draw(4, 3, seed=1)
  expected = ((vectors[:, None] - centroids) ** 2).sum(-1)
  found = quantise.squared_distances(vectors, centroids)
  norm = (vectors**2).sum(-1, keepdims=True)
  np.testing.assert_allclose(found + norm, expected, atol=1e-5)


def test_distances_are_taken_in_parts(monkeypatch):
  vectors, centroids = draw(50, 3), draw(7, 3, seed=1)
  whole = quantise.nearest(vectors, centroids)
  monkeypatch.setattr(quantise, '_DISTANCES', 20)
  assert (quantise.nearest(vectors, centroids) == whole).all()


def test_each_level_leaves_less():
  vectors = draw(300, 6)
  codebooks = residual.residual_codebooks(vectors, levels=4, k=8)
  code = quantise.residual_codes(vectors, codebooks)
  errors, left = [(vectors**2).sum()], vectors
  for level, centroids in enumerate(codebooks):
    left = left - centroids[code[:, level]]
    errors.append((left**2).sum())
  assert all(a > b for a, b in itertools.pairwise(errors))
  # Centroids of k-means are means of what is nearest to them.
  for number, centroid in enumerate(codebooks[0]):
    mine = vectors[code[:, 0] == number]
    np.testing.assert_allclose(centroid, mine.mean(0), atol=1e-3)


def test_few_vectors_are_their_own_centroids():
  vectors = np.repeat(draw(3, 2), 4, 0)
  found = quantise.kmeans_centroids(vectors, 5)
  assert sorted(map(tuple, found)) == sorted(map(tuple, draw(3, 2)))
  assert quantise.kmeans_centroids(draw(0, 2), 5).tolist() == [[0, 0]]
  with pytest.raises(ValueError, match='Expected k of at least 1, got 0'):
    quantise.kmeans_centroids(vectors, 0)


def test_many_vectors_are_clustered_in_mini_batches(monkeypatch):
  monkeypatch.setattr(quantise, '_MINI_BATCH_FROM', 50)
  centers = 100 * draw(4, 3)
  vectors = centers[np.arange(80) % 4] + draw(80, 3, seed=1)
  found = quantise.kmeans_centroids(vectors, 4)
  assert sorted(quantise.nearest(found, centers)) == [0, 1, 2, 3]


def test_parts_are_quantised_alone():
  vectors = draw(40, 5)
  found = product.fit(vectors, parts=2, k=4, rotate=False)
  assert found.sizes == [4, 4]
  code = found.encode(vectors)
  for part, columns in enumerate((slice(0, 3), slice(3, 5))):
    centroids = quantise.kmeans_centroids(vectors[:, columns], 4, seed=part)
    expected = [
      int(np.argmin([((v - c) ** 2).sum() for c in centroids]))
      for v in vectors[:, columns]
    ]
    assert code[:, part].tolist() == expected
  turned = product.fit(vectors, parts=2, k=4)
  assert (turned.encode(vectors) != code).any()
  parts = np.split(vectors @ turned.rotation_ExE, [3], axis=1)
  for part, centroids in enumerate(turned.centroids):
    expected = [((v - centroids) ** 2).sum(1).argmin() for v in parts[part]]
    assert turned.encode(vectors)[:, part].tolist() == expected
  np.testing.assert_allclose(
    turned.rotation_ExE @ turned.rotation_ExE.T, np.eye(5), atol=1e-6
  )
  with pytest.raises(
    ValueError, match='Expected 1 to 5 parts, as many as dime'
  ):
    product.fit(vectors, parts=6)


# --- Sinkhorn.


def test_a_plan_is_balanced():
  cost = np.random.default_rng(0).random((6, 4))
  plan = np.exp(quantise.transport_plan(cost, 0.5, iterations=500))
  np.testing.assert_allclose(plan.sum(1), 1 / 6)
  np.testing.assert_allclose(plan.sum(0), 1 / 4)
  # The plain iteration, without logarithms.
  scaled = 2 * (cost - cost.min()) / (cost.max() - cost.min()) - 1
  kernel = np.exp(-scaled / 0.5)
  u, v = np.ones(6), np.ones(4)
  for _ in range(500):
    v = 1 / 4 / (kernel.T @ u)
    u = 1 / 6 / (kernel @ v)
  np.testing.assert_allclose(plan, u[:, None] * kernel * v, rtol=1e-6)


@pytest.mark.parametrize('vectors', [np.ones((5, 3), np.float32), draw(5, 3)])
def test_equals_part_while_there_are_codes(vectors):
  # One centroid at first, so that all have equal codes but for the last.
  codebooks = [np.zeros((1, 3), np.float32), draw(5, 3, seed=2)]
  codebooks[1][0] = vectors.mean(0)
  found = quantise.sinkhorn_codes(vectors, codebooks)
  plain = quantise.residual_codes(vectors, codebooks)
  assert (found[:, 0] == plain[:, 0]).all()
  if len(np.unique(plain, axis=0)) == 1:
    assert len(np.unique(found, axis=0)) == 5
  assert len(np.unique(found, axis=0)) > len(np.unique(plain, axis=0))


def test_what_is_unique_stays():
  vectors = draw(40, 4)
  codebooks = residual.residual_codebooks(vectors, levels=2, k=12)
  plain = quantise.residual_codes(vectors, codebooks)
  found = quantise.sinkhorn_codes(vectors, codebooks, rounds=1)
  _, inverse, counts = np.unique(
    plain, axis=0, return_inverse=True, return_counts=True
  )
  alone = counts[inverse.reshape(-1)] == 1
  assert 0 < alone.sum() < 40
  assert (found[alone] == plain[alone]).all()
  assert len(np.unique(found, axis=0)) > len(np.unique(plain, axis=0))
  assert (quantise.sinkhorn_codes(vectors[:0], codebooks)).shape == (0, 2)


def test_more_equals_than_codes_share_what_is_left():
  table = residual.residual_table(
    documents(5),
    np.ones((5, 2), np.float32),
    [np.ones((1, 2), np.float32), draw(3, 2)],
    first_token=FIRST,
    collisions='sinkhorn',
  )
  assert len(set(rows(table))) == 3
  with pytest.raises(ValueError, match='collisions of token, share, sinkhorn,'):
    residual.rq_kmeans(
      documents(1),
      None,
      first_token=FIRST,
      vectors=lambda: draw(1, 2),
      collisions='x',
    )


# --- Random codes.


@settings(max_examples=25)
@given(
  st.integers(0, 30), st.integers(1, 3), st.integers(1, 6), st.integers(0, 2)
)
def test_random_codes_are_distinct(count, levels, k, seed):
  def make():
    return random_codes.random_codes(
      documents(count), None, first_token=FIRST, seed=seed, levels=levels, k=k
    )

  if k**levels < count:
    with pytest.raises(
      ValueError, match=rf'{count} documents, got {k}\^{levels}'
    ):
      make()
    return
  table = make()
  assert len(set(rows(table))) == count
  assert table.hash == make().hash
  for row in rows(table):
    assert all(0 <= t - FIRST - k * i < k for i, t in enumerate(row))


@pytest.mark.parametrize('k', [40, 4])  # a few of all, and nearly all of them
def test_random_codes_are_equally_likely(k):
  counts = np.zeros(k)
  for seed in range(60):
    table = random_codes.random_codes(
      documents(12), None, first_token=FIRST, seed=seed, levels=2, k=k
    )
    counts += np.bincount(table.token_rows_DxL[:, 0] - FIRST, minlength=k)
  expected = 60 * 12 / k
  assert abs(counts - expected).max() < 5 * math.sqrt(expected)


def folder_of(table, folder):
  """Saves a table as `genret index docids` does, without latent vectors."""
  pieces = tiny_collection.pieces()
  file = folder / vocabulary.VOCABULARY_FILE
  folder.mkdir(exist_ok=True)
  file.write_bytes(pieces.serialized_model_proto())
  hash_ = vocabulary.vocabulary_hash(file)
  meta = {**table.meta, 'text_tokens': FIRST, vocabulary.HASH_FIELD: hash_}
  dataclasses.replace(table, meta=meta).save(folder)
  return str(folder)


def test_identifiers_are_dealt_to_other_documents(tmp_path):
  vectors = draw(60, 4)
  made = residual.rq_kmeans(
    documents(60), None, first_token=FIRST, vectors=lambda: vectors, k=4
  )
  like = folder_of(made, tmp_path / 'rq')

  def dealt(number=60, *, seed=0, pieces=None, old=None):
    return random_codes.random_codes(
      documents(number)[::-1],
      pieces or tiny_collection.pieces(),
      first_token=FIRST,
      seed=seed,
      like=like,
      old=old,
    )

  table = dealt()
  assert list(table.doc_ids) == [f'd{i}' for i in reversed(range(60))]
  assert sorted(rows(table)) == sorted(rows(made))
  assert table.vocab_size == made.vocab_size
  assert table.meta[growth.COLLIDED] == made.meta[growth.COLLIDED] > 0
  assert rows(dealt()) == rows(table) != rows(dealt(seed=1))
  named = dict(zip(table.doc_ids, rows(table), strict=True))
  before = dict(zip(made.doc_ids, rows(made), strict=True))
  assert sum(named[d] == before[d] for d in before) < 10
  with pytest.raises(
    ValueError, match=r'of the same documents in .* got others'
  ):
    dealt(59)
  with pytest.raises(
    ValueError, match=r'no documents to add to .* got 60; index'
  ):
    dealt(old=table)
  other = vocabulary.train_vocabulary(
    ['other words of another text'] * 9, tmp_path / 'other', size=30
  )
  with pytest.raises(ValueError, match='it has another vocabulary; give --voc'):
    dealt(pieces=other)


# --- RQ-VAE.


def clustered(count=400, width=16, seed=0):
  """Vectors of unit length about a score of places."""
  generator = np.random.default_rng(seed)
  centers = generator.normal(size=(20, width))
  vectors = centers[generator.integers(20, size=count)]
  vectors += 0.2 * generator.normal(size=(count, width))
  return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype('f4')


SIZES = {'levels': 2, 'k': 16, 'hidden': (32,), 'width': 8, 'batch_size': 128}


def test_an_autoencoder_learns_and_does_not_collapse():
  vectors = clustered()
  model = rq_vae.train(vectors, steps=400, **SIZES)
  assert len(model.losses) == 4
  assert model.losses[-1] < 0.6 < model.losses[0]
  code = quantise.residual_codes(model.encode(vectors), model.codebooks)
  table = codes.code_table(documents(400), code, [16, 16], first_token=FIRST)
  for used, perplexity in codes.usage(table)[:2]:
    assert used > 12
    assert perplexity > 9
  # Places are told apart: nearly all of a place have the same first code.
  again = rq_vae.train(vectors, steps=400, **SIZES)
  assert (
    quantise.residual_codes(again.encode(vectors), again.codebooks) == code
  ).all()
  other = rq_vae.train(vectors, steps=3, seed=1, **SIZES)
  assert (other.mean_E == model.mean_E).all()
  assert other.losses != rq_vae.train(vectors, steps=3, **SIZES).losses


def test_codes_of_wide_vectors_say_where_they_are():
  """Few things vary in many dimensions, as in vectors of texts."""
  generator = np.random.default_rng(0)
  vectors = generator.normal(size=(500, 6)) @ generator.normal(size=(6, 96))
  vectors = (vectors + 0.3 * generator.normal(size=(500, 96))).astype('f4')
  model = rq_vae.train(vectors, steps=400, **SIZES)
  code = quantise.residual_codes(model.encode(vectors), model.codebooks)
  distance = ((vectors[:, None] - vectors) ** 2).sum(-1)
  np.fill_diagonal(distance, np.inf)
  nearest = distance.argmin(1)
  assert (code[:, 0] == code[nearest, 0]).mean() > 0.48
  assert (code == code[nearest]).all(1).mean() > 0.2
  assert model.losses[-1] < 0.6


def test_vectors_are_standardised():
  vectors = draw(50, 3) * np.array([1e-3, 1, 1e3], np.float32) + 7
  vectors[:, 1] = 5
  model = rq_vae.train(vectors, steps=1, **SIZES)
  standard = (vectors - model.mean_E) / model.scale_E
  np.testing.assert_allclose(standard.mean(0), 0, atol=1e-3)
  np.testing.assert_allclose(standard.std(0), [1, 0, 1], atol=1e-3)


def test_the_loss_is_that_of_the_paper():
  generator = np.random.default_rng(0)
  params = {
    'encoder': rq_vae._layers([4, 5, 2], generator),
    'decoder': rq_vae._layers([2, 5, 4], generator),
    'codebooks': draw(2, 3, 2),
  }
  x = draw(6, 4, seed=1)

  def apply(layers, value):
    for number, (weight, bias) in enumerate(layers):
      value = value @ weight + bias
      if number + 1 < len(layers):
        value = np.maximum(value, 0)
    return value

  small = apply(params['encoder'], x)
  left, total, codebook_loss = small, 0, 0.0
  for centroids in params['codebooks']:
    distance = ((left[:, None] - centroids) ** 2).sum(-1)
    chosen = centroids[distance.argmin(1)]
    codebook_loss += 1.25 * ((left - chosen) ** 2).sum(-1).mean()
    left, total = left - chosen, total + chosen
  error = (apply(params['decoder'], total) - x) ** 2
  expected = error.sum(-1).mean()  # squared norms, as the others
  loss, (of_dimension, _, _) = rq_vae._loss(params, x, 0.25)
  np.testing.assert_allclose(of_dimension, error.mean(), rtol=1e-5)
  np.testing.assert_allclose(loss, expected + codebook_loss, rtol=1e-5)
  # Centroids learn by their own term alone, the encoder by what it can change.
  gradient = jax.grad(lambda p: rq_vae._loss(p, x, 0.25)[0])(params)
  pulled = jax.grad(lambda p: rq_vae._loss(p, x, 0.0)[0])(params)
  np.testing.assert_allclose(
    gradient['codebooks'], pulled['codebooks'], rtol=1e-5
  )
  assert (
    np.abs(gradient['encoder'][0][0] - pulled['encoder'][0][0]).max() > 1e-4
  )


def test_centroids_without_vectors_move():
  generator = np.random.default_rng(0)
  params = {
    'encoder': rq_vae._layers([4, 2], generator),
    'decoder': rq_vae._layers([2, 4], generator),
    'codebooks': np.full((1, 3, 2), 1e6, np.float32),
  }
  params['codebooks'][0, 1] = 0  # Everything is nearest to this one.
  optimizer = rq_vae.optax.adamw(1e-3)
  state = (params, optimizer.init(params), np.zeros((1, 3), np.int32))
  batches = np.broadcast_to(draw(8, 4), (3, 8, 4))
  for wanted, moved in ((2, False), (3, True)):
    (found, _, idle), _ = rq_vae._steps(
      state,
      batches,
      jax.random.key(0),
      np.arange(3) < wanted,
      optimizer=optimizer,
      beta=0.25,
      reset_after=3,
    )
    far = np.abs(np.asarray(found['codebooks'])[0, [0, 2]]) > 1e5
    assert far.all() != moved
    assert far.any() != moved
    assert idle.tolist() == [[0, 0, 0] if moved else [2, 0, 2]]


def test_one_program_for_all_steps():
  before = rq_vae._steps._cache_size()
  rq_vae.train(draw(30, 5), steps=230, **SIZES)
  assert rq_vae._steps._cache_size() == before + 1


@pytest.mark.parametrize(
  'name', ['levels', 'k', 'width', 'steps', 'batch_size', 'reset_after']
)
def test_numbers_that_are_too_small(name):
  with pytest.raises(
    ValueError, match=f'Expected {name} of at least 1, got 0.'
  ):
    rq_vae.train(draw(3, 2), **{name: 0})
