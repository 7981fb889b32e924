# Every target makes .venv by itself; nothing needs to be installed first but Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
# Models that others published, for the tests. Nothing of it is imported: its own onnxruntime would break ours.
PUBLISHED := rapidocr-onnxruntime==1.4.4

.PHONY: demo test lint bench soak clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "swp-export needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	touch $@

$(VENV)/.published: $(VENV)/.installed
	$(RUN)python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python --upgrade --target $(VENV)/published '$(PUBLISHED)'
	touch $@

demo: $(VENV)/.installed ## prune, verify and measure a real checkpoint
	PATH="$(CURDIR)/$(RUN):$$PATH" sh examples/demo.sh

test: $(VENV)/.published ## the whole test suite, on up to four cores
	OMP_NUM_THREADS=1 $(RUN)python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed ## formatting, lints, types
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)mypy examples

bench: $(VENV)/.installed ## figures.md: every figure that README states, with its machine and date; half an hour
	$(RUN)python benchmarks/page.py figures.md

soak: $(VENV)/.installed ## hours: 1,500 planted faults, 500 random networks, 10,000 hostile inputs
	$(RUN)python -m tests.soak everything

clean:
	rm -rf $(VENV) demo-output
