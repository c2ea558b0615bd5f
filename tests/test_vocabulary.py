# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
import hashlib
import re

import numpy as np
import pytest
import sentencepiece
import seqio
import tiny_collection
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from genret import vocabulary

TEXTS = [f'{d.title}\n{d.text}' for d in tiny_collection.documents()]


def test_the_same_text_gives_the_same_file(tmp_path):
  first, second = tmp_path / 'a' / 'spiece.model', tmp_path / 'b.model'
  vocabulary.train_vocabulary(TEXTS, first, size=100)
  vocabulary.train_vocabulary(iter(TEXTS), second, size=100)
  assert first.read_bytes() == second.read_bytes()
  assert [path.name for path in first.parent.iterdir()] == ['spiece.model']


@pytest.mark.parametrize('size', [60, 8000])
def test_ids_are_those_of_t5_whatever_the_size(tmp_path, size):
  pieces = vocabulary.train_vocabulary(TEXTS, tmp_path / 'v', size=size)
  assert [pieces.id_to_piece(i) for i in range(3)] == ['<pad>', '</s>', '<unk>']
  assert pieces.get_piece_size() <= size
  assert pieces.piece_to_id('<pad>') == vocabulary.PAD_ID
  assert pieces.piece_to_id('</s>') == vocabulary.EOS_ID


def test_a_small_corpus_has_few_pieces(tmp_path):
  pieces = vocabulary.train_vocabulary(['one word'], tmp_path / 'v')
  assert 16 <= pieces.get_piece_size() < 100
  assert pieces.decode(pieces.encode('one word')) == 'one word'


def test_numbers_have_a_spelling_even_if_the_text_has_none(tmp_path):
  pieces = vocabulary.train_vocabulary(['only letters here'], tmp_path / 'v')
  for number in (0, 7, 10, 9876543210):
    row = pieces.encode(str(number))
    assert vocabulary.UNK_ID not in row
    assert pieces.decode(row) == str(number)


def test_digits_stay_apart(tmp_path):
  pieces = vocabulary.train_vocabulary(
    ['in 1999', 'by 1999'] * 9, tmp_path / 'v'
  )
  words = pieces.encode('1999', out_type=str)
  assert [word for word in words if word != '▁'] == ['1', '9', '9', '9']


@pytest.mark.parametrize('lowercase', [True, False])
def test_case_is_folded_where_asked(tmp_path, lowercase):
  texts = ['A Ship at Sea', 'the Ship', 'ship SEA a t', 'The']
  pieces = vocabulary.train_vocabulary(
    texts, tmp_path / 'v', size=60, lowercase=lowercase
  )
  expected = 'the ship' if lowercase else 'The Ship'
  assert pieces.decode(pieces.encode('The Ship')) == expected


@pytest.mark.parametrize('texts', [[], [''], ['', '\n\n']])
def test_training_needs_text(tmp_path, texts):
  with pytest.raises(
    ValueError, match=r'Expected text to train .*, got none; check the corpus\.'
  ):
    vocabulary.train_vocabulary(texts, tmp_path / 'v')
  assert not (tmp_path / 'v').exists()


def test_text_without_words_is_refused(tmp_path):
  with pytest.raises(
    ValueError, match=r'train 90 .* refused it .* check the c'
  ):
    vocabulary.train_vocabulary([' ', '\t'], tmp_path / 'v', size=90)


def test_training_needs_room(tmp_path):
  with pytest.raises(
    ValueError, match=r'train 20 pieces .* ask for more piece'
  ):
    vocabulary.train_vocabulary(TEXTS, tmp_path / 'v', size=20)
  with pytest.raises(ValueError, match='at least 16 pieces, got size=15'):
    vocabulary.train_vocabulary(TEXTS, tmp_path / 'v', size=15)


def test_a_copy_is_the_same_model(tmp_path):
  folder = tmp_path / 'from'
  path = folder / vocabulary.VOCABULARY_FILE
  vocabulary.train_vocabulary(TEXTS, path, size=80)
  for source in (folder, path, str(path)):
    copy = tmp_path / 'to' / 'copy.model'
    pieces = vocabulary.copy_vocabulary(source, copy)
    assert copy.read_bytes() == path.read_bytes()
    assert pieces.encode(TEXTS) == vocabulary.load_vocabulary(path).encode(
      TEXTS
    )
    copy.unlink()


def test_copying_onto_itself_keeps_the_model(tmp_path):
  path = tmp_path / 'v'
  vocabulary.train_vocabulary(TEXTS, path, size=80)
  before = path.read_bytes()
  vocabulary.copy_vocabulary(path, path)
  assert path.read_bytes() == before


def test_an_absent_or_foreign_file_is_refused(tmp_path):
  for path in (tmp_path, tmp_path / 'gone'):
    with pytest.raises(
      FileNotFoundError, match=r'model at .*, found none; tra'
    ):
      vocabulary.load_vocabulary(path)
  for content in (b'', b'no model', b'\x80' * 50):
    (tmp_path / 'spiece.model').write_bytes(content)
    with pytest.raises(ValueError, match=r'spiece\.model is not one; train it'):
      vocabulary.load_vocabulary(tmp_path)
    with pytest.raises(ValueError, match='is not one'):
      vocabulary.copy_vocabulary(tmp_path, tmp_path / 'copy')
  assert not (tmp_path / 'copy').exists()


def test_other_special_ids_are_refused(tmp_path):
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(TEXTS),
    model_prefix=str(tmp_path / 'other'),
    vocab_size=60,
    minloglevel=2,
  )
  with pytest.raises(
    ValueError, match=r'0, 1, 2 as in T5, .* has \(-1, 2, 0\); train it with'
  ):
    vocabulary.load_vocabulary(tmp_path / 'other.model')


@settings(max_examples=25)
@given(
  st.lists(st.text('a ship7ø\n', max_size=12), max_size=4), st.integers(1, 9)
)
def test_rows_are_trimmed_ended_and_padded(texts, max_length):
  pieces = tiny_collection.pieces()
  row_BxT = vocabulary.encode(pieces, texts, max_length=max_length)
  expected = []
  for text in texts:
    row = [*pieces.encode(text)[: max_length - 1], 1]
    expected.append(row + [0] * (max_length - len(row)))
  assert row_BxT.dtype == np.int32
  assert row_BxT.shape == (len(texts), max_length)
  assert row_BxT.tolist() == expected


def test_a_row_holds_at_least_its_end():
  with pytest.raises(ValueError, match='max_length of at least 1, got 0; the'):
    vocabulary.encode(tiny_collection.pieces(), ['a'], max_length=0)


@pytest.mark.parametrize(
  ('text', 'identifiers', 'rows'),
  [(0, 0, 0), (1, 0, 128), (100, 28, 128), (100, 29, 256), (32128, 0, 32128)],
)
def test_joint_size(text, identifiers, rows):
  assert vocabulary.joint_size(text, identifiers) == rows


def test_a_vocabulary_of_other_identifiers_is_refused(tmp_path):
  path = tmp_path / vocabulary.VOCABULARY_FILE
  vocabulary.train_vocabulary(TEXTS, path, size=60)
  digest = vocabulary.vocabulary_hash(tmp_path)
  assert digest == vocabulary.vocabulary_hash(path)
  assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
  # Identifiers of an older version, or made by hand, do not tell.
  for meta in (None, {}, {vocabulary.HASH_FIELD: digest}):
    vocabulary.load_vocabulary(tmp_path, meta)
  with pytest.raises(
    ValueError,
    match=r'^Expected the vocabulary that the identifiers were built with, '
    rf'{re.escape(str(path))} is another one, .*; run `genret index docids` '
    r'again\.$',
  ):
    vocabulary.load_vocabulary(tmp_path, {vocabulary.HASH_FIELD: '0' * 64})


def test_a_model_has_a_row_for_each_piece():
  pieces = tiny_collection.pieces()
  size = pieces.get_piece_size()
  vocabulary.check_rows(pieces, size)
  with pytest.raises(
    ValueError,
    match=f'of at most {size - 1} pieces, the rows of .* got {size};',
  ):
    vocabulary.check_rows(pieces, size - 1)


def test_a_vocabulary_by_its_folder(tmp_path):
  file = tmp_path / vocabulary.VOCABULARY_FILE
  assert vocabulary.model_file(tmp_path) == file
  assert vocabulary.model_file(file) == file


def test_separators_are_tokenised_alone(tmp_path):
  pieces = vocabulary.train_vocabulary(
    ['one | two', 'two | one', 'three'], tmp_path / 'spiece.model', size=40
  )
  tokens = vocabulary.separator_tokens(pieces, ' | ')
  assert pieces.decode(tokens) == '|'
  assert tokens == vocabulary.separator_tokens(pieces, '|')
  for wrong in ('', '  ', '#'):
    with pytest.raises(ValueError, match=f"can spell, got '{wrong}'; choose"):
      vocabulary.separator_tokens(pieces, wrong)


@settings(max_examples=200)
@given(st.text())
def test_bytes_are_the_tokens_of_byt5(text):
  """transformers' own rule, of which its tokenizer is a table: byte + 3."""
  pieces = vocabulary.load_vocabulary(vocabulary.BYTES)
  tokens = pieces.encode(text)
  assert tokens == [byte + 3 for byte in text.encode()]
  assert pieces.decode(tokens) == text


def test_bytes_agree_with_transformers_and_tensorflow(tmp_path):
  path = tmp_path / 'spiece.model'
  pieces = vocabulary.copy_vocabulary(vocabulary.BYTES, path)
  assert path.read_bytes() == vocabulary.byte_model()
  assert pieces.get_piece_size() == 259
  assert vocabulary.vocabulary_hash(path) == vocabulary.vocabulary_hash('bytes')
  theirs = transformers.ByT5Tokenizer()
  ours = seqio.SentencePieceVocabulary(str(path), extra_ids=0)
  for text in TEXTS + ['', ' Zürich  \t\n', '日本 ▁ <unk>', '\ufeffé🦆\x00']:
    row = pieces.encode(text)
    # It takes the names of special tokens in a text for these tokens.
    expected = theirs.encode(text.replace('<unk>', ''))[:-1]
    assert vocabulary.encode(pieces, [text], max_length=999)[0, len(row)] == 1
    assert pieces.encode(text.replace('<unk>', '')) == expected
    assert ours.encode_tf(text).numpy().tolist() == row
    assert ours.decode(row) == text
  assert pieces.decode([3 + 0xC3]) == '\ufffd'  # no whole character
