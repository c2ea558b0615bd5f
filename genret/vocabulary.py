# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Text vocabularies: SentencePiece models in T5's layout.

Token ids follow T5: 0 is padding (and the decoder's start), 1 ends a sequence,
2 is the unknown piece. Identifier schemes append their own tokens behind the
text pieces, so one table of ids serves both sides of a model.

The bytes of ByT5 are such a model too: one without any piece, which spells every
character by its bytes (`byte_model`).
"""

import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

PAD_ID = 0
EOS_ID = 1
UNK_ID = 2

# The name of the SentencePiece model in a folder of identifiers.
VOCABULARY_FILE = 'spiece.model'

# In place of a model file: the bytes of ByT5.
BYTES = 'bytes'

# Under this name the metadata of identifiers hold the hash of their vocabulary.
HASH_FIELD = 'vocabulary_hash'


def train_vocabulary(
  texts: Iterable[str],
  path: str | os.PathLike[str],
  *,
  size: int = 8000,
  lowercase: bool = True,
) -> sentencepiece.SentencePieceProcessor:
  """Trains a unigram SentencePiece model and writes it to `path`.

  Deterministic for the same texts in the same order. Digits are pieces of
  their own, so that identifiers written as numbers always have a spelling.

  Args:
    texts: the corpus, any number of strings.
    path: where the model goes; a temporary file is renamed to it.
    size: the number of pieces wanted; fewer come out of a small corpus.
    lowercase: fold case (`nmt_nfkc_cf`) instead of keeping it (`nmt_nfkc`).

  Returns:
    The trained model, loaded.

  Raises:
    ValueError: if the texts hold no character, or `size` is below 16 or below
      the number of characters.
  """
  if size < 16:
    raise ValueError(
      f'A vocabulary needs at least 16 pieces, got size={size}; ask for more.'
    )
  sentences = (line for text in texts for line in text.split('\n') if line)
  first = next(sentences, None)
  if first is None:
    raise ValueError(
      'Expected text to train a vocabulary on, got none; check the corpus.'
    )
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=(s for part in ([first], sentences) for s in part),
      model_writer=model,
      vocab_size=size,
      hard_vocab_limit=False,  # a small corpus yields fewer pieces, not an error
      model_type='unigram',
      normalization_rule_name='nmt_nfkc_cf' if lowercase else 'nmt_nfkc',
      split_digits=True,
      required_chars='0123456789',
      character_coverage=0.9999,
      byte_fallback=False,
      max_sentence_length=100_000,
      num_threads=1,
      pad_id=PAD_ID,
      eos_id=EOS_ID,
      unk_id=UNK_ID,
      bos_id=-1,
      minloglevel=2,
    )
  except RuntimeError as error:
    raise ValueError(
      f'Expected text to train {size} pieces on, SentencePiece refused it '
      f'({error}); check the corpus, or ask for more pieces.'
    ) from error
  return _write(path, model.getvalue())


def byte_model() -> bytes:
  """The vocabulary of ByT5 as a SentencePiece model of 259 pieces, serialised.

  Byte b is token b + 3 (Xue et al., TACL 2022, https://arxiv.org/abs/2105.13626).
  Text is neither normalised nor trimmed, and nothing is unknown. ByT5 has 384 rows,
  of which the last 125 mark spans in its pre-training.
  """
  # Here, since its generated code refuses versions of protobuf, and little asks.
  from sentencepiece import sentencepiece_model_pb2

  proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
  kinds = proto.SentencePiece
  for piece, kind in (
    ('<pad>', kinds.CONTROL),
    ('</s>', kinds.CONTROL),
    ('<unk>', kinds.UNKNOWN),
    *((f'<0x{byte:02X}>', kinds.BYTE) for byte in range(256)),
  ):
    proto.pieces.add(piece=piece, score=0.0, type=kind)
  trainer = proto.trainer_spec
  trainer.model_type = trainer.CHAR  # each character is looked up by itself
  trainer.byte_fallback = True
  trainer.vocab_size = len(proto.pieces)
  trainer.pad_id, trainer.eos_id, trainer.unk_id = PAD_ID, EOS_ID, UNK_ID
  trainer.bos_id = -1
  normalizer = proto.normalizer_spec
  normalizer.name = 'identity'
  normalizer.add_dummy_prefix = False
  normalizer.remove_extra_whitespaces = False
  normalizer.escape_whitespaces = False
  return proto.SerializeToString(deterministic=True)


def copy_vocabulary(
  source: str | os.PathLike[str], path: str | os.PathLike[str]
) -> sentencepiece.SentencePieceProcessor:
  """Copies a SentencePiece model, checked as `load_vocabulary` does.

  Args:
    source: the model file, a folder that holds `spiece.model`, or `BYTES`.
    path: where the copy goes.
  """
  load_vocabulary(source)
  return _write(path, _content(source))


def _write(
  path: str | os.PathLike[str], model: bytes
) -> sentencepiece.SentencePieceProcessor:
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  temporary.write_bytes(model)
  os.replace(temporary, path)
  return load_vocabulary(path)


def load_vocabulary(
  path: str | os.PathLike[str], meta: Mapping[str, Any] | None = None
) -> sentencepiece.SentencePieceProcessor:
  """Loads a SentencePiece model and checks that its ids are T5's.

  Args:
    path: the model file, a folder that holds `spiece.model`, or `BYTES`.
    meta: of the identifiers beside it (`DocidTable.meta`), to check that the
      model is the one they were built with; ones without a hash of it pass.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if the file is no SentencePiece model, has other special ids or
      is not the one of the identifiers.
  """
  path = path if path == BYTES else model_file(path)
  if isinstance(path, Path) and not path.is_file():
    raise FileNotFoundError(
      f'Expected a SentencePiece model at {path}, found none; train one with '
      '`genret index docids`, or give the path of a spiece.model.'
    )
  expected = (meta or {}).get(HASH_FIELD)
  if expected is not None and expected != vocabulary_hash(path):
    raise ValueError(
      f'Expected the vocabulary that the identifiers were built with, {path} '
      'is another one, perhaps of a build that was interrupted; run `genret '
      'index docids` again.'
    )
  processor = sentencepiece.SentencePieceProcessor()
  try:
    processor.LoadFromSerializedProto(_content(path))
  except (OSError, RuntimeError) as error:
    raise ValueError(
      f'Expected a SentencePiece model, {path} is not one; train it again.'
    ) from error
  found = (processor.pad_id(), processor.eos_id(), processor.unk_id())
  if found != (PAD_ID, EOS_ID, UNK_ID):
    raise ValueError(
      f'Expected pad, eos, unk = 0, 1, 2 as in T5, {path} has {found}; train '
      'it with these ids.'
    )
  return processor


def vocabulary_hash(path: str | os.PathLike[str]) -> str:
  """sha256 (hex) of a model file, of the one in a folder, or of `BYTES`."""
  return hashlib.sha256(_content(path)).hexdigest()


def _content(path: str | os.PathLike[str]) -> bytes:
  return byte_model() if path == BYTES else model_file(path).read_bytes()


def model_file(path: str | os.PathLike[str]) -> Path:
  """The SentencePiece model: the file itself, or the one in a folder."""
  path = Path(path)
  return path / VOCABULARY_FILE if path.is_dir() else path


def encode(
  vocabulary: sentencepiece.SentencePieceProcessor,
  texts: Sequence[str],
  *,
  max_length: int,
) -> np.ndarray:
  """Tokenises a batch as seqio's `append_eos_after_trim` does.

  Args:
    vocabulary: the text pieces.
    texts: B strings; an empty one becomes a lone end-of-sequence.
    max_length: T, the row length, end-of-sequence included.

  Returns:
    int32 [B, T], padded with 0.

  Raises:
    ValueError: if `max_length` leaves no room for the end-of-sequence.
  """
  if max_length < 1:
    raise ValueError(
      f'Expected max_length of at least 1, got {max_length}; the row must '
      'hold the end-of-sequence.'
    )
  row_BxT = np.zeros((len(texts), max_length), np.int32)
  for row, pieces in zip(row_BxT, vocabulary.encode(list(texts)), strict=True):
    pieces = pieces[: max_length - 1]
    row[: len(pieces)] = pieces
    row[len(pieces)] = EOS_ID
  return row_BxT


def separator_tokens(
  vocabulary: sentencepiece.SentencePieceProcessor, separator: str
) -> list[int]:
  """The pieces of what stands between the titles of an answer.

  Tokenised alone, as each title is: in one text with them it could have others.

  Raises:
    ValueError: if it is blank or the vocabulary cannot spell it.
  """
  tokens = vocabulary.encode(separator)
  if not tokens or UNK_ID in tokens:
    raise ValueError(
      f'Expected a separator that the vocabulary can spell, got {separator!r}; '
      'choose another, or train the vocabulary on titles with it.'
    )
  return list(tokens)


def check_rows(
  vocabulary: sentencepiece.SentencePieceProcessor, rows: int
) -> None:
  """Refuses a vocabulary with more pieces than a model has rows.

  Raises:
    ValueError: naming both.
  """
  pieces = vocabulary.get_piece_size()
  if pieces > rows:
    raise ValueError(
      f'Expected a vocabulary of at most {rows} pieces, the rows of the model, '
      f'got {pieces}; use the one that the model was trained with.'
    )


def joint_size(text_pieces: int, identifier_tokens: int) -> int:
  """Rows of a model that holds both, rounded up to a multiple of 128.

  128 is what a TPU's lanes and any power-of-two number of model shards divide.
  """
  return -(-(text_pieces + identifier_tokens) // 128) * 128
