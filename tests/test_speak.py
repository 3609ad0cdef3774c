"""A GPU that fails, in the engine or in the codec, takes its process with it once."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest
import ray

from pipeline import actors
from pipeline.errors import EngineFatalError
from pipeline.stages import decode_codes, generate_codes


class Exited(BaseException):
    """In the place of the process's end."""


def spoken_by(monkeypatch: pytest.MonkeyPatch, failing: object, *, anew: bool) -> None:
    def fail(*_: object) -> None:
        raise EngineFatalError("the device failed")

    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(failing, failing.__name__.rpartition(".")[2], fail)
    monkeypatch.setattr(actors.os, "_exit", end)
    context = SimpleNamespace(was_current_actor_reconstructed=anew)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    through = SimpleNamespace(through=lambda table, schema, work: work(table.to_pylist()) or table)
    speak = actors.Speak.__new__(actors.Speak)
    speak._service = speak._codec = speak._comments = speak._watermark = None
    speak._meter = SimpleNamespace(report=lambda: None)
    speak._generated = speak._decoded = through
    speak(pa.table({"x": pa.array([], pa.int64())}))


@pytest.mark.parametrize("stage", [generate_codes, decode_codes])
def test_a_dead_gpu_ends_the_process_and_a_second_time_the_run(
    monkeypatch: pytest.MonkeyPatch, stage: object
) -> None:
    with pytest.raises(Exited):
        spoken_by(monkeypatch, stage, anew=False)
    with pytest.raises(EngineFatalError, match="the device failed"):
        spoken_by(monkeypatch, stage, anew=True)
