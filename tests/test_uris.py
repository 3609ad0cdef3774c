from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RowError
from pipeline.uris import complaint, has_secrets, is_bucket_path, parent_uri, resolve_uri, shown

# RFC 3986 §5.4.1 and §5.4.2: base http://a/b/c/d;p?q, reference, result
RFC_3986 = [
    ("g", "http://a/b/c/g"),
    ("./g", "http://a/b/c/g"),
    ("g;x", "http://a/b/c/g;x"),
    ("../g", "http://a/b/g"),
    ("../../g", "http://a/g"),
    ("../../../g", "http://a/g"),
    ("./../g", "http://a/b/g"),
    ("g/./h", "http://a/b/c/g/h"),
    ("g/../h", "http://a/b/c/h"),
]


@pytest.mark.parametrize(("ref", "expected"), RFC_3986)
def test_relative_references_as_in_rfc_3986(ref: str, expected: str) -> None:
    assert resolve_uri("http://a/b/c/d;p?q", ref) == expected
    # the same rules, for buckets and for folders of this machine
    assert resolve_uri("s3://a/b/c/d", ref) == expected.replace("http://", "s3://")
    assert resolve_uri("/b/c/d", ref) == expected.removeprefix("http://a")
    assert resolve_uri("file:///b/c/d", ref) == expected.removeprefix("http://a")


@pytest.mark.parametrize(
    ("base", "ref", "expected"),
    [
        ("s3://bucket/m.csv", "a b/c.wav", "s3://bucket/a b/c.wav"),
        ("s3://bucket/folder/", "c.wav", "s3://bucket/folder/c.wav"),
        ("/data/folder/", "c.wav", "/data/folder/c.wav"),
        ("https://h/p/m.csv?sig=1", "c.wav", "https://h/p/c.wav"),
        ("/m.csv", "/abs/../c.wav", "/abs/../c.wav"),
        ("/m.csv", "s3://other/c.wav", "s3://other/c.wav"),
        ("/m.csv", "file:///c.wav", "file:///c.wav"),
        ("s3://bucket/m.csv", "https://h/c.wav", "https://h/c.wav"),
    ],
)
def test_bases_and_absolute_references(base: str, ref: str, expected: str) -> None:
    assert resolve_uri(base, ref) == expected


def test_a_relative_manifest_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("m.csv", "refs/a.wav") == str(tmp_path / "refs" / "a.wav")
    assert resolve_uri("sub/m.csv", "../refs/a.wav") == str(tmp_path / "refs" / "a.wav")


@pytest.mark.parametrize(
    ("base", "ref"),
    [
        ("s3://bucket/m.csv", "/etc/passwd"),
        ("https://host/m.csv", "//host/x"),
        ("https://host/m.csv", "file:///etc/passwd"),
        ("s3://bucket/m.csv", "FILE:///etc/passwd"),
        ("/m.csv", "ftp://host/x"),
        ("/m.csv", "zip://x.wav::/y.zip"),
    ],
)
def test_references_that_are_not_allowed(base: str, ref: str) -> None:
    with pytest.raises(RowError) as caught:
        resolve_uri(base, ref)
    assert caught.value.code == "uri_scheme_not_allowed"


@pytest.mark.parametrize(
    ("uri", "parent"),
    [
        ("s3://bucket/a/b", "s3://bucket/a"),
        ("s3://bucket/a/", "s3://bucket"),
        ("s3://bucket", "s3://bucket"),
        ("/a/b", "/a"),
        ("/a/b/", "/a"),
        ("/", "/"),
        ("file:///a/b", "/a"),
    ],
)
def test_parents(uri: str, parent: str) -> None:
    assert parent_uri(uri) == parent


def test_complaints_are_one_line_and_keep_secrets() -> None:
    error = ValueError("GET https://user:hush@host/x?sig=hush\nfailed for 's3://key:hush@bucket/x'")
    assert complaint("http://u:hush@host/x?sig=hush", error, "wait") == (
        "http://host/x: ValueError: GET https://host/x failed for 's3://bucket/x'; wait"
    )


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://host/a.wav?X-Amz-Signature=hush", "https://host/a.wav"),
        ("HTTPS://u:hush@host:8443/a.wav#hush", "HTTPS://host:8443/a.wav"),
        ("https://token-hush@host/a.wav", "https://host/a.wav"),
        ("https://[::1]:80/a.wav?sig=hush", "https://[::1]:80/a.wav"),
        ("s3://AKIA:hu/sh+@bucket/a.wav", "s3://bucket/a.wav"),
        ("http://u:hu/sh?x@host/a.wav", "http://host/a.wav"),
        ("s3://bucket/a.wav?versionId=hush", "s3://bucket/a.wav"),
        (" https://u:hush@host/a?sig=hush", " https://host/a"),
        ("zip://a.wav::https://u:hush@host/a.zip?sig=hush", "zip://a.wav::https://host/a.zip"),
        # and what is no secret stays
        ("https://host/@someone/a.wav", "https://host/@someone/a.wav"),
        (
            "abfs://container@account.dfs.core.windows.net/a",
            "abfs://container@account.dfs.core.windows.net/a",
        ),
        ("s3://bucket/run/data.parquet#7", "s3://bucket/run/data.parquet#7"),
        ("/data/who?.wav", "/data/who?.wav"),
        ("file:///data/a@b:c@d.wav", "file:///data/a@b:c@d.wav"),
    ],
)
def test_shown(uri: str, expected: str) -> None:
    assert shown(uri) == expected
    assert has_secrets(uri) == (uri != expected)


# 12 characters, so that none is found in a message by chance; all that RFC 3986 lets a password hold, and
# the slash of AWS's keys, though not behind what reads as a port (`host:80/`)
SECRETS = st.from_regex(r"[a-zA-Z][abcXYZ0189/+=!$&'()*,;~._%-]{11,40}", fullmatch=True)
QUERY_SECRETS = st.text("abcXYZ0189+!$'()*,~-._%/:@", min_size=12, max_size=40)


@given(SECRETS, QUERY_SECRETS, st.sampled_from(["http", "https", "s3", "gs", "az"]), st.data())
def test_no_message_repeats_a_secret(password: str, signature: str, scheme: str, data: st.DataObject) -> None:
    uri = f"{scheme}://AKIDEXAMPLE:{password}@bucket.example/a.wav?X-Amz-Signature={signature}&x=1"
    said = data.draw(
        st.sampled_from(
            [f"GET {uri} failed", f"({uri})", repr(uri), f"ClientError: /a.wav?X-Amz-Signature={signature}&x=1",
             f"user 'AKIDEXAMPLE:{password}' refused", f"<{uri}>: bad", f"redirected to {uri}\nand back"]
        )
    )  # fmt: skip
    errors = [ValueError(said), OSError(5, said), FileNotFoundError(2, said, uri), KeyError(said)]
    for error in errors:
        told = complaint(uri, error, "wait")
        assert password not in told
        assert signature not in told
        assert "\n" not in told
        assert told.startswith(f"{scheme}://bucket.example/a.wav: ")
    assert password not in shown(uri)
    assert signature not in shown(f"chain://x::{uri}")
    assert has_secrets(uri)


def test_a_bucket_with_credentials_is_no_place_for_a_run() -> None:
    assert not is_bucket_path("AKIA:hush@bucket/run")
    assert is_bucket_path("bucket/run@home")
