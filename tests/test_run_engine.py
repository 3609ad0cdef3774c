from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.engine import model_files
from pipeline.errors import RunConflictError
from pipeline.identity import resolve_identity
from pipeline.run import Run
from pipeline.run_engine import agreed_slots, open_engine
from pipeline.storage import open_store


def run_in(folder: Path, *settings: str) -> Run:
    config = load_config(None, ["model.checkpoint=standin", "model.max_positions=128", *settings])
    return Run(open_store(str(folder)), config, resolve_identity("speak", config))


@pytest.mark.parametrize(("settings", "slots"), [([], 8), (["model.slots=3"], 3)])
def test_the_first_engine_says_how_many_slots(tmp_path: Path, settings: list[str], slots: int) -> None:
    run = run_in(tmp_path, *settings)
    engine = open_engine(run, "cpu")
    assert engine.num_slots == slots
    assert json.loads(run.store.get("engine.json")) == {"device": "cpu", "slots": slots}
    # on a machine that would take another number, and for a second take
    run.store.put("engine.json", b'{"device": "cpu", "slots": 5}')
    assert open_engine(run, "cpu").num_slots == open_engine(run.of_take(2), "cpu").num_slots == 5
    assert list(open_store(f"{run.uri}/takes").list()) == []


def test_of_two_that_begin_at_once_one_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_in(tmp_path)
    assert agreed_slots(run.of_take(1), 384, "H200") == agreed_slots(run, 384, "H200") == 384
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert agreed_slots(run, 32, "L4") == 384
    assert "was begun on H200, this is L4" in caplog.text


@pytest.mark.parametrize("record", [b"", b"[]", b'{"slots": 8}', b'{"slots": "many", "device": "cpu"}'])
def test_a_damaged_record_is_told(tmp_path: Path, record: bytes) -> None:
    run = run_in(tmp_path)
    run.store.put("engine.json", record)
    with pytest.raises(RunConflictError, match=r"engine\.json is damaged; restore it"):
        agreed_slots(run, 8, "cpu")


def test_a_workers_engine_reads_no_weights_for_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in(tmp_path)
    monkeypatch.setattr(model_files, "folder_revision", lambda _: pytest.fail("hashed"))
    assert open_engine(run, "cpu").checkpoint.id == run.identity.model


def test_the_engine_has_the_share_of_a_gpu_that_ray_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = []

    def room(where: object, share: float, weights: int) -> None:
        shares.append(share)

    monkeypatch.setattr("pipeline.engine.continuous_engine.room_bytes", room)
    run = run_in(tmp_path)
    open_engine(run, "cpu")
    greedy = replace(run.config.resources, engine_gpu_share=1.0)
    open_engine(replace(run, config=replace(run.config, resources=greedy)), "cpu")
    # of engine and codec; first for the slots, then for the voices
    assert shares == pytest.approx([0.8, 0.8, 1.0, 1.0])
