from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline import cli, flow, reported
from pipeline.config import RunConfig, config_from_dict, load_config
from pipeline.errors import ManifestError, StorageError

ROOT = Path(__file__).parents[1]
VOICE = ROOT / "manifests" / "voices" / "slt-1.flac"
COMMANDS = [
    "check",
    "run",
    "prepare",
    "generate",
    "score",
    "status",
    "results",
    "export",
    "report",
    "settings",
]


def voicemill(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> tuple[int, str, str]:
    """The console script in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["voicemill", *args])
    monkeypatch.setattr(cli, "out_console", cli.Console(width=400))
    monkeypatch.setattr(reported, "err_console", cli.Console(stderr=True, width=400))
    try:
        cli.main()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0
    out, err = capfd.readouterr()
    return code, out, err


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.csv"
    path.write_text(f"id,ref,ref_text,text\na,{VOICE},The ferry leaves.,Good evening.\n")
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0
    assert f"voicemill {command}" in result.output.split("Example:")[1]


def test_all_commands_are_listed() -> None:
    result = CliRunner().invoke(cli.app, ["--help"])
    assert all(command in result.output for command in COMMANDS)


def test_check_of_a_good_manifest(
    good: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = voicemill(capfd, monkeypatch, "check", good)
    assert code == 0
    assert "1 row, none bad; 1 voice;" in out


def test_check_of_the_demo_names_its_broken_row(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = voicemill(capfd, monkeypatch, "check", str(ROOT / "manifests" / "demo.csv"))
    assert code == 1
    assert "row 15 (broken-on-purpose): uri_not_found" in out
    assert "15 rows, 1 bad; 8 voices" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "nowhere.csv"], "nowhere.csv"),
        (["check", "GOOD", "--set", "sampling.tempratur=1"], "did you mean temperature?"),
        (["check", "GOOD", "--config", "nowhere.toml"], "--config nowhere.toml"),
        (["check", "GOOD", "--format", "xls"], "xls"),
        (["run", "GOOD", "--out", "TMP/out", "--set", "model.checkpoint=/no/such/model"], "/no/such/model"),
        (["status", "TMP"], "holds no run"),
        (["export", "TMP", "--to", "TMP/audio"], "holds no run"),
        (["check", "ftp://host/m.csv"], "ftp://host/m.csv"),
        (["generate", "TMP"], "holds no run"),
        (["results", "TMP"], "holds no run"),
        (["results", "TMP", "--all-columns"], "--format parquet"),
        (["check", "TMP"], "TMP"),
        (["check", "GOOD", "--config", "TMP"], "--config TMP"),
        (["check", "GOOD", "--format", "lst"], "none of its first 2 rows can be read"),
        (["run", "TMP/nowhere.csv", "--out", "TMP/out"], "TMP/nowhere.csv"),
        (["run", "GOOD", "--out", "GOOD"], "is not a folder"),
        (["run", "GOOD", "--out", "GOOD/deep/run"], "is not a folder"),
        (["run", "GOOD", "--out", "TMP"], "holds good.csv and no run"),
        (["prepare", "GOOD", "--out", ""], "cannot be written to"),
        (["score", "nowhere", "--out", "TMP/out"], "nowhere"),
        (["status", "GOOD"], "holds no run"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    arguments: list[str],
    says: str,
    good: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    *arguments, says = [a.replace("GOOD", good).replace("TMP", str(tmp_path)) for a in (*arguments, says)]
    code, _, err = voicemill(capfd, monkeypatch, *arguments)
    lines = [line for line in err.splitlines() if line.startswith("voicemill:")]
    assert code == 2
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in err


def test_markup_in_a_manifest_is_printed_as_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,ref,text\n[red]a[/red],[bold]x.flac,Hello.\n")
    code, out, _ = voicemill(capfd, monkeypatch, "check", str(path))
    assert code == 1
    assert "[red]a[/red]" in out
    assert "[bold]x.flac" in out


def test_a_run_that_breaks_off_says_so_in_one_line(
    good: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(resources: object) -> flow.Cluster:
        raise StorageError("s3://bucket/run: the store does not answer; check the endpoint")

    monkeypatch.setattr(flow, "start_ray", broken)
    code, _, err = voicemill(capfd, monkeypatch, "run", good, "--out", str(tmp_path / "out"))
    assert code == 3
    assert (
        err.strip().splitlines()[-1]
        == "voicemill: s3://bucket/run: the store does not answer; check the endpoint"
    )


def test_an_unforeseen_error_is_one_line_too(
    good: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(resources: object) -> flow.Cluster:
        raise RuntimeError("ray::Stage()\n  File 'x'\nKeyError: 'codes'")

    monkeypatch.setattr(flow, "start_ray", broken)
    code, _, err = voicemill(capfd, monkeypatch, "run", good, "--out", str(tmp_path / "out"))
    assert code == 3
    assert "broke off: RuntimeError: ray::Stage() File 'x' KeyError: 'codes'" in err
    assert len(err.strip().splitlines()) == 1


def test_ctrl_c_says_how_to_go_on(
    good: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(resources: object) -> flow.Cluster:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "start_ray", interrupted)
    code, _, err = voicemill(capfd, monkeypatch, "run", good, "--out", str(tmp_path / "out"))
    assert (code, err.strip()) == (3, "voicemill: stopped; the same command resumes from here")


def test_debug_may_stand_anywhere(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["voicemill", "check", "nowhere.csv", "--debug"])
    with pytest.raises(ManifestError):
        cli.main()


def test_jobs_report_as_the_command_line_does(tmp_path: Path) -> None:
    for arguments, says in (
        ([], "Usage: python -m jobs.clone_voices"),
        (["nowhere.csv", str(tmp_path)], "nowhere.csv"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "jobs.clone_voices", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_settings_are_a_job_file(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = voicemill(capfd, monkeypatch, "settings", "--set", "sampling.top_k=7")
    assert code == 0
    assert config_from_dict(tomllib.loads(out)) == load_config(None, ["sampling.top_k=7"])
    assert load_config(out.encode()) != RunConfig()


def test_version_and_debug(good: str) -> None:
    version = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("voicemill ")
    debug = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--debug", "check", "nowhere.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in debug.stderr
    assert debug.returncode != 0
