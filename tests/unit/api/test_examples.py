"""Every example in the published documents is what its schema says, and everything in them is described."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.examples import Examples, NoExample
from schema.errors import SchemaViolation
from schema.registry import registry
from tests.support.json_schema import faults

Json = dict[str, Any]

DOCUMENTS = {file.stem: json.loads(file.read_text()) for file in (Path(__file__).parents[3] / "openapi").glob("*.json")}
# Their keys and certificates are shown without their insides.
ELIDED = {"certificates", "ca_certificates"}


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def bodies(operation: Json) -> Iterator[tuple[str, Json]]:
    if "requestBody" in operation:
        yield "request", operation["requestBody"]
    yield from operation["responses"].items()


def example_of(media_type: Json, document: Json) -> Any:
    if "example" in media_type:
        return media_type["example"]
    (example,) = media_type["examples"].values()
    return document["components"]["examples"][example["$ref"].removeprefix("#/components/examples/")]["value"]


@pytest.mark.parametrize("area", DOCUMENTS)
def test_examples_are_what_their_schemas_say(area: str) -> None:
    document = DOCUMENTS[area]
    schemas = document["components"]["schemas"]
    wrong: list[str] = []
    count = 0
    for name, operation in operations(document):
        for what, body in bodies(operation):
            for kind, media_type in body.get("content", {}).items():
                found = faults(example_of(media_type, document), media_type["schema"], schemas)
                wrong += [f"{name} {what} {kind}: {fault}" for fault in found]
                count += 1
    assert wrong == []
    assert count >= 3 * len(document["paths"])


@pytest.mark.parametrize("area", DOCUMENTS)
def test_everything_is_described(area: str) -> None:
    for name, operation in operations(DOCUMENTS[area]):
        assert operation["summary"], name
        assert operation["description"], name
        for what, body in bodies(operation):
            assert body["description"] not in {"", "Successful Response"}, (name, what)
            assert what in {"204", "304"} or body["content"], (name, what)
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (name, parameter["name"])


@pytest.mark.parametrize("plural", [name for name, entity in registry().entities.items() if entity.spec.mounted])
def test_entities_have_examples_that_are_valid(plural: str) -> None:
    entity = registry().entities[plural]
    example = entity.spec.example
    assert example, "say in its declaration what one looks like"
    parents = [item.name for item in entity.references() if entity.model_fields[item.name].is_required()]
    body = {**example, **{name: {"id": "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"} for name in parents}}
    if plural in ELIDED:
        with pytest.raises(SchemaViolation) as refused:
            registry().parse(entity, body)
        assert {violation.field for violation in refused.value.violations} <= {"cert", "key"}
    else:
        parsed = registry().parse(entity, body)
        assert parsed.keys() >= example.keys()


def test_the_checker_finds_what_is_wrong() -> None:
    schemas = DOCUMENTS["core-entities"]["components"]["schemas"]
    service = {"name": "a", "host": "h", "port": 70_000, "retries": "5", "tls_sans": {"dnsnames": [1]}, "bogus": 1}

    found = [fault.partition(":")[0] for fault in faults(service, schemas["ServiceInput"], schemas)]

    assert sorted(found) == ["bogus", "port", "retries", "tls_sans"]
    assert list(faults({"name": "a"}, schemas["ServiceInput"], schemas)) == [": lacks 'host'"]


def test_words_are_not_made_up() -> None:
    schema = {"type": "object", "properties": {"flavour": {"type": "string"}}}

    with pytest.raises(NoExample, match="flavour"):
        Examples({}, {}).of(schema)


def test_schemas_that_contain_themselves_end() -> None:
    node: Json = {"type": "object", "properties": {"age": {"type": "integer"}}}
    node["properties"]["within"] = {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}

    assert Examples({"Node": node}, {}).of({"$ref": "#/components/schemas/Node"}) == {"age": 1}
