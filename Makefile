# The one thing needed beforehand is Python >= 3.11; uv is fetched into .uv/ where it is missing.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync

.PHONY: setup demo test test-faults check format bench browser clean

setup: $(filter .uv/%,$(UV))
	@$(UV) sync --quiet

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'

demo: setup
	@$(RUN) python -m jobs.demo

# one thread each: torch's threads wait for each other by spinning, which two processes on two cores cannot afford
test: check
	OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses 2 --dist loadfile

# kills, faulty stores, full disks: a quarter of an hour and more; the table is kept in infra/faults.md
test-faults: setup
	OMP_NUM_THREADS=1 $(RUN) pytest tests/faults tests/infra tests/jobs/test_nightly.py -m faults --faults-table infra/faults.md

check: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: setup
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: setup
	$(RUN) python -m jobs.benchmark
	$(RUN) python -m jobs.benchmark_engine
	$(RUN) python tests/benchmarks/score_speed.py
	$(RUN) python tests/benchmarks/open_report.py

# for tests/report, which look at the page in a real one and are skipped where there is none
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update -q && $$as_root apt-get install -y -q --no-install-recommends chromium; }

# runs of your own stay
clean:
	rm -rf runs/demo .venv .uv .pytest_cache .mypy_cache .ruff_cache
