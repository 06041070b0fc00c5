# Two commands are enough: `make serve` and `make test`. Each makes what it needs.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Plain `pip install torch` on Linux brings several GB of CUDA; TORCH_INDEX_URL names an index of CPU builds instead.
TORCH := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help install install-train install-test serve docs docs-serve test test-deploy format bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: .venv/.service ## Environment for the service alone (no PyTorch)

install-train: .venv/.train ## ... and for training

install-test: .venv/.test ## ... and for the tests

.venv/.service: pyproject.toml constraints.txt
	@echo "installing the service into .venv (a minute or two) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

.venv/.train: .venv/.service
	@echo "installing PyTorch and the training tools into .venv ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) $(TORCH)
	$(PIP) --editable '.[train]'
	touch $@

.venv/.test: .venv/.train
	@echo "installing the test tools into .venv ..."
	$(PIP) --editable '.[test]'
	touch $@

serve: .venv/.service ## Serve the shipped models on http://$(HOST):$(PORT)
	$(BIN)/odeserve serve --host $(HOST) --port $(PORT)

# Material for MkDocs says at each build that it is kept up until May 2027 and what follows it; that is known here.
docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/.test ## The documentation site, into site/; warnings are errors
	$(BIN)/mkdocs build --strict

docs-serve: export NO_MKDOCS_2_WARNING = 1
docs-serve: .venv/.test ## ... on http://127.0.0.1:8001, following changes
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

test: .venv/.test ## Format check, lint, types, import contracts, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

test-deploy: .venv/.test ## Build the Dockerfile, run docker-compose.yml and try what comes of it (needs Docker)
	COMMIT=$$(git rev-parse HEAD 2>/dev/null) $(BIN)/pytest deploy/rehearsal

format: .venv/.test ## Format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv-rivals/.made: benchmarks/rivals/requirements.txt
	@echo "installing the rivals into .venv-rivals ..."
	test -x .venv-rivals/bin/python || $(PYTHON) -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) $(TORCH)
	.venv-rivals/bin/python -m pip install --quiet --disable-pip-version-check --requirement $< --editable '.[train]'
	touch $@

bench: .venv/.test ## Benchmarks against the rivals, into docs/benchmarks/
	$(MAKE) .venv-rivals/.made || echo "the rivals could not be installed: those that are missing are left out"
	$(BIN)/python -m benchmarks.work_precision
	$(BIN)/python -m benchmarks.solver_table
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.pictures
	$(BIN)/python -m benchmarks.serving

clean: ## Remove the environment and caches
	rm -rf .venv .venv-rivals build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
