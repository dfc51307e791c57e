import asyncio
import json
import time
from pathlib import Path

import pytest

from gateway_runtime.acks import AckBox
from gateway_runtime.cache import LastKnownGood
from gateway_runtime.spec import GatewaySpec
from gateway_runtime.status import Answer, Sample, StatusServer, exposition
from gateway_runtime.sync import Sync, Tenant
from gateway_runtime.telemetry import Telemetry
from tests.support.fake_control_plane import FakeControlPlane
from tests.support.fake_engine import FakeEngine
from tests.unit.gateway_runtime.test_spec import GOOD

A = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def sync(engine: FakeEngine, tmp_path: Path) -> Sync:
    control_plane = FakeControlPlane()
    cache = LastKnownGood(tmp_path, lambda _purpose, _salt: bytes(32))
    return Sync(engine, control_plane, cache, AckBox("node", control_plane))


@pytest.fixture
def telemetry(engine: FakeEngine, sync: Sync) -> Telemetry:
    return Telemetry(GatewaySpec.model_validate(GOOD), "1.2.3", engine, sync)


def test_ready_follows_configuration_and_life(telemetry: Telemetry, sync: Sync) -> None:
    assert telemetry.readiness().status == 503
    sync.usable.set()
    assert telemetry.readiness().status == 503
    telemetry.serving = True
    assert (telemetry.readiness().status, telemetry.readiness().body) == (200, b'{"message": "ready"}')
    telemetry.stopping = True
    assert telemetry.readiness().status == 503


def test_status_counts_tenants(telemetry: Telemetry, sync: Sync) -> None:
    sync.tenants[A] = Tenant(assigned=True, wanted=3, held=2, refused=3)
    document = json.loads(telemetry.status().body)
    assert document["tenants"] == {"total": 1, "behind": 0, "refused": 1}
    assert document["engine"]["connections_open"] == 4


def test_metrics_carry_organization_and_control_plane(telemetry: Telemetry, sync: Sync, engine: FakeEngine) -> None:
    engine.held[A] = 2
    sync.tenants[A] = Tenant(organization_id="org", assigned=True, held=2)
    lines = telemetry.metrics().body.decode().splitlines()
    labels = f'organization="org",control_plane="{A}"'
    assert f"sluice_config_version{{{labels}}} 2" in lines
    assert f'sluice_responses_total{{{labels},class="2xx"}} 3' in lines
    assert f"sluice_requests_total{{{labels}}} 4" in lines
    assert "# TYPE sluice_requests_total counter" in lines
    assert "# TYPE sluice_engine_connections_open gauge" in lines
    assert "sluice_engine_connections_total 9" in lines


def test_label_values_are_escaped() -> None:
    text = exposition([("m", "gauge", "h", [Sample({"a": 'x"\\\n'}, 1.5)])])
    assert text.splitlines()[-1] == rb'm{a="x\"\\\n"} 1.5'


@pytest.mark.parametrize(
    ("head", "status", "body"),
    [
        (b"GET /x HTTP/1.1\r\n\r\n", 200, b'{"a": 1}'),
        (b"GET /x?q=1 HTTP/1.1\r\nHost: h\r\n\r\n", 200, b'{"a": 1}'),
        (b"HEAD /x HTTP/1.0\r\n\r\n", 200, b""),
        (b"GET /y HTTP/1.1\r\n\r\n", 404, b'{"message": "Not found"}'),
        (b"POST /x HTTP/1.1\r\n\r\n", 405, b'{"message": "Method not allowed"}'),
        (b"nonsense\r\n\r\n", 400, b'{"message": "Bad request"}'),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 404, b'{"message": "Not found"}'),
    ],
)
def test_requests(head: bytes, status: int, body: bytes) -> None:
    server = StatusServer({"/x": lambda: Answer.json(200, {"a": 1})})
    response = server._respond(head)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert response.partition(b"\r\n\r\n")[2] == body
    assert b"Connection: close" in response


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"/f/a-1", 200), (b"/f/b", 404), (b"/f/", 404), (b"/f", 404), (b"/f/a-1/x", 404), (b"/g/a-1", 404)],
)
def test_what_is_below_a_folder(target: bytes, status: int) -> None:
    def of(name: str) -> Answer:
        return Answer.json(200 if name == "a-1" else 404, {"name": name})

    response = StatusServer({}, {"/f": of})._respond(b"GET " + target + b" HTTP/1.1\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 %d " % status)


def test_figures_of_one_control_plane(telemetry: Telemetry) -> None:
    engine = telemetry._engine
    assert isinstance(engine, FakeEngine)
    engine.held["cp-1"] = 1
    answer = telemetry.metrics_of("cp-1")
    lines = answer.body.decode().splitlines()
    assert (answer.status, lines[-1]) == (200, "kong_http_requests_total 4")
    assert f'kong_node_info{{node_id="{GOOD["node_id"]}",version="1.2.3"}} 1' in lines
    assert telemetry.metrics_of("cp-2").status == 404


def test_heartbeats_go_on_after_a_failure(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_runtime.telemetry.HEARTBEAT_SECONDS", 0.001)
    control_plane = FakeControlPlane()

    async def scenario() -> None:
        control_plane.down = True
        task = asyncio.create_task(telemetry.send_heartbeats(control_plane))
        await asyncio.sleep(0.01)
        control_plane.down = False
        async with asyncio.timeout(5):
            while not control_plane.heartbeats:  # noqa: ASYNC110 - anything may make it true
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert control_plane.heartbeats[0]["node_id"] == GOOD["node_id"]
    assert control_plane.heartbeats[0]["tenants"] == 0


def test_status_stays_small_and_rests_between_readings(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = telemetry._engine
    assert isinstance(engine, FakeEngine)
    engine.held = {str(number): 1 for number in range(1000)}
    readings, stats = 0, engine.stats

    def slow() -> bytes:
        nonlocal readings
        readings += 1
        time.sleep(0.01)
        return stats()

    monkeypatch.setattr(engine, "stats", slow)

    answers = [telemetry.status() for _ in range(20)]

    assert all(len(answer.body) < 2000 for answer in answers)
    assert json.loads(answers[-1].body)["engine"]["connections_open"] == 4
    assert readings == 1
