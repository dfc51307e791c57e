"""Sockets that a watchdog keeps for its gateways."""

import os
import socket
import subprocess
import sys

from gateway_runtime.sockets import HandedSockets

SHOW = """
import os, socket
first, count = int(os.environ["LISTEN_FDS_FIRST_FD"]), int(os.environ["LISTEN_FDS"])
for number in range(first, first + count):
    print(socket.socket(fileno=number).getsockname()[1])
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_child_finds_all_of_them_in_order() -> None:
    ports = [_free_port(), _free_port()]
    sockets = HandedSockets.bind([f"127.0.0.1:{port}" for port in ports], 2)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SHOW],
            env=sockets.environment(os.environ),
            pass_fds=sockets.descriptors,
            capture_output=True,
            text=True,
            check=True,
        )
        assert [int(line) for line in done.stdout.split()] == [ports[0], ports[0], ports[1], ports[1]]
    finally:
        sockets.close()


def test_nothing_listens_before_a_gateway_does() -> None:
    port = _free_port()
    sockets = HandedSockets.bind([f"127.0.0.1:{port}"], 1)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
    sockets.close()


def test_what_cannot_be_bound_is_left_to_the_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sockets = HandedSockets.bind([f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:0"], 1)
    assert sockets.descriptors == ()
    assert sockets.environment({"A": "b"}) == {"A": "b"}
    sockets.close()


def test_taken_descriptors_are_stepped_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        os.dup2(other.fileno(), 65)
        try:
            sockets = HandedSockets.bind([f"127.0.0.1:{_free_port()}"], 3)
            first = min(sockets.descriptors)
            assert sockets.descriptors == tuple(range(first, first + 3))
            assert 65 not in sockets.descriptors
            sockets.close()
        finally:
            os.close(65)
