# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Identifier schemes: how a document is named."""
