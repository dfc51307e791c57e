"""What was taken comes back, and writing it back changes nothing: for every entity and every plugin, with made-up fields.

Bodies are samples with fields laid over them that are made from the published schemas. Whatever is refused is refused with the
name of a field that was sent, or is missing.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from schema.export import plugin_components
from schema.registry import registry
from tests.support.entities import SAMPLES, Entities
from tests.support.generated import Generated
from tests.support.plugins import LEAST

SCHEMAS = json.loads((Path(__file__).parents[3] / "openapi" / "core-entities.json").read_text())["components"][
    "schemas"
]
KINDS = [plural for plural, entity in registry().entities.items() if entity.spec.mounted]
ROUNDS = 5
# The server's, or the path's.
_FIXED = {"id", "created_at", "updated_at"}


def volatile(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "updated_at"}


def laid_over(base: dict[str, Any], schema: dict[str, Any], generated: Generated, random: Random) -> dict[str, Any]:
    """The base with up to three further fields; often none of those that it has itself."""
    names = [
        name for name in schema["properties"] if name not in _FIXED and (name not in base or random.random() < 0.1)
    ]
    chosen = random.sample(names, min(len(names), random.randint(0, 3)))
    return base | {name: generated.value(schema["properties"][name]) for name in chosen}


def check(entities: Entities, path: str, body: dict[str, Any], known: set[str]) -> bool:
    """Whether the body was taken. Leaves nothing behind."""
    made = entities.call("POST", path, json=body)
    if made.status_code != 201:
        assert made.status_code == 400, made.text
        details = made.json()["details"]
        assert details, made.text
        for detail in details:
            assert detail["messages"]
            if "field" in detail:
                assert detail["field"].partition(".")[0].partition("[")[0] in known, (body, detail)
        return False
    created = made.json()
    place = f"{path}/{created['id']}"
    assert entities.get(place) == created
    for method in ("PUT", "PATCH"):
        again = entities.call(method, place, json=created)
        assert again.status_code == 200, (created, again.text)
        assert volatile(again.json()) == volatile(created)
        assert entities.get(place) == again.json()
    assert entities.call("DELETE", place).status_code == 204
    return True


@pytest.mark.parametrize("plural", KINDS)
def test_entities(entities: Entities, plural: str) -> None:
    schema = SCHEMAS[f"{registry().entities[plural].spec.title}Input"]
    generated, random = Generated(plural, SCHEMAS, wrong=0), Random(plural)
    path = entities.path(plural)

    bodies = [laid_over(SAMPLES[plural](number), schema, generated, random) for number in range(ROUNDS)]
    taken = [check(entities, path, body, set(schema["properties"])) for body in bodies]

    assert any(taken)


@pytest.mark.parametrize("name", registry().plugins)
def test_plugins(entities: Entities, name: str) -> None:
    config = registry().plugins[name]
    parts = plugin_components(name, config)
    schema = parts[f"{config.__name__}Config"]
    generated, random = Generated(name, parts, wrong=0), Random(name)
    known = set(SCHEMAS["PluginInput"]["properties"])

    bodies = [{"name": name, "config": laid_over(LEAST[name], schema, generated, random)} for _ in range(ROUNDS)]
    taken = [check(entities, "plugins", body, known) for body in [{"name": name, "config": LEAST[name]}, *bodies]]

    assert taken[0]
