# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The best inner products against a full sort."""

import hypothesis
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from genret.ranking.inner_products import top_documents


@hypothesis.given(
  seed=st.integers(0, 1000),
  documents=st.sampled_from([1, 2, 7, 12]),
  k=st.sampled_from([1, 2, 7]),
  block=st.sampled_from([1, 3, 4, 100]),
)
@hypothesis.settings(max_examples=60)
def test_as_a_stable_sort_of_all_scores(seed, documents, k, block):
  rng = np.random.default_rng(seed)
  k = min(k, documents)
  # Small whole numbers: products are exact, and many are equal.
  query_QxE = rng.integers(-1, 2, (3, 2)).astype(np.float32)
  document_DxE = rng.integers(-1, 2, (documents, 2)).astype(np.float32)
  score, document = top_documents(
    jnp.asarray(query_QxE), jnp.asarray(document_DxE), k=k, block=block
  )
  expected_QxD = query_QxE @ document_DxE.T
  order = np.argsort(-expected_QxD, axis=1, kind='stable')[:, :k]
  np.testing.assert_array_equal(document, order)
  np.testing.assert_array_equal(
    score, np.take_along_axis(expected_QxD, order, axis=1)
  )


def test_blocks_of_real_numbers_lose_nothing():
  rng = np.random.default_rng(0)
  query_QxE = rng.normal(size=(5, 16)).astype(np.float32)
  document_DxE = rng.normal(size=(5000, 16)).astype(np.float32)
  score, document = top_documents(
    jnp.asarray(query_QxE), jnp.asarray(document_DxE), k=50
  )
  expected_QxD = query_QxE.astype(np.float64) @ document_DxE.T.astype(float)
  order = np.argsort(-expected_QxD, axis=1)[:, :50]
  np.testing.assert_array_equal(document, order)
  np.testing.assert_allclose(
    score, np.take_along_axis(expected_QxD, order, axis=1), rtol=1e-5
  )
