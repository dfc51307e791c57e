"""Unit tests touch nothing outside their process."""

import socket
from typing import Any

import pytest


class _NetworkUsed(BaseException):
    """A unit test used the network. Not an Exception: nothing may swallow it."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse internet sockets; event loops keep their local socket pairs."""
    connect, bind = socket.socket.connect, socket.socket.bind

    def refuse(used: socket.socket) -> None:
        if used.family in (socket.AF_INET, socket.AF_INET6):
            raise _NetworkUsed("unit tests have no network: move the test to tests/api or tests/e2e")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse(self)
        connect(self, address)

    def guarded_bind(self: socket.socket, address: Any) -> None:
        refuse(self)
        bind(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "bind", guarded_bind)
