# Whatever needs Python runs in .venv; the first target that needs it creates it.
# `make PYTHON=python3.12 test` picks the interpreter, otherwise the first of 3.11 to 3.13 found.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed
CROSSCHECKED := .venv-crosscheck/installed
DOCUMENTED := .venv-docs/installed
BASE ?= HEAD
BASE_TREE := results/runs/base
TESTS ?=
TYPES := build/types/stabench
# A process begins with a run of neighbours, whose fixtures it makes once, and takes over from the
# others when it has no more.
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
.DEFAULT_GOAL := help
.PHONY: help install bench gate test test-all test-isa lint benchmark peers crosscheck docs pocket clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv with everything pinned (the others do this by themselves)

bench: $(INSTALLED) ## Run the pocket suite and print its table: CPU, no network
	$(BIN)/stabench run pocket

gate: $(INSTALLED) ## Judge this tree: quality by results/baselines, speed by turns with BASE (HEAD)
	@git rev-parse --quiet --verify '$(BASE)^{commit}' >/dev/null 2>&1 || { echo "make gate: BASE=$(BASE) is no commit of a git checkout here; give a branch, tag or hash, or judge a run: stabench gate RUN --baseline FILE" >&2; exit 2; }
	rm -rf $(BASE_TREE) && mkdir -p $(BASE_TREE) && git archive '$(BASE)^{commit}' | tar -x -C $(BASE_TREE)
	$(BIN)/stabench gate --suite pocket --base $(BASE_TREE) --baseline results/baselines/pocket.json.gz \
		--system cascade --system star

test: $(INSTALLED) ## Run the tests, but for the slow ones
	$(PYTEST) -m "not slow"

test-all: $(INSTALLED) ## Run all tests
	$(PYTEST)

test-isa: $(INSTALLED) ## Run the tests as on other processors (hours; TESTS=tests/metrics for some)
	$(BIN)/python -m tests.isa $(TESTS)

lint: $(INSTALLED) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# The rooms of a checkout lie beside stabench/; for mypy they lie in it, as in a wheel.
	mkdir -p $(TYPES)
	for part in $(wildcard stabench/*.py) stabench/py.typed checkpoints harness metrics pocket systems; do \
		ln -sfn ../../../$$part $(TYPES)/; done
	$(BIN)/mypy

benchmark: $(INSTALLED) ## Measure the speed of the harness and the metrics
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only

peers: $(CROSSCHECKED) ## Make .venv-crosscheck, where other projects' packages can be backends

crosscheck: $(CROSSCHECKED) ## Compare values with other projects' packages (an environment of its own)
	TORCHVGGISH="$${TORCHVGGISH:-.venv-crosscheck/torchvggish}" .venv-crosscheck/bin/python -m crosscheck

docs: $(DOCUMENTED) ## Build the documentation into site/ (an environment of its own)
	@# Pages of Python objects are read from the rooms as a wheel has them: inside stabench/.
	rm -rf build/api && mkdir -p build/api/stabench
	cp -R stabench/*.py harness metrics systems build/api/stabench
	.venv-docs/bin/mkdocs build --strict --clean
	@if grep -rlE '<(script|img|iframe|audio|video)[^>]* src="?(https?:)?//|<link [^>]*rel="?(stylesheet|preload|preconnect|icon)[^>]* href="?(https?:)?//' site --include='*.html'; then \
		echo "make docs: the pages above load something from another host" >&2; exit 1; fi

pocket: $(INSTALLED) ## Train the pocket world's weights again, from nothing (hours)
	$(BIN)/python -m stabench.pocket.training
	$(BIN)/python -m stabench.pocket.training.examine

clean: ## Remove the environments and caches; runs and weights stay
	rm -rf .venv .venv-crosscheck .venv-docs .pytest_cache .ruff_cache .hypothesis .benchmarks build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found; install one, or make PYTHON=/path/to/python" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing about 100 pinned packages into .venv; a few minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,stable-audio,train]"
	@# Whisper asks for triton, a gigabyte that only its word timestamps on CUDA use.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt more-itertools numba tiktoken tqdm
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps openai-whisper
	@touch $@

$(CROSSCHECKED): pyproject.toml constraints.txt crosscheck/requirements.txt crosscheck/peers.txt crosscheck/setup.sh
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found; install one, or make PYTHON=/path/to/python" >&2; exit 2; }
	sh crosscheck/setup.sh .venv-crosscheck $(PYTHON)
	@touch $@

# Of the extra alone, without torch and the rest of what stabench needs to run.
$(DOCUMENTED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found; install one, or make PYTHON=/path/to/python" >&2; exit 2; }
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		$$($(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@
