# `make check` sets everything up and runs the main job; `make test` sets everything up and runs the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= report
# Of `make fuzz`: how many hostile inputs; SEED=N draws them by a seed of its own.
INPUTS ?= 10000
# Real data for tests and demonstrations, where it is at hand (tests that need it skip otherwise).
PLURALIGN_DATA ?= $(wildcard ../shared/data)

.PHONY: check test test-slow fuzz lint docs bench bench-llm clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[llm,test,docs]"
	touch $(VENV)/.core $@

check: $(VENV)/.core
	$(BIN)/pluralign check --profile quick --out $(OUT)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	PLURALIGN_DATA="$(PLURALIGN_DATA)" $(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/.test
	PLURALIGN_DATA="$(PLURALIGN_DATA)" $(BIN)/python -m pytest -m slow

fuzz: $(VENV)/.test
	PLURALIGN_FUZZ=$(INPUTS) $(BIN)/python -m pytest -m slow tests/fuzz -s -o faulthandler_timeout=0 $(if $(SEED),--hypothesis-seed=$(SEED))

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.test
	$(BIN)/python benchmarks/ratios.py --docs docs

bench-llm: $(VENV)/.test
	$(BIN)/python -W ignore benchmarks/llm_against_trl.py --types 2,4,8

clean:
	rm -rf $(VENV) build site *.egg-info
