# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Each sets .venv up first; a second call finds
# it up to date and does nothing for it.

# An empty environment (`env -i make test`) has no search path at all.
ifndef PATH
export PATH := /usr/local/bin:/usr/bin:/bin
endif

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

# A .venv whose interpreter no longer runs (or that is not there) is made again.
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
STALE := stale
endif

.PHONY: help quickstart test coverage lint bench clean stale

help:
	@echo 'make quickstart  train, decode and measure on the shipped collection'
	@echo '                 (ARGS="--pretrained FOLDER" starts from T5 weights)'
	@echo 'make test        run the tests          (ARGS="-k trie" selects)'
	@echo 'make coverage    run them, and tell the lines they reach'
	@echo 'make lint        ruff and mypy'
	@echo 'make bench       list benchmarks           (ARGS="NAME" runs one)'
	@echo 'make clean       remove .venv and caches'
	@echo 'PYTHON=/path/to/python3.11 chooses the interpreter of .venv.'

quickstart: $(VENV)/installed-run
	@$(BIN)/genret quickstart $(ARGS)

test: $(VENV)/installed-dev
	@$(BIN)/python -m pytest -m 'not slow and not wheel' \
	  --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

# Apart: it is a tenth of the time.
coverage:
	@$(MAKE) --no-print-directory test ARGS='--cov --cov-report=term $(ARGS)'

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check --quiet --output-format concise . || \
	  { echo "make lint: $(BIN)/ruff check --fix . mends some of these"; exit 1; }
	@$(BIN)/ruff format --quiet --check . || \
	  { echo 'make lint: run $(BIN)/ruff format .'; exit 1; }
	@$(BIN)/mypy

bench: $(VENV)/installed-run
	@$(BIN)/genret bench $(ARGS)

clean:
	@rm -rf $(VENV) build dist *.egg-info .coverage .mypy_cache .pytest_cache \
	  .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# [dev] contains [train,eval], so its stamp serves for both.
$(VENV)/installed-run: $(VENV)/pyvenv.cfg setup.py constraints.txt
	@$(call install,train$(comma)eval)
	@touch $@

$(VENV)/installed-dev: $(VENV)/pyvenv.cfg setup.py constraints.txt
	@$(call install,dev)
	@touch $@ $(VENV)/installed-run

$(VENV)/pyvenv.cfg: $(STALE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>/dev/null || echo 'no Python that runs'); \
	  echo "genret needs Python 3.11 or later, and $(PYTHON) is $$found;" \
	    'call make with PYTHON=/path/to/python3.11.' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

comma := ,

# A dot for each package while pip works; its full output goes to a log that is
# shown only where it fails.
define install
log=$(VENV)/install.log; : > $$log; echo 1 > $(VENV)/install.status; \
  printf 'Installing genret[$(1)] into $(VENV) (some minutes) '; \
  { $(BIN)/python -m pip install --disable-pip-version-check \
      -c constraints.txt -e '.[$(1)]' 2>&1; \
    echo $$? > $(VENV)/install.status; } | \
  while read -r line; do \
    echo "$$line" >> $$log; \
    case $$line in \
      Collecting\ *) printf . ;; \
      Installing\ collected*) printf ' unpacking' ;; \
    esac; \
  done; echo; \
  [ "$$(cat $(VENV)/install.status)" = 0 ] || { tail -n 20 $$log >&2; exit 1; }
endef
