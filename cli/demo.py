"""`sluice demo backend`: a backend that answers only those who know its secret, or everybody."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cli.faults import Fault

_MAX_BODY_BYTES = 1024 * 1024
_IDLE_SECONDS = 75


class DemoBackend(ThreadingHTTPServer):
    """Answers 200 to requests with `Authorization: Bearer <secret>`, 401 to all others; without a secret 200 to all.

    `secret` must be ASCII: it travels in a header.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, secret: str | None) -> None:
        self.expected = None if secret is None else f"Bearer {secret}".encode("ascii")
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def handle_request(self) -> None:
        body_bytes = self._read_body()
        if body_bytes is None:
            self.close_connection = True
            self._answer(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"message": f"A body of at most {_MAX_BODY_BYTES} bytes is read"}
            )
            return
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        assert isinstance(self.server, DemoBackend)
        expected = self.server.expected
        if expected is not None and not hmac.compare_digest(given, expected):
            self._answer(
                HTTPStatus.UNAUTHORIZED, {"message": "Only requests that came through the gateway are served here"}
            )
            return
        shown = {name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"}
        self._answer(
            HTTPStatus.OK,
            {
                "message": "Hello" if expected is None else "This request came through the gateway",
                "authorized": expected is not None,
                "method": self.command,
                "path": self.path,
                "headers": shown,
                "body_bytes": body_bytes,
            },
        )

    # http.server finds the method to call by its name.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_request  # noqa: N815

    def _read_body(self) -> int | None:
        """Read the whole body. Returns its size in bytes; None when it is too long or badly framed."""
        try:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._read_chunks()
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            return None
        return len(self.rfile.read(length)) if 0 <= length <= _MAX_BODY_BYTES else None

    def _read_chunks(self) -> int | None:
        """Source: RFC 9112 section 7.1; trailers are read and dropped."""
        total = 0
        while size := int(self.rfile.readline(1024).split(b";")[0].strip(), 16):
            total += size
            if size < 0 or total > _MAX_BODY_BYTES:
                return None
            self.rfile.read(size + 2)
        while self.rfile.readline(8192).strip():
            pass
        return total

    def _answer(self, status: HTTPStatus, document: dict[str, object]) -> None:
        content = json.dumps(document, indent=2).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        return "sluice-demo"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del size
        print(f"{self.command or '-'} {getattr(self, 'path', '-')} {int(code)}", flush=True)

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """Nobody needs to read about idle connections that ended."""


def serve(host: str, port: int, secret: str | None) -> None:
    """Serve until interrupted; without a secret everybody.

    Raises: Fault: the port is taken, or the secret cannot be sent in a header.
    """
    if secret is not None and (not secret or not secret.isascii() or not secret.isprintable() or " " in secret):
        raise Fault("the secret must be printable ASCII without blanks", exit_code=2)
    try:
        backend = DemoBackend(host, port, secret)
    except OSError as error:
        raise Fault(f"cannot listen on {host}:{port}: {error.strerror}") from error
    with backend:
        told = "for everybody" if secret is None else f"secret {secret}"
        print(f"demo backend on http://{host}:{backend.server_address[1]}, {told}", flush=True)
        backend.serve_forever(poll_interval=0.2)
