# Needs python >= 3.11 and make, nothing else. Every target sets up what it needs first; `make help` lists them.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin

# What decides the environment. Its checksum is kept in the stamp: equal means that there is nothing to do.
LOCK := requirements/dev.txt
STAMP := $(VENV)/.setup-checksum

CHECKED := app perdure tests examples benchmarks server.py worker.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test up check format docs bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv/ from the hash-pinned lock; skipped when nothing changed
	@PYTHON="$(PYTHON)" sh requirements/setup.sh $(VENV) $(LOCK) $(STAMP)

demo: setup ## run the examples against an embedded stack of their own
	@$(BIN)/python -m examples.demo

# Tests wait for processes much of the time, so three workers keep two cores busy. Each of the hundreds of processes
# would compile the code anew where the environment forbids to keep bytecode: an empty variable allows it.
test: setup ## run the whole suite against real Temporal and real Postgres
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(TESTS)

up: setup ## run the server with the embedded stack in the foreground, data in .perdure/
	@exec $(BIN)/python server.py

check: setup ## format, lint, strict types, import contracts
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/mypy $(CHECKED)
	@$(BIN)/lint-imports --no-logo

format: setup ## rewrite the code in the project's format
	@$(BIN)/ruff format $(CHECKED)
	@$(BIN)/ruff check --fix $(CHECKED)

docs: setup ## rewrite the pages that are made from the code
	@$(BIN)/python -m app.blocks.reference > docs/reference/blocks.md.new && mv docs/reference/blocks.md.new docs/reference/blocks.md

bench: setup ## run the benchmark and print a table
	@$(BIN)/python -m benchmarks

# pip-compile keeps the versions it finds in the output file. `make lock UPGRADE=--upgrade` takes the newest.
# runtime.txt is a subset of dev.txt: what is tested is what runs.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes \
	--strip-extras --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: setup ## regenerate the lock files after a change of requirements/*.in
	@$(COMPILE) $(UPGRADE) --output-file=requirements/dev.txt requirements/dev.in
	@$(COMPILE) --constraint=requirements/dev.txt --output-file=requirements/runtime.txt requirements/runtime.in

clean: ## remove .venv/ and caches; .perdure/ (data) is kept
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
