# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of T5X, read in both of its layouts and written in one, without T5X.

| layout | a step's folder                                                       |
|--------|-----------------------------------------------------------------------|
| older  | `checkpoint`, a msgpack whose large arrays stand beside it as zarr: `target.encoder...` |
| orbax  | `state/`, an orbax tree                                               |

The published T5 1.1, mT5, ByT5, Flan-T5 and umT5 of T5X are in the older one.
Either holds the parameters under `target`; the step, and what the optimizer
remembers, under `state`. Sizes are not in it: they are those of the parameters.

Where T5X scans over the layers, as it does for umT5 (examples/scalable_t5), the
parameters of all layers of a stack are one array, `encoder/encoder/...`, with an
axis of layers behind the first, and heads have an axis of their own. They are
read into the layers that ours have.

What an optimizer of optax remembers is the same numbers in both engines, under
other names: T5X numbers what is a tuple in optax ('0', '1', ...), and has {} for
what holds nothing.
"""

import itertools
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from flax import serialization

from genret.models import checkpoints, t5
from genret.models.hugging_face import Params, check_parameters

_STEP = re.compile(r'checkpoint_(\d+)')
_OLDER, _ORBAX = 'checkpoint', 'state'
_STACKS = ('encoder', 'decoder')
_EMBEDDING = 'token_embedder/embedding'


def load_t5x(
  path: str | os.PathLike[str],
  *,
  gate: str = 'gelu',
  dropout_rate: float = 0.1,
) -> tuple[t5.T5Config, Params]:
  """Reads the parameters of a T5 that T5X wrote.

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
  params = {
    name: np.asarray(array, np.float32)
    for name, array in flax.traverse_util.flatten_dict(
      _read(folder, 'target', 'parameters'), sep='/'
    ).items()
  }
  params = _as_ours(folder, params)
  config = _config(folder, params, gate, dropout_rate)
  check_parameters(folder, config, params)
  return config, flax.traverse_util.unflatten_dict(params, sep='/')


def load_t5x_optimizer(path: str | os.PathLike[str]) -> tuple[int, Any]:
  """Reads the step, and what an optimizer of optax remembers.

  That is of runs with T5X's `OptaxWrapper`, as runs/t5x_train.gin has it, or with
  its own Adafactor without momentum; the latter as `optax.adafactor` at a fixed
  rate has it (Shazeer and Stern, ICML 2018: the moments are the same).

  Args:
    path: as of `load_t5x`.

  Returns:
    The step, and the state as a tree of NumPy arrays: dictionaries, some of them
    of numbers. T5X leaves out what holds nothing.

  Raises:
    FileNotFoundError: for a path without checkpoints.
    ValueError: if there is no such state.
  """
  folder = find_step(path)
  state = _read(folder, 'state', "an optimizer's state")
  found = state.get('param_states')
  if 'step' not in state or not found:
    raise ValueError(
      f"Expected a step and an optimizer's state in {folder}, found "
      f'{", ".join(state)}; name a checkpoint that T5X wrote in training.'
    )
  step = int(state['step'])
  own = flax.traverse_util.flatten_dict(found)
  if any(_is_scanned(path) for path in own):
    raise ValueError(
      f"Expected an optimizer's state layer by layer in {folder}, found one of "
      'layers that T5X scans over, whose moments are of all of them; start from '
      'its parameters alone (--format genret).'
    )
  if {path[-1] for path in own} != {'v_row', 'v_col', 'v', 'm'}:
    return step, found
  if any(own[path].shape != (1,) for path in own if path[-1] == 'm'):
    raise ValueError(
      f'Expected Adafactor without momentum in {folder}, found one with it; '
      'start from its parameters alone (--format genret).'
    )
  moments: dict[str, Any] = {'count': np.asarray(step, np.int32)}
  for name in ('v_row', 'v_col', 'v'):
    moments[name] = flax.traverse_util.unflatten_dict(
      {path[:-1]: own[path] for path in own if path[-1] == name}
    )
  # Clipping, the rate, the parameters' scale and the sign remember nothing.
  return step, {'0': moments}


def save_t5x(
  folder: str | os.PathLike[str], step: int, params: Params, optimizer: Any
) -> pathlib.Path:
  """Writes a checkpoint that T5X goes on from, in its older layout.

  Unlike in orbax's, T5X looks for no position in the data there.

  Args:
    folder: the MODEL_DIR of T5X's run.
    step: the steps that it has had.
    params: of the model.
    optimizer: what `checkpoints.load_optimizer` has.

  Returns:
    The folder of the step.

  Raises:
    ValueError: if there is one already.
  """
  target = pathlib.Path(folder) / f'checkpoint_{step}'
  if target.exists():
    raise ValueError(f'Expected no {target}, found one; name another folder.')
  temporary = target.with_name(f'.{target.name}.{os.getpid()}')
  shutil.rmtree(temporary, ignore_errors=True)
  temporary.mkdir(parents=True)
  flat = flax.traverse_util.flatten_dict(params)
  specs = {
    path: _write_zarr(temporary, '.'.join(('target', *path)), np.asarray(array))
    for path, array in flat.items()
  }
  state = {
    'step': np.asarray(step, np.int32),
    'param_states': _without_sequences(optimizer),
  }
  content = {
    'version': 3,
    'optimizer': {
      'target': flax.traverse_util.unflatten_dict(specs),
      'state': state,
    },
  }
  (temporary / _OLDER).write_bytes(serialization.msgpack_serialize(content))
  temporary.replace(target)
  return target


def _without_sequences(node: Any) -> Any:
  """What T5X has of optax's state."""
  if node is None:
    return {}
  if isinstance(node, list | tuple):
    node = {str(number): inner for number, inner in enumerate(node)}
  if _is_tree(node):
    return {name: _without_sequences(inner) for name, inner in node.items()}
  return np.asarray(node)


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


def _read(folder: pathlib.Path, part: str, what: str) -> dict[str, Any]:
  """The tree of arrays that is one part of a checkpoint."""
  if (folder / _OLDER).is_file():
    return _read_older(folder, part, what)
  return _read_orbax((folder / _ORBAX).absolute(), part, what)


def _read_older(folder: pathlib.Path, part: str, what: str) -> dict[str, Any]:
  """From the msgpack and the arrays beside it."""
  file = folder / _OLDER
  try:
    content = serialization.msgpack_restore(file.read_bytes())
  except Exception as error:  # msgpack raises many kinds
    raise ValueError(
      f'Expected a whole checkpoint of T5X in {file}, it cannot be read '
      f'({error}); copy it again.'
    ) from None
  whole = content.get('optimizer', content) if _is_tree(content) else {}
  if not _is_tree(whole.get(part)):
    raise ValueError(
      f'Expected {what} under optimizer/{part} in {file}, found none; is it '
      'a checkpoint of T5X?'
    )

  def arrays(node: Any, path: str) -> Any:
    if not _is_tree(node):
      return np.asarray(node)
    if 'driver' in node:
      return _read_zarr(folder, path, node)
    return {
      name: arrays(inner, f'{path}/{name}' if path else name)
      for name, inner in node.items()
    }

  found: dict[str, Any] = arrays(whole[part], '')
  return found


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
        # A file that is gone holds no zeros.
        'fill_missing_data_reads': False,
      }
    ).result()
    return np.asarray(opened.read().result())
  except (ValueError, OSError) as error:
    first = str(error).splitlines()[0].partition(' [')[0]
    raise ValueError(
      f'Expected the array of {path} in {place}, it cannot be read ({first}); '
      'copy the whole folder again.'
    ) from None


def _write_zarr(
  folder: pathlib.Path, name: str, array: np.ndarray
) -> dict[str, Any]:
  """Writes an array; returns how T5X names it within the msgpack."""
  metadata = {
    'shape': list(array.shape),
    'chunks': [max(size, 1) for size in array.shape],
    'compressor': {'id': 'gzip'},
  }
  spec = {
    'driver': 'zarr',
    'dtype': array.dtype.name,
    'kvstore': {'driver': 'file', 'path': name},
    'metadata': metadata,
  }
  place = {'driver': 'file', 'path': str((folder / name).absolute())}
  opened = tensorstore.open({**spec, 'kvstore': place}, create=True).result()
  opened.write(array).result()
  return spec


def _read_orbax(folder: pathlib.Path, part: str, what: str) -> dict[str, Any]:
  """From an orbax tree; the other parts are not read."""
  handler = ocp.PyTreeCheckpointHandler()
  with checkpoints.whole(folder):
    tree = handler.metadata(folder).tree
  if not _is_tree(tree.get(part)):
    raise ValueError(
      f'Expected {what} under {part} in {folder}, found '
      f'{", ".join(tree) or "nothing"}; is it a checkpoint of T5X?'
    )
  wanted = jax.tree.map(
    lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree[part]
  )
  with checkpoints.whole(folder), ocp.Checkpointer(handler) as checkpointer:
    restored = checkpointer.restore(
      folder,
      args=ocp.args.PyTreeRestore(
        item={part: wanted},
        restore_args={part: wanted},
        partial_restore=True,
      ),
    )
  found: dict[str, Any] = restored[part]
  return found


def _is_tree(node: Any) -> bool:
  return isinstance(node, Mapping)


def _is_scanned(path: Sequence[str]) -> bool:
  """Whether an array is that of all layers of a stack.

  Such are within `encoder/encoder`; in what optax remembers of them, deeper.
  """
  pairs = itertools.pairwise(path)
  return any(outer == inner and outer in _STACKS for outer, inner in pairs)


def _as_ours(
  folder: pathlib.Path, params: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Parameters of T5X's scalable_t5 by our names, layer by layer.

  Those of its t5 are as they are.
  """
  layers = {}
  for name, array in params.items():
    stack, *within = name.split('/')
    if not _is_scanned((stack, *within[:1])):
      layers[name] = array
      continue
    if array.ndim < 2:
      raise ValueError(
        f'Expected an axis of layers behind the first in {name} in {folder}, got '
        f'shape {array.shape}; is it a checkpoint of T5X?'
      )
    rest = '/'.join(within[1:])
    for layer, own in enumerate(np.moveaxis(array, 1, 0)):
      layers[f'{stack}/layers_{layer}/{rest}'] = own
  found = {}
  for name, array in layers.items():
    # A layer has its own biases there, and they stand beside the layers in ours.
    ours = re.sub(r'/layers_(\d+)/relpos_bias/', r'/relpos_bias_\1/', name)
    if array.ndim == 3:  # heads have an axis of their own there
      wide = (-1, array.shape[2]) if '/out/' in name else (array.shape[0], -1)
      array = array.reshape(wide)
    found[ours] = np.ascontiguousarray(array)
  return found


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
        f'{params[path].shape if path in params else "none"}; only T5s are '
        'read, no other models.'
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
