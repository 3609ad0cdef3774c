from __future__ import annotations

import base64
from pathlib import Path

from small_runs import spoken, tone, voice, voice_file, write_run

from pipeline.records import RESULT_ROW, Row, to_table
from pipeline.report.entries import entry_of
from pipeline.report.rows import read_rows
from pipeline.report.sound import gather
from pipeline.report.voices import references_of, voice_names, voices_of
from pipeline.storage import open_store


def row(*voices: Row, **values: object) -> Row:
    made = spoken(1, "a", "a", **values) | {"voices": list(voices) or None}
    return to_table([made], RESULT_ROW).to_pylist()[0]


def test_one_reference_is_told_as_ever() -> None:
    one = row(prompt_audio="v/anna.flac", prompt_text="Said.")
    assert (voices_of(one), voice_names(one), references_of(one)) == ([], ["anna"], ["v/anna.flac"])
    entry = entry_of(one)
    assert "voices" not in entry
    assert (entry["voice"], entry["prompt"]) == (["anna"], "Said.")


def test_every_voice_of_a_dialogue() -> None:
    talk = row(
        voice("v/anna.flac", "Said."),
        voice(description="slow"),
        voice("v/anna.flac"),
        prompt_audio="v/anna.flac",
    )
    assert voices_of(talk) == [
        {"speaker": "SPEAKER0", "name": "anna", "prompt": "Said."},
        {"speaker": "SPEAKER1", "description": "slow"},
        {"speaker": "SPEAKER2", "name": "anna"},
    ]
    assert voice_names(talk) == ["anna", "slow"]
    assert references_of(talk) == ["v/anna.flac", None, "v/anna.flac"]
    assert "prompt" not in entry_of(talk), "each voice has its own"


def test_what_was_heard_belongs_to_the_first_reference() -> None:
    """As pipeline/stages/pack_sample.py fills `prompt_text_heard`."""
    talk = row(voice(description="slow"), voice("ben.flac"), voice("cleo.flac"), prompt_text_heard="i am ben")
    assert [each.get("prompt") for each in voices_of(talk)] == [None, "i am ben", None]
    assert voices_of(talk)[1]["promptHeard"] is True


def test_a_described_voice() -> None:
    assert voices_of(row(voice(description="slow"))) == [{"description": "slow"}]
    named = row(voice(description="slow"), speaker="Dora")
    assert voices_of(named) == [{"name": "Dora", "description": "slow"}]
    assert (voice_names(named), references_of(named)) == (["Dora"], [None])


def test_every_reference_of_a_dialogue_is_embedded_or_linked(tmp_path: Path) -> None:
    anna, ben = voice_file(tmp_path, "anna"), voice_file(tmp_path, "ben", 300.0)
    talk = spoken(1, "a", "a", prompt_audio=anna, voices=[voice(anna), voice(ben), voice(description="slow")])
    uri = write_run(str(tmp_path / "run"), [talk])
    rows = read_rows(uri)
    embedded = gather(open_store(uri), rows, str(tmp_path), "embed", 2**20)
    assert embedded.references == {anna: {"clip": "clip-1"}, ben: {"clip": "clip-2"}}
    assert base64.b64decode(embedded.clips[2].base64) == tone(1.5, 300.0)
    linked = gather(open_store(uri), rows, str(tmp_path), "link", 0)
    assert linked.references == {anna: {"href": "./anna.flac"}, ben: {"href": "./ben.flac"}}
