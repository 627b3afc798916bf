# `make demo`: the whole product on real media files, on a CPU.  `make test`: the tests.
PYTHON ?= python3
SEED ?= 20
VENV := .venv
BIN := $(VENV)/bin
TESTED := python3.11 python3.12 python3.13
# Of the environment; before there is one, of the interpreter that will make it.
VERSION = $(shell $(or $(wildcard $(BIN)/python),$(PYTHON)) -c \
  'import sys; print("python%d.%d" % sys.version_info[:2])')

.PHONY: demo test prove lint lock ends check-tpu clean-demo

# Large pages make a training step on a CPU a fifth shorter (glibc; ignored elsewhere).
demo: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1
demo: export JAX_PLATFORMS := cpu
demo: $(VENV)/.demo
	$(BIN)/python -m launch.demo --out runs/demo --seed $(SEED)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadscope tests

# By hand: the suite compiled as users compile, and the slow proofs with it.
prove: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadscope --proof tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# One marker for each extra: a second run installs nothing until pyproject or
# the tested versions of this Python change.
$(VENV)/.%: pyproject.toml $(wildcard constraints/*.txt)
	@test -f constraints/$(VERSION).txt || { echo "error: $(PYTHON) is $(VERSION);" \
	  "give one of $(TESTED): make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on \
	  -c constraints/$(VERSION).txt -e '.[$*]'
	touch $@

# By hand: the newest versions that pyproject allows become the tested ones.
lock: $(VENV)/.dev
	for name in $(TESTED); do \
	  $(BIN)/uv pip compile --quiet --upgrade --all-extras --no-annotate \
	    --custom-compile-command "make lock" --python-version $${name#python} \
	    --output-file constraints/$$name.txt pyproject.toml || exit; \
	done

# By hand: the oldest and the newest versions that pyproject allows, on a short
# suite of what touches other libraries most.
SHORT := mono stamps opening shown media ingest prepare picture_files portrait \
  video speech shards checkpoint resume sfa streaming_frame optimizer batches \
  fit_report metrics config tokenizer

ends: $(VENV)/.dev
	for end in lowest-direct highest; do \
	  $(BIN)/uv venv --clear --python $(BIN)/python runs/ends/$$end && \
	  $(BIN)/uv pip install --python runs/ends/$$end --resolution $$end \
	    --editable '.[short]' && \
	  runs/ends/$$end/bin/python -m pytest -n 2 --dist loadscope \
	    $(SHORT:%=tests/test_%.py) || exit; \
	done

# By hand: every TPU's compiler tries a small talker.
check-tpu: $(VENV)/.test
	$(BIN)/python -m benchmarks.topologies

clean-demo:
	rm -rf runs/demo
