# `make run` serves the program, `make test` tests it; both set themselves up.
.PHONY: run test lint format bench bench-audit bench-statements bench-cost bench-models chaos models-doc audit lock clean
.DEFAULT_GOAL := run

PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(shell \
	command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $(p))))
BIN := .venv/bin

run: .venv/run.stamp
	@$(BIN)/python manage.py serve

test: .venv/dev.stamp
	@$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-logo
	DATABASE_URL=sqlite:///:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/shellcheck .ci/run

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev.stamp
	@$(BIN)/python bench/run.py $(ARGS)

bench-audit: .venv/dev.stamp
	@$(BIN)/python bench/audit.py $(ARGS)

bench-statements: .venv/dev.stamp
	@PYTHONPATH=. $(BIN)/python bench/statements.py $(ARGS)

bench-cost: .venv/dev.stamp
	@$(BIN)/python bench/cost.py $(ARGS)

# Trains all predictors, which takes some minutes, and tells how good they are.
bench-models: .venv/dev.stamp
	@PYTHONPATH=. $(BIN)/python bench/models.py

# MINUTES (30), SEED (a new one), STACK (redis, or rabbitmq, or embedded): see bench/README.md.
chaos: .venv/dev.stamp
	@$(BIN)/python -m testing.chaos $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(STACK),--stack $(STACK)) $(ARGS)

# Trains all predictors in a scratch directory, which takes some minutes, and describes them in docs/.
models-doc: .venv/run.stamp
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		export VAR_DIR="$$scratch" DATABASE_URL= && \
		$(BIN)/python manage.py migrate --verbosity 0 && $(BIN)/python manage.py train && \
		$(BIN)/python manage.py describe_models $(ARGS)

audit: .venv/run.stamp
	@$(BIN)/python manage.py audit

.venv/run.stamp: requirements.lock
	@test -n "$(PYTHON)" || { echo "carprice: Python 3.11 or later is needed." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { \
		rm -rf .venv; echo "carprice: this Python has no working venv module (python3-venv)." >&2; \
		exit 1; }
	@echo "Installing what the service runs on (a minute or two, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/run.stamp
	@echo "Installing what the tests need (a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# New versions for everything, with hashes for every platform.
COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock: .venv/dev.stamp
	$(COMPILE) requirements.in -o requirements.lock
	$(COMPILE) requirements-dev.in -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .venv var
