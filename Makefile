# Every target makes what it needs: a fresh clone needs Python 3.11+, make and git, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests and demo start dozens of processes: each module is compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test check security bench bench-full lock clean

help:
	@echo "make demo        run the gateway's main job, end to end, and check every step"
	@echo "make test        run the whole test suite"
	@echo "make check       lint, format, types, import contracts"
	@echo "make security    bandit, sslyze, schemathesis, and the bill of materials (dist/sbom.cdx.json)"
	@echo "make bench       the benchmark (make bench-full: the long rows too)"
	@echo "make lock        compile the locked requirements again (needs uv)"

install: $(VENV)/.runtime

$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing paygate into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "installing the development tools ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.runtime
	@$(BIN)/python examples/demo.py

test: $(VENV)/.dev
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit -q -ll -ii -r src

security: $(VENV)/.dev
	@$(BIN)/python -m tools.security

bench: $(VENV)/.runtime
	@$(BIN)/paygate bench

bench-full: $(VENV)/.runtime
	@$(BIN)/paygate bench --full

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --no-annotate --extra build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --no-annotate --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --no-annotate tools/security/requirements.in -o tools/security/requirements.lock

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
