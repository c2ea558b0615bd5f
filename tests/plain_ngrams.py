# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""SEAL's scoring in plain Python, slow and from the formulas."""

import collections
import itertools
import math


def occurrences(document, key):
  """Where a key begins in a document."""
  key, length = list(key), len(key)
  return [
    i
    for i in range(len(document) - length + 1)
    if document[i : i + length] == key
  ]


def log_odds(p):
  return p - math.log(-math.expm1(p))


class PlainScorer:
  """Ranks documents {number: list of tokens}."""

  def __init__(self, documents, vocab_size, scoring, ignored):
    self.documents, self.vocab_size = documents, vocab_size
    self.scoring, self.ignored = scoring, set(ignored)
    self.num_tokens = sum(map(len, documents.values()))
    self.candidates, self.values = [], []

  def count(self, key):
    return sum(len(occurrences(d, key)) for d in self.documents.values())

  def against_corpus(self, log_prob, count):
    """w of a log-probability below 0."""
    if not count or log_prob == -math.inf or count == self.num_tokens:
      return 0.0
    s = self.scoring.smoothing
    corpus = math.log((count + s) / (self.num_tokens + s))
    return max(0.0, log_odds(log_prob) - log_odds(corpus))

  def key_weight(self, key, log_prob, floor):
    s = self.scoring
    penalty = (1 - s.gamma) ** (len(key) - 1)
    count = self.count(key)
    if s.mode == 'lm':
      return log_prob * penalty if count and log_prob > -math.inf else None
    if s.frequencies or s.mode == 'lm+fm':
      log_prob = (min(log_prob, 0.0) - 1e-10) * penalty
      w = self.against_corpus(log_prob, count)
    elif not count or log_prob == -math.inf:
      w = 0.0
    else:
      w = max(0.0, log_prob - floor) * penalty
    return w if s.mode == 'lm+fm' else w**s.alpha

  def token_weight(self, token, log_prob, floor):
    s = self.scoring
    count = self.count([token])
    if s.frequencies:
      w = self.against_corpus(min(log_prob, -1e-10), count)
      return w**s.unigram_alpha
    if not count or log_prob == -math.inf or floor is None:
      return 0.0
    return max(0.0, log_prob - floor) ** s.alpha

  def score(self, keys, log_probs, unigrams, k):
    """[(number, score, {key: (log_prob, count, contribution, offsets)})]."""
    s = self.scoring
    log_prob_of = {}
    for key, log_prob in zip(map(tuple, keys), log_probs, strict=True):
      if key:
        log_prob_of[key] = max(log_prob, log_prob_of.get(key, -math.inf))
    finite = [p for p in log_prob_of.values() if p > -math.inf]
    floor = min(finite) - 0.1 if finite else None
    weight_of = {
      key: self.key_weight(key, p, floor) for key, p in log_prob_of.items()
    }
    tokens = {}
    if s.mode == 'intersective' and unigrams is not None:
      best = sorted(range(self.vocab_size), key=lambda t: (-unigrams[t], t))
      for t in best[: s.unigram_limit]:
        if t not in self.ignored and (t,) not in log_prob_of:
          tokens[t] = self.token_weight(t, unigrams[t], floor)
      if s.add_best_unigrams:
        most = len(log_prob_of)
        for t in sorted(tokens, key=lambda t: (-tokens[t], t))[:most]:
          if tokens[t] > 0:
            log_prob_of[(t,)], weight_of[(t,)] = unigrams[t], tokens[t]
    counts = {key: self.count(key) for key in weight_of}
    live = [
      key
      for key, w in weight_of.items()
      if w is not None
      and (w > 0 or s.mode == 'lm')
      and counts[key] <= s.max_count
    ]
    order = sorted(live, key=lambda key: (-weight_of[key], key))
    rare = [key for key in order if counts[key] <= s.max_occurrences]
    self.order, self.weight_of, self.tokens = order, weight_of, tokens
    if s.mode != 'intersective':
      scored = self.best_keys(rare)
    else:
      scored = [
        (number, *self.whole(number)) for number in self.first_stage(rare)
      ]
    scored.sort(key=lambda found: (-found[1], found[0]))
    for t in tokens:
      log_prob_of.setdefault((t,), unigrams[t])
      counts.setdefault((t,), self.count([t]))
    return [
      (
        number,
        score,
        {
          key: (log_prob_of[key], counts[key], gain, offsets)
          for key, (gain, offsets) in evidence.items()
        },
      )
      for number, score, evidence in scored[:k]
    ]

  def best_keys(self, rare):
    found = []
    for number, document in self.documents.items():
      for key in rare:
        offsets = occurrences(document, key)
        if offsets:
          w = self.weight_of[key]
          found.append((number, w, {key: (w, tuple(offsets))}))
          break
    return found

  def cover(self, key, seen):
    beta, types = self.scoring.beta, set(key)
    return 1 - beta + beta * len(types - seen) / len(types) if seen else 1.0

  def first_stage(self, rare):
    score = collections.defaultdict(float)
    best = collections.defaultdict(float)
    seen = collections.defaultdict(set)
    taken = collections.defaultdict(set)
    for key in rare:
      w = self.weight_of[key]
      for number, document in self.documents.items():
        counts = False
        for i in occurrences(document, key):
          best[number] = max(best[number], w)
          places = set(range(i, i + len(key)))
          if not places & taken[number]:
            taken[number] |= places
            counts = True
        if counts:
          score[number] += w * self.cover(key, seen[number])
          seen[number] |= set(key)
    share = self.scoring.single_key
    value = {n: (1 - share) * score[n] + share * best[n] for n in best}
    self.candidates = sorted(value, key=lambda n: (-value[n], n))
    self.values = [value[n] for n in self.candidates]
    return self.candidates[: self.scoring.fully_scored]

  def nearly_equal(self):
    """Whether sums of stage 1 differ in their last digits only."""
    return any(
      one != other and math.isclose(one, other, rel_tol=1e-9)
      for one, other in itertools.pairwise(self.values)
    )

  def whole(self, number):
    document, seen, evidence = self.documents[number], set(), {}
    free = [True] * len(document)
    present = [key for key in self.order if occurrences(document, key)]
    for key in present:
      gain = self.weight_of[key] * self.cover(key, seen)
      offsets = []
      for i in occurrences(document, key):
        if gain > 0 and all(free[i : i + len(key)]):
          free[i : i + len(key)] = [False] * len(key)
          offsets.append(i)
      if offsets:
        evidence[key] = gain, tuple(offsets)
        seen |= set(key)
    for t in dict.fromkeys(document):
      offsets = [i for i, u in enumerate(document) if u == t and free[i]]
      gain = self.tokens.get(t, 0.0) * self.cover((t,), seen)
      if offsets and gain > 0:
        evidence[(t,)] = gain, tuple(offsets)
    share, best = self.scoring.single_key, self.weight_of[present[0]]
    score = (1 - share) * sum(gain for gain, _ in evidence.values())
    evidence = {k: ((1 - share) * g, o) for k, (g, o) in evidence.items()}
    gain, offsets = evidence[present[0]]
    evidence[present[0]] = gain + share * best, offsets
    return score + share * best, evidence
