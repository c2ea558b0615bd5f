# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From queries to n-grams of the corpus, each with its log-probability.

How SEAL (Bevilacqua et al., NeurIPS 2022) finds the n-grams, its keys, by which
documents are then scored; MINDER (Li et al., ACL 2023) adds the view `query`.

| keys of | are written from | what is kept | log-probability under |
|---|---|---|---|
| body | `q <body> <grade>` | any n-gram up to body_length | `q` alone |
| title | `q <title> <grade>` | `<title> ... <end>`, whole | the same input |
| query | `q <query> <grade>` | `<query> ... <end>`, whole | the same input |
| words of q | - | those that occur | `q <body> <grade>` |

Of a search, all candidates of every step are keys, and not the last beams alone.
Whatever does not occur in the corpus is no key, and neither is an n-gram of a
body with a mark in it, for it reaches from one view into another. So what a
search without constraint writes of padding, eos or marks vanishes. A title starts
behind its mark, which the model neither reads nor writes: the mark stands in the
key, so that the key is found at the beginning of titles only, and costs nothing.
The search has scored titles under the input that counts; n-grams are scored once
more, in trees (`score_tree`). One of the body that is among the query's words as
well keeps the log-probability of the body, as in the released SEAL.

The released SEAL differs in this: it constrains the first step of a title to what
occurs anywhere, so that beams die at the second; it splits and joins words
otherwise (`word_spans`) and keeps those with unknown pieces; its n-grams may run
over marks; and its `min_length` holds for titles, too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import sentencepiece

from genret.constraints import protocol
from genret.constraints.combine import limit_length, start_after
from genret.constraints.fm_index import FMIndex
from genret.decoding import arguments, score_tree
from genret.decoding.beam import BeamSearchOutput
from genret.decoding.generate import generate
from genret.decoding.word_spans import cased_spans
from genret.models.t5 import Transformer
from genret.views import VIEWS, Markers, mark_inputs
from genret.vocabulary import EOS_ID, UNK_ID

Key = tuple[int, ...]
# The view and the grade that an input says.
_Variant = tuple[str | None, str | None]
_BARE: _Variant = (None, None)


@dataclasses.dataclass(frozen=True)
class KeyOptions:
  """Which keys to find; the defaults are SEAL's.

  Attributes:
    views: which of 'body', 'title' and 'query' to decode.
    body_length: tokens of an n-gram of the body, exactly; with `keep_all` its
      beginnings are keys as well.
    body_beams: beams that write them.
    title_length: the most tokens of a title or a query, end mark included.
    title_beams: beams that write them.
    constrained: let the search write only what occurs in the corpus; else it
      writes anything, and what does not occur is dropped.
    keep_all: keys are the best 2 * beams candidates of every step; else the
      last beams only.
    rescore: score the body's under the bare query; else as the search did.
    query_ngrams: the most words of a span of the query; 0 for none.
    unigrams: return the distribution of the first token, too.
    use_markers: say the view in the inputs.
    grade: which grade to say in them, or None.
    min_length: where positive, keys of the body and of the query's words have
      exactly so many tokens (the paper's "LM" scoring, n = 3, 4 or 5).
    num_groups: groups of diverse beam search.
    diversity_penalty: what a token costs that earlier groups chose.
    stop_count: a body's n-gram that occurs so often or less is not continued.
  """

  views: tuple[str, ...] = ('body', 'title')
  body_length: int = 10
  body_beams: int = 15
  title_length: int = 15
  title_beams: int = 15
  constrained: bool = True
  keep_all: bool = True
  rescore: bool = True
  query_ngrams: int = 3
  unigrams: bool = True
  use_markers: bool = True
  grade: str | None = 'gold'
  min_length: int = 0
  num_groups: int = 1
  diversity_penalty: float = 0.5
  stop_count: int = 0

  def __post_init__(self) -> None:
    # A list, as a gin file may give, would make the options unhashable.
    object.__setattr__(self, 'views', tuple(self.views))
    for view in self.views:
      arguments.check_choice('views', view, VIEWS)
    arguments.check_at_least(
      body_length=(self.body_length, 1),
      body_beams=(self.body_beams, 1),
      title_length=(self.title_length, 1),
      title_beams=(self.title_beams, 1),
      query_ngrams=(self.query_ngrams, 0),
      min_length=(self.min_length, 0),
      stop_count=(self.stop_count, 0),
    )


class QueryKeys(NamedTuple):
  """The keys of one query.

  Attributes:
    keys: distinct n-grams of the corpus, titles and queries with their marks.
    log_probabilities: float32, one for each.
    views: 'body', 'title' or 'query' for each; the query's words are of the
      body.
    unigram_log_probabilities: float32 [V], of each token as the first one of an
      n-gram of the body; None unless asked for.
  """

  keys: list[Key]
  log_probabilities: np.ndarray
  views: list[str]
  unigram_log_probabilities: np.ndarray | None


class _Found(NamedTuple):
  """Keys of one kind for each of some queries.

  Attributes:
    view: of all of them.
    keys: of each query, with the log-probabilities that the search gave them.
    variant: the input that scores them; None where the search has done it.
  """

  view: str
  keys: list[dict[Key, float]]
  variant: _Variant | None


@dataclasses.dataclass(frozen=True)
class _Setting:
  """What does not change from batch to batch."""

  module: Transformer
  params: Any
  index: FMIndex
  marks: Markers
  pieces: sentencepiece.SentencePieceProcessor
  options: KeyOptions
  input_length: int
  batch_size: int

  def variant(self, view: str) -> _Variant:
    """What the input says that asks for a view."""
    return view if self.options.use_markers else None, self.options.grade

  def inputs(
    self, tokens: Sequence[Sequence[int]], variant: _Variant
  ) -> np.ndarray:
    """What the encoder reads, int32 [Q, T], padded with 0."""
    rows = np.zeros((len(tokens), self.input_length), np.int32)
    view, grade = variant
    for row, query in zip(rows, tokens, strict=True):
      marked = mark_inputs(
        query, self.marks, view=view, grade=grade, max_length=self.input_length
      )
      row[: len(marked)] = marked
    return rows

  def occurring(self, keys: list[dict[Key, float]]) -> list[dict[Key, float]]:
    """Those that the corpus has."""
    counts = iter(self.index.count_batch(list(itertools.chain(*keys))).tolist())
    return [
      {key: score for key, score in part.items() if next(counts)}
      for part in keys
    ]


def generate_keys(
  module: Transformer,
  params: Any,
  index: FMIndex,
  marks: Markers,
  pieces: sentencepiece.SentencePieceProcessor,
  queries: Sequence[str],
  *,
  options: KeyOptions,
  input_length: int,
  batch_size: int,
) -> list[QueryKeys]:
  """Finds the keys of queries, in batches of one shape.

  Each batch takes a search for each view and one pass over trees; the last batch
  is filled up, so that all run the same compiled programs. The unigrams of a
  query take V floats: for very many queries, call this for some at a time.

  Args:
    module: the model.
    params: its parameters.
    index: the corpus, rows of `views.document_rows`.
    marks: the ids of the marks.
    pieces: the text vocabulary.
    queries: any texts; an empty one has keys as well, but none of its words.
    options: which keys to find.
    input_length: the most tokens of an input, marks and eos included; longer
      queries are cut, but for the n-grams of their words.
    batch_size: queries decoded at a time.

  Returns:
    The keys of each query in order.

  Raises:
    ValueError: an argument is out of range, or the index, the marks and the
      model do not fit each other.
  """
  arguments.check_at_least(batch_size=(batch_size, 1))
  if max(marks.ids) >= module.config.vocab_size:
    raise ValueError(
      f'Expected a model with rows for the marks, up to {max(marks.ids)}, got '
      f'vocab_size={module.config.vocab_size}; see views.vocab_size.'
    )
  setting = _Setting(
    *(module, params, index, marks, pieces, options, input_length, batch_size)
  )
  constraints = {view: _constraint(setting, view) for view in options.views}
  found: list[QueryKeys] = []
  for first in range(0, len(queries), batch_size):
    batch = list(queries[first : first + batch_size])
    tokens = pieces.encode(batch)
    kinds = [
      _decoded(setting, view, constraint, tokens)
      for view, constraint in constraints.items()
    ]
    if options.query_ngrams:
      kinds.append(_of_words(setting, batch))
    table, unigrams = _scores(setting, kinds, tokens)
    found += _joined(kinds, table, unigrams, len(batch))
  return found


def _constraint(setting: _Setting, view: str) -> protocol.Constraint | None:
  index, marks, options = setting.index, setting.marks, setting.options
  if view == 'body':
    return body_constraint(index, options, setting.module.config.vocab_size)
  if not options.constrained:
    return None
  inside = index.constraint(end_id=marks.end)
  return start_after(inside, [getattr(marks, view)])


def body_constraint(
  index: FMIndex, options: KeyOptions, vocab_size: int
) -> protocol.Constraint:
  """What allows n-grams of body_length tokens, and nothing shorter to end.

  Args:
    index: the corpus.
    options: whether they must occur in it, and how often to be continued.
    vocab_size: tokens of the model.
  """
  if options.constrained:
    return index.constraint(stop_count=options.stop_count)
  # eos may only be the last of body_length tokens, and what has it vanishes.
  return limit_length(
    protocol.unconstrained(vocab_size),
    min_length=options.body_length,
    eos_id=EOS_ID,
  )


def _decoded(
  setting: _Setting,
  view: str,
  constraint: protocol.Constraint | None,
  tokens: Sequence[Sequence[int]],
) -> _Found:
  """The keys that the model writes for a view."""
  options, marks = setting.options, setting.marks
  variant, is_body = setting.variant(view), view == 'body'
  num_beams = options.body_beams if is_body else options.title_beams
  rows = setting.inputs(tokens, variant)
  output = generate(
    setting.module,
    setting.params,
    np.pad(rows, ((0, setting.batch_size - len(rows)), (0, 0))),
    constraint,
    num_beams=num_beams,
    max_length=options.body_length if is_body else options.title_length,
    eos_id=EOS_ID if is_body else marks.end,
    keep_candidates=2 * num_beams if options.keep_all else 0,
    num_groups=options.num_groups,
    diversity_penalty=options.diversity_penalty,
  )
  written = _written(jax.device_get(output), len(tokens))
  if not is_body:
    begin = getattr(marks, view)
    titles = [
      {(begin, *k): score for k, score in part.items() if k[-1] == marks.end}
      for part in written
    ]
    return _Found(view, setting.occurring(titles), None)
  mark_ids = frozenset(marks.ids)
  ngrams = [
    {
      key: score
      for key, score in part.items()
      if options.min_length in (0, len(key)) and mark_ids.isdisjoint(key)
    }
    for part in written
  ]
  is_scored = variant == _BARE or not options.rescore
  return _Found(view, setting.occurring(ngrams), None if is_scored else _BARE)


def _of_words(setting: _Setting, queries: Sequence[str]) -> _Found:
  """n-grams of the queries' own words; the search gives them no score.

  Not those with an unknown piece, which says any word that has one.
  """
  options = setting.options
  keys = [
    {
      tuple(row): np.nan
      for row in setting.pieces.encode(cased_spans(query, options.query_ngrams))
      if row and UNK_ID not in row and options.min_length in (0, len(row))
    }
    for query in queries
  ]
  return _Found('body', setting.occurring(keys), setting.variant('body'))


def _written(output: BeamSearchOutput, count: int) -> list[dict[Key, float]]:
  """What a search has found for the first queries, with its scores."""
  steps, found = output.candidates, []
  for query in range(count):
    if steps is None:
      legal = np.asarray(output.legal[query])
      tokens, scores = output.tokens[query][legal], output.scores[query][legal]
      lengths = output.lengths[query][legal]
    else:
      legal = np.asarray(steps.legal[query])
      tokens, scores = steps.tokens[query][legal], steps.scores[query][legal]
      lengths = np.nonzero(legal)[0] + 1
    rows = zip(tokens.tolist(), lengths.tolist(), scores.tolist(), strict=True)
    found.append({tuple(row[:length]): score for row, length, score in rows})
  return found


def _scores(
  setting: _Setting, kinds: Sequence[_Found], tokens: Sequence[Sequence[int]]
) -> tuple[dict[tuple[_Variant, int], dict[Key, float]], np.ndarray | None]:
  """Log-probabilities of what no search has scored, and unigrams [Q, V].

  A row is an input of a query, and its tree all keys that are scored under it.

  Returns:
    The keys of each input and query, and the first steps of inputs for the body.
  """
  options, batch_size = setting.options, setting.batch_size
  variants = [kind.variant for kind in kinds if kind.variant is not None]
  if options.unigrams:  # The first rows are those whose first step is wanted.
    variants.insert(0, setting.variant('body'))
  variants = list(dict.fromkeys(variants))
  if not variants:
    return {}, None
  rows = {
    (variant, i): [
      key for kind in kinds if kind.variant == variant for key in kind.keys[i]
    ]
    for variant in variants
    for i in range(len(tokens))
  }
  # As many nodes as the n-grams of a search may need, whatever this batch does.
  nodes = 32
  if options.rescore and 'body' in options.views:
    nodes = max(options.body_beams * (options.body_length - 1) + 1, nodes)
  scores = score_tree.log_probabilities(
    setting.module,
    setting.params,
    np.concatenate([setting.inputs(tokens, variant) for variant in variants]),
    [score_tree.build(keys) for keys in rows.values()],
    first_steps=batch_size if options.unigrams else 0,
    batch_size=batch_size * len(variants),
    min_nodes=nodes,
  )
  values = (x.tolist() for x in scores.log_probabilities)
  table = {
    row: dict(zip(keys, found, strict=True))
    for (row, keys), found in zip(rows.items(), values, strict=True)
  }
  first = scores.first_step
  return table, None if first is None else first[: len(tokens)]


def _joined(
  kinds: Sequence[_Found],
  table: Mapping[tuple[_Variant, int], Mapping[Key, float]],
  unigrams: np.ndarray | None,
  count: int,
) -> list[QueryKeys]:
  """The keys of all kinds for each query, the first of equal ones."""
  found = []
  for i in range(count):
    joined: dict[Key, tuple[float, str]] = {}
    for kind in kinds:
      known = kind.keys[i] if kind.variant is None else table[kind.variant, i]
      for key in kind.keys[i]:
        joined.setdefault(key, (known[key], kind.view))
    found.append(
      QueryKeys(
        list(joined),
        np.array([score for score, _ in joined.values()], np.float32),
        [view for _, view in joined.values()],
        None if unigrams is None else unigrams[i],
      )
    )
  return found
