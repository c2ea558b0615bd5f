# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Turns a Hugging Face T5 into a checkpoint that genret trains and decodes.

The folder that is read holds config.json and model.safetensors (whole or in
shards) of a T5 1.0, T5 1.1 or Flan-T5; nothing is downloaded. The folder that
is written holds model.json (the sizes) and checkpoints/0 (the parameters), as a
run does, and serves as INITIAL_CHECKPOINT_PATH.

Example:
  genret convert --from flan-t5-small --to checkpoints/flan_t5_small
"""

import argparse
from collections.abc import Mapping
from typing import Any

import flax
import numpy as np

from genret.models import t5, weights


def main(argv: list[str]) -> int:
  """Converts one model; `argv` as in the example. Returns the exit status."""
  parser = argparse.ArgumentParser(
    prog='genret convert',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--from',
    dest='source',
    metavar='FOLDER',
    required=True,
    help='a Hugging Face folder',
  )
  parser.add_argument(
    '--to',
    dest='target',
    metavar='CHECKPOINT_FOLDER',
    required=True,
    help='a folder to write, without checkpoints as yet',
  )
  args = parser.parse_args(argv)
  config, params = weights.load_hugging_face(args.source)
  print(table(config, params))
  weights.save_model(args.target, config, params)
  print(f'Wrote {args.target}')
  return 0


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
