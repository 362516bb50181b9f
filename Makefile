# Commands for people. Each sets up .venv first when it is not ready (tools/bootstrap.py); nothing else is touched.

SHELL := /bin/sh
PYTHON ?= python3
# What `make demo` runs, and what it needs beside the kernel.
DEMO ?= examples.atlas
DEMO_EXTRAS ?= atlas,embedded,fast,psycopg
SCHEMA = src/holdfast/db/schema.sql
# How long the nemeses of tests/acceptance strike under `make soak`.
SOAK_SECONDS ?= 300
# Passed on to pytest, benchmarks and the demo: make soak ARGS="-k postmaster"
ARGS ?=

IN_VENV = $(PYTHON) tools/bootstrap.py --extras dev --

.DEFAULT_GOAL := help
.PHONY: help demo test browser check format bench soak schema constraints clean python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: python ## Set everything up and run the main job on real input
	@$(PYTHON) tools/bootstrap.py --extras $(DEMO_EXTRAS) -- python -m $(DEMO) $(ARGS)

test: python ## Run the checks and all tests (HOLDFAST_TEST_POSTGRES=embedded,system decides the servers)
	@$(IN_VENV) python tools/suite.py

browser: python ## Install Chromium, in which the dashboard is tested (as root, on Debian)
	@$(PYTHON) tools/browser.py

check: python ## Run the static checks alone: style, types, floors, architecture
	@$(IN_VENV) python tools/suite.py check

format: python ## Bring the code into its style
	@$(IN_VENV) ruff check --fix-only --quiet .
	@$(IN_VENV) ruff format .

bench: python ## Measure Holdfast beside raw SQL and its peers (long; wants a quiet machine)
	@$(IN_VENV) python -m benchmarks $(ARGS)

soak: python ## Run the tests that take minutes by nature
	@$(IN_VENV) pytest -m soak --timeout=1800 --hypothesis-profile=soak $(ARGS)
	@HOLDFAST_TEST_SOAK_SECONDS=$(SOAK_SECONDS) $(IN_VENV) pytest tests/acceptance tests/model --timeout=3600 --hypothesis-profile=soak $(ARGS)

schema: python ## Write the generated files anew: the full schema from the migrations, the description of the API
	@$(IN_VENV) python -m holdfast.db.schema > $(SCHEMA).new || { rm -f $(SCHEMA).new; exit 1; }
	@mv $(SCHEMA).new $(SCHEMA)
	@$(IN_VENV) python tools/openapi.py

constraints: python ## Renew constraints.txt from pyproject.toml (needs uv)
	@$(PYTHON) tools/constraints.py

clean: ## Remove what can be made again: .venv, caches, build output (never .holdfast: that is data)
	@rm -rf .venv build dist src/holdfast/api/static web/node_modules tests/browser/screenshots .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find src tests tools examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Holdfast needs Python 3.11 or newer, and there is no $(PYTHON) here." >&2; \
	  echo "On Debian 12 and newer: apt-get install python3 python3-venv" >&2; exit 1; }
