# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The command `genret`: finding commands, and telling a user what went wrong."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

import genret
from genret import tools

PLANTED = {
  'works': '''"""Says what it was given.

Example:
  genret works a b
"""
def main(argv):
  print(argv)
  return 3
''',
  'two_words': '"""Has a dash."""\ndef main(argv): return None\n',
  'heavy': '"""Cannot be imported."""\nraise RuntimeError("imported")\n',
  'wrong_value': 'def main(argv): raise ValueError("Expected 1,\\n  got 2.")\n',
  'no_file': 'def main(argv): open(argv[0])\n',
  'stopped': 'def main(argv): raise KeyboardInterrupt\n',
  'no_room': 'import shutil\ndef main(argv): shutil.copytree(argv[0], argv[1])\n',
  'our_bug': 'def main(argv): return {}["key"]\n',
  'typo': 'import genret.no_such_module\n',
  'unknown': 'import no_such_library\n',
  'not_there': 'import seqio\n',
  'loud': 'def main(argv):\n  while True: print("line")\n',
  'greets': """import os
def main(argv):
  print(*[os.environ.get(name) for name in argv])
""",
  'late': 'def main(argv):\n  input()\n  print("line")\n',
  'bench_speed': '"""Measures."""\ndef main(argv): return 4\n',
  '_private': '"""Is no command."""\n',
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
  """The dispatcher over made-up commands."""
  for name, source in PLANTED.items():
    (tmp_path / f'{name}.py').write_text(source, encoding='utf-8')
  monkeypatch.setattr(tools, '__path__', [str(tmp_path)])
  monkeypatch.delenv('GENRET_TRACEBACK', raising=False)
  yield tmp_path
  for name in PLANTED:
    sys.modules.pop(f'genret.tools.{name}', None)


def python(*words: str, **options) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, *words],
    capture_output=True,
    text=True,
    check=False,
    **options,
  )


@pytest.mark.parametrize('words', [[], ['--help'], ['-h'], ['help']])
def test_help_lists_commands_without_importing_them(planted, capsys, words):
  assert tools.main(words) == 0
  out = capsys.readouterr().out
  assert '  works             Says what it was given.\n' in out
  assert '  two-words         Has a dash.\n' in out
  assert '  heavy             Cannot be imported.\n' in out
  assert '  bench             ' in out
  assert 'genret quickstart' in out
  assert 'bench-speed' not in out
  assert 'private' not in out


def test_a_command_gets_its_words_and_gives_its_status(planted, capsys):
  assert tools.main(['works', 'a', '--b']) == 3
  assert capsys.readouterr().out == "['a', '--b']\n"
  assert tools.main(['two-words']) == 0


def test_benchmarks_are_under_bench(planted, capsys):
  assert tools.main(['bench']) == 0
  assert '  speed             Measures.' in capsys.readouterr().out
  assert tools.main(['bench', 'speed']) == 4
  assert tools.main(['bench', 'spede']) == 2
  assert capsys.readouterr().err == (
    "genret bench: 'spede' is no command; the commands are speed.\n"
  )


def test_unknown_command_lists_the_valid_ones(planted, capsys):
  assert tools.main(['quickstrat']) == 2
  assert capsys.readouterr().err == (
    "genret: 'quickstrat' is no command; the commands are greets, heavy, late, "
    'loud, no-file, no-room, not-there, our-bug, stopped, two-words, typo, '
    'unknown, works, wrong-value, bench.\n'
  )
  assert tools.main(['_private']) == 2


def test_a_user_error_is_one_sentence(planted, capsys):
  assert tools.main(['wrong-value']) == 2
  said = capsys.readouterr()
  assert said.err == 'genret wrong-value: Expected 1, got 2.\n'
  assert said.out == ''
  assert tools.main(['no-file', 'gone.txt']) == 2
  assert capsys.readouterr().err == (
    "genret no-file: No such file or directory: 'gone.txt'.\n"
  )


def test_files_that_are_not_copied_are_one_sentence(planted, capsys):
  source = planted / 'source'
  source.mkdir()
  for name in ('a', 'b'):
    (source / name).symlink_to('gone')
  assert tools.main(['no-room', str(source), str(planted / 'to')]) == 2
  said = capsys.readouterr().err
  assert said.startswith('genret no-room: [Errno 2] No such file or directory')
  assert said.endswith("', the first of 2 files.\n")


def test_the_environment_asks_for_the_traceback(planted, monkeypatch):
  monkeypatch.setenv('GENRET_TRACEBACK', '1')
  with pytest.raises(ValueError, match='Expected 1'):
    tools.main(['wrong-value'])


def test_our_own_mistakes_keep_their_traceback(planted):
  with pytest.raises(KeyError, match='key'):
    tools.main(['our-bug'])
  with pytest.raises(ImportError, match='no_such_module'):
    tools.main(['typo'])
  with pytest.raises(ImportError, match='no_such_library'):
    tools.main(['unknown'])


def test_a_missing_library_names_its_extra(planted, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, 'seqio', None)
  assert tools.main(['not-there']) == 2
  assert capsys.readouterr().err == (
    'genret not-there: this command needs seqio, which is not installed; run '
    "pip install 'genret[train]'.\n"
  )


def test_tensorflow_is_asked_to_be_quiet(planted, capsys, monkeypatch):
  # First set, so that what the command sets is taken back in the end.
  for name in (words := ['TF_CPP_MIN_LOG_LEVEL', 'TF_ENABLE_ONEDNN_OPTS']):
    monkeypatch.setenv(name, '1')
  assert tools.main(['greets', *words]) == 0
  assert capsys.readouterr().out == '1 1\n'
  for name in words:
    monkeypatch.delenv(name)
  assert tools.main(['greets', *words]) == 0
  assert capsys.readouterr().out == '3 0\n'


def test_an_interrupt_is_no_error(planted, capsys):
  assert tools.main(['stopped']) == 130
  assert capsys.readouterr().err == 'genret stopped: interrupted.\n'


@pytest.mark.parametrize(
  ('word', 'status', 'at_exit'), [('stopped', 130, ''), ('greets', 0, 'end\n')]
)
def test_an_interrupt_ends_the_process_at_once(planted, word, status, at_exit):
  # The interpreter's end crashes where XLA still compiles in a thread.
  code = (
    'import atexit, sys; from genret import tools; '
    f'tools.__path__ = [{str(planted)!r}]; sys.argv[1:] = [{word!r}]; '
    'atexit.register(print, "end"); tools.command()'
  )
  ran = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=False
  )
  assert ran.returncode == status
  assert ran.stdout.endswith(at_exit)
  assert ('end' in ran.stdout) == bool(at_exit)
  assert ('interrupted' in ran.stderr) == (status == 130)


@pytest.mark.parametrize('command', ['loud', 'late'])
def test_a_reader_may_leave(planted, command):
  code = (
    'import sys; from genret import tools; '
    f'tools.__path__ = [{str(planted)!r}]; sys.exit(tools.main([{command!r}]))'
  )
  # Buffered, as in a shell: what is left unwritten is flushed at exit.
  env = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}
  with subprocess.Popen(
    [sys.executable, '-c', code],
    env=env,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    process.stdout.close()
    process.stdin.write('go\n')
    process.stdin.close()
    assert process.stderr.read() == ''
  assert process.returncode == 141


def test_version_in_a_process(tmp_path):
  ran = python('-m', 'genret', '--version', cwd=tmp_path)
  assert (ran.returncode, ran.stdout) == (0, f'genret {genret.__version__}\n')


def test_the_installed_script_is_the_dispatcher(tmp_path):
  script = pathlib.Path(sys.executable).with_name('genret')
  ran = subprocess.run(
    [script, 'no-such'], cwd=tmp_path, capture_output=True, text=True
  )
  assert ran.returncode == 2
  assert ran.stderr.startswith("genret: 'no-such' is no command; ")


def test_help_imports_no_heavy_library():
  code = (
    'import sys; from genret.tools import main; main(["--help"]); '
    'print([m for m in ("jax", "numpy", "tensorflow") if m in sys.modules])'
  )
  ran = python('-c', code)
  assert ran.stdout.endswith('\n[]\n'), ran.stdout + ran.stderr


@pytest.mark.parametrize(
  ('command', 'module'),
  [
    *[(f'genret {c}', m) for c, m in tools.commands().items()],
    *[(f'genret bench {c}', m) for c, m in tools.benches().items()],
  ],
)
def test_every_command_describes_itself(command, module):
  path = pathlib.Path(os.fspath(tools.__path__[0]), f'{module}.py')
  tree = ast.parse(path.read_text(encoding='utf-8'))
  docstring = ast.get_docstring(tree) or ''
  assert docstring.partition('\n')[0].endswith('.'), 'no sentence to list'
  assert f'  {command}' in docstring, f'no example of `{command}`'
  assert 'main' in {
    node.name for node in tree.body if isinstance(node, ast.FunctionDef)
  }
