# What one does with this checkout. Each target makes .venv first where it is missing, and re-uses it where it is there:
#   make demo    the whole idea, offline, in minutes; ends with runs/demo/report.html
#   make test    the fast tests, in as many processes as there are processors, up to 8
#                (make test PYTEST_ARGS="-m slow" for the slow ones)
#   make lint    ruff (rules and format) and mypy
#   make docs    the documentation site, in site/
#   make bench   the comparison on the toy task (configs/bench/toy.yaml)
#   make clean   removes what tools left behind; keeps .venv and runs/
# PYTHON=python3.12 make demo picks the interpreter that makes .venv.

PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# There while packages are being installed. If it is found at the start, the last set-up was killed, and what lies in .venv
# cannot be trusted: it is made again, quickly, since pip keeps what it has downloaded. Where pip itself gave up (no network),
# .venv is whole and stays.
UNFINISHED := $(VENV)/.unfinished

.PHONY: demo test lint docs bench clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(PY) -m prompter demo

test: $(STAMP)
	$(PY) -m pytest -q -n logical --maxprocesses 8 $(PYTEST_ARGS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict

bench: $(STAMP)
	$(PY) -m prompter bench --suite configs/bench/toy.yaml

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@if [ -e $(UNFINISHED) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	    $(PYTHON) -c 'import sys; sys.exit("prompter needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)' \
	    && echo "making $(VENV)" && $(PYTHON) -m venv --clear $(VENV); \
	fi
	@touch $(UNFINISHED)
	$(PY) -m pip install -q -c constraints.txt torch || { rm -f $(UNFINISHED); exit 1; }
	$(PY) -m pip install -q -c constraints.txt -e '.[dev,docs]' || { rm -f $(UNFINISHED); exit 1; }
	@rm -f $(UNFINISHED)
	@touch $@
