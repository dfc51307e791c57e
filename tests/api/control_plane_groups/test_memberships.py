"""Who may be a member of a group, and how that is changed and listed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from core.errors import LimitReached
from core.groups import service as groups
from core.groups.service import GroupService
from core.settings import Settings
from tests.api.control_plane_groups.conftest import Group
from tests.support.entities import Entities
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant


@pytest.fixture
def planes(client: TestClient, tenant: Tenant) -> list[Entities]:
    return [Entities.of(client, tenant, f"cp-{number}") for number in range(4)]


def test_add_remove_replace(group: Group, planes: list[Entities]) -> None:
    assert group.members() == []
    group.add(planes[1], planes[0])
    assert group.members() == ["cp-1", "cp-0"]
    group.add(planes[0], planes[2])
    assert group.members() == ["cp-1", "cp-0", "cp-2"]
    group.remove(planes[1], planes[3])
    assert group.members() == ["cp-0", "cp-2"]
    group.change("PUT", "group-memberships", planes[3], planes[2])
    assert group.members() == ["cp-2", "cp-3"]
    group.change("PUT", "group-memberships")
    assert group.members() == []


def test_nothing_new_is_no_version(group: Group, planes: list[Entities]) -> None:
    group.add(planes[0])
    version = group.update().version
    group.add(planes[0], planes[0])
    group.remove(planes[1])
    group.change("PUT", "group-memberships", planes[0])
    assert group.update().version == version


def test_member_status(client: TestClient, group: Group, planes: list[Entities]) -> None:
    def is_member(path: str) -> bool:
        return client.get(f"{path}/group-member-status").json()["is_member"]

    path = f"/v2/control-planes/{planes[0].id}"
    assert not is_member(path)
    group.add(planes[0])
    assert is_member(path)
    assert not is_member(group.path)
    group.remove(planes[0])
    assert not is_member(path)


def test_pages(client: TestClient, group: Group, planes: list[Entities]) -> None:
    group.add(*planes)
    first = client.get(f"{group.path}/group-memberships?page[size]=3&page[after]=").json()
    assert first["meta"]["page"]["size"] == 3
    assert first["meta"]["page"]["total"] == 4
    assert first["data"][0] == client.get(f"/v2/control-planes/{planes[0].id}").json()
    second = client.get(first["meta"]["page"]["next"]).json()
    assert second["meta"] == {"page": {"next": None, "size": 3, "total": 4}}
    assert [item["name"] for item in first["data"] + second["data"]] == [f"cp-{number}" for number in range(4)]
    group.remove(planes[2])
    assert client.get(first["meta"]["page"]["next"]).json()["data"] == second["data"]
    assert client.get(f"{group.path}/group-memberships").json()["meta"]["page"]["size"] == 100


@pytest.mark.parametrize("cursor", ["x", "eA", "!!", "4pyT", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_bad_cursors(client: TestClient, group: Group, cursor: str) -> None:
    response = client.get(f"{group.path}/group-memberships?page[after]={cursor}")
    assert violations(response) == {("page[after]", "invalid")}


def test_only_groups_have_members(client: TestClient, planes: list[Entities]) -> None:
    path = f"/v2/control-planes/{planes[0].id}"
    body = {"members": [{"id": planes[1].control_plane_id}]}
    for response in (
        client.get(f"{path}/group-memberships"),
        client.get(f"{path}/group-status"),
        client.put(f"{path}/group-memberships", json=body),
        client.post(f"{path}/group-memberships/add", json=body),
        client.post(f"{path}/group-memberships/remove", json=body),
    ):
        assert violations(response) == {("control_plane_id", "invalid")}


@pytest.mark.parametrize(
    "cluster_type",
    [
        "CLUSTER_TYPE_CONTROL_PLANE_GROUP",
        "CLUSTER_TYPE_K8S_INGRESS_CONTROLLER",
        "CLUSTER_TYPE_SERVERLESS",
        "CLUSTER_TYPE_SERVERLESS_V1",
        "CLUSTER_TYPE_KAFKA_NATIVE_EVENT_PROXY",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/add"), ("PUT", "")])
def test_only_control_planes_of_the_plain_kind_are_members(
    client: TestClient, group: Group, planes: list[Entities], cluster_type: str, method: str, path: str
) -> None:
    other = client.post("/v2/control-planes", json={"name": "other", "cluster_type": cluster_type}).json()["id"]
    body = {"members": [{"id": planes[0].control_plane_id}, {"id": other}]}
    response = client.request(method, f"{group.path}/group-memberships{path}", json=body)
    assert violations(response) == {("members[1].id", "invalid")}
    assert group.members() == []


def test_members_that_are_not_there(client: TestClient, group: Group, planes: list[Entities], new_tenant: Any) -> None:
    theirs = client.post("/v2/control-planes", json={"name": "theirs"}, headers=new_tenant().headers).json()["id"]
    for unknown in (theirs, str(uuid4())):
        body = {"members": [{"id": planes[0].control_plane_id}, {"id": unknown}]}
        for method, path in (("POST", "/add"), ("PUT", "")):
            response = client.request(method, f"{group.path}/group-memberships{path}", json=body)
            assert violations(response) == {("members[1].id", "missing_reference")}
        assert client.post(f"{group.path}/group-memberships/remove", json=body).status_code == 204
    assert group.members() == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("members", "required")),
        ({"members": None}, ("members", "is_array")),
        ({"members": [{"id": "x"}]}, ("members[0].id", "is_uuid")),
        ({"members": [{}]}, ("members[0].id", "required")),
        ({"members": [], "more": 1}, ("more", "unknown_property")),
        ({"members": [{"id": str(UUID(int=1))}] * 1001}, ("members", "max_items")),
    ],
)
def test_bad_bodies(client: TestClient, group: Group, body: Any, expected: tuple[str, str]) -> None:
    for method, path in (("PUT", ""), ("POST", "/add"), ("POST", "/remove")):
        response = client.request(method, f"{group.path}/group-memberships{path}", json=body)
        assert violations(response) == {expected}


def test_deleted_members_and_deleted_groups(client: TestClient, group: Group, planes: list[Entities]) -> None:
    planes[0].create("services", {"name": "s", "host": "h"})
    group.add(planes[0], planes[1])
    assert group.names("services") == ["s"]
    assert client.delete(f"/v2/control-planes/{planes[0].id}").status_code == 204
    assert group.members() == ["cp-1"]
    assert group.names("services") == []
    planes[1].create("services", {"name": "t", "host": "h"})
    assert client.delete(group.path).status_code == 204
    assert not client.get(f"/v2/control-planes/{planes[1].id}/group-member-status").json()["is_member"]
    planes[1].create("services", {"name": "u", "host": "h"})


class TestLimits:
    @pytest.fixture
    def change(
        self, database: Database, keyring: KeyRing, tenant: Tenant, settings: Settings, group: Group
    ) -> Callable[..., None]:
        def run(*members: Entities, **changes: int) -> None:
            with database.tenant(tenant.organization_id) as session:
                limited = settings.with_changes(**changes)
                service = GroupService(session, keyring, tenant.actor, limited, SystemClock())
                service.add(group.id, [member.id for member in members])

        return run

    def test_members(self, change: Callable[..., None], group: Group, planes: list[Entities]) -> None:
        change(planes[0], planes[1], max_group_members=2)
        with pytest.raises(LimitReached, match="No more than 2 members of a control plane group are allowed"):
            change(planes[2], max_group_members=2)
        assert group.members() == ["cp-0", "cp-1"]

    def test_size_of_all_members_together(
        self, change: Callable[..., None], group: Group, planes: list[Entities]
    ) -> None:
        for plane in planes[:2]:
            plane.create("services", {"name": f"s-{plane.id}", "host": "h"})
        change(planes[0], max_entities=1)
        with pytest.raises(LimitReached, match="No more than 1 entities"):
            change(planes[1], max_entities=1)
        planes[1].create("plugins", {"name": "request-termination", "config": {"body": "x" * 65_536}})
        with pytest.raises(LimitReached, match="No more than 65536 bytes"):
            change(planes[1], max_config_bytes=65536)
        assert group.members() == ["cp-0"]

    def test_groups_of_one_member(
        self, client: TestClient, new_group: Callable[[str], Group], planes: list[Entities], monkeypatch
    ) -> None:
        monkeypatch.setattr(groups, "MOST_GROUPS", 1)
        new_group("one").add(planes[0])
        body = {"members": [{"id": planes[0].control_plane_id}]}
        response = client.post(f"{new_group('two').path}/group-memberships/add", json=body)
        assert "No more than 1 groups" in assert_problem(response, 400)["detail"]


def test_many_at_once(group: Group, planes: list[Entities]) -> None:
    """Every change comes through, whatever the others do at the time."""
    barrier = threading.Barrier(8)

    def one(number: int) -> None:
        barrier.wait()
        plane = planes[number % 4]
        if number < 4:
            group.add(plane)
        else:
            plane.create("services", {"name": f"s-{number}", "host": "h"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    assert sorted(group.members()) == [f"cp-{number}" for number in range(4)]
    assert group.names("services") == [f"s-{number}" for number in range(4, 8)]
    before = group.update()
    planes[0].create("services", {"name": "later", "host": "h"})
    assert group.update().version == before.version + 1
