"""Stores on a real folder and on moto's S3 server; faults injected where a server cannot be asked for them."""

from __future__ import annotations

import errno
import http.client
import os
import pickle
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import fsspec
import pytest

from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.local_files import temporary_file
from pipeline.storage import ObjectMissing, Store, open_store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "runs" / "demo"))
    return open_store(f"{request.getfixturevalue('s3')}/runs/demo")


@pytest.fixture
def fresh_clients() -> Iterator[None]:
    """For tests that change the environment which clients read when they are made."""
    storage._connected.cache_clear()
    yield
    storage._connected.cache_clear()


# ---- objects


def test_objects_come_back_as_they_were_put(store: Store) -> None:
    data = bytes(range(256)) * 9000  # 2.3 MB: more than one block
    store.put("data/a/x.bin", data)
    store.put("data/empty", b"")
    assert store.get("data/a/x.bin") == data
    assert store.size("data/a/x.bin") == 256 * 9000
    assert store.get("data/empty") == b""
    store.put("data/a/x.bin", b"new")
    assert store.get("data/a/x.bin") == b"new"
    assert store.exists("data/a/x.bin")
    assert not store.exists("data/a")


def test_a_file_of_this_machine_becomes_an_object(store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "made.bin").write_bytes(data)
    store.put("made/x.bin", b"old")
    store.put_file("made/x.bin", tmp_path / "made.bin")
    assert store.get("made/x.bin") == data
    assert list(store.list("made")) == ["made/x.bin"]
    with pytest.raises(StorageError):
        store.put_file("made/y.bin", tmp_path / "nothing.bin")
    assert not store.exists("made/y.bin")


def test_what_is_missing_is_missing(store: Store) -> None:
    store.put("folder/object", b"1")
    for key in ("nothing", "folder", "folder/nothing", "folder/object/below"):
        for read in (store.get, store.size, store.open):
            with pytest.raises(ObjectMissing, match=key):
                read(key)
        assert not store.exists(key)
    store.delete("nothing")


def test_create_is_once(store: Store) -> None:
    assert store.create("commit/s.json", b"first")
    assert not store.create("commit/s.json", b"second")
    assert store.get("commit/s.json") == b"first"
    assert store.create("commit/s.json", b"first"), "a writer that finds its own bytes has succeeded"
    store.delete("commit/s.json")
    assert store.create("commit/s.json", b"second")


def test_one_of_sixteen_creates_wins(store: Store) -> None:
    for turn in range(3):
        start = threading.Barrier(16)

        def attempt(i: int, key: str = f"race/{turn}", start: threading.Barrier = start) -> bool:
            start.wait()
            return store.create(key, b"%d" % i)

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(attempt, range(16)))
        assert won.count(True) == 1
        assert store.get(f"race/{turn}") == b"%d" % won.index(True)
    assert list(store.list()) == ["race/0", "race/1", "race/2"]


def test_list_gives_sorted_keys_below_a_folder(store: Store) -> None:
    assert list(store.list()) == []
    assert list(store.list("nothing")) == []
    # "a-b/..." sorts between "a" and "a/": as strings, '-' (0x2d) < '/' (0x2f)
    for key in ("a/z", "b", "a/b/c", "a-b/x", "ab"):
        store.put(key, b"")
    assert list(store.list()) == ["a-b/x", "a/b/c", "a/z", "ab", "b"]
    assert list(store.list("a")) == ["a/b/c", "a/z"]
    assert list(store.list("a/b")) == ["a/b/c"]
    assert list(store.list("b")) == []


def test_list_sees_what_others_wrote(s3: str) -> None:
    mine, other = open_store(f"{s3}/run"), fsspec.filesystem("s3", skip_instance_cache=True)
    mine.put("a", b"")
    assert list(mine.list()) == ["a"]
    other.pipe_file(f"{s3}/run/b", b"12345")
    assert list(mine.list()) == ["a", "b"]
    assert mine.size("b") == 5
    other.pipe_file(f"{s3}/run/b", b"123456")
    assert mine.size("b") == 6


def test_modified_is_when_it_was_written_last(tmp_path: Path, s3: str) -> None:
    local = open_store(str(tmp_path))
    local.put("a", b"1")
    os.utime(tmp_path / "a", (1_700_000_000, 1_700_000_000.5))
    assert local.modified("a") == 1_700_000_000.5
    remote = open_store(s3)
    remote.put("a", b"1")
    head = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).head_object(
        Bucket=s3.removeprefix("s3://"), Key="a"
    )
    assert remote.modified("a") == head["LastModified"].timestamp()
    for store in (local, remote):
        with pytest.raises(ObjectMissing, match="nothing"):
            store.modified("nothing")


def test_open_reads_at_random_offsets(store: Store) -> None:
    data = os.urandom(3 * 2**20)
    store.put("big", data)
    with store.open("big") as file:
        assert file.seek(-10, os.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        file.seek(12345)
        assert file.read(7) == data[12345:12352]
        file.seek(0)
        assert file.read(2**21) == data[: 2**21]


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "a/./b", "a//b", "a/", "/a", "a\\b", "..\\x",
     "a\nb", "a\x00b", "a\x7f", ".hidden", "a/.b", "x?versionId=3"],
)  # fmt: skip
def test_keys_that_could_leave_the_folder_are_refused(store: Store, key: str) -> None:
    for act in (store.get, store.size, store.delete, store.open, store.local_path):
        with pytest.raises(ValueError, match="is not a key"):
            act(key)
    for act in (store.put, store.create):
        with pytest.raises(ValueError, match="is not a key"):
            act(key, b"")


@pytest.mark.parametrize("key", ["a b", "ü/ñ", "a..b", "a=b/c:d", "50%", "x#y", "[x]*{y}", "~"])
def test_odd_but_harmless_keys_work(store: Store, key: str) -> None:
    store.put(key, b"1")
    assert list(store.list()) == [key]
    assert store.get(key) == b"1"


def test_local_paths(store: Store, s3: str, tmp_path: Path) -> None:
    assert open_store(str(tmp_path)).local_path("a/b") == tmp_path / "a" / "b"
    assert open_store(s3).local_path("a/b") is None


# ---- stores


def test_a_store_pickles_without_secrets_and_reconnects(store: Store) -> None:
    store.put("a", b"1")  # it has connected
    pickled = pickle.dumps(store)
    assert b"test-secret" not in pickled
    assert b"test-key" not in pickled
    assert pickle.loads(pickled).get("a") == b"1"
    assert open_store(store.uri) == store


def test_relative_roots_mean_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("runs/demo")
    store.put("a", b"1")
    assert store.uri == str(tmp_path / "runs" / "demo")
    assert open_store(f"file://{tmp_path}/runs/demo/") == store
    monkeypatch.chdir("/")
    assert store.get("a") == b"1"
    assert open_store("file:///with%20space").uri == "/with space"


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3:///key", "s3://bucket/../other", "s3://bucket//x", "gs://bucket/run", "http://host/run",
     "file://host/run", "file://run", "zip::s3://bucket/x", "sftp://host/x", "a\x00b"],
)  # fmt: skip
def test_roots_that_cannot_hold_a_run_are_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written to"):
        open_store(uri)


@pytest.mark.parametrize("uri", ["s3:/bucket/run", "s3:bucket", "S3:/b/r", "gs:/b", "https:/host/x"])
def test_a_uri_that_lacks_a_slash_is_no_folder(uri: str) -> None:
    with pytest.raises(ConfigError, match="lacks a slash; write s3://bucket"):
        open_store(uri)


def test_the_bucket_itself_can_be_a_root(s3: str) -> None:
    open_store(s3).put("a", b"1")
    open_store(f"{s3}/.cache/").put("a", b"2")
    assert list(open_store(s3).list()) == ["a"]
    assert list(open_store(f"{s3}/.cache").list()) == ["a"]


# ---- local crashes


def test_a_failed_replacement_leaves_the_old_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    store.put("a", b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(StorageError, match=r"/a: OSError: No space left on device"):
            store.put("a", b"new")
        with pytest.raises(StorageError, match="No space left on device; make room there, then run the same"):
            store.create("b", b"new")
    assert store.get("a") == b"old"
    assert os.listdir(tmp_path) == ["a"], "no temporary file stays behind"


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("commit/a", b"")
    with temporary_file(tmp_path / "commit" / "b", b"half"):
        [partial] = store.partial_files()
        assert {path.name for path in (tmp_path / "commit").iterdir()} == {"a", partial.name}
        assert list(store.list()) == ["commit/a"]
    assert list(store.partial_files()) == []
    assert list(open_store(str(tmp_path / "nothing")).partial_files()) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_create_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    store = open_store(str(tmp_path))
    assert store.create("a", b"1")
    assert not store.create("a", b"2")
    assert store.get("a") == b"1"
    assert os.listdir(tmp_path) == ["a"]


def test_files_take_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        store = open_store(str(tmp_path))
        store.put("a", b"")
        store.create("b", b"")
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o640, 0o640]


# ---- S3 faults


class LosesAnAnswer(BaseHTTPRequestHandler):
    """A proxy that hangs up, once, after the server has done what the first conditional PUT asked."""

    target: str
    lost: list[str]
    protocol_version = "HTTP/1.1"  # clients wait for its "100 Continue"

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(self.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        if "If-None-Match" in self.headers and not self.lost:
            self.lost.append(f"{self.command} {answer.status}")
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = forward

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_create_whose_answer_was_lost_is_ours(s3, s3_endpoint, serve, monkeypatch, fresh_clients) -> None:
    handler = type("Handler", (LosesAnAnswer,), {"target": urlsplit(s3_endpoint).netloc, "lost": []})
    # the service's own variable goes before the general one, which leads to moto itself
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", serve(handler))
    store = open_store(s3)
    assert store.create("commit/x.json", b"mine")
    assert handler.lost == ["PUT 200"], "the first PUT was done and its answer lost"
    assert store.get("commit/x.json") == b"mine"
    assert not store.create("commit/x.json", b"other")


@pytest.mark.parametrize(
    "refusal", [FileExistsError("412"), OSError(errno.EINVAL, "412"), OSError(errno.EBUSY, "409")]
)
def test_a_refusal_is_settled_by_what_is_stored(
    s3: str, monkeypatch: pytest.MonkeyPatch, refusal: OSError
) -> None:
    store, client = open_store(s3), storage._filesystem("s3")
    really_put = client.pipe_file
    refused = []

    def applied_then_refused(path: str, data: bytes, **options: object) -> None:
        really_put(path, data)
        refused.append(path)
        raise refusal

    monkeypatch.setattr(client, "pipe_file", applied_then_refused)
    assert store.create("mine", b"1")

    def refused_for_another(path: str, data: bytes, **options: object) -> None:
        really_put(path, b"another's")
        raise refusal

    monkeypatch.setattr(client, "pipe_file", refused_for_another)
    assert not store.create("theirs", b"1")

    def refused_once(path: str, data: bytes, **options: object) -> None:
        monkeypatch.setattr(client, "pipe_file", really_put)
        raise refusal

    monkeypatch.setattr(client, "pipe_file", refused_once)
    assert store.create("after-conflict", b"1"), "nothing is stored: another try is safe"
    assert store.get("after-conflict") == b"1"


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, TimeoutError, OSError, ValueError])
def test_a_traceback_does_not_repeat_a_signed_link(kind: type[Exception], monkeypatch) -> None:
    """As `--debug` prints it: with all that an exception was raised from."""
    link = "https://host.example/m.csv?X-Amz-Signature=hush-hush"

    def refused(*_: object) -> bytes:
        raise kind(f"GET {link} went wrong")

    monkeypatch.setattr("pipeline.storage.fetch", refused)
    with pytest.raises(StorageError) as caught:
        storage.open_uri(link)
    told = "".join(traceback.format_exception(caught.value))
    assert "host.example/m.csv" in told
    assert "hush-hush" not in told


def test_an_unreachable_store_is_one_line_without_secrets(monkeypatch, s3_endpoint, fresh_clients) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # nothing listens there
    monkeypatch.setattr(storage, "_S3_ATTEMPTS", 1)
    monkeypatch.setattr(storage, "_S3_BODY_ATTEMPTS", 1)
    store = open_store("s3://bucket/run")
    for act in (lambda: store.get("a/b"), lambda: store.put("a/b", b""), lambda: store.create("a/b", b""),
                lambda: store.size("a/b"), lambda: store.delete("a/b"), lambda: store.open("a/b")):  # fmt: skip
        with pytest.raises(StorageError, match=r"^s3://bucket/run/a/b: \w+: .*127\.0\.0\.1") as caught:
            act()
        assert not isinstance(caught.value, ObjectMissing)
        assert "\n" not in str(caught.value)
        assert "test-secret" not in str(caught.value)
    with pytest.raises(StorageError, match="s3://bucket/run"):
        list(store.list())


def test_a_bucket_that_is_not_there_is_an_error(s3_endpoint: str) -> None:
    store = open_store("s3://no-such-bucket-here/run")
    for act in (lambda: store.put("a", b""), lambda: store.create("a", b""), lambda: list(store.list())):
        with pytest.raises(StorageError, match=r"no-such-bucket-here.*bucket does not exist"):
            act()
