"""The published document of the entity operations."""

import re

from schema.registry import registry


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_operations_and_components(app):
    document = app.openapi()
    prefix = "/v2/control-planes/{controlPlaneId}/core-entities"
    operations = {
        operation["operationId"]: (path, operation)
        for path, item in document["paths"].items()
        for operation in item.values()
        if path.startswith(prefix)
    }
    for entity in (item for item in registry().entities.values() if item.spec.mounted):
        spec = entity.spec
        for verb in ("list", "create", "get", "upsert", "update", "delete"):
            path, operation = operations[f"{verb}-{spec.singular}"]
            assert operation["description"]
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
        body = operations[f"create-{spec.singular}"][1]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": f"#/components/schemas/{spec.title}Input"}
    assert "list-route-with-service" in operations
    assert "upsert-plugin-with-consumer" in operations
    schemas = document["components"]["schemas"]
    for reference in references(document):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind], reference
    assert schemas["RequestTransformerConfig"]["x-plugin"] == "request-transformer"
