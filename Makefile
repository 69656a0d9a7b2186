# Every target sets up what it needs; nothing is installed outside .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help install demo lint check test simulate mutations bench lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: $(VENV)/.installed ## Set up .venv with pinned, hash-checked dependencies

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies into $(VENV) (about half a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@$(BIN)/python -c 'from backfuturectl.secrets.program import find_program; print("sops:", find_program())'
	@touch $@

demo: install ## The whole story on the stand-in exchanges, in a minute (KEEP=1 leaves it running)
	@$(BIN)/backfuturectl demo $(if $(KEEP),--keep)

lint: install ## Formatting, lint, types, layers, dependencies, dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vulture
	$(BIN)/backfuturectl schema --check schemas

check: lint ## The fast tier: lint, and the quick tests that need no other process
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not long" tests/unit tests/golden tests/shell

test: check ## Everything: the fast tier, contracts, simulations, end to end
	$(BIN)/pytest -q -n 2 --dist worksteal -m long tests/unit tests/shell
	@# Many of these wait for daemons that sleep or start: three of them keep two cores busy.
	$(BIN)/pytest -q -n 3 --dist worksteal tests/e2e tests/simulation tests/mutations tests/contract
	$(BIN)/backfuturectl validate configs

mutations: install ## Plant faults in a copy of the package; the tests must catch each (ONLY=words)
	@$(BIN)/python -m tests.mutations $(if $(ONLY),"$(ONLY)")

simulate: install ## Whole daemons on virtual time, one history per seed (START=1 SEEDS=100; SIEVE=1)
	@$(BIN)/python -m tests.simulation --start $(or $(START),1) --seeds $(or $(SEEDS),100) $(if $(SIEVE),--sieve)

bench: install ## Print the figures of docs/benchmarks.md, measured here
	@$(BIN)/python -m bench

lock: ## Renew the pinned requirements (needs uv)
	uv pip compile pyproject.toml --extra sops --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -q -o requirements/runtime.txt
	uv pip compile pyproject.toml --extra sops --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate -q \
	  -c requirements/runtime.txt -o requirements/dev.txt

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
