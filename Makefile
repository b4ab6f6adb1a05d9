# `make` lists the targets. A bare machine needs git and make; everything else is fetched, pinned and cached.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# A gate starts Python some hundred times, and where nothing compiled is kept each start compiles the project again.
unexport PYTHONDONTWRITEBYTECODE

# Checking types from nothing takes a processor 30 s; a clone knows what was found about the same files elsewhere.
export MYPY_CACHE_DIR := $(or $(TRIREME_CACHE),$(HOME)/.cache/trireme)/mypy

PY := .venv/bin/python
BIN := .venv/bin
PART := @scripts/part
# Where test results are written for whoever sums them up (`make test` does).
RESULTS ?= build/results

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' Makefile | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

.PHONY: bootstrap
bootstrap:
	@scripts/bootstrap

# ---- what a user runs ------------------------------------------------------------------------------------

.PHONY: demo
demo: bootstrap ## A cluster, Trireme and a real model on this machine: ask it a question
	@$(PY) -m e2e.demo

.PHONY: down
down: bootstrap ## Take the cluster of `make demo` or `make e2e` down; leaves nothing behind
	@$(PY) -m e2e.cluster down

# ---- the tiers of testing --------------------------------------------------------------------------------

# Some parts at a time, each shown when it is done; one that fails does not hide the others.
CHECKS := check-waiting-tests check-tests check-types check-chart check-generated check-lint \
          check-imports check-format check-shell check-yaml check-spelling

.PHONY: check
check: bootstrap ## Before each commit, in a minute or two: format, lint, types, imports, unit and golden tests, chart
	@mkdir -p $(RESULTS)
	@scripts/part --total "make check" $(MAKE) --jobs=4 --keep-going --output-sync=target $(CHECKS)

.PHONY: $(CHECKS)
check-format:
	$(PART) "format (ruff format)" $(BIN)/ruff format --check --quiet .
check-lint:
	$(PART) "lint (ruff)" $(BIN)/ruff check --quiet .
check-types:
	$(PART) "types (mypy --strict)" $(BIN)/mypy
check-imports:
	$(PART) "layers (import-linter)" $(BIN)/lint-imports --no-logo
# Tests of launchers and other programs wait more than they work, the others the other way round: side by side they fill
# the cores. Here stands what waits long and imports little: each of its workers imports all of it.
FAST := -q -p no:cov -p no:anyio -m "not integration and not e2e and not engine"
WAITING_TESTS := $(addprefix tests/unit/test_,runtime_permit.py runtime_replicas.py runtime_failures.py \
                 preflight_process.py runtime_process.py runtime_arrival.py runtime_peer.py preflight_measuring.py \
                 runtime_accelerators.py double.py collector.py cli_status.py cli_drain.py e2e_drills_client.py)
check-tests:
	$(PART) "unit and golden tests" $(PY) -m pytest $(FAST) -n 2 $(WAITING_TESTS:%=--ignore=%) \
	    --junitxml=$(RESULTS)/unit.xml tests/unit tests/golden
check-waiting-tests:
	$(PART) "unit tests that wait for programs" $(PY) -m pytest $(FAST) -n 8 --dist load --maxschedchunk=1 \
	    --junitxml=$(RESULTS)/waiting.xml $(WAITING_TESTS)
check-generated:
	$(PART) "generated files are up to date" $(PY) -m scripts.generate --check
check-chart:
	$(PART) "chart (helm lint, helm template)" $(PY) -m scripts.chart
check-shell:
	$(PART) "shell scripts (shellcheck)" $(SHELL) -c \
	    'git ls-files -z --cached --others --exclude-standard | xargs -0 grep -lIsm1 -E "^#!/(usr/)?bin/(env )?(ba)?sh" | xargs $(BIN)/shellcheck'
check-yaml:
	$(PART) "YAML (yamllint)" $(BIN)/yamllint --strict .
check-spelling:
	$(PART) "spelling (codespell)" $(SHELL) -c 'git ls-files -z --cached --others --exclude-standard | xargs -0 $(BIN)/codespell'

.PHONY: integration
integration: bootstrap ## Tests on a real API server and etcd, without nodes
	@mkdir -p $(RESULTS)
	@$(PY) -m pytest -m integration -n 2 --dist loadfile --junitxml=$(RESULTS)/integration.xml tests

.PHONY: e2e
e2e: bootstrap ## Tests on the real cluster, which stays up afterwards (`make down` ends it)
	@$(PY) -m e2e.gate --only programs --only images --only local-cluster --only cluster --only trireme --only engine-image --only platform --only autoscaling --only queue --only served --only conditions --only load --only zones --only e2e --keep-cluster

.PHONY: test
test: bootstrap ## The gate, everything once: check, integration, images, a cluster, e2e tests, down
	@$(PY) -m e2e.gate

.PHONY: bench
bench: bootstrap ## Measure
	@$(PY) -m bench

.PHONY: drills
drills: bootstrap ## Break things on purpose on the real cluster and measure what follows
	@status=0; $(PY) -m e2e.drills || status=$$?; \
	$(PY) -m pytest -m drill -p no:randomly e2e/tests || status=$$?; exit $$status

.PHONY: campaign
campaign: bootstrap ## The property tests for HOURS (default 1), seeded; goes on where it was stopped
	@$(PY) -m e2e.campaign $(HOURS)

# ---- what is generated -----------------------------------------------------------------------------------

.PHONY: generate
generate: bootstrap ## Write what is generated: crds/, docs/reference.md, tables in docs/, the chart's CRDs, manifests/
	@$(PY) -m scripts.generate

.PHONY: golden
golden: bootstrap ## Write the expected files of the golden tests anew; look at the difference before committing it
	@$(PY) -m tests.golden.rewrite

.PHONY: lock
lock: bootstrap ## Resolve requirements/*.lock anew from pyproject.toml (releases younger than 7 days are left out)
	@scripts/lock

.PHONY: clean
clean: ## Remove what was made inside this directory (.venv, build/, tools' caches); the shared cache stays
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
