"""The client side: requests turned into exact bytes, answers read without forgiving anything."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import json
import re
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from tests.conformance.certificates import common_name, trusting_context
from tests.conformance.wire import Body, EarlyEnd, Headers, MessageReader, WireError, has_token, raw, text

if TYPE_CHECKING:
    from tests.conformance.case import Many, Proxied, Send

USER_AGENT: Final = "sluice-conformance"
_PROXY_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_BOUNDARY: Final = "sluice-conformance-boundary"
_STATUS_LINE: Final = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2}) ?([^\r\n]*)")


@dataclass(slots=True)
class Response:
    """An answer as it came over the wire. `surplus` are bytes behind its end."""

    version: str
    status: int
    reason: str
    headers: Headers
    body: Body = field(default_factory=Body)
    surplus: bytes = b""
    certificate: str | None = None
    tunnel: str | None = None


class NoResponseError(Exception):
    """There was no answer, or what came was not one."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: a port of the gateway, over TLS or not."""

    host: str
    port: int
    tls: bool
    before: bytes = b""
    """What goes onto the connection first, before TLS."""


def proxy_header(proxied: Proxied) -> bytes:
    """What a balancer says of a client (the PROXY protocol), or that it speaks for nobody."""
    client = ipaddress.ip_address(proxied.client) if proxied.client is not None else None
    here = ipaddress.ip_address("::1" if client is not None and client.version == 6 else "127.0.0.1")
    if proxied.version == 1:
        return b"PROXY UNKNOWN\r\n" if client is None else f"PROXY TCP{client.version} {client} {here} 1 2\r\n".encode()
    if client is None:
        return _PROXY_SIGNATURE + b"\x20\0\0\0"
    addresses = client.packed + here.packed + b"\0\1\0\2"
    family = b"\x11" if client.version == 4 else b"\x21"
    return _PROXY_SIGNATURE + b"\x21" + family + len(addresses).to_bytes(2, "big") + addresses


def many(value: Many) -> list[str]:
    """A single value or a list as a list."""
    return value if isinstance(value, list) else [value]


def body_of(send: Send) -> tuple[list[bytes] | None, str | None]:
    """The body's pieces (None: no body at all) and the content type that its kind implies."""
    if send.says("json_body"):
        return [json.dumps(send.json_body, separators=(",", ":"), ensure_ascii=False).encode()], "application/json"
    if send.form is not None:
        pairs = [(name, value) for name, values in send.form.items() for value in many(values)]
        return [urllib.parse.urlencode(pairs).encode()], "application/x-www-form-urlencoded"
    if send.multipart is not None:
        return [_multipart(send.multipart)], f"multipart/form-data; boundary={_BOUNDARY}"
    return _untyped_body(send), None


def _untyped_body(send: Send) -> list[bytes] | None:
    if send.body is not None:
        return [raw(send.body)]
    if send.body_base64 is not None:
        return [base64.b64decode(send.body_base64)]
    return None if send.chunks is None else [raw(chunk) for chunk in send.chunks]


def _multipart(fields: dict[str, Many]) -> bytes:
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, values in fields.items()
        for value in many(values)
    ]
    return raw("".join(parts) + f"--{_BOUNDARY}--\r\n")


def header_lines(send: Send) -> tuple[Headers, bool]:
    """All header lines of an HTTP/1 request in order, and whether the body goes out in chunks of our making.

    What the case sets is sent as it is; ours are added only where the case says nothing about the name.
    """
    named = {name.lower() for name in send.headers}
    pieces, content_type = body_of(send)
    lines: Headers = []
    if "host" not in named and send.host is not None:
        lines.append(("Host", send.host))
    if "user-agent" not in named:
        lines.append(("User-Agent", USER_AGENT))
    lines += [(name, value) for name, values in send.headers.items() for value in many(values)]
    if content_type is not None and "content-type" not in named:
        lines.append(("Content-Type", content_type))
    ours = pieces is not None and not named & {"content-length", "transfer-encoding"}
    chunked = ours and send.chunks is not None
    if chunked:
        lines.append(("Transfer-Encoding", "chunked"))
    elif ours and pieces is not None:
        lines.append(("Content-Length", str(sum(map(len, pieces)))))
    return lines, chunked


def request_bytes(send: Send) -> list[bytes]:
    """The writes that make up an HTTP/1 request: the head, then each piece of the body."""
    lines, chunked = header_lines(send)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    writes = [raw(f"{send.method} {send.path} HTTP/{send.version}\r\n{head}\r\n")]
    pieces = [piece for piece in body_of(send)[0] or [] if piece]
    if chunked:
        trailers = "".join(f"{name}: {value}\r\n" for name, values in send.trailers.items() for value in many(values))
        return [*writes, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), raw(f"0\r\n{trailers}\r\n")]
    return [*writes, *pieces]


class Connection:
    """One HTTP/1 connection to the gateway; an async context manager. Carries requests while `reusable`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._messages = MessageReader(reader)
        self._writer = writer
        self.reusable = True

    @classmethod
    async def open(cls, target: Target, source: str, sni: str | None) -> Self:
        """Connect from a source address.

        Raises: NoResponseError: the connection or its TLS handshake failed.
        """
        return cls(*await open_stream(target, source, sni, ["http/1.1"]))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def exchange(self, send: Send) -> Response:
        """Send one request and read its answer; both at once, since a gateway may answer before it has read all.

        Raises: NoResponseError.
        """
        writing = asyncio.create_task(self._write(request_bytes(send)))
        try:
            response = await self._read(send.method)
        finally:
            self.reusable = self.reusable and writing.done()
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
        lasting = has_token(response.headers, "connection", "keep-alive") or (
            response.version == "1.1" and send.version == "1.1"
        )
        closes = has_token(response.headers, "connection", "close")
        self.reusable = self.reusable and lasting and not closes and response.body.complete and response.status != 101
        response.certificate = common_name(self._writer)
        if response.status == 101 and send.tunnel is not None:
            self._writer.write(raw(send.tunnel))
            response.tunnel = text(await self._messages.exactly(len(raw(send.tunnel))))
        response.surplus = b"" if response.status == 101 else self._messages.held
        return response

    async def _write(self, writes: list[bytes]) -> None:
        # A gateway that has already answered may close its side; only the answer counts then.
        with contextlib.suppress(OSError):
            for data in writes:
                self._writer.write(data)
                await self._writer.drain()

    async def _read(self, method: str) -> Response:
        try:
            while True:
                line, headers = await self._messages.head()
                match = _STATUS_LINE.fullmatch(line)
                if match is None:
                    message = f"status line {line!r}"
                    raise NoResponseError(message)
                response = Response(text(match[1]), int(match[2]), text(match[3]), headers)
                if response.status >= 200 or response.status == 101:
                    break
        except EarlyEnd:
            held = f" after {self._messages.held!r}" if self._messages.held else ""
            message = f"connection closed before an answer{held}"
            raise NoResponseError(message) from None
        except (WireError, OSError) as error:
            message = f"no valid answer: {error}"
            raise NoResponseError(message) from None
        if method == "HEAD" or response.status in {101, 204, 304}:
            response.body.complete = True
            return response
        framed = {"content-length", "transfer-encoding"} & {name.lower() for name, _ in headers}
        try:
            await self._messages.body(headers, response.body, until_close=not framed)
        except WireError as error:
            message = f"no valid answer: {error}"
            raise NoResponseError(message) from None
        except (EarlyEnd, OSError):
            response.body.complete = False
        if not framed:
            self.reusable = False
        return response


async def open_stream(
    target: Target, source: str, sni: str | None, protocols: list[str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the gateway from a source address, over TLS when the target says so.

    Raises: NoResponseError: the connection or its TLS handshake failed.
    """
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port, local_addr=(source, 0))
        writer.write(target.before)
        if target.tls:
            # An empty name sends no SNI extension.
            await writer.start_tls(trusting_context(protocols), server_hostname=sni or "")
    except OSError as error:
        message = f"cannot connect: {error}"
        raise NoResponseError(message) from None
    return reader, writer
