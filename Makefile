# Two commands matter: `make demo` and `make test`. Both make the environment first where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: env demo test check bench simulate lock clean

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@echo "Installing into $(VENV): silent for a minute or two, the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: env
	$(BIN)/muster demo

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m tests.kube.build --if-possible
	$(BIN)/python -m pytest -n 3 --dist loadgroup

bench: env
	$(BIN)/python -m tests.benchmarks

SEEDS ?= 10000
simulate: env
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

# Exact versions with hashes, without registry addresses. Needs `uv` (pip install uv). Images have a part each.
COMPILE = uv pip compile --universal --python-version 3.11 --no-annotate --no-header --generate-hashes --quiet
lock:
	$(COMPILE) pyproject.toml --group dev -o requirements.lock
	$(COMPILE) pyproject.toml -c requirements.lock -o deploy/images/centre.lock
	$(COMPILE) deploy/images/agent.in -c requirements.lock -o deploy/images/agent.lock
	$(COMPILE) deploy/images/build.in -c requirements.lock -o deploy/images/build.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
