# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Times training: a step beside T5X's, and what the input pipeline adds.

T5X trains the same module with its own loop (`t5x.trainer.Trainer`, one device or
all, its partitioner), the same Adafactor of optax and the same batch, and once more
the network of its examples. Without T5X these lines are left out. 'answers' compares
the parameters after all steps; dropout is off for that, --dropout sets it, and then
they differ.

The input pipeline is the quickstart's: queries, and random windows and keywords of
documents, cut in seqio, and the same from files (`genret examples tokens`). 'one
batch' takes the same batch again and again, which is what no pipeline can be faster
than.

Example:
  genret bench train --shape small --batch-size 32 --steps 2
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import seqio

from genret import token_examples
from genret.docids import on_demand
from genret.models.t5 import T5Config, Transformer, initial_params
from genret.objectives import Batch, CrossEntropy, teacher_forcing_batch
from genret.seqio_batches import SeqioExamples
from genret.t5x_optimizer import placeable
from genret.tasks import retrieval
from genret.tools import _arguments, _measure
from genret.tools._measure import Line
from genret.train_step import make_step

# Sizes of models: those of experiments/quickstart.gin, and of T5 1.1 small.
SHAPES: dict[str, dict[str, Any]] = {
  'mini': {
    'vocab_size': 9600,
    'emb_dim': 256,
    'num_heads': 4,
    'num_encoder_layers': 1,
    'num_decoder_layers': 1,
    'head_dim': 64,
    'mlp_dim': 512,
  },
  'small': {
    'vocab_size': 32128,
    'emb_dim': 512,
    'num_heads': 6,
    'num_encoder_layers': 8,
    'num_decoder_layers': 8,
    'head_dim': 64,
    'mlp_dim': 1024,
  },
}
_RATE = 1e-3
_Z_LOSS = 1e-4
_CORPUS = 'genret:squadshifts_wiki'

# Trains some steps and returns the parameters that come out.
Steps = Callable[[], Any]


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  # First: T5X leaves a writer behind as TensorFlow's default, which breaks a
  # pipeline that is made after it.
  lines = _pipeline(args) if args.batches else []
  for shape in args.shape:
    lines += _engines(shape, args)
  _measure.report('genret bench train', lines, vars(args), args.json)
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench train',
    description=__doc__,
    formatter_class=_measure.Help,
  )
  add = parser.add_argument
  add(
    '--shape',
    nargs='*',
    choices=tuple(SHAPES),
    default=['mini'],
    help='sizes of the model',
  )
  for name, value, what in (
    ('batch-size', 64, 'examples of a step, B'),
    ('input-length', 64, 'T'),
    ('target-length', 16, 'L'),
    ('steps', 5, 'of each turn'),
    ('repeats', 5, 'turns of each'),
  ):
    add(
      f'--{name}',
      type=_arguments.at_least_one,
      default=value,
      metavar='N',
      help=what,
    )
  add('--dropout', type=float, default=0.0, help='rate')
  add(
    '--batches',
    type=int,
    default=100,
    metavar='N',
    help='of a turn of the input pipeline; 0 leaves it out',
  )
  add('--json', default='', metavar='FILE', help='write the figures, too')
  return parser.parse_args(argv)


def _engines(shape: str, args: argparse.Namespace) -> list[Line]:
  """Ours beside T5X at a shape."""
  config = T5Config(**SHAPES[shape], dropout_rate=args.dropout)
  module = Transformer(config)
  batch = _random_batch(config.vocab_size, args)
  init = jax.jit(functools.partial(initial_params, module))
  params = init(jax.random.key(0))
  params = jax.tree.map(np.asarray, params)
  runs = {'genret': _ours(module, params, batch, args.steps)}
  t5x = _measure.peer('t5x.trainer', 'T5X')
  if t5x is not None:
    with tempfile.TemporaryDirectory() as folder:
      runs['T5X'] = _t5x(module, params, batch, args.steps, folder)
      network = _their_network(config)
      runs['T5X, its own network'] = _t5x(
        network, None, batch, args.steps, folder
      )
  _measure.say(f'{shape}: {", ".join(runs)}')
  results: dict[str, Any] = {}

  def turn(name: str) -> Callable[[], None]:
    def run() -> None:
      found = jax.block_until_ready(runs[name]())
      results.setdefault(name, jax.tree.map(np.asarray, found))

    return run

  ms = _measure.best_ms({name: turn(name) for name in runs}, args.repeats)
  count = sum(x.size for x in jax.tree.leaves(params))
  work = (
    f'a step of T5, {shape} ({count / 1e6:.1f}M parameters), '
    f'{args.batch_size} x {args.input_length} tokens in, '
    f'{args.target_length} out'
  )
  ours_ms = ms['genret'] / args.steps
  if len(runs) == 1:
    return [Line(work, 'nobody', float('nan'), 'genret', ours_ms, '')]
  return [
    Line(
      work,
      name,
      ms[name] / args.steps,
      'genret',
      ours_ms,
      _compare(results['genret'], results[name]) if name == 'T5X' else '',
    )
    for name in list(runs)[1:]
  ]


def _random_batch(vocab_size: int, args: argparse.Namespace) -> Batch:
  rng = np.random.default_rng(0)
  return teacher_forcing_batch(
    *(
      rng.integers(2, vocab_size, (args.batch_size, length), dtype=np.int32)
      for length in (args.input_length, args.target_length)
    )
  )


def _ours(module: Transformer, params: Any, batch: Batch, steps: int) -> Steps:
  optimizer = optax.adafactor(_RATE)
  step = make_step(module, optimizer, CrossEntropy(z_loss=_Z_LOSS))
  state = [(params, jax.jit(optimizer.init)(params))]

  def run() -> Any:
    for number in range(steps):
      key = jax.random.fold_in(jax.random.key(1), number)
      state[0], losses = step(state[0], jax.device_put(batch), key)
    jax.device_get(losses)
    return state[0][0]

  return run


def _t5x(
  module: Any, params: Any, batch: Batch, steps: int, folder: str
) -> Steps:
  """T5X's own loop; its state goes on from turn to turn, as ours does."""
  models, optimizers, partitioning, trainer, utils = (
    importlib.import_module(f't5x.{name}')
    for name in ('models', 'optimizers', 'partitioning', 'trainer', 'utils')
  )
  vocabulary = seqio.PassThroughVocabulary(module.config.vocab_size)
  model = models.EncoderDecoderModel(
    module=module,
    input_vocabulary=vocabulary,
    output_vocabulary=vocabulary,
    optimizer_def=optimizers.OptaxWrapper(placeable(optax.adafactor(_RATE))),
    z_loss=_Z_LOSS,
    loss_normalizing_factor='NUM_REAL_TARGET_TOKENS',
  )
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # T5X's, of JAX's names
    partitioner = partitioning.PjitPartitioner(num_partitions=1)
    initializer = utils.TrainStateInitializer(
      optimizer_def=model.optimizer_def,
      init_fn=model.get_initial_variables,
      input_shapes={name: array.shape for name, array in batch.items()},
      partitioner=partitioner,
    )
    state = initializer.from_scratch(jax.random.key(0))
    if params is not None:
      tree = jax.tree.structure(state.params)  # of frozen dicts
      state = state.replace_params(
        jax.tree.unflatten(tree, jax.tree.leaves(params))
      )
    loop = trainer.Trainer(
      model,
      state,
      partitioner,
      eval_names=[],
      summary_dir=folder,
      train_state_axes=initializer.train_state_axes,
      rng=jax.random.key(1),
      learning_rate_fn=lambda step: jnp.asarray(_RATE),
      num_microbatches=None,
    )

  def run() -> Any:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      loop.train(itertools.repeat(batch), steps).result()
    return loop.train_state.params

  return run


def _their_network(config: T5Config) -> Any:
  network = importlib.import_module('t5x.examples.t5.network')
  fields = {
    name: getattr(config, name)
    for name in (*SHAPES['mini'], 'mlp_activations', 'dropout_rate')
  }
  return network.Transformer(
    network.T5Config(
      **fields,
      dtype=jnp.float32,
      logits_via_embedding=config.logits_via_embedding,
    )
  )


def _compare(ours: Any, theirs: Any) -> str:
  """'same' to the accuracy of sums in another order, or the difference."""
  both = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
  farthest = max(
    float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-9)) for a, b in both
  )
  return 'same' if farthest < 1e-4 else f'differ by up to {farthest:.1e}'


def _pipeline(args: argparse.Namespace) -> list[Line]:
  """Training of the quickstart, with batches made ahead and not."""
  with tempfile.TemporaryDirectory() as folder:
    docids = Path(folder) / 'docids'
    on_demand.from_corpus(
      corpus=_CORPUS, output=docids, scheme='atomic', queries_split='train'
    )
    name = retrieval.mixture(
      name='bench_train',
      corpus=_CORPUS,
      docids=docids,
      rates={'retrieval': 2, 'chunks': 1, 'keywords': 1},
      chunk_lengths=(4, 24),
      keyword_lengths=(4, 24),
    )
    lengths = {'inputs': args.input_length, 'targets': 2}
    tokens = token_examples.save(
      Path(folder) / 'tokens',
      name,
      SeqioExamples(name).passes(lengths, 1, seed=0),
      SeqioExamples(name).rates(),
      lengths,
    )
    streams: dict[str, Iterator[Batch]] = {
      kind: examples.training_batches(lengths, args.batch_size, seed=0)
      for kind, examples in (
        ('without prefetch', SeqioExamples(name, prefetch=0)),
        ('with prefetch', SeqioExamples(name)),
        ('files of tokens', tokens),
      )
    }
    seconds = _step_seconds(streams, args)
  examples = args.batch_size * args.batches
  per_second = {n: f'{n}: {examples / s:,.0f}/s' for n, s in seconds.items()}
  ours = 'with prefetch'
  return [
    Line(
      f'{examples:,} examples of the quickstart',
      per_second[name],
      seconds[name] * 1e3,
      per_second[ours],
      seconds[ours] * 1e3,
      '',
    )
    for name in seconds
    if name != ours
  ]


def _step_seconds(
  streams: Mapping[str, Iterator[Batch]], args: argparse.Namespace
) -> dict[str, float]:
  """Seconds of `args.batches` steps of each stream, the median of the turns."""
  module = Transformer(T5Config(**SHAPES['mini'], dropout_rate=args.dropout))
  optimizer = optax.adafactor(_RATE)
  step = make_step(module, optimizer, CrossEntropy(z_loss=_Z_LOSS))
  params = initial_params(module, jax.random.key(0))
  state = [(params, optimizer.init(params))]
  first = next(iter(streams.values()))
  batch = next(first)

  def turn(stream: Iterator[Batch]) -> Callable[[], None]:
    def run() -> None:
      pending = []
      for _ in range(args.batches):
        found = jax.device_put(next(stream))
        state[0], losses = step(state[0], found, jax.random.key(0))
        pending.append(losses.loss)
        if len(pending) > 2:  # as the trainer keeps the device busy
          pending[-3].block_until_ready()
      jax.block_until_ready(state[0])

    return run

  turns = {name: turn(stream) for name, stream in streams.items()}
  turns['one batch'] = turn(itertools.repeat(batch))
  _measure.say(f'input pipeline: {", ".join(turns)}')
  times = _measure.alternate(turns, args.repeats)
  return {name: time.median for name, time in times.items()}
