"""The ports `sluice up` will listen on, and whether they are free."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from cli.faults import Fault


@dataclass(frozen=True)
class Port:
    """One TCP port of the installation; `purpose` is what the user reads when it is taken."""

    host: str
    number: int
    purpose: str


def taken(port: Port) -> bool:
    """Whether something else listens there. TIME_WAIT left by an earlier run does not count."""
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except OSError as error:
            return error.errno in {errno.EADDRINUSE, errno.EACCES}
    return False


def require_free(ports: list[Port]) -> None:
    """Raises: Fault: one of them is taken, or the offset left the range of ports."""
    for port in ports:
        if not 0 < port.number < 65536:
            raise Fault(f"port {port.number} ({port.purpose}) does not exist: choose a smaller SLUICE_PORT_OFFSET")
        if taken(port):
            raise Fault(
                f"port {port.number} ({port.purpose}) is taken: stop what listens there, "
                "or shift all ports with SLUICE_PORT_OFFSET"
            )
