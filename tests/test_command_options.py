"""What commands that go on with a run keep of it, and what `python -m jobs.NAME` understands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jobs import clone_voices as job
from pipeline import cli
from pipeline.command_options import settings_of
from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError
from pipeline.prompt_cache import cache_uri
from pipeline.reported import reported
from pipeline.storage import open_store

ENDED = {"failed": 0, "rejected": 0}


@pytest.fixture
def prepared(tmp_path: Path) -> str:
    """As far as its settings go: `run.json` of a run with a cache of its own."""
    settings = load_config(None, ["sampling.top_k=7", f"resources.prompt_cache={tmp_path}/voices"]).to_dict()
    record = {"resources": settings.pop("resources"), "settings": settings}
    open_store(f"{tmp_path}/run").put("run.json", json.dumps(record).encode())
    return f"{tmp_path}/run"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The settings that jobs are asked for; nothing is done."""
    found: list[RunConfig] = []

    def resume(out: str, config: RunConfig, *_args: object, **_options: object) -> dict[str, int]:
        found.append(config)
        return ENDED

    def clone_voices(
        manifest: str, out: str, config: RunConfig, *_args: object, **options: object
    ) -> dict[str, int]:
        assert (manifest, out) == ("m.csv", "out")
        assert (options["strict"], options["take_over"]) == (True, True)
        return resume(out, config)

    monkeypatch.setattr(job, "resume", resume)
    monkeypatch.setattr(job, "clone_voices", clone_voices)
    monkeypatch.setattr("pipeline.views.print_summary", lambda *_: None)
    return found


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", list(arguments))
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_generate_goes_on_with_the_resources_of_its_run(
    prepared: str, asked: list[RunConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert called(monkeypatch, "voicemill", "generate", prepared, "--set", "resources.engine_actors=2") == 0
    given = ["sampling.top_k=7", f"resources.prompt_cache={tmp_path}/voices", "resources.engine_actors=2"]
    assert asked == [load_config(None, given)]
    assert cache_uri(prepared, asked[0]) == f"{tmp_path}/voices", "where withdraw looks"


def test_generate_takes_the_settings_of_its_run_and_no_others(
    prepared: str, asked: list[RunConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, "voicemill", "generate", prepared, "--set", "sampling.top_k=7") == 0
    assert called(monkeypatch, "voicemill", "generate", prepared, "--set", "sampling.top_k=3") == 2
    assert "generate keeps the settings of its run; only [resources] may be given" in capfd.readouterr().err
    assert len(asked) == 1


def test_the_main_job_takes_a_job_file_and_bare_settings(
    asked: list[RunConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "job.toml").write_text("[sampling]\ntop_k = 3\nseed = 5\n")
    given = ["--config", f"{tmp_path}/job.toml", "--strict", "--take-over", "sampling.top_k=7"]
    monkeypatch.setattr(sys, "argv", ["clone_voices", "m.csv", "out", *given, "--set", "check.language=de"])
    assert job.main() == 0
    assert asked == [load_config(None, ["sampling.top_k=7", "sampling.seed=5", "check.language=de"])]


def test_ctrl_c_stays_one_in_a_job_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "clone_voices", interrupted)
    monkeypatch.setattr(sys, "argv", ["clone_voices", "m.csv", "out"])
    assert reported(job.main) == 3
    assert capfd.readouterr().err.splitlines()[-1] == "voicemill: stopped; the same command resumes from here"


def test_a_fault_in_a_job_file_is_said_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text("[output]\nshard_row = 3\n")
    with pytest.raises(ConfigError, match=r"^--config .*job\.toml: unknown setting output\.shard_row"):
        settings_of(path, ["model.slots=2"])
    path.write_text("[output]\nshard_rows = 3\n")
    with pytest.raises(ConfigError, match=r"^unknown setting output\.shard_row"):
        settings_of(path, ["output.shard_row=2"])
    assert settings_of(path, ["model.slots=2"]).output.shard_rows == 3
