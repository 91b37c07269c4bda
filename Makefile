# Python 3.11+ and make are all that is needed: each target makes .venv from the lock file first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test bench lint schemas lock clean

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/saga demo

test: install
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 25

bench: install
	$(BIN)/python -m tests.bench

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The JSON Schemas of what services and tools in other languages read and write.
schemas: install
	$(BIN)/python -m saga.cli.schemas docs/json
	$(BIN)/python -m tracker.cli.schemas docs/json
	$(BIN)/python -m tracker.cli.openapi docs/json

# Pins every dependency with its hashes; run it after a change to pyproject.toml.
lock:
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/pip install --quiet uv
	.venv/lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
