"""What manifests name: local paths, files, object stores, and the web as it misbehaves."""

from __future__ import annotations

import os
import traceback
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pytest

from pipeline import fetching, storage
from pipeline.errors import ConfigError, RowError
from pipeline.sources import read_source
from pipeline.storage import ObjectMissing, open_store, open_uri, read_uri
from pipeline.uri_rules import PUBLIC_ONLY, UriRules

ANYWHERE = UriRules(allow_private_addresses=True)


@pytest.fixture(params=["path", "file", "s3", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an object that holds b"0123456789"."""
    if request.param in {"path", "file"}:
        path = tmp_path / "with space.wav"
        path.write_bytes(b"0123456789")
        return str(path) if request.param == "path" else path.as_uri()
    root = request.getfixturevalue("s3") if request.param == "s3" else f"memory://{tmp_path.name}"
    fsspec.filesystem(request.param, skip_instance_cache=True).pipe_file(
        f"{root}/with space.wav", b"0123456789"
    )
    return f"{root}/with space.wav"


def test_uris_are_read_up_to_their_bound(uri: str) -> None:
    assert read_uri(uri, 10) == b"0123456789"
    with open_uri(uri) as file:
        file.seek(8)
        assert file.read() == b"89"
    with pytest.raises(RowError, match="more than 9 bytes") as caught:
        read_uri(uri, 9)
    assert caught.value.code == "uri_too_large"


def test_uris_of_nothing_and_of_folders_are_not_found(uri: str) -> None:
    for missing in (f"{uri}.nothing", uri.rpartition("/")[0]):
        with pytest.raises(RowError) as caught:
            read_uri(missing, 10)
        assert caught.value.code == "uri_not_found"
        assert missing in caught.value.message
        with pytest.raises(ObjectMissing):
            open_uri(missing)


def test_an_empty_object_is_read_as_empty(s3: str, tmp_path: Path) -> None:
    open_store(s3).put("empty", b"")
    (tmp_path / "empty").touch()
    assert read_uri(f"{s3}/empty", 10) == read_uri(str(tmp_path / "empty"), 10) == b""


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RowError, match="not a regular file"):
        read_uri(str(tmp_path / "pipe"), 10)


@pytest.mark.parametrize(
    "uri",
    ["ftp://host/a.wav", "data://x", "zip://a.wav::s3://bucket/x.zip", "simplecache::s3://bucket/x",
     "github://a:b@main/x", "file://host/a.wav", "file://a.wav"],
)  # fmt: skip
def test_other_schemes_are_not_allowed(uri: str) -> None:
    for read in (lambda: read_uri(uri, 10), lambda: open_uri(uri)):
        with pytest.raises(RowError) as caught:
            read()
        assert caught.value.code == "uri_scheme_not_allowed"


class Web(BaseHTTPRequestHandler):
    """/ok; /gone (404); /flaky (503, then ok); /broken (503); /short (cut off once, then ok); /cut (always)."""

    seen: list[str]
    body = b"0123456789"

    def do_GET(self) -> None:
        name = urlsplit(self.path).path
        self.seen.append(f"GET {name}")
        first = self.seen.count(f"GET {name}") == 1
        status = {"/gone": 404, "/private": 403, "/broken": 503}.get(
            name, 503 if name == "/flaky" and first else 200
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[:5] if name == "/cut" or (name == "/short" and first) else self.body)

    def do_HEAD(self) -> None:
        self.seen.append(f"HEAD {self.path}")
        self.send_error(403)  # as links signed for GET do

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def web(serve, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """A server's address and what it was asked for."""
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)
    handler = type("Handler", (Web,), {"seen": []})
    return serve(handler), handler.seen


SIGNED = "?X-Amz-Signature=abcdef0123&token=hush"


def test_the_web_is_read_as_it_mends_itself(web) -> None:
    host, seen = web
    for name in ("/ok", "/flaky", "/short"):
        assert read_source(f"{host}{name}{SIGNED}", 10, ANYWHERE) == b"0123456789"
    assert seen == ["GET /ok", "GET /flaky", "GET /flaky", "GET /short", "GET /short"]
    with open_uri(f"{host}/ok") as file:
        assert (file.seek(5), file.read()) == (5, b"56789")


@pytest.mark.parametrize(
    ("name", "code", "requests"),
    [("/gone", "uri_not_found", 1), ("/private", "uri_unreachable", 1), ("/broken", "uri_unreachable", 3),
     ("/cut", "uri_unreachable", 3)],
)  # fmt: skip
def test_faults_of_the_web_keep_secrets(web, name: str, code: str, requests: int) -> None:
    host, seen = web
    with pytest.raises(RowError) as caught:
        read_source(f"{host.replace('//', '//user:hush@')}{name}{SIGNED}", 10, ANYWHERE)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{host}{name}: ")
    # also in what a log would show of the exception
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert "abcdef0123" not in shown
    assert "hush" not in caught.value.message
    assert seen.count(f"GET {name}") == requests


def test_bounds_and_rules_hold_for_the_web(web) -> None:
    host, seen = web
    for uri, rules, code in (
        (f"{host}/ok", ANYWHERE, "uri_too_large"),
        ("http://127.0.0.1:1/x", ANYWHERE, "uri_unreachable"),
        ("http://nobody.invalid/x", ANYWHERE, "uri_unreachable"),
        (f"{host}/ok", PUBLIC_ONLY, "uri_address_not_allowed"),
        (f"{host}/ok", UriRules(("https://example.org/",), True), "uri_prefix_not_allowed"),
        ("gopher://host/x", ANYWHERE, "uri_scheme_not_allowed"),
    ):
        with pytest.raises(RowError) as caught:
            read_source(uri, 9, rules)
        assert caught.value.code == code
        assert uri in caught.value.message
    assert seen == ["GET /ok"]


def test_prefixes_hold_for_files_and_buckets(uri: str) -> None:
    folder = uri.rpartition("/")[0]
    assert read_source(uri, 10, UriRules((folder,))) == b"0123456789"
    with pytest.raises(RowError) as caught:
        read_source(uri, 10, UriRules((f"{folder}/elsewhere",)))
    assert caught.value.code == "uri_prefix_not_allowed"


@pytest.mark.parametrize(("uri", "extra"), [("gs://b/v.wav", "gcs"), ("abfs://c@a/v.wav", "azure")])
def test_a_store_whose_package_is_missing_names_its_extra(
    uri: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("please install it")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    storage._connected.cache_clear()
    said = rf"needs the extra {extra}: uv sync --extra {extra}, or pip install 'voicemill\[{extra}\]'"
    with pytest.raises(RowError, match=said) as fault:  # of a row: others need no such package
        read_uri(uri, 10)
    assert fault.value.code == "uri_unreachable"
    with pytest.raises(ConfigError, match=said):
        open_uri(uri)
    storage._connected.cache_clear()
