"""What a write leaves behind: versions, changes, audit, notices, and what runtimes get of it."""

import base64
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, text

from core.clock import SystemClock
from core.control_planes.configuration import Caps
from core.crud.errors import KeyTaken, ReferenceMissing, UsageConstraint
from core.crud.store import EntityStore
from core.db.engine import driver_url
from core.errors import NotFound
from core.models import AuditEvent, ConfigChange, ControlPlane, DataplaneGroup, GatewayConfiguration
from core.models.entities import ENTITY_ROWS
from core.snapshot import read
from core.snapshot.build import UpdateBuilder
from schema.registry import registry
from schema.snapshot import Delta, GatewaySettings, Limits, Snapshot, apply_delta, parse_update
from tests.support.entities import Entities

REGION = "us"
SECRET = "Authorization:Bearer hunter2"


@pytest.fixture
def builder(database, keyring):
    return UpdateBuilder(database, keyring, Limits(allow_upstream=("127.0.0.0/8",)))


@pytest.fixture
def update(builder, database, tenant, entities: Entities):
    serve(database, tenant.organization_id, entities.id)
    return lambda from_version=None: builder.build(REGION, entities.id, from_version)


def serve(database, organization_id, control_plane_id):
    """Have the region's runtimes serve the control plane."""
    configuration = GatewayConfiguration(
        id=uuid4(), control_plane_id=control_plane_id, control_plane_geo="us", kind="serverless.v1"
    )
    with database.tenant(organization_id) as session:
        session.add(configuration)
        session.flush()
        group = DataplaneGroup(
            configuration_id=configuration.id,
            control_plane_id=control_plane_id,
            provider="aws",
            region=REGION,
            state="ready",
            hostname=f"{uuid4().hex[:10]}.test",
            assigned_version=0,
        )
        session.add(group)


def version(database, tenant, entities):
    with database.tenant(tenant.organization_id) as session:
        return session.scalars(select(ControlPlane.config_version).where(ControlPlane.id == entities.id)).one()


def plugin_with_secret(entities):
    return entities.create("plugins", {"name": "request-transformer", "config": {"add": {"headers": [SECRET]}}})


def test_the_installation_says_how_routes_are_ranked(database, keyring, tenant, entities: Entities, builder):
    serve(database, tenant.organization_id, entities.id)
    traditional = UpdateBuilder(database, keyring, Limits(), GatewaySettings(router_flavor="traditional"))
    flavors = [made.build(REGION, entities.id).settings.router_flavor for made in (builder, traditional)]
    assert flavors == ["traditional_compatible", "traditional"]
    assert traditional.terms != UpdateBuilder(database, keyring, Limits()).terms


def test_each_write_is_one_version_with_its_changes(database, tenant, entities: Entities):
    service = entities.create("services", {"name": "s", "host": "h"})
    entities.create("services/s/plugins", {"name": "request-transformer"})
    entities.call("PATCH", "services/s", json={"retries": 1})
    assert entities.call("POST", "services", json={"name": "s", "host": "h"}).status_code == 400
    assert entities.call("POST", "services", json={}).status_code == 400
    assert entities.call("DELETE", "services/s").status_code == 204
    with database.tenant(tenant.organization_id) as session:
        order = (ConfigChange.version, ConfigChange.seq)
        changes = session.scalars(
            select(ConfigChange).where(ConfigChange.control_plane_id == entities.id).order_by(*order)
        ).all()
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.control_plane_id == entities.id).order_by(AuditEvent.created_at)
        ).all()
    found = [(c.version, c.seq, c.entity_type, c.operation, c.before is None, c.after is None) for c in changes]
    assert found == [
        (1, 0, "services", "put", True, False),
        (2, 0, "plugins", "put", True, False),
        (3, 0, "services", "put", False, False),
        (4, 0, "plugins", "delete", False, True),
        (4, 1, "services", "delete", False, True),
    ]
    assert {change.actor for change in changes} == {f"user:{tenant.user_id}"}
    assert changes[2].before["retries"] == 5
    assert changes[2].after == {**changes[2].before, "retries": 1, "updated_at": changes[2].after["updated_at"]}
    assert version(database, tenant, entities) == 4
    actions = [event.action for event in events if event.subject_id == UUID(service["id"])]
    assert actions == ["service.created", "service.updated", "service.deleted"]
    assert all(event.request_id for event in events)


def test_secrets_are_sealed_in_rows_and_in_history(database, tenant, entities: Entities):
    plugin = plugin_with_secret(entities)
    config = {"add": {"headers": ["Authorization:Bearer hunter3"]}}
    entities.call("PATCH", f"plugins/{plugin['id']}", json={"config": config})
    assert entities.get(f"plugins/{plugin['id']}")["config"]["add"] == {**plugin["config"]["add"], **config["add"]}
    entities.call("DELETE", f"plugins/{plugin['id']}")
    plugin_with_secret(entities)
    with database.system() as session:
        for table in ("plugins", "config_changes", "audit_events", "outbox"):
            stored = session.execute(text(f"select coalesce(string_agg(t::text, ''), '') from {table} t")).scalar_one()
            assert "hunter" not in stored
        rows = session.execute(text("select count(*) from config_changes where after::text like '%$sealed%'"))
        assert rows.scalar_one() >= 3


def test_a_notice_comes_with_the_commit(database, tenant, entities: Entities):
    with psycopg.connect(driver_url(database.url), autocommit=True) as listener:
        listener.execute("LISTEN sluice_config")
        entities.create("services", {"name": "s", "host": "h"})
        assert entities.call("POST", "services", json={"name": "s", "host": "h"}).status_code == 400
        entities.create("services", {"name": "t", "host": "h"})
        payloads = [n.payload for n in listener.notifies(timeout=0.5) if n.payload.split()[1] == str(entities.id)]
    assert payloads == [f"{tenant.organization_id} {entities.id} {number}" for number in (1, 2)]


class TestUpdates:
    def test_a_snapshot_is_complete_and_in_clear(self, update, entities: Entities):
        empty = update()
        assert isinstance(empty, Snapshot)
        assert (empty.version, empty.entities) == (
            0,
            {plural: [] for plural, entity in registry().entities.items() if entity.spec.gateways},
        )
        service = entities.create("services", {"name": "s", "host": "h"})
        route = entities.create("services/s/routes", {"paths": ["/"]})
        plugin = plugin_with_secret(entities)
        snapshot = update()
        assert snapshot.version == 3
        assert snapshot.limits.allow_upstream == ("127.0.0.0/8",)
        assert snapshot.entities["services"] == [service]
        assert snapshot.entities["routes"] == [{**route, "expression": None, "priority": 0}]
        assert snapshot.entities["plugins"] == [plugin]
        assert parse_update(snapshot.to_bytes()) == snapshot

    def test_gateways_get_hashes_of_credentials(self, update, entities: Entities):
        group = entities.create("consumer_groups", {"name": "g"})
        consumer = entities.create("consumers", {"username": "c"})
        held = update()
        entities.call("POST", "consumer_groups/g/consumers", json={"consumer": "c"})
        key = entities.create("consumers/c/key-auth", {"key": "opensesame", "ttl": 60})
        lasting = entities.create("consumers/c/key-auth", {})
        password = entities.create("consumers/c/basic-auth", {"username": "u", "password": "hunter2"})
        signing = entities.create("consumers/c/hmac-auth", {"username": "s", "secret": "hunter4"})
        entry = entities.create("consumers/c/acls", {"group": "a"})
        snapshot = update()
        credential_key = base64.b64decode(snapshot.settings.credential_key or "")
        assert len(credential_key) == 32
        own = {"id": consumer["id"]}
        found = {item["id"]: item for item in snapshot.entities["keyauth_credentials"]}
        assert found[key["id"]] == {
            "id": key["id"],
            "consumer": own,
            "key_hash": base64.b64encode(hmac.digest(credential_key, b"opensesame", "sha256")).decode(),
            "expires_at": key["created_at"] + 60,
        }
        assert found[lasting["id"]]["expires_at"] is None
        (basic,) = snapshot.entities["basicauth_credentials"]
        assert basic == {
            "id": password["id"], "consumer": own, "username": "u", "password_hash": password["password"],
        }  # fmt: skip
        (member,) = snapshot.entities["consumer_group_members"]
        assert (member["consumer"], member["consumer_group"]) == (own, {"id": group["id"]})
        (signer,) = snapshot.entities["hmacauth_credentials"]
        assert signer == {"id": signing["id"], "consumer": own, "username": "s", "secret": "hunter4"}
        assert snapshot.entities["acls"] == [{"id": entry["id"], "consumer": own, "group": "a"}]
        assert "mtls_auth_credentials" not in snapshot.entities
        assert b"opensesame" not in snapshot.to_bytes()
        assert b"hunter2" not in snapshot.to_bytes()
        assert apply_delta(held, update(held.version)) == snapshot

    def test_gateways_get_the_one_thing_that_tokens_are_verified_with(self, update, entities: Entities):
        consumer = entities.create("consumers", {"username": "c"})
        public = (
            ec.derive_private_key(7, ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        entities.create("consumers/c/jwt", {"key": "shared", "secret": "hunter2", "rsa_public_key": public})
        entities.create(
            "consumers/c/jwt", {"key": "point", "algorithm": "ES256", "secret": "hunter3", "rsa_public_key": public}
        )
        entities.create("consumers/c/jwt", {"key": "other", "algorithm": "ES512", "rsa_public_key": public})
        snapshot = update()
        own = {"id": consumer["id"]}
        found = {item.pop("key"): item for item in snapshot.entities["jwt_secrets"]}
        assert [set(item) for item in found.values()] == 3 * [{"id", "consumer", "algorithm", "secret", "public_key"}]
        assert all(item["consumer"] == own for item in found.values())
        assert (found["shared"]["secret"], found["shared"]["public_key"]) == ("hunter2", None)
        assert found["point"]["secret"] is None
        assert base64.b64decode(found["point"]["public_key"])[:1] == b"\x04"
        assert (found["other"]["secret"], found["other"]["public_key"]) == (None, None)

    def test_each_control_plane_has_its_own_credential_key(self, builder, update, entities, database, tenant):
        other = Entities.of(entities.client, tenant, "second")
        serve(database, tenant.organization_id, other.id)
        keys = {update().settings.credential_key, builder.build(REGION, other.id).settings.credential_key}
        assert len(keys) == 2
        assert update().settings.credential_key in keys

    def test_deltas_lead_to_the_same_content(self, update, entities: Entities):
        service = entities.create("services", {"name": "s", "host": "h"})
        held = update()
        assert update(1).changes == ()
        for number in range(4):
            entities.create("services/s/routes", {"name": f"r-{number}", "paths": [f"/{number}"]})
        entities.call("PATCH", "routes/r-0", json={"preserve_host": True})
        entities.call("DELETE", "routes/r-1")
        plugin = plugin_with_secret(entities)
        entities.call("PATCH", f"plugins/{plugin['id']}", json={"enabled": False})
        entities.call("PATCH", f"services/{service['id']}", json={"retries": 0})
        delta = update(held.version)
        assert isinstance(delta, Delta)
        assert (delta.from_version, delta.version) == (1, 10)
        assert len(delta.changes) == len({(change.type, change.id) for change in delta.changes})
        after, fresh = apply_delta(held, delta), update()
        assert after == fresh
        assert after.content_hash() == fresh.content_hash()
        assert apply_delta(held, parse_update(delta.to_bytes())) == fresh

    def test_everything_is_sent_when_there_is_no_step(self, update, entities: Entities, database, monkeypatch):
        for number in range(4):
            entities.create("services", {"name": f"s-{number}", "host": "h"})
        assert isinstance(update(4), Delta)
        assert isinstance(update(5), Snapshot)
        monkeypatch.setattr(read, "MAX_DELTA_CHANGES", 2)
        assert isinstance(update(2), Delta)
        assert isinstance(update(1), Snapshot)
        monkeypatch.undo()
        with database.system() as session:
            session.execute(
                text("delete from config_changes where control_plane_id = :id and version <= 2"), {"id": entities.id}
            )
        assert isinstance(update(1), Snapshot)
        assert isinstance(update(2), Delta)

    def test_only_what_the_region_serves(self, builder, update, entities: Entities):
        assert update().version == 0
        for region, control_plane in ((REGION, uuid4()), ("eu", entities.id)):
            with pytest.raises(NotFound):
                builder.build(region, control_plane)

    def test_a_hole_in_the_history_is_no_step(self, update, entities: Entities, database):
        for number in range(4):
            entities.create("services", {"name": f"s-{number}", "host": "h"})
        with database.system() as session:
            statement = "delete from config_changes where control_plane_id = :id and version = 2"
            session.execute(text(statement), {"id": entities.id})
        assert isinstance(update(0), Snapshot)
        assert isinstance(update(1), Snapshot)
        assert isinstance(update(2), Delta)

    def test_deleted_and_made_again_with_the_same_id(self, update, entities: Entities):
        service = entities.create("services", {"name": "old", "host": "h"})
        held = update()
        assert entities.call("DELETE", f"services/{service['id']}").status_code == 204
        entities.create("services", {"id": service["id"], "name": "new", "host": "h"})
        (change,) = update(held.version).changes
        assert (change.operation, change.entity["name"]) == ("put", "new")

    def test_fields_that_history_does_not_know_have_their_defaults(self, update, entities: Entities, database):
        held = update()
        entities.create("services", {"name": "s", "host": "h"})
        with database.system() as session:
            statement = "update config_changes set after = after - 'retries' where control_plane_id = :id"
            session.execute(text(statement), {"id": entities.id})
        assert apply_delta(held, update(held.version)) == update()


def test_a_control_plane_holds_so_many_entities_and_no_more(database, keyring, tenant, entities: Entities):
    service = registry().entities["services"]

    def write(operation):
        with database.tenant(tenant.organization_id) as session:
            place = (session, keyring, SystemClock(), tenant.actor, entities.id)
            return operation(EntityStore(*place, caps=Caps(entities=2)))

    first, _ = (write(lambda store: store.create(service, {"host": "h"})) for _ in range(2))
    with pytest.raises(UsageConstraint, match="usage constraint error") as raised:
        write(lambda store: store.create(service, {"host": "h"}))
    assert raised.value.reason == "a control plane holds at most 2 entities"
    assert version(database, tenant, entities) == 2
    write(lambda store: store.change(service, first["id"], {"retries": 1}))
    write(lambda store: store.delete(service, first["id"]))
    write(lambda store: store.create(service, {"host": "h"}))


def test_a_control_plane_holds_so_many_bytes_and_no_more(database, keyring, tenant, entities: Entities):
    consumer = registry().entities["consumers"]

    def write(operation, size_bytes=1000):
        with database.tenant(tenant.organization_id) as session:
            place = (session, keyring, SystemClock(), tenant.actor, entities.id)
            return operation(EntityStore(*place, caps=Caps(size_bytes=size_bytes)))

    def size():
        with database.tenant(tenant.organization_id) as session:
            return session.scalars(select(ControlPlane.config_bytes).where(ControlPlane.id == entities.id)).one()

    made = write(lambda store: store.create(consumer, {"username": "u" * 500}))
    assert 500 < size() < 600
    with pytest.raises(UsageConstraint) as raised:
        write(lambda store: store.create(consumer, {"username": "v" * 500}))
    assert raised.value.reason == "a control plane holds at most 1000 bytes of configuration"
    write(lambda store: store.change(consumer, made["id"], {"custom_id": "c" * 300}))
    with pytest.raises(UsageConstraint):
        write(lambda store: store.change(consumer, made["id"], {"custom_id": "c" * 500}))
    # under a smaller bound than it has already it may only shrink
    write(lambda store: store.change(consumer, made["id"], {"custom_id": "c"}), size_bytes=100)
    assert size() < 600
    entities.create("services", {"host": "h", "name": "other"})
    with_other = size()
    write(lambda store: store.delete(consumer, made["id"]), size_bytes=100)
    assert 0 < size() < with_other - 500
    entities.call("DELETE", "services/other")
    assert size() == 0


def test_the_hash_names_the_configuration(update, entities: Entities, database, tenant):
    def expected():
        with database.tenant(tenant.organization_id) as session:
            return session.scalars(select(ControlPlane.config_hash).where(ControlPlane.id == entities.id)).one()

    seen = [update().config_hash]
    assert seen == [expected()] == ["0" * 32]
    entities.create("services", {"name": "s", "host": "h"})
    for retries in (1, 2, 1):
        seen.append(update().config_hash)
        entities.call("PATCH", "services/s", json={"retries": retries})
        held = update(len(seen) - 1)
        assert held.config_hash == expected() == update().config_hash
    assert len(set(seen)) == len(seen)
    assert all(len(item) == 32 for item in seen)
    entities.call("DELETE", "services/s")
    assert expected() == update().config_hash == "0" * 32


class TestConcurrency:
    def run(self, count, operation):
        barrier = threading.Barrier(count)

        def one(number):
            barrier.wait()
            return operation(number)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    @pytest.fixture
    def write(self, database, keyring, tenant, entities: Entities):
        def run(operation):
            with database.tenant(tenant.organization_id) as session:
                store = EntityStore(session, keyring, SystemClock(), tenant.actor, entities.id)
                return operation(store)

        return run

    def test_versions_have_no_gaps(self, write, update, database, tenant, entities: Entities):
        service = registry().entities["services"]
        self.run(6, lambda n: [write(lambda s: s.create(service, {"host": f"h-{n}"})) for _ in range(5)])
        assert version(database, tenant, entities) == 30
        delta = update(0)
        assert len(delta.changes) == 30
        assert len(update().entities["services"]) == 30

    def test_one_of_many_gets_the_name(self, write, entities: Entities, database, tenant):
        service = registry().entities["services"]

        def attempt(_number):
            try:
                return write(lambda store: store.create(service, {"name": "one", "host": "h"}))
            except KeyTaken as error:
                return error.key

        results = self.run(6, attempt)
        assert results.count({"name": "one"}) == 5
        assert version(database, tenant, entities) == 1

    def test_a_route_never_points_at_a_deleted_service(self, write, entities: Entities):
        services, routes = registry().entities["services"], registry().entities["routes"]
        for _ in range(5):
            service = entities.create("services", {"host": "h"})

            def step(number, service=service):
                try:
                    if number:
                        write(lambda store: store.delete(services, service["id"]))
                    else:
                        body = {"paths": ["/"], "service": {"id": service["id"]}}
                        write(lambda store: store.create(routes, body))
                except Exception as error:  # noqa: BLE001  # which of the two loses is chance
                    return type(error).__name__
                return "done"

            results = self.run(2, step)
            assert sorted(results) in (["ReferenceMissing", "done"], ["ReferencedByOthers", "done"])

    def test_constraints_speak_when_checks_were_blind(self, database, keyring, tenant, entities, monkeypatch):
        """The foreign key holds even if the look-up before it were wrong."""
        routes = registry().entities["routes"]
        body = {"paths": ["/"], "service": {"id": str(uuid4())}}
        with database.tenant(tenant.organization_id) as session:
            store = EntityStore(session, keyring, SystemClock(), tenant.actor, entities.id)
            monkeypatch.setattr(store._references, "resolve", lambda _entity, document: document)
            with pytest.raises(ReferenceMissing):
                store.create(routes, body)
            session.rollback()


def test_row_level_security_holds_for_hand_written_sql(database, entities: Entities, other_tenant):
    entities.create("services", {"host": "h"})
    with database.tenant(other_tenant.organization_id) as session:
        for row in ENTITY_ROWS.values():
            assert session.execute(text(f"select count(*) from {row.__tablename__}")).scalar_one() == 0
