# Each target does all of its own set-up; Python 3.10 or later and make are all that must be there.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench clean

help:  ## say what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(VENV)/demo.stamp  ## embed a book on the embedded default and ask it five questions
	$(BIN)/python examples/quickstart.py

test: $(VENV)/dev.stamp  ## run the whole test suite
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(VENV)/dev.stamp  ## check style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)-docs/stamp  ## build the documentation site into site/, every warning an error
	$(VENV)-docs/bin/python docs/figures/draw_grants.py
	$(VENV)-docs/bin/zensical build --clean --strict

bench: $(VENV)/dev.stamp  ## measure against a bare client, LangChain's limiter and NLTK
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/limiter.py
	$(BIN)/python benchmarks/chunking.py

clean:  ## remove what was built
	rm -rf $(VENV) $(VENV)-* dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/dev.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[local]' --group dev
	@touch $@

$(VENV)-docs/stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-docs/bin/python -m pip install --quiet --editable . --group docs
	@touch $@
