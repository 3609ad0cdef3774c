from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import RunConfig, load_config
from pipeline.errors import RunConflictError
from pipeline.run import Identity, config_of_run, is_run, open_run, pinned_versions, read_run, settings_of


def identity(config: RunConfig = RunConfig()) -> Identity:  # noqa: B008
    return Identity(
        task="speak",
        model="m@1",
        codec="c@1",
        engine="e/1",
        device="cpu",
        evaluator_devices="cpu, cpu",
        transcriber="t@1",
        speaker_encoder="s@1",
        settings=settings_of(config),
        versions=pinned_versions(),
    )


def test_a_run_is_come_back_to(tmp_path: Path) -> None:
    config = load_config(None, ["sampling.top_k=7"])
    open_run(str(tmp_path / "r"), config, identity(config), "m.csv")
    open_run(str(tmp_path / "r"), config, identity(config), "other.csv")
    assert config_of_run(str(tmp_path / "r"), config.resources) == config
    assert is_run(str(tmp_path / "r"))
    assert not is_run(str(tmp_path))
    assert not is_run("https://example.org/m.csv")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "m@2"}, "model was 'm@1', is 'm@2'"),
        ({"transcriber": "t@2"}, "transcriber was 't@1', is 't@2'"),
        ({"device": "cuda"}, "device was 'cpu', is 'cuda'"),
        ({"engine": "e/2"}, "engine was 'e/1', is 'e/2'"),
    ],
)
def test_another_make_is_refused_by_name(tmp_path: Path, change: dict[str, str], says: str) -> None:
    open_run(str(tmp_path / "r"), RunConfig(), identity(), "m.csv")
    with pytest.raises(RunConflictError, match=says):
        open_run(str(tmp_path / "r"), RunConfig(), replace(identity(), **change), "m.csv")


@pytest.mark.parametrize(
    "assignment", ["output.audio_files=true", "resources.num_cpus=3", "model.checkpoint=/elsewhere/the/same"]
)
def test_what_changes_no_result_may_change(tmp_path: Path, assignment: str) -> None:
    open_run(str(tmp_path / "r"), RunConfig(), identity(), "m.csv")
    other = load_config(None, [assignment])
    open_run(str(tmp_path / "r"), other, identity(other), "m.csv")


@pytest.mark.parametrize(
    "assignment", ["sampling.temperature=0.5", "output.shard_rows=8", "model.batch_size=4"]
)
def test_what_changes_results_may_not(tmp_path: Path, assignment: str) -> None:
    open_run(str(tmp_path / "r"), RunConfig(), identity(), "m.csv")
    other = load_config(None, [assignment])
    with pytest.raises(RunConflictError, match=assignment.partition("=")[0].replace(".", r"\.")):
        open_run(str(tmp_path / "r"), other, identity(other), "m.csv")


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "anna.flac").write_bytes(b"x")
    with pytest.raises(RunConflictError, match=r"holds data/anna\.flac and no run"):
        open_run(str(tmp_path), RunConfig(), identity(), "m.csv")


def test_no_secret_of_the_manifest_s_address_is_kept(tmp_path: Path) -> None:
    open_run(str(tmp_path / "r"), RunConfig(), identity(), "https://u:pw@host/m.csv?sig=SECRET")
    assert read_run(str(tmp_path / "r"))["manifest"] == "https://host/m.csv"
    assert "SECRET" not in json.dumps(read_run(str(tmp_path / "r")))
