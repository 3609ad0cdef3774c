from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import RunConfig, load_config
from pipeline.dataset.folder import RECORD
from pipeline.dubbing import project
from pipeline.errors import ConfigError, RunConflictError
from pipeline.identity import Identity, pinned_versions, resolve_identity, settings_of
from pipeline.narration import rounds as narration
from pipeline.run import config_of_run, is_run, look_at, open_run, read_run


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
        quality_model="none",
        settings=settings_of(config),
        versions=pinned_versions(),
    )


def test_a_run_is_come_back_to(tmp_path: Path) -> None:
    config = load_config(None, ["sampling.top_k=7", "resources.prompt_cache=/somewhere"])
    open_run(str(tmp_path / "r"), config, identity(config), "m.csv")
    open_run(str(tmp_path / "r"), config, identity(config), "other.csv")
    assert config_of_run(str(tmp_path / "r")) == config
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
    "assignment", ["sampling.temperature=0.5", "output.shard_rows=8", "model.cpu_threads=2"]
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
        look_at(str(tmp_path), identity())


def test_a_look_tells_what_files_can_tell(tmp_path: Path) -> None:
    uri = str(tmp_path / "r")
    unresolved = replace(identity(), device="auto", evaluator_devices="")
    assert not look_at(uri, unresolved)
    assert not (tmp_path / "r").exists(), "a look leaves nothing"
    open_run(uri, RunConfig(), identity(), "m.csv")
    assert look_at(uri, unresolved)
    with pytest.raises(RunConflictError, match="model was 'm@1', is 'm@2'"):
        look_at(uri, replace(unresolved, model="m@2"))
    with pytest.raises(RunConflictError, match="device was 'cpu', is 'cuda'"):
        look_at(uri, replace(unresolved, device="cuda"))
    (tmp_path / "r" / "run.json").write_text("{")
    with pytest.raises(RunConflictError, match=r"run\.json is damaged"):
        look_at(uri, unresolved)


@pytest.mark.parametrize("out", ["file", "file/run", "file/deep/run", "x" * 300])
def test_a_place_for_no_folder_is_told_at_once(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="name"):
        look_at(str(tmp_path / out), identity())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_bucket_that_is_not_there_is_told_at_once(s3: str) -> None:
    assert not look_at(f"{s3}/run", identity())
    with pytest.raises(ConfigError, match="no such bucket"):
        look_at(f"{s3}-not/run", identity())


def test_names_become_revisions_without_torch() -> None:
    code = (
        "import sys; from pipeline.config import RunConfig; from pipeline.identity import resolve_identity; "
        "import jobs.clone_voices, jobs.score_audio; "
        "print(resolve_identity('speak', RunConfig()).model, {'torch', 'ray', 'transformers'} & {*sys.modules})"
    )
    resolve_identity("speak", RunConfig())  # builds the stand-in if need be, which takes torch
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "@" in said
    assert said.endswith("set()\n")


@pytest.mark.parametrize(
    ("mark", "runs"),
    [(RECORD, ["run"]), (narration.MARK, ["runs/0", "runs/1"]), (project.MARK, ["runs/1", "runs/2"])],
)
def test_the_folder_of_a_job_names_its_runs(tmp_path: Path, mark: str, runs: list[str]) -> None:
    (tmp_path / mark).write_text("{}")
    for run in runs:
        open_run(f"{tmp_path}/{run}", RunConfig(), identity(), "m.csv")
    with pytest.raises(RunConflictError) as caught:
        read_run(str(tmp_path))
    said = ", ".join(f"{tmp_path}/{run}" for run in runs)
    assert str(caught.value) == f"{tmp_path} holds no run (no run.json); name one that lies inside: {said}"
    (tmp_path / mark).unlink()
    with pytest.raises(RunConflictError, match="name the --out of a `voicemill run`"):
        read_run(str(tmp_path))


def test_no_secret_of_the_manifest_s_address_is_kept(tmp_path: Path) -> None:
    open_run(str(tmp_path / "r"), RunConfig(), identity(), "https://u:pw@host/m.csv?sig=SECRET")
    assert read_run(str(tmp_path / "r"))["manifest"] == "https://host/m.csv"
    assert "SECRET" not in json.dumps(read_run(str(tmp_path / "r")))
