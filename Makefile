# `make lab` and `make test` need git, make and Python >= 3.11 with venv; everything else goes into .venv.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help lab test test-matrix soak bench lint tools clean

help:  ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

lab: $(VENV)/.lab  ## Install the lab and open JupyterLab on the first lesson; options in ARGS="--port 9000"
	@$(BIN)/python -m wslab lab $(ARGS)

test: lint  ## Check and test everything except the soak tests
	$(BIN)/python -m tests.tools.run_all

test-matrix: $(VENV)/.test  ## Run the tests on the other Pythons and ipykernels, and in Notebook 7 and Voilà
	$(BIN)/python -m tests.matrix.run $(ARGS)

soak: tools  ## Run the tests that load the server for minutes
	$(BIN)/python -m pytest -m soak

bench: $(VENV)/.bench  ## Measure rates, latencies and memory
	$(BIN)/python benchmarks/run.py $(ARGS)
	$(BIN)/python benchmarks/framework.py
	$(BIN)/python benchmarks/record.py

lint: tools  ## Check style, types, layers and the JavaScript
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/tools/check_js.py

tools: $(VENV)/.test  # A browser and Node for the tests
	@$(BIN)/python tests/tools/prepare.py

clean:  ## Remove everything that make made, .venv included
	rm -rf $(VENV) .venv-matrix-* build dist tests/js/node_modules
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find wslab tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "No $(PYTHON) found. Install Python 3.11 or later, or name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is `$(PYTHON) -V 2>&1`." \
	      "Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) with `$(PYTHON) -V`."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/.lab: $(VENV)/.made pyproject.toml
	@echo "Installing wslab and JupyterLab into $(VENV); this takes a minute or two the first time."
	@$(BIN)/python -m pip install --quiet -e '.[lab]'
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml
	@echo "Installing into $(VENV): wslab, JupyterLab, nats-py, and the dev group of pyproject.toml:"
	@echo "pytest and its plugins, ruff, mypy, import-linter, Playwright, FastAPI, repo2docker and others."
	@$(BIN)/python -m pip install --quiet -e '.[lab,nats]' --group dev
	@touch $@ $(VENV)/.lab

$(VENV)/.bench: $(VENV)/.test
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@
