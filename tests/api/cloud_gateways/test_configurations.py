"""Gateway configurations as clients see them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from core.db.engine import Database
from core.models import AuditEvent, DataplaneGroup, OutboxMessage
from tests.support.problems import assert_problem, violations
from tests.support.tenants import Tenant

_PATH = "/v2/cloud-gateways/configurations"
Put = Callable[..., Any]


def finish(database: Database, tenant: Tenant, state: str = "ready") -> None:
    """As the reconciler would, in the end."""
    with database.tenant(tenant.organization_id) as session:
        session.execute(update(DataplaneGroup).values(state=state, assigned_version=0))


def test_put_answers_with_wanted_and_present_groups(put: Put, control_plane: dict[str, Any]) -> None:
    response = put("us", "eu")

    assert response.status_code == 200
    body = response.json()
    assert str(UUID(body["id"])) == body["id"]
    assert body["control_plane_id"] == control_plane["id"]
    assert body["control_plane_geo"] == "us"
    assert body["kind"] == "serverless.v1"
    assert body["api_access"] == "private+public"
    assert body["entity_version"] == 1
    assert body["dataplane_group_config"] == [{"provider": "aws", "region": "us"}, {"provider": "aws", "region": "eu"}]
    groups = {group["region"]: group for group in body["dataplane_groups"]}
    assert groups.keys() == {"us", "eu"}
    for region, group in groups.items():
        assert group["state"] == "initializing"
        assert group["provider"] == "aws"
        assert group["hostnames"] == [f"{control_plane['prefix']}.{region}.gateways.localhost"]
        assert {"id", "created_at", "updated_at"} <= group.keys()
    assert "version" not in body


def test_get_and_list(put: Put, client: TestClient) -> None:
    put_body = put("us").json()

    assert client.get(f"{_PATH}/{put_body['id']}").json() == put_body
    listed = client.get(_PATH).json()
    assert listed["data"] == [put_body]
    assert listed["meta"] == {"page": {"number": 1, "size": 10, "total": 1}}


def test_list_has_one_order(client: TestClient) -> None:
    response = client.get(_PATH, params={"sort": "created_at"})

    assert violations(response) == {("sort", "invalid")}
    assert response.json()["invalid_parameters"][0]["reason"] == "is not supported here"


def test_put_leaves_a_job_and_an_audit_event(put: Put, database: Database, tenant: Tenant) -> None:
    configuration_id = UUID(put("us").json()["id"])

    with database.tenant(tenant.organization_id) as session:
        jobs = session.scalars(select(OutboxMessage)).all()
        events = session.scalars(select(AuditEvent).where(AuditEvent.subject_type == "gateway_configuration")).all()
    assert [(job.topic, job.subject_id) for job in jobs] == [("gateway_configuration.reconcile", configuration_id)]
    assert [event.action for event in events] == ["gateway_configuration.replaced"]


def test_environment_is_echoed(put: Put) -> None:
    environment = [{"name": "KONG_LOG_LEVEL", "value": "info"}]
    groups = [{"provider": "aws", "region": "us", "environment": environment}]

    body = put(dataplane_groups=groups).json()

    assert body["dataplane_group_config"] == groups
    assert body["dataplane_groups"][0]["environment"] == environment


def test_what_means_nothing_to_serverless_is_passed_over(put: Put) -> None:
    group = {
        "provider": "aws",
        "region": "us",
        "cloud_gateway_network_id": str(uuid4()),
        "autoscale": {"kind": "autopilot", "base_rps": 1},
    }

    body = put(dataplane_groups=[group], version="3.10").json()

    assert body["dataplane_group_config"] == [{"provider": "aws", "region": "us"}]
    assert "version" not in body


def test_identical_statement_is_a_conflict(put: Put, database: Database, tenant: Tenant) -> None:
    put("us", "eu")
    finish(database, tenant)

    problem = assert_problem(put("eu", "us"), 409)

    assert "identical" in problem["detail"]


def test_earlier_groups_must_be_finished(put: Put) -> None:
    put("us")

    assert violations(put("us", "eu")) == {("dataplane_groups", "invalid")}


def test_a_refused_group_does_not_block_the_next_statement(
    put: Put, client: TestClient, database: Database, tenant: Tenant
) -> None:
    body = put("us").json()
    with database.tenant(tenant.organization_id) as session:
        session.execute(
            update(DataplaneGroup).values(state_metadata={"reported_status": "ERROR", "reason": "bad route"})
        )
    shown = client.get(f"{_PATH}/{body['id']}").json()["dataplane_groups"][0]
    assert shown["state"] == "initializing"
    assert shown["state_metadata"] == {"reported_status": "ERROR", "reason": "bad route"}

    groups = {group["region"]: group for group in put("us", "eu").json()["dataplane_groups"]}
    assert {region: group["state"] for region, group in groups.items()} == {"us": "initializing", "eu": "initializing"}
    assert groups["us"]["state_metadata"]["reason"] == "bad route"

    # the new one has not been refused by anybody
    assert violations(put("us")) == {("dataplane_groups", "invalid")}


def test_refused_groups_can_be_given_up(put: Put, database: Database, tenant: Tenant) -> None:
    put("us")
    with database.tenant(tenant.organization_id) as session:
        session.execute(update(DataplaneGroup).values(state_metadata={"reported_status": "ERROR", "reason": "bad"}))

    (group,) = put().json()["dataplane_groups"]

    assert group["state"] == "terminating"
    assert "state_metadata" not in group
    assert violations(put("us")) == {("dataplane_groups", "invalid")}


def test_replacing_keeps_adds_and_ends_groups(put: Put, database: Database, tenant: Tenant) -> None:
    first = put("us").json()
    finish(database, tenant)

    second = put("us", "eu").json()
    assert second["id"] == first["id"]
    assert second["entity_version"] == 2
    groups = {group["region"]: group for group in second["dataplane_groups"]}
    assert groups["us"]["id"] == first["dataplane_groups"][0]["id"]
    assert (groups["us"]["state"], groups["eu"]["state"]) == ("ready", "initializing")

    finish(database, tenant)
    third = put("eu").json()
    assert {group["region"]: group["state"] for group in third["dataplane_groups"]} == {
        "us": "terminating",
        "eu": "ready",
    }
    assert third["dataplane_group_config"] == [{"provider": "aws", "region": "eu"}]


def test_empty_statement_ends_everything(put: Put, database: Database, tenant: Tenant) -> None:
    put("us", "eu")
    finish(database, tenant)

    body = put().json()

    assert body["dataplane_group_config"] == []
    assert [group["state"] for group in body["dataplane_groups"]] == ["terminating", "terminating"]


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        (
            {"dataplane_groups": [{"provider": "aws", "region": "mars"}]},
            ("dataplane_groups[0].region", "is_supported_provider_region"),
        ),
        (
            {"dataplane_groups": [{"provider": "gcp", "region": "us"}]},
            ("dataplane_groups[0].region", "is_supported_provider_region"),
        ),
        ({"dataplane_groups": [{"provider": "aws", "region": "us"}] * 2}, ("dataplane_groups[1].region", "invalid")),
        ({"dataplane_groups": [{"provider": "ibm", "region": "us"}]}, ("dataplane_groups[0].provider", "enum")),
        ({"dataplane_groups": [{"provider": "aws"}]}, ("dataplane_groups[0].region", "required")),
        ({"dataplane_groups": {}}, ("dataplane_groups", "is_array")),
        (
            {
                "dataplane_groups": [
                    {"provider": "aws", "region": "us", "environment": [{"name": "HOME", "value": "x"}]}
                ]
            },
            ("dataplane_groups[0].environment[0].name", "min_length"),
        ),
        (
            {
                "dataplane_groups": [
                    {"provider": "aws", "region": "us", "environment": [{"name": "AWS_SECRET", "value": "x"}]}
                ]
            },
            ("dataplane_groups[0].environment[0].name", "matches_regex"),
        ),
        ({"kind": "serverless.v2"}, ("kind", "enum")),
        ({"kind": "dedicated.v0"}, ("kind", "enum")),
        ({"control_plane_geo": "moon"}, ("control_plane_geo", "enum")),
        ({"control_plane_id": "x"}, ("control_plane_id", "is_uuid")),
        ({"control_plane_id": 7}, ("control_plane_id", "is_uuid")),
        ({"api_access": "secret"}, ("api_access", "enum")),
        ({"colour": "red"}, ("colour", "unknown_property")),
    ],
)
def test_bad_statements_change_nothing(
    put: Put, client: TestClient, fields: dict[str, Any], broken: tuple[str, str]
) -> None:
    assert violations(put("us", **fields)) == {broken}
    assert client.get(_PATH).json()["data"] == []


def test_kind_defaults_to_dedicated_which_is_refused_with_the_choice(
    client: TestClient, control_plane: dict[str, Any]
) -> None:
    body = {"control_plane_id": control_plane["id"], "control_plane_geo": "us", "dataplane_groups": []}

    problem = assert_problem(client.put(_PATH, json=body), 400)

    (item,) = problem["invalid_parameters"]
    assert (item["field"], item["choices"]) == ("kind", ["serverless.v1"])


def test_control_plane_must_exist_and_be_ones_own(
    put: Put, client: TestClient, control_plane: dict[str, Any], other_tenant: Tenant
) -> None:
    assert_problem(put("us", control_plane_id=str(uuid4())), 404)
    body = {
        "control_plane_id": control_plane["id"],
        "control_plane_geo": "us",
        "kind": "serverless.v1",
        "dataplane_groups": [],
    }
    assert_problem(client.put(_PATH, json=body, headers=other_tenant.headers), 404)


def test_control_plane_must_be_of_a_hosted_kind(new_control_plane: Callable[..., dict[str, Any]], put: Put) -> None:
    plain = new_control_plane(cluster_type="CLUSTER_TYPE_CONTROL_PLANE", cloud_gateway=False)

    assert violations(put("us", control_plane_id=plain["id"])) == {("control_plane_id", "invalid")}


def test_foreign_configuration_is_not_found(put: Put, client: TestClient, other_tenant: Tenant) -> None:
    identifier = put("us").json()["id"]

    assert_problem(client.get(f"{_PATH}/{identifier}", headers=other_tenant.headers), 404)
    assert client.get(_PATH, headers=other_tenant.headers).json()["data"] == []


def test_list_pages_and_filters(put: Put, client: TestClient, new_control_plane: Callable[..., dict[str, Any]]) -> None:
    planes = [new_control_plane()["id"] for _ in range(3)]
    made = [
        put("us", control_plane_id=plane, control_plane_geo=geo).json()["id"]
        for plane, geo in zip(planes, ["us", "eu", "eu"], strict=True)
    ]

    def ids(query: str) -> list[str]:
        response = client.get(f"{_PATH}?{query}")
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["data"]]

    assert ids("page[size]=2") == made[:2]
    assert ids("page[size]=2&page[number]=2") == made[2:]
    assert ids(f"filter[control_plane_id]={planes[1]}") == [made[1]]
    assert ids(f"filter[control_plane_id][eq]={planes[1]}") == [made[1]]
    assert ids(f"filter[control_plane_id][neq]={planes[1]}") == [made[0], made[2]]
    assert ids(f"filter[control_plane_id][oeq]={planes[0]},{planes[2]}") == [made[0], made[2]]
    assert ids("filter[control_plane_geo]=eu") == made[1:]
    assert ids("filter[control_plane_geo][neq]=eu") == made[:1]
    assert ids("filter[control_plane_geo][oeq]=us,eu") == made
    assert_problem(client.get(f"{_PATH}?filter[name]=x"), 400)
    assert_problem(client.get(f"{_PATH}?page[size]=0"), 400)


def test_availability_needs_no_token(anonymous: TestClient) -> None:
    body = anonymous.get("/v2/cloud-gateways/availability.json").json()

    assert body["serverless_v1_providers"] == [{"provider": "aws", "regions": [{"region": "us"}, {"region": "eu"}]}]
    assert {"versions", "instance_types", "providers"} <= body.keys()


def test_deleting_the_control_plane_takes_the_configuration_along(
    put: Put, client: TestClient, control_plane: dict[str, Any]
) -> None:
    identifier = put("us").json()["id"]

    assert client.delete(f"/v2/control-planes/{control_plane['id']}").status_code == 204

    assert_problem(client.get(f"{_PATH}/{identifier}"), 404)
