# Each target does all of its own set-up: a machine needs only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The frameworks that are recorded; CrewAI does not go together with the others.
FRAMEWORKS := .venv-frameworks
CREWAI := .venv-crewai
AUDIT := .venv-audit

.PHONY: help demo test test-frameworks check format audit peers reliability reliability-long clean

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d; set PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[sidecar,langgraph]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@ $(VENV)/demo.stamp

$(FRAMEWORKS)/dev.stamp: pyproject.toml tests/frameworks/versions.txt | $(BIN)/python
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet -c tests/frameworks/versions.txt -e '.[frameworks]'
	@touch $@

$(CREWAI)/dev.stamp: pyproject.toml tests/frameworks/versions.txt | $(BIN)/python
	$(PYTHON) -m venv $(CREWAI)
	$(CREWAI)/bin/python -m pip install --quiet -c tests/frameworks/versions.txt -e '.[frameworks-crewai]'
	@touch $@

demo: $(VENV)/demo.stamp  ## run the bundled workflow and show what slows it
	$(BIN)/wfperf demo

test: $(VENV)/dev.stamp  ## run the checks and all tests
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest --ignore=tests/frameworks
	$(MAKE) --no-print-directory test-frameworks

test-frameworks: $(FRAMEWORKS)/dev.stamp $(CREWAI)/dev.stamp  ## run the tests of the integrations with the real frameworks
	$(FRAMEWORKS)/bin/python -m pytest tests/frameworks --ignore-glob="*/test_crewai*.py"
	$(CREWAI)/bin/python -m pytest tests/frameworks/test_crewai*.py

check: $(VENV)/dev.stamp  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp  ## reformat and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(VENV)/dev.stamp  ## look up known vulnerabilities of everything installed; needs the advisories of pypi.org
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit
	$(AUDIT)/bin/pip-audit --strict --skip-editable --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

peers:           ## obtain the real components that the tests talk to
	$(PYTHON) -m scripts.peers

$(VENV)/fuzz.stamp: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet -e '.[fuzz]'
	@touch $@

reliability: $(VENV)/fuzz.stamp  ## measure what the sidecar withstands: some minutes
	$(BIN)/python -m benchmarks.reliability

reliability-long: $(VENV)/fuzz.stamp  ## measure the figures that take hours
	$(BIN)/python -m benchmarks.reliability --long

clean:           ## remove what the other targets made
	rm -rf $(VENV) $(FRAMEWORKS) $(CREWAI) $(AUDIT) build dist *.egg-info
