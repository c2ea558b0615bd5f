# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Seqio tasks, one module per data set or recipe; installed as genret.tasks."""
