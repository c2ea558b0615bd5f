# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Compares genret's T5 with transformers' on the same weights.

Of each Hugging Face folder both read the weights, in float32, and answer the same
inputs of random tokens: the encoder's output, the logits of random targets and their
loss, greedy answers and beams. Without --from, small models of each kind with random
weights are made by transformers itself.

transformers must be importable. Answers have a fixed length: where they may end,
transformers leaves out endings that are not among the best continuations of a step,
and ours does not.

Example:
  genret bench parity
  genret bench parity --from flan-t5-small --json parity.json
"""

from __future__ import annotations

import argparse
import functools
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.constraints import protocol
from genret.decoding.beam import BeamSearchOutput
from genret.decoding.generate import generate
from genret.models import weights
from genret.models.t5 import Transformer
from genret.tools import _arguments, _measure

_FIRST = 3  # tokens below have a meaning of their own
_NO_EOS = -1

# Of small models: transformers' classes, and what tells a kind from another.
_SIZES = {
  'vocab_size': 384,
  'd_model': 64,
  'd_kv': 16,
  'd_ff': 128,
  'num_layers': 3,
  'num_decoder_layers': 2,
  'num_heads': 4,
  'decoder_start_token_id': 0,
}
_GATED = {'feed_forward_proj': 'gated-gelu', 'tie_word_embeddings': False}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
  'T5 1.0': ('T5', {'feed_forward_proj': 'relu', 'tie_word_embeddings': True}),
  'T5 1.1': ('T5', _GATED),
  'ByT5': ('T5', _GATED | {'num_layers': 6}),
  'mT5': ('MT5', _GATED),
  'umT5': ('UMT5', _GATED),
}


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  torch = _measure.peer('torch', 'what is compared with')
  transformers = torch and _measure.peer(
    'transformers', 'what is compared with'
  )
  if not transformers:
    raise ValueError(
      'Expected torch and transformers beside genret, found no such packages; '
      'install them.'
    )
  # As torch has it; by itself a GPU would multiply TF32 numbers for us alone.
  jax.config.update('jax_default_matmul_precision', 'highest')
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    sources = {Path(path).name: Path(path) for path in args.sources}
    for name, path in sources.items() if sources else _made(Path(folder)):
      _measure.say(f'comparing {name}')
      rows.append({'model': name, **compare(path, args)})
  print(_table(rows, args))
  if args.json:
    _measure.write_json(args.json, rows)
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench parity',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--from',
    dest='sources',
    action='append',
    default=[],
    metavar='FOLDER',
    help='a Hugging Face folder; may be repeated [small random ones]',
  )
  add('--batch', type=_arguments.at_least_one, default=8, help='inputs [8]')
  add('--length', type=_arguments.at_least_one, default=24, help='tokens [24]')
  add('--beams', type=_arguments.at_least_one, default=4, help='[4]')
  add(
    '--steps', type=_arguments.at_least_one, default=10, help='of answers [10]'
  )
  add(
    '--seed',
    type=_arguments.seed,
    default=0,
    help='of tokens and random weights [0]',
  )
  add('--json', metavar='FILE', help='write the figures there, too')
  return parser.parse_args(argv)


def _made(
  folder: Path, kinds: Iterable[str] = tuple(KINDS)
) -> Iterator[tuple[str, Path]]:
  """Small models of each kind, which transformers saves."""
  import torch
  import transformers

  for name in kinds:
    kind, settings = KINDS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f'{kind}Config')(**_SIZES | settings)
    model = getattr(transformers, f'{kind}ForConditionalGeneration')(config)
    if not settings['tie_word_embeddings']:
      # transformers 5 ties them whatever the settings say.
      head = torch.randn_like(model.lm_head.weight) / math.sqrt(config.d_model)
      model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(folder / name)
    yield name, folder / name


def compare(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
  """The greatest differences, and the shares of equal answers.

  Args:
    folder: a Hugging Face folder.
    args: as the command takes them: batch, length, beams, steps, seed.
  """
  import torch
  import transformers

  config, params = weights.load_hugging_face(folder)
  module = Transformer(config)
  theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(
    folder, dtype=torch.float32
  ).eval()
  if config.relative_bias_per_layer:
    # transformers 5 scales umT5's logits by this whatever the config says.
    theirs.config.tie_word_embeddings = config.logits_via_embedding
  rng = np.random.default_rng(args.seed)
  shape = (args.batch, args.length)
  source_BxT, target_BxL = rng.integers(
    _FIRST, min(config.vocab_size, theirs.config.vocab_size), (2, *shape)
  ).astype(np.int32)
  source_BxT[0, args.length // 2 :] = 0  # one is shorter
  with torch.no_grad():
    expected = theirs(
      input_ids=torch.tensor(source_BxT).long(),
      attention_mask=torch.tensor(source_BxT > 0),
      labels=torch.tensor(target_BxL).long(),
    )
  encoded, logits = _ours(module, params, source_BxT, target_BxL)
  real_BxT = source_BxT > 0
  loss = -jnp.take_along_axis(
    jax.nn.log_softmax(logits), target_BxL[..., None], axis=-1
  ).mean()
  found = {
    'parameters': sum(int(x.size) for x in jax.tree.leaves(params)),
    'encoder': _farthest(
      encoded[real_BxT], expected.encoder_last_hidden_state.numpy()[real_BxT]
    ),
    'logits': _farthest(logits, expected.logits.numpy()),
    'largest logit': _farthest(expected.logits.numpy(), 0),
    'loss': _farthest(loss, expected.loss.numpy()),
  }
  for name, beams in (('greedy', 1), ('beams', args.beams)):
    ours = _decode(module, params, source_BxT, beams, args.steps)
    sequences, scores = _their_beams(theirs, source_BxT, beams, args.steps)
    equal_BKxL = np.asarray(ours.tokens).reshape(-1, args.steps) == sequences
    found[f'{name} equal'] = float(equal_BKxL.all(axis=1).mean())
    if scores is not None:
      found[f'{name} score'] = _farthest(ours.scores.reshape(-1), scores)
  return found


def _ours(
  module: Transformer, params: Any, source_BxT: Any, target_BxL: Any
) -> tuple[jax.Array, jax.Array]:
  """The encoder's output and the logits of targets."""
  apply = functools.partial(module.apply, enable_dropout=False)
  encoded = jax.jit(functools.partial(apply, method='encode'))(
    {'params': params}, source_BxT
  )
  shifted = np.pad(target_BxL, ((0, 0), (1, 0)))[:, :-1]
  logits = jax.jit(apply)({'params': params}, source_BxT, shifted, target_BxL)
  return encoded, logits


def _decode(
  module: Transformer, params: Any, source_BxT: Any, beams: int, steps: int
) -> BeamSearchOutput:
  return generate(
    module,
    params,
    source_BxT,
    protocol.unconstrained(module.config.vocab_size),
    num_beams=beams,
    max_length=steps,
    eos_id=_NO_EOS,
  )


def _their_beams(
  model: Any, source_BxT: np.ndarray, beams: int, steps: int
) -> tuple[np.ndarray, np.ndarray | None]:
  """The sequences, beams of an input side by side, and the scores of beams."""
  import torch

  output = model.generate(
    input_ids=torch.tensor(source_BxT).long(),
    attention_mask=torch.tensor(source_BxT > 0),
    num_beams=beams,
    num_return_sequences=beams,
    do_sample=False,
    max_new_tokens=steps,
    length_penalty=0.0,
    eos_token_id=_NO_EOS,
    pad_token_id=0,
    decoder_start_token_id=0,
    return_dict_in_generate=True,
    output_scores=True,
  )
  scores = getattr(output, 'sequences_scores', None)
  tokens = output.sequences.numpy()[:, 1:]  # without the start
  return tokens, None if scores is None else scores.numpy()


def _farthest(ours: Any, theirs: Any) -> float:
  return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max(initial=0))


def _table(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
  """What a person reads."""
  columns = (
    'parameters', 'encoder', 'logits', 'of up to', 'loss', 'greedy', 'beams'
  )  # fmt: skip
  lines = [f'{"model":<24}' + ''.join(f'{name:>13}' for name in columns)]
  for row in rows:
    cells = [f'{row["parameters"]:,}']
    cells += [f'{row[name]:.1e}' for name in ('encoder', 'logits')]
    cells += [f'{row["largest logit"]:.1f}', f'{row["loss"]:.1e}']
    cells += [f'{row[f"{name} equal"]:.0%}' for name in ('greedy', 'beams')]
    lines.append(f'{row["model"]:<24}' + ''.join(f'{c:>13}' for c in cells))
  lines.append(
    f'{args.batch} inputs of {args.length} random tokens; greatest differences; '
    f'share of equal answers of {args.steps} tokens, greedy and all of '
    f'{args.beams} beams'
  )
  return '\n'.join(lines)
