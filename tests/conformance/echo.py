"""Echo backends: they record exactly what reaches them and answer as the request's `x-echo-*` headers say."""

from __future__ import annotations

import asyncio
import http
import json
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from tests.conformance.certificates import backend_identity, server_context
from tests.conformance.wire import Body, EarlyEnd, Headers, MessageReader, WireError, has_token, raw, text, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST: Final = "127.0.0.1"
_REQUEST_LINE: Final = re.compile(rb"([^ ]+) ([^ ]+) HTTP/(1\.[01])")
_SET: Final = "x-echo-set-"
_LONGEST_DELAY_MS: Final = 60_000


@dataclass(slots=True)
class Received:
    """A request that reached a backend; recorded when its head is there, its body fills afterwards."""

    backend: str
    method: str
    path: str
    version: str
    headers: Headers
    body: Body = field(default_factory=Body)
    problem: str = ""

    def document(self) -> dict[str, object]:
        """What the echo backend answers with."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": [list(line) for line in self.headers],
            "body": text(bytes(self.body.data)),
        }


class Record:
    """The requests that reached the backends of one case, in order of their heads."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self._changed = asyncio.Event()

    def add(self, request: Received) -> None:
        self.requests.append(request)
        self.changed()

    def changed(self) -> None:
        self._changed.set()

    async def settle(self, start: int, count: int, patience_seconds: float) -> list[Received]:
        """The requests from position `start` on, waiting until `count` of them are complete or patience ends.

        An answer can overtake the end of its request, so the judge must not look too early.
        """
        deadline = asyncio.get_running_loop().time() + patience_seconds
        while True:
            requests = self.requests[start:]
            if len(requests) >= count and all(request.body.complete or request.problem for request in requests):
                return requests
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return self.requests[start:]


async def serve_connection(
    backend: str, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, silent: bool
) -> None:
    """Serve one connection until it ends: read, record, answer (never, when `silent`)."""
    messages = MessageReader(reader)
    while True:
        request = await _receive(backend, record, messages, writer)
        if request is None:
            return
        if silent:
            await reader.read()  # holds the connection open for as long as the gateway does
            return
        if not await _answer(request, writer):
            return


async def _receive(
    backend: str, record: Record, messages: MessageReader, writer: asyncio.StreamWriter
) -> Received | None:
    try:
        line, headers = await messages.head()
    except EarlyEnd:
        if messages.held:
            record.add(Received(backend, "", "", "", [], problem=f"closed within a request head: {messages.held!r}"))
        return None
    except WireError as error:
        record.add(Received(backend, "", "", "", [], problem=str(error)))
        return None
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        record.add(Received(backend, "", "", "", headers, problem=f"request line {line!r}"))
        return None
    request = Received(backend, text(match[1]), text(match[2]), text(match[3]), headers)
    record.add(request)
    if has_token(headers, "expect", "100-continue"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        await messages.body(headers, request.body, until_close=False)
    except EarlyEnd:
        # A client that gives up in the middle is no fault of the gateway; the body just stays incomplete.
        return None
    except WireError as error:
        request.problem = str(error)
        return None
    finally:
        record.changed()
    return request


async def _answer(request: Received, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; False when the connection ends with it."""
    control = {key.lower(): value for key, value in request.headers if key.lower().startswith("x-echo-")}
    closing = control.get("x-echo-close")
    await asyncio.sleep(min(_number(control.get("x-echo-delay-ms"), 0), _LONGEST_DELAY_MS) / 1000)
    if closing == "before-headers":
        return False
    status = _number(control.get("x-echo-status"), 200)
    body = raw(control["x-echo-body"]) if "x-echo-body" in control else json.dumps(request.document()).encode()
    wanted = [(key[len(_SET) :], value) for key, value in request.headers if key.lower().startswith(_SET)]
    bodiless = request.method == "HEAD" or status in {204, 304} or 100 <= status < 200

    headers: Headers = []
    content_type = control.get("x-echo-content-type", "application/json")
    if content_type:
        headers.append(("Content-Type", content_type))
    chunked = has_token(wanted, "transfer-encoding", "chunked")
    framed = chunked or bool(values_of(wanted, "content-length"))
    if not framed and not (status == 204 or 100 <= status < 200):
        headers.append(("Content-Length", str(len(body))))
    keeps = _keeps_alive(request, wanted)
    if not keeps and not values_of(wanted, "connection"):
        headers.append(("Connection", "close"))
    elif request.version == "1.0" and not values_of(wanted, "connection"):
        headers.append(("Connection", "keep-alive"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*headers, *wanted])
    writer.write(raw(f"HTTP/1.1 {status} {_reason(status)}\r\n{lines}\r\n"))
    if not bodiless:
        half = len(body) // 2
        parts = [body[:half]] if closing == "mid-body" else [body[:half], body[half:]]
        for part in parts:
            if part:
                writer.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        if chunked and closing != "mid-body":
            writer.write(b"0\r\n\r\n")
    await writer.drain()
    return keeps and closing is None


def _keeps_alive(request: Received, answered: Headers) -> bool:
    if has_token(request.headers, "connection", "close") or has_token(answered, "connection", "close"):
        return False
    return request.version == "1.1" or has_token(request.headers, "connection", "keep-alive")


def _number(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isascii() and value.isdigit() else default


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unnamed"


class Backends:
    """The backends that one case names, on ports of their own; an async context manager."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._conversations: set[asyncio.Task[None]] = set()
        self.addresses: dict[str, tuple[str, int]] = {}
        self.record = Record()

    @property
    def authority(self) -> str:
        """PEM text of the authority behind the TLS backend; empty when the case has none."""
        return backend_identity().authority if "$upstream_tls" in self._names else ""

    def name_of(self, url: str) -> str:
        """The placeholder name of a base URL, or the URL itself when it is none of ours."""
        for name, (host, port) in self.addresses.items():
            if url.endswith(f"//{host}:{port}"):
                return name
        return url

    async def __aenter__(self) -> Self:
        for name in self._names:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind((HOST, 0))
            self.addresses[name] = (HOST, listener.getsockname()[1])
            if name == "$upstream_down":
                self._sockets.append(
                    listener
                )  # bound and not listening: nobody else gets the port, everybody is refused
            else:
                await self._listen(name, listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations)
        for server in self._servers:
            await server.wait_closed()
        for listener in self._sockets:
            listener.close()

    async def _listen(self, name: str, listener: socket.socket) -> None:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve_connection(name, self.record, reader, writer, silent=name == "$upstream_silent")
                writer.close()  # what is still in the buffer belongs to the answer
                await writer.wait_closed()
            except (OSError, asyncio.CancelledError):
                writer.transport.abort()

        # A task of our own: one that the streams module makes complains when it is cancelled.
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversation = asyncio.create_task(converse(reader, writer))
            self._conversations.add(conversation)
            conversation.add_done_callback(self._conversations.discard)

        tls = server_context(backend_identity()) if name == "$upstream_tls" else None
        self._servers.append(await asyncio.start_server(accept, sock=listener, ssl=tls, backlog=1024))
