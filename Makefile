# The first `make run` or `make test` makes .venv; later ones use it until pyproject.toml or constraints.txt change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
BIN := .venv/bin
RUN_READY := .venv/.ready-run
DEV_READY := .venv/.ready-dev

Q ?= Tell me the result of derivative of x^3 when x is 2?
# The question goes to the program through the environment and unexpanded: it may hold quotes, $$, backticks, anything.
unexport Q
run: export OCTOPUS_GRAPH_QUESTION = $(value Q)

export PYTHON

$(RUN_READY): pyproject.toml constraints.txt
	@.ci/venv.sh local
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt
	@.ci/venv.sh all,dev
	@touch $(RUN_READY) $@

.PHONY: help run serve studio test test-unit test-slow lint format router semantic-router bench chaos fuzz clean

help: ## show this list
	@echo 'Usage: make <target>'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(RUN_READY) ## ask the graph one question: make run Q="..."
	@$(BIN)/octopus-graph ask --rewrite always -- "$$OCTOPUS_GRAPH_QUESTION"

serve: $(DEV_READY) ## serve the graph over HTTP on loopback: OpenAI, LangGraph, MCP, A2A
	@$(BIN)/octopus-graph serve

studio: $(DEV_READY) ## LangGraph Studio's server on the shipped graph
	@$(BIN)/langgraph dev --no-browser --config integrations/studio/langgraph.json

test: $(DEV_READY) ## all checks, then every test that is not slow
	@failed=0; \
	$(MAKE) --no-print-directory lint || failed=1; \
	$(BIN)/pytest -m 'not slow' || failed=1; \
	exit $$failed

test-unit: $(DEV_READY) ## the unit tests alone
	@$(BIN)/pytest tests/unit

test-slow: $(DEV_READY) ## the slow tests: weights, training, packaging
	@$(BIN)/pytest -m slow

lint: $(DEV_READY) ## ruff, formatting, types (who may import whom is in the tests)
	@failed=0; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/ruff format --check . || failed=1; \
	$(BIN)/pyright || failed=1; \
	exit $$failed

format: $(DEV_READY) ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

router: $(DEV_READY) ## train the shipped adapters anew: the router, then the edges
	$(BIN)/octopus-graph train all

semantic-router: ## make the environment of the baseline semantic-router, for evaluate
	@python3 -m venv build/semantic-router && build/semantic-router/bin/pip install -q semantic-router==1.1.1

bench: $(DEV_READY) ## run the benchmarks
	$(BIN)/python -m benchmarks

chaos: $(DEV_READY) ## kill, freeze and cut off workers and Redis in the middle of runs, and count
	$(BIN)/python -m benchmarks.chaos --kills 50 --restarts 10 --freezes 3 --stalls 5 --partitions 5

fuzz: $(DEV_READY) ## ten minutes of schemathesis against the server, from an environment of its own
	@python3 -m venv build/schemathesis && build/schemathesis/bin/pip install -q schemathesis==4.32.5
	@.ci/fuzz.sh

clean: ## remove caches and build output (.venv stays)
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
