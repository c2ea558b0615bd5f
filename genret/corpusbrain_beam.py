# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Many workers on CorpusBrain's examples, by Apache Beam.

    from genret import corpusbrain_beam, corpusbrain_writer

    corpusbrain_writer.write_examples(
      ['kilt'], 'titles', 'cache',
      run=functools.partial(corpusbrain_beam.run_parts, options=[
        '--runner=DirectRunner', '--direct_num_workers=8',
        '--direct_running_mode=multi_processing'])
    )

Any runner will do whose workers see the pages, the identifiers and the cache under
the same paths. What goes through Beam is the numbers of parts: each writes its own
shards, so that nothing is held in memory or sent about, as the shuffle of
`seqio.beam_utils` would (the local runner keeps all of it in memory), and a run that
was killed has lost only the parts in work.

Apache Beam 2.77 cannot stand beside all that constraints.txt has; see setup.py.
"""

from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from genret import corpusbrain_writer as writer


def local_options(workers: int) -> list[str]:
  """The options of so many processes on this machine."""
  return [
    '--runner=DirectRunner',
    f'--direct_num_workers={workers}',
    '--direct_running_mode=multi_processing',
    '--default_sdk_harness_log_level=WARNING',
  ]


def run_parts(
  cache: str, name: str, numbers: Sequence[int], *, options: Sequence[str]
) -> None:
  """Works on parts, and returns when all are done.

  Args:
    cache: a folder that `corpusbrain_writer.write_examples` has begun.
    name: of the mixture.
    numbers: of the parts.
    options: of the pipeline, as on a command line.
  """
  with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
    _ = (
      pipeline
      | 'parts' >> beam.Create(list(numbers))
      | 'to workers' >> beam.Reshuffle()
      | 'write' >> beam.ParDo(_WritePart(cache, name, Shared()))
    )


class _WritePart(beam.DoFn):
  """Writes the shards of a part."""

  def __init__(self, cache: str, name: str, shared: Shared):
    self._cache, self._name, self._shared = cache, name, shared

  def setup(self) -> None:
    # Once a process: it holds the titles of all pages.
    self._held = self._shared.acquire(
      lambda: _Held(writer.load_job(self._cache, self._name))
    )

  def process(self, number: int) -> Iterator[int]:
    counts = writer.write_part(self._cache, self._name, number, self._held.job)
    Metrics.counter('genret', 'pages').inc(counts.pages)
    for task, examples in counts.examples.items():
      Metrics.counter('genret', f'{task} examples').inc(examples)
    yield number


class _Held:
  """A job that may be referred to weakly, which a tuple may not."""

  def __init__(self, job: writer.Job):
    self.job = job
