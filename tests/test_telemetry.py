"""The metrics file, read by Prometheus' own parser and scraped from a real node exporter where there is one."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from pipeline.board import ProgressBoard
from pipeline.errors import ConfigError, StorageError
from pipeline.telemetry import METRICS, Telemetry, exposition, merged, step_values


def board() -> ProgressBoard:
    """40 rows at two stages, as a run leaves them."""
    board = ProgressBoard()
    board.add("generate_codes", 40, 3, 96.5, {"generation_timeout": 2, "prompt_too_long": 1})
    board.add("commit", 32, 0, 80.0)
    board.count_work({"frames": 2400, "slot_steps": 3000, "prompt_tokens": 8000, "prefill_tokens": 2000})
    board.set_levels("one", {"rows_waiting": 5, "device_bytes": 2**30})
    return board


# what the above says, by hand
EXPECTED = {
    ("voicemill_rows_total", ("generate_codes", "ok")): 37,
    ("voicemill_rows_total", ("generate_codes", "failed")): 3,
    ("voicemill_rows_total", ("commit", "ok")): 32,
    ("voicemill_rows_total", ("commit", "failed")): 0,
    ("voicemill_failures_total", ("generate_codes", "generation_timeout")): 2,
    ("voicemill_failures_total", ("generate_codes", "prompt_too_long")): 1,
    ("voicemill_audio_seconds_total", ("generate_codes",)): 96.5,
    ("voicemill_audio_seconds_total", ("commit",)): 80.0,
    ("voicemill_engine_frames_total", ()): 2400,
    ("voicemill_engine_slot_steps_total", ()): 3000,
    ("voicemill_prompt_tokens_total", ()): 8000,
    ("voicemill_prefill_tokens_total", ()): 2000,
    ("voicemill_rows_planned", ("generate_codes",)): 64,
    ("voicemill_rows_planned", ("commit",)): 64,
    ("voicemill_engines", ()): 1,
    ("voicemill_rows_waiting", ()): 5,
    ("voicemill_device_bytes", ()): 1073741824,
}
PLANNED = {"generate_codes": 64, "commit": 64}


def test_a_board_as_samples() -> None:
    assert step_values(board().read_all(), PLANNED) == EXPECTED


def test_counters_add_up_over_steps_and_gauges_do_not() -> None:
    rows, waiting = ("voicemill_rows_total", ("commit", "ok")), ("voicemill_rows_waiting", ())
    assert merged({rows: 10, waiting: 4}, {rows: 5, waiting: 3}) == {rows: 15, waiting: 3}


def test_names_follow_prometheus_rules() -> None:
    """https://prometheus.io/docs/practices/naming: base units in the name, `_total` on counters alone."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"voicemill_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        # what has few values whatever the manifest holds: error codes are listed, stages are modules
        assert set(metric.labels) <= {"stage", "outcome", "code"}


def test_prometheus_reads_what_was_written() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    text = exposition(step_values(board().read_all(), PLANNED), "narration")
    read = {}
    for family in parser.text_string_to_metric_families(text):
        kinds = {m.kind for m in METRICS if m.name.removesuffix("_total") == family.name}
        assert kinds == {family.type}
        for sample in family.samples:
            assert next(iter(sample.labels.items())) == ("pipeline", "narration")
            read[sample.name, tuple(sample.labels.values())[1:]] = sample.value
    assert read == EXPECTED


def test_labels_are_escaped() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    odd = 'a "quoted"\\ line\nbreak'
    text = exposition({("voicemill_failures_total", ("commit", odd)): 1}, "p")
    [family] = parser.text_string_to_metric_families(text)
    assert family.samples[0].labels["code"] == odd


def samples(file: Path) -> dict[str, float]:
    """`name{labels}` -> value."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_run_leaves_its_sums_and_its_end(tmp_path: Path) -> None:
    file = tmp_path / "metrics" / "night.prom"
    times = iter(range(1000, 2000))
    telemetry = Telemetry(str(file), clock=lambda: float(next(times)))
    assert samples(file) == {
        'voicemill_run_start_timestamp_seconds{pipeline="night"}': 1000.0,
        'voicemill_written_timestamp_seconds{pipeline="night"}': 1001.0,
    }
    for _ in range(2):  # two steps, each with a board of its own
        with telemetry.watching(board().read_all, PLANNED):
            telemetry.count("voicemill_commits_total")
    telemetry.count("voicemill_takes_again_total", 3)
    telemetry.finished({"ok": 60, "failed": 3, "rejected": 1, "wer": 0.1})
    said = samples(file)
    assert said['voicemill_rows_total{pipeline="night",stage="generate_codes",outcome="ok"}'] == 74
    assert said['voicemill_commits_total{pipeline="night"}'] == 2
    assert said['voicemill_takes_again_total{pipeline="night"}'] == 3
    assert said['voicemill_run_rows{pipeline="night",outcome="ok"}'] == 60
    assert said['voicemill_run_rows{pipeline="night",outcome="rejected"}'] == 1
    assert said['voicemill_run_success_timestamp_seconds{pipeline="night"}'] > 1001
    # the engines ended with their steps
    assert not [name for name in said if name.startswith(("voicemill_rows_waiting", "voicemill_device"))]
    assert file.stat().st_mode & 0o444 == 0o444, "another user's exporter reads it"


def test_a_board_that_is_gone_costs_the_metrics_not_the_run(tmp_path: Path, caplog) -> None:
    telemetry = Telemetry(str(tmp_path / "night.prom"))

    def gone() -> dict[str, dict[str, float]]:
        raise ConnectionError("the actor died")

    with telemetry.watching(gone, PLANNED):
        telemetry.count("voicemill_commits_total")
    assert "no more metrics of this step" in caplog.text
    telemetry.finished({"ok": 1, "failed": 0, "rejected": 0})
    assert samples(tmp_path / "night.prom")['voicemill_commits_total{pipeline="night"}'] == 1


def test_no_file_no_thread() -> None:
    telemetry = Telemetry(None)
    with telemetry.watching(board().read_all, PLANNED):
        assert "telemetry" not in {thread.name for thread in threading.enumerate()}
    telemetry.finished({"ok": 1, "failed": 0, "rejected": 0})


@pytest.mark.parametrize("name", ["night.txt", "night", "a b.prom", ".prom", "x/"])
def test_a_name_that_no_collector_reads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"resources\.metrics_file .* must end in <name>\.prom"):
        Telemetry(str(tmp_path / name))


def test_a_folder_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Telemetry(str(tmp_path / "file" / "night.prom"))


@pytest.mark.skipif(shutil.which("prometheus-node-exporter") is None, reason="no prometheus-node-exporter")
def test_scraped_from_a_node_exporter(tmp_path: Path) -> None:
    """The whole way: two pipelines' files, the exporter's textfile collector, HTTP, Prometheus' parser."""
    parser = pytest.importorskip("prometheus_client.parser")
    for name in ("narration", "dubbing"):
        with Telemetry(str(tmp_path / f"{name}.prom")).watching(board().read_all, PLANNED):
            pass
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    exporter = subprocess.Popen(
        [
            *("prometheus-node-exporter", f"--web.listen-address={address}", "--collector.disable-defaults"),
            *("--collector.textfile", f"--collector.textfile.directory={tmp_path}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://{address}/metrics") as answer:
                    page = answer.read().decode()
                break
            except OSError:
                assert time.monotonic() < deadline, "the exporter does not answer"
                time.sleep(0.05)
    finally:
        exporter.terminate()
        exporter.wait()
    families = {family.name: family for family in parser.text_string_to_metric_families(page)}
    [failed] = families["node_textfile_scrape_error"].samples
    assert failed.value == 0
    seen = {
        (sample.labels["pipeline"], sample.labels["code"]): sample.value
        for sample in families["voicemill_failures"].samples
    }
    timeouts, too_long = "generation_timeout", "prompt_too_long"
    assert seen == {(p, c): v for p in ("narration", "dubbing") for c, v in ((timeouts, 2), (too_long, 1))}
