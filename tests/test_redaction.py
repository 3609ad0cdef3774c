"""No secret reaches a log, not even at DEBUG, not even from botocore."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import storage
from pipeline.redaction import keep_secrets_out_of_logs, redacted

SECRETS = st.text("abcXYZ0189/+=_-", min_size=12, max_size=60)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, at every level, in this process."""
    make, root = logging.getLogRecordFactory(), logging.getLogger()
    keep_secrets_out_of_logs()
    keep_secrets_out_of_logs()
    out, level = io.StringIO(), root.level
    handler = logging.StreamHandler(out)
    root.addHandler(handler)
    root.setLevel(1)
    yield out
    root.setLevel(level)
    root.removeHandler(handler)
    logging.setLogRecordFactory(make)


def test_botocore_at_debug_tells_no_secret(
    s3: str, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token-hush/+=")
    storage._connected.cache_clear()
    store = storage.open_store(s3)
    store.put("a", b"x")
    assert store.create("b", b"y")
    assert store.get("a") == b"x"
    storage._connected.cache_clear()
    said = log.getvalue()
    assert "x-amz-security-token" in said.lower(), "botocore does log its headers"
    assert "session-token-hush" not in said
    assert "test-secret" not in said
    assert "Signature=" not in said


def test_headers_are_masked_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    for text in (
        "x-amz-security-token:IQoJhush/+==",
        "{'X-Amz-Security-Token': b'IQoJhush/+==', 'x': 1}",
        '{"Authorization": "AWS4-HMAC-SHA256 Credential=hush/2026, Signature=hush"}',
        "Authorization: Bearer hush-hush",
        "GET /a?X-Amz-Signature=hush&x=1 HTTP/1.1",
        "https://account.blob.core.windows.net/c/a?sv=2024&sig=hush%3D",
        "https://user:hush@host/a",
        "proxy http://hush@host",
    ):
        assert "hush" not in redacted(text), text


@given(SECRETS, st.sampled_from(["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "RAY_AUTH_TOKEN", "OPENAI_API_KEY"]))
def test_values_of_the_environment_are_masked_wherever_they_stand(secret: str, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, secret)
        assert secret not in redacted(f"client(key={secret}) failed, {secret!r}")


def test_tracebacks_are_redacted(log: io.StringIO) -> None:
    try:
        try:
            raise OSError("GET https://user:hush@host/a?sig=hush")
        except OSError as error:
            raise ValueError("it failed") from error
    except ValueError:
        logging.getLogger("anything").exception("row %s of %s", 7, "https://u:hush@host/x")
    said = log.getvalue()
    assert "row 7 of https://host/x" in said
    assert "ValueError: it failed" in said
    assert "OSError: GET https://host/a?sig=***" in said


def test_what_is_no_secret_stays() -> None:
    for text in (
        "s3://bucket/run/data/00000-00001/abc.parquet: 12 rows",
        "mail to someone@example.org about https://example.org/a?page=2",
        "abfs://container/a key=value tokens: 17",
    ):
        assert redacted(text) == text


def test_a_call_whose_arguments_do_not_fit_is_left_to_logging(log: io.StringIO) -> None:
    record = logging.getLogRecordFactory()("name", logging.INFO, "path", 1, "%d of", ("x",), None)
    assert record.args == ("x",)
