"""A backend that speaks gRPC over HTTP/2, with TLS or without: what comes as messages goes back as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.conformance.certificates import common_name
from tests.conformance.received import Received
from tests.conformance.wire import Headers, text, values_of

if TYPE_CHECKING:
    import asyncio

    from tests.conformance.received import Record

_READ_BYTES: Final = 64 * 1024


async def serve_grpc(
    backend: str, record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
) -> None:
    """Serve one connection until it ends. Answers, if any, come when a request is complete."""
    config = h2.config.H2Configuration(client_side=False, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    requests: dict[int, Received] = {}
    connection.initiate_connection()
    try:
        while True:
            writer.write(connection.data_to_send())
            await writer.drain()
            data = await reader.read(_READ_BYTES)
            if not data:
                return
            for event in connection.receive_data(data):
                request = _take(event, requests, backend, record)
                if isinstance(event, h2.events.RequestReceived):
                    requests[event.stream_id or 0].certificate = common_name(writer)
                if isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                if isinstance(event, h2.events.StreamEnded) and request is not None and answers:
                    _answer(request, connection, event.stream_id or 0)
    except h2.exceptions.ProtocolError as error:
        record.add(Received(backend, "", "", "2", [], problem=f"broken HTTP/2: {error!r}"))


def _take(event: h2.events.Event, requests: dict[int, Received], backend: str, record: Record) -> Received | None:
    """Record what comes; the request that is complete with it, if one is."""
    if isinstance(event, h2.events.RequestReceived):
        lines = _lines(event.headers)
        pseudo = {name: value for name, value in lines if name.startswith(":")}
        rest = [line for line in lines if not line[0].startswith(":")]
        request = Received(backend, pseudo[":method"], pseudo[":path"], "2", [("host", pseudo[":authority"]), *rest])
        requests[event.stream_id or 0] = request
        record.add(request)
    elif isinstance(event, h2.events.DataReceived):
        requests[event.stream_id or 0].body.data += event.data or b""
    elif isinstance(event, h2.events.TrailersReceived):
        requests[event.stream_id or 0].body.trailers += _lines(event.headers)
    elif isinstance(event, h2.events.StreamEnded):
        request = requests.pop(event.stream_id or 0)
        request.body.complete = True
        record.changed()
        return request
    return None


def _answer(request: Received, connection: h2.connection.H2Connection, stream: int) -> None:
    status = next(iter(values_of(request.headers, "x-echo-grpc-status")), "0")
    trailers = [("grpc-status", status), ("x-trailer", "from-the-backend")]
    if status != "0":
        trailers.append(("grpc-message", "as asked"))
    connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    connection.send_data(stream, bytes(request.body.data))
    connection.send_headers(stream, trailers, end_stream=True)


def _lines(headers: object) -> Headers:
    return [(text(name), text(value)) for name, value in cast("list[tuple[bytes, bytes]]", headers or [])]
