# Two commands on a fresh machine: make study, make test. Python 3.11+ is all they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= train,openvino,hep,geo,onboard
OUT ?= runs/quick
# processes that share the tests out, a file to each
WORKERS ?= 2

.PHONY: study test check figures bench mutants clean

study: $(VENV)/.study
	$(BIN)/skytrigger study quick --out $(OUT)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# every number on README.md, docs/ and the results' pages against its records; WRITE=1 writes them
figures: $(VENV)/.dev
	PYTHONPATH=benchmarks $(BIN)/python -m figures $(if $(WRITE),--write)

bench: $(VENV)/.dev
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# one changed operator or number at a time: what survives was not tested; MUTANTS="stats paired" for a part
mutants: $(VENV)/.dev
	PYTHONPATH=benchmarks $(BIN)/python -m mutants $(MUTANTS)

# torch first and alone: with it in place nothing else pulls another build of it
$(VENV)/.study: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("skytrigger needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $$(grep -i '^torch==' constraints.txt)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

$(VENV)/.dev: $(VENV)/.study
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),dev]'
	touch $@

clean:
	rm -rf $(VENV) runs build .pytest_cache .mypy_cache .ruff_cache
