"""The request for the configurations of many control planes at once."""

import gzip
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import event, text
from starlette.testclient import TestClient

from api.routes.runtime import MOST_WANTED
from core.db.engine import Database
from core.snapshot import build
from gateway_runtime.client import MOST_FETCHED
from tests.api.runtime.conftest import Plane, RuntimeApi
from tests.support.problems import assert_problem
from tests.support.tenants import Tenant

NewPlane = Callable[[], Plane]


def want(*planes: Plane, **versions: int) -> dict[str, Any]:
    return {"items": [{"control_plane_id": str(plane.id), "from_version": versions.get("version")} for plane in planes]}


def answers(response: httpx.Response) -> dict[str, dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.content.endswith(b"\n")
    lines = [json.loads(line) for line in response.content.splitlines()]
    found = {line["control_plane_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def fill(client: TestClient, plane: Plane, tenant: Tenant, services: int = 1) -> None:
    entities = f"/v2/control-planes/{plane.id}/core-entities"
    for number in range(services):
        body = {"name": f"{plane.prefix}-{number}", "host": "h.test"}
        made = client.post(f"{entities}/services", json=body, headers=tenant.headers)
        assert made.status_code == 201, made.text


def statements_of(database: Database, action: Callable[[], object]) -> list[str]:
    seen: list[str] = []

    def on_execute(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.system_engine, "before_cursor_execute", on_execute)
    try:
        action()
    finally:
        event.remove(database.system_engine, "before_cursor_execute", on_execute)
    return seen


def test_the_agent_asks_for_no_more_than_is_answered() -> None:
    assert MOST_FETCHED <= MOST_WANTED


def test_each_is_given_what_it_would_be_given_alone(
    runtime_api: RuntimeApi, new_plane: NewPlane, client: TestClient, tenant: Tenant
) -> None:
    planes = [new_plane() for _ in range(4)]
    for number, plane in enumerate(planes):
        plane.assign("us")
        fill(client, plane, tenant, number)
    with runtime_api.client("us") as node:
        snapshots = answers(node.post("/configs", json=want(*planes)))
        steps = answers(node.post("/configs", json=want(*planes, version=1)))
        for plane in planes:
            alone = f"/control-planes/{plane.id}/config"
            assert snapshots[str(plane.id)] == node.get(alone).json()
            assert steps[str(plane.id)] == node.get(alone, params={"from_version": 1}).json()
    assert [len(snapshots[str(plane.id)]["entities"]["services"]) for plane in planes] == [0, 1, 2, 3]
    assert [steps[str(plane.id)]["kind"] for plane in planes] == ["snapshot", "delta", "delta", "delta"]
    assert [len(steps[str(plane.id)].get("changes", ())) for plane in planes] == [0, 0, 1, 2]


def test_only_what_the_nodes_region_serves(runtime_api: RuntimeApi, new_plane: NewPlane) -> None:
    here, elsewhere, withdrawn, nowhere = (new_plane() for _ in range(4))
    here.assign("us")
    elsewhere.assign("eu")
    withdrawn.assign("us")
    withdrawn.withdraw("us")
    unknown = str(uuid4())
    body = want(here, elsewhere, withdrawn, nowhere)
    body["items"].append({"control_plane_id": unknown, "from_version": 3})
    with runtime_api.client("us") as node:
        found = answers(node.post("/configs", json=body))
    assert found[str(here.id)]["kind"] == "snapshot"
    for other in (str(elsewhere.id), str(withdrawn.id), str(nowhere.id), unknown):
        assert found[other] == {"kind": "not-assigned", "control_plane_id": other}


def test_one_that_cannot_be_built_stands_alone(
    runtime_api: RuntimeApi, new_plane: NewPlane, client: TestClient, tenant: Tenant, database: Database
) -> None:
    planes = [new_plane() for _ in range(3)]
    for plane in planes:
        plane.assign("us")
        entities = f"/v2/control-planes/{plane.id}/core-entities"
        plugin = {"name": "request-transformer", "config": {"add": {"headers": ["Authorization:s3cret"]}}}
        assert client.post(f"{entities}/plugins", json=plugin).status_code == 201
    with database.system() as session:
        broken = "update plugins set doc = jsonb_set(doc, '{config,add,headers,0,$sealed}', '\"v1:AAAA\"') where control_plane_id = :id"
        session.execute(text(broken), {"id": planes[1].id})
    with runtime_api.client("us") as node:
        found = answers(node.post("/configs", json=want(*planes)))
    assert [found[str(plane.id)]["kind"] for plane in planes] == ["snapshot", "failed", "snapshot"]
    assert found[str(planes[1].id)].keys() == {"kind", "control_plane_id"}


def test_statements_do_not_grow_with_control_planes(
    runtime_api: RuntimeApi, new_plane: NewPlane, client: TestClient, tenant: Tenant, database: Database
) -> None:
    planes = [new_plane() for _ in range(6)]
    for plane in planes:
        plane.assign("us")
        fill(client, plane, tenant, 2)
    with runtime_api.client("us") as node:

        def counted(body: dict[str, Any]) -> int:
            return len(statements_of(database, lambda: answers(node.post("/configs", json=body))))

        assert counted(want(*planes[:2])) == counted(want(*planes))
        assert counted(want(*planes[:2], version=1)) == counted(want(*planes, version=1))


def test_large_ones_are_read_apart(
    runtime_api: RuntimeApi,
    new_plane: NewPlane,
    client: TestClient,
    tenant: Tenant,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planes = [new_plane() for _ in range(4)]
    for plane in planes:
        plane.assign("us")
        fill(client, plane, tenant, 2)
    with runtime_api.client("us") as node:

        def readings() -> int:
            statements = statements_of(database, lambda: answers(node.post("/configs", json=want(*planes))))
            return sum(
                bool(re.search(r"FROM services", statement))
                for statement in statements
                if "exists" not in statement.lower()
            )

        assert readings() == 1
        monkeypatch.setattr(build, "MOST_ENTITIES_AT_ONCE", 4)
        assert readings() == 2
        monkeypatch.setattr(build, "MOST_ENTITIES_AT_ONCE", 1)
        assert readings() == 4


def test_of_several_organizations_each_with_its_own_key(
    runtime_api: RuntimeApi, database: Database, client: TestClient, tenant: Tenant, other_tenant: Tenant
) -> None:
    planes = [Plane(database, owner) for owner in (tenant, other_tenant)]
    for plane, owner in zip(planes, (tenant, other_tenant), strict=True):
        plane.assign("us")
        fill(client, plane, owner)
    with runtime_api.client("us") as node:
        found = answers(node.post("/configs", json=want(*planes)))
    owners = [found[str(plane.id)]["organization_id"] for plane in planes]
    assert owners == [str(tenant.organization_id), str(other_tenant.organization_id)]
    keys = {found[str(plane.id)]["settings"]["credential_key"] for plane in planes}
    assert len(keys) == 2
    names = [found[str(plane.id)]["entities"]["services"][0]["name"] for plane in planes]
    assert names == [f"{plane.prefix}-0" for plane in planes]


def test_compressed_and_readable_part_by_part(
    runtime_api: RuntimeApi, new_plane: NewPlane, client: TestClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.runtime_lines.PART_BYTES", 1)
    planes = [new_plane() for _ in range(3)]
    for plane in planes:
        plane.assign("us")
    with runtime_api.client("us") as node, node.stream("POST", "/configs", json=want(*planes)) as response:
        raw = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip"
    assert len(gzip.decompress(raw).splitlines()) == 3
    with runtime_api.client("us") as node:
        plain = node.post("/configs", json=want(*planes), headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert len(answers(plain)) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"control_plane_id": "x", "from_version": None}]},
        {"items": [{"control_plane_id": str(uuid4()), "from_version": -1}]},
        {"items": [{"control_plane_id": str(uuid4()), "from_version": 2**63}]},
        {"items": [{"control_plane_id": str(uuid4()), "from_version": None}] * (MOST_WANTED + 1)},
    ],
)
def test_bad_requests(runtime_api: RuntimeApi, body: dict[str, Any]) -> None:
    with runtime_api.client("us") as node:
        assert_problem(node.post("/configs", json=body), 400)
