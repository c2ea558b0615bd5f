# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constrained search inside jit."""
