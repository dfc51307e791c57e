"""Credentials: generated, sealed, found, unique, and gone with their consumer."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from schema.credentials import password_hash
from tests.support import pem
from tests.support.entities import Entities
from tests.support.problems import core_entity_details


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


class TestDigests:
    """Passwords that come from elsewhere as digests (`skip_hash`)."""

    @pytest.mark.parametrize(("algorithm", "kind"), [("sha1", "sha1"), ("sha256", "sha256")])
    def test_a_digest_is_hashed_again_and_stays_what_it_is(self, entities: Entities, consumer, algorithm, kind):
        digest = hashlib.new(algorithm, f"hunter2{consumer['id']}".encode()).hexdigest()
        made = entities.create("consumers/bob/basic-auth?skip_hash=true", {"username": "u", "password": digest})
        assert made["password"].startswith(f"${kind}+pbkdf2-sha256$i=4096$")
        assert "skip_hash" not in made
        path = f"consumers/bob/basic-auth/{made['id']}"
        for query in ("", "?skip_hash=true"):
            assert entities.call("PUT", path + query, json=made).json()["password"] == made["password"]
        upper = entities.call("PUT", f"{path}?skip_hash=true", json={"username": "u", "password": digest.upper()})
        assert upper.json()["password"].startswith(f"${kind}+")
        plain = entities.call("PUT", path, json={"username": "u", "password": digest})
        assert plain.json()["password"].startswith("$pbkdf2-sha256$")

    @pytest.mark.parametrize("password", ["hunter2", "a" * 41, "g" * 40, ""])
    def test_what_is_no_digest(self, entities: Entities, consumer, password):
        body = {"username": "u", "password": password}
        refused = entities.call("POST", "consumers/bob/basic-auth?skip_hash=true", json=body)
        assert list(core_entity_details(refused)) == ["password"]


class TestJwt:
    def test_keys_and_secrets_are_made_for_those_who_bring_none(self, entities: Entities, consumer):
        made = entities.create("consumers/bob/jwt", {})
        assert len(made["key"]) == len(made["secret"]) == 32
        assert made["key"] != made["secret"]
        assert (made["algorithm"], made["rsa_public_key"]) == ("HS256", None)
        assert entities.get(f"jwts/{made['key']}") == made

    @pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "EdDSA"])
    def test_public_keys_are_needed_where_nothing_is_secret(self, entities: Entities, consumer, algorithm):
        refused = entities.call("POST", "consumers/bob/jwt", json={"algorithm": algorithm})
        assert core_entity_details(refused)["rsa_public_key"] == ["required field missing"]
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        made = entities.create("consumers/bob/jwt", {"algorithm": algorithm, "rsa_public_key": public})
        assert made["rsa_public_key"] == public
        broken = {"algorithm": algorithm, "rsa_public_key": "x", "key": "other"}
        assert core_entity_details(entities.call("POST", "consumers/bob/jwt", json=broken)) == {
            "rsa_public_key": ["invalid key"]
        }

    def test_a_public_key_beside_a_secret_is_not_read(self, entities: Entities, consumer):
        made = entities.create("consumers/bob/jwt", {"key": "issuer", "rsa_public_key": "not a key"})
        assert (made["algorithm"], made["rsa_public_key"]) == ("HS256", "not a key")
        refused = entities.call("PATCH", "jwts/issuer", json={"algorithm": "ES256K"})
        assert core_entity_details(refused) == {"rsa_public_key": ["invalid key"]}

    def test_algorithms_are_known(self, entities: Entities, consumer):
        refused = entities.call("POST", "consumers/bob/jwt", json={"algorithm": "none"})
        assert list(core_entity_details(refused)) == ["algorithm"]


def test_an_hmac_secret_is_made_and_read_in_clear(entities: Entities, consumer):
    made = entities.create("consumers/bob/hmac-auth", {"username": "u"})
    assert len(made["secret"]) == 32
    assert entities.get("hmac-auths/u") == made
    assert "(type: unique)" in entities.call("POST", "consumers/bob/hmac-auth", json={"username": "u"}).text


def test_a_certificates_name_occurs_once_per_authority(entities: Entities, consumer):
    authority = entities.create("ca_certificates", {"cert": pem.authority(1)})
    body = {"subject_name": "bob.test"}
    for own in (body, {**body, "ca_certificate": {"id": authority["id"]}}):
        made = entities.create("consumers/bob/mtls-auth", own)
        assert entities.get(f"mtls-auths/{made['id']}") == made
        assert "(type: unique)" in entities.call("POST", "consumers/bob/mtls-auth", json=own).text
    refused = entities.call("DELETE", f"ca_certificates/{authority['id']}")
    assert refused.json()["message"].startswith("an existing 'mtls_auth_credentials' entity references this")
    assert entities.call("DELETE", "consumers/bob").status_code == 204
    assert entities.call("DELETE", f"ca_certificates/{authority['id']}").status_code == 204


def test_secrets_of_the_other_credentials_are_in_no_table(entities: Entities, consumer, database):
    entities.create("consumers/bob/hmac-auth", {"username": "u", "secret": "opensesame"})
    entities.create("consumers/bob/jwt", {"key": "k", "secret": "hunter2"})
    with database.system() as session:
        for table in ("hmacauth_credentials", "jwt_secrets", "config_changes", "audit_events", "outbox"):
            stored = session.execute(text(f"select coalesce(string_agg(t::text, ''), '') from {table} t")).scalar_one()
            assert not any(secret in stored for secret in ("opensesame", "hunter2"))
