# `make demo`: the whole product on real media files, on a CPU.  `make test`: the tests.
PYTHON ?= python3
SEED ?= 20
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean-demo

# Large pages make a training step on a CPU a fifth shorter (glibc; ignored elsewhere).
demo: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1
demo: export JAX_PLATFORMS := cpu
demo: $(VENV)/.demo
	$(BIN)/python -m launch.demo --out runs/demo --seed $(SEED)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadscope tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# One marker for each extra: a second run installs nothing until pyproject changes.
$(VENV)/.%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[$*]'
	touch $@

clean-demo:
	rm -rf runs/demo
