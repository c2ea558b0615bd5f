# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`python -m genret` is the command `genret`."""

from genret.tools import command

if __name__ == '__main__':
  command()
