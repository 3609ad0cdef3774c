"""What a narration is asked with: voices, consents, title; and what it would be, shown beforehand."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from made_runs_of_books import BOOK, OPTIONS, Speaker, manifest, narrate, redo
from rich.console import Console

from jobs import narration as job
from pipeline.config import RunConfig, load_config
from pipeline.errors import ConfigError
from pipeline.narration.options import NarrationOptions
from pipeline.narration.voices import one_voice


def test_what_would_be_spoken_is_shown_and_nothing_written(tmp_path: Path, speaker: Speaker) -> None:
    (tmp_path / "book.md").write_text("# One\n\nMr. Hill paid $5.\n\nNothing else.\n\n# Two\n\nThe end.\n")
    book, options = str(tmp_path / "book.md"), NarrationOptions(title="The Bill", author="A. Hill")
    cast = job.Cast(one_voice(str(tmp_path / "anna.wav"), None), "")
    console = Console(record=True, width=80, file=open("/dev/null", "w"))  # noqa: SIM115
    with pytest.raises(ConfigError, match=r"^\[default\]: .*anna\.wav"):
        job.check(book, cast, {}, options, RunConfig(), console)
    (tmp_path / "anna.wav").write_bytes(b"any bytes")
    job.check(book, cast, {}, options, RunConfig(), console)
    lines = console.export_text().splitlines()
    assert "ch01-0002: Mr. Hill paid $5." in lines
    assert "           Mister Hill paid five dollars." in lines
    assert "The Bill by A. Hill: about " in "\n".join(lines)
    assert not any("Nothing else" in line for line in lines)
    assert speaker.spoken == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna.wav", "book.md"]


def test_a_title_and_an_author_of_the_job(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    report = narrate(tmp_path, options=NarrationOptions(max_segment_s=2, title="The Port", author="A. Hill"))
    assert len(speaker.spoken) == 1
    assert report["files"][0] == "the-port.m4b"
    with av.open(str(tmp_path / "out" / "the-port.m4b")) as container:
        assert (container.metadata["title"], container.metadata["artist"]) == ("The Port", "A. Hill")
    assert not (tmp_path / "out" / "the-harbor.m4b").exists()


def test_another_voice_is_another_narration_of_its_segments(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    (tmp_path / "ben.wav").write_bytes(b"other bytes")
    cast = job.Cast(one_voice(str(tmp_path / "ben.wav"), "Hello."), "")
    out, console = str(tmp_path / "out"), Console(quiet=True)
    job.narrate(str(tmp_path / "book.md"), out, cast, {}, OPTIONS, RunConfig(), console)
    assert len(speaker.spoken[1]) == 8


def test_consent_is_that_of_the_voice(tmp_path: Path, speaker: Speaker) -> None:
    (tmp_path / "book.md").write_text(BOOK)
    (tmp_path / "anna.wav").write_bytes(b"any bytes")
    out, console = str(tmp_path / "out"), Console(quiet=True)
    for consent in ("c-17", "c-17", "c-18"):  # another consent is asked for anew
        cast = job.Cast(one_voice(str(tmp_path / "anna.wav"), None, consent), "")
        job.narrate(str(tmp_path / "book.md"), out, cast, {}, OPTIONS, RunConfig(), console)
    rounds = [manifest(str(tmp_path / f"out/rounds/{number}.jsonl")) for number in range(2)]
    assert [[row["consent_id"] for row in rows] for rows in rounds] == [["c-17"] * 8, ["c-18"] * 8]
    assert not (tmp_path / "out/rounds/2.jsonl").exists()
    redo(tmp_path, "ch01-0003")
    assert [row["consent_id"] for row in manifest(str(tmp_path / "out/rounds/2.jsonl"))] == ["c-18"]


def test_narrations_kept_before_consents_are_read(tmp_path: Path, speaker: Speaker) -> None:
    narrate(tmp_path)
    mark = tmp_path / "out/narration.json"
    asked = json.loads(mark.read_text())
    asked["references"] = {voice: parts[:2] for voice, parts in asked["references"].items()}
    mark.write_text(json.dumps(asked))
    redo(tmp_path, "ch01-0003")
    assert [len(ids) for ids in speaker.spoken] == [8, 1]


def test_restricted_references(tmp_path: Path, speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    narrate(tmp_path)
    seen: list[list[str]] = []
    speak = job.clone_voices
    monkeypatch.setattr(
        job,
        "clone_voices",
        lambda m, o, config, c, **k: (seen.append(config.check.allowed_prefixes), speak(m, o, config, c)),
    )
    cast = job.Cast(one_voice("anna.wav", None), str(tmp_path / "voices.toml"))
    config = load_config(None, [f"check.allowed_prefixes={tmp_path}/"])
    job.narrate(
        str(tmp_path / "book.md"), str(tmp_path / "o2"), cast, {}, OPTIONS, config, Console(quiet=True)
    )
    assert seen == [[f"{tmp_path}/", f"{tmp_path}/o2/voices/"]]
    other = load_config(None, [f"check.allowed_prefixes={tmp_path}/elsewhere/"])
    with pytest.raises(ConfigError, match=r"^\[default\]: "):
        job.narrate(
            str(tmp_path / "book.md"), str(tmp_path / "o3"), cast, {}, OPTIONS, other, Console(quiet=True)
        )
