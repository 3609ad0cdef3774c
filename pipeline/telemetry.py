"""What a run has done, as a Prometheus text file that a node exporter's textfile collector picks up.

One way for every cluster: the driver reads the board anyway, and a file needs no port, outlives the run
(so that an alert can say that a night did not end), and is the same beside a private Ray, which has no
metrics agent, as beside a cluster of `RAY_ADDRESS`. Format: Prometheus text exposition 0.0.4.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import ConfigError
from pipeline.storage import open_store, parent_uri

log = logging.getLogger(__name__)
_EVERY_S = 15.0  # Prometheus' usual scrape interval
_FILE = re.compile(r"(?P<pipeline>[A-Za-z0-9_-]{1,64})\.prom")

Values = dict[tuple[str, tuple[str, ...]], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """`labels` are of bounded cardinality: stages, error codes and outcomes, never ids or texts."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


# Counters count from the start of the process that writes the file: a resumed run begins anew, as they may.
METRICS = (
    Metric("voicemill_rows_total", "counter", "Rows that a stage has done.", ("stage", "outcome")),
    Metric("voicemill_failures_total", "counter", "Rows that failed at a stage, by code.", ("stage", "code")),
    Metric("voicemill_audio_seconds_total", "counter", "Seconds of audio, by stage.", ("stage",)),
    Metric("voicemill_engine_frames_total", "counter", "Frames that the engines have made."),
    Metric("voicemill_engine_slot_steps_total", "counter", "Frames there was room for: slots times steps."),
    Metric("voicemill_prompt_tokens_total", "counter", "Prompt tokens of the rows that were spoken."),
    Metric("voicemill_prefill_tokens_total", "counter", "Those that had to be computed."),
    Metric("voicemill_commits_total", "counter", "Shards that were committed."),
    Metric("voicemill_takes_again_total", "counter", "Rows that were given another take."),
    Metric("voicemill_rows_planned", "gauge", "Rows that a stage of this step is to do.", ("stage",)),
    Metric("voicemill_engines", "gauge", "Engines heard of lately."),
    Metric("voicemill_rows_waiting", "gauge", "Rows that wait for a slot, in all engines."),
    Metric("voicemill_device_bytes", "gauge", "GPU memory that the engines' processes hold."),
    Metric("voicemill_run_rows", "gauge", "Rows of the run when it was whole.", ("outcome",)),
    Metric("voicemill_run_start_timestamp_seconds", "gauge", "When this process took up the run."),
    Metric("voicemill_run_success_timestamp_seconds", "gauge", "When the run was whole."),
    Metric("voicemill_written_timestamp_seconds", "gauge", "When this file was written."),
)
_KINDS = {metric.name: metric.kind for metric in METRICS}
_OF_WORK = {
    "frames": "voicemill_engine_frames_total",
    "slot_steps": "voicemill_engine_slot_steps_total",
    "prompt_tokens": "voicemill_prompt_tokens_total",
    "prefill_tokens": "voicemill_prefill_tokens_total",
}
_OF_LEVEL = {
    "engines": "voicemill_engines",
    "rows_waiting": "voicemill_rows_waiting",
    "device_bytes": "voicemill_device_bytes",
}


class Telemetry:
    """A run's metrics file; without a `file` nothing is written.

    Raises ConfigError for a name that no collector reads, StorageError where it cannot be written.
    """

    def __init__(self, file: str | None, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = file, clock
        self._lock = threading.Lock()
        self._done: Values = {}
        if file is not None:
            named = _FILE.fullmatch(file.rpartition("/")[2])
            if named is None:
                raise ConfigError(f"resources.metrics_file = {file!r}: must end in <name>.prom")
            self._pipeline = named["pipeline"]
            self._done["voicemill_run_start_timestamp_seconds", ()] = clock()
            self._write(self._done)

    @contextmanager
    def watching(self, read: Callable[[], Mapping[str, Any]], planned: Mapping[str, int]) -> Iterator[None]:
        """Writes what `read` gives (see `ProgressBoard.read_all`) every 15 s, and once more at the end."""
        if self._file is None:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(read, planned, stop), name="telemetry", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def count(self, metric: str, amount: int = 1) -> None:
        with self._lock:
            self._done = merged(self._done, {(metric, ()): amount})

    def finished(self, summary: Mapping[str, Any]) -> None:
        """The run is whole: its `summary.json`'s ok, failed and rejected, and when."""
        with self._lock:
            rows: Values = {
                ("voicemill_run_rows", (name,)): summary[name] for name in ("ok", "failed", "rejected")
            }
            self._done |= rows | {("voicemill_run_success_timestamp_seconds", ()): self._clock()}
            if self._file is not None:
                self._write(self._done)

    def _watch(
        self, read: Callable[[], Mapping[str, Any]], planned: Mapping[str, int], stop: threading.Event
    ) -> None:
        step: Values = {}
        try:
            ended = False
            while not ended:
                ended = stop.wait(_EVERY_S)
                step = step_values(read(), planned)
                with self._lock:
                    self._write(merged(self._done, step))
        except Exception:  # a run is worth more than its metrics, and its own error says what broke
            log.warning("no more metrics of this step are written", exc_info=True)
        with self._lock:  # a step's engines end with it
            lasting = {key: value for key, value in step.items() if key[0] not in _OF_LEVEL.values()}
            self._done = merged(self._done, lasting)

    def _write(self, values: Values) -> None:
        assert self._file is not None
        text = exposition(
            {**values, ("voicemill_written_timestamp_seconds", ()): self._clock()}, self._pipeline
        )
        folder, name = parent_uri(self._file), self._file.rpartition("/")[2]
        open_store(folder or ".").put(name, text.encode())  # in one step: a scrape never sees half of it


def step_values(board: Mapping[str, Any], planned: Mapping[str, int]) -> Values:
    """What a board (see `ProgressBoard.read_all`) says, as samples."""
    values: Values = {("voicemill_rows_planned", (stage,)): rows for stage, rows in planned.items()}
    for stage, counts in board["stages"].items():
        values["voicemill_rows_total", (stage, "ok")] = counts["rows"] - counts["failed"]
        values["voicemill_rows_total", (stage, "failed")] = counts["failed"]
        values["voicemill_audio_seconds_total", (stage,)] = counts["audio_s"]
    for stage, codes in board["failures"].items():
        values |= {("voicemill_failures_total", (stage, code)): count for code, count in codes.items()}
    for names, of in ((_OF_WORK, board["work"]), (_OF_LEVEL, board["levels"])):
        values |= {(names[name], ()): value for name, value in of.items()}
    return values


def merged(before: Values, step: Values) -> Values:
    """Counters add up over the steps of a run; gauges are those of the latest."""
    added = {
        key: value + (before.get(key, 0.0) if _KINDS[key[0]] == "counter" else 0.0)
        for key, value in step.items()
    }
    return before | added


def exposition(values: Values, pipeline: str) -> str:
    """Samples in Prometheus' text format; each also has the label `pipeline`."""
    lines = []
    for metric in METRICS:
        samples = sorted((labels, value) for (name, labels), value in values.items() if name == metric.name)
        if samples:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in samples:
            named = zip(("pipeline", *metric.labels), (pipeline, *labels), strict=True)
            pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in named)
            lines.append(f"{metric.name}{{{pairs}}} {float(value)!r}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
