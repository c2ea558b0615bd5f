# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""An FM-index against SEAL's and against a sorted array: decoding and locating.

N beams, T tokens probed for each, V vocabulary."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret import FMIndex
from genret.constraints import protocol
from genret.decoding.candidates import Continuations, best_continuations
from genret.decoding.scores import Scorer, scorer_of, top_k
from genret.tools import _measure
from genret.tools._measure import Line, Tokens
from genret.tools._measure_plain import SortedPositions

STEPS = (1, 2, 3, 9)
PROBES = 64


@dataclasses.dataclass(frozen=True)
class Setup:
  """What is measured: `seal` and `processor` are SEAL's, or None."""

  tokens: Tokens
  index: FMIndex
  seal: Any
  processor: Any
  batch_size: int
  num_beams: int
  eos_id: int
  repeats: int

  @property
  def count(self) -> int:
    """N."""
    return self.batch_size * self.num_beams


def continuation_lines(setup: Setup) -> list[Line]:
  """What may follow N n-grams of each length, asked and listed."""
  _measure.say('sorting positions for a plain binary search')
  plain = SortedPositions(setup.tokens, max(STEPS))
  automaton = setup.index.constraint()
  lines: list[Line] = []
  for step in STEPS:
    _measure.say(f'continuations, step {step}')
    prefix_NxP = _measure.prefixes(setup.tokens, step - 1, setup.count)
    rng = np.random.default_rng(step)
    shape = setup.count, setup.tokens.vocab_size
    random_NxV = rng.standard_normal(shape, np.float32)
    # SEAL's mark between documents must not be chosen: ours has no such token.
    random_NxV[:, setup.eos_id] = -100.0
    trained_NxV = trained(setup.index, prefix_NxP, random_NxV)
    lines += _probe_lines(setup, step, prefix_NxP, random_NxV, automaton, plain)
    for model, logits_NxV in (('trained', trained_NxV), ('random', random_NxV)):
      work = f'step {step}, {model} model'
      lines += _best_lines(setup, work, prefix_NxP, logits_NxV, automaton)
    lines += _listing_lines(setup, step, prefix_NxP, plain)
  return lines


def trained(
  index: FMIndex, prefix_NxP: np.ndarray, logits_NxV: np.ndarray
) -> np.ndarray:
  """Logits of a model that knows the corpus, by how often tokens follow."""
  row_Y, token_Y, count_Y = index.continuations_batch(prefix_NxP)
  logits_NxV = logits_NxV.copy()
  logits_NxV[row_Y, token_Y] += 6 + np.log(count_Y)
  return logits_NxV


@jax.jit
def states_after(
  automaton: protocol.Constraint, prefix_NxP: jax.Array
) -> protocol.State:
  """The states of beams that have written these tokens."""
  state_N = automaton.start(automaton.arrays, len(prefix_NxP))
  for token_N in prefix_NxP.T:
    _, state_Nx1 = automaton.probe(automaton.arrays, state_N, token_N[:, None])
    state_N = jax.tree.map(lambda leaf: leaf[:, 0], state_Nx1)
  return state_N


@jax.jit
def probe(
  automaton: protocol.Constraint, state_N: protocol.State, token_NxT: jax.Array
) -> tuple[jax.Array, protocol.State]:
  """What a decoding step asks a constraint."""
  return automaton.probe(automaton.arrays, state_N, token_NxT)


@jax.jit
def scorer(
  automaton: protocol.Constraint, state_N: protocol.State, logits_NxV: jax.Array
) -> Scorer:
  """Log-probabilities, for beams of equal score."""
  key_N = jnp.zeros(len(logits_NxV), jnp.float32)
  return scorer_of(logits_NxV, key_N, automaton, state_N, 'vocabulary')


@functools.partial(jax.jit, static_argnames=('num_beams', 'num_probes'))
def best(
  automaton: protocol.Constraint,
  state_N: protocol.State,
  scorer: Scorer,
  *,
  num_beams: int,
  num_probes: int,
) -> Continuations:
  """All that a constraint adds to a decoding step."""
  return best_continuations(
    scorer,
    automaton,
    state_N,
    jnp.full(len(scorer.alive_N), -1, jnp.int32),
    num_beams=num_beams,
    keep=num_beams,
    num_probes=num_probes,
    list_limit=None,
  )


def _probe_lines(
  setup: Setup,
  step: int,
  prefix_NxP: np.ndarray,
  logits_NxV: np.ndarray,
  automaton: protocol.Constraint,
  plain: SortedPositions,
) -> list[Line]:
  """Of the best tokens of each beam, which may follow."""
  probes = min(PROBES, setup.tokens.vocab_size)
  _, token_NxT = jax.jit(top_k, static_argnums=1)(logits_NxV, probes)
  asked_NxT = np.asarray(token_NxT)
  state_N = states_after(automaton, jnp.asarray(prefix_NxP))
  runs = {
    'ours': lambda: jax.block_until_ready(probe(automaton, state_N, token_NxT)),
    'plain': lambda: plain.masses(prefix_NxP, asked_NxT),
  }
  if setup.seal is not None:
    runs['SEAL'] = lambda: _seal_lists(setup, prefix_NxP)
  ms = _measure.best_ms(runs, setup.repeats)
  mass_NxT = np.asarray(probe(automaton, state_N, token_NxT)[0])
  wrong = (mass_NxT != plain.masses(prefix_NxP, asked_NxT)).sum()
  work = f'step {step}: which of {probes} tokens may follow each of {setup.count} beams'
  ours = 'probe, in jit', ms['ours']
  lines = [
    Line(
      work,
      'binary search, NumPy',
      ms['plain'],
      *ours,
      _measure.same(int(wrong), mass_NxT.size, 'counts'),
    )
  ]
  if setup.seal is not None:
    wrong = 0
    for row, listed in enumerate(_seal_lists(setup, prefix_NxP)):
      legal_T = np.isin(
        asked_NxT[row], [t for t in listed if t != setup.eos_id]
      )
      wrong += int((legal_T != (mass_NxT[row] > 0)).any())
    lines.append(
      Line(
        work,
        'SEAL get_continuations',
        ms['SEAL'],
        *ours,
        _measure.same(wrong, setup.count, 'beams'),
      )
    )
  return lines


def _seal_lists(setup: Setup, prefix_NxP: np.ndarray) -> list[list[int]]:
  if not prefix_NxP.size:  # It reads past its end and may crash.
    whole = 0, setup.seal.size()
    return [setup.seal.get_distinct(*whole) for _ in prefix_NxP]
  return [setup.seal.get_continuations(p) for p in prefix_NxP.tolist()]


def _best_lines(
  setup: Setup,
  work: str,
  prefix_NxP: np.ndarray,
  logits_NxV: np.ndarray,
  automaton: protocol.Constraint,
) -> list[Line]:
  """The K best continuations of each query, from logits [N, V]."""
  state_N = states_after(automaton, jnp.asarray(prefix_NxP))
  scored = scorer(automaton, state_N, jnp.asarray(logits_NxV))
  free = protocol.unconstrained(logits_NxV.shape[1])
  free_N = free.start(free.arrays, setup.count)
  sizes = {'num_beams': setup.num_beams, 'num_probes': PROBES}

  def ours() -> Continuations:
    return jax.block_until_ready(best(automaton, state_N, scored, **sizes))

  runs = {
    'ours': ours,
    'free': lambda: jax.block_until_ready(best(free, free_N, scored, **sizes)),
  }
  if setup.processor is not None:
    torch = _measure.peer('torch', 'SEAL')
    key_NxV = scored.key(scored.logits_NxV, jnp.ones(logits_NxV.shape, bool))
    scores = torch.from_numpy(np.array(key_NxV))
    ids = torch.tensor([[0, *p] for p in prefix_NxP.tolist()])

    def masked() -> Any:
      return setup.processor(ids, scores)

    def seal() -> Any:
      rows = masked().view(setup.batch_size, -1)
      return torch.topk(rows, setup.num_beams)

    runs |= {'mask': masked, 'SEAL': seal}
  ms = _measure.best_ms(runs, setup.repeats)
  work += (
    f': the {setup.num_beams} best continuations of each of '
    f'{setup.batch_size} queries'
  )
  name = 'best_continuations'
  lines = [
    Line(work, f'{name}, no constraint', ms['free'], name, ms['ours'], '')
  ]
  if setup.processor is not None:
    found, theirs = ours(), seal()
    differing = ~np.isclose(
      np.asarray(found.key_BxC), theirs.values.numpy(), rtol=0, atol=1e-4
    )
    answers = _measure.same(int(differing.sum()), differing.size, 'beams')
    lines += [
      Line(work, "SEAL's mask, no top-k", ms['mask'], name, ms['ours'], ''),
      Line(work, "SEAL's mask, top-k", ms['SEAL'], name, ms['ours'], answers),
    ]
  return lines


def _listing_lines(
  setup: Setup, step: int, prefix_NxP: np.ndarray, plain: SortedPositions
) -> list[Line]:
  """All tokens that may follow, and how often, on the host."""
  few = 1 if step == 1 else min(10, setup.count)
  runs = {
    'ours': lambda: setup.index.continuations_batch(prefix_NxP),
    'Python': lambda: [plain.listing(p) for p in prefix_NxP[:few]],
  }
  if setup.seal is not None:
    runs['SEAL'] = lambda: _seal_counts(setup, prefix_NxP)
  ms = _measure.best_ms(runs, setup.repeats)
  row_Y, token_Y, count_Y = setup.index.continuations_batch(prefix_NxP)
  ours = [
    dict(zip(token_Y[a:b].tolist(), count_Y[a:b].tolist(), strict=True))
    for a, b in _bounds(row_Y, setup.count)
  ]
  differing = sum(
    plain.listing(p) != mine for p, mine in zip(prefix_NxP[:few], ours)
  )
  work = (
    f'step {step}: list all that may follow, with counts, {setup.count} beams'
  )
  mine = 'continuations_batch', ms['ours']
  lines = [
    Line(
      work,
      f'Python, {few} of them times {setup.count / few:g}',
      ms['Python'] * setup.count / few,
      *mine,
      _measure.same(differing, few, 'beams'),
    )
  ]
  if setup.seal is not None:
    differing = 0
    for (tokens, counts), expected in zip(
      _seal_counts(setup, prefix_NxP), ours, strict=True
    ):
      theirs = dict(zip(tokens, counts, strict=True))
      theirs.pop(setup.eos_id, None)
      differing += theirs != expected
    lines.append(
      Line(
        work,
        'SEAL get_distinct_count_multi',
        ms['SEAL'],
        *mine,
        _measure.same(differing, setup.count, 'beams'),
      )
    )
  return lines


def _seal_counts(setup: Setup, prefix_NxP: np.ndarray) -> Any:
  if prefix_NxP.size:
    ranges = [setup.seal.get_range(p) for p in prefix_NxP.tolist()]
  else:
    ranges = [(0, setup.seal.size())] * len(prefix_NxP)
  lows, highs = map(list, zip(*ranges, strict=True))
  return setup.seal.get_distinct_count_multi(lows, highs)


def _bounds(row_Y: np.ndarray, count: int) -> list[tuple[int, int]]:
  first_X = np.searchsorted(row_Y, np.arange(count + 1)).tolist()
  return list(itertools.pairwise(first_X))


def locate_lines(setup: Setup, length: int = 5) -> list[Line]:
  """Where n-grams occur, and the documents."""
  ngram_NxP = _rare(setup, length)
  single = ngram_NxP[0].tolist()
  numbers = np.random.default_rng(0).integers(0, len(setup.index), 500).tolist()
  index, seal = setup.index, setup.seal
  occurrences = len(index.locate_batch(ngram_NxP)[0])
  _measure.say(f'locating {occurrences} occurrences')
  runs = {
    'all': lambda: index.locate_batch(ngram_NxP),
    'one': lambda: [index.locate(single) for _ in range(100)],
    'document': lambda: [index.document(n) for n in numbers],
  }
  if seal is None:
    return []
  rows = [
    row for ngram in ngram_NxP.tolist() for row in range(*seal.get_range(ngram))
  ]
  runs |= {
    'SEAL all': lambda: [_seal_places(seal, n) for n in ngram_NxP.tolist()],
    'SEAL rows': lambda: [seal.locate(row) for row in rows],
    'SEAL one': lambda: [_seal_places(seal, single) for _ in range(100)],
    'SEAL document': lambda: [seal.get_doc(n) for n in numbers],
  }
  ms = _measure.best_ms(runs, setup.repeats)
  differing = sum(
    index.locate(ngram) != _seal_places(seal, ngram)
    for ngram in ngram_NxP.tolist()
  )
  wrong = sum(
    index.document(n).tolist() != seal.get_doc(n)[:-1] for n in numbers
  )
  each, mine = 1 / occurrences, ms['all'] / occurrences
  answers = _measure.same(differing, len(ngram_NxP), 'n-grams')
  work = f'locate an occurrence, of {occurrences} at once'
  many = 'locate_batch', mine
  return [
    Line(work, 'SEAL get_range, locate', ms['SEAL all'] * each, *many, answers),
    Line(
      work,
      'SEAL locate(row) alone',
      ms['SEAL rows'] / len(rows),
      *many,
      answers,
    ),
    Line(
      f'locate one n-gram, {len(index.locate(single))} occurrences',
      'SEAL get_range, locate',
      ms['SEAL one'] / 100,
      'locate',
      ms['one'] / 100,
      answers,
    ),
    Line(
      'fetch a document',
      'SEAL get_doc',
      ms['SEAL document'] / len(numbers),
      'document',
      ms['document'] / len(numbers),
      _measure.same(wrong, len(numbers), 'documents'),
    ),
  ]


def _rare(setup: Setup, length: int) -> np.ndarray:
  """Distinct n-grams of the corpus that occur at most 20 times."""
  ngram_NxP = _measure.prefixes(setup.tokens, length, 1000, seed=1)
  ngram_NxP = np.unique(ngram_NxP, axis=0)
  return ngram_NxP[setup.index.count_batch(ngram_NxP) <= 20]


def _seal_places(seal: Any, ngram: Sequence[int]) -> list[tuple[int, int]]:
  """(document, offset) of each occurrence; SEAL's documents run backwards."""
  places = []
  for row in range(*seal.get_range(ngram)):
    position = seal.locate(row)
    document = seal.get_doc_index(position)
    last = seal.beginnings[document + 1] - position
    places.append((document, last - len(ngram)))
  return sorted(places)
