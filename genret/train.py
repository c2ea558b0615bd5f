# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The embedded trainer: one host, any number of local devices.

`train` reads from top to bottom. Kill it anywhere and start it again: it goes
on from its newest checkpoint, with the batches that would have come. On SIGTERM
it saves one first.
"""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import optax
from jax.sharding import NamedSharding, PartitionSpec
from tqdm import tqdm

from genret import identifiers as identifiers_lib
from genret import (
  preemption,
  profiling,
  run_folders,
  token_examples,
  train_checks,
  train_log,
)
from genret.corpus import Document, check_query_form, load_collection
from genret.decoding.ngram_keys import KeyOptions
from genret.decoding.options import DecodingOptions, from_fields
from genret.evaluate import evaluate_searcher, split_queries
from genret.losses import TokenLosses
from genret.models import checkpoints
from genret.models.t5 import Transformer, initial_params
from genret.objectives import CrossEntropy, Objective, describe
from genret.ranking.ngrams import Scoring
from genret.run_folders import DOCIDS_FOLDER
from genret.searcher import check_corpus, make_searcher, write_settings
from genret.train_step import make_step


def train(
  *,
  module: Transformer,
  mixture_or_task_name: str | os.PathLike[str],
  task_feature_lengths: Mapping[str, int],
  train_steps: int,
  batch_size: int,
  model_dir: str | os.PathLike[str],
  corpus: str | os.PathLike[str],
  docids: str | os.PathLike[str],
  objective: Objective | None = None,
  optimizer: optax.GradientTransformation | None = None,
  microbatches: int = 1,
  initial_checkpoint_path: str | os.PathLike[str] | None = None,
  use_cached_tasks: bool = False,
  cache_dirs: Sequence[str | os.PathLike[str]] = (),
  query_prefix: str = '',
  query_form: str = 'input',
  passage_prefix: str = '',
  unseen_share: float = 0.0,
  unseen_seed: int = 0,
  seed: int = 0,
  num_beams: int = 10,
  decoding: Mapping[str, Any] | None = None,
  keys: Mapping[str, Any] | None = None,
  scoring: Mapping[str, Any] | None = None,
  log_period: int = 50,
  eval_period: int = 500,
  eval_split: str = 'dev',
  eval_queries: int | None = 500,
  checkpoint_period: int = 500,
  keep_checkpoints: int = 1,
  keep_best: int = 0,
  profile_steps: Sequence[int] | None = None,
  texts: Mapping[str, str] | None = None,
  progress: bool = True,
) -> Path:
  """Trains a retriever, measuring it by its searches along the way.

  Leaves a run folder that `Searcher.load` opens: model.json, searcher.json,
  docids/, checkpoints/ (step 0, the untrained model, is kept), log.jsonl and
  TensorBoard events.

  Args:
    module: the model.
    mixture_or_task_name: what to train on, a name in seqio's registries, or a
      folder of `genret examples tokens`, for which neither seqio nor TensorFlow
      is needed.
    task_feature_lengths: 'inputs' and 'targets', in tokens; targets at least
      the longest identifier plus 1 for the end-of-sequence, or what a dual
      encoder reads of a document.
    train_steps: where to stop, steps of an earlier part of the run included.
    batch_size: examples per step, over all local devices.
    model_dir: the run folder.
    corpus: the collection to evaluate on.
    docids: folder of the identifiers, or of an index of n-grams.
    objective: one of `genret.objectives`; cross-entropy where None.
    optimizer: any of optax; Adafactor at a rate of 0.001 where None.
    microbatches: parts of a batch that are computed one after another, for less
      memory; the update is that of the whole batch, but for dropout.
    initial_checkpoint_path: a folder of `genret convert`, or another run, to
      take the parameters from; they must fit the module.
    use_cached_tasks: read the tasks from seqio's cache folders.
    cache_dirs: those of them that `corpusbrain.mixture` does not name.
    query_prefix: put before the queries of the evaluation and of the searcher;
      the same as in training.
    query_form: what records of KILT are as queries, likewise: one of
      `corpus.QUERY_FORMS`.
    passage_prefix: put before documents where the searcher reads them, as a
      dual encoder does; the same as in training.
    unseen_share: how many documents the tasks withhold the training queries of
      (`genret.unseen`); evaluations then tell seen and unseen ones apart.
    unseen_seed: which ones.
    seed: of parameters, data order and dropout.
    num_beams: K of the evaluation and of the searcher.
    decoding: how identifiers are decoded: fields of `DecodingOptions`, by name.
    keys: where n-grams name documents, how they are decoded: fields of
      `ngram_keys.KeyOptions`, by name.
    scoring: likewise how they score documents: fields of `ngrams.Scoring`.
    log_period: steps between two lines of the log; the loss is checked then.
    eval_period: steps between two evaluations, the first before any training;
      0 for none.
    eval_split: split to evaluate on.
    eval_queries: how many of its queries, from the first; None for all.
    checkpoint_period: steps between two checkpoints; the last step has one.
    keep_checkpoints: how many of the newest stay.
    keep_best: how many stay besides of those with the highest Success@10 on
      eval_split, the earlier of equals; every step that is evaluated is then
      saved, and the log tells the best so far. 0, for a checkpoint may be large
      and what opens a run opens its newest.
    profile_steps: the first and the last step to trace, into profile/ of the run
      folder; None for none.
    texts: what else to leave in the run folder, such as the configuration, by
      names of files. Where a run goes on it is told what it had of other lines.
    progress: show a progress bar on standard error.

  Returns:
    The run folder.

  Raises:
    ValueError: if lengths, batch size, periods or identifiers do not fit, if
      decoding, keys or scoring have no such fields, if keep_best is below 0 or
      nothing is evaluated to find them by, or if another process of the machine
      is training in the folder.
    FloatingPointError: if the loss is not finite, or what is to be kept; names
      the step, and the array.
    SystemExit: on SIGTERM, in the main thread, once the step that was being
      trained is saved; the same call goes on from there.
  """
  # --- What must fit before anything runs.
  run_folder = Path(model_dir)
  train_checks.check_folder(run_folder, docids)
  objective = objective or CrossEntropy()
  optimizer = optimizer or optax.adafactor(1e-3)
  found = identifiers_lib.load(docids)
  retrieval = {}  # of a model that retrieves by other means than what it writes
  if hasattr(objective, 'retriever'):
    retrieval = {
      'retriever': objective.retriever,
      'document_length': task_feature_lengths['targets'],
      'passage_prefix': passage_prefix,
    }
  train_checks.check_model(
    module.config, found, task_feature_lengths, writes=not retrieval
  )
  data = _examples(mixture_or_task_name, use_cached_tasks, cache_dirs)
  if isinstance(data, token_examples.TokenExamples):
    data.check_made_for(
      token_examples.made_for(
        found.hash, unseen_share=unseen_share, unseen_seed=unseen_seed
      )
    )
  step_fn = make_step(module, optimizer, objective, microbatches=microbatches)
  train_checks.check_batch(batch_size, microbatches)
  train_checks.check_numbers(
    seed=seed,
    train_steps=train_steps,
    log_period=log_period,
    checkpoint_period=checkpoint_period,
    eval_period=eval_period,
    keep_checkpoints=keep_checkpoints,
    keep_best=keep_best,
  )
  profile = profiling.Window(run_folder / 'profile', profile_steps, train_steps)
  check_query_form(query_form)
  from_fields(DecodingOptions, decoding or {})
  from_fields(KeyOptions, keys or {})
  from_fields(Scoring, scoring or {})
  queries: dict[str, str] = {}
  qrels: dict[str, dict[str, int]] = {}
  documents: list[Document] | None = None
  if eval_period:
    collection = load_collection(corpus, query_form=query_form)
    queries, qrels = split_queries(collection, eval_split, limit=eval_queries)
    if retrieval:
      documents = collection.documents
      check_corpus(documents, found, str(corpus))
    del collection  # large, and needed no more

  # --- What the run is, and how to search with it.
  # Kept out of files where nothing is said, so that those of old runs agree.
  form = {} if query_form == 'input' else {'query_form': query_form}
  withheld: dict[str, Any] = {}
  if unseen_share:
    withheld = {'unseen_share': unseen_share, 'unseen_seed': unseen_seed}
  shared = {'query_prefix': query_prefix, **form, **withheld, **retrieval}
  settings = {
    # A folder by its full path; names such as 'genret:...' as they are.
    'corpus': str(Path(corpus).absolute() if Path(corpus).exists() else corpus),
    'input_length': task_feature_lengths['inputs'],
    'num_beams': num_beams,
    'decoding': dict(decoding or {}),
    # These are read where n-grams name documents.
    'keys': dict(keys or {}),
    'scoring': dict(scoring or {}),
    **shared,
  }

  with contextlib.ExitStack() as closing:
    # --- The run folder is this run's alone.
    run_folder.mkdir(parents=True, exist_ok=True)
    closing.enter_context(run_folders.alone(run_folder))
    run_folders.claim(
      run_folder,
      {
        'model': checkpoints.config_fields(module.config),
        'docids': found.hash,
        'mixture_or_task_name': data.described,
        'task_feature_lengths': dict(task_feature_lengths),
        'batch_size': batch_size,
        'objective': describe(objective),
        'seed': seed,
        **shared,
      },
    )
    run_folders.copy_docids(Path(docids), run_folder / DOCIDS_FOLDER)
    checkpoints.save_config(run_folder, module.config)

    # --- Parameters and optimiser, the same on every device.
    mesh = jax.make_mesh(
      (jax.local_device_count(),),
      ('data',),
      axis_types=(jax.sharding.AxisType.Auto,),
      devices=jax.local_devices(),
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    split_batch = NamedSharding(mesh, PartitionSpec('data'))
    init_key, dropout_key = jax.random.split(jax.random.key(seed))
    init = functools.partial(initial_params, module)
    params = jax.jit(init, out_shardings=everywhere)(init_key)
    state = (params, jax.jit(optimizer.init, out_shardings=everywhere)(params))

    # --- Go on from the newest checkpoint, or keep the untrained model.
    stop = closing.enter_context(preemption.noticed())
    scores: dict[int, float] = {}  # of steps that are evaluated
    manager = closing.enter_context(
      checkpoints.checkpoint_manager(
        run_folder, keep=keep_checkpoints, keep_best=keep_best, scores=scores
      )
    )
    first_step = manager.latest_step() or 0
    if first_step > train_steps:
      raise ValueError(
        f'Expected train_steps of at least {first_step}, the steps that '
        f'{run_folder} has had, got {train_steps}; train into another folder.'
      )
    goes_on = manager.latest_step() is not None
    if goes_on:
      state = checkpoints.restore_step(manager, first_step, *state)
    else:
      if initial_checkpoint_path is not None:
        params = checkpoints.load_params_like(initial_checkpoint_path, params)
        state = (jax.device_put(params, everywhere), state[1])
      checkpoints.save_step(manager, 0, *state)
    write_settings(run_folder, settings)
    changes = run_folders.leave_texts(run_folder, texts or {}, step=first_step)
    if goes_on:
      told = (
        f'{run_folder} goes on from step {first_step}, with its parameters.'
      )
      print(told, *changes, sep='\n', file=sys.stderr)

    # --- The data from where they stopped, the log, the evaluation.
    batches = data.training_batches(
      task_feature_lengths, batch_size, seed=seed, skip=first_step
    )
    log = closing.enter_context(train_log.opened(run_folder, first_step))
    logged = log.scores(eval_split, queries=len(queries) if keep_best else None)
    scores |= {s: logged[s] for s in manager.all_steps() if s in logged}
    closing.callback(profile.close)
    pending: list[TokenLosses] = []  # of steps that no line tells as yet
    last_time = time.perf_counter()
    shown: dict[str, str] = {}
    bar = closing.enter_context(
      tqdm(
        total=train_steps,
        initial=first_step,
        desc='train',
        unit='step',
        disable=not progress,
      )
    )
    if eval_period:
      searcher = make_searcher(
        module, state[0], docids, settings, documents=documents
      )

    def due(step: int) -> bool:
      if not eval_period:
        return False
      return step % eval_period == 0 or step == train_steps

    def measure(step: int) -> None:
      searcher.params = state[0]
      try:
        with stop.at_once():  # measured when training goes on
          measured = evaluate_searcher(searcher, queries, qrels)
      except preemption.Stopped:
        leave(step)
      scalars = {**measured.evaluation.mean, **measured.rates}
      for part, means in measured.parts(qrels, **withheld).items():
        scalars |= {f'{part}/{name}': value for name, value in means.items()}
      scores[step] = measured.evaluation.mean['Success@10']
      if keep_best:
        scalars['queries'] = len(queries)
        scalars['best_step'] = checkpoints.best_steps(scores, 1)[0]
        shown['best step'] = str(scalars['best_step'])
      log.write(
        step, {f'{eval_split}/{name}': v for name, v in scalars.items()}
      )
      shown[f'{eval_split} Success@10'] = f'{scores[step]:.3f}'
      bar.set_postfix(shown)

    def save(step: int) -> None:
      # What is kept must be worth going on from.
      train_checks.finite_losses(pending, step)
      train_checks.check_finite_state(state, step)
      checkpoints.save_step(manager, step, *state)

    def tell(step: int) -> None:
      nonlocal pending, last_time
      scalars = _means(pending, step)
      seconds = time.perf_counter() - last_time
      scalars['examples_per_second'] = batch_size * len(pending) / seconds
      pending, last_time = [], time.perf_counter()
      log.write(step, scalars)
      shown['loss'] = f'{scalars["loss"]:.3f}'
      bar.set_postfix(shown)

    def leave(step: int) -> NoReturn:
      if pending:
        tell(step)
      if manager.latest_step() != step:
        save(step)
      manager.wait_until_finished()
      bar.close()
      preemption.leave(
        f'Stopped by SIGTERM after step {step} of {train_steps}, which is '
        f'saved in {run_folder}; start the same command again to go on.'
      )

    # The end may have come between a checkpoint and its evaluation.
    if due(first_step) and first_step not in scores:
      measure(first_step)

    # --- Train.
    last_time = time.perf_counter()
    for step in range(first_step + 1, train_steps + 1):
      profile.begin(step)
      batch = jax.device_put(next(batches), split_batch)
      state, losses = step_fn(
        state, batch, jax.random.fold_in(dropout_key, step)
      )
      profile.end(step, losses)
      pending.append(losses)
      # Two steps ahead keep the device busy; more would only take memory.
      if len(pending) > 2:
        pending[-3].loss.block_until_ready()
      bar.update()
      stopping = stop.requested
      last = stopping or step == train_steps
      if step % log_period == 0 or last:
        tell(step)
      best_known = keep_best and due(step)
      if step % checkpoint_period == 0 or last or best_known:
        save(step)
      if stopping:
        leave(step)
      # Behind the checkpoint: a machine may be gone before this ends.
      if due(step):
        measure(step)
        last_time = time.perf_counter()
    if stop.requested:  # as the end was measured: nothing may follow it here
      leave(train_steps)
  return run_folder


def _examples(
  name: str | os.PathLike[str],
  use_cached: bool,
  cache_dirs: Sequence[str | os.PathLike[str]],
) -> Any:
  """What gives the batches: `TokenExamples` or `SeqioExamples`."""
  if token_examples.is_folder(name):
    return token_examples.load(name)
  from genret import seqio_batches  # imports TensorFlow, which may be absent

  data = seqio_batches.SeqioExamples(
    str(name), use_cached, tuple(str(folder) for folder in cache_dirs)
  )
  data.check()
  return data


def _means(pending: list[TokenLosses], step: int) -> dict[str, float]:
  """Means over the steps since the last log, which ended with `step`."""
  loss, correct, weight = train_checks.finite_losses(pending, step).sum(0)
  weight = max(weight, 1.0)
  return {'loss': loss / weight, 'token_accuracy': correct / weight}
