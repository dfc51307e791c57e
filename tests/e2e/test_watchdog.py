"""The watchdog with a trivial child: killed, stopped, taken over."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_runtime.processes import ProcessRecord, read_records, start_time
from gateway_runtime.watchdog import EXIT_ALREADY_RUNNING

# Becomes ready after `delay` seconds, ends on SIGTERM; when told so, dies at once instead. With a third argument it has a
# status listener at that port, shared with others of its kind as the gateway's is.
CHILD = """
import signal, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from gateway_runtime.processes import write_record

class Status(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

class Server(ThreadingHTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

if len(sys.argv) > 3:
    server = Server(("127.0.0.1", int(sys.argv[3])), Status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
run, delay = Path(sys.argv[1]), float(sys.argv[2])
with (run / "births").open("a") as births:
    births.write(f"{time.monotonic()}\\n")
if (run / "die").exists():
    sys.exit(1)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
write_record(run, "gateway", ready=False)
time.sleep(delay)
write_record(run, "gateway", ready=True)
while True:
    time.sleep(10)
"""

WATCHDOG = """
import sys
from pathlib import Path
from gateway_runtime.liveness import Patience
from gateway_runtime.watchdog import Watchdog
run, child, delay, *port = sys.argv[1:]
watchdog = Watchdog(
    [sys.executable, "-c", child, run, delay, *port],
    Path(run),
    grace_seconds=2,
    status_address=f"127.0.0.1:{port[0]}" if port else None,
    patience=Patience(every_seconds=0.1, answer_seconds=0.2, misses=5, start_seconds=2),
)
sys.exit(watchdog.run())
"""


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


class Place:
    """One state directory and the processes started in it."""

    def __init__(self, directory: Path) -> None:
        self.run = directory / "run"
        self.run.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []

    def watchdog(self, delay: float = 0.0, *status_port: int) -> subprocess.Popen[bytes]:
        arguments = [str(self.run), CHILD, str(delay), *map(str, status_port)]
        process = subprocess.Popen([sys.executable, "-c", WATCHDOG, *arguments])
        self.started.append(process)
        return process

    def gateways(self) -> list[ProcessRecord]:
        return read_records(self.run, "gateway")

    def ready(self) -> list[int]:
        return [record.pid for record in self.gateways() if record.ready]

    def births(self) -> list[float]:
        try:
            return [float(line) for line in (self.run / "births").read_text().split()]
        except FileNotFoundError:
            return []

    def clean(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                process.wait(20)
        for record in self.gateways():
            record.send(signal.SIGKILL)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.clean()


def test_a_killed_gateway_is_started_again(place: Place) -> None:
    place.watchdog()
    until(lambda: len(place.ready()) == 1)
    killed = place.ready()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(place.births()) == 2)
    until(lambda: bool(place.ready()) and killed not in place.ready())


def test_a_gateway_that_dies_at_once_is_not_started_in_a_tight_loop(place: Place) -> None:
    (place.run / "die").touch()
    place.watchdog()
    until(lambda: len(place.births()) >= 3)
    time.sleep(2)
    assert len(place.births()) < 12
    (place.run / "die").unlink()
    until(lambda: len(place.ready()) == 1)


def test_sigterm_ends_both(place: Place) -> None:
    watchdog = place.watchdog()
    until(lambda: len(place.ready()) == 1)
    watchdog.terminate()
    assert watchdog.wait(10) == 0
    assert place.gateways() == []
    assert read_records(place.run, "watchdog") == []


def test_second_watchdog_gives_way(place: Place) -> None:
    place.watchdog()
    until(lambda: len(place.ready()) == 1)
    assert place.watchdog().wait(10) == EXIT_ALREADY_RUNNING
    assert len(place.ready()) == 1


def test_gateway_outlives_its_watchdog_and_is_replaced_by_the_next_without_a_gap(place: Place) -> None:
    first = place.watchdog()
    until(lambda: len(place.ready()) == 1)
    old = place.ready()[0]
    first.kill()
    first.wait(10)
    assert place.ready() == [old]
    place.watchdog(delay=0.5)
    until(lambda: len(place.gateways()) == 2)
    assert old in place.ready()
    until(lambda: place.ready() != [] and old not in place.ready())
    assert start_time(old) is None


def test_old_gateway_stays_while_the_new_one_does_not_come_up(place: Place) -> None:
    first = place.watchdog()
    until(lambda: len(place.ready()) == 1)
    old = place.ready()[0]
    first.kill()
    first.wait(10)
    (place.run / "die").touch()
    place.watchdog()
    until(lambda: len(place.births()) >= 4)
    assert place.ready() == [old]
    (place.run / "die").unlink()
    until(lambda: bool(place.ready()) and place.ready() != [old])


def test_gateway_that_hangs_is_replaced(place: Place) -> None:
    place.watchdog(0.3, free_port())
    until(lambda: len(place.ready()) == 1)
    hung = place.ready()[0]
    time.sleep(1)
    assert place.ready() == [hung]

    os.kill(hung, signal.SIGSTOP)
    until(lambda: bool(place.ready()) and hung not in place.ready())

    assert start_time(hung) is None
    (born,) = place.ready()
    time.sleep(1.5)
    assert place.ready() == [born]


def test_hung_gateway_stays_while_the_new_one_does_not_come_up(place: Place) -> None:
    watchdog = place.watchdog(0.0, free_port())
    until(lambda: len(place.ready()) == 1)
    hung = place.ready()[0]
    (place.run / "die").touch()
    os.kill(hung, signal.SIGSTOP)
    until(lambda: len(place.births()) >= 3)
    assert start_time(hung) is not None
    watchdog.terminate()
    assert watchdog.wait(10) == 0
    assert start_time(hung) is None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_record_of_another_process_with_the_same_id_is_not_believed(place: Place) -> None:
    record = {"role": "gateway", "pid": os.getpid(), "started": 1, "ready": True}
    (place.run / f"gateway.{os.getpid()}.json").write_text(json.dumps(record))
    assert place.gateways() == []


def test_detached_watchdog_reports_and_goes_on(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"state_dir": str(tmp_path), "grace_seconds": 1}))
    command = [sys.executable, "-m", "gateway_runtime.watchdog", "--detach", str(spec)]
    assert subprocess.run(command, timeout=20, stderr=subprocess.DEVNULL).returncode == 0
    records = read_records(tmp_path / "run", "watchdog")
    assert len(records) == 1
    assert subprocess.run(command, timeout=20, stderr=subprocess.DEVNULL).returncode == EXIT_ALREADY_RUNNING
    records[0].send(signal.SIGTERM)
    until(lambda: not records[0].alive)
