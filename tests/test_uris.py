from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import RowError
from pipeline.uris import complaint, parent_uri, resolve_uri

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
