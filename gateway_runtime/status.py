"""The status listener: a tiny HTTP/1.1 server for probes and Prometheus, meant for loopback or a private network."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

LONGEST_HEAD_BYTES: Final = 8192
HEAD_SECONDS: Final = 5.0
JSON: Final = "application/json; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, content type and body of one response."""

    status: int
    content_type: str
    body: bytes

    @classmethod
    def json(cls, status: int, document: Mapping[str, Any]) -> "Answer":
        """A JSON answer."""
        return cls(status, JSON, json.dumps(document).encode())


class StatusServer:
    """Serves GET and HEAD of the given paths, and of what is below the given folders; one request per connection."""

    def __init__(
        self, routes: Mapping[str, Callable[[], Answer]], folders: Mapping[str, Callable[[str], Answer]] | None = None
    ) -> None:
        self._routes = routes
        self._folders = folders or {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the bound address. The port is shared, so that two gateways may overlap while one takes over.

        Raises: OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(
            self._serve, host, port, limit=LONGEST_HEAD_BYTES, reuse_port=True, backlog=64
        )
        bound: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return bound

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                # In a thread: metrics of thousands of tenants take long enough to hold up a change of configuration.
                writer.write(await asyncio.to_thread(self._respond, head))
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _respond(self, head: bytes) -> bytes:
        parts = head.split(b"\r\n", 1)[0].split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
            return _message(Answer.json(400, {"message": "Bad request"}), body=True)
        method, target = parts[0], parts[1].split(b"?", 1)[0].decode("ascii", "replace")
        if method not in {b"GET", b"HEAD"}:
            return _message(Answer.json(405, {"message": "Method not allowed"}), body=True)
        return _message(self._answer(target), body=method == b"GET")

    def _answer(self, target: str) -> Answer:
        folder, _, name = target.rpartition("/")
        if (route := self._routes.get(target)) is not None:
            return route()
        if name and (below := self._folders.get(folder)) is not None:
            return below(name)
        return Answer.json(404, {"message": "Not found"})


def _message(answer: Answer, *, body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (answer.body if body else b"")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value."""

    labels: Mapping[str, str]
    value: float


def exposition(metrics: Iterable[tuple[str, str, str, Iterable[Sample]]]) -> bytes:
    """Metrics `(name, type, help, samples)` in Prometheus text format 0.0.4."""
    lines: list[str] = []
    for name, kind, text, samples in metrics:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for sample in samples:
            labels = ",".join(f'{key}="{_escape(value)}"' for key, value in sample.labels.items())
            number = repr(int(sample.value)) if float(sample.value).is_integer() else repr(float(sample.value))
            lines.append(f"{name}{{{labels}}} {number}" if labels else f"{name} {number}")
    return ("\n".join(lines) + "\n").encode()


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
