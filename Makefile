# The one thing needed beforehand is Python >= 3.11; uv is fetched into .uv/ where it is missing.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync

.PHONY: setup demo test check format bench clean

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

clean:
	rm -rf runs .venv .uv .pytest_cache .mypy_cache .ruff_cache
