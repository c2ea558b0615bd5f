# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`genret convert`: every kind of model that it reads, all that it writes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import tiny
import transformers

from genret import corpus, run_folders, tools, vocabulary
from genret.docids import build
from genret.models import checkpoints, t5x_checkpoints, weights
from genret.tools import _pretrained, convert


@pytest.fixture
def model():
  module, params = tiny.model(48)
  return module.config, jax.tree.map(np.asarray, params)


def equal(found, wanted):
  jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_every_kind_is_read_and_told(model, tmp_path, capsys):
  config, params = model
  weights.save_hugging_face(tmp_path / 'hf', config, params)
  weights.save_model(tmp_path / 'ours', config, params)
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    folder = tmp_path / 't5x' / 'checkpoint_7' / 'state'
    checkpointer.save(folder, {'target': params})
  arrays = jax.tree.leaves(params)
  total = sum(array.size for array in arrays)
  for source, kind in (
    ('hf', 'a Hugging Face model'),
    ('ours', 'a model of genret'),
    ('t5x', 'a checkpoint of T5X .checkpoint_7.'),
  ):
    words = ['convert', '--from', str(tmp_path / source)]
    target = tmp_path / f'from_{source}'
    assert tools.main([*words, '--to', str(target)]) == 0
    printed = capsys.readouterr().out
    assert re.search(f'^Read {kind} from {tmp_path / source}$', printed, re.M)
    assert 'T5: 1 + 1 layers, width 32, 2 heads of 16' in printed
    assert re.search(rf'total +{len(arrays)} +{total:,}', printed)
    found, read = checkpoints.load_model(target)
    assert found.replace(dropout_rate=config.dropout_rate) == config
    equal(read, params)
    assert tools.main([*words, '--to', str(target)]) == 2
    assert 'a folder without checkpoints, got' in capsys.readouterr().err
    back = tmp_path / f'hf_from_{source}'
    words += ['--to', str(back), '--format', 'huggingface']
    assert tools.main([*words, '--dtype', 'bfloat16']) == 0
    capsys.readouterr()
    _, read = weights.load_hugging_face(back)
    equal(read, jax.tree.map(lambda x: x.astype('bfloat16'), params))


def test_the_vocabulary_goes_with_it(model, tmp_path, capsys):
  config, params = model
  weights.save_model(tmp_path / 'run', config, params)
  spiece = tmp_path / 'run' / 'docids' / vocabulary.VOCABULARY_FILE
  vocabulary.train_vocabulary(['a few words'], spiece, size=40)
  sources = [tmp_path / 'run', tmp_path / 'hf', tmp_path / 'ours']
  for source, target, kind in zip(
    sources,
    [*sources[1:], tmp_path / 'again'],
    ('huggingface', 'genret', 'huggingface'),
    strict=True,
  ):
    words = ['--from', str(source), '--to', str(target), '--format', kind]
    assert convert.main(words) == 0
    copied = target / vocabulary.VOCABULARY_FILE
    assert copied.read_bytes() == spiece.read_bytes()
    assert re.search(
      r'and its vocabulary of \d\d pieces', capsys.readouterr().out
    )
  assert run_folders.vocabulary_file(tmp_path / 'ours', None) == (
    tmp_path / 'ours' / vocabulary.VOCABULARY_FILE
  )


def test_the_bytes_of_byt5_are_written_and_none_is_told(
  model, tmp_path, capsys
):
  weights.save_hugging_face(tmp_path / 'hf', *model)
  words = ['--from', str(tmp_path / 'hf'), '--to']
  assert convert.main([*words, str(tmp_path / 'without')]) == 0
  assert 'without a vocabulary: none was there' in capsys.readouterr().out
  (tmp_path / 'hf' / 'tokenizer.json').write_text('{}')
  assert convert.main([*words, str(tmp_path / 'again')]) == 0
  told = capsys.readouterr().out
  assert 'tokenizer.json is not read; copy the' in told
  (tmp_path / 'hf' / 'tokenizer.json').unlink()
  assert run_folders.find_vocabulary(tmp_path / 'without') is None
  # As transformers writes it for ByT5.
  transformers.ByT5Tokenizer().save_pretrained(tmp_path / 'hf')
  assert convert.main([*words, str(tmp_path / 'ours')]) == 0
  pieces = vocabulary.load_vocabulary(tmp_path / 'ours')
  assert pieces.encode('abc') == [100, 101, 102]


@pytest.mark.parametrize('with_corpus', [True, False])
def test_rows_for_the_tokens_of_identifiers(model, tmp_path, with_corpus):
  config, params = model
  tiny.write_collection(tmp_path / 'corpus')
  collection = corpus.load_collection(tmp_path / 'corpus')
  docids = tmp_path / 'docids'
  table = build.build(
    collection, docids, vocabulary_size=40, text_tokens=48, dimensions=8
  )
  weights.save_model(tmp_path / 'text', config, params)
  words = ['--from', str(tmp_path / 'text'), '--to', str(tmp_path / 'grown')]
  words += ['--docids', str(docids)]
  if with_corpus:
    words += ['--corpus', str(tmp_path / 'corpus')]
  assert convert.main(words) == 0
  module, fresh = tiny.model(table.vocab_size)
  started = checkpoints.load_params_like(tmp_path / 'grown', fresh)
  embedding = np.asarray(started['token_embedder']['embedding'])
  old = np.asarray(params['token_embedder']['embedding'])
  np.testing.assert_array_equal(embedding[:48], old)
  assert module.config.vocab_size >= 48 + len(table)
  again = _pretrained.with_identifiers(
    (config, params), docids, collection if with_corpus else None
  )
  equal(started, again[1])
  drawn = _pretrained.with_identifiers((config, params), docids, None)[1]
  rows = np.asarray(drawn['token_embedder']['embedding'])
  assert (embedding[48:] == rows[48:]).all() == (not with_corpus)


def test_identifiers_that_do_not_fit_are_refused(model, tmp_path, capsys):
  config, params = model
  tiny.write_collection(tmp_path / 'corpus')
  tiny.write_collection(tmp_path / 'other', documents=5)
  collection = corpus.load_collection(tmp_path / 'corpus')
  for tokens in (48, 50):
    build.build(
      collection,
      tmp_path / str(tokens),
      vocabulary_size=40,
      text_tokens=tokens,
      dimensions=8,
    )
  weights.save_model(tmp_path / 'text', config, params)
  words = ['convert', '--from', str(tmp_path / 'text')]
  words += ['--to', str(tmp_path / 'grown')]
  for more, message in (
    (['--corpus', 'x'], 'Expected --docids with --corpus, got none'),
    (
      ['--docids', '50'],
      'behind the 48 tokens of the model, those in .* at 50',
    ),
    (
      ['--docids', '48', '--corpus', 'other'],
      'other has others; give the corp',
    ),
  ):
    more = [str(tmp_path / w) if w[0] != '-' else w for w in more]
    assert tools.main([*words, *more]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_steps_are_of_runs(model, tmp_path):
  config, params = model
  checkpoints.save_config(tmp_path, config)
  with checkpoints.checkpoint_manager(tmp_path, keep=None) as manager:
    for step in (0, 5):
      stepped = jax.tree.map(lambda x, step=step: x + step, params)
      checkpoints.save_step(manager, step, stepped, {'count': np.zeros(1)})
  _, _, newest = convert.read(tmp_path)
  _, _, first = convert.read(tmp_path, 0)
  equal(newest, jax.tree.map(lambda x: x + 5, params))
  equal(first, params)
  weights.save_hugging_face(tmp_path / 'hf', config, params)
  with pytest.raises(ValueError, match=r'a run with --step, .* has no model'):
    convert.read(tmp_path / 'hf', 3)


def train_state():
  """A run's parameters and the state of an optimizer with empty places."""
  module, params = tiny.model(130, emb_dim=128)  # of sizes that are factored
  schedule = optax.linear_schedule(1e-2, 1e-3, 9)
  optimizer = optax.chain(
    optax.clip_by_global_norm(1.0), optax.adafactor(schedule)
  )
  state = optimizer.init(params)
  grads = jax.tree.map(lambda x: x + 1, params)
  for _ in range(2):
    _, state = jax.jit(optimizer.update)(grads, state, params)
  return module.config, jax.tree.map(np.asarray, (params, state))


@pytest.mark.optax
def test_training_goes_to_t5x_and_back(tmp_path, capsys):
  config, (params, state) = train_state()
  nothing = jax.tree.map(jnp.zeros_like, (params, state))
  checkpoints.save_config(tmp_path / 'run', config)
  with checkpoints.checkpoint_manager(tmp_path / 'run', keep=None) as manager:
    checkpoints.save_step(manager, 1, *nothing)
    checkpoints.save_step(manager, 2, params, state)
    checkpoints.save_step(manager, 3, *nothing)
  source, more = tmp_path / 'run', ['--step', '2']
  # Twice: the second time a run that has come from T5X.
  for number, kind in enumerate(['t5x', 'run', 't5x', 'run']):
    target = tmp_path / str(number)
    arguments = ['--from', str(source), '--to', str(target), '--format', kind]
    assert convert.main([*arguments, *more]) == 0
    assert 'Step 2, with what the optimizer' in capsys.readouterr().out
    source, more = target, []
    if kind == 't5x':
      assert [path.name for path in target.iterdir()] == ['checkpoint_2']
      continue
    found = convert.read(target)[1]
    assert found == config.replace(dropout_rate=found.dropout_rate)
    with checkpoints.checkpoint_manager(target) as manager:
      assert manager.latest_step() == 2
      restored = checkpoints.restore_step(manager, 2, *nothing)
    assert jax.tree.structure(restored) == jax.tree.structure(nothing)
    equal(restored, (params, state))
    assert max(x.max() for x in jax.tree.leaves(state)) > 0


def test_what_training_cannot_go_on_from_is_refused(model, tmp_path, capsys):
  config, params = model
  weights.save_model(tmp_path / 'ours', config, params)
  weights.save_hugging_face(tmp_path / 'hf', config, params)
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
    folder = tmp_path / 'bare' / 'checkpoint_7' / 'state'
    checkpointer.save(folder, {'target': params})
    folder = tmp_path / 'stateless' / 'checkpoint_7' / 'state'
    step = {'step': np.int32(7)}
    checkpointer.save(folder, {'target': params, 'state': step})
  for source, message in (
    ('ours', 'state in step 0 of .*ours, found none; name a run'),
    ('hf', 'the Hugging Face model in .*hf has none'),
    ('bare', "Expected an optimizer's state under state in .* found target"),
    ('stateless', "and an optimizer's state in .*, found step; name a"),
  ):
    words = ['convert', '--from', str(tmp_path / source)]
    words += ['--to', str(tmp_path / 'x'), '--format', 'run']
    assert tools.main(words) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count('\n') == 1
  words += ['--docids', 'y']
  assert tools.main(words) == 2
  assert 'no --docids with --format run, got y;' in capsys.readouterr().err
  assert not (tmp_path / 'x').exists()


def test_a_folder_without_a_model_is_refused(tmp_path, capsys):
  words = ['convert', '--from', str(tmp_path), '--to', str(tmp_path / 'x')]
  assert tools.main(words) == 2
  assert 'found none; name a folder that has a model' in capsys.readouterr().err
  with pytest.raises(FileNotFoundError):
    t5x_checkpoints.find_step(tmp_path)
