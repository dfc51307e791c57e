"""The other readers: nginx, HAProxy and h11. Each says which requests it finds in a stream.

nginx and HAProxy read as they do in production: as proxies, in front of an upstream that writes down what they pass on.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import h11

from tests.framing.recorder import Record, listen
from tests.framing.wire import talk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    Shape = tuple[bytes, bytes, bytes]

_LARGEST_HEAD: Final = 70_000
_START_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a judge made of a stream: the requests, and whether it came to an end with it."""

    shapes: list[Shape]
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Judge:
    """One reader; `client` is the address that the stream comes from, one at a time for each."""

    name: str
    read: Callable[[bytes, str], Awaitable[Reading]]


async def h11_reads(stream: bytes, client: str) -> Reading:
    """What h11 finds in a stream, as a server."""
    del client
    return Reading(read_requests(stream))


def read_requests(stream: bytes) -> list[Shape]:
    """What h11 finds in a stream, as a server."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
    connection.receive_data(stream)
    connection.receive_data(b"")
    found: list[Shape] = []
    request, body = None, bytearray()
    while True:
        try:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, bytearray()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                found.append((bytes(request.method), _origin(bytes(request.target)), bytes(body)))
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                return found
        except h11.ProtocolError:
            return found


def _origin(target: bytes) -> bytes:
    scheme, mark, rest = target.partition(b"://")
    if mark and scheme.lower() in {b"http", b"https"}:
        return b"/" + rest.partition(b"/")[2]
    return target


def _judge(name: str, port: int, record: Record) -> Judge:
    async def read(stream: bytes, client: str) -> Reading:
        record.take(client)
        _, ended = await talk(port, client, [stream])
        return Reading([arrival.message.shape for arrival in record.take(client)], ended)

    return Judge(name, read)


@contextlib.asynccontextmanager
async def _proxy(name: str, program: str, place: Path, upstream: int) -> AsyncGenerator[int, None]:
    """The proxy in front of an upstream's port; yields its own."""
    folder = place / name
    folder.mkdir()
    port = _free_port()
    command = _PROXIES[name](program, port, upstream, folder)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(port)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _nginx(program: str, port: int, upstream: int, place: Path) -> list[str]:
    configuration = place / "nginx.conf"
    temporary = "\n".join(
        f"  {kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(f"""
worker_processes 1;
daemon off;
pid {place}/nginx.pid;
error_log /dev/null crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
{temporary}
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 128k;
  large_client_header_buffers 16 64k;
  lingering_close off;
  proxy_ignore_client_abort on;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host a;
      proxy_set_header X-Real-IP $remote_addr;
    }}
  }}
}}
""")
    return [program, "-p", str(place), "-c", str(configuration), "-e", "/dev/null"]


def _haproxy(program: str, port: int, upstream: int, place: Path) -> list[str]:
    configuration = place / "haproxy.cfg"
    configuration.write_text(f"""
global
  nbthread 1
  maxconn 4096
  tune.bufsize 65536
  tune.http.maxhdr 1100
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  timeout http-keep-alive 5s
  option disable-h2-upgrade
frontend judge
  bind 127.0.0.1:{port}
  http-request set-header X-Real-IP %[src]
  default_backend recorder
backend recorder
  http-reuse safe
  server recorder 127.0.0.1:{upstream}
""")
    return [program, "-f", str(configuration), "-db", "-q"]


_PROXIES: Final = {"nginx": _nginx, "haproxy": _haproxy}


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


@contextlib.asynccontextmanager
async def judges(place: Path, wanted: tuple[str, ...]) -> AsyncGenerator[tuple[list[Judge], list[str]], None]:
    """h11, and those of the proxies that are wanted and installed; and the names of those that are not."""
    missing: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        found = [Judge("h11", h11_reads)]
        for name in wanted:
            program = _program(name)
            if program is None:
                missing.append(name)
                continue
            record = Record()
            server, upstream = await listen(record)
            stack.callback(server.close)
            port = await stack.enter_async_context(_proxy(name, program, place, upstream))
            found.append(_judge(name, port, record))
        yield found, missing


@contextlib.asynccontextmanager
async def proxies(
    place: Path, wanted: tuple[str, ...], upstream: int
) -> AsyncGenerator[tuple[dict[str, int], list[str]], None]:
    """Ports of the proxies that are wanted and installed, all in front of one upstream; and the names of those that are not."""
    missing: list[str] = []
    ports: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        for name in wanted:
            program = _program(name)
            if program is None:
                missing.append(name)
            else:
                ports[name] = await stack.enter_async_context(_proxy(name, program, place, upstream))
        yield ports, missing
