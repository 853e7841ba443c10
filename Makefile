# make demo   the main job on real data, from nothing
# make test   all checks and tests, from nothing
# Both need only make and Python 3.10 to 3.13; everything goes into .venv, a second call is instant.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS ?= 2
# tests that need torch, starter weights or a browser come after those that need nothing
SLOW := train or starter or browser
# each of the JOBS has a processor: with threads of their own they would only wait for each other
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help demo test lint fast slow starters bench bench-figures bench-peers bench-growth \
  bench-quick bench-envs trust lock clean

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo "make lint   the checks alone"
	@echo "make bench  measures the figures of docs/explain/figures.md, also beside other tools, each in an"
	@echo "            environment of its own (DATA=folder of the open data sets, ENVS=folder for those)"
	@echo "make bench-quick  a part of it, one run each (bench-figures, bench-peers, bench-growth: one part)"
	@echo "make trust  tries what docs/explain/trust.md promises, in full, and writes the results there (QUICK=1: a part)"
	@echo "make lock   writes the lock files anew from what is installed in .venv"
	@echo "make clean  removes .venv, demo/, results and all caches in this folder (not the peers' runs/envs)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Headstart needs Python 3.10 to 3.13, and $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	    echo "  fix: make PYTHON=python3.12 ..."; exit 2; }
	@echo "== creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python could not make a virtual environment."; \
	  echo "  fix: install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 2; }

# The lock files are for Python 3.11 and newer; on 3.10 pip chooses the versions itself.
locked = $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'

$(VENV)/.demo-ready: requirements-demo.lock pyproject.toml | $(BIN)/python
	@echo "== installing Headstart and what the demo needs (no torch)"
	@if $(locked); then $(PIP) install -r requirements-demo.lock && \
	  $(PIP) install --no-deps --no-build-isolation -e .; \
	else $(PIP) install -e '.[sklearn]'; fi
	@touch $@

$(VENV)/.test-ready: requirements.lock pyproject.toml | $(BIN)/python
	@echo "== installing Headstart and what the tests need (a few minutes)"
	@if $(locked); then $(PIP) install -r requirements.lock && \
	  $(PIP) install --no-deps --no-build-isolation -e .; \
	else $(PIP) install torch==2.13.0 torchvision==0.28.0 -e '.[dev]'; fi
	@touch $@

# Without them (no network) the tests that need them skip and say so; the rest still runs.
starters: $(VENV)/.test-ready
	@echo "== starter weights"
	@$(BIN)/headstart backbones --fetch starter || \
	  echo "The starter weights could not be fetched: the tests that need them will be skipped."

demo: $(VENV)/.demo-ready
	@$(BIN)/python examples/demo.py

# needed without an import of ours: torch.onnx uses onnxscript, transformers safetensors, timm torchvision;
# huggingface_hub comes with transformers and is only touched where transformers is there; datasets is
# only looked at where the caller hands one of its objects over
DEPTRY_IGNORES := DEP002=headstart|onnxscript|safetensors|torchvision,DEP003=huggingface_hub,DEP004=datasets

# attributes of ONNX operators that the torch engine accepts, as nothing here depends on them
VULTURE_IGNORES := storage_order,momentum,stash_type,saturate,round_mode,ratio,training,hidden_size

lint: $(VENV)/.test-ready
	@echo "== checks"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/deptry src --known-first-party headstart --optional-dependencies-dev-groups dev \
	  --per-rule-ignores "$(DEPTRY_IGNORES)" --package-module-name-map mlflow-skinny=mlflow
	$(BIN)/vulture src --min-confidence 80 --ignore-names $(VULTURE_IGNORES)
	$(BIN)/interrogate --quiet --fail-under 95 --ignore-private --ignore-semiprivate \
	  --ignore-magic --ignore-init-method --ignore-nested-functions --ignore-overloaded-functions src

fast: $(VENV)/.test-ready
	@echo "== tests that need neither torch nor weights nor a browser"
	@$(TEST) -m "not ($(SLOW))"

slow: starters
	@echo "== the other tests"
	@$(TEST) -m "$(SLOW)"

# one after the other, also under make -j: the second pass would only take the first one's processors
test: $(VENV)/.test-ready
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory fast
	@$(MAKE) --no-print-directory slow

DATA ?= ../shared/data
ENVS ?= runs/envs
# e.g. BENCH="--docs", "--fresh", "--only few-shot", "--repeats 1": see benchmarks/compare.py --help
BENCH ?=
# e.g. TRUST="--only R13 places"
TRUST ?=

# one after the other, also under make -j: they would take each other's processors
bench: starters
	@$(MAKE) --no-print-directory bench-figures
	@$(MAKE) --no-print-directory bench-peers
	@$(MAKE) --no-print-directory bench-growth

bench-figures: starters
	@$(BIN)/python benchmarks/figures.py --data $(DATA) --out runs/figures

bench-peers: starters
	@$(BIN)/python benchmarks/compare.py --data $(DATA) --envs $(ENVS) $(BENCH)

bench-growth: starters
	@$(BIN)/python benchmarks/growth.py --out runs/growth

bench-quick: starters
	@$(BIN)/python benchmarks/compare.py --quick --data $(DATA) --envs $(ENVS) $(BENCH)

bench-envs: $(VENV)/.test-ready
	@$(BIN)/python benchmarks/environments.py --envs $(ENVS)

trust: $(VENV)/.test-ready
	@$(BIN)/python -m trust.run $(if $(QUICK),--quick) $(TRUST)

lock: $(VENV)/.test-ready
	@$(BIN)/python scripts/lock.py

clean:
	rm -rf $(VENV) demo runs/figures runs/bench runs/bench-quick runs/growth dist build \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
