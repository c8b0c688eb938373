# Every target makes what it needs from Python 3.11+ and the package registries alone.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
  BIN := $(VENV)/Scripts
else
  BIN := $(VENV)/bin
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-science check format docs bench wheel clean

$(VENV)/.core: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install --quiet --editable ".[dev]"
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) install --quiet --editable ".[docs]"
	@touch $@

demo: $(VENV)/.core        ## every approach on a made-up Arctic whose fluxes are known, into talik-demo/report.html
	$(BIN)/talik demo --out talik-demo

# files run side by side, one process a core: each grows to 2 to 4.5 GB
PARALLEL := -n auto --maxprocesses 8 --dist loadfile

test: $(VENV)/.dev         ## the tests (minutes)
	$(BIN)/python -m pytest -m "not science" $(PARALLEL)

test-science: $(VENV)/.dev ## the slow scientific checks
	$(BIN)/python -m pytest -m science $(PARALLEL)

check: $(VENV)/.dev        ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs        ## docs/_build/html/index.html; every example runs, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: $(VENV)/.dev        ## measured costs, printed as a table
	$(BIN)/python -m benchmarks

wheel: $(VENV)/.core
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist docs/_build
