# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""From what was decoded to ranked documents."""
