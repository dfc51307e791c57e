"""Standing guards over every operation, taken from the application's own routes: a new endpoint is covered at once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api import messages
from core.db.engine import Database
from core.iam import tokens
from core.models import GatewayConfiguration, RuntimeAck, RuntimeNode
from schema.registry import registry
from tests.support import pem
from tests.support.entities import SAMPLES
from tests.support.operations import Operation, operations
from tests.support.problems import assert_problem
from tests.support.tenants import Tenant

# What anyone may call. This list may only shrink.
_PUBLIC = {
    "GET /",
    "GET /healthz",
    "GET /openapi",
    "GET /openapi/",
    "GET /openapi/{name}",
    "GET /readyz",
    "GET /v2/cloud-gateways/availability.json",
}
# Called by gateway runtimes with their node certificate; tests/api/runtime has guards of its own.
_RUNTIME = "/runtime/v1/"

# Kinds that need nothing but a place.
_OTHERS = {
    "hmacauth_credentials": "consumers/mine/hmac-auth",
    "jwt_secrets": "consumers/mine/jwt",
    "mtls_auth_credentials": "consumers/mine/mtls-auth",
    "key_sets": "key-sets",
    "keys": "keys",
    "vaults": "vaults",
    "partials": "partials",
    "custom_plugins": "custom-plugins",
    "degraphql_routes": "services/mine/degraphql/routes",
    "graphql_costs": "services/mine/graphql-rate-limiting-advanced/costs",
}
_PLUGIN_SCHEMA = {"lua_schema": 'return { name = "mine", fields = {} }'}
_EXPIRES = {"ttl_seconds": 86400}
# Bodies that are valid, so that a refusal is about whose things they are. Core entities take anything: they look for
# the control plane first.
_BODIES: Mapping[str, Any] = {
    "create-personal-access-token": {"name": "theirs", **_EXPIRES},
    "update-personal-access-token-details": {"name": "theirs"},
    "update-control-plane": {"name": "theirs"},
    "put-control-planes-id-group-memberships": {"members": []},
    "post-control-planes-id-group-memberships-add": {"members": []},
    "post-control-planes-id-group-memberships-remove": {"members": []},
    "create-config-store": {"name": "theirs"},
    "update-config-store": {"name": "theirs"},
    "create-config-store-secret": {"key": "theirs", "value": "theirs"},
    "update-config-store-secret": {"value": "theirs"},
    "create-dataplane-certificate": {"cert": pem.pair(0)[0]},
    "update-dataplane-certificate": {"cert": pem.pair(0)[0]},
}


def in_core_entities(operation: Operation) -> bool:
    """Whether errors are gRPC statuses; schemas of custom plugins have other forms."""
    return "/core-entities" in operation.path and "/plugin-schemas" not in operation.path


def assert_unauthorized(operation: Operation, response: Any) -> None:
    if in_core_entities(operation):
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {"message": "Unauthorized", "status": 401}
    elif messages.applies_to(operation.method, operation.path):
        assert response.status_code == 401
        assert response.json() == {"message": "Unauthorized"}
    else:
        assert_problem(response, 401)


def test_public_operations_are_known(app: FastAPI) -> None:
    public = {str(operation) for operation in operations(app) if not operation.needs_token}

    assert {name for name in public if _RUNTIME not in name} == _PUBLIC


def test_operation_ids_are_unique(app: FastAPI) -> None:
    names = [operation.operation_id for operation in operations(app)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": f"Bearer {tokens.mint()}"}, {"Authorization": "Bearer kpat_x"}, {"Cookie": "token=x"}],
    ids=["none", "unknown", "malformed", "cookie"],
)
def test_without_a_valid_token(anonymous: TestClient, app: FastAPI, headers: dict[str, str]) -> None:
    covered = 0
    for operation in operations(app):
        if operation.needs_token:
            url = operation.url({name: str(uuid4()) for name in operation.parameters})
            assert_unauthorized(operation, anonymous.request(operation.method, url, headers=headers))
            covered += 1
    assert covered > 10


@pytest.mark.parametrize("end", ["expired", "revoked", "deleted"])
def test_with_a_token_that_has_ended(
    anonymous: TestClient, app: FastAPI, tenant: Tenant, end: str, database: Database
) -> None:
    base = f"/v3/users/{tenant.user_id}/access-tokens"
    created = anonymous.post(base, json={"name": "ends", **_EXPIRES}, headers=tenant.headers).json()
    if end == "revoked":
        anonymous.patch(f"{base}/{created['id']}/revoke", headers=tenant.headers)
    elif end == "deleted":
        anonymous.delete(f"{base}/{created['id']}", headers=tenant.headers)
    else:
        with database.system() as session:
            session.connection().exec_driver_sql(
                "update access_tokens set expires_at = now() where id = %s", (created["id"],)
            )
    headers = {"Authorization": f"Bearer {created['konnect_token']}"}

    for operation in operations(app):
        if operation.needs_token:
            url = operation.url({name: str(uuid4()) for name in operation.parameters})
            assert_unauthorized(operation, anonymous.request(operation.method, url, headers=headers))


class Belongings:
    """One of everything that a path can name, made by one tenant through the API."""

    def __init__(self, client: TestClient, database: Database, tenant: Tenant) -> None:
        self._client = client
        self._tenant = tenant
        control_plane = self._create("/v2/control-planes", {"name": "mine"})
        entities = f"/v2/control-planes/{control_plane}/core-entities"
        service = self._create(f"{entities}/services", {"name": "mine", "host": "backend.test"})
        route = self._create(f"{entities}/routes", {"name": "mine", "paths": ["/"], "service": {"id": service}})
        consumer = self._create(f"{entities}/consumers", {"username": "mine"})
        plugin = self._create(
            f"{entities}/plugins",
            {"name": "request-transformer", "service": {"id": service}, "config": {"add": {"headers": ["a:b"]}}},
        )
        upstream = self._create(f"{entities}/upstreams", {"name": "mine"})
        target = self._create(f"{entities}/upstreams/mine/targets", {"target": "mine.test"})
        certificate = self._create(f"{entities}/certificates", SAMPLES["certificates"](0))
        sni = self._create(f"{entities}/certificates/{certificate}/snis", {"name": "mine.test"})
        authority = self._create(f"{entities}/ca_certificates", SAMPLES["ca_certificates"](0))
        group = self._create(f"{entities}/consumer_groups", {"name": "mine"})
        self._client.post(
            f"{entities}/consumer_groups/mine/consumers", json={"consumer": "mine"}, headers=tenant.headers
        )
        key = self._create(f"{entities}/consumers/mine/key-auth", {"key": "mine"})
        password = self._create(f"{entities}/consumers/mine/basic-auth", {"username": "mine", "password": "mine"})
        acl = self._create(f"{entities}/consumers/mine/acls", {"group": "mine"})
        pinned = {"cert": pem.pair(1)[0]}
        pinning = client.post(
            f"/v2/control-planes/{control_plane}/dp-client-certificates", json=pinned, headers=tenant.headers
        )
        store = self._create(f"/v2/control-planes/{control_plane}/config-stores", {"name": "mine"})
        secrets = f"/v2/control-planes/{control_plane}/config-stores/{store}/secrets"
        client.post(secrets, json={"key": "mine", "value": "mine"}, headers=tenant.headers)
        node = str(uuid4())
        now = datetime.now(UTC)
        with database.system() as session:
            session.add(RuntimeNode(id=node, region="us", version="", hostname="", started_at=now, last_seen_at=now))
            session.flush()
            place = {"org_id": tenant.organization_id, "control_plane_id": control_plane}
            session.add(RuntimeAck(**place, node_id=node, version=1, accepted=True))
        others = {
            f"{registry().entities[plural].spec.title}Id": self._create(f"{entities}/{path}", SAMPLES[plural](0))
            for plural, path in _OTHERS.items()
        }
        self._client.post(f"{entities}/plugin-schemas", json=_PLUGIN_SCHEMA, headers=tenant.headers)
        with database.tenant(tenant.organization_id) as session:
            configuration = GatewayConfiguration(
                id=uuid4(), control_plane_id=control_plane, control_plane_geo="us", kind="serverless.v1"
            )
            session.add(configuration)
        token = client.get(f"/v3/users/{tenant.user_id}/access-tokens", headers=tenant.headers).json()["data"][0]
        self.ids = {
            "control_plane_id": control_plane,
            "controlPlaneId": control_plane,
            "ServiceId": service,
            "RouteId": route,
            "ConsumerId": consumer,
            "PluginId": plugin,
            "UpstreamId": upstream,
            "TargetId": target,
            "address": "10.0.0.1:80",
            "entityType": "service",
            "entityName": "services",
            "pluginName": "cors",
            "tag": "mine",
            "partialType": "redis-ce",
            "vaultName": "env",
            "ConsumerGroupId": group,
            "KeyAuthId": key,
            "BasicAuthId": password,
            "AclId": acl,
            "CertificateId": certificate,
            "SniId": sni,
            "CaCertificateId": authority,
            "certificate_id": pinning.json()["item"]["id"],
            "config_store_id": store,
            "key": "mine",
            "node_id": node,
            **others,
            "name": "mine",
            "configuration_id": str(configuration.id),
            "user_id": str(tenant.user_id),
            "token_id": token["id"],
        }

    def _create(self, path: str, body: dict[str, Any]) -> str:
        response = self._client.post(path, json=body, headers=self._tenant.headers)
        assert response.status_code == 201, response.text
        return response.json()["id"]


@pytest.fixture
def belongings(anonymous: TestClient, database: Database, tenant: Tenant) -> Belongings:
    return Belongings(anonymous, database, tenant)


def test_every_path_variable_has_a_belonging(app: FastAPI, belongings: Belongings) -> None:
    named = {name for operation in operations(app) if operation.needs_token for name in operation.parameters}

    assert named <= belongings.ids.keys(), "teach Belongings to make what the new paths name"


def test_foreign_things_are_not_found(
    anonymous: TestClient, app: FastAPI, belongings: Belongings, tenant: Tenant, other_tenant: Tenant
) -> None:
    readable = [o for o in operations(app) if o.method == "GET" and o.parameters and o.needs_token]

    def state() -> dict[str, Any]:
        answers = {str(o): anonymous.get(o.url(belongings.ids), headers=tenant.headers) for o in readable}
        return {name: answer.json() for name, answer in answers.items() if answer.status_code == 200}

    before = state()
    for operation in operations(app):
        if not operation.parameters or not operation.needs_token:
            continue
        body = _BODIES.get(operation.operation_id, {}) if operation.method in {"POST", "PUT", "PATCH"} else None
        response = anonymous.request(
            operation.method, operation.url(belongings.ids), json=body, headers=other_tenant.headers
        )
        assert response.status_code == 404, f"{operation}: {response.status_code} {response.text}"
        assert not any(identifier in response.text for identifier in belongings.ids.values()), operation
        if in_core_entities(operation):
            assert response.json()["code"] == 5
        elif messages.applies_to(operation.method, operation.path):
            assert list(response.json()) == ["message"]
        else:
            assert_problem(response, 404)
    assert state() == before


def test_foreign_entities_are_not_found_in_an_own_control_plane(
    anonymous: TestClient, app: FastAPI, belongings: Belongings, tenant: Tenant, other_tenant: Tenant
) -> None:
    own = anonymous.post("/v2/control-planes", json={"name": "theirs"}, headers=other_tenant.headers).json()["id"]
    ids = belongings.ids | {"controlPlaneId": own}

    for operation in operations(app):
        if "/schemas/" in operation.path:
            continue  # what may be written is the same in every control plane
        # A tag is no thing that could be missing: there is what carries it, or nothing.
        names = [name for name in operation.parameters if name != "tag"]
        by_id = len(names) > 1 and operation.method in {"GET", "PATCH", "DELETE"}
        if in_core_entities(operation) and by_id:
            body = {} if operation.method == "PATCH" else None
            response = anonymous.request(operation.method, operation.url(ids), json=body, headers=other_tenant.headers)
            assert response.status_code == 404, f"{operation}: {response.status_code} {response.text}"


def test_the_belongings_exist(anonymous: TestClient, belongings: Belongings, tenant: Tenant) -> None:
    """The guards above would pass for ids that nobody has: the owner must find every one of them."""
    ids = belongings.ids
    entities = f"/v2/control-planes/{ids['controlPlaneId']}/core-entities"
    for path in (
        f"/v2/control-planes/{ids['control_plane_id']}",
        f"/v2/control-planes/{ids['control_plane_id']}/dp-client-certificates/{ids['certificate_id']}",
        f"/v2/control-planes/{ids['control_plane_id']}/nodes/{ids['node_id']}",
        f"{entities}/services/{ids['ServiceId']}",
        f"{entities}/routes/{ids['RouteId']}",
        f"{entities}/consumers/{ids['ConsumerId']}",
        f"{entities}/plugins/{ids['PluginId']}",
        f"/v2/cloud-gateways/configurations/{ids['configuration_id']}",
        f"/v3/users/{ids['user_id']}/access-tokens/{ids['token_id']}",
    ):
        assert anonymous.get(path, headers=tenant.headers).status_code == 200, path
