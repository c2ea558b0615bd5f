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

import os
import sys
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from genret import array_folder
from genret.constraints import fm_constraint, fm_rows, fm_segment, protocol
from genret.constraints.fm_segment import Segment
from genret.constraints.fm_text import flat_ngrams, read_documents

KIND = 'fm_index'
VERSION = 1

TokenSequences = Iterable[np.ndarray | Sequence[int]]
Ngram = np.ndarray | Sequence[int]

# A new segment takes in those before it that are less than this times its size.
_GROWTH = 4


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
  """

  def __init__(
    self,
    segments: Iterable[Segment],
    vocab_size: int,
    *,
    labels: Sequence[str] | None,
    num_numbers: int,
    sample_rate: int,
    segment_tokens: int,
  ) -> None:
    self.segments = tuple(segments)
    self.vocab_size = vocab_size
    self.labels = None if labels is None else list(labels)
    self._num_numbers = num_numbers
    self._sample_rate = sample_rate
    self._segment_tokens = segment_tokens
    self._number_of_label: dict[str, int] | None = None
    self._on_device: fm_constraint.Corpus | None = None

  @classmethod
  def build(
    cls,
    token_sequences: TokenSequences,
    vocab_size: int,
    *,
    labels: Sequence[str] | None = None,
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
      shards: into how many segments of like size to split the corpus, to spread
        it over as many devices.
      sample_rate: each such position keeps its place; locating an occurrence
        takes half as many steps, and 4 bytes over sample_rate a token.
      segment_tokens: a segment has no more tokens, unless one document has. A
        build needs about 14 bytes of memory a token of the largest segment.
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
    shard_tokens = -(-len(text) // shards)
    bounds = _bounds(start_D1, min(shard_tokens, segment_tokens))
    if progress:
      _print_estimate(start_D1, bounds)
    segments = [
      _segment(text, start_D1, np.arange(first, last), sample_rate, progress)
      for first, last in bounds
    ]
    return cls(
      segments,
      vocab_size,
      labels=labels,
      num_numbers=count,
      sample_rate=sample_rate,
      segment_tokens=min(max(2 * shard_tokens, 1), segment_tokens)
      if shards > 1
      else segment_tokens,
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
    """Bytes of the arrays that decoding needs; see `constraint`."""
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
    token, start_X1 = flat_ngrams(ngrams)
    count_X = np.zeros(len(start_X1) - 1, np.int64)
    empty_X = start_X1[1:] == start_X1[:-1]
    for segment in self.segments:
      low_X, high_X = fm_rows.intervals(segment, token, start_X1)
      live_X = fm_rows.live(segment, low_X, high_X)
      # Of all rows, one a document is that of its border.
      live_X[empty_X] -= int((~segment.removed_D).sum())
      count_X += live_X
    return count_X

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
    token, start_X1 = flat_ngrams(ngrams)
    parts = []
    for segment in self.segments:
      low_X, high_X = fm_rows.intervals(segment, token, start_X1)
      parts.append(fm_rows.continuations(segment, low_X, high_X))
    return _added_up(parts)

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
    token, start_X1 = flat_ngrams(ngrams)
    length_X = np.diff(start_X1)
    parts = [
      _located(segment, token, start_X1, length_X) for segment in self.segments
    ]
    ngram_Y, number_Y, offset_Y = map(
      np.concatenate, zip(_nothing(), *parts, strict=True)
    )
    order = np.lexsort((offset_Y, number_Y, ngram_Y))
    ngram_Y = ngram_Y[order]
    if limit is not None:
      first_X = np.searchsorted(ngram_Y, np.arange(len(length_X)))
      kept = np.arange(len(ngram_Y)) - first_X[ngram_Y] < limit
      order, ngram_Y = order[kept], ngram_Y[kept]
    return ngram_Y, number_Y[order], offset_Y[order]

  def allowed_tokens(
    self, prefix_rows: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may follow each row of tokens [N, P]: row and token."""
    rows, tokens, _ = self.continuations_batch(prefix_rows)
    return rows, tokens

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
    new = [
      _segment(
        text,
        start_D1,
        np.arange(first, last),
        self._sample_rate,
        first_number=self._num_numbers,
      )
      for first, last in _bounds(start_D1, self._segment_tokens)
    ]
    self._num_numbers += count
    if self.labels is not None and labels is not None:
      self.labels += labels
      self._known_labels().update(zip(labels, numbers, strict=True))
    segments = list(self.segments)
    for segment in new:
      segments.append(segment)
      while len(segments) > 1 and self._should_merge(*segments[-2:]):
        segments[-2:] = [_merged(segments[-2:], self._sample_rate)]
    self._set_segments(segments)
    return numbers

  def remove(self, doc_ids: Iterable[str | int]) -> None:
    """Removes documents; a segment that has lost half its tokens is rebuilt.

    Args:
      doc_ids: labels, or numbers if the index has no labels.

    Raises:
      ValueError: there is no such document; the index is as it was.
    """
    numbers = np.unique(
      np.array([self._live_number(doc_id) for doc_id in doc_ids], np.int64)
    )
    segments = []
    for segment in self.segments:
      gone = np.flatnonzero(np.isin(segment.number_D, numbers))
      if len(gone):
        segment = fm_rows.remove(segment, gone)
        length_D = np.diff(segment.start_D1)
        if 2 * length_D[segment.removed_D].sum() >= length_D.sum():
          segment = _merged([segment], self._sample_rate)
      if len(segment.number_D):
        segments.append(segment)
    if self.labels is not None:
      known = self._known_labels()
      for number in numbers.tolist():
        del known[self.labels[number]]
    self._set_segments(segments)

  def compact(self) -> None:
    """Clears removal marks and merges segments as far as their limit allows."""
    groups: list[list[Segment]] = []
    for segment in self.segments:
      if groups and len(segment.text) + sum(
        len(other.text) for other in groups[-1]
      ) <= max(self._segment_tokens, 1):
        groups[-1].append(segment)
      else:
        groups.append([segment])
    merged = [
      _merged(group, self._sample_rate)
      if len(group) > 1 or group[0].removed_D.any()
      else group[0]
      for group in groups
    ]
    self._set_segments([s for s in merged if len(s.number_D)])

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
      first.vocab_size,
      labels=labels,
      num_numbers=offset,
      sample_rate=first._sample_rate,
      segment_tokens=first._segment_tokens,
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
    if self._on_device is None or mesh is not None:
      corpus = fm_constraint.put(self.segments, self.vocab_size, mesh)
      if mesh is None:
        self._on_device = corpus
    else:
      corpus = self._on_device
    return fm_constraint.constraint(
      corpus, eos_id=eos_id, stop_count=stop_count, end_id=end_id
    )

  # Files.

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the index to a folder; see `genret.array_folder.save`."""
    arrays = {
      f'segment{i}_{name}': array
      for i, segment in enumerate(self.segments)
      for name, array in segment._asdict().items()
    }
    if self.labels is not None:
      text, offsets = array_folder.pack_text(self.labels)
      arrays |= {'label_bytes': text, 'label_offsets': offsets}
    array_folder.save(
      path,
      kind=KIND,
      version=VERSION,
      arrays=arrays,
      meta={
        'vocab_size': self.vocab_size,
        'num_segments': len(self.segments),
        'num_numbers': self._num_numbers,
        'sample_rate': self._sample_rate,
        'segment_tokens': self._segment_tokens,
      },
    )

  @classmethod
  def load(cls, path: str | os.PathLike[str]) -> FMIndex:
    """Opens an index written by `save`, its arrays mapped into memory.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: the folder is damaged or foreign.
    """
    arrays, meta = array_folder.load(path, kind=KIND, version=VERSION)
    segments = []
    for i in range(meta['num_segments']):
      segment = Segment(
        *(arrays[f'segment{i}_{name}'] for name in Segment._fields)
      )
      fm_segment.check(segment, path)
      segments.append(fm_segment.read_only(segment))
    labels = None
    if 'label_bytes' in arrays:
      labels = array_folder.unpack_text(
        arrays['label_bytes'], arrays['label_offsets']
      )
    return cls(
      segments,
      meta['vocab_size'],
      labels=labels,
      num_numbers=meta['num_numbers'],
      sample_rate=meta['sample_rate'],
      segment_tokens=meta['segment_tokens'],
    )

  def _set_segments(self, segments: Sequence[Segment]) -> None:
    self.segments = tuple(map(fm_segment.read_only, segments))
    self._on_device = None

  def _should_merge(self, older: Segment, newer: Segment) -> bool:
    old, new = len(older.text), len(newer.text)
    return old < _GROWTH * max(new, 1) and old + new <= self._segment_tokens

  def _known_labels(self) -> dict[str, int]:
    """Number by label, of the documents that are there."""
    if self._number_of_label is None:
      labels = self.labels or []
      numbers = self.numbers().tolist()
      self._number_of_label = {labels[n]: n for n in numbers}
    return self._number_of_label

  def _live_number(self, doc_id: str | int) -> int:
    if self.labels is None:
      self.document(int(doc_id))
      return int(doc_id)
    number = self._known_labels().get(str(doc_id))
    if number is None:
      raise ValueError(
        f'Expected the label of a document but got {doc_id!r}, which the index '
        'does not have; see labels.'
      )
    return number


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  none = np.zeros(0, np.int64)
  return none, none, none


def _located(
  segment: Segment,
  token: np.ndarray,
  start_X1: np.ndarray,
  length_X: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  low_X, high_X = fm_rows.intervals(segment, token, start_X1)
  ngram_Y, document_Y, offset_Y = fm_rows.locate(
    segment, low_X, high_X, length_X
  )
  # The empty n-gram has a row at the end of each document, too.
  inside = offset_Y < np.diff(segment.start_D1)[document_Y]
  document_Y = document_Y[inside]
  return ngram_Y[inside], segment.number_D[document_Y], offset_Y[inside]


def _added_up(
  parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Continuations in several segments as those in all."""
  if len(parts) == 1:
    return parts[0]
  ngram_Y, token_Y, count_Y = map(
    np.concatenate, zip(_nothing(), *parts, strict=True)
  )
  order = np.lexsort((token_Y, ngram_Y))
  ngram_Y, token_Y = ngram_Y[order], token_Y[order]
  new_Y = np.ones(len(order), bool)
  new_Y[1:] = (np.diff(ngram_Y) != 0) | (np.diff(token_Y) != 0)
  first = np.flatnonzero(new_Y)
  counts = np.add.reduceat(count_Y[order], first) if len(first) else count_Y
  return ngram_Y[first], token_Y[first], counts


def _bounds(start_D1: np.ndarray, most_tokens: int) -> list[tuple[int, int]]:
  """Ranges of documents of at most so many tokens, or of one document."""
  bounds, first, documents = [], 0, len(start_D1) - 1
  while first < documents:
    limit = start_D1[first] + most_tokens
    last = int(np.searchsorted(start_D1, limit, side='right')) - 1
    last = max(last, first + 1)
    bounds.append((first, last))
    first = last
  return bounds


def _segment(
  text: np.ndarray,
  start_D1: np.ndarray,
  document: np.ndarray,
  sample_rate: int,
  progress: bool = False,
  first_number: int = 0,
) -> Segment:
  """The segment of a range of documents."""
  start = start_D1[document[0] : document[-1] + 2]
  if progress:
    print(
      f'sorting {start[-1] - start[0]:,} tokens of documents '
      f'{document[0]:,} to {document[-1]:,} ...',
      file=sys.stderr,
      flush=True,
    )
  return fm_segment.build(
    text[start[0] : start[-1]],
    start - start[0],
    document.astype(np.int64) + first_number,
    sample_rate=sample_rate,
  )


def _merged(segments: Sequence[Segment], sample_rate: int) -> Segment:
  """One segment of the documents that are left in several."""
  texts, lengths, numbers = [], [], []
  for segment in segments:
    length_D = np.diff(segment.start_D1)
    texts.append(segment.text[np.repeat(~segment.removed_D, length_D)])
    lengths.append(length_D[~segment.removed_D])
    numbers.append(segment.number_D[~segment.removed_D])
  number_D = np.concatenate(numbers)
  start_D1 = np.zeros(len(number_D) + 1, np.int64)
  np.cumsum(np.concatenate(lengths), out=start_D1[1:])
  return fm_segment.build(
    np.concatenate(texts), start_D1, number_D, sample_rate=sample_rate
  )


def _checked_labels(
  labels: Sequence[str], count: int, known: dict[str, int]
) -> list[str]:
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


def _print_estimate(
  start_D1: np.ndarray, bounds: list[tuple[int, int]]
) -> None:
  tokens, documents = int(start_D1[-1]), len(start_D1) - 1
  peak = max(
    (
      fm_segment.bytes_to_build(
        int(start_D1[last] - start_D1[first]), last - first
      )
      for first, last in bounds
    ),
    default=0,
  )
  print(
    f'{documents:,} documents, {tokens:,} tokens, {len(bounds)} segments; '
    f'needs about {(peak + 6 * tokens) / 1e6:,.0f} MB of memory',
    file=sys.stderr,
    flush=True,
  )
