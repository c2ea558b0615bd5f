# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""`python -m genret` is the command `genret`."""

import sys

from genret.tools import main

if __name__ == '__main__':
  sys.exit(main())
