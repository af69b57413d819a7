# Two commands matter: `make serve` and `make test`. Each makes its own virtual environment.
PYTHON ?= python3
VENV ?= .venv
# Where to take PyTorch from; empty for the ordinary index (a CUDA build on Linux).
TORCH_INDEX ?=
BIN := $(VENV)/bin

.PHONY: serve test check clean

$(VENV)/serve.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/test.stamp: $(VENV)/serve.stamp
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,studio]'
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/install-system-packages.sh
	touch $@

serve: $(VENV)/serve.stamp
	$(BIN)/visavis serve

# Unit tests side by side, on a thread each; what is timed or seen in a browser, one after another.
test: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile tests/unit tests/parity
	$(BIN)/python -m pytest tests/integration tests/browser

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
