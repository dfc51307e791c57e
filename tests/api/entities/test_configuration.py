"""The whole configuration out and in: all or nothing, as one version."""

import dataclasses
import json
from typing import Any
from uuid import uuid4

import pytest
import yaml
from fastapi import FastAPI
from sqlalchemy import select

from core.db.engine import Database
from core.models import ConfigChange
from tests.support.entities import SAMPLES, Entities
from tests.support.tenants import Tenant

YAML = "application/yaml"
FILE: dict[str, Any] = {
    "_format_version": "3.0",
    "services": [
        {
            "name": "a",
            "url": "http://u.test/base",
            "routes": [{"name": "r", "paths": ["/x"]}],
            "plugins": [{"name": "request-transformer", "config": {"add": {"headers": ["Authorization:Bearer x"]}}}],
        }
    ],
    "consumers": [{"username": "bob", "tags": ["vip"], "keyauth_credentials": [{"key": "bobs"}]}],
    "upstreams": [{"name": "u.test", "targets": [{"target": "10.0.0.1:80"}]}],
}
NAMED = ("services", "routes", "consumers", "upstreams")


def post(entities: Entities, file: object, query: str = "", **arguments: Any) -> Any:
    body = arguments or {"json": file}
    headers = entities.headers | body.pop("headers", {})
    return entities.client.post(f"{entities.base}/config{query}", headers=headers, **body)


def export(entities: Entities) -> dict[str, Any]:
    return entities.get("config")


def version(entities: Entities) -> int:
    return entities.get("status")["configuration_version"]


def ids(entities: Entities, path: str) -> dict[str, str]:
    return {item.get("name") or item.get("username"): item["id"] for item in entities.get(path)["data"]}


class TestWays:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"json": FILE},
            {"content": yaml.safe_dump(FILE), "headers": {"Content-Type": YAML}},
            {"content": yaml.safe_dump(FILE), "headers": {"Content-Type": "text/yaml; charset=utf-8"}},
            {"json": {"config": yaml.safe_dump(FILE)}},
            {"json": {"config": json.dumps(FILE)}},
            {"data": {"config": yaml.safe_dump(FILE)}},
            {"files": {"config": ("kong.yml", yaml.safe_dump(FILE))}},
        ],
    )
    def test_a_file_comes_in_many_ways(self, entities: Entities, arguments: dict[str, Any]) -> None:
        made = post(entities, None, **dict(arguments))
        assert made.status_code == 201, made.text
        assert made.json() == export(entities)
        assert [entities.get(path)["data"][0]["id"] for path in NAMED] == [
            export(entities)[path][0]["id"] for path in NAMED
        ]
        (route,) = entities.get("services/a/routes")["data"]
        assert (route["name"], route["paths"]) == ("r", ["/x"])
        assert entities.get("consumers/bob/key-auth")["data"][0]["key"] == "bobs"

    def test_what_comes_out_goes_in_again_and_changes_nothing(self, entities: Entities) -> None:
        for plural in SAMPLES:
            entities.sample(plural)
        entities.call("POST", "consumer_groups/g-1/consumers", json={"consumer": "u-1"})
        before, at = export(entities), version(entities)
        assert before["services"]
        again = post(entities, before)
        assert again.status_code == 201, again.text
        assert export(entities) == before
        assert version(entities) == at
        assert post(entities, before, "?check_hash=1").status_code == 304
        text = entities.client.get(f"{entities.base}/config", headers=entities.headers | {"Accept": YAML})
        assert text.headers["content-type"] == "application/yaml"
        assert yaml.safe_load(text.text) == before
        raw = post(entities, None, "?check_hash=1", content=text.content, headers={"Content-Type": YAML})
        assert raw.status_code == 304, raw.text

    def test_what_comes_out_goes_into_another_control_plane(
        self, entities: Entities, tenant: Tenant, shared_client: Any
    ) -> None:
        post(entities, FILE)
        other = Entities.of(shared_client, tenant, "other")
        assert post(other, export(entities)).status_code == 201
        assert export(other) == export(entities)


class TestReplacing:
    def test_is_one_version_and_says_what_changed(self, entities: Entities, database: Database) -> None:
        post(entities, FILE)
        at = version(entities)
        file = export(entities)
        file["services"][0]["retries"] = 9
        file["upstreams"] = []
        file["targets"] = []
        file["routes"].append({"name": "new", "paths": ["/new"], "service": {"name": "a"}})
        assert post(entities, file).status_code == 201
        assert version(entities) == at + 1
        with database.system() as session:
            where = (ConfigChange.control_plane_id == entities.id, ConfigChange.version == at + 1)
            changes = session.scalars(select(ConfigChange).where(*where)).all()
        assert sorted((change.entity_type, change.operation) for change in changes) == [
            ("routes", "put"),
            ("services", "put"),
            ("targets", "delete"),
            ("upstreams", "delete"),
        ]
        assert entities.get("services/a")["retries"] == 9
        assert entities.get("status")["entities"] == 6

    def test_keeps_when_things_were_made(self, entities: Entities, database: Database) -> None:
        post(entities, FILE)
        before = entities.get("services/a")
        file = export(entities) | {"services": [export(entities)["services"][0] | {"retries": 1}]}
        post(entities, file)
        assert entities.get("services/a")["created_at"] == before["created_at"]

    def test_names_change_places(self, entities: Entities) -> None:
        first, second = (entities.create("services", {"name": name, "host": "h"}) for name in ("x", "y"))
        entities.create("routes", {"name": "r", "paths": ["/"], "service": {"id": first["id"]}})
        file = export(entities)
        for service in file["services"]:
            service["name"] = {"x": "y", "y": "x"}[service["name"]]
        assert post(entities, file).status_code == 201
        assert ids(entities, "services") == {"y": first["id"], "x": second["id"]}
        assert entities.get("routes/r")["service"] == {"id": first["id"]}

    def test_a_kept_entity_moves_from_one_that_goes_to_one_that_comes(self, entities: Entities) -> None:
        old = entities.create("services", {"name": "s", "host": "h"})
        route = entities.create("routes", {"name": "r", "paths": ["/"], "service": {"id": old["id"]}})
        plugin = entities.create("plugins", {"name": "request-transformer", "route": {"id": route["id"]}})
        new = str(uuid4())
        file = export(entities) | {"services": [{"id": new, "name": "s", "host": "other"}]}
        file["routes"][0]["service"] = {"id": new}
        assert post(entities, file).status_code == 201
        assert entities.get("routes/r")["service"] == {"id": new}
        assert entities.get(f"plugins/{plugin['id']}")["route"] == {"id": route["id"]}
        assert ids(entities, "services") == {"s": new}

    def test_a_key_of_a_sealed_field_changes_places(self, entities: Entities) -> None:
        post(entities, FILE | {"consumers": [{"username": "bob", "keyauth_credentials": [{"key": "1"}, {"key": "2"}]}]})
        file = export(entities)
        before = {item["id"]: item["key"] for item in file["keyauth_credentials"]}
        for item in file["keyauth_credentials"]:
            item["key"] = {"1": "2", "2": "1"}[item["key"]]
        assert post(entities, file).status_code == 201
        after = {item["id"]: item["key"] for item in entities.get("consumers/bob/key-auth")["data"]}
        assert after == {key: {"1": "2", "2": "1"}[value] for key, value in before.items()}

    def test_an_empty_file_empties_it(self, entities: Entities) -> None:
        post(entities, FILE)
        assert post(entities, {"_format_version": "3.0"}).status_code == 201
        assert export(entities) == {"_format_version": "3.0"}
        assert entities.get("status")["entities"] == 0

    def test_leaves_other_control_planes_alone(self, entities: Entities, tenant: Tenant, shared_client: Any) -> None:
        other = Entities.of(shared_client, tenant, "other")
        post(other, FILE)
        before = export(other)
        post(entities, FILE)
        post(entities, {"_format_version": "3.0"})
        assert export(other) == before


class TestRefusals:
    def refused(self, entities: Entities, file: object, query: str = "", **arguments: Any) -> dict[str, Any]:
        before, at = export(entities), version(entities)
        answer = post(entities, file, query, **arguments)
        assert answer.status_code == 400, answer.text
        assert (export(entities), version(entities)) == (before, at)
        return answer.json()

    def test_one_error_refuses_all(self, entities: Entities) -> None:
        post(entities, FILE)
        file = FILE | {"services": [{"name": "b", "host": "h"}, {"name": "c"}], "gadgets": []}
        body = self.refused(entities, file)
        assert (body["code"], body["name"]) == (14, "invalid declarative configuration")
        assert body["fields"] == {"gadgets": ["unknown field"], "services[1]": {"host": ["required field missing"]}}
        assert "flattened_errors" not in body

    def test_errors_entity_by_entity(self, entities: Entities) -> None:
        bad = {"name": "c", "tags": ["t"], "routes": [{"name": "r", "paths": ["x"]}]}
        body = self.refused(entities, FILE | {"services": [bad]}, "?flatten_errors=1")
        service, route = body["flattened_errors"]
        assert (service["entity_type"], service["entity_name"], service["entity_tags"]) == ("service", "c", ["t"])
        assert service["entity"] == bad
        assert service["errors"] == [{"type": "field", "field": "host", "message": "required field missing"}]
        assert (route["entity_type"], route["errors"][0]["field"]) == ("route", "paths[0]")
        assert body["fields"] == {}

    def test_what_only_the_database_can_tell(self, entities: Entities) -> None:
        route: dict[str, Any] = {"name": "other", "paths": ["/"], "protocols": ["http"]}
        route["plugins"] = [{"name": "request-transformer", "protocols": ["grpc"]}]
        body = self.refused(entities, FILE | {"routes": [route]}, "?flatten_errors=1")
        (error,) = body["flattened_errors"]
        assert (error["entity_type"], error["errors"][0]["field"]) == ("plugin", "protocols")
        assert error["entity"] == route["plugins"][0]
        fields = self.refused(entities, FILE | {"routes": [route]})["fields"]
        assert fields.keys() == {"routes[0].plugins[0]"}

    def test_an_id_within_a_configuration_has_to_be_there(self, entities: Entities) -> None:
        certificate = SAMPLES["certificates"](0) | {"id": str(uuid4())}
        config = {"http_endpoint": "http://log.test", "client_certificate": {"id": certificate["id"]}}
        file = FILE | {"plugins": [{"name": "http-log", "config": config}]}
        fields = self.refused(entities, file)["fields"]
        assert fields["plugins[0]"].keys() == {"config.client_certificate"}
        assert post(entities, file | {"certificates": [certificate]}).status_code == 201

    @pytest.mark.parametrize(
        "file",
        [
            {},
            [],
            5,
            {"_format_version": "9"},
            {"_format_version": None},
            {"services": []},
            FILE | {"services": 5},
            FILE | {"services": [5, [], "x"]},
            FILE | {"routes": [{"paths": ["/"], "service": {"name": "nobody"}}]},
            FILE | {"services": [{"name": "a", "host": "h"}, {"name": "a", "host": "h"}]},
        ],
    )
    def test_files_that_are_none(self, entities: Entities, file: object) -> None:
        post(entities, FILE)
        assert self.refused(entities, file)["code"] == 14

    @pytest.mark.parametrize(
        "text",
        [
            b"a: [",
            b"\xff",
            b"- " * 1_000_000,
            b"a: &a [*a]",
            b"_format_version: '3.0'\nservices: !!python/name:os.system",
        ],
    )
    def test_text_that_is_no_file(self, entities: Entities, text: bytes) -> None:
        self.refused(entities, None, content=text, headers={"Content-Type": YAML})

    def test_of_too_many_errors_the_first_ones(self, entities: Entities) -> None:
        body = self.refused(
            entities, FILE | {"services": [{"name": f"s-{n}"} for n in range(500)]}, "?flatten_errors=1"
        )
        assert len(body["flattened_errors"]) == 200
        assert body["unlisted_errors"] == 300

    def test_more_than_a_control_plane_may_hold(self, entities: Entities, app: FastAPI) -> None:
        services = app.state.services
        app.state.services = dataclasses.replace(services, settings=services.settings.with_changes(max_entities=3))
        try:
            answer = post(entities, FILE)
        finally:
            app.state.services = services
        assert answer.status_code == 403
        assert export(entities) == {"_format_version": "3.0"}

    def test_where_entities_come_from_elsewhere(self, tenant: Tenant, shared_client: Any) -> None:
        kind = "CLUSTER_TYPE_K8S_INGRESS_CONTROLLER"
        assert post(Entities.of(shared_client, tenant, "k8s", cluster_type=kind), FILE).status_code == 403


class TestListsOfReferences:
    """What a list names is as safe after an import as after single writes."""

    CA = "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"

    def file(self, number: int, *, named: bool) -> dict[str, Any]:
        service = {"name": "a", "host": "u.test", "protocol": "https", "ca_certificates": [self.CA] if named else None}
        authority = {"id": self.CA, **SAMPLES["ca_certificates"](number)}
        return {"_format_version": "3.0", "ca_certificates": [authority], "services": [service]}

    def test_what_is_named_stays(self, entities: Entities) -> None:
        assert post(entities, self.file(1, named=True)).status_code == 201
        refused = entities.call("DELETE", f"ca_certificates/{self.CA}")
        assert refused.status_code == 400, refused.text
        assert post(entities, self.file(1, named=False)).status_code == 201
        assert entities.call("DELETE", f"ca_certificates/{self.CA}").status_code == 204

    def test_what_is_named_may_be_another_one(self, entities: Entities) -> None:
        assert post(entities, self.file(1, named=True)).status_code == 201
        before = ids(entities, "services")
        assert post(entities, self.file(2, named=True)).status_code == 201
        assert ids(entities, "services") == before
        assert entities.get("ca_certificates")["data"][0]["cert"] == SAMPLES["ca_certificates"](2)["cert"]
        assert entities.call("DELETE", f"ca_certificates/{self.CA}").status_code == 400

    def test_single_writes_take_up_what_an_import_named(self, entities: Entities) -> None:
        post(entities, self.file(1, named=True))
        (service,) = entities.get("services")["data"]
        assert entities.call("PUT", f"services/{service['id']}", json=service).status_code == 200
        assert entities.call("DELETE", f"ca_certificates/{self.CA}").status_code == 400
        assert entities.call("PATCH", f"services/{service['id']}", json={"ca_certificates": None}).status_code == 200
        assert entities.call("DELETE", f"ca_certificates/{self.CA}").status_code == 204
