"""`voicemill narrate` and `redo` as they are called; what they do is the job's, and tested there."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from jobs import narration as job
from pipeline.commands.narrate import narrate, redo
from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.narration.options import NarrationOptions, Pauses

app = typer.Typer()
app.command()(narrate)
app.command()(redo)
REPORT: dict[str, Any] = {
    "chapters": [{"number": 1, "title": "One", "segments": 2, "missing": 0, "start_s": 0.0}],
    "missing": [], "files": ["t.m4b"], "length_s": 61.5,
    "made_by": ["voicemill-mini@1"], "heard_by": ["demo:ear"],
    "segments": [{"id": "ch01-0001", "wer": 0.8}, {"id": "ch01-0002", "wer": 0.2}, {"id": "ch01-0003", "wer": None}],
    "loudness": {"integrated_lufs": -19.02, "true_peak_dbtp": -3.1},
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    def record(*given: Any, **named: Any) -> dict[str, Any]:
        seen.append((given, named))
        return REPORT

    monkeypatch.setattr(job, "narrate", record)
    monkeypatch.setattr(job, "redo", record)
    monkeypatch.setattr(job, "kept_config", lambda out: RunConfig())
    return seen


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_one_voice(calls: list[Any]) -> None:
    done = call("narrate", "b.txt", "--out", "o", "--ref", "a.wav", "--ref-text", "Hi.", "--format", "mp3", "--format",
                "m4b", "--lufs", "-16", "--pause", "scene=3", "--missing", "stop", "--digits", "--set", "sampling.seed=5")  # fmt: skip
    assert done.exit_code == 0, done.output
    [((book, out, cast, lexicon, options, config, _), named)] = calls
    assert (book, out, lexicon, config.sampling.seed, named) == ("b.txt", "o", {}, 5, {"take_over": False})
    voice = cast.voices.by_name["default"]
    assert (voice.ref, voice.ref_text, cast.base_uri) == ("a.wav", "Hi.", "")
    assert options == NarrationOptions(
        max_segment_s=4.0,
        numbers=False,
        formats=("mp3", "m4b"),
        lufs=-16,
        pauses=Pauses(scene=3),
        missing="stop",
    )
    assert "0:01:01.500, -19.0 LUFS" in done.output
    assert "WER       0.50 mean of 2 segments (heard by demo:ear)" in done.output
    assert "1 segment with more than half of the words wrong, such as ch01-0001 0.80" in done.output
    assert "note: voicemill-mini is a small model" in done.output


def test_context_and_long_segments_are_for_models_that_have_learned_them(
    calls: list[Any], tmp_path: Path
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder, config in ((mine, '{"voicemill_name": "voicemill-mini"}'), (other, "{}")):
        folder.mkdir()
        (folder / "config.json").write_text(config)
    asked = (
        ("mini", ()),
        (str(mine), ()),
        (str(other), ()),
        ("bosonai/higgs-audio-v2-generation-3B-base", ()),
        ("mini", ("--context", "3", "--max-segment-s", "9")),
    )
    for checkpoint, more in asked:
        done = call(
            "narrate",
            "b.txt",
            "--out",
            "o",
            "--ref",
            "a.wav",
            "--set",
            f"model.checkpoint={checkpoint}",
            *more,
        )
        assert done.exit_code == 0, done.output
    assert [given[4].context for given, _ in calls] == [0, 0, 2, 2, 3]
    assert [given[4].max_segment_s for given, _ in calls] == [4, 4, 15, 15, 9]


def test_voices_and_lexicon(calls: list[Any], tmp_path: Path) -> None:
    (tmp_path / "v.toml").write_text("[default]\nref = 'a.wav'\n")
    (tmp_path / "l.toml").write_text("a = 'b'\n")
    done = call(
        "narrate",
        "b.txt",
        "-o",
        "o",
        "--voices",
        str(tmp_path / "v.toml"),
        "--lexicon",
        str(tmp_path / "l.toml"),
    )
    assert done.exit_code == 0, done.output
    [((_, _, cast, lexicon, *_), _)] = calls
    assert cast.base_uri == str(tmp_path / "v.toml")
    assert lexicon == {"": {"a": "b"}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["b.txt", "-o", "o"], "--ref"),
        (["b.txt", "-o", "o", "--ref", "a", "--voices", "v"], "--voices"),
        (["b.txt", "-o", "o", "--voices", "v", "--ref-text", "x"], "--ref-text"),
        (["b.txt", "-o", "o", "--voices", "v", "--consent-id", "x"], "--consent-id"),
        (["b.txt", "-o", "o", "--ref", "a", "--format", "avi"], "--format avi"),
        (["b.txt", "-o", "o", "--ref", "a", "--missing", "ignore"], "--missing"),
        (["b.txt", "-o", "o", "--ref", "a", "--lexicon", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_bad_usage(calls: list[Any], words: list[str], said: str) -> None:
    done = call("narrate", *words)
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)
    assert not calls


def test_missing_segments_are_exit_code_1(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REPORT, "missing", [{"id": "ch01-0001", "why": "failed: x: y", "written": "Hello."}])
    done = call("redo", "o", "ch01-0001", "--missing")
    assert done.exit_code == 1
    assert "ch01-0001: failed: x: y: Hello." in done.output
    [((out, ids, _, _), named)] = calls
    assert (out, ids, named) == ("o", ["ch01-0001"], {"missing": True, "take_over": False})


def test_redo_keeps_its_settings(calls: list[Any]) -> None:
    assert isinstance(call("redo", "o", "x", "--set", "sampling.seed=3").exception, ConfigError)
    assert call("redo", "o", "x", "--set", "resources.num_cpus=1").exit_code == 0


def test_the_pauses_told_are_the_defaults() -> None:
    [told] = [
        parameter.help
        for command in typer.main.get_group(app).commands.values()
        for parameter in command.params
        if parameter.name == "pause"
    ]
    assert {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+\d|\d)", told)} == asdict(
        Pauses()
    )
