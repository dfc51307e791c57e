"""Limits of single organizations: in their updates, under terms of their own, and nobody else's."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from core.db.engine import Database
from core.errors import InvalidInput, NotFound
from core.gateways import limits
from core.runtime import assignments
from gateway_runtime.client import ConfigUpdate
from schema.snapshot import Limits
from tests.api.runtime.conftest import Plane, RuntimeApi
from tests.support.tenants import Tenant

NETWORK = "10.1.0.0/16"


@pytest.fixture
def change(database: Database, tenant: Tenant) -> Iterator[object]:
    def run(*, clear: bool = False, **changes: object) -> dict[str, object]:
        with database.system() as session:
            return limits.change(session, tenant.organization_id, changes, clear=clear)

    yield run
    run(clear=True)


def test_an_organization_has_limits_of_its_own(runtime_api: RuntimeApi, plane: Plane, change) -> None:
    plane.assign("us")
    with runtime_api.client("us") as node:

        def update() -> ConfigUpdate:
            return ConfigUpdate.read(node.get(f"/control-planes/{plane.id}/config").content)

        before = update()
        assert change(allow_upstream=[NETWORK], max_connections=5) == {
            "allow_upstream": [NETWORK],
            "max_connections": 5,
        }
        document = node.get(f"/control-planes/{plane.id}/config").json()
        assert document["limits"]["allow_upstream"] == [NETWORK]
        assert document["limits"]["max_connections"] == 5
        assert document["limits"]["max_body_bytes"] == Limits().max_body_bytes
        assert update().terms != before.terms
        assert change(max_connections=6)["max_connections"] == 6
        assert change(clear=True) == {}
        assert update().terms == before.terms


def test_runtimes_are_told_the_terms(
    runtime_api: RuntimeApi, database: Database, plane: Plane, change, tenant: Tenant
) -> None:
    plane.assign("us")
    change(max_requests_per_second=7)
    with database.system() as session:
        found = assignments.of_control_plane(session, "us", plane.id)
    assert found is not None
    assert found.own_limits == {"max_requests_per_second": 7}
    with runtime_api.client("us") as node, node.stream("GET", "/stream") as stream:
        first = next(stream.iter_lines())
        update = ConfigUpdate.read(node.get(f"/control-planes/{plane.id}/config").content)
    assert update.terms in first


def test_bad_limits(database: Database, change) -> None:
    for bad in ({"allow_upstream": ["x"]}, {"max_connections": -1}, {"bogus": 1}):
        with pytest.raises(InvalidInput):
            change(**bad)
    with pytest.raises(NotFound), database.system() as session:
        limits.change(session, uuid4(), {}, clear=False)


def test_what_another_version_stored_is_passed_over() -> None:
    assert limits.with_own(Limits(), {"max_connections": 3, "max_moons": 1}).max_connections == 3
