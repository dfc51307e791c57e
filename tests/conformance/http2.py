"""HTTP/2 requests, one per connection, through the h2 library."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.conformance.certificates import common_name
from tests.conformance.client import (
    USER_AGENT,
    NoResponseError,
    Response,
    Target,
    body_of,
    many,
    open_stream,
)
from tests.conformance.wire import Headers, raw, text

if TYPE_CHECKING:
    import asyncio

    from tests.conformance.case import Send


def header_list(send: Send, *, tls: bool) -> Headers:
    """Pseudo headers and headers of a request, names in lower case as the protocol wants them."""
    named = {name.lower() for name in send.headers}
    pieces, content_type = body_of(send)
    lines: Headers = [(":method", send.method), (":scheme", "https" if tls else "http"), (":path", send.path)]
    if send.host is not None:
        lines.append((":authority", send.host))
    if "user-agent" not in named:
        lines.append(("user-agent", USER_AGENT))
    lines += [(name.lower(), value) for name, values in send.headers.items() for value in many(values)]
    if content_type is not None and "content-type" not in named:
        lines.append(("content-type", content_type))
    if pieces is not None and send.chunks is None and "content-length" not in named:
        lines.append(("content-length", str(sum(map(len, pieces)))))
    return lines


async def exchange(target: Target, send: Send) -> Response:
    """Send one request on a connection of its own and read the answer.

    Raises: NoResponseError: no connection, no HTTP/2, a protocol error, or a reset before the answer's head.
    """
    reader, writer = await open_stream(target, send.source, send.sni, ["h2"])
    try:
        return await _Stream(reader, writer).run(send, tls=target.tls)
    except (h2.exceptions.ProtocolError, OSError) as error:
        message = f"no valid answer: {error!r}"
        raise NoResponseError(message) from None
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _Stream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # Cases may send what the library would refuse, so it must not check our own side.
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None
        )
        self._h2 = h2.connection.H2Connection(config)
        self._response: Response | None = None
        self._ended = False

    async def run(self, send: Send, *, tls: bool) -> Response:
        pieces = body_of(send)[0] or []
        self._h2.initiate_connection()
        lines = [(raw(name), raw(value)) for name, value in header_list(send, tls=tls)]
        self._h2.send_headers(1, lines, end_stream=not pieces)
        await self._flush()
        for number, piece in enumerate(pieces):
            await self._send_data(piece, last=number == len(pieces) - 1)
        while not self._ended:
            await self._receive()
        if self._response is None:
            raise NoResponseError("stream ended without an answer")
        self._response.certificate = common_name(self._writer)
        return self._response

    async def _send_data(self, piece: bytes, *, last: bool) -> None:
        rest = piece
        while not self._ended:
            window = min(self._h2.local_flow_control_window(1), self._h2.max_outbound_frame_size)
            if rest and window <= 0:
                await self._receive()
                continue
            part, rest = rest[:window], rest[window:]
            self._h2.send_data(1, part, end_stream=last and not rest)
            await self._flush()
            if not rest:
                return

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()

    async def _receive(self) -> None:
        data = await self._reader.read(65536)
        if not data:
            if self._response is None:
                raise NoResponseError("connection closed before an answer")
            self._ended = True
            return
        for event in self._h2.receive_data(data):
            self._take(event)
        await self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            pairs = cast("list[tuple[bytes, bytes]]", event.headers or [])
            lines = [(text(name), text(value)) for name, value in pairs]
            status = next(int(value) for name, value in lines if name == ":status")
            self._response = Response("2", status, "", [line for line in lines if not line[0].startswith(":")])
        elif isinstance(event, h2.events.DataReceived):
            if self._response is not None:
                self._response.body.data += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, 1)
        elif isinstance(event, h2.events.TrailersReceived):
            pairs = cast("list[tuple[bytes, bytes]]", event.headers or [])
            if self._response is not None:
                self._response.body.trailers += [(text(name), text(value)) for name, value in pairs]
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
            if self._response is not None:
                self._response.body.complete = True
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            self._ended = True
            if self._response is None:
                message = f"stream reset: {event.error_code!r}"
                raise NoResponseError(message)
