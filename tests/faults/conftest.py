"""The fault suite: `make test-faults`. An ordinary test run takes only the cases marked `quick`.

Every case names its fault and the invariants that it checks (invariants.py). With `--faults-table FILE`
the results are written as a table; cases that were not run keep the lines of their last run.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from small_run import Drivers, write_manifest

HERE = Path(__file__).parent
_RESULTS = pytest.StashKey[dict]()
_LAST = HERE.parents[1] / ".cache" / "faults.json"
# the faults of the reference's list that have their tests elsewhere
ELSEWHERE = [
    ("an attempt dies, or a rival acts, at every step of a commit", "tests/test_commit.py"),
    ("eight speculative writers of the same shards", "tests/test_commit.py"),
    ("other settings, model, codec or devices on resume", "tests/test_run.py, tests/test_end_to_end.py"),
    ("a planned id comes back with other content", "tests/test_plan.py"),
    ("a manifest with every fault of a row", "tests/test_end_to_end.py, tests/test_manifest.py"),
    ("Ctrl-C and SIGTERM, once and more often", "tests/test_interrupts.py"),
    ("1,000 rows, 80 of them bad in 52 ways", "tests/test_mixed_faults.py"),
    ("a run stopped between two rounds of takes", "tests/test_rounds.py"),
    ("damaged data and commits", "tests/test_commit.py"),
]


def pytest_addoption(parser):
    parser.addoption("--faults-table", metavar="FILE", help="write the table of the fault suite here")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if (case := item.get_closest_marker("case")) is None or (report.when != "call" and not report.skipped):
        return
    outcome = {"passed": "holds", "failed": "FAILS", "skipped": "not run"}[report.outcome]
    if report.skipped:
        outcome += f" ({report.longrepr[2].removeprefix('Skipped: ')})"
    kind = item.callspec.id if hasattr(item, "callspec") else ""
    item.config.stash.setdefault(_RESULTS, {})[item.nodeid] = {
        **case.kwargs,
        "kind": kind,
        "test": f"{item.path.name}::{item.name}",
        "result": outcome,
        "seconds": round(call.stop - call.start, 1),
        "day": time.strftime("%Y-%m-%d"),
    }


def pytest_sessionfinish(session):
    table = session.config.getoption("faults_table", None)
    if not table:
        return
    before = json.loads(_LAST.read_text()) if _LAST.exists() else {}
    results = before | session.config.stash.get(_RESULTS, {})
    _LAST.parent.mkdir(exist_ok=True)
    _LAST.write_text(json.dumps(results, indent=1))
    Path(table).write_text(_table([results[nodeid] for nodeid in sorted(results)]))


def _table(results):
    lines = [
        "# Faults, and what holds after them",
        "",
        "Written by `make test-faults`. I1 ids of the manifest, each once; I2 one commit per shard, hashes and",
        "rows verify; I3 audio decodes, codes as undisturbed; I4 a rerun generates nothing; I5 exit code; I6 it",
        "ends in bounded time; I7 no secrets. Seconds include the runs that come after the fault.",
        "",
        "| Fault | Expected | Checked | Result | s | Day | Test |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        fault = r["fault"] + (f": {r['kind']}" if r["kind"] else "")
        cells = (fault, r["expect"], r["holds"], r["result"], r["seconds"], r["day"], f"`{r['test']}`")
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "Faults whose tests stand elsewhere, all of which run in every test run:", ""]
    lines += [f"- {fault}: `{where}`" for fault, where in ELSEWHERE]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """Drivers in processes of their own, without Ray."""
    drivers = Drivers(tmp_path_factory.mktemp("drivers"))
    yield drivers
    drivers.close()


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("manifest") / "manifest.csv")


@pytest.fixture(scope="session")
def undisturbed(drivers, manifest, tmp_path_factory):
    """id -> hash of its codes, from a run that nothing happened to."""
    from invariants import check_finished

    out = str(tmp_path_factory.mktemp("runs") / "undisturbed")
    return check_finished(out, drivers.run(manifest, out))
