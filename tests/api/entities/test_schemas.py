"""The schemas that clients are served: their forms, and that what they promise is what writing gives."""

from uuid import uuid4

import pytest

from schema.registry import registry
from tests.support.entities import SAMPLES, Entities
from tests.support.plugins import LEAST, config_of, fields_of, filled, without_aliases
from tests.support.tenants import Tenant

# Found out or made up by the control plane; clients do not compare them.
COMPUTED = {"ca_certificates": {"cert_digest"}, "certificates": {"snis"}}
MADE_UP = {"oauth2": "provision_key"}
KINDS = [plural for plural, entity in registry().entities.items() if entity.spec.mounted]
NOT_HERE = "is not available on this gateway yet"


@pytest.fixture
def hosted(shared_client, tenant: Tenant) -> Entities:
    """A control plane whose gateways are this product's own."""
    return Entities.of(shared_client, tenant, "hosted", cluster_type="CLUSTER_TYPE_SERVERLESS_V1", cloud_gateway=True)


def client_defaults(document):
    """What decK fills in from a JSON Schema: every property, objects that are not closed all the way down."""
    found = {}
    for name, part in document["properties"].items():
        open_ended = "additionalProperties" not in part
        found[name] = client_defaults(part) if part.get("type") == "object" and open_ended else part.get("default")
    return found


def unset(value):
    """Whether a value says nothing, all the way down."""
    return value is None or (isinstance(value, dict) and all(unset(item) for item in value.values()))


class TestServedDefaults:
    def test_every_plugin_has_a_least_configuration(self):
        assert set(LEAST) == set(registry().plugins)

    @pytest.mark.parametrize("name", sorted(LEAST))
    def test_a_plugin_comes_back_as_its_schema_says(self, entities: Entities, name):
        schema = entities.get(f"schemas/plugins/{name}")
        path = f"plugins/{uuid4()}"
        written = entities.call("PUT", path, json={"name": name, "config": LEAST[name]})
        assert written.status_code == 200, written.text
        read = entities.get(path)
        assert written.json() == read
        config = without_aliases(config_of(schema), read["config"])
        if name in MADE_UP:
            assert len(config.pop(MADE_UP[name])) >= 32
        expected = filled(config_of(schema), LEAST[name])
        assert config == {field: value for field, value in expected.items() if field != MADE_UP.get(name)}
        defaults = dict(fields_of(schema))["protocols"]["default"]
        assert read["protocols"] == defaults
        again = entities.call("PUT", path, json=read).json()
        assert {**again, "updated_at": 0} == {**read, "updated_at": 0}

    @pytest.mark.parametrize("plural", KINDS)
    def test_an_entity_comes_back_as_its_schema_says(self, entities: Entities, plural):
        singular = registry().entities[plural].spec.singular
        document = entities.get(f"v1/schemas/json/{singular}")
        assert document["type"] == "object"
        given = SAMPLES[plural](1)
        path = f"{entities.path(plural)}/{uuid4()}"
        written = entities.call("PUT", path, json=given)
        assert written.status_code == 200, written.text
        body = entities.get(path)
        promised = client_defaults(document)
        own = {"id", "created_at", "updated_at", "config"}
        parents = {reference.name for reference in registry().entities[plural].references() if reference.ref.nested}
        compared = promised.keys() - own - parents - given.keys() - COMPUTED.get(plural, set())
        assert body.keys() <= promised.keys()
        for name in compared & body.keys():
            assert body[name] == promised[name] or (unset(body[name]) and unset(promised[name])), name

    def test_route_and_upstream_defaults_are_told(self, entities: Entities):
        route = entities.get("v1/schemas/json/route")["properties"]
        assert route["protocols"]["default"] == ["http", "https"]
        assert route["https_redirect_status_code"]["default"] == 426
        # A classic route, which shows no priority, would never be as it was filled in.
        assert route["regex_priority"]["default"] == 0
        assert "default" not in route["priority"]
        upstream = entities.get("v1/schemas/json/upstream")["properties"]
        assert upstream["healthchecks"]["properties"]["passive"]["properties"]["unhealthy"]["properties"][
            "http_statuses"
        ]["default"] == [429, 500, 503]


class TestForms:
    def test_references_are_closed_and_records_are_open(self, entities: Entities):
        service = entities.get("v1/schemas/json/service")["properties"]
        assert service["client_certificate"]["additionalProperties"] is False
        assert "additionalProperties" not in service["tls_sans"]
        assert "url" not in service
        route = entities.get("v1/schemas/json/route")["properties"]
        assert route["service"]["additionalProperties"] is False
        assert isinstance(route["headers"]["additionalProperties"], dict)
        assert "$ref" not in str(route)

    def test_dashes_and_underscores_are_alike(self, entities: Entities):
        for name in ("consumer_group", "consumer-group", "ca_certificate", "basic-auth", "key_auth"):
            assert entities.get(f"v1/schemas/json/{name}")["type"] == "object"

    @pytest.mark.parametrize(
        "path", ["v1/schemas/json/none", "v1/schemas/json/services", "schemas/service", "schemas/plugins/none"]
    )
    def test_unknown_kinds(self, entities: Entities, path):
        response = entities.call("GET", path)
        assert response.status_code == 404
        assert response.json() == {"code": 5, "message": "Not found", "details": []}

    def test_fields_of_a_plugin(self, entities: Entities):
        schema = entities.get("schemas/plugins/rate-limiting")
        assert schema["supported_partials"] == {"redis-ce": ["config.redis"]}
        places = dict(fields_of(schema))
        assert places["consumer"] == {"type": "foreign", "reference": "consumers"}
        config = places["config"]
        fields = dict(fields_of(config))
        assert fields["minute"] == {"type": "number", "gt": 0, "description": "Requests per minute."}
        assert fields["policy"]["one_of"] == ["cluster", "local", "redis"]
        redis = dict(fields_of(fields["redis"]))
        assert redis["password"]["encrypted"] is redis["password"]["referenceable"] is True
        assert redis["port"]["between"] == [0, 65535]
        old = {name: field for entry in config["shorthand_fields"] for name, field in entry.items()}
        assert old["redis_host"]["type"] == "string"
        assert old["redis_host"]["deprecation"]["replaced_with"] == [{"path": ["redis", "host"]}]
        assert old["redis_host"]["translate_backwards"] == ["redis", "host"]

    def test_places_that_a_plugin_may_not_have(self, entities: Entities):
        places = dict(fields_of(entities.get("schemas/plugins/key-auth")))
        assert places["consumer"] == {"type": "foreign", "reference": "consumers", "eq": None}

    def test_kinds_of_fields(self, entities: Entities):
        fields = dict(fields_of(config_of(entities.get("schemas/plugins/jwt"))))
        assert fields["uri_param_names"]["type"] == "set"
        assert fields["claims_to_verify"]["elements"]["one_of"] == ["exp", "nbf"]
        fields = dict(fields_of(config_of(entities.get("schemas/plugins/http-log"))))
        assert fields["headers"]["type"] == "map"
        assert fields["client_certificate"]["reference"] == "certificates"
        assert fields["queue_size"]["deprecation"]["removal_in_version"] == "4.0"
        assert "default" not in fields["queue"]
        fields = dict(fields_of(config_of(entities.get("schemas/plugins/oauth2"))))
        assert fields["provision_key"]["auto"] is True

    def test_fields_of_an_entity(self, entities: Entities):
        schema = entities.get("schemas/services")
        fields = dict(fields_of(schema))
        assert fields["id"] == {"type": "string", "uuid": True, "auto": True}
        assert fields["retries"]["between"] == [0, 32_767]
        assert fields["client_certificate"]["reference"] == "certificates"
        assert [name for entry in schema["shorthand_fields"] for name in entry] == ["url"]


class TestValidation:
    @pytest.mark.parametrize("plural", KINDS)
    def test_every_kind(self, entities: Entities, plural):
        body = SAMPLES[plural](1)
        for reference in registry().entities[plural].references():
            if reference.ref.nested and not body.keys() & {"name", "paths", "host", "username"}:
                body[reference.name] = {"id": str(uuid4())}
        entity = registry().entities[plural]
        body |= {name: {"id": str(uuid4())} for name in entity.model_fields if entity.model_fields[name].is_required()
                 and name not in body}  # fmt: skip
        response = entities.call("POST", f"schemas/{plural}/validate", json=body)
        assert response.status_code == 200, response.text
        assert response.json() == {"message": "schema validation successful"}
        assert entities.get(entities.path(plural))["data"] == []

    def test_everything_that_is_wrong_is_told_in_one_text(self, entities: Entities):
        body = {"name": "rate-limiting", "config": {"minute": 0, "policy": "none"}}
        response = entities.call("POST", "schemas/plugins/validate", json=body)
        assert response.status_code == 400
        assert response.json()["message"] == (
            "2 schema violations (config.minute: value must be greater than 0; "
            "config.policy: expected one of: cluster, local, redis)"
        )
        assert [detail["field"] for detail in response.json()["details"]] == ["config.minute", "config.policy"]
        response = entities.call("POST", "schemas/services/validate", json={})
        assert response.json()["message"] == "schema violation (host: required field missing)"

    def test_what_gateways_cannot_do_depends_on_the_control_plane(self, entities: Entities, hosted: Entities):
        body = {"name": "pre-function", "config": {"access": ["return 1"]}}
        assert entities.call("POST", "schemas/plugins/validate", json=body).status_code == 200
        refused = hosted.call("POST", "schemas/plugins/validate", json=body)
        assert refused.status_code == 400
        assert NOT_HERE in refused.json()["message"]

    @pytest.mark.parametrize("kind", ["filter_chains", "service", "none"])
    def test_unknown_kinds(self, entities: Entities, kind):
        assert entities.call("POST", f"schemas/{kind}/validate", json={}).status_code == 404

    @pytest.mark.parametrize("body", ["[]", "null", "{", ""])
    def test_bad_bodies(self, entities: Entities, body):
        assert entities.call("POST", "schemas/services/validate", content=body).status_code == 400


class TestRuntimeKinds:
    """What this product's gateways cannot do is refused for them, with the reason, and taken for everybody else's."""

    @pytest.mark.parametrize(
        "kind", [{"cluster_type": "CLUSTER_TYPE_SERVERLESS"}, {"cluster_type": "CLUSTER_TYPE_SERVERLESS_V1"},
                 {"cloud_gateway": True}],
    )  # fmt: skip
    def test_plugins_that_do_not_run(self, shared_client, tenant: Tenant, kind):
        own = Entities.of(shared_client, tenant, "own", **kind)
        for method, path in (("POST", "plugins"), ("PUT", f"plugins/{uuid4()}")):
            body = {"name": "pre-function", "config": {"access": ["return 1"]}}
            response = own.call(method, path, json=body)
            assert response.status_code == 400
            (detail,) = response.json()["details"]
            assert detail["field"] == "name"
            assert NOT_HERE in detail["messages"][0]
        assert own.get("plugins")["data"] == []

    def test_values_that_do_not_run(self, entities: Entities, hosted: Entities):
        config = {"minute": 1, "policy": "cluster", "redis_host": "r.test"}
        shown = entities.create("plugins", {"name": "rate-limiting", "config": config})["config"]
        assert (shown["redis"]["host"], shown["redis_host"]) == ("r.test", "r.test")
        response = hosted.call("POST", "plugins", json={"name": "rate-limiting", "config": config})
        (detail,) = response.json()["details"]
        assert detail["field"] == "config.policy"
        assert "use 'redis'" in detail["messages"][0]

    def test_a_change_is_held_to_it_as_well(self, hosted: Entities):
        plugin = hosted.create("plugins", {"name": "rate-limiting", "config": {"minute": 1}})
        response = hosted.call("PATCH", f"plugins/{plugin['id']}", json={"config": {"policy": "cluster"}})
        assert response.status_code == 400
        assert hosted.get(f"plugins/{plugin['id']}") == plugin

    def test_vault_references(self, entities: Entities, hosted: Entities):
        redis = {"host": "{vault://env/host}", "password": "{vault://env/password}"}
        config = {"minute": 1, "redis": redis}
        shown = entities.create("plugins", {"name": "rate-limiting", "config": config})["config"]["redis"]
        assert {name: shown[name] for name in redis} == redis
        response = hosted.call("POST", "plugins", json={"name": "rate-limiting", "config": config})
        assert {detail["field"] for detail in response.json()["details"]} == {
            "config.redis.host", "config.redis.password",
        }  # fmt: skip

    def test_a_patch_by_an_old_name(self, entities: Entities):
        config = {"minute": 1, "redis": {"host": "a.test", "port": 7000}}
        plugin = entities.create("plugins", {"name": "rate-limiting", "config": config})
        changed = entities.call("PATCH", f"plugins/{plugin['id']}", json={"config": {"redis_host": "b.test"}}).json()
        assert (changed["config"]["redis"]["host"], changed["config"]["redis"]["port"]) == ("b.test", 7000)
