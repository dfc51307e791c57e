"""Echo backends: they record exactly what reaches them and answer as the request's `x-echo-*` headers say."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from tests.conformance import grpc
from tests.conformance.certificates import authority, backend_identity, common_name, server_context
from tests.conformance.received import Received, Record
from tests.conformance.wire import EarlyEnd, Headers, MessageReader, WireError, has_token, raw, text, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST: Final = "127.0.0.1"
RECEIVER: Final = "$receiver"
_REQUEST_LINE: Final = re.compile(rb"([^ ]+) ([^ ]+) HTTP/(1\.[01])")
_SET: Final = "x-echo-set-"
# The backends with TLS, and what they speak within it.
_TLS: Final = {"$upstream_tls": "http/1.1", "$upstream_grpcs": "h2"}
# Who the gateway says it is when it probes a target; that is no traffic of the case.
_PROBES: Final = "sluice/healthcheck"
_LONGEST_DELAY_MS: Final = 60_000


@dataclass(slots=True)
class Behaviour:
    """How a backend behaves now: `answers`, `refuses`, `stalls` or `closes`, with which status and after how long it answers."""

    does: str = "answers"
    status: int = 200
    delay_ms: int = 0


async def serve_connection(
    backend: str, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behaviour: Behaviour
) -> None:
    """Serve one connection until it ends: read, record, and answer if that is how the backend behaves."""
    messages = MessageReader(reader)
    while True:
        request = await _receive(backend, record, messages, writer)
        if request is None:
            return
        request.certificate = common_name(writer)
        if behaviour.does == "stalls":
            await reader.read()  # holds the connection open for as long as the gateway does
            return
        if behaviour.does != "answers":
            return
        if has_token(request.headers, "upgrade", "websocket"):
            await _tunnel(messages, writer)
            return
        if not await _answer(request, writer, behaviour):
            return


async def _tunnel(messages: MessageReader, writer: asyncio.StreamWriter) -> None:
    """Switch protocols and send back whatever comes, until the other side has no more."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    while data := await messages.exactly(1):
        writer.write(data)
        await writer.drain()


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
    if values_of(headers, "user-agent") != [_PROBES]:
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


async def _answer(request: Received, writer: asyncio.StreamWriter, usual: Behaviour) -> bool:
    """Answer one request; False when the connection ends with it."""
    control = {key.lower(): value for key, value in request.headers if key.lower().startswith("x-echo-")}
    closing = control.get("x-echo-close")
    await asyncio.sleep(min(_number(control.get("x-echo-delay-ms"), usual.delay_ms), _LONGEST_DELAY_MS) / 1000)
    if closing == "before-headers":
        return False
    status = _number(control.get("x-echo-status"), usual.status)
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
        self._kept: dict[str, socket.socket] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._behaviours = {
            name: Behaviour("stalls" if name == "$upstream_silent" else "answers") for name in self._names
        }
        self._conversations: set[asyncio.Task[None]] = set()
        self.addresses: dict[str, tuple[str, int]] = {}
        self.record = Record()
        # What plugins post is no traffic of the case.
        self.posted = Record()

    @property
    def authority(self) -> str:
        """PEM text of the authority behind the TLS backend; empty when the case has none."""
        return authority().certificate if _TLS.keys() & self._names else ""

    def name_of(self, url: str) -> str:
        """The placeholder name of a base URL, or the URL itself when it is none of ours."""
        for name, (host, port) in self.addresses.items():
            if url.endswith(f"//{host}:{port}"):
                return name
        return url

    async def __aenter__(self) -> Self:
        for name in self._names:
            listener = _bound((HOST, 0))
            self.addresses[name] = (HOST, listener.getsockname()[1])
            if name == "$upstream_down":
                self._kept[name] = listener  # nobody else gets the port, everybody is refused
            else:
                await self._listen(name, listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end(self._servers.values())
        await asyncio.sleep(0)  # whom the loop has let in already starts to talk now
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        for server in self._servers.values():
            await server.wait_closed()
        for listener in self._kept.values():
            listener.close()

    async def behave(self, name: str, behaviour: Behaviour) -> None:
        """Change how a backend behaves; one that refuses cuts the connections that it has, too."""
        current, does = self._behaviours[name], behaviour.does
        current.does, current.status, current.delay_ms = does, behaviour.status, behaviour.delay_ms
        server = self._servers.get(name)
        if does == "refuses" and server is not None:
            await _end([self._servers.pop(name)])
            for conversation in self._conversations:
                if conversation.get_name() == name:
                    conversation.cancel()
            self._kept[name] = _bound(self.addresses[name])  # nobody else gets the port
        elif does != "refuses" and server is None:
            await self._listen(name, self._kept.pop(name))

    async def _listen(self, name: str, listener: socket.socket) -> None:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                if name in {"$upstream_grpc", "$upstream_grpcs"}:
                    answers = self._behaviours[name].does == "answers"
                    await grpc.serve_grpc(name, self.record, reader, writer, answers=answers)
                else:
                    record = self.posted if name == RECEIVER else self.record
                    await serve_connection(name, record, reader, writer, self._behaviours[name])
                writer.close()  # what is still in the buffer belongs to the answer
                await writer.wait_closed()

        # A task of our own: one that the streams module makes complains when it is cancelled.
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversation = asyncio.create_task(converse(reader, writer), name=name)
            self._conversations.add(conversation)

            def ended(task: asyncio.Task[None]) -> None:
                self._conversations.discard(task)
                writer.transport.abort()  # here, for one that is cancelled before its first step does nothing itself

            conversation.add_done_callback(ended)

        protocol = _TLS.get(name)
        tls = server_context(backend_identity(), protocol) if protocol is not None else None
        self._servers[name] = await asyncio.start_server(accept, sock=listener, ssl=tls, backlog=1024)


async def _end(servers: Iterable[asyncio.Server]) -> None:
    """Close servers, those whom they have just let in first: a closed server fails at them and leaves their sockets open."""
    ending = list(servers)
    loop = asyncio.get_running_loop()
    for server in ending:
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)
    for server in ending:
        server.close()


def _bound(address: tuple[str, int]) -> socket.socket:
    """A socket that has an address and does not listen yet."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of before may linger when the backend comes back.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    return listener
