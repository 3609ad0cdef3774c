"""Reads a URL that somebody else wrote: bounded in addresses, hops, bytes and seconds.

The name is resolved once, every address of it is checked, and the connection goes to one of those that
were checked, whatever the name leads to a moment later. Proxies of the environment are not used: they
would resolve the name on their own.
"""

from __future__ import annotations

import base64
import errno
import http.client
import io
import socket
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from pipeline import __version__
from pipeline.errors import RowError
from pipeline.uri_rules import UriRules
from pipeline.uris import HTTP_SCHEMES, split_uri

_CONNECT_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 60.0
_TOTAL_S = 300.0  # of a whole URL: what sends a byte a minute would never end otherwise
_ATTEMPTS = 3
_MAX_HOPS = 5
_CHUNK_BYTES = 2**18
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpStatusError(OSError):
    """An answer that is neither the file nor the way to it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


def fetch(url: str, limit: int, rules: UriRules) -> bytes:
    """The first `limit` bytes of what lies at an http(s) URL; every redirect is checked as the URL itself.

    Raises RowError (`uri_scheme_not_allowed`, `uri_prefix_not_allowed`, `uri_address_not_allowed`),
    FileNotFoundError (404, 410), PermissionError (401, 403), other OSErrors, HTTPException, ValueError.
    """
    until = time.monotonic() + _TOTAL_S
    attempt = 1
    while True:
        try:
            return _follow(url, limit, rules, until)
        except (FileNotFoundError, PermissionError, ssl.SSLCertVerificationError):
            raise
        except (OSError, http.client.HTTPException) as error:
            status = getattr(error, "status", 500)
            # an answer below 500 will not change
            if status < 500 or attempt == _ATTEMPTS or time.monotonic() > until:
                raise
        time.sleep(0.5 * attempt)
        attempt += 1


def _follow(url: str, limit: int, rules: UriRules, until: float) -> bytes:
    for _ in range(_MAX_HOPS + 1):
        answer = _get(url, limit, rules, until)
        if isinstance(answer, bytes):
            return answer
        target = urljoin(url, answer)
        scheme = rules.check(target)
        if scheme not in HTTP_SCHEMES or (split_uri(url)[0], scheme) == ("https", "http"):
            raise RowError("uri_scheme_not_allowed", f"it redirects from https to {scheme or 'a path'}")
        url = target
    raise HttpStatusError(310, f"more than {_MAX_HOPS} redirects")


def _get(url: str, limit: int, rules: UriRules, until: float) -> bytes | str:
    """The body, or where else to look."""
    parts = urlsplit(url)
    with closing(_connect(parts, rules)) as raw:
        connection = http.client.HTTPConnection(_ascii_host(parts), parts.port)
        if parts.scheme == "https":
            connection.default_port = 443  # or the Host header would name the port
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=_ascii_host(parts))
        with closing(raw):
            connection.sock = _TimedSocket(raw, until)
            connection.request("GET", _target(parts), headers=_headers(parts))
            with connection.getresponse() as response:
                if response.status in _REDIRECTS and response.getheader("Location"):
                    return str(response.getheader("Location"))
                _raise_unless_ok(response)
                return _body(response, limit)


def _connect(parts: SplitResult, rules: UriRules) -> socket.socket:
    """A connection to an address that has been checked, of a name all of whose addresses have."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(_ascii_host(parts), port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses:
        rules.check_address(address)
    refusals: list[OSError] = []
    for address in addresses:
        try:
            connection = socket.create_connection((address, port), timeout=_CONNECT_TIMEOUT_S)
        except OSError as error:
            refusals.append(error)
            continue
        try:
            rules.check_address(connection.getpeername()[0])
        except BaseException:
            connection.close()
            raise
        return connection
    raise refusals[-1] if refusals else OSError(errno.EHOSTUNREACH, "the name has no address")


def _body(response: http.client.HTTPResponse, limit: int) -> bytes:
    data = bytearray()
    while chunk := response.read(min(_CHUNK_BYTES, limit - len(data))):
        data += chunk
    if response.length and len(data) < limit:
        raise ConnectionResetError(errno.ECONNRESET, f"the answer ends {response.length} bytes early")
    return bytes(data)


def _raise_unless_ok(response: http.client.HTTPResponse) -> None:
    said = f"{response.status} {response.reason}"
    if response.status in (404, 410):
        raise FileNotFoundError(errno.ENOENT, said)
    if response.status in (401, 403):
        raise PermissionError(errno.EACCES, said)
    if not 200 <= response.status < 300:
        raise HttpStatusError(response.status, response.reason)


def _ascii_host(parts: SplitResult) -> str:
    """Raises ValueError (UnicodeError is one) for what is no host name."""
    if not parts.hostname:
        raise ValueError("the URL names no host")
    return parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()


def _target(parts: SplitResult) -> str:
    """Path and query as the request line has them; escapes stay as they are, other characters are escaped."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return path + ("?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else "")


def _headers(parts: SplitResult) -> dict[str, str]:
    headers = {"User-Agent": f"voicemill/{__version__}", "Connection": "close"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return headers


@dataclass(frozen=True, slots=True)
class _TimedSocket:
    """What http.client needs of a socket, with an end to all its reading. Its owner closes the socket."""

    sock: socket.socket
    until: float

    def sendall(self, data: bytes) -> None:
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self.sock, self.until))

    def close(self) -> None:
        """Left to the owner: the answer is read after the connection has been given up."""


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, until: float) -> None:
        super().__init__()
        self._sock, self._until = sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, f"not read within {_TOTAL_S:g} s")
        self._sock.settimeout(min(_READ_TIMEOUT_S, left))
        return self._sock.recv_into(buffer)
