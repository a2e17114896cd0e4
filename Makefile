# Two targets set a fresh machine up and do something: `make demo` and `make test`. Each leaves stamps in .venv, so that
# nothing is done twice; a change of pyproject.toml installs again. Override PYTHON, VENV or TORCH on the command line.

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
PYTEST ?=

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip
LAZY = --no-compile  # Python compiles what is imported; all of torch takes three times as long as its installation

export OMP_WAIT_POLICY = passive
export NUMBA_CACHE_DIR = $(abspath $(VENV))/numba
export PIP_RETRIES ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
unexport PYTHONDONTWRITEBYTECODE  # images of containers set it: each process of a test would compile torch, for 6 s

.PHONY: help demo test lint format types imports spelling check wheel ci docs clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo          set up and take the tour; writes demo/report.html'
	@echo 'make test          set up and run the tests; PYTEST="-k words" passes arguments on'
	@echo 'make check         lint, spelling, types, imports, tests'
	@echo 'make lint types imports spelling format    each alone'
	@echo 'make bench-NAME    run benchmarks/NAME.py; ARGS="..." passes arguments on'
	@echo 'make docs          build/docs/index.html, with warnings as errors'
	@echo 'make wheel         build dist/*.whl and try it in an empty environment'
	@echo 'make ci            everything, as .ci/run does'

demo: $(VENV)/.run
	$(BIN)/ungrid demo -o demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST)

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.test
	$(BIN)/mypy

imports: $(VENV)/.test
	$(BIN)/lint-imports

spelling: $(VENV)/.test
	$(BIN)/codespell

check: lint spelling types imports test

bench-%: $(VENV)/.test
	$(BIN)/python benchmarks/$*.py $(ARGS)

wheel: $(VENV)/.test
	rm -rf build/empty dist
	$(BIN)/python -m build --wheel --no-isolation
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet $(LAZY) $(TORCH) dist/*.whl
	cd build && empty/bin/python -I ../.ci/smoke.py

ci:
	.ci/run

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs
	@echo 'build/docs/index.html'

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# torch alone and first: asked for together with the package, pip on Linux x86_64 takes the CUDA build and its gigabytes
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(LAZY) $(TORCH)
	touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	$(PIP) install $(LAZY) -e '.[demo]'
	$(BIN)/ungrid doctor
	touch $@

$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	$(PIP) install $(LAZY) -e '.[docs]'
	touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) install $(LAZY) -e '.[test]'
	$(BIN)/ungrid doctor
	touch $@
