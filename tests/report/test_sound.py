from __future__ import annotations

import base64
from pathlib import Path

import pytest
from small_runs import failed, judged, spoken, take, tone, voice_file, write_run

from pipeline.report.rows import read_rows, worst_first
from pipeline.report.sound import Sounds, gather, link, media_type
from pipeline.storage import open_store


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"fLaC\0", "audio/flac"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0WEBP", None),
        (b"OggS\0", "audio/ogg"),
        (b"ID3\4", "audio/mpeg"),
        (b"\xff\xfb\x90\0", "audio/mpeg"),
        (b"\xff\xd8\xff\xe0", None),  # a JPEG
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"root:x:0:0", None),
        (b"", None),
    ],
)
def test_only_sound_is_taken_for_sound(data: bytes, kind: str | None) -> None:
    assert media_type(data) == kind


@pytest.mark.parametrize(
    ("folder", "target", "address"),
    [
        ("/runs/a", "/runs/a/audio/x.flac", "./audio/x.flac"),
        ("/reports", "/runs/a/audio/x y#1.flac", "../runs/a/audio/x%20y%231.flac"),
        ("/runs/a", "/runs/a/javascript:alert(1).flac", "./javascript%3Aalert%281%29.flac"),
        ("s3://b/run", "s3://b/run/audio/x.flac", "./audio/x.flac"),
        ("s3://b/run", "s3://b/running/x.flac", None),
        ("/reports", "s3://b/run/audio/x.flac", None),
        ("s3://b/run", "/voices/x.flac", None),
        ("/reports", "https://host/x.flac", None),
    ],
)
def test_links_are_relative_or_none(folder: str, target: str, address: str | None) -> None:
    assert link(folder, target) == address


@pytest.fixture
def run(tmp_path: Path) -> str:
    """Rows 1 to 4: the higher, the worse, and the last has failed. Two share a voice, one has a bad one."""
    anna, secret = voice_file(tmp_path, "anna"), tmp_path / "passwd"
    secret.write_text("root:x:0:0")
    rows = [
        spoken(1, "a b c d", "a b c d", prompt_audio=anna),
        spoken(2, "a b c d", "a b c", prompt_audio=anna),
        spoken(3, "a b c d", "a b", prompt_audio=str(secret)),
        failed(4, prompt_audio=anna),
    ]
    return write_run(str(tmp_path / "run"), rows)


def gathered(uri: str, folder: str, mode: str, max_bytes: int) -> Sounds:
    return gather(open_store(uri), worst_first(read_rows(uri)), folder, mode, max_bytes)  # type: ignore[arg-type]


def test_all_that_fits_is_embedded_and_a_voice_once(run: str, tmp_path: Path) -> None:
    sounds = gathered(run, str(tmp_path), "embed", 2**20)
    assert sounds.results == {3: {"clip": "clip-0"}, 2: {"clip": "clip-1"}, 1: {"clip": "clip-3"}}
    anna = str(tmp_path / "anna.flac")
    assert sounds.references[anna] == {"clip": "clip-2"}
    assert base64.b64decode(sounds.clips[0].base64) == tone(0.5, 230)
    assert base64.b64decode(sounds.clips[2].base64) == Path(anna).read_bytes()
    assert sounds.unreadable_references == 1, "a file that is no sound never comes into a page"
    assert not any("cm9vd" in clip.base64 for clip in sounds.clips)
    assert sounds.embedded_bytes == sum(len(clip.base64) for clip in sounds.clips)


def test_the_worst_are_embedded_where_not_all_fit(run: str, tmp_path: Path) -> None:
    room = len(base64.b64encode(tone(0.5, 230)))
    sounds = gathered(run, str(tmp_path / "elsewhere"), "embed", room)
    assert sounds.results == {3: {"clip": "clip-0"}}
    assert sounds.embedded_bytes == room
    assert sounds.references[str(tmp_path / "anna.flac")] == {"href": "../anna.flac"}, (
        "a link is the next best"
    )


def test_links_go_to_files_that_are_there(run: str, tmp_path: Path) -> None:
    open_store(run).put("audio/utt-2.flac", tone(0.5))
    sounds = gathered(run, str(tmp_path), "link", 0)
    assert sounds.results == {2: {"href": "./run/audio/utt-2.flac"}}
    assert (sounds.clips, sounds.linked) == ([], True)
    assert gathered(run, str(tmp_path), "none", 2**20) == Sounds()


def test_rejected_rows_are_heard_from_their_own_log(tmp_path: Path) -> None:
    rows = [
        judged(spoken(1, "a b", "c d"), "rejected", [take(0, "wer: 1 is over 0.3", wer=1.0)]),
        spoken(2, "a b", "a c"),
    ]
    uri = write_run(str(tmp_path / "run"), rows)
    sounds = gathered(uri, str(tmp_path), "embed", 2**20)
    assert sounds.results == {1: {"clip": "clip-0"}, 2: {"clip": "clip-1"}}
    assert base64.b64decode(sounds.clips[0].base64) == tone(0.5, 210)
    open_store(uri).put("audio/utt-1.flac", tone(0.5))  # whatever that is, it is not the rejected take
    assert gathered(uri, str(tmp_path), "link", 0).results == {}
    open_store(uri).put("rejected/audio/utt-1.flac", tone(0.5))
    assert gathered(uri, str(tmp_path), "link", 0).results == {1: {"href": "./run/rejected/audio/utt-1.flac"}}
