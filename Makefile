# Every target sets up .venv by itself; `make help` lists them. Needs GNU make (3.81 or newer) and Python 3.11-3.13.
.DEFAULT_GOAL := help
.PHONY: help reproduce test test-slow lint bench book lock FORCE
SHELL := /bin/sh

BIN := .venv/bin
export MCFPAPER_CACHE ?= $(CURDIR)/.venv/kernels
STAMP := .venv/complete

# The Python to build .venv from: the one named (make test PYTHON=/path/to/python3.12), or the first here that suits.
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
IN_RANGE := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
HAS_VENV := -c 'import ensurepip, venv'
FOUND = $(shell for p in $(CANDIDATES); do \
	if $$p $(IN_RANGE) && $$p $(HAS_VENV); then echo $$p; break; fi; done 2>/dev/null)
WHY_NOT = $(shell p="$(firstword $(CANDIDATES))"; if $$p $(IN_RANGE) 2>/dev/null; \
	then echo "$$p lacks venv or ensurepip (Debian, Ubuntu: apt install python3-venv)"; \
	else echo "$$p is $$($$p --version 2>&1 | head -n 1)"; fi)

# A checkout that was moved or copied would run the package of its old place: it sets up again.
MOVED := $(shell test "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" || echo FORCE)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

reproduce: $(STAMP) ## execute every notebook and report every claim (ARGS="--scale full", ARGS=--help ...)
	$(BIN)/python -m mcfpaper reproduce $(ARGS)

test: $(STAMP) ## unit, property and notebook tests
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest
	MCFPAPER_DATA=$$(mktemp -d) && export MCFPAPER_DATA && trap 'rm -rf "$$MCFPAPER_DATA"' EXIT && \
		MCFPAPER_SCALE=quick $(BIN)/python -m pytest --nbval-lax --nbval-current-env notebooks/

test-slow: $(STAMP) ## the tests marked slow
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## code style and notebook structure
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest tests/test_notebooks.py

bench: $(STAMP) ## speed, against peers
	$(BIN)/python -m benchmarks.run $(ARGS)

book: $(STAMP) ## static pages of the notebooks and their claims, in _book (ARGS="--scale full": of the last full run)
	$(BIN)/python -m mcfpaper book $(ARGS)

# Pins stay where they still satisfy pyproject.toml, unless ARGS=--upgrade. An older .venv will do for this, and a
# lock that comes out the same is not touched.
lock: $(if $(wildcard $(BIN)/uv),,$(STAMP)) ## renew requirements.lock from pyproject.toml (ARGS=--upgrade: newest versions)
	cp requirements.lock .venv/new.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --all-extras \
		--no-annotate --no-header --quiet $(ARGS) pyproject.toml -o .venv/new.lock
	cmp -s .venv/new.lock requirements.lock || mv .venv/new.lock requirements.lock

# The stamp comes last, so that an interrupted set-up starts over; it bears the time of the start, so that
# a lock changed meanwhile does too.
$(STAMP): requirements.lock pyproject.toml $(MOVED)
	$(if $(FOUND),,$(error mcfpaper needs Python 3.11, 3.12 or 3.13 with venv, but $(WHY_NOT); name another by make PYTHON=/path/to/python))
	@echo "Setting up .venv, once: about 1.6 GB, one to a few minutes"
	$(FOUND) -m venv --clear .venv
	@echo "$(CURDIR)" > $(STAMP).part
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mv $(STAMP).part $(STAMP)
