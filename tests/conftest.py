# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Settings of every test: strict JAX, quiet libraries, repeatable examples."""

import gc
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator

# Before TensorFlow or JAX is imported anywhere. Tests speak to no network, and
# run on the CPU unless the caller says otherwise (JAX_PLATFORMS=cuda).
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
if 'PYTEST_XDIST_WORKER' in os.environ:
  # A worker for each core: more threads than one would only be in the way.
  for _name in ('OMP_NUM_THREADS', 'NUMBA_NUM_THREADS'):
    os.environ.setdefault(_name, '1')
  os.environ.setdefault(
    'XLA_FLAGS',
    '--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0',
  )
# Most programs of tests run once: what takes time is to compile them.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')

import hypothesis
import jax
import pytest

# A shape that broadcasts or a type that widens in silence is an error here.
jax.config.update('jax_numpy_rank_promotion', 'raise')


def pytest_configure(config: pytest.Config) -> None:
  # A torch for GPUs brings triton, which crashes the process when it is loaded
  # behind TensorFlow (both carry LLVM), and does not when loaded before.
  if importlib.util.find_spec('triton') is not None:
    importlib.import_module('triton')
  # Many tests compile the same small programs: a session compiles each once,
  # processes that tests start included.
  folder = tempfile.TemporaryDirectory(prefix='genret_compiled_')
  config.add_cleanup(folder.cleanup)
  for name, value in (
    ('jax_compilation_cache_dir', folder.name),
    ('jax_persistent_cache_min_compile_time_secs', 0),
    ('jax_persistent_cache_min_entry_size_bytes', -1),
  ):
    os.environ.setdefault(name.upper(), str(value))
    jax.config.update(name, value)


# Files of minutes: the last file should not keep one worker busy alone.
_FIRST = ('test_quickstart.py', 'test_experiments.py', 'test_train.py')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  items.sort(key=lambda item: item.path.name not in _FIRST)  # else as it was


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
  # Optax's schedules mix step counts and rates: its tests are marked `optax`.
  loose = item.get_closest_marker('optax') is not None
  jax.config.update(
    'jax_numpy_dtype_promotion', 'standard' if loose else 'strict'
  )


# No deadline: the first example compiles. Derandomised: a failure in CI is the
# failure of everybody; HYPOTHESIS_PROFILE=search looks for new ones.
hypothesis.settings.register_profile(
  'repeatable', deadline=None, derandomize=True, print_blob=True
)
hypothesis.settings.register_profile(
  'search', deadline=None, max_examples=1000, print_blob=True
)
hypothesis.settings.load_profile(
  os.environ.get('HYPOTHESIS_PROFILE', 'repeatable')
)


@pytest.fixture(autouse=True, scope='module')
def _compiled_programs_end_with_their_module() -> Iterator[None]:
  # Each maps some memory, and Linux lets a process have 65,530 mappings; XLA
  # crashes at the next. What another module needs again is in the cache above.
  yield
  jax.clear_caches()
  gc.collect()
