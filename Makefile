# `make run` serves the program, `make test` tests it; both set themselves up. `make help` lists the
# rest: what stands after ## beside each target.
.PHONY: run help test lint format audit-packages bench bench-audit bench-statements bench-cost \
	bench-growth bench-models bench-slow bench-start chaos measure models-doc messages \
	screenshots settings-doc audit lock clean
.DEFAULT_GOAL := run

PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(shell \
	command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $(p))))
BIN := .venv/bin
# Programs are started as modules: the first line of a script names the interpreter by its path,
# which may hold spaces or quotes, or be longer than a system allows there.
IMPORT_LINTER := $(BIN)/python -c 'from importlinter.cli import lint_imports_command as run; run()'

run: .venv/run.stamp ## serve the program at PORT (8000), after setting up what is missing
	@$(BIN)/python manage.py serve

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# In three processes, since those that test whole services often wait; ARGS="-n 0 --pdb billing"
# runs in one.
test: .venv/dev.stamp ## run every test this machine allows; ARGS goes to pytest
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/dev.stamp ## check style, types, imports, migrations and the CI script
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy .
	$(IMPORT_LINTER) --no-logo
	DATABASE_URL=sqlite:///:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/shellcheck .ci/run

format: .venv/dev.stamp ## let ruff format the code and mend what it can
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# Fails if a vulnerability is known. The data come from pypi.org: without a network, or behind a
# mirror that has none of them, this says what was left out, and passes.
audit-packages: .venv/dev.stamp ## look for known vulnerabilities of the locked packages
	@report=$$($(BIN)/python -m uv tool run --quiet --from 'pip-audit>=2.10,<3' pip-audit \
		--requirement requirements.lock --disable-pip --require-hashes --progress-spinner off); \
	status=$$?; \
	if [ $$status -ne 0 ] && [ -n "$$report" ]; then echo "$$report"; exit 1; fi; \
	if [ $$status -ne 0 ] || [ -n "$$report" ]; then \
		echo "$$report" | head -n 5; echo "Left out, for want of data: known vulnerabilities."; fi

bench: .venv/dev.stamp ## measure throughput and latency; ARGS="--against COMMIT" compares
	@$(BIN)/python bench/run.py $(ARGS)

bench-audit: .venv/dev.stamp ## time an audit of a million ledger entries
	@$(BIN)/python bench/audit.py $(ARGS)

bench-statements: .venv/dev.stamp ## measure what hand-written SQL gains over the ORM
	@PYTHONPATH=. $(BIN)/python bench/statements.py $(ARGS)

bench-cost: .venv/dev.stamp ## measure CPU time; ARGS="--against COMMIT" compares
	@$(BIN)/python bench/cost.py $(ARGS)

bench-growth: .venv/dev.stamp ## measure lists and pages of an account with a million predictions
	@$(BIN)/python bench/growth.py $(ARGS)

bench-slow: .venv/dev.stamp ## measure how others fare while slow clients hang
	@$(BIN)/python bench/slow_clients.py $(ARGS)

bench-models: .venv/dev.stamp ## train all predictors; tell how good and fast they are
	@PYTHONPATH=. $(BIN)/python bench/models.py

bench-start: .venv/dev.stamp ## time a first start, to the first prediction and to all on sale, and a second
	@$(BIN)/python bench/start.py

# MINUTES (30), SEED (a new one), STACK (redis, rabbitmq or embedded): see testing/chaos/README.md.
chaos: .venv/dev.stamp ## kill, freeze and restart a service of its own under load
	@$(BIN)/python -m testing.chaos $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(STACK),--stack $(STACK)) $(ARGS)

measure: .venv/run.stamp ## measure what changed (minutes), and write the cards in mlmodels/cards
	@$(BIN)/python manage.py measure $(ARGS)

settings-doc: .venv/run.stamp ## write docs/settings.md, of .env.template
	@$(BIN)/python manage.py write_settings_doc $(ARGS)

models-doc: .venv/run.stamp ## write docs/models.md, of what was measured
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
		export VAR_DIR="$$scratch" DATABASE_URL= && \
		$(BIN)/python manage.py migrate --verbosity 0 && $(BIN)/python manage.py train && \
		$(BIN)/python manage.py write_models_doc $(ARGS)

messages: .venv/dev.stamp ## bring the translations up to date with the code; needs GNU gettext
	@PYTHONPATH=. $(BIN)/python testing/messages.py

screenshots: .venv/dev.stamp ## write a picture of every page to var/screenshots; needs chromium
	@DJANGO_SETTINGS_MODULE=carprice.settings $(BIN)/python -c "import sys, django; django.setup(); \
		from testing import screenshots; screenshots.main(sys.argv[1:])" $(ARGS)

audit: .venv/run.stamp ## check every invariant of money and predictions
	@$(BIN)/python manage.py audit

.venv/run.stamp: requirements.lock
	@test -n "$(PYTHON)" || { echo "carprice: Python 3.11 or later is needed." >&2; exit 1; }
	@case "$$(pwd)" in *:*) echo "carprice: Python makes no virtual environment in a folder with a" \
		"colon in its path; rename it." >&2; exit 1;; esac
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

# With their extras: pip 23 looks at the newest release of a library that another one wants with an
# extra, if the lock has it without, and then refuses that release for want of hashes.
COMPILE = $(BIN)/python -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	--no-strip-extras
lock: .venv/dev.stamp ## lock the newest versions of everything, with hashes for every platform
	$(COMPILE) requirements.in -o requirements.lock
	$(COMPILE) requirements-dev.in -c requirements.lock -o requirements-dev.lock

clean: ## remove the virtual environment and all that the program has written
	rm -rf .venv var
