"""Many tenants through one engine to one misbehaving upstream; everything that travels says whose it is.

Requests and responses carry a token in path, headers and bodies. The upstream dies in the middle of responses, cuts idle
connections, answers before it has read, says more than it was asked for; clients pipeline and break off. Whatever happens,
nobody may see a token that is not their own, and the upstream may not see two in one request.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from tests.framing import strict
from tests.framing.gateway import gateway
from tests.framing.strict import Answer, Rest, Unreadable

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

TENANTS: Final = 8
_LANES_PER_TENANT: Final = 4
_TOKEN: Final = re.compile(rb"<t[0-9]+n[0-9]+>")
_PATIENCE_SECONDS: Final = 20.0
# What the upstream does with a request.
PLANS: Final = (
    "length", "length", "length", "chunked", "until-close", "close", "dies", "dies-in-head", "dies-in-body", "dies-in-chunk",
    "early", "early-and-close", "hints", "empty", "not-modified", "surplus", "slow", "head-with-body", "trailers",
)  # fmt: skip
# HTTP/1 has no numbers: what an upstream says between two requests may be taken for the answer to the second. That must
# stay within the tenant whose upstream it is.
UNRULY_PLANS: Final = (*PLANS, "late-surplus", "late-surplus", "late-surplus")


@dataclass(frozen=True, slots=True)
class Wish:
    """One request: its tenant and number, its method, what the upstream is to do, and how large its body is."""

    tenant: int
    number: int
    method: bytes
    plan: str
    size: int
    chunked: bool
    expects: bool

    @property
    def token(self) -> bytes:
        """What marks everything of this exchange."""
        return b"<t%dn%d>" % (self.tenant, self.number)

    def bytes(self, *, last: bool = False) -> bytes:
        """The request as it is sent."""
        body = fill(self.token, self.size)
        path = b"/%b/%d" % (self.plan.encode(), self.number)
        fields = b"Host: t%d\r\nX-Token: %b\r\nTE: trailers\r\nConnection: TE%b\r\n" % (
            self.tenant, self.token, b", close" if last else b"",
        )  # fmt: skip
        if self.expects and body:
            fields += b"Expect: 100-continue\r\n"
        if not body:
            return self.method + b" " + path + b" HTTP/1.1\r\n" + fields + b"\r\n"
        if self.chunked:
            half = len(body) // 2
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:half], body[half:]) if piece)
            return (
                self.method
                + b" "
                + path
                + b" HTTP/1.1\r\n"
                + fields
                + b"Transfer-Encoding: chunked\r\n\r\n"
                + pieces
                + b"0\r\n\r\n"
            )
        return self.method + b" " + path + b" HTTP/1.1\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


@dataclass(slots=True)
class Findings:
    """What was seen that should not be, and how much happened."""

    problems: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)


def fill(token: bytes, size: int) -> bytes:
    """A body of this size that says whose it is all over."""
    return (token * (size // len(token) + 1))[:size]


class Upstream:
    """Serves all tenants on one port, each request by its plan."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._died: set[bytes] = set()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection."""
        data = b""
        with contextlib.suppress(OSError):
            while True:
                head, data = await _head(reader, data)
                if head is None:
                    break
                early = b"/early" in head.split(b"\r\n")[0]
                if early:
                    await self._answer(head, b"", writer)
                    if b"/early-and-close" in head:
                        break
                message, data = await _whole(reader, head, data)
                if message is None:
                    break
                self._check(message)
                if not early and not await self._answer(head, message.body, writer):
                    break
        writer.close()

    def _check(self, message: strict.Message) -> None:
        token = message.field(b"x-token")
        number = message.target.rpartition(b"/")[2]
        wrong = message.body != fill(token, len(message.body)) or not token.endswith(b"n%b>" % number)
        tokens = set(_TOKEN.findall(b" ".join(value for _, value in message.fields)))
        if wrong or tokens != {token} or b"t%b" % token[2:].partition(b"n")[0] != message.field(b"x-forwarded-host"):
            self._findings.problems.append(f"the upstream got {message}")

    async def _answer(self, head: bytes, body: bytes, writer: StreamWriter) -> bool:
        """Answers by the plan; whether the connection goes on."""
        del body
        line = head.split(b"\r\n")[0]
        method, target, _ = line.split(b" ")
        plan = target.split(b"/")[1].decode()
        token = _TOKEN.findall(head)[0]
        self._findings.asked[plan] += 1
        own, text = (
            b"X-Token: " + token + b"\r\n",
            fill(token, 3000 + len(token) * (int(target.rpartition(b"/")[2]) % 500)),
        )
        length = b"Content-Length: %d\r\n" % len(text)
        ok, chunked = b"HTTP/1.1 200 OK\r\n" + own, b"Transfer-Encoding: chunked\r\n\r\n"
        sent = text if method != b"HEAD" else b""
        half = len(text) // 2
        pieces = (
            b"%x\r\n%b\r\n%x;x=%b\r\n%b\r\n" % (half, text[:half], len(text) - half, token, text[half:])
            if sent
            else b""
        )
        tenant = token[2:].partition(b"n")[0]
        poison = b"<t%bn0>" % tenant
        goes_on = True
        match plan:
            case "chunked":
                out = ok + chunked + pieces + (b"0\r\n\r\n" if sent else b"")
            case "trailers":
                out = ok + chunked + pieces + (b"0\r\nX-End: %b\r\n\r\n" % token if sent else b"")
            case "until-close":
                out, goes_on = ok + b"\r\n" + sent, False
            case "close":
                out, goes_on = ok + length + b"\r\n" + sent, False
            case "dies" if token not in self._died:
                self._died.add(token)
                out, goes_on = b"", False
            case "dies-in-head":
                out, goes_on = ok[:-5], False
            case "dies-in-body":
                out, goes_on = ok + length + b"\r\n" + sent[:half], False
            case "dies-in-chunk":
                out, goes_on = ok + chunked + pieces[: half // 2], False
            case "hints":
                out = b"HTTP/1.1 103 Early Hints\r\n" + own + b"\r\n" + ok + length + b"\r\n" + sent
            case "empty":
                out = b"HTTP/1.1 204 No Content\r\n" + own + b"\r\n"
            case "not-modified":
                out = b"HTTP/1.1 304 Not Modified\r\n" + own + length + b"\r\n"
            case "surplus":
                out = ok + b"Content-Length: 2\r\n\r\n" + sent[:2] + _unasked(poison)
            case "head-with-body":
                # To a HEAD this is poison: nobody expects a body there.
                out = ok + length + b"\r\n" + text
            case _:
                out = ok + length + b"\r\n" + sent
        if plan == "slow" and len(out) > 10:
            writer.write(out[: len(out) // 3])
            await writer.drain()
            await asyncio.sleep(0.002)
            out = out[len(out) // 3 :]
        writer.write(out)
        await writer.drain()
        if plan == "late-surplus":
            await asyncio.sleep(0.001)
            writer.write(_unasked(poison))
        return goes_on


def _unasked(token: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX-Token: %b\r\nContent-Length: %d\r\n\r\n%b" % (token, len(token), token)


async def _head(reader: StreamReader, data: bytes) -> tuple[bytes | None, bytes]:
    while b"\r\n\r\n" not in data:
        more = await reader.read(65536)
        if not more:
            return None, data
        data += more
    end = data.index(b"\r\n\r\n") + 4
    return data[:end], data[end:]


async def _whole(reader: StreamReader, head: bytes, data: bytes) -> tuple[strict.Message | None, bytes]:
    while True:
        try:
            message = strict.request(head + data, 0)
        except Unreadable as gap:
            if gap.rest is Rest.GARBAGE:
                raise
            more = await reader.read(65536)
            if not more:
                return None, data
            data += more
        else:
            return message, data[message.end - len(head) :]


@dataclass(slots=True)
class Client:
    """One tenant's lane: connections one after the other, each with some requests."""

    tenant: int
    port: int
    dice: Random
    findings: Findings
    number: int
    plans: tuple[str, ...] = PLANS

    async def play(self, count: int) -> None:
        """So many requests."""
        end = self.number + count
        while self.number < end:
            batch = [self._wish() for _ in range(1 + self.dice.randrange(5))]
            try:
                await asyncio.wait_for(self._connection(batch), _PATIENCE_SECONDS)
            except TimeoutError:
                self.findings.problems.append(f"no end of {batch}")
            except OSError:
                self.findings.answers["broken"] += 1

    def _wish(self) -> Wish:
        self.number += 1
        dice = self.dice
        method = dice.choice((b"GET", b"GET", b"POST", b"PUT", b"HEAD", b"DELETE"))
        size = dice.choice((0, 20, 3000, 70_000)) if method in {b"POST", b"PUT"} else 0
        return Wish(
            self.tenant, self.number, method, dice.choice(self.plans), size, dice.random() < 0.5, dice.random() < 0.2
        )

    async def _connection(self, batch: list[Wish]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            data = b""
            pipelined = self.dice.random() < 0.5
            breaks_off = self.dice.random() < 0.15
            texts = [wish.bytes(last=wish is batch[-1]) for wish in batch]
            if breaks_off:
                texts[-1] = texts[-1][: self.dice.randrange(len(texts[-1]))]
            if pipelined:
                writer.write(b"".join(texts))
            for wish, text in zip(batch, texts, strict=True):
                if not pipelined:
                    writer.write(text)
                if breaks_off and wish is batch[-1]:
                    await asyncio.sleep(self.dice.choice((0, 0.001)))
                    return
                data, goes_on = await self._response(reader, data, wish)
                if not goes_on:
                    return
        finally:
            writer.transport.abort()

    async def _response(self, reader: StreamReader, data: bytes, wish: Wish) -> tuple[bytes, bool]:
        ended = False
        while True:
            try:
                answer = strict.response(data, 0, wish.method, ended=ended)
            except Unreadable as gap:
                if gap.rest is Rest.GARBAGE:
                    self.findings.problems.append(f"{wish} got {data[:300]!r}")
                    return b"", False
                if ended:
                    # Broken off in sight: what there is must be the client's own all the same.
                    self._look(wish, data, None)
                    self.findings.answers["cut"] += 1
                    return b"", False
                more = b""
                with contextlib.suppress(ConnectionError):
                    more = await reader.read(65536)
                ended = not more
                data += more
                continue
            self._look(wish, data[: answer.end], answer)
            data = data[answer.end :]
            if answer.status >= 200:
                self.findings.answers[str(answer.status)] += 1
                return data, not answer.closes

    def _look(self, wish: Wish, data: bytes, answer: Answer | None) -> None:
        foreign = set(_TOKEN.findall(data)) - {wish.token}
        if self.plans is UNRULY_PLANS:
            foreign = {token for token in foreign if not token.startswith(b"<t%dn" % wish.tenant)}
            self.findings.problems.extend(f"{wish} got {token!r}" for token in foreign)
            return
        wrong = bool(foreign)
        if answer is not None and any(name == b"x-token" for name, _ in answer.fields):
            wrong = wrong or answer.body != fill(wish.token, len(answer.body))
        if wrong:
            self.findings.problems.append(f"{wish} got {foreign} in {data[:300]!r}")


async def exchange(seed: int, exchanges: int, plans: tuple[str, ...]) -> Findings:
    """All tenants at once, `exchanges` requests in all."""
    findings = Findings()
    lanes = TENANTS * _LANES_PER_TENANT
    server = await asyncio.start_server(Upstream(findings).serve, "127.0.0.1", 0, backlog=1024)
    async with (
        server,
        gateway(server.sockets[0].getsockname()[1], tuple(f"t{tenant}" for tenant in range(TENANTS))) as port,
        asyncio.TaskGroup() as group,
    ):
        for lane in range(lanes):
            dice = Random(seed * 1000 + lane)
            client = Client(lane % TENANTS, port, dice, findings, lane * 1_000_000, plans)
            group.create_task(client.play(exchanges // lanes))
    return findings
