# One folder, one virtual environment. Every target makes what it needs: on a fresh machine `make demo` and `make test`
# are all there is to type.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Two a core: the end-to-end tests wait most of the time, for processes, watches and leases.
WORKERS ?= $(shell expr 2 \* $$(nproc))
PYTEST_ARGS ?=
export KUBEBUILDER_ASSETS
# Hundreds of short processes import the same modules: the first one to do so writes down what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo check test collect lint coverage bench e2e image image-test clean lock

help: ## Say what can be made.
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The lock is complete, so nothing is resolved: pip before 23.3 looks an extra up past its pin, and fails when a newer release
# is there. Twice quiet: an index that lacks a package is no news to anybody, and errors are printed all the same.
# pip would compile on one core. As with pip, a module that does not compile is for whoever imports it.
$(STAMP): requirements/dev.txt pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@echo 'Making $(VENV), once, about a minute'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install -qq --no-compile --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@faults=$$($(PIP) check) || { echo "$$faults" >&2; exit 1; }
	@touch $@

demo: $(STAMP) ## Play the story on an embedded stand-in of the API server.
	@$(BIN)/python -m tests.e2e.demo

check: $(STAMP) ## The tests to run while you work, in a minute: those that start no process and are not slow.
	$(BIN)/python -m pytest -n $(WORKERS) -m "not processes and not slow" tests/core tests/services tests/edges tests/check tests/doctor $(PYTEST_ARGS)

# Prometheus' rule checker, for the tests of the alerts; it is no Python package.
$(BIN)/promtool: $(STAMP) scripts/get-promtool
	@scripts/get-promtool $@

test: $(STAMP) $(BIN)/promtool ## Run every test.
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

collect: $(STAMP) ## Import every test, and run none: the workers of `make test` then need not compile them, each for itself.
	@said=$$($(BIN)/python -m pytest -qq --collect-only) || { echo "$$said" >&2; exit 1; }

e2e: $(STAMP) ## The end-to-end tests; on a real control plane if KUBEBUILDER_ASSETS names its binaries.
	$(BIN)/python -m pytest tests/e2e $(PYTEST_ARGS)

lint: $(STAMP) ## ruff, mypy --strict, the import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(STAMP) ## Run the tests in this process's reach with branch coverage.
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term tests/core tests/services tests/edges tests/check tests/doctor $(PYTEST_ARGS)

bench: $(STAMP) ## Measure, as ratios in one run.
	$(BIN)/python -m tests.bench

image: ## Build the container image with docker or, where none answers, buildah; scripts/build-image says what can be set.
	scripts/build-image

image-test: $(STAMP) image ## Run the built image's commands as the chart would.
	IMAGE="$$(cat build/image)" $(BIN)/python -m pytest tests/image $(PYTEST_ARGS)

lock: ## Renew the locked requirements (needs uv).
	for name in runtime build dev; do uv -q pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url requirements/$$name.in -o requirements/$$name.txt || exit; done

clean: ## Remove everything that was made.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
