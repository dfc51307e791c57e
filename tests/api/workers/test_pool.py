"""Pools: the reconciler with its lease, retention, and the driver with real processes."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from core.clock import SystemClock
from core.db.engine import Database
from core.db.leases import lease
from core.models import ConfigChange, ControlPlane, RuntimeNode
from core.runtime import nodes
from core.runtime.node_ca import Node, NodeCa
from core.settings import Settings
from tests.support.node_authority import make_authority
from tests.support.tenants import Tenant
from workers import retention
from workers.drivers import process
from workers.drivers.base import DriverError, Observed, Pool
from workers.drivers.process import ProcessDriver, stop_all
from workers.drivers.records import Record, read_alive
from workers.reconcile import pool as pools

POOL = Pool("us", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "http://127.0.0.1:4")


class FakeDriver:
    """Remembers what it was asked to do."""

    def __init__(self) -> None:
        self.condition = Observed("absent")
        self.calls: list[str] = []
        self.fails = False

    def observe(self, pool: Pool) -> Observed:
        self.calls.append(f"observe {pool.region}")
        return self.condition

    def prepare(self, pool: Pool) -> None:
        self.calls.append(f"prepare {pool.region}")

    def start(self, pool: Pool) -> None:
        if self.fails:
            raise DriverError("no")
        self.calls.append(f"start {pool.region}")

    def stop(self, region: str) -> None:
        self.calls.append(f"stop {region}")

    def regions(self) -> list[str]:
        return ["us", "atlantis"]


def test_reconcile_starts_what_is_absent(database: Database) -> None:
    driver = FakeDriver()

    assert pools.reconcile(database, driver, POOL)

    assert driver.calls == ["observe us", "observe us", "prepare us", "start us"]


def test_reconcile_only_looks_at_what_is_as_it_should_be(database: Database) -> None:
    driver = FakeDriver()
    driver.condition = Observed("running")
    with lease(database, "pool:us", "someone", 30):
        assert pools.reconcile(database, driver, POOL), "no lease is needed"
    assert driver.calls == ["observe us"]
    driver.condition = Observed("running", worn=True)
    assert pools.reconcile(database, driver, POOL)
    assert driver.calls[1:] == ["observe us", "observe us", "prepare us"]


@pytest.mark.parametrize(
    ("observed", "settled"),
    [(Observed("running"), True), (Observed("foreign"), True), (Observed("absent"), False)],
)
def test_sweeps_only_look(observed: Observed, settled: bool) -> None:
    driver = FakeDriver()
    driver.condition = observed

    assert pools.is_settled(driver, POOL) is settled

    assert driver.calls == ["observe us"]


def test_reconcile_leaves_a_held_region_alone(database: Database) -> None:
    driver = FakeDriver()
    with lease(database, "pool:us", "someone", 30) as held:
        assert held
        assert not pools.reconcile(database, driver, POOL)
    assert driver.calls == ["observe us"]
    assert pools.reconcile(database, driver, POOL)


def test_failing_driver_gives_the_lease_back(database: Database) -> None:
    driver = FakeDriver()
    driver.fails = True
    assert not pools.reconcile(database, driver, POOL)
    driver.fails = False
    assert pools.reconcile(database, driver, POOL)
    assert driver.calls[-1] == "start us"


def test_regions_that_are_not_configured_any_more_are_stopped(database: Database) -> None:
    driver = FakeDriver()

    pools.end_unwanted(database, driver, Settings())

    assert driver.calls == ["stop atlantis"]


def test_retention(database: Database, tenant: Tenant) -> None:
    now = SystemClock().now()
    plane_id = uuid4()
    with database.tenant(tenant.organization_id) as session:
        plane = ControlPlane(
            id=plane_id,
            name="p",
            cluster_type="x",
            auth_type="y",
            endpoint_prefix=uuid4().hex[:10],
            config_version=1002,
        )
        session.add(plane)
        session.flush()
        for version, age in ((1, 40), (2, 40), (3, 40), (4, 1)):
            change = ConfigChange(
                control_plane_id=plane_id,
                version=version,
                entity_type="services",
                entity_id=uuid4(),
                operation="delete",
                actor="t",
                created_at=now - timedelta(days=age),
            )
            session.add(change)
    gone, live = Node(uuid4(), "us"), Node(uuid4(), "us")
    with database.system() as session:
        nodes.record_sign_of_life(session, gone)
        nodes.record_sign_of_life(session, live)
        statement = "update runtime_nodes set last_seen_at = now() - interval '2 days' where id = %s"
        session.connection().exec_driver_sql(statement, (str(gone.node_id),))

    retention.prune(database, SystemClock())

    with database.tenant(tenant.organization_id) as session:
        assert sorted(session.scalars(select(ConfigChange.version))) == [3, 4]
    with database.system() as session:
        assert session.get(RuntimeNode, str(gone.node_id)) is None
        assert session.get(RuntimeNode, str(live.node_id)) is not None


# Stands in for gateway_runtime.watchdog: same command line, same records, nothing behind it.
WATCHDOG = """
import json, os, signal, sys, time
from pathlib import Path
from gateway_runtime.processes import write_record
from gateway_runtime.watchdog import _detach
report = _detach()
run = Path(json.loads(Path(sys.argv[2]).read_text())["state_dir"]) / "run"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
write_record(run, "watchdog", ready=True)
(run.parent / "environment").write_text(json.dumps(sorted(os.environ)))
report(0)
while True:
    time.sleep(10)
"""


class Place:
    """A state directory with a driver whose watchdogs are stand-ins."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.home = self.state / "gateways" / "us"
        certificate, key = make_authority(directory, datetime.now(UTC))
        self.driver = ProcessDriver(self.state, NodeCa.load(certificate, key), SystemClock())

    def watchdogs(self) -> list[Record]:
        return read_alive(self.home / "run", "watchdog")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    (tmp_path / "stand_in_watchdog.py").write_text(WATCHDOG)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path.cwd())]))
    monkeypatch.setenv("SLUICE_MASTER_KEY", "secret")
    monkeypatch.setattr(process, "WATCHDOG_MODULE", "stand_in_watchdog")
    place = Place(tmp_path)
    yield place
    stop_all(place.state)


def begin(place: Place, pool: Pool = POOL) -> None:
    place.driver.prepare(pool)
    place.driver.start(pool)


def test_process_life(place: Place) -> None:
    assert place.driver.observe(POOL) == Observed("absent")
    begin(place)
    assert place.driver.observe(POOL) == Observed("running", outdated=False)
    assert place.driver.regions() == ["us"]

    place.driver.stop("us")

    assert place.driver.observe(POOL) == Observed("absent")
    assert place.watchdogs() == []


def test_files_are_private_and_complete(place: Place) -> None:
    begin(place)
    for name in ("spec.json", "node.key", "started.json"):
        assert (place.home / name).stat().st_mode & 0o777 == 0o600
    spec = json.loads((place.home / "spec.json").read_text())
    plain = {"public_port": None, "proxy_protocol": False}
    assert spec["listeners"] == [
        {"address": "127.0.0.1:1", "tls": False, **plain},
        {"address": "127.0.0.1:2", "tls": True, **plain},
    ]
    from gateway_runtime.spec import GatewaySpec

    assert GatewaySpec.load(place.home / "spec.json", {}).region == "us"


def test_control_planes_secrets_do_not_reach_the_gateway(place: Place) -> None:
    begin(place)
    assert "SLUICE_MASTER_KEY" not in json.loads((place.home / "environment").read_text())


def test_watchdog_is_nobodys_child_and_has_its_own_session(place: Place) -> None:
    begin(place)
    (watchdog,) = place.watchdogs()
    assert os.getsid(watchdog.pid) != os.getsid(0)
    stat = Path(f"/proc/{watchdog.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) != os.getpid()


def test_killed_watchdog_is_seen(place: Place) -> None:
    begin(place)
    (watchdog,) = place.watchdogs()
    os.kill(watchdog.pid, signal.SIGKILL)
    until(lambda: place.driver.observe(POOL) == Observed("absent"))


def test_other_settings_make_it_outdated_and_a_start_replaces_it(place: Place) -> None:
    begin(place)
    (before,) = place.watchdogs()
    moved = Pool("us", "127.0.0.1:9", "127.0.0.1:2", "127.0.0.1:3", "http://127.0.0.1:4")
    assert place.driver.observe(moved) == Observed("running", outdated=True)

    begin(place, moved)

    (after,) = place.watchdogs()
    assert after.pid != before.pid
    assert place.driver.observe(moved) == Observed("running", outdated=False)


def test_node_keeps_its_identity(place: Place) -> None:
    begin(place)
    files = [(place.home / name).read_bytes() for name in ("node.id", "node.key", "node.crt")]
    place.driver.stop("us")
    begin(place)
    assert [(place.home / name).read_bytes() for name in ("node.id", "node.key", "node.crt")] == files


def test_watchdog_that_fails_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WATCHDOG_MODULE", "no_such_module")
    place.driver.prepare(POOL)
    with pytest.raises(DriverError, match="status 1"):
        place.driver.start(POOL)


def test_worn_certificate_is_seen_and_renewed(place: Place) -> None:
    begin(place)
    key = (place.home / "node.key").read_bytes()
    (place.home / "node.crt").unlink()
    assert place.driver.observe(POOL) == Observed("running", worn=True)

    place.driver.prepare(POOL)

    assert place.driver.observe(POOL) == Observed("running")
    assert (place.home / "node.key").read_bytes() == key


def test_a_node_id_is_there_whole_or_not_at_all(place: Place) -> None:
    place.driver.prepare(POOL)
    assert [path.name for path in place.home.glob("*node.id*")] == ["node.id"]
    first = (place.home / "node.id").read_text()
    place.driver.prepare(POOL)
    assert (place.home / "node.id").read_text() == first


def test_stop_all_finds_what_has_not_recorded_itself(place: Place) -> None:
    begin(place)
    (watchdog,) = place.watchdogs()
    for path in (place.home / "run").glob("*.json"):
        path.unlink()

    assert stop_all(place.state) == ["us"]

    assert not watchdog.alive


@pytest.mark.parametrize("hurry", [False, True])
def test_stop_all_kills_what_is_stuck(place: Place, monkeypatch: pytest.MonkeyPatch, hurry: bool) -> None:
    begin(place)
    (watchdog,) = place.watchdogs()
    os.kill(watchdog.pid, signal.SIGSTOP)
    monkeypatch.setattr(process, "KILL_AFTER_SECONDS", 3600.0 if hurry else 0.2)

    assert stop_all(place.state, hurry=hurry) == ["us"]

    assert not watchdog.alive


def test_stop_all_names_what_ran(place: Place) -> None:
    assert stop_all(place.state) == []
    begin(place)
    assert stop_all(place.state) == ["us"]
    assert place.watchdogs() == []


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
