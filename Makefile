# Everything a person runs. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.installed

export PYTHONPATH := $(CURDIR)
unexport PYTHONDONTWRITEBYTECODE # keep compiled files: imports take half the time

.DEFAULT_GOAL := help
.PHONY: help env run dev sql status rollback test lint bench faults clean-data

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | \
	  while IFS='|' read -r name about; do printf '  make %-12s %s\n' "$$name" "$$about"; done

env: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null || \
	  { echo "error: $(PYTHON) is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo missing); Python 3.11 or 3.12 is needed: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

run: $(READY) ## land, build, judge, forecast, publish (JOB=…, FULL_REFRESH=1)
	@$(PY) -m dagster_project run $(if $(JOB),--job $(JOB)) $(if $(FULL_REFRESH),--full-refresh)

dev: $(READY) ## Dagster's webserver and daemon on 127.0.0.1 (PORT=3000)
	@$(PY) -m dagster_project dev $(if $(PORT),--port $(PORT))

sql: $(READY) ## query the published marts: make sql Q="select …"
	@$(PY) -m dagster_project sql "$$Q"

status: $(READY) ## what is published, what is held back and why
	@$(PY) -m dagster_project status

rollback: $(READY) ## publish the release before again (RELEASE=id)
	@$(PY) -m dagster_project rollback $(RELEASE)

test: lint ## lint, then the whole test suite (T=… for a part)
	@$(PY) -m pytest $(T)

lint: $(READY) ## ruff
	@$(PY) -m ruff check .

bench: $(READY) ## measure a whole run against the floor (SIZE=small)
	@$(PY) -m benchmarks $(or $(SIZE),small)

faults: $(READY) ## kill, fill and corrupt on purpose, and see what survives (KILLS=50)
	@FAULT_KILLS=$(or $(KILLS),50) $(PY) -m pytest tests/faults

clean-data: ## delete data/: warehouse, releases, run history
	@printf 'delete %s/data? [y/N] ' "$(CURDIR)"; read -r answer; [ "$$answer" = y ] && rm -rf data || echo kept
