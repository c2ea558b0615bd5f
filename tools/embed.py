# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Vectors of documents from the encoder of a T5, for schemes that cluster.

example:
  genret embed --checkpoint runs/dual_encoder --corpus my_beir_folder \\
    --output vectors.npy
  genret convert --from flan-t5-small --to checkpoints/flan_t5_small
  genret embed --checkpoint checkpoints/flan_t5_small \\
    --vocabulary flan-t5-small/spiece.model --corpus my_beir_folder \\
    --output vectors.npy
  genret index docids --scheme rq-kmeans --embeddings vectors.npy \\
    --corpus my_beir_folder --output docids
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from genret import array_folder, run_folders, text_vectors
from genret import vocabulary as vocabulary_lib
from genret.corpus import read_documents
from genret.models import checkpoints
from genret.models.t5 import Transformer


def main(argv: Sequence[str]) -> int:
  """Runs `genret embed`."""
  parser = argparse.ArgumentParser(
    prog='genret embed',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    '--checkpoint',
    required=True,
    help='a folder of `genret train` or `genret convert`',
  )
  add('--vocabulary', help='its SentencePiece model [that of a run]')
  add(
    '--corpus',
    required=True,
    help='a BEIR or KILT folder, a file, genret:NAME or ir_datasets:NAME',
  )
  add('--output', required=True, help='the .npy file to write')
  add(
    '--max-length',
    type=int,
    default=128,
    help='tokens that are read of a document (default %(default)s)',
  )
  add('--prefix', default='', help='put before the title and the text')
  add('--batch-size', type=int, default=32, help='(default %(default)s)')
  arguments = parser.parse_args(list(argv))
  output = Path(arguments.output)
  if output.suffix != '.npy' or not output.parent.is_dir():
    raise ValueError(
      f'Expected --output to be an .npy file in a folder that is there, got '
      f'{output}; correct the name, or make the folder.'
    )
  vocabulary = vocabulary_lib.load_vocabulary(
    run_folders.vocabulary_file(arguments.checkpoint, arguments.vocabulary)
  )
  config, params = checkpoints.load_model(arguments.checkpoint)
  texts = [
    document.read_with(arguments.prefix)
    for document in read_documents(arguments.corpus)
  ]
  start = time.perf_counter()
  vector_NxE = text_vectors.text_vectors(
    Transformer(config),
    params,
    vocabulary,
    texts,
    max_length=arguments.max_length,
    batch_size=arguments.batch_size,
    progress=True,
  )
  seconds = time.perf_counter() - start
  array_folder.write_npy(output, vector_NxE)
  print(
    f'{len(texts):,} documents of {vector_NxE.shape[1]} dimensions in '
    f'{seconds:.1f} s ({len(texts) / max(seconds, 1e-9):,.1f} a second) -> '
    f'{output}'
  )
  return 0
