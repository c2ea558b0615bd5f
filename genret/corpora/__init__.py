# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""The corpora of the field, from the public files in their own formats.

A module reads one data set and yields documents, queries and judgements;
`beir_writer` writes them as a BEIR folder; `recipes` has them by name.
"""
