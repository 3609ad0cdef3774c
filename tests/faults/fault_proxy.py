"""An HTTP proxy before an object store that breaks what it is told to break."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# as AWS does it: the message is plain, but the answer repeats the session's token
ANSWER = (
    b'<?xml version="1.0"?><Error><Code>%s</Code><Message>Not now.</Message>'
    b"<Token-0>hidden-session-token</Token-0></Error>"
)


@dataclass
class Fault:
    """What befalls requests of `methods` whose path contains `path`: after `spare` of them, `times` ones.

    kind: an HTTP status, or reset_before (the store never hears of it), reset_after (it has done it, the
    answer is lost), hang (no answer for `seconds`), truncate (half of the answer's body).
    """

    kind: str | int
    methods: tuple[str, ...] = ("GET", "PUT", "HEAD", "DELETE", "POST")
    path: str = ""
    times: int = 1
    spare: int = 0
    seconds: float = 0.0
    code: bytes = b"InternalError"
    hits: list[str] = field(default_factory=list)


class FaultProxy:
    """`with FaultProxy("127.0.0.1:5555") as proxy:` then `proxy.fault = Fault(...)`; it is at `proxy.address`."""

    def __init__(self, target):
        self.fault, self._lock = None, threading.Lock()
        handler = type("Handler", (_Handler,), {"target": target, "proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def hit(self, method, path):
        with self._lock:
            fault = self.fault
            if fault is None or method not in fault.methods or fault.path not in path:
                return None
            if fault.spare:
                fault.spare -= 1
                return None
            if len(fault.hits) == fault.times:
                return None
            fault.hits.append(f"{method} {path}")
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: str
    proxy: FaultProxy

    def forward(self):
        fault = self.proxy.hit(self.command, self.path)
        kind = None if fault is None else fault.kind
        if kind == "reset_before":
            return self._hang_up()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if kind == "hang":
            time.sleep(fault.seconds)
            return self._hang_up()
        if isinstance(kind, int):
            return self._answer(kind, [("Content-Type", "application/xml")], ANSWER % fault.code)
        connection = http.client.HTTPConnection(self.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if kind == "reset_after":
            return self._hang_up()
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        return self._answer(answer.status, answer.getheaders(), data, length, cut=kind == "truncate")

    def _answer(self, status, headers, data, length=None, cut=False):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _hang_up(self):
        self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward

    def log_message(self, *_):
        """Quiet."""
