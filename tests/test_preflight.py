from __future__ import annotations

import math
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import soundfile
from manifest_faults import build_fault_manifest, write_csv

from pipeline.config import load_config
from pipeline.errors import ConfigError, ManifestError
from pipeline.preflight import Preflight
from pipeline.records import PLANNED_ROW, Row, to_table

VOICES = Path(__file__).parents[1] / "manifests" / "voices"


def rows_of(manifest: str, *settings: str, task: str = "speak") -> tuple[list[Row], Preflight]:
    preflight = Preflight(manifest, load_config(None, settings), task=task)
    return list(preflight.rows()), preflight


def test_every_fault_is_found_and_every_row_can_be_planned(tmp_path: Path) -> None:
    manifest, expected = build_fault_manifest(tmp_path)
    rows, preflight = rows_of(str(manifest))
    assert {row["row"]: row["error_code"] for row in rows} == expected
    assert to_table(rows, PLANNED_ROW).num_rows == len(expected)
    assert preflight.report.rows == len(expected)
    assert preflight.report.bad_rows == sum(code is not None for code in expected.values())
    assert len({row["utterance_id"] for row in rows}) == len(rows)


def test_text_and_reference_faults_of_one_row_are_told_together(tmp_path: Path) -> None:
    [row], _ = rows_of(
        write_csv(tmp_path / "m.csv", [{"ref": "gone.flac", "text": "...", "language": "xx-nowhere"}])
    )
    assert row["failed_stage"] == "check_request"
    for code in ("text_unspeakable", "bad_language", "uri_not_found"):
        assert code in row["error_message"]


@pytest.mark.parametrize(("format", "code"), [("jsonl", "bad_json"), ("lst", "bad_row")])
def test_a_file_of_another_format_is_told_once(tmp_path: Path, format: str, code: str) -> None:
    manifest = write_csv(tmp_path / "m.csv", [{"ref": "a.flac", "text": "Hello."}] * 3)
    with pytest.raises(ManifestError, match=rf"none of its first 4 rows can be read \({code}.*--format"):
        list(Preflight(manifest, load_config(None, []), format=format).rows())


def test_one_readable_row_makes_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"ref": \n{"ref": "gone.flac", "text": "Hello."}\n')
    rows, _ = rows_of(str(path))
    assert [row["error_code"] for row in rows] == ["bad_json", "uri_not_found"]


def test_references_are_relative_to_the_manifest_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.flac").write_bytes((VOICES / "slt-1.flac").read_bytes())
    (tmp_path / "v" / "copy.flac").write_bytes((VOICES / "slt-1.flac").read_bytes())
    manifest = write_csv(
        tmp_path / "m.csv",
        [
            {"id": "1", "ref": "v/a.flac", "ref_text": "x", "text": "One."},
            {"id": "2", "ref": "v/a.flac", "ref_text": "x", "text": "Two."},
            {"id": "3", "ref": "v/copy.flac", "ref_text": "x", "text": "Three."},
            {"id": "4", "ref": "v/a.flac", "ref_text": "other", "text": "Four."},
        ],
    )
    import pipeline.preflight as module

    read: list[str] = []
    load = module.load_prompt
    monkeypatch.setattr(module, "load_prompt", lambda uri, *rest: read.append(uri) or load(uri, *rest))
    rows, preflight = rows_of(manifest)
    list(preflight.rows())
    assert sorted(read) == [str(tmp_path / "v" / "a.flac"), str(tmp_path / "v" / "copy.flac")]
    ids = [row["prompt_id"] for row in rows]
    assert ids[0] == ids[1] == ids[2] != ids[3], "a voice is its audio and its transcript, not its path"
    assert len(preflight.report.voices) == 2
    assert all(row["prompt_audio"].startswith(str(tmp_path)) for row in rows)


def test_seeds_follow_ids_not_places(tmp_path: Path) -> None:
    rows = [{"id": name, "ref": str(VOICES / "slt-1.flac"), "text": "Hello."} for name in ("a", "b")]
    forward, _ = rows_of(write_csv(tmp_path / "1.csv", rows))
    backward, _ = rows_of(write_csv(tmp_path / "2.csv", rows[::-1]))
    assert {r["utterance_id"]: r["seed"] for r in forward} == {r["utterance_id"]: r["seed"] for r in backward}
    other, _ = rows_of(write_csv(tmp_path / "1.csv", rows), "sampling.seed=1")
    assert forward[0]["seed"] != other[0]["seed"]


def test_scoring_needs_audio_and_no_reference(tmp_path: Path) -> None:
    manifest = write_csv(
        tmp_path / "m.csv", [{"audio": "said.wav", "text": "Hello."}, {"audio": "", "text": "Hello."}]
    )
    rows, _ = rows_of(manifest, task="score")
    assert rows[0]["error_code"] is None
    assert rows[0]["audio_uri"] == str(tmp_path / "said.wav")
    assert rows[1]["error_code"] == "missing_audio"


def test_ground_truths_are_looked_at_as_references_are(tmp_path: Path, serve) -> None:
    class Voice(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((VOICES / "slt-1.flac").read_bytes())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    for name, samples in (("quiet", [0.0] * 160), ("broken", [math.nan] * 16_000)):
        soundfile.write(tmp_path / f"{name}.wav", np.array(samples, np.float32), 16_000, subtype="FLOAT")
    (tmp_path / "page.flac").write_text("<html>")
    voice = {"ref": str(VOICES / "slt-1.flac"), "ref_text": "x", "text": "Hello."}
    expected = {
        str(VOICES / "slt-1.flac"): None,
        "": None,
        "quiet.wav": None,  # 10 ms of silence: nothing to compare with, and no reason not to speak
        "gone.flac": "uri_not_found",
        "page.flac": "audio_unreadable",
        "broken.wav": "audio_nan",
        f"{serve(Voice)}/a.flac": "uri_address_not_allowed",
    }
    manifest = write_csv(
        tmp_path / "m.csv",
        [{"id": str(i), "ground_truth": said, **voice} for i, said in enumerate(expected)],
    )
    rows, _ = rows_of(manifest)
    assert dict(zip(expected, (row["error_code"] for row in rows), strict=True)) == expected
    assert all(row["error_message"].startswith("ground truth: ") for row in rows if row["error_code"])
    ids = [row["ground_truth_id"] for row in rows]
    assert ids[0] not in {ids[2], rows[0]["prompt_id"]}, "the same file is another prompt as a reference"
    assert ids[1] is None
    assert rows[0]["ground_truth_audio"] == str(VOICES / "slt-1.flac")
    too_large, _ = rows_of(manifest, "check.max_prompt_bytes=300")
    assert too_large[6]["error_code"] == "uri_too_large"
    limited, _ = rows_of(manifest, "check.max_prompt_s=2.9", "check.min_prompt_s=2.8")
    assert "ground truth" not in (limited[0]["error_message"] or ""), "it has limits of its own"


def test_a_row_says_what_is_wrong_with_both_of_its_recordings(tmp_path: Path) -> None:
    manifest = write_csv(tmp_path / "m.csv", [{"ref": "a.flac", "ground_truth": "b.flac", "text": "Hello."}])
    [row], _ = rows_of(manifest)
    assert "reference: " in row["error_message"]
    assert "ground truth: " in row["error_message"]


def test_limits_are_settings(tmp_path: Path) -> None:
    manifest = write_csv(tmp_path / "m.csv", [{"ref": str(VOICES / "slt-1.flac"), "text": "Hello there."}])
    assert rows_of(manifest, "check.max_prompt_s=2")[0][0]["error_code"] == "audio_too_long"
    assert rows_of(manifest, "check.min_prompt_s=20")[0][0]["error_code"] == "audio_too_short"
    assert rows_of(manifest, "check.max_text_chars=5")[0][0]["error_code"] == "text_too_long"
    assert rows_of(manifest, "check.max_prompt_bytes=99")[0][0]["error_code"] == "uri_too_large"


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nothing\.csv"):
        rows_of(str(tmp_path / "nothing.csv"))


def test_what_rows_may_name_is_a_setting(tmp_path: Path) -> None:
    voice = str(VOICES / "slt-1.flac")
    manifest = write_csv(
        tmp_path / "m.csv",
        [{"ref": voice, "text": "Hello."}, {"ref": "https://example.org/a.flac", "text": "Hello."}],
    )
    rows, _ = rows_of(manifest, f"check.allowed_prefixes={VOICES}")
    assert [row["error_code"] for row in rows] == [None, "uri_prefix_not_allowed"]
    rows, _ = rows_of(manifest, f"check.allowed_prefixes={tmp_path},https://other.example/")
    assert [row["error_code"] for row in rows] == ["uri_prefix_not_allowed"] * 2
    scored = write_csv(tmp_path / "s.csv", [{"audio": "/etc/passwd", "text": "Hello."}])
    rows, _ = rows_of(scored, f"check.allowed_prefixes={tmp_path}", task="score")
    assert rows[0]["error_code"] == "uri_prefix_not_allowed"


def test_servers_of_this_machine_are_read_only_where_that_is_allowed(tmp_path: Path, serve) -> None:
    class Voice(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((VOICES / "slt-1.flac").read_bytes())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    manifest = write_csv(tmp_path / "m.csv", [{"ref": f"{serve(Voice)}/a.flac", "text": "Hello."}])
    assert rows_of(manifest)[0][0]["error_code"] == "uri_address_not_allowed"
    assert rows_of(manifest, "check.allow_private_addresses=true")[0][0]["error_code"] is None


def test_consent_is_asked_for_where_the_job_says_so(tmp_path: Path) -> None:
    row = {"ref": str(VOICES / "slt-1.flac"), "text": "Hello."}
    manifest = write_csv(
        tmp_path / "m.csv",
        [{"id": str(i), "consent_id": name, **row} for i, name in enumerate(["c-1", "c-2", "", "c 3"])],
    )
    (tmp_path / "revoked.txt").write_text("c-2\n")
    revoked = f"consent.revoked={tmp_path / 'revoked.txt'}"
    for settings, codes in (
        ([], [None] * 4),
        (["consent.required=true"], [None, None, "consent_missing", "bad_consent_id"]),
        ([revoked], [None, "consent_revoked", None, "bad_consent_id"]),
    ):
        assert [r["error_code"] for r in rows_of(manifest, *settings)[0]] == codes
    with pytest.raises(ConfigError, match="nothing is spoken"):
        rows_of(manifest, f"consent.revoked={tmp_path / 'gone.txt'}")
