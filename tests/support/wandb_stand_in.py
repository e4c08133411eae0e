"""A stand-in for the service of Weights & Biases on this machine: it takes in runs and keeps them.

It answers what the installed wandb asks: GraphQL, the stream of a run's files, uploads. What comes
is kept in `arrivals`. It can be slow, turn requests away, fall silent and die, as the service can.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wandb_arrivals import Arrivals

KEY = "5" * 40
"""The only key that it knows."""


class StandIn:
    """The service; use it through `standing_in`.

    Args:
        notice: is told each request before it is answered: the operation's name, `file_stream`,
            `upload` or `download`.
    """

    def __init__(self, notice: Callable[[str], None] = lambda _: None) -> None:
        self.arrivals = Arrivals()
        self.asked: list[str] = []
        """Every request so far, as `notice` is told it."""
        self.delay_s = 0.0
        """Before each answer."""
        self.turned_away = 0
        """Of the requests to come, as many are answered with 429."""
        self.faults: list[str] = []
        """What it could not answer, and should have; a test ends with none."""
        self.url = ""
        self.notice = notice
        self._is_silent, self._over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def fall_silent(self) -> None:
        """From now on takes requests and does not answer."""
        self._is_silent.set()

    def die(self) -> None:
        """Closes the port and every connection, as a service does that is killed."""
        if self._server is not None:
            self._server.hang_up()

    def has_taken(self, name: str) -> int:
        """How often something was asked."""
        return self.asked.count(name)

    @contextmanager
    def serving(self) -> Iterator[StandIn]:
        """Listens on a free port, or again on the one before, for as long as the block lasts."""
        port = urllib.parse.urlsplit(self.url).port or 0
        self._server = server = _Server(port, self)
        self.url = self.arrivals.url = f"http://127.0.0.1:{server.server_port}"
        self._over.clear()
        self._is_silent.clear()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            server.hang_up()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, Any] | None:
        """Status and body for a request; None if there is none."""
        path = urllib.parse.urlsplit(request.path).path
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        asked: dict[str, Any] = json.loads(body) if path == "/graphql" else {}
        name = _name(path, request.command, asked)
        with self._lock:
            self.asked.append(name)
        self.notice(name)
        if self._is_silent.is_set():
            self._over.wait()
            return None
        if self._over.wait(self.delay_s):
            return None
        with self._lock:
            if self.turned_away > 0:
                self.turned_away -= 1
                return 429, {"error": "too many requests"}
            if not path.startswith("/storage/") and not _knows(request.headers["Authorization"]):
                return 401, {"errors": [{"message": "user is not logged in"}]}
            if name == "upload":
                return 200, self.arrivals.take_upload(path, body)
            if name == "download":
                return 200, self.arrivals.uploads[path]
            if name == "file_stream":
                return 200, self.arrivals.take_stream(path, json.loads(body))
            return 200, {"data": self.arrivals.answer(name, asked.get("variables") or {})}


def _name(path: str, method: str, asked: dict[str, Any]) -> str:
    if path == "/graphql":
        return str(asked.get("operationName") or _operation(asked["query"]))
    if path.startswith("/storage/"):
        return "upload" if method == "PUT" else "download"
    return "file_stream" if path.endswith("/file_stream") else path


def _operation(query: str) -> str:
    """The name behind `query` or `mutation`."""
    return query.split(maxsplit=2)[1].partition("(")[0].rstrip("{")


def _knows(authorization: str | None) -> bool:
    kind, _, given = (authorization or "").partition(" ")
    return kind == "Basic" and base64.b64decode(given).decode().partition(":")[2] == KEY


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        answer = self.server.stand_in.answer(self)
        if answer is None:
            self.close_connection = True
            return
        status, body = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *args: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.stand_in = stand_in
        self._connections: list[socket.socket] = []
        self._is_over = False

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, *args: object) -> None:
        """Keeps what is no connection cut by either side."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.stand_in.faults.append(traceback.format_exc())

    def hang_up(self) -> None:
        """Closes the port and all connections."""
        if self._is_over:
            return
        self._is_over = True
        threading.Thread(target=self.shutdown, daemon=True).start()
        self.socket.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def standing_in(notice: Callable[[str], None] = lambda _: None) -> Iterator[StandIn]:
    """A stand-in that serves for as long as the block lasts."""
    with StandIn(notice).serving() as stand_in:
        yield stand_in


def wait_for(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Waits until something has happened.

    Raises:
        TimeoutError: if it does not.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen")
        time.sleep(0.02)
