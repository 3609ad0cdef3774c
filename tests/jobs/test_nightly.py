"""The supervisor over small made-up runs, and over a real one that is killed -9 on its way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from small_manifest import small_manifest

from jobs.nightly import deadline_from, seconds_from, supervise
from pipeline import read_results
from pipeline.commit import ShardLog
from pipeline.storage import open_store

ROOT = Path(__file__).parents[2]
FOREVER = float("inf")
# a run that ends as the next line of `script` says; `whole` leaves what `--summary` asks for
MADE_UP = """
import json, os, signal, sys, time
from pathlib import Path
out = Path({out!r})
def whole(failed):
    (out / "summary.json").write_text(json.dumps(dict(rows=5, ok=5 - failed, failed=failed, rejected=0)))
script = out / "script"
first, *rest = script.read_text().splitlines()
script.write_text("\\n".join(rest))
exec(first)
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path


def night(out: Path, *script: str, attempts: int = 5, deadline: float = FOREVER, grace_s: float = 30.0):
    (out / "script").write_text("\n".join(script))
    command = [sys.executable, "-c", MADE_UP.format(out=str(out))]
    return supervise(command, out / "summary.json", attempts, deadline, 0.01, grace_s)


def test_a_whole_run_is_begun_once(out: Path) -> None:
    done = night(out, "whole(0)")
    assert (done.codes, done.ended_by, done.exit_code, done.summary["ok"]) == ([0], "done", 0, 5)


def test_what_broke_off_or_was_killed_is_resumed(out: Path) -> None:
    done = night(out, "sys.exit(3)", "os.kill(os.getpid(), signal.SIGKILL)", "raise OSError", "whole(0)")
    assert (done.codes, done.exit_code) == ([3, -9, 1, 0], 0)


def test_a_terminal_that_is_gone_ends_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody_reads:
        monkeypatch.setattr(sys, "stderr", nobody_reads)
        assert night(out, "sys.exit(3)", "whole(0)").codes == [3, 0]
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):  # it was
            print("x", file=nobody_reads, flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_what_is_complete_is_so_however_its_process_ends(out: Path) -> None:
    done = night(out, "whole(1); os.kill(os.getpid(), signal.SIGKILL)")
    assert (done.codes, done.ended_by, done.exit_code) == ([-9], "done", 1)


def test_failed_rows_make_a_whole_run(out: Path) -> None:
    done = night(out, "whole(2); sys.exit(1)")
    assert (done.codes, done.ended_by, done.exit_code) == ([1], "done", 1)


def test_a_crash_is_not_taken_for_failed_rows(out: Path) -> None:
    """Python's own exit code of a traceback is 1, too."""
    done = night(out, "raise OSError", "whole(2); sys.exit(1)")
    assert (done.codes, done.ended_by, done.exit_code) == ([1, 1], "done", 1)


def test_no_success_no_zero(out: Path) -> None:
    done = night(out, "sys.exit(0)", "sys.exit(0)", attempts=2)
    assert (done.codes, done.ended_by, done.exit_code) == ([0, 0], "attempts", 3)


def test_bad_usage_is_not_tried_again(out: Path) -> None:
    done = night(out, "sys.exit(2)")
    assert (done.codes, done.ended_by, done.exit_code) == ([2], "usage", 2)


def test_at_the_deadline_it_is_stopped_and_if_it_does_not_listen_killed(out: Path) -> None:
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    done = night(out, deaf, deadline=time.time() + 1.0, grace_s=0.5)
    assert (done.codes, done.ended_by, done.exit_code) == ([-signal.SIGKILL], "deadline", 3)


def test_no_attempt_begins_after_the_deadline(out: Path) -> None:
    done = night(out, "time.sleep(1.2); sys.exit(3)", "whole(0)", deadline=time.time() + 0.1)
    assert done.ended_by == "deadline"
    assert len(done.codes) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06:30", datetime(2026, 11, 23, 6, 30)),  # the next morning
        ("23:59", datetime(2026, 11, 22, 23, 59)),
        ("23:00", datetime(2026, 11, 23, 23, 0)),  # now is not the future
        ("8h", datetime(2026, 11, 23, 7, 0)),
        ("1h30m", datetime(2026, 11, 23, 0, 30)),
        ("45s", datetime(2026, 11, 22, 23, 0, 45)),
    ],
)
def test_deadlines(text: str, expected: datetime) -> None:
    assert deadline_from(text, datetime(2026, 11, 22, 23, 0)) == expected.timestamp()


@pytest.mark.parametrize("text", ["", "8", "h", "24:00", "6:5", "tomorrow", "-1h", "1m1h"])
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        deadline_from(text, datetime(2026, 11, 22))
    with pytest.raises(ValueError, match="duration"):
        seconds_from("06:30")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobs.nightly", *arguments]


@pytest.mark.parametrize("more", [["--attempts", "0"], ["--deadline", "late"], []])
def test_usage(more: list[str]) -> None:
    given = ["m.csv", "out", *more] if more else ["m.csv"]
    ended = subprocess.run(command(*given), cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "usage:" in ended.stderr


def real_night(folder: Path, rows: int, *more: str) -> subprocess.Popen[str]:
    settings = (
        *("output.shard_rows=2", "resources.num_cpus=2", "model.max_positions=512"),
        *("evaluation.transcriber=none", "evaluation.speaker_encoder=none"),
    )
    return subprocess.Popen(
        command(
            *(str(small_manifest(folder, rows)), str(folder / "run"), "--wait", "0s", *more),
            *(word for setting in settings for word in ("--set", setting)),
        ),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        assert time.monotonic() < deadline, "the run does not come to where it is to be stopped"
        time.sleep(0.02)


def run_of(supervisor: subprocess.Popen[str]) -> psutil.Process:
    [run] = psutil.Process(supervisor.pid).children()
    return run


@pytest.mark.ray
@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_a_real_run_killed_midway_ends_whole(tmp_path: Path) -> None:
    out = tmp_path / "run"
    supervisor = real_night(tmp_path, 12)
    wait_until(lambda: len(ShardLog(open_store(str(out))).committed_shards()) >= 1, supervisor)
    assert not (out / "_SUCCESS").exists()
    os.kill(run_of(supervisor).pid, signal.SIGKILL)
    said, errors = supervisor.communicate(timeout=900)
    assert supervisor.returncode == 0, errors
    assert "attempt 1 was killed by SIGKILL; the next one begins in 0 s" in errors
    line = json.loads(said.splitlines()[-1])
    assert line.pop("seconds") > 0
    assert line == {
        "out": str(out),
        "whole": True,
        "exit_code": 0,
        "ended_by": "done",
        "attempts": [-9, 0],
        "rows": 12,
        "committed": 12,
        "ok": 12,
        "failed": 0,
        "rejected": 0,
    }, errors
    assert [row["row"] for row in read_results(str(out), ["row"]).to_pylist()] == list(range(1, 13))


@pytest.mark.ray
@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_sigterm_stops_a_real_run_cleanly_and_it_goes_on_the_next_night(tmp_path: Path) -> None:
    out = tmp_path / "run"
    supervisor = real_night(tmp_path, 4)
    wait_until(lambda: (out / "samples" / "commit").exists(), supervisor)
    run = run_of(supervisor)
    supervisor.terminate()
    said, errors = supervisor.communicate(timeout=300)
    line = json.loads(said.splitlines()[-1])
    # 3 is the run's own word: it was stopped, not killed
    assert (supervisor.returncode, line["ended_by"], line["attempts"]) == (3, "SIGTERM", [3])
    assert (line["rows"], line["ok"]) == (4, None)
    assert "the same command resumes from here" in errors
    # what it had in hand is not taken for what ended its workers
    assert len(list((out / "attempts" / "stopped").iterdir())) == 1
    assert not run.is_running()
    ended = real_night(tmp_path, 4)
    said, errors = ended.communicate(timeout=900)
    assert ended.returncode == 0, errors
    assert json.loads(said.splitlines()[-1])["ok"] == 4
