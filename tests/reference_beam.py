# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Beam search as one would explain it: Python lists, masks by brute force."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

Tokens = tuple[int, ...]
EOS = 1


@dataclasses.dataclass(frozen=True)
class Plain:
  """A constraint by brute force: what the protocol says of prefixes."""

  legal: Callable[[Tokens], set[int]]
  accepts: Callable[[Tokens], bool] = lambda prefix: False
  finishes: Callable[[Tokens], bool] = lambda prefix: False
  eos: Callable[[Tokens], int] = lambda prefix: EOS  # -1: nothing ends it.


def prefixed(plain: Plain, tokens: Sequence[int]) -> Plain:
  """What `with_prefix` promises."""
  tokens = tuple(tokens)

  def forced(prefix):
    return len(prefix) < len(tokens)

  return Plain(
    lambda p: (
      plain.legal(p) & ({tokens[len(p)]} if forced(p) else plain.legal(p))
    ),
    lambda p: not forced(p) and plain.accepts(p),
    lambda p: not forced(p) and plain.finishes(p),
    lambda p: -1 if forced(p) else plain.eos(p),
  )


def ending(plain: Plain, eos: int) -> Plain:
  """What `end_at` promises."""
  accepts = plain.accepts if eos < 0 else lambda prefix: False
  return dataclasses.replace(plain, accepts=accepts, eos=lambda prefix: eos)


def limited(plain: Plain, least: int, most: int | None) -> Plain:
  """What `limit_length` promises."""

  def legal(p):
    kept = {plain.eos(p)} if len(p) + 1 < least else set()
    return set() if len(p) == most else plain.legal(p) - kept

  return Plain(
    legal,
    lambda p: len(p) >= least and plain.accepts(p),
    lambda p: (
      len(p) >= least
      and (plain.finishes(p) or (len(p) == most and plain.accepts(p)))
    ),
    plain.eos,
  )


def legal_in(
  sequences: Iterable[Sequence[int]],
) -> Callable[[Tokens], set[int]]:
  """The legal next tokens after a prefix, from the list of identifiers."""
  ended = [(*map(int, sequence), EOS) for sequence in sequences]

  def legal(prefix: Tokens) -> set[int]:
    depth = len(prefix)
    return {s[depth] for s in ended if len(s) > depth and s[:depth] == prefix}

  return legal


def normalized(logits_V: np.ndarray, legal: set[int], normalize: str):
  """float32 scores of each token."""
  if normalize == 'none':
    return logits_V
  kept = sorted(legal) if normalize == 'legal' else list(range(len(logits_V)))
  x = logits_V.astype(np.float64)
  top = x[kept].max()
  return (x - top - np.log(np.exp(x[kept] - top).sum())).astype(np.float32)


def beam_search(
  logits: Callable[[Tokens], np.ndarray],
  legal: Callable[[Tokens], set[int]] | Plain,
  *,
  num_beams: int,
  max_length: int,
  normalize: str = 'vocabulary',
  divisor: Callable[[int], float] = lambda length: 1.0,
  steps: list | None = None,
) -> list[tuple[Tokens, np.float32]]:
  """The answers and their scores, best first; fewer than K if there are.

  Scores are divided by the divisor of their length; `steps` takes all legal
  continuations of each step, best first.
  """
  plain = legal if isinstance(legal, Plain) else Plain(legal)

  def ended(tokens):
    return tokens[-1] == plain.eos(tokens[:-1])

  def divided(answer):
    return answer[0], answer[1] / np.float32(divisor(len(answer[0])))

  def top(answers):
    return sorted(answers, key=lambda a: -a[1])[:num_beams]

  beams: list[tuple[Tokens, np.float32]] = [((), np.float32(0))]
  pool: list[tuple[Tokens, np.float32]] = []
  for _ in range(max_length):
    grown = []
    for prefix, score in beams:
      allowed = plain.legal(prefix)
      if not allowed:
        continue
      scores_V = normalized(logits(prefix), allowed, normalize)
      grown += [
        ((*prefix, token), np.float32(score + scores_V[token]))
        for token in sorted(allowed)
      ]
    # Python's sort is stable: equal scores stay in order of beam and token.
    grown.sort(key=lambda answer: -answer[1])
    if steps is not None:
      steps.append(grown)
    best = [g for g in grown if not ended(g[0])][:num_beams]
    beams = [g for g in best if not plain.finishes(g[0])]
    new = [g for g in grown if ended(g[0])]
    new += [g for g in best if plain.finishes(g[0])]
    pool = top(pool + [divided(g) for g in new])
  return top(pool + [divided(g) for g in beams if plain.accepts(g[0])])


def diverse_beam_search(
  logits: Callable[[Tokens], np.ndarray],
  plain: Plain,
  *,
  num_beams: int,
  num_groups: int,
  penalty: float,
  max_length: int,
) -> list[list[tuple[Tokens, np.float32]]]:
  """The answers of each group; beams are (tokens, score)."""
  members = num_beams // num_groups
  groups = [[((), np.float32(0))] for _ in range(num_groups)]
  pools: list = [[] for _ in range(num_groups)]
  for _ in range(max_length):
    chosen: list[int] = []  # By earlier groups.
    for g, beams in enumerate(groups):
      grown = []
      for prefix, score in beams:
        scores_V = normalized(logits(prefix), set(), 'vocabulary')
        grown += [
          ((*prefix, token), np.float32(score + scores_V[token]))
          for token in sorted(plain.legal(prefix))
        ]
      ended = [a for a in grown if a[0][-1] == plain.eos(a[0][:-1])]
      others = [a for a in grown if a[0][-1] != plain.eos(a[0][:-1])]
      others.sort(key=lambda a: penalty * chosen.count(a[0][-1]) - a[1])
      best = others[:members]
      chosen += [tokens[-1] for tokens, _ in best]
      ended += [a for a in best if plain.finishes(a[0])]
      groups[g] = [a for a in best if not plain.finishes(a[0])]
      pools[g] = sorted(pools[g] + ended, key=lambda a: -a[1])[:members]
  for g, beams in enumerate(groups):
    accepted = [a for a in beams if plain.accepts(a[0])]
    pools[g] = sorted(pools[g] + accepted, key=lambda a: -a[1])[:members]
  return pools


def enumerate_all(
  logits: Callable[[Tokens], np.ndarray],
  legal: Callable[[Tokens], set[int]],
  *,
  vocab_size: int,
  max_length: int,
) -> list[tuple[Tokens, float]]:
  """Every answer that ends with eos, best first, without any search."""
  answers = []
  for length in range(max_length):
    others = [t for t in range(vocab_size) if t != EOS]
    for body in itertools.product(others, repeat=length):
      tokens = (*body, EOS)
      if all(tokens[i] in legal(tokens[:i]) for i in range(length + 1)):
        score = sum(
          float(normalized(logits(tokens[:i]), set(), 'vocabulary')[tokens[i]])
          for i in range(length + 1)
        )
        answers.append((tokens, score))
  return sorted(answers, key=lambda answer: -answer[1])
