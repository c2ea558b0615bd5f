# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of T5X, in both of its layouts, read without T5X.

| layout | a step's folder                                                       |
|--------|-----------------------------------------------------------------------|
| older  | `checkpoint`, a msgpack whose large arrays stand beside it as zarr: `target.encoder...` |
| orbax  | `state/`, an orbax tree                                               |

The published T5 1.1, mT5, ByT5 and Flan-T5 of T5X are in the older one. Either
holds the parameters under `target` and what the optimizer remembers under `state`,
which is left where it is. Sizes are not in it: they are those of the parameters.
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import flax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from flax import serialization

from genret.models import t5
from genret.models.hugging_face import Params, check_parameters

_STEP = re.compile(r'checkpoint_(\d+)')
_OLDER, _ORBAX = 'checkpoint', 'state'
_EMBEDDING = 'token_embedder/embedding'


def load_t5x(
  path: str | os.PathLike[str],
  *,
  gate: str = 'gelu',
  dropout_rate: float = 0.1,
) -> tuple[t5.T5Config, Params]:
  """Reads the parameters of a T5 that T5X wrote.

  Layers that T5X scans over, whose parameters are stacked, are not read.

  Args:
    path: the folder of a step, or of a run, of which the newest is taken.
    gate: the activation of gated feed-forward layers, which a checkpoint does
      not tell: 'gelu' in all published ones.
    dropout_rate: of the config; likewise.

  Returns:
    The config and the parameters, float32 NumPy arrays.

  Raises:
    FileNotFoundError: for a path without checkpoints.
    ValueError: naming the file or parameter that is not as expected.
  """
  folder = find_step(path)
  read = _read_older if (folder / _OLDER).is_file() else _read_orbax
  params = read(folder)
  config = _config(folder, params, gate, dropout_rate)
  check_parameters(folder, config, params)
  return config, flax.traverse_util.unflatten_dict(params, sep='/')


def find_step(path: str | os.PathLike[str]) -> pathlib.Path:
  """The folder of the newest step in a run, or the step that is given.

  Raises:
    FileNotFoundError: for a path without checkpoints.
  """
  folder = pathlib.Path(path)
  if _is_step(folder):
    return folder
  steps = {
    int(found[1]): inner
    for inner in (folder.iterdir() if folder.is_dir() else ())
    if (found := _STEP.fullmatch(inner.name)) and _is_step(inner)
  }
  if not steps:
    raise FileNotFoundError(
      f'Expected a checkpoint of T5X in {folder} (checkpoint_STEP/ with the file '
      f'{_OLDER} or the folder {_ORBAX} in it), found none; name the folder of a '
      'run or of a step.'
    )
  return steps[max(steps)]


def _is_step(folder: pathlib.Path) -> bool:
  return (folder / _OLDER).is_file() or (folder / _ORBAX).is_dir()


def _read_older(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """Parameters by path, from the msgpack and the arrays beside it."""
  file = folder / _OLDER
  try:
    content = serialization.msgpack_restore(file.read_bytes())
  except Exception as error:  # msgpack raises many kinds
    raise ValueError(
      f'{file} is not a whole checkpoint of T5X ({error}); copy it again.'
    ) from None
  state = content.get('optimizer', content) if _is_tree(content) else {}
  if not _is_tree(state.get('target')):
    raise ValueError(
      f'Expected parameters under optimizer/target in {file}, found none; is it '
      'a checkpoint of T5X?'
    )
  leaves = flax.traverse_util.flatten_dict(
    state['target'], sep='/', is_leaf=lambda _, node: 'driver' in node
  )
  return {
    path: np.asarray(
      _read_zarr(folder, path, leaf) if _is_tree(leaf) else leaf, np.float32
    )
    for path, leaf in leaves.items()
  }


def _read_zarr(
  folder: pathlib.Path, path: str, spec: Mapping[str, Any]
) -> np.ndarray:
  """The array that a specification of tensorstore names, by its own name."""
  # Where it was written, and by which file system, no longer matters.
  name = spec.get('path') or spec.get('kvstore', {}).get('path', '')
  place = folder / pathlib.PurePosixPath(str(name).rstrip('/')).name
  try:
    opened = tensorstore.open(
      {
        'driver': spec['driver'],
        'kvstore': {'driver': 'file', 'path': str(place.absolute())},
      }
    ).result()
    return np.asarray(opened.read().result())
  except (ValueError, OSError) as error:
    raise ValueError(
      f'Expected the array of {path} in {place}, it cannot be read '
      f'({str(error).splitlines()[0]}); copy the whole folder again.'
    ) from None


def _read_orbax(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """Parameters by path, from an orbax tree; what else it holds is not read."""
  handler = ocp.PyTreeCheckpointHandler()
  tree = handler.metadata(folder / _ORBAX).tree
  if not _is_tree(tree.get('target')):
    raise ValueError(
      f'Expected parameters under target in {folder / _ORBAX}, found '
      f'{", ".join(tree) or "nothing"}; is it a checkpoint of T5X?'
    )
  target = flax.traverse_util.flatten_dict(tree['target'])
  wanted = {
    path: ocp.RestoreArgs(restore_type=np.ndarray, dtype=np.float32)
    for path in target
  }
  nested = flax.traverse_util.unflatten_dict(wanted)
  with ocp.Checkpointer(handler) as checkpointer:
    restored = checkpointer.restore(
      (folder / _ORBAX).absolute(),
      args=ocp.args.PyTreeRestore(
        item={'target': nested},
        restore_args={'target': nested},
        partial_restore=True,
      ),
    )
  flat = flax.traverse_util.flatten_dict(restored['target'], sep='/')
  return {path: np.asarray(array) for path, array in flat.items()}


def _is_tree(node: Any) -> bool:
  return isinstance(node, Mapping)


def _config(
  folder: pathlib.Path,
  params: Mapping[str, np.ndarray],
  gate: str,
  dropout_rate: float,
) -> t5.T5Config:
  """The sizes that parameters tell."""
  gated = 'encoder/layers_0/mlp/wi_0/kernel' in params
  wide = f'encoder/layers_0/mlp/{"wi_0" if gated else "wi"}/kernel'
  own = any(path.startswith('encoder/relpos_bias_') for path in params)
  bias = f'encoder/relpos_bias{"_0" if own else ""}/rel_embedding'
  query = 'encoder/layers_0/attention/query/kernel'
  for path in (_EMBEDDING, query, wide, bias):
    if path not in params or params[path].ndim != 2:
      raise ValueError(
        f'Expected {path}, a matrix, in {folder}, found '
        f'{params[path].shape if path in params else "none"}; only plain T5s '
        'are read, no layers that are scanned over and no other models.'
      )
  vocab_size, emb_dim = params[_EMBEDDING].shape
  num_heads = params[bias].shape[0]

  def layers(stack: str) -> int:
    found = [
      int(name[1])
      for path in params
      if (name := re.match(rf'{stack}/layers_(\d+)/', path))
    ]
    return max(found, default=-1) + 1

  return t5.T5Config(
    vocab_size=vocab_size,
    emb_dim=emb_dim,
    num_heads=num_heads,
    num_encoder_layers=layers('encoder'),
    num_decoder_layers=layers('decoder'),
    head_dim=params[query].shape[1] // num_heads,
    mlp_dim=params[wide].shape[1],
    mlp_activations=(gate, 'linear') if gated else ('relu',),
    dropout_rate=dropout_rate,
    logits_via_embedding='decoder/logits_dense/kernel' not in params,
    relative_bias_per_layer=own,
  )
