# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The command `genret`: every module of this folder is a sub-command.

A module `name.py` with `main(argv) -> int` is `genret name` (an underscore is
typed as a dash), a module `bench_name.py` is `genret bench name`, and one that
starts with an underscore is neither. Only the module that was asked for is
imported; the list in `--help` reads docstrings without importing anything.
"""

import ast
import importlib
import importlib.util
import os
import pathlib
import pkgutil
import shutil
import sys
from collections.abc import Sequence

import genret

_BENCH = 'bench_'

# What each optional library is installed with, by the name it is imported by.
_EXTRA_OF = {
  'apache_beam': 'beam',
  'clu': 'train',
  'gin': 'train',
  'rapidfuzz': 'train',
  'seqio': 'train',
  'tensorboard': 'train',
  'tensorflow': 'train',
  'tensorflow_datasets': 'train',
  'tensorflow_text': 'train',
  'ijson': 'eval',
  'ir_datasets': 'eval',
  'ir_measures': 'eval',
  'matplotlib': 'eval',
  'pytrec_eval': 'eval',
  'torch': 'dev',
  'transformers': 'dev',
}

# What a wrong argument or file, or a run that went wrong, raises; everything
# else is a mistake of ours and keeps its traceback.
_USER_ERRORS = (ValueError, OSError, FloatingPointError)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one sub-command and returns the exit status.

  Args:
    argv: the words after `genret`; by default those of this process.

  Returns:
    0, or what the sub-command returned; 2 after a user's error, which is
    reported in one sentence on stderr (with GENRET_TRACEBACK=1 in the
    environment it is raised instead); 130 after an interrupt.
  """
  words = list(sys.argv[1:] if argv is None else argv)
  if not words or words[0] in ('-h', '--help', 'help'):
    print(_help())
    return 0
  if words[0] == '--version':
    print(f'genret {genret.__version__}')
    return 0
  # TensorFlow, where a command loads it, greets at length otherwise.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  command, rest = words[0], words[1:]
  if command == 'bench':
    return _bench(rest)
  return _dispatch('genret', command, rest, commands(), beside=('bench',))


def command() -> None:
  """`genret` in a terminal: runs `main` and ends the process."""
  status = main()
  if status == 130:
    # A thread that still compiles a program would crash the interpreter's end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
  sys.exit(status)


def commands() -> dict[str, str]:
  """The sub-commands: {name as typed: module name}, sorted by name."""
  return {
    module.replace('_', '-'): module
    for module in _modules()
    if not module.startswith(_BENCH)
  }


def benches() -> dict[str, str]:
  """The benchmarks of `genret bench`: {name as typed: module name}."""
  return {
    module.removeprefix(_BENCH).replace('_', '-'): module
    for module in _modules()
    if module.startswith(_BENCH)
  }


def _modules() -> list[str]:
  found = (info.name for info in pkgutil.iter_modules(__path__))
  return sorted(name for name in found if not name.startswith('_'))


def _bench(words: list[str]) -> int:
  if not words or words[0] in ('-h', '--help'):
    print('Usage: genret bench NAME [ARGUMENTS]\n')
    print(_listing(benches()) or '  (there is no benchmark yet)')
    return 0
  return _dispatch('genret bench', words[0], words[1:], benches())


def _dispatch(
  prefix: str,
  command: str,
  words: list[str],
  valid: dict[str, str],
  *,
  beside: tuple[str, ...] = (),
) -> int:
  """Imports the module of one command, runs it, and words its errors."""
  if command not in valid:
    names = ', '.join((*valid, *beside)) or 'none yet'
    return _fail(
      prefix, f'{command!r} is no command; the commands are {names}.'
    )
  called = f'{prefix} {command}'
  try:
    module = importlib.import_module(f'{__name__}.{valid[command]}')
    status = int(module.main(words) or 0)
    sys.stdout.flush()
    return status
  except KeyboardInterrupt:
    print(f'{called}: interrupted.', file=sys.stderr)
    return 130
  except BrokenPipeError:
    # The reader of a pipe (`| head`) left: nobody is there to be told, and the
    # interpreter must not try to flush what is left.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
  except (*_USER_ERRORS, ImportError) as error:
    sentence = _sentence(error)
    if sentence is None or os.environ.get('GENRET_TRACEBACK') == '1':
      raise
    return _fail(called, sentence)


def _fail(called: str, sentence: str) -> int:
  print(f'{called}: {sentence}', file=sys.stderr)
  return 2


def _sentence(error: Exception) -> str | None:
  """What to tell a user about `error`, or None where it is our mistake."""
  if isinstance(error, ImportError) and error.name is not None:
    library = error.name.partition('.')[0]
    extra = _EXTRA_OF.get(library)
    if extra is None or _is_installed(library):
      return None
    return (
      f'this command needs {library}, which is not installed; run '
      f"pip install 'genret[{extra}]'."
    )
  if isinstance(error, shutil.Error):  # a list of files that were not copied
    _, target, why = error.args[0][0]
    return f'{why}: {target!r}, the first of {len(error.args[0])} files.'
  if isinstance(error, OSError) and error.strerror and error.filename:
    return f'{error.strerror}: {os.fsdecode(error.filename)!r}.'
  return ' '.join(str(error).split()) or type(error).__name__


def _is_installed(library: str) -> bool:
  if library in sys.modules:
    return sys.modules[library] is not None
  return importlib.util.find_spec(library) is not None


def _help() -> str:
  """The text of `genret --help`."""
  listing = _listing(commands())
  listing += f'\n  {"bench":<18}Benchmarks; `genret bench` lists them.'
  return f"""\
Usage: genret COMMAND [ARGUMENTS]

Generative retrieval: train a model that writes document identifiers, and
decode them under an exact constraint.

Commands:
{listing}

Example:
  genret quickstart

`genret COMMAND --help` describes one command; `genret --version` prints the
version. With GENRET_TRACEBACK=1 an error keeps its traceback."""


def _listing(names: dict[str, str]) -> str:
  return '\n'.join(f'  {n:<18}{_summary(names[n])}' for n in names)


def _summary(module: str) -> str:
  """The first line of a module's docstring, read without importing it."""
  for folder in __path__:
    path = pathlib.Path(folder, f'{module}.py')
    if path.exists():
      tree = ast.parse(path.read_text(encoding='utf-8'), str(path))
      return (ast.get_docstring(tree) or '').partition('\n')[0]
  return ''
