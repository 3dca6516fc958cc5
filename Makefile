# Every target builds .venv by itself; all it asks of the machine is Python 3.11 or newer.
# PYTHON=python3.12 chooses an interpreter; uv, where it is installed, only makes the set-up faster.

# 3.12 and 3.11 come first: the wheel with the embedded Postgres stops there.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python3.13 python3.14; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; exit; }; done)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test check bench lock clean

run: $(READY)
	@exec $(BIN)/python manage.py up

# Each of these processes starts servers of its own; with servers that you name, there is one.
PROCESSES ?= $(if $(DATABASE_URL)$(REDIS_URL),0,2)
test: $(READY)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python -W ignore manage.py makemigrations --check --dry-run --skip-checks

bench: $(READY)
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.fairness
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.limits
	$(BIN)/python -m benchmarks.exports

# The lock names no registry, so that it serves behind any mirror.
lock: $(READY)
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(READY): requirements.lock
	@[ -n "$(PYTHON)" ] || { echo "HyreLog needs Python 3.11 or newer: install it, or name one with PYTHON=…" >&2; exit 1; }
	@if command -v uv >/dev/null; then \
	    uv venv --quiet --allow-existing --python "$(PYTHON)" .venv && \
	    uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock; \
	else \
	    { "$(PYTHON)" -m venv .venv || { echo "python venv is missing: on Debian, apt install python3-venv" >&2; exit 1; }; } && \
	    $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; \
	fi
	@touch $@
