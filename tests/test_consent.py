"""Rows without consent are refused, withdrawn ones too, and a list that cannot be read ends the job."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consent import ConsentRules, load_consent, read_revoked
from pipeline.errors import ConfigError
from pipeline.stages.check_consent import STAGE, check_consents
from pipeline.storage import open_store

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,40}", fullmatch=True)


@pytest.mark.parametrize(
    ("required", "consent_id", "code"),
    [
        (False, None, None),
        (False, "c-1", None),
        (True, "c-1", None),
        (True, None, "consent_missing"),
        (True, "  ", "consent_missing"),
        # the list counts whether ids are required or not
        (False, "c-2", "consent_revoked"),
        (True, "c-2", "consent_revoked"),
        (True, " C-2 ", "consent_revoked"),
        (True, "c 2", "bad_consent_id"),
        (True, "c-2\u200b", "bad_consent_id"),  # a blank of no width does not make it another id
        (True, "с-2", "bad_consent_id"),  # nor does a Cyrillic letter
    ],
)
def test_rows_of_a_job_that_asks(required: bool, consent_id: str | None, code: str | None) -> None:
    fault = ConsentRules(required, frozenset({"c-2"})).fault(consent_id)
    assert (fault and fault.code) == code


def test_a_job_that_does_not_ask_looks_at_no_id() -> None:
    for consent_id in (None, "", "c-1", "as agreed by telephone"):
        assert ConsentRules().fault(consent_id) is None


@given(st.lists(IDS, min_size=1), st.data())
def test_every_id_of_a_list_is_refused(ids: list[str], data: st.DataObject) -> None:
    ending = data.draw(st.sampled_from(["\n", "\r\n"]))
    written = "".join(f" {name}  # why{ending}{ending}" for name in ids)
    rules = ConsentRules(True, read_revoked(written.encode(), "list"))
    for name in ids:
        for spelling in (name, name.upper(), f"\t{name} "):
            fault = rules.fault(spelling)
            assert fault is not None
            assert fault.code == "consent_revoked"


@pytest.mark.parametrize("written", [b"", b"\n\n", b"# nobody yet\n", b"\xef\xbb\xbf# from Windows\r\n"])
def test_an_empty_list(written: bytes) -> None:
    assert read_revoked(written, "list") == frozenset()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"<!doctype html><title>Log in</title>", "line 1 is no consent id"),
        (b"c-1\nc-2,2026-11-01\n", "line 2 is no consent id"),
        (b"\xff\xfec\x00-\x001\x00", "not UTF-8"),
        (b'{"revoked": ["c-1"]}', "line 1"),
    ],
)
def test_what_is_no_list_ends_the_job(written: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_revoked(written, "list")


def test_the_list_is_read_from_a_path_a_bucket_or_a_server(s3: str, serve, tmp_path: Path) -> None:
    class List(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"c-1\n")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    (tmp_path / "revoked.txt").write_text("c-1\n")
    open_store(s3).put("revoked.txt", b"c-1\n")
    for uri in (str(tmp_path / "revoked.txt"), f"{s3}/revoked.txt", f"{serve(List)}/revoked.txt"):
        assert load_consent(True, uri) == ConsentRules(True, frozenset({"c-1"}))
    assert load_consent(True, None) == ConsentRules(True)


def test_without_the_list_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is spoken"):
        load_consent(True, str(tmp_path / "gone.txt"))
    with pytest.raises(ConfigError, match="nothing is spoken"):
        load_consent(False, "http://127.0.0.1:1/revoked.txt")


def test_the_setting_holds_no_secrets_since_it_is_written_down() -> None:
    for uri in ("https://user:hush@host/revoked.txt", "https://host/revoked.txt?sig=hush"):
        with pytest.raises(ConfigError) as caught:
            load_consent(True, uri)
        assert "hush" not in str(caught.value)


def test_planned_rows_are_checked_again() -> None:
    fine = {"row": 1, "utterance_id": "a", "consent_id": "c-1", "failed_stage": None}
    withdrawn = {"row": 2, "utterance_id": "b", "consent_id": "c-2", "failed_stage": None}
    without = {"row": 3, "utterance_id": "c", "consent_id": None, "failed_stage": None}
    bad_already = {**withdrawn, "row": 4, "failed_stage": "check_prompt", "error_code": "audio_silent"}
    out = check_consents([fine, withdrawn, without, bad_already], ConsentRules(True, frozenset({"c-2"})))
    assert out[0] == fine
    assert [(row["failed_stage"], row["error_code"]) for row in out[1:]] == [
        (STAGE, "consent_revoked"),
        (STAGE, "consent_missing"),
        ("check_prompt", "audio_silent"),
    ]
    assert [row["consent_id"] for row in out] == ["c-1", "c-2", None, "c-2"], "results say whose it was"
