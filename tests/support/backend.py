"""A backend that says which `Host` and `Authorization` it was shown, and a client that never stops asking."""

import json
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        names = ("Host", "Authorization")
        seen = {name.lower(): self.headers.get(name) for name in names}
        body = json.dumps({"path": self.path, **seen}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        """Quiet: pytest shows what matters."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A gateway that is killed resets its connections: nothing to report."""


@contextmanager
def echo_backend() -> Generator[str]:
    """Yields the base URL of a backend on a free loopback port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def ask(port: int, host: str, path: str, *, timeout_seconds: float = 5.0) -> tuple[int, str]:
    """One request through a gateway's listener. Returns status and the `Authorization` that the backend saw.

    Raises: OSError, HTTPException: no answer.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        body = response.read()
        seen = json.loads(body).get("authorization") if response.status == 200 else None
        return response.status, seen or ""
    finally:
        connection.close()


class Traffic(threading.Thread):
    """Asks a gateway again and again over one kept connection and remembers every answer and failure."""

    def __init__(self, port: int, host: str, path: str) -> None:
        super().__init__(daemon=True)
        self.answers: Counter[tuple[int, str]] = Counter()
        self.failures: list[str] = []
        self._address = (port, host, path)
        self._ended = threading.Event()

    def run(self) -> None:
        port, host, path = self._address
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        while not self._ended.is_set():
            try:
                connection.request("GET", path, headers={"Host": host})
                response = connection.getresponse()
                body = response.read()
                seen = json.loads(body).get("authorization") if response.status == 200 else ""
                self.answers[response.status, seen or ""] += 1
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(0.002)
        connection.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(10)
