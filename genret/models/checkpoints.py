# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Run folders: the model's sizes as JSON, its parameters through orbax.

A run folder holds `model.json` and `checkpoints/<step>/`, each step with two
items, `params` and `optimizer`, so that a searcher reads the first alone.
orbax writes a step under a temporary name and renames it: what has a name is
complete.
"""

import contextlib
import dataclasses
import errno
import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from genret.models import adapters, pawa
from genret.models.t5 import T5Config, Transformer, initial_params
from genret.text_files import write_text

CONFIG_FILE = 'model.json'
CHECKPOINTS = 'checkpoints'

# Neither initial values nor how it is trained are part of a trained model.
_NOT_SAVED = ('embedding_init', 'logits_init', 'remat_policy')


def save_config(folder: str | os.PathLike[str], config: T5Config) -> None:
  """Writes the sizes of a model to `model.json` in the folder."""
  text = json.dumps(config_fields(config), indent=2) + '\n'
  write_text(Path(folder) / CONFIG_FILE, text)


def config_fields(config: T5Config) -> dict[str, Any]:
  """The sizes of a model as JSON has them; initial values are left out."""
  fields = {
    field.name: getattr(config, field.name)
    for field in dataclasses.fields(config)
    if field.name not in _NOT_SAVED
  }
  fields['dtype'] = jnp.dtype(fields['dtype']).name
  fields['mlp_activations'] = list(fields['mlp_activations'])
  return fields


def load_config(
  folder: str | os.PathLike[str],
  *,
  dtype: str | None = None,
  remat_policy: str = 'none',
) -> T5Config:
  """Reads `model.json`.

  Args:
    folder: that `genret train` or `genret convert` wrote.
    dtype: of activations; that of the file where None.
    remat_policy: as `T5Config` has it, for it is of no file.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if it is no JSON object or names a size that T5 has not.
  """
  path = Path(folder) / CONFIG_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f'Expected the sizes of a model in {path}, found no such file; give a '
      'folder that `genret train` or `genret convert` wrote.'
    )
  try:
    fields = json.loads(path.read_text(encoding='utf-8'))
  except ValueError:
    fields = None
  if not isinstance(fields, dict):
    raise ValueError(
      f'Expected a JSON object in {path}, found something else; write the '
      'model again.'
    )
  known = {field.name for field in dataclasses.fields(T5Config)}
  unknown = sorted(set(fields) - known)
  if unknown or 'vocab_size' not in fields:
    raise ValueError(
      f'Expected fields of T5Config in {path}, got '
      f'{unknown or "no vocab_size"}; was it written by a newer genret?'
    )
  return T5Config(
    **{
      **fields,
      'dtype': jnp.dtype(dtype or fields.get('dtype', 'float32')),
      'remat_policy': remat_policy,
    }
  )


@contextlib.contextmanager
def checkpoint_manager(
  folder: str | os.PathLike[str],
  *,
  keep: int | None = 1,
  keep_best: int = 0,
  scores: Mapping[int, float] | None = None,
) -> Iterator[ocp.CheckpointManager]:
  """The checkpoints of a run folder, of which a new one takes away others.

  Step 0, the untrained model, is always kept.

  Args:
    folder: the run folder.
    keep: how many of the newest stay; None for all.
    keep_best: how many of the best stay besides, as `best_steps` has them.
    scores: of steps; read anew at every save, so they may grow meanwhile.

  Raises:
    OSError: if no room is left, as a step is saved or at the end: they are
      written in the background.
  """
  policies = ocp.checkpoint_managers
  manager = ocp.CheckpointManager(
    (Path(folder) / CHECKPOINTS).absolute(),
    options=ocp.CheckpointManagerOptions(
      preservation_policy=policies.AnyPreservationPolicy(
        [
          policies.CustomSteps([0]),
          policies.LatestN(keep),
          _Best(keep_best, {} if scores is None else scores),
        ]
      ),
      enable_async_checkpointing=True,
    ),
    item_names=('params', 'optimizer'),
  )
  try:
    with manager:
      yield manager
  except (OSError, ValueError) as error:
    # tensorstore, which writes for orbax, tells the number in text alone.
    full = [os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT)]
    if not any(text in str(error) for text in full):
      raise
    raise OSError(
      f'Expected room for what is written in {folder}, no space is left; make '
      'some, and start the same command again: training goes on from the last '
      'whole checkpoint.'
    ) from error


def best_steps(scores: Mapping[int, float], number: int) -> list[int]:
  """The steps of the highest scores, the best first; of equals the earlier."""
  return sorted(scores, key=lambda step: (-scores[step], step))[:number]


@dataclasses.dataclass(frozen=True)
class _Best:
  """A policy of orbax, whose own is given scores as a step is saved: too early.

  They come when the model that is saved has been evaluated.
  """

  number: int
  scores: Mapping[int, float]

  def should_preserve(
    self,
    checkpoints: Sequence[ocp.checkpoint_managers.PolicyCheckpointInfo],
    *,
    context: ocp.checkpoint_managers.PreservationContext,
  ) -> list[bool]:
    """Whether each checkpoint is among the best of those that there are."""
    steps = [each.step for each in checkpoints]
    known = {s: self.scores[s] for s in steps if s in self.scores}
    best = best_steps(known, self.number)
    return [step in best for step in steps]


def save_step(
  manager: ocp.CheckpointManager, step: int, params: Any, optimizer: Any
) -> None:
  """Starts to write a checkpoint; the arrays may be reused at once."""
  manager.save(
    step,
    args=ocp.args.Composite(
      params=ocp.args.StandardSave(params),
      optimizer=ocp.args.StandardSave(optimizer),
    ),
  )


def restore_step(
  manager: ocp.CheckpointManager, step: int, params: Any, optimizer: Any
) -> tuple[Any, Any]:
  """Reads a checkpoint into arrays like the given ones (shapes, shardings).

  Raises:
    ValueError: if the optimizer's state is another's.
  """
  _check_stored(
    manager,
    step,
    'optimizer',
    optimizer,
    'as the optimizer has it',
    'go on with the optimizer that wrote it',
  )
  wanted = _by_name(_abstract(optimizer))
  # By name, for T5X has other types in place of optax's (`load_optimizer`).
  like = jax.tree.map_with_path(
    lambda path, _: wanted[_name(path)],
    _stored(manager, step, 'optimizer'),
  )
  with whole(manager.directory / str(step)):
    restored = manager.restore(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardRestore(_abstract(params)),
        optimizer=ocp.args.StandardRestore(like),
      ),
    )
  found = _by_name(restored['optimizer'])
  return restored['params'], jax.tree.map_with_path(
    lambda path, _: found[_name(path)], optimizer
  )


def load_model(
  run_folder: str | os.PathLike[str], *, step: int | None = None
) -> tuple[T5Config, Any]:
  """The sizes and parameters that a run folder holds.

  Args:
    run_folder: with model.json and checkpoints/.
    step: of the checkpoint; the newest where None.

  Raises:
    FileNotFoundError: if there is no model or no such checkpoint.
    ValueError: if the checkpoint is of a model of other sizes.
  """
  config = load_config(run_folder)
  if not (Path(run_folder) / CHECKPOINTS).is_dir():
    raise FileNotFoundError(
      f'Expected checkpoints in {run_folder}, found none; train first.'
    )
  with checkpoint_manager(run_folder, keep=None) as manager:
    steps = manager.all_steps()
    step = max(steps, default=None) if step is None else step
    if step is None or step not in steps:
      raise FileNotFoundError(
        f'Expected a checkpoint of step {step} in {run_folder}, found steps '
        f'{sorted(steps) or "none"}; choose one of them, or train first.'
      )
    module = Transformer(config)
    shapes = jax.eval_shape(
      functools.partial(initial_params, module), jax.random.key(0)
    )
    _check_stored(
      manager,
      step,
      'params',
      shapes,
      f'as in {CONFIG_FILE}',
      f'restore the {CONFIG_FILE} that was written with it',
    )
    with whole(manager.directory / str(step)):
      params = manager.restore(
        step,
        args=ocp.args.Composite(
          params=ocp.args.StandardRestore(_abstract(shapes))
        ),
      )['params']
  return config, params


def newest_step(run_folder: str | os.PathLike[str]) -> int:
  """The step of the newest checkpoint, by the names of folders; 0 for none."""
  names = [path.name for path in Path(run_folder, CHECKPOINTS).iterdir()]
  return max((int(name) for name in names if name.isdigit()), default=0)


def load_optimizer(
  run_folder: str | os.PathLike[str], *, step: int | None = None
) -> tuple[int, Any]:
  """The step of a checkpoint, and what the optimizer remembers.

  Args:
    run_folder: with checkpoints/.
    step: of the checkpoint; the newest where None.

  Returns:
    The step, and the state of optax as a tree of NumPy arrays: lists for tuples,
    dictionaries for named ones, None for those that hold nothing; or, of a run
    that came from T5X, as `t5x_checkpoints.load_t5x_optimizer` has it.

  Raises:
    FileNotFoundError: if there is no such checkpoint, or one without a state.
  """
  with checkpoint_manager(run_folder, keep=None) as manager:
    steps = manager.all_steps()
    step = max(steps, default=None) if step is None else step
    folder = manager.directory / str(step) / 'optimizer'
    if step is None or step not in steps or not folder.is_dir():
      raise FileNotFoundError(
        f"Expected an optimizer's state in step {step} of {run_folder}, found "
        'none; name a run of `genret train`.'
      )
    handler = ocp.PyTreeCheckpointHandler()
    with whole(folder), ocp.Checkpointer(handler) as checkpointer:
      args = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
        handler.metadata(folder).tree,
      )
      return step, checkpointer.restore(
        folder, args=ocp.args.PyTreeRestore(restore_args=args)
      )


def _check_stored(
  manager: ocp.CheckpointManager,
  step: int,
  item: str,
  wanted: Any,
  reason: str,
  advice: str,
) -> None:
  """Compares what is stored with what is wanted; orbax would say it in pages."""
  folder = manager.directory / str(step) / item
  found, shapes = (
    {name: leaf.shape for name, leaf in _by_name(tree).items()}
    for tree in (_stored(manager, step, item), wanted)
  )
  for name in sorted(found | shapes):
    if found.get(name) == shapes.get(name):
      continue
    wanted_here = f'{name} of shape {shapes[name]}' if name in shapes else None
    raise ValueError(
      f'Expected {wanted_here or f"no {name}"} {reason}, {folder} has '
      f'{found.get(name, "none")}; {advice}.'
    )


def _stored(manager: ocp.CheckpointManager, step: int, item: str) -> Any:
  """What one item of a checkpoint holds: a tree of shapes and types."""
  folder = manager.directory / str(step) / item
  with whole(manager.directory / str(step)):
    return ocp.StandardCheckpointHandler().metadata(folder).tree


@contextlib.contextmanager
def whole(folder: str | os.PathLike[str]) -> Iterator[None]:
  """Words what orbax raises where files of a checkpoint are missing or damaged.

  Args:
    folder: of the step that is read within.

  Raises:
    ValueError: in place of whatever is raised within.
  """
  try:
    yield
  except Exception as error:  # of any type, and pages long
    first = ' '.join(str(error).split())[:80]
    raise ValueError(
      f'Expected a whole checkpoint in {folder}, it cannot be read ({first}...); '
      'copy it again, or choose another step.'
    ) from error


def _by_name(tree: Any) -> dict[str, Any]:
  return {_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _name(path: Any) -> str:
  """Of a leaf, whether it lies in tuples or in a dictionary of numbers."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def load_params_like(folder: str | os.PathLike[str], params: Any) -> Any:
  """The newest parameters in a folder, checked against those of a model.

  Args:
    folder: of `genret convert`, or a run.
    params: of the model that is to start from them. What PAWA and adapters add
      to a model is taken from here where the folder's has none of it.

  Raises:
    FileNotFoundError: as `load_model`.
    ValueError: if names or shapes differ.
  """
  config, loaded = load_model(folder)
  # Both start as adding 0.
  flat = flax.traverse_util.flatten_dict(loaded)
  for path, leaf in flax.traverse_util.flatten_dict(params).items():
    if (not config.pawa_layers and path[0] in pawa.PARAMETERS) or (
      not config.adapter_dim and adapters.is_adapters(path)
    ):
      flat[path] = leaf
  loaded = flax.traverse_util.unflatten_dict(flat)
  if jax.tree.map(jnp.shape, loaded) != jax.tree.map(jnp.shape, params):
    raise ValueError(
      f'Expected parameters of the shapes of the model, those in {folder} '
      'differ; use the same gin file of sizes and the same vocabulary size.'
    )
  return loaded


def _abstract(tree: Any) -> Any:
  """Shapes and types, on the devices that the arrays are on."""
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=getattr(x, 'sharding', None) or device
    ),
    tree,
  )
