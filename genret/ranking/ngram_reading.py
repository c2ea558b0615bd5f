# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Loops of `ngrams` that score documents, compiled by numba.

Scalar loops: what a key adds depends on those that counted before it. Stage 1
scores by occurrences; stage 2 reads each document once with a trie of the keys
and accepts what matched, best first, where no better key stands.

K keys in order, Y occurrences, M nodes of the trie, X documents, V tokens of the
vocabulary, L tokens of a document, E accepted matches.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

Integer = int | np.int64


class Keys(NamedTuple):
  """n-grams, best first.

  Attributes:
    token: int64 tokens of all keys.
    start_K1: int64; where each key begins in token, and the end.
    type_token: int64; of each key its distinct tokens.
    type_start_K1: int64; where those begin.
    weight_K: float64.
  """

  token: np.ndarray
  start_K1: np.ndarray
  type_token: np.ndarray
  type_start_K1: np.ndarray
  weight_K: np.ndarray


class KeyTrie(NamedTuple):
  """A trie of keys; edges by a hash table of open addresses.

  Attributes:
    root_V: int32; the node of each first token, or -1.
    key_M: int32; the key that ends at a node, or -1.
    inner_M: bool; whether a node has children.
    slot_parent, slot_token, slot_child: int32; parent -1 where a slot is free.
  """

  root_V: np.ndarray
  key_M: np.ndarray
  inner_M: np.ndarray
  slot_parent: np.ndarray
  slot_token: np.ndarray
  slot_child: np.ndarray


@numba.njit(cache=True)
def distinct_tokens(
  token: np.ndarray, start_K1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The distinct tokens of each key, and where those of each begin."""
  out = np.empty_like(token)
  out_start_K1 = np.zeros_like(start_K1)
  found = 0
  for key in range(len(start_K1) - 1):
    first = found
    for i in range(start_K1[key], start_K1[key + 1]):
      new = True
      for j in range(first, found):
        new &= out[j] != token[i]
      if new:
        out[found] = token[i]
        found += 1
    out_start_K1[key + 1] = found
  return out[:found], out_start_K1


@numba.njit(cache=True)
def _cover(
  keys: Keys, key: Integer, beta: float, seen_V: np.ndarray, visit: int
) -> float:
  """The share of a key's weight that counts in a document, which had others.

  1 - beta + beta * (distinct tokens that are new) / (distinct tokens).
  """
  new = 0
  first, last = keys.type_start_K1[key], keys.type_start_K1[key + 1]
  for i in range(first, last):
    new += seen_V[keys.type_token[i]] != visit
  return 1.0 - beta + (beta * new / (last - first))


@numba.njit(cache=True)
def _see(keys: Keys, key: Integer, seen_V: np.ndarray, visit: int) -> None:
  """Notes the tokens of a key as those of a document, the visit-th from 1."""
  for i in range(keys.type_start_K1[key], keys.type_start_K1[key + 1]):
    seen_V[keys.type_token[i]] = visit


@numba.njit(cache=True)
def first_stage(
  keys: Keys,
  key_Y: np.ndarray,
  document_Y: np.ndarray,
  fresh_Y: np.ndarray,
  beta: float,
  vocab_size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Scores documents by the occurrences of rare keys.

  Args:
    keys: in the order in which they are visited.
    key_Y: ascending in each document.
    document_Y: ascending.
    fresh_Y: whether places were free, see `ngram_kernels.claim`; a key counts
      once in each document where one occurrence had that.
    beta: discount of tokens that earlier keys of the document had.
    vocab_size: V.

  Returns:
    document_X, ascending; score_X; best_X, the greatest weight of a key in it.
  """
  document_X = np.empty(len(document_Y), np.int64)
  score_X, best_X = np.zeros(len(document_Y)), np.zeros(len(document_Y))
  seen_V = np.zeros(vocab_size, np.int32)
  visits, counted = 0, -1
  for y in range(len(document_Y)):
    if y == 0 or document_Y[y] != document_Y[y - 1]:
      document_X[visits] = document_Y[y]
      visits += 1
      counted = -1
    x, key = visits - 1, key_Y[y]
    best_X[x] = max(best_X[x], keys.weight_K[key])
    if fresh_Y[y] and key != counted:
      share = 1.0
      if counted >= 0:
        share = _cover(keys, key, beta, seen_V, visits)
      score_X[x] += share * keys.weight_K[key]
      _see(keys, key, seen_V, visits)
      counted = key
  return document_X[:visits], score_X[:visits], best_X[:visits]


@numba.njit(cache=True)
def _slot(trie: KeyTrie, parent: Integer, token: Integer) -> Integer:
  """Where an edge is in the table, or where it would go."""
  mask = len(trie.slot_parent) - 1
  mixed = (parent * 0x1E3779B97F4A7C15) ^ (token * 0x2545F4914F6CDD1D)
  slot = (mixed ^ (mixed >> 29)) & mask
  while trie.slot_parent[slot] >= 0 and (
    trie.slot_parent[slot] != parent or trie.slot_token[slot] != token
  ):
    slot = (slot + 1) & mask
  return slot


@numba.njit(cache=True)
def build_trie(
  token: np.ndarray, start_K1: np.ndarray, vocab_size: int
) -> KeyTrie:
  """A trie of distinct keys, none of them empty."""
  size = 2
  while size < 4 * len(token):
    size *= 2
  trie = KeyTrie(
    np.full(vocab_size, -1, np.int32),
    np.full(len(token) + 1, -1, np.int32),
    np.zeros(len(token) + 1, np.bool_),
    np.full(size, -1, np.int32),
    np.empty(size, np.int32),
    np.empty(size, np.int32),
  )
  nodes = np.int64(0)
  for key in range(len(start_K1) - 1):
    first, last = start_K1[key], start_K1[key + 1]
    node = np.int64(trie.root_V[token[first]])
    if node < 0:
      node = nodes
      nodes += 1
      trie.root_V[token[first]] = node
    for i in range(first + 1, last):
      slot = _slot(trie, node, token[i])
      if trie.slot_parent[slot] < 0:
        trie.slot_parent[slot], trie.slot_token[slot] = node, token[i]
        trie.slot_child[slot] = nodes
        trie.inner_M[node] = True
        nodes += 1
      node = np.int64(trie.slot_child[slot])
    trie.key_M[node] = key
  return trie


@numba.njit(cache=True)
def _matches(
  text: np.ndarray, first: int, last: int, trie: KeyTrie, out: np.ndarray
) -> int:
  """Writes `key * length + offset` of all keys in a document; how many."""
  found = 0
  for i in range(first, last):
    node, at = np.int64(trie.root_V[text[i]]), i
    while node >= 0:
      key = np.int64(trie.key_M[node])
      if key >= 0:
        out[found] = key * (last - first) + i - first
        found += 1
      at += 1
      if at == last or not trie.inner_M[node]:
        break
      slot = _slot(trie, node, np.int64(text[at]))
      if trie.slot_parent[slot] < 0:
        break
      node = np.int64(trie.slot_child[slot])
  return found


@numba.njit(cache=True)
def _take_keys(
  keys: Keys,
  match: np.ndarray,
  beta: float,
  free_L: np.ndarray,
  seen_V: np.ndarray,
  visit: int,
  out_key: np.ndarray,
  out_start: np.ndarray,
  out_gain: np.ndarray,
) -> int:
  """Accepts matches, best first, where all places are free; how many.

  A key that comes again takes places and adds nothing.
  """
  length, taken, counted = len(free_L), 0, np.int64(-1)
  for m in match:
    key = m // length
    start = m - key * length
    size = keys.start_K1[key + 1] - keys.start_K1[key]
    free = True
    for i in range(start, start + size):
      free &= free_L[i]
    if not free:
      continue
    gain = 0.0
    if key != counted:
      gain = keys.weight_K[key]
      if counted >= 0:
        gain *= _cover(keys, key, beta, seen_V, visit)
      if gain <= 0.0:
        continue
      _see(keys, key, seen_V, visit)
      counted = key
    for i in range(start, start + size):
      free_L[i] = False
    out_key[taken], out_start[taken], out_gain[taken] = key, start, gain
    taken += 1
  return taken


@numba.njit(cache=True)
def _take_tokens(
  text_L: np.ndarray,
  unigram_V: np.ndarray,
  beta: float,
  free_L: np.ndarray,
  covered: bool,
  seen_V: np.ndarray,
  again_V: np.ndarray,
  visit: int,
  taken: int,
  out_key: np.ndarray,
  out_start: np.ndarray,
  out_gain: np.ndarray,
) -> int:
  """Adds what tokens at free places weigh, each once, as key -1 - token."""
  for i in range(len(text_L)):
    token = np.int64(text_L[i])
    if not free_L[i] or unigram_V[token] <= 0.0:
      continue
    gain = unigram_V[token]
    if covered:
      gain *= 1.0 - beta + (beta if seen_V[token] != visit else 0.0)
    if gain <= 0.0:
      continue
    if again_V[token] == visit:
      gain = 0.0
    again_V[token] = visit
    out_key[taken], out_start[taken], out_gain[taken] = -1 - token, i, gain
    taken += 1
  return taken


@numba.njit(cache=True)
def read_documents(
  text: np.ndarray,
  start_D1: np.ndarray,
  document_X: np.ndarray,
  keys: Keys,
  trie: KeyTrie,
  unigram_V: np.ndarray,
  beta: float,
) -> tuple[
  np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray
]:
  """Scores whole documents by keys, then by tokens where no key stands.

  Args:
    text: of a segment.
    start_D1: where its documents begin.
    document_X: which to read.
    keys: all keys, best first.
    trie: of them.
    unigram_V: what single tokens weigh.
    beta: discount of tokens that earlier keys of the document had.

  Returns:
    sum_X, best_X: float64; the sum, and the greatest weight of a key.
    end_X: int64; where the evidence of each ends in the following.
    key_E, start_E, gain_E: what was accepted, in order: the key, or -1 - token,
      where, and what it added; 0 where it comes again.
  """
  longest, deepest = np.int64(0), np.int64(1)
  for document in document_X:
    longest = max(longest, start_D1[document + 1] - start_D1[document])
  for key in range(len(keys.weight_K)):
    deepest = max(deepest, keys.start_K1[key + 1] - keys.start_K1[key])
  match = np.empty(longest * deepest, np.int64)
  free_L = np.empty(longest, np.bool_)
  seen_V = np.zeros(len(unigram_V), np.int32)
  again_V = np.zeros(len(unigram_V), np.int32)
  sum_X, best_X = np.zeros(len(document_X)), np.zeros(len(document_X))
  end_X = np.zeros(len(document_X), np.int64)
  key_E, start_E = np.empty(longest, np.int64), np.empty(longest, np.int64)
  gain_E, kept = np.empty(longest), 0
  for x in range(len(document_X)):
    first, last = start_D1[document_X[x]], start_D1[document_X[x] + 1]
    length = last - first
    free_L[:length] = True
    found = _matches(text, first, last, trie, match)
    match[:found].sort()
    if len(key_E) - kept < length:
      key_E = np.append(key_E, np.empty(len(key_E) + longest, np.int64))
      start_E = np.append(start_E, np.empty(len(start_E) + longest, np.int64))
      gain_E = np.append(gain_E, np.empty(len(gain_E) + longest))
    out_key, out_start, out_gain = key_E[kept:], start_E[kept:], gain_E[kept:]
    taken = _take_keys(
      keys, match[:found], beta, free_L[:length], seen_V, x + 1, out_key,
      out_start, out_gain,
    )  # fmt: skip
    for i in range(taken):
      sum_X[x] += out_gain[i]
    if found:
      best_X[x] = keys.weight_K[match[0] // length]
    every = _take_tokens(
      text[first:last], unigram_V, beta, free_L[:length], taken > 0, seen_V,
      again_V, x + 1, taken, out_key, out_start, out_gain,
    )  # fmt: skip
    tokens = 0.0
    for i in range(taken, every):
      tokens += out_gain[i]
    sum_X[x] += tokens
    kept += every
    end_X[x] = kept
  return sum_X, best_X, end_X, key_E[:kept], start_E[:kept], gain_E[:kept]
