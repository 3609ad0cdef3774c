"""The engine thread, with an engine of known answers: one frame a step in two slots."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.engine.base import GenerationItem
from pipeline.engine.service import EngineService
from pipeline.errors import EngineFatalError, RowError
from pipeline.records import GeneratedCodes

SLOTS = 2


class Counting:
    """Row `u<n>` takes n steps; `bad` is refused; `never` does not end; `fatal` breaks the engine."""

    id = "counting"

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.line: list[list] = []
        self.batches: list[int] = []
        self.cancelled: list[int] = []
        self.most_at_once = 0

    @property
    def speaking(self) -> list[int]:
        return [ticket for ticket, *_ in self.line[:SLOTS]]

    def add(self, item: GenerationItem, batch: int = 0) -> int:
        if item.utterance_id == "bad":
            raise RowError("prompt_too_long", "no room")
        if item.utterance_id == "odd":
            raise ValueError("nobody thought of it")
        self.batches.append(batch)
        steps = int(item.utterance_id[1:]) if item.utterance_id[1:].isdigit() else 10**9
        self.line.append([len(self.batches), item, steps])
        self.most_at_once = max(self.most_at_once, len(self.line))
        return len(self.batches)

    def advance(self):
        if self.gate is not None:
            self.gate.wait()
        if any(item.utterance_id == "fatal" for _, item, _ in self.line):
            raise RuntimeError("CUDA error: gone")
        for row in self.line[:SLOTS]:
            row[2] -= 1
        done = [row for row in self.line if row[2] <= 0]
        self.line = [row for row in self.line if row[2] > 0]
        codes = np.zeros((8, 1), np.uint16)
        return [
            (ticket, GeneratedCodes(item.utterance_id, codes, "eos", item.seed)) for ticket, item, _ in done
        ]

    def cancel(self, ticket: int) -> bool:
        self.cancelled.append(ticket)
        self.line = [row for row in self.line if row[0] != ticket]
        return True


def items(*names: str) -> list[GenerationItem]:
    return [GenerationItem(name, None, seed) for seed, name in enumerate(names)]  # type: ignore[arg-type]


def names(spoken) -> list[str]:
    return [row.code if isinstance(row, RowError) else row.utterance_id for row in spoken]


def test_rows_come_back_in_order_with_a_fault_in_its_place():
    service = EngineService(Counting(), max_rows=8, deadline_s=60)
    assert names(service.speak(items("u9", "u1", "bad", "u5"))) == ["u9", "u1", "prompt_too_long", "u5"]
    assert names(service.speak([])) == []
    service.close()


def test_callers_share_the_engine_and_keep_their_own_rows():
    engine = Counting(gate := threading.Event())
    service = EngineService(engine, max_rows=100, deadline_s=60)
    calls = [[f"u{1 + (7 * call + row) % 13}" for row in range(10)] for call in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(service.speak, items(*call)) for call in calls]
        while len(engine.line) < SLOTS:
            pass
        gate.set()
        assert [names(answer.result()) for answer in answers] == calls
    assert sorted(set(engine.batches)) == [0, 1, 2, 3]
    service.close()


def test_no_more_rows_are_taken_in_than_allowed():
    engine = Counting()
    service = EngineService(engine, max_rows=3, deadline_s=60)
    assert len(service.speak(items(*["u2"] * 20))) == 20
    assert engine.most_at_once <= 3
    service.close()


def test_a_row_past_its_deadline_fails_alone_and_leaves_its_slot():
    engine = Counting()
    service = EngineService(engine, max_rows=8, deadline_s=0.05)
    # the last two wait for a slot longer than the deadline, which is no fault of theirs
    spoken = service.speak(items("never", "never", "u1", "u2"))
    assert names(spoken) == ["generation_timeout", "generation_timeout", "u1", "u2"]
    assert "0.05 s" in str(spoken[0])
    assert engine.cancelled == [1, 2]
    service.close()


def test_a_failed_engine_fails_all_callers_now_and_later():
    engine = Counting(gate := threading.Event())
    service = EngineService(engine, max_rows=8, deadline_s=60)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(service.speak, items(*call)) for call in (["u5"], ["fatal"])]
        while len(engine.batches) < 1 or len(engine.line) + len(service._arrived) < 2:
            pass
        gate.set()
        for answer in answers:
            with pytest.raises(EngineFatalError, match="CUDA error: gone"):
                answer.result()
    with pytest.raises(EngineFatalError, match="CUDA error: gone"):
        service.speak(items("u1"))


@pytest.mark.timeout(60)
def test_what_nobody_thought_of_in_taking_a_row_in_leaves_no_caller_waiting():
    service = EngineService(Counting(), max_rows=8, deadline_s=60)
    with pytest.raises(EngineFatalError, match="nobody thought of it"):
        service.speak(items("u3", "odd", "u1"))
