# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Sequence-to-sequence models and the readers of their weights."""
