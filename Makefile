# `make help` lists the targets.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
NEEDED := $(shell sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)

PYTEST := $(BIN)/pytest --numprocesses auto

.PHONY: help run demo test test-postgresql test-slow test-all check mutants bench lint format

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/installed ## Serve the API on SQLite, with the explorer, at http://localhost:8000/graphql (PORT=8000)
	@$(BIN)/graphql-mfa serve --dev --port $(PORT)

demo: .venv/installed ## Run whole sign-ins against a server of their own and print their steps
	$(BIN)/graphql-mfa demo
	$(BIN)/graphql-mfa demo --passkey

test: .venv/installed ## Run the tests of everything that the product promises, on SQLite
	$(PYTEST) --ignore tests/slow
	@echo 'Not run: what PostgreSQL does differently (make test-postgresql) and tests/slow (make test-slow).'

test-postgresql: .venv/installed ## Run the tests that depend on the database again, on a PostgreSQL that they start
	$(PYTEST) --engine postgresql -m engine

test-slow: .venv/installed ## Run the tests of processes, browsers, JavaScript clients, fuzzing, examples and benchmarks
	$(PYTEST) tests/slow

test-all: test test-postgresql test-slow ## Run all three

check: lint test ## What each commit passes

mutants: .venv/installed ## Plant faults, and report those that no test notices (by hand, takes long)
	$(BIN)/python -m tests.mutants

bench: .venv/installed ## Measure it beside others, and write the result (BENCH=quick: in three minutes)
	$(BIN)/python -m benchmarks --write $(if $(filter quick,$(BENCH)),--quick)

lint: .venv/installed ## Format, lint, types, import contracts, vendored files and schema
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.vendored
	$(BIN)/graphql-mfa schema | diff schema.graphql -

format: .venv/installed ## Format, fix what can be fixed, write schema.graphql and the generated pages
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/graphql-mfa schema > schema.graphql
	$(BIN)/python -m tests.settings_table > docs/settings.md
	$(BIN)/python -m tests.outcomes_table > docs/outcomes.md

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(list(sys.version_info) < [int(n) for n in "$(NEEDED)".split(".")])' 2>/dev/null \
	  || { echo 'Python $(NEEDED) or newer is needed. Name one that is installed: make run PYTHON=python3.13' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo 'Python has no venv module. Install it, on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@test -w . || { echo 'This folder is not writable. Run make in a copy that is.' >&2; exit 1; }
	@echo 'Installing into .venv, which takes about a minute the first time.'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
