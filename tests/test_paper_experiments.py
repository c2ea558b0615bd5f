# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The papers' tables: every cell parses, and every file of one trains a step."""

import itertools
import json
import math
import pathlib

import gin
import pytest
import tiny

import genret.gin_configs
from genret.corpora import recipes
from genret.corpus import load_collection
from genret.docids import build
from genret.tools import train as train_tool

pytestmark = pytest.mark.optax

FOLDER = pathlib.Path(next(iter(genret.gin_configs.__path__)))
DOCS = pathlib.Path(__file__).parent.parent / 'docs'

# What each file says, and no other file of the cell may change.
CORPORA = {
  'nq100k': {'%INPUT_LENGTH': 64, '%TRAIN_STEPS': 1_000_000},
  'triviaqa': {'%INPUT_LENGTH': 64, '%TRAIN_STEPS': 1_000_000},
  'msmarco_100k': {'%INPUT_LENGTH': 128, '%TRAIN_STEPS': 1_000_000},
  'msmarco_1m': {'%INPUT_LENGTH': 128, '%TRAIN_STEPS': 9_000_000},
  'msmarco_full': {'%INPUT_LENGTH': 128, '%TRAIN_STEPS': 9_000_000},
}
INPUTS = {
  'labelled': {'retrieval'},
  'firstp': {'retrieval', 'first'},
  'daq': {'retrieval', 'chunks'},
  'd2q': {'retrieval', 'generated'},
  'd2q_alone': {'generated'},
  'firstp_daq': {'retrieval', 'first', 'chunks'},
  'firstp_daq_d2q': {'retrieval', 'first', 'chunks', 'generated'},
}
SCHEMES = {
  'atomic': {'%TARGET_LENGTH': 2, '%WARMUP_STEPS': 100_000},
  'naive': {'%TARGET_LENGTH': 12, '%WARMUP_STEPS': 10_000},
  'semantic': {'%TARGET_LENGTH': 16, '%WARMUP_STEPS': 10_000},
  'semantic_2d': {'%TARGET_LENGTH': 16, '%WARMUP_STEPS': 10_000},
}
SIZES = {
  'base': {'t5.T5Config.emb_dim': 768},
  'large': {'t5.T5Config.emb_dim': 1024},
  'xl': {'t5.T5Config.emb_dim': 2048},
  'xxl': {'t5.T5Config.emb_dim': 4096},
}
FOLDERS = {
  name: f'the {name}'
  for name in ('CORPUS', 'DOCIDS', 'INITIAL_CHECKPOINT_PATH')
}
SMALL = {
  't5.T5Config.emb_dim': 16,
  't5.T5Config.num_heads': 1,
  't5.T5Config.head_dim': 8,
  't5.T5Config.num_encoder_layers': 1,
  't5.T5Config.num_decoder_layers': 1,
  't5.T5Config.mlp_dim': 16,
}


@pytest.fixture(autouse=True)
def empty_gin():
  gin.clear_config()
  yield
  gin.clear_config()


def parse(experiment, *files, **values):
  values = {'MODEL_DIR': 'runs/cell', **FOLDERS, **values}
  train_tool.parse_config(
    ['runs/genret_train.gin', f'experiments/{experiment}.gin', *files],
    [f'{name} = {value!r}' for name, value in values.items()],
  )


def value(name):
  """A parameter or a macro; of a parameter that names a macro, the macro's."""
  found = gin.query_parameter(name)
  if getattr(found, 'selector', None) == 'gin.macro':
    return gin.query_parameter(f'%{found.scopes[0]}')
  return found


def names_in(folder):
  return {path.stem for path in (FOLDER / folder).glob('*.gin')}


def test_every_file_of_a_kind_is_known():
  assert names_in('experiments/scaling') == {*CORPORA, *INPUTS}
  assert names_in('schemes') == {*SCHEMES, 'description', 'title'}
  known = {f't5_1_1_{size}' for size in SIZES}
  found = {name for name in names_in('models') if name.startswith('t5_1_1_')}
  assert found - known == {'t5_1_1_small'}


def test_the_pages_name_every_file_and_corpus():
  page = (DOCS / 'experiments.md').read_text()
  for name in {*CORPORA, *INPUTS, *SCHEMES, 'description', 'title'}:
    assert f'{name}.gin`' in page, name
  for size in SIZES:
    assert f't5_1_1_{size}.gin`' in page or f'`_{size}`' in page, size
  for name in ('dsi', 'dsi_qg', 'nci', 'se_dsi', 'scaling', *KILT):
    assert f'`experiments/{name}.gin`' in page
  page = (DOCS / 'corpora.md').read_text()
  names = [*recipes.RECIPES, recipes.SESSIONS]
  assert all(f'`{name}`' in page for name in names)


@pytest.mark.parametrize('corpus', CORPORA)
def test_every_cell_of_the_scaling_study_parses(corpus):
  cells = list(itertools.product(INPUTS, SCHEMES, SIZES))
  for inputs, scheme, size in cells:
    # In any order: no file takes back what another says.
    files = [
      f'models/t5_1_1_{size}.gin',
      f'experiments/scaling/{inputs}.gin',
      f'schemes/{scheme}.gin',
      f'experiments/scaling/{corpus}.gin',
    ]
    if len(inputs) % 2:
      files.reverse()
    generated = 'generated' in INPUTS[inputs]
    parse('scaling', *files, **({'QUERIES': 'queries'} if generated else {}))
    expected = CORPORA[corpus] | SCHEMES[scheme] | SIZES[size]
    assert {name: value(name) for name in expected} == expected
    assert set(value('retrieval.mixture.rates')) == INPUTS[inputs]
    assert (value('retrieval.mixture.pseudo_queries') is not None) == generated
    assert value('train.train.num_beams') == 40
  assert len(cells) == 7 * 4 * 4


@pytest.mark.parametrize('scheme', ['atomic', 'naive', 'semantic'])
@pytest.mark.parametrize('size', SIZES)
def test_every_cell_of_dsi_parses(scheme, size):
  parse('dsi', f'schemes/{scheme}.gin', f'models/t5_1_1_{size}.gin')
  expected = SCHEMES[scheme] | SIZES[size]
  assert {name: value(name) for name in expected} == expected
  assert value('retrieval.mixture.rates') == {'first': 32, 'retrieval': 1}


# What the papers and their programs say, beside what a scheme does.
RECIPES = {
  'dsi': {
    '%TRAIN_STEPS': 1_000_000,
    '%BATCH_SIZE': 128,
    'retrieval.mixture.rates': {'first': 32, 'retrieval': 1},
    'retrieval.mixture.first_length': 32,
    'optax.warmup_constant_schedule.peak_value': 1e-3,
  },
  'dsi_qg': {
    '%TRAIN_STEPS': 1_000_000,
    '%BATCH_SIZE': 32 * 8,
    '%NUM_DECODES': 20,
    'retrieval.mixture.rates': {'generated': 1},
    'retrieval.mixture.pseudo_queries': 'queries',
    'fairseq_optimizer.clipped_adamw.learning_rate': 5e-4,
    'fairseq_optimizer.clipped_adamw.warmup_steps': 100_000,
  },
  'nci': {
    '%BATCH_SIZE': 64 * 8,
    '%NUM_DECODES': 100,
    '%DECODING': {'length_penalty': 'length', 'alpha': 0.8},
    'retrieval.mixture.pseudo_queries': 'queries',
    'encoder/fairseq_optimizer.clipped_adamw.learning_rate': 2e-4,
    'decoder/fairseq_optimizer.clipped_adamw.learning_rate': 1e-4,
    'fairseq_optimizer.clipped_adamw.warmup_steps': 10_000,
    'fairseq_optimizer.clipped_adamw.weight_decay': 1e-4,
    'objectives.Consistency.alpha': 9.6,
  },
  'se_dsi': {
    '%TRAIN_STEPS': 50_000,
    '%BATCH_SIZE': 30,
    '%NUM_DECODES': 20,
    '%LABEL_SMOOTHING': 0.1,
    '%QUERY_PREFIX': 'Query: ',
    '%PASSAGE_PREFIX': 'Document: ',
    'retrieval.mixture.rehearsal': 'summary',
    'fairseq_optimizer.clipped_adamw.learning_rate': 5e-5,
    'fairseq_optimizer.clipped_adamw.warmup_steps': 5_000,
    'fairseq_optimizer.clipped_adamw.weight_decay': 0.01,
  },
  'scaling': {
    '%BATCH_SIZE': 512,
    '%NUM_DECODES': 40,
    'retrieval.mixture.first_length': 64,
    'retrieval.mixture.chunk_lengths': (64, 64),
    'optax.warmup_constant_schedule.peak_value': 1e-3,
  },
}
INPUT_LENGTHS = {'dsi': 40, 'dsi_qg': 32, 'nci': 40, 'se_dsi': 512}


@pytest.mark.parametrize('recipe', RECIPES)
def test_a_recipe_goes_with_any_model_and_scheme(recipe):
  for scheme, size in itertools.product(SCHEMES, ('small', 'base')):
    files = [
      f'models/t5_1_1_{size}.gin',
      f'schemes/{scheme}.gin',
      f'recipes/{recipe}.gin',
    ]
    if recipe == 'scaling':  # which leaves these to the cell
      files += [f'experiments/scaling/{name}.gin' for name in ('nq100k', 'daq')]
    # In any order: no file takes back what another says.
    if size == 'small':
      files.reverse()
    macros = {'MODEL_DIR': 'runs/cell', **FOLDERS}
    if 'retrieval.mixture.pseudo_queries' in RECIPES[recipe]:
      macros['QUERIES'] = 'queries'
    train_tool.parse_config(
      ['runs/genret_train.gin', *files],
      [f'{name} = {value!r}' for name, value in macros.items()],
    )
    expected = RECIPES[recipe] | SCHEMES[scheme]
    assert {name: value(name) for name in expected} == expected
    if recipe in INPUT_LENGTHS:
      lengths = value('%TASK_FEATURE_LENGTHS')
      assert lengths['inputs'] == INPUT_LENGTHS[recipe]
    gin.clear_config()


# Likewise for the models that write titles of KILT's pages.
FAIRSEQ = {
  '%LABEL_SMOOTHING': 0.1,
  '%Z_LOSS': 0.0,
  '%NUM_DECODES': 10,
  '%DECODING': {'length_penalty': 'length', 'alpha': 1.0},
  '%QUERY_FORM': 'genre',
  'train.train.query_form': 'genre',
  'fairseq_optimizer.clipped_adamw.learning_rate': 3e-5,
  'fairseq_optimizer.clipped_adamw.weight_decay': 0.01,
  'fairseq_optimizer.clipped_adamw.clip_norm': 0.1,
  'fairseq_optimizer.clipped_adamw.b2': 0.999,
}
KILT = {
  'genre_kilt': {
    '%TRAIN_STEPS': 200_000,
    'fairseq_optimizer.clipped_adamw.train_steps': 200_000,
    'fairseq_optimizer.clipped_adamw.warmup_steps': 500,
    '%TASK_FEATURE_LENGTHS': {'inputs': 640, 'targets': 17},
    'kilt.mixture.targets': 'each',
    'kilt.mixture.rates': 'proportional',
    'kilt.mixture.templates': True,
    'kilt.mixture.bleu': 0.5,
    '%DROPOUT_RATE': 0.1,
  },
  'corpusbrain_pretrain': {
    '%TRAIN_STEPS': 240_000,
    'fairseq_optimizer.clipped_adamw.train_steps': 240_000,
    'fairseq_optimizer.clipped_adamw.warmup_steps': 24_000,
    '%TASK_FEATURE_LENGTHS': {'inputs': 640, 'targets': 96},
    'corpusbrain.mixture.reading': 'paper',
    '%DROPOUT_RATE': 0.1,
  },
  'corpusbrain_finetune': {
    '%TRAIN_STEPS': 35_000,
    'fairseq_optimizer.clipped_adamw.train_steps': 35_000,
    'fairseq_optimizer.clipped_adamw.warmup_steps': 3_500,
    '%TASK_FEATURE_LENGTHS': {'inputs': 640, 'targets': 96},
    'kilt.mixture.targets': 'joined',
    'kilt.mixture.target_length': 96,
    'checkpoints.load_config.folder': 'the INITIAL_CHECKPOINT_PATH',
  },
}


@pytest.mark.parametrize('experiment', KILT)
def test_experiments_of_kilt_are_those_of_the_papers(experiment):
  parse(experiment)
  expected = FAIRSEQ | KILT[experiment]
  found = {name: value(name) for name in expected}
  # What is a macro in a dictionary, too.
  lengths = found['%TASK_FEATURE_LENGTHS']
  found['%TASK_FEATURE_LENGTHS'] = {
    side: length
    if isinstance(length, int)
    else gin.query_parameter(f'%{length.scopes[0]}')
    for side, length in lengths.items()
  }
  assert found == expected


def test_every_paper_has_a_recipe_and_an_experiment():
  for name in RECIPES:
    text = (FOLDER / 'experiments' / f'{name}.gin').read_text()
    assert f"include 'recipes/{name}.gin'" in text
    # An experiment is macros and includes: the rest is the recipe's.
    for line in text.splitlines():
      assert (
        not line
        or line.startswith(('#', 'from ', 'include '))
        or (line.endswith(' = %gin.REQUIRED'))
      )


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """A tiny corpus with identifiers of one token, which fit every scheme's file."""
  folder = tmp_path_factory.mktemp('papers')
  tiny.write_collection(folder / 'corpus')
  build.build(
    load_collection(folder / 'corpus'),
    folder / 'docids',
    queries_split='train',
    vocabulary_size=100,
    dimensions=4,
  )
  return {'CORPUS': str(folder / 'corpus'), 'DOCIDS': str(folder / 'docids')}


# One row trains what is new in it; together they hold every file of the study.
CELLS = list(
  zip(
    itertools.cycle(CORPORA),
    INPUTS,
    itertools.cycle(SCHEMES),
    itertools.cycle(SIZES),
    strict=False,
  )
)


def test_the_cells_that_train_hold_every_file():
  for place, kind in enumerate((CORPORA, INPUTS, SCHEMES, SIZES)):
    assert {cell[place] for cell in CELLS} == set(kind)


@pytest.mark.parametrize('cell', CELLS, ids='-'.join)
def test_a_cell_of_the_scaling_study_trains(cell, prepared, tmp_path):
  corpus, inputs, scheme, size = cell
  queries = {'QUERIES': 'train'} if 'generated' in INPUTS[inputs] else {}
  parse(
    'scaling',
    f'experiments/scaling/{corpus}.gin',
    f'experiments/scaling/{inputs}.gin',
    f'schemes/{scheme}.gin',
    f'models/t5_1_1_{size}.gin',
    **{**prepared, **queries, **SMALL},
    MODEL_DIR=str(tmp_path / 'run'),
    INITIAL_CHECKPOINT_PATH=None,
    BATCH_SIZE=8,
    TRAIN_STEPS=1,
    # So that one program serves all; the lengths are checked above.
    WARMUP_STEPS=10,
    TASK_FEATURE_LENGTHS={'inputs': 16, 'targets': 2},
    EVAL_PERIOD=0,
  )
  folder = train_tool.run()
  log = json.loads((folder / 'log.jsonl').read_text())
  assert log['step'] == 1
  assert math.isfinite(log['loss'])
  assert (folder / 'checkpoints' / '1').is_dir()
