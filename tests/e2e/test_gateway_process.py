"""One gateway process with the real engine, and no control plane anywhere."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from core.runtime.node_ca import Node, NodeCa
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood
from gateway_runtime.identity import NodeIdentity
from gateway_runtime.processes import read_records
from schema import declarative
from schema.snapshot import Limits, Snapshot
from tests.support.node_authority import make_authority

HOST = "plane.us.gateways.test"


class Backend(BaseHTTPRequestHandler):
    """Answers at once, or after the seconds in `/slow/<seconds>`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path.rpartition("/")[2]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@pytest.fixture
def backend() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(5)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class GatewayHome:
    """A gateway's files: certificate, spec and a filled cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.status_port = free_port(), free_port()
        node = Node(uuid4(), "us")
        ca = NodeCa.load(*make_authority(directory, datetime.now(UTC)))
        certificate, key = directory / "node.crt", directory / "node.key"
        ca.ensure_files(node, certificate, key, datetime.now(UTC))
        self.identity = NodeIdentity(node.node_id, certificate, key)
        self.spec = directory / "spec.json"
        self.spec.write_text(
            json.dumps(
                {
                    "region": "us",
                    "node_id": str(node.node_id),
                    "listeners": [{"address": f"127.0.0.1:{self.port}"}],
                    "status_address": f"127.0.0.1:{self.status_port}",
                    "api_url": f"http://127.0.0.1:{free_port()}",
                    "node_certificate_file": str(certificate),
                    "node_key_file": str(key),
                    "state_dir": str(directory),
                    "threads": 1,
                    "grace_seconds": 5,
                }
            )
        )
        self.processes: list[subprocess.Popen[bytes]] = []

    def remember(self, backend: int) -> None:
        """Put a configuration that proxies everything to the backend into the cache."""
        loaded = declarative.load(
            {
                "_format_version": "3.0",
                "services": [{"name": "s", "url": f"http://127.0.0.1:{backend}"}],
                "routes": [{"name": "r", "paths": ["/"], "service": {"name": "s"}}],
            }
        )
        assert loaded.errors == ()
        snapshot = Snapshot(
            organization_id=str(uuid4()),
            control_plane_id=str(uuid4()),
            version=3,
            hosts=(HOST,),
            limits=Limits(allow_upstream=("127.0.0.0/8",)),
            entities=loaded.entities,
        )
        cache = LastKnownGood(self.directory / "cache", self.identity.derive_key)
        assert cache.acquire()
        cache.store(snapshot.control_plane_id, Frame(FrameKind.SNAPSHOT, 0, 3, snapshot.to_bytes()))
        cache.close()

    def run(self, module: str = "gateway_runtime.main") -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        process = subprocess.Popen([sys.executable, "-m", module, str(self.spec)], env=environment)
        self.processes.append(process)
        return process

    def run_on_full_disk(self) -> subprocess.Popen[bytes]:
        """No file of it can take another byte: neither log nor record nor cache."""
        command = [sys.executable, "-m", "gateway_runtime.main", str(self.spec)]
        with (self.directory / "gateway.log").open("wb") as log:
            process = subprocess.Popen(["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *command], stderr=log)
        self.processes.append(process)
        return process

    def get(self, path: str = "/", port: int | None = None) -> tuple[int, bytes]:
        """One request; (0, b"") without an answer."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        with suppress(OSError):
            try:
                connection.request("GET", path, headers={"Host": HOST})
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()
        return 0, b""

    def status(self, path: str) -> tuple[int, bytes]:
        return self.get(path, self.status_port)

    def gateways(self) -> list[int]:
        return [record.pid for record in read_records(self.directory / "run", "gateway") if record.ready]

    def clean(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)
        for pid in self.gateways():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[GatewayHome]:
    home = GatewayHome(tmp_path)
    yield home
    home.clean()


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def test_serves_from_its_cache_and_says_so(home: GatewayHome, backend: int) -> None:
    home.remember(backend)
    home.run()
    until(lambda: home.status("/status/ready")[0] == 200)

    assert home.get("/x") == (200, b"ok")
    assert home.status("/status/ready") == (200, b'{"message": "ready"}')
    document = json.loads(home.status("/status")[1])
    assert document["control_plane"] == {"connected": False, "synced": False}
    assert document["tenants"]["total"] == 1
    metrics = home.status("/metrics")[1].decode()
    assert "sluice_runtime_control_plane_connected 0" in metrics
    assert 'sluice_requests_total{organization="' in metrics


def test_a_full_disk_does_not_keep_it_from_serving(home: GatewayHome, backend: int) -> None:
    home.remember(backend)
    process = home.run_on_full_disk()
    until(lambda: home.status("/status/ready")[0] == 200)

    assert home.get("/x") == (200, b"ok")
    assert (home.directory / "gateway.log").read_bytes() == b""
    assert home.gateways() == []
    process.terminate()
    assert process.wait(20) == 0


def test_without_configuration_it_is_alive_and_not_ready(home: GatewayHome) -> None:
    home.run()
    until(lambda: home.status("/status")[0] == 200)

    status, body = home.status("/status/ready")
    assert status == 503
    assert b"no configuration" in body
    assert home.get("/")[0] == 404


def test_sigterm_lets_requests_in_flight_finish(home: GatewayHome, backend: int) -> None:
    home.remember(backend)
    process = home.run()
    until(lambda: home.status("/status/ready")[0] == 200)
    answers: list[tuple[int, bytes]] = []
    slow = threading.Thread(target=lambda: answers.append(home.get("/slow/1.0")))
    slow.start()
    time.sleep(0.3)

    process.terminate()

    assert process.wait(10) == 0
    slow.join(10)
    assert answers == [(200, b"ok")]
    assert home.get("/") == (0, b"")
    assert read_records(home.directory / "run", "gateway") == []


def test_killed_under_its_watchdog_it_serves_again_within_seconds(home: GatewayHome, backend: int) -> None:
    home.remember(backend)
    home.run("gateway_runtime.watchdog")
    until(lambda: home.get("/")[0] == 200 and len(home.gateways()) == 1)
    killed = home.gateways()[0]

    os.kill(killed, signal.SIGKILL)

    until(lambda: home.get("/")[0] == 200, 5)
    until(lambda: killed not in home.gateways())


def test_clients_that_connect_while_no_gateway_runs_are_served_by_the_next(home: GatewayHome, backend: int) -> None:
    home.remember(backend)
    home.run("gateway_runtime.watchdog")
    until(lambda: len(home.gateways()) == 1 and home.get()[0] == 200)
    for _ in range(3):
        killed = home.gateways()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: killed not in home.gateways())
        answers = [home.get()[0] for _ in range(20)]
        assert answers == [200] * 20
        until(lambda: len(home.gateways()) == 1)


def test_a_new_watchdog_replaces_the_gateway_without_a_failed_request(home: GatewayHome, backend: int) -> None:
    home.remember(backend)
    first = home.run("gateway_runtime.watchdog")
    until(lambda: home.get("/")[0] == 200 and len(home.gateways()) == 1)
    old = home.gateways()[0]
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(home.get("/")[0])

    asking = threading.Thread(target=ask)
    asking.start()
    first.kill()
    home.run("gateway_runtime.watchdog")
    until(lambda: bool(home.gateways()) and old not in home.gateways())
    time.sleep(0.3)
    over.set()
    asking.join(10)
    assert len(statuses) > 10
    assert set(statuses) == {200}


def test_bad_settings_are_one_line(home: GatewayHome) -> None:
    home.spec.write_text("{}")
    command = [sys.executable, "-m", "gateway_runtime.main", str(home.spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("sluice gateway: ")
    assert len(done.stderr.splitlines()) == 1


def test_taken_port_is_one_line(home: GatewayHome) -> None:
    with socket.create_server(("127.0.0.1", home.port)):
        command = [sys.executable, "-m", "gateway_runtime.main", str(home.spec)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 4
    assert [line for line in done.stderr.splitlines() if line.startswith("sluice gateway: ")]
