"""Credentials whose time is over are deleted like anything else: with a change, and in the next version."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from core.clock import SystemClock
from core.models import AuditEvent, ConfigChange, ControlPlane
from tests.support.clock import ManualClock
from tests.support.entities import Entities
from tests.support.tenants import Tenant
from workers import retention


@pytest.fixture
def later():
    """An hour from now."""
    return ManualClock(SystemClock().now() + timedelta(hours=1))


@pytest.fixture
def entities(shared_client, tenant: Tenant):
    made = Entities.of(shared_client, tenant)
    made.create("consumers", {"username": "bob"})
    return made


def keys(entities):
    return {item["key"] for item in entities.get("key-auths")["data"]}


def test_what_has_ended_goes_and_nothing_else(database, keyring, entities: Entities, tenant, later):
    for key, ttl in (("brief", 60), ("lasting", None), ("never", 0), ("long", 7200), ("renewed", 60)):
        entities.create("consumers/bob/key-auth", {"key": key, "ttl": ttl})
    entities.call("PATCH", "key-auths/renewed", json={"ttl": None})
    retention.sweep_ended(database, keyring, SystemClock())
    assert keys(entities) == {"brief", "lasting", "never", "long", "renewed"}
    retention.sweep_ended(database, keyring, later)
    assert keys(entities) == {"lasting", "never", "long", "renewed"}
    with database.tenant(tenant.organization_id) as session:
        control_plane = session.find(ControlPlane, entities.id)
        change = session.scalars(select(ConfigChange).order_by(ConfigChange.version.desc()).limit(1)).one()
        events = select(AuditEvent).where(AuditEvent.subject_id == change.entity_id)
        event = session.scalars(events.where(AuditEvent.action == "key-auth.deleted")).one()
        assert control_plane is not None
        assert (control_plane.config_version, control_plane.entity_count) == (8, 5)
    assert (change.version, change.operation, change.entity_type) == (8, "delete", "keyauth_credentials")
    assert change.actor == event.actor == "system:expiry"
    retention.sweep_ended(database, keyring, later)
    with database.tenant(tenant.organization_id) as session:
        assert session.scalars(select(ControlPlane.config_version)).one() == 8


def test_batches_are_bounded(database, keyring, entities: Entities, later, monkeypatch):
    monkeypatch.setattr(retention, "MOST_ENDED_AT_ONCE", 2)
    for number in range(3):
        entities.create("consumers/bob/key-auth", {"key": f"k-{number}", "ttl": 1})
    retention.sweep_ended(database, keyring, later)
    assert len(keys(entities)) == 1
    retention.sweep_ended(database, keyring, later)
    assert keys(entities) == set()


def test_one_that_fails_does_not_hold_up_the_others(
    database, keyring, entities: Entities, new_tenant, later, monkeypatch
):
    other_tenant = new_tenant("Other")
    other = Entities.of(entities.client, other_tenant)
    other.create("consumers", {"username": "eve"})
    for owner, name in ((entities, "bob"), (other, "eve")):
        owner.create(f"consumers/{name}/key-auth", {"key": "k", "ttl": 1})
    remove = retention.expiry.remove_ended

    def failing(session, keyring, clock, control_plane_id, most):
        if control_plane_id == entities.id:
            session.execute(text("select 1 / 0"))
        return remove(session, keyring, clock, control_plane_id, most)

    monkeypatch.setattr(retention.expiry, "remove_ended", failing)
    retention.sweep_ended(database, keyring, later)
    assert keys(other) == set()
    assert keys(entities) == {"k"}
