"""Nested paths, look-ups, deletes, and the rules across entities."""

from uuid import uuid4

import pytest

from tests.support.entities import Entities

TRANSFORMER = "request-transformer"


@pytest.fixture
def service(entities: Entities):
    return entities.create("services", {"name": "s", "host": "h"})


@pytest.fixture
def route(entities: Entities, service):
    return entities.create("services/s/routes", {"name": "r", "paths": ["/"]})


class TestNested:
    def test_the_guide(self, entities: Entities, service):
        path = f"services/{service['id']}"
        route = entities.create(f"{path}/routes", {"paths": ["/orders"]})
        config = {"add": {"headers": ["Authorization:Bearer s3cret"]}}
        plugin = entities.create(f"{path}/plugins", {"name": TRANSFORMER, "config": config})
        assert route["service"] == plugin["service"] == {"id": service["id"]}
        assert plugin["config"]["add"]["headers"] == ["Authorization:Bearer s3cret"]
        assert plugin["protocols"] == ["grpc", "grpcs", "http", "https"]
        assert plugin["consumer"] is plugin["route"] is plugin["ordering"] is None

    def test_children_are_listed_below_their_parent_only(self, entities: Entities, service, route):
        other = entities.create("services", {"name": "other", "host": "h"})
        assert entities.get("services/s/routes")["data"] == [route]
        assert entities.get(f"services/{other['id']}/routes")["data"] == []
        assert entities.get("services/s/routes/r") == route
        assert entities.call("GET", f"services/other/routes/{route['id']}").status_code == 404
        assert entities.call("GET", f"services/{uuid4()}/routes").status_code == 404
        for method in ("PUT", "PATCH", "DELETE"):
            arguments = {} if method == "DELETE" else {"json": {"paths": ["/"]}}
            assert entities.call(method, f"services/other/routes/{route['id']}", **arguments).status_code == 404
        assert entities.get("routes/r") == route

    def test_the_parent_of_the_path_wins(self, entities: Entities, service):
        body = {"paths": ["/"], "service": {"id": str(uuid4())}}
        made = entities.call("PUT", f"services/s/routes/{uuid4()}", json=body)
        assert made.status_code == 200
        assert made.json()["service"] == {"id": service["id"]}
        patched = entities.call("PATCH", f"services/s/routes/{made.json()['id']}", json={"service": None})
        assert patched.json()["service"] == {"id": service["id"]}
        assert entities.call("DELETE", f"services/s/routes/{made.json()['id']}").status_code == 204

    @pytest.mark.parametrize("parent", ["services/s", "routes/r", "consumers/bob"])
    def test_plugins_everywhere(self, entities: Entities, route, parent):
        entities.create("consumers", {"username": "bob"})
        plugin = entities.create(f"{parent}/plugins", {"name": TRANSFORMER})
        assert entities.get(f"{parent}/plugins/{plugin['id']}") == plugin
        assert entities.get("plugins")["data"] == [plugin]

    def test_back_to_the_parent(self, entities: Entities, service, route):
        plugin = entities.create("routes/r/plugins", {"name": TRANSFORMER})
        assert entities.get("routes/r/service") == service
        assert entities.get(f"plugins/{plugin['id']}/route") == route
        assert entities.call("GET", f"plugins/{plugin['id']}/service").status_code == 404

    def test_the_parent_is_changed_by_its_child(self, entities: Entities, service, route):
        replaced = entities.call("PUT", "routes/r/service", json={"name": "s", "host": "new", "retries": 1})
        assert replaced.status_code == 200, replaced.text
        assert replaced.json() == {**service, "host": "new", "retries": 1, "updated_at": replaced.json()["updated_at"]}
        changed = entities.call("PATCH", "routes/r/service", json={"host": "newer"})
        assert (changed.status_code, changed.json()["retries"]) == (200, 1)
        assert entities.get("services/s") == changed.json()
        assert entities.get("routes/r")["service"] == {"id": service["id"]}
        wrong = entities.call("PATCH", "routes/r/service", json={"id": str(uuid4())})
        assert (wrong.status_code, wrong.json()["message"]) == (400, "the id of the body must be the id of the path")
        assert entities.call("PUT", "routes/r/service", json={"port": 1}).status_code == 400
        for method in ("PUT", "PATCH"):
            assert entities.call(method, "routes/none/service", json={"host": "h"}).status_code == 404
        assert entities.call("DELETE", "routes/r/service").status_code == 405
        assert entities.get("services/s") == changed.json()

    def test_a_child_without_a_parent_gets_one_by_put_alone(self, entities: Entities):
        route = entities.create("routes", {"name": "lone", "paths": ["/"]})
        assert entities.call("PATCH", "routes/lone/service", json={"host": "h"}).status_code == 404
        assert entities.call("PUT", "routes/lone/service", json={"port": 1}).status_code == 400
        assert entities.get("services")["data"] == []
        made = entities.call("PUT", "routes/lone/service", json={"name": "own", "host": "h"})
        assert made.status_code == 200, made.text
        assert entities.get("services/own") == made.json()
        assert entities.get("routes/lone") == {
            **route,
            "service": {"id": made.json()["id"]},
            "updated_at": entities.get("routes/lone")["updated_at"],
        }

    def test_references_by_name_are_stored_as_ids(self, entities: Entities, service):
        route = entities.create("routes", {"paths": ["/"], "service": {"name": "s"}})
        assert route["service"] == {"id": service["id"]}


class TestDelete:
    def test_a_service_with_routes_stays(self, entities: Entities, service, route):
        response = entities.call("DELETE", "services/s")
        assert response.status_code == 400
        assert response.json()["message"] == "an existing 'routes' entity references this 'services' entity"
        assert entities.get("services/s") == service
        assert entities.call("DELETE", "routes/r").status_code == 204
        assert entities.call("DELETE", "services/s").status_code == 204

    @pytest.mark.parametrize("parent", ["services/s", "routes/r", "consumers/bob"])
    def test_plugins_go_with_what_they_are_on(self, entities: Entities, route, parent):
        entities.create("consumers", {"username": "bob"})
        entities.create(f"{parent}/plugins", {"name": TRANSFORMER})
        kept = entities.create("plugins", {"name": TRANSFORMER})
        if parent == "services/s":
            entities.call("DELETE", "routes/r")
        assert entities.call("DELETE", parent).status_code == 204
        assert entities.get("plugins")["data"] == [kept]

    def test_a_control_plane_takes_everything_with_it(self, entities: Entities, route):
        entities.create("routes/r/plugins", {"name": TRANSFORMER})
        path = f"/v2/control-planes/{entities.control_plane_id}"
        assert entities.client.delete(path, headers=entities.headers).status_code == 204
        assert entities.call("GET", "services").status_code == 404


class TestPlugins:
    def test_one_of_a_kind_per_scope(self, entities: Entities, service, route):
        scopes = [{}, {"service": {"id": service["id"]}}, {"route": {"id": route["id"]}}]
        scopes.append({**scopes[1], **scopes[2]})
        for scope in scopes:
            entities.create("plugins", {"name": TRANSFORMER, **scope})
            again = entities.call("POST", "plugins", json={"name": TRANSFORMER, **scope})
            assert again.status_code == 400
            assert again.json()["message"] == "data constraint error"
            assert "type: unique" in again.text

    def test_an_id_within_a_configuration_has_to_be_there(self, entities: Entities):
        config = {"http_endpoint": "http://log.test", "client_certificate": {"id": str(uuid4())}}
        refused = entities.call("POST", "plugins", json={"name": "http-log", "config": config})
        assert refused.status_code == 400
        assert "does not reference an existing 'certificates' entity" in refused.text

    def test_unknown_plugin_and_bad_config(self, entities: Entities):
        unknown = entities.call("POST", "plugins", json={"name": "nope", "config": {"a": 1}}).json()
        assert [detail["field"] for detail in unknown["details"]] == ["name"]
        config = {"add": {"headers": ["x"]}, "bogus": 1}
        bad = entities.call("POST", "plugins", json={"name": TRANSFORMER, "config": config}).json()
        assert [detail["field"] for detail in bad["details"]] == ["config.add.headers[0]", "config.bogus"]

    def test_protocols_must_meet_those_of_the_route(self, entities: Entities, service, route):
        def refused(**scope):
            body = {"name": TRANSFORMER, "protocols": ["grpc"], **scope}
            response = entities.call("POST", "plugins", json=body)
            assert response.status_code == 400
            (detail,) = response.json()["details"]
            assert detail["field"] == "protocols"
            return detail["messages"][0]

        assert refused(route={"id": route["id"]}) == "must match the associated route's protocols"
        assert refused(service={"id": service["id"]}).startswith("must match the protocols of at least one route")
        lonely = entities.create("services", {"host": "h"})
        entities.create(f"services/{lonely['id']}/plugins", {"name": TRANSFORMER, "protocols": ["grpc"]})

    def test_a_patch_of_the_config_keeps_the_rest(self, entities: Entities):
        config = {"add": {"headers": ["Authorization:Bearer old"]}, "http_method": "PUT"}
        plugin = entities.create("plugins", {"name": TRANSFORMER, "config": config})
        change = {"config": {"add": {"headers": ["Authorization:Bearer new"]}}}
        patched = entities.call("PATCH", f"plugins/{plugin['id']}", json=change).json()
        assert patched["config"]["add"]["headers"] == ["Authorization:Bearer new"]
        assert patched["config"]["http_method"] == "PUT"


class TestServicesAndRoutes:
    def test_url_is_write_only(self, entities: Entities):
        service = entities.create("services", {"url": "https://a.test:8443/base?x=1"})
        assert "url" not in service
        assert (service["protocol"], service["host"], service["port"], service["path"]) == (
            "https", "a.test", 8443, "/base",
        )  # fmt: skip
        patched = entities.call("PATCH", f"services/{service['id']}", json={"url": "http://b.test"}).json()
        assert (patched["protocol"], patched["host"], patched["port"], patched["path"]) == ("http", "b.test", 80, None)

    def test_the_classic_form_shows_no_expression(self, entities: Entities):
        route = entities.create("routes", {"paths": ["/"]})
        assert not {"expression", "priority"} & set(route)
        assert route["regex_priority"] == 0

    def test_the_expression_form_shows_no_single_matchers(self, entities: Entities):
        route = entities.create("routes", {"expression": 'http.path ^= "/a"', "priority": 7})
        assert (route["expression"], route["priority"]) == ('http.path ^= "/a"', 7)
        assert not {"paths", "hosts", "regex_priority"} & set(route)
        refused = entities.call("POST", "routes", json={"expression": "http.path == 1"})
        assert refused.status_code == 400
        fault = refused.json()["details"][0]
        assert fault["field"] == "expression"
        assert "Router Expression failed validation: operator '==' does not fit" in str(fault)

    def test_lists_come_back_as_sent(self, entities: Entities):
        body = {
            "protocols": ["https", "http"],
            "paths": ["/b", "/a", "~/x$"],
            "hosts": ["B.test", "a.test"],
            "headers": {"X-B": ["2", "1"], "x-a": ["3"]},
            "tags": ["z", "a"],
            "methods": [],
        }
        route = entities.create("routes", body)
        assert {name: route[name] for name in body} == body
        assert route["snis"] is route["sources"] is None

    def test_how_an_upstream_is_verified(self, entities: Entities):
        sans = {"dnsnames": ["inner.test"], "uris": None}
        body = {"host": "h", "protocol": "https", "tls_verify": True, "tls_verify_depth": 2, "tls_sans": sans}
        service = entities.create("services", body)
        assert {name: service[name] for name in body} == body

    def test_a_body_over_the_limit(self, entities: Entities, settings):
        response = entities.call("POST", "services", content=b" " * (settings.max_body_bytes + 1))
        assert response.status_code == 413
        assert response.json()["code"] == 8
        assert entities.get("services")["data"] == []
