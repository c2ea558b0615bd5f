# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Constraints: which token may come next."""
