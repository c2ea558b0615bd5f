# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Times whole beam searches of a T5, constrained and not.

All models have the same random weights, of T5-small's shape and float32 unless
told otherwise, and every search runs the same number of model steps: identifiers
are a token shorter and end with eos, the other answers do not end. T5X searches without a constraint,
transformers with a dictionary of identifiers and with genret's adapters; a peer
that cannot be imported is skipped. Figures are the best of several turns;
compare ratios, which move less than figures.

An untrained model would hardly write what a corpus says, so one of the corpora
is made of what it writes.

Example:
  genret bench decode --repeats 5 --json figures.json
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genret import FMIndex, Trie
from genret.constraints import protocol
from genret.decoding.beam import BeamSearchOutput
from genret.decoding.generate import generate
from genret.models import hugging_face
from genret.models.t5 import T5Config, Transformer, initial_params
from genret.tools import _arguments, _measure, _measure_plain
from genret.tools._measure import Line

EOS, START = 1, 0
FIRST = 2  # Tokens below are not of identifiers.


class Model(NamedTuple):
  """One model three times: ours, its parameters, and that of transformers."""

  module: Transformer
  params: Any
  theirs: Any


class Work(NamedTuple):
  """What is searched; Q queries of T tokens, K beams, L steps."""

  query_QxT: np.ndarray
  identifier_DxL: np.ndarray
  num_beams: int
  steps: int


Search = Callable[[], np.ndarray]  # Token rows [Q, K, L], best first.


def main(argv: list[str]) -> int:
  """Runs the command; see the module docstring."""
  args = _parse(argv)
  # As torch has it; by itself a GPU would multiply TF32 numbers for us alone.
  jax.config.update('jax_default_matmul_precision', 'highest')
  _measure.say('making the model')
  model = _model(args)
  work = _work(args)
  indexes, searches = _our_searches(model, work, args.num_tokens)
  searches |= _t5x_search(model, work)
  searches |= _transformers_searches(model, work)
  _measure.say(f'searching: {"; ".join(searches)}')
  ms = _measure.best_ms(searches, args.repeats)
  _measure.report(
    'genret bench decode',
    _lines(work, indexes, searches, ms),
    vars(args),
    args.json,
  )
  return 0


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='genret bench decode',
    description=__doc__,
    formatter_class=_measure.Help,
  )
  add = parser.add_argument
  for name, value, what in (
    ('batch-size', 8, 'queries, Q'),
    ('query-length', 32, 'tokens of each'),
    ('num-beams', 10, 'K'),
    ('steps', 8, 'of the model, in each search'),
    ('identifiers', 10_000, 'of the trie'),
    ('num-tokens', 1_000_000, 'of the corpora'),
    ('vocab-size', 32128, 'V'),
    ('emb-dim', 512, 'width of the model'),
    ('num-heads', 8, 'of attention'),
    ('num-layers', 6, 'of the encoder and of the decoder'),
    ('mlp-dim', 2048, 'width of a feed-forward block'),
    ('repeats', 7, 'turns of each'),
  ):
    add(
      f'--{name}',
      type=_arguments.at_least_one,
      default=value,
      metavar='N',
      help=what,
    )
  add('--json', default='', metavar='FILE', help='write the figures, too')
  return parser.parse_args(argv)


def _model(args: argparse.Namespace) -> Model:
  """Weights as transformers draws them, or as ours does without it."""
  torch = _measure.peer('torch', 'transformers')
  transformers = torch and _measure.peer('transformers', 'transformers')
  sizes = args.emb_dim, args.num_heads, args.num_layers, args.mlp_dim
  emb_dim, num_heads, num_layers, mlp_dim = sizes
  if transformers is None:
    module = Transformer(
      T5Config(
        vocab_size=args.vocab_size,
        emb_dim=emb_dim,
        num_heads=num_heads,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        head_dim=emb_dim // num_heads,
        mlp_dim=mlp_dim,
        mlp_activations=('relu',),
        logits_via_embedding=True,
      )
    )
    init = jax.jit(functools.partial(initial_params, module))
    return Model(module, init(jax.random.key(0)), None)
  torch.manual_seed(0)
  config = transformers.T5Config(
    vocab_size=args.vocab_size,
    d_model=emb_dim,
    d_kv=emb_dim // num_heads,
    d_ff=mlp_dim,
    num_layers=num_layers,
    num_heads=num_heads,
    decoder_start_token_id=START,
  )
  theirs = transformers.T5ForConditionalGeneration(config).eval().float()
  with tempfile.TemporaryDirectory() as folder:
    theirs.save_pretrained(folder)
    ours, params = hugging_face.load_hugging_face(folder)
  if jax.default_backend() == 'gpu':  # side by side on one device
    theirs = theirs.to('cuda')
  params = jax.tree.map(jnp.asarray, params)
  return Model(Transformer(ours), params, theirs)


def _work(args: argparse.Namespace) -> Work:
  rng = np.random.default_rng(0)
  shape = args.batch_size, args.query_length
  query_QxT = rng.integers(FIRST, args.vocab_size, shape, dtype=np.int32)
  some = rng.permutation(np.arange(FIRST, args.vocab_size, dtype=np.int32))[
    :256
  ]
  identifier_DxL = rng.choice(some, (args.identifiers, args.steps - 1))
  return Work(query_QxT, identifier_DxL, args.num_beams, args.steps)


def _our_searches(
  model: Model, work: Work, num_tokens: int
) -> tuple[dict[str, FMIndex], dict[str, Search]]:
  """The indexes that two of our searches walk, and our searches."""
  vocab_size = model.module.config.vocab_size
  query_QxT = jnp.asarray(work.query_QxT)

  def search(constraint: Any) -> Search:
    def run() -> np.ndarray:
      out: BeamSearchOutput = generate(
        model.module,
        model.params,
        query_QxT,
        constraint,
        num_beams=work.num_beams,
        max_length=work.steps,
      )
      return np.asarray(out.tokens)

    return run

  free = search(_endless(vocab_size))
  tokens = _measure.synthetic_tokens(num_tokens, vocab_size)
  written = free().reshape(-1, work.steps)
  documents = [*tokens.documents(), *written.repeat(20, axis=0)]
  indexes = {
    'ours, its own words': FMIndex.build(documents, vocab_size),
    'ours, other words': FMIndex.build(tokens.documents(), vocab_size),
  }
  trie = Trie.from_sequences(work.identifier_DxL, vocab_size, EOS)
  return indexes, {
    'ours': free,
    'ours, trie': search(trie.constraint()),
    **{name: search(index.constraint()) for name, index in indexes.items()},
  }


def _endless(vocab_size: int) -> protocol.Constraint:
  """Allows all tokens, and none ends an answer: as a fresh model would soon."""
  return dataclasses.replace(protocol.unconstrained(vocab_size), eos=_no_eos)


def _no_eos(arrays: Any, state_N: Any, eos_id: Any) -> jax.Array:
  del arrays, eos_id
  return jnp.full(protocol.number_of_rows(state_N), -1, jnp.int32)


def _t5x_search(model: Model, work: Work) -> dict[str, Search]:
  models = _measure.peer('t5x.models', 'T5X')
  network = models and _measure.peer('t5x.examples.t5.network', 'T5X')
  if network is None:
    return {}
  ours = model.module.config
  config = network.T5Config(
    **{
      name: getattr(ours, name)
      for name in (
        *('vocab_size', 'emb_dim', 'num_heads', 'head_dim', 'mlp_dim'),
        *('num_encoder_layers', 'num_decoder_layers', 'mlp_activations'),
        *('dropout_rate', 'logits_via_embedding'),
      )
    },
    dtype=jnp.float32,
  )
  # No token ends an answer, as in `_endless`.
  vocabulary = type('Vocabulary', (), {'eos_id': -1})()
  theirs = models.EncoderDecoderModel(
    network.Transformer(config), vocabulary, vocabulary, optimizer_def=None
  )
  batch = {
    'encoder_input_tokens': jnp.asarray(work.query_QxT),
    'decoder_input_tokens': jnp.zeros(
      (len(work.query_QxT), work.steps), jnp.int32
    ),
  }

  @jax.jit
  def search(params: Any, batch: Any) -> Any:
    return theirs.predict_batch_with_aux(
      params,
      batch,
      decoder_params={'alpha': 0.0},  # Sums of log-probabilities.
      num_decodes=work.num_beams,
      return_all_decodes=True,
    )

  def run() -> np.ndarray:
    with (  # T5X mixes ranks and types.
      jax.numpy_rank_promotion('allow'),
      jax.numpy_dtype_promotion('standard'),
    ):
      tokens, _ = search(model.params, batch)
    return np.asarray(tokens)[:, ::-1]  # Best last.

  return {'T5X': run}


def _transformers_searches(model: Model, work: Work) -> dict[str, Search]:
  if model.theirs is None:
    return {}
  torch = _measure.peer('torch', 'transformers')
  root = _measure_plain.dictionary(
    np.pad(work.identifier_DxL, ((0, 0), (0, 1)), constant_values=EOS)
  )
  trie = Trie.from_sequences(
    work.identifier_DxL, model.module.config.vocab_size, EOS
  )
  inputs = torch.from_numpy(work.query_QxT).long().to(model.theirs.device)

  def walk(batch_id: int, sent: Any) -> list[int]:
    del batch_id
    node = root
    for token in sent.tolist()[1:]:
      node = node.get(token, {})
    return list(node) or [EOS]

  def search(**options: Any) -> Search:
    def run() -> np.ndarray:
      with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        rows = model.theirs.generate(
          input_ids=inputs,
          attention_mask=torch.ones_like(inputs),
          num_beams=work.num_beams,
          num_return_sequences=work.num_beams,
          max_new_tokens=work.steps,
          do_sample=False,
          length_penalty=0.0,
          early_stopping=False,
          **options,
        )
      shape = len(inputs), work.num_beams, work.steps
      return rows[:, 1:].cpu().numpy().reshape(shape)

    return run

  return {
    'transformers': search(eos_token_id=-1),
    'transformers, dictionary': search(prefix_allowed_tokens_fn=walk),
    "transformers, genret's function": search(
      prefix_allowed_tokens_fn=trie.as_prefix_allowed_tokens_fn()
    ),
    "transformers, genret's processor": search(
      logits_processor=[trie.as_logits_processor(work.num_beams)]
    ),
  }


# What each is compared with; where the last is true, in its answers as well.
_PAIRS = (
  ('the price of a constraint', 'ours, trie', 'ours', False),
  ('the price of a constraint', 'ours, its own words', 'ours', False),
  ('the price of a constraint', 'ours, other words', 'ours', False),
  ('without a constraint', 'T5X', 'ours', True),
  ('without a constraint', 'transformers', 'ours', True),
  ('constrained ours', 'T5X', 'ours, trie', False),
  ('constrained ours', 'T5X', 'ours, its own words', False),
  ('identifiers', 'transformers, dictionary', 'ours, trie', True),
  ('identifiers', "transformers, genret's function", 'ours, trie', True),
  ('identifiers', "transformers, genret's processor", 'ours, trie', True),
)


def _lines(
  work: Work,
  indexes: dict[str, FMIndex],
  searches: dict[str, Search],
  ms: dict[str, float],
) -> list[Line]:
  found = {name: search() for name, search in searches.items()}
  known = {(*row, EOS) for row in work.identifier_DxL.tolist()}
  rows = {name: _rows(found[name]) for name in ('ours, trie', *indexes)}
  illegal = {'ours, trie': sum(r not in known for r in rows['ours, trie'])}
  for name, index in indexes.items():
    illegal[name] = int((index.count_batch(rows[name]) == 0).sum())
  size = (
    f'{len(work.query_QxT)} queries of {work.query_QxT.shape[1]} tokens, '
    f'{work.num_beams} beams, {work.steps} steps'
  )
  lines = []
  for title, peer, ours, alike in _PAIRS:
    if peer not in found:
      continue
    answers = ''
    if peer in illegal:
      answers = f'{illegal[peer]} of {len(rows[peer])} illegal'
    if alike:
      differing = (found[peer] != found[ours]).any(axis=-1)
      answers = _measure.same(int(differing.sum()), differing.size, 'beams')
    lines.append(
      Line(f'{size}: {title}', peer, ms[peer], ours, ms[ours], answers)
    )
  return lines


def _rows(token_QxKxL: np.ndarray) -> list[tuple[int, ...]]:
  """All answers; rows of padding alone stand for those that there are not."""
  row_NxL = token_QxKxL.reshape(-1, token_QxKxL.shape[2])
  return list(map(tuple, row_NxL[row_NxL.any(axis=1)].tolist()))
