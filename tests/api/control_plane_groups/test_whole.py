"""Many configurations with one question where groups are among them, and whole configurations of members."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from core.clock import SystemClock
from core.control_planes.configuration import Caps
from core.crud.errors import UsageConstraint
from core.crud.whole import WholeConfiguration
from core.crypto import KeyRing
from core.db.engine import Database
from core.models import ControlPlane
from core.snapshot.build import Built, UpdateBuilder
from schema.declarative import load
from schema.snapshot import Delta, Limits, apply_delta
from tests.api.control_plane_groups.conftest import REGION, Group
from tests.support.entities import Entities
from tests.support.tenants import Tenant

FILE: dict[str, Any] = {
    "_format_version": "3.0",
    "services": [{"name": "a", "host": "h", "routes": [{"name": "r", "paths": ["/x"]}]}],
    "consumers": [{"username": "bob", "keyauth_credentials": [{"key": "bobs"}]}],
}


@pytest.fixture
def first(group: Group) -> Entities:
    return group.member("first")


@pytest.fixture
def second(group: Group, first: Entities) -> Entities:
    return group.member("second")


def bring_in(member: Entities, file: dict[str, Any]) -> None:
    response = member.call("POST", "config", json=file)
    assert response.status_code == 201, response.text


class TestTogether:
    @pytest.fixture
    def build(self, database: Database, keyring: KeyRing) -> Callable[[dict[UUID, int | None]], dict[UUID, Built]]:
        builder = UpdateBuilder(database, keyring, Limits())
        return lambda have: {built.control_plane_id: built for built in builder.build_many(REGION, have)}

    def test_groups_with_common_members_and_a_collision(
        self,
        group: Group,
        first: Entities,
        second: Entities,
        new_group: Callable[[str], Group],
        build: Callable[[dict[UUID, int | None]], dict[UUID, Built]],
    ) -> None:
        other, empty = new_group("other"), new_group("empty")
        other.add(second, first)
        bring_in(first, FILE)
        second.create("services", {"name": "a", "host": "other"})
        second.create("services", {"name": "b", "host": "h"})
        groups = (group, other, empty)
        whole = build({each.id: None for each in groups})
        assert {key: built.update for key, built in whole.items()} == {each.id: each.update() for each in groups}
        names = [sorted(item["name"] for item in whole[each.id].update.entities["services"]) for each in groups]  # type: ignore[union-attr]
        assert names == [["a", "b"], ["a", "b"], []]
        held = {each.id: whole[each.id].update.version for each in groups}  # type: ignore[union-attr]
        second.call("PATCH", "services/b", json={"host": "changed"})
        steps = build(dict(held))
        assert {key: built.update for key, built in steps.items()} == {
            each.id: each.update(held[each.id]) for each in groups
        }
        for each in (group, other):
            step = steps[each.id].update
            assert isinstance(step, Delta)
            assert [change.entity["host"] for change in step.changes if change.entity] == ["changed"]
        mixed = build({group.id: held[group.id], other.id: None})
        assert mixed[group.id].update == group.update(held[group.id])
        assert mixed[other.id].update == other.update()

    def test_a_group_that_cannot_be_read_stands_alone(
        self,
        group: Group,
        first: Entities,
        second: Entities,
        new_group: Callable[[str], Group],
        build: Callable[[dict[UUID, int | None]], dict[UUID, Built]],
        database: Database,
    ) -> None:
        other = new_group("other")
        third = other.member("third")
        third.create("services", {"name": "c", "host": "h"})
        bring_in(first, FILE)
        with database.system() as session:
            session.execute(
                text(
                    "update keyauth_credentials set doc = jsonb_set(doc, '{key,$sealed}', '\"AAAA\"')"
                    " where control_plane_id = :id"
                ),
                {"id": first.id},
            )
        built = build({group.id: None, other.id: None})
        assert built[group.id] == Built(group.id, None, failed=True)
        assert built[other.id].update == other.update()


class TestImports:
    def test_an_import_is_a_delta_of_the_group(self, group: Group, first: Entities, second: Entities) -> None:
        second.create("services", {"name": "b", "host": "h"})
        before = group.update()
        bring_in(first, FILE)
        step = group.update(before.version)
        assert isinstance(step, Delta)
        after = group.update()
        assert after.version == before.version + 1
        assert after.config_hash == step.config_hash != before.config_hash
        assert apply_delta(before, step).content_hash() == after.content_hash()
        assert group.names("services") == ["a", "b"]
        assert [item["username"] for item in after.entities["consumers"]] == ["bob"]

    def test_nothing_new_is_no_version(self, group: Group, first: Entities) -> None:
        bring_in(first, FILE)
        before = group.update()
        bring_in(first, FILE)
        assert group.update() == before

    def test_what_comes_and_goes_counts(
        self, group: Group, first: Entities, second: Entities, database: Database, tenant: Tenant
    ) -> None:
        def sizes() -> list[tuple[int, int]]:
            with database.tenant(tenant.organization_id) as session:
                found = {row.id: row for row in session.scalars(select(ControlPlane))}
            return [(found[key].entity_count, found[key].config_bytes) for key in (first.id, group.id)]

        bring_in(first, FILE)
        own, all_ = sizes()
        assert own == all_
        assert own[0] == 4
        assert own[1] > 0
        second.create("services", {"name": "b", "host": "h"})
        bring_in(first, {"_format_version": "3.0"})
        assert sizes()[0] == (0, 0)
        assert sizes()[1][0] == 1

    @pytest.mark.parametrize(
        ("caps", "reason"),
        [
            (Caps(entities=4), "the members of a control plane group hold at most 4 entities together"),
            (Caps(entities=3), "a control plane holds at most 3 entities"),
            (Caps(size_bytes=100), "a control plane holds at most 100 bytes of configuration"),
        ],
    )
    def test_caps(
        self,
        group: Group,
        first: Entities,
        second: Entities,
        database: Database,
        tenant: Tenant,
        keyring: KeyRing,
        caps: Caps,
        reason: str,
    ) -> None:
        second.create("services", {"name": "b", "host": "h"})
        before = group.update()
        with pytest.raises(UsageConstraint) as raised, database.tenant(tenant.organization_id) as session:
            WholeConfiguration(session, keyring, SystemClock(), tenant.actor, first.id, caps=caps).replace(load(FILE))
        assert raised.value.reason == reason
        assert group.update() == before

    def test_a_group_takes_none(self, group: Group, tenant: Tenant) -> None:
        response = Entities(group.client, tenant.headers, str(group.id)).call("POST", "config", json=FILE)
        assert response.status_code == 403
        assert "a control plane group holds no entities of its own" in response.text
