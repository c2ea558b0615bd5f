# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Installs genret; `tasks/`, `tools/` and `gin_configs/` go under the package.

A requirement here is a lower bound. The exact versions that the tests run with
are in constraints.txt, which the Makefile uses; those of [beam], the one extra with
an upper bound, are in constraints-beam.txt.
"""

import pathlib
import re

import setuptools

_HERE = pathlib.Path(__file__).parent
_BESIDE = ('gin_configs', 'tasks', 'tools')  # installed as genret.<name>

# What decoding with a model of one's own needs: no TensorFlow and no torch.
_CORE = [
  'bm25s>=0.2.6',
  'flax>=0.12',
  'jax>=0.10',
  'numba>=0.61',
  'numpy>=2.0',
  'optax>=0.2.5',
  'orbax-checkpoint>=0.11.30',
  'protobuf>=6.30',
  'pydivsufsort>=0.0.16',
  'safetensors>=0.5',
  'scikit-learn>=1.5',
  'scipy>=1.15',
  'sentencepiece>=0.2.2',
  'tqdm>=4.66',
]

# seqio pulls tensorflow-text, which requires the package `tensorflow` itself;
# tensorflow-cpu beside it would write the same files a second time.
_TRAIN = [
  'gin-config>=0.5',
  'rapidfuzz>=3.9',
  'seqio>=0.0.20',
  'summa>=1.2',
  'tensorboard>=2.20',
  'tensorflow>=2.20',
  'tensorflow-datasets>=4.9.10',
]

_EVAL = [
  'ijson>=3.3',
  'ir-datasets>=0.5.11',
  'ir-measures>=0.4.1',
  'matplotlib>=3.9',
  'rouge>=1.0.1',
]

_DEV = [
  'build>=1.2',
  'hypothesis>=6.100',
  'mypy>=1.15',
  'pytest>=8.3',
  'pytest-cov>=6.0',
  'pytest-xdist>=3.6',
  'ruff>=0.9',
  'torch>=2.6',
  'transformers>=5.0',
  'wheel>=0.45',
]

# T5X is on no package index, and a git URL here would be refused by one. This
# extra holds what T5X needs beside [train]; T5X itself and the two libraries
# that it takes from git come by commit, without their own requirements:
#
#   pip install -c constraints.txt -e '.[t5x]'
#   pip install --no-deps \
#     't5x @ git+https://github.com/google-research/t5x@cc342d419ec3e3e9c4bf1df33c82330cafdc1e16' \
#     'airio @ git+https://github.com/google/airio@69897df' \
#     'jestimator @ git+https://github.com/google-research/jestimator'
_T5X = [
  'cached_property>=2.0',
  'fiddle>=0.3',
  'grain>=0.2.12',
  'jaxtyping>=0.3',
]

# Many workers on CorpusBrain's examples. Beam 2.77 wants protobuf<7, beside which
# seqio cannot read sentencepiece 0.2.3: its generated code is of protobuf 7.36.
# 0.2.2 cuts text alike, but trains other vocabularies, so this is no part of [dev]:
# an environment of its own has the pins of constraints-beam.txt.
_BEAM = [
  'apache-beam>=2.77',
  'google-crc32c>=1.5',  # Beam's TFRecords, as seqio_cache_tasks writes them
  'sentencepiece<0.2.3',
]


def _version() -> str:
  source = (_HERE / 'genret' / '__init__.py').read_text(encoding='utf-8')
  found = re.search(r"^__version__ = '([^']+)'$", source, re.MULTILINE)
  if found is None:
    raise ValueError(
      "genret/__init__.py has no line __version__ = '...'; write it back."
    )
  return found[1]


def _read(name: str) -> str:
  path = _HERE / name
  return path.read_text(encoding='utf-8') if path.exists() else ''


def _packages() -> list[str]:
  """`genret`, what is inside it, and the folders that are put under it."""
  names = setuptools.find_packages(
    str(_HERE), include=['genret', 'genret.*', *_BESIDE]
  )
  return sorted(f'genret.{n}' if n in _BESIDE else n for n in names)


setuptools.setup(
  name='genret',
  version=_version(),
  description='Generative retrieval: train a model that writes document '
  'identifiers, and decode them under an exact constraint.',
  long_description=_read('README.md'),
  long_description_content_type='text/markdown',
  author='The genret authors',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11',
  packages=_packages(),
  package_dir={f'genret.{name}': name for name in _BESIDE},
  package_data={'genret': ['data/**'], 'genret.gin_configs': ['**/*.gin']},
  include_package_data=False,
  install_requires=_CORE,
  extras_require={
    'train': _TRAIN,
    'eval': _EVAL,
    'dev': _TRAIN + _EVAL + _DEV,
    't5x': _TRAIN + _T5X,
    'beam': _TRAIN + _BEAM,
  },
  entry_points={'console_scripts': ['genret = genret.tools:command']},
  classifiers=[
    'Development Status :: 3 - Alpha',
    'Intended Audience :: Developers',
    'Intended Audience :: Science/Research',
    'Operating System :: OS Independent',
    'Programming Language :: Python :: 3 :: Only',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
)
