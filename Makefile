# Every target sets up what it needs on a fresh Debian machine with Python 3.11; from the second time on that costs nothing.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
NATIVE := $(wildcard redisproxy/_native/*.pyx redisproxy/_native/*.pxd redisproxy/_native/*.pxi)
LOCKS := tests/end_to_end/node/package-lock.json
OXLINT := tests/end_to_end/node/node_modules/.bin/oxlint

# Rooms that do not know which twin they run on: their tests in memory run once.
SAME_ON_BOTH := admin cli commands config control copying figures fleet remote sentinel servers switch_test \
	switchover workers

SECONDS := 60
SEEDS := 0-1499
BOUNDARY_SEEDS := 0-399

.PHONY: run test lint bench bench-quick demo fuzz chaos sanitize simulate clean setup reference docs

$(STAMP): pyproject.toml hatch_build.py scripts/setup.sh $(NATIVE) $(LOCKS)
	sh scripts/setup.sh $(VENV)
	touch $@

setup: $(STAMP)

run: $(STAMP)
	$(PY) scripts/run.py

test: $(STAMP)
	$(PY) -m tests.simulation $(SEEDS)
	$(PY) -m tests.simulation --boundary $(BOUNDARY_SEEDS)
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder
	REDISPROXY_PURE=1 $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not one_twin" $(SAME_ON_BOTH:%=--ignore=tests/%)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy redisproxy tests scripts bench
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	if command -v node >/dev/null; then $(OXLINT) --deny-warnings redisproxy/admin/assets; fi

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

reference: $(STAMP)
	$(PY) -m scripts.reference

demo: $(STAMP)
	$(VENV)/bin/redisproxy switch-test --switchovers 5 --between-s 8 --data-mb 200

bench: $(STAMP)
	sh bench/setup.sh
	$(PY) -m pip install --quiet -e '.[bench]'
	$(PY) -m bench

bench-quick: $(STAMP)
	sh bench/setup.sh
	$(PY) -m pip install --quiet -e '.[bench]'
	$(PY) -m bench --quick

fuzz: $(STAMP)
	$(PY) -m pip install --quiet -e '.[fuzz]'
	$(PY) -m tests.fuzz --seconds $(SECONDS)
	$(PY) -m tests.differential
	$(PY) -m tests.differential --pure
	$(PY) -m tests.differential --reloads --commands 5000

simulate: $(STAMP)
	$(PY) -m tests.simulation $(SEEDS)
	$(PY) -m tests.simulation --boundary $(BOUNDARY_SEEDS)

chaos: SECONDS := 110
chaos: $(STAMP)
	$(PY) -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

sanitize: $(STAMP)
	sh scripts/sanitize.sh $(PY)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache redisproxy/_native/*.so redisproxy/_native/*.c
