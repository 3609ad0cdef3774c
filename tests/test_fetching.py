"""The web as it misbehaves: real servers on this machine, names resolved by the test."""

from __future__ import annotations

import datetime
import http.client
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline import fetching
from pipeline.errors import RowError
from pipeline.fetching import HttpStatusError, fetch
from pipeline.uri_rules import UriRules

ANYWHERE = UriRules(allow_private_addresses=True)
PUBLIC = "93.184.216.34"


class Web(BaseHTTPRequestHandler):
    """A path is a status; /flaky and /short mend themselves; /to/<n> counts down; others are ok."""

    seen: list[tuple[str, dict[str, str]]]
    body = b"0123456789"
    elsewhere = ""

    def do_GET(self) -> None:
        name = urlsplit(self.path).path
        first = name not in [path for path, _ in self.seen]
        self.seen.append((name, dict(self.headers)))
        if name.startswith("/to/"):
            number = int(name[4:])
            self.send_response(302)
            self.send_header("Location", f"/to/{number - 1}" if number > 1 else "/ok")
            self.end_headers()
        elif name == "/elsewhere":
            self.send_response(307)
            self.send_header("Location", self.elsewhere)
            self.end_headers()
        else:
            status = int(name[1:]) if name[1:].isdigit() else 503 if name == "/flaky" and first else 200
            self.send_response(status)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            cut = name == "/cut" or (name == "/short" and first)
            self.wfile.write(self.body[:5] if cut else self.body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def web() -> type[Web]:
    return type("Handler", (Web,), {"seen": []})


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Answers for names, one after another; gives the list of the names that were asked for."""
    real = socket.getaddrinfo

    def to(*answers: list[str]) -> list[str]:
        asked: list[str] = []
        coming = iter(answers)

        def getaddrinfo(host: str, port: int, *args: Any, **kw: Any) -> list[Any]:
            if host.replace(".", "").isdigit():
                return real(host, port, *args, **kw)
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in next(coming)]

        monkeypatch.setattr(fetching.socket, "getaddrinfo", getaddrinfo)
        return asked

    return to


def paths(web: type[Web]) -> list[str]:
    return [path for path, _ in web.seen]


@pytest.mark.parametrize("path", ["/ok", "/flaky", "/short", "/to/5"])
def test_what_comes_in_the_end(serve, web: type[Web], path: str) -> None:
    assert fetch(f"{serve(web)}{path}", 11, ANYWHERE) == b"0123456789"


def test_no_more_than_the_limit_is_read(serve, web: type[Web]) -> None:
    web.body = bytes(10_000_000)
    assert fetch(f"{serve(web)}/ok", 1000, ANYWHERE) == bytes(1000)


@pytest.mark.parametrize(
    ("path", "error", "requests"),
    [
        ("/404", FileNotFoundError, 1),
        ("/410", FileNotFoundError, 1),
        ("/401", PermissionError, 1),
        ("/403", PermissionError, 1),
        ("/429", HttpStatusError, 1),
        ("/302", HttpStatusError, 1),  # without a Location
        ("/503", HttpStatusError, 3),
        ("/cut", ConnectionResetError, 3),
        ("/to/6", HttpStatusError, 6),
    ],
)
def test_what_does_not(serve, web: type[Web], path: str, error: type[Exception], requests: int) -> None:
    with pytest.raises(error):
        fetch(f"{serve(web)}{path}", 11, ANYWHERE)
    assert len(web.seen) == requests


def test_what_is_sent(serve, web: type[Web]) -> None:
    host = serve(web)
    fetch(f"{host.replace('//', '//us%40er:word@')}/a b/ü%20.wav?sig=a%2Fb&x=ä#part", 11, ANYWHERE)
    [(path, headers)] = web.seen
    assert path == "/a%20b/%C3%BC%20.wav"
    assert headers["Authorization"] == "Basic dXNAZXI6d29yZA=="  # base64 of `us@er:word`
    assert headers["Host"] == host.removeprefix("http://")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
def test_local_servers_are_not_asked(serve, web: type[Web], host: str) -> None:
    port = serve(web).rpartition(":")[2]
    with pytest.raises(RowError) as caught:
        fetch(f"http://{host}:{port}/ok", 11, UriRules())
    assert caught.value.code == "uri_address_not_allowed"
    assert web.seen == []


def test_the_metadata_service_of_a_cloud_is_not_asked() -> None:
    with pytest.raises(RowError, match="private, local or reserved"):
        fetch("http://169.254.169.254/latest/meta-data/iam/security-credentials/", 11, UriRules())


def test_a_name_with_one_private_address_is_refused(resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    resolve([PUBLIC, "10.0.0.7"])
    with pytest.raises(RowError) as caught:
        fetch("http://voices.example/a.wav", 11, UriRules())
    assert caught.value.code == "uri_address_not_allowed"


def test_a_name_that_changes_its_address_is_asked_once(resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve([PUBLIC], ["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"])
    connected: list[Any] = []

    def refuse(address: Any, timeout: float) -> socket.socket:
        connected.append(address)
        raise TimeoutError("nobody is there")

    monkeypatch.setattr(fetching.socket, "create_connection", refuse)
    with pytest.raises(RowError) as caught:  # the second attempt resolves anew, and checks anew
        fetch("http://voices.example/a.wav", 11, UriRules())
    assert caught.value.code == "uri_address_not_allowed"
    assert asked == ["voices.example"] * 2
    assert connected == [(PUBLIC, 80)], "the address that was checked, not the name"


def test_the_other_end_of_the_connection_is_checked(
    serve, web: type[Web], resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever leads there: a NAT, a route, a resolver that lies."""
    port = int(serve(web).rpartition(":")[2])
    connect = socket.create_connection
    resolve([PUBLIC])
    monkeypatch.setattr(
        fetching.socket, "create_connection", lambda _, timeout: connect(("127.0.0.1", port), timeout)
    )
    with pytest.raises(RowError) as caught:
        fetch("http://voices.example/ok", 11, UriRules())
    assert caught.value.code == "uri_address_not_allowed"
    assert web.seen == []


def test_the_host_is_told_the_name(serve, web: type[Web], resolve) -> None:
    port = serve(web).rpartition(":")[2]
    resolve(["127.0.0.1"])
    assert fetch(f"http://voices.example:{port}/ok", 11, ANYWHERE) == b"0123456789"
    assert web.seen[0][1]["Host"] == f"voices.example:{port}"


def test_the_next_address_of_a_name_is_tried(serve, web: type[Web], resolve) -> None:
    port = serve(web).rpartition(":")[2]
    resolve(["127.0.0.2", "127.0.0.1"])  # the server listens at the second alone
    assert fetch(f"http://voices.example:{port}/ok", 11, ANYWHERE) == b"0123456789"


def test_redirects_are_held_to_the_same_rules(serve, web: type[Web], resolve, monkeypatch) -> None:
    inner = type("Inner", (Web,), {"seen": []})
    host, inside = serve(web), serve(inner)
    web.elsewhere = f"{inside}/ok"
    assert fetch(f"{host}/elsewhere", 11, ANYWHERE) == b"0123456789"
    inner.seen.clear()

    only_here = UriRules((host,), allow_private_addresses=True)
    with pytest.raises(RowError) as caught:
        fetch(f"{host}/elsewhere", 11, only_here)
    assert caught.value.code == "uri_prefix_not_allowed"
    for target in ("file:///etc/passwd", "/etc/../x::file:///etc/passwd", "ftp://host/x", "s3://bucket/x"):
        web.elsewhere = target
        with pytest.raises(RowError) as caught:
            fetch(f"{host}/elsewhere", 11, ANYWHERE)
        assert caught.value.code == "uri_scheme_not_allowed"

    # a public server that points at a private one
    connect, port = socket.create_connection, int(host.rpartition(":")[2])

    class Public(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return (PUBLIC, 80)

    def as_if_public(_: Any, timeout: float) -> socket.socket:
        plain = connect(("127.0.0.1", port), timeout)
        return Public(fileno=plain.detach())

    monkeypatch.setattr(fetching.socket, "create_connection", as_if_public)
    resolve([PUBLIC])
    web.elsewhere = f"{inside}/ok"
    with pytest.raises(RowError) as caught:
        fetch("http://voices.example/elsewhere", 11, UriRules())
    assert caught.value.code == "uri_address_not_allowed"
    assert inner.seen == []


def test_the_password_of_one_host_is_not_told_to_the_next(serve, web: type[Web]) -> None:
    other = type("Other", (Web,), {"seen": []})
    web.elsewhere = f"{serve(other)}/ok"
    fetch(f"{serve(web).replace('//', '//user:word@')}/elsewhere", 11, ANYWHERE)
    assert "Authorization" in web.seen[0][1]
    assert "Authorization" not in other.seen[0][1]


def test_an_answer_that_never_ends_is_given_up(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while not ended.is_set():
                    self.wfile.write(b"x" * 1000)
            except OSError:
                ended.set()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    clock = itertools.count(0, 30)  # every look at the clock is half a minute later
    monkeypatch.setattr(fetching.time, "monotonic", lambda: next(clock))
    with pytest.raises(TimeoutError, match="not read within 300 s"):
        fetch(f"{serve(Drip)}/", 10**9, ANYWHERE)
    assert ended.wait(60)


def test_headers_without_end_are_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(fetching._ATTEMPTS):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(http.client.HTTPException):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/", 10, ANYWHERE)
        thread.join()


@pytest.mark.parametrize("url", ["http:///x", "http://host:99999/x", "http://ex..ample/x", "http://a\x00b/x"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises((OSError, ValueError)):
        fetch(url, 10, UriRules())


@pytest.fixture
def tls_server(
    tmp_path: Path, web: type[Web], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, list[str]]]:
    """A TLS server for `voices.example`, whose certificate this machine trusts; its port, the names asked for."""
    certificate = self_signed(tmp_path, "voices.example")
    names: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = ThreadingHTTPServer(("127.0.0.1", 0), web)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, names
    server.shutdown()
    server.server_close()


def test_tls_is_for_the_name_though_the_connection_is_to_an_address(
    tls_server, web: type[Web], resolve
) -> None:
    port, names = tls_server
    resolve(["127.0.0.1"], ["127.0.0.1"])
    assert fetch(f"https://voices.example:{port}/ok", 11, ANYWHERE) == b"0123456789"
    assert names == ["voices.example"]
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(f"https://other.example:{port}/ok", 11, ANYWHERE)
    assert len(web.seen) == 1


def test_https_does_not_redirect_to_http(tls_server, web: type[Web], resolve) -> None:
    port, _ = tls_server
    resolve(["127.0.0.1"])
    web.elsewhere = "http://voices.example/ok"
    with pytest.raises(RowError, match="from https to http"):
        fetch(f"https://voices.example:{port}/elsewhere", 11, ANYWHERE)


def self_signed(folder: Path, name: str) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
