"""What holds for every declared entity."""

import json
import re
from uuid import UUID, uuid4

import pytest

from schema.registry import registry
from tests.support.entities import CHANGES, SAMPLES, Entities, natural_key

SPECS = {plural: entity.spec for plural, entity in registry().entities.items() if entity.spec.mounted}
KINDS = list(SPECS)
NAMED = [plural for plural, spec in SPECS.items() if spec.natural_key is not None]
TAGGED = [plural for plural, spec in SPECS.items() if spec.tagged]
FILTERED = [plural for plural, spec in SPECS.items() if spec.filters]


def test_every_entity_is_in_the_matrix():
    assert set(SAMPLES) == set(CHANGES) == set(KINDS)


def assert_status(response, status, message):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == {400: 3, 403: 7, 404: 5}[status]
    assert message in body["message"]
    return body["details"]


def tags(plural, *names):
    """A body's tags, where there are any."""
    return {"tags": list(names)} if SPECS[plural].tagged else {}


def undated(document):
    return {name: value for name, value in document.items() if name != "updated_at"}


def number_in(key):
    """The number that a sample's natural key was made with."""
    return re.findall(r"-(\d+)", key)[-1]


def fields_of(details):
    assert all(detail["@type"].endswith("kong.admin.model.v1.ErrorDetail") for detail in details)
    return {detail.get("field"): detail["messages"] for detail in details}


@pytest.fixture
def path(entities: Entities, plural: str) -> str:
    """Where entities of this kind are created, listed and found."""
    return entities.path(plural)


@pytest.mark.parametrize("plural", KINDS)
class TestEveryEntity:
    def test_create_and_read_by_id_and_name(self, entities: Entities, plural, path):
        created = entities.sample(plural)
        UUID(created["id"])
        assert type(created["created_at"]) is int
        assert type(created.get("updated_at")) is (int if SPECS[plural].dated else type(None))
        assert created.get("tags") is None
        assert not SPECS[plural].hidden & set(created)
        assert entities.get(f"{path}/{created['id']}") == created
        assert entities.get(f"{path}/{created['id'].upper()}") == created
        assert entities.get(f"{path}/{created[natural_key(plural)]}") == created
        assert entities.get(path)["data"] == [created]

    def test_create_with_an_id(self, entities: Entities, plural, path):
        identifier = str(uuid4())
        body = {**SAMPLES[plural](1), "id": identifier, "created_at": 5, "updated_at": 6}
        created = entities.create(path, body)
        assert created["id"] == identifier
        assert created["created_at"] > 1_000_000_000
        again = {**SAMPLES[plural](2), "id": identifier}
        if plural == "plugins":
            again["service"] = {"id": entities.sample("services")["id"]}
        details = assert_status(entities.call("POST", path, json=again), 400, "data constraint error")
        assert details[0]["type"] == "ERROR_TYPE_REFERENCE"
        assert "(type: unique)" in fields_of(details)["id"][0]

    def test_explicit_nulls_and_absence_are_the_same(self, entities: Entities, plural, path):
        entity = registry().entities[plural]
        nulls = {
            name: None
            for name, info in entity.model_fields.items()
            if name not in {*SAMPLES[plural](1), "protocols", "config"} and not info.is_required()
        }
        sample = SAMPLES[plural](1)
        with_nulls = entities.create(path, {**nulls, **sample})
        assert entities.call("DELETE", f"{path}/{with_nulls['id']}").status_code == 204
        without = entities.create(path, sample)
        volatile = {"id", "created_at", "updated_at"}
        assert {k: v for k, v in with_nulls.items() if k not in volatile} == {
            k: v for k, v in without.items() if k not in volatile
        }

    def test_what_is_read_can_be_written_back(self, entities: Entities, plural, path):
        created = entities.sample(plural)
        response = entities.call("PUT", f"{path}/{created['id']}", json=created)
        assert response.status_code == 200, response.text
        assert undated(response.json()) == undated(created)

    def test_put_creates_and_replaces(self, entities: Entities, plural, path):
        identifier, (field, value) = str(uuid4()), CHANGES[plural]
        place = f"{path}/{identifier}"
        made = entities.call("PUT", place, json={**SAMPLES[plural](1), **tags(plural, "a"), field: value})
        assert made.status_code == 200, made.text
        assert made.json()["id"] == identifier
        assert made.json()[field] == value
        replaced = entities.call("PUT", place, json=SAMPLES[plural](1))
        assert replaced.status_code == 200
        assert replaced.json()[field] != value
        assert replaced.json().get("tags") is None
        assert replaced.json()["created_at"] == made.json()["created_at"]
        assert entities.get(place) == replaced.json()

    def test_patch_merges_and_null_unsets(self, entities: Entities, plural, path):
        created = entities.sample(plural)
        place, (field, value) = f"{path}/{created['id']}", CHANGES[plural]
        patched = entities.call("PATCH", place, json={**tags(plural, "t"), field: value})
        assert patched.status_code == 200, patched.text
        assert undated(patched.json()) == undated({**created, **tags(plural, "t"), field: value})
        back = entities.call("PATCH", place, json={field: None, "tags": None})
        assert undated(back.json()) == undated(created)
        assert_status(entities.call("PATCH", f"{path}/{uuid4()}", json={}), 404, "Not found")

    def test_delete_once(self, entities: Entities, plural, path):
        created = entities.sample(plural)
        place = f"{path}/{created['id']}"
        response = entities.call("DELETE", place)
        assert (response.status_code, response.content) == (204, b"")
        assert_status(entities.call("DELETE", place), 404, "Not found")
        assert_status(entities.call("GET", place), 404, "Not found")
        assert entities.get(path)["data"] == []
        assert entities.create(path, {**SAMPLES[plural](1), "id": created["id"]})["id"] == created["id"]

    def test_unknown_fields_and_wrong_types_are_all_named(self, entities: Entities, plural, path):
        body = {**SAMPLES[plural](1), "bogus": 1, "tags": "x", "id": 7, "created_at": "now"}
        details = assert_status(entities.call("POST", path, json=body), 400, "validation error")
        assert {detail["type"] for detail in details} == {"ERROR_TYPE_FIELD"}
        found = fields_of(details)
        assert found["bogus"] == ["unknown field"]
        assert "expected an array" in found["tags"]
        assert ("unknown field" in found["tags"]) is not SPECS[plural].tagged
        assert found["id"] == ["expected a string"]
        assert found["created_at"] == ["expected an integer"]
        assert list(found) == sorted(found)
        assert entities.get(path)["data"] == []

    @pytest.mark.parametrize(
        "raw",
        [
            b"", b"{", b"{'a': 1}", b'{"a": NaN}', b'{"a": 1e999999}x', b"\xff\xfe", b'{"a": "\xff"}',
            b'{"x": "\\ud800"}', b"[" * 200_000, b'{"retries": ' + b"9" * 5000 + b"}",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    def test_bad_json(self, entities: Entities, plural, path, method, raw):
        target = path if method == "POST" else f"{path}/{uuid4()}"
        assert assert_status(entities.call(method, target, content=raw), 400, "the request body is") == []

    @pytest.mark.parametrize("value", [[], "x", 1, None, True])
    def test_a_body_is_an_object(self, entities: Entities, plural, path, value):
        details = assert_status(entities.call("POST", path, content=json.dumps(value)), 400, "validation error")
        assert details[0]["type"] == "ERROR_TYPE_ENTITY"

    def test_repeated_members_and_null_characters(self, entities: Entities, plural, path):
        sample = json.dumps(SAMPLES[plural](1))
        identifiers = [str(uuid4()), str(uuid4())]
        repeated = f'{sample[:-1]}, "id": "{identifiers[0]}", "id": "{identifiers[1]}"}}'
        assert entities.call("POST", path, content=repeated).json()["id"] == identifiers[1]
        body = {**SAMPLES[plural](2), "tags": ["a\x00b"], natural_key(plural): "x\x00"}
        details = assert_status(entities.call("POST", path, json=body), 400, "validation error")
        assert set(fields_of(details)) >= {"tags[0]", natural_key(plural)}
        assert_status(entities.call("GET", f"{path}/%00"), 404, "Not found")

    def test_paging_shows_each_once_whatever_is_written_meanwhile(self, entities: Entities, plural, path):
        ids = [entities.sample(plural, number)["id"] for number in range(7)]
        seen, offset, pages = [], "", 0
        while offset is not None:
            page = entities.get(f"{path}?size=2&offset={offset}")
            seen += [item["id"] for item in page["data"]]
            assert (page["next"] is None) == (page["offset"] is None)
            if page["next"] is not None:
                assert page["next"].startswith(f"{entities.base}/{path}?size=2&offset=")
            offset, pages = page["offset"], pages + 1
            if pages == 1:
                assert entities.call("DELETE", f"{path}/{ids[0]}").status_code == 204
                entities.sample(plural, 50)
        assert seen[:7] == ids
        assert len(seen) == len(set(seen)) == 8

    def test_page_sizes_and_bad_cursors(self, entities: Entities, plural, path):
        assert entities.get(path) == {"data": [], "next": None, "offset": None}
        entities.sample(plural)
        assert len(entities.get(f"{path}?size=1000&offset=")["data"]) == 1
        for size in ("0", "1001", "-1", "x", "1.5", "\N{ARABIC-INDIC DIGIT ONE}"):
            assert_status(entities.call("GET", path, params={"size": size}), 400, "size must be an integer")
        for offset in ("x", "!!!", "W10", "bnVsbA", "WzEsMl0", "\N{SNOWMAN}"):
            assert_status(entities.call("GET", path, params={"offset": offset}), 400, "is not a valid offset")

    def test_tags_select(self, entities: Entities, plural, path):
        if plural not in TAGGED:
            entities.sample(plural)
            assert entities.get(f"{path}?tags=a")["data"] == []
            return
        numbers = {}
        for number, tags in enumerate((["a"], ["a", "b"], ["c d"], None)):
            created = entities.sample(plural, number)
            numbers[created["id"]] = str(number)
            if tags is not None:
                entities.call("PATCH", f"{path}/{created['id']}", json={"tags": tags})

        def found(tags):
            response = entities.call("GET", path, params={"tags": tags})
            assert response.status_code == 200
            return [numbers[item["id"]] for item in response.json()["data"]]

        assert found("a") == ["0", "1"]
        assert found("a,b") == found("b,a") == ["1"]
        assert found("b/c d") == ["1", "2"]
        assert found("zzz") == []
        assert found("") == ["0", "1", "2", "3"]
        assert_status(entities.call("GET", path, params={"tags": "a,b/c"}), 400, "invalid filter syntax")

    def test_other_organizations_see_nothing(self, entities: Entities, plural, path, other_tenant):
        created = entities.sample(plural)
        stranger = Entities(entities.client, other_tenant.headers, entities.control_plane_id)
        missing = Entities(entities.client, other_tenant.headers, str(uuid4()))
        body, place = SAMPLES[plural](9), f"{path}/{created['id']}"
        for view in (stranger, missing):
            for method in ("GET", "POST"):
                answer = view.call(method, path, **({"json": body} if method == "POST" else {}))
                assert_status(answer, 404, "Not found")
            for method in ("GET", "PUT", "PATCH", "DELETE"):
                answer = view.call(method, place, **({"json": body} if method in {"PUT", "PATCH"} else {}))
                assert_status(answer, 404, "Not found")
        own = Entities.of(entities.client, other_tenant)
        assert_status(own.call("GET", place), 404, "Not found")
        assert entities.get(place) == created

    def test_no_token(self, entities: Entities, plural, path):
        anonymous = Entities(entities.client, {"Authorization": ""}, entities.control_plane_id)
        for method in ("GET", "POST"):
            response = anonymous.call(method, path, json={})
            assert response.status_code == 401
            assert response.json() == {"message": "Unauthorized", "status": 401}


@pytest.mark.parametrize("plural", NAMED)
class TestEveryNamedEntity:
    def test_put_by_name_needs_an_existing_one(self, entities: Entities, plural, path):
        created = entities.sample(plural)
        name = created[natural_key(plural)]
        assert entities.call("PUT", f"{path}/{name}", json=created).json()["id"] == created["id"]
        assert_status(entities.call("PUT", f"{path}/nobody", json=SAMPLES[plural](3)), 400, "not a valid uuid")
        other = {**created, "id": str(uuid4())}
        assert_status(entities.call("PUT", f"{path}/{created['id']}", json=other), 400, "id of the path")

    def test_a_name_is_taken_once_per_control_plane(self, entities: Entities, plural, path, tenant):
        created = entities.sample(plural)
        key = natural_key(plural)
        body = {**SAMPLES[plural](2), key: created[key]}
        for method, place in (("POST", path), ("PUT", f"{path}/{uuid4()}")):
            details = assert_status(entities.call(method, place, json=body), 400, "data constraint error")
            ((field, (text,)),) = fields_of(details).items()
            assert field == key
            assert f"(type: unique) constraint failed for value '{created[key]}'" in text
        assert len(entities.get(path)["data"]) == 1
        elsewhere = Entities.of(entities.client, tenant, "second")
        elsewhere.create(elsewhere.path(plural), {**SAMPLES[plural](1), "id": created["id"]})


@pytest.mark.parametrize("plural", FILTERED)
def test_filters(entities: Entities, plural, path):
    for number in (1, 2, 21):
        entities.sample(plural, number)
    filters = SPECS[plural].filters
    key = natural_key(plural) if natural_key(plural) in filters else filters[0]

    def found(operator, value):
        response = entities.call("GET", path, params={f"filter[{key}]{operator}": value})
        assert response.status_code == 200, response.text
        return [number_in(item[key]) for item in response.json()["data"]]

    assert found("[eq]", SAMPLES[plural](2)[key]) == ["2"]
    assert found("", SAMPLES[plural](2)[key]) == ["2"]
    assert found("[contains]", "-2") == ["2", "21"]
    assert found("[contains]", "%") == []
    for name in (f"filter[{key}][neq]", "filter[bogus][eq]", "filter[]", f"filter[{key}][eq][x]"):
        assert_status(entities.call("GET", path, params={name: "x"}), 400, "invalid filter")


def test_unknown_kinds_and_methods(entities: Entities):
    for path in ("gadgets", "gadgets/1", "services/x/gadgets", "services/"):
        assert_status(entities.call("GET", path), 404, "Not found")
    assert entities.call("POST", "services/x").status_code == 405
    nowhere = Entities(entities.client, entities.headers, "not-a-uuid")
    assert_status(nowhere.call("GET", "services"), 404, "Not found")


def test_ingress_controllers_and_groups_take_no_entities(entities: Entities, tenant):
    for number, kind in enumerate(("CLUSTER_TYPE_K8S_INGRESS_CONTROLLER", "CLUSTER_TYPE_CONTROL_PLANE_GROUP")):
        closed = Entities.of(entities.client, tenant, f"closed-{number}", cluster_type=kind)
        details = assert_status(closed.call("POST", "services", json={"host": "h"}), 403, "usage constraint error")
        assert details[0]["type"] == "ERROR_TYPE_ENTITY"
        assert closed.get("services")["data"] == []


@pytest.mark.parametrize(
    ("plural", "body", "field"),
    [
        ("routes", {"paths": ["/"], "service": {"id": str(uuid4())}}, "service"),
        ("routes", {"paths": ["/"], "service": {"name": "nobody"}}, "service"),
        ("routes", {"paths": ["/"], "service": {"host": "upstream.test"}}, "service"),
        ("plugins", {"name": "request-transformer", "route": {"id": str(uuid4())}}, "route"),
        ("plugins", {"name": "request-transformer", "consumer_group": {"id": str(uuid4())}}, "consumer_group"),
        (
            "services",
            {"host": "h", "protocol": "https", "client_certificate": {"id": str(uuid4())}},
            "client_certificate",
        ),
        ("services", {"host": "h", "protocol": "https", "ca_certificates": [str(uuid4())]}, "ca_certificates[0]"),
    ],
)
def test_missing_references(entities: Entities, plural, body, field):
    entities.create("services", {"host": "upstream.test", "name": "somebody"})
    details = assert_status(entities.call("POST", plural, json=body), 400, "data constraint error")
    assert details[0]["type"] == "ERROR_TYPE_REFERENCE"
    assert "(type: foreign)" in fields_of(details)[field][0]


def test_all_missing_references_are_named(entities: Entities):
    body = {"name": "request-transformer", "route": {"id": str(uuid4())}, "service": {"id": str(uuid4())}}
    details = assert_status(entities.call("POST", "plugins", json=body), 400, "data constraint error")
    assert set(fields_of(details)) == {"route", "service"}


def test_a_reference_into_another_control_plane_is_missing(entities: Entities, tenant):
    foreign = Entities.of(entities.client, tenant, "second").create("services", {"host": "h"})
    body = {"paths": ["/"], "service": {"id": foreign["id"]}}
    assert_status(entities.call("POST", "routes", json=body), 400, "data constraint error")
