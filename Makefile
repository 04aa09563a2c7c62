# Everything a person runs. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.installed

export PYTHONPATH := $(CURDIR)
unexport PYTHONDONTWRITEBYTECODE # keep compiled files: imports take half the time

.DEFAULT_GOAL := help
.PHONY: help env run backtest dev sql metrics report worklist status rollback glossary test lint bench bench-forecast bench-connectors faults clean-data

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | \
	  while IFS='|' read -r name about; do printf '  make %-16s %s\n' "$$name" "$$about"; done

env: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null || \
	  { echo "error: $(PYTHON) is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1 || echo missing); Python 3.11 or 3.12 is needed: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

run: $(READY) ## land, build, judge, forecast, publish (JOB=…, FULL_REFRESH=1)
	@$(PY) -m dagster_project run $(if $(JOB),--job $(JOB)) $(if $(FULL_REFRESH),--full-refresh)

backtest: $(READY) ## hold the forecasts of every past lock against what came
	@$(PY) -m dagster_project backtest

dev: $(READY) ## Dagster's webserver and daemon on 127.0.0.1 (PORT=3000)
	@$(PY) -m dagster_project dev $(if $(PORT),--port $(PORT))

sql: $(READY) ## query the published marts: make sql Q="select …"
	@$(PY) -m dagster_project sql "$$Q"

metrics: export DBT_TARGET := published
metrics: export DBT_TARGET_PATH := target
metrics: export WAREHOUSE_PUBLISHED := $(abspath $(or $(WAREHOUSE_PUBLISHED),data/published))
metrics: $(READY) ## ask the published marts by metric: make metrics Q="query --saved-query one_on_one"
	@cd dbt && ../$(VENV)/bin/dbt parse --quiet && ../$(VENV)/bin/mf $(or $(Q),list metrics)

report: $(READY) ## the weekly report, one page to read or print (TO=folder)
	@$(PY) -m dagster_project report $(if $(TO),--to "$(TO)")

worklist: $(READY) ## what to mend in the CRM, as CSV and Excel (TO=folder)
	@$(PY) -m dagster_project worklist $(if $(TO),--to "$(TO)")

status: $(READY) ## what is published, what is held back and why
	@$(PY) -m dagster_project status

rollback: $(READY) ## publish the release before again (RELEASE=id)
	@$(PY) -m dagster_project rollback $(RELEASE)

glossary: $(READY) ## write docs/glossary.md from the models' contracts
	@$(PY) -m dagster_project glossary

test: lint ## lint, then the whole test suite (T=… for a part)
	@$(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(T)

lint: $(READY) ## ruff
	@$(PY) -m ruff check .

bench: $(READY) ## measure a whole run against the floor (SIZE=small)
	@$(PY) -m benchmarks $(or $(SIZE),small)

bench-forecast: $(READY) ## measure the model's worth at three seeds, and its cost at large
	@$(PY) -m benchmarks.forecast

bench-connectors: $(READY) ## measure what the API connectors pull and land, up to ten million rows
	@$(PY) -m benchmarks.connectors

faults: $(READY) ## kill, fill and corrupt on purpose, and see what survives (KILLS=50)
	@FAULT_KILLS=$(or $(KILLS),50) $(PY) -m pytest tests/faults tests/sources/test_live_equals_demo.py

clean-data: ## delete data/: warehouse, releases, run history
	@printf 'delete %s/data? [y/N] ' "$(CURDIR)"; read -r answer; [ "$$answer" = y ] && rm -rf data || echo kept
