"""Supervised children, one at a time, and the embedded servers."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cli.faults import Fault
from cli.up import postgres, probes, records, valkey
from cli.up.service import Service, ServiceSpec, run_once
from cli.up.state import StateDir
from core.db.engine import driver_url
from gateway_runtime.processes import start_time


@pytest.fixture
def state() -> Iterator[StateDir]:
    folder = Path(tempfile.mkdtemp(prefix="sluice with blanks "))
    state = StateDir.at(folder / "state")
    state.prepare("0.1.0")
    yield state
    shutil.rmtree(folder)
    shutil.rmtree(state.socket_dir(), ignore_errors=True)


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def at_once() -> bool:
    return True


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    assert await probes.until(check, 20.0)


def test_a_killed_child_is_started_again_and_said_so(state: StateDir) -> None:
    said: list[str] = []

    async def scenario() -> None:
        service = Service(ServiceSpec("sleeper", program("import time; time.sleep(60)"), at_once), state, said.append)
        await service.start()
        first = service.pid
        assert first is not None
        assert [(item.name, item.pid) for item in records.read_all(state.services)] == [("sleeper", first)]
        os.kill(first, signal.SIGKILL)

        async def replaced() -> bool:
            return service.pid not in {None, first}

        await eventually(replaced)
        second = service.pid
        await service.stop()
        assert service.pid is None
        assert second is not None
        assert start_time(second) is None

    asyncio.run(scenario())
    assert said == ["sleeper was killed by SIGKILL; starting it again"]
    assert records.read_all(state.services) == []


def test_a_child_that_gives_way_has_a_lower_priority_than_the_others(state: StateDir) -> None:
    async def niceness(name: str, *, gives_way: bool) -> int:
        service = Service(
            ServiceSpec(name, program("import time; time.sleep(60)"), at_once, gives_way=gives_way), state, print
        )
        await service.start()
        assert service.pid is not None
        found = os.getpriority(os.PRIO_PROCESS, service.pid)
        await service.stop()
        return found

    async def scenario() -> None:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert await niceness("first", gives_way=False) == ours
        assert await niceness("second", gives_way=True) == max(ours, 10)

    asyncio.run(scenario())


def test_a_child_that_cannot_start_is_one_line_with_its_reason(state: StateDir) -> None:
    async def never() -> bool:
        return False

    async def scenario() -> None:
        text = "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"
        service = Service(ServiceSpec("broken", program(text), never), state, print)
        try:
            with pytest.raises(Fault, match=r"broken does not start \(ended with code 3\): no such luck") as caught:
                await service.start()
            assert "\n" not in str(caught.value)
        finally:
            await service.stop()

    asyncio.run(scenario())


def test_a_child_that_does_not_listen_is_killed_at_the_end(state: StateDir) -> None:
    async def scenario() -> None:
        text = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
        log = state.logs / "deaf.log"

        async def started() -> bool:
            return log.exists() and "up" in log.read_text()

        service = Service(ServiceSpec("deaf", program(text), started, grace_seconds=0.3), state, print)
        await service.start()
        await service.stop()
        assert service.pid is None

    asyncio.run(scenario())


def test_what_a_child_has_started_in_its_group_ends_with_it(state: StateDir) -> None:
    async def scenario() -> None:
        text = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        log = state.logs / "parent.log"

        async def started() -> bool:
            return log.exists() and log.read_text().endswith("\n")

        service = Service(ServiceSpec("parent", program(text), started), state, print)
        await service.start()
        grandchild = int(log.read_text())
        await service.stop()

        async def gone() -> bool:
            return start_time(grandchild) is None

        await eventually(gone)

    asyncio.run(scenario())


def test_a_failed_command_is_explained_by_its_last_line(state: StateDir) -> None:
    text = "import sys; print('first'); print('the reason', file=sys.stderr); sys.exit(1)"
    with pytest.raises(Fault, match="migrate failed: the reason"):
        asyncio.run(run_once("migrate", program(text), state, dict(os.environ)))
    assert asyncio.run(run_once("ok", program("print(1)"), state, dict(os.environ))) == "1\n"


def test_strays_are_ended_and_strangers_with_their_pid_are_not(state: StateDir) -> None:
    argv = program("import time; time.sleep(60)")
    with subprocess.Popen(argv) as stray, subprocess.Popen(argv) as stranger:
        try:
            records.write(state.services, "api", stray.pid)
            (state.services / "worker.pid").write_text(f"{stranger.pid} 1\n")
            (state.services / "beat.pid").write_text("torn")
            # A zombie counts as ended: this test is the parent that would have to reap it.
            assert records.stop_strays(state.services, state.logs, ("api", "worker")) == ["api"]
            assert stray.wait(5) == -signal.SIGTERM
            assert stranger.poll() is None
        finally:
            stray.kill()
            stranger.kill()
    assert list(state.services.iterdir()) == []


def test_strays_without_a_record_are_known_by_their_log(state: StateDir) -> None:
    """A `sluice up` that is killed right after it has started a child has not recorded it."""
    argv = program("import time; time.sleep(60)")
    with (
        (state.logs / "api.log").open("w") as ours,
        (state.logs / "gateway-us.log").open("w") as another,
        subprocess.Popen(argv, stderr=ours) as stray,
        subprocess.Popen(argv, stderr=another) as stranger,
        subprocess.Popen(["tail", "-f", state.logs / "api.log"], stdout=subprocess.DEVNULL) as reader,
    ):
        try:
            assert records.stop_strays(state.services, state.logs, ("api", "worker")) == ["api"]
            assert stray.wait(5) == -signal.SIGTERM
            assert stranger.poll() is None
            assert reader.poll() is None
        finally:
            for process in (stray, stranger, reader):
                process.kill()


def test_embedded_servers_survive_being_killed(state: StateDir) -> None:
    async def scenario() -> None:
        server = postgres.EmbeddedPostgres(state)
        await asyncio.to_thread(server.prepare)
        database = Service(server.service(), state, print)
        broker = Service(valkey.service(state, "broker"), state, print)
        try:
            await asyncio.gather(database.start(), broker.start())
            await asyncio.to_thread(server.make_database)
            await asyncio.to_thread(server.make_database)
            await asyncio.to_thread(_query, state, "create table kept as select 42 as answer")
            for service in (database, broker):
                assert service.pid is not None
                os.kill(service.pid, signal.SIGKILL)

            async def answers() -> bool:
                try:
                    rows = await asyncio.to_thread(_query, state, "select answer, current_user::text from kept")
                except psycopg.OperationalError:
                    return False
                return rows == [(42, "sluice")]

            await eventually(answers)
            await eventually(broker.spec.ready)
        finally:
            await asyncio.gather(database.stop(), broker.stop())
        assert not list(state.socket_dir().glob("postgres/.s.PGSQL.5432"))

    asyncio.run(scenario())


def test_data_of_another_major_version_is_refused(state: StateDir) -> None:
    (state.data / "postgres").mkdir()
    (state.data / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(Fault, match="holds PostgreSQL 16 data, this Sluice runs PostgreSQL 18"):
        postgres.EmbeddedPostgres(state).prepare()


def _query(state: StateDir, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(driver_url(postgres.database_url(state)), autocommit=True, connect_timeout=3) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
