# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Every public function and class of genret/ and tasks/ is named by some test."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent

# Reached by a test under another name; say which.
EXEMPT = {
  # Parts of beam_search: tests/test_beam.py, test_constraints.py.
  'add_answers',
  'automaton_of',
  'best_continuations',
  'check_at_least',
  'check_cache',
  'check_choice',
  'check_logits',
  'empty_pool',
  'key_of_score',
  'score_of_key',
  'scorer_of',
  'top_k',
  # Likewise: tests/test_diverse.py.
  'diverse_continuations',
  'join_groups',
  # Likewise: tests/test_step_candidates.py.
  'keep_step',
  'nothing_kept',
  'step_candidates',
  # Parts of FMIndex: tests/test_fm_index.py, test_fm_shards.py, test_wavelet.py.
  'bytes_to_build',
  'check_output',
  'compacted',
  'fill_level',
  'fill_reversed',
  'fill_starts',
  'flat_ngrams',
  'follow',
  'intervals',
  'keep_whole_symbols',
  'live',
  'mark_documents',
  'mark_tokens',
  'merged',
  'over_shards',
  'pack_marks',
  'read_only',
  'symbol_bytes',
  # Part of Trie.from_sequences: tests/test_trie.py.
  'check_tokens',
  # Part of build: tests/test_build.py, test_tool_index.py.
  'check_options',
  # Schemes, by their names: tests/test_docids.py.
  'hierarchical_kmeans',
  'hierarchical_kmeans_2d',
  # Corpora of the literature, by their names: tests/test_corpora.py, test_kilt.py.
  'Recipe',
  'document_sample',
  'evidence_pages',
  'nq_pages',
  'nq_sample',
  'nq_titles',
  'page_corpus',
  'passage_corpus',
  'passage_sample',
  'passage_subset',
  'read_examples',
  # Every text reader's: tests/test_corpus.py, test_runs.py.
  'read_lines',
  # Parts of NgramScorer: tests/test_ngram_ranking.py, test_ngram_exactness.py.
  'arrived',
  'best_key',
  'build_trie',
  'claim_globally',
  'distinct_tokens',
  'first_stage',
  'log_odds_weights',
  'without_repeats',
  # Parts of Searcher, NgramSearcher and DenseSearcher: tests/test_searcher.py,
  # test_ngram_searcher.py, test_dense_searcher.py.
  'check_corpus',
  'check_hits',
  'from_settings',
  'make_searcher',
  'shown_text',
  # Parts of pages of explanations: tests/test_explain.py.
  'contributions',
  'one_line',
  # Parts of the mixtures: tests/test_retrieval_tasks.py, test_kilt_tasks.py,
  # test_beir_folder.py.
  'add_task',
  'write_once',
  # Parts of CorpusBrain's folder of examples: tests/test_corpusbrain_tasks.py.
  'complete',
  'first_shards',
  'none_of',
  'open_work',
  'read_settings',
  'work_folder',
  # Parts of write_examples: tests/test_tool_examples.py.
  'is_complete',
  'write_header',
}


def public_names(source: str) -> list[ast.FunctionDef | ast.ClassDef]:
  """The public functions and classes that a module defines at its top."""
  return [
    node
    for node in ast.parse(source).body
    if isinstance(node, ast.FunctionDef | ast.ClassDef)
    and not node.name.startswith('_')
  ]


def untested(sources: dict[str, str], words: set[str]) -> list[str]:
  """`file: name` of what is not among `words`.

  A class that another definition uses, as a network uses its layers, is tested
  through its user.
  """
  used = set()
  for source in sources.values():
    for node in ast.parse(source).body:
      if isinstance(node, ast.FunctionDef | ast.ClassDef):
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        names |= {
          n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
        }
        used |= names - {node.name}
  return sorted(
    f'{file}: {node.name}'
    for file, source in sources.items()
    for node in public_names(source)
    if node.name not in words | EXEMPT
    and not (isinstance(node, ast.ClassDef) and node.name in used)
  )


def words_of_tests(folder: pathlib.Path) -> set[str]:
  """Every identifier that occurs in a test's code, comments left out."""
  words = set()
  for path in sorted(folder.rglob('test_*.py')):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.Name):
        words.add(node.id)
      elif isinstance(node, ast.Attribute):
        words.add(node.attr)
      elif isinstance(node, ast.alias):
        words.add(node.name)
      elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        words.update(re.findall(r'\w+', node.value))  # gin, code for processes
  return words


def test_every_public_name_is_tested():
  sources = {
    str(path.relative_to(ROOT)): path.read_text(encoding='utf-8')
    for folder in ('genret', 'tasks')
    for path in (ROOT / folder).rglob('*.py')
  }
  missing = untested(sources, words_of_tests(ROOT / 'tests'))
  assert not missing, 'no test names\n' + '\n'.join(missing)


def test_an_untested_name_is_found(tmp_path):
  sources = {
    'a.py': 'def used(): Layer()\ndef unused(): ...\ndef _own(): unused()\n',
    'b.py': 'class A: ...\nclass Layer: ...\nclass B:\n  x = B\n',
  }
  (tmp_path / 'test_x.py').write_text(
    'from m import used\n# unused\ndef test(): used("A")\n', encoding='utf-8'
  )
  missing = untested(sources, words_of_tests(tmp_path))
  assert missing == ['a.py: unused', 'b.py: B']
