"""Calls of many tenants through one engine over shared HTTP/2 connections to one misbehaving upstream.

As `cross_talk.py` does over HTTP/1: each call carries a token in path, headers, body and trailers; the upstream answers out of order, resets
streams, says farewell, dies, and sends frames for streams that nobody opened or that have ended. Whatever happens, nobody may
see a token that is not their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

from tests.framing.cross_talk import TENANTS, Findings, fill
from tests.framing.gateway import gateway

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_LANES_PER_TENANT: Final = 2
_TOKEN: Final = re.compile(rb"<t[0-9]+n[0-9]+>")
_PATIENCE_SECONDS: Final = 20.0
_CONFIG_CLIENT: Final = h2.config.H2Configuration(client_side=True, header_encoding=None)
_CONFIG_SERVER: Final = h2.config.H2Configuration(
    client_side=False, header_encoding=None, validate_inbound_headers=True
)
# What the upstream does with a call.
CALL_PLANS: Final = (
    *("whole",) * 20, *("slow",) * 12, *("trailers-only",) * 4, *("early",) * 4, *("reset",) * 4, *("reset-in-body",) * 4, *("hints",) * 4,
    *("turned-away",) * 4, *("farewell",) * 2, "dies", "dies-in-body", "stray-stream", "surplus",
)  # fmt: skip


@dataclass(slots=True)
class Call:
    """A call as either side knows it: its token, and what has come of it."""

    token: bytes
    plan: str
    size: int
    data: bytearray = field(default_factory=bytearray)
    fields: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    over: bool = False
    reset: bool = False


class Upstream:
    """Serves all tenants on one port, each call by its plan."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._turned_away: set[bytes] = set()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection."""
        link = _Link(h2.connection.H2Connection(_CONFIG_SERVER), writer)
        calls: dict[int, Call] = {}
        answers: set[asyncio.Task[None]] = set()
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            link.connection.initiate_connection()
            await link.flush()
            while data := await reader.read(65536):
                for event in link.connection.receive_data(data):
                    if isinstance(event, h2.events.WindowUpdated):
                        link.window.set()
                    elif call := _take(event, calls):
                        answers.add(asyncio.create_task(self._answer(link, event.stream_id, call)))  # type: ignore[attr-defined]
                        del calls[event.stream_id]  # type: ignore[attr-defined]
                    if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                        link.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await link.flush()
        for answer in answers:
            answer.cancel()
        writer.transport.abort()

    async def _answer(self, link: _Link, stream: int, call: Call) -> None:
        self._findings.asked[call.plan] += 1
        self._check(call)
        dice = Random(call.token)
        body = fill(call.token, 50 + dice.randrange(20_000))
        head = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"x-token", call.token)]
        end = [(b"grpc-status", b"0"), (b"x-end", call.token)]
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError, KeyError):
            await asyncio.sleep(dice.choice((0, 0, 0.001, 0.003)))
            match call.plan:
                case "trailers-only":
                    link.connection.send_headers(stream, [*head, *end], end_stream=True)
                case "reset":
                    link.connection.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
                case "turned-away" if call.token not in self._turned_away:
                    self._turned_away.add(call.token)
                    link.connection.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
                case "dies":
                    link.writer.transport.abort()
                case "reset-in-body" | "dies-in-body":
                    link.connection.send_headers(stream, head)
                    await link.send(stream, body[: len(body) // 2], call)
                    if call.plan == "dies-in-body":
                        link.writer.transport.abort()
                    else:
                        link.connection.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                case _:
                    if call.plan == "hints":
                        link.connection.send_headers(stream, [(b":status", b"103"), (b"x-token", call.token)])
                    if call.plan == "farewell":
                        await link.write(GoAwayFrame(0, last_stream_id=stream).serialize())
                    link.connection.send_headers(stream, head)
                    await link.send(stream, body, call, pause=0.001 if call.plan == "slow" else 0)
                    link.connection.send_headers(stream, end, end_stream=True)
            await link.flush()
            if call.plan in {"stray-stream", "surplus"}:
                await link.poison(stream if call.plan == "surplus" else stream + 1000, call.token)
            if call.plan == "farewell":
                await asyncio.sleep(0.05)
                link.writer.close()

    def _check(self, call: Call) -> None:
        tokens = set(_TOKEN.findall(b" ".join(value for _, value in call.fields)))
        wrong = bytes(call.data) != fill(call.token, len(call.data)) and call.plan != "early"
        if wrong or tokens != {call.token}:
            self._findings.problems.append(f"the upstream got {call}")


def _take(event: object, calls: dict[int, Call]) -> Call | None:
    """Adds an event to the call that it is about; the call, when it is to be answered."""
    if isinstance(event, h2.events.RequestReceived):
        fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        named = dict(fields)
        plan, token = named[b":path"].split(b"/")[2].decode(), named[b"x-token"]
        calls[event.stream_id] = Call(token, plan, 0, fields=fields)
        return calls[event.stream_id] if plan == "early" else None
    if isinstance(event, h2.events.DataReceived) and event.stream_id in calls:
        calls[event.stream_id].data += event.data
    if isinstance(event, h2.events.StreamReset):
        calls.pop(event.stream_id, None)
    if isinstance(event, h2.events.StreamEnded):
        return calls.get(event.stream_id)
    return None


@dataclass(slots=True)
class _Link:
    """One connection of either side; `window` says that the other side takes more."""

    connection: h2.connection.H2Connection
    writer: StreamWriter
    window: asyncio.Event = field(default_factory=asyncio.Event)

    async def flush(self) -> None:
        """Send what there is to send."""
        await self.write(self.connection.data_to_send())

    async def write(self, data: bytes) -> None:
        """Send as it is.

        Raises: ConnectionError: the connection has been ended.
        """
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, stream: int, data: bytes, call: Call, *, pause: float = 0, ends: bool = False) -> None:
        """A body, as fast as the other side takes it, and as long as it listens."""
        while data and not call.over:
            room = min(
                self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size, len(data)
            )
            if not room:
                self.window.clear()
                await self.flush()
                await asyncio.wait_for(self.window.wait(), _PATIENCE_SECONDS)
                continue
            self.connection.send_data(stream, data[:room], end_stream=ends and room == len(data))
            data = data[room:]
            if pause:
                await self.flush()
                await asyncio.sleep(pause)
        await self.flush()

    async def poison(self, stream: int, token: bytes) -> None:
        """Frames for a stream that nobody has opened, or that has ended."""
        text = b"<" + token[1:].partition(b"n")[0] + b"n0>"
        frames = HeadersFrame(stream, data=b"\x88", flags=["END_HEADERS"]), DataFrame(stream, data=text)
        await self.write(b"".join(frame.serialize() for frame in frames))


@dataclass(slots=True)
class _Client:
    tenant: int
    port: int
    dice: Random
    findings: Findings
    number: int

    async def play(self, count: int) -> None:
        """So many calls, some at once on each connection."""
        end = self.number + count
        while self.number < end:
            batch = [self._call() for _ in range(1 + self.dice.randrange(8))]
            try:
                await asyncio.wait_for(self._connection(batch), _PATIENCE_SECONDS)
            except TimeoutError:
                self.findings.problems.append(f"no end of {[call for call in batch if not call.over]}")
            except (OSError, h2.exceptions.ProtocolError) as error:
                self.findings.problems.append(f"the gateway breaks off a client's connection: {error!r}")

    def _call(self) -> Call:
        self.number += 1
        token = b"<t%dn%d>" % (self.tenant, self.number)
        return Call(token, self.dice.choice(CALL_PLANS), self.dice.choice((20, 3000, 70_000)))

    async def _connection(self, batch: list[Call]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        link = _Link(h2.connection.H2Connection(_CONFIG_CLIENT), writer)
        link.connection.initiate_connection()
        calls: dict[int, Call] = {}
        try:
            reading = asyncio.create_task(self._read(link, reader, calls, len(batch)))
            for call in batch:
                stream = link.connection.get_next_available_stream_id()
                calls[stream] = call
                link.connection.send_headers(stream, self._head(call))
                with contextlib.suppress(h2.exceptions.StreamClosedError):
                    await link.send(stream, fill(call.token, call.size), call, ends=True)
            await reading
        finally:
            writer.transport.abort()
        for call in batch:
            self._look(call)

    def _head(self, call: Call) -> list[tuple[bytes, bytes]]:
        path = b"/call/%b/%b" % (call.plan.encode(), call.token.strip(b"<>"))
        pseudo = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"t%d" % self.tenant),
            (b":path", path),
        ]
        return [*pseudo, (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"x-token", call.token)]

    async def _read(self, link: _Link, reader: StreamReader, calls: dict[int, Call], count: int) -> None:
        while sum(call.over for call in calls.values()) < count:
            data = await reader.read(65536)
            if not data:
                raise ConnectionError("closed")
            for event in link.connection.receive_data(data):
                if isinstance(event, h2.events.WindowUpdated):
                    link.window.set()
                stream = getattr(event, "stream_id", 0)
                if stream not in calls:
                    continue
                call = calls[stream]
                if isinstance(
                    event,
                    h2.events.ResponseReceived | h2.events.TrailersReceived | h2.events.InformationalResponseReceived,
                ):
                    call.fields += [(bytes(name), bytes(value)) for name, value in event.headers]
                elif isinstance(event, h2.events.DataReceived):
                    call.data += event.data
                    if event.flow_controlled_length:
                        link.connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    call.over, call.reset = True, isinstance(event, h2.events.StreamReset)
                    link.window.set()
            await link.flush()

    def _look(self, call: Call) -> None:
        values = b" ".join(value for _, value in call.fields)
        foreign = set(_TOKEN.findall(values + b" " + bytes(call.data))) - {call.token}
        wrong = foreign or bytes(call.data) != fill(call.token, len(call.data))
        if wrong:
            self.findings.problems.append(
                f"{call.token!r} {call.plan} got {foreign} in {call.fields} {call.data[:200]!r}"
            )
        named = dict(call.fields)
        self.findings.answers["reset" if call.reset else named.get(b"grpc-status", b"none").decode()] += 1


async def call_all(seed: int, calls: int) -> Findings:
    """All tenants at once, `calls` calls in all."""
    findings = Findings(asked=Counter())
    lanes = TENANTS * _LANES_PER_TENANT
    server = await asyncio.start_server(Upstream(findings).serve, "127.0.0.1", 0, backlog=1024)
    hosts = tuple(f"t{tenant}" for tenant in range(TENANTS))
    async with (
        server,
        gateway(server.sockets[0].getsockname()[1], hosts, protocol="grpc") as port,
        asyncio.TaskGroup() as group,
    ):
        for lane in range(lanes):
            dice = Random(seed * 1000 + lane)
            client = _Client(lane % TENANTS, port, dice, findings, lane * 1_000_000)
            group.create_task(client.play(calls // lanes))
    return findings
