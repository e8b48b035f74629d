# One command each, in a fresh clone: what a target needs is installed into .venv first, and only then.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv check quick test exhaustive chaos soak demo bench accuracy kafka stack docs format clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of extras, so that `make demo` never waits for the development tools.
$(VENV)/.service $(VENV)/.demo $(VENV)/.stack $(VENV)/.bench $(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what this needs into $(VENV): minutes the first time, torch is large."
	@$(INSTALL) -e '.$(if $(filter-out .service,$(@F)),[$(patsubst .%,%,$(@F))])'
	@touch $@

venv: $(VENV)/.dev ## everything a developer needs, in .venv

check: $(VENV)/.dev ## formatter, linter, strict types, import rules, dead code, dependencies, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/vulture
	$(BIN)/deptry --no-ansi .
	$(BIN)/python -m tests.tools.docs

quick: $(VENV)/.dev ## the inner loop: everything that needs neither Kafka nor training, in two minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not kafka and not slow and not trains and not exhaustive' tests/unit tests/broker tests/durability tests/property

test: check ## the checks, then every test, against a real Apache Kafka too
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

exhaustive: $(VENV)/.dev ## further combinations of family, season and grid, and every kind of fault; half an hour
	$(BIN)/python -m pytest -n 2 -m exhaustive

chaos: $(VENV)/.dev ## kill workers and brokers a hundred times, of one node and of three; no record may be lost or come twice
	$(BIN)/python -m tests.chaos --faults 100 --nodes 1,3

soak: $(VENV)/.dev ## twenty minutes of faults around one worker whose memory, threads and descriptors must not grow
	$(BIN)/python -m tests.chaos.soak --minutes 20

demo: $(VENV)/.demo ## train, serve and score on real sensor data, in one process
	$(BIN)/eddycast demo

bench: $(VENV)/.bench ## speed, beside a plain loop and other libraries
	$(BIN)/python -m tests.bench

accuracy: $(VENV)/.dev ## docs/accuracy.md anew, from the data sets beside the repository; QUICK=1 for a look
	$(BIN)/python -m tests.accuracy $(if $(QUICK),--quick)

kafka: $(VENV)/.service ## a real Apache Kafka on this machine, until ctrl-C
	$(BIN)/python -m deploy.kafka

stack: $(VENV)/.stack ## Kafka, a trained model, two services, sensors and the monitor's page, until ctrl-C
	$(BIN)/python -m deploy.stack

docs: $(VENV)/.dev ## write the pages that follow from the code, then build the site into build/site
	$(BIN)/python -m tests.tools.docs --write
	$(BIN)/zensical build --strict --clean

format: $(VENV)/.dev ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## forget the environment and everything built
	rm -rf $(VENV) build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
