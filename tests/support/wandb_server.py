"""Servers of this machine that answer W&B as told: none of them is one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS: dict[str, tuple[int, str, str]] = {
    "a page": (200, "text/html", "<html><body>Please sign in to the network.</body></html>"),
    "an error": (200, "application/json", '{"errors": [{"message": "no such thing"}]}'),
    "null": (200, "application/json", '{"data": null}'),
    "nothing": (200, "application/json", ""),
    "too many": (429, "application/json", '{"error": "too many requests"}'),
    "broken": (500, "text/plain", "Internal Server Error"),
    "forbidden": (403, "application/json", '{"errors": [{"message": "permission denied"}]}'),
}
"""Status, content type and body by name; beside these there is `silence`."""


@contextmanager
def answering(how: str) -> Iterator[str]:
    """Yields the URL of a server that answers every request alike.

    Args:
        how: a name of `ANSWERS`, or `silence`: it takes the request and never answers.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if how == "silence":
                over.wait()
                return
            status, kind, body = ANSWERS[how]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_HEAD = _answer

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A client that went away is no fault of a test."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            over.set()
            server.shutdown()
            thread.join()
