"""What reached the backends of a case."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.conformance.wire import Body, Headers, text


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
    certificate: str | None = None

    def document(self) -> dict[str, object]:
        """What the echo backend answers with."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": [list(line) for line in self.headers],
            "body": text(bytes(self.body.data)),
        }


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record: the body of a request, a line without its end, a datagram, or a name that a directory is asked
    about. The first has the other fields, the last a method, `tls` or `plain`, and the number of the question for a path.
    """

    data: bytes
    method: str = ""
    path: str = ""
    headers: Headers = field(default_factory=list)


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
