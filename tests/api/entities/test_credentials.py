"""Credentials: generated, sealed, found, unique, and gone with their consumer."""

import pytest
from sqlalchemy import text

from schema.credentials import password_hash
from tests.support.entities import Entities


@pytest.fixture
def consumer(entities: Entities):
    return entities.create("consumers", {"username": "bob"})


def test_a_key_is_made_for_those_who_bring_none(entities: Entities, consumer):
    made = entities.create("consumers/bob/key-auth", {})
    assert len(made["key"]) == 32
    assert made["key"].isalnum()
    assert made["consumer"] == {"id": consumer["id"]}
    assert entities.get(f"key-auths/{made['key']}") == made
    assert entities.get(f"consumers/bob/key-auth/{made['key']}") == made
    assert entities.get("key-auths")["data"] == [made]
    assert entities.get(f"key-auths/{made['id']}/consumer") == consumer
    changed = entities.call("PATCH", f"key-auths/{made['id']}", json={"ttl": 5}).json()
    assert (changed["key"], changed["ttl"]) == (made["key"], 5)


def test_a_key_is_unique_per_control_plane(entities: Entities, consumer, tenant):
    entities.create("consumers", {"username": "eve"})
    entities.create("consumers/bob/key-auth", {"key": "same"})
    assert "(type: unique)" in entities.call("POST", "consumers/eve/key-auth", json={"key": "same"}).text
    other = Entities.of(entities.client, tenant, "second")
    other.create("consumers", {"username": "bob"})
    other.create("consumers/bob/key-auth", {"key": "same"})


def test_secrets_are_in_no_table(entities: Entities, consumer, database):
    entities.create("consumers/bob/key-auth", {"key": "opensesame"})
    made = entities.create("consumers/bob/basic-auth", {"username": "u", "password": "hunter2"})
    with database.system() as session:
        for table in ("keyauth_credentials", "basicauth_credentials", "config_changes", "audit_events", "outbox"):
            stored = session.execute(text(f"select coalesce(string_agg(t::text, ''), '') from {table} t")).scalar_one()
            assert not any(secret in stored for secret in ("opensesame", "hunter2", made["password"]))


def test_a_password_comes_back_as_its_hash_only(entities: Entities, consumer):
    made = entities.create("consumers/bob/basic-auth", {"username": "u", "password": "hunter2"})
    assert made["password"].startswith("$pbkdf2-sha256$i=4096$")
    assert password_hash(made["password"]) == made["password"] != password_hash("hunter2")
    path = f"basic-auths/{made['id']}"
    assert entities.call("PUT", path, json=made).json()["password"] == made["password"]
    assert entities.call("PATCH", path, json={"tags": ["a"]}).json()["password"] == made["password"]
    assert entities.call("PATCH", path, json={"password": "other"}).json()["password"] != made["password"]
    assert entities.get("consumers/bob/basic-auth/u")["id"] == made["id"]


@pytest.mark.parametrize("password", ["", "x" * 5000, "a\x00b", 7])
def test_what_is_no_password(entities: Entities, consumer, password):
    refused = entities.call("POST", "consumers/bob/basic-auth", json={"username": "u", "password": password})
    assert refused.status_code == 400
    assert [detail["field"] for detail in refused.json()["details"]] == ["password"]


def test_a_hash_with_a_cost_of_its_own_is_a_password(entities: Entities, consumer):
    costly = "$pbkdf2-sha256$i=999999999$" + "A" * 22 + "$" + "A" * 43
    made = entities.create("consumers/bob/basic-auth", {"username": "u", "password": costly})
    assert made["password"].startswith("$pbkdf2-sha256$i=4096$")


def test_a_group_occurs_once_per_consumer(entities: Entities, consumer):
    made = entities.create("consumers/bob/acls", {"group": "a"})
    assert "(type: unique)" in entities.call("POST", "consumers/bob/acls", json={"group": "a"}).text
    entities.create("consumers", {"username": "eve"})
    entities.create("consumers/eve/acls", {"group": "a"})
    assert entities.get("consumers/bob/acls/a") == made


def test_credentials_go_with_their_consumer(entities: Entities, consumer):
    entities.create("consumers/bob/key-auth", {})
    entities.create("consumers/bob/basic-auth", {"username": "u", "password": "p"})
    entities.create("consumers/bob/acls", {"group": "a"})
    assert entities.call("DELETE", "consumers/bob").status_code == 204
    for path in ("key-auths", "basic-auths", "acls"):
        assert entities.get(path)["data"] == []
