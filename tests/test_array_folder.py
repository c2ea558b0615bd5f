# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Folders of arrays: what is saved loads, and nothing else does."""

import json
import os

import numpy as np
import pytest

from genret import array_folder

ARRAYS = {
  'numbers': np.arange(12, dtype=np.int32).reshape(3, 4),
  'nothing': np.zeros((0, 4), np.float32),
  'flags': np.array([True, False]),
  'scalar': np.array(2.5),
}
META = {'name': 'día', 'sizes': [1, 2]}


def save(path, arrays=ARRAYS, kind='thing', version=1, meta=META):
  array_folder.save(path, kind=kind, version=version, arrays=arrays, meta=meta)


def load(path, kind='thing', version=1, **options):
  return array_folder.load(path, kind=kind, version=version, **options)


@pytest.mark.parametrize('mmap', [True, False])
def test_round_trip(tmp_path, mmap):
  save(tmp_path / 'a' / 'b')
  arrays, meta = load(tmp_path / 'a' / 'b', mmap=mmap)
  assert meta == META
  assert arrays.keys() == ARRAYS.keys()
  for name, array in ARRAYS.items():
    assert arrays[name].dtype == array.dtype
    np.testing.assert_array_equal(arrays[name], array)
  assert isinstance(arrays['numbers'], np.memmap) == mmap
  assert os.listdir(tmp_path / 'a') == ['b']


def test_plain_files(tmp_path):
  save(tmp_path / 'a')
  assert sorted(os.listdir(tmp_path / 'a')) == sorted(
    ['header.json', *(f'{name}.npy' for name in ARRAYS)]
  )
  np.testing.assert_array_equal(
    np.load(tmp_path / 'a' / 'numbers.npy'), ARRAYS['numbers']
  )


def test_replaces_its_kind_and_keeps_other_files(tmp_path):
  path = tmp_path / 'a'
  save(path)
  (path / 'spiece.model').write_bytes(b'x')
  for value in range(3):
    old, _ = load(path)
    save(path, {'numbers': np.full(5, value)})
    new, _ = load(path)
    assert new['numbers'].tolist() == [value] * 5
    # Who has the old folder mapped is not disturbed.
    assert old['numbers'].flat[0] == max(value - 1, 0)
    assert len(os.listdir(path)) == 3
  assert (path / 'spiece.model').read_bytes() == b'x'
  assert os.listdir(tmp_path) == ['a']


def test_saves_into_a_folder_without_a_header(tmp_path):
  (tmp_path / 'numbers.npy').write_bytes(b'of somebody else')
  save(tmp_path, {'numbers': np.arange(3)})
  assert load(tmp_path)[0]['numbers'].tolist() == [0, 1, 2]
  assert (tmp_path / 'numbers.npy').read_bytes() == b'of somebody else'


@pytest.mark.parametrize('calls', range(6))
def test_killed_at_any_time(tmp_path, monkeypatch, calls):
  """Dies at the n-th file operation: old or new content, never a mixture."""
  path = tmp_path / 'a'
  old = {'x': np.arange(3), 'y': np.arange(3)}
  new = {'x': np.arange(4), 'y': np.arange(4)}
  save(path, old)
  left = calls

  def dying(real):
    def operation(*args, **kwargs):
      nonlocal left
      left -= 1
      if left < 0:
        raise KeyboardInterrupt
      return real(*args, **kwargs)

    return operation

  with monkeypatch.context() as patch:
    for name in ('replace', 'rename'):
      patch.setattr(array_folder.os, name, dying(getattr(os, name)))
    patch.setattr(array_folder.np, 'save', dying(np.save))
    for target in (path, tmp_path / 'fresh'):
      try:
        save(target, new)
      except KeyboardInterrupt:
        break
  arrays, _ = load(path)
  assert [len(array) for array in arrays.values()] in ([3, 3], [4, 4])
  if (tmp_path / 'fresh').exists():
    load(tmp_path / 'fresh')
  save(path, new)
  assert load(path)[0]['x'].tolist() == [0, 1, 2, 3]


def test_damage_is_found(tmp_path):
  path = tmp_path / 'a'
  for damage in ('flip', 'cut', 'remove'):
    save(path, {'numbers': np.arange(100)})
    (file,) = path.glob('*.npy')
    content = bytearray(file.read_bytes())
    if damage == 'flip':
      content[-5] ^= 1
      file.write_bytes(content)
    elif damage == 'cut':
      file.write_bytes(content[:-8])
    else:
      file.unlink()
    message = 'is missing' if damage == 'remove' else 'damaged or truncated'
    with pytest.raises(ValueError, match=f'{file.name}.* {message}; build'):
      load(path)


@pytest.mark.parametrize('change', ['text', 'empty', 'edit', 'list'])
def test_damaged_header(tmp_path, change):
  save(tmp_path / 'a')
  file = tmp_path / 'a' / 'header.json'
  header = json.loads(file.read_text())
  header['meta']['sizes'] = [1, 3]
  file.write_text(
    {'text': '{', 'empty': '', 'edit': json.dumps(header), 'list': '[]'}[change]
  )
  with pytest.raises(
    ValueError, match=r'header\.json but it is foreign or dam'
  ):
    load(tmp_path / 'a')
  with pytest.raises(ValueError, match=r'unreadable header\.json; remove it'):
    save(tmp_path / 'a')


def test_other_folders_are_refused_by_name(tmp_path):
  save(tmp_path / 'a')
  with pytest.raises(
    ValueError, match=r"kind 'trie' but .*/a holds 'thing'; g"
  ):
    load(tmp_path / 'a', kind='trie')
  with pytest.raises(ValueError, match=r'version 2 .* has version 1; build it'):
    load(tmp_path / 'a', version=2)
  with pytest.raises(ValueError, match=r"kind 'trie' to replace but .*'thing'"):
    save(tmp_path / 'a', kind='trie')
  with pytest.raises(
    FileNotFoundError, match=r'/none but there is none; check'
  ):
    load(tmp_path / 'none')
  with pytest.raises(ValueError, match=r'header\.json in .* there is none: it'):
    load(tmp_path)
  (tmp_path / 'file').write_text('')
  with pytest.raises(ValueError, match=r'/file is a file; give another path'):
    save(tmp_path / 'file')


def test_only_numbers_are_stored(tmp_path):
  with pytest.raises(
    ValueError, match=r"numbers in array 'a' but got dtype ob"
  ):
    save(tmp_path / 'x', {'a': np.array([{}], object)})
  with pytest.raises(
    ValueError, match=r"letters, digits and _ but got '../a';"
  ):
    save(tmp_path / 'x', {'../a': np.zeros(1)})
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('at', [0, 5_000, -5_000, -1])
def test_large_files_are_sampled(tmp_path, monkeypatch, at):
  """A page of a large file that was sampled, and one that was not."""
  monkeypatch.setattr(array_folder, 'LARGE', 10_000)
  monkeypatch.setattr(array_folder, '_PAGES', 3)
  save(tmp_path / 'a', {'numbers': np.zeros(100_000, np.uint8)})
  load(tmp_path / 'a')
  file = tmp_path / 'a' / 'numbers.npy'
  content = bytearray(file.read_bytes())
  content[at] ^= 1
  file.write_bytes(content)
  if abs(at) < array_folder._PAGE:
    with pytest.raises(ValueError, match=r'numbers\.npy to match the checksum'):
      load(tmp_path / 'a')
  else:
    load(tmp_path / 'a')
  with pytest.raises(ValueError, match=r'numbers\.npy to match the checksum'):
    load(tmp_path / 'a', every_byte=True)
  file.write_bytes(content[:-1])
  with pytest.raises(ValueError, match=r'damaged or truncated'):
    load(tmp_path / 'a')


@pytest.mark.parametrize('texts', [[], [''], ['a', '', 'día', '\udc80', 'b c']])
def test_texts_as_arrays(texts):
  text, offsets = array_folder.pack_text(texts)
  assert (text.dtype, offsets.dtype) == (np.uint8, np.int64)
  assert array_folder.unpack_text(text, offsets) == texts


def test_headers_without_samples_are_checked_whole(tmp_path, monkeypatch):
  """As folders of earlier versions have them."""
  monkeypatch.setattr(array_folder, 'LARGE', 0)
  save(tmp_path / 'a')
  header = json.loads((tmp_path / 'a' / 'header.json').read_text())
  for entry in header['arrays'].values():
    del entry['bytes'], entry['sample']
  del header['checksum']
  checksum = array_folder._checksum(header)
  (tmp_path / 'a' / 'header.json').write_text(
    json.dumps({**header, 'checksum': checksum})
  )
  load(tmp_path / 'a')
  file = tmp_path / 'a' / 'numbers.npy'
  file.write_bytes(file.read_bytes()[:-1] + b'x')
  with pytest.raises(ValueError, match=r'numbers\.npy to match the checksum'):
    load(tmp_path / 'a')


def test_a_save_clears_what_killed_ones_left_behind(tmp_path):
  save(tmp_path / 'a')
  for name in ('numbers.7.npy', 'flags.1.npy', 'spiece.model', 'other.1.npy'):
    (tmp_path / 'a' / name).write_bytes(b'x')
  save(tmp_path / 'a')
  kept = {'spiece.model', 'other.1.npy', 'header.json'}
  arrays = set(os.listdir(tmp_path / 'a')) - kept
  assert len(arrays) == len(ARRAYS)
  load(tmp_path / 'a')


def test_one_array_is_written_whole_or_not(tmp_path, monkeypatch):
  path = tmp_path / 'a.npy'
  array_folder.write_npy(path, np.arange(3))
  np.testing.assert_array_equal(np.load(path), np.arange(3))
  with pytest.raises(ValueError, match="numbers in array 'a' but got dtype"):
    array_folder.write_npy(path, np.array(['x']))
  np.testing.assert_array_equal(np.load(path), np.arange(3))

  def fail(_):
    raise OSError('no space')

  with monkeypatch.context() as patch:
    patch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='no space'):
      array_folder.write_npy(path, np.arange(9))
  np.testing.assert_array_equal(np.load(path), np.arange(3))
  assert [file.name for file in tmp_path.iterdir()] == ['a.npy']
  array_folder.write_npy(path, np.zeros((0, 2), np.float32))
  assert np.load(path).shape == (0, 2)
  assert [file.name for file in tmp_path.iterdir()] == ['a.npy']
