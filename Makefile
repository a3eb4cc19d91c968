# Each target does all of its own set-up; Python 3.11 or later and make are all that must be there.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# Where it is set, each process of the tests compiles anew whatever it loads.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench chaos attacks test-stores test-servers test-engines test-lowest audit clean

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/demo.stamp  ## embed a book on the embedded default and ask it five questions
	$(BIN)/python examples/quickstart.py

test: $(VENV)/dev.stamp  ## run the test suite, or with THOROUGH=1 all combinations and longer runs
	$(BIN)/python -m pytest -n 4 --dist worksteal

lint: $(VENV)/dev.stamp  ## check style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)-docs/stamp  ## build the documentation site into site/, every warning an error
	$(VENV)-docs/bin/python docs/figures/draw_grants.py
	$(VENV)-docs/bin/zensical build --clean --strict

bench: $(VENV)-bench/stamp  ## measure against bare clients and peers: benchmarks/RESULTS.md, under 20 minutes
	$(VENV)-bench/bin/python -m benchmarks $(ARGS)

chaos: $(VENV)/dev.stamp  ## run N scenarios of faults from seed SEED on: make chaos N=100000 SEED=1
	$(BIN)/python -m pytest tests/soak/chaos --scenarios $(or $(N),20000) --first-seed $(or $(SEED),1)

attacks: $(VENV)/dev.stamp  ## attack client and gateway, N times as hard as the tests do: make attacks N=8
	$(BIN)/python -m pytest tests/attacks --times $(or $(N),8)

test-stores: $(VENV)-stores/stamp  ## run the tests with vector stores, LangChain, LangGraph, LlamaIndex, other frameworks
	$(VENV)-stores/bin/python -m pytest tests/compat/stores

# A user's own is asked by the plain environment; the servers that are started here need torch.
ifdef URL
test-servers: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest -n 0 --tb=short --url '$(URL)' $(if $(KEY_FILE),--key-file '$(KEY_FILE)') \
		$(if $(MODEL),--model '$(MODEL)') \
		tests/compat/servers/$(if $(filter rerank,$(TASK)),test_reranking.py,test_conformance.py)
else
test-servers: $(VENV)-servers/stamp $(VENV)-infinity/stamp  ## ask servers that others wrote, or yours: make test-servers URL=… KEY_FILE=… MODEL=…
	INFINITY_PYTHON=$(abspath $(VENV)-infinity)/bin/python \
		$(VENV)-servers/bin/python -m pytest tests/compat/servers
endif

test-engines: $(VENV)-engines/stamp  ## run the examples for Ray, Dask, Spark (needs Java) and Beam
	$(VENV)-engines/bin/python -m pytest tests/compat/engines

# Old versions warn of what is to come, and old test tools leave event loops open. How malformed
# requests are answered is the servers' own affair there.
test-lowest: $(VENV)-lowest/stamp  ## run the tests with the oldest versions that are allowed
	$(VENV)-lowest/bin/python -m pytest -n 4 --dist worksteal \
		-W ignore::DeprecationWarning -W ignore::ResourceWarning \
		--ignore=tests/docs --ignore=tests/soak --ignore=tests/attacks

audit: $(VENV)-audit/stamp  ## look the dependencies up among the known vulnerabilities
	$(VENV)-audit/bin/uv pip freeze --exclude-editable --python $(VENV)-audit > $(VENV)-audit/frozen.txt
	$(VENV)-audit/bin/pip-audit --strict --disable-pip --no-deps -r $(VENV)-audit/frozen.txt

clean:  ## remove what was built
	rm -rf $(VENV) $(VENV)-* dist build site .benchmarks .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[local]'
	@touch $@

$(VENV)/dev.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[local]' --group dev
	@touch $@

# Environments of their own, each with what its name asks for. The configuration leaves torch out,
# without which no server with a model runs.
EXTRAS := cli,fast,gateway,local,parquet,redis,testing
$(VENV)-audit/stamp:   WANTED := --editable '.[$(EXTRAS)]' pip-audit
$(VENV)-bench/stamp:   WANTED := --editable '.[cli,fast,gateway,local,testing]' --group bench
$(VENV)-docs/stamp:    WANTED := --editable . --group docs
$(VENV)-engines/stamp: WANTED := --editable '.[local,ray,redis]' --group test --group engines
$(VENV)-infinity/stamp: WANTED := --no-config --group infinity
$(VENV)-lowest/stamp:  WANTED := --editable '.[$(EXTRAS)]' --group test --resolution lowest-direct
$(VENV)-servers/stamp: WANTED := --no-config --editable '.[$(EXTRAS)]' --group test --group servers
$(VENV)-stores/stamp:  WANTED := --editable '.[cli,gateway,llama-index,local]' --group stores

$(VENV)-%/stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet uv
	$(VENV)-$*/bin/uv pip install --quiet --python $(VENV)-$* $(WANTED)
	$(THEN)
	@touch $@

# What the tests' own tools have raised comes down again; but the hub's client is tested as 1.x.
$(VENV)-lowest/stamp: THEN = cd $(VENV)-lowest && \
	bin/uv pip compile --quiet --python bin/python --resolution lowest-direct --no-annotate --no-header \
		$(foreach extra,$(subst $(comma), ,$(EXTRAS)),--extra $(extra)) -o oldest.txt ../pyproject.toml && \
	grep -v '^huggingface-hub' oldest.txt > pins.txt && \
	bin/uv pip install --quiet --python . --no-deps -r pins.txt
comma := ,
