# make run    everything, on http://127.0.0.1:8000 (PORT=9000, or ARGS="--port 9000 --no-demo")
# make test   the tests (ARGS="-k rollup" for some of them, ARGS="--hypothesis-profile=thorough" for more examples)
# make lint   what can be said without running it
# make bench  how fast it is, beside the raw limits of the same PostgreSQL (see docs/performance.md)
# make soak   ten minutes of load, and whether everything was counted once
# make growth what reads, roll-up and storage cost from a million events to twenty
# make billing-growth what an invoice costs as a book grows, from 10,000 subscriptions to 50,000
# make lists  how fast the console's pages are over a million rows in each table
#
# Each makes its own virtual environment first. PYTHON=python3.12 picks another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PORT ?=
ARGS ?=

# What the settings ask for, for tools that start nothing. The folder holds no instance, so nobody's own is read.
STATIC := TOLLBOOK_DATA_DIR=/nonexistent DJANGO_SETTINGS_MODULE=tests.static_settings
PRODUCTION := env -u DEBUG -u TOLLBOOK_HTTPS TOLLBOOK_DATA_DIR=/nonexistent ALLOWED_HOSTS=billing.example.com \
	DATABASE_URL=postgresql:///tollbook CELERY_BROKER_URL=memory:// \
	SECRET_KEY=0a1b2c3d4e5f6g7h8i9j-for-this-check-only-and-never-to-be-used

.DEFAULT_GOAL := help
.PHONY: help run test bench soak growth billing-growth lists lint format types imports migrations deploy-check venv venv-dev clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

run: venv
	@exec $(BIN)/python manage.py up $(if $(PORT),--port $(PORT)) $(ARGS)

test: venv-dev
	@tests/install-browser
	@tests/paymentkit/install
	@exec $(BIN)/python -m pytest -n 3 $(ARGS)

bench: venv-dev
	@exec $(BIN)/python -m benchmarks

soak: venv-dev
	@exec $(BIN)/python -m benchmarks.soak

billing-growth: venv-dev
	@exec $(BIN)/python -m benchmarks.billing_growth

growth: venv-dev
	@exec $(BIN)/python -m benchmarks.growth

lists: venv-dev
	@exec $(BIN)/python -m benchmarks.lists

lint: format types imports migrations deploy-check

format: venv-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: venv-dev
	$(BIN)/python -m mypy .

imports: venv-dev
	$(BIN)/lint-imports

migrations: venv-dev
	$(STATIC) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

deploy-check: venv-dev
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

venv: $(VENV)/.installed
venv-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt
	@$(MAKE) --no-print-directory $(VENV)/.made
	@echo "Installing what Tollbook runs on ..."
	@$(PIP) install --requirement requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt
	@$(MAKE) --no-print-directory $(VENV)/.made
	@echo "Installing what Tollbook runs on and is tested with ..."
	@$(PIP) install --requirement requirements-dev.txt
	@touch $(VENV)/.installed $@

# Made anew if it does not work, as after its folder was moved or its making was broken off.
.PHONY: $(VENV)/.made
$(VENV)/.made:
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		command -v $(PYTHON) >/dev/null || { \
			echo "There is no $(PYTHON): install the package python3 (apt-get install python3 python3-venv)." >&2; exit 1; }; \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo "Tollbook needs Python 3.11 or newer; $(PYTHON) is older. Pass PYTHON=python3.x." >&2; exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "Python cannot make virtual environments here: install the package python3-venv" \
				"(apt-get install python3-venv)." >&2; exit 1; }; \
		echo "Making a virtual environment in $(VENV) ..."; \
		$(PYTHON) -m venv --clear $(VENV); \
	fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
