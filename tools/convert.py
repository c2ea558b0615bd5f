# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Turns checkpoints of one kind into another; nothing is downloaded.

What is read is found out from the folder:

  a Hugging Face folder     config.json and model.safetensors (whole or in shards)
                            of T5 1.0, T5 1.1, Flan-T5, mT5, ByT5 or umT5
  a checkpoint of T5X       checkpoint_STEP/, in its older layout (with the file
                            `checkpoint`) or orbax's, or a folder of them
  a run, or what this       model.json and checkpoints/STEP
  command wrote

What is written is a folder with model.json (the sizes) and checkpoints/0 (the
parameters), as a run has, which serves as INITIAL_CHECKPOINT_PATH; or, with --format

  huggingface   config.json and model.safetensors
  run, t5x      besides the parameters the step, and what the optimizer remembers:
                a MODEL_DIR that `genret train` or `python -P -m t5x.train` goes on
                from, under the same experiment; of a run, or of T5X's checkpoint

The vocabulary goes with a model that is not gone on with: spiece.model of the folder
or the run, or the bytes of a ByT5 (told by its tokenizer_config.json) as such a model.

With --docids the model gets rows for the tokens of identifiers behind its text, where
the scheme has some: at the mean of their documents' words with --corpus, else drawn
around the mean of all rows. Training needs them (`--text-tokens` of `genret index` is
the number of rows that the model has without).

Example:
  genret convert --from flan-t5-small --to checkpoints/flan_t5_small
  genret convert --from flan-t5-small --to initial --docids docids --corpus corpus
  genret convert --from runs/mine --to my_model --format huggingface
  genret convert --from runs/mine --to runs/mine_t5x --format t5x
  genret convert --from runs/mine_t5x --to runs/mine_again --format run
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax
import numpy as np

from genret import run_folders
from genret import vocabulary as vocabulary_lib
from genret.corpus import load_collection
from genret.models import checkpoints, t5, t5x_checkpoints, weights
from genret.tools._pretrained import with_identifiers

_RESUMED = ('run', 't5x')  # what training goes on from
_FORMATS = ('genret', 'huggingface', *_RESUMED)


def main(argv: list[str]) -> int:
  """Converts one model; `argv` as in the example. Returns the exit status."""
  parser = argparse.ArgumentParser(
    prog='genret convert',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--from',
    dest='source',
    metavar='FOLDER',
    required=True,
    help='a Hugging Face folder, a checkpoint of T5X, or a run',
  )
  add(
    '--to',
    dest='target',
    metavar='FOLDER',
    required=True,
    help='a folder to write, without a model as yet',
  )
  add(
    '--format',
    choices=_FORMATS,
    default='genret',
    help='what to write [%(default)s]',
  )
  add(
    '--step',
    type=int,
    help='of a run: which checkpoint to read; the newest where absent',
  )
  add(
    '--dtype',
    choices=('float32', 'float16', 'bfloat16'),
    default='float32',
    help='of the tensors, with --format huggingface [%(default)s]',
  )
  add('--docids', metavar='FOLDER', help='identifiers that it is to write')
  add('--corpus', help='their documents, with --docids')
  args = parser.parse_args(argv)
  if args.corpus is not None and args.docids is None:
    raise ValueError(
      'Expected --docids with --corpus, got none; name the folder of identifiers.'
    )
  if args.docids is not None and args.format in _RESUMED:
    raise ValueError(
      f'Expected no --docids with --format {args.format}, got {args.docids}; what '
      'the optimizer remembers is of a model without rows for them.'
    )
  source = Path(args.source)
  kind, config, params = read(source, args.step)
  print(f'Read {kind} from {args.source}')
  if args.docids is not None:
    corpus = None if args.corpus is None else load_collection(args.corpus)
    config, params = with_identifiers((config, params), args.docids, corpus)
  print(table(config, params))
  if args.format == 'huggingface':
    weights.save_hugging_face(args.target, config, params, dtype=args.dtype)
  elif args.format in _RESUMED:
    step, optimizer = read_optimizer(source, args.step)
    print(f'Step {step}, with what the optimizer remembers')
    if args.format == 't5x':
      t5x_checkpoints.save_t5x(args.target, step, params, optimizer)
    else:
      weights.save_model(
        args.target, config, params, step=step, optimizer=optimizer
      )
  else:
    weights.save_model(args.target, config, params)
  told = (
    '' if args.format in _RESUMED else _write_vocabulary(source, args.target)
  )
  print(f'Wrote {args.target}{told}')
  return 0


def _write_vocabulary(source: Path, target: str) -> str:
  """What the model cuts text with goes with it; tells so."""
  found = vocabulary(source)
  if found is None:
    if (source / 'tokenizer.json').exists():
      return (
        ', without a vocabulary: tokenizer.json is not read; copy the '
        f"model's spiece.model into {source} and convert again"
      )
    return ', without a vocabulary: none was there'
  path = Path(target) / vocabulary_lib.VOCABULARY_FILE
  pieces = vocabulary_lib.copy_vocabulary(found, path).get_piece_size()
  return f' and its vocabulary of {pieces} pieces'


def vocabulary(folder: Path) -> str | Path | None:
  """What a model cuts its text with, as `vocabulary.load_vocabulary` takes it.

  Args:
    folder: a run, or one of Hugging Face.

  Returns:
    The SentencePiece model of the folder, the bytes of ByT5, or None.
  """
  tokenizer = folder / 'tokenizer_config.json'
  found = run_folders.find_vocabulary(folder)
  if found is None and tokenizer.is_file():
    settings = json.loads(tokenizer.read_text(encoding='utf-8'))
    if settings.get('tokenizer_class') == 'ByT5Tokenizer':
      return vocabulary_lib.BYTES
  return found


def read(
  folder: Path, step: int | None = None
) -> tuple[str, t5.T5Config, dict[str, Any]]:
  """What a folder holds: the kind in words, sizes, parameters.

  Args:
    folder: as the command takes it.
    step: of a run.

  Raises:
    FileNotFoundError: if it holds no model.
    ValueError: for a step of another kind than a run, and as the readers do.
  """
  if (folder / checkpoints.CONFIG_FILE).is_file():
    config, params = checkpoints.load_model(folder, step=step)
    return 'a model of genret', config, params
  if step is not None:
    raise ValueError(
      f'Expected a run with --step, {folder} has no {checkpoints.CONFIG_FILE}; '
      'name the folder of the step of a checkpoint of T5X itself.'
    )
  if (folder / 'config.json').is_file():
    return 'a Hugging Face model', *weights.load_hugging_face(folder)
  try:
    found = t5x_checkpoints.find_step(folder)
  except FileNotFoundError:
    raise FileNotFoundError(
      f'Expected config.json, {checkpoints.CONFIG_FILE} or a checkpoint of T5X '
      f'in {folder}, found none; name a folder that has a model.'
    ) from None
  kind = f'a checkpoint of T5X ({found.name})'
  return kind, *t5x_checkpoints.load_t5x(found)


def read_optimizer(folder: Path, step: int | None = None) -> tuple[int, Any]:
  """The step, and what the optimizer remembers, as `load_optimizer` has it.

  Args:
    folder: a run or a checkpoint of T5X.
    step: of a run.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: for a state that fits no optimizer of optax.
  """
  if (folder / checkpoints.CONFIG_FILE).is_file():
    return checkpoints.load_optimizer(folder, step=step)
  if (folder / 'config.json').is_file():
    raise FileNotFoundError(
      f"Expected an optimizer's state, the Hugging Face model in {folder} has "
      'none; name a run or a checkpoint of T5X.'
    )
  return t5x_checkpoints.load_t5x_optimizer(folder)


def table(config: t5.T5Config, params: Mapping[str, Any]) -> str:
  """Lines that tell a model's sizes, and tensors and parameters by part."""
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  parts: dict[str, list[np.ndarray]] = {}
  for path, array in flat.items():
    names = path.split('/')
    part = names[1] if names[1] == 'logits_dense' else names[0]
    parts.setdefault(part, []).append(array)
  parts['total'] = list(flat.values())
  layers = f'{config.num_encoder_layers} + {config.num_decoder_layers}'
  kind = '-'.join(config.mlp_activations)
  head = 'tied' if config.logits_via_embedding else 'of its own'
  sizes = (
    f'T5: {layers} layers, width {config.emb_dim}, {config.num_heads} heads of '
    f'{config.head_dim}, feed-forward {config.mlp_dim} {kind}, vocabulary '
    f'{config.vocab_size}, output layer {head}'
  )
  header = f'{"part":<16}{"tensors":>8}{"parameters":>14}{"MB":>8}'
  lines = [sizes, header]
  for part, arrays in parts.items():
    size = sum(array.size for array in arrays)
    megabytes = sum(array.nbytes for array in arrays) / 1e6
    lines.append(f'{part:<16}{len(arrays):>8}{size:>14,}{megabytes:>8.1f}')
  return '\n'.join(lines)
