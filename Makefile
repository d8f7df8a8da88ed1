# Every target creates or reuses .venv by itself. TORCH=cpu|cu126|cu128|default picks the build of torch.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Trained weights and pooled sums differ in the last bits between thread counts, and one thread in each of two
# processes is faster than two threads in one: fixed here for whatever a target starts.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OPENCV_FOR_THREADS_NUM := 1
export PYTHONHASHSEED := 0
NBVAL := --nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg
# The long ones first, so that the last to end is a short one.
NOTEBOOKS := $(shell ls -r notebooks/*.ipynb)
# Compiled once and not in each of the hundred processes that tests and runs start: two seconds apiece.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: reproduce reproduce-full test lab explore bench lint oldest
reproduce: .venv/.ready ## draw the data, run every notebook over datasets and folds, write the report
	$(BIN)/mespot reproduce
reproduce-full: .venv/.ready ## the same with every fold of everything
	$(BIN)/mespot reproduce --full
test bench: export LOKY_MAX_CPU_COUNT := 1 # two tests or notebooks at a time fill two cores
test: .venv/.ready ## unit tests, then every notebook against its stored outputs
	$(BIN)/python -m pytest -n 2 --dist loadgroup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(NBVAL) $(NOTEBOOKS)
lab: .venv/.ready ## JupyterLab in notebooks/
	$(BIN)/jupyter lab --notebook-dir notebooks
explore: .venv/.ready ## the threshold explorer as a page; HOST= opens it to others, who need the token it prints
	$(BIN)/mespot explore $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))
bench: .venv/.ready ## ratios beside other ways and the limit, into reports/benchmarks; then the acceptance tests of minutes
	$(BIN)/python tools/bench.py
	$(BIN)/python -m pytest -m slow --durations 0
lint: .venv/.ready ## code, types, notebooks, stripped metadata
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/nbstripout --verify --keep-output --keep-count notebooks/*.ipynb
oldest: .venv-oldest/.ready ## unit tests with the least versions that pyproject.toml allows, in .venv-oldest
	.venv-oldest/bin/python -m pytest -n 2 --dist loadgroup

.venv/.ready: requirements.lock pyproject.toml tools/install.py
	@test -n "$(PYTHON)" || { echo "mespot needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) tools/install.py
.venv-oldest/.ready: requirements-oldest.lock pyproject.toml tools/install.py
	$(PYTHON) tools/install.py .venv-oldest requirements-oldest.lock
