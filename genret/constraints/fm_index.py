# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""An FM-index of a corpus: n-grams that occur, how often, where, what follows.

The index behind SEAL (Bevilacqua et al., 2022), in segments of whole documents:
new documents make a small segment that merges with its neighbours as they grow,
removed ones are marked and cleared when their segment is built again, and a
large corpus is spread over devices by segments. Each answer is that of an index
built at once over the documents that are there.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from genret.constraints import (
  fm_constraint,
  fm_files,
  fm_growth,
  fm_questions,
  fm_segment,
  fm_shards,
  protocol,
  torch_adapters,
)
from genret.constraints.fm_segment import Segment
from genret.constraints.fm_text import flat_ngrams, read_documents

TokenSequences = Iterable[np.ndarray | Sequence[int]]
Ngram = np.ndarray | Sequence[int]


class FMIndex:
  """n-grams of a corpus; see `build`, `load` and `genret.beam_search`.

  Documents have numbers, in order of arrival, which they keep for good, and
  labels if the corpus has them. An n-gram lies within one document. The empty
  n-gram occurs before every token. What is not in the vocabulary, or was
  removed, does not occur.

  Attributes:
    segments: the arrays, see `fm_segment.Segment`.
    vocab_size: number of tokens, V.
    labels: the label of each document by number, or None.
    meta: what the caller wants to know of the index, such as the hash of the
      vocabulary; anything JSON can hold.
  """

  def __init__(
    self,
    segments: Iterable[Segment],
    *,
    vocab_size: int,
    labels: Sequence[str] | None,
    meta: Mapping[str, Any] | None = None,
    num_numbers: int,
    sample_rate: int,
    segment_tokens: int,
    shards: int = 1,
  ) -> None:
    self.segments = tuple(segments)
    self.vocab_size = vocab_size
    self.labels = None if labels is None else list(labels)
    self.meta = dict(meta or {})
    self._num_numbers = num_numbers
    self._sample_rate = sample_rate
    self._segment_tokens = segment_tokens
    self._shards = shards
    self._number_of_label: dict[str, int] | None = None
    self._on_device: dict[jax.sharding.Mesh | None, fm_shards.Corpus] = {}

  @classmethod
  def build(
    cls,
    token_sequences: TokenSequences,
    vocab_size: int,
    *,
    labels: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    shards: int = 1,
    sample_rate: int = 8,
    segment_tokens: int = 1 << 29,
    progress: bool = False,
  ) -> FMIndex:
    """Indexes documents.

    Args:
      token_sequences: the documents, any iterable of integer arrays or lists,
        read once; empty ones are allowed.
      vocab_size: V, at most 2^31.
      labels: a distinct name for each document.
      meta: kept with the index; anything JSON can hold.
      shards: into how many segments of like size to split the corpus, to spread
        it over as many devices.
      sample_rate: each such position keeps its place; locating an occurrence
        takes half as many steps, and 4 bytes over sample_rate a token.
      segment_tokens: a segment has no more tokens, unless one document has. A
        build needs about 15 bytes of memory a token of the largest segment, its
        text included (22 above 2^31 bytes of tokens).
      progress: say how much memory it will take, and show how far it is.

    Raises:
      ValueError: a token lies outside the vocabulary, the labels do not fit, or
        an argument is out of range.
    """
    for name, value in (
      ('shards', shards),
      ('sample_rate', sample_rate),
      ('segment_tokens', segment_tokens),
    ):
      if value < 1:
        raise ValueError(
          f'Expected {name} of at least 1 but got {value}; pass a greater number.'
        )
    text, start_D1 = read_documents(
      token_sequences, vocab_size, progress=progress
    )
    count = len(start_D1) - 1
    if labels is not None:
      labels = _checked_labels(labels, count, {})
    segments = fm_growth.split(
      text,
      start_D1,
      vocab_size=vocab_size,
      shards=shards,
      segment_tokens=segment_tokens,
      sample_rate=sample_rate,
      progress=progress,
    )
    if shards > 1:  # Shards stay shards as documents are added.
      segment_tokens = min(segment_tokens, max(2 * len(text) // shards, 1))
    return cls(
      segments,
      vocab_size=vocab_size,
      labels=labels,
      meta=meta,
      num_numbers=count,
      sample_rate=sample_rate,
      segment_tokens=segment_tokens,
      shards=shards,
    )

  # What there is.

  def __len__(self) -> int:
    """Number of documents that were not removed."""
    return sum(int((~s.removed_D).sum()) for s in self.segments)

  @property
  def num_tokens(self) -> int:
    """Number of their tokens."""
    return int(self.count_batch([()])[0])

  @property
  def nbytes(self) -> int:
    """Bytes of all arrays."""
    return sum(array.nbytes for segment in self.segments for array in segment)

  @property
  def decoding_nbytes(self) -> int:
    """Bytes of the arrays that decoding reads; see `constraint`.

    A device holds a table of 4 bytes for each token of the vocabulary, too.
    """
    return sum(
      getattr(segment, name).nbytes
      for segment in self.segments
      for name in fm_segment.DECODING
    )

  def __repr__(self) -> str:
    return (
      f'FMIndex({len(self)} documents, {self.num_tokens} tokens, '
      f'vocab_size={self.vocab_size}, {len(self.segments)} segments)'
    )

  def numbers(self) -> np.ndarray:
    """Numbers of the documents that were not removed, ascending, int64."""
    parts = [s.number_D[~s.removed_D] for s in self.segments]
    return np.concatenate([np.zeros(0, np.int64), *parts])

  def number_of(self, label: str) -> int:
    """The number of the document that has a label now.

    Raises:
      ValueError: none has, or the index has no labels.
    """
    return self._live_number(label)

  def document(self, number: int) -> np.ndarray:
    """The tokens of a document, uint16 or int32.

    Raises:
      ValueError: there is no such document, or it was removed.
    """
    for segment in self.segments:
      at = int(np.searchsorted(segment.number_D, number))
      if at < len(segment.number_D) and segment.number_D[at] == number:
        if segment.removed_D[at]:
          break
        return segment.text[segment.start_D1[at] : segment.start_D1[at + 1]]
    raise ValueError(
      f'Expected the number of a document but got {number}, which '
      f'{"was removed" if 0 <= number < self._num_numbers else "never was"}; '
      'see numbers().'
    )

  def document_batch(self, numbers: Iterable[int]) -> list[np.ndarray]:
    """The tokens of many documents."""
    return [self.document(number) for number in numbers]

  # n-grams: one, or many at once.

  def count(self, ngram: Ngram) -> int:
    """How often an n-gram occurs."""
    return int(self.count_batch([ngram])[0])

  def count_batch(self, ngrams: TokenSequences) -> np.ndarray:
    """How often each n-gram occurs, int64.

    Args:
      ngrams: sequences of integers, or a two-dimensional array of them.
    """
    return fm_questions.count(self.segments, *flat_ngrams(ngrams))

  def continuations(self, ngram: Ngram) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that follow an n-gram, ascending, and how often; int64."""
    _, tokens, counts = self.continuations_batch([ngram])
    return tokens, counts

  def continuations_batch(
    self, ngrams: TokenSequences
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `continuations` for many n-grams, flat.

    Returns:
      ngram: int64, which n-gram each continuation belongs to, ascending.
      tokens: int64, ascending for each n-gram.
      counts: int64.
    """
    return fm_questions.continuations(self.segments, *flat_ngrams(ngrams))

  def locate(
    self, ngram: Ngram, limit: int | None = None
  ) -> list[tuple[int, int]]:
    """Where an n-gram occurs: (document number, offset in it), ascending.

    Args:
      ngram: tokens.
      limit: return the first so many only. All are found first: what this
        saves is memory, not time.
    """
    _, documents, offsets = self.locate_batch([ngram], limit)
    return list(zip(documents.tolist(), offsets.tolist(), strict=True))

  def locate_batch(
    self, ngrams: TokenSequences, limit: int | None = None
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `locate` for many n-grams, flat.

    Returns:
      ngram, document number, offset: int64, in ascending order.
    """
    if limit is not None and limit < 0:
      raise ValueError(
        f'Expected limit of at least 0 but got {limit}; pass None for all.'
      )
    return fm_questions.locate(self.segments, *flat_ngrams(ngrams), limit)

  def allowed_tokens(
    self, prefix_rows: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may follow each row of tokens [N, P]: row and token."""
    rows, tokens, _ = self.continuations_batch(np.asarray(prefix_rows))
    return rows, tokens

  def as_prefix_allowed_tokens_fn(
    self, *, eos_id: int = 1, num_skipped: int = 1
  ) -> Callable[[int, Any], list[int]]:
    """For transformers: see `torch_adapters.prefix_allowed_tokens_fn`."""
    return torch_adapters.prefix_allowed_tokens_fn(
      self, eos_id=eos_id, num_skipped=num_skipped
    )

  def as_logits_processor(
    self, num_beams: int = 1, *, eos_id: int = 1, num_skipped: int = 1
  ) -> torch_adapters.LogitsProcessor:
    """For transformers: see `torch_adapters.logits_processor`."""
    return torch_adapters.logits_processor(
      self, eos_id=eos_id, num_beams=num_beams, num_skipped=num_skipped
    )

  # Growing.

  def add(
    self,
    token_sequences: TokenSequences,
    *,
    labels: Sequence[str] | None = None,
  ) -> range:
    """Adds documents, without indexing all others again.

    Args:
      token_sequences: as for `build`.
      labels: their names, distinct from all others, if the index has labels.

    Returns:
      The numbers of the new documents.

    Raises:
      ValueError: as `build`; the index is as it was.
    """
    text, start_D1 = read_documents(token_sequences, self.vocab_size)
    count = len(start_D1) - 1
    if (labels is None) != (self.labels is None) and count:
      raise ValueError(
        f'Expected labels {"for" if labels is None else "of no"} new documents, '
        f'as the index has {"some" if labels is None else "none"}, but got '
        f'{"none" if labels is None else "some"}; build the index anew to '
        'change that.'
      )
    if labels is not None:
      labels = _checked_labels(labels, count, self._known_labels())
    numbers = range(self._num_numbers, self._num_numbers + count)
    if not count:
      return numbers
    new = fm_growth.split(
      text,
      start_D1,
      vocab_size=self.vocab_size,
      segment_tokens=self._segment_tokens,
      sample_rate=self._sample_rate,
      first_number=self._num_numbers,
    )
    self._set_segments(
      fm_growth.added(self.segments, new, **self._segment_options())
    )
    self._num_numbers += count
    if self.labels is not None and labels is not None:
      self._known_labels().update(zip(labels, numbers, strict=True))
      self.labels += labels
    return numbers

  def remove(self, doc_ids: Iterable[str | int]) -> None:
    """Removes documents; a segment that has lost half its tokens is rebuilt.

    Args:
      doc_ids: labels, or numbers if the index has no labels.

    Raises:
      ValueError: there is no such document; the index is as it was.
    """
    if isinstance(doc_ids, str | int):
      raise ValueError(
        f'Expected several documents to remove but got {doc_ids!r}; put it in a '
        'list.'
      )
    numbers = np.unique(
      np.array([self._live_number(doc_id) for doc_id in doc_ids], np.int64)
    )
    segments = fm_growth.removed(
      self.segments, numbers, sample_rate=self._sample_rate
    )
    if self.labels is not None:
      known = self._known_labels()
      for number in numbers.tolist():
        del known[self.labels[number]]
    self._set_segments(segments)

  def compact(self) -> None:
    """Clears removal marks, and merges segments down to the number of shards."""
    self._set_segments(
      fm_growth.compacted(
        self.segments, wanted=self._shards, **self._segment_options()
      )
    )

  @classmethod
  def join(cls, indexes: Sequence[FMIndex]) -> FMIndex:
    """One index of several, built apart, whose documents follow each other.

    Raises:
      ValueError: they differ in vocabulary or in having labels, or share one.
    """
    if not indexes:
      raise ValueError('Expected at least one index but got none; pass some.')
    first = indexes[0]
    labels: list[str] | None = None if first.labels is None else []
    segments, offset = [], 0
    for index in indexes:
      if index.vocab_size != first.vocab_size:
        raise ValueError(
          f'Expected indexes of one vocabulary but got sizes '
          f'{first.vocab_size} and {index.vocab_size}; build them alike.'
        )
      if (index.labels is None) != (labels is None):
        raise ValueError(
          'Expected labels in all indexes or in none but got both; build them '
          'alike.'
        )
      if labels is not None and index.labels is not None:
        labels += index.labels
      for segment in index.segments:
        moved = segment._replace(number_D=segment.number_D + offset)
        segments.append(fm_segment.read_only(moved))
      offset += index._num_numbers
    joined = cls(
      segments,
      vocab_size=first.vocab_size,
      labels=labels,
      meta=first.meta,
      num_numbers=offset,
      sample_rate=first._sample_rate,
      segment_tokens=first._segment_tokens,
      shards=sum(index._shards for index in indexes),
    )
    if labels is not None and len(joined._known_labels()) != len(joined):
      raise ValueError(
        'Expected distinct labels but two indexes share one; rename it.'
      )
    return joined

  # Decoding.

  def constraint(
    self,
    *,
    eos_id: int | None = None,
    stop_count: int = 0,
    end_id: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
  ) -> protocol.Constraint:
    """What `genret.beam_search` walks: n-grams that occur in the corpus.

    Without further arguments an n-gram ends where the search's max_length does.

    Args:
      eos_id: allow eos after any n-gram of one token or more; the corpus must
        not have this token.
      stop_count: an n-gram that occurs so often or less is an answer at once.
      end_id: a token of the corpus that ends answers, such as the marker after
        a title; what has not reached it is no answer. Pass it as the search's
        eos_id, too.
      mesh: spread the segments over the devices of this mesh of one axis; each
        device then holds its share only.

    Raises:
      ValueError: the arguments exclude each other, or eos_id occurs.
    """
    if eos_id is not None and end_id is not None:
      raise ValueError(
        f'Expected eos_id or end_id but got both, {eos_id} and {end_id}; n-grams '
        'end anywhere or at a marker.'
      )
    if eos_id is not None and self.count([eos_id]):
      raise ValueError(
        f'Expected an eos_id that does not occur in the corpus but {eos_id} '
        'does; pass it as end_id to end n-grams where it occurs, or choose '
        'another token.'
      )
    for name, value in (('eos_id', eos_id), ('end_id', end_id)):
      if value is not None and not 0 <= value < self.vocab_size:
        raise ValueError(
          f'Expected {name} from 0 to {self.vocab_size - 1} but got {value}; '
          'pass a token of the vocabulary.'
        )
    if stop_count < 0:
      raise ValueError(
        f'Expected stop_count of at least 0 but got {stop_count}; 0 is none.'
      )
    return fm_constraint.constraint(
      self._corpus(mesh), eos_id=eos_id, stop_count=stop_count, end_id=end_id
    )

  # Files.

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the index to a folder; see `genret.array_folder.save`."""
    meta = {
      'meta': self.meta,
      'vocab_size': self.vocab_size,
      'num_numbers': self._num_numbers,
      'shards': self._shards,
      **self._segment_options(),
    }
    fm_files.save(path, self.segments, self.labels, meta)

  @classmethod
  def load(
    cls, path: str | os.PathLike[str], *, every_byte: bool = False
  ) -> FMIndex:
    """Opens an index written by `save`, its arrays mapped into memory.

    Args:
      path: the folder.
      every_byte: check files above 64 MiB whole; else samples of them.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: the folder is damaged or foreign.
    """
    segments, labels, meta = fm_files.load(path, every_byte=every_byte)
    return cls(segments, labels=labels, **meta)

  def _corpus(self, mesh: jax.sharding.Mesh | None = None) -> fm_shards.Corpus:
    """The segments on their devices, put there once."""
    if mesh not in self._on_device:
      # Arrays and not tracers, even where this is called inside jit.
      with jax.ensure_compile_time_eval():
        corpus = fm_shards.put(self.segments, self.vocab_size, mesh)
      self._on_device[mesh] = corpus
    return self._on_device[mesh]

  def _set_segments(self, segments: Sequence[Segment]) -> None:
    self.segments = tuple(map(fm_segment.read_only, segments))
    self._on_device = {}

  def _segment_options(self) -> dict[str, int]:
    return {
      'segment_tokens': self._segment_tokens,
      'sample_rate': self._sample_rate,
    }

  def _known_labels(self) -> dict[str, int]:
    """Number by label, of the documents that are there."""
    if self._number_of_label is None:
      labels = self.labels or []
      numbers = self.numbers().tolist()
      self._number_of_label = {labels[n]: n for n in numbers}
    return self._number_of_label

  def _live_number(self, doc_id: str | int) -> int:
    if self.labels is None:
      if isinstance(doc_id, str):
        raise ValueError(
          f'Expected the number of a document but got {doc_id!r}, and the index '
          'has no labels; build it with labels, or pass numbers.'
        )
      self.document(operator.index(doc_id))
      return int(doc_id)
    number = self._known_labels().get(str(doc_id))
    if number is None:
      raise ValueError(
        f'Expected the label of a document but got {doc_id!r}, which the index '
        'does not have; see labels.'
      )
    return number


class _InsideJit:
  """What jit makes of an `FMIndex` among its arguments: a constraint only."""

  def __init__(self, corpus: fm_shards.Corpus) -> None:
    self._corpus = corpus

  def constraint(self) -> protocol.Constraint:
    """As that of the index, without options."""
    return fm_constraint.constraint(self._corpus)


def _inside_jit(_: None, children: Any) -> Any:
  return _InsideJit(*children)


jax.tree_util.register_pytree_node(
  FMIndex, lambda index: ((index._corpus(),), None), _inside_jit
)
jax.tree_util.register_pytree_node(
  _InsideJit, lambda inside: ((inside._corpus,), None), _inside_jit
)


def _checked_labels(
  labels: Sequence[str], count: int, known: dict[str, int]
) -> list[str]:
  if isinstance(labels, str):
    raise ValueError(
      f'Expected a sequence of labels but got the text {labels!r}; put it in a '
      'list.'
    )
  labels = list(labels)
  if len(labels) != count:
    raise ValueError(
      f'Expected a label for each of {count} documents but got {len(labels)}; '
      'pass as many labels as documents.'
    )
  seen = set(known)
  for label in labels:
    if not isinstance(label, str):
      raise ValueError(
        f'Expected text as label but got {label!r}; convert it with str().'
      )
    if label in seen:
      raise ValueError(
        f'Expected distinct labels but {label!r} comes twice; rename one.'
      )
    seen.add(label)
  return labels
