# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""KILT's measures (Petroni et al., NAACL 2021): the figures of its own program.

Retrieval, of the provenance of a guess:

* *R-precision*: of each gold output with R distinct ids, the share of them among
  the first R distinct guesses; the greatest over the outputs.
* *recall@k*, *precision@k*, *success_rate@k* count evidence sets: the provenance
  of a gold output is a set, equal sets are one, and a set stands at the place
  where its last member is guessed. See `evidence_ranking`.
* *answer_in_context@k* and its kin look for normalised gold answers and titles in
  the `text` of the first k provenances.

Answers: accuracy (equal after stripping), EM, F1, ROUGE-L; each is the best over
the gold answers. *KILT-x* is x where the R-precision of pages is 1, else 0.

Sums run over the records in the order of the gold file, as in KILT's program, so
that all digits agree. docs/kilt.md has the odd cases.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from genret.kilt_answers import (
  best_of,
  exact_match,
  normalise_answer,
  rouge_l,
  token_f1,
)
from genret.kilt_records import (
  KiltRecord,
  Output,
  only_output,
  read_records,
)
from genret.text_files import PathLike

# What tells the provenances of a level apart.
LEVELS: Mapping[str, tuple[str, ...]] = {
  'page': ('wikipedia_id',),
  'passage': ('wikipedia_id', 'start_paragraph_id', 'end_paragraph_id'),
  'title': ('title',),
}
KS = (1, 5, 20, 100)

_PAGE = LEVELS['page']


@dataclasses.dataclass(frozen=True)
class KiltEvaluation:
  """The measures of a file of guesses.

  Attributes:
    retrieval: by the names of KILT's program, 'Rprec', 'recall@5' and so on.
    downstream: accuracy, em, f1, rougel; empty where guesses have no answers.
    kilt: KILT-accuracy, KILT-em, KILT-f1, KILT-rougel; likewise.
    per_record: all of these for each record, `{record_id: {measure: value}}`,
      in the order of the gold file.
    unjudged: guesses whose record the gold file lacks; they do not count.
    without_provenance: guesses that list nothing; they count as misses.
    without_evidence: gold records that name no page: nobody can find theirs.
  """

  retrieval: Mapping[str, float]
  downstream: Mapping[str, float]
  kilt: Mapping[str, float]
  per_record: Mapping[str, Mapping[str, float]]
  unjudged: int
  without_provenance: int
  without_evidence: int


def evaluate(
  gold: PathLike,
  guesses: PathLike,
  *,
  ks: Sequence[int] = KS,
  level: str = 'page',
  on_position: Callable[[int], object] | None = None,
) -> KiltEvaluation:
  """Measures guesses as KILT's eval_retrieval.py and eval_downstream.py do.

  The gold file is held in memory; guesses are streamed. Answers are measured
  where the guesses have them.

  Args:
    gold: a task file with outputs, plain or .gz.
    guesses: one line for each record, in any order, with one output.
    ks: cut-offs; recall and success rate need 2 or more.
    level: one of LEVELS; KILT-x always asks for pages.
    on_position: of the file of guesses, as for `text_files.read_lines`.

  Raises:
    ValueError: naming the record, where one has no guess, or a guess that KILT's
      program refuses; for a bad line, cut-off or level.
    ImportError: answers are to be measured and the package rouge is missing.
    OSError: a file cannot be read.
  """
  if level not in LEVELS:
    raise ValueError(
      f'Expected a level of KILT ({", ".join(LEVELS)}), got {level!r}; choose '
      'one of these.'
    )
  cuts = sorted(set(ks))
  if not cuts or cuts[0] < 1:
    raise ValueError(
      f'Expected cut-offs of 1 or more, got {list(ks)}; give some, such as 1, 5.'
    )
  wanted = _by_key(gold)
  if not wanted:
    raise ValueError(f'{gold}: expected records, found none; check the file.')
  scores: dict[str, dict[str, float]] = {}
  unjudged = without_provenance = 0
  answered: KiltRecord | None = None
  unanswered: KiltRecord | None = None
  for guess in read_records(guesses, on_position=on_position):
    if guess.key not in wanted:
      unjudged += 1
      continue
    if guess.key in scores:
      raise _repeated(guess)
    output = only_output(guess)
    without_provenance += not output.provenance
    if output.answer is None:
      unanswered = unanswered or guess
    else:
      answered = answered or guess
    if answered and unanswered:
      raise ValueError(
        f'{unanswered.place}: expected an answer for record '
        f'{unanswered.record_id!r}, as {answered.record_id!r} has one, found '
        'none; give every record an answer, an empty one if need be, or none.'
      )
    of = wanted[guess.key]
    scores[guess.key] = retrieval_measures(output, of, cuts, LEVELS[level])
    if output.answer is not None:
      scores[guess.key] |= answer_measures(output, of)
  missing = [name for name in wanted if name not in scores]
  if missing:
    raise ValueError(
      f'{guesses}: expected a guess for each of the {len(wanted)} records of '
      f'{gold}, found none for {len(missing)}, first {missing[0]!r}; add a line '
      'for each, with an empty provenance if need be.'
    )
  scores = {name: scores[name] for name in wanted}
  mean = {
    measure: _mean([values[measure] for values in scores.values()])
    for measure in next(iter(scores.values()))
  }
  answers = {name: mean.pop(name) for name in _ANSWERS if name in mean}
  kilt = {name: mean.pop(name) for name in _KILT.values() if name in mean}
  return KiltEvaluation(
    retrieval=mean,
    downstream=answers,
    kilt=kilt,
    per_record=scores,
    unjudged=unjudged,
    without_provenance=without_provenance,
    without_evidence=sum(not record.page_ids for record in wanted.values()),
  )


def retrieval_measures(
  guess: Output,
  gold: KiltRecord,
  ks: Sequence[int] = KS,
  rank_keys: Sequence[str] = _PAGE,
) -> dict[str, float]:
  """The measures of one record's provenance, by the names of KILT's program.

  Args:
    guess: the only output of the guess.
    gold: the record with its outputs.
    ks: cut-offs, 1 or more.
    rank_keys: fields of a provenance that make its id.
  """
  ranked, sets = evidence_ranking(guess, gold, rank_keys)
  titles = [normalise_answer(title) for title in _titles(gold)]
  answers = [normalise_answer(answer) for answer in gold_answers(gold)]
  with_answer, with_title, with_both = _in_context(guess, answers, titles)
  found = {
    'Rprec': r_precision(guess, gold, rank_keys),
    'entity_in_input': float(
      _any_in(titles, normalise_answer(gold.input or ''))
    ),
  }
  for k in ks:
    hits = sum(ranked[:k])
    found |= {
      f'precision@{k}': hits / k,
      f'answer_in_context@{k}': float(with_answer < k),
      f'answer_and_ent_in_context@{k}': float(with_both < k),
      f'entity_in_context@{k}': float(with_title < k),
    }
    if k > 1:
      found[f'recall@{k}'] = hits / sets if sets else 0.0
      found[f'success_rate@{k}'] = float(hits > 0)
  return found


def answer_measures(guess: Output, gold: KiltRecord) -> dict[str, float]:
  """Accuracy, em, f1, rougel of one record's answer, and KILT-x of each.

  Args:
    guess: the only output of the guess, with an answer; an empty one scores 0.
    gold: the record with its outputs.

  Raises:
    ValueError: the guess is not empty and the record has no gold answer, which
      stops KILT's program too.
  """
  answer, golds = (guess.answer or '').strip(), gold_answers(gold)
  found = dict.fromkeys(_ANSWERS, 0.0)
  if answer:
    if not golds:
      raise ValueError(
        f'{gold.place}: expected a gold answer for record {gold.record_id!r}, '
        'whose guess has one, found none; leave the answers of the guesses out '
        'to measure retrieval alone.'
      )
    found['accuracy'] = float(answer in golds)
    found['em'] = best_of(exact_match, answer, golds)
    found['f1'] = best_of(token_f1, answer, golds)
    found['rougel'] = best_of(rouge_l, answer, golds)
  sourced = answer != '' and r_precision(guess, gold) == 1
  return found | {
    _KILT[name]: value if sourced else 0.0 for name, value in found.items()
  }


def gold_answers(gold: KiltRecord) -> list[str]:
  """The distinct answers of a record, stripped; empty ones are none."""
  stripped = ((output.answer or '').strip() for output in gold.outputs)
  return list(dict.fromkeys(answer for answer in stripped if answer))


def r_precision(
  guess: Output, gold: KiltRecord, rank_keys: Sequence[str] = _PAGE
) -> float:
  """The best, over gold outputs, of (hits among the first R guesses) / R.

  R counts the distinct ids of an output; without any it scores 0. Provenances
  that lack a key are skipped, in guesses and in gold.
  """
  guessed = _distinct_ids(guess, rank_keys)
  best = 0.0
  for output in gold.outputs:
    wanted = set(_distinct_ids(output, rank_keys))
    if wanted:
      hits = sum(name in wanted for name in guessed[: len(wanted)])
      best = max(best, hits / len(wanted))
  return best


def evidence_ranking(
  guess: Output, gold: KiltRecord, rank_keys: Sequence[str] = _PAGE
) -> tuple[list[bool], int]:
  """The ranking of evidence sets that recall@k and precision@k look at.

  Guesses are walked best first. One in no open set takes a place, False. One in
  an open set closes it at this place, True, if all other members came before,
  and else keeps a place that the set gives up at its next member. A guess in
  several sets takes a place for each.

  Args:
    guess: the only output of the guess.
    gold: the record with its outputs.
    rank_keys: fields of a provenance that make its id.

  Returns:
    Whether a set is complete, place by place, and the number of distinct sets.
    An output with an empty provenance is a set too, that nothing completes; a
    gold provenance that lacks a key has the id of the keys that it has.
  """
  sets: list[set[str]] = []
  for output in gold.outputs:
    if output.provenance is not None:
      members = {
        _joined([fields[key] for key in rank_keys if key in fields])
        for fields in output.provenance
      }
      if members not in sets:
        sets.append(members)
  count = len(sets)
  # A place is True, False, or the number of the set that holds it for now.
  places: list[tuple[bool, int | None]] = []
  for name in _distinct_ids(guess, rank_keys):
    touched = [number for number, left in enumerate(sets) if name in left]
    for number in touched:
      if (False, number) in places:
        places.remove((False, number))
      sets[number].discard(name)
      places.append((True, None) if not sets[number] else (False, number))
    if not touched:
      places.append((False, None))
  return [complete for complete, _ in places], count


def _by_key(path: PathLike) -> dict[str, KiltRecord]:
  """The records of a gold file; refuses what cannot be measured against."""
  found: dict[str, KiltRecord] = {}
  for record in read_records(path):
    if record.key in found:
      raise _repeated(record)
    if not record.outputs:
      raise ValueError(
        f'{record.place}: expected an output of record {record.record_id!r} in '
        'the gold file, found none; test files without answers are measured by '
        'the leaderboard of KILT alone.'
      )
    record.question()
    found[record.key] = record
  return found


def _repeated(record: KiltRecord) -> ValueError:
  return ValueError(
    f'{record.place}: record {record.record_id!r} was already given with other '
    'blanks around its id; keep one line of each record.'
  )


def _mean(values: Sequence[float]) -> float:
  total = 0.0
  for value in values:  # from Python 3.12 on sum() rounds otherwise
    total += value
  return total / len(values)


def _joined(values: Sequence[Any]) -> str:
  return '+'.join(str(value).strip() for value in values)


def _distinct_ids(output: Output, rank_keys: Sequence[str]) -> list[str]:
  """The ids of the provenances that have all keys, each at its first place."""
  return list(
    dict.fromkeys(
      _joined([fields[key] for key in rank_keys])
      for fields in output.provenance or ()
      if all(key in fields for key in rank_keys)
    )
  )


def _titles(gold: KiltRecord) -> list[str]:
  stripped = (
    (fields.get('title') or '').strip()
    for output in gold.outputs
    for fields in output.provenance or ()
  )
  return list(dict.fromkeys(title for title in stripped if title))


def _any_in(phrases: Sequence[str], text: str) -> bool:
  return any(phrase in text for phrase in phrases)


def _in_context(
  guess: Output, answers: Sequence[str], titles: Sequence[str]
) -> tuple[float, float, float]:
  """The first provenance whose text has an answer, a title, and both.

  Positions count all provenances, repeated ones too; infinite where there is
  none.
  """
  first = [float('inf')] * 3
  for place, fields in enumerate(guess.provenance or ()):
    if 'text' in fields:
      text = normalise_answer(fields['text'] or '')
      answer, title = _any_in(answers, text), _any_in(titles, text)
      for of, holds in enumerate((answer, title, answer and title)):
        if holds:
          first[of] = min(first[of], place)
  return first[0], first[1], first[2]


_ANSWERS = ('accuracy', 'em', 'f1', 'rougel')
_KILT = {name: f'KILT-{name}' for name in _ANSWERS}
