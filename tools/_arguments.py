# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Types of arguments that several commands take."""

import argparse


def at_least_one(text: str) -> int:
  """An argument that counts something."""
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError(f'expected at least 1 but got {text}')
  return value


def seed(text: str) -> int:
  """A seed that NumPy, scikit-learn and JAX all take."""
  value = int(text)
  if not 0 <= value < 2**32:
    raise argparse.ArgumentTypeError(
      f'expected a number from 0 to 4294967295 but got {text}'
    )
  return value
