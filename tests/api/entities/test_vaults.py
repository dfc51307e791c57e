"""Vaults: their configuration is the backend's business, and nobody else's."""

import pytest
from sqlalchemy import text

from tests.support.entities import Entities
from tests.support.problems import core_entity_details


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"prefix": "SECRET_", "base64_decode": None},
        {"host": "vault.test", "port": 8200, "token": "hunter2", "ttl": 1.5, "ssl_verify": False},
        {"oauth2": {"client": {"secret": "hunter2"}}, "audiences": ["a", "hunter2"], "none": []},
    ],
)
def test_the_configuration_is_kept_as_sent(entities: Entities, config, database):
    made = entities.create("vaults", {"name": "hcv", "prefix": "my-vault", "config": config})
    assert made["config"] == config
    assert entities.get("vaults/my-vault") == made
    assert entities.call("PUT", f"vaults/{made['id']}", json=made).json()["config"] == config
    with database.system() as session:
        for table in ("vaults", "config_changes", "audit_events"):
            stored = session.execute(text(f"select string_agg(t::text, '') from {table} t")).scalar_one()
            assert "hunter2" not in stored


def test_a_patch_merges_the_configuration(entities: Entities):
    entities.create("vaults", {"name": "aws", "prefix": "cloud", "config": {"region": "a", "ttl": 5}})
    changed = entities.call("PATCH", "vaults/cloud", json={"config": {"region": "b"}})
    assert changed.json()["config"] == {"region": "b", "ttl": 5}


def test_a_vault_may_do_without_configuration(entities: Entities):
    made = entities.create("vaults", {"name": "env", "prefix": "my-env"})
    assert (made["config"], made["description"]) == (None, None)


@pytest.mark.parametrize("prefix", ["env", "hcv", "A", "a", "-a", "a-", "1a", "a_b", "a.b", "é", ""])
def test_what_is_no_prefix(entities: Entities, prefix):
    refused = entities.call("POST", "vaults", json={"name": "env", "prefix": prefix, "config": {}})
    assert list(core_entity_details(refused)) == ["prefix"]


@pytest.mark.parametrize(
    "config",
    [
        {"$sealed": "v1:x"},
        {"a": {"$sealed": "v1:x"}},
        {"a": [{"$sealed": "v1:x"}]},
        {"a b": 1},
        {"a": {"b": {"c": {"d": {}}}}},
        {f"f{number}": 1 for number in range(65)},
        [],
        "x",
    ],
)
def test_what_is_no_configuration(entities: Entities, config):
    refused = entities.call("POST", "vaults", json={"name": "env", "prefix": "ok", "config": config})
    assert list(core_entity_details(refused)) == ["config"]


def test_backends_are_known(entities: Entities):
    refused = entities.call("POST", "vaults", json={"name": "cellar", "prefix": "ok"})
    assert core_entity_details(refused) == {"name": ["vault 'cellar' is not installed"]}
