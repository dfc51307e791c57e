"""Sockets that outlive the gateways which listen on them.

The watchdog binds them once and hands them to every gateway that it starts, in the way of systemd's socket activation
(`LISTEN_FDS`). Clients that connect while one gateway has died and the next has not started yet wait in the sockets' queues
instead of being refused.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

import structlog

from gateway_runtime.spec import split_address

_FIRST_DESCRIPTOR: Final = 64
"""Where the search for neighbouring free descriptors begins: the protocol names only the first and the count."""
_LAST_DESCRIPTOR: Final = 1024

log = structlog.stdlib.get_logger(__name__)


class HandedSockets:
    """Bound sockets, not yet listening: the first gateway begins with that, so nobody waits for one that never comes."""

    def __init__(self, descriptors: Iterable[int] = ()) -> None:
        """`descriptors` are consecutive and belong to this object from now on."""
        self.descriptors = tuple(descriptors)

    @classmethod
    def bind(cls, addresses: Iterable[str], per_address: int) -> Self:
        """So many sockets for each `host:port`, one per engine thread. Where that fails the gateway will bind by itself, and say
        what is wrong; port 0 is left to it, too.
        """
        with contextlib.ExitStack() as stack:
            bound = [
                stack.enter_context(one)
                for address in addresses
                if split_address(address)[1]
                for one in _bind(address, per_address)
            ]
            return cls(_as_neighbours([one.fileno() for one in bound]))

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a process that gets the sockets (`pass_fds`)."""
        if not self.descriptors:
            return dict(base)
        first, count = self.descriptors[0], len(self.descriptors)
        return {**base, "LISTEN_FDS": str(count), "LISTEN_FDS_FIRST_FD": str(first)}

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()


def _bind(address: str, count: int) -> Iterator[socket.socket]:
    host, port = split_address(address)
    for _ in range(count):
        one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # A gateway of an earlier watchdog may still serve there.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, port))
        except OSError as error:
            one.close()
            log.warning("watchdog.not_bound", address=address, error=str(error))
            return
        yield one


def _as_neighbours(descriptors: list[int]) -> tuple[int, ...]:
    """Duplicates that follow each other; none if there is no room for them."""
    for first in range(_FIRST_DESCRIPTOR, _LAST_DESCRIPTOR, max(1, len(descriptors))):
        copies: list[int] = []
        for place, descriptor in enumerate(descriptors, first):
            copies.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, place))
            if copies[-1] != place:
                break
        else:
            return tuple(copies)
        for copy in copies:
            os.close(copy)
    return ()
