"""Parts that plugins of a group's members share: each member's plugins take from its own partials."""

from datetime import timedelta
from typing import Any

from core.clock import SystemClock
from core.crypto import KeyRing
from core.db.engine import Database
from schema.snapshot import Delta, Snapshot, apply_delta
from tests.api.control_plane_groups.conftest import Group
from tests.support.clock import ManualClock
from tests.support.entities import Entities
from workers import retention


def share(member: Entities, name: str, host: str, service: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A partial, and a plugin that is linked to it."""
    partial = member.create("partials", {"name": name, "type": "redis-ce", "config": {"host": host}})
    body = {"name": "rate-limiting", "config": {"minute": 5}, "partials": [{"id": partial["id"]}]}
    if service is not None:
        body["service"] = {"id": member.create("services", {"name": service, "host": "backend.test"})["id"]}
    return partial, member.create("plugins", body)


def hosts(snapshot: Snapshot) -> dict[str, str]:
    return {plugin["id"]: plugin["config"]["redis"]["host"] for plugin in snapshot.entities["plugins"]}


def test_each_takes_from_its_own_member(group: Group) -> None:
    first, second = group.member("first"), group.member("second")
    shared, one = share(first, "a", "one.test", "s1")
    _, two = share(second, "b", "two.test", "s2")
    before = group.update()
    assert hosts(before) == {one["id"]: "one.test", two["id"]: "two.test"}
    first.call("PATCH", f"partials/{shared['id']}", json={"config": {"host": "new.test"}})
    delta = group.update(before.version)
    assert isinstance(delta, Delta)
    assert [change.id for change in delta.changes] == [one["id"]]
    assert apply_delta(before, delta) == group.update()
    assert hosts(group.update()) == {one["id"]: "new.test", two["id"]: "two.test"}


def test_what_lost_a_collision_stays_out(group: Group) -> None:
    first, second = group.member("first"), group.member("second")
    _, one = share(first, "a", "one.test")
    shared, _ = share(second, "b", "two.test")
    before = group.update()
    assert hosts(before) == {one["id"]: "one.test"}
    second.call("PATCH", f"partials/{shared['id']}", json={"config": {"host": "new.test"}})
    after = group.update(before.version)
    assert isinstance(after, Snapshot)
    assert hosts(after) == {one["id"]: "one.test"}


def test_the_end_of_a_members_credential_is_a_delta(group: Group, database: Database, keyring: KeyRing) -> None:
    first, second = group.member("first"), group.member("second")
    first.create("consumers", {"username": "bob"})
    second.create("consumers", {"username": "eve"})
    key = first.create("consumers/bob/key-auth", {"key": "brief", "ttl": 60})
    second.create("consumers/eve/key-auth", {"key": "lasting"})
    before = group.update()
    retention.sweep_ended(database, keyring, ManualClock(SystemClock().now() + timedelta(hours=1)))
    delta = group.update(before.version)
    assert isinstance(delta, Delta)
    assert [(change.operation, change.id) for change in delta.changes] == [("delete", key["id"])]
    assert apply_delta(before, delta) == group.update()
