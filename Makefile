# The house's five commands. `make demo` and `make test` work on a bare checkout with Python 3.11 or newer.
PYTHON ?= python3
MINUTES ?= 10
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench verify clean

# A changed pyproject.toml installs again; uv is used where it is present, plain venv and pip do elsewhere.
$(READY): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  test -d $(VENV) || uv venv --seed --python $(PYTHON) $(VENV); \
	  uv pip install --python $(BIN)/python --quiet -e '.[all,test]'; \
	else \
	  test -d $(VENV) || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,test]'; \
	fi
	@touch $@

demo: $(READY)
	$(BIN)/chidu demo $(if $(filter command line environment,$(origin MINUTES)),--minutes $(MINUTES),)

# Two workers with a thread each: a test file stays with one, so that what its tests share is made once.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not verify" -n 2 --dist loadfile $(PYTEST)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

# serving, soak, search_quality and summaries want a model or a folder: see the top of each.
bench: $(READY)
	@$(BIN)/python -c 'import autograd, bm25s, faiss, presidio_analyzer, scipy' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@failed=0; for name in laws suggest training search guard; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || failed=1; done; exit $$failed

verify: $(READY)
	$(BIN)/python -m pytest -m verify $(PYTEST)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
