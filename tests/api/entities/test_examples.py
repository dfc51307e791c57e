"""The documented examples of core entities, sent as they stand."""

import json
from pathlib import Path

import pytest

from schema.registry import registry
from tests.support.entities import SAMPLES, Entities

DOCUMENT = json.loads((Path(__file__).parents[3] / "openapi" / "core-entities.json").read_text())
# Shown without their insides, which the samples of the tests have.
ELIDED = {"certificates": ("cert", "key"), "ca_certificates": ("cert",)}
KINDS = [plural for plural, entity in registry().entities.items() if entity.spec.mounted]


@pytest.mark.parametrize("plural", KINDS)
def test_an_example_makes_what_the_documents_show(entities: Entities, plural: str) -> None:
    examples = DOCUMENT["components"]["examples"]
    spec = registry().entities[plural].spec
    whole = {name: SAMPLES[plural](1)[name] for name in ELIDED.get(plural, ())}
    path = entities.path(plural)

    made = entities.create(path, {**examples[f"{spec.title}Input"]["value"], **whole})

    documented = examples[spec.title]["value"]
    assert made.keys() == documented.keys()
    unlike = {"id", "created_at", "updated_at", "password", "cert_digest", *whole}
    parents = {reference.name for reference in registry().entities[plural].references()}
    for name in documented.keys() - unlike - parents:
        assert made[name] == documented[name], name
    change = examples[f"{spec.title}Change"]["value"]
    change = {name: whole.get(name, value) for name, value in change.items()}
    changed = entities.call("PATCH", f"{path}/{made['id']}", json=change)
    assert changed.status_code == 200, changed.text
    assert entities.get(path)["data"][0].keys() == examples[f"{spec.title}Page"]["value"]["data"][0].keys()
