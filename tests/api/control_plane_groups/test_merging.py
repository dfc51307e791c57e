"""What gateways of a group get: the entities of all members, by snapshot and by delta, without those that collide."""

import base64
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from core.clock import SystemClock
from core.control_planes.configuration import Caps
from core.crud.errors import UsageConstraint
from core.crud.store import EntityStore
from core.crypto import KeyRing
from core.db.engine import Database
from core.db.notices import CONFIG_CHANNEL, PostgresNotices
from core.models import ConfigChange, ControlPlane
from schema.credentials import key_hash
from schema.registry import registry
from schema.snapshot import EMPTY_CONFIG_HASH, Delta, Snapshot, apply_delta
from tests.api.control_plane_groups.conftest import Group
from tests.support import pem
from tests.support.entities import Entities
from tests.support.tenants import Tenant


@pytest.fixture
def first(group: Group) -> Entities:
    return group.member("first")


@pytest.fixture
def second(group: Group, first: Entities) -> Entities:
    return group.member("second")


def test_entities_of_all_members(group: Group, first: Entities, second: Entities) -> None:
    assert group.update().config_hash == EMPTY_CONFIG_HASH
    first.create("services", {"name": "a", "host": "h"})
    second.create("services", {"name": "b", "host": "h"})
    second.create("services/b/routes", {"name": "b", "paths": ["/b"]})
    first.create("plugins", {"name": "request-transformer", "config": {"add": {"headers": ["X:secret"]}}})
    snapshot = group.update()
    assert group.names("services") == ["a", "b"]
    assert snapshot.entities["routes"][0]["service"]["id"] == second.get("services/b")["id"]
    assert snapshot.entities["plugins"][0]["config"]["add"]["headers"] == ["X:secret"]
    assert snapshot.config_hash not in (EMPTY_CONFIG_HASH, first.control_plane_id)
    assert group.status()["state"] == "OK"
    assert group.status()["conflicts"] == []


def test_a_group_has_no_entities_of_its_own(client: TestClient, group: Group, first: Entities) -> None:
    first.create("services", {"name": "a", "host": "h"})
    entities = f"{group.path}/core-entities/services"
    response = client.post(entities, json={"host": "h"})
    assert (response.status_code, response.json()["code"]) == (403, 7)
    assert client.get(entities).json()["data"] == []


def test_keys_are_hashed_for_the_group(group: Group, first: Entities, second: Entities) -> None:
    for number, member in enumerate((first, second)):
        member.create("consumers", {"username": f"c-{number}"})
        member.create(f"consumers/c-{number}/key-auth", {"key": f"key-{number}"})
    snapshot = group.update()
    credential_key = base64.b64decode(snapshot.settings.credential_key)
    found = {item["key_hash"] for item in snapshot.entities["keyauth_credentials"]}
    assert found == {key_hash(credential_key, f"key-{number}") for number in range(2)}


def test_a_members_change_is_a_delta(group: Group, first: Entities, second: Entities) -> None:
    first.create("services", {"name": "a", "host": "h"})
    held = group.update()
    second.create("services", {"name": "b", "host": "h"})
    second.create("services/b/routes", {"name": "r", "paths": ["/"]})
    first.call("PATCH", "services/a", json={"retries": 1})
    delta = group.update(held.version)
    assert isinstance(delta, Delta)
    assert len(delta.changes) == 3
    assert apply_delta(held, delta) == group.update()
    held = apply_delta(held, delta)
    second.call("DELETE", "routes/r")
    second.call("DELETE", "services/b")
    delta = group.update(held.version)
    assert [change.operation for change in delta.changes] == ["delete", "delete"]
    assert apply_delta(held, delta) == group.update()


def test_other_members_are_everything_anew(group: Group, first: Entities, client: TestClient, tenant: Tenant) -> None:
    other = Entities.of(client, tenant, "other")
    other.create("services", {"name": "o", "host": "h"})
    held = group.update()
    group.add(other)
    joined = group.update(held.version)
    assert isinstance(joined, Snapshot)
    assert joined.version == held.version + 1
    assert group.names("services") == ["o"]
    group.remove(other)
    assert isinstance(group.update(joined.version), Snapshot)
    assert group.names("services") == []
    assert group.update().config_hash == EMPTY_CONFIG_HASH
    other.create("services", {"name": "p", "host": "h"})
    assert group.update().version == joined.version + 1


def test_runtimes_hear_of_a_members_change(group: Group, first: Entities, database: Database) -> None:
    notices = PostgresNotices(database.url).listen([CONFIG_CHANNEL], quiet_seconds=5)
    assert next(notices) is None
    first.create("services", {"name": "a", "host": "h"})
    heard = {next(notices).payload.split()[1] for _ in range(2)}
    notices.close()
    assert heard == {str(group.id), first.control_plane_id}


def test_history_of_a_group_holds_no_documents(
    group: Group, first: Entities, database: Database, tenant: Tenant
) -> None:
    first.create("plugins", {"name": "request-transformer", "config": {"add": {"headers": ["X:secret"]}}})
    with database.tenant(tenant.organization_id) as session:
        changes = session.scalars(select(ConfigChange).where(ConfigChange.control_plane_id == group.id)).all()
    assert [(change.entity_type, change.before, change.after) for change in changes] == [("plugins", None, None)]


def test_a_member_of_two_groups(new_group: Callable[[str], Group]) -> None:
    one, two = new_group("one"), new_group("two")
    shared = one.member("shared")
    two.add(shared)
    held = one.update(), two.update()
    shared.create("services", {"name": "s", "host": "h"})
    for group, before in zip((one, two), held, strict=True):
        assert isinstance(group.update(before.version), Delta)
        assert group.names("services") == ["s"]


class TestCollisions:
    def conflicts(self, group: Group) -> set[tuple[str, str, str]]:
        status = group.status()
        assert status["state"] == ("CONFLICT" if status["conflicts"] else "OK")
        assert status["id"] == str(group.id)
        return {(item["cluster_id"], item["resource"]["type"], item["resource"]["id"]) for item in status["conflicts"]}

    def test_a_name(self, group: Group, first: Entities, second: Entities) -> None:
        ours = first.create("services", {"name": "s", "host": "first.test"})
        theirs = second.create("services", {"name": "s", "host": "second.test"})
        second.create("services/s/routes", {"name": "r", "paths": ["/"]})
        second.create("routes/r/plugins", {"name": "request-termination"})
        second.create("services", {"name": "free", "host": "h"})
        assert self.conflicts(group) == {
            (first.control_plane_id, "service", ours["id"]),
            (second.control_plane_id, "service", theirs["id"]),
        }
        described = {item["resource"]["id"]: item["description"] for item in group.status()["conflicts"]}
        assert described[ours["id"]].endswith("gateways use this one")
        assert f"ID={theirs['id']}, Name=s" in described[theirs["id"]]
        snapshot = group.update()
        assert {item["host"] for item in snapshot.entities["services"]} == {"first.test", "h"}
        assert snapshot.entities["routes"] == []
        assert snapshot.entities["plugins"] == []

    def test_who_joined_first_prevails(self, group: Group, first: Entities, second: Entities) -> None:
        second.create("services", {"name": "s", "host": "second.test"})
        assert [item["host"] for item in group.update().entities["services"]] == ["second.test"]
        first.create("services", {"name": "s", "host": "first.test"})
        assert [item["host"] for item in group.update().entities["services"]] == ["first.test"]
        group.remove(first)
        assert [item["host"] for item in group.update().entities["services"]] == ["second.test"]
        group.add(first)
        assert [item["host"] for item in group.update().entities["services"]] == ["second.test"]

    def test_changes_around_a_collision(self, group: Group, first: Entities, second: Entities) -> None:
        """Whatever happens, what a runtime has after an update is what it would have from scratch."""
        held = group.update()

        def step(member: Entities, method: str, path: str, body: dict[str, Any] | None = None) -> Snapshot:
            nonlocal held
            response = member.call(method, path, json=body)
            assert response.status_code < 300, response.text
            update = group.update(held.version)
            held = update if isinstance(update, Snapshot) else apply_delta(held, update)
            assert held == group.update()
            return held

        def hosts() -> list[str]:
            return sorted(item["host"] for item in held.entities["services"])

        step(first, "POST", "services", {"name": "s", "host": "first.test"})
        step(second, "POST", "services", {"name": "t", "host": "second.test"})
        step(second, "POST", "services/t/routes", {"name": "r", "paths": ["/r"]})
        assert hosts() == ["first.test", "second.test"]
        step(second, "PATCH", "services/t", {"name": "s"})
        assert (hosts(), held.entities["routes"]) == (["first.test"], [])
        step(second, "POST", "services/s/routes", {"name": "q", "paths": ["/q"]})
        assert held.entities["routes"] == []
        step(second, "POST", "services", {"name": "free", "host": "free.test"})
        step(second, "PATCH", "routes/q", {"service": {"name": "free"}})
        assert [item["name"] for item in held.entities["routes"]] == ["q"]
        step(second, "PATCH", "routes/q", {"service": {"name": "s"}})
        assert held.entities["routes"] == []
        step(first, "PATCH", "services/s", {"retries": 1})
        step(first, "DELETE", "services/s")
        assert hosts() == ["free.test", "second.test"]
        assert len(held.entities["routes"]) == 2
        step(first, "POST", "services", {"name": "s", "host": "again.test"})
        assert (hosts(), held.entities["routes"]) == (["again.test", "free.test"], [])
        step(second, "PATCH", "services/s", {"name": "u"})
        assert (hosts(), len(held.entities["routes"])) == (["again.test", "free.test", "second.test"], 2)

    def test_an_id(self, group: Group, first: Entities, second: Entities) -> None:
        identifier = str(uuid4())
        first.create("services", {"id": identifier, "name": "a", "host": "h"})
        second.create("services", {"id": identifier, "name": "b", "host": "h"})
        second.create("services/b/routes", {"name": "r", "paths": ["/"]})
        assert {member for member, _, _ in self.conflicts(group)} == {first.control_plane_id, second.control_plane_id}
        assert group.names("services") == ["a"]
        assert group.names("routes") == []

    def test_a_key_that_is_sealed(self, group: Group, first: Entities, second: Entities) -> None:
        held = []
        for number, member in enumerate((first, second)):
            member.create("consumers", {"username": f"c-{number}"})
            held.append(group.update())
            member.create(f"consumers/c-{number}/key-auth", {"key": "shared"})
        assert {kind for _, kind, _ in self.conflicts(group)} == {"key-auth"}
        assert "shared" not in str(group.status())
        snapshot = group.update(held[1].version)
        assert isinstance(snapshot, Snapshot)
        (credential,) = snapshot.entities["keyauth_credentials"]
        assert credential["consumer"]["id"] == first.get("consumers/c-0")["id"]

    def test_a_plugin_on_everything(self, group: Group, first: Entities, second: Entities) -> None:
        for member in (first, second):
            member.create("plugins", {"name": "request-termination", "config": {"message": member.control_plane_id}})
            member.create("services", {"name": f"s-{member.id}", "host": "h"})
            member.create(f"services/s-{member.id}/plugins", {"name": "request-termination"})
        assert {kind for _, kind, _ in self.conflicts(group)} == {"plugin"}
        assert len(self.conflicts(group)) == 2
        plugins = group.update().entities["plugins"]
        assert {item["config"]["message"] for item in plugins} == {first.control_plane_id, None}
        assert len(plugins) == 3

    def test_a_list_of_references(self, group: Group, first: Entities, second: Entities) -> None:
        for number, member in enumerate((first, second)):
            authority = member.create(member.path("ca_certificates"), {"cert": pem.authority(0)})
            member.create(
                "services",
                {"name": f"s-{number}", "host": "h", "protocol": "https", "ca_certificates": [authority["id"]]},
            )
        assert {kind for _, kind, _ in self.conflicts(group)} == {"ca_certificate"}
        assert group.names("services") == ["s-0"]

    def test_no_more_are_shown_than_published(
        self, group: Group, first: Entities, second: Entities, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a", "b", "c", "d"):
            for member in (first, second):
                member.create("services", {"name": name, "host": "h"})
        monkeypatch.setattr("core.groups.service.MOST_CONFLICTS", 3)
        monkeypatch.setattr("api.routes.control_plane_groups.MOST_CONFLICTS", 3)
        assert len(group.status()["conflicts"]) == 3


class TestSize:
    def sizes(self, database: Database, tenant: Tenant, *ids: object) -> list[tuple[int, int]]:
        with database.tenant(tenant.organization_id) as session:
            rows = {row.id: row for row in session.scalars(select(ControlPlane))}
        return [(rows[identifier].entity_count, rows[identifier].config_bytes) for identifier in ids]

    def test_a_group_is_as_large_as_its_members(
        self, group: Group, first: Entities, second: Entities, database: Database, tenant: Tenant
    ) -> None:
        first.create("services", {"name": "a", "host": "h"})
        second.create("services", {"name": "b", "host": "h"})
        second.create("services/b/routes", {"name": "r", "paths": ["/"]})
        second.call("PATCH", "services/b", json={"host": "h" * 100})
        one, two, both = self.sizes(database, tenant, first.id, second.id, group.id)
        assert both == (one[0] + two[0], one[1] + two[1]) == (3, one[1] + two[1])
        group.remove(first)
        assert self.sizes(database, tenant, group.id) == [two]
        second.call("DELETE", "routes/r")
        second.call("DELETE", "services/b")
        assert self.sizes(database, tenant, group.id, second.id) == [(0, 0), (0, 0)]

    def test_members_cannot_outgrow_it(
        self, group: Group, first: Entities, second: Entities, database: Database, tenant: Tenant, keyring: KeyRing
    ) -> None:
        first.create("services", {"name": "a", "host": "h"})
        service = registry().entities["services"]

        def write(name: str) -> None:
            with database.tenant(tenant.organization_id) as session:
                place = (session, keyring, SystemClock(), tenant.actor, second.id)
                EntityStore(*place, caps=Caps(entities=2)).create(service, {"name": name, "host": "h"})

        write("b")
        with pytest.raises(UsageConstraint) as raised:
            write("c")
        assert raised.value.reason == "the members of a control plane group hold at most 2 entities together"
        assert group.names("services") == ["a", "b"]
