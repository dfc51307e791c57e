"""The watchdog with a trivial child: killed, stopped, taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_runtime.processes import ProcessRecord, read_records, start_time
from gateway_runtime.watchdog import EXIT_ALREADY_RUNNING

# Becomes ready after `delay` seconds, ends on SIGTERM; when told so, dies at once instead.
CHILD = """
import signal, sys, time
from pathlib import Path
from gateway_runtime.processes import write_record
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
from gateway_runtime.watchdog import Watchdog
run = Path(sys.argv[1])
sys.exit(Watchdog([sys.executable, "-c", sys.argv[2], *sys.argv[1:2], sys.argv[3]], run, grace_seconds=2).run())
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

    def watchdog(self, delay: float = 0.0) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", WATCHDOG, str(self.run), CHILD, str(delay)])
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


def test_a_killed_gateway_is_back_within_a_second(place: Place) -> None:
    place.watchdog()
    until(lambda: len(place.ready()) == 1)
    killed = place.ready()[0]
    os.kill(killed, signal.SIGKILL)
    died = time.monotonic()
    until(lambda: len(place.births()) == 2)
    assert place.births()[1] - died < 1
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
