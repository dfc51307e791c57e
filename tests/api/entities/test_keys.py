"""Keys in both forms, alone and in sets."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import text

from tests.support.entities import Entities
from tests.support.problems import core_entity_details


def halves():
    key = ec.generate_private_key(ec.SECP256R1())
    private_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private_key, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(**members):
    return json.dumps({"kty": "oct", "k": "c2VjcmV0", "kid": "one", **members})


def test_a_json_web_key_comes_back_as_sent(entities: Entities):
    written = '{ "kid":"one", "k": "c2VjcmV0",\n "kty":"oct" }'
    made = entities.create("keys", {"kid": "one", "jwk": written})
    assert (made["jwk"], made["pem"], made["set"], made["name"], made["x5t"]) == (written, None, None, None, None)


def test_a_pair_in_pem(entities: Entities):
    private_key, public_key = halves()
    made = entities.create("keys", {"kid": "one", "pem": {"private_key": private_key, "public_key": public_key}})
    assert made["pem"] == {"private_key": private_key, "public_key": public_key}
    alone = entities.create("keys", {"kid": "two", "pem": {"public_key": public_key}})
    assert alone["pem"] == {"private_key": None, "public_key": public_key}


def test_secrets_of_keys_are_sealed(entities: Entities, database):
    private_key, _ = halves()
    entities.create("keys", {"kid": "one", "pem": {"private_key": private_key}})
    entities.create("keys", {"kid": "two", "jwk": jwk(kid="two")})
    with database.system() as session:
        for table in ("keys", "config_changes", "audit_events"):
            stored = session.execute(text(f"select string_agg(t::text, '') from {table} t")).scalar_one()
            assert "PRIVATE KEY" not in stored
            assert "c2VjcmV0" not in stored


def test_references_to_vaults_are_kept(entities: Entities):
    pem = {"private_key": "{vault://env/private}", "public_key": "{vault://env/public}"}
    assert entities.create("keys", {"kid": "one", "pem": pem})["pem"] == pem
    assert entities.create("keys", {"kid": "two", "jwk": "{vault://env/jwk}"})["jwk"] == "{vault://env/jwk}"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"kid": "one"}, "", "exactly one of these fields must be non-empty: 'jwk', 'pem'"),
        ({"kid": "one", "jwk": jwk(), "pem": {"public_key": halves()[1]}}, "", "exactly one of these fields"),
        ({"kid": "two", "jwk": jwk()}, "", "kid in jwk.kid must be equal to keys.kid"),
        ({"kid": "one", "jwk": "{"}, "jwk", "could not load JWK"),
        ({"kid": "one", "jwk": "[" * 5000}, "jwk", "could not load JWK"),
        ({"kid": "one", "jwk": jwk(kty="x")}, "jwk", "could not load JWK: kty is none of"),
        ({"kid": "one", "jwk": jwk(kty="RSA")}, "jwk", "could not load JWK: n is not in base64url"),
        ({"kid": "one", "jwk": jwk(kty="EC")}, "jwk", "could not load JWK: crv is missing"),
        ({"kid": "one", "pem": {"private_key": "x"}}, "pem.private_key", "could not load private key"),
        ({"kid": "one", "pem": {"public_key": "x"}}, "pem.public_key", "invalid key"),
        ({"kid": "one", "pem": {}}, "", "exactly one of these fields"),
        ({"kid": "one", "pem": {"private_key": None}}, "pem", "at least one of these fields must be non-empty"),
        (
            {"kid": "one", "pem": {"private_key": halves()[0], "public_key": halves()[1]}},
            "pem",
            "private key does not match public key",
        ),
    ],
)
def test_what_is_no_key(entities: Entities, body, field, message):
    details = core_entity_details(entities.call("POST", "keys", json=body))
    assert details[field][0].startswith(message)


def test_a_kid_occurs_once_per_set(entities: Entities):
    entities.create("key-sets", {"name": "a"})
    entities.create("key-sets", {"name": "b"})
    body = {"kid": "one", "jwk": jwk()}
    for path in ("keys", "key-sets/a/keys", "key-sets/b/keys"):
        made = entities.create(path, body)
        assert entities.get(f"{path}/{made['id']}") == made
        refused = entities.call("POST", path, json=body)
        assert "(type: unique)" in str(core_entity_details(refused)["kid"])
    assert len(entities.get("keys")["data"]) == 3


def test_keys_go_with_their_set(entities: Entities):
    made = entities.create("key-sets", {"name": "a"})
    key = entities.create("key-sets/a/keys", {"name": "mine", "kid": "one", "jwk": jwk()})
    assert key["set"] == {"id": made["id"]}
    assert entities.get("keys/mine/set") == made
    kept = entities.create("keys", {"kid": "one", "jwk": jwk()})
    assert entities.call("DELETE", "key-sets/a").status_code == 204
    assert entities.get("keys")["data"] == [kept]
