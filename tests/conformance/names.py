"""A name server on loopback, which says of names what a case says (RFC 1035, RFC 2782, RFC 3596)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tests.conformance.case import NameRecord, Said

_HOST: Final = "127.0.0.1"
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHHIH")
_INTERNET: Final = 1
_TYPES: Final = {"a": 1, "cname": 5, "aaaa": 28, "srv": 33}
_ANSWER: Final = 0x8180  # a response; recursion was desired and is available
_SERVER_FAILURE: Final = 2
_NO_SUCH_NAME: Final = 3
# Where the name in the question stands: the owner of all records that answer it.
_POINTER: Final = 0xC00C


class Names(asyncio.DatagramProtocol):
    """What is said of names now; whoever asks over UDP is told."""

    def __init__(self, said: Mapping[str, Said | None]) -> None:
        self._said: dict[str, Said] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self.say(said)

    @classmethod
    @contextlib.asynccontextmanager
    async def serve(cls, said: Mapping[str, Said | None]) -> AsyncGenerator[Names, None]:
        """Answer on a port of its own."""
        loop = asyncio.get_running_loop()
        transport, names = await loop.create_datagram_endpoint(lambda: cls(said), local_addr=(_HOST, 0))
        try:
            yield names
        finally:
            transport.close()

    def say(self, said: Mapping[str, Said | None]) -> None:
        """From now on say this of these names; of others, the same as before. None: there is no such name."""
        for name, what in said.items():
            if what is None:
                self._said.pop(name.lower(), None)
            else:
                self._said[name.lower()] = what

    @property
    def address(self) -> str:
        """`host:port` of the server."""
        assert self._transport is not None
        host, port = cast("tuple[str, int]", self._transport.get_extra_info("sockname"))
        return f"{host}:{port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data, self._said)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


def answer(message: bytes, all_said: Mapping[str, Said]) -> bytes | None:
    """The answer to a question; None where the case wants none."""
    number = _HEADER.unpack_from(message)[0]
    labels: list[str] = []
    place = _HEADER.size
    while length := message[place]:
        labels.append(message[place + 1 : place + 1 + length].decode("ascii"))
        place += 1 + length
    question = message[_HEADER.size : place + 5]
    wanted = int.from_bytes(message[place + 1 : place + 3], "big")
    said = all_said.get(".".join(labels).lower())
    if said == "silent":
        return None
    code = _SERVER_FAILURE if said == "fails" else _NO_SUCH_NAME if said is None else 0
    records = [_record(record) for record in said or () if not isinstance(record, str) and _fits(record, wanted)]
    return _HEADER.pack(number, _ANSWER | code, 1, len(records), 0, 0) + question + b"".join(records)


def _fits(record: NameRecord, wanted: int) -> bool:
    return record.cname is not None or _TYPES[record.kind] == wanted


def _record(record: NameRecord) -> bytes:
    if record.srv is not None:
        service = record.srv
        data = struct.pack("!3H", service.priority, service.weight, int(service.port)) + _name(service.name)
    elif record.cname is not None:
        data = _name(record.cname)
    else:
        data = ipaddress.ip_address(record.a or record.aaaa or "").packed
    return _RECORD.pack(_POINTER, _TYPES[record.kind], _INTERNET, record.ttl, len(data)) + data


def _name(text: str) -> bytes:
    labels = [label.encode("ascii") for label in text.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
