# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Every gin file: experiments train, under our trainer and under T5X."""

import importlib.util
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import gin
import jax
import jax.numpy as jnp
import kilt_files
import numpy as np
import pytest
import tensorflow as tf
import tiny

import genret.gin_configs
from genret import (
  identifiers,
  ngram_example_writer,
  ngram_index,
  tools,
  vocabulary,
)
from genret.corpus import load_collection
from genret.docids import build
from genret.docids.table import DocidTable
from genret.models import checkpoints, weights
from genret.models.t5 import Transformer
from genret.searcher import Searcher
from genret.tools import train as train_tool
from genret.vocabulary import EOS_ID

pytestmark = pytest.mark.optax

FOLDER = pathlib.Path(next(iter(genret.gin_configs.__path__)))
EXPERIMENTS = sorted(p.name for p in (FOLDER / 'experiments').glob('*.gin'))
SIZELESS = 't5_1_1.gin'
PAWA, ADAPTERS = 'pawa.gin', 'adapters.gin'  # go behind another model
NCI = 'nci.gin'
MODELS = sorted(
  {p.name for p in (FOLDER / 'models').glob('*.gin')}
  - {SIZELESS, PAWA, ADAPTERS}
)
# Their tasks have no queries but those to train on.
LEARNS_FILES = ('dsi_qg.gin', 'minder_nq.gin', 'seal_kilt.gin', 'seal_nq.gin')
RUNS = sorted((FOLDER / 'runs').glob('*.gin'))
FROM_CHECKPOINT = 'from_checkpoint.gin'

# tiny.config, for the experiments that name their sizes.
SIZES = {
  't5.T5Config.emb_dim': 32,
  't5.T5Config.num_heads': 2,
  't5.T5Config.head_dim': 16,
  't5.T5Config.num_encoder_layers': 1,
  't5.T5Config.num_decoder_layers': 1,
  't5.T5Config.mlp_dim': 64,
}


def text_of(name):
  """A gin file with what it includes."""
  text = (FOLDER / name).read_text()
  parts = re.findall(r"^include '(.*)'$", text, re.MULTILINE)
  return text + ''.join(map(text_of, parts))


def names_ngrams(experiment):
  text = text_of(f'experiments/{experiment}')
  return 'ngrams.mixture' in text or 't5_mini_ngrams.gin' in text


def writes_titles(experiment):
  text = text_of(f'experiments/{experiment}')
  return 'kilt.mixture' in text or learns_pages(experiment)


def learns_pages(experiment):
  return 'corpusbrain.mixture' in text_of(f'experiments/{experiment}')


def evaluates(experiment):
  return 'EVAL_PERIOD = 0' not in text_of(f'experiments/{experiment}')


def writes_queries(experiment):
  return 'recipes/doct5query.gin' in text_of(f'experiments/{experiment}')


def pairs_texts(experiment):
  return 'text_pairs.task' in text_of(f'experiments/{experiment}')


def has_an_objective(experiment):
  text = text_of(f'experiments/{experiment}')
  return re.search(r'^OBJECTIVE =', text, re.MULTILINE) is not None


@pytest.fixture(autouse=True)
def empty_gin():
  gin.clear_config()
  yield
  gin.clear_config()


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Values of the macros that stand for prepared folders."""
  folder = tmp_path_factory.mktemp('prepared')
  tiny.write_collection(folder / 'corpus')
  docids = folder / 'docids'
  collection = load_collection(folder / 'corpus')
  build.build(
    collection,
    docids,
    queries_split='train',
    vocabulary_size=100,
    dimensions=32,
  )
  save_initial(folder / 'initial', docids)
  return {
    'CORPUS': str(folder / 'corpus'),
    'DOCIDS': str(docids),
    'INITIAL_CHECKPOINT_PATH': str(folder / 'initial'),
  }


@pytest.fixture(scope='module')
def prepared_ngrams(tmp_path_factory):
  """The same for an index of n-grams, and written examples."""
  folder = tmp_path_factory.mktemp('prepared_ngrams')
  tiny.write_collection(folder / 'corpus', titles=True)
  collection = load_collection(folder / 'corpus')
  ngram_index.build(
    collection,
    folder / 'index',
    queries_split='train',
    vocabulary_size=100,
    dimensions=32,
  )
  save_initial(folder / 'initial', folder / 'index')
  ngram_example_writer.write_examples(
    folder / 'corpus', folder / 'examples', progress=False
  )
  return {
    'CORPUS': str(folder / 'corpus'),
    'DOCIDS': str(folder / 'index'),
    'INITIAL_CHECKPOINT_PATH': str(folder / 'initial'),
    'EXAMPLES': str(folder / 'examples'),
    'KEYS': {'body_length': 3, 'body_beams': 3, 'title_beams': 3},
    # An n-gram of an untrained model is no likelier than its frequency says.
    'SCORING': {'frequencies': False},
  }


@pytest.fixture(scope='module')
def prepared_kilt(tmp_path_factory):
  """The same for a KILT folder, whose titles have a separator."""
  folder = tmp_path_factory.mktemp('prepared_kilt')
  kilt_files.learnable_folder(folder / 'corpus', pages=6)
  collection = load_collection(folder / 'corpus')
  pieces = folder / 'spiece.model'
  texts = [f'{d.title} | {d.text}' for d in collection.documents]
  vocabulary.train_vocabulary(texts, pieces, size=100)
  build.build(
    collection,
    folder / 'docids',
    scheme='title',
    vocabulary=pieces,
    dimensions=32,
  )
  save_initial(folder / 'initial', folder / 'docids')
  return {
    'CORPUS': str(folder / 'corpus'),
    'DOCIDS': str(folder / 'docids'),
    'INITIAL_CHECKPOINT_PATH': str(folder / 'initial'),
  }


def save_initial(folder, docids):
  module, params = tiny.model(identifiers.vocab_size(docids))
  weights.save_model(folder, module.config, params)


@pytest.fixture
def prepared_for(request):
  """What an experiment needs, of any kind."""

  def macros(experiment):
    kind = 'prepared'
    if names_ngrams(experiment) or writes_queries(experiment):
      kind = 'prepared_ngrams'
    elif writes_titles(experiment):
      kind = 'prepared_kilt'
    found = request.getfixturevalue(kind)
    text = text_of(f'experiments/{experiment}')
    found = {**found, 'QUERIES': 'train'}
    return {
      k: v
      for k, v in found.items()
      if k not in ('EXAMPLES', 'QUERIES') or f'%{k}' in text
    }

  return macros


def bindings(experiment, prepared, run_folder, **more):
  """Words that make an experiment small, for either engine's command."""
  values = {**prepared, 'MODEL_DIR': str(run_folder), 'BATCH_SIZE': 8}
  text = text_of(f'experiments/{experiment}')
  if FROM_CHECKPOINT not in text:
    values |= SIZES
    if 'INITIAL_CHECKPOINT_PATH = %gin.REQUIRED' not in text:
      del values['INITIAL_CHECKPOINT_PATH']
  # Of one shape, they compile once.
  if names_ngrams(experiment) or pairs_texts(experiment):
    values['TASK_FEATURE_LENGTHS'] = {'inputs': 32, 'targets': 16}
  elif writes_titles(experiment):
    values['TASK_FEATURE_LENGTHS'] = {'inputs': 32, 'targets': 32}
    if FROM_CHECKPOINT not in text:
      values['DROPOUT_RATE'] = 0.0  # as the initial model has it
    if 'target_length' in text:
      values['kilt.mixture.target_length'] = 32
  elif '%TARGET_LENGTH' in text:
    values['TASK_FEATURE_LENGTHS'] = {'inputs': 32, 'targets': 2}
  if 'clipped_adamw' in text:
    values['fairseq_optimizer.clipped_adamw.warmup_steps'] = 0
  return [f'--gin.{k}={v!r}' for k, v in (values | more).items()]


# NCI's trains in a test of its own.
@pytest.mark.parametrize('experiment', sorted({*EXPERIMENTS} - {NCI}))
def test_an_experiment_trains_here(experiment, prepared_for, tmp_path, capsys):
  prepared = prepared_for(experiment)
  arguments = bindings(experiment, prepared, tmp_path / 'run', TRAIN_STEPS=1)
  arguments += [
    '--gin.train.train.eval_period=0',
    '--gin.train.train.num_beams=3',
  ]
  files = [
    '--gin_file=runs/genret_train.gin',
    f'--gin_file=experiments/{experiment}',
  ]
  assert train_tool.main([*files, *arguments]) == 0
  assert capsys.readouterr().out == f'Trained: {tmp_path / "run"}\n'
  log = json.loads((tmp_path / 'run' / 'log.jsonl').read_text())
  assert log['step'] == 1
  assert math.isfinite(log['loss'])
  if writes_queries(experiment):
    if not names_ngrams(experiment):  # Once will do.
      check_queries(tmp_path / 'run', prepared['CORPUS'])
    return
  searcher = Searcher.load(tmp_path / 'run', step=1)
  assert len(searcher.search(tiny.WORDS[0], k=3)) == 3


def check_queries(run_folder, corpus):
  """A run of a doc-to-query model writes queries without further files."""
  words = ['generate-queries', '--checkpoint', str(run_folder)]
  words += ['--corpus', corpus, '--count', '2', '--batch-size', '24']
  words += ['--input-length', '32', '--output-length', '4']
  output = run_folder / 'queries.jsonl'
  assert tools.main([*words, '--output', str(output)]) == 0
  rows = [json.loads(line) for line in output.read_text().splitlines()]
  documents = load_collection(corpus).documents
  assert [row['doc_id'] for row in rows] == [d.doc_id for d in documents]


@pytest.mark.parametrize('experiment', EXPERIMENTS)
def test_the_run_file_goes_first(experiment, prepared_for, tmp_path):
  run_folder = tmp_path / 'run'
  arguments = bindings(experiment, prepared_for(experiment), run_folder)
  files = [
    '--gin_file=experiments/' + experiment,
    '--gin_file=runs/genret_train.gin',
  ]
  with pytest.raises(ValueError, match='Expected MODEL to be set, got nothing'):
    train_tool.main([*files, *arguments])
  assert not (tmp_path / 'run').exists()


def configured_model(prepared, *files):
  """MODEL of some gin files of models."""
  macros = {
    'MIXTURE_OR_TASK_NAME': 'none',
    'TASK_FEATURE_LENGTHS': {},
    'TRAIN_STEPS': 1,
    'BATCH_SIZE': 1,
    'MODEL_DIR': 'none',
  }
  train_tool.parse_config(
    ['runs/genret_train.gin', *(f'models/{name}' for name in files)],
    [f'{key} = {value!r}' for key, value in (macros | prepared).items()],
  )
  module = gin.query_parameter('%MODEL').scoped_configurable_fn()
  assert isinstance(module, Transformer)
  return module


@pytest.mark.parametrize('name', MODELS)
def test_a_model_has_the_identifiers_tokens(name, prepared):
  module = configured_model(prepared, name)
  assert module.config.vocab_size == identifiers.vocab_size(prepared['DOCIDS'])
  if name != FROM_CHECKPOINT:
    # T5 1.1, whose dropout is a macro.
    assert module.config.dropout_rate == 0.1
    assert module.config.mlp_activations == ('gelu', 'linear')


# What the published checkpoints hold, with their 32,128 rows of text.
PARAMETERS = {
  'small': 76_961_152,
  'base': 247_577_856,
  'large': 783_150_080,
  'xl': 2_849_757_184,
  'xxl': 11_135_332_352,
}


@pytest.mark.parametrize('size', PARAMETERS)
def test_sizes_are_those_of_the_checkpoints(size, prepared):
  train_tool.parse_config(
    [f'models/t5_1_1_{size}.gin'],
    [f'DOCIDS = {prepared["DOCIDS"]!r}', 't5.T5Config.vocab_size = 32128'],
  )
  module = gin.query_parameter('%MODEL').scoped_configurable_fn()
  shapes = jax.eval_shape(
    lambda key: module.init(key, *[jnp.ones((1, 1), jnp.int32)] * 3),
    jax.random.key(0),
  )
  found = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
  assert found == PARAMETERS[size]


def test_t5_1_1_has_no_size_of_its_own(prepared):
  with pytest.raises(ValueError, match=r'T5Config\.emb_dim set to'):
    train_tool.parse_config(
      [f'models/{SIZELESS}'], [f'DOCIDS = {prepared["DOCIDS"]!r}']
    )


@pytest.mark.parametrize('name', MODELS)
def test_any_model_can_have_pawa(name, prepared):
  plain = configured_model(prepared, name).config
  gin.clear_config()
  config = configured_model(prepared, name, PAWA).config
  pieces = vocabulary.load_vocabulary(prepared['DOCIDS']).get_piece_size()
  assert (config.pawa_layers, config.pawa_first_token) == (4, pieces)
  # Initial values are objects of their own each time.
  none = {'embedding_init': None, 'logits_init': None}
  without = config.replace(pawa_layers=0, pawa_first_token=0, **none)
  assert without == plain.replace(**none)


@pytest.mark.parametrize('name', MODELS)
def test_any_model_can_have_adapters(name, prepared):
  plain = configured_model(prepared, name).config
  gin.clear_config()
  config = configured_model(prepared, name, ADAPTERS).config
  none = {'embedding_init': None, 'logits_init': None}
  assert config.adapter_dim == 64
  assert config.replace(adapter_dim=0, **none) == plain.replace(**none)


def test_adapters_are_trained_alone(prepared_for, tmp_path):
  """From a plain model, whose weights stay as they are."""
  experiment = 'dsi_squadshifts_pretrained.gin'
  prepared = prepared_for(experiment)
  files = [
    'runs/genret_train.gin',
    f'experiments/{experiment}',
    f'models/{ADAPTERS}',
    f'recipes/{ADAPTERS}',
  ]
  arguments = bindings(experiment, prepared, tmp_path / 'run', TRAIN_STEPS=2)
  lengths = {'inputs': 32, 'targets': 16}
  arguments += [
    f'--gin.TASK_FEATURE_LENGTHS={lengths}',
    '--gin.EVAL_PERIOD=0',
    '--gin.fairseq_optimizer.clipped_adamw.warmup_steps=0',
  ]
  words = [f'--gin_file={file}' for file in files] + arguments
  assert train_tool.main(words) == 0
  _, plain = checkpoints.load_model(prepared['INITIAL_CHECKPOINT_PATH'])
  config, params = checkpoints.load_model(tmp_path / 'run')
  assert config.adapter_dim == 64
  mine = [params[stack]['layers_0'].pop('adapter') for stack in STACKS]
  jax.tree.map(np.testing.assert_array_equal, params, plain)
  assert all(np.any(part['up']['kernel']) for part in mine)


STACKS = ('encoder', 'decoder')


def test_the_parts_of_nci_train_together(prepared_for, tmp_path):
  """PAWA, two views and two rates; and what they train answers."""
  prepared = prepared_for(NCI)
  arguments = bindings(NCI, prepared, tmp_path / 'run', TRAIN_STEPS=1)
  files = ['--gin_file=runs/genret_train.gin', f'--gin_file=experiments/{NCI}']
  arguments += ['--gin.EVAL_PERIOD=0', '--gin.NUM_DECODES=3']
  arguments += ['--gin.LABEL_SMOOTHING=0.1', '--gin.t5.with_pawa.num_layers=1']
  # One that was not trained: the start of the run is the model's own.
  arguments += ['--gin.INITIAL_CHECKPOINT_PATH=None']
  assert train_tool.main([*files, *arguments]) == 0
  run = json.loads((tmp_path / 'run' / 'run.json').read_text())
  assert run['objective']['name'] == 'Consistency'
  assert run['objective']['cross_entropy']['label_smoothing'] == 0.1
  # The first step of Adam is as long as its rate.
  before, after = (
    checkpoints.load_model(tmp_path / 'run', step=step)[1] for step in (0, 1)
  )
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, after)
  for name, rate in (
    ('encoder', 2e-4),
    ('token_embedder', 2e-4),
    ('decoder', 1e-4),
    ('prefix_map', 1e-4),
  ):
    longest = max(jax.tree.leaves(moved[name]))
    assert longest == pytest.approx(rate, rel=0.05), name
  searcher = Searcher.load(tmp_path / 'run')
  assert searcher.module.config.pawa_layers == 1
  assert len(searcher.search(tiny.WORDS[0], k=3)) == 3


@pytest.mark.parametrize('path', RUNS, ids=lambda path: path.name)
def test_a_run_file_lists_what_it_requires(path):
  header, _, _ = path.read_text().partition('from __gin__')
  body = text_of(f'runs/{path.name}')
  required = re.findall(r'^(\w+) = %gin\.REQUIRED$', body, re.MULTILINE)
  assert required
  for macro in required:
    assert re.search(rf'^#   .*\b{macro}\b', header, re.MULTILINE), macro
  used = set(re.findall(r'%([A-Z_]+)\b', body)) - {'gin'}
  assert used <= set(re.findall(r'^([A-Z_]+) = ', body, re.MULTILINE))


def test_run_files_share_the_macros_of_experiments():
  macros = {
    name: set(
      re.findall(r'^([A-Z_]+) = ', text_of(f'runs/{name}'), re.MULTILINE)
    )
    for name in ('genret_train.gin', 't5x_train.gin')
  }
  here_alone = macros['genret_train.gin'] - macros['t5x_train.gin']
  assert here_alone == {
    'CACHE_DIRS',  # of T5X's commands --seqio_additional_cache_dirs
    'CORPUS',
    'KEEP_BEST',
    'PROFILE_STEPS',
    'PASSAGE_PREFIX',
    'QUERY_FORM',
    'QUERY_PREFIX',
    'SCORING',
  }


def run_t5x(command, experiment, prepared, run_folder, **more):
  arguments = bindings(experiment, prepared, run_folder, **more)
  done = subprocess.run(
    [
      *(sys.executable, '-m', f't5x.{command}'),
      f'--gin_file=runs/t5x_{command}.gin',
      *(f'--gin_file=experiments/{experiment}', f'--gin_search_paths={FOLDER}'),
      *arguments,
    ],
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-3000:]


def read_scalars(folder):
  """Everything that T5X and seqio wrote for TensorBoard: {name: [value]}."""
  found = {}
  for path in folder.glob('events.*'):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      event = tf.compat.v1.Event.FromString(record)
      for value in event.summary.value:
        array = tf.make_ndarray(value.tensor)
        found.setdefault(value.tag, []).append(array)
  return found


def check_decoded(experiment, prepared, folder):
  """T5X's infer leaves what names documents, likeliest last."""
  decoded = folder / 'decoded'
  run_t5x(
    'infer',
    experiment,
    prepared,
    folder,
    CHECKPOINT_PATH=str(folder / 'checkpoint_2'),
    OUTPUT_DIR=str(decoded),
    DECODE_SPLIT=last_split(experiment),
    NUM_DECODES=3,
  )
  rows = [
    json.loads(line)
    for path in decoded.glob('*-predict_with_aux.jsonl-00000-of-00001')
    for line in path.read_text().splitlines()
  ]
  assert rows
  found = identifiers.load(prepared['DOCIDS'])
  for row in rows:
    scores = row['aux']['scores']
    assert len(scores) == 3
    assert scores == sorted(scores)
    # Beams of n-grams end where documents do, before they are long enough.
    assert math.isfinite(scores[-1 if names_ngrams(experiment) else 0])
    if names_ngrams(experiment) and not writes_queries(experiment):
      written = found.pieces.encode(row['prediction'])
      assert (found.fm.count_batch([*map(tuple, written)]) > 0).any()
  if isinstance(found, DocidTable):
    tokens = np.array([row['prediction'] for row in rows])
    legal = np.cumprod(tokens != EOS_ID, axis=-1)
    lengths = legal.sum(-1).reshape(-1)
    documents = found.documents(
      (tokens * legal).reshape(lengths.size, -1), lengths
    )
    assert all(len(each) for each in documents)


def last_split(experiment):
  """Of those that its tasks have, the one that has the least to do with training."""
  if learns_pages(experiment) or experiment in LEARNS_FILES:
    return 'train'
  return 'dev' if writes_titles(experiment) else 'test'


@pytest.mark.t5x
@pytest.mark.skipif(
  importlib.util.find_spec('t5x') is None,
  reason='T5X is not installed (it is on no package index)',
)
@pytest.mark.parametrize('experiment', EXPERIMENTS)
def test_an_experiment_trains_and_decodes_under_t5x(
  experiment, prepared_for, tmp_path
):
  folder = tmp_path / 'run'
  run_t5x(
    'train',
    experiment,
    prepared_for(experiment),
    folder,
    TRAIN_STEPS=2,
    EVAL_STEPS=1,
    NUM_DECODES=3,
  )
  assert (folder / 'checkpoint_2' / 'state').is_dir()
  train = read_scalars(folder / 'train')
  assert math.isfinite(train['loss'][-1])
  if pairs_texts(experiment) and not writes_queries(experiment):
    return  # a dual encoder writes nothing
  check_decoded(experiment, prepared_for(experiment), folder)
  if names_ngrams(experiment) or writes_queries(experiment):
    return  # n-grams are measured by the documents that they find
  if writes_titles(experiment):
    return  # a task for each data set, measured alike
  if not evaluates(experiment) or experiment in LEARNS_FILES:
    assert not (folder / 'inference_eval').exists()
    return
  (task,) = (folder / 'inference_eval').iterdir()
  assert task.name == f'{experiment.removesuffix(".gin")}_retrieval'
  (success,) = read_scalars(task)['eval/Success@1']
  assert 0 <= success <= 1
