# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""Gin files (runs, models, experiments); installed as genret.gin_configs."""
